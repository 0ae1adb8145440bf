package pipeline_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

// pictureFile is a file of testdata/pixels; its README says how it was made.
func pictureFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "pixels", name))
	require.NoError(t, err)
	return data
}

// pictures crawls one item that names these pictures, by their paths, and returns its results and failures.
func (s *shop) pictures(paths ...string) ([]crawl.File, *visit) {
	s.t.Helper()
	v := s.crawl(withImages(paths...))
	require.Len(s.t, v.Items, 1)
	return imagesOf(v.Items[0]), v
}

// gallery is a shop with these pictures at their names as paths, all served as image/jpeg, whatever they are.
func gallery(t testing.TB, pictures map[string][]byte) *shop {
	site := make(answers)
	for name, data := range pictures {
		site["/"+name] = say("image/jpeg", data)
	}
	s := newShop(t, site)
	s.settings.Robots.Ignore = true
	return s
}

// decoded reads a stored picture, which must be a JPEG in colour.
func decoded(t testing.TB, s crawl.Store, name string) image.Image {
	t.Helper()
	data := contentOf(t, s, name)
	img, err := jpeg.Decode(bytes.NewReader(data))
	require.NoError(t, err, name)
	require.NotContains(t, []color.Model{color.GrayModel, color.CMYKModel}, img.ColorModel(), name)
	return img
}

type rgb [3]int

// requireColours compares the middles of a row of squares.
func requireColours(t testing.TB, img image.Image, name string, want ...rgb) {
	t.Helper()
	side := img.Bounds().Dy()
	require.Equal(t, side*len(want), img.Bounds().Dx(), name)
	off := 4
	if side < 16 {
		off = 8 // colours are stored for two by two pixels, in blocks of sixteen
	}
	for i, c := range want {
		requireColour(t, img, side*i+side/2, side/2, c, off, name)
	}
}

// requireColour compares one pixel, which may be off by what coding has cost.
func requireColour(t testing.TB, img image.Image, x, y int, want rgb, off int, name string) {
	t.Helper()
	r, g, b, _ := img.At(x, y).RGBA()
	got := rgb{int(r >> 8), int(g >> 8), int(b >> 8)}
	for c := range want {
		require.InDelta(t, want[c], got[c], float64(off), "%s at %d,%d: %v, want %v", name, x, y, got, want)
	}
}

// The colours of the files in testdata/pixels, on white: as Pillow has them, except for 16 bits, which it clips.
var colours = map[string][]rgb{
	"rgb.jpg":              {{255, 255, 255}, {0, 0, 0}, {255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {90, 140, 190}},
	"422.jpg":              {{255, 255, 255}, {0, 0, 0}, {255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {90, 140, 190}},
	"progressive.jpg":      {{255, 255, 255}, {0, 0, 0}, {255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {90, 140, 190}},
	"grey.jpg":             {{255, 255, 255}, {170, 170, 170}, {85, 85, 85}, {0, 0, 0}},
	"grey-progressive.jpg": {{255, 255, 255}, {170, 170, 170}, {85, 85, 85}, {0, 0, 0}},
	"grey1.png":            {{255, 255, 255}, {0, 0, 0}},
	"grey2.png":            {{255, 255, 255}, {170, 170, 170}, {85, 85, 85}, {0, 0, 0}},
	"grey4.png":            {{255, 255, 255}, {170, 170, 170}, {85, 85, 85}, {0, 0, 0}},
	"grey8.png":            {{255, 255, 255}, {170, 170, 170}, {85, 85, 85}, {0, 0, 0}},
	"grey16.png":           {{255, 255, 255}, {156, 156, 156}, {78, 78, 78}, {0, 0, 0}},
	"grey-alpha8.png":      {{0, 0, 0}, {255, 255, 255}, {177, 177, 177}, {200, 200, 200}},
	"grey-alpha16.png":     {{0, 0, 0}, {255, 255, 255}, {166, 166, 166}},
	"rgb8.png":             {{255, 255, 255}, {200, 30, 90}, {90, 140, 190}, {0, 0, 0}},
	"rgb16.png":            {{255, 255, 255}, {156, 78, 233}, {0, 0, 0}},
	"rgb-transparent.png":  {{255, 255, 255}, {0, 200, 0}},
	"rgba8.png":            {{205, 230, 255}, {255, 0, 0}, {255, 255, 255}, {132, 227, 142}},
	"rgba16.png":           {{205, 230, 255}, {255, 0, 0}, {255, 255, 255}},
	"palette1.png":         {{255, 0, 0}, {205, 230, 255}},
	"palette2.png":         {{255, 0, 0}, {205, 230, 255}, {255, 255, 255}, {90, 140, 190}},
	"palette4.png":         {{255, 0, 0}, {205, 230, 255}, {255, 255, 255}, {90, 140, 190}},
	"palette8.png":         {{255, 0, 0}, {205, 230, 255}, {255, 255, 255}, {90, 140, 190}},
	"transparent.gif":      {{255, 0, 0}, {0, 127, 255}, {255, 255, 255}, {90, 140, 190}},
	"animated.gif":         {{255, 0, 0}},
	"lossy.webp":           {{255, 255, 255}, {0, 0, 0}, {255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {90, 140, 190}},
	"lossy-alpha.webp":     {{205, 230, 255}, {255, 0, 0}, {255, 255, 255}, {132, 227, 142}},
	"lossless.webp":        {{205, 230, 255}, {255, 0, 0}, {255, 255, 255}, {132, 227, 142}},
	"animated.webp":        {{255, 0, 0}, {255, 0, 0}},
	"animated-lossy.webp":  {{255, 0, 0}},
	"rgb.bmp":              {{255, 255, 255}, {200, 30, 90}, {90, 140, 190}, {0, 0, 0}},
	"palette.bmp":          {{255, 0, 0}, {0, 127, 255}, {0, 0, 0}, {90, 140, 190}},
	"raw.tiff":             {{255, 255, 255}, {200, 30, 90}, {90, 140, 190}, {0, 0, 0}},
	"lzw.tiff":             {{255, 255, 255}, {200, 30, 90}, {90, 140, 190}, {0, 0, 0}},
	"deflate.tiff":         {{255, 255, 255}, {200, 30, 90}, {90, 140, 190}, {0, 0, 0}},
	"packbits.tiff":        {{255, 255, 255}, {200, 30, 90}, {90, 140, 190}, {0, 0, 0}},
	"rgba.tiff":            {{205, 230, 255}, {255, 0, 0}, {255, 255, 255}},
	"grey16.tiff":          {{255, 255, 255}, {156, 156, 156}, {0, 0, 0}},
	"bilevel-g4.tiff":      {{255, 255, 255}, {0, 0, 0}},
	"cmyk.jpg":             {{255, 255, 255}, {0, 255, 255}, {255, 0, 255}, {255, 255, 0}, {0, 0, 0}, {49, 181, 216}},
	"cmyk-unmarked.jpg":    {{255, 255, 255}, {0, 255, 255}, {255, 0, 255}, {255, 255, 0}, {0, 0, 0}, {49, 181, 216}},
	"ycck.jpg":             {{0, 0, 0}, {17, 241, 241}, {242, 17, 241}, {239, 240, 16}, {0, 0, 0}, {69, 82, 122}},
}

// requireAll crawls the pictures with these names and compares what is stored of them with their colours.
func requireAll(t *testing.T, want map[string][]rgb) {
	t.Helper()
	files := make(map[string][]byte)
	var paths []string
	for name := range want {
		files[name] = pictureFile(t, name)
		paths = append(paths, "/"+name)
	}
	s := gallery(t, files)
	got, v := s.pictures(paths...)
	require.Empty(t, v.Failures)
	require.Len(t, got, len(paths))
	for i, f := range got {
		img := decoded(t, s.images.Store, f.Path)
		requireColours(t, img, paths[i], want[paths[i][1:]]...)
		require.Equal(t, img.Bounds().Size(), image.Pt(f.Width, f.Height))
		require.Equal(t, "image/jpeg", f.ContentType)
	}
}

// only are those of the colours whose files have one of these beginnings.
func only(beginnings ...string) map[string][]rgb {
	some := make(map[string][]rgb)
	for name, want := range colours {
		for _, b := range beginnings {
			if strings.HasPrefix(name, b) {
				some[name] = want
			}
		}
	}
	return some
}

func md5Of(data []byte) string {
	sum := md5.Sum(data)
	return hex.EncodeToString(sum[:])
}

// exifSegment is a JPEG's EXIF data with an orientation and nothing else.
func exifSegment(orientation int) []byte {
	b := []byte("\xff\xe1\x00\x22Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01")
	b = binary.BigEndian.AppendUint16(b, uint16(orientation))
	return append(b, 0, 0, 0, 0, 0, 0)
}

// withOrientation puts EXIF data into a JPEG.
func withOrientation(data []byte, orientation int) []byte {
	return bytes.Join([][]byte{data[:2], exifSegment(orientation), data[2:]}, nil)
}

// quarters is a JPEG of 48 by 32 pixels: red and green above blue and white.
func quarters(t testing.TB) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 48, 32))
	for y := range 32 {
		for x := range 48 {
			img.SetRGBA(x, y, [2][2]color.RGBA{{{255, 0, 0, 255}, {0, 255, 0, 255}}, {{0, 0, 255, 255}, {255, 255, 255, 255}}}[y/16][x/24])
		}
	}
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}))
	return b.Bytes()
}

func TestRowsOfPictures(t *testing.T) {
	t.Parallel()

	t.Run("I1 every picture is stored as RGB JPEG under .jpg with its type and size", func(t *testing.T) {
		t.Parallel()
		s := gallery(t, map[string][]byte{"x.png": pictureFile(t, "rgba8.png")})
		got, _ := s.pictures("/x.png")
		f := one(t, got)
		require.Equal(t, "full/"+sha1Of(media+"/x.png")+".jpg", f.Path)
		require.Equal(t, []any{64, 16, "image/jpeg", "downloaded"}, []any{f.Width, f.Height, f.ContentType, f.Status})
		info, err := s.images.Store.Stat(t.Context(), f.Path)
		require.NoError(t, err)
		require.Equal(t, "image/jpeg", info.Meta.ContentType)
		require.Equal(t, []int{64, 16}, []int{info.Meta.Width, info.Meta.Height})
		require.Equal(t, info.Size, f.Size)
		require.Equal(t, md5Of(contentOf(t, s.images.Store, f.Path)), f.Checksum)
	})

	t.Run("I2 I3 an upright RGB JPEG is stored byte for byte, and only that", func(t *testing.T) {
		t.Parallel()
		pictures := map[string][]byte{
			"baseline": quarters(t), "progressive": pictureFile(t, "progressive.jpg"), "422": pictureFile(t, "422.jpg"), "rgb": pictureFile(t, "rgb.jpg"),
			"upright": withOrientation(quarters(t), 1), "turned": withOrientation(quarters(t), 6), "grey": pictureFile(t, "grey.jpg"), "cmyk": pictureFile(t, "cmyk.jpg"),
		}
		for name, thumbs := range map[string]map[string]crawl.Size{"alone": nil, "with thumbnails": {"s": {Width: 10, Height: 10}}} {
			for picture, isKept := range map[string]bool{
				"baseline": true, "progressive": true, "422": true, "rgb": true, "upright": true, "turned": false, "grey": false, "cmyk": false,
			} {
				s := gallery(t, pictures)
				s.settings.Images.Thumbs = thumbs
				got, _ := s.pictures("/" + picture)
				f := one(t, got)
				require.Equal(t, isKept, bytes.Equal(pictures[picture], contentOf(t, s.images.Store, f.Path)), "%s, %s", picture, name)
				require.Equal(t, isKept, md5Of(pictures[picture]) == f.Checksum, "%s, %s", picture, name)
			}
		}
	})

	t.Run("I4 EXIF turns the picture before anything else looks at it", func(t *testing.T) {
		t.Parallel()
		// The corners that a viewer shows, clockwise from the upper left one, when red, green, white, blue are stored so.
		shown := map[int]string{1: "rgwb", 2: "grbw", 3: "wbrg", 4: "bwgr", 5: "rbwg", 6: "brgw", 7: "wgrb", 8: "gwbr"}
		names := map[byte]rgb{'r': {255, 0, 0}, 'g': {0, 255, 0}, 'b': {0, 0, 255}, 'w': {255, 255, 255}}
		pictures := make(map[string][]byte)
		for o := range shown {
			pictures[strconv.Itoa(o)] = withOrientation(quarters(t), o)
		}
		s := gallery(t, pictures)
		s.settings.Images.Thumbs = map[string]crawl.Size{"half": {Width: 24, Height: 24}}
		got, _ := s.pictures("/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8")
		require.Len(t, got, 8)
		for i, f := range got {
			size, half := image.Pt(48, 32), image.Pt(24, 16)
			if i+1 >= 5 {
				size, half = image.Pt(32, 48), image.Pt(16, 24)
			}
			require.Equal(t, size, image.Pt(f.Width, f.Height), "orientation %d", i+1)
			require.Equal(t, crawl.Thumb{Path: f.Thumbs["half"].Path, Width: half.X, Height: half.Y}, f.Thumbs["half"])
			for name, img := range map[string]image.Image{"full": decoded(t, s.images.Store, f.Path), "half": decoded(t, s.images.Store, f.Thumbs["half"].Path)} {
				w, h := img.Bounds().Dx(), img.Bounds().Dy()
				for k, p := range []image.Point{{3, 3}, {w - 4, 3}, {w - 4, h - 4}, {3, h - 4}} {
					if i == 0 && name == "full" {
						continue // kept as it came, and it has EXIF data, which no decoder of Go's minds
					}
					requireColour(t, img, p.X, p.Y, names[shown[i+1][k]], 40, fmt.Sprintf("orientation %d, %s", i+1, name))
				}
			}
			if i > 0 {
				require.NotContains(t, string(contentOf(t, s.images.Store, f.Path)), "Exif", "the picture is upright now")
			}
		}
		// The limits are for what a viewer shows, too.
		s.images.Store, s.settings.Images.MinHeight = new(store.Memory), 40
		got, v := s.pictures("/1", "/6")
		require.Equal(t, 48, one(t, got).Height)
		require.ErrorContains(t, v.Failures[0], "image too small (48x32 < 0x40)")
	})

	t.Run("I4 EXIF turns WebP and TIFF too", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"orientation6.webp", "orientation6.tiff"} {
			s := gallery(t, map[string][]byte{name: pictureFile(t, name)})
			got, _ := s.pictures("/" + name)
			img := decoded(t, s.images.Store, one(t, got).Path)
			w, h := img.Bounds().Dx(), img.Bounds().Dy()
			require.Equal(t, 2*w, h)
			requireColour(t, img, w/2, h/4, rgb{255, 0, 0}, 8, name)
			requireColour(t, img, w/2, 3*h/4, rgb{0, 255, 0}, 8, name)
		}
	})

	t.Run("I5 what is transparent is blended onto white", func(t *testing.T) {
		t.Parallel()
		requireAll(t, only("rgba", "lossy-alpha", "lossless", "rgb-transparent"))
	})

	t.Run("I6 palettes of 1, 2, 4 and 8 bits, with their transparency", func(t *testing.T) {
		t.Parallel()
		requireAll(t, only("palette", "transparent.gif"))
	})

	t.Run("I7 grey with alpha is blended onto white", func(t *testing.T) {
		t.Parallel()
		requireAll(t, only("grey-alpha"))
	})

	t.Run("I8 grey and 16 bits are scaled, inks become the colours that they print", func(t *testing.T) {
		t.Parallel()
		requireAll(t, only("grey", "bilevel", "rgb16", "cmyk", "ycck"))
	})

	t.Run("I9 of an animation the first frame is stored", func(t *testing.T) {
		t.Parallel()
		requireAll(t, only("animated"))
	})

	t.Run("I10 JPEG, PNG, GIF, WebP, BMP and TIFF are told by their content", func(t *testing.T) {
		t.Parallel()
		requireAll(t, colours) // all served as image/jpeg
		files := map[string][]byte{"a.jpg": pictureFile(t, "rgb8.png"), "b.png": pictureFile(t, "progressive.jpg"), "c.html": pictureFile(t, "lossless.webp")}
		got, v := gallery(t, files).pictures("/a.jpg", "/b.png", "/c.html")
		require.Len(t, got, 3)
		require.Empty(t, v.Failures)
	})

	t.Run("I10 what is no picture is undecodable and says what it looks like", func(t *testing.T) {
		t.Parallel()
		says := map[string]string{
			"<!DOCTYPE html><html><body>Not found</body></html>": "looks like HTML", `<svg xmlns="http://www.w3.org/2000/svg"/>`: "looks like SVG",
			`{"error": "not found"}`: "looks like JSON", "%PDF-1.7\n": "looks like PDF", "sorry": "looks like text", "\x01\x02\x03\xfe\xfd": "not a picture",
		}
		files := make(map[string][]byte)
		var paths, wanted []string
		for body, want := range says {
			name := strconv.Itoa(len(paths)) + ".jpg"
			files[name], paths, wanted = []byte(body), append(paths, "/"+name), append(wanted, media+"/"+name+">: undecodable: "+want)
		}
		files["empty.jpg"], paths, wanted = nil, append(paths, "/empty.jpg"), append(wanted, "empty.jpg>: empty: status 200 with no body")
		s := gallery(t, files)
		got, v := s.pictures(paths...)
		require.Empty(t, got)
		require.Empty(t, s.images.Store.(*store.Memory).Names())
		require.Len(t, v.Failures, len(wanted))
		all := ""
		for _, f := range v.Failures {
			all += f.Error() + "\n"
		}
		for _, want := range wanted {
			require.Contains(t, all, want)
		}
		require.EqualValues(t, len(says), v.Stats.Int("media/failed_kind_count/undecodable"))
	})

	t.Run("I11 a picture that is cut short fails", func(t *testing.T) {
		t.Parallel()
		files := make(map[string][]byte)
		var paths []string
		for name := range colours {
			data := pictureFile(t, name)
			part := data[:len(data)*3/5]
			if strings.HasPrefix(name, "animated") {
				part = data[:len(data)/4] // not even the first frame
			}
			files[name], paths = part, append(paths, "/"+name)
		}
		for _, thumbs := range []map[string]crawl.Size{nil, {"s": {Width: 5, Height: 5}}} {
			s := gallery(t, files)
			s.settings.Images.Thumbs = thumbs
			got, v := s.pictures(paths...)
			require.Empty(t, got)
			require.Len(t, v.Failures, len(paths))
			for _, f := range v.Failures {
				require.Equal(t, pipeline.KindUndecodable, f.Kind, "%v", f)
			}
			require.Empty(t, s.images.Store.(*store.Memory).Names())
		}
	})

	t.Run("I11 a header with nothing behind it is no picture, in whatever file", func(t *testing.T) {
		t.Parallel()
		header := hugeJPEG(2000, 2000)
		files := map[string][]byte{"bare.jpg": append(bytes.Clone(header), "\xff\xd9"...)}
		files["padded.jpg"] = append(bytes.Clone(files["bare.jpg"]), make([]byte, 1<<20)...)
		for _, thumbs := range []map[string]crawl.Size{nil, {"s": {Width: 5, Height: 5}}} {
			s := gallery(t, files)
			s.settings.Images.Thumbs = thumbs
			got, v := s.pictures("/bare.jpg", "/padded.jpg")
			require.Empty(t, got)
			for _, f := range v.Failures {
				require.Equal(t, pipeline.KindUndecodable, f.Kind, "%v", f)
			}
		}
	})

	t.Run("I12 the header is read first: too many pixels fail before there is one", func(t *testing.T) {
		t.Parallel()
		s := gallery(t, map[string][]byte{
			"huge.jpg": hugeJPEG(20000, 20000), "large.jpg": hugeJPEG(13000, 13000), "small.jpg": jpegOf(t, 40, 30), "smaller.jpg": jpegOf(t, 40, 29),
		})
		got, v := s.pictures("/huge.jpg", "/large.jpg", "/small.jpg")
		require.Len(t, got, 1)
		require.Len(t, v.Failures, 2)
		for _, f := range v.Failures {
			if strings.HasSuffix(f.URL, "huge.jpg") {
				require.Equal(t, pipeline.KindTooManyPixels, f.Kind)
				require.ErrorContains(t, f, "20000x20000 is 400000000 pixels, more than 178956970 (set images.max_pixels)")
			} else {
				require.Equal(t, pipeline.KindUndecodable, f.Kind, "there is nothing behind its header")
			}
		}
		s.images.Store, s.settings.Images.MaxPixels = new(store.Memory), 40*30-1
		got, v = s.pictures("/small.jpg", "/smaller.jpg")
		require.Equal(t, 29, one(t, got).Height)
		require.Equal(t, pipeline.KindTooManyPixels, v.Failures[0].Kind)
	})

	t.Run("I12 the pixels in work are bounded", func(t *testing.T) {
		t.Parallel()
		for budget, most := range map[int64]int64{1: 1, 40 * 30: 1, 2*40*30 - 1: 1, 2 * 40 * 30: min(2, int64(runtime.GOMAXPROCS(0)))} {
			synctest.Test(t, func(t *testing.T) {
				s := gallery(t, map[string][]byte{"1": jpegOf(t, 40, 30), "2": jpegOf(t, 40, 30), "3": jpegOf(t, 40, 30), "4": jpegOf(t, 40, 30)})
				s.settings.Images.PixelBudget = budget
				var now, peak atomic.Int64
				s.images.ConvertImage = func(_ context.Context, _ *crawl.Response, img image.Image, _ any) (image.Image, error) {
					for n := now.Add(1); n > peak.Load(); n = now.Load() {
						peak.Store(n)
					}
					time.Sleep(time.Second)
					now.Add(-1)
					return img, nil
				}
				got, _ := s.pictures("/1", "/2", "/3", "/4")
				require.Len(t, got, 4)
				require.Equal(t, most, peak.Load(), "with a budget of %d", budget)
			})
		}
	})

	t.Run("I13 quality, of pictures and thumbnails, baseline and 4:2:0", func(t *testing.T) {
		t.Parallel()
		// The first quantizer of the tables in the standard's annex K at that quality.
		for quality, first := range map[int]byte{0: 8, 75: 8, 50: 16, 100: 1} {
			s := gallery(t, map[string][]byte{"x": pictureFile(t, "rgb8.png")})
			s.settings.Images.Quality, s.settings.Images.Thumbs = quality, map[string]crawl.Size{"s": {Width: 20, Height: 20}}
			got, _ := s.pictures("/x")
			f := one(t, got)
			for _, name := range []string{f.Path, f.Thumbs["s"].Path} {
				data := contentOf(t, s.images.Store, name)
				table := bytes.Index(data, []byte("\xff\xdb"))
				require.Equal(t, first, data[table+5], "quality %d", quality)
				frame := bytes.Index(data, []byte("\xff\xc0"))
				require.Positive(t, frame, "baseline")
				require.EqualValues(t, 0x22, data[frame+11], "two by two pixels of luma for one of chroma")
			}
		}
	})

	t.Run("I13 with PreserveFormat pictures stay as they are", func(t *testing.T) {
		t.Parallel()
		files := map[string][]byte{
			"a.png": pictureFile(t, "rgba8.png"), "b.gif": pictureFile(t, "animated.gif"), "c.webp": pictureFile(t, "lossy-alpha.webp"), "d.JPG": withOrientation(quarters(t), 6),
			"e": pictureFile(t, "lzw.tiff"), "f.php": pictureFile(t, "cmyk.jpg"), "g.jpg": pictureFile(t, "grey16.png"), "h.bmp": pictureFile(t, "rgb.bmp"),
		}
		names := map[string]string{
			"a.png": ".png", "b.gif": ".gif", "c.webp": ".webp", "d.JPG": ".jpg", "e": ".tiff", "f.php": ".jpg", "g.jpg": ".jpg", "h.bmp": ".bmp",
		}
		types := map[string]string{
			"a.png": "image/png", "b.gif": "image/gif", "c.webp": "image/webp", "d.JPG": "image/jpeg", "e": "image/tiff", "f.php": "image/jpeg", "g.jpg": "image/png",
			"h.bmp": "image/bmp",
		}
		paths := []string{"/a.png", "/b.gif", "/c.webp", "/d.JPG", "/e", "/f.php", "/g.jpg", "/h.bmp"}
		for _, thumbs := range []map[string]crawl.Size{nil, {"s": {Width: 8, Height: 8}}} {
			s := gallery(t, files)
			s.settings.Images.PreserveFormat, s.settings.Images.Thumbs = true, thumbs
			for _, status := range []string{"downloaded", "uptodate"} {
				got, v := s.pictures(paths...)
				require.Empty(t, v.Failures)
				require.Len(t, got, len(paths))
				for i, f := range got {
					name := paths[i][1:]
					require.Equal(t, status, f.Status, name)
					require.Equal(t, "full/"+sha1Of(media+paths[i])+names[name], f.Path)
					require.Equal(t, types[name], f.ContentType, name)
					require.Equal(t, files[name], contentOf(t, s.images.Store, f.Path), name)
					require.Equal(t, md5Of(files[name]), f.Checksum)
					for _, thumb := range f.Thumbs {
						require.Equal(t, "thumbs/s/"+sha1Of(media+paths[i])+".jpg", thumb.Path)
						require.Equal(t, image.Pt(thumb.Width, thumb.Height), decoded(t, s.images.Store, thumb.Path).Bounds().Size())
					}
					require.Len(t, f.Thumbs, len(thumbs))
				}
				require.Equal(t, image.Pt(32, 48), image.Pt(got[3].Width, got[3].Height), "as a viewer shows it")
				if status == "uptodate" {
					require.Empty(t, v.media())
				}
			}
		}
		for name, data := range files {
			s := gallery(t, map[string][]byte{name: data[:len(data)/4], "html": []byte("<html>")})
			s.settings.Images.PreserveFormat = true
			got, v := s.pictures("/"+name, "/html")
			require.Empty(t, got)
			require.Len(t, v.Failures, 2, "they are looked at all the same")
		}
		s := gallery(t, files)
		s.settings.Images.PreserveFormat = true
		s.images.ConvertImage = func(_ context.Context, _ *crawl.Response, img image.Image, _ any) (image.Image, error) {
			return img, nil
		}
		got, _ := s.pictures("/a.png")
		require.Equal(t, "full/"+sha1Of(media+"/a.png")+".jpg", one(t, got).Path, "what a hook has made is JPEG")
		decoded(t, s.images.Store, got[0].Path)
	})

	t.Run("I14 a picture that is too small fails and leaves nothing", func(t *testing.T) {
		t.Parallel()
		for _, test := range []struct{ w, h, minW, minH int }{
			{50, 50, 100, 100}, {150, 50, 100, 100}, {50, 150, 100, 100}, {99, 200, 100, 0}, {200, 99, 0, 100},
		} {
			s := gallery(t, map[string][]byte{"x": jpegOf(t, test.w, test.h)})
			s.settings.Images.MinWidth, s.settings.Images.MinHeight = test.minW, test.minH
			s.settings.Images.Thumbs = map[string]crawl.Size{"s": {Width: 10, Height: 10}}
			got, v := s.pictures("/x")
			require.Empty(t, got)
			require.Equal(t, pipeline.KindTooSmall, v.Failures[0].Kind)
			require.ErrorContains(t, v.Failures[0], fmt.Sprintf("image too small (%dx%d < %dx%d)", test.w, test.h, test.minW, test.minH))
			require.Empty(t, s.images.Store.(*store.Memory).Names())
		}
		for _, least := range []image.Point{{100, 80}, {100, 0}, {0, 80}, {0, 0}} {
			s := gallery(t, map[string][]byte{"x": jpegOf(t, 100, 80)})
			s.settings.Images.MinWidth, s.settings.Images.MinHeight = least.X, least.Y
			got, _ := s.pictures("/x")
			require.Len(t, got, 1, "exactly enough")
		}
	})

	t.Run("I15 thumbnails may be smaller than that", func(t *testing.T) {
		t.Parallel()
		s := gallery(t, map[string][]byte{"x": jpegOf(t, 100, 100)})
		s.settings.Images.MinWidth, s.settings.Images.MinHeight = 100, 100
		s.settings.Images.Thumbs = map[string]crawl.Size{"s": {Width: 10, Height: 25}}
		got, _ := s.pictures("/x")
		require.Equal(t, 10, one(t, got).Thumbs["s"].Width)
	})

	t.Run("I16 I17 I18 thumbnails have Pillow's sizes, and the results say so", func(t *testing.T) {
		t.Parallel()
		boxes := map[string]crawl.Size{"a": {Width: 50, Height: 50}, "b": {Width: 270, Height: 270}, "c": {Width: 10, Height: 25}, "d": {Width: 100, Height: 20}}
		vectors := map[string]string{
			"100x100": "50x50 100x100 10x10 20x20", "400x300": "50x38 270x203 10x8 27x20", "300x400": "37x50 202x270 10x13 15x20", "1000x10": "50x1 270x3 10x1 100x1",
			"10x1000": "1x50 3x270 1x25 1x20", "51x50": "50x49 51x50 10x10 20x20", "640x427": "50x33 270x180 10x7 30x20", "333x500": "33x50 180x270 10x15 13x20",
			"1x1": "1x1 1x1 1x1 1x1",
		}
		files := make(map[string][]byte)
		var paths []string
		for size := range vectors {
			var w, h int
			_, err := fmt.Sscanf(size, "%dx%d", &w, &h)
			require.NoError(t, err)
			files[size], paths = jpegOf(t, w, h), append(paths, "/"+size)
		}
		s := gallery(t, files)
		s.settings.Images.Thumbs = boxes
		got, _ := s.pictures(paths...)
		require.Len(t, got, len(vectors))
		for i, f := range got {
			size := paths[i][1:]
			require.Equal(t, size, fmt.Sprintf("%dx%d", f.Width, f.Height))
			require.EqualValues(t, len(files[size]), f.Size)
			require.Equal(t, "image/jpeg", f.ContentType)
			var sizes []string
			for _, name := range []string{"a", "b", "c", "d"} {
				thumb := f.Thumbs[name]
				require.Equal(t, "thumbs/"+name+"/"+sha1Of(media+paths[i])+".jpg", thumb.Path)
				require.Equal(t, image.Pt(thumb.Width, thumb.Height), decoded(t, s.images.Store, thumb.Path).Bounds().Size())
				sizes = append(sizes, fmt.Sprintf("%dx%d", thumb.Width, thumb.Height))
			}
			require.Equal(t, vectors[size], strings.Join(sizes, " "), size)
			require.Len(t, f.Thumbs, 4)
		}
	})

	t.Run("I19 a thumbnail that can't be stored leaves no picture", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { // the store is asked four times
			s := gallery(t, map[string][]byte{"x": jpegOf(t, 100, 80)})
			kept := new(store.Memory)
			s.images.Store = &pickyStore{Memory: kept, refuse: "thumbs/b"}
			s.settings.Images.Thumbs = map[string]crawl.Size{"a": {Width: 50, Height: 50}, "b": {Width: 40, Height: 40}, "c": {Width: 10, Height: 10}}
			got, v := s.pictures("/x")
			require.Empty(t, got)
			require.Equal(t, pipeline.KindStore, v.Failures[0].Kind)
			for _, name := range kept.Names() {
				require.NotContains(t, name, "full/")
			}
			s.images.Store = kept
			got, _ = s.pictures("/x")
			require.Equal(t, "downloaded", one(t, got).Status)
			require.Len(t, got[0].Thumbs, 3)
		})
	})

	t.Run("I20 pages go on while pixels are in work", func(t *testing.T) {
		t.Parallel()
		s := gallery(t, map[string][]byte{"1": jpegOf(t, 40, 30), "2": jpegOf(t, 40, 30), "3": jpegOf(t, 40, 30), "4": jpegOf(t, 40, 30)})
		arrived, last := make(chan struct{}, 4), make(chan struct{})
		s.images.ConvertImage = func(_ context.Context, _ *crawl.Response, img image.Image, _ any) (image.Image, error) {
			arrived <- struct{}{}
			<-last
			return img, nil
		}
		s.spider.Parse = func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			n, _ := strconv.Atoi(r.URL.Query().Get("n"))
			switch n {
			case 0:
				out.Item(withImages("/1", "/2", "/3", "/4"))
				<-arrived // somebody works, and will until the last page is here
			case 20:
				close(last)
				return nil
			}
			out.Request(crawl.Get(fmt.Sprintf("%s?n=%d", pageURL, n+1)))
			return nil
		}
		v := s.crawl()
		require.Len(t, imagesOf(v.Items[0]), 4)
		require.Equal(t, "finished", v.Reason)
	})

	t.Run("I20 a malformed picture fails alone", func(t *testing.T) {
		t.Parallel()
		bad := pictureFile(t, "palette8.png")
		bad = bytes.Replace(bad, []byte("PLTE"), []byte("pLTE"), 1)
		s := gallery(t, map[string][]byte{"good": jpegOf(t, 40, 30), "bad": bad, "index": indexBeyondPalette()})
		got, v := s.pictures("/bad", "/good", "/index")
		require.Equal(t, media+"/good", got[0].URL)
		for _, f := range v.Failures {
			require.Equal(t, pipeline.KindUndecodable, f.Kind)
		}
		require.Equal(t, 3, len(got)+len(v.Failures))
	})
}

// hugeJPEG is a header with nothing behind it.
func hugeJPEG(w, h int) []byte {
	b := []byte("\xff\xd8\xff\xc0\x00\x11\x08")
	b = binary.BigEndian.AppendUint16(b, uint16(h))
	b = binary.BigEndian.AppendUint16(b, uint16(w))
	b = append(b, "\x03\x01\x22\x00\x02\x11\x00\x03\x11\x00"...)
	return append(b, "\xff\xda\x00\x0c\x03\x01\x00\x02\x00\x03\x00\x00\x3f\x00"...)
}

// indexBeyondPalette is a GIF of two colours whose pixels say the fourth: what makes imaging end the process (CVE-2023-36308) if it gets to see it.
func indexBeyondPalette() []byte {
	return []byte("GIF89a\x02\x00\x02\x00\x80\x00\x00\xff\x00\x00\x00\xff\x00,\x00\x00\x00\x00\x02\x00\x02\x00\x00\x02\x03\xdc\x06\x05\x00;")
}

// pickyStore refuses what is below a folder.
type pickyStore struct {
	*store.Memory
	refuse string
}

func (s *pickyStore) Put(ctx context.Context, name string, r io.Reader, meta crawl.Meta) error {
	if strings.HasPrefix(name, s.refuse) {
		return errors.New("no room")
	}
	return s.Memory.Put(ctx, name, r, meta)
}

package pipeline

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

// Small pictures make fast tests: 120x90 gives 20x15 and 60x45.
var twoThumbs = map[string]crawl.Size{"small": {Width: 20, Height: 20}, "big": {Width: 60, Height: 60}}

// I1 I2 I16 I18 V6
func TestPictureWithThumbnails(t *testing.T) {
	t.Parallel()
	raw := jpegOf(t, 640, 427)
	b := newBench(t, crawl.Settings{Images: crawl.ImagesSettings{
		Thumbs: map[string]crawl.Size{"small": {Width: 50, Height: 50}, "big": {Width: 270, Height: 270}},
	}}, map[string]http.HandlerFunc{"/x.png": serve("image/png", raw)})
	p, s := drawing()
	book := &Book{ImageURLs: urls("/x.png")}
	b.must(b.open(p), book)
	hash := nameOf(t, site+"/x.png")
	sum := md5.Sum(raw)
	require.Equal(t, []crawl.File{{
		URL: site + "/x.png", Path: "full/" + hash + ".jpg", Checksum: hex.EncodeToString(sum[:]), Status: "downloaded", Width: 640, Height: 427,
		Size: int64(len(raw)), ContentType: "image/jpeg",
		Thumbs: map[string]crawl.Thumb{
			"small": {Path: "thumbs/small/" + hash + ".jpg", Width: 50, Height: 33},
			"big":   {Path: "thumbs/big/" + hash + ".jpg", Width: 270, Height: 180},
		},
	}}, book.Images)
	require.Equal(t, raw, stored(t, s, book.Images[0].Path), "byte for byte")
	for _, thumb := range book.Images[0].Thumbs {
		format, size := sizeOf(t, stored(t, s, thumb.Path))
		require.Equal(t, "jpeg", format)
		require.Equal(t, image.Pt(thumb.Width, thumb.Height), size)
	}
	info, err := s.Stat(t.Context(), book.Images[0].Path)
	require.NoError(t, err)
	require.Equal(t, crawl.Meta{
		Checksum: hex.EncodeToString(sum[:]), Width: 640, Height: 427, ContentType: "image/jpeg", Thumbs: book.Images[0].Thumbs,
	}, info.Meta)
}

// I1 I5 V6
func TestOtherFormatsBecomeJPEG(t *testing.T) {
	t.Parallel()
	see := image.NewNRGBA(image.Rect(0, 0, 64, 48))
	for i := range see.Pix {
		see.Pix[i] = [4]byte{0, 127, 255, 50}[i%4]
	}
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x.png": serve("image/png", pngOf(t, see))})
	p, s := drawing()
	book := &Book{ImageURLs: urls("/x.png")}
	b.must(b.open(p), book)
	data := stored(t, s, book.Images[0].Path)
	sum := md5.Sum(data)
	require.Equal(t, hex.EncodeToString(sum[:]), book.Images[0].Checksum, "of what is stored")
	require.EqualValues(t, len(data), book.Images[0].Size)
	require.Equal(t, "image/jpeg", book.Images[0].ContentType)
	img, err := jpeg.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	r, g, bl, _ := img.At(30, 20).RGBA()
	require.InDeltaSlice(t, []float64{205, 230, 255}, []float64{float64(r >> 8), float64(g >> 8), float64(bl >> 8)}, 3)
}

// I10 I11 I12 I14
func TestPicturesThatFail(t *testing.T) {
	t.Parallel()
	good := jpegOf(t, 100, 80)
	tests := map[string]struct {
		body     []byte
		settings crawl.ImagesSettings
		kind     crawl.Kind
		says     string
	}{
		"HTML":                      {body: []byte("<!DOCTYPE html><html><body>not found"), kind: KindUndecodable, says: "looks like HTML"},
		"garbage":                   {body: bytes.Repeat([]byte{0x81}, 500), kind: KindUndecodable},
		"cut short":                 {body: good[:len(good)/2], kind: KindUndecodable, says: "truncated jpeg"},
		"cut short, for thumbnails": {body: good[:len(good)/2], settings: crawl.ImagesSettings{Thumbs: twoThumbs}, kind: KindUndecodable, says: "truncated jpeg"},
		"too narrow":                {body: good, settings: crawl.ImagesSettings{MinWidth: 101}, kind: KindTooSmall, says: "image too small (100x80 < 101x0)"},
		"too low":                   {body: good, settings: crawl.ImagesSettings{MinWidth: 100, MinHeight: 81}, kind: KindTooSmall, says: "image too small (100x80 < 100x81)"},
		"too many pixels":           {body: good, settings: crawl.ImagesSettings{MaxPixels: 7999}, kind: KindTooManyPixels, says: "set images.max_pixels"},
		"exactly enough":            {body: good, settings: crawl.ImagesSettings{MinWidth: 100, MinHeight: 80, MaxPixels: 8000}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, crawl.Settings{Images: test.settings}, map[string]http.HandlerFunc{"/x": serve("image/jpeg", test.body)})
			p, s := drawing()
			var results []Result
			p.ItemCompleted = collect(&results)
			book := &Book{ImageURLs: urls("/x")}
			b.must(b.open(p), book)
			if test.kind == "" {
				require.NoError(t, results[0].Err)
				return
			}
			e := failureOf(t, results[0])
			require.Equal(t, test.kind, e.Kind)
			require.Equal(t, 200, e.Status)
			require.ErrorContains(t, e, test.says)
			require.Empty(t, s.Names(), "nothing is stored, no thumbnail either")
			require.Empty(t, book.Images)
		})
	}
}

// I4: the size that counts is the upright one.
func TestSizeOfATurnedPicture(t *testing.T) {
	t.Parallel()
	raw := jpegOf(t, 100, 60)
	// EXIF with one entry: orientation 6, a quarter turn.
	exif := append([]byte("\xff\xe1\x00\x22Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"), raw[2:]...)
	turned := append([]byte("\xff\xd8"), exif...)
	b := newBench(t, crawl.Settings{Images: crawl.ImagesSettings{MinHeight: 100}}, map[string]http.HandlerFunc{"/x": serve("image/jpeg", turned)})
	p, s := drawing()
	book := &Book{ImageURLs: urls("/x")}
	b.must(b.open(p), book)
	require.Len(t, book.Images, 1)
	_, size := sizeOf(t, stored(t, s, book.Images[0].Path))
	require.Equal(t, image.Pt(60, 100), size)
	require.Equal(t, size, image.Pt(book.Images[0].Width, book.Images[0].Height))
}

func TestImageDownloadedSeesTheSize(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/wide": serve("", jpegOf(t, 90, 10)), "/high": serve("", jpegOf(t, 10, 90))})
	p, _ := drawing()
	p.ImageDownloaded = func(_ context.Context, _ *crawl.Response, size crawl.Size, _ any) error {
		if size.Width > 3*size.Height {
			return crawl.IgnoreRequest(fmt.Sprintf("a banner of %dx%d", size.Width, size.Height))
		}
		return nil
	}
	book := &Book{ImageURLs: urls("/wide", "/high")}
	b.must(b.open(p), book)
	require.Len(t, book.Images, 1)
	require.Equal(t, site+"/high", book.Images[0].URL)
}

func TestConvertImage(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{Images: crawl.ImagesSettings{Thumbs: map[string]crawl.Size{"s": {Width: 10, Height: 10}}}}, map[string]http.HandlerFunc{
		"/crop": serve("", jpegOf(t, 100, 80)), "/none": serve("", jpegOf(t, 100, 80)), "/panic": serve("", jpegOf(t, 100, 80)),
	})
	p, s := drawing()
	p.ConvertImage = func(_ context.Context, resp *crawl.Response, img image.Image, _ any) (image.Image, error) {
		switch resp.Request.URL.Path {
		case "/none":
			return nil, nil
		case "/panic":
			panic("in the hook")
		}
		// An index beyond the palette, which would kill a process that hands it to a careless library.
		crop := image.NewPaletted(image.Rect(5, 5, 45, 25), color.Palette{color.Black, color.White})
		crop.Pix[3] = 200
		require.Equal(t, image.Pt(100, 80), img.Bounds().Size())
		return crop, nil
	}
	var results []Result
	p.ItemCompleted = collect(&results)
	book := &Book{ImageURLs: urls("/crop", "/none", "/panic")}
	b.must(b.open(p), book)
	require.Len(t, book.Images, 1)
	require.Equal(t, [2]int{40, 20}, [2]int{book.Images[0].Width, book.Images[0].Height})
	require.Equal(t, 5, book.Images[0].Thumbs["s"].Height)
	_, size := sizeOf(t, stored(t, s, book.Images[0].Path))
	require.Equal(t, image.Pt(40, 20), size)
	require.ErrorContains(t, results[1].Err, "ConvertImage returned no picture")
	var panicked *crawl.PanicError
	require.ErrorAs(t, results[2].Err, &panicked)
	require.Len(t, s.Names(), 2)
}

// orderedStore writes down what it keeps.
type orderedStore struct {
	store.Memory
	notes notes
	fail  string
}

func (s *orderedStore) Put(ctx context.Context, name string, r io.Reader, meta crawl.Meta) error {
	folder, _, _ := strings.Cut(name, "/")
	s.notes.add(folder)
	if folder == s.fail {
		return fmt.Errorf("%w: %s", store.ErrName, "not this one") // one that is not tried again
	}
	return s.Memory.Put(ctx, name, r, meta)
}

// I19
func TestFullPictureIsStoredLast(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{Images: crawl.ImagesSettings{Thumbs: twoThumbs}}, map[string]http.HandlerFunc{"/x": serve("", jpegOf(t, 120, 90))})
	s := &orderedStore{}
	b.must(b.open(&ImagesPipeline{Store: s}), &Book{ImageURLs: urls("/x")})
	require.Equal(t, []string{"thumbs", "thumbs", "full"}, s.notes.lines)

	s = &orderedStore{fail: "thumbs"}
	book := &Book{ImageURLs: urls("/x")}
	b.must(b.open(&ImagesPipeline{Store: s}), book)
	require.Empty(t, book.Images)
	require.Empty(t, s.Names())
}

// E6
func TestThumbnailsThatAreMissingAreMade(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": serve("", jpegOf(t, 120, 90))})
	dir := t.TempDir()
	process := func(thumbs map[string]crawl.Size) crawl.File {
		book := &Book{ImageURLs: urls("/x")}
		b.must(b.open(&ImagesPipeline{Settings: crawl.ImagesSettings{Store: dir, Thumbs: thumbs}}), book)
		require.Len(t, book.Images, 1)
		for _, thumb := range book.Images[0].Thumbs {
			data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(thumb.Path)))
			require.NoError(t, err)
			_, size := sizeOf(t, data)
			require.Equal(t, image.Pt(thumb.Width, thumb.Height), size)
		}
		return book.Images[0]
	}
	modTime := func(path string) time.Time {
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(path)))
		require.NoError(t, err)
		return info.ModTime()
	}
	small := map[string]crawl.Size{"small": {Width: 20, Height: 20}}
	first := process(small)
	require.Equal(t, crawl.Thumb{Path: first.Thumbs["small"].Path, Width: 20, Height: 15}, first.Thumbs["small"])
	fullTime, thumbTime := modTime(first.Path), modTime(first.Thumbs["small"].Path)

	again := process(small)
	require.Equal(t, "uptodate", again.Status)
	require.Equal(t, first.Thumbs, again.Thumbs)
	require.Equal(t, thumbTime, modTime(first.Thumbs["small"].Path), "what is there is not made again")

	added := process(twoThumbs)
	require.Equal(t, crawl.Thumb{Path: added.Thumbs["big"].Path, Width: 60, Height: 45}, added.Thumbs["big"])
	require.Len(t, added.Thumbs, 2)
	require.Equal(t, thumbTime, modTime(first.Thumbs["small"].Path))

	require.NoError(t, os.Remove(filepath.Join(dir, filepath.FromSlash(first.Thumbs["small"].Path))))
	process(twoThumbs)

	resized := process(map[string]crawl.Size{"small": {Width: 30, Height: 30}})
	require.Equal(t, 30, resized.Thumbs["small"].Width)
	thumbTime = modTime(first.Thumbs["small"].Path)
	process(map[string]crawl.Size{"small": {Width: 30, Height: 30}})
	require.Equal(t, thumbTime, modTime(first.Thumbs["small"].Path))

	require.Equal(t, fullTime, modTime(first.Path), "the picture itself is as old as it was")
	require.Empty(t, process(nil).Thumbs)
	require.Equal(t, 1, b.site.total())
	require.Empty(t, b.warnings())
}

// F3 E6: what Scrapy left: no record, and thumbnails of the right size.
func TestFolderThatScrapyFilled(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(crawl.Store) crawl.Store{
		"with records":    func(s crawl.Store) crawl.Store { return s },
		"without seeking": func(s crawl.Store) crawl.Store { return plainStore{s} },
	} {
		b := newBench(t, crawl.Settings{Images: crawl.ImagesSettings{Thumbs: twoThumbs}}, nil)
		s := new(store.Memory)
		raw := jpegOf(t, 120, 90)
		u := crawl.Get(site + "/x").URL
		require.NoError(t, s.Put(t.Context(), imageName(u), bytes.NewReader(raw), crawl.Meta{}), name)
		require.NoError(t, s.Put(t.Context(), thumbName(u, "small"), strings.NewReader("made by Scrapy"), crawl.Meta{}))
		for range 2 {
			book := &Book{ImageURLs: urls("/x")}
			b.must(b.open(&ImagesPipeline{Store: wrap(s)}), book)
			sum := md5.Sum(raw)
			require.Equal(t, []crawl.File{{
				URL: site + "/x", Path: imageName(u), Checksum: hex.EncodeToString(sum[:]), Status: "uptodate", Width: 120, Height: 90,
				Size: int64(len(raw)), ContentType: "image/jpeg",
				Thumbs: map[string]crawl.Thumb{
					"small": {Path: thumbName(u, "small"), Width: 20, Height: 15}, "big": {Path: thumbName(u, "big"), Width: 60, Height: 45},
				},
			}}, book.Images)
		}
		require.Equal(t, "made by Scrapy", string(stored(t, s, thumbName(u, "small"))))
		_, size := sizeOf(t, stored(t, s, thumbName(u, "big")))
		require.Equal(t, image.Pt(60, 45), size)
		require.Zero(t, b.site.total())
	}
}

func TestStoredPictureThatIsBrokenIsDownloaded(t *testing.T) {
	t.Parallel()
	raw := jpegOf(t, 120, 90)
	b := newBench(t, crawl.Settings{Images: crawl.ImagesSettings{Thumbs: twoThumbs}}, map[string]http.HandlerFunc{"/x": serve("", raw)})
	p, s := drawing()
	name := imageName(crawl.Get(site + "/x").URL)
	require.NoError(t, s.Put(t.Context(), name, bytes.NewReader(raw[:1000]), crawl.Meta{}))
	book := &Book{ImageURLs: urls("/x")}
	b.must(b.open(p), book)
	require.Equal(t, "downloaded", book.Images[0].Status)
	require.Equal(t, raw, stored(t, s, name))
	require.Len(t, b.warnings(), 1)
}

// E7
func TestExpiredPictureIsAskedForConditionally(t *testing.T) {
	t.Parallel()
	raw := jpegOf(t, 120, 90)
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(raw)
	}})
	s := &oldStore{}
	process := func(thumbs map[string]crawl.Size) crawl.File {
		book := &Book{ImageURLs: urls("/x")}
		b.must(b.open(&ImagesPipeline{Store: s, Settings: crawl.ImagesSettings{Thumbs: thumbs}}), book)
		require.Len(t, book.Images, 1)
		return book.Images[0]
	}
	process(nil)
	s.age = 100 * day
	renewed := process(twoThumbs)
	require.Equal(t, "uptodate", renewed.Status)
	require.Len(t, renewed.Thumbs, 2)
	require.Equal(t, 2, b.site.total())
	require.EqualValues(t, len(raw), b.Stats.Int("media/bytes"))

	// One that can't be used any more: this time it fails, the next it is downloaded whole.
	require.NoError(t, s.Put(t.Context(), renewed.Path, strings.NewReader("broken"), crawl.Meta{Checksum: "1", ETag: `"1"`}))
	s.age = 100 * day
	p := &ImagesPipeline{Store: s}
	c := b.open(p)
	book := &Book{ImageURLs: urls("/x")}
	b.must(c, book)
	require.Empty(t, book.Images)
	b.must(c, book)
	require.Equal(t, "downloaded", book.Images[0].Status)
	require.Equal(t, raw, stored(t, s, book.Images[0].Path))
}

// gateProbe counts the work that goes through it.
type gateProbe struct {
	testGate
	calls, weight atomic.Int64
}

func (g *gateProbe) Do(ctx context.Context, weight int64, f func() error) error {
	g.calls.Add(1)
	g.weight.Add(weight)
	return g.testGate.Do(ctx, weight, f)
}

// I20
func TestPixelWorkGoesThroughTheGate(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{
		"/x.jpg": serve("", jpegOf(t, 120, 90)), "/x.png": serve("", pngOf(t, canvas(40, 30, color.Black))),
	})
	g := &gateProbe{testGate: make(testGate, 1)}
	b.Pixels = g
	p, _ := drawing()
	b.must(b.open(p), &Book{ImageURLs: urls("/x.jpg")})
	require.Zero(t, g.calls.Load(), "nobody needs its pixels")
	b.must(b.open(p), &Book{ImageURLs: urls("/x.png")})
	require.EqualValues(t, 1, g.calls.Load())
	require.EqualValues(t, 1200, g.weight.Load())

	broken := errors.New("no room")
	b.Pixels = gateFunc(func() error { return broken })
	var results []Result
	b.must(b.open(&ImagesPipeline{Store: new(store.Memory), ItemCompleted: collect(&results)}), &Book{ImageURLs: urls("/x.png")})
	require.ErrorIs(t, results[0].Err, broken)
}

// Work on pixels ends when nobody wants its result any more, whatever the gate does.
func TestPixelWorkEndsWithItsContext(t *testing.T) {
	t.Parallel()
	noise := canvas(200, 200, color.Black)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise.Pix {
		noise.Pix[i] = byte(random.Uint32()) | byte(i%4/3*255)
	}
	for name, data := range map[string][]byte{"png": pngOf(t, noise), "jpeg": jpegOf(t, 900, 900)} {
		require.Greater(t, len(data), headLen, "what is read at first is all of it")
		b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": serve("", data)})
		b.Pixels = openGate{}
		ctx, cancel := context.WithCancel(b.ctx())
		p, s := drawing()
		p.ImageDownloaded = func(flight context.Context, _ *crawl.Response, _ crawl.Size, _ any) error {
			cancel()
			<-flight.Done()
			return nil
		}
		var decoded atomic.Bool
		p.ConvertImage = func(_ context.Context, _ *crawl.Response, img image.Image, _ any) (image.Image, error) {
			decoded.Store(true)
			return img, nil
		}
		c := b.open(p)
		_, err := c.Process(ctx, &Book{ImageURLs: urls("/x")})
		require.ErrorIs(t, err, context.Canceled)
		c.stages[0].pipeline.(*media).running.Wait()
		require.False(t, decoded.Load(), name)
		require.Empty(t, s.Names())
		require.Zero(t, b.Stats.Int("file_status_count/failed"))
	}
}

// openGate lets everything in, at any time.
type openGate struct{}

func (openGate) Do(_ context.Context, _ int64, f func() error) error { return f() }

type gateFunc func() error

func (g gateFunc) Do(context.Context, int64, func() error) error { return g() }

// N1 for thumbnails.
func TestThumbPath(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{Images: crawl.ImagesSettings{Thumbs: twoThumbs}}, map[string]http.HandlerFunc{"/x": serve("", jpegOf(t, 120, 90))})
	p, s := drawing()
	p.FilePath = func(_ *crawl.Request, _ *crawl.Response, item any) (string, error) {
		return item.(*Book).Title + "/full.jpg", nil
	}
	p.ThumbPath = func(_ *crawl.Request, thumb string, resp *crawl.Response, item any) (string, error) {
		if thumb == "small" && resp == nil {
			return "", nil // depends on the response
		}
		return item.(*Book).Title + "/" + thumb + ".jpg", nil
	}
	b.must(b.open(p), &Book{Title: "book", ImageURLs: urls("/x")})
	require.Equal(t, []string{"book/big.jpg", "book/full.jpg", "book/small.jpg"}, s.Names())
	again := &Book{Title: "book", ImageURLs: urls("/x")}
	b.must(b.open(p), again)
	require.Equal(t, "uptodate", again.Images[0].Status)
	require.Equal(t, map[string]crawl.Thumb{
		"small": {Path: "book/small.jpg", Width: 20, Height: 15}, "big": {Path: "book/big.jpg", Width: 60, Height: 45},
	}, again.Images[0].Thumbs)
}

// S5: two pipelines with settings of their own, side by side.
func TestTwoImagesPipelines(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{Images: crawl.ImagesSettings{MinWidth: 50, Quality: 90}}, map[string]http.HandlerFunc{
		"/photo": serve("", jpegOf(t, 120, 90)), "/logo": serve("", jpegOf(t, 16, 16)),
	})
	photos, logos := new(store.Memory), new(store.Memory)
	c := b.open(&ImagesPipeline{Store: photos}, &ImagesPipeline{Store: logos, Settings: crawl.ImagesSettings{
		URLsField: "logo_url", ResultField: "logo", MinWidth: 16, Thumbs: map[string]crawl.Size{"s": {Width: 4, Height: 4}},
	}})
	item := b.must(c, map[string]any{"image_urls": urls("/photo", "/logo"), "logo_url": site + "/logo"}).(map[string]any)
	require.Len(t, item["images"], 1)
	require.Len(t, item["logo"], 1)
	require.Len(t, photos.Names(), 1)
	require.Len(t, logos.Names(), 2)
}

func TestLargePictureIsTakenOver(t *testing.T) {
	t.Parallel()
	raw := jpegOf(t, 120, 90)
	b := newBench(t, crawl.Settings{Download: crawl.DownloadSettings{SpoolOver: 1000}, Images: crawl.ImagesSettings{Thumbs: twoThumbs}},
		map[string]http.HandlerFunc{"/x": serve("", raw)})
	d := dirStore(t)
	var body crawl.Body
	p := &ImagesPipeline{Store: d, ImageDownloaded: func(_ context.Context, resp *crawl.Response, _ crawl.Size, _ any) error {
		body = resp.Body
		return nil
	}}
	book := &Book{ImageURLs: urls("/x")}
	b.must(b.open(p), book)
	require.NotEmpty(t, body.Path())
	require.NoFileExists(t, body.Path())
	require.Equal(t, raw, stored(t, d, book.Images[0].Path))
}

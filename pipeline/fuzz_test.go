package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/color/palette"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"golang.org/x/image/bmp"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/internal/jpegscale"
	"github.com/tulle-go/tulle/pipeline/store"
)

// What hostile bytes may cost at most: fuzzPixels is MaxPixels, and fuzzTime is generous, for machines that have other things to do.
const (
	fuzzPixels = 1 << 18
	fuzzTime   = 10 * time.Second
)

// seeds are good pictures of all kinds, cut short in several places, and with bits flipped.
func seeds(f *testing.F) (list [][]byte) {
	img := squares(8, []color.Color{white, steel}, []color.Color{color.NRGBA{0, 127, 255, 50}, red})
	indexed := image.NewPaletted(img.Rect, palette.WebSafe)
	draw.Draw(indexed, img.Rect, img, image.Point{}, draw.Src)
	for _, m := range []image.Image{img, indexed, image.NewGray16(img.Rect), image.NewNRGBA64(img.Rect)} {
		for _, encode := range []func(io.Writer, image.Image) error{asJPEG, png.Encode, asGIF, bmp.Encode, asTIFF} {
			list = append(list, encoded(f, encode, m))
		}
	}
	for _, pattern := range []string{"testdata/pixels/*.*", "internal/jpegscale/testdata/*.jpeg"} {
		names, err := filepath.Glob(filepath.FromSlash(pattern))
		require.NoError(f, err)
		require.NotEmpty(f, names)
		for _, name := range names {
			data, err := os.ReadFile(name)
			require.NoError(f, err)
			list = append(list, data)
		}
	}
	for i, data := range list[:len(list):len(list)] {
		for _, part := range []int{3, 10, 18} { // of 20
			list = append(list, data[:len(data)*part/20])
		}
		for k := range 4 {
			bad := bytes.Clone(data)
			at := (7*i + 13*k) * 31 % len(bad)
			bad[at] ^= 1 << (k * 2)
			list = append(list, bad)
		}
	}
	return list
}

// watched runs f, which works on n bytes: it may take no longer than fuzzTime, and allocate no more than limit bytes. It has the process for itself.
func watched(t *testing.T, n int, limit uint64, f func()) {
	t.Helper()
	stuck := time.AfterFunc(fuzzTime, func() {
		buf := make([]byte, 1<<16)
		panic(fmt.Sprintf("%d bytes keep the decoder busy for %v:\n%s", n, fuzzTime, buf[:runtime.Stack(buf, true)]))
	})
	defer stuck.Stop()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	require.LessOrEqual(t, after.TotalAlloc-before.TotalAlloc, limit, "what %d bytes allocate", n)
}

// FuzzInspect reads headers. What they promise costs nothing, and what they are is told without a panic.
func FuzzInspect(f *testing.F) {
	for _, data := range seeds(f) {
		f.Add(data)
	}
	for _, data := range []string{"", "<html>", "<svg/>", "%PDF-1.7\n", "\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf", "PK\x03\x04"} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var info pictureInfo
		var err error
		watched(t, len(data), 1<<20+16*uint64(len(data)), func() { info, err = inspectPicture(bytes.NewReader(data)) })
		if err != nil {
			require.ErrorAs(t, err, new(*undecodableError))
			require.NotContains(t, err.Error(), "panic")
			require.NotEmpty(t, err.Error())
			return
		}
		require.Positive(t, info.Width)
		require.Positive(t, info.Height)
		require.Contains(t, []int{1, 2, 3, 4, 5, 6, 7, 8}, info.Orientation)
		require.NotEmpty(t, info.Mode)
		require.GreaterOrEqual(t, pixelWeight(info), info.area())
		require.True(t, info.frame.In(image.Rect(0, 0, info.Width, info.Height)))
	})
}

// FuzzImagesPipeline takes bytes all the way: they are what a server sends for a picture, and they are looked at, decoded, flattened, made into thumbnails, encoded
// and stored. What comes of them is a good picture or a failure of its own kind; there is no panic, not even one that is caught; and it costs what a picture of
// MaxPixels may cost at most.
func FuzzImagesPipeline(f *testing.F) {
	for _, data := range seeds(f) {
		f.Add(data, byte(0))
		f.Add(data, byte(1))
	}
	stored := new(store.Memory)
	kindWith := func(preserve bool, thumbs map[string]crawl.Size) Kind {
		settings, err := crawl.Settings{Images: crawl.ImagesSettings{MaxPixels: fuzzPixels, Thumbs: thumbs, PreserveFormat: preserve}}.Effective(nil)
		require.NoError(f, err)
		env := &crawl.Env{
			Spider: &crawl.Spider{Name: "fuzz"}, Settings: settings, Stats: crawl.NewStats(), Log: zap.NewNop(), Pixels: make(testGate, 1),
		}
		kind, err := (&ImagesPipeline{Store: stored}).OpenKind(context.Background(), env)
		require.NoError(f, err)
		return kind
	}
	kinds := make(map[bool][2]Kind) // the second one wants other thumbnails
	for _, preserve := range []bool{false, true} {
		kinds[preserve] = [2]Kind{
			kindWith(preserve, map[string]crawl.Size{"small": {Width: 7, Height: 9}, "big": {Width: 300, Height: 40}}),
			kindWith(preserve, map[string]crawl.Size{"other": {Width: 20, Height: 20}}),
		}
	}
	var mu sync.Mutex // one store
	f.Fuzz(func(t *testing.T, data []byte, how byte) {
		if len(data) == 0 {
			return // which is not a picture's affair
		}
		mu.Lock()
		defer mu.Unlock()
		req := crawl.Get("https://cdn.example/x")
		kind := kinds[how&1 != 0]
		resp := &crawl.Response{Request: req, URL: req.URL, Status: 200, Body: crawl.BytesBody(data)}
		var file crawl.File
		var err error
		watched(t, len(data), fuzzLimit(len(data)), func() { file, err = kind[0].Store(t.Context(), resp, nil) })
		if err != nil {
			var failed *MediaError
			require.ErrorAs(t, err, &failed)
			require.Contains(t, []crawl.Kind{KindUndecodable, KindTooManyPixels}, failed.Kind, "%v", err)
			require.NotContains(t, err.Error(), "panic")
			return
		}
		require.Positive(t, file.Width)
		require.Positive(t, file.Height)
		require.LessOrEqual(t, file.Width*file.Height, fuzzPixels)
		require.Len(t, file.Thumbs, 2)
		for name, box := range map[string]image.Point{"small": {7, 9}, "big": {300, 40}} {
			thumb := file.Thumbs[name]
			size := thumbSize(image.Pt(file.Width, file.Height), box)
			require.Equal(t, size, image.Pt(thumb.Width, thumb.Height))
			requireGoodJPEG(t, stored, thumb.Path, size)
		}
		if file.ContentType == jpegType && file.Checksum != sumOfBytes(t, kind[0], data) {
			requireGoodJPEG(t, stored, file.Path, image.Pt(file.Width, file.Height))
		}
		// What is stored is known again, and serves for thumbnails that are asked for later.
		var again *crawl.File
		watched(t, len(data), fuzzLimit(len(data)), func() { again, err = kind[1].Fresh(t.Context(), req, nil) })
		require.NoError(t, err)
		require.NotNil(t, again, "what was stored is of no use")
		require.Equal(t, file.Checksum, again.Checksum)
		require.Equal(t, image.Pt(file.Width, file.Height), image.Pt(again.Width, again.Height))
		size := thumbSize(image.Pt(file.Width, file.Height), image.Pt(20, 20))
		requireGoodJPEG(t, stored, again.Thumbs["other"].Path, size)
	})
}

// fuzzLimit is what n bytes may allocate: for each pixel the decoder's up to 16 bytes, and what flattening, turning, averaging, resampling and encoding keep beside
// them; and what is read of the bytes.
func fuzzLimit(n int) uint64 { return 64*fuzzPixels + 4<<20 + 64*uint64(n) }

func sumOfBytes(t *testing.T, kind Kind, data []byte) string {
	t.Helper()
	sum, err := kind.(*images).sumOf(bytes.NewReader(data))
	require.NoError(t, err)
	return sum
}

// requireGoodJPEG checks that a stored file is what everybody reads: a JPEG of three components.
func requireGoodJPEG(t *testing.T, s crawl.Store, name string, size image.Point) {
	t.Helper()
	r, err := s.Open(t.Context(), name)
	require.NoError(t, err)
	defer r.Close()
	img, err := jpeg.Decode(r)
	require.NoError(t, err)
	require.IsType(t, (*image.YCbCr)(nil), img)
	require.Equal(t, size, img.Bounds().Size())
}

// FuzzJPEG holds our decoder against the standard one. The bytes are taken for the pixels of a picture: encoded, it has the same pixels from both decoders, and none from
// ours when it is cut short. And they are taken for a file. In broken ones the two go their own ways: what ours takes, often with libjpeg and against the standard
// one, has the size and the planes that the header promises.
func FuzzJPEG(f *testing.F) {
	for _, data := range seeds(f) {
		if bytes.HasPrefix(data, []byte("\xff\xd8")) {
			f.Add(data, byte(0))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, how byte) {
		img := image.NewRGBA(image.Rect(0, 0, 1+int(how)%37, 0))
		img.Rect.Max.Y = min(len(data)/4/img.Rect.Max.X, 37)
		if img.Pix = data; !img.Rect.Empty() {
			checkJPEG(t, encoded(t, func(w io.Writer, m image.Image) error {
				return jpeg.Encode(w, m, &jpeg.Options{Quality: 1 + int(how)%100})
			}, img), how, true)
		}
		checkJPEG(t, data, how, false)
	})
}

func checkJPEG(t *testing.T, data []byte, how byte, good bool) {
	t.Helper()
	if c, err := jpeg.DecodeConfig(bytes.NewReader(data)); err != nil || c.Width*c.Height > fuzzPixels {
		require.False(t, good)
		return
	}
	d := 2 << (how % 3)
	var ours, reduced image.Image
	var err error
	watched(t, len(data), 2*fuzzLimit(len(data)), func() {
		if ours, err = jpegscale.Decode(bytes.NewReader(data), 1); err == nil {
			reduced, err = jpegscale.Decode(bytes.NewReader(data), d)
			require.NoError(t, err, "at another scale")
		}
	})
	if err != nil {
		require.False(t, good, "%v", err)
		return // the standard decoder is asked
	}
	b := ours.Bounds()
	require.Equal(t, image.Pt((b.Dx()+d-1)/d, (b.Dy()+d-1)/d), reduced.Bounds().Size())
	theirs, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil && !good {
		config, err := jpeg.DecodeConfig(bytes.NewReader(data))
		require.NoError(t, err)
		require.Equal(t, image.Pt(config.Width, config.Height), b.Size())
		return
	}
	require.NoError(t, err)
	require.Equal(t, theirs.Bounds(), b)
	require.IsType(t, theirs, ours)
	if !good {
		return
	}
	want, got := theirs.(*image.YCbCr), ours.(*image.YCbCr)
	require.Equal(t, want.SubsampleRatio, got.SubsampleRatio)
	cut := len(data) * (1 + int(how)) / 257
	_, err = jpegscale.Decode(bytes.NewReader(data[:cut]), 1)
	require.Error(t, err, "%d of %d bytes", cut, len(data))
	w, h := (b.Dx()+1)/2, (b.Dy()+1)/2
	requireSameSamples(t, want.Y, got.Y, want.YStride, got.YStride, b.Dx(), b.Dy())
	requireSameSamples(t, want.Cb, got.Cb, want.CStride, got.CStride, w, h)
	requireSameSamples(t, want.Cr, got.Cr, want.CStride, got.CStride, w, h)
}

// requireSameSamples allows for the rounding of two inverse transforms.
func requireSameSamples(t *testing.T, want, got []byte, wantStride, gotStride, w, h int) {
	t.Helper()
	for y := range h {
		for x := range w {
			if d := int(want[y*wantStride+x]) - int(got[y*gotStride+x]); d > 2 || d < -2 {
				require.Fail(t, "other pixels", "at %d,%d: %d, not %d", x, y, got[y*gotStride+x], want[y*wantStride+x])
			}
		}
	}
}

// Headers that promise much. Not parallel: what is allocated is measured.
func TestHostileHeadersCostNothing(t *testing.T) {
	tiff := func(w, h uint32, compression uint16, extra ...[4]uint32) []byte {
		entries := append([][4]uint32{
			{0x0100, typeLong, 1, w}, {0x0101, typeLong, 1, h}, {0x0102, typeShort, 1, 8}, {tagCompression, typeShort, 1, uint32(compression)},
			{tagPhotometric, typeShort, 1, blackIsZero}, {0x0111, typeLong, 1, 8}, {0x0116, typeLong, 1, h}, {0x0117, typeLong, 1, 1 << 30},
		}, extra...)
		return exifOf(binary.LittleEndian, entries...)
	}
	webp := func(kind, head string) []byte {
		return []byte("RIFF\xff\xff\xff\x7fWEBP" + kind + "\xff\xff\xff\x7f" + head)
	}
	webpOf := func(kind, chunk string) []byte {
		b := webp(kind, chunk)
		binary.LittleEndian.PutUint32(b[16:], uint32(len(chunk)))
		return b
	}
	for name, test := range map[string]struct {
		data  []byte
		limit uint64
	}{
		"tiff":          {tiff(13000, 13000, 1), 1 << 20},
		"tiff, lzw":     {tiff(13000, 13000, 5), 1 << 20},
		"tiff, deflate": {tiff(13000, 13000, 8), 1 << 20},
		"webp, lossy":   {webp(chunkVP8, "\x10\x00\x00\x9d\x01\x2a\xc8\x32\xc8\x32"+strings.Repeat("\x00", 50)), 1 << 20},
		// What a chunk is said to hold, in a file that is long enough for such a picture, and more than a picture can take.
		"webp, gigabytes":      {webp(chunkVP8, "\x10\x00\x00\x9d\x01\x2a\xc8\x32\xc8\x32"+strings.Repeat("\x00", 200_000)), 1 << 20},
		"webp, sixteen by one": {webpOf(chunkVP8, "\x10\x00\x00\x9d\x01\x2a\x10\x00\x01\x00"+strings.Repeat("\x00", 8<<20)), 1 << 20},
		"webp, canvas":         {append(webp("VP8X", ""), []byte("\x00\x00\x00\x00\xc7\x32\x00\xc7\x32\x00")...), 1 << 20},
		"png, palette":         {pngFile(13000, 13000, 1, 3, nil), 1 << 20},
		// A picture of one colour takes no bytes at all, so there is no telling.
		"webp, lossless": {webp(chunkVP8L, "\x2f\xc7\xb2\xf1\x0c"+strings.Repeat("\x00", 50)), 13000 * 13000 * 8},
	} {
		watched(t, len(test.data), test.limit, func() {
			_, _, err := openAll(test.data)
			require.ErrorAs(t, err, new(*undecodableError), name)
			require.NotContains(t, err.Error(), "panic", name)
		})
	}
}

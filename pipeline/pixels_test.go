package pipeline

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

type rgb [3]uint8

var (
	white = rgb{255, 255, 255}
	black = rgb{0, 0, 0}
	red   = rgb{255, 0, 0}
	green = rgb{0, 255, 0}
	blue  = rgb{0, 0, 255}
	steel = rgb{90, 140, 190}
)

func pixelFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "pixels", name))
	require.NoError(t, err)
	return data
}

// openAll inspects and decodes.
func openAll(data []byte) (*picture, pictureInfo, error) {
	r := bytes.NewReader(data)
	info, err := inspectPicture(r)
	if err != nil {
		return nil, info, err
	}
	p, err := openPicture(r, info, image.Point{})
	return p, info, err
}

func mustOpen(t testing.TB, data []byte) (*picture, pictureInfo) {
	t.Helper()
	p, info, err := openAll(data)
	require.NoError(t, err)
	require.Equal(t, info.size(), p.Size)
	requireFlat(t, p.Image, p.Size)
	return p, info
}

func requireFlat(t testing.TB, img image.Image, size image.Point) {
	t.Helper()
	require.Equal(t, image.Rectangle{Max: size}, img.Bounds())
	if m, ok := img.(*image.RGBA); ok {
		require.True(t, m.Opaque())
	} else {
		require.IsType(t, (*image.YCbCr)(nil), img)
	}
}

func at(img image.Image, x, y int) rgb {
	c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
	return rgb{c.R, c.G, c.B}
}

// requireSquares checks the colours in the middle of squares, row by row.
func requireSquares(t testing.TB, img image.Image, side, off int, want ...rgb) {
	t.Helper()
	b := img.Bounds()
	var got []rgb
	for y := side / 2; y < b.Dy(); y += side {
		for x := side / 2; x < b.Dx(); x += side {
			got = append(got, at(img, x, y))
		}
	}
	require.Len(t, got, len(want))
	for i := range want {
		for c := range 3 {
			require.InDelta(t, want[i][c], got[i][c], float64(off), "square %d: %v, want %v", i, got[i], want[i])
		}
	}
}

// squares draws rows of colours.
func squares(side int, rows ...[]color.Color) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, side*len(rows[0]), side*len(rows)))
	for y, row := range rows {
		for x, c := range row {
			draw.Draw(img, image.Rect(x*side, y*side, (x+1)*side, (y+1)*side), image.NewUniform(c), image.Point{}, draw.Src)
		}
	}
	return img
}

func (c rgb) RGBA() (r, g, b, a uint32) { return color.NRGBA{c[0], c[1], c[2], 255}.RGBA() }

func encoded(t testing.TB, encode func(io.Writer, image.Image) error, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, encode(&b, img))
	return b.Bytes()
}

func asJPEG(w io.Writer, img image.Image) error {
	return jpeg.Encode(w, img, &jpeg.Options{Quality: 95})
}
func asGIF(w io.Writer, img image.Image) error  { return gif.Encode(w, img, nil) }
func asTIFF(w io.Writer, img image.Image) error { return tiff.Encode(w, img, nil) }

// jpegSegmentOf is a segment for insertion after the start marker.
func jpegSegmentOf(marker byte, payload string) []byte {
	return append([]byte{0xff, marker, byte((len(payload) + 2) >> 8), byte(len(payload) + 2)}, payload...)
}

func withSegment(file, segment []byte) []byte {
	return bytes.Join([][]byte{file[:2], segment, file[2:]}, nil)
}

func pngChunk(kind string, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	b = append(append(b, kind...), payload...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// pngFile builds a PNG from its rows, without their filter bytes.
func pngFile(w, h int, depth, colourType byte, rows []byte, extra ...[]byte) []byte {
	head := binary.BigEndian.AppendUint32(nil, uint32(w))
	head = binary.BigEndian.AppendUint32(head, uint32(h))
	head = append(head, depth, colourType, 0, 0, 0)
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	for y := range h {
		z.Write([]byte{0})
		z.Write(rows[y*len(rows)/h : (y+1)*len(rows)/h])
	}
	z.Close()
	file := append([]byte(pngSignature), pngChunk("IHDR", head)...)
	for _, c := range extra {
		file = append(file, c...)
	}
	return append(append(file, pngChunk("IDAT", packed.Bytes())...), pngChunk("IEND", nil)...)
}

func TestPictureFormats(t *testing.T) {
	t.Parallel()
	six := []rgb{white, black, red, green, blue, steel}
	row := squares(16, []color.Color{white, black, red, green, blue, steel})
	grey := image.NewGray(image.Rect(0, 0, 32, 16))
	draw.Draw(grey, image.Rect(16, 0, 32, 16), image.NewUniform(color.Gray{200}), image.Point{}, draw.Src)
	paletted := image.NewPaletted(row.Rect, append(palette.WebSafe[:200:200], steel, white, red, green, blue))
	draw.Draw(paletted, row.Rect, row, image.Point{}, draw.Src)

	for _, tt := range []struct {
		name        string
		data        []byte
		format      string
		mode        pictureMode
		off         int // what lossy coding may change
		colours     []rgb
		passThrough bool
	}{
		{"jpeg", encoded(t, asJPEG, row), "jpeg", modeRGB, 3, six, true},
		{"jpeg grey", encoded(t, asJPEG, grey), "jpeg", modeGrey, 1, []rgb{black, {200, 200, 200}}, false},
		{"jpeg progressive", pixelFile(t, "progressive.jpg"), "jpeg", modeRGB, 2, six, true},
		{"jpeg 4:2:2", pixelFile(t, "422.jpg"), "jpeg", modeRGB, 2, six, true},
		{"jpeg RGB", pixelFile(t, "rgb.jpg"), "jpeg", modeRGB, 1, six, true},
		{"jpeg CMYK", pixelFile(t, "cmyk.jpg"), "jpeg", modeCMYK, 2, []rgb{white, {0, 255, 255}, {255, 0, 255}, {255, 255, 0}, black, {49, 181, 216}}, false},
		{"jpeg CMYK without marker", pixelFile(t, "cmyk-unmarked.jpg"), "jpeg", modeCMYK, 2, []rgb{white, {0, 255, 255}, {255, 0, 255}, {255, 255, 0}, black, {49, 181, 216}}, false},
		{"jpeg YCCK", pixelFile(t, "ycck.jpg"), "jpeg", modeCMYK, 2, []rgb{black, {17, 241, 241}, {242, 17, 241}, {239, 240, 16}, black, {69, 82, 122}}, false},
		{"png", encoded(t, png.Encode, row), "png", modeRGB, 0, six, false},
		{"png palette", encoded(t, png.Encode, paletted), "png", modePalette, 0, six, false},
		{"png grey", encoded(t, png.Encode, grey), "png", modeGrey, 0, []rgb{black, {200, 200, 200}}, false},
		{"png bilevel", pngFile(16, 8, 1, 0, bytes.Repeat([]byte{0xff, 0}, 8)), "png", modeGrey, 0, []rgb{white, black}, false},
		{"gif", encoded(t, asGIF, paletted), "gif", modePalette, 0, six, false},
		{"webp lossy", pixelFile(t, "lossy.webp"), "webp", modeRGB, 2, six, false},
		{"webp animated", pixelFile(t, "animated.webp"), "webp", modeAlpha, 0, []rgb{red, red}, false},
		{"bmp", encoded(t, bmp.Encode, row), "bmp", modeRGB, 0, six, false},
		{"bmp palette", encoded(t, bmp.Encode, paletted), "bmp", modePalette, 0, six, false},
		{"tiff", encoded(t, asTIFF, row), "tiff", modeAlpha, 0, six, false},
		{"tiff palette", encoded(t, asTIFF, paletted), "tiff", modePalette, 0, six, false},
		{"tiff group 4", pixelFile(t, "bilevel-g4.tiff"), "tiff", modeGrey, 0, []rgb{white, black}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, info := mustOpen(t, tt.data)
			require.Equal(t, tt.format, info.Format)
			require.Equal(t, tt.mode, info.Mode)
			require.Equal(t, tt.passThrough, info.passThrough())
			require.NoError(t, verifyPicture(bytes.NewReader(tt.data), info))
			requireSquares(t, p.Image, p.Size.Y, tt.off, tt.colours...)
		})
	}
}

// The colour that Pillow's paste gives, to the bit, whatever way the transparency is written down.
func TestPictureOnWhite(t *testing.T) {
	t.Parallel()
	see, result := color.NRGBA{0, 127, 255, 50}, rgb{205, 230, 255}
	one := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	one.SetNRGBA(0, 0, see)
	wide := image.NewNRGBA64(one.Rect)
	wide.SetNRGBA64(0, 0, color.NRGBA64{0, 127 * 257, 255 * 257, 50 * 257})
	indexed := image.NewPaletted(one.Rect, color.Palette{see})
	blank := image.NewPaletted(one.Rect, color.Palette{color.NRGBA{}})
	trns := func(b ...byte) []byte { return pngChunk("tRNS", b) }
	for _, tt := range []struct {
		name string
		data []byte
		want rgb
	}{
		{"png", encoded(t, png.Encode, one), result},
		{"png 16 bit", encoded(t, png.Encode, wide), result},
		{"png palette", encoded(t, png.Encode, indexed), result},
		{"png grey and alpha", pngFile(1, 1, 8, 4, []byte{0, 0}), white},
		{"png grey and alpha, half", pngFile(1, 1, 8, 4, []byte{0, 128}), rgb{127, 127, 127}},
		{"png grey and alpha, 16 bit", pngFile(1, 1, 16, 4, []byte{0, 0, 0x40, 0}), rgb{191, 191, 191}},
		{"png grey with a transparent value", pngFile(1, 1, 8, 0, []byte{7}, trns(0, 7)), white},
		{"png grey with another", pngFile(1, 1, 8, 0, []byte{7}, trns(0, 8)), rgb{7, 7, 7}},
		{"png RGB with a transparent value", pngFile(1, 1, 8, 2, []byte{7, 8, 9}, trns(0, 7, 0, 8, 0, 9)), white},
		{"gif", encoded(t, asGIF, blank), white},
		{"tiff", encoded(t, asTIFF, one), result},
		{"bmp whose header knows no alpha", encoded(t, bmp.Encode, one), rgb{0, 127, 255}},
	} {
		p, _ := mustOpen(t, tt.data)
		require.Equal(t, tt.want, at(p.Image, 0, 0), tt.name)
	}
	four := []rgb{result, red, white, {132, 227, 142}}
	p, _ := mustOpen(t, pixelFile(t, "lossless.webp"))
	requireSquares(t, p.Image, 4, 0, four...)
	p, _ = mustOpen(t, pixelFile(t, "lossy-alpha.webp"))
	requireSquares(t, p.Image, 16, 2, four...)
}

func TestPictureOf16Bits(t *testing.T) {
	t.Parallel()
	grey := image.NewGray16(image.Rect(0, 0, 4, 1))
	for x, v := range []uint16{40000, 65535, 128, 129} {
		grey.SetGray16(x, 0, color.Gray16{v})
	}
	deep := image.NewRGBA64(image.Rect(0, 0, 1, 1))
	deep.SetRGBA64(0, 0, color.RGBA64{40000, 0, 65535, 65535})
	for _, encode := range []func(io.Writer, image.Image) error{png.Encode, asTIFF} {
		p, info := mustOpen(t, encoded(t, encode, grey))
		require.Equal(t, modeGrey, info.Mode)
		requireSquares(t, p.Image, 1, 0, rgb{156, 156, 156}, white, black, rgb{1, 1, 1})
		p, _ = mustOpen(t, encoded(t, encode, deep))
		require.Equal(t, rgb{156, 0, 255}, at(p.Image, 0, 0))
	}
}

func TestPictureWithBadPaletteIndex(t *testing.T) {
	t.Parallel()
	plte := pngChunk("PLTE", []byte{255, 0, 0})
	p, _ := mustOpen(t, pngFile(3, 1, 8, 3, []byte{0, 1, 255}, plte))
	requireSquares(t, p.Image, 1, 0, red, black, black)

	bad := &image.Paletted{Pix: []byte{0, 1, 255}, Stride: 3, Rect: image.Rect(0, 0, 3, 1), Palette: color.Palette{red}}
	requireSquares(t, flatten(bad), 1, 0, red, black, black)
	requireSquares(t, flatten(&image.Paletted{Pix: []byte{9}, Stride: 1, Rect: image.Rect(0, 0, 1, 1)}), 1, 0, black)

	// These decoders refuse it themselves.
	two := image.NewPaletted(image.Rect(0, 0, 3, 1), color.Palette{red, green, blue, white})
	copy(two.Pix, []byte{0, 1, 3})
	file := encoded(t, asGIF, two)
	file[10] &^= 7 // two colours instead of four
	file = slices.Delete(file, 13+6, 13+12)
	_, _, err := openAll(file)
	require.ErrorAs(t, err, new(*undecodableError))
	require.ErrorContains(t, err, "invalid pixel value")
}

func TestFlatten(t *testing.T) {
	t.Parallel()
	full := image.Rect(0, 0, 5, 4)
	src := image.NewNRGBA(full)
	for i := range src.Pix {
		src.Pix[i] = byte(i * 37)
	}
	var want []rgb
	part := image.Rect(1, 1, 4, 3)
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			c := src.NRGBAAt(x, y)
			over := func(v uint8) uint8 { return uint8((float64(v)*float64(c.A)+255*(255-float64(c.A)))/255 + 0.5) }
			want = append(want, rgb{over(c.R), over(c.G), over(c.B)})
		}
	}
	into := func(dst draw.Image) image.Image {
		draw.Draw(dst, full, src, image.Point{}, draw.Src)
		return dst
	}
	for _, tt := range []struct {
		img image.Image
		off int
	}{
		{src.SubImage(part), 0},
		{into(image.NewNRGBA64(full)).(*image.NRGBA64).SubImage(part), 1},
		{into(image.NewRGBA(full)).(*image.RGBA).SubImage(part), 1},
		{into(image.NewRGBA64(full)).(*image.RGBA64).SubImage(part), 1},
		{struct{ image.Image }{src.SubImage(part)}, 0},
	} {
		before := fmt.Sprint(tt.img)
		flat := flatten(tt.img)
		requireFlat(t, flat, part.Size())
		requireSquares(t, flat, 1, tt.off, want...)
		require.Equal(t, before, fmt.Sprint(tt.img), "%T was written to", tt.img)
	}

	grey := image.NewGray(full)
	grey.SetGray(3, 2, color.Gray{77})
	flat := flatten(grey.SubImage(image.Rect(3, 2, 5, 4)))
	requireSquares(t, flat, 1, 0, rgb{77, 77, 77}, black, black, black)
	ycbcr := image.NewYCbCr(full, image.YCbCrSubsampleRatio420)
	ycbcr.Y[ycbcr.YOffset(3, 1)], ycbcr.Cb[ycbcr.COffset(3, 1)], ycbcr.Cr[ycbcr.COffset(3, 1)] = 100, 128, 128
	require.Equal(t, rgb{100, 100, 100}, at(flatten(ycbcr.SubImage(image.Rect(3, 1, 5, 4))), 0, 0))
	require.Same(t, ycbcr, flatten(ycbcr))
	cmyk := image.NewCMYK(full)
	cmyk.SetCMYK(4, 3, color.CMYK{200, 50, 10, 30})
	require.Equal(t, rgb{49, 181, 216}, at(flatten(cmyk.SubImage(image.Rect(4, 3, 5, 4))), 0, 0))
	alpha := &image.NYCbCrA{YCbCr: *ycbcr, A: bytes.Repeat([]byte{51}, 20), AStride: 5}
	require.Equal(t, rgb{224, 224, 224}, at(flatten(alpha), 3, 1))
	require.Equal(t, image.Rectangle{}, flatten(image.NewNRGBA(image.Rectangle{})).Bounds())
}

var corners = map[int][4]rgb{ // as a viewer shows them: top left, top right, bottom left, bottom right
	1: {red, green, blue, white},
	2: {green, red, white, blue},
	3: {white, blue, green, red},
	4: {blue, white, red, green},
	5: {red, blue, green, white},
	6: {blue, red, white, green},
	7: {white, green, blue, red},
	8: {green, white, red, blue},
}

func TestPictureOrientation(t *testing.T) {
	t.Parallel()
	whole := squares(16, []color.Color{red, red, green, green}, []color.Color{blue, blue, white, white})
	for orientation, want := range corners {
		for _, size := range []image.Point{{64, 32}, {63, 31}, {64, 31}} {
			img := whole.SubImage(image.Rectangle{Max: size})
			exif := orientationExif(orientation)
			for format, data := range map[string][]byte{
				"jpeg":     withSegment(encoded(t, asJPEG, img), jpegSegmentOf(markerAPP1, "Exif\x00\x00"+string(exif))),
				"png":      withPNGChunk(encoded(t, png.Encode, img), "eXIf", exif, 33),
				"png late": withPNGChunk(encoded(t, png.Encode, img), "eXIf", exif, -12),
			} {
				p, info := mustOpen(t, data)
				require.Equal(t, size, image.Pt(info.Width, info.Height), "as stored")
				require.Equal(t, orientation, info.Orientation)
				require.Equal(t, format == "jpeg" && orientation == 1, info.passThrough())
				if orientation >= 5 {
					size = image.Pt(size.Y, size.X)
				}
				require.Equal(t, size, info.size())
				right, bottom := size.X-3, size.Y-3
				got := [4]rgb{at(p.Image, 2, 2), at(p.Image, right, 2), at(p.Image, 2, bottom), at(p.Image, right, bottom)}
				for i := range want {
					for c := range 3 {
						require.InDelta(t, want[i][c], got[i][c], 6, "%s %d, corner %d: %v", format, orientation, i, got)
					}
				}
				size = img.Bounds().Size()
			}
		}
	}
	for _, name := range []string{"orientation6.webp", "orientation6.tiff"} {
		p, info := mustOpen(t, pixelFile(t, name))
		require.Equal(t, 6, info.Orientation)
		require.Equal(t, image.Pt(8, 16), p.Size)
		requireSquares(t, p.Image, 8, 0, red, green)
	}
}

// withPNGChunk inserts a chunk at a place, from the end if it is negative.
func withPNGChunk(file []byte, kind string, payload []byte, place int) []byte {
	if place < 0 {
		place += len(file)
	}
	return slices.Insert(slices.Clone(file), place, pngChunk(kind, payload)...)
}

// Turning the planes gives what turning the pixels gives, for every way to subsample and for sides that do not divide.
func TestTurnedPlanes(t *testing.T) {
	t.Parallel()
	for ratio := image.YCbCrSubsampleRatio444; ratio <= image.YCbCrSubsampleRatio410; ratio++ {
		for _, size := range []image.Point{{64, 48}, {37, 50}, {50, 37}, {1, 1}, {1, 70}} {
			m := image.NewYCbCr(image.Rectangle{Max: size}, ratio)
			for i := range m.Y {
				m.Y[i] = byte(i * 31)
			}
			for i := range m.Cb {
				m.Cb[i], m.Cr[i] = byte(i*17), byte(i*13)
			}
			pixels := onCanvas(m, image.Point{}, size)
			for orientation := 1; orientation <= 8; orientation++ {
				got, want := turned(m, orientation), turned(pixels, orientation)
				require.Equal(t, want.Bounds(), got.Bounds())
				require.Equal(t, want, onCanvas(got, image.Point{}, want.Bounds().Size()), "%v %v %d", ratio, size, orientation)
			}
		}
	}
}

func TestNotAPicture(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		"":                                      "empty",
		"<!DOCTYPE html><html><body>404</body>": "looks like HTML",
		"\n\n  <html><head><title>x</title></head>": "looks like HTML",
		`<svg xmlns="http://www.w3.org/2000/svg"/>`: "looks like SVG",
		"%PDF-1.7\n":                    "looks like PDF",
		`{"error": "not found"}`:        "looks like JSON",
		`<?xml version="1.0"?><Error/>`: "looks like XML",
		"BMW makes cars":                "looks like text",
		"no such picture":               "looks like text",
		"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf": "looks like image/avif",
		"\x01\x02\x03\x04\xfe\xfd\xfc":                         "not a picture",
		"PK\x03\x04":                                           "looks like application/zip",
	} {
		_, err := inspectPicture(strings.NewReader(data))
		require.ErrorAs(t, err, new(*undecodableError))
		require.EqualError(t, err, want)
	}
	for name, data := range map[string]string{
		"jpeg":               "\xff\xd8\xff\xd9",
		"jpeg, lossless":     "\xff\xd8\xff\xc3\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\x00",
		"jpeg, 12 bits":      "\xff\xd8\xff\xc1\x00\x0b\x0c\x00\x10\x00\x10\x01\x01\x11\x00",
		"jpeg, 2 components": "\xff\xd8\xff\xc0\x00\x0e\x08\x00\x10\x00\x10\x02\x01\x11\x00\x02\x11\x00",
		"jpeg, no height":    "\xff\xd8\xff\xc0\x00\x0b\x08\x00\x00\x00\x10\x01\x01\x11\x00\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00",
		"jpeg, garbage":      "\xff\xd8\xff" + strings.Repeat("\x01", 1<<17),
		"jpeg, fill bytes":   "\xff\xd8" + strings.Repeat("\xff", 1<<17),
		"jpeg, two frames":   "\xff\xd8" + strings.Repeat("\xff\xc0\x00\x0b\x08\x00\x01\x00\x10\x01\x01\x11\x00", 2),
		"png, no header":     pngSignature + string(pngChunk("IDAT", make([]byte, 13))),
		"png, no width":      string(pngFile(0, 1, 8, 0, nil)),
		"png, colour type":   string(pngFile(1, 1, 8, 5, []byte{0})),
		"gif, no frame":      "GIF89a\x01\x00\x01\x00\x00\x00\x00;",
		"gif, empty frame":   "GIF89a\x01\x00\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00;",
		"gif, unknown block": "GIF89a\x01\x00\x01\x00\x00\x00\x00?",
		"webp, no frame":     "RIFF\x04\x00\x00\x00WEBP",
		"webp, bad frame":    "RIFF\x16\x00\x00\x00WEBPVP8 \x0a\x00\x00\x000123456789",
		"bmp":                "BM\x00\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x0c\x00\x00\x00",
		"tiff":               "II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		_, err := inspectPicture(strings.NewReader(data))
		require.ErrorAs(t, err, new(*undecodableError), name)
	}
}

func TestPictureCutShort(t *testing.T) {
	t.Parallel()
	img := squares(16, []color.Color{white, black, red, green, blue, steel})
	for i := range img.Pix {
		img.Pix[i] ^= byte(i*i>>3) & 15
	}
	files := map[string][]byte{
		"jpeg": encoded(t, asJPEG, img), "png": encoded(t, png.Encode, img), "gif": encoded(t, asGIF, img),
		"bmp": encoded(t, bmp.Encode, img), "tiff": encoded(t, asTIFF, img),
	}
	for _, name := range []string{"progressive.jpg", "cmyk.jpg", "lossy.webp", "lossy-alpha.webp", "lossless.webp"} {
		files[name] = pixelFile(t, name)
	}
	for name, data := range files {
		last := len(data) - 2 // a GIF's pixels are there without its last byte
		if name == "tiff" {
			last = len(data) - 100 // the directory comes last, and not all of it is needed
		}
		for n := last; n > 4; n -= 1 + len(data)/100 {
			_, _, err := openAll(data[:n])
			require.ErrorAs(t, err, new(*undecodableError), "%s at %d of %d", name, n, len(data))
			if n < len(data)*9/10 && n > len(data)/2 {
				require.ErrorContains(t, err, "truncated", "%s at %d of %d", name, n, len(data))
			}
		}
	}
}

// Headers with nothing behind them. Not parallel: what it allocates is measured.
func TestPictureHeaderOnly(t *testing.T) {
	jpegHeader := func(sof byte, w, h uint16) []byte {
		f := []byte{8, byte(h >> 8), byte(h), byte(w >> 8), byte(w), 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0}
		file := withSegment([]byte{0xff, 0xd8}, jpegSegmentOf(sof, string(f)))
		return append(file, jpegSegmentOf(markerSOS, "\x03\x01\x00\x02\x00\x03\x00\x00\x3f\x00")...)
	}
	gifHeader := func(w, h uint16) []byte {
		b := binary.LittleEndian.AppendUint16([]byte("GIF89a"), w)
		b = append(binary.LittleEndian.AppendUint16(b, h), 0x80, 0, 0, 0, 0, 0, 255, 255, 255, ',', 0, 0, 0, 0)
		b = binary.LittleEndian.AppendUint16(b, w)
		return append(binary.LittleEndian.AppendUint16(b, h), 0, 2)
	}
	bmpHeader := func(w, h uint32) []byte {
		b := append([]byte("BM\x00\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00"), 40, 0, 0, 0)
		b = binary.LittleEndian.AppendUint32(b, w)
		b = append(binary.LittleEndian.AppendUint32(b, h), 1, 0, 24, 0)
		return append(b, make([]byte, 24)...)
	}
	pngHeader := func(side uint32) []byte {
		b := pngFile(1, 1, 16, 6, make([]byte, 8))
		binary.BigEndian.PutUint32(b[16:], side)
		binary.BigEndian.PutUint32(b[20:], side)
		binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
		return b
	}
	for _, side := range []int{20000, 13000} {
		checkHeaderOnly(t, "jpeg", jpegHeader(markerSOF0, uint16(side), uint16(side)), side)
		checkHeaderOnly(t, "progressive", jpegHeader(markerSOF2, uint16(side), uint16(side)), side)
		checkHeaderOnly(t, "png", pngHeader(uint32(side)), side)
		checkHeaderOnly(t, "gif", gifHeader(uint16(side), uint16(side)), side)
		checkHeaderOnly(t, "bmp", bmpHeader(uint32(side), uint32(side)), side)
	}
}

func checkHeaderOnly(t *testing.T, name string, data []byte, side int) {
	t.Helper()
	const limit = 178_956_970
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	info, err := inspectPicture(bytes.NewReader(data))
	require.NoError(t, err, name)
	require.Equal(t, image.Pt(side, side), info.size())
	err = info.within(limit)
	if side*side > limit {
		require.Equal(t, &tooManyPixelsError{Width: side, Height: side, Limit: limit}, err)
		require.EqualError(t, err, "20000x20000 is 400000000 pixels, more than 178956970 (set images.max_pixels)")
		require.NoError(t, info.within(0))
	} else {
		require.NoError(t, err)
	}
	_, err = openPicture(bytes.NewReader(data), info, image.Point{})
	require.ErrorAs(t, err, new(*undecodableError), name)
	require.ErrorContains(t, err, "truncated", name)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), name)
}

func TestPictureFirstFrame(t *testing.T) {
	t.Parallel()
	frame := func(c rgb, r image.Rectangle) *image.Paletted {
		m := image.NewPaletted(r, color.Palette{c})
		return m
	}
	animation := func(screen image.Point, first image.Rectangle) []byte {
		var b bytes.Buffer
		all := image.Rect(0, 0, 8, 4)
		require.NoError(t, gif.EncodeAll(&b, &gif.GIF{
			Image: []*image.Paletted{frame(red, first), frame(blue, all)}, Delay: []int{1, 1}, Config: image.Config{Width: 8, Height: 4},
		}))
		data := b.Bytes()
		binary.LittleEndian.PutUint16(data[6:], uint16(screen.X))
		binary.LittleEndian.PutUint16(data[8:], uint16(screen.Y))
		return data
	}
	p, info := mustOpen(t, animation(image.Pt(8, 4), image.Rect(4, 0, 8, 4)))
	require.Equal(t, image.Pt(8, 4), info.size())
	requireSquares(t, p.Image, 4, 0, white, red)
	p, _ = mustOpen(t, animation(image.Pt(0, 0), image.Rect(0, 0, 4, 4)))
	requireSquares(t, p.Image, 4, 0, red)
	p, _ = mustOpen(t, animation(image.Pt(4, 2), image.Rect(4, 0, 8, 4)))
	requireSquares(t, p.Image, 4, 0, white, red)

	// The first frame of a WebP, in a corner of its canvas.
	still := pixelFile(t, "lossless.webp")
	payload := append([]byte{8, 0, 0, 4, 0, 0, 15, 0, 0, 3, 0, 0, 50, 0, 0, 0}, still[12:]...)
	payload = payload[:len(payload)-len(payload)%2]
	file := []byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x12\x00\x00\x00\x1f\x00\x00\x0b\x00\x00ANIM\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	file = append(binary.LittleEndian.AppendUint32(append(file, "ANMF"...), uint32(len(payload))), payload...)
	p, info = mustOpen(t, append(file, file[len(file)-len(payload)-8:]...))
	require.Equal(t, image.Pt(32, 12), info.size())
	requireSquares(t, p.Image, 4, 0,
		white, white, white, white, white, white, white, white,
		white, white, white, white, white, white, white, white,
		white, white, white, white, rgb{205, 230, 255}, red, white, rgb{132, 227, 142})
	file[20+4] = 20 // a canvas that is too small
	_, err := inspectPicture(bytes.NewReader(file))
	require.ErrorContains(t, err, "frame outside of the canvas")
}

func TestVerifyPicture(t *testing.T) {
	t.Parallel()
	img := squares(16, []color.Color{red, green, blue})
	inner := encoded(t, asJPEG, img)
	file := withSegment(inner, jpegSegmentOf(markerAPP1, "Exif\x00\x00"+string(orientationExif(1))+string(inner)))
	for _, data := range [][]byte{inner, file, append(slices.Clone(file), "trailing"...), pixelFile(t, "progressive.jpg")} {
		info, err := inspectPicture(bytes.NewReader(data))
		require.NoError(t, err)
		require.True(t, info.passThrough())
		require.NoError(t, verifyPicture(bytes.NewReader(data), info))
	}
	info, err := inspectPicture(bytes.NewReader(file))
	require.NoError(t, err)
	for n := range len(file) - 1 {
		err := verifyPicture(bytes.NewReader(file[:n]), info)
		require.ErrorAs(t, err, new(*undecodableError), "%d", n)
		require.ErrorContains(t, err, "truncated jpeg")
	}

	file = encoded(t, png.Encode, img)
	info, err = inspectPicture(bytes.NewReader(file))
	require.NoError(t, err)
	require.NoError(t, verifyPicture(bytes.NewReader(file), info))
	require.ErrorContains(t, verifyPicture(bytes.NewReader(file[:len(file)/2]), info), "truncated png")
}

// A marker that is split between two reads is found.
func TestVerifyLongScan(t *testing.T) {
	t.Parallel()
	scan := bytes.Repeat([]byte("\xff\x00\xff\xd0ab\xff\x00c"), 10_000)
	for pad := range 4 {
		file := slices.Concat([]byte{0xff, 0xd8}, jpegSegmentOf(markerSOS, strings.Repeat("x", 10)), make([]byte, pad), scan, []byte{0xff, 0xd9})
		require.NoError(t, verifyPicture(bytes.NewReader(file), pictureInfo{Format: "jpeg"}))
		require.Error(t, verifyPicture(bytes.NewReader(file[:len(file)-1]), pictureInfo{Format: "jpeg"}))
	}
}

// scansJPEG is a grey picture of white squares: its DC scan, and so many further scans of a few bytes each, which say of all blocks at once that nothing is in them.
func scansJPEG(side, scans int) []byte {
	blocks := (side + 7) / 8 * ((side + 7) / 8)
	size := string([]byte{byte(side >> 8), byte(side), byte(side >> 8), byte(side)})
	oneCode := func(class, symbol byte) []byte {
		return jpegSegmentOf(markerDHT, string(append([]byte{class, 1}, append(make([]byte, 15), symbol)...)))
	}
	const endOfBlocks = 0xe0 // for 2^14 blocks, and as many more as the next 14 bits say
	file := slices.Concat([]byte{0xff, 0xd8}, jpegSegmentOf(0xdb, "\x00"+strings.Repeat("\x01", 64)), jpegSegmentOf(markerSOF2, "\x08"+size+"\x01\x01\x11\x00"),
		oneCode(0x00, 0), oneCode(0x10, endOfBlocks), jpegSegmentOf(markerSOS, "\x01\x01\x00\x00\x00\x00"), make([]byte, (blocks+7)/8))
	scan := append(jpegSegmentOf(markerSOS, "\x01\x01\x00\x01\x3f\x00"), make([]byte, (15*(blocks>>14+1)+7)/8)...)
	return append(append(file, bytes.Repeat(scan, scans)...), 0xff, markerEOI)
}

// Each scan of a few bytes goes over all pixels: whoever asks for thousands is refused before anybody decodes them, and no other decoder is asked.
func TestPictureOfManyScans(t *testing.T) {
	t.Parallel()
	img := squares(16, []color.Color{black, white})
	grey := image.NewGray(img.Rect)
	draw.Draw(grey, grey.Rect, img, image.Point{}, draw.Src)
	baseline := encoded(t, asJPEG, grey)
	scan := baseline[bytes.Index(baseline, []byte{0xff, markerSOS}) : len(baseline)-2]
	for name, tt := range map[string]struct {
		data []byte
		ok   bool
	}{
		"as many as there may be": {scansJPEG(64, maxScans-1), true},
		"one more":                {scansJPEG(64, maxScans), false},
		"thousands":               {scansJPEG(800, 5000), false},
		"of few pixels":           {scansJPEG(8, 5000), false},
		"large":                   {scansJPEG(5200, 20), false},
		"baseline":                {slices.Concat(baseline[:len(baseline)-2], bytes.Repeat(scan, 200), []byte{0xff, markerEOI}), false},
	} {
		info, err := inspectPicture(bytes.NewReader(tt.data))
		require.NoError(t, err, name)
		_, err = openPicture(bytes.NewReader(tt.data), info, image.Point{})
		if tt.ok {
			require.NoError(t, err, name)
			require.NoError(t, verifyPicture(bytes.NewReader(tt.data), info), name)
			continue
		}
		for _, err := range []error{err, verifyPicture(bytes.NewReader(tt.data), info)} {
			require.ErrorAs(t, err, new(*undecodableError), name)
			require.ErrorContains(t, err, "scans", name)
		}
	}
	// What libjpeg writes is never too much, however large: ten scans, eighteen in CMYK.
	for area, want := range map[int]int{1: 100, 5_000_000: 100, 12_000_000: 44, 178_956_970: 20, 1 << 32: 20} {
		require.Equal(t, want, mostScans(pictureInfo{Width: area, Height: 1}), area)
	}
}

// counting counts how often it is read.
type counting struct {
	*bytes.Reader
	reads int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.reads++
	return c.Reader.ReadAt(p, off)
}

// A file of little parts, or of garbage, costs no more than its size, and not a read for each byte.
func TestHeadersAreReadInLargePieces(t *testing.T) {
	t.Parallel()
	img := squares(8, []color.Color{red, green})
	photo := withSegment(encoded(t, asJPEG, img), jpegSegmentOf(markerAPP1, "Exif\x00\x00"+string(orientationExif(6))))
	stray := func(n, times int) []byte {
		return bytes.Repeat(append(make([]byte, n), jpegSegmentOf(0xfe, "x")...), times)
	}
	animation := encoded(t, asGIF, img)
	palette := 13 + 3<<(animation[10]&7+1)
	blocks := func(n, times int) []byte {
		one := slices.Concat([]byte("!\xfe"), bytes.Repeat([]byte("\x01x"), n), []byte{0})
		return slices.Concat(animation[:palette], bytes.Repeat(one, times), animation[palette:])
	}
	for name, tt := range map[string]struct {
		data []byte
		says string // "": it is good
	}{
		"a stray byte at once":  {slices.Concat(photo[:2], []byte{0}, photo[2:]), ""},
		"a few stray bytes":     {slices.Concat(photo[:2], stray(100, 50), photo[2:]), ""},
		"garbage before":        {slices.Concat(photo[:2], stray(60_000, 100), photo[2:]), "no marker"},
		"garbage behind":        {slices.Concat(photo[:len(photo)-2], stray(60_000, 100), photo[len(photo)-2:]), "no marker"},
		"a long GIF extension":  {blocks(60_000, 1), ""},
		"many long extensions":  {blocks(60_000, 50), "too many parts"},
		"many short extensions": {blocks(1, 60_000), "too many parts"},
	} {
		r := &counting{Reader: bytes.NewReader(tt.data)}
		info, err := inspectPicture(r)
		if err == nil {
			err = verifyPicture(r, info)
		}
		require.LessOrEqual(t, r.reads, 10+len(tt.data)/1000, name)
		if tt.says == "" {
			require.NoError(t, err, name)
			require.Equal(t, map[string]int{"jpeg": 6, "gif": 1}[info.Format], info.Orientation, name)
			continue
		}
		require.ErrorAs(t, err, new(*undecodableError), name)
		require.ErrorContains(t, err, tt.says, name)
	}
}

// failing reads as many bytes as it has and then fails, as a disk does.
type failing struct {
	io.ReadSeeker
	left int
}

var errDisk = errors.New("disk on fire")

func (f *failing) Read(p []byte) (int, error) {
	if f.left <= 0 {
		return 0, errDisk
	}
	n, err := f.ReadSeeker.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, err
}

func TestPictureReadError(t *testing.T) {
	t.Parallel()
	img := squares(64, []color.Color{white, black, red, green, blue, steel})
	for i := range img.Pix {
		img.Pix[i] ^= byte(i*i>>7) & 31
	}
	for _, encode := range []func(io.Writer, image.Image) error{asJPEG, png.Encode, asGIF, bmp.Encode, asTIFF} {
		data := encoded(t, encode, img)
		info, err := inspectPicture(bytes.NewReader(data))
		require.NoError(t, err)
		_, err = openPicture(struct{ io.ReadSeeker }{bytes.NewReader(data)}, info, image.Point{})
		require.NoError(t, err, "without ReadAt")
		for _, left := range []int{0, 100, 4000} {
			r := &failing{bytes.NewReader(data), left}
			_, err = openPicture(r, info, image.Point{})
			require.ErrorIs(t, err, errDisk)
			require.False(t, errors.As(err, new(*undecodableError)))
		}
		_, err = inspectPicture(&failing{bytes.NewReader(data), 10})
		require.ErrorIs(t, err, errDisk)
	}
}

// A decoder that the program links is asked for what is not known here, and its panics are errors.
func TestLinkedDecoder(t *testing.T) {
	t.Parallel()
	image.RegisterFormat("linked", "linked:", func(r io.Reader) (image.Image, error) {
		b, err := io.ReadAll(r)
		if strings.HasSuffix(string(b), "panic") {
			panic("index out of range")
		}
		return image.NewNRGBA(image.Rect(0, 0, 3, 2)), err
	}, func(r io.Reader) (image.Config, error) {
		b, err := io.ReadAll(r)
		if strings.HasSuffix(string(b), "header") {
			panic("slice bounds out of range")
		}
		return image.Config{ColorModel: color.NRGBAModel, Width: 3, Height: 2 + len(b)/20}, err
	})
	p, info := mustOpen(t, []byte("linked:"))
	require.Equal(t, "linked", info.Format)
	requireSquares(t, p.Image, 1, 0, white, white, white, white, white, white)
	for _, name := range []string{"panic", "header", "but of another size"} {
		_, _, err := openAll([]byte("linked:" + name))
		require.ErrorAs(t, err, new(*undecodableError), name)
	}
}

func TestPixelWeight(t *testing.T) {
	t.Parallel()
	img := image.NewNRGBA64(image.Rect(0, 0, 30, 20))
	for _, tt := range []struct {
		data []byte
		want int64
	}{
		{encoded(t, asJPEG, img), 600},
		{pixelFile(t, "progressive.jpg"), 2 * 96 * 16},
		{pixelFile(t, "cmyk.jpg"), 2 * 96 * 16},
		{encoded(t, png.Encode, img), 1200},
		{encoded(t, png.Encode, squares(10, []color.Color{red})), 100},
		{encoded(t, asGIF, img), 600},
		{pixelFile(t, "lossy.webp"), 96 * 16},
		{pixelFile(t, "lossy-alpha.webp"), 2 * 64 * 16},
		{pixelFile(t, "lossless.webp"), 2 * 16 * 4},
		{encoded(t, bmp.Encode, img), 600},
		{encoded(t, asTIFF, img), 1800},
	} {
		info, err := inspectPicture(bytes.NewReader(tt.data))
		require.NoError(t, err)
		require.Equal(t, tt.want, pixelWeight(info), info.Format)
	}
}

func TestEncodeJPEG(t *testing.T) {
	t.Parallel()
	grey := image.NewGray(image.Rect(0, 0, 33, 17))
	blank := image.NewNRGBA(grey.Rect)
	for _, img := range []image.Image{grey, blank, image.NewPaletted(grey.Rect, color.Palette{color.Transparent})} {
		var b, c bytes.Buffer
		require.NoError(t, encodeJPEG(&b, img, 0))
		require.NoError(t, encodeJPEG(&c, img, 75))
		require.Equal(t, b.Bytes(), c.Bytes())
		p, info := mustOpen(t, b.Bytes())
		require.True(t, info.passThrough(), "%T", img)
		require.Equal(t, img.Bounds().Size(), p.Size)
		require.Equal(t, byte(markerSOF0), b.Bytes()[bytes.Index(b.Bytes(), []byte{0, 17, 8, 0, 17, 0, 33, 3, 1, 0x22})-1], "baseline, 4:2:0")
		if img != image.Image(grey) {
			require.Equal(t, white, at(p.Image, 5, 5))
		}
	}
	err := encodeJPEG(io.Discard, image.NewGray(image.Rect(0, 0, 1<<16, 1)), 0)
	require.ErrorAs(t, err, new(*undecodableError))
	require.EqualError(t, err, "65536x1 does not fit into a JPEG, whose sides have at most 65535 pixels")
	err = encodeJPEG(&failingWriter{}, grey, 75)
	require.ErrorIs(t, err, errDisk)
}

type failingWriter struct{}

func (*failingWriter) Write([]byte) (int, error) { return 0, errDisk }

func FuzzOpenPicture(f *testing.F) {
	img := squares(8, []color.Color{white, steel}, []color.Color{color.NRGBA{0, 127, 255, 50}, red})
	indexed := image.NewPaletted(img.Rect, palette.WebSafe)
	draw.Draw(indexed, img.Rect, img, image.Point{}, draw.Src)
	for _, m := range []image.Image{img, indexed, image.NewGray16(img.Rect)} {
		for _, encode := range []func(io.Writer, image.Image) error{asJPEG, png.Encode, asGIF, bmp.Encode, asTIFF} {
			f.Add(encoded(f, encode, m))
		}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "pixels", "*.*"))
	require.NoError(f, err)
	for _, name := range files {
		f.Add(pixelFile(f, filepath.Base(name)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		info, err := inspectPicture(r)
		if err != nil {
			require.ErrorAs(t, err, new(*undecodableError))
			return
		}
		require.Positive(t, info.Width)
		require.Positive(t, info.Height)
		require.GreaterOrEqual(t, pixelWeight(info), int64(info.Width)*int64(info.Height))
		if info.within(1<<18) != nil {
			return
		}
		p, err := openPicture(r, info, image.Point{})
		if err != nil {
			require.ErrorAs(t, err, new(*undecodableError))
			return
		}
		requireFlat(t, p.Image, info.size())
		for i, thumb := range p.thumbnails([]image.Point{{7, 9}, {40, 40}}) {
			requireFlat(t, thumb, thumbSize(p.Size, []image.Point{{7, 9}, {40, 40}}[i]))
		}
		require.NoError(t, encodeJPEG(io.Discard, p.Image, 75))
		if info.Format == "jpeg" {
			require.NoError(t, verifyPicture(r, info))
		}
	})
}

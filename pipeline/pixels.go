package pipeline

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"mime"
	"strings"

	"github.com/gabriel-vasile/mimetype"
	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/tulle-go/tulle/pipeline/internal/jpegscale"
)

// pictureInfo is what a picture's header says. Nothing in it has cost a pixel.
type pictureInfo struct {
	// Format is "jpeg", "png", "gif", "webp", "bmp" or "tiff", told by the content, or the name under which a decoder that the program links has
	// registered itself with package image, such as "avif". "image/" + Format is the content type.
	Format string
	// Width and Height are as stored; what a viewer shows is size().
	Width, Height int
	// Orientation is EXIF's, 1 to 8. 1 is upright.
	Orientation int
	Mode        pictureMode

	// deep is true for more than 8 bits a channel.
	deep bool
	// staged is true where decoding keeps more than the picture itself: progressive JPEG, interlaced PNG.
	staged bool
	// floor is the fewest bytes that could hold such a picture, as far as its format lets one say.
	floor int64
	// flipped is true where the decoder gives black for white.
	flipped bool
	// bareCMYK is true for a JPEG of four components without Adobe's marker.
	bareCMYK bool
	// frame is the first frame, which in a GIF or WebP may be a part of the picture.
	frame image.Rectangle
	// alpha and pixels are the chunks of a WebP that hold the first frame; alpha is usually empty.
	alpha, pixels webpChunk
}

// pictureMode is how a picture's colours are stored.
type pictureMode string

const (
	modeRGB     pictureMode = "rgb" // YCbCr too
	modeGrey    pictureMode = "grey"
	modeAlpha   pictureMode = "alpha" // grey or RGB with an alpha channel
	modePalette pictureMode = "palette"
	modeCMYK    pictureMode = "cmyk" // YCCK too
)

// size is what a viewer shows: width and height are swapped where the orientation says so.
func (p pictureInfo) size() image.Point {
	if p.Orientation >= 5 {
		return image.Pt(p.Height, p.Width)
	}
	return image.Pt(p.Width, p.Height)
}

func (p pictureInfo) area() int64 { return int64(p.Width) * int64(p.Height) }

// within returns a tooManyPixelsError when the picture has more than limit pixels. No limit if limit is 0 or negative.
func (p pictureInfo) within(limit int64) error {
	if limit > 0 && p.area() > limit {
		return &tooManyPixelsError{Width: p.Width, Height: p.Height, Limit: limit}
	}
	return nil
}

// passThrough says that the file is what would be stored anyway, an upright JPEG in RGB or YCbCr, so its bytes are stored as they are. A grey JPEG is not:
// all stored pictures have three components.
func (p pictureInfo) passThrough() bool {
	return p.Format == "jpeg" && p.Mode == modeRGB && p.Orientation == 1
}

// pixelWeight is the work of decoding in pixels, for a gate that bounds how many are in work at once. A picture whose decoder holds up to 8 bytes a pixel at its
// peak weighs what it measures; one that takes more weighs its multiple.
func pixelWeight(p pictureInfo) int64 {
	times := int64(1)
	switch p.Format {
	case "jpeg":
		if p.staged {
			times++
		}
		if p.Mode == modeCMYK {
			times++
		}
	case "png":
		if p.deep || p.staged {
			times = 2
		}
	case "webp":
		if p.alpha.length > 0 || p.pixels.kind == chunkVP8L {
			times = 2
		}
	case "gif", "bmp":
	default:
		// A TIFF's strips are unpacked beside the picture, at up to 8 bytes a pixel; a linked decoder is anybody's guess.
		times = 3
	}
	return p.area() * times
}

// tooManyPixelsError is returned for a picture that is not decoded because of its size alone.
type tooManyPixelsError struct {
	Width, Height int
	Limit         int64
}

func (e *tooManyPixelsError) Error() string {
	return fmt.Sprintf("%dx%d is %d pixels, more than %d (set images.max_pixels)", e.Width, e.Height, int64(e.Width)*int64(e.Height), e.Limit)
}

// undecodableError is returned for bytes that are not a picture, or not one that can be read. Trouble with reading the bytes themselves, such as a disk's, is
// never an undecodableError.
type undecodableError struct {
	// Reason is for people: "looks like HTML", "empty", "truncated jpeg". Empty: Err says it all.
	Reason string
	// Err is what the decoder says; nil if none was asked.
	Err error
}

func (e *undecodableError) Error() string {
	switch {
	case e.Err == nil:
		return e.Reason
	case e.Reason == "":
		return e.Err.Error()
	}
	return e.Reason + ": " + e.Err.Error()
}

func (e *undecodableError) Unwrap() error { return e.Err }

// inspectPicture reads a picture's header and nothing else. What it is, is told by its content, never by a name. It fails with an undecodableError.
func inspectPicture(r io.ReadSeeker) (info pictureInfo, err error) {
	src, err := newSource(r)
	if err != nil {
		return pictureInfo{}, err
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic in decoder: %v", v)
		}
		if err != nil {
			info, err = pictureInfo{}, src.failure(info.Format, err)
		}
	}()
	if src.size == 0 {
		return info, &undecodableError{Reason: "empty"}
	}
	info.Orientation = 1
	head := string(src.head)
	switch {
	case strings.HasPrefix(head, "\xff\xd8"): // stray bytes may follow, and the standard decoder knows it by these two
		info.Format = "jpeg"
		err = inspectJPEG(src, &info)
	case strings.HasPrefix(head, pngSignature):
		info.Format = "png"
		err = inspectPNG(src, &info)
	case strings.HasPrefix(head, "GIF87a"), strings.HasPrefix(head, "GIF89a"):
		info.Format = "gif"
		err = inspectGIF(src, &info)
	case len(head) >= 12 && head[:4] == "RIFF" && head[8:12] == "WEBP":
		info.Format = "webp"
		err = inspectWebP(src, &info)
	case len(head) >= 10 && head[:2] == "BM" && head[6:10] == "\x00\x00\x00\x00":
		info.Format = "bmp"
		err = inspectConfig(&info, func() (image.Config, error) { return bmp.DecodeConfig(src.reader(0)) })
		info.floor = info.area() * int64(bitsOfBMP(src.head)) / 8 // no compression is supported
	case strings.HasPrefix(head, "II*\x00"), strings.HasPrefix(head, "MM\x00*"):
		info.Format = "tiff"
		info.Orientation = exifOrientation(src)
		info.flipped = tiffTag(src, tagPhotometric) == blackIsZero && isFax(tiffTag(src, tagCompression))
		err = inspectConfig(&info, func() (image.Config, error) { return tiff.DecodeConfig(&sequential{src: src}) })
		info.floor = tiffFloor(info.area(), tiffTag(src, tagCompression))
	default:
		err = inspectConfig(&info, func() (c image.Config, err error) {
			c, info.Format, err = image.DecodeConfig(src.reader(0))
			return c, err
		})
		if errors.Is(err, image.ErrFormat) {
			err = &undecodableError{Reason: looksLike(src.head)}
		}
	}
	if err != nil {
		return info, err
	}
	if info.frame.Empty() {
		info.frame = image.Rect(0, 0, info.Width, info.Height)
	}
	if info.Width <= 0 || info.Height <= 0 {
		return info, errors.New(info.Format + ": no pixels")
	}
	return info, nil
}

// inspectConfig fills info with what a decoder's own reading of the header gives.
func inspectConfig(info *pictureInfo, decodeConfig func() (image.Config, error)) error {
	config, err := decodeConfig()
	if err != nil {
		return err
	}
	info.Width, info.Height = config.Width, config.Height
	switch config.ColorModel {
	case color.GrayModel:
		info.Mode = modeGrey
	case color.Gray16Model:
		info.Mode, info.deep = modeGrey, true
	case color.RGBA64Model:
		info.Mode, info.deep = modeRGB, true
	case color.NRGBA64Model:
		info.Mode, info.deep = modeAlpha, true
	case color.NRGBAModel, color.NYCbCrAModel:
		info.Mode = modeAlpha
	case color.CMYKModel:
		info.Mode = modeCMYK
	default:
		info.Mode = modeRGB
		if _, ok := config.ColorModel.(color.Palette); ok {
			info.Mode = modePalette
		}
	}
	return nil
}

// looksLike names what the first bytes of something that is not a picture are, in a user's words.
func looksLike(head []byte) string {
	detected := mimetype.Detect(head)
	media, _, err := mime.ParseMediaType(detected.String())
	if err != nil {
		media = detected.String()
	}
	switch media {
	case "text/html":
		return "looks like HTML"
	case "image/svg+xml":
		return "looks like SVG"
	case "application/pdf":
		return "looks like PDF"
	case "application/json":
		return "looks like JSON"
	case "text/xml", "application/xml":
		return "looks like XML"
	case "text/plain":
		return "looks like text"
	case "application/octet-stream":
		return "not a picture"
	}
	return "looks like " + media
}

// picture is a decoded picture: upright, in plain RGB, without transparency.
type picture struct {
	// Image is an *image.YCbCr, or an *image.RGBA that is opaque; its origin is (0,0). Whoever reads it must not write to it.
	Image image.Image
	// Size is what the whole picture measures. Image is smaller where it was decoded at a reduced scale.
	Size image.Point
}

// openPicture decodes the first frame of the picture that inspectPicture found in r, blends what is transparent onto white, and turns it upright. least is the
// width and height, as a viewer shows them, below which nobody will look at it: a decoder that can, decodes at a smaller scale, but never below. The zero
// Point asks for every pixel. A file that is cut short is an error, as is everything else that a decoder dislikes, its panics included. It fails with an
// undecodableError.
//
// It allocates in proportion to info's size; ask info.within first.
func openPicture(r io.ReadSeeker, info pictureInfo, least image.Point) (p *picture, err error) {
	src, err := newSource(r)
	if err != nil {
		return nil, err
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic in decoder: %v", v)
		}
		if err != nil {
			p, err = nil, src.failure(info.Format, err)
		}
	}()
	// A header costs thirty bytes and may promise gigabytes. What no encoder could have squeezed into the file is missing.
	if src.size < info.floor {
		src.ended = true
		return nil, fmt.Errorf("%d bytes cannot hold %dx%d", src.size, info.Width, info.Height)
	}
	if info.Orientation >= 5 {
		least.X, least.Y = least.Y, least.X
	}
	img, err := src.decode(info, least)
	if err != nil {
		return nil, err
	}
	img = flatten(img)
	if whole := image.Pt(info.Width, info.Height); info.frame.Size() != whole {
		img = onCanvas(img, info.frame.Min, whole)
	}
	return &picture{Image: turned(img, info.Orientation), Size: info.size()}, nil
}

// decode gives the pixels as their decoder leaves them.
func (s *source) decode(info pictureInfo, least image.Point) (img image.Image, err error) {
	switch info.Format {
	case "jpeg":
		img, err = decodeJPEG(s, info, least)
	case "png":
		img, err = png.Decode(s.reader(0))
	case "gif":
		img, err = decodeGIF(s, info)
	case "webp":
		img, err = decodeWebP(s, info)
	case "bmp":
		img, err = bmp.Decode(s.reader(0))
	case "tiff":
		img, err = decodeTIFF(s, info)
	default:
		img, _, err = image.Decode(s.reader(0))
	}
	if err != nil {
		return nil, err
	}
	got, want := img.Bounds().Size(), info.frame.Size()
	reduced := least != image.Point{} && got.X >= min(least.X, want.X) && got.Y >= min(least.Y, want.Y) && got.X <= want.X && got.Y <= want.Y
	if got != want && !reduced {
		return nil, fmt.Errorf("%s: the header says %v, the pixels are %v", info.Format, want, got)
	}
	return img, nil
}

// decodeJPEG decodes a JPEG of at least the width and height of least, as stored, or whole if least is zero. What our own decoder does not take, or does not
// like, is the standard one's to judge: that takes any number of scans, which are counted first.
func decodeJPEG(s *source, info pictureInfo, least image.Point) (image.Image, error) {
	if info.staged {
		if err := checkScans(s, info); err != nil {
			return nil, err
		}
	}
	img, err := jpegscale.Decode(&sequential{src: s}, denominator(info, least))
	if err == nil {
		return img, nil
	}
	if s.err != nil {
		return nil, s.err
	}
	s.ended = false
	if !info.staged { // a baseline file that repeats its scans
		if err := checkScans(s, info); err != nil {
			return nil, err
		}
	}
	if !info.bareCMYK {
		return jpeg.Decode(s.reader(0))
	}
	// Four components without Adobe's marker: the standard decoder refuses to guess. Browsers and Pillow take the inks to be inverted, as Adobe
	// writes them, so the marker that says so is put where it belongs.
	const start = "\xff\xd8\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
	return jpeg.Decode(io.MultiReader(strings.NewReader(start), s.reader(2)))
}

// denominator is that of the smallest scale at which a JPEG is still as large as least. The last samples may be means of fewer pixels; turned, they would be the first, and
// everything would be shifted.
func denominator(info pictureInfo, least image.Point) int {
	if least == (image.Point{}) {
		return 1
	}
	fits := func(d int) bool {
		need := least
		if d > 2 {
			need = need.Mul(4).Div(3) // coarser means take more, and the filter needs more of them to give it back
		}
		return info.Width/d >= need.X && info.Height/d >= need.Y && (info.Orientation == 1 || info.Width%d == 0 && info.Height%d == 0)
	}
	d := 8
	for d > 1 && !fits(d) {
		d /= 2
	}
	return d
}

// decodeGIF decodes the first frame.
func decodeGIF(s *source, info pictureInfo) (image.Image, error) {
	// The screen that the header declares may be smaller than the frame, or 0x0; the decoder refuses that, browsers enlarge the screen.
	screen := make([]byte, 10)
	copy(screen, s.head)
	screen[6], screen[7] = byte(info.Width), byte(info.Width>>8)
	screen[8], screen[9] = byte(info.Height), byte(info.Height>>8)
	return gif.Decode(io.MultiReader(bytes.NewReader(screen), s.reader(int64(len(screen)))))
}

// decodeTIFF decodes the first page.
func decodeTIFF(s *source, info pictureInfo) (image.Image, error) {
	img, err := tiff.Decode(&sequential{src: s})
	// A fax's white is 0, so it is black where 0 is declared black (TIFF 6.0, section 11). The decoder takes it for white in any case.
	if m, ok := img.(*image.Gray); ok && info.flipped {
		for i, v := range m.Pix {
			m.Pix[i] = ^v
		}
	}
	return img, err
}

// Values of a TIFF's tags.
const (
	blackIsZero  = 1
	uncompressed = 1
	faxGroup3    = 3
	faxGroup4    = 4
	lzw          = 5
	deflate      = 8
	packBits     = 32773
	oldDeflate   = 32946
)

func isFax(compression uint32) bool { return compression == faxGroup3 || compression == faxGroup4 }

// verifyPicture says whether a picture that nobody needs the pixels of is all there, with as little work as that takes: a JPEG is walked from marker to marker to
// its end, everything else is decoded. It fails with an undecodableError.
func verifyPicture(r io.ReadSeeker, info pictureInfo) error {
	if info.Format != "jpeg" {
		_, err := openPicture(r, info, image.Point{})
		return err
	}
	src, err := newSource(r)
	if err != nil {
		return err
	}
	if err := checkScans(src, info); err != nil {
		return src.failure(info.Format, err)
	}
	return nil
}

// source is the bytes of a picture, to be read at any place. It remembers why reading failed, so that a broken disk is not taken for a broken picture.
type source struct {
	at   io.ReaderAt
	size int64
	head []byte // the first bytes, enough to tell formats apart

	ahead   []byte // what readFull has read last
	aheadAt int64  // where that starts

	err   error // the first failure of at
	ended bool  // somebody wanted more than there is
}

const (
	headLen   = 3072 // what mimetype looks at
	readAhead = 4096 // of headers
)

func newSource(r io.ReadSeeker) (*source, error) {
	size, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("read picture: %w", err)
	}
	at, ok := r.(io.ReaderAt)
	if !ok {
		at = &seekingReaderAt{r}
	}
	s := &source{at: at, size: size}
	head := make([]byte, min(size, headLen))
	if n, _ := s.ReadAt(head, 0); n < len(head) {
		return nil, s.failure("", io.ErrUnexpectedEOF)
	}
	s.head = head
	return s, nil
}

// ReadAt implements io.ReaderAt.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > s.size {
		s.ended = true
		return 0, io.EOF
	}
	if off+int64(len(p)) <= int64(len(s.head)) {
		return copy(p, s.head[off:]), nil
	}
	n, err := s.at.ReadAt(p, off)
	if n == len(p) {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		s.ended = true
	} else if s.err == nil {
		s.err = err
	}
	return n, err
}

// reader reads from off to the end.
func (s *source) reader(off int64) io.Reader {
	return bufio.NewReaderSize(&sequential{src: s, off: off}, int(min(max(s.size, 16), 32<<10)))
}

// failure gives a decoder's complaint its type.
func (s *source) failure(format string, err error) error {
	var bad *undecodableError
	switch {
	case s.err != nil:
		return fmt.Errorf("read picture: %w", s.err)
	case errors.As(err, &bad):
		return err
	case s.ended, errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &undecodableError{Reason: strings.TrimSpace("truncated " + format), Err: err}
	}
	return &undecodableError{Err: err}
}

// heedingReader is a picture's bytes until its context ends. Nobody can interrupt a decoder, but it can be left without anything more to decode.
type heedingReader struct {
	io.ReadSeeker
	at    io.ReaderAt
	ended func() error
}

func heeding(ctx context.Context, r io.ReadSeeker) io.ReadSeeker {
	at, ok := r.(io.ReaderAt)
	if !ok {
		at = &seekingReaderAt{r}
	}
	return &heedingReader{r, at, ctx.Err}
}

// ReadAt implements io.ReaderAt.
func (h *heedingReader) ReadAt(p []byte, off int64) (int, error) {
	if err := h.ended(); err != nil {
		return 0, err
	}
	return h.at.ReadAt(p, off)
}

// sequential reads a source from off on. It is an io.ReaderAt too, because the TIFF decoder copies everything to memory that is not one.
type sequential struct {
	src *source
	off int64
}

func (r *sequential) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := r.src.ReadAt(p, r.off)
	r.off += int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, err
}

func (r *sequential) ReadAt(p []byte, off int64) (int, error) { return r.src.ReadAt(p, off) }

// seekingReaderAt reads at any place of what can only seek.
type seekingReaderAt struct{ r io.ReadSeeker }

func (s *seekingReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if _, err := s.r.Seek(off, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(s.r, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// Package jpegscale decodes JPEG files at full size, a half, a quarter or an eighth. A sample of a small picture is the mean of the pixels in its place, and comes straight
// from the coefficients: most of the work of a thumbnail is never done.
//
// It decodes what the web is made of: baseline, extended and progressive Huffman-coded files of 8 bits, grey or YCbCr, whole pixels of subsampling. Everything else is
// [ErrUnsupported], and the standard library's. A file that is cut short is an error, as it is there. It also encodes, faster than the standard library does.
package jpegscale

import (
	"errors"
	"fmt"
	"image"
	"io"
	"sync"
)

// ErrUnsupported says that the file may be a good one, but is not of a kind that is decoded here.
var ErrUnsupported = errors.New("jpegscale: unsupported kind of file")

// FormatError says what is wrong with a file.
type FormatError string

func (e FormatError) Error() string { return "invalid JPEG format: " + string(e) }

// Decode decodes a file at 1/denominator of its size, rounded up; denominator is 1, 2, 4 or 8. The picture is an [*image.YCbCr] or an [*image.Gray].
func Decode(r io.Reader, denominator int) (image.Image, error) {
	d := pool.Get().(*decoder)
	defer func() {
		d.reset(nil, 0)
		pool.Put(d)
	}()
	switch denominator {
	case 1, 2, 4, 8:
	default:
		return nil, fmt.Errorf("jpegscale: denominator %d is not 1, 2, 4 or 8", denominator)
	}
	d.reset(r, 8/denominator)
	return d.decode()
}

var pool = sync.Pool{New: func() any { return new(decoder) }}

// Markers (ITU-T T.81, table B.1).
const (
	sof0 = 0xc0 // baseline
	sof1 = 0xc1 // extended sequential
	sof2 = 0xc2 // progressive
	dht  = 0xc4
	rst0 = 0xd0
	rst7 = 0xd7
	soi  = 0xd8
	eoi  = 0xd9
	sos  = 0xda
	dqt  = 0xdb
	dri  = 0xdd
	app0 = 0xe0
	adob = 0xee // APP14
)

// component is one of up to three planes.
type component struct {
	id     byte
	h, v   int // sampling factors
	tq     byte
	blocks image.Point // in the plane, whole MCUs
	dc     int32       // prediction
	plane  []byte
	stride int
	coeffs []int16 // progressive: all of them, 64 a block
}

type decoder struct {
	bits
	size        int // of an output block: 8, 4, 2 or 1
	progressive bool
	seenFrame   bool
	width       int
	height      int
	hmax, vmax  int
	mcus        image.Point
	comps       [3]component
	ncomp       int
	restart     int // MCUs between restart markers, 0: none
	eobRun      int32
	adobe       bool
	transform   byte
	quant       [4][64]int32 // natural order, scaled for the transform
	hasQuant    [4]bool
	huff        [2][4]table // DC, AC
	block       [64]int32
	coeffs      [3][]int16 // kept for the next picture
}

func (d *decoder) reset(r io.Reader, size int) {
	d.bits.reset(r)
	d.size, d.progressive, d.seenFrame = size, false, false
	d.ncomp, d.restart, d.eobRun, d.adobe, d.transform = 0, 0, 0, false, 0
	d.comps = [3]component{}
	d.hasQuant = [4]bool{}
	for i := range d.huff {
		for j := range d.huff[i] {
			d.huff[i][j].valid = false
		}
	}
}

func (d *decoder) decode() (image.Image, error) {
	m, err := d.marker()
	if err != nil {
		return nil, err
	}
	if m != soi {
		return nil, FormatError("missing SOI marker")
	}
	scans := 0
	for {
		m, err := d.marker()
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if m == eoi {
			break
		}
		if m >= rst0 && m <= rst7 || m == 0x01 {
			continue // of no meaning here
		}
		n, err := d.length()
		if err != nil {
			return nil, err
		}
		switch {
		case m == sof0 || m == sof1 || m == sof2:
			d.progressive = m == sof2
			err = d.frame(n)
		case m >= 0xc3 && m <= 0xcf && m != dht && m != 0xc8 && m != 0xcc:
			return nil, ErrUnsupported // lossless, hierarchical, arithmetic
		case m == dht:
			err = d.huffman(n)
		case m == dqt:
			err = d.quantization(n)
		case m == dri:
			err = d.restartInterval(n)
		case m == sos:
			err = d.scan(n)
			scans++
		case m == adob:
			err = d.app14(n)
		case m >= app0:
			err = d.skip(n)
		default:
			return nil, ErrUnsupported
		}
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if scans > maxScans {
			return nil, FormatError("too many scans")
		}
	}
	if scans == 0 {
		return nil, FormatError("missing SOS marker")
	}
	for i := range d.ncomp {
		if d.comps[i].plane == nil {
			return nil, ErrUnsupported // a component that no scan has brought
		}
	}
	if d.progressive {
		d.reconstruct()
	}
	return d.picture(), nil
}

// maxScans bounds the work that a small file can ask for. Encoders write about ten.
const maxScans = 100

func (d *decoder) frame(n int) error {
	if d.seenFrame {
		return FormatError("more than one frame")
	}
	b, err := d.take(n, 6)
	if err != nil {
		return err
	}
	if b[0] != 8 {
		return ErrUnsupported
	}
	d.height, d.width = int(b[1])<<8|int(b[2]), int(b[3])<<8|int(b[4])
	d.ncomp = int(b[5])
	if d.height == 0 || d.ncomp != 1 && d.ncomp != 3 {
		d.ncomp = 0
		return ErrUnsupported
	}
	if d.width == 0 {
		return FormatError("the picture has no width")
	}
	b, err = d.take(n-6, 3*d.ncomp)
	if err != nil {
		return err
	}
	if n != 6+3*d.ncomp {
		return FormatError("SOF has wrong length")
	}
	d.hmax, d.vmax = 1, 1
	for i := range d.ncomp {
		c := &d.comps[i]
		c.id, c.h, c.v, c.tq = b[3*i], int(b[3*i+1]>>4), int(b[3*i+1]&15), b[3*i+2]
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 || c.tq > 3 {
			return FormatError("bad sampling factor or quantization table")
		}
		d.hmax, d.vmax = max(d.hmax, c.h), max(d.vmax, c.v)
	}
	if d.ncomp == 1 {
		// A single component is never interleaved, whatever it says of sampling.
		d.comps[0].h, d.comps[0].v, d.hmax, d.vmax = 1, 1, 1, 1
	} else {
		y, cb, cr := &d.comps[0], &d.comps[1], &d.comps[2]
		if y.h != d.hmax || y.v != d.vmax || cb.h != cr.h || cb.v != cr.v || y.h%cb.h != 0 || y.v%cb.v != 0 {
			return ErrUnsupported
		}
		if _, ok := ratio(y.h/cb.h, y.v/cb.v); !ok {
			return ErrUnsupported
		}
		if y.id == 'R' && cb.id == 'G' && cr.id == 'B' {
			return ErrUnsupported
		}
	}
	d.mcus = image.Pt(ceil(d.width, 8*d.hmax), ceil(d.height, 8*d.vmax))
	for i := range d.ncomp {
		c := &d.comps[i]
		c.blocks = image.Pt(d.mcus.X*c.h, d.mcus.Y*c.v)
		c.stride = c.blocks.X * d.size
	}
	d.seenFrame = true
	return nil
}

func ceil(n, by int) int { return (n + by - 1) / by }

func ratio(h, v int) (image.YCbCrSubsampleRatio, bool) {
	switch h<<4 | v {
	case 0x11:
		return image.YCbCrSubsampleRatio444, true
	case 0x12:
		return image.YCbCrSubsampleRatio440, true
	case 0x21:
		return image.YCbCrSubsampleRatio422, true
	case 0x22:
		return image.YCbCrSubsampleRatio420, true
	case 0x41:
		return image.YCbCrSubsampleRatio411, true
	case 0x42:
		return image.YCbCrSubsampleRatio410, true
	}
	return 0, false
}

func (d *decoder) app14(n int) error {
	if n < 12 {
		return d.skip(n)
	}
	b, err := d.take(n, 12)
	if err != nil {
		return err
	}
	if string(b[:5]) == "Adobe" {
		d.adobe, d.transform = true, b[11]
	}
	return d.skip(n - 12)
}

func (d *decoder) restartInterval(n int) error {
	b, err := d.take(n, 2)
	if err != nil {
		return err
	}
	d.restart = int(b[0])<<8 | int(b[1])
	return d.skip(n - 2)
}

// zigzag is the natural place of the n-th coefficient (T.81, figure A.6).
var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

func (d *decoder) quantization(n int) error {
	for n > 0 {
		b, err := d.take(n, 1)
		if err != nil {
			return err
		}
		n--
		precision, tq := b[0]>>4, b[0]&15
		if tq > 3 || precision > 1 {
			return FormatError("bad quantization table")
		}
		size := 64 << precision
		if b, err = d.take(n, size); err != nil {
			return err
		}
		n -= size
		for i := range 64 {
			q := int32(b[i<<precision])
			if precision == 1 {
				q = q<<8 | int32(b[2*i+1])
			}
			d.quant[tq][zigzag[i]] = q
		}
		d.hasQuant[tq] = true
	}
	return nil
}

// picture is the planes, cropped.
func (d *decoder) picture() image.Image {
	w, h := ceil(d.width*d.size, 8), ceil(d.height*d.size, 8)
	y := &d.comps[0]
	if d.ncomp == 1 {
		return &image.Gray{Pix: y.plane, Stride: y.stride, Rect: image.Rect(0, 0, w, h)}
	}
	cb, cr := &d.comps[1], &d.comps[2]
	r, _ := ratio(y.h/cb.h, y.v/cb.v)
	return &image.YCbCr{
		Y: y.plane, Cb: cb.plane, Cr: cr.plane, YStride: y.stride, CStride: cb.stride, SubsampleRatio: r, Rect: image.Rect(0, 0, w, h),
	}
}

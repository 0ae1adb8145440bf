package jpegscale

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	mathbits "math/bits"
	"sync"
)

// Encode writes a baseline file with 4:2:0 chroma: what the standard library's encoder writes, with the same tables, but for the rounding of a coefficient, in less than half
// the time. The picture is an [*image.YCbCr], or an [*image.RGBA] of which the alpha is ignored, and neither empty nor larger than 65535 either way. quality is 1 to 100.
func Encode(w io.Writer, m image.Image, quality int) error {
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	size := m.Bounds().Size()
	if size.X < 1 || size.Y < 1 || size.X > 0xffff || size.Y > 0xffff {
		return fmt.Errorf("jpegscale: %v cannot be a JPEG's size", size)
	}
	var load func(y int)
	switch m := m.(type) {
	case *image.YCbCr:
		load = func(y int) { e.loadYCbCr(m, y) }
	case *image.RGBA:
		load = func(y int) { e.loadRGBA(m, y) }
	default:
		return fmt.Errorf("jpegscale: a %T is not encoded here", m)
	}
	if err := e.prepare(quality, size); err != nil {
		return err
	}
	e.acc, e.free, e.dc = 0, 64, [3]int32{}
	e.out = append(e.out[:0], e.header...)
	for y := 0; y < size.Y; y += 16 {
		load(y)
		e.band()
		if _, err := w.Write(e.out); err != nil {
			return err
		}
		e.out = e.out[:0]
	}
	e.end()
	_, err := w.Write(e.out)
	return err
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

type encoder struct {
	size image.Point
	out  []byte // not yet written
	acc  uint64 // the bits not yet in out, from the top
	free int    // how many more there is room for in acc
	dc   [3]int32

	// A band is sixteen rows of luma and eight of chroma, with whole MCUs across: what the picture lacks are its last samples again.
	y, cb, cr []byte
	across    int // of y

	quality int    // that the tables are for, 0: none yet
	header  []byte // all that comes before the scan
	quant   [2]divisors
	codes   [2][2][256]code // luma or chroma, DC or AC, by symbol
}

// A code is a Huffman code and how many bits it has.
type code struct {
	bits   uint32
	length int
}

// divisors are, in zigzag order, half of what a coefficient is divided by, and 2^32 by it.
type divisors struct{ half, inverse [64]uint32 }

// prepare makes the header and the tables. Both come from the standard library: it writes them before anything else.
func (e *encoder) prepare(quality int, size image.Point) error {
	if e.quality != quality {
		e.quality = 0
		var b bytes.Buffer
		if err := jpeg.Encode(&b, image.NewYCbCr(image.Rect(0, 0, 1, 1), image.YCbCrSubsampleRatio420), &jpeg.Options{Quality: quality}); err != nil {
			return err
		}
		if err := e.adopt(b.Bytes()); err != nil {
			return err
		}
		e.quality = quality
	}
	e.size = size
	e.across = (size.X + 15) &^ 15
	e.y, e.cb, e.cr = resized(e.y, 16*e.across), resized(e.cb, 4*e.across), resized(e.cr, 4*e.across)
	return e.segments(func(marker byte, segment []byte) {
		if marker == sof0 {
			binary.BigEndian.PutUint16(segment[1:], uint16(size.Y))
			binary.BigEndian.PutUint16(segment[3:], uint16(size.X))
		}
	})
}

func resized(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// segments calls f for each segment of the header.
func (e *encoder) segments(f func(marker byte, segment []byte)) error {
	b := e.header[2:]
	for len(b) >= 4 {
		n := 2 + int(binary.BigEndian.Uint16(b[2:]))
		if b[0] != 0xff || n > len(b) {
			break
		}
		f(b[1], b[4:n])
		if b[1] == sos {
			e.header = e.header[:len(e.header)-len(b)+n]
			return nil
		}
		b = b[n:]
	}
	return FormatError("the standard encoder has changed")
}

// adopt takes header and tables from a file of the standard encoder's.
func (e *encoder) adopt(file []byte) error {
	e.header = file
	return e.segments(func(marker byte, b []byte) {
		switch marker {
		case dqt:
			for ; len(b) >= 65; b = b[65:] {
				q := &e.quant[b[0]&1]
				for i, v := range b[1:65] {
					by := uint32(v) * 8 // the transform's scale
					q.half[i], q.inverse[i] = by/2, uint32((1<<32+uint64(by)-1)/uint64(by))
				}
			}
		case dht:
			for len(b) >= 17 {
				table := &e.codes[b[0]&1][b[0]>>4&1]
				symbols, next := b[17:], uint32(0)
				for length, count := range b[1:17] {
					for range count {
						table[symbols[0]] = code{next, length + 1}
						symbols, next = symbols[1:], next+1
					}
					next <<= 1
				}
				b = symbols
			}
		}
	})
}

// loadYCbCr fills the band with the rows from y on.
func (e *encoder) loadYCbCr(m *image.YCbCr, y int) {
	b := m.Rect.Min
	for row := range 16 {
		at := m.YOffset(b.X, b.Y+min(y+row, e.size.Y-1))
		extend(e.y[row*e.across:][:e.across], copy(e.y[row*e.across:], m.Y[at:at+e.size.X]))
	}
	half, n := e.across/2, (e.size.X+1)/2
	for row := range 8 {
		top, bottom := b.Y+min(y+2*row, e.size.Y-1), b.Y+min(y+2*row+1, e.size.Y-1)
		cb, cr := e.cb[row*half:][:half], e.cr[row*half:][:half]
		if at := m.COffset(b.X, top); m.SubsampleRatio == image.YCbCrSubsampleRatio420 && b.X&1 == 0 && b.Y&1 == 0 {
			copy(cb, m.Cb[at:at+n])
			copy(cr, m.Cr[at:at+n])
		} else {
			for x := range n {
				left, right := b.X+2*x, b.X+min(2*x+1, e.size.X-1)
				sumCb, sumCr := 2, 2
				for _, at := range [...]int{m.COffset(left, top), m.COffset(right, top), m.COffset(left, bottom), m.COffset(right, bottom)} {
					sumCb, sumCr = sumCb+int(m.Cb[at]), sumCr+int(m.Cr[at])
				}
				cb[x], cr[x] = byte(sumCb>>2), byte(sumCr>>2)
			}
		}
		extend(cb, n)
		extend(cr, n)
	}
}

// extend repeats the last of a row's n samples.
func extend(row []byte, n int) {
	for i := n; i < len(row); i++ {
		row[i] = row[n-1]
	}
}

// loadRGBA fills the band with the rows from y on. The weights are those of color.RGBToYCbCr; chroma is that of the sum of four pixels.
func (e *encoder) loadRGBA(m *image.RGBA, y int) {
	half, n := e.across/2, (e.size.X+1)/2
	for row := 0; row < 16; row += 2 {
		var lines [2][]byte
		for i := range lines {
			at := m.PixOffset(m.Rect.Min.X, m.Rect.Min.Y+min(y+row+i, e.size.Y-1))
			lines[i] = m.Pix[at : at+4*e.size.X]
		}
		luma, cb, cr := e.y[row*e.across:][:2*e.across], e.cb[row/2*half:][:half], e.cr[row/2*half:][:half]
		for x := range n {
			var r, g, b int32
			for i, line := range lines {
				for _, px := range [...]int{2 * x, min(2*x+1, e.size.X-1)} {
					p := line[4*px : 4*px+3 : 4*px+3]
					pr, pg, pb := int32(p[0]), int32(p[1]), int32(p[2])
					luma[i*e.across+px] = byte((19595*pr + 38470*pg + 7471*pb + 1<<15) >> 16)
					r, g, b = r+pr, g+pg, b+pb
				}
			}
			const middle = 128<<18 + 1<<17
			cb[x] = byte(min((-11056*r-21712*g+32768*b+middle)>>18, 255))
			cr[x] = byte(min((32768*r-27440*g-5328*b+middle)>>18, 255))
		}
		extend(luma[:e.across], e.size.X)
		extend(luma[e.across:], e.size.X)
		extend(cb, n)
		extend(cr, n)
	}
}

// band encodes the sixteen rows that are loaded.
func (e *encoder) band() {
	for x := 0; x < e.across; x += 16 {
		for _, at := range [...]int{x, x + 8, 8*e.across + x, 8*e.across + x + 8} {
			e.encodeBlock(e.y[at:], e.across, 0, 0)
		}
		e.encodeBlock(e.cb[x/2:], e.across/2, 1, 1)
		e.encodeBlock(e.cr[x/2:], e.across/2, 1, 2)
	}
}

func (e *encoder) encodeBlock(pix []byte, stride, table, component int) {
	var b [64]int32
	forward(&b, pix, stride)
	q := &e.quant[table]
	dc := q.divide(b[0], 0)
	e.coefficient(&e.codes[table][0], 0, dc-e.dc[component])
	e.dc[component] = dc
	ac, run := &e.codes[table][1], 0
	for k := 1; k < 64; k++ {
		v := q.divide(b[zigzag[k]], k)
		if v == 0 {
			run++
			continue
		}
		for ; run > 15; run -= 16 {
			e.put(ac[0xf0].bits, ac[0xf0].length)
		}
		e.coefficient(ac, run, v)
		run = 0
	}
	if run > 0 {
		e.put(ac[0].bits, ac[0].length)
	}
}

// divide divides by the k-th divisor and rounds to the nearest, a half away from zero.
func (q *divisors) divide(v int32, k int) int32 {
	sign := v >> 31
	n := uint64(uint32(v^sign-sign)+q.half[k]) * uint64(q.inverse[k]) >> 32
	return int32(n) ^ sign - sign
}

// coefficient writes a coefficient that has run zeros before it.
func (e *encoder) coefficient(table *[256]code, run int, v int32) {
	sign := v >> 31
	size := mathbits.Len32(uint32(v ^ sign - sign))
	c := &table[run<<4|size]
	e.put(c.bits<<size|uint32(v+sign)&(1<<size-1), c.length+size)
}

// put writes the n lowest bits of v: 32 at most.
func (e *encoder) put(v uint32, n int) {
	e.free -= n
	e.acc |= uint64(v) << (e.free & 63)
	if e.free <= 32 {
		e.flush()
	}
}

// flush moves 32 bits to out. A zero goes behind each 0xff, so that it is no marker.
func (e *encoder) flush() {
	word := uint32(e.acc >> 32)
	e.acc <<= 32
	e.free += 32
	if !hasFF(uint64(word)) {
		e.out = binary.BigEndian.AppendUint32(e.out, word)
		return
	}
	for shift := 24; shift >= 0; shift -= 8 {
		e.out = appendScanByte(e.out, byte(word>>shift))
	}
}

func appendScanByte(out []byte, c byte) []byte {
	if out = append(out, c); c == 0xff {
		out = append(out, 0)
	}
	return out
}

// end writes the last bits, filled up with ones, and the marker of the end.
func (e *encoder) end() {
	e.put(0x7f, 7)
	for ; e.free <= 56; e.free += 8 {
		e.out = appendScanByte(e.out, byte(e.acc>>56))
		e.acc <<= 8
	}
	e.out = append(e.out, 0xff, eoi)
}

// forward is the transform of Loeffler, Ligtenberg and Moschytz, as line8 is, the other way round. The coefficients are eight times too large.
func forward(b *[64]int32, pix []byte, stride int) {
	for y := range 8 {
		p := pix[y*stride : y*stride+8 : y*stride+8]
		r := b[8*y : 8*y+8 : 8*y+8]
		e0, e2, e4, e6, o1, o3, o5, o7 := forward8(int32(p[0]), int32(p[1]), int32(p[2]), int32(p[3]), int32(p[4]), int32(p[5]), int32(p[6]), int32(p[7]))
		const shift = fracBits - pass1Bits
		const half = 1 << (shift - 1)
		r[0], r[4] = (e0-8*128)<<pass1Bits, e4<<pass1Bits
		r[2], r[6] = (e2+half)>>shift, (e6+half)>>shift
		r[1], r[3], r[5], r[7] = (o1+half)>>shift, (o3+half)>>shift, (o5+half)>>shift, (o7+half)>>shift
	}
	for x := range 8 {
		e0, e2, e4, e6, o1, o3, o5, o7 := forward8(b[x], b[x+8], b[x+16], b[x+24], b[x+32], b[x+40], b[x+48], b[x+56])
		const shift = fracBits + pass1Bits
		const half = 1 << (shift - 1)
		b[x], b[x+32] = (e0+1<<(pass1Bits-1))>>pass1Bits, (e4+1<<(pass1Bits-1))>>pass1Bits
		b[x+16], b[x+48] = (e2+half)>>shift, (e6+half)>>shift
		b[x+8], b[x+24], b[x+40], b[x+56] = (o1+half)>>shift, (o3+half)>>shift, (o5+half)>>shift, (o7+half)>>shift
	}
}

// forward8 is the one-dimensional transform. All but the first and the fifth coefficient have 13 bits of fraction.
func forward8(s0, s1, s2, s3, s4, s5, s6, s7 int32) (c0, c2, c4, c6, c1, c3, c5, c7 int32) {
	t0, t7 := s0+s7, s0-s7
	t1, t6 := s1+s6, s1-s6
	t2, t5 := s2+s5, s2-s5
	t3, t4 := s3+s4, s3-s4
	e0, e3, e1, e2 := t0+t3, t0-t3, t1+t2, t1-t2
	z := (e2 + e3) * f0541
	c0, c4, c2, c6 = e0+e1, e0-e1, z+e3*f0765, z-e2*f1847

	z1, z2, z3, z4 := t4+t7, t5+t6, t4+t6, t5+t7
	z5 := (z3 + z4) * f1175
	z1 *= -f0899
	z2 *= -f2562
	z3 = z5 - z3*f1961
	z4 = z5 - z4*f0390
	c7, c5, c3, c1 = t4*f0298+z1+z3, t5*f2053+z2+z4, t6*f3072+z2+z3, t7*f1501+z1+z4
	return
}

package jpegscale

import (
	"image"
	"io"
)

var errCode = FormatError("bad Huffman code")

// part is a component's part in a scan.
type part struct {
	c      *component
	dc, ac *table
}

func (d *decoder) scan(n int) error {
	if !d.seenFrame {
		return FormatError("missing SOF marker")
	}
	b, err := d.take(n, 1)
	if err != nil {
		return err
	}
	count := int(b[0])
	if count < 1 || count > d.ncomp || n != 4+2*count {
		return FormatError("SOS has wrong length")
	}
	if b, err = d.take(n-1, n-1); err != nil {
		return err
	}
	var parts [3]part
	for i := range count {
		p := &parts[i]
		for j := range d.ncomp {
			if d.comps[j].id == b[2*i] {
				p.c = &d.comps[j]
			}
		}
		if p.c == nil {
			return FormatError("unknown component selector")
		}
		for j := range i {
			if parts[j].c == p.c {
				return FormatError("repeated component selector")
			}
		}
		td, ta := b[2*i+1]>>4, b[2*i+1]&15
		if td > 3 || ta > 3 {
			return FormatError("bad table selector")
		}
		p.dc, p.ac = &d.huff[0][td], &d.huff[1][ta]
	}
	s := spectrum{int(b[2*count]), int(b[2*count+1]), uint(b[2*count+2] >> 4), uint(b[2*count+2] & 15)}
	if d.adobe && d.ncomp == 3 && d.transform == 0 {
		return ErrUnsupported // RGB
	}
	if err := d.prepare(parts[:count], &s); err != nil {
		return err
	}
	return d.mcusOf(parts[:count], &s)
}

// spectrum is which coefficients a scan holds, and which of their bits.
type spectrum struct {
	first, last int
	high, low   uint
}

// prepare checks a scan's tables, and makes room for what it brings.
func (d *decoder) prepare(parts []part, s *spectrum) error {
	if d.progressive {
		switch {
		case s.first == 0 && s.last != 0, s.first > s.last, s.last > 63, s.first > 0 && len(parts) > 1:
			return FormatError("bad spectral selection bounds")
		case s.high != 0 && s.high != s.low+1, s.low > 13:
			return FormatError("bad successive approximation values")
		}
	} else {
		*s = spectrum{0, 63, 0, 0}
	}
	for i := range parts {
		p := &parts[i]
		if s.first == 0 && s.high == 0 && !p.dc.valid || s.last > 0 && !p.ac.valid {
			return FormatError("missing Huffman table")
		}
		if !d.hasQuant[p.c.tq] {
			return FormatError("missing quantization table")
		}
		if p.c.plane != nil && !d.progressive {
			return ErrUnsupported // a component in two scans
		}
		d.room(p.c)
	}
	return nil
}

// room makes a component's plane, and its coefficients in a progressive file.
func (d *decoder) room(c *component) {
	if c.plane != nil {
		return
	}
	c.plane = make([]byte, c.stride*c.blocks.Y*d.size)
	if !d.progressive {
		return
	}
	i := 0
	for &d.comps[i] != c {
		i++
	}
	n := 64 * c.blocks.X * c.blocks.Y
	if cap(d.coeffs[i]) < n {
		d.coeffs[i] = make([]int16, n)
	}
	c.coeffs = d.coeffs[i][:n]
	clear(c.coeffs)
	if n > keptCoeffs {
		d.coeffs[i] = nil // too large to be kept for the next picture
	}
}

const keptCoeffs = 4 << 20

// mcusOf decodes a scan's blocks in their order.
func (d *decoder) mcusOf(parts []part, s *spectrum) error {
	d.bits.clear()
	d.eobRun = 0
	for i := range d.comps {
		d.comps[i].dc = 0
	}
	mcus := d.mcus
	alone := len(parts) == 1
	if alone {
		// A component by itself comes without the blocks that fill up its last MCUs.
		c := parts[0].c
		mcus = image.Pt(ceil(d.width*c.h, 8*d.hmax), ceil(d.height*c.v, 8*d.vmax))
	}
	n, rst := 0, byte(rst0)
	for my := range mcus.Y {
		for mx := range mcus.X {
			if d.restart > 0 && n == d.restart {
				if err := d.restartMarker(rst); err != nil {
					return err
				}
				rst = rst0 | (rst+1)&7
				n, d.eobRun = 0, 0
				for i := range d.comps {
					d.comps[i].dc = 0
				}
			}
			n++
			for i := range parts {
				p := &parts[i]
				if alone {
					if err := d.oneBlock(p, s, mx, my); err != nil {
						return err
					}
					continue
				}
				for v := range p.c.v {
					for h := range p.c.h {
						if err := d.oneBlock(p, s, mx*p.c.h+h, my*p.c.v+v); err != nil {
							return err
						}
					}
				}
			}
			if d.overrun() {
				return d.short()
			}
		}
	}
	return nil
}

// short is why a scan has ended too early.
func (d *decoder) short() error {
	if d.next == 0 && d.err != nil && d.err != io.EOF {
		return d.err
	}
	return io.ErrUnexpectedEOF
}

func (d *decoder) oneBlock(p *part, s *spectrum, bx, by int) error {
	c := p.c
	if d.progressive {
		at := 64 * (by*c.blocks.X + bx)
		block := (*[64]int16)(c.coeffs[at : at+64])
		switch {
		case s.high > 0 && s.first == 0:
			d.refineDC(block, s)
			return nil
		case s.high > 0:
			return d.refineAC(p.ac, block, s)
		}
		return d.firstPass(p, block, s)
	}
	where, err := d.sequential(p)
	if err != nil {
		return err
	}
	d.transform8(&d.block, where, c.plane[by*d.size*c.stride+bx*d.size:], c.stride)
	return nil
}

// sequential decodes a block into d.block, in natural order and times its quantization, and returns where there is something. This is where a picture's time goes, so the bits
// are in variables of its own meanwhile.
func (d *decoder) sequential(p *part) (where places, err error) {
	block, q := &d.block, &d.quant[p.c.tq]
	*block = [64]int32{}
	if d.n < 48 {
		d.fill()
	}
	t, ok := d.symbol(p.dc)
	if !ok || t > 16 {
		return 0, errCode
	}
	p.c.dc += d.receive(uint(t))
	block[0] = p.c.dc * q[0]
	fast, keep := &p.ac.fast, keepZigzag[d.size]
	acc, n := d.acc, uint(d.n)
	for k := 0; k < 63; {
		if n < 32 {
			d.acc, d.n = acc, int(n)
			d.fill()
			acc, n = d.acc, uint(d.n)
		}
		e := fast[acc>>(64-fastBits)]
		if e == 0 {
			d.acc, d.n = acc, int(n)
			rs, ok := d.symbol(p.ac)
			if !ok {
				return 0, errCode
			}
			acc, n = d.acc, uint(d.n)
			e = entryOf(rs, 0)
		}
		v := int32(e) >> valueShift
		length := uint(e) & lengthMask
		if size := uint(e) >> sizeShift & 15; size > 0 {
			// The value's own bits are the last of those that this entry takes.
			v = int32(acc << ((length - size) & 63) >> ((64 - size) & 63))
			if v < 1<<(size-1) {
				v += -1<<size + 1
			}
		}
		acc <<= length
		n -= length
		if k += int(e >> advanceShift & advanceMask); k > 63 {
			if e>>sizeShift != 0 {
				return 0, errCode
			}
			break
		}
		if k <= keep {
			i := zigzag[k]
			block[i] = v * q[i]
			where |= zigzagPlaces[k]
		}
	}
	d.acc, d.n = acc, int(n)
	return where, nil
}

// keepZigzag is, by the size of an output block, the last coefficient in zigzag order that it is made of.
var keepZigzag = [9]int{1: 0, 2: 63, 4: 63, 8: 63}

// zigzagPlaces is placeOf by the place in zigzag order.
var zigzagPlaces = func() (p [64]places) {
	for k, i := range zigzag {
		p[k] = placeOf(int(i))
	}
	return p
}()

// firstPass decodes the first bits of a progressive scan's coefficients (T.81, G.1.2.1 and G.1.2.2).
func (d *decoder) firstPass(p *part, block *[64]int16, s *spectrum) error {
	k := s.first
	if k == 0 {
		if d.n < 48 {
			d.fill()
		}
		t, ok := d.symbol(p.dc)
		if !ok || t > 16 {
			return errCode
		}
		p.c.dc += d.receive(uint(t))
		block[0] = int16(p.c.dc << s.low)
		k++
	}
	if s.last == 0 {
		return nil
	}
	if d.eobRun > 0 {
		d.eobRun--
		return nil
	}
	for ; k <= s.last; k++ {
		if d.n < 48 {
			d.fill()
		}
		rs, ok := d.symbol(p.ac)
		if !ok {
			return errCode
		}
		run, size := int(rs>>4), uint(rs&15)
		if size == 0 {
			if run < 15 {
				d.eobRun = 1<<run - 1
				if run > 0 {
					d.eobRun += int32(d.peek(uint(run)))
					d.drop(uint(run))
				}
				return nil
			}
			k += 15
			continue
		}
		if k += run; k > s.last {
			return errCode
		}
		block[zigzag[k]] = int16(d.receive(size) << s.low)
	}
	return nil
}

func (d *decoder) refineDC(block *[64]int16, s *spectrum) {
	if d.bit() {
		block[0] |= 1 << s.low
	}
}

func (d *decoder) bit() bool {
	if d.n < 16 {
		d.fill()
	}
	set := d.acc>>63 != 0
	d.drop(1)
	return set
}

// refineAC decodes one more bit of coefficients that were met before, and those that are met now (T.81, G.1.2.3).
func (d *decoder) refineAC(ac *table, block *[64]int16, s *spectrum) error {
	k, delta := s.first, int16(1)<<s.low
	if d.eobRun == 0 {
		for k <= s.last {
			if d.n < 48 {
				d.fill()
			}
			rs, ok := d.symbol(ac)
			if !ok {
				return errCode
			}
			run, fresh := int(rs>>4), int16(0)
			switch rs & 15 {
			case 0:
				if run < 15 {
					d.eobRun = 1 << run
					if run > 0 {
						d.eobRun += int32(d.peek(uint(run)))
						d.drop(uint(run))
					}
				}
			case 1:
				fresh = -delta
				if d.bit() {
					fresh = delta
				}
			default:
				return errCode
			}
			if d.eobRun > 0 {
				break
			}
			k = d.refineRun(block, k, s.last, run, delta)
			if k > s.last {
				if fresh != 0 {
					return FormatError("too many coefficients")
				}
				return nil
			}
			if fresh != 0 {
				block[zigzag[k]] = fresh
			}
			k++
		}
	}
	if d.eobRun > 0 {
		d.eobRun--
		d.refineRun(block, k, s.last, -1, delta)
	}
	return nil
}

// refineRun refines coefficients from k on until it has passed so many zeros, and returns where it stands; -1 is all of them.
func (d *decoder) refineRun(block *[64]int16, k, last, zeros int, delta int16) int {
	for ; k <= last; k++ {
		c := &block[zigzag[k]]
		if *c == 0 {
			if zeros == 0 {
				break
			}
			zeros--
			continue
		}
		if !d.bit() {
			continue
		}
		if *c > 0 {
			*c += delta
		} else {
			*c -= delta
		}
	}
	return k
}

// reconstruct makes the planes of a progressive file.
func (d *decoder) reconstruct() {
	for i := range d.ncomp {
		c := &d.comps[i]
		q := &d.quant[c.tq]
		for by := range c.blocks.Y {
			for bx := range c.blocks.X {
				at := 64 * (by*c.blocks.X + bx)
				block := (*[64]int16)(c.coeffs[at : at+64])
				var where places
				for i, v := range block {
					d.block[i] = int32(v) * q[i]
					if v != 0 {
						where |= placeOf(i)
					}
				}
				d.transform8(&d.block, where, c.plane[by*d.size*c.stride+bx*d.size:], c.stride)
			}
		}
	}
}

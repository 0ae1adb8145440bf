package jpegscale

// places says where in a block there may be coefficients that are not zero: a bit for each column that has some below its first row, and one more for any but the mean.
type places uint16

const someAC places = 1 << 8

// placeOf is the places of the coefficient at i, in natural order.
func placeOf(i int) places {
	switch {
	case i == 0:
		return 0
	case i < 8:
		return someAC
	}
	return someAC | 1<<(i&7)
}

// below reports whether column x has anything below its first row.
func (p places) below(x int) bool { return p>>x&1 != 0 }

// transform8 makes an output block of the coefficients, which are in natural order and times their quantization.
func (d *decoder) transform8(b *[64]int32, where places, dst []byte, stride int) {
	if where == 0 || d.size == 1 {
		flat(b[0], d.size, dst, stride)
		return
	}
	switch d.size {
	case 8:
		idct8(b, where, dst, stride)
	case 4:
		means2(b, where, dst, stride)
	default:
		means4(b, where, dst, stride)
	}
}

// clamp rounds a value with so many bits of fraction, and moves it from around 0 to 0..255.
func clamp(v int32, bits uint) byte {
	v = (v+1<<(bits-1))>>bits + 128
	if uint32(v) > 255 {
		if v < 0 {
			return 0
		}
		return 255
	}
	return byte(v)
}

// flat is a block of the mean alone.
func flat(dc int32, size int, dst []byte, stride int) {
	v := clamp(dc, 3)
	for y := range size {
		row := dst[y*stride : y*stride+size]
		for x := range row {
			row[x] = v
		}
	}
}

// Fractions of 13 bits, for the 8-point transform of Loeffler, Ligtenberg and Moschytz (1989): 11 multiplications.
const (
	f0298 = 2446  // 0.298631336
	f0390 = 3196  // 0.390180644
	f0541 = 4433  // 0.541196100
	f0765 = 6270  // 0.765366865
	f0899 = 7373  // 0.899976223
	f1175 = 9633  // 1.175875602
	f1501 = 12299 // 1.501321110
	f1847 = 15137 // 1.847759065
	f1961 = 16069 // 1.961570560
	f2053 = 16819 // 2.053119869
	f2562 = 20995 // 2.562915447
	f3072 = 25172 // 3.072711026

	fracBits  = 13
	pass1Bits = 2 // of fraction between the two passes
)

// line8 is the one-dimensional transform: even and odd part, with 13 bits of fraction, of values that are scaled by the square root of 8.
func line8(s0, s1, s2, s3, s4, s5, s6, s7 int32) (e0, e1, e2, e3, o0, o1, o2, o3 int32) {
	z1 := (s2 + s6) * f0541
	t2 := z1 - s6*f1847
	t3 := z1 + s2*f0765
	t0 := (s0 + s4) << fracBits
	t1 := (s0 - s4) << fracBits
	e0, e3 = t0+t3, t0-t3
	e1, e2 = t1+t2, t1-t2

	z1, z2, z3, z4 := s7+s1, s5+s3, s7+s3, s5+s1
	z5 := (z3 + z4) * f1175
	z1 *= -f0899
	z2 *= -f2562
	z3 = z5 - z3*f1961
	z4 = z5 - z4*f0390
	o3 = s7*f0298 + z1 + z3
	o2 = s5*f2053 + z2 + z4
	o1 = s3*f3072 + z2 + z3
	o0 = s1*f1501 + z1 + z4
	return
}

func idct8(b *[64]int32, where places, dst []byte, stride int) {
	var w [64]int32
	const shift = fracBits - pass1Bits
	const half = 1 << (shift - 1)
	for x := range 8 {
		if !where.below(x) {
			dc := b[x] << pass1Bits
			for y := 0; y < 64; y += 8 {
				w[x+y] = dc
			}
			continue
		}
		e0, e1, e2, e3, o0, o1, o2, o3 := line8(b[x], b[x+8], b[x+16], b[x+24], b[x+32], b[x+40], b[x+48], b[x+56])
		w[x], w[x+56] = (e0+o0+half)>>shift, (e0-o0+half)>>shift
		w[x+8], w[x+48] = (e1+o1+half)>>shift, (e1-o1+half)>>shift
		w[x+16], w[x+40] = (e2+o2+half)>>shift, (e2-o2+half)>>shift
		w[x+24], w[x+32] = (e3+o3+half)>>shift, (e3-o3+half)>>shift
	}
	const out = fracBits + pass1Bits + 3
	for y := range 8 {
		r := w[8*y : 8*y+8 : 8*y+8]
		e0, e1, e2, e3, o0, o1, o2, o3 := line8(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7])
		row := dst[y*stride : y*stride+8 : y*stride+8]
		row[0], row[7] = clamp(e0+o0, out), clamp(e0-o0, out)
		row[1], row[6] = clamp(e1+o1, out), clamp(e1-o1, out)
		row[2], row[5] = clamp(e2+o2, out), clamp(e2-o2, out)
		row[3], row[4] = clamp(e3+o3, out), clamp(e3-o3, out)
	}
}

// A sample at a half, a quarter or an eighth is the mean of the pixels in its place, exactly: cosines, summed over two or four neighbours, are cosines again, so the means
// come from the coefficients with fewer multiplications than the pixels would. A filter can give back what averaging took; what is cut off for good, as the low
// frequencies of each block alone would be, it cannot.

// Two neighbours: with t = k*pi/16 the mean of cos((4m+1)t) and cos((4m+3)t) is cos(t)*cos((2m+1)*2t), and coefficients 5, 6 and 7 fold onto 3, 2 and 1.
const (
	h2  = 7568  // cos(2 pi/16)
	h6  = 3135  // cos(6 pi/16)
	h01 = 10498 // sqrt(2) cos(2 pi/16) cos(1 pi/16)
	h07 = 2088  // sqrt(2) cos(2 pi/16) cos(7 pi/16)
	h03 = 3686  // sqrt(2) cos(6 pi/16) cos(3 pi/16)
	h05 = 2463  // sqrt(2) cos(6 pi/16) cos(5 pi/16)
	h11 = 4348  // sqrt(2) cos(6 pi/16) cos(1 pi/16)
	h17 = 865   // sqrt(2) cos(6 pi/16) cos(7 pi/16)
	h13 = 8900  // sqrt(2) cos(2 pi/16) cos(3 pi/16)
	h15 = 5946  // sqrt(2) cos(2 pi/16) cos(5 pi/16)
)

// line4 is four means of two.
func line4(s0, s1, s2, s3, s5, s6, s7 int32) (e0, e1, o0, o1 int32) {
	z := s2*h2 - s6*h6
	e0, e1 = s0<<fracBits+z, s0<<fracBits-z
	o0 = s1*h01 - s7*h07 + s3*h03 - s5*h05
	o1 = s1*h11 - s7*h17 - s3*h13 + s5*h15
	return
}

func means2(b *[64]int32, where places, dst []byte, stride int) {
	var w [4][8]int32
	const shift = fracBits - pass1Bits
	const half = 1 << (shift - 1)
	for x := range 8 {
		if x == 4 {
			continue // it cancels out
		}
		if !where.below(x) {
			dc := b[x] << pass1Bits
			w[0][x], w[1][x], w[2][x], w[3][x] = dc, dc, dc, dc
			continue
		}
		e0, e1, o0, o1 := line4(b[x], b[x+8], b[x+16], b[x+24], b[x+40], b[x+48], b[x+56])
		w[0][x], w[3][x] = (e0+o0+half)>>shift, (e0-o0+half)>>shift
		w[1][x], w[2][x] = (e1+o1+half)>>shift, (e1-o1+half)>>shift
	}
	const out = fracBits + pass1Bits + 3
	for y := range w {
		r := &w[y]
		e0, e1, o0, o1 := line4(r[0], r[1], r[2], r[3], r[5], r[6], r[7])
		row := dst[y*stride : y*stride+4 : y*stride+4]
		row[0], row[3] = clamp(e0+o0, out), clamp(e0-o0, out)
		row[1], row[2] = clamp(e1+o1, out), clamp(e1-o1, out)
	}
}

// Four neighbours: the mean of cos((2n+1)t) over n from 0 to 3 is sin(8t)/(8 sin(t)), which is 0 for even coefficients.
const (
	q1 = 7423 // sqrt(2) / (8 sin(1 pi/16))
	q3 = 2607 // sqrt(2) / (8 sin(3 pi/16))
	q5 = 1742 // sqrt(2) / (8 sin(5 pi/16))
	q7 = 1477 // sqrt(2) / (8 sin(7 pi/16))
)

func means4(b *[64]int32, where places, dst []byte, stride int) {
	var w [2][8]int32
	const shift = fracBits - pass1Bits
	const half = 1 << (shift - 1)
	for _, x := range [...]int{0, 1, 3, 5, 7} {
		if !where.below(x) {
			w[0][x], w[1][x] = b[x]<<pass1Bits, b[x]<<pass1Bits
			continue
		}
		e := b[x] << fracBits
		o := b[x+8]*q1 - b[x+24]*q3 + b[x+40]*q5 - b[x+56]*q7
		w[0][x], w[1][x] = (e+o+half)>>shift, (e-o+half)>>shift
	}
	const out = fracBits + pass1Bits + 3
	for y := range w {
		r := &w[y]
		e := r[0] << fracBits
		o := r[1]*q1 - r[3]*q3 + r[5]*q5 - r[7]*q7
		dst[y*stride], dst[y*stride+1] = clamp(e+o, out), clamp(e-o, out)
	}
}

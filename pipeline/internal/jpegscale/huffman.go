package jpegscale

// lookBits is how long codes may be that are found at once, and fastBits a coefficient's code, alone or with the coefficient.
const (
	lookBits = 9
	fastBits = 10
)

// An entry is a code for a coefficient and how many are zero before it: from its lowest bits on, how many bits to take, how far that goes in zigzag order (64 is the end of the
// block), and how many of the bits taken, the last ones, are the coefficient's; or none, and the coefficient.
type entry uint32

const (
	lengthMask   = 31
	advanceShift = 5
	advanceMask  = 127
	sizeShift    = 12
	valueShift   = 16
)

// entryOf is that of a symbol whose code has so many bits: for a coefficient yet to be read.
func entryOf(rs byte, length int) entry {
	run, size := entry(rs>>4), entry(rs&15)
	switch {
	case size > 0:
		return (entry(length) + size) | (run+1)<<advanceShift | size<<sizeShift
	case run == 15:
		return entry(length) | 16<<advanceShift
	}
	return entry(length) | 64<<advanceShift
}

// table is a Huffman table (T.81, annex C).
type table struct {
	valid bool
	// look is, by the next bits, the symbol << 8 and the code's length; 0 for a longer code.
	look [1 << lookBits]uint16
	// fast is, by the next bits, all there is to know of a coefficient whose code fits into them; 0 for a longer code. AC only.
	fast [1 << fastBits]entry

	symbols [256]byte
	maxCode [18]int32 // by length, from the top of 16 bits: the first code that is longer
	delta   [17]int32 // by length: what makes a code the index of its symbol
}

func (d *decoder) huffman(n int) error {
	for n > 0 {
		b, err := d.take(n, 17)
		if err != nil {
			return err
		}
		n -= 17
		class, th := b[0]>>4, b[0]&15
		if class > 1 || th > 3 {
			return FormatError("bad Huffman table")
		}
		var counts [17]int
		total := 0
		for i := 1; i <= 16; i++ {
			counts[i] = int(b[i])
			total += counts[i]
		}
		if total == 0 || total > 256 {
			return FormatError("Huffman table has wrong length")
		}
		if b, err = d.take(n, total); err != nil {
			return err
		}
		n -= total
		if err := d.huff[class][th].build(&counts, b, class == 1); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) build(counts *[17]int, symbols []byte, ac bool) error {
	copy(t.symbols[:], symbols)
	t.look = [1 << lookBits]uint16{}
	code, k := int32(0), 0
	for length := 1; length <= 16; length++ {
		t.delta[length] = int32(k) - code
		for range counts[length] {
			if code >= 1<<length {
				return FormatError("bad Huffman code lengths")
			}
			if length <= lookBits {
				first := int(code) << (lookBits - length)
				for i := range 1 << (lookBits - length) {
					t.look[first+i] = uint16(symbols[k])<<8 | uint16(length)
				}
			}
			code++
			k++
		}
		t.maxCode[length] = code << (16 - length)
		code <<= 1
	}
	t.maxCode[17] = 1 << 20
	t.valid = true
	if ac {
		t.buildFast(counts, symbols)
	}
	return nil
}

func (t *table) buildFast(counts *[17]int, symbols []byte) {
	t.fast = [1 << fastBits]entry{}
	next := 0
	for length := 1; length <= fastBits; length++ {
		for range counts[length] {
			e := entryOf(symbols[0], length)
			symbols = symbols[1:]
			size, spare := int(e>>sizeShift), fastBits-length
			for i := range 1 << spare {
				at := e
				if size > 0 && size <= spare {
					v := i >> (spare - size)
					if v < 1<<(size-1) {
						v += -1<<size + 1
					}
					at = e&(1<<sizeShift-1) | entry(v)<<valueShift
				}
				t.fast[next] = at
				next++
			}
		}
	}
}

// symbol decodes the next one. At least 16 bits are there. ok is false for a code that does not exist.
func (b *bits) symbol(t *table) (s byte, ok bool) {
	if e := t.look[b.peek(lookBits)]; e != 0 {
		b.drop(uint(e & 255))
		return byte(e >> 8), true
	}
	top := int32(b.peek(16))
	length := lookBits + 1
	for top >= t.maxCode[length] {
		length++
	}
	if length > 16 {
		return 0, false
	}
	i := top>>(16-length) + t.delta[length]
	if i < 0 || i > 255 {
		return 0, false
	}
	b.drop(uint(length))
	return t.symbols[i], true
}

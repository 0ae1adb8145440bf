package jpegscale

// lookBits is how long codes may be that are found at once.
const lookBits = 9

// table is a Huffman table (T.81, annex C).
type table struct {
	valid bool
	// look is, by the next bits, the symbol << 8 and the code's length; 0 for a longer code.
	look [1 << lookBits]uint16
	// fast is, where a code and its coefficient fit into the next bits together, the coefficient << 8, the run << 4, and the length of both; 0 elsewhere.
	fast [1 << lookBits]int16

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
	if !ac {
		return nil
	}
	for i := range t.fast {
		t.fast[i] = 0
		symbol, length := int(t.look[i]>>8), int(t.look[i]&255)
		run, size := symbol>>4, symbol&15
		if length == 0 || size == 0 || length+size > lookBits {
			continue
		}
		v := (i << length & (1<<lookBits - 1)) >> (lookBits - size)
		if v < 1<<(size-1) {
			v += -1<<size + 1
		}
		if v >= -128 && v <= 127 {
			t.fast[i] = int16(v*256 + run*16 + length + size)
		}
	}
	return nil
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

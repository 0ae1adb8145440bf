package jpegscale

import (
	"encoding/binary"
	"io"
)

// bits reads a file: segments by the byte, scans by the bit.
type bits struct {
	r        io.Reader
	buf      []byte // read, from pos to end
	pos, end int
	err      error // of r, when the buffer is empty

	acc  uint64 // the next bits of the scan, from the top
	n    int    // how many of them are valid
	fake int    // how many of those, the last, are made up: the scan has ended
	next byte   // the marker that has ended it, 0 if none was met
}

const bufSize = 32 << 10

func (b *bits) reset(r io.Reader) {
	if b.buf == nil {
		b.buf = make([]byte, bufSize)
	}
	b.r, b.pos, b.end, b.err = r, 0, 0, nil
	b.clear()
}

// clear forgets the bits of a scan.
func (b *bits) clear() { b.acc, b.n, b.fake, b.next = 0, 0, 0, 0 }

// more makes sure that at least want bytes are in the buffer. It reports false at the end of the file.
func (b *bits) more(want int) bool {
	if b.end-b.pos >= want {
		return true
	}
	copy(b.buf, b.buf[b.pos:b.end])
	b.end -= b.pos
	b.pos = 0
	for b.end < want && b.err == nil {
		var n int
		n, b.err = b.r.Read(b.buf[b.end:])
		b.end += n
	}
	return b.end >= want
}

// ended is why there is no more to read.
func (b *bits) ended() error {
	if b.err == io.EOF || b.err == nil {
		return io.ErrUnexpectedEOF
	}
	return b.err
}

// marker returns the next marker. Bytes before it are skipped, as every decoder does.
func (b *bits) marker() (byte, error) {
	if m := b.next; m != 0 {
		b.clear()
		return m, nil
	}
	for {
		if !b.more(2) {
			return 0, b.ended()
		}
		if b.buf[b.pos] != 0xff || b.buf[b.pos+1] == 0 {
			b.pos++
			continue
		}
		if b.buf[b.pos+1] == 0xff {
			b.pos++ // a fill byte
			continue
		}
		m := b.buf[b.pos+1]
		b.pos += 2
		return m, nil
	}
}

// length reads a segment's, without its own two bytes.
func (b *bits) length() (int, error) {
	if !b.more(2) {
		return 0, b.ended()
	}
	n := int(binary.BigEndian.Uint16(b.buf[b.pos:])) - 2
	b.pos += 2
	if n < 0 {
		return 0, FormatError("short segment length")
	}
	return n, nil
}

// take returns the next bytes of a segment that has n left. They are valid until the next call.
func (b *bits) take(n, want int) ([]byte, error) {
	if n < want {
		return nil, FormatError("short segment")
	}
	if !b.more(want) {
		return nil, b.ended()
	}
	p := b.buf[b.pos : b.pos+want]
	b.pos += want
	return p, nil
}

func (b *bits) skip(n int) error {
	for n > 0 {
		if !b.more(1) {
			return b.ended()
		}
		m := min(n, b.end-b.pos)
		b.pos += m
		n -= m
	}
	return nil
}

// fill brings at least 48 bits into acc. Behind the end of a scan they are zeros.
func (b *bits) fill() {
	if b.end-b.pos >= 8 && b.next == 0 {
		x := binary.BigEndian.Uint64(b.buf[b.pos:])
		if !hasFF(x) {
			k := (64 - b.n) >> 3
			b.acc |= x >> b.n
			if drop := (64 - b.n) & 7; drop > 0 {
				b.acc = b.acc >> drop << drop
			}
			b.n += k << 3
			b.pos += k
			return
		}
	}
	for b.n <= 56 {
		b.acc |= uint64(b.scanByte()) << (56 - b.n)
		b.n += 8
	}
}

// hasFF reports whether a byte of x is 0xff.
func hasFF(x uint64) bool {
	y := ^x
	return (y-0x0101010101010101)&^y&0x8080808080808080 != 0
}

// scanByte returns the next byte of a scan, without the zeros that are stuffed behind 0xff.
func (b *bits) scanByte() byte {
	if b.next == 0 {
		if !b.more(1) {
			b.fake += 8
			return 0
		}
		c := b.buf[b.pos]
		if c != 0xff {
			b.pos++
			return c
		}
		for b.more(2) && b.buf[b.pos+1] == 0xff {
			b.pos++ // a fill byte
		}
		if b.more(2) {
			if b.buf[b.pos+1] == 0 {
				b.pos += 2
				return 0xff
			}
			b.next = b.buf[b.pos+1]
			b.pos += 2
		} else {
			b.pos = b.end
		}
	}
	b.fake += 8
	return 0
}

// overrun reports whether bits were used that were made up.
func (b *bits) overrun() bool { return b.n < b.fake }

// drop uses bits that are there.
func (b *bits) drop(k uint) {
	b.acc <<= k
	b.n -= int(k)
}

// peek are the next k bits, which are there.
func (b *bits) peek(k uint) uint32 { return uint32(b.acc >> (64 - k)) }

// receive reads the k bits of a coefficient and gives them their sign (T.81, EXTEND). k is at most 16.
func (b *bits) receive(k uint) int32 {
	if k == 0 {
		return 0
	}
	v := int32(b.peek(k))
	b.drop(k)
	if v < 1<<(k-1) {
		v += -1<<k + 1
	}
	return v
}

// restartMarker goes to the restart marker that must come now.
func (b *bits) restartMarker(want byte) error {
	if b.overrun() {
		return io.ErrUnexpectedEOF
	}
	m, err := b.marker()
	if err != nil {
		return err
	}
	if m != want {
		return FormatError("bad RST marker")
	}
	b.clear()
	return nil
}

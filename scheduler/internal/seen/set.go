// Package seen holds sets of fingerprints in little memory: whole, or the part that was met last.
package seen

import (
	"encoding/binary"

	"github.com/tulle-go/tulle/crawl"
)

// Key is the first 16 bytes of a fingerprint, which are as good as random. Two of a billion fingerprints share those with a probability of about 10^-21.
type Key struct{ hi, lo uint64 }

// KeyOf is a fingerprint's key.
func KeyOf(fp crawl.Fingerprint) Key {
	return Key{binary.BigEndian.Uint64(fp[0:8]), binary.BigEndian.Uint64(fp[8:16])}
}

// KeySize is the length of a key's bytes.
const KeySize = 16

// Append appends the key's bytes.
func (k Key) Append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, k.hi), k.lo)
}

// ParseKey reads what Append wrote.
func ParseKey(b []byte) Key {
	return Key{binary.BigEndian.Uint64(b[0:8]), binary.BigEndian.Uint64(b[8:16])}
}

// Set is a set of keys, by open addressing. It takes 18 to 37 bytes a key. The zero value is empty.
type Set struct {
	table []Key // length is a power of two
	n     int   // in table; the zero key is kept apart
	zero  bool
}

// Len is how many there are.
func (s *Set) Len() int {
	if s.zero {
		return s.n + 1
	}
	return s.n
}

// Bytes is what the set takes, and Next what it would take with one more key.
func (s *Set) Bytes() (now, next int) {
	now = len(s.table) * KeySize
	if s.full() {
		return now, max(64*KeySize, 2*now)
	}
	return now, now
}

func (s *Set) full() bool { return s.n >= len(s.table)/8*7 }

// Add reports whether k is new.
func (s *Set) Add(k Key) bool {
	if k == (Key{}) {
		fresh := !s.zero
		s.zero = true
		return fresh
	}
	if s.full() {
		s.grow()
	}
	i := s.find(k)
	if s.table[i] == k {
		return false
	}
	s.table[i] = k
	s.n++
	return true
}

// find returns where k stands, or where it would.
func (s *Set) find(k Key) uint64 {
	mask := uint64(len(s.table) - 1)
	i := k.lo & mask
	for s.table[i] != k && s.table[i] != (Key{}) {
		i = (i + 1) & mask
	}
	return i
}

func (s *Set) grow() {
	old := s.table
	s.table = make([]Key, max(64, 2*len(old)))
	for _, k := range old {
		if k != (Key{}) {
			s.table[s.find(k)] = k
		}
	}
}

package scheduler

import (
	"encoding/binary"

	"github.com/tulle-go/tulle/crawl"
)

// seenSet is a set of fingerprints: open addressing over the first 16 bytes, which are as good as random. Two of a billion fingerprints share those with a
// probability of about 10^-21. It takes 18 to 37 bytes a fingerprint.
type seenSet struct {
	table []seenKey // length is a power of two
	n     int       // in table; the zero key is kept apart
	zero  bool
}

type seenKey struct{ hi, lo uint64 }

func keyOf(fp crawl.Fingerprint) seenKey {
	return seenKey{binary.BigEndian.Uint64(fp[0:8]), binary.BigEndian.Uint64(fp[8:16])}
}

func (s *seenSet) len() int {
	if s.zero {
		return s.n + 1
	}
	return s.n
}

// add reports whether fp is new.
func (s *seenSet) add(fp crawl.Fingerprint) bool {
	k := keyOf(fp)
	if k == (seenKey{}) {
		fresh := !s.zero
		s.zero = true
		return fresh
	}
	if s.n >= len(s.table)/8*7 {
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
func (s *seenSet) find(k seenKey) uint64 {
	mask := uint64(len(s.table) - 1)
	i := k.lo & mask
	for s.table[i] != k && s.table[i] != (seenKey{}) {
		i = (i + 1) & mask
	}
	return i
}

func (s *seenSet) grow() {
	old := s.table
	s.table = make([]seenKey, max(64, 2*len(old)))
	for _, k := range old {
		if k != (seenKey{}) {
			s.table[s.find(k)] = k
		}
	}
}

package frontier

import (
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// slot is one host's queue, and the places that are taken there.
type slot struct {
	name   string
	queue  queue[Entry]
	limits crawl.Limits
	known  bool         // opening has found its best request, and none has left since
	busy   bool         // it counts in Counts.Slots
	held   bool         // none of its requests leaves
	active int          // places taken
	next   time.Time    // no download starts before
	ready  int          // its part of Counts.Ready
	heap   *heap[*slot] // the one it stands in, nil if none
	at     int          // in heap
}

// free is how many could leave now, if the time has come.
func (s *slot) free() int {
	if s.held {
		return 0
	}
	n := s.limits.Concurrency - s.active
	if s.limits.Delay > 0 {
		n = min(n, 1)
	}
	return max(n, 0)
}

// opensAt is when the slot's delay and hold are over.
func (s *slot) opensAt() time.Time {
	if s.limits.HoldUntil.After(s.next) {
		return s.limits.HoldUntil
	}
	return s.next
}

// merge puts l's fields that say something over base's.
func merge(base, l crawl.Limits) crawl.Limits {
	switch {
	case l.Concurrency > 0:
		base.Concurrency = l.Concurrency
	case l.Concurrency < 0:
		base.Concurrency = maxPlaces
	}
	switch {
	case l.Delay > 0:
		base.Delay, base.FixedDelay = l.Delay, l.FixedDelay
	case l.Delay < 0:
		base.Delay = 0
	}
	if l.HoldUntil.After(base.HoldUntil) {
		base.HoldUntil = l.HoldUntil
	}
	return base
}

// maxPlaces stands for no limit.
const maxPlaces = 1 << 30

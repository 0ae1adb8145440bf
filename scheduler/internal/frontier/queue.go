package frontier

import (
	"slices"
	"time"
)

// Entry is a waiting or leased request.
type Entry struct {
	Enc      string // as crawl.Request.AppendWire writes it
	ID       uint64
	Rank     int64 // within a priority: higher first
	Priority int32
	Kills    int16  // unclean ends of the process at which it was in hand
	Route    uint16 // number of its route, where those are counted
}

// Delayed is a request with a not-before time.
type Delayed struct {
	Entry
	At   time.Time
	Slot string
}

// Key is where a request stands in its queue: the least leaves first. No two are the same.
type Key struct{ A, B int64 }

// Less is the order.
func (k Key) Less(o Key) bool { return k.A < o.A || k.A == o.A && k.B < o.B }

// next is the least key behind k.
func (k Key) next() Key { return Key{k.A, k.B + 1} }

// Key is by priority, then rank.
func (e Entry) key() Key { return Key{-int64(e.Priority), -e.Rank} }

// Key is the entry's place in its slot.
func (e *Entry) Key() Key { return e.key() }

// before is the order in which requests leave.
func (e *Entry) before(o *Entry) bool {
	if e.Priority != o.Priority {
		return e.Priority > o.Priority
	}
	return e.Rank > o.Rank
}

// size is about what an entry costs in memory.
func (e Entry) size() int { return len(e.Enc) + 112 }

func (d Delayed) key() Key { return Key{d.At.UnixNano(), d.Rank} }

// Key is the request's place among those that come later.
func (d *Delayed) Key() Key { return d.key() }

func (d *Delayed) before(o *Delayed) bool { return d.key().Less(o.key()) }

func (d Delayed) size() int { return d.Entry.size() + len(d.Slot) + 48 }

type keyed interface {
	key() Key
	size() int
}

// queue holds the best of a sequence. What does not fit is elsewhere: every element whose key is less than bound is here.
type queue[T keyed] struct {
	heap[T]
	bytes int  // of what is here
	more  bool // from bound on there may be more elsewhere
	asked bool // and it is being read
	bound Key
}

// add reports whether e is held: what belongs behind the bound is elsewhere already.
func (q *queue[T]) add(e T) bool {
	if q.more && !e.key().Less(q.bound) {
		return false
	}
	q.bytes += e.size()
	q.push(e)
	return true
}

func (q *queue[T]) pop() T {
	e := q.heap.pop()
	q.bytes -= e.size()
	return e
}

// trim lets go of the worst when clearly more than the limit is held, and returns how many bytes that were.
func (q *queue[T]) trim(limit int) (freed int) {
	if q.bytes <= limit+limit/4 || q.len() <= 1 {
		return 0
	}
	slices.SortFunc(q.all, func(a, b T) int {
		if a.key().Less(b.key()) {
			return -1
		}
		return 1
	})
	keep, bytes := 1, q.all[0].size()
	for keep < q.len() && bytes+q.all[keep].size() <= limit {
		bytes += q.all[keep].size()
		keep++
	}
	if keep == q.len() {
		return 0
	}
	q.more, q.bound = true, q.all[keep].key()
	q.all = slices.Clone(q.all[:keep]) // sorted, so it is a heap
	freed = q.bytes - bytes
	q.bytes = bytes
	return freed
}

// fill takes what was read from a bound on, and returns how many bytes that are. If the bound has moved since, the list is of no use.
func (q *queue[T]) fill(from Key, list []T, next Key, more bool) (added int) {
	q.asked = false
	if !q.more || q.bound != from {
		return 0
	}
	for _, e := range list {
		added += e.size()
		q.push(e)
	}
	q.bytes += added
	q.more, q.bound = more, next
	return added
}

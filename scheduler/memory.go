package scheduler

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// Memory is the scheduler of a crawl that lives in memory. It is not safe for concurrent use: the engine's loop is its only caller.
type Memory struct {
	opts     crawl.SchedulerOptions
	rand     *rand.Rand
	slots    map[string]*slot
	limits   map[string]crawl.Limits // what Limit and the options say of single slots
	ready    heap[*slot]             // may be asked, best request first
	waiting  heap[*slot]             // may be asked at a time, earliest first
	later    heap[delayed]           // requests with a not-before time, earliest first
	leased   map[uint64]leased
	seen     seenSet
	failed   int
	queued   int       // in slots and later
	readyNow int       // the sum of the slots' parts
	now      time.Time // the latest that a caller has named
	lastID   uint64
	rank     int64
	sweepAt  int // number of slots at which idle ones are dropped
}

type delayed struct {
	at    time.Time
	slot  string
	entry entry
}

type leased struct {
	entry entry
	slot  string
}

var _ crawl.Scheduler = (*Memory)(nil)

// New makes an empty scheduler. Zero limits in opts.Default are 8 downloads at once without a delay.
func New(opts crawl.SchedulerOptions) *Memory {
	opts.Default = merge(crawl.Limits{Concurrency: 8}, opts.Default)
	seed := opts.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	m := &Memory{
		opts:    opts,
		rand:    rand.New(rand.NewPCG(seed, seed)),
		slots:   make(map[string]*slot),
		limits:  make(map[string]crawl.Limits),
		leased:  make(map[uint64]leased),
		sweepAt: 1024,
	}
	for name, l := range opts.Slots {
		m.limits[name] = merge(opts.Default, l)
	}
	moved := func(s **slot, at int) { (*s).at = at }
	m.ready = heap[*slot]{moved: moved, less: func(a, b **slot) bool { return (*a).queue.top().before((*b).queue.top()) }}
	m.waiting = heap[*slot]{moved: moved, less: func(a, b **slot) bool { return (*a).opensAt().Before((*b).opensAt()) }}
	m.later = heap[delayed]{less: func(a, b *delayed) bool { return a.at.Before(b.at) }}
	return m
}

// Commit applies tx at once: done is called before it returns.
func (m *Memory) Commit(tx *crawl.Tx, done func(crawl.Committed, error)) {
	if err := m.check(tx); err != nil {
		done(crawl.Committed{}, err)
		return
	}
	var c crawl.Committed
	for i := range tx.Push {
		p := &tx.Push[i]
		if !m.seen.add(p.Fingerprint) && p.Filter {
			c.Seen = append(c.Seen, i)
			continue
		}
		m.lastID++
		m.enqueue(p.Slot, m.newEntry(m.lastID, p))
	}
	for _, id := range tx.Ack {
		delete(m.leased, id)
	}
	for i := range tx.Fail {
		delete(m.leased, tx.Fail[i].Lease)
		m.failed++
	}
	for i := range tx.Nack {
		n := &tx.Nack[i]
		old := m.leased[n.Lease]
		delete(m.leased, n.Lease)
		if !m.seen.add(n.Push.Fingerprint) && n.Push.Filter {
			c.SeenNacks = append(c.SeenNacks, i)
			continue
		}
		e := m.newEntry(n.Lease, &n.Push)
		e.attempt = old.entry.attempt
		if n.NotBefore.IsZero() {
			m.enqueue(n.Push.Slot, e)
			continue
		}
		m.queued++
		m.later.push(delayed{at: n.NotBefore, slot: n.Push.Slot, entry: e})
	}
	done(c, nil)
}

// check refuses a tx whose leases are not out, or are named twice.
func (m *Memory) check(tx *crawl.Tx) error {
	ids := make([]uint64, 0, 32)
	ids = append(ids, tx.Ack...)
	for i := range tx.Fail {
		ids = append(ids, tx.Fail[i].Lease)
	}
	for i := range tx.Nack {
		ids = append(ids, tx.Nack[i].Lease)
	}
	for _, id := range ids {
		if _, ok := m.leased[id]; !ok {
			return fmt.Errorf("commit: lease %d is not out", id)
		}
	}
	slices.Sort(ids)
	for i := 1; i < len(ids); i++ {
		if ids[i] == ids[i-1] {
			return fmt.Errorf("commit: lease %d is named twice", ids[i])
		}
	}
	return nil
}

// newEntry makes the queue's form of a push. Its rank puts newer ones first, or older ones by OrderBreadth, and what Start produced last, older ones first.
func (m *Memory) newEntry(id uint64, p *crawl.Push) entry {
	m.rank++
	e := entry{enc: string(p.Encoded), id: id, rank: m.rank, priority: int32(min(max(p.Priority, math.MinInt32), math.MaxInt32))}
	if p.Parent == 0 || m.opts.Order == crawl.OrderBreadth {
		e.rank = -m.rank
	}
	return e
}

func (m *Memory) enqueue(name string, e entry) {
	s := m.slot(name)
	s.queue.push(e)
	m.queued++
	m.settle(s)
}

// slot returns the slot of a name, and makes it if it is new.
func (m *Memory) slot(name string) *slot {
	if s := m.slots[name]; s != nil {
		return s
	}
	if len(m.slots) >= m.sweepAt {
		m.sweep()
	}
	name = strings.Clone(name)
	s := &slot{name: name, limits: m.opts.Default}
	if l, ok := m.limits[name]; ok {
		s.limits = l
	}
	s.queue.less = (*entry).before
	m.slots[name] = s
	return s
}

// sweep drops slots that nothing is known of but their name.
func (m *Memory) sweep() {
	for name, s := range m.slots {
		if s.queue.len() == 0 && s.active == 0 && !s.opensAt().After(m.now) {
			delete(m.slots, name)
		}
	}
	m.sweepAt = max(1024, 2*len(m.slots))
}

// settle puts a slot where it belongs after a change. One whose time has not come waits in the heap of times until Lease finds that it has.
func (m *Memory) settle(s *slot) {
	var to *heap[*slot]
	switch {
	case s.queue.len() == 0 || s.free() == 0:
	case s.opensAt().After(m.now):
		to = &m.waiting
	default:
		to = &m.ready
	}
	if to == s.heap {
		if to != nil {
			to.fix(s.at)
		}
	} else {
		if s.heap != nil {
			s.heap.remove(s.at)
		}
		if s.heap = to; to != nil {
			to.push(s)
		}
	}
	ready := 0
	if to == &m.ready {
		ready = min(s.queue.len(), s.free())
	}
	m.readyNow += ready - s.ready
	s.ready = ready
}

// advance moves what the time has come for.
func (m *Memory) advance(now time.Time) {
	if now.After(m.now) {
		m.now = now
	}
	for m.later.len() > 0 && !m.later.top().at.After(m.now) {
		d := m.later.pop()
		m.queued--
		m.enqueue(d.slot, d.entry)
	}
	for m.waiting.len() > 0 && !(*m.waiting.top()).opensAt().After(m.now) {
		s := m.waiting.pop()
		s.heap = nil
		m.settle(s)
	}
}

// Lease hands out the best requests of slots that may be asked.
func (m *Memory) Lease(now time.Time, most int) (leases []crawl.Lease, wake time.Time) {
	m.advance(now)
	for len(leases) < most && m.ready.len() > 0 {
		s := *m.ready.top()
		e := s.queue.pop()
		m.queued--
		e.attempt++
		req, err := crawl.ParseWire(e.enc)
		if err == nil {
			m.take(s)
		} else {
			m.settle(s)
		}
		m.leased[e.id] = leased{entry: e, slot: s.name}
		leases = append(leases, crawl.Lease{ID: e.id, Request: req, Attempt: int(e.attempt), Err: err})
	}
	if m.waiting.len() > 0 {
		wake = (*m.waiting.top()).opensAt()
	}
	if m.later.len() > 0 {
		if at := m.later.top().at; wake.IsZero() || at.Before(wake) {
			wake = at
		}
	}
	return leases, wake
}

// take takes a place at a slot, and draws its next delay.
func (m *Memory) take(s *slot) {
	s.active++
	if d := s.limits.Delay; d > 0 {
		if !s.limits.FixedDelay {
			d = d/2 + time.Duration(m.rand.Int64N(int64(d)+1))
		}
		s.next = m.now.Add(d)
	}
	m.settle(s)
}

// Reserve takes a place for media.
func (m *Memory) Reserve(name string, now time.Time) (ok bool, wake time.Time) {
	m.advance(now)
	s := m.slot(name)
	if s.limits.Concurrency-s.active <= 0 {
		return false, time.Time{}
	}
	if at := s.opensAt(); at.After(m.now) {
		return false, at
	}
	m.take(s)
	return true, time.Time{}
}

// Release gives a place back.
func (m *Memory) Release(name string, now time.Time) {
	m.advance(now)
	if s := m.slots[name]; s != nil && s.active > 0 {
		s.active--
		m.settle(s)
	}
}

// Limit changes what a slot allows.
func (m *Memory) Limit(name string, l crawl.Limits) {
	base, ok := m.limits[name]
	if !ok {
		base = m.opts.Default
	}
	base = merge(base, l)
	m.limits[name] = base
	if s := m.slots[name]; s != nil {
		s.limits = base
		if base.Delay == 0 {
			s.next = time.Time{}
		}
		m.settle(s)
	}
}

// Counts says how much there is of what.
func (m *Memory) Counts() crawl.Counts {
	return crawl.Counts{
		Queued: m.queued, Delayed: m.later.len(), Ready: m.readyNow, Leased: len(m.leased),
		Failed: m.failed, Seen: m.seen.len(), Slots: len(m.slots),
	}
}

// State is empty: a scheduler in memory has no past.
func (m *Memory) State() map[string][]byte { return nil }

// Close has nothing to do.
func (m *Memory) Close(context.Context) error { return nil }

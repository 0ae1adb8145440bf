// Package frontier is the part of a scheduler that decides which request leaves next, and from which hosts: the same for a queue in memory and one on disk. Of a
// queue that is on disk it holds the best requests of every slot, within a bound of memory, and says where more are wanted.
package frontier

import (
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// Frontier is not safe for concurrent use.
type Frontier struct {
	opts     crawl.SchedulerOptions
	rand     *rand.Rand
	slots    map[string]*slot
	limits   map[string]*crawl.Limits // what Limit and the options say of single slots; see same
	told     *crawl.Limits            // the last of them
	ready    heap[*slot]              // may be asked, best request first
	waiting  heap[*slot]              // may be asked at a time, earliest first
	later    queue[Delayed]           // requests with a not-before time, earliest first
	queued   int                      // in slots and later, those on disk included
	delayed  int                      // of those, in later
	readyNow int                      // the sum of the slots' parts
	now      time.Time                // the latest that a caller has named
	busy     int                      // slots with something waiting or a place taken
	sweepAt  int                      // number of slots at which idle ones are dropped

	spill *Spill // nil: everything is in memory
	bytes int    // of the requests in memory
	wants []Want
}

// Spill says how much of a queue on disk is held in memory.
type Spill struct {
	// Memory is about how many bytes of requests are held in all. Every slot holds one request at least.
	Memory int
	// Due takes over a request whose time has come: it is out of the frontier until Add.
	Due func(Delayed)
}

// Want is a part of the queue that should be read from disk.
type Want struct {
	// Slot is the slot's name; Later says that it is the queue of those with a not-before time instead.
	Slot  string
	Later bool
	// From is the first key that is wanted, Bytes about how much.
	From  Key
	Bytes int
}

// Leased is a request that leaves. If its stored form cannot be read, Err says so, and no place was taken.
type Leased struct {
	Entry
	Slot    string
	Request *crawl.Request
	Err     error
}

// New makes an empty frontier. Zero limits in opts.Default are 8 downloads at once without a delay.
func New(opts crawl.SchedulerOptions, spill *Spill) *Frontier {
	opts.Default = merge(crawl.Limits{Concurrency: 8}, opts.Default)
	seed := opts.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	f := &Frontier{
		opts:    opts,
		rand:    rand.New(rand.NewPCG(seed, seed)),
		slots:   make(map[string]*slot),
		limits:  make(map[string]*crawl.Limits),
		sweepAt: 1024,
		spill:   spill,
	}
	for name, l := range opts.Slots {
		f.limits[name] = f.same(merge(opts.Default, l))
	}
	moved := func(s **slot, at int) { (*s).at = at }
	f.ready = heap[*slot]{moved: moved, less: func(a, b **slot) bool { return (*a).queue.top().before((*b).queue.top()) }}
	f.waiting = heap[*slot]{moved: moved, less: func(a, b **slot) bool { return (*a).opensAt().Before((*b).opensAt()) }}
	f.later.less = (*Delayed).before
	return f
}

// Rank is where the n-th request that was ever queued stands within its priority: newer ones first, or older ones by OrderBreadth, and what Start produced last, older
// ones first.
func (f *Frontier) Rank(n int64, fromStart bool) int64 {
	if fromStart || f.opts.Order == crawl.OrderBreadth {
		return -n
	}
	return n
}

// Priority is a request's, within the bounds of an [Entry].
func Priority(p int) int32 { return int32(min(max(p, math.MinInt32), math.MaxInt32)) }

// Add queues a request.
func (f *Frontier) Add(name string, e Entry) {
	s := f.slot(name)
	f.queued++
	if s.queue.add(e) {
		f.bytes += e.size()
		f.trim(s)
	}
	f.settle(s)
}

// AddLater queues a request that must not leave before a time.
func (f *Frontier) AddLater(d Delayed) {
	f.queued++
	f.delayed++
	if f.later.add(d) {
		f.bytes += d.size()
		if f.spill != nil {
			f.bytes -= f.later.trim(max(f.spill.Memory/8, 1))
		}
	}
}

// Known tells, after opening, of a slot whose best request is e, and which may have more on disk behind it.
func (f *Frontier) Known(name string, e Entry) {
	s := f.slot(name)
	s.queue.add(e)
	f.bytes += e.size()
	s.queue.more, s.queue.bound = true, e.key().next()
	s.known = true // nothing is read until one has left
	f.settle(s)
}

// KnownLater tells, after opening, that requests with a not-before time are on disk.
func (f *Frontier) KnownLater(n int) {
	f.delayed = n
	f.later.more, f.later.bound = n > 0, Key{math.MinInt64, math.MinInt64}
}

// SetQueued sets how many requests there are, those on disk included.
func (f *Frontier) SetQueued(n int) { f.queued = n }

// trim keeps a slot within its share of memory, and others, a few at a time, when shares have become smaller.
func (f *Frontier) trim(s *slot) {
	if f.spill == nil {
		return
	}
	share := f.share()
	f.bytes -= s.queue.trim(share)
	if f.bytes <= f.spill.Memory {
		return
	}
	n := 0
	for _, o := range f.slots {
		f.bytes -= o.queue.trim(share)
		if n++; n == trimmedAtOnce {
			return
		}
	}
}

const trimmedAtOnce = 8

// share is how many bytes of requests one slot may hold.
func (f *Frontier) share() int { return min(max(f.spill.Memory/max(len(f.slots), 1), 1), maxShare) }

const maxShare = 256 << 10

// Wants are the parts of the queue that should be read, each once until [Frontier.Fill] or [Frontier.FillLater] has answered.
func (f *Frontier) Wants() []Want {
	w := f.wants
	f.wants = nil
	return w
}

// want asks for more of a slot when little is left.
func (f *Frontier) want(s *slot) {
	if q := &s.queue; q.more && !q.asked && !s.known && q.bytes <= f.share()/4 {
		q.asked = true
		f.wants = append(f.wants, Want{Slot: s.name, From: q.bound, Bytes: max(f.share()/2, 1)})
	}
}

func (f *Frontier) wantLater() {
	if q := &f.later; q.more && !q.asked && q.len() == 0 {
		q.asked = true
		f.wants = append(f.wants, Want{Later: true, From: q.bound, Bytes: max(f.spill.Memory/16, 1)})
	}
}

// Fill brings what was read for a Want. next is the first key that was not read; more says that there is one. Requests that are out must not be among them.
func (f *Frontier) Fill(w Want, entries []Entry, next Key, more bool) {
	s := f.slot(w.Slot)
	f.bytes += s.queue.fill(w.From, entries, next, more)
	f.settle(s)
}

// FillLater does the same for requests with a not-before time.
func (f *Frontier) FillLater(w Want, list []Delayed, next Key, more bool) {
	f.bytes += f.later.fill(w.From, list, next, more)
}

// Starving says that requests are being read which may be better than those in memory.
func (f *Frontier) Starving() bool {
	if f.spill == nil {
		return false
	}
	if f.later.asked {
		return true
	}
	for _, s := range f.slots {
		if s.queue.asked && s.queue.len() == 0 {
			return true
		}
	}
	return false
}

// slot returns the slot of a name, and makes it if it is new.
func (f *Frontier) slot(name string) *slot {
	if s := f.slots[name]; s != nil {
		return s
	}
	if len(f.slots) >= f.sweepAt {
		f.sweep()
	}
	name = strings.Clone(name)
	s := &slot{name: name, limits: f.opts.Default}
	if l := f.limits[name]; l != nil {
		s.limits = *l
	}
	s.queue.less = (*Entry).before
	f.slots[name] = s
	return s
}

// sweep drops slots that nothing is known of but their name, and limits that say nothing any more.
func (f *Frontier) sweep() {
	maps.DeleteFunc(f.limits, f.usual)
	for name, s := range f.slots {
		if s.queue.len() == 0 && !s.queue.more && s.active == 0 && !s.held && !s.opensAt().After(f.now) {
			delete(f.slots, name)
		}
	}
	f.sweepAt = max(1024, 2*len(f.slots))
}

// settle puts a slot where it belongs after a change. One whose time has not come waits in the heap of times until Lease finds that it has.
func (f *Frontier) settle(s *slot) {
	if f.spill != nil {
		f.want(s)
	}
	if busy := s.queue.len() > 0 || s.queue.more || s.active > 0; busy != s.busy {
		if s.busy = busy; busy {
			f.busy++
		} else {
			f.busy--
		}
	}
	var to *heap[*slot]
	switch {
	case s.queue.len() == 0 || s.free() == 0:
	case s.opensAt().After(f.now):
		to = &f.waiting
	default:
		to = &f.ready
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
	if to == &f.ready {
		ready = min(s.queue.len(), s.free())
	}
	f.readyNow += ready - s.ready
	s.ready = ready
}

// Advance moves what the time has come for.
func (f *Frontier) Advance(now time.Time) {
	if now.After(f.now) {
		f.now = now
	}
	for f.later.len() > 0 && !f.later.top().At.After(f.now) {
		d := f.later.pop()
		f.bytes -= d.size()
		f.queued--
		f.delayed--
		if f.spill != nil {
			f.spill.Due(d)
			continue
		}
		f.Add(d.Slot, d.Entry)
	}
	if f.spill != nil {
		f.wantLater()
	}
	for f.waiting.len() > 0 && !(*f.waiting.top()).opensAt().After(f.now) {
		s := f.waiting.pop()
		s.heap = nil
		f.settle(s)
	}
}

// Lease hands out up to most of the best requests of slots that may be asked, and takes their places. What aside, if set, takes instead leaves the frontier without
// a place. wake is when waiting alone will let more leave.
func (f *Frontier) Lease(now time.Time, most int, aside func(slot string, e *Entry) bool) (list []Leased, wake time.Time) {
	f.Advance(now)
	for len(list) < most && f.ready.len() > 0 {
		s := *f.ready.top()
		e := s.queue.pop()
		s.known = false
		f.bytes -= e.size()
		f.queued--
		if aside != nil && aside(s.name, &e) {
			f.settle(s)
			continue
		}
		l := Leased{Entry: e, Slot: s.name}
		if l.Request, l.Err = crawl.ParseWire(e.Enc); l.Err == nil {
			f.take(s)
		} else {
			f.settle(s)
		}
		list = append(list, l)
	}
	if f.waiting.len() > 0 {
		wake = (*f.waiting.top()).opensAt()
	}
	if f.later.len() > 0 {
		if at := f.later.top().At; wake.IsZero() || at.Before(wake) {
			wake = at
		}
	}
	return list, wake
}

// take takes a place at a slot, and draws its next delay.
func (f *Frontier) take(s *slot) {
	s.active++
	if d := s.limits.Delay; d > 0 {
		if !s.limits.FixedDelay {
			d = d/2 + time.Duration(f.rand.Int64N(int64(d)+1))
		}
		s.next = f.now.Add(d)
	}
	f.settle(s)
}

// Reserve takes a place without a request.
func (f *Frontier) Reserve(name string, now time.Time) (ok bool, wake time.Time) {
	f.Advance(now)
	s := f.slot(name)
	if s.limits.Concurrency-s.active <= 0 {
		return false, time.Time{}
	}
	if at := s.opensAt(); at.After(f.now) {
		return false, at
	}
	f.take(s)
	return true, time.Time{}
}

// Release gives a place back.
func (f *Frontier) Release(name string, now time.Time) {
	f.Advance(now)
	if s := f.slots[name]; s != nil && s.active > 0 {
		s.active--
		f.settle(s)
	}
}

// Hold keeps a slot's requests in the queue, or lets them go on. Reserve is not held.
func (f *Frontier) Hold(name string, on bool) {
	s := f.slot(name)
	s.held = on
	f.settle(s)
}

// Limit changes what a slot allows.
func (f *Frontier) Limit(name string, l crawl.Limits) {
	base := f.opts.Default
	old := f.limits[name]
	if old != nil {
		base = *old
	}
	base = merge(base, l)
	s := f.slots[name]
	switch {
	case old != nil:
		f.limits[name] = f.same(base)
	case s != nil:
		f.limits[s.name] = f.same(base)
	default:
		f.limits[strings.Clone(name)] = f.same(base)
	}
	if s != nil {
		s.limits = base
		if base.Delay == 0 {
			s.next = time.Time{}
		}
		f.settle(s)
	}
}

// usual says that limits are those of any slot, so that there is no need to remember them.
func (f *Frontier) usual(name string, l *crawl.Limits) bool {
	if _, own := f.opts.Slots[name]; own || l.HoldUntil.After(f.now) {
		return false
	}
	d := &f.opts.Default
	return l.Concurrency == d.Concurrency && l.Delay == d.Delay && (l.Delay == 0 || l.FixedDelay == d.FixedDelay)
}

// same is where limits are kept: one place for many slots, since most are told the same.
func (f *Frontier) same(l crawl.Limits) *crawl.Limits {
	if f.told == nil || *f.told != l {
		told := l
		f.told = &told
	}
	return f.told
}

// Counts fills in what a frontier knows.
func (f *Frontier) Counts() crawl.Counts {
	return crawl.Counts{Queued: f.queued, Delayed: f.delayed, Ready: f.readyNow, Slots: f.busy}
}

// Queued is how many wait, Delayed included.
func (f *Frontier) Queued() int { return f.queued }

// Remove takes a waiting request out, wherever it stands in memory, and reports whether it was there. It looks at every one.
func (f *Frontier) Remove(id uint64) bool {
	for i := range f.later.all {
		if f.later.all[i].ID == id {
			f.later.remove(i)
			f.queued--
			f.delayed--
			return true
		}
	}
	for _, s := range f.slots {
		for i := range s.queue.all {
			if s.queue.all[i].ID == id {
				s.queue.remove(i)
				f.queued--
				f.settle(s)
				return true
			}
		}
	}
	return false
}

// Bytes is about how much memory the requests take.
func (f *Frontier) Bytes() int { return f.bytes }

// Slots is how many slots are known, idle ones included.
func (f *Frontier) Slots() int { return len(f.slots) }

// Limited is how many slots have limits of their own.
func (f *Frontier) Limited() int { return len(f.limits) }

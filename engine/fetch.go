package engine

import (
	"container/heap"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// fetcher is the engine's downloader as pipelines see it: through all middlewares and host limits, ahead of the pages.
type fetcher struct{ e *Engine }

var (
	_ crawl.Fetcher   = fetcher{}
	_ crawl.Submitter = fetcher{}
)

// Fetch submits the request and waits.
func (f fetcher) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	type answer struct {
		resp *crawl.Response
		err  error
	}
	ch := make(chan answer, 1)
	f.Submit(ctx, req, func(resp *crawl.Response, err error) { ch <- answer{resp, err} })
	a := <-ch
	return a.resp, a.err
}

// Submit queues the request with the loop.
func (f fetcher) Submit(ctx context.Context, req *crawl.Request, done func(*crawl.Response, error)) {
	e := f.e
	j := &mediaJob{ctx: ctx, req: req, done: done}
	if err := usable(req); err != nil {
		go e.finish(j, nil, err)
		return
	}
	if !e.running.Load() {
		go e.finish(j, nil, errNotRunning)
		return
	}
	j.slot = req.Slot()
	j.unwatch = watch(ctx, func() { e.loop.box.post(event{kind: mediaGone, media: j}) })
	if !e.loop.box.post(event{kind: mediaAsked, media: j}) {
		go e.finish(j, nil, crawl.ErrStopping)
	}
}

// watch calls f when ctx ends. A context that can do so itself costs less than context.AfterFunc makes of it, and there may be tens of thousands.
func watch(ctx context.Context, f func()) (stop func() bool) {
	if own, ok := ctx.(interface{ AfterFunc(f func()) func() bool }); ok {
		return own.AfterFunc(f)
	}
	return context.AfterFunc(ctx, f)
}

// errNotRunning is the answer to an Opener that asks for something.
var errNotRunning = errors.New("the crawl does not run yet: Env.Fetcher is for Process, not for Open")

func usable(req *crawl.Request) error {
	if err := req.Err(); err != nil {
		return &crawl.DownloadError{Kind: crawl.KindRequest, URL: req.String(), Err: err}
	}
	return nil
}

// mediaJob is a submitted request, from Submit until done has returned.
type mediaJob struct {
	ctx     context.Context
	req     *crawl.Request
	slot    string
	done    func(*crawl.Response, error)
	unwatch func() bool
	again   *crawl.RescheduleError // why it is to be asked again; set by the goroutine that ran it, before mediaAgain
	aside   *setAside              // why it was not asked; set by the goroutine that ran it, before mediaAside
	opening *opening               // the host that it opens; nil for all that pipelines ask for

	// Owned by the loop.
	state      jobState
	since      int64     // when it left for the downloader, in unix nanoseconds
	next, prev *mediaJob // its neighbours in the slot, while it is queued
	due        *wait     // while it is delayed
}

type jobState byte

const (
	jobNew jobState = iota // the loop has not heard of it
	jobQueued
	jobDelayed
	jobAside // its host is being opened
	jobRunning
	jobOver
)

// finish answers whoever asked. A panic of theirs is logged.
func (e *Engine) finish(j *mediaJob, resp *crawl.Response, err error) {
	if j.unwatch != nil {
		j.unwatch()
	}
	e.guard("media", func() { j.done(resp, err) })
}

// mediaQueue holds submitted requests, slot by slot. It belongs to the loop. Tens of thousands may wait in one slot, or each in its own: nothing looks at all
// of them but takeAll.
type mediaQueue struct {
	e       *Engine
	jobs    int // submitted and not done
	slots   map[string]*mediaSlot
	ready   []*mediaSlot // may be tried, in turn
	running map[*mediaJob]struct{}
	hosts   map[*origin]struct{} // for which something is set aside, or whose opening is among the jobs
	waits   waits                // for a time
	ending  time.Time            // in a stop: what has not begun by then fails
}

// mediaSlot is one slot's jobs.
type mediaSlot struct {
	name        string
	first, last *mediaJob // those that are queued, oldest first
	jobs        int       // those too that are delayed or run
	isIn        bool      // in ready
	due         *wait     // it is tried then; nil: after a release
}

// wait is a job, or a slot, that waits for a time.
type wait struct {
	at   time.Time
	pos  int // in waits
	job  *mediaJob
	slot *mediaSlot
}

// waits is a heap, the earliest on top.
type waits []*wait

var _ heap.Interface = (*waits)(nil)

func (w waits) Len() int           { return len(w) }
func (w waits) Less(i, k int) bool { return w[i].at.Before(w[k].at) }

func (w waits) Swap(i, k int) {
	w[i], w[k] = w[k], w[i]
	w[i].pos, w[k].pos = i, k
}

// Push implements heap.Interface.
func (w *waits) Push(x any) {
	e := x.(*wait)
	e.pos = len(*w)
	*w = append(*w, e)
}

// Pop implements heap.Interface.
func (w *waits) Pop() any {
	last := len(*w) - 1
	e := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	return e
}

// ask takes a new job, unless its owner has left before the loop heard of it.
func (q *mediaQueue) ask(j *mediaJob) {
	if j.state == jobOver {
		go q.e.finish(j, nil, context.Cause(j.ctx))
		return
	}
	q.jobs++
	q.enter(j)
	q.enqueue(j)
}

// enter counts a job in its slot, until it leaves.
func (q *mediaQueue) enter(j *mediaJob) {
	if q.slots == nil {
		q.slots = make(map[string]*mediaSlot)
	}
	s := q.slots[j.slot]
	if s == nil {
		s = &mediaSlot{name: j.slot}
		q.slots[j.slot] = s
	}
	s.jobs++
}

func (q *mediaQueue) leave(j *mediaJob) {
	s := q.slots[j.slot]
	s.jobs--
	q.forget(s)
}

// forget drops a slot that nobody needs.
func (q *mediaQueue) forget(s *mediaSlot) {
	if s.jobs == 0 && !s.isIn && s.due == nil {
		delete(q.slots, s.name)
	}
}

func (q *mediaQueue) enqueue(j *mediaJob) {
	s := q.slots[j.slot]
	j.state = jobQueued
	if j.opening != nil {
		s.ahead(j)
		if s.due == nil {
			q.try(s)
		}
		return
	}
	j.prev, s.last = s.last, j
	if j.prev != nil {
		j.prev.next = j
		return // the slot is waiting already
	}
	s.first = j
	if s.due == nil {
		q.try(s)
	}
}

// ahead puts a job at the front.
func (s *mediaSlot) ahead(j *mediaJob) {
	if j.next, s.first = s.first, j; j.next != nil {
		j.next.prev = j
	} else {
		s.last = j
	}
}

// unlink takes a job out of its slot's queue.
func (s *mediaSlot) unlink(j *mediaJob) {
	if j.prev != nil {
		j.prev.next = j.next
	} else {
		s.first = j.next
	}
	if j.next != nil {
		j.next.prev = j.prev
	} else {
		s.last = j.prev
	}
	j.next, j.prev = nil, nil
}

func (q *mediaQueue) try(s *mediaSlot) {
	if !s.isIn {
		s.isIn = true
		q.ready = append(q.ready, s)
	}
}

// released lets a slot that waits for a place be tried.
func (q *mediaQueue) released(slot string) {
	if s := q.slots[slot]; s != nil && s.first != nil && s.due == nil {
		q.try(s)
	}
}

// admit starts what has room, one of each slot in turn, and returns when to look again.
func (q *mediaQueue) admit(l *loop, now time.Time) (wake time.Time) {
	if q.jobs == 0 {
		return time.Time{}
	}
	if !q.ending.IsZero() && !now.Before(q.ending) {
		l.e.giveUp(q.takeAll())
		return time.Time{}
	}
	q.awake(now)
	for len(q.ready) > 0 && l.active < l.e.settings.ConcurrentRequests && !l.e.starve(l.e.mediaFull) {
		s := q.ready[0]
		q.ready = q.ready[1:]
		s.isIn = false
		if s.first == nil {
			q.forget(s)
			continue
		}
		if s.first.opening == nil && l.aside[s.name].holds() {
			continue // back lets it be tried
		}
		ok, at := l.sched.Reserve(s.name, now)
		if !ok {
			if !at.IsZero() {
				s.due = &wait{at: at, slot: s}
				heap.Push(&q.waits, s.due)
			}
			continue
		}
		j := s.first
		s.unlink(j)
		if s.first != nil {
			q.try(s)
		}
		j.state, j.since = jobRunning, now.UnixNano()
		q.runs(j)
		l.active++
		l.e.workers.do(mediaRun{l.e, j, l.turn(j.slot)})
	}
	wake = q.ending
	if len(q.waits) > 0 {
		wake = earlier(wake, q.waits[0].at)
	}
	return wake
}

// awake lets go on what has waited long enough.
func (q *mediaQueue) awake(now time.Time) {
	for len(q.waits) > 0 && !q.waits[0].at.After(now) {
		w := heap.Pop(&q.waits).(*wait)
		if w.job != nil {
			w.job.due = nil
			q.enqueue(w.job)
			continue
		}
		w.slot.due = nil
		q.try(w.slot)
	}
}

// earlier is the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// again holds a request that a middleware wants to be asked again.
func (q *mediaQueue) again(l *loop, j *mediaJob) {
	re := j.again
	delete(q.running, j)
	l.holdSlot(j.slot, re)
	if re.Request != nil {
		q.leave(j)
		j.req, j.slot = re.Request, re.Request.Slot()
		q.enter(j)
	}
	err := usable(j.req)
	if err == nil && j.ctx.Err() != nil {
		err = context.Cause(j.ctx)
	}
	if err != nil {
		q.end(j)
		go q.e.finish(j, nil, err)
		return
	}
	q.after(l, j, re.After)
}

// drop removes a job whose owner has left, unless it runs: then its context ends it.
func (q *mediaQueue) drop(j *mediaJob) {
	switch j.state {
	case jobNew:
		j.state = jobOver // ask will answer
		return
	case jobQueued:
		q.slots[j.slot].unlink(j)
	case jobDelayed:
		heap.Remove(&q.waits, j.due.pos)
	case jobAside:
		o := j.aside.host
		o.media = slices.DeleteFunc(o.media, func(other *mediaJob) bool { return other == j })
		q.e.loop.back(j.slot)
	default:
		return
	}
	q.end(j)
	go q.e.finish(j, nil, context.Cause(j.ctx))
}

// opens queues what is left of an opening.
func (q *mediaQueue) opens(l *loop, s *setAside) {
	l.holdSlot(s.of.slot, s.again)
	o := s.host
	j := &mediaJob{ctx: l.e.killed, req: s.again.Request, opening: s.of}
	j.slot = j.req.Slot()
	j.done = func(*crawl.Response, error) { l.e.do(func(l *loop) { l.opened(o, "") }) } // nobody has opened it
	o.job = j
	q.jobs++
	q.opening(o)
	q.enter(j)
	q.after(l, j, s.again.After)
}

// opening notes a host that something waits for.
func (q *mediaQueue) opening(o *origin) {
	if q.hosts == nil {
		q.hosts = make(map[*origin]struct{})
	}
	q.hosts[o] = struct{}{}
}

// after queues a job, or delays it.
func (q *mediaQueue) after(l *loop, j *mediaJob, d time.Duration) {
	if d <= 0 {
		q.enqueue(j)
		return
	}
	j.state, j.due = jobDelayed, &wait{at: l.now.Add(d), job: j}
	heap.Push(&q.waits, j.due)
}

func (q *mediaQueue) runs(j *mediaJob) {
	if q.running == nil {
		q.running = make(map[*mediaJob]struct{})
	}
	q.running[j] = struct{}{}
}

func (q *mediaQueue) end(j *mediaJob) {
	delete(q.running, j)
	j.state, j.due = jobOver, nil
	q.jobs--
	q.leave(j)
}

// stop lets nothing begin from a time on.
func (q *mediaQueue) stop(at time.Time) { q.ending = at }

// takeAll takes out all that does not run.
func (q *mediaQueue) takeAll() []*mediaJob {
	var all []*mediaJob
	for _, s := range q.slots {
		for j := s.first; j != nil; j = s.first {
			s.unlink(j)
			all = append(all, j)
		}
	}
	for _, w := range q.waits {
		if w.job != nil {
			all = append(all, w.job)
		} else {
			w.slot.due = nil
		}
	}
	q.waits = nil
	for o := range q.hosts {
		for _, j := range o.media {
			q.e.loop.back(j.slot)
			all = append(all, j)
		}
		o.media = nil
	}
	for _, j := range all {
		q.end(j)
	}
	return all
}

// giveUp answers jobs that will not run. There may be tens of thousands, so they don't get a goroutine each.
func (e *Engine) giveUp(jobs []*mediaJob) {
	next := new(atomic.Int64)
	for range min(len(jobs), e.settings.ConcurrentRequests) {
		go func() {
			for i := next.Add(1); i <= int64(len(jobs)); i = next.Add(1) {
				j, err := jobs[i-1], crawl.ErrStopping
				if j.again != nil {
					err = errors.Join(err, j.again)
				}
				e.finish(j, nil, err)
			}
		}()
	}
}

// busiest is the slot that has the most jobs, or nil.
func (q *mediaQueue) busiest() (most *mediaSlot) {
	for _, s := range q.slots {
		if s.jobs > 0 && (most == nil || s.jobs > most.jobs || s.jobs == most.jobs && s.name < most.name) {
			most = s
		}
	}
	return most
}

// crowd watches over items that wait for media, so many that no page is asked any more. It belongs to the loop.
type crowd struct {
	since time.Time // when items were full; zero: since then half of them have gone
	again time.Time // not to be warned of before
}

const (
	crowdPatience = time.Second      // it is no crowd that is gone before
	crowdQuiet    = 10 * time.Minute // between two warnings
)

// look warns of the host that most media waits for, if items have been full for a while, and returns when to look again.
func (c *crowd) look(l *loop, now time.Time) (wake time.Time) {
	switch items := l.e.items; {
	case len(items) <= cap(items)/2 || l.paused || l.stopping:
		c.since = time.Time{}
		return time.Time{}
	case c.since.IsZero() && items.full():
		c.since = now
	}
	if c.since.IsZero() || now.Before(c.again) {
		return time.Time{}
	}
	if at := c.since.Add(crowdPatience); now.Before(at) {
		return at
	}
	s := l.media.busiest()
	if s == nil {
		return time.Time{} // it is not media
	}
	c.again = now.Add(crowdQuiet)
	why := "no more pages are asked: items wait for files, most of them of one host: look at it, or raise concurrent_items"
	if l.e.mediaFull() {
		why = "no more pages are asked: items wait for files, which arrive faster than they are stored: look at the store, or raise concurrent_items"
	}
	l.e.log.Warn(why, zap.String("host", s.name), zap.Int("files", s.jobs), zap.Int("items", len(l.e.items)), zap.Int("concurrent_items", cap(l.e.items)))
	return time.Time{}
}

// mediaRun is a submitted request that has its place.
type mediaRun struct {
	e    *Engine
	j    *mediaJob
	turn uint64 // see loop.turn
}

// run is the life of a submitted request from then on.
func (m mediaRun) run() {
	j, e := m.j, m.e
	if j.opening != nil {
		m.open()
		return
	}
	ctx, cancel := e.join(j.ctx)
	defer cancel()
	resp, err := e.download(ctx, j.req, j.slot, m.turn)
	if s, ok := errors.AsType[*setAside](err); ok {
		j.aside = s
		if !e.loop.box.post(event{kind: mediaAside, media: j}) {
			e.finish(j, nil, crawl.ErrStopping)
		}
		return
	}
	if errors.As(err, &j.again) {
		// The place is given back in the order of events, before it is asked again.
		e.loop.box.post(event{kind: mediaLoaded, media: j})
		if !e.loop.box.post(event{kind: mediaAgain, media: j}) {
			e.finish(j, nil, crawl.ErrStopping)
		}
		return
	}
	if err != nil {
		e.skipped(j.slot, m.turn, err)
	}
	var size int64
	if resp != nil {
		size = resp.Body.Size()
	}
	e.arrived.add(1, size)
	e.loop.box.post(event{kind: mediaLoaded, media: j})
	defer func() {
		e.arrived.add(-1, -size)
		e.loop.box.post(event{kind: mediaDone, media: j})
	}()
	e.finish(j, resp, err)
}

// open goes on with the opening of a host.
func (m mediaRun) open() {
	j, box := m.j, &m.e.loop.box
	_, err := m.e.hosts.ask(j.opening)
	if !j.opening.sent {
		m.e.do(func(l *loop) { l.unspent(j.slot, m.turn) })
	}
	box.post(event{kind: mediaLoaded, media: j})
	if s, ok := errors.AsType[*setAside](err); ok {
		j.again = s.again
		box.post(event{kind: mediaAgain, media: j})
		return
	}
	box.post(event{kind: mediaDone, media: j})
}

// holdSlot keeps a slot from being asked for as long as its server wants.
func (l *loop) holdSlot(slot string, re *crawl.RescheduleError) {
	if re.HoldSlot > 0 {
		l.limit(slot, crawl.Limits{HoldUntil: l.now.Add(re.HoldSlot)})
	}
}

// limit changes what a slot allows. Media that waits there is tried again.
func (l *loop) limit(slot string, limits crawl.Limits) {
	l.sched.Limit(slot, limits)
	l.media.released(slot)
}

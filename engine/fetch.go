package engine

import (
	"context"
	"errors"
	"slices"
	"time"

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
	j := &mediaJob{e: e, ctx: ctx, req: req, done: done}
	if err := usable(req); err != nil {
		go j.finish(nil, err)
		return
	}
	if !e.running.Load() {
		go j.finish(nil, errNotRunning)
		return
	}
	j.slot = req.Slot()
	j.unwatch = context.AfterFunc(ctx, func() { e.loop.box.post(event{kind: mediaGone, media: j}) })
	if !e.loop.box.post(event{kind: mediaAsked, media: j}) {
		go j.finish(nil, crawl.ErrStopping)
	}
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
	e       *Engine
	ctx     context.Context
	req     *crawl.Request
	slot    string
	done    func(*crawl.Response, error)
	unwatch func() bool
	next    *crawl.RescheduleError // set by the goroutine that ran it, before mediaAgain

	// Owned by the loop.
	state   jobState
	due     time.Time // in delayed: when it may go on
	lastErr error     // why it waits to be asked again
}

type jobState int

const (
	jobNew jobState = iota // the loop has not heard of it
	jobQueued
	jobDelayed
	jobRunning
	jobOver
)

// finish answers whoever asked. A panic of theirs is logged.
func (j *mediaJob) finish(resp *crawl.Response, err error) {
	if j.unwatch != nil {
		j.unwatch()
	}
	j.e.guard("media", func() { j.done(resp, err) })
}

// mediaQueue holds submitted requests, slot by slot. It belongs to the loop.
type mediaQueue struct {
	jobs    int // submitted and not done
	slots   map[string]*mediaSlot
	ready   []*mediaSlot // may be tried, in turn
	timed   []*mediaSlot // may be tried at a time: few, so a list does
	delayed []*mediaJob  // wait to be asked again
	nextDue time.Time    // of the first in delayed
	ending  time.Time    // in a stop: what has not begun by then fails
}

// mediaSlot is one slot's jobs, oldest first.
type mediaSlot struct {
	name   string
	jobs   []*mediaJob
	isIn   bool      // in ready
	wakeAt time.Time // the slot stands in timed, to be tried then; zero: it is tried after a release
}

// ask takes a new job, unless its owner has left before the loop heard of it.
func (q *mediaQueue) ask(j *mediaJob) {
	if j.state == jobOver {
		go j.finish(nil, context.Cause(j.ctx))
		return
	}
	q.jobs++
	q.enqueue(j)
}

func (q *mediaQueue) enqueue(j *mediaJob) {
	if q.slots == nil {
		q.slots = make(map[string]*mediaSlot)
	}
	s := q.slots[j.slot]
	if s == nil {
		s = &mediaSlot{name: j.slot}
		q.slots[j.slot] = s
	}
	j.state = jobQueued
	s.jobs = append(s.jobs, j)
	if s.wakeAt.IsZero() && len(s.jobs) == 1 {
		q.try(s)
	}
}

func (q *mediaQueue) try(s *mediaSlot) {
	if !s.isIn {
		s.isIn = true
		q.ready = append(q.ready, s)
	}
}

// released lets a slot that waits for a place be tried.
func (q *mediaQueue) released(slot string) {
	if s := q.slots[slot]; s != nil && s.wakeAt.IsZero() {
		q.try(s)
	}
}

// admit starts what has room, one of each slot in turn, and returns when to look again.
func (q *mediaQueue) admit(l *loop, now time.Time) (wake time.Time) {
	if q.jobs == 0 {
		return time.Time{}
	}
	if !q.ending.IsZero() {
		if !now.Before(q.ending) {
			q.giveUp()
			return time.Time{}
		}
		wake = q.ending
	}
	q.wakeDelayed(now)
	wake = earlier(wake, q.nextDue)
	q.timed = slices.DeleteFunc(q.timed, func(s *mediaSlot) bool {
		if s.wakeAt.After(now) {
			wake = earlier(wake, s.wakeAt)
			return false
		}
		s.wakeAt = time.Time{}
		q.try(s)
		return true
	})
	for len(q.ready) > 0 && l.active < l.e.settings.ConcurrentRequests && !l.e.starve(l.e.mediaFull) {
		s := q.ready[0]
		q.ready = q.ready[1:]
		s.isIn = false
		if len(s.jobs) == 0 {
			delete(q.slots, s.name)
			continue
		}
		ok, at := l.sched.Reserve(s.name, now)
		if !ok {
			if s.wakeAt = at; !at.IsZero() {
				q.timed = append(q.timed, s)
				wake = earlier(wake, at)
			}
			continue
		}
		j := s.jobs[0]
		s.jobs[0] = nil
		if s.jobs = s.jobs[1:]; len(s.jobs) == 0 {
			delete(q.slots, s.name)
		} else {
			q.try(s)
		}
		j.state = jobRunning
		l.active++
		l.e.workers.do(mediaRun{j})
	}
	return wake
}

// wakeDelayed queues what has waited long enough to be asked again.
func (q *mediaQueue) wakeDelayed(now time.Time) {
	if q.nextDue.IsZero() || q.nextDue.After(now) {
		return
	}
	q.nextDue = time.Time{}
	q.delayed = slices.DeleteFunc(q.delayed, func(j *mediaJob) bool {
		if j.due.After(now) {
			q.nextDue = earlier(q.nextDue, j.due)
			return false
		}
		q.enqueue(j)
		return true
	})
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
	re := j.next
	l.holdSlot(j.slot, re)
	if re.Request != nil {
		j.req, j.slot = re.Request, re.Request.Slot()
	}
	err := usable(j.req)
	if err == nil && j.ctx.Err() != nil {
		err = context.Cause(j.ctx)
	}
	if err != nil {
		q.end(j)
		go j.finish(nil, err)
		return
	}
	j.lastErr = re
	if re.After <= 0 {
		q.enqueue(j)
		return
	}
	j.state, j.due = jobDelayed, l.now.Add(re.After)
	q.delayed = append(q.delayed, j)
	q.nextDue = earlier(q.nextDue, j.due)
}

// drop removes a job whose owner has left, unless it runs: then its context ends it.
func (q *mediaQueue) drop(j *mediaJob) {
	switch j.state {
	case jobNew:
		j.state = jobOver // ask will answer
		return
	case jobQueued:
		if s := q.slots[j.slot]; s != nil {
			if i := slices.Index(s.jobs, j); i >= 0 {
				s.jobs = slices.Delete(s.jobs, i, i+1)
			}
		}
	case jobDelayed:
		if i := slices.Index(q.delayed, j); i >= 0 {
			q.delayed = slices.Delete(q.delayed, i, i+1)
		}
	default:
		return
	}
	q.end(j)
	go j.finish(nil, context.Cause(j.ctx))
}

func (q *mediaQueue) end(j *mediaJob) {
	j.state = jobOver
	q.jobs--
}

// stop lets nothing begin from a time on.
func (q *mediaQueue) stop(at time.Time) { q.ending = at }

// giveUp ends all that does not run.
func (q *mediaQueue) giveUp() {
	var all []*mediaJob
	for _, s := range q.slots {
		all = append(all, s.jobs...)
	}
	all = append(all, q.delayed...)
	for _, j := range all {
		q.end(j)
		go j.finish(nil, errors.Join(crawl.ErrStopping, j.lastErr))
	}
	q.slots, q.ready, q.timed, q.delayed, q.nextDue = nil, nil, nil, nil, time.Time{}
}

// mediaRun is a submitted request that has its place.
type mediaRun struct{ *mediaJob }

// run is the life of a submitted request from then on.
func (m mediaRun) run() {
	j, e := m.mediaJob, m.e
	ctx, cancel := e.join(j.ctx)
	defer cancel()
	resp, err := e.download(ctx, j.req, j.slot)
	if errors.As(err, &j.next) {
		// The place is given back in the order of events, before it is asked again.
		e.loop.box.post(event{kind: mediaLoaded, media: j})
		if !e.loop.box.post(event{kind: mediaAgain, media: j}) {
			j.finish(nil, crawl.ErrStopping)
		}
		return
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
	j.finish(resp, err)
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

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
	j := &mediaJob{ctx: ctx, req: req, done: done}
	if err := req.Err(); err != nil {
		go done(nil, &crawl.DownloadError{Kind: crawl.KindRequest, URL: req.String(), Err: err})
		return
	}
	j.slot = req.Slot()
	j.unwatch = context.AfterFunc(ctx, func() { e.loop.box.post(event{kind: mediaGone, media: j}) })
	if !e.loop.box.post(event{kind: mediaAsked, media: j}) {
		go j.finish(nil, crawl.ErrStopping)
	}
}

// mediaJob is a submitted request, from Submit until done has returned.
type mediaJob struct {
	ctx     context.Context
	req     *crawl.Request
	slot    string
	done    func(*crawl.Response, error)
	unwatch func() bool

	// Owned by the loop.
	state   jobState
	due     time.Time // in delayed: when it may go on
	lastErr error     // why it waits to be asked again
}

type jobState int

const (
	jobQueued jobState = iota
	jobDelayed
	jobRunning
	jobOver
)

// mediaQueue holds submitted requests, slot by slot. It belongs to the loop.
type mediaQueue struct {
	jobs    int // submitted and not done
	slots   map[string]*mediaSlot
	ready   []*mediaSlot // may be tried, in turn
	timed   []*mediaSlot // may be tried at a time: few, so a list does
	delayed []*mediaJob  // wait to be asked again: likewise
	ending  time.Time    // in a stop: what is due later than this fails
}

// mediaSlot is one slot's jobs, oldest first.
type mediaSlot struct {
	name   string
	jobs   []*mediaJob
	isIn   bool      // in ready
	wakeAt time.Time // the slot may be tried again; zero: after a release
}

func (q *mediaQueue) ask(j *mediaJob) {
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
	if len(s.jobs) == 1 {
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

// admit starts what has room, one of each slot in turn.
func (q *mediaQueue) admit(l *loop, now time.Time) (wake time.Time) {
	if q.jobs == 0 {
		return time.Time{}
	}
	earliest := func(t time.Time) {
		if wake.IsZero() || t.Before(wake) {
			wake = t
		}
	}
	q.delayed = slices.DeleteFunc(q.delayed, func(j *mediaJob) bool {
		switch {
		case !q.ending.IsZero() && j.due.After(q.ending):
			q.giveUp(l, j, errors.Join(crawl.ErrStopping, j.lastErr))
			return true
		case j.due.After(now):
			earliest(j.due)
			return false
		}
		q.enqueue(j)
		return true
	})
	q.timed = slices.DeleteFunc(q.timed, func(s *mediaSlot) bool {
		if s.wakeAt.After(now) {
			earliest(s.wakeAt)
			return false
		}
		s.wakeAt = time.Time{}
		q.try(s)
		return true
	})
	e := l.e
	for len(q.ready) > 0 && l.active < e.settings.ConcurrentRequests &&
		e.arrived.count.Load() < int64(e.settings.ConcurrentRequests) && e.arrived.bytes.Load() < maxWaitingBytes {
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
				earliest(at)
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
		e.workers.do(mediaRun{e, j})
	}
	return wake
}

// again holds a request that a middleware wants to be asked again.
func (q *mediaQueue) again(l *loop, j *mediaJob, re *crawl.RescheduleError) {
	if j.ctx.Err() != nil {
		q.giveUp(l, j, context.Cause(j.ctx))
		return
	}
	j.req, j.slot, j.lastErr = re.Request, re.Request.Slot(), re
	if re.After <= 0 {
		q.enqueue(j)
		return
	}
	j.state, j.due = jobDelayed, time.Now().Add(re.After)
	q.delayed = append(q.delayed, j)
}

// drop removes a job whose owner has left, unless it runs: then its context ends it.
func (q *mediaQueue) drop(j *mediaJob) {
	switch j.state {
	case jobQueued:
		if s := q.slots[j.slot]; s != nil {
			s.jobs = slices.DeleteFunc(s.jobs, func(o *mediaJob) bool { return o == j })
			if len(s.jobs) == 0 && !s.isIn && s.wakeAt.IsZero() {
				delete(q.slots, j.slot)
			}
		}
	case jobDelayed:
		q.delayed = slices.DeleteFunc(q.delayed, func(o *mediaJob) bool { return o == j })
	default:
		return
	}
	j.state = jobOver
	q.jobs--
	go j.done(nil, context.Cause(j.ctx))
}

func (q *mediaQueue) done(j *mediaJob) {
	j.state = jobOver
	q.jobs--
}

// giveUp ends a job that does not run.
func (q *mediaQueue) giveUp(l *loop, j *mediaJob, err error) {
	j.state = jobRunning
	go func() {
		j.finish(nil, err)
		l.box.post(event{kind: mediaDone, media: j})
	}()
}

// stop lets no job wait beyond a time.
func (q *mediaQueue) stop(until time.Time) { q.ending = until }

// kill gives up all that does not run.
func (q *mediaQueue) kill() {
	for _, s := range q.slots {
		for _, j := range s.jobs {
			j.state = jobOver
			q.jobs--
			go j.finish(nil, crawl.ErrStopping)
		}
	}
	for _, j := range q.delayed {
		j.state = jobOver
		q.jobs--
		go j.finish(nil, crawl.ErrStopping)
	}
	q.slots, q.ready, q.timed, q.delayed = nil, nil, nil, nil
}

func (j *mediaJob) finish(resp *crawl.Response, err error) {
	j.unwatch()
	j.done(resp, err)
}

// mediaRun is a submitted request that has its place.
type mediaRun struct {
	e *Engine
	*mediaJob
}

// run is the life of a submitted request from then on.
func (m mediaRun) run() {
	e, j := m.e, m.mediaJob
	ctx, cancel := e.join(j.ctx)
	defer cancel()
	resp, err := e.download(ctx, j.req, j.slot)
	var size int64
	if resp != nil {
		size = resp.Body.Size()
	}
	e.arrived.add(1, size)
	e.loop.box.post(event{kind: mediaLoaded, media: j})
	var re *crawl.RescheduleError
	if errors.As(err, &re) {
		e.arrived.add(-1, -size)
		e.loop.box.post(event{kind: loopDo, do: func(l *loop) {
			l.holdSlot(j.slot, re)
			l.media.again(l, j, re)
		}})
		return
	}
	e.guard("media", func() { j.finish(resp, err) })
	e.arrived.add(-1, -size)
	e.loop.box.post(event{kind: mediaDone, media: j})
}

// holdSlot keeps a slot from being asked for as long as its server wants.
func (l *loop) holdSlot(slot string, re *crawl.RescheduleError) {
	if re.HoldSlot > 0 {
		l.sched.Limit(slot, crawl.Limits{HoldUntil: time.Now().Add(re.HoldSlot)})
	}
}

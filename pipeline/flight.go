package pipeline

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/tulle-go/tulle/crawl"
)

// A flight is one download that everybody who wants the same thing waits for. It belongs to the crawl, not to the item that started it, and is given up only
// when its last waiter has left.
type flight struct {
	fp   crawl.Fingerprint
	here int32          // Guarded by media.mu: how many of seats have not left.
	req  *crawl.Request // as the Kind returned it; not changed
	ctx  life           // has the values of the item that came first, and ends when nobody waits

	// Guarded by media.mu.
	seats  []seat
	landed bool
}

// seat is a waiter's place in a flight: which of its requests the flight is for.
type seat struct {
	w *waiter
	i int
}

// waiter is an item that waits for its media. Nobody else holds a goroutine for it.
type waiter struct {
	reqs     []*crawl.Request
	outcomes []*outcome     // of reqs, each written once, before left goes down
	left     atomic.Int64   // how many outcomes are not there yet
	awake    atomic.Bool    // left is 0, or the item has left
	wake     sync.WaitGroup // waits for that; a channel would be five times its size
	unwatch  func() bool    // ends the watch over its context

	// Guarded by media.mu.
	flights []*flight
	gone    bool
}

// give settles the waiter's i-th request.
func (w *waiter) give(i int, o *outcome) {
	w.outcomes[i] = o
	if w.left.Add(-1) == 0 {
		w.rouse()
	}
}

func (w *waiter) rouse() {
	if !w.awake.Swap(true) {
		w.wake.Done()
	}
}

// board asks the kind what an item needs and gets all of it under way.
func (m *media) board(ctx context.Context, item any) (*waiter, error) {
	if m.storeDown.Load() {
		return nil, crawl.CloseSpider("store")
	}
	reqs, err := m.kind.Requests(ctx, item)
	if err != nil {
		return nil, err
	}
	w := &waiter{reqs: reqs}
	if len(reqs) == 0 {
		return w, nil
	}
	w.outcomes = make([]*outcome, len(reqs))
	w.wake.Add(1)
	w.flights = make([]*flight, 0, len(reqs))
	w.left.Store(int64(len(reqs)))
	// Whatever this goroutine does when ctx ends, a flight that nobody else waits for must end with it: the store may be what it is waiting for.
	w.unwatch = context.AfterFunc(ctx, func() { m.leave(w) })
	flying := context.WithoutCancel(ctx)
	for i := range reqs {
		m.take(flying, w, i, item)
	}
	if w.left.Load() == 0 {
		w.unwatch()
	}
	return w, nil
}

// park waits for what an item needs. Meanwhile its place in the chain is free for others. It returns why ctx ended if that comes first.
func (m *media) park(ctx context.Context, w *waiter) error {
	p := placeOf(ctx)
	p.give()
	m.parked.Add(1)
	m.stats.Max("media/parked_max", m.parked.Value())
	w.wake.Wait()
	m.parked.Add(-1)
	w.unwatch()
	if w.left.Load() > 0 {
		return context.Cause(ctx)
	}
	return p.take(ctx)
}

// take gets one request under way: from memory, in a flight that is in the air, or in a new one, which goes on with ctx when the item has left.
func (m *media) take(ctx context.Context, w *waiter, i int, item any) {
	req := w.reqs[i]
	if err := sendable(req); err != nil {
		w.give(i, m.conclude(ctx, req, item, crawl.File{}, badRequest(req, err)))
		return
	}
	fp := req.Fingerprint()
	m.mu.Lock()
	if w.gone {
		m.mu.Unlock()
		return
	}
	if m.storeDown.Load() {
		m.mu.Unlock()
		w.give(i, &outcome{abort: crawl.CloseSpider("store")})
		return
	}
	if known, ok := m.memory.get(fp); ok {
		m.mu.Unlock()
		w.give(i, decodeOutcome(known))
		return
	}
	f := m.flights[fp]
	isNew := f == nil
	if isNew {
		f = &flight{fp: fp, req: req, ctx: life{Context: ctx}}
		m.flights[fp] = f
		m.running.Add(1)
	}
	f.seats = append(f.seats, seat{w, i})
	f.here++
	w.flights = append(w.flights, f)
	m.mu.Unlock()
	if isNew {
		m.start(f, item)
	}
}

// leave takes a waiter out of its flights. Those in which nobody is left are given up.
func (m *media) leave(w *waiter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.gone {
		return
	}
	w.gone = true
	for _, f := range w.flights {
		if f.landed {
			continue
		}
		if f.here--; f.here == 0 {
			delete(m.flights, f.fp)
			f.ctx.end()
		}
	}
	w.flights = nil
	w.rouse()
}

// start asks whether the file must be downloaded, on the goroutine of the item that came first, and submits the request if so.
func (m *media) start(f *flight, item any) {
	ask := m.prepared(f.req)
	file, err := guarded(func() (*crawl.File, error) { return m.kind.Fresh(&f.ctx, ask, item) })
	switch {
	case err != nil:
		defer m.running.Done()
		m.land(f, item, crawl.File{}, err, 0, false)
	case file != nil:
		defer m.running.Done()
		m.land(f, item, *file, nil, 0, false)
	default:
		m.submit(&f.ctx, ask, func(resp *crawl.Response, err error) {
			defer m.running.Done()
			m.arrived(f, item, resp, err)
		})
	}
}

// prepared is a copy of a request as it leaves, with the knobs of media. Nothing filters it as seen; DontFilter would let it pass as offsite too.
func (m *media) prepared(req *crawl.Request) *crawl.Request {
	c := *req // tens of thousands may wait: what nobody changes is shared
	c.Header = req.Header.Clone()
	if c.Knobs == nil && c.URL.Scheme != "data" {
		c.Knobs = m.knobs
		return &c
	}
	c.SetKnobs(func(k *crawl.Knobs) { m.turn(k, c.URL.Scheme) })
	return &c
}

// turn sets the knobs of a request for media.
func (m *media) turn(k *crawl.Knobs, scheme string) {
	if !m.settings.AllowRedirects {
		// Every status comes back here. That keeps the redirect middleware off; the retry middleware goes by the status alone, and asks again
		// after a 503 as it would for a page. With AllowRedirects nothing is needed: what refuses 404 for pages stands between engine and spider,
		// where media does not pass.
		k.HandleAllStatus, k.DontRedirect = true, true
	}
	if !m.settings.ObeyAllowedDomains || scheme == "data" {
		k.AllowOffsite = true
	}
	k.DontRefresh = true
	if m.settings.IgnoreRobots {
		k.IgnoreRobots = true
	}
	if k.MaxSize == 0 {
		k.MaxSize = m.settings.MaxSize
	}
}

// arrived is called, once, on the goroutine of whoever downloads, which may be held up: the response waits there and nowhere else.
func (m *media) arrived(f *flight, item any, resp *crawl.Response, err error) {
	if err == nil && resp == nil {
		err = errors.New("neither a response nor an error")
	}
	if err != nil {
		m.land(f, item, crawl.File{}, err, 0, true)
		return
	}
	body := resp.Body
	defer func() {
		// A hook may have put another body into the response. A spool file that can't be removed now goes with the spool.
		_, _ = body.Close(), resp.Close()
	}()
	size := body.Size()
	asked := *f.req
	if resp.Request != nil {
		asked.Redirects, asked.Retries = resp.Request.Redirects, resp.Request.Retries
	}
	resp.Request = &asked
	if resp.URL == nil {
		resp.URL = asked.URL
	}
	if resp.Header == nil {
		resp.Header = make(http.Header)
	}
	status := resp.Status
	file, err := guarded(func() (crawl.File, error) { return m.receive(&f.ctx, resp, item) })
	if err != nil {
		m.land(f, item, crawl.File{}, err, status, false)
		return
	}
	m.stats.Add("media/bytes", size)
	m.land(f, item, file, nil, status, false)
}

// receive judges a response and lets the kind store it.
func (m *media) receive(ctx context.Context, resp *crawl.Response, item any) (crawl.File, error) {
	if m.receiver != nil {
		file, err := m.receiver.Receive(ctx, resp, item)
		if err != nil {
			return crawl.File{}, err
		}
		if file != nil {
			return *file, nil
		}
	}
	if err := judge(resp, &m.settings); err != nil {
		return crawl.File{}, err
	}
	file, err := m.kind.Store(ctx, resp, item)
	if err == nil {
		m.strikes.Store(0)
	}
	return file, err
}

// land ends a flight: with a file, or with an error that the fetcher (inDownload) or the kind returned.
func (m *media) land(f *flight, item any, file crawl.File, err error, status int, inDownload bool) {
	var o *outcome
	switch stop := steering(err); {
	case stop != nil:
		o = &outcome{abort: stop}
	case err != nil && f.ctx.Err() != nil:
		o = &outcome{abort: err} // Nobody is there to hear it.
	case inDownload && errors.Is(err, context.Canceled):
		o = &outcome{abort: err} // The engine is ending at once.
	case err != nil:
		o = m.conclude(&f.ctx, f.req, item, file, failure(f.req, status, err, inDownload))
	default:
		o = m.conclude(&f.ctx, f.req, item, file, nil)
	}
	var compact string
	if o.lasting() {
		compact = o.encode()
	}
	m.mu.Lock()
	f.landed = true
	seats := f.seats
	f.seats = nil
	if m.flights[f.fp] == f {
		delete(m.flights, f.fp)
	}
	if compact != "" {
		m.memory.put(f.fp, compact)
	}
	m.mu.Unlock()
	f.ctx.end()
	for _, s := range seats {
		s.w.give(s.i, o)
	}
}

// giveUp ends all flights at once: the store is down, and takes nothing of what they would bring. None begins after it.
func (m *media) giveUp() {
	m.mu.Lock()
	var seats []seat
	for fp, f := range m.flights {
		delete(m.flights, fp)
		seats = append(seats, f.seats...)
		f.seats, f.landed = nil, true
		f.ctx.end()
	}
	m.mu.Unlock()
	for _, s := range seats {
		s.w.give(s.i, &outcome{abort: crawl.CloseSpider("store")})
	}
}

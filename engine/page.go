package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// page is a leased request, from the lease until it is acknowledged. Start, and each call of SpiderIdle, is a page without a lease.
type page struct {
	e     *Engine
	lease crawl.Lease
	slot  string
	turn  uint64 // see loop.turn
	since int64  // when it was leased, in unix nanoseconds: a Time would make a page larger
	index int    // Owned by the loop: where it stands in loop.pages, -1 if nowhere.

	open      atomic.Int32 // the callback, and each item that has not left the last stage
	userSince atomic.Int64 // unix nanoseconds since when user code runs; 0: it does not
	abandoned atomic.Bool  // user code did not return: nothing of it is taken
	keep      atomic.Bool  // the lease stays as it is: an item of it was not finished
	emitted   atomic.Bool  // something was handed over
	returned  atomic.Bool  // the callback has returned: it produces nothing more
	hasItems  atomic.Bool
	scraped   atomic.Bool // one of them has left the last stage
	loaded    bool        // Owned by the loop: its download is over.
	came      bool        // it has a response; set before the loop is told that it is loaded

	lines *pageLines    // what feeds keep until the page is done; nil: there is no job
	gate  *sync.RWMutex // Start's in a job, held for reading while something is handed over; Checkpoint comes between

	mu      sync.Mutex
	pushes  *pushList         // Guarded by mu: produced, and not taken by the loop yet. nil: none.
	puts    map[string][]byte // Guarded by mu: kept until the page is done.
	waiting chan struct{}     // Guarded by mu: where producers wait for the loop, which closes it.
	drained chan struct{}     // Guarded by mu: where Checkpoint waits for the items before it; the last of them closes it.

	// Set before the page is done, read by the loop after it. The first that is set counts; with none the lease is acknowledged.
	again    *crawl.Nack
	failure  *crawl.Failure
	whenDone func(*loop)
	whole    bool // of Start: it has produced all that it has
}

func newPage(e *Engine, lease crawl.Lease) *page {
	p := &page{e: e, lease: lease, index: -1}
	p.open.Store(1)
	if e.job != nil {
		p.lines = &pageLines{spool: e.job.spool}
	}
	return p
}

// String is for logs.
func (p *page) String() string {
	if p.lease.Request == nil {
		return "start"
	}
	return p.lease.Request.String()
}

// run is the life of a page: downloaded, its host's place given back, parsed, and done when its last item is.
func (p *page) run() {
	e, aside := p.e, false
	defer func() {
		if !aside {
			p.close()
		}
	}()
	resp, err := e.download(e.killed, p.lease.Request, p.slot, p.turn)
	if s, ok := errors.AsType[*setAside](err); ok {
		aside = true
		p.reschedule(&crawl.RescheduleError{Reason: s.Error()})
		e.do(func(l *loop) { l.setPageAside(p, s) })
		return
	}
	if err != nil {
		p.hold(err) // before the place is free, or the next request would leave
		e.skipped(p.slot, p.turn, err)
		e.loop.box.post(event{kind: pageLoaded, page: p})
		p.failed(err)
		return
	}
	e.counters.pages.Add(1)
	p.came = true
	if !p.enter(resp.Body.Size()) {
		p.keep.Store(true)
		_ = resp.Close()
		return
	}
	defer e.callbacks.release()
	p.parse(resp)
}

// enter tells the loop that the host's place is free, and takes a place among the callbacks. What waits for one is counted before the loop is told, so that it
// sees it. It reports false if the crawl is killed.
func (p *page) enter(size int64) bool {
	e := p.e
	loaded := event{kind: pageLoaded, page: p}
	if e.callbacks.tryAcquire() {
		e.loop.box.post(loaded)
		return true
	}
	e.waiting.add(1, size)
	e.loop.box.post(loaded)
	ok := e.callbacks.acquire(e.killed)
	e.waiting.add(-1, -size)
	e.freed()
	return ok
}

// user marks the time in which user code runs. If that ends its goroutine, which is what t.FailNow does, it is logged as an error.
func (p *page) user(f func()) {
	returned := false
	p.userSince.Store(time.Now().UnixNano())
	defer func() {
		p.userSince.Store(0)
		p.returned.Store(true)
		if !returned {
			p.e.stats.Inc("spider_exceptions/count")
			p.e.stats.Inc("spider_exceptions/goexit")
			p.e.log.Error("callback ended its goroutine", zap.Stringer("page", p))
		}
	}()
	f()
	returned = true
}

// parse runs the response hooks and the callback, and deals with what they return.
func (p *page) parse(resp *crawl.Response) {
	e := p.e
	defer func() {
		if err := resp.Close(); err != nil {
			e.log.Warn("response not closed", zap.Stringer("page", p), zap.Error(err))
		}
	}()
	resp.Selectors = e.selectors
	ctx := crawl.WithOrigin(e.killed, p.lease.Request)
	out := crawl.NewOut(resp, p.newSink(ctx, resp))
	defer p.shut(out)
	p.user(func() {
		if err := p.show(ctx, resp); err != nil {
			p.refused(ctx, resp, err, out)
			return
		}
		err := p.callback(ctx, resp, out)
		if err == nil {
			err = out.Err()
		}
		if err == nil {
			err = resp.Err()
		}
		if err != nil {
			p.erred(ctx, resp, err, out)
		}
	})
}

// show shows the response to the hooks.
func (p *page) show(ctx context.Context, resp *crawl.Response) (err error) {
	defer recovered(&err)
	return p.e.hooks.Response(ctx, resp)
}

// callback calls the request's callback.
func (p *page) callback(ctx context.Context, resp *crawl.Response, out *crawl.Out) (err error) {
	defer recovered(&err)
	cb, err := p.e.spider.Callback(p.lease.Request.Route)
	if err != nil {
		return err
	}
	return cb(ctx, resp, out)
}

// shut closes a callback's Out. An abandoned callback may hold it for ever.
func (p *page) shut(out *crawl.Out) {
	if !p.abandoned.Load() {
		out.Close()
	}
}

// erred deals with a callback's error: a steering one is obeyed, any other goes through the Error hooks, and is logged and counted.
func (p *page) erred(ctx context.Context, resp *crawl.Response, err error, out *crawl.Out) {
	e := p.e
	if p.steered(err) {
		return
	}
	if e.killed.Err() != nil {
		p.keep.Store(true)
		return
	}
	err = e.call(func() error { return e.hooks.Error(ctx, resp, err, out) })
	if err == nil || p.steered(err) {
		return
	}
	e.stats.Inc("spider_exceptions/count")
	e.stats.Inc("spider_exceptions/" + errorName(err))
	fields := []zap.Field{zap.Stringer("page", p), zap.String("route", p.lease.Request.Route), zap.Error(err)}
	var pan *crawl.PanicError
	if errors.As(err, &pan) {
		fields = append(fields, zap.ByteString("stack", pan.Stack))
	}
	e.log.Error("callback failed", fields...)
	if f := e.settings.Trace.SpiderError; f != nil {
		f(ctx, resp, err)
	}
}

// steered obeys CloseSpider and Reschedule, and reports whether err was one.
func (p *page) steered(err error) bool {
	var stop *crawl.CloseSpiderError
	if errors.As(err, &stop) {
		p.e.Stop(stop.Reason)
		return true
	}
	var re *crawl.RescheduleError
	if errors.As(err, &re) && !p.emitted.Load() {
		if p.userSince.Load() != 0 {
			p.hold(re) // asked for by a callback
		}
		p.reschedule(re)
		return true
	}
	return false
}

// reschedule hands the lease back.
func (p *page) reschedule(re *crawl.RescheduleError) {
	var notBefore time.Time
	if re.After > 0 {
		notBefore = time.Now().Add(re.After)
	}
	req := re.Request
	if req == nil {
		req = p.lease.Request
	}
	_, err := p.e.spider.Callback(req.Route)
	var nack crawl.Nack
	if err == nil {
		nack, err = crawl.NewNack(p.lease.ID, p.lease.Request, req, notBefore)
	}
	if err != nil {
		p.logFailure(fmt.Errorf("rescheduled: %w", err))
		return
	}
	p.again = &nack
	p.e.log.Debug("asked again", zap.Stringer("page", req), zap.Duration("after", re.After), zap.String("why", re.Reason))
}

// hold holds the page's host, if an error asks for it.
func (p *page) hold(err error) {
	var re *crawl.RescheduleError
	if errors.As(err, &re) && re.HoldSlot > 0 {
		p.e.do(func(l *loop) { l.holdSlot(p.slot, re) })
	}
}

// refused is a response that a hook keeps from its callback.
func (p *page) refused(ctx context.Context, resp *crawl.Response, err error, out *crawl.Out) {
	e := p.e
	if p.unseen(err) {
		return
	}
	if herr := e.call(func() error { return e.hooks.Error(ctx, resp, err, out) }); herr == nil {
		return
	}
	var status *crawl.StatusError
	if errors.As(err, &status) {
		e.log.Info("response ignored", zap.Stringer("page", p), zap.Int("status", resp.Status))
		if transientStatus(resp.Status) {
			p.failure = &crawl.Failure{Lease: p.lease.ID, Kind: "status", Reason: fmt.Sprint(resp.Status)}
		}
	} else {
		p.logFailure(err)
	}
	p.errback(ctx, err)
}

// transientStatus says that asking again another day may help.
func transientStatus(status int) bool { return status >= 500 || status == 429 || status == 408 }

// unseen obeys a steering error that keeps a page from its callback. One that is not reached because the crawl closes keeps its lease.
func (p *page) unseen(err error) bool {
	if !p.steered(err) {
		return false
	}
	if p.again == nil {
		p.keep.Store(true)
	}
	return true
}

// failed is a request that got no response.
func (p *page) failed(err error) {
	e := p.e
	if p.unseen(err) {
		return
	}
	if e.killed.Err() != nil {
		p.keep.Store(true)
		return
	}
	p.logFailure(err)
	if e.spider.Errback == nil {
		return
	}
	e.waiting.add(1, 0)
	ok := e.callbacks.acquire(e.killed)
	e.waiting.add(-1, 0)
	e.freed()
	if !ok {
		p.keep.Store(true)
		return
	}
	defer e.callbacks.release()
	p.user(func() { p.errback(crawl.WithOrigin(e.killed, p.lease.Request), err) })
}

// logFailure logs and counts a request that failed for good, and says what its lease becomes.
func (p *page) logFailure(err error) {
	e := p.e
	var ignored *crawl.IgnoreRequestError
	if errors.As(err, &ignored) && ignored.Err == nil {
		e.log.Debug("request ignored", zap.Stringer("page", p), zap.String("why", ignored.Reason))
	} else {
		kind := errorName(err)
		if ignored != nil {
			kind = ignoredKind(ignored, kind)
		}
		p.failure = &crawl.Failure{Lease: p.lease.ID, Kind: kind, Reason: err.Error()}
		e.stats.Inc("page_failed_count")
		e.stats.Inc("page_failed_kind_count/" + kind)
		level := zap.ErrorLevel
		if ignored != nil || kind == string(crawl.KindDeadHost) {
			level = zap.DebugLevel // it was said once, for all of the host
		}
		e.log.Log(level, "download failed", zap.Stringer("page", p), zap.Error(err))
	}
	if f := e.settings.Trace.RequestFailed; f != nil {
		f(p.lease.Request, err)
	}
}

// ignoredKind is what a request counts as that nobody could decide on. kind is that of the cause, which says more if it is a download's.
func ignoredKind(e *crawl.IgnoreRequestError, kind string) string {
	var d *crawl.DownloadError
	switch {
	case errors.As(e.Err, &d):
		return kind
	case e.Kind != "":
		return string(e.Kind)
	case kind == "error":
		return "ignored"
	}
	return kind
}

func (p *page) errback(ctx context.Context, err error) {
	e := p.e
	if e.spider.Errback == nil {
		return
	}
	var resp *crawl.Response
	var status *crawl.StatusError
	if errors.As(err, &status) {
		resp = status.Response
	}
	out := crawl.NewOut(resp, p.newSink(ctx, resp))
	defer p.shut(out)
	eerr := e.call(func() error { return e.spider.Errback(ctx, p.lease.Request, err, out) })
	if eerr == nil {
		eerr = out.Err()
	}
	if eerr != nil {
		p.erred(ctx, resp, eerr, out)
	}
}

// close ends one of the things that keep the page open; the last one makes it done.
func (p *page) close() {
	switch n := p.open.Add(-1); {
	case n > 0:
		if n == 1 && p.gate != nil {
			p.mu.Lock()
			if p.drained != nil {
				close(p.drained)
				p.drained = nil
			}
			p.mu.Unlock()
		}
		p.wantTaken()
	case p.hasItems.Load() && p.e.flusher != nil:
		p.e.flusher.add(p, nil)
	default:
		p.e.loop.box.post(event{kind: pageDone, page: p})
	}
}

// wantTaken asks the loop to take what the page has produced, if it has.
func (p *page) wantTaken() {
	p.mu.Lock()
	some := p.pushes != nil
	p.mu.Unlock()
	if some {
		p.e.loop.box.post(event{kind: pageOutput, page: p})
	}
}

// push adds a request to what the loop takes. The loop is told when it has nothing to do, or when much has gathered; then the caller waits for it.
func (p *page) push(push crawl.Push) {
	p.mu.Lock()
	if p.pushes == nil {
		p.pushes = p.e.pushes.Get().(*pushList)
	}
	p.pushes.list = append(p.pushes.list, push)
	var wait chan struct{}
	if len(p.pushes.list) >= maxOutput {
		if p.waiting == nil {
			p.waiting = make(chan struct{})
		}
		wait = p.waiting
	}
	p.mu.Unlock()
	if wait == nil {
		if p.e.hungry.Load() {
			p.e.loop.box.post(event{kind: pageOutput, page: p})
		}
		return
	}
	p.e.loop.box.post(event{kind: pageOutput, page: p})
	p.pause(func() {
		select {
		case <-wait:
		case <-p.e.ended:
		}
	})
}

// pause stops the clock of user code while it waits for the engine.
func (p *page) pause(wait func()) {
	p.userSince.Store(0)
	defer func() { p.userSince.Store(time.Now().UnixNano()) }()
	wait()
}

// maxOutput is how many requests of one page wait for the loop before their producer does.
const maxOutput = 64

// pushList is what a page has produced. The loop copies it, and another page fills it anew.
type pushList struct{ list []crawl.Push }

func (p *page) put(key string, value json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.puts == nil {
		p.puts = make(map[string][]byte)
	}
	p.puts[key] = value
}

// call runs user code: a panic becomes an error with its stack.
func (e *Engine) call(f func() error) (err error) {
	defer recovered(&err)
	return f()
}

// recovered, deferred around user code, makes a panic an error with its stack.
func recovered(err *error) {
	if v := recover(); v != nil {
		*err = &crawl.PanicError{Value: v, Stack: debug.Stack()}
	}
}

// guard runs a hook, whose panic is logged and goes no further.
func (e *Engine) guard(what string, f func()) {
	err := e.call(func() error { f(); return nil })
	var p *crawl.PanicError
	if errors.As(err, &p) {
		e.log.Error(what+" hook failed", zap.Error(err), zap.ByteString("stack", p.Stack))
	}
}

// errorName is a short word for an error, for stats.
func errorName(err error) string {
	var d *crawl.DownloadError
	var p *crawl.PanicError
	var s *crawl.StatusError
	switch {
	case errors.As(err, &p):
		return "panic"
	case errors.As(err, &d):
		return string(d.Kind)
	case errors.As(err, &s):
		return "status"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	for u := errors.Unwrap(err); u != nil; u = errors.Unwrap(u) {
		err = u
	}
	name := fmt.Sprintf("%T", err)
	if name == "*errors.errorString" || name == "*fmt.wrapError" || name == "*errors.joinError" {
		return "error"
	}
	return name
}

package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// download opens the request's host, if that has not been done, and asks the middleware chain. The host's place is held.
func (e *Engine) download(ctx context.Context, req *crawl.Request, slot string, turn uint64) (resp *crawl.Response, err error) {
	if f := e.settings.Trace.RequestLeft; f != nil {
		f(req)
	}
	if e.hosts != nil {
		if err := e.hosts.open(ctx, req, slot); err != nil {
			return nil, err
		}
	}
	ctx, sent := e.mark(ctx)
	resp, err = e.ask(ctx, req)
	if sent != nil && !sent.Load() {
		e.do(func(l *loop) { l.unspent(slot, turn) }) // before the place is free
	}
	if err != nil {
		return nil, err
	}
	e.counters.received.Add(1)
	if f := e.settings.Trace.ResponseReceived; f != nil {
		f(resp)
	}
	return resp, nil
}

// skipped is told of an error, before the request's place is free. One that was not sent, because its host has been given up, costs no delay.
func (e *Engine) skipped(slot string, turn uint64, err error) {
	if failed, ok := errors.AsType[*crawl.DownloadError](err); ok && failed.Kind == crawl.KindDeadHost {
		e.do(func(l *loop) { l.unspent(slot, turn) })
	}
}

type sentKey struct{}

// mark lets a request say whether it has come to the downloader: what a cache answers costs its host nothing, and so no delay. Without a cache it says nothing: nil.
func (e *Engine) mark(ctx context.Context) (context.Context, *atomic.Bool) {
	if !e.settings.HTTPCache.On {
		return ctx, nil
	}
	sent := new(atomic.Bool)
	return context.WithValue(ctx, sentKey{}, sent), sent
}

// marking is the downloader beneath a cache.
type marking struct{ crawl.Fetcher }

// Fetch marks the request as sent.
func (m marking) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	if sent, ok := ctx.Value(sentKey{}).(*atomic.Bool); ok {
		sent.Store(true)
	}
	return m.Fetcher.Fetch(ctx, req)
}

// watched is the downloader, beneath all middlewares, with the hooks that are called there; itself, if there are none.
func watched(down crawl.Fetcher, t *crawl.Trace) crawl.Fetcher {
	if t.RequestReachedDownloader == nil && t.RequestLeftDownloader == nil && t.ResponseDownloaded == nil {
		return down
	}
	return crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
		if f := t.RequestReachedDownloader; f != nil {
			f(req)
		}
		if f := t.RequestLeftDownloader; f != nil {
			defer f(req)
		}
		resp, err := down.Fetch(ctx, req)
		if f := t.ResponseDownloaded; f != nil && err == nil {
			f(resp)
		}
		return resp, err
	})
}

// ask asks the middleware chain.
func (e *Engine) ask(ctx context.Context, req *crawl.Request) (resp *crawl.Response, err error) {
	defer recovered(&err)
	return e.fetch.Fetch(ctx, req)
}

// hosts opens each host once, before anything else of it is asked. Until then its slot has one place, so that what else waits there costs nothing.
type hosts struct {
	e *Engine

	mu    sync.RWMutex
	known map[hostKey]*opening // Guarded by mu.
}

type hostKey struct{ scheme, host string }

// opening is a host that is being opened, or is open.
type opening struct {
	done chan struct{} // closed when it is open
}

// open returns when the request's host is open. Whoever comes first opens it, and goes back to the queue if the host has a delay, which robots.txt has used up.
func (h *hosts) open(ctx context.Context, req *crawl.Request, slot string) error {
	key := hostKey{req.URL.Scheme, req.URL.Host}
	h.mu.RLock()
	o := h.known[key]
	h.mu.RUnlock()
	if o == nil {
		h.mu.Lock()
		if o = h.known[key]; o == nil {
			o = &opening{done: make(chan struct{})}
			h.known[key] = o
			h.mu.Unlock()
			return h.ask(req, slot, o)
		}
		h.mu.Unlock()
	}
	select {
	case <-o.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ask opens a host. It is the crawl's business, so it does not end when the one who came first leaves.
func (h *hosts) ask(req *crawl.Request, slot string, o *opening) error {
	defer close(o.done)
	e, ctx := h.e, h.e.killed
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		limits := e.limits.open(slot, crawl.Limits{})
		e.do(func(l *loop) { l.limit(slot, limits) })
		return nil
	}
	origin := req.URL.Scheme + "://" + req.URL.Host
	asked := false
	var own crawl.Limits
	err := e.call(func() (err error) {
		own, err = e.fetch.OpenHost(ctx, origin, crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
			ctx, sent := e.mark(ctx)
			resp, err := e.fetch.Fetch(ctx, req)
			asked = asked || sent == nil || sent.Load()
			return resp, err
		}))
		return err
	})
	if err != nil && ctx.Err() == nil {
		e.log.Warn("host opened without its limits", zap.String("host", origin), zap.Error(err))
	}
	limits := e.limits.open(slot, own)
	now := time.Now()
	if asked && limits.Delay > 0 {
		limits = limits.Strictest(crawl.Limits{HoldUntil: now.Add(limits.Delay)})
	}
	e.do(func(l *loop) { l.limit(slot, limits) })
	if limits.HoldUntil.After(now) {
		return crawl.Reschedule(req, 0, "the host was opened, and has a delay")
	}
	return nil
}

// slotLimits are what the settings say of a slot.
func (e *Engine) slotLimits(slot string) crawl.Limits {
	l := crawl.Limits{Concurrency: e.settings.ConcurrentPerHost, Delay: e.settings.DownloadDelay, FixedDelay: e.settings.FixedDelay}
	own, ok := e.settings.Slots[slot]
	if !ok {
		return l
	}
	if own.Concurrency != 0 {
		l.Concurrency = own.Concurrency
	}
	if own.Delay != 0 {
		l.Delay, l.FixedDelay = own.Delay, own.FixedDelay
	}
	l.HoldUntil = own.HoldUntil
	return l
}

// join is ctx, ended by the crawl's end too.
func (e *Engine) join(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	unwatch := context.AfterFunc(e.killed, func() { cancel(errKilled) })
	return ctx, func() {
		unwatch()
		cancel(nil)
	}
}

// errKilled is why downloads end when a crawl is stopped at once.
var errKilled = errors.Join(crawl.ErrStopping, context.Canceled)

package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// download opens the request's host, if that has not been done, and asks the middleware chain. The host's place is held.
func (e *Engine) download(ctx context.Context, req *crawl.Request, slot string, turn uint64) (resp *crawl.Response, err error) {
	if f := e.settings.Trace.RequestLeft; f != nil {
		f(req)
	}
	if e.hosts != nil {
		if err := e.hosts.open(req, slot); err != nil {
			return nil, err
		}
	}
	own := req.Header
	marked, sent := e.mark(ctx)
	resp, err = e.ask(marked, req)
	if re, ok := errors.AsType[*crawl.RescheduleError](err); ok && re.Reopen && e.hosts != nil {
		req.Header = own // without what layers have added
		if err := e.hosts.reopen(req, re.Request, slot); err != nil {
			return nil, err
		}
		marked, sent = e.mark(ctx)
		resp, err = e.ask(marked, req)
		if re, ok := errors.AsType[*crawl.RescheduleError](err); ok && re.Reopen {
			req.Header = own
			re.Request, re.After = req, max(re.After, reopenAfter) // or a layer that is never content would have it asked again and again
		}
	}
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

// reopenAfter is how long a request waits whose host has been opened again to no avail.
const reopenAfter = 10 * time.Second

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

// slotLimits are what the settings say of a slot.
func (e *Engine) slotLimits(slot string) crawl.Limits {
	return e.settings.SlotLimits(slot)
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

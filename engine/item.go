package engine

import (
	"context"
	"errors"
	"sync"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// itemRun is an item that has its place.
type itemRun struct {
	ctx  context.Context
	p    *page
	item any
}

// run is the life of an item from Out.Item on: through the stages, then its place and its page are given back.
func (r itemRun) run() {
	ctx, p, item, e := r.ctx, r.p, r.item, r.p.e
	defer p.close()
	defer func() {
		e.items.release()
		e.freed()
	}()
	out, err := r.process()
	if err != nil {
		e.itemFailed(ctx, p, item, err)
		return
	}
	e.counters.scraped.Add(1)
	p.scraped.Store(true)
	if f := e.settings.Trace.ItemScraped; f != nil {
		f(ctx, out)
	}
}

// process reports an item that a stage's goroutine did not come back from as failed.
func (r itemRun) process() (out any, err error) {
	returned := false
	defer func() {
		if !returned && err == nil {
			r.p.e.itemFailed(r.ctx, r.p, r.item, errGoexit)
		}
	}()
	defer recovered(&err)
	out, err = r.p.e.chain.Process(r.ctx, r.item)
	returned = true
	return out, err
}

// errGoexit is the error of an item whose stage ended its goroutine.
var errGoexit = errors.New("a stage ended its goroutine")

// itemFailed deals with the error of a hook or a stage.
func (e *Engine) itemFailed(ctx context.Context, p *page, item any, err error) {
	var drop *crawl.DropItemError
	var stop *crawl.CloseSpiderError
	tr := &e.settings.Trace
	switch {
	case errors.As(err, &drop):
		e.stats.Inc("item_dropped_count")
		e.stats.Inc("item_dropped_reasons_count/" + drop.Reason)
		e.log.Warn("item dropped", zap.Stringer("page", p), zap.String("why", drop.Reason))
		if tr.ItemDropped != nil {
			tr.ItemDropped(ctx, item, err)
		}
	case errors.As(err, &stop):
		p.keep.Store(true)
		e.Stop(stop.Reason)
	case e.killed.Err() != nil || errors.Is(err, crawl.ErrStopping):
		p.keep.Store(true)
	default:
		e.stats.Inc("item_error_count")
		fields := []zap.Field{zap.Stringer("page", p), zap.Error(err)}
		var pan *crawl.PanicError
		if errors.As(err, &pan) {
			fields = append(fields, zap.ByteString("stack", pan.Stack))
		}
		e.log.Error("item failed", fields...)
		if tr.ItemError != nil {
			tr.ItemError(ctx, item, err)
		}
	}
}

// flusher makes items safe before their pages are acknowledged: pages that are done while one Flush runs share the next.
type flusher struct {
	e *Engine

	mu    sync.Mutex
	pages []flushed // Guarded by mu.
	runs  bool      // Guarded by mu.
}

// flushed is a page whose items are to be made safe.
type flushed struct {
	page *page
	done chan struct{} // closed then; nil: the page is done
}

// add flushes a page's items, then closes done or, if that is nil, tells the loop that the page is done.
func (f *flusher) add(p *page, done chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pages = append(f.pages, flushed{p, done})
	if !f.runs {
		f.runs = true
		go f.run()
	}
}

// run ends when there is nothing to flush.
func (f *flusher) run() {
	for {
		f.mu.Lock()
		pages := f.pages
		f.pages = nil
		if len(pages) == 0 {
			f.runs = false
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()

		ctx := context.WithoutCancel(f.e.killed)
		err := f.e.call(func() error { return f.e.chain.Flush(ctx) })
		if err != nil {
			f.e.log.Error("items cannot be kept", zap.Error(err))
			f.e.do(func(l *loop) { l.fail(err) })
		}
		for _, p := range pages {
			if err != nil {
				p.page.keep.Store(true)
			}
			if p.done != nil {
				close(p.done)
				continue
			}
			f.e.loop.box.post(event{kind: pageDone, page: p.page})
		}
	}
}

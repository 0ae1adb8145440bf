package engine

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// Reasons why a crawl ended that has done enough: Scrapy's.
const (
	reasonTimeout     = "closespider_timeout"
	reasonItems       = "closespider_itemcount"
	reasonPages       = "closespider_pagecount"
	reasonErrors      = "closespider_errorcount"
	reasonNoItem      = "closespider_timeout_no_item"
	reasonPagesNoItem = "closespider_pagecount_no_item"
)

// closeAfter ends a crawl that has done enough, or gets nowhere. Pages are the loop's to count: see loop.enough and loop.inVain.
type closeAfter struct{ crawl.CloseAfterSettings }

// Open implements [crawl.Extension].
func (c closeAfter) Open(ctx context.Context, env *crawl.Env) (t crawl.Trace, err error) {
	var (
		items, failed atomic.Int64
		lastItem      atomic.Int64 // unix nanoseconds
	)
	if c.Items > 0 || c.NoItem > 0 {
		t.ItemScraped = func(context.Context, any) {
			lastItem.Store(time.Now().UnixNano())
			if n := items.Add(1); c.Items > 0 && n >= int64(c.Items) {
				env.Stop(reasonItems)
			}
		}
	}
	if c.Errors > 0 {
		t.SpiderError = func(context.Context, *crawl.Response, error) {
			if failed.Add(1) >= int64(c.Errors) {
				env.Stop(reasonErrors)
			}
		}
	}
	if c.Time > 0 || c.NoItem > 0 {
		t.SpiderOpened = func(context.Context, *crawl.Spider) {
			began := time.Now()
			lastItem.Store(began.UnixNano())
			if c.Time > 0 {
				go after(ctx, func() time.Time { return began.Add(c.Time) }, func() { env.Stop(reasonTimeout) })
			}
			if c.NoItem > 0 {
				go after(ctx, func() time.Time { return time.Unix(0, lastItem.Load()).Add(c.NoItem) }, func() { env.Stop(reasonNoItem) })
			}
		}
	}
	return t, nil
}

// after calls f at a time that may be put off until it has come, unless ctx ends before.
func after(ctx context.Context, at func() time.Time, f func()) {
	for {
		wait := time.Until(at())
		if wait <= 0 {
			f()
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// enough ends the crawl when as many pages have come as CloseAfter.Pages allows, and they have been worked through: before that their callbacks would be told to stop.
func (l *loop) enough() {
	if most := l.e.settings.CloseAfter.Pages; most == 0 || l.came < most {
		return
	}
	for _, p := range l.pages {
		if p.lease.ID != 0 {
			return
		}
	}
	l.stop(reasonPages)
}

// pagesLeft is how many pages may be asked for, if all that are under way come.
func (l *loop) pagesLeft(room int) int {
	if most := l.e.settings.CloseAfter.Pages; most > 0 {
		return min(room, most-l.came-l.loading)
	}
	return room
}

// inVain counts pages that are done and have given no item, in a row.
func (l *loop) inVain(p *page) {
	most := l.e.settings.CloseAfter.PagesNoItem
	if most == 0 || !p.came {
		return
	}
	if p.scraped.Load() {
		l.vain = 0
		return
	}
	if l.vain++; l.vain >= most {
		l.stop(reasonPagesNoItem)
	}
}

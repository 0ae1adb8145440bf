package main

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"

	"github.com/gocolly/colly/v2"
)

// Colly runs as it runs best here. It is asynchronous, with its own limit on parallel requests and a transport that keeps as
// many connections, without cookies and without a timeout. A page has one callback, on the document's root, with the compiled selectors that
// the bare contestant uses: one OnHTML per selector compiles and searches every time. Colly's limit ends with the body's last
// byte, so that thousands of pages are parsed at once; a semaphore around the callbacks makes it a quarter faster and keeps
// it from fetching a quarter of the pages twice.

// A collyRun is a collector and the first error that it met.
type collyRun struct {
	*colly.Collector
	mu  sync.Mutex
	err error // guarded by mu
}

func newColly(ctx context.Context, j job, limits ...*colly.LimitRule) (*collyRun, error) {
	r := &collyRun{Collector: colly.NewCollector(colly.Async(true), colly.StdlibContext(ctx))}
	r.WithTransport(tunedTransport(j))
	r.SetRequestTimeout(0)
	r.DisableCookies()
	r.OnError(func(_ *colly.Response, err error) { r.fail(err) })
	return r, r.Limits(limits)
}

func (r *collyRun) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

func (r *collyRun) visit(address string) {
	if err := r.Visit(address); err != nil {
		r.fail(err)
	}
}

// finish waits for the end of the crawl and returns its error.
func (r *collyRun) finish() error {
	r.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func everywhere(j job) *colly.LimitRule {
	return &colly.LimitRule{DomainGlob: "*", Parallelism: j.Concurrency}
}

func collyFlat(ctx context.Context, j job, m *meter) error {
	c, err := newColly(ctx, j, everywhere(j))
	if err != nil {
		return err
	}
	c.OnResponse(func(r *colly.Response) { m.page(len(r.Body)) })
	for i := range j.N {
		c.visit(j.url(i))
	}
	return c.finish()
}

func collyFollow(ctx context.Context, j job, m *meter) error {
	c, err := newColly(ctx, j, everywhere(j))
	if err != nil {
		return err
	}
	parsing := make(chan struct{}, 2*runtime.GOMAXPROCS(0))
	c.OnResponse(func(r *colly.Response) {
		parsing <- struct{}{}
		m.page(len(r.Body))
	})
	c.OnScraped(func(*colly.Response) { <-parsing })
	c.OnHTML("html", func(e *colly.HTMLElement) {
		m.item(strings.TrimSpace(e.DOM.FindMatcher(followTitle).Text()), strings.TrimSpace(e.DOM.FindMatcher(followPrice).Text()))
		for _, a := range e.DOM.FindMatcher(followLink).EachIter() {
			var visited *colly.AlreadyVisitedError
			if err := e.Request.Visit(a.AttrOr("href", "")); err != nil && !errors.As(err, &visited) {
				c.fail(err)
			}
		}
	})
	c.visit(j.url(0))
	return c.finish()
}

func collySlow(ctx context.Context, j job, m *meter) error {
	c, err := newColly(ctx, j,
		&colly.LimitRule{DomainGlob: fastHost, Parallelism: j.PerHost},
		&colly.LimitRule{DomainGlob: slowHost, Parallelism: j.PerHost})
	if err != nil {
		return err
	}
	c.OnResponse(func(r *colly.Response) { m.page(len(r.Body)) })
	for address := range slowURLs(j) {
		c.visit(address)
	}
	return c.finish()
}

func collyPending(ctx context.Context, j job, m *meter) error {
	c, err := newColly(ctx, j, everywhere(j))
	if err != nil {
		return err
	}
	for i := range j.N {
		c.visit(j.url(i))
	}
	m.filled()
	return c.finish()
}

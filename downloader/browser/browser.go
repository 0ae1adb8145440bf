package browser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
)

var _ crawl.OpenHandler = Open

// Open makes the renderer of a crawl: it is a [crawl.OpenHandler]. The browser is started at the first request.
func Open(env *crawl.Env) (crawl.Fetcher, error) {
	way, err := newProxy(env)
	if err != nil {
		return nil, err
	}
	r := &renderer{
		settings: env.Settings, log: env.Log, spool: env.Spool, limits: downloader.NewLimits(env), proxy: way,
		turns: make(chan struct{}, env.Settings.Browser.Pages), startsWithin: startsWithin,
	}
	r.life, r.end = context.WithCancel(context.Background())
	return r, nil
}

// renderer renders the pages of one crawl.
type renderer struct {
	settings *crawl.Settings
	log      *zap.Logger
	spool    *crawl.Spool
	limits   *downloader.Limits
	proxy    *proxy
	turns    chan struct{} // has one in it for each page that is open

	startsWithin time.Duration

	life context.Context // ends with the crawl
	end  context.CancelFunc
	work sync.WaitGroup // the process, and pages that are being closed

	mu      sync.Mutex
	current *process // Guarded by mu: nil before the first request.
	closed  bool     // Guarded by mu.
}

var (
	_ crawl.Fetcher = (*renderer)(nil)
	_ io.Closer     = (*renderer)(nil)
)

// Fetch renders a page.
func (r *renderer) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	render := req.Knob().Render
	if render == nil {
		render = new(crawl.Render)
	}
	blocked, err := blockedKinds(render)
	if err == nil && req.Method == http.MethodHead {
		err = errors.New("method HEAD: there is nothing to render")
	}
	if err != nil {
		return nil, downloader.Failed(req, crawl.KindRequest, err)
	}
	select {
	case r.turns <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("download <%s>: %w", crawl.Redacted(req.URL), ctx.Err())
	}
	p := &page{r: r, req: req, render: render, blocked: blocked, wake: make(chan struct{}, 1), doing: "start the browser"}
	resp, err := r.limits.Do(ctx, req, p.fetch)
	if err != nil {
		if failed, ok := errors.AsType[*crawl.DownloadError](err); ok {
			failed.Answered = p.current() != nil
			if failed.Kind == crawl.KindTimeout {
				failed.Err = fmt.Errorf("%s: %w", p.doing, failed.Err)
			}
		}
		err = r.blame(p, err)
	}
	if !r.begin() { // Close has not waited for this page
		p.close()
		<-r.turns
		return resp, err
	}
	go func() {
		defer r.work.Done()
		p.close()
		<-r.turns
	}()
	return resp, err
}

// blame tells a failure of the browser's from one of the page's: a host is not to be left alone because our browser is gone, or does not answer any more. Such a browser is
// killed, and the next request starts another one.
func (r *renderer) blame(p *page, err error) error {
	failed, ok := errors.AsType[*crawl.DownloadError](err)
	if !ok || r.life.Err() != nil {
		return err
	}
	if p.process == nil { // it has not come to the page
		if failed.Kind == crawl.KindTimeout {
			failed.Kind = crawl.KindBrowser
		}
		return err
	}
	switch alive := p.process.alive(); {
	case alive && failed.Kind != crawl.KindTimeout && failed.Kind != crawl.KindBrowser:
		return err
	case alive && p.process.answers():
		return err
	case alive:
		r.log.Warn("the browser does not answer: it is killed, and another one started", zap.Stringer("request", p.req), zap.String("doing", p.doing))
		p.process.kill()
		return &crawl.DownloadError{Kind: crawl.KindBrowser, URL: failed.URL, Err: fmt.Errorf("the browser does not answer: %w", failed.Err)}
	}
	return &crawl.DownloadError{Kind: crawl.KindBrowser, URL: failed.URL, Err: fmt.Errorf("the browser has ended: %w", failed.Err)}
}

// begin takes part in work, unless the renderer is closed.
func (r *renderer) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.work.Add(1)
	return true
}

// Close ends the browser and waits until nothing is left of it. What is being rendered fails.
func (r *renderer) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.end()
	r.work.Wait()
	return r.proxy.close()
}

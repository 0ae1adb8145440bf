package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// goStart runs Start, which is page 0. It ends when the spider's function does.
func (e *Engine) goStart() {
	l := e.loop
	p := newPage(e, crawl.Lease{})
	if e.job != nil {
		p.gate = new(sync.RWMutex)
	}
	l.startPage = p
	l.add(p)
	go func() {
		defer p.close()
		err := errStartExit
		defer func() {
			// One that was told to stop may have more to produce.
			p.whole = err == nil && e.startCtx.Err() == nil
			e.do(func(l *loop) { l.started(err) })
		}()
		out := crawl.NewOut(nil, p.newSink(e.killed, nil))
		defer p.shut(out)
		p.user(func() { err = e.call(func() error { return e.start(e.startCtx, out) }) })
		if err == nil {
			err = out.Err()
		}
	}()
}

// checkpoint commits Start's cursor with the requests and items before it, and with nothing behind it: what is repeated from an older cursor falls out as seen, or was
// never written. It waits until those items are safe and the change is on its way.
func (p *page) checkpoint(cursor []byte) {
	p.gate.Lock()
	defer p.gate.Unlock()
	e := p.e
	wait := func(ch <-chan struct{}) bool {
		select {
		case <-ch:
			return true
		case <-e.ended:
			return false
		}
	}
	drained := make(chan struct{})
	p.mu.Lock()
	if p.drained = drained; p.open.Load() == 1 {
		close(drained)
		p.drained = nil
	}
	p.mu.Unlock()
	if !wait(drained) {
		return
	}
	if p.hasItems.Load() && e.flusher != nil {
		safe := make(chan struct{})
		if e.flusher.add(p, safe); !wait(safe) {
			return
		}
	}
	handed := make(chan struct{})
	if e.do(func(l *loop) { l.checkpoint(p, cursor, handed) }) {
		wait(handed)
	}
}

// errStartExit is the error of a Start that ended its goroutine.
var errStartExit = errors.New("it ended its goroutine")

// start is the spider's own, or asks its StartURLs. One that is no URL is logged, and the others are asked.
func (e *Engine) start(ctx context.Context, out *crawl.Out) error {
	if e.spider.Start != nil {
		return e.spider.Start(ctx, out)
	}
	for _, raw := range e.spider.StartURLs {
		req := crawl.Get(raw)
		if err := req.Err(); err != nil {
			e.stats.Inc("start/bad_url_count")
			e.log.Error("start URL skipped", zap.Error(err))
			continue
		}
		if !out.Request(req) {
			return out.Err()
		}
	}
	return nil
}

// started is told that Start has returned.
func (l *loop) started(err error) {
	l.starting = false
	var stop *crawl.CloseSpiderError
	switch {
	case err == nil:
	case errors.As(err, &stop):
		l.stop(stop.Reason)
	case l.e.startCtx.Err() != nil:
		// It was asked to end, and did.
	default:
		fields := []zap.Field{zap.Error(err)}
		var pan *crawl.PanicError
		if errors.As(err, &pan) {
			fields = append(fields, zap.ByteString("stack", pan.Stack))
		}
		l.e.log.Error("start failed", fields...)
		l.e.stats.Inc("spider_exceptions/count")
		l.e.stats.Inc("spider_exceptions/" + errorName(err))
		l.because(reasonStartError)
		if f := l.e.settings.Trace.SpiderError; f != nil {
			f(l.e.killed, nil, err)
		}
	}
}

// goIdle asks SpiderIdle whether there is more.
func (e *Engine) goIdle(p *page) {
	go func() {
		defer p.close()
		var err error
		p.whenDone = func(l *loop) { l.idleAnswered(err) }
		out := crawl.NewOut(nil, p.newSink(e.killed, nil))
		defer p.shut(out)
		p.user(func() { err = e.call(func() error { return e.settings.Trace.SpiderIdle(e.startCtx, out) }) })
		if err == nil {
			err = out.Err()
		}
	}()
}

// idleAnswered is told what SpiderIdle wants. If it has asked for pages the commit that follows makes the crawl busy, or one that was made while it ran has.
func (l *loop) idleAnswered(err error) {
	var stop *crawl.CloseSpiderError
	if l.idle == asking {
		l.idle = idleDone
	}
	switch { // as in Scrapy, one who wants it open has his way
	case errors.Is(err, crawl.ErrDontClose):
		l.idle, l.idleAgain = idleWait, time.Now().Add(idleInterval)
	case errors.As(err, &stop):
		l.because(stop.Reason)
	case err != nil:
		l.e.log.Error("idle hook failed", zap.Error(err))
	}
}

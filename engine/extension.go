package engine

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// openExtensions opens the built-in extensions and those of the settings, and makes one Trace of theirs and the settings' own, in the crawl's copy of the settings: whoever
// calls a hook finds it there, and that it is nil if nobody wants it.
func (e *Engine) openExtensions(ctx context.Context) error {
	s := e.settings
	var all crawl.Trace
	e.watch(&all, "trace", &s.Trace)
	for _, x := range e.builtIn() {
		t, err := x.Open(ctx, e.env)
		if err != nil {
			return err
		}
		e.watch(&all, fmt.Sprintf("%T", x), &t)
	}
	for i, x := range s.Extensions {
		if x == nil {
			continue
		}
		var t crawl.Trace
		err := e.call(func() (err error) {
			t, err = x.Open(ctx, e.env)
			return err
		})
		if no, ok := errors.AsType[*crawl.NotConfiguredError](err); ok {
			e.log.Warn("extension left out", zap.String("extension", fmt.Sprintf("%T", x)), zap.String("why", no.Reason))
			continue
		}
		if err != nil {
			return fmt.Errorf("extension %d, %T: %w", i+1, x, err)
		}
		e.watch(&all, fmt.Sprintf("extension %T", x), &t)
	}
	s.Trace = all
	return nil
}

// builtIn are the extensions that the settings ask for.
func (e *Engine) builtIn() []crawl.Extension {
	var list []crawl.Extension
	s := e.settings
	if s.CloseAfter != (crawl.CloseAfterSettings{}) {
		list = append(list, closeAfter{s.CloseAfter})
	}
	if s.Memory.Interval > 0 {
		list = append(list, memoryUsage{MemorySettings: s.Memory})
	}
	if p := s.PeriodicLog; len(p.Stats) > 0 || len(p.Delta) > 0 || p.Timing {
		list = append(list, periodicLog{PeriodicLogSettings: p, every: s.Log.StatsInterval})
	}
	return list
}

// watch adds the hooks of t to those of all. Whose they are is told when one of them panics.
func (e *Engine) watch(all *crawl.Trace, whose string, t *crawl.Trace) {
	w := watcher{e, whose}
	all.EngineStarted = join1(w, all.EngineStarted, t.EngineStarted)
	all.EngineStopped = join1(w, all.EngineStopped, t.EngineStopped)
	all.SpiderOpened = join2(w, all.SpiderOpened, t.SpiderOpened)
	all.SpiderIdle = joinErr2(w.idle, all.SpiderIdle, t.SpiderIdle)
	all.SpiderClosed = join3(w, all.SpiderClosed, t.SpiderClosed)
	all.SpiderError = join3(w, all.SpiderError, t.SpiderError)
	all.RequestScheduled = join1(w, all.RequestScheduled, t.RequestScheduled)
	all.RequestDropped = join2(w, all.RequestDropped, t.RequestDropped)
	all.RequestLeft = join1(w, all.RequestLeft, t.RequestLeft)
	all.RequestFailed = join2(w, all.RequestFailed, t.RequestFailed)
	all.SchedulerEmpty = join0(w, all.SchedulerEmpty, t.SchedulerEmpty)
	all.RequestReachedDownloader = join1(w, all.RequestReachedDownloader, t.RequestReachedDownloader)
	all.RequestLeftDownloader = join1(w, all.RequestLeftDownloader, t.RequestLeftDownloader)
	all.HeadersReceived = joinErr1(w.download, all.HeadersReceived, t.HeadersReceived)
	all.BytesReceived = joinErr2(w.download, all.BytesReceived, t.BytesReceived)
	all.ResponseDownloaded = join1(w, all.ResponseDownloaded, t.ResponseDownloaded)
	all.ResponseReceived = join1(w, all.ResponseReceived, t.ResponseReceived)
	all.RobotsParsed = join2(w, all.RobotsParsed, t.RobotsParsed)
	all.ItemScraped = join2(w, all.ItemScraped, t.ItemScraped)
	all.ItemDropped = join3(w, all.ItemDropped, t.ItemDropped)
	all.ItemError = join3(w, all.ItemError, t.ItemError)
	all.FeedClosed = join1(w, all.FeedClosed, t.FeedClosed)
	all.MediaStored = join2(w, all.MediaStored, t.MediaStored)
	all.MediaFailed = join2(w, all.MediaFailed, t.MediaFailed)
	all.MemoryWarning = join1(w, all.MemoryWarning, t.MemoryWarning)
}

// watcher is whose hook is called.
type watcher struct {
	e     *Engine
	whose string
}

// idle calls a hook whose error steers the crawl.
func (w watcher) idle(f func() error) error {
	err := w.e.call(f)
	if p, ok := errors.AsType[*crawl.PanicError](err); ok {
		w.e.log.Error(w.whose+" hook failed", zap.Error(err), zap.ByteString("stack", p.Stack))
		return nil
	}
	return err
}

// download calls a hook that may stop a download, and may do nothing else.
func (w watcher) download(f func() error) error {
	err := w.idle(f)
	if _, ok := errors.AsType[*crawl.StopDownloadError](err); err != nil && !ok {
		w.e.log.Error(w.whose+" hook failed: only StopDownload is for it to return", zap.Error(err))
		return nil
	}
	return err
}

func join0(w watcher, f, g func()) func() {
	if g == nil {
		return f
	}
	return func() {
		if f != nil {
			f()
		}
		w.e.guard(w.whose, g)
	}
}

func join1[A any](w watcher, f, g func(A)) func(A) {
	if g == nil {
		return f
	}
	return func(a A) {
		if f != nil {
			f(a)
		}
		w.e.guard(w.whose, func() { g(a) })
	}
}

func join2[A, B any](w watcher, f, g func(A, B)) func(A, B) {
	if g == nil {
		return f
	}
	return func(a A, b B) {
		if f != nil {
			f(a, b)
		}
		w.e.guard(w.whose, func() { g(a, b) })
	}
}

func join3[A, B, C any](w watcher, f, g func(A, B, C)) func(A, B, C) {
	if g == nil {
		return f
	}
	return func(a A, b B, c C) {
		if f != nil {
			f(a, b, c)
		}
		w.e.guard(w.whose, func() { g(a, b, c) })
	}
}

func joinErr1[A any](call func(func() error) error, f, g func(A) error) func(A) error {
	if g == nil {
		return f
	}
	return func(a A) (err error) {
		if f != nil {
			err = f(a)
		}
		return errors.Join(err, call(func() error { return g(a) }))
	}
}

func joinErr2[A, B any](call func(func() error) error, f, g func(A, B) error) func(A, B) error {
	if g == nil {
		return f
	}
	return func(a A, b B) (err error) {
		if f != nil {
			err = f(a, b)
		}
		return errors.Join(err, call(func() error { return g(a, b) }))
	}
}

package engine

import (
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// idleInterval is how long an idle crawl that must not close waits before it asks again.
const idleInterval = time.Second

// A Snapshot is how a crawl stands at a moment.
type Snapshot struct {
	// State is "opening", "running", "paused", "stopping" or "closed".
	State string
	// Elapsed is the time since Run was called.
	Elapsed time.Duration
	// Downloads is how many run, pages and media.
	Downloads int
	// Pages is how many are in work: downloaded, parsed, or waiting for their items.
	Pages int
	// Items is how many are in the pipelines, and Media how many of their files are asked for.
	Items, Media int
	// Starting says that Start has not ended.
	Starting bool
	// PagesPerMinute, ItemsPerMinute and MediaPerMinute are those of the last minute, or of as long as the crawl runs if that is less.
	PagesPerMinute, ItemsPerMinute, MediaPerMinute float64
	// Queue is what the scheduler holds.
	Queue crawl.Counts
	// Stats go on being counted.
	Stats *crawl.Stats
}

// Snapshot says how the crawl stands. It is cheap enough to be called several times a second.
func (e *Engine) Snapshot() Snapshot {
	ch := make(chan Snapshot, 1)
	closed := Snapshot{State: "closed", Stats: e.stats}
	if !e.do(func(l *loop) { ch <- l.snapshot() }) {
		return closed
	}
	select {
	case s := <-ch:
		return s
	case <-e.ended:
		return closed
	case <-time.After(snapshotPatience):
		// Run has not begun, or is still opening its parts.
		return Snapshot{State: "opening", Stats: e.stats}
	}
}

const snapshotPatience = 100 * time.Millisecond

func (l *loop) snapshot() Snapshot {
	e := l.e
	l.rates.note(&e.counters, time.Now())
	s := Snapshot{
		State: "running", Elapsed: time.Since(e.began), Downloads: l.active, Pages: len(l.pages), Items: len(e.items),
		Media: l.media.jobs, Starting: l.starting, Queue: l.sched.Counts(), Stats: e.stats,
	}
	s.PagesPerMinute, s.ItemsPerMinute, s.MediaPerMinute = l.rates.perMinute(&e.counters, e.began, time.Now())
	switch {
	case l.stopping:
		s.State = "stopping"
	case l.paused:
		s.State = "paused"
	}
	return s
}

// rates remembers counts of the last minute. Owned by the loop.
type rates struct {
	samples [rateSamples]rateSample
	n       int // taken
}

type rateSample struct {
	at                  time.Time
	pages, items, media int64
}

const (
	rateEvery   = 5 * time.Second
	rateSamples = 14 // more than a minute of them
)

// note takes a sample, if it is time. While nothing happens nobody asks, and nothing changes.
func (r *rates) note(c *counters, now time.Time) {
	if r.n > 0 && now.Sub(r.samples[(r.n-1)%rateSamples].at) < rateEvery {
		return
	}
	r.samples[r.n%rateSamples] = c.sample(now)
	r.n++
}

func (c *counters) sample(now time.Time) rateSample {
	return rateSample{now, c.pages.Value(), c.scraped.Value(), c.files.Value()}
}

// perMinute are pages, items and files since the last sample that is a minute old; or since the crawl began, if there is none.
func (r *rates) perMinute(c *counters, began, now time.Time) (pages, items, media float64) {
	since := rateSample{at: began}
	for i := max(0, r.n-rateSamples); i < r.n; i++ {
		if s := r.samples[i%rateSamples]; now.Sub(s.at) >= time.Minute {
			since = s
		}
	}
	minutes := min(now.Sub(since.at), time.Minute+rateEvery).Minutes()
	if minutes <= 0 {
		return 0, 0, 0
	}
	s := c.sample(now)
	return float64(s.pages-since.pages) / minutes, float64(s.items-since.items) / minutes, float64(s.media-since.media) / minutes
}

// report logs how the crawl goes, every Log.StatsInterval, until the returned function is called.
func (e *Engine) report() (stop func()) {
	every := e.settings.Log.StatsInterval
	if every <= 0 {
		return func() {}
	}
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(every)
		defer tick.Stop()
		var pages, items int64
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			p, i := e.counters.received.Value(), e.counters.scraped.Value()
			perMinute := func(n int64) float64 { return float64(n) / every.Minutes() }
			e.log.Info("crawled", zap.Int64("responses", p), zap.Float64("responses_per_minute", perMinute(p-pages)),
				zap.Int64("items", i), zap.Float64("items_per_minute", perMinute(i-items)))
			pages, items = p, i
		}
	}()
	return func() {
		close(quit)
		<-gone
	}
}

// finalStats sets what is known at the end.
func (e *Engine) finalStats(reason string) {
	end := time.Now()
	elapsed := end.Sub(e.began)
	e.stats.Set("finish_reason", reason)
	e.stats.Set("finish_time", end.UTC())
	e.stats.Set("elapsed_time_seconds", elapsed.Seconds())
	if m := elapsed.Minutes(); m > 0 {
		e.stats.Set("responses_per_minute", float64(e.counters.received.Value())/m)
		e.stats.Set("items_per_minute", float64(e.counters.scraped.Value())/m)
	}
}

// traceCommit tells hooks and the log what a commit did with each request.
func (e *Engine) traceCommit(c *commit) {
	tr := &e.settings.Trace
	if tr.RequestScheduled == nil && tr.RequestDropped == nil && !e.log.Core().Enabled(zap.DebugLevel) {
		return
	}
	seen := make(map[int]bool, len(c.result.Seen))
	for _, i := range c.result.Seen {
		seen[i] = true
	}
	for i := range c.tx.Push {
		drop := seen[i]
		if !drop && tr.RequestScheduled == nil || drop && tr.RequestDropped == nil && !e.log.Core().Enabled(zap.DebugLevel) {
			continue
		}
		req, err := crawl.ParseWire(string(c.tx.Push[i].Encoded))
		switch {
		case err != nil:
		case !drop:
			tr.RequestScheduled(req)
		default:
			e.log.Debug("request dropped as seen before", zap.Stringer("page", req))
			if tr.RequestDropped != nil {
				tr.RequestDropped(req, crawl.IgnoreRequest("duplicate"))
			}
		}
	}
}

package engine

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
	"github.com/tulle-go/tulle/middleware"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/feed"
	"github.com/tulle-go/tulle/scheduler"
)

// Reasons why a crawl ended, beside those of CloseSpider.
const (
	reasonFinished   = "finished"    // there was nothing left to do
	reasonShutdown   = "shutdown"    // the context ended
	reasonStartError = "start_error" // Start returned an error
	reasonDiskFull   = "disk full"   // the job has no room left, or little
	reasonError      = "error"       // Run returns it
)

// Result is how a crawl ended.
type Result struct {
	// Reason is "finished", "shutdown" (the context ended), "start_error", "disk full" (of a job), "error" (Run returns it), or that of a CloseSpider or Stop.
	Reason string
	// AlreadyFinished says that the crawl's job had nothing left to do when it was opened: nothing was asked.
	AlreadyFinished bool
	// Stats are this run's. A job keeps those of all its runs.
	Stats *crawl.Stats
	// Feeds are what became of each feed, its batches together: Batch is how many there were.
	Feeds []crawl.FeedResult
}

// Run crawls a spider to its end. When ctx ends the crawl stops: what is in flight is finished; after StopTimeout it ends at once. The error says why the
// crawl could not start, or could not go on; a page or item that failed is not an error of Run.
func Run(ctx context.Context, spider *crawl.Spider, settings crawl.Settings) (Result, error) {
	e, err := New(spider, settings)
	if err != nil {
		return Result{}, err
	}
	hard, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	unwatch := context.AfterFunc(ctx, func() {
		e.Stop(reasonShutdown)
		timer := time.NewTimer(e.settings.StopTimeout)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(context.Cause(ctx))
		case <-hard.Done(): // Run has returned
		}
	})
	defer unwatch()
	return e.Run(hard)
}

// An Engine runs one crawl of one spider. Its methods are safe for concurrent use. Run is called once.
type Engine struct {
	spider    *crawl.Spider
	settings  *crawl.Settings
	env       *crawl.Env
	log       *zap.Logger
	stats     *crawl.Stats
	counters  counters
	selectors *crawl.Selectors
	limits    *limiter

	// Set by open, before the loop starts.
	fetch   *middleware.Chain
	hooks   middleware.Hooks
	chain   *pipeline.Chain
	feeds   *feed.Feeds
	stages  int      // configured; 0: items need no goroutine
	flusher *flusher // nil: no stage keeps items back
	hosts   *hosts   // nil: no middleware opens hosts
	state   *state
	job     *job        // nil: the crawl lives in memory
	closers []io.Closer // in the order of opening

	workers   *workers
	pushes    sync.Pool // of *pushList
	callbacks places
	items     places
	waiting   load        // responses that wait for a callback
	arrived   load        // media that has arrived and is in its pipeline's hands
	hungry    atomic.Bool // there is room for more than is queued: what callbacks produce is wanted at once
	starved   atomic.Bool // the loop waits for room in a budget
	stopping  atomic.Bool // for those who are not the loop
	running   atomic.Bool // the loop runs, or has run

	loop      *loop
	asked     context.Context // Run's own: it ends only when who has called it wants no more
	killed    context.Context // ends when the crawl is stopped at once
	startCtx  context.Context // ends when it is stopped
	stopStart context.CancelFunc
	ended     chan struct{} // closed when the loop has ended
	began     time.Time
	once      sync.Once
}

// counters are the stats that the engine counts itself.
type counters struct {
	enqueued, dequeued, filtered, received, pages, scraped *crawl.Counter

	files                    *crawl.Counter
	enqueuedIn, dequeuedFrom *crawl.Counter // of the queue in memory, or that on disk
}

// New puts the settings' layers together and checks them and the spider. It starts nothing and opens nothing.
func New(spider *crawl.Spider, settings crawl.Settings) (*Engine, error) {
	if err := spider.Validate(); err != nil {
		return nil, err
	}
	s, err := settings.Effective(spider)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		spider: spider, settings: s, stats: crawl.NewStats(), selectors: new(crawl.Selectors),
		workers:   newWorkers(2*s.ConcurrentRequests + s.ConcurrentCallbacks + s.ConcurrentStages),
		pushes:    sync.Pool{New: func() any { return new(pushList) }},
		callbacks: newPlaces(s.ConcurrentCallbacks), items: newPlaces(s.ConcurrentItems), ended: make(chan struct{}),
	}
	e.limits = newLimiter(e)
	e.counters = counters{
		enqueued: e.stats.Counter("scheduler/enqueued"), dequeued: e.stats.Counter("scheduler/dequeued"),
		filtered: e.stats.Counter("dupefilter/filtered"), received: e.stats.Counter("response_received_count"),
		pages: e.stats.Counter("page_count"), scraped: e.stats.Counter("item_scraped_count"),
		files: e.stats.Counter("file_count"),
	}
	where := "memory"
	if s.Job.Dir != "" {
		where = "disk"
	}
	e.counters.enqueuedIn, e.counters.dequeuedFrom = e.stats.Counter("scheduler/enqueued/"+where), e.stats.Counter("scheduler/dequeued/"+where)
	e.loop = &loop{e: e, box: box{wake: make(chan struct{}, 1)}, media: mediaQueue{e: e}, starting: true}
	return e, nil
}

// Run opens all parts, crawls, and closes them. When ctx ends the crawl ends at once; see [Engine.Stop] for the gentle way.
func (e *Engine) Run(ctx context.Context) (Result, error) {
	first := false
	e.once.Do(func() { first = true })
	if !first {
		return Result{}, errors.New("an Engine runs once; make another with engine.New")
	}
	e.began = time.Now()
	e.env = new(crawl.Env) // open fills it in
	ctx = crawl.WithEnv(ctx, e.env)
	e.asked = ctx
	killed, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	e.killed = killed
	e.startCtx, e.stopStart = context.WithCancel(killed)
	defer e.stopStart()

	if err := e.call(func() error { return e.open(killed) }); err != nil {
		e.end()
		return Result{}, errors.Join(err, e.close(context.WithoutCancel(ctx)))
	}
	if e.job != nil && e.job.finished {
		e.end()
		e.loop.because(reasonFinished)
		err := e.close(context.WithoutCancel(ctx))
		e.finalStats(e.loop.reason)
		return Result{Reason: e.loop.reason, AlreadyFinished: true, Stats: e.stats, Feeds: e.feeds.Results()}, err
	}
	e.stats.Set("start_time", e.began.UTC())
	e.log.Info("spider opened", zap.String("spider", e.spider.Name))
	if f := e.settings.Trace.SpiderOpened; f != nil {
		f(killed, e.spider)
	}
	stopReport := e.report()
	e.running.Store(true)
	if f := e.settings.Trace.EngineStarted; f != nil {
		f(killed)
	}
	if e.job != nil && e.job.startDone {
		e.loop.starting = false
	} else {
		e.goStart()
	}
	e.loop.run()
	e.end()
	stopReport()
	kill(errKilled)
	e.awaitItems()
	after, l := context.WithoutCancel(ctx), e.loop
	if f := e.spider.Closed; f != nil {
		e.guard("spider's Closed", func() { f(after, l.reason) })
	}
	e.finalStats(l.reason) // for the job to keep
	err := errors.Join(l.failure, e.close(after))
	e.finalStats(l.reason)
	if f := e.settings.Trace.SpiderClosed; f != nil {
		f(after, e.spider, l.reason)
	}
	if !e.settings.Log.HideStats {
		e.log.Info("stats", e.stats.Field())
	}
	e.log.Info("spider closed", zap.String("reason", l.reason), zap.Int64("pages", e.counters.pages.Value()),
		zap.Int64("items", e.counters.scraped.Value()), zap.Int64("media", e.stats.Int("file_count")), zap.Int64("errors", e.stats.Int("log_count/ERROR")))
	if f := e.settings.Trace.EngineStopped; f != nil {
		f(after)
	}
	return Result{Reason: l.reason, Stats: e.stats, Feeds: e.feeds.Results()}, err
}

// end answers those who wait for the loop, which has ended.
func (e *Engine) end() {
	for _, ev := range e.loop.box.close() {
		if ev.kind == mediaAsked || ev.kind == mediaAgain || ev.kind == mediaAside {
			go e.finish(ev.media, nil, crawl.ErrStopping)
		}
	}
	close(e.ended)
	e.workers.stop()
}

// awaitItems gives the items of pages that were left behind a moment, so that stages are closed when nothing is inside them.
func (e *Engine) awaitItems() {
	ctx, cancel := context.WithTimeout(context.Background(), killGrace)
	defer cancel()
	for range cap(e.items) {
		if !e.items.acquire(ctx) {
			e.log.Warn("stages are closed with items inside them", zap.Int("items", len(e.items)))
			return
		}
	}
}

// open makes the parts, in the order in which they need each other.
func (e *Engine) open(ctx context.Context) error {
	s := e.settings
	log, err := e.logger()
	if err != nil {
		return err
	}
	e.log = log
	spool := &crawl.Spool{Over: s.Download.SpoolOver, Dir: s.Download.SpoolDir, Hash: s.Media.Checksum, NewHash: checksum(s.Media.Checksum)}
	e.closers = append(e.closers, spool)
	*e.env = crawl.Env{
		Spider: e.spider, Settings: s, Stats: e.stats, Log: log,
		Fetcher: fetcher{e}, Stop: e.Stop, Limiter: e.limits, Pixels: newGate(s.Images.PixelBudget), Spool: spool,
	}

	if err := e.openExtensions(ctx); err != nil {
		return err
	}
	down, err := downloader.New(e.env)
	if err != nil {
		return err
	}
	e.closers = append(e.closers, down)
	bottom := watched(down, &s.Trace)
	if s.HTTPCache.On {
		bottom = marking{bottom}
	}
	mw, err := middleware.Build(e.env, bottom)
	if err != nil {
		return err
	}
	e.closers = append(e.closers, mw)
	e.fetch = mw
	if e.hooks, err = middleware.BuildSpider(e.env); err != nil {
		return err
	}
	if err := e.openScheduler(ctx); err != nil {
		return err
	}
	if e.job != nil && e.job.finished {
		// Feeds and stages are left as they are, but for what was killed between the last page and the place of a feed.
		e.feeds, err = feed.Complete(e.asked, e.env, s.Feeds)
		if err == nil {
			e.closers = append(e.closers, e.feeds)
		}
		return err
	}
	stages := slices.Clone(s.ItemPipelines)
	// Feeds are opened before stages that make something, and begun after them: a crawl that cannot start leaves nothing behind.
	feeds, err := feed.Open(e.asked, e.env, s.Feeds)
	if err != nil {
		return err
	}
	e.feeds = feeds
	if len(s.Feeds) > 0 {
		stages = append(stages, feeds.Stage())
	}
	if e.chain, err = pipeline.Open(ctx, e.env, stages); err != nil {
		return errors.Join(err, feeds.Undo())
	}
	e.stages = len(stages)
	e.closers = append(e.closers, e.chain)
	if e.chain.Flushes() {
		e.flusher = &flusher{e: e}
	}
	return nil
}

func (e *Engine) openScheduler(ctx context.Context) error {
	s := e.settings
	opts := crawl.SchedulerOptions{Order: s.Order, Default: e.limits.current(""), Slots: make(map[string]crawl.Limits)}
	for slot := range s.Slots {
		opts.Slots[slot] = e.limits.current(slot)
	}
	if e.fetch.HasOpeners() {
		// One place until the host is open, and no less than the delay between two questions; opening it sets the slot's own limits.
		opts.Default.Concurrency, opts.Default.FixedDelay = 1, true
		for slot, l := range opts.Slots {
			if l.Concurrency, l.FixedDelay = 1, true; l.Delay <= 0 {
				l.Delay = -1 // 0 would be Default's
			}
			opts.Slots[slot] = l
		}
		e.hosts = &hosts{e: e, known: make(map[hostKey]*origin)}
	}
	if s.Job.Dir == "" {
		e.loop.sched = scheduler.New(opts)
	} else if err := e.openJob(ctx, opts); err != nil {
		return err
	}
	e.state = newState(e.env.State)
	return nil
}

// logger is the settings' own, or one that they describe; it counts what it writes.
func (e *Engine) logger() (*zap.Logger, error) {
	log := e.settings.Logger
	if log == nil {
		var err error
		if log, err = crawl.NewLogger(e.settings.Log, os.Stderr); err != nil {
			return nil, err
		}
	}
	count := func(ent zapcore.Entry) error {
		e.stats.Inc(logCount(ent.Level))
		return nil
	}
	return log.WithOptions(zap.Hooks(count)), nil
}

// logCount is the stat of a level, by Scrapy's names of levels.
func logCount(level zapcore.Level) string {
	switch level {
	case zapcore.WarnLevel:
		return "log_count/WARNING"
	case zapcore.DPanicLevel, zapcore.PanicLevel, zapcore.FatalLevel:
		return "log_count/CRITICAL"
	}
	return "log_count/" + level.CapitalString()
}

func checksum(name string) func() hash.Hash {
	switch name {
	case "sha1":
		return sha1.New
	case "sha256":
		return sha256.New
	}
	return md5.New
}

// close closes what open has opened, last first. The queue comes before all: its last changes are written to feeds that are open.
func (e *Engine) close(ctx context.Context) error {
	var errs []error
	if e.chain != nil {
		if err := e.call(func() error { return e.chain.Flush(ctx) }); err != nil {
			errs = append(errs, err)
		}
	}
	if e.loop.sched != nil {
		if err := e.closeScheduler(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	for _, c := range slices.Backward(e.closers) {
		if err := e.call(c.Close); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// do runs f on the loop. It is lost if the crawl has ended.
func (e *Engine) do(f func(*loop)) bool { return e.loop.box.post(event{kind: loopDo, do: f}) }

// Stop ends the crawl gently: nothing new is asked, what is in flight is finished. A Start or callback that does not return is left behind after
// StopTimeout. The first reason counts. It may be called before Run, and more than once.
func (e *Engine) Stop(reason string) {
	e.do(func(l *loop) { l.stop(reason) })
}

// Pause asks nothing new until Resume. What is in flight goes on, and items go through their stages.
func (e *Engine) Pause() { e.do(func(l *loop) { l.paused = true }) }

// Resume goes on after Pause.
func (e *Engine) Resume() { e.do(func(l *loop) { l.paused = false }) }

// Settings are the effective ones. They must not be changed.
func (e *Engine) Settings() *crawl.Settings { return e.settings }

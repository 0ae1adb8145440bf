package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// MediaPipeline downloads what items name before it lets the items go. What that is, and what becomes of it, its [Kind] says: FilesPipeline and ImagesPipeline
// are MediaPipelines with kinds of their own.
//
// An item waits at this stage until each of its requests has succeeded or failed. A URL that several items share is downloaded once; they all wait for the
// same flight. Results come in the order of the requests. A failure costs one result and never the item.
type MediaPipeline struct {
	// Kind says what items need. It may be used by several crawls at once.
	Kind Kind
	// OpenKind makes the Kind for one crawl, in place of Kind: for one that needs its Env, or that wraps the Kind of a FilesPipeline or an ImagesPipeline. If what
	// it returns is an io.Closer, it is closed when the crawl is over. [crawl.NotConfigured] disables the pipeline.
	OpenKind func(ctx context.Context, env *crawl.Env) (Kind, error)
	// Media wins over Settings.Media, field by field, where it is not zero.
	Media crawl.MediaSettings
}

// A Kind says what media items need and what becomes of it. Its methods are called from many goroutines at once. Fresh and Store are called once for all items
// that share a URL, with the item that came first; a panic in them fails that media alone.
//
// A Kind may be more: a [Receiver], a [Rescuer], and a [crawl.Syncer]. In a job Sync is given the paths of results and of their thumbnails before the pages of
// their items are acknowledged. The Kinds of FilesPipeline and ImagesPipeline are all of these (Syncers if their store is one), and io.Closers: who wraps one
// is a [Wrapper], or its expired files fail, its hooks are not called, and its files may not survive a power cut that their items survive.
type Kind interface {
	// Requests returns what an item needs, in the order of the results; none is allowed. A request that can't be sent fails alone; an error is the item's.
	Requests(ctx context.Context, item any) ([]*crawl.Request, error)
	// Fresh returns the file if it need not be downloaded, or nil and no error if it must be. req is the request as it will leave: Fresh may add headers to it, and change nothing else.
	Fresh(ctx context.Context, req *crawl.Request, item any) (*crawl.File, error)
	// Store keeps what was downloaded and returns the result. It is called with successful responses only: see Media.Statuses. resp.Request is
	// the request that Requests returned, also after redirects and retries; resp.URL is what answered. The response is closed by the caller. An error is
	// this media's failure; one of kind [KindStore] says that the store is in trouble, and ten of those in a row close the crawl.
	Store(ctx context.Context, resp *crawl.Response, item any) (crawl.File, error)
	// Complete is called once an item, also for one that needs nothing, with a result for each request, and returns the item that goes on.
	// [crawl.DropItem] drops it.
	Complete(ctx context.Context, results []Result, item any) (any, error)
}

// A Receiver is a [Kind] that wants to see every response before it is judged by its status.
type Receiver interface {
	// Receive returns the result if there is nothing more to do, or nil and no error to have the response judged and stored as usual. An error is this
	// media's failure.
	Receive(ctx context.Context, resp *crawl.Response, item any) (*crawl.File, error)
}

// A Rescuer is a [Kind] that may turn a failure into a result.
type Rescuer interface {
	// Rescue returns a result in place of a failure, or an error: the failure, or a better one. err is a [*MediaError]. It is called once for all items that
	// share the URL, before the failure is logged.
	Rescue(ctx context.Context, req *crawl.Request, err error, item any) (crawl.File, error)
}

// A Wrapper is a [Kind] around another one, which is asked for what the Wrapper itself is not: a [Receiver], a [Rescuer], a [crawl.Syncer], an io.Closer.
type Wrapper interface {
	Unwrap() Kind
}

// A Result is what became of one request of an item: a File, or an Err, which is a [*MediaError].
type Result struct {
	Request *crawl.Request
	File    crawl.File
	Err     error
}

// Succeeded are the results without an error, in their order.
func Succeeded(results []Result) []Result {
	good := make([]Result, 0, len(results))
	for _, r := range results {
		if r.Err == nil {
			good = append(good, r)
		}
	}
	return good
}

// storeStrikes is how many files in a row the store may refuse before the crawl is closed.
const storeStrikes = 10

var (
	_ crawl.Pipeline = (*MediaPipeline)(nil)
	_ crawl.Opener   = (*MediaPipeline)(nil)

	errNotOpen = errors.New("the pipeline is a description: it must be opened before it can process items")
)

// Process implements [crawl.Pipeline]. It always fails: what Open returns runs in the description's place.
func (p *MediaPipeline) Process(context.Context, any) (any, error) { return nil, errNotOpen }

// Open implements [crawl.Opener].
func (p *MediaPipeline) Open(ctx context.Context, env *crawl.Env) (crawl.Pipeline, error) {
	env, err := envWith(env, func(s *crawl.Settings) { s.Media = merged(p.Media, s.Media) })
	if err != nil {
		return nil, err
	}
	m := &media{
		kind:     p.Kind,
		settings: env.Settings.Media,
		trace:    env.Settings.Trace,
		stats:    env.Stats,
		log:      env.Log,
		parked:   env.Stats.Counter("media/parked"),
		flights:  make(map[crawl.Fingerprint]*flight),
		memory:   memory{size: env.Settings.Media.CacheSize},
	}
	if p.OpenKind != nil {
		if m.kind, err = p.OpenKind(ctx, env); err != nil {
			return nil, err
		}
		m.closer, _ = ability[io.Closer](m.kind)
	}
	if m.kind == nil {
		return nil, errors.New("the MediaPipeline has no Kind")
	}
	m.receiver, _ = ability[Receiver](m.kind)
	m.rescuer, _ = ability[Rescuer](m.kind)
	m.submit = submitter(env.Fetcher)
	m.knobs = new(crawl.Knobs)
	m.turn(m.knobs, "")
	if syncer, ok := ability[crawl.Syncer](m.kind); ok && env.State != nil {
		m.unsafe = &unsafeNames{syncer: syncer}
		return flushing{m}, nil
	}
	return m, nil
}

// ability looks for what else a Kind is: the Kind itself, or the first one that it wraps.
func ability[T any](k Kind) (v T, ok bool) {
	for k != nil {
		if v, ok = k.(T); ok {
			return v, true
		}
		w, wraps := k.(Wrapper)
		if !wraps {
			break
		}
		k = w.Unwrap()
	}
	return v, false
}

// submitter returns f's Submit. For a Fetcher without one a goroutine waits for each request.
func submitter(f crawl.Fetcher) func(context.Context, *crawl.Request, func(*crawl.Response, error)) {
	if s, ok := f.(crawl.Submitter); ok {
		return s.Submit
	}
	return func(ctx context.Context, req *crawl.Request, done func(*crawl.Response, error)) {
		go func() { done(f.Fetch(ctx, req)) }()
	}
}

// envWith is a copy of env whose settings have been changed, and are valid.
func envWith(env *crawl.Env, change func(*crawl.Settings)) (*crawl.Env, error) {
	s := *env.Settings
	change(&s)
	if err := s.Validate(); err != nil {
		return nil, err
	}
	e := *env
	e.Settings = &s
	return &e, nil
}

// merged is own with base's fields where own's are zero.
func merged[T any](own, base T) T {
	o, b := reflect.ValueOf(&own).Elem(), reflect.ValueOf(base)
	for i := range o.NumField() {
		if o.Field(i).IsZero() {
			o.Field(i).Set(b.Field(i))
		}
	}
	return own
}

// media is a MediaPipeline that runs.
type media struct {
	kind     Kind
	receiver Receiver // the kind, if it is one; else nil
	rescuer  Rescuer  // likewise
	closer   io.Closer
	submit   func(context.Context, *crawl.Request, func(*crawl.Response, error))
	settings crawl.MediaSettings
	knobs    *crawl.Knobs // of requests that come without; shared
	trace    crawl.Trace
	stats    *crawl.Stats
	log      *zap.Logger
	parked   *crawl.Counter
	unsafe   *unsafeNames // nil: nobody asks for what is stored to be safe

	mu      sync.Mutex
	flights map[crawl.Fingerprint]*flight // Guarded by mu: those that are under way and have somebody waiting.
	memory  memory                        // Guarded by mu.

	running sync.WaitGroup // flights, those that everybody has left included

	strikes   atomic.Int64 // files that the store has refused since it last took one
	storeDown atomic.Bool
}

var (
	_ crawl.Pipeline = (*media)(nil)
	_ io.Closer      = (*media)(nil)
)

// Process implements [crawl.Pipeline].
//
// A crawl may have ten thousand items waiting in here, and a goroutine's stack is 2, 4 or 8 KiB. What is on it while it waits is kept small: what comes before
// and after has functions of its own.
func (m *media) Process(ctx context.Context, item any) (any, error) {
	w, err := m.board(ctx, item)
	if err != nil {
		return nil, err
	}
	if w.left.Load() > 0 {
		if err := m.park(ctx, w); err != nil {
			return nil, err
		}
	}
	return m.complete(ctx, w, item)
}

// complete hands an item's results to the kind.
func (m *media) complete(ctx context.Context, w *waiter, item any) (any, error) {
	results := make([]Result, len(w.reqs))
	for i, o := range w.outcomes {
		switch {
		case o.abort != nil:
			return nil, fmt.Errorf("media <%s>: %w", address(w.reqs[i]), o.abort)
		case o.err != nil && o.err.Kind == KindStore && m.storeDown.Load():
			return nil, crawl.CloseSpider("store")
		}
		results[i] = o.result(w.reqs[i])
	}
	if m.unsafe != nil {
		m.unsafe.add(results)
	}
	return m.kind.Complete(ctx, results, item)
}

// closeGrace is how long Close waits for flights that everybody has left: their contexts have ended. One that does not mind, in a hook, or in pixels that have
// been read already, must not hold up the end of a crawl that is killed.
const closeGrace = 2 * time.Second

// Close implements io.Closer. The kind of flights that are left behind is closed when the last of them has ended.
func (m *media) Close() error {
	landed := make(chan struct{})
	go func() {
		m.running.Wait()
		close(landed)
	}()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-landed:
		return m.closeKind()
	case <-grace.C:
	}
	m.log.Warn("left behind: work on a file does not end", zap.Duration("after", closeGrace))
	go func() {
		<-landed
		_, err := guarded(func() (struct{}, error) { return struct{}{}, m.closeKind() })
		if err != nil {
			m.log.Warn("close what was left behind", zap.Error(err))
		}
	}()
	return nil
}

func (m *media) closeKind() error {
	if m.closer == nil {
		return nil
	}
	return m.closer.Close()
}

// conclude makes an outcome of a file or an error, and counts, logs and tells it. ctx, req and item are the flight's.
func (m *media) conclude(ctx context.Context, req *crawl.Request, item any, file crawl.File, failed *MediaError) *outcome {
	if failed != nil {
		if failed.Kind == KindStore {
			m.strike(failed)
		}
		if m.rescuer != nil {
			saved, err := guarded(func() (crawl.File, error) { return m.rescuer.Rescue(ctx, req, failed, item) })
			if abort := steering(err); abort != nil {
				return &outcome{abort: abort}
			}
			var typed *MediaError
			switch {
			case err == nil:
				file, failed = saved, nil
			case errors.As(err, &typed):
				failed = failure(req, failed.Status, typed, false)
			default:
				// A reason of its own and no kind: what happened stays what it was.
				reason := *failed
				reason.Err = err
				failed = &reason
			}
		}
	}
	if failed != nil {
		m.fail(ctx, req, failed)
		return &outcome{err: failed}
	}
	m.stats.Inc("file_count")
	if file.Status != "" {
		m.stats.Inc("file_status_count/" + file.Status)
	}
	m.log.Debug("media "+file.Status, zap.String("url", address(req)), zap.String("path", file.Path), page(ctx))
	if hook := m.trace.MediaStored; hook != nil {
		m.tell(func() { hook(req, file) })
	}
	return &outcome{file: file}
}

func (m *media) fail(ctx context.Context, req *crawl.Request, failed *MediaError) {
	m.stats.Inc("file_status_count/failed")
	m.stats.Inc("media/failed_kind_count/" + string(failed.Kind))
	fields := []zap.Field{
		zap.String("kind", string(failed.Kind)), zap.String("url", failed.URL), page(ctx), zap.Error(failed.cause()),
	}
	var panicked *crawl.PanicError
	if errors.As(failed, &panicked) {
		fields = append(fields, zap.ByteString("stack", panicked.Stack))
	}
	if failed.Kind == KindFiltered {
		m.log.Debug("media filtered", fields...)
	} else {
		m.log.Warn("media failed", fields...)
	}
	if hook := m.trace.MediaFailed; hook != nil {
		m.tell(func() { hook(req, failed) })
	}
}

// strike counts a file that the store refused.
func (m *media) strike(failed *MediaError) {
	if m.strikes.Add(1) >= storeStrikes && m.storeDown.CompareAndSwap(false, true) {
		m.log.Error("the store refuses file after file: the crawl is closed", zap.Int("files", storeStrikes), zap.Error(failed))
		m.giveUp()
	}
}

// tell calls a hook of the crawl's Trace.
func (m *media) tell(hook func()) {
	_, err := guarded(func() (struct{}, error) {
		hook()
		return struct{}{}, nil
	})
	if err != nil {
		m.log.Error("trace hook failed", zap.Error(err))
	}
}

// page is the log field that says which page an item comes from.
func page(ctx context.Context) zap.Field {
	origin := crawl.Origin(ctx)
	if origin == nil {
		return zap.Skip()
	}
	return zap.String("page", address(origin))
}

// steering returns err if it is for the crawl and not about one file.
func steering(err error) error {
	var stop *crawl.CloseSpiderError
	if errors.As(err, &stop) || errors.Is(err, crawl.ErrStopping) {
		return err
	}
	return nil
}

// guarded calls f, which is somebody else's code on a goroutine where nobody else catches a panic.
func guarded[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &crawl.PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	return f()
}

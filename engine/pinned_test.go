package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
)

// The tests of this file pin bugs that were once there.

func nothing(context.Context, *crawl.Response, *crawl.Out) error { return nil }

// around is a middleware, outermost, from a function.
func around(f func(ctx context.Context, req *crawl.Request, next crawl.Fetcher) (*crawl.Response, error)) []crawl.Layer {
	return []crawl.Layer{{Order: -1, Middleware: func(_ *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
		return crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) { return f(ctx, req, next) }), nil
	}}}
}

// TestStartFromManyGoroutines has four goroutines of one Start wait for the crawl at once: the second to wait was forgotten.
func TestStartFromManyGoroutines(t *testing.T) {
	t.Parallel()
	spider := &crawl.Spider{Name: "many", Parse: nothing, Start: func(_ context.Context, out *crawl.Out) error {
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range 500 {
					out.Request(crawl.Get(fmt.Sprintf("data:,%d-%d", g, i)))
				}
			})
		}
		wg.Wait()
		return nil
	}}
	res := crawltest.Run(t, spider, crawl.Settings{}, crawltest.Handler(pages(nil)))
	require.Equal(t, "finished", res.Reason)
	require.EqualValues(t, 2000, res.Stats.Int("response_received_count"))
}

// TestSubmitByOneWhoHasLeft submits with contexts that have ended: done was sometimes called twice.
func TestSubmitByOneWhoHasLeft(t *testing.T) {
	t.Parallel()
	const n = 20_000
	var calls atomic.Int64
	settings := crawl.Settings{ItemPipelines: []crawl.Stage{{Pipeline: opener(func(env *crawl.Env) crawl.Pipeline {
		return process(func(ctx context.Context, item any) (any, error) {
			ended, cancel := context.WithCancel(ctx)
			cancel()
			var wg sync.WaitGroup
			for range n {
				wg.Add(1)
				env.Fetcher.(crawl.Submitter).Submit(ended, crawl.Get("http://a.example/x"), func(*crawl.Response, error) {
					calls.Add(1)
					wg.Done()
				})
			}
			wg.Wait()
			return item, nil
		})
	})}}}
	spider := &crawl.Spider{Name: "left", Start: func(_ context.Context, out *crawl.Out) error {
		out.Item(map[string]any{})
		return nil
	}}
	res := crawltest.Run(t, spider, settings, crawltest.Handler(pages(nil)))
	require.Equal(t, "finished", res.Reason)
	require.EqualValues(t, n, calls.Load())
}

// TestRescheduleOfNothing lets a middleware ask for a media request again without naming it.
func TestRescheduleOfNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		settings := fetchStages()
		settings.Middlewares = around(func(ctx context.Context, req *crawl.Request, next crawl.Fetcher) (*crawl.Response, error) {
			if tries.Add(1) == 1 {
				return nil, crawl.Reschedule(nil, time.Minute, "later")
			}
			return next.Fetch(ctx, req)
		})
		spider := &crawl.Spider{Name: "nil", Start: func(_ context.Context, out *crawl.Out) error {
			out.Item(map[string]any{"want": []string{"data:,picture"}})
			return nil
		}}
		res := crawltest.Run(t, spider, settings, crawltest.Handler(pages(nil)))
		require.Equal(t, []string{"200 picture"}, res.Items[0].(map[string]any)["got"])
	})
}

// TestFetchBeforeTheCrawl has a stage that asks for something while it is opened: it waited for ever.
func TestFetchBeforeTheCrawl(t *testing.T) {
	t.Parallel()
	settings := crawl.Settings{ItemPipelines: []crawl.Stage{{Pipeline: failingOpener{}}}}
	_, err := engine.Run(t.Context(), &crawl.Spider{Name: "early", StartURLs: []string{"data:,x"}, Parse: nothing}, settings)
	require.ErrorContains(t, err, "does not run yet")
}

type failingOpener struct{}

func (failingOpener) Open(ctx context.Context, env *crawl.Env) (crawl.Pipeline, error) {
	_, err := env.Fetcher.Fetch(ctx, crawl.Get("http://a.example/login"))
	return nil, err
}

func (failingOpener) Process(context.Context, any) (any, error) { return nil, errors.New("not open") }

// TestOtherSchemesHaveTheirLimits asks a scheme that has no robots.txt: it kept the one place of a host that is not open yet.
func TestOtherSchemesHaveTheirLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := crawl.Settings{ConcurrentPerHost: 4, Parts: crawl.Parts{Handlers: map[string]crawl.OpenHandler{
			"slow": func(*crawl.Env) (crawl.Fetcher, error) {
				return crawl.FetcherFunc(func(_ context.Context, req *crawl.Request) (*crawl.Response, error) {
					time.Sleep(time.Minute)
					return &crawl.Response{Request: req, URL: req.URL, Status: 200}, nil
				}), nil
			},
		}}}
		spider := &crawl.Spider{Name: "slow", Parse: nothing, StartURLs: []string{"slow://h/1", "slow://h/2", "slow://h/3", "slow://h/4", "slow://h/5"}}
		began := time.Now()
		crawltest.Run(t, spider, settings, crawltest.Handler(pages(nil)))
		require.Equal(t, 2*time.Minute, time.Since(began), "one opens the host, four follow")
	})
}

// TestStopDoesNotWaitForAHeldHost stops a crawl whose media waits for a host that asked for hours of rest.
func TestStopDoesNotWaitForAHeldHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "18000")
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		settings := fetchStages()
		settings.StopTimeout = time.Minute
		settings.ConcurrentPerHost = 1 // the second waits for the host, not for its own repeat
		settings.Retry.MaxRetryAfter = 10 * time.Hour
		spider := &crawl.Spider{Name: "held", Start: func(_ context.Context, out *crawl.Out) error {
			out.Item(map[string]any{"want": []string{"http://a.example/1", "http://a.example/2"}})
			return nil
		}}
		e, wait := crawltest.Start(t, spider, settings, site)
		time.Sleep(time.Second)
		began := time.Now()
		e.Stop("enough")
		res := wait()
		require.Equal(t, "enough", res.Reason)
		require.LessOrEqual(t, time.Since(began), time.Minute+2*time.Second)
	})
}

// TestIdleHookThatOnlyEmitsItems was asked for ever.
func TestIdleHookThatOnlyEmitsItems(t *testing.T) {
	t.Parallel()
	asked := 0
	settings := crawl.Settings{Trace: crawl.Trace{SpiderIdle: func(_ context.Context, out *crawl.Out) error {
		asked++
		out.Item(map[string]any{"summary": true})
		return nil
	}}}
	res := crawltest.Run(t, &crawl.Spider{Name: "idle", StartURLs: []string{"data:,x"}, Parse: nothing}, settings, crawltest.Handler(pages(nil)))
	require.Equal(t, "finished", res.Reason)
	require.Equal(t, 1, asked)
	require.Len(t, res.Items, 1)
}

// TestCallbackThatEndsItsGoroutine is what t.FailNow does in a callback: the crawl never ended.
func TestCallbackThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	spider := &crawl.Spider{Name: "exits", StartURLs: []string{"http://a.example/1", "http://a.example/2"}, Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
		if r.URL.Path == "/1" {
			(&testing.T{}).FailNow()
		}
		out.Item(map[string]any{"title": r.URL.Path})
		return nil
	}}
	settings := crawl.Settings{ItemPipelines: []crawl.Stage{{Pipeline: process(func(context.Context, any) (any, error) {
		(&testing.T{}).FailNow()
		return nil, nil
	})}}}
	res := crawltest.Run(t, spider, settings, crawltest.Handler(pages(map[string][]string{"/1": nil, "/2": nil})))
	require.Equal(t, "finished", res.Reason)
	require.EqualValues(t, 1, res.Stats.Int("spider_exceptions/goexit"))
	require.EqualValues(t, 1, res.Stats.Int("item_error_count"))
}

// TestManyFailuresBehindABusyCallback keeps the one callback busy while pages fail: each failure kept a goroutine that waited for the errback, and the crawl went on.
func TestManyFailuresBehindABusyCallback(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		busy, release := make(chan struct{}), make(chan struct{})
		var tried, told atomic.Int32
		settings := crawl.Settings{ConcurrentCallbacks: 1, ConcurrentRequests: 4, Robots: crawl.RobotsSettings{Ignore: true}}
		settings.Middlewares = around(func(ctx context.Context, req *crawl.Request, next crawl.Fetcher) (*crawl.Response, error) {
			if req.URL.Path == "/good" {
				return next.Fetch(ctx, req)
			}
			<-busy
			tried.Add(1)
			return nil, errors.New("no")
		})
		spider := &crawl.Spider{
			Name: "fails",
			Start: func(_ context.Context, out *crawl.Out) error {
				out.Request(crawl.Get("http://a.example/good"))
				for i := range 500 {
					out.Request(crawl.Get(fmt.Sprintf("http://a.example/%d", i)))
				}
				return nil
			},
			Parse: func(context.Context, *crawl.Response, *crawl.Out) error {
				close(busy)
				<-release
				return nil
			},
			Errback: func(context.Context, *crawl.Request, error, *crawl.Out) error {
				told.Add(1)
				return nil
			},
		}
		_, wait := crawltest.Start(t, spider, settings, crawltest.Handler(pages(map[string][]string{"/good": nil})))
		<-busy
		time.Sleep(time.Minute)
		require.LessOrEqual(t, tried.Load(), int32(8), "as many wait as downloads are allowed, and as many are on their way")
		close(release)
		res := wait()
		require.Equal(t, "finished", res.Reason)
		require.EqualValues(t, 500, told.Load())
	})
}

// TestBadRescheduleOfACallback cannot be queued again: with one place for callbacks it waited for itself.
func TestBadRescheduleOfACallback(t *testing.T) {
	t.Parallel()
	spider := &crawl.Spider{Name: "bad", StartURLs: []string{"http://a.example/"}, Parse: func(context.Context, *crawl.Response, *crawl.Out) error {
		return crawl.Reschedule(crawl.Get("http://[bad"), 0, "try elsewhere")
	}}
	res := crawltest.Run(t, spider, crawl.Settings{ConcurrentCallbacks: 1}, crawltest.Handler(pages(map[string][]string{"/": nil})))
	require.Equal(t, "finished", res.Reason)
	require.Equal(t, 1, res.Log.FilterMessage("download failed").Len())
}

// TestKilledIsNotFinished kills crawls whose only page ends at the same moment: some said that they had finished, because the page's lease is not in the queue.
func TestKilledIsNotFinished(t *testing.T) {
	t.Parallel()
	for range 40 {
		ctx, kill := context.WithCancel(t.Context())
		settings := crawl.Settings{Logger: zap.NewNop(), Parts: crawl.Parts{Handlers: map[string]crawl.OpenHandler{
			"test": func(*crawl.Env) (crawl.Fetcher, error) {
				return crawl.FetcherFunc(func(context.Context, *crawl.Request) (*crawl.Response, error) {
					kill()
					return nil, context.Canceled
				}), nil
			},
		}}}
		e, err := engine.New(&crawl.Spider{Name: "killed", StartURLs: []string{"test://a.example/"}, Parse: nothing}, settings)
		require.NoError(t, err)
		res, err := e.Run(ctx)
		require.NoError(t, err)
		require.Equal(t, "shutdown", res.Reason)
	}
}

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
)

// pages is a site of pages that are lists of links, by path; robots.txt and what is missing are 404.
func pages(links map[string][]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refs, ok := links[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<html><h1>%s</h1>", r.URL.Path)
		for _, ref := range refs {
			fmt.Fprintf(w, `<a href="%s">.</a>`, ref)
		}
	})
}

// titles is an item a page, and all its links followed.
func titles(_ context.Context, r *crawl.Response, out *crawl.Out) error {
	out.Item(map[string]any{"title": r.Text("h1")})
	out.FollowAll("a", "")
	return nil
}

func itemTitles(res *crawltest.Result) []string {
	var all []string
	for _, it := range res.Items {
		all = append(all, it.(map[string]any)["title"].(string))
	}
	slices.Sort(all)
	return all
}

func TestEveryPageOnce(t *testing.T) {
	t.Parallel()
	site := crawltest.Handler(pages(map[string][]string{
		"/": {"/a", "/b", "/a#part", "mailto:x@example.com"}, "/a": {"/b", "/", "/c?x=1&y=2"}, "/b": {"/c?y=2&x=1"}, "/c": nil,
	}))
	spider := &crawl.Spider{Name: "once", StartURLs: []string{"http://example.com/"}, Parse: titles}
	res := crawltest.Run(t, spider, crawl.Settings{}, site)
	require.NoError(t, res.Err)
	require.Equal(t, "finished", res.Reason)
	require.Equal(t, []string{"/", "/a", "/b", "/c"}, itemTitles(res))
	require.Len(t, res.Asked, 4)
	require.EqualValues(t, 4, res.Stats.Int("item_scraped_count"))
	require.EqualValues(t, 4, res.Stats.Int("scheduler/enqueued"))
	require.EqualValues(t, 4, res.Stats.Int("scheduler/dequeued"))
	require.EqualValues(t, 4, res.Stats.Int("dupefilter/filtered"))
	require.EqualValues(t, 1, res.Stats.Int("link/skipped_count"))
	require.Equal(t, "finished", res.Stats.Get("finish_reason"))
}

func TestPanicBecomesAnErrorWithItsStack(t *testing.T) {
	t.Parallel()
	site := crawltest.Handler(pages(map[string][]string{"/": {"/bad", "/good"}, "/bad": nil, "/good": nil}))
	spider := &crawl.Spider{Name: "panics", StartURLs: []string{"http://example.com/"}, Parse: func(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
		out.Item(map[string]any{"title": r.Text("h1")})
		if r.URL.Path == "/bad" {
			panic("no such luck")
		}
		out.FollowAll("a", "")
		return nil
	}}
	res := crawltest.Run(t, spider, crawl.Settings{}, site)
	require.Equal(t, "finished", res.Reason)
	require.Equal(t, []string{"/", "/bad", "/good"}, itemTitles(res), "what was handed over before the panic counts")
	require.EqualValues(t, 1, res.Stats.Int("spider_exceptions/panic"))
	logged := res.Log.FilterMessage("callback failed").All()
	require.Len(t, logged, 1)
	fields := logged[0].ContextMap()
	require.Contains(t, fields["page"], "/bad")
	require.Contains(t, fields["error"], "no such luck")
	require.Contains(t, fields["stack"], "engine_test.go")
}

func TestCallbackErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		parse crawl.Callback
		want  string
	}{
		"unknown route": {func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
			out.Follow("/x", "detial")
			return nil
		}, `no route "detial" (routes: detail, list)`},
		"malformed selector": {func(_ context.Context, r *crawl.Response, _ *crawl.Out) error {
			r.Text("h1[")
			return nil
		}, `css selector "h1["`},
		"data that does not marshal": {func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
			out.Follow("/x", "detail", crawl.With(func() {}))
			return nil
		}, "data of type func()"},
		"unparseable request": {func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
			out.Request(crawl.Get("http://[::1"))
			return nil
		}, "http://[::1"},
		"its own": {func(context.Context, *crawl.Response, *crawl.Out) error { return errors.New("no price") }, "no price"},
		"not an item": {func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
			out.Item("text")
			return nil
		}, "item is a string"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spider := &crawl.Spider{
				Name: "errs", StartURLs: []string{"http://example.com/"}, Parse: test.parse,
				Routes: map[string]crawl.Callback{"detail": titles, "list": titles},
			}
			res := crawltest.Run(t, spider, crawl.Settings{}, crawltest.Handler(pages(map[string][]string{"/": nil})))
			require.Equal(t, "finished", res.Reason)
			require.EqualValues(t, 1, res.Stats.Int("spider_exceptions/count"))
			logged := res.Log.FilterMessage("callback failed").All()
			require.Len(t, logged, 1)
			require.Contains(t, logged[0].ContextMap()["error"], test.want)
			require.Contains(t, logged[0].ContextMap()["page"], "http://example.com/")
		})
	}
}

// TestPlaceIsFreeBeforeTheCallback has one place at the host, and a callback that waits for another page of it.
func TestPlaceIsFreeBeforeTheCallback(t *testing.T) {
	t.Parallel()
	second := make(chan struct{})
	spider := &crawl.Spider{
		Name: "places", StartURLs: []string{"http://example.com/1", "http://example.com/2"},
		Parse: func(_ context.Context, r *crawl.Response, _ *crawl.Out) error {
			if r.URL.Path == "/2" {
				close(second)
				return nil
			}
			<-second
			return nil
		},
	}
	site := crawltest.Handler(pages(map[string][]string{"/1": nil, "/2": nil}))
	res := crawltest.Run(t, spider, crawl.Settings{ConcurrentPerHost: 1, ConcurrentRequests: 1}, site)
	require.Equal(t, "finished", res.Reason)
	require.Equal(t, 1, site.MostAtOnce("example.com"))
}

// TestLinksLeaveWhileTheCallbackRuns has a callback that waits for the page it has just asked for.
func TestLinksLeaveWhileTheCallbackRuns(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	spider := &crawl.Spider{
		Name: "links", StartURLs: []string{"http://example.com/1"},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			if r.URL.Path == "/2" {
				close(next)
				return nil
			}
			out.Follow("/2", "")
			<-next
			return nil
		},
	}
	res := crawltest.Run(t, spider, crawl.Settings{}, crawltest.Handler(pages(map[string][]string{"/1": nil, "/2": nil})))
	require.Equal(t, "finished", res.Reason)
}

func TestReschedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var times []time.Time
		spider := &crawl.Spider{
			Name: "again", StartURLs: []string{"http://example.com/"},
			Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
				times = append(times, time.Now())
				if len(times) < 3 {
					return crawl.Reschedule(r.Request, time.Hour, "not yet")
				}
				out.Item(map[string]any{"title": "done"})
				return crawl.Reschedule(r.Request, time.Hour, "too late")
			},
		}
		res := crawltest.Run(t, spider, crawl.Settings{}, crawltest.Handler(pages(map[string][]string{"/": nil})))
		require.Len(t, res.Items, 1)
		require.Len(t, times, 3)
		require.Equal(t, time.Hour, times[1].Sub(times[0]))
		require.Equal(t, time.Hour, times[2].Sub(times[1]))
		require.EqualValues(t, 1, res.Stats.Int("spider_exceptions/count"), "after the first output it is an error")
	})
}

func TestCloseSpider(t *testing.T) {
	t.Parallel()
	links := map[string][]string{}
	for i := range 1000 {
		links[fmt.Sprintf("/%d", i)] = []string{fmt.Sprintf("/%d", i+1), fmt.Sprintf("/%d", i+2)}
	}
	var n atomic.Int32
	spider := &crawl.Spider{Name: "enough", StartURLs: []string{"http://example.com/0"}, Parse: func(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
		if n.Add(1) == 10 {
			return crawl.CloseSpider("enough")
		}
		return titles(ctx, r, out)
	}}
	res := crawltest.Run(t, spider, crawl.Settings{}, crawltest.Handler(pages(links)))
	require.NoError(t, res.Err)
	require.Equal(t, "enough", res.Reason)
	require.Less(t, len(res.Asked), 50)
}

func TestStartIsReadLazily(t *testing.T) {
	t.Parallel()
	var produced atomic.Int64
	spider := &crawl.Spider{
		Name: "lazy",
		Start: func(_ context.Context, out *crawl.Out) error {
			for i := range 100_000 {
				if !out.Request(crawl.Get(fmt.Sprintf("http://example.com/%d", i))) {
					return nil
				}
				produced.Add(1)
			}
			return nil
		},
		Parse: func(context.Context, *crawl.Response, *crawl.Out) error { return nil },
	}
	site := crawltest.Handler(pages(nil))
	held := site.Hold("/0")
	e, wait := crawltest.Start(t, spider, crawl.Settings{
		ConcurrentRequests: 4, ConcurrentPerHost: 1, Robots: crawl.RobotsSettings{Ignore: true}, Start: crawl.StartSettings{Ahead: 200},
	}, site)
	held.Wait()
	require.Eventually(t, func() bool { return e.Snapshot().Queue.Queued >= 200 }, time.Minute, time.Millisecond)
	require.Less(t, produced.Load(), int64(400), "Start waits while enough is queued")
	e.Stop("seen enough")
	held.Release()
	res := wait()
	require.Equal(t, "seen enough", res.Reason)
}

func TestStartError(t *testing.T) {
	t.Parallel()
	spider := &crawl.Spider{
		Name: "starts",
		Start: func(_ context.Context, out *crawl.Out) error {
			out.Request(crawl.Get("http://example.com/"))
			return errors.New("the list is gone")
		},
		Parse: titles,
	}
	res := crawltest.Run(t, spider, crawl.Settings{}, crawltest.Handler(pages(map[string][]string{"/": {"/a"}, "/a": nil})))
	require.Equal(t, "start_error", res.Reason)
	require.Equal(t, []string{"/", "/a"}, itemTitles(res), "what was asked is done")
}

func TestBadStartURLFailsAlone(t *testing.T) {
	t.Parallel()
	spider := &crawl.Spider{Name: "bad", StartURLs: []string{"http://[bad", "example.com", "http://example.com/"}, Parse: titles}
	res := crawltest.Run(t, spider, crawl.Settings{}, crawltest.Handler(pages(map[string][]string{"/": nil})))
	require.Equal(t, "finished", res.Reason)
	require.Len(t, res.Items, 1)
	require.EqualValues(t, 2, res.Stats.Int("start/bad_url_count"))
	require.Contains(t, res.Log.FilterMessage("start URL skipped").All()[0].ContextMap()["error"], "http://[bad")
}

func TestErrback(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var failed []string
	spider := &crawl.Spider{
		Name: "errback", StartURLs: []string{"http://example.com/"}, AllowedDomains: []string{"example.com"}, Parse: titles,
		Errback: func(_ context.Context, req *crawl.Request, err error, out *crawl.Out) error {
			mu.Lock()
			defer mu.Unlock()
			var status *crawl.StatusError
			if errors.As(err, &status) {
				body, rerr := status.Response.Bytes()
				require.NoError(t, rerr)
				failed = append(failed, fmt.Sprintf("%s %d %s", req.URL.Path, status.Response.Status, strings.TrimSpace(string(body))))
				out.Item(map[string]any{"title": "from errback"})
			}
			return nil
		},
	}
	res := crawltest.Run(t, spider, crawl.Settings{}, crawltest.Handler(pages(map[string][]string{"/": {"/missing", "http://other.example/"}})))
	require.Equal(t, "finished", res.Reason)
	require.Equal(t, []string{"/missing 404 404 page not found"}, failed)
	require.Equal(t, []string{"/", "from errback"}, itemTitles(res))
	require.EqualValues(t, 1, res.Stats.Int("offsite/filtered"))
}

func TestStopFinishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	site := crawltest.Handler(pages(map[string][]string{"/": {"/next"}, "/next": nil}))
	held := site.Hold("/")
	spider := &crawl.Spider{Name: "stops", StartURLs: []string{"http://example.com/"}, Parse: titles}
	e, wait := crawltest.Start(t, spider, crawl.Settings{}, site)
	held.Wait()
	e.Stop("enough for today")
	held.Release()
	res := wait()
	require.Equal(t, "enough for today", res.Reason)
	require.Equal(t, []string{"/"}, itemTitles(res))
	require.Equal(t, []string{"http://example.com/"}, res.Asked, "nothing new is asked")
}

// TestStopLeavesBehind has a callback and a Start that never look at anything.
func TestStopLeavesBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		deaf := make(chan struct{})
		inside := make(chan struct{})
		spider := &crawl.Spider{
			Name: "deaf",
			Start: func(_ context.Context, out *crawl.Out) error {
				out.Request(crawl.Get("http://example.com/"))
				<-deaf
				return nil
			},
			Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
				close(inside)
				<-deaf
				out.Item(map[string]any{"title": "too late"})
				return nil
			},
		}
		e, wait := crawltest.Start(t, spider, crawl.Settings{StopTimeout: time.Minute}, crawltest.Handler(pages(map[string][]string{"/": nil})))
		<-inside
		began := time.Now()
		e.Stop("enough")
		res := wait()
		require.Equal(t, "enough", res.Reason)
		require.Equal(t, time.Minute, time.Since(began))
		require.Len(t, res.Log.FilterMessage("left behind: it does not return").All(), 2)
		close(deaf)
		synctest.Wait()
		require.Empty(t, res.Items)
	})
}

// TestContextStopsThenKills: engine.Run's context asks for a stop; after StopTimeout all that is left is ended.
func TestContextStopsThenKills(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		never := func(ctx context.Context, _ *crawl.Request) (*crawl.Response, error) {
			cancel()
			<-ctx.Done()
			return nil, ctx.Err()
		}
		settings := crawl.Settings{StopTimeout: time.Minute, Parts: crawl.Parts{Handlers: map[string]crawl.OpenHandler{
			"never": func(*crawl.Env) (crawl.Fetcher, error) { return crawl.FetcherFunc(never), nil },
		}}}
		spider := &crawl.Spider{Name: "hangs", StartURLs: []string{"never://example.com/"}, Parse: titles}
		began := time.Now()
		res, err := engine.Run(ctx, spider, settings)
		require.NoError(t, err)
		require.Equal(t, "shutdown", res.Reason)
		require.Equal(t, time.Minute, time.Since(began))
	})
}

func TestEngineRunsOnce(t *testing.T) {
	t.Parallel()
	spider := &crawl.Spider{Name: "twice", StartURLs: []string{"data:,x"}, Parse: func(context.Context, *crawl.Response, *crawl.Out) error { return nil }}
	e, err := engine.New(spider, crawl.Settings{})
	require.NoError(t, err)
	_, err = e.Run(t.Context())
	require.NoError(t, err)
	_, err = e.Run(t.Context())
	require.ErrorContains(t, err, "once")
	require.Equal(t, "closed", e.Snapshot().State)
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Handler(pages(map[string][]string{"/": {"/a"}, "/a": nil}))
		held := site.Hold("example.com/")
		spider := &crawl.Spider{Name: "pauses", StartURLs: []string{"http://example.com/"}, Parse: titles}
		e, wait := crawltest.Start(t, spider, crawl.Settings{}, site)
		held.Wait()
		e.Pause()
		held.Release()
		time.Sleep(time.Hour)
		snap := e.Snapshot()
		require.Equal(t, "paused", snap.State)
		require.Equal(t, 1, snap.Queue.Queued)
		require.Len(t, site.AskedURLs(), 1)
		e.Resume()
		res := wait()
		require.Equal(t, "finished", res.Reason)
		require.Len(t, res.Items, 2)
	})
}

func TestSpiderIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		settings := crawl.Settings{}
		settings.Trace.SpiderIdle = func(_ context.Context, out *crawl.Out) error {
			asked++
			switch asked {
			case 1:
				out.Request(crawl.Get("http://example.com/more"))
				return nil
			case 2, 3:
				return crawl.ErrDontClose
			}
			return crawl.CloseSpider("nothing comes")
		}
		spider := &crawl.Spider{Name: "idle", StartURLs: []string{"http://example.com/"}, Parse: titles}
		began := time.Now()
		res := crawltest.Run(t, spider, settings, crawltest.Handler(pages(map[string][]string{"/": nil, "/more": nil})))
		require.Equal(t, "nothing comes", res.Reason)
		require.Equal(t, []string{"/", "/more"}, itemTitles(res))
		require.Equal(t, 4, asked)
		require.Equal(t, 2*time.Second, time.Since(began))
	})
}

func TestDelayHoldsOnTheWire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		links := map[string][]string{"/": {"/1", "/2", "/3"}, "/1": nil, "/2": nil, "/3": nil}
		site := crawltest.Handler(pages(links))
		spider := &crawl.Spider{Name: "slow", StartURLs: []string{"http://a.example/", "http://b.example/"}, Parse: titles}
		began := time.Now()
		res := crawltest.Run(t, spider, crawl.Settings{DownloadDelay: time.Minute, FixedDelay: true}, site)
		require.Len(t, res.Items, 8)
		for _, host := range []string{"a.example", "b.example"} {
			at := site.Arrivals(host)
			require.Len(t, at, 5, "robots.txt and four pages")
			for i := 1; i < len(at); i++ {
				require.GreaterOrEqual(t, at[i].Sub(at[i-1]), time.Minute, "request %d of %s", i, host)
			}
		}
		require.Equal(t, 4*time.Minute, time.Since(began), "the hosts do not wait for each other")
	})
}

func TestCrawlDelayOfRobots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/robots.txt" {
				fmt.Fprint(w, "User-agent: *\nCrawl-delay: 30\nDisallow: /private\n")
				return
			}
			pages(map[string][]string{"/": {"/1", "/private", "/2"}, "/1": nil, "/2": nil, "/private": nil}).ServeHTTP(w, r)
		}))
		spider := &crawl.Spider{Name: "polite", StartURLs: []string{"http://a.example/"}, Parse: titles}
		res := crawltest.Run(t, spider, crawl.Settings{FixedDelay: true}, site)
		require.Equal(t, []string{"/", "/1", "/2"}, itemTitles(res))
		require.EqualValues(t, 1, res.Stats.Int("robotstxt/forbidden"))
		at := site.Arrivals("a.example")
		require.Len(t, at, 4)
		for i := 1; i < len(at); i++ {
			require.GreaterOrEqual(t, at[i].Sub(at[i-1]), 30*time.Second)
		}
	})
}

func TestLimitsHoldOnTheWire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) }))
		spider := &crawl.Spider{
			Name: "limits",
			Start: func(_ context.Context, out *crawl.Out) error {
				for i := range 60 {
					out.Request(crawl.Get(fmt.Sprintf("http://h%d.example/%d", i%3, i)))
				}
				return nil
			},
			Parse: func(context.Context, *crawl.Response, *crawl.Out) error { return nil },
		}
		settings := crawl.Settings{
			ConcurrentRequests: 10, ConcurrentPerHost: 4, Robots: crawl.RobotsSettings{Ignore: true},
			Slots: map[string]crawl.Limits{"h2.example": {Concurrency: 1}},
		}
		res := crawltest.Run(t, spider, settings, site)
		require.EqualValues(t, 60, res.Stats.Int("response_received_count"))
		require.Equal(t, 4, site.MostAtOnce("h0.example"))
		require.Equal(t, 4, site.MostAtOnce("h1.example"))
		require.Equal(t, 1, site.MostAtOnce("h2.example"))
		require.LessOrEqual(t, site.MostAtOnce(""), 10)
	})
}

func TestRetryBacksOffWithoutHoldingAPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/flaky" {
				if tries++; tries < 3 {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
			}
			fmt.Fprintf(w, "<h1>%s</h1>", r.URL.Path)
		}))
		spider := &crawl.Spider{Name: "retries", StartURLs: []string{"http://example.com/flaky", "http://example.com/b"}, Parse: titles}
		res := crawltest.Run(t, spider, crawl.Settings{ConcurrentPerHost: 1, Retry: crawl.RetrySettings{BackOff: time.Minute}}, site)
		require.Equal(t, []string{"/b", "/flaky"}, itemTitles(res))
		require.EqualValues(t, 2, res.Stats.Int("retry/count"))
		require.Equal(t, "http://example.com/b", res.Asked[1], "the other page does not wait for the back-off")
		at := site.Arrivals("example.com")
		require.GreaterOrEqual(t, at[len(at)-1].Sub(at[0]), time.Minute, "two waits of half a minute at least")
	})
}

func TestRetryAfterHoldsTheHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := true
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if first && r.Host == "busy.example" {
				first = false
				w.Header().Set("Retry-After", "120")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			fmt.Fprintf(w, "<h1>%s</h1>", r.URL.Path)
		}))
		spider := &crawl.Spider{
			Name: "holds", StartURLs: []string{"http://busy.example/1", "http://busy.example/2", "http://free.example/3"}, Parse: titles,
		}
		began := time.Now()
		res := crawltest.Run(t, spider, crawl.Settings{ConcurrentPerHost: 1, Robots: crawl.RobotsSettings{Ignore: true}}, site)
		require.Equal(t, []string{"/1", "/2", "/3"}, itemTitles(res))
		busy := site.Arrivals("busy.example")
		require.GreaterOrEqual(t, busy[1].Sub(busy[0]), 2*time.Minute)
		require.Less(t, site.Arrivals("free.example")[0].Sub(began), time.Second)
	})
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := map[string]string{
			"a.example/moved": "http://b.example/new", "a.example/dup": "http://a.example/", "a.example/login": "/login2?back=1", "a.example/login2": "/login",
			"a.example/loop": "/loop",
		}[r.Host+r.URL.Path]
		if r.URL.Path == "/login" {
			if _, err := r.Cookie("in"); err == nil {
				to = ""
			}
		}
		if r.URL.Path == "/login2" {
			http.SetCookie(w, &http.Cookie{Name: "in", Value: "1"})
		}
		if to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		pages(map[string][]string{"/": {"/moved", "/dup", "/login", "/loop"}, "/new": nil, "/login": nil}).ServeHTTP(w, r)
	}))
	spider := &crawl.Spider{Name: "redirects", StartURLs: []string{"http://a.example/"}, Parse: titles}
	res := crawltest.Run(t, spider, crawl.Settings{Redirect: crawl.RedirectSettings{Times: 5}}, site)
	require.Equal(t, "finished", res.Reason)
	require.Equal(t, []string{"/", "/login", "/new"}, itemTitles(res), "a redirect to what was seen is a duplicate; back to its own beginning is not")
}

func TestBadServersDoNotEndTheCrawl(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/never":
				<-r.Context().Done()
			case "/short":
				w.Header().Set("Content-Length", "1000")
				fmt.Fprint(w, "cut")
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			case "/picture":
				w.Header().Set("Content-Type", "text/html")
				fmt.Fprint(w, "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
			default:
				pages(map[string][]string{"/": {"/never", "/short", "/picture", "/good", "http://[broken", "javascript:void(0)"}, "/good": nil}).ServeHTTP(w, r)
			}
		}))
		spider := &crawl.Spider{Name: "bad", StartURLs: []string{"http://example.com/"}, Parse: titles}
		res := crawltest.Run(t, spider, crawl.Settings{Download: crawl.DownloadSettings{Timeout: time.Minute}}, site)
		require.Equal(t, "finished", res.Reason)
		require.Contains(t, itemTitles(res), "/good")
		why := map[string]string{}
		for _, entry := range res.Log.FilterMessage("download failed").All() {
			why[entry.ContextMap()["page"].(string)] = entry.ContextMap()["error"].(string)
		}
		require.Len(t, why, 2)
		require.Contains(t, why["<GET http://example.com/never>"], "timeout")
		require.Contains(t, why["<GET http://example.com/short>"], "truncated")
		require.EqualValues(t, 2, res.Stats.Int("link/skipped_count"))
		notHTML := res.Log.FilterMessage("callback failed").All()
		require.Len(t, notHTML, 1)
		require.Contains(t, notHTML[0].ContextMap()["error"], "image/png")
	})
}

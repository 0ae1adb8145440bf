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
	"github.com/tulle-go/tulle/engine/crawltest"
)

// fetching is a stage that asks for the URLs of an item's field "want" and keeps the bodies, or errors, in "got".
type fetching struct{ fetcher crawl.Fetcher }

func (fetching) Open(_ context.Context, env *crawl.Env) (crawl.Pipeline, error) {
	return fetching{env.Fetcher}, nil
}

func (f fetching) Process(ctx context.Context, item any) (any, error) {
	m := item.(map[string]any)
	want, _ := m["want"].([]string)
	got := make([]string, len(want))
	var wg sync.WaitGroup
	for i, u := range want {
		wg.Add(1)
		f.fetcher.(crawl.Submitter).Submit(ctx, crawl.Get(u), func(resp *crawl.Response, err error) {
			defer wg.Done()
			if err != nil {
				got[i] = "error: " + err.Error()
				return
			}
			b, _ := resp.Bytes()
			got[i] = fmt.Sprintf("%d %s", resp.Status, b)
			_ = resp.Close()
		})
	}
	wg.Wait()
	m["got"] = got
	return m, nil
}

// fetchStages are the settings of a crawl whose items ask for media, polite to no one.
func fetchStages() crawl.Settings {
	return crawl.Settings{
		Robots:        crawl.RobotsSettings{Ignore: true},
		ItemPipelines: []crawl.Stage{{Order: 1, Pipeline: fetching{}}},
	}
}

func TestMediaGoesThroughTheMiddlewares(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/moved":
				http.Redirect(w, r, "http://cdn.example/pic", http.StatusFound)
			case "/flaky":
				if tries.Add(1) == 1 {
					w.WriteHeader(http.StatusBadGateway)
					return
				}
				fmt.Fprint(w, "healed")
			case "/pic":
				fmt.Fprint(w, r.Header.Get("User-Agent"))
			case "/missing":
				http.NotFound(w, r)
			}
		}))
		spider := &crawl.Spider{Name: "media", StartURLs: []string{"http://example.com/"}, AllowedDomains: []string{"example.com", "cdn.example"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
			out.Item(map[string]any{"want": []string{
				"http://cdn.example/pic", "http://example.com/moved", "http://example.com/flaky", "http://example.com/missing", "http://[bad", "gopher://example.com/",
			}})
			return nil
		}}
		settings := fetchStages()
		settings.UserAgent = "tester"
		res := crawltest.Run(t, spider, settings, site)
		require.Len(t, res.Items, 1)
		got := res.Items[0].(map[string]any)["got"].([]string)
		require.Equal(t, []string{"200 tester", "200 tester", "200 healed"}, got[:3])
		require.True(t, strings.HasPrefix(got[3], "404"), got[3])
		require.Contains(t, got[4], "http://[bad")
		require.Contains(t, got[5], "gopher")
		require.Equal(t, "finished", res.Reason)
	})
}

// TestMediaStandsAheadOfPages holds the host's one place while pages and media queue up behind it.
func TestMediaStandsAheadOfPages(t *testing.T) {
	t.Parallel()
	site := crawltest.Handler(pages(map[string][]string{"/": {"/1", "/2", "/3"}, "/1": nil, "/2": nil, "/3": nil, "/pic": nil}))
	held := site.Hold("/2") // /3 is asked first, then /2
	spider := &crawl.Spider{Name: "ahead", StartURLs: []string{"http://example.com/"}, Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
		if r.URL.Path == "/" {
			out.FollowAll("a", "")
		}
		if r.URL.Path == "/3" {
			held.Wait()
			out.Item(map[string]any{"want": []string{"http://example.com/pic"}})
		}
		return nil
	}}
	settings := fetchStages()
	settings.ConcurrentPerHost = 1
	e, wait := crawltest.Start(t, spider, settings, site)
	require.Eventually(t, func() bool { return e.Snapshot().Media == 1 }, 5*time.Second, time.Millisecond)
	held.Release()
	res := wait()
	require.Equal(t, []string{"http://example.com/", "http://example.com/3", "http://example.com/2", "http://example.com/pic", "http://example.com/1"}, res.Asked)
}

func TestMediaKeepsTheLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) }))
		spider := &crawl.Spider{
			Name: "limits",
			Start: func(_ context.Context, out *crawl.Out) error {
				for i := range 10 {
					want := make([]string, 0, 40)
					for j := range 20 {
						want = append(want, fmt.Sprintf("http://one.example/%d/%d", i, j), fmt.Sprintf("http://h%d.example/%d", j, i))
					}
					out.Item(map[string]any{"want": want})
					out.Request(crawl.Get(fmt.Sprintf("http://one.example/page/%d", i)))
				}
				return nil
			},
			Parse: func(context.Context, *crawl.Response, *crawl.Out) error { return nil },
		}
		settings := fetchStages()
		settings.ConcurrentRequests, settings.ConcurrentPerHost = 12, 3
		res := crawltest.Run(t, spider, settings, site)
		require.Len(t, res.Items, 10)
		require.EqualValues(t, 410, res.Stats.Int("response_received_count"))
		require.Equal(t, 3, site.MostAtOnce("one.example"), "pages and media together")
		require.Equal(t, 12, site.MostAtOnce(""))
	})
}

func TestMediaObeysTheDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		spider := &crawl.Spider{
			Name: "delays",
			Start: func(_ context.Context, out *crawl.Out) error {
				out.Item(map[string]any{"want": []string{"http://a.example/1", "http://a.example/2", "http://a.example/3", "http://b.example/1"}})
				return nil
			},
		}
		settings := fetchStages()
		settings.DownloadDelay, settings.FixedDelay = time.Minute, true
		crawltest.Run(t, spider, settings, site)
		at := site.Arrivals("a.example")
		require.Len(t, at, 3)
		require.Equal(t, 2*time.Minute, at[2].Sub(at[0]))
		require.Equal(t, at[0], site.Arrivals("b.example")[0])
	})
}

// TestWhoeverAskedMayLeave has ten items that wait for a host that does not answer: one at the host for a minute, nine in the queue for less.
func TestWhoeverAskedMayLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		errs := make(chan error, 100)
		var first atomic.Bool
		settings := crawl.Settings{Robots: crawl.RobotsSettings{Ignore: true}, ConcurrentPerHost: 1, ItemPipelines: []crawl.Stage{
			{Pipeline: opener(func(env *crawl.Env) crawl.Pipeline {
				return process(func(ctx context.Context, item any) (any, error) {
					patience := time.Minute
					if first.Swap(true) {
						time.Sleep(time.Second) // the first is there by now
						patience = 30 * time.Second
					}
					ctx, cancel := context.WithTimeout(ctx, patience)
					defer cancel()
					_, err := env.Fetcher.Fetch(ctx, crawl.Get(fmt.Sprintf("http://a.example/%v", item.(map[string]any)["n"])))
					errs <- err
					return item, nil
				})
			})},
		}}
		spider := &crawl.Spider{Name: "leaves", Start: func(_ context.Context, out *crawl.Out) error {
			for i := range 10 {
				out.Item(map[string]any{"n": i})
			}
			return nil
		}}
		began := time.Now()
		res := crawltest.Run(t, spider, settings, site)
		require.Equal(t, time.Minute, time.Since(began))
		require.Len(t, res.Items, 10)
		for range 10 {
			require.ErrorIs(t, <-errs, context.DeadlineExceeded)
		}
		require.Len(t, res.Asked, 1, "nine never left the queue")
	})
}

type process func(context.Context, any) (any, error)

func (p process) Process(ctx context.Context, item any) (any, error) { return p(ctx, item) }

type opener func(*crawl.Env) crawl.Pipeline

func (o opener) Open(_ context.Context, env *crawl.Env) (crawl.Pipeline, error) { return o(env), nil }
func (o opener) Process(context.Context, any) (any, error)                      { return nil, errors.New("not open") }

// TestStopWaitsForMedia stops a crawl whose item waits for its media.
func TestStopWaitsForMedia(t *testing.T) {
	t.Parallel()
	site := crawltest.Handler(pages(map[string][]string{"/": nil, "/pic": nil}))
	held := site.Hold("/pic")
	spider := &crawl.Spider{Name: "stops", StartURLs: []string{"http://example.com/"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
		out.Item(map[string]any{"want": []string{"http://example.com/pic"}})
		return nil
	}}
	e, wait := crawltest.Start(t, spider, fetchStages(), site)
	held.Wait()
	e.Stop("enough")
	held.Release()
	res := wait()
	require.Equal(t, "enough", res.Reason)
	require.Len(t, res.Items, 1)
	require.Contains(t, res.Items[0].(map[string]any)["got"].([]string)[0], "200")
}

// TestItemsHoldCallbacksBack lets one item into the pipelines at a time.
func TestItemsHoldCallbacksBack(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int32
	settings := crawl.Settings{ConcurrentItems: 2, ItemPipelines: []crawl.Stage{{Pipeline: process(func(_ context.Context, item any) (any, error) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond)
		now.Add(-1)
		return item, nil
	})}}}
	spider := &crawl.Spider{Name: "many", StartURLs: []string{"http://example.com/"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
		for i := range 50 {
			out.Item(map[string]any{"n": i})
		}
		return nil
	}}
	res := crawltest.Run(t, spider, settings, crawltest.Handler(pages(map[string][]string{"/": nil})))
	require.Len(t, res.Items, 50)
	require.LessOrEqual(t, most.Load(), int32(2))
}

func TestItemOutcomes(t *testing.T) {
	t.Parallel()
	var scraped, dropped, failed []string
	var mu sync.Mutex
	note := func(list *[]string, item any) {
		mu.Lock()
		defer mu.Unlock()
		*list = append(*list, item.(map[string]any)["n"].(string))
	}
	settings := crawl.Settings{
		ItemPipelines: []crawl.Stage{
			{Order: 2, Pipeline: process(func(_ context.Context, item any) (any, error) {
				item.(map[string]any)["second"] = true
				return item, nil
			})},
			{Order: 1, Pipeline: process(func(ctx context.Context, item any) (any, error) {
				require.Equal(t, "http://example.com/", crawl.Origin(ctx).URL.String())
				switch item.(map[string]any)["n"] {
				case "drop":
					return nil, crawl.DropItem("no price")
				case "fail":
					return nil, errors.New("broken")
				case "panic":
					panic("oh")
				}
				return item, nil
			})},
		},
		Trace: crawl.Trace{
			ItemScraped: func(_ context.Context, item any) { note(&scraped, item) },
			ItemDropped: func(_ context.Context, item any, _ error) { note(&dropped, item) },
			ItemError:   func(_ context.Context, item any, _ error) { note(&failed, item) },
		},
	}
	spider := &crawl.Spider{Name: "fates", StartURLs: []string{"http://example.com/"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
		for _, n := range []string{"good", "drop", "fail", "panic"} {
			out.Item(map[string]any{"n": n})
		}
		return nil
	}}
	res := crawltest.Run(t, spider, settings, crawltest.Handler(pages(map[string][]string{"/": nil})))
	require.Equal(t, []string{"good"}, scraped)
	require.Equal(t, []string{"drop"}, dropped)
	slices.Sort(failed)
	require.Equal(t, []string{"fail", "panic"}, failed)
	require.Equal(t, map[string]any{"n": "good", "second": true}, res.Items[0], "stages run by their order")
	require.EqualValues(t, 1, res.Stats.Int("item_dropped_reasons_count/no price"))
	require.EqualValues(t, 2, res.Stats.Int("item_error_count"))
}

// TestFlushBeforeAcknowledgement has a stage that keeps items back; its Flush is called before the crawl is over, also when it is stopped.
func TestFlushBeforeAcknowledgement(t *testing.T) {
	t.Parallel()
	st := &keeping{}
	settings := crawl.Settings{ItemPipelines: []crawl.Stage{{Pipeline: opener(func(*crawl.Env) crawl.Pipeline { return st })}}}
	spider := &crawl.Spider{Name: "flush", StartURLs: []string{"http://example.com/"}, Parse: titles}
	res := crawltest.Run(t, spider, settings, crawltest.Handler(pages(map[string][]string{"/": {"/1", "/2"}, "/1": nil, "/2": nil})))
	require.NoError(t, res.Err)
	require.Equal(t, 3, st.safe)
	require.True(t, st.closed)
}

type keeping struct {
	mu         sync.Mutex
	kept, safe int
	closed     bool
}

func (k *keeping) Process(_ context.Context, item any) (any, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept++
	return item, nil
}

func (k *keeping) Flush(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.safe, k.kept = k.safe+k.kept, 0
	return nil
}

func (k *keeping) Close() error {
	k.closed = true
	return nil
}

func TestFlushThatFailsEndsTheCrawl(t *testing.T) {
	t.Parallel()
	settings := crawl.Settings{ItemPipelines: []crawl.Stage{{Pipeline: opener(func(*crawl.Env) crawl.Pipeline { return fullDisk{} })}}}
	spider := &crawl.Spider{Name: "full", StartURLs: []string{"http://example.com/"}, Parse: titles}
	res := crawltest.Run(t, spider, settings, crawltest.Handler(pages(map[string][]string{"/": {"/1"}, "/1": nil})))
	require.ErrorContains(t, res.Err, "disk is full")
	require.Equal(t, "error", res.Reason)
}

type fullDisk struct{}

func (fullDisk) Process(_ context.Context, item any) (any, error) { return item, nil }
func (fullDisk) Flush(context.Context) error                      { return errors.New("the disk is full") }

// TestAThousandSubmissions keeps as many at work as the host allows, from the first to the last.
func TestAThousandSubmissions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) }))
		want := make([]string, 1000)
		for i := range want {
			want[i] = fmt.Sprintf("http://a.example/%d", i)
		}
		spider := &crawl.Spider{Name: "thousand", Start: func(_ context.Context, out *crawl.Out) error {
			out.Item(map[string]any{"want": want})
			return nil
		}}
		settings := fetchStages()
		settings.ConcurrentPerHost = 10
		began := time.Now()
		res := crawltest.Run(t, spider, settings, site)
		require.Len(t, res.Items, 1)
		require.Equal(t, 100*time.Second, time.Since(began), "ten at a time, none idle")
		require.Equal(t, 10, site.MostAtOnce("a.example"))
	})
}

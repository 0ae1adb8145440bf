package engine_test

import (
	"context"
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
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

// asks is a spider whose Start asks for URLs, after some time each, and whose pages give nothing.
func asks(after time.Duration, urls ...string) *crawl.Spider {
	return &crawl.Spider{
		Name: "asks",
		Start: func(_ context.Context, out *crawl.Out) error {
			for i, u := range urls {
				if i > 0 {
					time.Sleep(after)
				}
				out.Request(crawl.Get(u))
			}
			return nil
		},
		Parse: func(context.Context, *crawl.Response, *crawl.Out) error { return nil },
	}
}

// arrivals are what was asked, with the time since the first.
func arrivals(site crawltest.Site) (list []string) {
	all := site.Asked()
	for _, a := range all {
		list = append(list, fmt.Sprint(a.At.Sub(all[0].At), " ", a.URL))
	}
	return list
}

// TestHostsWithoutRobotsHoldNobodyUp has as many hosts that refuse connections, or whose robots.txt fails, as good ones, and in one slot as in many.
func TestHostsWithoutRobotsHoldNobodyUp(t *testing.T) {
	t.Parallel()
	for _, slot := range []string{"", "shared"} {
		for _, refuse := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				const n = 320
				var mu sync.Mutex
				var last time.Time // that a good page was asked
				good := make(map[string]int)
				site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					defer mu.Unlock()
					if strings.HasPrefix(r.Host, "bad") {
						w.WriteHeader(http.StatusServiceUnavailable)
					} else if r.URL.Path != "/robots.txt" {
						last = time.Now()
						good[r.Host]++
					}
				}))
				spider := asks(0)
				spider.Start = func(_ context.Context, out *crawl.Out) error {
					for i := range n {
						for _, kind := range []string{"bad", "good"} {
							host := fmt.Sprintf("%s%d.example", kind, i)
							if kind == "bad" && refuse {
								site.Refuse(host, nil)
							}
							out.Request(crawl.Get("http://"+host+"/", func(r *crawl.Request) { r.Knobs = &crawl.Knobs{Slot: slot} }))
						}
					}
					return nil
				}
				begun := time.Now()
				res := crawltest.Run(t, spider, crawl.Settings{}, site)
				require.Equal(t, "finished", res.Reason)
				require.Len(t, good, n)
				for host, times := range good {
					require.Equal(t, 1, times, host)
				}
				if slot == "" {
					require.Less(t, last.Sub(begun), 5*time.Second)
				} else {
					require.Less(t, last.Sub(begun), 30*time.Second, "64 of them at once")
				}
				require.EqualValues(t, n, res.Stats.Int("page_failed_count"))
				require.EqualValues(t, n, res.Stats.Int("robotstxt/unread"))
				require.EqualValues(t, 2*n, res.Stats.Int("robotstxt/request_count"), "each is asked for once")
			})
		}
	}
}

// TestRobotsKeepsToTheDelay has a file that is elsewhere on its host, for requests with two names, and a day later.
func TestRobotsKeepsToTheDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/robots.txt" {
				http.Redirect(w, r, "/robots2.txt", http.StatusMovedPermanently)
			}
		}))
		spider := asks(25*time.Hour, "http://h.example/1", "http://h.example/2")
		start := spider.Start
		spider.Start = func(ctx context.Context, out *crawl.Out) error {
			out.Request(crawl.Get("http://h.example/own", func(r *crawl.Request) { r.Header = http.Header{"User-Agent": {"Other/1.0"}} }))
			return start(ctx, out)
		}
		crawltest.Run(t, spider, crawl.Settings{DownloadDelay: 10 * time.Second, FixedDelay: true}, site)
		require.Equal(t, []string{
			"0s http://h.example/robots.txt", "10s http://h.example/robots2.txt", "20s http://h.example/own", // as Other
			"30s http://h.example/robots.txt", "40s http://h.example/robots2.txt", "50s http://h.example/1",
			"25h0m0s http://h.example/robots.txt", "25h0m10s http://h.example/robots2.txt", "25h0m20s http://h.example/2",
		}, arrivals(site))
	})
}

// TestRobotsElsewhereTakesAPlaceThere has many hosts whose robots.txt is at one, which is asked for nothing else.
func TestRobotsElsewhereTakesAPlaceThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(5 * time.Second)
			if r.URL.Path == "/robots.txt" && r.Host != "central.example" {
				http.Redirect(w, r, "http://central.example/"+r.Host, http.StatusMovedPermanently)
				return
			}
			fmt.Fprint(w, "User-agent: *\nDisallow: /secret")
		}))
		var urls []string
		for i := range 32 {
			urls = append(urls, fmt.Sprintf("http://h%d.example/", i), fmt.Sprintf("http://h%d.example/secret", i))
		}
		res := crawltest.Run(t, asks(0, urls...), crawl.Settings{ConcurrentRequests: 64, ConcurrentPerHost: 2, DownloadDelay: 2 * time.Second, FixedDelay: true}, site)
		require.Equal(t, "finished", res.Reason)
		require.Equal(t, 1, site.MostAtOnce("central.example"), "it is not open")
		require.Len(t, site.Arrivals("central.example"), 32)
		for _, gap := range gaps(site, "central.example") {
			require.GreaterOrEqual(t, gap, 2*time.Second)
		}
		require.EqualValues(t, 32, res.Stats.Int("robotstxt/forbidden"))
		require.EqualValues(t, 32, res.Stats.Int("page_count"))
	})
}

// TestRobotsOfEachOther has hosts whose robots.txt are at each other's: none waits for another's place.
func TestRobotsOfEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			if r.URL.Path == "/robots.txt" {
				http.Redirect(w, r, map[string]string{"a.example": "http://b.example/a", "b.example": "http://a.example/b"}[r.Host], http.StatusMovedPermanently)
			}
		}))
		begun := time.Now()
		res := crawltest.Run(t, starts("a.example b.example", 5), crawl.Settings{ConcurrentRequests: 2, ConcurrentPerHost: 1}, site)
		require.Equal(t, "finished", res.Reason)
		require.EqualValues(t, 10, res.Stats.Int("page_count"))
		require.Equal(t, 7*time.Second, time.Since(begun))
		require.Len(t, site.Asked(), 14)
	})
}

// TestCrawlDelayIsKeptHoweverLate has a robots.txt that can't be read at first, requests in a slot of their own, and both slots when the file has changed.
func TestCrawlDelayIsKeptHoweverLate(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, robots func(http.ResponseWriter), spider *crawl.Spider) (pages []time.Duration) {
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/robots.txt" {
				time.Sleep(time.Second)
				robots(w)
			}
		}))
		res := crawltest.Run(t, spider, crawl.Settings{}, site)
		require.Equal(t, "finished", res.Reason)
		all := site.Asked()
		for _, a := range all {
			if strings.Contains(a.URL, "/page") {
				pages = append(pages, a.At.Sub(all[0].At))
			}
		}
		return pages
	}
	apart := func(t *testing.T, pages []time.Duration, n int) {
		require.Len(t, pages, n)
		for i := 1; i < n; i++ {
			require.Equal(t, 10*time.Second, pages[i]-pages[i-1])
		}
	}
	five := func(out *crawl.Out, with ...func(*crawl.Request)) {
		for i := range 5 {
			out.Request(crawl.Get(fmt.Sprintf("http://h.example/page/%d", i), with...))
		}
	}
	own := func(r *crawl.Request) { r.Knobs = &crawl.Knobs{Slot: "api"} }
	synctest.Test(t, func(t *testing.T) {
		n := 0
		spider := asks(0)
		spider.Start = func(_ context.Context, out *crawl.Out) error {
			out.Request(crawl.Get("http://h.example/first"))
			time.Sleep(6 * time.Minute)
			five(out)
			return nil
		}
		apart(t, run(t, func(w http.ResponseWriter) {
			if n++; n <= 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			fmt.Fprint(w, "User-agent: *\nCrawl-delay: 10")
		}, spider), 5)
	})
	synctest.Test(t, func(t *testing.T) {
		spider := asks(0)
		spider.Start = func(_ context.Context, out *crawl.Out) error {
			out.Request(crawl.Get("http://h.example/first"))
			five(out, own)
			return nil
		}
		apart(t, run(t, func(w http.ResponseWriter) { fmt.Fprint(w, "User-agent: *\nCrawl-delay: 10") }, spider), 5)
	})
	synctest.Test(t, func(t *testing.T) {
		var changed atomic.Bool
		spider := asks(0)
		spider.Start = func(_ context.Context, out *crawl.Out) error {
			out.Request(crawl.Get("http://h.example/first"))
			out.Request(crawl.Get("http://h.example/second", own))
			time.Sleep(25 * time.Hour)
			changed.Store(true)
			out.Request(crawl.Get("http://h.example/third"))
			time.Sleep(time.Minute)
			five(out, own)
			return nil
		}
		apart(t, run(t, func(w http.ResponseWriter) {
			if changed.Load() {
				fmt.Fprint(w, "User-agent: *\nCrawl-delay: 10")
			}
		}, spider), 5)
	})
}

// TestRobotsFollowsFiveRedirects whatever Redirect.Times is.
func TestRobotsFollowsFiveRedirects(t *testing.T) {
	t.Parallel()
	for _, times := range []int{-1, 2, 20} {
		for hops, secret := range map[int]bool{0: false, 5: false, 6: true} {
			synctest.Test(t, func(t *testing.T) {
				site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					n := 0
					if _, err := fmt.Sscanf(r.URL.Path, "/robots%d.txt", &n); err != nil && r.URL.Path != "/robots.txt" {
						return
					}
					if n < hops {
						http.Redirect(w, r, fmt.Sprintf("/robots%d.txt", n+1), http.StatusMovedPermanently)
						return
					}
					fmt.Fprint(w, "User-agent: *\nDisallow: /secret")
				}))
				res := crawltest.Run(t, asks(0, "http://h.example/open", "http://h.example/secret"), crawl.Settings{Redirect: crawl.RedirectSettings{Times: times}}, site)
				require.Contains(t, res.Asked, "http://h.example/open", "%d times, %d hops", times, hops)
				require.Equal(t, secret, slices.Contains(res.Asked, "http://h.example/secret"), "%d times, %d hops", times, hops)
			})
		}
	}
}

// TestALongRobotsIsReadAsFarAsItCounts has a file of ten megabytes, announced and not, plain and compressed.
func TestALongRobotsIsReadAsFarAsItCounts(t *testing.T) {
	t.Parallel()
	for _, announced := range []bool{true, false} {
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/robots.txt" {
				return
			}
			body := "User-agent: *\nDisallow: /secret\n" + strings.Repeat("# padding\n", 1<<20) + "Disallow: /open\n"
			if announced {
				w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			}
			_, _ = w.Write([]byte(body))
		}))
		settings := crawl.Settings{Download: crawl.DownloadSettings{MaxSize: 1 << 20}}
		res := crawltest.Run(t, asks(0, "http://h.example/open", "http://h.example/secret"), settings, site)
		require.Equal(t, []string{"http://h.example/open"}, res.Asked)
		require.EqualValues(t, 1, res.Stats.Int("robotstxt/forbidden"))
	}
}

// TestAStopWaitsForNoRobots has pages whose robots.txt is to be asked again when the crawl is stopped: they stay in the job, and are crawled by the next run.
func TestAStopWaitsForNoRobots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, settings := newBook(t)
		var mu sync.Mutex
		var down bool
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if r.URL.Path == "/robots.txt" && down {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		down = true
		spider := starts("a.example b.example", 5)
		settings.Robots.Ignore = false
		e, wait := crawltest.Start(t, spider, settings, site)
		time.Sleep(100 * time.Millisecond)
		begun := time.Now()
		e.Stop("enough")
		res := wait()
		require.Equal(t, "enough", res.Reason)
		require.Less(t, time.Since(begun), 100*time.Millisecond)
		require.Empty(t, res.Asked)
		require.Zero(t, res.Stats.Int("page_failed_count"))

		mu.Lock()
		down = false
		mu.Unlock()
		res = crawltest.Run(t, spider, settings, site)
		require.Equal(t, "finished", res.Reason)
		require.Len(t, res.Asked, 10)
		require.Len(t, slices.Compact(slices.Sorted(slices.Values(res.Asked))), 10)
	})
}

// TestMediaWaitsForRobotsWithoutAPlace has files of hosts whose robots.txt is only there at the second time, and who do not wait for all of them.
func TestMediaWaitsForRobotsWithoutAPlace(t *testing.T) {
	t.Parallel()
	for _, stop := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const hosts, each = 40, 3
			var mu sync.Mutex
			tries := make(map[string]int)
			site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if r.URL.Path == "/robots.txt" && r.Host != "pages.example" {
					if tries[r.Host]++; tries[r.Host] == 1 {
						w.WriteHeader(http.StatusServiceUnavailable)
						return
					}
				}
				fmt.Fprint(w, r.URL.Path)
			}))
			spider := &crawl.Spider{Name: "files", StartURLs: []string{"http://pages.example/"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
				var urls []string
				for i := range hosts * each {
					urls = append(urls, fmt.Sprintf("http://m%d.example/%d", i%hosts, i))
				}
				out.Item(wants(urls...))
				return nil
			}}
			settings := crawl.Settings{ConcurrentRequests: 2, ItemPipelines: []crawl.Stage{{Pipeline: &pipeline.FilesPipeline{Store: new(store.Memory)}}}}
			begun := time.Now()
			e, wait := crawltest.Start(t, spider, settings, site)
			if stop {
				time.Sleep(10 * time.Millisecond)
				e.Stop("enough")
			}
			res := wait()
			require.Len(t, res.Items, 1)
			require.Len(t, filesOf(res.Items[0]), hosts*each, "what is in flight is finished")
			require.Less(t, time.Since(begun), 5*time.Second)
			require.Len(t, site.Asked(), 2+hosts*(2+each))
		})
	}
}

// TestPagesOfAHostThatIsNotOpenStayInTheQueue has a thousand of one whose robots.txt is there at the third time.
func TestPagesOfAHostThatIsNotOpenStayInTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		tries := 0
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if r.URL.Path == "/robots.txt" {
				if tries++; tries < 3 {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			}
		}))
		res := crawltest.Run(t, starts("h.example", 1000), crawl.Settings{}, site)
		require.Len(t, res.Asked, 1000)
		require.EqualValues(t, 1001, res.Stats.Int("scheduler/dequeued"), "one was set aside")
	})
}

// A layer outside that of robots.txt gives requests a name of its own: its robots.txt is asked for once, and the request goes on.
func TestRobotsOfANameFromOutside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		named := func(_ *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
			return crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
				req.Header.Set("User-Agent", "Mozilla/5.0 (X11)")
				return next.Fetch(ctx, req)
			}), nil
		}
		site := crawltest.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		left := 0
		set := crawl.Settings{Middlewares: []crawl.Layer{{Middleware: named}}}
		set.Trace.RequestLeft = func(*crawl.Request) {
			if left++; left > 100 {
				panic("it goes round in circles")
			}
		}
		res := crawltest.Run(t, asks(0, "http://h.example/1"), set, site)
		require.Equal(t, int64(1), res.Stats.Int("page_count"))
		require.Len(t, site.Asked(), 3, "two robots.txt, for each name one, and the page")
	})
}

// A robots.txt that cannot be read is good for one request at least, however long that waits for its turn: else such hosts would be asked for ever.
func TestRobotsUnreadAndALongDelay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hosts int
		set   crawl.Settings
	}{
		"a delay of six minutes":     {1, crawl.Settings{DownloadDelay: 6 * time.Minute, FixedDelay: true}},
		"a hundred hosts in a slot":  {100, crawl.Settings{DownloadDelay: 5 * time.Second, FixedDelay: true}},
		"the same, the oldest first": {100, crawl.Settings{DownloadDelay: 5 * time.Second, FixedDelay: true, Order: crawl.OrderBreadth}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				spider := asks(0)
				spider.Start = func(_ context.Context, out *crawl.Out) error {
					for i := range c.hosts {
						out.Request(crawl.Get(fmt.Sprintf("http://bad%d.example/", i), func(r *crawl.Request) { r.Knobs = &crawl.Knobs{Slot: "s"} }))
					}
					return nil
				}
				site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
				e, wait := crawltest.Start(t, spider, c.set, site)
				watch := time.AfterFunc(24*time.Hour, func() { e.Stop("it does not end") })
				res := wait()
				watch.Stop()
				require.Equal(t, "finished", res.Reason)
				require.Equal(t, int64(c.hosts), res.Stats.Int("page_failed_count"))
			})
		})
	}
}

package engine_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
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
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

// filed are the settings of a crawl whose items name files, polite to no one.
func filed() crawl.Settings {
	return crawl.Settings{
		Robots:        crawl.RobotsSettings{Ignore: true},
		ItemPipelines: []crawl.Stage{{Pipeline: &pipeline.FilesPipeline{Store: new(store.Memory)}}},
	}
}

// wants is an item that names files.
func wants(urls ...string) map[string]any { return map[string]any{"file_urls": urls} }

func filesOf(item any) []crawl.File {
	files, _ := item.(map[string]any)["files"].([]crawl.File)
	return files
}

// answers is a site that answers after a while.
func answers(after time.Duration) crawltest.Site {
	return crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if after > 0 {
			time.Sleep(after)
		}
		fmt.Fprint(w, r.URL.Path)
	}))
}

// TestLimitsHoldOverPagesAndMedia has pages and files on the same hosts, with robots.txt, redirects within a host and between hosts, and answers that make
// the request be asked again.
func TestLimitsHoldOverPagesAndMedia(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const hosts, perHost, total = 6, 3, 10
		var mu sync.Mutex
		tries := make(map[string]int)
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			mu.Lock()
			tries[r.Host+r.URL.Path]++
			n := tries[r.Host+r.URL.Path]
			mu.Unlock()
			number, _ := strconv.Atoi(strings.TrimLeft(r.URL.Path, "/abcdefghijklmnopqrstuvwxyz"))
			switch {
			case r.URL.Path == "/robots.txt":
				fmt.Fprint(w, "User-agent: *\nDisallow: /secret")
			case strings.HasPrefix(r.URL.Path, "/moved"):
				http.Redirect(w, r, fmt.Sprintf("http://h%d.example/target%d", number%hosts, number), http.StatusFound)
			case number%7 == 3 && n == 1:
				w.WriteHeader(http.StatusBadGateway)
			default:
				fmt.Fprint(w, r.URL.Path)
			}
		}))
		spider := &crawl.Spider{
			Name: "limits",
			Start: func(_ context.Context, out *crawl.Out) error {
				for i := range 60 {
					out.Request(crawl.Get(fmt.Sprintf("http://h%d.example/page%d", i%hosts, i)))
					if i%5 == 0 {
						out.Request(crawl.Get(fmt.Sprintf("http://h%d.example/moved%d", i%hosts, 1000+i)))
					}
				}
				return nil
			},
			Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
				n, _ := strconv.Atoi(strings.TrimLeft(r.URL.Path, "/abcdefghijklmnopqrstuvwxyz"))
				out.Item(wants(
					fmt.Sprintf("http://h%d.example/picture%d", n%hosts, n), fmt.Sprintf("http://h%d.example/picture%d", (n+1)%hosts, n),
					fmt.Sprintf("http://h%d.example/moved%d", (n+2)%hosts, n), fmt.Sprintf("http://h%d.example/secret", n%hosts),
				))
				return nil
			},
		}
		settings := filed()
		settings.Robots.Ignore, settings.Media.AllowRedirects = false, true
		settings.ConcurrentRequests, settings.ConcurrentPerHost = total, perHost
		res := crawltest.Run(t, spider, settings, site)
		require.Equal(t, "finished", res.Reason)
		require.Len(t, res.Items, 72)
		for _, item := range res.Items {
			require.Len(t, filesOf(item), 3, "all but the secret one")
		}
		for i := range hosts {
			require.Equal(t, perHost, site.MostAtOnce(fmt.Sprintf("h%d.example", i)), "host %d", i)
		}
		require.Equal(t, total, site.MostAtOnce(""))
		require.Positive(t, res.Stats.Int("retry/count"))
	})
}

// listing is a shop on one host: pages of pictures, each page an item a picture, linked one from the other.
func listing(n, pictures int) *crawl.Spider {
	first := []string{"http://shop.example/list/0"}
	return &crawl.Spider{Name: "listing", StartURLs: first, Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
		page, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/list/"))
		if err != nil {
			return err
		}
		for i := range pictures {
			out.Item(wants(fmt.Sprintf("http://shop.example/pictures/%d/%d.jpg", page, i)))
		}
		if page+1 < n {
			out.Follow(fmt.Sprintf("/list/%d", page+1), "")
		}
		return nil
	}}
}

// TestListingsOfPicturesFinish is a deadlock of its bubble if any budget waits for itself.
func TestListingsOfPicturesFinish(t *testing.T) {
	t.Parallel()
	type row struct {
		pages, pictures int
		settings        crawl.Settings
	}
	small := func(items, stages, callbacks, requests, perHost int) crawl.Settings {
		s := filed()
		s.ConcurrentItems, s.ConcurrentStages, s.ConcurrentCallbacks, s.ConcurrentRequests, s.ConcurrentPerHost = items, stages, callbacks, requests, perHost
		return s
	}
	rows := map[string]row{
		"5,000 pictures":                     {100, 50, filed()},
		"5,000 pictures, one place anywhere": {100, 50, small(1, 1, 1, 1, 1)},
	}
	for _, items := range []int{1, 2, 0} {
		for _, stages := range []int{1, 0} {
			for _, callbacks := range []int{1, 0} {
				for _, requests := range []int{1, 0} {
					for _, perHost := range []int{1, 0} {
						name := fmt.Sprintf("items %d, stages %d, callbacks %d, requests %d, per host %d", items, stages, callbacks, requests, perHost)
						rows[name] = row{5, 8, small(items, stages, callbacks, requests, perHost)}
					}
				}
			}
		}
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				site := answers(time.Millisecond)
				res := crawltest.Run(t, listing(row.pages, row.pictures), row.settings, site)
				require.Equal(t, "finished", res.Reason)
				require.Len(t, res.Items, row.pages*row.pictures)
				for _, item := range res.Items {
					require.Len(t, filesOf(item), 1)
				}
				require.Len(t, res.Asked, row.pages*(row.pictures+1), "each once")
				atOnce := row.settings.ConcurrentPerHost
				if atOnce == 0 {
					atOnce = 8
				}
				require.LessOrEqual(t, site.MostAtOnce(""), atOnce)
				require.LessOrEqual(t, time.Since(began), time.Duration(len(res.Asked)+row.pages)*time.Millisecond, "a place was idle while something could leave")
			})
		})
	}
}

// TestSlowPictureHost has a host that gives a file a second, and pages on another that is fast. The pages keep their rate until items are full.
func TestSlowPictureHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const items, more = 100, 900
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Host == "slow.example" {
				time.Sleep(time.Second)
			} else {
				time.Sleep(10 * time.Millisecond)
			}
			fmt.Fprint(w, r.URL.Path)
		}))
		var pagesAsked []string
		for i := range items + more {
			pagesAsked = append(pagesAsked, fmt.Sprintf("http://fast.example/%d", i))
		}
		spider := &crawl.Spider{Name: "slow", StartURLs: pagesAsked, Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			out.Item(wants("http://slow.example"+r.URL.Path, "http://other.example"+r.URL.Path))
			return nil
		}}
		settings := filed()
		settings.ConcurrentItems, settings.ConcurrentPerHost = items, 1
		began := time.Now()
		res := crawltest.Run(t, spider, settings, site)
		require.Len(t, res.Items, items+more)
		at := site.Arrivals("fast.example")
		require.Equal(t, (items-1)*10*time.Millisecond, at[items-1].Sub(at[0]), "no page waited before items were full")
		require.GreaterOrEqual(t, at[items+60].Sub(at[items+10]), 49*time.Second, "then pages come at the rate of the slow host")

		said := res.Log.FilterMessageSnippet("items wait for files").All()
		require.Len(t, said, 2, "once, and again after ten minutes, in a crawl of a quarter of an hour")
		require.Equal(t, zap.WarnLevel, said[0].Level)
		require.Equal(t, "slow.example", said[0].ContextMap()["host"])
		require.Contains(t, said[0].Message, "one host: look at it, or raise concurrent_items")
		require.EqualValues(t, items, said[0].ContextMap()["items"])
		require.WithinDuration(t, began.Add(2*time.Second), said[0].Time, 100*time.Millisecond, "a second after items were full")
		require.GreaterOrEqual(t, said[1].Time.Sub(said[0].Time), 10*time.Minute)
		require.Zero(t, res.Stats.Int("media/parked"))
		require.EqualValues(t, items, res.Stats.Int("media/parked_max"))
	})
}

// TestSlowStore has files that arrive faster than they are stored: it isn't their host that items wait for.
func TestSlowStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := filed()
		settings.ConcurrentItems, settings.ConcurrentRequests = 50, 4
		settings.ItemPipelines[0].Pipeline = &pipeline.FilesPipeline{
			Store: new(store.Memory), FileDownloaded: func(context.Context, *crawl.Response, any) error { time.Sleep(time.Second); return nil },
		}
		res := crawltest.Run(t, listing(4, 50), settings, answers(time.Millisecond))
		require.Len(t, res.Items, 200)
		said := res.Log.FilterMessageSnippet("items wait for files").All()
		require.Len(t, said, 1)
		require.Contains(t, said[0].Message, "look at the store")
	})
}

// TestNoWarningOfACrowdThatPasses has pages with more items than there is room for, all of which are done within the second.
func TestNoWarningOfACrowdThatPasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := filed()
		settings.ConcurrentItems = 10
		res := crawltest.Run(t, listing(5, 50), settings, answers(time.Millisecond))
		require.Len(t, res.Items, 250)
		require.Empty(t, res.Log.FilterMessageSnippet("items wait").All())
	})
}

// TestMediaIsNeverBehindALaterPage has a host with one place, where each page's files compete with the pages that follow.
func TestMediaIsNeverBehindALaterPage(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*crawl.Settings){
		"one place":              func(s *crawl.Settings) { s.ConcurrentPerHost = 1 },
		"two places":             func(s *crawl.Settings) { s.ConcurrentPerHost = 2 },
		"a delay":                func(s *crawl.Settings) { s.DownloadDelay, s.FixedDelay = 3*time.Second, true },
		"one place for all":      func(s *crawl.Settings) { s.ConcurrentRequests = 1 },
		"robots.txt asked first": func(s *crawl.Settings) { s.ConcurrentPerHost, s.Robots.Ignore = 1, false },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				wanted := make(map[string]time.Time) // when each file was asked for
				var urls []string
				for i := range 30 {
					urls = append(urls, fmt.Sprintf("http://shop.example/page/%d", i))
				}
				spider := &crawl.Spider{Name: "order", StartURLs: urls, Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
					out.Item(wants("http://shop.example/a"+r.URL.Path, "http://shop.example/b"+r.URL.Path))
					return nil
				}}
				settings := filed()
				change(&settings)
				settings.ItemPipelines[0].Pipeline = &pipeline.FilesPipeline{
					Store: new(store.Memory),
					MediaRequests: func(_ context.Context, item any) (reqs []*crawl.Request, _ error) {
						mu.Lock()
						defer mu.Unlock()
						for _, u := range item.(map[string]any)["file_urls"].([]string) {
							wanted[u] = time.Now()
							reqs = append(reqs, crawl.Get(u))
						}
						return reqs, nil
					},
				}
				site := answers(time.Second)
				res := crawltest.Run(t, spider, settings, site)
				require.Len(t, res.Items, 30)
				files, waited := 0, 0
				for _, file := range site.Asked() {
					at, isFile := wanted[file.URL]
					if !isFile {
						continue
					}
					files++
					if file.At.After(at) {
						waited++
					}
					for _, page := range site.Asked() {
						if strings.Contains(page.URL, "example/page/") {
							require.False(t, page.At.After(at) && page.At.Before(file.At), "%s was asked before %s, which waited", page.URL, file.URL)
						}
					}
				}
				require.Equal(t, 60, files)
				require.GreaterOrEqual(t, waited, 30, "or nothing was shown")
			})
		})
	}
}

func TestTenThousandItemsShareOnePicture(t *testing.T) {
	t.Parallel()
	const n = 10_000
	site := answers(0)
	logo := site.Hold("/logo.png")
	spider := &crawl.Spider{Name: "logo", Start: func(_ context.Context, out *crawl.Out) error {
		for i := range n {
			item := wants("http://shop.example/logo.png")
			item["n"] = i
			out.Item(item)
		}
		return nil
	}}
	e, wait := crawltest.Start(t, spider, filed(), site)
	logo.Wait()
	require.Eventually(t, func() bool { return e.Snapshot().Stats.Int("media/parked") == n }, time.Minute, time.Millisecond)
	require.Equal(t, 1, e.Snapshot().Media)
	logo.Release()
	res := wait()
	require.Equal(t, []string{"http://shop.example/logo.png"}, res.Asked)
	require.Len(t, res.Items, n)
	seen := make(map[any]bool)
	for _, item := range res.Items {
		require.Len(t, filesOf(item), 1)
		seen[item.(map[string]any)["n"]] = true
	}
	require.Len(t, seen, n)
	require.EqualValues(t, 1, res.Stats.Int("file_count"))
}

// ending is a test whose context ends before it.
type ending struct {
	testing.TB
	ctx context.Context
}

func (e ending) Context() context.Context { return e.ctx }

// TestEndsWhileItemsAreParked ends crawls whose media runs, is queued, and waits to be asked again. All goroutines must end, or the bubble is a deadlock.
func TestEndsWhileItemsAreParked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end    func(e *engine.Engine, kill func())
		reason string
		within time.Duration
		done   bool // what waits is finished first
	}{
		"stop":         {func(e *engine.Engine, _ func()) { e.Stop("enough") }, "enough", 90 * time.Second, true},
		"killed":       {func(_ *engine.Engine, kill func()) { kill() }, "shutdown", time.Second, false},
		"stop, killed": {func(e *engine.Engine, kill func()) { e.Stop("enough"); time.Sleep(time.Second); kill() }, "enough", 2 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					switch r.Host {
					case "held.example":
						select {
						case <-time.After(20 * time.Second):
						case <-r.Context().Done():
						}
					case "busy.example":
						w.WriteHeader(http.StatusBadGateway)
					}
					fmt.Fprint(w, r.URL.Path)
				}))
				var urls []string
				for i := range 10 {
					urls = append(urls, fmt.Sprintf("http://shop.example/%d", i))
				}
				spider := &crawl.Spider{Name: "ends", StartURLs: urls, Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
					out.Item(wants("http://held.example"+r.URL.Path, "http://busy.example"+r.URL.Path))
					return nil
				}}
				settings := filed()
				settings.ConcurrentPerHost = 5 // two turns of twenty seconds: the second begins before StopTimeout
				settings.Retry = crawl.RetrySettings{Times: 1, BackOff: 10 * time.Second}
				ctx, kill := context.WithCancel(t.Context())
				defer kill()
				e, wait := crawltest.Start(ending{t, ctx}, spider, settings, site)
				time.Sleep(2 * time.Second)
				require.EqualValues(t, 10, e.Snapshot().Stats.Int("media/parked"))
				require.Equal(t, 20, e.Snapshot().Media, "five at the host, five queued for it, ten delayed")
				began := time.Now()
				c.end(e, kill)
				res := wait()
				require.NoError(t, res.Err)
				require.Equal(t, c.reason, res.Reason)
				require.LessOrEqual(t, time.Since(began), c.within)
				require.Zero(t, res.Stats.Int("media/parked"))
				require.Zero(t, res.Stats.Int("item_error_count"), "what an ending crawl can't finish is no item's error")
				if !c.done {
					require.Empty(t, res.Items)
					require.Zero(t, res.Stats.Int("file_status_count/failed"), "nor a failure of its files")
					return
				}
				require.Len(t, res.Items, 10)
				for _, item := range res.Items {
					require.Len(t, filesOf(item), 1)
				}
			})
		})
	}
}

// TestStopTimeoutEndsWaitingMedia stops a crawl with more media queued than can be done in time: items that had theirs are done, others are left as they are.
func TestStopTimeoutEndsWaitingMedia(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		spider := &crawl.Spider{Name: "stops", Start: func(_ context.Context, out *crawl.Out) error {
			for i := range 100 {
				out.Item(wants(fmt.Sprintf("http://slow.example/%d", i)))
			}
			return nil
		}}
		settings := filed()
		settings.ConcurrentPerHost, settings.StopTimeout = 1, 10*time.Second
		e, wait := crawltest.Start(t, spider, settings, answers(time.Second))
		time.Sleep(5500 * time.Millisecond)
		began := time.Now()
		e.Stop("enough")
		res := wait()
		require.InDelta(t, 10.5, time.Since(began).Seconds(), 1, "what runs at the end of StopTimeout is finished")
		require.InDelta(t, 16, len(res.Items), 1)
		require.Zero(t, res.Stats.Int("item_error_count"))
		require.Zero(t, res.Stats.Int("file_status_count/failed"))
	})
}

// TestHookClosesTheCrawlWhileItemsAreParked has a hook that has seen enough: its own item is not done, those whose files still come are.
func TestHookClosesTheCrawlWhileItemsAreParked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := filed()
		settings.ConcurrentPerHost = 1
		settings.ItemPipelines[0].Pipeline = &pipeline.FilesPipeline{
			Store: new(store.Memory),
			ItemCompleted: func(_ context.Context, results []pipeline.Result, item any) (any, error) {
				if strings.HasSuffix(results[0].Request.URL.Path, "/3.jpg") {
					return nil, crawl.CloseSpider("the disk is full")
				}
				return item, nil
			},
		}
		res := crawltest.Run(t, listing(1, 20), settings, answers(time.Second))
		require.Equal(t, "the disk is full", res.Reason)
		require.Len(t, res.Items, 19)
		require.Zero(t, res.Stats.Int("item_error_count"))
	})
}

// TestKilledWhileItemsAreParkedInAJob ends a job at once while items wait: their pages are done again, and each item is in the feed once.
func TestKilledWhileItemsAreParkedInAJob(t *testing.T) {
	t.Parallel()
	settings := jobSettings(t)
	out := filepath.Join(t.TempDir(), "items.jsonl")
	settings.Feeds = []crawl.Feed{{URI: out}}
	settings.ItemPipelines = []crawl.Stage{{Pipeline: &pipeline.FilesPipeline{Store: new(store.Memory)}}}
	settings.ConcurrentPerHost = 1
	var urls, want []string
	for i := range 20 {
		urls = append(urls, fmt.Sprintf("http://shop.example/%02d", i))
		want = append(want, fmt.Sprintf("/%02d 1", i))
	}
	spider := &crawl.Spider{Name: "parked", StartURLs: urls, Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
		host := "quick.example"
		if r.URL.Path >= "/10" {
			host = "held.example"
		}
		out.Item(wants("http://" + host + r.URL.Path))
		return nil
	}}
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) }))
	for i := 10; i < 20; i++ {
		site.Hold(fmt.Sprintf("http://held.example/%02d", i))
	}
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	e, wait := crawltest.Start(ending{t, ctx}, spider, settings, site)
	require.Eventually(t, func() bool {
		s := e.Snapshot()
		return s.Stats.Int("media/parked") == 10 && s.Stats.Int("item_scraped_count") == 10 && s.Pages == 10
	}, 30*time.Second, time.Millisecond)
	kill()
	first := wait()
	require.NoError(t, first.Err)
	require.Equal(t, "shutdown", first.Reason)
	require.Len(t, first.Items, 10)

	second := crawltest.Run(t, spider, settings, crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) })))
	require.NoError(t, second.Err)
	require.Equal(t, "finished", second.Reason)
	require.Len(t, second.Items, 10)
	require.Len(t, second.Asked, 20, "ten pages and their files")
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	var got []string
	for _, line := range sortedLines(string(text)) {
		require.Contains(t, line, `"status":"downloaded"`)
		_, path, _ := strings.Cut(line, `"file_urls":["http://`)
		path, _, _ = strings.Cut(path[strings.IndexByte(path, '/'):], `"`)
		got = append(got, fmt.Sprint(path, " ", strings.Count(line, `"path"`)))
	}
	require.ElementsMatch(t, want, got)
}

// TestRetryStorm has every one of many files told to come back later, and then again: none is lost, and the queue looks at each once.
func TestRetryStorm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 3000
		var asked atomic.Int64
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) <= 2*n {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			fmt.Fprint(w, r.URL.Path)
		}))
		spider := &crawl.Spider{Name: "storm", Start: func(_ context.Context, out *crawl.Out) error {
			for i := range n {
				out.Item(wants(fmt.Sprintf("http://a.example/%d", i)))
			}
			return nil
		}}
		settings := filed()
		settings.Retry = crawl.RetrySettings{Times: 10, BackOff: time.Second}
		res := crawltest.Run(t, spider, settings, site)
		require.Len(t, res.Items, n)
		require.EqualValues(t, n, res.Stats.Int("file_status_count/downloaded"))
		require.EqualValues(t, 3*n, asked.Load())
	})
}

// photo is an item with pictures.
type photo struct {
	Name      string       `json:"name"`
	ImageURLs []string     `json:"image_urls"`
	Images    []crawl.File `json:"images"`
}

// Not parallel: it looks at the heap and the stacks of a whole crawl, in which ten thousand items, each of a page of its own, wait for three pictures each.
// Ended at once, it answers all thirty thousand.
func TestTenThousandParkedItems(t *testing.T) {
	const n = 10_000
	free := make(chan struct{})
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Host, "cdn.") {
			select {
			case <-free:
			case <-r.Context().Done():
			}
		}
		fmt.Fprint(w, "<h1>A product</h1>")
	}))
	defer site.Close()
	defer close(free)
	spider := &crawl.Spider{
		Name: "parked",
		Start: func(_ context.Context, out *crawl.Out) error {
			for i := range n {
				out.Request(crawl.Get(fmt.Sprintf("http://shop.example/products/of/the/shop/%d.html", i)))
			}
			return nil
		},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			p := &photo{Name: r.Text("h1")}
			for k := range 3 {
				p.ImageURLs = append(p.ImageURLs, fmt.Sprintf("http://cdn.example/pictures%s/%d.jpg", strings.TrimSuffix(r.URL.Path, ".html"), k))
			}
			out.Item(p)
			return nil
		},
	}
	addr := strings.TrimPrefix(site.URL, "http://")
	e, err := engine.New(spider, crawl.Settings{
		Robots: crawl.RobotsSettings{Ignore: true}, Logger: zap.NewNop(),
		Download:      crawl.DownloadSettings{ConnectTo: map[string]string{"shop.example": addr, "cdn.example": addr}},
		ItemPipelines: []crawl.Stage{{Pipeline: &pipeline.ImagesPipeline{Store: new(store.Memory)}}},
	})
	require.NoError(t, err)
	used := func() int64 {
		for range 4 {
			runtime.GC() // each halves the stacks that are larger than they need be
		}
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc + s.StackInuse)
	}
	goroutines, before := runtime.NumGoroutine(), used()
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	done := make(chan error, 1)
	go func() {
		_, err := e.Run(ctx)
		done <- err
	}()
	require.Eventually(t, func() bool {
		s := e.Snapshot()
		return s.Media == 3*n && s.Stats.Int("media/parked") == n && s.Queue.Queued == 0
	}, 2*time.Minute, 10*time.Millisecond)
	sum := used() - before
	t.Logf("%d bytes: %d an item, %d goroutines", sum, sum/n, runtime.NumGoroutine()-goroutines)
	require.Less(t, runtime.NumGoroutine()-goroutines, n+300, "one an item")
	if !raceDetector {
		require.Less(t, sum, int64(100_000_000))
	}
	began := time.Now()
	kill()
	require.NoError(t, <-done)
	t.Log("ended in", time.Since(began))
	require.Zero(t, e.Snapshot().Stats.Int("media/parked"))
	require.Zero(t, e.Snapshot().Stats.Int("item_error_count"))
}

// TestOneThatIsDelayedMayLeave has a file that is to be asked again in ten seconds, and nobody who waits so long: it isn't.
func TestOneThatIsDelayedMayLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Host == "b.example" {
				time.Sleep(40 * time.Second) // so that media is looked at when the time has come
				return
			}
			w.WriteHeader(http.StatusBadGateway)
		}))
		var answered atomic.Int64
		began := time.Now()
		settings := crawl.Settings{
			Robots: crawl.RobotsSettings{Ignore: true}, Retry: crawl.RetrySettings{Times: 1, BackOff: 20 * time.Second},
			ItemPipelines: []crawl.Stage{{Pipeline: opener(func(env *crawl.Env) crawl.Pipeline {
				return process(func(ctx context.Context, item any) (any, error) {
					left, cancel := context.WithTimeout(ctx, 5*time.Second)
					defer cancel()
					env.Fetcher.(crawl.Submitter).Submit(left, crawl.Get("http://a.example/x"), func(*crawl.Response, error) {
						answered.Add(1)
						if left := time.Since(began); left != 5*time.Second {
							t.Errorf("told after %v", left)
						}
					})
					resp, err := env.Fetcher.Fetch(ctx, crawl.Get("http://b.example/y"))
					if err != nil {
						return nil, err
					}
					return item, resp.Close()
				})
			})}},
		}
		spider := &crawl.Spider{Name: "delayed", Start: func(_ context.Context, out *crawl.Out) error {
			out.Item(map[string]any{})
			return nil
		}}
		res := crawltest.Run(t, spider, settings, site)
		require.Len(t, res.Items, 1)
		require.Len(t, res.Asked, 2)
		require.EqualValues(t, 1, answered.Load())
	})
}

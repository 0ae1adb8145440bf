package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/scheduler/jobdir"
)

// endless is a spider of a site whose pages each lead to three others, and give an item each.
func endless() (*crawl.Spider, crawltest.Site) {
	spider := &crawl.Spider{Name: "endless", StartURLs: []string{"http://a.example/1"}, Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
		var n int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d", &n); err != nil {
			return err
		}
		time.Sleep(time.Second)
		for i := range 3 {
			if !out.Follow(fmt.Sprintf("/%d", 3*n+i), "") {
				return nil // one that is told to stop is left without its item
			}
		}
		out.Item(map[string]any{"n": n})
		return nil
	}}
	return spider, ok(time.Second)
}

// TestCloseAfterPages is exact: so many pages come, and all of them are worked through, whatever else fails, leads elsewhere or is tried again.
func TestCloseAfterPages(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1, 2, 7, 100} {
		synctest.Test(t, func(t *testing.T) {
			spider, _ := endless()
			site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(time.Second)
				switch path := r.URL.Path; {
				case strings.HasSuffix(path, "5"): // never answers
					panic(http.ErrAbortHandler)
				case strings.HasSuffix(path, "4"):
					http.Redirect(w, r, path+"0", http.StatusFound)
				case strings.HasSuffix(path, "6"):
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			}))
			settings := impolite()
			settings.CloseAfter.Pages = most
			settings.Retry.Times = 1
			settings.Breaker.Off = true
			settings.HTTPError.AllowAll = true
			res := crawltest.Run(t, spider, settings, site)
			require.Equal(t, "closespider_pagecount", res.Reason)
			require.EqualValues(t, most, res.Stats.Int("page_count"))
			require.Len(t, res.Items, most, "all that came was worked through")
			if most == 100 {
				require.Positive(t, res.Stats.Int("downloader/exception_count"))
				require.Positive(t, res.Stats.Int("retry/count"))
				require.Equal(t, 8, site.MostAtOnce(""))
			}
		})
	}
	// One that has less to give ends by itself.
	settings := impolite()
	settings.CloseAfter.Pages = 11
	require.Equal(t, "finished", crawltest.Run(t, starts("a.example", 10), settings, ok(0)).Reason)
}

// TestAJobGoesOnAfterCloseAfterPages crawls forty pages, seven at a time.
func TestAJobGoesOnAfterCloseAfterPages(t *testing.T) {
	t.Parallel()
	settings := impolite()
	settings.CloseAfter.Pages = 7
	settings.Job.Dir, settings.Parts.Job = t.TempDir(), jobdir.Open
	seen := make(map[any]int)
	for _, want := range []int{7, 7, 7, 7, 7, 5} {
		res := crawltest.Run(t, linked("a.example", 39), settings, ok(0))
		require.NoError(t, res.Err)
		require.Len(t, res.Items, want)
		for _, item := range res.Items {
			seen[item.(map[string]any)["page"]]++
		}
		if want < 7 {
			require.Equal(t, "finished", res.Reason)
		}
	}
	require.Len(t, seen, 40)
}

func TestCloseAfter(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]struct {
		settings crawl.CloseAfterSettings
		changed  func(*crawl.Spider)
		check    func(t *testing.T, res *crawltest.Result, took time.Duration)
	}{
		"closespider_timeout": {crawl.CloseAfterSettings{Time: time.Minute}, nil, func(t *testing.T, res *crawltest.Result, took time.Duration) {
			require.GreaterOrEqual(t, took, time.Minute)
			require.Less(t, took, time.Minute+3*time.Second, "what is in flight is finished")
		}},
		"closespider_itemcount": {crawl.CloseAfterSettings{Items: 50}, nil, func(t *testing.T, res *crawltest.Result, _ time.Duration) {
			require.GreaterOrEqual(t, len(res.Items), 50)
			require.LessOrEqual(t, len(res.Items), 50+16, "with those of pages that were in work")
		}},
		"closespider_errorcount": {crawl.CloseAfterSettings{Errors: 3}, func(s *crawl.Spider) {
			parse := s.Parse
			s.Parse = func(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
				return errors.Join(parse(ctx, r, out), errors.New("as the test wants"))
			}
		}, func(t *testing.T, res *crawltest.Result, _ time.Duration) {
			require.GreaterOrEqual(t, res.Stats.Int("spider_exceptions/count"), int64(3))
			require.LessOrEqual(t, res.Stats.Int("spider_exceptions/count"), int64(3+16))
		}},
		"closespider_timeout_no_item": {crawl.CloseAfterSettings{NoItem: 10 * time.Second}, barren, func(t *testing.T, res *crawltest.Result, took time.Duration) {
			require.Len(t, res.Items, 20)
			require.GreaterOrEqual(t, took, 20*time.Second+10*time.Second, "an item a second, and ten seconds without one")
			require.Less(t, took, 20*time.Second+10*time.Second+4*time.Second)
		}},
		"closespider_pagecount_no_item": {crawl.CloseAfterSettings{PagesNoItem: 30}, barren, func(t *testing.T, res *crawltest.Result, _ time.Duration) {
			require.Len(t, res.Items, 20)
			require.GreaterOrEqual(t, res.Stats.Int("page_count"), int64(20+30))
			require.LessOrEqual(t, res.Stats.Int("page_count"), int64(20+30+16))
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			spider, site := endless()
			if c.changed != nil {
				c.changed(spider)
			}
			settings := impolite()
			settings.CloseAfter = c.settings
			begun := time.Now()
			res := crawltest.Run(t, spider, settings, site)
			require.Equal(t, want, res.Reason)
			c.check(t, res, time.Since(begun))
		})
	}
}

// barren is a spider that finds twenty items, and then none.
func barren(s *crawl.Spider) {
	n := 0
	parse := s.Parse
	s.Parse = func(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
		if n++; n <= 20 {
			return parse(ctx, r, out)
		}
		out.Follow(r.URL.Path+"0", "")
		return nil
	}
	configure := s.Configure
	s.Configure = func(set *crawl.Settings) {
		if configure != nil {
			configure(set)
		}
		set.ConcurrentCallbacks, set.Order = 1, crawl.OrderBreadth
	}
}

// TestMemoryLimit has a process that holds more than a byte.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	settings := impolite()
	settings.Memory.Limit, settings.Memory.Warn = 1, 1
	settings.Job.Dir, settings.Parts.Job = t.TempDir(), jobdir.Open
	warned := int64(0)
	settings.Trace.MemoryWarning = func(resident int64) { warned = resident }
	res := crawltest.Run(t, linked("a.example", 20), settings, ok(time.Millisecond))
	require.Equal(t, "memusage_exceeded", res.Reason)
	require.NoError(t, res.Err)
	require.Greater(t, warned, int64(1<<20))
	require.EqualValues(t, 1, res.Stats.Get("memusage/limit_reached"))
	require.EqualValues(t, 1, res.Stats.Get("memusage/warning_reached"))
	require.GreaterOrEqual(t, res.Stats.Int("memusage/max"), res.Stats.Get("memusage/startup").(int64))
	require.Equal(t, 1, res.Log.FilterMessageSnippet("memory.limit: the crawl is closed").Len())
	require.Equal(t, 1, res.Log.FilterMessageSnippet("memory.warn").Len())

	settings.Memory = crawl.MemorySettings{Interval: -1}
	again := crawltest.Run(t, linked("a.example", 20), settings, ok(0))
	require.Equal(t, "finished", again.Reason, "the same command line goes on")
	all := make(map[any]bool)
	for _, item := range slices.Concat(res.Items, again.Items) {
		all[item.(map[string]any)["page"]] = true
	}
	require.Len(t, all, 21)
	require.Nil(t, again.Stats.Get("memusage/startup"))
}

// TestPeriodicLogAtTheEnd tells once, where nothing is told on the way; exclusions alone leave all others.
func TestPeriodicLogAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := impolite()
		settings.Log.StatsInterval = -time.Second
		settings.PeriodicLog = crawl.PeriodicLogSettings{Stats: []string{"!downloader", "!scheduler/"}, Timing: true}
		res := crawltest.Run(t, starts("a.example", 2), settings, ok(0))
		told := res.Log.FilterMessage("periodic log").All()
		require.Len(t, told, 1)
		stats, times := told[0].ContextMap()["stats"].(map[string]any), told[0].ContextMap()["time"].(map[string]any)
		require.Equal(t, "finished", stats["finish_reason"])
		require.NotContains(t, stats, "downloader/request_count")
		require.NotContains(t, stats, "scheduler/enqueued")
		require.Contains(t, times, "elapsed")
		require.NotContains(t, times, "log_interval")
	})
}

// TestPeriodicLog looks at what is told in three minutes.
func TestPeriodicLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := impolite()
		settings.DownloadDelay, settings.FixedDelay = 11*time.Second, true
		settings.PeriodicLog = crawl.PeriodicLogSettings{Stats: []string{"scheduler/", "finish_reason", "!memory"}, Delta: []string{"*", "!memusage"}, Timing: true}
		res := crawltest.Run(t, starts("a.example", 20), settings, ok(0))
		told := res.Log.FilterMessage("periodic log").All()
		require.Len(t, told, 4, "every minute, and at the end")
		field := func(i int, name string) map[string]any { return told[i].ContextMap()[name].(map[string]any) }
		require.Equal(t, map[string]any{"scheduler/enqueued": int64(20), "scheduler/dequeued": int64(6)}, field(0, "stats"))
		require.Equal(t, map[string]any{"scheduler/enqueued": int64(20), "scheduler/dequeued": int64(20), "finish_reason": "finished"}, field(3, "stats"))
		pages := int64(0)
		for i := range told {
			n, _ := field(i, "delta")["page_count"].(int64)
			pages += n
			require.NotContains(t, field(i, "delta"), "memusage/max")
			require.NotContains(t, field(i, "delta"), "start_time")
		}
		require.EqualValues(t, 20, pages)
		require.EqualValues(t, 5, field(1, "delta")["page_count"])
		require.Equal(t, 120.0, field(1, "time")["elapsed"])
		require.Equal(t, 60.0, field(1, "time")["log_interval"])
	})
}

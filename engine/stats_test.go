package engine_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/scheduler/jobdir"
)

// statRows are the keys of the table in crawl/stats.go, Scrapy's and tulle's own.
func statRows(t *testing.T) (scrapys, own []string) {
	src, err := os.ReadFile("../crawl/stats.go")
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(src), "// These are Scrapy's.")
	require.True(t, ok)
	table, _, ok = strings.Cut(table, "\ntype Stats")
	require.True(t, ok)
	list := &scrapys
	for line := range strings.Lines(table) {
		if strings.Contains(line, "tulle's own") {
			list = &own
		}
		row, ok := strings.CutPrefix(line, "//\t")
		if !ok {
			continue
		}
		if i := strings.Index(row, "  "); i > 0 { // what it means
			row = row[:i]
		}
		for key := range strings.SplitSeq(strings.TrimSpace(row), ", ") {
			key, _, _ = strings.Cut(key, " ") // the longest are a space from what they mean
			*list = append(*list, key)
		}
	}
	return scrapys, own
}

// rowOf is the row that a key belongs to, or "".
func rowOf(key string, rows []string) string {
	for _, row := range rows {
		before, placeholder, _ := cutLast(row, "/")
		if key == row {
			return row
		}
		if strings.ToUpper(placeholder) == placeholder && strings.HasPrefix(key, before+"/") && key != before+"/count" {
			return row
		}
	}
	return ""
}

func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

// TestTheTableOfStats holds the table against crawls in which nearly everything happens: what they count is in it, and what of it they don't count stands in the source.
func TestTheTableOfStats(t *testing.T) {
	t.Parallel()
	scrapys, own := statRows(t)
	require.Greater(t, len(scrapys), 60)
	seen := make(map[string]bool)
	rows := slices.Concat(scrapys, own)
	note := func(res *crawltest.Result) {
		require.NotNil(t, res)
		for key := range res.Stats.Snapshot() {
			row := rowOf(key, rows)
			require.NotEmpty(t, row, "%s is not in the table", key)
			seen[row] = true
		}
	}
	note(eventful(t, func(s *crawl.Settings) { s.Memory.Limit = math.MaxInt64 }))
	note(eventful(t, func(s *crawl.Settings) { s.Depth.Verbose, s.Memory = true, crawl.MemorySettings{Warn: 1, Limit: 1} }))
	note(everythingGoesWrong(t, func(*crawl.Settings) {}))
	note(everythingGoesWrong(t, func(s *crawl.Settings) { s.Job.Dir, s.Parts.Job = t.TempDir(), jobdir.Open }))
	dir := t.TempDir()
	for range 2 {
		note(cachedCrawl(t, dir))
	}
	synctest.Test(t, func(t *testing.T) {
		site := newMortal()
		spider := linked("mortal.example", 50)
		parse := spider.Parse
		spider.Parse = func(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
			if r.URL.Path == "/20" {
				site.down.Store(true)
				time.AfterFunc(2*time.Minute, func() { site.down.Store(false) })
			}
			return parse(ctx, r, out)
		}
		note(crawltest.Run(t, spider, impolite(), site.Site))
	})

	literals := sourceTexts(t)
	for _, row := range rows {
		if seen[row] {
			continue
		}
		before, after, _ := cutLast(row, "/")
		if strings.ToUpper(after) == after {
			row = before + "/"
		}
		t.Logf("%s: not counted in these crawls", row)
		found := literals[row] || literals[before+"/"] && literals[after]
		require.True(t, found, "%s is in the table, and nobody counts it", row)
	}
}

// sourceTexts are all texts in the sources of the module.
func sourceTexts(t *testing.T) map[string]bool {
	texts := make(map[string]bool)
	quoted := regexp.MustCompile(`"([^"\\\n]*)"`)
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		for _, m := range quoted.FindAllStringSubmatch(string(src), -1) {
			texts[m[1]] = true
		}
		return err
	}))
	return texts
}

// everythingGoesWrong is a crawl of what can go wrong.
func everythingGoesWrong(t *testing.T, change func(*crawl.Settings)) *crawltest.Result {
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/robots.txt":
			fmt.Fprint(w, "User-agent: *\nDisallow: /forbidden")
		case r.URL.Path == "/503":
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/404":
			http.NotFound(w, r)
		case r.URL.Path == "/zip":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			fmt.Fprint(z, "some text")
			_ = z.Close()
		}
	}))
	site.Refuse("down.example", nil)
	spider := &crawl.Spider{Name: "wrong", AllowedDomains: []string{"a.example", "down.example"}}
	spider.Start = func(_ context.Context, out *crawl.Out) error {
		out.Request(crawl.Get("http://a.example/"))
		out.Request(crawl.Get("http://a.example/unreadable", func(r *crawl.Request) { r.DontFilter, r.Data = true, []byte("{") }))
		return nil
	}
	spider.Parse = func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
		for _, ref := range []string{"/", "/503", "/404", "/zip", "/deeper", "/forbidden", "http://b.example/", "http://down.example/", "http://[", "/" + strings.Repeat("x", 3000)} {
			out.Follow(ref+"", "")
		}
		out.Item(map[string]any{"page": r.URL.Path})
		return errors.New("as the test wants")
	}
	settings := crawl.Settings{Depth: crawl.DepthSettings{Limit: 1, Verbose: true}, Retry: crawl.RetrySettings{Times: 1, BackOff: -1}}
	change(&settings)
	return crawltest.Run(t, spider, settings, site)
}

// cachedCrawl is a crawl with a cache in a folder.
func cachedCrawl(t *testing.T, dir string) *crawltest.Result {
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"one"`)
		switch r.URL.Path {
		case "/0":
			w.Header().Set("Cache-Control", "no-store")
		case "/1":
			w.Header().Set("Cache-Control", "max-age=1000")
		case "/2":
			if r.Header.Get("If-None-Match") != "" {
				w.WriteHeader(http.StatusNotModified)
			}
		}
	}))
	settings := impolite()
	settings.HTTPCache = crawl.HTTPCacheSettings{On: true, Dir: dir, Policy: crawl.CacheRFC9111}
	return crawltest.Run(t, starts("a.example", 4), settings, site)
}

// TestStatsAtTheEnd looks at what stands when a crawl is over, and at what the log says of it.
func TestStatsAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		settings := impolite()
		settings.DownloadDelay, settings.FixedDelay = 10*time.Second, true
		spider := linked("a.example", 12)
		res := crawltest.Run(t, spider, settings, ok(0))
		all := res.Stats.Snapshot()
		require.Equal(t, 120.0, all["elapsed_time_seconds"])
		require.Equal(t, 6.5, all["responses_per_minute"])
		require.Equal(t, 6.5, all["items_per_minute"])
		require.EqualValues(t, 13, all["scheduler/enqueued/memory"])
		require.EqualValues(t, 13, all["scheduler/dequeued/memory"])
		told := res.Log.FilterMessage("stats").All()
		require.Len(t, told, 1)
		require.Len(t, told[0].Context, 1)
		dump := told[0].ContextMap()["stats"].(map[string]any)
		require.Equal(t, slices.Sorted(maps.Keys(all)), slices.Sorted(maps.Keys(dump)))
		require.Equal(t, "finished", dump["finish_reason"])

		settings.Log.HideStats = true
		require.Zero(t, crawltest.Run(t, spider, settings, ok(0)).Log.FilterMessage("stats").Len())
	})
}

// TestRatesOfTheLastMinute has a site that is fast for two minutes, slow for two, and then silent.
func TestRatesOfTheLastMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		spider := &crawl.Spider{Name: "rates", Start: func(ctx context.Context, out *crawl.Out) error {
			for i := 0; ; i++ {
				out.Request(crawl.Get(fmt.Sprintf("http://a.example/%d", i)))
				wait := time.Second
				if i >= 120 {
					wait = 10 * time.Second
				}
				if i == 132 {
					wait = time.Hour
				}
				select {
				case <-time.After(wait):
				case <-ctx.Done():
					return nil
				}
			}
		}, Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			out.Item(map[string]any{"page": r.URL.Path})
			return nil
		}}
		e, wait := crawltest.Start(t, spider, impolite(), ok(0))
		rates := func(after time.Duration) (pages, items float64) {
			time.Sleep(after)
			s := e.Snapshot()
			return s.PagesPerMinute, s.ItemsPerMinute
		}
		near := func(want, got float64) {
			t.Helper()
			require.InDelta(t, want, got, 0.1*want+0.01)
		}
		pages, items := rates(30 * time.Second)
		near(60, pages)
		near(60, items)
		pages, _ = rates(75 * time.Second)
		near(60, pages)
		pages, items = rates(2 * time.Minute)
		near(6, pages)
		near(6, items)
		_, _ = rates(time.Minute)
		pages, _ = rates(time.Minute)
		require.Zero(t, pages)
		e.Stop("enough")
		require.Equal(t, "enough", wait().Reason)
	})
}

// TestReport looks at a crawl in the middle of it.
func TestReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		release := sync.OnceFunc(func() { close(let) })
		defer release()
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Host == "slow.example" || strings.HasPrefix(r.URL.Path, "/file") {
				<-let
			}
		}))
		spider := starts("slow.example quick.example", 20)
		spider.Parse = func(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
			switch r.URL.Path {
			case "/3":
				<-let
			case "/4":
				out.Item(wants("http://quick.example/file"))
			}
			return nil
		}
		settings := filed()
		settings.Slots = map[string]crawl.Limits{"slow.example": {Concurrency: 3}}
		e, wait := crawltest.Start(t, spider, settings, site)
		time.Sleep(time.Minute)
		text := regexp.MustCompile(" +").ReplaceAllString(e.Report(), " ")
		for _, want := range []string{
			"starts: running for 1m0s\n",
			"queue 17 queued, 0 of them retries that wait; about 0 may leave now; 2 hosts; Start has ended\n",
			"downloads 4 of 16, 3 of them pages; 1 files are asked for\n",
			"callbacks 1 of 16\n",
			"items 1 of 10000 in the pipelines\n",
			"in work, the oldest of 6\n",
			" 1m0s <GET http://slow.example/0> loads\n",
			" 1m0s <GET http://quick.example/3> in its callback for 1m0s\n",
			" 1m0s <GET http://quick.example/4> waits for its items (1)\n",
			" 1m0s <GET http://quick.example/file> file\n",
			" slow.example 3 pages load 0 are in work 0 files at most 3 at once\n",
			" quick.example 0 pages load 2 are in work 1 files at most 8 at once\n",
		} {
			require.Contains(t, text, want)
		}
		release()
		require.Equal(t, "finished", wait().Reason)
		require.Equal(t, "starts: closed\n", e.Report())
	})
}

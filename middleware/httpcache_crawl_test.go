package middleware_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/middleware/cachedb"
	"github.com/tulle-go/tulle/scheduler/jobdir"
)

// shop is a site with a page of links, one of which is a redirect, and a cookie that every page asks for.
func shop() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/robots.txt", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("User-agent: *\nDisallow: /secret\n"))
	})
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
		var b strings.Builder
		b.WriteString(`<title>home</title><a href="/secret">x</a><a href="/moved">x</a>`)
		for i := range 5 {
			fmt.Fprintf(&b, `<a href="/page/%d">x</a>`, i)
		}
		w.Header().Set("Content-Encoding", "gzip")
		zw := gzip.NewWriter(w)
		_, _ = zw.Write([]byte(b.String()))
		_ = zw.Close()
	})
	mux.Handle("/moved", http.RedirectHandler("/page/moved", http.StatusMovedPermanently))
	mux.HandleFunc("/page/{name}", func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("session"); err != nil || c.Value != "1" {
			http.Error(w, "no session", http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, "<title>%s</title>", r.PathValue("name"))
	})
	return mux
}

func titles() *crawl.Spider {
	return &crawl.Spider{
		Name: "titles", StartURLs: []string{"http://shop.example/"},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			out.Item(map[string]any{"title": r.Text("title"), "cached": r.Has("cached")})
			out.FollowAll("a", "")
			return nil
		},
	}
}

func titlesOf(t *testing.T, res *crawltest.Result, cached bool) (list []string) {
	t.Helper()
	require.Equal(t, "finished", res.Reason)
	for _, item := range res.Items {
		m := item.(map[string]any)
		require.Equal(t, cached, m["cached"], m["title"])
		list = append(list, m["title"].(string))
	}
	slices.Sort(list)
	return list
}

// TestCrawlOutOfTheCache crawls a site twice, the second time without a network: robots.txt, cookies, redirects and compressed pages are as they were.
func TestCrawlOutOfTheCache(t *testing.T) {
	t.Parallel()
	for _, storage := range []string{"files", "embedded"} {
		t.Run(storage, func(t *testing.T) {
			t.Parallel()
			settings := crawl.Settings{
				HTTPCache: crawl.HTTPCacheSettings{On: true, Dir: t.TempDir(), Storage: storage},
				Parts:     crawl.Parts{CacheStorages: map[string]crawl.OpenCacheStorage{"embedded": cachedb.Open}},
			}
			site := crawltest.Handler(shop())
			first := crawltest.Run(t, titles(), settings, site)
			want := []string{"0", "1", "2", "3", "4", "home", "moved"}
			require.Equal(t, want, titlesOf(t, first, false))
			asked := len(site.Asked())
			require.Equal(t, 9, asked, "robots.txt, the redirect and seven pages")

			settings.HTTPCache.Offline = true
			again := crawltest.Run(t, titles(), settings, site)
			require.Equal(t, want, titlesOf(t, again, true))
			require.Len(t, site.Asked(), asked)
			require.EqualValues(t, 9, again.Stats.Int("httpcache/hit"))
			require.EqualValues(t, 9, again.Stats.Int("downloader/response_count"), "as in Scrapy, what the cache answers counts")
			require.EqualValues(t, 1, again.Stats.Int("robotstxt/forbidden"))
		})
	}
}

// TestCachedPagesTakeNoDelay measures both crawls: what is in the cache costs no politeness, what is not keeps its distance to what was asked.
func TestCachedPagesTakeNoDelay(t *testing.T) {
	t.Parallel()
	for _, ignoreRobots := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/old" {
					http.Redirect(w, r, "/a", http.StatusFound)
				}
			}))
			settings := crawl.Settings{
				DownloadDelay: time.Hour, FixedDelay: true, Robots: crawl.RobotsSettings{Ignore: ignoreRobots},
				HTTPCache: crawl.HTTPCacheSettings{On: true, Dir: t.TempDir()},
			}
			run := func(paths ...string) (time.Duration, []time.Time) {
				spider := &crawl.Spider{Name: "s", Parse: func(context.Context, *crawl.Response, *crawl.Out) error { return nil }}
				for _, p := range paths {
					spider.StartURLs = append(spider.StartURLs, "http://h.example/"+p)
				}
				before, asked := time.Now(), len(site.Arrivals("h.example"))
				require.Equal(t, "finished", crawltest.Run(t, spider, settings, site).Reason)
				return time.Since(before), site.Arrivals("h.example")[asked:]
			}
			took, asked := run("a", "b", "c", "old")
			require.GreaterOrEqual(t, took, 3*time.Hour)
			for i := 1; i < len(asked); i++ {
				require.GreaterOrEqual(t, asked[i].Sub(asked[i-1]), time.Hour)
			}
			took, asked = run("a", "b", "c", "old")
			require.Empty(t, asked)
			require.Less(t, took, time.Second)

			took, asked = run("a", "new1", "b", "c", "new2", "old", "new3")
			require.Len(t, asked, 3)
			for i := 1; i < len(asked); i++ {
				require.GreaterOrEqual(t, asked[i].Sub(asked[i-1]), time.Hour)
			}
			require.Less(t, took, 2*time.Hour+time.Minute)
		})
	}
}

// TestCacheAndJob stops a crawl in the middle, and resumes it: what was fetched comes out of the cache or is not asked again, and each item is there once.
func TestCacheAndJob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	settings := crawl.Settings{
		ConcurrentRequests: 1,
		HTTPCache:          crawl.HTTPCacheSettings{On: true, Dir: filepath.Join(dir, "cache"), Storage: "embedded"},
		Job:                crawl.JobSettings{Dir: filepath.Join(dir, "job"), MinFree: -1},
		Parts:              crawl.Parts{Job: jobdir.Open, CacheStorages: map[string]crawl.OpenCacheStorage{"embedded": cachedb.Open}},
	}
	site := crawltest.Handler(shop())
	spider := titles()
	parse, pages, home := spider.Parse, new(atomic.Int32), make(chan struct{})
	spider.Parse = func(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
		switch pages.Add(1) {
		case 1:
			defer close(home)
		case 4:
			<-home // A callback that is told that the crawl stops is called again in the next run.
			return crawl.CloseSpider("enough")
		}
		return parse(ctx, r, out)
	}
	first := crawltest.Run(t, spider, settings, site)
	require.Equal(t, "enough", first.Reason)
	second := crawltest.Run(t, titles(), settings, site)
	require.Equal(t, "finished", second.Reason)
	seen := make(map[string]int)
	for _, url := range site.AskedURLs() {
		seen[url]++
	}
	for url, n := range seen {
		require.Equal(t, 1, n, url)
	}
	require.Len(t, slices.Concat(first.Items, second.Items), 6, "all but the page that closed the crawl")
}

// TestTwoCrawlsOnOneCache has two crawls at once in one folder: both get everything, and what they leave serves a third.
func TestTwoCrawlsOnOneCache(t *testing.T) {
	t.Parallel()
	settings := crawl.Settings{HTTPCache: crawl.HTTPCacheSettings{On: true, Dir: t.TempDir()}, Robots: crawl.RobotsSettings{Ignore: true}}
	large := bytes.Repeat([]byte("<title>large</title>"), 100_000)
	spider := func() *crawl.Spider {
		s := &crawl.Spider{Name: "two", Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			b, err := r.Bytes()
			if err != nil || !bytes.Equal(b, large) {
				return fmt.Errorf("%d bytes: %w", len(b), err)
			}
			out.Item(map[string]any{"cached": r.Has("cached")})
			return nil
		}}
		for i := range 50 {
			s.StartURLs = append(s.StartURLs, "http://h.example/"+strconv.Itoa(i))
		}
		return s
	}
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large) }))
	_, one := crawltest.Start(t, spider(), settings, site)
	_, two := crawltest.Start(t, spider(), settings, site)
	require.Len(t, one().Items, 50)
	require.Len(t, two().Items, 50)
	third := crawltest.Run(t, spider(), settings, site)
	require.Len(t, third.Items, 50)
	require.Empty(t, third.Asked)
	require.Zero(t, third.Stats.Int("httpcache/retrieve_error"))
}

// TestHTTPCacheAsksOnceATurn has a validation that fails for another version: what is asked then waits for the host's delay.
func TestHTTPCacheAsksOnceATurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-cache")
			if r.Header.Get("If-None-Match") != "" {
				w.Header().Set("Etag", `"2"`)
				w.WriteHeader(http.StatusNotModified)
				return
			}
			w.Header().Set("Etag", `"1"`)
			_, _ = w.Write([]byte("<title>page</title>"))
		}))
		settings := crawl.Settings{DownloadDelay: 10 * time.Second, FixedDelay: true, Robots: crawl.RobotsSettings{Ignore: true}}
		settings.HTTPCache = crawl.HTTPCacheSettings{On: true, Dir: t.TempDir(), Policy: crawl.CacheRFC9111}
		for range 2 {
			spider := titles()
			titlesOf(t, crawltest.Run(t, spider, settings, site), false)
		}
		at := site.Arrivals("shop.example")
		require.Len(t, at, 3, "the page; its validation, and the page again")
		require.GreaterOrEqual(t, at[2].Sub(at[1]), 10*time.Second)
	})
}

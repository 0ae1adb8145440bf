package spiders_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/spiders"
)

func urlset(paths ...string) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">`)
	for _, p := range paths {
		fmt.Fprintf(&b, "\n<url><loc>%s</loc></url>", p)
	}
	return b.String() + "</urlset>"
}

func index(paths ...string) string {
	return strings.NewReplacer("urlset", "sitemapindex", "url>", "sitemap>").Replace(urlset(paths...))
}

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

// failures are the errors that callbacks returned.
func failures(res *crawltest.Result) string {
	var all []string
	for _, e := range res.Log.FilterMessage("callback failed").All() {
		all = append(all, fmt.Sprint(e.ContextMap()["error"]))
	}
	return strings.Join(all, "\n")
}

func TestSitemap(t *testing.T) {
	t.Parallel()
	const site = "http://example.com"
	old := `<urlset><url><loc>http://example.com/old</loc><lastmod>2020-01-02</lastmod></url><url><loc>http://example.com/new</loc><lastmod>2025-01-02T03:04:05Z</lastmod>
		<xhtml:link rel="alternate" hreflang="de" href="/neu"/></url><url><loc>http://example.com/undated</loc></url></urlset>`
	for name, c := range map[string]struct {
		site         map[string]string
		opts         spiders.SitemapOptions
		items, asked []string
		errs         []string
	}{
		"one": {
			site: map[string]string{"/sitemap.xml": urlset(site+"/a", site+"/b", site+"/a"), "/a": "", "/b": ""},
			opts: spiders.SitemapOptions{URLs: []string{site + "/sitemap.xml"}}, items: []string{"page /a -1 ", "page /b -1 "},
		},
		"robots, an index, gzip, lines": {
			site: map[string]string{
				"/robots.txt":     "User-agent: *\nAllow: /\nSITEMAP : /maps/index.xml # no comment\n sitemap: http://example.com/maps/index.xml\nSitemap:\nSitemap: http://[::1\n",
				"/maps/index.xml": index("b.xml.gz", site+"/c.txt", "/maps/index.xml"),
				"/maps/b.xml.gz":  zipped(urlset("x", "/y", "//example.com/z?a&amp;b")), "/c.txt": "http://example.com/t\n\nmailto:x\n", "/maps/x": "", "/y": "", "/z?a&b": "", "/t": "",
			},
			opts:  spiders.SitemapOptions{URLs: []string{site}},
			items: []string{"page /maps/x -1 ", "page /t -1 ", "page /y -1 ", "page /z?a&b -1 "},
		},
		"robots.txt that names none": {
			site: map[string]string{"/robots.txt": "User-agent: *\n", "/sitemap.xml": urlset("/a"), "/a": ""},
			opts: spiders.SitemapOptions{URLs: []string{site + "/robots.txt"}}, items: []string{"page /a -1 "},
		},
		"no robots.txt": {
			site: map[string]string{"/sitemap.xml": urlset("/a"), "/a": ""},
			opts: spiders.SitemapOptions{URLs: []string{site + "/"}}, items: []string{"page /a -1 "},
		},
		"robots.txt that is the home page": {
			site: map[string]string{"/robots.txt": "<html><p>Welcome", "/sitemap.xml": urlset("/a"), "/a": ""},
			opts: spiders.SitemapOptions{URLs: []string{site}}, items: []string{"page /a -1 "},
		},
		"rules": {
			site: map[string]string{"/sitemap.xml": urlset("/item/1", "/item/2", "/list", "/else"), "/item/1": "", "/item/2": "", "/list": ""},
			opts: spiders.SitemapOptions{
				URLs:  []string{site + "/sitemap.xml"},
				Rules: []spiders.SitemapRule{{Match: `/item/1`, Route: "one"}, {Match: `/item/`, Route: "item"}, {Match: `list$`}},
			},
			items: []string{"item /item/2 -1 ", "one /item/1 -1 ", "page /list -1 "}, asked: []string{"/item/1", "/item/2", "/list", "/sitemap.xml"},
		},
		"follow": {
			site: map[string]string{"/sitemap.xml": index("/products.xml", "/blog.xml"), "/products.xml": urlset("/a"), "/a": ""},
			opts: spiders.SitemapOptions{URLs: []string{site + "/sitemap.xml"}, Follow: []string{"product"}}, items: []string{"page /a -1 "},
			asked: []string{"/a", "/products.xml", "/sitemap.xml"},
		},
		"since, and other languages": {
			site:  map[string]string{"/sitemap.xml": old, "/new": "", "/neu": "", "/undated": ""},
			opts:  spiders.SitemapOptions{URLs: []string{site + "/sitemap.xml"}, Since: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Alternates: true},
			items: []string{"page /neu -1 ", "page /new -1 ", "page /undated -1 "}, asked: []string{"/neu", "/new", "/sitemap.xml", "/undated"},
		},
		"since a day that had begun": {
			site: map[string]string{"/sitemap.xml": `<urlset><url><loc>/day</loc><lastmod>2024-01-05</lastmod></url><url><loc>/month</loc><lastmod>2024-01</lastmod></url>
				<url><loc>/before</loc><lastmod>2024-01-04</lastmod></url><url><loc>/minute</loc><lastmod>2024-01-05T09:59Z</lastmod></url><url><loc>/then</loc><lastmod>2024-01-05T10:00:00Z</lastmod></url>
				<url><loc>/year</loc><lastmod>2023</lastmod></url></urlset>`, "/day": "", "/month": "", "/then": ""},
			opts:  spiders.SitemapOptions{URLs: []string{site + "/sitemap.xml"}, Since: time.Date(2024, 1, 5, 10, 0, 0, 0, time.UTC)},
			items: []string{"page /day -1 ", "page /month -1 ", "page /then -1 "}, asked: []string{"/day", "/month", "/sitemap.xml", "/then"},
		},
		"robots.txt that is a bomb": {
			site: map[string]string{
				"/robots.txt":  zipped(zipped(strings.Repeat("# nothing\n", 60_000) + "Sitemap: /late.xml\n")),
				"/sitemap.xml": urlset("/a"), "/late.xml": urlset("/b"), "/a": "", "/b": "",
			},
			opts: spiders.SitemapOptions{URLs: []string{site}}, items: []string{"page /a -1 "}, asked: []string{"/a", "/sitemap.xml"},
		},
		"filter": {
			site: map[string]string{"/sitemap.xml": old, "/new2": ""},
			opts: spiders.SitemapOptions{URLs: []string{site + "/sitemap.xml"}, Filter: func(_ context.Context, e *spiders.SitemapEntry) bool {
				e.Loc += "2"
				return e.LastMod.Year() == 2025 && e.Sitemap == site+"/sitemap.xml"
			}},
			items: []string{"page /new2 -1 "},
		},
		"HTML in its place": {
			site: map[string]string{"/sitemap.xml": "<!doctype html><html><a href=/a>Sign in</a>", "/a": ""},
			opts: spiders.SitemapOptions{URLs: []string{site + "/sitemap.xml"}}, asked: []string{"/sitemap.xml"},
			errs: []string{"sitemap http://example.com/sitemap.xml: it is HTML, not a sitemap"},
		},
		"cut": {
			site: map[string]string{"/sitemap.xml": strings.TrimSuffix(urlset("/a", "/b"), "</url></urlset>"), "/a": "", "/b": ""},
			opts: spiders.SitemapOptions{URLs: []string{site + "/sitemap.xml"}}, items: []string{"page /a -1 ", "page /b -1 "},
			errs: []string{"sitemap http://example.com/sitemap.xml: line 3: it ends early, without </urlset> (2 entries were read)"},
		},
		"too large": {
			site: map[string]string{"/sitemap.xml": zipped(urlset("/a", strings.Repeat("/b", 1000))), "/a": ""},
			opts: spiders.SitemapOptions{URLs: []string{site + "/sitemap.xml"}, MaxSize: 500}, items: []string{"page /a -1 "},
			errs: []string{"too large: more than 500 bytes, inflated"},
		},
		"of this machine": {
			site: map[string]string{"/sitemap.xml": urlset("file:///etc/passwd", "javascript:alert(1)", "", "/a"), "/a": ""},
			opts: spiders.SitemapOptions{URLs: []string{site + "/sitemap.xml"}}, items: []string{"page /a -1 "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spider := spiders.Sitemap(crawl.Spider{
				Name: "map", AllowedDomains: []string{"example.com"}, Parse: seen("page"), Routes: map[string]crawl.Callback{"one": seen("one"), "item": seen("item")},
			}, c.opts)
			res := crawltest.Run(t, spider, crawl.Settings{}, pages(c.site))
			require.Equal(t, "finished", res.Reason)
			require.Equal(t, c.items, items(res))
			if c.asked != nil {
				require.Equal(t, c.asked, asked(res))
			}
			require.EqualValues(t, len(c.errs), res.Stats.Int("spider_exceptions/count"), failures(res))
			for _, e := range c.errs {
				require.Contains(t, failures(res), e)
			}
		})
	}
}

// A robots.txt that leads to a page elsewhere names no sitemap.
func TestSitemapOfARobotsTxtThatIsRedirected(t *testing.T) {
	t.Parallel()
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/robots.txt":
			http.Redirect(w, r, "/home", http.StatusFound)
		case "/sitemap.xml":
			fmt.Fprint(w, urlset("/a"))
		}
	}))
	spider := spiders.Sitemap(crawl.Spider{Name: "map", Parse: seen("page")}, spiders.SitemapOptions{URLs: []string{"http://example.com"}})
	res := crawltest.Run(t, spider, crawl.Settings{}, site)
	require.Equal(t, []string{"page /a -1 "}, items(res))
	require.Empty(t, failures(res))
}

// What is skipped is counted, and said with its line.
func TestSitemapSkips(t *testing.T) {
	t.Parallel()
	spider := spiders.Sitemap(crawl.Spider{Name: "map", Parse: seen("page")}, spiders.SitemapOptions{URLs: []string{"http://example.com/sitemap.xml"}})
	res := crawltest.Run(t, spider, crawl.Settings{}, pages(map[string]string{"/sitemap.xml": urlset("/a", "http://[::1", "file:///x"), "/a": ""}))
	require.EqualValues(t, 2, res.Stats.Int("sitemap/skipped_count"))
	require.EqualValues(t, 1, res.Stats.Int("sitemap/url_count"))
	require.EqualValues(t, 1, res.Stats.Int("sitemap/read_count"))
	said := res.Log.FilterMessage("sitemap entry skipped").All()
	require.Len(t, said, 2)
	require.EqualValues(t, 3, said[0].ContextMap()["line"])
	require.Equal(t, `scheme "file" is not followed`, said[1].ContextMap()["error"])
}

// An entry travels with its request when it is asked for, and costs nothing otherwise.
func TestSitemapEntryTravels(t *testing.T) {
	t.Parallel()
	for _, with := range []bool{true, false} {
		var got spiders.SitemapEntry
		spider := spiders.Sitemap(crawl.Spider{Name: "map", Parse: func(_ context.Context, r *crawl.Response, _ *crawl.Out) error { return r.Data(&got) }},
			spiders.SitemapOptions{URLs: []string{"http://example.com/sitemap.xml"}, WithEntry: with})
		res := crawltest.Run(t, spider, crawl.Settings{}, pages(map[string]string{
			"/sitemap.xml": `<urlset><url><loc>/a</loc><lastmod>2025-01-02</lastmod><priority>0.7</priority><image:image><image:loc>/i.jpg</image:loc></image:image></url></urlset>`, "/a": "",
		}))
		require.Equal(t, "finished", res.Reason)
		if !with {
			require.Zero(t, got)
			continue
		}
		require.Equal(t, spiders.SitemapEntry{
			Loc: "http://example.com/a", LastMod: time.Date(2025, 1, 2, 0, 0, 0, 0, time.UTC), Priority: 0.7, Images: []string{"/i.jpg"}, Sitemap: "http://example.com/sitemap.xml",
		}, got)
	}
}

// Sitemaps may stand elsewhere, the pages that they name may not.
func TestSitemapsElsewhere(t *testing.T) {
	t.Parallel()
	spider := spiders.Sitemap(crawl.Spider{Name: "map", AllowedDomains: []string{"example.com"}, Parse: seen("page")}, spiders.SitemapOptions{URLs: []string{"http://example.com"}})
	res := crawltest.Run(t, spider, crawl.Settings{}, pages(map[string]string{
		"/robots.txt": "Sitemap: http://cdn.test/sitemap.xml", "/sitemap.xml": urlset("http://example.com/a", "http://other.test/b"), "/a": "", "/b": "",
	}))
	require.Equal(t, []string{"page /a -1 "}, items(res))
}

// An index that names another one for ever is not followed for ever.
func TestEndlessSitemaps(t *testing.T) {
	t.Parallel()
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		fmt.Fprint(w, index(fmt.Sprintf("/%d", n+1)))
	}))
	spider := spiders.Sitemap(crawl.Spider{Name: "map", Parse: seen("page")}, spiders.SitemapOptions{URLs: []string{"http://example.com/0"}, MaxDepth: 3})
	res := crawltest.Run(t, spider, crawl.Settings{}, site)
	require.Equal(t, []string{"/0", "/1", "/2"}, asked(res))
	require.Contains(t, failures(res), "sitemap http://example.com/2: 3 sitemaps have led to one another")
}

func TestSitemapVerify(t *testing.T) {
	t.Parallel()
	spider := spiders.Sitemap(crawl.Spider{Name: "map", Routes: map[string]crawl.Callback{"item": seen("item")}}, spiders.SitemapOptions{
		URLs: []string{"example.com/sitemap.xml"}, Rules: []spiders.SitemapRule{{Match: "(", Route: "item"}, {Match: "x", Route: "list"}, {}}, Follow: []string{"["},
	})
	_, err := engine.New(spider, crawl.Settings{})
	for _, want := range []string{`rule 0: pattern "("`, `rule 1: the spider has no route "list" (routes: item)`, `Follow: pattern "["`, "no scheme", "lead to Parse, and the spider has none"} {
		require.ErrorContains(t, err, want)
	}
	_, err = engine.New(spiders.Sitemap(crawl.Spider{Name: "map", Parse: seen("x")}, spiders.SitemapOptions{}), crawl.Settings{})
	require.ErrorContains(t, err, "Sitemap has no URLs")
}

// What the spider starts with beside its sitemaps comes too.
func TestSitemapStartsWithOthers(t *testing.T) {
	t.Parallel()
	site := map[string]string{"/sitemap.xml": urlset("/a"), "/a": "", "/b": "", "/c": ""}
	opts := spiders.SitemapOptions{URLs: []string{"http://example.com/sitemap.xml"}}
	res := crawltest.Run(t, spiders.Sitemap(crawl.Spider{Name: "map", StartURLs: []string{"http://example.com/b", "nowhere"}, Parse: seen("page")}, opts), crawl.Settings{}, pages(site))
	require.Equal(t, []string{"page /a -1 ", "page /b -1 "}, items(res))
	require.EqualValues(t, 1, res.Stats.Int("start/bad_url_count"))
	res = crawltest.Run(t, spiders.Sitemap(crawl.Spider{Name: "map", Parse: seen("page"), Start: func(_ context.Context, out *crawl.Out) error {
		out.Request(crawl.Get("http://example.com/c"))
		return nil
	}}, opts), crawl.Settings{}, pages(site))
	require.Equal(t, []string{"page /a -1 ", "page /c -1 "}, items(res))
}

// largeSitemap writes one of n addresses.
func largeSitemap(w http.ResponseWriter, n, from int, filler string) {
	fmt.Fprint(w, `<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">`)
	for i := range n {
		fmt.Fprintf(w, "\n<url><loc>http://example.com/products/%d</loc><!-- %s --><lastmod>2025-01-02</lastmod></url>", from+i, filler)
	}
	fmt.Fprint(w, "</urlset>")
}

// A sitemap of 50,000 addresses and 50 MB is read without holding it: it stands in a spool file, and what is read of it is let go. All but one of its addresses are left out,
// as what is asked for waits in the queue.
func TestLargeSitemapCostsNoMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 50 MB")
	}
	const n = 50_000
	filler := strings.Repeat("x", 950)
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sitemap.xml" {
			largeSitemap(w, n, 0, filler)
		}
	}))
	var before, now runtime.MemStats
	var most uint64
	entries := 0
	spider := spiders.Sitemap(crawl.Spider{Name: "map", Parse: seen("page")}, spiders.SitemapOptions{
		URLs: []string{"http://example.com/sitemap.xml"},
		Filter: func(context.Context, *spiders.SitemapEntry) bool {
			if entries == 0 {
				runtime.GC()
				runtime.ReadMemStats(&before)
			}
			if entries++; entries%10_000 == 0 {
				runtime.GC()
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapAlloc)
			}
			return entries == n
		},
	})
	res := crawltest.Run(t, spider, crawl.Settings{}, site)
	require.Equal(t, n, entries)
	require.Equal(t, []string{"page /products/49999 -1 "}, items(res))
	require.Less(t, int64(most)-int64(before.HeapAlloc), int64(1<<20), "bytes held")
}

// The pages of one sitemap are on their way before the next is read: what waits is one sitemap's, not all of an index.
func TestSitemapsWaitForPages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/sitemap.xml":
				fmt.Fprint(w, index("/0.xml", "/1.xml", "/2.xml"))
			case strings.HasSuffix(r.URL.Path, ".xml"):
				n, _ := strconv.Atoi(r.URL.Path[1:2])
				largeSitemap(w, 50, n*50, "")
			}
		}))
		spider := spiders.Sitemap(crawl.Spider{Name: "map", Parse: seen("page")}, spiders.SitemapOptions{URLs: []string{"http://example.com/sitemap.xml"}})
		res := crawltest.Run(t, spider, crawl.Settings{DownloadDelay: time.Second, FixedDelay: true, Order: "breadth"}, site)
		var at []int
		for i, u := range res.Asked {
			if strings.HasSuffix(u, ".xml") {
				at = append(at, i)
			}
		}
		require.Equal(t, []int{0, 1, 52, 103}, at)
		require.Len(t, res.Asked, 154)
	})
}

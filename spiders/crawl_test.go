package spiders_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/scheduler/jobdir"
	"github.com/tulle-go/tulle/spiders"
	"github.com/tulle-go/tulle/spiders/links"
)

// pages is a site of a few pages by path; what is not there is 404. Paths that end in .xml, .gz and .txt have types of their own.
func pages(of map[string]string) crawltest.Site {
	return crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := of[r.URL.RequestURI()]
		switch {
		case !ok:
			http.NotFound(w, r)
			return
		case strings.HasSuffix(r.URL.Path, ".txt"):
			w.Header().Set("Content-Type", "text/plain")
		case strings.HasSuffix(r.URL.Path, ".xml"):
			w.Header().Set("Content-Type", "application/xml")
		case strings.HasSuffix(r.URL.Path, ".gz"):
			w.Header().Set("Content-Type", "application/x-gzip")
		default:
			w.Header().Set("Content-Type", "text/html")
		}
		fmt.Fprint(w, body)
	}))
}

// asked are the paths that were asked, in order of their names.
func asked(res *crawltest.Result) []string {
	var all []string
	for _, u := range res.Asked {
		u = strings.TrimPrefix(strings.TrimPrefix(u, "http://"), "example.com")
		all = append(all, u)
	}
	slices.Sort(all)
	return all
}

// seen is an item of a page: where it was found, and by what.
func seen(kind string) crawl.Callback {
	return func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
		f := spiders.FoundBy(r.Request)
		out.Item(map[string]any{"page": fmt.Sprintf("%s %s %d %s", kind, r.URL.RequestURI(), f.Rule, f.Text)})
		return nil
	}
}

func items(res *crawltest.Result) []string {
	var all []string
	for _, item := range res.Items {
		all = append(all, fmt.Sprint(item.(map[string]any)["page"]))
	}
	slices.Sort(all)
	return all
}

var shop = map[string]string{
	"/":         `<a href="/list/1">Lamps</a> <a href="/item/0">  Offer: <b>Zero</b></a> <a href="/about">About</a> <a href="file:///etc/passwd">no</a>`,
	"/list/1":   `<a href="/item/1">One</a><a href="/item/2">Two</a><a href="/list/2" class=next>Next</a>`,
	"/list/2":   `<a href="/item/2">Two</a><a href="/item/3">Three</a><a href="/list/1">Previous</a>`,
	"/item/0":   `<a href="/item/4">See also</a>`,
	"/item/1":   `<a href="/item/5">See also</a>`,
	"/item/2":   `<a href="/list/3">More</a>`,
	"/item/3":   ``,
	"/item/4":   `<a href="/item/6">Six</a>`,
	"/item/5":   ``,
	"/item/6":   ``,
	"/list/3":   ``,
	"/about":    `<a href="/contact">Contact</a>`,
	"/contact":  ``,
	"/data.txt": `<a href="/item/9">`,
}

func TestCrawl(t *testing.T) {
	t.Parallel()
	item := func() *links.Extractor { return &links.Extractor{Allow: []string{`/item/\d`}} }
	list := func() *links.Extractor { return &links.Extractor{Allow: []string{`/list/\d`}} }
	for name, c := range map[string]struct {
		rules        []spiders.Rule
		items, asked []string
	}{
		"pages of a route are not followed": {
			[]spiders.Rule{{Links: item(), Route: "item"}, {Links: list()}},
			[]string{"item /item/0 0 Offer: Zero", "item /item/1 0 One", "item /item/2 0 Two", "item /item/3 0 Three", "start / -1 "},
			[]string{"/", "/item/0", "/item/1", "/item/2", "/item/3", "/list/1", "/list/2"},
		},
		"unless the rule says so": {
			[]spiders.Rule{{Links: item(), Route: "item", Follow: true}},
			[]string{"item /item/0 0 Offer: Zero", "item /item/4 0 See also", "item /item/6 0 Six", "start / -1 "},
			[]string{"/", "/item/0", "/item/4", "/item/6"},
		},
		"the first rule wins": {
			[]spiders.Rule{{Links: item(), Route: "item"}, {Links: &links.Extractor{Deny: []string{"list"}}, Route: "rest"}},
			[]string{"item /item/0 0 Offer: Zero", "rest /about 1 About", "start / -1 "},
			[]string{"/", "/about", "/item/0"},
		},
		"no extractor is every link": {
			[]spiders.Rule{{Links: item(), Route: "item"}, {}},
			[]string{"item /item/0 0 Offer: Zero", "item /item/1 0 One", "item /item/2 0 Two", "item /item/3 0 Three", "start / -1 "},
			[]string{"/", "/about", "/contact", "/item/0", "/item/1", "/item/2", "/item/3", "/list/1", "/list/2"},
		},
		"hooks": {
			[]spiders.Rule{{
				Links: item(), Route: "item",
				ProcessLinks: func(_ context.Context, _ *crawl.Response, found []links.Link) []links.Link {
					return slices.DeleteFunc(found, func(l links.Link) bool { return strings.HasSuffix(l.URL, "1") })
				},
				ProcessRequest: func(_ context.Context, r *crawl.Response, link links.Link, req *crawl.Request) *crawl.Request {
					if link.Text == "Three" {
						return nil
					}
					crawl.With(spiders.Found{Rule: 7, Text: r.URL.Path})(req)
					return req
				},
			}, {Links: list()}},
			[]string{"item /item/0 7 /", "item /item/2 7 /list/1", "start / -1 "},
			[]string{"/", "/item/0", "/item/2", "/list/1", "/list/2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spider := spiders.Crawl(crawl.Spider{
				Name: "shop", StartURLs: []string{"http://example.com/"}, Parse: seen("start"),
				Routes: map[string]crawl.Callback{"item": seen("item"), "rest": seen("rest")},
			}, c.rules...)
			res := crawltest.Run(t, spider, crawl.Settings{ConcurrentPerHost: 1}, pages(shop))
			require.Equal(t, "finished", res.Reason)
			require.Equal(t, c.items, items(res))
			require.Equal(t, c.asked, asked(res))
			require.Zero(t, res.Stats.Int("spider_exceptions/count"))
		})
	}
}

// Fields that are set afterwards count: routes too.
func TestCrawlFieldsAreTheUsers(t *testing.T) {
	t.Parallel()
	spider := spiders.Crawl(crawl.Spider{Name: "shop", StartURLs: []string{"http://example.com/"}}, spiders.Rule{Route: "page", Follow: true})
	spider.Routes["page"] = seen("page")
	spider.AllowedDomains = []string{"example.com"}
	closed := ""
	spider.Closed = func(_ context.Context, reason string) { closed = reason }
	spider.Configure = func(s *crawl.Settings) { s.Depth.Limit = 1 }
	res := crawltest.Run(t, spider, crawl.Settings{}, pages(shop))
	require.Equal(t, []string{"page /about 0 About", "page /item/0 0 Offer: Zero", "page /list/1 0 Lamps"}, items(res))
	require.Equal(t, "finished", closed)
	require.EqualValues(t, 1, res.Stats.Int("link/skipped_count"), "the file of this machine")
}

// TestCrawlReferers sends with each link what the page and the link's element allow.
func TestCrawlReferers(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	got := make(map[string]string)
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/robots.txt" {
			http.NotFound(w, r)
			return
		}
		mu.Lock()
		got[r.URL.Path] = r.Header.Get("Referer")
		mu.Unlock()
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/":
			fmt.Fprint(w, `<a href=/plain>1</a><a href=/none rel=noreferrer>2</a><a href=/origin referrerpolicy=origin>3</a>`)
		case "/plain":
			fmt.Fprint(w, `<meta name=referrer content=never><a href=/hidden>4</a><a href=/shown referrerpolicy=unsafe-url>5</a>`)
		}
	}))
	res := crawltest.Run(t, spiders.Crawl(crawl.Spider{Name: "s", StartURLs: []string{"http://example.com/"}}, spiders.Rule{}), crawl.Settings{}, site)
	require.Equal(t, "finished", res.Reason)
	require.Equal(t, map[string]string{
		"/": "", "/plain": "http://example.com/", "/none": "", "/origin": "http://example.com/", "/hidden": "", "/shown": "http://example.com/plain",
	}, got)
}

// A page whose callback fails is followed all the same, so that what is behind it is not lost; unless it steers.
func TestCrawlAfterErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		pages  int
		reason string
	}{
		"an error":     {errors.New("no price"), 4, "finished"},
		"close spider": {crawl.CloseSpider("enough"), 1, "enough"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spider := spiders.Crawl(crawl.Spider{
				Name: "shop", StartURLs: []string{"http://example.com/"}, Parse: func(context.Context, *crawl.Response, *crawl.Out) error { return c.err },
				Routes: map[string]crawl.Callback{"page": seen("page")},
			}, spiders.Rule{Route: "page"})
			res := crawltest.Run(t, spider, crawl.Settings{}, pages(shop))
			require.Equal(t, c.reason, res.Reason)
			require.Len(t, res.Asked, c.pages)
		})
	}
}

// A callback that asks for its page again is obeyed, as nothing was followed before.
func TestCrawlAsksAgain(t *testing.T) {
	t.Parallel()
	times := 0
	spider := spiders.Crawl(crawl.Spider{Name: "shop", StartURLs: []string{"http://example.com/"}, Parse: func(_ context.Context, r *crawl.Response, _ *crawl.Out) error {
		if times++; times == 1 {
			return crawl.Reschedule(r.Request, 0, "not ready")
		}
		return nil
	}, Routes: map[string]crawl.Callback{"page": seen("page")}}, spiders.Rule{Route: "page"})
	res := crawltest.Run(t, spider, crawl.Settings{}, pages(shop))
	require.Equal(t, []string{"/", "/", "/about", "/item/0", "/list/1"}, asked(res))
	require.Len(t, res.Items, 3)
}

// A rule is shown the links that no rule before it took.
func TestCrawlRulesShareLinks(t *testing.T) {
	t.Parallel()
	var shown []string
	spider := spiders.Crawl(crawl.Spider{Name: "shop", StartURLs: []string{"http://example.com/"}, Routes: map[string]crawl.Callback{"page": seen("page")}},
		spiders.Rule{Links: &links.Extractor{Allow: []string{"/item/"}}, Route: "page"},
		spiders.Rule{Route: "page", ProcessLinks: func(_ context.Context, _ *crawl.Response, found []links.Link) []links.Link {
			for _, l := range found {
				shown = append(shown, l.URL)
			}
			return nil
		}})
	crawltest.Run(t, spider, crawl.Settings{}, pages(shop))
	require.Equal(t, []string{"http://example.com/list/1", "http://example.com/about", "file:///etc/passwd"}, shown)
}

// What has no links is given to its callback and no further.
func TestCrawlOfWhatIsNoPage(t *testing.T) {
	t.Parallel()
	spider := spiders.Crawl(crawl.Spider{Name: "shop", StartURLs: []string{"http://example.com/data.txt"}, Parse: seen("start")}, spiders.Rule{})
	res := crawltest.Run(t, spider, crawl.Settings{}, pages(shop))
	require.Equal(t, []string{"start /data.txt -1 "}, items(res))
	require.Len(t, res.Asked, 1)
	require.Zero(t, res.Stats.Int("spider_exceptions/count"))
}

func TestCrawlVerify(t *testing.T) {
	t.Parallel()
	spider := spiders.Crawl(crawl.Spider{
		Name: "shop", StartURLs: []string{"http://example.com/"}, Routes: map[string]crawl.Callback{"item": seen("item"), "list": seen("list")},
		Verify: func(*crawl.Spider) error { return errors.New("the user's own") },
	}, spiders.Rule{Route: "item", Follow: true}, spiders.Rule{Route: "itme"}, spiders.Rule{Links: &links.Extractor{Allow: []string{"("}}})
	_, err := engine.New(spider, crawl.Settings{})
	require.ErrorContains(t, err, `rule 1: the spider has no route "itme" (routes: item, list)`)
	require.ErrorContains(t, err, `rule 2: link extractor: Allow: pattern "("`)
	require.ErrorContains(t, err, "the user's own")
	_, err = engine.New(spiders.Crawl(crawl.Spider{Name: "shop", StartURLs: []string{"http://example.com/"}}), crawl.Settings{})
	require.ErrorContains(t, err, "Crawl has no rules")
}

// A crawl that is stopped and gone on with by a new process, which has nothing but the job, gives what one without a break gives.
func TestCrawlInAJob(t *testing.T) {
	t.Parallel()
	again := func() *crawl.Spider {
		return spiders.Crawl(crawl.Spider{
			Name: "shop", StartURLs: []string{"http://example.com/"}, Routes: map[string]crawl.Callback{"item": seen("item")},
		}, spiders.Rule{Links: &links.Extractor{Allow: []string{"/item/"}}, Route: "item", Follow: true}, spiders.Rule{})
	}
	settings := crawl.Settings{
		ConcurrentPerHost: 1, Job: crawl.JobSettings{Dir: filepath.Join(t.TempDir(), "job"), MinFree: -1}, Parts: crawl.Parts{Job: jobdir.Open},
	}
	var all, runs []string
	for reason := ""; reason != "finished"; {
		require.Less(t, len(runs), 30)
		limited, made := settings, make(chan *engine.Engine, 1)
		limited.Trace.ResponseReceived = func(*crawl.Response) { // the first; the rest find it stopped
			e := <-made
			e.Stop("a bit")
			made <- e
		}
		e, wait := crawltest.Start(t, again(), limited, pages(shop))
		made <- e
		res := wait()
		reason = res.Reason
		all, runs = append(all, items(res)...), append(runs, reason)
	}
	require.Greater(t, len(runs), 3)
	slices.Sort(all)
	require.Equal(t, []string{
		"item /item/0 0 Offer: Zero", "item /item/1 0 One", "item /item/2 0 Two", "item /item/3 0 Three", "item /item/4 0 See also", "item /item/5 0 See also", "item /item/6 0 Six",
	}, slices.Compact(all)) // a page that is read while the crawl stops is read again; feeds have its items once
}

// A job whose rule does not follow any more goes on: the pages that wait have their callback, and their links are left.
func TestCrawlInAJobWithoutFollow(t *testing.T) {
	t.Parallel()
	settings := crawl.Settings{
		ConcurrentPerHost: 1, Job: crawl.JobSettings{Dir: filepath.Join(t.TempDir(), "job"), MinFree: -1}, Parts: crawl.Parts{Job: jobdir.Open},
	}
	run := func(follow bool, stop string) *crawltest.Result {
		spider := spiders.Crawl(crawl.Spider{
			Name: "shop", StartURLs: []string{"http://example.com/"}, Routes: map[string]crawl.Callback{"item": seen("item")},
		}, spiders.Rule{Links: &links.Extractor{Allow: []string{"/item/"}}, Route: "item", Follow: follow})
		limited, made := settings, make(chan *engine.Engine, 1)
		limited.Trace.ResponseReceived = func(*crawl.Response) {
			e := <-made
			if stop != "" {
				e.Stop(stop)
			}
			made <- e
		}
		e, wait := crawltest.Start(t, spider, limited, pages(map[string]string{"/": `<a href=/item/1>1</a><a href=/item/2>2</a>`, "/item/1": `<a href=/item/3>3</a>`, "/item/2": ""}))
		made <- e
		return wait()
	}
	require.Equal(t, "a bit", run(true, "a bit").Reason)
	res := run(false, "")
	require.Equal(t, "finished", res.Reason)
	require.Equal(t, []string{"item /item/1 0 1", "item /item/2 0 2"}, items(res))
	require.NotContains(t, asked(res), "/item/3")
}

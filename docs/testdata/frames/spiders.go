package page

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/scheduler/jobdir"
)

type Book struct {
	Title string `json:"title" css:"h1"`
}

func parseList(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
	out.FollowAll("article.product_pod h3 a", "book")
	out.FollowAll("li.next a", "")
	return nil
}

func parseBook(_ context.Context, r *crawl.Response, out *crawl.Out) error {
	book, err := crawl.Extract[Book](r)
	out.Item(&book)
	return err
}

func TestBooks(t *testing.T) {
	spider, err := Books(map[string]string{})
	require.NoError(t, err)
	require.ElementsMatch(t, []any{&Book{"A Light in the Attic"}, &Book{"Tipping the Velvet"}, &Book{"Soumission"}}, finished(t, spider, crawl.Settings{}, bookshop()).Items)
}

func TestFollows(t *testing.T) {
	called := works(t, follows, "https://example.org/list/", `<article><h3><a href="1">One</a></h3></article><article><h3><a href="2">Two</a></h3></article><li class="next"><a href="?page=2">next</a></li>`)
	require.Equal(t, []string{"book https://example.org/list/1", "book https://example.org/list/2", " https://example.org/list/?page=2", " https://example.com/"}, addresses(called.Requests))
}

func TestTravels(t *testing.T) {
	spider := &crawl.Spider{Name: "books", StartURLs: []string{"https://example.com/"}, Parse: parseCategory, Routes: map[string]crawl.Callback{"book": parseDetail}}
	res := finished(t, spider, crawl.Settings{}, site(map[string]string{"/": `<h1>Travel</h1><h3><a href="/1">One</a></h3>`, "/1": "<h1>One</h1>"}))
	require.Equal(t, []any{map[string]any{"category": "Travel", "title": "One"}}, res.Items)
}

// In a job that is stopped after a thousand pages and goes on, each page is asked once, and Start does not begin anew.
func TestStart(t *testing.T) {
	settings := crawl.Settings{HTTPError: crawl.HTTPErrorSettings{AllowAll: true}, Log: crawl.LogSettings{Level: "warn"}}
	settings.Parts.Job, settings.Job.Dir = jobdir.Open, "job"
	settings.Start.Ahead = 100
	stop := "/items/1100"
	spider, settings, err := start(t.Context(), &crawl.Spider{Name: "items", Parse: func(_ context.Context, r *crawl.Response, _ *crawl.Out) error {
		if r.URL.Path == stop {
			return crawl.CloseSpider("enough")
		}
		return nil
	}}, settings)
	require.NoError(t, err)
	res := crawltest.Run(t, spider, settings, site(nil))
	require.Equal(t, "enough", res.Reason)
	require.Contains(t, res.Asked[:settings.ConcurrentRequests+16], "https://example.com/items/1", "of those at once any may come first")
	asked := len(res.Asked)
	require.GreaterOrEqual(t, asked, 1100)
	require.Less(t, asked, 1300)

	stop = ""
	res = crawltest.Run(t, spider, settings, site(nil))
	require.Equal(t, "finished", res.Reason)
	require.Equal(t, 5000, asked+len(res.Asked))
	require.Less(t, res.Stats.Int("dupefilter/filtered"), int64(1000), "it goes on from its last checkpoint")
}

func TestSitemap(t *testing.T) {
	spider, settings, err := sitemap(t.Context(), nil, crawl.Settings{})
	require.NoError(t, err)
	res := finished(t, spider, settings, site(map[string]string{
		"/robots.txt": "Sitemap: https://example.com/map.xml\n",
		"/map.xml": `<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>https://example.com/products/1</loc></url><url><loc>https://example.com/about</loc></url>
			<url><loc>https://example.com/products/2</loc><lastmod>2001-01-01</lastmod></url></urlset>`,
		"/products/1": "<h1>One</h1>", "/products/2": "<h1>Two</h1>", "/about": "<h1>About</h1>",
	}))
	require.Equal(t, []any{&Book{"One"}}, res.Items)
}

func TestList(t *testing.T) {
	require.NoError(t, os.WriteFile("urls.txt", []byte("https://example.com/1\n\nhttps://example.org/2\n"), 0o644))
	spider, settings, err := list(t.Context(), nil, crawl.Settings{})
	require.NoError(t, err)
	require.ElementsMatch(t, []any{&Book{"One"}, &Book{"Two"}}, finished(t, spider, settings, site(map[string]string{"/1": "<h1>One</h1>", "/2": "<h1>Two</h1>"})).Items)
}

func TestErrback(t *testing.T) {
	spider, settings, err := errback(t.Context(), &crawl.Spider{Name: "books", StartURLs: []string{"https://example.com/none"}, Parse: parseBook}, crawl.Settings{})
	require.NoError(t, err)
	require.Equal(t, []any{map[string]any{"gone": "https://example.com/none"}}, crawltest.Run(t, spider, settings, site(nil)).Items)
}

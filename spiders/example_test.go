package spiders_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/spiders"
	"github.com/tulle-go/tulle/spiders/bundled"
	"github.com/tulle-go/tulle/spiders/links"
)

// bundledShop serves the shop that comes with the binary, whose pages are at http://shop.localhost/, and makes settings that find it.
func bundledShop() (settings crawl.Settings, stop func()) {
	server := httptest.NewServer(bundled.NewSite(bundled.SiteOptions{Products: 6}))
	settings.Download.ConnectTo = map[string]string{bundled.SiteHost + ":80": strings.TrimPrefix(server.URL, "http://")}
	settings.Log.Level = "error"
	return settings, server.Close
}

// The shop by two rules: all departments and categories for their links, products for what they say.
func ExampleCrawl() {
	settings, stop := bundledShop()
	defer stop()
	spider := spiders.Crawl(crawl.Spider{
		Name:      "shop",
		StartURLs: []string{"http://shop.localhost/"},
		Routes: map[string]crawl.Callback{
			"product": func(_ context.Context, r *crawl.Response, _ *crawl.Out) error {
				fmt.Println(r.Text("h1"))
				return nil
			},
		},
	},
		spiders.Rule{Links: &links.Extractor{RestrictCSS: []string{"article.product-card"}}, Route: "product"},
		spiders.Rule{Links: &links.Extractor{RestrictCSS: []string{"nav", "main"}, Deny: []string{"/pages/"}}},
	)
	result, err := engine.Run(context.Background(), spider, settings)
	fmt.Println(result.Reason, err)
	// Unordered output:
	// Calla Overlock Cone in Forest
	// Esker Jug in Rust
	// Ines Floor Lamp, Ink Walnut
	// Lark Mug in Indigo
	// Oda Serving Bowl in Terracotta
	// Posy Dining Chair in Walnut
	// finished <nil>
}

// What changed since November, from the shop's own sitemap, which its robots.txt names.
func ExampleSitemap() {
	settings, stop := bundledShop()
	defer stop()
	spider := spiders.Sitemap(crawl.Spider{
		Name: "shop",
		Routes: map[string]crawl.Callback{
			"product": func(_ context.Context, r *crawl.Response, _ *crawl.Out) error {
				var entry spiders.SitemapEntry
				if err := r.Data(&entry); err != nil {
					return err
				}
				fmt.Println(r.Text("h1"), entry.LastMod.Format(time.DateOnly))
				return nil
			},
		},
	}, spiders.SitemapOptions{
		URLs:      []string{"http://shop.localhost/"},
		Rules:     []spiders.SitemapRule{{Match: `/products/`, Route: "product"}},
		Since:     time.Date(2025, 11, 1, 0, 0, 0, 0, time.UTC),
		WithEntry: true,
	})
	result, err := engine.Run(context.Background(), spider, settings)
	fmt.Println(result.Reason, result.Stats.Int("sitemap/url_count"), err)
	// Unordered output:
	// Calla Overlock Cone in Forest 2025-11-04
	// Oda Serving Bowl in Terracotta 2025-12-30
	// Posy Dining Chair in Walnut 2025-12-16
	// finished 3 <nil>
}

// A table of addresses, whose other columns are read where the page is. A list in a file is said by Path alone.
func ExampleURLs() {
	settings, stop := bundledShop()
	defer stop()
	const table = `url,shelf
http://shop.localhost/pages/about,A1
http://shop.localhost/pages/delivery,B2
no address,C3
`
	spider := spiders.URLs(crawl.Spider{
		Name: "list",
		Parse: func(_ context.Context, r *crawl.Response, _ *crawl.Out) error {
			var row struct{ Shelf string }
			if err := r.Data(&row); err != nil {
				return err
			}
			fmt.Println(row.Shelf, r.Text("h1"))
			return nil
		},
	}, spiders.URLList{
		Path:    "shelves.csv",
		Open:    func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(table)), nil },
		WithRow: true,
	})
	result, err := engine.Run(context.Background(), spider, settings)
	fmt.Println(result.Reason, result.Stats.Int("urls/bad_line_count"), err)
	// Unordered output:
	// A1 About Bobbinet
	// B2 Delivery & returns
	// finished 1 <nil>
}

// How a page was found travels with its request.
func ExampleFoundBy() {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<html><a href="/lamp">Our <b>best</b> lamp</a>`)
	}))
	defer site.Close()
	spider := spiders.Crawl(crawl.Spider{
		Name:      "shop",
		StartURLs: []string{site.URL},
		Routes: map[string]crawl.Callback{
			"page": func(_ context.Context, r *crawl.Response, _ *crawl.Out) error {
				found := spiders.FoundBy(r.Request)
				fmt.Println(r.URL.Path, found.Rule, found.Text)
				return nil
			},
		},
	}, spiders.Rule{Route: "page"})
	if _, err := engine.Run(context.Background(), spider, crawl.Settings{Log: crawl.LogSettings{Level: "error"}}); err != nil {
		fmt.Println(err)
	}
	// Output: /lamp 0 Our best lamp
}

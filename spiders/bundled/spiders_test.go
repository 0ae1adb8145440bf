package bundled_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/spiders/bundled"
)

func TestBooks(t *testing.T) {
	t.Parallel()
	settings := crawl.Settings{Images: crawl.ImagesSettings{Store: t.TempDir()}}
	res := crawltest.Run(t, bundled.Books(), settings, crawltest.Folder("../../testdata/books"))
	require.Equal(t, "finished", res.Reason)
	require.Zero(t, res.Stats.Int("log_count/ERROR"))
	require.Len(t, res.Items, 3)
	byTitle := map[string]*bundled.Book{}
	for _, it := range res.Items {
		b := it.(*bundled.Book)
		byTitle[b.Title] = b
	}
	b := byTitle["A Light in the Attic"]
	require.NotNil(t, b)
	require.Len(t, b.Images, 1)
	require.Equal(t, 200, b.Images[0].Width)
	b.Images = nil
	require.Equal(t, &bundled.Book{
		URL: "https://books.toscrape.com/catalogue/a-light-in-the-attic_1000/index.html", Title: "A Light in the Attic", Price: "£51.77",
		Stars: 3, InStock: true, Category: "Poetry", UPC: "a897fe39b1053632", Description: "It's hard to imagine a world without it.",
		ImageURLs: []string{"https://books.toscrape.com/media/attic.png"},
	}, b)
	require.False(t, byTitle["Soumission"].InStock)
	require.Equal(t, "Dans une France assez proche de la nôtre.", byTitle["Soumission"].Description)
}

func TestQuotes(t *testing.T) {
	t.Parallel()
	spider, err := bundled.Quotes(nil)
	require.NoError(t, err)
	res := crawltest.Run(t, spider, crawl.Settings{}, crawltest.Folder("../../testdata/quotes"))
	require.Len(t, res.Items, 4)
	require.Contains(t, res.Items, any(&bundled.Quote{
		Text: "“The world as we have created it is a process of our thinking.”", Author: "Albert Einstein", Tags: []string{"change", "deep-thoughts"},
	}))
	require.Contains(t, res.Items, any(&bundled.Quote{Text: "“No tags here.”", Author: "André Gide"}))

	spider, err = bundled.Quotes(map[string]string{"tag": "humor"})
	require.NoError(t, err)
	res = crawltest.Run(t, spider, crawl.Settings{}, crawltest.Folder("../../testdata/quotes"))
	require.Len(t, res.Items, 1)
	require.Equal(t, []string{"https://quotes.toscrape.com/tag/humor/"}, res.Asked)
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		spider, name, value, want string
	}{
		{"shop", "products", "many", "want a whole number"},
		{"shop", "products", "0", "want a whole number"},
		{"shop", "product", "5", "it takes: products"},
		{"books", "x", "1", "it takes no arguments"},
		{"quotes", "tags", "x", "it takes: tag"},
	} {
		_, err := bundled.Spiders()[test.spider](map[string]string{test.name: test.value})
		require.ErrorContains(t, err, test.want)
		require.ErrorContains(t, err, "-a "+test.name)
	}
}

// TestShopsOpenNothing makes spiders that nobody crawls, as list --json does. It counts files, so it runs alone.
func TestShopsOpenNothing(t *testing.T) {
	open := func() int {
		files, err := os.ReadDir("/dev/fd")
		if err != nil {
			t.Skip("this system does not say what is open: ", err)
		}
		return len(files)
	}
	before := open()
	for range 10 {
		for _, build := range bundled.Spiders() {
			_, err := build(nil)
			require.NoError(t, err)
		}
	}
	require.InDelta(t, before, open(), 5)
}

// TestShopAgain crawls a shop twice: it closes behind a crawl, and opens for the next.
func TestShopAgain(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"shop", "shop-sitemap", "shop-api"} {
		spider, err := bundled.Spiders()[name](map[string]string{"products": "3"})
		require.NoError(t, err)
		for range 2 {
			dir := t.TempDir()
			res, err := engine.Run(t.Context(), spider, crawl.Settings{
				Images: crawl.ImagesSettings{Store: filepath.Join(dir, "pictures")}, Feeds: []crawl.Feed{{URI: filepath.Join(dir, "items.jsonl")}}, Log: crawl.LogSettings{Level: "error"},
			})
			require.NoError(t, err)
			require.EqualValues(t, 3, res.Stats.Int("item_scraped_count"))
		}
		port := func() string {
			e, err := crawl.Settings{}.Effective(spider)
			require.NoError(t, err)
			return e.Download.ConnectTo[bundled.SiteHost+":80"]
		}
		last := port()
		require.Equal(t, last, port())
		spider.Closed(t.Context(), "finished")
		_, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", last)
		require.Error(t, err)
	}
}

// TestShop crawls the shop over real connections, and holds what it finds against the site's own knowledge.
func TestShop(t *testing.T) {
	t.Parallel()
	const products = 60
	spider, err := bundled.Shop(map[string]string{"products": "60"})
	require.NoError(t, err)
	dir := t.TempDir()
	feed := filepath.Join(dir, "items.jsonl")
	settings := crawl.Settings{
		Images: crawl.ImagesSettings{Store: filepath.Join(dir, "pictures")},
		Feeds:  []crawl.Feed{{URI: feed}},
		Log:    crawl.LogSettings{Level: "error"},
	}
	res, err := engine.Run(t.Context(), spider, settings)
	require.NoError(t, err)
	require.Equal(t, "finished", res.Reason)
	require.Zero(t, res.Stats.Int("log_count/ERROR"))

	site := bundled.NewSite(bundled.SiteOptions{Products: products})
	raw, err := os.ReadFile(feed)
	require.NoError(t, err)
	found := map[string]bundled.ShopProduct{}
	for line := range strings.Lines(string(raw)) {
		var p bundled.ShopProduct
		require.NoError(t, json.Unmarshal([]byte(line), &p))
		require.NotContains(t, found, p.URL, "every product once")
		found[p.URL] = p
	}
	require.Len(t, found, products)
	stored := map[string]bool{}
	var failed int
	for n := 1; n <= products; n++ {
		want := site.Product(n)
		got, ok := found[want.URL]
		require.True(t, ok, want.URL)
		require.Equal(t, want.Title, got.Title)
		require.Equal(t, want.Price, got.Price)
		require.Equal(t, want.Stock, got.Stock)
		require.Equal(t, want.Breadcrumb, got.Breadcrumb)
		require.Equal(t, want.Description, got.Description)
		for _, s := range want.Specs {
			require.Equal(t, s.Value, got.Specs[s.Name])
		}
		var urls, good []string
		for _, pic := range want.Images {
			urls = append(urls, pic.URL)
			if pic.Fate == bundled.PictureIntact {
				good = append(good, pic.URL)
				stored[pic.URL] = true
			} else {
				failed++
			}
		}
		require.Equal(t, urls, got.ImageURLs)
		var kept []string
		for _, f := range got.Images {
			kept = append(kept, f.URL)
			require.FileExists(t, filepath.Join(dir, "pictures", filepath.FromSlash(f.Path)))
			require.FileExists(t, filepath.Join(dir, "pictures", filepath.FromSlash(f.Thumbs["small"].Path)))
		}
		require.Equal(t, good, kept, "the good ones, in the order of the URLs")
	}
	require.EqualValues(t, len(stored), res.Stats.Int("file_status_count/downloaded"), "shared pictures are downloaded once")
	require.GreaterOrEqual(t, failed, 2)
	require.EqualValues(t, 1, res.Stats.Int("media/failed_kind_count/too-small"))
	require.EqualValues(t, 1, res.Stats.Int("media/failed_kind_count/undecodable"))
	full, err := os.ReadDir(filepath.Join(dir, "pictures", "full"))
	require.NoError(t, err)
	require.Len(t, slices.Collect(func(yield func(string) bool) {
		for _, f := range full {
			if !yield(f.Name()) {
				return
			}
		}
	}), len(stored))
	require.Positive(t, res.Stats.Int("robotstxt/forbidden"))
	require.Positive(t, res.Stats.Int("httperror/response_ignored_status_count/404"))
	require.Positive(t, res.Stats.Int("downloader/response_status_count/301"))
}

// TestShopsAgree crawls the shop in three ways: by its pages, its sitemap and its API. All find the same products, with the same pictures.
func TestShopsAgree(t *testing.T) {
	t.Parallel()
	const products = 60 // more than a page of the API
	type found struct {
		Title     string        `json:"title"`
		URL       string        `json:"url"`
		Price     any           `json:"price"`
		ImageURLs []string      `json:"image_urls"`
		Images    []*crawl.File `json:"images"`
	}
	site := bundled.NewSite(bundled.SiteOptions{Products: products})
	for _, name := range []string{"shop", "shop-sitemap", "shop-api"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spider, err := bundled.Spiders()[name](map[string]string{"products": strconv.Itoa(products)})
			require.NoError(t, err)
			dir := t.TempDir()
			feed := filepath.Join(dir, "items.jsonl")
			res, err := engine.Run(t.Context(), spider, crawl.Settings{
				Images: crawl.ImagesSettings{Store: filepath.Join(dir, "pictures")},
				Feeds:  []crawl.Feed{{URI: feed}},
				Log:    crawl.LogSettings{Level: "error"},
			})
			require.NoError(t, err)
			require.Equal(t, "finished", res.Reason)
			require.Zero(t, res.Stats.Int("log_count/ERROR"))
			raw, err := os.ReadFile(feed)
			require.NoError(t, err)
			got := map[string]found{}
			for line := range strings.Lines(string(raw)) {
				var f found
				require.NoError(t, json.Unmarshal([]byte(line), &f))
				got[f.URL] = f
			}
			require.Len(t, got, products)
			for n := 1; n <= products; n++ {
				want := site.Product(n)
				f := got[want.URL]
				require.Equal(t, want.Title, f.Title)
				switch price := f.Price.(type) {
				case float64:
					require.InDelta(t, float64(want.Cents)/100, price, 0.001)
				case string:
					require.Contains(t, []string{want.Price, fmt.Sprintf("%.2f", float64(want.Cents)/100)}, price)
				}
				var urls, kept []string
				for _, pic := range want.Images {
					urls = append(urls, pic.URL)
					if pic.Fate == bundled.PictureIntact {
						kept = append(kept, pic.URL)
					}
				}
				require.Equal(t, urls, f.ImageURLs)
				var images []string
				for _, image := range f.Images {
					images = append(images, image.URL)
				}
				require.Equal(t, kept, images)
			}
		})
	}
}

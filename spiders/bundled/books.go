package bundled

import (
	"context"
	"strings"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline"
)

// Book is what the spider "books" makes of a book's page.
type Book struct {
	URL         string       `json:"url"`
	Title       string       `json:"title"`
	Price       string       `json:"price"`
	Stars       int          `json:"stars"`
	InStock     bool         `json:"in_stock"`
	Category    string       `json:"category"`
	UPC         string       `json:"upc"`
	Description string       `json:"description"`
	ImageURLs   []string     `json:"image_urls"` // read by ImagesPipeline
	Images      []crawl.File `json:"images"`     // written by ImagesPipeline
}

// Books crawls https://books.toscrape.com/, a site made for practice: listings lead to books, each with a cover. Covers are stored where images.store says.
func Books() *crawl.Spider {
	return &crawl.Spider{
		Name:           "books",
		StartURLs:      []string{"https://books.toscrape.com/"},
		AllowedDomains: []string{"books.toscrape.com"},
		Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
			out.FollowAll("article.product_pod h3 a", "book")
			out.FollowAll("li.next a", "")
			return nil
		},
		Routes: map[string]crawl.Callback{"book": parseBook},
		Configure: func(s *crawl.Settings) {
			s.ItemPipelines = append(s.ItemPipelines, crawl.Stage{Order: 300, Pipeline: &pipeline.ImagesPipeline{}})
		},
	}
}

func parseBook(_ context.Context, r *crawl.Response, out *crawl.Out) error {
	stars := map[string]int{"One": 1, "Two": 2, "Three": 3, "Four": 4, "Five": 5}
	out.Item(&Book{
		URL:         r.URL.String(),
		Title:       r.Text("div.product_main h1"),
		Price:       r.Text("div.product_main p.price_color"),
		Stars:       stars[strings.TrimPrefix(r.Attr("div.product_main p.star-rating", "class"), "star-rating ")],
		InStock:     strings.Contains(r.Text("div.product_main p.availability"), "In stock"),
		Category:    r.Text("ul.breadcrumb li:nth-child(3) a"),
		UPC:         r.Text("th:contains('UPC') + td"),
		Description: r.Text("#product_description + p"),
		ImageURLs:   r.URLs("#product_gallery img"),
	})
	return nil
}

package bundled

import (
	"context"
	"strings"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline"
)

// Book is what the spider "books" makes of a book's page. The tags say where each field stands there.
type Book struct {
	URL         string       `json:"url"`
	Title       string       `json:"title" css:"div.product_main h1" extract:"required"`
	Price       string       `json:"price" css:"div.product_main p.price_color" extract:"required"`
	Stars       int          `json:"stars"`
	InStock     bool         `json:"in_stock"`
	Category    string       `json:"category" css:"ul.breadcrumb li:nth-child(3) a"`
	UPC         string       `json:"upc" css:"th:contains('UPC') + td"`
	Description string       `json:"description" css:"#product_description + p"`
	ImageURLs   []string     `json:"image_urls" css:"#product_gallery img@src"` // read by ImagesPipeline
	Images      []crawl.File `json:"images"`                                    // written by ImagesPipeline
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
		Items:  []any{Book{}},
		Configure: func(s *crawl.Settings) {
			s.ItemPipelines = append(s.ItemPipelines, crawl.Stage{Order: 300, Pipeline: &pipeline.ImagesPipeline{}})
		},
	}
}

func parseBook(_ context.Context, r *crawl.Response, out *crawl.Out) error {
	book, err := crawl.Extract[Book](r)
	if err != nil {
		return err
	}
	// What no tag can say is said in Go.
	stars := map[string]int{"One": 1, "Two": 2, "Three": 3, "Four": 4, "Five": 5}
	book.URL = r.URL.String()
	book.Stars = stars[strings.TrimPrefix(r.Attr("div.product_main p.star-rating", "class"), "star-rating ")]
	book.InStock = strings.Contains(r.Text("div.product_main p.availability"), "In stock")
	out.Item(&book)
	return nil
}

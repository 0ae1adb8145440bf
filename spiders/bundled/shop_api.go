package bundled

import (
	"context"

	"github.com/tulle-go/tulle/crawl"
)

// APIProduct is what the spider "shop-api" makes of a product in the shop's API.
type APIProduct struct {
	URL       string       `json:"url" gjson:"url" extract:"required"`
	Title     string       `json:"title" gjson:"title" extract:"required"`
	SKU       string       `json:"sku" gjson:"sku"`
	Price     float64      `json:"price" gjson:"price.amount" extract:"required"`
	Currency  string       `json:"currency" gjson:"price.currency"`
	Stock     int          `json:"stock" gjson:"stock"`
	Category  string       `json:"category" gjson:"category"`
	ImageURLs []string     `json:"image_urls" gjson:"pictures"` // read by ImagesPipeline
	Images    []crawl.File `json:"images"`                      // written by ImagesPipeline
}

// apiPage is a page of the API.
type apiPage struct {
	Products []APIProduct `gjson:"products" extract:"required"`
	Next     string       `gjson:"next"` // the next page's address, none on the last one
}

// ShopAPI crawls the bundled shop by its API, whose pages are JSON. It is the model for APIs: a page has many items and says where the next one is. What to change when it is
// copied are the address and the paths in the tags; many an API wants a key too, as a header of its requests.
//
// It serves the shop itself, and has Shop's arguments.
func ShopAPI(args map[string]string) (*crawl.Spider, error) {
	return served(args, crawl.Spider{
		Name:      "shop-api",
		StartURLs: []string{"http://" + SiteHost + "/api/products"},
		Parse:     parseAPI,
		Items:     []any{APIProduct{}},
		Checks: []crawl.Check{
			{URL: "http://" + SiteHost + "/api/products", MinItems: 50, MinRequests: 1, Fields: []string{"title", "price", "image_urls"}},
		},
	})
}

func parseAPI(_ context.Context, r *crawl.Response, out *crawl.Out) error {
	page, err := crawl.Extract[apiPage](r)
	if page.Next != "" {
		out.Follow(page.Next, "") // first: the next page is asked for while this one's pictures come
	}
	for i := range page.Products {
		out.Item(&page.Products[i])
	}
	return err
}

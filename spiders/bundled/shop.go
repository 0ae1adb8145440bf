package bundled

import (
	"context"

	"github.com/tulle-go/tulle/crawl"
)

// ShopProduct is what the spider "shop" makes of a product's page. The tags say where each field stands there.
type ShopProduct struct {
	URL         string            `json:"url" css:"link[rel=canonical]@href" extract:"required"`
	Title       string            `json:"title" css:"h1" extract:"required"`
	Price       string            `json:"price" css:"p.price" extract:"required"`
	Stock       int               `json:"stock" css:"p.stock@data-stock" extract:"required"`
	Breadcrumb  []string          `json:"breadcrumb" css:"nav.breadcrumb a"`
	Description string            `json:"description" css:"p.description"`
	Specs       map[string]string `json:"specs" css:"table.specs tr" key:"th" value:"td"`
	ImageURLs   []string          `json:"image_urls" css:"#gallery img@src"` // read by ImagesPipeline
	Images      []crawl.File      `json:"images"`                            // written by ImagesPipeline
}

// Shop crawls the bundled shop page by page: listings lead to products, each with pictures. It is the model for shops: what to change when it is copied are the selectors, in
// the tags above and in the two callbacks.
//
// It serves the shop itself, on a free port of this machine. The shop's pages are at http://shop.localhost/ in every run, so two shops may be crawled at once and give the
// same result. Arguments: products is the shop's size, default 200. Unless told otherwise it writes shop.jsonl and shop-images, over what is there.
func Shop(args map[string]string) (*crawl.Spider, error) {
	return served(args, crawl.Spider{
		Name:      "shop",
		StartURLs: []string{"http://" + SiteHost + "/"},
		Parse:     shopListing,
		Routes:    map[string]crawl.Callback{"product": shopProduct},
		Items:     []any{ShopProduct{}},
		// What `tulle check shop` holds the site against: a selector that finds nothing any more is told before the next crawl.
		Checks: []crawl.Check{
			{URL: "http://" + SiteHost + "/", MinRequests: 20},
			{Route: "product", URL: "http://" + SiteHost + "/products/lark-mug-in-indigo-2", MinItems: 1, MaxItems: 1, Fields: []string{"title", "price", "specs", "image_urls"}},
		},
	})
}

// shopListing follows a page of links: departments, categories, their further pages, and products. A redirect may have led to a product.
func shopListing(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
	if r.CSS("article.product").Length() > 0 {
		return shopProduct(ctx, r, out)
	}
	out.FollowAll("article.product-card h3 a", "product")
	out.FollowAll("a", "")
	return nil
}

// shopProduct makes an item of a product's page, and follows what goes well with it.
func shopProduct(_ context.Context, r *crawl.Response, out *crawl.Out) error {
	product, err := crawl.Extract[ShopProduct](r)
	if err != nil {
		return err
	}
	out.Item(&product)
	out.FollowAll("article.product-card h3 a", "product")
	return nil
}

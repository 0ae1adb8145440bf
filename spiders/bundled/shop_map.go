package bundled

import (
	"context"
	"errors"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/spiders"
)

// LinkedProduct is what the spider "shop-sitemap" makes of a product's structured data.
type LinkedProduct struct {
	URL         string       `json:"url"`
	Title       string       `json:"title"`
	SKU         string       `json:"sku"`
	Price       string       `json:"price"`
	Currency    string       `json:"currency"`
	InStock     bool         `json:"in_stock"`
	Category    string       `json:"category"`
	Description string       `json:"description"`
	Modified    string       `json:"modified"`   // as the sitemap has it
	ImageURLs   []string     `json:"image_urls"` // read by ImagesPipeline
	Images      []crawl.File `json:"images"`     // written by ImagesPipeline
}

// ShopSitemap crawls the bundled shop by its sitemap, and takes products from the structured data in their pages (schema.org, JSON-LD). It is the model for sites that are made for
// search engines: no selector breaks when the design changes. What to change when it is copied are the sitemap's address, the pattern of the pages that matter, and the type.
//
// It serves the shop itself, and has Shop's arguments.
func ShopSitemap(args map[string]string) (*crawl.Spider, error) {
	return served(args, *spiders.Sitemap(crawl.Spider{
		Name:   "shop-sitemap",
		Routes: map[string]crawl.Callback{"product": linkedProduct},
		Items:  []any{LinkedProduct{}},
	}, spiders.SitemapOptions{
		URLs:      []string{"http://" + SiteHost + "/robots.txt"}, // which says where the sitemap is
		Rules:     []spiders.SitemapRule{{Match: "/products/", Route: "product"}},
		WithEntry: true,
	}))
}

func linkedProduct(_ context.Context, r *crawl.Response, out *crawl.Out) error {
	var entry spiders.SitemapEntry
	if err := r.Data(&entry); err != nil {
		return err
	}
	found := r.JSONLD("Product")
	if len(found) == 0 {
		return errors.New("the page has no structured data of type Product")
	}
	product := found[0]
	item := &LinkedProduct{
		URL:         product.Get("url").String(),
		Title:       product.Get("name").String(),
		SKU:         product.Get("sku").String(),
		Price:       product.Get("offers.price").String(),
		Currency:    product.Get("offers.priceCurrency").String(),
		InStock:     product.Get("offers.availability").String() == "https://schema.org/InStock",
		Category:    product.Get("category").String(),
		Description: product.Get("description").String(),
	}
	if !entry.LastMod.IsZero() {
		item.Modified = entry.LastMod.Format("2006-01-02")
	}
	for _, image := range product.Get("image").Array() {
		item.ImageURLs = append(item.ImageURLs, image.String())
	}
	out.Item(item)
	return nil
}

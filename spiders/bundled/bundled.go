// Package bundled has the spiders that come with the tulle binary, as models to copy, and the shop that three of them crawl without a network.
//
//	shop.go      shop: listings lead to products with pictures
//	shop_map.go  shop-sitemap: pages by a sitemap, products by their structured data (JSON-LD)
//	shop_api.go  shop-api: an API whose pages are JSON
//	books.go     books: books.toscrape.com, listing and detail with pictures
//	quotes.go    quotes: quotes.toscrape.com, several items a page
//	shop_*.go    the shop's site: pages, catalogue, drawn pictures; shop_serve.go opens it
package bundled

import "github.com/tulle-go/tulle/crawl"

// Spiders are the constructors of all spiders here, by name, as cmd.Program takes them.
func Spiders() map[string]func(args map[string]string) (*crawl.Spider, error) {
	return map[string]func(map[string]string) (*crawl.Spider, error){
		"shop":         Shop,
		"shop-sitemap": ShopSitemap,
		"shop-api":     ShopAPI,
		"books":        func(args map[string]string) (*crawl.Spider, error) { return Books(), crawl.CheckArgs(args) },
		"quotes":       Quotes,
	}
}

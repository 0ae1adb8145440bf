package links_test

import (
	"fmt"
	"net/http"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/spiders/links"
)

// The products of a listing, without those that are sold out.
func ExampleExtractor() {
	products := &links.Extractor{
		Allow:       []string{`/product/\d+`},
		Deny:        []string{`sold-out`},
		RestrictCSS: []string{"main"},
	}
	page := crawl.Get("https://example.com/list")
	resp := &crawl.Response{
		Request: page, URL: page.URL, Status: http.StatusOK, Header: http.Header{"Content-Type": {"text/html"}},
		Body: crawl.BytesBody([]byte(`<nav><a href="/product/9">Offer</a></nav>
			<main><a href="product/1#reviews">A <b>lamp</b></a> <a href="product/2?sold-out">A vase</a> <a href="product/3/manual.pdf">Manual</a></main>`)),
	}
	found, err := products.Extract(resp)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, link := range found {
		fmt.Println(link.URL, link.Text)
	}
	// Output: https://example.com/product/1#reviews A lamp
}

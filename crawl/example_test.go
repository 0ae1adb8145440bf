package crawl_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/tulle-go/tulle/crawl"
)

// savedPage is a page, as a callback is given it.
func savedPage(rawURL, body string) *crawl.Response {
	req := crawl.Get(rawURL)
	return &crawl.Response{
		Request: req, URL: req.URL, Status: http.StatusOK, Body: crawl.BytesBody([]byte(body)),
		Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}},
	}
}

func ExampleResponse() {
	r := savedPage("https://example.com/shop/", `<html>
		<h1>  A brass
		lamp </h1>
		<p class="price">€ 45.00 <s>€ 60.00</s></p>
		<ul id="tags"><li>brass</li><li>light</li></ul>
		<img src="../pictures/lamp.jpg" alt="The lamp">
		<a href="/vase?colour=blue">Vase</a>`)

	fmt.Println(r.Text("h1"))
	fmt.Println(r.Text("p.price::text"))
	fmt.Println(r.Texts("#tags li"))
	fmt.Println(r.Attr("img", "alt"))
	fmt.Println(r.URLs("img, a"))
	fmt.Println(r.CSS("li").Length())
	fmt.Println(r.XPath("//ul/li[2]")[0].Text())
	fmt.Println(r.Text("h2") == "")
	// Output:
	// A brass lamp
	// € 45.00
	// [brass light]
	// The lamp
	// [https://example.com/pictures/lamp.jpg https://example.com/vase?colour=blue]
	// 2
	// light
	// true
}

func ExampleResponse_JSON() {
	r := savedPage("https://example.com/api", `{"items": [{"name": "lamp", "price": 45}, {"name": "vase", "price": 30}]}`)
	for _, item := range r.JSON("items").Array() {
		fmt.Println(item.Get("name"), item.Get("price").Int())
	}
	fmt.Println(r.JSON("items.#.name"))
	// Output:
	// lamp 45
	// vase 30
	// ["lamp","vase"]
}

// Rows are read one by one; what selects them may be CSS or XPath, and so may what reads them.
func ExampleResponse_Select() {
	r := savedPage("https://example.com/shop/", `<table>
		<tr><th>Lamp</th><td class="price">€ 45.00</td><td><a href="lamp">look</a></td></tr>
		<tr><th>Vase</th><td class="price">€ 30.00</td><td><a href="vase">look</a></td></tr>
	</table>`)

	for _, row := range r.Select("table tr") {
		fmt.Println(row.Text("th"), row.Select("td.price").ReFirst(`[\d.]+`), row.XPath("./td/a/@href").URLs())
	}
	fmt.Println(r.Select("th::text").Texts(), r.XPath("//a[starts-with(@href, $v)]", crawl.Vars{"v": "va"}).Texts())
	fmt.Println(r.XPathText("count(//tr)"))
	// Output:
	// Lamp 45.00 [https://example.com/shop/lamp]
	// Vase 30.00 [https://example.com/shop/vase]
	// [Lamp Vase] [look]
	// 2
}

// A struct says where its fields are. A row of the page is a struct of its own.
func ExampleExtract() {
	type Review struct {
		By    string `css:"b"`
		Stars int    `css:"@data-stars"`
	}
	type Lamp struct {
		Title   string            `css:"h1" extract:"required"`
		Price   float64           `css:"p.price::text" num:"1.234,56"`
		Stock   int               `css:"p.stock" re:"(\\d+) left"`
		Images  []string          `css:"#gallery img@src" json:"image_urls"`
		Details map[string]string `css:"table tr" key:"th" value:"td"`
		Reviews []Review          `css:"div.review"`
		Sale    *float64          `css:"p.sale"`
	}
	r := savedPage("https://example.com/lamp/", `<h1> A brass lamp </h1>
		<p class="price">1.045,50 €</p><p class="stock">Only 3 left!</p>
		<div id="gallery"><img src="1.jpg"><img src="/2.jpg"></div>
		<table><tr><th>Width</th><td>12 cm</td></tr></table>
		<div class="review" data-stars="5"><b>Ann</b></div>`)

	lamp, err := crawl.Extract[Lamp](r)
	fmt.Println(err)
	fmt.Println(lamp.Title, lamp.Price, lamp.Stock, lamp.Details, lamp.Reviews, lamp.Sale == nil)
	fmt.Println(lamp.Images)

	_, err = crawl.Extract[Lamp](savedPage("https://example.com/404/", `<p class="stock">Only three left!</p>`))
	fmt.Println(err)
	// Output:
	// <nil>
	// A brass lamp 1045.5 3 map[Width:12 cm] [{Ann 5}] true
	// [https://example.com/lamp/1.jpg https://example.com/2.jpg]
	// extract crawl_test.Lamp.Title from https://example.com/404/: nothing was found (css "h1")
}

// A listing is one struct for each of its rows.
func ExampleExtractAll() {
	type Offer struct {
		Name string `css:"h3"`
		URL  string `css:"a@href"`
	}
	r := savedPage("https://example.com/", `<div class="offer"><h3>Lamp</h3><a href="/lamp">see</a></div><div class="offer"><h3>Vase</h3><a href="/vase">see</a></div>`)
	offers, err := crawl.ExtractAll[Offer](r, "div.offer")
	fmt.Println(offers, err)
	// Output: [{Lamp https://example.com/lamp} {Vase https://example.com/vase}] <nil>
}

// An API's answer fills a struct by paths, so that its own names, by which feeds go, stay free.
func ExampleExtract_json() {
	type Product struct {
		Name  string  `gjson:"title" json:"name"`
		Price float64 `gjson:"price.value" json:"price"`
	}
	type Answer struct {
		Products []Product `gjson:"data.items"`
		Next     string    `gjson:"links.next" extract:"abs"`
	}
	r := savedPage("https://example.com/api", `{"data": {"items": [{"title": "Lamp", "price": {"value": "45.00"}}, {"title": "Vase", "price": {"value": 30}}]}, "links": {"next": "?page=2"}}`)
	r.Header.Set("Content-Type", "application/json")
	answer, err := crawl.Extract[Answer](r)
	fmt.Println(answer, err)
	// Output: {[{Lamp 45} {Vase 30}] https://example.com/api?page=2} <nil>
}

// Shops and news sites say in JSON-LD what a page is about.
func ExampleResponse_JSONLD() {
	r := savedPage("https://example.com/lamp", `<script type="application/ld+json">{"@context": "https://schema.org", "@graph": [
		{"@type": "BreadcrumbList"}, {"@type": "Product", "name": "Lamp", "offers": {"price": 45, "priceCurrency": "EUR"}}]}</script>
		<script id="__NEXT_DATA__" type="application/json">{"props": {"sku": "X-7"}}</script>`)
	for _, p := range r.JSONLD("Product") {
		fmt.Println(p.Get("name"), p.Get("offers.price").Float(), p.Get("offers.priceCurrency"))
	}
	fmt.Println(r.ScriptJSON("#__NEXT_DATA__").Get("props.sku"))
	// Output:
	// Lamp 45 EUR
	// X-7
}

// A document of XML is read as the page is, with the prefixes that it declares or those that Vars make known.
func ExampleResponse_XPath_namespaces() {
	r := savedPage("https://example.com/feed", `<?xml version="1.0"?>
		<rss xmlns:g="http://base.google.com/ns/1.0"><channel>
		<item><title>Lamp</title><link>/lamp</link><g:price>45.00 EUR</g:price></item>
		<item><title>Vase</title><link>/vase</link><g:price>30.00 EUR</g:price></item>
		</channel></rss>`)
	r.Header.Set("Content-Type", "application/rss+xml")
	for _, item := range r.XPath("//item") {
		fmt.Println(item.Text("title"), item.XPathText("g:price"), item.URLs("link"))
	}
	fmt.Println(r.XPath("//shop:price", crawl.Vars{"xmlns:shop": "http://base.google.com/ns/1.0"}).Re(`[\d.]+`))
	// Output:
	// Lamp 45.00 EUR [https://example.com/lamp]
	// Vase 30.00 EUR [https://example.com/vase]
	// [45.00 30.00]
}

// A feed of any size is read one element at a time.
func ExampleResponse_XMLNodes() {
	r := savedPage("https://example.com/feed", `<catalog>
		<product id="1"><name>Lamp</name></product>
		<product id="2"><name>Vase`)
	for product, err := range r.XMLNodes("catalog/product") {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(product.Attr("id"), product.Text("name"))
	}
	// Output:
	// 1 Lamp
	// xml line 3: the document ends inside <name>
}

// What a request carries to its callback travels as JSON.
func ExampleWith() {
	type listing struct{ Page, Rank int }
	req := crawl.Get("https://example.com/lamp", crawl.With(listing{Page: 2, Rank: 7}))

	r := &crawl.Response{Request: req}
	var from listing
	if err := r.Data(&from); err != nil {
		fmt.Println(err)
	}
	fmt.Println(from.Page, from.Rank)
	// Output: 2 7
}

// A link as it is found in the wild is put right as a browser does it.
func ExampleGet() {
	fmt.Println(crawl.Get(" HTTP://Example.com\\a b?q=ü ").URL)
	fmt.Println(crawl.Get("no-scheme").Err() != nil)
	// Output:
	// http://example.com/a%20b?q=%C3%BC
	// true
}

// A request's Key says what counts as the same. Worked out of a copy of the request, without what does not matter and with what does, it agrees with the fingerprints
// of requests that have none.
func ExampleRequest_key() {
	withoutTracking := func(req *crawl.Request) {
		same, u := *req, *req.URL
		query := u.Query()
		for name := range query {
			if strings.HasPrefix(name, "utm_") {
				query.Del(name)
			}
		}
		u.RawQuery = query.Encode()
		same.URL = &u
		req.Key = same.Fingerprint()
	}
	byLanguage := func(req *crawl.Request) {
		same := *req
		same.Body = append([]byte(req.Header.Get("Accept-Language")+"\n"), req.Body...)
		req.Key = same.Fingerprint()
	}

	plain := crawl.Get("https://example.com/lamp?id=7")
	fmt.Println(crawl.Get("https://example.com/lamp?utm_source=letter&id=7", withoutTracking).Fingerprint() == plain.Fingerprint())

	french := crawl.Get("https://example.com/lamp?id=7", func(r *crawl.Request) { r.Header = http.Header{"Accept-Language": {"fr"}} }, byLanguage)
	fmt.Println(french.Fingerprint() == plain.Fingerprint())
	// Output:
	// true
	// false
}

// A spider middleware gives every request of a crawl its key, also those of Start.
func ExampleRequest_keyOfAll() {
	settings := crawl.Settings{SpiderMiddlewares: []crawl.SpiderLayer{{Order: 600, Name: "no-query", Middleware: func(*crawl.Env) (crawl.SpiderHooks, error) {
		return crawl.SpiderHooks{Request: func(_ context.Context, _ *crawl.Response, req *crawl.Request) (*crawl.Request, error) {
			same, u := *req, *req.URL
			u.RawQuery = ""
			same.URL = &u
			req.Key = same.Fingerprint()
			return req, nil
		}}, nil
	}}}}
	hooks, err := settings.SpiderMiddlewares[0].Middleware(&crawl.Env{})
	if err != nil {
		fmt.Println(err)
		return
	}
	req, err := hooks.Request(context.Background(), nil, crawl.Get("https://example.com/lamp?session=1"))
	fmt.Println(req.Fingerprint() == crawl.Get("https://example.com/lamp").Fingerprint(), err)
	// Output: true <nil>
}

// Callbacks ask what went wrong with errors.As.
func ExampleDownloadError() {
	errback := func(_ context.Context, req *crawl.Request, err error, _ *crawl.Out) error {
		var failed *crawl.DownloadError
		var status *crawl.StatusError
		switch {
		case errors.As(err, &failed):
			fmt.Println(req.URL.Host, failed.Kind)
		case errors.As(err, &status):
			fmt.Println(req.URL.Host, status.Response.Status)
		}
		return nil
	}
	req := crawl.Get("https://example.com/")
	_ = errback(context.Background(), req, &crawl.DownloadError{Kind: crawl.KindTimeout, URL: req.URL.String(), Err: context.DeadlineExceeded}, nil)
	_ = errback(context.Background(), req, &crawl.StatusError{Response: &crawl.Response{Status: 404}}, nil)
	// Output:
	// example.com timeout
	// example.com 404
}

// Settings by name are what the command line, the environment and files set. Scrapy's names are understood.
func ExampleSettings_Set() {
	var s crawl.Settings
	for _, kv := range [][2]string{{"images.min_width", "110"}, {"DOWNLOAD_DELAY", "0.5"}, {"images.stor", "x"}} {
		if err := s.Set(kv[0], kv[1]); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(s.Images.MinWidth, s.DownloadDelay)
	// Output:
	// unknown setting images.stor: did you mean images.store?
	// 110 500ms
}

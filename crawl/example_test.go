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

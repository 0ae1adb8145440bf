package middleware_test

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/middleware"
)

// Signed adds a header to every request that goes out.
func Signed(key string) crawl.Middleware {
	return func(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
		if key == "" {
			return nil, crawl.NotConfigured("there is no key")
		}
		return crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
			req.Header.Set("X-Signature", key)
			return next.Fetch(ctx, req)
		}), nil
	}
}

// A layer of one's own stands at its order among the built-in ones. The engine builds the chain; here it is built around a downloader that has one page.
func ExampleBuild() {
	settings, err := crawl.Settings{Middlewares: []crawl.Layer{
		{Order: 650, Name: "signed", Middleware: Signed("s3cr3t")},
		{Name: "robots", Off: true},
	}}.Effective(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	downloader := crawl.FetcherFunc(func(_ context.Context, req *crawl.Request) (*crawl.Response, error) {
		fmt.Println(req, req.Header.Get("X-Signature"), req.Header.Get("Accept-Encoding"))
		return &crawl.Response{Request: req, URL: req.URL, Status: 200}, nil
	})
	env := &crawl.Env{Spider: &crawl.Spider{Name: "example"}, Settings: settings, Stats: crawl.NewStats(), Log: zap.NewNop(), Spool: new(crawl.Spool)}
	chain, err := middleware.Build(env, downloader)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := chain.Fetch(context.Background(), crawl.Get("http://example.com/"))
	fmt.Println(resp, err, env.Stats.Int("downloader/response_status_count/200"))
	// Output:
	// <GET http://example.com/> s3cr3t gzip, deflate, br, zstd
	// <200 http://example.com/> <nil> 1
}

package middleware

import (
	"context"

	"github.com/tulle-go/tulle/crawl"
)

// Start tells requests that Start has produced, or an idle hook, from those that pages led to: Request.IsStart, which a callback reads from Response.Request.
func Start(*crawl.Env) (crawl.SpiderHooks, error) {
	return crawl.SpiderHooks{Request: func(_ context.Context, from *crawl.Response, req *crawl.Request) (*crawl.Request, error) {
		req.IsStart = from == nil
		return req, nil
	}}, nil
}

package middleware

import (
	"context"

	"github.com/tulle-go/tulle/crawl"
)

// UserAgent adds Settings.UserAgent where a request has none of its own.
func UserAgent(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	return &introduction{next: next, value: []string{env.Settings.UserAgent}}, nil
}

type introduction struct {
	next  crawl.Fetcher
	value []string
}

func (i *introduction) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	addHeader(req, userAgent, i.value)
	return i.next.Fetch(ctx, req)
}

package middleware

import (
	"context"
	"maps"
	"net/textproto"
	"slices"

	"github.com/tulle-go/tulle/crawl"
)

// Headers adds Settings.DefaultHeaders where a request has none of that name. A header of the request that is there and empty keeps the default away.
func Headers(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	h := &headers{next: next}
	for _, name := range slices.Sorted(maps.Keys(env.Settings.DefaultHeaders)) {
		if v := env.Settings.DefaultHeaders[name]; v != "" {
			h.list = append(h.list, header{textproto.CanonicalMIMEHeaderKey(name), []string{v}})
		}
	}
	if len(h.list) == 0 {
		return nil, crawl.NotConfigured("default_headers is empty")
	}
	return h, nil
}

type headers struct {
	next crawl.Fetcher
	list []header
}

type header struct {
	key   string
	value []string
}

func (h *headers) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	for i := range h.list {
		addHeader(req, h.list[i].key, h.list[i].value)
	}
	return h.next.Fetch(ctx, req)
}

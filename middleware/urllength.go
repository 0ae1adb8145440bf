package middleware

import (
	"context"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// URLLength drops requests whose URL is longer than URLLength.Limit: most are traps that grow with every page.
//
// Stats: urllength/request_ignored_count.
func URLLength(env *crawl.Env) (crawl.SpiderHooks, error) {
	limit, log := env.Settings.URLLength.Limit, env.Log
	if limit <= 0 {
		return crawl.SpiderHooks{}, crawl.NotConfigured("url_length.limit is negative")
	}
	ignored := env.Stats.Counter("urllength/request_ignored_count")
	return crawl.SpiderHooks{Request: func(_ context.Context, _ *crawl.Response, req *crawl.Request) (*crawl.Request, error) {
		u := req.URL
		// Escaping makes three octets of one at most, so nearly all URLs need not be written out.
		if 3*(len(u.Path)+len(u.Fragment)+len(u.Host))+len(u.RawQuery)+len(u.Opaque)+len(u.Scheme)+len("://?#") <= limit && u.User == nil {
			return req, nil
		}
		if n := len(u.String()); n > limit {
			ignored.Add(1)
			log.Debug("url is too long", zap.Int("length", n), zap.Int("limit", limit), zap.String("url", shorten(u.Redacted())))
			return nil, crawl.IgnoreRequest("url is too long")
		}
		return req, nil
	}}, nil
}

package middleware

import (
	"context"
	"net/url"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// URLLength drops requests whose URL is longer than URLLength.Limit: most are traps that grow with every page. [Redirect] and [MetaRefresh] follow nothing to such a URL.
//
// Stats: urllength/request_ignored_count.
func URLLength(env *crawl.Env) (crawl.SpiderHooks, error) {
	limit, log := env.Settings.URLLength.Limit, env.Log
	if limit <= 0 {
		return crawl.SpiderHooks{}, crawl.NotConfigured("url_length.limit is negative")
	}
	ignored := env.Stats.Counter("urllength/request_ignored_count")
	return crawl.SpiderHooks{Request: func(_ context.Context, _ *crawl.Response, req *crawl.Request) (*crawl.Request, error) {
		if n := longer(req.URL, limit); n > 0 {
			ignored.Add(1)
			log.Debug("url is too long", zap.Int("length", n), zap.Int("limit", limit), zap.String("url", shorten(crawl.Redacted(req.URL))))
			return nil, errTooLong
		}
		return req, nil
	}}, nil
}

// errTooLong is why a request is ignored.
var errTooLong = crawl.IgnoreRequest("url is too long")

// longer is the length of a URL that is longer than a limit; else 0. A limit of 0 or less is none.
func longer(u *url.URL, limit int) int {
	// Escaping makes three octets of one at most, so nearly all URLs need not be written out.
	if limit <= 0 || 3*(len(u.Path)+len(u.Fragment)+len(u.Host))+len(u.RawQuery)+len(u.Opaque)+len(u.Scheme)+len("://?#") <= limit && u.User == nil {
		return 0
	}
	if n := len(u.String()); n > limit {
		return n
	}
	return 0
}

package middleware

import (
	"context"
	"slices"
	"strconv"

	"github.com/tulle-go/tulle/crawl"
)

// HTTPError keeps responses with a status outside 2xx from the callback, unless HTTPError.AllowAll, HTTPError.Allowed or the request's HandleStatus or HandleAllStatus says
// otherwise: they become a [crawl.StatusError] and go to the errback.
//
// Stats: httperror/response_ignored_count, httperror/response_ignored_status_count/STATUS.
func HTTPError(env *crawl.Env) (crawl.SpiderHooks, error) {
	if env.Settings.HTTPError.AllowAll {
		return crawl.SpiderHooks{}, crawl.NotConfigured("httperror.allow_all is set")
	}
	allowed, stats := env.Settings.HTTPError.Allowed, env.Stats
	return crawl.SpiderHooks{Response: func(_ context.Context, resp *crawl.Response) error {
		if resp.Status >= 200 && resp.Status < 300 || slices.Contains(allowed, resp.Status) {
			return nil
		}
		if resp.Request != nil && resp.Request.Knob().Handles(resp.Status) {
			return nil
		}
		stats.Inc("httperror/response_ignored_count")
		stats.Inc("httperror/response_ignored_status_count/" + strconv.Itoa(resp.Status))
		return &crawl.StatusError{Response: resp}
	}}, nil
}

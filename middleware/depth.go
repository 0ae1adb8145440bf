package middleware

import (
	"context"
	"strconv"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// Depth counts how many links away from Start, or from a request with DepthReset, a request is, drops those beyond Depth.Limit, and lowers priorities by Depth.Priority for each link.
//
// Stats: request_depth_max, request_depth_count/N if Depth.Verbose is set, depth/request_ignored_count.
func Depth(env *crawl.Env) (crawl.SpiderHooks, error) {
	set, stats, log := env.Settings.Depth, env.Stats, env.Log
	return crawl.SpiderHooks{Request: func(_ context.Context, from *crawl.Response, req *crawl.Request) (*crawl.Request, error) {
		req.Depth = 0
		if from != nil && from.Request != nil && !req.Knob().DepthReset {
			req.Depth = from.Request.Depth + 1
		}
		if set.Limit > 0 && req.Depth > set.Limit {
			stats.Inc("depth/request_ignored_count")
			log.Debug("link is too deep", zap.Int("depth", req.Depth), zap.Int("limit", set.Limit), zap.Stringer("request", req))
			return nil, crawl.IgnoreRequest("depth")
		}
		req.Priority -= req.Depth * set.Priority
		stats.Max("request_depth_max", int64(req.Depth))
		if set.Verbose {
			stats.Inc("request_depth_count/" + strconv.Itoa(req.Depth))
		}
		return req, nil
	}}, nil
}

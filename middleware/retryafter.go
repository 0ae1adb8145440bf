package middleware

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// RetryAfter holds the whole slot for as long as a site asks for by Retry-After with 429 and 503 (RFC 6585, section 4; RFC 9110, section 15.6.4), at most for
// Retry.MaxRetryAfter, whatever becomes of the request that was answered so: it may be asked again, have been asked often enough, or be answered by the cache. What
// the cache itself answers holds nothing.
func RetryAfter(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	most := env.Settings.Retry.MaxRetryAfter
	switch {
	case most <= 0:
		return nil, crawl.NotConfigured("retry.max_retry_after is negative")
	case env.Limiter == nil:
		return nil, crawl.NotConfigured("there are no slots: no engine runs it")
	}
	return crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
		resp, err := next.Fetch(ctx, req)
		if err == nil && (resp.Status == http.StatusTooManyRequests || resp.Status == http.StatusServiceUnavailable) {
			if wait := asked(resp.Header.Get(retryAfter), most); wait > 0 {
				env.Limiter.Limit(req.Slot(), crawl.Limits{HoldUntil: time.Now().Add(wait)})
			}
		}
		return resp, err
	}), nil
}

// asked reads a Retry-After header (RFC 9110, section 10.2.3): seconds or a date. What cannot be read, or has passed, asks for nothing.
func asked(value string, most time.Duration) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" || most <= 0 {
		return 0
	}
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil {
		if seconds > uint64(most/time.Second) {
			return most
		}
		return time.Duration(seconds) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		return most
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(time.Until(date), 0), most)
}

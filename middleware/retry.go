package middleware

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tulle-go/tulle/crawl"
)

// Retry asks again after failures that may pass: the statuses of Retry.Statuses, time-outs, names that were not found, connections that were refused or broke,
// bodies that ended early, proxies that do not do their work, the next attempt having another one if there are several, and a browser that ended or froze while it rendered
// the page. A bad certificate stays bad, and so does a body that is too large. Nothing waits here: the request goes back to the queue with a time
// before which it does not leave, its priority adjusted, after an exponential back-off drawn between its half and the whole, or after what the server asks for by
// Retry-After, whichever is later. With 429 and 503 [RetryAfter] holds the whole slot.
//
// After Retry.Times, or the request's RetryTimes, a status is handed on as a response and a failure as the error that it is. DontRetry does so at once. A status in
// HandleStatus is retried all the same, as in Scrapy. An attempt that brought the next part of a large body ([crawl.DownloadError].Progress) is not counted among
// Retry.Times and does not change the priority: a large file arrives over a line that breaks again and again, as long as it gets ahead.
//
// Stats: retry/count, retry/reason_count/REASON ("503 Service Unavailable", "timeout"), retry/max_reached.
func Retry(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	r := &retry{
		RetrySettings: env.Settings.Retry, next: next, stats: env.Stats, log: env.Log,
		jitter: func(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) },
	}
	return r, nil
}

type retry struct {
	crawl.RetrySettings
	next   crawl.Fetcher
	stats  *crawl.Stats
	log    *zap.Logger
	jitter func(time.Duration) time.Duration
}

func (r *retry) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	resp, err := r.next.Fetch(ctx, req)
	switch {
	case err != nil:
		failed := passing(err)
		if failed == nil || ctx.Err() != nil {
			return nil, err
		}
		again := r.again(req, string(failed.Kind), failed.Progress)
		if again == nil {
			return nil, err
		}
		again.Err = err
		return nil, again
	case slices.Contains(r.Statuses, resp.Status):
		again := r.again(req, statusReason(resp.Status), false)
		if again == nil {
			return resp, nil
		}
		again.After = max(again.After, asked(resp.Header.Get(retryAfter), r.MaxRetryAfter))
		if err := resp.Close(); err != nil {
			r.log.Warn("close response", zap.Stringer("request", req), zap.Error(err))
		}
		return nil, again
	}
	return resp, nil
}

// passing returns a failure that may pass, or nil.
func passing(err error) *crawl.DownloadError {
	var failed *crawl.DownloadError
	var again *crawl.RescheduleError
	if !errors.As(err, &failed) || errors.As(err, &again) { // a layer further in has seen to it
		return nil
	}
	switch failed.Kind {
	case crawl.KindTimeout, crawl.KindDNS, crawl.KindRefused, crawl.KindConnection, crawl.KindTruncated, crawl.KindProxy, crawl.KindBrowser:
		return failed
	}
	return nil
}

// again is how a request is asked once more, or nil if it was asked often enough. An attempt that has made progress is not held against it.
func (r *retry) again(req *crawl.Request, reason string, progress bool) *crawl.RescheduleError {
	times := r.TimesOf(req)
	if times == 0 {
		return nil
	}
	if req.Retries >= times && !progress {
		r.stats.Inc("retry/max_reached")
		level := r.GiveUpLevel
		if own := req.Knob().GiveUpLevel; own != "" {
			level = own
		}
		at, err := zapcore.ParseLevel(level)
		if err != nil {
			at = zapcore.DebugLevel // of a knob: settings have been looked at
		}
		r.log.Log(at, "gave up retrying", zap.Stringer("request", req), zap.String("reason", reason), zap.Int("retries", req.Retries))
		return nil
	}
	r.stats.Inc("retry/count")
	r.stats.Inc("retry/reason_count/" + reason)
	c := repeat(req)
	if !progress {
		c.Retries++
		c.Priority += cmp.Or(req.Knob().PriorityAdjust, r.PriorityAdjust)
	}
	after := r.backOff(req.Retries)
	r.log.Debug("retrying", zap.Stringer("request", req), zap.String("reason", reason), zap.Duration("after", after))
	return &crawl.RescheduleError{Request: c, After: after, Reason: reason}
}

// backOff is the wait before the repeat that follows n others.
func (r *retry) backOff(n int) time.Duration {
	if r.BackOff <= 0 {
		return 0
	}
	d := r.BackOff
	for range n {
		if d >= r.MaxBackOff {
			break
		}
		d *= 2
	}
	if d = min(d, r.MaxBackOff); d <= 0 {
		return 0
	}
	return r.jitter(d)
}

// statusReason is a status with its name, as Scrapy writes it in stats.
func statusReason(status int) string {
	name := http.StatusText(status)
	if name == "" {
		name = "Unknown Status"
	}
	return strconv.Itoa(status) + " " + name
}

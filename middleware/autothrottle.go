package middleware

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// AutoThrottle sets a slot's delay by how fast it answers, as Scrapy's extension of that name does: a server that takes a second to answer is asked once a second and
// for each of AutoThrottle.Target. From AutoThrottle.StartDelay on each answer moves the delay half the way to its latency divided by that; a longer one counts
// at once. A status other than 200 never makes the delay shorter: error pages are quick. The delay stays between what the settings and robots.txt ask for, which
// is the least in any case, and AutoThrottle.MaxDelay. Unless FixedDelay is set, for the crawl or for the slot, each is drawn between 0.5 and 1.5 times that.
//
// A slot with DontThrottle in Settings.Slots keeps the delay that it has without AutoThrottle. A request with DontAdjustDelay leaves the delay alone. The latency is the time until the headers are in. AutoThrottle.Debug logs each answer.
func AutoThrottle(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	s := env.Settings.AutoThrottle
	if !s.On {
		return nil, crawl.NotConfigured("auto_throttle.on is not set")
	}
	return &autoThrottle{
		AutoThrottleSettings: s, next: next, log: env.Log, limiter: env.Limiter, settings: env.Settings, delays: make(map[string]time.Duration),
	}, nil
}

type autoThrottle struct {
	crawl.AutoThrottleSettings
	next     crawl.Fetcher
	log      *zap.Logger
	limiter  crawl.Limiter
	settings *crawl.Settings

	mu     sync.Mutex
	delays map[string]time.Duration // Guarded by mu: by slot, of those that have answered.
}

func (a *autoThrottle) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	resp, err := a.next.Fetch(ctx, req)
	if err != nil || resp.Timing.Latency <= 0 || req.Knob().DontAdjustDelay {
		return resp, err
	}
	slot := req.Slot()
	if own := a.settings.SlotLimits(slot); !own.DontThrottle {
		a.answered(slot, own.FixedDelay, resp)
	}
	return resp, nil
}

// answered sets the delay of a slot after an answer. The limiter is told with mu held: what it is told last must be the last.
func (a *autoThrottle) answered(slot string, fixed bool, resp *crawl.Response) {
	a.mu.Lock()
	defer a.mu.Unlock()
	floor := a.limiter.Floor(slot).Delay
	old, ok := a.delays[slot]
	if !ok {
		old = a.StartDelay
	}
	old = max(old, floor)
	delay := a.after(old, floor, resp.Timing.Latency, resp.Status)
	if a.Debug {
		a.log.Info("auto throttle", zap.String("slot", slot), zap.Duration("delay", delay), zap.Duration("change", delay-old),
			zap.Duration("latency", resp.Timing.Latency), zap.Int("status", resp.Status), zap.Int64("bytes", resp.Body.Size()))
	}
	if ok && delay == old {
		return
	}
	if !ok {
		slot = strings.Clone(slot)
	}
	a.delays[slot] = delay
	a.limiter.Limit(slot, crawl.Limits{Delay: delay, FixedDelay: fixed})
}

// after is the delay that follows old.
func (a *autoThrottle) after(old, floor, latency time.Duration, status int) time.Duration {
	target := time.Duration(float64(latency) / a.Target)
	delay := max(target, (old+target)/2)
	delay = max(min(delay, a.MaxDelay), floor)
	if status != http.StatusOK && delay <= old {
		return old
	}
	return delay
}

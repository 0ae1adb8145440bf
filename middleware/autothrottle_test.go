package middleware

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// tellTale is a Limiter that remembers what it was told.
type tellTale struct {
	floor crawl.Limits
	told  map[string][]crawl.Limits
}

func (l *tellTale) Floor(string) crawl.Limits { return l.floor }

func (l *tellTale) Limit(slot string, limits crawl.Limits) {
	l.told[slot] = append(l.told[slot], limits)
}

type timed struct {
	latency time.Duration
	status  int
}

// TestAutoThrottleByScrapysRule has what the rule of Scrapy's extension makes of the same answers, worked out apart from it in Python.
func TestAutoThrottleByScrapysRule(t *testing.T) {
	t.Parallel()
	ms := time.Millisecond
	answers := []timed{
		{500 * ms, 200}, {500 * ms, 200}, {2000 * ms, 200}, {9000 * ms, 503}, {100 * ms, 503}, {100 * ms, 404}, {100 * ms, 200}, {100 * ms, 200}, {80000 * ms, 200},
		{1000 * ms, 302}, {1000 * ms, 200}, {10 * ms, 200}, {10 * ms, 200}, {10 * ms, 200}, {10 * ms, 200}, {10 * ms, 200}, {10 * ms, 200}, {10 * ms, 200}, {10 * ms, 200},
	}
	for name, c := range map[string]struct {
		settings crawl.AutoThrottleSettings
		floor    time.Duration
		want     []float64 // milliseconds
	}{
		"defaults": {
			crawl.AutoThrottleSettings{}, 0,
			[]float64{
				2750, 1625, 2000, 9000, 9000, 9000, 4550, 2325, 60000, 60000, 30500, 15255, 7632.5, 3821.25, 1915.625, 962.8125, 486.40625, 248.203125, 129.1015625,
			},
		},
		"four at once, 250 ms at least, 20 s at most": {
			crawl.AutoThrottleSettings{Target: 4, MaxDelay: 20 * time.Second}, 250 * ms,
			[]float64{
				2562.5, 1343.75, 921.875, 2250, 2250, 2250, 1137.5, 581.25, 20000, 20000, 10125, 5063.75, 2533.125, 1267.8125, 635.15625, 318.828125, 250, 250, 250,
			},
		},
		"one every other time, a start below the least": {
			crawl.AutoThrottleSettings{Target: 0.5, StartDelay: time.Second}, 3 * time.Second,
			[]float64{3000, 3000, 4000, 18000, 18000, 18000, 9100, 4650, 60000, 60000, 31000, 15510, 7765, 3892.5, 3000, 3000, 3000, 3000, 3000},
		},
	} {
		limiter := &tellTale{floor: crawl.Limits{Delay: c.floor}, told: make(map[string][]crawl.Limits)}
		b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) {
			s.AutoThrottle = c.settings
			s.AutoThrottle.On = true
		})
		b.Limiter = limiter
		var next timed
		f := b.build(t, AutoThrottle, crawl.FetcherFunc(func(_ context.Context, req *crawl.Request) (*crawl.Response, error) {
			return &crawl.Response{Request: req, URL: req.URL, Status: next.status, Timing: crawl.Timing{Latency: next.latency}}, nil
		}))
		for i, want := range c.want {
			next = answers[i]
			_, err := f.Fetch(t.Context(), crawl.Get("http://Example.com/"))
			require.NoError(t, err)
			told := limiter.told["example.com"]
			got := told[len(told)-1].Delay
			require.InDelta(t, want, float64(got)/1e6, 0.001, "%s: answer %d", name, i)
		}
		// One that says so is not learnt from, nor is one that came from no wire.
		before := len(limiter.told["example.com"])
		next = timed{10 * time.Minute, 200}
		_, err := f.Fetch(t.Context(), crawl.Get("http://example.com/", func(r *crawl.Request) { r.Knobs = &crawl.Knobs{DontAdjustDelay: true} }))
		require.NoError(t, err)
		next.latency = 0
		_, err = f.Fetch(t.Context(), crawl.Get("http://example.com/"))
		require.NoError(t, err)
		require.Len(t, limiter.told["example.com"], before)
	}
}

func TestAutoThrottleIsOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	_, err := AutoThrottle(newBundle(t).Env, nil)
	requireOff(t, err)
}

func TestAutoThrottleDebug(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) {
		s.AutoThrottle.On, s.AutoThrottle.Debug = true, true
	})
	b.Limiter = &tellTale{told: make(map[string][]crawl.Limits)}
	f := b.build(t, AutoThrottle, crawl.FetcherFunc(func(_ context.Context, req *crawl.Request) (*crawl.Response, error) {
		return &crawl.Response{Request: req, URL: req.URL, Status: 200, Body: crawl.BytesBody([]byte("abc")), Timing: crawl.Timing{Latency: time.Second}}, nil
	}))
	_, err := f.Fetch(t.Context(), crawl.Get("http://example.com/"))
	require.NoError(t, err)
	said := b.logs.FilterMessage("auto throttle").All()
	require.Len(t, said, 1)
	require.Equal(t, map[string]any{
		"slot": "example.com", "delay": 3 * time.Second, "change": -2 * time.Second, "latency": time.Second, "status": int64(200), "bytes": int64(3),
	}, said[0].ContextMap())
}

package middleware

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"

	"github.com/tulle-go/tulle/crawl"
)

// buildRetry has no chance in it: a wait is drawn at its whole.
func buildRetry(t testing.TB, b *bundle, next crawl.Fetcher) crawl.Fetcher {
	t.Helper()
	f := b.build(t, Retry, next)
	f.(*retry).jitter = func(d time.Duration) time.Duration { return d }
	return f
}

func failing(kind crawl.Kind) *stub {
	return serve(func(req *crawl.Request) (*crawl.Response, error) {
		return nil, &crawl.DownloadError{Kind: kind, URL: req.URL.String(), Err: errors.New("broken")}
	})
}

func TestRetryKinds(t *testing.T) {
	t.Parallel()
	for kind, retried := range map[crawl.Kind]bool{
		crawl.KindTimeout: true, crawl.KindDNS: true, crawl.KindRefused: true, crawl.KindConnection: true, crawl.KindTruncated: true, crawl.KindProxy: true,
		crawl.KindTLS: false, crawl.KindTooLarge: false, crawl.KindEncoding: false, crawl.KindRequest: false,
	} {
		b := newBundle(t)
		_, err := buildRetry(t, b, failing(kind)).Fetch(t.Context(), crawl.Get("http://h/"))
		var failed *crawl.DownloadError
		require.ErrorAs(t, err, &failed, kind)
		require.Equal(t, kind, failed.Kind)
		var again *crawl.RescheduleError
		require.Equal(t, retried, errors.As(err, &again), kind)
		if retried {
			require.Equal(t, string(kind), again.Reason)
			require.EqualValues(t, 1, b.Stats.Int("retry/reason_count/"+string(kind)))
		}
	}
}

func TestRetryKnobs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		knobs    crawl.Knobs
		setting  string
		priority int
		level    zapcore.Level
	}{
		{crawl.Knobs{}, "", 9, zapcore.DebugLevel},
		{crawl.Knobs{}, "warn", 9, zapcore.WarnLevel},
		{crawl.Knobs{PriorityAdjust: 5, GiveUpLevel: "error"}, "warn", 15, zapcore.ErrorLevel},
		{crawl.Knobs{GiveUpLevel: "loud"}, "warn", 9, zapcore.DebugLevel},
	} {
		b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Retry.GiveUpLevel = c.setting })
		f := buildRetry(t, b, failing(crawl.KindTimeout))
		req := crawl.Get("http://h/")
		req.Priority, req.Knobs = 10, &c.knobs
		_, err := f.Fetch(t.Context(), req)
		require.Equal(t, c.priority, requireAgain(t, err).Request.Priority)
		req.Retries = 2
		_, err = f.Fetch(t.Context(), req)
		require.Error(t, err)
		entries := b.logs.FilterMessage("gave up retrying").All()
		require.Len(t, entries, 1)
		require.Equal(t, c.level, entries[0].Level)
	}
	_, err := crawl.Settings{Retry: crawl.RetrySettings{GiveUpLevel: "loud"}}.Effective(nil)
	require.EqualError(t, err, `retry.give_up_level is "loud": want debug, info, warn or error`)
}

// A transfer that gets ahead does not use up its attempts. One that does not get ahead any more does.
func TestRetryOfTransfersThatGetAhead(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	ahead := 50
	site := serve(func(req *crawl.Request) (*crawl.Response, error) {
		ahead--
		return nil, &crawl.DownloadError{Kind: crawl.KindTruncated, URL: req.URL.String(), Err: errors.New("broken"), Progress: ahead >= 0}
	})
	f := buildRetry(t, b, site)
	req := crawl.Get("http://h/")
	req.Retries, req.Priority = 2, 7
	_, err := f.Fetch(t.Context(), req)
	again := requireAgain(t, err)
	require.Equal(t, 2, again.Request.Retries)
	require.Equal(t, 7, again.Request.Priority)
	require.Equal(t, 4*time.Second, again.After, "it waits nonetheless")
	_, err = follow(t.Context(), f, again.Request)
	require.Error(t, err)
	require.Len(t, site.asked, 51)
	require.EqualValues(t, 50, b.Stats.Int("retry/count"))

	ahead = 50
	for _, knobs := range []crawl.Knobs{{DontRetry: true}, {RetryTimes: -1}} {
		req.Knobs = &knobs
		_, err = f.Fetch(t.Context(), req)
		var again *crawl.RescheduleError
		require.False(t, errors.As(err, &again), "who wants no retries gets none")
	}
}

func TestRetryStatus(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	var sent []*crawl.Response
	f := buildRetry(t, b, serve(func(req *crawl.Request) (*crawl.Response, error) {
		resp := spooled(t, req, 503)
		sent = append(sent, resp)
		return resp, nil
	}))
	req := crawl.Get("http://h/")
	req.Priority = 10

	_, err := f.Fetch(t.Context(), req)
	first := requireAgain(t, err)
	require.Equal(t, "503 Service Unavailable", first.Reason)
	require.Equal(t, time.Second, first.After)
	require.Zero(t, first.HoldSlot)
	require.NoError(t, first.Err)
	require.Equal(t, 1, first.Request.Retries)
	require.Equal(t, 9, first.Request.Priority)
	require.Zero(t, req.Retries, "the request in hand stays as it is")
	require.NoFileExists(t, sent[0].Body.Path())

	_, err = f.Fetch(t.Context(), first.Request)
	second := requireAgain(t, err)
	require.Equal(t, 2*time.Second, second.After)
	require.Equal(t, 2, second.Request.Retries)

	resp, err := f.Fetch(t.Context(), second.Request)
	require.NoError(t, err)
	require.Equal(t, 503, resp.Status)
	require.FileExists(t, resp.Body.Path())
	require.NoError(t, resp.Close())
	require.Equal(t, map[string]any{
		"retry/count": int64(2), "retry/reason_count/503 Service Unavailable": int64(2), "retry/max_reached": int64(1),
	}, b.Stats.Snapshot())
}

func TestStatusReason(t *testing.T) {
	t.Parallel()
	require.Equal(t, "429 Too Many Requests", statusReason(429))
	require.Equal(t, "522 Unknown Status", statusReason(522))
}

func TestRetryGivesUpOnErrors(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Retry.Times = 1 })
	f := buildRetry(t, b, failing(crawl.KindTimeout))
	_, err := follow(t.Context(), f, crawl.Get("http://h/"))
	var failed *crawl.DownloadError
	require.ErrorAs(t, err, &failed)
	require.EqualValues(t, 1, b.Stats.Int("retry/max_reached"))
}

func TestRetryIsAskedFor(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		times int // of the settings
		knobs crawl.Knobs
		want  int // attempts
	}{
		{"default", 0, crawl.Knobs{}, 3},
		{"never", -1, crawl.Knobs{}, 1},
		{"never, but this one", -1, crawl.Knobs{RetryTimes: 1}, 2},
		{"more", 0, crawl.Knobs{RetryTimes: 5}, 6},
		{"not this one", 0, crawl.Knobs{RetryTimes: -1}, 1},
		{"not at all", 0, crawl.Knobs{DontRetry: true, RetryTimes: 3}, 1},
		{"although its status is handled", 0, crawl.Knobs{HandleAllStatus: true}, 3},
	}
	for _, c := range cases {
		b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Retry.Times = c.times })
		site := serve(func(req *crawl.Request) (*crawl.Response, error) { return answer(req, 500, ""), nil })
		req := crawl.Get("http://h/")
		req.Knobs = &c.knobs
		resp, err := follow(t.Context(), buildRetry(t, b, site), req)
		require.NoError(t, err, c.name)
		require.Equal(t, 500, resp.Status, c.name)
		require.Len(t, site.asked, c.want, c.name)
	}
}

func TestRetryLeavesOtherStatuses(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 301, 404, 501} {
		b := newBundle(t)
		site := serve(func(req *crawl.Request) (*crawl.Response, error) { return answer(req, status, ""), nil })
		resp, err := buildRetry(t, b, site).Fetch(t.Context(), crawl.Get("http://h/"))
		require.NoError(t, err)
		require.Equal(t, status, resp.Status)
	}
}

// Any status may be named, as in Scrapy: some sites say 202 while they make a page.
func TestRetryOfASuccess(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Retry.Statuses = []int{202} })
	site := serve(func(req *crawl.Request) (*crawl.Response, error) { return answer(req, 202, ""), nil })
	_, err := buildRetry(t, b, site).Fetch(t.Context(), crawl.Get("http://h/"))
	requireAgain(t, err)
}

// A crawl that stops must not fill its queue.
func TestRetryNotWhenStopped(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := buildRetry(t, b, failing(crawl.KindTimeout)).Fetch(ctx, crawl.Get("http://h/"))
	var again *crawl.RescheduleError
	require.False(t, errors.As(err, &again))
	require.Error(t, err)
}

func TestRetryBackOff(t *testing.T) {
	t.Parallel()
	r := &retry{RetrySettings: crawl.RetrySettings{BackOff: time.Second, MaxBackOff: time.Minute}, jitter: func(d time.Duration) time.Duration { return d }}
	var got []time.Duration
	for _, n := range []int{0, 1, 2, 5, 6, 7, 1 << 30} {
		got = append(got, r.backOff(n))
	}
	s := time.Second
	require.Equal(t, []time.Duration{s, 2 * s, 4 * s, 32 * s, 60 * s, 60 * s, 60 * s}, got)
	r.BackOff = -1
	require.Zero(t, r.backOff(3))
	r.BackOff, r.MaxBackOff = 10*s, 3*s
	require.Equal(t, 3*s, r.backOff(0))
}

func TestRetryJitter(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	f := b.build(t, Retry, serveOK()).(*retry)
	seen := make(map[time.Duration]bool)
	for range 100 {
		d := f.backOff(1)
		require.GreaterOrEqual(t, d, time.Second)
		require.LessOrEqual(t, d, 2*time.Second)
		seen[d] = true
	}
	require.Greater(t, len(seen), 10)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	cases := []struct {
		value string
		want  time.Duration
	}{
		{"", 0},
		{"0", 0},
		{"7", 7 * time.Second},
		{" 7 ", 7 * time.Second},
		{"300", 5 * time.Minute},
		{"301", 5 * time.Minute},
		{"99999999999999999999999999", 5 * time.Minute},
		{"9223372036854775807", 5 * time.Minute},
		{"-5", 0},
		{"1.5", 0},
		{"soon", 0},
		{"Sat, 01 Jan 2000 00:00:30 GMT", 30 * time.Second}, // the fake clock begins with the millennium
		{"Saturday, 01-Jan-00 00:00:30 GMT", 30 * time.Second},
		{"Sat Jan  1 00:00:30 2000", 30 * time.Second},
		{"Fri, 31 Dec 1999 23:59:59 GMT", 0},
		{"Fri, 31 Dec 9999 23:59:59 GMT", 5 * time.Minute},
	}
	synctest.Test(t, func(t *testing.T) {
		for _, c := range cases {
			require.Equal(t, c.want, asked(c.value, 5*time.Minute), "%q", c.value)
		}
		require.Zero(t, asked("7", -1))
	})
}

// TestRetryAfterHoldsTheSlot has a site that asks for a pause. The slot is held for it, whether the request is to be asked again or not.
func TestRetryAfterHoldsTheSlot(t *testing.T) {
	t.Parallel()
	cases := []struct {
		status      int
		value       string
		after, hold time.Duration
	}{
		{http.StatusTooManyRequests, "30", 30 * time.Second, 30 * time.Second},
		{http.StatusServiceUnavailable, "30", 30 * time.Second, 30 * time.Second},
		{http.StatusServiceUnavailable, "3600", 5 * time.Minute, 5 * time.Minute},
		{http.StatusInternalServerError, "30", 30 * time.Second, 0},
		{http.StatusTooManyRequests, "", time.Second, 0},
		{http.StatusTooManyRequests, "0", time.Second, 0},
	}
	for _, c := range cases {
		for _, knobs := range []*crawl.Knobs{nil, {DontRetry: true}} {
			synctest.Test(t, func(t *testing.T) {
				limiter := &tellTale{told: make(map[string][]crawl.Limits)}
				b := newBundle(t)
				b.Limiter = limiter
				f := buildRetry(t, b, b.build(t, RetryAfter, serve(func(req *crawl.Request) (*crawl.Response, error) {
					return answer(req, c.status, "", "Retry-After", c.value), nil
				})))
				resp, err := f.Fetch(t.Context(), crawl.Get("http://h/", func(r *crawl.Request) { r.Knobs = knobs }))
				if knobs != nil {
					require.NoError(t, err)
					require.Equal(t, c.status, resp.Status)
				} else {
					again := requireAgain(t, err)
					require.Equal(t, c.after, again.After, c)
					require.Zero(t, again.HoldSlot)
				}
				var held []crawl.Limits
				if c.hold > 0 {
					held = []crawl.Limits{{HoldUntil: time.Now().Add(c.hold)}}
				}
				require.Equal(t, held, limiter.told["h"], c)
			})
		}
	}
}

package middleware

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// wireErr is a host that does not answer.
func wireErr(kind crawl.Kind) error {
	return &crawl.DownloadError{Kind: kind, URL: "http://example.com/", Err: errors.New("as the test wants")}
}

// breakerBundle is a breaker before a wire whose state the test sets.
type breakerBundle struct {
	*bundle
	f     crawl.Fetcher
	err   error // what the wire answers
	asked int
}

func newBreaker(t testing.TB, configure ...func(*crawl.Spider, *crawl.Settings)) *breakerBundle {
	b := &breakerBundle{bundle: newBundle(t, configure...)}
	b.f = b.build(t, Breaker, crawl.FetcherFunc(func(_ context.Context, req *crawl.Request) (*crawl.Response, error) {
		b.asked++
		if b.err != nil {
			return nil, b.err
		}
		return &crawl.Response{Request: req, URL: req.URL, Status: 200}, nil
	}))
	return b
}

func (b *breakerBundle) ask(t testing.TB, url string) error {
	_, err := b.f.Fetch(t.Context(), crawl.Get(url))
	return err
}

// fail asks until the host is left alone, and returns how many attempts that took.
func (b *breakerBundle) fail(t testing.TB, url string, err error) int {
	b.err = err
	for n := 1; n <= 1000; n++ {
		if _, ok := errors.AsType[*crawl.RescheduleError](b.ask(t, url)); ok {
			return n
		}
	}
	t.Fatal("it is never left alone")
	return 0
}

func TestBreakerOpensAfterFailuresWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	const url = "http://example.com/"
	for _, kind := range []crawl.Kind{crawl.KindDNS, crawl.KindRefused, crawl.KindTimeout, crawl.KindConnection} {
		b := newBreaker(t)
		require.Equal(t, 10, b.fail(t, url, wireErr(kind)), kind)
		require.EqualValues(t, 1, b.Stats.Int("breaker/open_count"))
	}
	for name, err := range map[string]error{
		"a body that ends early":     wireErr(crawl.KindTruncated),
		"a body that is too large":   wireErr(crawl.KindTooLarge),
		"a timeout after the header": &crawl.DownloadError{Kind: crawl.KindTimeout, Err: errors.New("slow"), Answered: true},
		"the next part of a file":    &crawl.DownloadError{Kind: crawl.KindTimeout, Err: errors.New("slow"), Progress: true},
		"a request that is no good":  wireErr(crawl.KindRequest),
		"a full disk":                errors.New("no space left on device"),
		"a layer's refusal":          crawl.IgnoreRequest("no"),
		"a layer's repeat":           &crawl.RescheduleError{Request: crawl.Get(url), Err: wireErr(crawl.KindRefused)},
	} {
		b := newBreaker(t)
		b.err = err
		for range 50 {
			require.Equal(t, err, b.ask(t, url), name)
		}
	}
}

func TestBreakerGivesBackWithoutCounting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t)
		b.err = wireErr(crawl.KindRefused)
		for range 9 {
			require.Equal(t, b.err, b.ask(t, "http://example.com/"))
		}
		req := crawl.Get("http://example.com/tenth")
		req.Retries, req.Priority = 2, 7
		_, err := b.f.Fetch(t.Context(), req)
		again, ok := errors.AsType[*crawl.RescheduleError](err)
		require.True(t, ok)
		require.Equal(t, 2, again.Request.Retries)
		require.Equal(t, 7, again.Request.Priority)
		require.Equal(t, time.Minute, again.After)
		require.Equal(t, time.Minute, again.HoldSlot)
		require.ErrorIs(t, err, b.err)

		// The retry layer leaves it as it is.
		retry := b.build(t, Retry, crawl.FetcherFunc(func(context.Context, *crawl.Request) (*crawl.Response, error) { return nil, err }))
		_, passed := retry.Fetch(t.Context(), crawl.Get("http://example.com/"))
		require.Equal(t, err, passed)

		// What must not be asked twice is not, and its error is its own.
		b = newBreaker(t)
		b.err = wireErr(crawl.KindRefused)
		once := crawl.Get("http://example.com/once")
		once.Knobs = &crawl.Knobs{DontRetry: true}
		for range 10 {
			_, err := b.f.Fetch(t.Context(), once)
			require.Equal(t, b.err, err)
		}
		_, err = b.f.Fetch(t.Context(), once)
		_, ok = errors.AsType[*crawl.RescheduleError](err)
		require.True(t, ok, "one that was not sent may wait")
		require.Equal(t, 10, b.asked)
	})
}

// TestBreakerHoldsGrow has a host that answered once and never again: five trials, then it is given up.
func TestBreakerHoldsGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t)
		const url = "http://example.com/"
		for range 20 {
			require.NoError(t, b.ask(t, url))
		}
		begun := time.Now()
		b.fail(t, url, wireErr(crawl.KindTimeout))
		var holds []time.Duration
		for last, asked := begun, b.asked; len(holds) < 5; {
			err := b.ask(t, url)
			if b.asked > asked {
				holds = append(holds, time.Since(last))
				last, asked = time.Now(), b.asked
			}
			if again, ok := errors.AsType[*crawl.RescheduleError](err); ok {
				time.Sleep(again.After)
			}
		}
		minute := time.Minute
		require.Equal(t, []time.Duration{minute, 2 * minute, 4 * minute, 8 * minute, 15 * minute}, holds)
		asked := b.asked
		for range 1000 {
			err := b.ask(t, url)
			failed, ok := errors.AsType[*crawl.DownloadError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, crawl.KindDeadHost, failed.Kind)
			require.ErrorContains(t, err, "http://example.com has not answered for 30m0s: as the test wants")
			require.Nil(t, passing(err), "it is not retried")
		}
		require.Equal(t, asked, b.asked)
		require.EqualValues(t, 1, b.Stats.Int("breaker/given_up"))
		require.EqualValues(t, 5, b.Stats.Int("breaker/trial_count"))
		require.EqualValues(t, 1000, b.Stats.Int("breaker/refused_count"))
		require.Equal(t, 1, b.logs.FilterMessageSnippet("given up").Len())
		b.err = nil
		require.NoError(t, b.ask(t, "https://example.com/"), "another origin")
	})
}

func TestBreakerTriesOneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t)
		const url = "http://example.com/"
		require.NoError(t, b.ask(t, url))
		b.fail(t, url, wireErr(crawl.KindTimeout))
		time.Sleep(time.Minute)
		inner, let := 0, make(chan error)
		b.f.(*breaker).next = crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
			inner++
			if err := <-let; err != nil {
				return nil, err
			}
			return &crawl.Response{Request: req, URL: req.URL, Status: 503}, nil
		})
		answer := make(chan error, 1)
		go func() { answer <- b.ask(t, url) }()
		synctest.Wait()
		for range 7 {
			again, ok := errors.AsType[*crawl.RescheduleError](b.ask(t, url))
			require.True(t, ok)
			require.Equal(t, trialPoll, again.HoldSlot)
		}
		require.Equal(t, 1, inner)
		let <- context.Canceled // it has told nothing
		require.Equal(t, context.Canceled, <-answer)
		go func() { answer <- b.ask(t, url) }()
		let <- nil
		require.NoError(t, <-answer)
		require.EqualValues(t, 1, b.Stats.Int("breaker/close_count"))
		go func() { let <- nil }()
		require.NoError(t, b.ask(t, url))
	})
}

// TestBreakerIsNotEndedByALateAnswer has an answer to a request that left before the host was found to be out.
func TestBreakerIsNotEndedByALateAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t)
		const url = "http://example.com/"
		wire, let := b.f.(*breaker).next, make(chan struct{})
		b.f.(*breaker).next = crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
			<-let
			return &crawl.Response{Request: req, URL: req.URL, Status: 200}, nil
		})
		answer := make(chan error, 1)
		go func() { answer <- b.ask(t, url) }()
		synctest.Wait()
		b.f.(*breaker).next = wire
		b.fail(t, url, wireErr(crawl.KindRefused))
		close(let)
		require.NoError(t, <-answer)
		b.err = nil
		again, ok := errors.AsType[*crawl.RescheduleError](b.ask(t, url))
		require.True(t, ok, "it is left alone")
		require.Equal(t, time.Minute, again.HoldSlot)
		time.Sleep(time.Minute)
		require.NoError(t, b.ask(t, url))
		require.EqualValues(t, 1, b.Stats.Int("breaker/trial_count"))
		require.EqualValues(t, 1, b.Stats.Int("breaker/close_count"))
	})
}

// TestBreakerNeverTripsForAFlakyHost asks hosts a hundred thousand times that fail as often as they answer, or much more often.
func TestBreakerNeverTripsForAFlakyHost(t *testing.T) {
	t.Parallel()
	for _, share := range []float64{0.05, 0.3, 0.5, 0.8} {
		b := newBreaker(t)
		random := rand.New(rand.NewPCG(1, 2))
		for range 100_000 {
			if b.err = nil; random.Float64() < share {
				b.err = wireErr(crawl.KindConnection)
			}
			require.Equal(t, b.err, b.ask(t, "http://example.com/"), share)
		}
		require.Zero(t, b.Stats.Int("breaker/open_count"))
		require.Less(t, b.fail(t, "http://example.com/", wireErr(crawl.KindConnection)), 100, "one that has gone is found out all the same")
	}
}

// TestBreakerHoldsTheSlotForItselfAlone has two hosts in a slot, of which one is dead.
func TestBreakerHoldsTheSlotForItselfAlone(t *testing.T) {
	t.Parallel()
	b := newBreaker(t)
	slot := func(url string) *crawl.Request {
		return crawl.Get(url, func(r *crawl.Request) { r.Knobs = &crawl.Knobs{Slot: "shared"} })
	}
	for range 9 {
		b.err = wireErr(crawl.KindRefused)
		_, err := b.f.Fetch(t.Context(), slot("http://dead.example/"))
		require.Equal(t, b.err, err)
		b.err = nil
		_, err = b.f.Fetch(t.Context(), slot("http://live.example/"))
		require.NoError(t, err)
	}
	b.err = wireErr(crawl.KindRefused)
	_, err := b.f.Fetch(t.Context(), slot("http://dead.example/"))
	again, ok := errors.AsType[*crawl.RescheduleError](err)
	require.True(t, ok)
	require.Positive(t, again.After)
	require.Zero(t, again.HoldSlot)
}

// TestBreakerForgetsNothingAndKeepsLittle has thirty thousand hosts, a tenth of them dead.
func TestBreakerForgetsNothingAndKeepsLittle(t *testing.T) {
	const hosts = 30_000
	b := newBreaker(t)
	before := heapInUse()
	for i := range hosts {
		if b.err = nil; i%10 == 0 {
			b.err = wireErr(crawl.KindDNS)
		}
		_ = b.ask(t, fmt.Sprintf("http://host-%d.example/some/longer/path/of/a/page", i))
	}
	each := (heapInUse() - before) / hosts
	require.Len(t, b.f.(*breaker).hosts, hosts)
	require.Less(t, each, uint64(300), "bytes a host")
	t.Logf("%d bytes a host", each)
}

func BenchmarkBreaker(b *testing.B) {
	br := newBreaker(b)
	req, ctx := crawl.Get("http://example.com/"), b.Context()
	resp := &crawl.Response{Request: req, URL: req.URL, Status: 200}
	br.f.(*breaker).next = crawl.FetcherFunc(func(context.Context, *crawl.Request) (*crawl.Response, error) { return resp, nil })
	b.ReportAllocs()
	for b.Loop() {
		_, _ = br.f.Fetch(ctx, req)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return ms.HeapAlloc
}

package middleware

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// TestLoginIsNotLearnedFromARedirect has a start URL that leads to a URL with a password in it: that one request sends it, and no other.
func TestLoginIsNotLearnedFromARedirect(t *testing.T) {
	t.Parallel()
	site := serve(func(req *crawl.Request) (*crawl.Response, error) {
		resp := answer(req, 200, "ok")
		if req.URL.Hostname() == "evil.example" {
			resp = answer(req, 302, "")
			resp.Header.Set("Location", "http://mallory:pw@victim.example/")
		}
		return resp, nil
	})
	for _, own := range []bool{true, false} {
		b, want := newBundle(t), ""
		if own {
			b, want = newBundle(t, loggedIn("victim.example")), who("me:s3cret")
		}
		f := b.build(t, HTTPAuth, b.build(t, Redirect, site))
		start := crawl.Get("http://evil.example/")
		start.IsStart = true
		_, err := f.Fetch(t.Context(), start)
		var again *crawl.RescheduleError
		require.ErrorAs(t, err, &again)
		_, err = f.Fetch(t.Context(), again.Request)
		require.NoError(t, err)
		_, err = f.Fetch(t.Context(), crawl.Get("http://victim.example/other"))
		require.NoError(t, err)
		require.Equal(t, want, site.last().Header.Get("Authorization"))
	}
}

// TestTrialThatPanics has a handler that panics in the one request that is let through: another one is tried later.
func TestTrialThatPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, broken := newBundle(t), false
		down := true
		f := b.build(t, Breaker, crawl.FetcherFunc(func(_ context.Context, req *crawl.Request) (*crawl.Response, error) {
			switch {
			case broken:
				panic("a handler")
			case down:
				return nil, wireErr(crawl.KindRefused)
			}
			return answer(req, 200, "ok"), nil
		}))
		ask := func() error {
			_, err := f.Fetch(t.Context(), crawl.Get("http://example.com/"))
			return err
		}
		for range 20 {
			require.Error(t, ask())
		}
		time.Sleep(2 * time.Minute)
		broken = true
		require.Panics(t, func() { _ = ask() })
		broken, down = false, false
		time.Sleep(time.Hour)
		require.NoError(t, ask())
	})
}

// TestBreakerDoesNotJudgeThroughAProxy has a proxy that is overloaded: nobody knows anything of the hosts behind it.
func TestBreakerDoesNotJudgeThroughAProxy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBundle(t)
		f := b.build(t, Breaker, crawl.FetcherFunc(func(context.Context, *crawl.Request) (*crawl.Response, error) {
			return nil, &crawl.DownloadError{Kind: crawl.KindConnection, Err: errors.New("proxy http://p: it answered 503")}
		}))
		via, err := crawl.ParseProxy("http://p:3128")
		require.NoError(t, err)
		ctx := crawl.WithProxy(t.Context(), via)
		for range 100 {
			_, err := f.Fetch(ctx, crawl.Get("https://a.example/"))
			require.ErrorContains(t, err, "it answered 503")
		}
	})
}

// TestCacheKeepsUsersApart has two sessions in Cookie headers of the requests' own, with the jar on.
func TestCacheKeepsUsersApart(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{crawl.CacheDummy, crawl.CacheRFC9111} {
		b := keptFor(t, func(s *crawl.Settings) { s.HTTPCache.Policy = policy })
		site := serve(func(req *crawl.Request) (*crawl.Response, error) {
			resp := answer(req, 200, "page of "+req.Header.Get("Cookie"))
			resp.Header.Set("Cache-Control", "private, max-age=600")
			return resp, nil
		})
		f := b.build(t, Cookies, cacheOver(t, b, site))
		for range 2 {
			for _, session := range []string{"session=alice", "session=bob"} {
				req := crawl.Get("http://shop.example/account")
				req.Header = http.Header{"Cookie": {session}}
				require.Contains(t, got(t, f, req), "page of "+session, policy)
			}
		}
		require.Len(t, site.urls(), 2, policy)
	}
}

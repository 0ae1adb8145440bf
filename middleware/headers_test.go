package middleware

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestHeaders(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) {
		s.DefaultHeaders = map[string]string{"accept": "text/html", "X-Lang": "en", "X-None": ""}
	})
	site := serveOK()
	f := b.build(t, Headers, site)
	for _, c := range []struct{ own, want http.Header }{
		{nil, http.Header{"Accept": {"text/html"}, "X-Lang": {"en"}}},
		{http.Header{"X-Lang": {"de"}}, http.Header{"Accept": {"text/html"}, "X-Lang": {"de"}}},
		{http.Header{"Accept": {""}, "X-Lang": nil}, http.Header{"Accept": {""}, "X-Lang": nil}},
		{http.Header{"X-Own": {"a", "b"}}, http.Header{"Accept": {"text/html"}, "X-Lang": {"en"}, "X-Own": {"a", "b"}}},
	} {
		req := crawl.Get("http://h/")
		req.Header = c.own
		_, err := f.Fetch(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, c.want, site.last().Header)
	}
}

func TestHeadersOff(t *testing.T) {
	t.Parallel()
	for _, set := range []map[string]string{{}, {"Accept": ""}} {
		b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.DefaultHeaders = set })
		_, err := Headers(b.Env, serveOK())
		requireOff(t, err)
	}
}

func TestUserAgent(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	site := serveOK()
	f := b.build(t, UserAgent, site)
	_, err := f.Fetch(t.Context(), crawl.Get("http://h/"))
	require.NoError(t, err)
	require.Equal(t, crawl.DefaultUserAgent, site.last().Header.Get("User-Agent"))

	req := crawl.Get("http://h/")
	req.Header = http.Header{"User-Agent": {"own"}}
	_, err = f.Fetch(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, "own", site.last().Header.Get("User-Agent"))
}

// Each site keeps one of several names, whatever else is asked and in what order, and its robots.txt is asked and read by that name.
func TestUserAgents(t *testing.T) {
	t.Parallel()
	names := []string{"one/1", "", "two/2", "three/3"}
	const file = "User-agent: one\nDisallow: /one\n\nUser-agent: two\nDisallow: /two\n\nUser-agent: three\nDisallow: /three"
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.UserAgents = names })
	site := robotsFileSite(file)
	f := opens{b.build(t, Robots, b.build(t, UserAgent, site))}
	used := make(map[string]string)
	for i := range 60 {
		domain := "h" + strconv.Itoa(i) + ".co.uk"
		for _, u := range []string{"http://" + domain, "https://" + domain + ":8443", "http://www." + domain, "http://CDN." + domain + "."} {
			var refused []string
			for _, path := range []string{"/one", "/two", "/three"} {
				req := crawl.Get(u + path)
				if _, err := f.Fetch(t.Context(), req); err != nil {
					requireIgnored(t, err, "robots.txt")
					refused = append(refused, path)
				}
			}
			agent := site.last().Header.Get("User-Agent")
			if used[domain] == "" {
				used[domain] = agent
			}
			require.Equal(t, used[domain], agent)
			require.Equal(t, []string{"/" + agent[:len(agent)-2]}, refused, "the group of the one that is sent")
		}
	}
	require.Equal(t, []string{"one/1", "three/3", "two/2"}, slices.Compact(slices.Sorted(maps.Values(used))))
	for _, req := range site.asked {
		require.Equal(t, used[strings.TrimSuffix(req.URL.Hostname(), ".")[strings.IndexByte(req.URL.Hostname(), 'h'):]], req.Header.Get("User-Agent"), req)
	}
	own := crawl.Get("http://h1.co.uk/")
	own.Header = http.Header{"User-Agent": {"own"}}
	_, err := f.Fetch(t.Context(), own)
	require.NoError(t, err)
	require.Equal(t, "own", site.last().Header.Get("User-Agent"))
}

// What layers add is no part of what waits in the queue.
func TestAddedHeadersAreTakenBack(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	site := serve(func(req *crawl.Request) (*crawl.Response, error) {
		require.Len(t, req.Header, 5, "Accept, Accept-Language, Accept-Encoding, User-Agent and X-Own are sent")
		return answer(req, 503, ""), nil
	})
	chain, err := Build(b.Env, site)
	require.NoError(t, err)
	req := crawl.Get("http://h/")
	req.Header = http.Header{"x-own": {"1"}}
	req.Knobs = &crawl.Knobs{IgnoreRobots: true}
	_, err = chain.Fetch(t.Context(), req)
	require.Equal(t, http.Header{"X-Own": {"1"}}, requireAgain(t, err).Request.Header)
}

// What a layer sets on the copy alone is for the next attempt.
func TestHeadersOfTheNextAttempt(t *testing.T) {
	t.Parallel()
	b := newBundle(t, layers(crawl.Layer{Order: 300, Middleware: func(_ *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
		return crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
			req.Header.Set("X-In-Hand", "1")
			resp, err := next.Fetch(ctx, req)
			if err != nil || resp.Status == 200 {
				return resp, err
			}
			c := req.Clone()
			c.Header.Set("X-Next", "1")
			c.Header.Set("User-Agent", "another")
			return nil, crawl.Reschedule(c, 0, "once more")
		}), nil
	}}), func(_ *crawl.Spider, s *crawl.Settings) { s.Robots.Ignore = true })
	chain, err := Build(b.Env, serve(func(req *crawl.Request) (*crawl.Response, error) { return answer(req, 404, ""), nil }))
	require.NoError(t, err)
	for _, own := range []http.Header{nil, {"X-In-Hand": {"1"}}} {
		req := crawl.Get("http://h/")
		req.Header = own
		_, err = chain.Fetch(t.Context(), req)
		want := http.Header{"X-Next": {"1"}, "User-Agent": {"another"}}
		if own != nil {
			want["X-In-Hand"] = []string{"1"}
		}
		require.Equal(t, want, requireAgain(t, err).Request.Header)
	}
}

// What is on the wire only is taken back also where a layer of somebody's own panics: Errback sees that request.
func TestSecretsAfterAPanic(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) {
		s.Robots.Ignore = true
		s.HTTPAuth = crawl.HTTPAuthSettings{User: "u", Password: "p", Domain: "h"}
		s.Middlewares = []crawl.Layer{{Order: 800, Middleware: func(_ *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
			return crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
				if req.URL.Path == "/panic" {
					require.Len(t, req.Header["Authorization"], 1)
					panic("oh")
				}
				return next.Fetch(ctx, req)
			}), nil
		}}}
	})
	chain, err := Build(b.Env, serve(func(req *crawl.Request) (*crawl.Response, error) {
		return answer(req, 200, "", "Set-Cookie", "a=1"), nil
	}))
	require.NoError(t, err)
	_, err = chain.Fetch(t.Context(), crawl.Get("http://h/"))
	require.NoError(t, err)
	req := crawl.Get("http://h/panic")
	require.Panics(t, func() { _, _ = chain.Fetch(t.Context(), req) })
	require.Empty(t, req.Header["Authorization"])
	require.Empty(t, req.Header["Cookie"])
}

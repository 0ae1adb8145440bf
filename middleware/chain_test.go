package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// tracer is a layer that writes its name into the request's Data when it passes, and can be closed.
type tracer struct {
	name   string
	next   crawl.Fetcher
	closed *[]string
	limits crawl.Limits
	err    error
}

func (l *tracer) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	req.Data = append(req.Data, l.name...)
	return l.next.Fetch(ctx, req)
}

func (l *tracer) Close() error {
	*l.closed = append(*l.closed, l.name)
	return nil
}

func (l *tracer) OpenHost(_ context.Context, origin string, _ crawl.Fetcher) (crawl.Limits, error) {
	if l.err != nil {
		return crawl.Limits{}, l.err
	}
	return l.limits, nil
}

func trace(name string, closed *[]string) crawl.Middleware {
	return func(_ *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
		return &tracer{name: name, next: next, closed: closed}, nil
	}
}

func layers(list ...crawl.Layer) func(*crawl.Spider, *crawl.Settings) {
	return func(_ *crawl.Spider, s *crawl.Settings) { s.Middlewares = list }
}

// path is the layers that a request passes, of those that are tracers.
func path(t testing.TB, b *bundle) string {
	t.Helper()
	site := serveOK()
	chain, err := Build(b.Env, site)
	require.NoError(t, err)
	req := crawl.Get("data:,x")
	_, err = chain.Fetch(t.Context(), req)
	require.NoError(t, err)
	return string(req.Data)
}

func TestBuild(t *testing.T) {
	t.Parallel()
	var closed []string
	b := newBundle(t, layers(
		crawl.Layer{Order: 900, Middleware: trace("e", &closed)},
		crawl.Layer{Order: 600, Middleware: trace("b", &closed)},
		crawl.Layer{Order: 600, Name: "own", Middleware: trace("c", &closed)},
		crawl.Layer{Order: -5, Middleware: trace("a", &closed)},
		crawl.Layer{Order: 700, Name: "cookies", Middleware: trace("d", &closed)}, // in place of the built-in
		crawl.Layer{Order: 1, Off: true, Middleware: trace("off", &closed)},
		crawl.Layer{Order: 1, Middleware: func(*crawl.Env, crawl.Fetcher) (crawl.Fetcher, error) { return nil, crawl.NotConfigured("not today") }},
		crawl.Layer{Order: 1, Middleware: func(_ *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) { return next, nil }},
		crawl.Layer{Order: 901, Middleware: func(_ *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) { return next, nil }},
	))
	require.Equal(t, "abcde", path(t, b))

	chain, err := Build(b.Env, serveOK())
	require.NoError(t, err)
	require.True(t, chain.HasOpeners())
	require.NoError(t, chain.Close())
	require.NoError(t, chain.Close())
	require.Equal(t, []string{"a", "b", "c", "d", "e"}, closed, "each once, the outermost first")
}

func TestBuildMovesAndRemoves(t *testing.T) {
	t.Parallel()
	moved := func() *stub {
		return serve(func(req *crawl.Request) (*crawl.Response, error) { return answer(req, 302, "", "Location", "/"), nil })
	}
	for _, c := range []struct {
		name   string
		layers []crawl.Layer
		times  int64 // redirects that the tracer sees
		asked  bool  // again
	}{
		{"as it is", nil, 0, true},
		{"off", []crawl.Layer{{Name: "redirect", Off: true}}, 1, false},
		{"off and on", []crawl.Layer{{Name: "redirect", Off: true}, {Name: "redirect", Order: 600}}, 0, true},
		{"moved outwards", []crawl.Layer{{Name: "redirect", Order: 10}}, 1, true},
	} {
		passed := int64(0)
		b := newBundle(t, layers(append(c.layers, crawl.Layer{Order: 300, Middleware: func(_ *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
			return crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
				resp, err := next.Fetch(ctx, req)
				if err == nil {
					passed++
				}
				return resp, err
			}), nil
		}})...))
		chain, err := Build(b.Env, moved())
		require.NoError(t, err, c.name)
		req := crawl.Get("http://h/")
		req.Knobs = &crawl.Knobs{IgnoreRobots: true}
		_, err = chain.Fetch(t.Context(), req)
		var again *crawl.RescheduleError
		require.Equal(t, c.asked, errors.As(err, &again), c.name)
		require.Equal(t, c.times, passed, c.name)
	}
}

func TestBuildErrors(t *testing.T) {
	t.Parallel()
	var closed []string
	broken := errors.New("no such file")
	for _, c := range []struct {
		layer crawl.Layer
		want  string
	}{
		{crawl.Layer{Name: "cokies", Off: true}, `middlewares: no built-in layer is called "cokies" (there are offsite, robots, httpauth, headers, useragent, retry, metarefresh, `},
		{crawl.Layer{Name: "cokies", Order: 5}, `middlewares: no built-in layer is called "cokies"`},
		{crawl.Layer{Order: 5}, "middlewares: a layer has neither a name nor a middleware"},
		{crawl.Layer{Order: 5, Middleware: func(*crawl.Env, crawl.Fetcher) (crawl.Fetcher, error) { return nil, broken }}, "middleware of order 5: no such file"},
		{crawl.Layer{Name: "own", Middleware: func(*crawl.Env, crawl.Fetcher) (crawl.Fetcher, error) { return nil, nil }}, "middleware own: it returned no Fetcher"},
	} {
		closed = nil
		b := newBundle(t, layers(crawl.Layer{Order: 900, Middleware: trace("inner", &closed)}, c.layer))
		_, err := Build(b.Env, serveOK())
		require.ErrorContains(t, err, c.want)
		if strings.HasPrefix(c.want, "middleware ") {
			require.Equal(t, []string{"inner"}, closed, "what was built is closed")
		}
	}
	b := newBundle(t, layers(crawl.Layer{Middleware: func(*crawl.Env, crawl.Fetcher) (crawl.Fetcher, error) { return nil, broken }}))
	_, err := Build(b.Env, serveOK())
	require.ErrorIs(t, err, broken)
}

func TestChainOpenHost(t *testing.T) {
	t.Parallel()
	opener := func(l crawl.Limits, err error) crawl.Layer {
		return crawl.Layer{Order: 5, Middleware: func(_ *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
			return &tracer{next: next, closed: new([]string), limits: l, err: err}, nil
		}}
	}
	now := time.Now()
	broken := errors.New("broken")
	b := newBundle(t, layers(
		opener(crawl.Limits{Concurrency: 3, Delay: time.Second, HoldUntil: now}, nil),
		opener(crawl.Limits{Concurrency: 2, HoldUntil: now.Add(time.Hour)}, nil),
		opener(crawl.Limits{Delay: 5 * time.Second, Concurrency: -1}, nil),
		opener(crawl.Limits{Delay: 5 * time.Second, FixedDelay: true}, nil),
		opener(crawl.Limits{}, broken),
	))
	chain, err := Build(b.Env, robotsFileSite("User-agent: *\nCrawl-delay: 2"))
	require.NoError(t, err)
	limits, err := chain.OpenHostFor(t.Context(), crawl.Get("http://h/"), chain)
	require.ErrorIs(t, err, broken)
	require.Equal(t, crawl.Limits{Concurrency: 2, Delay: 5 * time.Second, FixedDelay: true, HoldUntil: now.Add(time.Hour)}, limits)

	b = newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Robots.Ignore = true })
	chain, err = Build(b.Env, serveOK())
	require.NoError(t, err)
	require.False(t, chain.HasOpeners())
	limits, err = chain.OpenHostFor(t.Context(), crawl.Get("http://h/"), chain)
	require.NoError(t, err)
	require.Zero(t, limits)
}

func TestChainGuards(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	chain, err := Build(b.Env, serve(func(req *crawl.Request) (*crawl.Response, error) { return nil, nil }))
	require.NoError(t, err)
	for _, req := range []*crawl.Request{crawl.Get("http://[::1"), {}} {
		_, err := chain.Fetch(t.Context(), req)
		var failed *crawl.DownloadError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, crawl.KindRequest, failed.Kind)
	}

	bare := &Chain{outer: serve(func(*crawl.Request) (*crawl.Response, error) { return nil, nil })}
	_, err = bare.Fetch(t.Context(), crawl.Get("http://h/"))
	require.ErrorContains(t, err, "neither a response nor an error")

	var sent *crawl.Response
	broken := errors.New("broken")
	bare = &Chain{outer: serve(func(req *crawl.Request) (*crawl.Response, error) {
		sent = spooled(t, req, 200)
		return sent, broken
	})}
	resp, err := bare.Fetch(t.Context(), crawl.Get("http://h/"))
	require.Nil(t, resp)
	require.ErrorIs(t, err, broken)
	require.NoFileExists(t, sent.Body.Path())
}

// A media hook may give all its requests one header map.
func TestChainDoesNotTouchSharedHeaders(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Robots.Ignore = true })
	chain, err := Build(b.Env, login())
	require.NoError(t, err)
	shared := http.Header{"X-Own": {"1"}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				req := crawl.Get("http://h/?set=a%3Db")
				req.Header = shared
				if _, err := chain.Fetch(t.Context(), req); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, http.Header{"X-Own": {"1"}}, shared)
}

func TestChainCanonicalHeaders(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Robots.Ignore = true })
	site := serveOK()
	chain, err := Build(b.Env, site)
	require.NoError(t, err)
	req := crawl.Get("http://h/")
	req.Header = http.Header{"user-agent": {"own"}, "x-a": {"1"}, "X-A": {"2"}, "ACCEPT-ENCODING": {"br"}}
	_, err = chain.Fetch(t.Context(), req)
	require.NoError(t, err)
	got := site.last().Header
	require.Equal(t, []string{"own"}, got["User-Agent"])
	require.Equal(t, []string{"br"}, got["Accept-Encoding"])
	require.ElementsMatch(t, []string{"1", "2"}, got["X-A"])
	require.Len(t, got, 5, "with Accept and Accept-Language")
}

// A whole visit, as the engine makes it: robots.txt, a redirect that logs in and leads to another host, a failure that passes, a compressed page.
func TestChainTogether(t *testing.T) {
	t.Parallel()
	failures := 1
	site := serve(func(req *crawl.Request) (*crawl.Response, error) {
		switch req.URL.String() {
		case "http://shop.example/robots.txt", "https://www.shop.example/robots.txt":
			return answer(req, 200, "User-agent: *\nDisallow: /private"), nil
		case "http://shop.example/":
			return answer(req, 302, "", "Location", "https://www.shop.example/home#top", "Set-Cookie", "session=1", "Set-Cookie", "wide=1; Domain=shop.example"), nil
		case "https://www.shop.example/home#top":
			if failures--; failures >= 0 {
				return answer(req, 503, "", "Retry-After", "1"), nil
			}
			return answer(req, 200, string(pack(t, "gzip", []byte("welcome"))), "Content-Encoding", "gzip"), nil
		case "http://shop.example/away":
			return answer(req, 301, "", "Location", "http://other.example/"), nil
		case "http://shop.example/hidden":
			return answer(req, 301, "", "Location", "/private"), nil
		}
		return nil, fmt.Errorf("nobody has %s", req.URL)
	})
	b := newBundle(t, allow("shop.example"))
	chain, err := Build(b.Env, site)
	require.NoError(t, err)
	req := crawl.Get("http://shop.example/")
	req.Header = http.Header{"Cookie": {"own=1"}, "Authorization": {"secret"}, "Referer": {"https://from.example/page"}}
	resp, err := follow(t.Context(), chain, req)
	require.NoError(t, err)
	require.Equal(t, "welcome", string(bodyOf(t, resp)))
	require.Equal(t, []string{"http://shop.example/"}, resp.Request.Redirects)
	require.Equal(t, 1, resp.Request.Retries)
	require.Equal(t, []string{
		"http://shop.example/robots.txt", "http://shop.example/", "https://www.shop.example/robots.txt",
		"https://www.shop.example/home#top", "https://www.shop.example/home#top",
	}, site.urls())
	first, last := site.asked[1], site.last()
	require.Equal(t, "own=1", first.Header.Get("Cookie"))
	require.Equal(t, "secret", first.Header.Get("Authorization"))
	require.Equal(t, "wide=1", last.Header.Get("Cookie"), "neither the spider's own, nor the other host's")
	require.Empty(t, last.Header.Get("Authorization"))
	require.Equal(t, "https://from.example/page", last.Header.Get("Referer"))
	require.Empty(t, resp.Request.Header.Get("Cookie"))

	_, err = follow(t.Context(), chain, crawl.Get("http://shop.example/away"))
	requireIgnored(t, err, "offsite")
	_, err = follow(t.Context(), chain, crawl.Get("http://shop.example/hidden"))
	requireIgnored(t, err, "robots.txt")
	require.EqualValues(t, 7, b.Stats.Int("downloader/request_count"))
	require.EqualValues(t, 1, b.Stats.Int("offsite/filtered"))
	require.EqualValues(t, 1, b.Stats.Int("robotstxt/forbidden"))
}

// BenchmarkChain is what the layers add to a download: all defaults around a downloader that does nothing.
func BenchmarkChain(b *testing.B) {
	bench := func(b *testing.B, configure ...func(*crawl.Spider, *crawl.Settings)) {
		env := newBundle(b, configure...).Env
		env.Log = zap.NewNop()
		page := answer(crawl.Get("http://h/page"), 200, strings.Repeat("x", 5000),
			"Content-Type", "text/html", "Content-Length", "5000", "Date", "Sat, 01 Jan 2000 00:00:00 GMT", "Server", "test")
		robots := answer(page.Request, 404, "")
		chain, err := Build(env, crawl.FetcherFunc(func(_ context.Context, req *crawl.Request) (*crawl.Response, error) {
			if req.URL.Path == "/robots.txt" {
				return robots, nil
			}
			return page, nil
		}))
		require.NoError(b, err)
		u := crawl.Get("http://www.example.com/catalogue/page-17.html").URL
		_, err = chain.OpenHostFor(b.Context(), &crawl.Request{URL: u}, chain) // as the engine does
		require.NoError(b, err)
		b.ReportAllocs()
		for b.Loop() {
			req := crawl.Request{URL: u}
			if _, err := chain.Fetch(b.Context(), &req); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("all", func(b *testing.B) { bench(b, allow("example.com")) })
	for i := range len(Downloader()) + 1 {
		var off []crawl.Layer
		name := "none"
		for j, l := range Downloader() {
			if j == i {
				name = l.Name + " alone"
			} else {
				off = append(off, crawl.Layer{Name: l.Name, Off: true})
			}
		}
		b.Run(name, func(b *testing.B) { bench(b, allow("example.com"), layers(off...)) })
	}
}

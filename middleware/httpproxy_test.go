package middleware

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// wayOut is a downloader that remembers the proxies that it was to ask through, and fails as a test wants.
type wayOut struct {
	used []string
	fail func(proxy string, req *crawl.Request) error
}

func (w *wayOut) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	proxy := ""
	if u := crawl.Proxy(ctx); u != nil {
		proxy = u.String()
	}
	w.used = append(w.used, proxy)
	if w.fail != nil {
		if err := w.fail(proxy, req); err != nil {
			return nil, err
		}
	}
	return answer(req, 200, ""), nil
}

func (w *wayOut) last() string { return w.used[len(w.used)-1] }

func proxies(urls ...string) func(*crawl.Spider, *crawl.Settings) {
	return func(_ *crawl.Spider, s *crawl.Settings) { s.Proxy.URLs = urls }
}

func TestParseProxy(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"http://p:3128": "http://p:3128", "p:3128": "http://p:3128", "p": "http://p", "https://me:pw@p": "https://me:pw@p", "socks5://p:1080/": "socks5://p:1080",
		"socks5h://[::1]:1080": "socks5h://[::1]:1080", "me:pw@p:1": "http://me:pw@p:1",
	} {
		u, err := crawl.ParseProxy(raw)
		require.NoError(t, err, raw)
		require.Equal(t, want, u.String())
	}
	for raw, says := range map[string]string{
		"": "has no host", "http://": "has no host", "ftp://p": `has the scheme "ftp"`, "socks4://p": "scheme", "http://p/path": "more than a host",
		"http://p?x": "more than a host", "http://me:s3cret@p:port": "cannot be read", "ftp://me:s3cret@p": "scheme",
	} {
		_, err := crawl.ParseProxy(raw)
		require.ErrorContains(t, err, says, raw)
		require.NotContains(t, err.Error(), "s3cret")
		_, err = crawl.Settings{Proxy: crawl.ProxySettings{URLs: []string{raw}}}.Effective(nil)
		require.ErrorContains(t, err, "proxy.urls", raw)
	}
}

// A host keeps its proxy, and hosts are spread over all.
func TestProxiesAreKeptByHosts(t *testing.T) {
	t.Parallel()
	all := []string{"http://a", "http://b", "http://c"}
	b := newBundle(t, proxies(all...))
	out := &wayOut{}
	f := b.build(t, HTTPProxy, out)
	count := make(map[string]int)
	for i := range 300 {
		var first string
		for _, path := range []string{"/1", "/2"} {
			_, err := f.Fetch(t.Context(), crawl.Get("http://h"+strconv.Itoa(i)+".example"+path))
			require.NoError(t, err)
			if first == "" {
				first = out.last()
			}
			require.Equal(t, first, out.last())
		}
		count[first]++
	}
	require.Equal(t, all, slices.Sorted(maps.Keys(count)))
	for _, n := range count {
		require.Greater(t, n, 60)
	}
	require.EqualValues(t, 600, b.Stats.Int("proxy/request_count"))

	b = newBundle(t, proxies(all...), func(_ *crawl.Spider, s *crawl.Settings) { s.Proxy.ByTurn = true })
	out = &wayOut{}
	f = b.build(t, HTTPProxy, out)
	for range 6 {
		_, err := f.Fetch(t.Context(), crawl.Get("http://h/"))
		require.NoError(t, err)
	}
	require.Equal(t, append(slices.Clone(all), all...), out.used)
}

// A request's own proxy, and what of it is for no site to see.
func TestProxyOfARequest(t *testing.T) {
	t.Parallel()
	b := newBundle(t, proxies("http://usual"))
	site := serveOK()
	out := &wayOut{fail: func(_ string, req *crawl.Request) error { _, err := site.Fetch(context.Background(), req); return err }}
	f := b.build(t, HTTPProxy, out)
	for raw, want := range map[string]string{"": "http://usual", "direct": "", "socks5://me:pw@own": "socks5://me:pw@own", "own:3128": "http://own:3128"} {
		req := crawl.Get("https://h/")
		req.Knobs = &crawl.Knobs{Proxy: raw}
		req.Header = http.Header{"Proxy-Authorization": {"Basic eDp5"}}
		_, err := f.Fetch(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, want, out.last())
		require.Empty(t, site.last().Header, "CVE of Scrapy 2.6.2: it would be shown to the site, or to another proxy")
	}
	req := crawl.Get("http://h/")
	req.Knobs = &crawl.Knobs{Proxy: "gopher://me:s3cret@own"}
	_, err := f.Fetch(t.Context(), req)
	var failed *crawl.DownloadError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, crawl.KindRequest, failed.Kind)
	require.NotContains(t, err.Error(), "s3cret")

	_, err = f.Fetch(t.Context(), crawl.Get("ftp://h/"))
	require.NoError(t, err)
	require.Empty(t, out.last(), "proxies are for http and https")

	_, err = HTTPProxy(newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Proxy.Off = true }).Env, out)
	requireOff(t, err)
}

func broken(kind crawl.Kind) error {
	return &crawl.DownloadError{Kind: kind, Err: errors.New("broken")}
}

// A proxy that fails rests, is tried by one request, and comes back.
func TestProxyRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBundle(t, proxies("http://me:s3cret@a", "http://b"), func(_ *crawl.Spider, s *crawl.Settings) { s.Proxy.Failures, s.Proxy.Rest = 2, time.Minute })
		bad := "http://me:s3cret@a"
		out := &wayOut{}
		f := b.build(t, HTTPProxy, out)
		ask := func(retries int) string {
			req := crawl.Get("http://h/")
			req.Retries = retries
			_, _ = f.Fetch(t.Context(), req)
			return out.last()
		}
		home := ask(0)
		if home != bad { // the host's own is to be the bad one
			bad = home
		}
		fails := true
		out.fail = func(proxy string, _ *crawl.Request) error {
			if fails && proxy == bad {
				return broken(crawl.KindProxy)
			}
			return nil
		}
		require.Equal(t, bad, ask(0))
		require.NotEqual(t, bad, ask(1), "the repeat goes through the other one")
		require.Equal(t, bad, ask(0))
		require.EqualValues(t, 1, b.Stats.Int("proxy/rest_count"))
		require.EqualValues(t, 2, b.Stats.Int("proxy/failure_count"))
		for range 3 {
			require.NotEqual(t, bad, ask(0), "it rests")
		}
		time.Sleep(time.Minute)
		require.Equal(t, bad, ask(0), "one tries it")
		require.NotEqual(t, bad, ask(0), "it failed")
		time.Sleep(time.Minute)
		fails = false
		require.Equal(t, bad, ask(0))
		require.Equal(t, bad, ask(0), "it is back")
		require.Equal(t, 2, b.logs.FilterMessage("proxy rests").Len())
		require.Equal(t, 1, b.logs.FilterMessage("proxy is back").Len())
		for _, e := range b.logs.All() {
			require.NotContains(t, e.ContextMap()["proxy"], "s3cret")
		}
	})
}

// While one request finds out, no other does; and one that is given up does not find out anything.
func TestProxyIsTriedByOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBundle(t, proxies("http://a"), func(_ *crawl.Spider, s *crawl.Settings) { s.Proxy.Failures = 1 })
		pool := b.build(t, HTTPProxy, serveOK()).(*proxied).pool
		pool.list = append(pool.list, &poolProxy{url: mustParse(t, "http://b")})
		now := time.Now()
		a, other := pool.list[0], pool.list[1]
		a.until, other.until = now.Add(time.Second), now.Add(2*time.Second)
		take := func(attempt int) (*poolProxy, bool) { return pool.take("h", attempt, now) }
		for attempt := range 2 {
			via, trial := take(attempt)
			require.Same(t, a, via, "all rest: the one that is back first")
			require.False(t, trial)
		}
		require.False(t, a.tried)
		now = now.Add(3 * time.Second)
		first, trial := take(0)
		require.True(t, trial)
		second, trial := take(0)
		require.True(t, trial)
		require.NotSame(t, first, second)
		for _, v := range []verdict{unknown, fails} { // of requests that left before it rested
			pool.give(first, false, "h", v, nil)
			_, trial = take(0)
			require.False(t, trial, "its trial is still under way")
		}
		pool.give(first, true, "h", unknown, nil)
		again, trial := take(0)
		require.Same(t, first, again)
		require.True(t, trial)
	})
}

// TestProxyIsTriedAgainAfterAPanic has a layer that panics in the middle of a trial.
func TestProxyIsTriedAgainAfterAPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &wayOut{fail: func(string, *crawl.Request) error { return broken(crawl.KindProxy) }}
		f := newBundle(t, proxies("http://a", "http://b")).build(t, HTTPProxy, out)
		ask := func() { _, _ = f.Fetch(t.Context(), crawl.Get("http://h/")) }
		for range 6 {
			ask()
		}
		time.Sleep(2 * time.Minute)
		out.fail = func(string, *crawl.Request) error { panic("a layer") }
		for range 2 {
			require.Panics(t, ask)
		}
		out.fail = nil
		ask()
		ask()
		require.Len(t, f.(*proxied).pool.list, 2)
		for _, via := range f.(*proxied).pool.list {
			require.False(t, via.tried)
		}
		require.Equal(t, out.used[len(out.used)-2], out.last(), "the host has its proxy again")
	})
}

// Who is to blame? A host that does not answer takes no proxy down with it.
func TestProxyVerdicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		errs  []error // for requests to one host
		hosts int
		rests bool
	}{
		{[]error{broken(crawl.KindProxy), broken(crawl.KindProxy), broken(crawl.KindProxy)}, 1, true},
		{[]error{broken(crawl.KindProxy), broken(crawl.KindProxy), nil, broken(crawl.KindProxy)}, 1, false},
		{[]error{broken(crawl.KindTimeout), broken(crawl.KindTimeout), broken(crawl.KindTimeout), broken(crawl.KindTimeout)}, 1, false},
		{[]error{broken(crawl.KindTimeout), broken(crawl.KindConnection), broken(crawl.KindTruncated)}, 3, true},
		{[]error{broken(crawl.KindTLS), broken(crawl.KindRefused), broken(crawl.KindTooLarge), broken(crawl.KindDNS)}, 4, false},
		{[]error{crawl.IgnoreRequest("x"), context.Canceled, broken(crawl.KindProxy), broken(crawl.KindProxy)}, 1, false},
	} {
		b := newBundle(t, proxies("http://a"))
		i := 0
		f := b.build(t, HTTPProxy, &wayOut{fail: func(string, *crawl.Request) error { i++; return c.errs[i-1] }})
		for j := range c.errs {
			_, _ = f.Fetch(t.Context(), crawl.Get("http://h"+strconv.Itoa(j%c.hosts)+"/"))
		}
		require.Equal(t, c.rests, b.Stats.Int("proxy/rest_count") == 1, "%v", c.errs)
	}
	b := newBundle(t, proxies("http://a"), func(_ *crawl.Spider, s *crawl.Settings) { s.Proxy.Failures = -1 })
	f := b.build(t, HTTPProxy, &wayOut{fail: func(string, *crawl.Request) error { return broken(crawl.KindProxy) }})
	for range 10 {
		_, _ = f.Fetch(t.Context(), crawl.Get("http://h/"))
	}
	require.Zero(t, b.Stats.Int("proxy/rest_count"))
	require.Equal(t, unknown, judge(t.Context(), &crawl.Response{Flags: []string{"cached"}}, nil), "the proxy had no part in it")
}

func TestProxiesOfTheEnvironment(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env         map[string]string
		http, https string // for http://h.example/ and https://h.example/
		direct      []string
	}{
		"none":        {},
		"one":         {env: map[string]string{"HTTP_PROXY": "http://p"}, http: "http://p"},
		"both":        {env: map[string]string{"HTTP_PROXY": "p:1", "HTTPS_PROXY": "https://me:pw@q"}, http: "http://p:1", https: "https://me:pw@q"},
		"lower case":  {env: map[string]string{"http_proxy": "p:1", "https_proxy": "q:2"}, http: "http://p:1", https: "http://q:2"},
		"all":         {env: map[string]string{"ALL_PROXY": "socks5://p", "HTTPS_PROXY": "q"}, http: "socks5://p", https: "http://q"},
		"lower first": {env: map[string]string{"http_proxy": "p", "HTTP_PROXY": "q"}, http: "http://p"},
		"but for": {
			env:  map[string]string{"all_proxy": "p", "NO_PROXY": "inside.example, .local,10.0.0.0/8,[::1]:80,other.example:8080"},
			http: "http://p", https: "http://p",
			direct: []string{"http://inside.example/", "http://www.inside.example/", "http://a.local/", "http://10.1.2.3/", "http://localhost/", "http://127.0.0.1:99/", "http://other.example:8080/"},
		},
		"but for, lower": {env: map[string]string{"all_proxy": "p", "no_proxy": "*"}, direct: []string{"http://x/"}},
		// httpoxy, CVE-2016-5385: a client's "Proxy:" header is HTTP_PROXY in CGI.
		"CGI":             {env: map[string]string{"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://evil", "HTTPS_PROXY": "q"}, https: "http://q"},
		"CGI, lower case": {env: map[string]string{"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://evil", "http_proxy": "p"}, http: "http://p"},
	} {
		choose, err := fromEnvironment(func(key string) string { return c.env[key] })
		require.NoError(t, err, name)
		if choose == nil {
			require.Empty(t, c.http+c.https, name)
			continue
		}
		for raw, want := range map[string]string{"http://h.example/": c.http, "https://h.example/": c.https} {
			u, err := choose(mustParse(t, raw))
			require.NoError(t, err)
			if want == "" {
				require.Nil(t, u, "%s: %s", name, raw)
			} else {
				require.Equal(t, want, u.String(), "%s: %s", name, raw)
			}
		}
		for _, raw := range c.direct {
			u, err := choose(mustParse(t, raw))
			require.NoError(t, err)
			require.Nil(t, u, "%s: %s", name, raw)
		}
	}
	_, err := fromEnvironment(func(key string) string { return map[string]string{"HTTP_PROXY": "gopher://me:s3cret@p"}[key] })
	require.ErrorContains(t, err, "environment variable HTTP_PROXY: ")
	require.NotContains(t, err.Error(), "s3cret")
}

// The environment's proxies lead out of this machine's network, not out of one that the program dials itself.
func TestProxiesOfTheEnvironmentAndDial(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://p")
	for _, dial := range []func(context.Context, string, string) (net.Conn, error){nil, func(context.Context, string, string) (net.Conn, error) { return nil, nil }} {
		out := &wayOut{}
		f := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Download.Dial = dial }).build(t, HTTPProxy, out)
		_, err := f.Fetch(t.Context(), crawl.Get("http://h.example/"))
		require.NoError(t, err)
		require.Equal(t, dial == nil, out.last() == "http://p")
	}
}

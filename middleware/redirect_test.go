package middleware

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// redirectTo asks for req once and returns the request that follows, nil if the redirect was handed on.
func redirectTo(t testing.TB, b *bundle, req *crawl.Request, status int, to string, header ...string) *crawl.Request {
	t.Helper()
	var sent *crawl.Response
	f := b.build(t, Redirect, serve(func(req *crawl.Request) (*crawl.Response, error) {
		sent = spooled(t, req, status, append([]string{"Location", to}, header...)...)
		return sent, nil
	}))
	resp, err := f.Fetch(t.Context(), req)
	if err == nil {
		require.Equal(t, status, resp.Status)
		require.FileExists(t, resp.Body.Path())
		require.NoError(t, resp.Close())
		return nil
	}
	again := requireAgain(t, err)
	require.Zero(t, again.After)
	require.Zero(t, again.HoldSlot)
	require.NoFileExists(t, sent.Body.Path(), "the body is given back")
	return again.Request
}

func TestRedirect(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	req := crawl.Get("http://h/a?b#frag", crawl.With(1))
	req.Route, req.Priority, req.Depth, req.Retries, req.Redirects = "r", 5, 3, 1, []string{"http://h/0"}
	req.Knobs = &crawl.Knobs{IgnoreRobots: true, CookieJar: "j"}
	redirects := req.Redirects
	c := redirectTo(t, b, req, 302, "/c")
	require.Equal(t, "http://h/c#frag", c.URL.String())
	require.Equal(t, []string{"http://h/0", "http://h/a?b#frag"}, c.Redirects)
	require.Equal(t, []string{"http://h/0"}, redirects)
	require.Equal(t, 7, c.Priority)
	require.Equal(t, "r", c.Route)
	require.Equal(t, 3, c.Depth)
	require.Equal(t, 1, c.Retries)
	require.JSONEq(t, "1", string(c.Data))
	require.True(t, c.Knob().IgnoreRobots)
	require.Equal(t, "j", c.Knob().CookieJar)
	require.Equal(t, "http://h/a?b#frag", req.URL.String(), "the request in hand stays as it is")
}

func TestRedirectTargets(t *testing.T) {
	t.Parallel()
	cases := []struct{ from, location, want string }{
		{"http://h/a/b", "c", "http://h/a/c"},
		{"http://h/a/b", "?q=1", "http://h/a/b?q=1"},
		{"http://h/a/b#f", "c#g", "http://h/a/c#g"},
		{"http://h/a", "//other/x", "http://other/x"},
		{"http://user:pass@h/a", "/b", "http://h/b"}, // the user goes along otherwise: TestHTTPAuthAndRedirects
		{"http://user:pass@h/a", "//other/b", "http://other/b"},
		{"http://h/a", "https://h:8443/x", "https://h:8443/x"},
		{"http://h/a", "HTTPS://H/x", "https://h/x"},
		{"http://h/a", "/caf\u00e9 au lait", "http://h/caf%C3%A9%20au%20lait"},
		// Handed on as they are.
		{"http://h/a", "", ""},
		{"http://h/a", "file:///etc/passwd", ""},
		{"http://h/a", "FILE:///etc/passwd", ""},
		{"http://h/a", "data:text/html,hello", ""},
		{"http://h/a", "ftp://h/x", ""},
		{"http://h/a", "s3://bucket/key", ""},
		{"http://h/a", "javascript:alert(1)", ""},
		{"http://h/a", "http://", ""},
		{"http://h/a", "http://[::1", ""},
		{"http://h/a", "http://h:99999/", ""},
	}
	for _, c := range cases {
		b := newBundle(t)
		got := redirectTo(t, b, crawl.Get(c.from), 301, c.location)
		if c.want == "" {
			require.Nil(t, got, "%q", c.location)
			if c.location != "" {
				require.Equal(t, 1, b.logs.FilterMessage("redirect is not followed").Len(), "%q", c.location)
			}
			continue
		}
		require.NotNil(t, got, "%q", c.location)
		require.Equal(t, c.want, got.URL.String())
	}
}

// A page's <base> has no say in where its Location leads.
func TestRedirectIgnoresBase(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	f := b.build(t, Redirect, serve(func(req *crawl.Request) (*crawl.Response, error) {
		return answer(req, 302, `<base href="http://evil/">`, "Location", "next", "Content-Type", "text/html"), nil
	}))
	_, err := f.Fetch(t.Context(), crawl.Get("http://h/"))
	require.Equal(t, "http://h/next", requireAgain(t, err).Request.URL.String())
}

func TestRedirectMethods(t *testing.T) {
	t.Parallel()
	cases := []struct {
		method string
		status int
		want   string
	}{
		{"", 301, ""}, {"GET", 303, "GET"}, {"HEAD", 301, "HEAD"}, {"HEAD", 303, "HEAD"}, {"HEAD", 308, "HEAD"},
		{"POST", 301, ""}, {"POST", 302, ""}, {"POST", 303, ""}, {"POST", 307, "POST"}, {"POST", 308, "POST"},
		{"PUT", 301, "PUT"}, {"PUT", 302, "PUT"}, {"PUT", 303, ""}, {"DELETE", 303, ""}, {"DELETE", 307, "DELETE"},
	}
	for _, c := range cases {
		req := crawl.Get("http://h/")
		req.Method, req.Body = c.method, []byte("x=1")
		req.Header = http.Header{"Content-Type": {"text/plain"}, "Content-Language": {"en"}, "Accept": {"*/*"}}
		got := redirectTo(t, newBundle(t), req, c.status, "/x")
		require.Equal(t, c.want, got.Method, c)
		if c.want == c.method {
			require.Equal(t, "x=1", string(got.Body), c)
			require.Len(t, got.Header, 3, c)
		} else {
			require.Empty(t, got.Body, c)
			require.Equal(t, http.Header{"Accept": {"*/*"}}, got.Header, c)
		}
	}
}

// Scrapy's advisories GHSA-cjvr, GHSA-cw9j and GHSA-4qqq: what was meant for one site is not shown to another.
func TestRedirectKeepsSecrets(t *testing.T) {
	t.Parallel()
	cases := []struct {
		from, to            string
		authorization, host bool // kept
		cookie              bool
	}{
		{"http://h/", "http://h/x", true, true, true},
		{"http://h/", "http://h:80/x", true, true, true},
		{"https://h/", "https://h:443/x", true, true, true},
		{"http://h/", "http://H/x", true, true, true},
		{"http://h/", "http://h:8080/x", false, false, true}, // cookies know no ports (RFC 6265, section 8.5)
		{"http://h/", "https://h/x", false, false, true},
		{"https://h/", "http://h/x", false, false, false},
		{"https://h/", "https://other/x", false, false, false},
		{"https://h/", "https://www.h/x", false, false, false},
		{"https://www.h/", "https://h/x", false, false, false},
	}
	for _, c := range cases {
		req := crawl.Get(c.from)
		req.Header = http.Header{"Authorization": {"Basic x"}, "Host": {"virtual"}, "Cookie": {"a=b"}, "X-Other": {"kept"}}
		got := redirectTo(t, newBundle(t), req, 307, c.to)
		require.Equal(t, c.authorization, got.Header.Get("Authorization") != "", c)
		require.Equal(t, c.host, got.Header.Get("Host") != "", c)
		require.Equal(t, c.cookie, got.Header.Get("Cookie") != "", c)
		require.Equal(t, "kept", got.Header.Get("X-Other"))
		require.Len(t, req.Header, 4, "the request in hand stays as it is")
	}
}

func TestRedirectReferer(t *testing.T) {
	t.Parallel()
	cases := []struct {
		referer, policy, header, from, to string
		want                              string
	}{
		{"https://p/page", "", "", "https://h/", "https://other/", "https://p/page"},
		{"https://p/page", "", "", "https://h/", "http://h/", ""},
		{"https://p/page", "origin", "", "https://h/", "http://h/", "https://p/"},
		{"https://p/page", "", "no-referrer", "https://h/", "https://h/x", ""},
		{"https://p/page", "", "strict-origin", "https://h/", "https://other/", "https://p/"},
		{"https://p/page", "unsafe-url", "no-referrer", "https://h/", "http://h/", "https://p/page"},
		{"file:///etc/passwd", "", "", "https://h/", "https://h/x", ""},
		{"http://[", "", "", "https://h/", "https://h/x", ""},
		{"", "", "", "https://h/", "https://h/x", ""},
	}
	for _, c := range cases {
		req := crawl.Get(c.from)
		if c.referer != "" {
			req.Header = http.Header{"Referer": {c.referer}}
		}
		if c.policy != "" {
			req.Knobs = &crawl.Knobs{ReferrerPolicy: c.policy}
		}
		got := redirectTo(t, newBundle(t), req, 302, c.to, "Referrer-Policy", c.header)
		require.Equal(t, c.want, got.Header.Get("Referer"), c)
	}
}

func TestRedirectIsHandedOn(t *testing.T) {
	t.Parallel()
	for name, knobs := range map[string]crawl.Knobs{
		"dont redirect": {DontRedirect: true},
		"the status":    {HandleStatus: []int{404, 302}},
		"all":           {HandleAllStatus: true},
	} {
		req := crawl.Get("http://h/")
		req.Knobs = &knobs
		require.Nil(t, redirectTo(t, newBundle(t), req, 302, "/x"), name)
	}
	for _, status := range []int{200, 201, 300, 304, 305, 404} {
		require.Nil(t, redirectTo(t, newBundle(t), crawl.Get("http://h/"), status, "/x"), status)
	}
	req := crawl.Get("http://h/")
	req.Knobs = &crawl.Knobs{HandleStatus: []int{301}}
	require.NotNil(t, redirectTo(t, newBundle(t), req, 302, "/x"))

	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Redirect.Times = -1 })
	_, err := Redirect(b.Env, serveOK())
	requireOff(t, err)
}

func TestRedirectLoopEnds(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Redirect.Times = 3 })
	var sent []*crawl.Response
	site := serve(func(req *crawl.Request) (*crawl.Response, error) {
		resp := spooled(t, req, 302, "Location", "/")
		sent = append(sent, resp)
		return resp, nil
	})
	_, err := follow(t.Context(), b.build(t, Redirect, site), crawl.Get("http://h/"))
	requireIgnored(t, err, "max redirections reached")
	require.Len(t, sent, 4)
	for _, resp := range sent {
		require.NoFileExists(t, resp.Body.Path())
	}
}

func TestRedirectLongLocation(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	require.Nil(t, redirectTo(t, b, crawl.Get("http://h/"), 302, "data:"+strings.Repeat("x", 1<<20)))
	entry := b.logs.FilterMessage("redirect is not followed").All()[0]
	require.Less(t, len(entry.ContextMap()["location"].(string)), 300)
}

// What is longer than URLLength.Limit is not followed: a link to it would be dropped too.
func TestRedirectToALongURL(t *testing.T) {
	t.Parallel()
	for limit, followed := range map[int]bool{0: false, 300_000: true, -1: true} {
		b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.URLLength.Limit = limit })
		long := "/" + strings.Repeat("x", 200_000)
		for _, f := range []crawl.Fetcher{
			b.build(t, Redirect, serve(func(req *crawl.Request) (*crawl.Response, error) { return answer(req, 302, "", "Location", long), nil })),
			b.build(t, MetaRefresh, serve(func(req *crawl.Request) (*crawl.Response, error) {
				return answer(req, 200, `<meta http-equiv="refresh" content="0;url=`+long[:3000]+`">`, "Content-Type", "text/html"), nil
			})),
		} {
			_, err := f.Fetch(t.Context(), crawl.Get("http://h/"))
			if followed {
				require.Contains(t, requireAgain(t, err).Request.URL.Path, "/xxx")
			} else {
				requireIgnored(t, err, "url is too long")
			}
		}
		if !followed {
			require.EqualValues(t, 2, b.Stats.Int("urllength/request_ignored_count"))
		}
	}
}

package middleware

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestHTTPError(t *testing.T) {
	t.Parallel()
	cases := []struct {
		status  int
		allowed []int
		knobs   *crawl.Knobs
		passes  bool
	}{
		{200, nil, nil, true}, {204, nil, nil, true}, {299, nil, nil, true},
		{199, nil, nil, false}, {301, nil, nil, false}, {404, nil, nil, false}, {500, nil, nil, false},
		{404, []int{404}, nil, true}, {404, []int{403}, nil, false},
		{404, nil, &crawl.Knobs{HandleStatus: []int{404}}, true}, {404, nil, &crawl.Knobs{HandleStatus: []int{500}}, false},
		{404, nil, &crawl.Knobs{HandleAllStatus: true}, true},
	}
	for _, c := range cases {
		b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.HTTPError.Allowed = c.allowed })
		hooks, err := HTTPError(b.Env)
		require.NoError(t, err)
		req := crawl.Get("http://h/")
		req.Knobs = c.knobs
		resp := answer(req, c.status, "")
		err = hooks.Response(t.Context(), resp)
		if c.passes {
			require.NoError(t, err, c)
			require.Empty(t, b.Stats.Snapshot())
			continue
		}
		var status *crawl.StatusError
		require.ErrorAs(t, err, &status, c)
		require.Same(t, resp, status.Response)
		require.EqualValues(t, 1, b.Stats.Int("httperror/response_ignored_count"))
		require.EqualValues(t, 1, b.Stats.Int("httperror/response_ignored_status_count/"+strconv.Itoa(c.status)))
	}
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.HTTPError.AllowAll = true })
	_, err := HTTPError(b.Env)
	requireOff(t, err)
}

func TestURLLength(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.URLLength.Limit = 30 })
	hooks, err := URLLength(b.Env)
	require.NoError(t, err)
	for raw, passes := range map[string]bool{
		"http://h/" + strings.Repeat("x", 21):             true,
		"http://h/" + strings.Repeat("x", 22):             false,
		"http://h/?" + strings.Repeat("x", 20):            true,
		"http://h/?" + strings.Repeat("x", 21):            false,
		"http://h/" + strings.Repeat("\u00e9", 3) + "xxx": true, // 18 octets when escaped
		"http://h/" + strings.Repeat("\u00e9", 4):         false,
		"http://user:pass@h/" + strings.Repeat("x", 11):   true,
		"http://user:pass@h/" + strings.Repeat("x", 12):   false,
		"data:" + strings.Repeat("x", 25):                 true,
		"data:" + strings.Repeat("x", 26):                 false,
		"http://h/#" + strings.Repeat("x", 21):            false,
	} {
		req, err := hooks.Request(t.Context(), nil, crawl.Get(raw))
		if passes {
			require.NoError(t, err, raw)
			require.NotNil(t, req)
		} else {
			requireIgnored(t, err, "url is too long")
		}
	}
	require.EqualValues(t, 6, b.Stats.Int("urllength/request_ignored_count"))

	b = newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.URLLength.Limit = -1 })
	_, err = URLLength(b.Env)
	requireOff(t, err)
}

func TestDepth(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) {
		s.Depth = crawl.DepthSettings{Limit: 2, Priority: 3, Verbose: true}
	})
	hooks, err := Depth(b.Env)
	require.NoError(t, err)
	link := func(from *crawl.Request) (*crawl.Request, error) {
		req := crawl.Get("http://h/")
		req.Priority, req.Depth = 10, 99
		var page *crawl.Response
		if from != nil {
			page = answer(from, 200, "")
		}
		return hooks.Request(t.Context(), page, req)
	}
	start, err := link(nil)
	require.NoError(t, err)
	require.Equal(t, 0, start.Depth)
	require.Equal(t, 10, start.Priority)
	first, err := link(start)
	require.NoError(t, err)
	require.Equal(t, 1, first.Depth)
	require.Equal(t, 7, first.Priority)
	second, err := link(first)
	require.NoError(t, err)
	require.Equal(t, 2, second.Depth)
	require.Equal(t, 4, second.Priority)
	_, err = link(second)
	requireIgnored(t, err, "depth")
	require.Equal(t, map[string]any{
		"request_depth_max": int64(2), "request_depth_count/0": int64(1), "request_depth_count/1": int64(1), "request_depth_count/2": int64(1),
		"depth/request_ignored_count": int64(1),
	}, b.Stats.Snapshot())
}

// DepthReset begins to count anew, and so do the links that follow.
func TestDepthReset(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Depth.Limit = 2 })
	hooks, err := Depth(b.Env)
	require.NoError(t, err)
	from := crawl.Get("http://h/deep")
	from.Depth = 2
	req := crawl.Get("http://h/next")
	req.Knobs = &crawl.Knobs{DepthReset: true}
	req, err = hooks.Request(t.Context(), answer(from, 200, ""), req)
	require.NoError(t, err)
	require.Zero(t, req.Depth)
	next, err := hooks.Request(t.Context(), answer(req, 200, ""), crawl.Get("http://h/last"))
	require.NoError(t, err)
	require.Equal(t, 1, next.Depth)
}

func TestStart(t *testing.T) {
	t.Parallel()
	hooks, err := Start(newBundle(t).Env)
	require.NoError(t, err)
	req, err := hooks.Request(t.Context(), nil, crawl.Get("http://h/"))
	require.NoError(t, err)
	require.True(t, req.IsStart)
	again, err := hooks.Request(t.Context(), answer(req, 200, ""), req.Clone())
	require.NoError(t, err)
	require.False(t, again.IsStart, "asked by its page")
}

// The W3C's policies, section 3, from each kind of page to each kind of target.
func TestRefererPolicies(t *testing.T) {
	t.Parallel()
	const (
		page   = "https://user:pass@h:443/p/a?q=1#frag"
		plain  = "http://h/p"
		full   = "https://h:443/p/a?q=1"
		origin = "https://h/"
	)
	cases := []struct{ policy, from, same, cross, down string }{
		{"no-referrer", page, "", "", ""},
		{"no-referrer-when-downgrade", page, full, full, ""},
		{"same-origin", page, full, "", ""},
		{"origin", page, origin, origin, origin},
		{"strict-origin", page, origin, origin, ""},
		{"origin-when-cross-origin", page, full, origin, origin},
		{"strict-origin-when-cross-origin", page, full, origin, ""},
		{"unsafe-url", page, full, full, full},
		// A page without TLS has nothing to lose.
		{"no-referrer-when-downgrade", plain, plain, plain, plain},
		{"strict-origin", plain, "http://h/", "http://h/", "http://h/"},
		{"strict-origin-when-cross-origin", plain, plain, "http://h/", "http://h/"},
		{"same-origin", "http://h", "http://h/", "", ""},
		// Other pages are nobody's business, whatever the policy.
		{"unsafe-url", "file:///etc/passwd", "", "", ""},
		{"unsafe-url", "data:text/html,x", "", "", ""},
		{"unsafe-url", "ftp://h/x", "", "", ""},
	}
	for _, c := range cases {
		from := mustParse(t, c.from)
		same, down := "https://h/x", "http://other/x"
		if from.Scheme == "http" {
			same = "http://h:80/x"
		}
		require.Equal(t, c.same, refererFor(c.policy, from, mustParse(t, same)), c)
		require.Equal(t, c.cross, refererFor(c.policy, from, mustParse(t, "https://other/x")), c)
		require.Equal(t, c.down, refererFor(c.policy, from, mustParse(t, down)), c)
		require.Empty(t, refererFor(c.policy, from, mustParse(t, "ftp://h/x")))
		require.Empty(t, refererFor(c.policy, from, mustParse(t, "data:x")))
	}
	require.Empty(t, refererFor("scrapy.spidermiddlewares.referer.UnsafeUrlPolicy", mustParse(t, page), mustParse(t, "https://h/")))
}

func TestReferer(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, header, knob, own, want string
	}{
		{"the settings", "", "", "", "https://h/"},
		{"the page", "no-referrer", "", "", ""},
		{"the page's last known word", "unsafe-url, same-origin, os.system", "", "", ""},
		{"the page, by case and space", " NO-REFERRER ,", "", "", ""},
		{"the page, nonsense", "builtins.exec, x", "", "", "https://h/"},
		{"the request", "no-referrer", "unsafe-url", "", "https://h/a"},
		{"the spider", "", "unsafe-url", "https://mine/", "https://mine/"},
	}
	for _, c := range cases {
		b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Referer.Policy = "strict-origin" })
		hooks, err := Referer(b.Env)
		require.NoError(t, err)
		req := crawl.Get("https://other/")
		if c.knob != "" {
			req.Knobs = &crawl.Knobs{ReferrerPolicy: c.knob}
		}
		if c.own != "" {
			req.Header = http.Header{"referer": {c.own}}
		}
		got, err := hooks.Request(t.Context(), answer(crawl.Get("https://h/a"), 200, "", "Referrer-Policy", c.header), req)
		require.NoError(t, err, c.name)
		if c.own != "" {
			require.Equal(t, http.Header{"referer": {c.own}}, got.Header)
		} else {
			require.Equal(t, c.want, got.Header.Get("Referer"), c.name)
		}
	}
}

// TestRefererOfPages has a page's own element say more than its header, and the request more than both.
func TestRefererOfPages(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Referer.Policy = "unsafe-url" })
	hooks, err := Referer(b.Env)
	require.NoError(t, err)
	for _, c := range []struct{ name, meta, header, knob, to, want, carried string }{
		{"nothing said", "", "", "", "https://other/", "https://h/a", ""},
		{"the header", "", "origin", "", "https://other/", "https://h/", ""},
		{"the page over its header", "no-referrer", "origin", "", "https://other/", "", ""},
		{"the page, which says more", "unsafe-url", "no-referrer", "", "https://other/", "https://h/a", ""},
		{"the link over the page", "unsafe-url", "unsafe-url", "no-referrer", "https://other/", "", "no-referrer"},
		{"the link, which says more", "no-referrer", "no-referrer", "origin", "https://other/", "https://h/", "origin"},
		{"what redirects must not show either", "same-origin", "", "", "https://h/b", "https://h/a", "same-origin"},
		{"nor by the header", "", "same-origin", "", "https://h/b", "https://h/a", "same-origin"},
		{"nothing to carry", "same-origin", "", "", "https://other/", "", ""},
	} {
		page := answer(crawl.Get("https://h/a"), 200, `<meta name="referrer" content="`+c.meta+`"><a href=/>`, "Content-Type", "text/html", "Referrer-Policy", c.header)
		req := crawl.Get(c.to)
		if c.knob != "" {
			req.Knobs = &crawl.Knobs{ReferrerPolicy: c.knob}
		}
		got, err := hooks.Request(t.Context(), page, req)
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, got.Header.Get("Referer"), c.name)
		require.Equal(t, c.carried, got.Knob().ReferrerPolicy, c.name)
	}
	// What the settings say holds after a redirect as it is.
	b = newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Referer.Policy = "same-origin" })
	hooks, err = Referer(b.Env)
	require.NoError(t, err)
	got, err := hooks.Request(t.Context(), answer(crawl.Get("https://h/a"), 200, ""), crawl.Get("https://h/b"))
	require.NoError(t, err)
	require.Equal(t, "https://h/a", got.Header.Get("Referer"))
	require.Nil(t, got.Knobs)
}

func TestRefererEdges(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	hooks, err := Referer(b.Env)
	require.NoError(t, err)
	req, err := hooks.Request(t.Context(), nil, crawl.Get("https://h/"))
	require.NoError(t, err)
	require.Empty(t, req.Header, "Start has no page")

	req = crawl.Get("https://h/")
	req.Knobs = &crawl.Knobs{ReferrerPolicy: "os.system"}
	_, err = hooks.Request(t.Context(), nil, req)
	require.ErrorContains(t, err, `referrer policy "os.system" is unknown`)

	b = newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Referer.Off = true })
	_, err = Referer(b.Env)
	requireOff(t, err)
}

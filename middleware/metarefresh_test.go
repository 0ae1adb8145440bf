package middleware

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// The HTML standard's shared declarative refresh steps.
func TestParseRefresh(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]struct {
		seconds int
		ref     string
		bad     bool
	}{
		"0;url=/a": {0, "/a", false}, "5; URL=/a": {5, "/a", false}, "5;/a": {5, "/a", false}, "5,url=/a": {5, "/a", false}, "5 /a": {5, "/a", false},
		" \n5 ; url = '/a b' trailing": {5, "/a b", false}, `0;url="/a`: {0, "/a", false}, `0;"/a"x`: {0, "/a", false}, "0;url=/a'b": {0, "/a'b", false},
		"5": {5, "", false}, "5;": {5, "", false}, "": {bad: true}, "url=/a": {bad: true}, "x;url=/a": {bad: true}, "-1;url=/a": {bad: true}, "5x;url=/a": {bad: true},
		"0.9;url=/a": {0, "/a", false}, ".5;url=/a": {0, "/a", false}, "1.2.3;url=/a": {1, "/a", false},
		"99999999999999999999;url=/a": {2147483647, "/a", false}, "0;urlx": {0, "urlx", false}, "0;url/a": {0, "url/a", false}, "0;url=": {0, "", false},
	} {
		delay, ref, ok := parseRefresh(content)
		require.Equal(t, !want.bad, ok, content)
		require.Equal(t, time.Duration(want.seconds)*time.Second, delay, content)
		require.Equal(t, want.ref, ref, content)
	}
}

func refreshing(ref string) string {
	return `<html><head><title>-</title><meta HTTP-EQUIV=Refresh content="` + ref + `"></head></html>`
}

// refreshTo fetches a page and returns the request that follows; nil if the page was handed on.
func refreshTo(t testing.TB, b *bundle, req *crawl.Request, status int, page string, header ...string) *crawl.Request {
	t.Helper()
	if len(header) == 0 {
		header = []string{"Content-Type", "text/html; charset=utf-8"}
	}
	f := b.build(t, MetaRefresh, serve(func(req *crawl.Request) (*crawl.Response, error) { return answer(req, status, page, header...), nil }))
	resp, err := f.Fetch(t.Context(), req)
	if err == nil {
		got, err := resp.Bytes()
		require.NoError(t, err)
		require.Equal(t, page, string(got))
		return nil
	}
	again := requireAgain(t, err)
	require.Zero(t, again.After, "nobody waits")
	require.Equal(t, "meta refresh", again.Reason)
	return again.Request
}

func TestMetaRefreshPages(t *testing.T) {
	t.Parallel()
	u16 := func(s string) string {
		b := []byte{0xff, 0xfe}
		for _, c := range utf16.Encode([]rune(s)) {
			b = append(b, byte(c), byte(c>>8))
		}
		return string(b)
	}
	for name, c := range map[string]struct {
		page   string
		want   string // "" is the page itself
		header []string
	}{
		"plain":                       {page: refreshing("0;url=/b"), want: "http://h/b"},
		"just in time":                {page: refreshing("100;url=/b"), want: "http://h/b"},
		"too late":                    {page: refreshing("101;url=/b")},
		"no URL":                      {page: refreshing("10")},
		"the page itself":             {page: refreshing("60;url=/a")},
		"the page itself, a fragment": {page: refreshing("60;url=#top")},
		"the page itself, a cookie":   {page: refreshing("0;url=/a"), want: "http://h/a", header: []string{"Content-Type", "text/html", "Set-Cookie", "a=b"}},
		"base":                        {page: `<base href="http://cdn/x/">` + refreshing("0;url=b"), want: "http://cdn/x/b"},
		"to a file":                   {page: refreshing("0;url=file:///etc/passwd")},
		"to data":                     {page: refreshing("0;url=data:text/html,hello")},
		"to a script":                 {page: refreshing("0;url=javascript:alert(1)")},
		"to nowhere":                  {page: refreshing("0;url=http://")},
		"the first one":               {page: refreshing("0;url=/b") + refreshing("0;url=/c"), want: "http://h/b"},
		"the first one, too late":     {page: refreshing("999;url=/b") + refreshing("0;url=/c")},
		"noscript":                    {page: "<noscript>" + refreshing("0;url=/b") + "</noscript>"},
		"noscript, and another":       {page: "<noscript>" + refreshing("0;url=/b") + "</noscript>" + refreshing("0;url=/c"), want: "http://h/c"},
		"comment":                     {page: "<!-- " + refreshing("0;url=/b") + " -->"},
		"script":                      {page: "<script>'" + refreshing("0;url=/b") + "'</script>"},
		"another http-equiv":          {page: `<meta http-equiv="content-type" content="0;url=/b">`},
		"entities":                    {page: refreshing("0;url=/b?x=1&amp;y=2"), want: "http://h/b?x=1&y=2"},
		"far down":                    {page: strings.Repeat(" ", refreshHead) + refreshing("0;url=/b")},
		"not so far":                  {page: strings.Repeat("- ", 4000) + refreshing("0;url=/b"), want: "http://h/b"},
		"cut":                         {page: strings.Repeat(" ", refreshHead-60) + refreshing("0;url=/b")},
		"XHTML":                       {page: refreshing("0;url=/b"), want: "http://h/b", header: []string{"Content-Type", "application/xhtml+xml"}},
		"no type":                     {page: "<!DOCTYPE html>" + refreshing("0;url=/b"), want: "http://h/b", header: []string{"X", "y"}},
		"text":                        {page: refreshing("0;url=/b"), header: []string{"Content-Type", "text/plain"}},
		"a picture":                   {page: refreshing("0;url=/b"), header: []string{"Content-Type", "image/png"}},
		"UTF-16":                      {page: u16(refreshing("0;url=/b")), want: "http://h/b"},
		"windows-1251":                {page: refreshing("0;url=/\xef"), want: "http://h/%D0%BF", header: []string{"Content-Type", "text/html; charset=windows-1251"}},
	} {
		got := refreshTo(t, newBundle(t), crawl.Get("http://h/a"), 200, c.page, c.header...)
		if c.want == "" {
			require.Nil(t, got, name)
			continue
		}
		require.NotNil(t, got, name)
		require.Equal(t, c.want, got.URL.String(), name)
	}
}

func TestMetaRefreshRequest(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	req := crawl.Get("https://me:pw@h/a#f", crawl.With(1))
	req.Method, req.Body, req.Priority, req.Depth, req.IsStart = "POST", []byte("x=1"), 5, 3, true
	req.Header = http.Header{"Content-Type": {"text/plain"}, "Authorization": {"x"}, "Cookie": {"a=b"}, "Referer": {"https://h/before"}, "X-Own": {"y"}}
	got := refreshTo(t, b, req, 404, refreshing("3;url=https://other/b"))
	require.Equal(t, "https://other/b", got.URL.String())
	require.Empty(t, got.Method)
	require.Empty(t, got.Body)
	require.Equal(t, http.Header{"X-Own": {"y"}, "Referer": {"https://h/a"}}, got.Header, "the page leads there, as a link does")
	require.Equal(t, []string{"https://h/a#f"}, got.Redirects)
	require.Equal(t, []int{7, 3}, []int{got.Priority, got.Depth})
	require.True(t, got.IsStart)

	// By the referrer policies, and Referer.Off.
	says := `<meta name=referrer content=no-referrer>` + refreshing("0;url=/b")
	require.NotContains(t, refreshTo(t, b, crawl.Get("https://h/a"), 200, says).Header, "Referer")
	require.NotContains(t, refreshTo(t, b, crawl.Get("https://h/a"), 200, refreshing("0;url=http://h/b")).Header, "Referer")
	off := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Referer.Off = true })
	require.NotContains(t, refreshTo(t, off, crawl.Get("http://h/a"), 200, refreshing("0;url=/b")).Header, "Referer")
}

// Redirects and refreshes are counted together, and whoever wants neither gets the page.
func TestMetaRefreshLimits(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Redirect.Times = 2 })
	page := refreshing("0;url=/b")
	at := func(knobs *crawl.Knobs, came ...string) *crawl.Request {
		req := crawl.Get("http://h/a")
		req.Knobs, req.Redirects = knobs, came
		return req
	}
	require.NotNil(t, refreshTo(t, b, at(nil, "http://h/1"), 200, page))
	require.Nil(t, refreshTo(t, b, at(nil, "http://h/b"), 200, page), "back to where it came from")
	f := b.build(t, MetaRefresh, serve(func(req *crawl.Request) (*crawl.Response, error) {
		return spooled(t, req, 200, "Content-Type", "text/html"), nil
	}))
	resp, err := f.Fetch(t.Context(), at(nil))
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	f = b.build(t, MetaRefresh, serve(func(req *crawl.Request) (*crawl.Response, error) {
		return answer(req, 200, page, "Content-Type", "text/html"), nil
	}))
	_, err = f.Fetch(t.Context(), at(nil, "http://h/1", "http://h/2"))
	requireIgnored(t, err, "max redirections reached")
	for _, knobs := range []crawl.Knobs{{DontRefresh: true}, {DontRedirect: true}, {Render: &crawl.Render{}}} {
		require.Nil(t, refreshTo(t, b, at(&knobs), 200, page), "%+v", knobs)
	}
	head := at(nil)
	head.Method = "HEAD"
	require.Nil(t, refreshTo(t, b, head, 200, page))
	require.NotNil(t, refreshTo(t, b, at(&crawl.Knobs{HandleAllStatus: true}), 200, page))

	b.Settings.MetaRefresh.IgnoreTags = nil
	require.NotNil(t, refreshTo(t, b, at(nil), 200, "<noscript>"+page+"</noscript>"))
	b.Settings.MetaRefresh.IgnoreTags = []string{"DIV"}
	require.Nil(t, refreshTo(t, b, at(nil), 200, "<div><div>x</div>"+page+"</div>"))
	require.NotNil(t, refreshTo(t, b, at(nil), 200, "<div><div>x</div></div>"+page))

	for _, off := range []func(*crawl.Settings){
		func(s *crawl.Settings) { s.MetaRefresh.Off = true },
		func(s *crawl.Settings) { s.MetaRefresh.MaxDelay = -1 },
		func(s *crawl.Settings) { s.Redirect.Times = -1 },
	} {
		_, err := MetaRefresh(newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { off(s) }).Env, serveOK())
		requireOff(t, err)
	}
}

// BenchmarkMetaRefresh is what a page costs that refreshes nothing.
func BenchmarkMetaRefresh(b *testing.B) {
	env := newBundle(b)
	page := answer(crawl.Get("http://h/a"), 200, strings.Repeat(`<li class="next-page"><a href="/x-y">x</a></li>`, 200), "Content-Type", "text/html")
	f := env.build(b, MetaRefresh, crawl.FetcherFunc(func(context.Context, *crawl.Request) (*crawl.Response, error) { return page, nil }))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Fetch(b.Context(), page.Request); err != nil {
			b.Fatal(err)
		}
	}
}

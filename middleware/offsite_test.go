package middleware

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

func allow(domains ...string) func(*crawl.Spider, *crawl.Settings) {
	return func(s *crawl.Spider, _ *crawl.Settings) { s.AllowedDomains = domains }
}

func TestOffsite(t *testing.T) {
	t.Parallel()
	cases := []struct {
		domains []string
		url     string
		allowed bool
	}{
		{[]string{"example.com"}, "http://example.com/", true},
		{[]string{"example.com"}, "https://www.example.com:8443/", true},
		{[]string{"example.com"}, "http://a.b.EXAMPLE.com/", true},
		{[]string{"example.com"}, "http://example.com./", true},
		{[]string{"example.com"}, "http://notexample.com/", false},
		{[]string{"example.com"}, "http://example.com.evil.org/", false},
		{[]string{"example.com"}, "http://evil.org/?example.com", false},
		{[]string{"example.com"}, "http://example.com@evil.org/", false},
		{[]string{"example.com"}, "http://com/", false},
		{[]string{"example.com"}, "http://127.0.0.1/", false},
		{[]string{"example.com"}, "ftp://other.org/x", false},
		{[]string{"example.com"}, "data:text/plain,hello", true},
		{[]string{"example.com"}, "file:///pages/x", true},
		{[]string{"a.org", "b.org"}, "http://www.b.org/", true},
		{[]string{"www.example.com"}, "http://example.com/", false},
		{[]string{".example.com"}, "http://example.com/", true},
		{[]string{" Example.COM. "}, "http://example.com/", true},
		{[]string{"https://example.com/shop"}, "http://example.com/", true},
		{[]string{"example.com:8080"}, "http://example.com/", true},
		{[]string{"bücher.example"}, "http://xn--bcher-kva.example/", true},
		{[]string{"127.0.0.1"}, "http://127.0.0.1:8080/", true},
		{[]string{"127.0.0.1"}, "http://127.0.0.2/", false},
		{[]string{"::1"}, "http://[::1]:80/", true},
		{[]string{"[::1]"}, "http://[::1]/", true},
		{[]string{"", "//", "exa mple"}, "http://example.com/", false},
	}
	for _, c := range cases {
		b := newBundle(t, allow(c.domains...))
		resp, err := b.build(t, Offsite, serveOK()).Fetch(t.Context(), crawl.Get(c.url))
		hooks, herr := OffsiteLinks(b.Env)
		require.NoError(t, herr)
		from := answer(crawl.Get("http://example.com/"), 200, "")
		req, linkErr := hooks.Request(t.Context(), from, crawl.Get(c.url))
		if c.allowed {
			require.NoError(t, err, c)
			require.Equal(t, 200, resp.Status)
			require.NoError(t, linkErr, c)
			require.NotNil(t, req)
		} else {
			requireIgnored(t, err, "offsite")
			requireIgnored(t, linkErr, "offsite")
			require.Nil(t, req)
		}
	}
}

func TestOffsiteBypass(t *testing.T) {
	t.Parallel()
	b := newBundle(t, allow("example.com"))
	f := b.build(t, Offsite, serveOK())
	for name, req := range map[string]*crawl.Request{
		"knob":        {URL: mustParse(t, "http://cdn.org/"), Knobs: &crawl.Knobs{AllowOffsite: true}},
		"dont filter": {URL: mustParse(t, "http://cdn.org/"), DontFilter: true},
	} {
		_, err := f.Fetch(t.Context(), req)
		require.NoError(t, err, name)
	}
	require.Empty(t, b.Stats.Snapshot())
}

func TestOffsiteCounts(t *testing.T) {
	t.Parallel()
	b := newBundle(t, allow("example.com"))
	hooks, err := OffsiteLinks(b.Env)
	require.NoError(t, err)
	from := answer(crawl.Get("http://example.com/"), 200, "")
	for _, raw := range []string{"http://a.org/1", "http://a.org/2", "http://b.org/"} {
		_, err := hooks.Request(t.Context(), from, crawl.Get(raw))
		requireIgnored(t, err, "offsite")
	}
	require.Equal(t, map[string]any{"offsite/filtered": int64(3), "offsite/domains": int64(2)}, b.Stats.Snapshot())
	require.Equal(t, 2, b.logs.FilterMessage("host is offsite").FilterLevelExact(zap.DebugLevel).Len())

	_, err = hooks.Request(t.Context(), nil, crawl.Get("http://c.org/"))
	requireIgnored(t, err, "offsite")
	require.Equal(t, 1, b.logs.FilterMessage("host is offsite").FilterLevelExact(zap.WarnLevel).Len(), "a start URL is most likely a mistake")
}

func TestOffsiteWarnsOfMistakes(t *testing.T) {
	t.Parallel()
	b := newBundle(t, allow("example.com", ".example.net", "https://example.org/", "example.edu:80", "//"))
	b.build(t, Offsite, serveOK())
	require.Equal(t, 2, b.logs.FilterMessage("allowed domain is a URL: its host is taken").Len())
	require.Equal(t, 1, b.logs.FilterMessage("allowed domain is none: it allows nothing").Len())
}

func TestOffsiteOff(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	_, err := Offsite(b.Env, serveOK())
	requireOff(t, err)
	_, err = OffsiteLinks(b.Env)
	requireOff(t, err)
}

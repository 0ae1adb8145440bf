package page

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
)

func TestSigned(t *testing.T) {
	shop := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Signature") != "secret"+r.URL.Path || r.URL.Path == "/refused" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	spider := &crawl.Spider{Name: "api", StartURLs: []string{"https://example.com/a", "https://example.com/refused"}, Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
		out.Item(map[string]any{"url": r.URL.String()})
		return nil
	}}
	_, settings, err := layers(t.Context(), spider, crawl.Settings{})
	require.NoError(t, err)
	res := crawltest.Run(t, spider, settings, shop)
	require.Equal(t, []any{map[string]any{"url": "https://example.com/a"}}, res.Items)
	require.EqualValues(t, 1, res.Stats.Int("signed/refused"))

	_, err = Signed("")(&crawl.Env{}, nil)
	require.ErrorContains(t, err, "no key")
}

func TestNoSession(t *testing.T) {
	spider := &crawl.Spider{Name: "pages", StartURLs: []string{"https://example.com/"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
		out.FollowAll("a", "")
		return nil
	}}
	_, settings, err := nosession(t.Context(), spider, crawl.Settings{})
	require.NoError(t, err)
	res := finished(t, spider, settings, site(map[string]string{"/": `<a href="/a">A</a><a href="/b?session=1">B</a>`, "/a": "<p>", "/b?session=1": "<p>"}))
	require.Equal(t, []string{"https://example.com/", "https://example.com/a"}, res.Asked)
}

func TestTrace(t *testing.T) {
	spider := &crawl.Spider{Name: "pages", StartURLs: []string{"https://example.com/"}, Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
		out.Item(map[string]any{"path": r.URL.Path})
		return nil
	}}
	_, settings, err := hooks(t.Context(), spider, crawl.Settings{})
	require.NoError(t, err)
	out := printed(t, func() {
		res := finished(t, spider, settings, site(map[string]string{"/": "<p>", "/more": "<p>"}))
		require.Equal(t, []string{"https://example.com/", "https://example.com/more"}, res.Asked)
	})
	require.Equal(t, "map[path:/]\nmap[path:/more]\n", out)
}

func TestBudget(t *testing.T) {
	spider := &crawl.Spider{Name: "pages", StartURLs: []string{"https://example.com/"}, Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
		out.Follow(r.URL.Path+"a", "")
		return nil
	}}
	endless := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/robots.txt" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(make([]byte, 1000))
	}))
	res := crawltest.Run(t, spider, crawl.Settings{Extensions: []crawl.Extension{Budget(5000)}}, endless)
	require.Equal(t, "budget", res.Reason)
	require.Less(t, len(res.Asked), 10)
}

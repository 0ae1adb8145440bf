package crawl_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// The vectors are what Scrapy's default fingerprinter gives.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ method, url, body, want string }{
		{"", "http://example.com", "", "cebe46deeab7ee5915824a38cf73ee6f7eb0aba5"},
		{"GET", "http://www.example.com/query?id=111&cat=222", "", "8fcf173c15d0d14f77c0c9a61209caf224e90164"},
		{"GET", "http://example.com/a#f", "", "7f4b2fd8200202b2bb197dcdf3896e5dc9e065fb"},
		{"POST", "http://example.com/a", "x=1", "15a7b57221fed8a3d829cea4a2a4a23bff196936"},
		{"GET", "http://EXAMPLE.com:80/a b?q=%e9&z=&a=1", "", "80e14282e4805110c0f94cccd3a4cd28a05e6d43"},
		{"GET", "https://example.com/résumé", "", "efdc5170ad09f663475b72cc4574c804c40a3cf7"},
	} {
		r := crawl.Get(c.url)
		r.Method, r.Body = c.method, []byte(c.body)
		r.Header = http.Header{"X": {"does not count"}}
		require.Equal(t, c.want, r.Fingerprint().String(), c.url)
	}
	require.Equal(t, crawl.Fingerprint{}, (&crawl.Request{}).Fingerprint())
	require.Equal(t, "http://example.com:80/a%20b?a=1&q=%E9&z=", crawl.CanonicalURL(crawl.Get("http://EXAMPLE.com:80/a b?q=%e9&z=&a=1").URL))
}

func TestKey(t *testing.T) {
	t.Parallel()
	key := crawl.Get("http://h/a").Fingerprint()
	req := crawl.Get("http://h/a?sig=1", func(r *crawl.Request) { r.Key = key })
	require.Equal(t, key, req.Fingerprint())
	require.Equal(t, key, req.Clone().Fingerprint())
	again, err := crawl.NewNack(1, req, req, time.Time{})
	require.NoError(t, err)
	require.False(t, again.Push.Filter, "a retry is no duplicate of itself")

	target := crawl.Get("http://h/wall", func(r *crawl.Request) { r.Key, r.Redirects = key, []string{"http://h/a?sig=1"} })
	require.Equal(t, crawl.Get("http://h/wall").Fingerprint(), target.Fingerprint(), "a redirect's target has its own")
	back := crawl.Get("http://h/a?sig=1", func(r *crawl.Request) { r.Key, r.Redirects = key, []string{"http://h/a?sig=1", "http://h/wall"} })
	require.Equal(t, key, back.Fingerprint(), "and back at its URL the request has its own again")
	plain := crawl.Get("http://h/a", func(r *crawl.Request) { r.Key, r.Redirects = key, back.Redirects })
	for _, r := range []*crawl.Request{back, plain} {
		n, err := crawl.NewNack(1, target, r, time.Time{})
		require.NoError(t, err)
		require.Equal(t, key, n.Push.Fingerprint)
		require.False(t, n.Push.Filter, "what it came through is not seen")
	}
}

func TestRequestErr(t *testing.T) {
	t.Parallel()
	bad := crawl.Get("http://[bad/")
	require.ErrorContains(t, bad.Err(), `url "http://[bad/"`)
	require.Equal(t, "<GET http://[bad/>", bad.String())
	require.Empty(t, bad.Slot())
	require.ErrorContains(t, crawl.Get("http://h/", crawl.With(make(chan int))).Err(), "data of type chan int")
	require.ErrorContains(t, (&crawl.Request{}).Err(), "no URL")
	require.NoError(t, crawl.Get("http://h/").Err())
	require.Equal(t, "<no request>", (*crawl.Request)(nil).String())
	require.NotContains(t, crawl.Get("http://u:secret@h/").String(), "secret")
}

func TestSlot(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{"http://EXAMPLE.com:8080/": "example.com", "http://example.com./": "example.com", "http://[::1]:80/": "::1", "data:,x": "data:", "file:///a": "file:"} {
		require.Equal(t, want, crawl.Get(raw).Slot(), raw)
	}
	require.Equal(t, "mine", crawl.Get("http://h/", func(r *crawl.Request) { r.SetKnobs(func(k *crawl.Knobs) { k.Slot = "mine" }) }).Slot())
}

func TestCloneIsDeep(t *testing.T) {
	t.Parallel()
	build := func() *crawl.Request {
		return crawl.Get("http://h/a", crawl.With(1), func(r *crawl.Request) {
			r.Header, r.Body, r.Redirects = http.Header{"A": {"1"}}, []byte("b"), []string{"u"}
			r.SetKnobs(func(k *crawl.Knobs) { k.HandleStatus = []int{404} })
		})
	}
	r := build()
	c := r.Clone()
	require.Equal(t, r, c)
	c.URL.Path, c.Header["A"][0], c.Body[0], c.Data[0], c.Redirects[0], c.Knobs.HandleStatus[0] = "/x", "x", 'x', '2', "x", 500
	require.Equal(t, build(), r)

	shared := r.Knobs
	r.SetKnobs(func(k *crawl.Knobs) { k.HandleStatus[0], k.DontRetry = 1, true })
	require.Equal(t, &crawl.Knobs{HandleStatus: []int{404}}, shared)
	require.True(t, r.Knob().Handles(1))
	require.False(t, r.Knob().Handles(404))
	require.True(t, (&crawl.Knobs{HandleAllStatus: true}).Handles(500))
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	require.Nil(t, crawl.Origin(context.Background()))
	r := crawl.Get("http://h/")
	require.Same(t, r, crawl.Origin(crawl.WithOrigin(context.Background(), r)))
}

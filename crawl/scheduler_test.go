package crawl_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestNewPush(t *testing.T) {
	t.Parallel()
	req := crawl.Get("http://H.example/a", func(r *crawl.Request) { r.Priority, r.DontFilter = 3, true })
	p, err := crawl.NewPush(7, req)
	require.NoError(t, err)
	enc, err := req.AppendWire(nil)
	require.NoError(t, err)
	require.Equal(t, crawl.Push{Parent: 7, Fingerprint: req.Fingerprint(), Slot: "h.example", Priority: 3, Encoded: enc}, p)
	_, err = crawl.NewPush(0, crawl.Get("http://[bad/"))
	require.Error(t, err)
}

func TestNewNackFilters(t *testing.T) {
	t.Parallel()
	get := func(url string, through ...string) *crawl.Request {
		return crawl.Get(url, func(r *crawl.Request) { r.Redirects = through })
	}
	post := func(url string) *crawl.Request { r := get(url); r.Method = "POST"; return r }
	for name, c := range map[string]struct {
		from, req *crawl.Request
		filter    bool
	}{
		"retry":                     {get("http://h/a"), get("http://h/a"), false},
		"redirect":                  {get("http://h/a"), get("http://h/b", "http://h/a"), true},
		"redirect back":             {get("http://h/b", "http://h/a"), get("http://h/a", "http://h/a", "http://h/b"), false},
		"retry after a redirect":    {get("http://h/b", "http://h/a"), get("http://h/b", "http://h/a"), false},
		"back, written another way": {get("http://h/b"), get("http://h/a?y=1&x=2#f", "http://H/a?x=2&y=1", "http://h/b"), false},
		"post redirected to get":    {post("http://h/a"), get("http://h/b", "http://h/a"), true},
		"a redirect that is no URL": {get("http://h/a"), get("http://h/b", "http://[bad/"), true},
		"dont filter":               {get("http://h/a"), crawl.Get("http://h/b", func(r *crawl.Request) { r.DontFilter = true }), false},
	} {
		at := time.Unix(9, 0)
		n, err := crawl.NewNack(5, c.from, c.req, at)
		require.NoError(t, err, name)
		require.Equal(t, c.filter, n.Push.Filter, name)
		require.Equal(t, uint64(5), n.Lease)
		require.Equal(t, at, n.NotBefore)
	}
	_, err := crawl.NewNack(1, get("http://h/"), get("http://[bad/"), time.Time{})
	require.Error(t, err)
}

func TestStrictest(t *testing.T) {
	t.Parallel()
	early, late := time.Unix(1, 0), time.Unix(2, 0)
	for _, c := range []struct{ a, b, want crawl.Limits }{
		{crawl.Limits{}, crawl.Limits{}, crawl.Limits{}},
		{crawl.Limits{Concurrency: 4, Delay: 2}, crawl.Limits{Concurrency: 2, Delay: 1, FixedDelay: true}, crawl.Limits{Concurrency: 2, Delay: 2}},
		{crawl.Limits{Delay: 5}, crawl.Limits{Delay: 4, FixedDelay: true}, crawl.Limits{Delay: 5, FixedDelay: true}},
		{crawl.Limits{}, crawl.Limits{FixedDelay: true}, crawl.Limits{FixedDelay: true}},
		{crawl.Limits{Concurrency: -1, Delay: -1}, crawl.Limits{Concurrency: 8, Delay: 3, FixedDelay: true}, crawl.Limits{Concurrency: 8, Delay: 3, FixedDelay: true}},
		{crawl.Limits{Delay: 3}, crawl.Limits{Delay: 3, FixedDelay: true}, crawl.Limits{Delay: 3, FixedDelay: true}},
		{crawl.Limits{HoldUntil: early}, crawl.Limits{HoldUntil: late}, crawl.Limits{HoldUntil: late}},
	} {
		require.Equal(t, c.want, c.a.Strictest(c.b))
		require.Equal(t, c.want, c.b.Strictest(c.a), "the order does not matter")
	}
}

func BenchmarkNewPush(b *testing.B) {
	req := crawl.Get("http://www.example.com/category/page/17?sort=price&id=111&cat=222")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := crawl.NewPush(1, req); err != nil {
			b.Fatal(err)
		}
	}
}

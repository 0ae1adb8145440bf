package crawl_test

import (
	"encoding/json"
	"errors"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// keeping is a Sink that keeps what it is given.
type keeping struct {
	items    []any
	requests []*crawl.Request
	skipped  []string
	values   map[string]json.RawMessage
	refuse   error
	stop     bool
	block    chan struct{} // if set, Item closes entered and waits for it
	entered  chan struct{}
}

func (k *keeping) Item(v any) bool {
	if k.block != nil {
		close(k.entered)
		<-k.block
	}
	k.items = append(k.items, v)
	return !k.stop
}

func (k *keeping) Request(r *crawl.Request) (bool, error) {
	k.requests = append(k.requests, r)
	return !k.stop, k.refuse
}
func (k *keeping) SkipLink(ref string, _ error) { k.skipped = append(k.skipped, ref) }
func (k *keeping) Put(key string, v json.RawMessage) bool {
	k.values[key] = v
	return !k.stop
}
func (k *keeping) Get(key string) (json.RawMessage, bool) { v, ok := k.values[key]; return v, ok }

type book struct{ Title string }

func TestOutItem(t *testing.T) {
	t.Parallel()
	var sink keeping
	out := crawl.NewOut(nil, &sink)
	given := &book{"a"}
	require.True(t, out.Item(given))
	require.True(t, out.Item(book{"b"}))
	require.True(t, out.Item(map[string]any{"c": 1}))
	require.NoError(t, out.Err())
	require.Equal(t, []any{given, &book{"b"}, map[string]any{"c": 1}}, sink.items)
	require.Same(t, given, sink.items[0])
	for _, bad := range []any{nil, (*book)(nil), map[string]any(nil), 1, "x", []book{}, map[string]int{}, new(int)} {
		out := crawl.NewOut(nil, &sink)
		require.True(t, out.Item(bad), "one bad item does not end a callback")
		require.ErrorContains(t, out.Err(), "item is", "%T", bad)
	}
	require.Len(t, sink.items, 3)
	sink.stop = true
	require.False(t, out.Item(given))
}

func TestOutRequest(t *testing.T) {
	t.Parallel()
	var sink keeping
	out := crawl.NewOut(nil, &sink)
	require.True(t, out.Request(nil))
	require.True(t, out.Request(crawl.Get("http://[bad/")))
	require.ErrorContains(t, out.Err(), "request is nil", "the first error is kept")
	require.Empty(t, sink.requests)
	require.True(t, out.Follow("http://h/a", "r"), "in Start")
	require.Equal(t, "r", sink.requests[0].Route)
	out = crawl.NewOut(nil, &sink)
	require.True(t, out.FollowAll("a", ""))
	require.ErrorContains(t, out.Err(), "FollowAll in Start")
	out, sink.refuse = crawl.NewOut(nil, &sink), errors.New("no such route")
	require.True(t, out.Request(crawl.Get("http://h/")))
	require.ErrorIs(t, out.Err(), sink.refuse)
}

func TestOutFollow(t *testing.T) {
	t.Parallel()
	const links = `<base href=/b/><a href=1>1</a><a href="mailto:x@y">m</a><a href="javascript:f()">j</a><a href="http://[bad/">b</a><a data-u=2 href=3>3</a>`
	var sink keeping
	r := page(t, "https://example.com/dir/", htmlUTF8, links)
	out := crawl.NewOut(r, &sink)
	require.True(t, out.FollowAll("a", "next", crawl.With("d")))
	require.True(t, out.FollowAll("a::attr(data-u)", ""))
	require.True(t, out.Follow("4", ""))
	require.True(t, out.Follow("tel:1", ""))
	require.True(t, out.Follow("s3://private/key", "")) // it would be asked with the crawl's own credentials
	require.NoError(t, out.Err())
	var urls []string
	for _, q := range sink.requests {
		urls = append(urls, q.URL.String())
	}
	require.Equal(t, []string{"https://example.com/b/1", "https://example.com/b/3", "https://example.com/b/2", "https://example.com/b/4"}, urls)
	require.Equal(t, "next", sink.requests[0].Route)
	require.JSONEq(t, `"d"`, string(sink.requests[1].Data))
	require.Equal(t, []string{"mailto:x@y", "javascript:f()", "http://[bad/", "tel:1", "s3://private/key"}, sink.skipped)
	sink.stop = true
	require.False(t, out.FollowAll("a", ""))
	require.Len(t, sink.requests, 5, "a crawl that stops is asked once")
}

func TestOutState(t *testing.T) {
	t.Parallel()
	sink := keeping{values: map[string]json.RawMessage{"spider/bad": json.RawMessage(`"x"`)}}
	out := crawl.NewOut(nil, &sink)
	var n int
	require.False(t, out.Resume(&n))
	require.True(t, out.Checkpoint(5))
	require.True(t, out.Resume(&n))
	require.Equal(t, 5, n)
	require.False(t, out.Load("k", &n))
	require.True(t, out.Save("k", 6))
	require.True(t, out.Load("k", &n))
	require.Equal(t, 6, n)
	require.NoError(t, out.Err())
	require.False(t, out.Load("bad", &n), "what cannot be read is not there")
	require.ErrorContains(t, out.Err(), "load spider/bad")
	require.True(t, out.Save("k", make(chan int)))
}

func TestOutCloseWaits(t *testing.T) {
	t.Parallel()
	sink := keeping{block: make(chan struct{}), entered: make(chan struct{})}
	out := crawl.NewOut(nil, &sink)
	closed := make(chan struct{})
	go out.Item(&book{})
	<-sink.entered
	go func() { out.Close(); close(closed) }()
	for out.Item(nil) { // true until Close has begun
		runtime.Gosched()
	}
	select {
	case <-closed:
		require.Fail(t, "closed while a call is under way")
	default:
	}
	close(sink.block)
	<-closed
	require.False(t, out.Item(&book{}))
	require.False(t, out.Request(crawl.Get("http://h/")))
	require.False(t, out.Follow("http://h/", ""))
	require.Len(t, sink.items, 1)
	require.Empty(t, sink.requests)
}

func TestOutStopped(t *testing.T) {
	t.Parallel()
	sink := keeping{values: make(map[string]json.RawMessage)}
	out := crawl.NewOut(nil, &sink)
	require.True(t, out.Save("a", 1))
	require.False(t, out.Stopped())
	sink.stop = true
	require.False(t, out.Item(&book{"a"}))
	require.True(t, out.Stopped())
	out = crawl.NewOut(nil, &keeping{})
	out.Close()
	require.False(t, out.Item(&book{"a"}))
	require.True(t, out.Stopped(), "it takes nothing any more")
}

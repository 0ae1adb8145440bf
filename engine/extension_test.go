package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

// noted is what happened, in order.
type noted struct {
	mu   sync.Mutex
	list []string
}

func (n *noted) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, fmt.Sprintf(format, args...))
}

func (n *noted) count(what string) (k int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.list {
		if s == what {
			k++
		}
	}
	return k
}

// every is a Trace with all hooks, each of which notes its name.
func every(n *noted, who string) crawl.Trace {
	var t crawl.Trace
	v := reflect.ValueOf(&t).Elem()
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		f.Set(reflect.MakeFunc(f.Type(), func([]reflect.Value) []reflect.Value {
			n.add("%s %s", who, name)
			out := make([]reflect.Value, f.Type().NumOut())
			for k := range out {
				out[k] = reflect.Zero(f.Type().Out(k))
			}
			return out
		}))
	}
	return t
}

// eventful is a crawl in which all that a Trace has a hook for happens.
func eventful(t *testing.T, change func(*crawl.Settings)) *crawltest.Result {
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing.jpg" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, "the body of %s", r.URL.Path)
	}))
	spider := &crawl.Spider{
		Name: "eventful", StartURLs: []string{"http://a.example/", "http://a.example/"},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			switch r.URL.Path {
			case "/":
				out.Follow("/items", "")
				out.Follow("http://down.example/", "")
				return errors.New("as the test wants")
			case "/items":
				for _, what := range []string{"good", "dropped", "bad"} {
					out.Item(map[string]any{"what": what, "file_urls": []string{"http://a.example/" + what + ".jpg", "http://a.example/missing.jpg"}})
				}
			}
			return nil
		},
	}
	settings := crawl.Settings{
		Retry: crawl.RetrySettings{Times: -1}, Memory: crawl.MemorySettings{Warn: 1}, Feeds: []crawl.Feed{{URI: t.TempDir() + "/items.jsonl"}},
		ItemPipelines: []crawl.Stage{
			{Order: 1, Pipeline: &pipeline.FilesPipeline{Store: new(store.Memory)}},
			{Order: 2, Pipeline: pipeline.Each(func(_ context.Context, item map[string]any) (map[string]any, error) {
				switch item["what"] {
				case "dropped":
					return nil, crawl.DropItem("as the test wants")
				case "bad":
					return nil, errors.New("as the test wants")
				}
				return item, nil
			})},
		},
	}
	change(&settings)
	site.Refuse("down.example", nil)
	return crawltest.Run(t, spider, settings, site)
}

// TestEveryHookOfEveryTrace has three traces in a crawl: each hook of each is called, and as often as the others'.
func TestEveryHookOfEveryTrace(t *testing.T) {
	t.Parallel()
	var n noted
	res := eventful(t, func(s *crawl.Settings) {
		s.Trace = every(&n, "settings")
		s.Extensions = []crawl.Extension{every(&n, "first"), nil, crawl.ExtensionFunc(func(context.Context, *crawl.Env) (crawl.Trace, error) {
			return every(&n, "second"), nil
		})}
	})
	require.Equal(t, "finished", res.Reason)
	for f := range reflect.TypeFor[crawl.Trace]().Fields() {
		times := n.count("settings " + f.Name)
		require.Positive(t, times, f.Name)
		require.Equal(t, times, n.count("first "+f.Name), f.Name)
		require.Equal(t, times, n.count("second "+f.Name), f.Name)
	}
	for name, times := range map[string]int{
		"EngineStarted": 1, "EngineStopped": 1, "SpiderOpened": 1, "SpiderClosed": 1, "SpiderError": 1, "MemoryWarning": 1,
		"ItemScraped": 1, "ItemDropped": 1, "ItemError": 1, "MediaStored": 3, "MediaFailed": 1, "RequestFailed": 1, "RobotsParsed": 1,
		"RequestScheduled": 3, "RequestDropped": 1, "RequestLeft": 3 + 4,
		"RequestReachedDownloader": 2 + 4 + 2, "RequestLeftDownloader": 2 + 4 + 2, "ResponseDownloaded": 2 + 4 + 1, "HeadersReceived": 2 + 4 + 1, "ResponseReceived": 2 + 4,
	} {
		require.Equal(t, times, n.count("first "+name), name)
	}
	at := func(what string) int {
		for i, s := range n.list {
			if s == "first "+what {
				return i
			}
		}
		return -1
	}
	require.Less(t, at("SpiderOpened"), at("EngineStarted"))
	require.Less(t, at("EngineStarted"), at("RequestReachedDownloader"))
	require.Less(t, at("RequestReachedDownloader"), at("HeadersReceived"))
	require.Less(t, at("HeadersReceived"), at("BytesReceived"))
	require.Less(t, at("BytesReceived"), at("ResponseDownloaded"))
	require.Less(t, at("SpiderClosed"), at("EngineStopped"))
}

// TestAHookThatPanics is logged as whose it is, and holds nobody up.
func TestAHookThatPanics(t *testing.T) {
	t.Parallel()
	calm, panicky := &noted{}, crawl.Trace{}
	v := reflect.ValueOf(&panicky).Elem()
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		f.Set(reflect.MakeFunc(f.Type(), func([]reflect.Value) []reflect.Value { panic("no " + name) }))
	}
	res := eventful(t, func(s *crawl.Settings) { s.Extensions = []crawl.Extension{panicky, every(calm, "calm")} })
	require.Equal(t, "finished", res.Reason)
	require.NoError(t, res.Err)
	for f := range reflect.TypeFor[crawl.Trace]().Fields() {
		require.Positive(t, calm.count("calm "+f.Name), f.Name)
		said := 0
		for _, ent := range res.Log.FilterMessage("extension crawl.Trace hook failed").All() {
			if ent.ContextMap()["error"] == "panic: no "+f.Name {
				said++
				require.NotEmpty(t, ent.ContextMap()["stack"])
			}
		}
		require.Positive(t, said, f.Name)
	}
}

// budget is the example of crawl.Extension, which ends a crawl and starts a goroutine.
type budget struct {
	responses int
	opened    *int
	ended     chan struct{}
}

func (b budget) Open(ctx context.Context, env *crawl.Env) (crawl.Trace, error) {
	*b.opened++
	env.Stats.Set("budget/responses", b.responses)
	go func() {
		<-ctx.Done()
		close(b.ended)
	}()
	return crawl.Trace{ResponseReceived: func(*crawl.Response) {
		if b.responses--; b.responses == 0 {
			env.Stop("budget")
		}
	}}, nil
}

func TestAnExtensionEndsTheCrawl(t *testing.T) {
	t.Parallel()
	opened, ended := 0, make(chan struct{})
	settings := impolite()
	settings.ConcurrentRequests = 1
	settings.Extensions = []crawl.Extension{&budget{5, &opened, ended}}
	res := crawltest.Run(t, starts("a.example", 100), settings, ok(0))
	require.Equal(t, "budget", res.Reason)
	require.Equal(t, 1, opened)
	require.Len(t, res.Asked, 5)
	require.Equal(t, 5, res.Stats.Get("budget/responses"))
	<-ended
}

func TestExtensionsThatDoNotOpen(t *testing.T) {
	t.Parallel()
	ended := false
	settings := impolite()
	settings.Extensions = []crawl.Extension{crawl.ExtensionFunc(func(context.Context, *crawl.Env) (crawl.Trace, error) {
		return crawl.Trace{SpiderOpened: func(context.Context, *crawl.Spider) { ended = true }}, crawl.NotConfigured("nothing is set")
	})}
	res := crawltest.Run(t, starts("a.example", 1), settings, ok(0))
	require.Equal(t, "finished", res.Reason)
	require.False(t, ended)
	left := res.Log.FilterMessage("extension left out").All()
	require.Len(t, left, 1)
	require.Equal(t, "nothing is set", left[0].ContextMap()["why"])
	require.Equal(t, "crawl.ExtensionFunc", left[0].ContextMap()["extension"])

	for want, x := range map[string]crawl.ExtensionFunc{
		"extension 2, crawl.ExtensionFunc: as the test wants": func(context.Context, *crawl.Env) (crawl.Trace, error) {
			return crawl.Trace{}, errors.New("as the test wants")
		},
		"extension 2, crawl.ExtensionFunc: panic: as the test wants": func(context.Context, *crawl.Env) (crawl.Trace, error) { panic("as the test wants") },
	} {
		settings.Extensions = []crawl.Extension{crawl.Trace{}, x}
		settings.Logger = zap.NewNop()
		_, err := engine.Run(t.Context(), starts("a.example", 1), settings)
		require.EqualError(t, err, want)
	}
}

// TestOneThatWantsTheCrawlOpenHasItsWay has two that are asked when the crawl is idle.
func TestOneThatWantsTheCrawlOpenHasItsWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		settings := impolite()
		settings.Trace.SpiderIdle = func(context.Context, *crawl.Out) error { return crawl.CloseSpider("enough") }
		settings.Extensions = []crawl.Extension{crawl.Trace{SpiderIdle: func(context.Context, *crawl.Out) error {
			if asked++; asked < 4 {
				return crawl.ErrDontClose
			}
			return nil
		}}}
		begun := time.Now()
		res := crawltest.Run(t, starts("a.example", 1), settings, ok(0))
		require.Equal(t, "enough", res.Reason)
		require.Equal(t, 4, asked)
		require.Equal(t, 3*time.Second, time.Since(begun))
	})
}

// long is a body that does not fit into one read.
const long = 1 << 20

func stopped(headers, bytes error) (*noted, crawl.Settings, *crawl.Spider, crawltest.Site) {
	n := &noted{}
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write([]byte(strings.Repeat("x", long)))
	}))
	settings := impolite()
	settings.Trace.HeadersReceived = func(r *crawl.Response) error {
		n.add("headers %d %s %d", r.Status, r.Header.Get("Content-Type"), r.Body.Size())
		return headers
	}
	settings.Trace.BytesReceived = func(req *crawl.Request, data []byte) error {
		n.add("bytes %t", len(data) > 0 && strings.Trim(string(data), "x") == "")
		return bytes
	}
	spider := &crawl.Spider{Name: "stops", StartURLs: []string{"http://a.example/"}}
	spider.Parse = func(_ context.Context, r *crawl.Response, _ *crawl.Out) error {
		n.add("response %d %v", r.Body.Size(), r.Flags)
		return nil
	}
	spider.Errback = func(_ context.Context, _ *crawl.Request, err error, _ *crawl.Out) error {
		if stop, ok := errors.AsType[*crawl.StopDownloadError](err); ok {
			n.add("stopped at %d: %s", stop.Response.Status, err)
		}
		return nil
	}
	return n, settings, spider, site
}

// TestStopDownload ends downloads at their headers, and at a piece of their bodies.
func TestStopDownload(t *testing.T) {
	t.Parallel()
	const headers = "headers 200 text/plain 0"
	for name, c := range map[string]struct {
		headers, bytes error
		want           []string // the last is a prefix
	}{
		"headers":         {crawl.StopDownload(false), nil, []string{headers, "response 0 [download_stopped truncated]"}},
		"headers, failed": {crawl.StopDownload(true), nil, []string{headers, "stopped at 200: download <http://a.example/>: stopped: the download was stopped"}},
		"bytes, failed":   {nil, crawl.StopDownload(true), []string{headers, "bytes true", "stopped at 200: download <http://a.example/>: stopped: the download was stopped"}},
	} {
		n, settings, spider, site := stopped(c.headers, c.bytes)
		res := crawltest.Run(t, spider, settings, site)
		require.Equal(t, "finished", res.Reason, name)
		require.Equal(t, c.want, n.list, name)
		require.Len(t, res.Asked, 1, "%s: it is not asked again", name)
	}
	n, settings, spider, site := stopped(nil, crawl.StopDownload(false))
	crawltest.Run(t, spider, settings, site)
	require.Len(t, n.list, 3)
	size, flags := 0, ""
	_, err := fmt.Sscanf(n.list[2], "response %d %s", &size, &flags)
	require.NoError(t, err)
	require.Positive(t, size)
	require.Less(t, size, long)
	require.Equal(t, "[download_stopped", flags)

	// Whatever else a hook returns is logged, and the download goes on.
	n, settings, spider, site = stopped(errors.New("as the test wants"), nil)
	res := crawltest.Run(t, spider, settings, site)
	require.Equal(t, fmt.Sprintf("response %d []", long), n.list[len(n.list)-1])
	require.Equal(t, 1, res.Log.FilterMessage("trace hook failed: only StopDownload is for it to return").Len())
}

// TestStopAfter takes the beginning of a body, announced or not, however large the whole is.
func TestStopAfter(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/announced" {
			w.Header().Set("Content-Length", strconv.Itoa(size))
		}
		_, _ = w.Write(make([]byte, size))
	}))
	for after, want := range map[int64]string{
		1: "1 [download_stopped truncated]", 2_000_000: "2000000 [download_stopped truncated]", size - 1: "3145727 [download_stopped truncated]",
		size: "too-large", 0: "too-large", 2_100_000: "too-large",
	} {
		settings := impolite()
		settings.Download.MaxSize = 2_050_000
		if after == size-1 {
			settings.Download.MaxSize = size
		}
		var mu sync.Mutex
		var got []string
		spider := &crawl.Spider{
			Name: "beginnings",
			Start: func(_ context.Context, out *crawl.Out) error {
				for _, path := range []string{"announced", "other"} {
					out.Request(crawl.Get("http://a.example/"+path, func(r *crawl.Request) { r.Knobs = &crawl.Knobs{StopAfter: after} }))
				}
				return nil
			},
			Parse: func(_ context.Context, r *crawl.Response, _ *crawl.Out) error {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, fmt.Sprint(r.Body.Size(), " ", r.Flags))
				return nil
			},
			Errback: func(_ context.Context, _ *crawl.Request, err error, _ *crawl.Out) error {
				mu.Lock()
				defer mu.Unlock()
				failed, _ := errors.AsType[*crawl.DownloadError](err)
				got = append(got, string(failed.Kind))
				return nil
			},
		}
		crawltest.Run(t, spider, settings, site)
		require.Equal(t, []string{want, want}, got, after)
	}
}

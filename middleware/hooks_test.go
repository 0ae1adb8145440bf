package middleware

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// note is a spider middleware that writes its name where it is passed.
func note(name string, log *[]string) crawl.SpiderMiddleware {
	return func(*crawl.Env) (crawl.SpiderHooks, error) {
		return crawl.SpiderHooks{
			Response: func(context.Context, *crawl.Response) error { *log = append(*log, "response "+name); return nil },
			Request: func(_ context.Context, _ *crawl.Response, req *crawl.Request) (*crawl.Request, error) {
				*log = append(*log, "request "+name)
				return req, nil
			},
			Item: func(_ context.Context, _ *crawl.Response, item any) (any, error) {
				*log = append(*log, "item "+name)
				return item, nil
			},
			Error: func(_ context.Context, _ *crawl.Response, err error, _ *crawl.Out) error {
				*log = append(*log, "error "+name)
				return err
			},
		}, nil
	}
}

func spiderLayers(list ...crawl.SpiderLayer) func(*crawl.Spider, *crawl.Settings) {
	return func(_ *crawl.Spider, s *crawl.Settings) { s.SpiderMiddlewares = list }
}

func hooks(t testing.TB, list ...crawl.SpiderLayer) Hooks {
	t.Helper()
	h, err := BuildSpider(newBundle(t, spiderLayers(list...)).Env)
	require.NoError(t, err)
	return h
}

func TestHooksOrder(t *testing.T) {
	t.Parallel()
	var log []string
	h := hooks(t,
		crawl.SpiderLayer{Order: 1000, Middleware: note("spider", &log)},
		crawl.SpiderLayer{Order: 10, Middleware: note("engine", &log)},
		crawl.SpiderLayer{Order: 800, Name: "urllength", Middleware: note("middle", &log)},
	)
	page := answer(crawl.Get("http://h/"), 200, "")
	require.NoError(t, h.Response(t.Context(), page))
	_, err := h.Request(t.Context(), page, crawl.Get("http://h/x"))
	require.NoError(t, err)
	item, err := h.Item(t.Context(), page, "item")
	require.NoError(t, err)
	require.Equal(t, "item", item)
	broken := errors.New("broken")
	require.Same(t, broken, h.Error(t.Context(), page, broken, nil))
	require.Equal(t, []string{
		"response engine", "response middle", "response spider", "request spider", "request middle", "request engine",
		"item spider", "item middle", "item engine", "error spider", "error middle", "error engine",
	}, log)
}

func TestHooksStop(t *testing.T) {
	t.Parallel()
	var log []string
	broken := errors.New("broken")
	stop := func(*crawl.Env) (crawl.SpiderHooks, error) {
		return crawl.SpiderHooks{
			Response: func(context.Context, *crawl.Response) error { return broken },
			Request:  func(context.Context, *crawl.Response, *crawl.Request) (*crawl.Request, error) { return nil, broken },
			Item:     func(context.Context, *crawl.Response, any) (any, error) { return nil, broken },
			Error:    func(context.Context, *crawl.Response, error, *crawl.Out) error { return nil },
		}, nil
	}
	h := hooks(t,
		crawl.SpiderLayer{Order: 1000, Middleware: note("spider", &log)},
		crawl.SpiderLayer{Order: 500, Middleware: stop},
		crawl.SpiderLayer{Order: 10, Middleware: note("engine", &log)},
	)
	page := answer(crawl.Get("http://h/"), 200, "")
	require.ErrorIs(t, h.Response(t.Context(), page), broken)
	_, err := h.Request(t.Context(), page, crawl.Get("http://h/x"))
	require.ErrorIs(t, err, broken)
	_, err = h.Item(t.Context(), page, "item")
	require.ErrorIs(t, err, broken)
	require.NoError(t, h.Error(t.Context(), page, broken, nil), "it is handled")
	require.Equal(t, []string{"response engine", "request spider", "item spider", "error spider"}, log)
}

func TestHooksGuards(t *testing.T) {
	t.Parallel()
	h := hooks(t, crawl.SpiderLayer{Order: 1000, Name: "lazy", Middleware: func(*crawl.Env) (crawl.SpiderHooks, error) {
		return crawl.SpiderHooks{
			Request: func(context.Context, *crawl.Response, *crawl.Request) (*crawl.Request, error) { return nil, nil },
			Item:    func(context.Context, *crawl.Response, any) (any, error) { return nil, nil },
		}, nil
	}})
	_, err := h.Request(t.Context(), nil, crawl.Get("http://h/"))
	require.EqualError(t, err, "<GET http://h/>: spider middleware lazy returned neither a request nor an error")
	_, err = h.Item(t.Context(), nil, "item")
	require.EqualError(t, err, "spider middleware lazy returned neither an item nor an error")

	var none Hooks
	req := crawl.Get("http://h/")
	got, err := none.Request(t.Context(), nil, req)
	require.NoError(t, err)
	require.Same(t, req, got)
	broken := errors.New("broken")
	require.Same(t, broken, none.Error(t.Context(), nil, broken, nil))
}

func TestBuildSpiderErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, c := range []struct {
		layer crawl.SpiderLayer
		want  string
	}{
		{crawl.SpiderLayer{Name: "dept", Off: true}, `spider middlewares: no built-in layer is called "dept" (there are start, httperror, referer, urllength, depth, offsite)`},
		{crawl.SpiderLayer{Order: 3, Middleware: func(*crawl.Env) (crawl.SpiderHooks, error) { return crawl.SpiderHooks{}, broken }}, "spider middleware of order 3: broken"},
	} {
		_, err := BuildSpider(newBundle(t, spiderLayers(c.layer)).Env)
		require.EqualError(t, err, c.want)
	}
}

// A link, on its way through all that is built in.
func TestHooksTogether(t *testing.T) {
	t.Parallel()
	b := newBundle(t, allow("shop.example"), func(_ *crawl.Spider, s *crawl.Settings) { s.Depth.Limit, s.Depth.Priority = 2, 1 })
	h, err := BuildSpider(b.Env)
	require.NoError(t, err)
	start, err := h.Request(t.Context(), nil, crawl.Get("https://shop.example/"))
	require.NoError(t, err)
	page := answer(start, 200, "")
	require.NoError(t, h.Response(t.Context(), page))
	link, err := h.Request(t.Context(), page, crawl.Get("https://www.shop.example/x"))
	require.NoError(t, err)
	require.Equal(t, 1, link.Depth)
	require.Equal(t, -1, link.Priority)
	require.Equal(t, "https://shop.example/", link.Header.Get("Referer"))
	_, err = h.Request(t.Context(), page, crawl.Get("https://other.example/"))
	requireIgnored(t, err, "offsite")
	require.Zero(t, b.Stats.Int("request_depth_count/1"))
	var status *crawl.StatusError
	require.ErrorAs(t, h.Response(t.Context(), answer(start, 404, "")), &status)
}

// BenchmarkHooks is what the spider middlewares add to a link.
func BenchmarkHooks(b *testing.B) {
	h, err := BuildSpider(newBundle(b, allow("example.com")).Env)
	require.NoError(b, err)
	page := answer(crawl.Get("http://www.example.com/catalogue/page-16.html"), 200, "", "Content-Type", "text/html")
	u := crawl.Get("http://www.example.com/catalogue/page-17.html").URL
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Request(b.Context(), page, &crawl.Request{URL: u}); err != nil {
			b.Fatal(err)
		}
	}
}

package crawltest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse(_ context.Context, r *crawl.Response, out *crawl.Out) error {
	out.Item(map[string]any{"title": r.Text("h1"), "url": r.URL.String()})
	out.FollowAll("a", "")
	return nil
}

func TestFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, page := range map[string]string{
		"index.html":                 `<h1>Home</h1><a href="/list?page=2">.</a><a href="/about">.</a><a href="https://other.example/x/">.</a><a href="/gone">.</a>`,
		"list?page=2":                `<h1>Second</h1>`,
		"about.html":                 `<h1>About</h1>`,
		"other.example/x/index.html": `<h1>Other</h1>`,
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(page), 0o644))
	}
	spider := &crawl.Spider{Name: "folder", StartURLs: []string{"http://example.com/"}, Parse: parse}
	site := crawltest.Folder(dir)
	res := crawltest.Run(t, spider, crawl.Settings{}, site)
	require.NoError(t, res.Err)
	titles := map[any]any{}
	for _, it := range res.Items {
		titles[it.(map[string]any)["url"]] = it.(map[string]any)["title"]
	}
	require.Equal(t, map[any]any{
		"http://example.com/": "Home", "http://example.com/list?page=2": "Second", "http://example.com/about": "About", "https://other.example/x/": "Other",
	}, titles)
	require.Len(t, res.Asked, 5)
	require.Equal(t, "http://example.com/", res.Asked[0])
	require.Len(t, res.Requests, 5)
	require.Equal(t, 1, res.Log.FilterMessage("response ignored").Len())
}

func TestHoldAndMeasure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			if r.URL.Path == "/" {
				fmt.Fprint(w, `<a href="/1">.</a><a href="/2">.</a><a href="/3">.</a>`)
			}
		}))
		held := site.Hold("/2")
		spider := &crawl.Spider{Name: "held", StartURLs: []string{"http://example.com/"}, Parse: parse}
		e, wait := crawltest.Start(t, spider, crawl.Settings{Robots: crawl.RobotsSettings{Ignore: true}}, site)
		held.Wait()
		time.Sleep(time.Minute)
		require.Equal(t, 1, e.Snapshot().Downloads)
		held.Release()
		res := wait()
		require.Len(t, res.Items, 4)
		require.Equal(t, 3, site.MostAtOnce("example.com"))
		require.Equal(t, time.Second, site.Arrivals("example.com")[1].Sub(site.Arrivals("example.com")[0]))
		require.Zero(t, site.MostAtOnce("other.example"))
		require.LessOrEqual(t, site.Connections(), 3)
	})
}

// TestSecure asks over TLS and HTTP/2, posts a body, and sees what arrived.
// TestHoldManyUnheard holds more requests than anybody waits for.
func TestHoldManyUnheard(t *testing.T) {
	t.Parallel()
	const n = 1100
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Handler(http.NotFoundHandler())
		hold := site.Hold("/")
		spider := &crawl.Spider{Name: "many", Parse: func(context.Context, *crawl.Response, *crawl.Out) error { return nil }}
		for i := range n {
			spider.StartURLs = append(spider.StartURLs, fmt.Sprintf("http://h%d.example/", i))
		}
		_, wait := crawltest.Start(t, spider, crawl.Settings{ConcurrentRequests: n, Robots: crawl.RobotsSettings{Ignore: true}}, site)
		synctest.Wait()
		require.Equal(t, n, site.MostAtOnce(""))
		hold.Release()
		require.EqualValues(t, n, wait().Stats.Int("downloader/response_count"))
	})
}

func TestSecure(t *testing.T) {
	t.Parallel()
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, "<h1>%s %s %s</h1>", r.Proto, r.Method, body)
	}))
	spider := &crawl.Spider{Name: "secure", Parse: parse, Start: func(_ context.Context, out *crawl.Out) error {
		req := crawl.Get("https://example.com/form")
		req.Method, req.Body = http.MethodPost, []byte("a=1")
		out.Request(req)
		return nil
	}}
	res := crawltest.Run(t, spider, crawl.Settings{}, site)
	require.Len(t, res.Items, 1)
	require.Equal(t, "HTTP/2.0 POST a=1", res.Items[0].(map[string]any)["title"])
	last := site.Asked()[1]
	require.Equal(t, "https://example.com/form", last.URL)
	require.Equal(t, "a=1", string(last.Body))
}

func TestCall(t *testing.T) {
	t.Parallel()
	got := crawltest.Call(t, parse, "http://example.com/a/", []byte(`<html><h1> A  page </h1><a href="b">.</a><a href="tel:1">.</a>`))
	require.NoError(t, got.Err)
	require.Equal(t, []any{map[string]any{"title": "A page", "url": "http://example.com/a/"}}, got.Items)
	require.Len(t, got.Requests, 1)
	require.Equal(t, "http://example.com/a/b", got.Requests[0].URL.String())
	require.Equal(t, []string{"tel:1"}, got.Skipped)

	got = crawltest.Call(t, func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
		out.Save("n", r.Status)
		var n int
		require.True(t, out.Load("n", &n))
		require.Equal(t, 404, n)
		r.Text("h1[")
		return nil
	}, "http://example.com/", nil, func(r *crawl.Response) { r.Status = 404 })
	require.ErrorContains(t, got.Err, "h1[")
}

// TestRefuse has a host without a server and one that does not exist; a third one is taken away before the second crawl.
func TestRefuse(t *testing.T) {
	t.Parallel()
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<h1>there</h1>") }))
	site.Refuse("down.example", nil)
	site.Refuse("no.example", &net.DNSError{Err: "no such host", Name: "no.example", IsNotFound: true})
	spider := &crawl.Spider{
		Name: "refused", StartURLs: []string{"http://down.example/", "https://no.example/", "http://up.example/"}, Parse: parse,
		Errback: func(_ context.Context, req *crawl.Request, err error, out *crawl.Out) error {
			var failed *crawl.DownloadError
			if !errors.As(err, &failed) {
				return err
			}
			out.Item(map[string]any{"url": req.URL.String(), "kind": failed.Kind})
			return nil
		},
	}
	settings := crawl.Settings{Robots: crawl.RobotsSettings{Ignore: true}, Retry: crawl.RetrySettings{Times: -1}}
	res := crawltest.Run(t, spider, settings, site)
	require.ElementsMatch(t, []any{
		map[string]any{"url": "http://down.example/", "kind": crawl.KindRefused},
		map[string]any{"url": "https://no.example/", "kind": crawl.KindDNS},
		map[string]any{"url": "http://up.example/", "title": "there"},
	}, res.Items)
	require.Equal(t, 1, site.Connections())
	site.Refuse("up.example", nil)
	require.Empty(t, crawltest.Run(t, spider, settings, site).Asked)
}

// TestMisery is the test of the package's page: a spider is tried on all pathologies. What becomes of each is in the engine's tests.
func TestMisery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Misery(nil)
		spider := &crawl.Spider{Name: "tried", Parse: parse, Start: func(_ context.Context, out *crawl.Out) error {
			for _, p := range crawltest.Pathologies() {
				out.Request(p.Request())
			}
			return nil
		}}
		settings := crawl.Settings{Depth: crawl.DepthSettings{Limit: 2}, Download: crawl.DownloadSettings{MaxSize: 1 << 20}}
		res := crawltest.Run(t, spider, settings, site)
		require.NoError(t, res.Err)
		require.Equal(t, "finished", res.Reason)
		// page-binary's title is asked for.
		require.EqualValues(t, 1, res.Stats.Int("spider_exceptions/count"))
		require.Zero(t, site.OpenConnections())
	})
}

func TestPathologiesHaveHostsOfTheirOwn(t *testing.T) {
	t.Parallel()
	hosts := make(map[string]string)
	for _, p := range crawltest.Pathologies() {
		require.NotEmpty(t, p.Does, p.Name)
		host := p.Proxy
		if host == "" {
			host = p.URL
		}
		require.NotContains(t, hosts, host, p.Name)
		hosts[host] = p.Name
		require.Contains(t, host, "://"+p.Name+".misery.test", p.Name)
		req := p.Request(func(req *crawl.Request) { req.Priority = 7 })
		require.NoError(t, req.Err())
		require.Equal(t, p.URL, req.URL.String())
		require.Equal(t, 7, req.Priority)
		require.Len(t, req.Body, p.Post)
	}
}

func ExamplePathologies() {
	for _, p := range crawltest.Pathologies()[:3] {
		fmt.Printf("%s: %s\n", p.URL, p.Does)
	}
	// Output:
	// http://refused.misery.test/: Nobody listens.
	// http://no-such-host.misery.test/: The name is not found.
	// http://unreachable.misery.test/: Connecting never ends.
}

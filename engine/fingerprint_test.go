package engine_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline"
)

// bare keys a request as if its URL had no query.
func bare(req *crawl.Request) {
	plain, u := *req, *req.URL
	u.RawQuery = ""
	plain.URL, plain.Key = &u, crawl.Fingerprint{}
	req.Key = plain.Fingerprint()
}

// keyed are settings in which queries that begin with utm do not count.
func keyed(settings crawl.Settings) crawl.Settings {
	settings.SpiderMiddlewares = []crawl.SpiderLayer{{Order: 600, Name: "tracking", Middleware: func(*crawl.Env) (crawl.SpiderHooks, error) {
		return crawl.SpiderHooks{Request: func(_ context.Context, _ *crawl.Response, req *crawl.Request) (*crawl.Request, error) {
			if strings.HasPrefix(req.URL.RawQuery, "utm") {
				bare(req)
			}
			return req, nil
		}}, nil
	}}}
	return settings
}

func TestKeyIsWhatCountsAsSeen(t *testing.T) {
	t.Parallel()
	spider := &crawl.Spider{Name: "keys", StartURLs: []string{"http://example.com/"}, Parse: titles}
	site := func() crawltest.Site {
		return crawltest.Handler(pages(map[string][]string{"/": {"/a?utm=1", "/b"}, "/a": {"/a", "/b?utm=2", "/a?utm=3"}, "/b": {"/a?utm=4", "/b?x=1"}}))
	}
	job := jobSettings(t)
	for name, settings := range map[string]crawl.Settings{"in memory": {}, "on disk": job} {
		res := crawltest.Run(t, spider, keyed(settings), site())
		require.NoError(t, res.Err, name)
		require.Equal(t, []string{"/", "/a", "/b", "/b"}, itemTitles(res), name)
		require.Contains(t, res.Asked, "http://example.com/b?x=1", name)
	}
}

// TestKeyIsKeptInAJob stops a crawl whose queue holds a request with a key, and whose seen ones have keys.
func TestKeyIsKeptInAJob(t *testing.T) {
	t.Parallel()
	settings := keyed(jobSettings(t))
	settings.ConcurrentRequests = 1
	enough := make(chan struct{})
	var n atomic.Int32
	settings.Trace.ItemScraped = func(context.Context, any) {
		if n.Add(1) == 2 {
			close(enough)
		}
	}
	gate := make(chan struct{})
	var key atomic.Value
	links := pages(map[string][]string{"/": {"/later", "/a?utm=1"}, "/a": nil, "/later": {"/a?utm=2", "/a"}})
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/later" {
			<-gate
		}
		links.ServeHTTP(w, r)
	}))
	spider := &crawl.Spider{Name: "keys", StartURLs: []string{"http://example.com/"}, Parse: func(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
		if r.URL.Path == "/a" {
			key.Store(r.Request.Key)
		}
		return titles(ctx, r, out)
	}}
	e, wait := crawltest.Start(t, spider, settings, site)
	<-enough
	e.Stop("enough for now")
	close(gate)
	first := wait()
	require.NoError(t, first.Err)
	second := crawltest.Run(t, spider, settings, site)
	require.NoError(t, second.Err)
	require.Equal(t, crawl.Get("http://example.com/a").Fingerprint(), key.Load(), "the key comes back from the queue")
	asked := slices.Concat(first.Asked, second.Asked)
	slices.Sort(asked)
	require.Equal(t, []string{"http://example.com/", "http://example.com/a?utm=1", "http://example.com/later"}, slices.Compact(asked))
}

// TestKeyOfARedirect sends a request with a key through a page that sets a cookie and back to its address without the tracking: that is not a duplicate of itself, and
// what it came through is seen under its own name.
func TestKeyOfARedirect(t *testing.T) {
	t.Parallel()
	rest := pages(map[string][]string{"/": {"/a?utm=1", "/back"}, "/back": {"/wall", "/a", "/a?utm=2"}, "/a": nil})
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := r.Cookie("seen")
		switch {
		case r.URL.Path == "/wall":
			http.SetCookie(w, &http.Cookie{Name: "seen", Value: "1"})
			http.Redirect(w, r, "/a", http.StatusFound)
		case r.URL.Path == "/a" && err != nil:
			http.Redirect(w, r, "/wall", http.StatusFound)
		default:
			rest.ServeHTTP(w, r)
		}
	}))
	spider := &crawl.Spider{Name: "wall", StartURLs: []string{"http://example.com/"}, Parse: titles}
	settings := keyed(crawl.Settings{ConcurrentRequests: 1})
	settings.Order = crawl.OrderBreadth
	res := crawltest.Run(t, spider, settings, site)
	require.NoError(t, res.Err)
	require.Equal(t, []string{"/", "/a", "/back"}, itemTitles(res))
	require.Len(t, res.Asked, 5, "%q", res.Asked)
}

// TestKeyOfFiles asks for one file by two signatures.
func TestKeyOfFiles(t *testing.T) {
	t.Parallel()
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "the page or the file") }))
	files := &pipeline.FilesPipeline{
		MediaRequests: func(_ context.Context, item any) ([]*crawl.Request, error) {
			var reqs []*crawl.Request
			for _, u := range item.(map[string]any)["file_urls"].([]string) {
				reqs = append(reqs, crawl.Get(u, bare))
			}
			return reqs, nil
		},
		FilePath: func(req *crawl.Request, _ *crawl.Response, _ any) (string, error) {
			return "by/" + url.PathEscape(req.Fingerprint().String()), nil
		},
	}
	settings := crawl.Settings{
		Robots: crawl.RobotsSettings{Ignore: true}, Files: crawl.FilesSettings{Store: t.TempDir()},
		ItemPipelines: []crawl.Stage{{Order: 1, Pipeline: files}},
	}
	spider := &crawl.Spider{Name: "files", StartURLs: []string{"http://example.com/"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
		out.Item(map[string]any{"file_urls": []string{"http://cdn.example/f?sig=1", "http://cdn.example/f?sig=2"}})
		return nil
	}}
	for _, want := range []int{2, 1} {
		res := crawltest.Run(t, spider, settings, site)
		require.NoError(t, res.Err)
		require.Len(t, res.Asked, want, "the page, and the file unless it is fresh")
		got := res.Items[0].(map[string]any)["files"].([]crawl.File)
		require.Len(t, got, 2)
		require.Equal(t, got[0].Path, got[1].Path)
		require.Equal(t, "http://cdn.example/f?sig=2", got[1].URL)
	}
}

package engine_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/scheduler/jobdir"
)

// A password in the URL of a start request opens its site: links, robots.txt's host and pictures, in a job that is stopped and goes on too; and nothing that comes out of the crawl
// has it in it.
func TestPasswordInAStartURL(t *testing.T) {
	t.Parallel()
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case r.URL.Path == "/robots.txt":
			http.NotFound(w, r)
		case r.Host == "cdn.example" && user != "":
			http.Error(w, "a password for somebody else", http.StatusTeapot)
		case r.Host == "cdn.example":
			fmt.Fprint(w, "picture")
		case user+":"+password != "me:s3cret":
			http.Error(w, "who are you?", http.StatusUnauthorized)
		case r.URL.Path == "/":
			http.Redirect(w, r, "/home", http.StatusFound)
		case r.URL.Path == "/home":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<a href="next">next</a> <a href="/wall">wall</a>`)
		case r.URL.Path == "/next":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<h1>inside</h1><img src="/own.jpg"><img src="http://cdn.example/other.jpg">`)
		default:
			fmt.Fprint(w, "file "+r.URL.Path)
		}
	}))
	var stopped atomic.Bool
	settings := crawl.Settings{
		Job:           crawl.JobSettings{Dir: filepath.Join(t.TempDir(), "job")},
		Parts:         crawl.Parts{Job: jobdir.Open},
		Files:         crawl.FilesSettings{Store: t.TempDir()},
		ItemPipelines: []crawl.Stage{{Order: 1, Pipeline: &pipeline.FilesPipeline{}}},
	}
	settings.Middlewares = around(func(ctx context.Context, req *crawl.Request, next crawl.Fetcher) (*crawl.Response, error) {
		if req.URL.Path == "/next" && !stopped.Load() {
			return nil, crawl.CloseSpider("out of time")
		}
		return next.Fetch(ctx, req)
	})
	spider := &crawl.Spider{
		Name: "inside", StartURLs: []string{"http://me:s3cret@shop.example/"},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			out.Item(map[string]any{"url": r.URL.String(), "came": r.Request.Redirects, "start": r.Request.IsStart})
			out.FollowAll("a", "page")
			return nil
		},
		Routes: map[string]crawl.Callback{"page": func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			out.Item(map[string]any{"url": r.URL.String(), "title": r.Text("h1"), "start": r.Request.IsStart, "file_urls": r.URLs("img")})
			return nil
		}},
	}
	res := crawltest.Run(t, spider, settings, site)
	require.Equal(t, "out of time", res.Reason)
	said := fmt.Sprint(res.Items, res.Asked)
	for _, e := range res.Log.All() {
		said += fmt.Sprint(e.Message, e.ContextMap())
	}
	stopped.Store(true)
	res = crawltest.Run(t, spider, settings, site)
	require.NoError(t, res.Err)
	require.Equal(t, "finished", res.Reason)
	said += fmt.Sprint(res.Items, res.Asked)
	for _, e := range res.Log.All() {
		said += fmt.Sprint(e.Message, e.ContextMap())
	}
	require.NotContains(t, said, "s3cret")
	require.Contains(t, said, "http://shop.example/home")
	require.Contains(t, said, "start:true")

	var inside map[string]any
	for _, item := range res.Items {
		if m := item.(map[string]any); m["title"] == "inside" {
			inside = m
		}
	}
	require.NotNil(t, inside, "the link was asked with the password, in another process")
	require.Equal(t, false, inside["start"])
	files := inside["files"].([]crawl.File)
	require.Len(t, files, 2)
	require.Equal(t, "http://shop.example/own.jpg", files[0].URL)
	for _, a := range site.Asked() {
		require.NotContains(t, a.Header.Get("Referer"), "s3cret")
	}
}

// Through the whole crawl: a proxy that wants other credentials is left for another one, no site sees what was for a proxy, and each hop has its own.
func TestProxiesOfACrawl(t *testing.T) {
	t.Parallel()
	// Proxies and sites are the same server here; a request that came through a proxy names its host in the request line.
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied := strings.HasPrefix(r.RequestURI, "http://")
		auth := r.Header.Get("Proxy-Authorization")
		switch {
		case proxied && auth == "Basic bGF6eTpwdw==": // lazy:pw
			w.WriteHeader(http.StatusProxyAuthRequired)
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "http://other.example/direct?"+auth, http.StatusFound)
		default:
			fmt.Fprint(w, proxied, " ", auth)
		}
	}))
	settings := crawl.Settings{
		Robots: crawl.RobotsSettings{Ignore: true}, ConcurrentRequests: 1,
		Proxy: crawl.ProxySettings{URLs: []string{"http://lazy:pw@one.proxy:3128", "http://good:pw@two.proxy:3128"}},
		Retry: crawl.RetrySettings{BackOff: -1},
	}
	var got []string
	spider := &crawl.Spider{
		Name: "proxied",
		Start: func(_ context.Context, out *crawl.Out) error {
			for i := range 6 {
				out.Request(crawl.Get(fmt.Sprintf("http://h%d.example/", i)))
			}
			out.Request(crawl.Get("http://h.example/own", func(r *crawl.Request) { r.Knobs = &crawl.Knobs{Proxy: "http://own:pw@own.proxy"} }))
			out.Request(crawl.Get("http://h.example/direct", func(r *crawl.Request) {
				r.Knobs = &crawl.Knobs{Proxy: crawl.ProxyDirect}
				r.Header = http.Header{"Proxy-Authorization": {"Basic x"}}
			}))
			return nil
		},
		Parse: func(_ context.Context, r *crawl.Response, _ *crawl.Out) error {
			text, err := r.Decoded()
			got = append(got, r.URL.Hostname()+r.URL.Path+": "+text)
			return err
		},
	}
	res := crawltest.Run(t, spider, settings, site)
	require.NoError(t, res.Err)
	slices.Sort(got)
	const good = "true Basic Z29vZDpwdw=="
	require.Equal(t, []string{
		"h.example/direct: false ", "h.example/own: true Basic b3duOnB3",
		"h0.example/: " + good, "h1.example/: " + good, "h2.example/: " + good, "h3.example/: " + good, "h4.example/: " + good, "h5.example/: " + good,
	}, got)
	require.NotZero(t, res.Stats.Int("retry/reason_count/proxy"))
	require.EqualValues(t, 1, res.Stats.Int("proxy/rest_count"))
	for _, e := range res.Log.All() {
		require.NotContains(t, fmt.Sprint(e.Message, e.ContextMap()), ":pw@")
	}
}

// A refresh goes through all layers anew, as a redirect does: the new host's robots.txt, its limits, offsite.
func TestMetaRefreshOfACrawl(t *testing.T) {
	t.Parallel()
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.Host + r.URL.Path {
		case "b.example/robots.txt":
			fmt.Fprint(w, "User-agent: *\nDisallow: /private")
		case "a.example/":
			fmt.Fprint(w, `<meta http-equiv=refresh content="5; url=http://b.example/home">`)
		case "a.example/private":
			fmt.Fprint(w, `<meta http-equiv=refresh content="0; url=http://b.example/private">`)
		case "a.example/off":
			fmt.Fprint(w, `<meta http-equiv=refresh content="0; url=http://c.example/">`)
		case "a.example/round":
			fmt.Fprint(w, `<h1>round</h1><meta http-equiv=refresh content="0; url=/about">`)
		case "a.example/about":
			fmt.Fprint(w, `<h1>about</h1><meta http-equiv=refresh content="0; url=/round">`)
		default:
			fmt.Fprintf(w, "<h1>%s %s</h1>", r.Host+r.URL.Path, r.Referer())
		}
	}))
	spider := &crawl.Spider{
		Name: "refresh", AllowedDomains: []string{"a.example", "b.example"},
		StartURLs: []string{"http://a.example/", "http://a.example/private", "http://a.example/off", "http://a.example/round"},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			out.Item(map[string]any{"title": r.Text("h1")})
			if !r.Request.IsStart {
				return fmt.Errorf("%s is no start request any more", r.URL)
			}
			return nil
		},
	}
	res := crawltest.Run(t, spider, crawl.Settings{}, site)
	require.NoError(t, res.Err)
	require.Equal(t, []string{"about", "b.example/home http://a.example/"}, itemTitles(res))
	require.NotContains(t, res.Asked, "http://b.example/private")
	require.NotContains(t, strings.Join(res.Asked, " "), "c.example")
	require.EqualValues(t, 1, res.Stats.Int("offsite/filtered"))
	require.EqualValues(t, 1, res.Stats.Int("robotstxt/forbidden"))
	require.Zero(t, res.Stats.Int("spider_exceptions/count"))
}

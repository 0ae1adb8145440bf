package browser_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
	"github.com/tulle-go/tulle/downloader/browser"
	"github.com/tulle-go/tulle/engine/crawltest"
)

// childSite is the variable that makes a program of its own of this one, which renders a page of that site and waits to be killed.
const childSite = "TULLE_BROWSER_TEST_SITE"

func TestMain(m *testing.M) {
	if addr := os.Getenv(childSite); addr != "" {
		child(addr)
	}
	goleak.VerifyTestMain(m)
}

func child(addr string) {
	set := crawl.Settings{Parts: crawl.Parts{Renderer: browser.Open}}
	set.Download.ConnectTo = map[string]string{"shop.example": addr}
	set.Browser.Args = []string{"--mark-of=" + addr}
	effective, err := set.Effective(nil)
	if err != nil {
		panic(err)
	}
	d, err := downloader.New(&crawl.Env{Settings: effective, Stats: crawl.NewStats(), Log: zap.NewNop(), Spool: new(crawl.Spool)})
	if err != nil {
		panic(err)
	}
	_, err = d.Fetch(context.Background(), get("http://shop.example/late", crawl.Render{WaitFor: "b.never"}))
	panic(err)
}

// chromium skips the test where there is none.
func chromium(t *testing.T) {
	t.Helper()
	for _, name := range []string{"chromium-headless-shell", "chromium", "google-chrome"} {
		if _, err := exec.LookPath(name); err == nil {
			return
		}
	}
	t.Skip("no browser: apt-get install chromium-headless-shell")
}

// A site is a server that all host names lead to. It notes what it is asked.
type site struct {
	*http.ServeMux
	addr string

	mu    sync.Mutex
	asked []*http.Request
}

func serve(t *testing.T) *site {
	t.Helper()
	s := &site{ServeMux: http.NewServeMux()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.Clone(context.Background()))
		s.mu.Unlock()
		s.ServeMux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.addr = server.Listener.Addr().String()
	return s
}

func (s *site) page(path, html string) {
	s.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, html)
	})
}

// seen are the paths that were asked for, sorted.
func (s *site) seen() []string {
	var paths []string
	for _, r := range s.requests() {
		paths = append(paths, r.URL.Path)
	}
	slices.Sort(paths)
	return paths
}

func (s *site) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// open opens a downloader whose connections all go to the site.
func (s *site) open(t *testing.T, change func(*crawl.Settings)) (*downloader.Downloader, *observer.ObservedLogs) {
	t.Helper()
	var set crawl.Settings
	set.Parts.Renderer = browser.Open
	set.Download.Timeout = 20 * time.Second
	set.Download.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasPrefix(addr, "nowhere.") {
			return nil, &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}
		}
		return new(net.Dialer).DialContext(ctx, network, s.addr)
	}
	if change != nil {
		change(&set)
	}
	effective, err := set.Effective(nil)
	require.NoError(t, err)
	spool := &crawl.Spool{Over: effective.Download.SpoolOver, Dir: t.TempDir()}
	core, logs := observer.New(zap.DebugLevel)
	d, err := downloader.New(&crawl.Env{Settings: effective, Stats: crawl.NewStats(), Log: zap.New(core), Spool: spool})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, d.Close())
		require.NoError(t, spool.Close())
	})
	return d, logs
}

func get(address string, render crawl.Render) *crawl.Request {
	req := crawl.Get(address)
	req.Header = http.Header{"User-Agent": {"a crawl"}}
	req.Knobs = &crawl.Knobs{Render: &render}
	return req
}

func fetch(t *testing.T, f crawl.Fetcher, req *crawl.Request) *crawl.Response {
	t.Helper()
	resp, err := f.Fetch(t.Context(), req)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, resp.Close()) })
	require.True(t, resp.Has("rendered"))
	return resp
}

func fails(t *testing.T, f crawl.Fetcher, req *crawl.Request, kind crawl.Kind, says string) {
	t.Helper()
	resp, err := f.Fetch(t.Context(), req)
	require.Nil(t, resp)
	var failed *crawl.DownloadError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, kind, failed.Kind, "%v", err)
	require.ErrorContains(t, err, says)
}

const late = `<!doctype html><title>late</title><p id="p">no</p><script>
	setTimeout(() => { document.querySelector('#p').innerHTML = '<b class="done">j\u00e4</b>' }, 150)</script>`

// TestPages renders what scripts make of pages, and looks at responses as a spider does.
func TestPages(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.page("/late", late)
	s.page("/now", `<p id="p"></p><script>document.querySelector('#p').textContent = navigator.userAgent + '|' + document.cookie</script>`)
	s.page("/frame", `<iframe src="http://other.example/in"></iframe>`)
	s.page("/in", `<p>in`)
	s.HandleFunc("/missing", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Note", "kept")
		http.Error(w, "not here", http.StatusNotFound)
	})
	s.HandleFunc("/sjis", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=shift_jis")
		_, _ = w.Write([]byte("<p>\x93\xfa\x96\x7b"))
	})
	s.HandleFunc("/json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"a":"<b>"}`)
	})
	s.HandleFunc("/svg", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/svg+xml")
		fmt.Fprint(w, `<svg xmlns="http://www.w3.org/2000/svg"><text>T</text></svg>`)
	})
	s.HandleFunc("/nothing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	s.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		body := new(strings.Builder)
		_, _ = fmt.Fprint(body, r.Method, " ", r.Header.Get("X-Own"), " ", r.Header.Get("Referer"), " ", r.Header.Get("Accept"), " ")
		b := make([]byte, 10)
		n, _ := r.Body.Read(b)
		fmt.Fprintf(w, "<p>%s%s</p><img src=/pixel><script src=/script></script>", body, b[:n])
	})
	d, logs := s.open(t, nil)

	resp := fetch(t, d, get("http://shop.example/late#top", crawl.Render{WaitFor: "b.done"}))
	require.Equal(t, "jä", resp.Text("#p b"))
	require.Equal(t, "http://shop.example/late#top", resp.URL.String())
	require.Equal(t, 200, resp.Status)
	require.Positive(t, resp.Timing.Latency)
	require.Greater(t, resp.Timing.Total, 150*time.Millisecond)
	require.Equal(t, "no", fetch(t, d, get("http://shop.example/late", crawl.Render{})).Text("#p"))
	require.Equal(t, "jä", fetch(t, d, get("http://shop.example/late", crawl.Render{Wait: 400 * time.Millisecond})).Text("#p b"))

	resp = fetch(t, d, get("http://shop.example/late", crawl.Render{Script: `
		await new Promise(done => setTimeout(done, 1))
		return {title: document.title, n: [1, 2]}`}))
	require.JSONEq(t, `{"title":"late","n":[1,2]}`, string(resp.Rendered.Result))
	require.Nil(t, fetch(t, d, get("http://shop.example/late", crawl.Render{Script: "document.title"})).Rendered.Result)
	fails(t, d, get("http://shop.example/late", crawl.Render{Script: "throw new Error('oh no')"}), crawl.KindRequest, "oh no")
	fails(t, d, get("http://shop.example/late", crawl.Render{Script: "return NaN"}), crawl.KindRequest, "JSON")
	fails(t, d, get("http://shop.example/late", crawl.Render{WaitFor: "a:["}), crawl.KindRequest, `: request: "a:[" is not a valid selector`)

	req := get("http://shop.example/now", crawl.Render{})
	req.Header["Cookie"] = []string{"a=b; c=d=e"}
	require.Equal(t, "a crawl|a=b; c=d=e", fetch(t, d, req).Text("#p"))

	resp = fetch(t, d, get("http://shop.example/missing", crawl.Render{}))
	require.Equal(t, 404, resp.Status)
	require.Equal(t, "kept", resp.Header.Get("X-Note"))
	require.Contains(t, resp.Text("body"), "not here")
	require.Equal(t, "日本", fetch(t, d, get("http://shop.example/sjis", crawl.Render{})).Text("p"))
	require.Equal(t, `{"a":"<b>"}`, fetch(t, d, get("http://shop.example/json", crawl.Render{})).Text("pre"))
	resp = fetch(t, d, get("http://shop.example/svg", crawl.Render{}))
	require.Equal(t, "image/svg+xml; charset=utf-8", resp.Header.Get("Content-Type"))
	resp = fetch(t, d, get("http://shop.example/nothing", crawl.Render{}))
	require.Equal(t, 204, resp.Status)
	require.Zero(t, resp.Body.Size())

	req = get("http://shop.example/echo", crawl.Render{})
	req.Method, req.Body = "POST", []byte("a body")
	req.Header["X-Own"], req.Header["Referer"], req.Header["Accept"] = []string{"mine"}, []string{"http://shop.example/before"}, []string{"text/html"}
	require.Equal(t, "POST mine http://shop.example/before text/html a body", fetch(t, d, req).Text("p"))
	for _, r := range s.requests() {
		if r.URL.Path == "/script" {
			require.Empty(t, r.Header.Get("X-Own"), "the request's headers are the document's alone")
			require.Equal(t, "a crawl", r.Header.Get("User-Agent"))
		}
		require.Equal(t, "", r.Header.Get("Proxy-Authorization"))
	}

	one := 1
	for _, e := range logs.FilterMessage("browser started").All() {
		require.NotEmpty(t, e.ContextMap()["version"])
		one--
	}
	require.Zero(t, one, "one browser renders all pages")
}

func TestBlock(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.page("/p", `<link rel=stylesheet href=/style><style>@font-face{font-family:f;src:url(/font)} p{font-family:f}</style><p>text</p>
		<img src=/image><script src=/script></script><iframe src=http://other.example/frame></iframe><video autoplay muted src=/media></video>
		<script>fetch('/xhr'); navigator.sendBeacon('/ping')</script>`)
	s.page("/frame", `<img src=/inner>`)
	for _, path := range []string{"/style", "/script", "/xhr", "/ping", "/font", "/image", "/media", "/inner"} {
		s.HandleFunc(path, func(http.ResponseWriter, *http.Request) {})
	}
	d, _ := s.open(t, nil)
	for _, c := range []struct {
		render crawl.Render
		absent []string
		there  []string
	}{
		{crawl.Render{}, []string{"/image", "/inner", "/font", "/media"}, []string{"/frame", "/script", "/style", "/xhr", "/ping"}},
		{crawl.Render{Block: []string{"none"}}, nil, []string{"/image", "/inner", "/font", "/media", "/frame", "/script"}},
		{crawl.Render{Screenshot: true}, nil, []string{"/image", "/inner"}},
		{
			crawl.Render{Block: []string{"image", "media", "font", "stylesheet", "script", "xhr", "frame", "ping", "other"}},
			[]string{"/image", "/inner", "/font", "/media", "/frame", "/script", "/style", "/xhr", "/ping"}, []string{"/p"},
		},
	} {
		s.mu.Lock()
		s.asked = nil
		s.mu.Unlock()
		c.render.WaitIdle = true
		fetch(t, d, get("http://shop.example/p", c.render))
		seen := s.seen()
		require.Subset(t, seen, c.there, "%v", c.render.Block)
		for _, path := range c.absent {
			require.NotContains(t, seen, path, "%v", c.render.Block)
		}
	}
	fails(t, d, get("http://shop.example/p", crawl.Render{Block: []string{"pictures"}}), crawl.KindRequest, "pictures")
}

func TestScreenshot(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.page("/high", `<body style="margin:0"><div style="height:3000px;background:#f00"></div>`)
	d, _ := s.open(t, func(set *crawl.Settings) {
		set.Browser.Width, set.Browser.Height, set.Download.SpoolOver = 640, 480, 1000
	})
	for _, full := range []bool{false, true} {
		resp := fetch(t, d, get("http://shop.example/high", crawl.Render{Screenshot: true, FullPage: full}))
		b, err := resp.Rendered.Screenshot.Bytes()
		require.NoError(t, err)
		picture, err := png.Decode(bytes.NewReader(b))
		require.NoError(t, err)
		want := 480
		if full {
			want = 3000
		}
		require.Equal(t, []int{640, want}, []int{picture.Bounds().Dx(), picture.Bounds().Dy()})
		red, green, _, _ := picture.At(320, want-1).RGBA()
		require.Equal(t, []uint32{0xffff, 0}, []uint32{red, green})
		path := resp.Rendered.Screenshot.Path()
		require.Equal(t, len(b) > 1000, path != "")
		require.NoError(t, resp.Close())
		if path != "" {
			require.NoFileExists(t, path)
		}
	}
}

// TestScroll scrolls a page that grows, until it does not any more.
func TestScroll(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.page("/list", `<div style="height:2000px"></div><script>let n = 0; addEventListener('scroll', () => {
		if (n < 3 && innerHeight + scrollY >= document.body.scrollHeight - 10) {
			n++
			setTimeout(() => { document.body.insertAdjacentHTML('beforeend', '<p style="height:2000px">' + n + '</p>') }, 20)
		}})</script>`)
	d, _ := s.open(t, nil)
	for scroll, want := range []int{0, 1, 2} {
		require.Len(t, fetch(t, d, get("http://shop.example/list", crawl.Render{Scroll: scroll})).Texts("p"), want)
	}
	require.Len(t, fetch(t, d, get("http://shop.example/list", crawl.Render{Scroll: 100})).Texts("p"), 3)
}

func TestCookies(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.HandleFunc("/p", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Set-Cookie", "session=1; Path=/; HttpOnly")
		w.Header().Add("Set-Cookie", "old=; Max-Age=0; Path=/")
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<script>document.cookie = 'js=2; max-age=1000; path=/'</script><img src=/i><img src=http://ads.example/i>`)
	})
	s.HandleFunc("/i", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "by="+strings.Split(r.Host, ".")[0]+"; Domain=shop.example; Secure; SameSite=None")
	})
	s.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "hop", Value: "3"})
		http.Redirect(w, r, "/p", http.StatusFound)
	})
	d, _ := s.open(t, nil)
	req := get("http://www.shop.example/p", crawl.Render{Block: []string{"none"}})
	req.Header["Cookie"] = []string{"old=gone; kept=yes"}
	lines := fetch(t, d, req).Header["Set-Cookie"]
	require.Contains(t, lines, "session=1; Path=/; HttpOnly")
	require.Contains(t, lines, "old=; Max-Age=0; Path=/")
	js := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "js=2; Path=/; Expires=") })
	require.GreaterOrEqual(t, js, 0, "%q", lines)
	require.Len(t, lines, 3, "%q", lines)
	for _, r := range s.requests() {
		if r.Host == "ads.example" {
			require.Empty(t, r.Header.Get("Cookie"))
		}
	}
	// What the jar has as HttpOnly is sent, and no script sees it.
	s.page("/hidden", `<p></p><script>document.querySelector('p').textContent = document.cookie</script>`)
	req = get("http://www.shop.example/hidden", crawl.Render{})
	req.Header["Cookie"] = []string{"secret=1; open=2"}
	resp, err := d.Fetch(crawl.WithCookies(t.Context(), []*http.Cookie{{Name: "secret", Value: "1", Path: "/", HttpOnly: true}}), req)
	require.NoError(t, err)
	require.Equal(t, "open=2", resp.Text("p"))
	require.NoError(t, resp.Close())
	before := s.requests()
	require.Contains(t, before[len(before)-1].Header.Get("Cookie"), "secret=1")
	// A context of its own: the next page has none of this.
	fetch(t, d, get("http://www.shop.example/p", crawl.Render{}))
	asked := s.requests()
	require.Empty(t, asked[len(asked)-1].Header.Get("Cookie"))

	resp = fetch(t, d, get("http://shop.example/to", crawl.Render{}))
	require.Equal(t, 302, resp.Status)
	require.Equal(t, "/p", resp.Header.Get("Location"))
	require.Equal(t, []string{"hop=3"}, resp.Header["Set-Cookie"])
	require.Zero(t, resp.Body.Size())
}

// TestElsewhere is about pages that do not stay where they are.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.page("/a", `<p>a</p><script>location = '/hop'</script>`)
	s.HandleFunc("/hop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/b", http.StatusFound) })
	s.page("/b", `<p>b</p>`)
	s.page("/refresh", `<meta http-equiv="refresh" content="0; url=/b">`)
	s.page("/away", `<script>location = 'http://other.example/b?x'</script>`)
	s.page("/loop", `<script>location = '/loop?' + Math.random()</script>`)
	s.page("/popup", `<p>stays</p><script>window.open('/b'); alert('hello'); document.querySelector('p').append(confirm('?'))</script>`)
	s.page("/push", `<script>history.pushState(null, '', '/pushed')</script>`)
	s.page("/click", `<a href=/b>go</a>`)
	s.page("/file", `<p>here</p><iframe src="file:///etc/passwd"></iframe><script>location = 'file:///etc/passwd'</script>`)
	s.HandleFunc("/zip", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/zip")
		fmt.Fprint(w, "PK")
	})
	s.HandleFunc("/unknown", func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		_, _ = w.Write([]byte("\x00\x01\x02\xff\xfe binary"))
	})
	s.page("/tozip", `<p>stays</p><script>location = '/zip'</script>`)
	d, _ := s.open(t, nil)
	for path, want := range map[string]string{"/a": "b", "/refresh": "b"} {
		resp := fetch(t, d, get("http://shop.example"+path, crawl.Render{WaitFor: "p"}))
		if resp.Text("p") != want { // The first page has what is waited for, too.
			resp = fetch(t, d, get("http://shop.example"+path, crawl.Render{Wait: time.Second}))
		}
		require.Equal(t, want, resp.Text("p"), path)
		require.Equal(t, "http://shop.example/b", resp.URL.String(), path)
	}
	resp := fetch(t, d, get("http://shop.example/away", crawl.Render{WaitFor: "p"}))
	require.Equal(t, 302, resp.Status)
	require.Equal(t, "http://other.example/b?x", resp.Header.Get("Location"))
	for _, r := range s.requests() {
		require.Equal(t, "shop.example", r.Host)
	}
	_, err := d.Fetch(t.Context(), get("http://shop.example/loop", crawl.Render{WaitFor: "p"}))
	var ignored *crawl.IgnoreRequestError
	require.ErrorAs(t, err, &ignored)
	require.Equal(t, "staysfalse", fetch(t, d, get("http://shop.example/popup", crawl.Render{})).Text("p"))
	require.Equal(t, "http://shop.example/pushed", fetch(t, d, get("http://shop.example/push", crawl.Render{})).URL.String())
	resp = fetch(t, d, get("http://shop.example/click", crawl.Render{Script: "document.querySelector('a').click(); await new Promise(() => {})"}))
	require.Equal(t, "b", resp.Text("p"))
	resp = fetch(t, d, get("http://shop.example/file", crawl.Render{}))
	require.Equal(t, "here", resp.Text("p"))
	fails(t, d, get("http://shop.example/zip", crawl.Render{}), crawl.KindRequest, "application/zip")
	fails(t, d, get("http://shop.example/unknown", crawl.Render{}), crawl.KindRequest, "no page")
	require.Equal(t, "stays", fetch(t, d, get("http://shop.example/tozip", crawl.Render{Wait: 300 * time.Millisecond})).Text("p"))
}

func TestFailures(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.page("/late", late)
	s.page("/large", "<p>"+strings.Repeat("x", 10_000))
	s.HandleFunc("/never", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s.HandleFunc("/cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	s.page("/hang", `<script>while (true);</script>`)
	s.page("/closes", `<script>setTimeout(() => window.close(), 50)</script>`)
	tlsSite := httptest.NewTLSServer(s)
	t.Cleanup(tlsSite.Close)
	d, _ := s.open(t, nil)

	fails(t, d, get("http://nowhere.example/", crawl.Render{}), crawl.KindDNS, "no such host")
	fails(t, d, get("https://nowhere.example/", crawl.Render{}), crawl.KindDNS, "no such host")
	fails(t, d, get("http://shop.example/cut", crawl.Render{}), crawl.KindConnection, "")
	fails(t, d, get("https://shop.example/late", crawl.Render{}), crawl.KindTLS, "ERR_SSL")
	small := get("http://shop.example/large", crawl.Render{})
	small.Knobs.MaxSize = 9_000
	fails(t, d, small, crawl.KindTooLarge, "too large")
	for path, says := range map[string]string{"/never": "document", "/late": "b.never", "/hang": "done within"} {
		req := get("http://shop.example"+path, crawl.Render{WaitFor: "b.never"})
		req.Knobs.Timeout = time.Second
		start := time.Now()
		_, err := d.Fetch(t.Context(), req)
		var failed *crawl.DownloadError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, crawl.KindTimeout, failed.Kind)
		require.ErrorContains(t, err, says)
		require.Equal(t, path != "/never", failed.Answered, "a host that has sent its page is there")
		require.Less(t, time.Since(start), 3*time.Second)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := d.Fetch(ctx, get("http://shop.example/late", crawl.Render{WaitFor: "b.never"}))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	var failed *crawl.DownloadError
	require.False(t, errors.As(err, &failed))
	head := get("http://shop.example/late", crawl.Render{})
	head.Method = "HEAD"
	fails(t, d, head, crawl.KindRequest, "HEAD")
	fails(t, d, get("file:///etc/passwd", crawl.Render{}), crawl.KindRequest, "only http and https")
	// All of this has done no harm.
	require.Equal(t, "late", fetch(t, d, get("http://shop.example/late", crawl.Render{})).Text("title"))
	// TLS: the site's certificate is nobody's.
	for insecure, kind := range map[bool]crawl.Kind{false: crawl.KindTLS, true: ""} {
		d, _ := s.open(t, func(set *crawl.Settings) {
			set.Download.InsecureTLS = insecure
			set.Download.Dial = nil
			set.Download.ConnectTo = map[string]string{"shop.example:443": tlsSite.Listener.Addr().String()}
		})
		if kind != "" {
			fails(t, d, get("https://shop.example/late", crawl.Render{}), kind, "ERR_CERT")
		} else {
			require.Equal(t, "late", fetch(t, d, get("https://shop.example/late", crawl.Render{})).Text("title"))
		}
	}
}

func TestNoBrowser(t *testing.T) {
	t.Parallel()
	s := serve(t)
	d, _ := s.open(t, func(set *crawl.Settings) { set.Browser.Path = filepath.Join(t.TempDir(), "none") })
	fails(t, d, get("http://shop.example/", crawl.Render{}), crawl.KindRequest, "browser.path")
	d, _ = s.open(t, func(set *crawl.Settings) { set.Browser.Path = "false" })
	fails(t, d, get("http://shop.example/", crawl.Render{}), crawl.KindBrowser, "start ")
	d, _ = s.open(t, func(set *crawl.Settings) { set.Parts.Renderer = nil })
	fails(t, d, get("http://shop.example/", crawl.Render{}), crawl.KindRequest, "Parts.Renderer")
}

// TestCloseInTheMiddle ends the crawl while pages are open and while the browser starts.
func TestCloseInTheMiddle(t *testing.T) {
	t.Parallel()
	chromium(t)
	for _, started := range []bool{false, true} {
		s := serve(t)
		s.page("/late", late)
		d, _ := s.open(t, nil)
		if started {
			fetch(t, d, get("http://shop.example/late", crawl.Render{}))
		}
		failed := make(chan error, 1)
		go func() {
			_, err := d.Fetch(t.Context(), get("http://shop.example/late", crawl.Render{WaitFor: "b.never"}))
			failed <- err
		}()
		if started {
			require.Eventually(t, func() bool { return len(s.requests()) > 1 }, 10*time.Second, 5*time.Millisecond)
		}
		require.NoError(t, d.Close())
		require.ErrorIs(t, <-failed, crawl.ErrStopping)
	}
}

// TestCrawl renders through a whole crawl: redirects go through the queue, robots.txt holds, cookies stay in the jar, and a host's limit holds for its pages.
func TestCrawl(t *testing.T) {
	t.Parallel()
	chromium(t)
	handler := http.NewServeMux()
	var mu sync.Mutex
	var now, most int
	handler.HandleFunc("/robots.txt", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "User-agent: *\nDisallow: /secret\n") })
	handler.HandleFunc("/p/", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(50 * time.Millisecond)
		mu.Lock()
		now--
		mu.Unlock()
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<p>%s</p><script>document.cookie = 'seen=1; path=/'</script>`, r.URL.Path)
	})
	handler.Handle("/from", http.RedirectHandler("/p/to", http.StatusFound))
	handler.Handle("/forbidden", http.RedirectHandler("/secret", http.StatusFound))
	handler.HandleFunc("/plain", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "<p>%s</p>", r.Header.Get("Cookie")) })
	s := crawltest.Handler(handler)
	var texts, from []string
	res := crawltest.Run(t, &crawl.Spider{
		Name: "s",
		Start: func(_ context.Context, out *crawl.Out) error {
			for i := range 8 {
				out.Request(get(fmt.Sprintf("https://shop.example/p/%d", i), crawl.Render{}))
			}
			out.Request(get("https://shop.example/from", crawl.Render{}))
			out.Request(get("https://shop.example/forbidden", crawl.Render{}))
			return nil
		},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			mu.Lock()
			defer mu.Unlock()
			texts = append(texts, r.Text("p"))
			if len(r.Request.Redirects) > 0 {
				from = append(slices.Clone(r.Request.Redirects), r.URL.String())
				req := crawl.Get("https://shop.example/plain")
				req.Priority = -10
				out.Request(req)
			}
			return nil
		},
	}, crawl.Settings{Parts: crawl.Parts{Renderer: browser.Open}, ConcurrentPerHost: 2}, s)
	require.Equal(t, "finished", res.Reason)
	slices.Sort(texts)
	require.Equal(t, []string{"/p/0", "/p/1", "/p/2", "/p/3", "/p/4", "/p/5", "/p/6", "/p/7", "/p/to", "seen=1"}, texts)
	require.Equal(t, []string{"https://shop.example/from", "https://shop.example/p/to"}, from)
	require.NotContains(t, res.Asked, "https://shop.example/secret")
	require.EqualValues(t, 1, res.Stats.Get("robotstxt/forbidden"))
	require.LessOrEqual(t, most, 2)
}

// BenchmarkPages renders pages of one host, four at once.
func BenchmarkPages(b *testing.B) {
	if _, err := exec.LookPath("chromium-headless-shell"); err != nil {
		b.Skip("no browser: apt-get install chromium-headless-shell")
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<p></p><script>document.querySelector('p').textContent = 'done'</script>`)
	}))
	b.Cleanup(server.Close)
	set, err := crawl.Settings{
		Parts:    crawl.Parts{Renderer: browser.Open},
		Download: crawl.DownloadSettings{ConnectTo: map[string]string{"shop.example": server.Listener.Addr().String()}},
	}.Effective(nil)
	require.NoError(b, err)
	d, err := downloader.New(&crawl.Env{Settings: set, Stats: crawl.NewStats(), Log: zap.NewNop(), Spool: new(crawl.Spool)})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, d.Close()) })
	one := func() {
		resp, err := d.Fetch(b.Context(), get("http://shop.example/", crawl.Render{}))
		if err != nil || resp.Text("p") != "done" {
			b.Error(err)
			return
		}
		_ = resp.Close()
	}
	one() // starts the browser
	b.ResetTimer()
	var wg sync.WaitGroup
	turns := make(chan struct{}, 4)
	for range b.N {
		turns <- struct{}{}
		wg.Go(func() {
			one()
			<-turns
		})
	}
	wg.Wait()
}

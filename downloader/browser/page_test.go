package browser_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// TestConsoleFlood has a page that writes more to its console than the DevTools client has room for.
func TestConsoleFlood(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.page("/flood", `<p>one</p><script>for (let i = 0; i < 20000; i++) console.log('row ' + i, {i})</script>`)
	s.page("/changes", `<p>one</p><script>for (let i = 0; i < 6000; i++) {
		const b = document.createElement('b')
		document.body.append(b)
		b.title = i
		b.remove()
	}</script>`)
	d, _ := s.open(t, nil)
	require.Equal(t, "one", fetch(t, d, get("http://shop.example/flood", crawl.Render{})).Text("p"))
	require.Equal(t, "one", fetch(t, d, get("http://shop.example/changes", crawl.Render{})).Text("p"))
}

// TestGoesNowhere is about pages that send themselves to where no page is.
func TestGoesNowhere(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	for path, to := range map[string]string{
		"/refused": "https://shop.example:9443/", "/plain": "http://shop.example:9443/", "/port": "https://shop.example:1/", "/broken": "/breaks", "/hops": "/hop", "/blank": "about:blank",
	} {
		s.page(path, `<p>one</p><script>location = '`+to+`'</script>`)
	}
	s.HandleFunc("/breaks", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	s.HandleFunc("/hop", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://shop.example:9443/", http.StatusFound)
	})
	s.page("/blob", `<script>location = URL.createObjectURL(new Blob(['<p>made'], {type: 'text/html'}))</script>`)
	d, _ := s.open(t, func(set *crawl.Settings) {
		set.Download.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasSuffix(addr, ":9443") {
				return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
			}
			return new(net.Dialer).DialContext(ctx, network, s.addr)
		}
	})
	page := crawl.Render{Wait: 500 * time.Millisecond}
	fails(t, d, get("http://shop.example/refused", page), crawl.KindRefused, "refused")
	fails(t, d, get("http://shop.example/plain", page), crawl.KindRefused, "refused")
	fails(t, d, get("http://shop.example/hops", page), crawl.KindRefused, "refused")
	fails(t, d, get("http://shop.example/port", page), crawl.KindRequest, "UNSAFE_PORT")
	fails(t, d, get("http://shop.example/broken", page), crawl.KindConnection, "")
	fails(t, d, get("http://shop.example/blank", page), crawl.KindRequest, "about:blank")
	resp := fetch(t, d, get("http://shop.example/blob", page))
	require.Equal(t, "made", resp.Text("p"))
	require.Equal(t, "http://shop.example/blob", resp.URL.String(), "the address of the page that has made it")
}

// TestCutShort has documents that end early.
func TestCutShort(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	cut := func(path, announced, begins string) {
		s.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			if announced != "" {
				w.Header().Set("Content-Length", announced)
			}
			_, _ = io.WriteString(w, begins)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
	}
	begins := "<p>begins</p>" + strings.Repeat("x", 3000)
	cut("/length", "100000", begins)
	cut("/chunks", "", begins)
	s.HandleFunc("/feed", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/rss+xml")
		_, _ = io.WriteString(w, "<?xml version=\"1.0\"?><!-- <a/> --><rss><channel><title>begins</title>")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	s.page("/to", `<p>one</p><script>location = '/chunks'</script>`)
	s.HandleFunc("/leaves", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<p>one</p><script>setTimeout(() => { location = '/stays' }, 50)</script>`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	s.HandleFunc("/garbage", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, begins)
	})
	s.page("/stays", `<p>two`)
	d, _ := s.open(t, nil)
	for _, path := range []string{"/length", "/chunks", "/feed"} {
		fails(t, d, get("http://shop.example"+path, crawl.Render{}), crawl.KindTruncated, "")
	}
	fails(t, d, get("http://shop.example/to", crawl.Render{Wait: 500 * time.Millisecond}), crawl.KindTruncated, "")
	fails(t, d, get("http://shop.example/garbage", crawl.Render{}), crawl.KindEncoding, "")
	req := get("http://shop.example/chunks", crawl.Render{})
	req.Knobs.AllowTruncated = true
	resp := fetch(t, d, req)
	require.Equal(t, "begins", resp.Text("p"))
	require.True(t, resp.Has("truncated"))
	req = get("http://shop.example/feed", crawl.Render{})
	req.Knobs.AllowTruncated = true
	require.True(t, fetch(t, d, req).Has("truncated"))
	// A page that is left is not cut short.
	require.Equal(t, "two", fetch(t, d, get("http://shop.example/leaves", crawl.Render{Wait: 500 * time.Millisecond})).Text("p"))
}

// TestHeadersThatAreNotSent have no say in a browser: those of the connection are left out, and what no browser sends fails at once.
func TestHeadersThatAreNotSent(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.page("/p", "<p>here")
	d, _ := s.open(t, nil)
	for _, name := range []string{"Te", "Keep-Alive", "Proxy-Connection", "Upgrade", "Trailer", "Proxy-Authorization"} {
		req := get("http://shop.example/p", crawl.Render{})
		req.Header[name] = []string{"x"}
		require.Equal(t, "here", fetch(t, d, req).Text("p"), name)
	}
	asked := s.requests()
	require.Len(t, asked, 6)
	req := get("http://shop.example/p", crawl.Render{})
	req.Header["X-\u00dc"] = []string{"x"}
	fails(t, d, req, crawl.KindRequest, "header")
	require.Len(t, s.requests(), 6)
}

// TestPopUps has a page that opens windows in each way: none of them asks the site for anything.
func TestPopUps(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.page("/pops", `<p>one</p><a href="/popped?a" target=_blank>x</a><script>
		window.open('/popped?b')
		for (let i = 0; i < 10; i++) window.open('/popped?' + i, '_blank', 'noopener')
		document.querySelector('a').click()</script>`)
	s.page("/popped", "<p>two")
	d, _ := s.open(t, nil)
	resp := fetch(t, d, get("http://shop.example/pops", crawl.Render{Wait: time.Second, Script: "window.open('/popped?c', '_blank', 'noopener'); document.querySelector('a').click()"}))
	require.Equal(t, "one", resp.Text("p"))
	require.Equal(t, []string{"/pops"}, s.seen())
}

// TestTooLarge has documents, and what pages ask for, that come without an end.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	row := bytes.Repeat([]byte("<p>row</p>\n"), 1000)
	s.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		for r.Context().Err() == nil {
			if _, err := w.Write(row); err != nil {
				return
			}
		}
	})
	s.page("/asks", `<p>one</p><script>fetch('/endless').then(r => r.text())</script>`)
	s.page("/more", `<p>one</p><script>fetch('/row').then(r => r.text())</script>`)
	s.HandleFunc("/row", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat(row, 50)) })
	d, _ := s.open(t, func(set *crawl.Settings) { set.Download.MaxSize = 100_000 })
	fails(t, d, get("http://shop.example/endless", crawl.Render{}), crawl.KindTooLarge, "or more, 100000 are allowed")
	fails(t, d, get("http://shop.example/asks", crawl.Render{WaitIdle: true}), crawl.KindTooLarge, "all that the page has asked for")
	require.Equal(t, "one", fetch(t, d, get("http://shop.example/more", crawl.Render{WaitIdle: true})).Text("p"))
}

// TestXML renders documents that browsers show in a viewer of their own.
func TestXML(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	const feed = `<?xml version="1.0" encoding="utf-8"?><!-- news --><rss><channel><title>Tülle</title></channel></rss>`
	for path, mime := range map[string]string{"/rss": "application/rss+xml", "/xml": "text/xml", "/latin": "text/xml; charset=iso-8859-1"} {
		s.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", mime)
			if path == "/latin" {
				_, _ = w.Write([]byte("<?xml version=\"1.0\" encoding=\"iso-8859-1\"?><rss><channel><title>T\xfclle</title></channel></rss>"))
				return
			}
			_, _ = io.WriteString(w, feed)
		})
	}
	s.HandleFunc("/xhtml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xhtml+xml")
		_, _ = io.WriteString(w, `<html xmlns="http://www.w3.org/1999/xhtml"><body><p>x</p><script>document.querySelector('p').textContent = 'made'</script></body></html>`)
	})
	d, _ := s.open(t, nil)
	for _, path := range []string{"/rss", "/xml", "/latin"} {
		resp := fetch(t, d, get("http://shop.example"+path, crawl.Render{}))
		require.Equal(t, "Tülle", resp.XPathText("/rss/channel/title"), path)
		b, err := resp.Bytes()
		require.NoError(t, err)
		require.NotContains(t, string(b), "webkit")
		if path != "/latin" {
			require.Equal(t, feed, string(b))
		}
	}
	require.Equal(t, "made", fetch(t, d, get("http://shop.example/xhtml", crawl.Render{})).Text("p"))
}

// TestSharedWorker blocks what a worker asks for as what the page asks for.
func TestSharedWorker(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.page("/p", `<p></p><script>
		try {
			const w = new SharedWorker('/s.js')
			w.port.onmessage = e => { document.querySelector('p').textContent = e.data }
		} catch (e) { document.querySelector('p').textContent = e.name }</script>`)
	s.HandleFunc("/s.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprint(w, "onconnect = async e => { await fetch('/data').catch(() => 0); e.ports[0].postMessage('done') }")
	})
	s.HandleFunc("/data", func(http.ResponseWriter, *http.Request) {})
	d, _ := s.open(t, nil)
	require.Equal(t, "done", fetch(t, d, get("http://shop.example/p", crawl.Render{WaitFor: "p:not(:empty)"})).Text("p"))
	require.Contains(t, s.seen(), "/data")
	s.mu.Lock()
	s.asked = nil
	s.mu.Unlock()
	fetch(t, d, get("http://shop.example/p", crawl.Render{WaitFor: "p:not(:empty)", Block: []string{"xhr"}}))
	require.NotContains(t, s.seen(), "/data")
}

// TestLeavesWithCookies has a login page that sets cookies, by its response and by a script, and goes to another host of its site.
func TestLeavesWithCookies(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.HandleFunc("/login", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Add("Set-Cookie", "by=response; HttpOnly")
		fmt.Fprint(w, `<img src="http://ads.example/i"><script>document.cookie = 'pass=1; domain=shop.example; path=/'; location = 'http://www.shop.example/'</script>`)
	})
	d, _ := s.open(t, nil)
	resp := fetch(t, d, get("http://login.shop.example/login", crawl.Render{}))
	require.Equal(t, http.StatusFound, resp.Status)
	require.Equal(t, "http://www.shop.example/", resp.Header.Get("Location"))
	require.Equal(t, []string{"by=response; HttpOnly", "pass=1; Path=/; Domain=shop.example"}, resp.Header["Set-Cookie"])
}

// TestCookiesThatChange has pages that change and delete what they were sent with.
func TestCookiesThatChange(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.page("/out", `<script>document.cookie = 'a=; max-age=0; path=/'</script>`)
	s.page("/shared", `<p></p><script>
		document.cookie = 'sid=2; domain=shop.example; path=/'
		document.cookie = 'deep=; domain=shop.example; path=/shared; max-age=0'
		document.querySelector('p').textContent = document.cookie</script>`)
	d, _ := s.open(t, nil)
	req := get("http://www.shop.example/out", crawl.Render{})
	req.Header["Cookie"] = []string{"a=1; b=2"}
	require.Equal(t, []string{"a=; Path=/; Max-Age=0"}, fetch(t, d, req).Header["Set-Cookie"])
	req = get("http://www.shop.example/shared", crawl.Render{})
	req.Header["Cookie"] = []string{"deep=4; sid=1; own=3"}
	resp, err := d.Fetch(crawl.WithCookies(t.Context(), []*http.Cookie{
		{Name: "deep", Value: "4", Domain: "shop.example", Path: "/shared"},
		{Name: "sid", Value: "1", Domain: "shop.example", Path: "/"}, {Name: "own", Value: "3", Path: "/", Expires: time.Now().Add(time.Hour)},
	}), req)
	require.NoError(t, err)
	require.Equal(t, "own=3; sid=2", resp.Text("p"))
	require.Equal(t, []string{"sid=2; Path=/; Domain=shop.example", "deep=; Path=/shared; Domain=shop.example; Max-Age=0"}, resp.Header["Set-Cookie"])
	require.NoError(t, resp.Close())
}

// TestFailsToStartOnce has a machine that is short of something for a moment: the request is to be tried again.
func TestFailsToStartOnce(t *testing.T) {
	t.Parallel()
	chromium(t)
	if runtime.GOOS == "windows" {
		t.Skip("no shell script is a program there")
	}
	var installed string
	for _, name := range []string{"chromium-headless-shell", "chromium", "google-chrome"} {
		if file, err := exec.LookPath(name); err == nil && installed == "" {
			installed = file
		}
	}
	folder := t.TempDir()
	program := filepath.Join(folder, "browser")
	script := fmt.Sprintf("#!/bin/sh\n[ -e %[1]s/once ] || { touch %[1]s/once; echo no memory >&2; exit 1; }\nexec %s \"$@\"\n", folder, installed)
	require.NoError(t, os.WriteFile(program, []byte(script), 0o700))
	s := serve(t)
	s.page("/p", "<p>here")
	d, _ := s.open(t, func(set *crawl.Settings) { set.Browser.Path = program })
	fails(t, d, get("http://shop.example/p", crawl.Render{}), crawl.KindBrowser, "start "+program)
	require.Equal(t, "here", fetch(t, d, get("http://shop.example/p", crawl.Render{})).Text("p"))
}

package downloader_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const ok = "HTTP/1.1 200 OK\r\n"

// reset makes the kernel send a RST in place of a FIN.
func reset(c net.Conn) bool {
	_ = c.(*net.TCPConn).SetLinger(0)
	return false
}

func TestBadServers(t *testing.T) {
	t.Parallel()
	small := func(s *crawl.Settings) { s.Download.MaxSize = 1000 }
	soon := func(s *crawl.Settings) { s.Download.Timeout = 50 * time.Millisecond }
	for name, test := range map[string]struct {
		settings func(*crawl.Settings)
		speak    func(net.Conn, *http.Request) bool
		kind     crawl.Kind
		says     string // part of the error's text
	}{
		"body cut":        {speak: says(ok + "Content-Length: 100\r\n\r\nhalf"), kind: crawl.KindTruncated},
		"large body cut":  {speak: says(ok + "Content-Length: 3000000\r\n\r\n" + strings.Repeat("x", 2_000_000)), kind: crawl.KindTruncated},
		"chunk cut":       {speak: says(ok + "Transfer-Encoding: chunked\r\n\r\n10\r\nhalf"), kind: crawl.KindTruncated},
		"no last chunk":   {speak: says(ok + "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"), kind: crawl.KindTruncated},
		"malformed chunk": {speak: says(ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\nhalf\r\n"), kind: crawl.KindTruncated},
		"reset in the body": {speak: func(c net.Conn, r *http.Request) bool {
			says(ok+"Content-Length: 100\r\n\r\nhalf")(c, r)
			return reset(c)
		}, kind: crawl.KindTruncated},
		"reset":              {speak: func(c net.Conn, _ *http.Request) bool { return reset(c) }, kind: crawl.KindConnection},
		"hangs up":           {speak: says(""), kind: crawl.KindConnection},
		"no status":          {speak: says("HTTP/1.1 fine\r\n\r\n"), kind: crawl.KindConnection},
		"not HTTP":           {speak: says("220 mail.example.com ESMTP\r\n"), kind: crawl.KindConnection},
		"HTTP/0.9":           {speak: says("<html>hello</html>"), kind: crawl.KindConnection},
		"headers cut":        {speak: says(ok + "Content-Type: te"), kind: crawl.KindConnection},
		"two lengths":        {speak: says(ok + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nhello"), kind: crawl.KindConnection},
		"negative length":    {speak: says(ok + "Content-Length: -4\r\n\r\nhello"), kind: crawl.KindConnection},
		"header, no colon":   {speak: says(ok + "X-Header value\r\nContent-Length: 4\r\n\r\ngood"), kind: crawl.KindConnection},
		"2 MB of headers":    {speak: says(ok + strings.Repeat("X-Header: "+strings.Repeat("v", 1000)+"\r\n", 2000) + "\r\n"), kind: crawl.KindConnection, says: "exceeded"},
		"one header of 2 MB": {speak: says(ok + "X-Header: " + strings.Repeat("v", 2_000_000) + "\r\n\r\n"), kind: crawl.KindConnection, says: "exceeded"},
		"part, not asked":    {speak: says("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/100\r\nContent-Length: 4\r\n\r\npart"), kind: crawl.KindConnection, says: "206 Partial Content was not asked for"},
		"upgrade, not asked": {speak: keeps("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), kind: crawl.KindConnection, says: "was not asked for"},
		"endless 103": {speak: func(c net.Conn, _ *http.Request) bool {
			for {
				if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"); err != nil {
					return false
				}
			}
		}, kind: crawl.KindConnection, says: "exceeded"},
		"no answer": {settings: soon, speak: keeps(""), kind: crawl.KindTimeout, says: "not done within 50ms"},
		"no end":    {settings: soon, speak: keeps(ok + "Content-Length: 100\r\n\r\nhalf"), kind: crawl.KindTimeout},
		"drip": {settings: soon, speak: func(c net.Conn, _ *http.Request) bool {
			_, err := io.WriteString(c, ok+"Content-Length: 1000000\r\n\r\n")
			for ; err == nil; time.Sleep(time.Millisecond) {
				_, err = c.Write([]byte("x"))
			}
			return false
		}, kind: crawl.KindTimeout},
		// It waits for nothing but the headers: the body never comes.
		"announced too large":         {settings: small, speak: keeps(ok + "Content-Length: 1001\r\n\r\n"), kind: crawl.KindTooLarge, says: "1000 are allowed"},
		"announced beyond all bounds": {speak: keeps(ok + "Content-Length: 9000000000000000000\r\n\r\n"), kind: crawl.KindTooLarge},
		"too large so far":            {settings: small, speak: keeps(ok + "Transfer-Encoding: chunked\r\n\r\nfff\r\n" + strings.Repeat("x", 4000)), kind: crawl.KindTooLarge},
		"endless body": {settings: small, speak: func(c net.Conn, _ *http.Request) bool {
			_, err := io.WriteString(c, ok+"Transfer-Encoding: chunked\r\n\r\n")
			for err == nil {
				_, err = io.WriteString(c, "4\r\nmore\r\n")
			}
			return false
		}, kind: crawl.KindTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDownloader(t, test.settings)
			s := newSite(t, test.speak)
			for range 2 {
				_, err := fetch(t, d, crawl.Get(s.url+"/bad"))
				de := requireKind(t, test.kind, err)
				require.Equal(t, s.url+"/bad", de.URL)
				require.ErrorContains(t, err, test.says)
				if test.kind == crawl.KindTooLarge {
					require.ErrorIs(t, err, crawl.ErrBodyTooLarge)
				}
				requireGood(t, d, s.url)
			}
		})
	}
}

func TestResponses(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("large ", 500_000)
	ranged := http.Header{"range": {"bytes=0-3"}}
	for name, test := range map[string]struct {
		req    crawl.Request
		speak  func(net.Conn, *http.Request) bool
		status int
		body   string
	}{
		"length":            {speak: keeps(ok + "Content-Length: 5\r\n\r\nhello"), status: 200, body: "hello"},
		"the same twice":    {speak: keeps(ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"), status: 200, body: "hello"},
		"chunks":            {speak: keeps(ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nX-Trailer: t\r\n\r\n"), status: 200, body: "hello"},
		"chunks and length": {speak: says(ok + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), status: 200, body: "hello"},
		"until it closes":   {speak: says("HTTP/1.0 200 OK\r\n\r\nhello"), status: 200, body: "hello"},
		"large":             {speak: keeps(ok + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(large)) + large), status: 200, body: large},
		"empty":             {speak: keeps(ok + "Content-Length: 0\r\n\r\n"), status: 200},
		"404":               {speak: keeps("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"), status: 404, body: "no"},
		"redirect":          {speak: keeps("HTTP/1.1 302 Found\r\nLocation: /good\r\nContent-Length: 0\r\n\r\n"), status: 302},
		"HEAD":              {req: crawl.Request{Method: http.MethodHead}, speak: keeps(ok + "Content-Length: 2000000000\r\n\r\n"), status: 200},
		"204":               {speak: keeps("HTTP/1.1 204 No Content\r\n\r\n"), status: 204},
		"304":               {speak: keeps("HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n"), status: 304},
		"206":               {req: crawl.Request{Header: ranged}, speak: keeps("HTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n\r\npart"), status: 206, body: "part"},
		"200 early hints":   {speak: keeps(strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", 200) + ok + "Content-Length: 5\r\n\r\nhello"), status: 200, body: "hello"},
		"100 KB of headers": {speak: keeps(ok + strings.Repeat("X-Header: "+strings.Repeat("v", 1000)+"\r\n", 100) + "Content-Length: 5\r\n\r\nhello"), status: 200, body: "hello"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDownloader(t, nil)
			s := newSite(t, test.speak)
			req := test.req
			req.URL = mustParse(t, s.url+"/page?id=1#part")
			resp, err := fetch(t, d, &req)
			require.NoError(t, err)
			require.Equal(t, test.status, resp.Status)
			require.Equal(t, test.body, text(t, resp))
			require.Same(t, &req, resp.Request)
			require.Equal(t, req.URL, resp.URL)
			require.Empty(t, resp.Flags)
			requireGood(t, d, s.url)
		})
	}
}

func TestResponseFields(t *testing.T) {
	t.Parallel()
	d := newDownloader(t, nil)
	s := newSite(t, keeps(ok+"content-type: text/plain\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"))
	before := time.Now()
	resp, err := fetch(t, d, crawl.Get(s.url+"/"))
	require.NoError(t, err)
	require.Equal(t, http.Header{
		"Content-Type": {"text/plain"}, "Set-Cookie": {"a=1", "b=2"}, "Content-Encoding": {"gzip"}, "Content-Length": {"5"},
	}, resp.Header)
	require.Equal(t, "hello", text(t, resp), "what is compressed stays so")
	require.Equal(t, "HTTP/1.1", resp.Proto)
	require.WithinRange(t, resp.Timing.Start, before, time.Now())
	require.Positive(t, resp.Timing.Latency)
	require.GreaterOrEqual(t, resp.Timing.Total, resp.Timing.Latency)
}

func TestLargeBodiesAreSpooled(t *testing.T) {
	t.Parallel()
	d := newDownloader(t, func(s *crawl.Settings) { s.Download.SpoolOver = 1000 })
	for _, head := range []string{"Content-Length: 3000\r\n\r\n", "Connection: close\r\n\r\n"} {
		s := newSite(t, says(ok+head+strings.Repeat("x", 3000)))
		resp, err := fetch(t, d, crawl.Get(s.url+"/"))
		require.NoError(t, err)
		require.FileExists(t, resp.Body.Path())
		require.Equal(t, strings.Repeat("x", 3000), text(t, resp))
		require.NoError(t, resp.Close())
		require.NoFileExists(t, resp.Body.Path())
	}
}

func TestAllowTruncated(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 2_000_000)
	for name, test := range map[string]struct {
		speak func(net.Conn, *http.Request) bool
		body  string
		cut   bool
		kind  crawl.Kind
	}{
		"whole":         {speak: says(ok + "Content-Length: 4\r\n\r\ngood"), body: "good"},
		"length":        {speak: says(ok + "Content-Length: 100\r\n\r\nhalf"), body: "half", cut: true},
		"large":         {speak: says(ok + "Content-Length: 3000000\r\n\r\n" + large), body: large, cut: true},
		"chunks":        {speak: says(ok + "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"), body: "half", cut: true},
		"nothing of it": {speak: says(ok + "Content-Length: 100\r\n\r\n"), cut: true},
		"time is over":  {speak: keeps(ok + "Content-Length: 100\r\n\r\nhalf"), kind: crawl.KindTimeout},
		"too large":     {speak: keeps(ok + "Content-Length: 100\r\n\r\n"), kind: crawl.KindTooLarge},
		"growing":       {speak: keeps(ok + "Transfer-Encoding: chunked\r\n\r\n3c\r\n" + strings.Repeat("x", 60)), kind: crawl.KindTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDownloader(t, func(s *crawl.Settings) {
				s.Download.AllowTruncated = true
				switch test.kind {
				case crawl.KindTimeout:
					s.Download.Timeout = 50 * time.Millisecond
				case crawl.KindTooLarge:
					s.Download.MaxSize = 50
				}
			})
			s := newSite(t, test.speak)
			resp, err := fetch(t, d, crawl.Get(s.url+"/"))
			if test.kind != "" {
				requireKind(t, test.kind, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.body, text(t, resp))
			require.Equal(t, test.cut, resp.Has("truncated"))
			requireGood(t, d, s.url)

			// By the request alone.
			d = newDownloader(t, nil)
			resp, err = fetch(t, d, &crawl.Request{URL: mustParse(t, s.url+"/"), Knobs: &crawl.Knobs{AllowTruncated: true}})
			require.NoError(t, err)
			require.Equal(t, test.body, text(t, resp))
			require.Equal(t, test.cut, resp.Has("truncated"))
		})
	}
}

func TestMaxSizeOfARequest(t *testing.T) {
	t.Parallel()
	d := newDownloader(t, func(s *crawl.Settings) { s.Download.MaxSize = 10 })
	s := newSite(t, keeps(ok+"Content-Length: 20\r\n\r\n"+strings.Repeat("x", 20)))
	for most, fits := range map[int64]bool{0: false, 19: false, 20: true, -1: true} {
		_, err := fetch(t, d, &crawl.Request{URL: mustParse(t, s.url), Knobs: &crawl.Knobs{MaxSize: most}})
		if fits {
			require.NoError(t, err, most)
		} else {
			requireKind(t, crawl.KindTooLarge, err)
		}
	}
}

func TestWarnSize(t *testing.T) {
	t.Parallel()
	logged, logs := observer.New(zap.WarnLevel)
	env := newEnv(t, func(s *crawl.Settings) { s.Download.WarnSize = 10 })
	env.Log = zap.New(logged)
	d, err := downloader.New(env)
	require.NoError(t, err)
	defer d.Close()
	s := newSite(t, func(c net.Conn, r *http.Request) bool {
		return keeps(ok+"Content-Length: "+r.URL.Query().Get("n")+"\r\n\r\n"+strings.Repeat("x", 11))(c, r)
	})
	resp, err := fetch(t, d, crawl.Get(s.url+"/?n=11"))
	require.NoError(t, err)
	require.EqualValues(t, 11, resp.Body.Size())
	require.Equal(t, []map[string]any{{"url": s.url + "/?n=11", "bytes": int64(11), "warn_size": int64(10)}}, fields(logs))

	requireGood(t, d, s.url)
	require.Len(t, fields(logs), 1, "a small body is not warned of")

	for size, warned := range map[int64]bool{-1: false, 11: false, 9: true} {
		before := len(fields(logs))
		_, err := fetch(t, d, &crawl.Request{URL: mustParse(t, s.url+"/?n=11"), Knobs: &crawl.Knobs{WarnSize: size}})
		require.NoError(t, err)
		require.Equal(t, warned, len(fields(logs)) > before, size)
	}
}

func fields(logs *observer.ObservedLogs) []map[string]any {
	var all []map[string]any
	for _, e := range logs.All() {
		all = append(all, e.ContextMap())
	}
	return all
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 2_000_000)
	answers := map[string]string{
		"/length": ok + "Content-Length: 5\r\n\r\nhello",
		"/chunks": ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"/large":  ok + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(large)) + large,
		"/empty":  ok + "Content-Length: 0\r\n\r\n",
		"/204":    "HTTP/1.1 204 No Content\r\n\r\n",
		"/304":    "HTTP/1.1 304 Not Modified\r\n\r\n",
		"/404":    "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
	}
	d := newDownloader(t, nil)
	s := newSite(t, func(c net.Conn, r *http.Request) bool { return keeps(answers[r.URL.Path])(c, r) })
	for range 3 {
		for path := range answers {
			_, err := fetch(t, d, crawl.Get(s.url+path))
			require.NoError(t, err)
		}
	}
	require.EqualValues(t, 1, s.dials.Load())
}

// sent returns what goes over the wire for a request.
func sent(t *testing.T, req *crawl.Request) string {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	d := newDownloader(t, func(s *crawl.Settings) { s.Download.Dial = pipe(near) })
	got := make(chan string, 1)
	go func() {
		b := make([]byte, 64<<10)
		var all strings.Builder
		for !strings.HasSuffix(all.String(), "\r\n\r\n") && !strings.HasSuffix(all.String(), "END") {
			n, err := far.Read(b)
			if err != nil {
				break
			}
			all.Write(b[:n])
		}
		_, _ = io.WriteString(far, ok+"Content-Length: 4\r\n\r\ngood")
		got <- all.String()
	}()
	_, err := fetch(t, d, req)
	require.NoError(t, err)
	return <-got
}

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		req  crawl.Request
		want string
	}{
		"nothing of Go's own": {
			want: "GET /path%20x?q=1 HTTP/1.1\r\nHost: example.com:8080\r\n\r\n",
		},
		"headers": {
			req:  crawl.Request{Header: http.Header{"Accept": {"*/*"}, "User-Agent": {"tulle"}}},
			want: "GET /path%20x?q=1 HTTP/1.1\r\nHost: example.com:8080\r\nUser-Agent: tulle\r\nAccept: */*\r\n\r\n",
		},
		"headers, no agent": {
			req:  crawl.Request{Header: http.Header{"Accept": {"*/*"}}},
			want: "GET /path%20x?q=1 HTTP/1.1\r\nHost: example.com:8080\r\nAccept: */*\r\n\r\n",
		},
		"empty agent": {
			req:  crawl.Request{Header: http.Header{"User-Agent": {""}}},
			want: "GET /path%20x?q=1 HTTP/1.1\r\nHost: example.com:8080\r\n\r\n",
		},
		"host": {
			req:  crawl.Request{Header: http.Header{"Host": {"other.example"}}},
			want: "GET /path%20x?q=1 HTTP/1.1\r\nHost: other.example\r\n\r\n",
		},
		"body": {
			req:  crawl.Request{Method: http.MethodPost, Body: []byte("a=1&END")},
			want: "POST /path%20x?q=1 HTTP/1.1\r\nHost: example.com:8080\r\nContent-Length: 7\r\n\r\na=1&END",
		},
		"method without a body": {
			req:  crawl.Request{Method: http.MethodPost},
			want: "POST /path%20x?q=1 HTTP/1.1\r\nHost: example.com:8080\r\nContent-Length: 0\r\n\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := test.req
			req.URL = mustParse(t, "http://user:secret@example.com:8080/path x?q=1#fragment")
			before := req.Clone()
			require.Equal(t, test.want, sent(t, &req))
			require.Equal(t, before, &req, "the request is not changed")
		})
	}
}

func TestUnsendable(t *testing.T) {
	t.Parallel()
	d := newDownloader(t, func(s *crawl.Settings) { s.Download.ConnectTo = map[string]string{"example.com": "127.0.0.1:1"} })
	for name, req := range map[string]*crawl.Request{
		"no host":         {URL: mustParse(t, "http:///path")},
		"a port, no host": {URL: mustParse(t, "http://:80/path")},
		"host":            crawl.Get("http://example.com/", func(r *crawl.Request) { r.URL.Host = "example.com\r\nX: y" }),
		"host with space": crawl.Get("http://example.com/", func(r *crawl.Request) { r.URL.Host = "exam ple.com" }),
		"port":            {URL: mustParse(t, "http://example.com:70000/")},
		"query":           crawl.Get("http://example.com/", func(r *crawl.Request) { r.URL.RawQuery = "a=1 HTTP/1.1\r\nX: y" }),
		"opaque":          crawl.Get("http://example.com/", func(r *crawl.Request) { r.URL.Opaque = "/\r\nX: y" }),
		"header value":    crawl.Get("http://example.com/", func(r *crawl.Request) { r.Header = http.Header{"X": {"a\r\nY: b"}} }),
		"header name":     crawl.Get("http://example.com/", func(r *crawl.Request) { r.Header = http.Header{"X: y\r\nY": {"b"}} }),
		"Host header":     crawl.Get("http://example.com/", func(r *crawl.Request) { r.Header = http.Header{"Host": {"a\r\nY: b"}} }),
		"method":          crawl.Get("http://example.com/", func(r *crawl.Request) { r.Method = "GET / HTTP/1.1\r\nX: y" }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := fetch(t, d, req)
			requireKind(t, crawl.KindRequest, err)
		})
	}
}

func TestPasswordIsNotShown(t *testing.T) {
	t.Parallel()
	d := newDownloader(t, nil)
	_, err := fetch(t, d, crawl.Get("http://user:secret@127.0.0.1:1/"))
	requireKind(t, crawl.KindRefused, err)
	require.NotContains(t, err.Error(), "secret")
}

// TestIdleConnections has as many as the crawl may need again, of what the system allows.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ atOnce, files, want int }{
		{16, 20_000, 320}, {1, 20_000, 100}, {16, 1024, 320}, {100, 1024, 512}, {500, 1024, 1000}, {1500, 20_000, 10_000}, {1500, 1 << 20, 10_000}, {20_000, 1 << 20, 40_000},
		{16, 0, 100},
	} {
		require.Equal(t, c.want, downloader.ManyIdle(c.atOnce, c.files), c)
	}
	require.Greater(t, downloader.OpenFiles(), 200)
}

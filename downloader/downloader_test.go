package downloader_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newEnv(t testing.TB, change func(*crawl.Settings)) *crawl.Env {
	t.Helper()
	var s crawl.Settings
	if change != nil {
		change(&s)
	}
	effective, err := s.Effective(nil)
	require.NoError(t, err)
	spool := &crawl.Spool{Over: effective.Download.SpoolOver, Dir: t.TempDir()}
	t.Cleanup(func() { require.NoError(t, spool.Close()) })
	return &crawl.Env{Settings: effective, Stats: crawl.NewStats(), Log: zap.NewNop(), Spool: spool}
}

func newDownloader(t testing.TB, change func(*crawl.Settings)) *downloader.Downloader {
	t.Helper()
	d, err := downloader.New(newEnv(t, change))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// A site is a server that speaks whatever a test lets it say. What it is asked for below /good it answers well.
type site struct {
	url   string
	dials atomic.Int64
	wg    sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{} // Guarded by mu. nil when the site is closed.
}

// newSite starts a site. speak answers a request, and reports whether the connection goes on.
func newSite(t testing.TB, speak func(c net.Conn, req *http.Request) bool) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return startSite(t, l, "http", speak)
}

func startSite(t testing.TB, l net.Listener, scheme string, speak func(c net.Conn, req *http.Request) bool) *site {
	s := &site{url: scheme + "://" + l.Addr().String(), open: make(map[net.Conn]struct{})}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.dials.Add(1)
			s.wg.Go(func() { s.serve(c, speak) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		open := s.open
		s.open = nil
		s.mu.Unlock()
		for c := range open {
			_ = c.Close()
		}
		s.wg.Wait()
	})
	return s
}

func (s *site) serve(c net.Conn, speak func(c net.Conn, req *http.Request) bool) {
	defer c.Close()
	s.mu.Lock()
	if s.open == nil {
		s.mu.Unlock()
		return
	}
	s.open[c] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.open, c)
		s.mu.Unlock()
	}()
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		if req.URL.Path == "/good" {
			if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"); err != nil {
				return
			}
		} else if !speak(c, req) {
			return
		}
	}
}

// says is a speaker that says text and hangs up.
func says(text string) func(net.Conn, *http.Request) bool {
	return func(c net.Conn, _ *http.Request) bool {
		_, _ = io.WriteString(c, text)
		return false
	}
}

// keeps is a speaker that says text and waits for the next request.
func keeps(text string) func(net.Conn, *http.Request) bool {
	return func(c net.Conn, _ *http.Request) bool {
		_, err := io.WriteString(c, text)
		return err == nil
	}
}

func fetch(t testing.TB, d *downloader.Downloader, req *crawl.Request) (*crawl.Response, error) {
	t.Helper()
	resp, err := d.Fetch(t.Context(), req)
	require.Equal(t, err != nil, resp == nil, "a response or an error")
	if resp != nil {
		t.Cleanup(func() { require.NoError(t, resp.Close()) })
	}
	return resp, err
}

func text(t testing.TB, resp *crawl.Response) string {
	t.Helper()
	b, err := resp.Bytes()
	require.NoError(t, err)
	return string(b)
}

func requireKind(t testing.TB, kind crawl.Kind, err error) *crawl.DownloadError {
	t.Helper()
	var de *crawl.DownloadError
	require.ErrorAs(t, err, &de)
	require.Equal(t, kind, de.Kind, "%v", err)
	return de
}

func requireGood(t testing.TB, d *downloader.Downloader, base string) {
	t.Helper()
	// On a busy machine nothing is done within the timeouts that tests set for what hangs.
	resp, err := fetch(t, d, &crawl.Request{URL: mustParse(t, base+"/good"), Knobs: &crawl.Knobs{Timeout: time.Minute}})
	require.NoError(t, err)
	require.Equal(t, "good", text(t, resp))
}

func mustParse(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	return u
}

func answer(word string) crawl.OpenHandler {
	return func(*crawl.Env) (crawl.Fetcher, error) {
		return crawl.FetcherFunc(func(_ context.Context, req *crawl.Request) (*crawl.Response, error) {
			return &crawl.Response{Request: req, URL: req.URL, Status: 200, Body: crawl.BytesBody([]byte(word))}, nil
		}), nil
	}
}

// closing is a handler that says that it was closed.
type closing struct {
	crawl.Fetcher
	closed *int
}

func (c closing) Close() error { *c.closed++; return nil }

func TestHandlers(t *testing.T) {
	t.Parallel()
	closed := 0
	env := newEnv(t, func(s *crawl.Settings) {
		s.Parts.Handlers = map[string]crawl.OpenHandler{
			"http":   answer("ours"),
			"file":   nil,
			"gopher": func(*crawl.Env) (crawl.Fetcher, error) { return closing{closed: &closed}, nil },
			"s3":     func(*crawl.Env) (crawl.Fetcher, error) { return nil, crawl.NotConfigured("no credentials") },
		}
	})
	d, err := downloader.New(env)
	require.NoError(t, err)

	resp, err := fetch(t, d, crawl.Get("http://example.com/"))
	require.NoError(t, err)
	require.Equal(t, "ours", text(t, resp))

	for _, raw := range []string{"file:///etc/hostname", "s3://bucket/key", "mailto:a@example.com"} {
		_, err = fetch(t, d, &crawl.Request{URL: mustParse(t, raw)})
		requireKind(t, crawl.KindRequest, err)
		require.ErrorContains(t, err, "this program has data, gopher, http, https")
	}

	require.NoError(t, d.Close())
	require.Equal(t, 1, closed)
}

func TestUnusableRequests(t *testing.T) {
	t.Parallel()
	d := newDownloader(t, nil)
	for _, req := range []*crawl.Request{{}, crawl.Get("http://"), crawl.Get("data:,x", crawl.With(func() {}))} {
		_, err := fetch(t, d, req)
		requireKind(t, crawl.KindRequest, err)
	}
}

func TestNewFails(t *testing.T) {
	t.Parallel()
	closed := 0
	broken := errors.New("broken")
	_, err := downloader.New(newEnv(t, func(s *crawl.Settings) {
		s.Parts.Handlers = map[string]crawl.OpenHandler{
			"a": func(*crawl.Env) (crawl.Fetcher, error) { return closing{closed: &closed}, nil },
			"b": func(*crawl.Env) (crawl.Fetcher, error) { return nil, broken },
		}
	}))
	require.ErrorIs(t, err, broken)
	require.EqualError(t, err, "open the download handler of b: broken")
	require.Equal(t, 1, closed, "what was open is closed")
}

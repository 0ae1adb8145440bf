package middleware

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tulle-go/tulle/crawl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bundle is what a test of one layer needs.
type bundle struct {
	*crawl.Env
	logs *observer.ObservedLogs
}

// newBundle has effective settings, and its own stats, log and spool.
func newBundle(t testing.TB, configure ...func(*crawl.Spider, *crawl.Settings)) *bundle {
	t.Helper()
	spider := &crawl.Spider{Name: "test"}
	var settings crawl.Settings
	for _, f := range configure {
		f(spider, &settings)
	}
	effective, err := settings.Effective(spider)
	require.NoError(t, err)
	core, logs := observer.New(zap.DebugLevel)
	spool := &crawl.Spool{Over: effective.Download.SpoolOver, Dir: t.TempDir()}
	t.Cleanup(func() { require.NoError(t, spool.Close()) })
	return &bundle{
		Env:  &crawl.Env{Spider: spider, Settings: effective, Stats: crawl.NewStats(), Log: zap.New(core), Spool: spool},
		logs: logs,
	}
}

func (b *bundle) build(t testing.TB, m crawl.Middleware, next crawl.Fetcher) crawl.Fetcher {
	t.Helper()
	f, err := m(b.Env, next)
	require.NoError(t, err)
	return f
}

// requireOff asserts that the settings turn a layer off.
func requireOff(t testing.TB, err error) {
	t.Helper()
	var off *crawl.NotConfiguredError
	require.ErrorAs(t, err, &off)
}

// requireIgnored asserts that a request was refused, and why.
func requireIgnored(t testing.TB, err error, reason string) {
	t.Helper()
	var ignored *crawl.IgnoreRequestError
	require.ErrorAs(t, err, &ignored)
	require.Equal(t, reason, ignored.Reason)
}

// requireAgain asserts that a request is to be asked again, and returns how.
func requireAgain(t testing.TB, err error) *crawl.RescheduleError {
	t.Helper()
	var again *crawl.RescheduleError
	require.ErrorAs(t, err, &again)
	return again
}

// answer is a response to req; header are names and values in turn.
func answer(req *crawl.Request, status int, body string, header ...string) *crawl.Response {
	h := make(http.Header)
	for i := 0; i < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return &crawl.Response{Request: req, URL: req.URL, Status: status, Header: h, Body: crawl.BytesBody([]byte(body))}
}

// stub is a downloader that answers by a function, and remembers what it was asked for.
type stub struct {
	handle func(req *crawl.Request) (*crawl.Response, error)

	mu    sync.Mutex
	asked []*crawl.Request // Guarded by mu: copies, with the headers as they were sent.
}

func serve(handle func(req *crawl.Request) (*crawl.Response, error)) *stub {
	return &stub{handle: handle}
}

// serveOK answers everything with 200.
func serveOK() *stub {
	return serve(func(req *crawl.Request) (*crawl.Response, error) { return answer(req, 200, "ok"), nil })
}

func (s *stub) Fetch(_ context.Context, req *crawl.Request) (*crawl.Response, error) {
	s.mu.Lock()
	s.asked = append(s.asked, req.Clone())
	s.mu.Unlock()
	return s.handle(req)
}

func (s *stub) last() *crawl.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[len(s.asked)-1]
}

func (s *stub) urls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, req := range s.asked {
		list = append(list, req.URL.String())
	}
	return list
}

// follow does what the engine does with a request: it asks again, without the waits, until there is an end.
func follow(ctx context.Context, f crawl.Fetcher, req *crawl.Request) (*crawl.Response, error) {
	for {
		resp, err := opens{f}.Fetch(ctx, req)
		var again *crawl.RescheduleError
		if !errors.As(err, &again) {
			return resp, err
		}
		req = again.Request
	}
}

// spooled is a response whose body is a file, which is to be gone when the response was closed.
func spooled(t testing.TB, req *crawl.Request, status int, header ...string) *crawl.Response {
	t.Helper()
	spool := &crawl.Spool{Over: 10, Dir: t.TempDir()}
	t.Cleanup(func() { require.NoError(t, spool.Close()) })
	resp := answer(req, status, "", header...)
	var err error
	resp.Body, err = spool.Read(strings.NewReader(strings.Repeat("x", 100)), 100, 0)
	require.NoError(t, err)
	require.FileExists(t, resp.Body.Path())
	return resp
}

func mustParse(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	return u
}

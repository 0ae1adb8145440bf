package gcs_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store/gcs"
	"github.com/tulle-go/tulle/pipeline/store/internal/testserver"
)

func TestMain(m *testing.M) {
	if os.Getenv(childURI) != "" {
		child()
	}
	goleak.VerifyTestMain(m)
}

// start runs a fake-gcs-server with one bucket, "pictures".
func start(t *testing.T) crawl.GCSSettings {
	t.Helper()
	addr := testserver.Start(t, "TULLE_TEST_GCS", "github.com/fsouza/fake-gcs-server", func(host, port string) []string {
		here := "http://" + host + ":" + port
		return []string{"-scheme", "http", "-host", host, "-port", port, "-external-url", here, "-public-host", host + ":" + port, "-backend", "memory", "-log-level", "error"}
	})
	resp, err := http.Post("http://"+addr+"/storage/v1/b?project=p", "application/json", strings.NewReader(`{"name":"pictures"}`))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	http.DefaultClient.CloseIdleConnections()
	return crawl.GCSSettings{Endpoint: "http://" + addr, CredentialsFile: "none"}
}

// env is what a store is given.
func env(t testing.TB, set crawl.GCSSettings) (*crawl.Env, *observer.ObservedLogs) {
	t.Helper()
	effective, err := crawl.Settings{GCS: set}.Effective(nil)
	require.NoError(t, err)
	core, logs := observer.New(zap.InfoLevel)
	return &crawl.Env{Spider: &crawl.Spider{Name: "shop"}, Settings: effective, Log: zap.New(core)}, logs
}

var prefixes atomic.Int64

// open opens a store that is empty.
func open(t *testing.T, set crawl.GCSSettings) *gcs.Store {
	t.Helper()
	return openAt(t, set, fmt.Sprintf("gs://pictures/p%d/", prefixes.Add(1)))
}

func openAt(t *testing.T, set crawl.GCSSettings, uri string) *gcs.Store {
	t.Helper()
	e, _ := env(t, set)
	opened, err := gcs.Open(t.Context(), uri, e)
	require.NoError(t, err)
	s := opened.(*gcs.Store)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// wire is a proxy that notes what goes to the server behind it, and that a test may have answer itself.
type wire struct {
	mu     sync.Mutex
	seen   []*http.Request
	answer func(http.ResponseWriter, *http.Request) bool
}

func tap(t *testing.T, set crawl.GCSSettings, answer func(http.ResponseWriter, *http.Request) bool) (*wire, crawl.GCSSettings) {
	t.Helper()
	target, err := url.Parse(set.Endpoint)
	require.NoError(t, err)
	w := &wire{answer: answer}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	var front *httptest.Server
	proxy := &httputil.ReverseProxy{
		Transport: transport, Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) },
		ModifyResponse: func(resp *http.Response) error {
			if to := resp.Header.Get("Location"); to != "" {
				resp.Header.Set("Location", strings.Replace(to, set.Endpoint, front.URL, 1))
			}
			return nil
		},
	}
	front = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.seen = append(w.seen, r.Clone(context.Background()))
		w.mu.Unlock()
		if w.answer == nil || !w.answer(rw, r) {
			proxy.ServeHTTP(rw, r)
		}
	}))
	t.Cleanup(front.Close)
	inner := set
	inner.Endpoint = front.URL
	return w, inner
}

// take returns what has been asked since the last time: "METHOD path".
func (w *wire) take() (asked []string, requests []*http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	requests, w.seen = w.seen, nil
	for _, r := range requests {
		asked = append(asked, r.Method+" "+r.URL.EscapedPath())
	}
	return asked, requests
}

func content(t *testing.T, s crawl.Store, name string) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), name)
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return b
}

func put(t *testing.T, s crawl.Store, name, text string, meta crawl.Meta) {
	t.Helper()
	require.NoError(t, s.Put(t.Context(), name, strings.NewReader(text), meta))
}

// block is what a pattern repeats. Its length divides no size of a buffer.
var block = sync.OnceValue(func() []byte {
	b := make([]byte, 65537)
	for i := range b {
		b[i] = byte(i * 2654435761 >> 13)
	}
	return b
})

// pattern yields n bytes, and calls each, if there is one, before every read.
type pattern struct {
	size, at int64
	each     func()
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.each != nil {
		p.each()
	}
	if p.at == p.size {
		return 0, io.EOF
	}
	from := block()[p.at%int64(len(block())):]
	n := copy(b[:min(int64(len(b)), p.size-p.at)], from)
	p.at += int64(n)
	return n, nil
}

func patternOf(t *testing.T, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	_, err := b.ReadFrom(&pattern{size: n})
	require.NoError(t, err)
	return b.Bytes()
}

package s3_test

import (
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

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store/internal/testserver"
	"github.com/tulle-go/tulle/pipeline/store/s3"
)

func TestMain(m *testing.M) {
	if os.Getenv(childURI) != "" {
		child()
	}
	// What the machine has set for other programs is not for these servers.
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} {
		if err := os.Unsetenv(name); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// server is a versitygw with one bucket, "pictures", and a client of its own.
type server struct {
	settings crawl.AWSSettings
	client   *minio.Core
}

const bucket = "pictures"

// start runs a server that knows one pair of credentials.
func start(t *testing.T, id, secret string) *server {
	t.Helper()
	dir := t.TempDir()
	addr := testserver.Start(t, "TULLE_TEST_S3", "github.com/versity/versitygw/cmd/versitygw", func(host, port string) []string {
		return []string{"--access", id, "--secret", secret, "--port", host + ":" + port, "--quiet", "posix", dir}
	})
	transport, err := minio.DefaultTransport(false)
	require.NoError(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	client, err := minio.NewCore(addr, &minio.Options{Creds: credentials.NewStaticV4(id, secret, ""), Transport: transport})
	require.NoError(t, err)
	require.NoError(t, client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}))
	return &server{settings: crawl.AWSSettings{AccessKeyID: id, SecretAccessKey: secret, Endpoint: "http://" + addr}, client: client}
}

// env is what a store is given.
func env(t testing.TB, set crawl.AWSSettings) (*crawl.Env, *observer.ObservedLogs) {
	t.Helper()
	effective, err := crawl.Settings{AWS: set}.Effective(nil)
	require.NoError(t, err)
	core, logs := observer.New(zap.InfoLevel)
	return &crawl.Env{Spider: &crawl.Spider{Name: "shop"}, Settings: effective, Log: zap.New(core)}, logs
}

var prefixes atomic.Int64

// open opens a store that is empty.
func open(t *testing.T, set crawl.AWSSettings) *s3.Store {
	t.Helper()
	return openAt(t, set, fmt.Sprintf("s3://%s/p%d/", bucket, prefixes.Add(1)))
}

func openAt(t *testing.T, set crawl.AWSSettings, uri string) *s3.Store {
	t.Helper()
	e, _ := env(t, set)
	opened, err := s3.Open(t.Context(), uri, e)
	require.NoError(t, err)
	s := opened.(*s3.Store)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// wire is a proxy that notes what goes to the server behind it.
type wire struct {
	URL string

	mu    sync.Mutex
	seen  []*http.Request
	fault func(*http.Request) int // a status in place of the server's, or 0
}

func tap(t *testing.T, set crawl.AWSSettings) (*wire, crawl.AWSSettings) {
	t.Helper()
	target, err := url.Parse(set.Endpoint)
	require.NoError(t, err)
	w := new(wire)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	// The Host header stays: it is signed.
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(p *httputil.ProxyRequest) {
		p.Out.URL.Scheme, p.Out.URL.Host = target.Scheme, target.Host
		p.Out.Host = p.In.Host
	}}
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.seen = append(w.seen, r.Clone(context.Background()))
		status := 0
		if w.fault != nil {
			status = w.fault(r)
		}
		w.mu.Unlock()
		if status != 0 {
			rw.WriteHeader(status)
			return
		}
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(front.Close)
	set.Endpoint, w.URL = front.URL, front.URL
	return w, set
}

// take returns what has been asked since the last time: "METHOD key".
func (w *wire) take() (asked []string, requests []*http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	requests, w.seen = w.seen, nil
	for _, r := range requests {
		asked = append(asked, r.Method+" "+r.URL.Path)
	}
	return asked, requests
}

func (w *wire) breakWith(f func(*http.Request) int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
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

// zeros yields n zeros and calls each, if there is one, before every read.
type zeros struct {
	left int64
	each func()
}

func (z *zeros) Read(p []byte) (int, error) {
	if z.each != nil {
		z.each()
	}
	if z.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.left))
	clear(p[:n])
	z.left -= int64(n)
	return n, nil
}

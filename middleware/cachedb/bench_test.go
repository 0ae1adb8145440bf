package cachedb_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/middleware"
	"github.com/tulle-go/tulle/middleware/cachedb"
)

// newCache is a cache around a downloader that answers with a body.
func newCache(t testing.TB, set crawl.HTTPCacheSettings, body func(*crawl.Spool) (crawl.Body, error)) crawl.Fetcher {
	t.Helper()
	set.On = true
	settings, err := crawl.Settings{HTTPCache: set, Parts: crawl.Parts{CacheStorages: map[string]crawl.OpenCacheStorage{"embedded": cachedb.Open}}}.Effective(nil)
	require.NoError(t, err)
	spool := &crawl.Spool{Dir: filepath.Dir(set.Dir)}
	env := &crawl.Env{Spider: &crawl.Spider{Name: "bench"}, Settings: settings, Stats: crawl.NewStats(), Log: zap.NewNop(), Spool: spool}
	f, err := middleware.HTTPCache(env, crawl.FetcherFunc(func(_ context.Context, req *crawl.Request) (*crawl.Response, error) {
		b, err := body(spool)
		return &crawl.Response{Request: req, URL: req.URL, Status: 200, Header: http.Header{
			"Content-Type": {"text/html; charset=utf-8"}, "Cache-Control": {"max-age=99999999"}, "Etag": {`"1"`}, "Server": {"x"},
			"Vary": {"Accept-Encoding"}, "Content-Length": {strconv.FormatInt(b.Size(), 10)},
		}, Body: b}, err
	}))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, f.(interface{ Close() error }).Close())
		require.NoError(t, spool.Close())
	})
	return f
}

func fetch(t testing.TB, f crawl.Fetcher, url string) *crawl.Response {
	req := crawl.Get(url)
	req.Header = http.Header{"Accept-Encoding": {"gzip"}}
	resp, err := f.Fetch(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// BenchmarkCache answers from 10,000 pages of 10 KB, and stores such pages.
func BenchmarkCache(b *testing.B) {
	page := bytes.Repeat([]byte("0123456789"), 1000)
	const pages = 10_000
	for _, storage := range []string{"files", "embedded"} {
		for _, policy := range []string{crawl.CacheDummy, crawl.CacheRFC9111} {
			f := newCache(b, crawl.HTTPCacheSettings{Dir: filepath.Join(b.TempDir(), "c"), Storage: storage, Policy: policy}, func(*crawl.Spool) (crawl.Body, error) {
				return crawl.BytesBody(page), nil
			})
			for i := range pages {
				fetch(b, f, "http://h/"+strconv.Itoa(i))
			}
			b.Run("hit/"+storage+"/"+policy, func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if resp := fetch(b, f, "http://h/"+strconv.Itoa(i%pages)); !resp.Has("cached") {
						b.Fatal("not cached")
					}
					i += 7919
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pages/s")
			})
			b.Run("store/"+storage+"/"+policy, func(b *testing.B) {
				b.ReportAllocs()
				i := pages
				for b.Loop() {
					fetch(b, f, "http://h/"+strconv.Itoa(i))
					i++
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pages/s")
			})
		}
	}
}

// zeros are that many bytes.
type zeros struct{ left int }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), z.left)
	clear(p[:n])
	z.left -= n
	return n, nil
}

// TestLargeBodiesTakeNoMemory stores a large body and takes it out again. It is not parallel: it measures what the process allocates.
func TestLargeBodiesTakeNoMemory(t *testing.T) {
	const size = 100 << 20
	for _, storage := range []string{"files", "embedded"} {
		for _, gzip := range []bool{false, true} {
			f := newCache(t, crawl.HTTPCacheSettings{Dir: filepath.Join(t.TempDir(), "c"), Storage: storage, Gzip: gzip}, func(s *crawl.Spool) (crawl.Body, error) {
				return s.Read(&zeros{size}, -1, 0)
			})
			for _, cached := range []bool{false, true} {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				resp := fetch(t, f, "http://h/large")
				runtime.ReadMemStats(&after)
				require.Equal(t, cached, resp.Has("cached"))
				require.EqualValues(t, size, resp.Body.Size())
				require.NoError(t, resp.Close())
				require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), "%s, compressed: %v, out of the cache: %v", storage, gzip, cached)
			}
		}
	}
}

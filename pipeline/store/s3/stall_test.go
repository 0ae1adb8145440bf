package s3_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store/s3"
)

// multipart is as much of S3 as an upload in parts needs. finish answers CompleteMultipartUpload, when the object is there.
type multipart struct {
	part    http.HandlerFunc // nil: they are taken
	finish  http.HandlerFunc
	release func() // what they wait for; may be nil

	mu    sync.Mutex
	asked []string
	sums  []byte
}

func (m *multipart) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if r.Method == http.MethodPut && m.part != nil {
		m.note("part")
		m.part(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/xml")
	switch {
	case r.Method == http.MethodPost && query.Has("uploads"):
		_, _ = io.WriteString(w, `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`)
	case r.Method == http.MethodPut:
		sum := md5.Sum([]byte(query.Get("partNumber")))
		m.mu.Lock()
		m.sums = append(m.sums, sum[:]...)
		m.mu.Unlock()
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
	case r.Method == http.MethodPost:
		m.note(fmt.Sprintf("complete %d", bytes.Count(body, []byte("<PartNumber>"))))
		m.finish(w, r)
	case r.Method == http.MethodDelete:
		m.note("abort")
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodHead:
		m.note("head")
		m.mu.Lock()
		defer m.mu.Unlock()
		w.Header().Set("ETag", fmt.Sprintf(`"%x-%d"`, md5.Sum(m.sums), len(m.sums)/md5.Size))
		w.Header().Set("Last-Modified", "Sat, 21 Nov 2026 10:00:00 GMT")
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `<Error><Code>NoSuchKey</Code></Error>`)
	}
}

func (m *multipart) note(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, what)
}

// put puts 11 MiB, which are three parts, and returns what the server was asked beside them.
func (m *multipart) put(t *testing.T, stalled, work time.Duration) ([]string, error) {
	t.Helper()
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	if m.release != nil {
		t.Cleanup(m.release)
	}
	s := openAt(t, crawl.AWSSettings{AccessKeyID: "id", SecretAccessKey: "secret", Region: "us-east-1", Endpoint: server.URL}, "s3://pictures")
	s3.Hurry(s, stalled, work)
	err := s.Put(t.Context(), "a", bytes.NewReader(make([]byte, 11<<20)), crawl.Meta{})
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked, err
}

// Servers that copy the parts take their time, in which nothing moves.
func TestSlowCompletion(t *testing.T) {
	t.Parallel()
	m := &multipart{finish: func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(2 * time.Second)
		_, _ = io.WriteString(w, `<CompleteMultipartUploadResult><Bucket>pictures</Bucket><Key>a</Key><ETag>"x"</ETag></CompleteMultipartUploadResult>`)
	}}
	asked, err := m.put(t, time.Second, time.Minute)
	require.NoError(t, err)
	require.Equal(t, []string{"complete 3"}, asked)
}

// An upload that was completed is not sent again because its answer did not come.
func TestLostCompletion(t *testing.T) {
	t.Parallel()
	m := &multipart{finish: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}
	asked, err := m.put(t, time.Minute, time.Second)
	require.NoError(t, err)
	require.Equal(t, []string{"complete 3", "head"}, asked)

	m = &multipart{finish: func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.sums = append(m.sums, m.sums[:md5.Size]...) // somebody else's
		m.mu.Unlock()
		<-r.Context().Done()
	}}
	asked, err = m.put(t, time.Minute, time.Second)
	require.Error(t, err)
	require.Equal(t, []string{"complete 3", "head", "abort"}, asked)
}

// The SDK tries ten times. Of a server that reads nothing two are enough.
func TestServerThatStandsStill(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	m := &multipart{part: func(http.ResponseWriter, *http.Request) { <-over }, release: func() { close(over) }}
	asked, err := m.put(t, time.Second, time.Minute)
	require.ErrorContains(t, err, "put a: the transfer has stood still for too long")
	require.Equal(t, []string{"part", "part", "abort"}, asked)
}

// Files are read where they are, from wherever they have been read to, and what can't be sought goes through buffers: the same arrives.
func TestReadInPlace(t *testing.T) {
	t.Parallel()
	srv := start(t, "place", "place-secret")
	s := open(t, srv.settings)
	const part = 5 << 20
	all := make([]byte, 2*part+11)
	for i := range all {
		all[i] = byte(i * 31 >> 7)
	}
	for _, size := range []int{0, 1, part - 1, part, part + 1, 2 * part, 2*part + 1} {
		name := filepath.Join(t.TempDir(), "f")
		require.NoError(t, os.WriteFile(name, all[:10+size], 0o600))
		f, err := os.Open(name)
		require.NoError(t, err)
		_, err = f.Seek(10, io.SeekStart)
		require.NoError(t, err)
		for _, r := range []io.Reader{f, bytes.NewReader(all[10 : 10+size]), iotest.HalfReader(bytes.NewReader(all[10 : 10+size]))} {
			require.NoError(t, s.Put(t.Context(), "a", r, crawl.Meta{}))
			require.True(t, bytes.Equal(all[10:10+size], content(t, s, "a")), "%d bytes of a %T", size, r)
		}
		require.NoError(t, f.Close())
	}
	pipe, w, err := os.Pipe()
	require.NoError(t, err)
	_, err = w.WriteString(strings.Repeat("x", 1000))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, s.Put(t.Context(), "a", pipe, crawl.Meta{}))
	require.Len(t, content(t, s, "a"), 1000)
	require.NoError(t, pipe.Close())
}

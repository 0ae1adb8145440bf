package gcs_test

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store/gcs"
)

// A server that stops reading in the middle of a piece: the request is given up, and the upload goes on from what the server has.
func TestUploadsThatStallGoOn(t *testing.T) {
	t.Parallel()
	const size = 14 << 20
	var (
		mu    sync.Mutex
		got   []byte
		calls []string
		over  = make(chan struct{})
	)
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/iam/testPermissions"):
			_, _ = io.WriteString(w, `{"permissions":["storage.objects.create","storage.objects.get","storage.objects.delete","storage.objects.update"]}`)
		case r.Method == http.MethodPost:
			w.Header().Set("Location", server.URL+"/session")
		case r.Method == http.MethodPut:
			mu.Lock()
			defer mu.Unlock()
			asked := r.Header.Get("Content-Range")
			calls = append(calls, asked)
			if len(calls) == 2 { // the second piece
				part := make([]byte, 1<<20)
				_, _ = io.ReadFull(r.Body, part)
				got = append(got, part...)
				mu.Unlock()
				<-over
				mu.Lock()
				return
			}
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			got = append(got, b...)
			if len(got) < size {
				w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", len(got)-1))
				w.WriteHeader(http.StatusPermanentRedirect)
				return
			}
			sum := md5.Sum(got)
			_, _ = fmt.Fprintf(w, `{"name":"a","md5Hash":%q}`, base64.StdEncoding.EncodeToString(sum[:]))
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(over) })
	s := openAt(t, crawl.GCSSettings{Endpoint: server.URL, CredentialsFile: "none"}, "gs://pictures")
	gcs.Hurry(s, 3*time.Second)
	require.NoError(t, s.Put(t.Context(), "a", &pattern{size: size}, crawl.Meta{}))
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, got, size)
	require.Equal(t, []string{
		"bytes 0-5242879/*", "bytes 5242880-10485759/*", "bytes */*", "bytes 6291456-10485759/*", "bytes 10485760-14680063/14680064",
	}, calls)
}

// A server that takes its time over the last piece, in which nothing moves, is not given up. One that stands still is, at the second time.
func TestServersThatWorkAndThatStandStill(t *testing.T) {
	t.Parallel()
	const size = 11 << 20
	var (
		finished, looked atomic.Int64
		over             = make(chan struct{})
	)
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/iam/testPermissions"):
			_, _ = io.WriteString(w, `{"permissions":["storage.objects.create","storage.objects.get","storage.objects.delete","storage.objects.update"]}`)
		case r.Method == http.MethodPost:
			w.Header().Set("Location", server.URL+"/session")
		case r.Method == http.MethodPut:
			_, _ = io.Copy(io.Discard, r.Body)
			from, whole, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Content-Range"), "bytes "), "/")
			if whole == "*" {
				_, last, _ := strings.Cut(from, "-")
				w.Header().Set("Range", "bytes=0-"+last)
				w.WriteHeader(http.StatusPermanentRedirect)
				return
			}
			finished.Add(1)
			time.Sleep(2 * time.Second)
			_, _ = io.WriteString(w, `{"name":"a"}`)
		default:
			looked.Add(1)
			<-over
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(over) })
	s := openAt(t, crawl.GCSSettings{Endpoint: server.URL, CredentialsFile: "none"}, "gs://pictures")
	gcs.Hurry(s, time.Second)
	require.NoError(t, s.Put(t.Context(), "a", &pattern{size: size}, crawl.Meta{}))
	require.EqualValues(t, 1, finished.Load())
	_, err := s.Stat(t.Context(), "a")
	require.ErrorContains(t, err, "the transfer has stood still for too long")
	require.EqualValues(t, 2, looked.Load())
}

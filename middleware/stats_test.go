package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestStats(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	status := 200
	f := b.build(t, Stats, serve(func(req *crawl.Request) (*crawl.Response, error) {
		return answer(req, status, "hello", "Content-Type", "text/html"), nil
	}))
	for _, c := range []struct {
		method string
		status int
	}{{"", 200}, {"GET", 200}, {"HEAD", 404}, {"POST", 999}} {
		status = c.status
		req := crawl.Get("http://example.com/a%20b?q=1")
		req.Method, req.Header, req.Body = c.method, http.Header{"Accept": {"*/*"}}, []byte("x")
		_, err := f.Fetch(t.Context(), req)
		require.NoError(t, err)
	}
	const get = "GET /a%20b?q=1 HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\nx"
	const response = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nhello"
	require.Equal(t, map[string]any{
		"downloader/request_count":             int64(4),
		"downloader/request_method_count/GET":  int64(2),
		"downloader/request_method_count/HEAD": int64(1),
		"downloader/request_method_count/POST": int64(1),
		"downloader/request_bytes":             int64(4*len(get) + 2),
		"downloader/response_count":            int64(4),
		"downloader/response_status_count/200": int64(2),
		"downloader/response_status_count/404": int64(1),
		"downloader/response_status_count/999": int64(1),
		"downloader/response_bytes":            int64(4*len(response) + len("Not Found") - len("OK") - len("OK")),
	}, b.Stats.Snapshot())
}

func TestStatsSizeOfBareURL(t *testing.T) {
	t.Parallel()
	require.EqualValues(t, len("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), requestSize(crawl.Get("http://h")))
}

func TestStatsExceptions(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	var fail error
	f := b.build(t, Stats, serve(func(*crawl.Request) (*crawl.Response, error) { return nil, fail }))
	for _, err := range []error{
		&crawl.DownloadError{Kind: crawl.KindDNS, Err: errors.New("no such host")},
		fmt.Errorf("wrapped: %w", &crawl.DownloadError{Kind: crawl.KindDNS, Err: errors.New("no such host")}),
		errors.New("something else"),
		crawl.IgnoreRequest("not today"),
		crawl.Reschedule(crawl.Get("http://h/"), 0, "later"),
		context.Canceled,
	} {
		fail = err
		_, got := f.Fetch(t.Context(), crawl.Get("http://h/"))
		require.ErrorIs(t, got, err)
	}
	require.EqualValues(t, 3, b.Stats.Int("downloader/exception_count"))
	require.EqualValues(t, 2, b.Stats.Int("downloader/exception_type_count/dns"))
	require.EqualValues(t, 1, b.Stats.Int("downloader/exception_type_count/other"))
	require.Zero(t, b.Stats.Int("downloader/response_count"))
}

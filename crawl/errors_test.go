package crawl_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestErrorsThroughWraps(t *testing.T) {
	t.Parallel()
	req := crawl.Get("http://h/")
	for _, c := range []struct {
		err  error
		as   any
		says string
	}{
		{crawl.DropItem("r"), new(*crawl.DropItemError), "item dropped: r"},
		{crawl.IgnoreRequest("r"), new(*crawl.IgnoreRequestError), "request ignored: r"},
		{&crawl.IgnoreRequestError{Reason: "r", Err: io.EOF}, new(*crawl.IgnoreRequestError), "request ignored: r: EOF"},
		{crawl.Reschedule(req, time.Second, "r"), new(*crawl.RescheduleError), "<GET http://h/> rescheduled after 1s: r"},
		{crawl.CloseSpider("r"), new(*crawl.CloseSpiderError), "close spider: r"},
		{crawl.NotConfigured("r"), new(*crawl.NotConfiguredError), "not configured: r"},
		{&crawl.DownloadError{Kind: crawl.KindTLS, URL: "u", Err: io.EOF}, new(*crawl.DownloadError), "download <u>: tls: EOF"},
		{&crawl.StatusError{Response: &crawl.Response{Status: 404}}, new(*crawl.StatusError), "status 404 is not handled"},
		{&crawl.PanicError{Value: 1}, new(*crawl.PanicError), "panic: 1"},
	} {
		require.EqualError(t, c.err, c.says)
		require.ErrorAs(t, fmt.Errorf("outer: %w", fmt.Errorf("inner: %w", c.err)), c.as)
	}
	for _, err := range []error{
		&crawl.IgnoreRequestError{Err: io.EOF}, &crawl.RescheduleError{Err: io.EOF}, &crawl.DownloadError{Err: io.EOF}, &crawl.PanicError{Value: io.EOF},
	} {
		require.ErrorIs(t, fmt.Errorf("outer: %w", err), io.EOF)
	}
	require.NotErrorIs(t, &crawl.PanicError{Value: "EOF"}, io.EOF)
}

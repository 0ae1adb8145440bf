package engine_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
)

// TestWhatAHostCosts asks a page of each of twenty thousand hosts. What is remembered of a host must not keep its first request in memory, of which it was a piece.
func TestWhatAHostCosts(t *testing.T) {
	const hosts = 20_000
	for _, c := range []struct {
		throttled bool
		most      int64
	}{{false, 750}, {true, 1000}} {
		settings := crawl.Settings{Logger: zap.NewNop(), ConcurrentRequests: 64, DownloadDelay: -1, Start: crawl.StartSettings{Ahead: 100}}
		settings.AutoThrottle.On, settings.AutoThrottle.StartDelay = c.throttled, time.Microsecond
		settings.Parts.Handlers = map[string]crawl.OpenHandler{"http": func(*crawl.Env) (crawl.Fetcher, error) {
			return crawl.FetcherFunc(func(_ context.Context, req *crawl.Request) (*crawl.Response, error) {
				status := 200
				if req.URL.Path == "/robots.txt" {
					status = 404
				}
				return &crawl.Response{Request: req, URL: req.URL, Status: status, Timing: crawl.Timing{Latency: 1}}, nil
			}), nil
		}}
		data := crawl.With(strings.Repeat("x", 4<<10))
		var before, after int64
		spider := &crawl.Spider{
			Name: "broad",
			Start: func(_ context.Context, out *crawl.Out) error {
				before = int64(heapInUse())
				for i := range hosts {
					out.Request(crawl.Get(fmt.Sprintf("http://host-%d.example/", i), data))
				}
				return nil
			},
			Parse:  nothing,
			Closed: func(context.Context, string) { after = int64(heapInUse()) },
		}
		e, err := engine.New(spider, settings)
		require.NoError(t, err)
		res, err := e.Run(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 2*hosts, res.Stats.Int("downloader/response_count"))
		runtime.KeepAlive(e)
		each := (after - before) / hosts
		t.Logf("%d bytes a host, AutoThrottle %t", each, c.throttled)
		require.Less(t, each, c.most, "bytes a host, AutoThrottle %t", c.throttled)
	}
}

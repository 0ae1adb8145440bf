package engine_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/scheduler/jobdir"
)

type noRoom struct{}

func (noRoom) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func jobOn(t *testing.T) (crawl.Settings, string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }))
	t.Cleanup(srv.Close)
	return crawl.Settings{
		Job: crawl.JobSettings{Dir: filepath.Join(t.TempDir(), "job"), MinFree: -1}, Parts: crawl.Parts{Job: jobdir.Open},
		Robots: crawl.RobotsSettings{Ignore: true}, Logger: zap.NewNop(),
	}, srv.URL
}

// TestFeedFailsWhileARequestWaits has a feed that cannot be written, and nothing else to do for an hour: the crawl ends, and says why.
func TestFeedFailsWhileARequestWaits(t *testing.T) {
	t.Parallel()
	settings, site := jobOn(t)
	settings.Feeds, settings.Stdout = []crawl.Feed{{URI: "-", Format: "jsonl"}}, noRoom{}
	spider := &crawl.Spider{
		Name: "waits", StartURLs: []string{site + "/later", site + "/item"},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			if r.URL.Path == "/later" {
				return crawl.Reschedule(nil, time.Hour, "later")
			}
			out.Item(map[string]any{"a": 1})
			return nil
		},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	res, err := engine.Run(ctx, spider, settings)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Equal(t, "disk full", res.Reason)
	require.NoError(t, ctx.Err(), "it ended by itself")
}

// TestRescheduleToNoRoute names a callback that does not exist: the request fails, and the job can be opened again.
func TestRescheduleToNoRoute(t *testing.T) {
	t.Parallel()
	settings, site := jobOn(t)
	spider := &crawl.Spider{Name: "typo", StartURLs: []string{site}, Parse: func(_ context.Context, r *crawl.Response, _ *crawl.Out) error {
		again := r.Request.Clone()
		again.Route = "typo"
		return crawl.Reschedule(again, time.Hour, "later")
	}}
	for range 2 {
		res, err := engine.Run(t.Context(), spider, settings)
		require.NoError(t, err)
		require.Equal(t, "finished", res.Reason)
	}
}

// TestRobotsThatCannotBeRead has a site whose robots.txt fails: its pages fail, and are kept for another day. Nobody has forbidden them.
func TestRobotsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var well atomic.Bool
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path != "/robots.txt":
				_, _ = w.Write([]byte("x"))
			case well.Load():
				http.NotFound(w, r)
			default:
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		settings := crawl.Settings{Job: crawl.JobSettings{Dir: filepath.Join(t.TempDir(), "job"), MinFree: -1}, Parts: crawl.Parts{Job: jobdir.Open}}
		spider := &crawl.Spider{Name: "robots", StartURLs: []string{"http://h.example/1", "http://h.example/2"}, Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			out.Item(map[string]any{"url": r.URL.String()})
			return nil
		}}
		res := crawltest.Run(t, spider, settings, site)
		require.Empty(t, res.Items)
		require.EqualValues(t, 2, res.Stats.Int("page_failed_kind_count/robots"))
		require.Zero(t, res.Stats.Int("robotstxt/forbidden"))

		job, err := jobdir.Inspect(t.Context(), settings.Job.Dir, crawl.InspectWrite)
		require.NoError(t, err)
		n, err := job.RequeueFailed(t.Context(), func(r crawl.JobRequest) bool { return r.Kind == string(crawl.KindRobots) })
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.NoError(t, job.Close())
		well.Store(true)
		require.Len(t, crawltest.Run(t, spider, settings, site).Items, 2)
	})
}

package engine_test

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline/store"
)

// shutStore takes nothing until it is opened.
type shutStore struct {
	store.Memory
	mu   sync.Mutex
	shut bool // Guarded by mu.
	puts int  // Guarded by mu.
}

func (s *shutStore) Put(ctx context.Context, name string, r io.Reader, meta crawl.Meta) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return fmt.Errorf("%w: it is shut", store.ErrName) // an error that is not tried again
	}
	s.puts++
	return s.Memory.Put(ctx, name, r, meta)
}

// TestFeedOfAFinishedJob is sent by the next run if the first one could not, and then never again.
func TestFeedOfAFinishedJob(t *testing.T) {
	t.Parallel()
	settings := jobSettings(t)
	bucket := &shutStore{shut: true}
	settings.Parts.Stores = map[string]crawl.OpenStore{"s3": func(context.Context, string, *crawl.Env) (crawl.Store, error) { return bucket, nil }}
	settings.Feeds = []crawl.Feed{{URI: "s3://bucket/%(name)s.jsonl"}}
	var mu sync.Mutex
	var closed []crawl.FeedResult
	settings.Trace.FeedClosed = func(f crawl.FeedResult) {
		mu.Lock()
		defer mu.Unlock()
		closed = append(closed, f)
	}
	spider := &crawl.Spider{Name: "sent", StartURLs: []string{"http://example.com/"}, Parse: titles}
	site := crawltest.Handler(pages(map[string][]string{"/": {"/a"}, "/a": nil}))
	res := crawltest.Run(t, spider, settings, site)
	require.ErrorContains(t, res.Err, "feed s3://bucket/%(name)s.jsonl: upload: bad name: it is shut: the items of s3://bucket/sent.jsonl are kept in the job (")
	require.ErrorContains(t, res.Err, "the same command line tries again to put them in their place")
	require.Len(t, closed, 1)
	require.ErrorIs(t, closed[0].Err, store.ErrName)

	bucket.shut = false
	again := settings
	again.Logger = zap.NewNop()
	for range 2 {
		result, err := engine.Run(t.Context(), spider, again)
		require.NoError(t, err)
		require.True(t, result.AlreadyFinished)
		info, err := bucket.Stat(t.Context(), "sent.jsonl")
		require.NoError(t, err)
		require.Positive(t, info.Size)
		require.Equal(t, 1, bucket.puts)
	}
	require.Len(t, closed, 2)
	require.Equal(t, int64(2), closed[1].Items)
	require.Equal(t, "s3://bucket/sent.jsonl", closed[1].URI)
}

// TestFeedResults are what a crawl says of its feeds.
func TestFeedResults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	settings := crawl.Settings{Logger: zap.NewNop(), Feeds: []crawl.Feed{
		{URI: dir + "/a.jsonl"}, {URI: dir + "/b%(batch_id)d.csv", BatchItems: 2}, {URI: dir + "/c.json", Types: []string{"nothing"}, SkipEmpty: true},
	}}
	spider := &crawl.Spider{Name: "some", Start: func(_ context.Context, out *crawl.Out) error {
		for i := range 5 {
			out.Item(map[string]any{"n": i})
		}
		return nil
	}}
	result, err := engine.Run(t.Context(), spider, settings)
	require.NoError(t, err)
	require.Equal(t, []crawl.FeedResult{
		{Feed: dir + "/a.jsonl", URI: dir + "/a.jsonl", Format: "jsonl", Items: 5, Bytes: 40},
		{Feed: dir + "/b%(batch_id)d.csv", URI: dir + "/b%(batch_id)d.csv", Format: "csv", Batch: 3, Items: 5, Bytes: 16},
		{Feed: dir + "/c.json", URI: dir + "/c.json", Format: "json", Skipped: true},
	}, result.Feeds)
}

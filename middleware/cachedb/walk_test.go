package cachedb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func walked(t *testing.T, s crawl.CacheStorage) (sizes map[string]int64, oldest time.Time) {
	t.Helper()
	sizes = make(map[string]int64)
	require.NoError(t, s.(crawl.CacheWalker).Walk(t.Context(), func(key string, size int64, stored time.Time) {
		require.NotContains(t, sizes, key)
		if sizes[key] = size; oldest.IsZero() || stored.Before(oldest) {
			oldest = stored
		}
	}))
	return sizes, oldest
}

// TestWalk meets every entry once, with what it was stored with last; entries may be removed meanwhile. An opening later it is the same.
func TestWalk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openAt(t, dir)
	sizes, _ := walked(t, s)
	require.Empty(t, sizes)
	const n = 2*walkStep + 100
	want := make(map[string]int64)
	begun := time.Now()
	for i := range n {
		key := fmt.Sprintf("%040x", i*7919)
		require.NoError(t, s.Store(key, make([]byte, 1000)))
		require.NoError(t, s.Store(key, make([]byte, i)))
		want[key] = int64(i)
	}
	last := "ffffffffffffffffffffffffffffffffffffff00"
	require.NoError(t, s.Store(last, make([]byte, 5)))
	want[last] = 5
	sizes, oldest := walked(t, s)
	require.Equal(t, want, sizes)
	require.WithinRange(t, oldest, begun, time.Now())
	require.NoError(t, s.Close())

	s = openAt(t, dir)
	again, same := walked(t, s)
	require.Equal(t, want, again)
	require.True(t, same.Equal(oldest))
	require.NoError(t, s.(crawl.CacheWalker).Walk(t.Context(), func(key string, _ int64, _ time.Time) {
		if key != last {
			require.NoError(t, s.Remove(key))
		}
	}))
	sizes, _ = walked(t, s)
	require.Equal(t, map[string]int64{last: 5}, sizes)

	stopped := errors.New("stopped")
	ctx, stop := context.WithCancelCause(t.Context())
	stop(stopped)
	require.ErrorIs(t, s.(crawl.CacheWalker).Walk(ctx, func(string, int64, time.Time) { require.Fail(t, "it has ended") }), stopped)
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.(crawl.CacheWalker).Walk(t.Context(), nil), os.ErrClosed)
}

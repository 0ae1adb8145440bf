package crawl_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestStats(t *testing.T) {
	t.Parallel()
	s := crawl.NewStats()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 1000 {
				s.Inc("a/count")
				s.Max("a/max", int64(i))
			}
		})
	}
	wg.Wait()
	s.Add("a/count", -1)
	s.Set("reason", "finished")
	s.Counter("never")
	require.EqualValues(t, 7999, s.Int("a/count"))
	require.EqualValues(t, 7, s.Int("a/max"))
	require.Zero(t, s.Int("unknown"))
	require.Nil(t, s.Get("unknown"))
	require.Equal(t, "finished", s.Get("reason"))
	require.Equal(t, map[string]any{"a/count": int64(7999), "a/max": int64(7), "reason": "finished"}, s.Snapshot())
}

package engine_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
)

// BenchmarkPages is what a page costs in the engine, the scheduler and the middlewares: the pages are data URLs, so there is no wire.
func BenchmarkPages(b *testing.B) {
	b.ReportAllocs()
	spider := &crawl.Spider{
		Name: "bench",
		Start: func(_ context.Context, out *crawl.Out) error {
			for i := range b.N {
				out.Request(crawl.Get(fmt.Sprintf("data:,%d", i)))
			}
			return nil
		},
		Parse: func(context.Context, *crawl.Response, *crawl.Out) error { return nil },
	}
	res, err := engine.Run(b.Context(), spider, crawl.Settings{Logger: zap.NewNop(), ConcurrentPerHost: 16})
	require.NoError(b, err)
	require.EqualValues(b, b.N, res.Stats.Int("page_count"))
}

package jobdir

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// BenchmarkCycle is the life of a page in the queue: twenty links of which one is new are pushed, one page is leased, and one acknowledged, with some pages under way.
func BenchmarkCycle(b *testing.B) {
	s, err := Open(b.Context(), b.TempDir()+"/job", crawl.SchedulerOptions{Default: crawl.Limits{Concurrency: 64}})
	require.NoError(b, err)
	pushOf := func(i int) crawl.Push {
		p, err := crawl.NewPush(1, crawl.Get(fmt.Sprintf("http://host-%d.example/catalogue/page-%d.html", i%64, i)))
		require.NoError(b, err)
		return p
	}
	pushes := make([]crawl.Push, b.N+20)
	for i := range pushes {
		pushes[i] = pushOf(i)
	}
	now := time.Now()
	slots := make(chan struct{}, 32)
	var failed error
	commit := func(tx crawl.Tx) {
		slots <- struct{}{}
		s.Commit(&tx, func(_ crawl.Committed, err error) {
			if err != nil {
				failed = err
			}
			<-slots
		})
	}
	commit(crawl.Tx{Push: pushes[:20]})
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		var tx crawl.Tx
		tx.Push = pushes[i+1 : i+21]
		leases, _ := s.Lease(now, 1)
		for _, l := range leases {
			s.Release(l.Request.Slot(), now)
			tx.Ack = append(tx.Ack, l.ID)
		}
		commit(tx)
	}
	require.NoError(b, s.Close(context.Background()))
	b.StopTimer()
	require.NoError(b, failed)
}

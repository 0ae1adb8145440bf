package jobdir

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/scheduler"
)

// TestOrderIsThatOfMemory runs the same thousands of pushes, leases and retries on a job that holds next to nothing in memory, and on the scheduler in memory.
func TestOrderIsThatOfMemory(t *testing.T) {
	t.Parallel()
	for _, order := range []string{crawl.OrderDepth, crawl.OrderBreadth} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(3, 4))
			opts := crawl.SchedulerOptions{Order: order, Default: crawl.Limits{Concurrency: 3}}
			job := patient{mustOpen(t, vfs.NewMem(), opts, 4000)}
			mem := scheduler.New(opts)
			both := []crawl.Scheduler{job, mem}
			defer func() { require.NoError(t, job.Close(t.Context())) }()
			now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			held := [2][]crawl.Lease{}
			for round := range 400 {
				var tx [2]crawl.Tx
				for range rng.IntN(60) {
					req := crawl.Get(fmt.Sprintf("http://h%d.example/%d", rng.IntN(20), rng.IntN(20000)))
					req.Priority = rng.IntN(3)
					parent := uint64(rng.IntN(8)) // sometimes Start
					for i := range both {
						p, err := crawl.NewPush(parent, req)
						require.NoError(t, err)
						tx[i].Push = append(tx[i].Push, p)
					}
				}
				for len(held[0]) > 0 && rng.IntN(4) > 0 {
					retry := rng.IntN(5) == 0
					wait := time.Duration(rng.IntN(3000)) * time.Millisecond
					for i, s := range both {
						l := held[i][0]
						held[i] = held[i][1:]
						s.Release(l.Request.Slot(), now)
						if !retry {
							tx[i].Ack = append(tx[i].Ack, l.ID)
							continue
						}
						n, err := crawl.NewNack(l.ID, l.Request, l.Request, now.Add(wait))
						require.NoError(t, err)
						tx[i].Nack = append(tx[i].Nack, n)
					}
				}
				for i, s := range both {
					commit(t, s, tx[i])
				}
				now = now.Add(time.Duration(rng.IntN(500)) * time.Millisecond)
				most := rng.IntN(30)
				a, _ := job.Lease(now, most)
				b, _ := mem.Lease(now, most)
				require.Equal(t, urls(b), urls(a), "round %d", round)
				held[0], held[1] = append(held[0], a...), append(held[1], b...)
				c, m := job.Counts(), mem.Counts()
				require.Equal(t, m.Queued, c.Queued)
				require.Equal(t, m.Seen, c.Seen)
			}
			require.Greater(t, job.Counts().Queued, 1000)
			require.Less(t, job.frontier.Bytes(), 20*4000)
		})
	}
}

func urls(leases []crawl.Lease) (list []string) {
	for _, l := range leases {
		list = append(list, l.Request.URL.String())
	}
	return list
}

// TestMemoryIsBounded queues far more than may be in memory.
func TestMemoryIsBounded(t *testing.T) {
	dir := t.TempDir()
	opts := crawl.SchedulerOptions{Default: crawl.Limits{Concurrency: 16}, Job: crawl.JobOptions{Memory: 16 << 20}}
	s, err := Open(t.Context(), dir, opts)
	require.NoError(t, err)
	const n = 100_000
	before := heap()
	var tx crawl.Tx
	for i := range n {
		p, err := crawl.NewPush(1, crawl.Get(fmt.Sprintf("http://h%d.example/a/rather/long/path/as/they/are/in/shops/%d?and=a&query=%d", i%100, i, i)))
		require.NoError(t, err)
		if tx.Push = append(tx.Push, p); len(tx.Push) == 500 {
			commit(t, s, tx)
			tx = crawl.Tx{}
		}
	}
	job := s.(*Scheduler)
	job.drain()
	require.Equal(t, n, s.Counts().Queued)
	require.Less(t, job.frontier.Bytes(), 10<<20)
	t.Logf("%d KiB of heap for %d requests", (heap()-before)>>10, n)

	// All of them come out, whatever was in memory.
	asked := map[uint64]bool{}
	for len(asked) < n {
		leases, _ := s.Lease(time.Now(), 500)
		tx := crawl.Tx{}
		for _, l := range leases {
			require.False(t, asked[l.ID])
			asked[l.ID] = true
			s.Release(l.Request.Slot(), time.Now())
			tx.Ack = append(tx.Ack, l.ID)
		}
		if len(leases) == 0 {
			runtime.Gosched()
			continue
		}
		commit(t, s, tx)
	}
	require.Equal(t, crawl.Counts{Seen: n, Slots: s.Counts().Slots}, s.Counts())
	require.NoError(t, s.Close(t.Context()))
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

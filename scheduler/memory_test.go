package scheduler

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/scheduler/schedulertest"
)

// logged is a Memory that writes down what was committed, so that it can be opened again by replaying that.
type logged struct {
	*Memory
	log  *[]crawl.Tx
	put  map[string][]byte
	done map[uint64]int // unfiltered requests that each page had pushed when this was opened
	now  map[uint64]int // and has pushed since
}

func (s *logged) Commit(tx *crawl.Tx, done func(crawl.Committed, error)) {
	var skipped []int
	kept, index, before := *tx, []int{}, maps.Clone(s.now)
	kept.Push = nil
	for i, p := range tx.Push {
		if !p.Filter {
			if s.now[p.Parent]++; s.now[p.Parent] <= s.done[p.Parent] {
				skipped = append(skipped, i)
				continue
			}
		}
		kept.Push = append(kept.Push, p)
		index = append(index, i)
	}
	s.Memory.Commit(&kept, func(c crawl.Committed, err error) {
		if err != nil {
			s.now = before
		} else {
			*s.log = append(*s.log, kept)
			if _, ok := tx.Put[crawl.StartCursor]; ok {
				delete(s.done, 0)
				delete(s.now, 0)
			}
		}
		for i := range c.Seen {
			c.Seen[i] = index[c.Seen[i]]
		}
		c.Seen = append(c.Seen, skipped...)
		slices.Sort(c.Seen)
		done(c, err)
	})
}

func (s *logged) State() map[string][]byte { return s.put }

// replay commits a log to a new scheduler. Leases that a change names are taken out of their queues first, wherever they stand.
func replay(tb schedulertest.TB, opts crawl.SchedulerOptions, log *[]crawl.Tx) *logged {
	s := &logged{Memory: New(opts), log: log, put: map[string][]byte{}, done: map[uint64]int{}, now: map[uint64]int{}}
	for _, tx := range *log {
		s.Memory.Commit(&crawl.Tx{Push: tx.Push}, func(crawl.Committed, error) {})
		for _, p := range tx.Push {
			if !p.Filter {
				s.done[p.Parent]++
			}
		}
		rest := crawl.Tx{Ack: tx.Ack, Fail: tx.Fail, Nack: tx.Nack}
		for _, id := range leasesOf(&rest) {
			s.leased[id] = struct{}{}
			if !s.frontier.Remove(id) {
				tb.Fatalf("replay: %d does not wait", id)
			}
			delete(s.done, id)
		}
		s.Memory.Commit(&rest, func(_ crawl.Committed, err error) {
			if err != nil {
				tb.Fatalf("replay: %v", err)
			}
		})
		for k, v := range tx.Put {
			if s.put[k] = v; v == nil {
				delete(s.put, k)
			}
			if k == crawl.StartCursor {
				delete(s.done, 0)
			}
		}
	}
	return s
}

func leasesOf(tx *crawl.Tx) []uint64 {
	ids := slices.Clone(tx.Ack)
	for i := range tx.Fail {
		ids = append(ids, tx.Fail[i].Lease)
	}
	for i := range tx.Nack {
		ids = append(ids, tx.Nack[i].Lease)
	}
	return ids
}

func TestContract(t *testing.T) {
	t.Parallel()
	schedulertest.Run(t, func(schedulertest.TB) schedulertest.Opener {
		var log []crawl.Tx
		return func(tb schedulertest.TB, opts crawl.SchedulerOptions) crawl.Scheduler { return replay(tb, opts, &log) }
	})
}

// TestIdleSlotsAreDropped lets a hundred thousand hosts come and go.
func TestIdleSlotsAreDropped(t *testing.T) {
	t.Parallel()
	m := New(crawl.SchedulerOptions{Default: crawl.Limits{Concurrency: 1}})
	now := time.Now()
	for i := range 100_000 {
		push, err := crawl.NewPush(1, crawl.Get(fmt.Sprintf("http://h%d.example/", i)))
		require.NoError(t, err)
		commit(t, m, crawl.Tx{Push: []crawl.Push{push}})
		leases, _ := m.Lease(now, 1)
		require.Len(t, leases, 1)
		slot := leases[0].Request.Slot()
		m.Limit(slot, crawl.Limits{Concurrency: 1, Delay: -1})
		if i%10 == 0 {
			m.Limit(slot, crawl.Limits{HoldUntil: now.Add(time.Second)})
		}
		m.Release(slot, now)
		commit(t, m, crawl.Tx{Ack: []uint64{leases[0].ID}})
		now = now.Add(10 * time.Millisecond)
	}
	require.Less(t, m.frontier.Slots(), 3000)
	require.Less(t, m.frontier.Limited(), 3000, "what they were told is what any host has")
}

// TestLimitsAreKept has a hold, a delay and what the settings say of a slot outlast the slots that are dropped meanwhile.
func TestLimitsAreKept(t *testing.T) {
	t.Parallel()
	m := New(crawl.SchedulerOptions{
		Default: crawl.Limits{Concurrency: 2, Delay: time.Second, FixedDelay: true}, Slots: map[string]crawl.Limits{"own.example": {Delay: time.Minute}},
	})
	now := time.Now()
	m.Limit("held.example", crawl.Limits{HoldUntil: now.Add(time.Hour)})
	m.Limit("slow.example", crawl.Limits{Delay: time.Minute, FixedDelay: true})
	m.Limit("drawn.example", crawl.Limits{Delay: time.Second})
	m.Limit("own.example", crawl.Limits{Delay: time.Second, FixedDelay: true})
	for i := range 5000 {
		ok, _ := m.Reserve(fmt.Sprintf("h%d.example", i), now)
		require.True(t, ok)
		m.Release(fmt.Sprintf("h%d.example", i), now)
		now = now.Add(100 * time.Millisecond)
	}
	require.Equal(t, 4, m.frontier.Limited())
	ok, wake := m.Reserve("held.example", now)
	require.False(t, ok)
	require.True(t, wake.After(now))
	for slot, delay := range map[string]time.Duration{"slow.example": time.Minute, "own.example": time.Second} {
		ok, _ = m.Reserve(slot, now)
		require.True(t, ok)
		m.Release(slot, now)
		ok, wake = m.Reserve(slot, now)
		require.False(t, ok)
		require.Equal(t, delay, wake.Sub(now))
	}
}

func commit(t testing.TB, m *Memory, tx crawl.Tx) {
	t.Helper()
	m.Commit(&tx, func(_ crawl.Committed, err error) { require.NoError(t, err) })
}

// TestMemoryOfAPendingRequest holds the gate of 400 bytes a request, everything included.
func TestMemoryOfAPendingRequest(t *testing.T) {
	const n = 200_000
	m := New(crawl.SchedulerOptions{})
	before := heapInUse()
	for i := range n {
		push, err := crawl.NewPush(1, crawl.Get(fmt.Sprintf("http://host-%d.example/catalogue/some-product-name_%d/index.html", i%100, i)))
		require.NoError(t, err)
		commit(t, m, crawl.Tx{Push: []crawl.Push{push}})
	}
	each := (heapInUse() - before) / n
	t.Logf("%d bytes a pending request", each)
	require.Less(t, each, uint64(400))
	runtime.KeepAlive(m)
}

func heapInUse() uint64 {
	runtime.GC()
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return ms.HeapAlloc
}

func BenchmarkPushLeaseAck(b *testing.B) {
	m := New(crawl.SchedulerOptions{Default: crawl.Limits{Concurrency: 64}})
	pushes := make([]crawl.Push, b.N)
	for i := range pushes {
		p, err := crawl.NewPush(1, crawl.Get(fmt.Sprintf("http://host-%d.example/page/%d", i%64, i)))
		require.NoError(b, err)
		pushes[i] = p
	}
	now := time.Now()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		commit(b, m, crawl.Tx{Push: pushes[i : i+1]})
		leases, _ := m.Lease(now, 1)
		m.Release(leases[0].Request.URL.Hostname(), now)
		commit(b, m, crawl.Tx{Ack: []uint64{leases[0].ID}})
	}
}

package scheduler

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/scheduler/schedulertest"
)

// logged is a Memory that writes down what was committed, so that it can be opened again by replaying that.
type logged struct {
	*Memory
	log *[]crawl.Tx
	put map[string][]byte
}

func (s *logged) Commit(tx *crawl.Tx, done func(crawl.Committed, error)) {
	s.Memory.Commit(tx, func(c crawl.Committed, err error) {
		if err == nil {
			*s.log = append(*s.log, *tx)
		}
		done(c, err)
	})
}

func (s *logged) State() map[string][]byte { return s.put }

// replay commits a log to a new scheduler. Leases that a change names are taken out of their queues first, wherever they stand.
func replay(tb schedulertest.TB, opts crawl.SchedulerOptions, log *[]crawl.Tx) *logged {
	s := &logged{Memory: New(opts), log: log, put: map[string][]byte{}}
	for _, tx := range *log {
		s.Memory.Commit(&crawl.Tx{Push: tx.Push}, func(crawl.Committed, error) {})
		for _, id := range tx.Ack {
			s.pull(id)
		}
		for _, f := range tx.Fail {
			s.pull(f.Lease)
		}
		for _, n := range tx.Nack {
			s.pull(n.Lease)
		}
		s.Memory.Commit(&crawl.Tx{Ack: tx.Ack, Fail: tx.Fail, Nack: tx.Nack}, func(_ crawl.Committed, err error) {
			if err != nil {
				tb.Fatalf("replay: %v", err)
			}
		})
		for k, v := range tx.Put {
			if s.put[k] = v; v == nil {
				delete(s.put, k)
			}
		}
	}
	return s
}

// pull takes a waiting request out of its queue as if it had been leased.
func (m *Memory) pull(id uint64) {
	for i := range m.later.all {
		if m.later.all[i].entry.id == id {
			d := m.later.remove(i)
			m.queued--
			m.leased[id] = leased{entry: d.entry, slot: d.slot}
			return
		}
	}
	for _, s := range m.slots {
		for i := range s.queue.all {
			if s.queue.all[i].id == id {
				e := s.queue.remove(i)
				m.queued--
				m.settle(s)
				m.leased[id] = leased{entry: e, slot: s.name}
				return
			}
		}
	}
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
		m.Release(leases[0].Request.Slot(), now)
		commit(t, m, crawl.Tx{Ack: []uint64{leases[0].ID}})
	}
	require.Less(t, m.Counts().Slots, 3000)
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

package scheduler

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/scheduler/internal/frontier"
	"github.com/tulle-go/tulle/scheduler/internal/seen"
)

// Memory is the scheduler of a crawl that lives in memory. It is not safe for concurrent use: the engine's loop is its only caller.
type Memory struct {
	frontier *frontier.Frontier
	leased   map[uint64]struct{}
	seen     seen.Set
	failed   int
	last     int64 // how many were ever queued
}

var _ crawl.Scheduler = (*Memory)(nil)

// New makes an empty scheduler. Zero limits in opts.Default are 8 downloads at once without a delay.
func New(opts crawl.SchedulerOptions) *Memory {
	return &Memory{frontier: frontier.New(opts, nil), leased: make(map[uint64]struct{})}
}

// Commit applies tx at once: done is called before it returns. Lines are for schedulers that keep a job: there must be none.
func (m *Memory) Commit(tx *crawl.Tx, done func(crawl.Committed, error)) {
	if err := m.check(tx); err != nil {
		done(crawl.Committed{}, err)
		return
	}
	var c crawl.Committed
	for i := range tx.Push {
		p := &tx.Push[i]
		if !m.seen.Add(seen.KeyOf(p.Fingerprint)) && p.Filter {
			c.Seen = append(c.Seen, i)
			continue
		}
		m.frontier.Add(p.Slot, m.entry(uint64(m.last+1), p))
	}
	for _, id := range tx.Ack {
		delete(m.leased, id)
	}
	for i := range tx.Fail {
		delete(m.leased, tx.Fail[i].Lease)
		m.failed++
	}
	for i := range tx.Nack {
		n := &tx.Nack[i]
		delete(m.leased, n.Lease)
		if !m.seen.Add(seen.KeyOf(n.Push.Fingerprint)) && n.Push.Filter {
			c.SeenNacks = append(c.SeenNacks, i)
			continue
		}
		e := m.entry(n.Lease, &n.Push)
		if n.NotBefore.IsZero() {
			m.frontier.Add(n.Push.Slot, e)
			continue
		}
		m.frontier.AddLater(frontier.Delayed{Entry: e, At: n.NotBefore, Slot: n.Push.Slot})
	}
	done(c, nil)
}

// check refuses a tx whose leases are not out, or are named twice.
func (m *Memory) check(tx *crawl.Tx) error {
	if len(tx.Lines) > 0 {
		return fmt.Errorf("commit: a scheduler in memory has no journals")
	}
	ids := make([]uint64, 0, 32)
	ids = append(ids, tx.Ack...)
	for i := range tx.Fail {
		ids = append(ids, tx.Fail[i].Lease)
	}
	for i := range tx.Nack {
		ids = append(ids, tx.Nack[i].Lease)
	}
	for _, id := range ids {
		if _, ok := m.leased[id]; !ok {
			return fmt.Errorf("commit: lease %d is not out", id)
		}
	}
	slices.Sort(ids)
	for i := 1; i < len(ids); i++ {
		if ids[i] == ids[i-1] {
			return fmt.Errorf("commit: lease %d is named twice", ids[i])
		}
	}
	return nil
}

// entry makes the queue's form of a push.
func (m *Memory) entry(id uint64, p *crawl.Push) frontier.Entry {
	m.last++
	return frontier.Entry{
		Enc: string(p.Encoded), ID: id, Rank: m.frontier.Rank(m.last, p.Parent == 0), Priority: frontier.Priority(p.Priority),
	}
}

// Lease hands out the best requests of slots that may be asked.
func (m *Memory) Lease(now time.Time, most int) (leases []crawl.Lease, wake time.Time) {
	list, wake := m.frontier.Lease(now, most, nil)
	for i := range list {
		l := &list[i]
		m.leased[l.ID] = struct{}{}
		leases = append(leases, crawl.Lease{ID: l.ID, Request: l.Request, Attempt: 1, Err: l.Err})
	}
	return leases, wake
}

// Reserve takes a place for media.
func (m *Memory) Reserve(slot string, now time.Time) (ok bool, wake time.Time) {
	return m.frontier.Reserve(slot, now)
}

// Release gives a place back.
func (m *Memory) Release(slot string, now time.Time) { m.frontier.Release(slot, now) }

// Hold keeps a slot's requests in the queue, or lets them go on.
func (m *Memory) Hold(slot string, on bool) { m.frontier.Hold(slot, on) }

// Limit changes what a slot allows.
func (m *Memory) Limit(slot string, l crawl.Limits) { m.frontier.Limit(slot, l) }

// Counts says how much there is of what.
func (m *Memory) Counts() crawl.Counts {
	c := m.frontier.Counts()
	c.Leased, c.Failed, c.Seen = len(m.leased), m.failed, m.seen.Len()
	return c
}

// State is empty: a scheduler in memory has no past.
func (m *Memory) State() map[string][]byte { return nil }

// Close has nothing to do.
func (m *Memory) Close(context.Context) error { return nil }

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// ledger is a scheduler that writes down every change, so that it can be opened as it was after any of them: what a process that died then finds. It knows no limits
// of hosts. Its answers come later, from another goroutine.
type ledger struct {
	book    *book
	state   map[string][]byte // as it was when it was opened
	live    map[string][]byte
	pending map[uint64]*waiting
	order   []uint64
	leased  map[uint64]bool
	seen    map[crawl.Fingerprint]bool
	ever    map[uint64]int // unfiltered requests that each page has pushed, in all runs
	now     map[uint64]int // and in this one
	failed  int
	last    uint64
	err     error

	answers chan func()
	gone    chan struct{}
	close   sync.Once
}

type waiting struct {
	enc string
	at  time.Time
}

// book is what outlives a ledger.
type book struct {
	t    *testing.T
	dir  string // whose files belong to the state: the job's folder and its feeds
	txs  []crawl.Tx
	disk []map[string][]byte // the files after the journals have been written, by change

	mu       sync.Mutex
	slow     time.Duration // each answer takes so long
	underWay int           // Guarded by mu: changes that are not answered
	most     int           // Guarded by mu: of those, at once

	answer func(n int, tx *crawl.Tx) (crawl.Committed, error) // what the nth change is answered, if set
	lines  int                                                // bytes of lines that were written
}

// files reads all files of the folder.
func (b *book) files() map[string][]byte {
	all := make(map[string][]byte)
	require.NoError(b.t, filepath.WalkDir(b.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		all[path], err = os.ReadFile(path)
		return err
	}))
	return all
}

// rewind makes the folder what it was.
func (b *book) rewind(files map[string][]byte) {
	for path := range b.files() {
		require.NoError(b.t, os.Remove(path))
	}
	for path, text := range files {
		require.NoError(b.t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(b.t, os.WriteFile(path, text, 0o600))
	}
}

// open opens what the changes in the book have made.
func (b *book) open(context.Context, string, crawl.SchedulerOptions) (crawl.Scheduler, error) {
	s := &ledger{
		book: b, live: make(map[string][]byte), pending: make(map[uint64]*waiting), leased: make(map[uint64]bool),
		seen: make(map[crawl.Fingerprint]bool), ever: make(map[uint64]int), now: make(map[uint64]int),
		answers: make(chan func(), 1<<16), gone: make(chan struct{}),
	}
	for i := range b.txs {
		s.apply(&b.txs[i], true)
	}
	s.state = maps.Clone(s.live)
	go func() {
		defer close(s.gone)
		for f := range s.answers {
			f()
		}
	}()
	return s, nil
}

// apply says which requests are to be written down: not those that a page pushes again.
func (s *ledger) apply(tx *crawl.Tx, replay bool) (c crawl.Committed, fresh []crawl.Push) {
	for i := range tx.Push {
		p := &tx.Push[i]
		if !p.Filter && replay {
			s.ever[p.Parent]++
		} else if !p.Filter {
			if s.now[p.Parent]++; s.now[p.Parent] <= s.ever[p.Parent] {
				c.Seen = append(c.Seen, i)
				continue
			}
		} else if s.seen[p.Fingerprint] {
			c.Seen = append(c.Seen, i)
			continue
		}
		fresh = append(fresh, *p)
		s.last++
		s.queue(s.last, p, time.Time{})
	}
	ended := slices.Clone(tx.Ack)
	for i := range tx.Fail {
		s.failed++
		ended = append(ended, tx.Fail[i].Lease)
	}
	for i := range tx.Nack {
		ended = append(ended, tx.Nack[i].Lease)
	}
	for _, id := range ended {
		delete(s.pending, id)
		delete(s.leased, id)
		delete(s.ever, id)
		delete(s.now, id)
	}
	for i := range tx.Nack {
		n := &tx.Nack[i]
		if n.Push.Filter && s.seen[n.Push.Fingerprint] {
			c.SeenNacks = append(c.SeenNacks, i)
			continue
		}
		s.queue(n.Lease, &n.Push, n.NotBefore)
	}
	for k, v := range tx.Put {
		if s.live[k] = v; v == nil {
			delete(s.live, k)
		}
		if k == crawl.StartCursor {
			delete(s.ever, 0)
			delete(s.now, 0)
		}
	}
	return c, fresh
}

func (s *ledger) queue(id uint64, p *crawl.Push, at time.Time) {
	s.seen[p.Fingerprint] = true
	s.pending[id] = &waiting{enc: string(p.Encoded), at: at}
	s.order = append(s.order, id)
}

func (s *ledger) Commit(tx *crawl.Tx, done func(crawl.Committed, error)) {
	c, err := s.commit(tx)
	b := s.book
	b.mu.Lock()
	b.underWay++
	b.most = max(b.most, b.underWay)
	b.mu.Unlock()
	s.answers <- func() {
		time.Sleep(b.slow)
		b.mu.Lock()
		b.underWay--
		b.mu.Unlock()
		done(c, err)
	}
}

func (s *ledger) commit(tx *crawl.Tx) (c crawl.Committed, err error) {
	b := s.book
	defer func() {
		for _, l := range tx.Lines {
			require.NoError(b.t, l.Text.Close())
		}
		if err != nil {
			s.err = err
		}
	}()
	if s.err != nil {
		return c, s.err
	}
	if b.answer != nil {
		if c, err = b.answer(len(b.txs), tx); err != nil {
			return c, fmt.Errorf("commit: %w", err)
		}
	}
	kept := *tx
	kept.Lines, kept.Put = nil, maps.Clone(tx.Put)
	for _, l := range tx.Lines {
		key, value, err := l.Journal.Append([]io.Reader{counting{l.Text, &b.lines}})
		if err != nil {
			return c, fmt.Errorf("commit: %w", err)
		}
		if key == "" {
			continue
		}
		if kept.Put == nil {
			kept.Put = make(map[string][]byte)
		}
		kept.Put[key] = value
	}
	full := c.Full
	c, kept.Push = s.apply(&kept, false)
	c.Full = full
	b.txs, b.disk = append(b.txs, kept), append(b.disk, b.files())
	for _, l := range tx.Lines {
		if w, ok := l.Journal.(crawl.CommitWatcher); ok {
			w.Committed()
		}
	}
	return c, nil
}

type counting struct {
	io.Reader
	n *int
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	*c.n += n
	return n, err
}

func (s *ledger) Lease(now time.Time, most int) (leases []crawl.Lease, wake time.Time) {
	s.order = slices.DeleteFunc(s.order, func(id uint64) bool {
		w := s.pending[id]
		switch {
		case w == nil || s.leased[id]:
			return true
		case len(leases) == most:
			return false
		case w.at.After(now):
			if wake.IsZero() || w.at.Before(wake) {
				wake = w.at
			}
			return false
		}
		req, err := crawl.ParseWire(w.enc)
		leases = append(leases, crawl.Lease{ID: id, Request: req, Attempt: 1, Err: err})
		s.leased[id] = true
		return true
	})
	return leases, wake
}

func (s *ledger) Reserve(string, time.Time) (bool, time.Time) { return true, time.Time{} }
func (s *ledger) Release(string, time.Time)                   {}
func (s *ledger) Limit(string, crawl.Limits)                  {}
func (s *ledger) Hold(string, bool)                           {}
func (s *ledger) State() map[string][]byte                    { return s.state }

func (s *ledger) Counts() crawl.Counts {
	n := len(s.pending) - len(s.leased)
	return crawl.Counts{Queued: n, Ready: n, Leased: len(s.leased), Failed: s.failed, Seen: len(s.seen)}
}

func (s *ledger) Close(context.Context) error {
	s.close.Do(func() { close(s.answers) })
	<-s.gone
	if s.err != nil {
		return errors.Unwrap(s.err)
	}
	return nil
}

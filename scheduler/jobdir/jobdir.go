package jobdir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/scheduler/internal/frontier"
)

// Scheduler keeps a job. It is not safe for concurrent use: the engine's loop is its only caller.
type Scheduler struct {
	folder
	opts     crawl.SchedulerOptions
	frontier *frontier.Frontier
	out      map[uint64]*held // requests that are neither in the frontier nor acknowledged
	leased   int
	queued   int // of out, those that count as waiting
	delayed  int // of those, on their way from the later ones to their slot
	failed   int
	seen     int
	state    map[string][]byte
	leases   *leases
	suspects suspects
	com      *committer
	lock     io.Closer
	closed   bool

	hosts atomic.Int64 // for status.json
	inbox inbox
}

var _ crawl.Scheduler = (*Scheduler)(nil)

// held is a request that was taken out of the frontier.
type held struct {
	frontier.Entry
	slot   string
	state  heldState
	lease  int  // its place in the file of leases
	ending bool // a change that ends the lease is under way
}

type heldState int

const (
	leased  heldState = iota
	moving            // from the later ones to its slot
	aside             // it waits until another suspect is done
	failing           // it was in hand at too many unclean ends
)

// suspects are requests that may be what ends the process: each is in hand alone, so that the innocent ones are not counted with it.
type suspects struct {
	out   int
	aside []uint64
}

// Open opens a job's folder for a crawl, or makes it. It is what [crawl.Parts].Job wants. The errors are sentences: who has the job, what of the spider or its settings has changed,
// what the folder is instead of a job.
func Open(ctx context.Context, dir string, opts crawl.SchedulerOptions) (crawl.Scheduler, error) {
	s, err := open(ctx, vfs.Default, dir, opts)
	if err != nil {
		return nil, err // no typed nil in the interface
	}
	return s, nil
}

func open(_ context.Context, fs vfs.FS, dir string, opts crawl.SchedulerOptions) (s *Scheduler, err error) {
	j := &opts.Job
	if j.Log == nil {
		j.Log = zap.NewNop()
	}
	if j.Memory == 0 {
		j.Memory = 128 << 20
	}
	h := newHealth(j.Log)
	s = &Scheduler{
		folder: folder{dir: dir, fs: fs, local: fs == vfs.Default}, opts: opts, out: make(map[uint64]*held), inbox: inbox{ready: make(chan struct{}, 1)},
	}
	s.fs = vfs.OnDiskFull(fs, func() {
		h.full.Store(true)
		_ = folder{fs: fs, dir: dir}.remove("ballast")
	})
	if err := s.make(); err != nil {
		return nil, err
	}
	var closers []io.Closer
	defer func() {
		if err == nil {
			return
		}
		for _, c := range slices.Backward(closers) {
			err = errors.Join(err, c.Close())
		}
	}()
	if _, err := s.describe(); err != nil { // a folder of something else is left as it is
		return nil, err
	}
	lock, stale, err := s.folder.lock(lockNormal)
	if err != nil {
		return nil, err
	}
	closers, s.lock = append(closers, lock), lock
	desc, err := s.describe() // another process may have made it meanwhile
	if err != nil {
		return nil, err
	}
	if desc != nil {
		if err := desc.agree(&opts); err != nil {
			return nil, err
		}
	}
	if err := s.room(); err != nil {
		return nil, err
	}
	if desc == nil {
		desc = &description{Format: format, Spider: j.Spider, Order: orderOf(&opts), Identity: j.Identity, Created: time.Now().UTC()}
		if err := s.write("job.json", desc, true); err != nil {
			return nil, diskFull(err)
		}
	}
	own := s.folder // s is nil after an error
	defer func() {
		if err != nil {
			err = errors.Join(err, own.remove("ballast"))
		}
	}()
	if err := s.fillBallast(ballastSize(j.MinFree)); err != nil {
		return nil, diskFull(err)
	}
	parts := divide(j.Memory)
	how := storeNew
	if desc.Store {
		how = storeOld
	}
	db, err := openStore(s.fs, s.path("db"), parts, h, how)
	if err != nil {
		return nil, err
	}
	closers = append(closers, db)
	if !desc.Store {
		if err := s.sync(); err != nil {
			return nil, err
		}
		desc.Store = true
		if err := s.write("job.json", desc, true); err != nil {
			return nil, diskFull(err)
		}
	}
	s.com = newCommitter(s, db, parts, h)
	s.com.desc = *desc
	if err := s.restore(stale, parts); err != nil {
		return nil, err
	}
	go s.com.run()
	return s, nil
}

// room checks that the disk has room, for the ballast too.
func (s *Scheduler) room() error {
	least := s.opts.Job.MinFree
	if least <= 0 {
		return nil
	}
	free, err := s.free()
	if err != nil {
		return fmt.Errorf("free space: %w", err)
	}
	if free < least+ballastSize(least) {
		return fmt.Errorf("%w: the disk of %s has %d MiB free, and job.min_free asks for %d: make room, or set it lower", crawl.ErrDiskFull, s.dir, free>>20, least>>20)
	}
	return nil
}

// restore reads what was committed.
func (s *Scheduler) restore(stale *crawl.JobOwner, parts budget) error {
	c := s.com
	if err := c.load(); err != nil {
		return err
	}
	if err := c.knownRoutes(s.opts.Job.Routes); err != nil {
		return err
	}
	ls, inHand, err := openLeases(s.fs, s.path("leases"))
	if err != nil {
		return err
	}
	s.leases = ls
	if stale != nil && !stale.Since.Equal(c.meta.Counted) {
		c.meta.Counted = stale.Since // once, whatever becomes of this opening
		n := 0
		for _, id := range inHand {
			if id <= c.meta.LastID {
				c.kills[id]++
				n++
				if err := c.batch.Set(idKey(keyKills, id), []byte{byte(min(c.kills[id], 255))}, nil); err != nil {
					return err
				}
			}
		}
		c.meta.Kills++
		s.opts.Job.Log.Warn("the process that had the job ended without closing it",
			zap.Int("pid", stale.PID), zap.String("host", stale.Host), zap.Time("since", stale.Since), zap.Int("pages_in_hand", n))
	}
	if err := c.pruneKills(); err != nil {
		return err
	}
	c.meta.Runs++
	if err := c.write(); err != nil {
		return err
	}
	if err := s.write("owner.json", self(), true); err != nil {
		return diskFull(err)
	}
	if err := ls.begin(s.fs, s.path("leases")); err != nil {
		return diskFull(err)
	}
	s.frontier = frontier.New(s.opts, &frontier.Spill{Memory: parts.heads, Due: s.due})
	if err := c.heads(s.frontier); err != nil {
		return err
	}
	s.failed, s.seen, s.state = int(c.meta.Failed), int(c.meta.Seen), c.state
	s.ask()
	return nil
}

// due takes over a request whose time has come: it moves to its slot's queue on disk first.
func (s *Scheduler) due(d frontier.Delayed) {
	s.hold(&held{Entry: d.Entry, slot: d.Slot, state: moving})
	s.delayed++
	s.com.send(op{move: &d})
}

// hold keeps what is out of the frontier, and not leased.
func (s *Scheduler) hold(h *held) {
	s.out[h.ID] = h
	if h.state != leased {
		s.queued++
	}
}

// drop forgets what was held.
func (s *Scheduler) drop(h *held) {
	delete(s.out, h.ID)
	if h.state != leased {
		s.queued--
		return
	}
	s.leased--
	s.leases.remove(h.lease)
	if s.suspect(&h.Entry) {
		s.suspects.out--
	}
}

// suspect says that a request was in hand at so many unclean ends that the next is its last.
func (s *Scheduler) suspect(e *frontier.Entry) bool {
	n := s.opts.Job.Attempts
	return n > 1 && int(e.Kills) >= n-1
}

// setAside takes requests out that must not leave now: those that were in hand at too many unclean ends, and suspects, which leave alone.
func (s *Scheduler) setAside(slot string, e *frontier.Entry) bool {
	switch n := s.opts.Job.Attempts; {
	case n > 0 && int(e.Kills) >= n:
		s.hold(&held{Entry: *e, slot: slot, state: failing})
		s.com.send(op{poison: &poison{entry: *e, slot: slot}})
		return true
	case !s.suspect(e):
		return false
	}
	s.hold(&held{Entry: *e, slot: slot, state: aside})
	s.suspects.aside = append(s.suspects.aside, e.ID)
	return true
}

// Lease hands out the best requests of slots that may be asked. A slot whose next requests are still being read is passed over.
func (s *Scheduler) Lease(now time.Time, most int) (leases []crawl.Lease, wake time.Time) {
	s.drain()
	if s.suspects.out > 0 || len(s.suspects.aside) > 0 {
		return s.leaseSuspect(now, most)
	}
	list, wake := s.frontier.Lease(now, most, s.setAside)
	for i := range list {
		leases = append(leases, s.lease(&list[i]))
	}
	if s.leased == 0 && len(s.suspects.aside) > 0 { // they have just been found
		return s.leaseSuspect(now, most)
	}
	s.ask()
	s.hosts.Store(int64(s.frontier.Counts().Slots))
	return leases, wake
}

// lease writes down that a request leaves.
func (s *Scheduler) lease(l *frontier.Leased) crawl.Lease {
	h := &held{Entry: l.Entry, slot: l.Slot, state: leased, lease: s.leases.add(l.ID)}
	s.hold(h)
	s.leased++
	return crawl.Lease{ID: l.ID, Request: l.Request, Attempt: int(l.Kills) + 1, Err: l.Err}
}

// leaseSuspect lets one suspect go when nothing else is in hand. What ends the process then is it.
func (s *Scheduler) leaseSuspect(now time.Time, most int) (leases []crawl.Lease, wake time.Time) {
	if s.leased > 0 || most <= 0 {
		return nil, time.Time{}
	}
	s.frontier.Advance(now)
	s.ask()
	for i, id := range s.suspects.aside {
		h := s.out[id]
		req, err := crawl.ParseWire(h.Enc)
		if err == nil {
			ok, at := s.frontier.Reserve(h.slot, now)
			if !ok {
				if wake.IsZero() || !at.IsZero() && at.Before(wake) {
					wake = at
				}
				continue
			}
		}
		s.suspects.aside = slices.Delete(s.suspects.aside, i, i+1)
		s.suspects.out++
		s.drop(h)
		return []crawl.Lease{s.lease(&frontier.Leased{Entry: h.Entry, Slot: h.slot, Request: req, Err: err})}, time.Time{}
	}
	return nil, wake
}

// Reserve takes a place for media.
func (s *Scheduler) Reserve(slot string, now time.Time) (ok bool, wake time.Time) {
	s.drain()
	defer s.ask()
	return s.frontier.Reserve(slot, now)
}

// Release gives a place back.
func (s *Scheduler) Release(slot string, now time.Time) {
	s.frontier.Release(slot, now)
	s.ask()
}

// Hold keeps a slot's requests in the queue, or lets them go on.
func (s *Scheduler) Hold(slot string, on bool) { s.frontier.Hold(slot, on) }

// Limit changes what a slot allows.
func (s *Scheduler) Limit(slot string, l crawl.Limits) { s.frontier.Limit(slot, l) }

// Commit hands tx to the committer, which calls done on its own goroutine.
func (s *Scheduler) Commit(tx *crawl.Tx, done func(crawl.Committed, error)) {
	if s.closed {
		closeLines(tx.Lines)
		done(crawl.Committed{}, errors.New("commit: the job is closed"))
		return
	}
	s.drain()
	o := op{tx: tx, done: done}
	refuse := func(err error) {
		for _, h := range o.ends {
			h.ending = false
		}
		closeLines(tx.Lines)
		done(crawl.Committed{}, fmt.Errorf("commit: %w", err))
	}
	end := func(id uint64) error {
		h := s.out[id]
		switch {
		case h == nil || h.state != leased:
			return fmt.Errorf("lease %d is not out", id)
		case h.ending:
			return fmt.Errorf("lease %d is named twice", id)
		}
		h.ending = true
		o.ends = append(o.ends, h)
		return nil
	}
	for _, id := range tx.Ack {
		if err := end(id); err != nil {
			refuse(err)
			return
		}
	}
	for i := range tx.Fail {
		if err := end(tx.Fail[i].Lease); err != nil {
			refuse(err)
			return
		}
	}
	for i := range tx.Nack {
		if err := end(tx.Nack[i].Lease); err != nil {
			refuse(err)
			return
		}
	}
	for i := range tx.Push {
		if len(tx.Push[i].Slot) > math.MaxUint16 {
			refuse(fmt.Errorf("the name of a slot has %d bytes: %.40q…", len(tx.Push[i].Slot), tx.Push[i].Slot))
			return
		}
	}
	s.com.send(o)
}

// Counts says how much there is of what.
func (s *Scheduler) Counts() crawl.Counts {
	s.drain()
	c := s.frontier.Counts()
	c.Queued += s.queued
	c.Delayed += s.delayed
	c.Leased, c.Failed, c.Seen = s.leased, s.failed, s.seen
	return c
}

// State is what was put before the job was opened.
func (s *Scheduler) State() map[string][]byte { return s.state }

// Close writes what was committed, and gives the job back. A process that closes its job has not been ended by a page, whatever else went wrong.
func (s *Scheduler) Close(ctx context.Context) error {
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.com.close(ctx)
	select {
	case <-s.com.gone:
	default:
		return err // it still writes, perhaps: nobody else may have the job
	}
	tidied := firstError(s.leases.close(), s.remove("leases"), s.remove("ballast"), s.remove("owner.json"))
	if err == nil {
		err = tidied
	}
	if s.com.health.err() != nil {
		return err // the store was given up as it is, and has goroutines: the lock ends with the process
	}
	return errors.Join(err, s.lock.Close())
}

// ask sends what the frontier wants to the committer, which reads it between two changes.
func (s *Scheduler) ask() {
	for _, w := range s.frontier.Wants() {
		s.com.send(op{want: &w})
	}
}

// inbox is where the committer leaves what it has done, in the order in which it did it: a request that was queued stands before or behind the part of the queue that was read
// after or before it.
type inbox struct {
	mu    sync.Mutex
	news  []news // Guarded by mu.
	some  atomic.Bool
	spare []news
	ready chan struct{}
}

// news is something that the committer has done.
type news struct {
	queued  []queued // pushed, handed back, or come due
	ended   []*held  // leases that are no more
	failed  int
	seen    int
	again   []*held // leases that are still out: the change failed
	moved   uint64  // a request that has come due
	poison  uint64  // a request that has gone to the failures
	want    *frontier.Want
	entries []frontier.Entry
	delayed []frontier.Delayed
	next    frontier.Key
	more    bool
}

type queued struct {
	slot  string
	entry frontier.Entry
	at    time.Time // zero: at once
}

func (b *inbox) put(n news) {
	b.mu.Lock()
	b.news = append(b.news, n)
	b.some.Store(true)
	b.mu.Unlock()
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// drain takes in what the committer has done.
func (s *Scheduler) drain() {
	b := &s.inbox
	if !b.some.Load() {
		return
	}
	b.mu.Lock()
	list := b.news
	b.news = b.spare[:0]
	b.some.Store(false)
	b.mu.Unlock()
	for i := range list {
		s.take(&list[i])
	}
	clear(list)
	if b.spare = list; cap(list) > keptNews {
		b.spare = nil
	}
	s.ask()
}

const keptNews = 1024

func (s *Scheduler) take(n *news) {
	for _, h := range n.again {
		h.ending = false
	}
	for _, h := range n.ended {
		s.drop(h)
	}
	s.failed += n.failed
	s.seen += n.seen
	for _, id := range []uint64{n.moved, n.poison} {
		if h := s.out[id]; h != nil {
			if h.state == moving {
				s.delayed--
			}
			s.drop(h)
		}
	}
	for i := range n.queued {
		q := &n.queued[i]
		if q.at.IsZero() {
			s.frontier.Add(q.slot, q.entry)
			continue
		}
		s.frontier.AddLater(frontier.Delayed{Entry: q.entry, At: q.at, Slot: q.slot})
	}
	if n.want == nil {
		return
	}
	if n.want.Later {
		s.frontier.FillLater(*n.want, slices.DeleteFunc(n.delayed, func(d frontier.Delayed) bool { return s.out[d.ID] != nil }), n.next, n.more)
		return
	}
	s.frontier.Fill(*n.want, slices.DeleteFunc(n.entries, func(e frontier.Entry) bool { return s.out[e.ID] != nil }), n.next, n.more)
}

// closeLines closes what will not be written.
func closeLines(lines []crawl.Lines) {
	for _, l := range lines {
		_ = l.Text.Close()
	}
}

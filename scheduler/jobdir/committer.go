package jobdir

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/scheduler/internal/frontier"
	"github.com/tulle-go/tulle/scheduler/internal/seen"
)

// When a group is closed, whichever comes first.
const (
	groupAge   = 5 * time.Millisecond
	groupOps   = 8192    // keys
	groupBytes = 4 << 20 // of the batch, and of lines
)

// op is something for the committer to do.
type op struct {
	tx   *crawl.Tx
	done func(crawl.Committed, error)
	ends []*held // the leases that tx ends, in the order of Ack, Fail, Nack

	move   *frontier.Delayed
	poison *poison
	want   *frontier.Want
	sync   chan<- error // told when all before it is durable
}

type poison struct {
	entry frontier.Entry
	slot  string
}

// committer is one goroutine: it alone reads and writes the store while the job runs.
type committer struct {
	s      *Scheduler
	db     *pebble.DB
	health *health
	log    *zap.Logger

	mu     sync.Mutex
	ops    []op          // Guarded by mu.
	ending bool          // Guarded by mu.
	signal chan struct{} // there is something to do
	gone   chan struct{} // closed when run has returned

	// The rest is run's own.
	spare     []op
	reads     []op // that wait for changes to be applied
	meta      meta
	desc      description
	routes    map[string]uint16
	kills     map[uint64]int
	out       map[uint64]*pushed // pages in hand that have pushed unfiltered requests
	state     map[string][]byte  // as it was when the job was opened
	live      map[string][]byte  // of the state, what describes the job
	known     *seen.Set          // all fingerprints, while they are few
	cache     *seen.Cache        // those met last, when they are many
	memory    int                // for either
	batch     *pebble.Batch
	began     time.Time // of the group
	lines     []lines
	lineBytes int
	freshSeen int  // fingerprints that the change in work has added
	full      bool // little room is left
	checked   time.Time
	told      time.Time // when status.json was written
	measured  time.Time // when the folder was
	disk      int64
	err       error // nothing more is written
	key, val  []byte
}

// lines are what a group appends to one journal.
type lines struct {
	to   crawl.Journal
	text []io.Reader
}

// pushed counts the unfiltered requests of a page: those that were committed, by any run, and those of this one.
type pushed struct{ ever, now int }

func newCommitter(s *Scheduler, db *pebble.DB, parts budget, h *health) *committer {
	return &committer{
		s: s, db: db, health: h, log: s.opts.Job.Log, signal: make(chan struct{}, 1), gone: make(chan struct{}),
		routes: make(map[string]uint16), kills: make(map[uint64]int), out: make(map[uint64]*pushed),
		state: make(map[string][]byte), live: make(map[string][]byte), memory: parts.seen, batch: db.NewIndexedBatch(),
	}
}

func (c *committer) send(o op) {
	c.mu.Lock()
	c.ops = append(c.ops, o)
	c.mu.Unlock()
	c.wake()
}

func (c *committer) wake() {
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// close ends the committer: what was committed is written. It waits for ctx, and in any case not for ever: a store that has no room to write may not answer.
func (c *committer) close(ctx context.Context) error {
	c.mu.Lock()
	c.ending = true
	c.mu.Unlock()
	c.wake()
	timer := time.NewTimer(closeTime)
	defer timer.Stop()
	select {
	case <-c.gone:
	case <-ctx.Done():
		return fmt.Errorf("close the job: %w", context.Cause(ctx))
	case <-timer.C:
		err := fmt.Errorf("close the job: the store does not answer for %s", closeTime)
		if c.health.full.Load() {
			err = fmt.Errorf("%w: %w", crawl.ErrDiskFull, err)
		}
		return err
	}
	return c.err
}

const closeTime = 30 * time.Second

// take waits for something to do: ops, or the end of the group's time.
func (c *committer) take() (ops []op, ending bool) {
	wait := heartbeat
	if !c.began.IsZero() {
		wait = groupAge - time.Since(c.began)
	}
	var timer <-chan time.Time
	for {
		c.mu.Lock()
		if len(c.ops) > 0 || c.ending || len(c.reads) > 0 {
			ops, c.ops, c.spare = c.ops, c.spare, nil
			ending = c.ending
			c.mu.Unlock()
			return ops, ending
		}
		c.mu.Unlock()
		if wait <= 0 {
			return nil, false
		}
		if timer == nil {
			t := time.NewTimer(wait)
			defer t.Stop()
			timer = t.C
		}
		select {
		case <-c.signal:
		case <-timer:
			return nil, false
		}
	}
}

// heartbeat is how often an idle job shows that it is alive.
const heartbeat = 10 * time.Second

// run writes until the job is closed.
func (c *committer) run() {
	defer close(c.gone)
	c.work()
	if c.err == nil {
		c.tell(true)
	}
	closed := make(chan error, 1)
	if c.health.err() == nil {
		go func() { closed <- firstError(c.batch.Close(), c.db.Close()) }()
	}
	if err := c.await(closed); err != nil {
		c.fail(fmt.Errorf("close the store: %w", err))
	}
}

func (c *committer) work() {
	for {
		ops, ending := c.take()
		for i := range ops {
			if o := &ops[i]; o.want != nil {
				c.reads = append(c.reads, *o) // changes first
				continue
			}
			c.apply(&ops[i])
			if c.due() {
				c.flush()
			}
		}
		clear(ops)
		if ops != nil {
			c.spare = ops[:0] // nobody else has it
		}
		for i := range min(len(c.reads), readsAtOnce) {
			c.apply(&c.reads[i])
		}
		c.reads = slices.Delete(c.reads, 0, min(len(c.reads), readsAtOnce))
		if ending || !c.began.IsZero() && time.Since(c.began) >= groupAge {
			c.flush()
		}
		if ending && c.idle() {
			return
		}
		c.tell(false)
	}
}

// readsAtOnce is how many parts of the queue are read before changes are looked for again.
const readsAtOnce = 16

func (c *committer) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ops) == 0
}

func (c *committer) due() bool {
	return c.batch.Count() >= groupOps || c.batch.Len() >= groupBytes || c.lineBytes >= groupBytes
}

// fail remembers the first error, after which nothing is written.
func (c *committer) fail(err error) {
	if c.err == nil {
		c.err = diskFull(err)
		if f := c.s.opts.Failed; f != nil {
			f(c.err)
		}
	}
}

// apply does one thing, and leaves what it has done in the inbox.
func (c *committer) apply(o *op) {
	if err := c.health.err(); err != nil {
		c.fail(err)
	}
	n := news{}
	var err error
	var res crawl.Committed
	if err = c.err; err == nil {
		switch {
		case o.tx != nil:
			if c.began.IsZero() {
				c.began = time.Now()
			}
			res, err = c.change(o, &n)
		case o.move != nil:
			err = c.move(o.move, &n)
		case o.poison != nil:
			if c.began.IsZero() {
				c.began = time.Now()
			}
			err = c.fails(&o.poison.entry, o.poison.slot, "killed", fmt.Sprintf("the process ended %d times while the page was in hand", o.poison.entry.Kills), &n)
			n.poison = o.poison.entry.ID
			c.log.Error("a page is not asked again: the process ended each time it was in hand",
				zap.Uint64("id", o.poison.entry.ID), zap.Int16("times", o.poison.entry.Kills), zap.String("slot", o.poison.slot))
		case o.want != nil:
			err = c.read(o.want, &n)
		}
	}
	if err != nil {
		c.fail(err)
		err = c.err
		n = news{again: o.ends, want: nil}
		if o.tx != nil {
			closeLines(o.tx.Lines)
		}
	}
	c.s.inbox.put(n)
	if wake := c.s.opts.Wake; wake != nil && (o.tx == nil || err != nil) {
		wake()
	}
	if o.sync != nil {
		c.flush()
		o.sync <- c.err
	}
	if done := o.done; done != nil {
		o.done = nil
		res.Full = c.full || c.health.full.Load()
		if err != nil {
			res, err = crawl.Committed{}, fmt.Errorf("commit: %w", err)
		}
		done(res, err)
	}
}

// change adds a Tx to the group. After an error the group is not written.
func (c *committer) change(o *op, n *news) (res crawl.Committed, err error) {
	tx := o.tx
	for i := range tx.Push {
		p := &tx.Push[i]
		fresh, err := c.see(p, &res, i)
		if err != nil {
			return res, err
		}
		if fresh {
			if err := c.enqueue(p, c.nextID(), time.Time{}, n); err != nil {
				return res, err
			}
		}
	}
	n.ended = o.ends
	ends := o.ends
	for range tx.Ack {
		if err := c.end(ends[0]); err != nil {
			return res, err
		}
		c.meta.Done++
		ends = ends[1:]
	}
	for i := range tx.Fail {
		f := &tx.Fail[i]
		if err := c.fails(&ends[0].Entry, ends[0].slot, f.Kind, f.Reason, n); err != nil {
			return res, err
		}
		ends = ends[1:]
	}
	for i := range tx.Nack {
		k := &tx.Nack[i]
		if err := c.end(ends[0]); err != nil {
			return res, err
		}
		ends = ends[1:]
		isNew, err := c.add(k.Push)
		if err != nil {
			return res, err
		}
		if isNew {
			n.seen++
		} else if k.Push.Filter {
			res.SeenNacks = append(res.SeenNacks, i)
			c.meta.Duplicates++
			continue
		}
		if err := c.enqueue(&k.Push, k.Lease, k.NotBefore, n); err != nil {
			return res, err
		}
	}
	for k, v := range tx.Put {
		if err := c.put(k, v); err != nil {
			return res, err
		}
	}
	if _, ok := tx.Put[crawl.StartCursor]; ok {
		if err := c.forget(0); err != nil {
			return res, err
		}
	}
	for _, l := range tx.Lines {
		c.gather(l)
	}
	n.seen += c.freshSeen
	c.freshSeen = 0
	return res, nil
}

// see says whether a pushed request is to be queued.
func (c *committer) see(p *crawl.Push, res *crawl.Committed, i int) (fresh bool, err error) {
	if !p.Filter {
		o := c.out[p.Parent]
		if o == nil {
			o = new(pushed)
			c.out[p.Parent] = o
		}
		if o.now++; o.now <= o.ever {
			res.Seen = append(res.Seen, i) // the page is done again
			return false, nil
		}
		o.ever++
		if err := c.batch.Set(idKey(keyOut, p.Parent), binary.AppendUvarint(nil, uint64(o.ever)), nil); err != nil {
			return false, err
		}
	}
	isNew, err := c.add(*p)
	if err != nil {
		return false, err
	}
	if isNew {
		c.freshSeen++
	} else if p.Filter {
		res.Seen = append(res.Seen, i)
		c.meta.Duplicates++
		return false, nil
	}
	return true, nil
}

// add adds a request's fingerprint, and reports whether it is new.
func (c *committer) add(p crawl.Push) (fresh bool, err error) {
	k := seen.KeyOf(p.Fingerprint)
	if c.known != nil {
		if !c.known.Add(k) {
			return false, nil
		}
		c.overflow()
	} else {
		if c.cache.Has(k) {
			return false, nil
		}
		c.key = seenKey(c.key[:0], k)
		_, closer, err := c.batch.Get(c.key)
		switch {
		case err == nil:
			c.cache.Add(k)
			return false, closer.Close()
		case !errors.Is(err, pebble.ErrNotFound):
			return false, fmt.Errorf("read the fingerprints: %w", err)
		}
		c.cache.Add(k)
	}
	c.meta.Seen++
	c.key = seenKey(c.key[:0], k)
	return true, c.batch.Set(c.key, nil, nil)
}

// overflow goes over to the cache when the set of all fingerprints becomes too large.
func (c *committer) overflow() {
	if _, next := c.known.Bytes(); next > c.memory/2 {
		c.known, c.cache = nil, seen.NewCache(c.memory)
	}
}

func (c *committer) nextID() uint64 {
	c.meta.LastID++
	return c.meta.LastID
}

// enqueue queues a request.
func (c *committer) enqueue(p *crawl.Push, id uint64, at time.Time, n *news) error {
	c.meta.Rank++
	e := frontier.Entry{
		Enc: string(p.Encoded), ID: id, Rank: c.rank(p.Parent == 0), Priority: frontier.Priority(p.Priority), Route: c.route(p.Route),
	}
	c.meta.Queued++
	c.meta.Routes[e.Route].Queued++
	n.queued = append(n.queued, queued{slot: p.Slot, entry: e, at: at})
	if at.IsZero() {
		c.key = queueKey(c.key[:0], p.Slot, e.Key())
		c.val = appendEntry(c.val[:0], &e)
	} else {
		d := frontier.Delayed{Entry: e, At: at, Slot: p.Slot}
		c.key = laterKey(c.key[:0], d.Key())
		c.val = appendLater(c.val[:0], &d)
	}
	return c.batch.Set(c.key, c.val, nil)
}

func (c *committer) rank(fromStart bool) int64 {
	if fromStart || c.s.opts.Order == crawl.OrderBreadth {
		return -c.meta.Rank
	}
	return c.meta.Rank
}

// route numbers a route's name.
func (c *committer) route(name string) uint16 {
	i, ok := c.routes[name]
	if !ok {
		i = uint16(len(c.meta.Routes))
		c.routes[name] = i
		c.meta.Routes = append(c.meta.Routes, route{Name: name})
	}
	return i
}

// end takes a request out of the queue for good.
func (c *committer) end(h *held) error { return c.remove(&h.Entry, h.slot) }

func (c *committer) remove(e *frontier.Entry, slot string) error {
	c.meta.Queued--
	c.meta.Routes[e.Route].Queued--
	c.key = queueKey(c.key[:0], slot, e.Key())
	// Every key of the queue is set once, and taken away once.
	if err := c.batch.SingleDelete(c.key, nil); err != nil {
		return err
	}
	if c.kills[e.ID] > 0 {
		delete(c.kills, e.ID)
		if err := c.batch.Delete(idKey(keyKills, e.ID), nil); err != nil {
			return err
		}
	}
	return c.forget(e.ID)
}

// forget forgets how many unfiltered requests a page has pushed.
func (c *committer) forget(id uint64) error {
	if c.out[id] == nil {
		return nil
	}
	delete(c.out, id)
	return c.batch.Delete(idKey(keyOut, id), nil)
}

// fails moves a request to the failures.
func (c *committer) fails(e *frontier.Entry, slot, kind, reason string, n *news) error {
	f := failure{Kind: kind, Reason: reason, At: time.Now().UTC(), Kills: int(e.Kills)}
	val, err := appendFailure(nil, &f, e.Enc)
	if err != nil {
		return err
	}
	if err := c.remove(e, slot); err != nil {
		return err
	}
	c.meta.Failed++
	n.failed++
	return c.batch.Set(idKey(keyFailed, e.ID), val, nil)
}

// move moves a request whose time has come into its slot's queue.
func (c *committer) move(d *frontier.Delayed, n *news) error {
	c.key = laterKey(c.key[:0], d.Key())
	if err := c.batch.SingleDelete(c.key, nil); err != nil {
		return err
	}
	c.key = queueKey(c.key[:0], d.Slot, d.Entry.Key())
	c.val = appendEntry(c.val[:0], &d.Entry)
	n.moved, n.queued = d.ID, []queued{{slot: d.Slot, entry: d.Entry}}
	if c.began.IsZero() {
		c.began = time.Now()
	}
	return c.batch.Set(c.key, c.val, nil)
}

func (c *committer) put(key string, value []byte) error {
	if describes(key) {
		if c.live[key] = value; value == nil {
			delete(c.live, key)
		}
	}
	if value == nil {
		return c.batch.Delete(stateKey(key), nil)
	}
	return c.batch.Set(stateKey(key), value, nil)
}

func describes(key string) bool {
	return strings.HasPrefix(key, "job/") || strings.HasPrefix(key, crawl.FeedPrefix) || key == crawl.StartDone
}

// gather keeps lines for the end of the group.
func (c *committer) gather(l crawl.Lines) {
	c.lineBytes += int(l.Size)
	i := slices.IndexFunc(c.lines, func(o lines) bool { return o.to == l.Journal })
	if i < 0 {
		i = len(c.lines)
		c.lines = append(c.lines, lines{to: l.Journal})
	}
	c.lines[i].text = append(c.lines[i].text, l.Text)
}

// flush makes the group durable: first what it appends, then all else in one batch.
func (c *committer) flush() {
	defer c.dropLines()
	c.began = time.Time{}
	if c.err != nil {
		return
	}
	for i := range c.lines {
		if err := c.appendLines(&c.lines[i]); err != nil {
			c.fail(err)
			return
		}
	}
	if c.batch.Empty() {
		return
	}
	if err := c.write(); err != nil {
		c.fail(err)
		return
	}
	for i := range c.lines {
		if err := committed(c.lines[i].to); err != nil {
			c.fail(err)
			return
		}
	}
	c.checkRoom()
}

// committed tells a journal that what it has appended is durable.
func committed(to crawl.Journal) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &crawl.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	if w, ok := to.(crawl.CommitWatcher); ok {
		w.Committed()
	}
	return nil
}

// appendLines appends to one journal, and adds its position to the batch.
func (c *committer) appendLines(l *lines) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &crawl.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	key, value, err := l.to.Append(l.text)
	if err != nil || key == "" {
		return err
	}
	return c.put(key, value)
}

func (c *committer) dropLines() {
	for i := range c.lines {
		for _, r := range c.lines[i].text {
			if cl, ok := r.(io.Closer); ok {
				_ = cl.Close()
			}
		}
	}
	c.lines, c.lineBytes = nil, 0
}

// write commits the batch and begins the next.
func (c *committer) write() error {
	b, err := json.Marshal(&c.meta)
	if err := firstError(err, c.batch.Set([]byte{keyMeta}, b, nil)); err != nil {
		return err
	}
	batch, written := c.batch, make(chan error, 1)
	go func() { written <- firstError(c.db.Apply(batch, pebble.Sync), batch.Close()) }()
	if err := c.await(written); err != nil {
		return fmt.Errorf("write the store: %w", err)
	}
	c.batch = c.db.NewIndexedBatch()
	return nil
}

// await waits for the store. One that cannot write its tables lets nobody write in the end, and says nothing.
func (c *committer) await(answer <-chan error) error {
	tick := time.NewTicker(stallTime)
	defer tick.Stop()
	for {
		select {
		case err := <-answer:
			return err
		case <-c.health.died:
			return c.health.err()
		case <-tick.C:
			if why := c.health.behind.Swap(nil); why != nil {
				c.health.lose(*why)
				return c.health.err()
			}
		}
	}
}

// stallTime is how long a write waits for a store whose own work fails.
const stallTime = 5 * time.Second

// checkRoom looks at the disk from time to time.
func (c *committer) checkRoom() {
	least := c.s.opts.Job.MinFree
	if least <= 0 || time.Since(c.checked) < 100*time.Millisecond {
		return
	}
	c.checked = time.Now()
	if free, err := c.s.free(); err == nil {
		c.full = free < least
	}
}

// read reads a part of the queue.
func (c *committer) read(w *frontier.Want, n *news) error {
	n.want = w
	lower, upper := []byte{keyLater}, []byte{keyLater + 1}
	if !w.Later {
		prefix := queuePrefix(nil, w.Slot)
		lower, upper = prefix, after(prefix)
	}
	it, err := c.batch.NewIter(&pebble.IterOptions{LowerBound: appendPlace(slices.Clone(lower), w.From), UpperBound: upper})
	if err != nil {
		return err
	}
	bytes := 0
	for ok := it.First(); ok; ok = it.Next() {
		if bytes >= w.Bytes {
			n.next, n.more = parsePlace(it.Key()[len(lower):]), true
			break
		}
		value := it.Value()
		bytes += len(value) + 64
		if w.Later {
			d, err := parseLater(it.Key(), value)
			if err != nil {
				return firstError(fmt.Errorf("a delayed request %w", err), it.Close())
			}
			d.Kills = int16(c.kills[d.ID])
			n.delayed = append(n.delayed, d)
			continue
		}
		_, e, err := parseQueued(it.Key(), value)
		if err != nil {
			return firstError(fmt.Errorf("a queued request of %s %w", w.Slot, err), it.Close())
		}
		e.Kills = int16(c.kills[e.ID])
		n.entries = append(n.entries, e)
	}
	return firstError(it.Error(), it.Close())
}

// load reads what was committed, but the queue.
func (c *committer) load() error {
	m, err := loadMeta(c.db)
	if err != nil {
		return err
	}
	c.meta = m
	for i, r := range c.meta.Routes {
		c.routes[r.Name] = uint16(i)
	}
	if c.state, err = loadState(c.db); err != nil {
		return err
	}
	for k, v := range c.state {
		if describes(k) {
			c.live[k] = v
		}
	}
	err = each(c.db, keyKills, func(key, value []byte) error {
		c.kills[parseID(key)] = int(value[0])
		return nil
	})
	if err != nil {
		return err
	}
	err = each(c.db, keyOut, func(key, value []byte) error {
		n, _ := binary.Uvarint(value)
		c.out[parseID(key)] = &pushed{ever: int(n)}
		return nil
	})
	if err != nil {
		return err
	}
	c.known = new(seen.Set)
	if c.meta.Seen*seen.KeySize*2 > int64(c.memory/2) {
		c.known, c.cache = nil, seen.NewCache(c.memory)
		return nil
	}
	return each(c.db, keySeen, func(key, _ []byte) error {
		c.known.Add(seen.ParseKey(key[1:]))
		return nil
	})
}

// pruneKills forgets counts of requests that no longer wait: a process that was killed may have had in hand, by what it wrote down, what it had just acknowledged. In a long
// queue that is not looked for.
func (c *committer) pruneKills() error {
	if len(c.kills) == 0 || c.meta.Queued > prunedQueue {
		return nil
	}
	gone := maps.Clone(c.kills)
	for _, kind := range []byte{keyQueue, keyLater} {
		err := each(c.db, kind, func(key, value []byte) error {
			r, err := parseRequest(kind, key, value)
			if err == nil {
				delete(gone, r.ID)
			}
			return nil // what cannot be read fails when it is leased
		})
		if err != nil {
			return err
		}
	}
	for id := range gone {
		delete(c.kills, id)
		if err := c.batch.Delete(idKey(keyKills, id), nil); err != nil {
			return err
		}
	}
	return nil
}

const prunedQueue = 100_000

func loadMeta(r pebble.Reader) (m meta, err error) {
	b, closer, err := r.Get([]byte{keyMeta})
	if errors.Is(err, pebble.ErrNotFound) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	err = json.Unmarshal(b, &m)
	return m, firstError(err, closer.Close())
}

func loadState(r pebble.Reader) (map[string][]byte, error) {
	state := make(map[string][]byte)
	err := each(r, keyState, func(key, value []byte) error {
		state[string(key[1:])] = slices.Clone(value)
		return nil
	})
	return state, err
}

// each calls f for every key of a kind.
func each(r pebble.Reader, kind byte, f func(key, value []byte) error) error {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if err := f(it.Key(), it.Value()); err != nil {
			return firstError(err, it.Close())
		}
	}
	return firstError(it.Error(), it.Close())
}

// knownRoutes is an error if a request waits for a callback that the spider no longer has.
func (c *committer) knownRoutes(have []string) error {
	var lost []string
	for _, r := range c.meta.Routes {
		if r.Queued > 0 && r.Name != "" && have != nil && !slices.Contains(have, r.Name) {
			lost = append(lost, fmt.Sprintf("%q (%d)", r.Name, r.Queued))
		}
	}
	if len(lost) == 0 {
		return nil
	}
	slices.Sort(lost)
	return fmt.Errorf("requests of the job wait for routes that the spider no longer has: %s; give the spider these routes again, or start a new job", strings.Join(lost, ", "))
}

// heads tells a frontier of every slot's best request.
func (c *committer) heads(f *frontier.Frontier) error {
	it, err := c.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyQueue}, UpperBound: []byte{keyQueue + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; {
		slot, e, err := parseQueued(it.Key(), it.Value())
		if err != nil {
			return firstError(fmt.Errorf("the queue %w", err), it.Close())
		}
		e.Kills = int16(c.kills[e.ID])
		f.Known(slot, e)
		c.key = queuePrefix(c.key[:0], slot)
		ok = it.SeekGE(after(c.key))
	}
	if err := firstError(it.Error(), it.Close()); err != nil {
		return err
	}
	later := 0
	if err := each(c.db, keyLater, func(_, _ []byte) error { later++; return nil }); err != nil {
		return err
	}
	f.KnownLater(later)
	f.SetQueued(int(c.meta.Queued))
	return nil
}

// tell writes status.json, for those who look at the job while it runs.
func (c *committer) tell(final bool) {
	if c.err != nil || !final && time.Since(c.told) < time.Second {
		return
	}
	c.told = time.Now()
	if final || time.Since(c.measured) > heartbeat {
		c.measured, c.disk = c.told, c.s.size()
	}
	info := c.s.info(c.desc, c.meta, c.live)
	info.Disk = c.disk
	info.Hosts = int(c.s.hosts.Load())
	info.Updated = c.told.UTC()
	if err := c.s.write("status.json", info, false); err != nil {
		c.log.Debug("status.json not written", zap.Error(err))
	}
}

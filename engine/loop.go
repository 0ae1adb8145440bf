package engine

import (
	"errors"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/feed"
)

// loop is one goroutine. It owns every field below, it alone calls the scheduler, and it alone says when the crawl is over. It blocks nowhere but in its
// select: other goroutines leave events in its box.
type loop struct {
	e     *Engine
	sched crawl.Scheduler
	box   box

	now        time.Time // when this turn began
	active     int       // downloads that run, pages and media
	loading    int       // those of them that are pages
	came       int       // pages that have a response
	empty      bool      // SchedulerEmpty has been called since the queue had something
	vain       int       // pages in a row that are done and have given no item; see inVain
	pages      []*page   // leased, or Start, until they are acknowledged
	tx         crawl.Tx
	commits    int               // handed to the scheduler, not yet applied
	turns      map[string]uint64 // by slot: see turn
	aside      map[string]aside  // by slot: what waits for a host to be opened
	pagesAside int               // how many pages do

	media mediaQueue
	rates rates
	crowd crowd

	starting  bool // Start has not ended
	startPage *page
	startWait []chan struct{} // Start waits here until the crawl wants more
	waits     []chan struct{} // callbacks wait here until commits have been applied
	handed    []chan struct{} // Checkpoint waits here until its change is on its way
	paused    bool
	stopping  bool
	stopAt    time.Time
	reason    string
	failure   error // why Run returns an error
	idle      idleState
	idleAgain time.Time
}

type idleState int

const (
	busy     idleState = iota
	asking             // SpiderIdle runs
	idleWait           // it wants to be asked again
	idleDone           // it has nothing more
)

// event is something that happened elsewhere.
type event struct {
	kind  eventKind
	page  *page
	media *mediaJob
	do    func(*loop)
}

type eventKind int

const (
	pageLoaded  eventKind = iota // its last byte is in, or its download failed
	pageOutput                   // it has requests to be taken
	pageDone                     // it can be acknowledged
	mediaAsked                   // a pipeline submits a request
	mediaLoaded                  // its last byte is in
	mediaAgain                   // it is to be asked again
	mediaAside                   // its host is being opened
	mediaDone                    // its owner has dealt with it
	mediaGone                    // its owner has left
	loopDo                       // anything rarer
)

// box is where events wait for the loop. Whoever makes room in a budget that the loop may wait for posts an event, or nudges: otherwise the loop would sleep
// while there is work.
type box struct {
	mu     sync.Mutex
	events []event // Guarded by mu.
	shut   bool    // Guarded by mu.
	wake   chan struct{}
}

// post reports false once the loop has ended and takes nothing more.
func (b *box) post(ev event) bool {
	b.mu.Lock()
	if b.shut {
		b.mu.Unlock()
		return false
	}
	b.events = append(b.events, ev)
	b.mu.Unlock()
	b.nudge()
	return true
}

// close returns the events that the loop did not come to.
func (b *box) close() []event {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut = true
	return b.events
}

// nudge makes the loop take a turn.
func (b *box) nudge() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take returns the events and leaves spare, emptied, in their place.
func (b *box) take(spare []event) []event {
	b.mu.Lock()
	defer b.mu.Unlock()
	evs := b.events
	b.events = spare[:0]
	return evs
}

// run takes turns until the crawl is over.
func (l *loop) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var spare []event
	for {
		evs := l.box.take(spare)
		now := time.Now()
		l.now = now
		for i := range evs {
			l.handle(&evs[i])
		}
		clear(evs)
		spare = evs

		l.commit()
		l.rates.note(&l.e.counters, now)
		l.enough()
		wake := l.admit(now)
		l.letGo()
		if l.e.killed.Err() != nil {
			// Before asking whether it is over: pages that were killed keep their leases, which do not count as queued.
			l.windDown()
			return
		}
		if l.over(now) {
			return
		}
		wake = earlier(wake, l.leaveBehind(now))
		wake = earlier(wake, l.crowd.look(l, now))
		if l.idle == idleWait {
			wake = earlier(wake, l.idleAgain)
		}
		var due <-chan time.Time
		if !wake.IsZero() {
			timer.Reset(max(0, time.Until(wake)))
			due = timer.C
		}
		select {
		case <-l.box.wake:
		case <-due:
		case <-l.e.killed.Done():
			l.windDown()
			return
		}
	}
}

func (l *loop) handle(ev *event) {
	switch ev.kind {
	case pageLoaded:
		l.loading--
		ev.page.loaded = true
		if ev.page.came {
			l.came++
		}
		l.release(ev.page.slot)
	case pageOutput:
		l.takeOutput(ev.page)
	case pageDone:
		l.finish(ev.page)
	case mediaAsked:
		l.media.ask(ev.media)
	case mediaLoaded:
		l.release(ev.media.slot)
	case mediaAgain:
		l.media.again(l, ev.media)
	case mediaAside:
		l.setMediaAside(ev.media)
	case mediaDone:
		l.media.end(ev.media)
	case mediaGone:
		l.media.drop(ev.media)
	case loopDo:
		ev.do(l)
	}
}

// release gives a download's place back.
func (l *loop) release(slot string) {
	l.active--
	l.sched.Release(slot, l.now)
	l.media.released(slot)
}

// turn numbers the requests that leave for a slot, where a cache may answer some of them; otherwise it is 0.
func (l *loop) turn(slot string) uint64 {
	if !l.e.settings.HTTPCache.On {
		return 0
	}
	if l.turns == nil {
		l.turns = make(map[string]uint64)
	}
	n, ok := l.turns[slot]
	if !ok {
		slot = strings.Clone(slot)
	}
	l.turns[slot] = n + 1
	return n + 1
}

// unspent takes back the delay after a request that was not sent: its host has been given up, and a hundred thousand others may wait for it; or a cache has answered.
// If another one has left since, the delay is that one's.
func (l *loop) unspent(slot string, turn uint64) {
	now := l.e.limits.current(slot)
	if now.Delay <= 0 || l.turns[slot] != turn {
		return
	}
	l.sched.Limit(slot, crawl.Limits{Delay: -1})
	l.limit(slot, crawl.Limits{Delay: now.Delay, FixedDelay: now.FixedDelay})
}

// takeOutput moves the requests that a page has produced so far into the next commit. Everything else of it waits for settle.
func (l *loop) takeOutput(p *page) {
	p.mu.Lock()
	pushes, waiting := p.pushes, p.waiting
	p.pushes, p.waiting = nil, nil
	p.mu.Unlock()
	if pushes != nil {
		l.tx.Push = append(l.tx.Push, pushes.list...)
		clear(pushes.list)
		pushes.list = pushes.list[:0]
		l.e.pushes.Put(pushes)
	}
	switch {
	case waiting == nil:
	case p == l.startPage:
		l.startWait = append(l.startWait, waiting)
	default:
		l.waits = append(l.waits, waiting)
	}
}

func (l *loop) put(key string, value []byte) {
	if l.tx.Put == nil {
		l.tx.Put = make(map[string][]byte)
	}
	l.tx.Put[key] = value
}

// settle moves what a page keeps until it is done, or until Start's Checkpoint, into the change that acknowledges it.
func (l *loop) settle(p *page) {
	p.mu.Lock()
	puts := p.puts
	p.puts = nil
	p.mu.Unlock()
	for k, v := range puts {
		l.put(k, v)
	}
	l.tx.Lines = append(l.tx.Lines, p.lines.take()...)
}

// finish takes a page's last output and says what becomes of its lease.
func (l *loop) finish(p *page) {
	l.takeOutput(p)
	l.remove(p)
	l.inVain(p)
	switch {
	case p.keep.Load() || p.abandoned.Load() || p == l.startPage && !p.whole:
		// Left as it is: the next run of the job does it again, so what it kept is of no use.
		if p.lines != nil {
			l.e.job.left = append(l.e.job.left, p.lines.take()...)
		}
	case p.again != nil:
		l.tx.Nack = append(l.tx.Nack, *p.again)
	case p.failure != nil:
		l.settle(p)
		l.tx.Fail = append(l.tx.Fail, *p.failure)
	case p.lease.ID == 0:
		l.settle(p)
		l.rootDone(p)
	default:
		l.settle(p)
		l.tx.Ack = append(l.tx.Ack, p.lease.ID)
	}
	if p.whenDone != nil {
		p.whenDone(l)
	}
}

// rootDone is told that Start is done, or a call of SpiderIdle, which hold no lease. When Start is, the count of their unfiltered requests begins anew each time:
// nothing of them will be repeated.
func (l *loop) rootDone(p *page) {
	if l.e.job == nil {
		return
	}
	if p == l.startPage {
		l.e.job.startDone = true
		l.put(crawl.StartDone, []byte("true"))
	}
	if l.e.job.startDone {
		cursor, _ := l.e.state.get(crawl.StartCursor)
		l.put(crawl.StartCursor, cursor)
	}
}

// checkpoint commits Start's cursor with all that was produced before it. A Start whose output is not whole keeps the cursor that it had.
func (l *loop) checkpoint(p *page, cursor []byte, handed chan struct{}) {
	l.handed = append(l.handed, handed)
	if p.keep.Load() || p.abandoned.Load() {
		l.box.nudge()
		return
	}
	l.takeOutput(p)
	l.settle(p)
	l.put(crawl.StartCursor, cursor)
}

func (l *loop) add(p *page) {
	p.index = len(l.pages)
	l.pages = append(l.pages, p)
}

func (l *loop) remove(p *page) {
	if p.index < 0 {
		return
	}
	last := len(l.pages) - 1
	l.pages[p.index] = l.pages[last]
	l.pages[p.index].index = p.index
	l.pages[last] = nil
	l.pages = l.pages[:last]
	p.index = -1
}

// commit hands all that has gathered to the scheduler, as one change. While the scheduler has enough to do with earlier ones the next grows.
func (l *loop) commit() {
	if l.commits >= maxCommits {
		return
	}
	l.handed = closeAll(l.handed)
	if l.clean() {
		return
	}
	if l.e.job != nil {
		l.e.job.addTo(l)
	}
	c := &commit{tx: l.tx}
	l.tx = crawl.Tx{}
	l.commits++
	l.sched.Commit(&c.tx, func(res crawl.Committed, err error) {
		c.result, c.err = res, err
		if c.turn() {
			l.box.post(event{kind: loopDo, do: func(l *loop) { l.committed(c) }})
		}
	})
	if c.turn() {
		l.committed(c)
	}
}

// behind says that the queue's writer is: what pages have left is in memory until it can take them, so no more are begun.
func (l *loop) behind() bool {
	if l.commits < maxCommits {
		return false
	}
	size := int64(0)
	for i := range l.tx.Lines {
		size += l.tx.Lines[i].Size
	}
	return size >= maxGathered || len(l.tx.Ack)+len(l.tx.Fail)+len(l.tx.Nack) >= 2*l.e.settings.ConcurrentRequests
}

// maxGathered is how many bytes of lines may wait for the next change.
const maxGathered = 4 << 20

// clean says that nothing waits for the next commit.
func (l *loop) clean() bool {
	return len(l.tx.Push)+len(l.tx.Ack)+len(l.tx.Fail)+len(l.tx.Nack)+len(l.tx.Put)+len(l.tx.Lines) == 0
}

// maxCommits is how many commits may be under way before callbacks, and the next commit, wait for the queue's writer.
const maxCommits = 8

// commit is one on its way. The scheduler answers before Commit returns or later: whoever comes second deals with the answer.
type commit struct {
	tx     crawl.Tx
	result crawl.Committed
	err    error

	mu    sync.Mutex
	first bool // Guarded by mu: the other has been here.
}

func (c *commit) turn() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	second := c.first
	c.first = true
	return second
}

func (l *loop) committed(c *commit) {
	l.commits--
	if c.err != nil {
		l.unwritten(c.err)
		return
	}
	if c.result.Full {
		l.nearlyFull()
	}
	st := &l.e.counters
	seen := len(c.result.Seen) + len(c.result.SeenNacks)
	st.filtered.Add(int64(seen))
	enqueued := int64(len(c.tx.Push) - len(c.result.Seen) + len(c.tx.Nack) - len(c.result.SeenNacks))
	st.enqueued.Add(enqueued)
	st.enqueuedIn.Add(enqueued)
	if enqueued > 0 {
		l.idle = busy
	}
	l.e.traceCommit(c)
}

// unwritten is told that a change was refused. The scheduler takes no other. A reader that has seen enough of standard output is no failure.
func (l *loop) unwritten(err error) {
	reason := reasonOf(err)
	if l.failure == nil && reason != feed.ReasonReaderGone {
		l.e.log.Error("the queue cannot be written", zap.Error(err))
		l.failure = err
	}
	l.stop(reason)
}

// nearlyFull ends the crawl while all can still be kept.
func (l *loop) nearlyFull() {
	if l.e.job == nil || l.e.job.told {
		return
	}
	l.e.job.told = true
	l.e.log.Error("the disk of the job is nearly full: make room, or set job.min_free lower, and run the job again",
		zap.String("dir", l.e.job.dir), zap.Int64("job.min_free", l.e.settings.Job.MinFree))
	l.stop(reasonDiskFull)
}

// admit starts what may start. Media goes first: it stands ahead of every page of its host, and pages don't hold it back.
func (l *loop) admit(now time.Time) (wake time.Time) {
	if l.paused && !l.stopping {
		return time.Time{}
	}
	wake = l.media.admit(l, now)
	if l.stopping {
		return wake
	}
	e := l.e
	room := l.pagesLeft(e.settings.ConcurrentRequests - l.active)
	if room <= 0 || l.pagesAside >= mostPagesAside*e.settings.ConcurrentRequests || l.behind() || e.starve(e.pagesFull) {
		e.hungry.Store(false)
		return wake
	}
	leases, pageWake := l.sched.Lease(now, room)
	if len(leases) < room && !e.hungry.Load() {
		// There is room for more than there is. What callbacks that still run have produced is wanted now.
		e.hungry.Store(true)
		if l.takeAll() {
			l.commit()
			var more []crawl.Lease
			more, pageWake = l.sched.Lease(now, room-len(leases))
			leases = append(leases, more...)
		}
	}
	e.hungry.Store(len(leases) < room)
	l.traceEmpty(len(leases) > 0)
	for i := range leases {
		l.begin(&leases[i])
	}
	return earlier(wake, pageWake)
}

// traceEmpty tells SchedulerEmpty that there is room for more than the queue has, once each time.
func (l *loop) traceEmpty(some bool) {
	f := l.e.settings.Trace.SchedulerEmpty
	switch {
	case f == nil:
	case some || l.sched.Counts().Queued > 0:
		l.empty = false
	case !l.empty:
		l.empty = true
		f()
	}
}

// maxWaitingBytes is how much of bodies may wait for a callback before no further page is asked.
const maxWaitingBytes = 64 << 20

// takeAll takes the output of all callbacks that run, and reports whether there was any.
func (l *loop) takeAll() bool {
	for _, p := range l.pages {
		if !p.returned.Load() {
			l.takeOutput(p)
		}
	}
	return len(l.tx.Push) > 0
}

// begin starts a leased page. A lease that cannot be read fails, and takes no place.
func (l *loop) begin(lease *crawl.Lease) {
	l.e.counters.dequeued.Add(1)
	l.e.counters.dequeuedFrom.Add(1)
	if lease.Err != nil {
		l.e.log.Error("a queued request cannot be read", zap.Error(lease.Err))
		l.tx.Fail = append(l.tx.Fail, crawl.Failure{Lease: lease.ID, Kind: string(crawl.KindRequest), Reason: lease.Err.Error()})
		l.box.nudge() // for the turn that commits it
		return
	}
	p := newPage(l.e, *lease)
	p.slot = lease.Request.Slot()
	p.turn = l.turn(p.slot)
	p.since = l.now.UnixNano()
	l.add(p)
	l.active++
	l.loading++
	l.e.workers.do(p)
}

// letGo lets callbacks go on when their output has been taken, and Start while the crawl wants more.
func (l *loop) letGo() {
	if l.commits < maxCommits {
		l.waits = closeAll(l.waits)
	}
	if len(l.startWait) > 0 && l.wantsMore() {
		l.startWait = closeAll(l.startWait)
	}
}

// wantsMore says that Start may go on: few requests could leave now, and not too many are queued.
func (l *loop) wantsMore() bool {
	if l.stopping {
		return true // to be told so
	}
	c, ahead := l.sched.Counts(), l.e.settings.Start.Ahead
	return !l.paused && l.commits < maxCommits && (ahead < 0 || c.Ready < 2*l.e.settings.ConcurrentRequests && c.Queued < ahead)
}

func closeAll(list []chan struct{}) []chan struct{} {
	for _, ch := range list {
		close(ch)
	}
	clear(list)
	return list[:0]
}

// over reports whether the crawl is: nothing is queued, delayed, leased, parsed, parked, committing or stored, and Start has ended. Before that it
// asks SpiderIdle.
func (l *loop) over(now time.Time) bool {
	if len(l.pages) > 0 || l.media.jobs > 0 || l.commits > 0 || !l.clean() {
		return false
	}
	if l.stopping {
		return true
	}
	if l.starting || l.sched.Counts().Queued > 0 {
		return false
	}
	if l.e.settings.Trace.SpiderIdle == nil {
		l.because(reasonFinished)
		return true
	}
	switch l.idle {
	case idleDone:
		l.because(reasonFinished)
		return true
	case busy:
		l.askIdle()
	case idleWait:
		if !now.Before(l.idleAgain) {
			l.askIdle()
		}
	case asking:
	}
	return false
}

func (l *loop) askIdle() {
	l.idle = asking
	p := newPage(l.e, crawl.Lease{})
	l.add(p)
	l.e.goIdle(p)
}

// because sets the reason of the end, once.
func (l *loop) because(reason string) {
	if reason == "" {
		reason = "stopped"
	}
	if l.reason == "" {
		l.reason = reason
	}
}

// stop ends the crawl: nothing new is asked, what is in flight is finished.
func (l *loop) stop(reason string) {
	l.because(reason)
	if l.stopping {
		return
	}
	l.stopping, l.stopAt = true, time.Now()
	l.e.stopping.Store(true)
	l.e.stopStart()
	l.media.stop(l.stopAt.Add(l.e.settings.StopTimeout))
	l.stopOpening()
	if reason != reasonFinished {
		l.e.log.Info("closing", zap.String("reason", reason))
	}
}

// fail ends the crawl with an error.
func (l *loop) fail(err error) {
	if l.failure == nil {
		l.failure = err
	}
	if errors.Is(err, crawl.ErrDiskFull) {
		l.stop(reasonDiskFull)
		return
	}
	l.stop(reasonError)
}

// leaveBehind forgets, in a stop, pages whose user code has not returned for StopTimeout, and returns when to look again.
func (l *loop) leaveBehind(now time.Time) (wake time.Time) {
	if !l.stopping {
		return time.Time{}
	}
	for i := len(l.pages) - 1; i >= 0; i-- {
		p := l.pages[i]
		since := now
		if ns := p.userSince.Load(); ns != 0 {
			since = time.Unix(0, ns)
		}
		if since.Before(l.stopAt) {
			since = l.stopAt
		}
		if due := since.Add(l.e.settings.StopTimeout); now.Before(due) {
			wake = earlier(wake, due)
			continue
		}
		l.e.log.Warn("left behind: it does not return", zap.Stringer("page", p), zap.Duration("stop_timeout", l.e.settings.StopTimeout))
		p.abandoned.Store(true)
		l.remove(p)
		l.box.nudge()
	}
	return wake
}

// windDown ends a crawl whose context has ended: it waits a moment for those who obey theirs.
func (l *loop) windDown() {
	l.stop(reasonShutdown)
	deadline := time.NewTimer(killGrace)
	defer deadline.Stop()
	for {
		l.now = time.Now()
		evs := l.box.take(nil)
		for i := range evs {
			l.handle(&evs[i])
		}
		l.commit()
		l.letGo()
		l.e.giveUp(l.media.takeAll())
		if l.over(l.now) {
			return
		}
		select {
		case <-l.box.wake:
		case <-deadline.C:
			for _, p := range l.pages {
				p.abandoned.Store(true)
			}
			return
		}
	}
}

// killGrace is how long a crawl that is killed waits for goroutines whose context has ended.
const killGrace = time.Second

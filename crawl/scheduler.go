package crawl

import (
	"context"
	"io"
	"slices"
	"time"
)

// A Scheduler keeps the requests that wait, decides which leaves next, and drops what was seen before. Its meaning is the suite in scheduler/schedulertest.
//
// The engine's loop is its only caller: no method is called while another runs, and none waits for disk or network.
//
// Waiting requests stand in queues per slot (a host, unless the request names another). A slot that may be asked is one with a place free, whose delay is over.
// Among the slots that may be asked, the best request leaves first: the highest priority; within it the newest (or, by Settings.Order, the oldest); what
// Start produced comes after the rest, oldest first.
type Scheduler interface {
	// Lease hands out up to most requests that may leave now, best first, and takes each one's place at its slot. A leased request stays in the
	// scheduler until it is acknowledged. wake is when a delay or a hold will next end for a slot or request that waits, the zero Time if none does.
	Lease(now time.Time, most int) (leases []Lease, wake time.Time)
	// Reserve takes a place at a slot for a media request, ahead of the pages that wait there. If there is none, wake is when to try again, the zero
	// Time meaning after the next Release of that slot.
	Reserve(slot string, now time.Time) (ok bool, wake time.Time)
	// Release gives a place back: the last byte is in. The lease goes on.
	Release(slot string, now time.Time)
	// Hold keeps the requests that wait at a slot there, until it is called with false. What Reserve is asked for is not held.
	Hold(slot string, on bool)
	// Limit changes what a slot allows. Zero fields leave what was; negative ones mean none.
	Limit(slot string, l Limits)
	// Commit applies tx, all or nothing, in the order of the calls, and reports what became of it by done, which is called once: before Commit
	// returns or later on another goroutine. After an error nothing of tx has happened, except that its leases are still out.
	//
	// What is applied is durable a moment later, if the scheduler can be opened again: in the order of the calls, so that a crash undoes the last ones, each whole
	// or not at all. If that fails, SchedulerOptions.Failed is told, later calls and Close say so, and what was not durable is undone. After Close it is an error.
	Commit(tx *Tx, done func(Committed, error))
	// Counts says how much there is of what, as of the last Commit that was applied.
	Counts() Counts
	// State is what Tx.Put and journals have stored, as it was when the scheduler was opened. The caller does not change it.
	State() map[string][]byte
	// Close makes durable what was committed, and ends it. Leases that are out are queued again by a scheduler that can be opened again.
	Close(ctx context.Context) error
}

// A Lease is a request on its way. Its place in the queue is kept until the lease is acknowledged, failed or handed back.
type Lease struct {
	ID      uint64
	Request *Request
	// Attempt is how many times the request has been in hand since it was last queued, this time included: 2 or more says that the process was killed, or the
	// machine stopped, while it was.
	Attempt int
	// Err says that the request's stored form cannot be read: Request is nil, no place was taken, and the engine fails the lease.
	Err error
}

// A Tx is a set of changes that happen together or not at all.
type Tx struct {
	Push []Push
	Ack  []uint64          // leases that are done
	Fail []Failure         // done too, and kept in a list of failures
	Nack []Nack            // handed back
	Put  map[string][]byte // Start's cursor, cookies, spider state; a nil value deletes
	// Lines go to their journals before the change is durable. Only a crawl with a job has any.
	Lines []Lines
}

// Lines are records of a feed that waited for their page to be done. The scheduler closes Text when it has been written, or never will be.
type Lines struct {
	Journal Journal
	Text    io.ReadCloser
	Size    int64 // of Text in bytes
}

// A Journal is a feed that grows with the commits of a job: what is appended counts once the state that Append returned has been committed. Opened with that state
// it takes away what was appended after it.
type Journal interface {
	// Append writes all that the readers yield at the end, in order, and makes it durable. It keeps none of them. The value is committed under the key, in the same
	// change as the acknowledgements that the lines belong to; an empty key means that there is nothing to commit. An error ends the crawl with nothing of that
	// change committed; if it is a [*CloseSpiderError], with its reason. There is one call at a time, on the scheduler's goroutine. A Journal is a pointer.
	Append(lines []io.Reader) (key string, value []byte, err error)
}

// A CommitWatcher is a [Journal] that has to know when a change is durable, for what nothing takes back: a file that is sent somewhere. The scheduler calls Committed
// after each commit that has a state which Append returned, before it calls Append again, and not after one that failed. It does not wait for a network.
type CommitWatcher interface {
	Journal
	Committed()
}

// A Push is a request to be queued, with what a scheduler needs to know of it: it is worked out off the loop, by [NewPush].
type Push struct {
	// Parent is the lease of the page that the request was found on; 0 is Start.
	Parent      uint64
	Fingerprint Fingerprint
	// Filter says that the request is dropped if its fingerprint was seen. Either way the fingerprint is seen from now on. Of requests that are not filtered, a
	// scheduler that can be opened again counts how many each page has pushed: when the page is done again, as many are dropped as seen. Committing the
	// key [StartCursor] sets the count of Start back.
	Filter   bool
	Slot     string
	Priority int
	Route    string
	// Encoded is the request as [Request.AppendWire] writes it.
	Encoded []byte
}

// NewPush encodes req for a scheduler. The error says what cannot be encoded: a URL that did not parse, Data that is not JSON.
func NewPush(parent uint64, req *Request) (Push, error) {
	enc, err := req.AppendWire(nil)
	if err != nil {
		return Push{}, err
	}
	return Push{
		Parent: parent, Fingerprint: req.Fingerprint(), Filter: !req.DontFilter,
		Slot: req.Slot(), Priority: req.Priority, Route: req.Route, Encoded: enc,
	}, nil
}

// A Failure acknowledges a lease into the list of what failed for good.
type Failure struct {
	Lease  uint64
	Kind   string
	Reason string
}

// A Nack hands a lease back, to leave again not before a time. The request may have changed: a retry counts up, a redirect has another URL. If
// Push.Filter is set and the fingerprint was seen, the lease is acknowledged as a duplicate instead.
type Nack struct {
	Lease     uint64
	NotBefore time.Time
	Push      Push
}

// NewNack encodes a request that goes back to the queue. from is what was leased, req what it has become: a URL that req came through, or still is at, does not
// count as seen.
func NewNack(lease uint64, from, req *Request, notBefore time.Time) (Nack, error) {
	push, err := NewPush(lease, req)
	if err != nil {
		return Nack{}, err
	}
	if notBefore.After(endOfTime) {
		notBefore = endOfTime
	}
	if push.Filter && (push.Fingerprint == from.Fingerprint() || slices.Contains(req.chain(), push.Fingerprint)) {
		push.Filter = false
	}
	return Nack{Lease: lease, NotBefore: notBefore, Push: push}, nil
}

// endOfTime is the latest time that a request can wait for.
var endOfTime = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// Committed says what became of a [Tx].
type Committed struct {
	// Seen are the indices in Tx.Push of requests that were dropped as seen before.
	Seen []int
	// SeenNacks are the indices in Tx.Nack of leases that were acknowledged as duplicates.
	SeenNacks []int
	// Full says that there is little room left to write: the crawl should close while all can still be kept.
	Full bool
}

// Counts says how much a scheduler holds.
type Counts struct {
	Queued  int // waiting, those with a not-before time included
	Delayed int // of those, the ones whose time has not come
	Ready   int // of those, about how many could leave at once if the downloader had room for all
	Leased  int
	Failed  int // in the list of failures
	Seen    int // fingerprints
	Slots   int // with something that waits for its turn, or a place taken
}

// Limits are what a slot allows.
type Limits struct {
	// Concurrency is how many downloads may run at once.
	Concurrency int
	// Delay is the least time between the starts of two downloads.
	Delay time.Duration
	// FixedDelay keeps the delay as it is. Otherwise each is drawn between 0.5 and 1.5 times Delay, as Scrapy's RANDOMIZE_DOWNLOAD_DELAY does.
	FixedDelay bool
	// HoldUntil is a time before which nothing of the slot leaves: Retry-After. The later of two holds.
	HoldUntil time.Time
	// RandomDelay draws the delay although Settings.FixedDelay is set. It counts in Settings.Slots alone.
	RandomDelay bool
	// DontThrottle keeps AutoThrottle from the slot: its delay is what the settings and robots.txt say. It counts in Settings.Slots alone.
	DontThrottle bool
}

// Strictest joins two limits so that both hold. A zero or negative field sets no limit.
func (l Limits) Strictest(o Limits) Limits {
	if o.Concurrency > 0 && (l.Concurrency <= 0 || o.Concurrency < l.Concurrency) {
		l.Concurrency = o.Concurrency
	}
	if o.Delay > l.Delay {
		l.Delay, l.FixedDelay, o.Delay, o.FixedDelay = o.Delay, o.FixedDelay, l.Delay, l.FixedDelay
	}
	// A delay that is drawn may be half as long: it must not be shorter than one that is fixed.
	l.FixedDelay = l.FixedDelay || o.FixedDelay && (o.Delay > l.Delay/2 || o.Delay == l.Delay)
	if o.HoldUntil.After(l.HoldUntil) {
		l.HoldUntil = o.HoldUntil
	}
	return l
}

// SchedulerOptions are what a scheduler is opened with.
type SchedulerOptions struct {
	// Order is [OrderDepth] or [OrderBreadth].
	Order string
	// Default are the limits of slots that have none of their own.
	Default Limits
	// Slots are limits by slot. Zero fields fall back to Default.
	Slots map[string]Limits
	// Seed makes the randomised delays repeatable. 0: they differ in every run.
	Seed uint64
	// Wake is called, on any goroutine, when more may leave than Lease has said without a change having been committed: something was read from disk. nil: nobody
	// is told.
	Wake func()
	// Failed is called once, on any goroutine, when nothing can be written any more: what Commit has reported done may be undone. nil: nobody is told.
	Failed func(error)
	// Job is for schedulers that keep a job.
	Job JobOptions
}

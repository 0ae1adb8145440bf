package downloader

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// Why a lane's context ends when that is not its caller's doing.
var (
	errExpired = errors.New("the request's time is over")
	errTooSlow = errors.New("the body comes too slowly")
	errUnseen  = errors.New("the HTTP/2 server has refused the request twice on one connection, without looking at it")
)

// maxRefusals is how often an HTTP/2 server may refuse a request on one connection before the attempt is over. net/http asks again at once, which is what a new connection
// needs: the server's limit of requests at once may not have come yet. Then it would wait, for 63 s in all, while the host's place is taken; the retry middleware waits better.
const maxRefusals = 2

const (
	// lookEvery is how often a request that takes its time is looked at.
	lookEvery = time.Second
	// paceLooks is over how many looks the speed of a body is averaged: those at which we were waiting for its next bytes.
	paceLooks = 30
)

// A lane carries one request after another: a context that ends with its callers' context or when a request's time is over. context.WithTimeout would do for
// one request what a lane does for thousands, at seven allocations and a microsecond each time.
//
// A lane is used again only if its timer was stopped before it fired, so what ends a request can never end a later one. Its context carries no
// values but the lane itself.
//
// The timer fires each second, and looks how the request does; most are over before. The lane reads the body itself, so that it knows.
type lane struct {
	ctx   context.Context
	end   context.CancelCauseFunc
	timer *time.Timer // calls look
	timed bool        // the timer runs

	timeout time.Duration // 0 or less: none
	least   int64         // bytes per second; 0 or less: any
	looked  atomic.Bool
	due     time.Time // Owned by look, as the next two.
	counts  []int64   // of bytes, at the last looks
	oldest  int       // in counts

	body    io.ReadCloser
	bytes   atomic.Int64 // read of it
	reading atomic.Bool  // we wait for more of it

	dials atomic.Int32 // connections made for the request

	// Owned by the one who sends the request.
	conn   net.Conn // the last one that the request was sent on
	sends  int      // how often on that
	unseen bool     // the server refused each

	follows  <-chan struct{} // Done of the callers' context; nil for one that never ends
	unfollow func() bool
}

// laneKey is a lane's in its context.
type laneKey struct{}

// mayDial counts a connection that is to be made for the request that ctx is of, and reports whether it may be made.
func mayDial(ctx context.Context) bool {
	l, ok := ctx.Value(laneKey{}).(*lane)
	return !ok || l.dials.Add(1) <= maxDials
}

// sentOn is told of each connection that net/http sends the request on. With HTTP/1.1 none comes twice; with HTTP/2 one does that refuses the request, as a whole.
func (l *lane) sentOn(info httptrace.GotConnInfo) {
	if info.Conn != l.conn {
		l.conn, l.sends = info.Conn, 0
	}
	l.sends++
	if l.sends > maxRefusals {
		l.unseen = true
		l.end(errUnseen)
	}
}

// lanes are those that no request is using.
type lanes struct {
	keep  int   // at most so many
	least int64 // Download.MinSpeed
	http2 bool  // their requests may be refused unseen

	mu     sync.Mutex
	free   []*lane // Guarded by mu.
	closed bool    // Guarded by mu.
}

// take returns a lane whose context ends with ctx, or after timeout; 0 or less is never.
func (ls *lanes) take(ctx context.Context, timeout time.Duration) *lane {
	l := ls.pop()
	// Contexts with the same Done channel end together: those that differ in their values can follow one another on a lane.
	if l != nil && l.follows != ctx.Done() {
		l.drop()
		l = nil
	}
	if l == nil {
		l = newLane(ctx, ls.http2)
	}
	l.timeout, l.least = timeout, ls.least
	l.bytes.Store(0)
	l.dials.Store(0)
	l.conn, l.sends = nil, 0
	l.timed = timeout > 0 || ls.least > 0
	switch {
	case !l.timed:
	case l.timer == nil:
		l.timer = time.AfterFunc(math.MaxInt64, l.look) // look uses the timer, which is there once it is set
		fallthrough
	default:
		l.timer.Reset(l.firstLook())
	}
	return l
}

// give takes a lane back whose request is over.
func (ls *lanes) give(l *lane) {
	l.body, l.conn = nil, nil
	// If Stop comes too late, the function may run at any time from now on.
	if l.timed && !l.timer.Stop() || l.looked.Load() || l.unseen || !ls.push(l) {
		l.drop()
	}
}

// firstLook is when look comes first: after a second, or with the timeout if nothing else is looked at.
func (l *lane) firstLook() time.Duration {
	switch {
	case l.least <= 0:
		return l.timeout
	case l.timeout <= 0:
		return lookEvery
	}
	return min(l.timeout, lookEvery)
}

// look is called by the timer: it ends a request that has had its time, or whose body comes too slowly.
func (l *lane) look() {
	if l.ctx.Err() != nil {
		return // the lane was dropped meanwhile
	}
	first := !l.looked.Swap(true)
	next := lookEvery
	if l.timeout > 0 {
		now := time.Now()
		if first {
			l.due = now.Add(l.timeout - l.firstLook())
		}
		if !now.Before(l.due) {
			l.end(errExpired)
			return
		}
		next = min(next, l.due.Sub(now))
	}
	if l.tooSlow() {
		l.end(errTooSlow)
		return
	}
	l.timer.Reset(next)
}

// tooSlow reports whether less has come of the body than should have, while we were waiting for it. Until its first byte that is the timeout's business.
func (l *lane) tooSlow() bool {
	n := l.bytes.Load()
	if n == 0 || !l.reading.Load() {
		return false
	}
	if len(l.counts) < paceLooks {
		l.counts = append(l.counts, n)
		return false
	}
	before := l.counts[l.oldest]
	l.counts[l.oldest] = n
	l.oldest = (l.oldest + 1) % paceLooks
	return n-before < l.least*int64(paceLooks*lookEvery/time.Second)
}

// pace lets the lane read a body, and returns what reads it.
func (l *lane) pace(body io.ReadCloser) io.ReadCloser {
	if l.least <= 0 {
		return body
	}
	l.body = body
	return l
}

// Read reads the body.
func (l *lane) Read(p []byte) (int, error) {
	l.reading.Store(true)
	n, err := l.body.Read(p)
	l.reading.Store(false)
	l.bytes.Add(int64(n))
	return n, err
}

// Close closes the body.
func (l *lane) Close() error { return l.body.Close() }

func (ls *lanes) pop() *lane {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	last := len(ls.free) - 1
	if last < 0 {
		return nil
	}
	l := ls.free[last]
	ls.free[last] = nil
	ls.free = ls.free[:last]
	return l
}

func (ls *lanes) push(l *lane) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed || len(ls.free) >= ls.keep {
		return false
	}
	ls.free = append(ls.free, l)
	return true
}

// close drops all lanes, and those that are given back later.
func (ls *lanes) close() {
	ls.mu.Lock()
	free := ls.free
	ls.free, ls.closed = nil, true
	ls.mu.Unlock()
	for _, l := range free {
		l.drop()
	}
}

func newLane(ctx context.Context, http2 bool) *lane {
	l := &lane{follows: ctx.Done()}
	root := context.Background()
	if http2 {
		root = httptrace.WithClientTrace(root, &httptrace.ClientTrace{GotConn: l.sentOn})
	}
	l.ctx, l.end = context.WithCancelCause(context.WithValue(root, laneKey{}, l))
	if l.follows != nil {
		l.unfollow = context.AfterFunc(ctx, func() { l.end(context.Cause(ctx)) })
	}
	return l
}

// drop lets go of what the lane follows.
func (l *lane) drop() {
	if l.unfollow != nil {
		l.unfollow()
	}
	l.end(nil)
}

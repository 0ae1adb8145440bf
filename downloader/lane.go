package downloader

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errExpired is why a lane's context ends when a request has had its time.
var errExpired = errors.New("the request's time is over")

// A lane carries one request after another: a context that ends with its callers' context or when a request's time is over. context.WithTimeout would do for
// one request what a lane does for thousands, at seven allocations and a microsecond each time.
//
// A lane is used again only if its timer was stopped before it fired, so what ends a request can never end a later one. Its context carries no values.
type lane struct {
	ctx   context.Context
	end   context.CancelCauseFunc
	timer *time.Timer // ends ctx with errExpired
	timed bool        // the timer runs

	follows  <-chan struct{} // Done of the callers' context; nil for one that never ends
	unfollow func() bool
}

// lanes are those that no request is using.
type lanes struct {
	keep int // at most so many

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
		l = newLane(ctx)
	}
	l.timed = timeout > 0
	switch {
	case !l.timed:
	case l.timer == nil:
		l.timer = time.AfterFunc(timeout, func() { l.end(errExpired) })
	default:
		l.timer.Reset(timeout)
	}
	return l
}

// give takes a lane back whose request is over.
func (ls *lanes) give(l *lane) {
	// If Stop comes too late, the function may run at any time from now on.
	if l.timed && !l.timer.Stop() || !ls.push(l) {
		l.drop()
	}
}

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

func newLane(ctx context.Context) *lane {
	l := &lane{follows: ctx.Done()}
	l.ctx, l.end = context.WithCancelCause(context.Background())
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

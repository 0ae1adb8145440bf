package engine

import (
	"context"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/tulle-go/tulle/crawl"
)

// The budgets of a crawl, in the order in which they are waited for. Whoever waits for one holds only earlier ones, so nothing waits in a circle:
//
//	callbacks   ConcurrentCallbacks   while a callback runs
//	items       ConcurrentItems       from Out.Item until the item has left the last stage
//	stages      ConcurrentStages      inside a stage's Process, but not while parked (pipeline.Chain)
//	downloads   ConcurrentRequests    from admission to the last byte (loop.active; per host in the scheduler)
//	pixels      Env.Pixels            while pixels are worked on
//
// Two more hold admission back, and nobody: what has arrived and waits for a callback (Engine.waiting), and media that has arrived and is in its pipeline's hands
// (Engine.arrived), each by number and bytes. A pipeline that asks for more while it holds arrived media would wait for itself: crawl.Submitter forbids it.

// places is a budget of equal places.
type places chan struct{}

func newPlaces(n int) places { return make(places, n) }

func (p places) tryAcquire() bool {
	select {
	case p <- struct{}{}:
		return true
	default:
		return false
	}
}

// acquire reports false if ctx ends first.
func (p places) acquire(ctx context.Context) bool {
	select {
	case p <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p places) release() { <-p }

func (p places) full() bool { return len(p) == cap(p) }

// load is what has arrived and waits.
type load struct{ count, bytes atomic.Int64 }

func (l *load) add(n, size int64) {
	l.count.Add(n)
	l.bytes.Add(size)
}

func (l *load) full(most int) bool {
	return l.count.Load() >= int64(most) || l.bytes.Load() >= maxWaitingBytes
}

// pagesFull says that no further page is to be asked, although downloads have room.
func (e *Engine) pagesFull() bool {
	return e.waiting.full(e.settings.ConcurrentRequests) || e.items.full()
}

// mediaFull says so of media.
func (e *Engine) mediaFull() bool { return e.arrived.full(e.settings.ConcurrentRequests) }

// starve reports whether a budget is full. Then whoever makes room in it wakes the loop: the mark is set before the second look, and freed looks at it after
// making room.
func (e *Engine) starve(full func() bool) bool {
	if !full() {
		return false
	}
	e.starved.Store(true)
	return full()
}

// freed is called after room was made in a budget that starve looks at.
func (e *Engine) freed() {
	if e.starved.Load() && e.starved.Swap(false) {
		e.loop.box.nudge()
	}
}

// gate is Env.Pixels: a worker per processor, and a budget of pixels.
type gate struct {
	budget  *semaphore.Weighted
	most    int64
	workers places
}

var _ crawl.Gate = (*gate)(nil)

func newGate(budget int64) *gate {
	return &gate{budget: semaphore.NewWeighted(budget), most: budget, workers: newPlaces(runtime.GOMAXPROCS(0))}
}

func (g *gate) Do(ctx context.Context, weight int64, f func() error) error {
	weight = min(max(weight, 1), g.most)
	if err := g.budget.Acquire(ctx, weight); err != nil {
		return err
	}
	defer g.budget.Release(weight)
	if !g.workers.acquire(ctx) {
		return ctx.Err()
	}
	defer g.workers.release()
	return f()
}

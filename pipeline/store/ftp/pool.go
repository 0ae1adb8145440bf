package ftp

import (
	"context"
	"slices"
	"sync"
	"time"
)

// idleAfter is how long a connection is kept that nobody uses: less than servers wait.
const idleAfter = time.Minute

// crowded are the waits before a server is asked again that has too many connections: it may not have noticed yet that one is closed.
var crowded = [...]time.Duration{100 * time.Millisecond, 400 * time.Millisecond, 1600 * time.Millisecond}

// pool lends connections, one to each borrower, and keeps those that came back whole.
type pool struct {
	address address
	idleFor time.Duration
	slots   chan struct{} // has one in it for each connection that is lent

	mu     sync.Mutex
	idle   []*conn // Guarded by mu: the one that came back last is lent first.
	closed bool    // Guarded by mu.
}

func newPool(a address, connections int) *pool {
	return &pool{address: a, idleFor: idleAfter, slots: make(chan struct{}, max(1, connections))}
}

// get lends a connection. fresh does not trust those that are idle: one of their kind was broken, and most often it is the server that has closed all.
func (p *pool) get(ctx context.Context, fresh bool) (*conn, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c, err := p.lend(ctx, fresh)
	if err != nil {
		<-p.slots
	}
	return c, err
}

func (p *pool) lend(ctx context.Context, fresh bool) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if fresh {
		p.closeIdle()
	} else if c := p.takeIdle(); c != nil {
		return c, nil
	}
	for _, wait := range crowded {
		c, err := dial(ctx, p.address)
		if replied(err) != unavailable {
			return c, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if c := p.takeIdle(); c != nil {
			return c, nil
		}
	}
	return dial(ctx, p.address)
}

func (p *pool) takeIdle() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	c := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	c.idle.Stop()
	return c
}

// back takes a connection back. It is cut off if it is not as it was.
func (p *pool) back(c *conn, whole bool) {
	if !whole || !p.keep(c) {
		c.abort()
	}
	<-p.slots
}

func (p *pool) keep(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.idle = append(p.idle, c)
	c.idle = time.AfterFunc(p.idleFor, func() { p.expire(c) })
	return true
}

func (p *pool) expire(c *conn) {
	p.mu.Lock()
	i := slices.Index(p.idle, c)
	if i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
	}
	p.mu.Unlock()
	if i >= 0 {
		c.quit()
	}
}

func (p *pool) closeIdle() {
	for c := p.takeIdle(); c != nil; c = p.takeIdle() {
		c.quit()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.closeIdle()
}

// do lends f a connection. If that turns out to be broken, f runs once more, on another one, if again says that it may; nil always says so.
func (p *pool) do(ctx context.Context, again func() bool, f func(*conn) error) error {
	lent, err := p.once(ctx, false, f)
	if lent && broken(err) && ctx.Err() == nil && (again == nil || again()) {
		_, err = p.once(ctx, true, f)
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (p *pool) once(ctx context.Context, fresh bool, f func(*conn) error) (lent bool, err error) {
	c, err := p.get(ctx, fresh)
	if err != nil {
		return false, err
	}
	stop := context.AfterFunc(ctx, c.abort)
	err = f(c)
	p.back(c, stop() && !broken(err))
	return true, err
}

package pipeline

import (
	"context"
	"sync"
)

// life is a flight's context: it has the values of the item that came first, and ends when nobody waits for the flight any more. It takes the place of
// context.WithCancel because tens of thousands may wait with the engine watching each. It costs its watcher a sixth of what that does, and its channel is made
// only when somebody asks for it.
type life struct {
	context.Context // has the values, and never ends

	mu      sync.Mutex
	ended   bool          // Guarded by mu.
	done    chan struct{} // Guarded by mu: nil until somebody asks.
	watches *watch        // Guarded by mu.
}

// watch is a function to be called when a life ends.
type watch struct {
	f    func()
	next *watch
}

var _ context.Context = (*life)(nil)

// end ends it.
func (l *life) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended = true
	if l.done != nil {
		close(l.done)
	}
	for w := l.watches; w != nil; w = w.next {
		go w.f()
	}
	l.watches = nil
}

// Done implements [context.Context].
func (l *life) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.ended {
			close(l.done)
		}
	}
	return l.done
}

// Err implements [context.Context].
func (l *life) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return context.Canceled
	}
	return nil
}

// AfterFunc is what [context.AfterFunc] uses where a context has it.
func (l *life) AfterFunc(f func()) (stop func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		go f()
		return func() bool { return false }
	}
	w := &watch{f, l.watches}
	l.watches = w
	return func() bool { return l.forget(w) }
}

// forget reports whether w was still to be called.
func (l *life) forget(w *watch) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at := &l.watches; *at != nil; at = &(*at).next {
		if *at == w {
			*at = w.next
			return true
		}
	}
	return false
}

package engine

import (
	"strings"
	"sync"

	"github.com/tulle-go/tulle/crawl"
)

// limiter is what slots are asked to keep to: what the settings say of them, what their hosts ask for when they are opened, and what middlewares make of that. It is
// Env.Limiter. Slots that nobody has a word on cost nothing here.
type limiter struct {
	e *Engine

	mu    sync.RWMutex
	hosts map[string]crawl.Limits // Guarded by mu: what the hosts of a slot ask for, beyond the settings.
	set   map[string]crawl.Limits // Guarded by mu: what Limit has said.
}

var _ crawl.Limiter = (*limiter)(nil)

func newLimiter(e *Engine) *limiter {
	return &limiter{e: e, hosts: make(map[string]crawl.Limits), set: make(map[string]crawl.Limits)}
}

// Floor is what the settings and the slot's hosts allow.
func (m *limiter) Floor(slot string) crawl.Limits {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.floor(slot)
}

// floor is Floor. Called with mu held.
func (m *limiter) floor(slot string) crawl.Limits {
	l := m.e.slotLimits(slot)
	if own, ok := m.hosts[slot]; ok {
		l = l.Strictest(own)
	}
	return l
}

// Limit changes what a slot allows.
func (m *limiter) Limit(slot string, l crawl.Limits) {
	if l.Concurrency == 0 && l.Delay == 0 { // it is a hold alone, which is the scheduler's
		m.e.do(func(loop *loop) { loop.limit(slot, crawl.Limits{HoldUntil: l.HoldUntil}) })
		return
	}
	m.mu.Lock()
	set := m.set[slot]
	if l.Concurrency != 0 {
		set.Concurrency = l.Concurrency
	}
	if l.Delay != 0 {
		set.Delay, set.FixedDelay = l.Delay, l.FixedDelay
	}
	if _, ok := m.set[slot]; !ok {
		slot = strings.Clone(slot) // it may be a piece of a page
	}
	m.set[slot] = set
	now := m.now(slot)
	m.mu.Unlock()
	now.HoldUntil = l.HoldUntil
	if now.Delay <= 0 {
		now.Delay = -1 // 0 would leave what was
	}
	m.e.do(func(loop *loop) { loop.limit(slot, now) })
}

// open notes what a host of a slot asks for, and returns what the slot allows.
func (m *limiter) open(slot string, own crawl.Limits) crawl.Limits {
	m.mu.Lock()
	defer m.mu.Unlock()
	if own.Delay > 0 || own.Concurrency > 0 {
		m.hosts[strings.Clone(slot)] = m.hosts[slot].Strictest(crawl.Limits{Concurrency: own.Concurrency, Delay: own.Delay, FixedDelay: own.FixedDelay})
	}
	l := m.now(slot)
	l.HoldUntil = m.e.slotLimits(slot).Strictest(own).HoldUntil
	return l
}

// current is what a slot allows.
func (m *limiter) current(slot string) crawl.Limits {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.now(slot)
}

// now is current. Called with mu held.
func (m *limiter) now(slot string) crawl.Limits {
	floor := m.floor(slot)
	set, ok := m.set[slot]
	if throttle := &m.e.settings.AutoThrottle; throttle.On && !floor.DontThrottle && (!ok || set.Delay == 0) {
		set.Delay, set.FixedDelay = throttle.StartDelay, floor.FixedDelay
	}
	return floor.Strictest(set)
}

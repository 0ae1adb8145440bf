package crawl

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Stats counts what happens, under Scrapy's paths: "downloader/response_status_count/200". It is safe for concurrent use. Counting costs a map look-up;
// a part that counts often keeps the [Counter].
type Stats struct {
	counters sync.Map // of *Counter by key

	mu     sync.Mutex
	values map[string]any // Guarded by mu: everything that is not a counter.
}

// A Counter is one number of [Stats].
type Counter struct{ n atomic.Int64 }

// Add adds n, which may be negative.
func (c *Counter) Add(n int64) { c.n.Add(n) }

// Value is the number now.
func (c *Counter) Value() int64 { return c.n.Load() }

// NewStats makes empty stats.
func NewStats() *Stats { return &Stats{values: make(map[string]any)} }

// Counter returns the counter of a key, and makes it if it is new. A counter at zero is not shown.
func (s *Stats) Counter(key string) *Counter {
	if c, ok := s.counters.Load(key); ok {
		return c.(*Counter)
	}
	c, _ := s.counters.LoadOrStore(key, new(Counter))
	return c.(*Counter)
}

// Add adds n to the counter of a key.
func (s *Stats) Add(key string, n int64) { s.Counter(key).Add(n) }

// Inc adds one to the counter of a key.
func (s *Stats) Inc(key string) { s.Counter(key).Add(1) }

// Max raises the counter of a key to n, if it is lower.
func (s *Stats) Max(key string, n int64) {
	c := s.Counter(key)
	for {
		old := c.n.Load()
		if n <= old || c.n.CompareAndSwap(old, n) {
			return
		}
	}
}

// Int is the counter of a key, 0 if there is none.
func (s *Stats) Int(key string) int64 {
	if c, ok := s.counters.Load(key); ok {
		return c.(*Counter).Value()
	}
	return 0
}

// Set keeps a value that is not a counter: a time, a reason.
func (s *Stats) Set(key string, v any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[key] = v
}

// Get is the value of a key: an int64 for a counter, what was Set otherwise, nil if there is none.
func (s *Stats) Get(key string) any {
	if c, ok := s.counters.Load(key); ok {
		return c.(*Counter).Value()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[key]
}

// Snapshot is a copy of everything, as Get has it, without counters that are zero.
func (s *Stats) Snapshot() map[string]any {
	s.mu.Lock()
	all := maps.Clone(s.values)
	s.mu.Unlock()
	if all == nil {
		all = make(map[string]any)
	}
	for k, c := range s.counters.Range {
		if n := c.(*Counter).Value(); n != 0 {
			all[k.(string)] = n
		}
	}
	return all
}

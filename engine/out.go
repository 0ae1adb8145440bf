package engine

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// sink is what a page's Out hands to: requests go through the spider middleware to the loop, items through it to the pipelines.
type sink struct {
	p    *page
	ctx  context.Context // has the page as its origin
	resp *crawl.Response // nil in Start
}

func (p *page) newSink(ctx context.Context, resp *crawl.Response) *sink {
	if p.lines != nil {
		ctx = crawl.WithPageKeeper(ctx, p.keepLine)
	}
	return &sink{p, ctx, resp}
}

var _ crawl.Sink = (*sink)(nil)

// Request takes a request.
func (s *sink) Request(req *crawl.Request) (bool, error) {
	p, e := s.p, s.p.e
	if p.abandoned.Load() {
		return false, nil
	}
	if p.gate != nil {
		p.gate.RLock()
		defer p.gate.RUnlock()
	}
	if _, err := e.spider.Callback(req.Route); err != nil {
		return true, err
	}
	p.emitted.Store(true)
	passed, err := e.hooks.Request(s.ctx, s.resp, req)
	if err != nil {
		return s.dropped(req, err)
	}
	push, err := crawl.NewPush(p.lease.ID, passed)
	if err != nil {
		e.stats.Inc("scheduler/unserializable")
		return true, err
	}
	p.push(push)
	return s.goOn(), nil
}

// goOn is false in a stop. A page whose callback was told so may be incomplete: its lease stays.
func (s *sink) goOn() bool {
	if !s.p.e.stopping.Load() {
		return true
	}
	s.p.keep.Store(true)
	return false
}

// dropped counts a request that a hook refused.
func (s *sink) dropped(req *crawl.Request, err error) (bool, error) {
	e := s.p.e
	var ignored *crawl.IgnoreRequestError
	if !errors.As(err, &ignored) {
		return true, err
	}
	if f := e.settings.Trace.RequestDropped; f != nil {
		f(req, err)
	}
	return s.goOn(), nil
}

// SkipLink counts a link that is none.
func (s *sink) SkipLink(ref string, err error) {
	e := s.p.e
	e.stats.Inc("link/skipped_count")
	e.log.Debug("link skipped", zap.Stringer("page", s.p), zap.String("link", ref), zap.Error(err))
}

// Put stores a value with the page. Start's cursor is stored at once, with what was produced before it.
func (s *sink) Put(key string, value json.RawMessage) bool {
	p := s.p
	if p.abandoned.Load() {
		return false
	}
	p.emitted.Store(true)
	p.e.state.put(key, value)
	if key == crawl.StartCursor && p.gate != nil {
		p.pause(func() { p.checkpoint(value) })
	} else {
		p.put(key, value)
	}
	return s.goOn()
}

// Get reads what was put last.
func (s *sink) Get(key string) (json.RawMessage, bool) { return s.p.e.state.get(key) }

// Item hands an item to the pipelines.
func (s *sink) Item(item any) bool {
	p, e := s.p, s.p.e
	if p.abandoned.Load() {
		return false
	}
	if p.gate != nil {
		p.gate.RLock()
		defer p.gate.RUnlock()
	}
	p.emitted.Store(true)
	passed, err := e.hooks.Item(s.ctx, s.resp, item)
	if err != nil {
		e.itemFailed(s.ctx, p, item, err)
		return s.goOn()
	}
	if !e.items.tryAcquire() {
		// Full: what was produced so far must not wait with it.
		p.wantTaken()
		var ok bool
		if p.pause(func() { ok = e.items.acquire(e.killed) }); !ok {
			p.keep.Store(true)
			return false
		}
	}
	p.hasItems.Store(true)
	p.open.Add(1)
	run := itemRun{s.ctx, p, passed}
	if e.stages == 0 {
		run.run()
	} else {
		e.workers.do(run)
	}
	return s.goOn()
}

// state is what Out.Save and Checkpoint have stored, as this process sees it.
type state struct {
	mu sync.Mutex
	kv map[string]json.RawMessage // Guarded by mu.
}

func newState(stored map[string][]byte) *state {
	s := &state{kv: make(map[string]json.RawMessage, len(stored))}
	for k, v := range stored {
		s.kv[k] = v
	}
	return s
}

func (s *state) put(key string, v json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kv[key] = v
}

func (s *state) get(key string) (json.RawMessage, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.kv[key]
	return v, ok
}

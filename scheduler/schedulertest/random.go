package schedulertest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/tulle-go/tulle/crawl"
)

// model is the contract written down as simply as can be: every question is answered by looking at everything.
type model struct {
	opts    crawl.SchedulerOptions
	seen    map[crawl.Fingerprint]bool
	waiting []*request
	leased  []*request
	failed  int
	put     map[string]string
	slots   map[string]*host
	rank    int
	// Unfiltered requests that each page has pushed: ever, and since the last opening.
	out, again map[uint64]int
}

type request struct {
	n         int // unique, carried as Data
	push      crawl.Push
	rank      int
	notBefore time.Time
	lease     crawl.Lease
}

type host struct {
	active    int
	next      time.Time
	limits    crawl.Limits
	holdUntil time.Time
}

func newModel(opts crawl.SchedulerOptions) *model {
	return &model{opts: opts, seen: map[crawl.Fingerprint]bool{}, put: map[string]string{}, slots: map[string]*host{}, out: map[uint64]int{}, again: map[uint64]int{}}
}

// repeats says that a page which is done again pushes what it has pushed before.
func (m *model) repeats(p *crawl.Push) bool {
	if p.Filter {
		return false
	}
	m.again[p.Parent]++
	if m.again[p.Parent] <= m.out[p.Parent] {
		return true
	}
	m.out[p.Parent]++
	return false
}

func (m *model) host(name string) *host {
	h := m.slots[name]
	if h == nil {
		h = &host{limits: m.opts.Default}
		m.slots[name] = h
	}
	return h
}

// queue gives a request its rank: newer ones first, or older ones, and what Start produced last.
func (m *model) queue(r *request) {
	m.rank++
	r.rank = m.rank
	if r.push.Parent == 0 || m.opts.Order == crawl.OrderBreadth {
		r.rank = -m.rank
	}
	m.waiting = append(m.waiting, r)
}

// opens is when a host may be asked; ok says that it has a place.
func (m *model) opens(h *host) (at time.Time, ok bool) {
	at = h.next
	if h.holdUntil.After(at) {
		at = h.holdUntil
	}
	return at, h.active < h.limits.Concurrency
}

func (m *model) take(h *host, now time.Time) {
	h.active++
	if h.limits.Delay > 0 {
		h.next = now.Add(h.limits.Delay)
	}
}

// lease returns the request that leaves next, nil if none may.
func (m *model) lease(now time.Time) *request {
	best := -1
	for i, r := range m.waiting {
		at, ok := m.opens(m.host(r.push.Slot))
		if !ok || at.After(now) || r.notBefore.After(now) {
			continue
		}
		if best < 0 || r.push.Priority > m.waiting[best].push.Priority ||
			r.push.Priority == m.waiting[best].push.Priority && r.rank > m.waiting[best].rank {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	r := m.waiting[best]
	m.waiting = append(m.waiting[:best:best], m.waiting[best+1:]...)
	m.take(m.host(r.push.Slot), now)
	m.leased = append(m.leased, r)
	return r
}

// wake is when waiting alone will let something leave.
func (m *model) wake(now time.Time) (wake time.Time) {
	for _, r := range m.waiting {
		at := r.notBefore
		if !at.After(now) {
			var ok bool
			if at, ok = m.opens(m.host(r.push.Slot)); !ok {
				continue
			}
		}
		if at.After(now) && (wake.IsZero() || at.Before(wake)) {
			wake = at
		}
	}
	return wake
}

func (m *model) reopen() {
	m.waiting = append(m.waiting, m.leased...)
	m.leased = nil
	m.slots = map[string]*host{}
	m.again = map[uint64]int{}
}

func (m *model) delayed(now time.Time) (n int) {
	for _, r := range m.waiting {
		if r.notBefore.After(now) {
			n++
		}
	}
	return n
}

// random holds a scheduler against the model.
func random(t *rapid.T, open Opener) {
	opts := crawl.SchedulerOptions{
		Order: rapid.SampledFrom([]string{crawl.OrderDepth, crawl.OrderBreadth}).Draw(t, "order"),
		Default: crawl.Limits{
			Concurrency: rapid.IntRange(1, 3).Draw(t, "concurrency"),
			Delay:       time.Duration(rapid.IntRange(0, 2).Draw(t, "delay")) * time.Second,
			FixedDelay:  true,
		},
	}
	b := &bench{tb: t, open: open, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	b.start(opts)
	r := &runner{t: t, b: b, m: newModel(opts), always: rapid.Bool().Draw(t, "reopen after every commit")}
	t.Repeat(map[string]func(*rapid.T){
		"commit":  r.commit,
		"lease":   r.lease,
		"release": r.release,
		"reserve": r.reserve,
		"limit":   r.limit,
		"wait": func(t *rapid.T) {
			b.now = b.now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
		},
		"reopen": func(*rapid.T) { r.reopen() },
		"":       r.check,
	})
	if err := b.s.Close(context.Background()); err != nil {
		t.Fatalf("close: %v", err)
	}
}

type runner struct {
	t      *rapid.T
	b      *bench
	m      *model
	n      int
	always bool
}

var hostNames = []string{"a.example", "b.example", "c.example"}

func (r *runner) drawPush(t *rapid.T) *request {
	r.n++
	req := crawl.Get(fmt.Sprintf("http://%s/%d", rapid.SampledFrom(hostNames).Draw(t, "host"), rapid.IntRange(0, 40).Draw(t, "page")))
	req.Priority = rapid.IntRange(-1, 1).Draw(t, "priority")
	req.DontFilter = rapid.IntRange(0, 4).Draw(t, "unfiltered") == 0
	req.Data = json.RawMessage(fmt.Sprint(r.n))
	var parent uint64
	if n := len(r.m.leased); n > 0 {
		if i := rapid.IntRange(0, n).Draw(t, "parent"); i < n {
			parent = r.m.leased[i].lease.ID
		}
	}
	return &request{n: r.n, push: pushOf(r.b.tb, parent, req)}
}

// commit makes a random change, sometimes one that must be refused.
func (r *runner) commit(t *rapid.T) {
	var tx crawl.Tx
	var pushed, nacked []*request
	for range rapid.IntRange(0, 4).Draw(t, "pushes") {
		q := r.drawPush(t)
		pushed = append(pushed, q)
		tx.Push = append(tx.Push, q.push)
	}
	var rest, failed []*request
	for _, l := range r.m.leased {
		switch rapid.IntRange(0, 5).Draw(t, "fate") {
		case 0, 1:
			tx.Ack = append(tx.Ack, l.lease.ID)
		case 2:
			tx.Fail = append(tx.Fail, crawl.Failure{Lease: l.lease.ID, Kind: "timeout", Reason: "none"})
			failed = append(failed, l)
		case 3:
			tx.Nack = append(tx.Nack, r.drawNack(t, l))
			nacked = append(nacked, l)
		default:
			rest = append(rest, l)
		}
	}
	if rapid.Bool().Draw(t, "put") {
		tx.Put = map[string][]byte{rapid.SampledFrom([]string{"x", "y", crawl.StartCursor}).Draw(t, "key"): []byte(fmt.Sprint(r.n))}
	}
	if rapid.IntRange(0, 9).Draw(t, "refused") == 0 {
		tx.Ack = append(tx.Ack, 1<<60)
		if _, err := r.b.commit(tx); err == nil {
			t.Fatalf("a lease that is not out was acknowledged")
		}
		return
	}
	c := r.b.must(tx)
	for _, l := range r.m.leased {
		if !slices.Contains(rest, l) {
			defer func() { delete(r.m.out, l.lease.ID) }()
		}
	}
	r.m.leased = rest
	r.m.failed += len(failed)
	var seen, seenNacks []int
	for i, q := range pushed {
		if r.m.repeats(&q.push) || r.m.seen[q.push.Fingerprint] && q.push.Filter {
			seen = append(seen, i)
			continue
		}
		r.m.seen[q.push.Fingerprint] = true
		r.m.queue(q)
	}
	for i, l := range nacked {
		n := tx.Nack[i]
		if r.m.seen[n.Push.Fingerprint] && n.Push.Filter {
			seenNacks = append(seenNacks, i)
			continue
		}
		r.m.seen[n.Push.Fingerprint] = true
		r.m.queue(&request{n: l.n, push: n.Push, notBefore: n.NotBefore})
	}
	for k, v := range tx.Put {
		r.m.put[k] = string(v)
		if k == crawl.StartCursor {
			delete(r.m.out, 0)
			delete(r.m.again, 0)
		}
	}
	if fmt.Sprint(c.Seen, c.SeenNacks) != fmt.Sprint(seen, seenNacks) {
		t.Fatalf("seen are %v and %v of the nacks, want %v and %v", c.Seen, c.SeenNacks, seen, seenNacks)
	}
	if r.always {
		r.reopen()
	}
}

// drawNack changes a leased request as a retry or a redirect does. Its place has been given back before.
func (r *runner) drawNack(t *rapid.T, l *request) crawl.Nack {
	req := l.lease.Request.Clone()
	if rapid.Bool().Draw(t, "redirect") {
		to := crawl.Get(fmt.Sprintf("http://%s/%d", rapid.SampledFrom(hostNames).Draw(t, "host"), rapid.IntRange(0, 40).Draw(t, "page")))
		req.Redirects = append(req.Redirects, req.URL.String())
		req.URL = to.URL
	} else {
		req.Retries++
	}
	var at time.Time
	if rapid.Bool().Draw(t, "later") {
		at = r.b.now.Add(time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond)
	}
	n, err := crawl.NewNack(l.lease.ID, l.lease.Request, req, at)
	if err != nil {
		t.Fatalf("nack: %v", err)
	}
	return n
}

func (r *runner) lease(t *rapid.T) {
	most := rapid.IntRange(0, 5).Draw(t, "most")
	leases, wake := r.b.s.Lease(r.b.now, most)
	for i := range most {
		want := r.m.lease(r.b.now)
		if want == nil {
			if len(leases) > i {
				t.Fatalf("leased %s, which may not leave", leases[i].Request)
			}
			break
		}
		if i >= len(leases) {
			t.Fatalf("leased %d, want %s too", len(leases), want.push.Encoded)
		}
		var n int
		if leases[i].Err != nil || json.Unmarshal(leases[i].Request.Data, &n) != nil || n != want.n {
			t.Fatalf("lease %d is %s with data %s (error %v), want that with data %d", i, leases[i].Request, leases[i].Request.Data, leases[i].Err, want.n)
		}
		want.lease = leases[i]
	}
	if want := r.m.wake(r.b.now); !wake.Equal(want) && (!want.IsZero() || wake.Before(r.b.now)) {
		t.Fatalf("wake is %s, want %s", wake, want)
	}
}

func (r *runner) release(t *rapid.T) {
	name := rapid.SampledFrom(hostNames).Draw(t, "host")
	if h := r.m.host(name); h.active > 0 {
		h.active--
		r.b.s.Release(name, r.b.now)
	}
}

func (r *runner) reserve(t *rapid.T) {
	name := rapid.SampledFrom(hostNames).Draw(t, "host")
	h := r.m.host(name)
	at, free := r.m.opens(h)
	want := free && !at.After(r.b.now)
	ok, wake := r.b.s.Reserve(name, r.b.now)
	switch {
	case ok != want:
		t.Fatalf("reserve at %s is %v, want %v", name, ok, want)
	case ok:
		r.m.take(h, r.b.now)
	case free && !wake.Equal(at):
		t.Fatalf("reserve at %s: wake is %s, want %s", name, wake, at)
	case !free && !wake.IsZero():
		t.Fatalf("reserve at %s: wake is %s, want none before a release", name, wake)
	}
}

func (r *runner) limit(t *rapid.T) {
	name := rapid.SampledFrom(hostNames).Draw(t, "host")
	h := r.m.host(name)
	var l crawl.Limits
	switch rapid.IntRange(0, 2).Draw(t, "what") {
	case 0:
		l.Concurrency = rapid.IntRange(1, 4).Draw(t, "concurrency")
		h.limits.Concurrency = l.Concurrency
	case 1:
		l.Delay, l.FixedDelay = time.Duration(rapid.IntRange(1, 3).Draw(t, "delay"))*time.Second, true
		h.limits.Delay = l.Delay
	case 2:
		l.HoldUntil = r.b.now.Add(time.Duration(rapid.IntRange(-1, 5).Draw(t, "hold")) * time.Second)
		if l.HoldUntil.After(h.holdUntil) {
			h.holdUntil = l.HoldUntil
		}
	}
	r.b.s.Limit(name, l)
}

func (r *runner) reopen() {
	r.b.reopen()
	r.m.reopen()
	got := r.b.s.State()
	if len(got) != len(r.m.put) {
		r.t.Fatalf("state is %q, want %q", got, r.m.put)
	}
	for k, v := range r.m.put {
		if string(got[k]) != v {
			r.t.Fatalf("state is %q, want %q", got, r.m.put)
		}
	}
}

func (r *runner) check(t *rapid.T) {
	c := r.b.s.Counts()
	want := crawl.Counts{Queued: len(r.m.waiting), Leased: len(r.m.leased), Failed: r.m.failed, Seen: len(r.m.seen)}
	got := crawl.Counts{Queued: c.Queued, Leased: c.Leased, Failed: c.Failed, Seen: c.Seen}
	if got != want {
		t.Fatalf("counts are %+v, want %+v", got, want)
	}
	if c.Delayed < r.m.delayed(r.b.now) || c.Ready+c.Delayed > c.Queued {
		t.Fatalf("of %d queued %d are delayed and %d ready; %d wait for a time", c.Queued, c.Delayed, c.Ready, r.m.delayed(r.b.now))
	}
}

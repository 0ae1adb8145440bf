package engine

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// hosts opens each host before anything else of it is asked: see crawl.RequestOpener. Until then its slot has one place.
//
// A host is opened in the place of the first request that needs it. If it takes one question, as nearly always, that request goes on in its place. If it takes another,
// later or elsewhere, the place is given back, and the opening waits among media for one of its own. Requests of a host that is being opened are set aside until it
// is open, without a place; then they go back to the queue. Their slot is held meanwhile, so there are few of them.
type hosts struct {
	e *Engine

	mu    sync.RWMutex
	known map[hostKey]*origin // Guarded by mu. Two keys of one origin, such as its name in capitals, lead to the same.
}

type hostKey struct{ scheme, host string }

// origin is a host that has been opened, or is being opened.
type origin struct {
	slot string              // Guarded by hosts.mu: the first that it is open for; "" is none.
	more map[string]struct{} // Guarded by hosts.mu: the others.
	busy bool                // Guarded by hosts.mu: it is being opened. Only the loop ends that.
	late bool                // Guarded by hosts.mu: it is being opened again, for all its slots.
	own  *crawl.Limits       // Guarded by hosts.mu: what it has asked for; nil is nothing.

	// Owned by the loop.
	job   *mediaJob   // its opening, once that has given its first place back
	pages []*page     // set aside
	media []*mediaJob // set aside
}

// opening is a host that is being opened for a request, in a slot.
type opening struct {
	host *origin
	req  *crawl.Request
	slot string
	sent bool // what it asked last has come to the downloader
}

// setAside is why a request was not asked: its host is being opened. If that has begun in the request's place, and is to go on elsewhere, again says how.
type setAside struct {
	host  *origin
	of    *opening
	again *crawl.RescheduleError
}

func (s *setAside) Error() string { return "its host is being opened" }

// openFor says that requests in a slot may be asked. Called with hosts.mu held.
func (o *origin) openFor(slot string) bool {
	if o == nil || o.late {
		return false
	}
	if o.slot == slot {
		return true
	}
	_, ok := o.more[slot]
	return ok
}

// slots are those that it is open for. Called with hosts.mu held.
func (o *origin) slots() []string {
	if o.slot == "" {
		return nil
	}
	all := []string{o.slot}
	for slot := range o.more {
		all = append(all, slot)
	}
	return all
}

// open returns when the request's host is open, or why it can't be asked now.
func (h *hosts) open(req *crawl.Request, slot string) error {
	key := hostKey{req.URL.Scheme, req.URL.Host}
	h.mu.RLock()
	ok := h.known[key].openFor(slot)
	h.mu.RUnlock()
	if ok {
		return nil
	}
	return h.begin(key, req, req, slot, false)
}

// reopen is open for a host that is open, and is to be opened again: as for wanted, which is the request as a layer saw it, or nil.
func (h *hosts) reopen(req, wanted *crawl.Request, slot string) error {
	key := hostKey{req.URL.Scheme, req.URL.Host}
	if wanted == nil || wanted.URL == nil || wanted.URL.Scheme != key.scheme || wanted.URL.Host != key.host {
		wanted = req
	}
	return h.begin(key, req, wanted, slot, true)
}

func (h *hosts) begin(key hostKey, req, wanted *crawl.Request, slot string, again bool) error {
	h.mu.Lock()
	o := h.known[key]
	if o == nil {
		key = hostKey{strings.Clone(key.scheme), strings.Clone(key.host)} // they are pieces of the request
		plain := key.plain()
		if o = h.known[plain]; o == nil {
			o = new(origin)
			h.known[plain] = o
		}
		h.known[key] = o
	}
	switch {
	case !again && o.openFor(slot):
		h.mu.Unlock()
		return nil
	case o.busy:
		h.mu.Unlock()
		return &setAside{host: o}
	}
	o.busy, o.late = true, again
	h.mu.Unlock()
	held, err := h.ask(&opening{host: o, req: wanted, slot: slot})
	if err == nil && held {
		return crawl.Reschedule(req, 0, "the host was opened, and has a delay")
	}
	return err
}

// plain is the key of the same origin as it is usually written.
func (k hostKey) plain() hostKey {
	host := strings.ToLower(k.host)
	switch k.scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}
	return hostKey{k.scheme, host}
}

// ask opens a host, in the place of one request. held says that the next one is to wait, for what was asked here. An error is a *setAside. It is the crawl's business, so it
// does not end when the one who came first leaves.
func (h *hosts) ask(op *opening) (held bool, err error) {
	e, ctx := h.e, h.e.killed
	op.sent = false
	var own crawl.Limits
	if s := op.req.URL.Scheme; s == "http" || s == "https" {
		through := crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
			ctx, sent := e.mark(ctx)
			resp, err := e.fetch.Fetch(ctx, req)
			op.sent = op.sent || sent == nil || sent.Load()
			return resp, err
		})
		err = e.call(func() (err error) {
			own, err = e.fetch.OpenHostFor(ctx, op.req, through)
			return err
		})
		if re, ok := errors.AsType[*crawl.RescheduleError](err); ok && re.Request != nil && usable(re.Request) == nil && ctx.Err() == nil {
			return false, &setAside{host: op.host, of: op.kept(), again: re}
		}
		if err != nil && ctx.Err() == nil {
			e.log.Warn("host opened without its limits", zap.String("host", s+"://"+op.req.URL.Host), zap.Error(err))
		}
	}
	h.mu.Lock()
	var slots []string
	if before := op.host.own; op.host.late || before == nil && own != (crawl.Limits{}) || before != nil && *before != own { // else the others have these limits already
		slots = op.host.slots()
	}
	if op.host.own = nil; own != (crawl.Limits{}) {
		op.host.own = &own
	}
	h.mu.Unlock()
	if !slices.Contains(slots, op.slot) {
		slots = append(slots, op.slot)
	}
	now := time.Now()
	all := make([]crawl.Limits, len(slots))
	for i, slot := range slots {
		before := e.limits.current(slot).Delay
		l := e.limits.open(slot, own)
		fromNow := crawl.Limits{HoldUntil: now.Add(l.Delay)}
		if slot == op.slot {
			if op.sent && l.Delay > 0 {
				l = l.Strictest(fromNow)
			}
			held = l.HoldUntil.After(now)
		}
		if l.Delay > before { // whoever has left had the next one wait for less
			l = l.Strictest(fromNow)
		}
		if l.Delay <= 0 {
			l.Delay = -1 // 0 would leave what was
		}
		all[i] = l
	}
	e.do(func(l *loop) {
		for i, slot := range slots {
			l.limit(slot, all[i])
		}
		l.opened(op.host, op.slot)
	})
	return held, nil
}

// kept is the opening without what belongs to whoever asked.
func (op *opening) kept() *opening {
	c := *op
	c.req = &crawl.Request{URL: op.req.URL, Header: http.Header{}, Knobs: op.req.Knobs}
	if agent, ok := op.req.Header["User-Agent"]; ok {
		c.req.Header["User-Agent"] = agent
	}
	return &c
}

// What follows belongs to the loop.

// aside is what of a slot is set aside.
type aside struct {
	count, most int // most is from how many on the slot is held
}

func (a aside) holds() bool { return a.count > 0 && a.count >= a.most }

// mostAside is how many requests of a slot that several hosts share may be set aside, such as http://h and https://h. Of a host's own slot it is one.
const mostAside = 64

// mostPagesAside is how many pages may be set aside for each download at once before no others are leased: each is in memory, and in hand in a job.
const mostPagesAside = 64

// shares reports whether another host of the same name may be open in a slot, whose requests are not to wait for this one's opening.
func (h *hosts) shares(u *url.URL, slot string) bool {
	other := hostKey{"https", strings.ToLower(u.Hostname())}
	if u.Scheme == "https" {
		other.scheme = "http"
	}
	if port := u.Port(); port != "" && (hostKey{u.Scheme, u.Host}).plain().host != other.host {
		return true
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.known[other].openFor(slot)
}

// setAside sets a request aside, and reports whether it has: its host may be open by now. An opening that is to go on elsewhere is queued.
func (l *loop) setAside(s *setAside, req *crawl.Request, slot string) bool {
	o := s.host
	if s.of != nil {
		l.media.opens(l, s)
	}
	hosts := l.e.hosts
	hosts.mu.RLock()
	busy := o.busy
	hosts.mu.RUnlock()
	if !busy {
		return false
	}
	if l.aside == nil {
		l.aside = make(map[string]aside)
	}
	a := l.aside[slot]
	if a.count++; a.count == 1 {
		a.most = 1
		if req.Knob().Slot != "" || hosts.shares(req.URL, slot) {
			a.most = mostAside
		}
	}
	l.aside[slot] = a
	if a.count == a.most {
		l.sched.Hold(slot, true)
	}
	l.media.opening(o)
	return true
}

// back is told that a request of a slot is no longer set aside.
func (l *loop) back(slot string) {
	a := l.aside[slot]
	held := a.holds()
	a.count--
	if l.aside[slot] = a; a.count == 0 {
		delete(l.aside, slot)
	}
	if held && !a.holds() {
		l.sched.Hold(slot, false)
		l.media.released(slot)
	}
}

// setPageAside is told that a page's host is not open. Its Nack has been made.
func (l *loop) setPageAside(p *page, s *setAside) {
	waits := l.setAside(s, p.lease.Request, p.slot)
	if waits {
		s.host.pages = append(s.host.pages, p)
		l.pagesAside++
	}
	p.loaded = true
	l.loading--
	l.release(p.slot)
	switch {
	case !waits:
		l.finish(p)
	case l.stopping:
		l.stopOpening()
	}
}

// setMediaAside is told that a submitted request's host is not open.
func (l *loop) setMediaAside(j *mediaJob) {
	s := j.aside
	delete(l.media.running, j)
	if l.setAside(s, j.req, j.slot) {
		j.state = jobAside
		s.host.media = append(s.host.media, j)
	} else {
		l.media.enqueue(j)
	}
	l.release(j.slot)
	if j.ctx.Err() != nil { // its owner left while it ran
		l.media.drop(j)
	}
}

// opened is told that a host is open for a slot; for none, that the crawl ends first.
func (l *loop) opened(o *origin, slot string) {
	hosts := l.e.hosts
	hosts.mu.Lock()
	o.busy, o.late = false, false
	switch {
	case slot == "" || o.openFor(slot):
	case o.slot == "":
		o.slot = strings.Clone(slot)
	default:
		if o.more == nil {
			o.more = make(map[string]struct{})
		}
		o.more[strings.Clone(slot)] = struct{}{}
	}
	hosts.mu.Unlock()
	o.job = nil
	delete(l.media.hosts, o)
	l.pagesBack(o)
	media := o.media
	o.media = nil
	for _, j := range media {
		l.back(j.slot)
		l.media.enqueue(j)
	}
}

// pagesBack lets pages that were set aside go back to the queue.
func (l *loop) pagesBack(o *origin) {
	pages := o.pages
	o.pages = nil
	l.pagesAside -= len(pages)
	for _, p := range pages {
		l.back(p.slot)
		l.finish(p)
	}
	if len(pages) > 0 {
		l.box.nudge() // for the turn that commits it
	}
}

// stopOpening lets pages that are set aside go back to the queue, and no host be opened for them alone.
func (l *loop) stopOpening() {
	for o := range l.media.hosts {
		l.pagesBack(o)
		if len(o.media) == 0 && o.job != nil && o.job.state != jobRunning {
			l.media.drop(o.job)
		}
	}
}

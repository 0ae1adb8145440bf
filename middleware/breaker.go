package middleware

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// Breaker leaves a host alone that does not answer at all: Breaker.Failures times in a row its name was not found, the connection was refused or broke, the handshake
// failed, or nothing came in time. What waits for the host stays in the queue, and what was in hand goes back to it without a retry being counted. After Breaker.Hold one
// request is tried. An answer, whatever its status, ends it; a failure doubles the hold, up to Breaker.MaxHold. After Breaker.Trials failures the host is given up for
// this crawl: what waits for it fails at once, as [crawl.KindDeadHost]. So a site that is restarted loses nothing, and a crawl with a hundred thousand pages of a dead one ends.
//
// A host that answers now and then is asked on: the failures in a row must be more than such a host would have by chance once in a million. One that has never
// answered is given up after one trial: it is likely not there. A host is an origin here; its slot is held only if nothing else in the slot has answered meanwhile.
//
// Stats: breaker/open_count, breaker/trial_count, breaker/close_count, breaker/given_up (hosts) and breaker/refused_count (requests to them).
func Breaker(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	s := env.Settings.Breaker
	if s.Off {
		return nil, crawl.NotConfigured("breaker.off is set")
	}
	return &breaker{
		BreakerSettings: s, next: next, stats: env.Stats, log: env.Log, retry: env.Settings.Retry,
		hosts: make(map[breakerKey]*health), runs: make(map[string]int),
	}, nil
}

type breaker struct {
	crawl.BreakerSettings
	next  crawl.Fetcher
	stats *crawl.Stats
	log   *zap.Logger
	retry crawl.RetrySettings

	outages atomic.Int64 // hosts that have one

	mu    sync.Mutex
	hosts map[breakerKey]*health // Guarded by mu, with what they point to: about 120 bytes a host.
	runs  map[string]int         // Guarded by mu: failures in a row of a slot, whatever its hosts.
}

type breakerKey struct{ scheme, host string }

func (k breakerKey) String() string { return k.scheme + "://" + k.host }

// health is how a host has answered. There is one of each host that was ever asked, so it is small.
type health struct {
	answers, failures int32 // of late, those in run not counted
	run               int32 // failures in a row
	known             bool
	out               *outage // nil: it is asked as usual
}

// outage is a host that is left alone.
type outage struct {
	began  time.Time // its last answer was before
	until  time.Time // when one request may be tried
	hold   time.Duration
	trying bool
	failed int   // trials
	dead   error // why it was given up; nil: it was not
}

const (
	// byChance is how likely a run of failures may be for a host as bad as this one, that is asked on all the same.
	byChance = 1e-6
	// ofLate is how many attempts a host's share of failures is taken from.
	ofLate = 1000
	// trialPoll is how long others wait while a trial runs. A hold can't be made shorter, and the trial may be over soon.
	trialPoll = 5 * time.Second
)

func (b *breaker) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	if req.URL.Host == "" {
		return b.next.Fetch(ctx, req)
	}
	key := breakerKey{req.URL.Scheme, req.URL.Host}
	trial := false
	if b.outages.Load() > 0 {
		var err error
		if trial, err = b.admit(key, req); err != nil {
			return nil, err
		}
	}
	judged := false
	if trial {
		defer func() { // a layer that panics must not leave the trial open for ever
			if !judged {
				b.mu.Lock()
				b.hosts[key].retry()
				b.mu.Unlock()
			}
		}()
	}
	resp, err := b.next.Fetch(ctx, req)
	if err == nil {
		judged = true
		b.answered(key, req, trial)
		return resp, nil
	}
	switch failed, answered := sign(ctx, err); {
	case answered:
		judged = true
		b.answered(key, req, trial)
	case failed != nil:
		judged = true
		return nil, b.failed(key, req, trial, failed, err)
	}
	return nil, err
}

// sign tells what a failure says of the host: that it is there, or that it does not answer. With neither it says nothing.
func sign(ctx context.Context, err error) (failed *crawl.DownloadError, answered bool) {
	var again *crawl.RescheduleError
	if ctx.Err() != nil || errors.As(err, &again) || !errors.As(err, &failed) {
		return nil, false
	}
	switch failed.Kind {
	case crawl.KindDNS, crawl.KindRefused, crawl.KindTimeout, crawl.KindTLS, crawl.KindConnection:
		if failed.Answered || failed.Progress {
			return nil, true
		}
		if crawl.Proxy(ctx) != nil { // who knows which of the two it was
			return nil, false
		}
		return failed, false
	case crawl.KindTruncated, crawl.KindTooLarge, crawl.KindEncoding, crawl.KindStopped:
		return nil, true
	}
	return nil, false
}

// admit lets a request through, as the trial if the host is left alone.
func (b *breaker) admit(key breakerKey, req *crawl.Request) (trial bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.hosts[key]
	if h == nil || h.out == nil {
		return false, nil
	}
	o, now := h.out, time.Now()
	switch {
	case o.dead != nil:
		b.stats.Inc("breaker/refused_count")
		return false, &crawl.DownloadError{Kind: crawl.KindDeadHost, URL: crawl.Redacted(req.URL), Err: o.dead}
	case now.Before(o.until):
		return false, b.back(h, req, o.until.Sub(now), nil)
	case o.trying:
		return false, b.back(h, req, trialPoll, nil)
	}
	o.trying = true
	b.stats.Inc("breaker/trial_count")
	return true, nil
}

// back is a request that goes back to the queue as it came. The slot is held with it, unless something else there has answered. Called with mu held.
func (b *breaker) back(h *health, req *crawl.Request, after time.Duration, err error) error {
	again := &crawl.RescheduleError{Request: repeat(req), After: after, Reason: "the host does not answer", Err: err}
	if b.runs[req.Slot()] >= int(h.run) {
		again.HoldSlot = after
	}
	return again
}

// answered notes that a host is there. Only a trial's answer ends an outage: whatever else is answered meanwhile had left before the host was found to be out.
func (b *breaker) answered(key breakerKey, req *crawl.Request, trial bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.health(key)
	h.known = true
	if h.answers++; h.answers+h.failures >= ofLate {
		h.answers, h.failures = h.answers/2, h.failures/2
	}
	if h.out != nil && !trial {
		return
	}
	if len(b.runs) > 0 {
		delete(b.runs, req.Slot())
	}
	h.failures += h.run
	h.run = 0
	if h.out == nil {
		return
	}
	b.stats.Inc("breaker/close_count")
	b.log.Info("the host answers again", zap.Stringer("host", key), zap.Duration("after", time.Since(h.out.began).Round(time.Second)))
	h.out = nil
	b.outages.Add(-1)
}

// failed notes that a host has not answered, and returns what the request's error is.
func (b *breaker) failed(key breakerKey, req *crawl.Request, trial bool, why *crawl.DownloadError, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.health(key)
	h.run++
	slot := req.Slot()
	n, ok := b.runs[slot]
	if !ok {
		slot = strings.Clone(slot)
	}
	b.runs[slot] = n + 1
	o, now := h.out, time.Now()
	switch {
	case o == nil && !b.down(h):
		return err
	case o == nil:
		o = &outage{began: now, until: now.Add(b.Hold), hold: b.Hold}
		h.out = o
		b.outages.Add(1)
		b.stats.Inc("breaker/open_count")
		b.log.Info("the host does not answer: it is left alone for a while", zap.Stringer("host", key), zap.Duration("hold", b.Hold),
			zap.Int32("failures", h.run), zap.Error(why.Err))
	case trial && o.dead == nil:
		o.trying = false
		o.failed++
		o.hold = min(2*o.hold, max(b.MaxHold, b.Hold))
		o.until = now.Add(o.hold)
		if o.failed >= b.trials(h) {
			b.giveUp(key, h, why)
		}
	}
	if o.dead != nil {
		return &crawl.DownloadError{Kind: crawl.KindDeadHost, URL: why.URL, Err: o.dead}
	}
	if b.retry.TimesOf(req) == 0 || passing(err) == nil {
		return err // it is not to be asked twice
	}
	// The stats middleware takes what is rescheduled for something that was not asked.
	b.stats.Inc("downloader/exception_count")
	b.stats.Inc(exceptionStat + string(why.Kind))
	return b.back(h, req, max(o.until.Sub(now), time.Millisecond), err)
}

// down reports whether a host is not there, as against one that answers now and then: p is how likely that one fails.
func (b *breaker) down(h *health) bool {
	if int(h.run) < b.Failures || !h.known {
		return int(h.run) >= b.Failures
	}
	p := float64(h.failures+1) / float64(h.answers+h.failures+2)
	return math.Pow(p, float64(h.run)) < byChance
}

// trials is how many trials a host is given.
func (b *breaker) trials(h *health) int {
	if !h.known {
		return 1
	}
	return b.Trials
}

// giveUp gives a host up for this crawl. Called with mu held.
func (b *breaker) giveUp(key breakerKey, h *health, why *crawl.DownloadError) {
	o := h.out
	o.dead = fmt.Errorf("%s has not answered for %s: %w", key, time.Since(o.began).Round(time.Second), why.Err)
	b.stats.Inc("breaker/given_up")
	b.log.Warn("the host is given up: what waits for it fails as dead-host. With a job, `job requeue-failed --kind dead-host` has it asked again another day",
		zap.Stringer("host", key), zap.Int32("failures", h.run), zap.Int("trials", o.failed), zap.Error(o.dead))
}

// health is what is known of a host. Called with mu held.
func (b *breaker) health(key breakerKey) *health {
	h := b.hosts[key]
	if h == nil {
		h = &health{}
		// What is kept must not be a piece of the request, which would stay in memory with it.
		scheme, host, _ := strings.Cut(key.String(), "://")
		b.hosts[breakerKey{scheme, host}] = h
	}
	return h
}

// retry lets the next request be the trial: the last one has told nothing.
func (h *health) retry() {
	if h.out != nil {
		h.out.trying = false
	}
}

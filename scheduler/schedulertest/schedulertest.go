// Package schedulertest is what the contract of crawl.Scheduler means: a suite that every scheduler passes. [Run] holds a scheduler against a model, under random
// operations, and opens it anew after commits, as if the process had been killed.
package schedulertest

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tulle-go/tulle/crawl"
)

// Opener opens one scheduler. Its first call opens it empty; each later call opens it with all that was committed before, and what was leased is queued again.
// It closes what it opened before, or kills it.
type Opener func(tb TB, opts crawl.SchedulerOptions) crawl.Scheduler

// TB is the part of testing.TB that an [Opener] needs; *rapid.T has it too.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// Run runs the suite. fresh returns an Opener for a scheduler that nothing was committed to; it is called once per test, and many times by the random one.
func Run(t *testing.T, fresh func(tb TB) Opener) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *bench){
		"PriorityThenNewest":          priorityThenNewest,
		"BreadthIsOldestFirst":        breadthIsOldestFirst,
		"StartComesLastInItsOrder":    startComesLast,
		"SeenIsDropped":               seenIsDropped,
		"UnfilteredIsNot":             unfilteredIsNot,
		"SeenSurvivesReopening":       seenSurvives,
		"LeasesAreQueuedAgain":        leasesAreQueuedAgain,
		"AllOrNothing":                allOrNothing,
		"NackWaits":                   nackWaits,
		"RedirectToSeenIsDuplicate":   redirectToSeen,
		"RedirectWithinItsChain":      redirectWithinChain,
		"PlacesAreKept":               placesAreKept,
		"ReleaseBeforeAck":            releaseBeforeAck,
		"DelayHolds":                  delayHolds,
		"DelayIsDrawn":                delayIsDrawn,
		"HoldHolds":                   holdHolds,
		"HeldSlotsKeepTheirRequests":  heldSlots,
		"SlowHostHoldsNobodyUp":       slowHost,
		"ReserveTakesAPlace":          reserveTakesAPlace,
		"LimitChangesWhatIsAllowed":   limitChanges,
		"StateIsWhatWasPut":           stateIsWhatWasPut,
		"BestOfAllHosts":              bestOfAllHosts,
		"FailuresAreCounted":          failuresAreCounted,
		"WhatWasPushedComesBackWhole": comesBackWhole,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bench{tb: t, open: fresh(t), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
			t.Cleanup(func() {
				if b.s != nil {
					require.NoError(t, b.s.Close(context.Background()))
				}
			})
			test(t, b)
		})
	}
	t.Run("Random", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(rt *rapid.T) { random(rt, fresh(rt)) })
	})
}

// bench is a scheduler under test, a clock, and short ways to say things.
type bench struct {
	tb   TB
	open Opener
	opts crawl.SchedulerOptions
	s    crawl.Scheduler
	now  time.Time
}

func (b *bench) start(opts crawl.SchedulerOptions) {
	b.opts = opts
	b.s = b.open(b.tb, opts)
}

func (b *bench) reopen() { b.s = b.open(b.tb, b.opts) }

func (b *bench) commit(tx crawl.Tx) (crawl.Committed, error) {
	type answer struct {
		c   crawl.Committed
		err error
	}
	ch := make(chan answer, 1)
	b.s.Commit(&tx, func(c crawl.Committed, err error) { ch <- answer{c, err} })
	select {
	case a := <-ch:
		return a.c, a.err
	case <-time.After(10 * time.Second):
		b.tb.Fatalf("Commit did not call done within 10 s")
		return crawl.Committed{}, nil
	}
}

func (b *bench) must(tx crawl.Tx) crawl.Committed {
	b.tb.Helper()
	c, err := b.commit(tx)
	if err != nil {
		b.tb.Fatalf("commit: %v", err)
	}
	return c
}

// push commits requests for URLs, as found on a page.
func (b *bench) push(urls ...string) crawl.Committed {
	b.tb.Helper()
	var tx crawl.Tx
	for _, u := range urls {
		tx.Push = append(tx.Push, pushOf(b.tb, 1, crawl.Get(u)))
	}
	return b.must(tx)
}

func pushOf(tb TB, parent uint64, req *crawl.Request) crawl.Push {
	tb.Helper()
	p, err := crawl.NewPush(parent, req)
	if err != nil {
		tb.Fatalf("push of %s: %v", req, err)
	}
	return p
}

func (b *bench) lease(most int) []crawl.Lease {
	leases, _ := b.s.Lease(b.now, most)
	return leases
}

func urlsOf(leases []crawl.Lease) []string {
	urls := []string{}
	for _, l := range leases {
		urls = append(urls, l.Request.URL.String())
	}
	return urls
}

// nack hands a lease back as req.
func (b *bench) nack(l crawl.Lease, req *crawl.Request, notBefore time.Time) crawl.Committed {
	b.tb.Helper()
	n, err := crawl.NewNack(l.ID, l.Request, req, notBefore)
	if err != nil {
		b.tb.Fatalf("nack: %v", err)
	}
	b.s.Release(l.Request.Slot(), b.now)
	return b.must(crawl.Tx{Nack: []crawl.Nack{n}})
}

func (b *bench) done(l crawl.Lease) {
	b.tb.Helper()
	b.s.Release(l.Request.Slot(), b.now)
	b.must(crawl.Tx{Ack: []uint64{l.ID}})
}

var wide = crawl.SchedulerOptions{Default: crawl.Limits{Concurrency: 100}}

func priorityThenNewest(t *testing.T, b *bench) {
	b.start(wide)
	high := crawl.Get("http://a.example/high")
	high.Priority = 5
	low := crawl.Get("http://a.example/low")
	low.Priority = -5
	b.must(crawl.Tx{Push: []crawl.Push{pushOf(t, 1, low), pushOf(t, 1, high)}})
	b.push("http://a.example/1", "http://a.example/2")
	b.push("http://a.example/3")
	b.reopen()
	require.Equal(t, []string{
		"http://a.example/high", "http://a.example/3", "http://a.example/2", "http://a.example/1", "http://a.example/low",
	}, urlsOf(b.lease(10)))
}

func breadthIsOldestFirst(t *testing.T, b *bench) {
	opts := wide
	opts.Order = crawl.OrderBreadth
	b.start(opts)
	b.push("http://a.example/1", "http://a.example/2")
	b.reopen()
	b.push("http://a.example/3")
	require.Equal(t, []string{"http://a.example/1", "http://a.example/2", "http://a.example/3"}, urlsOf(b.lease(10)))
}

func startComesLast(t *testing.T, b *bench) {
	b.start(wide)
	b.must(crawl.Tx{Push: []crawl.Push{
		pushOf(t, 0, crawl.Get("http://a.example/s1")), pushOf(t, 0, crawl.Get("http://a.example/s2")),
	}})
	b.push("http://a.example/1", "http://a.example/2")
	b.reopen()
	require.Equal(t, []string{
		"http://a.example/2", "http://a.example/1", "http://a.example/s1", "http://a.example/s2",
	}, urlsOf(b.lease(10)))
}

func seenIsDropped(t *testing.T, b *bench) {
	b.start(wide)
	c := b.push("http://a.example/?a=1&b=2", "http://a.example/x", "http://a.example/?b=2&a=1#part")
	require.Equal(t, []int{2}, c.Seen)
	require.Equal(t, []int{0}, b.push("http://a.example/x", "http://a.example/y").Seen)
	require.Equal(t, 3, b.s.Counts().Queued)
	require.Equal(t, 3, b.s.Counts().Seen)
}

func unfilteredIsNot(t *testing.T, b *bench) {
	b.start(wide)
	again := crawl.Get("http://a.example/")
	again.DontFilter = true
	require.Empty(t, b.must(crawl.Tx{Push: []crawl.Push{pushOf(t, 1, again), pushOf(t, 1, again)}}).Seen)
	require.Equal(t, []int{0}, b.push("http://a.example/").Seen, "what was pushed unfiltered is seen")
	require.Equal(t, 2, b.s.Counts().Queued)
}

func seenSurvives(t *testing.T, b *bench) {
	b.start(wide)
	b.push("http://a.example/1")
	b.done(b.lease(1)[0])
	b.reopen()
	require.Equal(t, []int{0}, b.push("http://a.example/1").Seen)
	require.Empty(t, b.lease(1))
}

func leasesAreQueuedAgain(t *testing.T, b *bench) {
	b.start(wide)
	b.push("http://a.example/1", "http://a.example/2", "http://a.example/3")
	leases := b.lease(2)
	require.Equal(t, []string{"http://a.example/3", "http://a.example/2"}, urlsOf(leases))
	b.done(leases[0])
	b.reopen()
	require.Equal(t, 0, b.s.Counts().Leased)
	require.Equal(t, []string{"http://a.example/2", "http://a.example/1"}, urlsOf(b.lease(10)))
}

func allOrNothing(t *testing.T, b *bench) {
	b.start(wide)
	b.push("http://a.example/1")
	l := b.lease(1)[0]
	for _, bad := range []crawl.Tx{
		{Ack: []uint64{l.ID, l.ID + 1000}},
		{Ack: []uint64{l.ID, l.ID}},
		{Ack: []uint64{l.ID}, Fail: []crawl.Failure{{Lease: l.ID}}},
	} {
		bad.Push = []crawl.Push{pushOf(t, 1, crawl.Get("http://a.example/2"))}
		bad.Put = map[string][]byte{"k": []byte("v")}
		_, err := b.commit(bad)
		require.Error(t, err)
		require.Equal(t, crawl.Counts{Leased: 1, Seen: 1, Slots: 1}, b.s.Counts())
	}
	b.done(l)
	b.reopen()
	require.Empty(t, b.s.State())
	require.Empty(t, b.lease(1))
}

func nackWaits(t *testing.T, b *bench) {
	b.start(wide)
	b.push("http://a.example/1")
	l := b.lease(1)[0]
	retry := l.Request.Clone()
	retry.Retries = 1
	b.nack(l, retry, b.now.Add(time.Minute))
	require.Equal(t, crawl.Counts{Queued: 1, Delayed: 1, Seen: 1}, b.s.Counts())
	leases, wake := b.s.Lease(b.now.Add(59*time.Second), 10)
	require.Empty(t, leases)
	require.WithinDuration(t, b.now.Add(time.Minute), wake, 0)
	b.reopen()
	_, wake = b.s.Lease(b.now.Add(59*time.Second), 10)
	require.WithinDuration(t, b.now.Add(time.Minute), wake, 0)
	leases, _ = b.s.Lease(wake, 10)
	require.Len(t, leases, 1)
	require.Equal(t, 1, leases[0].Request.Retries)
}

func redirectToSeen(t *testing.T, b *bench) {
	b.start(wide)
	b.push("http://a.example/target", "http://a.example/from")
	l := b.lease(1)[0]
	to := crawl.Get("http://a.example/target")
	to.Redirects = []string{l.Request.URL.String()}
	require.Equal(t, []int{0}, b.nack(l, to, time.Time{}).SeenNacks)
	require.Equal(t, []string{"http://a.example/target"}, urlsOf(b.lease(10)))
	require.Equal(t, 1, b.s.Counts().Leased)
}

func redirectWithinChain(t *testing.T, b *bench) {
	b.start(wide)
	b.push("http://a.example/from")
	l := b.lease(1)[0]
	login := crawl.Get("http://b.example/login")
	login.Redirects = []string{"http://a.example/from"}
	require.Empty(t, b.nack(l, login, time.Time{}).SeenNacks)
	require.Equal(t, []int{0}, b.push("http://b.example/login").Seen, "a redirect's target is seen")
	b.reopen()
	l = b.lease(1)[0]
	require.Equal(t, "http://b.example/login", l.Request.URL.String())
	back := crawl.Get("http://a.example/from")
	back.Redirects = []string{"http://a.example/from", "http://b.example/login"}
	require.Empty(t, b.nack(l, back, time.Time{}).SeenNacks, "back to where it came from")
	require.Equal(t, []string{"http://a.example/from"}, urlsOf(b.lease(10)))
}

func placesAreKept(t *testing.T, b *bench) {
	b.start(crawl.SchedulerOptions{
		Default: crawl.Limits{Concurrency: 2},
		Slots:   map[string]crawl.Limits{"big.example": {Concurrency: 3}},
	})
	for i := range 5 {
		b.push(fmt.Sprintf("http://a.example/%d", i), fmt.Sprintf("http://big.example/%d", i))
	}
	leases := b.lease(100)
	require.Len(t, leases, 5)
	require.Empty(t, b.lease(100))
	b.s.Release("a.example", b.now)
	require.Len(t, b.lease(100), 1)
}

func releaseBeforeAck(t *testing.T, b *bench) {
	b.start(crawl.SchedulerOptions{Default: crawl.Limits{Concurrency: 1}})
	b.push("http://a.example/1", "http://a.example/2")
	first := b.lease(10)
	require.Len(t, first, 1)
	b.s.Release("a.example", b.now)
	require.Len(t, b.lease(10), 1, "the place is free before the lease is acknowledged")
	require.Equal(t, 2, b.s.Counts().Leased)
}

func delayHolds(t *testing.T, b *bench) {
	b.start(crawl.SchedulerOptions{Default: crawl.Limits{Concurrency: 4, Delay: time.Second, FixedDelay: true}})
	b.push("http://a.example/1", "http://a.example/2", "http://b.example/1")
	require.Len(t, b.lease(10), 2, "one of each host")
	leases, wake := b.s.Lease(b.now.Add(999*time.Millisecond), 10)
	require.Empty(t, leases)
	require.WithinDuration(t, b.now.Add(time.Second), wake, 0)
	leases, _ = b.s.Lease(wake, 10)
	require.Len(t, leases, 1)
}

func delayIsDrawn(t *testing.T, b *bench) {
	b.start(crawl.SchedulerOptions{Default: crawl.Limits{Concurrency: 4, Delay: time.Second}})
	for i := range 60 {
		b.push(fmt.Sprintf("http://a.example/%d", i))
	}
	least, most := time.Duration(math.MaxInt64), time.Duration(0)
	for range 59 {
		leases, wake := b.s.Lease(b.now, 10)
		require.Len(t, leases, 1)
		b.s.Release("a.example", b.now)
		d := wake.Sub(b.now)
		least, most = min(least, d), max(most, d)
		b.now = wake
	}
	require.GreaterOrEqual(t, least, 500*time.Millisecond)
	require.LessOrEqual(t, most, 1500*time.Millisecond)
	require.Greater(t, most-least, 500*time.Millisecond, "the delays of 59 draws lie close together")
}

func holdHolds(t *testing.T, b *bench) {
	b.start(wide)
	b.push("http://a.example/1", "http://b.example/1")
	b.s.Limit("a.example", crawl.Limits{HoldUntil: b.now.Add(time.Hour)})
	b.s.Limit("a.example", crawl.Limits{HoldUntil: b.now.Add(time.Minute)})
	require.Equal(t, []string{"http://b.example/1"}, urlsOf(b.lease(10)))
	ok, wake := b.s.Reserve("a.example", b.now)
	require.False(t, ok)
	require.WithinDuration(t, b.now.Add(time.Hour), wake, 0, "the later of two holds")
	b.now = wake
	require.Len(t, b.lease(10), 1)
}

func heldSlots(t *testing.T, b *bench) {
	b.start(crawl.SchedulerOptions{Default: crawl.Limits{Concurrency: 2}})
	b.push("http://a.example/1", "http://a.example/2", "http://b.example/1")
	b.s.Hold("a.example", true)
	b.s.Hold("new.example", true)
	require.Equal(t, []string{"http://b.example/1"}, urlsOf(b.lease(10)))
	b.push("http://a.example/3", "http://new.example/1")
	b.s.Limit("a.example", crawl.Limits{Concurrency: 4})
	require.Empty(t, b.lease(10))
	require.Equal(t, 4, b.s.Counts().Queued)
	require.Zero(t, b.s.Counts().Ready)
	ok, _ := b.s.Reserve("a.example", b.now)
	require.True(t, ok, "what is reserved is not held")
	b.s.Release("a.example", b.now)
	b.s.Hold("a.example", false)
	b.s.Hold("a.example", false)
	require.Len(t, b.lease(10), 3)
	b.s.Hold("new.example", false)
	require.Len(t, b.lease(10), 1)
}

func slowHost(t *testing.T, b *bench) {
	b.start(crawl.SchedulerOptions{Default: crawl.Limits{Concurrency: 1}})
	for i := range 50 {
		slow := crawl.Get(fmt.Sprintf("http://slow.example/%d", i))
		slow.Priority = 10
		b.must(crawl.Tx{Push: []crawl.Push{pushOf(t, 1, slow)}})
	}
	b.push("http://fast.example/1", "http://fast.example/2")
	require.Len(t, b.lease(10), 2)
	b.s.Release("fast.example", b.now)
	require.Equal(t, []string{"http://fast.example/1"}, urlsOf(b.lease(10)))
}

func reserveTakesAPlace(t *testing.T, b *bench) {
	b.start(crawl.SchedulerOptions{Default: crawl.Limits{Concurrency: 1}})
	b.push("http://a.example/1")
	ok, _ := b.s.Reserve("a.example", b.now)
	require.True(t, ok)
	require.Empty(t, b.lease(10), "media has the place")
	ok, wake := b.s.Reserve("a.example", b.now)
	require.False(t, ok)
	require.True(t, wake.IsZero(), "after a release")
	b.s.Release("a.example", b.now)
	require.Len(t, b.lease(10), 1)
	ok, _ = b.s.Reserve("other.example", b.now)
	require.True(t, ok, "a host without pages")
}

func limitChanges(t *testing.T, b *bench) {
	b.start(crawl.SchedulerOptions{Default: crawl.Limits{Concurrency: 1}})
	for i := range 9 {
		b.push(fmt.Sprintf("http://a.example/%d", i))
	}
	require.Len(t, b.lease(10), 1)
	b.s.Limit("a.example", crawl.Limits{Concurrency: 3})
	require.Len(t, b.lease(10), 2)
	b.s.Limit("a.example", crawl.Limits{Delay: time.Second, FixedDelay: true})
	b.s.Release("a.example", b.now)
	require.Len(t, b.lease(10), 1)
	b.s.Release("a.example", b.now)
	require.Empty(t, b.lease(10))
	b.s.Limit("a.example", crawl.Limits{Delay: -1, Concurrency: -1})
	require.Len(t, b.lease(10), 5)
}

func stateIsWhatWasPut(t *testing.T, b *bench) {
	b.start(wide)
	require.Empty(t, b.s.State())
	b.must(crawl.Tx{Put: map[string][]byte{"a": []byte("1"), "b": []byte("2")}})
	b.reopen()
	b.must(crawl.Tx{Put: map[string][]byte{"a": []byte("3"), "b": nil}})
	b.reopen()
	require.Equal(t, map[string][]byte{"a": []byte("3")}, b.s.State())
}

func bestOfAllHosts(t *testing.T, b *bench) {
	b.start(wide)
	for i, host := range []string{"a", "b", "c", "d"} {
		req := crawl.Get("http://" + host + ".example/")
		req.Priority = []int{1, 3, 0, 2}[i]
		b.must(crawl.Tx{Push: []crawl.Push{pushOf(t, 1, req)}})
	}
	require.Equal(t, []string{"http://b.example/", "http://d.example/"}, urlsOf(b.lease(2)))
	require.Equal(t, []string{"http://a.example/", "http://c.example/"}, urlsOf(b.lease(9)))
}

func failuresAreCounted(t *testing.T, b *bench) {
	b.start(wide)
	b.push("http://a.example/1")
	l := b.lease(1)[0]
	b.s.Release("a.example", b.now)
	b.must(crawl.Tx{Fail: []crawl.Failure{{Lease: l.ID, Kind: "timeout", Reason: "no answer"}}})
	b.reopen()
	require.Equal(t, 1, b.s.Counts().Failed)
	require.Empty(t, b.lease(1))
}

func comesBackWhole(t *testing.T, b *bench) {
	b.start(wide)
	req := &crawl.Request{
		URL: &url.URL{Scheme: "https", Host: "a.example:8443", Path: "/a b", RawQuery: "q=%e9&z=", Fragment: "part"}, Method: "POST",
		Header: map[string][]string{"X-One": {"1", "2"}, "Accept": {""}}, Body: []byte("x=\x001"), Route: "detail", Priority: 3,
		DontFilter: true, Depth: 4, Data: json.RawMessage(`{"n":1}`), Knobs: &crawl.Knobs{Timeout: time.Second, HandleStatus: []int{404}},
		Retries: 2, Redirects: []string{"https://a.example/"},
	}
	b.must(crawl.Tx{Push: []crawl.Push{pushOf(t, 1, req)}})
	b.reopen()
	got := b.lease(1)[0]
	require.NoError(t, got.Err)
	require.Equal(t, 1, got.Attempt)
	require.Equal(t, req.URL.String(), got.Request.URL.String())
	got.Request.URL, req.URL = nil, nil
	require.Equal(t, req, got.Request)
}

package engine

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// listed is how many requests, and how many hosts, a report names.
const listed = 10

// Report is a text for people who want to know what a crawl is doing, or why it does not go on: its budgets, what is in work for longest, and the hosts that have most of
// it. It is what Scrapy's est() shows in the telnet console. It may be called at any time, and holds the crawl up for the moment in which it looks.
func (e *Engine) Report() string {
	ch := make(chan string, 1)
	if !e.do(func(l *loop) { ch <- l.report() }) {
		return e.spider.Name + ": closed\n"
	}
	select {
	case text := <-ch:
		return text
	case <-e.ended:
		return e.spider.Name + ": closed\n"
	case <-time.After(snapshotPatience):
		if !e.running.Load() {
			return e.spider.Name + ": opening its parts, or not begun\n"
		}
		// The loop hangs in something: the text comes too late, but what it knows without the loop may help.
		return fmt.Sprintf("%s: the engine's loop does not answer; %d of %d callbacks, %d of %d items, %d goroutines\n",
			e.spider.Name, len(e.callbacks), cap(e.callbacks), len(e.items), cap(e.items), runtime.NumGoroutine())
	}
}

// inWork is a page or a file in a report.
type inWork struct {
	req   *crawl.Request
	since time.Time
	doing string
}

func (l *loop) report() string {
	e, now, s := l.e, time.Now(), l.snapshot()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	fmt.Fprintf(&b, "%s: %s for %s\n", e.spider.Name, s.State, s.Elapsed.Round(time.Second))
	start := "Start has ended"
	if l.starting {
		start = "Start goes on"
		if len(l.startWait) > 0 {
			start = "Start waits until more is wanted"
		}
	}
	line("queue", "%d queued, %d of them retries that wait; about %d may leave now; %d hosts; %s", s.Queue.Queued, s.Queue.Delayed, s.Queue.Ready, s.Queue.Slots, start)
	line("downloads", "%d of %d, %d of them pages; %d files are asked for", l.active, e.settings.ConcurrentRequests, l.loading, l.media.jobs)
	line("arrived", "%d pages (%d bytes) wait for a callback, %d files (%d bytes) are in their pipelines", e.waiting.count.Load(), e.waiting.bytes.Load(),
		e.arrived.count.Load(), e.arrived.bytes.Load())
	line("callbacks", "%d of %d", len(e.callbacks), cap(e.callbacks))
	line("items", "%d of %d in the pipelines", len(e.items), cap(e.items))
	line("changes", "%d of %d on their way to the queue; %d callbacks wait for them", l.commits, maxCommits, len(l.waits))
	line("rate", "%.0f pages, %.0f items a minute, of late", s.PagesPerMinute, s.ItemsPerMinute)
	line("process", "%d MiB, %d goroutines", residentMemory()>>20, runtime.NumGoroutine())
	_ = w.Flush() // to a strings.Builder

	type host struct {
		name                string
		loading, work, file int
	}
	hosts := make(map[string]*host)
	at := func(slot string) *host {
		h := hosts[slot]
		if h == nil {
			h = &host{name: slot}
			hosts[slot] = h
		}
		return h
	}
	var list []inWork
	for _, p := range l.pages {
		if p.lease.Request == nil {
			continue
		}
		if h := at(p.slot); p.loaded {
			h.work++
		} else {
			h.loading++
		}
		list = append(list, inWork{p.lease.Request, time.Unix(0, p.since), p.doing(now)})
	}
	for slot, ms := range l.media.slots {
		at(slot).file = ms.jobs
	}
	for j := range l.media.running {
		list = append(list, inWork{j.req, time.Unix(0, j.since), "file"})
	}
	slices.SortFunc(list, func(a, b inWork) int { return a.since.Compare(b.since) })
	if len(list) > 0 {
		fmt.Fprintf(&b, "\nin work, the oldest of %d\n", len(list))
		for _, x := range list[:min(listed, len(list))] {
			fmt.Fprintf(w, "  %s\t%s\t%s\n", now.Sub(x.since).Round(time.Millisecond), x.req, x.doing)
		}
		_ = w.Flush()
	}
	busy := make([]*host, 0, len(hosts))
	for _, h := range hosts {
		busy = append(busy, h)
	}
	total := func(h *host) int { return h.loading + h.work + h.file }
	slices.SortFunc(busy, func(a, b *host) int { return cmp.Or(total(b)-total(a), strings.Compare(a.name, b.name)) })
	if len(busy) > 0 {
		fmt.Fprintf(&b, "\nhosts, the busiest of %d\n", len(busy))
		for _, h := range busy[:min(listed, len(busy))] {
			fmt.Fprintf(w, "  %s\t%d pages load\t%d are in work\t%d files\t%s\n", h.name, h.loading, h.work, h.file, limitsText(e.limits.current(h.name)))
		}
		_ = w.Flush()
	}
	return b.String()
}

func limitsText(l crawl.Limits) string {
	text := fmt.Sprintf("at most %d at once", l.Concurrency)
	if l.Delay > 0 {
		text += ", " + l.Delay.String() + " apart"
	}
	return text
}

// doing is where a page is.
func (p *page) doing(now time.Time) string {
	switch ns := p.userSince.Load(); {
	case !p.loaded:
		return "loads"
	case ns != 0:
		return "in its callback for " + now.Sub(time.Unix(0, ns)).Round(time.Millisecond).String()
	case !p.returned.Load():
		return "waits for a callback, or in one that waits"
	}
	return fmt.Sprintf("waits for its items (%d)", p.open.Load())
}

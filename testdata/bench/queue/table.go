package main

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A table is what one stage has to say.
type table struct {
	title string
	rows  [][]string // the head first
}

func (o *options) tables(reports []report) []table {
	push := table{fmt.Sprintf("push: %d links a change, for %s hosts; a line each time so many more wait", pageLinks, grouped(o.hosts)), [][]string{
		{"job of", "waiting", "pushes/s", "CPU each", "without the queue", "disk", "bytes each", "RSS", "peak RSS", "Go heap"}}}
	open := table{"open: in a new process, its files in the system's memory", [][]string{
		{"job of", "after", "waiting", "open", "first pages", "RSS", "peak RSS", "Go heap"}}}
	lease := table{fmt.Sprintf("lease: %s pages, each with %d new links and %d seen ones", grouped(o.pages), freshLinks, pageLinks-freshLinks), [][]string{
		{"job of", "new links leave", "pages/s", "CPU each", "change: half", "99 %", "most", "Lease: half", "99 %", "most", "idle", "RSS", "peak RSS", "Go heap"}}}
	seen := table{fmt.Sprintf("seen: %d links a change", pageLinks), [][]string{
		{"known", "new/s", "seen/s, of all", "seen/s, of " + grouped(recent), "in bulk/s", "disk", "bytes each", "RSS", "peak RSS", "Go heap"}}}
	for _, r := range reports {
		size, at := grouped(r.Size), grouped(r.At)
		took := []string{mib(r.Memory.RSS), mib(r.Memory.Peak), mib(r.Memory.Heap)}
		switch r.Stage {
		case "push":
			push.rows = append(push.rows, append([]string{size, at, rate(r.Rate), span(r.CPU), rate(r.Making), mib(r.Disk), strconv.FormatInt(r.Disk/int64(r.At), 10)}, took...))
		case "open":
			after := "a close"
			if r.Killed {
				after = "a kill"
			}
			open.rows = append(open.rows, append([]string{size, after, at, span(r.Took), span(r.Lease.Max)}, took...))
		case "lease":
			when := "first"
			if r.Last {
				when = "last"
			}
			lease.rows = append(lease.rows, append([]string{
				size, when, rate(r.Rate), span(r.CPU), span(r.Change.Half), span(r.Change.Most), span(r.Change.Max),
				span(r.Lease.Half), span(r.Lease.Most), span(r.Lease.Max), fmt.Sprintf("%.0f %%", 100*r.Idle)}, took...))
		case "seen":
			seen.rows = append(seen.rows, append([]string{
				at, rate(r.Rate), rate(r.Known), rate(r.Recent), rate(r.Bulk), mib(r.Disk), strconv.FormatInt(r.Disk/int64(r.At), 10)}, took...))
		}
	}
	var some []table
	for _, t := range []table{push, open, lease, seen} {
		if len(t.rows) > 1 {
			some = append(some, t)
		}
	}
	return some
}

func (o *options) print(reports []report) string {
	var b strings.Builder
	for _, t := range o.tables(reports) {
		if o.markdown {
			b.WriteString("**" + strings.Replace(t.title, ":", "**:", 1) + "\n\n")
			for i, row := range t.rows {
				b.WriteString("| " + strings.Join(row, " | ") + " |\n")
				if i == 0 {
					b.WriteString(strings.Repeat("|---:", len(row)) + "|\n")
				}
			}
		} else {
			b.WriteString(t.title + "\n")
			writeText(&b, t.rows)
		}
		b.WriteByte('\n')
	}
	for _, v := range o.verdicts(reports) {
		if o.markdown {
			b.WriteString("- ")
		}
		b.WriteString(v + "\n")
	}
	where := fmt.Sprintf("%s, %s/%s, %d processors, job.memory %d MiB", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), o.memory>>20)
	if o.markdown {
		fmt.Fprintf(&b, "\nPrinted by `%s -markdown` in `testdata/bench`: %s.\n", o.command, where)
	} else {
		fmt.Fprintf(&b, "\n%s\n%s\n", o.command, where)
	}
	return b.String()
}

// What the gates allow.
const (
	mostGrowth = 1.25       // of peak memory, where the queue is ten times as long
	mostOpen   = 10.0       // seconds
	leastJudge = 10_000_000 // with fewer, what is held in memory is not full at the smaller size
)

// verdicts is a line for each gate that was measured.
func (o *options) verdicts(reports []report) []string {
	var lines []string
	judge := func(gate string, small bool, ok bool, figures string) {
		word := "FAILS"
		switch {
		case small:
			word = "not judged, the sizes are too small"
		case ok:
			word = "holds"
		}
		lines = append(lines, fmt.Sprintf("%s: %s (%s)", gate, word, figures))
	}
	sizes := o.sizes()
	var figures []string
	ok := true
	for _, stage := range []string{"push", "open", "lease"} {
		less, more := peak(reports, stage, sizes[0]), peak(reports, stage, sizes[1])
		if less == 0 || more == 0 {
			continue
		}
		figures = append(figures, fmt.Sprintf("%s: %s with %s, %s with %s", stage, mib(less), grouped(sizes[0]), mib(more), grouped(sizes[1])))
		ok = ok && float64(more) <= mostGrowth*float64(less)
	}
	if len(figures) > 0 {
		judge("resident memory does not grow with the queue", o.queued < leastJudge, ok, "peaks, "+strings.Join(figures, "; "))
	}
	var all []report
	for _, r := range reports {
		if r.Stage == "seen" {
			all = append(all, r)
		}
	}
	if n := len(all); n > 1 && all[n-2].Memory.Peak > 0 {
		less, more := all[n-2], all[n-1]
		judge("resident memory does not grow with the fingerprints", o.seen < leastJudge, float64(more.Memory.Peak) <= mostGrowth*float64(less.Memory.Peak),
			fmt.Sprintf("peaks: %s with %s, %s with %s", mib(less.Memory.Peak), grouped(less.At), mib(more.Memory.Peak), grouped(more.At)))
	}
	var longest float64
	figures = nil
	for _, r := range reports {
		if r.Stage == "open" && r.Size == sizes[1] {
			longest = max(longest, r.Took)
			figures = append(figures, span(r.Took))
		}
	}
	if len(figures) > 0 {
		judge(fmt.Sprintf("opening a job with %s queued takes seconds", grouped(sizes[1])), o.queued < leastJudge, longest < mostOpen, strings.Join(figures, ", after a kill "))
	}
	return lines
}

// peak is the most memory that a stage took with a job of a size, 0 if it did not run.
func peak(reports []report, stage string, size int) (most int64) {
	for _, r := range reports {
		if r.Stage == stage && r.Size == size {
			most = max(most, r.Memory.Peak)
		}
	}
	return most
}

// writeText sets figures flush right.
func writeText(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		for i, cell := range row {
			b.WriteString("  " + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)) + cell)
		}
		b.WriteByte('\n')
	}
}

// grouped writes a count as people read it: 1,000,000.
func grouped(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}

func rate(perSecond float64) string { return grouped(int(perSecond)) }

func mib(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

// span writes a time with a unit that suits it.
func span(seconds float64) string {
	switch {
	case seconds < 1e-5:
		return fmt.Sprintf("%.1f µs", seconds*1e6)
	case seconds < 1e-3:
		return fmt.Sprintf("%.0f µs", seconds*1e6)
	case seconds < 1:
		return fmt.Sprintf("%.1f ms", seconds*1e3)
	}
	return fmt.Sprintf("%.1f s", seconds)
}

package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A column is a figure of a run, printed as the median over the rounds.
type column struct {
	head   string
	value  func(o outcome) float64 // NaN: this contestant has none
	format string                  // of fmt.Sprintf

	// against makes it a ratio: the contestant's value by that of the one named here, paired within each round, with
	// the least and the most behind the median.
	against string
}

func speedColumns() []column {
	return []column{
		{head: "pages/s", value: outcome.rate, format: "%.0f"},
		{head: "of tulle", value: outcome.rate, format: "%.2f", against: "tulle"},
		{head: "of bare", value: outcome.rate, format: "%.2f", against: "bare"},
		{head: "× colly", value: outcome.rate, format: "%.2f", against: "colly"},
		{head: "CPU µs/page", value: outcome.cpuPerPage, format: "%.0f"},
		{head: "CPU of bare", value: outcome.cpuPerPage, format: "%.2f", against: "bare"},
		{head: "allocs/page", value: func(o outcome) float64 { return o.perPage(onlyGo(float64(o.Result.Allocs))) }, format: "%.0f"},
		goroutinesColumn(),
		memoryColumn(),
	}
}

func goroutinesColumn() column {
	return column{head: "goroutines", value: func(o outcome) float64 { return onlyGo(float64(o.Result.Goroutines)) }, format: "%.0f"}
}

func memoryColumn() column {
	return column{head: "peak RSS", value: func(o outcome) float64 { return float64(o.Result.PeakRSS) / (1 << 20) }, format: "%.0f MiB"}
}

// onlyGo is for figures that another language's runtime does not have: zero is none.
func onlyGo(v float64) float64 {
	if v == 0 {
		return math.NaN()
	}
	return v
}

// grouped writes a count as people read it: 1,000,000.
func grouped(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// values are the column's figures for a contestant, one a round; a round in which either side of a ratio has no figure
// is left out.
func (c column) values(who string, outcomes []outcome) []float64 {
	other := map[int]float64{} // by round
	for _, o := range outcomes {
		if o.Job.Contestant == c.against {
			other[o.Round] = c.value(o)
		}
	}
	var values []float64
	for _, o := range outcomes {
		if o.Job.Contestant != who {
			continue
		}
		v := c.value(o)
		if c.against != "" {
			base, ok := other[o.Round]
			if !ok {
				continue
			}
			v /= base
		}
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			values = append(values, v)
		}
	}
	return values
}

func (c column) cell(who string, outcomes []outcome) string {
	values := c.values(who, outcomes)
	switch {
	case len(values) == 0:
		return "–"
	case c.against == who:
		return "1"
	case c.against != "" && len(values) > 1:
		return fmt.Sprintf(c.format+" ("+c.format+"–"+c.format+")", median(values), slices.Min(values), slices.Max(values))
	}
	return fmt.Sprintf(c.format, median(values))
}

// faultsCell says in how many of a contestant's runs something was wrong, and what in the worst of them.
func faultsCell(who string, outcomes []outcome) string {
	runs, bad, worst := 0, 0, outcome{}
	for _, o := range outcomes {
		if o.Job.Contestant != who {
			continue
		}
		runs++
		if len(o.Faults) > 0 {
			bad++
			if worst.Faults == nil || int64(o.Report.Missed)+o.Report.Twice > int64(worst.Report.Missed)+worst.Report.Twice {
				worst = o
			}
		}
	}
	if bad == 0 {
		return "none"
	}
	return fmt.Sprintf("%d of %d runs, the worst: %s", bad, runs, strings.Join(worst.Faults, ", "))
}

// table is the case's table, its head first. Ratios to somebody who takes no part are left out.
func (r caseResult) table() [][]string {
	head := []string{"contestant"}
	columns := slices.DeleteFunc(slices.Clone(r.columns), func(c column) bool { return c.against != "" && r.labels[c.against] == "" })
	for _, c := range columns {
		head = append(head, c.head)
	}
	rows := [][]string{append(head, "faults")}
	var done []string
	for _, o := range r.outcomes {
		who := o.Job.Contestant
		if slices.Contains(done, who) {
			continue
		}
		done = append(done, who)
		row := []string{r.labels[who]}
		for _, c := range columns {
			row = append(row, c.cell(who, r.outcomes))
		}
		rows = append(rows, append(row, faultsCell(who, r.outcomes)))
	}
	return rows
}

// printResults writes every case's table, as text or as Markdown.
func printResults(w io.Writer, opts options, results []caseResult, markdown bool) error {
	var b strings.Builder
	for _, r := range results {
		title := fmt.Sprintf(r.title, grouped(r.n(opts, "")))
		rows := r.table()
		if markdown {
			fmt.Fprintf(&b, "**%s**: %s\n\n", r.name, title)
			writeMarkdown(&b, rows)
		} else {
			fmt.Fprintf(&b, "%s: %s\n", r.name, title)
			writeText(&b, rows)
		}
		if markdown && len(r.notes) > 0 {
			b.WriteByte('\n')
		}
		for _, note := range r.notes {
			fmt.Fprintf(&b, "(%s)\n", note)
		}
		b.WriteByte('\n')
	}
	rounds := "one round"
	if opts.runs > 1 {
		rounds = fmt.Sprintf("medians of %d rounds, ratios paired within a round with their least and most", opts.runs)
	}
	if markdown {
		fmt.Fprintf(&b, "Printed by `%s -markdown` in `testdata/bench`: %s; %s.\n", opts.command, rounds, machine(opts))
	} else {
		fmt.Fprintf(&b, "%s\n%s\n%s\n", opts.command, rounds, machine(opts))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeMarkdown(b *strings.Builder, rows [][]string) {
	for i, row := range rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString("|---" + strings.Repeat("|---:", len(row)-2) + "|---|\n")
		}
	}
}

// writeText sets figures flush right, and the first and the last column flush left.
func writeText(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 || i == len(row)-1 {
				line.WriteString("  " + cell + pad)
			} else {
				line.WriteString("  " + pad + cell)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

package main

import (
	"context"
	"fmt"
	"strings"
)

// A benchCase is one thing that crawlers are compared in.
type benchCase struct {
	name  string
	title string // the line over the table; %s is the size

	size, quick, tiny int            // n by default, with -quick, and in the tests
	most              map[string]int // the largest n for a contestant that would take too long, or too much memory

	concurrency int // by default
	hosts       int // that share the concurrency; 0 is 1

	site    func(n int) *site
	entries map[string]entry         // who takes part, by the contestant's name
	inspect func(o *outcome) error   // looks at what a run has left in its folder; nil is nothing to look at
	faults  func(o outcome) []string // what was wrong with a run, in words that stand in the table
	columns []column
}

// An entry crawls a case. It returns when the crawl is over, and its error is the crawl's. A contestant that is no Go
// has nil here: it is a program that is given the job.
type entry func(ctx context.Context, j job, m *meter) error

// A contestant is somebody who takes part.
type contestant struct {
	name   string
	label  string
	module string // whose version is printed behind the label; "" is none
}

// allCases is the table of cases, in the order in which they run.
func allCases() []benchCase {
	return []benchCase{flatCase(), followCase(), feedCase(), itemsCase(), slowCase(), pendingCase(), picturesCase(), bigCase(), brokenCase(), manyCase(), broadCase()}
}

// allContestants is the table of contestants, in the order in which they take turns.
func allContestants() []contestant {
	return []contestant{
		{name: "tulle", label: "tulle"},
		{name: "job", label: "tulle with a job"},
		{name: "dry", label: "tulle, without a feed"},
		{name: "alone", label: "tulle, the good hosts alone"},
		{name: "bare", label: "bare net/http, goquery"},
		{name: "colly", label: "Colly", module: "github.com/gocolly/colly/v2"},
		{name: "scrapy", label: "Scrapy"},
		{name: "jsonl", label: "tulle, to JSON Lines"},
		{name: "json", label: "tulle, to JSON"},
		{name: "csv", label: "tulle, to CSV"},
		{name: "xml", label: "tulle, to XML"},
		{name: "gzip", label: "tulle, to JSON Lines in gzip"},
		{name: "zstd", label: "tulle, to JSON Lines in zstd"},
		{name: "parquet", label: "tulle, to Parquet"},
	}
}

func caseNames() []string {
	var names []string
	for _, c := range allCases() {
		names = append(names, c.name)
	}
	return names
}

func contestantNames() []string {
	var names []string
	for _, c := range allContestants() {
		names = append(names, c.name)
	}
	return names
}

func caseNamed(name string) (benchCase, error) {
	for _, c := range allCases() {
		if c.name == name {
			return c, nil
		}
	}
	return benchCase{}, fmt.Errorf("unknown case %q: there are %s", name, strings.Join(caseNames(), ", "))
}

// n is the size of the case for a contestant.
func (c benchCase) n(opts options, contestant string) int {
	n := c.size
	if opts.quick {
		n = c.quick
	}
	if opts.n > 0 {
		n = opts.n
	}
	if most := c.most[contestant]; most > 0 {
		n = min(n, most)
	}
	return n
}

// fetchedOnce finds fault with a run that did not fetch every page exactly once.
func fetchedOnce(o outcome) []string {
	var faults []string
	if o.Report.Missed > 0 {
		faults = append(faults, fmt.Sprintf("%d missed", o.Report.Missed))
	}
	if o.Report.Twice > 0 {
		faults = append(faults, fmt.Sprintf("%d fetched twice", o.Report.Twice))
	}
	if got, sent := o.Result.Pages, int64(o.Report.Pages)+o.Report.Twice; got != sent {
		faults = append(faults, fmt.Sprintf("%d of %d pages arrived", got, sent))
	}
	return faults
}

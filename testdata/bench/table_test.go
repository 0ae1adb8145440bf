package main

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGrouped(t *testing.T) {
	t.Parallel()
	require.Equal(t, "999", grouped(999))
	require.Equal(t, "50,000", grouped(50_000))
	require.Equal(t, "1,000,007", grouped(1_000_007))
}

func TestMedian(t *testing.T) {
	t.Parallel()
	require.Equal(t, 2.0, median([]float64{3, 1, 2}))
	require.Equal(t, 2.5, median([]float64{4, 1, 2, 3}))
	require.Equal(t, 7.0, median([]float64{7}))
	require.True(t, math.IsNaN(median(nil)))
}

// at is a run that took a number of seconds for a hundred pages.
func at(round int, who string, seconds float64, faults ...string) outcome {
	return outcome{
		Round: round, Job: job{Case: "flat", Contestant: who, N: 100}, Faults: faults,
		Result: result{Ended: 1e9 + int64(seconds*1e9), CPU: seconds / 2, PeakRSS: 10 << 20, Goroutines: 7, Allocs: 1000},
		Report: report{First: 1e9, Pages: 100},
	}
}

func TestRatiosArePairedWithinARound(t *testing.T) {
	t.Parallel()
	outcomes := []outcome{
		at(1, "tulle", 1), at(1, "bare", 1),
		at(2, "tulle", 10), at(2, "bare", 5), // the machine had other things to do
		at(3, "tulle", 1), at(3, "bare", 0.8),
		at(4, "tulle", 1), // bare is missing: no ratio
	}
	ratio := column{value: outcome.rate, format: "%.2f", against: "bare"}
	require.InDeltaSlice(t, []float64{1, 0.5, 0.8}, ratio.values("tulle", outcomes), 1e-9)
	require.Equal(t, "0.80 (0.50–1.00)", ratio.cell("tulle", outcomes))
	require.Equal(t, "1", ratio.cell("bare", outcomes))
	require.Equal(t, "–", ratio.cell("colly", outcomes))
	require.Equal(t, "1.00", ratio.cell("tulle", outcomes[:2]), "one round has no range")
	require.Equal(t, "100", column{value: outcome.rate, format: "%.0f"}.cell("tulle", outcomes))

	python := at(1, "scrapy", 1)
	python.Result.Goroutines = 0
	require.Equal(t, "–", goroutinesColumn().cell("scrapy", []outcome{python}))
}

func TestFaultsCellShowsTheWorstRun(t *testing.T) {
	t.Parallel()
	a, b := at(1, "colly", 1, "1 fetched twice"), at(2, "colly", 1, "1 missed", "8 fetched twice")
	a.Report.Twice, b.Report.Twice, b.Report.Missed = 1, 8, 1
	outcomes := []outcome{a, b, at(3, "colly", 1), at(1, "bare", 1)}
	require.Equal(t, "2 of 3 runs, the worst: 1 missed, 8 fetched twice", faultsCell("colly", outcomes))
	require.Equal(t, "none", faultsCell("bare", outcomes))
}

func TestFetchedOnce(t *testing.T) {
	t.Parallel()
	o := at(1, "bare", 1)
	o.Result.Pages = 100
	require.Empty(t, fetchedOnce(o))
	o.Report.Pages, o.Report.Missed, o.Report.Twice = 97, 3, 2
	require.Equal(t, []string{"3 missed", "2 fetched twice", "100 of 99 pages arrived"}, fetchedOnce(o))
}

func TestTables(t *testing.T) {
	t.Parallel()
	r := caseResult{
		benchCase: benchCase{name: "flat", title: "%s pages", size: 100, columns: []column{
			{head: "pages/s", value: outcome.rate, format: "%.0f"},
			{head: "of bare", value: outcome.rate, format: "%.2f", against: "bare"},
			memoryColumn(),
		}},
		outcomes: []outcome{at(1, "tulle", 1), at(1, "bare", 0.8), at(2, "tulle", 1), at(2, "bare", 1)},
		labels:   map[string]string{"tulle": "tulle", "bare": "bare net/http"},
		notes:    []string{"Scrapy does not take part: it has a cold"},
	}
	opts := options{command: "go run . -case flat", runs: 2, gogc: "400", gomemlimit: "off"}

	var text, markdown strings.Builder
	require.NoError(t, printResults(&text, opts, []caseResult{r}, false))
	require.True(t, strings.HasPrefix(text.String(), `flat: 100 pages
  contestant     pages/s           of bare  peak RSS  faults
  tulle              100  0.90 (0.80–1.00)    10 MiB  none
  bare net/http      112                 1    10 MiB  none
(Scrapy does not take part: it has a cold)

go run . -case flat
medians of 2 rounds, ratios paired within a round with their least and most
`), text.String())

	require.NoError(t, printResults(&markdown, opts, []caseResult{r}, true))
	require.True(t, strings.HasPrefix(markdown.String(), `**flat**: 100 pages

| contestant | pages/s | of bare | peak RSS | faults |
|---|---:|---:|---:|---|
| tulle | 100 | 0.90 (0.80–1.00) | 10 MiB | none |
| bare net/http | 112 | 1 | 10 MiB | none |

(Scrapy does not take part: it has a cold)

Printed by `+"`go run . -case flat -markdown`"+` in `+"`testdata/bench`"+`: medians of 2 rounds`), markdown.String())
}

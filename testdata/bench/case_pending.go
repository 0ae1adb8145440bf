package main

import "fmt"

// pendingCase is what a request costs that has been asked for and cannot be sent yet: the server answers nothing, and
// the contestant is handed requests until all but the first few wait.
func pendingCase() benchCase {
	return benchCase{
		name:        "pending",
		title:       "%s requests waiting for a host that does not answer: what each of them costs",
		size:        1_000_000,
		quick:       50_000,
		tiny:        1_000,
		most:        map[string]int{"colly": 200_000}, // they take 1.4 GB
		concurrency: 64,
		site: func(n int) *site {
			return &site{
				pages: n,
				find:  func(_, path []byte) int { return pageOf(path, n) },
				show:  func(_ int, r *reply) { r.held = true },
			}
		},
		entries: map[string]entry{"tulle": tullePending, "bare": barePending, "colly": collyPending},
		faults: func(o outcome) []string {
			switch asked := o.Report.Pages; {
			case o.Report.Twice > 0:
				return []string{fmt.Sprintf("%d fetched twice", o.Report.Twice)}
			case asked > o.Job.Concurrency:
				return []string{fmt.Sprintf("%d in flight instead of %d", asked, o.Job.Concurrency)}
			}
			return nil
		},
		columns: []column{
			{head: "bytes each", value: func(o outcome) float64 { return float64(o.Result.Pending) / float64(o.Job.N) }, format: "%.0f"},
			{head: "handed over in", value: func(o outcome) float64 { return o.Result.Filled }, format: "%.2f s"},
			goroutinesColumn(),
			memoryColumn(),
		},
	}
}

package main

// flatCase is what fetching costs when nothing else is done: many addresses, known from the start, and next to no body.
func flatCase() benchCase {
	return benchCase{
		name:        "flat",
		title:       "%s distinct URLs on one host, bodies of two bytes, nothing parsed",
		size:        50_000,
		quick:       5_000,
		tiny:        300,
		most:        map[string]int{"scrapy": 5_000},
		concurrency: 32,
		site: func(n int) *site {
			return &site{
				pages: n,
				find:  func(_, path []byte) int { return pageOf(path, n) },
				show:  func(_ int, r *reply) { r.body = append(r.room, "ok"...); r.room = r.body },
			}
		},
		entries: map[string]entry{"tulle": tulleFlat, "job": inJob(tulleFlat), "bare": bareFlat, "colly": collyFlat, "scrapy": nil},
		faults: func(o outcome) []string {
			faults := fetchedOnce(o)
			if o.Result.Bytes != 2*o.Result.Pages {
				faults = append(faults, "bodies are wrong")
			}
			return faults
		},
		columns: speedColumns(),
	}
}

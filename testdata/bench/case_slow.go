package main

import (
	"bytes"
	"time"
)

const (
	slowAnswer = 500 * time.Millisecond
	slowShare  = 10 // fast requests to one slow one
	fastHost   = "a.localhost"
	slowHost   = "b.localhost"
)

// slowCase is one host that takes its time among requests to one that does not. The fast host's pages need a
// fraction of a second; a crawler that lets the slow host's requests take up the room of the others is
// waiting for the slow host all the time.
func slowCase() benchCase {
	return benchCase{
		name:        "slow",
		title:       "%s requests to a fast host, and a tenth as many mixed in to a host that takes 500 ms: when the fast ones are done",
		size:        2_000,
		quick:       200,
		tiny:        80,
		concurrency: 32,
		hosts:       4, // so that two cannot fill it
		site: func(n int) *site {
			return &site{
				pages: n + n/slowShare,
				find: func(host, path []byte) int {
					if bytes.HasPrefix(host, []byte(fastHost)) {
						return pageOf(path, n)
					}
					if page := pageOf(path, n/slowShare); page >= 0 {
						return n + page
					}
					return -1
				},
				show: func(page int, r *reply) {
					r.room = append(r.room, "ok"...)
					r.body = r.room
					if page < n {
						r.marked = true
					} else {
						r.wait = slowAnswer
					}
				},
			}
		},
		entries: map[string]entry{"tulle": tulleSlow, "bare": bareSlow, "colly": collySlow, "scrapy": nil},
		faults:  fetchedOnce,
		columns: []column{
			{head: "fast ones done", value: func(o outcome) float64 { return seconds(o.Report.Marked - o.Report.First) }, format: "%.2f s"},
			{head: "all done", value: outcome.wall, format: "%.2f s"},
			goroutinesColumn(),
			memoryColumn(),
		},
	}
}

// slowURLs are the addresses of both hosts in the order in which they are asked for: ten fast ones, a slow one.
func slowURLs(j job) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range j.N {
			if !yield(j.hostURL(fastHost, i)) {
				return
			}
			if i%slowShare == slowShare-1 && !yield(j.hostURL(slowHost, i/slowShare)) {
				return
			}
		}
	}
}

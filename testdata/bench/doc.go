// Bench crawls generated sites with tulle, with a bare net/http worker pool, with Colly and, if a Python with Scrapy is
// named, with Scrapy, and prints how they compare. It is a module of its own, so that no rival enters anyone's go.sum.
//
//	go run .                          # every case, five rounds
//	go run . -case follow -runs 9     # one case, more rounds
//	go run . -quick                   # every case once, small: does it still work?
//	go run . -markdown                # a table for a README
//	go run . -case flat,follow,feed -contestants tulle,job   # what a job costs
//	go run ./queue                    # a job with ten million requests: see there
//
// # How it measures
//
// The program starts itself again as child processes. One child is the server, which answers on a loopback port and knows
// which pages were fetched, how often and when. Every single measurement is another child, fresh, that crawls with one
// contestant. The contestants take turns (A B C, A B C, …), so that whatever else the machine is doing falls on all of
// them alike, and a ratio is computed within a round before the median over the rounds is taken: that figure is worth
// more than a quotient of two medians. All of them get the same concurrency and the same GOGC and GOMEMLIMIT.
//
// The clock runs from the first request that reaches the server until the contestant says that it has finished. Processor
// time is the contestant's own (user and system), not the server's. Memory is the process's peak resident set. A
// contestant that misses a page, fetches one twice or extracts something else than what is on the page is marked in the
// table: a crawl that is wrong is not fast.
//
// The server speaks just enough HTTP/1.1 over plain connections (server.go): client and server share the machine, so what the
// server does not spend shows more clearly what the clients do.
//
// # Where to find what
//
// A case is one file, case_*.go: the site, what is checked, which columns are printed, and who takes part. It stands in
// the table of cases.go. A contestant is one file, contestant_*.go, except where only one case has it. bench.go is the
// parent, child.go what runs around a contestant, table.go the printing.
//
// It runs on Unix systems; peak memory is exact on Linux.
package main

// Package engine runs one crawl of one spider, and knows when it is over.
//
// [Run] is all that most programs need; [New] gives an [Engine] that can be stopped, paused and looked at while it runs: engine.go.
//
// # The life of a request, through the files
//
//  1. start.go: the spider's Start runs on a goroutine of its own. What it produces goes through the spider middleware (out.go) into the page's
//     buffer. Its Out blocks while the crawl has enough to do.
//  2. loop.go: the loop takes what pages have produced and hands it to the scheduler as one commit, together with all else that this turn has gathered. What was
//     seen before falls out there, and nowhere else.
//  3. loop.go, admit: while downloads and items have room, the loop leases the best request of a host that may be asked now.
//  4. page.go, run: one of the goroutines that workers.go keeps takes it from here. download.go asks the middleware chain, at whose end the downloader stands. If the host is
//     new, hosts.go opens it first (robots.txt). Where that takes more than one question the page's place is given back, and the page set aside until the host is open;
//     the opening goes on as media does, each question in a place at the slot that it is for.
//  5. When the last byte is in the loop is told, and the host's place is free, before any user code runs.
//  6. page.go, parse: the response hooks, then the callback. Its errors and panics end there.
//  7. What the callback produces is taken by the loop while it still runs, when the crawl has room, or when it returns.
//  8. page.go, close: when the callback has returned and its last item has left the last stage, the page is done, and the loop acknowledges its lease. Where
//     a stage keeps items back, item.go's flusher makes them safe first.
//  9. loop.go, over: nothing is queued, leased, parsed, parked or committing, and Start has ended. Counters say so.
//
// In a job, lines.go keeps what feeds have made of the page's items until then: it is written in the same change as the acknowledgement, or never. job.go has what
// else a job keeps; the scheduler of one is opened there.
//
// limits.go is what each slot allows at most: the settings, robots.txt, and what a middleware makes of them by Env.Limiter. A host that has been given up fails what waits
// for it at once, its delay apart.
//
// closeafter.go counts pages where a crawl is to end after so many: admit asks for no more than are left.
//
// A failure goes the same way: page.go turns a Reschedule into a lease that is handed back, and anything else into the errback and the list of failures.
//
// # The life of an item
//
// out.go takes it, if there is room in ConcurrentItems, and hands it to a worker; item.go sends it through the stages of the pipeline chain, the last of which
// are the feeds, and gives its place back. A stage that needs a picture asks Env.Fetcher, which is fetch.go: its requests stand in queues of their own, before all
// pages of their hosts, and the loop starts them first. Only where files arrive faster than their pipeline stores them do pages go ahead: media waits for the
// pipeline then, and pages don't. When items are full and wait for media, fetch.go's crowd says for which host.
//
// # Who watches
//
// extension.go opens the extensions before all other parts, and makes one Trace of theirs and the settings' own: everybody calls that. The built-in ones are
// closeafter.go, memory.go and periodic.go; they use what any other could. report.go is what a crawl says of itself in numbers, dump.go in words. The keys of its stats are
// listed at [crawl.Stats].
//
// check.go is no crawl: it gives one page to one callback, and holds what comes of it against a [crawl.Check]. The command check and crawltest.Checks do so.
//
// # Who owns what
//
// The loop is one goroutine. It owns the scheduler, the counts of what runs, and the answer to "is it over?"; everybody else leaves events in its box. budget.go
// lists the budgets and the order in which they are waited for.
package engine

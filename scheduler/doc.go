// Package scheduler keeps the requests that wait, decides which leaves next, and drops what was seen before.
//
// [Memory] does so in memory; its contract is [crawl.Scheduler], and the suite in scheduler/schedulertest is what that contract means.
//
//	memory.go   Memory: commits, leases, places
//	slot.go     one host's queue and limits, and where it stands: ready, waiting for a time, or for a place
//	heap.go     the heaps of requests, slots and times
//	seen.go     the set of fingerprints
//
// # Where a request stands
//
// A waiting request stands in the queue of its slot, or, if it must not leave before a time, in the heap of those that come later. A slot that may be asked
// now stands in the ready heap, ordered by its best request; one whose delay or hold is not over stands in the heap of times; one without a free place stands in
// neither, and comes back by Release. So a lease costs the logarithm of the number of hosts and of one host's queue, one slow host never stands before
// another, and a waiting host costs a small struct.
//
// A waiting request is kept in its encoded form: that is what a scheduler on disk keeps too, so what cannot be encoded is refused in both.
package scheduler

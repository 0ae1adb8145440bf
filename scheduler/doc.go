// Package scheduler keeps the requests that wait, decides which leaves next, and drops what was seen before.
//
// [Memory] does so in memory; its contract is [crawl.Scheduler], and the suite in scheduler/schedulertest is what that contract means.
//
//	memory.go           Memory: commits and leases
//	internal/frontier   which request leaves next: slots, their queues and limits, and where they stand; jobdir's too
//	internal/seen       the set of fingerprints, and a cache of them
//	jobdir              the same contract in a folder on disk
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

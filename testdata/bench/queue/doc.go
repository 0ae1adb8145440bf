// Queue measures what a job's queue costs when it is large: pushing ten million requests, opening a job in which they wait, leasing and acknowledging beside them,
// and knowing fifty million fingerprints. It drives scheduler/jobdir as the engine's loop does, through crawl.Scheduler alone, without network or callbacks.
//
//	go run ./queue                # ten million requests of a hundred thousand hosts; takes half an hour and 4 GB of disk
//	go run ./queue -quick         # small: does it still work?
//	go run ./queue -markdown      # tables for a README
//
// # How it measures
//
// Every stage is a process of its own, so that its resident memory is its own: VmRSS and VmHWM of /proc/self/status, beside the Go heap. Every size has a job
// of its own, in which its stages follow one another. Processor time is the whole process's, the store's own work and the making of requests included: on a
// machine with other things to do it says more than the rates.
//
// A request is a GET of an address of about 90 bytes, encoded and fingerprinted by crawl.NewPush in goroutines beside the one that calls the scheduler, as the
// engine's are. One host in a hundred has a hundred times as many as the others: half of all requests are theirs.
// The addresses resemble each other, as those of one shop do, so the store compresses them well: other sites take more disk.
//
//	push   20 requests a change, 8 changes under way
//	open   a new process; the folder was written a moment ago, so the system still has its files in memory
//	kill   a process that pushes, and ends without closing the job; then open once more
//	lease  64 pages in hand, 8 a host; each takes no time, and is acknowledged with 5 new links and 15 that are queued or done, drawn evenly from all: the worst
//	       case of the fingerprints, since real pages repeat the same few links. By the default order what was pushed last leaves first, from memory; with "last" the
//	       new links have a lower priority, so that all that leaves is read from the disk
//	seen   to make fingerprints known without a queue that outgrows them, requests of 64 hosts are pushed, leased and acknowledged, 2,000 in a change. At each size
//	       pages as above then push 20 new links, 20 known ones drawn evenly from all, and 20 known ones drawn from a thousand
//
// The time of a change runs from Commit until done is called; what is durable by then, and what a few milliseconds later, package jobdir says.
//
// # Where to find what
//
// main.go is the parent, stages.go the children, links.go the requests, memory.go what a process takes, table.go the printing and the verdicts.
//
// Resident memory is read on Linux only; elsewhere it is 0.
package main

// Package jobdir keeps a job in a folder: a scheduler whose queue, fingerprints, acknowledgements, failures, feed positions and state survive the end of the process,
// however it comes, in bounded memory.
//
//	jobdir.go     Open, and Scheduler: what the engine's loop calls; it never waits for the disk
//	committer.go  the one goroutine that writes: changes in order, in groups, each group one synced batch
//	keys.go       what stands in the store
//	store.go      the embedded store, and what is done when the disk is full
//	folder.go     the folder around it: lock, owner, description, ballast
//	leases.go     which pages are in hand, written down at once
//	inspect.go    Inspect: for those who look after a job
//
// # The folder
//
//	job.json      what the job is: spider, order, identity, version of the format
//	owner.json    which process has it; left behind by one that was killed
//	lock          held by that process
//	leases        the numbers of the pages that it has in hand
//	status.json   how the job stands, once a second, for those who look at it while it runs
//	ballast       room that is given back when the disk is full
//	db/           the store: github.com/cockroachdb/pebble
//	spool/        items of pages that are not done, when they are too many for memory
//
// # A change
//
// [Scheduler.Commit] hands a change to the committer and returns. The committer looks up the fingerprints, adds the change to its group, and calls done: from now on
// it is visible, and what was pushed can leave. A group is closed after a few milliseconds. Then (1) its lines are appended to their journals, which make them
// durable; (2) everything else of the group is written as one batch, with the journals' positions, and synced. So a crash at any instant undoes the last group, the
// one that was being gathered, or both, as a whole: their pages are asked again, and journals that have become longer than their positions are cut.
//
// # What is in memory
//
// The queue stands in the store, ordered as requests leave. Of each slot's queue the best requests are in memory, and are read ahead when they become few; the
// packages' common part, scheduler/internal/frontier, says how. A request that is leased stays in the store where it was, until it is acknowledged: opening
// the job finds it in its place. Of the fingerprints those met last are in memory; others are found by the store, whose Bloom filters say that most were
// never seen.
package jobdir

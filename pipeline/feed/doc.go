// Package feed writes items to files and to standard output. [Open] opens what Settings.Feeds names, and [Feeds.Stage] is the last stage of a crawl's pipelines.
//
//	feed.go     the stage: opens all feeds, or none; hands each item to each
//	journal.go  feeds in a job: what is appended with a commit, and where a feed goes on
//	format.go   the formats jsonl, json, csv
//	fields.go   an item as named fields, in order
//	target.go   files and standard output
//
// An item is written as it comes: one write for each item, so what is in the file is whole. A JSON array in a file is closed after every item, and opened
// again for the next one: it is valid whenever somebody reads it.
//
// # In a job
//
// A feed is a [crawl.Journal] there. An item's record is encoded when the item comes, and kept with its page, its length before it. When the page is done the job's
// scheduler hands it to Append with those of other pages: they are written behind what is there, the file is synced, and the feed's new length is committed in one
// batch with the pages. So each item is in the file once, however often the process is killed: a feed that is opened again is cut back to the length that was
// committed last, and one that is shorter, or has another content there, is refused.
//
// The length is known by the file's name as it was given, cleaned, or by any other name of the same file. Where a feed begins, which is not always at 0, stands in
// feeds.json in the job's folder until the first length has been committed.
//
// What is no file is written in Append too, and has no length: after a kill it may get items again.
package feed

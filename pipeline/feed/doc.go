// Package feed writes items to files and to standard output. [Open] opens what Settings.Feeds names, and [Feeds.Stage] is the last stage of a crawl's pipelines.
//
//	feed.go     the stage: opens all feeds, or none; hands each item to each
//	format.go   the formats jsonl, json, csv
//	fields.go   an item as named fields, in order
//	target.go   files and standard output
//
// An item is written as it comes: one write for each item, so what is in the file is whole. A JSON array in a file is closed after every item, and opened
// again for the next one: it is valid whenever somebody reads it.
package feed

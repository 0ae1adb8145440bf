// Package store keeps media: pictures, thumbnails and files, under slash-separated names such as full/<sha1>.jpg.
//
// A store is a [crawl.Store]. Two are built in: [Dir], a folder, and [Memory], for tests and for programs that read the files themselves. Others, such as S3,
// have packages of their own below this one and are linked by naming them in Settings.Parts.Stores. [Open] chooses by the scheme of an address:
//
//	images              a folder, relative to where the program runs
//	/data/{spider}      {spider} is the spider's name
//	file:///data        a folder too
//	memory://           nothing is left when the crawl is over
//	s3://bucket/prefix  Amazon S3 and servers like it, in programs that link package s3
//	gs://bucket/prefix  Google Cloud Storage, likewise
//
// A program may also make a store itself and put it into FilesPipeline.Store or ImagesPipeline.Store.
//
// # Writing a store
//
// Implement the three methods of [crawl.Store], begin each with [CheckName], and run the suite in storetest. Where the place allows it, add the optional
// abilities: [crawl.Adopter] saves the copy of a large file, [crawl.Toucher] makes conditional requests possible, a [Recorder] remembers the checksum
// of files that others put there, and a [crawl.Syncer] is asked by jobs to make files survive a power cut, if they don't by themselves.
//
// # Where things are
//
//	open.go    Open: from an address to a store
//	names.go   which names are allowed, everywhere
//	dir.go     Dir; sync.go makes its files safe, lock_*.go tell whether a folder of unfinished files still has an owner
//	memory.go  Memory
//	storetest  the suite that every store passes
package store

// Package feed writes items to files, to standard output and to stores. [Open] opens what Settings.Feeds names, and [Feeds.Stage] is the last stage of a crawl's pipelines.
//
//	feed.go      the stage: opens all feeds, or none; hands each item to each that wants it
//	choose.go    which items a feed gets, and which of their fields
//	template.go  names with variables, and those of batches
//	part.go      one file of a feed: where it goes on, how it grows, how it ends
//	compress.go  gzip and zstd that grow at their end
//	records.go   what formats that are made at their end keep until then
//	deliver.go   what is made, or sent to a store, when a part is complete
//	leftover.go  what crawls that were killed have left on the local disk
//	journal.go   feeds in a job: what is appended with a commit, and where a feed goes on
//	share.go     an item's JSON, made once for all feeds
//	format.go    the formats jsonl and json
//	csv.go       CSV; csv_cell.go has what stands in a cell, csv_read.go reads it again
//	xml.go       XML
//	fields.go    an item as named fields, in order
//	target.go    files and standard output
//
// An item is written as it comes: one write for each item, so what is in the file is whole. A JSON array in a file is closed after every item, and opened
// again for the next one: it is valid whenever somebody reads it. Compressed feeds are written once a second, and whenever there is much: what is there is then a whole
// gzip file, or Zstandard's, of whole items.
//
// What goes to a store is written to a local file in the same way, and sent when the feed is complete, or the batch full, while the crawl goes on. Formats that have to
// know their end ([crawl.FeedBuilder]) keep their records in such a file, and are made of them then. What could not be sent is kept, and the error of [Feeds.Close] says
// where. What a crawl without a job has there when it is killed is removed by a later crawl, a day after.
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
//
// A feed that goes to a store, or is made at its end, has its file in the job's folder, below feeds, and stays there as long as the job; it is put in its place whenever
// the crawl ends, and by [Complete] if the process was killed between the last page and that. A store may get it more than once, under the same name. The position of a
// compressed feed says what is open at its end, that of a feed with variables in its name has that name, so that a job goes on in the same files. A batch is noted in
// feeds.json before its file is there: one that was begun and not committed is taken back when the job goes on, which may find fewer items, and begun again under its name.
// A file that is not known to be the job's is left, with a warning; one that stands where the feed begins anew is copied first, beside itself.
// What is built or sent is put in its place when its last item is committed, and not before ([crawl.CommitWatcher]), since nothing takes it back from there. So the
// batches of a job that was killed are those of one that was not.
//
// # CSV
//
// A table has a line of names and then a line an item (RFC 4180). Its columns are the feed's Fields, or all that the types of its Items have, or those of the first item; what
// a later item has beside them is left out with a warning, and counted in feedexport/dropped_fields. In a file that is appended to they are those of the file;
// a job that goes on with other Fields than its table has is refused. An item without fields that comes before the columns are known is left out with a warning.
//
// A field is a cell, and [ReadCSV] reads every struct back as it was, if encoding/json does, and if no struct that is embedded by a pointer had nothing but empty fields
// (there is no cell that could tell it from nil):
//
//	text, times, []byte (base64)   as it is in JSON, without the quotation marks
//	numbers, true and false        as in JSON: exact
//	a list of such values          joined by commas, as Scrapy does; as JSON if that would not be clear: an empty list, one empty text, commas in texts, a null,
//	                               or "[" at the beginning
//	structs, maps, other lists     as JSON
//	any, json.RawMessage and       a text as it is, unless it is empty or could be read as JSON: then as JSON, in quotation marks. All else as JSON
//	types with a MarshalJSON
//	nil, and what JSON leaves out  an empty cell. Where a text may be nil too (*string, []byte) an empty one is "" in the cell, and one that begins with a quotation
//	                               mark is written as JSON
//
// Items that are maps have no types that a table could keep: a text is always as it is, lists are joined or JSON, and what is read back is text. Feed.CSV has the delimiter,
// the ends of lines, a byte order mark for Excel, and a guard against texts that a spreadsheet would run as formulas.
//
// # XML
//
// The shape is that of Scrapy's XmlItemExporter:
//
//	<?xml version="1.0" encoding="utf-8"?>
//	<items>
//	<item><name>Lamp</name><tags><value>red</value><value>new</value></tags><size><width>3</width></size></item>
//	</items>
//
// Values are those of the item as JSON: a field is an element, the parts of an object are elements in it, those of a list are elements called value. A field that is null
// is left out, as one that is not there; in a list it is an empty value.
//
// A name that cannot be an element's is escaped as SQL/XML and .NET do: each character that has no place in it is _xHHHH_, four or six hexadecimal digits of its code point,
// and an underscore that stands before an x is _x005F_. An empty name is _x_. A colon is escaped too: there are no namespaces here. Control characters, which XML 1.0 cannot
// carry in any form, become U+FFFD in values, as in encoding/xml.
package feed

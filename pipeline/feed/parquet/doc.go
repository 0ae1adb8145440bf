// Package parquet writes feeds as Apache Parquet files. A program links it by
//
//	settings.Parts.Formats = map[string]crawl.FeedFormat{"parquet": parquet.Format}
//
// and then a feed whose name ends in .parquet is one.
//
//	parquet.go  the encoder: keeps items as JSON, and builds the file of them
//	schema.go   columns from a Go type
//	infer.go    columns from the items themselves, when they are maps
//	shred.go    an item as the values of columns
//
// A Parquet file cannot be written before its end is known, so the items of a feed, or of a batch, are kept on the local disk as they come, in a job with the job's
// files. When the batch is full or the crawl is over the file is built, and put in its place in one step.
//
// # Columns
//
// They are those of the items' type: of the spider's Items, or of the feed's, or of the first item. Items of another type do not fit in, and fail: give each type a feed of its
// own with Feed.Types. The names are those that JSON has.
//
//	string, and what has a MarshalText     STRING
//	bool                                   BOOLEAN
//	int8 to int64, int, uint8 to uint64    INT(8 to 64), signed or not
//	float32, float64                       FLOAT, DOUBLE
//	json.Number                            STRING: exact
//	time.Time                              TIMESTAMP, in microseconds of UTC
//	[]byte                                 BYTE_ARRAY
//	slices and arrays                      LIST
//	maps                                   MAP with STRING keys
//	structs                                a group; embedded ones are not there, their fields are
//	any, json.RawMessage, MarshalJSON      JSON; so is a type that contains itself, from there on
//	pointers, omitempty, omitzero          the same, and may be null. Lists and maps may be null always
//
// Maps as items have no type. Their columns are all fields that any of them has, in the order in which they came, found in a pass before the file is built. All may be
// null. A number is an INT(64), or a DOUBLE if one of them is no integer; where texts and others meet it is a STRING, where lists or objects and others meet it is JSON: a
// warning says so. Times are text, as they are in JSON.
//
// Once the items are there a file is made of them, whatever they are, and a warning says what was lost. A value that does not fit in its column, because the type of a
// field has changed between two runs of a job, is null, or zero where there must be one. Of maps with more than 2,000 different fields those that came last share one
// column, other_fields, which has them as JSON. A field whose new name another one has keeps its own.
package parquet

// Package sink writes items to a table of a PostgreSQL or SQLite database, through database/sql and a driver that the program imports.
//
//	import _ "github.com/jackc/pgx/v5/stdlib"
//
//	settings.ItemPipelines = []crawl.Stage{{Order: 900, Pipeline: sink.Table{
//		Driver: "pgx", DSN: os.Getenv("DATABASE_URL"),
//		Table: "books", Key: []string{"url"}, Create: true,
//	}}}
//
// [Table] says all that can be set. The files:
//
//	table.go    the stage: items wait in it until their rows are committed
//	write.go    rows are written, batch by batch
//	columns.go  items as rows
//	dialect.go  the databases' ways to speak SQL
//	errors.go   what is to be done about an error
//
// # What is promised
//
// An item leaves the stage when its row is committed. So what comes behind the stage is in the table, feeds included, and so is what a crawl counts as scraped; in a job
// no page is done before the rows of its items are, and after kill -9 nothing is missing. A page that was not done is asked again, and its items are written again: with a
// Key each takes its own place, and is there once. Without a Key it is there twice.
//
// Rows that come while others are being written make the next batch: one statement of many rows, or one transaction if that takes several statements. The first item waits
// for nobody, and a slow database slows the crawl down instead of filling its memory.
//
// A row that the database refuses (NOT NULL, a CHECK, a text that is no number) does not take its batch with it: the batch is halved until the row is found, and its item
// fails alone, with what the database says. If the database is away, full, or too busy, the batch is tried again with growing pauses, for Patience; if it still is, or if no
// row could be written at all (the table is gone, we may not write), the crawl is closed with the reason "store", and the pages of what was not written stay undone. Without a
// Key, rows whose connection broke after the database had committed them are written twice.
//
// # Columns
//
// A field goes to the column of its name in JSON, or that of Rename; upper and lower case are told apart only if the table has both. Names and values never become SQL:
// identifiers are quoted, values are parameters.
//
//	in Go                                  PostgreSQL                      SQLite
//	string, MarshalText                    text                            TEXT
//	bool                                   boolean                         BOOLEAN
//	int8, int16, uint8                     smallint                        INTEGER
//	int32, uint16                          integer                         INTEGER
//	int, int64, uint32, time.Duration      bigint                          INTEGER
//	uint, uint64                           numeric(20)                     INTEGER; beyond 2^63 the item fails
//	float32, float64                       real, double precision          REAL; NaN is NULL
//	json.Number                            numeric                         TEXT
//	time.Time                              timestamptz, in microseconds    TIMESTAMP: text in UTC that sorts by time
//	[]byte                                 bytea                           BLOB
//	structs, maps, other slices, any       jsonb                           TEXT with JSON
//	sql.NullString and its like            by what they hold               by what they hold
//
// These types are what Create makes. In a table that is there a column may have any type that the database can read the value as: a price that is text in the item goes into a
// numeric column if it looks like a number. nil, and what JSON leaves out by omitempty and omitzero, is NULL. PostgreSQL has no NUL in texts: there it becomes U+FFFD.
// An item whose own method panics (MarshalJSON, MarshalText, Value, IsZero) fails alone.
//
// Maps write the keys that they have and the table has columns for. Other columns keep their defaults or, in a row that is there, what they had. Keys without a column are
// left out with a warning. The table that Create makes for maps has the columns that the first batch's items have: name them by Columns.
//
// Stats: sink/row_count/TABLE, sink/failed_count/TABLE, sink/retry_count/TABLE.
package sink

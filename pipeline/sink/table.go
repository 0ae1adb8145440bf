package sink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// ReasonDown is that of a crawl whose database does not take rows any more. It is the reason of a store for media too.
const ReasonDown = "store"

// Table is a stage that writes items to a table of a PostgreSQL or SQLite database. An item goes on to the next stage when its row is committed: what is counted as
// scraped is in the table, and a page of a job is not done before the rows of its items are. So none is missing, whatever is interrupted, and with a Key each is there once;
// without a Key some may be there twice. See the package's page for what becomes of fields.
//
// The value is a description, and may be used by several crawls.
type Table struct {
	// DB is an open database. The crawl does not close it.
	DB *sql.DB `json:"-"`
	// Driver and DSN open one for the crawl if DB is nil: the name that the driver's package has registered, such as "pgx" or "sqlite", and what it takes. The program
	// imports the driver. What stands in the DSN is never logged.
	Driver string
	DSN    string `json:"-"`
	// Dialect is PostgreSQL or SQLite. Empty: the database is asked.
	Dialect Dialect
	// Table is the table's name, perhaps behind its schema and a dot. Empty: the spider's name.
	Table string
	// Items are examples of the items that are written, such as Book{}; others pass untouched. Empty: all are written, and the columns are known before the first item if
	// the spider says its Items.
	Items []any
	// Key are the columns that tell rows apart. The table has a unique index on them (with Create its primary key), and an item whose row is there takes its place: so
	// an item that is written again, by a job that goes on or by the next crawl, is there once. Empty: every item is a new row, and one that is written again is there
	// twice: a job that was stopped or killed asks its open pages again, with all their items, and a batch whose connection breaks while the database commits it is
	// written again because nobody knows whether it was. Who must not have doubles sets a Key.
	Key []string
	// Create makes the table if there is none, with columns by the items' type. One that is there is never changed.
	Create bool
	// Columns are the fields that are written, by their names in JSON. Empty: all.
	Columns []string
	// Rename gives fields other names in the table.
	Rename map[string]string
	// Batch is how many rows are written by one statement, at most. Default 500. Not more than concurrent_stages items can wait for the database at once.
	Batch int
	// FlushEvery is how long a row may wait for others to be written with. 0: not at all; rows that come while a batch is being written make the next one, which is best
	// unless the database is far away. Items wait as long: with more than a few milliseconds concurrent_stages should be larger.
	FlushEvery time.Duration
	// Patience is how long a batch is tried again, with growing pauses, while the database is away or too busy. Then the crawl closes ("store"); in a job nothing is lost.
	// Default one minute. Negative: it is tried once.
	Patience time.Duration
}

var (
	_ crawl.Pipeline = Table{}
	_ crawl.Opener   = Table{}
)

// String is the stage's name in logs.
func (t Table) String() string {
	if t.Table == "" {
		return "sink.Table"
	}
	return "sink.Table(" + t.Table + ")"
}

// GoString keeps the DSN to itself.
func (t Table) GoString() string { return t.String() }

// Process implements [crawl.Pipeline]. It always fails: what Open returns runs in the description's place.
func (t Table) Process(context.Context, any) (any, error) {
	return nil, errors.New("the table is a description: it must be opened before it can process items")
}

// Open implements [crawl.Opener]. It connects, makes the table if it shall, and compares its columns with the items', as far as their types are known: of Items, or of
// the spider's.
func (t Table) Open(ctx context.Context, env *crawl.Env) (crawl.Pipeline, error) {
	if t.Table == "" {
		t.Table = env.Spider.Name
	}
	if t.Batch <= 0 {
		t.Batch = 500
	}
	if t.Patience == 0 {
		t.Patience = time.Minute
	}
	s := &stage{
		conf: t, secrets: secretsOf(t.DSN), log: env.Log.With(zap.String("table", t.Table)), only: make(map[reflect.Type]bool), plans: make(map[any]*plan),
		wake: make(chan struct{}, 1), full: make(chan struct{}, 1), ended: make(chan struct{}),
		rows: env.Stats.Counter("sink/row_count/" + t.Table), failed: env.Stats.Counter("sink/failed_count/" + t.Table), retries: env.Stats.Counter("sink/retry_count/" + t.Table),
	}
	if err := s.open(ctx, env); err != nil {
		return nil, errors.Join(s.scrub(err), s.closeDB())
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	go s.run(work)
	return s, nil
}

// stage is an open Table. One goroutine, run, talks to the database; it ends when the stage is closed.
type stage struct {
	conf                  Table
	db                    *sql.DB
	own                   bool // db was opened here
	dialect               dialect
	name                  string // of the table, quoted
	secrets               []string
	log                   *zap.Logger
	only                  map[reflect.Type]bool // types that are written; empty: all
	rows, failed, retries *crawl.Counter

	// Owned by Open, then by run.
	table columns
	plans map[any]*plan       // by type, or by the keys of a map
	lost  map[string]struct{} // keys of maps that have no column, and that were told of

	wake, full chan struct{} // something waits, enough waits; each holds one signal
	stop       context.CancelFunc
	ended      chan struct{} // closed by run

	mu      sync.Mutex
	waiting []*row // Guarded by mu.
	down    error  // Guarded by mu: why nothing is written any more.
}

// row is an item that waits to be written.
type row struct {
	item any
	done chan error // gets one error, or nil

	// Owned by run.
	plan *plan
	args []any
}

var _ crawl.Pipeline = (*stage)(nil)

// Process implements [crawl.Pipeline]: it returns when the item's row is committed.
func (s *stage) Process(ctx context.Context, item any) (any, error) {
	if t := typeOf(item); len(s.only) > 0 && !s.only[t] {
		return item, nil
	}
	r := &row{item: item, done: make(chan error, 1)}
	if err := s.add(r); err != nil {
		return nil, err
	}
	select {
	case err := <-r.done:
		if err != nil {
			return nil, s.scrub(err)
		}
		return item, nil
	case <-ctx.Done():
		// It may be written yet. In a job its page is not done, and comes again.
		s.withdraw(r)
		return nil, context.Cause(ctx)
	}
}

func (s *stage) add(r *row) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return s.down
	}
	s.waiting = append(s.waiting, r)
	signal(s.wake)
	if len(s.waiting) >= s.conf.Batch {
		signal(s.full)
	}
	return nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// withdraw takes back a row that nobody waits for.
func (s *stage) withdraw(r *row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range s.waiting {
		if w == r {
			s.waiting = append(s.waiting[:i:i], s.waiting[i+1:]...)
			return
		}
	}
}

// Close ends the work. No Process runs any more: what is written now nobody waits for.
func (s *stage) Close() error {
	s.stop()
	<-s.ended
	return s.closeDB()
}

func (s *stage) closeDB() error {
	if !s.own {
		return nil
	}
	return s.scrub(s.db.Close())
}

// open is Open without its goroutine.
func (s *stage) open(ctx context.Context, env *crawl.Env) error {
	switch {
	case s.conf.DB != nil && (s.conf.DSN != "" || s.conf.Driver != ""):
		return errors.New("both DB and Driver are set: which one is it?")
	case s.conf.DB != nil:
		s.db = s.conf.DB
	case s.conf.Driver == "":
		return errors.New(`neither DB nor Driver is set: open a database, or name a driver that the program imports, such as "pgx" or "sqlite", and its DSN`)
	default:
		db, err := sql.Open(s.conf.Driver, s.conf.DSN)
		if err != nil {
			return fmt.Errorf("open the database: %w", err)
		}
		s.db, s.own = db, true
	}
	if s.conf.Patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.conf.Patience)
		defer cancel()
	}
	if err := s.db.PingContext(ctx); err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	var err error
	if s.dialect, err = dialectOf(ctx, s.db, s.conf.Dialect); err != nil {
		return err
	}
	if s.own && s.dialect.Dialect == SQLite {
		s.db.SetMaxOpenConns(1) // a database in memory is its connection's
	}
	if s.name, err = s.dialect.table(s.conf.Table); err != nil {
		return err
	}
	items := s.conf.Items
	for _, item := range items {
		s.only[typeOf(item)] = true
	}
	if len(items) == 0 {
		items = env.Spider.Items
	}
	return s.prepare(ctx, items)
}

// typeOf is an item's type, without pointers.
func typeOf(item any) reflect.Type {
	t := reflect.TypeOf(item)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

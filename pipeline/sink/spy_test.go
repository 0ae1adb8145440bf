package sink_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/sink"
)

// spy is SQLite's driver, with an ear for what rows are written by and a mouth for errors.
type spy struct {
	driver.Driver
	opening error // what Open says

	mu      sync.Mutex
	inserts []string                     // Guarded by mu.
	says    func(inserts []string) error // Guarded by mu: what becomes of the last one; nil is nothing to say.
	pings   func(inserts []string) error // Guarded by mu: what a ping says.
}

// spied is a table on SQLite behind a spy; it writes batches of n, and waits for them.
func spied(t *testing.T, dsn string, n int) (*spy, *place, sink.Table) {
	t.Helper()
	p := onSQLite(t)
	s := &spy{Driver: p.db.Driver()}
	name := fmt.Sprint("spy", tables.Add(1))
	sql.Register(name, s)
	if dsn == "" {
		dsn = p.dsn
	}
	return s, p, sink.Table{Driver: name, DSN: dsn, Dialect: sink.SQLite, Table: p.name, Create: true, Batch: n, FlushEvery: time.Hour, Patience: 20 * time.Second}
}

func (s *spy) Open(name string) (driver.Conn, error) {
	if s.opening != nil {
		return nil, s.opening
	}
	name, _, _ = strings.Cut(name, "&password=")
	c, err := s.Driver.Open(name)
	return spyConn{c, s}, err
}

// spyConn has no methods but those that every connection has: so all goes through Prepare.
type spyConn struct {
	driver.Conn
	spy *spy
}

func (c spyConn) Prepare(query string) (driver.Stmt, error) {
	c.spy.mu.Lock()
	defer c.spy.mu.Unlock()
	if strings.HasPrefix(query, "INSERT") && !strings.Contains(query, "SELECT") {
		c.spy.inserts = append(c.spy.inserts, query)
		if c.spy.says != nil {
			if err := c.spy.says(c.spy.inserts); err != nil {
				return nil, err
			}
		}
	}
	return c.Conn.Prepare(query)
}

func (c spyConn) Ping(context.Context) error {
	c.spy.mu.Lock()
	defer c.spy.mu.Unlock()
	if c.spy.pings != nil {
		return c.spy.pings(c.spy.inserts)
	}
	return nil
}

// waited tells when somebody waits for it.
type waited struct {
	context.Context
	once *sync.Once
	told chan struct{}
}

func (w waited) Done() <-chan struct{} {
	w.once.Do(func() { close(w.told) })
	return w.Context.Done()
}

// inOrder sends items in one after the other, without waiting for their rows, and returns their errors.
func (s *stage) inOrder(t *testing.T, items ...any) []error {
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		ctx := waited{t.Context(), new(sync.Once), make(chan struct{})}
		wg.Go(func() { _, errs[i] = s.Process(ctx, item) })
		<-ctx.told
	}
	wg.Wait()
	return errs
}

// TestSameKeyInBatch writes the last of the items with one key, and that in the same statement as the others: PostgreSQL would refuse one with both.
func TestSameKeyInBatch(t *testing.T) {
	t.Parallel()
	spy, p, table := spied(t, "", 4)
	table.Key, table.Columns, table.Items = []string{"id"}, []string{"id", "name"}, []any{product{}}
	s := start(t, table)
	for _, err := range s.inOrder(t, &product{ID: 1, Name: "first"}, &product{ID: 2, Name: "other"}, &product{ID: 1, Name: "second"}, &product{ID: 1, Name: "last"}) {
		require.NoError(t, err)
	}
	require.Equal(t, []string{"1 | last", "2 | other"}, p.rows(t, "id, name"))
	require.Len(t, spy.inserts, 1)
	require.Equal(t, 4, strings.Count(spy.inserts[0], "?"), "two rows of two columns: %s", spy.inserts[0])
	require.EqualValues(t, 4, s.Stats.Int("sink/row_count/"+p.name))
}

// TestHalvesStop does not try the other half of a batch when the first has found the table gone.
func TestHalvesStop(t *testing.T) {
	t.Parallel()
	spy, _, table := spied(t, "", 4)
	table.Items = []any{size{}}
	s := start(t, table)
	spy.says = func(inserts []string) error {
		if len(inserts) == 1 {
			return coded{19} // of some row
		}
		return coded{11} // of the table
	}
	var stop *crawl.CloseSpiderError
	for _, err := range s.inOrder(t, size{1}, size{2}, size{3}, size{4}) {
		require.ErrorAs(t, err, &stop)
		require.Equal(t, sink.ReasonDown, stop.Reason)
	}
	require.Len(t, spy.inserts, 2)
	require.Equal(t, 1, s.logs.FilterMessage("the table cannot be written to: the crawl is closed").Len())
}

// TestSameKeyOfShapes writes maps with one key in the order in which they came, whatever fields they have.
func TestSameKeyOfShapes(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		p.exec(t, "CREATE TABLE "+p.name+" (id integer PRIMARY KEY, v integer, w integer)")
		table := p.table()
		table.Key, table.Batch, table.FlushEvery = []string{"id"}, 8, time.Hour
		s := start(t, table)
		for _, err := range s.inOrder(t,
			map[string]any{"id": 1, "v": 1}, map[string]any{"id": 1, "v": 2, "w": 2}, map[string]any{"id": 1, "v": 3},
			map[string]any{"id": 2, "v": 1}, map[string]any{"id": 1, "w": 4},
			map[string]any{"id": 3, "w": 1, "v": 1}, map[string]any{"id": 3, "v": 2}, map[string]any{"id": 3, "w": 3, "v": 3}) {
			require.NoError(t, err)
		}
		require.Equal(t, []string{"1 | 3 | 4", "2 | 1 | NULL", "3 | 3 | 3"}, p.rows(t, "*"))
	})
}

// TestErrorOfValue takes what a generated column says of a value for that row's: SQLite has the same code for a table that is gone.
func TestErrorOfValue(t *testing.T) {
	t.Parallel()
	p := onSQLite(t)
	p.exec(t, "CREATE TABLE "+p.name+" (id integer PRIMARY KEY, j text, k text GENERATED ALWAYS AS (json_extract(j, '$.a')) STORED)")
	table := p.table()
	table.Batch, table.FlushEvery = 4, time.Hour
	s := start(t, table)
	errs := s.inOrder(t, map[string]any{"id": 1, "j": "{"}, map[string]any{"id": 2, "j": "{}"}, map[string]any{"id": 3}, map[string]any{"id": 4, "j": `{"a":5}`})
	require.ErrorContains(t, errs[0], "malformed JSON")
	require.NoError(t, errors.Join(errs[1:]...))
	require.Equal(t, []string{"2 | NULL", "3 | NULL", "4 | 5"}, p.rows(t, "id, k"))
}

type bomb struct{ Armed bool }

func (b bomb) MarshalJSON() ([]byte, error) { return []byte("1"), b.explode() }
func (b bomb) explode() error {
	if b.Armed {
		panic("boom")
	}
	return nil
}

type textBomb bomb

func (b textBomb) MarshalText() ([]byte, error) { return nil, bomb(b).explode() }

type valueBomb struct{ bomb }

func (b valueBomb) Value() (driver.Value, error) { return "x", b.explode() }

type zeroBomb struct{ bomb }

func (b zeroBomb) IsZero() bool { return b.explode() == nil }

// TestPanics has items fail alone whose methods panic.
func TestPanics(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		type item struct {
			ID    int       `json:"id"`
			JSON  bomb      `json:"json"`
			Text  textBomb  `json:"text"`
			Value valueBomb `json:"value"`
			Zero  zeroBomb  `json:"zero,omitzero"`
		}
		armed := bomb{true}
		s := start(t, p.table())
		errs := s.write(t, &item{ID: 1}, &item{ID: 2, JSON: armed}, &item{ID: 3, Text: textBomb(armed)}, &item{ID: 4, Value: valueBomb{armed}}, &item{ID: 5, Zero: zeroBomb{armed}}, armed,
			map[string]any{"id": 6, "json": armed}, &item{ID: 7})
		for i, want := range []string{`field "json": `, `field "text": `, `field "value": `, `field "zero": `, "item of type sink_test.bomb: ", `field "json": `} {
			var panicked *crawl.PanicError
			require.ErrorAs(t, errs[i+1], &panicked)
			require.ErrorContains(t, errs[i+1], want+"panic: boom")
			require.Contains(t, string(panicked.Stack), "explode")
		}
		require.NoError(t, errors.Join(errs[0], errs[7]))
		require.Equal(t, []string{"1", "7"}, p.rows(t, "id"))
	})
}

// TestDriverPanics answers all who wait, whatever a driver does.
func TestDriverPanics(t *testing.T) {
	t.Parallel()
	spy, p, table := spied(t, "", 2)
	table.Items = []any{size{}}
	s := start(t, table)
	spy.says = func(inserts []string) error {
		if len(inserts) < 3 {
			panic("boom")
		}
		return nil
	}
	var panicked *crawl.PanicError
	errs := s.inOrder(t, size{1}, size{2})
	require.ErrorAs(t, errs[0], &panicked, "the statement of both, and then its own")
	require.NoError(t, errs[1])
	require.Equal(t, []string{"2"}, p.rows(t, "w"))

	spy.inserts, spy.pings = nil, func([]string) error { panic("no ping") }
	var stop *crawl.CloseSpiderError
	for _, err := range s.inOrder(t, size{3}, size{4}) {
		require.ErrorAs(t, err, &stop, "nothing is known of the rows")
	}
	require.ErrorAs(t, s.write(t, size{5})[0], &stop)
}

// TestNUL replaces what PostgreSQL has not in its texts.
func TestNUL(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		type item struct {
			ID   string `json:"id"`
			Any  any    `json:"any_"`
			Size []string
		}
		s := start(t, p.table())
		s.must(t, &item{"a\x00b", "c\x00", []string{`\u0000`, "\x00", `\\`}})
		want := `a` + "\ufffd" + `b | "c` + "\ufffd" + `" | ["\\u0000", "` + "\ufffd" + `", "\\\\"]`
		if p.dialect == sink.SQLite {
			want = "a\x00b" + ` | "c\u0000" | ["\\u0000","\u0000","\\\\"]`
		}
		require.Equal(t, []string{want}, p.rows(t, "*"))
	})
}

// TestUnknownError asks the connection whether it is there, when an error says nothing that is known.
func TestUnknownError(t *testing.T) {
	t.Parallel()
	spy, p, table := spied(t, "", 1)
	table.Items = []any{size{}}
	s := start(t, table)
	odd := errors.New("odd")
	spy.says = func(inserts []string) error {
		if len(inserts) == 1 {
			return odd
		}
		return nil
	}
	require.ErrorIs(t, s.write(t, size{1})[0], odd, "the connection is there, so it is the row")
	spy.inserts, spy.pings = nil, func(inserts []string) error {
		if len(inserts) == 1 {
			return odd
		}
		return nil
	}
	s.must(t, size{2})
	require.Equal(t, []string{"2"}, p.rows(t, "w"))
	require.EqualValues(t, 1, s.Stats.Int("sink/retry_count/"+p.name))
}

// TestSecretsOfDrivers keeps what a DSN says out of the errors of drivers that repeat it, whole or in part, as it was given or as it is meant.
func TestSecretsOfDrivers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dsn, leak string }{
		{"host=db user=tulle dbname=x", "host=db user=tulle dbname=x"},
		{"postgres://tulle:sword/fish@db/x", "sword/fish"},
		{"postgres://tulle:sword/fish@db/x", ":sword"}, // as a port that is none
		{"postgres://tulle:sword%2Ffish@db/x", "sword/fish"},
		{"postgres://tulle:sword%2Ffish@db/x", "sword%2Ffish"},
		{"postgres://tulle:sword+fi%20sh@db/x", "sword%2Bfi+sh"},
		{"postgres://db/x?user=tulle&password=sword%2Ffish", "sword/fish"},
		{"postgres://db/x?user=tulle&password=swordfish", "swordfish"},
		{"host=db password=swordfish", "swordfish"},
		{"host=db Password = 'sword fish'", "sword fish"},
	} {
		spy, _, table := spied(t, c.dsn, 1)
		spy.opening = fmt.Errorf("cannot connect with <%s>", c.leak)
		env, logs := environment()
		table.Patience = -1
		_, err := table.Open(t.Context(), env)
		require.ErrorIs(t, err, spy.opening)
		require.EqualError(t, err, "connect to the database: cannot connect with <***>", c.dsn)
		require.Zero(t, logs.Len())
	}

	// When rows are written.
	spy, _, table := spied(t, "file:"+filepath.Join(t.TempDir(), "items.db")+"?_pragma=busy_timeout(5000)&password=swordfish", 1)
	table.Items = []any{size{}}
	s := start(t, table)
	spy.says = func(inserts []string) error {
		return fmt.Errorf("no row for swordfish: %w", coded{[]int{19, 5, 11}[len(inserts)-1]})
	}
	require.EqualError(t, s.write(t, size{1})[0], `write to table "`+table.Table+`": no row for ***: coded`)
	require.Error(t, s.write(t, size{2})[0])
	require.Equal(t, 2, s.logs.Len(), "one that is tried again, and one that ends the crawl")
	for _, e := range s.logs.All() {
		require.Contains(t, fmt.Sprint(e.ContextMap()["error"]), "no row for ***")
	}
}

// TestNulls has NULL for everything that is nil, whatever its type.
func TestNulls(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		type item struct {
			ID      int
			Valuer  *sql.NullString
			Invalid sql.NullString
			Blob    []byte
			Text    **string
			Map     map[string]int
			Any     any
			Time    *time.Time
			Empty   string `json:",omitempty"`
		}
		s := start(t, p.table())
		s.must(t, &item{ID: 1}, &item{ID: 2, Text: new(*string), Any: (*int)(nil)}, map[string]any{"ID": 3, "Valuer": (*sql.NullString)(nil), "Any": nil})
		const columns = `"Valuer", "Invalid", "Blob", "Text", "Map", "Any", "Time", "Empty"`
		for _, column := range strings.Split(columns, ", ") {
			var n int
			require.NoError(t, p.db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+p.name+" WHERE "+column+" IS NULL").Scan(&n))
			require.Equal(t, 3, n, column)
		}
	})
}

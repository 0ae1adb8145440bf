package sink_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/sink"
)

// Dated is embedded.
type Dated struct {
	Seen string `json:"seen"`
}

type size struct {
	Width int `json:"w"`
}

type product struct {
	*Dated
	ID      int               `json:"id"`
	Name    string            `json:"name"`
	Maybe   *string           `json:"maybe"`
	Small   int8              `json:"small"`
	Large   uint64            `json:"large"`
	Real    float64           `json:"real"`
	Short   float32           `json:"short"`
	Flag    bool              `json:"flag"`
	When    time.Time         `json:"when,omitzero"`
	Blob    []byte            `json:"blob"`
	Words   []string          `json:"words"`
	Size    size              `json:"size"`
	Pointer *size             `json:"pointer"`
	Map     map[string]string `json:"map"`
	Any     any               `json:"any"`
	Raw     json.RawMessage   `json:"raw"`
	Exact   json.Number       `json:"exact"`
	Huge    *big.Int          `json:"huge"`
	IP      netip.Addr        `json:"ip"`
	Null    sql.NullInt64     `json:"null"`
	Took    time.Duration     `json:"took"`
	Left    string            `json:"left,omitempty"`
	Secret  string            `json:"-"`
}

func full(id int) *product {
	return &product{
		Dated: &Dated{"now"}, ID: id, Name: `O'Reilly "x" \ %s $1 ü`, Maybe: new(""), Small: -3, Large: math.MaxInt64, Real: 0.1, Short: 0.1, Flag: true,
		When: time.Date(2024, 5, 6, 7, 8, 9, 123456000, time.FixedZone("x", 7200)), Blob: []byte{0, 255}, Words: []string{"a", "<b>"}, Size: size{1}, Pointer: &size{2},
		Map: map[string]string{"k": "v"}, Any: "text", Raw: json.RawMessage(`{"a":1}`), Exact: "1.50", Huge: big.NewInt(7), IP: netip.MustParseAddr("::1"),
		Null: sql.NullInt64{Int64: 5, Valid: true}, Took: time.Second, Left: "x", Secret: "no",
	}
}

func TestTypes(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		s := start(t, p.table())
		s.must(t, full(1), product{ID: 2, Exact: "0"})
		var created []string
		rows, err := p.db.QueryContext(t.Context(), "SELECT * FROM "+p.name)
		require.NoError(t, err)
		types, err := rows.ColumnTypes()
		require.NoError(t, err)
		require.NoError(t, rows.Close())
		for _, c := range types {
			created = append(created, c.Name()+" "+strings.ToLower(c.DatabaseTypeName()))
		}
		const fields = "id, seen, name, maybe, small, large, real, short, flag, when_, blob_, words, size, pointer, map, any_, raw, exact, huge, ip, null_, took, left_"
		columns := strings.NewReplacer("when_", `"when"`, "blob_", "hex(blob)", "any_", `"any"`, "null_", `"null"`, "left_", `"left"`, " real,", ` "real",`).Replace(fields)
		if p.dialect == sink.PostgreSQL {
			columns = strings.NewReplacer("short", "short::text", "hex(blob)", "encode(blob, 'hex')", `"when"`, `to_char("when" at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')`).Replace(columns)
			require.Equal(t, []string{
				"seen text", "id int8", "name text", "maybe text", "small int2", "large numeric", "real float8", "short float4", "flag bool", "when timestamptz", "blob bytea", "words jsonb",
				"size jsonb", "pointer jsonb", "map jsonb", "any jsonb", "raw jsonb", "exact numeric", "huge jsonb", "ip text", "null int8", "took int8", "left text",
			}, created)
			require.Equal(t, []string{
				`1 | now | O'Reilly "x" \ %s $1 ü |  | -3 | 9223372036854775807 | 0.1 | 0.1 | true | 2024-05-06 05:08:09.123456 | 00ff | ["a", "<b>"] | {"w": 1} | {"w": 2} | {"k": "v"} | ` +
					`"text" | {"a": 1} | 1.50 | 7 | ::1 | 5 | 1000000000 | x`,
				`2 | NULL |  | NULL | 0 | 0 | 0 | 0 | false | NULL | NULL | NULL | {"w": 0} | NULL | NULL | NULL | NULL | 0 | NULL |  | NULL | 0 | NULL`,
			}, p.rows(t, columns))
			return
		}
		require.Equal(t, []string{
			"seen text", "id integer", "name text", "maybe text", "small integer", "large integer", "real real", "short real", "flag boolean", "when timestamp", "blob blob", "words text",
			"size text", "pointer text", "map text", "any text", "raw text", "exact text", "huge text", "ip text", "null integer", "took integer", "left text",
		}, created)
		require.Equal(t, []string{
			`1 | now | O'Reilly "x" \ %s $1 ü |  | -3 | 9223372036854775807 | 0.1 | 0.1 | 1 | 2024-05-06T05:08:09.123456Z | 00FF | ["a","<b>"] | {"w":1} | {"w":2} | {"k":"v"} | ` +
				`"text" | {"a":1} | 1.50 | 7 | ::1 | 5 | 1000000000 | x`,
			`2 | NULL |  | NULL | 0 | 0 | 0 | 0 | 0 | NULL |  | NULL | {"w":0} | NULL | NULL | NULL | NULL | 0 | NULL |  | NULL | 0 | NULL`,
		}, p.rows(t, columns))
	})
}

// TestKey writes items again: each is there once, as it was last.
func TestKey(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		table := p.table()
		table.Key = []string{"id"}
		s := start(t, table)
		var items []any
		for i := range 200 {
			items = append(items, &product{ID: i % 50, Exact: "0", Small: 1})
		}
		for _, err := range s.write(t, items...) {
			require.NoError(t, err)
		}
		require.Equal(t, 50, p.count(t))
		s.must(t, &product{ID: 3, Name: "new", Exact: "0"}, &product{ID: 3, Name: "newer", Exact: "0"})
		require.NoError(t, s.close())

		again := start(t, table)
		again.must(t, &product{ID: 4, Name: "again", Exact: "0"})
		require.Equal(t, 50, p.count(t))
		require.Equal(t, []string{"2 | ", "3 | newer", "4 | again", "5 | "}, p.rows(t, "id, name")[2:6])
		require.EqualValues(t, 202, s.Stats.Int("sink/row_count/"+p.name))

		keys := p.table()
		keys.Table += "keys"
		keys.Key, keys.Columns, keys.Rename = []string{"number", "name"}, []string{"id", "name"}, map[string]string{"id": "number"}
		all := start(t, keys)
		all.must(t, &product{ID: 1, Name: "a"}, &product{ID: 1, Name: "b"}, &product{ID: 1, Name: "a"})
		p.name = keys.Table
		require.Equal(t, []string{"1 | a", "1 | b"}, p.rows(t, "number, name"), "all columns are the key: nothing to update")
	})
}

// TestBadRow has one item fail alone, whatever its batch.
func TestBadRow(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		p.exec(t, "CREATE TABLE "+p.name+" (id integer PRIMARY KEY, name text NOT NULL CHECK (name <> 'bad'), price numeric, made integer DEFAULT 7)")
		table := p.table()
		table.FlushEvery = 50 * time.Millisecond
		s := start(t, table)
		type item struct {
			ID    int     `json:"id"`
			Name  *string `json:"name"`
			Price any     `json:"price"`
		}
		var items []any
		for i := range 300 {
			items = append(items, &item{ID: i, Name: new("good"), Price: "1.50"})
		}
		items[17].(*item).Name = new("bad")
		items[18].(*item).Name = nil
		items[299].(*item).ID = 5
		items[150].(*item).Price = func() {}
		errs := s.write(t, items...)
		bad := 0
		for i, err := range errs {
			switch i {
			case 17:
				require.ErrorContains(t, err, `write to table "`+p.name+`": `)
				require.Regexp(t, "(?i)check", err.Error())
			case 18:
				require.Regexp(t, "(?i)not.null", err.Error())
			case 150:
				require.ErrorContains(t, err, `item of type *sink_test.item: field "price": json: unsupported type: func()`)
			case 5, 299:
				if err != nil { // whoever came second
					bad++
					require.Regexp(t, "(?i)unique", err.Error())
				}
			default:
				require.NoError(t, err, i)
			}
		}
		require.Equal(t, 1, bad)
		require.Equal(t, 296, p.count(t))
		require.EqualValues(t, 4, s.Stats.Int("sink/failed_count/"+p.name))
		require.EqualValues(t, 296, s.Stats.Int("sink/row_count/"+p.name))
		require.Equal(t, "0 | good | 7", p.rows(t, "id, name, made")[0], "what the item does not have is the table's default")
	})
}

func TestMaps(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		table := p.table()
		table.Key = []string{"id"}
		s := start(t, table)
		s.must(t, map[string]any{"id": 1, "name": "a", "price": 1.5, "tags": []string{"x"}, "none": nil})
		s.must(t, map[string]any{"id": 2, "price": 2, "new": 1}, map[string]any{"id": 1, "name": "b"}, map[string]string{"id": "3"}, map[string]any{"id": 4, "new": 2, "newer": 3})
		require.Equal(t, []string{`1 | b | 1.5 | ["x"] | NULL`, `2 | NULL | 2 | NULL | NULL`, `3 | NULL | NULL | NULL | NULL`, `4 | NULL | NULL | NULL | NULL`},
			p.rows(t, "id, name, price, tags, none"), "columns without a key keep what they have")
		var told []any
		for _, e := range s.logs.FilterMessageSnippet("no columns for").All() {
			told = append(told, e.ContextMap()["fields"])
		}
		require.Equal(t, []any{[]any{"new"}, []any{"newer"}}, told)
		for item, want := range map[any]string{
			&map[string]any{"name": "x"}: `it has no value for the key "id"`,
			&map[string]any{"id": nil}:   `the item has no value for the key "id": rows without a key cannot be told apart`,
			&map[string]any{"what": 1}:   "it has no fields that could be columns",
			new("text"):                  "it has no fields: a row is made of a struct or a map",
			(*product)(nil):              "the item is nil",
		} {
			require.ErrorContains(t, s.write(t, item)[0], want)
		}
		require.Equal(t, 4, p.count(t))
	})
}

// TestNames quotes whatever is a name.
func TestNames(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		evil := `x"; DROP TABLE ` + p.name + `; --`
		p.exec(t, "CREATE TABLE "+p.name+` ("Title" text)`)
		table := p.table()
		table.Table = p.name + ` "q"`
		s := start(t, table)
		s.must(t, map[string]any{evil: `'); DROP TABLE ` + p.name + `; --`, "select": 1, "a b": true})
		var got string
		require.NoError(t, p.db.QueryRowContext(t.Context(), `SELECT "x""; DROP TABLE `+p.name+`; --" FROM "`+p.name+` ""q"""`).Scan(&got))
		require.Equal(t, `'); DROP TABLE `+p.name+`; --`, got)

		type item struct{ TITLE string }
		other := p.table()
		o := start(t, other)
		o.must(t, item{"any case"})
		require.Equal(t, []string{"any case"}, p.rows(t, `"Title"`))
	})
}

func TestOpenErrors(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		p.exec(t, "CREATE TABLE "+p.name+" (id integer, w integer)")
		type item struct {
			ID   int `json:"id"`
			Name []string
		}
		for _, c := range []struct {
			change func(*sink.Table)
			want   string
		}{
			{func(c *sink.Table) { c.Items = []any{item{}} }, `items of type sink_test.item: the table "` + p.name + `" lacks columns: ALTER TABLE "` + p.name + `" ADD COLUMN "Name" JSONTYPE; or choose those that it has (Columns)`},
			{func(c *sink.Table) { c.Table += "x"; c.Create = false }, `there is no table "` + p.name + `x": make it, or set Create`},
			{func(c *sink.Table) { c.Table += "x"; c.Create = false; c.Items = []any{size{}}; c.Key = []string{"w"} },
				"there is no table \"" + p.name + "x\": set Create, or make it so:\nCREATE TABLE IF NOT EXISTS \"" + p.name + "x\" (\n\t\"w\" INTTYPE NOT NULL,\n\tPRIMARY KEY (\"w\")\n)"},
			{func(c *sink.Table) { c.Items = []any{size{}}; c.Key = []string{"w"} },
				`the table "` + p.name + `" does not take rows by its key; is there an index, as CREATE UNIQUE INDEX ON "` + p.name + `" ("w") makes it? `},
			{func(c *sink.Table) { c.Items = []any{size{}}; c.Key = []string{"id"} }, `it has no value for the key "id"`},
			{func(c *sink.Table) { c.Table += "x"; c.Items = []any{size{}}; c.Key = []string{"nothing"} }, `the key "nothing" is none of the columns "w"`},
			{func(c *sink.Table) { c.Items = []any{size{}}; c.Columns = []string{"h"} }, `sink_test.size has no field "h", which Columns names`},
			{func(c *sink.Table) { c.Items = []any{item{}}; c.Rename = map[string]string{"Name": "id"} }, `two fields go to the column "id"`},
			{func(c *sink.Table) { c.Table = "a.b.c" }, `"a.b.c" is no name of a table`},
			{func(c *sink.Table) { c.Dialect = "oracle" }, `the dialect is "oracle": want "postgresql" or "sqlite"`},
			{func(c *sink.Table) { c.DB = p.db }, "both DB and Driver are set: which one is it?"},
			{func(c *sink.Table) { c.Driver, c.DSN = "", "" }, `neither DB nor Driver is set`},
			{func(c *sink.Table) { c.Driver = "mysql" }, `open the database: sql: unknown driver "mysql"`},
		} {
			table := p.table()
			c.change(&table)
			env, _ := environment()
			_, err := table.Open(t.Context(), env)
			types := strings.NewReplacer("JSONTYPE", "TEXT", "INTTYPE", "INTEGER")
			if p.dialect == sink.PostgreSQL {
				types = strings.NewReplacer("JSONTYPE", "jsonb", "INTTYPE", "bigint")
			}
			require.ErrorContains(t, err, types.Replace(c.want))
		}
	})
}

// TestItems writes some types, and lets others pass.
func TestItems(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		table := p.table()
		table.Items = []any{size{}, &Dated{}}
		s := start(t, table)
		s.must(t, &size{1}, &product{}, Dated{"now"}, map[string]any{})
		require.ElementsMatch(t, []string{"1 | NULL", "NULL | now"}, p.rows(t, "w, seen"), "one table has both types' columns")

		env, _ := environment()
		env.Spider.Items, env.Spider.Name = []any{&size{}}, p.name+"shop"
		table.Items, table.Table = nil, ""
		opened, err := table.Open(t.Context(), env)
		require.NoError(t, err)
		p.name = env.Spider.Name
		require.Equal(t, 0, p.count(t), "the spider's name, and its items' columns")
		require.NoError(t, opened.(interface{ Close() error }).Close())
	})
}

// TestManyColumns splits what is more than a statement's parameters.
func TestManyColumns(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		table := p.table()
		table.FlushEvery = 50 * time.Millisecond
		s := start(t, table)
		var items []any
		for i := range 200 {
			m := map[string]any{}
			for j := range 400 {
				m[fmt.Sprint("c", j)] = i
			}
			items = append(items, m)
		}
		for _, err := range s.write(t, items...) {
			require.NoError(t, err)
		}
		require.Equal(t, 200, p.count(t))
	})
}

// TestStop has items that wait for the database give up when the crawl does.
func TestStop(t *testing.T) {
	both(t, func(t *testing.T, p *place) {
		s := start(t, p.table())
		s.must(t, size{1})
		// Somebody holds the table.
		tx, err := p.db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		lock := "LOCK TABLE " + p.name
		if p.dialect == sink.SQLite {
			lock = "INSERT INTO " + p.name + " VALUES (0)"
		}
		_, err = tx.ExecContext(t.Context(), lock)
		require.NoError(t, err)
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := s.Process(ctx, size{2})
				done <- err
			}()
		}
		cancel(why)
		require.ErrorIs(t, <-done, why)
		require.ErrorIs(t, <-done, why)
		require.NoError(t, s.close(), "and the statement that waits is cut off")
		require.NoError(t, tx.Rollback())
		s2 := start(t, p.table())
		s2.must(t, size{3})
	})
}

func TestDescription(t *testing.T) {
	t.Parallel()
	table := sink.Table{Table: "books", Driver: "pgx", DSN: "postgres://u:swordfish@h/db"}
	_, err := table.Process(t.Context(), size{})
	require.EqualError(t, err, "the table is a description: it must be opened before it can process items")
	b, err := json.Marshal(table)
	require.NoError(t, err)
	for _, text := range []string{fmt.Sprint(table), fmt.Sprintf("%+v", table), fmt.Sprintf("%#v", table), string(b)} {
		require.NotContains(t, text, "swordfish")
		require.Contains(t, text, "books")
	}
	var _ crawl.Stage = crawl.Stage{Pipeline: table}
}

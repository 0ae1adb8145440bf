package sink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Dialect is a database's way to speak SQL.
type Dialect string

// The dialects that there are. Databases that speak PostgreSQL's, such as CockroachDB, may be called so.
const (
	PostgreSQL Dialect = "postgresql"
	SQLite     Dialect = "sqlite"
)

// dialect is what differs between them.
type dialect struct {
	Dialect
	parameters int // of one statement, at most
}

// dialectOf asks the database, unless it is told.
func dialectOf(ctx context.Context, db *sql.DB, d Dialect) (dialect, error) {
	if d == "" {
		// The driver's name spares SQLite's users the question, and PostgreSQL's log a complaint.
		d = PostgreSQL
		if driver := strings.ToLower(fmt.Sprintf("%T", db.Driver())); strings.Contains(driver, "sqlite") {
			d = SQLite
		} else {
			var text string
			if err := db.QueryRowContext(ctx, "SELECT version()").Scan(&text); err != nil {
				if err := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&text); err != nil {
					return dialect{}, fmt.Errorf("the database is neither PostgreSQL nor SQLite, or does not say so: set Dialect: %w", err)
				}
				d = SQLite
			}
		}
	}
	switch d {
	case PostgreSQL:
		return dialect{d, math.MaxUint16}, nil
	case SQLite:
		return dialect{d, 32_766}, nil
	}
	return dialect{}, fmt.Errorf("the dialect is %q: want %q or %q", d, PostgreSQL, SQLite)
}

// quote is a name as an identifier.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// table is the quoted name of a table, perhaps with its schema.
func (d dialect) table(name string) (string, error) {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		if err := d.checkName(p); err != nil || len(parts) > 2 {
			return "", errors.Join(fmt.Errorf("%q is no name of a table", name), err)
		}
		parts[i] = quote(p)
	}
	return strings.Join(parts, "."), nil
}

// checkName is an error for what cannot be an identifier.
func (d dialect) checkName(name string) error {
	const most = 63 // PostgreSQL would cut the rest off
	switch {
	case name == "":
		return errors.New("a name is empty")
	case strings.ContainsRune(name, 0):
		return fmt.Errorf("the name %q has a NUL in it", name)
	case d.Dialect == PostgreSQL && len(name) > most:
		return fmt.Errorf("the name %q is longer than PostgreSQL's %d bytes: give it another one (Rename)", name, most)
	}
	return nil
}

// columns are those of a table, with their types, in order.
type columns struct {
	names []string
	types map[string]string
}

// columns reads what the table has. There are none if there is no table.
func (d dialect) columns(ctx context.Context, db *sql.DB, name string) (columns, error) {
	c := columns{types: make(map[string]string)}
	query, args := "SELECT name, type FROM pragma_table_info(?)", []any{name}
	if schema, table, ok := strings.Cut(name, "."); ok {
		query, args = "SELECT name, type FROM pragma_table_info(?, ?)", []any{table, schema}
	}
	if d.Dialect == PostgreSQL {
		quoted, err := d.table(name)
		if err != nil {
			return c, err
		}
		query, args = `SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute
			WHERE attrelid = to_regclass($1)::oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum`, []any{quoted}
	}
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return c, fmt.Errorf("read the table's columns: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, typ string
		if err := rows.Scan(&name, &typ); err != nil {
			return c, err
		}
		c.names, c.types[name] = append(c.names, name), typ
	}
	return c, rows.Err()
}

// find is the name that the table has for a column: the same, or, if only one differs from it by upper and lower case alone, that one.
func (c columns) find(name string) (string, bool) {
	if _, ok := c.types[name]; ok {
		return name, true
	}
	found := ""
	for _, n := range c.names {
		if strings.EqualFold(n, name) {
			if found != "" {
				return "", false
			}
			found = n
		}
	}
	return found, found != ""
}

// kind is what a column's values are.
type kind int

const (
	kindText kind = iota
	kindBool
	kindSmall // 16 bits
	kindInt   // 32 bits
	kindBig   // 64 bits
	kindHuge  // uint64
	kindFloat // 32 bits
	kindReal
	kindNumber // a decimal of any length
	kindTime
	kindBytes
	kindJSON
)

// typeName is a column's type in CREATE TABLE.
func (d dialect) typeName(k kind) string {
	if d.Dialect == SQLite {
		switch k {
		case kindBool:
			return "BOOLEAN"
		case kindSmall, kindInt, kindBig, kindHuge:
			return "INTEGER"
		case kindFloat, kindReal:
			return "REAL"
		case kindTime:
			return "TIMESTAMP"
		case kindBytes:
			return "BLOB"
		}
		return "TEXT"
	}
	switch k {
	case kindBool:
		return "boolean"
	case kindSmall:
		return "smallint"
	case kindInt:
		return "integer"
	case kindBig:
		return "bigint"
	case kindHuge:
		return "numeric(20)"
	case kindFloat:
		return "real"
	case kindReal:
		return "double precision"
	case kindNumber:
		return "numeric"
	case kindTime:
		return "timestamptz"
	case kindBytes:
		return "bytea"
	case kindJSON:
		return "jsonb"
	}
	return "text"
}

// create is the statement that makes the table.
func (d dialect) create(table string, names []string, kinds []kind, key []string) string {
	var b strings.Builder
	b.WriteString("CREATE TABLE IF NOT EXISTS " + table + " (\n")
	for i, n := range names {
		fmt.Fprintf(&b, "\t%s %s", quote(n), d.typeName(kinds[i]))
		if slices.Contains(key, n) {
			b.WriteString(" NOT NULL")
		}
		if i < len(names)-1 || len(key) > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	if len(key) > 0 {
		b.WriteString("\tPRIMARY KEY (" + list(key) + ")\n")
	}
	b.WriteByte(')')
	return b.String()
}

// list is names, quoted, with commas between them.
func list(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return strings.Join(quoted, ", ")
}

// insert is the statement that writes n rows.
func (d dialect) insert(table string, names, key []string, n int) string {
	b := make([]byte, 0, 200+n*len(names)*6)
	b = append(b, "INSERT INTO "+table+" ("+list(names)+") VALUES "...)
	at := 0
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		for j := range names {
			if j == 0 {
				b = append(b, '(')
			} else {
				b = append(b, ',')
			}
			at++
			if d.Dialect == SQLite {
				b = append(b, '?')
			} else {
				b = strconv.AppendInt(append(b, '$'), int64(at), 10)
			}
		}
		b = append(b, ')')
	}
	if len(key) == 0 {
		return string(b)
	}
	b = append(b, " ON CONFLICT ("+list(key)+") DO "...)
	start := len(b)
	for _, name := range names {
		if slices.Contains(key, name) {
			continue
		}
		if len(b) == start {
			b = append(b, "UPDATE SET "...)
		} else {
			b = append(b, ", "...)
		}
		b = append(b, quote(name)+" = excluded."+quote(name)...)
	}
	if len(b) == start {
		b = append(b, "NOTHING"...)
	}
	return string(b)
}

// arg is a value as the driver is given it. PostgreSQL gets all but bytes as text: the server reads it as the column's type, whatever the item's is.
func (d dialect) arg(v any) (any, error) {
	if d.Dialect == SQLite {
		switch v := v.(type) {
		case uint64:
			if v > math.MaxInt64 {
				return nil, fmt.Errorf("%d is too large for SQLite's integers", v)
			}
			return int64(v), nil
		case float32:
			return strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64) // 0.1 stays 0.1
		case float64:
			if math.IsNaN(v) {
				return nil, nil // which SQLite would make of it anyway
			}
		case time.Time:
			// What SQLite's functions read, and its drivers; as text it sorts by time.
			return v.UTC().Format("2006-01-02 15:04:05.999999999-07:00"), nil
		case jsonText:
			return string(v), nil
		}
		return v, nil
	}
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(v, "\x00", noNUL), nil
	case jsonText:
		return withoutNUL(string(v)), nil
	case bool:
		return strconv.FormatBool(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case time.Time:
		return postgresTime(v), nil
	}
	return v, nil
}

// noNUL stands in texts for NUL, which PostgreSQL has none of.
const noNUL = "\ufffd"

// withoutNUL is JSON whose texts have no NUL.
func withoutNUL(s string) string {
	const escaped = `\u0000`
	if !strings.Contains(s, escaped) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		if s = s[i:]; strings.HasPrefix(s, escaped) {
			b.WriteString(noNUL)
			s = s[len(escaped):]
			continue
		}
		b.WriteString(s[:2])
		s = s[2:]
	}
	b.WriteString(s)
	return b.String()
}

// postgresTime has the year before 1 as PostgreSQL writes it.
func postgresTime(t time.Time) string {
	t = t.UTC()
	if y := t.Year(); y <= 0 {
		return t.AddDate(1-2*y, 0, 0).Format("2006-01-02 15:04:05.999999-07:00") + " BC"
	}
	return t.Format("2006-01-02 15:04:05.999999-07:00")
}

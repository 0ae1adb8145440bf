package feed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// table is CSV (RFC 4180), with a line of names. Its columns are Feed.Fields, or those of the file that is appended to, or those of Feed.Items, or those of the first item.
type table struct {
	object
	conf    crawl.Feed
	chosen  bool // the columns were asked for: what is in no column was not wanted
	columns []string
	known   map[string]int // the columns' places, by the names that fields have in items
	dialect dialect
	row     []string
	types   map[reflect.Type]cells
	env     *crawl.Env // nil: nobody is told
	warned  map[string]bool
}

var (
	_ crawl.FeedAppender = (*table)(nil)
	_ crawl.FeedPreparer = (*table)(nil)
)

func newTable(conf crawl.Feed) (*table, error) {
	d, err := dialectOf(conf.CSV)
	if err != nil {
		return nil, err
	}
	return &table{conf: conf, dialect: d, types: make(map[reflect.Type]cells)}, nil
}

// Prepare implements [crawl.FeedPreparer].
func (t *table) Prepare(env *crawl.Env) error {
	t.env = env
	return nil
}

func (t *table) Begin(first any) ([]byte, error) {
	if t.columns == nil {
		if err := t.choose(first); err != nil {
			return nil, err
		}
	}
	if len(t.columns) == 0 {
		if first != nil {
			return nil, errNoFields
		}
		return nil, nil
	}
	var head []byte
	if t.conf.CSV.BOM {
		head = append(head, bom...)
	}
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = t.guard(c, gjson.Result{})
	}
	return t.line(head, names), nil
}

// errNoFields is for an item that cannot say what the columns are. It is not worth an error of its own: there is nothing in it.
var errNoFields = errors.New("the item has no fields")

// choose finds the columns.
func (t *table) choose(first any) error {
	names := t.conf.Fields
	t.chosen = len(names) > 0
	if !t.chosen {
		items := t.conf.Items
		if len(items) == 0 && first != nil {
			items = []any{first}
		}
		for _, item := range items {
			b, err := t.marshal(item)
			if err != nil {
				return err
			}
			for _, name := range fieldNames(item, b) {
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	columns := make([]string, len(names))
	for i, name := range names {
		columns[i] = t.renamed(name)
	}
	t.setColumns(columns)
	return nil
}

func (t *table) renamed(name string) string {
	if to, ok := t.conf.Rename[name]; ok {
		return to
	}
	return name
}

func (t *table) setColumns(columns []string) {
	if len(columns) == 0 {
		return // the first item that has fields says which
	}
	t.columns, t.known = columns, make(map[string]int, len(columns))
	for i, c := range columns {
		if _, twice := t.known[c]; !twice {
			t.known[c] = i
		}
	}
}

func (*table) Between() []byte { return nil }
func (*table) End() []byte     { return nil }

func (t *table) Record(dst []byte, item any) ([]byte, error) {
	b, err := t.marshal(item)
	if err != nil {
		return dst, err
	}
	return t.recordJSON(dst, item, b)
}

// recordJSON implements fromJSON.
func (t *table) recordJSON(dst []byte, item any, b []byte) ([]byte, error) {
	if cap(t.row) < len(t.columns) {
		t.row = make([]string, len(t.columns))
	}
	t.row = t.row[:len(t.columns)]
	clear(t.row)
	kinds := t.cellsOf(item)
	var lost []string
	gjson.ParseBytes(b).ForEach(func(k, v gjson.Result) bool {
		name := k.String()
		i, ok := t.known[t.renamed(name)]
		switch {
		case ok:
			t.row[i] = t.guard(kinds.of(name).text(v), v)
		case !t.chosen && v.Type != gjson.Null:
			lost = append(lost, name)
		}
		return true
	})
	if len(lost) > 0 {
		t.lose(item, lost)
	}
	return t.line(dst, t.row), nil
}

// lose tells of fields that have no column, once each.
func (t *table) lose(item any, names []string) {
	if t.env == nil {
		return
	}
	t.env.Stats.Add("feedexport/dropped_fields", int64(len(names)))
	const most = 1000 // names that are remembered: a map may have ever new ones
	names = slices.DeleteFunc(names, func(name string) bool { return t.warned[name] })
	if len(names) == 0 || len(t.warned) >= most {
		return
	}
	if t.warned == nil {
		t.warned = make(map[string]bool)
	}
	for _, name := range names {
		t.warned[name] = true
	}
	t.env.Log.Warn("an item has fields that the table has no columns for: they are left out; name all columns in the feed's fields, or say the spider's Items",
		zap.String("feed", t.conf.URI), zap.Strings("fields", names), zap.String("item", fmt.Sprintf("%T", item)))
}

// cellsOf are the kinds of cells of an item's type.
func (t *table) cellsOf(item any) cells {
	rt := reflect.TypeOf(item)
	c, ok := t.types[rt]
	if !ok {
		c = cellsOf(rt)
		t.types[rt] = c
	}
	return c
}

// guard puts an apostrophe before what a spreadsheet would run.
func (t *table) guard(cell string, v gjson.Result) string {
	if t.conf.CSV.GuardFormulas && v.Type != gjson.Number && dangerous(cell) {
		return "'" + cell
	}
	return cell
}

// dangerous reports whether a text needs a guard, or looks like one that has it: see https://owasp.org/www-community/attacks/CSV_Injection
func dangerous(cell string) bool {
	first, _ := utf8.DecodeRuneInString(cell)
	if cell == "" || !strings.ContainsRune("=+-@＝＋－＠\t\r'", first) {
		return false
	}
	return !(cell[0] == '-' && gjson.Valid(cell)) // a number
}

// unguarded takes the guard away again.
func unguarded(cell string, guarded bool) string {
	if guarded && strings.HasPrefix(cell, "'") && dangerous(cell[1:]) {
		return cell[1:]
	}
	return cell
}

// line appends a line of cells.
func (t *table) line(dst []byte, row []string) []byte {
	if len(row) == 1 && row[0] == "" {
		dst = append(dst, `""`...) // an empty line would be no row
	}
	for i, cell := range row {
		if i > 0 {
			dst = utf8.AppendRune(dst, t.dialect.delimiter)
		}
		dst = t.dialect.cell(dst, cell)
	}
	return append(dst, t.dialect.end...)
}

// Append takes the columns that the file has.
func (t *table) Append(r io.ReaderAt, size int64) (crawl.FeedEnd, error) {
	columns, err := newRows(io.NewSectionReader(r, 0, size), t.dialect).next()
	if err != nil {
		return crawl.FeedEnd{}, fmt.Errorf("the file's first line is no CSV: overwrite it (-O), or append to another file: %w", err)
	}
	for i := range columns {
		columns[i] = unguarded(columns[i], t.conf.CSV.GuardFormulas)
	}
	t.chosen = len(t.conf.Fields) > 0
	t.setColumns(columns)
	end, err := afterLines(r, size)
	if end.First != nil {
		end.First = []byte(t.dialect.end)
	}
	return end, err
}

// bom is the byte order mark of UTF-8.
const bom = "\ufeff"

// dialect is how cells and lines are told apart.
type dialect struct {
	delimiter rune
	end       string // of a line
}

func dialectOf(conf crawl.CSVFeed) (dialect, error) {
	d := dialect{delimiter: ',', end: "\n"}
	if conf.CRLF {
		d.end = "\r\n"
	}
	if conf.Delimiter != "" {
		r, n := utf8.DecodeRuneInString(conf.Delimiter)
		if n != len(conf.Delimiter) || r == utf8.RuneError || strings.ContainsRune("\"\r\n\ufeff", r) {
			return d, fmt.Errorf("the delimiter %q is not one character other than a quotation mark and an end of line", conf.Delimiter)
		}
		d.delimiter = r
	}
	return d, nil
}

// cell appends a cell, in quotation marks where it needs them. Spaces at its ends are kept from programs that would cut them off.
func (d dialect) cell(dst []byte, s string) []byte {
	needs := s != "" && (strings.ContainsAny(s, "\"\r\n") || strings.ContainsRune(s, d.delimiter) || s[0] == ' ' || s[0] == '\t' || s[len(s)-1] == ' ' ||
		strings.HasPrefix(s, bom) || s == `\.`) // what ends the input of PostgreSQL's COPY
	if !needs {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

// rows reads what line has written, and what others write: cells are taken as they are, with the ends of lines that are in them (which encoding/csv changes).
type rows struct {
	in      *lineReader
	dialect dialect
	first   bool
}

func newRows(r io.Reader, d dialect) *rows {
	return &rows{in: newLineReader(r), dialect: d, first: true}
}

// next is the next row that is not empty, or io.EOF.
func (r *rows) next() ([]string, error) {
	for {
		line, err := r.in.line()
		if err != nil {
			return nil, err
		}
		if r.first {
			r.first = false
			line = bytes.TrimPrefix(line, []byte(bom))
		}
		if rest := withoutEnd(line); len(rest) > 0 {
			return r.split(line)
		}
	}
}

// split cuts a line into cells, and reads on while one is open.
func (r *rows) split(line []byte) ([]string, error) {
	start := r.in.number
	var row []string
	delimiter := []byte(string(r.dialect.delimiter))
	for {
		if len(line) == 0 || line[0] != '"' {
			plain, rest, more := bytes.Cut(line, delimiter)
			if !more {
				plain = withoutEnd(plain)
			}
			if bytes.IndexByte(plain, '"') >= 0 {
				return nil, fmt.Errorf("line %d: bare \" in the cell %q", r.in.number, plain)
			}
			row = append(row, string(plain))
			if !more {
				return row, nil
			}
			line = rest
			continue
		}
		var cell []byte
		line = line[1:]
		for {
			i := bytes.IndexByte(line, '"')
			if i < 0 {
				cell = append(cell, line...)
				next, err := r.in.line()
				if errors.Is(err, io.EOF) {
					return nil, fmt.Errorf("line %d: a quoted cell is not closed", start)
				} else if err != nil {
					return nil, err
				}
				line = next
				continue
			}
			cell = append(cell, line[:i]...)
			line = line[i+1:]
			if len(line) == 0 || line[0] != '"' {
				break
			}
			cell = append(cell, '"')
			line = line[1:]
		}
		row = append(row, string(cell))
		if len(withoutEnd(line)) == 0 {
			return row, nil
		}
		rest, ok := bytes.CutPrefix(line, delimiter)
		if !ok {
			return nil, fmt.Errorf("line %d: %q stands behind a quoted cell", r.in.number, withoutEnd(line))
		}
		line = rest
	}
}

func withoutEnd(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

// jsonText is a text as JSON, with < > & as they are.
func jsonText(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a text has no error
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

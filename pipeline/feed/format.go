package feed

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/tulle-go/tulle/crawl"
)

// formats are the built-in ones.
func formats() map[string]crawl.FeedFormat {
	return map[string]crawl.FeedFormat{
		"jsonl": func(f crawl.Feed) (crawl.FeedEncoder, error) {
			return &jsonLines{object: object{fields: f.Fields}}, nil
		},
		"json": func(f crawl.Feed) (crawl.FeedEncoder, error) { return &jsonArray{object{fields: f.Fields}}, nil },
		"csv":  func(f crawl.Feed) (crawl.FeedEncoder, error) { return &table{columns: f.Fields}, nil },
	}
}

// jsonLines is one JSON object a line.
type jsonLines struct{ object }

func (*jsonLines) Begin(any) ([]byte, error) { return nil, nil }
func (*jsonLines) Between() []byte           { return nil }
func (*jsonLines) End() []byte               { return nil }

func (j *jsonLines) Record(dst []byte, item any) ([]byte, error) {
	dst, err := j.append(dst, item)
	return append(dst, '\n'), err
}

func (*jsonLines) Append(r io.ReaderAt, size int64) (crawl.FeedEnd, error) {
	return afterLines(r, size)
}

// afterLines goes on at the end. A line that was cut short is left as it is, and ended.
func afterLines(r io.ReaderAt, size int64) (crawl.FeedEnd, error) {
	end := crawl.FeedEnd{Offset: size, Records: true}
	last, err := tail(r, size, 1)
	if err == nil && string(last) != "\n" {
		end.First = []byte("\n")
	}
	return end, err
}

// jsonArray is one array of objects, one a line.
type jsonArray struct{ object }

func (*jsonArray) Begin(any) ([]byte, error) { return []byte("["), nil }
func (*jsonArray) Between() []byte           { return []byte(",") }
func (*jsonArray) End() []byte               { return []byte("\n]\n") }

func (j *jsonArray) Record(dst []byte, item any) ([]byte, error) {
	return j.append(append(dst, '\n'), item)
}

// Append goes on before the closing bracket.
func (*jsonArray) Append(r io.ReaderAt, size int64) (crawl.FeedEnd, error) {
	const look = 4 << 10
	head := make([]byte, min(look, size))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return crawl.FeedEnd{}, err
	}
	end, err := tail(r, size, look)
	if err != nil {
		return crawl.FeedEnd{}, err
	}
	inside, opened := bytes.CutPrefix(bytes.TrimSpace(head), []byte("["))
	body, closed := bytes.CutSuffix(bytes.TrimSpace(end), []byte("]"))
	if !opened || !closed {
		return crawl.FeedEnd{}, errors.New("the file is no JSON array: overwrite it (-O), or append to another file")
	}
	offset := size - int64(len(end)) + int64(bytes.LastIndexByte(end, ']')) - int64(len(body)-len(bytes.TrimRight(body, space)))
	empty := int64(len(head)) == size && string(bytes.TrimSpace(inside)) == "]"
	return crawl.FeedEnd{Offset: offset, Records: !empty}, nil
}

// space is what may stand between values in JSON.
const space = " \t\r\n"

// tail reads up to n last bytes.
func tail(r io.ReaderAt, size, n int64) ([]byte, error) {
	b := make([]byte, min(n, size))
	if _, err := r.ReadAt(b, size-int64(len(b))); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

// table is CSV (RFC 4180), with a line of names. Its columns are Feed.Fields, or those of the file that is appended to, or those of the first item.
type table struct {
	object
	columns []string
	values  map[string]string
	row     []string
	text    bytes.Buffer
	csv     *csv.Writer // to text
}

func (t *table) Begin(first any) ([]byte, error) {
	if len(t.columns) == 0 && first != nil {
		b, err := t.marshal(first)
		if err != nil {
			return nil, err
		}
		t.columns = fieldNames(first, b)
	}
	if len(t.columns) == 0 {
		return nil, nil
	}
	return t.line(nil, t.columns)
}

func (*table) Between() []byte { return nil }
func (*table) End() []byte     { return nil }

func (t *table) Record(dst []byte, item any) ([]byte, error) {
	b, err := t.marshal(item)
	if err != nil {
		return dst, err
	}
	if t.values == nil {
		t.values = make(map[string]string, len(t.columns))
	}
	clear(t.values)
	gjson.ParseBytes(b).ForEach(func(k, v gjson.Result) bool {
		t.values[k.String()] = cell(v)
		return true
	})
	t.row = t.row[:0]
	for _, c := range t.columns {
		t.row = append(t.row, t.values[c])
	}
	return t.line(dst, t.row)
}

// cell is a value in a table: text and numbers as they are, lists of plain values joined by commas as Scrapy does, anything else as JSON.
func cell(v gjson.Result) string {
	if !v.IsArray() {
		return plainText(v)
	}
	list := v.Array()
	parts := make([]string, len(list))
	for i, e := range list {
		if e.IsArray() || e.IsObject() {
			return v.Raw
		}
		parts[i] = plainText(e)
	}
	return strings.Join(parts, ",")
}

func plainText(v gjson.Result) string {
	if v.Type == gjson.Number {
		return v.Raw // 1e300 is not written out
	}
	return v.String()
}

func (t *table) line(dst []byte, row []string) ([]byte, error) {
	if len(row) == 1 && row[0] == "" {
		return append(dst, "\"\"\n"...), nil // an empty line would be no row
	}
	if t.csv == nil {
		t.csv = csv.NewWriter(&t.text)
	}
	t.text.Reset()
	if err := t.csv.Write(row); err != nil {
		return dst, err
	}
	t.csv.Flush()
	return append(dst, t.text.Bytes()...), t.csv.Error()
}

// Append takes the columns that the file has.
func (t *table) Append(r io.ReaderAt, size int64) (crawl.FeedEnd, error) {
	columns, err := csv.NewReader(io.NewSectionReader(r, 0, size)).Read()
	if err != nil {
		return crawl.FeedEnd{}, fmt.Errorf("the file's first line is no CSV: overwrite it (-O), or append to another file: %w", err)
	}
	columns[0] = strings.TrimPrefix(columns[0], "\ufeff") // what some spreadsheets put first
	t.columns = columns
	return afterLines(r, size)
}

// object turns items into JSON objects.
type object struct {
	fields []string // those that are written, in this order; none: all
	buf    bytes.Buffer
	enc    *json.Encoder // to buf
}

// append appends an item.
func (o *object) append(dst []byte, item any) ([]byte, error) {
	b, err := o.marshal(item)
	if err != nil || len(o.fields) == 0 {
		return append(dst, b...), err
	}
	values := make(map[string]string, len(o.fields))
	gjson.ParseBytes(b).ForEach(func(k, v gjson.Result) bool {
		values[k.String()] = v.Raw
		return true
	})
	dst = append(dst, '{')
	first := true
	for _, f := range o.fields {
		raw, ok := values[f]
		if !ok {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		name, err := o.marshal(f)
		if err != nil {
			return dst, err
		}
		dst = append(dst, name...)
		dst = append(dst, ':')
		dst = append(dst, raw...)
	}
	return append(dst, '}'), nil
}

// marshal is a value as JSON, with < > & as they are. The result is valid until the next call.
func (o *object) marshal(v any) ([]byte, error) {
	if o.enc == nil {
		o.enc = json.NewEncoder(&o.buf)
		o.enc.SetEscapeHTML(false)
	}
	o.buf.Reset()
	if err := o.enc.Encode(v); err != nil {
		return nil, fmt.Errorf("item of type %T: %w", v, err)
	}
	return bytes.TrimSuffix(o.buf.Bytes(), []byte("\n")), nil
}

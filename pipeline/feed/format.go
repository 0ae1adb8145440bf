package feed

import (
	"bytes"
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
		"jsonl": func(f crawl.Feed) (crawl.FeedEncoder, error) { return &jsonLines{newObject(f)}, nil },
		"json": func(f crawl.Feed) (crawl.FeedEncoder, error) {
			return &jsonArray{object: newObject(f), indent: strings.Repeat(" ", f.Indent)}, nil
		},
		"csv": func(f crawl.Feed) (crawl.FeedEncoder, error) { return newTable(f) },
		"xml": func(f crawl.Feed) (crawl.FeedEncoder, error) { return newMarkup(f) },
	}
}

// jsonLines is one JSON object a line.
type jsonLines struct{ object }

func (*jsonLines) Begin(any) ([]byte, error) { return nil, nil }
func (*jsonLines) Between() []byte           { return nil }
func (*jsonLines) End() []byte               { return nil }

func (j *jsonLines) Record(dst []byte, item any) ([]byte, error) {
	b, err := j.marshal(item)
	if err != nil {
		return dst, err
	}
	return j.recordJSON(dst, item, b)
}

func (j *jsonLines) recordJSON(dst []byte, _ any, b []byte) ([]byte, error) {
	dst, err := j.append(dst, b)
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

// jsonArray is one array of objects, one a line, or indented.
type jsonArray struct {
	object
	indent string
	flat   []byte
	text   bytes.Buffer
}

func (*jsonArray) Begin(any) ([]byte, error) { return []byte("["), nil }
func (*jsonArray) Between() []byte           { return []byte(",") }
func (*jsonArray) End() []byte               { return []byte("\n]\n") }

func (j *jsonArray) Record(dst []byte, item any) ([]byte, error) {
	b, err := j.marshal(item)
	if err != nil {
		return dst, err
	}
	return j.recordJSON(dst, item, b)
}

func (j *jsonArray) recordJSON(dst []byte, _ any, b []byte) (_ []byte, err error) {
	if dst = append(dst, '\n'); j.indent == "" {
		return j.append(dst, b)
	}
	if j.flat, err = j.append(j.flat[:0], b); err != nil {
		return dst, err
	}
	j.text.Reset()
	if err := json.Indent(&j.text, j.flat, j.indent, j.indent); err != nil {
		return dst, err
	}
	return append(append(dst, j.indent...), j.text.Bytes()...), nil
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

// object turns items into JSON objects.
type object struct {
	fields []string          // those that are written, in this order; none: all
	names  map[string][]byte // what is written for a field's name, with its colon, if that is not the name
	values map[string]string
	buf    bytes.Buffer
	enc    *json.Encoder // to buf
}

func newObject(conf crawl.Feed) object {
	o := object{fields: conf.Fields, names: make(map[string][]byte)}
	for _, f := range conf.Fields {
		o.names[f] = append(jsonText(f), ':')
	}
	for f, to := range conf.Rename {
		o.names[f] = append(jsonText(to), ':')
	}
	return o
}

// append appends an item with the fields that are wanted, by their new names.
func (o *object) append(dst, encoded []byte) ([]byte, error) {
	if len(o.names) == 0 || encoded[0] != '{' {
		return append(dst, encoded...), nil
	}
	start := len(dst)
	dst = append(dst, '{')
	field := func(name, raw string) {
		if len(dst) > start+1 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, name...), raw...)
	}
	item := gjson.ParseBytes(encoded)
	if len(o.fields) == 0 {
		item.ForEach(func(k, v gjson.Result) bool {
			if to, ok := o.names[k.String()]; ok {
				field(string(to), v.Raw)
			} else {
				field(k.Raw+":", v.Raw)
			}
			return true
		})
		return append(dst, '}'), nil
	}
	if o.values == nil {
		o.values = make(map[string]string, len(o.fields))
	}
	clear(o.values)
	item.ForEach(func(k, v gjson.Result) bool {
		o.values[k.String()] = v.Raw
		return true
	})
	for _, f := range o.fields {
		if raw, ok := o.values[f]; ok {
			field(string(o.names[f]), raw)
		}
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

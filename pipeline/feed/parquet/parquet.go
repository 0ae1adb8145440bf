package parquet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"reflect"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/gzip"
	"github.com/parquet-go/parquet-go/compress/snappy"
	"github.com/parquet-go/parquet-go/compress/uncompressed"
	"github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/tidwall/gjson"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/internal/jsonfield"
)

// Options are about files. The zero value is what [Format] has.
type Options struct {
	// Codec compresses what is in the file: "zstd", "snappy", "gzip" or "none". Default zstd. The feed's Compress wins over it.
	Codec string
	// RowGroupRows is how many items a row group has at most, which is what readers read at once. Default 1,000,000.
	RowGroupRows int
	// RowGroupBytes is about how many bytes of items, as JSON, a row group has at most. Default 32 MiB. Memory grows with it.
	RowGroupBytes int64
}

// Format makes an encoder with the usual options. It is a [crawl.FeedFormat].
func Format(feed crawl.Feed) (crawl.FeedEncoder, error) { return Options{}.Format(feed) }

// Format makes an encoder with these options.
func (o Options) Format(feed crawl.Feed) (crawl.FeedEncoder, error) {
	if feed.Compress != "" {
		o.Codec = feed.Compress
	}
	if o.RowGroupRows <= 0 {
		o.RowGroupRows = 1_000_000
	}
	if o.RowGroupBytes <= 0 {
		o.RowGroupBytes = 32 << 20
	}
	e := &encoder{feed: feed, options: o}
	e.enc = json.NewEncoder(&e.buf)
	e.enc.SetEscapeHTML(false)
	if _, err := o.codec(feed.Level); err != nil {
		return nil, err
	}
	for _, item := range feed.Items {
		if err := e.take(item); err != nil {
			return nil, err
		}
	}
	h, err := e.schema()
	if err != nil {
		return nil, err
	}
	if len(h.Columns) == 0 {
		// The items will say what columns there are, but those that are asked for must have a name each.
		if _, err := choose(named(feed.Fields), nil, feed.Rename); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// named are columns of which nothing but the names is known.
func named(fields []string) []*node {
	columns := make([]*node, len(fields))
	for i, f := range fields {
		columns[i] = &node{Name: f, Key: f, Optional: true}
	}
	return columns
}

// codec is the library's. level is that of the feed, in zstd's and gzip's own numbers.
func (o Options) codec(level int) (compress.Codec, error) {
	switch o.Codec {
	case "", "zstd":
		c := new(zstd.Codec)
		switch {
		case level > 10:
			c.Level = zstd.SpeedBestCompression
		case level > 5:
			c.Level = zstd.SpeedBetterCompression
		case level > 2 || level == 0:
			c.Level = zstd.SpeedDefault
		default:
			c.Level = zstd.SpeedFastest
		}
		return c, nil
	case "snappy":
		return new(snappy.Codec), nil
	case "gzip":
		if level > gzip.BestCompression {
			return nil, fmt.Errorf("level is %d: gzip has 1 to 9", level)
		}
		if level == 0 {
			level = gzip.DefaultCompression
		}
		return &gzip.Codec{Level: level}, nil
	case "none":
		return new(uncompressed.Codec), nil
	}
	return nil, fmt.Errorf("compress is %q: a Parquet file wants zstd, snappy, gzip or none", o.Codec)
}

// encoder keeps items as JSON. Its records are the columns, as Begin knows them, and then an object an item.
type encoder struct {
	feed    crawl.Feed
	options Options
	env     *crawl.Env // nil: nobody is warned
	item    reflect.Type
	buf     bytes.Buffer
	enc     *json.Encoder // to buf
}

var (
	_ crawl.FeedBuilder  = (*encoder)(nil)
	_ crawl.FeedPreparer = (*encoder)(nil)
)

// Prepare implements [crawl.FeedPreparer].
func (e *encoder) Prepare(env *crawl.Env) error {
	e.env = env
	return nil
}

// take holds an item's type against that of the others.
func (e *encoder) take(item any) error {
	t := reflect.TypeOf(item)
	if t == nil {
		return errors.New("an item is nil")
	}
	t, _ = pointed(t)
	if e.item == nil {
		e.item = t
	}
	if t != e.item {
		return fmt.Errorf("a Parquet file has items of one type, and this one has %s, not %s: give each type a feed of its own by its types: %s, and %s",
			e.item, t, typeName(e.item), typeName(t))
	}
	return nil
}

// typeName is what Feed.Types call a type.
func typeName(t reflect.Type) string {
	if t.Kind() == reflect.Map {
		return "map"
	}
	return t.Name()
}

// header stands before the records.
type header struct {
	// Columns are those of the items' type. None: the items say.
	Columns []*node `json:"columns,omitempty"`
}

// schema is what is known of the columns before the items.
func (e *encoder) schema() (header, error) {
	if e.item == nil || e.item.Kind() != reflect.Struct || jsonfield.WritesJSON(e.item) || jsonfield.WritesText(e.item) {
		return header{}, nil
	}
	columns, err := choose(fieldsOf(e.item, nil), e.feed.Fields, e.feed.Rename)
	if err != nil {
		return header{}, fmt.Errorf("%s: %w", e.item, err)
	}
	if len(columns) == 0 {
		return header{}, fmt.Errorf("%s has no fields that could be columns", e.item)
	}
	return header{columns}, nil
}

func (e *encoder) Begin(first any) ([]byte, error) {
	if first != nil {
		if err := e.take(first); err != nil {
			return nil, err
		}
	}
	h, err := e.schema()
	if err != nil {
		return nil, err
	}
	return json.Marshal(h)
}

func (e *encoder) Record(dst []byte, item any) ([]byte, error) {
	if err := e.take(item); err != nil {
		return dst, err
	}
	e.buf.Reset()
	if err := e.enc.Encode(item); err != nil {
		return dst, fmt.Errorf("item of type %T: %w", item, err)
	}
	record := bytes.TrimSuffix(e.buf.Bytes(), []byte("\n"))
	if record[0] != '{' {
		return dst, fmt.Errorf("item of type %T: it has no fields: in JSON it is %.60s", item, record)
	}
	return append(dst, record...), nil
}

func (*encoder) Between() []byte { return nil }
func (*encoder) End() []byte     { return nil }

// Build implements [crawl.FeedBuilder].
func (e *encoder) Build(w io.Writer, records iter.Seq2[[]byte, error]) error {
	columns, err := e.columns(records)
	if err != nil {
		return err
	}
	s, err := schema(columns)
	if err != nil {
		return err
	}
	codec, err := e.options.codec(e.feed.Level)
	if err != nil {
		return err
	}
	root := &node{Kind: kindGroup, Fields: columns}
	shred := newShredder(root)
	out := &writer{
		file:     parquet.NewGenericWriter[any](w, s, parquet.Compression(codec), parquet.PageBufferSize(pageSize(len(shred.values)))),
		shredder: shred, options: e.options,
	}
	first := true
	for record, err := range records {
		switch {
		case err != nil:
			return err
		case first:
			first = false
		default:
			if err := out.add(record); err != nil {
				return err
			}
		}
	}
	if err := out.close(); err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(shred.misfits)) {
		m := shred.misfits[path]
		e.warn("values do not fit in a column: they are left out", zap.String("field", path), zap.String("column", string(m.kind)), zap.Int("values", m.count),
			zap.String("first", m.first), zap.Error(m.err))
	}
	return nil
}

// pageSize is how many bytes a page of a column has: less when there are many columns, all of which are in memory at once.
func pageSize(columns int) int {
	const least, most, all = 16 << 10, 256 << 10, 8 << 20
	return min(most, max(least, all/columns))
}

// columns are those that the header says, or those that the items have.
func (e *encoder) columns(records iter.Seq2[[]byte, error]) ([]*node, error) {
	var h header
	first := true
	found := inference{only: e.feed.Fields}
	for record, err := range records {
		switch {
		case err != nil:
			return nil, err
		case first:
			first = false
			if err := json.Unmarshal(record, &h); err != nil {
				return nil, fmt.Errorf("read the columns: %w", err)
			}
			if len(h.Columns) > 0 {
				return h.Columns, nil
			}
		default:
			found.add(record)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(found.widened)) {
		e.warn("a field has values of several types", zap.String("field", path), zap.String("values", found.widened[path]))
	}
	columns := found.root.Fields
	if len(e.feed.Fields) > 0 {
		columns = named(e.feed.Fields)
		for i, n := range columns {
			if at, ok := found.root.byKey[n.Key]; ok { // else no item has had it
				columns[i] = found.root.Fields[at]
			}
		}
	}
	if len(columns) == 0 {
		columns = []*node{{Name: "empty", Key: "", Optional: true}} // readers want a column
	}
	for _, n := range columns {
		settle(n)
	}
	return e.rename(columns, found.rest), nil
}

// rename gives columns the names that the feed wants. The items are there: where that cannot be, a column keeps the name that it has. With rest there is one more, for all
// fields that have no column.
func (e *encoder) rename(columns []*node, rest bool) []*node {
	for _, n := range columns {
		if to, ok := e.feed.Rename[n.Key]; ok {
			n.Name = to
		}
	}
	for n := twice(columns); n != nil; n = twice(columns) {
		e.warn("two columns would have one name: one keeps its own", zap.String("field", n.Key), zap.String("name", n.Name))
		n.Name = n.Key
	}
	if rest {
		n := &node{Name: "other_fields", Kind: kindJSON, Optional: true, isRest: true}
		for slices.ContainsFunc(columns, func(c *node) bool { return c.Name == n.Name }) {
			n.Name += "_"
		}
		columns = append(columns, n)
		e.warn("the items have too many different fields: those that came later are written to one column, as JSON; choose some with the feed's fields",
			zap.Int("columns", mostColumns), zap.String("column", n.Name))
	}
	return columns
}

func (e *encoder) warn(what string, fields ...zap.Field) {
	if e.env != nil {
		e.env.Log.Warn(what, append(fields, zap.String("feed", e.feed.URI))...)
	}
}

// writer writes rows, some at a time.
type writer struct {
	file     *parquet.GenericWriter[any]
	shredder *shredder
	options  Options
	batch    []parquet.Row
	rows     int   // in the row group, and in the batch
	bytes    int64 // of their items
}

func (w *writer) add(record []byte) error {
	n := len(w.batch)
	if n < cap(w.batch) {
		w.batch = w.batch[:n+1]
	} else {
		w.batch = append(w.batch, nil)
	}
	w.batch[n] = w.shredder.row(w.batch[n][:0], gjson.ParseBytes(record))
	w.rows++
	w.bytes += int64(len(record))
	full := w.rows >= w.options.RowGroupRows || w.bytes >= w.options.RowGroupBytes
	const together, bytesTogether = 64, 1 << 20
	if full || len(w.batch) >= together || len(w.shredder.text) >= bytesTogether {
		if err := w.write(); err != nil {
			return err
		}
	}
	if full {
		w.rows, w.bytes = 0, 0
		return w.file.Flush()
	}
	return nil
}

func (w *writer) write() error {
	_, err := w.file.WriteRows(w.batch)
	w.batch, w.shredder.text = w.batch[:0], w.shredder.text[:0]
	return err
}

func (w *writer) close() error {
	if err := w.write(); err != nil {
		return err
	}
	return w.file.Close()
}

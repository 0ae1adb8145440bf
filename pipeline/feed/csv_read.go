package feed

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

var (
	timeType   = reflect.TypeFor[time.Time]()
	numberType = reflect.TypeFor[json.Number]()
)

// ReadCSV reads a CSV feed, row by row, into items of the type that it was written from, or of another struct or map with fields of the columns' names: columns
// without a field are skipped, and fields without a column, or with an empty cell, stay as they are in the zero value: an embedded pointer to a struct all of whose cells
// are empty is nil, also if the item had one with nothing in it. conf is that of the feed. What it cannot read
// ends it with an error that says the line; a row that does not fit the type is an error too, but the next one is read if the caller goes on.
//
//	for book, err := range feed.ReadCSV[Book](f, crawl.CSVFeed{}) { … }
func ReadCSV[T any](r io.Reader, conf crawl.CSVFeed) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		d, err := dialectOf(conf)
		if err != nil {
			yield(none, err)
			return
		}
		rows, kinds := newRows(r, d), cellsOf(reflect.TypeFor[T]())
		columns, err := rows.next()
		for i := range columns {
			columns[i] = unguarded(columns[i], conf.GuardFormulas)
		}
		for err == nil {
			var row []string
			if row, err = rows.next(); err != nil {
				break
			}
			item, bad := readRow[T](columns, row, kinds, conf.GuardFormulas)
			if bad != nil {
				bad = fmt.Errorf("line %d: %w", rows.in.number, bad)
			}
			if !yield(item, bad) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(none, err)
		}
	}
}

func readRow[T any](columns, row []string, kinds cells, guarded bool) (T, error) {
	var item T
	if len(row) != len(columns) {
		return item, fmt.Errorf("the row has %d cells, and there are %d columns", len(row), len(columns))
	}
	fields := make(map[string]json.RawMessage, len(row))
	for i, s := range row {
		kind, ok := kinds[columns[i]]
		if !ok && kinds != nil {
			continue
		}
		s = unguarded(s, guarded)
		if s == "" {
			continue
		}
		raw := kind.json(s)
		if !json.Valid(raw) {
			return item, fmt.Errorf("column %q: %q is no value of its field", columns[i], s)
		}
		fields[columns[i]] = raw
	}
	b, err := json.Marshal(fields)
	if err == nil {
		err = json.Unmarshal(b, &item)
	}
	return item, err
}

// lineReader reads lines with their ends, and counts them.
type lineReader struct {
	in     *bufio.Reader
	number int
	long   bytes.Buffer
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{in: bufio.NewReader(r)}
}

// line is valid until the next call. The last one may have no end.
func (l *lineReader) line() ([]byte, error) {
	b, err := l.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		l.long.Reset()
		for errors.Is(err, bufio.ErrBufferFull) {
			l.long.Write(b)
			b, err = l.in.ReadSlice('\n')
		}
		l.long.Write(b)
		b = l.long.Bytes()
	}
	if len(b) > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	if err == nil {
		l.number++
	}
	return b, err
}

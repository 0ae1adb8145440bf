package spiders

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// urlRow is a line of a list of addresses.
type urlRow struct {
	line, endLine int   // the first and the last of its lines
	end           int64 // where the next one begins, in bytes of text
	url           string
	data          []byte // the row as an object, nil if it has none
	err           error  // why it has no address
}

// rows reads the list from a place on, until its end or until yield returns false.
func (u *urlList) rows(ctx context.Context, from urlCursor, yield func(urlRow) bool) error {
	switch u.format() {
	case "csv", "tsv":
		return u.table(ctx, from, yield)
	}
	t, err := u.open(ctx, from)
	if err != nil {
		return err
	}
	defer t.close()
	row := u.textRow
	if u.format() == "jsonl" {
		row = u.jsonRow
	}
	for l, err := range lines(t.Reader) {
		if err != nil {
			return fmt.Errorf("line %d: %w", from.Line+l.number+1, err)
		}
		r := urlRow{line: from.Line + l.number, endLine: from.Line + l.number, end: from.Offset + l.end}
		if l.long {
			r.err = fmt.Errorf("it has more than %d bytes", maxToken)
		} else if !row(l.text, &r) {
			continue
		}
		if !yield(r) {
			return nil
		}
	}
	return nil
}

// textRow reports false for a line that is none.
func (u *urlList) textRow(text string, r *urlRow) bool {
	r.url = text
	return text != "" && text[0] != '#'
}

func (u *urlList) jsonRow(text string, r *urlRow) bool {
	switch {
	case text == "":
		return false
	case !json.Valid([]byte(text)): // gjson.Valid has no limit to the depth
		r.err = fmt.Errorf("it is not JSON: %.40q", text)
		return true
	}
	value := gjson.Get(text, u.field())
	if value.Type != gjson.String || strings.TrimSpace(value.Str) == "" {
		r.err = fmt.Errorf("it has no text at %q", u.field())
		return true
	}
	r.url, r.data = strings.TrimSpace(value.Str), []byte(text)
	return true
}

// openedText is an opened list.
type openedText struct {
	*bufio.Reader
	close func()
}

// open opens the list at a place.
func (u *urlList) open(ctx context.Context, at urlCursor) (*openedText, error) {
	src, err := u.source(ctx)
	if err != nil {
		return nil, err
	}
	t, err := openText(ctx, src, "", 0)
	if err == nil {
		err = skipTo(src, t, at.Offset)
	}
	if err != nil {
		_ = src.Close() // it was only read
		return nil, err
	}
	return &openedText{t.Reader, func() { _ = src.Close() }}, nil
}

func (u *urlList) source(ctx context.Context) (io.ReadCloser, error) {
	switch {
	case u.Open != nil:
		return u.Open(ctx)
	case u.isStdin():
		return piped(ctx, u.in), nil
	}
	return os.Open(u.Path)
}

// piped reads r, which may block for ever, until ctx ends. The goroutine ends then, or when what it has begun to read arrives.
func piped(ctx context.Context, r io.Reader) io.ReadCloser {
	pr, pw := io.Pipe()
	unwatch := context.AfterFunc(ctx, func() { _ = pr.CloseWithError(ctx.Err()) })
	go func() {
		defer unwatch()
		_, err := io.Copy(pw, r)
		_ = pw.CloseWithError(err) // which never fails
	}()
	return pr
}

var errChanged = errors.New("it is not the list that the job was reading: no line begins where it left off")

// skipTo goes to a place that a row ended at.
func skipTo(src io.Reader, t *text, offset int64) error {
	if offset == 0 {
		return nil
	}
	if seeker, ok := src.(io.Seeker); ok && t.seekable {
		if _, err := seeker.Seek(t.skipped+offset-1, io.SeekStart); err != nil {
			return err
		}
		t.Reset(src)
	} else if n, err := io.CopyN(io.Discard, t, offset-1); err == io.EOF && n < offset-1 {
		return errChanged
	} else if err != nil {
		return err
	}
	switch c, err := t.ReadByte(); {
	case err == io.EOF:
		return errChanged
	case err != nil || c == '\n':
		return err
	}
	switch next, err := t.Peek(1); { // It was the last, without a line's end.
	case err == io.EOF || err == nil && (next[0] == '\n' || next[0] == '\r'):
		return nil
	case err != nil:
		return err
	}
	return errChanged
}

// table reads the rows of a table.
func (u *urlList) table(ctx context.Context, from urlCursor, yield func(urlRow) bool) error {
	t, err := u.open(ctx, urlCursor{})
	if err != nil {
		return err
	}
	defer func() { t.close() }()
	c, base := u.newTable(t.Reader), urlCursor{}
	header, column, err := u.header(c)
	if err != nil {
		return err
	}
	if from.Offset > 0 {
		t.close()
		if t, err = u.open(ctx, from); err != nil {
			return err
		}
		c, base = u.newTable(t.Reader), from
	}
	for {
		record, err := c.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", base.Line+c.lastLine+1, err)
		}
		r := urlRow{line: base.Line + c.firstLine, endLine: base.Line + c.lastLine, end: base.Offset + c.InputOffset()}
		if column < len(record) {
			r.url = strings.TrimSpace(record[column])
		} else {
			r.err = fmt.Errorf("it has %d columns, and the address is in column %d", len(record), column+1)
		}
		if u.WithRow && r.err == nil {
			if r.data, err = rowData(header, record); err != nil {
				return err
			}
		}
		if !yield(r) {
			return nil
		}
	}
}

// numbered is the index of the column that holds the address, in a table without a header.
func (u *urlList) numbered() (int, error) {
	n, err := strconv.Atoi(u.field())
	if u.NoHeader && (err != nil || n < 1) {
		return 0, fmt.Errorf("field %q: columns without a header have numbers, from 1", u.field())
	}
	return n - 1, nil
}

// header reads a table's header, if it has one, and says in which column the address is.
func (u *urlList) header(c *table) (names []string, column int, err error) {
	if u.NoHeader {
		column, err = u.numbered()
		return nil, column, err
	}
	record, err := c.next()
	if err == io.EOF {
		return nil, 0, errors.New("it is empty: it has no header")
	}
	if err != nil {
		return nil, 0, fmt.Errorf("header: %w", err)
	}
	column = -1
	for i, name := range record {
		name = strings.TrimSpace(name)
		names = append(names, name)
		if strings.EqualFold(name, u.field()) && column < 0 {
			column = i
		}
	}
	if column < 0 {
		return nil, 0, fmt.Errorf("it has no column %q (columns: %.500s)", u.field(), strings.Join(names, ", "))
	}
	return names, column, nil
}

// rowData is a row as an object. Columns without a name are called by their numbers.
func rowData(header, record []string) ([]byte, error) {
	row := make(map[string]string, len(record))
	for i, value := range record {
		name := strconv.Itoa(i + 1)
		if i < len(header) && header[i] != "" {
			name = header[i]
		}
		row[name] = value
	}
	return json.Marshal(row)
}

// table reads rows, each of at most maxToken bytes or so: a quote that is never closed would take all that is left into one.
type table struct {
	*csv.Reader
	in                  *bounded
	firstLine, lastLine int // of the row that was read last, counted from where it was opened
}

func (u *urlList) newTable(r io.Reader) *table {
	in := &bounded{r: r, left: maxToken, most: maxToken}
	c := csv.NewReader(in)
	c.FieldsPerRecord, c.LazyQuotes, c.ReuseRecord = -1, true, true
	switch {
	case u.Comma != 0:
		c.Comma = u.Comma
	case u.format() == "tsv":
		c.Comma = '\t'
	}
	return &table{Reader: c, in: in}
}

func (t *table) next() ([]string, error) {
	t.in.left = t.in.most
	record, err := t.Read()
	switch {
	case errors.Is(err, errTooLarge):
		return nil, fmt.Errorf("a row of more than %d bytes: is there a quote that is not closed?", maxToken)
	case err != nil:
		return nil, err
	}
	last := len(record) - 1
	t.firstLine, _ = t.FieldPos(0)
	t.lastLine, _ = t.FieldPos(last)
	t.lastLine += strings.Count(record[last], "\n")
	return record, nil
}

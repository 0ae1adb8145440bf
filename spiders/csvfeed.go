package spiders

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// CSVFeedOptions say how [CSVFeed] reads.
type CSVFeedOptions struct {
	// Row is called for one row after the other. What it hands to out may wait for room in the crawl, and the reading with it. An error is counted and told with the row's
	// line; reading goes on. It is required; [CSVRows] makes one of a function that takes a struct.
	Row func(ctx context.Context, r *crawl.Response, row CSVRow, out *crawl.Out) error
	// Comma stands between fields, one ASCII character. 0 is a comma.
	Comma rune
	// Quote stands around fields that hold a comma or a line break, and is doubled within them. 0 is "; negative is none.
	Quote rune
	// Comment begins lines that are left out. 0 is none.
	Comment rune
	// Headers are the columns' names. nil: they are in the first row. Not nil: the first row has values already.
	Headers []string
	// Skip is how many lines before the first row are left out.
	Skip int
	// Route is where the feed is read, for spiders that ask for other pages too: requests with this route. "" is Parse.
	Route string
	// StopOnError ends the reading of a feed at the first error of Row.
	StopOnError bool
	// MaxRow is the most bytes of a row; a larger one is skipped. 0 is 1 MiB.
	MaxRow int
	// MaxSize of a feed in bytes, inflated. The rest of a larger one is left out, with an error. 0 is 4 GiB; negative is no limit.
	MaxSize int64
}

// CSVRow is one row of a feed.
type CSVRow struct {
	// Line is where it begins, the first line of the file being 1.
	Line int
	// Fields are its values, in the order of the columns.
	Fields []string

	columns *csvColumns
}

// csvColumns is what all rows of a feed have in common.
type csvColumns struct {
	names []string
	at    map[string]int
	plans map[reflect.Type]*csvPlan // Only the feed's goroutine uses it.
}

// Get is the value in a column, "" if there is no such column. Of two columns with one name the first counts.
func (r CSVRow) Get(column string) string {
	if r.columns != nil {
		if i, ok := r.columns.at[column]; ok {
			return r.Fields[i]
		}
	}
	return ""
}

// Columns are the columns' names. They are not to be changed.
func (r CSVRow) Columns() []string {
	if r.columns == nil {
		return nil
	}
	return r.columns.names
}

// Map is the row by its columns' names.
func (r CSVRow) Map() map[string]string {
	m := make(map[string]string, len(r.Fields))
	for _, name := range r.Columns() {
		m[name] = r.Get(name)
	}
	return m
}

// CSVFeed is a spider that reads tables, row by row: Scrapy's CSVFeedSpider. Feeds are read as streams, so their size costs no memory; gzip is known by the content, the
// charset is the response's (a byte order mark, the header, else what the text looks like).
//
// Rows are read leniently. One that has more or fewer values than there are columns, is too long, or has a quote that is never closed, is skipped: it is counted, and the
// first ten of a feed are logged with their lines. A feed that is cut off has been read up to there, and that is the page's error. What is HTML, XML, JSON or a known
// binary is an error that says so.
//
// In a job a feed is one page: what was made of it is written when it has been read to its end, all at once. After an interruption it is asked for and read again
// from the beginning, and nothing is written twice. Requests that Row makes are stored as they come.
//
// Stats: csvfeed/row_count, csvfeed/skipped_count, csvfeed/error_count.
func CSVFeed(base crawl.Spider, opts CSVFeedOptions) *crawl.Spider {
	f := &csvFeed{opts}
	return feedSpider("CSVFeed", base, opts.Route, f.page, f.verify)
}

// CSVRows makes a Row of a function that takes structs. Their fields are found by their csv tags, else their json tags, else their names in Go, without regard to
// case; "-" is none. They are texts, numbers, bools, times (RFC 3339 or a date), durations, or what reads itself from a text; an empty value leaves the field as it is, a
// pointer nil. A value that does not fit is an error with the column's name, and the row is not given to f.
func CSVRows[T any](f func(ctx context.Context, r *crawl.Response, row *T, out *crawl.Out) error) func(ctx context.Context, r *crawl.Response, row CSVRow, out *crawl.Out) error {
	return func(ctx context.Context, r *crawl.Response, row CSVRow, out *crawl.Out) error {
		v := new(T)
		if err := row.Into(v); err != nil {
			return err
		}
		return f(ctx, r, v, out)
	}
}

type csvFeed struct{ CSVFeedOptions }

func (f *csvFeed) verify() error {
	var errs []error
	if f.Row == nil {
		errs = append(errs, errors.New("it has no Row to give rows to"))
	}
	comma, quote := f.comma(), f.quote()
	for name, c := range map[string]rune{"Comma": comma, "Quote": max(quote, 0), "Comment": f.Comment} {
		if c < 0 || c >= 0x80 || c == '\n' || c == '\r' {
			errs = append(errs, fmt.Errorf("%s %q: it is one ASCII character, and no line break", name, c))
		}
	}
	if comma == quote || f.Comment != 0 && (f.Comment == comma || f.Comment == quote) {
		errs = append(errs, fmt.Errorf("one character for two of Comma %q, Quote %q and Comment %q", comma, quote, f.Comment))
	}
	if f.Headers != nil && len(f.Headers) == 0 {
		errs = append(errs, errors.New("no Headers: nil takes the names from the first row"))
	}
	if f.Skip < 0 || f.MaxRow < 0 {
		errs = append(errs, errors.New("a negative Skip or MaxRow"))
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

func (f *csvFeed) comma() rune {
	if f.Comma == 0 {
		return ','
	}
	return f.Comma
}

func (f *csvFeed) quote() rune {
	if f.Quote == 0 {
		return '"'
	}
	return f.Quote
}

// page reads one feed.
func (f *csvFeed) page(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
	head, _, err := headOf(ctx, r.Body)
	if err != nil {
		return fmt.Errorf("feed: %w", err)
	}
	if err := refuseCSV(head); err != nil {
		return err
	}
	body, err := r.Body.Open()
	if err != nil {
		return err
	}
	defer body.Close()
	t, err := openText(ctx, body, "text/csv; charset="+charsetOfHead(r, head), feedSize(f.MaxSize))
	if err != nil {
		return fmt.Errorf("feed: %w", err)
	}
	c := &csvReader{in: t.Reader, comma: byte(f.comma()), quote: byte(max(f.quote(), 0)), comment: byte(f.Comment), most: f.MaxRow, line: 1}
	if c.most == 0 {
		c.most = 1 << 20
	}
	for range f.Skip {
		if err := c.skipLine(); err != nil {
			return fmt.Errorf("feed: line %d: %w", c.line, err)
		}
	}
	return (&csvWork{csvFeed: f, ctx: ctx, r: r, out: out, env: crawl.EnvOf(ctx), in: c}).read()
}

// refuseCSV is why what begins so is no table.
func refuseCSV(head []byte) error {
	switch kind := (&crawl.Response{Body: crawl.BytesBody(head)}).Kind(); kind {
	case crawl.BodyHTML, crawl.BodyXML, crawl.BodyJSON:
		return fmt.Errorf("feed is %s, not CSV: it begins with %.40q", kind, head)
	}
	if t := http.DetectContentType(head); !strings.HasPrefix(t, "text/") && t != "application/octet-stream" { // which a NUL makes of a text
		return fmt.Errorf("feed is %s, not CSV", t)
	}
	return nil
}

// csvWork is the reading of one feed.
type csvWork struct {
	*csvFeed
	ctx context.Context
	r   *crawl.Response
	out *crawl.Out
	env *crawl.Env
	in  *csvReader

	skipped int
}

func (w *csvWork) read() error {
	rows, failed := w.env.Stats.Counter("csvfeed/row_count"), w.env.Stats.Counter("csvfeed/error_count")
	errs := feedErrors{what: "rows"}
	columns := columnsOf(w.Headers)
	for !w.out.Stopped() {
		line := w.in.line
		row, err := w.in.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			errs.add(fmt.Errorf("line %d: %w", line, err), true)
			break
		}
		switch {
		case row.err != nil:
			w.skip(row.line, row.err)
			continue
		case columns == nil:
			columns = columnsOf(row.fields)
			continue
		case len(row.fields) != len(columns.names):
			w.skip(row.line, fmt.Errorf("%d values for %d columns: %.100q", len(row.fields), len(columns.names), strings.Join(row.fields, string(w.comma()))))
			continue
		}
		rows.Add(1)
		if err := w.Row(w.ctx, w.r, CSVRow{Line: row.line, Fields: row.fields, columns: columns}, w.out); err != nil {
			failed.Add(1)
			if !errs.add(fmt.Errorf("line %d: %w", row.line, err), w.StopOnError) {
				break
			}
		}
	}
	if w.skipped > maxReported {
		w.env.Log.Warn("more rows were skipped", zap.Stringer("feed", w.r.URL), zap.Int("all", w.skipped))
	}
	return errs.err()
}

// skip counts a row that cannot be used, and logs the first ones.
func (w *csvWork) skip(line int, err error) {
	w.env.Stats.Inc("csvfeed/skipped_count")
	if w.skipped++; w.skipped <= maxReported {
		w.env.Log.Warn("row skipped", zap.Stringer("feed", w.r.URL), zap.Int("line", line), zap.Error(err))
	}
}

// columnsOf returns nil for no names.
func columnsOf(names []string) *csvColumns {
	if names == nil {
		return nil
	}
	c := &csvColumns{at: make(map[string]int, len(names)), plans: make(map[reflect.Type]*csvPlan)}
	for i, name := range names {
		name = strings.TrimSpace(name)
		c.names = append(c.names, name)
		if _, ok := c.at[name]; !ok {
			c.at[name] = i
		}
	}
	return c
}

// csvPlan says which column goes into which field of a struct.
type csvPlan struct {
	fields []csvField
	err    error
}

type csvField struct {
	column int
	name   string
	index  []int
}

func (c *csvColumns) plan(t reflect.Type) *csvPlan {
	if p := c.plans[t]; p != nil {
		return p
	}
	p := &csvPlan{}
	c.plans[t] = p
	if t.Kind() != reflect.Struct {
		p.err = fmt.Errorf("a row goes into a struct, not a %s", t)
		return p
	}
	folded := make(map[string]int)
	for i := len(c.names) - 1; i >= 0; i-- {
		folded[foldColumn(c.names[i])] = i
	}
	for _, f := range reflect.VisibleFields(t) {
		if !f.IsExported() || f.Anonymous && f.Type.Kind() == reflect.Struct {
			continue
		}
		name, ok := f.Tag.Lookup("csv")
		if !ok {
			name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
		}
		if name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if column, ok := folded[foldColumn(name)]; ok {
			p.fields = append(p.fields, csvField{column, c.names[column], f.Index})
		}
	}
	if len(p.fields) == 0 {
		p.err = fmt.Errorf("no column is a field of %s: there are %s", t, strings.Join(c.names, ", "))
	}
	return p
}

func foldColumn(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", " ", "", "-", "").Replace(s))
}

// Into reads the row into a pointer to a struct, as [CSVRows] does.
func (r CSVRow) Into(v any) error {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() || r.columns == nil {
		return fmt.Errorf("a row goes into a pointer to a struct, not a %T", v)
	}
	plan := r.columns.plan(p.Type().Elem())
	if plan.err != nil {
		return plan.err
	}
	var errs []error
	for _, f := range plan.fields {
		field, err := p.Elem().FieldByIndexErr(f.index)
		if err == nil {
			err = setText(field, r.Fields[f.column])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("column %q: %w", f.name, err))
		}
	}
	return errors.Join(errs...)
}

// setText puts a column's text into a field.
func setText(f reflect.Value, s string) error {
	if f.Kind() == reflect.String && f.Type().PkgPath() == "" {
		f.SetString(s)
		return nil
	}
	if strings.TrimSpace(s) == "" {
		return nil
	}
	if f.Kind() == reflect.Pointer {
		p := reflect.New(f.Type().Elem())
		if err := setText(p.Elem(), s); err != nil {
			return err
		}
		f.Set(p)
		return nil
	}
	text := strings.TrimSpace(s)
	var err error
	switch into := f.Addr().Interface().(type) {
	case *time.Duration:
		*into, err = time.ParseDuration(text)
	case *time.Time:
		if *into, err = time.Parse(time.RFC3339, text); err != nil {
			*into, err = time.Parse(time.DateOnly, text)
		}
	case encoding.TextUnmarshaler:
		err = into.UnmarshalText([]byte(text))
	default:
		err = setScalar(f, s, text)
	}
	if err != nil {
		return fmt.Errorf("%.60q is no %s", s, f.Type())
	}
	return nil
}

func setScalar(f reflect.Value, s, text string) error {
	bits := int(f.Type().Size()) * 8
	switch {
	case f.Kind() == reflect.String:
		f.SetString(s)
	case f.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return err
		}
		f.SetBool(b)
	case f.CanInt():
		n, err := strconv.ParseInt(text, 10, bits)
		if err != nil {
			return err
		}
		f.SetInt(n)
	case f.CanUint():
		n, err := strconv.ParseUint(text, 10, bits)
		if err != nil {
			return err
		}
		f.SetUint(n)
	case f.CanFloat():
		n, err := strconv.ParseFloat(text, bits)
		if err != nil {
			return err
		}
		if math.IsNaN(n) || math.IsInf(n, 0) { // which no feed of JSON can hold
			return errors.New("no number")
		}
		f.SetFloat(n)
	default:
		return errors.New("no scalar")
	}
	return nil
}

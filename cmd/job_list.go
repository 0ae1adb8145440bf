package cmd

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tulle-go/tulle/crawl"
)

// jobList is what list prints.
type jobList struct {
	failed, asJSON, byRoute bool
	route                   string
	limit                   int
}

var errEnough = errors.New("enough")

// eachRequest writes the requests of a job to standard output. One that cannot be read is an error at the end.
func (a *app) eachRequest(ctx context.Context, job crawl.Job, failed bool, write func(*bufio.Writer, crawl.JobRequest) error) error {
	w := bufio.NewWriter(a.stdout)
	var first error
	unreadable := 0
	for r, err := range job.Requests(ctx, failed) {
		if err == nil {
			if err := write(w, r); errors.Is(err, errEnough) {
				break
			} else if err != nil {
				return err
			}
			continue
		}
		unreadable++
		if first == nil {
			first = err
			if r.ID != 0 {
				first = fmt.Errorf("request %d: %w", r.ID, err)
			}
		}
	}
	if unreadable > 1 {
		first = fmt.Errorf("%w (and %d more)", first, unreadable-1)
	}
	return errors.Join(w.Flush(), first)
}

// listJob prints a table, or JSON. The first lines wait for each other, so that their columns fit; all others are written as they come.
func (a *app) listJob(ctx context.Context, job crawl.Job, l *jobList) error {
	t := &requestTable{header: []string{"ROUTE", "PRIORITY", "DEPTH", "URL"}}
	if l.failed {
		t.header = []string{"KIND", "URL", "REASON"}
	}
	n, more := 0, false
	err := a.eachRequest(ctx, job, l.failed, func(w *bufio.Writer, r crawl.JobRequest) error {
		if l.byRoute && r.Request.Route != l.route {
			return nil
		}
		if more = l.limit > 0 && n == l.limit; more {
			return errEnough
		}
		n++
		switch {
		case l.asJSON:
			return writeRequest(w, r)
		case l.failed:
			u := r.Request.URL.String()
			why := strings.TrimPrefix(r.Reason, fmt.Sprintf("download <%s>: %s: ", u, r.Kind)) // which stand beside it
			return t.add(w, printable(r.Kind), u, printable(why))
		}
		return t.add(w, routeText(r.Request.Route), fmt.Sprint(r.Request.Priority), fmt.Sprint(r.Request.Depth), r.Request.URL.String())
	})
	if err != nil {
		return err
	}
	w := bufio.NewWriter(a.stdout)
	if err := errors.Join(t.end(w), w.Flush()); err != nil {
		return err
	}
	switch {
	case more:
		fmt.Fprintf(a.stderr, "There are more than %d: --limit 0 prints all.\n", l.limit)
	case n == 0 && l.failed:
		fmt.Fprintln(a.stderr, "Nothing that failed is to be shown.")
	case n == 0:
		fmt.Fprintln(a.stderr, "Nothing that waits is to be shown.")
	}
	return nil
}

// requestTable has columns as wide as the cells of its first rows, up to a limit: a cell that is longer pushes its own row aside, and no other.
type requestTable struct {
	header []string
	rows   [][]string // that wait for the widths
	widths []int      // nil: not known yet
}

const (
	tableRows = 100
	tableWide = 52 // leaves room for the other columns in 80
)

func (t *requestTable) add(w *bufio.Writer, cells ...string) error {
	if t.widths != nil {
		return t.write(w, cells)
	}
	if t.rows = append(t.rows, cells); len(t.rows) < tableRows {
		return nil
	}
	return t.end(w)
}

// end writes the rows that wait.
func (t *requestTable) end(w *bufio.Writer) error {
	if len(t.rows) == 0 {
		return nil
	}
	t.rows = append([][]string{t.header}, t.rows...)
	t.widths = make([]int, len(t.header))
	for _, row := range t.rows {
		for i, cell := range row {
			if n := utf8.RuneCountInString(cell); n <= tableWide {
				t.widths[i] = max(t.widths[i], n)
			}
		}
	}
	for _, row := range t.rows {
		if err := t.write(w, row); err != nil {
			return err
		}
	}
	t.rows = nil
	return nil
}

func (t *requestTable) write(w *bufio.Writer, cells []string) error {
	for i, cell := range cells {
		if i == len(cells)-1 {
			_, err := fmt.Fprintln(w, cell)
			return err
		}
		fmt.Fprintf(w, "%-*s  ", t.widths[i], cell)
	}
	return nil
}

// printable is text on one line, without what a terminal would obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// requestJSON is a request for scripts. What is not set is left out, but for the method.
type requestJSON struct {
	ID         uint64          `json:"id"`
	URL        string          `json:"url"`
	Method     string          `json:"method"`
	Headers    http.Header     `json:"headers,omitempty"`
	Body       []byte          `json:"body,omitempty"` // base64
	Route      string          `json:"route,omitempty"`
	Priority   int             `json:"priority,omitempty"`
	Depth      int             `json:"depth,omitempty"`
	DontFilter bool            `json:"dont_filter,omitempty"`
	Data       json.RawMessage `json:"data,omitempty"`
	Knobs      *crawl.Knobs    `json:"knobs,omitempty"`
	Retries    int             `json:"retries,omitempty"`
	Redirects  []string        `json:"redirects,omitempty"`
	Attempts   int             `json:"attempts,omitempty"`
	NotBefore  time.Time       `json:"not_before,omitzero"`
	Kind       string          `json:"kind,omitempty"`
	Reason     string          `json:"reason,omitempty"`
	FailedAt   time.Time       `json:"failed_at,omitzero"`
}

// writeRequest writes a request as a line of JSON.
func writeRequest(w *bufio.Writer, r crawl.JobRequest) error {
	req := r.Request
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // URLs as they are
	return enc.Encode(requestJSON{
		ID: r.ID, URL: req.URL.String(), Method: cmp.Or(req.Method, http.MethodGet), Headers: req.Header, Body: req.Body, Route: req.Route,
		Priority: req.Priority, Depth: req.Depth, DontFilter: req.DontFilter, Data: req.Data, Knobs: req.Knobs, Retries: req.Retries, Redirects: req.Redirects,
		Attempts: r.Attempts, NotBefore: r.NotBefore, Kind: r.Kind, Reason: r.Reason, FailedAt: r.FailedAt,
	})
}

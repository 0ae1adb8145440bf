package spiders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// URLList is a list of addresses to start with. All fields but Path may be left out.
type URLList struct {
	// Path is the file that has them, compressed by gzip or not; "-" is stdin.
	Path string
	// Open is where they come from instead, from its beginning at each call; Path is its name then. It may be called twice. nil: Path is opened.
	Open func(ctx context.Context) (io.ReadCloser, error)
	// Format is "text" (one address a line; blank lines and those that begin with # are left out), "csv", "tsv" or "jsonl" (an object a line).
	// "": as Path ends, .gz left aside; text if that says nothing.
	Format string
	// Field is the column, or the path in the object as gjson has it, that holds the address. "" is "url", or "1" for a table without a header.
	Field string
	// NoHeader says that a table's first row is no header. Its columns are called "1", "2" and so on.
	NoHeader bool
	// Comma stands between a table's columns. 0 is a comma, or a tab in tsv.
	Comma rune
	// Scheme is put before addresses that have none, such as "example.com": "https". "": such a line is a bad one.
	Scheme string
	// Route names the callback for their pages; "" is Parse.
	Route string
	// WithRow lets the row travel with its request, as Data, for the callback to read: an object of its columns, all of them strings, or that of its line.
	WithRow bool
}

// URLs is a spider that starts with a list: the lines of a file, a column of a table, a field of JSON Lines, or what is piped into it. The list is read as a stream, while the
// crawl has little to do, so it may be of any length. base.StartURLs come after it.
//
// A line without an address is counted, logged with its number, and left out; a list without any is an error. In a job the place in the list is stored with the requests before it:
// a crawl that was interrupted goes on from there, and refuses a list that is another one. A list that was read to its end is done: what is added to it later is for
// another job. Stdin has no place to go on from: what is piped then is read from its
// beginning, and what the job has seen falls out, so pipe the same list again.
//
// Stats: urls/line_count, urls/bad_line_count.
func URLs(base crawl.Spider, list URLList) *crawl.Spider {
	return urlSpider(base, list, os.Stdin)
}

func urlSpider(base crawl.Spider, list URLList, in io.Reader) *crawl.Spider {
	u := &urlList{URLList: list, in: in, ownStart: base.Start != nil}
	s := base
	s.Start = func(ctx context.Context, out *crawl.Out) error {
		if on, err := u.start(ctx, out); err != nil || !on {
			return err
		}
		return start(ctx, &s, nil, out)
	}
	s.Verify = also(base.Verify, u.verify)
	return &s
}

// urlList is a URLs spider's state.
type urlList struct {
	URLList
	in       io.Reader // stdin
	ownStart bool
}

// urlCursor is a place in the list.
type urlCursor struct {
	// Name of the list, without its folder.
	Name string `json:"name"`
	// Offset in bytes of what was read of it, inflated and decoded. Line is how many lines that is.
	Offset int64 `json:"offset"`
	Line   int   `json:"line"`
}

const stdin = "-"

// isStdin reports whether the list is what is piped.
func (u *urlList) isStdin() bool { return u.Open == nil && u.Path == stdin }

func (u *urlList) name() string {
	if u.isStdin() {
		return "stdin"
	}
	return u.Path
}

func (u *urlList) format() string {
	if u.Format != "" {
		return u.Format
	}
	switch strings.ToLower(filepath.Ext(strings.TrimSuffix(strings.ToLower(u.Path), ".gz"))) {
	case ".csv":
		return "csv"
	case ".tsv", ".tab":
		return "tsv"
	case ".jsonl", ".jl", ".ndjson", ".jsonlines":
		return "jsonl"
	}
	return "text"
}

func (u *urlList) field() string {
	switch {
	case u.Field != "":
		return u.Field
	case u.NoHeader:
		return "1"
	}
	return "url"
}

func (u *urlList) verify(s *crawl.Spider) error {
	var errs []error
	if u.ownStart {
		errs = append(errs, errors.New("URLs has a Start of its own: the spider's would never run"))
	}
	if !slices.Contains([]string{"text", "csv", "tsv", "jsonl"}, u.format()) {
		errs = append(errs, fmt.Errorf("list of URLs %s: format %q: want text, csv, tsv or jsonl", u.name(), u.Format))
	}
	switch {
	case u.Path == "" && u.Open == nil:
		errs = append(errs, errors.New(`URLs has no list: say its Path, or "-" for stdin`))
	case u.Open == nil && !u.isStdin():
		if info, err := os.Stat(u.Path); err != nil {
			errs = append(errs, fmt.Errorf("list of URLs: %w", err))
		} else if info.IsDir() {
			errs = append(errs, fmt.Errorf("list of URLs: %s is a folder", u.Path))
		}
	}
	if f := u.format(); f == "csv" || f == "tsv" {
		if _, err := u.numbered(); err != nil {
			errs = append(errs, fmt.Errorf("list of URLs %s: %w", u.name(), err))
		}
		if _, err := u.newTable(strings.NewReader("x")).next(); err != nil {
			errs = append(errs, fmt.Errorf("list of URLs %s: comma %q: %w", u.name(), u.Comma, err))
		}
	}
	if _, err := s.Callback(u.Route); err != nil {
		errs = append(errs, fmt.Errorf("list of URLs: %w", err))
	}
	return errors.Join(errs...)
}

// checkpointEvery is how many lines are read between two checkpoints.
const checkpointEvery = 500

// start asks for what the list names. It reports false when the crawl is stopping.
func (u *urlList) start(ctx context.Context, out *crawl.Out) (on bool, err error) {
	env := crawl.EnvOf(ctx)
	cursor := urlCursor{Name: filepath.Base(u.Path)}
	resumed := false
	if was := (urlCursor{}); out.Resume(&was) {
		switch {
		case was.Name != cursor.Name:
			return false, fmt.Errorf("this job was reading its URLs from %s, and is to read %s now: give it the same list, or the crawl another job", was.Name, cursor.Name)
		case u.isStdin():
			env.Log.Warn("stdin is read from its beginning: it has no place to go on from. What the job has seen falls out; what is not piped again is not asked")
		default:
			cursor, resumed = was, true
			env.Log.Info("list of URLs goes on", zap.String("list", u.name()), zap.Int("line", cursor.Line+1))
		}
	}
	if u.isStdin() && env.Settings.Job.Dir != "" {
		out.Checkpoint(cursor)
		env.Log.Warn("URLs from stdin can be gone on with only if the same list is piped again: a file is safer in a job")
	}
	on = true
	lineCount, badCount := env.Stats.Counter("urls/line_count"), env.Stats.Counter("urls/bad_line_count")
	read, bad := 0, 0
	err = u.rows(ctx, cursor, func(row urlRow) bool {
		lineCount.Add(1)
		read++
		if req, err := u.request(row); err == nil {
			on = out.Request(req)
		} else {
			badCount.Add(1)
			if bad++; bad <= maxBadLines {
				env.Log.Warn("line without an address skipped", zap.String("list", u.name()), zap.Int("line", row.line), zap.Error(err))
			}
		}
		if cursor.Offset, cursor.Line = row.end, row.endLine; on && !u.isStdin() && read%checkpointEvery == 0 {
			on = out.Checkpoint(cursor)
		}
		return on && ctx.Err() == nil
	})
	if bad > maxBadLines {
		env.Log.Warn("more lines without an address were skipped", zap.String("list", u.name()), zap.Int("all", bad))
	}
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err != nil:
		return false, fmt.Errorf("list of URLs %s: %w", u.name(), err)
	case read == 0 && on && !resumed:
		return false, fmt.Errorf("list of URLs %s: it has no address", u.name())
	case bad == read && on && !resumed:
		return false, fmt.Errorf("list of URLs %s: none of its %d lines has an address", u.name(), bad)
	}
	return on, nil
}

// request is that for a row.
func (u *urlList) request(row urlRow) (*crawl.Request, error) {
	if row.err != nil {
		return nil, row.err
	}
	req := crawl.Get(row.url)
	if err := req.Err(); err != nil || req.URL.Opaque != "" && req.URL.Scheme != "data" {
		if u.Scheme != "" && row.url != "" {
			req = crawl.Get(u.Scheme + "://" + strings.TrimLeft(row.url, "/"))
			err = req.Err()
		} else if err == nil {
			err = fmt.Errorf("url %q: it has no host", row.url)
		}
		if err != nil {
			return nil, err
		}
	}
	req.Route = u.Route
	if u.WithRow && row.data != nil {
		req.Data = json.RawMessage(row.data)
	}
	return req, nil
}

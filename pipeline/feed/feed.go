package feed

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// Reasons of crawls that a feed has ended.
const (
	// ReasonFailed is that of a crawl one of whose feeds cannot be written. The error of Run says which, and why.
	ReasonFailed = "feed"
	// ReasonReaderGone is that of a crawl whose standard output, or pipe, nobody reads any more: `| head` has seen enough. It is no failure.
	ReasonReaderGone = "reader gone"
)

// Feeds are open places for items. They are the last stage of a crawl.
type Feeds struct {
	env   *crawl.Env
	feeds []*feed
}

var (
	_ crawl.Opener   = (*Feeds)(nil)
	_ crawl.Pipeline = (*Feeds)(nil)
)

// Open opens all feeds, or none. What stands in them is not touched before the stage is opened: until then Undo leaves everything as it was.
func Open(ctx context.Context, env *crawl.Env, feeds []crawl.Feed) (*Feeds, error) {
	s := &Feeds{env: env}
	for _, conf := range feeds {
		f, err := open(ctx, conf, env)
		if err == nil {
			s.feeds = append(s.feeds, f)
			err = s.apart(f)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("feed %s: %w", conf.URI, err), s.Undo())
		}
	}
	return s, nil
}

// apart is an error if f, the last feed, goes where another one goes.
func (s *Feeds) apart(f *feed) error {
	for _, other := range s.feeds[:len(s.feeds)-1] {
		if f.kind == "stdout" && other.kind == "stdout" {
			return errors.New("standard output is another feed's already")
		}
		a, aFile := f.file.(*file)
		b, bFile := other.file.(*file)
		if aFile && bFile && os.SameFile(a.info, b.info) {
			return errors.New("this file is another feed's already")
		}
	}
	return nil
}

// Undo closes the feeds of a crawl that does not start. Files and folders that opening has made are removed.
func (s *Feeds) Undo() error {
	var errs []error
	for _, f := range s.feeds {
		errs = append(errs, f.undo())
	}
	s.feeds = nil
	return errors.Join(errs...)
}

// Stage is the stage that writes items to the feeds, after all others.
func (s *Feeds) Stage() crawl.Stage {
	return crawl.Stage{Order: math.MaxInt, Name: "feeds", Pipeline: s}
}

// Open begins all feeds: those that are overwritten are emptied now. It is called once.
func (s *Feeds) Open(context.Context, *crawl.Env) (crawl.Pipeline, error) {
	for _, f := range s.feeds {
		if err := f.begin(); err != nil {
			return nil, errors.Join(fmt.Errorf("feed %s: %w", f.conf.URI, err), s.Undo())
		}
	}
	return s, nil
}

// Process writes the item to all feeds. An item that cannot be encoded fails alone; a feed that cannot be written ends the crawl, for going on would lose
// items. The other feeds get what is still in flight.
func (s *Feeds) Process(_ context.Context, item any) (any, error) {
	var failed, stop error
	for _, f := range s.feeds {
		err := f.write(item)
		var w *writeError
		switch {
		case err == nil:
		case !errors.As(err, &w):
			failed = errors.Join(failed, fmt.Errorf("feed %s: %w", f.conf.URI, err))
		case w.readerGone():
			stop = crawl.CloseSpider(ReasonReaderGone)
		default:
			if w.first {
				s.env.Log.Error("feed cannot be written", zap.String("feed", f.conf.URI), zap.Error(w.err))
			}
			stop = crawl.CloseSpider(ReasonFailed)
		}
	}
	switch {
	case stop != nil:
		return nil, stop
	case failed != nil:
		return nil, failed
	}
	return item, nil
}

// Close ends all feeds. Its error says which lost items.
func (s *Feeds) Close() error {
	var errs []error
	for _, f := range s.feeds {
		if err := f.close(); err != nil {
			errs = append(errs, fmt.Errorf("feed %s: %w", f.conf.URI, err))
			s.env.Stats.Inc("feedexport/failed_count/" + f.kind)
			continue
		}
		s.env.Stats.Inc("feedexport/success_count/" + f.kind)
	}
	return errors.Join(errs...)
}

// writeError says that the feed's place does not take what is written, in contrast to an item that cannot be encoded.
type writeError struct {
	err   error
	first bool // nobody has been told yet
}

func (e *writeError) Error() string    { return e.err.Error() }
func (e *writeError) Unwrap() error    { return e.err }
func (e *writeError) readerGone() bool { return errors.Is(e.err, syscall.EPIPE) }

// feed is one open feed.
type feed struct {
	conf crawl.Feed
	kind string // its target, for stats
	file crawl.FeedFile
	rw   crawl.FeedRewriter // file, if it can be read and cut: its end is written behind each record, and over it the next one
	enc  crawl.FeedEncoder
	size int64 // what stood in it when it was opened

	mu      sync.Mutex
	open    bool   // Guarded by mu: Begin has been written, or needs not be.
	buf     []byte // Guarded by mu.
	offset  int64  // Guarded by mu: where the next record goes, in a file.
	records int64  // Guarded by mu.
	err     error  // Guarded by mu: the first failure to write; nothing is written after it.
}

// open finds format and target, opens the place, and finds where to go on in it. It changes nothing.
func open(ctx context.Context, conf crawl.Feed, env *crawl.Env) (*feed, error) {
	name := conf.Format
	if name == "" {
		name = formatOf(conf.URI)
	}
	format := env.Settings.Parts.Formats[name]
	if format == nil {
		format = formats()[name]
	}
	if format == nil {
		return nil, fmt.Errorf("no format %q; there are %s", name, names(formats(), env.Settings.Parts.Formats))
	}
	enc, err := format(conf)
	if err != nil {
		return nil, err
	}
	kind := scheme(conf.URI)
	target := env.Settings.Parts.Targets[kind]
	if target == nil {
		target = targets()[kind]
	}
	if target == nil {
		return nil, fmt.Errorf("no feed target %q; there are %s", kind, names(targets(), env.Settings.Parts.Targets))
	}
	place, err := target(ctx, conf, env)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "":
		kind = "file"
	case "-":
		kind = "stdout"
	}
	f := &feed{conf: conf, kind: kind, file: place, enc: enc}
	f.rw, _ = place.(crawl.FeedRewriter)
	if err := f.goOn(name); err != nil {
		return nil, errors.Join(err, f.undo())
	}
	return f, nil
}

// goOn finds where to append in a file that has something in it.
func (f *feed) goOn(format string) (err error) {
	if f.rw == nil {
		return nil
	}
	if f.size, err = f.rw.Size(); err != nil || f.size == 0 || f.conf.Overwrite {
		return err
	}
	app, ok := f.enc.(crawl.FeedAppender)
	if !ok {
		return fmt.Errorf("format %s cannot be appended to; overwrite it", format)
	}
	f.offset, f.records, err = app.Append(f.rw, f.size)
	f.open = true
	return err
}

// formatOf is the format that a file's name asks for.
func formatOf(uri string) string {
	switch ext := strings.ToLower(path.Ext(uri)); ext {
	case ".jsonl", ".jl", ".ndjson", "":
		return "jsonl"
	default:
		return ext[1:]
	}
}

// begin empties the place if it is overwritten, and makes it complete: it may get no item.
func (f *feed) begin() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rw == nil || f.open {
		return nil
	}
	if f.size > 0 {
		if err := f.rw.Truncate(0); err != nil {
			return err
		}
	}
	if f.conf.SkipEmpty {
		return nil
	}
	return f.put(nil)
}

// write appends an item. A writeError is for good; after any other the next item may be better.
func (f *feed) write(item any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return &writeError{err: f.err}
	}
	err := f.put(item)
	var w *writeError
	if errors.As(err, &w) {
		f.err = w.err
	}
	return err
}

// put writes an item's record with what must stand before and after it; for nil, what an empty feed holds. Called with mu held.
func (f *feed) put(item any) error {
	buf := f.buf[:0]
	if !f.open {
		head, err := f.enc.Begin(item)
		if err != nil {
			return err
		}
		buf = append(buf, head...)
	}
	n := f.records
	if item != nil {
		var err error
		if buf, err = f.enc.Record(buf, item, n); err != nil {
			return err
		}
		n++
	}
	whole := int64(len(buf))
	if f.rw != nil {
		buf = append(buf, f.enc.End(n)...)
	}
	f.buf = buf
	if err := f.flush(buf); err != nil {
		return &writeError{err: err, first: true}
	}
	if item != nil {
		f.open, f.records = true, n
		f.offset += whole
	}
	return nil
}

// flush writes to the place. What a failure has left of a record in a file is taken away again.
func (f *feed) flush(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if f.rw == nil {
		_, err := f.file.Write(b)
		return err
	}
	_, err := f.rw.WriteAt(b, f.offset)
	if err == nil {
		return nil
	}
	if cut := f.rw.Truncate(f.offset); cut != nil {
		return errors.Join(err, cut)
	}
	if end := f.enc.End(f.records); f.open && len(end) > 0 {
		if _, again := f.rw.WriteAt(end, f.offset); again != nil {
			return errors.Join(err, again)
		}
	}
	return err
}

// close writes what must stand at the end, and closes the place.
func (f *feed) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.err != nil && errors.Is(f.err, syscall.EPIPE):
		return f.file.Close()
	case f.err != nil:
		return errors.Join(f.err, f.file.Close())
	case !f.open && f.conf.SkipEmpty:
		return f.leaveNothing()
	case f.rw != nil:
		return f.file.Close()
	}
	var tail []byte
	var err error
	if !f.open {
		tail, err = f.enc.Begin(nil)
	}
	if err == nil {
		err = f.flush(append(tail, f.enc.End(f.records)...))
	}
	if errors.Is(err, syscall.EPIPE) {
		err = nil
	}
	return errors.Join(err, f.file.Close())
}

// leaveNothing removes the file of a feed without items, also one that was there before and has been emptied.
func (f *feed) leaveNothing() error {
	if own, ok := f.file.(*file); ok {
		own.made = append(own.made, own.Name())
	}
	return f.undo()
}

// undo closes a place that nothing was written to.
func (f *feed) undo() error {
	if u, ok := f.file.(interface{ Undo() error }); ok {
		return u.Undo()
	}
	return f.file.Close()
}

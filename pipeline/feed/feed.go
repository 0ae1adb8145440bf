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
	"sync/atomic"
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
	past  *past // nil without a job
}

var (
	_ crawl.Opener   = (*Feeds)(nil)
	_ crawl.Pipeline = (*Feeds)(nil)
)

// Open opens all feeds, or none. What stands in them is not touched before the stage is opened: until then Undo leaves everything as it was.
//
// In a job (env.State is not nil) a feed that the job has written to goes on behind the last record that was committed. It is an error if the file is no longer what
// the job has left.
func Open(ctx context.Context, env *crawl.Env, feeds []crawl.Feed) (*Feeds, error) {
	s := &Feeds{env: env}
	if env.State != nil {
		var err error
		if s.past, err = readPast(env); err != nil {
			return nil, err
		}
	}
	for _, conf := range feeds {
		f, err := open(ctx, conf, env, s.past)
		if err == nil {
			s.feeds = append(s.feeds, f)
			err = s.apart(f)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("feed %s: %w", conf.URI, err), s.Undo())
		}
	}
	if s.past != nil {
		s.past.warn(env.Log)
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
	if s.past != nil {
		if err := s.past.noteStarts(s.feeds); err != nil {
			return nil, errors.Join(err, s.Undo())
		}
	}
	return s, nil
}

// Process writes the item to all feeds; in a job it has the record kept with the item's page, to be written when that is done. An item that cannot be encoded
// fails alone; a feed that cannot be written ends the crawl, for going on would lose items. The other feeds get what is still in flight.
func (s *Feeds) Process(ctx context.Context, item any) (any, error) {
	var failed, stop error
	for _, f := range s.feeds {
		err := f.write(ctx, item)
		var w *writeError
		switch {
		case err == nil:
		case errors.As(err, &w):
			stop = crawl.CloseSpider(w.reason())
		default:
			failed = errors.Join(failed, fmt.Errorf("feed %s: %w", f.conf.URI, err))
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

// Close ends all feeds. Its error says which lost items. In a job the scheduler is closed before: what it was told by Append is not said again.
func (s *Feeds) Close() error {
	var errs []error
	for _, f := range s.feeds {
		switch err := f.close(); {
		case err == nil:
			s.env.Stats.Inc("feedexport/success_count/" + f.kind)
			continue
		case !f.told:
			errs = append(errs, fmt.Errorf("feed %s: %w", f.conf.URI, err))
		}
		s.env.Stats.Inc("feedexport/failed_count/" + f.kind)
	}
	if s.past != nil {
		errs = append(errs, s.past.forgetStarts(s.feeds))
	}
	return errors.Join(errs...)
}

// writeError says that the feed's place does not take what is written, in contrast to an item that cannot be encoded.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// As makes it known as a [crawl.CloseSpiderError] too, to those who asked a journal.
func (e *writeError) As(target any) bool {
	stop, ok := target.(**crawl.CloseSpiderError)
	if ok {
		*stop = &crawl.CloseSpiderError{Reason: e.reason()}
	}
	return ok
}

// reason is why the crawl ends.
func (e *writeError) reason() string {
	if errors.Is(e.err, syscall.EPIPE) {
		return ReasonReaderGone
	}
	return ReasonFailed
}

// feed is one open feed.
type feed struct {
	conf         crawl.Feed
	kind         string // its target, for stats
	format       string
	file         crawl.FeedFile
	rw           crawl.FeedRewriter // file, if it can be read and cut: its end is written behind each record, and over it the next one
	size         int64              // what stood in it when it was opened
	between, end []byte
	log          *zap.Logger

	// In a job.
	inJob     bool
	key       string    // of its position in the state
	from      *position // where it goes on, nil if it begins
	committed bool      // from is what the job has committed, not only where it began

	encoding sync.Mutex
	enc      crawl.FeedEncoder // Guarded by encoding.
	// Guarded by encoding until hasHead is true, which comes before the first record leaves write; then they do not change.
	hasHead bool
	head    []byte    // what stands before the first record
	buffers sync.Pool // of *[]byte, to encode in

	mu       sync.Mutex
	at       spot     // Guarded by mu.
	empty    []byte   // Guarded by mu: what it holds as long as it has nothing.
	buf      []byte   // Guarded by mu.
	journal  *copying // Guarded by mu: nil before the first Append.
	appended bool     // Guarded by mu: Append has tried to write.
	told     bool     // Guarded by mu: Append has returned the failure.

	failed atomic.Pointer[writeError] // the first failure to write; nothing is written after it
}

// spot is how far a feed has come.
type spot struct {
	begun   bool   // there is something in it, or its head has been written
	records bool   // there are records
	first   []byte // goes before the next record
	offset  int64  // where that goes, in a file
	items   int64  // what this crawl, or job, has written
}

// open finds format and target, opens the place, and finds where to go on in it. It changes nothing.
func open(ctx context.Context, conf crawl.Feed, env *crawl.Env, past *past) (*feed, error) {
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
	f := &feed{conf: conf, kind: kind, format: name, file: place, enc: enc, between: enc.Between(), end: enc.End(), log: env.Log}
	f.rw, _ = place.(crawl.FeedRewriter)
	if err := f.look(past); err != nil {
		return nil, errors.Join(err, f.undo())
	}
	return f, nil
}

// look finds where to go on in a file.
func (f *feed) look(past *past) (err error) {
	f.inJob = past != nil
	if f.rw == nil {
		return nil
	}
	if f.size, err = f.rw.Size(); err != nil {
		return err
	}
	if f.inJob {
		if err := past.find(f); err != nil || f.from != nil {
			return err
		}
	}
	if f.size == 0 || f.conf.Overwrite {
		return nil
	}
	return f.goOn(f.size)
}

// goOn finds where to append in a file of size bytes.
func (f *feed) goOn(size int64) error {
	app, ok := f.enc.(crawl.FeedAppender)
	if !ok {
		return fmt.Errorf("format %s cannot be appended to; overwrite it", f.format)
	}
	end, err := app.Append(f.rw, size)
	f.at = spot{begun: true, records: end.Records, first: end.First, offset: end.Offset}
	f.hasHead = true
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

// begin empties the place if it is overwritten, and makes it complete: it may get no item. It is called before the first item.
func (f *feed) begin() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.rw == nil:
		return nil
	case f.from != nil && f.from.Bytes > 0:
		return f.restore()
	case f.at.begun:
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
	empty, err := f.enc.Begin(nil)
	if err != nil {
		return err
	}
	empty = append(empty, f.end...)
	if err := f.flush(empty); err != nil {
		return err
	}
	f.empty = empty
	return nil
}

// write appends an item, or keeps its record with the page. A writeError is for good; after any other the next item may be better.
func (f *feed) write(ctx context.Context, item any) error {
	if w := f.failed.Load(); w != nil {
		return w
	}
	buf, _ := f.buffers.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer f.buffers.Put(buf)
	framed, err := f.encode((*buf)[:0], item)
	*buf = framed
	if err != nil {
		return err
	}
	if f.inJob {
		if kept, err := crawl.KeepWithPage(ctx, f, frame(framed)); kept || err != nil {
			return err
		}
	}
	return f.put(framed[frameRoom:])
}

// encode appends an item's record, behind room for a frame. The first one fixes what stands before all records.
func (f *feed) encode(dst []byte, item any) ([]byte, error) {
	f.encoding.Lock()
	defer f.encoding.Unlock()
	var head []byte
	if !f.hasHead {
		var err error
		if head, err = f.enc.Begin(item); err != nil {
			return dst, err
		}
	}
	var room [frameRoom]byte
	dst, err := f.enc.Record(append(dst, room[:]...), item)
	if err == nil && !f.hasHead {
		f.hasHead, f.head = true, head
	}
	return dst, err
}

// put writes a record at once, with what must stand before and after it.
func (f *feed) put(record []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w := f.failed.Load(); w != nil {
		return w
	}
	next := f.at
	buf := append(f.before(f.buf[:0], &next), record...)
	next.offset += int64(len(buf))
	if f.rw != nil {
		buf = append(buf, f.end...)
	}
	f.buf = buf
	if err := f.flush(buf); err != nil {
		w := f.fail(err)
		if w.reason() == ReasonFailed {
			f.log.Error("feed cannot be written", zap.String("feed", f.conf.URI), zap.Error(err))
		}
		return w
	}
	f.at = next
	return nil
}

// before appends what must stand before the next record, and counts that.
func (f *feed) before(dst []byte, at *spot) []byte {
	if !at.begun {
		dst = append(dst, f.head...)
	}
	dst = append(dst, at.first...)
	if at.records {
		dst = append(dst, f.between...)
	}
	at.begun, at.records, at.first = true, true, nil
	at.items++
	return dst
}

// fail remembers a failure. Called with mu held.
func (f *feed) fail(err error) *writeError {
	w := &writeError{err}
	f.failed.Store(w)
	return w
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
	if _, err := f.rw.WriteAt(b, f.at.offset); err != nil {
		return errors.Join(err, f.mend())
	}
	return nil
}

// mend makes a file whole again after a write that failed, as far as the place takes it.
func (f *feed) mend() error {
	if err := f.rw.Truncate(f.at.offset); err != nil {
		return err
	}
	rest := f.end
	if !f.at.begun {
		rest = f.empty
	}
	if len(rest) == 0 {
		return nil
	}
	_, err := f.rw.WriteAt(rest, f.at.offset)
	return err
}

// close writes what must stand at the end, and closes the place.
func (f *feed) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.failed.Load()
	switch {
	case w != nil && w.reason() == ReasonReaderGone:
		return f.file.Close()
	case w != nil:
		return errors.Join(w.err, f.file.Close())
	case !f.at.begun && f.conf.SkipEmpty:
		return f.leaveNothing()
	case f.rw != nil:
		return f.file.Close()
	}
	var rest []byte
	var err error
	if !f.at.begun {
		rest, err = f.enc.Begin(nil)
	}
	if err == nil {
		err = f.flush(append(rest, f.end...))
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

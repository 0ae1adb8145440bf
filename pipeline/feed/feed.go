package feed

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

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
	env     *crawl.Env
	feeds   []*feed
	past    *past // nil without a job
	places  *places
	texts   sync.Pool
	uploads *uploads
	ticking chan struct{} // closed to end the goroutine that looks at the clock; nil: there is none
	ticked  chan struct{} // closed by it
}

var (
	_ crawl.Opener   = (*Feeds)(nil)
	_ crawl.Pipeline = (*Feeds)(nil)
)

// Open opens all feeds, or none. What stands in them is not touched before the stage is opened: until then Undo leaves everything as it was. When ctx ends, Close waits
// for what is on its way to stores no longer than it must.
//
// In a job (env.State is not nil) a feed that the job has written to goes on behind the last record that was committed. It is an error if the file is no longer what
// the job has left.
func Open(ctx context.Context, env *crawl.Env, feeds []crawl.Feed) (*Feeds, error) {
	s, err := openAll(ctx, env, feeds)
	if err == nil && s.past != nil {
		s.past.warn(env.Log)
	}
	return s, err
}

func openAll(ctx context.Context, env *crawl.Env, feeds []crawl.Feed) (*Feeds, error) {
	s := &Feeds{env: env, uploads: newUploads(ctx), places: &places{now: make(map[*feed]*part)}}
	if env.State != nil {
		var err error
		if s.past, err = readPast(env); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	for _, conf := range feeds {
		var f *feed
		err := guarded(func() (err error) {
			f, err = s.open(ctx, conf, began)
			return err
		})
		if err == nil {
			s.feeds = append(s.feeds, f)
			err = s.places.take(f, f.part)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("feed %s: %w", redacted(conf.URI), err), s.Undo())
		}
	}
	return s, nil
}

// Complete is for a job that is finished: what its last process has not put in place before it was killed is put there. Feeds that have all in their place are not
// touched.
func Complete(ctx context.Context, env *crawl.Env, feeds []crawl.Feed) (*Feeds, error) {
	feeds = slices.DeleteFunc(slices.Clone(feeds), func(conf crawl.Feed) bool { return !keptApart(conf, env) })
	s, err := openAll(ctx, env, feeds) // the others are as they should be: nothing is to be told of them
	if err != nil {
		return nil, err
	}
	_, err = s.Open(ctx, env)
	return s, err
}

// places are where the feeds of a crawl are now.
type places struct {
	mu  sync.Mutex
	now map[*feed]*part // Guarded by mu.
}

// take gives a feed the place of its next part. It is an error if another feed goes there.
func (s *places) take(f *feed, p *part) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, there := range s.now {
		if other == f {
			continue
		}
		if f.storage == stdoutStorage && other.storage == stdoutStorage {
			return errors.New("standard output is another feed's already")
		}
		if f.storage == fileStorage && other.storage == fileStorage && sameFile(p, there) || f.remote != nil && p.uri == there.uri {
			return errors.New("this file is another feed's already")
		}
	}
	s.now[f] = p
	return nil
}

// Undo closes the feeds of a crawl that does not start. Files and folders that opening has made are removed.
func (s *Feeds) Undo() error {
	s.stopTicking()
	var errs []error
	for _, f := range s.feeds {
		errs = append(errs, f.undo(), f.closeStore())
	}
	s.feeds = nil
	s.uploads.cancel()
	return errors.Join(errs...)
}

// Stage is the stage that writes items to the feeds, after all others.
func (s *Feeds) Stage() crawl.Stage {
	return crawl.Stage{Order: math.MaxInt, Name: "feeds", Pipeline: s}
}

// Open begins all feeds: those that are overwritten are emptied now. It is called once.
func (s *Feeds) Open(context.Context, *crawl.Env) (crawl.Pipeline, error) {
	for _, f := range s.feeds {
		if err := guarded(f.begin); err != nil {
			return nil, errors.Join(fmt.Errorf("feed %s: %w", f.shown, err), s.Undo())
		}
	}
	if s.past != nil {
		if err := s.past.noteStarts(s.feeds); err != nil {
			return nil, errors.Join(err, s.Undo())
		}
	}
	for _, f := range s.feeds {
		f.resend()
	}
	if slices.ContainsFunc(s.feeds, (*feed).spools) {
		s.sweep(time.Now())
	}
	s.startTicking()
	return s, nil
}

// Process writes the item to all feeds that want it; in a job it has the record kept with the item's page, to be written when that is done. An item that cannot be encoded
// fails alone; a feed that cannot be written ends the crawl, for going on would lose items. The other feeds get what is still in flight.
func (s *Feeds) Process(ctx context.Context, item any) (any, error) {
	one := &shared{item: item, from: &s.texts}
	defer one.done()
	var failed, stop error
	for _, f := range s.feeds {
		err := guarded(func() error {
			if !f.chooser.wants(item) {
				return nil
			}
			return f.write(ctx, one)
		})
		var w *writeError
		switch {
		case err == nil:
		case errors.As(err, &w):
			stop = crawl.CloseSpider(w.reason())
		default:
			failed = errors.Join(failed, fmt.Errorf("feed %s: %w", f.shown, err))
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

// Close ends all feeds, and waits until what goes to stores is there. Its error says which lost items, or where they are kept. In a job the scheduler is closed before: what
// it was told by Append is not said again.
func (s *Feeds) Close() error {
	s.stopTicking()
	var errs []error
	for _, f := range s.feeds {
		if err := guarded(f.close); err != nil && !f.told {
			errs = append(errs, fmt.Errorf("feed %s: %w", f.shown, err))
		}
	}
	s.awaitUploads()
	for _, f := range s.feeds {
		for _, err := range f.takeUnplaced() {
			errs = append(errs, fmt.Errorf("feed %s: %w", f.shown, err))
		}
		if err := guarded(f.closeStore); err != nil {
			s.env.Log.Warn("feed's store not closed", zap.String("feed", f.shown), zap.Error(err))
		}
	}
	if s.past != nil {
		errs = append(errs, s.past.forgetStarts(s.feeds))
	}
	return errors.Join(errs...)
}

// Results are what became of the feeds, after Close: one for each, its batches together. Batch is how many there were.
func (s *Feeds) Results() []crawl.FeedResult {
	var all []crawl.FeedResult
	for _, f := range s.feeds {
		f.placing.Lock()
		r := f.total
		f.placing.Unlock()
		all = append(all, r)
	}
	return all
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

// guarded calls what others have written, and makes an error of its panic: the other feeds go on, and so does the process where it is no page's goroutine.
func guarded(call func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &crawl.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return call()
}

// feed is one feed: items that go to one file after the other, or to one for the whole crawl.
type feed struct {
	conf     crawl.Feed // with what it does not say itself
	shown    string     // its URI without a password
	storage  string     // its target, for stats
	format   string
	template *uriTemplate
	target   crawl.FeedTarget // nil: remote
	remote   *remote          // nil: target
	newEnc   func() (crawl.FeedEncoder, error)
	builds   bool   // the format makes files at their end
	pack     string // how it is compressed, "" if not
	chooser  chooser
	// reflect.Type: the error, or nil, of what Rename does to items of the type.
	collisions sync.Map
	env        *crawl.Env
	log        *zap.Logger
	uploads    *uploads
	places     *places

	between, end []byte

	// In a job.
	past *past
	key  string // of its position in the state

	encoding sync.Mutex
	enc      crawl.FeedEncoder // Guarded by encoding.
	// Guarded by encoding until hasHead is true, which comes before the first record leaves write; then they do not change.
	hasHead bool
	head    []byte    // what stands before the first record
	buffers sync.Pool // of *[]byte, to encode in

	mu       sync.Mutex
	*part              // Guarded by mu: nil between two batches.
	batch    int       // Guarded by mu: the number of the last part that was opened, 0 without batches.
	batched  time.Time // Guarded by mu: when it began.
	written  int64     // Guarded by mu: items in parts that are closed.
	safe     int       // Guarded by mu: the batch of the last position that is known to be committed.
	given    int       // Guarded by mu: that of the last position that Append has returned.
	buf      []byte    // Guarded by mu.
	journal  *copying  // Guarded by mu: nil before the first Append.
	appended bool      // Guarded by mu: Append has tried to write.
	told     bool      // Guarded by mu: Append has returned the failure.
	held     []*part   // Guarded by mu: full batches that wait for the commit of their last items.
	// Guarded by mu: what Append has written last is not known to be committed.
	uncommitted bool
	closed      bool // Guarded by mu.

	failed atomic.Pointer[writeError] // the first failure to write; nothing is written after it

	placing  sync.Mutex
	queue    []*part          // Guarded by placing: parts that are to be put in their places.
	busy     bool             // Guarded by placing: a goroutine does so.
	kept     map[int]string   // Guarded by placing: folders of batches that are in their places, which nothing but a crash before the next commit would need.
	unplaced []error          // Guarded by placing: why parts are not in theirs.
	total    crawl.FeedResult // Guarded by placing.
}

// open finds format and target, opens the place, and finds where to go on in it. It changes nothing.
func (s *Feeds) open(ctx context.Context, conf crawl.Feed, began time.Time) (*feed, error) {
	env := s.env
	f := &feed{shown: redacted(conf.URI), env: env, log: env.Log, past: s.past, uploads: s.uploads, places: s.places, kept: make(map[int]string)}
	var err error
	if f.conf, err = settle(conf, env); err != nil {
		return nil, err
	}
	f.total = crawl.FeedResult{Feed: f.shown, URI: f.shown}
	f.chooser = chooser{types: f.conf.Types, filter: f.conf.Filter}
	if f.template, err = newTemplate(&f.conf, env, began); err != nil {
		return nil, err
	}
	if err := f.findFormat(); err != nil {
		return nil, err
	}
	if err := f.findTarget(ctx); err != nil {
		return nil, err
	}
	if err := f.openFirst(ctx, began); err != nil {
		return nil, errors.Join(err, f.undo(), f.closeStore())
	}
	return f, nil
}

// findFormat makes the encoder.
func (f *feed) findFormat() (err error) {
	name := formatName(&f.conf)
	format := f.env.Settings.Parts.Formats[name]
	if format == nil {
		format = formats()[name]
	}
	if format == nil {
		return fmt.Errorf("no format %q; there are %s%s", name, names(formats(), f.env.Settings.Parts.Formats), howToLink(name))
	}
	f.format, f.total.Format = name, name
	f.newEnc = func() (crawl.FeedEncoder, error) {
		enc, err := format(f.conf)
		if p, ok := enc.(crawl.FeedPreparer); ok && err == nil {
			err = p.Prepare(f.env)
		}
		return enc, err
	}
	if f.enc, err = f.newEnc(); err != nil {
		return err
	}
	if _, f.builds = f.enc.(crawl.FeedBuilder); f.builds {
		if ext := path.Ext(f.conf.URI); packedEnds[strings.ToLower(ext)] != "" {
			return fmt.Errorf("%s compresses what is in it: leave %s out of the name; compress says how", f.format, ext)
		}
		f.enc = framed{f.enc}
	} else if f.pack = packing(&f.conf); f.pack != "" {
		if _, err := newPacker(f.pack, f.conf.Level); err != nil {
			return err
		}
	}
	f.between, f.end = f.enc.Between(), f.enc.End()
	return nil
}

// formatName is the format that a feed asks for, itself or by its file's name.
func formatName(conf *crawl.Feed) string {
	name := strings.ToLower(conf.Format)
	if name == "" {
		uri := conf.URI
		if ext := path.Ext(uri); packedEnds[strings.ToLower(ext)] != "" {
			uri = strings.TrimSuffix(uri, ext)
		}
		name = strings.TrimPrefix(strings.ToLower(path.Ext(uri)), ".")
	}
	switch name {
	case "", "jl", "ndjson", "jsonlines":
		return "jsonl"
	}
	return name
}

// form is what the job's state calls what is written.
func (f *feed) form() string {
	if f.pack == "" {
		return f.format
	}
	return f.format + " in " + f.pack
}

// write appends an item, or keeps its record with the page. A writeError is for good; after any other the next item may be better.
func (f *feed) write(ctx context.Context, item *shared) error {
	if w := f.failed.Load(); w != nil {
		return w
	}
	buf, _ := f.buffers.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer f.buffers.Put(buf)
	record, err := f.encode((*buf)[:0], item)
	*buf = record
	switch {
	case errors.Is(err, errNoFields):
		f.log.Warn("an item without fields is left out of the table, which has no columns yet",
			zap.String("feed", f.shown), zap.String("item", fmt.Sprintf("%T", item.item)))
		return nil
	case err != nil:
		return err
	}
	if f.past != nil {
		if kept, err := crawl.KeepWithPage(ctx, f, frame(record)); kept || err != nil {
			return err
		}
	}
	return f.put(record[frameRoom:])
}

// encode appends an item's record, behind room for a frame. The first one fixes what stands before all records.
func (f *feed) encode(dst []byte, item *shared) ([]byte, error) {
	var text []byte
	quick, fast := f.enc.(fromJSON)
	if fast {
		var err error
		if text, err = item.json(); err != nil {
			return dst, err
		}
		if err = f.collides(item.item, text); err != nil {
			return dst, fmt.Errorf("item of type %T: %w", item.item, err)
		}
	}
	f.encoding.Lock()
	defer f.encoding.Unlock()
	var head []byte
	if !f.hasHead {
		var err error
		if head, err = f.enc.Begin(item.item); err != nil {
			return dst, err
		}
	}
	var room [frameRoom]byte
	dst = append(dst, room[:]...)
	var err error
	if fast {
		dst, err = quick.recordJSON(dst, item.item, text)
	} else {
		dst, err = f.enc.Record(dst, item.item)
	}
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
	err := guarded(func() error {
		if err := f.room(); err != nil {
			return err
		}
		if err := f.putRecord(record); err != nil || !f.full() {
			return err
		}
		return f.finishPart()
	})
	if err == nil {
		return nil
	}
	w := f.fail(err)
	if w.reason() == ReasonFailed {
		f.log.Error("feed cannot be written", zap.String("feed", f.shown), zap.Error(err))
	}
	return w
}

// room sees to it that there is a part for the next record. Called with mu held.
func (f *feed) room() error {
	if f.part != nil && !f.full() {
		return nil
	}
	if f.part != nil {
		if err := f.finishPart(); err != nil {
			return err
		}
	}
	return f.nextPart()
}

// full reports whether the batch takes no more. Called with mu held.
func (f *feed) full() bool {
	n := f.at.items - f.written
	return n > 0 && f.batchFull(n)
}

// batchFull reports whether a batch with n items takes no more. Called with mu held.
func (f *feed) batchFull(n int64) bool {
	return f.conf.BatchItems > 0 && n >= int64(f.conf.BatchItems) || f.late(time.Now())
}

// late reports whether the batch's time is over. Called with mu held.
func (f *feed) late(now time.Time) bool {
	return f.conf.BatchTime > 0 && !f.since.IsZero() && now.Sub(f.since) >= f.conf.BatchTime
}

// before appends what must stand before the next record, and counts that. Called with mu held.
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
	if f.since.IsZero() && f.conf.BatchTime > 0 {
		f.since = time.Now()
	}
	return dst
}

// fail remembers a failure. Called with mu held.
func (f *feed) fail(err error) *writeError {
	w := &writeError{err}
	f.failed.Store(w)
	return w
}

// close ends the feed's last part. What is to be put somewhere else is on its way then.
func (f *feed) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	p, w := f.part, f.failed.Load()
	if len(f.held) > 0 && w == nil {
		return f.closeHeld()
	}
	for _, q := range f.held { // the feed has failed since
		err := f.stays(q, q.spool, w.err)
		f.report(q, err)
		f.unplaces(err)
	}
	f.held = nil
	switch {
	case p == nil && w == nil:
		return nil // the last batch was full
	case p == nil:
		f.report(&part{uri: f.conf.URI, batch: f.batch}, w.err) // the next one could not be begun, or this one not ended
		return w.err
	case w != nil && w.reason() == ReasonReaderGone:
		err := p.closeFiles()
		f.report(p, err)
		return err
	case w != nil:
		err := errors.Join(w.err, p.closeFiles())
		if p.spool != "" && !f.inFolder() {
			p.disown()
			err = fmt.Errorf("%w; what it has got is kept in %s", err, p.spool)
			f.told = false // that was not
		}
		f.report(p, err)
		return err
	case !f.at.begun && f.conf.SkipEmpty:
		err := f.leaveNothing()
		p.skipped = err == nil
		f.report(p, err)
		return err
	}
	if f.uncommitted && p.spool != "" {
		return f.closeHeld()
	}
	err := f.finishPart()
	if err != nil {
		f.report(p, err)
	}
	return err
}

// closeHeld closes a feed whose last items are not committed, although the queue was closed before: they may come otherwise when the job goes on. Called with mu held.
func (f *feed) closeHeld() error {
	var errs []error
	if f.part != nil {
		errs = append(errs, f.part.closeFiles())
		f.held = append(f.held, f.part)
	}
	for _, p := range f.held {
		err := f.stays(p, p.spool, errors.New("the job's last commit has not come to its end"))
		errs = append(errs, err)
		f.report(p, err)
	}
	f.held = nil
	return errors.Join(errs...)
}

// leaveNothing removes the file of a feed without items, also one that was there before and has been emptied. Called with mu held.
func (f *feed) leaveNothing() error {
	if own, ok := f.file.(*file); ok {
		own.made = append(own.made, own.Name())
	}
	return f.undo()
}

// undo closes a place that nothing was written to.
func (f *feed) undo() error {
	if f.part == nil {
		return nil
	}
	return f.part.undo()
}

// startTicking looks at the clock for feeds that have something to do when no item comes.
func (s *Feeds) startTicking() {
	every := time.Duration(0)
	for _, f := range s.feeds {
		if f.pack != "" {
			every = flushEvery
		}
	}
	for _, f := range s.feeds {
		if t := f.conf.BatchTime; t > 0 && (every == 0 || t < every) {
			every = min(t, flushEvery)
		}
	}
	if every == 0 {
		return
	}
	s.ticking, s.ticked = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(s.ticked)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-s.ticking:
				return
			case now := <-tick.C:
				for _, f := range s.feeds {
					f.tick(now)
				}
			}
		}
	}()
}

func (s *Feeds) stopTicking() {
	if s.ticking == nil {
		return
	}
	close(s.ticking)
	<-s.ticked
	s.ticking = nil
}

// tick brings to the file what was compressed, and ends a batch whose time is over.
func (f *feed) tick(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.part == nil || f.failed.Load() != nil {
		return
	}
	err := guarded(func() error {
		switch {
		case f.at.items > f.written && f.late(now):
			return f.finishPart()
		case f.pk != nil:
			return f.flushPacked()
		}
		return nil
	})
	if err != nil && f.fail(err).reason() == ReasonFailed {
		f.log.Error("feed cannot be written", zap.String("feed", f.shown), zap.Error(err))
	}
}

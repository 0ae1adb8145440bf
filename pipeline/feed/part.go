package feed

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

const (
	// flushEvery is how long compressed items wait at most until they can be read in the file, and flushAt how many bytes of them do.
	flushEvery = time.Second
	flushAt    = 256 << 10
)

// part is one file of a feed: the whole feed, or a batch. All of it is guarded by the feed's mu while it is the feed's.
type part struct {
	uri   string // without variables
	batch int    // from 1; 0 without batches

	file crawl.FeedFile
	rw   crawl.FeedRewriter // file, if it can be read and cut: its end is written behind each record, and over it the next one
	size int64              // what stood in it when it was opened
	pk   *packer            // nil: it is not compressed

	// What is not written where it is to be has a file of its own in a folder of its own, and a place.
	spool, folder string
	owner         *os.File       // held while the folder is this process's; nil in a job
	local         string         // the file's name that it gets, if its place is a file
	dest          crawl.FeedFile // its place, if that is written from front to back
	made          []string       // what preparing its place has made

	from      *position // where it goes on, nil if it begins
	committed bool      // from is what the job has committed, not only where it began

	at      spot
	flushed int64     // of a compressed part without a job: at.items when all was in the file
	ended   []byte    // what stands behind at.offset
	since   time.Time // when the first item came, in a feed whose batches have a time

	items, bytes int64 // when it is closed
	whole        int64 // size of the file that was made of it
	skipped      bool
}

// spot is how far a feed has come.
type spot struct {
	begun   bool   // there is something in the part, or its head has been written
	records bool   // there are records
	first   []byte // goes before the next record
	offset  int64  // where that goes, in a file
	items   int64  // what this crawl, or job, has written to the feed
}

// openFirst opens the part that the crawl begins with, or that a job goes on in.
func (f *feed) openFirst(ctx context.Context, began time.Time) error {
	f.batched = began
	if f.template.batched {
		f.batch = 1
	}
	uri := ""
	if f.past != nil && (f.template.varies || f.spools()) {
		f.key = crawl.FeedPrefix + f.shown
		at, err := f.past.position(f.key)
		if err != nil {
			return err
		}
		if at != nil {
			uri, f.batch = at.Name, max(f.batch, at.Batch)
		}
	}
	if uri == "" {
		uri = f.template.uri(f.batch, began)
	}
	p, err := f.openPart(ctx, f.batch, uri, true)
	if f.part = p; err != nil {
		return err
	}
	if p.from != nil {
		f.written = p.from.Items - p.from.Count
		f.at.items = p.from.Items
		if f.batch == 0 {
			f.written = 0
		}
	}
	f.safe, f.given = f.batch, f.batch
	return f.lookAhead(ctx, began)
}

// lookAhead is an error if a later batch could not be begun, because its file is there and cannot be appended to: that is better said before the crawl.
func (f *feed) lookAhead(ctx context.Context, began time.Time) error {
	const most = 100
	if !f.template.batched || f.storage != fileStorage || f.conf.Overwrite || f.from != nil || f.template.uri(1, began) == f.template.uri(2, began) {
		return nil
	}
	for batch := f.batch + 1; batch <= f.batch+most; batch++ {
		uri := f.template.uri(batch, began)
		name, err := fileName(uri)
		if err != nil {
			return err
		}
		length := size(name)
		if length == 0 {
			return nil
		}
		if batch > f.batch+1 && length > headOf {
			err = f.glance(name)
		} else {
			var p *part
			if p, err = f.openPart(ctx, batch, uri, false); p.file != nil {
				err = errors.Join(err, p.undo())
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", redacted(uri), err)
		}
	}
	return nil
}

// headOf is how much of a file is looked at to see what it is.
const headOf = 512

// glance is an error if a file cannot be appended to, as far as its first bytes say so: it is not read to its end.
func (f *feed) glance(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	head := make([]byte, headOf)
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if is := otherFormat(head[:n], f.format, f.pack); is != "" {
		return errOther(is, f.form())
	}
	enc, err := f.newEnc()
	if err != nil {
		return err
	}
	if _, ok := enc.(crawl.FeedAppender); !ok {
		return f.errNoAppend()
	}
	if f.pack != "" && len(f.end) > 0 {
		return f.errNoPackedAppend()
	}
	return nil
}

// errNoAppend is that of a file of a format that is made in one piece.
func (f *feed) errNoAppend() error {
	return fmt.Errorf("format %s cannot be appended to; overwrite it (-O)", f.format)
}

// errNoPackedAppend is that of a compressed file that has an end.
func (f *feed) errNoPackedAppend() error {
	return fmt.Errorf("format %s cannot be appended to when it is compressed: its end would have to be taken away; overwrite it (-O), or write jsonl", f.format)
}

// spools reports whether items are kept in a file of their own before they get to their place.
func (f *feed) spools() bool { return f.builds || f.remote != nil }

// openPart opens the file of a part, and finds where to go on in it. It changes nothing that is there.
func (f *feed) openPart(ctx context.Context, batch int, uri string, first bool) (p *part, err error) {
	if f.remote != nil {
		uri = redacted(uri)
	}
	p = &part{uri: uri, batch: batch}
	if f.pack != "" {
		if p.pk, err = newPacker(f.pack, f.conf.Level); err != nil {
			return p, err
		}
	}
	exists := false
	if f.spools() {
		if exists, err = f.prepare(ctx, p); err == nil {
			err = f.openSpool(p)
		}
	} else {
		conf := f.conf
		conf.URI = uri
		p.file, err = f.target(ctx, conf, f.env)
	}
	if err != nil {
		return p, err
	}
	p.rw, _ = p.file.(crawl.FeedRewriter)
	if err := f.look(p, first); err != nil {
		return p, err
	}
	if exists && p.from == nil && !f.conf.Overwrite && !f.hasPlaced(p) {
		return p, f.errNoAppend()
	}
	return p, nil
}

// look finds where to go on in a file.
func (f *feed) look(p *part, first bool) (err error) {
	if p.rw == nil {
		return nil
	}
	if p.size, err = p.rw.Size(); err != nil {
		return err
	}
	if f.past != nil {
		if err := f.past.find(f, p); err != nil {
			return err
		}
		if p.from != nil {
			return f.sameFields(p)
		}
	}
	if p.size == 0 || f.conf.Overwrite || p.spool != "" {
		return nil
	}
	head := make([]byte, min(p.size, headOf))
	if _, err := p.rw.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if is := otherFormat(head, f.format, f.pack); is != "" {
		return errOther(is, f.form())
	}
	return f.goOn(p, p.size, first)
}

// isEmpty reports whether a text is that of a feed without items: what a crawl leaves that is killed before its job knows of the feed.
func (f *feed) isEmpty(text io.ReaderAt, length int64) bool {
	enc, err := f.newEnc()
	if err != nil || len(f.end) == 0 {
		return false
	}
	empty, err := enc.Begin(nil)
	if err != nil {
		return false
	}
	empty = append(empty, f.end...)
	there := make([]byte, len(empty))
	n, _ := text.ReadAt(there, 0) // what cannot be read is not empty
	return int64(n) == length && bytes.Equal(there, empty)
}

// goOn finds where to append in a file of size bytes.
func (f *feed) goOn(p *part, size int64, first bool) error {
	enc := f.enc
	if !first {
		// The feed's own is in use, and has its columns.
		var err error
		if enc, err = f.newEnc(); err != nil {
			return err
		}
		if f.builds {
			enc = framed{enc}
		}
	}
	app, ok := enc.(crawl.FeedAppender)
	if !ok {
		return f.errNoAppend()
	}
	r, length := io.ReaderAt(p.rw), size
	if p.pk != nil {
		text, err := readEnds(f.pack, io.NewSectionReader(p.rw, 0, size))
		if err != nil {
			return fmt.Errorf("the file is not whole, and what is appended could not be read: overwrite it (-O), or append to another file: %w", err)
		}
		if r, length = text, text.size; length == 0 || f.isEmpty(text, length) {
			return nil // it is begun anew
		}
	}
	end, err := app.Append(r, length)
	if err != nil {
		return err
	}
	if p.pk != nil {
		if end.Offset != length {
			return f.errNoPackedAppend()
		}
		end.Offset = size
		p.pk.goOn(member{})
	}
	p.at = spot{begun: true, records: end.Records, first: end.First, offset: end.Offset, items: p.at.items}
	if p.from != nil {
		f.hasHead = f.hasHead || first
		return nil
	}
	head, err := f.sameHead(enc)
	if first {
		f.hasHead, f.head = true, head
	}
	return err
}

// sameHead is an error if a file begins otherwise than the feed would: it has other columns. enc has seen the file. It returns what stands before the file's records.
func (f *feed) sameHead(enc crawl.FeedEncoder) ([]byte, error) {
	have, err := enc.Begin(nil)
	if err != nil {
		return nil, err
	}
	want := f.head
	if want == nil {
		fresh, err := f.newEnc()
		if err != nil {
			return nil, err
		}
		if want, err = fresh.Begin(nil); err != nil {
			return nil, err
		}
	}
	if len(want) > 0 && !bytes.Equal(have, want) {
		return nil, fmt.Errorf("the file begins with %q, and this feed would begin with %q: choose the same fields, overwrite it (-O), or append to another file",
			bytes.TrimSpace(have), bytes.TrimSpace(want))
	}
	return have, nil
}

// sameFields is an error if the fields of the feed are not those with which a job has begun the part. Formats with an end have no columns: their fields may change.
func (f *feed) sameFields(p *part) error {
	if len(f.conf.Fields) == 0 || p.from.Bytes == 0 || len(f.end) > 0 || f.builds {
		return nil
	}
	fresh, err := f.newEnc()
	if err != nil {
		return err
	}
	want, err := fresh.Begin(nil)
	if err != nil || len(want) == 0 {
		return err
	}
	have := p.from.Head
	if p.pk == nil && have == nil {
		used, err := f.newEnc()
		if err != nil {
			return err
		}
		if _, err := used.(crawl.FeedAppender).Append(p.rw, p.from.Bytes); err != nil {
			return err
		}
		if have, err = used.Begin(nil); err != nil {
			return err
		}
	}
	if len(have) > 0 && !bytes.Equal(have, want) {
		return fmt.Errorf("this job has begun the file with %q, and the feed would begin with %q now: choose the same fields, or start a new job in another folder",
			bytes.TrimSpace(have), bytes.TrimSpace(want))
	}
	return nil
}

// begin empties the first part's file if it is overwritten, and makes it complete: it may get no item. It is called before the first item.
func (f *feed) begin() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.takeBack(); err != nil {
		return err
	}
	return f.beginPart(f.part, true)
}

// toMake are the file that a part gets to, and the folders and the file that are made when it is opened. The names hold in any working directory.
func (f *feed) toMake(uri string) (place string, made []string, err error) {
	if f.storage != fileStorage || f.env.Settings.Parts.Targets[scheme(f.conf.URI)] != nil {
		return "", nil, nil
	}
	name, err := fileName(uri)
	if err != nil {
		return "", nil, err
	}
	if place, err = filepath.Abs(name); err != nil {
		return "", nil, err
	}
	if f.spools() {
		return place, missing(filepath.Dir(place)), nil
	}
	return place, missing(place), nil
}

// takeBack takes away the batches that a killed process has begun behind the last commit: the job may find fewer items when it goes on. Files that were there before
// are cut back to what they were. What is not known to be the job's is left. Called with mu held.
func (f *feed) takeBack() error {
	if f.past == nil || !f.template.batched || f.storage != fileStorage {
		return nil
	}
	for _, at := range f.past.startedAfter(f.key, f.batch) {
		err := f.takeBackOne(at)
		if err == nil {
			// From now on what is there is the user's.
			err = f.past.tookBack(startKey(f.key, at.Batch))
		}
		if err != nil {
			return fmt.Errorf("take back the batch %s, which was not committed: %w", at.Name, err)
		}
	}
	return nil
}

func (f *feed) takeBackOne(at position) error {
	own := file{made: at.Made}
	made := slices.Contains(at.Made, at.Place)
	if name, err := fileName(at.Name); err == nil && at.Place != "" && missing(at.Place) != nil && at.isAt(name) {
		if at.Place, err = filepath.Abs(name); err != nil { // its folder was moved
			return err
		}
	}
	switch {
	case at.Place == "":
		return f.cutBack(at, at.Name)
	case at.File == "" && f.spools():
		return errors.Join(removeFile(filepath.Join(filepath.Dir(at.Place), unfinishedPrefix+filepath.Base(at.Place))), own.remove())
	case at.File == "" && size(at.Place) == 0:
		return own.remove() // nothing was written to it
	}
	info, err := os.Lstat(at.Place)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return own.remove()
	case err != nil:
		return err
	case !at.isAt(at.Place):
		f.leaves(at, errors.New("it is another file now"))
		return nil
	case !at.Overwrite && !made:
		return f.cutBack(at, at.Place)
	case !info.Mode().IsRegular():
		return os.Truncate(at.Place, 0) // a link to it stays
	}
	return errors.Join(os.Remove(at.Place), own.remove())
}

// leaves tells of a batch that is not taken back.
func (f *feed) leaves(at position, why error) {
	f.log.Warn("a batch that was not committed is left as it is: it may not be the job's, or not the job's alone",
		zap.String("feed", f.shown), zap.String("file", cmp.Or(at.Place, at.Name)), zap.Error(why))
}

// keepCopy copies a file beside itself, under a name that is free.
func keepCopy(name string) (kept string, err error) {
	from, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer from.Close()
	for n := 1; ; n++ {
		kept = fmt.Sprintf("%s.kept-%d", name, n)
		to, err := os.OpenFile(kept, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		_, err = io.Copy(to, from)
		return kept, errors.Join(err, to.Sync(), to.Close())
	}
}

// isPlace reports whether a name is that of the file in which a part began.
func (at *position) isPlace(name string) bool {
	place, err := filepath.Abs(name)
	return err == nil && place == at.Place
}

// isAt reports whether a file is the one in which a part began.
func (at *position) isAt(name string) bool {
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
		return false // a pipe would not even be opened
	}
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	return at.File != "" && at.File == identity(f)
}

// cutBack makes a file what it was before a batch was appended to it. What is not that any more is left alone.
func (f *feed) cutBack(at position, uri string) error {
	overwrite := f.conf.Overwrite
	f.conf.Overwrite = false // it was appended to, whatever is done now
	defer func() { f.conf.Overwrite = overwrite }()
	p, err := f.openPart(f.uploads.ctx, at.Batch, uri, false)
	switch {
	case err != nil:
		f.leaves(at, err)
		err = nil
	case p.from == nil:
		f.leaves(at, errors.New("it does not go on as the job has left it"))
	case p.rw != nil:
		err = f.beginPart(p, false)
	}
	if p.file != nil {
		err = errors.Join(err, p.undo())
	}
	return err
}

// removeFile removes a file that may have gone. What is no file stays.
func removeFile(name string) error {
	switch info, err := os.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return nil
	}
	return os.Remove(name)
}

// size is how large a regular file is, 0 if there is none.
func size(name string) int64 {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

// beginPart makes a part's file ready for its first record.
func (f *feed) beginPart(p *part, first bool) error {
	switch {
	case p.rw == nil:
		return nil
	case p.from != nil && p.from.Bytes > 0:
		return f.restore(p, first)
	case p.at.begun:
		return nil
	}
	if p.size > 0 {
		if err := p.forget(); err != nil {
			return err
		}
		if err := p.rw.Truncate(0); err != nil {
			return err
		}
	}
	if f.conf.SkipEmpty || f.builds || !first {
		return nil // the next record is on its way, or none is a file too
	}
	empty, err := f.enc.Begin(nil)
	if err != nil {
		return err
	}
	empty = append(empty, f.end...)
	if p.pk != nil {
		empty = p.pk.closing(empty, false)
	}
	if len(empty) == 0 {
		return nil
	}
	if _, err := p.rw.WriteAt(empty, 0); err != nil {
		return errors.Join(err, p.mend())
	}
	p.ended = empty
	return nil
}

// restore takes away what was written behind the position that the part goes on from, and closes it there. A file that ends so is not touched.
func (f *feed) restore(p *part, first bool) error {
	at, ending := p.from.Bytes, f.end
	if p.pk != nil {
		var last member
		if p.from.Member != nil {
			last = *p.from.Member
		}
		p.pk.goOn(last)
		ending = p.pk.closing(f.end, false)
	}
	whole := at + int64(len(ending))
	last, err := tail(p.rw, p.size, int64(len(ending)))
	if err != nil {
		return err
	}
	if p.size != whole || !bytes.Equal(last, ending) {
		if err := p.forget(); err != nil {
			return err
		}
		if err := p.rw.Truncate(at); err != nil {
			return err
		}
		if len(ending) > 0 {
			if _, err := p.rw.WriteAt(ending, at); err != nil {
				return err
			}
		}
	}
	switch {
	case p.pk == nil:
		err = f.goOn(p, whole, first)
	case p.from.Count == 0: // what stands there is not the job's
		err = f.goOn(p, at, first)
	default:
		err = f.goOnBehind(p, first)
	}
	if err != nil {
		return err
	}
	if first && p.from.Head != nil {
		f.head = p.from.Head
	}
	p.at.offset, p.at.items, p.ended = at, p.from.Items, ending
	return nil
}

// goOnBehind tells the encoder of a compressed file that the job knows: its head says all.
func (f *feed) goOnBehind(p *part, first bool) error {
	p.at = spot{begun: true, records: p.from.Count > 0}
	if !first {
		return nil
	}
	f.hasHead = true
	if len(p.from.Head) == 0 {
		return nil
	}
	text := append(bytes.Clone(p.from.Head), f.end...)
	_, err := f.enc.(crawl.FeedAppender).Append(bytes.NewReader(text), int64(len(text)))
	return err
}

// nextPart opens the next batch. Called with mu held.
func (f *feed) nextPart() error {
	if !f.template.batched || f.closed {
		return fs.ErrClosed
	}
	now := time.Now()
	if least := f.batched.Add(time.Microsecond); now.Before(least) {
		now = least // no two have the same time in their names
	}
	f.batch, f.batched = f.batch+1, now
	uri := f.template.uri(f.batch, now)
	if f.past != nil {
		if at, ok := f.past.started(f.key, f.batch); ok && at.Name != "" {
			uri = at.Name // a process that was killed has begun it
		}
		// It is noted before it is there, so that it can be taken away again.
		place, made, err := f.toMake(uri)
		if err == nil && len(made) > 0 {
			err = f.past.noteMade(f, uri, place, made)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", redacted(uri), err)
		}
	}
	p, err := f.openPart(f.uploads.ctx, f.batch, uri, false)
	if err == nil {
		err = f.places.take(f, p)
	}
	if err == nil {
		err = f.nextHead()
	}
	if err == nil {
		err = f.beginPart(p, false)
	}
	if err != nil {
		if p.file != nil {
			err = errors.Join(err, p.undo())
		}
		return fmt.Errorf("%s: %w", redacted(uri), err)
	}
	p.at.items, p.flushed = f.written, f.written
	f.part = p
	if f.past != nil {
		return f.past.noteStarts([]*feed{f})
	}
	return nil
}

// nextHead sees to it that it is known what stands before the records, in a feed that was not begun by this process. Called with mu held.
func (f *feed) nextHead() (err error) {
	f.encoding.Lock()
	defer f.encoding.Unlock()
	if f.hasHead && f.head == nil && !f.builds {
		f.head, err = f.enc.Begin(nil)
	}
	return err
}

// putRecord writes a record and what stands before and behind it. Called with mu held.
func (f *feed) putRecord(record []byte) error {
	next := f.at
	f.buf = append(f.before(f.buf[:0], &next), record...)
	if f.pk != nil {
		if _, err := f.pk.Write(f.buf); err != nil {
			return err
		}
		if f.at = next; f.pk.raw < flushAt {
			return nil
		}
		return f.flushPacked()
	}
	next.offset += int64(len(f.buf))
	if f.rw == nil {
		if _, err := f.file.Write(f.buf); err != nil {
			return err
		}
	} else {
		f.buf = append(f.buf, f.end...)
		if _, err := f.rw.WriteAt(f.buf, f.at.offset); err != nil {
			return errors.Join(err, f.mend())
		}
	}
	f.at = next
	if f.rw != nil {
		f.ended = f.end
	}
	return nil
}

// flushPacked writes what has been compressed, so that all of it can be read. Called with mu held.
func (f *feed) flushPacked() error {
	if err := f.pk.flush(); err != nil {
		return err
	}
	n := f.pk.out.Len()
	if n == 0 {
		return nil
	}
	defer f.pk.out.Reset()
	if f.rw == nil {
		if _, err := f.file.Write(f.pk.out.Bytes()); err != nil {
			return f.lost(err)
		}
		f.at.offset += int64(n)
		f.flushed = f.at.items
		return nil
	}
	closing := f.pk.closing(f.end, false)
	f.pk.out.Write(closing)
	if _, err := f.rw.WriteAt(f.pk.out.Bytes(), f.at.offset); err != nil {
		return f.lost(errors.Join(err, f.mend()))
	}
	f.at.offset += int64(n)
	f.ended, f.flushed = closing, f.at.items
	return nil
}

// lost says how many items a compressed feed has taken that are not in its file. In a job they are not committed. Called with mu held.
func (f *feed) lost(err error) error {
	if n := f.at.items - f.flushed; f.past == nil && n > 0 {
		return fmt.Errorf("%w; items that may be lost, since they were compressed and not yet written: %d", err, n)
	}
	return err
}

// mend makes a file whole again after a write that failed, as far as the place takes it.
func (p *part) mend() error {
	if err := p.rw.Truncate(p.at.offset); err != nil || len(p.ended) == 0 {
		return err
	}
	_, err := p.rw.WriteAt(p.ended, p.at.offset)
	return err
}

// finishPart writes what must stand at the end, closes the file, and has it put in its place if it is not there. Called with mu held.
func (f *feed) finishPart() error {
	p := f.part
	err := f.endPart()
	if p.rw != nil && (p.spool != "" || f.past != nil) {
		err = errors.Join(err, p.file.Sync())
	}
	f.part = nil
	p.items, p.bytes = p.at.items-f.written, p.at.offset+int64(len(p.ended))
	f.written = p.at.items
	if err = errors.Join(err, p.file.Close()); err == nil && f.past != nil && p.spool != "" {
		err = p.note(false)
	}
	switch {
	case err != nil && p.spool != "":
		return f.stays(p, p.spool, err)
	case err != nil:
		return err
	case f.uncommitted && p.spool != "":
		f.held = append(f.held, p)
	default:
		f.deliver(p)
	}
	return nil
}

// endPart writes the end. Called with mu held.
func (f *feed) endPart() error {
	if f.rw != nil {
		if f.pk != nil {
			return f.flushPacked()
		}
		return nil
	}
	var rest []byte
	var err error
	if !f.at.begun {
		rest, err = f.emptyHead()
	}
	if err != nil {
		return err
	}
	rest = append(rest, f.end...)
	if f.pk != nil {
		if err := f.flushPacked(); err != nil {
			return err
		}
		rest = f.pk.closing(rest, false)
	}
	if len(rest) == 0 {
		return nil
	}
	_, err = f.file.Write(rest)
	f.ended = rest
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// emptyHead is what stands before the records where there are none.
func (f *feed) emptyHead() ([]byte, error) {
	f.encoding.Lock()
	defer f.encoding.Unlock()
	return f.enc.Begin(nil)
}

// closeFiles closes what is open.
func (p *part) closeFiles() error {
	err := p.file.Close()
	if p.dest != nil {
		err = errors.Join(err, p.dest.Close())
	}
	return err
}

// undo closes a part that nothing was written to, and removes what opening it has made.
func (p *part) undo() error {
	p.disown()
	var errs []error
	if u, ok := p.file.(interface{ Undo() error }); ok {
		errs = append(errs, u.Undo())
	} else if p.file != nil {
		errs = append(errs, p.file.Close())
	}
	if u, ok := p.dest.(interface{ Undo() error }); ok {
		errs = append(errs, u.Undo())
	} else if p.dest != nil {
		errs = append(errs, p.dest.Close())
	}
	own := file{made: p.made}
	return errors.Join(append(errs, own.remove())...)
}

// sameFile reports whether two parts get to one file.
func sameFile(a, b *part) bool {
	aName, aInfo := a.place()
	bName, bInfo := b.place()
	return aInfo != nil && bInfo != nil && os.SameFile(aInfo, bInfo) || aName != "" && aName == bName
}

// began is the file that a part gets to, by a name that holds in any working directory, and which one it is, if it is written there.
func (p *part) began() (place, id string) {
	name := p.local
	if own, ok := p.file.(*file); ok && p.spool == "" {
		name, id = own.Name(), identity(own.File)
	}
	if name == "" {
		return "", ""
	}
	place, err := filepath.Abs(name)
	if err != nil {
		return "", ""
	}
	return place, id
}

// place is the file that a part gets to, if it gets to one. info is nil if it is not there yet.
func (p *part) place() (name string, info fs.FileInfo) {
	if own, ok := p.file.(*file); ok && p.spool == "" {
		return "", own.info
	}
	if p.local == "" {
		return "", nil
	}
	info, err := os.Stat(p.local)
	if err != nil {
		info = nil
	}
	name, err = filepath.Abs(p.local)
	if err != nil {
		name = p.local
	}
	return name, info
}

// endsKept is how much of the beginning and of the end of a compressed file is kept to find out how it goes on.
const endsKept = 64 << 10

// ends are the beginning and the end of a text that was compressed.
type ends struct {
	first, last []byte
	size        int64
}

// readEnds reads a compressed text to its end.
func readEnds(pack string, r io.Reader) (*ends, error) {
	var text io.Reader
	if pack == gzipped {
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		text = z
	} else {
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		text = z
	}
	e := new(ends)
	buf := make([]byte, endsKept)
	for {
		n, err := text.Read(buf)
		if len(e.first) < endsKept {
			e.first = append(e.first, buf[:min(n, endsKept-len(e.first))]...)
		}
		e.size += int64(n)
		if e.last = append(e.last, buf[:n]...); len(e.last) > endsKept {
			e.last = append(e.last[:0], e.last[len(e.last)-endsKept:]...)
		}
		if errors.Is(err, io.EOF) {
			return e, nil
		} else if err != nil {
			return nil, err
		}
	}
}

// ReadAt implements [io.ReaderAt] for the beginning and the end.
func (e *ends) ReadAt(b []byte, off int64) (int, error) {
	lastAt := e.size - int64(len(e.last))
	switch {
	case off >= e.size:
		return 0, io.EOF
	case off >= lastAt:
		n := copy(b, e.last[off-lastAt:])
		if n < len(b) {
			return n, io.EOF
		}
		return n, nil
	case off < int64(len(e.first)):
		n := copy(b, e.first[off:])
		if n < len(b) {
			return n, errors.New("what stands first is longer than 64 KiB")
		}
		return n, nil
	}
	return 0, errors.New("what stands first is longer than 64 KiB")
}

package feed

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

var _ crawl.CommitWatcher = (*feed)(nil)

// frameRoom is what the length of a record takes at most: a uvarint that stands before it while it is kept with its page.
const frameRoom = binary.MaxVarintLen64

// frame puts the length of the record that stands behind frameRoom bytes right before it, and returns both.
func frame(b []byte) []byte {
	var length [frameRoom]byte
	n := binary.PutUvarint(length[:], uint64(len(b)-frameRoom))
	b = b[frameRoom-n:]
	copy(b, length[:n])
	return b
}

// copying is what Append copies through, whatever the size of what it copies.
type copying struct {
	in     *bufio.Reader
	out    *bufio.Writer
	record io.LimitedReader
	before []byte
	body   body // under out
	next   spot // of the part that is written to
}

// Append implements [crawl.Journal]. After an error the crawl has to end: errors.As to a [*crawl.CloseSpiderError] says with which reason. [ReasonReaderGone] is no
// failure of the crawl; but what was not read is not committed either.
func (f *feed) Append(lines []io.Reader) (key string, value []byte, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.failed.Load()
	if w == nil {
		err = guarded(func() (err error) {
			value, err = f.extend(lines)
			return err
		})
		if err == nil {
			if value == nil {
				return "", nil, nil
			}
			return f.key, value, nil
		}
		w = f.fail(err)
	}
	f.told = true
	return "", nil, fmt.Errorf("feed %s: %w", f.shown, w)
}

// extend writes what was kept behind what is there, makes it durable, and returns the new position; nil if there is none to be committed. Called with mu held.
func (f *feed) extend(lines []io.Reader) ([]byte, error) {
	f.appended = true
	f.commitDone() // who is called again has committed what he was given
	f.uncommitted = true
	before := f.itemsNow()
	p, err := f.copy(lines)
	if err != nil {
		if p != nil && p.rw != nil {
			// In the next run it would be cut back anyway; but somebody may look before.
			err = errors.Join(err, p.mend())
		}
		return nil, err
	}
	if p == nil || f.itemsNow() == before {
		f.commitDone() // there is nothing to commit
		return nil, nil
	}
	at, err := f.positionOf(p)
	if err != nil {
		return nil, err
	}
	if f.part == p && f.full() {
		if err := f.finishPart(); err != nil {
			return nil, err
		}
	}
	if p.rw == nil {
		f.commitDone()
		return nil, nil
	}
	f.given = p.batch
	return json.Marshal(at)
}

// Committed implements [crawl.CommitWatcher].
func (f *feed) Committed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commitDone()
}

// commitDone has the batches put in their places that have waited for a commit: what it has not taken could come otherwise, or not at all, when the job goes on, and
// nothing takes back what is in its place. Called with mu held.
func (f *feed) commitDone() {
	f.uncommitted = false
	for _, p := range f.held {
		f.deliver(p)
	}
	f.held = nil
	if f.safe < f.given {
		f.safe = f.given
		f.dropKept()
	}
}

// itemsNow is how many items the feed has got.
func (f *feed) itemsNow() int64 {
	if f.part == nil {
		return f.written
	}
	return f.at.items
}

// copy writes all records, with what must stand before, between and behind them, from one part into the next. It returns the last part that it has written to, nil if there
// was no record. All of it is durable. Called with mu held.
func (f *feed) copy(lines []io.Reader) (last *part, err error) {
	const size = 64 << 10
	c := f.journal
	if c == nil {
		c = &copying{in: bufio.NewReaderSize(nil, size), out: bufio.NewWriterSize(nil, size)}
		f.journal = c
	}
	defer func() {
		c.in.Reset(nil)
		c.out.Reset(nil)
	}()
	c.record.R = c.in
	for _, r := range lines {
		c.in.Reset(r)
		for {
			length, err := binary.ReadUvarint(c.in)
			if err == io.EOF {
				break
			}
			if err != nil {
				return last, fmt.Errorf("read what was kept with a page: %w", err)
			}
			if last != nil && last == f.part && c.next.items > f.written && f.batchFull(c.next.items-f.written) {
				if err := f.endCopy(c); err != nil {
					return last, err
				}
				if err := f.finishPart(); err != nil {
					return nil, err
				}
				last = nil
			}
			if last == nil {
				if err := f.room(); err != nil {
					return nil, err
				}
				last = f.part
				c.next = f.at
				c.body = body{f: f, at: f.at.offset}
				c.out.Reset(&c.body)
			}
			if err := f.copyRecord(c, length); err != nil {
				return last, err
			}
		}
	}
	if last == nil {
		return nil, nil
	}
	return last, f.endCopy(c)
}

// copyRecord writes the next record of a page.
func (f *feed) copyRecord(c *copying, length uint64) error {
	c.before = f.before(c.before[:0], &c.next)
	if _, err := c.out.Write(c.before); err != nil {
		return err
	}
	c.record.N = int64(min(length, 1<<62))
	n, err := c.out.ReadFrom(&c.record)
	if err != nil {
		return err
	}
	if uint64(n) < length {
		return fmt.Errorf("read what was kept with a page: %w", io.ErrUnexpectedEOF)
	}
	return nil
}

// endCopy writes what stands behind the records, and makes the part durable.
func (f *feed) endCopy(c *copying) error {
	if err := c.out.Flush(); err != nil {
		return err
	}
	if f.pk != nil {
		if err := f.pk.flush(); err != nil {
			return err
		}
		if err := c.body.drain(); err != nil {
			return err
		}
	}
	ending := f.end
	if f.rw != nil {
		if f.pk != nil {
			ending = f.pk.closing(f.end, false)
		}
		if len(ending) > 0 {
			if _, err := f.rw.WriteAt(ending, c.body.at); err != nil {
				return err
			}
		}
	}
	if err := f.file.Sync(); err != nil {
		return err
	}
	c.next.offset = c.body.at
	f.at = c.next
	if f.rw != nil {
		f.ended = ending
	}
	return nil
}

// body writes a part's records behind each other.
type body struct {
	f  *feed
	at int64 // where the next byte goes
}

func (b *body) Write(p []byte) (int, error) {
	f := b.f
	if f.pk == nil {
		return b.put(p)
	}
	if _, err := f.pk.Write(p); err != nil {
		return 0, err
	}
	if f.pk.out.Len() >= flushAt {
		return len(p), b.drain()
	}
	return len(p), nil
}

// drain writes what has been compressed.
func (b *body) drain() error {
	_, err := b.put(b.f.pk.out.Bytes())
	b.f.pk.out.Reset()
	return err
}

func (b *body) put(p []byte) (n int, err error) {
	if b.f.rw == nil {
		n, err = b.f.file.Write(p)
	} else {
		n, err = b.f.rw.WriteAt(p, b.at)
	}
	b.at += int64(n)
	return n, err
}

// position is how far a feed in a file has come, as the job's state has it.
type position struct {
	// Bytes is where the next record goes. What stands behind it has not been committed, or is the feed's end.
	Bytes int64 `json:"bytes"`
	// Items is how many the job has written.
	Items int64 `json:"items"`
	// CRC is the CRC-32C of the last checked bytes before that.
	CRC    uint32 `json:"crc"`
	Format string `json:"format"`
	// Name is the URI without variables, of a feed that has some.
	Name string `json:"name,omitempty"`
	// Batch is the number of the batch that Bytes is in, and Count how many of the items are in this file; the latter is not for feeds without batches.
	Batch int   `json:"batch,omitempty"`
	Count int64 `json:"batch_items,omitempty"`
	// Head is what stands before the records, where the file cannot be asked: it is compressed, or has gone.
	Head []byte `json:"head,omitempty"`
	// Member is what is open at Bytes in a compressed file.
	Member *member `json:"member,omitempty"`
	// What follows is known of where a part begins. Made is what its begin makes: folders, outermost first, and the file.
	Made []string `json:"made,omitempty"`
	// Place is the file that it gets to, and File which one it is, if it is written there: another one may get that name. Both are for files of this machine.
	Place string `json:"place,omitempty"`
	File  string `json:"file,omitempty"`
	// Overwrite says that all that is in the file is the job's.
	Overwrite bool `json:"overwrite,omitempty"`
}

// checked is how many bytes of a feed are compared when a job goes on: enough to know one file from another, and little enough to be read with each commit.
const checked = 4 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// positionOf is where a part is now, nil if it is no file. Called with mu held.
func (f *feed) positionOf(p *part) (*position, error) {
	if p.rw == nil {
		return nil, nil
	}
	last, err := tail(p.rw, p.at.offset, checked)
	if err != nil {
		return nil, err
	}
	at := &position{Bytes: p.at.offset, Items: p.at.items, CRC: crc32.Checksum(last, castagnoli), Format: f.form(), Batch: p.batch}
	if f.template.varies {
		at.Name = redacted(p.uri)
	}
	if p.batch > 0 || p.pk != nil {
		at.Count, at.Head = p.at.items-f.written, f.head
	}
	if p.pk != nil {
		m := p.pk.member
		at.Member = &m
	}
	return at, nil
}

// agrees is an error if the file is not what the job has left.
func (f *feed) agrees(p *part, at *position) error {
	const advice = "put the file back as it was, or start a new job in another folder"
	if at.Format != f.form() {
		return fmt.Errorf("this job has written it as %s, and not as %s: go on with that format, or start a new job in another folder", at.Format, f.form())
	}
	if p.size < at.Bytes {
		return fmt.Errorf("the file has %d bytes, and this job has left %d in it: %s", p.size, at.Bytes, advice)
	}
	last, err := tail(p.rw, at.Bytes, checked)
	if err != nil {
		return err
	}
	if crc32.Checksum(last, castagnoli) != at.CRC {
		return fmt.Errorf("the file has %d bytes, but the first %d are not those that this job has left in it: %s", p.size, at.Bytes, advice)
	}
	return nil
}

// past is what a job knows of its feeds when they are opened.
type past struct {
	stored map[string][]byte // positions, by key
	used   map[string]bool   // those of feeds that are still there
	dir    string            // the job's folder

	mu     sync.Mutex
	starts map[string]position // Guarded by mu.
	noted  bool                // Guarded by mu: starts have been written by this crawl.
}

// startsFile is where a job's folder says where its feeds began. A feed's position is committed with the first records that are written to it, so a crash between the
// writing and the commit leaves records that no position tells from what was in the file before the job. Once a position is committed its start is void.
const startsFile = "feeds.json"

// readPast reads what a job knows of its feeds.
func readPast(env *crawl.Env) (*past, error) {
	p := &past{stored: make(map[string][]byte), used: make(map[string]bool), dir: env.Settings.Job.Dir, starts: make(map[string]position)}
	for k, v := range env.State {
		if strings.HasPrefix(k, crawl.FeedPrefix) {
			p.stored[k] = v
		}
	}
	b, err := os.ReadFile(filepath.Join(p.dir, startsFile))
	if p.dir == "" || errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &p.starts)
	}
	if err != nil {
		return nil, fmt.Errorf("read where the job's feeds began: %w", err)
	}
	return p, nil
}

// position is the one that is committed under a key, or where its feed began; nil if it has not begun.
func (p *past) position(key string) (*position, error) {
	if value, ok := p.stored[key]; ok {
		at := new(position)
		if err := json.Unmarshal(value, at); err != nil {
			return nil, fmt.Errorf("read its position in the job: %w", err)
		}
		return at, nil
	}
	if at, ok := p.started(key, 0); ok {
		return &at, nil
	}
	return nil, nil
}

// started is where a batch of a feed began.
func (p *past) started(key string, batch int) (position, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.starts[startKey(key, batch)]
	return at, ok
}

// startKey is the key of where a batch began. The first one, and a feed without batches, has the feed's own.
func startKey(key string, batch int) string {
	if batch < 2 {
		return key
	}
	return fmt.Sprintf("%s#%d", key, batch)
}

// find says where a part goes on. It is an error if it cannot.
func (p *past) find(f *feed, part *part) error {
	if _, ok := f.enc.(crawl.FeedAppender); !ok {
		return fmt.Errorf("format %s cannot be appended to, and a job must be able to", f.format)
	}
	if f.key == "" {
		f.key = p.keyOf(f, part)
	}
	if _, ok := p.stored[f.key]; ok {
		p.used[f.key] = true
		at, err := p.position(f.key)
		if err != nil {
			return err
		}
		if at.Batch == part.batch {
			part.from, part.committed = at, true
			return f.agrees(part, at)
		}
	}
	at, ok := p.started(f.key, part.batch)
	if agrees := ok && !f.conf.Overwrite && f.agrees(part, &at) == nil; !agrees {
		return nil
	}
	if own, isFile := part.file.(*file); isFile && part.spool == "" && (at.File == "" || at.File != identity(own.File)) && part.size > at.Bytes {
		if !at.isPlace(own.Name()) {
			f.log.Warn("a file is not the one that this job has begun and not committed anything to: it is appended to as it is",
				zap.String("feed", f.shown), zap.String("file", own.Name()), zap.String("began", at.Place))
			return nil
		}
		// It may be ours, put back by a copy, whose items will come again; or somebody's who has put it there.
		kept, err := keepCopy(own.Name())
		if err != nil {
			return fmt.Errorf("keep a copy of it, since it is not known to be the one that this job has begun: %w", err)
		}
		f.log.Warn("a file is not known to be the one that this job has begun and not committed anything to: a copy of it is kept, and the feed begins anew",
			zap.String("feed", f.shown), zap.String("file", own.Name()), zap.String("began", at.Place), zap.String("copy", kept))
	}
	part.from = &at
	return nil
}

// keyOf is the key of a feed's position: its URI, or the one by which the job has known the same file before.
func (p *past) keyOf(f *feed, part *part) string {
	uri := f.shown
	own, isFile := part.file.(*file)
	if isFile {
		uri = filepath.ToSlash(filepath.Clean(own.Name()))
	}
	key := crawl.FeedPrefix + uri
	if _, ok := p.stored[key]; ok || !isFile {
		return key
	}
	for _, k := range slices.Sorted(maps.Keys(p.stored)) {
		info, err := os.Stat(filepath.FromSlash(strings.TrimPrefix(k, crawl.FeedPrefix)))
		if err == nil && os.SameFile(info, own.info) {
			return k
		}
	}
	return key
}

// warn tells of feeds that the job has written to and that are no longer there.
func (p *past) warn(log *zap.Logger) {
	for _, k := range slices.Sorted(maps.Keys(p.stored)) {
		if !p.used[k] {
			log.Warn("this job has written to a feed that it is not given now: the feed gets no more items", zap.String("feed", strings.TrimPrefix(k, crawl.FeedPrefix)))
		}
	}
}

// noteStarts makes durable where feeds begin that the job has not written to yet. They have been begun, and nothing has been written to them.
func (p *past) noteStarts(feeds []*feed) error {
	if p.dir == "" {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range feeds {
		if f.part == nil || f.rw == nil || f.committed {
			continue
		}
		at, err := f.positionOf(f.part)
		if err != nil {
			return fmt.Errorf("feed %s: %w", f.shown, err)
		}
		if f.part.batch > 1 {
			at.Made = p.starts[startKey(f.key, f.part.batch)].Made
		}
		at.Place, at.File = f.part.began()
		at.Overwrite = f.conf.Overwrite
		p.starts[startKey(f.key, f.part.batch)], p.noted = *at, true
		for old := 2; old < f.safe; old++ {
			delete(p.starts, startKey(f.key, old))
		}
	}
	if !p.noted {
		return nil
	}
	if err := p.writeStarts(); err != nil {
		return fmt.Errorf("note where the job's feeds begin: %w", err)
	}
	return nil
}

// noteMade makes durable that a batch is about to be begun, and what is made for that.
func (p *past) noteMade(f *feed, uri, place string, made []string) error {
	if p.dir == "" {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starts[startKey(f.key, f.batch)] = position{
		Items: f.written, Format: f.form(), Name: redacted(uri), Batch: f.batch, Made: made, Place: place, Overwrite: f.conf.Overwrite,
	}
	p.noted = true
	if err := p.writeStarts(); err != nil {
		return fmt.Errorf("note where the job's feeds begin: %w", err)
	}
	return nil
}

// startedAfter are the batches that were begun after the last one that is committed, by a process that was killed.
func (p *past) startedAfter(key string, batch int) (all []position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, at := range p.starts {
		if k == startKey(key, at.Batch) && at.Batch > max(batch, 1) {
			all = append(all, at)
		}
	}
	slices.SortFunc(all, func(a, b position) int { return b.Batch - a.Batch })
	return all
}

// tookBack forgets where a batch began that is not there any more: a file that gets its name is somebody else's.
func (p *past) tookBack(key string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.starts, key)
	return p.writeStarts()
}

// writeStarts makes durable what is noted. Called with mu held.
func (p *past) writeStarts() error {
	if len(p.starts) == 0 {
		if err := os.Remove(filepath.Join(p.dir, startsFile)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	b, err := json.MarshalIndent(p.starts, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	return writeWhole(filepath.Join(p.dir, startsFile), append(b, '\n'))
}

// forgetStarts takes back the starts of feeds that nothing was written to: others may write to those files before the job goes on. The feeds have been closed.
func (p *past) forgetStarts(feeds []*feed) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	had := len(p.starts)
	for _, f := range feeds {
		if !f.appended {
			delete(p.starts, f.key)
		}
	}
	if !p.noted || len(p.starts) == had {
		return nil
	}
	if err := p.writeStarts(); err != nil {
		return fmt.Errorf("note where the job's feeds begin: %w", err)
	}
	return nil
}

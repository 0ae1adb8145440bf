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

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

var _ crawl.Journal = (*feed)(nil)

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
}

// Append implements [crawl.Journal]. After an error the crawl has to end: errors.As to a [*crawl.CloseSpiderError] says with which reason. [ReasonReaderGone] is no
// failure of the crawl; but what was not read is not committed either.
func (f *feed) Append(lines []io.Reader) (key string, value []byte, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.failed.Load()
	if w == nil {
		if value, err = f.extend(lines); err == nil {
			if value == nil {
				return "", nil, nil
			}
			return f.key, value, nil
		}
		w = f.fail(err)
	}
	f.told = true
	return "", nil, fmt.Errorf("feed %s: %w", f.conf.URI, w)
}

// extend writes what was kept behind what is there, makes it durable, and returns the new position; nil if there is none to be committed.
func (f *feed) extend(lines []io.Reader) ([]byte, error) {
	next := f.at
	f.appended = true
	if err := f.copy(lines, &next); err != nil {
		if f.rw != nil {
			// In the next run it would be cut back anyway; but somebody may look before.
			err = errors.Join(err, f.mend())
		}
		return nil, err
	}
	if next.items == f.at.items {
		return nil, nil
	}
	if err := f.file.Sync(); err != nil {
		return nil, err
	}
	f.at = next
	if f.rw == nil {
		return nil, nil
	}
	at, err := f.position()
	if err != nil {
		return nil, err
	}
	return json.Marshal(at)
}

// copy writes all records, with what must stand before, between and behind them, and moves next along.
func (f *feed) copy(lines []io.Reader, next *spot) error {
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
	if f.rw != nil {
		c.out.Reset(io.NewOffsetWriter(f.rw, next.offset))
	} else {
		c.out.Reset(f.file)
	}
	c.record.R = c.in
	for _, r := range lines {
		c.in.Reset(r)
		for {
			n, err := f.copyRecord(c, next)
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			next.offset += n
		}
	}
	if f.rw != nil && next.items > f.at.items {
		// What cannot be written is said by Flush.
		_, _ = c.out.Write(f.end)
	}
	return c.out.Flush()
}

// copyRecord writes the next record of a page, and returns how many bytes it took. The error is io.EOF if there is none.
func (f *feed) copyRecord(c *copying, next *spot) (int64, error) {
	length, err := binary.ReadUvarint(c.in)
	if err == io.EOF {
		return 0, err
	}
	if err != nil {
		return 0, fmt.Errorf("read what was kept with a page: %w", err)
	}
	c.before = f.before(c.before[:0], next)
	if _, err := c.out.Write(c.before); err != nil {
		return 0, err
	}
	c.record.N = int64(min(length, 1<<62))
	n, err := c.out.ReadFrom(&c.record)
	if err != nil {
		return 0, err
	}
	if uint64(n) < length {
		return 0, fmt.Errorf("read what was kept with a page: %w", io.ErrUnexpectedEOF)
	}
	return int64(len(c.before)) + n, nil
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
}

// checked is how many bytes of a feed are compared when a job goes on: enough to know one file from another, and little enough to be read with each commit.
const checked = 4 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// position is where the feed is now.
func (f *feed) position() (position, error) {
	last, err := tail(f.rw, f.at.offset, checked)
	if err != nil {
		return position{}, err
	}
	return position{Bytes: f.at.offset, Items: f.at.items, CRC: crc32.Checksum(last, castagnoli), Format: f.format}, nil
}

// agrees is an error if the file is not what the job has left.
func (f *feed) agrees(p *position) error {
	const advice = "put the file back as it was, or start a new job in another folder"
	if p.Format != f.format {
		return fmt.Errorf("this job has written it as %s, and not as %s: go on with that format, or start a new job in another folder", p.Format, f.format)
	}
	if f.size < p.Bytes {
		return fmt.Errorf("the file has %d bytes, and this job has left %d in it: %s", f.size, p.Bytes, advice)
	}
	last, err := tail(f.rw, p.Bytes, checked)
	if err != nil {
		return err
	}
	if crc32.Checksum(last, castagnoli) != p.CRC {
		return fmt.Errorf("the file has %d bytes, but the first %d are not those that this job has left in it: %s", f.size, p.Bytes, advice)
	}
	return nil
}

// restore takes away what was written behind the position that the feed goes on from, and closes the feed there. A file that ends so is not touched.
func (f *feed) restore() error {
	at, whole := f.from.Bytes, f.from.Bytes+int64(len(f.end))
	last, err := tail(f.rw, f.size, int64(len(f.end)))
	if err != nil {
		return err
	}
	if f.size != whole || string(last) != string(f.end) {
		if err := f.rw.Truncate(at); err != nil {
			return err
		}
		if len(f.end) > 0 {
			if _, err := f.rw.WriteAt(f.end, at); err != nil {
				return err
			}
		}
	}
	if err := f.goOn(whole); err != nil {
		return err
	}
	f.at.offset, f.at.items = at, f.from.Items
	return nil
}

// past is what a job knows of its feeds when they are opened.
type past struct {
	stored map[string][]byte // positions, by key
	used   map[string]bool   // those of feeds that are still there
	dir    string            // the job's folder
	starts map[string]position
	noted  bool // starts have been written by this crawl
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

// find says where a feed goes on. It is an error if it cannot.
func (p *past) find(f *feed) error {
	if _, ok := f.enc.(crawl.FeedAppender); !ok {
		return fmt.Errorf("format %s cannot be appended to, and a job must be able to", f.format)
	}
	f.key = p.keyOf(f)
	if value, ok := p.stored[f.key]; ok {
		p.used[f.key] = true
		at := new(position)
		if err := json.Unmarshal(value, at); err != nil {
			return fmt.Errorf("read its position in the job: %w", err)
		}
		f.from, f.committed = at, true
		return f.agrees(at)
	}
	if at, ok := p.starts[f.key]; ok && !f.conf.Overwrite && f.agrees(&at) == nil {
		f.from = &at
	}
	return nil
}

// keyOf is the key of a feed's position: its URI, or the one by which the job has known the same file before.
func (p *past) keyOf(f *feed) string {
	uri := f.conf.URI
	own, isFile := f.file.(*file)
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
	for _, f := range feeds {
		if f.rw == nil || f.committed {
			continue
		}
		at, err := f.position()
		if err != nil {
			return fmt.Errorf("feed %s: %w", f.conf.URI, err)
		}
		p.starts[f.key], p.noted = at, true
	}
	if !p.noted {
		return nil
	}
	if err := p.writeStarts(); err != nil {
		return fmt.Errorf("note where the job's feeds begin: %w", err)
	}
	return nil
}

func (p *past) writeStarts() error {
	b, err := json.MarshalIndent(p.starts, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	name := filepath.Join(p.dir, startsFile)
	f, err := os.Create(name + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	return syncFolder(p.dir)
}

// forgetStarts takes back the starts of feeds that nothing was written to: others may write to those files before the job goes on. The feeds have been closed.
func (p *past) forgetStarts(feeds []*feed) error {
	had := len(p.starts)
	for _, f := range feeds {
		if !f.appended {
			delete(p.starts, f.key)
		}
	}
	if !p.noted || len(p.starts) == had {
		return nil
	}
	var err error
	if len(p.starts) == 0 {
		err = os.Remove(filepath.Join(p.dir, startsFile))
	} else {
		err = p.writeStarts()
	}
	if err != nil {
		return fmt.Errorf("note where the job's feeds begin: %w", err)
	}
	return nil
}

package ftp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/jlaffaye/ftp"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

// What a Store keeps of its own, below [store.Private].
const (
	metaDir = store.Private + "/meta/" // a record per file, under the file's name
	tempDir = store.Private + "/tmp/"  // files that are being written
)

const (
	// leftBehind is how old a temporary file is whose owner is taken for dead.
	leftBehind = 24 * time.Hour
	// maxFolders bounds what a Store remembers of folders.
	maxFolders = 10_000
	// cleanWithin bounds what is still done for an operation that was cancelled or failed.
	cleanWithin = 10 * time.Second
)

// Store keeps files in a folder of an FTP server. See the package's page for how. It is safe for concurrent use, also together with others in other processes.
type Store struct {
	pool *pool
	base string // absolute

	mu      sync.Mutex
	folders map[string]bool // Guarded by mu: absolute names of folders that are there.

	// settling is held for a name, by its hash, while a file and its record take their places: FTP's times are too coarse to tell whose record it is afterwards.
	settling [64]chan struct{}
}

var (
	_ crawl.OpenStore = Open
	_ crawl.Store     = (*Store)(nil)
	_ crawl.Toucher   = (*Store)(nil)
	_ store.Recorder  = (*Store)(nil)
	_ io.Closer       = (*Store)(nil)
)

// Open opens the store at an ftp:// or ftps:// address: it logs in, goes to the folder, and sees whether it may write there. Close it after use: it is a [*Store]. It is a
// [crawl.OpenStore].
func Open(ctx context.Context, uri string, env *crawl.Env) (crawl.Store, error) {
	a, err := parseAddress(uri, env.Settings.FTP)
	if err != nil {
		return nil, err
	}
	s := &Store{pool: newPool(a, env.Settings.FTP.Connections), folders: make(map[string]bool)}
	for i := range s.settling {
		s.settling[i] = make(chan struct{}, 1)
	}
	if err := s.pool.do(ctx, nil, func(c *conn) error { return s.enter(c, a.folder) }); err != nil {
		s.pool.close()
		return nil, fmt.Errorf("%s: %w", a.addr, err)
	}
	return s, nil
}

func (s *Store) enter(c *conn, folder string) (err error) {
	if s.base, err = c.enterFolder(folder); err != nil {
		return err
	}
	if err := s.makeFolders(c, tempDir); err != nil {
		return err
	}
	return s.sweep(c)
}

// sweep removes what others have begun long ago and not finished. What it can't remove stays for another day.
func (s *Store) sweep(c *conn) error {
	entries, err := c.List(s.at(tempDir))
	if err != nil {
		if broken(err) {
			return said("LIST", err)
		}
		return nil
	}
	for _, e := range entries {
		if e.Type != ftp.EntryTypeFile {
			continue
		}
		name := s.at(tempDir + path.Base(e.Name))
		_, mod, err := c.info(name)
		if err == nil && !mod.IsZero() && time.Since(mod) > leftBehind {
			err = c.remove(name)
		}
		if broken(err) {
			return err
		}
	}
	return nil
}

// Put implements [crawl.Store]. If r is an io.Seeker, an upload whose connection breaks begins once more from where r stood.
func (s *Store) Put(ctx context.Context, name string, r io.Reader, meta crawl.Meta) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	return s.failed("put", name, s.put(ctx, name, r, meta))
}

func (s *Store) put(ctx context.Context, name string, r io.Reader, meta crawl.Meta) error {
	var tmp string
	src := newSource(ctx, r)
	err := s.pool.do(ctx, src.rewind, func(c *conn) error {
		// Each attempt has its own file: the server may still be writing what the one before has sent.
		tmp = tempName()
		err := s.upload(c, tmp, src)
		if src.err != nil {
			// It is not the connection that has failed. Has it?
			return said("NOOP", c.NoOp())
		}
		return err
	})
	if src.err != nil {
		err = src.err
	}
	if err == nil {
		err = s.settle(ctx, name, tmp, src.n, meta)
	}
	if err != nil && tmp != "" {
		s.discard(ctx, tmp)
	}
	return err
}

func (s *Store) upload(c *conn, tmp string, src *source) error {
	err := c.upload(s.at(tmp), src)
	if !refused(err) || src.n > 0 || src.err != nil {
		return err
	}
	// Perhaps somebody has removed the folder.
	if err := s.makeFoldersAgain(c, tempDir); err != nil {
		return err
	}
	return c.upload(s.at(tmp), src)
}

// settle gives a file that the server has all of its record and its name. The record comes first: until the file is there too it is one of something else, and counts
// for nothing.
func (s *Store) settle(ctx context.Context, name, tmp string, sent int64, meta crawl.Meta) error {
	unlock, err := s.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	var r record
	placing := false
	return s.pool.do(ctx, nil, func(c *conn) error {
		size, mod, err := c.info(s.at(tmp))
		if placing && errors.Is(err, fs.ErrNotExist) {
			return s.placed(c, name, r, err)
		}
		if err != nil {
			return err
		}
		if size != sent {
			return fmt.Errorf("%w: %d of %d bytes", errCut, size, sent)
		}
		r = newRecord(size, mod, meta)
		if err := s.writeRecord(c, name, r); err != nil {
			return err
		}
		placing = true
		return s.place(c, tmp, name)
	})
}

// placed looks whether a rename has been done though its reply was lost: err is why that is likely.
func (s *Store) placed(c *conn, name string, r record, err error) error {
	size, mod, there := c.info(s.at(name))
	if there == nil && size == r.Size && (mod.IsZero() || mod.Unix() == r.seconds()) {
		return nil
	}
	return errors.Join(err, there)
}

// place renames a finished file.
func (s *Store) place(c *conn, tmp, name string) error {
	folder, from, to := path.Dir(name), s.at(tmp), s.at(name)
	if err := s.makeFolders(c, folder); err != nil {
		return err
	}
	err := c.rename(from, to)
	if !refused(err) {
		return err
	}
	// Perhaps somebody has removed the folder; or the server does not rename onto a file.
	if err := s.makeFoldersAgain(c, folder); err != nil {
		return err
	}
	if _, _, there := c.info(to); errors.Is(there, fs.ErrNotExist) {
		return c.rename(from, to)
	} else if there != nil {
		return errors.Join(err, there)
	}
	if _, _, there := c.info(from); there != nil {
		return errors.Join(err, there)
	}
	// The old file is not deleted before the new one stands in its place: it could be for another reason that the server refuses.
	aside := s.at(tempName())
	if again := c.rename(to, aside); again != nil {
		return errors.Join(err, again)
	}
	if err := c.rename(from, to); err != nil {
		if refused(err) {
			err = errors.Join(err, c.rename(aside, to))
		}
		return err
	}
	if err := c.remove(aside); broken(err) {
		return err
	}
	return nil
}

// discard removes a temporary file of something that has failed. If that fails too, sweep will do it, as it does for an upload whose connection has broken.
func (s *Store) discard(ctx context.Context, tmp string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanWithin)
	defer cancel()
	_ = s.pool.do(ctx, nil, func(c *conn) error { return c.remove(s.at(tmp)) })
}

// Stat implements [crawl.Store]. A file that the server has cut short since it was stored has no ModTime.
func (s *Store) Stat(ctx context.Context, name string) (crawl.Info, error) {
	if err := store.CheckName(name); err != nil {
		return crawl.Info{}, err
	}
	var found seen
	err := s.pool.do(ctx, nil, func(c *conn) (err error) {
		found, err = s.look(c, name)
		return err
	})
	if err != nil {
		return crawl.Info{}, s.failed("stat", name, err)
	}
	return found.Info, nil
}

// Open implements [crawl.Store]. What it returns has a connection to itself until it is closed, and ends with ctx.
func (s *Store) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := store.CheckName(name); err != nil {
		return nil, err
	}
	f, err := s.open(ctx, name, false)
	if broken(err) && ctx.Err() == nil {
		f, err = s.open(ctx, name, true)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, s.failed("open", name, err)
	}
	return f, nil
}

func (s *Store) open(ctx context.Context, name string, fresh bool) (*file, error) {
	c, err := s.pool.get(ctx, fresh)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, c.abort)
	resp, err := c.Retr(s.at(name))
	if err != nil {
		s.pool.back(c, stop() && !broken(err))
		return nil, said("RETR", missing(err))
	}
	return &file{ctx: ctx, store: s, name: name, conn: c, resp: resp, stop: stop}, nil
}

// Touch implements [crawl.Toucher].
func (s *Store) Touch(ctx context.Context, name string, meta crawl.Meta) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	return s.failed("touch", name, s.change(ctx, name, func(c *conn, found seen) error { return s.touch(c, name, found, meta) }))
}

func (s *Store) touch(c *conn, name string, found seen, meta crawl.Meta) error {
	// Never back in time, if the server's clock is ahead.
	now := time.Now().UTC().Truncate(time.Second)
	if now.Before(found.ModTime) {
		now = found.ModTime
	}
	mod := found.mod
	if c.IsSetTimeSupported() {
		err := c.SetTime(s.at(name), now)
		if err == nil {
			_, mod, err = c.info(s.at(name))
		}
		if err != nil && !refused(err) {
			return said("MFMT", err)
		}
	}
	r := newRecord(found.Size, mod, meta)
	if now.After(r.time()) {
		r.Renewed = now.UnixNano()
	}
	return s.writeRecord(c, name, r)
}

// Record implements [store.Recorder].
func (s *Store) Record(ctx context.Context, name string, known crawl.Info) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	return s.failed("record", name, s.change(ctx, name, func(c *conn, found seen) error {
		if found.Size != known.Size || !found.ModTime.Equal(known.ModTime) {
			return nil
		}
		r := newRecord(found.Size, found.mod, known.Meta)
		if found.mod.IsZero() {
			r.ModTime = found.record.ModTime
		}
		r.Renewed = found.record.Renewed
		return s.writeRecord(c, name, r)
	}))
}

// change lets f change the record of a file as it is found, while nobody else here does.
func (s *Store) change(ctx context.Context, name string, f func(*conn, seen) error) error {
	unlock, err := s.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	return s.pool.do(ctx, nil, func(c *conn) error {
		found, err := s.look(c, name)
		if err != nil {
			return err
		}
		return f(c, found)
	})
}

// Close closes the connections. No other method may run, or be called afterwards.
func (s *Store) Close() error {
	s.pool.close()
	return nil
}

// failed adds to an error what was going on, with what, and where.
func (s *Store) failed(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %s: %w", op, name, s.pool.address.addr, err)
}

// at is the absolute form of a name.
func (s *Store) at(name string) string { return path.Join(s.base, name) }

// lock waits until nobody else here settles a name.
func (s *Store) lock(ctx context.Context, name string) (unlock func(), err error) {
	h := fnv.New32a()
	_, _ = io.WriteString(h, name)
	held := s.settling[h.Sum32()%uint32(len(s.settling))]
	select {
	case held <- struct{}{}:
		return func() { <-held }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// makeFolders makes a folder below the base and its parents, as far as they are not known to be there.
func (s *Store) makeFolders(c *conn, folder string) error {
	made := s.base
	for element := range strings.SplitSeq(strings.Trim(folder, "/"), "/") {
		made = path.Join(made, element)
		if s.known(made) {
			continue
		}
		if err := c.makeFolder(made); err != nil {
			return err
		}
		s.mu.Lock()
		if len(s.folders) >= maxFolders {
			clear(s.folders)
		}
		s.folders[made] = true
		s.mu.Unlock()
	}
	return nil
}

// makeFoldersAgain does not trust what was known.
func (s *Store) makeFoldersAgain(c *conn, folder string) error {
	s.mu.Lock()
	clear(s.folders)
	s.mu.Unlock()
	return s.makeFolders(c, folder)
}

func (s *Store) known(folder string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return folder == s.base || s.folders[folder]
}

// tempName is one that nobody else has.
func tempName() string { return tempDir + rand.Text() }

// source is what is uploaded. It ends with its context.
type source struct {
	ctx    context.Context
	r      io.Reader
	n      int64     // bytes read
	err    error     // of r, or ctx
	seeker io.Seeker // nil if r is none
	start  int64     // where r stood
}

func newSource(ctx context.Context, r io.Reader) *source {
	s := &source{ctx: ctx, r: r}
	if seeker, ok := r.(io.Seeker); ok {
		if start, err := seeker.Seek(0, io.SeekCurrent); err == nil {
			s.seeker, s.start = seeker, start
		}
	}
	return s
}

func (s *source) Read(p []byte) (int, error) {
	if s.err = s.ctx.Err(); s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	s.n += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// rewind goes back to the start, and reports whether that was possible.
func (s *source) rewind() bool {
	if s.err != nil {
		return false
	}
	if s.n == 0 {
		return true
	}
	if s.seeker == nil {
		return false
	}
	s.n = 0
	_, err := s.seeker.Seek(s.start, io.SeekStart)
	return err == nil
}

// file is one that is read.
type file struct {
	ctx   context.Context
	store *Store
	name  string
	conn  *conn
	resp  *ftp.Response
	stop  func() bool
	err   error // what Read returns from now on
}

// Read ends with io.EOF only when the server has said that it has sent everything: the end of a data connection alone may be that of a transfer that was cut off.
func (f *file) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	if err := f.ctx.Err(); err != nil { // whatever has arrived before
		f.done(err)
		return 0, f.err
	}
	n, err := f.resp.Read(p)
	if err != nil {
		if err == io.EOF {
			err = transferred(f.resp.Close())
		}
		f.done(err)
	}
	return n, f.err
}

// done gives the connection back.
func (f *file) done(err error) {
	stopped := f.stop()
	f.store.pool.back(f.conn, stopped && !broken(err))
	switch {
	case err == nil:
		f.err = io.EOF
	case f.ctx.Err() != nil:
		f.err = f.store.failed("read", f.name, f.ctx.Err())
	default:
		f.err = f.store.failed("read", f.name, said("RETR", err))
	}
}

// Close gives the connection back. One that has not been read to its end is cut off: how much is still to come nobody knows.
func (f *file) Close() error {
	if f.err == nil {
		f.stop()
		f.store.pool.back(f.conn, false)
		f.err = fs.ErrClosed
	}
	return nil
}

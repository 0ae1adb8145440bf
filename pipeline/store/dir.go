package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// What a Dir keeps of its own, below [Private].
const (
	metaDir = Private + "/meta/" // a record per file, under the file's name
	tempDir = Private + "/tmp"   // a folder per open Dir, for files that are being written
)

// Dir keeps files in a folder. A file appears under its name by a rename, once it is whole; what is known of it stands in a small record below .tulle/meta, valid
// only while the file's size and time are what they were. Nothing outside the folder is ever touched, not even through a symbolic link in it. Several
// Dirs, in several processes, may share a folder.
//
// Put does not wait for the disk: after a power cut, though not after a crash of the program, a file that was written a moment before and not synced by [Dir.Sync] may
// be gone or cut short. One that is cut short is not taken for fresh: see [Dir.Stat].
type Dir struct {
	path string // absolute
	root *os.Root

	mu    sync.Mutex
	work  *workshop // Guarded by mu: nil when somebody has cleaned up; the next write makes another.
	above []string  // Guarded by mu: folders to be synced with the first file, for the name of this one.
	next  atomic.Uint64

	safety safety

	buffers sync.Pool // of *[]byte, to copy through
}

// workshop is the folder below tempDir in which one Dir makes its files. A lock says that its owner lives: what a crash leaves has none, and
// the next Dir that is opened removes it.
type workshop struct {
	name string
	root *os.Root // the folder, so that the way to it is not walked for every file
	lock *os.File
	mode fs.FileMode // of files, as the umask allows
}

// idleWorkshop is how long nothing has happened in a workshop that counts as left behind where locks can't say so. An owner that wakes up after all makes
// another one.
const idleWorkshop = 24 * time.Hour

// lockState is what came of trying to lock.
type lockState int

const (
	lockUnknown lockState = iota // there are no locks here
	lockTaken                    // it is ours now
	lockBusy                     // somebody else has it
)

var (
	_ crawl.Store   = (*Dir)(nil)
	_ crawl.Adopter = (*Dir)(nil)
	_ crawl.Toucher = (*Dir)(nil)
	_ crawl.Syncer  = (*Dir)(nil)
	_ Recorder      = (*Dir)(nil)
	_ io.Closer     = (*Dir)(nil)
)

// OpenDir opens a folder, which is made with its parents if need be, and removes unfinished files that a crash has left there. A folder that can't be written to is an
// error. Close it after use.
func OpenDir(dir string) (*Dir, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	above := folderNames(abs)
	if err := os.MkdirAll(abs, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: abs, root: root, above: above}
	d.sweep()
	if _, err := d.workshop(); err != nil {
		return nil, errors.Join(fmt.Errorf("the folder can't be written to: %w", err), root.Close())
	}
	return d, nil
}

// Put implements [crawl.Store].
func (d *Dir) Put(ctx context.Context, name string, r io.Reader, meta crawl.Meta) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if err := d.put(name, &reader{ctx: ctx, r: r}, meta); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	return nil
}

func (d *Dir) put(name string, r io.Reader, meta crawl.Meta) error {
	tmp, info, err := d.write(r)
	if err != nil {
		return err
	}
	if err := d.settle(tmp, name, info, meta); err != nil {
		_ = d.root.Remove(tmp)
		return err
	}
	return nil
}

// settle gives a finished file its record and its name. The record comes first: until the file is there too it is one of something else, and counts for nothing.
func (d *Dir) settle(tmp, name string, info fs.FileInfo, meta crawl.Meta) error {
	defer d.safety.changed(name)
	if err := d.record(name, info, meta); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return d.place(tmp, name)
}

// Adopt implements [crawl.Adopter].
func (d *Dir) Adopt(ctx context.Context, name, localPath string, meta crawl.Meta) (bool, error) {
	if err := CheckName(name); err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("adopt %s: %w", name, err)
	}
	work, err := d.workshop()
	if err != nil {
		return false, fmt.Errorf("adopt %s: %w", name, err)
	}
	// The way leads through the workshop, because a rename by path straight to the name would follow symbolic links in the folder.
	tmp := d.tempName(work)
	here := filepath.Join(d.path, filepath.FromSlash(tmp))
	if err := os.Rename(localPath, here); err != nil {
		return false, nil //nolint:nilerr // Most likely another file system; whatever it is, Put will meet it too.
	}
	if err := d.adopt(name, tmp, work.mode, meta); err != nil {
		return false, fmt.Errorf("adopt %s: %w", name, errors.Join(err, os.Rename(here, localPath)))
	}
	return true, nil
}

func (d *Dir) adopt(name, tmp string, mode fs.FileMode, meta crawl.Meta) error {
	if err := d.root.Chmod(tmp, mode); err != nil {
		return err
	}
	info, err := d.root.Stat(tmp)
	if err != nil {
		return err
	}
	return d.settle(tmp, name, info, meta)
}

// Stat implements [crawl.Store].
//
// A file that a power cut has cut short has no ModTime: it was never whole, and counts as having no age at all. It is told by its record. A file and its record are
// not synced by themselves, so either may survive without the other, or in part; but file systems that keep a journal make a file no longer than what they have
// written of it, so one that lacks bytes is shorter than its record says, and its time is that of one of its writes and no later. Somebody who
// replaces a file leaves a later time. A record that can't be read says as much: it and the file were written together. (Where a length may be safe
// before the bytes are, as with ext4's data=writeback, only Sync helps.) A file without any record is somebody else's.
func (d *Dir) Stat(ctx context.Context, name string) (crawl.Info, error) {
	if err := CheckName(name); err != nil {
		return crawl.Info{}, err
	}
	info, err := d.stat(ctx, name)
	if err != nil {
		return crawl.Info{}, fmt.Errorf("stat %s: %w", name, err)
	}
	known := crawl.Info{Size: info.Size(), ModTime: info.ModTime().UTC()}
	var whole bool
	if known.Meta, whole = d.recorded(name, info); !whole {
		known.ModTime = time.Time{}
	}
	return known, nil
}

func (d *Dir) stat(ctx context.Context, name string) (fs.FileInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	info, err := d.root.Stat(name)
	switch {
	case err != nil:
		return nil, notExist(err)
	case !info.Mode().IsRegular():
		return nil, fs.ErrNotExist
	}
	return info, nil
}

// Open implements [crawl.Store]. What it returns is an io.Seeker too.
func (d *Dir) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if _, err := d.stat(ctx, name); err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, notExist(err))
	}
	return f, nil
}

// Touch implements [crawl.Toucher].
func (d *Dir) Touch(ctx context.Context, name string, meta crawl.Meta) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if err := d.touch(ctx, name, meta); err != nil {
		return fmt.Errorf("touch %s: %w", name, err)
	}
	return nil
}

func (d *Dir) touch(ctx context.Context, name string, meta crawl.Meta) error {
	defer d.safety.changed(name)
	if _, err := d.stat(ctx, name); err != nil {
		return err
	}
	now := time.Now()
	if err := d.root.Chtimes(name, now, now); err != nil {
		return err
	}
	info, err := d.stat(ctx, name)
	if err != nil {
		return err
	}
	return d.record(name, info, meta)
}

// Record implements [Recorder].
func (d *Dir) Record(ctx context.Context, name string, known crawl.Info) error {
	if err := CheckName(name); err != nil {
		return err
	}
	info, err := d.stat(ctx, name)
	if err == nil && info.Size() == known.Size && info.ModTime().Equal(known.ModTime) {
		err = d.record(name, info, known.Meta)
		d.safety.changed(name)
	}
	if err != nil {
		return fmt.Errorf("record %s: %w", name, err)
	}
	return nil
}

// Close removes what is unfinished. No other method may run, or be called afterwards.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	if d.work != nil {
		_ = d.work.root.Close()
		err = d.root.RemoveAll(d.work.name)
		_ = d.work.lock.Close()
		d.work = nil
	}
	if err = errors.Join(err, d.root.Close()); err != nil {
		return fmt.Errorf("close store %s: %w", d.path, err)
	}
	return nil
}

// record is a file's record as it stands below metaDir.
type record struct {
	Size    int64      `json:"size"`
	ModTime int64      `json:"mtime"` // in nanoseconds since 1970
	Meta    crawl.Meta `json:"meta"`
}

// record notes what is known of the file that info describes.
func (d *Dir) record(name string, info fs.FileInfo, meta crawl.Meta) error {
	if reflect.ValueOf(meta).IsZero() {
		if err := notExist(d.root.Remove(metaDir + name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	b, err := json.Marshal(record{Size: info.Size(), ModTime: info.ModTime().UnixNano(), Meta: meta})
	if err != nil {
		return err
	}
	tmp, f, err := d.create()
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.place(tmp, metaDir+name)
	}
	if err != nil {
		_ = d.root.Remove(tmp)
	}
	return err
}

// recorded is the record of the file that info describes. It is zero if there is none, or one of something that has been replaced. whole is false if the file has been
// cut short.
func (d *Dir) recorded(name string, info fs.FileInfo) (meta crawl.Meta, whole bool) {
	b, err := d.root.ReadFile(metaDir + name)
	if err != nil {
		return crawl.Meta{}, true
	}
	var r record
	if json.Unmarshal(b, &r) != nil {
		return crawl.Meta{}, false
	}
	written := info.ModTime().UnixNano()
	if r.Size == info.Size() && r.ModTime == written {
		return r.Meta, true
	}
	return crawl.Meta{}, info.Size() >= r.Size || written > r.ModTime
}

// write copies r to a new file in the workshop and says what became of it.
func (d *Dir) write(r io.Reader) (tmp string, info fs.FileInfo, err error) {
	tmp, f, err := d.create()
	if err != nil {
		return "", nil, err
	}
	defer func() {
		if err != nil {
			_ = d.root.Remove(tmp)
		}
	}()
	buf, _ := d.buffers.Get().(*[]byte)
	if buf == nil {
		b := make([]byte, 128<<10)
		buf = &b
	}
	defer d.buffers.Put(buf)
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, r, *buf)
	if err == nil {
		// Asked for here and not after the rename, when it could be another writer's file that answers.
		info, err = f.Stat()
	}
	return tmp, info, errors.Join(err, f.Close())
}

// create makes a new file in the workshop.
func (d *Dir) create() (string, *os.File, error) {
	for again := true; ; again = false {
		work, err := d.workshop()
		if err != nil {
			return "", nil, err
		}
		tmp := d.tempName(work)
		f, err := work.root.OpenFile(path.Base(tmp), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err == nil {
			return tmp, f, nil
		}
		if !again || !errors.Is(err, fs.ErrNotExist) {
			return "", nil, err
		}
		d.abandon(work) // Somebody has cleaned up below us.
	}
}

func (d *Dir) tempName(work *workshop) string {
	return work.name + "/" + strconv.FormatUint(d.next.Add(1), 36)
}

// place moves a finished file from the workshop to its name.
func (d *Dir) place(tmp, name string) error {
	err := d.root.Rename(tmp, name)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return d.root.Rename(tmp, name)
}

// workshop returns the folder for unfinished files.
func (d *Dir) workshop() (*workshop, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.work != nil {
		return d.work, nil
	}
	// A Dir that is being opened may take the new folder for a leftover before it is locked. Then there is another name.
	for range 10 {
		work, err := d.newWorkshop(tempDir + "/" + rand.Text())
		if err != nil {
			return nil, err
		}
		if work != nil {
			d.work = work
			return work, nil
		}
	}
	return nil, fmt.Errorf("%s: somebody removes every new folder", filepath.Join(d.path, tempDir))
}

// newWorkshop makes and locks a folder. It returns nil without an error if it was removed meanwhile.
func (d *Dir) newWorkshop(name string) (*workshop, error) {
	if err := d.root.MkdirAll(name, 0o755); err != nil {
		return nil, err
	}
	f, err := d.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	state := tryLock(f)
	mine, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	// Somebody else has it, or has swept it and perhaps made another since.
	there, gone := d.root.Stat(name)
	if state == lockBusy || gone != nil || !os.SameFile(mine, there) {
		return nil, f.Close()
	}
	root, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// The folder has what the umask leaves of 0755, so this is what it leaves of 0644.
	return &workshop{name: name, root: root, lock: f, mode: mine.Mode().Perm() & 0o644}, nil
}

// abandon forgets a workshop that is gone.
func (d *Dir) abandon(work *workshop) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.work == work {
		_ = work.lock.Close() // The root is closed when nobody has it any more: others may be at work in it.
		d.work = nil
	}
}

// sweep removes the workshops that have no owner any more. What it can't remove stays for another day.
func (d *Dir) sweep() {
	entries, err := fs.ReadDir(d.root.FS(), tempDir)
	if err != nil {
		return
	}
	for _, e := range entries {
		name := tempDir + "/" + e.Name()
		f, err := d.root.Open(name)
		if err != nil {
			continue
		}
		state := tryLock(f)
		if state == lockUnknown {
			if info, err := f.Stat(); err == nil && time.Since(info.ModTime()) > idleWorkshop {
				state = lockTaken
			}
		}
		if state == lockTaken {
			_ = d.root.RemoveAll(name)
		}
		_ = f.Close()
	}
}

// notExist gives the error of a path that leads through a file its meaning: there is no such file.
func notExist(err error) error {
	if errors.Is(err, syscall.ENOTDIR) {
		return fs.ErrNotExist
	}
	return err
}

package cachedb

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

// errTaken says that another crawl has the database.
var errTaken = errors.New("another crawl has it")

// errLost says that the database is lost, and why.
var errLost = errors.New("the database of the HTTP cache is lost")

// fate is whether the database lives.
type fate struct {
	log   *zap.Logger
	armed atomic.Bool // it is open: a write that fails is its end

	damaged atomic.Int32 // see maxDamaged

	once sync.Once
	died chan struct{} // closed when it is lost
	why  error         // set before
}

// bind calls f, but does not wait for it once the database is lost: then it may never return, and what it was to do does not matter.
func (f *fate) bind(do func() error) error {
	select {
	case <-f.died:
		return f.why
	default:
	}
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-f.died:
		return f.why
	}
}

func (f *fate) lose(err error) {
	f.once.Do(func() {
		f.why = fmt.Errorf("%w: %w", errLost, err)
		close(f.died)
		f.log.Warn("the HTTP cache is given up for this crawl: everything is asked of the site. If its files are damaged, delete the folder", zap.Error(err))
	})
}

// end is the end of the database and of the goroutine that finds it, which would go on to end the process. What it holds stays held.
func (f *fate) end(err error) {
	f.lose(err)
	select {}
}

// maxDamaged is how often work in the background may come upon what is damaged. The rest of the database goes on, and most of the work is not tried again for minutes;
// but some is tried at once, for ever.
const maxDamaged = 100

// background is told of a table that could not be written, or read to be written anew. The database tries again at once, for ever.
func (f *fate) background(err error) {
	if pebble.IsCorruptionError(err) && f.damaged.Add(1) < maxDamaged {
		return
	}
	f.lose(err)
	time.Sleep(time.Second)
}

// check passes an error of a write on, unless the database is open.
func (f *fate) check(err error) error {
	if err != nil && f.armed.Load() {
		f.end(err)
	}
	return err
}

// logger is the database's.
type logger struct{ fate *fate }

func (logger) Infof(string, ...any) {}

func (l logger) Errorf(format string, args ...any) {
	l.fate.log.Debug("HTTP cache: " + fmt.Sprintf(format, args...))
}

func (l logger) Fatalf(format string, args ...any) { l.fate.end(fmt.Errorf(format, args...)) }

// files is the file system as the database sees it.
type files struct {
	vfs.FS
	fate *fate
}

func (f files) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, category)
	return f.guard(name, file, err)
}

func (f files) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(oldname, newname, category)
	return f.guard(newname, file, err)
}

func (f files) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	return f.guard(name, file, err)
}

func (f files) Link(oldname, newname string) error { return f.fate.check(f.FS.Link(oldname, newname)) }

func (f files) Rename(oldname, newname string) error {
	return f.fate.check(f.FS.Rename(oldname, newname))
}

func (f files) Lock(name string) (io.Closer, error) {
	lock, err := f.FS.Lock(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errTaken, err)
	}
	return lock, nil
}

func (f files) Unwrap() vfs.FS { return f.FS }

// guard watches a file whose loss the database does not survive. Of a table that cannot be written background is told.
func (f files) guard(name string, file vfs.File, err error) (vfs.File, error) {
	if strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob") {
		return file, err
	}
	if err != nil {
		return nil, f.fate.check(err)
	}
	return guarded{file, f.fate}, nil
}

type guarded struct {
	vfs.File
	fate *fate
}

func (g guarded) Write(p []byte) (int, error) {
	n, err := g.File.Write(p)
	return n, g.fate.check(err)
}

func (g guarded) WriteAt(p []byte, at int64) (int, error) {
	n, err := g.File.WriteAt(p, at)
	return n, g.fate.check(err)
}

func (g guarded) Sync() error { return g.fate.check(g.File.Sync()) }

func (g guarded) SyncData() error { return g.fate.check(g.File.SyncData()) }

func (g guarded) SyncTo(length int64) (bool, error) {
	full, err := g.File.SyncTo(length)
	return full, g.fate.check(err)
}

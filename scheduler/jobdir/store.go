package jobdir

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// budget is how Job.Memory is divided.
type budget struct {
	cache    int64  // blocks of the store
	memtable uint64 // each of at most four
	seen     int    // fingerprints
	heads    int    // requests; the garbage collector doubles them
}

func divide(memory int64) budget {
	memory = min(max(memory, 16<<20), 16<<30) // the store takes no memtables of 4 GiB
	return budget{cache: memory / 8 * 3, memtable: uint64(memory / 16), seen: int(memory / 8), heads: int(memory / 16)}
}

// health is what the store's goroutines report.
type health struct {
	full  atomic.Bool // the disk was found full: what follows is written in the ballast's room
	armed atomic.Bool // the store is open: a write that fails is its end
	log   *zap.Logger

	behind atomic.Pointer[error] // why the store's own work does not succeed, and is tried again

	once sync.Once
	died chan struct{} // closed when the store cannot be used any more
	why  error         // set before
}

func newHealth(log *zap.Logger) *health { return &health{log: log, died: make(chan struct{})} }

// err is why the store can't be used any more.
func (h *health) err() error {
	select {
	case <-h.died:
		return h.why
	default:
		return nil
	}
}

// end is the end of the store, and of the goroutine that finds it: the store would end the process. What it holds stays held, so nothing of the store may be called
// afterwards.
func (h *health) end(err error) {
	h.lose(err)
	select {}
}

// lose gives the store up.
func (h *health) lose(err error) {
	h.once.Do(func() {
		h.why = fmt.Errorf("job store: %w", diskFull(err))
		close(h.died)
	})
}

// background is told of work that does not succeed. The store tries again at once, which it need not do thousands of times a second.
func (h *health) background(err error) {
	h.log.Debug("job store", zap.Error(err))
	h.behind.Store(&err)
	time.Sleep(10 * time.Millisecond)
}

// check passes an error of a write on, unless the store is open.
func (h *health) check(err error) error {
	if err != nil && h.armed.Load() {
		h.end(err)
	}
	return err
}

// logger is the store's.
type logger struct{ h *health }

func (logger) Infof(string, ...any) {}

func (l logger) Errorf(format string, args ...any) {
	l.h.log.Debug("job store: " + fmt.Sprintf(format, args...))
}

func (l logger) Fatalf(format string, args ...any) { l.h.end(fmt.Errorf(format, args...)) }

// diskFull makes an error that comes from a full disk say so.
func diskFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) && !errors.Is(err, crawl.ErrDiskFull) {
		return fmt.Errorf("%w: %w", crawl.ErrDiskFull, err)
	}
	return err
}

type storeMode int

const (
	storeNew      storeMode = iota // it may have to be made
	storeOld                       // it must be there
	storeReadOnly                  // likewise, and nothing is written
)

// openStore opens the embedded store.
func openStore(fs vfs.FS, dir string, b budget, h *health, how storeMode) (db *pebble.DB, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("open the store: %v", v)
		}
	}()
	cache := pebble.NewCache(b.cache)
	defer cache.Unref()
	opts := &pebble.Options{
		FS:                          files{fs, h},
		Cache:                       cache,
		MemTableSize:                b.memtable,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       32,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                1000,
		FormatMajorVersion:          pebble.FormatValueSeparation,
		Logger:                      logger{h},
		ReadOnly:                    how == storeReadOnly,
		ErrorIfNotExists:            how != storeNew,
		CompactionConcurrencyRange:  func() (int, int) { return 1, max(2, runtime.GOMAXPROCS(0)/2) },
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { h.background(err) },
			DataCorruption:  func(info pebble.DataCorruptionInfo) { h.background(info.Details) },
		},
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		opts.Levels[i].IndexBlockSize = 256 << 10
		opts.TargetFileSizes[i] = 4 << 20 // a filter is a block, and is read whole
	}
	db, err = pebble.Open(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", diskFull(err))
	}
	h.armed.Store(how != storeReadOnly)
	return db, nil
}

// files is the file system as the store sees it. A write that fails is the end of the store: it answers some by ending the process, or by a panic with a lock given
// back twice, which nothing stops.
type files struct {
	vfs.FS
	h *health
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

func (f files) Link(oldname, newname string) error {
	return f.h.check(f.FS.Link(oldname, newname))
}

func (f files) Rename(oldname, newname string) error {
	return f.h.check(f.FS.Rename(oldname, newname))
}

func (f files) Unwrap() vfs.FS { return f.FS }

// Lock has nothing to do: the job's own lock is held.
func (f files) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// guard watches a file whose loss the store does not survive. A table that cannot be written is made again later.
func (f files) guard(name string, file vfs.File, err error) (vfs.File, error) {
	if strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob") {
		return file, err
	}
	if err != nil {
		return nil, f.h.check(err)
	}
	g := &guarded{File: file, h: f.h}
	if strings.HasPrefix(f.PathBase(name), "MANIFEST-") {
		g.nameless = &folder{fs: f.FS, dir: f.PathDir(name)}
	}
	return g, nil
}

type guarded struct {
	vfs.File
	h *health
	// nameless is the folder of a manifest whose name is not durable yet. The store makes a marker that points to it, and syncs the folder after both: on a file system that
	// keeps names in any order, a power cut in between would leave a marker that points to nothing.
	nameless *folder
}

func (g *guarded) Write(p []byte) (int, error) {
	n, err := g.File.Write(p)
	return n, g.h.check(err)
}

func (g *guarded) WriteAt(p []byte, at int64) (int, error) {
	n, err := g.File.WriteAt(p, at)
	return n, g.h.check(err)
}

func (g *guarded) Sync() error {
	err := g.File.Sync()
	if err == nil && g.nameless != nil {
		err = g.nameless.sync()
		g.nameless = nil
	}
	return g.h.check(err)
}

func (g *guarded) SyncData() error { return g.h.check(g.File.SyncData()) }

func (g *guarded) SyncTo(length int64) (bool, error) {
	full, err := g.File.SyncTo(length)
	return full, g.h.check(err)
}

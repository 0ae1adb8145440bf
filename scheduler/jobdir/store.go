package jobdir

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"

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
	heads    int    // requests
}

func divide(memory int64) budget {
	memory = max(memory, 16<<20)
	return budget{cache: memory / 4, memtable: uint64(memory / 16), seen: int(memory / 4), heads: int(memory / 4)}
}

// health is what the store's own goroutines report.
type health struct {
	full  atomic.Bool // the disk was found full: what follows is written in the ballast's room
	fatal atomic.Pointer[error]
	log   *zap.Logger
}

// err is why the store can't be used any more.
func (h *health) err() error {
	if p := h.fatal.Load(); p != nil {
		return *p
	}
	return nil
}

// broken is the store's logger, whose Fatalf ends the process if it is let.
type broken struct{ h *health }

func (b broken) Infof(string, ...any) {}

func (b broken) Errorf(format string, args ...any) {
	b.h.log.Debug("job store: " + fmt.Sprintf(format, args...))
}

// Fatalf ends the goroutine, and with it, as far as we are concerned, the store.
func (b broken) Fatalf(format string, args ...any) {
	err := fmt.Errorf("job store: "+format, args...)
	for _, a := range args {
		if cause, ok := a.(error); ok {
			err = fmt.Errorf("job store: %w", cause)
		}
	}
	err = diskFull(err)
	b.h.fatal.CompareAndSwap(nil, &err)
	runtime.Goexit()
}

// diskFull makes an error that comes from a full disk say so.
func diskFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) && !errors.Is(err, crawl.ErrDiskFull) {
		return fmt.Errorf("%w: %w", crawl.ErrDiskFull, err)
	}
	return err
}

// openStore opens the embedded store.
func openStore(fs vfs.FS, dir string, b budget, h *health, readOnly bool) (*pebble.DB, error) {
	cache := pebble.NewCache(b.cache)
	defer cache.Unref()
	opts := &pebble.Options{
		FS:                          fs,
		Cache:                       cache,
		MemTableSize:                b.memtable,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       32,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                512,
		FormatMajorVersion:          pebble.FormatValueSeparation,
		Logger:                      broken{h},
		ReadOnly:                    readOnly,
		CompactionConcurrencyRange:  func() (int, int) { return 1, max(2, runtime.GOMAXPROCS(0)/2) },
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", diskFull(err))
	}
	return db, nil
}

// Package cachedb keeps the HTTP cache in an embedded database, in place of a file for each response:
//
//	settings.HTTPCache.Storage = "embedded"
//	settings.Parts.CacheStorages = map[string]crawl.OpenCacheStorage{"embedded": cachedb.Open}
//
// A million small pages are a few hundred files then, and take the room that their bytes take. One crawl at a time can have it: the next one fails at its start, and says
// why. A process that is killed leaves every entry whole; the last few, as a rule about 64 KiB of them, may be missing, and are asked of the site again.
package cachedb

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

const (
	blocks   = 16 << 20 // bytes of what was read
	memtable = 8 << 20  // bytes of what is written, each of at most three
)

// A Storage is an open database. It is safe for concurrent use.
//
// When the disk fails or is full the database would end the process. In place of that it is given up, with a warning: there is nothing in it any more, and nothing can be
// stored. Where some of it is damaged, that cannot be read, and everything else can.
type Storage struct {
	db   *pebble.DB
	fate *fate

	// Held for reading while the database is used: Close waits for those who do, and none uses it afterwards.
	mu     sync.RWMutex
	closed bool // Guarded by mu.
}

var (
	_ crawl.CacheStorage = (*Storage)(nil)
	_ crawl.CacheSyncer  = (*Storage)(nil)
	_ crawl.CacheWalker  = (*Storage)(nil)
)

// Open opens the database of a cache, "entries" in its folder. It is a [crawl.OpenCacheStorage].
func Open(dir string, env *crawl.Env) (crawl.CacheStorage, error) {
	s, err := open(dir, env.Log, vfs.Default)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func open(dir string, log *zap.Logger, on vfs.FS) (s *Storage, err error) {
	defer func() {
		if v := recover(); v != nil { // of the database, which finds something that it does not believe
			err = fmt.Errorf("the database is damaged: delete %s, and the crawl asks the site again: %v", filepath.Join(dir, "entries"), v)
		}
	}()
	path := filepath.Join(dir, "entries")
	if err := on.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	fate := &fate{log: log, died: make(chan struct{})}
	blockCache := pebble.NewCache(blocks)
	defer blockCache.Unref()
	opts := &pebble.Options{
		FS:                         files{on, fate},
		Cache:                      blockCache,
		MemTableSize:               memtable,
		LBaseMaxBytes:              64 << 20,
		MaxOpenFiles:               500,
		FormatMajorVersion:         pebble.FormatValueSeparation,
		Logger:                     logger{fate},
		CompactionConcurrencyRange: func() (int, int) { return 1, max(1, runtime.GOMAXPROCS(0)/2) },
		EventListener: &pebble.EventListener{
			BackgroundError: fate.background,
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				log.Warn("a part of the HTTP cache's database is damaged: what it held is asked of the site again", zap.String("file", info.Path), zap.Error(info.Details))
			},
		},
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10) // most look-ups of a first crawl are for what is not there
	}
	db, err := pebble.Open(path, opts)
	switch {
	case errors.Is(err, errTaken):
		return nil, fmt.Errorf("the database: one crawl at a time can have it (http_cache.storage=files may be shared): %w", err)
	case pebble.IsCorruptionError(err), errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the database is damaged: delete %s, and the crawl asks the site again: %w", path, err)
	case err != nil:
		return nil, fmt.Errorf("the database in %s: %w", path, err)
	}
	fate.armed.Store(true)
	return &Storage{db: db, fate: fate}, nil
}

// Load implements [crawl.CacheStorage].
func (s *Storage) Load(key string) (entry []byte, err error) {
	err = s.use(key, func(k []byte) error {
		v, release, err := s.db.Get(k)
		if errors.Is(err, pebble.ErrNotFound) {
			return fs.ErrNotExist
		}
		if err != nil {
			return err
		}
		entry = slices.Clone(v)
		return release.Close()
	})
	if errors.Is(err, errLost) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	return entry, nil
}

// Store implements [crawl.CacheStorage].
func (s *Storage) Store(key string, entry []byte) error {
	return s.use(key, func(k []byte) error {
		return s.change(func(b *pebble.Batch) error {
			return errors.Join(b.Set(k, entry, nil), b.Set(noteOf(k), note(len(entry), time.Now()), nil))
		})
	})
}

// Remove implements [crawl.CacheStorage].
func (s *Storage) Remove(key string) error {
	return s.use(key, func(k []byte) error {
		return s.change(func(b *pebble.Batch) error { return errors.Join(b.Delete(k, nil), b.Delete(noteOf(k), nil)) })
	})
}

// use calls f with a key, and leaves it behind if the database is lost meanwhile.
func (s *Storage) use(key string, f func(k []byte) error) error {
	k, err := hex.DecodeString(key)
	if err != nil {
		return err
	}
	return s.open(func() error { return f(k) })
}

// Sync implements [crawl.CacheSyncer].
func (s *Storage) Sync() error { return s.open(func() error { return s.db.LogData(nil, pebble.Sync) }) }

// open calls f if the database is open, and not yet lost.
func (s *Storage) open(f func() error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return os.ErrClosed
	}
	return s.fate.bind(f)
}

// Close implements [crawl.CacheStorage].
func (s *Storage) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.fate.bind(func() error { return errors.Join(s.db.Flush(), s.db.Close()) })
}

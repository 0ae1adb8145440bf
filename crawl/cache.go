package crawl

import (
	"context"
	"time"
)

// A CacheStorage keeps the entries of the HTTP cache, which are bytes to it. The cache's layer is its only caller, from many goroutines at once, for every request; bodies
// of more than 1 MiB are not in the entries but in files beside the storage. Keys are 40 hex digits.
type CacheStorage interface {
	// Load returns an entry, which is the caller's. The error is fs.ErrNotExist if there is none; any other counts as none too, with a warning.
	Load(key string) ([]byte, error)
	// Store puts an entry in the place of what was there. A process that is killed leaves the one or the other. entry is the caller's again afterwards.
	Store(key string, entry []byte) error
	// Remove removes an entry. That there is none is no error.
	Remove(key string) error
	// Close is called once, when the crawl is over.
	Close() error
}

// A CacheWalker is a [CacheStorage] that can be kept to HTTPCache.MaxSize.
type CacheWalker interface {
	// Walk calls f with every entry: its key, about how many bytes it takes, and when it was stored. f may remove entries. What is stored or removed meanwhile is met or
	// not. The memory that it takes does not grow with the number of entries. It returns early, with ctx's error, when ctx ends.
	Walk(ctx context.Context, f func(key string, size int64, stored time.Time)) error
}

// A CacheSyncer is a [CacheStorage] whose changes reach the disk some time later: when the process is killed, the last ones may be as if they had never been.
type CacheSyncer interface {
	// Sync returns when nothing can undo what was stored and removed so far. It is called before the file of a body is removed that an entry named until then.
	Sync() error
}

// OpenCacheStorage opens the storage of a spider's cache in a folder, which it makes if need be. "bodies" in that folder is taken.
type OpenCacheStorage func(dir string, env *Env) (CacheStorage, error)

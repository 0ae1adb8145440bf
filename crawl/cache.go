package crawl

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

// OpenCacheStorage opens the storage of a spider's cache in a folder, which it makes if need be. "bodies" in that folder is taken.
type OpenCacheStorage func(dir string, env *Env) (CacheStorage, error)

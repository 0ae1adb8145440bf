package middleware

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/middleware/internal/cache"
)

// How the cache keeps to HTTPCache.MaxSize. It is looked at when it is opened, and again each time that a tenth of MaxSize was written: then what was stored or validated
// first is removed, if there is too much. So each process that shares a cache can make it larger by a tenth at most before it looks, whatever the others do. Nothing is
// remembered between two looks, and what two processes remove at once is gone once: the one who comes second finds nothing. An entry goes before its body, so whoever
// is killed in between leaves a body without an entry, which a later opening removes.

// limit begins to keep the cache to its size.
func (c *httpCache) limit(storage string) error {
	if c.MaxSize <= 0 || c.Offline { // offline nothing is stored
		return nil
	}
	var ok bool
	if c.walker, ok = c.storage.(crawl.CacheWalker); !ok {
		return fmt.Errorf("http_cache.max_size is set, and http_cache.storage %q can't tell what it holds (crawl.CacheWalker)", storage)
	}
	c.look = make(chan struct{}, 1)
	c.look <- struct{}{}
	return nil
}

// grown is told of what was written. Whoever writes does not wait for the look.
func (c *httpCache) grown(entry, body int64) {
	if c.walker == nil || c.wrote.Add(cache.OnDisk(entry)+cache.OnDisk(body)) < c.MaxSize/10 {
		return
	}
	select {
	case c.look <- struct{}{}:
	default: // it is about to be looked at
	}
}

// keepSmall looks at the cache whenever it is told to, until ctx ends.
func (c *httpCache) keepSmall(ctx context.Context) {
	for {
		select {
		case <-c.look:
			c.trim(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// trim looks at the cache, and removes what is too much.
func (c *httpCache) trim(ctx context.Context) {
	c.wrote.Store(0)
	t := cache.Trimmer{Limit: c.MaxSize, Walk: c.walk, Remove: c.evict}
	before, freed, err := t.Trim(ctx)
	switch {
	case ctx.Err() != nil: // the next opening goes on
	case err != nil:
		c.log.Warn("the HTTP cache may become larger than http_cache.max_size: it can't be looked through", zap.Error(err))
	case freed > 0:
		c.log.Debug("the HTTP cache was too large", zap.Int64("bytes", before), zap.Int64("removed", freed))
	}
}

// walk shows everything that the cache holds. A body is as old as its entry.
func (c *httpCache) walk(ctx context.Context, f func(cache.Item)) error {
	err := c.walker.Walk(ctx, func(key string, size int64, stored time.Time) { f(cache.Item{Key: key, Size: size, Stored: stored}) })
	if err != nil {
		return err
	}
	return c.bodies.Walk(ctx, func(key, name string, size int64, written time.Time) {
		it := cache.Item{Key: key, Size: size, Stored: written, File: name}
		if head := c.headOf(key); head != nil && head.File == name {
			it.Stored = head.Got
		}
		f(it)
	})
}

// headOf is the head of a key's entry, or nil.
func (c *httpCache) headOf(key string) *cache.Head {
	entry, err := c.storage.Load(key)
	if err != nil {
		return nil
	}
	head, _, err := cache.Decode(entry)
	if err != nil {
		return nil
	}
	return head
}

// entryFollows is how old a body without an entry must be before it is taken for nobody's: an entry is written as soon as its body is there.
const entryFollows = time.Minute

// clockStep is how much older a file may say that it is.
const clockStep = 2 * time.Second

// evict removes an entry and its body, or a body without an entry, and returns how many bytes that makes. What was stored anew since it was looked at stays.
func (c *httpCache) evict(it cache.Item) (freed int64) {
	turn := c.turn(it.Key)
	turn.Lock()
	defer turn.Unlock()
	head := c.headOf(it.Key)
	switch {
	case it.File != "" && (head == nil || head.File != it.File):
		if _, known := c.fileOf(it.Key); !known || time.Since(it.Stored) < entryFollows {
			return 0
		}
		c.removed(c.bodies.Remove(it.File))
		return it.Size
	case head != nil && head.Got.After(it.Stored.Add(clockStep)):
		return 0
	}
	if err := c.storage.Remove(it.Key); err != nil {
		c.removed(err)
		return 0
	}
	c.stats.Inc(cacheStat + "evicted")
	if it.File == "" {
		freed = it.Size
	}
	if head != nil {
		freed += c.bodies.Size(head.File)
		c.removeBody(head.File)
	}
	return freed
}

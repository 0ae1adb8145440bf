package pipeline

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

// flushing is a media pipeline in a job: what its items name is synced before their pages are acknowledged. Without a job there is none, because a Flusher
// costs the engine a goroutine's turn for each page.
type flushing struct{ *media }

var (
	_ crawl.Pipeline = flushing{}
	_ crawl.Flusher  = flushing{}
	_ io.Closer      = flushing{}
)

// Flush implements [crawl.Flusher]. A sync that failed is not tried again: what it was to make safe may be gone from the system's memory too.
func (f flushing) Flush(ctx context.Context) error { return f.unsafe.sync(ctx) }

// unsafeNames are the names in the store that items have been given and that have not been synced since.
type unsafeNames struct {
	syncer crawl.Syncer

	flush sync.Mutex // held by one Flush at a time: the next may be for names that this one has in hand

	mu    sync.Mutex
	names map[string]struct{} // Guarded by mu.
}

// add takes in what an item's results name. It comes before the item goes on. A path that no store takes is a hook's own affair.
func (u *unsafeNames) add(results []Result) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, r := range results {
		if r.Err != nil {
			continue
		}
		u.addName(r.File.Path)
		for _, t := range r.File.Thumbs {
			u.addName(t.Path)
		}
	}
}

// addName is called with mu held.
func (u *unsafeNames) addName(name string) {
	if store.CheckName(name) != nil {
		return
	}
	if u.names == nil {
		u.names = make(map[string]struct{})
	}
	u.names[name] = struct{}{}
}

// sync makes all names safe that were added before it was called.
func (u *unsafeNames) sync(ctx context.Context) error {
	u.flush.Lock()
	defer u.flush.Unlock()
	u.mu.Lock()
	names := u.names
	u.names = nil
	u.mu.Unlock()
	if len(names) == 0 {
		return nil
	}
	if err := u.syncer.Sync(ctx, slices.Sorted(maps.Keys(names))); err != nil {
		u.mu.Lock()
		defer u.mu.Unlock()
		maps.Copy(names, u.names)
		u.names = names
		return fmt.Errorf("make media safe: %w", err)
	}
	return nil
}

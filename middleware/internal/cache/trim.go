package cache

import (
	"context"
	"time"
)

// An Item is something that takes room in a cache: an entry, or the file of a body.
type Item struct {
	Key    string // of the entry
	Size   int64  // bytes
	Stored time.Time
	File   string // the body's file; "" for an entry
}

// trimBuckets is by how many steps of age the items are told apart that are removed: the only memory that a Trimmer takes, whatever it looks at.
const trimBuckets = 4096

// A Trimmer keeps a cache below a size, by removing what was stored first. It remembers nothing of the items: it looks at all of them once to see how much there is, and if
// that is too much twice more, to see how old what has to go is, and to remove it. Items that come and go meanwhile, in this process or another, are counted or not.
type Trimmer struct {
	Limit int64 // bytes
	// Walk calls f with every item, until ctx ends.
	Walk func(ctx context.Context, f func(Item)) error
	// Remove removes an item and what belongs to it, and returns how many bytes there are less now.
	Remove func(Item) int64
}

// Trim removes the oldest items until nine tenths of the limit are left, if there is more than the limit. before is what there was.
func (t *Trimmer) Trim(ctx context.Context) (before, freed int64, err error) {
	var oldest, newest time.Time
	err = t.Walk(ctx, func(it Item) {
		if before == 0 || it.Stored.Before(oldest) {
			oldest = it.Stored
		}
		if before == 0 || it.Stored.After(newest) {
			newest = it.Stored
		}
		before += it.Size
	})
	if err != nil || before <= t.Limit {
		return before, 0, err
	}
	step := newest.Sub(oldest)/(trimBuckets-1) + 1
	bucket := func(it Item) int {
		if it.Stored.Before(oldest) {
			return 0
		}
		return int(min(it.Stored.Sub(oldest)/step, trimBuckets)) // trimBuckets: it has just come
	}
	var sizes [trimBuckets + 1]int64
	if err := t.Walk(ctx, func(it Item) { sizes[bucket(it)] += it.Size }); err != nil {
		return before, 0, err
	}
	rest, last := before-t.Limit/10*9, 0 // to be removed of the last bucket
	for last < trimBuckets && sizes[last] < rest {
		rest -= sizes[last]
		last++
	}
	err = t.Walk(ctx, func(it Item) {
		switch b := bucket(it); {
		case b < last:
			freed += t.Remove(it)
		case b == last && rest > 0:
			n := t.Remove(it)
			rest -= n
			freed += n
		}
	})
	return before, freed, err
}

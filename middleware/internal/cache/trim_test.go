package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pile is a cache of items without content.
type pile struct {
	items map[string]Item
	comes func(n int) []Item // with the n-th walk
	walks int
}

func (p *pile) size() (n int64) {
	for _, it := range p.items {
		n += it.Size
	}
	return n
}

func (p *pile) trimmer(limit int64) *Trimmer {
	return &Trimmer{
		Limit: limit,
		Walk: func(ctx context.Context, f func(Item)) error {
			if p.walks++; p.comes != nil {
				for _, it := range p.comes(p.walks) {
					p.items[it.Key] = it
				}
			}
			for _, it := range p.items {
				f(it)
			}
			return ctx.Err()
		},
		Remove: func(it Item) int64 {
			delete(p.items, it.Key)
			return it.Size
		},
	}
}

// TestTrim has piles of items of all ages: the oldest go, no more of them than have to, and none that is younger by a step than one that stays.
func TestTrim(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for name, age := range map[string]func(i int) time.Duration{
		"a year":          func(int) time.Duration { return time.Duration(r.Int64N(int64(365 * 24 * time.Hour))) },
		"a second":        func(int) time.Duration { return time.Duration(r.Int64N(int64(time.Second))) },
		"all at once":     func(int) time.Duration { return time.Hour },
		"one much older":  func(i int) time.Duration { return time.Duration(i/4999) * 1000 * time.Hour },
		"in the future":   func(i int) time.Duration { return -time.Duration(i) * time.Minute },
		"the year before": func(i int) time.Duration { return 365*24*time.Hour + time.Duration(i)*time.Second },
	} {
		p := &pile{items: make(map[string]Item)}
		now := time.Now()
		for i := range 5000 {
			key := fmt.Sprint(i)
			p.items[key] = Item{Key: key, Size: 1 + r.Int64N(1000), Stored: now.Add(-age(i))}
		}
		all, was := p.size(), len(p.items)
		limit := all - 1
		before, freed, err := p.trimmer(all).Trim(t.Context())
		require.NoError(t, err)
		require.Equal(t, all, before)
		require.Zero(t, freed, "it is not too large")
		require.Equal(t, 1, p.walks)

		var gone, oldest, newest time.Time
		tr := p.trimmer(limit)
		for _, it := range p.items {
			if oldest.IsZero() || it.Stored.Before(oldest) {
				oldest = it.Stored
			}
			if it.Stored.After(newest) {
				newest = it.Stored
			}
		}
		remove := tr.Remove
		tr.Remove = func(it Item) int64 {
			if it.Stored.After(gone) {
				gone = it.Stored
			}
			return remove(it)
		}
		_, freed, err = tr.Trim(t.Context())
		require.NoError(t, err)
		require.Equal(t, all-p.size(), freed, name)
		require.LessOrEqual(t, p.size(), limit/10*9+9, name)
		require.Greater(t, p.size(), limit/10*9-1000, "%s: no more than has to", name)
		require.Less(t, len(p.items), was)
		step := newest.Sub(oldest)/(trimBuckets-1) + 1
		for _, it := range p.items {
			require.Less(t, gone.Sub(it.Stored), step, name)
		}
	}
}

// TestTrimMeanwhile has items that come while it looks: they stay. One that says that it is older than all is removed with them.
func TestTrimMeanwhile(t *testing.T) {
	t.Parallel()
	now := time.Now()
	p := &pile{items: make(map[string]Item)}
	for i := range 100 {
		key := fmt.Sprint(i)
		p.items[key] = Item{Key: key, Size: 10, Stored: now.Add(time.Duration(i) * time.Second)}
	}
	p.comes = func(n int) []Item {
		late, early := fmt.Sprint("new", n), fmt.Sprint("old", n)
		return []Item{{Key: late, Size: 500, Stored: now.Add(time.Duration(n) * time.Hour)}, {Key: early, Size: 1, Stored: now.Add(-time.Duration(n) * time.Hour)}}
	}
	p.walks = 0
	_, freed, err := p.trimmer(600).Trim(t.Context())
	require.NoError(t, err)
	require.NotZero(t, freed)
	require.Contains(t, p.items, "new2")
	require.Contains(t, p.items, "new3")
	require.NotContains(t, p.items, "old1")
	require.NotContains(t, p.items, "old3")
}

// TestTrimEnds has a walk that fails, or ends, in each of its rounds.
func TestTrimEnds(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for n := 1; n <= 3; n++ {
		p := &pile{items: map[string]Item{"a": {Key: "a", Size: 5}, "b": {Key: "b", Size: 6}}}
		tr := p.trimmer(5)
		walk := tr.Walk
		tr.Walk = func(ctx context.Context, f func(Item)) error {
			if p.walks == n-1 {
				return broken
			}
			return walk(ctx, f)
		}
		_, _, err := tr.Trim(t.Context())
		require.ErrorIs(t, err, broken)
		require.Len(t, p.items, 2)
	}
}

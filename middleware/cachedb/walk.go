package cachedb

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Beside each entry stands a note of its size and time, so that all can be looked through without reading the entries: a million notes are a few dozen megabytes. The key of
// a note is notes and the entry's key, which sorts behind all entries, and its value twice eight bytes. Entry and note change together.
var notes = bytes.Repeat([]byte{0xff}, keyLen)

const keyLen = 20

func noteOf(k []byte) []byte { return slices.Concat(notes, k) }

func note(size int, stored time.Time) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(size))
	return binary.BigEndian.AppendUint64(b, uint64(stored.UnixNano()))
}

// change changes an entry and its note.
func (s *Storage) change(f func(*pebble.Batch) error) error {
	b := s.db.NewBatch()
	if err := f(b); err != nil {
		return errors.Join(err, b.Close())
	}
	return errors.Join(b.Commit(pebble.NoSync), b.Close())
}

// walkStep is how many notes are in memory at once.
const walkStep = 1000

type noted struct {
	key    string
	size   int64
	stored time.Time
}

// Walk implements [crawl.CacheWalker].
func (s *Storage) Walk(ctx context.Context, f func(key string, size int64, stored time.Time)) error {
	from := notes
	for {
		var list []noted
		err := s.step(ctx, func() error {
			some, err := s.some(from)
			if err == nil {
				list = some // not before it is whole: step may have returned
			}
			return err
		})
		switch {
		case errors.Is(err, errLost): // there is nothing in it
			return nil
		case err != nil:
			return err
		case len(list) == 0:
			return nil
		}
		for _, n := range list {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			f(n.key, n.size, n.stored)
		}
		last, err := hex.DecodeString(list[len(list)-1].key)
		if err != nil {
			return err
		}
		from = append(noteOf(last), 0)
	}
}

// step does a part of a walk, between which the database may be closed.
func (s *Storage) step(ctx context.Context, f func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return s.open(f)
}

// some are the next notes.
func (s *Storage) some(from []byte) (list []noted, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from})
	if err != nil {
		return nil, err
	}
	for ok := it.First(); ok && len(list) < walkStep; ok = it.Next() {
		k, v := it.Key()[keyLen:], it.Value()
		if len(k) == keyLen && len(v) == 16 {
			stored := time.Unix(0, int64(binary.BigEndian.Uint64(v[8:])))
			list = append(list, noted{hex.EncodeToString(k), int64(binary.BigEndian.Uint64(v)), stored})
		}
	}
	return list, it.Close()
}

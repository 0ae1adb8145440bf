package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestSafety(t *testing.T) {
	t.Parallel()
	var s safety
	todo, n := s.begin([]string{"a", "b", "a"})
	require.Equal(t, []string{"a", "b"}, todo, "each once")
	again, m := s.begin([]string{"a"})
	require.Equal(t, []string{"a"}, again, "another Sync is not waited for")
	s.changed("b")
	s.end(todo, n)
	require.NotEqual(t, uint64(safe), s.files["a"], "who began later saw what the first may have missed")
	s.end(again, m)
	todo, n = s.begin([]string{"a", "b"})
	require.Equal(t, []string{"b"}, todo, "it was changed while it was synced")
	s.end(todo, n)
	todo, _ = s.begin([]string{"a", "b"})
	require.Empty(t, todo)
	s.changed("a")
	todo, _ = s.begin([]string{"a", "b"})
	require.Equal(t, []string{"a"}, todo)

	for i := range 3 * maxSafe {
		todo, n := s.begin([]string{strconv.Itoa(i)})
		s.end(todo, n)
		require.LessOrEqual(t, len(s.files), maxSafe+1)
	}
}

// TestWhatADirSyncs changes files in each way that there is, and looks at what is not safe then.
func TestWhatADirSyncs(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	d, err := OpenDir(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, d.Close()) }()
	meta := crawl.Meta{Checksum: "1"}
	unsafe := func() bool {
		todo, n := d.safety.begin([]string{"full/x"})
		d.safety.end(nil, n)
		return len(todo) > 0
	}
	for name, change := range map[string]func() error{
		"put": func() error { return d.Put(ctx, "full/x", strings.NewReader("x"), meta) },
		"adopt": func() error {
			local := filepath.Join(dir, "spooled")
			if err := os.WriteFile(local, []byte("y"), 0o600); err != nil {
				return err
			}
			_, err := d.Adopt(ctx, "full/x", local, meta)
			return err
		},
		"touch": func() error { return d.Touch(ctx, "full/x", meta) },
		"record": func() error {
			info, err := d.Stat(ctx, "full/x")
			if err != nil {
				return err
			}
			return d.Record(ctx, "full/x", info)
		},
	} {
		require.NoError(t, d.Put(ctx, "full/x", strings.NewReader("x"), meta))
		require.NoError(t, d.Sync(ctx, []string{"full/x"}))
		require.False(t, unsafe(), name)
		require.NoError(t, change())
		require.True(t, unsafe(), name)
	}
}

// TestSyncThatFails leaves nothing marked as safe.
func TestSyncThatFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := OpenDir(dir)
	require.NoError(t, err)
	require.NoError(t, d.Put(t.Context(), "x", strings.NewReader("x"), crawl.Meta{}))
	require.NoError(t, d.Close())
	for range 2 {
		err := d.Sync(t.Context(), []string{"x"})
		require.ErrorIs(t, err, os.ErrClosed)
		require.ErrorContains(t, err, "sync store "+dir+": ")
	}
}

func TestFolderNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.Equal(t, []string{filepath.Dir(dir)}, folderNames(dir))
	require.Equal(t, []string{dir}, folderNames(filepath.Join(dir, "a")))
	require.Equal(t, []string{filepath.Join(dir, "a", "b"), filepath.Join(dir, "a"), dir}, folderNames(filepath.Join(dir, "a", "b", "c")))
	root := filepath.VolumeName(dir) + string(filepath.Separator)
	require.Empty(t, folderNames(root))
}

func TestTogether(t *testing.T) {
	t.Parallel()
	list := make([]string, 10*syncsAtOnce)
	var now, most, calls atomic.Int64
	bad := errors.New("bad")
	err := together(t.Context(), list, func(string) error {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if calls.Add(1) == 3 {
			return bad
		}
		return nil
	})
	require.ErrorIs(t, err, bad)
	require.EqualValues(t, len(list), calls.Load())
	require.LessOrEqual(t, most.Load(), int64(syncsAtOnce))

	ctx, cancel := context.WithCancel(t.Context())
	calls.Store(0)
	err = together(ctx, list, func(string) error {
		calls.Add(1)
		cancel()
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.LessOrEqual(t, calls.Load(), int64(syncsAtOnce))
}

// BenchmarkSync is a group of a hundred new pictures with two thumbnails each.
func BenchmarkSync(b *testing.B) {
	d, err := OpenDir(b.TempDir())
	require.NoError(b, err)
	defer d.Close()
	var names []string
	data := strings.Repeat("x", 20_000)
	for i := range 100 {
		for _, folder := range []string{"full/", "thumbs/small/", "thumbs/big/"} {
			names = append(names, folder+strconv.Itoa(i))
		}
	}
	for b.Loop() {
		b.StopTimer()
		for _, name := range names {
			require.NoError(b, d.Put(b.Context(), name, strings.NewReader(data), crawl.Meta{Checksum: "1"}))
		}
		b.StartTimer()
		require.NoError(b, d.Sync(b.Context(), names))
	}
}

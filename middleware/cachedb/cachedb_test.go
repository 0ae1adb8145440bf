package cachedb

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tulle-go/tulle/crawl"
)

const key1, key2 = "aa00000000000000000000000000000000000000", "ab00000000000000000000000000000000000000"

func openAt(t testing.TB, dir string) crawl.CacheStorage {
	t.Helper()
	s, err := Open(dir, &crawl.Env{Log: zap.NewNop()})
	require.NoError(t, err)
	return s
}

func TestStorage(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "there")
	s := openAt(t, dir)
	_, err := s.Load(key1)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, s.Remove(key1))
	entry := []byte("one")
	require.NoError(t, s.Store(key1, entry))
	entry[0] = 'x' // the caller's again
	require.NoError(t, s.Store(key2, []byte("two")))
	require.NoError(t, s.Store(key2, []byte("three")))
	for range 2 {
		one, err := s.Load(key1)
		require.NoError(t, err)
		require.Equal(t, "one", string(one))
		one[0] = 'x' // the caller's
	}
	_, err = s.Load("no key")
	require.Error(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	_, err = s.Load(key1)
	require.ErrorIs(t, err, os.ErrClosed)
	require.ErrorIs(t, s.Store(key1, entry), os.ErrClosed)

	s = openAt(t, dir)
	two, err := s.Load(key2)
	require.NoError(t, err)
	require.Equal(t, "three", string(two))
	require.NoError(t, s.Remove(key2))
	_, err = s.Load(key2)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, s.Close())
}

func TestOneCrawlAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openAt(t, dir)
	_, err := Open(dir, &crawl.Env{Log: zap.NewNop()})
	require.ErrorContains(t, err, "one crawl at a time can have it")
	require.NoError(t, s.Close())
	require.NoError(t, openAt(t, dir).Close())
}

func TestAtOnce(t *testing.T) {
	t.Parallel()
	s := openAt(t, t.TempDir())
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 200 {
				want := bytes.Repeat([]byte{byte(i)}, n+1)
				if err := s.Store(key1, want); err != nil {
					t.Error(err)
				}
				got, err := s.Load(key1)
				if err != nil || len(bytes.Trim(got, string(got[:1]))) != 0 {
					t.Error("not whole", err)
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, s.Close())
}

// TestKilled kills a process that writes: what it has stored is there and whole, but for the last. How many those are is the scheduler's affair; none is missing before one
// that is there, and none that an earlier process left.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left := 0 // entries that the last process left
	for range 5 {
		//nolint:gosec // The test itself.
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWriter$")
		cmd.Env = append(os.Environ(), "TULLE_CACHE_WRITER="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		n := 0
		for n < 100 && lines.Scan() {
			_, err := fmt.Sscanf(lines.Text(), "stored %d", &n)
			require.NoError(t, err)
		}
		require.Equal(t, 100, n)
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())
		s := openAt(t, dir)
		there := 0
		for i := 1; i <= 200; i++ {
			b, err := s.Load(fmt.Sprintf("%040x", i))
			if err != nil {
				require.ErrorIs(t, err, fs.ErrNotExist)
				continue
			}
			require.Equal(t, i-1, there, "one before it is missing")
			there = i
			require.Equal(t, bytes.Repeat([]byte{byte(i)}, i*1000), b)
		}
		require.GreaterOrEqual(t, there, left)
		left = there
		require.NoError(t, s.Close())
	}
	require.Positive(t, left)
}

func TestWriter(t *testing.T) {
	dir := os.Getenv("TULLE_CACHE_WRITER")
	if dir == "" {
		t.Skip("it is run by TestKilled")
	}
	s := openAt(t, dir)
	for i := 1; ; i++ {
		require.NoError(t, s.Store(fmt.Sprintf("%040x", i), bytes.Repeat([]byte{byte(i)}, i*1000)))
		fmt.Println("stored", i)
	}
}

// TestDamage has a few bytes, or a file, spoiled while nobody looks.
func TestDamage(t *testing.T) {
	t.Parallel()
	const entries = 1000
	key := func(i int) string { return fmt.Sprintf("%040x", i) }
	for name, c := range map[string]struct {
		glob  string
		spoil func(t *testing.T, file string)
		lost  bool // it cannot be opened any more
	}{
		"eight bytes": {"*.sst", func(t *testing.T, file string) {
			f, err := os.OpenFile(file, os.O_RDWR, 0)
			require.NoError(t, err)
			_, err = f.WriteAt([]byte("XXXXXXXX"), 100_000)
			require.NoError(t, errors.Join(err, f.Close()))
		}, false},
		"a table is gone": {"*.sst", func(t *testing.T, file string) { require.NoError(t, os.Remove(file)) }, true},
		"the list is cut": {"MANIFEST-*", func(t *testing.T, file string) { require.NoError(t, os.Truncate(file, 20)) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := openAt(t, dir)
			entry := make([]byte, 4000)
			for i := range entries {
				_, _ = rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(entry)
				require.NoError(t, s.Store(key(i), entry))
			}
			require.NoError(t, s.Close())
			files, err := filepath.Glob(filepath.Join(dir, "entries", c.glob))
			require.NoError(t, err)
			require.NotEmpty(t, files)
			c.spoil(t, slices.MaxFunc(files, func(a, b string) int { return cmp.Compare(sizeOf(t, a), sizeOf(t, b)) }))

			core, logs := observer.New(zap.WarnLevel)
			s, err = Open(dir, &crawl.Env{Log: zap.New(core)})
			if c.lost {
				require.ErrorContains(t, err, "damaged: delete "+filepath.Join(dir, "entries"))
				return
			}
			require.NoError(t, err)
			missing := 0
			for i := range entries {
				_, err := s.Load(key(i))
				require.NotErrorIs(t, err, fs.ErrNotExist, "it is there, and cannot be read")
				if err != nil {
					missing++
				}
			}
			require.Positive(t, missing)
			require.Less(t, missing, 20, "of %d", entries)
			require.NotZero(t, logs.FilterMessageSnippet("damaged").Len())
			require.NoError(t, s.Store(key(1), entry))
			require.NoError(t, s.Close())
		})
	}
}

func sizeOf(t *testing.T, file string) int64 {
	info, err := os.Stat(file)
	require.NoError(t, err)
	return info.Size()
}

// TestFullDisk has a disk that takes nothing more: the process lives, there is nothing in the database, and whoever stores is told.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	disk := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.ENOSPC
		}
		return nil
	}))
	s, err := open("/cache", zap.NewNop(), disk)
	require.NoError(t, err)
	require.NoError(t, s.Store(key1, []byte("one")))
	full.Store(true)
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	var lost error
	for i := range 1000 {
		if lost = s.Store(fmt.Sprintf("%040x", i), big); lost != nil {
			break
		}
	}
	require.ErrorIs(t, lost, errLost)
	require.ErrorIs(t, lost, syscall.ENOSPC)
	_, err = s.Load(key1)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorIs(t, s.Remove(key1), errLost)
	require.ErrorIs(t, s.Close(), errLost)
}

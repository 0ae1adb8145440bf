package cache

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func entry(t testing.TB, h *Head, body string) []byte {
	t.Helper()
	b, err := Encode(h, []byte(body))
	require.NoError(t, err)
	return b
}

func TestEntry(t *testing.T) {
	t.Parallel()
	h := &Head{
		URL: "http://h/", Status: 404, Proto: "HTTP/1.1", Header: http.Header{"A": {"1", "2"}}, Asked: t0, Got: t0.Add(time.Second), Latency: 1, Total: 2,
		Vary: map[string]string{"B": "c"}, Series: "s", Size: 4, Algorithm: "md5", Sum: "x", Gzip: true,
	}
	b := entry(t, h, "body")
	got, body, err := Decode(b)
	require.NoError(t, err)
	require.Equal(t, h, got)
	require.Equal(t, "body", string(body))

	for i := range b { // whatever happens to a byte, and wherever it ends
		damaged := bytes.Clone(b)
		damaged[i] ^= 0x40
		_, _, err = Decode(damaged)
		require.Error(t, err, "byte %d", i)
		_, _, err = Decode(b[:i])
		require.Error(t, err, "%d bytes", i)
	}
	b[len(magic)-1]++
	_, _, err = Decode(b)
	require.ErrorIs(t, err, ErrOtherVersion)
}

func FuzzDecode(f *testing.F) {
	f.Add(entry(f, &Head{Status: 200}, "body"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, _, err := Decode(b); err == nil {
			require.NotNil(t, h)
		}
	})
}

const key1, key2 = "aa00000000000000000000000000000000000000", "ab00000000000000000000000000000000000000"

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "there")
	f, err := OpenFiles(dir)
	require.NoError(t, err)
	_, err = f.Load(key1)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, f.Remove(key1))
	require.NoError(t, f.Store(key1, []byte("one")))
	require.NoError(t, f.Store(key1, []byte("two")))
	b, err := f.Load(key1)
	require.NoError(t, err)
	require.Equal(t, "two", string(b))
	require.FileExists(t, filepath.Join(dir, "aa", key1))
	info, err := os.Stat(filepath.Join(dir, "aa", key1))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm(), "pages are nobody else's business")
	_, err = f.Load(key2)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, f.Remove(key1))
	_, err = f.Load(key1)
	require.ErrorIs(t, err, fs.ErrNotExist)
	left, err := os.ReadDir(filepath.Join(dir, tmpFolder))
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoError(t, f.Close())
}

func TestFilesSweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := OpenFiles(dir)
	require.NoError(t, err)
	old, young := filepath.Join(dir, tmpFolder, "old"), filepath.Join(dir, tmpFolder, "young")
	for _, name := range []string{old, young} {
		require.NoError(t, os.WriteFile(name, nil, 0o600))
	}
	require.NoError(t, os.Chtimes(old, time.Time{}, time.Now().Add(-2*time.Hour)))
	_, err = OpenFiles(dir)
	require.NoError(t, err)
	require.NoFileExists(t, old)
	require.FileExists(t, young, "another crawl is writing it")
}

// TestFilesKilled kills a process that writes, again and again, while another one reads: what is there is whole.
func TestFilesKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mine, err := OpenFiles(dir)
	require.NoError(t, err)
	seen := 0
	for range 10 {
		//nolint:gosec // The test itself.
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFilesWriter$")
		cmd.Env = append(os.Environ(), "TULLE_CACHE_WRITER="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		ready, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "writing\n", ready)
		for range 200 {
			seen += readWhole(t, mine, key1) + readWhole(t, mine, key2)
			require.NoError(t, mine.Store(key2, entry(t, &Head{Status: 200, Size: 5}, "mine\n")))
		}
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())
		seen += readWhole(t, mine, key1)
	}
	require.NotZero(t, seen)
}

func readWhole(t *testing.T, f *Files, key string) int {
	t.Helper()
	b, err := f.Load(key)
	if err != nil {
		require.ErrorIs(t, err, fs.ErrNotExist)
		return 0
	}
	h, body, err := Decode(b)
	require.NoError(t, err)
	require.Len(t, body, int(h.Size))
	return 1
}

func TestFilesWriter(t *testing.T) {
	dir := os.Getenv("TULLE_CACHE_WRITER")
	if dir == "" {
		t.Skip("it is run by TestFilesKilled")
	}
	f, err := OpenFiles(dir)
	require.NoError(t, err)
	for i := 0; ; i++ {
		body := strings.Repeat("x", i%100_000)
		for _, key := range []string{key1, key2} {
			require.NoError(t, f.Store(key, entry(t, &Head{Status: 200, Size: int64(len(body))}, body)))
		}
		if i == 0 {
			fmt.Println("writing")
		}
	}
}

// TestFilesAtOnce has many write and read the same few entries.
func TestFilesAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 8 {
		f, err := OpenFiles(dir)
		require.NoError(t, err)
		wg.Go(func() {
			for n := range 200 {
				body := strings.Repeat("y", n*i)
				if b, err := Encode(&Head{Size: int64(len(body))}, []byte(body)); err != nil || f.Store(key1, b) != nil {
					t.Error("not stored")
				}
				b, err := f.Load(key1)
				if err == nil {
					_, _, err = Decode(b)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestBodies(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("a long body ", 1000)
	for _, compress := range []bool{false, true} {
		dir := t.TempDir()
		spool := &crawl.Spool{Over: 10, Dir: dir}
		b := OpenBodies(filepath.Join(dir, "bodies"), new(Zipper))
		body, err := spool.Read(strings.NewReader(text), -1, 0)
		require.NoError(t, err)
		name, err := b.Put(key1, body, compress)
		require.NoError(t, err)
		kept, err := os.Stat(filepath.Join(dir, "bodies", "aa", name))
		require.NoError(t, err)
		from, err := os.Stat(body.Path())
		require.NoError(t, err)
		require.Equal(t, !compress, os.SameFile(kept, from), "the spool's file is shared")
		require.Equal(t, !compress, kept.Size() == int64(len(text)))
		require.NoError(t, body.Close())

		h := &Head{File: name, Size: int64(len(text)), Gzip: compress}
		again, err := b.Read(h, spool)
		require.NoError(t, err)
		got, err := again.Bytes()
		require.NoError(t, err)
		require.Equal(t, text, string(got))
		require.NoError(t, again.Close())

		h.Size++
		_, err = b.Read(h, spool)
		require.Error(t, err, "it is shorter than it was")
		h.Size -= 2
		_, err = b.Read(h, spool)
		require.Error(t, err, "it is longer")
		require.NoError(t, b.Remove(name))
		h.Size = int64(len(text))
		_, err = b.Read(h, spool)
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = b.Read(&Head{File: "../x"}, spool)
		require.ErrorContains(t, err, "no such name")
		require.NoError(t, spool.Close())
	}
}

func TestUnzipTakesNoMore(t *testing.T) {
	t.Parallel()
	z, err := new(Zipper).Bytes(make([]byte, 10<<20))
	require.NoError(t, err)
	_, err = Unzip(bytes.NewReader(z), 100)
	require.ErrorContains(t, err, "should have 100")
	b, err := Unzip(bytes.NewReader(z), 10<<20)
	require.NoError(t, err)
	require.Len(t, b, 10<<20)
}

package crawl_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func newSpool(t *testing.T, over int64) *crawl.Spool {
	t.Helper()
	return &crawl.Spool{Over: over, Dir: filepath.Join(t.TempDir(), "made"), Hash: "md5", NewHash: md5.New}
}

// spooled are the files that a spool holds.
func spooled(t *testing.T, s *crawl.Spool) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.Dir, "*", "*"))
	require.NoError(t, err)
	return files
}

func TestSpoolThreshold(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 99, 100, 101, 5000, 200_000} {
		data := bytes.Repeat([]byte("x"), size)
		sum := md5.Sum(data)
		for _, announced := range []int64{-1, int64(size)} {
			for name, r := range map[string]io.Reader{"whole": bytes.NewReader(data), "bytewise": iotest.OneByteReader(bytes.NewReader(data)), "with EOF": iotest.DataErrReader(bytes.NewReader(data))} {
				s := newSpool(t, 100)
				b, err := s.Read(r, announced, int64(size))
				require.NoError(t, err)
				require.Equal(t, int64(size), b.Size())
				got, err := b.Bytes()
				require.NoError(t, err)
				require.True(t, bytes.Equal(data, got), "%d %d %s", size, announced, name)
				if size <= 100 {
					require.Empty(t, b.Path())
					require.Empty(t, spooled(t, s))
				} else if announced >= 0 || name == "bytewise" {
					require.Equal(t, []string{b.Path()}, spooled(t, s))
				}
				if digest, ok := b.Sum("md5"); b.Path() != "" {
					require.True(t, ok)
					require.Equal(t, hex.EncodeToString(sum[:]), digest)
				} else {
					require.False(t, ok)
				}
				_, ok := b.Sum("sha1")
				require.False(t, ok)
				require.NoError(t, b.Close())
				require.NoError(t, b.Close())
				require.Empty(t, spooled(t, s))
				require.NoError(t, s.Close())
			}
		}
	}
}

// Bounds so large that they are none, and a size that is only announced.
func TestSpoolWithLargeBounds(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("x"), 5000)
	for _, over := range []int64{100, math.MaxInt64} {
		for _, announced := range []int64{-1, 5000} {
			s := newSpool(t, over)
			b, err := s.Read(bytes.NewReader(data), announced, math.MaxInt64)
			require.NoError(t, err)
			got, err := b.Bytes()
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, got), "%d bytes", len(got))
			require.NoError(t, b.Close())
		}
		for _, announced := range []int64{1 << 50, math.MaxInt64} {
			_, err := newSpool(t, over).Read(bytes.NewReader(data), announced, math.MaxInt64)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}
	}
}

func TestSpoolErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	data := func(n int) io.Reader { return bytes.NewReader(make([]byte, n)) }
	for name, c := range map[string]struct {
		r          io.Reader
		size, most int64
		want       error
	}{
		"announced too large":         {data(0), 51, 50, crawl.ErrBodyTooLarge},
		"found too large, in memory":  {data(51), -1, 50, crawl.ErrBodyTooLarge},
		"found too large, in a file":  {data(5000), -1, 3000, crawl.ErrBodyTooLarge},
		"too large though announced":  {data(5000), 200, 3000, crawl.ErrBodyTooLarge},
		"cut short, in memory":        {data(49), 50, 0, io.ErrUnexpectedEOF},
		"cut short, in a file":        {data(499), 500, 0, io.ErrUnexpectedEOF},
		"reader fails, in memory":     {io.MultiReader(data(9), iotest.ErrReader(broken)), -1, 0, broken},
		"reader fails, in a file":     {io.MultiReader(data(3000), iotest.ErrReader(broken)), -1, 0, broken},
		"reader fails, announced big": {iotest.ErrReader(broken), 3000, 0, broken},
	} {
		s := newSpool(t, 100)
		b, err := s.Read(c.r, c.size, c.most)
		require.ErrorIs(t, err, c.want, name)
		require.Equal(t, crawl.Body{}, b, name)
		require.Empty(t, spooled(t, s), name)
		require.NoError(t, s.Close())
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := (&crawl.Spool{Over: 1, Dir: file}).Read(data(1000), 1000, 0)
	require.ErrorContains(t, err, "spool folder")
}

// A body in three pieces is one body: file, size and sum.
func TestSpoolReadsOn(t *testing.T) {
	t.Parallel()
	s := newSpool(t, 100)
	broken := errors.New("broken")
	data := bytes.Repeat([]byte("0123456789"), 100)
	cut := func(from, to int) io.Reader {
		return io.MultiReader(bytes.NewReader(data[from:to]), iotest.ErrReader(broken))
	}
	_, part, err := s.ReadOn(nil, cut(0, 99), -1, 0)
	require.ErrorIs(t, err, broken)
	require.Nil(t, part, "what is in memory is not kept")
	_, part, err = s.ReadOn(nil, cut(0, 250), 1000, 1000)
	require.ErrorIs(t, err, broken)
	require.EqualValues(t, 250, part.Size())
	require.True(t, part.Intact())
	path := spooled(t, s)
	_, part, err = s.ReadOn(part, bytes.NewReader(data[250:600]), 1000, 1000)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.EqualValues(t, 600, part.Size())
	body, part, err := s.ReadOn(part, bytes.NewReader(data[600:]), 1000, 1000)
	require.NoError(t, err)
	require.Nil(t, part)
	require.EqualValues(t, 1000, body.Size())
	got, err := body.Bytes()
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
	sum := md5.Sum(data)
	digest, _ := body.Sum("md5")
	require.Equal(t, hex.EncodeToString(sum[:]), digest)
	require.Equal(t, path, spooled(t, s))
	require.NoError(t, body.Close())

	for name, c := range map[string]struct {
		r          io.Reader
		size, most int64
		want       error
	}{
		"announced too large": {iotest.ErrReader(broken), 1000, 999, crawl.ErrBodyTooLarge},
		"found too large":     {bytes.NewReader(data), -1, 999, crawl.ErrBodyTooLarge},
	} {
		_, part, err = s.ReadOn(nil, cut(0, 250), -1, 0)
		require.ErrorIs(t, err, broken)
		_, left, err := s.ReadOn(part, c.r, c.size, c.most)
		require.ErrorIs(t, err, c.want, name)
		require.Nil(t, left, name)
		require.Empty(t, spooled(t, s), name)
	}

	_, part, _ = s.ReadOn(nil, cut(0, 250), -1, 0)
	require.NoError(t, os.Remove(spooled(t, s)[0]))
	require.False(t, part.Intact())
	_, left, err := s.ReadOn(part, cut(250, 1000), -1, 0)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Nil(t, left)
	require.NoError(t, part.Close())
}

func TestBodyTakeAndClose(t *testing.T) {
	t.Parallel()
	s := newSpool(t, 10)
	b, err := s.Read(bytes.NewReader([]byte("hello, large world")), 18, 0)
	require.NoError(t, err)
	r, err := b.Open()
	require.NoError(t, err)
	_, err = r.Seek(7, io.SeekStart)
	require.NoError(t, err)
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "large world", string(rest))
	require.NoError(t, r.Close())
	other := b
	require.True(t, b.Take())
	require.False(t, other.Take(), "copies share the file")
	require.NoError(t, other.Close())
	require.FileExists(t, b.Path())
	require.NoError(t, s.Close())
	require.NoFileExists(t, b.Path())
	left, err := os.ReadDir(s.Dir)
	require.NoError(t, err)
	require.Empty(t, left, "the spool's folder goes with it")
	require.NoError(t, s.Close())
	_, err = b.Open()
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = b.Bytes()
	require.ErrorIs(t, err, os.ErrNotExist)

	mem := crawl.BytesBody([]byte("abc"))
	require.False(t, mem.Take())
	require.NoError(t, mem.Close())
	require.Zero(t, crawl.Body{}.Size())
}

// endless yields zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestSpoolMemory(t *testing.T) { //nolint:paralleltest // it measures what the process allocates
	const size = 200 << 20
	s := &crawl.Spool{Dir: t.TempDir(), Hash: "sha256", NewHash: sha256.New}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b, err := s.Read(io.LimitReader(endless{}, size), -1, 0)
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.Equal(t, int64(size), b.Size())
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20))
	require.NoError(t, s.Close())
}

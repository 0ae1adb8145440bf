// Package storetest is the suite that every store passes, the built-in ones and those in packages of their own. A store's whole test is often
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) crawl.Store { return newEmptyStore(t) })
//	}
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

// clockSkew is how far a store's clock may be off. It is less than any time zone is.
const clockSkew = 5 * time.Minute

// largeSize is more than one would like to hold in memory per file, and more than one part of a multipart upload.
const largeSize = 12 << 20

// Run holds a store against its contract: [crawl.Store], and those of [crawl.Adopter], [crawl.Toucher], [crawl.Syncer] and [store.Recorder] that it has. open is
// called once for each part and returns an empty store; it cleans up by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) crawl.Store) {
	t.Helper()
	parts := []struct {
		name string
		run  func(*testing.T, crawl.Store)
	}{
		{"put stat open", testRoundTrip},
		{"missing", testMissing},
		{"empty file", testEmptyFile},
		{"overwrite", testOverwrite},
		{"failing reader", testFailingReader},
		{"unfinished is invisible", testUnfinished},
		{"meta", testMeta},
		{"time", testTime},
		{"names", testNames},
		{"bad names", testBadNames},
		{"folders are no files", testFolders},
		{"large", testLarge},
		{"concurrent writers of one name", testConcurrentWriters},
		{"concurrent names", testConcurrentNames},
		{"cancelled", testCancelled},
		{"adopt", testAdopt},
		{"touch", testTouch},
		{"record", testRecord},
		{"sync", testSync},
	}
	for _, part := range parts {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.run(t, open(t))
		})
	}
}

func put(t *testing.T, s crawl.Store, name, content string, meta crawl.Meta) {
	t.Helper()
	require.NoError(t, s.Put(t.Context(), name, strings.NewReader(content), meta))
}

func content(t *testing.T, s crawl.Store, name string) string {
	t.Helper()
	r, err := s.Open(t.Context(), name)
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(b)
}

func absent(t *testing.T, s crawl.Store, name string) {
	t.Helper()
	_, err := s.Stat(t.Context(), name)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = s.Open(t.Context(), name)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// fullMeta has every field set, with characters that a header would not carry as they are.
func fullMeta() crawl.Meta {
	return crawl.Meta{
		Checksum: "5547178b89448faf0015a13f904c936e", Width: 640, Height: 427, ContentType: "image/jpeg",
		ETag: `W/"a,b"`, LastModified: "Wed, 21 Oct 2015 07:28:00 GMT", FinalURL: "https://example.com/é?a=b&c=\"d\"",
		Thumbs: map[string]crawl.Thumb{
			"small": {Path: "thumbs/small/x.jpg", Width: 50, Height: 33},
			"big":   {Path: "thumbs/big/x.jpg", Width: 270, Height: 180},
		},
	}
}

func testRoundTrip(t *testing.T, s crawl.Store) {
	put(t, s, "full/a.jpg", "some bytes", crawl.Meta{})
	require.Equal(t, "some bytes", content(t, s, "full/a.jpg"))
	info, err := s.Stat(t.Context(), "full/a.jpg")
	require.NoError(t, err)
	require.EqualValues(t, len("some bytes"), info.Size)
	require.Empty(t, info.Meta)
}

func testMissing(t *testing.T, s crawl.Store) {
	absent(t, s, "nothing")
	absent(t, s, "no/such/folder/file.jpg")
	put(t, s, "full/a", "a", crawl.Meta{})
	absent(t, s, "full/b")
	absent(t, s, "full/a/b")
}

func testEmptyFile(t *testing.T, s crawl.Store) {
	put(t, s, "empty", "", crawl.Meta{Checksum: "d41d8cd98f00b204e9800998ecf8427e"})
	require.Empty(t, content(t, s, "empty"))
	info, err := s.Stat(t.Context(), "empty")
	require.NoError(t, err)
	require.Zero(t, info.Size)
	require.Equal(t, "d41d8cd98f00b204e9800998ecf8427e", info.Meta.Checksum)
}

func testOverwrite(t *testing.T, s crawl.Store) {
	put(t, s, "full/a", "a long first version", fullMeta())
	put(t, s, "full/a", "second", crawl.Meta{Checksum: "2"})
	require.Equal(t, "second", content(t, s, "full/a"))
	info, err := s.Stat(t.Context(), "full/a")
	require.NoError(t, err)
	require.EqualValues(t, len("second"), info.Size)
	require.Equal(t, crawl.Meta{Checksum: "2"}, info.Meta, "nothing of the old record is left")

	put(t, s, "full/a", "third!", crawl.Meta{})
	info, err = s.Stat(t.Context(), "full/a")
	require.NoError(t, err)
	require.Empty(t, info.Meta, "a file of the same size has no claim to the record of the one before")
}

// failingReader yields some bytes and then an error.
type failingReader struct {
	bytes int
	err   error
}

func (r *failingReader) Read(p []byte) (int, error) {
	if r.bytes == 0 {
		return 0, r.err
	}
	n := min(r.bytes, len(p))
	r.bytes -= n
	for i := range p[:n] {
		p[i] = 'x'
	}
	return n, nil
}

func testFailingReader(t *testing.T, s crawl.Store) {
	broken := errors.New("the source broke")
	for _, size := range []int{0, 1, 100_000, largeSize} {
		err := s.Put(t.Context(), "full/new", &failingReader{bytes: size, err: broken}, crawl.Meta{})
		require.ErrorIs(t, err, broken)
		absent(t, s, "full/new")
	}
	put(t, s, "full/old", "as it was", fullMeta())
	require.ErrorIs(t, s.Put(t.Context(), "full/old", &failingReader{bytes: 100_000, err: broken}, crawl.Meta{}), broken)
	require.Equal(t, "as it was", content(t, s, "full/old"))
	info, err := s.Stat(t.Context(), "full/old")
	require.NoError(t, err)
	require.Equal(t, fullMeta(), info.Meta)
}

func testUnfinished(t *testing.T, s crawl.Store) {
	put(t, s, "full/old", "as it was", crawl.Meta{})
	for _, name := range []string{"full/old", "full/new"} {
		pr, pw := io.Pipe()
		done := make(chan error, 1)
		go func() { done <- s.Put(t.Context(), name, pr, crawl.Meta{}) }()
		_, err := pw.Write(bytes.Repeat([]byte("x"), 1000))
		require.NoError(t, err)
		if name == "full/old" {
			require.Equal(t, "as it was", content(t, s, name))
		} else {
			absent(t, s, name)
		}
		require.NoError(t, pw.Close())
		require.NoError(t, <-done)
		require.Equal(t, strings.Repeat("x", 1000), content(t, s, name))
	}
}

func testMeta(t *testing.T, s crawl.Store) {
	put(t, s, "full/a.jpg", "picture", fullMeta())
	info, err := s.Stat(t.Context(), "full/a.jpg")
	require.NoError(t, err)
	require.Equal(t, fullMeta(), info.Meta)

	info.Meta.Thumbs["small"] = crawl.Thumb{}
	again, err := s.Stat(t.Context(), "full/a.jpg")
	require.NoError(t, err)
	require.Equal(t, fullMeta(), again.Meta, "what Stat returned belongs to the caller")
}

func testTime(t *testing.T, s crawl.Store) {
	before := time.Now()
	put(t, s, "full/a", "a", crawl.Meta{})
	info, err := s.Stat(t.Context(), "full/a")
	require.NoError(t, err)
	require.Equal(t, time.UTC, info.ModTime.Location())
	require.WithinRange(t, info.ModTime, before.Add(-clockSkew), time.Now().Add(clockSkew))
}

func testNames(t *testing.T, s crawl.Store) {
	names := []string{
		"a", "A file with spaces.txt", "full/0a1b.jpg", "deep/er/than/most/files/go.bin", ".hidden", "full/.hidden",
		"no-extension", "dots...in.the..middle", "ü/ñ/日本.png", "percent%20sign", "plus+and&more=x;y,z", "quote'd", "console/common.txt",
		"brackets[1](2){3}", "at@home~", strings.Repeat("n", 255), store.By + "178059cbeba2e34120a67f2dc1afc3ecc09b61cb",
	}
	for _, name := range names {
		require.NoError(t, store.CheckName(name))
		put(t, s, name, "content of "+name, crawl.Meta{Checksum: "1"})
	}
	for _, name := range names {
		require.Equal(t, "content of "+name, content(t, s, name))
		info, err := s.Stat(t.Context(), name)
		require.NoError(t, err, name)
		require.EqualValues(t, len("content of "+name), info.Size)
		require.Equal(t, "1", info.Meta.Checksum)
	}
}

// BadNames are refused by every store.
func BadNames() []string {
	return []string{
		"", ".", "..", "/", "/etc/passwd", "../outside", "a/../../outside", "a/..", "a/./b", "a//b", "a/", "./a",
		`a\b`, `..\outside`, `C:\x`, "a\x00b", "a\nb", "a\x7fb", "invalid\xff",
		"con", "full/NUL", "aux.jpg", "com1/x", "Lpt9.tar.gz", "prn .txt",
		strings.Repeat("n", 256), "full/" + strings.Repeat("n", 256), strings.Repeat("abcdefg/", 200) + "x",
		".tulle", ".tulle/meta/full/a.jpg", ".tulle/tmp/x", ".TULLE/by/x", ".tulle/by/x/y", ".tulle/by/",
	}
}

func testBadNames(t *testing.T, s crawl.Store) {
	for _, name := range BadNames() {
		require.ErrorIs(t, s.Put(t.Context(), name, strings.NewReader("x"), crawl.Meta{}), store.ErrName, "put %q", name)
		_, err := s.Stat(t.Context(), name)
		require.ErrorIs(t, err, store.ErrName, "stat %q", name)
		_, err = s.Open(t.Context(), name)
		require.ErrorIs(t, err, store.ErrName, "open %q", name)
	}
}

func testFolders(t *testing.T, s crawl.Store) {
	put(t, s, "full/a", "a", crawl.Meta{})
	absent(t, s, "full")
}

// pattern yields n bytes that do not repeat, without holding them.
type pattern struct {
	rng  *rand.ChaCha8
	left int64
}

func newPattern(n int64) *pattern {
	return &pattern{rng: rand.NewChaCha8([32]byte{1}), left: n}
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n, _ := p.rng.Read(b[:min(int64(len(b)), p.left)])
	p.left -= int64(n)
	return n, nil
}

func digest(t *testing.T, r io.Reader) string {
	t.Helper()
	var h hash.Hash = sha256.New()
	_, err := io.Copy(h, r)
	require.NoError(t, err)
	return hex.EncodeToString(h.Sum(nil))
}

func testLarge(t *testing.T, s crawl.Store) {
	require.NoError(t, s.Put(t.Context(), "full/large.bin", newPattern(largeSize), crawl.Meta{}))
	info, err := s.Stat(t.Context(), "full/large.bin")
	require.NoError(t, err)
	require.EqualValues(t, largeSize, info.Size)
	r, err := s.Open(t.Context(), "full/large.bin")
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	require.Equal(t, digest(t, newPattern(largeSize)), digest(t, r))
}

// testConcurrentWriters lets several write one name, while others read it: what they see is one version, whole, with its own record or none.
func testConcurrentWriters(t *testing.T, s crawl.Store) {
	const writers, rounds = 8, 5
	version := func(i int) string { return strings.Repeat(fmt.Sprintf("%d", i), 1000+i*100) }
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for range rounds {
				err := s.Put(t.Context(), "full/shared", strings.NewReader(version(i)), crawl.Meta{Checksum: fmt.Sprint(i), Width: i})
				if err != nil {
					t.Errorf("put: %v", err)
				}
			}
		})
		wg.Go(func() {
			for range rounds {
				r, err := s.Open(t.Context(), "full/shared")
				if errors.Is(err, fs.ErrNotExist) {
					continue
				} else if err != nil {
					t.Errorf("open: %v", err)
					return
				}
				b, err := io.ReadAll(r)
				_ = r.Close()
				if err != nil || len(b) == 0 || string(b) != version(int(b[0]-'0')) {
					t.Errorf("read a mixture, or nothing (%d bytes): %v", len(b), err)
				}
			}
		})
	}
	wg.Wait()
	got := content(t, s, "full/shared")
	info, err := s.Stat(t.Context(), "full/shared")
	require.NoError(t, err)
	require.EqualValues(t, len(got), info.Size)
	if info.Meta.Checksum != "" {
		require.Equal(t, got[:1], info.Meta.Checksum)
	}
}

func testConcurrentNames(t *testing.T, s crawl.Store) {
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			name := fmt.Sprintf("dir%d/sub%d/%d", i%3, i%5, i)
			if err := s.Put(t.Context(), name, strings.NewReader(name), crawl.Meta{Checksum: name}); err != nil {
				t.Errorf("put: %v", err)
			}
		})
	}
	wg.Wait()
	for i := range 50 {
		name := fmt.Sprintf("dir%d/sub%d/%d", i%3, i%5, i)
		require.Equal(t, name, content(t, s, name))
	}
}

func testCancelled(t *testing.T, s crawl.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Put(ctx, "full/a", strings.NewReader("a"), crawl.Meta{}), context.Canceled)
	absent(t, s, "full/a")

	ctx, cancel = context.WithCancel(t.Context())
	endless := readerFunc(func(p []byte) (int, error) {
		cancel()
		return len(p), nil
	})
	require.ErrorIs(t, s.Put(ctx, "full/b", endless, crawl.Meta{}), context.Canceled)
	absent(t, s, "full/b")
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func testAdopt(t *testing.T, s crawl.Store) {
	a, ok := s.(crawl.Adopter)
	if !ok {
		t.Skip("the store is no Adopter")
	}
	local := filepath.Join(t.TempDir(), "spooled")
	require.NoError(t, os.WriteFile(local, []byte("spooled bytes"), 0o600))
	for _, name := range BadNames() {
		_, err := a.Adopt(t.Context(), name, local, crawl.Meta{})
		require.ErrorIs(t, err, store.ErrName, "adopt %q", name)
		require.FileExists(t, local)
	}
	put(t, s, "full/a", "what was there", crawl.Meta{})
	took, err := a.Adopt(t.Context(), "full/a", local, fullMeta())
	require.NoError(t, err)
	if !took {
		require.FileExists(t, local)
		require.Equal(t, "what was there", content(t, s, "full/a"))
		return
	}
	require.NoFileExists(t, local)
	require.Equal(t, "spooled bytes", content(t, s, "full/a"))
	info, err := s.Stat(t.Context(), "full/a")
	require.NoError(t, err)
	require.Equal(t, fullMeta(), info.Meta)
	require.EqualValues(t, len("spooled bytes"), info.Size)
}

func testTouch(t *testing.T, s crawl.Store) {
	to, ok := s.(crawl.Toucher)
	if !ok {
		t.Skip("the store is no Toucher")
	}
	require.ErrorIs(t, to.Touch(t.Context(), "full/none", crawl.Meta{}), fs.ErrNotExist)
	for _, name := range BadNames() {
		require.ErrorIs(t, to.Touch(t.Context(), name, crawl.Meta{}), store.ErrName, "touch %q", name)
	}
	put(t, s, "full/a", "a", crawl.Meta{Checksum: "1"})
	before, err := s.Stat(t.Context(), "full/a")
	require.NoError(t, err)
	require.NoError(t, to.Touch(t.Context(), "full/a", fullMeta()))
	after, err := s.Stat(t.Context(), "full/a")
	require.NoError(t, err)
	require.Equal(t, fullMeta(), after.Meta)
	require.False(t, after.ModTime.Before(before.ModTime))
	require.Equal(t, "a", content(t, s, "full/a"))
}

func testRecord(t *testing.T, s crawl.Store) {
	rec, ok := s.(store.Recorder)
	if !ok {
		t.Skip("the store is no Recorder")
	}
	require.ErrorIs(t, rec.Record(t.Context(), "full/none", crawl.Info{}), fs.ErrNotExist)
	for _, name := range BadNames() {
		require.ErrorIs(t, rec.Record(t.Context(), name, crawl.Info{}), store.ErrName, "record %q", name)
	}
	put(t, s, "full/a", "a", crawl.Meta{})
	info, err := s.Stat(t.Context(), "full/a")
	require.NoError(t, err)
	info.Meta = fullMeta()
	require.NoError(t, rec.Record(t.Context(), "full/a", info))
	after, err := s.Stat(t.Context(), "full/a")
	require.NoError(t, err)
	require.Equal(t, info, after, "its time is what it was")

	put(t, s, "full/a", "another", crawl.Meta{})
	require.NoError(t, rec.Record(t.Context(), "full/a", info))
	after, err = s.Stat(t.Context(), "full/a")
	require.NoError(t, err)
	require.Empty(t, after.Meta, "a record of what was there before")
}

// testSync can't take the power away. It sees that a Sync changes nothing, takes what may be named, and may run while others write.
func testSync(t *testing.T, s crawl.Store) {
	sy, ok := s.(crawl.Syncer)
	if !ok {
		t.Skip("the store is no Syncer")
	}
	require.NoError(t, sy.Sync(t.Context(), nil))
	require.NoError(t, sy.Sync(t.Context(), []string{"full/none", "no/such/folder/x"}), "what is gone")
	for _, name := range BadNames() {
		require.ErrorIs(t, sy.Sync(t.Context(), []string{"full/a", name}), store.ErrName, "sync %q", name)
	}
	put(t, s, "full/a", "a", fullMeta())
	put(t, s, "thumbs/small/a", "thumbnail", crawl.Meta{})
	put(t, s, "plain", "in no folder", crawl.Meta{})
	before, err := s.Stat(t.Context(), "full/a")
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, sy.Sync(t.Context(), []string{"full/a", "thumbs/small/a", "full/none", "plain", "full/a", "full"}))
		after, err := s.Stat(t.Context(), "full/a")
		require.NoError(t, err)
		require.Equal(t, before, after)
		require.Equal(t, "a", content(t, s, "full/a"))
		put(t, s, "thumbs/small/a", "another thumbnail", crawl.Meta{})
	}

	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for k := range 10 {
				name := fmt.Sprintf("full/%d", (i+k)%5)
				if err := s.Put(t.Context(), name, strings.NewReader(name), crawl.Meta{Checksum: name}); err != nil {
					t.Errorf("put: %v", err)
				}
				if err := sy.Sync(t.Context(), []string{name, "full/0"}); err != nil {
					t.Errorf("sync: %v", err)
				}
			}
		})
	}
	wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	put(t, s, "full/late", "late", crawl.Meta{})
	require.ErrorIs(t, sy.Sync(ctx, []string{"full/late"}), context.Canceled)
}

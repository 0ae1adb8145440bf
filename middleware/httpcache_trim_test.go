package middleware

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/middleware/cachedb"
	"github.com/tulle-go/tulle/middleware/internal/cache"
)

func limited(storage string, size int64) func(*crawl.Settings) {
	return func(s *crawl.Settings) {
		s.HTTPCache.Storage, s.HTTPCache.MaxSize = storage, size
		s.Parts.CacheStorages = map[string]crawl.OpenCacheStorage{"embedded": cachedb.Open}
	}
}

// sized answers /N with a body of N bytes.
func sized(b *bundle) crawl.Fetcher {
	return serve(func(req *crawl.Request) (*crawl.Response, error) {
		var n int
		if _, err := fmt.Sscanf(req.URL.Path, "/%d", &n); err != nil {
			return nil, err
		}
		resp := answer(req, 200, "", "Cache-Control", "max-age=1000")
		var err error
		resp.Body, err = b.Spool.Read(strings.NewReader(strings.Repeat("x", n)), -1, 0)
		return resp, err
	})
}

// onDisk is what the cache takes, as it counts.
func onDisk(t *testing.T, c *httpCache) (size int64) {
	t.Helper()
	require.NoError(t, c.walk(t.Context(), func(it cache.Item) { size += it.Size }))
	return size
}

// becomes waits until a cache has shrunk to a size by itself.
func becomes(t *testing.T, c *httpCache, size int64) {
	t.Helper()
	for onDisk(t, c) > size { // the test's own time limit ends it
		time.Sleep(time.Millisecond)
	}
}

func flagsOf(t *testing.T, f crawl.Fetcher, url string) string {
	t.Helper()
	resp, err := f.Fetch(t.Context(), crawl.Get(url))
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	return strings.Join(resp.Flags, " ")
}

// TestHTTPCacheMaxSize fills caches of both storages beyond their size, with small bodies and large ones: the oldest are gone from the disk with their bodies, the newest are
// there, and an opening with a smaller limit makes the cache smaller.
func TestHTTPCacheMaxSize(t *testing.T) {
	t.Parallel()
	for _, storage := range []string{crawl.CacheFiles, "embedded"} {
		t.Run(storage, func(t *testing.T) {
			t.Parallel()
			const limit = 12 << 20
			b := keptFor(t, limited(storage, limit))
			f := b.build(t, HTTPCache, sized(b))
			c := f.(*httpCache)
			large := func(i int) string { return fmt.Sprintf("http://h/%d?%d", 1<<20+1, i) }
			small := func(i int) string { return fmt.Sprintf("http://h/%d?%d", 20<<10, i) }
			flags := func(url string) string { return flagsOf(t, f, url) }
			for i := range 20 { // 26 MB in all
				require.Empty(t, flags(large(i)))
				for k := range 10 {
					require.Empty(t, flags(small(10*i+k)))
				}
			}
			c.endSweep() // two who trim at once, of whom neither knows of the other, remove more
			c.sweeping.Wait()
			c.trim(t.Context())
			size := onDisk(t, c)
			require.LessOrEqual(t, size, int64(limit))
			require.Greater(t, size, int64(limit/10*8))
			require.Equal(t, "cached", flags(large(19)))
			require.Equal(t, "cached", flags(small(199)))
			require.Equal(t, "cached", flags(small(160)))
			require.Positive(t, b.Stats.Int("httpcache/evicted"))
			stored := b.Stats.Int("httpcache/store")
			require.Empty(t, flags(large(0)))
			require.Empty(t, flags(small(0)))
			require.Empty(t, flags(small(9)))
			require.Equal(t, stored+3, b.Stats.Int("httpcache/store"))
			require.Zero(t, b.Stats.Int("httpcache/retrieve_error"))
			require.NoError(t, f.(io.Closer).Close())
			bodies := len(filesIn(t, filepath.Join(b.Settings.HTTPCache.Dir, "test", "bodies")))
			require.InDelta(t, 9, bodies, 3, "of 1 MiB each")

			b.Settings.HTTPCache.MaxSize = 3 << 20
			f = b.build(t, HTTPCache, sized(b))
			t.Cleanup(func() { require.NoError(t, f.(io.Closer).Close()) })
			becomes(t, f.(*httpCache), 3<<20) // the opening looks
			require.Equal(t, "cached", flags(small(0)), "it was stored last but one")
		})
	}
}

// TestHTTPCacheGrows has nobody look at the cache but itself, long after the look of its opening.
func TestHTTPCacheGrows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 1 << 20
		b := keptFor(t, limited(crawl.CacheFiles, limit))
		c := cacheOver(t, b, sized(b)).(*httpCache)
		synctest.Wait()      // it has looked
		for i := range 300 { // each is three blocks: 3.5 MiB in all
			require.Empty(t, flagsOf(t, c, fmt.Sprintf("http://h/%d?%d", 10_000, i)))
		}
		synctest.Wait()
		require.LessOrEqual(t, onDisk(t, c), int64(limit+limit/10))
		require.Positive(t, b.Stats.Int("httpcache/evicted"))
	})
}

// TestHTTPCacheOfTwo has two crawls share a cache that is too small for them, with bodies in files: each request is answered, each answer is whole, and both keep to the size.
func TestHTTPCacheOfTwo(t *testing.T) {
	t.Parallel()
	const limit = 12 << 20
	one := keptFor(t, limited(crawl.CacheFiles, limit))
	two := keptFor(t, limited(crawl.CacheFiles, limit))
	two.Settings.HTTPCache.Dir = one.Settings.HTTPCache.Dir
	var wg sync.WaitGroup
	var caches []*httpCache
	for _, b := range []*bundle{one, two} {
		c := cacheOver(t, b, sized(b)).(*httpCache)
		caches = append(caches, c)
		for worker := range 3 {
			wg.Go(func() {
				for i := range 40 {
					n := 1<<20 + 1 + (i+worker)%20
					resp, err := c.Fetch(context.Background(), crawl.Get(fmt.Sprintf("http://h/%d", n)))
					if err != nil {
						t.Error(err)
						return
					}
					if resp.Body.Size() != int64(n) {
						t.Errorf("%d bytes of %d", resp.Body.Size(), n)
					}
					if err := resp.Close(); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	for _, name := range filesIn(t, filepath.Join(one.Settings.HTTPCache.Dir, "test", "bodies")) { // two may have stored one at the same instant: it goes a minute later
		require.NoError(t, os.Chtimes(name, time.Time{}, time.Now().Add(-2*time.Minute)))
	}
	for _, c := range caches {
		c.trim(t.Context())
	}
	require.LessOrEqual(t, onDisk(t, caches[0]), int64(limit))
	for _, b := range []*bundle{one, two} {
		require.Positive(t, b.Stats.Int("httpcache/evicted"))
		require.Zero(t, b.Stats.Int("httpcache/retrieve_error"))
		require.Zero(t, b.Stats.Int("httpcache/store_error"))
	}
}

// TestHTTPCacheOrphans has bodies without an entry in a cache that is too small: one that was written long ago goes, as nothing else would make room of it; the entry of one
// that was written just now may be on its way.
func TestHTTPCacheOrphans(t *testing.T) {
	t.Parallel()
	b := keptFor(t, limited(crawl.CacheFiles, 1<<10))
	c := cacheOver(t, b, serveOK()).(*httpCache)
	write := func(key string) (file string) {
		name, err := c.bodies.Put(key, crawl.BytesBody(make([]byte, 10_000)), false)
		require.NoError(t, err)
		return filepath.Join(b.Settings.HTTPCache.Dir, "test", "bodies", name[:2], name)
	}
	unread := strings.Repeat("c", 40)
	require.NoError(t, os.MkdirAll(filepath.Join(b.Settings.HTTPCache.Dir, "test", "cc", unread), 0o700)) // its entry cannot be read
	old, young, unknown := write(strings.Repeat("a", 40)), write(strings.Repeat("b", 40)), write(unread)
	for _, name := range []string{old, unknown} {
		require.NoError(t, os.Chtimes(name, time.Time{}, time.Now().Add(-2*entryFollows)))
	}
	c.trim(t.Context())
	require.NoFileExists(t, old)
	require.FileExists(t, young)
	require.FileExists(t, unknown)
	require.Zero(t, b.Stats.Int("httpcache/evicted"), "an entry")
}

// TestHTTPCacheEvictedMeanwhile has two crawls on one folder. One evicts what the other has just found, and is about to read the body of: that is a page that is not there,
// not one that is damaged.
func TestHTTPCacheEvictedMeanwhile(t *testing.T) {
	t.Parallel()
	b := keptFor(t)
	other := cacheOver(t, b, serveOK()).(*httpCache)
	var loaded func()
	b.Settings.Parts.CacheStorages = map[string]crawl.OpenCacheStorage{crawl.CacheFiles: func(dir string, _ *crawl.Env) (crawl.CacheStorage, error) {
		files, err := cache.OpenFiles(dir)
		return loading{files, func() { loaded() }}, err
	}}
	url := fmt.Sprintf("http://h/%d", 2<<20)
	f := cacheOver(t, b, sized(b))
	loaded = func() {}
	require.Empty(t, flagsOf(t, f, url))
	loaded = sync.OnceFunc(func() {
		require.Positive(t, other.evict(cache.Item{Key: crawl.Get(url).Fingerprint().String(), Stored: time.Now()}))
	})
	require.Empty(t, flagsOf(t, f, url))
	require.Zero(t, b.Stats.Int("httpcache/retrieve_error"))
	require.Equal(t, "cached", flagsOf(t, f, url))
}

// loading tells of what was loaded.
type loading struct {
	crawl.CacheStorage
	loaded func()
}

func (l loading) Load(key string) ([]byte, error) {
	entry, err := l.CacheStorage.Load(key)
	l.loaded()
	return entry, err
}

// killed are the settings of TestHTTPCacheTrimKilled: all bodies are in files.
func killed(dir, storage string, size int64) func(*crawl.Settings) {
	return func(s *crawl.Settings) {
		limited(storage, size)(s)
		s.HTTPCache.Dir, s.Download.SpoolOver = dir, 1
	}
}

// TestHTTPCacheTrimKilled kills processes while they trim, before they remove an entry and between an entry and its body: what is left is whole, and the next opening goes on.
func TestHTTPCacheTrimKilled(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	for _, storage := range []string{crawl.CacheFiles, "embedded"} {
		t.Run(storage, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			b := keptFor(t, killed(dir, storage, 1<<40))
			c := b.build(t, HTTPCache, sized(b)).(*httpCache)
			for i := range 100 { // 2.6 MB
				require.Empty(t, flagsOf(t, c, fmt.Sprintf("http://h/%d?%d", 20_000, i)))
			}
			left := wholeEntries(t, c)
			require.Equal(t, 100, left)
			require.NoError(t, c.Close())
			for _, at := range []string{"1 before", "1 after", "9 before", "9 after"} {
				//nolint:gosec // The test itself.
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHTTPCacheTrimmer$")
				cmd.Env = append(os.Environ(), fmt.Sprint("TULLE_CACHE_TRIMMER=", at, " ", storage, " ", limit, " ", dir), "TMPDIR="+t.TempDir())
				out, err := cmd.StdoutPipe()
				require.NoError(t, err)
				require.NoError(t, cmd.Start())
				line, err := bufio.NewReader(out).ReadString('\n')
				require.NoError(t, err)
				require.Equal(t, "trimming\n", line)
				require.NoError(t, cmd.Process.Kill())
				require.Error(t, cmd.Wait())

				c = b.build(t, HTTPCache, sized(b)).(*httpCache)
				now := wholeEntries(t, c)
				require.LessOrEqual(t, now, left)
				left = now
				require.NoError(t, c.Close())
			}
			require.Less(t, left, 90)
			bodies := filesIn(t, filepath.Join(dir, "test", "bodies"))
			if storage == crawl.CacheFiles { // in the database the entry was there again
				require.Greater(t, len(bodies), left, "somebody was killed between an entry and its body")
			}
			for _, name := range bodies {
				require.NoError(t, os.Chtimes(name, time.Time{}, time.Now().Add(-2*time.Hour)))
			}
			b.Settings.HTTPCache.MaxSize = limit
			c = b.build(t, HTTPCache, sized(b)).(*httpCache)
			becomes(t, c, limit)
			require.NoError(t, c.Close())
			b.Settings.HTTPCache.MaxSize = 1 << 40
			c = cacheOver(t, b, sized(b)).(*httpCache)
			left = wholeEntries(t, c)
			require.Positive(t, left)
			require.Len(t, filesIn(t, filepath.Join(dir, "test", "bodies")), left)
		})
	}
}

// wholeEntries is how many entries there are, of which each must be whole.
func wholeEntries(t *testing.T, c *httpCache) (n int) {
	t.Helper()
	require.NoError(t, c.walker.Walk(t.Context(), func(key string, _ int64, _ time.Time) {
		head := c.headOf(key)
		require.NotNil(t, head)
		require.NotEmpty(t, head.File)
		body, err := c.body(&found{key: key, head: head})
		require.NoError(t, err)
		require.EqualValues(t, 20_000, body.Size())
		require.NoError(t, body.Close())
		n++
	}))
	return n
}

func TestHTTPCacheTrimmer(t *testing.T) {
	args := os.Getenv("TULLE_CACHE_TRIMMER")
	if args == "" {
		t.Skip("it is run by TestHTTPCacheTrimKilled")
	}
	var nth int
	var limit int64
	var at, storage string
	_, err := fmt.Sscan(args, &nth, &at, &storage, &limit)
	require.NoError(t, err)
	dir := strings.SplitN(args, " ", 5)[4]
	b := keptFor(t, killed(dir, storage, limit))
	open := b.Settings.Parts.CacheStorages[storage]
	if open == nil {
		open = func(dir string, _ *crawl.Env) (crawl.CacheStorage, error) { return cache.OpenFiles(dir) }
	}
	b.Settings.Parts.CacheStorages[storage] = func(dir string, env *crawl.Env) (crawl.CacheStorage, error) {
		s, err := open(dir, env)
		walker, _ := s.(crawl.CacheWalker)
		return &stopping{s, walker, nth, at == "before"}, err
	}
	b.build(t, HTTPCache, serveOK())
	select {}
}

// stopping stops before or after it removes the n-th entry, and says so.
type stopping struct {
	crawl.CacheStorage
	crawl.CacheWalker
	n      int
	before bool
}

func (s *stopping) Sync() error {
	if s, ok := s.CacheStorage.(crawl.CacheSyncer); ok {
		return s.Sync()
	}
	return nil
}

func (s *stopping) Remove(key string) error {
	s.n--
	if s.n > 0 {
		return s.CacheStorage.Remove(key)
	}
	if !s.before {
		if err := s.CacheStorage.Remove(key); err != nil {
			return err
		}
	}
	fmt.Println("trimming")
	select {}
}

// TestHTTPCachePromotes has a site that tells its variants by something else after a 304: the body of the variant is the primary entry's now, and the one before is gone.
func TestHTTPCachePromotes(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("a large text. ", 100_000)
	b := keptFor(t, rfc9111, limited(crawl.CacheFiles, 1<<30))
	vary := "Accept"
	f := cacheOver(t, b, serve(func(req *crawl.Request) (*crawl.Response, error) {
		tag := `"` + req.Header.Get("Accept") + `"`
		if req.Header.Get("If-None-Match") == tag {
			return answer(req, 304, "", "Etag", tag, "Vary", vary), nil
		}
		return answer(req, 200, req.Header.Get("Accept")+text, "Etag", tag, "Cache-Control", "no-cache", "Vary", vary), nil
	}))
	require.Equal(t, "a"+text, got(t, f, asks("http://h/", "Accept", "a")))
	require.Equal(t, "b"+text, got(t, f, asks("http://h/", "Accept", "b")))
	vary = "Accept, X"
	for range 2 {
		require.Equal(t, "b"+text+" cached revalidated", got(t, f, asks("http://h/", "Accept", "b")))
	}
	dir := filepath.Join(b.Settings.HTTPCache.Dir, "test")
	require.Len(t, filesIn(t, filepath.Join(dir, "bodies")), 1)
	require.Len(t, filesIn(t, dir), 2, "an entry and its body")
	require.Zero(t, b.Stats.Int("httpcache/retrieve_error"))
}

func TestHTTPCacheMaxSizeNeedsAWalker(t *testing.T) {
	t.Parallel()
	closed := errors.New("closed")
	b := keptFor(t, limited("plain", 1))
	b.Settings.Parts.CacheStorages["plain"] = func(string, *crawl.Env) (crawl.CacheStorage, error) { return closing{closed}, nil }
	_, err := HTTPCache(b.Env, serveOK())
	require.ErrorContains(t, err, `http_cache.max_size is set, and http_cache.storage "plain" can't tell what it holds`)
	require.ErrorIs(t, err, closed, "it is closed")
}

// closing is a storage that cannot tell what it holds.
type closing struct{ err error }

func (closing) Load(string) ([]byte, error) { return nil, nil }
func (closing) Store(string, []byte) error  { return nil }
func (closing) Remove(string) error         { return nil }
func (c closing) Close() error              { return c.err }

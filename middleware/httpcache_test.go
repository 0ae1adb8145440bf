package middleware

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/middleware/cachedb"
)

// keptFor is a bundle with a cache.
func keptFor(t testing.TB, configure ...func(*crawl.Settings)) *bundle {
	t.Helper()
	dir := t.TempDir()
	return newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) {
		s.HTTPCache.On, s.HTTPCache.Dir = true, dir
		for _, f := range configure {
			f(s)
		}
	})
}

func rfc9111(s *crawl.Settings) { s.HTTPCache.Policy = crawl.CacheRFC9111 }

// cacheOver puts the cache around a site, and closes it with the test.
func cacheOver(t testing.TB, b *bundle, site crawl.Fetcher) crawl.Fetcher {
	t.Helper()
	f := b.build(t, HTTPCache, site)
	t.Cleanup(func() { require.NoError(t, f.(*httpCache).Close()) })
	return f
}

// got asks and returns body and flags: "text" or "text cached".
func got(t testing.TB, f crawl.Fetcher, req *crawl.Request) string {
	t.Helper()
	resp, err := f.Fetch(t.Context(), req)
	require.NoError(t, err)
	require.Same(t, req, resp.Request)
	body, err := resp.Bytes()
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	return strings.Join(append([]string{string(body)}, resp.Flags...), " ")
}

func (b *bundle) cacheStats() map[string]any {
	stats := make(map[string]any)
	for k, v := range b.Stats.Snapshot() {
		if name, ok := strings.CutPrefix(k, "httpcache/"); ok {
			stats[name] = v
		}
	}
	return stats
}

// asks is a request with headers, names and values in turn.
func asks(url string, header ...string) *crawl.Request {
	req := crawl.Get(url)
	req.Header = make(http.Header)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return req
}

// pages answers with what is said, in turn, the last again and again; header are names and values.
func pages(status int, header []string, bodies ...string) *stub {
	n := 0
	var mu sync.Mutex
	return serve(func(req *crawl.Request) (*crawl.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		body := bodies[min(n, len(bodies)-1)]
		n++
		return answer(req, status, body, header...), nil
	})
}

func TestHTTPCacheOff(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	_, err := HTTPCache(b.Env, serveOK())
	requireOff(t, err)
}

func TestHTTPCacheUnknownStorage(t *testing.T) {
	t.Parallel()
	b := keptFor(t, func(s *crawl.Settings) { s.HTTPCache.Storage = "embedded" })
	_, err := HTTPCache(b.Env, serveOK())
	require.ErrorContains(t, err, "import github.com/tulle-go/tulle/middleware/cachedb")
}

func TestHTTPCacheDummy(t *testing.T) {
	t.Parallel()
	b := keptFor(t)
	site := pages(404, []string{"Set-Cookie", "a=b", "Cache-Control", "no-store", "X", "1"}, "one", "two")
	f := cacheOver(t, b, serve(func(req *crawl.Request) (*crawl.Response, error) {
		resp, err := site.Fetch(t.Context(), req)
		resp.Proto, resp.Timing = "HTTP/2.0", crawl.Timing{Start: time.Unix(1000, 0), Latency: time.Second, Total: time.Minute}
		return resp, err
	}))
	url := "http://h/?b=1&a=2"
	require.Equal(t, "one", got(t, f, crawl.Get(url)))
	require.Equal(t, "one cached", got(t, f, crawl.Get("http://h/?a=2&b=1#x")), "by the fingerprint")
	resp, err := f.Fetch(t.Context(), asks(url, "Cache-Control", "no-cache"))
	require.NoError(t, err)
	require.Equal(t, 404, resp.Status)
	require.Equal(t, http.Header{"Set-Cookie": {"a=b"}, "Cache-Control": {"no-store"}, "X": {"1"}}, resp.Header)
	require.Equal(t, "HTTP/2.0", resp.Proto)
	require.Equal(t, time.Second, resp.Timing.Latency)
	require.Equal(t, time.Minute, resp.Timing.Total)
	post := crawl.Get(url)
	post.Method, post.Body = "POST", []byte("x")
	require.Equal(t, "two", got(t, f, post))
	require.Equal(t, "two cached", got(t, f, post), "every method, with its body")
	require.Len(t, site.urls(), 2)
	require.Equal(t, map[string]any{"miss": int64(2), "firsthand": int64(2), "store": int64(2), "hit": int64(3)}, b.cacheStats())
	require.DirExists(t, filepath.Join(b.Settings.HTTPCache.Dir, "test"), "each spider has its own")
}

func TestHTTPCacheSpiderNamesStayInTheFolder(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"..", ".", "../x", "a/b"} {
		b := keptFor(t)
		above := b.Settings.HTTPCache.Dir
		b.Spider.Name, b.Settings.HTTPCache.Dir = name, filepath.Join(above, "cache")
		f := cacheOver(t, b, serveOK())
		require.Equal(t, "ok", got(t, f, crawl.Get("http://h/")))
		list, err := os.ReadDir(b.Settings.HTTPCache.Dir)
		require.NoError(t, err)
		require.Len(t, list, 1, name)
		beside, err := os.ReadDir(above)
		require.NoError(t, err)
		require.Len(t, beside, 1, name)
	}
}

func TestHTTPCacheExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := keptFor(t, func(s *crawl.Settings) { s.HTTPCache.Expires = time.Hour })
		f := cacheOver(t, b, pages(200, nil, "one", "two"))
		require.Equal(t, "one", got(t, f, crawl.Get("http://h/")))
		time.Sleep(time.Hour)
		require.Equal(t, "one cached", got(t, f, crawl.Get("http://h/")))
		time.Sleep(time.Second)
		require.Equal(t, "two", got(t, f, crawl.Get("http://h/")))
		require.Equal(t, "two cached", got(t, f, crawl.Get("http://h/")))
	})
}

// TestHTTPCachePast has what the cache has no part in.
func TestHTTPCachePast(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		url  string
		with func(*crawl.Request)
	}{
		"DontCache": {"http://h/", func(r *crawl.Request) { r.SetKnobs(func(k *crawl.Knobs) { k.DontCache = true }) }},
		"Render":    {"http://h/", func(r *crawl.Request) { r.SetKnobs(func(k *crawl.Knobs) { k.Render = new(crawl.Render) }) }},
		"file":      {"file:///x", nil},
		"data":      {"data:,x", nil},
		"ignored":   {"gopher://h/", nil},
		"Range":     {"http://h/", func(r *crawl.Request) { r.Header.Set("Range", "bytes=0-1") }},
		"condition": {"http://h/", func(r *crawl.Request) { r.Header.Set("If-None-Match", `"x"`) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := keptFor(t, func(s *crawl.Settings) { s.HTTPCache.IgnoreSchemes = []string{"file", "data", "gopher"} })
			f := cacheOver(t, b, pages(200, nil, "one", "two"))
			for _, want := range []string{"one", "two"} {
				req := asks(c.url)
				if c.with != nil {
					c.with(req)
				}
				require.Equal(t, want, got(t, f, req))
			}
			require.Empty(t, b.cacheStats())
		})
	}
}

// TestHTTPCacheNeverStored has what neither policy stores.
func TestHTTPCacheNeverStored(t *testing.T) {
	t.Parallel()
	const fresh = "max-age=1000"
	for name, page := range map[string]func(*crawl.Request) *crawl.Response{
		"a part": func(r *crawl.Request) *crawl.Response { return answer(r, 206, "x", "Cache-Control", fresh) },
		"304":    func(r *crawl.Request) *crawl.Response { return answer(r, 304, "", "Cache-Control", fresh) },
		"cut short": func(r *crawl.Request) *crawl.Response {
			resp := answer(r, 200, "x", "Cache-Control", fresh)
			resp.Flags = []string{"truncated"}
			return resp
		},
		"another length": func(r *crawl.Request) *crawl.Response {
			return answer(r, 200, "x", "Cache-Control", fresh, "Content-Length", "2")
		},
		"a bad length": func(r *crawl.Request) *crawl.Response {
			return answer(r, 200, "x", "Cache-Control", fresh, "Content-Length", "x")
		},
		"ignored status": func(r *crawl.Request) *crawl.Response { return answer(r, 410, "x", "Cache-Control", fresh) },
	} {
		for _, policy := range []string{crawl.CacheDummy, crawl.CacheRFC9111} {
			t.Run(name+" "+policy, func(t *testing.T) {
				t.Parallel()
				b := keptFor(t, func(s *crawl.Settings) { s.HTTPCache.Policy, s.HTTPCache.IgnoreStatuses = policy, []int{410} })
				site := serve(func(r *crawl.Request) (*crawl.Response, error) { return page(r), nil })
				f := cacheOver(t, b, site)
				for range 2 {
					require.NotContains(t, got(t, f, crawl.Get("http://h/")), "cached")
				}
				require.Len(t, site.urls(), 2)
				require.Equal(t, map[string]any{"miss": int64(2), "firsthand": int64(2), "uncacheable": int64(2)}, b.cacheStats())
			})
		}
	}
}

func TestHTTPCacheHead(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{crawl.CacheDummy, crawl.CacheRFC9111} {
		b := keptFor(t, func(s *crawl.Settings) { s.HTTPCache.Policy = policy })
		f := cacheOver(t, b, pages(200, []string{"Content-Length", "100", "Cache-Control", "max-age=100"}, ""))
		head := crawl.Get("http://h/")
		head.Method = "HEAD"
		require.Empty(t, got(t, f, head))
		require.Equal(t, " cached", got(t, f, head), "its length is that of a body that it does not have")
	}
}

func TestHTTPCacheOffline(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{crawl.CacheDummy, crawl.CacheRFC9111} {
		b := keptFor(t, func(s *crawl.Settings) { s.HTTPCache.Policy = policy })
		site := pages(503, []string{"Etag", `"1"`, "Cache-Control", "max-age=0"}, "one")
		f := b.build(t, HTTPCache, site)
		require.Equal(t, "one", got(t, f, crawl.Get("http://h/")))
		require.NoError(t, f.(*httpCache).Close())

		b.Settings.HTTPCache.Offline = true
		f = cacheOver(t, b, site)
		again := crawl.Get("http://h/")
		again.Retries = 1
		require.Equal(t, "one cached", got(t, f, again), "what is stale too, and what is asked again")
		_, err := f.Fetch(t.Context(), crawl.Get("http://h/other"))
		requireIgnored(t, err, "not in the HTTP cache")
		past := crawl.Get("http://h/")
		past.SetKnobs(func(k *crawl.Knobs) { k.DontCache = true })
		_, err = f.Fetch(t.Context(), past)
		requireIgnored(t, err, "past the HTTP cache there is no network: http_cache.offline is set")
		require.Len(t, site.urls(), 1)
		require.EqualValues(t, 2, b.Stats.Int("httpcache/ignore"))
		require.Equal(t, "one", got(t, f, crawl.Get("data:,x")), "what is no network")
	}
}

// TestHTTPCacheRetry has a failure that is asked again: it is not answered by itself.
func TestHTTPCacheRetry(t *testing.T) {
	t.Parallel()
	b := keptFor(t)
	status := 503
	f := cacheOver(t, b, serve(func(req *crawl.Request) (*crawl.Response, error) {
		return answer(req, status, http.StatusText(status)), nil
	}))
	retry := b.build(t, Retry, f)
	again := requireAgain(t, func() error { _, err := retry.Fetch(t.Context(), asks("http://h/")); return err }())
	status = 200
	require.Equal(t, "OK", got(t, retry, again.Request))
	require.Equal(t, "OK cached", got(t, retry, asks("http://h/")))
}

// TestHTTPCacheUsers has two users of one cache.
func TestHTTPCacheUsers(t *testing.T) {
	t.Parallel()
	jar := func(name string, header ...string) func() *crawl.Request {
		return func() *crawl.Request {
			r := asks("http://h/", header...)
			r.SetKnobs(func(k *crawl.Knobs) { k.CookieJar = name })
			return r
		}
	}
	own := func(header ...string) func() *crawl.Request {
		return func() *crawl.Request {
			r := asks("http://h/", header...)
			r.SetKnobs(func(k *crawl.Knobs) { k.DontMergeCookies = true })
			return r
		}
	}
	users := []func() *crawl.Request{
		func() *crawl.Request { return asks("http://h/") },
		func() *crawl.Request { return asks("http://h/", "Authorization", "Basic one") },
		func() *crawl.Request { return asks("http://h/", "Authorization", "Basic two") },
		func() *crawl.Request { return asks("http://h/", "Host", "other") },
		func() *crawl.Request { return asks("http://h/", "Host", "third") },
		jar("one"), jar("two"), jar("one", "Authorization", "Basic one"), jar("Basic one"),
		own("Cookie", "a=1"), own("Cookie", "a=2"),
	}
	for _, policy := range []string{crawl.CacheDummy, crawl.CacheRFC9111} {
		b := keptFor(t, func(s *crawl.Settings) { s.HTTPCache.Policy = policy })
		f := cacheOver(t, b, serve(func(r *crawl.Request) (*crawl.Response, error) {
			page := r.Knob().CookieJar + "/" + r.Header.Get("Authorization") + "/" + r.Header.Get("Cookie") + "/" + r.Header.Get("Host")
			return answer(r, 200, page, "Cache-Control", "max-age=100"), nil
		}))
		var first []string
		for _, user := range users {
			first = append(first, got(t, f, user()))
		}
		for i, user := range users {
			require.Equal(t, first[i]+" cached", got(t, f, user()))
		}
		require.Equal(t, "/// cached", got(t, f, asks("http://h/", "Cookie", "from=jar")), "a jar's cookies change all the time")
		all := strings.Join(readAll(t, b.Settings.HTTPCache.Dir), "")
		require.NotContains(t, all, `"Basic`, "no password is written, but by the site")
	}
}

func readAll(t *testing.T, dir string) (files []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var b []byte
			b, err = os.ReadFile(path)
			files = append(files, string(b))
		}
		return err
	}))
	return files
}

func TestHTTPCacheVary(t *testing.T) {
	t.Parallel()
	b := keptFor(t, rfc9111)
	serial := 0
	vary := "Accept-Language, Accept"
	f := cacheOver(t, b, serve(func(r *crawl.Request) (*crawl.Response, error) {
		serial++
		return answer(r, 200, r.Header.Get("Accept-Language")+string(rune('0'+serial)), "Cache-Control", "max-age=1000", "Vary", vary), nil
	}))
	const lang = "Accept-Language"
	require.Equal(t, "en1", got(t, f, asks("http://h/", lang, "en")))
	require.Equal(t, "de2", got(t, f, asks("http://h/", lang, "de")))
	require.Equal(t, "fr3", got(t, f, asks("http://h/", lang, "fr")))
	require.Equal(t, "en1 cached", got(t, f, asks("http://h/", lang, " en ")))
	require.Equal(t, "de2 cached", got(t, f, asks("http://h/", lang, "de")))
	require.Equal(t, "fr3 cached", got(t, f, asks("http://h/", lang, "fr", "X", "whatever")))
	require.Equal(t, "4", got(t, f, asks("http://h/")), "a header that is missing is a variant too")
	require.Equal(t, "4 cached", got(t, f, asks("http://h/")))

	post := asks("http://h/")
	post.Method = "POST"
	require.Equal(t, "5", got(t, f, post))
	require.Equal(t, "en6", got(t, f, asks("http://h/", lang, "en")), "all variants are invalidated")
	require.Equal(t, "de7", got(t, f, asks("http://h/", lang, "de")))
	vary = "X, Cookie"
	require.Equal(t, "it8", got(t, f, asks("http://h/", lang, "it")))
	require.Equal(t, "it8 cached", got(t, f, asks("http://h/", lang, "en")), "the site tells its variants by something else now")
	require.Equal(t, "9", got(t, f, asks("http://h/", "Cookie", "a=1")))
}

// TestHTTPCacheDummyVary has what changes from crawl to crawl: it is no variant.
func TestHTTPCacheDummyVary(t *testing.T) {
	t.Parallel()
	b := keptFor(t)
	f := cacheOver(t, b, pages(200, []string{"Vary", "Cookie, User-Agent, *, Accept"}, "one", "two"))
	require.Equal(t, "one", got(t, f, asks("http://h/", "Cookie", "a=1", "User-Agent", "x")))
	require.Equal(t, "one cached", got(t, f, asks("http://h/", "Cookie", "a=2", "User-Agent", "y", "Accept", "z")), "* stands for all: none is told apart")

	f = cacheOver(t, keptFor(t), pages(200, []string{"Vary", "Cookie, User-Agent, Accept"}, "one", "two"))
	require.Equal(t, "one", got(t, f, asks("http://h/", "Cookie", "a=1", "User-Agent", "x")))
	require.Equal(t, "one cached", got(t, f, asks("http://h/", "Cookie", "a=2", "User-Agent", "y")))
	require.Equal(t, "two", got(t, f, asks("http://h/", "Accept", "z")))
}

// TestHTTPCacheLarge has a body in a file: it goes in and comes out without being in memory.
func TestHTTPCacheLarge(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789abcdef", 1<<16) + "end"
	for _, gzip := range []bool{false, true} {
		for _, policy := range []string{crawl.CacheDummy, crawl.CacheRFC9111} {
			b := keptFor(t, func(s *crawl.Settings) { s.HTTPCache.Gzip, s.HTTPCache.Policy = gzip, policy })
			n := 0
			f := cacheOver(t, b, serve(func(req *crawl.Request) (*crawl.Response, error) {
				n++
				resp := answer(req, 200, "", "Cache-Control", "max-age=100", "Vary", "Accept-Language")
				var err error
				resp.Body, err = b.Spool.Read(strings.NewReader(text+req.Header.Get("Accept-Language")), -1, 0)
				require.NotEmpty(t, resp.Body.Path())
				return resp, err
			}))
			for _, lang := range []string{"", "en"} {
				require.Equal(t, text+lang, got(t, f, asks("http://h/", "Accept-Language", lang)))
				resp, err := f.Fetch(t.Context(), asks("http://h/", "Accept-Language", lang))
				require.NoError(t, err)
				require.True(t, resp.Has("cached"))
				require.NotEmpty(t, resp.Body.Path(), "it is in the spool")
				data, err := resp.Bytes()
				require.NoError(t, err)
				require.Equal(t, text+lang, string(data))
				require.NoError(t, resp.Close())
			}
			require.Equal(t, 2, n)
			bodies := filesIn(t, filepath.Join(b.Settings.HTTPCache.Dir, "test", "bodies"))
			require.Len(t, bodies, 2)
			if policy == crawl.CacheDummy {
				continue
			}
			for _, lang := range []string{"", "en"} {
				require.Equal(t, text+lang, got(t, f, asks("http://h/", "Accept-Language", lang, "Cache-Control", "no-cache")))
			}
			require.Equal(t, 4, n)
			now := filesIn(t, filepath.Join(b.Settings.HTTPCache.Dir, "test", "bodies"))
			require.Len(t, now, 2, "what was replaced is gone")
			require.NotEqual(t, bodies, now)
		}
	}
}

// TestHTTPCacheSweepsBodies opens a cache with bodies that no entry names: the one of an entry that two stored at once, and one of nobody's. Those of the last hour stay.
func TestHTTPCacheSweepsBodies(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("a long text. ", 100_000)
	for _, storage := range []string{crawl.CacheFiles, "embedded"} {
		b := keptFor(t, func(s *crawl.Settings) {
			s.HTTPCache.Storage = storage
			s.Parts.CacheStorages = map[string]crawl.OpenCacheStorage{"embedded": cachedb.Open}
		})
		f := b.build(t, HTTPCache, pages(200, nil, text))
		require.Equal(t, text, got(t, f, asks("http://h/")))
		require.NoError(t, f.(io.Closer).Close())
		kept := filesIn(t, filepath.Join(b.Settings.HTTPCache.Dir, "test", "bodies"))
		require.Len(t, kept, 1)
		dir, name := filepath.Split(kept[0])
		key, _, _ := strings.Cut(name, ".")
		for i, other := range []string{key + ".other", "00" + key[2:] + ".nobodys", key + ".new"} {
			file := filepath.Join(filepath.Dir(filepath.Clean(dir)), other[:2], other)
			require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
			require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
			if i == 2 {
				kept = append(kept, file)
				continue
			}
			require.NoError(t, os.Chtimes(file, time.Time{}, time.Now().Add(-2*time.Hour)))
		}
		require.NoError(t, os.Chtimes(kept[0], time.Time{}, time.Now().Add(-2*time.Hour)))
		f = cacheOver(t, b, pages(200, nil, "none"))
		f.(*httpCache).sweeping.Wait()
		require.ElementsMatch(t, kept, filesIn(t, filepath.Join(b.Settings.HTTPCache.Dir, "test", "bodies")))
		require.Equal(t, text+" cached", got(t, f, asks("http://h/")))
	}
}

func filesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	}))
	return names
}

// TestHTTPCacheGzip compresses what is stored, but what came compressed.
func TestHTTPCacheGzip(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("text ", 1000)
	for _, encoding := range []string{"", "br"} {
		b := keptFor(t, func(s *crawl.Settings) { s.HTTPCache.Gzip = true })
		f := cacheOver(t, b, serve(func(req *crawl.Request) (*crawl.Response, error) {
			resp := answer(req, 200, text)
			if encoding != "" {
				resp.Header.Set("Content-Encoding", encoding)
			}
			return resp, nil
		}))
		require.Equal(t, text, got(t, f, crawl.Get("http://h/")))
		require.Equal(t, text+" cached", got(t, f, crawl.Get("http://h/")))
		require.Equal(t, encoding != "", strings.Contains(strings.Join(readAll(t, b.Settings.HTTPCache.Dir), ""), text))
	}
}

// TestHTTPCacheDamaged has entries that cannot be read: they are missing, which is said once.
func TestHTTPCacheDamaged(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 2<<20)
	for name, damage := range map[string]func(t *testing.T, entry, body string){
		"a byte":     func(t *testing.T, entry, _ string) { flip(t, entry, 40) },
		"its end":    func(t *testing.T, entry, _ string) { require.NoError(t, os.Truncate(entry, 100)) },
		"empty":      func(t *testing.T, entry, _ string) { require.NoError(t, os.Truncate(entry, 0)) },
		"no body":    func(t *testing.T, _, body string) { require.NoError(t, os.Remove(body)) },
		"half of it": func(t *testing.T, _, body string) { require.NoError(t, os.Truncate(body, 1<<20)) },
		"other body": func(t *testing.T, _, body string) { flip(t, body, 1<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := keptFor(t)
			b.Spool.Hash, b.Spool.NewHash = "md5", md5.New
			f := cacheOver(t, b, serve(func(req *crawl.Request) (*crawl.Response, error) {
				resp := answer(req, 200, "")
				var err error
				resp.Body, err = b.Spool.Read(strings.NewReader(large), -1, 0)
				return resp, err
			}))
			require.Equal(t, large, got(t, f, crawl.Get("http://h/")))
			key := crawl.Get("http://h/").Fingerprint().String()
			dir := filepath.Join(b.Settings.HTTPCache.Dir, "test")
			damage(t, filepath.Join(dir, key[:2], key), filesIn(t, filepath.Join(dir, "bodies"))[0])
			require.Equal(t, large, got(t, f, crawl.Get("http://h/")))
			require.Equal(t, large+" cached", got(t, f, crawl.Get("http://h/")))
			require.EqualValues(t, 1, b.Stats.Int("httpcache/retrieve_error"))
			require.Equal(t, 1, b.logs.FilterMessage("an entry of the HTTP cache cannot be read").Len())

			damage(t, filepath.Join(dir, key[:2], key), filesIn(t, filepath.Join(dir, "bodies"))[0])
			f.(*httpCache).Offline = true
			for range 2 {
				_, err := f.Fetch(t.Context(), crawl.Get("http://h/"))
				requireIgnored(t, err, "not in the HTTP cache")
			}
			require.EqualValues(t, 2, b.Stats.Int("httpcache/retrieve_error"), "it is removed, and told of once")
		})
	}
}

func flip(t *testing.T, name string, at int) {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	data[at] ^= 1
	require.NoError(t, os.WriteFile(name, data, 0o600))
}

// brokenStorage takes nothing.
type brokenStorage struct{ crawl.CacheStorage }

func (brokenStorage) Load(string) ([]byte, error) { return nil, fs.ErrNotExist }
func (brokenStorage) Store(string, []byte) error  { return errors.New("no space") }
func (brokenStorage) Close() error                { return nil }

func TestHTTPCacheCannotBeWritten(t *testing.T) {
	t.Parallel()
	b := keptFor(t, func(s *crawl.Settings) {
		s.HTTPCache.Storage = "mine"
		s.Parts.CacheStorages = map[string]crawl.OpenCacheStorage{"mine": func(string, *crawl.Env) (crawl.CacheStorage, error) { return brokenStorage{}, nil }}
	})
	large := bytes.Repeat([]byte("x"), 2<<20)
	f := cacheOver(t, b, serve(func(req *crawl.Request) (*crawl.Response, error) {
		resp := answer(req, 200, "ok")
		if req.URL.Path == "/large" {
			resp.Body = crawl.BytesBody(large)
		}
		return resp, nil
	}))
	for range 2 {
		require.Equal(t, "ok", got(t, f, crawl.Get("http://h/")))
	}
	require.Equal(t, string(large), got(t, f, crawl.Get("http://h/large")))
	require.EqualValues(t, 3, b.Stats.Int("httpcache/store_error"))
	require.Equal(t, 1, b.logs.FilterMessageSnippet("cannot be written").Len())
	require.Empty(t, filesIn(t, filepath.Join(b.Settings.HTTPCache.Dir, "test", "bodies")), "no body is left without its entry")
}

// origin is a site with one page that can be validated.
type origin struct {
	tag, body string
	header    []string // of every answer
	status    int      // of a full answer; 0: 200
	fail      error
}

func (o *origin) Fetch(req *crawl.Request) (*crawl.Response, error) {
	if o.fail != nil {
		return nil, o.fail
	}
	if o.tag != "" && req.Header.Get("If-None-Match") == o.tag {
		return answer(req, 304, "", append([]string{"Etag", o.tag}, o.header...)...), nil
	}
	status := o.status
	if status == 0 {
		status = 200
	}
	header := o.header
	if o.tag != "" {
		header = append([]string{"Etag", o.tag}, header...)
	}
	return answer(req, status, o.body, header...), nil
}

func TestHTTPCacheValidates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := keptFor(t, rfc9111)
		o := &origin{tag: `"1"`, body: "one", header: []string{"Cache-Control", "max-age=60", "X", "old", "Set-Cookie", "a=1"}}
		site := serve(o.Fetch)
		f := cacheOver(t, b, site)
		require.Equal(t, "one", got(t, f, asks("http://h/")))
		time.Sleep(30 * time.Second)
		resp, err := f.Fetch(t.Context(), asks("http://h/"))
		require.NoError(t, err)
		require.Equal(t, []string{"cached"}, resp.Flags)
		require.Equal(t, "30", resp.Header.Get("Age"), "section 4")
		require.Empty(t, resp.Header["Set-Cookie"], "a cookie is set by the site, once")
		require.Len(t, site.urls(), 1)

		time.Sleep(30 * time.Second)
		o.header = []string{"Cache-Control", "max-age=120", "X", "new", "Set-Cookie", "a=2"}
		req := asks("http://h/")
		resp, err = f.Fetch(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, 200, resp.Status)
		require.Same(t, req, resp.Request)
		require.Empty(t, req.Header, "the condition is the cache's")
		require.Equal(t, []string{"cached", "revalidated"}, resp.Flags)
		require.Equal(t, "new", resp.Header.Get("X"))
		require.Equal(t, "a=2", resp.Header.Get("Set-Cookie"), "of this very answer")
		require.Equal(t, `"1"`, site.last().Header.Get("If-None-Match"))

		time.Sleep(119 * time.Second)
		require.Equal(t, "one cached", got(t, f, asks("http://h/")), "the new lifetime, from the new time on")
		time.Sleep(2 * time.Second)
		o.tag, o.body = `"2"`, "two"
		require.Equal(t, "two", got(t, f, asks("http://h/")))
		require.Equal(t, "two cached", got(t, f, asks("http://h/")))
		require.Equal(t, map[string]any{"miss": int64(1), "firsthand": int64(1), "store": int64(2), "hit": int64(3), "revalidate": int64(1), "invalidate": int64(1)}, b.cacheStats())
	})
}

// TestHTTPCacheValidatesVariants has two variants, each of which is validated and stays what it is.
func TestHTTPCacheValidatesVariants(t *testing.T) {
	t.Parallel()
	b := keptFor(t, rfc9111)
	f := cacheOver(t, b, serve(func(req *crawl.Request) (*crawl.Response, error) {
		tag := `"` + req.Header.Get("Accept") + `"`
		if req.Header.Get("If-None-Match") == tag {
			return answer(req, 304, "", "Etag", tag), nil
		}
		return answer(req, 200, req.Header.Get("Accept"), "Etag", tag, "Cache-Control", "no-cache", "Vary", "Accept"), nil
	}))
	require.Equal(t, "a", got(t, f, asks("http://h/", "Accept", "a")))
	require.Equal(t, "b", got(t, f, asks("http://h/", "Accept", "b")))
	for range 2 {
		require.Equal(t, "a cached revalidated", got(t, f, asks("http://h/", "Accept", "a")))
		require.Equal(t, "b cached revalidated", got(t, f, asks("http://h/", "Accept", "b")))
	}
}

// TestHTTPCacheOfAnotherVersion has a 304 about a version that the cache does not have.
func TestHTTPCacheOfAnotherVersion(t *testing.T) {
	t.Parallel()
	b := keptFor(t, rfc9111)
	n := 0
	site := serve(func(req *crawl.Request) (*crawl.Response, error) {
		if n++; n == 1 {
			return answer(req, 200, "one", "Etag", `"1"`, "Cache-Control", "no-cache"), nil
		}
		if req.Header.Get("If-None-Match") != "" {
			return answer(req, 304, "", "Etag", `"2"`), nil
		}
		return answer(req, 200, "two", "Etag", `"2"`, "Cache-Control", "max-age=60"), nil
	})
	f := cacheOver(t, b, site)
	require.Equal(t, "one", got(t, f, asks("http://h/")))
	_, err := f.Fetch(t.Context(), asks("http://h/"))
	var again *crawl.RescheduleError
	require.ErrorAs(t, err, &again, "the host's delay lies between two requests")
	require.Zero(t, again.After)
	require.Empty(t, again.Request.Header)
	require.Equal(t, "two", got(t, f, again.Request))
	require.Equal(t, "two cached", got(t, f, asks("http://h/")))
	require.Len(t, site.urls(), 3)
}

func TestHTTPCacheOnError(t *testing.T) {
	t.Parallel()
	refused := &crawl.DownloadError{Kind: crawl.KindRefused, URL: "http://h/", Err: errors.New("refused")}
	for _, c := range []struct {
		name, control string
		status        int
		fail          error
		want          string // "": the error
	}{
		{"500", "max-age=0", 500, nil, "one cached stale"},
		{"refused", "max-age=0", 0, refused, "one cached stale"},
		{"dead", "max-age=0", 0, &crawl.DownloadError{Kind: crawl.KindDeadHost}, "one cached stale"},
		{"tls", "max-age=0", 0, &crawl.DownloadError{Kind: crawl.KindTLS}, ""},
		{"something else", "max-age=0", 0, errors.New("disk"), ""},
		{"404", "max-age=0", 404, nil, "two"},
		{"500 and must-revalidate", "max-age=0, must-revalidate", 500, nil, "two"},
		{"refused and no-cache", "no-cache", 0, refused, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := keptFor(t, rfc9111)
			o := &origin{tag: `"1"`, body: "one", header: []string{"Cache-Control", c.control}}
			f := cacheOver(t, b, serve(o.Fetch))
			require.Equal(t, "one", got(t, f, asks("http://h/")))
			o.tag, o.body, o.status, o.fail = "", "two", c.status, c.fail
			if c.want == "" {
				_, err := f.Fetch(t.Context(), asks("http://h/"))
				require.ErrorIs(t, err, c.fail)
			} else {
				require.Equal(t, c.want, got(t, f, asks("http://h/")))
			}
			recovered := int64(0)
			if strings.HasSuffix(c.want, "stale") {
				recovered = 1
			}
			require.Equal(t, recovered, b.Stats.Int("httpcache/errorrecovery"))
			o.fail, o.status, o.tag, o.body = nil, 0, `"1"`, "one"
			if c.status != 404 {
				require.Equal(t, "one cached revalidated", got(t, f, asks("http://h/")), "it is there still")
			} else {
				require.Equal(t, "one", got(t, f, asks("http://h/")), "it was replaced by what could not be stored")
			}
		})
	}
}

// TestHTTPCacheConditionsAreForOneAttempt has a layer further in that asks again later.
func TestHTTPCacheConditionsAreForOneAttempt(t *testing.T) {
	t.Parallel()
	b := keptFor(t, rfc9111)
	n := 0
	f := cacheOver(t, b, serve(func(req *crawl.Request) (*crawl.Response, error) {
		if n++; n > 1 {
			return nil, crawl.Reschedule(req, time.Second, "later")
		}
		return answer(req, 200, "one", "Etag", `"1"`, "Last-Modified", "Thu, 18 Aug 2022 02:01:18 GMT", "Cache-Control", "no-cache"), nil
	}))
	require.Equal(t, "one", got(t, f, asks("http://h/", "A", "1")))
	_, err := f.Fetch(t.Context(), asks("http://h/", "A", "1"))
	require.Equal(t, http.Header{"A": {"1"}}, requireAgain(t, err).Request.Header)
}

func TestHTTPCacheRequestDirectives(t *testing.T) {
	t.Parallel()
	b := keptFor(t, rfc9111)
	f := cacheOver(t, b, pages(200, []string{"Cache-Control", "max-age=60"}, "one", "two", "three"))
	_, err := f.Fetch(t.Context(), asks("http://h/", "Cache-Control", "only-if-cached"))
	requireIgnored(t, err, "only-if-cached, and not in the HTTP cache")
	require.Equal(t, "one", got(t, f, asks("http://h/")))
	require.Equal(t, "one cached", got(t, f, asks("http://h/", "Cache-Control", "only-if-cached")))
	require.Equal(t, "two", got(t, f, asks("http://h/", "Cache-Control", "no-cache")))
	require.Equal(t, "two cached", got(t, f, asks("http://h/")))
}

// TestHTTPCacheInvalidates has methods that change something (section 4.4).
// TestHTTPCacheInvalidatesWithAKey changes a page by a request that has a Key of its own.
func TestHTTPCacheInvalidatesWithAKey(t *testing.T) {
	t.Parallel()
	f := cacheOver(t, keptFor(t, rfc9111), serve(func(r *crawl.Request) (*crawl.Response, error) {
		return answer(r, 200, "page", "Cache-Control", "max-age=60"), nil
	}))
	require.Equal(t, "page", got(t, f, asks("http://h/")))
	require.Equal(t, "page cached", got(t, f, asks("http://h/")))
	change := asks("http://h/")
	change.Method, change.Key = http.MethodPost, crawl.Fingerprint{1}
	require.Equal(t, "page", got(t, f, change))
	require.Equal(t, "page", got(t, f, asks("http://h/")))
}

// TestHTTPCacheMaxSizeOfARequest asks for a page that is stored, and larger than the request wants.
func TestHTTPCacheMaxSizeOfARequest(t *testing.T) {
	t.Parallel()
	site := pages(200, []string{"Cache-Control", "max-age=60"}, "0123456789")
	for _, set := range [][]func(*crawl.Settings){nil, {rfc9111}} {
		f := cacheOver(t, keptFor(t, set...), site)
		require.Equal(t, "0123456789", got(t, f, asks("http://h/")))
		most := func(n int64) *crawl.Request {
			req := asks("http://h/")
			req.Knobs = &crawl.Knobs{MaxSize: n}
			return req
		}
		require.Equal(t, "0123456789 cached", got(t, f, most(10)))
		require.Equal(t, "0123456789 cached", got(t, f, most(-1)))
		_, err := f.Fetch(t.Context(), most(9))
		failed, ok := errors.AsType[*crawl.DownloadError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, crawl.KindTooLarge, failed.Kind)
		require.ErrorIs(t, err, crawl.ErrBodyTooLarge)
		require.Equal(t, "0123456789 cached", got(t, f, asks("http://h/")), "it is good for others")
	}
}

// TestHTTPCacheOctets stores headers in Latin-1, as servers send them.
func TestHTTPCacheOctets(t *testing.T) {
	t.Parallel()
	f := cacheOver(t, keptFor(t), serve(func(r *crawl.Request) (*crawl.Response, error) {
		resp := answer(r, 301, "", "Location", "/caf\xe9", "Etag", "\"\xe9\"", "X-Plain", "é")
		resp.Header["X-Two"] = []string{"a", "\xff"}
		return resp, nil
	}))
	var last http.Header
	for range 2 {
		resp, err := f.Fetch(t.Context(), asks("http://h/"))
		require.NoError(t, err)
		require.Equal(t, http.Header{"Location": {"/caf\xe9"}, "Etag": {"\"\xe9\""}, "X-Plain": {"é"}, "X-Two": {"a", "\xff"}}, resp.Header)
		require.Equal(t, last != nil, resp.Has("cached"))
		last = resp.Header
	}
}

// TestHTTPCacheReplacedMeanwhile has two crawls on one folder. One stores a page anew, which removes the body that the other is about to read: it must not take what is there
// now for damaged.
func TestHTTPCacheReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	b := keptFor(t, rfc9111)
	b.Spool.Over = 1000
	large := strings.Repeat("x", 2<<20)
	n := 0
	site := serve(func(r *crawl.Request) (*crawl.Response, error) {
		if r.Header["If-None-Match"] != nil {
			return answer(r, 304, "", "Etag", r.Header.Get("If-None-Match")), nil
		}
		n++
		resp := answer(r, 200, "", "Etag", fmt.Sprintf(`"%d"`, n), "Cache-Control", "max-age=0")
		var err error
		resp.Body, err = b.Spool.Read(strings.NewReader(large), -1, 0)
		return resp, err
	})
	other := cacheOver(t, b, site)
	f := cacheOver(t, b, crawl.FetcherFunc(func(ctx context.Context, r *crawl.Request) (*crawl.Response, error) {
		if r.Header["If-None-Match"] != nil && n == 1 {
			// The other's crawl stores it anew while this one validates.
			old := other.(*httpCache).find(ctx, asks("http://h/"))
			require.NotNil(t, old.match)
			resp, err := site.Fetch(ctx, asks("http://h/"))
			require.NoError(t, err)
			require.True(t, other.(*httpCache).keep(asks("http://h/"), resp, old))
		}
		return site.Fetch(ctx, r)
	}))
	require.Equal(t, large, got(t, f, asks("http://h/")))
	_, err := f.Fetch(t.Context(), asks("http://h/"))
	requireAgain(t, err)
	require.Zero(t, b.Stats.Int("httpcache/retrieve_error"))
	require.Equal(t, large+" cached revalidated", got(t, f, asks("http://h/")))
	require.Equal(t, 2, n, "what the other has stored is there")
}

func TestHTTPCacheInvalidates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method string
		status int
		gone   bool
	}{
		{"POST", 200, true}, {"PUT", 204, true}, {"DELETE", 302, true}, {"PURGE", 200, true}, {"POST", 404, false}, {"POST", 500, false}, {"OPTIONS", 200, false},
	} {
		b := keptFor(t, rfc9111)
		f := cacheOver(t, b, serve(func(r *crawl.Request) (*crawl.Response, error) {
			if r.Method != "" {
				return answer(r, c.status, "done"), nil
			}
			return answer(r, 200, "page", "Cache-Control", "max-age=60"), nil
		}))
		require.Equal(t, "page", got(t, f, asks("http://h/")))
		change := asks("http://h/")
		change.Method, change.Body = c.method, []byte("x")
		require.Equal(t, "done", got(t, f, change))
		want := "page cached"
		if c.gone {
			want = "page"
		}
		require.Equal(t, want, got(t, f, asks("http://h/")), c)
	}
}

func TestHTTPCacheNoLongerStored(t *testing.T) {
	t.Parallel()
	b := keptFor(t, rfc9111)
	o := &origin{tag: `"1"`, body: "one", header: []string{"Cache-Control", "no-cache"}}
	f := cacheOver(t, b, serve(o.Fetch))
	require.Equal(t, "one", got(t, f, asks("http://h/")))
	o.header = []string{"Cache-Control", "no-store"}
	require.Equal(t, "one cached revalidated", got(t, f, asks("http://h/")))
	require.Empty(t, readAll(t, b.Settings.HTTPCache.Dir))
}

package pipeline

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

// S6
func TestPipelineWithoutAStoreIsDisabled(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, nil)
	c := b.open(&FilesPipeline{}, &ImagesPipeline{})
	book := &Book{FileURLs: urls("/x"), ImageURLs: urls("/x")}
	require.Same(t, book, b.must(c, book))
	require.Nil(t, book.Files)
	require.Equal(t, []map[string]any{
		{"stage": "pipeline.FilesPipeline", "reason": "files.store is empty: set it to a folder to keep what is downloaded"},
		{"stage": "pipeline.ImagesPipeline", "reason": "images.store is empty: set it to a folder to keep what is downloaded"},
	}, []map[string]any{fieldsOf(b.warnings()[0]), fieldsOf(b.warnings()[1])})
}

// S9
func TestPipelineThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]crawl.Pipeline{
		`open store s3://b: unknown scheme "s3" (this program has: file, memory)`: &FilesPipeline{Settings: crawl.FilesSettings{Store: "s3://b"}},
		`media.checksum is "crc": want md5, sha1 or sha256`:                       &ImagesPipeline{Media: crawl.MediaSettings{Checksum: "crc"}},
		"images.quality is 101: want 1 to 100":                                    &ImagesPipeline{Settings: crawl.ImagesSettings{Quality: 101}},
		"images.thumbs s is 0x5: want at least 1x1":                               &ImagesPipeline{Settings: crawl.ImagesSettings{Thumbs: map[string]crawl.Size{"s": {Height: 5}}}},
	} {
		b := newBench(t, crawl.Settings{}, nil)
		_, err := Open(t.Context(), b.Env, []crawl.Stage{{Name: "x", Pipeline: p}})
		require.EqualError(t, err, "open item pipeline x: "+want)
	}
}

// closingStore says when it is closed.
type closingStore struct {
	store.Memory
	closed atomic.Int64
}

func (s *closingStore) Close() error {
	s.closed.Add(1)
	return nil
}

// S1 S5 S11: what a store needs belongs to the pipeline that opens it.
func TestStoresAreOpenedWithTheirPipelinesSettings(t *testing.T) {
	t.Parallel()
	stores := make(map[string]*closingStore)
	b := newBench(t, crawl.Settings{
		Files: crawl.FilesSettings{Store: "test://shared-{spider}"},
		Parts: crawl.Parts{Stores: map[string]crawl.OpenStore{"test": func(_ context.Context, uri string, env *crawl.Env) (crawl.Store, error) {
			require.Equal(t, uri, strings.ReplaceAll(env.Settings.Files.Store, "{spider}", "shop"))
			stores[uri] = new(closingStore)
			return stores[uri], nil
		}}},
	}, map[string]http.HandlerFunc{"/x": text("x")})
	mine := new(closingStore)
	own := &FilesPipeline{Settings: crawl.FilesSettings{Store: "test://own"}, Media: crawl.MediaSettings{Checksum: "sha256"}}
	c := b.open(&FilesPipeline{}, own, &FilesPipeline{Store: mine})
	book := &Book{FileURLs: urls("/x")}
	b.must(c, book)
	require.Len(t, stores, 2)
	for _, s := range []*closingStore{stores["test://shared-shop"], stores["test://own"], mine} {
		require.Len(t, s.Names(), 1)
	}
	info, err := stores["test://own"].Stat(t.Context(), book.Files[0].Path)
	require.NoError(t, err)
	require.Len(t, info.Meta.Checksum, 64)
	require.Equal(t, "md5", b.Settings.Media.Checksum, "the crawl's settings are not changed")
	require.NoError(t, c.Close())
	require.EqualValues(t, 1, stores["test://shared-shop"].closed.Load())
	require.EqualValues(t, 1, stores["test://own"].closed.Load())
	require.Zero(t, mine.closed.Load(), "who opened it closes it")
}

func TestMerged(t *testing.T) {
	t.Parallel()
	base := crawl.ImagesSettings{Store: "base", Expires: time.Hour, Thumbs: map[string]crawl.Size{"a": {}}, MinWidth: 5}
	own := crawl.ImagesSettings{Store: "own", Expires: -1, MinHeight: 7}
	require.Equal(t, crawl.ImagesSettings{Store: "own", Expires: -1, Thumbs: base.Thumbs, MinWidth: 5, MinHeight: 7}, merged(own, base))
}

// V5: of the stored bytes, by the algorithm that is asked for, spooled or not.
func TestChecksums(t *testing.T) {
	t.Parallel()
	const small = "a small file"
	big := strings.Repeat("a large file ", 1000)
	for _, algorithm := range []string{"", "md5", "sha1", "sha256"} {
		b := newBench(t, crawl.Settings{Download: crawl.DownloadSettings{SpoolOver: 1000}, Media: crawl.MediaSettings{Checksum: algorithm}},
			map[string]http.HandlerFunc{"/small": text(small), "/big": text(big)})
		p, s := keeping()
		book := &Book{FileURLs: urls("/small", "/big")}
		b.must(b.open(p), book)
		for i, content := range []string{small, big} {
			h := newHash(algorithm)
			_, err := h.Write([]byte(content))
			require.NoError(t, err)
			require.Equal(t, hex.EncodeToString(h.Sum(nil)), book.Files[i].Checksum)
			require.Equal(t, content, string(stored(t, s, book.Files[i].Path)))
			require.EqualValues(t, len(content), book.Files[i].Size)
		}
	}
	require.Equal(t, 16, newHash("md5").Size())
	require.Equal(t, 16, newHash("").Size())
	require.Equal(t, 20, newHash("sha1").Size())
	require.Equal(t, 32, newHash("sha256").Size())
}

func TestFileDownloadedMayChangeTheBody(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": text("packed"), "/gone": text("packed")})
	p, s := keeping()
	p.FileDownloaded = func(_ context.Context, resp *crawl.Response, _ any) error {
		resp.Body = crawl.BytesBody(nil)
		if resp.Request.URL.Path == "/x" {
			resp.Body = crawl.BytesBody([]byte("unpacked"))
		}
		return nil
	}
	var results []Result
	p.ItemCompleted = collect(&results)
	book := &Book{FileURLs: urls("/x", "/gone")}
	b.must(b.open(p), book)
	require.Len(t, book.Files, 1)
	require.Equal(t, "unpacked", string(stored(t, s, book.Files[0].Path)))
	require.EqualValues(t, 8, book.Files[0].Size)
	require.Equal(t, KindEmpty, failureOf(t, results[1]).Kind)
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{
		"/a.pdf": serve("application/x-served", []byte("x")),
		"/b.pdf": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = w.Write([]byte("x"))
		},
	})
	p, _ := keeping()
	book := &Book{FileURLs: urls("/a.pdf", "/b.pdf")}
	b.must(b.open(p), book)
	require.Equal(t, "application/x-served", book.Files[0].ContentType)
	require.Equal(t, "application/pdf", book.Files[1].ContentType)
}

// oldStore is a store whose files are older than they are.
type oldStore struct {
	store.Memory
	age     time.Duration
	err     error
	stats   int
	opens   int
	touches int
}

func (s *oldStore) Stat(ctx context.Context, name string) (crawl.Info, error) {
	s.stats++
	if s.err != nil {
		return crawl.Info{}, s.err
	}
	info, err := s.Memory.Stat(ctx, name)
	info.ModTime = info.ModTime.Add(-s.age)
	return info, err
}

func (s *oldStore) Record(ctx context.Context, name string, info crawl.Info) error {
	info.ModTime = info.ModTime.Add(s.age)
	return s.Memory.Record(ctx, name, info)
}

func (s *oldStore) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	s.opens++
	return s.Memory.Open(ctx, name)
}

func (s *oldStore) Touch(ctx context.Context, name string, meta crawl.Meta) error {
	s.touches++
	s.age = 0
	return s.Memory.Touch(ctx, name, meta)
}

const day = 24 * time.Hour

// E1 E2 E3 E5 V7 F3
func TestFreshness(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		age     time.Duration
		expires time.Duration
		fresh   bool
	}{
		"new":                         {0, 0, true},
		"within 90 days":              {90*day - time.Minute, 0, true},
		"older than 90 days":          {90*day + time.Minute, 0, false},
		"from the future":             {-day, 0, true},
		"within a setting":            {2 * day, 3 * day, true},
		"older than a setting":        {4 * day, 3 * day, false},
		"negative: always downloaded": {0, -1, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, crawl.Settings{Files: crawl.FilesSettings{Expires: test.expires}}, map[string]http.HandlerFunc{"/x.txt": text("x")})
			s := &oldStore{}
			first := &Book{FileURLs: urls("/x.txt")}
			b.must(b.open(&FilesPipeline{Store: s}), first)
			s.age, s.stats = test.age, 0

			again := &Book{FileURLs: urls("/x.txt")}
			b.must(b.open(&FilesPipeline{Store: s}), again)
			if !test.fresh {
				require.Equal(t, 2, b.site.total())
				require.Equal(t, first.Files, again.Files)
				return
			}
			require.Equal(t, 1, b.site.total())
			require.Equal(t, 1, s.stats, "one look")
			require.Zero(t, s.opens, "and the file is not read")
			first.Files[0].Status = "uptodate"
			require.Equal(t, first.Files, again.Files)
			require.EqualValues(t, 1, b.Stats.Int("file_status_count/uptodate"))
			require.EqualValues(t, 2, b.Stats.Int("file_count"))
		})
	}
}

// E3: what a power cut left is no file.
func TestEmptyFileIsNotFresh(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": text("x")})
	p, s := keeping()
	require.NoError(t, s.Put(t.Context(), fileName(crawl.Get(site+"/x").URL), strings.NewReader(""), crawl.Meta{Checksum: "1"}))
	book := &Book{FileURLs: urls("/x")}
	b.must(b.open(p), book)
	require.Equal(t, "downloaded", book.Files[0].Status)
}

// E4
func TestStatThatFailsCountsAsMissing(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": text("x")})
	s := &oldStore{err: errors.New("no permission")}
	book := &Book{FileURLs: urls("/x")}
	b.must(b.open(&FilesPipeline{Store: s}), book)
	require.Equal(t, "downloaded", book.Files[0].Status)
	require.Len(t, b.warnings(), 1)
	require.Equal(t, "no permission", fieldsOf(b.warnings()[0])["error"])
}

// F3: a file that somebody else stored is read, once.
func TestFileWithoutARecordIsReadOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, nil)
	s := &oldStore{age: day}
	name := fileName(crawl.Get(site + "/x.pdf").URL)
	require.NoError(t, s.Put(t.Context(), name, strings.NewReader("from Scrapy"), crawl.Meta{}))
	sum := md5.Sum([]byte("from Scrapy"))
	for range 3 {
		book := &Book{FileURLs: urls("/x.pdf")}
		b.must(b.open(&FilesPipeline{Store: s}), book)
		require.Equal(t, []crawl.File{{
			URL: site + "/x.pdf", Path: name, Checksum: hex.EncodeToString(sum[:]), Status: "uptodate", Size: 11, ContentType: "application/pdf",
		}}, book.Files)
	}
	require.Equal(t, 1, s.opens)
	info, err := s.Stat(t.Context(), name)
	require.NoError(t, err)
	require.InDelta(t, day, time.Since(info.ModTime), float64(time.Minute), "it is no younger for that")
}

// plainStore is a store without the optional abilities.
type plainStore struct{ crawl.Store }

func (s plainStore) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := s.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{r, r}, nil
}

// E7
func TestExpiredFileIsAskedForConditionally(t *testing.T) {
	t.Parallel()
	version := "1"
	handle := map[string]http.HandlerFunc{"/x": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
		w.Header().Set("ETag", `"`+version+`"`)
		if r.Header.Get("If-None-Match") == `"`+version+`"` && r.Header.Get("If-Modified-Since") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write([]byte("version " + version))
	}}
	b := newBench(t, crawl.Settings{}, handle)
	s := &oldStore{}
	process := func() crawl.File {
		book := &Book{FileURLs: urls("/x")}
		b.must(b.open(&FilesPipeline{Store: s}), book)
		require.Len(t, book.Files, 1)
		return book.Files[0]
	}
	first := process()
	s.age = 100 * day
	renewed := process()
	require.Equal(t, 2, b.site.total())
	require.Equal(t, "uptodate", renewed.Status)
	renewed.Status = first.Status
	require.Equal(t, first, renewed)
	require.Equal(t, 1, s.touches)
	process()
	require.Equal(t, 2, b.site.total(), "it is fresh again")

	s.age, version = 100*day, "2"
	changed := process()
	require.Equal(t, "downloaded", changed.Status)
	require.NotEqual(t, first.Checksum, changed.Checksum)
	require.Equal(t, "version 2", string(stored(t, s, changed.Path)))

	// "Always download" means that, and a store that can't renew must not be told that there is nothing new.
	b.must(b.open(&FilesPipeline{Store: s, Settings: crawl.FilesSettings{Expires: -1}}), &Book{FileURLs: urls("/x")})
	require.Empty(t, b.site.last().Header)
	s.age = 100 * day
	b.must(b.open(&FilesPipeline{Store: plainStore{s}}), &Book{FileURLs: urls("/x")})
	require.Empty(t, b.site.last().Header)

	handle["/x"] = status(304) // though nobody asked
	var results []Result
	b.must(b.open(&FilesPipeline{Store: new(store.Memory), ItemCompleted: collect(&results)}), &Book{FileURLs: urls("/x")})
	require.Equal(t, 304, failureOf(t, results[0]).Status)
}

// F2 E8 D18
func TestLargeFilesAreTakenOver(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	big := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(big)
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/big.bin": serve("application/octet-stream", big)})
	dir := t.TempDir()
	var spooled string
	p := &FilesPipeline{
		Settings: crawl.FilesSettings{Store: dir},
		FileDownloaded: func(_ context.Context, resp *crawl.Response, _ any) error {
			spooled = resp.Body.Path()
			return nil
		},
	}
	book := &Book{FileURLs: urls("/big.bin")}
	before, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, before)
	b.must(b.open(p), book)
	require.NotEmpty(t, spooled)
	require.NoFileExists(t, spooled)
	got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(book.Files[0].Path)))
	require.NoError(t, err)
	require.True(t, bytes.Equal(big, got))
	sum := md5.Sum(big)
	require.Equal(t, hex.EncodeToString(sum[:]), book.Files[0].Checksum)

	again := &Book{FileURLs: urls("/big.bin")}
	b.must(b.open(p), again)
	require.Equal(t, "uptodate", again.Files[0].Status)
	require.Equal(t, 1, b.site.total())
}

// D18: a file is never in memory. Not parallel: it looks at what is allocated.
func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	const size = 24 << 20
	endless := func(w http.ResponseWriter, _ *http.Request) {}
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/huge.bin": endless})
	b.Fetcher = crawl.FetcherFunc(func(_ context.Context, req *crawl.Request) (*crawl.Response, error) {
		body, err := b.Spool.Read(io.LimitReader(zeros{}, size), size, -1)
		return &crawl.Response{Request: req, URL: req.URL, Status: 200, Body: body}, err
	})
	for name, s := range map[string]crawl.Store{"adopted": dirStore(t), "copied": plainStore{dirStore(t)}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		book := &Book{FileURLs: urls("/huge.bin")}
		b.must(b.open(&FilesPipeline{Store: s}), book)
		runtime.ReadMemStats(&after)
		require.EqualValues(t, size, book.Files[0].Size)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2<<20), name)
	}
}

func dirStore(t *testing.T) *store.Dir {
	t.Helper()
	d, err := store.OpenDir(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// D19
func TestMaxSize(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{Media: crawl.MediaSettings{MaxSize: 10}}, map[string]http.HandlerFunc{
		"/fits": text("0123456789"), "/announced": text("01234567890"),
		"/streamed": func(w http.ResponseWriter, _ *http.Request) {
			for i := range 100 {
				_, _ = w.Write([]byte(strconv.Itoa(i)))
			}
		},
	})
	p, s := keeping()
	var results []Result
	p.ItemCompleted = collect(&results)
	b.must(b.open(p), &Book{FileURLs: urls("/fits", "/announced", "/streamed")})
	require.NoError(t, results[0].Err)
	for _, r := range results[1:] {
		require.Equal(t, crawl.KindTooLarge, failureOf(t, r).Kind)
		require.ErrorIs(t, r.Err, crawl.ErrBodyTooLarge)
	}
	require.Len(t, s.Names(), 1)
}

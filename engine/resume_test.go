package engine_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline"
)

// cutWriter hangs up when so many bytes of a body have been written.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left <= 0 || err != nil {
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// fileSpider yields an item with files.
func fileSpider(urls ...string) *crawl.Spider {
	return &crawl.Spider{Name: "files", Start: func(_ context.Context, out *crawl.Out) error {
		out.Item(map[string]any{"file_urls": urls})
		return nil
	}}
}

// D18: a file over a line that breaks every 2 MiB, four times as often as Retry.Times allows, and one that is compressed on its way.
func TestFilesArriveOverALineThatBreaks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		body := make([]byte, 20<<20)
		_, _ = rand.NewChaCha8([32]byte{}).Read(body)
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, err := w.Write(body[:3<<20])
		require.NoError(t, err)
		require.NoError(t, w.Close())
		var ranges []string
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"`+r.URL.Path+`"`)
			if r.URL.Path == "/packed.bin" {
				w.Header().Set("Content-Encoding", "gzip")
				http.ServeContent(&cutWriter{w, 2 << 20}, r, "", time.Time{}, bytes.NewReader(packed.Bytes()))
				return
			}
			ranges = append(ranges, r.Header.Get("Range"))
			http.ServeContent(&cutWriter{w, 2<<20 + 1}, r, "", time.Time{}, bytes.NewReader(body))
		}))
		dir := t.TempDir()
		res := crawltest.Run(t, fileSpider("http://example.com/huge.bin", "http://example.com/packed.bin"), crawl.Settings{
			Robots:        crawl.RobotsSettings{Ignore: true},
			ItemPipelines: []crawl.Stage{{Order: 1, Pipeline: &pipeline.FilesPipeline{}}},
			Files:         crawl.FilesSettings{Store: dir},
			Download:      crawl.DownloadSettings{SpoolDir: filepath.Join(dir, "spool")},
		}, site)
		require.Equal(t, "finished", res.Reason)
		var want []string
		for n := range 10 {
			from := ""
			if n > 0 {
				from = "bytes=" + strconv.Itoa(n*(2<<20+1)) + "-"
			}
			want = append(want, from)
		}
		require.Equal(t, want, ranges)
		files := res.Items[0].(map[string]any)["files"].([]crawl.File)
		require.Len(t, files, 2)
		for i, content := range [][]byte{body, body[:3<<20]} {
			sum := md5.Sum(content)
			require.Equal(t, hex.EncodeToString(sum[:]), files[i].Checksum)
			got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(files[i].Path)))
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, got))
		}
		require.EqualValues(t, 2, res.Stats.Int("downloader/resumed_count"))
		require.EqualValues(t, 10, res.Stats.Int("retry/reason_count/truncated"), "nine and one")
		require.EqualValues(t, 2, res.Stats.Int("file_status_count/downloaded"))
		require.Zero(t, res.Stats.Int("retry/max_reached"))
		left, err := filepath.Glob(filepath.Join(dir, "spool", "*"))
		require.NoError(t, err)
		require.Empty(t, left)
	})
}

// A line that gets nowhere ends: a truncated body is never a file.
func TestFilesThatNeverArrive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		body := make([]byte, 4<<20)
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"1"`)
			cut := 2 << 20
			if r.Header.Get("Range") != "" {
				cut = 1000
			}
			http.ServeContent(&cutWriter{w, cut}, r, "", time.Time{}, bytes.NewReader(body))
		}))
		dir := t.TempDir()
		res := crawltest.Run(t, fileSpider("http://example.com/huge.bin"), crawl.Settings{
			Robots:        crawl.RobotsSettings{Ignore: true},
			ItemPipelines: []crawl.Stage{{Order: 1, Pipeline: &pipeline.FilesPipeline{}}},
			Files:         crawl.FilesSettings{Store: dir},
		}, site)
		require.Empty(t, res.Items[0].(map[string]any)["files"])
		require.EqualValues(t, 1, res.Stats.Int("media/failed_kind_count/truncated"))
		require.Len(t, res.Asked, 3)
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			require.False(t, err == nil && !d.IsDir(), path)
			return err
		})
		require.NoError(t, err)
	})
}

// zeroes is a body that is not in memory.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestMemoryOfAWholeCrawl is about D18: what a crawl allocates does not grow with the file that it downloads, in one go or in two. Not parallel: it looks at what the
// process allocates, server included.
func TestMemoryOfAWholeCrawl(t *testing.T) {
	const size, cut = 64 << 20, 40 << 20
	h := md5.New()
	_, err := io.CopyN(h, zeroes{}, size)
	require.NoError(t, err)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"1"`)
		n := int64(size)
		switch from := r.Header.Get("Range"); {
		case from != "":
			if want := "bytes=" + strconv.Itoa(cut) + "-"; from != want {
				t.Errorf("asked for %s, want %s", from, want)
			}
			n -= cut
			w.Header().Set("Content-Range", strings.Replace(from, "=", " ", 1)+strconv.Itoa(size-1)+"/"+strconv.Itoa(size))
			w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
			w.WriteHeader(http.StatusPartialContent)
		case r.URL.Path == "/cut.bin":
			w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
			w = &cutWriter{w, cut}
		default:
			w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		}
		_, _ = io.CopyN(struct{ io.Writer }{w}, zeroes{}, n)
	}))
	defer s.Close()
	dir := t.TempDir()
	for _, name := range []string{"/whole.bin", "/cut.bin"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		res, err := engine.Run(t.Context(), fileSpider(s.URL+name), crawl.Settings{
			Robots:        crawl.RobotsSettings{Ignore: true},
			Log:           crawl.LogSettings{Level: "error"},
			ItemPipelines: []crawl.Stage{{Order: 1, Pipeline: &pipeline.FilesPipeline{}}},
			Files:         crawl.FilesSettings{Store: dir},
			Retry:         crawl.RetrySettings{BackOff: -1},
			Trace: crawl.Trace{MediaStored: func(_ *crawl.Request, f crawl.File) {
				if f.Checksum != hex.EncodeToString(h.Sum(nil)) || f.Size != size {
					t.Errorf("%+v", f)
				}
			}},
		})
		runtime.ReadMemStats(&after)
		require.NoError(t, err)
		require.EqualValues(t, 1, res.Stats.Int("file_status_count/downloaded"), name)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), name)
	}
}

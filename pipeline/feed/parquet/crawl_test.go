package parquet_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	parquetgo "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline/feed/parquet"
	"github.com/tulle-go/tulle/scheduler/jobdir"
)

type book struct {
	URL  string   `json:"url" parquet:"url"`
	Tags []string `json:"tags" parquet:"tags,optional,list"`
}

type shelf struct {
	Name string `json:"name" parquet:"name"`
}

// spider has a book on each of n pages, and two shelves on the first.
func spider(n int) *crawl.Spider {
	return &crawl.Spider{
		Name: "books", StartURLs: []string{"http://books.test/0"}, Items: []any{book{}, shelf{}},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			out.Item(&book{URL: r.URL.Path, Tags: []string{"a", r.URL.Path}})
			if r.URL.Path == "/0" {
				out.Item(&shelf{"one"})
				out.Item(&shelf{"two"})
				for i := 1; i < n; i++ {
					out.Follow(fmt.Sprint("/", i), "")
				}
			}
			return nil
		},
	}
}

func settings(job string, feeds ...crawl.Feed) crawl.Settings {
	return crawl.Settings{
		Robots: crawl.RobotsSettings{Ignore: true}, Feeds: feeds, Job: crawl.JobSettings{Dir: job},
		Parts: crawl.Parts{Formats: map[string]crawl.FeedFormat{"parquet": parquet.Format}, Job: jobdir.Open},
	}
}

func site() crawltest.Site {
	return crawltest.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

// TestCrawl writes two types of items to a feed each, whole and in batches, with a job and without.
func TestCrawl(t *testing.T) {
	t.Parallel()
	for _, withJob := range []bool{false, true} {
		t.Run(fmt.Sprint("job ", withJob), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			job := ""
			if withJob {
				job = filepath.Join(dir, "job")
			}
			res := crawltest.Run(t, spider(25), settings(job,
				crawl.Feed{URI: filepath.Join(dir, "books.parquet"), Types: []string{"book"}},
				crawl.Feed{URI: filepath.Join(dir, "shelves.parquet"), Types: []string{"shelf"}, Rename: map[string]string{"name": "Name"}},
				crawl.Feed{URI: filepath.Join(dir, "part-%(batch_id)02d.parquet"), Types: []string{"book"}, BatchItems: 10},
			), site())
			require.NoError(t, res.Err)
			books, err := parquetgo.ReadFile[book](filepath.Join(dir, "books.parquet"))
			require.NoError(t, err)
			require.Len(t, books, 25)
			seen := make(map[string]bool)
			for _, b := range books {
				require.Equal(t, []string{"a", b.URL}, b.Tags)
				seen[b.URL] = true
			}
			require.Len(t, seen, 25)
			shelves, err := parquetgo.ReadFile[struct{ Name string }](filepath.Join(dir, "shelves.parquet"))
			require.NoError(t, err)
			require.Len(t, shelves, 2)
			parts, err := filepath.Glob(filepath.Join(dir, "part-*.parquet"))
			require.NoError(t, err)
			require.Len(t, parts, 3)
			total := 0
			for _, p := range parts {
				part, err := parquetgo.ReadFile[book](p)
				require.NoError(t, err)
				total += len(part)
			}
			require.Equal(t, 25, total)
		})
	}
}

// TestCompress has the feed's Compress set the codec; what it cannot set does not start a crawl.
func TestCompress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	uri := filepath.Join(dir, "f.parquet")
	s := spider(3)
	s.Items = []any{book{}}
	only := []string{"book"}
	res := crawltest.Run(t, s, settings("", crawl.Feed{URI: uri, Compress: "snappy", Types: only}), site())
	require.NoError(t, res.Err)
	f, err := os.Open(uri)
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	file, err := parquetgo.OpenFile(f, info.Size())
	require.NoError(t, err)
	for _, c := range file.Metadata().RowGroups[0].Columns {
		require.Equal(t, format.Snappy, c.MetaData.Codec)
	}
	for feed, want := range map[*crawl.Feed]string{
		{URI: uri, Overwrite: true, Compress: "lz4"}:              `compress is "lz4": a Parquet file wants zstd, snappy, gzip or none`,
		{URI: uri, Overwrite: true, Compress: "gzip", Level: 12}:  "level is 12: gzip has 1 to 9",
		{URI: filepath.Join(dir, "f.jsonl"), Compress: "snappy"}:  `compress is "snappy": want gzip, zstd or none`,
		{URI: filepath.Join(dir, "f.parquet.gz"), Types: only}:    "parquet compresses what is in it: leave .gz out of the name; compress says how",
		{URI: filepath.Join(dir, "g.parquet"), Compress: "snapy"}: `compress is "snapy": a Parquet file wants`,
	} {
		_, err := engine.Run(t.Context(), s, settings("", *feed))
		require.ErrorContains(t, err, "feed "+feed.URI+": "+want)
	}
}

// TestTwoTypes does not start a crawl whose items do not fit in one file.
func TestTwoTypes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := spider(1)
	_, err := engine.Run(t.Context(), s, settings("", crawl.Feed{URI: filepath.Join(dir, "all.parquet")}))
	require.ErrorContains(t, err, "a Parquet file has items of one type, and this one has parquet_test.book, not parquet_test.shelf: give each type a feed of its own by its types: book, and shelf")

	s.Items = nil
	got := crawltest.Run(t, s, settings("", crawl.Feed{URI: filepath.Join(dir, "first.parquet")}), site())
	require.NoError(t, got.Err)
	failed := got.Stats.Int("item_error_count")
	require.NotZero(t, failed, "nobody has said: those that come second fail, and say why")
	f, err := os.Open(filepath.Join(dir, "first.parquet"))
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	file, err := parquetgo.OpenFile(f, info.Size())
	require.NoError(t, err)
	require.EqualValues(t, 3, failed+file.NumRows())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.True(t, strings.HasSuffix(left[0].Name(), ".parquet"))
}

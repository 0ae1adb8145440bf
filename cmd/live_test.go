package cmd

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/pipeline"
)

func TestLiveLine(t *testing.T) {
	t.Parallel()
	st := crawl.NewStats()
	st.Add("page_count", 1)
	s := engine.Snapshot{State: "running", Elapsed: 65 * time.Second, Stats: st}
	require.Equal(t, "1 page · 0 items · 0 responses/s · 0 queued · 0 errors · 1:05", liveLine(s, 0.2))

	st.Add("item_scraped_count", 1000)
	st.Add("file_count", 30)
	st.Add("log_count/ERROR", 1)
	s.State, s.Elapsed, s.Queue.Queued = "stopping", 3725*time.Second, 12
	require.Equal(t, "stopping · 1 page · 1000 items · 30 media · 118 responses/s · 12 queued · 1 error · 1:02:05", liveLine(s, 117.6))
}

func TestRate(t *testing.T) {
	t.Parallel()
	var r rate
	st := crawl.NewStats()
	require.Zero(t, r.next(engine.Snapshot{Stats: st}))
	for i := 1; i <= 30; i++ {
		st.Add("response_received_count", int64(i))
		got := r.next(engine.Snapshot{Stats: st, Elapsed: time.Duration(i) * time.Second})
		if i == 30 {
			require.InDelta(t, 23.5, got, 0.01, "of the last fifteen counts")
		}
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	require.Equal(t, "äö", fit("äö", 3))
	require.Equal(t, "äö", fit("äöü", 3), "the last column stays free: some terminals wrap there")
	require.Empty(t, fit("äöü", 1))
}

// TestScreen writes the log above the live line.
func TestScreen(t *testing.T) {
	t.Parallel()
	const erase = "\r\x1b[K"
	var w, items bytes.Buffer
	s := newScreen(&w, true)
	s.print("one\n")
	s.setLine("live 1")
	s.print("two\n")
	s.setLine("live 2")
	s.setLine("")
	s.print("three\n")
	require.Equal(t, "one\nlive 1"+erase+"two\nlive 1"+erase+"live 2"+erase+"three\n", w.String())

	s.setLine("live 3")
	w.Reset()
	_, err := s.above(&items).Write([]byte("item\n"))
	require.NoError(t, err)
	require.Equal(t, "item\n", items.String())
	require.Equal(t, erase+"live 3", w.String())

	s.quiet = true
	w.Reset()
	s.print("nothing")
	require.Zero(t, w.Len())
}

func TestSummary(t *testing.T) {
	t.Parallel()
	st := crawl.NewStats()
	for key, n := range map[string]int64{
		"page_count": 100, "httperror/response_ignored_count": 2, "dupefilter/filtered": 30, "offsite/filtered": 4, "depth/request_ignored_count": 1,
		"item_scraped_count": 90, "item_dropped_count": 3, "item_error_count": 1,
		"file_count": 70, "file_status_count/uptodate": 60, "file_status_count/downloaded": 10, "file_status_count/failed": 3,
		"media/failed_kind_count/status": 2, "media/failed_kind_count/timeout": 1,
		"downloader/response_bytes": 1_234_567, "downloader/request_count": 1, "retry/count": 5,
		"log_count/ERROR": 7, "page_failed_count": 3, "page_failed_kind_count/dns": 1, "page_failed_kind_count/timeout": 2,
		"spider_exceptions/count": 2, "spider_exceptions/panic": 2,
	} {
		st.Add(key, n)
	}
	s := &crawl.Settings{
		Feeds:  []crawl.Feed{{URI: "a.csv"}},
		Images: crawl.ImagesSettings{Store: "pics/{spider}"}, Files: crawl.FilesSettings{Store: "unused"},
		ItemPipelines: []crawl.Stage{
			{Pipeline: &pipeline.ImagesPipeline{}},
			{Pipeline: &pipeline.ImagesPipeline{Settings: crawl.ImagesSettings{Store: "s3://covers"}}},
			{Pipeline: &pipeline.ImagesPipeline{}},
		},
	}
	feeds := []crawl.FeedResult{
		{URI: "a.csv", Items: 88}, {URI: "-", Items: 1}, {URI: "nowhere/skipped.csv", Skipped: true}, {URI: "b-%(batch_id)d.csv", Batch: 3, Items: 2500},
		{URI: "s3://b/x.json", Items: 90, Err: io.ErrUnexpectedEOF},
	}
	require.Equal(t, `
Closed (enough) after 1m2s
  pages     100 (2 with an error status)
  skipped   30 seen before, 4 offsite, 1 too deep
  items     90 (3 dropped, 1 failed)
  media     70 (60 up to date; 3 failed: 2 status, 1 timeout)
  traffic   1.2 MB in 1 request (5 asked again)
  errors    7 (3 failed: 1 dns, 2 timeout; callbacks: 2 panic)
  feed      a.csv (88 items)
            standard output (1 item)
            b-%(batch_id)d.csv (3 files, 2500 items)
            s3://b/x.json (90 items), and not all of it is there: see the error
  pictures  pics/shop
            s3://covers
`, summary(engine.Result{Reason: "enough", Stats: st, Feeds: feeds}, s, "shop", 62*time.Second+345678*time.Microsecond))

	none := summary(engine.Result{Reason: "finished", Stats: crawl.NewStats()}, &crawl.Settings{
		Images: s.Images, ItemPipelines: s.ItemPipelines, // without a picture their place may not even be there
	}, "x", time.Millisecond)
	require.Equal(t, "\nFinished in 1ms\n  pages     0\n  items     0\n  traffic   0 B in 0 requests\n  errors    0\n", none)
}

func TestBytesText(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_951: "1.0 MB", 5e15: "5000.0 TB"} {
		require.Equal(t, want, bytesText(n))
	}
}

func TestParseFeed(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]crawl.Feed{
		"a.json":             {URI: "a.json"},
		"a.json:csv":         {URI: "a.json", Format: "csv"},
		"x:csv":              {URI: "x", Format: "csv"},
		"-":                  {URI: "-"},
		"-:csv":              {URI: "-", Format: "csv"},
		"a:b/c.jsonl":        {URI: "a:b/c.jsonl"},
		`C:\items.csv`:       {URI: `C:\items.csv`},
		"file:///a.csv":      {URI: "file:///a.csv"},
		"s3://b/items:jsonl": {URI: "s3://b/items", Format: "jsonl"},
		"a.jsonl.gz":         {URI: "a.jsonl.gz"},
		"a.gz:csv":           {URI: "a.gz", Format: "csv"},
		"-:jsonl.gz":         {URI: "-", Format: "jsonl", Compress: "gzip"},
		"x:csv.zst":          {URI: "x", Format: "csv", Compress: "zstd"},

		"ftp://u:p@h:21/%(name)s-%(batch_id)d.json": {URI: "ftp://u:p@h:21/%(name)s-%(batch_id)d.json"},
	} {
		got, err := parseFeed("-O", arg)
		require.NoError(t, err, arg)
		require.Equal(t, want, got, arg)
	}
	for _, arg := range []string{"", "x", "x:", ":csv", "dir.d/x", "x.gz", "x:.gz"} {
		_, err := parseFeed("-O", arg)
		require.ErrorContains(t, err, "-O "+strings.TrimSpace(`"`+arg+`"`), arg)
	}
}

package cmd

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
)

// pagesOf is how many responses were pages, not media.
func pagesOf(s *crawl.Stats) int64 {
	return s.Int("scheduler/dequeued")
}

// summary is the table at the end: what the crawl did, and where the results are.
func summary(res engine.Result, s *crawl.Settings, took time.Duration) string {
	st := res.Stats
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "\n%s in %s\n", closing(res.Reason), took.Round(10*time.Millisecond))

	row("pages", "%d asked%s", pagesOf(st), breakdown(st, map[string]string{
		"dupefilter/filtered": "seen before", "retry/count": "asked again", "robotstxt/forbidden": "forbidden by robots.txt",
		"httperror/response_ignored_count": "with an error status", "offsite/filtered": "offsite",
	}))
	row("items", "%d%s", st.Int("item_scraped_count"), breakdown(st, map[string]string{
		"item_dropped_count": "dropped", "item_error_count": "failed",
	}))
	if n := st.Int("file_count") + st.Int("file_status_count/failed"); n > 0 {
		row("media", "%d stored%s", st.Int("file_count"), breakdown(st, map[string]string{
			"file_status_count/downloaded": "downloaded", "file_status_count/uptodate": "up to date", "file_status_count/failed": "failed",
		}))
	}
	row("traffic", "%s down", bytesText(st.Int("downloader/response_bytes")))
	row("errors", "%d%s", st.Int("log_count/ERROR"), kinds(st))
	for i, f := range s.Feeds {
		name := ""
		if i == 0 {
			name = "feed"
		}
		if len(s.Feeds) > 1 && i == 0 {
			name = "feeds"
		}
		where := f.URI
		if where == "-" {
			where = "standard output"
		}
		row(name, "%s", where)
	}
	if s.Images.Store != "" {
		row("pictures", "%s", s.Images.Store)
	}
	if s.Files.Store != "" {
		row("files", "%s", s.Files.Store)
	}
	if len(s.Feeds) == 0 && st.Int("item_scraped_count") > 0 {
		row("feed", "none: add -O items.jsonl to keep the items")
	}
	return b.String()
}

func closing(reason string) string {
	switch reason {
	case "finished":
		return "Finished"
	case "shutdown":
		return "Stopped"
	}
	return "Closed (" + reason + ")"
}

// breakdown lists counters that are not zero, by their words.
func breakdown(st *crawl.Stats, words map[string]string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(words)) {
		if n := st.Int(key); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, words[key]))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// kinds says what the errors and failures were.
func kinds(st *crawl.Stats) string {
	words := map[string]string{}
	for key := range st.Snapshot() {
		for prefix, what := range map[string]string{
			"media/failed_kind_count/": "media ", "downloader/exception_type_count/": "", "spider_exceptions/": "callback ",
		} {
			if kind, ok := strings.CutPrefix(key, prefix); ok && kind != "count" {
				words[key] = what + kind
			}
		}
	}
	return breakdown(st, words)
}

func bytesText(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	f, i := float64(n), 0
	for f >= 1000 && i < len(units)-1 {
		f, i = f/1000, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

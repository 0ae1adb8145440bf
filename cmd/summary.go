package cmd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/feed"
)

// Reasons of a crawl's end that are spoken of in their own words.
const (
	reasonFinished = "finished"
	reasonShutdown = "shutdown"
	reasonDiskFull = "disk full"
	reasonStore    = "store"
)

// ending is what is said at the end of a crawl.
func (a *app) ending(ctx context.Context, res engine.Result, s *crawl.Settings, spider string, took time.Duration) string {
	if s.Job.Dir == "" {
		return summary(res, s, spider, took)
	}
	text := "\nThis job is finished: nothing is left to do.\n"
	if !res.AlreadyFinished {
		text = summary(res, s, spider, took)
	}
	return text + a.jobRows(ctx, res, s)
}

// jobRows say how the crawl's job stands, and how to go on.
func (a *app) jobRows(ctx context.Context, res engine.Result, s *crawl.Settings) string {
	info := crawl.JobInfo{Dir: s.Job.Dir, Finished: res.Reason == reasonFinished}
	known := a.inspect(ctx, s.Job.Dir, crawl.InspectRead, func(job crawl.Job) error {
		info = job.Info()
		return nil
	}) == nil
	var lines []string
	switch state := stateOf(info); {
	case state == jobRunning:
		lines = []string{"another process has it now"}
	case state != jobFinished && known:
		lines = []string{fmt.Sprintf("%s done, %d waiting, %d failed", count(info.Done, "page"), info.Queued, info.Failed), "the same command line goes on"}
	case state != jobFinished:
		lines = []string{"the same command line goes on"}
	case known:
		lines = []string{fmt.Sprintf("finished: %s done, %d failed", count(info.Done, "page"), info.Failed)}
	}
	if info.Finished && info.Failed > 0 {
		lines = append(lines, a.afterFailures(info)...)
	}
	var b strings.Builder
	heads := heads{}
	for _, line := range append([]string{s.Job.Dir}, lines...) {
		fmt.Fprintf(&b, "  %-10s%s\n", heads.next("job"), line)
	}
	return b.String()
}

// summary is the table of what the crawl did, and where the results are. Rows that have nothing to say are left out.
func summary(res engine.Result, s *crawl.Settings, spider string, took time.Duration) string {
	st := res.Stats
	var b strings.Builder
	row := func(name, text string) { fmt.Fprintf(&b, "  %-10s%s\n", name, text) }
	fmt.Fprintf(&b, "\n%s %s\n", closing(res.Reason), timeText(took))

	row("pages", fmt.Sprint(st.Int("page_count"), counted(st,
		"httperror/response_ignored_count", "with an error status",
	)))
	if skipped := counts(st,
		"dupefilter/filtered", "seen before",
		"robotstxt/forbidden", "forbidden by robots.txt",
		"offsite/filtered", "offsite",
		"depth/request_ignored_count", "too deep",
		"urllength/request_ignored_count", "too long",
		"link/skipped_count", "malformed",
	); skipped != "" {
		row("skipped", skipped)
	}
	row("items", fmt.Sprint(st.Int("item_scraped_count"), counted(st, "item_dropped_count", "dropped", "item_error_count", "failed")))
	if n := st.Int("file_count"); n+st.Int("file_status_count/failed") > 0 {
		row("media", fmt.Sprint(n, list(" (", ")", counts(st, "file_status_count/uptodate", "up to date", "file_status_count/cached", "cached"),
			failed(st, st.Int("file_status_count/failed"), "media/failed_kind_count/"))))
	}
	row("traffic", fmt.Sprintf("%s in %s%s", bytesText(st.Int("downloader/response_bytes")), count(st.Int("downloader/request_count"), "request"),
		counted(st, "retry/count", "asked again")))
	row("errors", fmt.Sprint(st.Int("log_count/ERROR"), list(" (", ")",
		failed(st, st.Int("page_failed_count"), "page_failed_kind_count/"), callbacks(st))))

	heads := heads{}
	for _, f := range res.Feeds {
		if !f.Skipped {
			row(heads.next("feed"), feedText(f, res.Reason == feed.ReasonReaderGone))
		}
	}
	if len(s.Feeds) == 0 && st.Int("item_scraped_count") > 0 {
		row("feed", "none: -O items.jsonl keeps the items")
	}
	if st.Int("file_count") > 0 {
		for _, m := range mediaPlaces(s, spider) {
			row(heads.next(m.what), m.where)
		}
	}
	return b.String()
}

// closing is how the first line begins; the time follows.
func closing(reason string) string {
	switch reason {
	case reasonFinished:
		return "Finished in"
	case reasonShutdown:
		return "Stopped after"
	case reasonDiskFull:
		return "Stopped, because the disk is full, after"
	case reasonStore:
		return "Stopped, because the store takes nothing, after"
	case feed.ReasonReaderGone:
		return "Stopped, because nobody reads the output any more, after"
	}
	return "Closed (" + reason + ") after"
}

// heads are names of rows. One that comes again is left blank.
type heads []string

func (h *heads) next(name string) string {
	if slices.Contains(*h, name) {
		return ""
	}
	*h = append(*h, name)
	return name
}

// feedText is where a feed is, and what it has got. Its batches are one. gone says that whoever read standard output has left.
func feedText(f crawl.FeedResult, gone bool) string {
	where, got := f.URI, []string{count(f.Items, "item")}
	if scheme, _, _ := strings.Cut(f.URI, ":"); scheme == "-" || scheme == "stdout" {
		if where = "standard output"; f.Items == 0 && gone {
			return where // how much of it was read is not known
		}
	}
	if f.Batch > 0 {
		got = append([]string{count(int64(f.Batch), "file")}, got...)
	}
	text := where + list(" (", ")", strings.Join(got, ", "))
	if f.Err != nil {
		text += ", and not all of it is there: see the error"
	}
	return text
}

type mediaPlace struct{ what, where string }

// mediaPlaces is where the pipelines of this crawl store media. One with a store of its own, a Go value, has no name that could be printed.
func mediaPlaces(s *crawl.Settings, spider string) []mediaPlace {
	var all []mediaPlace
	add := func(what string, store crawl.Store, own, shared string) {
		uri := own
		if uri == "" {
			uri = shared
		}
		if place := (mediaPlace{what, strings.ReplaceAll(uri, "{spider}", spider)}); store == nil && uri != "" && !slices.Contains(all, place) {
			all = append(all, place)
		}
	}
	for _, stage := range s.ItemPipelines {
		switch p := stage.Pipeline.(type) {
		case *pipeline.ImagesPipeline:
			add("pictures", p.Store, p.Settings.Store, s.Images.Store)
		case *pipeline.FilesPipeline:
			add("files", p.Store, p.Settings.Store, s.Files.Store)
		}
	}
	return all
}

// counts lists counters that are not zero, given as pairs of key and words.
func counts(st *crawl.Stats, pairs ...string) string {
	var parts []string
	for pair := range slices.Chunk(pairs, 2) {
		if n := st.Int(pair[0]); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, pair[1]))
		}
	}
	return strings.Join(parts, ", ")
}

// counted is counts in brackets.
func counted(st *crawl.Stats, pairs ...string) string { return list(" (", ")", counts(st, pairs...)) }

// failed is "3 failed: 2 timeout, 1 refused", by the kinds below prefix; "" for none.
func failed(st *crawl.Stats, n int64, prefix string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d failed%s", n, list(": ", "", kinds(st, prefix)))
}

// callbacks says what the spider's functions failed with.
func callbacks(st *crawl.Stats) string {
	n := st.Int("spider_exceptions/count")
	if n == 0 {
		return ""
	}
	return "callbacks: " + kinds(st, "spider_exceptions/")
}

// kinds lists the counters below prefix.
func kinds(st *crawl.Stats, prefix string) string {
	var keys []string
	for key := range st.Snapshot() {
		if kind, ok := strings.CutPrefix(key, prefix); ok && kind != "count" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	var pairs []string
	for _, key := range keys {
		pairs = append(pairs, key, strings.TrimPrefix(key, prefix))
	}
	return counts(st, pairs...)
}

// list joins what is not empty and puts it between two texts; "" if all is.
func list(before, after string, parts ...string) string {
	parts = slices.DeleteFunc(slices.Clone(parts), func(s string) bool { return s == "" })
	if len(parts) == 0 {
		return ""
	}
	return before + strings.Join(parts, "; ") + after
}

// timeText has no more digits than anybody reads.
func timeText(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func bytesText(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	f, i := float64(n), 0
	for f >= 999.95 && i < len(units)-1 {
		f, i = f/1000, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline/feed"
	"github.com/tulle-go/tulle/scheduler/jobdir"
)

// newBook is an empty ledger, and settings that keep a job in it, with a feed.
func newBook(t *testing.T) (*book, crawl.Settings) {
	b := &book{t: t, dir: t.TempDir()}
	return b, crawl.Settings{
		Job:    crawl.JobSettings{Dir: filepath.Join(b.dir, "job")},
		Parts:  crawl.Parts{Job: b.open},
		Feeds:  []crawl.Feed{{URI: filepath.Join(b.dir, "items.jsonl")}},
		Robots: crawl.RobotsSettings{Ignore: true},
	}
}

// feedLines are a feed's lines in their own order.
func (b *book) feedLines() []string {
	text, err := os.ReadFile(filepath.Join(b.dir, "items.jsonl"))
	require.NoError(b.t, err)
	return sortedLines(string(text))
}

func sortedLines(text string) []string {
	lines := strings.Split(strings.TrimSuffix(strings.NewReplacer("[\n", "", ",\n", "\n", "\n]", "").Replace(text), "\n"), "\n")
	slices.Sort(lines)
	return slices.DeleteFunc(lines, func(s string) bool { return s == "" })
}

func unfiltered(r *crawl.Request) { r.DontFilter = true }

// everything is a spider that does all that a job keeps: items and a cursor in Start, unfiltered requests, state, failures, pages without items.
func everything() *crawl.Spider {
	return &crawl.Spider{
		Name: "everything",
		Start: func(ctx context.Context, out *crawl.Out) error {
			from := 0
			out.Resume(&from)
			for i := from; i < 7; i++ {
				out.Item(map[string]any{"title": fmt.Sprint("start ", i)})
				out.Request(crawl.Get("http://example.com/again", unfiltered))
				if !out.Request(crawl.Get(fmt.Sprintf("http://example.com/%d", i))) {
					return nil
				}
				if i%2 == 1 {
					out.Checkpoint(i + 1)
				}
			}
			return nil
		},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			for i := range 3 {
				out.Item(map[string]any{"title": fmt.Sprint(r.URL.Path, " ", i)})
			}
			out.FollowAll("a", "")
			if r.URL.Path == "/2" {
				out.Follow("/again", "", unfiltered)
				out.Save("two", "was here")
			}
			return nil
		},
	}
}

func everythingSite() crawltest.Site {
	return crawltest.Handler(pages(map[string][]string{
		"/0": {"/a", "/b"}, "/1": {"/a", "/missing"}, "/2": {"/c"}, "/3": nil, "/4": {"/c", "/0"}, "/5": nil, "/6": nil, "/a": {"/b"}, "/b": nil, "/c": {"/a"}, "/again": nil,
	}))
}

// TestCutAfterEveryCommit lets the process die after each change in turn, with the feeds as they were then, and as the next change had left them; and, for every other one, once more in the run
// that goes on from there. Whatever happens, the feeds hold each item once.
func TestCutAfterEveryCommit(t *testing.T) {
	t.Parallel()
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, seed))
	b, settings := newBook(t)
	settings.ConcurrentRequests = 2
	settings.Trace.SpiderIdle = func(_ context.Context, out *crawl.Out) error {
		asked := false
		if out.Load("idle", &asked); !asked {
			out.Item(map[string]any{"title": "idle"})
			out.Request(crawl.Get("http://example.com/again", unfiltered))
			out.Save("idle", true)
		}
		return nil
	}
	settings.Feeds = append(settings.Feeds, crawl.Feed{URI: filepath.Join(b.dir, "items.json")})
	run := func() *crawltest.Result {
		res := crawltest.Run(t, everything(), settings, everythingSite())
		require.NoError(t, res.Err)
		require.Equal(t, "finished", res.Reason)
		return res
	}
	begin := b.files()
	run()
	want := b.feedLines()
	require.Len(t, want, 7+1+3*(10+9), "each item of an uninterrupted run")
	txs, disk := b.txs, b.disk
	check := func(what string) {
		require.Equal(t, want, b.feedLines(), what)
		asJSON, err := os.ReadFile(filepath.Join(b.dir, "items.json"))
		require.NoError(t, err)
		require.Equal(t, want, sortedLines(string(asJSON)), what)
	}
	check("uninterrupted")
	t.Logf("%d changes", len(txs))
	cut := func(txs []crawl.Tx, disk []map[string][]byte, k, files int, what string) {
		b.txs, b.disk = slices.Clone(txs[:k]), slices.Clone(disk[:k])
		if files == 0 {
			b.rewind(begin)
		} else {
			b.rewind(disk[files-1])
		}
		run()
		check(what)
	}
	for k := range len(txs) + 1 {
		cut(txs, disk, k, k, fmt.Sprintf("cut after change %d", k))
		if k == len(txs) {
			break
		}
		cut(txs, disk, k, k+1, fmt.Sprintf("cut after change %d, while the next was written", k))
		if k%2 == 1 {
			continue
		}
		again, againDisk := b.txs, b.disk
		second := k + 1 + rnd.IntN(len(again)-k)
		cut(again, againDisk, second, second, fmt.Sprintf("cut after change %d, and then after %d", k, second))
	}
}

// jobSettings keep a job on disk.
func jobSettings(t *testing.T) crawl.Settings {
	return crawl.Settings{
		Job:    crawl.JobSettings{Dir: filepath.Join(t.TempDir(), "job"), MinFree: -1},
		Parts:  crawl.Parts{Job: jobdir.Open},
		Robots: crawl.RobotsSettings{Ignore: true},
	}
}

func TestFinishedJob(t *testing.T) {
	t.Parallel()
	settings := jobSettings(t)
	out := filepath.Join(t.TempDir(), "items.jsonl")
	settings.Feeds = []crawl.Feed{{URI: out, Overwrite: true}}
	starts := 0
	spider := &crawl.Spider{Name: "done", Parse: titles, Start: func(_ context.Context, o *crawl.Out) error {
		starts++
		o.Request(crawl.Get("http://example.com/"))
		return nil
	}}
	site := crawltest.Handler(pages(map[string][]string{"/": {"/a"}, "/a": nil}))
	first := crawltest.Run(t, spider, settings, site)
	require.NoError(t, first.Err)
	require.Equal(t, 1, first.Log.FilterMessage("job started").Len())
	want, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Len(t, sortedLines(string(want)), 2)

	res := crawltest.Run(t, spider, settings, site)
	require.NoError(t, res.Err)
	require.Equal(t, "finished", res.Reason)
	require.Equal(t, 1, starts, "Start is not called again")
	require.Empty(t, res.Asked)
	said := res.Log.FilterMessage("this job is finished: nothing is left to do").All()
	require.Len(t, said, 1)
	require.Equal(t, settings.Job.Dir, said[0].ContextMap()["dir"])
	require.Zero(t, res.Log.FilterLevelExact(zap.WarnLevel).Len(), "its feed is as it should be")
	got, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))

	other := filepath.Join(t.TempDir(), "other.jsonl")
	require.NoError(t, os.WriteFile(other, []byte("mine\n"), 0o600))
	logged := settings
	logged.Logger = zap.NewNop()
	logged.Feeds = []crawl.Feed{{URI: other, Overwrite: true}}
	result, err := engine.Run(t.Context(), spider, logged)
	require.NoError(t, err)
	require.True(t, result.AlreadyFinished)
	got, err = os.ReadFile(other)
	require.NoError(t, err)
	require.Equal(t, "mine\n", string(got), "a job that has nothing to do opens no feed")
}

// TestStopAndResume stops a crawl in the middle, on the real store.
func TestStopAndResume(t *testing.T) {
	t.Parallel()
	settings := jobSettings(t)
	settings.ConcurrentRequests, settings.ConcurrentPerHost = 2, 2
	out := filepath.Join(t.TempDir(), "items.jsonl")
	settings.Feeds = []crawl.Feed{{URI: out}}
	links := map[string][]string{"/100": nil, "/101": nil}
	for i := range 100 {
		links[fmt.Sprintf("/%d", i)] = []string{fmt.Sprintf("/%d", i+1), fmt.Sprintf("/%d", i+2)}
	}
	var want []string
	for path := range links {
		want = append(want, fmt.Sprintf("{\"title\":%q}", path))
	}
	slices.Sort(want)
	var n atomic.Int32
	enough := make(chan struct{})
	settings.Trace.ItemScraped = func(context.Context, any) {
		if n.Add(1) == 20 {
			close(enough)
		}
	}
	site := crawltest.Handler(pages(links))
	spider := &crawl.Spider{Name: "resumes", StartURLs: []string{"http://example.com/0"}, Parse: titles}
	e, wait := crawltest.Start(t, spider, settings, site)
	<-enough
	e.Stop("enough for now")
	first := wait()
	require.NoError(t, first.Err)
	require.Equal(t, "enough for now", first.Reason)
	res := crawltest.Run(t, spider, settings, site)
	require.NoError(t, res.Err)
	require.Equal(t, "finished", res.Reason)
	said := res.Log.FilterMessage("job resumed").All()
	require.Len(t, said, 1)
	require.Positive(t, said[0].ContextMap()["queued"])
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, want, sortedLines(string(text)))
}

func TestStartThatWasInterruptedGoesOnAtItsCursor(t *testing.T) {
	t.Parallel()
	b, settings := newBook(t)
	var from []int
	failing := true
	spider := &crawl.Spider{Name: "cursor", Parse: nothing, Start: func(_ context.Context, out *crawl.Out) error {
		i := 0
		out.Resume(&i)
		from = append(from, i)
		for ; i < 10; i++ {
			if failing && i == 7 {
				return errors.New("the list is gone")
			}
			out.Item(map[string]any{"title": i})
			out.Request(crawl.Get(fmt.Sprintf("data:,%d", i)))
			if i == 4 {
				out.Checkpoint(5)
			}
		}
		return nil
	}}
	res := crawltest.Run(t, spider, settings, crawltest.Handler(pages(nil)))
	require.Equal(t, "start_error", res.Reason)
	require.Len(t, b.feedLines(), 5, "what came after the cursor comes again")
	failing = false
	res = crawltest.Run(t, spider, settings, crawltest.Handler(pages(nil)))
	require.Equal(t, "finished", res.Reason)
	require.Equal(t, []int{0, 5}, from)
	require.Len(t, b.feedLines(), 10)
	require.EqualValues(t, 3, res.Stats.Int("response_received_count"), "requests of the first run are seen")
}

// TestCheckpointWaitsForItsItems holds an item in a stage: the cursor is not committed before it is through.
func TestCheckpointWaitsForItsItems(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, settings := newBook(t)
		through := make(chan struct{})
		settings.ItemPipelines = []crawl.Stage{{Pipeline: process(func(_ context.Context, item any) (any, error) {
			<-through
			return item, nil
		})}}
		var passed atomic.Bool
		spider := &crawl.Spider{Name: "waits", Parse: nothing, Start: func(_ context.Context, out *crawl.Out) error {
			out.Item(map[string]any{"title": "slow"})
			out.Checkpoint("after the item")
			passed.Store(true)
			out.Item(map[string]any{"title": "after"})
			return nil
		}}
		_, wait := crawltest.Start(t, spider, settings, crawltest.Handler(pages(nil)))
		synctest.Wait()
		require.False(t, passed.Load())
		for _, tx := range b.txs {
			require.NotContains(t, tx.Put, crawl.StartCursor)
		}
		close(through)
		require.Equal(t, "finished", wait().Reason)
		at := slices.IndexFunc(b.txs, func(tx crawl.Tx) bool { return tx.Put[crawl.StartCursor] != nil })
		require.GreaterOrEqual(t, at, 0)
		require.Len(t, sortedLines(string(b.disk[at][filepath.Join(b.dir, "items.jsonl")])), 1, "the item before the cursor is in its change, the other one is not")
		require.Len(t, b.feedLines(), 2)
	})
}

// TestCheckpointHasTheRequestsBeforeIt has a Start whose requests are not wanted yet.
func TestCheckpointHasTheRequestsBeforeIt(t *testing.T) {
	t.Parallel()
	b, settings := newBook(t)
	settings.ConcurrentRequests = 1
	site := crawltest.Handler(pages(map[string][]string{"/held": nil, "/before": nil, "/after": nil}))
	held := site.Hold("/held")
	spider := &crawl.Spider{Name: "requests", Parse: nothing, Start: func(_ context.Context, out *crawl.Out) error {
		out.Request(crawl.Get("http://example.com/held"))
		held.Wait()
		out.Request(crawl.Get("http://example.com/before"))
		out.Checkpoint("between")
		out.Request(crawl.Get("http://example.com/after"))
		held.Release()
		return nil
	}}
	require.Equal(t, "finished", crawltest.Run(t, spider, settings, site).Reason)
	at := slices.IndexFunc(b.txs, func(tx crawl.Tx) bool { return tx.Put[crawl.StartCursor] != nil })
	require.GreaterOrEqual(t, at, 0)
	var pushed []string
	for _, tx := range b.txs[:at+1] {
		for _, p := range tx.Push {
			req, err := crawl.ParseWire(string(p.Encoded))
			require.NoError(t, err)
			pushed = append(pushed, req.URL.Path)
		}
	}
	require.Equal(t, []string{"/held", "/before"}, pushed)
}

// TestSavedWithItsPage: what a page saves, and what it has for the feeds, is not committed if the page keeps its lease.
func TestSavedWithItsPage(t *testing.T) {
	t.Parallel()
	b, settings := newBook(t)
	end := true
	settings.ItemPipelines = []crawl.Stage{{Pipeline: process(func(_ context.Context, item any) (any, error) {
		if end && item.(map[string]any)["last"] == true {
			return nil, crawl.CloseSpider("store")
		}
		return item, nil
	})}}
	settings.ConcurrentItems = 1 // one after the other
	spider := &crawl.Spider{Name: "saves", StartURLs: []string{"data:,x"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
		n := 0
		if end {
			require.False(t, out.Load("n", &n))
		}
		out.Save("n", 1)
		require.True(t, out.Load("n", &n))
		require.Equal(t, 1, n)
		out.Item(map[string]any{"title": "first"})
		out.Item(map[string]any{"title": "second", "last": true})
		return nil
	}}
	res := crawltest.Run(t, spider, settings, crawltest.Handler(pages(nil)))
	require.Equal(t, "store", res.Reason)
	require.Empty(t, b.feedLines())
	for _, tx := range b.txs {
		require.NotContains(t, tx.Put, "spider/n")
		require.Empty(t, tx.Ack)
	}
	end = false
	res = crawltest.Run(t, spider, settings, crawltest.Handler(pages(nil)))
	require.Equal(t, "finished", res.Reason)
	require.Len(t, b.feedLines(), 2)
	at := slices.IndexFunc(b.txs, func(tx crawl.Tx) bool { return tx.Put["spider/n"] != nil })
	require.GreaterOrEqual(t, at, 0)
	require.Len(t, b.txs[at].Ack, 1, "it is committed with the acknowledgement")
}

// TestManyItemsOfOnePage are more than are kept in memory: they go through the spool, and nothing is left there.
func TestManyItemsOfOnePage(t *testing.T) {
	t.Parallel()
	b, settings := newBook(t)
	const items = 10_000
	settings.ConcurrentItems = 16
	text := strings.Repeat("x", 1000)
	spool := filepath.Join(settings.Job.Dir, "spool")
	require.NoError(t, os.MkdirAll(spool, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(spool, "lines-of-a-killed-process"), nil, 0o600))
	var spooled int64
	spider := &crawl.Spider{Name: "many", StartURLs: []string{"data:,x"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
		for i := range items {
			out.Item(map[string]any{"title": i, "text": text})
		}
		entries, err := os.ReadDir(spool)
		require.NoError(t, err)
		require.Len(t, entries, 1)
		info, err := entries[0].Info()
		require.NoError(t, err)
		spooled = info.Size()
		return nil
	}}
	res := crawltest.Run(t, spider, settings, crawltest.Handler(pages(nil)))
	require.NoError(t, res.Err)
	require.Equal(t, "finished", res.Reason)
	require.Len(t, slices.Compact(b.feedLines()), items)
	require.Greater(t, spooled, int64(b.lines-(2<<20)), "all but a little is on disk")
	left, err := os.ReadDir(spool)
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestSpoolThatCannotBeWritten: the page keeps its lease.
func TestSpoolThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	b, settings := newBook(t)
	require.NoError(t, os.MkdirAll(settings.Job.Dir, 0o755))
	spider := &crawl.Spider{Name: "spool", StartURLs: []string{"data:,x"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
		if err := os.WriteFile(filepath.Join(settings.Job.Dir, "spool"), nil, 0o600); err != nil {
			return err
		}
		for range 3 {
			out.Item(map[string]any{"text": strings.Repeat("x", 1<<20)})
		}
		return nil
	}}
	res := crawltest.Run(t, spider, settings, crawltest.Handler(pages(nil)))
	require.ErrorContains(t, res.Err, "spool")
	require.Equal(t, "error", res.Reason)
	require.Equal(t, 1, res.Log.FilterMessage("items cannot be kept with their page").Len())
	require.Zero(t, res.Stats.Int("item_error_count"))
	require.Empty(t, b.feedLines())
	for _, tx := range b.txs {
		require.Empty(t, tx.Ack)
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	links := map[string][]string{}
	for i := range 200 {
		links[fmt.Sprintf("/%d", i)] = []string{fmt.Sprintf("/%d", i+1), fmt.Sprintf("/%d", i+2)}
	}
	for name, test := range map[string]struct {
		answer func(n int, tx *crawl.Tx) (crawl.Committed, error)
		reason string
		err    error
	}{
		"nearly": {func(n int, _ *crawl.Tx) (crawl.Committed, error) { return crawl.Committed{Full: n > 10}, nil }, "disk full", nil},
		"full": {func(n int, _ *crawl.Tx) (crawl.Committed, error) {
			if n > 10 {
				return crawl.Committed{}, fmt.Errorf("write the store: %w", crawl.ErrDiskFull)
			}
			return crawl.Committed{}, nil
		}, "disk full", crawl.ErrDiskFull},
		"broken": {func(n int, _ *crawl.Tx) (crawl.Committed, error) {
			if n > 10 {
				return crawl.Committed{}, errBroken
			}
			return crawl.Committed{}, nil
		}, "error", errBroken},
		"broken at the end": {func(_ int, tx *crawl.Tx) (crawl.Committed, error) {
			if tx.Put[crawl.JobReason] != nil {
				return crawl.Committed{}, errBroken
			}
			return crawl.Committed{}, nil
		}, "error", errBroken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, settings := newBook(t)
			b.answer = test.answer
			site := crawltest.Handler(pages(links))
			spider := &crawl.Spider{Name: "full", StartURLs: []string{"http://example.com/0"}, Parse: titles}
			res := crawltest.Run(t, spider, settings, site)
			require.Equal(t, test.reason, res.Reason)
			require.ErrorIs(t, res.Err, test.err)
			if test.err == nil {
				said := res.Log.FilterMessageSnippet("job.min_free").All()
				require.Len(t, said, 1)
			} else {
				require.Equal(t, 1, strings.Count(res.Err.Error(), test.err.Error()), "it is told once: %v", res.Err)
			}
			b.answer = nil
			res = crawltest.Run(t, spider, settings, site)
			require.Equal(t, "finished", res.Reason)
			require.Len(t, b.feedLines(), 200)
			require.Len(t, slices.Compact(b.feedLines()), 200)
		})
	}
}

// TestFeedOfAJobThatCannotBeWritten gives the crawl the feed's reason, and its error.
func TestFeedOfAJobThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err, want error
		reason    string
	}{
		"broken":      {err: errBroken, want: errBroken, reason: feed.ReasonFailed},
		"reader gone": {err: syscall.EPIPE, reason: feed.ReasonReaderGone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, inBook := newBook(t)
			for _, settings := range []crawl.Settings{jobSettings(t), inBook} {
				settings.Feeds = []crawl.Feed{{URI: "broken://x", Format: "jsonl"}}
				settings.Parts.Targets = map[string]crawl.FeedTarget{
					"broken": func(context.Context, crawl.Feed, *crawl.Env) (crawl.FeedFile, error) {
						return brokenFeed{test.err}, nil
					},
				}
				spider := &crawl.Spider{Name: "feed", StartURLs: []string{"data:,x"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
					out.Item(map[string]any{"title": "lost"})
					return nil
				}}
				res := crawltest.Run(t, spider, settings, crawltest.Handler(pages(nil)))
				require.Equal(t, test.reason, res.Reason)
				require.ErrorIs(t, res.Err, test.want)
				if test.want != nil {
					require.Equal(t, 1, strings.Count(res.Err.Error(), test.want.Error()), "it is told once: %v", res.Err)
				}
			}
		})
	}
}

var errBroken = errors.New("the disk is broken")

type brokenFeed struct{ err error }

func (f brokenFeed) Write([]byte) (int, error) { return 0, f.err }
func (f brokenFeed) Sync() error               { return nil }
func (f brokenFeed) Close() error              { return nil }

func TestCookiesOfAJob(t *testing.T) {
	t.Parallel()
	settings := jobSettings(t)
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			http.SetCookie(w, &http.Cookie{Name: "in", Value: r.URL.RawQuery})
			return
		}
		c, err := r.Cookie("in")
		if err != nil {
			http.Error(w, "who are you?", http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, "<h1>%s</h1>", c.Value)
	}))
	jar := func(name string) func(*crawl.Request) {
		return func(r *crawl.Request) { r.Knobs = &crawl.Knobs{CookieJar: name} }
	}
	var stopped atomic.Bool
	spider := &crawl.Spider{
		Name: "login",
		Start: func(_ context.Context, out *crawl.Out) error {
			out.Request(crawl.Get("http://a.example/login?own"))
			out.Request(crawl.Get("http://a.example/login?other", jar("a/b")))
			return nil
		},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			knobs := r.Request.Knobs
			out.Follow("/account?"+r.URL.RawQuery, "account", func(next *crawl.Request) { next.Knobs = knobs })
			return nil
		},
		Routes: map[string]crawl.Callback{"account": func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			if !stopped.Load() {
				return errors.New("asked too early")
			}
			out.Item(map[string]any{"title": r.Text("h1")})
			return nil
		}},
	}
	settings.Middlewares = around(func(ctx context.Context, req *crawl.Request, next crawl.Fetcher) (*crawl.Response, error) {
		if req.URL.Path == "/account" && !stopped.Load() {
			return nil, crawl.CloseSpider("out of time")
		}
		return next.Fetch(ctx, req)
	})
	res := crawltest.Run(t, spider, settings, site)
	require.Equal(t, "out of time", res.Reason)
	stopped.Store(true)
	res = crawltest.Run(t, spider, settings, site)
	require.NoError(t, res.Err)
	require.Equal(t, []string{"other", "own"}, itemTitles(res))
}

// TestStatsOfAJob add up over its runs.
func TestStatsOfAJob(t *testing.T) {
	t.Parallel()
	b, settings := newBook(t)
	stop := true
	spider := &crawl.Spider{Name: "stats", StartURLs: []string{"http://example.com/"}, Parse: func(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
		if r.URL.Path == "/a" && stop {
			return crawl.CloseSpider("half")
		}
		return titles(ctx, r, out)
	}}
	site := crawltest.Handler(pages(map[string][]string{"/": {"/a", "/b", "/c"}, "/a": nil, "/b": nil, "/c": nil}))
	settings.ConcurrentRequests = 1
	res := crawltest.Run(t, spider, settings, site)
	require.Equal(t, "half", res.Reason)
	state := func() map[string][]byte {
		s, err := b.open(t.Context(), "", crawl.SchedulerOptions{})
		require.NoError(t, err)
		require.NoError(t, s.Close(t.Context()))
		return s.State()
	}
	require.Equal(t, "half", string(state()[crawl.JobReason]))
	first := res.Stats.Int("response_received_count")
	stop = false
	running := false
	settings.Trace.ResponseReceived = func(*crawl.Response) {
		if !running {
			running = true
			require.NotContains(t, state(), crawl.JobReason, "while it runs")
		}
	}
	res = crawltest.Run(t, spider, settings, site)
	require.Equal(t, "finished", res.Reason)
	second := res.Stats.Int("response_received_count")
	require.Less(t, second, int64(4), "its own")
	require.EqualValues(t, 4, first+second)
	end := state()
	require.Equal(t, "finished", string(end[crawl.JobReason]))
	require.Contains(t, string(end[crawl.JobStats]), `"response_received_count":4,`)
	require.Contains(t, string(end[crawl.JobStats]), `"request_depth_max":1,`)
	require.Contains(t, string(end[crawl.JobStats]), `"finish_reason":"finished"`)
}

// TestStatsAreKeptNowAndThen: with every change would be too often, and in the end only would be too late for a crawl that is killed.
func TestStatsAreKeptNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, settings := newBook(t)
		spider := &crawl.Spider{Name: "slow", Parse: nothing, Start: func(_ context.Context, out *crawl.Out) error {
			for i := range 40 {
				out.Request(crawl.Get(fmt.Sprintf("data:,%d", i)))
				out.Checkpoint(i)
				time.Sleep(250 * time.Millisecond)
			}
			return nil
		}}
		require.Equal(t, "finished", crawltest.Run(t, spider, settings, crawltest.Handler(pages(nil))).Reason)
		puts := 0
		for _, tx := range b.txs {
			if tx.Put[crawl.JobStats] != nil {
				puts++
			}
		}
		require.InDelta(t, 11, puts, 1)
	})
}

// TestSlowCommitterGathers: when many changes are under way the next one grows, and the crawl goes on.
func TestSlowCommitterGathers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, settings := newBook(t)
		b.slow = time.Second
		links := map[string][]string{}
		for i := range 500 {
			links["/"] = append(links["/"], fmt.Sprintf("/%d", i))
			links[fmt.Sprintf("/%d", i)] = nil
		}
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Duration(len(r.URL.Path)*17+int(r.URL.Path[len(r.URL.Path)-1])%7) * time.Millisecond)
			pages(links).ServeHTTP(w, r)
		}))
		spider := &crawl.Spider{Name: "slow", StartURLs: []string{"http://example.com/"}, Parse: titles}
		began := time.Now()
		require.Equal(t, "finished", crawltest.Run(t, spider, settings, site).Reason)
		require.Len(t, b.feedLines(), 501)
		require.LessOrEqual(t, b.most, 9, "and the last one, which does not wait")
		require.Greater(t, b.most, 4)
		require.Less(t, time.Since(began), time.Minute)
	})
}

// TestIdleOfAJob: a crawl that has something to do when it is idle has not finished before it was asked.
func TestIdleOfAJob(t *testing.T) {
	t.Parallel()
	b, settings := newBook(t)
	asked := 0
	settings.Trace.SpiderIdle = func(_ context.Context, out *crawl.Out) error {
		asked++
		if asked == 1 {
			return crawl.CloseSpider("later")
		}
		out.Item(map[string]any{"title": "summary"})
		return nil
	}
	spider := &crawl.Spider{Name: "idle", StartURLs: []string{"data:,x"}, Parse: nothing}
	res := crawltest.Run(t, spider, settings, crawltest.Handler(pages(nil)))
	require.Equal(t, "later", res.Reason)
	res = crawltest.Run(t, spider, settings, crawltest.Handler(pages(nil)))
	require.Equal(t, "finished", res.Reason)
	res = crawltest.Run(t, spider, settings, crawltest.Handler(pages(nil)))
	require.Equal(t, "finished", res.Reason)
	require.Equal(t, 2, asked)
	require.Len(t, b.feedLines(), 1)
}

// TestKilledJobIsClosed ends a crawl at once: the queue is closed all the same, and what was done before is kept.
func TestKilledJobIsClosed(t *testing.T) {
	t.Parallel()
	settings := jobSettings(t)
	out := filepath.Join(t.TempDir(), "items.jsonl")
	settings.Feeds = []crawl.Feed{{URI: out}}
	ctx, kill := context.WithCancel(t.Context())
	one := make(chan struct{})
	settings.Trace.ItemScraped = func(context.Context, any) { close(one) }
	var asked []string
	settings.Parts.Handlers = map[string]crawl.OpenHandler{"test": func(*crawl.Env) (crawl.Fetcher, error) {
		return crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
			asked = append(asked, req.URL.Path)
			if req.URL.Path == "/2" && ctx.Err() == nil && one != nil {
				<-one
				kill()
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return &crawl.Response{Request: req, URL: req.URL, Status: 200}, nil
		}), nil
	}}
	settings.ConcurrentRequests = 1
	spider := &crawl.Spider{
		Name: "killed", StartURLs: []string{"test://example.com/1", "test://example.com/2"},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			out.Item(map[string]any{"title": r.URL.Path})
			return nil
		},
	}
	e, err := engine.New(spider, settings)
	require.NoError(t, err)
	res, err := e.Run(ctx)
	require.NoError(t, err)
	require.Equal(t, "shutdown", res.Reason)

	settings.Trace.ItemScraped, one, asked = nil, nil, nil
	again := crawltest.Run(t, spider, settings, crawltest.Handler(pages(nil)))
	require.NoError(t, again.Err, "nobody has the job")
	require.Equal(t, "finished", again.Reason)
	require.Equal(t, []string{"/2"}, asked)
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, []string{`{"title":"/1"}`, `{"title":"/2"}`}, sortedLines(string(text)))
}

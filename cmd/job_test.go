package cmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/cmd"
	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/scheduler/jobdir"
	"github.com/tulle-go/tulle/spiders/bundled"
)

// jobProgram has jobs. Its shop closes when so many items have come, if that is not 0.
func jobProgram(enough int64) cmd.Program {
	return cmd.Program{
		Settings: crawl.Settings{Parts: crawl.Parts{Job: jobdir.Open, InspectJob: jobdir.Inspect}},
		Spiders: map[string]func(map[string]string) (*crawl.Spider, error){
			"shop":  func(args map[string]string) (*crawl.Spider, error) { return shopUntil(enough, args) },
			"fails": fails,
		},
	}
}

func shopUntil(enough int64, args map[string]string) (*crawl.Spider, error) {
	s, err := bundled.Shop(args)
	if err != nil || enough == 0 {
		return s, err
	}
	configure := s.Configure
	s.Configure = func(set *crawl.Settings) {
		configure(set)
		var n atomic.Int64
		set.ItemPipelines = append(set.ItemPipelines, crawl.Stage{Order: 1, Pipeline: pipeline.Each(
			func(_ context.Context, p *bundled.ShopProduct) (*bundled.ShopProduct, error) {
				if n.Add(1) >= enough {
					return p, crawl.CloseSpider("enough")
				}
				return p, nil
			})})
	}
	return s, nil
}

// fails asks two ports that nobody listens at, and has requests of every sort.
func fails(map[string]string) (*crawl.Spider, error) {
	return &crawl.Spider{
		Name: "fails",
		Start: func(_ context.Context, out *crawl.Out) error {
			out.Request(crawl.Get("http://127.0.0.1:1/a"))
			out.Request(&crawl.Request{
				URL: crawl.Get("http://127.0.0.1:1/b?x=1&y=<2>").URL, Method: "POST", Body: []byte("k=v"), Route: "form", Priority: 3,
				Header: map[string][]string{"X-Token": {"t"}}, Data: json.RawMessage(`{"page":2}`),
			})
			out.Request(crawl.Get("nosuch://h/c"))
			return nil
		},
		Parse:     func(context.Context, *crawl.Response, *crawl.Out) error { return nil },
		Routes:    map[string]crawl.Callback{"form": func(context.Context, *crawl.Response, *crawl.Out) error { return nil }},
		Configure: func(s *crawl.Settings) { s.Retry.Times, s.Robots.Ignore = -1, true },
	}, nil
}

// call runs a command line. What it prints has no control characters.
func call(t *testing.T, p cmd.Program, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = cmd.Run(t.Context(), p, args, &out, &errs)
	for _, text := range []string{out.String(), errs.String()} {
		require.False(t, strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }), "%q", text)
	}
	return code, out.String(), errs.String()
}

// okay runs a command line that succeeds, and says nothing beside its result.
func okay(t *testing.T, p cmd.Program, args ...string) string {
	t.Helper()
	code, stdout, stderr := call(t, p, args...)
	require.Zero(t, code, stderr)
	require.Empty(t, stderr)
	return stdout
}

// TestJob stops the shop, looks after its folder with every command, and finishes it.
func TestJob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	job, feed := in("job"), in("items.jsonl")
	crawlShop := func(p cmd.Program, products string) (int, string) {
		code, stdout, stderr := call(t, p, "crawl", "shop", "-a", "products="+products, "-s", "images.store=", "-s", "log.level=error",
			"-s", "job.min_free=-1", "-O", feed, "--job", job)
		require.Empty(t, stdout)
		return code, stderr
	}
	steady := func(text string) string {
		text = strings.ReplaceAll(text, dir, "DIR")
		text = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`).ReplaceAllString(text, "TIME")
		return regexp.MustCompile(`\d+(\.\d+)? ?(k?B|s\b)`).ReplaceAllString(text, "N $2")
	}
	p := jobProgram(0)
	code, stderr := crawlShop(jobProgram(5), "13")
	require.Zero(t, code, stderr)
	require.Contains(t, stderr, "\nClosed (enough) after ")
	require.Regexp(t, `\n  job       \S+/job\n            \d+ pages done, \d+ waiting, 0 failed\n            the same command line goes on\n$`, stderr)

	var figures struct {
		State, Reason, Spider string
		Done, Waiting         int
		Runs, Kills           int
		Identity              map[string]string
		Routes                map[string]int
		Feeds                 []struct{ Items, Bytes int }
		Stats                 map[string]any
	}
	stat := func() string {
		require.NoError(t, json.Unmarshal([]byte(okay(t, p, "job", "stat", "--json", job)), &figures))
		return okay(t, p, "job", "stat", job)
	}
	text := stat()
	require.Equal(t, "stopped", figures.State)
	require.Equal(t, "enough", figures.Reason)
	require.Equal(t, map[string]string{"products": "13"}, figures.Identity)
	require.Equal(t, []int{1, 0}, []int{figures.Runs, figures.Kills})
	require.Positive(t, figures.Done)
	require.Positive(t, figures.Waiting)
	require.Len(t, figures.Feeds, 1)
	require.Positive(t, figures.Stats["page_count"])
	info, err := os.Stat(feed)
	require.NoError(t, err)
	require.EqualValues(t, info.Size(), figures.Feeds[0].Bytes)
	require.Regexp(t, `^Job DIR/job: spider shop \(products=13\)
  state     stopped \(enough\)
  pages     \d+ done, \d+ waiting, 0 failed
  skipped   \d+ seen before
  waiting   at 1 host; \d+ for \w+, \d+ for \w+
  feed      DIR/items.jsonl: \d+ items, N k?B
  runs      1; the first began TIME
  disk      N k?B
  next      go on by the same command line, with its -o, -O and -s if any:
            tulle crawl shop -a products=13 --job DIR/job
$`, steady(text))

	lines := strings.Split(strings.TrimSuffix(okay(t, p, "job", "list", "--limit", "0", job), "\n"), "\n")
	require.Len(t, lines, figures.Waiting+1)
	require.Regexp(t, `^ROUTE +PRIORITY +DEPTH +URL$`, lines[0])
	for _, line := range lines[1:] {
		require.Regexp(t, `^(Parse|product) +-?\d+ +\d+ +http://shop\.localhost/\S*$`, line)
	}
	lines = strings.Split(okay(t, p, "job", "list", "--limit", "0", "--route", "", job), "\n")
	require.Len(t, lines, figures.Routes[""]+2)
	code, short, stderr := call(t, p, "job", "list", "--limit", "1", job)
	require.Zero(t, code)
	require.Equal(t, 2, strings.Count(short, "\n"))
	require.Equal(t, "There are more than 1: --limit 0 prints all.\n", stderr)
	require.Equal(t, figures.Waiting, strings.Count(okay(t, p, "job", "export-urls", job), "\n"))
	require.Equal(t, okay(t, p, "job", "list", "--json", "--limit", "0", job), okay(t, p, "job", "export-urls", "--json", job))
	require.Equal(t, "Nothing has failed.\n", okay(t, p, "job", "requeue-failed", job))
	require.Regexp(t, `^N k?B before, N k?B now\n$`, steady(okay(t, p, "job", "compact", job)))
	require.Equal(t, "Nobody had the job: there was nothing to unlock.\n", okay(t, p, "job", "unlock", job))
	require.Equal(t, figures.Waiting, strings.Count(okay(t, p, "job", "export-urls", job), "\n"), "after all that")

	code, stderr = crawlShop(p, "14")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, `products was "13" and is "14" now`)

	code, stderr = crawlShop(p, "13")
	require.Zero(t, code, stderr)
	require.Regexp(t, `^\nFinished in (.*\n)+  job       \S+/job\n            finished: \d+ pages done, 0 failed\n$`, stderr)
	seen := make(map[string]bool)
	for line := range strings.Lines(read(t, feed)) {
		var item bundled.ShopProduct
		require.NoError(t, json.Unmarshal([]byte(line), &item))
		require.False(t, seen[item.URL], item.URL)
		seen[item.URL] = true
	}
	require.Len(t, seen, 13)

	text = stat()
	require.Equal(t, "finished", figures.State)
	require.Equal(t, 2, figures.Runs)
	require.Contains(t, text, "\n  state     finished\n")
	require.Contains(t, text, "\n  next      nothing is left to do: the folder may be removed\n")
	code, stderr = crawlShop(p, "13")
	require.Zero(t, code)
	require.Regexp(t, `^\nThis job is finished: nothing is left to do.\n  job       \S+/job\n            finished: \d+ pages done, 0 failed\n$`, stderr)
	code, empty, stderr := call(t, p, "job", "list", job)
	require.Zero(t, code)
	require.Empty(t, empty)
	require.Equal(t, "Nothing that waits is to be shown.\n", stderr)
}

// TestJobFailed asks again for what has failed.
func TestJobFailed(t *testing.T) {
	t.Parallel()
	job := filepath.Join(t.TempDir(), "my job")
	p := jobProgram(0)
	again := func() string {
		code, _, stderr := call(t, p, "crawl", "fails", "--job", job, "-s", "job.min_free=-1", "--log-level", "error")
		require.Zero(t, code, stderr)
		return stderr
	}
	tail := fmt.Sprintf("            tulle job list --failed '%[1]s' shows what failed,\n            tulle job requeue-failed '%[1]s' asks for it again\n", job)
	require.True(t, strings.HasSuffix(again(), "            finished: 0 pages done, 3 failed\n"+tail))
	require.True(t, strings.HasSuffix(okay(t, p, "job", "stat", job), strings.Replace(tail, "          ", "  next    ", 1)))

	list := okay(t, p, "job", "list", "--failed", job)
	require.Regexp(t, `^KIND     URL +REASON\n`, list)
	require.Regexp(t, `(?m)^refused  http://127\.0\.0\.1:1/a  +dial tcp .*refused$`, list)
	require.Regexp(t, `(?m)^request  nosuch://h/c  +\S`, list)
	require.Equal(t, 4, strings.Count(list, "\n"))
	require.Contains(t, okay(t, p, "job", "export-urls", "--failed", job), "\nhttp://127.0.0.1:1/b?x=1&y=%3C2%3E\n")
	dec := json.NewDecoder(strings.NewReader(okay(t, p, "job", "export-urls", "--failed", "--json", job)))
	found := false
	for {
		var r map[string]any
		err := dec.Decode(&r)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if r["method"] != "POST" {
			continue
		}
		found = true
		require.NotEmpty(t, r["id"])
		require.NotEmpty(t, r["failed_at"])
		require.NotEmpty(t, r["reason"])
		delete(r, "id")
		delete(r, "failed_at")
		delete(r, "reason")
		delete(r["headers"].(map[string]any), "Referer")
		require.Equal(t, map[string]any{
			"url": "http://127.0.0.1:1/b?x=1&y=%3C2%3E", "method": "POST", "headers": map[string]any{"X-Token": []any{"t"}}, "body": "az12", "route": "form",
			"priority": 3.0, "data": map[string]any{"page": 2.0}, "kind": "refused",
		}, r)
	}
	require.True(t, found)

	requeue := func(args ...string) string {
		return okay(t, p, append([]string{"job", "requeue-failed", job}, args...)...)
	}
	require.Equal(t, fmt.Sprintf("None of 3 failed requests was chosen; 'tulle job list --failed %s' shows them.\n", "'"+job+"'"), requeue("--kind", "timeout"))
	require.True(t, strings.HasPrefix(requeue("--kind", "refused", "--url-contains", "/b"),
		fmt.Sprintf("1 of 3 failed requests will be asked again. To go on:\n  tulle crawl fails --job '%s'\n", job)))
	text := okay(t, p, "job", "stat", job)
	require.Contains(t, text, "\n  state     stopped\n")
	require.Contains(t, text, "\n  pages     0 done, 1 waiting, 2 failed\n")
	require.True(t, strings.HasPrefix(requeue("--match", "^nosuch:", "--kind", "timeout", "--kind", "request"), "1 of 2 failed requests will "))
	require.True(t, strings.HasPrefix(requeue(), "1 of 1 failed request will "))
	require.True(t, strings.HasSuffix(again(), "            finished: 0 pages done, 3 failed\n"+tail), "they have failed again")
}

// TestJobDiskFull is a crawl whose scheduler says that there is little room.
func TestJobDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := jobProgram(0)
	p.Settings.Parts.Job = func(ctx context.Context, dir string, opts crawl.SchedulerOptions) (crawl.Scheduler, error) {
		s, err := jobdir.Open(ctx, dir, opts)
		return nearlyFull{s}, err
	}
	job := filepath.Join(dir, "job")
	code, _, stderr := call(t, p, "crawl", "shop", "-a", "products=13", "-s", "images.store=", "-s", "job.min_free=-1", "-O", filepath.Join(dir, "f.jsonl"), "--job", job,
		"--log-level", "error")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "\nStopped, because the disk is full, after ")
	require.Contains(t, stderr, "\n            the same command line goes on\n")
	require.True(t, strings.HasSuffix(stderr, "\ntulle: the disk is full: make room, and run the same command line again; what was done is kept\n"), stderr)
	text := okay(t, p, "job", "stat", job)
	require.Contains(t, text, "\n  state     stopped (disk full)\n")
	require.Contains(t, text, "\n  next      make room on the disk, or set job.min_free lower, then\n            go on by ")
}

type nearlyFull struct{ crawl.Scheduler }

func (s nearlyFull) Commit(tx *crawl.Tx, done func(crawl.Committed, error)) {
	s.Scheduler.Commit(tx, func(c crawl.Committed, err error) {
		c.Full = true
		done(c, err)
	})
}

func TestJobMistakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"job stta", `tulle job has no command "stta"; did you mean stat?`},
		{"job shop", `tulle job has no command "shop"; 'tulle job --help' lists them`},
		{"job stat", "which job? (tulle job stat DIR)"},
		{"job list a b", "one job at a time: a b"},
		{"job stat --nope a", "unknown flag: --nope (see 'tulle job stat --help')"},
		{"job list --limit -1 a", "--limit -1: want 0, which is all, or more"},
		{"job requeue-failed --match ( a", "--match (: error parsing regexp: missing closing ): `(`"},
		{"job stat TMP/none", "TMP/none is no job: there is no such folder"},
		{"job unlock TMP", "TMP is no job: it has no job.json"},
		{"crawl shop --job=", "--job: the folder's name is empty"},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			code, stdout, stderr := call(t, jobProgram(0), strings.Fields(strings.ReplaceAll(c.args, "TMP", dir))...)
			require.Equal(t, "tulle: "+strings.ReplaceAll(c.want, "TMP", dir)+"\n", stderr)
			require.Equal(t, 2, code)
			require.Empty(t, stdout)
			require.Empty(t, entries(t, dir))
		})
	}
	p := jobProgram(0)
	p.Settings.Parts = crawl.Parts{}
	code, _, stderr := call(t, p, "job", "stat", "x")
	require.Equal(t, 2, code)
	require.Equal(t, "tulle: this program has no jobs: set Settings.Parts.InspectJob, and Job, to those of package scheduler/jobdir\n", stderr)
	code, _, stderr = call(t, p, "crawl", "fails", "--job", filepath.Join(t.TempDir(), "x"))
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "this program has no job store: set Settings.Parts.Job\n")
}

func TestJobCompletion(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{"job stat": ":16\n", "job stat a": ":4\n", "crawl shop --job": ":16\n"} {
		_, stdout, _ := call(t, jobProgram(0), append(append([]string{"__complete"}, strings.Fields(args)...), "")...)
		require.Equal(t, want, stdout, args)
	}
}

// shown is a job as its makers describe it.
type shown struct {
	info     crawl.JobInfo
	requests iter.Seq2[crawl.JobRequest, error]
	err      error // of all that writes
	closed   *bool
}

func (s shown) Info() crawl.JobInfo { return s.info }
func (s shown) Requests(context.Context, bool) iter.Seq2[crawl.JobRequest, error] {
	return s.requests
}
func (s shown) RequeueFailed(context.Context, func(crawl.JobRequest) bool) (int, error) {
	return 0, s.err
}
func (s shown) Compact(context.Context) error { return s.err }
func (s shown) Close() error {
	*s.closed = true
	return nil
}

// look runs a command line on a job that is described.
func look(t *testing.T, s shown, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := jobProgram(0)
	closed := false
	p.Settings.Parts.InspectJob = func(_ context.Context, dir string, _ crawl.InspectMode) (crawl.Job, error) {
		s.info.Dir, s.closed = dir, &closed
		return s, nil
	}
	code, stdout, stderr = call(t, p, args...)
	require.True(t, closed)
	return code, stdout, stderr
}

// TestJobStates are those that are hard to come by.
func TestJobStates(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 5, 1, 12, 0, 0, 0, time.Local)
	owner := &crawl.JobOwner{PID: 42, Host: "pc", Since: began.Add(time.Hour)}
	base := crawl.JobInfo{Spider: "shop", Created: began, Runs: 3, Kills: 1, Disk: 1234567}
	for _, c := range []struct {
		name   string
		change func(*crawl.JobInfo)
		want   string
	}{
		{"running", func(i *crawl.JobInfo) { i.Owner, i.Running, i.Done = owner, true, 7 }, `
  state     running: process 42 on pc since 2026-05-01 13:00:00
  pages     7 done, 0 waiting, 0 failed
  runs      3, 1 of them killed; the first began 2026-05-01 12:00:00
  disk      1.2 MB
  next      Ctrl-C there stops it; the same command line goes on
`},
		{"killed", func(i *crawl.JobInfo) {
			i.Owner, i.Queued, i.Delayed, i.Hosts, i.Reason = owner, 8, 2, 3, ""
			i.Routes = map[string]int64{"a": 1, "b": 2, "": 1, "c": 1, "d": 1, "e\n": 2}
			i.Identity = map[string]string{"q": "it's", "n": "1"}
		}, ` (n=1, q=it's)
  state     killed: process 42 on pc since 2026-05-01 13:00:00; nothing is lost
  pages     0 done, 8 waiting (2 to be asked again later), 0 failed
  waiting   at 3 hosts; 2 for b, 2 for e , 1 for Parse, 1 for a, 2 more routes
  runs      3, 2 of them killed; the first began 2026-05-01 12:00:00
  disk      1.2 MB
  next      go on by the same command line, with its -o, -O and -s if any:
            tulle crawl shop -a n=1 -a 'q=it'\''s' --job x
`},
		{"killed by whom", func(i *crawl.JobInfo) { i.Owner, i.Kills = &crawl.JobOwner{Host: "unknown"}, 0 }, `
  state     killed: an unknown process; nothing is lost
  pages     0 done, 0 waiting, 0 failed
  runs      3, 1 of them killed; the first began 2026-05-01 12:00:00
  disk      1.2 MB
  next      go on by the same command line, with its -o, -O and -s if any:
            tulle crawl shop --job x
`},
		{"of another program", func(i *crawl.JobInfo) {
			i.Spider, i.Kills = "theirs", 0
			i.Feeds = []crawl.JobFeed{{URI: "a.csv", Items: 1, Bytes: 3}, {URI: "b.json", Items: 2, Bytes: 3000}}
		}, `
  state     stopped
  pages     0 done, 0 waiting, 0 failed
  feed      a.csv: 1 item, 3 B
            b.json: 2 items, 3.0 kB
  runs      3; the first began 2026-05-01 12:00:00
  disk      1.2 MB
  next      go on by the same command line, of the program that has this spider
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			i := base
			c.change(&i)
			code, stdout, stderr := look(t, shown{info: i}, "job", "stat", "x")
			require.Zero(t, code, stderr)
			require.Equal(t, "Job x: spider "+i.Spider+c.want, stdout)
			for line := range strings.Lines(stdout) {
				require.LessOrEqual(t, utf8.RuneCountInString(line), 81, line)
			}
		})
	}
}

// TestJobListStreams prints rows as they come, once it knows how wide they are, and goes on behind one that cannot be read.
func TestJobListStreams(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	asked := make(chan int, 300)
	s := shown{closed: new(bool), requests: func(yield func(crawl.JobRequest, error) bool) {
		for i := 1; i <= 300; i++ {
			asked <- i
			req := crawl.JobRequest{ID: uint64(i), Request: crawl.Get(fmt.Sprintf("http://h/%0100d", i)), Kind: "k", Reason: "a\nb"}
			var err error
			if i == 250 || i == 260 {
				req.Request, err = nil, errors.New("cut short")
			}
			if !yield(req, err) {
				return
			}
		}
	}}
	p := jobProgram(0)
	p.Settings.Parts.InspectJob = func(context.Context, string, crawl.InspectMode) (crawl.Job, error) { return s, nil }
	code := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		code <- cmd.Run(t.Context(), p, []string{"job", "list", "--failed", "--limit", "0", "x"}, w, &stderr)
		w.Close()
	}()
	first := make([]byte, 10)
	_, err := io.ReadFull(r, first)
	require.NoError(t, err)
	require.Less(t, len(asked), 250, "it does not wait for the last one")
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	text := string(first) + string(rest)
	require.Equal(t, 1+298, strings.Count(text, "\n"))
	require.Contains(t, text, fmt.Sprintf("\nk     http://h/%0100d  a b\n", 300))
	require.Equal(t, 1, <-code)
	require.Equal(t, "tulle: request 250: cut short (and 1 more)\n", stderr.String())
	require.True(t, *s.closed)
}

// TestJobErrors tells those of the command line from those of the folder.
func TestJobErrors(t *testing.T) {
	t.Parallel()
	taken := errors.New("the job is in use")
	s := shown{err: taken, requests: func(yield func(crawl.JobRequest, error) bool) { yield(crawl.JobRequest{}, taken) }}
	for _, running := range []bool{false, true} {
		s.info.Running = running
		want := 1
		if running {
			want = 2
		}
		for _, c := range []string{"list", "export-urls", "requeue-failed", "compact"} {
			code, stdout, stderr := look(t, s, "job", c, "x")
			require.Equal(t, want, code)
			require.Empty(t, stdout)
			require.Equal(t, "tulle: the job is in use\n", stderr)
		}
	}
	s.info = crawl.JobInfo{Owner: &crawl.JobOwner{PID: 7, Host: "far", Since: time.Date(2026, 5, 1, 12, 0, 0, 0, time.Local)}}
	code, stdout, _ := look(t, s, "job", "unlock", "x")
	require.Zero(t, code)
	require.Equal(t, "The job was held by process 7 on far since 2026-05-01 12:00:00. It is free now.\n", stdout)
}

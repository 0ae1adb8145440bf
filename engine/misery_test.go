package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

// sight is what a user sees of a pathology, if a failure is asked again once, and at once.
type sight struct {
	// page is what becomes of a page: "200 Well" for a response with that title, "status 503" for one in an errback, a kind of download error, or "ignored: " and why. Between
	// several pages of the host stands " | ".
	page string
	// media is what becomes of it as a file: "stored" or a kind of failure. "": what becomes of the page.
	media string
	// asked is how many requests are sent for the page. 0: one, or two where it fails in a way that is asked again.
	asked int
	// took is how long it is until all is over for the host. For mediaTook 0 is took, for slack it is none.
	took, slack, mediaTook time.Duration

	set  func(*crawl.Settings)
	more func(t *testing.T, m *met) // for the page
}

// met is what came of a crawl that met a pathology.
type met struct {
	*crawltest.Result
	site  crawltest.Site
	asked int // requests, without those to the neighbour

	mu       sync.Mutex
	outcomes []string
	took     time.Duration
	err      error // the last one
	size     int64 // of the last page
}

// healthyPages is how many pages the neighbour has, of a second each.
const healthyPages = 10

// neighbour is what all other hosts of the site answer.
func neighbour(w http.ResponseWriter, r *http.Request) {
	if r.Host != "healthy.test" || r.URL.Path == "/robots.txt" {
		fmt.Fprint(w, "<html><title>Elsewhere</title></html>")
		return
	}
	time.Sleep(time.Second)
}

// meet crawls the pathology and a healthy neighbour beside it, and checks what holds for all of them: the neighbour is done in its usual time, and nothing is left open.
// Inside a bubble no goroutine can be left either.
func meet(t *testing.T, p crawltest.Pathology, asMedia bool, set func(*crawl.Settings)) *met {
	site := crawltest.Misery(http.HandlerFunc(neighbour))
	m := &met{site: site}
	start := time.Now()
	var neighbourTook time.Duration
	spider := &crawl.Spider{
		Name: "misery",
		Start: func(_ context.Context, out *crawl.Out) error {
			for i := range healthyPages {
				out.Request(crawl.Get(fmt.Sprintf("http://healthy.test/%d", i)))
			}
			if asMedia {
				out.Item(wants(p.URL))
			} else {
				out.Request(p.Request())
			}
			return nil
		},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			out.FollowAll("a", "")
			if r.URL.Hostname() == "healthy.test" {
				m.mu.Lock()
				defer m.mu.Unlock()
				neighbourTook = time.Since(start)
				return nil
			}
			title := r.Text("title")
			if title == "" {
				title = r.Text("h1")
			}
			m.mu.Lock()
			m.size = r.Body.Size()
			m.mu.Unlock()
			m.happens(start, strings.TrimSpace(fmt.Sprint(r.Status, " ", title)), nil)
			return nil
		},
		Errback: func(_ context.Context, _ *crawl.Request, err error, _ *crawl.Out) error {
			m.happens(start, outcome(err), err)
			return nil
		},
	}
	settings := crawl.Settings{
		Robots:        crawl.RobotsSettings{Ignore: true},
		Retry:         crawl.RetrySettings{Times: 1, BackOff: -1},
		Slots:         map[string]crawl.Limits{"healthy.test": {Concurrency: 1}},
		Depth:         crawl.DepthSettings{Limit: 3},
		Download:      crawl.DownloadSettings{MaxSize: 8 << 20, SpoolDir: t.TempDir()},
		ItemPipelines: []crawl.Stage{{Pipeline: &pipeline.FilesPipeline{Store: new(store.Memory)}}},
	}
	if set != nil {
		set(&settings)
	}
	settings.Trace.MediaStored = func(*crawl.Request, crawl.File) { m.happens(start, "stored", nil) }
	settings.Trace.MediaFailed = func(_ *crawl.Request, err error) {
		what := "error: " + err.Error()
		if failed, ok := errors.AsType[*pipeline.MediaError](err); ok {
			what = string(failed.Kind)
		}
		m.happens(start, what, err)
	}
	m.Result = crawltest.Run(t, spider, settings, site)
	require.NoError(t, m.Err)
	require.Equal(t, "finished", m.Reason)
	require.Zero(t, site.OpenConnections())
	left, err := os.ReadDir(settings.Download.SpoolDir)
	require.NoError(t, err)
	require.Empty(t, left, "nothing is left on the disk")
	require.Equal(t, healthyPages*time.Second, neighbourTook, "the healthy neighbour is not held up")
	m.asked = int(m.Stats.Int("downloader/request_count")) - len(site.Arrivals("healthy.test"))
	return m
}

// happens notes what has come of a request.
func (m *met) happens(start time.Time, what string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.outcomes, m.took, m.err = append(m.outcomes, what), time.Since(start), err
}

// outcome is an error in a word or two.
func outcome(err error) string {
	var (
		failed  *crawl.DownloadError
		status  *crawl.StatusError
		ignored *crawl.IgnoreRequestError
	)
	switch {
	case errors.As(err, &status):
		return fmt.Sprint("status ", status.Response.Status)
	case errors.As(err, &ignored):
		return "ignored: " + ignored.Reason
	case errors.As(err, &failed):
		return string(failed.Kind)
	}
	return "error: " + err.Error()
}

// TestMisery meets every pathology as a page and as a file.
func TestMisery(t *testing.T) {
	t.Parallel()
	all := sights()
	for _, p := range crawltest.Pathologies() {
		want, ok := all[p.Name]
		require.True(t, ok, "%s is not looked at", p.Name)
		delete(all, p.Name)
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { seePage(t, p, want) })
			if p.Method == "" && p.Proxy == "" { // a file's is a plain GET
				synctest.Test(t, func(t *testing.T) { seeFile(t, p, want) })
			}
		})
	}
	require.Empty(t, all, "there is no such pathology")
}

func seePage(t *testing.T, p crawltest.Pathology, want sight) {
	m := meet(t, p, false, want.set)
	require.Equal(t, want.page, strings.Join(m.outcomes, " | "), "error: %v", m.err)
	requireTook(t, want.took, want.slack, m.took)

	kind := crawl.Kind(want.page)
	asked := want.asked
	if asked == 0 {
		if asked = 1; passing(kind) {
			asked = 2
		}
	}
	require.Equal(t, asked, m.asked)
	failed, isKind := errors.AsType[*crawl.DownloadError](m.err)
	var status int
	switch n, _ := fmt.Sscanf(want.page, "status %d", &status); {
	case n == 1:
		require.EqualValues(t, 1, m.Stats.Int(fmt.Sprint("httperror/response_ignored_status_count/", status)))
	case isKind && failed.Kind == kind:
		require.NotEmpty(t, failed.URL)
		if inflating := strings.Contains(failed.Error(), "inflate ") || strings.Contains(failed.Error(), "content encodings"); inflating {
			require.EqualValues(t, asked, m.Stats.Int("downloader/response_count")-healthyPages, "what came over the wire was good")
		} else {
			attempts := 1
			if passing(kind) {
				attempts = 2
			}
			require.EqualValues(t, attempts, m.Stats.Int("downloader/exception_type_count/"+want.page))
		}
	}
	if passing(kind) {
		require.EqualValues(t, 1, m.Stats.Int("retry/reason_count/"+want.page))
		require.EqualValues(t, 1, m.Stats.Int("retry/max_reached"))
	}
	if want.more != nil {
		want.more(t, m)
	}
}

func seeFile(t *testing.T, p crawltest.Pathology, want sight) {
	m := meet(t, p, true, want.set)
	media := want.media
	switch {
	case media != "":
	case strings.HasPrefix(want.page, "200"):
		media = "stored"
	case strings.HasPrefix(want.page, "status "):
		media = "status"
	case strings.HasPrefix(want.page, "ignored: "):
		media = "filtered"
	default:
		media = want.page
	}
	require.Equal(t, []string{media}, m.outcomes, "error: %v", m.err)
	took := want.mediaTook
	if took == 0 {
		took = want.took
	}
	requireTook(t, took, want.slack, m.took)
	require.Len(t, m.Items, 1, "a failure costs a result, not the item")
	files := filesOf(m.Items[0])
	if media == "stored" {
		require.Len(t, files, 1)
		require.EqualValues(t, 1, m.Stats.Int("file_status_count/downloaded"))
		return
	}
	require.Empty(t, files)
	require.EqualValues(t, 1, m.Stats.Int("file_status_count/failed"))
	require.EqualValues(t, 1, m.Stats.Int("media/failed_kind_count/"+media))
}

func requireTook(t *testing.T, want, slack, took time.Duration) {
	t.Helper()
	require.GreaterOrEqual(t, took, want)
	require.LessOrEqual(t, took, want+slack)
}

// passing reports whether a failure is asked again.
func passing(kind crawl.Kind) bool {
	switch kind {
	case crawl.KindTimeout, crawl.KindDNS, crawl.KindRefused, crawl.KindConnection, crawl.KindTruncated, crawl.KindProxy:
		return true
	}
	return false
}

// TestMiseryAllAtOnce meets all pathologies in one crawl, with a place for each.
func TestMiseryAllAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := crawltest.Misery(http.HandlerFunc(neighbour))
		start := time.Now()
		var mu sync.Mutex
		var neighbourTook time.Duration
		over := make(map[string]int) // by the name of the pathology
		spider := &crawl.Spider{
			Name: "misery",
			Start: func(_ context.Context, out *crawl.Out) error {
				for _, p := range crawltest.Pathologies() {
					out.Request(p.Request(crawl.With(p.Name)))
				}
				for i := range healthyPages {
					out.Request(crawl.Get(fmt.Sprintf("http://healthy.test/%d", i)))
				}
				return nil
			},
			Parse: func(_ context.Context, r *crawl.Response, _ *crawl.Out) error {
				mu.Lock()
				defer mu.Unlock()
				if r.URL.Hostname() == "healthy.test" {
					neighbourTook = max(neighbourTook, time.Since(start))
					return nil
				}
				var name string
				err := r.Data(&name)
				over[name]++
				return err
			},
			Errback: func(_ context.Context, req *crawl.Request, _ error, _ *crawl.Out) error {
				mu.Lock()
				defer mu.Unlock()
				var name string
				err := json.Unmarshal(req.Data, &name)
				over[name]++
				return err
			},
		}
		res := crawltest.Run(t, spider, crawl.Settings{
			ConcurrentRequests: 2 * len(crawltest.Pathologies()),
			Slots:              map[string]crawl.Limits{"healthy.test": {Concurrency: 1}},
			Download:           crawl.DownloadSettings{MaxSize: 8 << 20, SpoolDir: t.TempDir()},
		}, site)
		require.NoError(t, res.Err)
		require.Equal(t, "finished", res.Reason)
		require.Equal(t, healthyPages*time.Second, neighbourTook)
		for _, p := range crawltest.Pathologies() {
			require.Equal(t, 1, over[p.Name], p.Name)
		}
		require.Zero(t, site.OpenConnections())
		// robots.txt of its own accord waits for a minute at most, then the pages are refused; three times 180 s with back-off is the longest that is left.
		require.Less(t, time.Since(start), 11*time.Minute)
	})
}

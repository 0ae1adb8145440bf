package gcs_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store/gcs"
)

// changing is a site with one file, which says by its ETag whether it has changed.
type changing struct {
	mu      sync.Mutex
	version string
	asked   []string // the conditions of its requests
}

func (c *changing) set(version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version = version
}

// take returns what has been asked since the last time.
func (c *changing) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.asked
	c.asked = nil
	return asked
}

func (c *changing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/a.txt" {
		_, _ = w.Write([]byte("<p>a page</p>"))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, r.Header.Get("If-None-Match"))
	w.Header().Set("ETag", c.version)
	if r.Header.Get("If-None-Match") == c.version {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write([]byte("version " + c.version))
}

// G3 E2 E5 E7: files expire by the server's clock, and are asked for under a condition then; what has not changed is renewed, what has is replaced.
func TestExpiry(t *testing.T) {
	t.Parallel()
	set := start(t)
	run := crawl.Settings{
		ItemPipelines: []crawl.Stage{{Order: 100, Pipeline: &pipeline.FilesPipeline{}}}, Robots: crawl.RobotsSettings{Ignore: true}, GCS: set,
		Files: crawl.FilesSettings{Store: "gs://pictures/files"}, Parts: crawl.Parts{Stores: map[string]crawl.OpenStore{"gs": gcs.Open}},
	}
	site := &changing{version: `"1"`}
	answers := crawltest.Handler(site)
	for _, step := range []struct {
		version string
		expires time.Duration
		status  string
		asked   []string
	}{
		{`"1"`, 0, "downloaded", []string{""}},
		{`"2"`, 0, "uptodate", nil},
		{`"1"`, time.Nanosecond, "uptodate", []string{`"1"`}},
		{`"2"`, 24 * time.Hour, "uptodate", nil},
		{`"2"`, time.Nanosecond, "downloaded", []string{`"1"`}},
		{`"2"`, time.Nanosecond, "uptodate", []string{`"2"`}},
		{`"2"`, -1, "downloaded", []string{""}},
	} {
		site.set(step.version)
		run.Files.Expires = step.expires
		res := crawltest.Run(t, &crawl.Spider{
			Name: "shop", StartURLs: []string{"https://shop.example/"},
			Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
				out.Item(map[string]any{"file_urls": []string{"https://shop.example/a.txt"}})
				return nil
			},
		}, run, answers)
		require.Len(t, res.Items, 1)
		files := res.Items[0].(map[string]any)["files"].([]crawl.File)
		require.Len(t, files, 1)
		require.Equal(t, step.status, files[0].Status, "%+v", step)
		require.Equal(t, step.asked, site.take(), "%+v", step)
		want := "version " + step.version
		if step.status == "uptodate" && step.asked == nil {
			want = "version \"1\""
		}
		require.Equal(t, want, string(content(t, openAt(t, set, "gs://pictures/files"), files[0].Path)))
	}
}

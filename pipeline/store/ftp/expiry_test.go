package ftp

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline"
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

// T4 E2 E5 E7: files expire by the server's clock, and are asked for under a condition then; what has not changed is renewed, what has is replaced.
func TestExpiry(t *testing.T) {
	t.Parallel()
	v := start(t) // whose clock is in another time zone
	folder := v.folder(t)
	run := crawl.Settings{
		ItemPipelines: []crawl.Stage{{Order: 100, Pipeline: &pipeline.FilesPipeline{}}}, Robots: crawl.RobotsSettings{Ignore: true}, FTP: settings(),
		Files: crawl.FilesSettings{Store: "ftp://" + v.addr + "/" + strings.ReplaceAll(folder, " ", "%20")},
		Parts: crawl.Parts{Stores: map[string]crawl.OpenStore{"ftp": Open}},
	}
	site := &changing{version: `"1"`}
	var path string
	answers := crawltest.Handler(site)
	for _, step := range []struct {
		version string
		expires time.Duration
		status  string
		asked   []string
		age     time.Duration // that the file on the server is given before
	}{
		{`"1"`, 0, "downloaded", []string{""}, 0},
		{`"2"`, 0, "uptodate", nil, 0},
		{`"1"`, time.Nanosecond, "uptodate", []string{`"1"`}, 0},
		{`"2"`, 24 * time.Hour, "uptodate", nil, 0},
		{`"2"`, time.Nanosecond, "downloaded", []string{`"1"`}, 0},
		{`"2"`, time.Nanosecond, "uptodate", []string{`"2"`}, 0},
		{`"2"`, -1, "downloaded", []string{""}, 0},
		{`"2"`, 0, "uptodate", nil, 89 * 24 * time.Hour},
		{`"2"`, 0, "downloaded", []string{""}, 91 * 24 * time.Hour},
	} {
		site.set(step.version)
		run.Files.Expires = step.expires
		if step.age > 0 {
			aged := time.Now().Add(-step.age)
			require.NoError(t, os.Chtimes(path, aged, aged))
		}
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
		path = filepath.Join(v.root, folder, filepath.FromSlash(files[0].Path))
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		if step.asked != nil {
			require.Equal(t, "version "+step.version, string(b))
		}
	}
}

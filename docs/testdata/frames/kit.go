// Package page is a page of the documentation: its Go code, and the frame that runs it. The test of the documentation makes it of line*.go, what stands on the
// page, of PAGE.go, its frame, and of this file, which all of them share. It cannot be compiled where it lies.
package page

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
)

// bookshop is a few pages in the shape of books.toscrape.com: two of the list, and three books.
func bookshop() crawltest.Site {
	return crawltest.Folder(filepath.Join(os.Getenv("CHECKOUT"), "testdata", "books"))
}

// site is one of the pages by their paths, at every host.
func site(pages map[string]string) crawltest.Site {
	return crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.RequestURI()]
		if !ok {
			http.NotFound(w, r)
			return
		}
		switch {
		case strings.HasPrefix(page, "{"):
			w.Header().Set("Content-Type", "application/json")
		case strings.HasPrefix(page, "<urlset"):
			w.Header().Set("Content-Type", "application/xml")
		case strings.HasPrefix(page, "<"):
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
		}
		_, _ = io.WriteString(w, page)
	}))
}

// finished is the result of a crawl in which nothing went wrong.
func finished(t *testing.T, spider *crawl.Spider, settings crawl.Settings, s crawltest.Site) *crawltest.Result {
	t.Helper()
	res := crawltest.Run(t, spider, settings, s)
	require.NoError(t, res.Err)
	require.Equal(t, "finished", res.Reason)
	require.Zero(t, res.Stats.Int("log_count/ERROR"), "%v", res.Log.All())
	return res
}

// works is what a callback made of a page, without an error.
func works(t *testing.T, cb crawl.Callback, url, page string) *crawltest.Called {
	t.Helper()
	called := crawltest.Call(t, cb, url, []byte(page))
	require.NoError(t, called.Err)
	return called
}

// quiet is a crawl over the machine's own network, outside of the harness.
func quiet(ctx context.Context, spider *crawl.Spider, settings crawl.Settings) (engine.Result, error) {
	settings.Log.Level = "error"
	return engine.Run(ctx, spider, settings)
}

// printed is what a function writes to standard output.
func printed(t *testing.T, f func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	stdout := os.Stdout
	os.Stdout = w
	defer func() { os.Stdout = stdout }()
	f()
	require.NoError(t, w.Close())
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(text)
}

// addresses are the URLs of requests, each behind its route.
func addresses(requests []*crawl.Request) []string {
	var all []string
	for _, r := range requests {
		all = append(all, r.Route+" "+r.URL.String())
	}
	return all
}

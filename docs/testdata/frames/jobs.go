package page

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestAsJob(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			asked.Add(1)
		}
		_, _ = io.WriteString(w, "<p>")
	}))
	defer server.Close()
	spider := &crawl.Spider{Name: "books", StartURLs: []string{server.URL}, Parse: func(context.Context, *crawl.Response, *crawl.Out) error { return nil }}
	for range 2 { // the second one has nothing left to do
		_, settings, err := asJob(t.Context(), spider, crawl.Settings{Log: crawl.LogSettings{Level: "error"}})
		require.NoError(t, err)
		require.NotNil(t, settings.Parts.InspectJob)
		require.DirExists(t, "job")
		require.EqualValues(t, 1, asked.Load())
	}
}

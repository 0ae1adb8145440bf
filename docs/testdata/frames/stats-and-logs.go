package page

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestCounted(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	spider := &crawl.Spider{Name: "books", StartURLs: []string{server.URL, server.URL + "/gone"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
		out.Item(map[string]any{"title": "A"})
		return nil
	}}
	require.Equal(t, "finished 1 2\n", printed(t, func() {
		_, _, err := counted(t.Context(), spider, crawl.Settings{Log: crawl.LogSettings{Level: "error"}})
		require.NoError(t, err)
	}), "robots.txt is not found either")
}

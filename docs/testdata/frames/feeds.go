package page

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestParquet(t *testing.T) {
	spider := &crawl.Spider{Name: "books", StartURLs: []string{"http://example.com/"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
		out.Item(map[string]any{"title": "Soumission"})
		return nil
	}}
	name := filepath.Join(t.TempDir(), "books.parquet")
	_, settings, err := linksParquet(t.Context(), spider, crawl.Settings{Feeds: []crawl.Feed{{URI: name}}})
	require.NoError(t, err)
	finished(t, spider, settings, site(map[string]string{"/": "<p>"}))
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Greater(t, len(b), 8)
	require.Equal(t, "PAR1 PAR1", string(b[:4])+" "+string(b[len(b)-4:]))
}

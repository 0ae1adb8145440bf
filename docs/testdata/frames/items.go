package page

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/tulle-go/tulle/crawl"
)

type Book struct {
	URL   string   `json:"url"`
	Title string   `json:"title"`
	Price float64  `json:"price"`
	Tags  []string `json:"tags"`
}

// finding is a spider that finds these items.
func finding(found ...any) *crawl.Spider {
	return &crawl.Spider{Name: "books", StartURLs: []string{"http://example.com/"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
		for _, item := range found {
			out.Item(item)
		}
		return nil
	}}
}

var nothing = site(map[string]string{"/": "<p>"})

func TestStages(t *testing.T) {
	settings := crawl.Settings{ItemPipelines: stages()}
	settings.Images.Store = t.TempDir()
	other := map[string]any{"title": " passes "}
	res := finished(t, finding(&Book{Title: " Soumission ", Price: 50.1}, &Book{Title: "Priceless"}, other), settings, nothing)
	require.ElementsMatch(t, []any{&Book{Title: "Soumission", Price: 50.1}, other}, res.Items)
	require.EqualValues(t, 1, res.Stats.Int("item_dropped_count"))
	require.Equal(t, "no price", res.Log.FilterMessage("item dropped").All()[0].ContextMap()["why"])
}

func TestUnique(t *testing.T) {
	unique := Unique{Field: func(b *Book) string { return b.Title }}
	settings := crawl.Settings{ItemPipelines: []crawl.Stage{{Order: 100, Pipeline: unique}}}
	other := map[string]any{"title": "A"}
	res := finished(t, finding(&Book{Title: "A"}, &Book{Title: "A"}, &Book{Title: "B"}, other), settings, nothing)
	require.ElementsMatch(t, []any{&Book{Title: "A"}, &Book{Title: "B"}, other}, res.Items)
	_, err := unique.Process(t.Context(), &Book{})
	require.ErrorContains(t, err, "not open")
}

func TestDatabase(t *testing.T) {
	spider := finding(&Book{URL: "http://example.com/1", Title: "A"}, &Book{URL: "http://example.com/2", Title: "B"})
	spider.Items = []any{Book{}}
	_, settings, err := database(t.Context(), spider, crawl.Settings{})
	require.NoError(t, err)
	for range 2 { // with a Key an item that comes again takes its own place
		finished(t, spider, settings, nothing)
	}
	db, err := sql.Open("sqlite", "books.db")
	require.NoError(t, err)
	defer db.Close()
	var rows int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM books").Scan(&rows))
	require.Equal(t, 2, rows)
}

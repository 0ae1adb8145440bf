package sink_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/pipeline/sink"
)

// A crawl that is run again and again, and a table that has each book once, as it was seen last.
func ExampleTable() {
	type Book struct {
		URL   string   `json:"url"`
		Title string   `json:"title"`
		Tags  []string `json:"tags"`
	}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `<h1>The book at %s</h1><a class="tag">novel</a><a class="tag">old</a><a class="next" href="/emma">next</a>`, r.URL.Path)
	}))
	defer site.Close()
	books := &crawl.Spider{
		Name:      "books",
		StartURLs: []string{site.URL + "/persuasion"},
		Items:     []any{Book{}},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			out.Item(&Book{URL: r.URL.Path, Title: r.Text("h1"), Tags: r.Texts("a.tag")})
			out.FollowAll("a.next", "")
			return nil
		},
	}
	dir, err := os.MkdirTemp("", "tulle-example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	database := filepath.Join(dir, "books.db")
	settings := crawl.Settings{
		ItemPipelines: []crawl.Stage{{Order: 900, Pipeline: sink.Table{
			Driver: "sqlite", DSN: database, Key: []string{"url"}, Create: true,
		}}},
		Log: crawl.LogSettings{Level: "error"},
	}
	for range 2 {
		if _, err := engine.Run(context.Background(), books, settings); err != nil {
			panic(err)
		}
	}

	db, err := sql.Open("sqlite", database)
	if err != nil {
		panic(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT url, title, tags FROM books ORDER BY url")
	if err != nil {
		panic(err)
	}
	defer rows.Close()
	for rows.Next() {
		var url, title, tags string
		if err := rows.Scan(&url, &title, &tags); err != nil {
			panic(err)
		}
		fmt.Println(url, title, tags)
	}
	// Output:
	// /emma The book at /emma ["novel","old"]
	// /persuasion The book at /persuasion ["novel","old"]
}

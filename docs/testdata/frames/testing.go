package page

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

type Book struct {
	Title string `json:"title" css:"h1"`
	Price string `json:"price" css:"p.price_color"`
}

func parseBook(_ context.Context, r *crawl.Response, out *crawl.Out) error {
	book, err := crawl.Extract[Book](r)
	out.Item(&book)
	return err
}

func books(map[string]string) (*crawl.Spider, error) {
	spider := &crawl.Spider{
		Name: "books", StartURLs: []string{"https://books.toscrape.com/"}, Routes: map[string]crawl.Callback{"book": parseBook},
		Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
			out.FollowAll("article.product_pod h3 a", "book")
			out.FollowAll("li.next a", "")
			return nil
		},
	}
	spider, _, err := checks(context.Background(), spider, crawl.Settings{})
	return spider, err
}

// Prepare saves the pages that the tests on the page look at.
func Prepare(t *testing.T) {
	t.Helper()
	require.NoError(t, os.CopyFS("testdata", os.DirFS(filepath.Join(os.Getenv("CHECKOUT"), "testdata", "books"))))
	book, err := os.ReadFile(filepath.Join("testdata", "catalogue", "soumission_998", "index.html"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join("testdata", "book.html"), book, 0o644))
	list := ""
	for i := range 20 {
		list += `<article class="product_pod"><h3><a href="/catalogue/` + strconv.Itoa(i) + `">A book</a></h3></article>`
	}
	require.NoError(t, os.WriteFile(filepath.Join("testdata", "list.html"), []byte(list), 0o644))
}

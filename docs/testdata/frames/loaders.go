package page

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
)

type Book struct {
	URL   string   `json:"url"`
	Title string   `json:"title"`
	Price float64  `json:"price"`
	Tags  []string `json:"tags"`
}

func TestLoaded(t *testing.T) {
	called := works(t, parseLoaded, "https://example.com/b/1?from=list", `<h1> Soumission </h1><p class="price">£50.10</p><p class="sale">£9.90</p>
		<ul class="tags"><li> Fiction</li><li>fiction</li><li>Old</li></ul>`)
	require.Equal(t, []any{&Book{URL: "https://example.com/b/1?from=list", Title: "Soumission", Price: 9.9, Tags: []string{"fiction", "old"}}}, called.Items)
}

func TestVerified(t *testing.T) {
	spider, _, err := verified(t.Context(), &crawl.Spider{Name: "books", StartURLs: []string{"https://example.com/"}, Parse: parseLoaded}, crawl.Settings{})
	require.NoError(t, err)
	require.NoError(t, spider.Verify(spider))
	_, err = engine.New(spider, crawl.Settings{})
	require.NoError(t, err)
	require.NoError(t, bookFields.Check(Book{}))
}

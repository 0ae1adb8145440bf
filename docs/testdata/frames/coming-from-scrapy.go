package page

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestBooks(t *testing.T) {
	spider, err := Books(nil)
	require.NoError(t, err)
	require.ElementsMatch(t, []any{
		map[string]any{"title": "A Light in the Attic", "price": "£51.77"},
		map[string]any{"title": "Tipping the Velvet", "price": "£53.74"},
		map[string]any{"title": "Soumission", "price": "£50.10"},
	}, finished(t, spider, crawl.Settings{}, bookshop()).Items)
}

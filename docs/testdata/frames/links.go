package page

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestNews(t *testing.T) {
	spider, err := News(nil)
	require.NoError(t, err)
	res := finished(t, spider, crawl.Settings{}, site(map[string]string{
		"/":               `<a href="/2026/01/lamps">Lamps</a><a href="/imprint">Imprint</a><nav><a href="/login">Log in</a><a href="/old">Older</a></nav>`,
		"/old":            `<ul class="pages"><li><a href="/older">2</a></ul><a href="/2025/12/tables">Tables</a>`,
		"/older":          `<p>`,
		"/2026/01/lamps":  `<h1>Lamps are brighter</h1>`,
		"/2025/12/tables": `<h1>Tables are longer</h1>`,
		"/login":          `<p>`,
		"/imprint":        `<p>`,
	}))
	require.ElementsMatch(t, []any{
		map[string]any{"title": "Lamps are brighter", "link": "Lamps"}, map[string]any{"title": "Tables are longer", "link": "Tables"},
	}, res.Items)
	require.ElementsMatch(t, []string{
		"https://example.com/", "https://example.com/2026/01/lamps", "https://example.com/old", "https://example.com/older", "https://example.com/2025/12/tables",
	}, res.Asked)
}

func TestDownloads(t *testing.T) {
	called := works(t, downloads, "https://example.com/", `<div id="downloads"><a href="list.pdf">The list</a></div><a href="/about">About</a>`)
	require.Equal(t, []string{"file https://example.com/list.pdf"}, addresses(called.Requests))
	require.JSONEq(t, `"The list"`, string(called.Requests[0].Data))
}

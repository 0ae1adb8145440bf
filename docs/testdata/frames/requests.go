package page

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
)

func TestMaking(t *testing.T) {
	called := works(t, making, "https://example.com/", "")
	require.Equal(t, []string{"results https://example.com/search?q=lamp", " https://example.com/api", " https://example.com/search"}, addresses(called.Requests))
	first, api, search := called.Requests[0], called.Requests[1], called.Requests[2]
	require.Equal(t, "XMLHttpRequest", first.Header.Get("X-Requested-With"))
	require.Equal(t, 10, first.Priority)
	require.True(t, first.DontFilter)
	require.Equal(t, "POST application/json", api.Method+" "+api.Header.Get("Content-Type"))
	require.JSONEq(t, `{"page": 2}`, string(api.Body))
	require.Equal(t, "POST q=lamp", search.Method+" "+string(search.Body))
}

func TestKnobs(t *testing.T) {
	called := works(t, knobs, "https://example.com/a/", "")
	require.Equal(t, []string{"export https://example.com/export.csv"}, addresses(called.Requests))
	require.Equal(t, &crawl.Knobs{Timeout: 10 * time.Minute, MaxSize: 2 << 30, DontRetry: true}, called.Requests[0].Knobs)
}

func TestTells(t *testing.T) {
	spider := &crawl.Spider{Name: "pages", StartURLs: []string{"https://example.com/"}, Parse: tells}
	res := finished(t, spider, crawl.Settings{}, site(map[string]string{"/": "<h1>Größe</h1>"}))
	require.Equal(t, []any{map[string]any{
		"url": "https://example.com/", "asked": "https://example.com/", "status": 200, "type": "text/html; charset=utf-8", "kind": crawl.BodyHTML, "cached": false, "size": int64(16),
	}}, res.Items)
	require.NoError(t, crawltest.Call(t, tells, "https://example.com/", []byte("<h1>")).Err)
}

package page

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/engine/crawltest"
)

func TestSingle(t *testing.T) {
	called := works(t, single, "https://example.com/list/", `<h1> Lamps </h1><a class="tag" href="/t">old</a><a class="tag" href="/t">blue</a><a class="next" href="2">next</a>
		<nav><a href="/a">A</a><a href="b">B</a></nav><small itemprop="author">Ines</small><p>17 results</p>
		<script id="state" type="application/json">{"product": {"id": "l-46"}}</script>`)
	require.Equal(t, []any{map[string]any{
		"title": "Lamps", "tags": []string{"old", "blue"}, "next": "2", "links": []string{"https://example.com/a", "https://example.com/list/b"}, "author": "Ines", "n": "17", "id": "l-46",
	}}, called.Items)
}

func TestRows(t *testing.T) {
	called := works(t, rows, "https://example.com/", `<table class="offers"><tr><th>A</th><td>new</td><td>1.50</td></tr><tr><th>B</th><td>old</td><td>1.20</td></tr></table>`)
	require.Equal(t, []any{map[string]any{"name": "A", "price": "1.50"}, map[string]any{"name": "B", "price": "1.20"}}, called.Items)
}

func TestProduct(t *testing.T) {
	page := `<link rel="canonical" href="/p/1"><h1>A lamp</h1><p class="price">€1,213.00</p><p class="stock many">30 left</p><time datetime="2026-05-01">May</time>
		<table class="specs"><tr><th>Height</th><td>30 cm</td></tr></table><div id="gallery"><img src="/1.jpg"></div>
		<div class="review" data-stars="4"><p class="author">Ines</p></div>`
	called := works(t, parseProduct, "https://example.com/p/1?from=list", page)
	require.Equal(t, []any{&Product{
		URL: "https://example.com/p/1", Title: "A lamp", Price: 1213, Left: 30, InStock: true, Added: time.Date(2026, time.May, 1, 0, 0, 0, 0, time.UTC),
		Specs: map[string]string{"Height": "30 cm"}, Images: []string{"https://example.com/1.jpg"}, Reviews: []Review{{Author: "Ines", Stars: 4}},
	}}, called.Items)
	// What the page says of a required field that is missing.
	called = crawltest.Call(t, parseProduct, "https://example.com/p/1", []byte(`<link rel="canonical" href="/p/1">`))
	require.ErrorContains(t, called.Err, "Title")
}

func TestFromJSON(t *testing.T) {
	called := works(t, fromJSON, "https://example.com/api?page=1", `{"items": [{"name": "A", "price": 1.5}, {"name": "B", "price": 2}], "next": "/api?page=2"}`)
	require.Equal(t, []any{map[string]any{"name": "A", "price": 1.5}, map[string]any{"name": "B", "price": 2.0}}, called.Items)
	require.Equal(t, []string{" https://example.com/api?page=2"}, addresses(called.Requests))

	// A page that is HTML: the error says so.
	called = crawltest.Call(t, fromJSON, "https://example.com/", []byte("<!DOCTYPE html><h1>Log in</h1>"))
	require.Empty(t, called.Items)
	require.ErrorContains(t, called.Err, "HTML")
}

func TestStructured(t *testing.T) {
	called := works(t, structured, "https://example.com/", `<script type="application/ld+json">{"@type": "Product", "name": "A"}</script>`)
	require.Equal(t, []any{map[string]any{"name": "A"}}, called.Items)
}

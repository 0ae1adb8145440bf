package pipeline

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

type embedded struct {
	Links []string `json:"image_urls"`
}

type Results struct {
	Images []crawl.File `json:"images"`
}

type stringly string

// V17 L27
func TestFieldsOfAllKindsOfItems(t *testing.T) {
	t.Parallel()
	type tagged struct {
		A []string     `json:"image_urls,omitempty"`
		B []crawl.File `json:"images"`
	}
	type named struct {
		ImageURLs []string
		Images    []crawl.File
	}
	type hidden struct {
		ImageURLs []string     `json:"-"`
		Images    []crawl.File `json:"images"`
	}
	type single struct {
		ImageURL string `json:"image_urls"`
		Images   any    `json:"images"`
	}
	type loose struct {
		ImageURLs any   `json:"image_urls"`
		Images    []any `json:"images"`
	}
	type typed struct {
		ImageURLs [2]stringly
		Images    []*crawl.File
	}
	type nested struct {
		embedded
		*Results
	}
	type shadowed struct {
		embedded
		Images    []crawl.File `json:"images"`
		ImageURLs []string     `json:"image_urls"`
	}
	list := []crawl.File{{URL: "u", Path: "p"}, {Path: "q"}}
	tests := map[string]struct {
		item any
		urls []string
		want any
	}{
		"json tags":        {&tagged{A: []string{"a", "b"}}, []string{"a", "b"}, &tagged{A: []string{"a", "b"}, B: list}},
		"Go names":         {&named{ImageURLs: []string{"a"}}, []string{"a"}, &named{ImageURLs: []string{"a"}, Images: list}},
		"not in the feed":  {&hidden{ImageURLs: []string{"a"}}, []string{"a"}, &hidden{ImageURLs: []string{"a"}, Images: list}},
		"one string":       {&single{ImageURL: "a"}, []string{"a"}, &single{ImageURL: "a", Images: list}},
		"an empty string":  {&single{}, nil, &single{Images: list}},
		"a list of any":    {&loose{ImageURLs: []any{"a", stringly("b")}}, []string{"a", "b"}, &loose{ImageURLs: []any{"a", stringly("b")}, Images: []any{list[0], list[1]}}},
		"an unset any":     {&loose{}, nil, &loose{Images: []any{list[0], list[1]}}},
		"types of its own": {&typed{ImageURLs: [2]stringly{"a", "b"}}, []string{"a", "b"}, &typed{ImageURLs: [2]stringly{"a", "b"}, Images: []*crawl.File{&list[0], &list[1]}}},
		"embedded":         {&nested{embedded: embedded{Links: []string{"a"}}}, []string{"a"}, &nested{embedded: embedded{Links: []string{"a"}}, Results: &Results{Images: list}}},
		"the outer one":    {&shadowed{embedded: embedded{Links: []string{"inner"}}, ImageURLs: []string{"outer"}}, []string{"outer"}, &shadowed{embedded: embedded{Links: []string{"inner"}}, ImageURLs: []string{"outer"}, Images: list}},
		"map":              {map[string]any{"image_urls": []string{"a"}}, []string{"a"}, map[string]any{"image_urls": []string{"a"}, "images": list}},
		"map of any":       {map[string]any{"image_urls": []any{"a"}}, []string{"a"}, map[string]any{"image_urls": []any{"a"}, "images": list}},
		"map with one":     {map[string]any{"image_urls": "a"}, []string{"a"}, map[string]any{"image_urls": "a", "images": list}},
		"map without":      {map[string]any{}, nil, map[string]any{"images": list}},
		"map type":         {anyMap{"image_urls": "a"}, []string{"a"}, anyMap{"image_urls": "a", "images": list}},
		"neither":          {new(int), nil, new(int)},
		"nil":              {(*tagged)(nil), nil, (*tagged)(nil)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fields{urls: "image_urls", result: "images", log: zap.NewNop()}
			for range 2 { // found, and then known
				urls, err := f.read(test.item)
				require.NoError(t, err)
				require.Equal(t, test.urls, urls)
				require.NoError(t, f.check(test.item))
			}
			require.NoError(t, f.write(test.item, list, false))
			require.Equal(t, test.want, test.item)
		})
	}
}

type anyMap map[stringly]any

// Fields with the names of other types and pipelines do not get in each other's way.
func TestResultsOfATypeOfOnesOwn(t *testing.T) {
	t.Parallel()
	type file crawl.File
	item := &struct {
		FileURLs []string
		Files    []file
	}{FileURLs: []string{"a"}}
	f := &fields{urls: "FileURLs", result: "Files", log: zap.NewNop()}
	require.NoError(t, f.write(item, []crawl.File{{Path: "p"}}, false))
	require.Equal(t, []file{{Path: "p"}}, item.Files)
	require.NoError(t, f.write(item, []crawl.File{}, false))
	require.NotNil(t, item.Files)
	require.Empty(t, item.Files)
}

// L27
func TestFieldsOfTheWrongType(t *testing.T) {
	t.Parallel()
	type number struct {
		ImageURLs int `json:"image_urls"`
		Images    []crawl.File
	}
	type bytes struct {
		ImageURLs []byte `json:"image_urls"`
		Images    []crawl.File
	}
	type result struct {
		ImageURLs []string `json:"image_urls"`
		Images    []string `json:"images"`
	}
	const want = ": want []string, []any of strings, or string"
	tests := map[string]struct {
		item any
		err  string
	}{
		"number":    {&number{}, "field image_urls of *pipeline.number is int" + want},
		"bytes":     {&bytes{}, "field image_urls of *pipeline.bytes is []uint8" + want},
		"map":       {map[string]any{"image_urls": map[string]string{}}, "field image_urls of map[string]interface {} is map[string]string" + want},
		"null":      {map[string]any{"image_urls": nil}, "field image_urls of map[string]interface {} is nil" + want},
		"mixed":     {map[string]any{"image_urls": []any{"a", 1}}, "field image_urls of map[string]interface {} is int at index 1" + want},
		"with null": {map[string]any{"image_urls": []any{nil}}, "field image_urls of map[string]interface {} is nil at index 0" + want},
		"pointer":   {map[string]any{"image_urls": new(string)}, "field image_urls of map[string]interface {} is *string" + want},
		"results":   {&result{}, "field images of *pipeline.result is []string: want []crawl.File"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, crawl.Settings{}, nil)
			p, _ := drawing()
			_, err := b.process(b.open(p), test.item)
			require.EqualError(t, err, "pipeline.ImagesPipeline: "+test.err)
		})
	}
	b := newBench(t, crawl.Settings{}, nil)
	p, _ := drawing()
	p.ItemCompleted = func(_ context.Context, _ []Result, item any) (any, error) { return item, nil }
	b.must(b.open(p), &result{}) // somebody takes care of it
}

// L28
func TestItemsWithoutURLs(t *testing.T) {
	t.Parallel()
	type author struct {
		Name   string
		Images []string // has nothing to do with pictures
	}
	b := newBench(t, crawl.Settings{}, nil)
	p, _ := drawing()
	c := b.open(p)
	require.Equal(t, map[string]any{"title": "x", "images": []crawl.File{}}, b.must(c, map[string]any{"title": "x"}))
	require.Equal(t, map[string]any{"image_urls": []string(nil), "images": []crawl.File{}}, b.must(c, map[string]any{"image_urls": []string(nil)}))
	require.Equal(t, map[string]any{"images": "its own"}, b.must(c, map[string]any{"images": "its own"}))
	require.Equal(t, &author{Name: "x"}, b.must(c, &author{Name: "x"}))
	require.Empty(t, b.warnings())
}

// V16
func TestTypeWithoutAResultField(t *testing.T) {
	t.Parallel()
	type noResults struct {
		ImageURLs []string `json:"image_urls"`
	}
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x.jpg": serve("image/jpeg", jpegOf(t, 8, 8))})
	p, s := drawing()
	c := b.open(p)
	for range 3 {
		b.must(c, &noResults{ImageURLs: urls("/x.jpg")})
	}
	require.Len(t, s.Names(), 1)
	require.Len(t, b.warnings(), 1)
	require.Equal(t, "items have no field for the results of their media, which are lost", b.warnings()[0].Message)
	require.Equal(t, map[string]any{"type": "pipeline.noResults", "urls_field": "image_urls", "missing_field": "images"}, fieldsOf(b.warnings()[0]))
}

func TestEmbeddedPointerThatCannotBeMade(t *testing.T) {
	t.Parallel()
	type inner struct {
		ImageURLs []string
		Images    []crawl.File
	}
	type outer struct{ *inner }
	f := &fields{urls: "image_urls", result: "images", log: zap.NewNop()}
	urls, err := f.read(&outer{})
	require.NoError(t, err)
	require.Empty(t, urls)
	require.EqualError(t, f.write(&outer{}, []crawl.File{}, false),
		"field images of *pipeline.outer: embedded *pipeline.inner is nil, and not exported")
	require.NoError(t, f.write(&outer{inner: &inner{}}, []crawl.File{{Path: "p"}}, false))
}

// S1 S4
func TestFieldNamesBySetting(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{Files: crawl.FilesSettings{URLsField: "links", ResultField: "docs"}}, map[string]http.HandlerFunc{"/x": text("x"), "/y": text("y")})
	shared, _ := keeping()
	own, _ := keeping()
	own.Settings.URLsField = "more"
	item := map[string]any{"links": urls("/x")[0], "more": urls("/y")}
	b.must(b.open(shared), item)
	require.Equal(t, site+"/x", item["docs"].([]crawl.File)[0].URL)
	b.must(b.open(own), item)
	require.Equal(t, site+"/y", item["docs"].([]crawl.File)[0].URL)
}

package feed

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

type review struct {
	Stars int `json:"stars"`
}

// TestTypes has each feed get its own items.
func TestTypes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := func(s string) string { return filepath.Join(dir, s) }
	env, _ := environment(t)
	s := start(t, env,
		crawl.Feed{URI: name("products.csv"), Types: []string{"product"}, Fields: []string{"name"}},
		crawl.Feed{URI: name("reviews.jsonl"), Types: []string{"*feed.review"}},
		crawl.Feed{URI: name("maps.jsonl"), Types: []string{"map"}},
		crawl.Feed{URI: name("path.jsonl"), Types: []string{"github.com/tulle-go/tulle/pipeline/feed.review", "map"}},
		crawl.Feed{URI: name("good.jsonl"), Types: []string{"review"}, Filter: func(item any) bool { return item.(review).Stars > 3 }},
		crawl.Feed{URI: name("all.jsonl")},
	)
	write(t, s, chair, review{2}, map[string]any{"a": 1}, review{5})
	require.NoError(t, s.Close())
	for file, want := range map[string]string{
		"products.csv":  "name\n\"Stuhl\nzwei\"\n",
		"reviews.jsonl": `{"stars":2}` + "\n" + `{"stars":5}` + "\n",
		"maps.jsonl":    `{"a":1}` + "\n",
		"path.jsonl":    `{"stars":2}` + "\n" + `{"a":1}` + "\n" + `{"stars":5}` + "\n",
		"good.jsonl":    `{"stars":5}` + "\n",
		"all.jsonl":     chairJSON + "\n" + `{"stars":2}` + "\n" + `{"a":1}` + "\n" + `{"stars":5}` + "\n",
	} {
		require.Equal(t, want, read(t, name(file)), file)
	}
}

func TestFieldsAndNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file        string
		conf        crawl.Feed
		want, error string
	}{
		{file: "f.jsonl", conf: crawl.Feed{Fields: []string{"price=Preis €", "name"}}, want: `{"Preis €":0.5,"name":"Stuhl\nzwei"}` + "\n"},
		{file: "f.jsonl", conf: crawl.Feed{Rename: map[string]string{"price": "cost", "nothing": "x"}},
			want: `{"seen":"today","name":"Stuhl\nzwei","cost":0.5,"stock":3,"tags":null,"Plain":true}` + "\n"},
		{file: "f.csv", conf: crawl.Feed{Fields: []string{"stock=n", "price=p"}}, want: "n,p\n3,0.5\n"},
		{file: "f.json", conf: crawl.Feed{Fields: []string{"stock", "price"}, Rename: map[string]string{"stock": "price", "price": "stock"}}, want: "[\n{\"price\":3,\"stock\":0.5}\n]\n"},
		{file: "f.json", conf: crawl.Feed{Fields: []string{"stock", "tags"}, Indent: 2}, want: "[\n  {\n    \"stock\": 3,\n    \"tags\": null\n  }\n]\n"},
		{file: "f.jsonl", conf: crawl.Feed{Fields: []string{"=", "a=", "price"}}, want: `{"price":0.5}` + "\n"},
		{file: "f.jsonl", conf: crawl.Feed{Fields: []string{"a", "b", "a"}}, error: `the field "a" is named twice`},
		{file: "f.jsonl", conf: crawl.Feed{Fields: []string{"a", "b=a"}}, error: `the fields "a" and "b" would both be called "a"`},
		{file: "f.jsonl", conf: crawl.Feed{Rename: map[string]string{"a": "c", "b": "c"}}, error: `the fields "a" and "b" would both be called "c"`},
		{file: "f.jsonl", conf: crawl.Feed{Rename: map[string]string{"a": ""}}, error: `the field "a" is renamed to nothing`},
	} {
		c.conf.URI = filepath.Join(t.TempDir(), c.file)
		if c.error != "" {
			env, _ := environment(t)
			_, err := Open(t.Context(), env, []crawl.Feed{c.conf})
			require.EqualError(t, err, "feed "+c.conf.URI+": "+c.error)
			continue
		}
		require.Equal(t, c.want, run(t, c.conf, chair))
	}
}

// TestAllFeeds is FeedExport: what a feed says itself comes first.
func TestAllFeeds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env, _ := environment(t)
	env.Settings.FeedExport = crawl.FeedExportSettings{Fields: []string{"price", "stock=n"}, Indent: 1, SkipEmpty: true}
	s := start(t, env, crawl.Feed{URI: filepath.Join(dir, "a.json")}, crawl.Feed{URI: filepath.Join(dir, "b.json"), Fields: []string{"name"}, Indent: -1},
		crawl.Feed{URI: filepath.Join(dir, "c.json"), Types: []string{"review"}})
	write(t, s, chair)
	require.NoError(t, s.Close())
	require.Equal(t, "[\n {\n  \"price\": 0.5,\n  \"n\": 3\n }\n]\n", read(t, filepath.Join(dir, "a.json")))
	require.Equal(t, "[\n{\"name\":\"Stuhl\\nzwei\"}\n]\n", read(t, filepath.Join(dir, "b.json")))
	require.NoFileExists(t, filepath.Join(dir, "c.json"))

	env.Settings.FeedExport = crawl.FeedExportSettings{BatchItems: 2}
	_, err := Open(t.Context(), env, []crawl.Feed{{URI: filepath.Join(dir, "d.json")}})
	require.ErrorContains(t, err, "needs a name for each")
	_, err = Open(t.Context(), env, []crawl.Feed{{URI: filepath.Join(dir, "d.json"), BatchItems: -1}})
	require.NoError(t, err)
}

// TestExamples are the spider's Items.
func TestExamples(t *testing.T) {
	t.Parallel()
	env, _ := environment(t)
	env.Spider = &crawl.Spider{Name: "shop", Items: []any{&product{}, review{}}}
	var got []any
	env.Settings.Parts.Formats = map[string]crawl.FeedFormat{"own": func(f crawl.Feed) (crawl.FeedEncoder, error) {
		got = f.Items
		return &jsonLines{}, nil
	}}
	env.Settings.Stdout = new(bytes.Buffer)
	for _, c := range []struct {
		conf  crawl.Feed
		want  []any
		error string
	}{
		{crawl.Feed{}, []any{&product{}, review{}}, ""},
		{crawl.Feed{Types: []string{"review"}}, []any{review{}}, ""},
		{crawl.Feed{Items: []any{lamp}}, []any{lamp}, ""},
		{crawl.Feed{Types: []string{"Review"}}, nil, `feed -: the type "Review" is none of the spider's items; there are product, review`},
	} {
		c.conf.URI, c.conf.Format = "-", "own"
		s, err := Open(t.Context(), env, []crawl.Feed{c.conf})
		if c.error != "" {
			require.EqualError(t, err, c.error)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.want, got)
		require.NoError(t, s.Undo())
	}
}

// TestRenamedOverAnother would give two fields one name. It is found before the crawl if the items' types are known, and else the item fails: no value is lost.
func TestRenamedOverAnother(t *testing.T) {
	t.Parallel()
	type priced struct {
		Price int    `json:"price"`
		Title string `json:"title,omitempty"`
	}
	const want = `the fields "title" and "price" would both be called "title"`
	for _, file := range []string{"f.csv", "f.jsonl", "f.json", "f.xml"} {
		conf := crawl.Feed{URI: filepath.Join(t.TempDir(), file), Rename: map[string]string{"price": "title"}}
		env, _ := environment(t)
		s := start(t, env, conf)
		_, err := s.Process(t.Context(), map[string]any{"price": 1, "title": "x"})
		require.EqualError(t, err, "feed "+conf.URI+": item of type map[string]interface {}: "+want)
		write(t, s, map[string]any{"price": 1})
		require.NoError(t, s.Close())
		require.Equal(t, run(t, crawl.Feed{URI: filepath.Join(t.TempDir(), file)}, map[string]any{"title": 1}), read(t, conf.URI))

		s = start(t, env, crawl.Feed{URI: filepath.Join(t.TempDir(), file), Rename: conf.Rename})
		for range 2 { // of a struct all are alike, also those that leave a field out
			_, err = s.Process(t.Context(), &priced{Price: 1})
			require.ErrorContains(t, err, "item of type *feed.priced: "+want)
		}
		require.NoError(t, s.Close())

		env, _ = environment(t)
		env.Spider.Items = []any{review{}, &priced{}}
		_, err = Open(t.Context(), env, []crawl.Feed{conf})
		require.EqualError(t, err, "feed "+conf.URI+": items of type *feed.priced: "+want)
		conf.Rename, conf.Overwrite = map[string]string{"price": "title", "title": "price"}, true
		s = start(t, env, conf)
		write(t, s, &priced{Price: 1, Title: "x"})
		require.NoError(t, s.Close())
		conf.Rename, conf.Types = map[string]string{"price": "title"}, []string{"review"}
		require.NoError(t, start(t, env, conf).Close(), "the feed gets none of them")
	}
}

// TestOneFeedPanics has a filter, a format or an item panic. Other feeds get the item.
func TestOneFeedPanics(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env, _ := environment(t)
	env.Settings.Parts.Formats = map[string]crawl.FeedFormat{"own": func(crawl.Feed) (crawl.FeedEncoder, error) { return &panics{}, nil }}
	s := start(t, env,
		crawl.Feed{URI: filepath.Join(dir, "a.jsonl"), Filter: func(item any) bool { return item.(map[string]any) != nil }},
		crawl.Feed{URI: filepath.Join(dir, "b.own")}, crawl.Feed{URI: filepath.Join(dir, "c.jsonl")}, crawl.Feed{URI: filepath.Join(dir, "d.json")})
	_, err := s.Process(t.Context(), review{2})
	require.ErrorAs(t, err, new(*crawl.PanicError))
	require.ErrorContains(t, err, "feed "+filepath.Join(dir, "a.jsonl")+": panic: interface conversion: ")
	require.ErrorContains(t, err, "feed "+filepath.Join(dir, "b.own")+": panic: boom")
	require.NotContains(t, err.Error(), "c.jsonl")
	_, err = s.Process(t.Context(), writtenWithPanic{})
	require.ErrorContains(t, err, "feed "+filepath.Join(dir, "c.jsonl")+": item of type feed.writtenWithPanic: panic: no JSON")
	require.ErrorContains(t, err, "feed "+filepath.Join(dir, "d.json")+": item of type feed.writtenWithPanic: panic: no JSON", "the second one to ask")
	require.NoError(t, s.Close())
	require.Equal(t, "{\"stars\":2}\n", read(t, filepath.Join(dir, "c.jsonl")))
	require.Equal(t, "[\n{\"stars\":2}\n]\n", read(t, filepath.Join(dir, "d.json")))
}

type panics struct{ jsonLines }

func (*panics) Record([]byte, any) ([]byte, error)                      { panic("boom") }
func (*panics) recordJSON([]byte, any, []byte) (_ []byte, failed error) { panic("boom") }

type writtenWithPanic struct{}

func (writtenWithPanic) MarshalJSON() ([]byte, error) { panic("no JSON") }

// TestNilExample is no type.
func TestNilExample(t *testing.T) {
	t.Parallel()
	env, _ := environment(t)
	name := filepath.Join(t.TempDir(), "f.csv")
	_, err := Open(t.Context(), env, []crawl.Feed{{URI: name, Items: []any{review{}, nil}}})
	require.EqualError(t, err, "feed "+name+": items: number 2 is nil: want an example such as Book{}")
	require.NoFileExists(t, name)
}

package crawl_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"github.com/tulle-go/tulle/crawl"
)

func raws(results []gjson.Result) (all []string) {
	for _, r := range results {
		all = append(all, r.Raw)
	}
	return all
}

func TestJMESPath(t *testing.T) {
	t.Parallel()
	r := page(t, "http://h/", "application/json", `{"items": [{"name": "a", "price": 5}, {"name": "b", "price": 50}]}`)
	require.Equal(t, `["b"]`, r.JMESPath("items[?price > `10`].name").Raw)
	require.Equal(t, int64(55), r.JMESPath("sum(items[].price)").Int())
	require.False(t, r.JMESPath("none").Exists())
	require.NoError(t, r.Err())
	require.False(t, r.JMESPath("items[").Exists())
	require.ErrorContains(t, r.Err(), `jmespath "items[": at character 7: SyntaxError`)

	wrong := page(t, "http://h/", "application/json", `{"a": "x"}`)
	require.False(t, wrong.JMESPath("sum(a)").Exists())
	require.ErrorContains(t, wrong.Err(), `jmespath "sum(a)"`)
	no := page(t, "http://h/", "application/json", `<html>`)
	require.False(t, no.JMESPath("a").Exists())
	require.ErrorContains(t, no.Err(), "page is HTML, not JSON")
}

func TestScriptJSON(t *testing.T) {
	t.Parallel()
	const body = `<script id=__NEXT_DATA__ type="application/json">{"props": {"id": 7}}</script>
		<script>var x = 1; window.__STATE__  =  {"a": [1, "}"]};
		window.other = {b: 1}; window.late = {"c": "line
end"}</script><script></script><div data-json='{"d": 4}'></div><script class=bad>{"a": }</script><script class=two>{} {}</script>`
	for _, c := range []struct {
		selector string
		after    []string
		want     string
		err      string
	}{
		{"#__NEXT_DATA__", nil, `{"props": {"id": 7}}`, ""},
		{"script", nil, `{"props": {"id": 7}}`, ""},
		{"script", []string{"window.__STATE__ ="}, `{"a": [1, "}"]}`, ""},
		{"script", []string{"window.__STATE__="}, `{"a": [1, "}"]}`, ""},
		{"script", []string{"window.late ="}, `{"c": "line end"}`, ""},
		{"script", []string{"window.other ="}, "", `script "script": not JSON: `},
		{"div::attr(data-json)", nil, `{"d": 4}`, ""},
		{"script.bad", nil, "", `script "script.bad": not JSON: `},
		{"script.two", nil, "", `not JSON: "{}" comes after it`},
		{"script.none", nil, "", ""},
	} {
		r := page(t, "http://h/", htmlUTF8, body)
		require.Equal(t, c.want, r.ScriptJSON(c.selector, c.after...).Raw, c.selector)
		if c.err == "" {
			require.NoError(t, r.Err(), c.selector)
		} else {
			require.ErrorContains(t, r.Err(), c.err, c.selector)
		}
	}
}

func TestJSONLD(t *testing.T) {
	t.Parallel()
	r := page(t, "http://h/", htmlUTF8, `
		<script type="application/ld+json">{"@type": "Product", "name": "lamp"}</script>
		<script type="Application/LD+JSON; charset=utf-8"><!-- [{"@type": ["Offer", "Thing"], "n": 1}, {"@graph": [{"@type": "https://schema.org/Person"}, {"@type": "Product", "n": 2}]}] --></script>
		<script type="application/ld+json">
			//<![CDATA[
			{"@type": "Article", "text": "two
lines	and a tab"};
			//]]>
		</script>
		<script type="application/json">{"@type": "Product"}</script><script type="application/ld+json"> </script>`)
	require.Len(t, r.JSONLD(), 5)
	require.Equal(t, []string{`{"@type": "Product", "name": "lamp"}`, `{"@type": "Product", "n": 2}`}, raws(r.JSONLD("Product")))
	require.Len(t, r.JSONLD("Thing"), 1)
	require.Len(t, r.JSONLD("Person", "Offer"), 2)
	require.Equal(t, "two lines and a tab", r.JSONLD("Article")[0].Get("text").String())
	require.Empty(t, r.JSONLD("Nothing"))
	require.NoError(t, r.Err())

	bad := page(t, "http://h/", htmlUTF8, `<script type="application/ld+json">{"a": 1}</script><script type="application/ld+json">{"@type": Product}</script>`)
	require.Len(t, bad.JSONLD(), 1)
	require.ErrorContains(t, bad.Err(), "json-ld 2 of the page: not JSON: invalid character 'P'")
}

var _ crawl.Source = (*crawl.Response)(nil)

// What nests without end is an error, not the end of the process.
func TestDeepJSON(t *testing.T) {
	t.Parallel()
	const end = 12 << 20
	deep := strings.Repeat("[", end)
	for name, use := range map[string]func(*crawl.Response){
		"json":     func(r *crawl.Response) { require.False(t, r.JSON("a").Exists()) },
		"jmespath": func(r *crawl.Response) { require.False(t, r.JMESPath("a").Exists()) },
		"extract": func(r *crawl.Response) {
			_, err := crawl.Extract[struct {
				A string `gjson:"a"`
			}](r)
			require.ErrorContains(t, err, "nested deeper than 10,000")
			r.JSON("a")
		},
	} {
		r := page(t, "http://h/", "application/json", deep)
		use(r)
		require.ErrorContains(t, r.Err(), "page is JSON nested deeper than 10,000", name)
	}
	for name, use := range map[string]func(*crawl.Response){
		"script":  func(r *crawl.Response) { require.False(t, r.ScriptJSON("script").Exists()) },
		"after":   func(r *crawl.Response) { require.False(t, r.ScriptJSON("script", "[").Exists()) },
		"json-ld": func(r *crawl.Response) { require.Empty(t, r.JSONLD()) },
	} {
		r := page(t, "http://h/", htmlUTF8, "<script type='application/ld+json'>\n[\n"+deep+"</script>")
		use(r)
		require.ErrorContains(t, r.Err(), "nested deeper than 10,000", name)
	}
	for _, ok := range []string{
		strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000),
		"[" + strings.Repeat("[],", 10_000) + "[]]",
		`["\"` + strings.Repeat("[{", 10_000) + `"]`,
	} {
		r := page(t, "http://h/", "application/json", ok)
		r.JSON("#")
		r.JMESPath("@")
		require.NoError(t, r.Err(), "%.20s", ok)
	}
}

// TestDeepTextInJSON has texts that paths read as JSON: what nests without end in one is an error too.
func TestDeepTextInJSON(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 12<<20)
	quote := func(s string) string {
		b, err := json.Marshal(s)
		require.NoError(t, err)
		return string(b)
	}
	for name, text := range map[string]string{"a text": quote(deep), "a text in a text": quote(`{"a": ` + quote(deep) + `}`), "escaped": `"` + strings.ReplaceAll(deep, "[", `\u005b`) + `"`} {
		r := page(t, "http://h/", "application/json", `{"a": "x", "b": `+text+`}`)
		require.Equal(t, "x", r.JSON("a").String())
		require.NoError(t, r.Err())
		require.False(t, r.JSON("b.@fromstr|a.@fromstr|@valid").Exists())
		require.False(t, r.JSON("b.@fromstr|@valid").Exists())
		require.ErrorContains(t, r.Err(), `json "b.@fromstr|a.@fromstr|@valid": a text on the page is JSON nested deeper than 10,000`, name)
		_, err := crawl.Extract[struct {
			A string `gjson:"b.@fromstr|@valid"`
		}](page(t, "http://h/", "application/json", `{"a": "x", "b": `+text+`}`))
		require.ErrorContains(t, err, "nested deeper than 10,000", name)
	}
	r := page(t, "http://h/", "application/json", `{"a": `+quote(`{"b": "\"[", "c": `+quote(`{"d": 7}`)+`}`)+`}`)
	require.Equal(t, int64(7), r.JSON("a.@fromstr|c.@fromstr|d").Int())
	require.NoError(t, r.Err())
}

// JSON-LD is looked for in few levels of lists, since each is read anew.
func TestDeepJSONLD(t *testing.T) {
	t.Parallel()
	nested := func(levels int) string {
		return strings.Repeat(`[{"n":1},`, levels) + "{}" + strings.Repeat("]", levels)
	}
	r := page(t, "http://h/", htmlUTF8, `<script type="application/ld+json">`+nested(32)+"</script>")
	require.Len(t, r.JSONLD(), 33)
	require.NoError(t, r.Err())
	for _, levels := range []int{33, 5000} {
		r = page(t, "http://h/", htmlUTF8, `<script type="application/ld+json">`+nested(levels)+"</script>")
		require.Len(t, r.JSONLD(), 32)
		require.ErrorContains(t, r.Err(), "json-ld 1 of the page: lists nested deeper than 32")
	}
}

// What sorts gives a list of its own: the page stays as it is, for those who read it later or at the same time.
func TestJMESPathSortsACopy(t *testing.T) {
	t.Parallel()
	r := page(t, "http://h/", "application/json", `{"o": [{"n": 2}, {"n": 1}, {"n": 3}]}`)
	require.Equal(t, int64(2), r.JMESPath("o[0].n").Int())
	require.Equal(t, "[1,2]", r.JMESPath("[sort_by(o, &n)[0].n, o[0].n]").Raw)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { r.JMESPath("sort_by(o, &n)") })
		wg.Go(func() { r.JMESPath("o[*].n") })
	}
	wg.Wait()
	require.Equal(t, "[2,1,3]", r.JMESPath("o[*].n").Raw)
	require.Equal(t, "[]", r.JMESPath("sort_by(`[]`, &n)").Raw)
	require.NoError(t, r.Err())
}

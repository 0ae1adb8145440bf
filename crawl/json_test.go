package crawl_test

import (
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

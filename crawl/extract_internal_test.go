package crawl

import (
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is found for many fields in one walk is what each selector finds by itself.
func FuzzExtractInOneWalk(f *testing.F) {
	for _, s := range []string{
		"th", "tr.first th", "#top", "td.price", "*", "tr.row:first-child > th", "html body table.offers tr.row td a", ".row.first", "th.x", "TH", "td, th", "a#x.y", `#to\70`, "tr#x, .row", ".a.row", "p:not(.b)",
		"svg title", "foreignObject", ".Row", "[class=row]", "#top.row", ".y",
	} {
		f.Add(s)
	}
	const body = `<html><body><div id=top class="row  first">a <b>b</b> c</div><table class=offers><tr class="row first"><th>Lamp</th><td class=price>1</td><td><a id=x class="y y" href="/lamp">look</a></td></tr>
		<tr class=row><th id=top>Vase</th><td class="price a">2</td></tr></table><p class="a
		row">p</p><svg><foreignObject><title>S</title></foreignObject></svg></body></html>`
	f.Fuzz(func(t *testing.T, selector string) {
		if strings.ContainsAny(selector, "@") || strings.Contains(selector, "::") || strings.HasPrefix(strings.TrimSpace(selector), ":scope") {
			t.Skip("Extract reads it in its own way: as an attribute, own text or the row itself")
		}
		u, _ := url.Parse("http://h/")
		r := &Response{URL: u, Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}}, Body: BytesBody([]byte(body)), Selectors: new(Selectors)}
		var want []string
		for _, n := range r.Select(selector) {
			if s := n.InnerHTML(); s != "" {
				want = append(want, s)
			}
		}
		if r.Err() != nil {
			t.Skip("malformed: there is nothing to compare")
		}
		var fields []reflect.StructField
		for i, s := range []string{selector, "a", "b", "th", "td", "p"} {
			fields = append(fields, reflect.StructField{
				Name: "F" + strconv.Itoa(i), Type: reflect.TypeFor[[]string](), Tag: reflect.StructTag("css:" + strconv.Quote(s) + ` extract:"html"`),
			})
		}
		v := reflect.New(reflect.StructOf(fields)).Elem()
		p, err := r.Selectors.plan(planKey{v.Type(), false})
		require.NoError(t, err)
		require.True(t, p.together)
		require.NoError(t, extractInto(r.scope(), v))
		require.Equal(t, want, v.Field(0).Interface(), selector)
	})
}

// What has no end takes no more memory than a document may.
func TestXMLTooLarge(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"<a>\n<i>1</i>" + strings.Repeat(" ", 2000):                       "xml line 2: a text or tag is too large",
		"<a><i>1</i>\n<b x='" + strings.Repeat("y", 2000):                 "xml line 2: a text or tag is too large",
		"<a><i>1</i>\n<i>" + strings.Repeat("<b>2</b>", 200) + "</i></a>": "xml line 2: <i> is larger than 1000 bytes",
	} {
		b := newXMLBuilder(strings.NewReader(body))
		b.most = 1000
		var err error
		b.steps, err = parseXMLPath("i", nil)
		require.NoError(t, err)
		n, err := b.next()
		require.NoError(t, err)
		require.Equal(t, "1", n.FirstChild.Data)
		_, err = b.next()
		require.EqualError(t, err, want)
	}
}

type everywhere struct {
	All []everywhere `css:"div"`
}

// A type that finds itself at every level again, twice as often with each, comes to an end at the first error.
func TestExtractTooManyStructs(t *testing.T) {
	t.Parallel()
	u, _ := url.Parse("http://h/")
	r := &Response{URL: u, Header: http.Header{"Content-Type": {"text/html"}}, Body: BytesBody([]byte(strings.Repeat("<div>", 100))), Selectors: new(Selectors)}
	var v everywhere
	err := extractUpTo(1000, r.scope(), reflect.ValueOf(&v).Elem())
	require.ErrorContains(t, err, "too many structs: the selector of a type within itself finds what is further down too")
	require.Less(t, strings.Count(err.Error(), "too many"), 200)
}

// Selectors that are put together page by page take no more memory than those that are written down.
func TestSelectorsKeptAreBounded(t *testing.T) {
	t.Parallel()
	var s Selectors
	for i := range 3 * maxSelectors {
		c, err := s.compileCSS("#a" + strconv.Itoa(i))
		require.NoError(t, err)
		again, err := s.compileCSS("#a" + strconv.Itoa(i))
		require.NoError(t, err)
		require.Same(t, c, again)
		require.LessOrEqual(t, len(s.css.m), maxSelectors)
	}
}

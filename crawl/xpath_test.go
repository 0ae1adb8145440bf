package crawl_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestXPath(t *testing.T) {
	t.Parallel()
	r := page(t, "http://h/", htmlUTF8, `<div id=d CLASS=c><p>1 <b>x</b></p><p>2</p></div><a href=" /u ">u</a>`)
	for _, c := range []struct {
		expr string
		want []string
	}{
		{"//p", []string{"1 x", "2"}},
		{"//a | //p", []string{"1 x", "2", "u"}},
		{"//p/..", []string{"1 x2"}},
		{"//p/text()", []string{"1", "2"}},
		{"//div/@*", []string{"d", "c"}},
		{"//a/@href | //div/@id", []string{"d", "/u"}},
		{"//p[2]", []string{"2"}},
		{"//h1", nil},
	} {
		var got []string
		for _, n := range r.XPath(c.expr) {
			got = append(got, n.Text())
		}
		require.Equal(t, c.want, got, c.expr)
	}
	require.Equal(t, "/u", r.XPath("//a")[0].Attr("HREF"))
	require.Equal(t, "href", r.XPath("//a/@href")[0].Attribute)
	require.NoError(t, r.Err())
}

func TestXPathWithoutNodes(t *testing.T) {
	t.Parallel()
	for _, expr := range []string{"count(//a)", "string(//a)", "1 + 1", "//a = 'x'", "//p[", "", "//p[$x]", "nope(//a)"} {
		r := page(t, "http://h/", htmlUTF8, "<a>x</a>")
		require.Empty(t, r.XPath(expr), expr)
		require.ErrorContains(t, r.Err(), "xpath", expr)
	}
}

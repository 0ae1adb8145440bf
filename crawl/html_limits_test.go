package crawl_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// numbered repeats a text with a number for each # in it.
func numbered(s string, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.ReplaceAll(s, "#", fmt.Sprint(i)))
	}
	return b.String()
}

// Formatting elements that are not closed are copied into all that follows. What a page leads to by that has a limit, however they are hidden.
func TestFormattingMultiplies(t *testing.T) {
	t.Parallel()
	const bold, closed = "<b id=#>", "</b>"
	for name, c := range map[string]struct {
		before, each string
		n            int
	}{
		"ids":               {"<p>" + numbered(bold, 380) + "</p>", "<p>x</p>", 4000},
		"more paragraphs":   {"<p>" + numbered(bold, 380) + "</p>", "<p>x</p>", 40_000},
		"without ids":       {"<p>" + strings.Repeat("<b><big><code><em><font><i><s><small><strike><strong><tt><u>", 3) + "</p>", "<p>x", 40_000},
		"closed comments":   {"<p>" + numbered(bold, 380) + "</p><!--" + numbered(closed, 380) + "-->", "<p>x</p>", 4000},
		"closed in a table": {"<p>" + numbered(bold, 380) + "<table><tr><td>" + numbered(closed, 380) + "</table>", "<p>x</p>", 4000},
		"closed in data":    {"<p>" + numbered(bold, 380) + "<svg><![CDATA[x>" + numbered(closed, 380) + "]]></svg>", "<p>x</p>", 4000},
		"in a drawing":      {"<p><svg><style>" + numbered(bold, 380) + "</style>", "<p>x</p>", 4000},
		"all in a drawing":  {"<p><svg><style>" + numbered(bold, 380) + numbered("<p>x</p>", 4000) + "</style>", "", 1},
		"capitals, slashes": {"<p>" + numbered("<B/id=#>", 380) + "</p>", "<P>x</P>", 4000},
	} {
		r := page(t, "http://h/", htmlUTF8, c.before+strings.Repeat(c.each, c.n)+"<a href=/end>end</a>")
		require.LessOrEqual(t, r.CSS("*").Length(), 600_000+8*c.n, name)
		require.NotEmpty(t, r.CSS("p").Length(), name)
		require.Equal(t, []string{"http://h/end"}, r.URLs("a"), name)
		require.NoError(t, r.Err(), name)
	}
	attrs := numbered(" a#=x", 1000)
	for name, c := range map[string]struct{ before, left string }{
		"attributes":           {"<p><b" + attrs + ">", "b"},
		"attributes of a link": {"<p><a href='/it?a=1&amp;b=2'" + attrs + ">", "a"},
	} {
		r := page(t, "http://h/", htmlUTF8, c.before+strings.Repeat("<p>x", 10_000))
		n := 0
		for _, node := range r.CSS(c.left).Nodes {
			n += 1 + len(node.Attr)/2
		}
		require.LessOrEqual(t, n, 600_000, name)
		if c.left == "a" {
			require.Equal(t, "http://h/it?a=1&b=2", r.URLs("a")[0], name)
		}
	}
}

// The attributes of many html or body tags are put together in a time that grows with their square: of those there are only some.
func TestManyBodies(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{"body", "html"} {
		r := page(t, "http://h/", htmlUTF8, "<html><body>"+numbered("<"+tag+" a#=x><p>x", 100_000)+"<a href=/end>")
		attrs := r.CSS(tag).Nodes[0].Attr
		require.Greater(t, len(attrs), 50, tag)
		require.LessOrEqual(t, len(attrs), 64, tag)
		require.Equal(t, 100_000, r.CSS("body > p").Length(), tag)
		require.Equal(t, []string{"http://h/end"}, r.URLs("a"), tag)
	}
}

// Pages that are only sloppy stay as they are.
func TestFormattingStays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body, selector string
		want           int
	}{
		{"<table>" + strings.Repeat("<tr><td><font size=2 color=red>x<td><b>y", 10_000) + "</table>", "td > font", 10_000},
		{strings.Repeat("<p><i class='fa fa-star' aria-hidden=true></i><b class=x>y</b></p>", 10_000), "p > b", 10_000},
		{numbered("<p><b id=#>x</b></p>", 10_000), "p > b", 10_000},
		{"<script>var s = '" + numbered("<b id=#>", 300) + "'</script>" + strings.Repeat("<p><b class=x>x</b>", 5000), "p > b", 5000},
		{"<svg><style>b{}</style><title>x</title></svg>" + strings.Repeat("<p><b class=x>x</b>", 5000), "p > b", 5000},
		{"<b id=1><b id=2>" + strings.Repeat("<p><i class=x>x</i>", 5000), "p i", 5000},
		{"<table><tr><td><b><table>" + strings.Repeat("<tr><td><b class=x>y</b>", 5000) + "</table></b></table>", "td > b.x", 5000},
	} {
		r := page(t, "http://h/", htmlUTF8, c.body)
		require.Equal(t, c.want, r.CSS(c.selector).Length(), "%.80s", c.body)
	}
}

// A page on which the parser gives up is never empty.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	for _, each := range []string{
		"<table><tr><td>", "<table><td>", "<table><tbody><td>", "<i><b></i>", "<p><font id=#>x</p>", "<p><font color=red id=#>x", "<div>", "<p><object></p>", "<svg><a><a>", "<math><mi><p>",
		"<b id=#><p>", "<font id=#><table>", "<ruby><rt>", "<select><option>", "<template>", "<li><div>", "<svg><link>", "<nobr id=#><p>", "<a><table><td>", "<noscript><div>", "<dl><dd><p><object></dl>",
	} {
		for _, n := range []int{100, 130, 180, 520, 3000} {
			r := page(t, "http://h/", htmlUTF8, "<html><body><a href=/first>f</a>"+numbered(each, n)+"</select></template></svg></svg></math><a href=/last>l</a>")
			all := r.URLs("a[href]")
			require.NotEmpty(t, all, "%s %d", each, n)
			require.Equal(t, "http://h/first", all[0], "%s %d", each, n)
			if !strings.Contains(each, "template") && !strings.Contains(each, "select") {
				require.Equal(t, "http://h/last", all[len(all)-1], "%s %d", each, n)
			}
			require.NoError(t, r.Err(), "%s %d", each, n)
		}
	}
	r := page(t, "http://h/", htmlUTF8, strings.Repeat("<div>", 600)+"<script>'<b>no text</b>'</script><p>text")
	require.Contains(t, r.Text("body"), "text")
	require.NotContains(t, r.Text("body"), "no text")
}

func TestNoscript(t *testing.T) {
	t.Parallel()
	r := page(t, "http://h/", htmlUTF8, `<head><noscript><link rel=stylesheet href=s.css></noscript><title>T</title></head>
		<div>t <noscript><img src=lazy.jpg> of <b>shop</b></noscript></div><p>after</p>`)
	require.Equal(t, []string{"http://h/lazy.jpg"}, r.URLs("noscript img"))
	require.Equal(t, "t of shop", r.Text("div"))
	require.Equal(t, "T", r.Text("head > title"))
	require.Equal(t, "after", r.Text("body > p"))
}

package crawl_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/tulle-go/tulle/crawl"
)

const offers = `<html><body><div id=top>a <b>b</b> c</div>
<table class=offers>
<tr class="row first"><th>Lamp</th><td class=price>1</td><td><a href="/lamp">look</a><img src="lamp.jpg"></td></tr>
<tr class=row><th>Vase</th><td class=price>2</td><td><a href="/vase">look</a></td></tr>
</table>
<ul><li>x<ul><li>y</ul></ul>
<svg><a xlink:href="/in-svg"><title>S</title></a></svg><p xml:lang=en v-on:click=go>p</p></body></html>`

func TestSelectRows(t *testing.T) {
	t.Parallel()
	r := page(t, "https://example.com/dir/", htmlUTF8, offers)
	rows := r.Select("table.offers tr")
	require.Len(t, rows, 2)
	for _, rows := range []crawl.Nodes{rows, r.XPath("//tr"), r.Select("table")[0].Select("tr.row")} {
		var got []string
		for _, row := range rows {
			got = append(got, row.Text("th"), row.Text("td.price::text"), row.Attr("a", "href"), row.XPathText("./td[@class='price']"), row.XPathText("count(td)"),
				strings.Join(row.URLs("a, img"), " "), strings.Join(row.Texts("td"), "|"), row.CSS("td").First().Text())
		}
		require.Equal(t, []string{
			"Lamp", "1", "/lamp", "1", "2", "https://example.com/lamp https://example.com/dir/lamp.jpg", "1|look", "1",
			"Vase", "2", "/vase", "2", "2", "https://example.com/vase", "2|look", "2",
		}, got)
	}
	require.Equal(t, "row first", rows[0].Attr("CLASS"))
	require.Equal(t, "Lamp1look", rows[0].Text())
	require.Equal(t, []string{"Lamp", "Vase"}, r.XPath("//th").Texts())
	require.Equal(t, "Lamp", r.XPath("//th").Text())
	require.Empty(t, r.XPath("//h1").Text())
	require.Equal(t, []string{"https://example.com/lamp", "https://example.com/vase"}, r.XPath("//a[not(ancestor::svg)]/@href").URLs())
	require.Equal(t, []string{"https://example.com/lamp", "https://example.com/vase"}, r.Select("td a").URLs())
	require.Equal(t, []string{"https://example.com/lamp"}, rows[0].Select("a::attr(href)")[0].URLs())
	require.Equal(t, "Lamp", r.Node(r.CSS("tr").Nodes[0]).Text("th"))
	require.Equal(t, `<td class="price">1</td>`, rows[0].Select("td")[0].HTML())
	require.Equal(t, "1", rows[0].Select("td")[0].InnerHTML())
	require.Equal(t, "/lamp", rows[0].Select("a::attr(href)")[0].HTML())
	require.NoError(t, r.Err())
}

func TestSelectorsEverywhere(t *testing.T) {
	t.Parallel()
	r := page(t, "https://example.com/dir/", htmlUTF8, offers)
	for _, c := range []struct {
		selector string
		want     []string
	}{
		{"td a::attr(href), img::attr(src)", []string{"/lamp", "lamp.jpg", "/vase"}},
		{"th, td a::attr(href)", []string{"Lamp", "/lamp", "Vase", "/vase"}},
		{"th, tr > th, th::text", []string{"Lamp", "Lamp", "Vase", "Vase"}},
		{"#top::text", []string{"a", "c"}},
		{"#top ::text", []string{"a", "b", "c"}},
		{"svg a::attr(xlink:href)", []string{"/in-svg"}},
		{"svg a::attr(xlink|href)", []string{"/in-svg"}},
		{"p::attr( xml:lang )", []string{"en"}},
		{`a[href$=")"], a[href="/la\6dp"], a[title="a,b::text"], th:contains("L, a")`, []string{"look"}},
		{":scope > html > body > div", []string{"a b c"}},
		{"> html > body > div b", []string{"b"}},
		{"::attr(id)", []string{"top"}},
		{"tr:not(.first, .x) th", []string{"Vase"}},
		{"th /* , a */ , h1", []string{"Lamp", "Vase"}},
	} {
		r := page(t, "https://example.com/dir/", htmlUTF8, offers)
		require.Equal(t, c.want, r.Select(c.selector).Texts(), c.selector)
		require.NoError(t, r.Err(), c.selector)
	}
	// A list in which each takes its own, as Text and Texts have it; own text is one text.
	require.Equal(t, []string{"a c"}, r.Texts("#top::text"))
	require.Equal(t, []string{"/lamp", "lamp.jpg", "/vase"}, r.Texts("td a::attr(href), img::attr(src)"))
	require.Equal(t, []string{"https://example.com/lamp", "https://example.com/dir/lamp.jpg"}, r.Select("tr")[0].URLs("a, img::attr(src)"))
	require.Equal(t, 1, r.CSS("th:first-child::text").First().Length())
	require.Equal(t, 3, r.CSS("th, td.price::text, tr.first th").Filter("th, td.first").Length()+1)

	// Children of the scope alone.
	outer := r.Select("body > ul")[0]
	require.Equal(t, 2, len(outer.Select("li")))
	require.Equal(t, 1, len(outer.Select("> li")))
	require.Equal(t, []string{"y"}, outer.Select("> li > ul > li").Texts())
	require.Equal(t, []string{"y"}, outer.Select(":scope li li").Texts())
	require.Len(t, r.Select("th")[0].Select("~ td"), 2)
	require.Len(t, r.Select("th")[0].Select("+ td"), 1)
	require.Equal(t, 1, outer.CSS("> li").Length())
	require.NoError(t, r.Err())
}

func TestMalformedSelectorSaysWhere(t *testing.T) {
	t.Parallel()
	for selector, want := range map[string]string{
		"p[":                 "at character 3: expected ']', found the end",
		"a, p]":              "at character 5: ']' closes nothing",
		"a, b:nope(x)":       "unknown pseudoclass",
		"a..b":               "at character 3: expected identifier, found . instead",
		"div > > p":          "at character 7: expected a selector, found '>'",
		"div >":              "at character 6: expected a selector after '>', found the end",
		"a,,b":               "at character 3: expected a selector, found nothing",
		"":                   "at character 1: expected a selector, found nothing",
		"a::before":          "at character 2: ::before is neither ::text nor ::attr(name)",
		"a::text b":          "at character 2: ::text b is neither",
		"x, a::attr()":       "at character 5: ::attr() does not name an attribute",
		`a[b="c]`:            "at character 5: the string is not closed",
		"a[b!!c]":            "at character",
		":scope":             "expected a selector below the scope",
		"svg|rect:nope, a":   "unknown pseudoclass",
		"a:nth-child(2n+) b": "at character",
		"a /* never":         "the comment is not closed",
	} {
		r := page(t, "http://h/", htmlUTF8, shop)
		require.Empty(t, r.Select(selector), selector)
		require.ErrorContains(t, r.Err(), "css selector", selector)
		require.ErrorContains(t, r.Err(), want, selector)
	}
}

func TestNodeWithoutPage(t *testing.T) {
	t.Parallel()
	doc, err := html.Parse(strings.NewReader(offers))
	require.NoError(t, err)
	n := crawl.Node{Node: doc}
	require.Equal(t, "Lamp", n.Text("th"))
	require.Equal(t, []string{"/lamp", "/vase"}, n.URLs("td a"))
	require.Equal(t, "2", n.XPathText("count(//th)"))
	require.Empty(t, n.Select("p["))
	require.Empty(t, n.XPath("//["))
	var none crawl.Node
	require.Empty(t, none.Text())
	require.Empty(t, none.Text("a"))
	require.Empty(t, none.Attr("a", "b"))
	require.Empty(t, none.Attr("a"))
	require.Empty(t, none.URLs())
	require.Empty(t, none.Select("a"))
	require.Empty(t, none.XPath("a"))
	require.Empty(t, none.HTML())
	require.Empty(t, none.InnerHTML())
	require.Empty(t, none.Re("a"))
}

func TestRe(t *testing.T) {
	t.Parallel()
	r := page(t, "http://h/", htmlUTF8, `<p>10-20, 30-40</p><p>50</p><script>var id = 7;</script>`)
	require.Equal(t, []string{"10", "20", "30", "40", "50"}, r.Select("p").Re(`\d+`))
	require.Equal(t, []string{"10", "20", "30", "40"}, r.Select("p").Re(`(\d+)-(\d+)`), "every group")
	require.Equal(t, []string{"20", "40"}, r.Select("p").Re(`(\d+)-(?P<extract>\d+)`))
	require.Equal(t, []string{"1", "5"}, r.Select("p").Re(`^\d`), "a text has one beginning")
	require.Equal(t, "50", r.Select("p")[1].ReFirst(`\d+`))
	require.Equal(t, "10", r.Select("p").ReFirst(`\d+`))
	require.Empty(t, r.Select("p").ReFirst(`x`))
	require.Equal(t, "7", r.ReFirst(`var id = (\d+);`))
	require.Len(t, r.Re(`<p>`), 2)
	require.Equal(t, []string{"", "", ""}, r.Select("p")[1].Re(`x*`), "as often as it fits")
	require.NoError(t, r.Err())
	require.Empty(t, r.Re(`(`))
	require.ErrorContains(t, r.Err(), "regular expression \"(\"")
	r = page(t, "http://h/", htmlUTF8, `<p>1</p>`)
	require.Empty(t, r.Select("p").Re(`(`))
	require.ErrorContains(t, r.Err(), "regular expression \"(\"")
}

const atom = `<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:media="http://search.yahoo.com/mrss/" xml:lang="en">
<title>Feed</title><entry><title>A &amp; B</title><link href="/a"/><media:content url="/a.jpg" medium="image"/><lastBuildDate>now</lastBuildDate></entry>
<entry><title><![CDATA[<i>C</i>]]></title><link>/c</link><media:content url="/c.jpg"/></entry>
</feed>`

func TestXMLPage(t *testing.T) {
	t.Parallel()
	r := page(t, "https://example.com/feed/", "application/atom+xml", atom)
	require.Equal(t, []string{"A & B", "<i>C</i>"}, r.Texts("entry > title"))
	require.Equal(t, []string{"A & B", "<i>C</i>"}, r.XPath("//entry/title").Texts(), "a default namespace needs no prefix")
	require.Equal(t, []string{"/a.jpg", "/c.jpg"}, r.XPath("//media:content/@url").Texts(), "a prefix as the document has it")
	require.Equal(t, []string{"/a.jpg", "/c.jpg"}, r.XPath("//m:content/@url", crawl.Vars{"xmlns:m": "http://search.yahoo.com/mrss/"}).Texts())
	require.Len(t, r.XPath("//a:entry/a:title", crawl.Vars{"xmlns:a": "http://www.w3.org/2005/Atom"}), 2)
	require.Len(t, r.XPath("//m:*", crawl.Vars{"xmlns:m": "http://search.yahoo.com/mrss/"}), 2)
	require.Len(t, r.XPath("//media:*"), 2)
	require.Equal(t, "en", r.XPathText("/feed/@xml:lang"))
	require.Equal(t, []string{"https://example.com/a.jpg", "https://example.com/c.jpg"}, r.URLs("media|content::attr(url)"))
	require.Equal(t, 2, r.CSS("*|content").Length())
	require.Equal(t, 2, r.CSS(`media\:content`).Length())
	require.Equal(t, []string{"https://example.com/a", "https://example.com/c"}, r.URLs("entry link"))
	require.Equal(t, "now", r.Text("lastBuildDate"))
	require.Empty(t, r.Text("lastbuilddate"), "names count as they are written")
	require.Equal(t, "now", r.Select("entry:first-of-type")[0].Text("lastBuildDate"))
	require.Equal(t, `<link>/c</link>`, r.Select("entry link")[1].HTML())
	require.Equal(t, `<media:content url="/c.jpg"/>`, r.XPath("//media:content")[1].HTML())
	require.Equal(t, "http://search.yahoo.com/mrss/", r.XPathText("namespace-uri(//media:content)"))
	require.Equal(t, "2", r.XPathText("count(//entry[1]/media:content/@*)"), "declarations are no attributes")
	require.NoError(t, r.Err())
	require.Empty(t, r.XPath("//m:content/media:x", crawl.Vars{"xmlns:m": "u"}))
	require.ErrorContains(t, r.Err(), "at character 13: the prefix media is not in Vars, which makes known: m")

	cut := page(t, "http://h/", "text/xml", "<a>\n<b>1</b>\n<b>2")
	require.Equal(t, []string{"1", "2"}, cut.Texts("b"))
	require.ErrorContains(t, cut.Err(), "xml line 3: the document ends inside <b>")

	xhtml := page(t, "http://h/", "text/xml", `<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body><br/><p>1<p>2</body></html>`)
	require.Equal(t, []string{"1", "2"}, xhtml.Texts("p"), "a page is read as a page")
}

// No entity that a document declares is put in place of its name.
func TestXMLEntities(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`<!DOCTYPE x [<!ENTITY a0 "lol">`)
	for i := range 30 {
		b.WriteString(`<!ENTITY a` + string(rune('0'+i%10)) + ` "&a0;&a0;&a0;&a0;">`)
	}
	b.WriteString(`<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&a1;&f;&eacute;</x>`)
	r := page(t, "http://h/", "text/xml", b.String())
	require.Equal(t, "&a1;&f;é", r.Text("x"))
	require.NoError(t, r.Err())
}

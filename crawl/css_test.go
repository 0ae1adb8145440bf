package crawl_test

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/tulle-go/tulle/crawl"
)

// Selectors select what they select in parsel, which testdata/css_parsel.json has written down: elements by their number, texts and values of attributes as they
// are.
func TestCSSAsParsel(t *testing.T) {
	t.Parallel()
	var golden struct {
		Pages map[string]struct{ Type, Body string }
		Cases []struct {
			Page, CSS string
			Want      []string
		}
	}
	text, err := os.ReadFile("testdata/css_parsel.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &golden))
	for _, c := range golden.Cases {
		p := golden.Pages[c.Page]
		r := page(t, "http://h/", map[string]string{"html": htmlUTF8, "xml": "application/xml"}[p.Type], p.Body)
		var all []*html.Node
		for n := range r.Node(r.Select("*")[0].Parent).Descendants() {
			if n.Type == html.ElementNode {
				all = append(all, n)
			}
		}
		got := []string{}
		for _, n := range r.Select(c.CSS) {
			switch {
			case n.Attribute != "":
				got = append(got, "a "+n.Text())
			case n.Type == html.TextNode:
				got = append(got, "t "+n.Data)
			default:
				got = append(got, "e "+strconv.Itoa(slices.Index(all, n.Node)))
			}
		}
		require.NoError(t, r.Err(), c.CSS)
		require.Equal(t, c.Want, got, "%s: %s", c.Page, c.CSS)
	}
}

const greeting = `<html><body><p id=a class=c>Hello <b title=w>World</b> end</p> <div>x<div>y</div> z<p></p></div></body></html>`

// A ::text or ::attr(name) behind a space is that of the element itself and of all that stands in it.
func TestPseudoBehindSpace(t *testing.T) {
	t.Parallel()
	r := page(t, "http://h/", htmlUTF8, greeting)
	for selector, want := range map[string][]string{
		"p ::text": {"Hello", "World", "end"}, "p *::text": {"Hello", "World", "end"}, "#a b ::text": {"World"}, "p ::text, b::text": {"Hello", "World", "World", "end"}, "div ::text": {"x", "y", "z"},
		"p ::attr(title)": {"w"}, "p ::attr(class)": {"c"}, "p::attr(title)": nil, "p > ::attr(title)": {"w"}, "#a ::attr(id), b::attr(title)": {"a", "w"},
		"p::text": {"Hello end", ""}, "div::text": {"x z", "y"}, "p > ::text": {"World"}, "body > div > ::text": {"y", ""},
	} {
		require.Equal(t, want, r.Texts(selector), selector)
	}
	require.Equal(t, "Hello", r.Text("p ::text"))
	require.Equal(t, "z", r.Select("div ::text")[2].Text())
	require.Equal(t, []string{"x", "y", "z"}, r.Select("div::text").Texts(), "in document order")
	require.Equal(t, []string{"Hello", "World", "end"}, r.Select("p ::text, p::text").Texts(), "once each")
	require.Equal(t, 2, r.CSS("#a ::text").Length(), "the elements")

	// Alone, it is that of the node.
	p := r.Select("#a")[0]
	require.Equal(t, []string{"Hello", "World", "end"}, p.Texts("::text"))
	require.Equal(t, []string{"Hello", "World", "end"}, p.Texts(":scope ::text"))
	require.Equal(t, "Hello", p.Text("::text"))
	require.Equal(t, []string{"a"}, p.Texts("::attr(id)"))
	require.Equal(t, "a", p.Select("::attr(id)").Text())
	require.Equal(t, []string{"Hello", "World", "end"}, p.Select("p ::text").Texts())
	require.Equal(t, []string{"World"}, p.Texts("> ::text"))
	require.Len(t, r.Select("body ::text"), 7, "white space too")
	require.NoError(t, r.Err())

	type words struct {
		All   []string `css:"#a ::text"`
		First string   `css:"#a ::text"`
		Own   string   `css:"#a::text"`
		Any   bool     `css:"div p ::text" extract:"exists"`
		Title string   `css:"#a ::attr(title)"`
	}
	got, err := crawl.Extract[words](r)
	require.NoError(t, err)
	require.Equal(t, words{[]string{"Hello", "World", "end"}, "Hello", "Hello end", false, "w"}, got)
}

// In a list, what stands beside the scope and what stands in it are both found.
func TestListBesideScope(t *testing.T) {
	t.Parallel()
	r := page(t, "http://h/", htmlUTF8, `<dl><dt>k0<dd>v0<dt id=k>k<b>1</b><dd>v<i>2</i><b>3</b><!-- --><dt>l<dd>w</dl><b>no</b>`)
	dt := r.Select("#k")[0]
	for selector, want := range map[string][]string{
		"+ dd, b": {"1", "v23"}, "b, + dd": {"1", "v23"}, "+ dd": {"v23"}, "~ dd, b": {"1", "v23", "w"}, "~ dd b, b, ~ dd > b": {"1", "3"}, "~ dd ~ dd": {"w"}, "+ dt, b": {"1"}, "~ dd, + dd": {"v23", "w"},
		"+ dd i::text, ::text": {"k", "1", "2"}, ":scope + dd": {"v23"}, ":scope > b, dl b": {"1"}, ":scope b": {"1"}, ":scope dd": nil,
	} {
		require.Equal(t, want, dt.Texts(selector), selector)
	}
	last := r.Select("dd")[2]
	require.Nil(t, last.Texts("+ b, ~ dd"))
	require.Nil(t, r.Texts("+ html"))
	require.Equal(t, []string{"no"}, r.Texts("+ html, dl + b"))
	require.NoError(t, r.Err())
}

// Selectors of Selectors 4, which cascadia has not.
func TestSelectorsOfBrowsers(t *testing.T) {
	t.Parallel()
	r := page(t, "http://h/", htmlUTF8, `<div id=d><a href="x]y">1</a><p class="1c a:b" lang=en-GB data-X=Q>2</p><p>3<i>4</i></p><input type=TEXT></div><ul><li>5<li>6<i>7</i><b>8</b></ul>
		<svg viewBox="0"><linearGradient id=g xlink:href="#h"></linearGradient></svg>`)
	for selector, want := range map[string]int{
		":is(a, i)": 3, ":where(p, li) > i": 2, ":is(p, ul) :is(i, b)": 3, ":has(> p)": 1, "p:has(+ p)": 1, "a:has(~ p > i)": 1, "li:has(i + b)": 1, "li:has(> i, > b)": 1, "li:has(u)": 0, "ul:has(body i)": 0,
		":is(:has(> i), a)": 3, "p:not(:has(i), .x)": 1, "div:haschild(a)": 1, ":NOT(p):IS(a)": 1, "li:has(:is(i, u):not(b))": 1,
		"linearGradient": 1, "lineargradient": 1, "svg > LINEARGRADIENT": 1, "svg|linearGradient": 1, "svg|p": 0, "html|p": 2, "*|p": 2, "|p": 2, "*|*:not(*)": 0,
		"[viewBox]": 1, "[viewbox='0']": 1, "[xlink|href]": 1, `[xlink\:href^="#"]`: 1, "[*|href]": 2, "[HREF]": 2, "[data-x=q I]": 1, "[data-x=Q s]": 1, "[data-x=q s]": 0, "[data-x=q]": 0, "[type=text i]": 1,
		`.\31 c`: 1, `.\31 c.a\:b`: 1, `.\000031c`: 1, `#\64`: 1, `p.\31 c + p`: 1, `[href="x]\79"]`: 1, "[lang|=en]": 1, "[lang|=e]": 0, "[href^='']": 0, "[href~='']": 0, "[href#=^x.y$]": 1, "[href!=x]": 99,
		"p:nth-child(1 of .a\\:b)": 1, "li:nth-last-child(1 of :has(i))": 1, "li:nth-child( 2  OF li )": 1, "li:NTH-CHILD(2/* */ of li)": 1, "LI:Nth-Child(2N)": 1, "li:NTH-Last-of-type(2n)": 1, "li:nth-child(2 of :has(i))": 0, "li:nth-child(odd of li, p)": 1, "p:nth-child(2 of p, a)": 1,
		"p:nth-child(n of p:nth-child(2n+1 of p, a))": 1, ":only-of-type:is(i, a)": 3, "i:only-child": 1, "div > :only-of-type": 2, "li:contains('6')": 1, "ul:CONTAINS('78')": 1, "li:contains( '5' )": 1,
		"p:lang(en)": 1, "p:lang('en-gb')": 1, "p:lang(fr, EN)": 1, "p:lang(e)": 0, "p:lang('')": 0, "ul:matches(6.8)": 1, "ul:matches(^5)": 1,
		"li/* , */:first-child": 1, "[/* */ href /* */ = /* */ 'x]y' /* */]": 1, "p:nth-of-type( 2 )": 1, "li:nth-child(ODD)": 1,
	} {
		got := len(r.Select(selector))
		if want == 99 {
			require.Greater(t, got, 10, selector)
		} else {
			require.Equal(t, want, got, selector)
		}
		require.NoError(t, r.Err())
	}
	type drawing struct {
		A, B, C, D bool
		ID         string `css:"linearGradient@id"`
		Lower      string `css:"lineargradient@id"`
		Link       string `css:"a"`
		List       string `css:"ul > li"`
		Div        string `css:"#d@id"`
	}
	got, err := crawl.Extract[drawing](r)
	require.NoError(t, err)
	require.Equal(t, drawing{ID: "g", Lower: "g", Link: "1", List: "5", Div: "d"}, got)
}

// Names of elements and attributes count as they are written, also in brackets.
func TestCSSInXML(t *testing.T) {
	t.Parallel()
	r := page(t, "http://h/", "text/xml", `<rss xmlns:m="u"><Item><guid isPermaLink="false">1</guid><pubDate>d</pubDate><m:Thumb m:URL="t"/></Item><Item><guid isPermaLink="true">2</guid></Item></rss>`)
	for selector, want := range map[string][]string{
		`guid[isPermaLink="false"]`: {"1"}, `guid[isPermaLink=FALSE i]`: {"1"}, `guid[ispermalink]`: nil, "Item:has(pubDate) guid": {"1"}, "Item:not(:has(pubDate)) guid": {"2"}, "Item:has(> pubdate)": nil,
		"guid:not([isPermaLink=true])": {"1"}, ":is(guid, PUBDATE)": {"1", "2"}, "guid:has(+ pubDate)": {"1"}, "Item:has(m|Thumb) guid": {"1"}, `m|Thumb[m|URL]::attr(m:URL)`: {"t"}, `[*|URL]::attr(m:URL)`: {"t"},
		`[m\:URL=t]::attr(m|URL)`: {"t"}, "[URL]": nil, "*|Thumb::attr(m:URL)": {"t"}, "Item:first-of-type > guid": {"1"}, "Item ::text": {"1", "d", "2"},
	} {
		require.Equal(t, want, r.Texts(selector), selector)
	}
	require.NoError(t, r.Err())
}

func TestMalformedInBrackets(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(":not(", 101) + "a" + strings.Repeat(")", 101)
	nth := strings.Repeat(":nth-child(1 of ", 10_000) + "a" + strings.Repeat(")", 10_000)
	for selector, want := range map[string]string{
		"p:is(a, )": "at character 8: expected a selector, found nothing", "p:not()": "at character 7: expected a selector, found nothing", "p:is(> a)": "at character 6: expected a selector that is not relative",
		"p:has(a..b)": "at character 9: expected identifier, found . instead", "p:not(a[b~c])": "at character 10: expected an operator such as = or ^=, found ~ instead", "b, p:is": "at character 8: expected '(' after :is",
		"a[b=]": "at character 5: expected identifier, found ] instead", "a[b=c d]": "at character 7: expected ']', found d instead", "a[*]": "at character 4: expected the name of an attribute", "a%": "at character 2: expected a selector, found '%'",
		"a[b#=]": "at character 6: expected a regular expression", "a[b#=*]": "at character 6: error parsing regexp", "a:has(b:nope)": "at character 8: unknown pseudoclass", "a|": "at character 3: expected identifier, found the end", `a\`: "nothing is escaped",
		"p:contains(": "at character 12: expected ')', found the end", "p:contains(a b)": "at character 14: expected ')', found b instead", "p:lang(en,)": "at character 11: expected identifier, found the end",
		"p:nth-child(2 of )": "at character 18: expected a selector, found nothing", "p:nth-child(x of a)": "at character 2:", "p:nth-child(2 of > a)": "at character 18: expected a selector that is not relative",
		".1a": "at character 2: expected identifier, found 1 instead", deep: "more than 100 selectors stand in each other", nth: "more than 100 selectors stand in each other",
	} {
		r := page(t, "http://h/", htmlUTF8, greeting)
		require.Empty(t, r.Select(selector), selector)
		require.ErrorContains(t, r.Err(), want, selector)
	}
}

// A language is that of the nearest element which says one.
func TestNearestLanguage(t *testing.T) {
	t.Parallel()
	for kind, body := range map[string]string{
		htmlUTF8: `<div lang=en><p id=a>1</p><p id=b lang=de-AT>2<b id=c>3</b></p><p id=d lang="">4</p></div><p id=e>`, "text/xml": `<div xml:lang="en"><p id="a"/><p id="b" xml:lang="DE-at"><b id="c"/></p><p id="d" xml:lang=""/></div>`,
	} {
		r := page(t, "http://h/", kind, body)
		for selector, want := range map[string][]string{
			"p:lang(en)": {"a"}, ":lang(de)": {"b", "c"}, ":lang(de-at)": {"b", "c"}, "div :lang(en, de)": {"a", "b", "c"}, "div p:not(:lang(en))": {"b", "d"}, ":lang(de-a)": nil,
		} {
			require.Equal(t, want, r.Texts(selector+"::attr(id)"), "%s: %s", kind, selector)
		}
		require.NoError(t, r.Err())
	}
}

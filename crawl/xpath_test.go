package crawl_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
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

const xpathPage = `<div id=d class="box big"><p class=a>one</p><p class="a b">two</p><p>th"r'ee</p></div>
<ul><li itemprop=x>1</li><li>2</li><li>3</li></ul><a href="/p/12?x=1">twelve</a><a href="/p/7">SEVEN</a>`

func TestXPathVariables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		expr string
		vars crawl.Vars
		want string
	}{
		{"//p[@class=$c]", crawl.Vars{"c": "a b"}, "two"},
		{"//p[. = $t]", crawl.Vars{"t": `th"r'ee`}, `th"r'ee`},
		{"//p[contains(., $t)]", crawl.Vars{"t": `"r'e`}, `th"r'ee`},
		{"//p[$n]", crawl.Vars{"n": 2}, "two"},
		{"//li[. > $n + -1]", crawl.Vars{"n": 2.5}, "2"},
		{"//li[. > $n][$b]", crawl.Vars{"n": -1, "b": true}, "1"},
		{"//p[@class=$c]", crawl.Vars{"c": `a"] | //li["`}, ""},
		{"//p[@class=$c-d]", crawl.Vars{"c-d": `a`}, "one"},
		{"//a[re:test(@href, $p)]", crawl.Vars{"p": `/\d$`}, "SEVEN"},
		{"$t", crawl.Vars{"t": "self"}, "self"},
	} {
		r := page(t, "http://h/", htmlUTF8, xpathPage)
		require.Equal(t, c.want, r.XPathText(c.expr, c.vars), c.expr)
		require.NoError(t, r.Err(), c.expr)
	}
	r := page(t, "http://h/", htmlUTF8, xpathPage)
	require.Equal(t, []string{"one", "two"}, []string{r.XPathText("//p[$n]", crawl.Vars{"n": 1}), r.XPathText("//p[$n]", crawl.Vars{"n": 2})}, "kept apart")
	require.Len(t, r.XPath("//p[@class=$a or @class=$b]", crawl.Vars{"a": "a"}, crawl.Vars{"b": "a b"}), 2)
}

func TestXPathEval(t *testing.T) {
	t.Parallel()
	r := page(t, "http://h/", htmlUTF8, xpathPage)
	require.Equal(t, 3.0, r.Eval("count(//li)"))
	require.Equal(t, true, r.Eval("//li = '2'"))
	require.Equal(t, "one", r.Eval("string(//p)"))
	require.Len(t, r.Eval("//li"), 3)
	require.Equal(t, true, r.Eval("set:has-same-node(//li, //*[@itemprop])"))
	for expr, want := range map[string]string{
		"count(//li)": "3", "count(//li) div 2": "1.5", "//li = '9'": "false", "normalize-space(//div)": `onetwoth"r'ee`, "//a/@href": "/p/12?x=1", "//h1": "", "1 div 0": "Infinity",
		"-1 div 0": "-Infinity", "number('x')": "NaN", "string(//h1)": "", "concat('a', \"b\")": "ab", "string-length('abc')": "3",
	} {
		require.Equal(t, want, r.XPathText(expr), expr)
	}
	require.NoError(t, r.Err())
	for range 3 {
		require.Equal(t, "1.5", r.XPathText("count(//li) div 2"), "again")
	}
}

func TestXPathExtensions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		expr string
		want []string
	}{
		{`//p[has-class("a")]`, []string{"one", "two"}},
		{`//p[has-class("a", 'b')]`, []string{"two"}},
		{`//div[has-class("bi")]`, nil},
		{`//a[re:test(@href, "\d{2}")]`, []string{"twelve"}},
		{`//a[re:test(., "^seven$", "i")]`, []string{"SEVEN"}},
		{`//a[re:test(., "^seven$")]`, nil},
		{`re:replace("a-b-c", "-", "g", "+")`, []string{"a+b+c"}},
		{`re:replace("a-b-c", "-", "", "+")`, []string{"a+b-c"}},
		{`re:replace("a1b2", "([a-z])(\d)", "g", "\2$1$")`, []string{"1a$2b$"}},
		{`re:replace("a1b2", "([a-z])(\d)", "", "\2\1")`, []string{"1ab2"}},
		{`re:replace("A", "a", "gi", "x")`, []string{"x"}},
		{`set:difference(//li, //*[@itemprop])`, []string{"2", "3"}},
		{`set:intersection(//li, //*[@itemprop])`, []string{"1"}},
		{`set:distinct(//p/@class | //li)`, []string{"a", "a b", "1", "2", "3"}},
		{`set:leading(//li, //li[3])`, []string{"1", "2"}},
		{`set:trailing(//li, //li[1])`, []string{"2", "3"}},
		{`set:difference(set:intersection(//li, //li), //li[has-class("x")])`, []string{"1", "2", "3"}},
		{`//p[contains(@class, substring(@class, 1, 1))]`, []string{"one", "two", `th"r'ee`}}, // the empty text is in every text
		{`//li[starts-with(., ..)]`, nil},
		{`//li[string-length() = 1]`, []string{"1", "2", "3"}},
		{`//p[lower-case(.) = 'one']`, []string{"one"}},
		{`//li [ position() mod 2 = 1 ] `, []string{"1", "3"}},
		{`//li[. div 2 = 1 or .=.5]`, []string{"2"}},
		{`//p/ancestor::div/@id`, []string{"d"}},
		{`(//li)[last()]`, []string{"3"}},
		{`//ul/*[2]`, []string{"2"}},
	} {
		r := page(t, "http://h/", htmlUTF8, xpathPage)
		var got []string
		switch v := r.Eval(c.expr).(type) {
		case crawl.Nodes:
			got = v.Texts()
		case string:
			got = []string{v}
		}
		require.NoError(t, r.Err(), c.expr)
		require.Equal(t, c.want, got, c.expr)
	}
}

func TestMalformedXPathSaysWhere(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		"//p[":                         `at character 4: "[" is not closed`,
		"//p[@a='x]":                   "at character 8: the string is not closed",
		"//p)":                         `at character 4: ")" closes nothing`,
		"//p[(1]":                      `at character 7: "]" closes nothing`,
		"  ":                           "the expression is empty",
		"//p[$x]":                      "at character 5: the variable $x is not given: pass it in Vars",
		"//p[$ x]":                     "at character 5: expected the name of a variable",
		"//p[nope(.)]":                 "at character 5: unknown function nope()",
		"//p[containz(., 'x')]":        "unknown function containz(): did you mean contains()?",
		"//p[contains(.)]":             "at character 5: contains() needs at least 2 arguments, it has 1",
		"//p[not(., .)]":               "not() takes at most 1 arguments, it has 2",
		"//p[contains(., )]":           "at character 5: argument 2 of contains() is missing",
		"//p{1}":                       `at character 4: '{' has no meaning here`,
		"//p[re:test(., '(')]":         "at character 16: error parsing regexp",
		"//p[re:test(., @x)]":          "at character 16: re:test() takes a pattern",
		"//p[re:test(., 'a', 'q')]":    `'q' is not a flag of re:test()`,
		"re:match(//p, 'x')":           "at character 1: re:match() gives texts that stand nowhere",
		"set:difference(//a, 'x')":     "at character 21: set:difference() needs an expression that gives nodes",
		"re:replace('a','b','','\\3')": "names group 3, the pattern has 0",
		"//p[1.2.3]":                   `at character 5: "1.2.3" is not a number`,
		"//p///":                       "xpath",
		"foo::bar":                     "xpath",
	} {
		r := page(t, "http://h/", htmlUTF8, xpathPage)
		require.Empty(t, r.XPath(expr), expr)
		require.ErrorContains(t, r.Err(), "xpath "+strconv.Quote(expr), expr)
		require.ErrorContains(t, r.Err(), want, expr)
	}
	r := page(t, "http://h/", htmlUTF8, xpathPage)
	require.Empty(t, r.XPath("//p[$x]", crawl.Vars{"y": 1, "z": 2, "xmlns:a": "b"}))
	require.ErrorContains(t, r.Err(), "the variable $x is not given (there is $y, $z)")
	r = page(t, "http://h/", htmlUTF8, xpathPage)
	require.Empty(t, r.XPath("//p[$x]", crawl.Vars{"x": []string{"a"}}))
	require.ErrorContains(t, r.Err(), "the variable $x is a []string: want a string, a number or a bool")
}

// Where XPath here gives something else than lxml, which Scrapy has. Each row says what lxml gives.
func TestXPathAgainstLxml(t *testing.T) {
	t.Parallel()
	const body = `<div id=1><p>a<br>b</p><p>c</p></div><div id=2><p>d</p></div><table><tr><td>x</td></tr></table><script>s</script><svg><a xlink:href="/s"/></svg>`
	for _, c := range []struct {
		expr string
		here []string
		lxml string
	}{
		{"//p", []string{"a b", "c", "d"}, `the same nodes; their text is "ab", without the space that a <br> stands for in Text`},
		{"string(//p)", []string{"ab"}, "the same"},
		{"//p[1]", []string{"a b", "d"}, "the same: the first of each parent"},
		{"(//p)[1]", []string{"a b"}, "the same"},
		{"//p[last()]", []string{"c", "d"}, "the same"},
		{"//div[@id='2']/preceding::p", []string{"a b", "c"}, "the same"},
		{"//p | //div/@id", []string{"1", "a b", "c", "2", "d"}, "the same, in document order"},
		{"//p/..", []string{"a bc", "d"}, "the same, each once"},
		{"//table/tr", nil, "<tr>: its parser adds no <tbody>; ours does, as browsers do, so write //table//tr"},
		{"//table/tbody/tr/td", []string{"x"}, "nothing"},
		{"//svg/a/@xlink:href", []string{"/s"}, "an error: the prefix is not known there"},
		{"//P", nil, "the same: names of HTML are in lower case"},
		{"//div[@id=2]/p", []string{"d"}, "the same: numbers compare with texts"},
		{"//p[text()='a']", []string{"a b"}, "the same: one of the texts"},
		{"lower-case('A')", []string{"a"}, "an error: it is a function of XPath 2, as are ends-with, matches, replace, reverse and string-join"},
		{"id('2')", []string{"d"}, "the same"},
		{"//p[lang('en')]", nil, "the same; the attribute lang, which pages have, counts here beside xml:lang"},
	} {
		r := page(t, "http://h/", htmlUTF8, body)
		var got []string
		switch v := r.Eval(c.expr).(type) {
		case crawl.Nodes:
			got = v.Texts()
		case string:
			got = []string{v}
		}
		require.Equal(t, c.here, got, "%s (lxml: %s)", c.expr, c.lxml)
	}
}

package crawl_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func FuzzCSS(f *testing.F) {
	for _, s := range []string{
		"a::attr(href), img::attr(src)", "> li:nth-child(2n+1)::text", ":scope > a", `a[b="c,d)"]`, "svg|rect", "a /* b */ > c", "p[", "::text", `a\:b`, "a ~ b + c", ":not(a, b)", `\`, "a:has(> b)",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, selector string) {
		for _, r := range []*crawl.Response{page(t, "http://h/", htmlUTF8, offers), page(t, "http://h/", "text/xml", atom)} {
			nodes := r.Select(selector)
			texts, n := r.Texts(selector), r.CSS(selector).Length()
			if r.Err() != nil {
				require.ErrorContains(t, r.Err(), "css selector ")
				require.Empty(t, nodes)
				require.Empty(t, texts)
				require.Zero(t, n)
			}
			for _, node := range nodes {
				_ = node.Text()
				_ = node.HTML()
			}
		}
	})
}

func FuzzXPath(f *testing.F) {
	for _, s := range []string{
		"//p[$x]", "//a[re:test(@href, '\\d')]", "set:difference(//a, //b)", "re:replace('a', 'b', 'g', '\\1')", "//m:*", "count(//a) div 2", "//p[has-class('a')]", "//p[", "'", "$", "a:b:c", "1.2.3",
		"//div/*[2] | //a/@href", "not(//a)", "((((", "-1", "..", "//@*", "re:test('a',$x,'i')",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		if len(expr) > 300 {
			t.Skip("longer than anybody writes, and slow")
		}
		for _, vars := range [][]crawl.Vars{nil, {{"x": `a"'b`, "n": 5, "xmlns:m": "http://search.yahoo.com/mrss/"}}} {
			r := page(t, "http://h/", htmlUTF8, offers)
			_ = r.Eval(expr, vars...)
			_ = r.XPath(expr, vars...).Texts()
			if r.Err() != nil {
				require.ErrorContains(t, r.Err(), "xpath ")
			}
		}
	})
}

// A string variable is a string, whatever stands in it.
func FuzzXPathVariable(f *testing.F) {
	for _, s := range []string{"", "a", `'`, `"`, `"'`, `" or 1=1 or "`, "\x00", "é", "]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := page(t, "http://h/", htmlUTF8, "<p>")
		require.Equal(t, s, r.Eval("concat($s, '')", crawl.Vars{"s": s}))
		require.Equal(t, true, r.Eval("$s = $t", crawl.Vars{"s": s, "t": s}))
	})
}

func FuzzExtractNumber(f *testing.F) {
	for _, s := range []string{"1,234.56", "1.234,56", "€ 5", "-5 %", "1 234", "1'000", ".5", "5.", "−3", "", "99999999999999999999", "1e5", "0x1"} {
		f.Add(s)
	}
	type numbers struct {
		Usual float64 `xpath:"string(//p)"`
		Comma float64 `xpath:"string(//p)" num:"1.234,56"`
		Int   int64   `xpath:"string(//p)"`
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := crawl.Extract[numbers](page(t, "http://h/", htmlUTF8, "<p>"+strings.ReplaceAll(s, "<", "")))
		require.False(t, math.IsNaN(v.Usual) || math.IsInf(v.Usual, 0) || math.IsNaN(v.Comma) || math.IsInf(v.Comma, 0))
		if err == nil && math.Abs(v.Usual) < 1<<53 {
			require.Equal(t, v.Int, int64(v.Usual), "a whole number is the same to all")
		}
	})
}

func FuzzXML(f *testing.F) {
	for _, s := range []string{atom, "<a><b>1</b><b>2", "<a b=c d>&x;&amp;", "<a></b></a>", "<?xml version='1.1'?><a/>", "<a><![CDATA[x]]></a>", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<a:b:c/>", "\a<a></a>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := page(t, "http://h/", "text/xml", s)
		tree := r.XPath("//*")
		n := 0
		for node, err := range page(t, "http://h/", "text/xml", s).XMLNodes("*") {
			if err == nil {
				n += 1 + len(node.XPath(".//*"))
				_ = node.HTML()
			}
		}
		if r.Err() == nil {
			require.Len(t, tree, n, "the stream has the elements that the tree has")
		}
	})
}

package crawl_test

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestXMLNodes(t *testing.T) {
	t.Parallel()
	const feed = `<?xml version="1.1" encoding="utf-8"?>
<rss xmlns:g="http://base.google.com/ns/1.0"><channel><title>All &amp; more &nbsp; R&D</title>
<item><title><![CDATA[<b>A</b>]]></title><link>http://h/a</link><g:price cur=EUR>1</g:price><item>inner</item></item>
<item><title>B` + "\x0b" + `</title><p><item>C</p></item>
<g:item>D</g:item></channel><tail><item>E</item></tail></rss>`
	for _, c := range []struct {
		path string
		with []crawl.Vars
		want []string
	}{
		{"item", nil, []string{"<b>A</b>http://h/a1inner", "B C", "E"}},
		{"//item", nil, []string{"<b>A</b>http://h/a1inner", "B C", "E"}},
		{"channel/item", nil, []string{"<b>A</b>http://h/a1inner", "B C"}},
		{"/rss/channel/title", nil, []string{"All & more R&D"}},
		{"/channel", nil, nil},
		{"/rss/*/item", nil, []string{"<b>A</b>http://h/a1inner", "B C", "E"}},
		{"g:item", nil, []string{"D"}},
		{"x:item", []crawl.Vars{{"xmlns:x": "http://base.google.com/ns/1.0"}}, []string{"D"}},
		{"x:item", nil, nil},
		{"*:item", nil, []string{"<b>A</b>http://h/a1inner", "B C", "D", "E"}},
		{"item/item", nil, []string{"inner"}},
	} {
		r := page(t, "http://h/", "text/xml", feed)
		var got []string
		for n, err := range r.XMLNodes(c.path, c.with...) {
			require.NoError(t, err)
			got = append(got, n.Text())
		}
		require.Equal(t, c.want, got, c.path)
	}
}

func TestXMLNodesMalformed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body, path, want string
		nodes            int
	}{
		"cut":         {"<a>\n<i>1</i>\n<i>2</i>\n<i>3", "i", "xml line 4: the document ends inside <i>", 2},
		"cut in tag":  {"<a>\n<i>1</i>\n<i x='", "i", "xml line 3", 1},
		"no xml":      {"nothing\nhere", "i", "xml line 2: the document has no element", 0},
		"empty":       {"", "i", "no element", 0},
		"html":        {"<!DOCTYPE html><p>x", "i", "body is HTML, not XML", 0},
		"json":        {`{"a":1}`, "i", "body is JSON, not XML", 0},
		"binary":      {"\x89PNG\r\n\x1a\n0000", "i", "image/png", 0},
		"path":        {"<a/>", "a[1]", `"a[1]" is not the name of an element`, 0},
		"no path":     {"<a/>", "", "xml path", 0},
		"deep":        {strings.Repeat("<a>", 2000), "b", "more than 1000 elements", 0},
		"record deep": {"<i/>" + strings.Repeat("<a>", 2000), "i", "more than 1000 elements", 1},
	} {
		r := page(t, "http://h/", "", c.body)
		n := 0
		var last error
		for _, err := range r.XMLNodes(c.path) {
			require.NoError(t, last, "%s: something comes after an error", name)
			if last = err; err == nil {
				n++
			}
		}
		require.ErrorContains(t, last, c.want, name)
		require.Equal(t, c.nodes, n, name)
	}
}

// What is yielded may be kept, and iterating may end early.
func TestXMLNodesKept(t *testing.T) {
	t.Parallel()
	r := page(t, "http://h/", "text/xml", "<a n='1'><i>1</i><i>2</i><i>3</i></a>")
	var kept []crawl.Node
	for n, err := range r.XMLNodes("i") {
		require.NoError(t, err)
		if kept = append(kept, n); len(kept) == 2 {
			break
		}
	}
	require.Equal(t, "1", kept[0].Text())
	require.Equal(t, "2", kept[1].Text())
	require.Equal(t, "a", kept[0].Parent.Data)
}

func TestXMLNodesCharset(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("<i>x</i>\n", 20000)
	for name, c := range map[string]struct{ contentType, body, want string }{
		"declared":      {"text/xml", `<?xml version="1.0" encoding="iso-8859-1"?><a>` + long + "<l>\xe9t\xe9</l></a>", "été"},
		"header":        {"text/xml; charset=windows-1251", "<a>" + long + "<l>\xc4\xe0</l></a>", "Да"},
		"utf-8":         {"text/xml", "<a>" + long + "<l>é</l></a>", "é"},
		"broken utf-8":  {"text/xml; charset=utf-8", "<a>" + long + "<l>x\xff</l></a>", "x\ufffd"},
		"utf-16":        {"text/xml", utf16le("<a><l>é€</l></a>"), "é€"},
		"cut character": {"text/xml", "<a>" + strings.Repeat("é", 40000) + "<l>é</l></a>", "é"},
		"cut the other": {"text/xml", "<ab>" + strings.Repeat("é", 40000) + "<l>é</l></ab>", "é"},
	} {
		r := page(t, "http://h/", c.contentType, c.body)
		var got []string
		for n, err := range r.XMLNodes("l") {
			require.NoError(t, err, name)
			got = append(got, n.Text())
		}
		require.Equal(t, []string{c.want}, got, name)
	}
}

func utf16le(s string) string {
	b := []byte{0xff, 0xfe}
	for _, c := range s {
		b = append(b, byte(c), byte(c>>8))
	}
	return string(b)
}

// A document of several megabytes is read in less than one: from its file, one element at a time.
func TestXMLNodesMemory(t *testing.T) {
	spool := crawl.Spool{Dir: t.TempDir()}
	in, out := io.Pipe()
	const n = 20_000
	go func() {
		fmt.Fprint(out, "<a>")
		for i := range n {
			fmt.Fprintf(out, "<item><id>%d</id>%s</item><other>passed over</other>\n", i, strings.Repeat("<b/>", 20))
		}
		fmt.Fprint(out, "<last/></a>")
		out.Close()
	}()
	body, err := spool.Read(in, -1, 0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, spool.Close()) })
	r := page(t, "http://h/", "text/xml", "")
	r.Body = body
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	i := 0
	for _, err := range r.XMLNodes("item") {
		require.NoError(t, err)
		if i++; i == n/2 || i == n-1 {
			runtime.GC()
			runtime.ReadMemStats(&during)
			require.Less(t, int64(during.HeapAlloc)-int64(before.HeapAlloc), int64(1<<19))
		}
	}
	require.Equal(t, n, i)
	for _, err := range r.XMLNodes("last") { // what nobody asked for is not kept either
		require.NoError(t, err)
		runtime.GC()
		runtime.ReadMemStats(&during)
		require.Less(t, int64(during.HeapAlloc)-int64(before.HeapAlloc), int64(1<<19))
	}
}

// What feeds in the wild have, and encoding/xml refuses, costs nothing but itself.
func TestXMLForgiven(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		"<r><i>1&#x1f;</i><b>2</b></r>":                                                  "1|2",
		"<r><!-- a -- b --><i>1</i><!-- x ---><b>2</b><!--></i>--></r>":                  "1|2",
		"<r><i>3 < 4 <5 <</i><b>2</b></r>":                                               "3 < 4 <5 <|2",
		"<r><i>a <\u2013 b <! c <? d </ </></i></b></i><b>2</b></r>":                     "a <\u2013 b <! c <? d|2",
		"<r><i>]]>></i><b>2</b></r>":                                                     "]]>>|2",
		"<r><i>\ufffe\uffff</i><b>2</b></r>":                                             "\ufffe\uffff|2",
		"\n<?xml version=\"1.1\"?><r><i>1</i><b>2</b></r>":                               "1|2",
		"junk <?xml version='1.0'> <r><i>1</i><b>2</b></r>":                              "1|2",
		"<r><i>&#xD83D;&#xDE00;&#xD83D;x&#9;y&#1114112;</i><b>2</b></r>":                 "😀\ufffdx y\ufffd|2",
		"<r><i>&nope;&amp;lt;&nbsp;&eacute;&;&#;&#x;& &lt</i><b>2</b></r>":               "&nope;&lt; é&;&#;&#x;& &lt|2",
		"<r><?php echo '>' ?><i>1</i><![if !x]><![endif]--><b>2</b></r>":                 "1|2",
		"<r></><1/><i>1</i ><b>2</ b></r>":                                               "1|2",
		"<r><i><![CDATA[<b>&amp;]]]]><![CDATA[>]]></i><b>2</b></r>":                      "<b>&amp;]]>|2",
		"<r><i>a\r\nb\rc\x00d</i><b>2</b></r>":                                           "a b c d|2",
		"<!DOCTYPE r [<!ENTITY a ']>'><!-- it's ]> --><?x ' ?>]><r><i>1</i><b>2</b></r>": "1|2",
		"<!doctype r PUBLIC \"-//x><r><i>1</i><b>2</b></r>":                              "1|2",
		"<r><i>1<x/></i><b / >2</r>":                                                     "1|",
		"<r><a:b:c><i>1</i></a:b:c><b>2</b></r>":                                         "1|2",
	} {
		r := page(t, "http://h/", "application/xml", doc)
		require.Equal(t, want, r.XPathText("//i")+"|"+r.XPathText("//b"), doc)
		require.NoError(t, r.Err(), doc)
	}
}

func TestXMLAttributes(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{
		`<a x="1"y='2'>`:                 `x=1 y=2`,
		`<a x y=z/>`:                     `x= y=z`,
		`<a href="a"b"/>`:                `href=a b"=`,
		"<a\n\tx = \"1 > 0\" y=a&amp;b>": `x=1 > 0 y=a&b`,
		`<a href=http://h/?a&b/>`:        `href=http://h/?a&b`,
		`<a x='"&quot;&lt;<b>'>`:         `x=""<<b>`,
		`<a =x/ / y= >`:                  `x= y=`,
		`<a X="1" x="2" o:X="3">`:        `X=1 x=2 o:X=3`,
	} {
		r := page(t, "http://h/", "application/xml", "<r>"+tag+"</r>")
		var got []string
		for _, n := range r.XPath("//a") {
			for _, a := range n.Node.Attr {
				got = append(got, a.Key+"="+a.Val)
			}
		}
		require.Equal(t, want, strings.Join(got, " "), tag)
		require.NoError(t, r.Err(), tag)
	}
}

func TestXMLNamespacesOfElements(t *testing.T) {
	t.Parallel()
	r := page(t, "http://h/", "application/xml", `<r xmlns="one" xmlns:p="P" xmlns:p="not"><a/><b xmlns="two" xmlns:q="Q"><p:c/><q:d/></b><e/><q:f/><g xmlns=""><h/></g><xml:i/></r>`)
	var got []string
	for _, n := range r.XPath("//*") {
		got = append(got, n.Data+"="+n.Namespace)
	}
	require.NoError(t, r.Err())
	require.Equal(t, "r=one a=one b=two p:c=P q:d=Q e=one q:f= g= h= xml:i=http://www.w3.org/XML/1998/namespace", strings.Join(got, " "))
}

// An element costs what it has itself, however many attributes those have that it stands in, and however many of them there are.
func TestXMLNamespacesCost(t *testing.T) {
	doc := func(attrs int) *crawl.Response {
		var b strings.Builder
		b.WriteString("<r")
		for i := range attrs {
			fmt.Fprintf(&b, " a%d=''", i)
		}
		b.WriteString(">" + strings.Repeat("<d>", 100) + strings.Repeat("<x/>", 20_000) + strings.Repeat("</d>", 100) + "</r>")
		return page(t, "http://h/", "application/xml", b.String())
	}
	took := func(attrs int) time.Duration {
		r := doc(attrs)
		begun := time.Now()
		require.Len(t, r.XPath("/r"), 1)
		return time.Since(begun)
	}
	took(1)
	few := took(1)
	many := took(20_000)
	require.Less(t, many, 10*few+100*time.Millisecond)
}

func BenchmarkXML(b *testing.B) {
	var doc strings.Builder
	doc.WriteString(`<rss xmlns:g="http://base.google.com/ns/1.0"><channel>`)
	for i := range 5000 {
		fmt.Fprintf(&doc, "\n<item>\n  <title>Product number %d &amp; more</title>\n  <link>http://h/%d?a=b&amp;c=d</link>\n  <g:price currency=\"EUR\">%d.00</g:price>\n  <description><![CDATA[%s]]></description>\n</item>",
			i, i, i, strings.Repeat("some <b>text</b> ", 20))
	}
	doc.WriteString("</channel></rss>")
	b.SetBytes(int64(doc.Len()))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range page(b, "http://h/", "text/xml", doc.String()).XMLNodes("item") {
			require.NoError(b, err)
			n++
		}
		require.Equal(b, 5000, n)
	}
}

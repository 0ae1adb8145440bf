package crawl_test

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

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

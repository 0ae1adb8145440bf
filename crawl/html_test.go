package crawl_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// page is a response with a body, as it comes from the wire.
func page(t testing.TB, address, contentType, body string) *crawl.Response {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	h := http.Header{}
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	return &crawl.Response{
		Request: &crawl.Request{URL: u}, URL: u, Status: 200, Header: h,
		Body: crawl.BytesBody([]byte(body)), Selectors: new(crawl.Selectors),
	}
}

const htmlUTF8 = "text/html; charset=utf-8"

const shop = `<html><head><title> A  shop </title><style>p{}</style></head><body>
<div id="top">own <b>deep</b> text<script>var x</script></div>
<p class="p">one</p><p class="p">two&nbsp;
 three</p><p class="p">a<br>b</p>
<a href=" /a ">A</a><a>none</a><a href="b?x=1#f">B</a><img src="i.png"><a href="http://[bad/">bad</a>
<span data-Price="9">nine</span></body></html>`

func TestSelectors(t *testing.T) {
	t.Parallel()
	r := page(t, "https://example.com/dir/page", htmlUTF8, shop)
	require.Equal(t, "A shop", r.Text("title"))
	require.Equal(t, "own deep text", r.Text("#top"))
	require.Equal(t, "own text", r.Text("#top::text"))
	require.Equal(t, "9", r.Text("span::attr(DATA-price)"))
	require.Equal(t, []string{"one", "two three", "a b"}, r.Texts("p.p"))
	require.Equal(t, []string{"/a", "b?x=1#f", "http://[bad/"}, r.Texts("a::attr(href)"))
	require.Equal(t, "/a", r.Attr("a", "HREF"))
	require.Equal(t, "b?x=1#f", r.Attr("a:nth-of-type(n+2)", "href"), "the first that has it")
	require.Empty(t, r.Attr("a", "title"))
	require.Empty(t, r.Text("h1"))
	require.Nil(t, r.Texts("h1"))
	require.Equal(t, 3, r.CSS("p.p::text").Length())
	require.Equal(t, []string{"https://example.com/a", "https://example.com/dir/b?x=1#f", "https://example.com/dir/i.png"}, r.URLs("a, img"))
	require.NoError(t, r.Err())
}

func TestMalformedSelector(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(*crawl.Response) int{
		"css":   func(r *crawl.Response) int { return r.CSS("p[").Length() },
		"text":  func(r *crawl.Response) int { return len(r.Text("p[")) },
		"texts": func(r *crawl.Response) int { return len(r.Texts("p[")) },
		"attr":  func(r *crawl.Response) int { return len(r.Attr("p[", "href")) },
		"urls":  func(r *crawl.Response) int { return len(r.URLs("p[")) },
	} {
		r := page(t, "http://h/", htmlUTF8, shop)
		require.Zero(t, use(r), name)
		require.ErrorContains(t, r.Err(), `css selector "p["`, name)
	}
}

func TestBaseHref(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ head, want string }{
		{`<base href="/other/">`, "https://example.com/other/x"},
		{`<base target="_blank"><base href="//cdn.example/">`, "https://cdn.example/x"},
		{`<base href="">`, "https://example.com/dir/x"},
		{`<base href="javascript:0">`, "https://example.com/dir/x"},
		{`<base href="/1/"><base href="/2/">`, "https://example.com/1/x"},
		{`</head><body><p><BASE href="/late/">`, "https://example.com/late/x"},
		{`</head><body><!-- <base href="/late/"> -->`, "https://example.com/dir/x"},
		{``, "https://example.com/dir/x"},
	} {
		for _, contentType := range []string{htmlUTF8, "Text/HTML", ""} {
			r := page(t, "https://example.com/dir/", contentType, "<html><head>"+c.head+`</head><a href="x">x</a>`)
			u, err := r.Join("x")
			require.NoError(t, err)
			require.Equal(t, c.want, u.String(), "%s, type %q", c.head, contentType)
			require.Equal(t, []string{c.want}, r.URLs("a"), c.head)
		}
	}
	r := page(t, "https://example.com/dir/", "text/plain", `<base href="/other/">`)
	u, err := r.Join("x")
	require.NoError(t, err)
	require.Equal(t, "https://example.com/dir/x", u.String())
	_, err = (&crawl.Response{}).Join("x")
	require.Error(t, err)
}

func TestDeepPage(t *testing.T) {
	t.Parallel()
	const deep = 5000
	var b strings.Builder
	for i := range deep {
		fmt.Fprintf(&b, `<div>t%d <a href="/%d">l</a><br>`, i, i)
	}
	nested := b.String() + strings.Repeat("</div>", deep) + "<p id=end>end</p>"
	stray := strings.Repeat("<div></x><a href=/s>s</a>", deep) + "<p id=end>end</p>"
	for name, c := range map[string]struct {
		body string
	}{"nested": {nested}, "never closed": {b.String() + "<p id=end>end</p>"}, "stray ends": {stray}} {
		r := page(t, "http://h/", htmlUTF8, c.body)
		require.Len(t, r.URLs("a"), deep, name)
		require.Contains(t, r.Text("body"), "end", name)
		require.NoError(t, r.Err(), name)
	}
	r := page(t, "http://h/", htmlUTF8, nested)
	require.Equal(t, "end", r.Text("body > #end"), "what follows the deep part stands where it stood")
	require.Contains(t, r.Text("body"), "t4999")
}

func TestBinaryPage(t *testing.T) {
	t.Parallel()
	r := page(t, "http://h/", htmlUTF8, "\x89PNG\r\n\x1a\n0000")
	require.Zero(t, r.CSS("*").Length())
	require.Empty(t, r.Texts("*"))
	require.ErrorContains(t, r.Err(), "image/png")
	empty := page(t, "http://h/", htmlUTF8, "")
	require.Empty(t, empty.Text("p"))
	require.NoError(t, empty.Err())
}

func TestJSON(t *testing.T) {
	t.Parallel()
	r := page(t, "http://h/", "application/json", `{"items":[{"p":1},{"p":2}]}`)
	require.Equal(t, "[1,2]", r.JSON("items.#.p").Raw)
	require.False(t, r.JSON("none").Exists())
	require.NoError(t, r.Err())
	bad := page(t, "http://h/", "application/json", `<html>`)
	require.False(t, bad.JSON("a").Exists())
	require.ErrorContains(t, bad.Err(), "not JSON")
}

func TestSelectorsAtOnce(t *testing.T) {
	t.Parallel()
	shared := new(crawl.Selectors)
	r := page(t, "https://example.com/", htmlUTF8, shop)
	r.Selectors = shared
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			other := page(t, "https://example.com/", htmlUTF8, shop)
			other.Selectors = shared
			for _, r := range []*crawl.Response{r, other} {
				for j := range 100 {
					r.Texts(fmt.Sprintf("p:nth-child(%d)", i*100+j))
				}
				if r.Text("title") != "A shop" || len(r.XPath(`//p[contains(., "o") and position() < 9]/@class`)) != 2 || len(r.XPath("//a | //p")) != 7 {
					t.Error("selectors give something else under concurrency")
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, r.Err())
}

// counting is a Sink that counts.
type counting struct{ items, requests, skipped int }

func (c *counting) Item(any) bool                        { c.items++; return true }
func (c *counting) Request(*crawl.Request) (bool, error) { c.requests++; return true, nil }
func (c *counting) SkipLink(string, error)               { c.skipped++ }
func (c *counting) Put(string, json.RawMessage) bool     { return true }
func (c *counting) Get(string) (json.RawMessage, bool)   { return nil, false }

func benchPage() []byte {
	var b bytes.Buffer
	b.WriteString(`<!DOCTYPE html><html><head><title>Bench</title></head><body><h1 class="t">Heading</h1><p class="price">£ 12</p><ul>`)
	for i := range 20 {
		fmt.Fprintf(&b, `<li class="item"><a class="l" href="/page/%d?x=1">Link number %d</a></li>`, i, i)
	}
	b.WriteString("</ul>")
	for b.Len() < 8<<10 {
		b.WriteString(`<div class="row"><span>Some words</span> and <em>more</em> of them</div>`)
	}
	return b.Bytes()
}

func BenchmarkPage(b *testing.B) {
	body := benchPage()
	u, _ := url.Parse("http://example.com/dir/")
	h := http.Header{"Content-Type": {htmlUTF8}}
	b.Run("tulle", func(b *testing.B) {
		b.ReportAllocs()
		selectors := new(crawl.Selectors)
		req := &crawl.Request{URL: u}
		for b.Loop() {
			r := &crawl.Response{Request: req, URL: u, Status: 200, Header: h, Body: crawl.BytesBody(body), Selectors: selectors}
			var sink counting
			out := crawl.NewOut(r, &sink)
			if r.Text("h1.t") == "" || r.Text("p.price") == "" || !out.FollowAll("a.l", "") || sink.requests != 20 {
				b.Fatal("the page gave something else")
			}
			out.Close()
		}
	})
	b.Run("goquery", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			doc, err := goquery.NewDocumentFromReader(bytes.NewReader(body))
			if err != nil || doc.Find("h1.t").Text() == "" || doc.Find("p.price").Text() == "" {
				b.Fatal("the page gave something else")
			}
			n := 0
			doc.Find("a.l").Each(func(_ int, s *goquery.Selection) {
				href, _ := s.Attr("href")
				if ref, err := url.Parse(href); err == nil && u.ResolveReference(ref) != nil {
					n++
				}
			})
			if n != 20 {
				b.Fatal("the page gave something else")
			}
		}
	})
}

package links_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/spiders/links"
)

func urls(found []links.Link) []string {
	var all []string
	for _, l := range found {
		all = append(all, l.URL)
	}
	return all
}

func extract(t *testing.T, e *links.Extractor, page string) []string {
	t.Helper()
	found, err := e.Extract(response(t, "http://example.com/dir/", page))
	require.NoError(t, err)
	return urls(found)
}

func TestZeroExtractor(t *testing.T) {
	t.Parallel()
	var e links.Extractor
	found, err := e.Extract(response(t, "http://example.com/dir/", `<a href=" one#top " rel="ugc nofollow"> The
		<b>first</b> one</a><a href=one#top>again</a><a href=x.PDF>file</a><map><area href=/two></map><a href="javascript:void(0)">no</a>`))
	require.NoError(t, err)
	require.Equal(t, []links.Link{
		{URL: "http://example.com/dir/one#top", Text: "The first one", Fragment: "top", NoFollow: true},
		{URL: "http://example.com/two"},
	}, found)
}

// Addresses that only nearly are some lead where a browser would go.
func TestBrowsersAddresses(t *testing.T) {
	t.Parallel()
	var e links.Extractor
	require.Equal(t, []string{"http://x/", "http://triple.example/x", "http://back.example/x", "http://example.com/ok"}, extract(t, &e,
		`<a href="http://[::1">v6</a><a href="http://">none</a><a href="http:///x/">x</a><a href="http://exa mple.com/">space</a><a href="///triple.example/x">t</a>
		<a href="\\back.example\x">b</a><a href="/ok">ok</a><a href="http://h.example:99999/">port</a>`))
}

func TestDomains(t *testing.T) {
	t.Parallel()
	page := `<a href="http://a.example.com:8080/1">1</a><a href="http://example.com./2">2</a><a href="http://badexample.com/3">3</a><a href="http://u:p@EXAMPLE.com/4">4</a>`
	for _, c := range []struct {
		domain string
		want   []string
	}{
		{"Example.com", []string{"http://a.example.com:8080/1", "http://example.com./2", "http://u:p@example.com/4"}},
		{".example.com", []string{"http://a.example.com:8080/1", "http://example.com./2", "http://u:p@example.com/4"}},
		{"example.com:8080", []string{"http://a.example.com:8080/1"}},
		{"com", []string{"http://a.example.com:8080/1", "http://example.com./2", "http://badexample.com/3", "http://u:p@example.com/4"}},
	} {
		require.Equal(t, c.want, extract(t, &links.Extractor{AllowDomains: []string{c.domain}}, page), c.domain)
	}
}

// A second link to the same address may be the one whose text is asked for.
func TestTextOfTheSecondLink(t *testing.T) {
	t.Parallel()
	e := links.Extractor{RestrictText: []string{"^Next$"}}
	require.Equal(t, []string{"http://example.com/dir/p2"}, extract(t, &e, `<a href=p2><img></a><a href=p2> Next </a><a href=p3>Next but one</a>`))
}

// A text is cut where it costs too much; what is shorter is all there, but for scripts.
func TestTextOfALink(t *testing.T) {
	t.Parallel()
	text := func(page string) string {
		found, err := (&links.Extractor{}).Extract(response(t, "http://example.com/", page))
		require.NoError(t, err)
		require.Len(t, found, 1)
		return found[0].Text
	}
	require.Equal(t, "a b cd e", text("<a href=1> a<br>b <b>c</b>d<script>x</script><style>y</style><!-- z --> <i> <u>e</u></i></a> after"))
	require.Empty(t, text("<a href=1></a>after"))
	require.Equal(t, strings.Repeat("é", 8<<10), text("<a href=1>"+strings.Repeat("é", 9<<10)+"</a>"))
	require.Equal(t, "x"+strings.Repeat("é", 8<<10-1), text("<a href=1>x<b>"+strings.Repeat("é", 9<<10)+"</b></a>"))
	require.Equal(t, 1000, len(text("<a href=1>"+strings.Repeat("<b>x</b>", 2000)+"</a>")))
}

// Of elements that stand in each other each may be a link. The text is read for each, but not all of it.
func TestTextOfLinksInLinks(t *testing.T) {
	took := func(n int) time.Duration {
		r := response(t, "http://example.com/", "<body>"+strings.Repeat("<div data-u=/q>", 400)+strings.Repeat("text ", 100*n)+strings.Repeat("<i></i>", 100*n))
		require.Len(t, r.XPath("/*"), 1)
		begun := time.Now()
		found, err := (&links.Extractor{Tags: []string{"*"}, Attrs: []string{"*"}, NotUnique: true}).Extract(r)
		require.NoError(t, err)
		require.Len(t, found, 400)
		return time.Since(begun)
	}
	took(40)
	require.Less(t, took(4000), 10*took(40))
}

func TestRegionsInRegions(t *testing.T) {
	t.Parallel()
	page := `<a href=0>x</a><div class=r><a href=1>x</a><div class=r><a href=2>x</a></div><a href=3>x</a></div><a href=4>x</a><div class=r></div><a href=5>x</a><p><a class=r href=6>x</a><a href=7>x</a>`
	e := links.Extractor{RestrictCSS: []string{".r"}, RestrictXPath: []string{`//a[@href="5"]/@href`}, NotUnique: true}
	require.Equal(t, "http://example.com/dir/1 http://example.com/dir/2 http://example.com/dir/3 http://example.com/dir/5 http://example.com/dir/6",
		strings.Join(extract(t, &e, page), " "))
}

func TestProcessValue(t *testing.T) {
	t.Parallel()
	var given []string
	e := links.Extractor{
		ProcessValue: func(v string) (string, bool) {
			given = append(given, v)
			if ref, ok := strings.CutPrefix(v, "javascript:go('"); ok {
				ref, _, _ = strings.Cut(ref, "'")
				return ref, true
			}
			return v, !strings.Contains(v, "drop")
		},
	}
	require.Equal(t, []string{"http://example.com/other/page.html", "http://example.com/dir/same"},
		extract(t, &e, `<a href="javascript:go('../other/page.html'); return false">x</a><a href=drop>x</a><a href=" same ">x</a>`))
	require.Equal(t, []string{"javascript:go('../other/page.html'); return false", "http://example.com/dir/drop", "http://example.com/dir/same"}, given)
}

func TestSrcset(t *testing.T) {
	t.Parallel()
	e := links.Extractor{Tags: []string{"img", "source"}, Attrs: []string{"src", "srcset"}, DenyExtensions: []string{}}
	require.Equal(t, []string{"http://example.com/dir/a.jpg", "http://example.com/dir/b,c.jpg", "http://example.com/dir/d.jpg", "http://example.com/dir/e.jpg"},
		extract(t, &e, `<img src=a.jpg srcset="a.jpg 1x,b,c.jpg 2x, d.jpg"><picture><source srcset=" , e.jpg 100w (a,b), "></picture>`))
}

// TestReferrerPolicy has the policy of each link's element.
func TestReferrerPolicy(t *testing.T) {
	t.Parallel()
	var e links.Extractor
	found, err := e.Extract(response(t, "http://example.com/", `<a href=1 rel="noopener noreferrer">1</a><a href=2 referrerpolicy=origin>2</a><a href=3>3</a>`))
	require.NoError(t, err)
	var all []string
	for _, l := range found {
		all = append(all, l.ReferrerPolicy)
	}
	require.Equal(t, []string{"no-referrer", "origin", ""}, all)
}

func TestNoFollow(t *testing.T) {
	t.Parallel()
	page := `<a href=1 rel="nofollow">1</a><a href=2>2</a>`
	obey := func() *links.Extractor { return &links.Extractor{ObeyNoFollow: true} }
	require.Len(t, extract(t, &links.Extractor{}, page), 2)
	require.Equal(t, []string{"http://example.com/dir/2"}, extract(t, obey(), page))
	require.Empty(t, extract(t, obey(), `<meta name=Robots content="noindex, NOFOLLOW">`+page))
	require.Empty(t, extract(t, obey(), `<meta name=robots content=none>`+page))
	require.NotEmpty(t, extract(t, obey(), `<meta name=googlebot content=nofollow>`+page))
	require.NotEmpty(t, extract(t, &links.Extractor{}, `<meta name=robots content=nofollow>`+page))

	r := response(t, "http://example.com/", page)
	r.Header.Set("X-Robots-Tag", "noindex, nofollow")
	found, err := obey().Extract(r)
	require.NoError(t, err)
	require.Empty(t, found)
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	page := `<head><link rel="alternate" href=x><link rel="Canonical" href="../true#x"></head><a href=a>a</a>`
	e := links.Extractor{CanonicalLink: true}
	require.Equal(t, []string{"http://example.com/true#x", "http://example.com/dir/a"}, extract(t, &e, page))
	require.Equal(t, []string{"http://example.com/dir/a"}, extract(t, &e, `<head><link rel=canonical href="/dir/#top"></head><a href=a>a</a>`), "the page itself")
	require.Equal(t, []string{"http://example.com/dir/a"}, extract(t, &e, `<body><p>x</p><link rel=canonical href="/evil"><a href=a>a</a>`), "not in the head")

	r := response(t, "http://example.com/dir/", "<p>")
	require.Nil(t, links.Canonical(r))
	r.Header.Set("Link", `<https://example.com/p.css>; rel=preload, <https://example.com/real>; rel="canonical"`)
	require.Equal(t, "https://example.com/real", links.Canonical(r).String())
	r.Header.Set("Link", `<javascript:alert(1)>; rel=canonical`)
	require.Nil(t, links.Canonical(r))
}

func TestMatches(t *testing.T) {
	t.Parallel()
	e := links.Extractor{Allow: []string{`/item/\d+`}, Deny: []string{"print"}, AllowDomains: []string{"example.com"}}
	require.True(t, e.Matches("http://www.example.com/item/1"))
	require.True(t, e.Matches("http://www.example.com/item/1.pdf"), "extensions are not asked, as in Scrapy")
	require.False(t, e.Matches("http://www.example.com/item/x"))
	require.False(t, e.Matches("http://www.example.com/item/1?print"))
	require.False(t, e.Matches("http://example.org/item/1"))
	require.False(t, e.Matches("no address"))
	require.False(t, (&links.Extractor{Allow: []string{"("}}).Matches("http://example.com/"))
}

// All that is malformed is said at once.
func TestCompile(t *testing.T) {
	t.Parallel()
	e := links.Extractor{
		Allow: []string{"good", "(bad"}, Deny: []string{`page(?!1)`}, RestrictText: []string{"["}, RestrictCSS: []string{"a[", "b", " "}, RestrictXPath: []string{"//a[", "count(//a)"},
		AllowDomains: []string{"http://example.com/"},
	}
	err := e.Compile()
	for _, want := range []string{`Allow: pattern "(bad": missing closing )`, `Deny: pattern "page(?!1)"`, "Go has no look-around", "RestrictText", `"a["`, "css selector is empty", `"//a["`, "count(//a)", `"http://example.com/"`} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), `"good"`)
	_, err = e.Extract(response(t, "http://example.com/", ""))
	require.Equal(t, e.Compile(), err)
}

func TestPagesThatAreNone(t *testing.T) {
	t.Parallel()
	var e links.Extractor
	require.Empty(t, extract(t, &e, ""))
	r := response(t, "http://example.com/", `{"a": 1}`)
	r.Header.Set("Content-Type", "application/json")
	_, err := e.Extract(r)
	require.ErrorContains(t, err, "page is JSON")
}

func FuzzExtract(f *testing.F) {
	f.Add(`<base href=//x><a href="http://[">`, "a.jpg 1x, b (,) 2x,")
	f.Fuzz(func(t *testing.T, page, srcset string) {
		e := links.Extractor{Tags: []string{"*"}, Attrs: []string{"*"}, CanonicalLink: true}
		found, err := e.Extract(response(t, "http://example.com/", page+`<img srcset="`+srcset+`">`))
		if err != nil {
			return
		}
		for _, l := range found {
			if crawl.Get(l.URL).Err() != nil {
				t.Errorf("link %q is no address", l.URL)
			}
		}
	})
}

// page150 is a listing of 150 kB with a thousand links.
func page150() string {
	var b strings.Builder
	b.WriteString("<!doctype html><html><head><title>Shop</title></head><body>")
	for i := range 500 {
		fmt.Fprintf(&b, `<article class="card"><h3><a class="title" href="/products/%d-a-product.html?ref=list">Product number %d</a></h3><p class="price">%d.00</p><p class="text">`+
			`Some words about it, as shops write them, and a few more so that it has its length.</p><a href="../cart/add?id=%d" rel="nofollow">Add to cart</a></article>`+"\n", i, i, i, i)
	}
	return b.String()
}

// The page is parsed before: what is measured is the walk.
func BenchmarkExtract(b *testing.B) {
	page := page150()
	r := response(b, "http://example.com/shop/list", page)
	r.Selectors = new(crawl.Selectors)
	for name, e := range map[string]*links.Extractor{
		"zero": {}, "allow": {Allow: []string{`/products/\d+`}}, "region": {RestrictCSS: []string{"article h3"}},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(page)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Extract(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("parse", func(b *testing.B) {
		b.SetBytes(int64(len(page)))
		for b.Loop() {
			(&crawl.Response{URL: r.URL, Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}}, Body: r.Body}).CSS("x")
		}
	})
}

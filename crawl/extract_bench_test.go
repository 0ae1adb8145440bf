package crawl_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/andybalholm/cascadia"
	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// hundred has as many fields as the widest pages that people extract: texts, addresses and numbers, by id, by class and by what stands in what.
type hundred struct {
	F00 string  `css:"#f0"`
	F01 string  `css:"div.sec0 p.f1"`
	F02 string  `css:"p.f2 > a@href"`
	F03 float64 `css:".f3 .price"`
	F04 int     `css:"p.f4 span@data-n"`
	F05 string  `css:"#f5"`
	F06 string  `css:"div.sec0 p.f6"`
	F07 string  `css:"p.f7 > a@href"`
	F08 float64 `css:".f8 .price"`
	F09 int     `css:"p.f9 span@data-n"`
	F10 string  `css:"#f10"`
	F11 string  `css:"div.sec1 p.f11"`
	F12 string  `css:"p.f12 > a@href"`
	F13 float64 `css:".f13 .price"`
	F14 int     `css:"p.f14 span@data-n"`
	F15 string  `css:"#f15"`
	F16 string  `css:"div.sec1 p.f16"`
	F17 string  `css:"p.f17 > a@href"`
	F18 float64 `css:".f18 .price"`
	F19 int     `css:"p.f19 span@data-n"`
	F20 string  `css:"#f20"`
	F21 string  `css:"div.sec2 p.f21"`
	F22 string  `css:"p.f22 > a@href"`
	F23 float64 `css:".f23 .price"`
	F24 int     `css:"p.f24 span@data-n"`
	F25 string  `css:"#f25"`
	F26 string  `css:"div.sec2 p.f26"`
	F27 string  `css:"p.f27 > a@href"`
	F28 float64 `css:".f28 .price"`
	F29 int     `css:"p.f29 span@data-n"`
	F30 string  `css:"#f30"`
	F31 string  `css:"div.sec3 p.f31"`
	F32 string  `css:"p.f32 > a@href"`
	F33 float64 `css:".f33 .price"`
	F34 int     `css:"p.f34 span@data-n"`
	F35 string  `css:"#f35"`
	F36 string  `css:"div.sec3 p.f36"`
	F37 string  `css:"p.f37 > a@href"`
	F38 float64 `css:".f38 .price"`
	F39 int     `css:"p.f39 span@data-n"`
	F40 string  `css:"#f40"`
	F41 string  `css:"div.sec4 p.f41"`
	F42 string  `css:"p.f42 > a@href"`
	F43 float64 `css:".f43 .price"`
	F44 int     `css:"p.f44 span@data-n"`
	F45 string  `css:"#f45"`
	F46 string  `css:"div.sec4 p.f46"`
	F47 string  `css:"p.f47 > a@href"`
	F48 float64 `css:".f48 .price"`
	F49 int     `css:"p.f49 span@data-n"`
	F50 string  `css:"#f50"`
	F51 string  `css:"div.sec5 p.f51"`
	F52 string  `css:"p.f52 > a@href"`
	F53 float64 `css:".f53 .price"`
	F54 int     `css:"p.f54 span@data-n"`
	F55 string  `css:"#f55"`
	F56 string  `css:"div.sec5 p.f56"`
	F57 string  `css:"p.f57 > a@href"`
	F58 float64 `css:".f58 .price"`
	F59 int     `css:"p.f59 span@data-n"`
	F60 string  `css:"#f60"`
	F61 string  `css:"div.sec6 p.f61"`
	F62 string  `css:"p.f62 > a@href"`
	F63 float64 `css:".f63 .price"`
	F64 int     `css:"p.f64 span@data-n"`
	F65 string  `css:"#f65"`
	F66 string  `css:"div.sec6 p.f66"`
	F67 string  `css:"p.f67 > a@href"`
	F68 float64 `css:".f68 .price"`
	F69 int     `css:"p.f69 span@data-n"`
	F70 string  `css:"#f70"`
	F71 string  `css:"div.sec7 p.f71"`
	F72 string  `css:"p.f72 > a@href"`
	F73 float64 `css:".f73 .price"`
	F74 int     `css:"p.f74 span@data-n"`
	F75 string  `css:"#f75"`
	F76 string  `css:"div.sec7 p.f76"`
	F77 string  `css:"p.f77 > a@href"`
	F78 float64 `css:".f78 .price"`
	F79 int     `css:"p.f79 span@data-n"`
	F80 string  `css:"#f80"`
	F81 string  `css:"div.sec8 p.f81"`
	F82 string  `css:"p.f82 > a@href"`
	F83 float64 `css:".f83 .price"`
	F84 int     `css:"p.f84 span@data-n"`
	F85 string  `css:"#f85"`
	F86 string  `css:"div.sec8 p.f86"`
	F87 string  `css:"p.f87 > a@href"`
	F88 float64 `css:".f88 .price"`
	F89 int     `css:"p.f89 span@data-n"`
	F90 string  `css:"#f90"`
	F91 string  `css:"div.sec9 p.f91"`
	F92 string  `css:"p.f92 > a@href"`
	F93 float64 `css:".f93 .price"`
	F94 int     `css:"p.f94 span@data-n"`
	F95 string  `css:"#f95"`
	F96 string  `css:"div.sec9 p.f96"`
	F97 string  `css:"p.f97 > a@href"`
	F98 float64 `css:".f98 .price"`
	F99 int     `css:"p.f99 span@data-n"`
}

// hundredFields are the selectors of the same fields, as somebody writes them down for goquery.
var hundredFields = [...]struct{ selector, attr string }{
	{"#f0", ""},
	{"div.sec0 p.f1", ""},
	{"p.f2 > a", "href"},
	{".f3 .price", ""},
	{"p.f4 span[data-n]", "data-n"},
	{"#f5", ""},
	{"div.sec0 p.f6", ""},
	{"p.f7 > a", "href"},
	{".f8 .price", ""},
	{"p.f9 span[data-n]", "data-n"},
	{"#f10", ""},
	{"div.sec1 p.f11", ""},
	{"p.f12 > a", "href"},
	{".f13 .price", ""},
	{"p.f14 span[data-n]", "data-n"},
	{"#f15", ""},
	{"div.sec1 p.f16", ""},
	{"p.f17 > a", "href"},
	{".f18 .price", ""},
	{"p.f19 span[data-n]", "data-n"},
	{"#f20", ""},
	{"div.sec2 p.f21", ""},
	{"p.f22 > a", "href"},
	{".f23 .price", ""},
	{"p.f24 span[data-n]", "data-n"},
	{"#f25", ""},
	{"div.sec2 p.f26", ""},
	{"p.f27 > a", "href"},
	{".f28 .price", ""},
	{"p.f29 span[data-n]", "data-n"},
	{"#f30", ""},
	{"div.sec3 p.f31", ""},
	{"p.f32 > a", "href"},
	{".f33 .price", ""},
	{"p.f34 span[data-n]", "data-n"},
	{"#f35", ""},
	{"div.sec3 p.f36", ""},
	{"p.f37 > a", "href"},
	{".f38 .price", ""},
	{"p.f39 span[data-n]", "data-n"},
	{"#f40", ""},
	{"div.sec4 p.f41", ""},
	{"p.f42 > a", "href"},
	{".f43 .price", ""},
	{"p.f44 span[data-n]", "data-n"},
	{"#f45", ""},
	{"div.sec4 p.f46", ""},
	{"p.f47 > a", "href"},
	{".f48 .price", ""},
	{"p.f49 span[data-n]", "data-n"},
	{"#f50", ""},
	{"div.sec5 p.f51", ""},
	{"p.f52 > a", "href"},
	{".f53 .price", ""},
	{"p.f54 span[data-n]", "data-n"},
	{"#f55", ""},
	{"div.sec5 p.f56", ""},
	{"p.f57 > a", "href"},
	{".f58 .price", ""},
	{"p.f59 span[data-n]", "data-n"},
	{"#f60", ""},
	{"div.sec6 p.f61", ""},
	{"p.f62 > a", "href"},
	{".f63 .price", ""},
	{"p.f64 span[data-n]", "data-n"},
	{"#f65", ""},
	{"div.sec6 p.f66", ""},
	{"p.f67 > a", "href"},
	{".f68 .price", ""},
	{"p.f69 span[data-n]", "data-n"},
	{"#f70", ""},
	{"div.sec7 p.f71", ""},
	{"p.f72 > a", "href"},
	{".f73 .price", ""},
	{"p.f74 span[data-n]", "data-n"},
	{"#f75", ""},
	{"div.sec7 p.f76", ""},
	{"p.f77 > a", "href"},
	{".f78 .price", ""},
	{"p.f79 span[data-n]", "data-n"},
	{"#f80", ""},
	{"div.sec8 p.f81", ""},
	{"p.f82 > a", "href"},
	{".f83 .price", ""},
	{"p.f84 span[data-n]", "data-n"},
	{"#f85", ""},
	{"div.sec8 p.f86", ""},
	{"p.f87 > a", "href"},
	{".f88 .price", ""},
	{"p.f89 span[data-n]", "data-n"},
	{"#f90", ""},
	{"div.sec9 p.f91", ""},
	{"p.f92 > a", "href"},
	{".f93 .price", ""},
	{"p.f94 span[data-n]", "data-n"},
	{"#f95", ""},
	{"div.sec9 p.f96", ""},
	{"p.f97 > a", "href"},
	{".f98 .price", ""},
	{"p.f99 span[data-n]", "data-n"},
}

func hundredPage() []byte {
	var b bytes.Buffer
	b.WriteString("<!DOCTYPE html><html><head><title>A product</title></head><body><nav>")
	for i := range 40 {
		fmt.Fprintf(&b, `<a class="nav-link item" href="/c/%d">Category %d</a>`, i, i)
	}
	b.WriteString("</nav>")
	for i := range 100 {
		if i%10 == 0 {
			fmt.Fprintf(&b, `<div class="section sec%d"><h2 class="head">Section %d</h2>`, i/10, i/10)
		}
		fmt.Fprintf(&b, `<p id="f%d" class="field f%d"><b class="label">Name %d</b> <a class="value" href="/v/%d">Value %d</a> <span class="price">£%d.50</span> <span data-n="%d">n</span></p>
			<div class="text"><em>Some words</em> that <i>nobody</i> asks for</div>`, i, i, i, i, i, i, i)
		if i%10 == 9 {
			b.WriteString("</div>")
		}
	}
	b.WriteString("</body></html>")
	return b.Bytes()
}

// byHand is what a spider does without Extract. find gives the first match.
func byHand(find func(i int) *goquery.Selection, base *url.URL, texts *[100]string) (sum float64, err error) {
	for i := range hundredFields {
		s := find(i)
		var v string
		if attr := hundredFields[i].attr; attr != "" {
			v, _ = s.Attr(attr)
		} else {
			v = strings.TrimSpace(s.Text())
		}
		switch i % 5 {
		case 2:
			ref, err := url.Parse(v)
			if err != nil {
				return 0, err
			}
			v = base.ResolveReference(ref).String()
		case 3, 4:
			n, err := strconv.ParseFloat(strings.TrimPrefix(v, "£"), 64)
			if err != nil {
				return 0, err
			}
			sum += n
		}
		texts[i] = v
	}
	return sum, nil
}

func TestHundredFields(t *testing.T) {
	t.Parallel()
	r := page(t, "http://example.com/p/1", htmlUTF8, string(hundredPage()))
	got, err := crawl.Extract[hundred](r)
	require.NoError(t, err)
	require.Equal(t, "Name 0 Value 0 £0.50 n", got.F00)
	require.Equal(t, "Name 91 Value 91 £91.50 n", got.F91)
	require.Equal(t, "http://example.com/v/97", got.F97)
	require.Equal(t, 98.5, got.F98)
	require.Equal(t, 99, got.F99)
}

// BenchmarkExtract compares Extract with functions that do the same by goquery: one as most people write it, one with its selectors compiled beforehand and no
// look beyond the first match.
func BenchmarkExtract(b *testing.B) {
	body := hundredPage()
	u, _ := url.Parse("http://example.com/p/1")
	h := http.Header{"Content-Type": {htmlUTF8}}
	selectors := new(crawl.Selectors)
	response := func() *crawl.Response {
		return &crawl.Response{Request: &crawl.Request{URL: u}, URL: u, Status: 200, Header: h, Body: crawl.BytesBody(body), Selectors: selectors}
	}
	document := func(b *testing.B) *goquery.Document {
		doc, err := goquery.NewDocumentFromReader(bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		return doc
	}
	compiled := make([]goquery.Matcher, len(hundredFields))
	for i, f := range hundredFields {
		compiled[i] = goquery.SingleMatcher(cascadia.MustCompile(f.selector))
	}
	var texts [100]string
	plain := func(doc *goquery.Document) func(int) *goquery.Selection {
		return func(i int) *goquery.Selection { return doc.Find(hundredFields[i].selector).First() }
	}
	ready := func(doc *goquery.Document) func(int) *goquery.Selection {
		return func(i int) *goquery.Selection { return doc.FindMatcher(compiled[i]) }
	}
	hand := func(b *testing.B, find func(int) *goquery.Selection) {
		if _, err := byHand(find, u, &texts); err != nil || texts[97] != "http://example.com/v/97" {
			b.Fatal("the page gave something else", err)
		}
	}
	extract := func(b *testing.B, r *crawl.Response) {
		v, err := crawl.Extract[hundred](r)
		if err != nil || v.F97 != "http://example.com/v/97" {
			b.Fatal("the page gave something else", err)
		}
	}
	b.Run("fields/tulle", func(b *testing.B) {
		b.ReportAllocs()
		r := response()
		r.CSS("html")
		for b.Loop() {
			extract(b, r)
		}
	})
	b.Run("fields/goquery", func(b *testing.B) {
		b.ReportAllocs()
		doc := document(b)
		for b.Loop() {
			hand(b, plain(doc))
		}
	})
	b.Run("fields/goquery-compiled", func(b *testing.B) {
		b.ReportAllocs()
		doc := document(b)
		for b.Loop() {
			hand(b, ready(doc))
		}
	})
	b.Run("page/tulle", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			extract(b, response())
		}
	})
	b.Run("page/goquery", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			hand(b, plain(document(b)))
		}
	})
	b.Run("page/goquery-compiled", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			hand(b, ready(document(b)))
		}
	})
}

package spiders

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
)

func readAll(t testing.TB, body, contentType string) ([]SitemapEntry, error) {
	t.Helper()
	var all []SitemapEntry
	txt, err := openText(context.Background(), strings.NewReader(body), contentType, 0)
	if err != nil {
		return nil, err
	}
	err = readSitemap(txt.Reader, func(e SitemapEntry) bool { all = append(all, e); return true })
	return all, err
}

func locs(entries []SitemapEntry) string {
	var all []string
	for _, e := range entries {
		all = append(all, e.Loc)
	}
	return strings.Join(all, " ")
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

func utf16Of(s string, big, mark bool) string {
	var b []byte
	if mark {
		s = "\ufeff" + s
	}
	for _, c := range utf16.Encode([]rune(s)) {
		if big {
			b = append(b, byte(c>>8), byte(c))
		} else {
			b = append(b, byte(c), byte(c>>8))
		}
	}
	return string(b)
}

func TestReadSitemapWhole(t *testing.T) {
	t.Parallel()
	entries, err := readAll(t, `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE urlset><!-- a comment with <url><loc>http://comment/</loc></url> -->
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
 <url>
  <loc> http://www.example.com/?a=1&amp;b=%20&#x26;c=&apos;2 </loc>
  <lastmod>2025-03-04T05:06+02:00</lastmod><changefreq>daily</changefreq><priority>0.8</priority>
  <xhtml:link rel="alternate" hreflang="de" href="http://www.example.com/deutsch/?x&amp;y"/>
  <xhtml:link rel="alternate" hreflang="fr" href=""/>
  <image:image><image:loc>http://img/1.jpg</image:loc><image:title>One</image:title></image:image>
  <image:image><image:loc><![CDATA[http://img/2.jpg?a&b]]></image:loc></image:image>
  <video:video><video:thumbnail_loc>http://t</video:thumbnail_loc><video:title>V &lt;1&gt;</video:title><video:content_loc>http://v</video:content_loc><video:player_loc allow_embed="yes">http://p</video:player_loc></video:video>
  <news:news><news:publication><news:name>Times</news:name><news:language>en</news:language></news:publication><news:publication_date>2025-01-02</news:publication_date><news:title>Title</news:title></news:news>
 </url>
 <url><lastmod>2025</lastmod></url>
 <url><loc/></url>
 <url><loc><![CDATA[http://www.example.com/cdata?a&b]]></loc></url>
</urlset> <url><loc>http://after/</loc></url>`, "")
	require.NoError(t, err)
	for i := range entries {
		entries[i].until = time.Time{}
	}
	require.Equal(t, []SitemapEntry{
		{
			Loc: "http://www.example.com/?a=1&b=%20&c='2", LastMod: time.Date(2025, 3, 4, 3, 6, 0, 0, time.UTC), ChangeFreq: "daily", Priority: 0.8, line: 4,
			Alternates: []SitemapAlternate{{"de", "http://www.example.com/deutsch/?x&y"}}, Images: []string{"http://img/1.jpg", "http://img/2.jpg?a&b"},
			Videos: []SitemapVideo{{Title: "V <1>", Thumbnail: "http://t", Content: "http://v", Player: "http://p"}},
			News:   &SitemapNews{Publication: "Times", Language: "en", Published: time.Date(2025, 1, 2, 0, 0, 0, 0, time.UTC), Title: "Title"},
		},
		{LastMod: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), line: 14},
		{line: 15},
		{Loc: "http://www.example.com/cdata?a&b", line: 16},
	}, entries)
	data, err := json.Marshal(entries[3])
	require.NoError(t, err)
	require.JSONEq(t, `{"loc": "http://www.example.com/cdata?a&b"}`, string(data), "what travels is short")
}

func TestReadSitemapForms(t *testing.T) {
	t.Parallel()
	small := `<urlset><url><loc>http://a/1</loc></url></urlset>`
	latin := strings.ReplaceAll(`<?xml version='1.0' encoding='ISO-8859-1'?><urlset><url><loc>http://a/é</loc></url></urlset>`, "é", "\xe9")
	for name, c := range map[string]struct{ body, contentType, want string }{
		"namespace of its own": {`<?xml version="1.0"?><sm:urlset xmlns:sm="x"><sm:url><sm:loc>http://a/1</sm:loc></sm:url></sm:urlset>`, "", "http://a/1"},
		"upper case":           {`<URLSET><URL><LOC>http://a/1</LOC></URL></URLSET>`, "", "http://a/1"},
		"bare ampersand":       {`<urlset><url><loc>http://a/?x=1&copy=2&y;&#0;</loc></url></urlset>`, "", "http://a/?x=1&copy=2&y;&#0;"},
		"missing ends":         {`<urlset><url><loc>http://a/1<lastmod>2020<url><loc>http://a/2</url><url><loc>http://a/3</loc></urlset>`, "", "http://a/1 http://a/2 http://a/3"},
		"mark":                 {"\ufeff\n " + small, "", "http://a/1"},
		"gzip":                 {gzipped(small), "", "http://a/1"},
		"gzip twice":           {gzipped(gzipped(small)), "", "http://a/1"},
		"gzip and a tail":      {gzipped(small) + "tail", "", "http://a/1"},
		"UTF-16 LE":            {utf16Of(small, false, true), "", "http://a/1"},
		"UTF-16 BE":            {utf16Of(small, true, true), "", "http://a/1"},
		"UTF-16 unmarked":      {utf16Of("<?xml version='1.0' encoding='utf-16'?>"+small, false, false), "", "http://a/1"},
		"UTF-16 in gzip":       {gzipped(utf16Of(small, true, true)), "", "http://a/1"},
		"says UTF-16":          {"<?xml version='1.0' encoding='utf-16'?>" + small, "", "http://a/1"},
		"declared":             {latin, "", "http://a/é"},
		"by header":            {strings.Replace(latin, "<?xml version='1.0' encoding='ISO-8859-1'?>", "", 1), `text/xml; charset="iso-8859-1"; x`, "http://a/é"},
		"lines":                {"\ufeffhttp://a/1\r\n\r\n  http://a/2  \nnone\nhttp://a/3", "text/plain", "http://a/1 http://a/2 none http://a/3"},
		"index":                {`<sitemapindex><sitemap><loc>http://a/s.xml</loc></sitemap></sitemapindex>`, "", "http://a/s.xml"},
		"rss": {`<rss><channel><title>T</title><link>http://site/</link><image><url>http://logo/</url></image>
			<item><title><![CDATA[<b>x</b>]]></title><link>http://a/1</link><pubDate>Tue, 04 Mar 2025 05:06:07 GMT</pubDate></item>
			<item><guid isPermaLink="true">http://a/2</guid></item><item><atom:link href="http://a/3" rel="self"/><link>http://a/4</link></item></channel></rss>`, "", "http://a/1 http://a/2 http://a/4"},
		"rss, an empty title":    {`<rss><item><title/><link>http://a/1</link></item><item><title>x<link>http://a/2</link></item></rss>`, "", "http://a/1 http://a/2"},
		"lines, gzip and a tail": {gzipped("http://a/1\n") + "a tail of some length", "", "http://a/1"},
		"rss, an empty image":    {`<rss><item><itunes:image href="i.png"/><link>http://a/1</link></item><item><link>http://a/2</link></item></rss>`, "", "http://a/1 http://a/2"},
		"an empty extension":     {`<urlset><url><image:image/><video:video/><news:news/><loc>http://a/1</loc></url><url><loc>http://a/2</loc></url></urlset>`, "", "http://a/1 http://a/2"},
		"an extension without its end": {`<urlset><url><loc>http://a/1</loc><image:image><image:loc>http://i/1</image:loc></url><url><loc>http://a/2</loc><video:video><url><loc>http://a/3</loc></url></urlset>`,
			"", "http://a/1 http://a/2 http://a/3"},
		"rss, a guid before the link": {`<rss><item><guid>http://a/?p=1</guid><link>http://a/1</link></item><item><guid isPermaLink="False">http://a/?p=2</guid></item>
			<item><guid isPermaLink="true">http://a/3</guid></item></rss>`, "", "http://a/1  http://a/3"},
		"rss, a source": {`<rss><item><source url="http://other/"/><source url="http://other/">Other <link>http://other/</link></source><link>http://a/1</link></item></rss>`, "", "http://a/1"},
		"atom, a source": {`<feed><entry><id>http://id/1</id><source><id>http://other/</id><link href="http://other/x"/><updated>2020</updated></source><link href="http://a/1"/></entry>
			<entry><source><id>http://other/</id></entry><entry><id>http://id/3</id></entry></feed>`, "", "http://a/1  http://id/3"},
		"rdf":  {`<rdf:RDF><item rdf:about="x"><link>http://a/1</link></item></rdf:RDF>`, "", "http://a/1"},
		"atom": {`<feed><link href="http://site/"/><entry><link rel="edit" href="http://e/"/><link rel="alternate" href="http://a/1"/><id>tag:x</id><updated>2025-03-04T05:06:07Z</updated></entry></feed>`, "", "http://a/1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entries, err := readAll(t, c.body, c.contentType)
			require.NoError(t, err)
			require.Equal(t, c.want, locs(entries))
		})
	}
}

// What came before is used, and the error says where it ends.
func TestReadSitemapErrors(t *testing.T) {
	t.Parallel()
	cut := gzipped("<urlset>\n" + strings.Repeat("<url><loc>http://a/1</loc></url>\n", 2000))
	for name, c := range map[string]struct{ body, want, locs string }{
		"empty":        {"", "it is empty", ""},
		"blank":        {" \n\ufeff", "it is neither XML", ""},
		"html":         {"<!DOCTYPE html><html><body><a href=x>x</a>", "it is HTML, not a sitemap", ""},
		"html bare":    {"\n<html><head><url><loc>http://a/1</loc>", "it is HTML, not a sitemap", ""},
		"another root": {"<?xml version='1.0'?>\n\n<Error><Code>AccessDenied</Code></Error>", "line 3: the root element <error>", ""},
		"json":         {`{"error": "no such site"}`, `it is neither XML nor a list of addresses: it begins with "{\"error\"`, ""},
		"cut":          {"<urlset>\n<url><loc>http://a/1</loc></url>\n<url>\n<loc>http://a/2</loc>\n<lastm", "line 5: it ends early, without </urlset>", "http://a/1 http://a/2"},
		"cut address":  {"<urlset><url><loc>http://a/1</loc></url><url><loc>http://a/products/12", "line 1: it ends early, without </urlset>", "http://a/1"},
		"huge text":    {"<urlset><url><loc>http://a/1</loc></url>\n<url><loc>" + strings.Repeat("x", maxToken+1), "line 2: a tag or text of more than 1048576 bytes", "http://a/1"},
		"huge tag":     {"<urlset><url><loc>http://a/1</loc></url>\n<url x='" + strings.Repeat("x", maxToken+1), "line 2: a tag or text of more than", "http://a/1"},
		"gzip":         {"\x1f\x8b\x08nonsense and more of it", "inflate: ", ""},
		"gzip cut":     {cut[:len(cut)-10], "inflate: unexpected EOF", ""},
		"comment only": {"<!-- nothing -->", "it has no element", ""},
		"NULs":         {"<urlset>\x00<url><loc>http://a/1</loc></url>\x00<", "it ends early", "http://a/1"},
		"doctype bomb": {`<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><urlset><url><loc>http://a/&b;</loc></url>`, "it ends early", "http://a/&b;"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entries, err := readAll(t, c.body, "")
			require.ErrorContains(t, err, c.want)
			if name != "gzip cut" {
				require.Equal(t, c.locs, locs(entries))
			} else {
				require.Greater(t, len(entries), 1000)
			}
		})
	}
}

// What was forgotten to be closed takes what is its own with it, and no more.
func TestReadSitemapExtensionsWithoutTheirEnds(t *testing.T) {
	t.Parallel()
	entries, err := readAll(t, `<urlset><url><loc>http://a/1</loc><image:image><image:loc>http://i/1</image:loc><image:image><image:loc>http://i/2</image:loc><video:video><video:title>V</video:title>
		<lastmod>2025</lastmod><priority>0.5</priority></url></urlset>`, "")
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, []string{"http://i/1", "http://i/2"}, entries[0].Images)
	require.Equal(t, []SitemapVideo{{Title: "V"}}, entries[0].Videos)
	require.Equal(t, 2025, entries[0].LastMod.Year())
	require.Equal(t, 0.5, entries[0].Priority)
}

// An entry travels with its request, so it is of a bounded size.
func TestReadSitemapLargeEntry(t *testing.T) {
	t.Parallel()
	many := func(s string) string { return strings.Repeat(s, 1500) }
	entries, err := readAll(t, "<urlset><url><loc>http://a/1</loc>"+many(`<image:image><image:loc>http://i/</image:loc></image:image>`)+
		many(`<video:video><video:title>x</video:title></video:video>`)+many(`<xhtml:link href="http://l/"/>`)+"</url></urlset>", "")
	require.NoError(t, err)
	require.Len(t, entries[0].Images, 1000)
	require.Len(t, entries[0].Videos, 1000)
	require.Len(t, entries[0].Alternates, 1000)
	long := strings.Repeat("x", 100_000)
	entries, err = readAll(t, "<urlset><url><loc>http://a/1</loc>"+strings.Repeat(`<image:image><image:loc>`+long+`</image:loc></image:image><xhtml:link href="`+long+`"/>`, 100)+
		"</url><url><loc>http://a/2</loc><image:image><image:loc>http://i/</image:loc></image:image></url></urlset>", "")
	require.NoError(t, err)
	require.Len(t, entries[0].Images, 5)
	require.Len(t, entries[0].Alternates, 5)
	require.Len(t, entries[1].Images, 1)
}

// Half a date is none.
func TestReadSitemapCutInADate(t *testing.T) {
	t.Parallel()
	entries, err := readAll(t, "<urlset><url><loc>http://a/1</loc><lastmod>2025", "")
	require.ErrorContains(t, err, "it ends early")
	require.Len(t, entries, 1)
	require.Zero(t, entries[0].LastMod)
}

func TestReadSitemapStops(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`<urlset><url><loc>http://a/1</loc></url><url><loc>http://a/2</loc></url><broken`, "http://a/1\nhttp://a/2\n",
		`<urlset><url><loc>http://a/1<url><loc>http://a/2`,
	} {
		txt, err := openText(context.Background(), strings.NewReader(body), "", 0)
		require.NoError(t, err)
		n := 0
		require.NoError(t, readSitemap(txt.Reader, func(SitemapEntry) bool { n++; return false }))
		require.Equal(t, 1, n)
	}
}

func TestSitemapTime(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"2025-03-04": "2025-03-04T00:00:00Z 24h0m0s", "2025-02": "2025-02-01T00:00:00Z 672h0m0s", "2025": "2025-01-01T00:00:00Z 8760h0m0s",
		"2025-03-04T05:06:07.891+01:00": "2025-03-04T04:06:07.891Z 1s", "2025-03-04T05:06Z": "2025-03-04T05:06:00Z 1m0s", "2025-03-04 05:06:07": "2025-03-04T05:06:07Z 1s",
		"2025-03-04T05:06:07+0200": "2025-03-04T03:06:07Z 1s", "2025-03-04 05:06:07 +0200": "2025-03-04T03:06:07Z 1s", "2025-03-04 05:06:07 UTC": "2025-03-04T05:06:07Z 1s",
		"Tue, 4 Mar 2025 05:06:07 +0100": "2025-03-04T04:06:07Z 1s", "Tue, 04 Mar 2025 05:06:07 GMT": "2025-03-04T05:06:07Z 1s", "Tuesday, 4 Mar 25 05:06 pdt": "2025-03-04T12:06:00Z 1m0s",
		"Tue, 04 Mar 2025 05:06:07 EST": "2025-03-04T10:06:07Z 1s", "4 Mar 2025 05:06:07 PST": "2025-03-04T13:06:07Z 1s", "Tue, 04 Mar 2025": "2025-03-04T00:00:00Z 24h0m0s",
		"Tue, 04 Mar 2025 05:06:07 XYZ": "0001-01-01T00:00:00Z 0s", "yesterday": "0001-01-01T00:00:00Z 0s", "": "0001-01-01T00:00:00Z 0s",
	} {
		begin, end := sitemapTime(in)
		require.Equal(t, want, begin.Format(time.RFC3339Nano)+" "+end.Sub(begin).String(), in)
	}
}

// endless is a sitemap of n bytes or more, made as it is read.
type endless struct {
	left int64
	buf  []byte
	n    int
}

func (e *endless) Read(p []byte) (int, error) {
	for len(e.buf) < len(p) && e.left > 0 {
		if e.n == 0 {
			e.buf = append(e.buf, `<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">`...)
		}
		was := len(e.buf)
		e.buf = fmt.Appendf(e.buf, "\n <url>\n  <loc>https://www.example.com/products/%d-a-product?ref=sitemap&amp;n=%d</loc>\n  <lastmod>2025-03-04</lastmod>\n  <priority>0.5</priority>\n </url>", e.n, e.n)
		e.left -= int64(len(e.buf) - was)
		e.n++
		if e.left <= 0 {
			e.buf = append(e.buf, "</urlset>"...)
		}
	}
	if len(e.buf) == 0 {
		return 0, io.EOF
	}
	n := copy(p, e.buf)
	e.buf = append(e.buf[:0], e.buf[n:]...)
	return n, nil
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	for _, most := range []int64{200, 70 << 10} {
		txt, err := openText(context.Background(), &endless{left: 1 << 20}, "", most)
		require.NoError(t, err)
		n := 0
		err = readSitemap(txt.Reader, func(SitemapEntry) bool { n++; return true })
		require.ErrorIs(t, err, errTooLarge)
		require.ErrorContains(t, err, fmt.Sprintf("more than %d bytes", most))
		require.Positive(t, n)
	}
	whole, err := io.ReadAll(&endless{left: 1000})
	require.NoError(t, err)
	for most, want := range map[int64]bool{int64(len(whole)): false, int64(len(whole)) - 1: true} {
		txt, err := openText(context.Background(), bytes.NewReader(whole), "", most)
		require.NoError(t, err)
		_, err = io.ReadAll(txt)
		require.Equal(t, want, err != nil, most)
	}
}

// What is compressed more than once, and is no text, comes to an end too.
func TestInflateNothing(t *testing.T) {
	t.Parallel()
	nothing := append([]byte(gzipped("")[:10]), bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 1<<20)...) // blocks of no bytes
	_, err := openText(context.Background(), strings.NewReader(gzipped(string(nothing))), "", 1<<20)
	require.ErrorIs(t, err, errTooLarge)
}

func TestOpenTextEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	txt, err := openText(ctx, strings.NewReader(gzipped(strings.Repeat("x", 1<<20))), "", 0)
	require.NoError(t, err)
	cancel()
	n, err := io.Copy(io.Discard, txt)
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, n, int64(1<<20))
}

func FuzzReadSitemap(f *testing.F) {
	f.Add("<urlset><url><loc>http://a/1</loc><image:image><image:loc>x</url>")
	f.Add("<rss><item><link/><video:video></item>")
	f.Add("http://a/\nx")
	f.Add(gzipped("<feed><entry><link href=x>"))
	f.Fuzz(func(t *testing.T, body string) {
		_, err := readAll(t, body, "")
		if err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}

func BenchmarkReadSitemap(b *testing.B) {
	body, err := io.ReadAll(&endless{left: 10 << 20})
	if err != nil {
		b.Fatal(err)
	}
	zipped := []byte(gzipped(string(body)))
	for name, raw := range map[string][]byte{"plain": body, "gzip": zipped} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				txt, err := openText(context.Background(), bytes.NewReader(raw), "", 1<<30)
				if err == nil {
					err = readSitemap(txt.Reader, func(SitemapEntry) bool { n++; return true })
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

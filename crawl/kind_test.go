package crawl_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func wide(order binary.AppendByteOrder, s string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, u)
	}
	return string(b)
}

func TestKind(t *testing.T) {
	t.Parallel()
	const png = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
	for name, c := range map[string]struct {
		url, contentType, disposition, body string
		want                                crawl.BodyKind
	}{
		"type html":                   {"", "text/html; charset=utf-8", "", "", crawl.BodyHTML},
		"type html in capitals":       {"", " Text/HTML ;x", "", "", crawl.BodyHTML},
		"type xhtml":                  {"", "application/xhtml+xml", "", "<?xml", crawl.BodyHTML},
		"type wins over name":         {"/a.html", "application/json", `attachment; filename="a.xml"`, "<html>", crawl.BodyJSON},
		"type of a feed":              {"", "application/rss+xml", "", "", crawl.BodyXML},
		"type of a drawing":           {"", "image/svg+xml", "", "", crawl.BodyXML},
		"type of linked data":         {"", "application/ld+json", "", "", crawl.BodyJSON},
		"type of a script":            {"", "application/javascript", "", "", crawl.BodyText},
		"type of lines of JSON":       {"", "application/x-ndjson", "", `{"a":1}`, crawl.BodyText},
		"type plain":                  {"/a.html", "text/plain", "", "<html>", crawl.BodyText},
		"type says nothing, download": {"/a.html", "application/octet-stream", `attachment; filename="feed.XML"`, "", crawl.BodyXML},
		"download of no text":         {"/a.json", "application/octet-stream", `attachment; filename=data`, "", crawl.BodyJSON},
		"broken disposition":          {"/a.json?x=.html", "", `attachment; filename="`, "", crawl.BodyJSON},
		"name of a picture":           {"/a.jpg", "image/jpeg", "", png, crawl.BodyBinary},
		"page instead of a picture":   {"/a.jpg", "image/jpeg", "", "<!doctype html><p>not found", crawl.BodyHTML},
		"host is no name":             {"", "", "", png, crawl.BodyBinary},
		"body html":                   {"/", "", "", "\n\n<HTML><p>", crawl.BodyHTML},
		"body html behind a comment":  {"/", "", "", "<!-- <rss> --><rss><html>", crawl.BodyHTML},
		"body xhtml":                  {"/", "", "", `<?xml version="1.0"?><!DOCTYPE html><html>`, crawl.BodyHTML},
		"body fragment":               {"/", "", "", "<!-- list --><li>a</li>", crawl.BodyHTML},
		"body xml":                    {"/", "", "", `<?xml version="1.0"?><a/>`, crawl.BodyXML},
		"body feed":                   {"/", "", "", "\xef\xbb\xbf<feed xmlns='x'>", crawl.BodyXML},
		"body sitemap":                {"/sitemap.php", "", "", "<urlset>", crawl.BodyXML},
		"body drawing":                {"/", "", "", "<svg>", crawl.BodyXML},
		"body json":                   {"/", "", "", ` { "a": 1}`, crawl.BodyJSON},
		"body list":                   {"/", "", "", `[1]`, crawl.BodyJSON},
		"body braces":                 {"/", "", "", `{name} was here`, crawl.BodyText},
		"body brackets":               {"/", "", "", `[`, crawl.BodyText},
		"body text":                   {"/", "", "", "1 < 2", crawl.BodyText},
		"body text, then html":        {"/", "", "", "Warning: no such file in x.php\n<html>", crawl.BodyHTML},
		"body less":                   {"/", "", "", "<", crawl.BodyText},
		"body bitmap or car":          {"/", "", "", "BMW 320", crawl.BodyText},
		"body bitmap":                 {"/", "", "", "BM\x00\x01", crawl.BodyBinary},
		"body pdf":                    {"/", "", "", "%PDF-1.4\n1 0 obj", crawl.BodyBinary},
		"body utf-16":                 {"/", "", "", wide(binary.LittleEndian, "\ufeff<html>"), crawl.BodyHTML},
		"body utf-16 without a mark":  {"/", "", "", wide(binary.BigEndian, "<html>\u0b0b"), crawl.BodyHTML},
		"empty":                       {"/", "", "", "", crawl.BodyText},
		"no name can be so long":      {"/", "", "", strings.Repeat("a", 1<<20), crawl.BodyText},
	} {
		r := page(t, "http://example.com"+c.url, c.contentType, c.body)
		if c.disposition != "" {
			r.Header.Set("Content-Disposition", c.disposition)
		}
		require.Equal(t, c.want, r.Kind(), name)
	}
	squeezed := page(t, "http://h/a.html", "text/html", "\x1f\x8b\x08\x00")
	squeezed.Header.Set("Content-Encoding", "gzip")
	require.Equal(t, crawl.BodyBinary, squeezed.Kind())
	require.Equal(t, crawl.BodyText, (&crawl.Response{}).Kind())
}

func TestKindOfASpooledBody(t *testing.T) {
	t.Parallel()
	spool := &crawl.Spool{Dir: t.TempDir(), Over: 10}
	body, err := spool.Read(strings.NewReader("<html><base href=/b/>"+strings.Repeat("x", 1<<16)), -1, 1<<20)
	require.NoError(t, err)
	require.NotEmpty(t, body.Path())
	r := page(t, "http://h/", "", "")
	r.Body = body
	require.Equal(t, crawl.BodyHTML, r.Kind())
	u, err := r.Join("c")
	require.NoError(t, err)
	require.Equal(t, "http://h/b/c", u.String())
	require.NoError(t, r.Close())
	require.Equal(t, crawl.BodyText, r.Kind(), "it is gone")
}

func TestSelectorsSayWhatThePageIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ contentType, body, css, json string }{ // what selectors say, "" for nothing
		{"application/json", `{"a": 1}`, "page is JSON, not HTML: read it by JSON", ""},
		{"", `[1]`, "page is JSON, not HTML: read it by JSON", ""},
		{"text/html", `{"a": 1}`, "", ""},
		{"application/json", `<html>`, "", `page is HTML, not JSON: it begins with "<html>"`},
		{"text/xml", `<rss>`, "xml line 1: the document ends inside <rss>", `page is XML, not JSON: it begins with "<rss>"`},
		{"text/html", "%PDF-1.4 ...", "page is application/pdf, not HTML", `page is application/pdf, not JSON: it begins with "%PDF-1.4 ..."`},
		{"text/html", "BMW <p>320", "", `page is not JSON: it begins with "BMW <p>320"`},
		{"text/html", "a\x00<p>b", "", `page is application/octet-stream, not JSON: it begins with "a\x00<p>b"`},
	} {
		for want, use := range map[string]func(*crawl.Response){
			c.css:  func(r *crawl.Response) { r.CSS("p") },
			c.json: func(r *crawl.Response) { r.JSON("a") },
		} {
			if c.css == c.json {
				use = func(r *crawl.Response) { r.CSS("p"); r.JSON("a") }
			}
			r := page(t, "http://h/", c.contentType, c.body)
			use(r)
			if want == "" {
				require.NoError(t, r.Err(), "%q", c.body)
			} else {
				require.EqualError(t, r.Err(), want, "%q", c.body)
			}
		}
	}
}

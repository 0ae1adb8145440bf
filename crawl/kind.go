package crawl

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"

	"golang.org/x/net/html/atom"
)

// A BodyKind says what a response's body is, to whoever wants to read it.
type BodyKind string

// Kinds of bodies.
const (
	BodyHTML   BodyKind = "HTML" // XHTML too
	BodyXML    BodyKind = "XML"  // feeds and sitemaps too
	BodyJSON   BodyKind = "JSON"
	BodyText   BodyKind = "text" // any other, and an empty body of which nothing is said
	BodyBinary BodyKind = "binary"
)

// sniffed is how much of a body is looked at to tell what it is.
const sniffed = 5000

// Kind is what the Content-Type says, else the file name in Content-Disposition, else that in the URL, else what the body looks like. Types and names that are not those
// of a text say nothing, as servers send texts as application/octet-stream, and pictures under addresses that end in .html. So a body is binary only if it looks so.
func (r *Response) Kind() BodyKind {
	if e := r.Header.Get("Content-Encoding"); e == "" || strings.EqualFold(e, "identity") {
		if k := kindOfType(r.Header.Get("Content-Type")); k != "" {
			return k
		}
		if d := r.Header.Get("Content-Disposition"); d != "" {
			if _, params, err := mime.ParseMediaType(d); err == nil {
				if k := kindOfName(params["filename"]); k != "" {
					return k
				}
			}
		}
		if r.URL != nil {
			if k := kindOfName(r.URL.Path); k != "" {
				return k
			}
		}
	}
	k, _ := looksLike(r.Body.head(sniffed))
	return k
}

// kindOfType is what a Content-Type says, "" if that is not the kind of a text.
func kindOfType(contentType string) BodyKind {
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	switch t {
	case "text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml":
		return BodyHTML
	case "application/xml", "text/xml":
		return BodyXML
	case "application/json", "application/x-json", "text/json", "text/x-json", "application/json-amazonui-streaming":
		return BodyJSON
	case "application/javascript", "application/x-javascript", "application/ecmascript", "application/x-ndjson", "application/jsonl", "application/yaml":
		return BodyText
	}
	switch {
	case strings.HasSuffix(t, "+xml"):
		return BodyXML
	case strings.HasSuffix(t, "+json"):
		return BodyJSON
	case strings.HasPrefix(t, "text/"):
		return BodyText
	}
	return ""
}

// kindOfName is what the extension of a file's name says, "" if that is not the kind of a text.
func kindOfName(name string) BodyKind {
	switch strings.ToLower(path.Ext(name)) {
	case ".html", ".htm", ".shtml", ".xhtml", ".xht":
		return BodyHTML
	case ".xml", ".rss", ".atom", ".rdf", ".xsd", ".xsl", ".xslt", ".svg", ".kml", ".opml":
		return BodyXML
	case ".json", ".geojson", ".jsonld", ".webmanifest":
		return BodyJSON
	case ".txt", ".text", ".csv", ".tsv", ".js", ".mjs", ".css", ".md", ".ics", ".vcf", ".jsonl", ".ndjson", ".yaml", ".yml", ".log", ".asc", ".diff", ".srt", ".vtt":
		return BodyText
	}
	return ""
}

// looksLike is what the beginning of a body is, and what a binary one is called.
func looksLike(head []byte) (kind BodyKind, called string) {
	if called = binaryType(head); called != "" {
		return BodyBinary, called
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(narrow(head), []byte("\xef\xbb\xbf")), "\t\n\f\r ")
	if len(text) == 0 {
		return BodyText, ""
	}
	switch text[0] {
	case '{', '[':
		if looksLikeJSON(text) {
			return BodyJSON, ""
		}
	case '<':
		return looksLikeMarkup(text), ""
	}
	if lower := bytes.ToLower(text); bytes.Contains(lower, []byte("<html")) || bytes.Contains(lower, []byte("<!doctype html")) {
		return BodyHTML, ""
	}
	return BodyText, ""
}

// narrow is UTF-16 as far as it is ASCII, enough to tell what a text is; other bytes are returned as they are.
func narrow(b []byte) []byte {
	for _, start := range []string{"\xff\xfe", "\xfe\xff", "<\x00", "\x00<", "{\x00", "\x00{", "[\x00", "\x00["} {
		if bytes.HasPrefix(b, []byte(start)) {
			return bytes.ReplaceAll(bytes.TrimLeft(b, "\xff\xfe"), []byte{0}, nil)
		}
	}
	return b
}

// looksLikeJSON reports whether a value can begin as a text does that starts with a bracket.
func looksLikeJSON(text []byte) bool {
	rest := bytes.TrimLeft(text[1:], "\t\n\r ")
	if len(rest) == 0 {
		return false
	}
	if text[0] == '{' {
		return rest[0] == '"' || rest[0] == '}'
	}
	return bytes.IndexByte([]byte(`]{["-0123456789tfn`), rest[0]) >= 0
}

// looksLikeMarkup tells HTML from XML: by the first element, unless that of HTML comes later.
func looksLikeMarkup(text []byte) BodyKind {
	lower := bytes.ToLower(text)
	if bytes.Contains(lower, []byte("<html")) || bytes.Contains(lower, []byte("<!doctype html")) {
		return BodyHTML
	}
	for rest := text; ; {
		at := bytes.IndexByte(rest, '<')
		if at < 0 || at+1 == len(rest) {
			break
		}
		if rest = rest[at+1:]; rest[0] == '?' && bytes.HasPrefix(lower, []byte("<?xml")) {
			return BodyXML
		}
		end := bytes.IndexFunc(rest, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != ':' && c != '-' && c != '_'
		})
		if end <= 0 {
			continue // a comment, a declaration
		}
		if name := bytes.ToLower(rest[:end]); atom.Lookup(name) == 0 || bytes.Equal(name, []byte("svg")) {
			return BodyXML
		}
		return BodyHTML
	}
	return BodyText
}

// binaryType is what a body is that is certainly no text, or "".
func binaryType(head []byte) string {
	head = head[:min(len(head), 512)]
	t := http.DetectContentType(head)
	if strings.HasPrefix(t, "text/") {
		return ""
	}
	if t == "application/pdf" || t == "application/postscript" {
		return t
	}
	// A text may begin with a signature, "BMW" with that of a bitmap, and UTF-16 without a mark is no binary either.
	if len(narrow(head)) < len(head) || !bytes.ContainsFunc(head, isControl) {
		return ""
	}
	return t
}

// isControl reports whether no text has a character (the binary data bytes of the MIME Sniffing standard).
func isControl(c rune) bool {
	return c < ' ' && c != '\t' && c != '\n' && c != '\f' && c != '\r' && c != 0x1b
}

// head is the first part of a body, what can be read of it.
func (b Body) head(most int) []byte {
	if b.Path() == "" {
		return b.mem[:min(len(b.mem), most)]
	}
	r, err := b.Open()
	if err != nil {
		return nil
	}
	defer r.Close()
	p := make([]byte, most)
	n, _ := io.ReadFull(r, p)
	return p[:n]
}

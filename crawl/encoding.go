package crawl

import (
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
)

// Encoding is the name of the charset that [Response.Decoded] reads the body in, as the Encoding standard writes it: "utf-8", "windows-1252". It is "" if the body cannot
// be read, or Charset is unknown.
func (r *Response) Encoding() string {
	if r.Charset != "" {
		_, name := lookup(r.Charset)
		return name
	}
	b, err := r.Bytes()
	if err != nil {
		return ""
	}
	contentType := r.Header.Get("Content-Type")
	if saysUTF8(contentType) && utf8.Valid(b) {
		return "utf-8"
	}
	return charsetName(detect(b, contentType))
}

// charsetName is "utf-8" for nil.
func charsetName(enc encoding.Encoding) string {
	if enc == nil {
		return "utf-8"
	}
	if name, err := htmlindex.Name(enc); err == nil {
		return name
	}
	return "other" // UTF-32 and HZ, which the standard does not have
}

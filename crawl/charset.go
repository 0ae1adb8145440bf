package crawl

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/gogs/chardet"
	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
)

// Decoded is the body as text. The charset is that of a byte order mark, else of the Content-Type header, else of a <meta> in the first kilobyte, else UTF-8 if the
// bytes are that, else what the bytes look like.
func (r *Response) Decoded() (string, error) {
	b, err := r.Bytes()
	if err != nil {
		return "", err
	}
	t, err := decode(b, r.Header.Get("Content-Type"))
	if err != nil {
		return "", err
	}
	var s strings.Builder
	s.Grow(t.Len())
	if _, err := t.WriteTo(&s); err != nil {
		return "", fmt.Errorf("decode page: %w", err)
	}
	return s.String(), nil
}

// decode returns the bytes as UTF-8.
func decode(b []byte, contentType string) (*bytes.Reader, error) {
	enc := detect(b, contentType)
	if enc == nil {
		if !utf8.Valid(b) {
			b = bytes.ToValidUTF8(b, []byte("\ufffd"))
		}
		return bytes.NewReader(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))), nil
	}
	text, err := io.ReadAll(enc.NewDecoder().Reader(bytes.NewReader(b)))
	if err != nil {
		return nil, fmt.Errorf("decode page: %w", err)
	}
	return bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))), nil
}

// detect returns nil for UTF-8.
func detect(b []byte, contentType string) encoding.Encoding {
	for _, bom := range []struct{ mark, name string }{{"\xef\xbb\xbf", "utf-8"}, {"\xfe\xff", "utf-16be"}, {"\xff\xfe", "utf-16le"}} {
		if bytes.HasPrefix(b, []byte(bom.mark)) {
			return lookup(bom.name)
		}
	}
	if saysUTF8(contentType) {
		return nil
	}
	if _, params, err := mime.ParseMediaType(contentType); err == nil && params["charset"] != "" {
		if e, name := charset.Lookup(params["charset"]); name != "" {
			return orUTF8(e, name)
		}
	}
	if e, name, certain := charset.DetermineEncoding(b, "text/html"); certain {
		return orUTF8(e, name)
	}
	if utf8.Valid(b) {
		return nil
	}
	if guess, err := chardet.NewHtmlDetector().DetectBest(b); err == nil {
		if e, name := charset.Lookup(guess.Charset); name != "" {
			return orUTF8(e, name)
		}
	}
	return lookup("windows-1252")
}

// saysUTF8 knows the usual header without the cost of parsing it.
func saysUTF8(contentType string) bool {
	_, name, ok := strings.Cut(contentType, "; charset=")
	return ok && strings.EqualFold(name, "utf-8")
}

func lookup(label string) encoding.Encoding {
	e, name := charset.Lookup(label)
	return orUTF8(e, name)
}

func orUTF8(e encoding.Encoding, name string) encoding.Encoding {
	if name == "utf-8" {
		return nil
	}
	return e
}

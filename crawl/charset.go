package crawl

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode/utf32"
)

// Decoded is the body as text. The charset is Response.Charset, else that of a byte order mark, else of the Content-Type header, else of a <meta> or an XML declaration
// in the first four kilobytes, else UTF-8 if the bytes are that, else what the bytes look like. A declaration that cannot be true is not believed: of UTF-8, when hardly
// anything is; of another charset, when all of the text is UTF-8. Bytes that the charset does not have become U+FFFD.
func (r *Response) Decoded() (string, error) {
	b, err := r.Bytes()
	if err != nil {
		return "", err
	}
	t, err := r.decode(b)
	if err != nil {
		return "", err
	}
	return string(t), nil
}

// decode returns the body as UTF-8.
func (r *Response) decode(b []byte) ([]byte, error) {
	if r.Charset == "" && saysUTF8(r.Header.Get("Content-Type")) && utf8.Valid(b) { // the usual page, which is looked through once
		return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), nil
	}
	enc, err := r.encodingOf(b)
	if err != nil {
		return nil, err
	}
	if enc == nil {
		if !utf8.Valid(b) {
			b = bytes.ToValidUTF8(b, []byte("\ufffd"))
		}
		return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), nil
	}
	text, err := io.ReadAll(enc.NewDecoder().Reader(bytes.NewReader(b)))
	if err != nil {
		return nil, fmt.Errorf("decode page: %w", err)
	}
	return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), nil
}

// encodingOf is the charset of a body that is, or begins with, b; nil for UTF-8.
func (r *Response) encodingOf(b []byte) (encoding.Encoding, error) {
	if r.Charset == "" {
		return detect(b, r.Header.Get("Content-Type")), nil
	}
	enc, name := lookup(r.Charset)
	if name == "" {
		return nil, fmt.Errorf("decode page: unknown charset %q", r.Charset)
	}
	return enc, nil
}

// declared is how much of a page is searched for what it says of its charset: a browser takes the first kilobyte, and starts again when more comes later.
const declared = 4096

// detect returns nil for UTF-8.
func detect(b []byte, contentType string) encoding.Encoding {
	if enc, ok := marked(b); ok {
		return enc
	}
	for _, label := range [...]string{charsetParam(contentType), declaredCharset(b[:min(len(b), declared)])} {
		if label == "" {
			continue
		}
		if enc, name := lookup(label); name != "" && !lies(b, name) {
			return enc
		}
	}
	name := wideCharset(b)
	if name == "" && (bytes.Contains(b, []byte("\x1b$B")) || bytes.Contains(b, []byte("\x1b$@"))) && utf8.Valid(b) {
		name = "iso-2022-jp"
	}
	if name != "" {
		enc, _ := lookup(name)
		return enc
	}
	if whole, bad := countUTF8(b); bad == 0 || whole > 3*bad {
		return nil
	}
	return guess(b)
}

// marked is what a byte order mark says.
func marked(b []byte) (enc encoding.Encoding, ok bool) {
	switch {
	case bytes.HasPrefix(b, []byte("\xef\xbb\xbf")):
		return nil, true
	case bytes.HasPrefix(b, []byte("\xff\xfe\x00\x00")):
		return utf32.UTF32(utf32.LittleEndian, utf32.UseBOM), true
	case bytes.HasPrefix(b, []byte("\x00\x00\xfe\xff")):
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM), true
	case bytes.HasPrefix(b, []byte("\xff\xfe")):
		enc, _ = lookup("utf-16le")
		return enc, true
	case bytes.HasPrefix(b, []byte("\xfe\xff")):
		enc, _ = lookup("utf-16be")
		return enc, true
	}
	return nil, false
}

// lies reports whether a text cannot be of the charset that it is said to be of.
func lies(b []byte, name string) bool {
	if name == "utf-8" {
		whole, bad := countUTF8(b)
		return bad > 3 && bad > 3*whole
	}
	if !utf8.Valid(b) {
		return false
	}
	// In a charset of one byte a character hardly two letters in a row are UTF-8 by chance; in others, a word may be.
	whole, _ := countUTF8(b)
	if strings.HasPrefix(name, "utf-16") {
		return wideCharset(b) == ""
	}
	switch name {
	case "shift_jis", "euc-jp", "iso-2022-jp", "gbk", "gb18030", "hz-gb-2312", "big5", "euc-kr":
		return whole > 11
	}
	return whole > 1
}

// countUTF8 counts the characters beyond ASCII, and the bytes that are of none.
func countUTF8(b []byte) (whole, bad int) {
	for len(b) > 0 {
		if b[0] < utf8.RuneSelf {
			b = b[1:]
			continue
		}
		c, size := utf8.DecodeRune(b)
		if c == utf8.RuneError && size == 1 {
			bad++
		} else {
			whole++
		}
		b = b[size:]
	}
	return whole, bad
}

// wideCharset is the name of UTF-16 without a byte order mark, known by the zeros that its ASCII has, or "".
func wideCharset(b []byte) string {
	b = b[:min(len(b), declared)]
	var zeros [2]int
	for i, c := range b {
		if c == 0 {
			zeros[i&1]++
		}
	}
	switch most := max(1, len(b)/6); {
	case zeros[0] > most && zeros[1] == 0:
		return "utf-16be"
	case zeros[1] > most && zeros[0] == 0:
		return "utf-16le"
	}
	return ""
}

// saysUTF8 knows the usual header without the cost of parsing it.
func saysUTF8(contentType string) bool {
	_, name, ok := strings.Cut(contentType, "; charset=")
	return ok && strings.EqualFold(name, "utf-8")
}

// charsetParam is the charset in a Content-Type, "" if it has none. Headers that are not quite right are read all the same.
func charsetParam(contentType string) string {
	lower := strings.ToLower(contentType)
	for {
		_, rest, ok := strings.Cut(lower, "charset")
		if !ok {
			return ""
		}
		lower = rest
		if rest = strings.TrimLeft(rest, " \t\n\f\r"); !strings.HasPrefix(rest, "=") {
			continue
		}
		rest = strings.TrimLeft(rest[1:], " \t\n\f\r\"'")
		if end := strings.IndexAny(rest, " \t\n\f\r\"';,"); end >= 0 {
			rest = rest[:end]
		}
		return rest
	}
}

// declaredCharset is what an XML declaration or a <meta> says, "" if there is none.
func declaredCharset(head []byte) string {
	if bytes.HasPrefix(head, []byte("<?xml")) {
		declaration, _, _ := bytes.Cut(head, []byte(">"))
		if _, value, ok := bytes.Cut(declaration, []byte("encoding")); ok {
			if label := charsetParam("charset" + string(value)); label != "" {
				return notWide(label)
			}
		}
	}
	if !bytes.Contains(head, []byte("harset")) && !bytes.Contains(head, []byte("HARSET")) {
		return "" // as nearly all pages whose header has not said it, and most that are no HTML
	}
	z := html.NewTokenizer(bytes.NewReader(head))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return ""
		case html.StartTagToken, html.SelfClosingTagToken:
			if name, more := z.TagName(); more && string(name) == "meta" {
				if label := metaCharset(z); label != "" {
					return notWide(label)
				}
			}
		}
	}
}

// metaCharset is what the attributes of a <meta> say.
func metaCharset(z *html.Tokenizer) string {
	var content string
	var equiv bool
	for {
		key, value, more := z.TagAttr()
		switch string(key) {
		case "charset":
			return strings.TrimSpace(string(value))
		case "content":
			content = string(value)
		case "http-equiv":
			equiv = strings.EqualFold(strings.TrimSpace(string(value)), "content-type")
		}
		if !more {
			break
		}
	}
	if !equiv {
		return ""
	}
	return charsetParam(content)
}

// notWide is a label found in what was read as ASCII, which UTF-16 is not.
func notWide(label string) string {
	if strings.HasPrefix(strings.ToLower(label), "utf-16") {
		return "utf-8"
	}
	return label
}

// lookup finds a charset by one of its names. name is its usual one, "" if there is no such charset; enc is nil for UTF-8.
func lookup(label string) (enc encoding.Encoding, name string) {
	if found, err := htmlindex.Get(label); err == nil {
		enc = found
		name, _ = htmlindex.Name(enc)
	}
	switch {
	case name == "utf-8":
		return nil, name
	case name != "replacement":
		return enc, name
	case strings.EqualFold(strings.TrimSpace(label), "hz-gb-2312"): // browsers leave it undecoded, for its dangers to them
		return simplifiedchinese.HZGB2312, "hz-gb-2312"
	}
	return nil, ""
}

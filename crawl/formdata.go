package crawl

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"

	"golang.org/x/text/encoding"
)

// maxForm is the largest body that a form is made into: a request waits in memory, and in a job on disk, with its body.
const maxForm = 64 << 20

// A FormField is a name and a value that a form sends, or a file.
type FormField struct {
	Name, Value string
	// File is sent in place of Value; nil is none. Only multipart/form-data can carry what is in it: other forms send its name.
	File *FormFile
}

// A FormFile is a file that a form sends.
type FormFile struct {
	// Name is the file's name as the server is told it, without folders.
	Name string
	// Type is its Content-Type. "" is what the name's extension says, on every machine the same, else application/octet-stream.
	Type string
	// Data is the content. It is in memory, and with all other fields at most 64 MiB.
	Data []byte
}

func (f *FormFile) contentType() string {
	if f.Type != "" {
		return f.Type
	}
	if t := uploadTypes[strings.ToLower(path.Ext(f.Name))]; t != "" {
		return t
	}
	return "application/octet-stream"
}

// uploadTypes are the types of what is uploaded. Package mime's are the machine's: with them a request would have another fingerprint on another one.
var uploadTypes = map[string]string{
	".avif": "image/avif", ".bmp": "image/bmp", ".gif": "image/gif", ".ico": "image/x-icon", ".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".png": "image/png", ".svg": "image/svg+xml",
	".tif": "image/tiff", ".tiff": "image/tiff", ".webp": "image/webp",
	".css": "text/css", ".csv": "text/csv", ".htm": "text/html", ".html": "text/html", ".ics": "text/calendar", ".js": "text/javascript", ".mjs": "text/javascript", ".txt": "text/plain", ".xml": "text/xml",
	".doc": "application/msword", ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".epub": "application/epub+zip", ".gz": "application/gzip",
	".json": "application/json", ".odt": "application/vnd.oasis.opendocument.text", ".pdf": "application/pdf", ".ppt": "application/vnd.ms-powerpoint",
	".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation", ".rtf": "application/rtf", ".tar": "application/x-tar", ".wasm": "application/wasm",
	".xls": "application/vnd.ms-excel", ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".zip": "application/zip",
	".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".wav": "audio/wav", ".mov": "video/quicktime", ".mp4": "video/mp4", ".webm": "video/webm",
}

const (
	typeURLEncoded = "application/x-www-form-urlencoded"
	typeMultipart  = "multipart/form-data"
	typePlain      = "text/plain"
)

// FormRequest is a POST of names and values as a form sends them: application/x-www-form-urlencoded, sorted by name. To fill in a form that is on a page, see
// [Response.Form].
func FormRequest(rawURL string, values url.Values, with ...func(*Request)) *Request {
	return Get(rawURL, append([]func(*Request){func(r *Request) {
		r.Method, r.Body, r.Header = http.MethodPost, []byte(values.Encode()), http.Header{"Content-Type": {typeURLEncoded}}
	}}, with...)...)
}

// MultipartRequest is a POST of fields and files as multipart/form-data. The same fields make the same bytes, so that the request is known when it is made again.
// Fields of more than 64 MiB make a request that cannot be used: a request waits in memory, and in a job on disk, with its body.
func MultipartRequest(rawURL string, fields []FormField, with ...func(*Request)) *Request {
	body, contentType, err := multipart(fields, nil)
	if err != nil {
		return Unusable(rawURL, err)
	}
	return Get(rawURL, append([]func(*Request){func(r *Request) {
		r.Method, r.Body, r.Header = http.MethodPost, body, http.Header{"Content-Type": {contentType}}
	}}, with...)...)
}

// crlf makes each line break one of CR LF.
var crlf = strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n")

// encodeForm makes text that a form sends bytes of a charset; nil is UTF-8. What the charset does not have becomes &#...;, as in browsers.
func encodeForm(enc encoding.Encoding, s string) string {
	if enc == nil {
		return strings.ToValidUTF8(s, "\ufffd")
	}
	b, err := encoding.HTMLEscapeUnsupported(enc.NewEncoder()).String(s)
	if err != nil { // not UTF-8 itself
		b, _ = encoding.HTMLEscapeUnsupported(enc.NewEncoder()).String(strings.ToValidUTF8(s, "\ufffd"))
	}
	return b
}

// value is what forms send that cannot carry a file.
func (f FormField) value() string {
	if f.File != nil {
		return f.File.Name
	}
	return f.Value
}

// urlEncoded is the fields in the URL standard's application/x-www-form-urlencoded.
func urlEncoded(fields []FormField, enc encoding.Encoding) string {
	var b strings.Builder
	for i, f := range fields {
		if i > 0 {
			b.WriteByte('&')
		}
		escapeForm(&b, encodeForm(enc, crlf.Replace(f.Name)))
		b.WriteByte('=')
		escapeForm(&b, encodeForm(enc, crlf.Replace(f.value())))
	}
	return b.String()
}

func escapeForm(b *strings.Builder, s string) {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '*', c == '-', c == '.', c == '_':
			b.WriteByte(c)
		case c == ' ':
			b.WriteByte('+')
		default:
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
}

// plainText is the fields as text/plain has them: for people to read, not for programs.
func plainText(fields []FormField, enc encoding.Encoding) string {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(encodeForm(enc, crlf.Replace(f.Name)+"="+crlf.Replace(f.value())+"\r\n"))
	}
	return b.String()
}

// multipart is the fields as multipart/form-data (RFC 7578, as the HTML standard has browsers write it), and its Content-Type.
func multipart(fields []FormField, enc encoding.Encoding) (body []byte, contentType string, err error) {
	size := 0
	for _, f := range fields {
		size += len(f.Name) + len(f.Value)
		if f.File != nil {
			size += len(f.File.Data)
		}
	}
	if size > maxForm {
		return nil, "", fmt.Errorf("a form of %d bytes: a request waits with its body in memory, and at most %d are allowed", size, maxForm)
	}
	// A boundary made of the content, not of chance, lets the same form be the same request. What it is made of cannot have it in it.
	hash := sha1.New()
	if err := writeParts(hash, fields, "", enc); err != nil {
		return nil, "", err
	}
	boundary := "----tulle" + hex.EncodeToString(hash.Sum(nil))
	var b bytes.Buffer
	b.Grow(size + 256*len(fields))
	if err := writeParts(&b, fields, boundary, enc); err != nil {
		return nil, "", err
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.Bytes(), typeMultipart + "; boundary=" + boundary, nil
}

// inQuotes is how a name stands in a part's header.
var inQuotes = strings.NewReplacer("\n", "%0A", "\r", "%0D", `"`, "%22")

func writeParts(w io.Writer, fields []FormField, boundary string, enc encoding.Encoding) error {
	for _, f := range fields {
		head := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + inQuotes.Replace(encodeForm(enc, crlf.Replace(f.Name))) + `"`
		var data []byte
		if f.File != nil {
			t := f.File.contentType()
			if strings.ContainsAny(t, "\r\n") {
				return fmt.Errorf("the type of file %q has a line break", f.File.Name)
			}
			head += `; filename="` + inQuotes.Replace(encodeForm(enc, f.File.Name)) + "\"\r\nContent-Type: " + t
			data = f.File.Data
		} else {
			data = []byte(encodeForm(enc, crlf.Replace(f.Value)))
		}
		for _, part := range [][]byte{[]byte(head + "\r\n\r\n"), data, []byte("\r\n")} {
			if _, err := w.Write(part); err != nil {
				return fmt.Errorf("write form: %w", err)
			}
		}
	}
	return nil
}

package objects

import (
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// prefix begins the names of our metadata, so that it is not mistaken for that of others.
const prefix = "tulle-"

// The names of a record's values.
const (
	checksumKey     = prefix + "checksum"
	widthKey        = prefix + "width"
	heightKey       = prefix + "height"
	typeKey         = prefix + "type" // only where the object's own Content-Type can't say it
	etagKey         = prefix + "etag"
	lastModifiedKey = prefix + "last-modified"
	finalURLKey     = prefix + "final-url"
	thumbsKey       = prefix + "thumbs"
	storedKey       = prefix + "stored"
)

// unknownType is what servers take a file for whose type nobody has said.
const unknownType = "application/octet-stream"

// A Record is what an object's metadata says of a file.
type Record struct {
	Meta crawl.Meta
	// Stored is when the file was stored or renewed, if that is not when the object was written.
	Stored time.Time
}

// Metadata is the record as names and values, which are printable ASCII without spaces. What does not fit into budget bytes is left out: first the final URL, then
// the thumbnails, then what the server said for conditional requests. Nothing of that changes which file is fresh, only how much work it is to know more of it.
func (r *Record) Metadata(budget int) map[string]string {
	m := make(map[string]string)
	set := func(key, value string) {
		if value != "" {
			m[key] = escape(value)
		}
	}
	number := func(key string, n int) {
		if n != 0 {
			m[key] = strconv.Itoa(n)
		}
	}
	meta := &r.Meta
	set(checksumKey, meta.Checksum)
	number(widthKey, meta.Width)
	number(heightKey, meta.Height)
	if meta.ContentType != "" && meta.ContentType != knownType(r.ContentType()) {
		set(typeKey, meta.ContentType)
	}
	set(etagKey, meta.ETag)
	set(lastModifiedKey, meta.LastModified)
	set(finalURLKey, meta.FinalURL)
	if len(meta.Thumbs) > 0 {
		if b, err := json.Marshal(meta.Thumbs); err == nil {
			set(thumbsKey, string(b))
		}
	}
	if !r.Stored.IsZero() {
		m[storedKey] = r.Stored.UTC().Format(time.RFC3339Nano)
	}
	for _, key := range [...]string{finalURLKey, thumbsKey, etagKey, lastModifiedKey, typeKey} {
		if size(m) > budget {
			delete(m, key)
		}
	}
	return m
}

// ContentType is what the object's own Content-Type is to be.
func (r *Record) ContentType() string {
	ct := r.Meta.ContentType
	if ct == "" || len(ct) > 255 || strings.ContainsFunc(ct, func(c rune) bool { return c < ' ' || c > '~' }) || strings.TrimSpace(ct) != ct {
		return unknownType
	}
	return ct
}

// size is what servers count against their limits: names and values.
func size(m map[string]string) int {
	n := 0
	for k, v := range m {
		n += len(k) + len(v)
	}
	return n
}

// IsRecord reports whether metadata of this name is a record's. Case does not matter: HTTP changes it.
func IsRecord(name string) bool { return strings.HasPrefix(strings.ToLower(name), prefix) }

// ReadRecord reads an object's metadata and its Content-Type. What makes no sense counts as missing.
func ReadRecord(metadata map[string]string, contentType string) Record {
	r := Record{Meta: crawl.Meta{ContentType: knownType(contentType)}}
	meta := &r.Meta
	for name, value := range metadata {
		value, err := url.PathUnescape(value)
		if err != nil {
			continue
		}
		switch strings.ToLower(name) {
		case checksumKey:
			meta.Checksum = value
		case widthKey:
			meta.Width, _ = strconv.Atoi(value)
		case heightKey:
			meta.Height, _ = strconv.Atoi(value)
		case typeKey:
			meta.ContentType = value
		case etagKey:
			meta.ETag = value
		case lastModifiedKey:
			meta.LastModified = value
		case finalURLKey:
			meta.FinalURL = value
		case thumbsKey:
			if json.Unmarshal([]byte(value), &meta.Thumbs) != nil {
				meta.Thumbs = nil
			}
		case storedKey:
			if t, err := time.Parse(time.RFC3339Nano, value); err == nil {
				r.Stored = t.UTC()
			}
		}
	}
	return r
}

// knownType is a Content-Type as somebody has given it, "" for those that servers make up.
func knownType(contentType string) string {
	switch contentType {
	case unknownType, "binary/octet-stream":
		return ""
	}
	return contentType
}

// escape percent-encodes what may not survive in a header: spaces (signatures squeeze them), what is not ASCII, control characters, and the percent sign.
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	plain := func(c byte) bool { return c > ' ' && c < 0x7f && c != '%' }
	n := 0
	for i := range len(s) {
		if !plain(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

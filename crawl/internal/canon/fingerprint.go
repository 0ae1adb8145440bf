package canon

import (
	"crypto/sha1"
	"encoding/hex"
	"net/url"
	"slices"
)

// Fingerprint is equal for two requests that are one to the scheduler: same method, same canonical URL, same body. It is
// Scrapy's: the SHA-1 of these, as Python's json.dumps writes them. "" is GET, and case does not matter in a method. A method
// that is no token (RFC 9110, section 5.6.2) cannot be sent, but is hashed all the same.
func Fingerprint(method string, u *url.URL, body []byte) [sha1.Size]byte {
	const chunk = 1024
	var onStack [512]byte
	buf := append(onStack[:0], `{"body": "`...)
	if len(body) <= chunk {
		buf = hex.AppendEncode(buf, body)
		return sha1.Sum(appendRest(buf, method, u))
	}
	hash := sha1.New()
	hash.Write(buf)
	for part := range slices.Chunk(body, chunk) {
		buf = hex.AppendEncode(buf[:0], part)
		hash.Write(buf)
	}
	hash.Write(appendRest(buf[:0], method, u))
	return [sha1.Size]byte(hash.Sum(nil))
}

// appendRest appends everything behind the body. The canonical URL needs no escaping: it has neither quotes nor backslashes.
func appendRest(dst []byte, method string, u *url.URL) []byte {
	if method == "" {
		method = "GET"
	}
	dst = append(dst, `", "headers": {}, "method": "`...)
	for i := range len(method) {
		c := method[i]
		switch {
		case 'a' <= c && c <= 'z':
			dst = append(dst, c&^0x20)
		case c < ' ' || c > '~' || c == '"' || c == '\\':
			dst = append(dst, `\u00`...)
			dst = hex.AppendEncode(dst, []byte{c})
		default:
			dst = append(dst, c)
		}
	}
	dst = append(dst, `", "url": "`...)
	dst = AppendCanonical(dst, u)
	return append(dst, `"}`...)
}

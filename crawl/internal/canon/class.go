package canon

import "strings"

// class is a set of properties of a byte, and of a string whose bytes have them.
type class uint16

const (
	control   class = 1 << iota // up to U+0020: cut off at the ends of a link
	backslash                   // stands for a slash in http and its like
	unsafe                      // never stands as it is, wherever it is
	percent                     // starts an escape, or should be one
	quote                       // ': not safe in the query of http and its like
	hash                        // #: ends the path or the query, and is not safe in a fragment
	mark                        // !'()*: safe in a path, but net/url would escape them
	hostByte                    // stands as it is in the name of a host
	userByte                    // stands as it is in user name and password
	pathByte                    // stands as it is in a canonical path
	queryByte                   // stands as it is in a canonical query: RFC 3986's unreserved
	hexDigit
)

// What is escaped in each part of a URL. A query keeps a percent sign that starts no escape, as w3lib does; the other parts
// cannot, because a url.URL holds them decoded.
const (
	escapePath         = unsafe | percent
	escapeQuery        = unsafe | hash
	escapeSpecialQuery = unsafe | hash | quote
	escapeFragment     = unsafe | percent | hash
)

const (
	lowerLetters = "abcdefghijklmnopqrstuvwxyz"
	upperLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits       = "0123456789"
	unreserved   = lowerLetters + upperLetters + digits + "-._~"
	subDelims    = "!$&'()*+,;="
	upperHex     = "0123456789ABCDEF"
)

// classes is read-only.
var classes = func() (table [256]class) {
	set := func(bytes string, c class) {
		for i := range len(bytes) {
			table[bytes[i]] |= c
		}
	}
	for c := range table {
		if !strings.Contains(unreserved+subDelims+":/?@#%", string(rune(c))) || c >= 0x80 {
			table[c] |= unsafe
		}
		if c <= ' ' {
			table[c] |= control
		}
	}
	set(`\`, backslash)
	set("%", percent)
	set("'", quote)
	set("#", hash)
	set("!'()*", mark)
	set(lowerLetters+digits+"-._~"+subDelims, hostByte)
	set(unreserved+"!$&'()*+,", userByte)
	set(unreserved+subDelims+":/@[]|", pathByte)
	set(unreserved, queryByte)
	set(digits+"abcdefABCDEF", hexDigit)
	return table
}()

// classOf is what the bytes of s are, taken together.
func classOf(s string) class {
	var c class
	for i := range len(s) {
		c |= classes[s[i]]
	}
	return c
}

// isEscape reports whether a whole escape, such as %2F, stands at s[i:].
func isEscape(s string, i int) bool {
	return i+2 < len(s) && s[i] == '%' && (classes[s[i+1]]&classes[s[i+2]]&hexDigit) != 0
}

// unescapeAt is the byte that the escape at s[i:] stands for.
func unescapeAt(s string, i int) byte {
	return hexValue(s[i+1])<<4 | hexValue(s[i+2])
}

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

func appendEscape(dst []byte, c byte) []byte {
	return append(dst, '%', upperHex[c>>4], upperHex[c&15])
}

// escape percent-encodes the bytes of s that are of class bad, and leaves the escapes that s already has. It returns s itself
// if there is nothing to do.
func escape(s string, bad class) string {
	for i := range len(s) {
		if classes[s[i]]&bad != 0 && !isEscape(s, i) {
			return string(appendEscaped(make([]byte, 0, len(s)+32), s, bad))
		}
	}
	return s
}

func appendEscaped(dst []byte, s string, bad class) []byte {
	for i := range len(s) {
		if classes[s[i]]&bad != 0 && !isEscape(s, i) {
			dst = appendEscape(dst, s[i])
		} else {
			dst = append(dst, s[i])
		}
	}
	return dst
}

// unescape decodes the escapes of s, and leaves a percent sign that starts none.
func unescape(s string) string {
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return s
	}
	dst := append(make([]byte, 0, len(s)), s[:i]...)
	for i < len(s) {
		if isEscape(s, i) {
			dst = append(dst, unescapeAt(s, i))
			i += 3
		} else {
			dst = append(dst, s[i])
			i++
		}
	}
	return string(dst)
}

// lowerASCII lowers the ASCII letters of s and nothing else.
func lowerASCII(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			lower := []byte(s)
			for i, c := range lower {
				if 'A' <= c && c <= 'Z' {
					lower[i] = c | 0x20
				}
			}
			return string(lower)
		}
	}
	return s
}

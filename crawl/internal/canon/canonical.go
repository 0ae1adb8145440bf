package canon

import (
	"bytes"
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Canonical writes u so that two URLs that ask for the same thing are written alike. It is w3lib's canonicalize_url: the query
// is sorted by key, then by value, and spaces in it are "+"; escapes are in upper case, and only where they are needed; "." and
// ".." are resolved; an empty path is "/"; the host is in lower case and in ASCII; there is no fragment. Default ports and empty
// values stay. The result is ASCII, and parses to a URL with the same canonical form.
func Canonical(u *url.URL) string {
	var onStack [256]byte
	return string(AppendCanonical(onStack[:0], u))
}

// AppendCanonical appends [Canonical] of u to dst. Nothing else is allocated for a URL whose path has no escapes and whose query
// has at most sixteen parameters.
func AppendCanonical(dst []byte, u *url.URL) []byte {
	if strings.HasPrefix(u.Opaque, "//") {
		// The way to tell net/http exactly which bytes to ask for.
		if parsed, err := Parse(u.String()); err == nil {
			u = parsed
		}
	}
	scheme := strings.ToLower(u.Scheme)
	if scheme != "" {
		dst = append(dst, scheme...)
		dst = append(dst, ':')
	}
	hasAuthority := u.Opaque == "" && (u.Host != "" || u.User != nil || isSpecial(scheme))
	if hasAuthority {
		dst = append(dst, "//"...)
		dst = appendUser(dst, u.User)
		dst = appendHost(dst, u.Host)
	}
	start := len(dst)
	dst = appendPath(dst, u, scheme)
	if !hasAuthority && u.Opaque == "" && bytes.HasPrefix(dst[start:], []byte("//")) {
		dst = slices.Insert(dst, start, '/', '/') // or the path would be read as a host
	}
	return appendQuery(dst, u.RawQuery)
}

func appendUser(dst []byte, user *url.Userinfo) []byte {
	if user == nil {
		return dst
	}
	appendPart := func(s string) {
		for i := range len(s) {
			if classes[s[i]]&userByte != 0 {
				dst = append(dst, s[i])
			} else {
				dst = appendEscape(dst, s[i])
			}
		}
	}
	appendPart(user.Username())
	if password, ok := user.Password(); ok {
		dst = append(dst, ':')
		appendPart(password)
	}
	return append(dst, '@')
}

func appendHost(dst []byte, host string) []byte {
	if host == "" || isPlainHost(host) {
		return append(dst, host...)
	}
	name, port, err := splitPort(host)
	switch {
	case err != nil:
	case strings.HasPrefix(name, "["):
		var ip netip.Addr
		ip, _, err = parseIPv6(name)
		name = "[" + strings.ToLower(strings.Replace(ip.String(), "%", "%25", 1)) + "]" // RFC 6874
	case name != "":
		name, err = normalName(name)
	}
	if err != nil {
		// No request gets there. It is still the same URL as itself.
		return appendEscaped(dst, strings.ToLower(host), unsafe|percent|hash)
	}
	dst = append(dst, name...)
	return append(dst, port...)
}

// appendPath appends the path of u, with everything decoded that need not be encoded, and then dots resolved.
func appendPath(dst []byte, u *url.URL, scheme string) []byte {
	path, encoded := u.Path, false
	if u.Opaque != "" {
		path, encoded = u.Opaque, true
	} else if u.RawPath != "" {
		path, encoded = u.EscapedPath(), true
	}

	// Parameters of the last segment (RFC 2396, section 3.3) are left as they are: no decoding, no dots.
	params := ""
	if strings.IndexByte(path, ';') >= 0 && hasParams(scheme) {
		if !encoded {
			path, encoded = u.EscapedPath(), true
		}
		last := strings.LastIndexByte(path, '/') + 1
		if i := strings.IndexByte(path[last:], ';'); i >= 0 {
			path, params = path[:last+i], path[last+i+1:]
		}
	}

	start := len(dst)
	if path == "" || u.Host != "" && path[0] != '/' {
		dst = append(dst, '/')
	}
	if allOf(path, pathByte) {
		dst = append(dst, path...)
		path = ""
	}
	for i := 0; i < len(path); i++ {
		c := path[i]
		if classes[c]&pathByte != 0 {
			dst = append(dst, c)
			continue
		}
		if encoded && isEscape(path, i) {
			c = unescapeAt(path, i)
			i += 2
			if classes[c]&pathByte != 0 && c != '/' && c != ';' { // those two mean something else when they are escaped
				dst = append(dst, c)
				continue
			}
		}
		dst = appendEscape(dst, c)
	}
	if dst[start] == '/' {
		dst = dst[:start+len(removeDots(dst[start:]))]
	}
	if params != "" {
		dst = append(dst, ';')
		dst = appendEscaped(dst, params, escapePath)
	}
	return dst
}

// hasParams reports whether scheme is one of those, among the ones that a crawler meets, in which w3lib takes what follows a
// semicolon in the last segment of a path for parameters.
func hasParams(scheme string) bool {
	switch scheme {
	case "http", "https", "ftp", "sftp", "tel", "sip", "sips", "":
		return true
	}
	return false
}

type param struct{ key, value string } // as they stand in the query

func appendQuery(dst []byte, query string) []byte {
	if query == "" {
		return dst
	}
	var onStack [16]param
	params := onStack[:0]
	for query != "" {
		var field string
		field, query, _ = strings.Cut(query, "&")
		if field != "" {
			key, value, _ := strings.Cut(field, "=")
			params = append(params, param{key, value})
		}
	}
	slices.SortFunc(params, func(a, b param) int {
		if order := compareForm(a.key, b.key); order != 0 {
			return order
		}
		return compareForm(a.value, b.value)
	})
	separator := byte('?')
	for _, p := range params {
		dst = append(dst, separator)
		dst = appendForm(dst, p.key)
		dst = append(dst, '=')
		dst = appendForm(dst, p.value)
		separator = '&'
	}
	return dst
}

// formByte returns the byte that a form's key or value has at s[i:], and how many bytes are written there for it.
func formByte(s string, i int) (c byte, length int) {
	switch {
	case s[i] == '+':
		return ' ', 1
	case isEscape(s, i):
		return unescapeAt(s, i), 3
	}
	return s[i], 1
}

// compareForm compares what two keys or values mean.
func compareForm(a, b string) int {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		x, m := formByte(a, i)
		y, n := formByte(b, j)
		if x != y {
			return cmp.Compare(x, y)
		}
		i, j = i+m, j+n
	}
	return cmp.Compare(len(a)-i, len(b)-j)
}

// appendForm appends a form's key or value in its one canonical spelling.
func appendForm(dst []byte, s string) []byte {
	if allOf(s, queryByte) {
		return append(dst, s...)
	}
	for i := 0; i < len(s); {
		c, length := formByte(s, i)
		i += length
		switch {
		case classes[c]&queryByte != 0:
			dst = append(dst, c)
		case c == ' ':
			dst = append(dst, '+')
		default:
			dst = appendEscape(dst, c)
		}
	}
	return dst
}

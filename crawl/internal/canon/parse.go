package canon

import (
	"bytes"
	"errors"
	"net/url"
	"strings"
)

// Why a link is not a URL. Errors of [Parse] and [Resolve] are *url.Error; they may wrap others, such as of a port or of a host
// that cannot exist.
var (
	ErrNoScheme = errors.New("no scheme")
	ErrNoHost   = errors.New("no host")
	ErrBase     = errors.New("base has no path to start from")
)

// Parse reads a URL as people and pages write it. Spaces and control characters at its ends and tabs and newlines anywhere are
// dropped; in http, https, ftp, ws and wss a backslash is a slash, and any number of slashes leads to the host; a host in any
// script becomes ASCII; the segments "." and ".." of a path, written so or as %2e, are resolved. What needs it is percent-encoded, as
// UTF-8. What is left as it is: default ports, the order of the query, and the fragment.
//
// The schemes named above need a host. Others need not be of any use for a request: mailto:, javascript: and tel: come back with
// their Opaque set.
func Parse(raw string) (*url.URL, error) {
	s, c := tidy(raw)
	scheme, rest := cutScheme(s)
	if scheme == "" {
		return nil, failed("parse", raw, ErrNoScheme)
	}
	u, err := absolute(scheme, rest, c)
	if err != nil {
		return nil, failed("parse", raw, err)
	}
	return u, nil
}

// Resolve reads a link that stands in the page at base, as [Parse] does, relative to base if it is relative. Dots in a relative
// link are resolved (RFC 3986, section 5.2), and empty segments are kept, as browsers do and Python's urljoin does not. An empty
// link is base without its fragment. base is not changed.
func Resolve(base *url.URL, ref string) (*url.URL, error) {
	s, c := tidy(ref)
	scheme, rest := cutScheme(s)
	var u *url.URL
	var err error
	if scheme != "" && !(scheme == base.Scheme && isSpecial(scheme) && !startsAuthority(rest)) {
		u, err = absolute(scheme, rest, c)
	} else {
		u, err = relative(base, rest, c)
	}
	if err != nil {
		return nil, failed("resolve", ref, err)
	}
	return u, nil
}

func failed(op, link string, err error) error {
	const enough = 500
	if len(link) > enough {
		link = link[:enough] + "..."
	}
	return &url.Error{Op: op, URL: link, Err: err}
}

// tidy drops what no browser sees in a link, and classifies the rest.
func tidy(s string) (string, class) {
	c := classOf(s)
	if c&control == 0 {
		return s, c
	}
	s = strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
	if strings.ContainsAny(s, "\t\n\r") {
		kept := make([]byte, 0, len(s))
		for i := range len(s) {
			if s[i] != '\t' && s[i] != '\n' && s[i] != '\r' {
				kept = append(kept, s[i])
			}
		}
		s = string(kept)
	}
	return s, classOf(s)
}

// cutScheme returns the scheme of s in lower case and what follows its colon, or "" and s.
func cutScheme(s string) (scheme, rest string) {
	if s == "" || !isLetter(s[0]) {
		return "", s
	}
	end := strings.IndexByte(s, ':')
	if end < 0 {
		return "", s
	}
	for i := 1; i < end; i++ {
		if c := s[i]; !isLetter(c) && (c < '0' || c > '9') && c != '+' && c != '-' && c != '.' {
			return "", s
		}
	}
	return strings.ToLower(s[:end]), s[end+1:]
}

func isLetter(c byte) bool {
	c |= 0x20
	return 'a' <= c && c <= 'z'
}

// isSpecial reports whether scheme is one of those that the URL Standard treats leniently.
func isSpecial(scheme string) bool {
	switch scheme {
	case "http", "https", "file", "ftp", "ws", "wss":
		return true
	}
	return false
}

// startsAuthority reports whether s starts with two slashes of either kind.
func startsAuthority(s string) bool {
	return len(s) > 1 && (s[0] == '/' || s[0] == '\\') && (s[1] == '/' || s[1] == '\\')
}

// slashes turns the backslashes of a special URL into slashes, up to its query or fragment.
func slashes(s string) string {
	end := strings.IndexAny(s, "?#")
	if end < 0 {
		end = len(s)
	}
	return strings.ReplaceAll(s[:end], `\`, "/") + s[end:]
}

// absolute makes a URL of a scheme and of what follows its colon. c is the class of at least that.
func absolute(scheme, rest string, c class) (*url.URL, error) {
	special := isSpecial(scheme)
	if special && c&backslash != 0 {
		rest = slashes(rest)
	}
	u := &url.URL{Scheme: scheme}
	var err error
	switch {
	case special && scheme != "file":
		rest, err = setAuthority(u, strings.TrimLeft(rest, "/"))
	case strings.HasPrefix(rest, "//"):
		rest, err = setAuthority(u, rest[2:])
	case strings.HasPrefix(rest, "/"):
		u.OmitHost = !special
	default:
		path, query, fragment, _ := cut(rest)
		u.Opaque = escape(path, escapePath)
		setTail(u, query, fragment, c)
		return u, nil
	}
	if err != nil {
		return nil, err
	}
	path, query, fragment, _ := cut(rest)
	if special && hasDots(path, c) {
		path = string(removeDots([]byte(path)))
	}
	setPath(u, path, c)
	setTail(u, query, fragment, c)
	return u, nil
}

// relative makes a URL of base and of a link without a scheme. c is the class of at least that link.
func relative(base *url.URL, ref string, c class) (*url.URL, error) {
	if base.Scheme != strings.ToLower(base.Scheme) || base.Host != "" && !isPlainHost(base.Host) {
		tidied, err := Parse(base.String())
		if err != nil {
			return nil, err
		}
		base = tidied
	}
	if base.Scheme == "" {
		return nil, ErrNoScheme
	}
	special := isSpecial(base.Scheme)
	if special && c&backslash != 0 {
		ref = slashes(ref)
	}
	if strings.HasPrefix(ref, "//") {
		return absolute(base.Scheme, ref, c)
	}
	path, query, fragment, hasQuery := cut(ref)
	if base.Opaque != "" && (path != "" || hasQuery) {
		return nil, ErrBase
	}
	u := &url.URL{Scheme: base.Scheme, Opaque: base.Opaque, User: base.User, Host: base.Host, OmitHost: base.OmitHost}
	switch {
	case path == "":
		path = base.EscapedPath()
		c |= classOf(path)
		if !hasQuery {
			query = base.RawQuery
			c |= classOf(query)
		}
	case path[0] != '/' || hasDots(path, c):
		var onStack [256]byte
		joined := onStack[:0]
		if path[0] != '/' {
			dir := base.EscapedPath()
			dir = dir[:strings.LastIndexByte(dir, '/')+1]
			if dir == "" {
				dir = "/"
			}
			c |= classOf(dir)
			joined = append(joined, dir...)
		}
		path = string(removeDots(append(joined, path...)))
	}
	setPath(u, path, c)
	setTail(u, query, fragment, c)
	if strings.HasPrefix(u.Path, "//") {
		u.OmitHost = false // or the path would be read as a host
	}
	return u, nil
}

// cut divides what follows the host.
func cut(s string) (path, query, fragment string, hasQuery bool) {
	if i := strings.IndexByte(s, '#'); i >= 0 {
		s, fragment = s[:i], s[i+1:]
	}
	path, query, hasQuery = strings.Cut(s, "?")
	return path, query, fragment, hasQuery
}

// setPath sets the path to one that may hold escapes. c is the class of at least that path.
func setPath(u *url.URL, path string, c class) {
	if c&(unsafe|percent|mark) == 0 {
		u.Path = path
		return
	}
	path = escape(path, escapePath)
	u.Path = unescape(path)
	if u.EscapedPath() != path {
		u.RawPath = path
	}
}

// setTail sets what follows the path. c is the class of at least that.
func setTail(u *url.URL, query, fragment string, c class) {
	if query != "" {
		if isSpecial(u.Scheme) {
			if c&escapeSpecialQuery != 0 {
				query = escape(query, escapeSpecialQuery)
			}
			if u.Path == "" {
				u.Path = "/" // or a client might ask for "?query"
			}
		} else if c&escapeQuery != 0 {
			query = escape(query, escapeQuery)
		}
		u.RawQuery = query
	}
	if fragment != "" {
		fragment = escape(fragment, escapeFragment)
		u.Fragment = unescape(fragment)
		if u.EscapedFragment() != fragment {
			u.RawFragment = fragment
		}
	}
}

// hasDots reports whether a path may have segments that removeDots resolves. c is the class of at least that path.
func hasDots(path string, c class) bool {
	return strings.Contains(path, "/.") || c&percent != 0 && (strings.Contains(path, "/%2e") || strings.Contains(path, "/%2E"))
}

// removeDots resolves the segments "." and ".." of a path that starts with a slash, in place. Their dots may be written as %2e, which every server reads as
// dots, and so do browsers: robots.txt and cookies hold for the path that is meant.
func removeDots(path []byte) []byte {
	if !bytes.Contains(path, []byte("/.")) && !bytes.Contains(path, []byte("/%2")) {
		return path
	}
	out := path[:0]
	for start := 0; start < len(path); {
		end := start + 1
		for end < len(path) && path[end] != '/' {
			end++
		}
		dots := dotSegment(path[start+1 : end])
		if dots == 0 {
			out = append(out, path[start:end]...)
			start = end
			continue
		}
		if dots == 2 {
			out = out[:max(bytes.LastIndexByte(out, '/'), 0)]
		}
		if end == len(path) {
			out = append(out, '/')
		}
		start = end
	}
	return out
}

// dotSegment is 1 for ".", 2 for "..", and 0 for any other segment.
func dotSegment(s []byte) (dots int) {
	for ; len(s) > 0; dots++ {
		switch {
		case dots == 2:
			return 0
		case s[0] == '.':
			s = s[1:]
		case len(s) >= 3 && s[0] == '%' && s[1] == '2' && s[2]|0x20 == 'e':
			s = s[3:]
		default:
			return 0
		}
	}
	return dots
}

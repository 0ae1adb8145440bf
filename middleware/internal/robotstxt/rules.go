package robotstxt

import (
	"bytes"
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Rules is what a robots.txt says to one crawler. The zero value allows everything. It does not change, and may be used by many
// goroutines at once.
type Rules struct {
	rules []rule // the most specific first, and of equally specific ones those that allow
	delay delay
}

// rule is one Allow or Disallow line.
type rule struct {
	pattern  []byte // canonical octets; '*' stands for any octets, also none
	head     int    // length of what stands before the first '*'
	anchored bool   // the pattern ended in '$': it must match to the end of the path
	allow    bool
	octets   int // how specific: the pattern's length with '*' and '$'
}

// Allowed reports whether the crawler may fetch u, by u's path and query alone: whose robots.txt to ask is for the caller to know. The most
// specific rule decides; of equally specific ones an Allow wins; without a rule that matches, and for /robots.txt itself, the answer is yes.
//
// Path and rules are compared in one form (RFC 9309, section 2.2.2): %-escapes of unreserved characters are undone, other octets outside
// ASCII are %-encoded, hexadecimal digits are upper-case. "%2F" in a path is not "/".
//
// The time it takes grows with the number of rules and the length of the path, whatever wildcards there are, and URLs of usual length and
// form cost no allocation. It is bounded: rules that cannot be compared with a path in some hundredths of a second forbid it.
func (r *Rules) Allowed(u *url.URL) bool {
	if len(r.rules) == 0 {
		return true
	}
	var buf, buf2 [512]byte
	path := buf[:0]
	escaped := u.EscapedPath()
	if !strings.HasPrefix(escaped, "/") {
		path = append(path, '/')
	}
	path = appendCanonical(path, escaped)
	if string(path) == "/robots.txt" {
		return true
	}
	var other []byte // the other form of a query with escaped delimiters
	if u.RawQuery != "" || u.ForceQuery {
		path = append(path, '?')
		query := len(path)
		path = appendCanonical(path, u.RawQuery)
		if hasEscapedDelimiter(path[query:]) {
			other = append(buf2[:0], path[:query]...)
			other = appendDelimiters(other, path[query:])
		}
	}
	left := maxWork
	for i := range r.rules {
		rule := &r.rules[i]
		if rule.head < len(rule.pattern) {
			if left -= len(rule.pattern) + len(path) + len(other); left < 0 {
				return false
			}
		}
		if rule.matches(path) || other != nil && rule.matches(other) {
			return rule.allow
		}
	}
	return true
}

// maxWork is how many bytes of paths and patterns are compared for rules with wildcards: more than a file of the largest size can ask for, unless the path is
// longer than browsers send.
const maxWork = 64 << 20

// Size is about how many bytes the rules take in memory.
func (r *Rules) Size() int {
	n := 0
	for i := range r.rules {
		n += 64 + len(r.rules[i].pattern) // a rule, and what an allocation of its own adds
	}
	return n
}

// CrawlDelay returns the pause between two requests that the site asks of the crawler, and whether it asks for one: the longest of its
// Crawl-delay lines (seconds) and Request-rate lines (requests per period). These lines are not in RFC 9309; they are a request that many
// sites make. A site may ask for years; it is for the caller to set a bound.
func (r *Rules) CrawlDelay() (time.Duration, bool) { return r.delay.pause, r.delay.asked }

// collect adds the rules of the groups that name the token, and reports whether there are any such groups, with rules or without.
func (r *Rules) collect(groups []group, token string) bool {
	found := false
	for i := range groups {
		if !slices.Contains(groups[i].agents, token) {
			continue
		}
		found = true
		r.rules = append(r.rules, groups[i].rules...)
		if groups[i].delay.asked {
			r.delay.add(groups[i].delay.pause)
		}
	}
	return found
}

// sort puts the rules in the order of precedence, so that the first one that matches decides.
func (r *Rules) sort() {
	slices.SortFunc(r.rules, func(a, b rule) int {
		if c := cmp.Compare(b.octets, a.octets); c != 0 {
			return c
		}
		switch {
		case a.allow == b.allow:
			return 0
		case a.allow:
			return -1
		}
		return 1
	})
}

// appendRules appends what one line means: no rule if it cannot match anything, more than one if its path has several forms.
func appendRules(rules []rule, value string, allow bool) []rule {
	if value == "" || value[0] != '/' && value[0] != '*' {
		return rules // an empty rule is no rule, and no path begins with anything but a slash
	}
	anchored := strings.HasSuffix(value, "$")
	if anchored {
		value = value[:len(value)-1]
	}
	pattern := slices.Clip(appendPattern(nil, value))
	r := newRule(pattern, anchored, allow)
	rules = append(rules, r)

	if query := bytes.IndexByte(pattern, '?') + 1; query > 0 && hasEscapedDelimiter(pattern[query:]) {
		same := newRule(appendDelimiters(slices.Clone(pattern[:query]), pattern[query:]), anchored, allow)
		same.octets = r.octets
		rules = append(rules, same)
	}
	// Google: who allows index.html (or index.htm) allows the directory by its own name.
	if slash := bytes.LastIndexByte(pattern, '/'); allow && slash >= 0 && bytes.HasPrefix(pattern[slash:], []byte("/index.htm")) {
		rules = append(rules, newRule(pattern[:slash+1], true, true))
	}
	return rules
}

func newRule(pattern []byte, anchored, allow bool) rule {
	r := rule{pattern: pattern, head: bytes.IndexByte(pattern, '*'), anchored: anchored, allow: allow, octets: len(pattern)}
	if r.head < 0 {
		r.head = len(pattern)
	}
	if anchored {
		r.octets++
	}
	return r
}

// matches reports whether the rule matches the path. Each piece between wildcards is looked for once, to the right of the piece before
// it: the leftmost place is as good as any other, so there is nothing to go back to.
func (r *rule) matches(path []byte) bool {
	if !bytes.HasPrefix(path, r.pattern[:r.head]) {
		return false
	}
	path = path[r.head:]
	if r.head == len(r.pattern) {
		return !r.anchored || len(path) == 0
	}
	rest := r.pattern[r.head+1:]
	for {
		piece, after, more := cutWildcard(rest)
		if !more && r.anchored {
			return bytes.HasSuffix(path, piece)
		}
		at := bytes.Index(path, piece)
		if at < 0 {
			return false
		}
		if !more {
			return true
		}
		path, rest = path[at+len(piece):], after
	}
}

func cutWildcard(pattern []byte) (before, after []byte, found bool) {
	if i := bytes.IndexByte(pattern, '*'); i >= 0 {
		return pattern[:i], pattern[i+1:], true
	}
	return pattern, nil, false
}

// appendPattern appends the canonical form of a rule's path, in which '*' is a wildcard.
func appendPattern(dst []byte, s string) []byte {
	for {
		piece, rest, more := strings.Cut(s, "*")
		dst = appendCanonical(dst, piece)
		if !more {
			return dst
		}
		dst, s = append(dst, '*'), rest
	}
}

// appendCanonical appends the form of a path or query in which equal octets mean the same: a %-escape only where RFC 3986 asks for one,
// with upper-case digits. '*' and '$' are escaped, so that a rule can name them as RFC 9309, section 2.2.3, says ("%2A" and "%24").
func appendCanonical(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		start := i
		for i < len(s) && verbatim[s[i]] {
			i++
		}
		dst = append(dst, s[start:i]...)
		if i == len(s) {
			break
		}
		c := s[i]
		i++
		if c == '%' {
			octet, ok := unhex(s[i:])
			if !ok {
				dst = append(dst, '%') // malformed; as it stands, a rule for the beginning of an escape still matches
				continue
			}
			c = octet
			i += 2
			if unreserved(c) {
				dst = append(dst, c)
				continue
			}
		}
		dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
	}
	return dst
}

// RFC 9309 has "?u=https://h" and "?u=https%3A%2F%2Fh" match each other, although Google compares them as they are written. So a query with
// escaped general delimiters (RFC 3986, section 2.2) has a second form, without those escapes, and it is enough that one form matches. It
// holds for the query only: there these characters stand for themselves, while a path's "%2F" is not its "/".

func hasEscapedDelimiter(query []byte) bool {
	for i := bytes.IndexByte(query, '%'); i >= 0 && i+2 < len(query); i++ {
		if query[i] == '%' && isEscapedDelimiter(query[i+1], query[i+2]) {
			return true
		}
	}
	return false
}

// appendDelimiters appends a canonical query, with the escapes of general delimiters undone.
func appendDelimiters(dst, query []byte) []byte {
	for i := 0; i < len(query); i++ {
		if query[i] == '%' && i+2 < len(query) && isEscapedDelimiter(query[i+1], query[i+2]) {
			octet, _ := unhex(string(query[i+1 : i+3]))
			dst = append(dst, octet)
			i += 2
			continue
		}
		dst = append(dst, query[i])
	}
	return dst
}

// isEscapedDelimiter knows the upper-case escapes of : / ? # [ ] @.
func isEscapedDelimiter(high, low byte) bool {
	switch high {
	case '2':
		return low == '3' || low == 'F'
	case '3':
		return low == 'A' || low == 'F'
	case '4':
		return low == '0'
	case '5':
		return low == 'B' || low == 'D'
	}
	return false
}

const upperHex = "0123456789ABCDEF"

// unhex reads the two hexadecimal digits that s begins with.
func unhex(s string) (octet byte, ok bool) {
	if len(s) < 2 {
		return 0, false
	}
	for _, c := range []byte(s[:2]) {
		octet <<= 4
		switch {
		case '0' <= c && c <= '9':
			octet |= c - '0'
		case 'a' <= c && c <= 'f':
			octet |= c - 'a' + 10
		case 'A' <= c && c <= 'F':
			octet |= c - 'A' + 10
		default:
			return 0, false
		}
	}
	return octet, true
}

// unreserved are the characters that mean the same escaped and not (RFC 3986, section 2.3).
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// verbatim marks the octets that canonical form leaves alone: the unreserved and the reserved characters of RFC 3986 without '*' and '$'.
var verbatim = func() (table [256]bool) {
	for c := range table {
		table[c] = unreserved(byte(c)) || strings.IndexByte(":/?#[]@!&'()+,;=", byte(c)) >= 0
	}
	return table
}()

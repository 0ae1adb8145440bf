package cookiejar

import (
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/publicsuffix"
)

// received is a cookie as a site sets it, before it is known whether the site may.
type received struct {
	name, value string
	domain      string // "" is the host alone
	path        string // "" is the request's directory
	expires     time.Time
	maxAge      int64 // seconds; it wins over expires
	hasMaxAge   bool
	secure      bool
	httpOnly    bool
}

// parseSetCookie reads the value of a Set-Cookie header (RFC 6265, section 5.2).
func parseSetCookie(line string) (received, bool) {
	pair, attributes, _ := strings.Cut(line, ";")
	name, value, ok := strings.Cut(pair, "=")
	r := received{name: strings.Trim(name, whiteSpace), value: strings.Trim(value, whiteSpace)}
	if !ok || !acceptable(r.name, r.value) {
		return received{}, false
	}
	for attributes != "" {
		var attribute string
		attribute, attributes, _ = strings.Cut(attributes, ";")
		name, value, _ := strings.Cut(attribute, "=")
		value = strings.Trim(value, whiteSpace)
		if len(value) > maxAttribute {
			continue
		}
		switch name = strings.Trim(name, whiteSpace); {
		case strings.EqualFold(name, "expires"):
			if t, ok := parseDate(value); ok {
				r.expires = t
			}
		case strings.EqualFold(name, "max-age"):
			if seconds, ok := parseMaxAge(value); ok {
				r.maxAge, r.hasMaxAge = seconds, true
			}
		case strings.EqualFold(name, "domain"):
			if value != "" {
				r.domain = value
			}
		case strings.EqualFold(name, "path"):
			r.path = value
		case strings.EqualFold(name, "secure"):
			r.secure = true
		case strings.EqualFold(name, "httponly"):
			r.httpOnly = true
		}
	}
	return r, true
}

// fromHTTP takes over a cookie that net/http parsed or that somebody made.
func fromHTTP(c *http.Cookie) (received, bool) {
	if c == nil {
		return received{}, false
	}
	r := received{
		name: c.Name, value: c.Value, domain: c.Domain, path: c.Path, expires: c.Expires,
		maxAge: int64(c.MaxAge), hasMaxAge: c.MaxAge != 0, secure: c.Secure, httpOnly: c.HttpOnly,
	}
	if c.Quoted {
		r.value = `"` + c.Value + `"`
	}
	if len(r.domain) > maxAttribute || len(r.path) > maxAttribute {
		return received{}, false
	}
	return r, acceptable(r.name, r.value)
}

const whiteSpace = " \t"

// acceptable reports whether a cookie of this name and value can be kept, and sent without breaking the Cookie header. Control
// characters make a cookie unacceptable (RFC 6265bis, section 5.6).
func acceptable(name, value string) bool {
	return name != "" && len(name)+len(value) <= maxPair && utf8.ValidString(name) &&
		!strings.Contains(name, "=") && !strings.ContainsFunc(name, breaks) && !strings.ContainsFunc(value, breaks)
}

func breaks(c rune) bool { return c < ' ' && c != '\t' || c == 0x7F || c == ';' }

// entry returns the cookie to be stored for a response from host (RFC 6265, section 5.3), or false if the host may not set it.
func (r *received) entry(host, path string, secure bool, now time.Time) (Entry, bool) {
	e := Entry{Name: r.name, Value: r.value, Domain: host, HostOnly: true, Path: r.path, Secure: r.secure, HTTPOnly: r.httpOnly, Created: now}
	if e.Secure && !secure {
		return Entry{}, false
	}
	if r.domain != "" {
		domain := canonicalHost(strings.TrimPrefix(r.domain, "."))
		switch {
		case domain == "" || strings.HasSuffix(r.domain, "."):
			return Entry{}, false
		case strings.Contains(host, ":"): // a URL has such an address in brackets, so no Domain is the same: neither here nor in browsers
			return Entry{}, false
		case isIP(host) || isPublicSuffix(domain):
			// Such a host may name itself, which means what no domain would.
			if domain != host {
				return Entry{}, false
			}
		case !domainMatches(host, domain):
			return Entry{}, false
		default:
			e.Domain, e.HostOnly = domain, false
		}
	}
	if !strings.HasPrefix(e.Path, "/") {
		e.Path = defaultPath(path)
	}
	if hasPrefixFold(e.Name, "__Secure-") && !e.Secure ||
		hasPrefixFold(e.Name, "__Host-") && (!e.Secure || !e.HostOnly || r.path != "/") {
		return Entry{}, false
	}
	e.Expires = r.expires
	if r.hasMaxAge {
		if r.maxAge <= 0 {
			e.Expires = longAgo
		} else {
			e.Expires = now.Add(time.Duration(min(r.maxAge, int64(maxLife/time.Second))) * time.Second)
		}
	}
	if latest := now.Add(maxLife); e.Expires.After(latest) {
		e.Expires = latest
	}
	if !e.Expires.IsZero() {
		e.Expires = e.Expires.UTC()
	}
	// What is kept must not keep the whole header and the request's URL with it.
	e.Name, e.Value, e.Domain, e.Path = strings.Clone(e.Name), strings.Clone(e.Value), strings.Clone(e.Domain), strings.Clone(e.Path)
	return e, true
}

// longAgo is when a cookie has expired that the site removes.
var longAgo = time.Unix(0, 0)

func isPublicSuffix(domain string) bool {
	suffix, _ := publicsuffix.PublicSuffix(domain)
	return suffix == domain
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// parseMaxAge reads a number of seconds (RFC 6265, section 5.2.2). One that does not fit is the longest or shortest there is.
func parseMaxAge(s string) (int64, bool) {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	seconds, _ := strconv.ParseInt(s, 10, 64) // of the right sign even when it is out of range
	return seconds, true
}

// parseDate reads the dates that sites write, in any order and with any separators (RFC 6265, section 5.1.1).
func parseDate(s string) (time.Time, bool) {
	var hour, minute, second, day, year int
	var month time.Month
	var hasTime, hasDay, hasMonth, hasYear bool
	for _, token := range strings.FieldsFunc(s, dateDelimiter) {
		switch {
		case !hasTime && parseTime(token, &hour, &minute, &second):
			hasTime = true
		case !hasDay && parseDigits(token, 1, 2, &day):
			hasDay = true
		case !hasMonth && parseMonth(token, &month):
			hasMonth = true
		case !hasYear && parseDigits(token, 2, 4, &year):
			hasYear = true
		}
	}
	switch {
	case year >= 70 && year <= 99:
		year += 1900
	case year <= 69:
		year += 2000
	}
	if !hasTime || !hasDay || !hasMonth || !hasYear || year < 1601 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, month, day, hour, minute, second, 0, time.UTC)
	return t, t.Day() == day // no 31 February, and no day 0
}

func dateDelimiter(c rune) bool {
	return c == '\t' || ' ' <= c && c <= '/' || ';' <= c && c <= '@' || '[' <= c && c <= '`' || '{' <= c && c <= '~'
}

// parseTime reads hh:mm:ss, each of one or two digits, and whatever else follows.
func parseTime(s string, hour, minute, second *int) bool {
	h, rest, ok := strings.Cut(s, ":")
	if !ok {
		return false
	}
	m, sec, ok := strings.Cut(rest, ":")
	return ok && len(h) <= 2 && len(m) <= 2 && parseDigits(h, 1, 2, hour) && isDigits(h) &&
		parseDigits(m, 1, 2, minute) && isDigits(m) && parseDigits(sec, 1, 2, second)
}

// parseDigits reads the digits that s begins with, if there are as many as asked for.
func parseDigits(s string, least, most int, n *int) bool {
	count, value := 0, 0
	for count < len(s) && '0' <= s[count] && s[count] <= '9' {
		if count++; count > most {
			return false
		}
		value = value*10 + int(s[count-1]-'0')
	}
	if count < least {
		return false
	}
	*n = value
	return true
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

func parseMonth(s string, month *time.Month) bool {
	for m := time.January; m <= time.December; m++ {
		if hasPrefixFold(s, m.String()[:3]) {
			*month = m
			return true
		}
	}
	return false
}

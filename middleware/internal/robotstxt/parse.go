package robotstxt

import (
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// MaxSize is how much of a robots.txt is read, in bytes; what follows is ignored. RFC 9309, section 2.5, asks for at least 500 KiB.
const MaxSize = 500 << 10

// maxLine is how much of a line is read, in bytes: eight times the longest URL that old browsers took, less the terminator, as Google's
// parser does it.
const maxLine = 2083*8 - 1

// Robots is a parsed robots.txt. It does not change, and may be used by many goroutines at once.
type Robots struct {
	groups   []group
	sitemaps []string
}

// group is one or more user-agent lines and the rules that follow them.
type group struct {
	agents []string // lower-case product tokens; "*" is everybody
	rules  []rule
	delay  delay
}

// Parse reads a robots.txt. It never fails: lines that mean nothing are skipped, so a page of HTML or a picture gives a Robots that allows
// everything. Parse does not keep body.
func Parse(body []byte) *Robots {
	text := string(body[:min(len(body), MaxSize+1)])
	if len(text) > MaxSize {
		// Half a rule could mean something else than the whole one ("Disallow: /" of "Disallow: /private"), so the last line goes if it was cut.
		text = text[:max(strings.LastIndexAny(text, "\r\n"), 0)]
	}
	text = trimBOM(text)

	robots := &Robots{}
	var current *group // nil before the first user-agent line: rules there belong to nobody
	closed := true     // whether the next user-agent line begins a new group
	for text != "" {
		line := text
		if end := strings.IndexAny(text, "\r\n"); end >= 0 {
			line, text = text[:end], text[end+1:]
		} else {
			text = ""
		}
		field, value := splitLine(line)
		switch field {
		case fieldUserAgent:
			if closed {
				robots.groups = append(robots.groups, group{})
				current, closed = &robots.groups[len(robots.groups)-1], false
			}
			if token := agentToken(value); token != "" {
				current.agents = append(current.agents, strings.Clone(token))
			}
		case fieldAllow, fieldDisallow:
			if current != nil {
				current.rules = appendRules(current.rules, value, field == fieldAllow)
				closed = true
			}
		case fieldCrawlDelay, fieldRequestRate:
			// These, like sitemaps and unknown fields, do not end the list of user agents: records outside the protocol must not change
			// how it is read (RFC 9309, section 2.2.4).
			if current == nil {
				continue
			}
			if d, ok := parseDelay(field, value); ok {
				current.delay.add(d)
			}
		case fieldSitemap:
			if value != "" {
				robots.sitemaps = append(robots.sitemaps, strings.Clone(value))
			}
		}
	}
	return robots
}

// Agent returns what concerns one crawler: the rules of all groups that name it, or, if there is none, of all groups for everybody ("*").
// userAgent is a product token or a whole User-Agent header, whose token is used: the word at its start, or, as in RFC 9309's example
// "Mozilla/5.0 (compatible; ExampleBot/0.1; …)", the word after "compatible;". A userAgent without a token gets the groups for everybody.
func (r *Robots) Agent(userAgent string) *Rules {
	rules := &Rules{}
	token := productToken(userAgent)
	if token == "" || !rules.collect(r.groups, token) {
		rules.collect(r.groups, "*")
	}
	rules.sort()
	return rules
}

// Allowed reports whether a crawler may fetch u. It selects the crawler's rules anew; who asks more than once keeps what Agent returns.
func (r *Robots) Allowed(userAgent string, u *url.URL) bool { return r.Agent(userAgent).Allowed(u) }

// CrawlDelay is Rules.CrawlDelay for a crawler.
func (r *Robots) CrawlDelay(userAgent string) (time.Duration, bool) {
	return r.Agent(userAgent).CrawlDelay()
}

// Sitemaps returns the values of the Sitemap lines, in their order and as they were written: not necessarily URLs. The caller must not
// change the slice.
func (r *Robots) Sitemaps() []string { return r.sitemaps }

// field is what a line's name says the line is.
type field int

const (
	fieldUnknown field = iota
	fieldUserAgent
	fieldAllow
	fieldDisallow
	fieldSitemap
	fieldCrawlDelay
	fieldRequestRate
)

// fieldNames are the spellings that count, in lower case. A line's name needs only begin with one of them, as in Google's parser.
var fieldNames = []struct {
	prefix string
	field  field
}{
	{"user-agent", fieldUserAgent},
	{"useragent", fieldUserAgent},
	{"user agent", fieldUserAgent},
	{"allow", fieldAllow},
	{"disallow", fieldDisallow},
	{"dissallow", fieldDisallow},
	{"dissalow", fieldDisallow},
	{"disalow", fieldDisallow},
	{"diasllow", fieldDisallow},
	{"disallaw", fieldDisallow},
	{"sitemap", fieldSitemap},
	{"site-map", fieldSitemap},
	{"crawl-delay", fieldCrawlDelay},
	{"crawl delay", fieldCrawlDelay},
	{"crawldelay", fieldCrawlDelay},
	{"request-rate", fieldRequestRate},
	{"request rate", fieldRequestRate},
}

func fieldOf(name string) field {
	for _, known := range fieldNames {
		if n := len(known.prefix); len(name) >= n && strings.EqualFold(name[:n], known.prefix) {
			return known.field
		}
	}
	return fieldUnknown
}

// splitLine takes a line apart into its field and value, without comment and surrounding white space.
func splitLine(line string) (field, string) {
	line = line[:min(len(line), maxLine)]
	line, _, _ = strings.Cut(line, "#")
	line = strings.Trim(line, asciiSpace)
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		// Some forget the colon. White space stands in for it if the line is exactly two words.
		at := strings.IndexAny(line, " \t")
		if at < 0 {
			return fieldUnknown, ""
		}
		name, value = line[:at], strings.TrimLeft(line[at:], " \t")
		if strings.ContainsAny(value, " \t") {
			return fieldUnknown, ""
		}
	}
	return fieldOf(strings.Trim(name, asciiSpace)), strings.Trim(value, asciiSpace)
}

const asciiSpace = " \t\n\v\f\r"

// trimBOM removes a UTF-8 byte order mark, or the part of one that a careless tool left.
func trimBOM(text string) string {
	for _, b := range []byte("\xEF\xBB\xBF") {
		if text == "" || text[0] != b {
			break
		}
		text = text[1:]
	}
	return text
}

// agentToken returns whom a user-agent line names: "*", or a product token in lower case, cut where it is no longer one ("Foo Bar" and
// "Foo/1.0" are "foo"). It is empty if the line names nobody.
func agentToken(value string) string {
	if value == "*" || len(value) > 1 && value[0] == '*' && strings.IndexByte(asciiSpace, value[1]) >= 0 {
		return "*"
	}
	return leadingToken(value)
}

// productToken returns the product token of a User-Agent header in lower case.
func productToken(userAgent string) string {
	userAgent = strings.TrimLeft(userAgent, asciiSpace)
	if token := leadingToken(userAgent); token != "mozilla" {
		return token
	}
	if _, after, ok := strings.Cut(userAgent, "compatible;"); ok {
		return leadingToken(strings.TrimLeft(after, asciiSpace))
	}
	return "mozilla"
}

// leadingToken returns the letters, hyphens and underscores that s begins with, in lower case. Digits count too: RFC 9309 leaves them
// out, but crawlers such as 360Spider have them, and a rule that names a crawler must reach it.
func leadingToken(s string) string {
	end := strings.IndexFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
	})
	if end >= 0 {
		s = s[:end]
	}
	return strings.ToLower(s)
}

// delay is the longest pause that a group asks for.
type delay struct {
	pause time.Duration
	asked bool
}

func (d *delay) add(pause time.Duration) {
	d.pause, d.asked = max(d.pause, pause), true
}

// parseDelay reads the value of a Crawl-delay line (seconds, with fractions) or of a Request-rate line (requests/period, the period in
// seconds or with the unit s, m, h or d). A rate for some hours of the day only is not read.
func parseDelay(field field, value string) (time.Duration, bool) {
	if field == fieldCrawlDelay {
		return parseSeconds(value, 1)
	}
	requests, period, ok := strings.Cut(value, "/")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.Trim(requests, asciiSpace), 10, 32)
	if err != nil || n == 0 {
		return 0, false
	}
	period = strings.Trim(period, asciiSpace)
	unit := 1.0
	if period != "" {
		switch period[len(period)-1] {
		case 's', 'S':
			period = period[:len(period)-1]
		case 'm', 'M':
			unit, period = 60, period[:len(period)-1]
		case 'h', 'H':
			unit, period = 3600, period[:len(period)-1]
		case 'd', 'D':
			unit, period = 86400, period[:len(period)-1]
		}
	}
	return parseSeconds(period, unit/float64(n))
}

// parseSeconds reads a decimal number of seconds, times factor. What is too long for a time.Duration becomes the longest one.
func parseSeconds(s string, factor float64) (time.Duration, bool) {
	if s == "" || strings.Trim(s, "0123456789.") != "" { // ParseFloat also takes signs, exponents, hexadecimals, "inf" and "nan"
		return 0, false
	}
	seconds, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(seconds, 1) {
		return 0, false
	}
	if ns := seconds * factor * float64(time.Second); ns < math.MaxInt64 {
		return time.Duration(ns), true
	}
	return math.MaxInt64, true
}

package cache

import (
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"
)

// Rules are those of RFC 9111 for a cache that belongs to one user agent: a private one. Sections are that document's.
type Rules struct {
	// AlwaysStore stores what the rules would let pass for lack of a lifetime or a validator; no-store it obeys.
	AlwaysStore bool
	// Ignore are directives of responses that are taken for not there.
	Ignore []string
}

// A Stored response is what the rules need to know of one.
type Stored struct {
	Status int
	Header http.Header
	// Asked and Got are when its request was sent, or the last one that validated it, and when the answer came.
	Asked, Got time.Time
}

// heuristicMost caps a lifetime that nobody has announced: a page that has not changed for years may change this week.
const heuristicMost = 7 * 24 * time.Hour

func (r *Rules) control(h http.Header) Control { return ParseControl(h["Cache-Control"], r.Ignore) }

// Storable says whether the response to a request may be stored, and is worth it (section 3).
func (r *Rules) Storable(method string, request http.Header, s *Stored) bool {
	if method != "" && method != http.MethodGet && method != http.MethodHead {
		return false
	}
	if s.Status < 200 || s.Status == http.StatusPartialContent || s.Status == http.StatusNotModified {
		return false
	}
	if ParseControl(request["Cache-Control"], nil).Has("no-store") {
		return false
	}
	c := r.control(s.Header)
	if c.Has("must-understand") { // section 5.2.2.3
		if !understood(s.Status) {
			return false
		}
	} else if c.Has("no-store") {
		return false
	}
	if _, all := VaryNames(s.Header); all {
		return false // it would never be used again (section 4.1)
	}
	if r.AlwaysStore {
		return true
	}
	_, _, maxAge := c.Seconds("max-age")
	if !c.Has("public") && !c.Has("private") && !maxAge && len(s.Header["Expires"]) == 0 && !heuristic(s.Status) {
		return false
	}
	if validator(s.Header) {
		return true
	}
	return r.Lifetime(s) > 0 && !c.Has("no-cache")
}

// heuristic says that the status may be stored, and given a lifetime, without a word of the server's (RFC 9110, section 15.1). 206 is not for this cache.
func heuristic(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// understood says that the status means something to this cache.
func understood(status int) bool {
	switch status {
	case 302, 303, 307:
		return true
	}
	return heuristic(status)
}

func validator(h http.Header) bool { return h.Get("Etag") != "" || h.Get("Last-Modified") != "" }

// date is when the response was made; without a Date, when it came (RFC 9110, section 6.6.1).
func (s *Stored) date() time.Time {
	if t, err := http.ParseTime(s.Header.Get("Date")); err == nil {
		return t
	}
	return s.Got
}

// Lifetime is how old the response may become and be fresh (section 4.2.1). s-maxage is for shared caches.
func (r *Rules) Lifetime(s *Stored) time.Duration {
	c := r.control(s.Header)
	if d, _, ok := c.Seconds("max-age"); ok {
		return d
	}
	if lines := s.Header["Expires"]; len(lines) > 0 {
		least := time.Duration(-1)
		for _, line := range lines {
			d := time.Duration(0)
			if t, err := http.ParseTime(line); err == nil { // what is no date, "0" above all, is past (section 5.3)
				d = max(t.Sub(s.date()), 0)
			}
			if least < 0 || d < least {
				least = d
			}
		}
		return least
	}
	if !heuristic(s.Status) && !c.Has("public") {
		return 0
	}
	changed, err := http.ParseTime(s.Header.Get("Last-Modified"))
	if err != nil {
		return 0
	}
	return min(max(s.date().Sub(changed)/10, 0), heuristicMost) // section 4.2.2
}

// Age is how old the response is (section 4.2.3).
func (s *Stored) Age(now time.Time) time.Duration {
	apparent := max(s.Got.Sub(s.date()), 0)
	said := time.Duration(0)
	if lines := s.Header["Age"]; len(lines) > 0 {
		first, _, _ := strings.Cut(lines[0], ",") // section 5.1
		said, _ = deltaSeconds(strings.Trim(first, " \t"))
	}
	corrected := said + max(s.Got.Sub(s.Asked), 0)
	return max(apparent, corrected) + max(now.Sub(s.Got), 0)
}

// Usable says whether a stored response answers a request without asking the server (section 4).
func (r *Rules) Usable(request http.Header, s *Stored, now time.Time) bool {
	asked := ParseControl(request["Cache-Control"], nil)
	if asked.Has("no-cache") || len(request["Cache-Control"]) == 0 && strings.EqualFold(request.Get("Pragma"), "no-cache") {
		return false
	}
	c := r.control(s.Header)
	if c.Has("no-cache") { // one that names fields counts as one that names none (section 5.2.2.4)
		return false
	}
	life, age := r.Lifetime(s), s.Age(now)
	if most, _, ok := asked.Seconds("max-age"); ok {
		life = min(life, most)
	}
	if least, _, ok := asked.Seconds("min-fresh"); ok {
		return life > age && life-age >= least
	}
	if life > age {
		return true
	}
	most, bare, ok := asked.Seconds("max-stale")
	return ok && !c.Has("must-revalidate") && (bare || age-life <= most)
}

// OnlyIfCached says that the request wants no other answer than a stored one (section 5.2.1.7).
func OnlyIfCached(request http.Header) bool {
	return ParseControl(request["Cache-Control"], nil).Has("only-if-cached")
}

// UsableOnError says whether a stored response answers a request whose server does not, or with 5xx (section 4.2.4). With stale-if-error it is for so long after
// it went stale (RFC 5861, section 4).
func (r *Rules) UsableOnError(s *Stored, now time.Time) bool {
	c := r.control(s.Header)
	if c.Has("no-cache") || c.Has("must-revalidate") {
		return false
	}
	most, _, ok := c.Seconds("stale-if-error")
	return !ok || s.Age(now)-r.Lifetime(s) <= most
}

// Validators adds to a request's headers what asks whether a stored response still holds (section 4.3.1). It reports false if the response has nothing to ask by.
func Validators(request http.Header, s *Stored) bool {
	if tag := s.Header.Get("Etag"); tag != "" {
		request["If-None-Match"] = []string{tag}
	}
	if date := s.Header.Get("Last-Modified"); date != "" {
		request["If-Modified-Since"] = []string{date}
	}
	return validator(s.Header)
}

// Conditional reports whether a request has conditions or a range of its own: what answers it is not what answers another request for the same.
func Conditional(request http.Header) bool {
	for _, name := range [...]string{"Range", "If-Range", "If-None-Match", "If-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if len(request[name]) > 0 {
			return true
		}
	}
	return false
}

// Selects says whether a 304 is about this stored response (section 4.3.4): one that names another version is not.
func Selects(answer http.Header, s *Stored) bool {
	theirs, ours := answer.Get("Etag"), s.Header.Get("Etag")
	if theirs != "" && ours != "" {
		return strings.TrimPrefix(theirs, "W/") == strings.TrimPrefix(ours, "W/")
	}
	return true
}

// Freshen is a stored response's header after a 304 (section 3.2).
func Freshen(stored, answer http.Header) http.Header {
	h := maps.Clone(stored)
	delete(h, "Age") // those of the old answer
	delete(h, "Date")
	for name, values := range Storing(answer) {
		switch name {
		case "Content-Length", "Content-Encoding", "Content-Range": // of the body, which is the old one
		default:
			h[name] = values
		}
	}
	return h
}

// Storing is a response's header without what is for one connection only (section 3.1), and without Set-Cookie: a cookie is set by an answer, and not again each time
// that the answer is used, when the jar may have a newer one.
func Storing(header http.Header) http.Header {
	h := maps.Clone(header)
	for _, line := range header["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			delete(h, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	for _, name := range [...]string{
		"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Set-Cookie", "Set-Cookie2",
	} {
		delete(h, name)
	}
	return h
}

// VaryNames are the request headers that a response depends on, sorted, each once (section 4.1). all says that it depends on more than headers: "*".
func VaryNames(h http.Header) (names []string, all bool) {
	for _, line := range h["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			switch name = strings.Trim(name, " \t"); name {
			case "":
			case "*":
				return nil, true
			default:
				names = append(names, textproto.CanonicalMIMEHeaderKey(name))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), false
}

// Safe says that a method changes nothing (RFC 9110, section 9.2.1).
func Safe(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

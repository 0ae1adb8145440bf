package cookiejar

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options are a jar's limits and clock. The zero value works.
type Options struct {
	// MaxCookies is how many cookies the jar holds. 0 is 10,000, negative is no limit. A jar that is full drops the tenth that was not
	// used for longest.
	MaxCookies int

	// MaxPerDomain is how many cookies one site (registrable domain: example.co.uk with all hosts under it) may have. 0 is 180, negative
	// is no limit. A site that has more loses those that were not used for longest.
	MaxPerDomain int

	// Tracked makes the jar remember which sites changed, for Changes. Without it Changes reports nothing.
	Tracked bool

	// Now is the clock that cookies expire by. nil is time.Now.
	Now func() time.Time
}

const (
	defaultMaxCookies   = 10_000
	defaultMaxPerDomain = 180

	maxPair      = 4096                 // octets of name and value together; a larger cookie is refused (RFC 6265bis, section 5.6)
	maxAttribute = 1024                 // octets of an attribute's value; a longer one is ignored (there, too)
	maxLife      = 400 * 24 * time.Hour // longer is shortened to this (RFC 6265bis, section 5.5)
)

// Jar holds cookies. It is safe for concurrent use; asking a jar that has none for the host costs a few map look-ups at most.
type Jar struct {
	maxCookies   int
	maxPerDomain int
	now          func() time.Time

	size    atomic.Int64  // number of cookies; changed under mu
	version atomic.Uint64 // number of changes; changed under mu

	mu    sync.RWMutex
	sites map[string][]*cookie // by registrable domain, or by host where there is none. Guarded by mu.
	seq   uint64               // of the newest cookie. Guarded by mu.
	dirty map[string]uint64    // version of each site's last change; nil unless tracked. Guarded by mu.
}

var _ http.CookieJar = (*Jar)(nil)

// cookie is a cookie in the jar. All but used is written before it gets there, and never after.
type cookie struct {
	Entry
	seq  uint64       // order of creation; kept when the cookie is replaced
	used atomic.Int64 // when it was last set or sent, in Unix nanoseconds
}

// New returns an empty jar.
func New(o Options) *Jar {
	j := &Jar{maxCookies: o.MaxCookies, maxPerDomain: o.MaxPerDomain, now: o.Now, sites: make(map[string][]*cookie)}
	if j.maxCookies == 0 {
		j.maxCookies = defaultMaxCookies
	}
	if j.maxPerDomain == 0 {
		j.maxPerDomain = defaultMaxPerDomain
	}
	if o.Tracked {
		j.dirty = make(map[string]uint64)
	}
	if j.now == nil {
		j.now = time.Now
	}
	return j
}

// SetHeader takes the Set-Cookie lines of a response to u. Unlike net/http, which drops cookies whose values have quotes, backslashes or
// octets outside ASCII, it reads the lines as browsers do (RFC 6265, section 5.2). What is not acceptable is ignored, as it is there.
func (j *Jar) SetHeader(u *url.URL, header http.Header) {
	lines := header["Set-Cookie"]
	if len(lines) == 0 {
		return
	}
	received := make([]received, 0, len(lines))
	for _, line := range lines {
		if r, ok := parseSetCookie(line); ok {
			received = append(received, r)
		}
	}
	j.set(u, received)
}

// SetCookies takes cookies as they come in a response to u; http.CookieJar. What is not acceptable is ignored.
func (j *Jar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	received := make([]received, 0, len(cookies))
	for _, c := range cookies {
		if r, ok := fromHTTP(c); ok {
			received = append(received, r)
		}
	}
	j.set(u, received)
}

// Header returns the value of the Cookie header for a request to u, with every value as the site sent it, and "" if there is none.
func (j *Jar) Header(u *url.URL) string {
	var buf [16]*cookie
	cookies := j.matching(buf[:0], u)
	if len(cookies) == 0 {
		return ""
	}
	size := len("; ") * (len(cookies) - 1)
	for _, c := range cookies {
		size += len(c.Name) + len("=") + len(c.Value)
	}
	var b strings.Builder
	b.Grow(size)
	for i, c := range cookies {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(c.Name)
		b.WriteByte('=')
		b.WriteString(c.Value)
	}
	return b.String()
}

// Cookies returns the cookies for a request to u in the order in which they are sent; http.CookieJar. Only Name, Value and Quoted are set.
// http.Cookie changes some values when it writes them; Header does not.
func (j *Jar) Cookies(u *url.URL) []*http.Cookie {
	var buf [16]*cookie
	var cookies []*http.Cookie
	for _, c := range j.matching(buf[:0], u) {
		h := &http.Cookie{Name: c.Name, Value: c.Value}
		if n := len(h.Value); n > 1 && h.Value[0] == '"' && h.Value[n-1] == '"' {
			h.Quoted, h.Value = true, h.Value[1:n-1]
		}
		cookies = append(cookies, h)
	}
	return cookies
}

// Known returns the cookies for a request to u as Cookies does, with all that is known of them. Domain is empty where the cookie is for its host alone.
func (j *Jar) Known(u *url.URL) []*http.Cookie {
	var known []*http.Cookie
	for _, c := range j.matching(nil, u) {
		h := &http.Cookie{Name: c.Name, Value: c.Value, Path: c.Path, Expires: c.Expires, Secure: c.Secure, HttpOnly: c.HTTPOnly}
		if !c.HostOnly {
			h.Domain = c.Domain
		}
		known = append(known, h)
	}
	return known
}

// Len returns the number of cookies, including those that have expired and were not yet swept.
func (j *Jar) Len() int { return int(j.size.Load()) }

// matching appends to buf the cookies that a request to u carries: those with longer paths first, then the older ones (RFC 6265,
// section 5.4). It marks them as used.
func (j *Jar) matching(buf []*cookie, u *url.URL) []*cookie {
	if j.size.Load() == 0 {
		return nil
	}
	secure, ok := scheme(u)
	if !ok {
		return nil
	}
	host := canonicalHost(u.Hostname())
	if host == "" {
		return nil
	}
	path := ""
	j.mu.RLock()
	// The site's key is one of the host's suffixes. Which one, only the public suffix list knows, but to try them all costs less than to
	// ask it, and a cookie under a wrong one does not match the host anyway.
	for suffix, more := host, true; more; _, suffix, more = strings.Cut(suffix, ".") {
		cookies := j.sites[suffix]
		if len(cookies) > 0 && path == "" {
			path = requestPath(u)
		}
		for _, c := range cookies {
			if c.matches(host, path, secure) {
				buf = append(buf, c)
			}
		}
	}
	j.mu.RUnlock()
	if len(buf) == 0 {
		return nil
	}

	now := j.now()
	live := buf[:0]
	for _, c := range buf {
		if !c.expired(now) {
			c.used.Store(now.UnixNano())
			live = append(live, c)
		}
	}
	buf = live
	if len(buf) > 1 {
		slices.SortFunc(buf, func(a, b *cookie) int {
			return cmp.Or(cmp.Compare(len(b.Path), len(a.Path)), a.Created.Compare(b.Created), cmp.Compare(a.seq, b.seq))
		})
	}
	return buf
}

func (c *cookie) matches(host, path string, secure bool) bool {
	if c.Secure && !secure || !pathMatches(path, c.Path) {
		return false
	}
	return host == c.Domain || !c.HostOnly && domainMatches(host, c.Domain)
}

// set stores what a response to u set (RFC 6265, section 5.3).
func (j *Jar) set(u *url.URL, received []received) {
	if len(received) == 0 {
		return
	}
	secure, ok := scheme(u)
	if !ok {
		return
	}
	host := canonicalHost(u.Hostname())
	if host == "" {
		return
	}
	site, path, now := siteOf(host), requestPath(u), j.now()
	entries := make([]Entry, 0, len(received))
	for _, r := range received {
		if e, ok := r.entry(host, path, secure, now); ok {
			entries = append(entries, e)
		}
	}

	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range entries {
		if secure || !shadowsSecure(j.sites[site], e) {
			j.put(site, e, now)
		}
	}
}

// put adds, replaces or, if e has expired, removes a cookie. Called with mu held.
func (j *Jar) put(site string, e Entry, now time.Time) {
	cookies := j.sites[site]
	at := slices.IndexFunc(cookies, func(c *cookie) bool { return c.Name == e.Name && c.Domain == e.Domain && c.Path == e.Path })
	if e.expired(now) {
		if at >= 0 {
			j.keep(site, slices.Delete(cookies, at, at+1))
			j.changed(site)
		}
		return
	}
	c := &cookie{Entry: e}
	c.used.Store(now.UnixNano())
	if at >= 0 {
		old := cookies[at]
		c.Created, c.seq = old.Created, old.seq
		if c.Entry.equal(old.Entry) {
			old.used.Store(now.UnixNano())
			return
		}
		cookies[at] = c
		j.changed(site)
		return
	}
	j.seq++
	c.seq = j.seq
	cookies = append(cookies, c)
	if j.maxPerDomain > 0 && len(cookies) > j.maxPerDomain {
		cookies = evict(cookies, j.maxPerDomain, now)
	}
	j.keep(site, cookies)
	j.changed(site)
	if j.maxCookies > 0 && j.Len() > j.maxCookies {
		j.shrink(now)
	}
}

// keep makes cookies those of the site. Called with mu held.
func (j *Jar) keep(site string, cookies []*cookie) {
	j.size.Add(int64(len(cookies) - len(j.sites[site])))
	if len(cookies) == 0 {
		delete(j.sites, site)
	} else {
		j.sites[site] = cookies
	}
}

// changed counts a change of the site. Called with mu held.
func (j *Jar) changed(site string) {
	version := j.version.Add(1)
	if j.dirty != nil {
		j.dirty[site] = version
	}
}

// shrink makes room in a full jar: a tenth at once, so that a crawl of very many sites does not search the jar at every cookie. Called
// with mu held.
func (j *Jar) shrink(now time.Time) {
	all := make([]*cookie, 0, j.Len())
	for _, cookies := range j.sites {
		all = append(all, cookies...)
	}
	kept := make(map[*cookie]bool, j.maxCookies)
	for _, c := range evict(all, j.maxCookies-j.maxCookies/10, now) {
		kept[c] = true
	}
	for site, cookies := range j.sites {
		before := len(cookies)
		cookies = slices.DeleteFunc(cookies, func(c *cookie) bool { return !kept[c] })
		if len(cookies) < before {
			j.keep(site, cookies)
			j.changed(site)
		}
	}
}

// evict returns at most limit of the cookies, without those that have expired, those used last first to stay (RFC 6265, section 5.3, end).
func evict(cookies []*cookie, limit int, now time.Time) []*cookie {
	cookies = slices.DeleteFunc(cookies, func(c *cookie) bool { return c.expired(now) })
	if len(cookies) <= limit {
		return cookies
	}
	slices.SortFunc(cookies, func(a, b *cookie) int {
		return cmp.Or(cmp.Compare(b.used.Load(), a.used.Load()), cmp.Compare(b.seq, a.seq))
	})
	clear(cookies[limit:])
	return cookies[:limit]
}

// shadowsSecure reports whether e, set without TLS, would hide or replace a Secure cookie of its name (RFC 6265bis, section 5.7).
func shadowsSecure(cookies []*cookie, e Entry) bool {
	return slices.ContainsFunc(cookies, func(c *cookie) bool {
		return c.Secure && c.Name == e.Name && pathMatches(e.Path, c.Path) &&
			(domainMatches(c.Domain, e.Domain) || domainMatches(e.Domain, c.Domain))
	})
}

package browser

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"

	"github.com/tulle-go/tulle/crawl"
)

// sentCookies are those of a request's Cookie header, with what is known of them. One of which nothing is known is for its host alone, and all paths.
func sentCookies(req *crawl.Request, known []*http.Cookie) []*http.Cookie {
	known = slices.Clone(known)
	var all []*http.Cookie
	for _, line := range req.Header["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
			if !ok {
				name, value = "", name
			}
			if name == "" && value == "" {
				continue
			}
			c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: req.URL.Scheme == "https"}
			if i := slices.IndexFunc(known, func(k *http.Cookie) bool { return k.Name == name && k.Value == value }); i >= 0 {
				c = known[i]
				known = slices.Delete(known, i, i+1)
			}
			all = append(all, c)
		}
	}
	return all
}

// cookieParam is a cookie for a page at u.
func cookieParam(c *http.Cookie, u *url.URL) *network.CookieParam {
	param := &network.CookieParam{
		Name: c.Name, Value: c.Value, URL: u.Scheme + "://" + u.Host + "/", Path: c.Path, Secure: c.Secure, HTTPOnly: c.HttpOnly,
	}
	if c.Domain != "" {
		param.Domain = "." + c.Domain // without the dot it would be for that host alone
	}
	if !c.Expires.IsZero() {
		param.Expires = cdp.TimeSinceEpoch(c.Expires.Unix())
	}
	return param
}

// setCookies are the lines for the cookies of a page's site that are others than those that it had before, and that its document did not bring: those that are new, or are as they were
// not, and then those that are gone.
func setCookies(got, had []*network.Cookie, lines []string, host string) []string {
	var more []string
	for _, c := range got {
		if isFor(c, host) && !slices.ContainsFunc(had, func(h *network.Cookie) bool { return same(h, c) && h.Value == c.Value && h.Expires == c.Expires }) &&
			!slices.ContainsFunc(lines, func(line string) bool { return brings(line, c) }) {
			more = append(more, setCookie(c))
		}
	}
	for _, h := range had {
		if isFor(h, host) && !slices.ContainsFunc(got, func(c *network.Cookie) bool { return same(h, c) }) &&
			!slices.ContainsFunc(lines, func(line string) bool { return removes(line, h) }) {
			gone := *h
			gone.Value, gone.Expires = "", 0
			more = append(more, setCookie(&gone)+"; Max-Age=0")
		}
	}
	return more
}

// isFor reports whether a cookie is for a host.
func isFor(c *network.Cookie, host string) bool {
	domain := strings.ToLower(strings.TrimPrefix(c.Domain, "."))
	host = strings.ToLower(host)
	return host == domain || strings.HasSuffix(host, "."+domain)
}

// same reports whether two cookies are one, as a jar sees it.
func same(a, b *network.Cookie) bool {
	return a.Name == b.Name && a.Domain == b.Domain && a.Path == b.Path
}

// brings reports whether a Set-Cookie line is a cookie's.
func brings(line string, c *network.Cookie) bool {
	pair, _, _ := strings.Cut(line, ";")
	return strings.TrimSpace(pair) == c.Name+"="+c.Value
}

// removes reports whether a Set-Cookie line is the end of a cookie.
func removes(line string, c *network.Cookie) bool {
	set, err := http.ParseSetCookie(line)
	if err != nil {
		return false
	}
	domain, shared := strings.CutPrefix(c.Domain, ".")
	if !shared {
		domain = ""
	}
	return set.Name == c.Name && set.Path == c.Path && strings.EqualFold(strings.TrimPrefix(set.Domain, "."), domain) &&
		(set.MaxAge < 0 || !set.Expires.IsZero() && set.Expires.Before(time.Now()))
}

func setCookie(c *network.Cookie) string {
	var b strings.Builder
	b.WriteString(c.Name + "=" + c.Value + "; Path=" + c.Path)
	if domain, shared := strings.CutPrefix(c.Domain, "."); shared {
		b.WriteString("; Domain=" + domain)
	}
	if c.Expires > 0 {
		b.WriteString("; Expires=" + time.Unix(int64(c.Expires), 0).UTC().Format(http.TimeFormat))
	}
	if c.Secure {
		b.WriteString("; Secure")
	}
	if c.HTTPOnly {
		b.WriteString("; HttpOnly")
	}
	if c.SameSite != "" {
		b.WriteString("; SameSite=" + string(c.SameSite))
	}
	return b.String()
}

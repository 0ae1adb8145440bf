package browser

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto/network"
)

// A crumb is a cookie's name and value.
type crumb struct{ name, value string }

// crumbs reads Cookie headers.
func crumbs(header http.Header) []crumb {
	var all []crumb
	for _, line := range header["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
			if !ok {
				name, value = "", name
			}
			if name != "" || value != "" {
				all = append(all, crumb{name, value})
			}
		}
	}
	return all
}

// cookieParams are cookies for a page: for its host alone, and all paths. The header does not tell more. Those that hidden names are not for its scripts.
func cookieParams(all []crumb, u *url.URL, hidden []string) []*network.CookieParam {
	params := make([]*network.CookieParam, len(all))
	for i, c := range all {
		params[i] = &network.CookieParam{Name: c.name, Value: c.value, URL: u.Scheme + "://" + u.Host + "/", Path: "/", Secure: u.Scheme == "https", HTTPOnly: slices.Contains(hidden, c.name)}
	}
	return params
}

// setCookies are the lines for the cookies of a page's site that the page was not sent with, and its document did not bring.
func setCookies(got []*network.Cookie, sent []crumb, lines []string, host string) []string {
	var more []string
	for _, c := range got {
		domain := strings.TrimPrefix(c.Domain, ".")
		switch {
		case !strings.EqualFold(host, domain) && !strings.HasSuffix(strings.ToLower(host), "."+strings.ToLower(domain)),
			slices.Contains(sent, crumb{c.Name, c.Value}),
			slices.ContainsFunc(lines, func(line string) bool { return brings(line, c) }):
			continue
		}
		more = append(more, setCookie(c))
	}
	return more
}

// brings reports whether a Set-Cookie line is a cookie's.
func brings(line string, c *network.Cookie) bool {
	pair, _, _ := strings.Cut(line, ";")
	return strings.TrimSpace(pair) == c.Name+"="+c.Value
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

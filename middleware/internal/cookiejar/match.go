package cookiejar

import (
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// hostNames maps names as browsers do, and lets pass what they let pass, such as underscores.
var hostNames = idna.New(idna.MapForLookup(), idna.StrictDomainName(false))

// scheme reports whether requests to u carry cookies at all, and whether they go through TLS.
func scheme(u *url.URL) (secure, ok bool) {
	switch u.Scheme {
	case "https", "wss":
		return true, true
	case "http", "ws":
		return false, true
	}
	return false, false
}

// canonicalHost returns the form of a host in which equal hosts are equal strings (RFC 6265, section 5.1.2): lower case, punycode, without
// a final dot; and IPv6 addresses as netip writes them. It returns "" for what is no host.
func canonicalHost(host string) string {
	upper := false
	for i := range len(host) {
		switch c := host[i]; {
		case c == ':':
			addr, err := netip.ParseAddr(host)
			if err != nil {
				return ""
			}
			return addr.String()
		case c >= 0x80:
			ascii, err := hostNames.ToASCII(host)
			if err != nil {
				return ""
			}
			return withoutFinalDot(ascii)
		case 'A' <= c && c <= 'Z':
			upper = true
		}
	}
	if upper {
		host = strings.ToLower(host)
	}
	return withoutFinalDot(host)
}

func withoutFinalDot(host string) string {
	host = strings.TrimSuffix(host, ".")
	if strings.HasPrefix(host, ".") || strings.HasSuffix(host, ".") {
		return ""
	}
	return host
}

// siteOf returns the registrable domain that a canonical host belongs to; the host itself if it is an address or a public suffix.
func siteOf(host string) string {
	if isIP(host) {
		return host
	}
	if site, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return site
	}
	return host
}

// isIP reports whether a canonical host is an address. Most hosts are not, and show it at once: ParseAddr would allocate an error.
func isIP(host string) bool {
	if c := host[len(host)-1]; (c < '0' || c > '9') && !strings.Contains(host, ":") {
		return false
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// domainMatches is RFC 6265, section 5.1.3.
func domainMatches(host, domain string) bool {
	if host == domain {
		return true
	}
	return len(host) > len(domain) && host[len(host)-len(domain)-1] == '.' && strings.HasSuffix(host, domain) && !isIP(host)
}

// pathMatches is RFC 6265, section 5.1.4.
func pathMatches(path, cookiePath string) bool {
	if !strings.HasPrefix(path, cookiePath) {
		return false
	}
	return len(path) == len(cookiePath) || strings.HasSuffix(cookiePath, "/") || path[len(cookiePath)] == '/'
}

// requestPath is u's path as it is sent.
func requestPath(u *url.URL) string {
	path := u.EscapedPath()
	if !strings.HasPrefix(path, "/") {
		return "/"
	}
	return path
}

// defaultPath is the directory of a request's path: RFC 6265, section 5.1.4.
func defaultPath(path string) string {
	if slash := strings.LastIndexByte(path, '/'); slash > 0 {
		return path[:slash]
	}
	return "/"
}

package canon

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// hostNames maps a name in any script to what DNS is asked, as browsers do: UTS #46, non-transitional, without the rules for
// hyphens and other ASCII that real host names break. It is read-only and safe for concurrent use.
var hostNames = idna.New(
	idna.MapForLookup(),
	idna.Transitional(false),
	idna.StrictDomainName(false),
	idna.CheckHyphens(false),
	idna.CheckJoiners(true),
	idna.BidiRule(),
	idna.VerifyDNSLength(true),
)

// setAuthority reads user, host and port off the front of rest, and returns what follows them.
func setAuthority(u *url.URL, rest string) (string, error) {
	end := 0
	for end < len(rest) && rest[end] != '/' && rest[end] != '?' && rest[end] != '#' {
		end++
	}
	host := rest[:end]
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		u.User = userinfo(host[:at])
		host = host[at+1:]
	}
	if !isPlainHost(host) {
		var err error
		if host, err = parseHost(host); err != nil {
			return "", err
		}
		if host == "" && isSpecial(u.Scheme) && u.Scheme != "file" {
			return "", ErrNoHost
		}
	}
	u.Host = host
	return rest[end:], nil
}

func userinfo(s string) *url.Userinfo {
	name, password, ok := strings.Cut(s, ":")
	if ok {
		return url.UserPassword(unescape(name), unescape(password))
	}
	return url.User(unescape(name))
}

// isPlainHost reports whether s, a host with or without a port, is already as it should be.
func isPlainHost(s string) bool {
	i := 0
	for i < len(s) && classes[s[i]]&hostByte != 0 {
		i++
	}
	if i == len(s) {
		return i > 0
	}
	if i == 0 || s[i] != ':' {
		return false
	}
	port := s[i+1:]
	if port == "" || len(port) > 5 || port[0] == '0' && len(port) > 1 {
		return false
	}
	n := 0
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' {
			return false
		}
		n = 10*n + int(port[i]-'0')
	}
	return n <= 65535
}

// parseHost takes a host and its port as they stand in a link and returns them as a url.URL holds them. "" is fine.
func parseHost(s string) (string, error) {
	name, port, err := splitPort(s)
	if err != nil {
		return "", err
	}
	switch {
	case strings.HasPrefix(name, "["):
		_, name, err = parseIPv6(strings.Replace(name, "%25", "%", 1)) // RFC 6874: before a zone
	case name != "":
		name, err = normalName(unescape(name))
	case port != "":
		err = ErrNoHost
	}
	if err != nil {
		return "", err
	}
	return name + port, nil
}

// splitPort cuts s into the name of a host and its port, which is "" or starts with a colon and has no needless zeros.
func splitPort(s string) (name, port string, err error) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 || end+1 < len(s) && s[end+1] != ':' {
			return "", "", fmt.Errorf("invalid host %q", s)
		}
		name, port = s[:end+1], strings.TrimPrefix(s[end+1:], ":")
	} else {
		name, port, _ = strings.Cut(s, ":")
	}
	if port == "" {
		return name, "", nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", "", fmt.Errorf("invalid port %q", port)
	}
	return name, ":" + strconv.FormatUint(n, 10), nil
}

// parseIPv6 reads an address in brackets. written is how it stood there, in lower case but for its zone.
func parseIPv6(s string) (ip netip.Addr, written string, err error) {
	addr, zone, hasZone := strings.Cut(s[1:len(s)-1], "%")
	ip, err = netip.ParseAddr(addr)
	if err != nil || !ip.Is6() || !allOf(zone, queryByte) || hasZone && zone == "" {
		return netip.Addr{}, "", fmt.Errorf("invalid host %q", s)
	}
	written = "[" + strings.ToLower(addr)
	if hasZone {
		written += "%" + zone
	}
	return ip.WithZone(zone), written + "]", nil
}

// normalName returns the decoded name of a host in lower case and in ASCII.
func normalName(name string) (string, error) {
	ascii := lowerASCII(name)
	if allOf(ascii, hostByte) {
		return ascii, nil
	}
	// DNS allows 253 bytes, punycode takes at least one for a character. Its time grows with the square of the length.
	const longest = 253 * utf8.UTFMax
	if len(name) > longest {
		return "", fmt.Errorf("invalid host %q...: longer than any host name", name[:100])
	}
	ascii, err := hostNames.ToASCII(name)
	// idna takes bytes that are not UTF-8 for U+FFFD, and lets that pass.
	if err == nil && (!allOf(ascii, hostByte) || strings.ContainsRune(name, utf8.RuneError)) {
		err = errors.New("a character that no host name has")
	}
	if err != nil {
		return "", fmt.Errorf("invalid host %q: %w", name, err)
	}
	return ascii, nil
}

// allOf reports whether every byte of s is of class c.
func allOf(s string, c class) bool {
	for i := range len(s) {
		if classes[s[i]]&c == 0 {
			return false
		}
	}
	return true
}

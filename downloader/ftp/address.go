package ftp

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/tulle-go/tulle/crawl"
)

// tlsMode is how a connection comes by TLS.
type tlsMode int

const (
	plain    tlsMode = iota
	explicit         // after AUTH TLS
	implicit         // from the first byte on
)

// A login is what connections have in common that may stand in for one another.
type login struct {
	host, addr     string // without and with the port
	user, password string
	mode           tlsMode
	from           netip.AddrPort // Knobs.BindAddress; zero: none
}

// parse reads the URL of a file: who to ask, and for what.
func parse(req *crawl.Request, settings *crawl.FTPSettings) (login, string, error) {
	u := req.URL
	if req.Method != "" && req.Method != http.MethodGet {
		return login{}, "", fmt.Errorf("method %s: a file on an FTP server can only be read", req.Method)
	}
	l := login{host: strings.ToLower(u.Hostname()), user: "anonymous", password: "guest"}
	if domain := strings.ToLower(settings.Domain); domain != "" && (l.host == domain || strings.HasSuffix(l.host, "."+domain)) {
		l.user, l.password = settings.User, settings.Password
	}
	if bind := req.Knob().BindAddress; bind != "" {
		var err error
		if l.from, err = crawl.ParseBindAddress(bind); err != nil {
			return login{}, "", fmt.Errorf("bind address %q: %w", bind, err)
		}
	}
	port := "21"
	if u.Scheme == "ftps" {
		l.mode, port = implicit, "990"
	}
	name := strings.TrimPrefix(u.Path, "/")
	switch {
	case u.RawQuery == "tls=explicit":
		l.mode, port = explicit, "21"
	case u.RawQuery != "": // FTP has no queries
		query, err := url.PathUnescape(u.RawQuery)
		if err != nil {
			return login{}, "", err
		}
		name += "?" + query
	}
	if u.Port() != "" {
		port = u.Port()
	}
	if u.User != nil {
		l.user = u.User.Username()
		l.password, _ = u.User.Password()
	}
	l.addr = net.JoinHostPort(l.host, port)
	name = withoutType(name)
	switch {
	case l.host == "":
		return login{}, "", errors.New("the URL has no host")
	case name == "" || strings.HasSuffix(name, "/"):
		return login{}, "", errors.New("the URL names a folder, and only files can be read")
	case strings.ContainsAny(l.user+l.password+name, "\r\n\x00"):
		return login{}, "", errors.New("a line break in user, password or path")
	}
	return l, name, nil
}

// withoutType takes away what RFC 1738 lets URLs end with: ;type=i. Files are read as they are.
func withoutType(name string) string {
	i := len(name) - len(";type=i")
	if i > 0 && strings.EqualFold(name[i:i+len(";type=")], ";type=") && strings.ContainsRune("aiAI", rune(name[len(name)-1])) {
		return name[:i]
	}
	return name
}

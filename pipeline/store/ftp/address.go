package ftp

import (
	"errors"
	"fmt"
	"net"
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

// address is what the URL of a store and the settings say of a server.
type address struct {
	host           string // without port
	addr           string // host:port
	user, password string
	folder         string // relative to where the login leads, or absolute; "" is where the login leads
	mode           tlsMode
	insecure       bool
}

func parseAddress(uri string, settings crawl.FTPSettings) (address, error) {
	u, err := url.Parse(uri)
	if err != nil {
		// What url.Parse says begins with the URL, and there may be a password in it.
		var parsing *url.Error
		if errors.As(err, &parsing) {
			err = parsing.Err
		}
		return address{}, fmt.Errorf("not a URL: %w", err)
	}
	a := address{host: u.Hostname(), user: settings.User, password: settings.Password, insecure: settings.InsecureTLS}
	port := "21"
	switch u.Scheme {
	case "ftp":
	case "ftps":
		a.mode, port = implicit, "990"
	default:
		return address{}, fmt.Errorf("scheme %q is neither ftp nor ftps", u.Scheme)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return address{}, fmt.Errorf("query: %w", err)
	}
	for key, values := range query {
		switch {
		case key == "tls" && len(values) == 1 && values[0] == "explicit":
			if a.mode == implicit {
				port = "21"
			}
			a.mode = explicit
		case key == "tls":
			return address{}, fmt.Errorf("tls=%s: only tls=explicit has a meaning (ftps:// is implicit, ftp:// plain)", strings.Join(values, ","))
		default:
			return address{}, fmt.Errorf("unknown parameter %q (there is tls=explicit)", key)
		}
	}
	if u.Port() != "" {
		port = u.Port()
	}
	if u.User != nil {
		a.user = u.User.Username()
		if password, ok := u.User.Password(); ok {
			a.password = password
		}
	}
	a.addr = net.JoinHostPort(a.host, port)
	a.folder = strings.TrimPrefix(u.Path, "/")
	switch {
	case a.host == "":
		return address{}, errors.New("no server is named")
	case u.Fragment != "":
		return address{}, errors.New("a # in a path is written as %23")
	case strings.ContainsAny(a.user+a.password+a.folder, "\r\n\x00"):
		return address{}, errors.New("a line break in user, password or path")
	}
	return a, nil
}

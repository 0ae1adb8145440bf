package crawl

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// ProxyDirect is the value of Knobs.Proxy that asks without a proxy.
const ProxyDirect = "direct"

// ParseProxy reads the URL of a proxy: http, https, socks5 or socks5h, a host, perhaps a port and user:password@, and nothing else. "host:port" alone means http.
// The error does not show the password.
func ParseProxy(raw string) (*url.URL, error) {
	text := raw
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("the URL of a proxy cannot be read") // url's own error shows all of it
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
	default:
		return nil, fmt.Errorf("proxy %s has the scheme %q", Redacted(u), u.Scheme)
	}
	switch {
	case u.Hostname() == "":
		return nil, fmt.Errorf("proxy %s has no host", Redacted(u))
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("proxy %s has more than a host", Redacted(u))
	}
	u.Path = ""
	return u, nil
}

type proxyKey struct{}

// WithProxy says through which proxy a request is to be asked. The proxy middleware does so for each attempt and each redirect anew; handlers read it by [Proxy]. The
// request itself does not carry it, so that no proxy, and none of its credentials, can be met again on another way.
func WithProxy(ctx context.Context, proxy *url.URL) context.Context {
	return context.WithValue(ctx, proxyKey{}, proxy)
}

// Proxy is the proxy that a request is to be asked through, or nil. It is not to be changed.
func Proxy(ctx context.Context) *url.URL {
	u, _ := ctx.Value(proxyKey{}).(*url.URL)
	return u
}

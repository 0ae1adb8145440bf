package downloader

import (
	"container/list"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/tulle-go/tulle/crawl"
)

// maxProxies is for how many proxies connections are kept. Users and passwords count: services that sell addresses tell sessions apart by them.
const maxProxies = 1000

// proxies have a transport for each proxy. One for all would not do: net/http looks for an HTTP/2 connection by the host alone, whatever proxy it goes through.
type proxies struct {
	dialer *dialer
	direct *http.Transport // as what the others are made

	mu    sync.Mutex
	known map[string]*list.Element // Guarded by mu: by the proxy's URL. nil once closed.
	used  *list.List               // Guarded by mu: of *proxied, the last used in front.
}

type proxied struct {
	key       string
	transport *http.Transport
}

func newProxies(d *dialer, direct *http.Transport) *proxies {
	return &proxies{dialer: d, direct: direct, known: make(map[string]*list.Element), used: list.New()}
}

// transport is the one for a proxy.
func (p *proxies) transport(proxy *url.URL) (*http.Transport, error) {
	key := proxy.String()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		return nil, crawl.ErrStopping
	}
	if e := p.known[key]; e != nil {
		p.used.MoveToFront(e)
		return e.Value.(*proxied).transport, nil
	}
	if p.used.Len() >= maxProxies {
		old := p.used.Remove(p.used.Back()).(*proxied)
		delete(p.known, old.key)
		old.transport.CloseIdleConnections() // those in use are closed when they are not
	}
	t := p.open(proxy)
	p.known[key] = p.used.PushFront(&proxied{key, t})
	return t, nil
}

// open makes a transport. net/http asks the proxy for a connection to the host, and shakes hands with the host itself.
func (p *proxies) open(proxy *url.URL) *http.Transport {
	d, t := p.dialer, p.direct.Clone()
	t.Proxy = http.ProxyURL(proxy)
	// The proxy's own address is the operator's choice, and reached as such.
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return d.dial(crawl.WithProxy(ctx, proxy), network, addr)
	}
	t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return d.handshake(crawl.WithProxy(ctx, proxy), network, addr, nil) // net/http cannot ask a proxy by HTTP/2
	}
	t.TLSClientConfig = d.tls.Clone()
	t.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(0) // a session would tell the host that two addresses are one
	t.TLSHandshakeTimeout = handshakeTimeout
	t.ProxyConnectHeader = http.Header{"User-Agent": nil}
	t.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
		if resp.StatusCode != http.StatusOK {
			return &refusal{resp.StatusCode}
		}
		return nil
	}
	return t
}

func (p *proxies) close() {
	p.mu.Lock()
	known := p.known
	p.known = nil
	p.mu.Unlock()
	for _, e := range known {
		e.Value.(*proxied).transport.CloseIdleConnections()
	}
}

// refusal is the answer of a proxy that does not connect to a host.
type refusal struct{ status int }

func (r *refusal) Error() string {
	if r.status == http.StatusProxyAuthRequired {
		return "it wants other credentials: 407 Proxy Authentication Required"
	}
	return strings.TrimSpace(fmt.Sprintf("it answered %d %s", r.status, http.StatusText(r.status)))
}

// refuses reports whether a response to a request for an http URL is the proxy's own. All else a host may have said as well.
func refuses(proxy *url.URL, req *crawl.Request, status int) bool {
	return proxy != nil && status == http.StatusProxyAuthRequired && req.URL.Scheme == "http" && strings.HasPrefix(proxy.Scheme, "http")
}

// proxyFailed is the error of a request that got no response through a proxy.
func proxyFailed(req *crawl.Request, proxy *url.URL, err error) error {
	return failed(req, proxyKind(err), fmt.Errorf("proxy %s: %w", proxy.Redacted(), err))
}

// proxyKind tells whose fault it is: the proxy's, or that of the host behind it.
func proxyKind(err error) crawl.Kind {
	if r, ok := errors.AsType[*refusal](err); ok {
		switch r.status {
		case http.StatusBadGateway, http.StatusServiceUnavailable:
			return crawl.KindConnection
		case http.StatusGatewayTimeout:
			return crawl.KindTimeout
		}
		return crawl.KindProxy
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		switch {
		case op.Op == "proxyconnect":
			return crawl.KindProxy
		case strings.HasPrefix(op.Op, "socks"):
			return socksKind(op.Err)
		}
	}
	if isTLS(err) {
		return crawl.KindTLS
	}
	return kindOf(err)
}

// socksKind goes by the text: net/http's errors of SOCKS have no type. The words are those of its table of replies (RFC 1928, section 6).
func socksKind(err error) crawl.Kind {
	if waited, ok := errors.AsType[net.Error](err); ok && waited.Timeout() {
		return crawl.KindTimeout
	}
	text := err.Error()
	switch {
	case strings.HasSuffix(text, "connection refused"):
		return crawl.KindRefused
	case strings.HasSuffix(text, "host unreachable"), strings.HasSuffix(text, "network unreachable"), strings.HasSuffix(text, "TTL expired"):
		return crawl.KindConnection
	}
	return crawl.KindProxy
}

// isTLS reports whether a handshake failed that net/http made.
func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	_, ok := errors.AsType[tls.RecordHeaderError](err)
	return ok
}

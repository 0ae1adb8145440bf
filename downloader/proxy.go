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
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"github.com/tulle-go/tulle/crawl"
)

// maxProxies is for how many proxies, and addresses of this machine, connections are kept. Users and passwords count: services that sell addresses tell sessions apart by
// them.
const maxProxies = 1000

// A way is what connections must have in common to stand in for one another, beside the host.
type way struct {
	proxy string         // its URL; "" is none
	from  netip.AddrPort // the address of this machine, if that is not Download.BindAddress
	h2c   bool
}

// proxies have a transport for each way. One for all would not do: net/http looks for an HTTP/2 connection by the host alone, whatever proxy it goes through.
type proxies struct {
	dialer *dialer
	direct *http.Transport                   // as what the others are made
	bind   func(from netip.AddrPort) *dialer // makes one for another address

	mu    sync.Mutex
	known map[way]*list.Element // Guarded by mu. nil once closed.
	used  *list.List            // Guarded by mu: of *proxied, the last used in front.
}

type proxied struct {
	way       way
	transport *http.Transport
}

func newProxies(d *dialer, direct *http.Transport) *proxies {
	return &proxies{dialer: d, direct: direct, known: make(map[way]*list.Element), used: list.New()}
}

// transport is the one for a proxy.
func (p *proxies) transport(proxy *url.URL) (*http.Transport, error) { return p.pick(way{}, proxy) }

// pick is the transport for a way, whose proxy may be nil.
func (p *proxies) pick(w way, proxy *url.URL) (*http.Transport, error) {
	if proxy != nil {
		w.proxy = proxy.String()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		return nil, crawl.ErrStopping
	}
	if e := p.known[w]; e != nil {
		p.used.MoveToFront(e)
		return e.Value.(*proxied).transport, nil
	}
	if p.used.Len() >= maxProxies {
		old := p.used.Remove(p.used.Back()).(*proxied)
		delete(p.known, old.way)
		old.transport.CloseIdleConnections() // those in use are closed when they are not
	}
	t := p.open(w, proxy)
	p.known[w] = p.used.PushFront(&proxied{w, t})
	return t, nil
}

// open makes a transport. With a proxy, net/http asks it for a connection to the host, and shakes hands with the host itself.
func (p *proxies) open(w way, proxy *url.URL) *http.Transport {
	d, t := p.dialer, p.direct.Clone()
	t.MaxIdleConns = fewIdle(t.MaxIdleConnsPerHost) // there may be many like it
	if w.from.IsValid() {
		d = p.bind(w.from)
		t.DialContext, t.DialTLSContext = d.dial, d.dialTLS
	}
	if w.h2c {
		t.Protocols = onlyH2C()
	}
	if proxy == nil {
		return t
	}
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
	return failed(req, proxyKind(err), fmt.Errorf("proxy %s: %w", crawl.Redacted(proxy), err))
}

// proxyKind tells whose fault it is: the proxy's, or that of the host behind it.
func proxyKind(err error) crawl.Kind {
	if _, ok := errors.AsType[*bindError](err); ok {
		return kindOf(err)
	}
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

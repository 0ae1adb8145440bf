package downloader

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/tulle-go/tulle/crawl"
	"golang.org/x/net/idna"
)

// How long a connection may take to come up. net/http goes on connecting when the request that asked for it has given up, so there must be an end
// to it whatever the request's timeout is.
const (
	connectTimeout   = 30 * time.Second
	handshakeTimeout = 30 * time.Second
)

// maxDials is how many connections are made for one request, one after another. net/http asks on a new one, at once and for ever, where an HTTP/2 server says GOAWAY to
// each and that it has not looked at the request.
const maxDials = 5

var errManyDials = errors.New("the server has ended " + strconv.Itoa(maxDials) + " connections without looking at the request")

// A dialer makes the connections of an http.Transport, and ends them all when it is closed.
type dialer struct {
	connect dialFunc
	toProxy dialFunc // connect without the guard
	routes  routes
	tls     *tls.Config
	*opened
}

// from is a dialer whose connections come from another address of this machine. They end with d's.
func (d *dialer) from(connect, toProxy dialFunc) *dialer {
	c := *d
	c.connect, c.toProxy, c.tls = connect, toProxy, d.tls.Clone()
	c.tls.ClientSessionCache = tls.NewLRUClientSessionCache(0) // a session would tell the host that two addresses are one
	return &c
}

// opened are connections, and those that are being made.
type opened struct {
	mu  sync.Mutex
	all map[io.Closer]struct{} // Guarded by mu. nil once closed.
}

func newOpened() *opened { return &opened{all: make(map[io.Closer]struct{})} }

// dial connects to where addr leads.
func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if !mayDial(ctx) {
		return nil, errManyDials
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	connecting := &closeFunc{cancel}
	if !d.add(connecting) {
		return nil, crawl.ErrStopping
	}
	defer d.remove(connecting)
	connect := d.connect
	if crawl.Proxy(ctx) != nil {
		connect = d.toProxy
	}
	raw, err := connect(ctx, network, d.routes.lead(addr))
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, opened: d.opened}
	if !d.add(c) {
		_ = raw.Close()
		return nil, crawl.ErrStopping
	}
	return c, nil
}

// dialTLS is dial with a handshake. net/http would do it as well, but then one could not tell the handshake's errors from others.
func (d *dialer) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	return d.handshake(ctx, network, addr, d.tls.NextProtos)
}

// handshake is dialTLS with a choice of protocols.
func (d *dialer) handshake(ctx context.Context, network, addr string, protos []string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	raw, err := d.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	conf := d.tls.Clone()
	conf.ServerName, conf.NextProtos = host, protos
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	c := tls.Client(raw, conf)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, &tlsError{err}
	}
	return c, nil
}

func (o *opened) add(c io.Closer) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all == nil {
		return false
	}
	o.all[c] = struct{}{}
	return true
}

func (o *opened) remove(c io.Closer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.all, c)
}

func (o *opened) close() {
	o.mu.Lock()
	all := o.all
	o.all = nil
	o.mu.Unlock()
	for c := range all {
		_ = c.Close()
	}
}

// conn is taken off the open ones when it is closed.
type conn struct {
	net.Conn
	opened *opened
}

func (c *conn) Close() error {
	c.opened.remove(c)
	return c.Conn.Close()
}

type closeFunc struct{ f func() }

func (c *closeFunc) Close() error { c.f(); return nil }

// routes are Download.ConnectTo, by "host:port" or "host" in the form that net/http dials.
type routes map[string]route

type route struct{ host, port string } // no port: the one that was asked for

// lead returns the address to connect to for addr. It is looked up once: routes do not lead to routes.
func (rs routes) lead(addr string) string {
	if len(rs) == 0 {
		return addr
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	host = strings.ToLower(host)
	to, ok := rs[net.JoinHostPort(host, port)]
	if !ok {
		to, ok = rs[host]
	}
	if !ok {
		return addr
	}
	if to.port != "" {
		port = to.port
	}
	return net.JoinHostPort(to.host, port)
}

// newRoutes reads Download.ConnectTo. The error names every entry that is malformed.
func newRoutes(connectTo map[string]string) (routes, error) {
	rs := make(routes, len(connectTo))
	var errs []error
	for _, from := range slices.Sorted(maps.Keys(connectTo)) {
		to := connectTo[from]
		if err := rs.add(from, to); err != nil {
			errs = append(errs, fmt.Errorf("download.connect_to %q to %q: %w", from, to, err))
		}
	}
	return rs, errors.Join(errs...)
}

func (rs routes) add(from, to string) error {
	f, err := parseRoute(from)
	if err != nil {
		return fmt.Errorf("left side: %w", err)
	}
	t, err := parseRoute(to)
	if err != nil {
		return fmt.Errorf("right side: %w", err)
	}
	key := f.host
	if f.port != "" {
		key = net.JoinHostPort(f.host, f.port)
	}
	if _, ok := rs[key]; ok {
		return fmt.Errorf("%s has two entries", key)
	}
	rs[key] = t
	return nil
}

// parseRoute reads "host", "host:port", "[IPv6]" or "[IPv6]:port".
func parseRoute(s string) (route, error) {
	r := route{host: s}
	if i := strings.LastIndexByte(s, ':'); i >= 0 && s[len(s)-1] != ']' {
		r.host, r.port = s[:i], s[i+1:]
		if n, err := strconv.ParseUint(r.port, 10, 16); err != nil || n == 0 {
			return route{}, fmt.Errorf("port %q: want 1 to 65535, and an IPv6 address in brackets", r.port)
		}
	}
	if strings.HasPrefix(r.host, "[") {
		ip, err := netip.ParseAddr(strings.Trim(r.host, "[]"))
		if err != nil || !ip.Is6() || r.host[len(r.host)-1] != ']' {
			return route{}, fmt.Errorf("%q: want an IPv6 address in the brackets", r.host)
		}
		r.host = ip.String()
		return r, nil
	}
	host := strings.ToLower(r.host)
	if strings.ContainsFunc(host, notASCII) { // only then: names with underscores exist, though not for IDNA
		var err error
		if host, err = idna.Lookup.ToASCII(host); err != nil {
			return route{}, fmt.Errorf("%q: want a host: %w", r.host, err)
		}
	}
	if host == "" || strings.ContainsFunc(host, notInHost) {
		return route{}, fmt.Errorf("%q: want a host", r.host)
	}
	r.host = host
	return r, nil
}

func notASCII(r rune) bool { return r > unicode.MaxASCII }

func notInHost(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("/?#@%:[]\\", r) }

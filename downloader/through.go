package downloader

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/proxy"

	"github.com/tulle-go/tulle/crawl"
)

// throughError is a failure on the way through a proxy, with whose fault it is.
type throughError struct {
	kind crawl.Kind
	err  error
}

func (e *throughError) Error() string { return e.err.Error() }
func (e *throughError) Unwrap() error { return e.err }

// through connects to "host:port" through a proxy, which looks the host's name up itself.
func (h *httpHandler) through(ctx context.Context, via *url.URL, network, addr string) (net.Conn, error) {
	if h.guard != nil {
		if err := h.guard.target(ctx, &url.URL{Host: addr}); err != nil {
			return nil, &throughError{crawl.KindNotPublic, err}
		}
	}
	c, err := h.tunnel(crawl.WithProxy(ctx, via), via, network, addr)
	if err != nil {
		return nil, &throughError{proxyKind(err), fmt.Errorf("proxy %s: %w", crawl.Redacted(via), err)}
	}
	return c, nil
}

// tunnel connects to a proxy, and has it connect to a host. net/http does as much, but for requests of its own only.
func (h *httpHandler) tunnel(ctx context.Context, via *url.URL, network, addr string) (net.Conn, error) {
	at := via.Host
	if via.Port() == "" {
		at = net.JoinHostPort(via.Hostname(), map[string]string{"http": "80", "https": "443"}[via.Scheme])
		if strings.HasPrefix(via.Scheme, "socks") {
			at = net.JoinHostPort(via.Hostname(), "1080")
		}
	}
	var c net.Conn
	var err error
	if via.Scheme == "https" {
		c, err = h.dialer.handshake(ctx, "tcp", at, nil)
	} else {
		c, err = h.dialer.dial(ctx, "tcp", at)
	}
	if err != nil {
		return nil, &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var far net.Conn
	if strings.HasPrefix(via.Scheme, "socks") {
		far, err = socks(ctx, c, via, network, addr)
	} else {
		far, err = connect(ctx, c, via, addr)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return far, nil
}

func socks(ctx context.Context, c net.Conn, via *url.URL, network, addr string) (net.Conn, error) {
	var auth *proxy.Auth
	if via.User != nil {
		password, _ := via.User.Password()
		auth = &proxy.Auth{User: via.User.Username(), Password: password}
	}
	made, err := proxy.SOCKS5("tcp", via.Host, auth, nil)
	if err != nil {
		return nil, err
	}
	asker, ok := made.(interface {
		DialWithConn(ctx context.Context, c net.Conn, network, address string) (net.Addr, error)
	})
	if !ok {
		return nil, errors.New("socks: no connection can be taken over") // of x/net, which has had this method for ever
	}
	if _, err := asker.DialWithConn(ctx, c, network, addr); err != nil {
		return nil, err
	}
	return c, nil
}

// connect asks a proxy for a connection by CONNECT (RFC 9110, 9.3.6).
func connect(ctx context.Context, c net.Conn, via *url.URL, addr string) (net.Conn, error) {
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	ask := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{"User-Agent": nil}}
	if via.User != nil {
		password, _ := via.User.Password()
		ask.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(via.User.Username()+":"+password)))
	}
	err := ask.Write(c)
	var resp *http.Response
	limited := &io.LimitedReader{R: c, N: maxHeaders}
	buffered := bufio.NewReader(limited)
	if err == nil {
		resp, err = http.ReadResponse(buffered, ask) //nolint:bodyclose // it is the connection, which the caller closes
	}
	switch {
	case ctx.Err() != nil:
		return nil, &net.OpError{Op: "proxyconnect", Net: "tcp", Err: ctx.Err()}
	case err != nil:
		return nil, &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err}
	case resp.StatusCode != http.StatusOK:
		return nil, &refusal{resp.StatusCode} // its body ends with the connection
	case buffered.Buffered() > 0:
		return nil, &net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New("the proxy has said more than that it is connected")}
	}
	return c, nil
}

// RoundTrip asks for an http URL as the HTTP handler does, on its connections: through the proxy of the request's context ([crawl.Proxy]), if it has one. [KindOf] tells
// whose fault an error is.
func (d *Dialer) RoundTrip(req *http.Request) (*http.Response, error) {
	h, via := d.h, crawl.Proxy(req.Context())
	if via == nil {
		return h.transport.RoundTrip(req)
	}
	if h.guard != nil {
		if err := h.guard.target(req.Context(), req.URL); err != nil {
			return nil, &throughError{crawl.KindNotPublic, err}
		}
	}
	transport, err := h.proxies.transport(via)
	if err != nil {
		return nil, err
	}
	resp, err := transport.RoundTrip(req)
	if err == nil && resp.StatusCode == http.StatusProxyAuthRequired && strings.HasPrefix(via.Scheme, "http") {
		_ = resp.Body.Close()
		err = &refusal{resp.StatusCode}
	}
	if err != nil {
		return nil, &throughError{proxyKind(err), fmt.Errorf("proxy %s: %w", crawl.Redacted(via), err)}
	}
	return resp, nil
}

// Handshake shakes hands with a host over a connection to it, as the HTTP handler does: by Download.CAFile, MinTLS, MaxTLS and InsecureTLS. protos are offered for what is
// spoken then. If it fails the connection is closed.
func (d *Dialer) Handshake(ctx context.Context, c net.Conn, host string, protos []string) (*tls.Conn, error) {
	conf := d.TLS()
	conf.ServerName, conf.NextProtos = host, protos
	conf.ClientSessionCache = nil // a session would tell the host that two proxies' addresses are one
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	spoken := tls.Client(c, conf)
	if err := spoken.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, &tlsError{err}
	}
	return spoken, nil
}

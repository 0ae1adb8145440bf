package downloader

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tulle-go/tulle/crawl"
	"golang.org/x/net/http/httpguts"
)

const (
	// maxHeaders is the size of all headers of a response in bytes, those of interim responses included. Chrome stops at as much; net/http would take 10 MB.
	maxHeaders = 256 << 10
	// idleTimeout is how long an unused connection is kept: less than nginx's 75 s, so that it is rarely the server who closes it, at the moment of use.
	idleTimeout = 60 * time.Second
	// minIdle is how many unused connections are kept at least, all hosts together.
	minIdle = 100
	// pingAfter is how long an HTTP/2 connection may be silent before it is asked whether it is alive. One that is not would otherwise fail every request of its
	// host, each by its timeout.
	pingAfter = 30 * time.Second
)

// httpHandler asks http and https URLs.
type httpHandler struct {
	bodies    bodies
	timeout   time.Duration // Download.Timeout
	allowCut  bool          // Download.AllowTruncated
	transport *http.Transport
	dialer    *dialer
	lanes     lanes
	noAgent   http.Header // for requests without any header. Read only.
}

func newHTTP(env *crawl.Env) (*httpHandler, error) {
	s := env.Settings
	routes, err := newRoutes(s.Download.ConnectTo)
	if err != nil {
		return nil, err
	}
	idle := max(2*s.ConcurrentRequests, minIdle)
	d := &dialer{
		connect: s.Download.Dial,
		routes:  routes,
		tls: &tls.Config{
			InsecureSkipVerify: s.Download.InsecureTLS,
			NextProtos:         []string{"h2", "http/1.1"},
			ClientSessionCache: tls.NewLRUClientSessionCache(idle),
		},
		open: make(map[io.Closer]struct{}),
	}
	if d.connect == nil {
		d.connect = new(net.Dialer).DialContext
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(!s.Download.DisableHTTP2)
	if s.Download.DisableHTTP2 {
		d.tls.NextProtos = nil
	}
	return &httpHandler{
		bodies:   newBodies(env),
		timeout:  s.Download.Timeout,
		allowCut: s.Download.AllowTruncated,
		dialer:   d,
		lanes:    lanes{keep: s.ConcurrentRequests},
		noAgent:  http.Header{"User-Agent": nil},
		transport: &http.Transport{
			DialContext:    d.dial,
			DialTLSContext: d.dialTLS,
			Protocols:      protocols,
			HTTP2:          &http.HTTP2Config{SendPingTimeout: pingAfter},
			// The scheduler says how many connections a host gets; whoever is admitted does not wait here. No host can have more than all downloads.
			MaxIdleConnsPerHost:    s.ConcurrentRequests,
			MaxIdleConns:           idle,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxHeaders,
			DisableCompression:     true, // the compression middleware's
		},
	}, nil
}

// Close cuts all connections.
func (h *httpHandler) Close() error {
	h.transport.CloseIdleConnections()
	h.dialer.close()
	h.lanes.close()
	return nil
}

// Fetch sends the request once and reads the whole response.
func (h *httpHandler) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	if ctx.Err() != nil {
		return nil, givenUp(ctx, req)
	}
	if err := check(req); err != nil {
		return nil, failed(req, crawl.KindRequest, err)
	}
	timeout := h.timeout
	if k := req.Knob().Timeout; k != 0 {
		timeout = k
	}
	l := h.lanes.take(ctx, timeout)
	resp, err := h.exchange(l.ctx, req)
	expired := err != nil && context.Cause(l.ctx) == errExpired
	h.lanes.give(l)
	switch {
	case err == nil:
		return resp, nil
	case ctx.Err() != nil:
		return nil, givenUp(ctx, req)
	case expired:
		return nil, timedOut(req, timeout)
	}
	return nil, err
}

// exchange sends the request and reads the whole response. Its error does not tell whether ctx has ended.
func (h *httpHandler) exchange(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	start := time.Now()
	in, err := h.transport.RoundTrip(h.outgoing(ctx, req))
	if err != nil {
		kind := kindOf(err)
		if !sendable(req) {
			kind = crawl.KindRequest
		}
		return nil, failed(req, kind, err)
	}
	defer in.Body.Close()
	timing := crawl.Timing{Start: start, Latency: time.Since(start)}
	if unasked(req, in.StatusCode) {
		return nil, failed(req, crawl.KindConnection, fmt.Errorf("status %s was not asked for", in.Status))
	}
	resp := &crawl.Response{
		Request: req,
		URL:     req.URL,
		Status:  in.StatusCode,
		Header:  in.Header,
		Proto:   in.Proto,
	}
	if hasBody(req.Method, in.StatusCode) {
		if err := h.readBody(ctx, in, resp); err != nil {
			return nil, err
		}
	}
	timing.Total = time.Since(start)
	resp.Timing = timing
	return resp, nil
}

func (h *httpHandler) readBody(ctx context.Context, in *http.Response, resp *crawl.Response) (err error) {
	if !h.allowCut {
		resp.Body, err = h.bodies.read(resp.Request, in.Body, in.ContentLength, false)
		return err
	}
	r := &cutReader{ctx: ctx, r: in.Body}
	resp.Body, err = h.bodies.read(resp.Request, r, in.ContentLength, true)
	if r.cut {
		resp.Flags = []string{"truncated"}
	}
	return err
}

// outgoing makes net/http's request of ours. Credentials in the URL are not sent: only http.Client would do that.
func (h *httpHandler) outgoing(ctx context.Context, req *crawl.Request) *http.Request {
	out := http.Request{Method: req.Method, URL: req.URL, Header: req.Header}
	if _, ok := req.Header["User-Agent"]; !ok {
		// Without the key net/http would introduce itself as Go-http-client.
		out.Header = h.noAgent
		if len(req.Header) > 0 {
			out.Header = maps.Clone(req.Header)
			out.Header["User-Agent"] = nil
		}
	}
	if host := req.Header["Host"]; len(host) > 0 {
		out.Host = host[0]
	}
	if len(req.Body) > 0 {
		out.ContentLength = int64(len(req.Body))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(req.Body)), nil }
		out.Body, _ = out.GetBody()
	}
	return out.WithContext(ctx)
}

// check returns what keeps a request from being sent, as far as net/http would send it nonetheless: to this machine if there is no host, without its
// Host header, or with a query that ends the line.
func check(req *crawl.Request) error {
	u := req.URL
	if u.Hostname() == "" {
		return errors.New("the URL has no host")
	}
	if host, err := httpguts.PunycodeHostPort(u.Host); err != nil || !httpguts.ValidHostHeader(host) {
		return fmt.Errorf("the URL's host %q cannot exist", u.Host)
	}
	if port := u.Port(); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return fmt.Errorf("the URL's port %s is larger than 65535", port)
		}
	}
	for _, part := range [...]string{u.RawQuery, u.Opaque} {
		if i := strings.IndexFunc(part, notInURL); i >= 0 {
			return fmt.Errorf("the URL has a %q that is not escaped", part[i])
		}
	}
	for _, host := range req.Header["Host"] {
		if !httpguts.ValidHostHeader(host) {
			return fmt.Errorf("the Host header %q is none", host)
		}
	}
	return nil
}

func notInURL(r rune) bool { return r <= ' ' || r == 0x7f }

// sendable reports whether net/http sends such a method and headers. It refuses control characters, among others, but its errors have no type.
func sendable(req *crawl.Request) bool {
	if req.Method != "" && !httpguts.ValidHeaderFieldName(req.Method) { // both are tokens
		return false
	}
	for name, values := range req.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return false
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return false
			}
		}
	}
	return true
}

// unasked reports whether a status makes no sense for the request: a part of a page that was asked for as a whole would pass for the page.
func unasked(req *crawl.Request, status int) bool {
	switch status {
	case http.StatusSwitchingProtocols:
		return true
	case http.StatusPartialContent:
		for name := range req.Header {
			if strings.EqualFold(name, "Range") {
				return false
			}
		}
		return true
	}
	return false
}

// hasBody reports whether bytes follow the headers (RFC 9110, 6.4.1).
func hasBody(method string, status int) bool {
	return method != http.MethodHead && status != http.StatusNoContent && status != http.StatusNotModified
}

// A cutReader makes an end of a body that breaks off. It is an error still if ctx has ended: that was us.
type cutReader struct {
	ctx context.Context
	r   io.Reader
	cut bool
}

func (c *cutReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err != nil && err != io.EOF && c.ctx.Err() == nil {
		c.cut, err = true, io.EOF
	}
	return n, err
}

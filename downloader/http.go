package downloader

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tulle-go/tulle/crawl"
	"golang.org/x/net/http/httpguts"
)

const (
	// maxHeaders is the size of all headers of a response in bytes, those of interim responses included. Chrome stops at as much; net/http would take 10 MB.
	maxHeaders = 256 << 10
	// maxHeaderLines is how many headers a response may have: within that size tens of thousands would fit, and each costs more than its bytes. Servers allow about a hundred.
	maxHeaderLines = 1000
	// idleTimeout is how long an unused connection is kept: less than nginx's 75 s, so that it is rarely the server who closes it, at the moment of use.
	idleTimeout = 60 * time.Second
	// minIdle is how many unused connections are kept at least, all hosts together, and maxIdle how many at most.
	minIdle, maxIdle = 100, 10_000
	// idleTimes is how many are kept for each download at once, if the system lets us open so many: a crawl of many hosts comes back to each after all the others. With 10,000
	// hosts, 20 in place of 2 took 4.4 to 5.1 s of processor time in place of 6.1 to 7.4 (on a busy machine), and had 9,670 files open in place of 4,480. How long the
	// crawl took could not be told apart.
	idleTimes = 20
	// pingAfter is how long an HTTP/2 connection may be silent before it is asked whether it is alive. One that is not would otherwise fail every request of its
	// host, each by its timeout.
	pingAfter = 30 * time.Second
)

// httpHandler asks http and https URLs.
type httpHandler struct {
	bodies    bodies
	timeout   time.Duration // Download.Timeout
	allowCut  bool          // Download.AllowTruncated
	retry     crawl.RetrySettings
	parts     *parts
	stats     *crawl.Stats
	transport *http.Transport
	h2c       *http.Transport // for http URLs; nil: the transport's
	proxies   *proxies
	guard     *guard // nil: none
	download  *crawl.DownloadSettings
	from      netip.AddrPort // Download.BindAddress; zero: none
	dialer    *dialer
	lanes     lanes // of requests that only HTTP/1.1 can carry
	lanes2    lanes // of the others
	trace     *crawl.Trace
	noAgent   http.Header // for requests without any header. Read only.
}

func newHTTP(env *crawl.Env) (*httpHandler, error) {
	s := env.Settings
	routes, err := newRoutes(s.Download.ConnectTo)
	if err != nil {
		return nil, err
	}
	roots, err := rootsWith(s.Download.CAFile)
	if err != nil {
		return nil, err
	}
	few := fewIdle(s.ConcurrentRequests)
	g, err := newGuard(&s.Download)
	if err != nil {
		return nil, err
	}
	from, err := bindAddress(&s.Download)
	if err != nil {
		return nil, err
	}
	connect, toProxy := g.dials(&s.Download, from)
	d := &dialer{
		connect: connect,
		toProxy: toProxy,
		routes:  routes,
		tls: &tls.Config{
			MinVersion:         tlsVersions[s.Download.MinTLS],
			MaxVersion:         tlsVersions[s.Download.MaxTLS],
			InsecureSkipVerify: s.Download.InsecureTLS,
			RootCAs:            roots,
			NextProtos:         []string{"h2", "http/1.1"},
			ClientSessionCache: tls.NewLRUClientSessionCache(few),
		},
		opened: newOpened(),
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(!s.Download.DisableHTTP2)
	if s.Download.DisableHTTP2 {
		d.tls.NextProtos = nil
	}
	h := &httpHandler{
		bodies:   newBodies(env),
		timeout:  s.Download.Timeout,
		allowCut: s.Download.AllowTruncated,
		retry:    s.Retry,
		parts:    newParts(few, s.Cookies.Off, env.Log),
		stats:    env.Stats,
		guard:    g,
		download: &s.Download,
		from:     from,
		dialer:   d,
		lanes:    lanes{keep: s.ConcurrentRequests, least: s.Download.MinSpeed},
		lanes2:   lanes{keep: s.ConcurrentRequests, least: s.Download.MinSpeed, http2: true},
		trace:    &s.Trace,
		noAgent:  http.Header{"User-Agent": nil},
		transport: &http.Transport{
			DialContext:    d.dial,
			DialTLSContext: d.dialTLS,
			Protocols:      protocols,
			HTTP2:          &http.HTTP2Config{SendPingTimeout: pingAfter},
			// The scheduler says how many connections a host gets; whoever is admitted does not wait here. No host can have more than all downloads.
			MaxIdleConnsPerHost:    s.ConcurrentRequests,
			MaxIdleConns:           manyIdle(s.ConcurrentRequests, openFiles()),
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxHeaders,
			DisableCompression:     true, // the compression middleware's
		},
	}
	h.proxies = newProxies(d, h.transport)
	h.proxies.bind = func(from netip.AddrPort) *dialer { return d.from(g.dials(h.download, from)) }
	if s.Download.H2C {
		h.h2c = h.transport.Clone()
		h.h2c.Protocols = onlyH2C()
	}
	return h, nil
}

// fewIdle is how many unused connections are kept through one proxy, or from one address.
func fewIdle(atOnce int) int { return max(2*atOnce, minIdle) }

// manyIdle is how many are kept of those that most requests use. Half of the files that may be open are for all else.
func manyIdle(atOnce, files int) int {
	return max(min(idleTimes*atOnce, files/2, maxIdle), fewIdle(atOnce))
}

// onlyH2C is HTTP/2 without TLS.
func onlyH2C() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

var tlsVersions = map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// rootsWith are the authorities that are trusted: the system's, and those of a PEM file. nil is the system's alone.
func rootsWith(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("download.ca_file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("download.ca_file: the system's certificates: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("download.ca_file: %s holds no certificate", file)
	}
	return roots, nil
}

// Close cuts all connections, and removes what is left of broken transfers.
func (h *httpHandler) Close() error {
	h.transport.CloseIdleConnections()
	if h.h2c != nil {
		h.h2c.CloseIdleConnections()
	}
	h.proxies.close()
	h.dialer.close()
	h.lanes.close()
	h.lanes2.close()
	h.parts.close()
	return nil
}

// Fetch sends the request once and reads the whole response. If an earlier attempt broke off it asks for the rest; if what comes is not the rest, the request goes back to
// the queue to be asked for the whole: the host's delay lies between.
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
	proxy := crawl.Proxy(ctx)
	begun := h.parts.take(ctx, req)
	lanes := &h.lanes
	if req.URL.Scheme != "http" || h.h2c != nil {
		lanes = &h.lanes2
	}
	l := lanes.take(ctx, timeout)
	resp, left, err := h.exchange(l, proxy, req, begun)
	var ended error
	if err != nil {
		ended = context.Cause(l.ctx)
	}
	lanes.give(l)
	if err == nil {
		if left != nil {
			h.keep(ctx, req, left)
		}
		return resp, nil
	}
	if ctx.Err() != nil {
		h.parts.remove(left)
		return nil, givenUp(ctx, req)
	}
	if err == errOtherBody {
		return nil, crawl.Reschedule(req, 0, err.Error())
	}
	failure, ok := errors.AsType[*crawl.DownloadError](err)
	answered := ok && failure.Answered
	switch ended {
	case errExpired:
		err = timedOut(req, timeout)
	case errTooSlow:
		err = tooSlow(req, lanes.least)
	case errUnseen:
		err = failed(req, crawl.KindConnection, errUnseen)
	}
	progress := left.progress()
	if left != nil {
		h.keep(ctx, req, left) // From here on it may be somebody else's.
	}
	if failure, ok := errors.AsType[*crawl.DownloadError](err); ok {
		failure.Progress, failure.Answered = progress, answered
	}
	return nil, err
}

// keep keeps what has come of a broken transfer, if the request will be asked again.
func (h *httpHandler) keep(ctx context.Context, req *crawl.Request, p *part) {
	if times := h.retry.TimesOf(req); req.Retries < times || times > 0 && p.progress() {
		h.parts.keep(ctx, req, p)
	} else {
		h.parts.remove(p)
	}
}

// exchange sends the request and reads the whole response, or the rest of it if an earlier attempt has begun it. left is what the next attempt can go on with, if there
// is one. Its error does not tell whether ctx has ended; if it is errOtherBody, the server is to be asked for the whole.
func (h *httpHandler) exchange(l *lane, proxy *url.URL, req *crawl.Request, begun *part) (resp *crawl.Response, left *part, err error) {
	start, ctx := time.Now(), l.ctx
	if proxy != nil && h.guard != nil {
		if err := h.guard.target(ctx, req.URL); err != nil {
			return nil, begun, failed(req, crawl.KindNotPublic, err)
		}
	}
	transport, err := h.way(proxy, req)
	if err != nil {
		return nil, begun, err
	}
	in, err := transport.RoundTrip(h.outgoing(ctx, req, begun))
	switch {
	case err == nil:
	case !sendable(req):
		return nil, begun, failed(req, crawl.KindRequest, err)
	case proxy != nil:
		return nil, begun, proxyFailed(req, proxy, err)
	default:
		return nil, begun, failed(req, kindOf(err), err)
	}
	defer in.Body.Close()
	defer func() {
		if failure, ok := errors.AsType[*crawl.DownloadError](err); ok {
			failure.Answered = true
		}
	}()
	in.Body = l.pace(in.Body)
	if n := lines(in.Header); n > maxHeaderLines {
		return nil, begun, failed(req, crawl.KindTooLarge, fmt.Errorf("the response has %d headers, more than %d", n, maxHeaderLines))
	}
	if refuses(proxy, req, in.StatusCode) {
		return nil, begun, proxyFailed(req, proxy, &refusal{in.StatusCode})
	}
	timing := crawl.Timing{Start: start, Latency: time.Since(start)}
	if begun != nil {
		switch status := in.StatusCode; {
		case status == http.StatusPartialContent && begun.continuedBy(in):
		case status >= 400 && slices.Contains(h.retry.Statuses, status):
			left, begun = begun, nil
		default:
			h.parts.remove(begun)
			begun = nil
			if status == http.StatusPartialContent || status == http.StatusRequestedRangeNotSatisfiable {
				return nil, nil, errOtherBody
			}
		}
	}
	if begun == nil && unasked(req, in.StatusCode) {
		return nil, nil, failed(req, crawl.KindConnection, fmt.Errorf("status %s was not asked for", in.Status))
	}
	resp = &crawl.Response{
		Request: req,
		URL:     req.URL,
		Status:  in.StatusCode,
		Header:  in.Header,
		Proto:   in.Proto,
	}
	shown := h.show(in, resp, begun == nil)
	switch {
	case shown.stop != nil:
	case begun != nil:
		left, err = h.readRest(begun, in, resp)
	case hasBody(req.Method, in.StatusCode):
		var own *part // never of a status that is asked again
		if own, err = h.readBody(ctx, in, resp); own != nil {
			left = own
		}
	}
	if shown.stop != nil {
		if shown.stop.Fail {
			return nil, nil, h.giveUp(shown.stop, resp, left)
		}
		resp.Flags = append(resp.Flags, "download_stopped")
		if !resp.Has("truncated") {
			resp.Flags = append(resp.Flags, "truncated")
		}
	}
	if err != nil {
		return nil, left, err
	}
	timing.Total = time.Since(start)
	resp.Timing = timing
	return resp, left, nil
}

// way is the transport that a request leaves by.
func (h *httpHandler) way(proxy *url.URL, req *crawl.Request) (*http.Transport, error) {
	w := way{h2c: proxy == nil && h.h2c != nil && req.URL.Scheme == "http"}
	if bind := req.Knob().BindAddress; bind != "" {
		from, err := crawl.ParseBindAddress(bind)
		if err != nil {
			return nil, failed(req, crawl.KindRequest, fmt.Errorf("bind address %q: %w", bind, err))
		}
		if from != h.from {
			w.from = from
		}
	}
	switch {
	case proxy == nil && !w.from.IsValid() && w.h2c:
		return h.h2c, nil
	case proxy == nil && !w.from.IsValid():
		return h.transport, nil
	}
	t, err := h.proxies.pick(w, proxy)
	if err != nil {
		return nil, failed(req, crawl.KindConnection, err)
	}
	return t, nil
}

// readBody reads a body. If it breaks off and can be continued, that part of it is returned with the error.
func (h *httpHandler) readBody(ctx context.Context, in *http.Response, resp *crawl.Response) (left *part, err error) {
	if h.allowCut || resp.Request.Knob().AllowTruncated {
		r := &cutReader{ctx: ctx, r: in.Body}
		resp.Body, err = h.bodies.read(resp.Request, r, in.ContentLength, true)
		if r.cut {
			resp.Flags = []string{"truncated"}
		}
		return nil, err
	}
	var file *crawl.Part
	resp.Body, file, err = h.bodies.readOn(resp.Request, nil, in.Body, in.ContentLength, h.trace.BytesReceived != nil)
	h.makeRoom(err)
	if file == nil {
		return nil, err
	}
	if left = newPart(resp.Request, in, file); left == nil {
		_ = file.Close() // As in bodies.read.
	}
	return left, err
}

// readRest reads what comes after a part, and makes of both the response that the whole would have been.
func (h *httpHandler) readRest(begun *part, in *http.Response, resp *crawl.Response) (left *part, err error) {
	had := begun.file.Size()
	resp.Body, begun.file, err = h.bodies.readOn(resp.Request, begun.file, in.Body, begun.whole, h.trace.BytesReceived != nil)
	h.makeRoom(err)
	if err != nil {
		if begun.file == nil {
			return nil, err
		}
		begun.gained = begun.file.Size() - had
		return begun, err
	}
	if n := resp.Body.Size(); n != begun.whole && !ended(in.Body) {
		err = fmt.Errorf("the body has %d bytes, where %d were announced", n, begun.whole)
		_ = resp.Close()
		return nil, failed(resp.Request, crawl.KindTruncated, err)
	}
	resp.Status, resp.Header, resp.Flags = http.StatusOK, begun.merged(in.Header), []string{"resumed"}
	h.stats.Inc("downloader/resumed_count")
	return nil, nil
}

// makeRoom gives up what is left of broken transfers if the disk is full.
func (h *httpHandler) makeRoom(err error) {
	if errors.Is(err, syscall.ENOSPC) {
		h.parts.clear()
	}
}

// outgoing makes net/http's request of ours, for what comes after begun if that is not nil. Credentials in the URL are not sent: only http.Client would do that.
func (h *httpHandler) outgoing(ctx context.Context, req *crawl.Request, begun *part) *http.Request {
	out := http.Request{Method: req.Method, URL: req.URL, Header: req.Header}
	if _, ok := req.Header["User-Agent"]; !ok {
		// Without the key net/http would introduce itself as Go-http-client.
		out.Header = h.noAgent
		if len(req.Header) > 0 {
			out.Header = maps.Clone(req.Header)
			out.Header["User-Agent"] = nil
		}
	}
	if begun != nil {
		out.Header = maps.Clone(out.Header)
		begun.ask(out.Header)
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

// lines is the number of a response's header lines.
func lines(h http.Header) int {
	n := 0
	for _, values := range h {
		n += len(values)
	}
	return n
}

// unasked reports whether a status makes no sense for the request: a part of a page that was asked for as a whole would pass for the page.
func unasked(req *crawl.Request, status int) bool {
	switch status {
	case http.StatusSwitchingProtocols:
		return true
	case http.StatusPartialContent:
		return values(req.Header, "Range") == nil
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

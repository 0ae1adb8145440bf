package browser

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
)

// failedHeader marks answers of the proxy's own, for plain http: a connection could not be made.
const failedHeader = "X-Tulle-No-Connection"

// proxy is the browser's only way out: it connects as the crawl does, through the proxy of the page's request if it has one. Only pages have its password, each one of its own,
// by which it knows whose connection it is.
type proxy struct {
	dialer  *downloader.Dialer
	shown   *identity // nil: the browser shakes hands with hosts itself
	forward *httputil.ReverseProxy
	server  *http.Server
	serving sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener     // Guarded by mu: nil before listen.
	pass     map[string]*pass // Guarded by mu: by the name that a page logs in with.
}

// pass lets a page out.
type pass struct {
	name, word string
	via        *url.URL // the crawl's proxy for the page's request; nil: none

	mu     sync.Mutex
	failed map[string]error // Guarded by mu: by host:port, why no connection could be made.
}

type passKey struct{}

func newProxy(env *crawl.Env) (*proxy, error) {
	dialer, err := downloader.NewDialer(env)
	if err != nil {
		return nil, err
	}
	p := &proxy{dialer: dialer, pass: make(map[string]*pass)}
	if handshakes(&env.Settings.Download) {
		if p.shown, err = newIdentity(); err != nil {
			return nil, errors.Join(err, dialer.Close())
		}
	}
	p.forward = &httputil.ReverseProxy{
		Transport: dialer, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.RawQuery, r.Out.Host = r.In.URL.RawQuery, r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			r.Context().Value(passKey{}).(*pass).note(r.URL.Host, "80", err)
			w.Header().Set(failedHeader, "1")
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: 30 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	return p, nil
}

// listen starts the proxy, if it does not run.
func (p *proxy) listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.listener = l
	p.serving.Go(func() { _ = p.server.Serve(l) })
	return nil
}

func (p *proxy) url() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return "http://" + p.listener.Addr().String()
}

// close cuts all connections.
func (p *proxy) close() error {
	err := p.server.Close()
	err = errors.Join(err, p.dialer.Close())
	p.serving.Wait()
	return err
}

// let makes a pass for a page, whose connections go through via if that is not nil.
func (p *proxy) let(via *url.URL) *pass {
	a := &pass{name: rand.Text(), word: rand.Text(), via: via, failed: make(map[string]error)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pass[a.name] = a
	return a
}

// revoke takes a pass back.
func (p *proxy) revoke(a *pass) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pass, a.name)
}

// of returns the pass that a request has, or nil.
func (p *proxy) of(r *http.Request) *pass {
	basic := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	name, word, ok := basic.BasicAuth()
	if !ok {
		return nil
	}
	p.mu.Lock()
	a := p.pass[name]
	p.mu.Unlock()
	if a == nil || subtle.ConstantTimeCompare([]byte(a.word), []byte(word)) != 1 {
		return nil
	}
	return a
}

// ServeHTTP lets a request out.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := p.of(r)
	ctx := r.Context()
	if a != nil && a.via != nil {
		ctx = crawl.WithProxy(ctx, a.via)
	}
	switch {
	case a == nil:
		w.Header().Set("Proxy-Authenticate", `Basic realm="crawl"`)
		w.WriteHeader(http.StatusProxyAuthRequired)
	case r.Method == http.MethodConnect:
		p.tunnel(ctx, w, r, a)
	case r.URL.Scheme != "http" || r.URL.Host == "":
		w.WriteHeader(http.StatusBadRequest)
	default:
		p.forward.ServeHTTP(w, r.WithContext(context.WithValue(ctx, passKey{}, a)))
	}
}

// tunnel connects the browser with a host, for TLS and web sockets.
func (p *proxy) tunnel(ctx context.Context, w http.ResponseWriter, r *http.Request, a *pass) {
	raw, err := p.dialer.Dial(ctx, "tcp", r.Host)
	if err != nil {
		a.note(r.Host, "443", err)
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer raw.Close()
	hijacked, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer hijacked.Close()
	if _, err := io.WriteString(hijacked, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	var near, far net.Conn = &readConn{hijacked, buffered.Reader}, raw
	if p.shown != nil {
		if near, far, err = p.between(ctx, near.(*readConn), raw, r.Host, a); err != nil {
			return
		}
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(near, far)
		_ = near.Close()
	}()
	_, _ = io.Copy(far, near)
	_ = far.Close()
	<-back
}

// note keeps why a host could not be connected to.
func (a *pass) note(host, port string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed[withPort(host, port)] = err
}

// why returns the reason for which a host could not be connected to, or nil.
func (a *pass) why(host, scheme string) error {
	port := "80"
	if scheme == "https" {
		port = "443"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed[withPort(host, port)]
}

func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(strings.Trim(host, "[]"), port)
	}
	return strings.ToLower(host)
}

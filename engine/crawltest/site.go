package crawltest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/big"
	"mime"
	"net"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Site answers a crawl's requests. Make one with [Handler] or [Folder]; it may serve several crawls, one after the other or at once.
type Site struct{ *site }

// Handler is a site whose requests a handler answers; r.Host says which host is asked.
func Handler(h http.Handler) Site {
	return Site{&site{handler: h, hosts: make(map[string]*host)}}
}

// Folder is a site of saved pages. A request for http://host/a/b?q=1 is answered by the first of these files that is there:
//
//	host/a/b?q=1   host/a/b   host/a/b.html   host/a/b/index.html
//	a/b?q=1        a/b        a/b.html        a/b/index.html
//
// so a folder may hold one site or several. Anything else is 404.
func Folder(dir string) Site { return Handler(folder{os.DirFS(dir)}) }

type site struct {
	handler http.Handler

	mu    sync.Mutex
	asked []Asked          // Guarded by mu.
	hosts map[string]*host // Guarded by mu.
	holds []*hold          // Guarded by mu.
	conns int              // Guarded by mu: connections made.
	open  int              // Guarded by mu: those that the crawl has not closed.
	fails map[string]error // Guarded by mu: hosts without connections.

	misery *misery // nil unless Misery made the site
}

// Asked is one request that arrived at the site.
type Asked struct {
	Method string
	URL    string
	Header http.Header
	Body   []byte
	At     time.Time
}

type host struct {
	arrivals  []time.Time
	now, most int
}

type hold struct {
	match func(*http.Request) bool
	free  chan struct{}
	once  sync.Once // closes free
	here  chan struct{}
}

// Asked are the requests that have arrived, in order.
func (s *site) Asked() []Asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Asked(nil), s.asked...)
}

// AskedURLs are the URLs that were asked, in order, without robots.txt.
func (s *site) AskedURLs() []string {
	var urls []string
	for _, a := range s.Asked() {
		if !strings.HasSuffix(a.URL, "/robots.txt") {
			urls = append(urls, a.URL)
		}
	}
	return urls
}

// Arrivals are the times at which requests arrived for a host, robots.txt included.
func (s *site) Arrivals(hostname string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.hosts[hostname]; h != nil {
		return append([]time.Time(nil), h.arrivals...)
	}
	return nil
}

// MostAtOnce is the most requests that were being answered at once for a host; "" is all hosts together.
func (s *site) MostAtOnce(hostname string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.hosts[hostname]; h != nil {
		return h.most
	}
	return 0
}

// Connections is how many connections were made.
func (s *site) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

// OpenConnections is how many of them are open. After a crawl it is 0.
func (s *site) OpenConnections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// count counts a connection while the crawl has it open.
func (s *site) count(c net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns++
	s.open++
	return &counted{Conn: c, site: s}, nil
}

// counted is the crawl's end of a connection.
type counted struct {
	net.Conn
	site *site
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() {
		c.site.mu.Lock()
		defer c.site.mu.Unlock()
		c.site.open--
	})
	return c.Conn.Close()
}

// Refuse makes connections to a host fail from now on: with err, or if that is nil as where nobody listens, syscall.ECONNREFUSED. A host that does not exist is
// one that fails with a [*net.DNSError].
func (s *site) Refuse(hostname string, err error) {
	if err == nil {
		err = &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails == nil {
		s.fails = make(map[string]error)
	}
	s.fails[hostname] = err
}

// A Held is a request, or several, that the site does not answer yet.
type Held struct{ h *hold }

// Hold keeps the requests whose URL ends in suffix from being answered until Release. A test that ends releases them.
func (s *site) Hold(suffix string) Held {
	h := &hold{
		match: func(r *http.Request) bool { return strings.HasSuffix(urlOf(r), suffix) },
		free:  make(chan struct{}), here: make(chan struct{}, 1024),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds = append(s.holds, h)
	return Held{h}
}

// Wait returns when one more request has arrived to be held.
func (h Held) Wait() { <-h.h.here }

// Release lets the held requests be answered, and all that come later. It may be called more than once.
func (h Held) Release() { h.h.once.Do(func() { close(h.h.free) }) }

func urlOf(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + r.URL.RequestURI()
}

// ServeHTTP notes the request, waits while it is held, and answers.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	name := r.Host
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	now := time.Now()
	s.mu.Lock()
	s.asked = append(s.asked, Asked{r.Method, urlOf(r), r.Header.Clone(), body, now})
	var held *hold
	for _, h := range s.holds {
		if h.match(r) {
			held = h
		}
	}
	here := []*host{s.host(name), s.host("")}
	for _, h := range here {
		h.arrivals = append(h.arrivals, now)
		h.now++
		h.most = max(h.most, h.now)
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, h := range here {
			h.now--
		}
	}()
	if held != nil {
		select {
		case held.here <- struct{}{}:
		case <-held.free: // and nobody waits to hear of so many
		case <-r.Context().Done():
			return
		}
		select {
		case <-held.free:
		case <-r.Context().Done():
			return
		}
	}
	s.handler.ServeHTTP(w, r)
}

// host returns what is known of a host. Called with mu held.
func (s *site) host(name string) *host {
	h := s.hosts[name]
	if h == nil {
		h = &host{}
		s.hosts[name] = h
	}
	return h
}

// serve answers connections in memory until stop is called. dial makes them: port 443 speaks TLS.
func (s *site) serve() (dial func(ctx context.Context, network, addr string) (net.Conn, error), stop func(), err error) {
	cert, err := certificate()
	if err != nil {
		return nil, nil, err
	}
	plain, secure := newListener("http"), newListener("https")
	srv := &http.Server{
		Handler: s, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}},
	}
	var wg sync.WaitGroup
	var ills *ills
	if s.misery != nil {
		if ills, err = s.misery.serve(srv); err != nil {
			return nil, nil, err
		}
	}
	wg.Go(func() { _ = srv.Serve(plain) })
	wg.Go(func() { _ = srv.ServeTLS(secure, "", "") })
	dial = func(ctx context.Context, _, addr string) (net.Conn, error) {
		name, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		err = s.fails[name]
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if connect := ills.connect(name); connect != nil {
			return s.count(connect(ctx))
		}
		if port == "443" {
			return s.count(secure.dial(ctx))
		}
		return s.count(plain.dial(ctx))
	}
	return dial, func() {
		s.mu.Lock()
		holds := s.holds
		s.mu.Unlock()
		for _, h := range holds {
			Held{h}.Release()
		}
		_ = srv.Close()
		wg.Wait()
		ills.stop()
	}, nil
}

// certificate is one that nobody trusts, made anew: the harness turns verification off.
func certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("test certificate: %w", err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(100 * 365 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("test certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// listener is a network in memory.
type listener struct {
	name  addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

type addr string

func (a addr) Network() string { return "memory" }
func (a addr) String() string  { return string(a) }

func newListener(name string) *listener {
	return &listener{name: addr(name), conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *listener) dial(ctx context.Context) (net.Conn, error) {
	client, server := connPair(l.name)
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *listener) Addr() net.Addr { return l.name }

// folder answers from files.
type folder struct{ fs fs.FS }

func (f folder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	p := strings.Trim(path.Clean("/"+r.URL.Path), "/")
	names := []string{p, p + ".html", path.Join(p, "index.html")}
	if r.URL.RawQuery != "" {
		names = append([]string{p + "?" + r.URL.RawQuery}, names...)
	}
	for _, dir := range []string{host, ""} {
		for _, name := range names {
			if b, err := f.read(path.Join(dir, name)); err == nil {
				if t := typeOf(name); t != "" {
					w.Header().Set("Content-Type", t)
				}
				_, _ = w.Write(b)
				return
			}
		}
	}
	http.NotFound(w, r)
}

func (f folder) read(name string) ([]byte, error) {
	if name == "" || !fs.ValidPath(name) {
		return nil, errors.New("no name")
	}
	info, err := fs.Stat(f.fs, name)
	if err != nil || !info.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	return fs.ReadFile(f.fs, name)
}

// typeOf is by the name's extension, which may stand before a query; "" lets the bytes decide.
func typeOf(name string) string {
	name, _, _ = strings.Cut(name, "?")
	return mime.TypeByExtension(path.Ext(name))
}

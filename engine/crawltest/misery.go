package crawltest

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// A Pathology is one thing that servers do to crawlers. It has a host of its own, so that what it does to its connections is done to nobody else's.
type Pathology struct {
	// Name is the first word of its host: "chunk-endless".
	Name string
	// URL is where it is met. Any other path of the host does as well, but for robots.txt, which is 404 unless it is what ails.
	URL string
	// Does says what the server does.
	Does string
	// Method of the request that meets it. "" is GET.
	Method string
	// Post is how many bytes that request must bring. 0 is none.
	Post int
	// Proxy is the URL of the proxy that is what ails; the URL is then that of a host of [Misery]'s handler. "" is none.
	Proxy string
}

// Request is one that meets the pathology.
func (p Pathology) Request(with ...func(*crawl.Request)) *crawl.Request {
	return crawl.Get(p.URL, append([]func(*crawl.Request){func(req *crawl.Request) {
		req.Method = p.Method
		if p.Post > 0 {
			req.Body = bytes.Repeat([]byte("x"), p.Post)
		}
		if p.Proxy != "" {
			req.Knobs = &crawl.Knobs{Proxy: p.Proxy}
		}
	}}, with...)...)
}

// Pathologies are all that [Misery] has, in the order of a response's life: the connection, TLS, HTTP/2, the headers, the length and chunks of the body, its encoding, what
// the page leads to, what it asks to wait for, its cookies, its content, robots.txt, and proxies.
func Pathologies() []Pathology {
	var all []Pathology
	for _, i := range catalogue() {
		all = append(all, i.pathology())
	}
	return all
}

// Misery is a site where everything goes wrong: each of [Pathologies] at its host under misery.test. All other hosts are answered by h, or if that is nil with 404.
//
// Some heal after a while, so each test wants a site of its own. Those that take their time do so in real time outside of testing/synctest: up to Download.Timeout.
//
// The certificates of the hosts are verified: [Run] trusts the authority that signs those that are not themselves the fault.
func Misery(h http.Handler) Site {
	if h == nil {
		h = http.NotFoundHandler()
	}
	m := &misery{healthy: h, ills: make(map[string]ill), authority: sync.OnceValues(newAuthority), met: make(map[string]int)}
	for _, i := range catalogue() {
		m.ills[i.name] = i
	}
	s := Handler(m)
	s.misery = m
	return s
}

// miseryDomain is that of the pathologies' hosts. The top level domain is reserved (RFC 6761).
const miseryDomain = ".misery.test"

// An ill is how a pathology comes about. One of answer, speak and dial is set, or secure alone: then the page is a good one.
type ill struct {
	name, does string
	scheme     string // "" is http
	proxy      bool   // it is one
	method     string
	post       int

	answer func(v *visit)                                     // answers a request
	robots bool                                               // robots.txt too
	speak  func(ctx context.Context, m *misery, c net.Conn)   // does all that is done on a connection
	dial   func(ctx context.Context) (net.Conn, error)        // makes the connection
	secure func(ca *authority, host string, conf *tls.Config) // changes what the handshake is done with
}

func (i *ill) pathology() Pathology {
	scheme := i.scheme
	if scheme == "" {
		scheme = "http"
	}
	if i.proxy {
		return Pathology{Name: i.name, URL: scheme + "://behind.test/" + i.name, Does: i.does, Proxy: "http://" + i.name + miseryDomain + ":3128"}
	}
	return Pathology{Name: i.name, URL: scheme + "://" + i.name + miseryDomain + "/", Does: i.does, Method: i.method, Post: i.post}
}

func catalogue() []ill {
	return slices.Concat(
		illConnections(), illHandshakes(), illHTTP2(), illStatuses(), illHeaders(), illLengths(), illChunks(), illEncodings(),
		illRedirects(), illRetries(), illCookies(), illPages(), illRobots(), illProxies(),
	)
}

type misery struct {
	healthy   http.Handler
	ills      map[string]ill
	authority func() (*authority, error)

	mu  sync.Mutex
	met map[string]int // Guarded by mu: how many requests each has had.
}

// of returns a host's pathology.
func (m *misery) of(hostname string) (ill, bool) {
	name, ok := strings.CutSuffix(hostname, miseryDomain)
	if !ok {
		return ill{}, false
	}
	i, ok := m.ills[name]
	return i, ok
}

// trusted is a file with the authority's certificate.
func (m *misery) trusted(t testing.TB) string {
	t.Helper()
	ca, err := m.authority()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(file, ca.pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (m *misery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.Host
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	i, ok := m.of(name)
	switch {
	case !ok:
		m.healthy.ServeHTTP(w, r)
		return
	case r.URL.Path == "/robots.txt" && !i.robots:
		http.NotFound(w, r)
		return
	case i.answer == nil:
		good(&visit{w: w, r: r})
		return
	}
	here := r.Context().Value(illsKey{}).(*ills)
	if !here.begin() {
		return
	}
	defer here.end()
	m.mu.Lock()
	m.met[i.name]++
	n := m.met[i.name]
	m.mu.Unlock()
	i.answer(&visit{w: w, r: r, number: n})
}

// ills are what is going on at a misery's hosts during one crawl.
type ills struct {
	misery *misery
	ctx    context.Context // Ends when the crawl has ended.
	cancel context.CancelFunc

	mu   sync.Mutex
	idle *sync.Cond
	busy int // Guarded by mu: -1 when it is over.
}

type illsKey struct{}

// serve lets a server show the faults of TLS, and tells its handlers when the crawl has ended.
func (m *misery) serve(srv *http.Server) (*ills, error) {
	ca, err := m.authority()
	if err != nil {
		return nil, err
	}
	s := &ills{misery: m}
	s.idle = sync.NewCond(&s.mu)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	srv.BaseContext = func(net.Listener) context.Context { return context.WithValue(s.ctx, illsKey{}, s) }
	srv.TLSConfig.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		conf := ca.config(hello.ServerName, "h2", "http/1.1")
		switch i, _ := m.of(hello.ServerName); {
		case i.secure != nil:
			i.secure(ca, hello.ServerName, conf)
		case i.answer != nil:
			conf.NextProtos = []string{"http/1.1"} // it may take the connection over
		}
		return conf, nil
	}
	return s, nil
}

// connect returns how to connect to a host, nil for the usual way.
func (s *ills) connect(hostname string) func(context.Context) (net.Conn, error) {
	if s == nil {
		return nil
	}
	i, _ := s.misery.of(hostname)
	switch {
	case i.dial != nil:
		return i.dial
	case i.speak != nil:
		return func(context.Context) (net.Conn, error) {
			if !s.begin() {
				return nil, net.ErrClosed
			}
			client, server := connPair(addr(hostname))
			go func() {
				defer s.end()
				defer server.Close()
				defer context.AfterFunc(s.ctx, func() { _ = server.Close() })()
				i.speak(s.ctx, s.misery, server)
			}()
			return client, nil
		}
	}
	return nil
}

func (s *ills) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	s.busy++
	return true
}

func (s *ills) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	s.idle.Broadcast()
}

// stop ends what is going on and waits for it.
func (s *ills) stop() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel()
	for s.busy > 0 {
		s.idle.Wait()
	}
}

// A visit is one request to a host of misery.
type visit struct {
	w      http.ResponseWriter
	r      *http.Request
	number int // of the request among those to its host, from 1
}

// page is what a host shows where nothing is wrong.
const page = "<html><head><title>Well</title></head><body><h1>Well</h1></body></html>"

func good(v *visit) { v.page("text/html; charset=utf-8", page) }

// page answers with a page.
func (v *visit) page(contentType, body string) {
	v.w.Header().Set("Content-Type", contentType)
	fmt.Fprint(v.w, body)
}

// take takes the connection over: what is written to it is all that the client reads. It is closed when the visit is over.
func (v *visit) take() (c net.Conn, leave func()) {
	c, _, err := v.w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err) // connections of hosts that answer are HTTP/1.1
	}
	unfollow := context.AfterFunc(v.r.Context(), func() { _ = c.Close() })
	return c, func() { unfollow(); _ = c.Close() }
}

// pause waits for a time, or until the crawl has ended: then it returns false.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// says writes text to the connection and closes it.
func says(text string) func(*visit) {
	return func(v *visit) {
		c, leave := v.take()
		defer leave()
		fmt.Fprint(c, text)
	}
}

// repeats writes text, and then some more again and again, every time after a pause, until nobody listens any more.
func repeats(text, more string, after time.Duration) func(*visit) {
	return func(v *visit) {
		c, leave := v.take()
		defer leave()
		_, err := fmt.Fprint(c, text)
		for err == nil && (after == 0 || pause(v.r.Context(), after)) {
			_, err = fmt.Fprint(c, more)
		}
	}
}

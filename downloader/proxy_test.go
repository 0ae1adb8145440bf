package downloader_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
)

// A way is a proxy that tells what it was asked.
type way struct {
	url   *url.URL
	wants string // the Proxy-Authorization that it wants; "" is none

	mu    sync.Mutex
	conns int      // Guarded by mu: that were made to it.
	asked []string // Guarded by mu: "CONNECT host:port", "GET http://host/", with what of the headers matters here.
}

func (w *way) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, fmt.Sprintf(format, args...))
}

func (w *way) told() (asked []string, conns int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.asked...), w.conns
}

// newHTTPProxy starts one for http URLs and CONNECT. conf is its own TLS, or nil. status answers CONNECT in place of a connection, if it is not 0.
func newHTTPProxy(t testing.TB, conf *tls.Config, user string, status int) *way {
	t.Helper()
	w := &way{}
	if user != "" {
		w.wants = "Basic " + base64.StdEncoding.EncodeToString([]byte(user))
	}
	forward := &http.Transport{DisableCompression: true}
	t.Cleanup(forward.CloseIdleConnections)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.note("%s %s agent=%q auth=%q proto=%s", r.Method, r.RequestURI, r.Header.Get("User-Agent"), r.Header.Get("Proxy-Authorization"), r.Proto)
		if w.wants != r.Header.Get("Proxy-Authorization") {
			rw.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		if status != 0 {
			rw.WriteHeader(status)
			return
		}
		if r.Method == http.MethodConnect {
			connect(rw, r)
			return
		}
		r.Header.Del("Proxy-Authorization")
		resp, err := forward.RoundTrip(r)
		if err != nil {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		rw.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(rw, resp.Body)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			w.mu.Lock()
			w.conns++
			w.mu.Unlock()
		}
	}
	if conf == nil {
		s.Start()
	} else {
		s.EnableHTTP2, s.TLS = true, conf
		s.StartTLS()
	}
	t.Cleanup(s.Close)
	w.url = mustParse(t, s.URL)
	if name, password, ok := strings.Cut(user, ":"); ok {
		w.url.User = url.UserPassword(name, password)
	}
	return w
}

// connect is what CONNECT asks for.
func connect(rw http.ResponseWriter, r *http.Request) {
	far, err := net.Dial("tcp", r.Host)
	if err != nil {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	near, buffered, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		_ = far.Close()
		return
	}
	_, _ = io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n")
	tunnel(near, buffered.Reader, far)
}

// tunnel lets both sides talk until one hangs up.
func tunnel(near net.Conn, from io.Reader, far net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(far, from); _ = far.Close() })
	wg.Go(func() { _, _ = io.Copy(near, far); _ = near.Close() })
	wg.Wait()
}

// newSOCKSProxy starts one by RFC 1928 and 1929. reply answers in place of a connection, if it is not 0.
func newSOCKSProxy(t testing.TB, user string, reply byte) *way {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &way{url: &url.URL{Scheme: "socks5", Host: l.Addr().String()}}
	if name, password, ok := strings.Cut(user, ":"); ok {
		w.url.User = url.UserPassword(name, password)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.mu.Lock()
			w.conns++
			w.mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				w.socks(c, user, reply)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return w
}

func (w *way) socks(c net.Conn, user string, reply byte) {
	r := bufio.NewReader(c)
	block := func(n int) []byte {
		b := make([]byte, n)
		_, _ = io.ReadFull(r, b)
		return b
	}
	methods := block(int(block(2)[1]))
	switch {
	case user == "":
		_, _ = c.Write([]byte{5, 0})
	case strings.IndexByte(string(methods), 2) < 0:
		_, _ = c.Write([]byte{5, 0xff})
		return
	default:
		_, _ = c.Write([]byte{5, 2})
		name := string(block(int(block(2)[1])))
		password := string(block(int(block(1)[0])))
		if name+":"+password != user {
			_, _ = c.Write([]byte{1, 1})
			return
		}
		_, _ = c.Write([]byte{1, 0})
	}
	head := block(4)
	host := ""
	switch head[3] {
	case 1:
		host = net.IP(block(4)).String()
	case 3:
		host = string(block(int(block(1)[0])))
	}
	port := block(2)
	addr := net.JoinHostPort(host, strconv.Itoa(int(port[0])<<8|int(port[1])))
	w.note("%s", addr)
	if host == "site.example" {
		addr = "127.0.0.1" + addr[len(host):]
	}
	far, err := net.Dial("tcp", addr)
	if err != nil || reply != 0 {
		if err == nil {
			_ = far.Close()
		}
		_, _ = c.Write([]byte{5, max(reply, 1), 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	_, _ = c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	tunnel(c, r, far)
}

// target answers with its protocol, and what it may never see.
func target(t testing.TB, start func(*httptest.Server)) *httptest.Server {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto, r.Header.Get("Proxy-Authorization"))
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	start(s)
	t.Cleanup(s.Close)
	return s
}

func via(t testing.TB, d *downloader.Downloader, proxy *url.URL, address string) (*crawl.Response, error) {
	t.Helper()
	resp, err := d.Fetch(crawl.WithProxy(t.Context(), proxy), crawl.Get(address))
	require.Equal(t, err != nil, resp == nil)
	if resp != nil {
		t.Cleanup(func() { require.NoError(t, resp.Close()) })
	}
	return resp, err
}

// Every kind of proxy takes every kind of URL, with its own credentials, and keeps its connections.
func TestProxies(t *testing.T) {
	t.Parallel()
	plain, secure := target(t, plainHTTP), target(t, overHTTP2)
	ca := newAuthority(t)
	conf := ca.sign(t, "proxy.example", time.Now().Add(time.Hour))
	for name, test := range map[string]struct {
		start func(t *testing.T) *way
		http  string // what it is asked for an http URL
		https string
	}{
		"http": {
			func(t *testing.T) *way { return newHTTPProxy(t, nil, "", 0) },
			`GET ` + plain.URL + `/x agent="" auth="" proto=HTTP/1.1`, `CONNECT ` + secure.Listener.Addr().String() + ` agent="" auth="" proto=HTTP/1.1`,
		},
		"http, with a password": {
			func(t *testing.T) *way { return newHTTPProxy(t, nil, "me:s3cret", 0) },
			`GET ` + plain.URL + `/x agent="" auth="Basic bWU6czNjcmV0" proto=HTTP/1.1`,
			`CONNECT ` + secure.Listener.Addr().String() + ` agent="" auth="Basic bWU6czNjcmV0" proto=HTTP/1.1`,
		},
		"https, which speaks HTTP/2 too": {
			func(t *testing.T) *way {
				w := newHTTPProxy(t, conf, "me:s3cret", 0)
				w.url.Host = "proxy.example:" + w.url.Port()
				return w
			},
			`GET ` + plain.URL + `/x agent="" auth="Basic bWU6czNjcmV0" proto=HTTP/1.1`,
			`CONNECT ` + secure.Listener.Addr().String() + ` agent="" auth="Basic bWU6czNjcmV0" proto=HTTP/1.1`,
		},
		"socks5": {
			func(t *testing.T) *way { return newSOCKSProxy(t, "", 0) },
			plain.Listener.Addr().String(), secure.Listener.Addr().String(),
		},
		"socks5, with a password": {
			func(t *testing.T) *way { return newSOCKSProxy(t, "me:s3cret", 0) },
			plain.Listener.Addr().String(), secure.Listener.Addr().String(),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := test.start(t)
			d := newDownloader(t, func(s *crawl.Settings) { s.Download.ConnectTo = map[string]string{"proxy.example": "127.0.0.1"} })
			downloader.Trust(d, ca.cert, secure.Certificate())
			// Targets are on this machine: a connection that went past the proxy would answer as well, and is found by what the proxy was told.
			for range 2 {
				resp, err := via(t, d, w.url, plain.URL+"/x")
				require.NoError(t, err)
				require.Equal(t, "HTTP/1.1", text(t, resp))
			}
			asked, conns := w.told()
			require.Equal(t, 1, conns, "the connection is kept")
			require.Equal(t, test.http, asked[0])
			for range 2 {
				resp, err := via(t, d, w.url, secure.URL+"/x")
				require.NoError(t, err)
				require.Equal(t, "HTTP/2.0", text(t, resp))
			}
			more, conns := w.told()
			require.Equal(t, 2, conns)
			require.Equal(t, []string{test.https}, more[len(asked):])
		})
	}
}

// A SOCKS proxy looks names up itself: this machine's name server learns nothing.
func TestSOCKSResolves(t *testing.T) {
	t.Parallel()
	plain := target(t, plainHTTP)
	w := newSOCKSProxy(t, "", 0)
	d := newDownloader(t, nil)
	for _, scheme := range []string{"socks5", "socks5h"} {
		w.url.Scheme = scheme
		resp, err := via(t, d, w.url, "http://site.example:"+mustParse(t, plain.URL).Port()+"/")
		require.NoError(t, err)
		require.Equal(t, 200, resp.Status)
	}
	asked, _ := w.told()
	require.Equal(t, "site.example:"+mustParse(t, plain.URL).Port(), asked[0])
}

// net/http keeps HTTP/2 connections by host. That of one proxy, or of none, must never serve another.
func TestProxiesShareNoConnections(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var from []string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		from = append(from, r.RemoteAddr)
	}))
	overHTTP2(s)
	t.Cleanup(s.Close)
	d := newDownloader(t, nil)
	downloader.Trust(d, s.Certificate())
	one, two := newHTTPProxy(t, nil, "", 0), newHTTPProxy(t, nil, "", 0)
	other := *one.url
	other.User = url.User("another session")
	for _, proxy := range []*url.URL{nil, one.url, two.url, nil, one.url, two.url} {
		resp, err := via(t, d, proxy, s.URL)
		require.NoError(t, err)
		require.Equal(t, "HTTP/2.0", resp.Proto)
	}
	require.NotEqual(t, from[0], from[1])
	require.NotEqual(t, from[0], from[2])
	require.NotEqual(t, from[1], from[2])
	require.Equal(t, from[:3], from[3:], "each goes on with its own")
	_, err := via(t, d, &other, s.URL)
	requireKind(t, crawl.KindProxy, err) // it wants no credentials, and there was a new connection to say so
	require.Equal(t, 3, downloader.ProxiesKept(d))
}

func TestProxyFailures(t *testing.T) {
	t.Parallel()
	plain, secure := target(t, plainHTTP), target(t, overHTTP2)
	down, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, down.Close())
	answers := func(status int) func(*testing.T) *url.URL {
		return func(t *testing.T) *url.URL { return newHTTPProxy(t, nil, "", status).url }
	}
	replies := func(reply byte) func(*testing.T) *url.URL {
		return func(t *testing.T) *url.URL { return newSOCKSProxy(t, "", reply).url }
	}
	const refused, wants = "connection refused", "it wants other credentials: 407 Proxy Authentication Required"
	for name, test := range map[string]struct {
		proxy  func(*testing.T) *url.URL
		target string
		kind   crawl.Kind
		says   string
	}{
		"down, http":   {func(*testing.T) *url.URL { return &url.URL{Scheme: "http", Host: down.Addr().String()} }, plain.URL, crawl.KindProxy, refused},
		"down, https":  {func(*testing.T) *url.URL { return &url.URL{Scheme: "http", Host: down.Addr().String()} }, secure.URL, crawl.KindProxy, refused},
		"down, socks":  {func(*testing.T) *url.URL { return &url.URL{Scheme: "socks5", Host: down.Addr().String()} }, plain.URL, crawl.KindProxy, refused},
		"no such name": {func(*testing.T) *url.URL { return mustParse(t, "http://proxy.invalid:1") }, plain.URL, crawl.KindProxy, "proxy.invalid"},
		"not TLS": {func(t *testing.T) *url.URL {
			u := newHTTPProxy(t, nil, "", 0).url
			u.Scheme = "https"
			return u
		}, plain.URL, crawl.KindProxy, "tls handshake"},
		"wants a password, http":  {func(t *testing.T) *url.URL { return wrongPassword(newHTTPProxy(t, nil, "me:s3cret", 0)) }, plain.URL, crawl.KindProxy, wants},
		"wants a password, https": {func(t *testing.T) *url.URL { return wrongPassword(newHTTPProxy(t, nil, "me:s3cret", 0)) }, secure.URL, crawl.KindProxy, wants},
		"wants a password, socks": {func(t *testing.T) *url.URL { return wrongPassword(newSOCKSProxy(t, "me:s3cret", 0)) }, plain.URL, crawl.KindProxy, "authentication failed"},
		"wants any password": {func(t *testing.T) *url.URL {
			u := newSOCKSProxy(t, "me:s3cret", 0).url
			u.User = nil
			return u
		}, plain.URL, crawl.KindProxy, "no acceptable authentication methods"},
		"forbidden":               {answers(http.StatusForbidden), secure.URL, crawl.KindProxy, "it answered 403 Forbidden"},
		"odd":                     {answers(599), secure.URL, crawl.KindProxy, "it answered 599"},
		"host not reached":        {answers(http.StatusBadGateway), secure.URL, crawl.KindConnection, "it answered 502 Bad Gateway"},
		"host not found":          {answers(http.StatusServiceUnavailable), secure.URL, crawl.KindConnection, "it answered 503"},
		"host does not answer":    {answers(http.StatusGatewayTimeout), secure.URL, crawl.KindTimeout, "it answered 504"},
		"socks: failure":          {replies(1), plain.URL, crawl.KindProxy, "general SOCKS server failure"},
		"socks: not allowed":      {replies(2), plain.URL, crawl.KindProxy, "not allowed"},
		"socks: no network":       {replies(3), plain.URL, crawl.KindConnection, "network unreachable"},
		"socks: no host":          {replies(4), plain.URL, crawl.KindConnection, "host unreachable"},
		"socks: refused":          {replies(5), plain.URL, crawl.KindRefused, refused},
		"the host's certificate":  {answers(0), secure.URL, crawl.KindTLS, "certificate signed by unknown authority"},
		"certificate, over socks": {replies(0), secure.URL, crawl.KindTLS, "certificate signed by unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := test.proxy(t)
			_, err := via(t, newDownloader(t, nil), proxy, test.target)
			requireKind(t, test.kind, err)
			require.ErrorContains(t, err, test.says)
			require.ErrorContains(t, err, "proxy "+crawl.Redacted(proxy)+": ")
			require.NotContains(t, err.Error(), "guess")
		})
	}
}

func wrongPassword(w *way) *url.URL {
	w.url.User = url.UserPassword("me", "guess")
	return w.url
}

// A site's own 407, which a proxy's cannot be told from over http, is a response where there is no proxy.
func TestSitesOwn407(t *testing.T) {
	t.Parallel()
	own := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) })
	secure, plain := httptest.NewTLSServer(own), httptest.NewServer(own)
	t.Cleanup(secure.Close)
	t.Cleanup(plain.Close)
	proxies := map[string]*url.URL{plain.URL: nil, secure.URL: newHTTPProxy(t, nil, "", 0).url, plain.URL + "/socks": newSOCKSProxy(t, "", 0).url}
	d := newDownloader(t, nil)
	downloader.Trust(d, secure.Certificate())
	for address, proxy := range proxies {
		resp, err := via(t, d, proxy, address)
		require.NoError(t, err)
		require.Equal(t, http.StatusProxyAuthRequired, resp.Status)
	}
}

// A user who changes sessions by the proxy's password does not fill the memory.
func TestProxiesKeptAreBounded(t *testing.T) {
	t.Parallel()
	plain := target(t, plainHTTP)
	d := newDownloader(t, func(s *crawl.Settings) {
		s.Download.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, io.ErrUnexpectedEOF }
	})
	for i := range downloader.MaxProxies + 10 {
		_, err := via(t, d, &url.URL{Scheme: "http", Host: "proxy.example", User: url.User(strconv.Itoa(i))}, plain.URL)
		requireKind(t, crawl.KindProxy, err)
	}
	require.Equal(t, downloader.MaxProxies, downloader.ProxiesKept(d))
}

// Close cuts what goes through proxies too: goleak sees to the rest.
func TestCloseCutsProxies(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	d := newDownloader(t, nil)
	w := newSOCKSProxy(t, "", 0)
	failed := make(chan error, 1)
	go func() {
		_, err := d.Fetch(crawl.WithProxy(t.Context(), w.url), crawl.Get(s.URL))
		failed <- err
	}()
	<-asked
	require.NoError(t, d.Close())
	requireKind(t, crawl.KindConnection, <-failed)
	_, err := via(t, d, w.url, s.URL)
	require.ErrorIs(t, err, crawl.ErrStopping)
	_, err = via(t, d, &url.URL{Scheme: "http", Host: "new.example"}, s.URL)
	require.ErrorIs(t, err, crawl.ErrStopping)
}

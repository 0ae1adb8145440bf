package browser_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader/browser"
	"github.com/tulle-go/tulle/engine"
)

// A way is a proxy of somebody else's, to sites of the test. It notes what went through it.
type way struct {
	url  *url.URL
	to   map[string]string // addresses of sites, by port
	user string            // "name:password"; "" is none

	mu     sync.Mutex
	asked  []string // Guarded by mu: "GET http://host/path", "CONNECT host:port", "SOCKS host:port".
	broken int      // Guarded by mu: a status for all; 0 is none.
}

func (w *way) note(format string, args ...any) (broken int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, fmt.Sprintf(format, args...))
	return w.broken
}

func (w *way) told() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.asked...)
}

func (w *way) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = nil
}

func (w *way) breaks(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = status
}

// dial connects to where an address leads.
func (w *way) dial(addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || strings.HasPrefix(host, "nowhere.") || w.to[port] == "" {
		return nil, fmt.Errorf("no way to %s", addr)
	}
	return net.Dial("tcp", w.to[port])
}

func newWay(t *testing.T, user string, to map[string]string) *way {
	w := &way{to: to, user: user, url: new(url.URL)}
	if name, password, ok := strings.Cut(user, ":"); ok {
		w.url.User = url.UserPassword(name, password)
	}
	t.Helper()
	return w
}

// httpWay is a proxy of the kind http, or https if it has a configuration.
func httpWay(t *testing.T, conf *tls.Config, user string, to map[string]string) *way {
	w := newWay(t, user, to)
	forward := &http.Transport{DialContext: func(_ context.Context, _, addr string) (net.Conn, error) { return w.dial(addr) }}
	t.Cleanup(forward.CloseIdleConnections)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var wants string
		if user != "" {
			wants = "Basic " + base64.StdEncoding.EncodeToString([]byte(user))
		}
		if r.Header.Get("Proxy-Authorization") != wants {
			w.note("without a password: %s", r.RequestURI)
			rw.Header().Set("Proxy-Authenticate", "Basic")
			rw.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		if status := w.note("%s %s", r.Method, r.RequestURI); status != 0 {
			rw.WriteHeader(status)
			return
		}
		if r.Method != http.MethodConnect {
			r.Header.Del("Proxy-Authorization")
			resp, err := forward.RoundTrip(r)
			if err != nil {
				rw.WriteHeader(http.StatusBadGateway)
				return
			}
			defer resp.Body.Close()
			rw.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
			rw.WriteHeader(resp.StatusCode)
			_, _ = io.Copy(rw, resp.Body)
			return
		}
		far, err := w.dial(r.Host)
		if err != nil {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		near, buffered, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n")
		join(near, buffered, far)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.url.Scheme = "http"
	if conf != nil {
		s.TLS, w.url.Scheme = conf, "https"
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	w.url.Host = s.Listener.Addr().String()
	return w
}

// socksWay is a proxy of the kind socks5 (RFC 1928 and 1929).
func socksWay(t *testing.T, user string, to map[string]string) *way {
	w := newWay(t, user, to)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w.url.Scheme, w.url.Host = "socks5", l.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				w.socks(c)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return w
}

func (w *way) socks(c net.Conn) {
	r := bufio.NewReader(c)
	block := func(n int) []byte {
		b := make([]byte, n)
		_, _ = io.ReadFull(r, b)
		return b
	}
	methods := block(int(block(2)[1]))
	method := byte(0)
	if w.user != "" {
		method = 2
	}
	if !bytes.Contains(methods, []byte{method}) {
		_, _ = c.Write([]byte{5, 0xff})
		return
	}
	_, _ = c.Write([]byte{5, method})
	if w.user != "" {
		name := block(int(block(2)[1]))
		if string(name)+":"+string(block(int(block(1)[0]))) != w.user {
			_, _ = c.Write([]byte{1, 1})
			return
		}
		_, _ = c.Write([]byte{1, 0})
	}
	if block(4)[3] != 3 {
		return // no name: it was looked up on this side
	}
	host := string(block(int(block(1)[0])))
	port := block(2)
	addr := net.JoinHostPort(host, strconv.Itoa(int(port[0])<<8|int(port[1])))
	w.note("SOCKS %s", addr)
	far, err := w.dial(addr)
	if err != nil {
		_, _ = c.Write([]byte{5, 4, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	_, _ = c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	join(c, r, far)
}

// join lets both sides talk until one hangs up.
func join(near net.Conn, from io.Reader, far net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(far, from); _ = far.Close() })
	wg.Go(func() { _, _ = io.Copy(near, far); _ = near.Close() })
	wg.Wait()
}

// An authority signs certificates that no browser knows.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	of.Subject.CommonName = "the test's authority"
	der, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{key, cert}
}

// sign makes a server's configuration for names and addresses.
func (a *authority) sign(t *testing.T, names ...string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	of := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			of.IPAddresses = append(of.IPAddresses, ip)
		} else {
			of.DNSNames = append(of.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, of, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// file writes the authority's certificate, as Download.CAFile wants it.
func (a *authority) file(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600))
	return name
}

// secure serves the site by TLS and HTTP/2, and returns its address.
func (s *site) secure(t *testing.T, conf *tls.Config) string {
	t.Helper()
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2, server.TLS = true, conf
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// onlyTo refuses all connections but those to the proxies.
func onlyTo(ways ...*way) func(*crawl.Settings) {
	return func(set *crawl.Settings) {
		set.Download.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			for _, w := range ways {
				if addr == w.url.Host {
					return new(net.Dialer).DialContext(ctx, network, addr)
				}
			}
			return nil, &net.DNSError{Err: "nobody is to be asked but the proxy", Name: addr, IsNotFound: true}
		}
	}
}

// TestThroughProxies renders pages through each kind of proxy, with passwords, several at once: all that a page asks for goes through the one of its request, and so do its failures.
func TestThroughProxies(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.page("/p", `<p></p><script src="/s"></script><script>fetch('/x').then(r => r.text()).then(t => { document.querySelector('p').textContent += t + '!' })</script>`)
	s.HandleFunc("/s", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `document.querySelector('p').textContent = 'scripted '`)
	})
	s.HandleFunc("/x", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "fetched"+r.Header.Get("Proxy-Authorization"))
	})
	ca := newAuthority(t)
	to := map[string]string{"80": s.addr, "443": s.secure(t, ca.sign(t, "shop.example"))}
	ways := map[string]*way{
		"http":            httpWay(t, nil, "", to),
		"http, password":  httpWay(t, nil, "me:s3cret", to),
		"https, password": httpWay(t, ca.sign(t, "127.0.0.1"), "me:s3cret", to),
		"socks5":          socksWay(t, "", to),
		"socks5 password": socksWay(t, "me:s3cret", to),
	}
	var all []*way
	for _, w := range ways {
		all = append(all, w)
	}
	for _, ours := range []bool{true, false} { // whose handshakes with hosts
		d, logs := s.open(t, func(set *crawl.Settings) {
			onlyTo(all...)(set)
			if set.Download.InsecureTLS = !ours; ours {
				set.Download.CAFile = ca.file(t)
			}
		})
		throughAll(t, d, ways)
		require.Equal(t, 1, logs.FilterMessage("browser started").Len())
		// Without one nobody is asked.
		fails(t, d, get("http://shop.example/p", crawl.Render{}), crawl.KindDNS, "nobody is to be asked")
	}
}

// throughAll renders a page through each proxy, all at once, by http and https.
func throughAll(t *testing.T, d crawl.Fetcher, ways map[string]*way) {
	t.Helper()
	var wg sync.WaitGroup
	for name, w := range ways {
		wg.Go(func() {
			for _, scheme := range []string{"http", "https"} {
				resp, err := d.Fetch(crawl.WithProxy(t.Context(), w.url), get(scheme+"://shop.example/p", crawl.Render{WaitIdle: true}))
				if err != nil {
					t.Errorf("%s: %s: %v", name, scheme, err)
					continue
				}
				if text := resp.Text("p"); text != "scripted fetched!" {
					t.Errorf("%s: %s: the page says %q", name, scheme, text)
				}
				_ = resp.Close()
			}
		})
	}
	wg.Wait()
	for name, w := range ways {
		told := strings.Join(w.told(), "\n")
		w.forget()
		require.NotContains(t, told, "without a password", name)
		if w.url.Scheme == "socks5" {
			require.Contains(t, told, "SOCKS shop.example:80", name)
			require.Contains(t, told, "SOCKS shop.example:443", name)
			continue
		}
		for _, asked := range []string{"GET http://shop.example/p", "GET http://shop.example/s", "GET http://shop.example/x", "CONNECT shop.example:443"} {
			require.Contains(t, told, asked, name)
		}
	}
}

// TestProxyFailures tells a failure of a proxy's from that of the host behind it.
func TestProxyFailures(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.page("/p", `<p>p</p>`)
	var odd atomic.Int32
	s.HandleFunc("/407", func(w http.ResponseWriter, _ *http.Request) {
		odd.Add(1)
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.WriteHeader(http.StatusProxyAuthRequired)
		fmt.Fprint(w, "<p>an odd site")
	})
	to := map[string]string{"80": s.addr}
	plain, locked, gone := httpWay(t, nil, "", to), httpWay(t, nil, "me:s3cret", to), httpWay(t, nil, "", to)
	secret, socks := socksWay(t, "me:s3cret", to), socksWay(t, "", to)
	wrong := url.UserPassword("me", "wr0ng")
	locked.url.User, secret.url.User = wrong, wrong
	nobody := httptest.NewServer(nil)
	gone.url.Host = nobody.Listener.Addr().String()
	nobody.Close()
	d, _ := s.open(t, onlyTo(plain, locked, gone, secret, socks))
	for _, c := range []struct {
		w    *way
		url  string
		kind crawl.Kind
		says string
	}{
		{locked, "http://shop.example/p", crawl.KindProxy, "407"},
		{locked, "https://shop.example/p", crawl.KindProxy, "407"},
		{secret, "http://shop.example/p", crawl.KindProxy, "socks"},
		{secret, "https://shop.example/p", crawl.KindProxy, "socks"},
		{gone, "http://shop.example/p", crawl.KindProxy, "refused"},
		{gone, "https://shop.example/p", crawl.KindProxy, "refused"},
		{plain, "https://nowhere.example/p", crawl.KindConnection, "502"},
		{socks, "https://nowhere.example/p", crawl.KindConnection, "unreachable"},
		{socks, "http://nowhere.example/p", crawl.KindConnection, "unreachable"},
	} {
		_, err := d.Fetch(crawl.WithProxy(t.Context(), c.w.url), get(c.url, crawl.Render{}))
		var failed *crawl.DownloadError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, c.kind, failed.Kind, "%v", err)
		require.ErrorContains(t, err, c.says)
		require.NotContains(t, err.Error(), "wr0ng")
	}
	// A site that wants a proxy's password gets none, and is a page like any other.
	for _, via := range []*url.URL{nil, socks.url} {
		ctx := t.Context()
		if via != nil {
			ctx = crawl.WithProxy(ctx, via)
		}
		d := d
		if via == nil {
			d, _ = s.open(t, nil)
		}
		resp, err := d.Fetch(ctx, get("http://shop.example/407", crawl.Render{}))
		require.NoError(t, err)
		require.Equal(t, http.StatusProxyAuthRequired, resp.Status)
		require.Equal(t, "an odd site", resp.Text("p"))
		require.EqualValues(t, 1, odd.Swap(0))
		require.NoError(t, resp.Close())
	}
}

// TestGuardBehindProxies refuses addresses that are not public to a page whose proxy would ask them.
func TestGuardBehindProxies(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.page("/p", `<p>p</p><script>fetch('http://127.0.0.1/inner', {mode: 'no-cors'}).catch(() => { document.querySelector('p').textContent = 'refused' })</script>`)
	w := httpWay(t, nil, "", map[string]string{"80": s.addr, "443": s.addr})
	d, _ := s.open(t, func(set *crawl.Settings) {
		onlyTo(w)(set)
		set.Download.PublicOnly = true
	})
	ctx := crawl.WithProxy(t.Context(), w.url)
	for _, address := range []string{"http://10.0.0.1/p", "https://10.0.0.1/p"} {
		_, err := d.Fetch(ctx, get(address, crawl.Render{}))
		var failed *crawl.DownloadError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, crawl.KindNotPublic, failed.Kind, "%v", err)
	}
	resp, err := d.Fetch(ctx, get("http://shop.example/p", crawl.Render{WaitIdle: true}))
	require.NoError(t, err)
	require.NoError(t, resp.Close())
	for _, asked := range w.told() {
		require.Contains(t, asked, "shop.example")
	}
}

// TestCAFile holds rendered pages to the crawl's TLS: the file's authority is trusted, for its own names and what it has signed, and old versions are spoken.
func TestCAFile(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.page("/p", `<p></p><script>document.querySelector('p').textContent = performance.getEntriesByType('navigation')[0].nextHopProtocol</script>`)
	ca, stranger := newAuthority(t), newAuthority(t)
	// Whoever has no certificate of the authority's can still send that of the authority itself along.
	forged := stranger.sign(t, "forged.example")
	forged.Certificates[0].Certificate = append(forged.Certificates[0].Certificate, ca.cert.Raw)
	old := ca.sign(t, "old.example")
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	young := ca.sign(t, "young.example")
	young.MaxVersion = tls.VersionTLS12
	connect := map[string]string{
		"young.example:443": s.secure(t, young), "shop.example:443": s.secure(t, ca.sign(t, "shop.example")), "other.example:443": s.secure(t, ca.sign(t, "shop.example")),
		"forged.example:443": s.secure(t, forged), "old.example:443": s.secure(t, old),
	}
	open := func(change func(*crawl.DownloadSettings)) func(kind crawl.Kind, host, says string) {
		d, _ := s.open(t, func(set *crawl.Settings) {
			set.Download.Dial, set.Download.ConnectTo = nil, connect
			change(&set.Download)
		})
		return func(kind crawl.Kind, host, says string) {
			if kind != "" {
				fails(t, d, get("https://"+host+"/p", crawl.Render{}), kind, says)
				return
			}
			require.Equal(t, says, fetch(t, d, get("https://"+host+"/p", crawl.Render{})).Text("p"), host)
		}
	}
	ask := open(func(s *crawl.DownloadSettings) { s.CAFile = ca.file(t) })
	ask("", "shop.example", "h2")
	ask(crawl.KindTLS, "other.example", "not other.example")
	ask(crawl.KindTLS, "forged.example", "unknown authority")
	ask(crawl.KindTLS, "old.example", "protocol version")
	ask = open(func(s *crawl.DownloadSettings) { s.CAFile, s.MinTLS, s.DisableHTTP2 = ca.file(t), "1.0", true })
	ask("", "old.example", "http/1.1")
	ask("", "shop.example", "http/1.1")
	ask = open(func(s *crawl.DownloadSettings) { s.InsecureTLS, s.MinTLS, s.DisableHTTP2 = true, "1.0", true })
	ask("", "forged.example", "http/1.1")
	ask("", "old.example", "http/1.1")
	ask = open(func(s *crawl.DownloadSettings) { s.InsecureTLS, s.MinTLS = true, "1.3" })
	ask("", "forged.example", "h2")
	ask(crawl.KindTLS, "young.example", "protocol version")
	ask = open(func(s *crawl.DownloadSettings) { s.CAFile, s.MinTLS = ca.file(t), "1.3" })
	ask(crawl.KindTLS, "young.example", "protocol version")
}

// TestRotation renders through the crawl's proxies as it asks for other pages: one that fails rests, and its pages go through another.
func TestRotation(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := serve(t)
	s.page("/robots.txt", "")
	for i := range 6 {
		s.page("/"+strconv.Itoa(i), "<p>p"+strconv.Itoa(i))
	}
	to := map[string]string{"80": s.addr}
	good, bad := httpWay(t, nil, "me:s3cret", to), httpWay(t, nil, "", to)
	bad.breaks(http.StatusProxyAuthRequired)
	set := crawl.Settings{Parts: crawl.Parts{Renderer: browser.Open}, ConcurrentRequests: 1}
	onlyTo(good, bad)(&set)
	set.Proxy = crawl.ProxySettings{URLs: []string{bad.url.String(), good.url.String()}, ByTurn: true, Failures: 2}
	set.Retry.Times = 3
	var mu sync.Mutex
	texts := make(map[string]bool)
	res, err := engine.Run(t.Context(), &crawl.Spider{
		Name: "s",
		Start: func(_ context.Context, out *crawl.Out) error {
			for i := range 6 {
				out.Request(get("http://shop.example/"+strconv.Itoa(i), crawl.Render{}))
			}
			return nil
		},
		Parse: func(_ context.Context, r *crawl.Response, _ *crawl.Out) error {
			mu.Lock()
			defer mu.Unlock()
			texts[r.Text("p")] = true
			return nil
		},
	}, set)
	require.NoError(t, err)
	require.Equal(t, "finished", res.Reason)
	require.Len(t, texts, 6)
	require.EqualValues(t, 1, res.Stats.Get("proxy/rest_count"))
	require.Len(t, bad.told(), 2)
}

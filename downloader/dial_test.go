package downloader_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
)

func TestConnectTo(t *testing.T) {
	t.Parallel()
	table := map[string]string{
		"shop.localhost:80":   "127.0.0.1:8080",
		"Any.Example":         "10.0.0.1",
		"any.example:81":      "[::1]:82",
		"[2001:DB8::1]":       "v6.example:83",
		"[2001:db8::2]:84":    "[2001:db8::3]",
		"bücher.example":      "under_score.example",
		"chain.example":       "shop.localhost:80",
		"to-the-same.example": "to-the-same.example:85",
	}
	for asked, connected := range map[string]string{
		"http://shop.localhost/":           "127.0.0.1:8080",
		"http://SHOP.localhost:80/":        "127.0.0.1:8080",
		"http://shop.localhost:81/":        "shop.localhost:81",
		"https://shop.localhost/":          "shop.localhost:443",
		"http://sub.shop.localhost/":       "sub.shop.localhost:80",
		"http://any.example/":              "10.0.0.1:80",
		"https://ANY.example/":             "10.0.0.1:443",
		"http://any.example:81/":           "[::1]:82",
		"http://[2001:db8::1]/":            "v6.example:83",
		"http://[2001:DB8::2]:84/":         "[2001:db8::3]:84",
		"http://[2001:db8::2]/":            "[2001:db8::2]:80",
		"http://xn--bcher-kva.example/":    "under_score.example:80",
		"http://BÜCHER.example/":           "under_score.example:80",
		"http://chain.example/":            "shop.localhost:80",
		"http://to-the-same.example:1234/": "to-the-same.example:85",
		"http://other.example:8080/":       "other.example:8080",
	} {
		t.Run(asked, func(t *testing.T) {
			t.Parallel()
			enough := errors.New("enough")
			var got string
			d := newDownloader(t, func(s *crawl.Settings) {
				s.Download.ConnectTo = table
				s.Download.Dial = func(_ context.Context, _, addr string) (net.Conn, error) {
					got = addr
					return nil, enough
				}
			})
			_, err := fetch(t, d, &crawl.Request{URL: mustParse(t, asked)})
			require.ErrorIs(t, err, enough)
			require.Equal(t, connected, got)
		})
	}
}

// TestDialPanics has a Download.Dial that panics: each request fails of it, and the process lives.
func TestDialPanics(t *testing.T) {
	t.Parallel()
	d := newDownloader(t, func(s *crawl.Settings) {
		s.Download.Dial = func(context.Context, string, string) (net.Conn, error) { panic("oh no") }
	})
	for _, u := range []string{"http://a.example/", "https://b.example/"} {
		_, err := fetch(t, d, crawl.Get(u))
		failed := requireKind(t, crawl.KindRequest, err)
		var p *crawl.PanicError
		require.ErrorAs(t, failed, &p)
		require.ErrorContains(t, failed, "download.dial: panic: oh no")
		require.Contains(t, string(p.Stack), "dial_test.go")
	}
}

func TestConnectToKeepsTheHost(t *testing.T) {
	t.Parallel()
	hosts := make(chan string, 1)
	s := newSite(t, func(c net.Conn, r *http.Request) bool {
		hosts <- r.Host
		return keeps(ok+"Content-Length: 0\r\n\r\n")(c, r)
	})
	d := newDownloader(t, func(set *crawl.Settings) {
		set.Download.ConnectTo = map[string]string{"shop.localhost": strings.TrimPrefix(s.url, "http://")}
	})
	resp, err := fetch(t, d, crawl.Get("http://shop.localhost/product/1"))
	require.NoError(t, err)
	require.Equal(t, "http://shop.localhost/product/1", resp.URL.String())
	require.Equal(t, "shop.localhost", <-hosts)
}

func TestMalformedConnectTo(t *testing.T) {
	t.Parallel()
	for _, entry := range [][2]string{
		{"", "127.0.0.1"}, {"h", ""}, {":80", "127.0.0.1"}, {"h", ":80"}, {"h:", "127.0.0.1"}, {"h:0", "127.0.0.1"}, {"h:65536", "127.0.0.1"},
		{"h:http", "127.0.0.1"}, {"h", "127.0.0.1:x"}, {"http://h", "127.0.0.1"}, {"h/path", "127.0.0.1"}, {"h h", "127.0.0.1"}, {"user@h", "127.0.0.1"},
		{"::1", "127.0.0.1"}, {"h", "::1"}, {"h", "2001:db8::1"}, {"[::1", "h"}, {"::1]", "h"}, {"[h]", "h"}, {"[127.0.0.1]:80", "h"}, {"[]", "h"}, {"[::1]x", "h"},
		{"ü ü", "127.0.0.1"},
	} {
		_, err := downloader.New(newEnv(t, func(s *crawl.Settings) {
			s.Download.ConnectTo = map[string]string{"good.example": "127.0.0.1:80", entry[0]: entry[1]}
		}))
		require.Error(t, err, entry)
		require.ErrorContains(t, err, `download.connect_to "`+entry[0]+`" to "`+entry[1]+`": `)
		require.NotContains(t, err.Error(), "good.example")
	}
	_, err := downloader.New(newEnv(t, func(s *crawl.Settings) {
		s.Download.ConnectTo = map[string]string{"h.example:80": "127.0.0.1", "H.example:80": "127.0.0.2", "x:y": "z"}
	}))
	require.ErrorContains(t, err, "h.example:80 has two entries")
	require.ErrorContains(t, err, `"x:y"`, "all that is wrong is said")
}

func TestNoConnection(t *testing.T) {
	t.Parallel()
	d := newDownloader(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = fetch(t, d, crawl.Get("http://"+l.Addr().String()+"/"))
	requireKind(t, crawl.KindRefused, err)

	// No name has two dots in a row: this needs no name server.
	_, err = fetch(t, d, &crawl.Request{URL: mustParse(t, "http://nowhere..invalid/")})
	requireKind(t, crawl.KindDNS, err)

	// What is not there to be asked: a name server that does not answer.
	d = newDownloader(t, func(s *crawl.Settings) {
		s.Download.Dial = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "i/o timeout", Name: "h", IsTimeout: true}}
		}
	})
	_, err = fetch(t, d, crawl.Get("http://h/"))
	requireKind(t, crawl.KindTimeout, err)
}

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a := &authority{key: key}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	return a
}

func (a *authority) sign(t testing.TB, name string, until time.Time) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until,
	}, a.cert, key.Public(), a.key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	tomorrow, yesterday := time.Now().Add(24*time.Hour), time.Now().Add(-time.Hour)
	for name, test := range map[string]struct {
		conf     func() *tls.Config
		insecure bool
		stranger bool // the authority is not known
		kind     crawl.Kind
		cause    any
	}{
		"good":                {conf: func() *tls.Config { return ca.sign(t, "h.example", tomorrow) }},
		"unknown authority":   {conf: func() *tls.Config { return ca.sign(t, "h.example", tomorrow) }, stranger: true, kind: crawl.KindTLS, cause: new(x509.UnknownAuthorityError)},
		"wrong host":          {conf: func() *tls.Config { return ca.sign(t, "other.example", tomorrow) }, kind: crawl.KindTLS, cause: new(x509.HostnameError)},
		"expired":             {conf: func() *tls.Config { return ca.sign(t, "h.example", yesterday) }, kind: crawl.KindTLS, cause: new(x509.CertificateInvalidError)},
		"all of it, accepted": {conf: func() *tls.Config { return ca.sign(t, "other.example", yesterday) }, stranger: true, insecure: true},
		"too old":             {conf: func() *tls.Config { c := ca.sign(t, "h.example", tomorrow); c.MaxVersion = tls.VersionTLS11; return c }, kind: crawl.KindTLS},
		"wants a certificate": {conf: func() *tls.Config {
			c := ca.sign(t, "h.example", tomorrow)
			c.ClientAuth = tls.RequireAnyClientCert
			return c
		}, kind: crawl.KindTLS},
		"no certificate at all": {conf: func() *tls.Config {
			return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none") }}
		}, kind: crawl.KindTLS},
		"not TLS": {kind: crawl.KindTLS, cause: new(tls.RecordHeaderError)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			if test.conf != nil {
				l = tls.NewListener(l, test.conf())
			}
			speak := keeps(ok + "Content-Length: 4\r\n\r\ngood")
			if test.conf == nil {
				l = greeter{l}
			}
			startSite(t, l, "https", speak)
			d := newDownloader(t, func(s *crawl.Settings) {
				s.Download.ConnectTo = map[string]string{"h.example": l.Addr().String()}
				s.Download.InsecureTLS = test.insecure
			})
			if !test.stranger {
				downloader.Trust(d, ca.cert)
			}
			for range 2 {
				resp, err := fetch(t, d, crawl.Get("https://h.example/"))
				if test.kind == "" {
					require.NoError(t, err)
					require.Equal(t, "good", text(t, resp))
					continue
				}
				requireKind(t, test.kind, err)
				if test.cause != nil {
					require.ErrorAs(t, err, test.cause)
				}
			}
		})
	}
}

// greeter speaks before it is spoken to, and not TLS.
type greeter struct{ net.Listener }

func (g greeter) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err == nil {
		_, err = io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n")
	}
	return c, err
}

// A server that hangs up in the handshake, as some do when they do not know the name.
func TestHandshakeCut(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	d := newDownloader(t, func(s *crawl.Settings) { s.Download.Dial = pipe(near) })
	go func() {
		_, _ = bufio.NewReader(far).ReadByte()
		_ = far.Close()
	}()
	_, err := fetch(t, d, crawl.Get("https://h.example/"))
	requireKind(t, crawl.KindTLS, err)
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "good") })
	mux.HandleFunc("/agent", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.UserAgent()) })
	mux.HandleFunc("/post", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	mux.HandleFunc("/304", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNotModified) })
	mux.HandleFunc("/206", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusPartialContent) })
	mux.HandleFunc("/length", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 100_000)) })
	mux.HandleFunc("/abort", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/cut", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) { <-stop })
	mux.HandleFunc("/drip", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	})
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(func() { close(stop); server.Close() })
	base := func(s *crawl.Settings) { s.Download.InsecureTLS = true; s.Download.MaxSize = 50_000 }

	t.Run("bodies", func(t *testing.T) {
		t.Parallel()
		d := newDownloader(t, base)
		for path, want := range map[string]string{"/good": "good", "/agent": "", "/304": "", "/post": "hello"} {
			req := crawl.Get(server.URL + path)
			if path == "/post" {
				req.Method, req.Body = http.MethodPost, []byte("hello")
			}
			resp, err := fetch(t, d, req)
			require.NoError(t, err)
			require.Equal(t, "HTTP/2.0", resp.Proto)
			require.Equal(t, want, text(t, resp), path)
		}
		resp, err := fetch(t, d, &crawl.Request{URL: mustParse(t, server.URL+"/length"), Method: http.MethodHead})
		require.NoError(t, err)
		require.Zero(t, resp.Body.Size())
	})
	t.Run("errors", func(t *testing.T) {
		t.Parallel()
		d := newDownloader(t, base)
		for path, kind := range map[string]crawl.Kind{
			"/length": crawl.KindTruncated, "/cut": crawl.KindTruncated, "/abort": crawl.KindConnection, "/large": crawl.KindTooLarge,
			"/hang": crawl.KindTimeout, "/drip": crawl.KindTimeout, "/206": crawl.KindConnection,
		} {
			req := crawl.Get(server.URL + path)
			if kind == crawl.KindTimeout {
				req.Knobs = &crawl.Knobs{Timeout: 50 * time.Millisecond}
			}
			_, err := fetch(t, d, req)
			requireKind(t, kind, err)
			requireGood(t, d, server.URL)
		}
	})
	t.Run("cut is allowed", func(t *testing.T) {
		t.Parallel()
		d := newDownloader(t, func(s *crawl.Settings) { base(s); s.Download.AllowTruncated = true })
		for _, path := range []string{"/cut", "/length"} {
			resp, err := fetch(t, d, crawl.Get(server.URL+path))
			require.NoError(t, err)
			require.Equal(t, "half", text(t, resp))
			require.Equal(t, []string{"truncated"}, resp.Flags)
		}
	})
	t.Run("disabled", func(t *testing.T) {
		t.Parallel()
		d := newDownloader(t, func(s *crawl.Settings) { base(s); s.Download.DisableHTTP2 = true })
		resp, err := fetch(t, d, crawl.Get(server.URL+"/good"))
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1", resp.Proto)
		require.Equal(t, "good", text(t, resp))
	})
}

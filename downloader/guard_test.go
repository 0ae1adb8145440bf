package downloader_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
)

// TestPublicAddresses has the first and last address of each network that is not public, the ones beside them, and the forms in which IPv6 carries IPv4.
func TestPublicAddresses(t *testing.T) {
	t.Parallel()
	for text, public := range map[string]bool{
		"0.0.0.0": false, "0.255.255.255": false, "1.0.0.0": true,
		"9.255.255.255": true, "10.0.0.0": false, "10.255.255.255": false, "11.0.0.0": true,
		"100.63.255.255": true, "100.64.0.0": false, "100.100.100.200": false, "100.127.255.255": false, "100.128.0.0": true,
		"126.255.255.255": true, "127.0.0.1": false, "127.16.0.1": false, "127.255.255.255": false, "128.0.0.0": true,
		"168.63.129.15": true, "168.63.129.16": false, "168.63.129.17": true,
		"169.253.255.255": true, "169.254.0.0": false, "169.254.169.254": false, "169.254.255.255": false, "169.255.0.0": true,
		"172.15.255.255": true, "172.16.0.0": false, "172.31.255.255": false, "172.32.0.0": true,
		"191.255.255.255": true, "192.0.0.0": false, "192.0.0.192": false, "192.0.0.255": false, "192.0.1.0": true, "192.0.2.1": false, "192.0.3.0": true,
		"192.18.0.1": true, "192.88.98.255": true, "192.88.99.1": false, "192.88.100.0": true,
		"192.167.255.255": true, "192.168.0.0": false, "192.168.255.255": false, "192.169.0.0": true,
		"198.17.255.255": true, "198.18.0.0": false, "198.19.255.255": false, "198.20.0.0": true,
		"198.51.99.255": true, "198.51.100.7": false, "198.51.101.0": true, "203.0.112.255": true, "203.0.113.7": false, "203.0.114.0": true,
		"223.255.255.255": true, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"8.8.8.8": true, "93.184.215.14": true,

		"::": false, "::1": false, "::2": false, "::10.0.0.1": false, "::8.8.8.8": false, // the last is the old IPv4-compatible form
		"::ffff:10.0.0.1": false, "::ffff:127.0.0.1": false, "::ffff:8.8.8.8": true, "::ffff:0:8.8.8.8": false,
		"64:ff9b::10.0.0.1": false, "64:ff9b::169.254.169.254": false, "64:ff9b::8.8.8.8": true, "64:ff9b::1:8.8.8.8": false, "64:ff9b:1::8.8.8.8": false,
		"100::1": false, "1fff:ffff::1": false, "2000::1": true,
		"2001::1": false, "2001:0:4136:e378:8000:63bf:3fff:fdd2": false, "2001:2::1": false, "2001:20::1": false, "2001:1ff:ffff::1": false, "2001:200::1": true,
		"2001:db7:ffff::1": true, "2001:db8::1": false, "2001:db9::1": true, "2001:4860:4860::8888": true,
		"2002:a00:1::1": false, "2002:808:808::1": false, "2003::1": true, "2606:4700::6810:84e5": true,
		"3ffe:ffff::1": true, "3fff::1": false, "3fff:fff:ffff::1": false, "3fff:1000::1": true, "4000::1": false,
		"5f00::1": false, "fc00::1": false, "fd00:ec2::254": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "ff02::1": false, "ffff::1": false,
	} {
		require.Equal(t, public, downloader.Public(netip.MustParseAddr(text)), text)
	}
}

// guarded is a downloader that keeps to public addresses, and those of allow.
func guarded(t testing.TB, allow ...string) crawl.Fetcher {
	return newDownloader(t, func(s *crawl.Settings) { s.Download.PublicOnly, s.Download.AllowNets = true, allow })
}

// TestPublicOnly asks a real server on this machine, by all that leads there. Nothing arrives.
func TestPublicOnly(t *testing.T) {
	t.Parallel()
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	t.Cleanup(s.Close)
	port := s.Listener.Addr().(*net.TCPAddr).Port
	for _, host := range []string{"127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "[::1]", "[::]", "10.255.255.1"} {
		_, err := guarded(t).Fetch(t.Context(), crawl.Get(fmt.Sprintf("http://%s:%d/", host, port)))
		requireKind(t, crawl.KindNotPublic, err)
		require.ErrorContains(t, err, "is not public (download.public_only)")
	}
	_, err := guarded(t).Fetch(t.Context(), crawl.Get("https://127.0.0.1/"))
	requireKind(t, crawl.KindNotPublic, err)

	led := newDownloader(t, func(s *crawl.Settings) {
		s.Download.PublicOnly = true
		s.Download.ConnectTo = map[string]string{"public.example": fmt.Sprintf("127.0.0.1:%d", port)}
	})
	_, err = led.Fetch(t.Context(), crawl.Get("http://public.example/"))
	requireKind(t, crawl.KindNotPublic, err)
	require.Zero(t, asked)

	for _, allow := range []string{"127.0.0.1", "127.0.0.0/8"} {
		resp, err := guarded(t, "10.0.0.0/8", allow).Fetch(t.Context(), crawl.Get(s.URL))
		require.NoError(t, err)
		require.Equal(t, 200, resp.Status)
	}
	_, err = guarded(t, "127.0.0.2", "::/0").Fetch(t.Context(), crawl.Get(s.URL))
	requireKind(t, crawl.KindNotPublic, err)
}

// TestPublicOnlyWithADialOfOnesOwn checks what can be: an address, and what the connection is connected to.
func TestPublicOnlyWithADialOfOnesOwn(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	dialled := 0
	d := newDownloader(t, func(settings *crawl.Settings) {
		settings.Download.PublicOnly = true
		settings.Download.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			dialled++
			return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
		}
	})
	_, err := d.Fetch(t.Context(), crawl.Get("http://10.0.0.1/"))
	requireKind(t, crawl.KindNotPublic, err)
	require.Zero(t, dialled)
	_, err = d.Fetch(t.Context(), crawl.Get("http://rebound.example/"))
	requireKind(t, crawl.KindNotPublic, err)
	require.Equal(t, 1, dialled)
}

// TestPublicOnlyThroughAProxy has a proxy on this machine, which may be asked, but not for what is not public.
func TestPublicOnlyThroughAProxy(t *testing.T) {
	t.Parallel()
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = append(asked, r.Host) }))
	t.Cleanup(proxy.Close)
	at, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	d := guarded(t)
	ctx := crawl.WithProxy(t.Context(), at)
	for _, raw := range []string{"http://10.0.0.1/", "https://169.254.169.254/", "http://localhost/", "http://[::1]/"} {
		_, err := d.Fetch(ctx, crawl.Get(raw))
		requireKind(t, crawl.KindNotPublic, err)
	}
	for _, host := range []string{"0x7f.1", "2130706433", "127.1", "0177.0.0.1."} {
		_, err := d.Fetch(ctx, &crawl.Request{URL: &url.URL{Scheme: "http", Host: host, Path: "/"}})
		requireKind(t, crawl.KindNotPublic, err)
	}
	require.Empty(t, asked)
	for _, host := range []string{"8.8.8.8", "not-known-here.invalid"} {
		resp, err := d.Fetch(ctx, crawl.Get("http://"+host+"/"))
		require.NoError(t, err)
		require.Equal(t, 200, resp.Status)
	}
	require.Equal(t, []string{"8.8.8.8", "not-known-here.invalid"}, asked)
}

func TestBadGuards(t *testing.T) {
	t.Parallel()
	for text, settings := range map[string]crawl.DownloadSettings{
		`download.allow_nets "intranet"`:                                  {PublicOnly: true, AllowNets: []string{"10.0.0.0/8", "intranet"}},
		`download.allow_nets "10.0.0.0/33"`:                               {PublicOnly: true, AllowNets: []string{"10.0.0.0/33"}},
		`download.bind_address "192.0.2.7" is no address of this machine`: {BindAddress: "192.0.2.7"},
	} {
		env := newEnv(t, func(s *crawl.Settings) { s.Download = settings })
		_, err := downloader.New(env)
		require.ErrorContains(t, err, text)
	}
}

// TestTLSVersions asks servers that speak one version each.
func TestTLSVersions(t *testing.T) {
	t.Parallel()
	versions := []string{"1.0", "1.1", "1.2", "1.3"}
	for i, spoken := range versions {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.TLS = downloader.OnlyTLS(spoken)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		for _, limits := range [][2]string{{"", ""}, {"1.0", "1.3"}, {"1.1", "1.2"}, {"1.3", ""}, {"", "1.2"}} {
			d := newDownloader(t, func(s *crawl.Settings) {
				s.Download.MinTLS, s.Download.MaxTLS, s.Download.InsecureTLS = limits[0], limits[1], true
			})
			from, to := 2, 3
			for k, v := range versions {
				if v == limits[0] {
					from = k
				}
				if v == limits[1] {
					to = k
				}
			}
			_, err := d.Fetch(t.Context(), crawl.Get(s.URL))
			if i >= from && i <= to {
				require.NoError(t, err, "%s with %v", spoken, limits)
			} else {
				requireKind(t, crawl.KindTLS, err)
			}
		}
	}
}

// TestH2C asks a server of HTTP/2 without TLS, and over TLS one that has HTTP/1.1 alone.
func TestH2C(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Proto, r.Host, body)
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	d := newDownloader(t, func(s *crawl.Settings) { s.Download.H2C, s.Download.InsecureTLS = true, true })
	req := crawl.Get(s.URL)
	req.Method, req.Body = http.MethodPost, []byte("hello")
	resp, err := d.Fetch(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, "HTTP/2.0", resp.Proto)
	body, err := resp.Bytes()
	require.NoError(t, err)
	require.Equal(t, "HTTP/2.0 "+req.URL.Host+" hello", string(body))
	resp, err = d.Fetch(t.Context(), crawl.Get(secure.URL))
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1", resp.Proto)
	_, err = newDownloader(t, nil).Fetch(t.Context(), crawl.Get(s.URL))
	require.Error(t, err, "without the setting it is HTTP/1.1, which the server does not speak")
}

// TestNothingIsInjected reads what arrives, byte by byte: each line of it is one that the request may have.
func TestNothingIsInjected(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	arrived := make(chan []byte, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var raw bytes.Buffer
			r, err := http.ReadRequest(bufio.NewReader(io.TeeReader(c, &raw)))
			if err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			arrived <- bytes.Clone(raw.Bytes())
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			_ = c.Close()
		}
	}()
	host := l.Addr().String()
	base := func() *url.URL { return &url.URL{Scheme: "http", Host: host, Path: "/"} }
	const evil = "a\r\nEvil: 1\r\n\r\nGET /evil HTTP/1.1\r\n"
	header := func(name string, values ...string) *crawl.Request {
		return &crawl.Request{URL: base(), Header: http.Header{name: values}}
	}
	with := func(f func(u *url.URL)) *crawl.Request {
		u := base()
		f(u)
		return &crawl.Request{URL: u}
	}
	refused := map[string]*crawl.Request{
		"line break in a header's name":    header("X-A\r\nEvil", "1"),
		"line break in a header's value":   header("X-A", evil),
		"carriage return in a value":       header("X-A", "a\rEvil: 1"),
		"line feed in a value":             header("X-A", "a\nEvil: 1"),
		"NUL in a value":                   header("X-A", "a\x00b"),
		"second value of a header":         header("X-A", "fine", evil),
		"space in a header's name":         header("X A", "1"),
		"empty name":                       header("", "1"),
		"colon in a name":                  header("X:", "1"),
		"line break in Host":               header("Host", evil),
		"space in Host":                    header("Host", "a b"),
		"line break in a cookie":           header("Cookie", "a=b\r\nEvil: 1"),
		"line break in a user agent":       header("User-Agent", evil),
		"method with a line break":         {URL: base(), Method: "GET / HTTP/1.1\r\nEvil: 1\r\n\r\nGET"},
		"method with a space":              {URL: base(), Method: "GET /evil"},
		"query with a line break":          with(func(u *url.URL) { u.RawQuery = evil }),
		"query with a space":               with(func(u *url.URL) { u.RawQuery = "a b" }),
		"query with a NUL":                 with(func(u *url.URL) { u.RawQuery = "a\x00b" }),
		"opaque URL with a line break":     with(func(u *url.URL) { u.Opaque = "//" + host + "/ HTTP/1.1\r\nEvil: 1" }),
		"host with a line break":           with(func(u *url.URL) { u.Host = "127.0.0.1\r\nEvil: 1" }),
		"host with a NUL":                  with(func(u *url.URL) { u.Host = "127.0.0.1\x00.example" }),
		"host with a space":                with(func(u *url.URL) { u.Host = "127.0.0.1 evil" }),
		"host with credentials inside":     with(func(u *url.URL) { u.Host = "user:password@" + host }),
		"host with a path inside":          with(func(u *url.URL) { u.Host = host + "/evil" }),
		"no host":                          with(func(u *url.URL) { u.Host = "" }),
		"scheme that nobody has asked for": with(func(u *url.URL) { u.Scheme = "gopher" }),
	}
	d := newDownloader(t, nil)
	for name, req := range refused {
		_, err := d.Fetch(t.Context(), req)
		failed, ok := errors.AsType[*crawl.DownloadError](err)
		require.True(t, ok, name)
		require.Equal(t, crawl.KindRequest, failed.Kind, name)
		require.Empty(t, arrived, name)
	}
	for name, c := range map[string]struct {
		req   *crawl.Request
		lines []string // Host is that of the server, where there is none
	}{
		"line break in a path":     {with(func(u *url.URL) { u.Path = "/a\r\nEvil: 1" }), []string{"GET /a%0D%0AEvil:%201 HTTP/1.1"}},
		"NUL in a path":            {with(func(u *url.URL) { u.Path = "/a\x00b\x7f" }), []string{"GET /a%00b%7F HTTP/1.1"}},
		"raw path that is a lie":   {with(func(u *url.URL) { u.Path, u.RawPath = "/a", "/a\r\nEvil: 1" }), []string{"GET /a HTTP/1.1"}},
		"line break in a fragment": {with(func(u *url.URL) { u.Fragment = evil }), []string{"GET / HTTP/1.1"}},
		"credentials":              {with(func(u *url.URL) { u.User = url.UserPassword("user\r\nEvil: 1", "secret") }), []string{"GET / HTTP/1.1"}},
		"a Host of the request's":  {header("Host", "other.example:8080"), []string{"GET / HTTP/1.1", "Host: other.example:8080"}},
		"lengths of the request's": {
			&crawl.Request{URL: base(), Method: "POST", Body: []byte("abc"), Header: http.Header{
				"Content-Length": {"999"}, "Transfer-Encoding": {"chunked"}, "Trailer": {"Evil"},
			}},
			[]string{"POST / HTTP/1.1", "Content-Length: 3"},
		},
		"a tab, and letters of all kinds": {header("X-A", "a\tb ü"), []string{"GET / HTTP/1.1", "X-A: a\tb ü"}},
	} {
		resp, err := d.Fetch(t.Context(), c.req)
		require.NoError(t, err, name)
		require.Equal(t, 200, resp.Status)
		raw := string(<-arrived)
		head, _, ok := strings.Cut(raw, "\r\n\r\n")
		require.True(t, ok)
		want := c.lines
		if !strings.Contains(strings.Join(want, "\n"), "Host:") {
			want = append(want, "Host: "+host)
		}
		require.ElementsMatch(t, want, strings.Split(head, "\r\n"), name)
	}
}

// drip is a server in memory that answers with a header, and then with what send sends.
func drip(t testing.TB, configure func(*crawl.Settings), send func(w io.Writer)) crawl.Fetcher {
	var servers sync.WaitGroup
	t.Cleanup(servers.Wait)
	return newDownloader(t, func(s *crawl.Settings) {
		s.Download.Dial = func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			servers.Go(func() {
				defer server.Close()
				if _, err := http.ReadRequest(bufio.NewReader(server)); err == nil {
					send(server)
				}
			})
			return client, nil
		}
		if configure != nil {
			configure(s)
		}
	})
}

// each writes n pieces, one each interval.
func each(w io.Writer, interval time.Duration, n int, piece string) {
	for range n {
		time.Sleep(interval)
		if _, err := io.WriteString(w, piece); err != nil {
			return
		}
	}
}

const unmeasured = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"

func TestSlowBodiesAreCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		d := drip(t, nil, func(w io.Writer) {
			_, _ = io.WriteString(w, unmeasured)
			each(w, time.Second, 10_000, "x")
		})
		_, err := d.Fetch(t.Context(), crawl.Get("http://slow.example/"))
		requireKind(t, crawl.KindTimeout, err)
		require.ErrorContains(t, err, "slower than 10 bytes a second for 30s (download.min_speed)")
		failed, _ := errors.AsType[*crawl.DownloadError](err)
		require.True(t, failed.Answered)
		require.InDelta(t, 31, time.Since(begun).Seconds(), 2)
	})
}

// TestSlowBodiesThatAreNot have a reason to take long.
func TestSlowBodiesThatAreNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		configure func(*crawl.Settings)
		send      func(io.Writer)
		took      time.Duration
		size      int64
	}{
		"twenty bytes a second": {nil, func(w io.Writer) {
			_, _ = io.WriteString(w, unmeasured)
			each(w, time.Second, 150, strings.Repeat("x", 20))
		}, 150 * time.Second, 3000},
		"a piece every ten seconds": {nil, func(w io.Writer) {
			_, _ = io.WriteString(w, unmeasured)
			each(w, 10*time.Second, 15, strings.Repeat("x", 200))
		}, 150 * time.Second, 3000},
		"a long wait for the header": {nil, func(w io.Writer) {
			each(w, 150*time.Second, 1, unmeasured+"x")
		}, 150 * time.Second, 1},
		"a long wait for the first byte": {nil, func(w io.Writer) {
			_, _ = io.WriteString(w, unmeasured)
			each(w, 150*time.Second, 1, "x")
		}, 150 * time.Second, 1},
		"a byte a second, which is allowed": {func(s *crawl.Settings) { s.Download.MinSpeed = -1 }, func(w io.Writer) {
			_, _ = io.WriteString(w, unmeasured)
			each(w, time.Second, 150, "x")
		}, 150 * time.Second, 150},
	} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			resp, err := drip(t, c.configure, c.send).Fetch(t.Context(), crawl.Get("http://slow.example/"))
			require.NoError(t, err, name)
			require.Equal(t, c.size, resp.Body.Size(), name)
			require.Equal(t, c.took, time.Since(begun), name)
		})
	}
}

// TestTheTimeoutHoldsBesideTheSpeed: a body that comes fast enough, and never ends.
func TestTheTimeoutHoldsBesideTheSpeed(t *testing.T) {
	t.Parallel()
	for _, timeout := range []time.Duration{300 * time.Millisecond, time.Second, 90500 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			d := drip(t, func(s *crawl.Settings) { s.Download.Timeout = timeout }, func(w io.Writer) {
				_, _ = io.WriteString(w, unmeasured)
				each(w, 70*time.Millisecond, 1<<30, "xxxx")
			})
			_, err := d.Fetch(t.Context(), crawl.Get("http://endless.example/"))
			requireKind(t, crawl.KindTimeout, err)
			require.ErrorContains(t, err, "not done within "+timeout.String())
			require.Equal(t, timeout, time.Since(begun))
		})
	}
}

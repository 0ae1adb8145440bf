package downloader_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
)

// loopbacks skips where this machine has not the whole of 127.0.0.0/8.
func loopbacks(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skip("this machine has no address 127.0.0.2")
	}
	require.NoError(t, l.Close())
}

// sources are where the requests to a server came from.
type sources struct {
	mu   sync.Mutex
	seen []netip.AddrPort // Guarded by mu.
}

func (s *sources) note(remote string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, netip.MustParseAddrPort(remote))
}

func (s *sources) told() (ips []string, at []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.seen {
		ips = append(ips, a.Addr().String())
	}
	return ips, append(at, s.seen...)
}

func boundRequest(address, bind string) *crawl.Request {
	req := crawl.Get(address)
	if bind != "" {
		req.SetKnobs(func(k *crawl.Knobs) { k.BindAddress = bind })
	}
	return req
}

// TestBindAddress asks servers of each protocol, directly, from three addresses in turn and each again: none ever takes over another's connection.
func TestBindAddress(t *testing.T) {
	t.Parallel()
	loopbacks(t)
	for name, start := range map[string]func(*httptest.Server){
		"HTTP/1.1": plainHTTP, "HTTP/2.0": overHTTP2,
		"h2c": func(s *httptest.Server) {
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetUnencryptedHTTP2(true)
			s.Start()
		},
	} {
		for _, guarded := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " guarded ", guarded), func(t *testing.T) {
				t.Parallel()
				var from sources
				s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { from.note(r.RemoteAddr) }))
				start(s)
				t.Cleanup(s.Close)
				d := newDownloader(t, func(set *crawl.Settings) {
					set.Download.BindAddress, set.Download.H2C, set.Download.InsecureTLS = "127.0.0.4", name == "h2c", true
					if guarded {
						set.Download.PublicOnly, set.Download.AllowNets = true, []string{"127.0.0.0/8"}
					}
				})
				for range 2 {
					for _, bind := range []string{"127.0.0.2", "127.0.0.3", "", "127.0.0.4", "127.0.0.2:0"} {
						_, err := fetch(t, d, boundRequest(s.URL, bind))
						require.NoError(t, err)
					}
				}
				ips, at := from.told()
				require.Equal(t, []string{"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.4", "127.0.0.2"}, ips[:5])
				require.Equal(t, at[:5], at[5:], "each goes on with its own connection")
				require.Equal(t, at[0], at[4], "port 0 is none")
				require.Equal(t, at[2], at[3], "that of the settings is no other")
				require.Equal(t, 2, downloader.ProxiesKept(d))
			})
		}
	}
}

// TestBindAddressToProxies has the way to a proxy come from the request's address.
func TestBindAddressToProxies(t *testing.T) {
	t.Parallel()
	loopbacks(t)
	secure := target(t, overHTTP2)
	var from sources
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from.note(r.RemoteAddr)
		if r.Method == http.MethodConnect {
			connect(w, r)
		}
	}))
	t.Cleanup(proxy.Close)
	socks, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = socks.Close() })
	go func() {
		for {
			c, err := socks.Accept()
			if err != nil {
				return
			}
			from.note(c.RemoteAddr().String())
			_ = c.Close()
		}
	}()
	d := newDownloader(t, func(set *crawl.Settings) { set.Download.InsecureTLS = true })
	ask := func(proxy, address, bind string) error {
		resp, err := d.Fetch(crawl.WithProxy(t.Context(), mustParse(t, proxy)), boundRequest(address, bind))
		if resp != nil {
			require.NoError(t, resp.Close())
		}
		return err
	}
	for _, address := range []string{"http://site.example/", secure.URL} {
		for _, bind := range []string{"127.0.0.2", "127.0.0.3", ""} {
			require.NoError(t, ask(proxy.URL, address, bind))
		}
	}
	requireKind(t, crawl.KindProxy, ask("socks5://"+socks.Addr().String(), "http://site.example/", "127.0.0.3")) // it hangs up
	requireKind(t, crawl.KindRequest, ask(proxy.URL, "http://site.example/", "192.0.2.7"))
	ips, at := from.told()
	require.Equal(t, []string{"127.0.0.2", "127.0.0.3", "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1", "127.0.0.3"}, ips)
	require.NotContains(t, at[:6], at[6])
}

// TestBindAddressWithPort comes from one port, until somebody else has it.
func TestBindAddressWithPort(t *testing.T) {
	t.Parallel()
	loopbacks(t)
	var from sources
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { from.note(r.RemoteAddr) }))
	t.Cleanup(s.Close)
	l, err := net.Listen("tcp", "127.0.0.2:0")
	require.NoError(t, err)
	bind := l.Addr().String()
	d := newDownloader(t, nil)
	_, err = fetch(t, d, boundRequest(s.URL, bind))
	requireKind(t, crawl.KindConnection, err) // it may be free the next time
	require.ErrorContains(t, err, "in use")
	require.NoError(t, l.Close())
	for range 2 {
		_, err = fetch(t, d, boundRequest(s.URL, bind))
		require.NoError(t, err)
	}
	_, at := from.told()
	require.Equal(t, []netip.AddrPort{netip.MustParseAddrPort(bind), netip.MustParseAddrPort(bind)}, at)
}

// TestBadBindAddresses are told of at once, and are no fault of the host's.
func TestBadBindAddresses(t *testing.T) {
	t.Parallel()
	s := target(t, plainHTTP)
	d := newDownloader(t, nil)
	for bind, says := range map[string]string{
		"192.0.2.7":         "from bind address 192.0.2.7: ",
		"eth0":              `bind address "eth0": want an address of this machine`,
		"127.0.0.1:http":    `bind address "127.0.0.1:http": want an address of this machine`,
		"::1":               "from bind address ::1: ", // the host has an IPv4 address alone
		"http://127.0.0.1/": "want an address",
	} {
		_, err := fetch(t, d, boundRequest(s.URL, bind))
		requireKind(t, crawl.KindRequest, err)
		require.ErrorContains(t, err, says)
	}
	_, err := (&crawl.Settings{Download: crawl.DownloadSettings{BindAddress: "eth0"}}).Effective(nil)
	require.ErrorContains(t, err, `download.bind_address "eth0": want an address of this machine`)
	guarded := newDownloader(t, func(set *crawl.Settings) { set.Download.PublicOnly = true })
	_, err = fetch(t, guarded, boundRequest(s.URL, "127.0.0.1"))
	requireKind(t, crawl.KindNotPublic, err)
	rendered := boundRequest(s.URL, "127.0.0.1")
	rendered.Knobs.Render = &crawl.Render{}
	d = newDownloader(t, func(set *crawl.Settings) { set.Parts.Renderer = renders })
	_, err = fetch(t, d, rendered)
	requireKind(t, crawl.KindRequest, err)
	require.ErrorContains(t, err, "download.bind_address is for all of them")
}

func renders(*crawl.Env) (crawl.Fetcher, error) { return crawl.FetcherFunc(nil), nil }

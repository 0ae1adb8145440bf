package downloader

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/tulle-go/tulle/crawl"
)

// notPublic are what addresses are refused by Download.PublicOnly: of IPv4 what IANA's special-purpose registry calls not globally reachable (RFC 6890), multicast,
// and an address that a cloud serves its machines by; of IPv6 what is so within 2000::/3. The rest of IPv6 is not public at all, but for NAT64's prefix.
var notPublic = prefixes(
	"0.0.0.0/8",        // this network; 0.0.0.0 is this machine
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // carriers' shared addresses; Alibaba's metadata
	"127.0.0.0/8",      // this machine
	"168.63.129.16/32", // Azure's own, within its machines
	"169.254.0.0/16",   // link-local; the metadata of most clouds
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // protocol assignments; Oracle's metadata
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // 6to4 relays
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarking
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, and broadcast
	"2001::/23",        // protocol assignments: Teredo, benchmarking, ORCHID
	"2001:db8::/32",    // documentation
	"2002::/16",        // 6to4: an IPv4 address, by a relay
	"3fff::/20",        // documentation
)

var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	nat64         = netip.MustParsePrefix("64:ff9b::/96")
)

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, s := range texts {
		all[i] = netip.MustParsePrefix(s)
	}
	return all
}

// public reports whether an address is one of the public Internet. An IPv6 address that stands for an IPv4 address is judged by that.
func public(ip netip.Addr) bool {
	ip = ip.WithZone("").Unmap()
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	if ip.Is6() && !globalUnicast.Contains(ip) {
		return false
	}
	return !within(notPublic, ip)
}

func within(list []netip.Prefix, ip netip.Addr) bool {
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// guard keeps connections to public addresses, and to those of Download.AllowNets. A nil guard allows all.
type guard struct {
	allowed []netip.Prefix
	resolve func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

func newGuard(s *crawl.DownloadSettings) (*guard, error) {
	if !s.PublicOnly {
		return nil, nil
	}
	g := &guard{resolve: net.DefaultResolver.LookupNetIP}
	for _, text := range s.AllowNets {
		p, err := netip.ParsePrefix(text)
		if ip, ipErr := netip.ParseAddr(text); ipErr == nil {
			p, err = netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("download.allow_nets %q: want an address, or a network such as 10.1.0.0/16", text)
		}
		g.allowed = append(g.allowed, p.Masked())
	}
	return g, nil
}

// notPublicError is an address that a request must not go to.
type notPublicError struct{ ip netip.Addr }

func (e *notPublicError) Error() string {
	return fmt.Sprintf("address %s is not public (download.public_only)", e.ip)
}

func (g *guard) check(ip netip.Addr) error {
	if public(ip) || within(g.allowed, ip.WithZone("").Unmap()) {
		return nil
	}
	return &notPublicError{ip}
}

// control is a net.Dialer's ControlContext: it sees the address itself, whatever name or redirect led there, before anything is sent.
func (g *guard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	return g.check(at.Addr())
}

// dials are how connections are made, from one address of this machine, or from any if that is zero: those to hosts are guarded, those to proxies, which the operator has
// chosen, are not.
func (g *guard) dials(s *crawl.DownloadSettings, from netip.AddrPort) (toHost, toProxy dialFunc) {
	if s.Dial != nil {
		own := calm(s.Dial)
		if g == nil {
			return own, own
		}
		return g.watch(own), own
	}
	d := &net.Dialer{}
	guarded := d
	if g != nil {
		guarded = &net.Dialer{ControlContext: g.control}
	}
	if !from.IsValid() {
		return guarded.DialContext, d.DialContext
	}
	return boundTo(from, guarded), boundTo(from, d)
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// watch guards a dial function that is not ours: an address is checked before, if it is no name, and what it has connected to before that is used, if it tells.
func (g *guard) watch(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if at, err := netip.ParseAddrPort(addr); err == nil {
			if err := g.check(at.Addr()); err != nil {
				return nil, err
			}
		}
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if at, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
			if err := g.check(at.Addr()); err != nil {
				_ = c.Close()
				return nil, err
			}
		}
		return c, nil
	}
}

// target checks where a proxy is to be sent, as far as one can tell from here: by the name's addresses as they are here. What has none here may have some there.
func (g *guard) target(ctx context.Context, u *url.URL) error {
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); err == nil {
		return g.check(ip)
	}
	if oldIPv4(host) {
		return fmt.Errorf("host %q is an address in a form that proxies read differently (download.public_only)", host)
	}
	ips, _ := g.resolve(ctx, "ip", host) // none, if it fails
	for _, ip := range ips {
		if err := g.check(ip); err != nil {
			return err
		}
	}
	return nil
}

// oldIPv4 reports whether a host is a number, as in 0x7f.1 or 2130706433: the C library's resolver takes it for an IPv4 address.
func oldIPv4(host string) bool {
	last := host[strings.LastIndexByte(strings.TrimSuffix(host, "."), '.')+1:]
	last = strings.TrimSuffix(last, ".")
	if hex := strings.ToLower(last); strings.HasPrefix(hex, "0x") {
		return strings.Trim(hex[2:], "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// calm makes errors of Download.Dial's panics: net/http calls it on a goroutine of its own, where they would end the process.
func calm(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		defer func() {
			if v := recover(); v != nil {
				c, err = nil, fmt.Errorf("download.dial: %w", &crawl.PanicError{Value: v, Stack: debug.Stack()})
			}
		}()
		return dial(ctx, network, addr)
	}
}

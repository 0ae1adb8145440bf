package crawl

import (
	"errors"
	"net/netip"
)

// ParseBindAddress reads an address of this machine that connections are to come from: 192.0.2.7, 2001:db8::7 or fe80::7%eth0, and perhaps a port: 192.0.2.7:4000,
// [2001:db8::7]:4000. Port 0, as without one, is any. Whether this machine has the address shows when it is used.
func ParseBindAddress(text string) (netip.AddrPort, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(ip, 0), nil
	}
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		return netip.AddrPort{}, errors.New("want an address of this machine, such as 192.0.2.7, perhaps with a port: 192.0.2.7:4000 or [2001:db8::7]:4000")
	}
	return at, nil
}

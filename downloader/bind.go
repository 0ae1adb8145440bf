package downloader

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/tulle-go/tulle/crawl"
)

// bindAddress is Download.BindAddress, if this machine has it.
func bindAddress(s *crawl.DownloadSettings) (netip.AddrPort, error) {
	if s.BindAddress == "" {
		return netip.AddrPort{}, nil
	}
	from, err := crawl.ParseBindAddress(s.BindAddress)
	if err != nil {
		return from, fmt.Errorf("download.bind_address %q: %w", s.BindAddress, err)
	}
	if s.Dial != nil {
		return from, nil
	}
	// Nobody can connect to it before it is closed, as long as nobody knows the port.
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(from.Addr(), 0)))
	if err != nil {
		return from, fmt.Errorf("download.bind_address %q is no address of this machine: %w", s.BindAddress, err)
	}
	return from, l.Close()
}

// boundTo makes connections as d does, from one address of this machine.
func boundTo(from netip.AddrPort, d *net.Dialer) dialFunc {
	bound := *d
	bound.LocalAddr = net.TCPAddrFromAddrPort(from)
	bound.ControlContext = func(ctx context.Context, network, address string, c syscall.RawConn) error {
		if d.ControlContext != nil {
			if err := d.ControlContext(ctx, network, address, c); err != nil {
				return err
			}
		}
		if from.Port() != 0 {
			return nil
		}
		return leavePort(c)
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := bound.DialContext(ctx, network, addr)
		if err == nil {
			return c, nil
		}
		call, _ := errors.AsType[*os.SyscallError](err)
		_, other := errors.AsType[*net.AddrError](err) // the host has no address of that family
		if other || call != nil && call.Syscall == "bind" {
			err = &bindError{from, err}
		}
		return nil, err
	}
}

// bindError says that no connection can come from an address, to some host at least.
type bindError struct {
	from netip.AddrPort
	err  error
}

func (e *bindError) Error() string {
	return "from bind address " + e.from.Addr().String() + ": " + e.err.Error()
}
func (e *bindError) Unwrap() error { return e.err }

// kind is about the request: no host is to blame. A port that is in use may be free the next time.
func (e *bindError) kind() crawl.Kind {
	if errors.Is(e.err, syscall.EADDRINUSE) {
		return crawl.KindConnection
	}
	return crawl.KindRequest
}

// DialFrom is Dial, but from an address of this machine in place of Download.BindAddress; a zero one is that.
func (d *Dialer) DialFrom(ctx context.Context, from netip.AddrPort, network, addr string) (net.Conn, error) {
	if !from.IsValid() || from == d.h.from {
		return d.Dial(ctx, network, addr)
	}
	return d.h.proxies.bind(from).dial(ctx, network, addr)
}

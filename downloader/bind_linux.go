package downloader

import "syscall"

// ipBindAddressNoPort is Linux's IP_BIND_ADDRESS_NO_PORT.
const ipBindAddressNoPort = 24

// leavePort lets the system choose a socket's port when it connects, and not already when it is bound: then a port can serve once for each server, and not once in all.
func leavePort(c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_IP, ipBindAddressNoPort, 1) // a system without it has fewer ports
	})
}

package downloader

import (
	"crypto/tls"
	"net/netip"
)

// Public is what Download.PublicOnly goes by.
func Public(ip netip.Addr) bool { return public(ip) }

// OnlyTLS speaks one version.
func OnlyTLS(version string) *tls.Config {
	return &tls.Config{MinVersion: tlsVersions[version], MaxVersion: tlsVersions[version]}
}

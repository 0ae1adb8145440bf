package downloader

import "crypto/x509"

// Trust makes d trust a certificate authority.
func Trust(d *Downloader, ca *x509.Certificate) {
	conf := d.handlers["https"].(*httpHandler).dialer.tls
	conf.RootCAs = x509.NewCertPool()
	conf.RootCAs.AddCert(ca)
}

// LimitParts changes how much d keeps of broken transfers.
func LimitParts(d *Downloader, most int, bytes int64) {
	parts := d.handlers["http"].(*httpHandler).parts
	parts.most, parts.mostBytes = most, bytes
}

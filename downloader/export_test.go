package downloader

import "crypto/x509"

// Trust makes d trust certificate authorities.
func Trust(d *Downloader, cas ...*x509.Certificate) {
	conf := d.handlers["https"].(*httpHandler).dialer.tls
	conf.RootCAs = x509.NewCertPool()
	for _, ca := range cas {
		conf.RootCAs.AddCert(ca)
	}
}

// LimitParts changes how much d keeps of broken transfers.
func LimitParts(d *Downloader, most int, bytes int64) {
	parts := d.handlers["http"].(*httpHandler).parts
	parts.most, parts.mostBytes = most, bytes
}

// ProxiesKept is for how many proxies d keeps connections, and MaxProxies the most of them.
func ProxiesKept(d *Downloader) int {
	p := d.handlers["http"].(*httpHandler).proxies
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used.Len()
}

const MaxProxies = maxProxies

package browser

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// recordHandshake is the first byte that a client of TLS sends (RFC 8446, 5.1).
const recordHandshake = 22

// handshakes reports whether the handshakes with hosts are to be ours: where the settings have what the browser cannot do. It takes no file of certificates, knows no TLS before 1.2,
// and as headless shell it ignores --ssl-version-min and --ssl-version-max. Giving it the certificates of the file as --ignore-certificate-errors-spki-list would not do: it then takes any
// chain that has one of them in it, whoever has signed what.
func handshakes(s *crawl.DownloadSettings) bool {
	return s.CAFile != "" || s.MinTLS != "" && s.MinTLS != "1.2" || s.MaxTLS != "" && s.MaxTLS != "1.3"
}

// identity is what the proxy shows the browser in place of a host's certificate, when it has shaken hands with the host itself. The browser trusts its key and nobody else has it: it is
// made for the crawl, and kept in memory alone.
type identity struct {
	key  *ecdsa.PrivateKey
	hash string // of the public key, as the browser wants it
}

func newIdentity() (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(public)
	return &identity{key, base64.StdEncoding.EncodeToString(sum[:])}, nil
}

// certificate is one for a host: for no other, so that the browser never asks two hosts by one connection.
func (i *identity) certificate(host string) (*tls.Certificate, error) {
	now := time.Now()
	made := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour)}
	if ip := net.ParseIP(host); ip != nil {
		made.IPAddresses = []net.IP{ip}
	} else {
		made.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, made, made, &i.key.PublicKey, i.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: i.key}, nil
}

// between shakes hands with a host, by the crawl's settings, and with the browser. What is no TLS, such as a web socket's http, is left as it is.
func (p *proxy) between(ctx context.Context, near *readConn, far net.Conn, addr string, a *pass) (toBrowser, toHost net.Conn, err error) {
	first, err := near.r.Peek(1)
	if err != nil || first[0] != recordHandshake {
		return near, far, err
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, nil, err
	}
	var inner *tls.Conn
	outer := tls.Server(near, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		// The host chooses what is spoken, of what the browser can.
		protos := slices.DeleteFunc(slices.Clone(hello.SupportedProtos), func(s string) bool { return s != "h2" && s != "http/1.1" })
		var err error
		if inner, err = p.dialer.Handshake(ctx, far, strings.Trim(host, "[]"), protos); err != nil {
			a.note(addr, "443", err)
			return nil, err
		}
		shown, err := p.shown.certificate(host)
		if err != nil {
			return nil, err
		}
		conf := &tls.Config{Certificates: []tls.Certificate{*shown}, SessionTicketsDisabled: true}
		if chosen := inner.ConnectionState().NegotiatedProtocol; chosen != "" {
			conf.NextProtos = []string{chosen}
		}
		return conf, nil
	}})
	if err := outer.HandshakeContext(ctx); err != nil {
		return nil, nil, err
	}
	if inner == nil {
		return nil, nil, errors.New("the browser has not said hello")
	}
	return outer, inner, nil
}

// readConn is a connection of which something has been read already.
type readConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *readConn) Read(p []byte) (int, error) { return c.r.Read(p) }

package crawltest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("test authority: %w", err)
	}
	tmpl := template("Misery")
	tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("test authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("test authority: %w", err)
	}
	return &authority{cert, key}, nil
}

// template is a certificate that is good for a day around now.
func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-12 * time.Hour), NotAfter: time.Now().Add(12 * time.Hour),
	}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// issue makes a certificate for a host, with some change. What can't be made is empty: the handshake fails, and the test with it.
func (a *authority) issue(host string, change func(*x509.Certificate)) tls.Certificate {
	tmpl := template(host)
	tmpl.DNSNames = []string{host}
	if change != nil {
		change(tmpl)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}
	}
	parent, signer := a.cert, a.key
	if a.cert == nil { // it signs itself
		parent, signer = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
	if err != nil {
		return tls.Certificate{}
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// config is for handshakes with nothing wrong.
func (a *authority) config(host string, protocols ...string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.issue(host, nil)}, NextProtos: protocols}
}

// illHandshakes are about TLS.
func illHandshakes() []ill {
	certificate := func(change func(*x509.Certificate)) func(*authority, string, *tls.Config) {
		return func(ca *authority, host string, conf *tls.Config) {
			conf.Certificates = []tls.Certificate{ca.issue(host, change)}
		}
	}
	all := []ill{
		{name: "tls-expired", does: "Has a certificate that was good until yesterday.", secure: certificate(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
		})},
		{name: "tls-not-yet", does: "Has a certificate that will be good from tomorrow.", secure: certificate(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(24*time.Hour), time.Now().Add(48*time.Hour)
		})},
		{name: "tls-wrong-host", does: "Has the certificate of another host.", secure: certificate(func(c *x509.Certificate) {
			c.DNSNames = []string{"other.test"}
		})},
		{name: "tls-self-signed", does: "Has a certificate that it has signed itself.", secure: func(_ *authority, host string, conf *tls.Config) {
			conf.Certificates = []tls.Certificate{new(authority).issue(host, nil)}
		}},
		{name: "tls-untrusted", does: "Has a certificate of an authority that nobody knows.", secure: func(_ *authority, host string, conf *tls.Config) {
			if other, err := newAuthority(); err == nil {
				conf.Certificates = []tls.Certificate{other.issue(host, nil)}
			}
		}},
		{name: "tls-10", does: "Speaks TLS 1.0 and nothing later.", secure: func(_ *authority, _ string, conf *tls.Config) {
			conf.MinVersion, conf.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
		}},
		{name: "tls-client-certificate", does: "Wants a certificate of the client, in TLS 1.2.", secure: func(_ *authority, _ string, conf *tls.Config) {
			// In TLS 1.3 it would say so when for the client the handshake is over, and sometimes too late for net/http to pass it on.
			conf.ClientAuth, conf.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12
		}},
		{name: "tls-hangs", does: "Never answers the handshake.", speak: func(_ context.Context, _ *misery, c net.Conn) { _, _ = io.Copy(io.Discard, c) }},
		{name: "tls-closes", does: "Closes the connection in the handshake.", speak: func(_ context.Context, _ *misery, c net.Conn) { _, _ = c.Read(make([]byte, 1)) }},
		{name: "tls-plain", does: "Speaks HTTP without TLS on port 443.", speak: func(_ context.Context, _ *misery, c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
		}},
		{name: "tls-garbage", does: "Answers the handshake with nonsense.", speak: func(_ context.Context, _ *misery, c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			fmt.Fprint(c, strings.Repeat("\x16\x03\x01\xff\xff", 1000))
		}},
		{name: "tls-cut", does: "Cuts the connection after half a body of unknown length, without TLS's goodbye.", speak: func(ctx context.Context, m *misery, c net.Conn) {
			sc := shake(ctx, m, c, "tls-cut", "http/1.1")
			if sc != nil && newRequests(sc).next() == nil {
				fmt.Fprint(sc, ok200+"Connection: close\r\n\r\n"+page[:40])
			}
		}},
	}
	for i := range all {
		all[i].scheme = "https"
	}
	return all
}

// shake does the server's part of a handshake in which nothing is wrong. It returns nil if the client did not like it.
func shake(ctx context.Context, m *misery, c net.Conn, name, protocol string) *tls.Conn {
	ca, err := m.authority()
	if err != nil {
		return nil
	}
	sc := tls.Server(c, ca.config(name+miseryDomain, protocol))
	if sc.HandshakeContext(ctx) != nil {
		return nil
	}
	return sc
}

// illHTTP2 are about frames.
func illHTTP2() []ill {
	type answer = func(f *http2.Framer, stream uint32) error
	// does is a host that greets with settings, and answers each request in its way. An error ends the connection.
	does := func(name, does string, settings []http2.Setting, answer answer) ill {
		return ill{name: name, does: does, scheme: "https", speak: func(ctx context.Context, m *misery, c net.Conn) {
			if sc := shake(ctx, m, c, name, "h2"); sc != nil {
				speakHTTP2(sc, settings, answer)
			}
		}}
	}
	headers := func(f *http2.Framer, stream uint32, end bool, pairs ...string) error {
		var b bytes.Buffer
		enc := hpack.NewEncoder(&b)
		for i := 0; i < len(pairs); i += 2 {
			_ = enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}) // to a buffer
		}
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: b.Bytes(), EndHeaders: true, EndStream: end})
	}
	half := func(f *http2.Framer, stream uint32) error {
		if err := headers(f, stream, false, ":status", "200", "content-type", "text/html", "content-length", "1000"); err != nil {
			return err
		}
		return f.WriteData(stream, false, bytes.Repeat([]byte("x"), 500))
	}
	whole := func(f *http2.Framer, stream uint32) error {
		if err := headers(f, stream, false, ":status", "200", "content-type", "text/html"); err != nil {
			return err
		}
		return f.WriteData(stream, true, []byte(page))
	}
	stalled := does("h2-stalled", "Gives the request's body no room in its window.", []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}},
		func(*http2.Framer, uint32) error { return nil })
	stalled.method, stalled.post = http.MethodPost, 1<<20
	return []ill{
		does("h2-goaway", "Sends GOAWAY for every request, and says that it has not looked at it.", nil, func(f *http2.Framer, _ uint32) error {
			return f.WriteGoAway(0, http2.ErrCodeNo, nil)
		}),
		does("h2-goaway-error", "Sends GOAWAY with an error for every request, and closes the connection.", nil, func(f *http2.Framer, stream uint32) error {
			_ = f.WriteGoAway(stream, http2.ErrCodeEnhanceYourCalm, []byte("too_many_pings"))
			return io.EOF
		}),
		does("h2-goaway-mid-body", "Sends GOAWAY in the middle of a body and closes the connection.", nil, func(f *http2.Framer, stream uint32) error {
			if err := half(f, stream); err != nil {
				return err
			}
			_ = f.WriteGoAway(stream, http2.ErrCodeNo, nil)
			return io.EOF
		}),
		does("h2-goaway-graceful", "Sends GOAWAY and then the whole answer.", nil, func(f *http2.Framer, stream uint32) error {
			if err := f.WriteGoAway(stream, http2.ErrCodeNo, nil); err != nil {
				return err
			}
			return whole(f, stream)
		}),
		does("h2-rst", "Resets the stream of every request.", nil, func(f *http2.Framer, stream uint32) error {
			return f.WriteRSTStream(stream, http2.ErrCodeInternal)
		}),
		does("h2-rst-refused", "Refuses the stream of every request.", nil, func(f *http2.Framer, stream uint32) error {
			return f.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
		}),
		does("h2-rst-http11", "Resets the stream of every request: it wants HTTP/1.1.", nil, func(f *http2.Framer, stream uint32) error {
			return f.WriteRSTStream(stream, http2.ErrCodeHTTP11Required)
		}),
		does("h2-rst-mid-body", "Resets the stream in the middle of a body.", nil, func(f *http2.Framer, stream uint32) error {
			if err := half(f, stream); err != nil {
				return err
			}
			return f.WriteRSTStream(stream, http2.ErrCodeInternal)
		}),
		does("h2-short", "Announces 1000 bytes and ends the stream after 500.", nil, func(f *http2.Framer, stream uint32) error {
			if err := half(f, stream); err != nil {
				return err
			}
			return f.WriteData(stream, true, nil)
		}),
		does("h2-bad-settings", "Greets with a window of more than 2^31-1 bytes.", []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1 << 31}}, whole),
		does("h2-bad-frame-size", "Greets with a frame size of 0 (CVE-2026-33814).", []http2.Setting{{ID: http2.SettingMaxFrameSize, Val: 0}}, whole),
		does("h2-garbage", "Sends bytes that are no frames.", nil, func(f *http2.Framer, _ uint32) error {
			return f.WriteRawFrame(http2.FrameHeaders, 0xff, 0, bytes.Repeat([]byte{0xff}, 100))
		}),
		does("h2-continuation", "Sends headers in CONTINUATION frames and no end of them (CVE-2023-45288).", nil, func(f *http2.Framer, stream uint32) error {
			err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream})
			for err == nil {
				err = f.WriteContinuation(stream, false, bytes.Repeat([]byte("\x00\x01x\x01x"), 1000))
			}
			return err
		}),
		does("h2-silent", "Never answers a request, and not a ping either.", nil, func(*http2.Framer, uint32) error { return errMute }),
		does("h2-never-answers", "Never answers a request, though it answers pings.", nil, func(*http2.Framer, uint32) error { return nil }),
		stalled,
	}
}

// errMute is returned by those who say nothing from then on.
var errMute = errors.New("says nothing more")

// speakHTTP2 speaks HTTP/2 on a connection until it ends.
func speakHTTP2(c net.Conn, settings []http2.Setting, answer func(*http2.Framer, uint32) error) {
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(c, c)
	f.AllowIllegalWrites = true
	err := f.WriteSettings(settings...)
	for err == nil {
		var frame http2.Frame
		if frame, err = f.ReadFrame(); err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				err = f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				err = f.WritePing(true, frame.Data)
			}
		case *http2.HeadersFrame:
			err = answer(f, frame.StreamID)
		}
	}
	if err == errMute {
		_, _ = io.Copy(io.Discard, c)
	}
}

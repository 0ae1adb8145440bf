package ftp_test

import (
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// TestTLSSettings shakes hands with a server of TLS 1.2 whose authority only Download.CAFile knows, and which hangs up then.
func TestTLSSettings(t *testing.T) {
	t.Parallel()
	lender := httptest.NewUnstartedServer(nil) // of its certificate
	lender.StartTLS()
	defer lender.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: lender.Certificate().Raw}), 0o600))
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: lender.TLS.Certificates, MaxVersion: tls.VersionTLS12})
	require.NoError(t, err)
	var over sync.WaitGroup
	over.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			over.Go(func() { hangUp(c) })
		}
	})
	defer over.Wait()
	defer l.Close()
	for name, c := range map[string]struct {
		change func(*crawl.DownloadSettings)
		says   string
	}{
		"known":     {func(s *crawl.DownloadSettings) { s.CAFile = file }, "EOF"},
		"unknown":   {func(*crawl.DownloadSettings) {}, "unknown authority"},
		"too early": {func(s *crawl.DownloadSettings) { s.CAFile, s.MinTLS = file, "1.3" }, "protocol version"},
	} {
		d := open(t, func(s *crawl.Settings) { c.change(&s.Download) })
		_, err := d.Fetch(t.Context(), crawl.Get("ftps://"+l.Addr().String()+"/file"))
		require.ErrorContains(t, err, c.says, name)
	}
}

func hangUp(c net.Conn) {
	_ = c.(*tls.Conn).Handshake()
	_ = c.Close()
}

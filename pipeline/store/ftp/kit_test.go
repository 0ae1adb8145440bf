package ftp

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tulle-go/tulle/crawl"
)

// password is the only one that the servers take.
const password = "p@ss/w:rd"

// trusted is a certificate that this process trusts, and its key.
var trusted string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ftp")
	if err != nil {
		panic(err)
	}
	trusted = certificate(dir)
	// It is read once, at the first connection.
	if err := os.Setenv("SSL_CERT_FILE", trusted); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// certificate makes a file with a certificate for this machine and its key.
func certificate(dir string) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "ftp test"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	b = append(b, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	name := filepath.Join(dir, "cert.pem")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		panic(err)
	}
	return name
}

// server is a vsftpd of a test's own. Its users are anonymous, with a password, and it serves root without a chroot: paths are those of the disk.
type server struct {
	addr, root string
}

// start starts a server, with more lines of configuration.
func start(t *testing.T, config ...string) *server {
	t.Helper()
	program, err := exec.LookPath("vsftpd")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/vsftpd")
	}
	if err != nil {
		t.Skip("no FTP server: apt-get install vsftpd")
	}
	me, err := user.Current()
	require.NoError(t, err)
	dir := t.TempDir()
	s := &server{root: filepath.Join(dir, "root")}
	for _, d := range []string{s.root, filepath.Join(dir, "empty")} {
		require.NoError(t, os.Mkdir(d, 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "passwords"), []byte(password+"\n"), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = l.Addr().String()
	require.NoError(t, l.Close())
	lines := append([]string{
		"listen=YES", "listen_address=127.0.0.1", "listen_port=" + s.addr[strings.LastIndex(s.addr, ":")+1:], "background=NO", "run_as_launching_user=YES",
		"local_enable=NO", "anonymous_enable=YES", "ftp_username=" + me.Username, "anon_root=" + s.root, "anon_umask=022", "anon_world_readable_only=NO",
		"secure_email_list_enable=YES", "email_password_file=" + filepath.Join(dir, "passwords"), "secure_chroot_dir=" + filepath.Join(dir, "empty"),
		"write_enable=YES", "anon_upload_enable=YES", "anon_mkdir_write_enable=YES", "anon_other_write_enable=YES", "seccomp_sandbox=NO",
	}, config...)
	file := filepath.Join(dir, "vsftpd.conf")
	require.NoError(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	var said strings.Builder
	cmd := exec.Command(program, file)
	cmd.Stdout, cmd.Stderr = &said, &said
	// A clock in another zone: what MDTM says is UTC all the same.
	cmd.Env = append(os.Environ(), "TZ=Asia/Tokyo")
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("vsftpd said: %s", said.String())
		}
	})
	require.Eventually(t, func() bool {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, 10*time.Second, 10*time.Millisecond, "vsftpd does not listen")
	return s
}

// secure are the lines of a server with TLS. vsftpd insists, by default, on data connections that resume the session of the control connection.
func secure(cert string) []string {
	return []string{
		"ssl_enable=YES", "allow_anon_ssl=YES", "force_anon_logins_ssl=YES", "force_anon_data_ssl=YES", "ssl_ciphers=HIGH", "rsa_cert_file=" + cert,
		"rsa_private_key_file=" + cert,
	}
}

func settings() crawl.FTPSettings {
	return crawl.FTPSettings{User: "anonymous", Password: password, Connections: 4}
}

func tryOpen(ctx context.Context, uri string, ftp crawl.FTPSettings) (*Store, error) {
	s, err := Open(ctx, uri, &crawl.Env{Settings: &crawl.Settings{FTP: ftp}})
	if err != nil {
		return nil, err
	}
	return s.(*Store), nil
}

func open(t *testing.T, uri string, ftp crawl.FTPSettings) *Store {
	t.Helper()
	s, err := tryOpen(t.Context(), uri, ftp)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// folder makes one on the server and returns its name.
func (s *server) folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(s.root, "a folder ")
	require.NoError(t, err)
	return filepath.Base(dir)
}

// read is a file's content, read through a store.
func read(t *testing.T, s crawl.Store, name string) string {
	t.Helper()
	r, err := s.Open(t.Context(), name)
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	return string(b)
}

// verdict is what a proxy does with a command.
type verdict int

const (
	pass      verdict = iota
	cutBefore         // the server does not get it
	cutAfter          // the server's reply does not arrive
	answer            // the proxy answers itself
)

// proxy stands between clients and a server, on control connections only.
type proxy struct {
	addr string
	to   string

	mu       sync.Mutex
	judge    func(command string) (verdict, string) // Guarded by mu. nil passes everything.
	dead     bool                                   // Guarded by mu: nobody gets in.
	open     int                                    // Guarded by mu.
	most     int                                    // Guarded by mu: connections at once.
	accepted int                                    // Guarded by mu.
}

func (s *server) proxy(t *testing.T) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{addr: l.Addr().String(), to: s.addr}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return p
}

func (p *proxy) count(by int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if by > 0 {
		p.accepted++
	}
	p.open += by
	p.most = max(p.most, p.open)
	return !p.dead
}

func (p *proxy) set(judge func(string) (verdict, string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.judge = judge
}

func (p *proxy) counts() (open, most, accepted int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open, p.most, p.accepted
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	defer p.count(-1)
	if !p.count(1) {
		return
	}
	upstream, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer upstream.Close()
	var mu sync.Mutex
	cut := false
	var wg sync.WaitGroup
	wg.Go(func() {
		defer client.Close()
		buf := make([]byte, 4096)
		for {
			n, err := upstream.Read(buf)
			mu.Lock()
			stop := cut
			mu.Unlock()
			if err != nil || stop {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	defer wg.Wait()
	defer upstream.Close()
	lines := bufio.NewReader(client)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		p.mu.Lock()
		judge := p.judge
		p.mu.Unlock()
		what, reply := pass, ""
		if judge != nil {
			what, reply = judge(strings.TrimRight(line, "\r\n"))
		}
		switch what {
		case cutBefore:
			return
		case answer:
			fmt.Fprintf(client, "%s\r\n", reply)
			continue
		case cutAfter:
			mu.Lock()
			cut = true
			mu.Unlock()
		}
		if _, err := io.WriteString(upstream, line); err != nil {
			return
		}
	}
}

// uri is an address with a folder after the %, which stands for the server.
func (s *server) uri(pattern, folder string) string {
	return strings.Replace(pattern, "%/", s.addr+"/"+strings.ReplaceAll(folder, " ", "%20"), 1)
}

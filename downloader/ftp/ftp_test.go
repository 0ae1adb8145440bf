package ftp_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
	"github.com/tulle-go/tulle/downloader/ftp"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// password is the only one that vsftpd takes, for anonymous.
const password = "p@ss/w:rd"

func open(t *testing.T, change func(*crawl.Settings)) *downloader.Downloader {
	t.Helper()
	var s crawl.Settings
	s.FTP.Password, s.FTP.Domain = password, "127.0.0.1"
	s.Parts.Handlers = map[string]crawl.OpenHandler{"ftp": ftp.Open, "ftps": ftp.Open}
	if change != nil {
		change(&s)
	}
	effective, err := s.Effective(nil)
	require.NoError(t, err)
	spool := &crawl.Spool{Over: effective.Download.SpoolOver, Dir: t.TempDir()}
	d, err := downloader.New(&crawl.Env{Settings: effective, Stats: crawl.NewStats(), Log: zap.NewNop(), Spool: spool})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, d.Close())
		require.NoError(t, spool.Close())
	})
	return d
}

// start starts a vsftpd and returns its address and the folder that it serves.
func start(t *testing.T, config ...string) (addr, root string) {
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
	root = filepath.Join(dir, "root")
	for _, d := range []string{root, filepath.Join(dir, "empty"), filepath.Join(root, "a folder")} {
		require.NoError(t, os.Mkdir(d, 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "passwords"), []byte(password+"\n"), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr = l.Addr().String()
	require.NoError(t, l.Close())
	lines := append([]string{
		"listen=YES", "listen_address=127.0.0.1", "listen_port=" + addr[strings.LastIndex(addr, ":")+1:], "background=NO", "run_as_launching_user=YES",
		"local_enable=NO", "anonymous_enable=YES", "ftp_username=" + me.Username, "anon_root=" + root, "anon_world_readable_only=NO",
		"secure_email_list_enable=YES", "email_password_file=" + filepath.Join(dir, "passwords"), "secure_chroot_dir=" + filepath.Join(dir, "empty"),
		"seccomp_sandbox=NO",
	}, config...)
	file := filepath.Join(dir, "vsftpd.conf")
	require.NoError(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	cmd := exec.Command(program, file)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, 10*time.Second, 10*time.Millisecond, "vsftpd does not listen")
	return addr, root
}

// secure are the lines of a server with TLS, which insists on data connections that resume the session of the control connection.
func secure(t *testing.T) []string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ftp test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	b = append(b, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	name := filepath.Join(t.TempDir(), "cert.pem")
	require.NoError(t, os.WriteFile(name, b, 0o600))
	return []string{
		"ssl_enable=YES", "allow_anon_ssl=YES", "force_anon_logins_ssl=YES", "force_anon_data_ssl=YES", "ssl_ciphers=HIGH", "rsa_cert_file=" + name,
		"rsa_private_key_file=" + name,
	}
}

func fetch(t *testing.T, f crawl.Fetcher, address string) (*crawl.Response, string) {
	t.Helper()
	resp, err := f.Fetch(t.Context(), crawl.Get(address))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, resp.Close()) })
	b, err := resp.Bytes()
	require.NoError(t, err)
	return resp, string(b)
}

func fails(t *testing.T, f crawl.Fetcher, req *crawl.Request, kind crawl.Kind, says string) {
	t.Helper()
	resp, err := f.Fetch(t.Context(), req)
	require.Nil(t, resp)
	var failed *crawl.DownloadError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, kind, failed.Kind, "%v", err)
	require.ErrorContains(t, err, says)
	require.NotContains(t, err.Error(), password)
}

func TestFiles(t *testing.T) {
	t.Parallel()
	addr, root := start(t)
	large := strings.Repeat("0123456789", 300_000)
	for name, content := range map[string]string{"a.jpg": "a picture", "a folder/a name?.txt": "text", "empty": "", "large": large, "e.PDF": "%PDF"} {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(content), 0o644))
	}
	d := open(t, nil)
	for _, c := range []struct {
		path, body, mime string
		status           int
	}{
		{"/a.jpg", "a picture", "image/jpeg", 200},
		{"//a.jpg", "a picture", "image/jpeg", 404}, // the server's root is the disk's
		{"/" + root + "/a.jpg", "a picture", "image/jpeg", 200},
		{"/a.jpg;type=i", "a picture", "image/jpeg", 200},
		{"/a%20folder/a%20name%3F.txt", "text", "text/plain", 200},
		{"/a%20folder/a%20name?.txt", "text", "text/plain", 200}, // FTP has no queries
		{"/empty", "", "", 200},
		{"/e.PDF", "%PDF", "application/pdf", 200},
		{"/large", large, "", 200},
		{"/missing.jpg", "", "text/plain", 404},
		{"/a%20folder", "", "text/plain", 404},
	} {
		resp, body := fetch(t, d, "ftp://"+addr+c.path)
		require.Equal(t, c.status, resp.Status, c.path)
		if c.status == 200 {
			require.Equal(t, c.body, body, c.path)
			require.Equal(t, c.mime, resp.Header.Get("Content-Type"), c.path)
			require.Equal(t, len(c.body) > 1<<20, resp.Body.Path() != "", "%s is spooled", c.path)
		} else {
			require.Contains(t, body, "550", c.path)
		}
		require.Positive(t, resp.Timing.Total)
	}
	// The password of the URL is the one that counts.
	_, body := fetch(t, open(t, func(s *crawl.Settings) { s.FTP.Password = "wrong" }), "ftp://anonymous:"+url.QueryEscape(password)+"@"+addr+"/a.jpg")
	require.Equal(t, "a picture", body)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]struct{ scheme, query string }{"explicit": {"ftp", "?tls=explicit"}, "implicit": {"ftps", ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := secure(t)
			if name == "implicit" {
				config = append(config, "implicit_ssl=YES")
			}
			addr, root := start(t, config...)
			content := strings.Repeat("a file ", 500_000)
			require.NoError(t, os.WriteFile(filepath.Join(root, "file"), []byte(content), 0o644))
			address := mode.scheme + "://" + addr + "/file" + mode.query
			trusting := open(t, func(s *crawl.Settings) { s.FTP.InsecureTLS = true })
			for range 2 {
				_, body := fetch(t, trusting, address)
				require.Equal(t, content, body)
			}
			fails(t, open(t, nil), crawl.Get(address), crawl.KindTLS, "x509")
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	addr, root := start(t)
	require.NoError(t, os.WriteFile(filepath.Join(root, "file"), []byte("0123456789"), 0o644))
	d := open(t, nil)
	small := crawl.Get("ftp://" + addr + "/file")
	small.Knobs = &crawl.Knobs{MaxSize: 9}
	fails(t, d, small, crawl.KindTooLarge, "too large")
	head := crawl.Get("ftp://" + addr + "/file")
	head.Method = "HEAD"
	fails(t, d, head, crawl.KindRequest, "only be read")
	for path, says := range map[string]string{"/": "folder", "/a/": "folder", "": "folder", "/a%0D%0ADELE%20file": "line break"} {
		fails(t, d, crawl.Get("ftp://"+addr+path), crawl.KindRequest, says)
	}
	fails(t, open(t, func(s *crawl.Settings) { s.FTP.Password = "wrong" }), crawl.Get("ftp://"+addr+"/file"), crawl.KindRequest, "530")
	fails(t, d, crawl.Get("ftp://"+addr+"/file?tls=explicit"), crawl.KindRequest, "connect")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	fails(t, d, crawl.Get("ftp://"+l.Addr().String()+"/file"), crawl.KindRefused, "connect")
	// None of this has harmed the connection.
	_, body := fetch(t, d, "ftp://"+addr+"/file")
	require.Equal(t, "0123456789", body)
}

// TestMedia downloads a file through a whole crawl: row D15 for ftp.
func TestMedia(t *testing.T) {
	t.Parallel()
	addr, root := start(t)
	require.NoError(t, os.WriteFile(filepath.Join(root, "doc.pdf"), []byte("a document"), 0o644))
	type document struct {
		FileURLs []string     `json:"file_urls"`
		Files    []crawl.File `json:"files"`
	}
	item := &document{FileURLs: []string{"ftp://" + addr + "/doc.pdf", "ftp://" + addr + "/missing.pdf"}}
	kept := new(store.Memory)
	res, err := engine.Run(t.Context(), &crawl.Spider{
		Name: "shop", StartURLs: []string{"data:text/html,<p>a page"},
		Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
			out.Item(item)
			return nil
		},
	}, crawl.Settings{
		FTP: crawl.FTPSettings{Password: password, Domain: "127.0.0.1"}, Logger: zap.NewNop(),
		Parts:         crawl.Parts{Handlers: map[string]crawl.OpenHandler{"ftp": ftp.Open}},
		ItemPipelines: []crawl.Stage{{Order: 100, Pipeline: &pipeline.FilesPipeline{Store: kept}}},
	})
	require.NoError(t, err)
	require.Equal(t, "finished", res.Reason)
	require.Len(t, item.Files, 1)
	require.Equal(t, int64(len("a document")), item.Files[0].Size)
	require.Equal(t, "application/pdf", item.Files[0].ContentType)
	require.True(t, strings.HasSuffix(item.Files[0].Path, ".pdf"), item.Files[0].Path)
}

// script is an FTP server of few words. say answers a command: "" is the usual answer, and "!" cuts the connection.
type script struct {
	addr string
	say  func(command string) string
	body string // of the file
	cut  int    // bytes of it that are sent; the final word follows
	last string // the final word

	mu       sync.Mutex
	accepted int      // Guarded by mu.
	from     []string // Guarded by mu: where connections came from, those for data too.
	password string   // Guarded by mu: the last one that was sent.
}

func serve(t *testing.T, s *script) *script {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = l.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.accepted++
			s.from = append(s.from, host(c))
			s.mu.Unlock()
			wg.Go(func() { s.talk(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return s
}

func (s *script) talk(c net.Conn) {
	defer c.Close()
	fmt.Fprint(c, "220 ready\r\n")
	var data net.Listener
	for lines := bufio.NewScanner(c); lines.Scan(); {
		command := strings.ToUpper(strings.Fields(lines.Text() + " ?")[0])
		if command == "PASS" {
			s.mu.Lock()
			s.password = strings.TrimPrefix(lines.Text(), "PASS ")
			s.mu.Unlock()
		}
		answer := ""
		if s.say != nil {
			answer = s.say(command)
		}
		switch {
		case answer == "!":
			return
		case answer != "":
			fmt.Fprint(c, answer+"\r\n")
			continue
		}
		switch command {
		case "USER":
			fmt.Fprint(c, "331 password\r\n")
		case "PASS":
			fmt.Fprint(c, "230 in\r\n")
		case "SIZE":
			fmt.Fprintf(c, "213 %d\r\n", len(s.body))
		case "EPSV":
			data, _ = net.Listen("tcp", "127.0.0.1:0")
			fmt.Fprintf(c, "229 Entering (|||%d|)\r\n", data.Addr().(*net.TCPAddr).Port)
		case "RETR":
			d, err := data.Accept()
			_ = data.Close()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.from = append(s.from, host(d))
			s.mu.Unlock()
			fmt.Fprint(c, "150 here\r\n")
			_, _ = io.WriteString(d, s.body[:s.cut])
			_ = d.Close()
			fmt.Fprint(c, s.last+"\r\n")
		case "QUIT":
			fmt.Fprint(c, "221 bye\r\n")
			return
		default:
			fmt.Fprint(c, "200 fine\r\n")
		}
	}
}

func host(c net.Conn) string { return c.RemoteAddr().(*net.TCPAddr).IP.String() }

// TestBindAddress reads a file from two addresses of this machine in turn: each has a connection of its own, which it keeps.
func TestBindAddress(t *testing.T) {
	t.Parallel()
	if l, err := net.Listen("tcp", "127.0.0.2:0"); err == nil {
		require.NoError(t, l.Close())
	} else {
		t.Skip("this machine has no address 127.0.0.2")
	}
	s := serve(t, &script{body: "all of it", cut: 9, last: "226 done"})
	d := open(t, nil)
	ask := func(bind string) (*crawl.Response, error) {
		return d.Fetch(t.Context(), crawl.Get("ftp://"+s.addr+"/file", func(r *crawl.Request) { r.Knobs = &crawl.Knobs{BindAddress: bind} }))
	}
	for range 2 {
		for _, bind := range []string{"127.0.0.2", "127.0.0.3", ""} {
			resp, err := ask(bind)
			require.NoError(t, err)
			require.Equal(t, 200, resp.Status)
		}
	}
	s.mu.Lock()
	require.Equal(t, strings.Fields("127.0.0.2 127.0.0.2 127.0.0.3 127.0.0.3 127.0.0.1 127.0.0.1 127.0.0.2 127.0.0.3 127.0.0.1"), s.from)
	require.Equal(t, 3, s.accepted)
	s.mu.Unlock()
	for bind, says := range map[string]string{"192.0.2.7": "from bind address 192.0.2.7: ", "eth0": `bind address "eth0"`} {
		_, err := ask(bind)
		var failed *crawl.DownloadError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, crawl.KindRequest, failed.Kind, err)
		require.ErrorContains(t, err, says)
	}
}

// TestPasswordStaysAtItsDomain has pages that may name any host.
func TestPasswordStaysAtItsDomain(t *testing.T) {
	t.Parallel()
	for domain, want := range map[string]string{"127.0.0.1": password, "": "guest", "27.0.0.1": "guest", "0.0.1": password} {
		s := serve(t, &script{body: "x", cut: 1, last: "226 done"})
		d := open(t, func(settings *crawl.Settings) { settings.FTP.Domain = domain })
		resp, body := fetch(t, d, "ftp://"+s.addr+"/file")
		require.Equal(t, 200, resp.Status)
		require.Equal(t, "x", body)
		s.mu.Lock()
		require.Equal(t, want, s.password, domain)
		s.mu.Unlock()
	}
}

func TestBadServers(t *testing.T) {
	t.Parallel()
	on := func(command, answer string) func(string) string {
		return func(c string) string {
			if c == command {
				return answer
			}
			return ""
		}
	}
	const body = "0123456789"
	for name, c := range map[string]struct {
		script *script
		kind   crawl.Kind
		status int
	}{
		"as it should be":             {&script{body: body, cut: 10, last: "226 done"}, "", 200},
		"250 at the end":              {&script{body: body, cut: 10, last: "250 done"}, "", 200},
		"a SIZE that is none":         {&script{body: body, cut: 10, last: "226 done", say: on("SIZE", "213 many")}, "", 200},
		"a SIZE beyond all":           {&script{body: body, cut: 10, last: "226 done", say: on("SIZE", "213 99999999999999999999")}, "", 200},
		"a SIZE below all":            {&script{body: body, cut: 10, last: "226 done", say: on("SIZE", "213 -5")}, "", 200},
		"no SIZE":                     {&script{body: body, cut: 10, last: "226 done", say: on("SIZE", "502 what")}, "", 200},
		"cut short, and proud of it":  {&script{body: body, cut: 5, last: "226 done"}, crawl.KindTruncated, 0},
		"cut short without SIZE":      {&script{body: body, cut: 5, last: "426 aborted", say: on("SIZE", "502 what")}, crawl.KindTruncated, 0},
		"too many at login":           {&script{say: on("USER", "421 too many")}, crawl.KindConnection, 0},
		"no such user":                {&script{say: on("PASS", "530 no")}, crawl.KindRequest, 0},
		"not now":                     {&script{body: body, say: on("RETR", "450 busy")}, "", 503},
		"gone at RETR":                {&script{body: body, say: on("RETR", "!")}, crawl.KindConnection, 0},
		"gone at SIZE":                {&script{body: body, say: on("SIZE", "!")}, crawl.KindConnection, 0},
		"no data connection":          {&script{body: body, say: func(c string) string { return map[string]string{"EPSV": "502 no", "PASV": "502 no"}[c] }}, "", 503},
		"the file, and the end is no": {&script{body: body, cut: 10, last: "451 disk"}, crawl.KindTruncated, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.script)
			d := open(t, nil)
			resp, err := d.Fetch(t.Context(), crawl.Get("ftp://"+s.addr+"/file"))
			if c.kind != "" {
				var failed *crawl.DownloadError
				require.ErrorAs(t, err, &failed)
				require.Equal(t, c.kind, failed.Kind, "%v", err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.status, resp.Status)
			require.NoError(t, resp.Close())
		})
	}
}

// TestConnectionsAreUsedAgain asks twice over one connection, and once more after the server has closed it.
func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	s := serve(t, &script{body: "body", cut: 4, last: "226 done"})
	s.say = func(command string) string {
		if command == "SIZE" && asked.Add(1) == 3 {
			return "!"
		}
		return ""
	}
	d := open(t, nil)
	for range 4 {
		_, body := fetch(t, d, "ftp://"+s.addr+"/file")
		require.Equal(t, "body", body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, 2, s.accepted)
}

// TestOutOfStep has a server that says something once too often: what it answers from then on is the answer to the command before.
func TestOutOfStep(t *testing.T) {
	t.Parallel()
	s := serve(t, &script{body: "body", cut: 4, last: "226 done\r\n226 done"})
	d := open(t, nil)
	for range 4 {
		_, body := fetch(t, d, "ftp://"+s.addr+"/file")
		require.Equal(t, "body", body)
	}
	s.mu.Lock()
	require.Equal(t, 4, s.accepted)
	s.mu.Unlock()

	var asked atomic.Int64
	s = serve(t, &script{body: "body", cut: 4, last: "226 done"})
	s.say = func(command string) string {
		if command == "SIZE" && asked.Add(1) == 2 {
			return "213 4\r\n213 4" // the first that comes too late for SIZE is taken for what was asked next
		}
		return ""
	}
	for range 3 {
		_, body := fetch(t, d, "ftp://"+s.addr+"/file")
		require.Equal(t, "body", body)
	}
}

// TestItEnds asks a server that never answers: the request's time ends it, and so does its caller.
func TestItEnds(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"USER", "SIZE", "RETR"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			free := make(chan struct{})
			here := make(chan struct{}, 2)
			s := serve(t, &script{body: "body", say: func(command string) string {
				if command == at {
					here <- struct{}{}
					<-free
				}
				return ""
			}})
			t.Cleanup(func() { close(free) })
			d := open(t, nil)
			req := crawl.Get("ftp://" + s.addr + "/file")
			req.Knobs = &crawl.Knobs{Timeout: 50 * time.Millisecond}
			fails(t, d, req, crawl.KindTimeout, "50ms")
			<-here
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-here
				cancel()
			}()
			_, err := d.Fetch(ctx, crawl.Get("ftp://"+s.addr+"/file"))
			require.ErrorIs(t, err, context.Canceled)
			var failed *crawl.DownloadError
			require.False(t, errors.As(err, &failed))
		})
	}
}

// TestServerThatTalksWithoutEnd greets with a line, or with lines, that never end. The library would read them all.
func TestServerThatTalksWithoutEnd(t *testing.T) {
	t.Parallel()
	for _, chunk := range []string{strings.Repeat("a", 1<<16), strings.Repeat("220-aaaaaaaaaaaaaaaaaa\r\n", 1<<12)} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		sent := make(chan int, 1)
		go func() {
			n := 0
			defer func() { sent <- n }()
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			for n < 200<<20 {
				m, err := io.WriteString(c, chunk)
				if n += m; err != nil {
					return
				}
			}
		}()
		_, err = open(t, nil).Fetch(t.Context(), crawl.Get("ftp://"+l.Addr().String()+"/file"))
		require.ErrorContains(t, err, "the server talks without end")
		require.Less(t, <-sent, 50<<20)
		require.NoError(t, l.Close())
	}
}

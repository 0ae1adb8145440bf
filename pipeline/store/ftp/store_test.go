package ftp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/textproto"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
	"github.com/tulle-go/tulle/pipeline/store/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	servers := []struct {
		name, uri string
		config    []string
	}{
		{"plain", "ftp://%/", nil},
		{"explicit TLS", "ftp://%/?tls=explicit", secure(trusted)},
		{"implicit TLS", "ftps://%/", append(secure(trusted), "implicit_ssl=YES")},
		{"no MDTM", "ftp://%/", []string{"cmds_denied=MDTM"}},
		{"no setting of times", "ftp://%/", []string{"mdtm_write=NO"}},
	}
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			v := start(t, s.config...)
			storetest.Run(t, func(t *testing.T) crawl.Store { return open(t, v.uri(s.uri, v.folder(t)), settings()) })
		})
	}
}

// TestStartErrors sees that what is wrong with a server is said at the start, with its name, the command and the reply, and without a password.
func TestStartErrors(t *testing.T) {
	t.Parallel()
	v, tlsOnly := start(t), start(t, secure(certificate(t.TempDir()))...)
	readOnly := start(t, "write_enable=NO")
	wrong := func(c crawl.FTPSettings) crawl.FTPSettings {
		c.Password = "wrong"
		return c
	}
	for _, test := range []struct {
		name, uri string
		settings  crawl.FTPSettings
		says      []string
	}{
		{"nobody listens", "ftp://127.0.0.1:1/", settings(), []string{"127.0.0.1:1: connect: ", "refused"}},
		{"password", v.uri("ftp://%/", ""), wrong(settings()), []string{v.addr + `: log in as "anonymous": 530 "Login incorrect."`}},
		{"user", "ftp://somebody:wrong@" + v.addr, settings(), []string{v.addr + `: log in as "somebody": `, "This FTP server is anonymous only."}},
		{"folder", v.uri("ftp://%/", "no/such"), settings(), []string{v.addr + `: CWD no/such: 550 "Failed to change directory."`}},
		{"read only", readOnly.uri("ftp://%/", ""), settings(), []string{"MKD ", `550 "Permission denied."`}},
		{"no TLS", v.uri("ftp://%/?tls=explicit", ""), settings(), []string{v.addr + `: connect (AUTH TLS): 530 "Please login with USER and PASS."`}},
		{"plain where TLS is asked for", tlsOnly.uri("ftp://%/", ""), settings(), []string{tlsOnly.addr + ": log in as", "encryption"}},
		{"certificate", tlsOnly.uri("ftp://%/?tls=explicit", ""), settings(), []string{tlsOnly.addr + ": log in as", "failed to verify certificate"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			uri := test.uri
			if rest, ok := strings.CutSuffix(uri, "?tls=explicit"); ok {
				uri = strings.TrimSuffix(rest, "/") + "/?tls=explicit"
			}
			_, err := tryOpen(t.Context(), uri, test.settings)
			for _, s := range test.says {
				require.ErrorContains(t, err, s)
			}
			require.NotContains(t, err.Error(), "wrong")
		})
	}
	insecure := settings()
	insecure.InsecureTLS = true
	require.NotNil(t, open(t, "ftp://"+tlsOnly.addr+"/?tls=explicit", insecure))
}

// TestPaths sees that a path begins where the login leads, and with two slashes at the root.
func TestPaths(t *testing.T) {
	t.Parallel()
	v := start(t)
	require.NoError(t, os.MkdirAll(filepath.Join(v.root, "a b", `qu"ote`), 0o755))
	for i, path := range []string{"/a%20b/qu%22ote", "/" + strings.ReplaceAll(v.root, " ", "%20") + "/a%20b/qu%22ote/"} {
		s := open(t, "ftp://"+v.addr+path, settings())
		name := fmt.Sprintf("full/%d", i)
		require.NoError(t, s.Put(t.Context(), name, strings.NewReader("x"), crawl.Meta{}))
		require.FileExists(t, filepath.Join(v.root, "a b", `qu"ote`, name))
	}
}

// operations are all that a store does, on a store in which full/old is "before".
var operations = []struct {
	name string
	run  func(context.Context, *Store) error
}{
	{"put new", func(ctx context.Context, s *Store) error {
		return s.Put(ctx, "full/deep/new", strings.NewReader("after!"), crawl.Meta{Checksum: "new"})
	}},
	{"put old", func(ctx context.Context, s *Store) error {
		return s.Put(ctx, "full/old", strings.NewReader("and after"), crawl.Meta{Checksum: "new"})
	}},
	{"stat", func(ctx context.Context, s *Store) error {
		info, err := s.Stat(ctx, "full/old")
		if err == nil && (info.Size != 6 || info.Meta.Checksum != "old") {
			return fmt.Errorf("%+v", info)
		}
		return err
	}},
	{"open", func(ctx context.Context, s *Store) error {
		r, err := s.Open(ctx, "full/old")
		if err != nil {
			return err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err == nil && string(b) != "before" {
			return fmt.Errorf("read %q", b)
		}
		return err
	}},
	{"touch", func(ctx context.Context, s *Store) error {
		return s.Touch(ctx, "full/old", crawl.Meta{Checksum: "new"})
	}},
	{"record", func(ctx context.Context, s *Store) error {
		info, err := s.Stat(ctx, "full/old")
		if err != nil {
			return err
		}
		info.Meta.Checksum = "new"
		return s.Record(ctx, "full/old", info)
	}},
}

// TestBrokenConnections breaks the control connection at every command of every operation, before the server gets it or before its reply arrives, once for each.
func TestBrokenConnections(t *testing.T) {
	t.Parallel()
	v := start(t)
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			p := v.proxy(t)
			for _, how := range []verdict{cutBefore, cutAfter} {
				for at := 1; ; at++ {
					s := open(t, "ftp://"+p.addr+"/"+strings.ReplaceAll(v.folder(t), " ", "%20"), settings())
					require.NoError(t, s.Put(t.Context(), "full/old", strings.NewReader("before"), crawl.Meta{Checksum: "old"}))
					seen, command := 0, ""
					p.set(func(line string) (verdict, string) {
						if seen++; seen == at {
							command = line
							return how, ""
						}
						return pass, ""
					})
					err := op.run(t.Context(), s)
					p.set(nil)
					if seen < at {
						require.NoError(t, err)
						require.Greater(t, at, 2, "something was asked")
						break
					}
					require.NoError(t, err, "cut at %q", command)
					switch op.name {
					case "put new":
						require.Equal(t, "after!", read(t, s, "full/deep/new"))
						info, err := s.Stat(t.Context(), "full/deep/new")
						require.NoError(t, err)
						require.Equal(t, "new", info.Meta.Checksum)
					case "put old", "touch", "record":
						info, err := s.Stat(t.Context(), "full/old")
						require.NoError(t, err)
						require.Equal(t, "new", info.Meta.Checksum, "cut at %q", command)
					}
					require.NoError(t, s.Close())
				}
			}
		})
	}
}

// TestKilled ends the client at every command of a Put: nobody says another word. What is there then, for others, is the old file with its record or without one, or the new.
func TestKilled(t *testing.T) {
	t.Parallel()
	v := start(t)
	for _, op := range operations[:2] {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			p := v.proxy(t)
			for at := 1; ; at++ {
				folder := v.folder(t)
				s := open(t, "ftp://"+p.addr+"/"+strings.ReplaceAll(folder, " ", "%20"), settings())
				require.NoError(t, s.Put(t.Context(), "full/old", strings.NewReader("before"), crawl.Meta{Checksum: "old"}))
				seen := 0
				p.set(func(string) (verdict, string) {
					if seen++; seen >= at {
						p.mu.Lock()
						p.dead = true
						p.mu.Unlock()
						return cutAfter, ""
					}
					return pass, ""
				})
				err := op.run(t.Context(), s)
				p.set(nil)
				p.mu.Lock()
				p.dead = false
				p.mu.Unlock()
				if seen < at {
					require.NoError(t, err)
					return
				}
				require.Error(t, err)
				other := open(t, v.uri("ftp://%/", folder), settings())
				found := map[string]bool{}
				for _, name := range []string{"full/old", "full/deep/new"} {
					info, err := other.Stat(t.Context(), name)
					if errors.Is(err, fs.ErrNotExist) {
						continue
					}
					require.NoError(t, err)
					found[name] = true
					content := read(t, other, name)
					require.Contains(t, []string{"before", "after!", "and after"}, content)
					if info.Meta.Checksum != "" {
						require.Equal(t, content == "before", info.Meta.Checksum == "old", "at %d: the record of another file", at)
					}
				}
				require.True(t, found["full/old"])
			}
		})
	}
}

// TestIdleConnections are closed by the server, all at once, and by the store after a while.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	v := start(t)
	p := v.proxy(t)
	s := open(t, "ftp://"+p.addr, settings())
	fill := func() {
		var readers []io.Closer
		for range 4 {
			r, err := s.Open(t.Context(), "a")
			require.NoError(t, err)
			_, err = io.ReadAll(io.LimitReader(r, 0))
			require.NoError(t, err)
			readers = append(readers, r)
		}
		for _, r := range readers {
			_, err := io.Copy(io.Discard, r.(io.Reader))
			require.NoError(t, err)
			require.NoError(t, r.Close())
		}
	}
	require.NoError(t, s.Put(t.Context(), "a", strings.NewReader("a"), crawl.Meta{}))
	fill()
	n, _, _ := p.counts()
	require.Equal(t, 4, n)
	var mu sync.Mutex
	stale := 0
	p.set(func(string) (verdict, string) {
		mu.Lock()
		defer mu.Unlock()
		if stale++; stale == 1 {
			return answer, "421 Timeout."
		}
		return pass, ""
	})
	require.NoError(t, s.Put(t.Context(), "b", struct{ io.Reader }{strings.NewReader("b")}, crawl.Meta{}), "421 on a connection that was idle")
	require.Equal(t, "b", read(t, s, "b"))

	s.pool.idleFor = 10 * time.Millisecond
	fill()
	require.Eventually(t, func() bool {
		n, _, _ := p.counts()
		return n == 0
	}, 5*time.Second, 5*time.Millisecond)
	require.Equal(t, "b", read(t, s, "b"))
}

// TestConnections counts them at the server while fifty files go there, and sees that they are used again.
func TestConnections(t *testing.T) {
	t.Parallel()
	v := start(t)
	p := v.proxy(t)
	s := open(t, "ftp://"+p.addr, settings())
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			name := fmt.Sprintf("full/%d/ü %d.bin", i%7, i)
			if err := s.Put(t.Context(), name, strings.NewReader(name), crawl.Meta{Checksum: name}); err != nil {
				t.Error(err)
			}
			if info, err := s.Stat(t.Context(), name); err != nil || info.Meta.Checksum != name {
				t.Error(info, err)
			}
		})
	}
	wg.Wait()
	_, most, accepted := p.counts()
	require.Equal(t, 4, most)
	require.Equal(t, 4, accepted)
	left, err := os.ReadDir(filepath.Join(v.root, tempDir))
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestCrowded is a server that lets in one client less than the settings say.
func TestCrowded(t *testing.T) {
	t.Parallel()
	v := start(t, "max_per_ip=3")
	s := open(t, v.uri("ftp://%/", ""), settings())
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			if err := s.Put(t.Context(), fmt.Sprintf("full/%d", i), strings.NewReader("x"), crawl.Meta{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestOddServers answers some commands in place of vsftpd.
func TestOddServers(t *testing.T) {
	t.Parallel()
	v := start(t)
	t.Run("no rename onto a file", func(t *testing.T) {
		t.Parallel()
		p, dir := v.proxy(t), v.folder(t)
		p.set(func(line string) (verdict, string) {
			if to, ok := strings.CutPrefix(line, "RNTO "); ok {
				if _, err := os.Stat(to); err == nil {
					return answer, "550 File exists."
				}
			}
			return pass, ""
		})
		s := open(t, "ftp://"+p.addr+"/"+strings.ReplaceAll(dir, " ", "%20"), settings())
		for _, content := range []string{"first", "second", "third"} {
			require.NoError(t, s.Put(t.Context(), "full/a", strings.NewReader(content), crawl.Meta{Checksum: content}))
			require.Equal(t, content, read(t, s, "full/a"))
			info, err := s.Stat(t.Context(), "full/a")
			require.NoError(t, err)
			require.Equal(t, content, info.Meta.Checksum)
		}
		refusals := 0
		p.set(func(line string) (verdict, string) {
			if strings.HasPrefix(line, "RNTO ") && strings.HasSuffix(line, "/full/a") && !strings.Contains(line, metaDir) {
				// The new file may not have the name, before and after the old one was moved out of the way; the old one may have it back.
				if refusals++; refusals <= 2 {
					return answer, "553 Not allowed."
				}
			}
			return pass, ""
		})
		err := s.Put(t.Context(), "full/a", strings.NewReader("fourth"), crawl.Meta{})
		require.ErrorContains(t, err, "553")
		require.Equal(t, "third", read(t, s, "full/a"))
		left, err := os.ReadDir(filepath.Join(v.root, dir, tempDir))
		require.NoError(t, err)
		require.Empty(t, left)
	})
	t.Run("no FEAT", func(t *testing.T) {
		t.Parallel()
		p := v.proxy(t)
		p.set(func(line string) (verdict, string) {
			if line == "FEAT" {
				return answer, "500 What?"
			}
			return pass, ""
		})
		s := open(t, "ftp://"+p.addr+"/"+strings.ReplaceAll(v.folder(t), " ", "%20"), settings())
		require.NoError(t, s.Put(t.Context(), "a", strings.NewReader("a"), crawl.Meta{Checksum: "1"}))
		info, err := s.Stat(t.Context(), "a")
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), info.ModTime, time.Minute, "the record's")
		require.Equal(t, "1", info.Meta.Checksum)
	})
	t.Run("MLST alone", func(t *testing.T) {
		t.Parallel()
		p := v.proxy(t)
		p.set(func(line string) (verdict, string) {
			command, name, _ := strings.Cut(line, " ")
			switch command {
			case "FEAT":
				return answer, "211-Features\r\n MLST type*;size*;modify*;\r\n211 End"
			case "SIZE":
				return answer, "502 Not here."
			case "MLSD":
				return answer, "502 Not here."
			case "MLST":
				info, err := os.Stat(name)
				if err != nil {
					return answer, "550 No such file."
				}
				kind := "file"
				if info.IsDir() {
					kind = "dir"
				}
				return answer, fmt.Sprintf("250-Facts\r\n type=%s;size=%d;modify=%s; %s\r\n250 End", kind, info.Size(), info.ModTime().UTC().Format("20060102150405"), name)
			}
			return pass, ""
		})
		storetest.Run(t, func(t *testing.T) crawl.Store {
			return open(t, "ftp://"+p.addr+"/"+strings.ReplaceAll(v.folder(t), " ", "%20"), settings())
		})
	})
}

// TestTimes: rows T4 and E2. The server stands in another time zone, and files of others have no record.
func TestTimes(t *testing.T) {
	t.Parallel()
	v := start(t)
	s := open(t, v.uri("ftp://%/", ""), settings())
	at := time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC)
	name := filepath.Join(v.root, "theirs")
	require.NoError(t, os.WriteFile(name, []byte("theirs"), 0o644))
	require.NoError(t, os.Chtimes(name, at, at))
	info, err := s.Stat(t.Context(), "theirs")
	require.NoError(t, err)
	require.Equal(t, crawl.Info{Size: 6, ModTime: at}, info)

	require.NoError(t, s.Touch(t.Context(), "theirs", crawl.Meta{Checksum: "1"}))
	on, err := os.Stat(name)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), on.ModTime(), time.Minute, "the server's own time is set")

	// Cut short by the server's crash: its time is what it was.
	require.NoError(t, os.Truncate(name, 3))
	require.NoError(t, os.Chtimes(name, on.ModTime(), on.ModTime()))
	info, err = s.Stat(t.Context(), "theirs")
	require.NoError(t, err)
	require.Equal(t, crawl.Info{Size: 3}, info)
}

// TestRecordsOfDir: what a folder was filled with by store.Dir is known when it is served by FTP.
func TestRecordsOfDir(t *testing.T) {
	t.Parallel()
	v := start(t)
	dir, err := store.OpenDir(v.root)
	require.NoError(t, err)
	require.NoError(t, dir.Put(t.Context(), "full/a", strings.NewReader("a"), crawl.Meta{Checksum: "1"}))
	require.NoError(t, dir.Close())
	info, err := open(t, v.uri("ftp://%/", ""), settings()).Stat(t.Context(), "full/a")
	require.NoError(t, err)
	require.Equal(t, "1", info.Meta.Checksum)
}

// TestLeftovers of a crash go when they are a day old, and not before.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	v := start(t)
	tmp := filepath.Join(v.root, tempDir)
	require.NoError(t, os.MkdirAll(tmp, 0o755))
	for name, age := range map[string]time.Duration{"OLD": 25 * time.Hour, "YOUNG": 23 * time.Hour} {
		require.NoError(t, os.WriteFile(filepath.Join(tmp, name), []byte("half"), 0o644))
		at := time.Now().Add(-age)
		require.NoError(t, os.Chtimes(filepath.Join(tmp, name), at, at))
	}
	open(t, v.uri("ftp://%/", ""), settings())
	require.NoFileExists(t, filepath.Join(tmp, "OLD"))
	require.FileExists(t, filepath.Join(tmp, "YOUNG"))
}

// TestFoldersRemoved: somebody cleans up while the store is open.
func TestFoldersRemoved(t *testing.T) {
	t.Parallel()
	v := start(t)
	s := open(t, v.uri("ftp://%/", ""), settings())
	for range 2 {
		require.NoError(t, s.Put(t.Context(), "full/a", struct{ io.Reader }{strings.NewReader("a")}, crawl.Meta{Checksum: "1"}))
		require.Equal(t, "a", read(t, s, "full/a"))
		require.NoError(t, os.RemoveAll(filepath.Join(v.root, "full")))
		require.NoError(t, os.RemoveAll(filepath.Join(v.root, store.Private)))
	}
}

// TestReaderClosedEarly gives its connection up, and its place.
func TestReaderClosedEarly(t *testing.T) {
	t.Parallel()
	v := start(t)
	one := settings()
	one.Connections = 1
	s := open(t, v.uri("ftp://%/", ""), one)
	require.NoError(t, s.Put(t.Context(), "a", bytes.NewReader(make([]byte, 8<<20)), crawl.Meta{}))
	for range 3 {
		r, err := s.Open(t.Context(), "a")
		require.NoError(t, err)
		_, err = io.ReadFull(r, make([]byte, 10))
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.NoError(t, r.Close())
		_, err = r.Read(make([]byte, 1))
		require.ErrorIs(t, err, fs.ErrClosed)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := s.Open(ctx, "a")
	require.NoError(t, err)
	waiting, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	_, err = s.Stat(waiting, "a")
	require.ErrorIs(t, err, context.DeadlineExceeded, "the only connection is lent")
	cancel()
	_, err = io.Copy(io.Discard, r)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, r.Close())
	_, err = s.Stat(t.Context(), "a")
	require.NoError(t, err)
}

// TestMemory: 100 MB go up and come back in less than a tenth of that. It runs alone.
func TestMemory(t *testing.T) {
	const size = 100 << 20
	v := start(t)
	s := open(t, v.uri("ftp://%/", ""), settings())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sent, got := sha256.New(), sha256.New()
	pattern := rand.NewChaCha8([32]byte{1})
	r := io.TeeReader(io.LimitReader(pattern, size), sent)
	require.NoError(t, s.Put(t.Context(), "large", r, crawl.Meta{}))
	back, err := s.Open(t.Context(), "large")
	require.NoError(t, err)
	n, err := io.Copy(struct{ hash.Hash }{got}, back)
	require.NoError(t, err)
	require.NoError(t, back.Close())
	runtime.ReadMemStats(&after)
	require.EqualValues(t, size, n)
	require.Equal(t, sent.Sum(nil), got.Sum(nil))
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(10<<20), "bytes allocated in all")
}

// TestRecordForm holds the form of a record, which is store.Dir's.
func TestRecordForm(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(record{Size: 1, ModTime: 2, Meta: crawl.Meta{Checksum: "c"}})
	require.NoError(t, err)
	require.JSONEq(t, `{"size":1,"mtime":2,"meta":{"checksum":"c"}}`, string(b))
}

// TestTransferred: a transfer may end with 250 in place of 226, and with nothing else.
func TestTransferred(t *testing.T) {
	t.Parallel()
	fine, full, reset := &textproto.Error{Code: 250, Msg: "Done."}, &textproto.Error{Code: 452, Msg: "Disk full."}, errors.New("reset")
	require.NoError(t, transferred(nil))
	require.NoError(t, transferred(errors.Join(fine)))
	require.ErrorIs(t, transferred(errors.Join(full)), full)
	require.ErrorIs(t, transferred(errors.Join(reset, fine)), reset)
}

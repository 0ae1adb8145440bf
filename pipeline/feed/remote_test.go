package feed

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
	"github.com/tulle-go/tulle/pipeline/store/ftp"
	"github.com/tulle-go/tulle/pipeline/store/gcs"
	"github.com/tulle-go/tulle/pipeline/store/s3"
)

// programOf is the one that the environment variable names, as the stores' own tests have it.
func programOf(t *testing.T, variable string) string {
	t.Helper()
	program := os.Getenv(variable)
	if program == "" {
		t.Skipf("no server: set %s as pipeline/store's tests say", variable)
	}
	return program
}

// server runs a program and returns the address that it listens on.
func server(t *testing.T, program string, args func(host, port string) []string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	cmd := exec.Command(program, args(host, port)...)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", addr)
		return err == nil && conn.Close() == nil
	}, 30*time.Second, 20*time.Millisecond)
	return addr
}

// sent writes a feed in batches, one in two compressed, to a real server, and reads it back.
func sent(t *testing.T, base string, set func(*crawl.Settings), open crawl.OpenStore) {
	t.Helper()
	env, _ := environment(t)
	settings := crawl.Settings{FeedExport: crawl.FeedExportSettings{TempDir: t.TempDir()}}
	set(&settings)
	effective, err := settings.Effective(env.Spider)
	require.NoError(t, err)
	env.Settings = effective
	scheme, _, _ := strings.Cut(base, ":")
	env.Settings.Parts.Stores = map[string]crawl.OpenStore{scheme: open}
	withCounted(env, new(counted))
	s := start(t, env, crawl.Feed{URI: base + "/%(name)s/%(batch_id)03d.jsonl.gz", BatchItems: 2}, crawl.Feed{URI: base + "/all.json"}, crawl.Feed{URI: base + "/all.counted"})
	big := map[string]any{"text": strings.Repeat("x", 20<<20)} // more than one part of an upload
	write(t, s, lamp, chair, big)
	require.NoError(t, s.Close())
	for _, r := range s.Results() {
		require.NoError(t, r.Err)
	}
	there, err := store.Open(t.Context(), base, env)
	require.NoError(t, err)
	defer there.(io.Closer).Close()
	text := func(name, kind string) string {
		info, err := there.Stat(t.Context(), name)
		require.NoError(t, err)
		if kind != "" {
			require.Equal(t, kind, info.Meta.ContentType, name)
		}
		r, err := there.Open(t.Context(), name)
		require.NoError(t, err)
		defer r.Close()
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		return string(b)
	}
	gz, ndjson := "application/gzip", "application/json"
	if strings.HasPrefix(scheme, "ftp") {
		gz, ndjson = "", ""
	}
	require.Equal(t, lampJSON+"\n"+chairJSON+"\n", unpacked(t, text("shop/001.jsonl.gz", gz)))
	require.Equal(t, `{"text":"`+big["text"].(string)+`"}`+"\n", unpacked(t, text("shop/002.jsonl.gz", gz)))
	require.Equal(t, "[\n"+lampJSON+",\n"+chairJSON+",\n"+`{"text":"`+big["text"].(string)+`"}`+"\n]\n", text("all.json", ndjson))
	require.True(t, strings.HasPrefix(text("all.counted", ""), "3 records: "))
	require.Empty(t, files(t, settings.FeedExport.TempDir))
}

func TestS3(t *testing.T) {
	t.Parallel()
	const id, secret = "feed-id", "feed-secret"
	dir := t.TempDir()
	addr := server(t, programOf(t, "TULLE_TEST_S3"), func(host, port string) []string {
		return []string{"--access", id, "--secret", secret, "--port", host + ":" + port, "--quiet", "posix", dir}
	})
	transport, err := minio.DefaultTransport(false)
	require.NoError(t, err)
	defer transport.CloseIdleConnections()
	client, err := minio.NewCore(addr, &minio.Options{Creds: credentials.NewStaticV4(id, secret, ""), Transport: transport})
	require.NoError(t, err)
	require.NoError(t, client.MakeBucket(t.Context(), "items", minio.MakeBucketOptions{}))
	sent(t, "s3://items/a/b", func(s *crawl.Settings) {
		s.AWS = crawl.AWSSettings{AccessKeyID: id, SecretAccessKey: secret, Endpoint: "http://" + addr, Region: "us-east-1"}
	}, s3.Open)
	left, err := client.ListMultipartUploads(t.Context(), "items", "", "", "", "", 10)
	require.NoError(t, err)
	require.Empty(t, left.Uploads, "the probe is taken back")
}

func TestGCS(t *testing.T) {
	t.Parallel()
	addr := server(t, programOf(t, "TULLE_TEST_GCS"), func(host, port string) []string {
		here := "http://" + host + ":" + port
		return []string{"-scheme", "http", "-host", host, "-port", port, "-external-url", here, "-public-host", host + ":" + port, "-backend", "memory", "-log-level", "error"}
	})
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+addr+"/storage/v1/b?project=p", "application/json", strings.NewReader(`{"name":"items"}`))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	sent(t, "gs://items/a", func(s *crawl.Settings) {
		s.GCS = crawl.GCSSettings{Endpoint: "http://" + addr, CredentialsFile: "none"}
	}, gcs.Open)
}

// TestNotWritable is a bucket that may be read only: it is found before the crawl.
func TestNotWritable(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code, status := "NoSuchKey", http.StatusNotFound
		if r.Method == http.MethodPost {
			code, status = "AccessDenied", http.StatusForbidden
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>It says no.</Message></Error>")
	}))
	defer site.Close()
	env, _ := environment(t)
	env.Settings.AWS = crawl.AWSSettings{AccessKeyID: "a", SecretAccessKey: "b", Endpoint: site.URL, Region: "us-east-1"}
	env.Settings.Parts.Stores = map[string]crawl.OpenStore{"s3": s3.Open}
	_, err := Open(context.Background(), env, []crawl.Feed{{URI: "s3://items/f.jsonl"}})
	require.EqualError(t, err, "feed s3://items/f.jsonl: nothing can be written there: begin an upload: It says no (AccessDenied, status 403)")
}

func TestFTP(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("vsftpd")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/vsftpd"); err != nil {
			t.Skip("no FTP server: apt-get install vsftpd")
		}
	}
	me, err := user.Current()
	require.NoError(t, err)
	dir := t.TempDir()
	for _, d := range []string{"root", "empty"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "passwords"), []byte("pass\n"), 0o600))
	addr := server(t, program, func(_, port string) []string {
		lines := []string{
			"listen=YES", "listen_address=127.0.0.1", "listen_port=" + port, "background=NO", "run_as_launching_user=YES", "local_enable=NO",
			"anonymous_enable=YES", "ftp_username=" + me.Username, "anon_root=" + filepath.Join(dir, "root"), "anon_umask=022", "anon_world_readable_only=NO",
			"secure_email_list_enable=YES", "email_password_file=" + filepath.Join(dir, "passwords"), "secure_chroot_dir=" + filepath.Join(dir, "empty"),
			"write_enable=YES", "anon_upload_enable=YES", "anon_mkdir_write_enable=YES", "anon_other_write_enable=YES", "seccomp_sandbox=NO",
		}
		file := filepath.Join(dir, "vsftpd.conf")
		require.NoError(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
		return []string{file}
	})
	sent(t, "ftp://anonymous:pass@"+addr+"/deep/er", func(*crawl.Settings) {}, ftp.Open)
}

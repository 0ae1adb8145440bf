package s3_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
	"github.com/tulle-go/tulle/downloader/s3"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

func TestMain(m *testing.M) {
	// What the machine has set for other programs is not for these servers.
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} {
		if err := os.Unsetenv(name); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

const (
	id     = "an-id"
	secret = "a-secret"
	bucket = "pictures"
)

// start runs a versitygw with one bucket and returns the settings for it, and a client.
func start(t *testing.T) (crawl.AWSSettings, *minio.Core) {
	t.Helper()
	program := os.Getenv("TULLE_TEST_S3")
	if program == "" {
		t.Skip("no server: go build -modfile=.ci/go.mod -o FILE github.com/versity/versitygw/cmd/versitygw, and set TULLE_TEST_S3=FILE")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	cmd := exec.Command(program, "--access", id, "--secret", secret, "--port", addr, "--quiet", "posix", t.TempDir())
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
	}, 30*time.Second, 20*time.Millisecond, "versitygw does not listen")
	transport, err := minio.DefaultTransport(false)
	require.NoError(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	client, err := minio.NewCore(addr, &minio.Options{Creds: credentials.NewStaticV4(id, secret, ""), Transport: transport})
	require.NoError(t, err)
	require.NoError(t, client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}))
	return crawl.AWSSettings{AccessKeyID: id, SecretAccessKey: secret, Endpoint: "http://" + addr}, client
}

func put(t *testing.T, client *minio.Core, key, content, mime string) {
	t.Helper()
	_, err := client.PutObject(t.Context(), bucket, key, strings.NewReader(content), int64(len(content)), "", "", minio.PutObjectOptions{ContentType: mime})
	require.NoError(t, err)
}

func open(t *testing.T, aws crawl.AWSSettings, change func(*crawl.Settings)) *downloader.Downloader {
	t.Helper()
	s := crawl.Settings{AWS: aws, Parts: crawl.Parts{Handlers: map[string]crawl.OpenHandler{"s3": s3.Open}}}
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

func fetch(t *testing.T, f crawl.Fetcher, req *crawl.Request) (*crawl.Response, string) {
	t.Helper()
	resp, err := f.Fetch(t.Context(), req)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, resp.Close()) })
	require.Same(t, req, resp.Request)
	require.Equal(t, req.URL, resp.URL)
	b, err := resp.Bytes()
	require.NoError(t, err)
	return resp, string(b)
}

func fails(t *testing.T, f crawl.Fetcher, req *crawl.Request, kind crawl.Kind, says string) {
	t.Helper()
	_, err := f.Fetch(t.Context(), req)
	var failed *crawl.DownloadError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, kind, failed.Kind, "%v", err)
	require.ErrorContains(t, err, says)
	require.NotContains(t, err.Error(), secret)
}

func TestObjects(t *testing.T) {
	t.Parallel()
	aws, client := start(t)
	large := strings.Repeat("0123456789", 300_000)
	for key, content := range map[string]string{"a.jpg": "a picture", "a folder/a+name?ö&=.txt": "text", "large": large} {
		put(t, client, key, content, "image/jpeg")
	}
	d := open(t, aws, nil)
	for _, c := range []struct {
		url, body string
		status    int
	}{
		{"s3://pictures/a.jpg", "a picture", 200},
		{"s3://pictures/a%20folder/a+name%3F%C3%B6&=.txt", "text", 200},
		{"s3://pictures/large", large, 200},
		{"s3://pictures/missing.jpg", "NoSuchKey", 404},
		{"s3://elsewhere/a.jpg", "NoSuchBucket", 404},
		{"s3://pictures/a.jpg?response-content-type=a/b", "a picture", 200},
	} {
		req := crawl.Get(c.url)
		req.Header = http.Header{"User-Agent": {"a crawl"}, "Accept": {"*/*"}}
		resp, body := fetch(t, d, req)
		require.Equal(t, c.status, resp.Status, "%s: %s", c.url, body)
		if c.status == 200 {
			require.Equal(t, c.body, body, c.url)
			require.NotEmpty(t, resp.Header.Get("Etag"))
			require.NotEmpty(t, resp.Header.Get("Last-Modified"))
			require.Equal(t, len(body) > 1<<20, resp.Body.Path() != "", "%s is spooled", c.url)
		} else {
			require.Contains(t, body, c.body, c.url)
		}
		require.NotContains(t, req.Header, "Authorization", "the request is the caller's")
	}
	head := crawl.Get("s3://pictures/a.jpg")
	head.Method = "HEAD"
	resp, body := fetch(t, d, head)
	require.Equal(t, "image/jpeg", resp.Header.Get("Content-Type"))
	require.Empty(t, body)
	part := crawl.Get("s3://pictures/a.jpg")
	part.Header = http.Header{"Range": {"bytes=2-4"}}
	resp, body = fetch(t, d, part)
	require.Equal(t, "pic", body)
	require.Equal(t, 206, resp.Status)

	small := crawl.Get("s3://pictures/large")
	small.Knobs = &crawl.Knobs{MaxSize: 1000}
	fails(t, d, small, crawl.KindTooLarge, "too large")
	wrong := aws
	wrong.SecretAccessKey = "wrong"
	resp, _ = fetch(t, open(t, wrong, nil), crawl.Get("s3://pictures/a.jpg"))
	require.Equal(t, 403, resp.Status)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	d := open(t, crawl.AWSSettings{AccessKeyID: id, SecretAccessKey: secret, Endpoint: "http://127.0.0.1:1"}, nil)
	for url, says := range map[string]string{
		"s3://pictures/": "s3://bucket/key", "s3://pictures": "s3://bucket/key", "s3:///key": "s3://bucket/key", "s3://user:word@pictures/key": "s3://bucket/key",
		"s3://pictures:80/key": "s3://bucket/key", "s3://a/key": "ucket name",
	} {
		fails(t, d, crawl.Get(url), crawl.KindRequest, says)
	}
	post := crawl.Get("s3://pictures/key")
	post.Method = "PUT"
	fails(t, d, post, crawl.KindRequest, "only be read")
	fails(t, d, crawl.Get("s3://pictures/key"), crawl.KindRefused, "refused")
	fails(t, open(t, crawl.AWSSettings{AccessKeyID: id, Endpoint: "http://127.0.0.1:1"}, nil), crawl.Get("s3://pictures/key"), crawl.KindRequest, "go together")
	e := &crawl.Env{Settings: &crawl.Settings{AWS: crawl.AWSSettings{Endpoint: "gopher://x"}}}
	_, err := s3.Open(e)
	require.ErrorContains(t, err, "aws.endpoint")
}

// TestAmazon plays Amazon: which hosts are asked, over TLS, for which region, and what a bucket in another region takes.
func TestAmazon(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	amazon := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.Method+" "+r.Host+r.RequestURI)
		mu.Unlock()
		auth := r.Header.Get("Authorization")
		region := "us-east-1"
		if strings.HasPrefix(r.Host, "far.") {
			region = "eu-west-3"
			w.Header().Set("X-Amz-Bucket-Region", region)
		}
		if !strings.Contains(auth, "/"+region+"/s3/aws4_request") || !strings.Contains(auth, "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = w.Write([]byte(r.Header.Get("X-Amz-Security-Token")))
	}))
	t.Cleanup(amazon.Close)
	d := open(t, crawl.AWSSettings{AccessKeyID: id, SecretAccessKey: secret, SessionToken: "a-token", InsecureTLS: true}, func(s *crawl.Settings) {
		s.Download.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, amazon.Listener.Addr().String())
		}
	})
	for n := range 2 {
		for _, b := range []string{"near", "far", "with.dots"} {
			req := crawl.Get("s3://" + b + "/a/k+y")
			if b == "far" && n == 0 {
				_, err := d.Fetch(t.Context(), req)
				var again *crawl.RescheduleError
				require.ErrorAs(t, err, &again, "it goes back to the queue, and is asked in its region")
				require.Same(t, req, again.Request)
			}
			_, body := fetch(t, d, req)
			require.Equal(t, "a-token", body, b)
		}
	}
	want := []string{
		"GET near.s3.us-east-1.amazonaws.com/a/k%2By", "GET far.s3.us-east-1.amazonaws.com/a/k%2By", "GET far.s3.eu-west-3.amazonaws.com/a/k%2By",
		"GET s3.us-east-1.amazonaws.com/with.dots/a/k%2By",
		"GET near.s3.us-east-1.amazonaws.com/a/k%2By", "GET far.s3.eu-west-3.amazonaws.com/a/k%2By", "GET s3.us-east-1.amazonaws.com/with.dots/a/k%2By",
	}
	require.Equal(t, want, asked)
	// A certificate that does not verify is an error, unless the settings say otherwise.
	strict := open(t, crawl.AWSSettings{AccessKeyID: id, SecretAccessKey: secret}, func(s *crawl.Settings) {
		s.Download.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, amazon.Listener.Addr().String())
		}
	})
	_, err := strict.Fetch(t.Context(), crawl.Get("s3://near/key"))
	var bad *tls.CertificateVerificationError
	require.ErrorAs(t, err, &bad)
}

// TestRegionsThatPointAtEachOther has a bucket that is always said to be elsewhere: it is asked in each of the two, and then the answer stands.
func TestRegionsThatPointAtEachOther(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	lost := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		told := "eu-west-3"
		if strings.Contains(r.Header.Get("Authorization"), "/eu-west-3/") {
			told = "us-east-1"
		}
		w.Header().Set("X-Amz-Bucket-Region", told)
		w.WriteHeader(http.StatusMovedPermanently)
	}))
	t.Cleanup(lost.Close)
	d := open(t, crawl.AWSSettings{AccessKeyID: id, SecretAccessKey: secret, Endpoint: lost.URL, Region: "us-east-1"}, nil)
	req := crawl.Get("s3://lost/key")
	_, err := d.Fetch(t.Context(), req)
	var again *crawl.RescheduleError
	require.ErrorAs(t, err, &again, "although the settings name the first")
	resp, _ := fetch(t, d, req)
	require.Equal(t, http.StatusMovedPermanently, resp.Status)
	require.EqualValues(t, 2, n.Load())
}

// TestCredentialsThatDoNotCome asks a machine that takes its time to say who it is: the request's own time limit holds, and the next one does not wait for the first.
func TestCredentialsThatDoNotCome(t *testing.T) {
	held := make(chan struct{})
	asked := make(chan struct{}, 10)
	machine := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-held
	}))
	t.Cleanup(machine.Close)
	t.Setenv("HOME", t.TempDir())
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", machine.URL)
	d := open(t, crawl.AWSSettings{}, nil)
	t.Cleanup(func() { close(held) }) // before the handler is closed
	for range 2 {
		req := crawl.Get("s3://bucket/key")
		req.SetKnobs(func(k *crawl.Knobs) { k.Timeout = 20 * time.Millisecond })
		fails(t, d, req, crawl.KindTimeout, "20ms")
	}
	<-asked
}

// TestMedia downloads a file through a whole crawl: row D15 for s3. Its page is in the bucket too: no other one may name what the crawl has keys for.
func TestMedia(t *testing.T) {
	t.Parallel()
	aws, client := start(t)
	put(t, client, "doc.pdf", "a document", "application/pdf")
	put(t, client, "page.html", "<p>a page", "text/html")
	type document struct {
		FileURLs []string     `json:"file_urls"`
		Files    []crawl.File `json:"files"`
	}
	item := &document{FileURLs: []string{"s3://pictures/doc.pdf", "s3://pictures/missing.pdf"}}
	res, err := engine.Run(t.Context(), &crawl.Spider{
		Name: "shop", StartURLs: []string{"s3://pictures/page.html"},
		Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
			out.Item(item)
			return nil
		},
	}, crawl.Settings{
		AWS: aws, Logger: zap.NewNop(), Parts: crawl.Parts{Handlers: map[string]crawl.OpenHandler{"s3": s3.Open}},
		ItemPipelines: []crawl.Stage{{Order: 100, Pipeline: &pipeline.FilesPipeline{Store: new(store.Memory)}}},
	})
	require.NoError(t, err)
	require.Equal(t, "finished", res.Reason)
	require.Len(t, item.Files, 1)
	require.Equal(t, int64(len("a document")), item.Files[0].Size)
	require.Equal(t, "application/pdf", item.Files[0].ContentType)
}

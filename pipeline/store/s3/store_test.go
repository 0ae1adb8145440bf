package s3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
	"github.com/tulle-go/tulle/pipeline/store/s3"
	"github.com/tulle-go/tulle/pipeline/store/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	srv := start(t, "conformance", "conformance-secret")
	storetest.Run(t, func(t *testing.T) crawl.Store { return open(t, srv.settings) })
}

// A1: a prefix and a name are joined by a slash, however the address is written.
func TestAddress(t *testing.T) {
	t.Parallel()
	srv := start(t, "address", "address-secret")
	for uri, key := range map[string]string{
		"s3://pictures":        "full/a.jpg",
		"s3://pictures/":       "full/a.jpg",
		"s3://pictures/b":      "b/full/a.jpg",
		"s3://pictures/c/":     "c/full/a.jpg",
		"s3://pictures/d e/f/": "d e/f/full/a.jpg",
	} {
		s := openAt(t, srv.settings, uri)
		put(t, s, "full/a.jpg", uri, crawl.Meta{})
		_, err := srv.client.StatObject(t.Context(), bucket, key, minio.StatObjectOptions{})
		require.NoError(t, err, uri)
		require.Equal(t, uri, string(content(t, s, "full/a.jpg")))
	}
	long := strings.Repeat("x/", 511) + "x"
	require.NoError(t, store.CheckName(long))
	err := openAt(t, srv.settings, "s3://pictures/b").Put(t.Context(), long+"y", strings.NewReader(""), crawl.Meta{})
	require.ErrorIs(t, err, store.ErrName, "with its prefix it is longer than keys may be")
}

// A3 A5 A7
func TestWhatGoesOverTheWire(t *testing.T) {
	t.Parallel()
	srv := start(t, "wire", "wire-secret")
	w, set := tap(t, srv.settings)
	s := openAt(t, set, "s3://pictures")
	asked, _ := w.take()
	require.Equal(t, []string{"GET /pictures/", "GET /pictures/.tulle/probe"}, asked, "region and probe")

	put(t, s, "full/a.jpg", "jpeg", crawl.Meta{ContentType: "image/jpeg", Checksum: "1"})
	require.NoError(t, s.Put(t.Context(), "full/large", &zeros{left: 9 << 20}, crawl.Meta{ContentType: "video/mp4"}))
	require.NoError(t, s.Touch(t.Context(), "full/a.jpg", crawl.Meta{ContentType: "image/jpeg", Checksum: "2"}))
	_, requests := w.take()
	require.Greater(t, len(requests), 5)
	for _, r := range requests {
		require.Empty(t, r.Header.Values("X-Amz-Acl"), "no ACL unless one is set")
	}
	require.Equal(t, "image/jpeg", requests[0].Header.Get("Content-Type"))
	require.Equal(t, "1", requests[0].Header.Get("X-Amz-Meta-Tulle-Checksum"))
	require.NotEmpty(t, requests[0].Header.Get("Content-Md5"))

	_, err := s.Stat(t.Context(), "full/a.jpg")
	require.NoError(t, err)
	asked, _ = w.take()
	require.Equal(t, []string{"HEAD /pictures/full/a.jpg"}, asked)

	object, err := srv.client.StatObject(t.Context(), bucket, "full/large", minio.StatObjectOptions{})
	require.NoError(t, err)
	require.Equal(t, "video/mp4", object.ContentType)
	require.EqualValues(t, 9<<20, object.Size)
}

// A3: the ACL is sent with everything that writes an object, a copy onto itself included: that resets it.
func TestACL(t *testing.T) {
	t.Parallel()
	w, set := tap(t, start(t, "acl", "acl-secret").settings)
	set.ACL = "public-read"
	s := openAt(t, set, "s3://pictures")
	w.take()
	wrote := func(asked string) bool {
		return strings.HasPrefix(asked, "PUT ") || strings.HasPrefix(asked, "POST ")
	}
	// The server's buckets take no ACLs, as Amazon's new ones do: what counts is what was sent.
	_ = s.Put(t.Context(), "small", strings.NewReader("a"), crawl.Meta{})
	_ = s.Put(t.Context(), "large", &zeros{left: 9 << 20}, crawl.Meta{})
	asked, requests := w.take()
	n := 0
	for i, r := range requests {
		if wrote(asked[i]) && !r.URL.Query().Has("uploadId") {
			require.Equal(t, "public-read", r.Header.Get("X-Amz-Acl"), asked[i])
			n++
		}
	}
	require.GreaterOrEqual(t, n, 2)

	plain := openAt(t, crawl.AWSSettings{AccessKeyID: set.AccessKeyID, SecretAccessKey: set.SecretAccessKey, Endpoint: set.Endpoint}, "s3://pictures")
	put(t, plain, "plain", "a", crawl.Meta{})
	w.take()
	_ = s.Touch(t.Context(), "plain", crawl.Meta{Checksum: "1"})
	asked, requests = w.take()
	require.Equal(t, "PUT /pictures/plain", asked[len(asked)-1])
	require.Equal(t, "public-read", requests[len(requests)-1].Header.Get("X-Amz-Acl"))
}

// What others have said of an object stays when its record is renewed.
func TestTouchKeepsWhatOthersSaid(t *testing.T) {
	t.Parallel()
	srv := start(t, "touch", "touch-secret")
	s := openAt(t, srv.settings, "s3://pictures")
	body := "from elsewhere"
	_, err := srv.client.Client.PutObject(t.Context(), bucket, "a.jpg", strings.NewReader(body), int64(len(body)), minio.PutObjectOptions{
		ContentType: "image/jpeg", CacheControl: "max-age=172800", UserMetadata: map[string]string{"Width": "7", "Owner": "shop"},
	})
	require.NoError(t, err)
	info, err := s.Stat(t.Context(), "a.jpg")
	require.NoError(t, err)
	require.Equal(t, crawl.Meta{ContentType: "image/jpeg"}, info.Meta, "the names of others are not ours")

	info.Meta.Checksum = "known"
	require.NoError(t, s.Record(t.Context(), "a.jpg", info))
	object, err := srv.client.StatObject(t.Context(), bucket, "a.jpg", minio.StatObjectOptions{})
	require.NoError(t, err)
	require.Equal(t, "max-age=172800", object.Metadata.Get("Cache-Control"))
	require.Equal(t, "shop", object.UserMetadata["Owner"])
	require.Equal(t, "7", object.UserMetadata["Width"])
	after, err := s.Stat(t.Context(), "a.jpg")
	require.NoError(t, err)
	require.Equal(t, info, after)

	before := time.Now().Add(-2 * time.Second)
	require.NoError(t, s.Touch(t.Context(), "a.jpg", info.Meta))
	after, err = s.Stat(t.Context(), "a.jpg")
	require.NoError(t, err)
	require.True(t, after.ModTime.After(before), "the time that was recorded is no more")
}

func TestLargeMeta(t *testing.T) {
	t.Parallel()
	s := open(t, start(t, "meta", "meta-secret").settings)
	meta := crawl.Meta{
		Checksum: "1", Width: 3, Height: 4, ContentType: "image/jpeg", ETag: `"x"`, LastModified: "Wed, 21 Oct 2015 07:28:00 GMT",
		FinalURL: "https://example.com/" + strings.Repeat("é", 2000), Thumbs: map[string]crawl.Thumb{"é ü%20": {Path: "thumbs/é ü/x.jpg", Width: 1, Height: 2}},
	}
	put(t, s, "a", "a", meta)
	info, err := s.Stat(t.Context(), "a")
	require.NoError(t, err)
	meta.FinalURL = ""
	require.Equal(t, meta, info.Meta)

	for i := range 40 {
		meta.Thumbs[fmt.Sprintf("%d", i)] = crawl.Thumb{Path: fmt.Sprintf("thumbs/%d/850233df65a5b83361798f532f1fc549cd13cbe9.jpg", i), Width: 1, Height: 2}
	}
	put(t, s, "a", "a", meta)
	info, err = s.Stat(t.Context(), "a")
	require.NoError(t, err)
	meta.Thumbs = nil
	require.Equal(t, meta, info.Meta)
}

func TestRetries(t *testing.T) {
	t.Parallel()
	w, set := tap(t, start(t, "retry", "retry-secret").settings)
	s := openAt(t, set, "s3://pictures")
	var failed atomic.Int64
	w.breakWith(func(r *http.Request) int {
		if r.Method != http.MethodGet && failed.Add(1) <= 2 {
			return http.StatusServiceUnavailable
		}
		return 0
	})
	put(t, s, "small", "bytes", crawl.Meta{})
	require.EqualValues(t, 3, failed.Load())
	failed.Store(0)
	require.NoError(t, s.Put(t.Context(), "large", &zeros{left: 9 << 20}, crawl.Meta{}))
	require.Len(t, content(t, s, "large"), 9<<20)
}

func TestLargeFilesTakeLittleMemory(t *testing.T) {
	srv := start(t, "large", "large-secret")
	s := open(t, srv.settings)
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var peak uint64
	reads := 0
	r := &zeros{left: 100 << 20, each: func() {
		if reads++; reads%8 == 0 {
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc)
		}
	}}
	require.NoError(t, s.Put(t.Context(), "large", r, crawl.Meta{}))
	info, err := s.Stat(t.Context(), "large")
	require.NoError(t, err)
	require.EqualValues(t, 100<<20, info.Size)
	require.NotZero(t, peak)
	grown := int64(peak) - int64(before.HeapAlloc)
	t.Logf("100 MiB took %d KiB", grown>>10)
	require.Less(t, grown, int64(24<<20))
}

// A reader that fails in the third part, and a context that ends there, leave what was there, and no parts.
func TestPutThatFailsLate(t *testing.T) {
	t.Parallel()
	srv := start(t, "late", "late-secret")
	s := openAt(t, srv.settings, "s3://pictures")
	put(t, s, "a", "as it was", crawl.Meta{Checksum: "1"})
	broken := errors.New("the source broke")
	err := s.Put(t.Context(), "a", io.MultiReader(&zeros{left: 20 << 20}, failing{broken}), crawl.Meta{})
	require.ErrorIs(t, err, broken)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	z := &zeros{left: 40 << 20}
	z.each = func() {
		if z.left < 20<<20 {
			cancel()
		}
	}
	require.ErrorIs(t, s.Put(ctx, "a", z, crawl.Meta{}), context.Canceled)

	require.Equal(t, "as it was", string(content(t, s, "a")))
	open, err := srv.client.ListMultipartUploads(t.Context(), bucket, "", "", "", "", 10)
	require.NoError(t, err)
	require.Empty(t, open.Uploads)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// The environment of a child that is killed while it uploads.
const (
	childURI      = "TULLE_S3_CHILD_URI"
	childEndpoint = "TULLE_S3_CHILD_ENDPOINT"
)

// child uploads two files that never end, and says when parts of them are on the server.
func child() {
	set := crawl.AWSSettings{AccessKeyID: "kill", SecretAccessKey: "kill-secret", Endpoint: os.Getenv(childEndpoint)}
	effective, err := crawl.Settings{AWS: set}.Effective(nil)
	if err != nil {
		panic(err)
	}
	s, err := s3.Open(context.Background(), os.Getenv(childURI), &crawl.Env{Settings: effective, Log: zap.NewNop()})
	if err != nil {
		panic(err)
	}
	go func() { panic(s.Put(context.Background(), "full/new", &zeros{left: 1 << 40}, crawl.Meta{})) }()
	n := int64(0)
	z := &zeros{left: 1 << 40}
	z.each = func() {
		if before := n; before < 24<<20 && 1<<40-z.left >= 24<<20 {
			fmt.Println("under way")
		}
		n = 1<<40 - z.left
	}
	panic(s.Put(context.Background(), "full/old", z, crawl.Meta{}))
}

func TestKilledWhileItUploads(t *testing.T) {
	t.Parallel()
	srv := start(t, "kill", "kill-secret")
	s := openAt(t, srv.settings, "s3://pictures/k")
	put(t, s, "full/old", "as it was", crawl.Meta{Checksum: "1"})
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childURI+"=s3://pictures/k", childEndpoint+"="+srv.settings.Endpoint)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = io.ReadFull(out, make([]byte, len("under way\n")))
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()

	require.Equal(t, "as it was", string(content(t, s, "full/old")))
	_, err = s.Stat(t.Context(), "full/new")
	require.ErrorIs(t, err, fs.ErrNotExist)
	put(t, s, "full/old", "renewed", crawl.Meta{})
	require.Equal(t, "renewed", string(content(t, s, "full/old")))
}

package gcs_test

import (
	"bytes"
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

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store/gcs"
	"github.com/tulle-go/tulle/pipeline/store/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	set := start(t)
	storetest.Run(t, func(t *testing.T) crawl.Store { return open(t, set) })
}

// G3: put and stat mean the same object, however the address is written.
func TestAddress(t *testing.T) {
	t.Parallel()
	set := start(t)
	for uri, key := range map[string]string{
		"gs://pictures": "full/a.jpg", "gs://pictures/": "full/a.jpg", "gs://pictures/b": "b/full/a.jpg", "gs://pictures/c d/": "c d/full/a.jpg",
	} {
		s := openAt(t, set, uri)
		put(t, s, "full/a.jpg", uri, crawl.Meta{})
		require.Equal(t, uri, string(content(t, openAt(t, set, "gs://pictures"), key)))
		_, err := s.Stat(t.Context(), "full/a.jpg")
		require.NoError(t, err)
	}
}

// G2
func TestWhatGoesOverTheWire(t *testing.T) {
	t.Parallel()
	w, set := tap(t, start(t), nil)
	s := openAt(t, set, "gs://pictures")
	w.take()
	put(t, s, "full/a.jpg", "jpeg", crawl.Meta{ContentType: "image/jpeg", Checksum: "1"})
	require.NoError(t, s.Put(t.Context(), "full/large", &pattern{size: 17 << 20}, crawl.Meta{ContentType: "video/mp4"}))
	asked, requests := w.take()
	require.Equal(t, []string{
		"POST /upload/storage/v1/b/pictures/o", "POST /upload/storage/v1/b/pictures/o",
	}, asked[:2])
	require.Equal(t, "multipart", requests[0].URL.Query().Get("uploadType"))
	require.Equal(t, "resumable", requests[1].URL.Query().Get("uploadType"))
	var ranges []string
	for _, r := range requests {
		require.False(t, r.URL.Query().Has("predefinedAcl"), "no ACL unless one is set")
		require.False(t, r.URL.Query().Has("userProject"))
		require.Empty(t, r.Header.Get("Authorization"))
		if c := r.Header.Get("Content-Range"); c != "" {
			ranges = append(ranges, c)
		}
	}
	require.Equal(t, []string{"bytes 0-5242879/*", "bytes 5242880-10485759/*", "bytes 10485760-15728639/*", "bytes 15728640-17825791/17825792"}, ranges)
	require.True(t, bytes.Equal(patternOf(t, 17<<20), content(t, s, "full/large")))
	w.take()

	_, err := s.Stat(t.Context(), "full/a.jpg")
	require.NoError(t, err)
	asked, _ = w.take()
	require.Equal(t, []string{"GET /storage/v1/b/pictures/o/full%2Fa.jpg"}, asked)

	set.ACL, set.Project = "publicRead", "payer"
	s = openAt(t, set, "gs://pictures")
	w.take()
	put(t, s, "small", "a", crawl.Meta{})
	_, requests = w.take()
	require.Equal(t, "publicRead", requests[0].URL.Query().Get("predefinedAcl"))
	require.Equal(t, "payer", requests[0].URL.Query().Get("userProject"))
}

func TestLargeMeta(t *testing.T) {
	t.Parallel()
	s := open(t, start(t))
	meta := crawl.Meta{
		Checksum: "1", Width: 3, Height: 4, ContentType: "image/jpeg", ETag: `"x"`, LastModified: "Wed, 21 Oct 2015 07:28:00 GMT",
		FinalURL: "https://example.com/" + strings.Repeat("é", 2000), Thumbs: map[string]crawl.Thumb{"é ü%20": {Path: "thumbs/é ü/x.jpg", Width: 1, Height: 2}},
	}
	put(t, s, "a", "a", meta)
	info, err := s.Stat(t.Context(), "a")
	require.NoError(t, err)
	meta.FinalURL = ""
	require.Equal(t, meta, info.Meta)
}

func TestRetries(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	_, set := tap(t, start(t), func(w http.ResponseWriter, _ *http.Request) bool {
		switch asked.Add(1) {
		case 3:
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		case 4:
			panic(http.ErrAbortHandler)
		}
		return false
	})
	s := openAt(t, set, "gs://pictures")
	require.EqualValues(t, 2, asked.Load())
	put(t, s, "small", "bytes", crawl.Meta{})
	require.EqualValues(t, 5, asked.Load())
	require.Equal(t, "bytes", string(content(t, s, "small")))
}

// resumable is a server that takes resumable uploads as Google's does: it may keep less than was sent, and says how much it has.
type resumable struct {
	got     []byte
	keep    []int // of each request with content, how many bytes are kept; then all
	fail    int   // how many of those requests break instead
	asked   []string
	cancel  bool
	wrong   bool // the MD5 that it reports is
	removed string
}

func (f *resumable) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/testPermissions"):
		fmt.Fprint(w, `{"permissions":["storage.objects.create","storage.objects.get","storage.objects.delete","storage.objects.update"]}`)
	case r.Method == http.MethodPost:
		w.Header().Set("Location", "http://"+r.Host+"/session")
	case r.Method == http.MethodDelete && r.URL.Path == "/session":
		f.cancel = true
		w.WriteHeader(499)
	case r.Method == http.MethodDelete:
		f.removed = r.URL.Path + " " + r.URL.Query().Get("ifGenerationMatch")
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPut:
		f.asked = append(f.asked, r.Header.Get("Content-Range"))
		body, _ := io.ReadAll(r.Body)
		var first, last, total int64 = 0, -1, -1
		if n, _ := fmt.Sscanf(r.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &total); n < 2 {
			_, _ = fmt.Sscanf(r.Header.Get("Content-Range"), "bytes */%d", &total)
		} else if first != int64(len(f.got)) || last-first+1 != int64(len(body)) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if len(body) > 0 && len(f.keep) > 0 {
			body = body[:f.keep[0]]
			f.keep = f.keep[1:]
		}
		f.got = append(f.got, body...)
		if len(body) > 0 && f.fail > 0 {
			f.fail--
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		if total == int64(len(f.got)) {
			sum := ""
			if f.wrong {
				sum = "AAAAAAAAAAAAAAAAAAAAAA=="
			}
			fmt.Fprintf(w, `{"size":"%d","generation":"7","md5Hash":"%s"}`, len(f.got), sum)
			return
		}
		if len(f.got) > 0 {
			w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", len(f.got)-1))
		}
		w.WriteHeader(http.StatusPermanentRedirect)
	}
}

func TestResume(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, c := range []struct {
		name string
		f    resumable
		want []string
	}{
		{"all well", resumable{}, []string{"bytes 0-5242879/*", "bytes 5242880-10485759/10485760"}},
		{"the server keeps less", resumable{keep: []int{mib, 2 * mib}}, []string{
			"bytes 0-5242879/*", "bytes 1048576-5242879/*", "bytes 3145728-5242879/*", "bytes 5242880-10485759/10485760",
		}},
		{"it keeps nothing, once", resumable{keep: []int{0}}, []string{"bytes 0-5242879/*", "bytes */*", "bytes 0-5242879/*", "bytes 5242880-10485759/10485760"}},
		{"it breaks after some", resumable{keep: []int{mib}, fail: 1}, []string{"bytes 0-5242879/*", "bytes */*", "bytes 1048576-5242879/*", "bytes 5242880-10485759/10485760"}},
		{"it breaks with all of the last", resumable{keep: []int{5 * mib, 5 * mib}, fail: 2}, []string{
			"bytes 0-5242879/*", "bytes */*", "bytes 5242880-10485759/10485760", "bytes */10485760",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := openFake(t, c.f.serve)
			require.NoError(t, s.Put(t.Context(), "a", &pattern{size: 10 * mib}, crawl.Meta{}))
			require.True(t, bytes.Equal(patternOf(t, 10*mib), c.f.got))
			require.Equal(t, c.want, c.f.asked)
			require.False(t, c.f.cancel)
		})
	}
	t.Run("another MD5", func(t *testing.T) {
		t.Parallel()
		f := &resumable{wrong: true}
		s := openFake(t, f.serve)
		require.ErrorContains(t, s.Put(t.Context(), "a", &pattern{size: 10 * mib}, crawl.Meta{}), "another MD5")
		require.Equal(t, "/storage/v1/b/pictures/o/a 7", f.removed)
	})
	t.Run("the reader fails", func(t *testing.T) {
		t.Parallel()
		f := new(resumable)
		s := openFake(t, f.serve)
		broken := errors.New("the source broke")
		err := s.Put(t.Context(), "a", io.MultiReader(&pattern{size: 10 * mib}, failing{broken}), crawl.Meta{})
		require.ErrorIs(t, err, broken)
		require.True(t, f.cancel)
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestLargeFilesTakeLittleMemory(t *testing.T) {
	s := openFake(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/testPermissions"):
			fmt.Fprint(w, `{"permissions":["storage.objects.create","storage.objects.get","storage.objects.delete","storage.objects.update"]}`)
		case r.Method == http.MethodPost:
			w.Header().Set("Location", "http://"+r.Host+"/session")
		default:
			_, _ = io.Copy(io.Discard, r.Body)
			var first, last, total int64
			if n, _ := fmt.Sscanf(r.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &total); n == 3 {
				fmt.Fprint(w, "{}")
				return
			}
			w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", last))
			w.WriteHeader(http.StatusPermanentRedirect)
		}
	})
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var peak uint64
	reads := 0
	r := &pattern{size: 100 << 20, each: func() {
		if reads++; reads%64 == 0 {
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc)
		}
	}}
	require.NoError(t, s.Put(t.Context(), "large", r, crawl.Meta{}))
	require.NotZero(t, peak)
	grown := int64(peak) - int64(before.HeapAlloc)
	t.Logf("100 MiB took %d KiB", grown>>10)
	require.Less(t, grown, int64(24<<20))
}

// The environment of a child that is killed while it uploads.
const (
	childURI      = "TULLE_GCS_CHILD_URI"
	childEndpoint = "TULLE_GCS_CHILD_ENDPOINT"
)

// child uploads files that never end, and says when pieces of one are on the server.
func child() {
	set := crawl.GCSSettings{Endpoint: os.Getenv(childEndpoint), CredentialsFile: "none"}
	effective, err := crawl.Settings{GCS: set}.Effective(nil)
	if err != nil {
		panic(err)
	}
	s, err := gcs.Open(context.Background(), os.Getenv(childURI), &crawl.Env{Settings: effective, Log: zap.NewNop()})
	if err != nil {
		panic(err)
	}
	go func() { panic(s.Put(context.Background(), "full/new", &pattern{size: 1 << 40}, crawl.Meta{})) }()
	said := false
	p := &pattern{size: 1 << 40}
	p.each = func() {
		if !said && p.at >= 24<<20 {
			said = true
			fmt.Println("under way")
		}
	}
	panic(s.Put(context.Background(), "full/old", p, crawl.Meta{}))
}

func TestKilledWhileItUploads(t *testing.T) {
	t.Parallel()
	set := start(t)
	s := openAt(t, set, "gs://pictures/k")
	put(t, s, "full/old", "as it was", crawl.Meta{Checksum: "1"})
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childURI+"=gs://pictures/k", childEndpoint+"="+set.Endpoint)
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

// Somebody replaces the object between the look and the patch: a Record of what was there is not written, a Touch is.
func TestPatchesAreForWhatWasSeen(t *testing.T) {
	t.Parallel()
	behind := start(t)
	other := openAt(t, behind, "gs://pictures")
	var between atomic.Pointer[func()]
	// The server takes no conditions, so the proxy holds them.
	_, set := tap(t, behind, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPatch {
			return false
		}
		if q := r.URL.Query(); !q.Has("ifGenerationMatch") || !q.Has("ifMetagenerationMatch") {
			t.Error("a patch without conditions")
		}
		f := between.Swap(nil)
		if f == nil {
			return false
		}
		(*f)()
		refuse(http.StatusPreconditionFailed, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")(w, r)
		return true
	})
	s := openAt(t, set, "gs://pictures")
	put(t, s, "a", "first", crawl.Meta{})
	info, err := s.Stat(t.Context(), "a")
	require.NoError(t, err)
	replace := func() {
		if err := other.Put(context.Background(), "a", strings.NewReader("second one"), crawl.Meta{Checksum: "2"}); err != nil {
			t.Error(err)
		}
	}
	between.Store(&replace)
	info.Meta.Checksum = "1"
	require.NoError(t, s.Record(t.Context(), "a", info))
	after, err := s.Stat(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, "2", after.Meta.Checksum)

	before := time.Now()
	between.Store(&replace)
	require.NoError(t, s.Touch(t.Context(), "a", crawl.Meta{Checksum: "3"}))
	after, err = s.Stat(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, crawl.Meta{Checksum: "3"}, after.Meta)
	require.False(t, after.ModTime.Before(before.Truncate(time.Millisecond)))
}

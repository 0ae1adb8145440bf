package middleware

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// pack compresses by an encoding's name; "raw" is deflate without zlib around it.
func pack(t testing.TB, encoding string, body []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch encoding {
	case "gzip":
		w, err = gzip.NewWriterLevel(&out, gzip.BestSpeed)
	case "deflate":
		w, err = zlib.NewWriterLevel(&out, zlib.BestSpeed)
	case "raw":
		w, err = flate.NewWriter(&out, flate.BestSpeed)
	case "br":
		w = brotli.NewWriterLevel(&out, brotli.BestSpeed)
	case "zstd":
		w, err = zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	default:
		t.Fatalf("encoding %q", encoding)
	}
	require.NoError(t, err)
	_, err = w.Write(body)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// unpack sends a body through the layer. It returns the response, or the error.
func unpack(t testing.TB, b *bundle, encoding string, body []byte, with ...func(*crawl.Request)) (*crawl.Response, error) {
	t.Helper()
	f := b.build(t, Compression, serve(func(req *crawl.Request) (*crawl.Response, error) {
		resp := answer(req, 200, "", "Content-Encoding", encoding, "Content-Length", "7", "Content-Type", "text/plain")
		var err error
		resp.Body, err = b.Spool.Read(bytes.NewReader(body), int64(len(body)), 0)
		return resp, err
	}))
	resp, err := f.Fetch(t.Context(), crawl.Get("http://h/", with...))
	if resp != nil {
		t.Cleanup(func() { require.NoError(t, resp.Close()) })
	}
	return resp, err
}

func spoolOver(n int64) func(*crawl.Spider, *crawl.Settings) {
	return func(_ *crawl.Spider, s *crawl.Settings) { s.Download.SpoolOver = n }
}

func bodyOf(t testing.TB, resp *crawl.Response) []byte {
	t.Helper()
	body, err := resp.Bytes()
	require.NoError(t, err)
	return body
}

// noise does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(b)
	return b
}

func TestCompression(t *testing.T) {
	t.Parallel()
	bodies := map[string][]byte{
		"small":        []byte("hello, world"),
		"scratch":      noise(scratch),
		"more than it": noise(scratch + 1),
		"a spool file": noise(150_000),
	}
	for _, encoding := range []string{"gzip", "deflate", "raw", "br", "zstd"} {
		for name, body := range bodies {
			b := newBundle(t, spoolOver(100_000))
			header := encoding
			if encoding == "raw" {
				header = "deflate"
			}
			resp, err := unpack(t, b, header, pack(t, encoding, body))
			require.NoError(t, err, "%s %s", encoding, name)
			require.True(t, bytes.Equal(body, bodyOf(t, resp)), "%s %s", encoding, name)
			require.Equal(t, http.Header{"Content-Type": {"text/plain"}}, resp.Header)
			require.Equal(t, name == "a spool file", resp.Body.Path() != "", name)
			require.Equal(t, map[string]any{"httpcompression/response_count": int64(1), "httpcompression/response_bytes": int64(len(body))}, b.Stats.Snapshot())
		}
	}
}

func TestCompressionOfCompression(t *testing.T) {
	t.Parallel()
	body := []byte("hello")
	resp, err := unpack(t, newBundle(t), "GZIP, br", pack(t, "br", pack(t, "gzip", body)))
	require.NoError(t, err)
	require.Equal(t, body, bodyOf(t, resp))
}

func TestCompressionSmallSpool(t *testing.T) {
	t.Parallel()
	b := newBundle(t, spoolOver(1000))
	resp, err := unpack(t, b, "gzip", pack(t, "gzip", noise(1001)))
	require.NoError(t, err)
	require.NotEmpty(t, resp.Body.Path())
	require.Equal(t, noise(1001), bodyOf(t, resp))
}

func TestCompressionAsks(t *testing.T) {
	t.Parallel()
	cases := []struct{ own, want http.Header }{
		{nil, http.Header{"Accept-Encoding": {"gzip, deflate, br, zstd"}}},
		{http.Header{"Accept-Encoding": {"identity"}}, http.Header{"Accept-Encoding": {"identity"}}},
		{http.Header{"Range": {"bytes=5-"}}, http.Header{"Range": {"bytes=5-"}}},
	}
	for _, c := range cases {
		b := newBundle(t)
		site := serveOK()
		req := crawl.Get("http://h/")
		req.Header = c.own
		_, err := b.build(t, Compression, site).Fetch(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, c.want, site.last().Header)
	}
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Compression.Off = true })
	_, err := Compression(b.Env, serveOK())
	requireOff(t, err)
}

// Bodies that are left as they came.
func TestCompressionLeavesAlone(t *testing.T) {
	t.Parallel()
	page := []byte("<html>")
	cases := []struct {
		name, encoding string
		body           []byte
		header         string // Content-Encoding afterwards
	}{
		{"nothing", "gzip", []byte{}, "gzip"},
		{"plain, called gzip", "gzip", page, ""},
		{"plain, called x-gzip", "X-Gzip", page, ""},
		{"plain, called zstd", "zstd", page, ""},
		{"plain, called br and gzip", "br, gzip", page, ""},
		{"one octet", "zstd", []byte("x"), ""},
		{"nobody's encoding", "utf-8", page, "utf-8"},
		{"a dictionary's", "dcb", page, "dcb"},
	}
	for _, c := range cases {
		b := newBundle(t)
		resp, err := unpack(t, b, c.encoding, c.body)
		require.NoError(t, err, c.name)
		require.Equal(t, c.body, bodyOf(t, resp), c.name)
		require.Equal(t, c.header, resp.Header.Get("Content-Encoding"), c.name)
		require.Equal(t, "7", resp.Header.Get("Content-Length"), c.name)
		require.Empty(t, b.Stats.Snapshot())
	}

	b := newBundle(t)
	part := pack(t, "gzip", noise(100))[:50]
	f := b.build(t, Compression, serve(func(req *crawl.Request) (*crawl.Response, error) {
		return answer(req, 206, string(part), "Content-Encoding", "gzip"), nil
	}))
	resp, err := f.Fetch(t.Context(), crawl.Get("http://h/"))
	require.NoError(t, err)
	require.Equal(t, part, bodyOf(t, resp))
}

func TestCompressionFailures(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, encoding string
		body           []byte
		kind           crawl.Kind
	}{
		{"gzip, cut", "gzip", pack(t, "gzip", noise(1000))[:500], crawl.KindTruncated},
		{"gzip, cut in its magic", "gzip", []byte("\x1f"), crawl.KindTruncated},
		{"zstd, cut", "zstd", pack(t, "zstd", noise(1000))[:500], crawl.KindTruncated},
		{"zstd, cut in its magic", "zstd", []byte("\x28\xb5"), crawl.KindTruncated},
		{"deflate, cut", "deflate", pack(t, "deflate", noise(1000))[:500], crawl.KindTruncated},
		{"br, cut", "br", pack(t, "br", noise(1000))[:500], crawl.KindTruncated},
		{"gzip, broken", "gzip", append([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x00"), bytes.Repeat([]byte("\xff"), 50)...), crawl.KindEncoding},
		{"gzip, a wrong sum", "gzip", flipped(pack(t, "gzip", noise(1000))), crawl.KindEncoding},
		{"br, plain", "br", []byte("<html>hello</html>"), crawl.KindEncoding},
		{"too many layers", "gzip, gzip, gzip, gzip, gzip", pack(t, "gzip", nil), crawl.KindEncoding},
	}
	for _, c := range cases {
		b := newBundle(t)
		_, err := unpack(t, b, c.encoding, c.body)
		var failed *crawl.DownloadError
		require.ErrorAs(t, err, &failed, c.name)
		require.Equal(t, c.kind, failed.Kind, c.name)
		require.Equal(t, "http://h/", failed.URL)
		require.Empty(t, b.Stats.Snapshot())
	}
}

// flipped breaks the last octets, where gzip has its sum and length.
func flipped(b []byte) []byte {
	b[len(b)-5] ^= 1
	return b
}

// A frame to skip (RFC 8878, section 3.1.2) may stand first.
func TestCompressionSkippableFrame(t *testing.T) {
	t.Parallel()
	frame := append([]byte("\x5a\x2a\x4d\x18\x03\x00\x00\x00abc"), pack(t, "zstd", []byte("hello"))...)
	resp, err := unpack(t, newBundle(t), "zstd", frame)
	require.NoError(t, err)
	require.Equal(t, "hello", string(bodyOf(t, resp)))
}

// A failure leaves no file behind.
func TestCompressionFailureClosesBodies(t *testing.T) {
	t.Parallel()
	b := newBundle(t, spoolOver(100_000))
	packed := pack(t, "gzip", noise(150_000))
	_, err := unpack(t, b, "gzip", packed[:len(packed)-10])
	require.Error(t, err)
	folders, err := os.ReadDir(b.Spool.Dir)
	require.NoError(t, err)
	require.Len(t, folders, 1)
	files, err := os.ReadDir(b.Spool.Dir + "/" + folders[0].Name())
	require.NoError(t, err)
	require.Empty(t, files)
}

func TestCompressionAllowTruncated(t *testing.T) {
	t.Parallel()
	body := noise(200_000)
	packed := pack(t, "gzip", body)
	half := string(packed[:len(packed)/2])
	for _, knob := range []bool{false, true} {
		b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Download.AllowTruncated = !knob })
		f := b.build(t, Compression, serve(func(req *crawl.Request) (*crawl.Response, error) {
			return answer(req, 200, half, "Content-Encoding", "gzip"), nil
		}))
		resp, err := f.Fetch(t.Context(), crawl.Get("http://h/", func(r *crawl.Request) { r.Knobs = &crawl.Knobs{AllowTruncated: knob} }))
		require.NoError(t, err)
		require.True(t, resp.Has("truncated"))
		got := bodyOf(t, resp)
		require.True(t, bytes.HasPrefix(body, got))
		require.Greater(t, len(got), len(body)/3)
	}
}

// CVE-2025-6176 and its kin: a small body that stands for a huge one.
func TestCompressionBombs(t *testing.T) {
	t.Parallel()
	zeros := make([]byte, 2<<20)
	for _, encoding := range []string{"gzip", "deflate", "br", "zstd"} {
		bomb := pack(t, encoding, zeros)
		cases := []struct {
			name  string
			set   func(*crawl.Settings)
			knobs crawl.Knobs
		}{
			{"size", func(s *crawl.Settings) { s.Download.MaxSize, s.Compression.MaxRatio = 1<<20, -1 }, crawl.Knobs{}},
			{"the request's size", func(s *crawl.Settings) { s.Compression.MaxRatio = -1 }, crawl.Knobs{MaxSize: 1 << 20}},
			{"ratio", func(s *crawl.Settings) { s.Compression.MaxRatio = 100 }, crawl.Knobs{MaxSize: -1}},
		}
		for _, c := range cases {
			b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { c.set(s) })
			_, err := unpack(t, b, encoding, bomb, func(req *crawl.Request) { req.Knobs = &c.knobs })
			var failed *crawl.DownloadError
			require.ErrorAs(t, err, &failed, "%s %s", encoding, c.name)
			require.Equal(t, crawl.KindTooLarge, failed.Kind)
			require.ErrorIs(t, err, crawl.ErrBodyTooLarge)
		}
	}
}

// A disk that fails is not the site's fault.
func TestCompressionDiskFailure(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.Spool = &crawl.Spool{Over: 100_000, Dir: string([]byte{0})}
	f := b.build(t, Compression, serve(func(req *crawl.Request) (*crawl.Response, error) {
		return answer(req, 200, string(pack(t, "gzip", noise(150_000))), "Content-Encoding", "gzip"), nil
	}))
	_, err := f.Fetch(t.Context(), crawl.Get("http://h/"))
	var failed *crawl.DownloadError
	require.False(t, errors.As(err, &failed))
	require.ErrorContains(t, err, "decompress <GET http://h/>: ")
}

func TestCompressionPassesErrors(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	_, err := b.build(t, Compression, failing(crawl.KindDNS)).Fetch(t.Context(), crawl.Get("http://h/"))
	require.Equal(t, "dns", kindOf(err))
	require.False(t, strings.Contains(err.Error(), "decompress"))
}

// StopAfter holds for what is decompressed.
func TestCompressionStopsAfter(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(bytes.Repeat([]byte("x"), 9<<20))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	for after, want := range map[int64]int64{1: 1, 70_000: 70_000, 9<<20 - 1: 9<<20 - 1, 9 << 20: 9 << 20, 10 << 20: 9 << 20} {
		b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Compression.MaxRatio = -1 })
		f := b.build(t, Compression, serve(func(req *crawl.Request) (*crawl.Response, error) {
			return answer(req, 200, packed.String(), "Content-Encoding", "gzip"), nil
		}))
		resp, err := f.Fetch(t.Context(), crawl.Get("http://h/", func(r *crawl.Request) { r.Knobs = &crawl.Knobs{StopAfter: after} }))
		require.NoError(t, err)
		require.Equal(t, want, resp.Body.Size())
		require.Equal(t, want < 9<<20, resp.Has("download_stopped"), after)
		require.Equal(t, want < 9<<20, resp.Has("truncated"), after)
		require.NoError(t, resp.Close())
	}
}

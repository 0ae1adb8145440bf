package crawl_test

import (
	"encoding/binary"
	"encoding/json"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tulle-go/tulle/crawl"
)

func TestWireRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		req := crawl.Get("http://example.com/"+rapid.StringMatching(`[a-z/]{0,9}(\?[a-z=&]{0,9})?(#[a-z]{1,3})?`).Draw(t, "path"),
			func(r *crawl.Request) {
				r.Method = rapid.SampledFrom([]string{"", "POST", "HEAD", "X"}).Draw(t, "method")
				r.Route = text.Draw(t, "route")
				r.Priority, r.Depth, r.Retries = rapid.Int().Draw(t, "priority"), rapid.Int().Draw(t, "depth"), rapid.Int().Draw(t, "retries")
				r.DontFilter, r.IsStart = rapid.Bool().Draw(t, "dont filter"), rapid.Bool().Draw(t, "start")
				r.Redirects = rapid.SliceOfN(text, 1, 20).Draw(t, "redirects")
				if b := rapid.SliceOf(rapid.Byte()).Draw(t, "body"); len(b) > 0 {
					r.Body = b
				}
				if rapid.Bool().Draw(t, "rare") {
					r.Header = http.Header(rapid.MapOfN(text, rapid.SliceOfN(text, 1, 3), 1, 20).Draw(t, "header"))
					copy(r.Key[:], rapid.SliceOfN(rapid.Byte(), len(r.Key), len(r.Key)).Draw(t, "key"))
					r.Knobs = &crawl.Knobs{Timeout: time.Duration(rapid.Int64().Draw(t, "timeout")), Slot: "s", HandleStatus: []int{404}}
					crawl.With(map[string]string{"k": text.Draw(t, "data")})(r)
				}
			})
		wire, err := req.AppendWire([]byte("before"))
		require.NoError(t, err)
		require.Equal(t, "before", string(wire[:6]))
		back, err := crawl.ParseWire(string(wire[6:]))
		require.NoError(t, err)
		require.Equal(t, req, back)
		_, err = crawl.ParseWire(string(wire[6 : len(wire)-1]))
		require.Error(t, err)
		_, err = crawl.ParseWire(string(wire[6:]) + "x")
		require.Error(t, err)
	})
}

// TestWireURLIsNoPiece reads a request with much data: its URL, of which hosts are kept for the whole crawl, must not keep the rest in memory.
func TestWireURLIsNoPiece(t *testing.T) {
	t.Parallel()
	wire, err := crawl.Get("https://host.example/path?q#f", crawl.With(strings.Repeat("x", 1000))).AppendWire(nil)
	require.NoError(t, err)
	whole := string(wire)
	req, err := crawl.ParseWire(whole)
	require.NoError(t, err)
	from := uintptr(unsafe.Pointer(unsafe.StringData(whole)))
	for _, s := range []string{req.URL.Scheme, req.URL.Host, req.URL.Path, req.URL.RawQuery, req.URL.Fragment, req.Slot()} {
		at := uintptr(unsafe.Pointer(unsafe.StringData(s)))
		require.False(t, from <= at && at < from+uintptr(len(whole)), s)
	}
}

// The form on disk is what older programs wrote.
func TestWireGolden(t *testing.T) {
	t.Parallel()
	wire, err := crawl.Get("http://h/").AppendWire(nil)
	require.NoError(t, err)
	require.Equal(t, "\x01\x00\x09http://h/", string(wire))
	full := &crawl.Request{
		URL: crawl.Get("http://h/").URL, Method: "POST", Header: http.Header{"B": {"2"}, "A": {"1"}}, Body: []byte("b"), Route: "r",
		Priority: -1, DontFilter: true, Depth: 2, Data: json.RawMessage("3"), Knobs: &crawl.Knobs{DontRetry: true}, Retries: 4, Redirects: []string{"u"},
	}
	wire, err = full.AppendWire(nil)
	require.NoError(t, err)
	require.Equal(t, "\x01\xff\x0f\x09http://h/\x04POST\x02\x01A\x01\x011\x01B\x01\x012\x01b\x01r\x01\x04\x013\x13{\"dont_retry\":true}\x08\x01\x01u", string(wire))

	start := crawl.Get("http://h/")
	start.IsStart = true
	wire, err = start.AppendWire(nil)
	require.NoError(t, err)
	require.Equal(t, "\x01\x80\x10\x09http://h/", string(wire))
}

func TestWireRefuses(t *testing.T) {
	t.Parallel()
	_, err := (&crawl.Request{}).AppendWire(nil)
	require.ErrorContains(t, err, "no URL")
	_, err = crawl.Get("http://h/", func(r *crawl.Request) { r.Data = json.RawMessage("{") }).AppendWire(nil)
	require.ErrorContains(t, err, "Data is not JSON")
	for _, s := range []string{"", "\x02", "\x01", "\x01\x80\x80\x01", "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x01\x00\x05ab", "\x01\x00\x01\x7f"} {
		_, err := crawl.ParseWire(s)
		require.ErrorContains(t, err, "not a stored request", "%q", s)
	}
}

// hostileWire claims lists as long as what follows, again and again.
func hostileWire() string {
	b := []byte{1, 2, 0}
	b = binary.AppendUvarint(b, 50_000)
	for range 40_000 {
		b = append(b, 0)
		b = binary.AppendUvarint(b, 60_000)
	}
	return string(b)
}

func TestWireAllocatesLittle(t *testing.T) { //nolint:paralleltest // it measures what the process allocates
	s := hostileWire()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := crawl.ParseWire(s)
	runtime.ReadMemStats(&after)
	require.Error(t, err)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20))
}

func FuzzParseWire(f *testing.F) {
	f.Add("\x01\x00\x09http://h/")
	f.Add("\x01\xff\x0f\x09http://h/\x04POST\x01\x01A\x01\x011\x01b\x01r\x01\x04\x013\x02{}\x08\x01\x01u")
	f.Add(hostileWire())
	f.Fuzz(func(t *testing.T, s string) {
		r, err := crawl.ParseWire(s)
		if err != nil {
			require.Nil(t, r)
			return
		}
		_ = r.Fingerprint()
		_ = r.String()
		if wire, err := r.AppendWire(nil); err == nil {
			_, _ = crawl.ParseWire(string(wire))
		}
	})
}

package inflate_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/middleware/internal/inflate"
)

// codec is one way to encode, by a name of its own where the header's name has several.
type codec struct{ name, encoding string }

var codecs = []codec{{"gzip", "gzip"}, {"zlib", "deflate"}, {"bare deflate", "deflate"}, {"br", "br"}, {"zstd", "zstd"}}

// flusher is what all the encoders are.
type flusher interface {
	io.WriteCloser
	Flush() error
}

func (c codec) writer(w io.Writer) flusher {
	var enc flusher
	var err error
	switch c.name {
	case "gzip":
		enc, err = gzip.NewWriterLevel(w, gzip.BestSpeed)
	case "zlib":
		enc, err = zlib.NewWriterLevel(w, zlib.BestSpeed)
	case "bare deflate":
		enc, err = flate.NewWriter(w, flate.BestSpeed)
	case "br":
		enc = brotli.NewWriterOptions(w, brotli.WriterOptions{Quality: 3, LGWin: 18})
	case "zstd":
		enc, err = zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10), zstd.WithEncoderLevel(zstd.SpeedFastest))
	}
	if err != nil {
		panic(err)
	}
	return enc
}

func (c codec) encode(plain []byte) []byte {
	var b bytes.Buffer
	w := c.writer(&b)
	if _, err := w.Write(plain); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// page is a page of n octets that compresses as pages do.
func page(n int) []byte {
	words := strings.Fields("<div> </div> <p> class= href= the of catalogue light attic price stock 51.77 19.95 available add to basket")
	random := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%s %d ", words[random.IntN(len(words))], random.IntN(50))
	}
	return b.Bytes()[:n]
}

func decode(t testing.TB, d *inflate.Decoder, encoded io.Reader, limits inflate.Limits, encodings ...string) ([]byte, error) {
	r, err := d.Reader(encoded, encodings, limits)
	require.NoError(t, err)
	plain, err := io.ReadAll(r)
	require.NoError(t, r.Close())
	return plain, err
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	var d inflate.Decoder
	for _, c := range codecs {
		for _, size := range []int{0, 1, 10, 4095, 4096, 4097, 100_000} {
			plain := page(size)
			encoded := c.encode(plain)
			for name, r := range map[string]io.Reader{
				"whole": bytes.NewBuffer(bytes.Clone(encoded)), "end with data": iotest.DataErrReader(bytes.NewReader(encoded)), "halves": iotest.HalfReader(bytes.NewReader(encoded)),
			} {
				got, err := decode(t, &d, r, inflate.Limits{MaxSize: max(int64(size), 1), MaxRatio: 1000}, c.encoding)
				require.NoError(t, err, "%s %d %s", c.name, size, name)
				require.True(t, bytes.Equal(plain, got), "%s %d %s", c.name, size, name)
			}
		}
		encoded := c.encode(page(5000))
		r, err := d.Reader(iotest.OneByteReader(bytes.NewReader(encoded)), []string{c.encoding}, inflate.Limits{})
		require.NoError(t, err)
		require.NoError(t, iotest.TestReader(r, page(5000)), c.name)
		require.NoError(t, r.Close())
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	var d inflate.Decoder
	plain := page(3000)
	gz, br, zs, df := codecs[0], codecs[3], codecs[4], codecs[1]
	for _, c := range []struct {
		encodings []string
		body      []byte
	}{
		{nil, plain},
		{[]string{""}, plain},
		{[]string{"identity"}, plain},
		{[]string{" , ,identity,", "Identity"}, plain},
		{[]string{"gzip"}, gz.encode(plain)},
		{[]string{" GZip "}, gz.encode(plain)},
		{[]string{"x-gzip"}, gz.encode(plain)},
		{[]string{"identity, gzip,\tidentity"}, gz.encode(plain)},
		{[]string{"gzip, br"}, br.encode(gz.encode(plain))},
		{[]string{"gzip", "br"}, br.encode(gz.encode(plain))},
		{[]string{"gzip,gzip"}, gz.encode(gz.encode(plain))},
		{[]string{"br", "zstd,deflate", "X-Gzip"}, gz.encode(df.encode(zs.encode(br.encode(plain))))},
		{[]string{"zstd, zstd, br, br"}, br.encode(br.encode(zs.encode(zs.encode(plain))))},
	} {
		got, err := decode(t, &d, bytes.NewReader(c.body), inflate.Limits{MaxSize: 10_000, MaxRatio: 100}, c.encodings...)
		require.NoError(t, err, "%q", c.encodings)
		require.True(t, bytes.Equal(plain, got), "%q", c.encodings)
	}
	for _, c := range []struct {
		encodings []string
		want      error
	}{
		{[]string{"compress"}, inflate.ErrUnknownEncoding},
		{[]string{"gzip, utf-8"}, inflate.ErrUnknownEncoding},
		{[]string{"gzip;q=1"}, inflate.ErrUnknownEncoding},
		{[]string{"gzip br"}, inflate.ErrUnknownEncoding},
		{[]string{"gzip, gzip, gzip", "gzip,identity, gzip"}, inflate.ErrTooManyLayers},
		{[]string{strings.Repeat("br,", 10_000)}, inflate.ErrTooManyLayers},
	} {
		r, err := d.Reader(bytes.NewReader(plain), c.encodings, inflate.Limits{})
		require.ErrorIs(t, err, c.want)
		require.Nil(t, r)
	}
	_, err := d.Reader(nil, []string{"gzip, \"x\ny\""}, inflate.Limits{})
	require.EqualError(t, err, `unknown content encoding "\"x\ny\""`)

	for name := range strings.SplitSeq(inflate.AcceptEncoding, ", ") {
		_, err := d.Reader(nil, []string{name}, inflate.Limits{})
		require.NoError(t, err, name)
	}
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	var d inflate.Decoder
	plain := page(700)
	for _, c := range codecs {
		encoded := c.encode(plain)
		for n := 1; n < len(encoded); n++ {
			got, err := decode(t, &d, bytes.NewReader(encoded[:n]), inflate.Limits{}, c.encoding)
			require.ErrorIs(t, err, inflate.ErrTruncated, "%s %d of %d", c.name, n, len(encoded))
			require.True(t, bytes.HasPrefix(plain, got), "%s %d of %d", c.name, n, len(encoded))
		}
		// An inner layer that was cut before it was encoded again, and an outer one that is cut behind the inner one's end.
		_, err := decode(t, &d, bytes.NewReader(codecs[0].encode(encoded[:len(encoded)-1])), inflate.Limits{}, c.encoding, "gzip")
		require.ErrorIs(t, err, inflate.ErrTruncated, c.name)
		outer := codecs[0].encode(encoded)
		got, err := decode(t, &d, bytes.NewReader(outer[:len(outer)-1]), inflate.Limits{}, c.encoding, "gzip")
		require.ErrorIs(t, err, inflate.ErrTruncated, c.name)
		require.True(t, bytes.HasPrefix(plain, got), c.name)
	}
	header := gzipHeader(0x04|0x08|0x10|0x02, "\x02\x00ex", "name\x00", "comment\x00") // every optional part
	for n := 1; n <= len(header); n++ {
		_, err := decode(t, &d, bytes.NewReader(header[:n]), inflate.Limits{}, "gzip")
		require.ErrorIs(t, err, inflate.ErrTruncated, n)
	}
}

func gzipHeader(flags byte, parts ...string) []byte {
	return append([]byte{0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255}, strings.Join(parts, "")...)
}

func TestEmpty(t *testing.T) {
	t.Parallel()
	var d inflate.Decoder
	for _, encoding := range []string{"gzip", "deflate", "br", "zstd", "identity", "gzip, br"} {
		got, err := decode(t, &d, strings.NewReader(""), inflate.Limits{MaxSize: 1, MaxRatio: 1}, encoding)
		require.NoError(t, err, encoding)
		require.Empty(t, got, encoding)
	}
}

func TestCorrupt(t *testing.T) {
	t.Parallel()
	var d inflate.Decoder
	plain := page(5000)
	var good [][]byte
	for _, c := range codecs {
		good = append(good, c.encode(plain))
	}
	for _, c := range []struct {
		name, encoding string
		body           []byte
	}{
		{"a page that claims to be gzip", "gzip", []byte("<!doctype html><title>hello</title>")},
		{"a page that claims to be deflate", "deflate", []byte("<!doctype html><title>hello</title>")},
		{"a page that claims to be br", "br", []byte("<!doctype html><title>hello</title>")},
		{"a page that claims to be zstd", "zstd", []byte("<!doctype html><title>hello</title>")},
		{"gzip of another method", "gzip", append([]byte{0x1f, 0x8b, 7, 0, 0, 0, 0, 0, 0, 255}, codecs[2].encode(plain)...)},
		{"gzip with a wrong checksum", "gzip", changed(codecs[0].encode(plain), -8)},
		{"gzip with a wrong length", "gzip", changed(codecs[0].encode(plain), -1)},
		{"gzip with reserved flags", "gzip", append(gzipHeader(0x20), codecs[2].encode(plain)...)},
		{"gzip with an endless name", "gzip", gzipHeader(0x08, strings.Repeat("x", 100_000))},
		{"zlib with a wrong checksum", "deflate", changed(codecs[1].encode(plain), -1)},
		{"zlib with a dictionary", "deflate", []byte("\x78\xbb\x01\x02\x03\x04\x03\x00")},
		{"deflate with a reserved block", "deflate", []byte("\x07\x00\x00\x00")},
		{"br with data after its end", "br", append(codecs[3].encode(plain), 'x')},
		{"br with a large window", "br", []byte("\x11\x1e\x00\x00\x00\x00\x00\x00")},
		{"zstd with a wrong checksum", "zstd", changed(codecs[4].encode(plain), -1)},
		{"zstd with data after its end", "zstd", append(codecs[4].encode(plain), "garbage"...)},
		{"zstd with a window of 16 MiB", "zstd", append([]byte("\x28\xb5\x2f\xfd\x00\x70"), "\x01\x00\x00"...)},
		{"zstd in one segment of 16 MiB", "zstd", append(binary.LittleEndian.AppendUint32([]byte("\x28\xb5\x2f\xfd\xa0"), 16<<20), "\x01\x00\x00"...)},
		{"zstd with a dictionary", "zstd", []byte("\x28\xb5\x2f\xfd\x21\x07\x01\x01\x00\x00")},
	} {
		_, err := decode(t, &d, bytes.NewReader(c.body), inflate.Limits{}, c.encoding)
		require.ErrorIs(t, err, inflate.ErrCorrupt, c.name)
		require.ErrorContains(t, err, "inflate "+c.encoding, c.name)
		// The decoder that met it is as good as new.
		for i, body := range good {
			got, err := decode(t, &d, bytes.NewReader(body), inflate.Limits{}, codecs[i].encoding)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plain, got))
		}
	}
}

// changed returns b with one bit changed of the octet at i, from the end if i is negative.
func changed(b []byte, i int) []byte {
	if i < 0 {
		i += len(b)
	}
	b[i] ^= 0x10
	return b
}

func TestWhatBrowsersTake(t *testing.T) {
	t.Parallel()
	var d inflate.Decoder
	a, b := page(2000), []byte("the second member")
	gz, empty := codecs[0].encode(a), codecs[0].encode(nil)
	both := append(bytes.Clone(a), b...)
	for _, c := range []struct {
		name, encoding string
		body, want     []byte
	}{
		{"two gzip members", "gzip", concat(gz, codecs[0].encode(b)), both},
		{"empty members around", "gzip", concat(empty, empty, gz, empty, codecs[0].encode(b), empty), both},
		{"a gzip header with everything", "gzip", concat(gzipHeader(0x04|0x08|0x10, "\x02\x00ex", "n\xe9me\x00", "comment\x00"), gz[10:]), a},
		{"garbage after gzip", "gzip", concat(gz, []byte("\r\n<!-- cached -->")), a},
		{"one octet after gzip", "gzip", concat(gz, []byte("\x1f")), a},
		{"zeros after gzip", "gzip", concat(gz, make([]byte, 10_000)), a},
		{"almost another member", "gzip", concat(gz, []byte("\x1f\x8b\x07 no")), a},
		{"zlib of every level", "deflate", concat([]byte("\x78\x01"), codecs[2].encode(a), binary.BigEndian.AppendUint32(nil, adler32.Checksum(a))), a},
		{"garbage after zlib", "deflate", concat(codecs[1].encode(a), []byte("\r\n")), a},
		{"garbage after bare deflate", "deflate", concat(codecs[2].encode(a), []byte("\r\n")), a},
		{"a bare stored block", "deflate", concat([]byte("\x01\x03\x00\xfc\xff"), []byte("abc")), []byte("abc")},
		{"the smallest bare deflate", "deflate", []byte("\x03\x00"), nil},
		{"two zstd frames and one to be skipped", "zstd", concat(codecs[4].encode(a), []byte("\x50\x2a\x4d\x18\x03\x00\x00\x00xyz"), codecs[4].encode(b)), both},
	} {
		wire := strings.NewReader(string(c.body))
		got, err := decode(t, &d, wire, inflate.Limits{}, c.encoding)
		require.NoError(t, err, c.name)
		require.Equal(t, string(c.want), string(got), c.name)
		require.Zero(t, wire.Len(), "%s: the body is read to its end", c.name)
	}
	second := codecs[0].encode(b)
	for n := 3; n < len(second); n++ {
		_, err := decode(t, &d, bytes.NewReader(concat(gz, second[:n])), inflate.Limits{}, "gzip")
		require.ErrorIs(t, err, inflate.ErrTruncated, "%d octets of a second member", n)
	}
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// What goes wrong below is not the body's fault, and is told as it is: a retry needs to know.
func TestSourceErrors(t *testing.T) {
	t.Parallel()
	var d inflate.Decoder
	broken := errors.New("connection reset")
	plain := page(20_000)
	for _, c := range append(codecs, codec{"identity", "identity"}) {
		encoded := plain
		if c.name != "identity" {
			encoded = c.encode(plain)
		}
		outer := codecs[0].encode(encoded)
		for _, cause := range []error{broken, io.ErrUnexpectedEOF} {
			for _, n := range []int{0, 1, 2, 5, 100, len(encoded) - 1, len(encoded)} {
				wire := io.MultiReader(bytes.NewReader(encoded[:n]), iotest.ErrReader(cause))
				got, err := decode(t, &d, wire, inflate.Limits{}, c.encoding)
				require.Equal(t, cause, err, "%s %d", c.name, n)
				require.True(t, bytes.HasPrefix(plain, got), "%s %d", c.name, n)

				n = min(n, len(outer)-1)
				wire = io.MultiReader(bytes.NewReader(outer[:n]), iotest.ErrReader(cause))
				_, err = decode(t, &d, wire, inflate.Limits{}, c.encoding, "gzip")
				require.Equal(t, cause, err, "%s in gzip %d", c.name, n)
			}
		}
	}
	wire := io.MultiReader(bytes.NewReader(concat(codecs[0].encode(plain), []byte("garbage"))), iotest.ErrReader(broken))
	_, err := decode(t, &d, wire, inflate.Limits{}, "gzip")
	require.Equal(t, broken, err, "behind gzip's end")
}

func TestMaxSize(t *testing.T) {
	t.Parallel()
	var d inflate.Decoder
	plain := page(70_000)
	for _, c := range append(codecs, codec{"identity", "identity"}) {
		encoded := plain
		if c.name != "identity" {
			encoded = c.encode(plain)
		}
		got, err := decode(t, &d, bytes.NewReader(encoded), inflate.Limits{MaxSize: int64(len(plain))}, c.encoding)
		require.NoError(t, err, c.name)
		require.Len(t, got, len(plain), c.name)
		for _, size := range []int{len(plain) - 1, 4096, 1} {
			got, err = decode(t, &d, bytes.NewReader(encoded), inflate.Limits{MaxSize: int64(size)}, c.encoding)
			require.ErrorIs(t, err, inflate.ErrTooLarge, c.name)
			require.ErrorContains(t, err, fmt.Sprintf("inflate %s: decoded body is too large: more than %d octets", c.encoding, size))
			require.True(t, bytes.Equal(plain[:size], got), "%s: %d octets and no more", c.name, size)
		}
		got, err = decode(t, &d, bytes.NewReader(encoded), inflate.Limits{MaxSize: 1<<63 - 1}, c.encoding)
		require.NoError(t, err, c.name)
		require.Len(t, got, len(plain), c.name)
	}
}

func TestMaxRatio(t *testing.T) {
	t.Parallel()
	var d inflate.Decoder
	for _, c := range codecs {
		got, err := decode(t, &d, bytes.NewReader(bomb(c)), inflate.Limits{MaxRatio: 100}, c.encoding)
		require.ErrorIs(t, err, inflate.ErrRatio, c.name)
		require.Greater(t, len(got), 1<<20, c.name)
		require.Less(t, len(got), 8<<20, c.name)
	}
	gz := codecs[0]
	got, err := decode(t, &d, bytes.NewReader(gz.encode(make([]byte, 1<<20))), inflate.Limits{MaxRatio: 2}, gz.encoding)
	require.NoError(t, err, "the first MiB passes")
	require.Len(t, got, 1<<20)
	text := bytes.Repeat(page(100_000), 12)
	got, err = decode(t, &d, bytes.NewReader(gz.encode(text)), inflate.Limits{MaxRatio: 20}, gz.encoding)
	require.NoError(t, err, "text is far from it")
	require.Len(t, got, len(text))
}

const gibibyte = 1 << 30

// bomb returns what decodes to a GiB of zeros. It is made of few: an encoder's third flushed piece says "the same again" and can be
// repeated. A checksum at its end would be wrong; nobody is to get there.
func bomb(c codec) []byte {
	const piece = 512 << 10
	if c.name == "zstd" {
		// By hand it is far worse: a block of 4 octets stands for 128 KiB of one octet.
		b := []byte("\x28\xb5\x2f\xfd\x00\x40")
		for n := 0; n < gibibyte; n += 128 << 10 {
			b = append(b, "\x02\x00\x10\x00"...)
		}
		return append(b, "\x01\x00\x00"...)
	}
	var b bytes.Buffer
	w := c.writer(&b)
	zeros := make([]byte, piece)
	var pieces [3]int // where each ends
	for i := range pieces {
		if _, err := w.Write(zeros); err != nil {
			panic(err)
		}
		if err := w.Flush(); err != nil {
			panic(err)
		}
		pieces[i] = b.Len()
	}
	third := bytes.Clone(b.Bytes()[pieces[1]:])
	for range gibibyte/piece - len(pieces) {
		b.Write(third)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// counter counts what is read of a body.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// allocated returns the octets that f allocates. No other test may run meanwhile.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// It is not parallel: it counts what the process allocates.
func TestBombs(t *testing.T) {
	type device struct {
		name      string
		body      []byte
		encodings []string
	}
	var devices []device
	for _, c := range codecs {
		single := bomb(c)
		require.Less(t, len(single), 4<<20, "%s: a bomb is small", c.name)
		devices = append(devices, device{c.name, single, []string{c.encoding}})
		switch c.name {
		case "gzip":
			devices = append(devices, device{"gzip in gzip", codecs[0].encode(single), []string{"gzip, gzip"}})
		case "br":
			devices = append(devices, device{"br in zstd in gzip", codecs[0].encode(codecs[4].encode(single)), []string{"br, zstd", "gzip"}})
		case "zstd":
			devices = append(devices, device{"zstd in br", codecs[3].encode(single), []string{"zstd", "br"}})
		}
	}
	buf := make([]byte, 32<<10)
	for _, bomb := range devices {
		// run lets the bomb go off, and says how much came out, how much went in, and what was allocated.
		run := func(limits inflate.Limits, want error) (out, in, memory int64) {
			memory = allocated(func() {
				wire := &counter{r: bytes.NewReader(bomb.body)}
				r, err := new(inflate.Decoder).Reader(wire, bomb.encodings, limits)
				require.NoError(t, err)
				for err == nil {
					var n int
					n, err = r.Read(buf)
					out += int64(n)
				}
				require.ErrorIs(t, err, want, bomb.name)
				_, again := r.Read(buf)
				require.Equal(t, err, again, bomb.name)
				require.NoError(t, r.Close())
				in = wire.n
			})
			return out, in, memory
		}
		const small, large = 1 << 20, 4 << 20
		out, in, memory := run(inflate.Limits{MaxSize: small}, inflate.ErrTooLarge)
		require.EqualValues(t, small, out, bomb.name)
		require.Less(t, in, int64(512<<10), "%s: it is not read further than needed", bomb.name)
		require.Less(t, memory, int64(4<<20), bomb.name)

		out, _, more := run(inflate.Limits{MaxSize: large}, inflate.ErrTooLarge)
		require.EqualValues(t, large, out, bomb.name)
		require.Less(t, more, memory+512<<10, "%s: four times the body, the same memory", bomb.name)
		out, _, memory = run(inflate.Limits{MaxSize: gibibyte, MaxRatio: 200}, inflate.ErrRatio)
		require.Less(t, out, int64(8<<20), bomb.name)
		require.Less(t, memory, int64(4<<20), bomb.name)
	}
}

// A bomb whose last layer says nothing: only the layer between ever holds the gigabyte.
func TestBombInside(t *testing.T) {
	t.Parallel()
	nothing := codecs[0].encode(nil)
	members := bytes.Repeat(nothing, 2<<20/len(nothing))
	outer := codecs[4].encode(members)
	for want, limits := range map[error]inflate.Limits{
		inflate.ErrTooLarge: {MaxSize: 1 << 20},
		inflate.ErrRatio:    {MaxSize: 1 << 40, MaxRatio: 100},
	} {
		var d inflate.Decoder
		got, err := decode(t, &d, bytes.NewReader(outer), limits, "gzip, zstd")
		require.ErrorIs(t, err, want)
		require.ErrorContains(t, err, "inflate zstd")
		require.Empty(t, got)
	}
	// The same behind the end of an honest body, where it is not decoded but read.
	var d inflate.Decoder
	honest := concat(codecs[0].encode([]byte("hello")), make([]byte, 2<<20))
	got, err := decode(t, &d, bytes.NewReader(codecs[4].encode(honest)), inflate.Limits{MaxSize: 1 << 20}, "gzip, zstd")
	require.ErrorIs(t, err, inflate.ErrTooLarge)
	require.Equal(t, "hello", string(got))
}

func TestClose(t *testing.T) {
	t.Parallel()
	var d inflate.Decoder
	for _, c := range append(codecs, codec{"identity", "identity"}) {
		r, err := d.Reader(bytes.NewReader(codecs[0].encode(page(50_000))), []string{"identity"}, inflate.Limits{})
		if c.name != "identity" {
			r, err = d.Reader(bytes.NewReader(c.encode(page(50_000))), []string{c.encoding}, inflate.Limits{})
		}
		require.NoError(t, err)
		n, err := r.Read(make([]byte, 10)) // and no further
		require.NoError(t, err, c.name)
		require.Positive(t, n, c.name)
		n, err = r.Read(nil)
		require.NoError(t, err, c.name)
		require.Zero(t, n, c.name)
		require.NoError(t, r.Close())
		_, err = r.Read(make([]byte, 10))
		require.ErrorIs(t, err, fs.ErrClosed, c.name)

		other, err := d.Reader(bytes.NewReader([]byte("x")), nil, inflate.Limits{})
		require.NoError(t, err)
		require.NoError(t, r.Close(), "%s: twice does no harm to who has the decoder now", c.name)
		got, err := io.ReadAll(other)
		require.NoError(t, err)
		require.Equal(t, "x", string(got))
		require.NoError(t, other.Close())
	}
	r, err := d.Reader(iotest.ErrReader(errors.New("read too early")), []string{"gzip, br, zstd, deflate"}, inflate.Limits{})
	require.NoError(t, err, "nothing is read before the first Read")
	require.NoError(t, r.Close())
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	var d inflate.Decoder
	plain := page(30_000)
	var wg sync.WaitGroup
	for g := range 8 {
		c := codecs[g%len(codecs)]
		encoded := c.encode(plain[g:])
		wg.Go(func() {
			for range 20 {
				r, err := d.Reader(bytes.NewReader(encoded), []string{c.encoding}, inflate.Limits{})
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(plain[g:], got) {
					t.Errorf("%s: %v", c.name, err)
				}
				_ = r.Close()
			}
		})
	}
	wg.Wait()
}

func FuzzReader(f *testing.F) {
	for _, c := range codecs {
		f.Add(c.encode(page(300)), c.encoding)
		f.Add(changed(c.encode(page(300)), 40), c.encoding)
	}
	f.Add(codecs[3].encode(codecs[0].encode(page(300))), "gzip,br")
	f.Add([]byte("\x28\xb5\x2f\xfd\x00\x40\x02\x00\x10\x00\x01\x00\x00"), "zstd")
	f.Add(gzipHeader(0x1e, "\x02\x00ex", "n\x00", "c\x00"), "x-gzip")
	var d inflate.Decoder
	f.Fuzz(func(t *testing.T, body []byte, encodings string) {
		limits := inflate.Limits{MaxSize: 2 << 20, MaxRatio: 500}
		r, err := d.Reader(bytes.NewReader(body), []string{encodings}, limits)
		if err != nil {
			require.True(t, errors.Is(err, inflate.ErrUnknownEncoding) || errors.Is(err, inflate.ErrTooManyLayers))
			return
		}
		n, err := io.Copy(io.Discard, r)
		require.LessOrEqual(t, n, limits.MaxSize)
		known := err == nil
		for _, target := range []error{inflate.ErrTooLarge, inflate.ErrRatio, inflate.ErrTruncated, inflate.ErrCorrupt} {
			known = known || errors.Is(err, target)
		}
		require.True(t, known, "%v", err)
		require.NoError(t, r.Close())
	})
}

func BenchmarkReader(b *testing.B) {
	plain := page(10 << 10)
	buf := make([]byte, 32<<10)
	for _, c := range codecs {
		b.Run(c.name, func(b *testing.B) {
			var d inflate.Decoder
			encoded := c.encode(plain)
			wire := bytes.NewReader(nil)
			encodings := []string{c.encoding}
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				wire.Reset(encoded)
				r, err := d.Reader(wire, encodings, inflate.Limits{MaxSize: 1 << 30, MaxRatio: 200})
				for err == nil {
					_, err = r.Read(buf)
				}
				if err != io.EOF {
					b.Fatal(err)
				}
				_ = r.Close()
			}
		})
	}
}

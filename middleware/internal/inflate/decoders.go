package inflate

import (
	"bufio"
	"bytes"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// decoder undoes one encoding, for one body after another.
type decoder interface {
	// reset begins a new body without reading of it. nil ends the last one and lets go of it.
	reset(r io.Reader)

	// Read returns io.EOF at the end of the body, io.ErrUnexpectedEOF if r ends before the body does, also if r is empty, and any
	// other error if the body is corrupt or r fails.
	io.Reader
}

// newDecoder makes the decoder of an encoding that Decoder.pool knows.
func newDecoder(name string) decoder {
	switch name {
	case "gzip", "x-gzip":
		return &gzipDecoder{in: bufio.NewReader(nil)}
	case "deflate":
		return &deflateDecoder{in: bufio.NewReader(nil)}
	case "br":
		return &brotliDecoder{}
	case "zstd":
		return newZstdDecoder()
	}
	return &identityDecoder{}
}

// gzipDecoder reads RFC 1952. It goes from member to member itself, because gzip.Reader takes anything after a member for another one.
type gzipDecoder struct {
	in     *bufio.Reader
	member gzip.Reader
	inside bool // a member
	later  bool // than the first member's header
}

func (d *gzipDecoder) reset(r io.Reader) {
	d.in.Reset(r)
	d.inside, d.later = false, false
}

func (d *gzipDecoder) Read(p []byte) (int, error) {
	for {
		if !d.inside {
			if d.later && !d.atMember() {
				return 0, io.EOF
			}
			if err := d.member.Reset(d.in); err != nil {
				return 0, unexpected(err)
			}
			d.member.Multistream(false)
			d.inside, d.later = true, true
		}
		n, err := d.member.Read(p)
		if err != io.EOF {
			return n, err
		}
		d.inside = false
		if n > 0 {
			return n, nil
		}
	}
}

// atMember reports whether another member begins here: its magic number and the only compression method that there is.
func (d *gzipDecoder) atMember() bool {
	head, _ := d.in.Peek(3)
	return bytes.Equal(head, []byte{0x1f, 0x8b, 8})
}

// deflateDecoder reads RFC 1950 and bare RFC 1951.
type deflateDecoder struct {
	in      *bufio.Reader
	zlib    io.ReadCloser // nil until needed, as is bare
	bare    io.ReadCloser
	current io.Reader // nil until the body's first octets are known
}

func (d *deflateDecoder) reset(r io.Reader) {
	d.in.Reset(r)
	d.current = nil
}

func (d *deflateDecoder) Read(p []byte) (int, error) {
	if d.current == nil {
		if err := d.begin(); err != nil {
			return 0, unexpected(err)
		}
	}
	return d.current.Read(p)
}

// begin chooses by the first two octets. They cannot be mistaken: bare deflate whose first octet ends in 8, as zlib's does, would begin
// with a stored block whose padding is not zero, and nobody writes that.
func (d *deflateDecoder) begin() (err error) {
	head, err := d.in.Peek(2)
	switch {
	case len(head) == 0:
		return err
	case len(head) == 2 && head[0]&0x0f == 8 && head[0]>>4 <= 7 && (int(head[0])<<8|int(head[1]))%31 == 0:
		if d.zlib == nil {
			d.zlib, err = zlib.NewReader(d.in)
		} else {
			err = d.zlib.(zlib.Resetter).Reset(d.in, nil)
		}
		d.current = d.zlib
	default:
		if d.bare == nil {
			d.bare, err = flate.NewReader(d.in), nil
		} else {
			err = d.bare.(flate.Resetter).Reset(d.in, nil)
		}
		d.current = d.bare
	}
	return err
}

// brotliDecoder reads RFC 7932. Its window is at most 16 MiB by the format; the larger ones of an extension are refused.
type brotliDecoder struct {
	in input
	r  brotli.Reader
}

func (d *brotliDecoder) reset(r io.Reader) {
	d.in.Reader = r
	if r != nil {
		_ = d.r.Reset(&d.in) // its error is always nil
	}
}

func (d *brotliDecoder) Read(p []byte) (int, error) { return d.r.Read(p) }

// zstdWindow is the largest window that RFC 9659 allows in HTTP.
const zstdWindow = 8 << 20

// zstdDecoder reads RFC 8878.
type zstdDecoder struct {
	in input
	r  *zstd.Decoder
}

func newZstdDecoder() *zstdDecoder {
	// One at a time means no goroutines: a decoder that its pool drops needs no Close. The error is about options, and these are right.
	r, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
	return &zstdDecoder{r: r}
}

func (d *zstdDecoder) reset(r io.Reader) {
	d.in.Reader = r
	if r == nil {
		_ = d.r.Reset(nil) // an error only after Close, as below
		return
	}
	_ = d.r.Reset(&d.in)
}

func (d *zstdDecoder) Read(p []byte) (int, error) { return d.r.Read(p) }

// input stands between a decoder that is kept and the body it reads, so that the decoder holds nothing of a body that is done. It also
// hides what else the body's reader can do: zstd would decode a bytes.Buffer whole.
type input struct{ io.Reader }

// identityDecoder reads what is not encoded.
type identityDecoder struct{ in io.Reader }

func (d *identityDecoder) reset(r io.Reader) { d.in = r }

func (d *identityDecoder) Read(p []byte) (int, error) { return d.in.Read(p) }

// unexpected is err, where io.EOF comes too early.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

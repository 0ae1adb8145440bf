package inflate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
)

// AcceptEncoding is the value of the Accept-Encoding header that asks for what this package can undo.
const AcceptEncoding = "gzip, deflate, br, zstd"

// MaxLayers is how many encodings a body may have one on top of another. Honest ones have one.
const MaxLayers = 4

// What can be wrong with a body. Errors of the reader that the body comes from are none of these: they are returned as they are.
var (
	ErrTooLarge        = errors.New("decoded body is too large")
	ErrRatio           = errors.New("decoded body is out of proportion to its encoded size")
	ErrTruncated       = errors.New("encoded body ends early")
	ErrCorrupt         = errors.New("encoded body is corrupt")
	ErrUnknownEncoding = errors.New("unknown content encoding")
	ErrTooManyLayers   = errors.New("too many content encodings")
)

// Limits bound what a body may become.
type Limits struct {
	// MaxSize is the largest decoded body, in octets. A body of exactly this size passes. 0 is no limit.
	MaxSize int64

	// MaxRatio is how many decoded octets there may be for one encoded one, at any moment of reading. It is not asked for the first
	// MiB, so that small pages of repeated text pass. 0 is no limit. Text is usually below 10; gzip cannot exceed 1032, br and zstd can.
	MaxRatio float64
}

// ratioFloor is how many octets must have come out before MaxRatio is asked.
const ratioFloor = 1 << 20

// Decoder makes readers that decode. It keeps the decoders of closed readers for the next ones, so one Decoder should serve a whole
// crawl. It is safe for concurrent use. The zero value works.
type Decoder struct {
	gzip, deflate, brotli, zstd, identity sync.Pool
}

// Reader returns a reader of what r's octets stand for. encodings are the values of the Content-Encoding header, each perhaps a list
// separated by commas, in the order in which they were applied; "identity" and "" are nothing. x-gzip is gzip.
//
// Nothing is read from r before the first Read, and r is read to its end before io.EOF is returned. Closing the reader gives its decoders
// back to d; r stays the caller's to close. An error of Reader itself wraps ErrUnknownEncoding or ErrTooManyLayers. An error of Read
// wraps one of the other errors or is r's own; what was read before it is right as far as it goes, and all further reads return it too. A
// reader is for one goroutine.
func (d *Decoder) Reader(r io.Reader, encodings []string, limits Limits) (io.ReadCloser, error) {
	var names [MaxLayers]string
	n := 0
	for _, list := range encodings {
		for name := range strings.SplitSeq(list, ",") {
			name = strings.ToLower(strings.Trim(name, " \t"))
			switch {
			case name == "" || name == "identity":
				continue
			case d.pool(name) == nil:
				return nil, fmt.Errorf("%w %q", ErrUnknownEncoding, name)
			case n == MaxLayers:
				return nil, fmt.Errorf("%w: more than %d", ErrTooManyLayers, MaxLayers)
			}
			names[n] = name
			n++
		}
	}
	if n == 0 {
		names[0], n = "identity", 1
	}

	b := &body{wire: source{r: r}, limits: limits, layers: make([]layer, n)}
	below := io.Reader(&b.wire)
	for i := range b.layers {
		l := &b.layers[i]
		l.body, l.name, l.source = b, names[n-1-i], source{r: below}
		l.pool = d.pool(l.name)
		if used, ok := l.pool.Get().(decoder); ok {
			l.decoder = used
		} else {
			l.decoder = newDecoder(l.name)
		}
		l.decoder.reset(&l.source)
		below = l
	}
	return b, nil
}

// pool returns where the decoders of an encoding are kept, and nil if there is no such encoding.
func (d *Decoder) pool(name string) *sync.Pool {
	switch name {
	case "gzip", "x-gzip":
		return &d.gzip
	case "deflate":
		return &d.deflate
	case "br":
		return &d.brotli
	case "zstd":
		return &d.zstd
	case "identity":
		return &d.identity
	}
	return nil
}

// body is the reader that users get: layers of decoders over the wire.
type body struct {
	wire   source
	layers []layer // the one over the wire first
	limits Limits
}

func (b *body) Read(p []byte) (int, error) { return b.layers[len(b.layers)-1].Read(p) }

// Close gives the decoders back. It may be called again.
func (b *body) Close() error {
	for i := range b.layers {
		l := &b.layers[i]
		if l.decoder == nil {
			continue
		}
		l.decoder.reset(nil)
		l.pool.Put(l.decoder)
		l.decoder, l.err = nil, fs.ErrClosed
	}
	return nil
}

// layer undoes one encoding and watches what comes out. The layers that are not on top are watched as well: a bomb may also go off inside.
type layer struct {
	source  source
	decoder decoder
	pool    *sync.Pool
	body    *body
	name    string
	out     int64
	err     error // sticky
}

func (l *layer) Read(p []byte) (int, error) {
	if l.err != nil || len(p) == 0 {
		return 0, l.err
	}
	limits := &l.body.limits
	rest := limits.MaxSize - l.out
	if limits.MaxSize > 0 && int64(len(p)) > rest {
		p = p[:rest+1] // one octet more tells a body that ends here from one that goes on
	}
	n, err := l.decoder.Read(p)
	l.out += int64(n)
	switch {
	case limits.MaxSize > 0 && l.out > limits.MaxSize:
		n--
		l.err = fmt.Errorf("inflate %s: %w: more than %d octets", l.name, ErrTooLarge, limits.MaxSize)
	case limits.MaxRatio > 0 && l.out > ratioFloor && float64(l.out) > limits.MaxRatio*float64(l.body.wire.n):
		l.err = fmt.Errorf("inflate %s: %w: %d octets of %d", l.name, ErrRatio, l.out, l.body.wire.n)
	case err != nil:
		l.err = l.explain(err)
	}
	return n, l.err
}

// explain turns the decoder's last word into the layer's.
func (l *layer) explain(err error) error {
	if err == io.EOF {
		// The rest matters to whoever is below: a connection is reused only if its body was read to the end, and a body that was cut
		// shows it only there.
		_, _ = io.Copy(io.Discard, &l.source)
	}
	switch {
	case l.source.err != nil && l.source.err != io.EOF:
		return l.source.err
	case err == io.EOF || l.source.n == 0:
		return io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("inflate %s: %w", l.name, ErrTruncated)
	}
	return fmt.Errorf("inflate %s: %w: %w", l.name, ErrCorrupt, err)
}

// source is what a layer reads from: the wire or the layer below. It counts the octets, and it tells the errors of what is below from the
// decoder's own, which often wrap or replace them.
type source struct {
	r   io.Reader
	n   int64
	err error // sticky
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	s.n += int64(n)
	s.err = err
	return n, err
}

package middleware

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/middleware/internal/inflate"
)

// Compression asks for compressed bodies (gzip, deflate, br, zstd) and decompresses what comes, into memory or a spool file as any body. A request that has an
// Accept-Encoding of its own keeps it; one with a Range asks for no compression, and a part of a body (206) is left as it came.
//
// A decompressed body is at most Download.MaxSize, or the request's MaxSize, and beyond 1 MiB at most Compression.MaxRatio times what came over the wire
// (CVE-2024-3572, CVE-2025-6176): more is a [crawl.DownloadError] of [crawl.KindTooLarge]. A body that is broken is one of [crawl.KindEncoding], one that ends early of
// [crawl.KindTruncated], unless Download.AllowTruncated takes what there is of it.
//
// Like browsers, it takes servers at their bytes more than at their word: what is called gzip or zstd and does not begin as that does is plain, and an encoding that nobody
// knows, such as "utf-8", is none.
//
// Stats: httpcompression/response_count, httpcompression/response_bytes, which are those of the decompressed bodies.
func Compression(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	set := env.Settings
	if set.Compression.Off {
		return nil, crawl.NotConfigured("compression.off is set")
	}
	return &compression{
		next: next, log: env.Log, spool: env.Spool,
		maxSize: set.Download.MaxSize, maxRatio: set.Compression.MaxRatio, allowTruncated: set.Download.AllowTruncated,
		accept: []string{inflate.AcceptEncoding},
		count:  env.Stats.Counter("httpcompression/response_count"), bytes: env.Stats.Counter("httpcompression/response_bytes"),
	}, nil
}

type compression struct {
	next  crawl.Fetcher
	log   *zap.Logger
	spool *crawl.Spool

	maxSize        int64
	maxRatio       float64
	allowTruncated bool
	accept         []string
	count, bytes   *crawl.Counter

	decoder inflate.Decoder
	buffers sync.Pool // of *[scratch]byte
}

// scratch is how much of a body is decompressed before it is given memory of its own: nearly all pages are smaller, and get exactly what they need.
const scratch = 64 << 10

func (c *compression) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	if _, part := req.Header[rangeHeader]; !part {
		addHeader(req, acceptEncoding, c.accept)
	}
	resp, err := c.next.Fetch(ctx, req)
	if err != nil {
		return nil, err
	}
	if len(resp.Header[contentEncoding]) == 0 || resp.Body.Size() == 0 || resp.Status == http.StatusPartialContent {
		return resp, nil
	}
	if err := c.decode(req, resp); err != nil {
		c.closed(req, resp.Close())
		return nil, err
	}
	return resp, nil
}

func (c *compression) closed(req *crawl.Request, err error) {
	if err != nil {
		c.log.Warn("close compressed body", zap.Stringer("request", req), zap.Error(err))
	}
}

// decode puts the decompressed body in the place of the compressed one.
func (c *compression) decode(req *crawl.Request, resp *crawl.Response) error {
	wire, err := resp.Body.Open()
	if err != nil {
		return fmt.Errorf("decompress %s: %w", req, err)
	}
	defer func() { _ = wire.Close() }() // it was only read

	encodings := resp.Header[contentEncoding]
	if name, ok := plain(wire, encodings); ok {
		c.log.Debug("body is not compressed as its header says", zap.Stringer("request", req), zap.String("encoding", name))
		delete(resp.Header, contentEncoding)
		return nil
	}
	r, err := c.decoder.Reader(wire, encodings, c.limits(req))
	if errors.Is(err, inflate.ErrUnknownEncoding) {
		c.log.Debug("body is left as it came", zap.Stringer("request", req), zap.Error(err))
		return nil
	}
	if err != nil {
		return c.failed(req, err)
	}
	defer func() { _ = r.Close() }() // it gives back its decoders

	src := &tolerant{r: r, truncated: c.allowTruncated || req.Knob().AllowTruncated || resp.Has(truncatedFlag), most: req.Knob().StopAfter}
	body, err := c.read(src)
	if err != nil {
		return c.failed(req, err)
	}
	old := resp.Body
	resp.Body = body
	if src.stopped && !resp.Has(stoppedFlag) {
		resp.Flags = append(resp.Flags, stoppedFlag)
	}
	if src.cut && !resp.Has(truncatedFlag) {
		resp.Flags = append(resp.Flags, truncatedFlag)
	}
	delete(resp.Header, contentEncoding)
	delete(resp.Header, contentLength)
	c.count.Add(1)
	c.bytes.Add(body.Size())
	c.closed(req, old.Close())
	return nil
}

// truncatedFlag is what the downloader flags a body with that ended early.
const truncatedFlag = "truncated"

// plain reports whether a body is plainly not what its last encoding says. It leaves wire at its beginning.
func plain(wire io.ReadSeeker, encodings []string) (string, bool) {
	list := encodings[len(encodings)-1]
	name := strings.ToLower(strings.TrimSpace(list[strings.LastIndexByte(list, ',')+1:]))
	if name != "gzip" && name != "x-gzip" && name != "zstd" {
		return name, false
	}
	var buf [4]byte
	n, err := io.ReadFull(wire, buf[:])
	if _, serr := wire.Seek(0, io.SeekStart); serr != nil || err != nil && err != io.ErrUnexpectedEOF {
		return name, false // the decoder will meet it again
	}
	start := string(buf[:n])
	if name == "zstd" {
		// RFC 8878, sections 3.1.1 and 3.1.2: a frame, or one to skip.
		return name, !begins(start, "\x28\xb5\x2f\xfd") && (start[0]&0xf0 != 0x50 || !begins(start[1:], "\x2a\x4d\x18"))
	}
	return name, !begins(start, "\x1f\x8b")
}

// begins reports whether a body has a magic number, or ends within it: then it is cut short, and not plain.
func begins(start, magic string) bool {
	return strings.HasPrefix(start, magic) || strings.HasPrefix(magic, start)
}

func (c *compression) limits(req *crawl.Request) inflate.Limits {
	l := inflate.Limits{MaxSize: c.maxSize, MaxRatio: max(c.maxRatio, 0)}
	if size := req.Knob().MaxSize; size != 0 {
		l.MaxSize = size
	}
	l.MaxSize = max(l.MaxSize, 0)
	return l
}

// read takes a body as the spool would, but gives a small one no more memory than it needs.
func (c *compression) read(r io.Reader) (crawl.Body, error) {
	buf, _ := c.buffers.Get().(*[scratch]byte)
	if buf == nil {
		buf = new([scratch]byte)
	}
	defer c.buffers.Put(buf)
	n, err := 0, error(nil)
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	if err != nil && err != io.EOF {
		return crawl.Body{}, err
	}
	if err == io.EOF && (c.spool.Over <= 0 || int64(n) <= c.spool.Over) {
		return crawl.BytesBody(bytes.Clone(buf[:n])), nil
	}
	return c.spool.Read(io.MultiReader(bytes.NewReader(buf[:n]), r), -1, 0)
}

// failed says what was wrong with a body.
func (c *compression) failed(req *crawl.Request, err error) error {
	kind := crawl.KindEncoding
	switch {
	case errors.Is(err, inflate.ErrTooLarge), errors.Is(err, inflate.ErrRatio):
		kind, err = crawl.KindTooLarge, fmt.Errorf("%w: %w", crawl.ErrBodyTooLarge, err)
	case errors.Is(err, inflate.ErrTruncated):
		kind = crawl.KindTruncated
	case errors.Is(err, inflate.ErrCorrupt), errors.Is(err, inflate.ErrTooManyLayers):
	default:
		return fmt.Errorf("decompress %s: %w", req, err) // the disk's fault
	}
	return &crawl.DownloadError{Kind: kind, URL: crawl.Redacted(req.URL), Err: err}
}

// tolerant is a reader that may take an early end for the end, and ends after Knobs.StopAfter.
type tolerant struct {
	r         io.Reader
	truncated bool  // may
	cut       bool  // did
	stopped   bool  // at most
	most      int64 // bytes; 0: there may be more
	come      int64
}

func (t *tolerant) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if t.come += int64(n); t.most > 0 && t.come > t.most {
		t.cut, t.stopped = true, true
		return max(0, n-int(t.come-t.most)), io.EOF
	}
	if t.truncated && errors.Is(err, inflate.ErrTruncated) {
		t.cut, err = true, io.EOF
	}
	return n, err
}

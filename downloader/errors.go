package downloader

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// failed is the error of a request that got no response.
func failed(req *crawl.Request, kind crawl.Kind, err error) error {
	return &crawl.DownloadError{Kind: kind, URL: address(req), Err: err}
}

// address is the request's URL for error texts and logs: without its password, and a data URL, which is a whole file, only in part.
func address(req *crawl.Request) string {
	if req.URL == nil {
		return ""
	}
	const enough = 100
	s := crawl.Redacted(req.URL)
	if req.URL.Scheme == "data" && len(s) > enough {
		return s[:enough] + "..."
	}
	return s
}

// givenUp is the error of a request whose caller's context has ended: no failure of the site's.
func givenUp(ctx context.Context, req *crawl.Request) error {
	return fmt.Errorf("download <%s>: %w", address(req), ctx.Err())
}

// timedOut is the error of a request that was not done within its timeout.
func timedOut(req *crawl.Request, timeout time.Duration) error {
	return failed(req, crawl.KindTimeout, fmt.Errorf("not done within %s: %w", timeout, os.ErrDeadlineExceeded))
}

// tooSlow is the error of a request whose body came more slowly than Download.MinSpeed.
func tooSlow(req *crawl.Request, least int64) error {
	return failed(req, crawl.KindTimeout, fmt.Errorf("slower than %d bytes a second for %s (download.min_speed): %w", least, paceLooks*lookEvery, os.ErrDeadlineExceeded))
}

// tlsError marks what came out of a handshake. Many of those errors have no type of their own.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return "tls handshake: " + e.err.Error() }
func (e *tlsError) Unwrap() error { return e.err }

// kindOf tells why a request got no response headers.
func kindOf(err error) crawl.Kind {
	if _, ok := errors.AsType[*notPublicError](err); ok {
		return crawl.KindNotPublic
	}
	if e, ok := errors.AsType[*bindError](err); ok {
		return e.kind()
	}
	if _, ok := errors.AsType[*crawl.PanicError](err); ok {
		return crawl.KindRequest // no host is to blame
	}
	if waited, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && waited.Timeout() {
		return crawl.KindTimeout
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return crawl.KindDNS
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return crawl.KindRefused
	}
	if _, ok := errors.AsType[*tlsError](err); ok {
		return crawl.KindTLS
	}
	// crypto/tls calls an alert so. In TLS 1.3 a server may send one after the handshake: it wants a certificate.
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return crawl.KindTLS
	}
	return crawl.KindConnection
}

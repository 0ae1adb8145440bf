package downloader

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// Limits are what a handler of another scheme needs to keep to the settings as the built-in ones do. It is safe for concurrent use.
type Limits struct {
	bodies  bodies
	timeout time.Duration
}

// NewLimits are those of the crawl's settings.
func NewLimits(env *crawl.Env) *Limits {
	return &Limits{bodies: newBodies(env), timeout: env.Settings.Download.Timeout}
}

// Do calls f within Download.Timeout or the request's own: then the context that f is given ends. The error is what [Downloader.Fetch] promises: a *crawl.DownloadError
// of kind timeout when that time is over, ctx's error, wrapped, when ctx has ended, and otherwise f's own. A response beside an error is closed.
func (l *Limits) Do(ctx context.Context, req *crawl.Request, f func(context.Context) (*crawl.Response, error)) (*crawl.Response, error) {
	timeout := l.timeout
	if k := req.Knob().Timeout; k != 0 {
		timeout = k
	}
	within := ctx
	if timeout > 0 {
		timed, cancel := context.WithTimeoutCause(ctx, timeout, errExpired)
		defer cancel()
		within = timed
	}
	resp, err := f(within)
	if err == nil {
		return resp, nil
	}
	if resp != nil {
		err = errors.Join(err, resp.Close())
	}
	switch {
	case ctx.Err() != nil:
		return nil, givenUp(ctx, req)
	case context.Cause(within) == errExpired:
		return nil, timedOut(req, timeout)
	}
	return nil, err
}

// MaxSize is the largest body of a response to req in bytes: Download.MaxSize or the request's own. 0 or less is none.
func (l *Limits) MaxSize(req *crawl.Request) int64 {
	if k := req.Knob().MaxSize; k != 0 {
		return k
	}
	return l.bodies.max
}

// Body reads a body to its end, into memory or the spool. size is what was announced, or -1: a body that ends before it is truncated. The error is complete.
func (l *Limits) Body(req *crawl.Request, r io.Reader, size int64) (crawl.Body, error) {
	return l.bodies.read(req, r, size, false)
}

// Failed is the error of a request that got no response. An err that is a *crawl.DownloadError is left as it is.
func Failed(req *crawl.Request, kind crawl.Kind, err error) error {
	if done, ok := errors.AsType[*crawl.DownloadError](err); ok {
		return done
	}
	return failed(req, kind, err)
}

// KindOf tells what an error of a connection is about: timeout, dns, refused, tls, else connection; of one that a [Dialer] was to make, not-public or proxy, too.
func KindOf(err error) crawl.Kind {
	if e, ok := errors.AsType[*throughError](err); ok {
		return e.kind
	}
	return kindOf(err)
}

// NewHTTP makes a handler of http and https beside the downloader's own, with connections of its own: for schemes whose files come over HTTP. It is an io.Closer.
func NewHTTP(env *crawl.Env) (crawl.Fetcher, error) {
	return newHTTP(env)
}

// A Dialer connects as the HTTP handler does: to where Download.ConnectTo leads, by Download.Dial, and through the proxy of the context ([crawl.Proxy]), if it has one. It is
// safe for concurrent use.
type Dialer struct{ h *httpHandler }

// NewDialer makes one for a handler. Close cuts the connections that it has made.
func NewDialer(env *crawl.Env) (*Dialer, error) {
	h, err := newHTTP(env)
	if err != nil {
		return nil, err
	}
	return &Dialer{h}, nil
}

// Dial connects to "host:port" within 30 s.
func (d *Dialer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if via := crawl.Proxy(ctx); via != nil {
		return d.h.through(ctx, via, network, addr)
	}
	return d.h.dialer.dial(ctx, network, addr)
}

// TLS is a configuration for handshakes over such connections, which is the caller's: by Download.CAFile, MinTLS, MaxTLS and InsecureTLS. ServerName is not set.
func (d *Dialer) TLS() *tls.Config { return d.h.dialer.tls.Clone() }

// Close cuts all connections that are open. Dial fails from now on.
func (d *Dialer) Close() error { return d.h.Close() }

package ftp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/textproto"
	"path"
	"strconv"
	"time"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
)

var _ crawl.OpenHandler = Open

// Open makes the handler of ftp and ftps URLs: it is a [crawl.OpenHandler]. Nothing is connected before the first request.
func Open(env *crawl.Env) (crawl.Fetcher, error) {
	dialer, err := downloader.NewDialer(env)
	if err != nil {
		return nil, err
	}
	set := env.Settings
	return &handler{
		limits: downloader.NewLimits(env), settings: set.FTP, insecure: set.FTP.InsecureTLS || set.Download.InsecureTLS, dialer: dialer,
		idle: make(map[login][]*conn),
	}, nil
}

// Replies that decide what happens next (RFC 959, section 4.2).
const (
	unavailable = 421 // the server closes the connection, or has too many
	noLogin     = 530
	noFile      = 550
	allDone     = 250 // what some servers say after a transfer in place of 226
)

var (
	_ crawl.Fetcher = (*handler)(nil)
	_ io.Closer     = (*handler)(nil)
)

// Fetch reads a file.
func (h *handler) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	who, name, err := parse(req, &h.settings)
	if err != nil {
		return nil, downloader.Failed(req, crawl.KindRequest, err)
	}
	return h.limits.Do(ctx, req, func(ctx context.Context) (*crawl.Response, error) {
		if c := h.take(who); c != nil {
			resp, err := h.read(ctx, c, req, name)
			if !errors.Is(err, errStale) || ctx.Err() != nil {
				return resp, err
			}
		}
		c, err := h.dial(ctx, who)
		if err != nil {
			return nil, downloader.Failed(req, kindOf(err), err)
		}
		return h.read(ctx, c, req, name)
	})
}

// errStale says that a connection broke before it had answered anything about the file, or is out of step: its answers are those to earlier commands.
var errStale = errors.New("the connection is of no use any more")

// read reads a file over a connection, and gives that back or ends it.
func (h *handler) read(ctx context.Context, c *conn, req *crawl.Request, name string) (*crawl.Response, error) {
	start := time.Now()
	unwatch := context.AfterFunc(ctx, c.abort)
	defer unwatch()
	size, err := c.FileSize(name)
	_, none := errors.AsType[*strconv.NumError](err)
	switch code := replied(err); {
	case err == nil:
	case none, code >= 400 && code != unavailable:
		size = -1 // RETR will tell
	default:
		c.abort()
		return nil, downloader.Failed(req, kindOf(err), fmt.Errorf("SIZE: %w: %w", errStale, err))
	}
	file, err := c.Retr(name)
	if err != nil {
		if !unwatch() { // it has been cut off, or is about to be
			c.abort()
			return nil, downloader.Failed(req, kindOf(err), fmt.Errorf("RETR: %w", err))
		}
		return h.refused(c, req, start, err)
	}
	timing := crawl.Timing{Start: start, Latency: time.Since(start)}
	body, err := h.limits.Body(req, file, size)
	if err != nil {
		c.abort()
		_ = file.Close()
		return nil, err
	}
	if err := transferred(file.Close()); err != nil {
		c.abort()
		return nil, errors.Join(downloader.Failed(req, crawl.KindTruncated, fmt.Errorf("RETR: %w", err)), body.Close())
	}
	if unwatch() { // or it has been cut off
		h.give(c)
	}
	timing.Total = time.Since(start)
	header := make(http.Header)
	// Without parameters: the system's table says charset=utf-8 of every page, and only the page itself knows.
	if t, _, _ := mime.ParseMediaType(mime.TypeByExtension(path.Ext(name))); t != "" {
		header["Content-Type"] = []string{t}
	}
	return &crawl.Response{Request: req, URL: req.URL, Status: http.StatusOK, Header: header, Body: body, Timing: timing}, nil
}

// refused makes a response of a server's no.
func (h *handler) refused(c *conn, req *crawl.Request, start time.Time, err error) (*crawl.Response, error) {
	status := http.StatusServiceUnavailable
	switch code := replied(err); {
	case code == 0, code == unavailable:
		c.abort()
		return nil, downloader.Failed(req, kindOf(err), fmt.Errorf("RETR: %w", err))
	case code < 400: // no answer to what was asked: an earlier one, as all that would follow
		c.abort()
		return nil, downloader.Failed(req, kindOf(err), fmt.Errorf("RETR: %w: %w", errStale, err))
	case code == noFile:
		status = http.StatusNotFound
	}
	h.give(c)
	took := time.Since(start)
	return &crawl.Response{
		Request: req, URL: req.URL, Status: status, Header: http.Header{"Content-Type": {"text/plain"}},
		Body: crawl.BytesBody([]byte(err.Error())), Timing: crawl.Timing{Start: start, Latency: took, Total: took},
	}, nil
}

// transferred is the outcome of a transfer: servers end one with 226 or with 250, and the library takes the second for an error.
func transferred(err error) error {
	if replied(err) != allDone {
		return err
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) > 1 {
		return err
	}
	return nil
}

// replied returns the code that the server's reply had if err is one, else 0.
func replied(err error) int {
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		return reply.Code
	}
	return 0
}

// kindOf tells what an error is about. A server that has no TLS, or no such user, will not have them a moment later.
func kindOf(err error) crawl.Kind {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return crawl.KindTLS
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return crawl.KindTLS
	}
	if code := replied(err); code == noLogin || code >= 500 {
		return crawl.KindRequest
	}
	return downloader.KindOf(err)
}

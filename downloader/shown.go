package downloader

import (
	"errors"
	"io"
	"net/http"

	"github.com/tulle-go/tulle/crawl"
)

// shownBody is a body that Trace.BytesReceived sees as it comes, and may end. It ends after Knobs.StopAfter too.
type shownBody struct {
	io.ReadCloser
	req  *crawl.Request
	show func(*crawl.Request, []byte) error // nil: nobody wants to see it
	left int64                              // until StopAfter, if it has one
	stop *crawl.StopDownloadError           // why it ended before its end; nil: it did not
}

// show shows the headers of a response, if they are its first, to Trace.HeadersReceived, and puts a body in the place of in's that is shown as it is read.
func (h *httpHandler) show(in *http.Response, resp *crawl.Response, first bool) *shownBody {
	b := &shownBody{ReadCloser: in.Body, req: resp.Request, show: h.trace.BytesReceived, left: resp.Request.Knob().StopAfter}
	if f := h.trace.HeadersReceived; f != nil && first {
		b.stop, _ = errors.AsType[*crawl.StopDownloadError](f(resp))
	}
	if b.show != nil || b.left > 0 {
		in.Body = b
	}
	return b
}

// Read reads the body, and shows what it has read. A body that is to be the response as it is ends there.
func (b *shownBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n == 0 {
		return n, err
	}
	if b.req.Knob().StopAfter > 0 {
		if int64(n) > b.left {
			n, err, b.stop = int(b.left), io.EOF, new(crawl.StopDownloadError)
		}
		b.left -= int64(n)
	}
	if b.show == nil {
		return n, err
	}
	if stop, ok := errors.AsType[*crawl.StopDownloadError](b.show(b.req, p[:n])); ok {
		b.stop = stop
		if stop.Fail {
			return n, stop
		}
		return n, io.EOF
	}
	return n, err
}

// ended reports whether BytesReceived has ended a body.
func ended(body io.Reader) bool {
	b, ok := body.(*shownBody)
	return ok && b.stop != nil
}

// giveUp is the error of a request whose download was stopped. What has come of it is not kept.
func (h *httpHandler) giveUp(stop *crawl.StopDownloadError, resp *crawl.Response, left *part) error {
	h.parts.remove(left)
	_ = resp.Close() // of a body that came to its end nonetheless
	resp.Body = crawl.Body{}
	return failed(resp.Request, crawl.KindStopped, &crawl.StopDownloadError{Fail: stop.Fail, Response: resp})
}

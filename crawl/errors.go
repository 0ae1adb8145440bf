package crawl

import (
	"errors"
	"fmt"
	"time"
)

// Steering: a part of the crawl says what should happen next by the error it returns.

// DropItem is returned by a pipeline stage to drop the item. Later stages do not see it; it is counted and logged with the reason.
func DropItem(reason string) error { return &DropItemError{Reason: reason} }

// DropItemError is what [DropItem] makes.
type DropItemError struct{ Reason string }

func (e *DropItemError) Error() string { return "item dropped: " + e.Reason }

// IgnoreRequest is returned by a middleware that refuses a request: it fails without a retry, and is not logged as an error.
func IgnoreRequest(reason string) error { return &IgnoreRequestError{Reason: reason} }

// IgnoreRequestError is what [IgnoreRequest] makes.
type IgnoreRequestError struct {
	Reason string
	// Err is what has kept the request from being decided on, such as a robots.txt that could not be read: then it has failed, and a job keeps it among its failures.
	// nil: it was refused.
	Err error
	// Kind is what such a failure counts as if Err is no [DownloadError], which has a kind of its own. "" is "ignored".
	Kind Kind
}

func (e *IgnoreRequestError) Error() string {
	if e.Err != nil {
		return "request ignored: " + e.Reason + ": " + e.Err.Error()
	}
	return "request ignored: " + e.Reason
}

func (e *IgnoreRequestError) Unwrap() error { return e.Err }

// Reschedule is returned by a middleware, or by a callback before its first output, to have req asked after a while: a retry, a redirect. Nothing sleeps in
// a chain: the host's place is given back, and the request waits in the queue. req may be a changed copy of the request in hand.
func Reschedule(req *Request, after time.Duration, why string) error {
	return &RescheduleError{Request: req, After: after, Reason: why}
}

// RescheduleError is what [Reschedule] makes. Only the engine's loop acts on it.
type RescheduleError struct {
	Request *Request
	// After is how long the request waits before it may leave again. 0: it may leave at once.
	After time.Duration
	// Reason is for logs and stats: "503 Service Unavailable", "redirect".
	Reason string
	// HoldSlot is how long the whole slot must not be asked, since its host does not answer. 0: the slot goes on.
	HoldSlot time.Duration
	// Reopen asks for the request's host to be opened before the request is asked again: see [HostOpener].
	Reopen bool
	// Err is the failure that led to it, if one did.
	Err error
}

func (e *RescheduleError) Error() string {
	return fmt.Sprintf("%s rescheduled after %s: %s", e.Request, e.After, e.Reason)
}

func (e *RescheduleError) Unwrap() error { return e.Err }

// CloseSpider is returned by any user code to end the crawl with a reason. What is in flight is finished.
func CloseSpider(reason string) error { return &CloseSpiderError{Reason: reason} }

// CloseSpiderError is what [CloseSpider] makes.
type CloseSpiderError struct{ Reason string }

func (e *CloseSpiderError) Error() string { return "close spider: " + e.Reason }

// StopDownload is returned by [Trace.HeadersReceived] and [Trace.BytesReceived] to end a download. What has come until then is the response, with the flag
// "download_stopped". With fail there is no response: the request fails, as [KindStopped], and is not asked again.
func StopDownload(fail bool) error { return &StopDownloadError{Fail: fail} }

// StopDownloadError is what [StopDownload] makes. The error of a request that failed by it wraps one.
type StopDownloadError struct {
	Fail bool
	// Response is what had come: status, headers, and no body. The downloader sets it.
	Response *Response
}

func (e *StopDownloadError) Error() string { return "the download was stopped" }

// NotConfigured is returned by a middleware's constructor or a pipeline's Open to say that the settings do not ask for it: it is left out, and the crawl goes on.
func NotConfigured(reason string) error { return &NotConfiguredError{Reason: reason} }

// NotConfiguredError is what [NotConfigured] makes.
type NotConfiguredError struct{ Reason string }

func (e *NotConfiguredError) Error() string { return "not configured: " + e.Reason }

// ErrDontClose is returned by [Trace.SpiderIdle] to keep an idle crawl open: it is asked again after a while.
var ErrDontClose = errors.New("do not close the spider")

// ErrBodyTooLarge says that a body is larger than Download.MaxSize, or than its request's MaxSize.
var ErrBodyTooLarge = errors.New("body too large")

// ErrStopping says that the crawl is ending and takes nothing new.
var ErrStopping = errors.New("the crawl is stopping")

// A Kind is a class of failure. It is a short word for stats and for code that decides what to do.
type Kind string

// The kinds of a [DownloadError].
const (
	KindRefused    Kind = "refused"    // the connection was refused
	KindTimeout    Kind = "timeout"    // no answer, or no end of it, in time
	KindDNS        Kind = "dns"        // the host's name was not found
	KindTLS        Kind = "tls"        // the certificate or the handshake was bad
	KindConnection Kind = "connection" // the connection broke, or what came was not HTTP
	KindTruncated  Kind = "truncated"  // the body ended early
	KindTooLarge   Kind = "too-large"  // the body is larger than allowed
	KindEncoding   Kind = "encoding"   // the body's Content-Encoding is broken
	KindProxy      Kind = "proxy"      // the proxy was not reached, or did not let the request through
	KindRequest    Kind = "request"    // the request cannot be sent: bad URL, unknown scheme
	KindNotPublic  Kind = "not-public" // Download.PublicOnly is on, and the address is not public
	KindBrowser    Kind = "browser"    // the browser that was to render the page ended, or froze: no fault of the page's
	KindStopped    Kind = "stopped"    // a hook stopped it: see StopDownload
	KindDeadHost   Kind = "dead-host"  // it was not asked: its host does not answer, and has been given up for this crawl
)

// KindRobots is that of an [IgnoreRequestError]: nothing may be asked, as the site's robots.txt was not to be had, or not whole.
const KindRobots Kind = "robots"

// A DownloadError says why a request got no response. 404 is a response and no error.
type DownloadError struct {
	Kind Kind
	// URL is the address that was asked.
	URL string
	Err error
	// Progress says that the attempt continued a body that had broken off before, added to it at least 1 MiB and a hundredth of the whole before it broke off again, and
	// that the next attempt goes on from there. The retry middleware does not count such a failure.
	Progress bool
	// Answered says that the response's headers had come: the host is there, whatever Kind says.
	Answered bool
}

func (e *DownloadError) Error() string {
	return fmt.Sprintf("download <%s>: %s: %v", e.URL, e.Kind, e.Err)
}

func (e *DownloadError) Unwrap() error { return e.Err }

// A StatusError says that a page came with a status that the spider does not handle: everything but 2xx, unless HTTPError.Allowed or the request's
// HandleStatus names it. The response can be read until the errback returns.
type StatusError struct{ Response *Response }

func (e *StatusError) Error() string {
	return fmt.Sprintf("status %d is not handled", e.Response.Status)
}

// A PanicError is a panic of user code, turned into an error.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value that was panicked with, if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

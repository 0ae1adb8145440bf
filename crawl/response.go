package crawl

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Response is what came back for a request. Its selectors parse the page once, on first use; all methods are safe for concurrent use until
// it is closed.
type Response struct {
	// Request is the one that was answered, as it was sent but for cookies; after a redirect its Redirects say where it began.
	Request *Request
	// URL is the address that answered.
	URL    *url.URL
	Status int
	Header http.Header
	// Body is decompressed. Its charset is untouched: see Decoded.
	Body Body
	// Charset of the body, by its name, in place of the one that Decoded works out. It counts when it is set before the first selector. "" is usual.
	Charset string
	// Proto is "HTTP/1.1" or "HTTP/2.0"; "" for other schemes.
	Proto string
	// Flags are words that parts leave: "cached", "truncated", "rendered".
	Flags []string
	// Rendered is what a browser has left beside the page; nil if no browser was asked.
	Rendered *Rendered
	Timing   Timing
	// Selectors keeps compiled selectors for the responses of one crawl. The engine sets it; nil compiles each time.
	Selectors *Selectors

	page page // what selectors have worked out so far
}

// Timing is when a response was asked for and how long it took.
type Timing struct {
	Start time.Time
	// Latency is the time from Start to the headers: Scrapy's download_latency.
	Latency time.Duration
	// Total is the time from Start to the last byte.
	Total time.Duration
}

// page is what is worked out of a body at most once.
type page struct {
	domOnce  sync.Once
	referrer atomic.Uint32 // the page's policy, one more than its place in referrerPolicies; 0: nobody has looked
	dom      dom
	domErr   error // why there is no tree, or not all of it

	jsonOnce sync.Once
	json     string
	jsonErr  error

	valueOnce sync.Once
	value     any // the JSON, as JMESPath reads it
	valueErr  error

	mu  sync.Mutex
	err error // Guarded by mu: the first malformed selector, or why there is no document.
}

// String is for logs: <200 https://example.com/>.
func (r *Response) String() string { return fmt.Sprintf("<%d %s>", r.Status, r.URL) }

// Has reports whether a flag was left on the response.
func (r *Response) Has(flag string) bool { return slices.Contains(r.Flags, flag) }

// Bytes is the body, transfer decoded, its charset untouched. It is not to be changed. A spooled body is read whole: mind Body.Size.
func (r *Response) Bytes() ([]byte, error) { return r.Body.Bytes() }

// Data reads what the request carried, as [With] put it there. A request that carried nothing leaves into as it is.
func (r *Response) Data(into any) error {
	if r.Request == nil || len(r.Request.Data) == 0 {
		return nil
	}
	if err := json.Unmarshal(r.Request.Data, into); err != nil {
		return fmt.Errorf("data of %s: %w", r.Request, err)
	}
	return nil
}

// Err is the first thing that went wrong in a selector: it is malformed, or the page is not text. The engine reports it when the callback returns nil.
func (r *Response) Err() error {
	r.page.mu.Lock()
	defer r.page.mu.Unlock()
	return r.page.err
}

func (r *Response) fail(err error) {
	r.page.mu.Lock()
	defer r.page.mu.Unlock()
	if r.page.err == nil {
		r.page.err = err
	}
}

// Close gives the body back. The engine closes after a callback; whoever calls Fetch closes himself. What the body held in memory stays valid.
func (r *Response) Close() error {
	if r == nil {
		return errors.New("close of no response")
	}
	if r.Rendered != nil {
		return errors.Join(r.Body.Close(), r.Rendered.Screenshot.Close())
	}
	return r.Body.Close()
}

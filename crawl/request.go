package crawl

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tulle-go/tulle/crawl/internal/canon"
)

// A Request is one page or file to ask for. Make one with [Get] or as a literal with a URL.
type Request struct {
	URL *url.URL
	// Method is upper case; "" is GET.
	Method string
	// Header is sent as it is; middlewares add what is missing: User-Agent, Accept, Cookie, ….
	Header http.Header
	Body   []byte
	// Route names the callback among Spider.Routes; "" is Spider.Parse.
	Route string
	// Priority: higher leaves first. 0 is usual, negative is allowed.
	Priority int
	// DontFilter asks for it although it was seen before.
	DontFilter bool
	// IsStart says that it came from Spider.Start, not from a page. The start middleware sets it; redirects, retries and a job keep it.
	IsStart bool
	// Key is the request's fingerprint in place of the one that [Request.Fingerprint] works out: two requests with the same Key are one, wherever that is asked:
	// to the scheduler, to a job that goes on, to pictures and files under way, to the HTTP cache. Zero, as nearly always, is none. It belongs to the URL that it
	// was set for: a redirect's target has its own fingerprint.
	Key Fingerprint
	// Depth is how many links away from Start it was found. The depth middleware sets it.
	Depth int
	// Data travels with the request to its callback, as JSON; set it by [With], read it by Response.Data.
	Data json.RawMessage
	// Knobs are the rare per-request settings; nil for nearly all requests.
	Knobs *Knobs
	// Retries is how many times it was asked again after a failure.
	Retries int
	// Redirects are the URLs it came through, the first one first.
	Redirects []string

	bad *unusable // nil for nearly all requests
}

// unusable is why a request is.
type unusable struct {
	raw string // the URL, if it did not parse
	err error
}

// Knobs are the rare settings of a single request: what Scrapy keeps in meta, typed. The zero value changes nothing.
type Knobs struct {
	// Timeout for the whole request in place of Download.Timeout. 0 is that; negative is none.
	Timeout time.Duration `json:"timeout,omitempty"`
	// MaxSize of the body in bytes in place of Download.MaxSize. 0 is that; negative is none.
	MaxSize int64 `json:"max_size,omitempty"`
	// StopAfter ends the body after so many bytes, on the wire and decompressed: what has come until then is the response, with the flags "download_stopped" and
	// "truncated". It is for http and https. 0 is none.
	StopAfter int64 `json:"stop_after,omitempty"`
	// Slot to queue in, in place of the host's.
	Slot string `json:"slot,omitempty"`
	// CookieJar names the jar; "" is the crawl's own.
	CookieJar string `json:"cookie_jar,omitempty"`
	// DontMergeCookies neither sends cookies from the jar nor keeps those of the response.
	DontMergeCookies bool `json:"dont_merge_cookies,omitempty"`
	// HandleStatus are statuses outside 2xx that go to the callback as they are: no redirect, no error.
	HandleStatus []int `json:"handle_status,omitempty"`
	// HandleAllStatus does so for every status.
	HandleAllStatus bool `json:"handle_all_status,omitempty"`
	// DontRetry fails at the first failure.
	DontRetry bool `json:"dont_retry,omitempty"`
	// RetryTimes in place of Retry.Times. 0 is that.
	RetryTimes int `json:"retry_times,omitempty"`
	// DontRedirect hands a redirect to the callback.
	DontRedirect bool `json:"dont_redirect,omitempty"`
	// DontCache asks past the HTTP cache: nothing is taken from it, nothing is put there.
	DontCache bool `json:"dont_cache,omitempty"`
	// IgnoreRobots asks although robots.txt says no.
	IgnoreRobots bool `json:"ignore_robots,omitempty"`
	// AllowOffsite asks although the host is not in Spider.AllowedDomains.
	AllowOffsite bool `json:"allow_offsite,omitempty"`
	// DontRefresh hands a page that has a meta refresh to the callback.
	DontRefresh bool `json:"dont_refresh,omitempty"`
	// Proxy to ask through, in place of the usual one: its URL, as in ProxySettings.URLs, or "direct" for none. "" is the usual. Redirects and retries keep it.
	Proxy string `json:"proxy,omitempty"`
	// BindAddress is the address of this machine that the request's connections come from, in place of Download.BindAddress, and in the same form. "" is that. Requests with
	// different ones never share a connection. Redirects and retries keep it.
	BindAddress string `json:"bind_address,omitempty"`
	// HTTPUser and HTTPPassword are sent as Basic authentication, in place of those of HTTPAuth.
	HTTPUser     string `json:"http_user,omitempty"`
	HTTPPassword string `json:"http_password,omitempty"`
	// HTTPAuthDomain is where they may go, as HTTPAuth.Domain. "" is the origin that the request was made for.
	HTTPAuthDomain string `json:"http_auth_domain,omitempty"`
	// PriorityAdjust in place of Retry.PriorityAdjust. 0 is that.
	PriorityAdjust int `json:"priority_adjust,omitempty"`
	// GiveUpLevel in place of Retry.GiveUpLevel. "" is that.
	GiveUpLevel string `json:"give_up_level,omitempty"`
	// AllowTruncated accepts a body that ends early, as Download.AllowTruncated does.
	AllowTruncated bool `json:"allow_truncated,omitempty"`
	// WarnSize in bytes in place of Download.WarnSize. 0 is that; negative is none.
	WarnSize int64 `json:"warn_size,omitempty"`
	// DepthReset lets depths be counted anew from this request: its own is 0.
	DepthReset bool `json:"depth_reset,omitempty"`
	// ReferrerPolicy in place of Referer.Policy, and of what the page says. Links have their own set here: see Out.FollowAll.
	ReferrerPolicy string `json:"referrer_policy,omitempty"`
	// DontAdjustDelay keeps AutoThrottle from learning from the answer.
	DontAdjustDelay bool `json:"dont_adjust_delay,omitempty"`
	// Render asks for the page in a browser, so that its scripts run. nil does not. The fingerprint is that of the page without a browser.
	Render *Render `json:"render,omitempty"`
}

var noKnobs Knobs

// Get is a GET request for a URL as it may be found in the wild: spaces, line breaks, backslashes and names in any script are put right as browsers do. A URL that
// cannot be put right is kept as its error, and fails where the request is used, alone.
func Get(rawURL string, with ...func(*Request)) *Request {
	r := &Request{}
	u, err := canon.Parse(rawURL)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			parse.URL = hidden(parse.URL)
		}
		r.bad = &unusable{rawURL, err}
	} else {
		r.URL = u
	}
	for _, f := range with {
		f(r)
	}
	return r
}

// Unusable is a request for a URL that is not to be asked. It fails where it is used, alone, with err.
func Unusable(rawURL string, err error) *Request { return &Request{bad: &unusable{rawURL, err}} }

// With lets v travel with the request, as JSON. A value that does not marshal is kept as the request's error.
func With(v any) func(*Request) {
	return func(r *Request) {
		data, err := json.Marshal(v)
		if err != nil {
			bad := unusable{err: fmt.Errorf("data of type %T: %w", v, err)}
			if r.bad != nil {
				bad.raw = r.bad.raw
			}
			r.bad = &bad
			return
		}
		r.Data = data
	}
}

// Err is why the request cannot be used: its URL did not parse, or its Data did not marshal.
func (r *Request) Err() error {
	switch {
	case r.bad != nil && r.bad.raw != "":
		return fmt.Errorf("url %q: %w", hidden(r.bad.raw), r.bad.err)
	case r.bad != nil:
		return r.bad.err
	case r.URL == nil:
		return fmt.Errorf("the request has no URL")
	}
	return nil
}

// String is for logs: <GET https://example.com/>. A password in the URL is not shown.
func (r *Request) String() string {
	if r == nil {
		return "<no request>"
	}
	u := ""
	if r.bad != nil {
		u = hidden(r.bad.raw)
	}
	if r.URL != nil {
		u = Redacted(r.URL)
	}
	return "<" + r.method() + " " + u + ">"
}

func (r *Request) method() string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

// Knob returns the request's knobs, or zero ones. They are for reading.
func (r *Request) Knob() *Knobs {
	if r.Knobs == nil {
		return &noKnobs
	}
	return r.Knobs
}

// SetKnobs changes a copy of the request's knobs and puts it in their place, so that knobs that requests share stay as they are.
func (r *Request) SetKnobs(f func(*Knobs)) {
	k := *r.Knob()
	k.HandleStatus = slices.Clone(k.HandleStatus)
	k.Render = k.Render.clone()
	f(&k)
	r.Knobs = &k
}

// Clone is a deep copy that may be changed freely.
func (r *Request) Clone() *Request {
	c := *r
	if r.URL != nil {
		u := *r.URL
		c.URL = &u
	}
	c.Header = r.Header.Clone()
	c.Body = bytes.Clone(r.Body)
	c.Data = bytes.Clone(r.Data)
	c.Redirects = slices.Clone(r.Redirects)
	if r.Knobs != nil {
		c.SetKnobs(func(*Knobs) {})
	}
	return &c
}

// Handles reports whether a status outside 2xx goes to the callback because the request says so.
func (k *Knobs) Handles(status int) bool {
	return k.HandleAllStatus || slices.Contains(k.HandleStatus, status)
}

// Slot is the queue that the request waits in: Knobs.Slot, else its host in lower case without a port and without a dot at its end, else its scheme.
func (r *Request) Slot() string {
	if r.Knobs != nil && r.Knobs.Slot != "" {
		return r.Knobs.Slot
	}
	if r.URL == nil {
		return ""
	}
	if h := strings.TrimSuffix(r.URL.Hostname(), "."); h != "" {
		return strings.ToLower(h)
	}
	return r.URL.Scheme + ":"
}

// A Fingerprint is what two requests share when they ask for the same thing: Scrapy's, the SHA-1 of method, canonical URL and body, or what Request.Key says.
type Fingerprint [20]byte

// String is the fingerprint in hex, as Scrapy writes it.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// Fingerprint is Request.Key, or is worked out of method, URL and body. Headers and the URL's fragment do not count.
func (r *Request) Fingerprint() Fingerprint {
	if r.URL == nil {
		return Fingerprint{}
	}
	if r.Key != (Fingerprint{}) && (len(r.Redirects) == 0 || r.URL.String() == r.Redirects[0]) {
		return r.Key
	}
	return canon.Fingerprint(r.method(), r.URL, r.Body)
}

// chain are the fingerprints of the URLs it came through.
func (r *Request) chain() []Fingerprint {
	var fps []Fingerprint
	if r.Key != (Fingerprint{}) && len(r.Redirects) > 0 {
		fps = append(fps, r.Key)
	}
	for _, raw := range r.Redirects {
		if u, err := canon.Parse(raw); err == nil {
			fps = append(fps, canon.Fingerprint(r.method(), u, r.Body))
			if r.method() != http.MethodGet {
				fps = append(fps, canon.Fingerprint(http.MethodGet, u, nil))
			}
		}
	}
	return fps
}

// CanonicalURL is the form in which URLs are compared: queries sorted, escapes in upper case, no fragment.
func CanonicalURL(u *url.URL) string { return canon.Canonical(u) }

type originKey struct{}

// Origin is the request of the page that an item comes from, in pipelines and media hooks. It is nil for an item that Start produced. It must not be changed.
func Origin(ctx context.Context) *Request {
	r, _ := ctx.Value(originKey{}).(*Request)
	return r
}

// WithOrigin is for those who call pipelines: the engine and test harnesses.
func WithOrigin(ctx context.Context, req *Request) context.Context {
	return context.WithValue(ctx, originKey{}, req)
}

// headerKeys returns a header's names in order, so that the same request is written the same way.
func headerKeys(h http.Header) []string {
	keys := make([]string, 0, len(h))
	for k := range h {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

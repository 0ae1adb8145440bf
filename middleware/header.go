package middleware

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"

	"github.com/tulle-go/tulle/crawl"
)

// Names of headers, in the canonical form that a map of http.Header has.
const (
	acceptEncoding  = "Accept-Encoding"
	authorization   = "Authorization"
	contentEncoding = "Content-Encoding"
	contentLength   = "Content-Length"
	cookie          = "Cookie"
	host            = "Host"
	proxyAuth       = "Proxy-Authorization"
	location        = "Location"
	rangeHeader     = "Range"
	referer         = "Referer"
	referrerPolicy  = "Referrer-Policy"
	retryAfter      = "Retry-After"
	userAgent       = "User-Agent"
)

// usualHeaders is how many headers a request has when it leaves, about: room for those that the layers add.
const usualHeaders = 8

// ownHeader gives a request a header map of its own, which layers may add to, with room for what they usually add. Names are put into canonical form, so that
// a layer finds what was written as "cookie". The values are shared: layers replace them and never change them.
func ownHeader(req *crawl.Request) {
	own := make(http.Header, usualHeaders)
	for k, v := range req.Header {
		key := textproto.CanonicalMIMEHeaderKey(k)
		if had, ok := own[key]; ok {
			v = append(had[:len(had):len(had)], v...)
		}
		own[key] = v
	}
	req.Header = own
}

// addHeader sets a header unless the request has one of that name, be it empty. value is shared by many requests.
func addHeader(req *crawl.Request, key string, value []string) {
	if _, ok := req.Header[key]; ok {
		return
	}
	if req.Header == nil {
		req.Header = make(http.Header, usualHeaders)
	}
	req.Header[key] = value
}

// takeBack leaves a request that is to be asked again with the headers that came in with the one in hand, and those that the layer which made it has set on it. What layers
// have added to the one in hand they will add again: the queue holds what the spider asked for, and a redirect starts afresh.
func takeBack(next *crawl.Request, own, sent http.Header) {
	kept := make(http.Header, len(next.Header))
	for k, v := range next.Header {
		if !slices.Equal(v, sent[k]) {
			kept[k] = v
		}
	}
	for k := range own {
		key := textproto.CanonicalMIMEHeaderKey(k)
		if v, ok := next.Header[key]; ok {
			kept[key] = v
		}
	}
	next.Header = kept
}

// repeat is a copy of a request to be asked once more. It shares with req what no layer changes in place.
func repeat(req *crawl.Request) *crawl.Request {
	c := *req
	c.Header = maps.Clone(req.Header)
	return &c
}

// sendWith sends a request with a header that is on the wire only: when the response is back, the request has the one that it had, or none. So has what a layer further
// in wants to be asked again. An empty value sends the request as it is.
func sendWith(ctx context.Context, next crawl.Fetcher, req *crawl.Request, key, value string) (*crawl.Response, error) {
	if value == "" {
		return next.Fetch(ctx, req)
	}
	// The map is exchanged and not written to when the request is back: a transport that has given up may still be reading it.
	before, sent := req.Header, maps.Clone(req.Header)
	if sent == nil {
		sent = make(http.Header, usualHeaders)
	}
	sent[key] = []string{value}
	req.Header = sent
	defer func() { req.Header = before }() // also where a layer panics: it may be shown to Errback then
	resp, err := next.Fetch(ctx, req)

	var again *crawl.RescheduleError
	if err != nil && errors.As(err, &again) && again.Request != nil && slices.Equal(again.Request.Header[key], sent[key]) {
		// A layer further in has copied the request.
		again.Request.Header = maps.Clone(again.Request.Header)
		if own, ok := before[key]; ok {
			again.Request.Header[key] = own
		} else {
			delete(again.Request.Header, key)
		}
	}
	return resp, err
}

// web reports whether a URL is one that HTTP's rules are for.
func web(u *url.URL) bool { return u.Scheme == "https" || u.Scheme == "http" }

// kindOf is the last part of a stat for an error.
func kindOf(err error) string {
	var failed *crawl.DownloadError
	if errors.As(err, &failed) {
		return string(failed.Kind)
	}
	return "other"
}

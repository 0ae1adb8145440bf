package pipeline

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/tulle-go/tulle/crawl"
)

// The kinds of a [MediaError], beside those of a crawl.DownloadError: refused, timeout, dns, tls, connection, truncated, too-large, encoding, request and dead-host.
const (
	KindStatus        crawl.Kind = "status"          // a status that is no success: 404, or 503 after all attempts
	KindRedirect      crawl.Kind = "redirect"        // a redirect, and Media.AllowRedirects is off
	KindEmpty         crawl.Kind = "empty"           // there was nothing in the response
	KindTooSmall      crawl.Kind = "too-small"       // the picture is smaller than Images.MinWidth or MinHeight
	KindUndecodable   crawl.Kind = "undecodable"     // what came is not a picture, or a broken one
	KindTooManyPixels crawl.Kind = "too-many-pixels" // the picture is larger than Images.MaxPixels
	KindFiltered      crawl.Kind = "filtered"        // refused before it was asked: robots.txt, offsite, crawl.IgnoreRequest
	KindStore         crawl.Kind = "store"           // the store would not take it
	KindOther         crawl.Kind = "other"           // the error or panic of a hook, or of somebody's middleware
)

// MediaError says why a picture or file is not there. Hooks and [Kind]s may return one to choose the kind.
type MediaError struct {
	Kind crawl.Kind
	// URL is what was asked, without a password and cut if it is very long.
	URL string
	// Status is the HTTP status, 0 if there was no response.
	Status int
	// Err says more. It is nil if there is nothing to say. Of a failure that is remembered only the text is kept.
	Err error

	// passing is set for failures of kinds other and filtered that another attempt may well not meet.
	passing bool
}

func (e *MediaError) Error() string {
	text := "media <" + e.URL + ">: " + string(e.Kind)
	if cause := e.cause(); cause != nil {
		text += ": " + cause.Error()
	}
	return text
}

// cause is Err without what the failure says anyway.
func (e *MediaError) cause() error {
	if d, ok := e.Err.(*crawl.DownloadError); ok { //nolint:errorlint // One that is wrapped comes with words of its own.
		return d.Err
	}
	return e.Err
}

func (e *MediaError) Unwrap() error { return e.Err }

// transient reports whether a later attempt may do better: such a failure is not remembered.
func (e *MediaError) transient() bool {
	switch e.Kind {
	case crawl.KindRefused, crawl.KindTimeout, crawl.KindDNS, crawl.KindConnection, crawl.KindTruncated, crawl.KindDeadHost, crawl.KindProxy, crawl.KindBrowser, KindStore:
		return true
	case KindStatus:
		switch e.Status {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
			return true
		}
		return e.Status >= 500
	case KindOther, KindFiltered:
		return e.passing
	}
	return false
}

// failure gives an error its type. inDownload says that it comes from the fetcher, and not from a hook or a Kind.
func failure(req *crawl.Request, status int, err error, inDownload bool) *MediaError {
	f := MediaError{Kind: KindOther, Err: err, passing: inDownload}
	var (
		typed    *MediaError
		download *crawl.DownloadError
		ignored  *crawl.IgnoreRequestError
	)
	switch {
	case errors.As(err, &typed):
		f = *typed
	case errors.As(err, &ignored):
		f.Kind, f.passing = KindFiltered, inDownload && ignored.Err != nil
		if errors.As(ignored.Err, &download) && unanswered(download.Kind) {
			f.Kind = download.Kind
		}
	case errors.As(err, &download):
		f.Kind = download.Kind
	case errors.Is(err, crawl.ErrBodyTooLarge):
		f.Kind = crawl.KindTooLarge
	}
	f.URL = address(req)
	if f.Status == 0 {
		f.Status = status
	}
	return &f
}

// unanswered reports whether a failure is that a host does not answer at all. Its robots.txt is what was asked first, and the file was then ignored for the want
// of it; what is wrong is the host all the same.
func unanswered(kind crawl.Kind) bool {
	switch kind {
	case crawl.KindRefused, crawl.KindTimeout, crawl.KindDNS, crawl.KindTLS, crawl.KindConnection, crawl.KindNotPublic, crawl.KindProxy, crawl.KindBrowser:
		return true
	}
	return false
}

// sendable says why a request can't be sent.
func sendable(req *crawl.Request) error {
	if req == nil {
		return errors.New("no request")
	}
	return req.Err()
}

// badRequest is the failure of a request that can't be sent.
func badRequest(req *crawl.Request, err error) *MediaError {
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err // The URL stands in the failure.
	}
	return &MediaError{Kind: crawl.KindRequest, URL: address(req), Err: err}
}

// maxAddress is how much of a URL is shown. A data: URL holds a whole file.
const maxAddress = 500

// address is a request's URL for people: without its password, and not endless.
func address(req *crawl.Request) string {
	var s string
	switch {
	case req == nil:
		return ""
	case req.URL != nil:
		s = crawl.Redacted(req.URL)
	default:
		_, s, _ = strings.Cut(strings.TrimSuffix(req.String(), ">"), " ") // what did not parse
	}
	if len(s) > maxAddress {
		s = strings.ToValidUTF8(s[:maxAddress], "") + "…"
	}
	return s
}

// judge says whether a response is a success, by its status and by whether there is anything in it.
func judge(resp *crawl.Response, settings *crawl.MediaSettings) error {
	good := resp.Status >= 200 && resp.Status < 300
	if len(settings.Statuses) > 0 {
		good = false
		for _, s := range settings.Statuses {
			good = good || s == resp.Status
		}
	}
	switch {
	case good && resp.Has("truncated"): // Download.AllowTruncated is for pages: half a file is none.
		return &MediaError{Kind: crawl.KindTruncated, Err: fmt.Errorf("status %d: the body ended early", resp.Status)}
	case good && resp.Body.Size() == 0:
		return &MediaError{Kind: KindEmpty, Err: fmt.Errorf("status %d with no body", resp.Status)}
	case good:
		return nil
	}
	if to := resp.Header.Get("Location"); to != "" && resp.Status >= 300 && resp.Status < 400 {
		shown := to
		if len(to) > maxAddress {
			shown = to[:maxAddress] + "…"
		}
		why := " (set media.allow_redirects)"
		switch target, err := url.Parse(to); {
		case err == nil && target.Scheme != "" && target.Scheme != "http" && target.Scheme != "https":
			why = ": only http and https are followed"
		case settings.AllowRedirects:
			why = ", which is not followed"
		}
		return &MediaError{Kind: KindRedirect, Err: fmt.Errorf("status %d: redirected to %s%s", resp.Status, shown, why)}
	}
	return &MediaError{Kind: KindStatus, Err: fmt.Errorf("status %d %s", resp.Status, http.StatusText(resp.Status))}
}

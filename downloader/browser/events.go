package browser

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/inspector"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"

	"github.com/tulle-go/tulle/crawl"
)

// answer is the response to the request for the document.
type answer struct {
	url    *url.URL
	status int
	header http.Header
	at     time.Time
}

// state is what is known of a page.
type state struct {
	answer    *answer
	moved     string            // the address on another host that the page has gone to
	err       error             // why there will be no page
	committed bool              // the document of the answer is in its frame
	loaded    bool              // its load event has fired
	idle      bool              // nothing has been under way for half a second
	loader    cdp.LoaderID      // of the document
	asked     int               // documents that the page has asked for by itself
	next      network.RequestID // the last one of them
	documents int               // how often the frame got a document

	cookies map[network.RequestID][]string // the Set-Cookie lines of responses, which come before anything is decided about them
}

// over is why nothing more is to be done in the page, or nil.
func (s *state) over() error {
	if s.err == nil && s.moved != "" {
		return errMoved
	}
	return s.err
}

// set changes the state, and wakes who waits for that.
func (p *page) set(f func(*state)) {
	p.mu.Lock()
	f(&p.state)
	over := p.state.over() != nil
	p.mu.Unlock()
	if over {
		p.halt()
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// heard is called for each event of the page, by the goroutine that reads them: it must not ask anything.
func (p *page) heard(ev any) {
	switch ev := ev.(type) {
	case *fetch.EventRequestPaused, *fetch.EventAuthRequired, *cdppage.EventJavascriptDialogOpening:
		p.enqueue(ev)
	case *target.EventTargetCreated:
		if ev.TargetInfo.OpenerID != "" {
			p.enqueue(ev)
		}
	case *cdppage.EventFrameNavigated:
		if ev.Frame.ParentID == "" {
			p.set(func(s *state) {
				s.documents++
				s.committed, s.loaded, s.idle, s.loader = s.answer != nil, false, false, ev.Frame.LoaderID
			})
		}
	case *cdppage.EventLoadEventFired:
		p.set(func(s *state) { s.loaded = s.committed })
	case *cdppage.EventLifecycleEvent:
		if ev.Name == "networkIdle" {
			p.set(func(s *state) { s.idle = s.idle || s.committed && ev.LoaderID == s.loader })
		}
	case *network.EventLoadingFailed:
		// The document that the page wanted to go to does not come: the old one stays.
		p.set(func(s *state) { s.loaded = s.loaded || s.committed && ev.RequestID == s.next })
	case *network.EventResponseReceivedExtraInfo:
		for name, value := range ev.Headers {
			if lines, ok := value.(string); ok && strings.EqualFold(name, "Set-Cookie") {
				p.set(func(s *state) { s.cookies[ev.RequestID] = strings.Split(lines, "\n") })
			}
		}
	case *inspector.EventTargetCrashed:
		p.set(func(s *state) { s.err = errCrashed })
	}
}

var errCrashed = errors.New("the page has crashed in the browser")

func (p *page) enqueue(ev any) {
	p.mu.Lock()
	p.queue = append(p.queue, ev)
	p.mu.Unlock()
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// decide answers what the browser wants to know, until the page is closed. An error is a request that does not wait for its answer any more.
func (p *page) decide() {
	for {
		select {
		case <-p.more:
		case <-p.ctx.Done():
			return
		}
		p.mu.Lock()
		queue := p.queue
		p.queue = nil
		p.mu.Unlock()
		for _, ev := range queue {
			switch ev := ev.(type) {
			case *fetch.EventRequestPaused:
				p.paused(ev)
			case *fetch.EventAuthRequired:
				p.authenticate(ev)
			case *cdppage.EventJavascriptDialogOpening:
				accept := ev.Type == cdppage.DialogTypeBeforeunload
				_, _ = cdp.Call(p.ctx, p.tab, cdppage.HandleJavaScriptDialog, cdppage.HandleJavaScriptDialogParams{Accept: accept})
			case *target.EventTargetCreated:
				if ev.TargetInfo.OpenerID == p.tab.TargetID {
					_, _ = cdp.Call(p.ctx, p.browser, target.CloseTarget, target.CloseTargetParams{TargetID: ev.TargetInfo.TargetID})
				}
			}
		}
	}
}

// authenticate shows the proxy the page's pass. A site that wants a password gets none: its 401 is the page.
func (p *page) authenticate(ev *fetch.EventAuthRequired) {
	answer := &fetch.AuthChallengeResponse{Response: fetch.AuthChallengeResponseResponseCancelAuth}
	if ev.AuthChallenge.Source == fetch.AuthChallengeSourceProxy {
		answer = &fetch.AuthChallengeResponse{
			Response: fetch.AuthChallengeResponseResponseProvideCredentials, Username: p.pass.name, Password: p.pass.word,
		}
	}
	_, _ = cdp.Call(p.ctx, p.tab, fetch.ContinueWithAuth, fetch.ContinueWithAuthParams{RequestID: ev.RequestID, AuthChallengeResponse: answer})
}

// paused decides about a request of the page, or the response to one.
func (p *page) paused(ev *fetch.EventRequestPaused) {
	document := ev.ResourceType == network.ResourceTypeDocument
	answered := ev.ResponseStatusCode != 0 || ev.ResponseErrorReason != ""
	switch {
	case !document, ev.FrameID != p.frame && slices.Contains(p.blocked, network.ResourceTypeDocument):
		p.refuse(ev, network.ErrorReasonBlockedByClient)
	case ev.FrameID != p.frame && !answered:
		p.proceed(fetch.ContinueRequestParams{RequestID: ev.RequestID})
	case ev.FrameID != p.frame || ev.ResponseErrorReason != "":
		p.accept(ev)
	case answered:
		p.judge(ev)
	default:
		p.request(ev)
	}
}

func (p *page) proceed(params fetch.ContinueRequestParams) {
	_, _ = cdp.Call(p.ctx, p.tab, fetch.ContinueRequest, params)
}

func (p *page) accept(ev *fetch.EventRequestPaused) {
	_, _ = cdp.Call(p.ctx, p.tab, fetch.ContinueResponse, fetch.ContinueResponseParams{RequestID: ev.RequestID})
}

func (p *page) refuse(ev *fetch.EventRequestPaused, why network.ErrorReason) {
	_, _ = cdp.Call(p.ctx, p.tab, fetch.FailRequest, fetch.FailRequestParams{RequestID: ev.RequestID, ErrorReason: why})
}

// request is asked before a document is: the one that was asked for gets what the crawl's request has, another one stays on its host.
func (p *page) request(ev *fetch.EventRequestPaused) {
	p.mu.Lock()
	first, asked := p.state.answer == nil, p.state.asked
	p.mu.Unlock()
	if first {
		p.proceed(p.outgoing(ev))
		return
	}
	u, err := url.Parse(ev.Request.URL + ev.Request.URLFragment)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		p.refuse(ev, network.ErrorReasonBlockedByClient)
	case !strings.EqualFold(u.Hostname(), p.req.URL.Hostname()):
		p.set(func(s *state) { s.moved = u.String() })
		p.refuse(ev, network.ErrorReasonAborted)
	case asked >= p.r.settings.Redirect.Times:
		p.set(func(s *state) { s.err = crawl.IgnoreRequest("max redirections reached") })
		p.refuse(ev, network.ErrorReasonAborted)
	default:
		p.set(func(s *state) { s.asked, s.next, s.loaded, s.idle = s.asked+1, ev.NetworkID, false, false })
		p.proceed(fetch.ContinueRequestParams{RequestID: ev.RequestID})
	}
}

// outgoing is the document's request with the method, body and headers of the crawl's, where those are not the browser's own.
func (p *page) outgoing(ev *fetch.EventRequestPaused) fetch.ContinueRequestParams {
	params := fetch.ContinueRequestParams{RequestID: ev.RequestID}
	if p.req.Method != "" && p.req.Method != http.MethodGet {
		params.Method = p.req.Method
	}
	params.PostData = p.req.Body
	own := make(http.Header)
	for name, values := range p.req.Header {
		switch name = textproto.CanonicalMIMEHeaderKey(name); name {
		case "Host", "Cookie", "Accept-Encoding", "Content-Length", "Connection", "Transfer-Encoding":
		default:
			own[name] = values
		}
	}
	for name, value := range ev.Request.Headers {
		if text, ok := value.(string); ok && own[textproto.CanonicalMIMEHeaderKey(name)] == nil {
			params.Headers = append(params.Headers, &fetch.HeaderEntry{Name: name, Value: text})
		}
	}
	for name, values := range own {
		for _, v := range values {
			params.Headers = append(params.Headers, &fetch.HeaderEntry{Name: name, Value: v})
		}
	}
	return params
}

// judge is asked when the response to a document's request has begun.
func (p *page) judge(ev *fetch.EventRequestPaused) {
	a := &answer{status: int(ev.ResponseStatusCode), header: make(http.Header), at: time.Now()}
	for _, h := range ev.ResponseHeaders {
		for line := range strings.SplitSeq(h.Value, "\n") {
			a.header.Add(h.Name, line)
		}
	}
	var err error
	if a.url, err = url.Parse(ev.Request.URL); err != nil {
		a.url = p.req.URL
	}
	p.mu.Lock()
	first := p.state.answer == nil
	if lines := p.state.cookies[ev.NetworkID]; lines != nil {
		a.header["Set-Cookie"] = lines
	}
	p.mu.Unlock()
	location := a.header.Get("Location")
	reason := p.pass.why(a.url.Host, a.url.Scheme)
	switch {
	case a.header.Get(failedHeader) != "" && reason != nil:
		p.set(func(s *state) { s.err = reason })
	case redirects(a.status) && location != "" && first:
		p.set(func(s *state) { s.answer = a })
	case redirects(a.status) && location != "":
		p.hop(ev, a, location)
		return
	case !first && isFile(a.header):
		// The page stays, and nobody wanted the file.
	case isFile(a.header):
		p.set(func(s *state) { s.err = &fileError{a.header.Get("Content-Type")} })
	default:
		p.set(func(s *state) { s.answer = a })
		p.accept(ev)
		return
	}
	p.refuse(ev, network.ErrorReasonAborted)
}

// hop is a redirect of a page that has sent itself on: within its host it is followed.
func (p *page) hop(ev *fetch.EventRequestPaused, a *answer, location string) {
	to, err := a.url.Parse(location)
	if err == nil && strings.EqualFold(to.Hostname(), p.req.URL.Hostname()) {
		p.accept(ev)
		return
	}
	if err == nil {
		p.set(func(s *state) { s.moved = to.String() })
	}
	p.refuse(ev, network.ErrorReasonAborted)
}

func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// fileError says that a document is none.
type fileError struct{ mime string }

func (e *fileError) Error() string {
	return fmt.Sprintf("the answer is a file and no page (%s): ask for it without Render", e.mime)
}

// isFile reports whether what comes is not for a browser to show, or nothing but itself: a picture, a film.
func isFile(header http.Header) bool {
	if disposition, _, err := mime.ParseMediaType(header.Get("Content-Disposition")); err == nil && strings.EqualFold(disposition, "attachment") {
		return true
	}
	t, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return false
	}
	kind, name, _ := strings.Cut(t, "/")
	switch kind {
	case "text":
		return false
	case "application":
		return !strings.HasSuffix(name, "json") && !strings.HasSuffix(name, "xml") && !strings.HasSuffix(name, "javascript")
	}
	return t != "image/svg+xml"
}

package browser

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/inspector"
	stream "github.com/chromedp/cdproto/io"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"github.com/tulle-go/tulle/crawl"
)

// answer is the response to the request for the document.
type answer struct {
	url    *url.URL
	status int
	header http.Header
	at     time.Time
	id     network.RequestID
	raw    []byte // its document as it came, where a browser has a viewer for it
	size   int64  // Guarded by the page's mu: how much of its document has come.
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
	cut       bool              // the document has ended early, and is taken as it is
	asked     int               // documents that the page has asked for by itself
	next      network.RequestID // the last one that was asked for
	to        string            // its address
	size      int64             // how much has come of all that the page has asked for
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
			p.set(func(s *state) { p.navigated(s, ev.Frame) })
		}
	case *cdppage.EventLoadEventFired:
		p.set(func(s *state) { s.loaded = s.committed })
	case *cdppage.EventLifecycleEvent:
		if ev.Name == "networkIdle" {
			p.set(func(s *state) { s.idle = s.idle || s.committed && ev.LoaderID == s.loader })
		}
	case *network.EventRequestWillBeSent:
		if ev.Type == network.ResourceTypeDocument && ev.FrameID == p.frame {
			p.set(func(s *state) { s.next, s.to = ev.RequestID, ev.Request.URL })
		}
	case *network.EventDataReceived:
		p.received(ev.RequestID, ev.DataLength)
	case *network.EventLoadingFailed:
		p.set(func(s *state) { p.lost(s, ev) })
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

var (
	errCrashed = errors.New("the page has crashed in the browser")
	errBlank   = errors.New("the page has gone to about:blank")
)

// navigated is told of each document that the page gets. One that the browser shows in place of what it could not get is none.
func (p *page) navigated(s *state, frame *cdp.Frame) {
	s.documents++
	s.committed, s.loaded, s.idle, s.loader = s.answer != nil, false, false, frame.LoaderID
	switch {
	case s.answer == nil || s.err != nil:
	case frame.UnreachableURL != "":
		s.err = p.unreached(frame.UnreachableURL, "net::ERR_FAILED")
	case frame.URL == "about:blank":
		s.err = errBlank
	}
}

// unreached is the error of a page that could not go to an address.
func (p *page) unreached(to, text string) error {
	if u, err := url.Parse(to); err == nil {
		if why := p.pass.why(u.Host, u.Scheme); why != nil {
			return why
		}
	}
	return &chromedp.LoadError{ErrorText: text}
}

// lost is told of each request of the page that has failed.
func (p *page) lost(s *state, ev *network.EventLoadingFailed) {
	aborted := ev.ErrorText == "net::ERR_ABORTED"
	switch {
	case s.answer == nil || s.over() != nil:
	case aborted:
		// The document that the page wanted to go to does not come: the old one stays.
		s.loaded = s.loaded || s.committed && ev.RequestID == s.next
	case ev.RequestID == s.answer.id && hasDocument(s.answer):
		failed := &chromedp.LoadError{ErrorText: ev.ErrorText}
		switch {
		case kindOf(failed) == crawl.KindEncoding:
			s.err = failed
		case s.committed && p.allowsCut():
			s.cut, s.loaded = true, true
		default:
			s.err = &cutError{failed}
		}
	case ev.RequestID == s.next:
		s.err = p.unreached(s.to, ev.ErrorText)
	}
}

// cutError says that a document ended early.
type cutError struct{ err error }

func (e *cutError) Error() string { return "the document has ended early: " + e.err.Error() }
func (e *cutError) Unwrap() error { return e.err }

func (p *page) allowsCut() bool {
	return p.r.settings.Download.AllowTruncated || p.req.Knob().AllowTruncated
}

// pageTimes is how many times the largest document all that a page asks for may be.
const pageTimes = 10

// received is told of all that comes, decoded.
func (p *page) received(id network.RequestID, n int64) {
	p.mu.Lock()
	s := &p.state
	s.size += n
	var document int64
	if s.answer != nil && s.answer.id == id {
		s.answer.size += n
		document = s.answer.size
	}
	all := s.size
	p.mu.Unlock()
	var err error
	switch most := p.most; {
	case most <= 0:
	case document > most:
		err = fmt.Errorf("%w: %d bytes or more, %d are allowed", crawl.ErrBodyTooLarge, document, most)
	case all/pageTimes > most:
		err = fmt.Errorf("%w: all that the page has asked for is %d bytes or more, %d times %d are allowed", crawl.ErrBodyTooLarge, all, pageTimes, most)
	}
	if err != nil {
		p.set(func(s *state) {
			if s.err == nil {
				s.err = err
			}
		})
	}
}

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
		_ = p.proceed(fetch.ContinueRequestParams{RequestID: ev.RequestID})
	case ev.FrameID != p.frame || ev.ResponseErrorReason != "":
		p.accept(ev)
	case answered:
		p.judge(ev)
	default:
		p.request(ev)
	}
}

func (p *page) proceed(params fetch.ContinueRequestParams) error {
	_, err := cdp.Call(p.ctx, p.tab, fetch.ContinueRequest, params)
	return err
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
		var refused *cdproto.Error
		if err := p.proceed(p.outgoing(ev)); errors.As(err, &refused) {
			p.set(func(s *state) { s.err = &refusedError{err} })
		}
		return
	}
	u, err := url.Parse(ev.Request.URL + ev.Request.URLFragment)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		p.refuse(ev, network.ErrorReasonAborted)
	case !strings.EqualFold(u.Hostname(), p.req.URL.Hostname()):
		p.set(func(s *state) { s.moved = u.String() })
		p.refuse(ev, network.ErrorReasonAborted)
	case asked >= p.r.settings.Redirect.Times:
		p.set(func(s *state) { s.err = crawl.IgnoreRequest("max redirections reached") })
		p.refuse(ev, network.ErrorReasonAborted)
	default:
		p.set(func(s *state) { s.asked, s.loaded, s.idle = s.asked+1, false, false })
		_ = p.proceed(fetch.ContinueRequestParams{RequestID: ev.RequestID})
	}
}

// refusedError says that the browser does not send a request as it is, with a header that it does not know how to write.
type refusedError struct{ err error }

func (e *refusedError) Error() string {
	return "the browser does not send such headers: " + e.err.Error()
}
func (e *refusedError) Unwrap() error { return e.err }

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
		case "Host", "Cookie", "Accept-Encoding", "Content-Length":
		case "Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade": // the connection's
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
	a := &answer{status: int(ev.ResponseStatusCode), header: make(http.Header), at: time.Now(), id: ev.NetworkID}
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
	case isXML(a.header):
		p.keep(ev, a)
		return
	default:
		p.set(func(s *state) { s.answer = a })
		p.accept(ev)
		return
	}
	p.refuse(ev, network.ErrorReasonAborted)
}

// isXML reports whether a document is shown by the browser in a viewer of its own, or as plain text of an encoding that it guesses: feeds and other data.
func isXML(header http.Header) bool {
	kind, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	return (strings.HasSuffix(kind, "/xml") || strings.HasSuffix(kind, "+xml")) && kind != "application/xhtml+xml" && kind != "image/svg+xml"
}

// keep reads a document before the browser gets it, so that it is there as it came.
func (p *page) keep(ev *fetch.EventRequestPaused, a *answer) {
	raw, err := p.read(ev.RequestID)
	if err == nil && !ends(raw) {
		err = errNoEnd // the browser does not tell that the connection broke
	}
	if tooLarge := errors.Is(err, crawl.ErrBodyTooLarge); err != nil && (tooLarge || !p.allowsCut()) {
		if !tooLarge {
			err = &cutError{err}
		}
		p.set(func(s *state) { s.err = err })
		p.refuse(ev, network.ErrorReasonAborted)
		return
	}
	a.raw = raw
	p.set(func(s *state) { s.answer, s.cut = a, err != nil })
	as := fetch.FulfillRequestParams{RequestID: ev.RequestID, ResponseCode: ev.ResponseStatusCode, Body: raw}
	for _, h := range ev.ResponseHeaders {
		if !strings.EqualFold(h.Name, "Content-Encoding") && !strings.EqualFold(h.Name, "Content-Length") { // it has come decoded
			as.ResponseHeaders = append(as.ResponseHeaders, h)
		}
	}
	_, _ = cdp.Call(p.ctx, p.tab, fetch.FulfillRequest, as)
}

var errNoEnd = errors.New("its outermost element is not closed")

// opening matches what stands before the outermost element of XML, and how that begins.
var opening = regexp.MustCompile(`(?s)^(?:[^<]|<\?.*?\?>|<!--.*?-->|<![^>\[]*(?:\[.*?\]\s*)?>)*<([^\s/>!?]+)([^>]*>)?`)

// ends reports whether XML is there to its end, or is of an encoding in which that is not to be seen.
func ends(raw []byte) bool {
	if bytes.IndexByte(raw[:min(len(raw), 4)], 0) >= 0 || bytes.HasPrefix(raw, []byte("\xfe\xff")) || bytes.HasPrefix(raw, []byte("\xff\xfe")) {
		return true
	}
	m := opening.FindSubmatch(raw)
	return m == nil || bytes.HasSuffix(m[2], []byte("/>")) || bytes.Contains(raw, append([]byte("</"), m[1]...))
}

// read returns the body of a response that has begun.
func (p *page) read(id fetch.RequestID) ([]byte, error) {
	begun, err := cdp.Call(p.ctx, p.tab, fetch.TakeResponseBodyAsStream, fetch.TakeResponseBodyAsStreamParams{RequestID: id})
	if err != nil {
		return nil, err
	}
	defer func() { _, _ = cdp.Call(p.ctx, p.tab, stream.Close, stream.CloseParams{Handle: begun.Stream}) }()
	var raw []byte
	for {
		part, err := cdp.Call(p.ctx, p.tab, stream.Read, stream.ReadParams{Handle: begun.Stream, Size: 1 << 20})
		if err != nil {
			return raw, err
		}
		raw = append(raw, part.Data...)
		switch {
		case p.most > 0 && int64(len(raw)) > p.most:
			return nil, fmt.Errorf("%w: %d bytes or more, %d are allowed", crawl.ErrBodyTooLarge, len(raw), p.most)
		case part.EOF:
			return raw, nil
		}
	}
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

package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/css"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
)

const (
	// maxHeight is the highest picture that browsers make.
	maxHeight = 16384
	// movingOn is how long a document may take to come after the one before has gone.
	movingOn = 5 * time.Second
	// openWithin is how long a page of nothing may take to open. It has asked no site for anything by then.
	openWithin = 30 * time.Second
)

// page renders one request.
type page struct {
	r       *renderer
	req     *crawl.Request
	render  *crawl.Render
	blocked []network.ResourceType
	start   time.Time
	doing   string   // for the error if the time ends
	most    int64    // the largest document in bytes; 0 or less: any
	process *process // nil before it runs

	ctx     context.Context // the tab's; ends with the request
	cancel  context.CancelFunc
	work    context.Context // of what is done in the page; ends with it, or when the state says that it is over
	halt    context.CancelFunc
	browser *chromedp.Browser
	tab     *chromedp.Target
	inside  cdp.BrowserContextID
	frame   cdp.FrameID // the main one
	pass    *pass
	decider sync.WaitGroup
	sent    []*http.Cookie    // with the request
	had     []*network.Cookie // what the browser has of them, before the page

	wake chan struct{} // has one in it after the state has changed
	more chan struct{} // has one in it if there is something in queue

	mu    sync.Mutex
	state state // Guarded by mu.
	queue []any // Guarded by mu: events that want an answer.
}

// fetch renders the page. ctx ends with the request's time.
func (p *page) fetch(ctx context.Context) (*crawl.Response, error) {
	p.start = time.Now()
	process, err := p.r.running(ctx)
	if err != nil {
		if errors.Is(err, crawl.ErrStopping) || ctx.Err() != nil {
			return nil, fmt.Errorf("render <%s>: %w", crawl.Redacted(p.req.URL), err)
		}
		kind := crawl.KindBrowser
		if _, ok := errors.AsType[*missingError](err); ok {
			kind = crawl.KindRequest
		}
		return nil, downloader.Failed(p.req, kind, err)
	}
	p.process, p.most, p.sent = process, p.r.limits.MaxSize(p.req), sentCookies(p.req, crawl.Cookies(ctx))
	resp, err := p.steps(ctx, process.root)
	if err == nil {
		return resp, nil
	}
	if p.r.life.Err() != nil {
		return nil, fmt.Errorf("render <%s>: %w", crawl.Redacted(p.req.URL), crawl.ErrStopping)
	}
	if _, ok := errors.AsType[*crawl.IgnoreRequestError](err); ok {
		return nil, err
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok { // The spool's disk is no fault of the page.
		return nil, fmt.Errorf("render <%s>: %w", crawl.Redacted(p.req.URL), err)
	}
	return nil, downloader.Failed(p.req, kindOf(err), err)
}

// close closes the tab, and returns when it is gone.
func (p *page) close() {
	if p.cancel == nil {
		return
	}
	p.cancel()
	p.decider.Wait()
	p.r.proxy.revoke(p.pass)
}

// steps opens the tab, goes to the page, waits for it and takes it.
func (p *page) steps(ctx, root context.Context) (*crawl.Response, error) {
	within, end := context.WithCancel(root)
	defer context.AfterFunc(ctx, end)()
	defer context.AfterFunc(p.r.life, end)()
	tab, cancel := chromedp.NewContext(within, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.heard))
	p.ctx, p.more, p.pass = tab, make(chan struct{}, 1), p.r.proxy.let(crawl.Proxy(ctx))
	p.work, p.halt = context.WithCancel(tab)
	p.state.cookies = make(map[network.RequestID][]string)
	p.cancel = func() {
		end()
		cancel()
	}
	p.doing = "open a page"
	late := time.AfterFunc(openWithin, end)
	if err := p.open(); err != nil {
		if !late.Stop() && ctx.Err() == nil {
			return nil, downloader.Failed(p.req, crawl.KindBrowser, fmt.Errorf("no page is open after %s", openWithin))
		}
		return nil, err
	}
	late.Stop()
	p.doing = "wait for the document"
	if err := p.because(p.navigate()); err != nil {
		return nil, err
	}
	rendered := new(crawl.Rendered)
	var html string
	a := p.current()
	at := a.url
	if hasDocument(a) {
		var err error
		html, at, err = p.take(rendered)
		if err = p.because(err); errors.Is(err, errMoved) {
			return p.redirect(), rendered.Screenshot.Close()
		}
		if err != nil {
			return nil, errors.Join(err, rendered.Screenshot.Close())
		}
	}
	resp, err := p.response(html, at, rendered)
	if err != nil {
		return nil, errors.Join(err, rendered.Screenshot.Close())
	}
	return resp, nil
}

// hasDocument reports whether the browser shows what was answered.
func hasDocument(a *answer) bool {
	switch a.status {
	case http.StatusNoContent, http.StatusResetContent, http.StatusNotModified:
		return false
	}
	return !redirects(a.status) || a.header.Get("Location") == ""
}

// open makes a tab that is as the request wants it.
func (p *page) open() error {
	if _, err := chromedp.Call(p.ctx, cdppage.Enable, cdppage.EnableParams{}); err != nil {
		return err
	}
	c := chromedp.FromContext(p.ctx)
	p.browser, p.tab, p.inside, p.frame = c.Browser, c.Target, c.BrowserContextID, cdp.FrameID(c.Target.TargetID)
	p.decider.Go(p.decide)
	// The DevTools client asks for these events when it attaches, and each page decides how many there are of them: beyond some thousands the client waits for itself.
	for _, command := range []string{css.CommandDisable, dom.CommandDisable, log.CommandDisable, runtime.CommandDisable} {
		if err := p.tab.Call(p.ctx, command, nil, nil); err != nil {
			return err
		}
	}
	deny := browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorDeny, BrowserContextID: p.inside}
	if _, err := cdp.Call(p.ctx, p.browser, browser.SetDownloadBehavior, deny); err != nil {
		return err
	}
	if agent := p.req.Header.Get("User-Agent"); agent != "" {
		override := emulation.SetUserAgentOverrideParams{UserAgent: agent, AcceptLanguage: p.req.Header.Get("Accept-Language")}
		if _, err := cdp.Call(p.ctx, p.tab, emulation.SetUserAgentOverride, override); err != nil {
			return err
		}
	}
	window := emulation.SetDeviceMetricsOverrideParams{
		Width: int64(p.r.settings.Browser.Width), Height: int64(p.r.settings.Browser.Height), DeviceScaleFactor: 1,
	}
	if _, err := cdp.Call(p.ctx, p.tab, emulation.SetDeviceMetricsOverride, window); err != nil {
		return err
	}
	if _, err := cdp.Call(p.ctx, p.tab, network.SetBypassServiceWorker, network.SetBypassServiceWorkerParams{Bypass: true}); err != nil {
		return err
	}
	for _, c := range p.sent {
		// One that the browser does not take is none, as with any other client.
		_, _ = cdp.Call(p.ctx, p.tab, network.SetCookies, network.SetCookiesParams{Cookies: []*network.CookieParam{cookieParam(c, p.req.URL)}})
	}
	if len(p.sent) > 0 {
		var err error
		if p.had, err = p.cookies(); err != nil {
			return err
		}
	}
	if slices.Contains(p.blocked, network.ResourceTypeFetch) {
		// What such workers fetch is not asked for in the page's name, and can't be refused.
		without := cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: "delete window.SharedWorker; delete Navigator.prototype.serviceWorker"}
		if _, err := cdp.Call(p.ctx, p.tab, cdppage.AddScriptToEvaluateOnNewDocument, without); err != nil {
			return err
		}
	}
	patterns := []*fetch.RequestPattern{
		{ResourceType: network.ResourceTypeDocument, RequestStage: fetch.RequestStageRequest},
		{ResourceType: network.ResourceTypeDocument, RequestStage: fetch.RequestStageResponse},
	}
	for _, kind := range p.blocked {
		patterns = append(patterns, &fetch.RequestPattern{ResourceType: kind})
	}
	auth := true
	_, err := cdp.Call(p.ctx, p.tab, fetch.Enable, fetch.EnableParams{Patterns: patterns, HandleAuthRequests: &auth})
	return err
}

// cookies are all that the browser has for the page.
func (p *page) cookies() ([]*network.Cookie, error) {
	got, err := cdp.Call(p.ctx, p.browser, storage.GetCookies, storage.GetCookiesParams{BrowserContextID: p.inside})
	return got.Cookies, err
}

// addCookies adds to the header of a page's response what has become of its cookies.
func (p *page) addCookies(header http.Header) {
	got, err := p.cookies()
	if err != nil {
		return
	}
	if lines := setCookies(got, p.had, header["Set-Cookie"], p.req.URL.Hostname()); len(lines) > 0 {
		header["Set-Cookie"] = append(slices.Clip(header["Set-Cookie"]), lines...)
	}
}

// navigate goes to the request's address, and returns when there is an answer.
func (p *page) navigate() error {
	to := cdppage.NavigateParams{URL: p.req.URL.String()}
	if referer := p.req.Header.Get("Referer"); referer != "" {
		to.Referrer = referer
	}
	result, err := cdp.Call(p.work, p.tab, cdppage.Navigate, to)
	if err != nil {
		return err
	}
	p.mu.Lock()
	a, over := p.state.answer, p.state.over()
	p.mu.Unlock()
	switch {
	case over != nil:
		return over
	case result.ErrorText == "" && a != nil:
		return nil
	case a != nil && !hasDocument(a):
		return nil // It was stopped there.
	case a != nil && result.IsDownload:
		return &fileError{"of a type that it does not tell"}
	}
	if why := p.pass.why(p.req.URL.Host, p.req.URL.Scheme); why != nil {
		return why
	}
	return &chromedp.LoadError{ErrorText: result.ErrorText}
}

// because is the reason behind an error, if the state has it.
func (p *page) because(err error) error {
	if err == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if why := p.state.over(); why != nil {
		return why
	}
	return err
}

// current is the answer for the document that the page has.
func (p *page) current() *answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.answer
}

// isCut reports whether the document has ended early, and is taken.
func (p *page) isCut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.cut
}

// errMoved says that the page has gone to another host.
var errMoved = errors.New("the page has gone to another host")

// wait returns when the state is as it should be, or can't be any more.
func (p *page) wait(ok func(*state) bool) error {
	gone, err := chromedp.Detached(p.ctx)
	if err != nil {
		return err
	}
	for {
		p.mu.Lock()
		s := p.state
		p.mu.Unlock()
		if over := s.over(); over != nil {
			return over
		}
		if ok(&s) {
			return nil
		}
		select {
		case <-p.wake:
		case <-gone:
			return errors.New("the page has closed itself")
		case <-p.ctx.Done():
			return p.ctx.Err()
		}
	}
}

func isLoaded(s *state) bool { return s.loaded }

// take waits for what the request wants to wait for, does what it wants done, and returns the document and its address.
func (p *page) take(into *crawl.Rendered) (html string, at *url.URL, err error) {
	if err := p.ready(); err != nil {
		return "", nil, err
	}
	for range p.render.Scroll {
		p.doing = "scroll"
		grew, err := p.inPage(scroll, isLoaded)
		if err != nil {
			return "", nil, err
		}
		if string(grew) != "true" {
			break
		}
	}
	if p.render.Script != "" {
		p.doing = "run the script"
		if into.Result, err = p.script(); err != nil {
			return "", nil, err
		}
	}
	if p.render.Wait > 0 {
		p.doing = "wait"
		select {
		case <-time.After(p.render.Wait):
		case <-p.ctx.Done():
			return "", nil, p.ctx.Err()
		}
	}
	p.doing = "take the page"
	if err := p.wait(func(s *state) bool { return s.loaded || p.render.WaitFor != "" }); err != nil {
		return "", nil, err
	}
	if p.render.Screenshot {
		if into.Screenshot, err = p.screenshot(); err != nil {
			return "", nil, err
		}
	}
	return p.document()
}

// ready waits for the page.
func (p *page) ready() error {
	committed := func(s *state) bool { return s.committed }
	p.doing = "wait for the document"
	if err := p.wait(committed); err != nil {
		return err
	}
	if p.render.WaitFor != "" {
		p.doing = fmt.Sprintf("wait for %q", p.render.WaitFor)
		selector, err := json.Marshal(p.render.WaitFor)
		if err != nil {
			return err
		}
		if _, err := p.inPage(fmt.Sprintf(waitFor, selector), committed); err != nil {
			var thrown *chromedp.ExceptionError
			if errors.As(err, &thrown) { // by querySelector: all else that waits there throws nothing
				return &selectorError{p.render.WaitFor, thrown}
			}
			return err
		}
	} else {
		p.doing = "wait for the page to load"
		if err := p.wait(isLoaded); err != nil {
			return err
		}
		// A page that sends itself on when it is loaded has not begun to.
		if _, err := p.inPage(breathe, isLoaded); err != nil {
			return err
		}
		if err := p.wait(isLoaded); err != nil {
			return err
		}
	}
	if p.render.WaitIdle {
		p.doing = "wait for the network to be idle"
		return p.wait(func(s *state) bool { return s.idle })
	}
	return nil
}

// What is run in the page, apart from its own scripts.
const (
	waitFor = `new Promise(done => {
		const selector = %s
		if (document.querySelector(selector)) return done(true)
		const watch = new MutationObserver(() => {
			if (!document.querySelector(selector)) return
			watch.disconnect()
			done(true)
		})
		watch.observe(document, {childList: true, subtree: true, attributes: true, characterData: true})
	})`
	breathe = `new Promise(done => setTimeout(() => done(true), 0))`
	scroll  = `(async () => {
		const page = document.scrollingElement || document.documentElement, before = page.scrollHeight
		window.scrollTo(0, before)
		for (let i = 0; i < 40; i++) {
			await new Promise(done => setTimeout(done, 50))
			if (page.scrollHeight > before) return true
		}
		return false
	})()`
	document = `(() => {
		let html = ''
		if (document.contentType === 'text/html' || document.contentType.startsWith('text/') && !document.contentType.endsWith('xml')) {
			if (document.doctype) html = new XMLSerializer().serializeToString(document.doctype) + '\n'
			if (document.documentElement) html += document.documentElement.outerHTML
		} else html = new XMLSerializer().serializeToString(document)
		const viewer = document.contentType === 'text/plain' || !!document.querySelector('#webkit-xml-viewer-source-xml, parsererror')
		return {at: location.href, viewer, size: html.length, html: %d > 0 && html.length > %[1]d ? '' : html}
	})()`
)

// inPage evaluates an expression beside the page's own scripts, which can neither see nor change what it uses. If the page goes to another document meanwhile, it is evaluated there
// once that is ready.
func (p *page) inPage(expression string, ready func(*state) bool) ([]byte, error) {
	for {
		p.mu.Lock()
		documents := p.state.documents
		p.mu.Unlock()
		result, err := p.evaluate(expression, true)
		var refused *cdproto.Error
		if err == nil || !errors.As(err, &refused) {
			return result, err
		}
		late := time.AfterFunc(movingOn, func() {
			p.set(func(s *state) {
				if s.documents == documents && s.err == nil {
					s.err = fmt.Errorf("the page does not answer: %w", err)
				}
			})
		})
		err = p.wait(func(s *state) bool { return s.documents != documents && ready(s) })
		late.Stop()
		if err != nil {
			return nil, err
		}
	}
}

// evaluate evaluates an expression, apart from the page's scripts or among them, and returns the JSON of its value; nil is undefined.
func (p *page) evaluate(expression string, apart bool) ([]byte, error) {
	yes := true
	params := runtime.EvaluateParams{Expression: expression, AwaitPromise: &yes, ReturnByValue: &yes, UserGesture: &yes}
	if apart {
		world, err := cdp.Call(p.work, p.tab, cdppage.CreateIsolatedWorld, cdppage.CreateIsolatedWorldParams{FrameID: p.frame, WorldName: "crawl"})
		if err != nil {
			return nil, err
		}
		params.ContextID = world.ExecutionContextID
	}
	result, err := cdp.Call(p.work, p.tab, runtime.Evaluate, params)
	switch {
	case err != nil:
		return nil, err
	case result.ExceptionDetails != nil:
		return nil, &chromedp.ExceptionError{ExceptionDetails: result.ExceptionDetails}
	case result.Result.UnserializableValue != "":
		return nil, fmt.Errorf("the result %s has no form in JSON", result.Result.UnserializableValue)
	case result.Result.Type == runtime.RemoteObjectTypeUndefined:
		return nil, nil
	}
	return result.Result.Value, nil
}

// script runs the request's. One that leads the page to another document has no result.
func (p *page) script() (json.RawMessage, error) {
	p.mu.Lock()
	documents := p.state.documents
	p.mu.Unlock()
	result, err := p.evaluate("(async () => {"+p.render.Script+"\n})()", false)
	var refused *cdproto.Error
	if errors.As(err, &refused) {
		return nil, p.wait(func(s *state) bool { return s.documents != documents })
	}
	if err != nil {
		return nil, &scriptError{err}
	}
	if p.most > 0 && int64(len(result)) > p.most {
		return nil, fmt.Errorf("the script's result: %w", crawl.ErrBodyTooLarge)
	}
	return bytes.Clone(result), nil
}

// selectorError is a selector to wait for that the browser does not understand.
type selectorError struct {
	selector string
	err      error
}

func (e *selectorError) Error() string { return fmt.Sprintf("%q is not a valid selector", e.selector) }
func (e *selectorError) Unwrap() error { return e.err }

// scriptError is what the request's script has thrown.
type scriptError struct{ err error }

func (e *scriptError) Error() string { return "script: " + e.err.Error() }
func (e *scriptError) Unwrap() error { return e.err }

// screenshot takes a picture.
func (p *page) screenshot() (crawl.Body, error) {
	params := cdppage.CaptureScreenshotParams{Format: cdppage.CaptureScreenshotFormatPng}
	if p.render.FullPage {
		layout, err := cdp.Call(p.work, p.tab, cdppage.GetLayoutMetrics, cdp.Empty{})
		if err != nil {
			return crawl.Body{}, err
		}
		beyond := true
		params.CaptureBeyondViewport = &beyond
		params.Clip = &cdppage.Viewport{
			Width: float64(p.r.settings.Browser.Width), Height: min(max(layout.CSSContentSize.Height, float64(p.r.settings.Browser.Height)), maxHeight), Scale: 1,
		}
	}
	picture, err := cdp.Call(p.work, p.tab, cdppage.CaptureScreenshot, params)
	if err != nil {
		return crawl.Body{}, err
	}
	return p.r.spool.Read(bytes.NewReader(picture.Data), int64(len(picture.Data)), 0)
}

// document writes the page as it stands.
func (p *page) document() (html string, at *url.URL, err error) {
	raw, err := p.inPage(fmt.Sprintf(document, p.most), isLoaded)
	if err != nil {
		return "", nil, err
	}
	var doc struct {
		At, HTML string
		Viewer   bool
		Size     int64
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return "", nil, err
	}
	a := p.current()
	if a.raw != nil && doc.Viewer {
		return string(a.raw), a.url, nil
	}
	a.raw = nil
	if size := max(doc.Size, int64(len(doc.HTML))); p.most > 0 && size > p.most {
		return "", nil, fmt.Errorf("%w: %d bytes or more, %d are allowed", crawl.ErrBodyTooLarge, size, p.most)
	}
	// A document that the page has made, of a blob, is nowhere.
	if at, err = url.Parse(doc.At); err != nil || at.Scheme != "http" && at.Scheme != "https" {
		at = a.url
	}
	return doc.HTML, at, nil
}

// response puts a response together.
func (p *page) response(html string, at *url.URL, rendered *crawl.Rendered) (*crawl.Response, error) {
	a := p.current()
	header := a.header
	delete(header, "Content-Encoding")
	delete(header, "Content-Length")
	if hasDocument(a) {
		mime, _, _ := strings.Cut(header.Get("Content-Type"), ";")
		if mime = strings.ToLower(strings.TrimSpace(mime)); !strings.HasSuffix(mime, "xml") {
			mime = "text/html" // What is no HTML, such as JSON, the browser shows in a page of its own.
		}
		if a.raw == nil {
			header["Content-Type"] = []string{mime + "; charset=utf-8"}
		}
		p.addCookies(header)
	}
	body, err := p.r.limits.Body(p.req, strings.NewReader(html), int64(len(html)))
	if err != nil {
		return nil, err
	}
	flags := []string{"rendered"}
	if p.isCut() {
		flags = append(flags, "truncated")
	}
	return &crawl.Response{
		Request: p.req, URL: at, Status: a.status, Header: header, Body: body, Flags: flags, Rendered: rendered,
		Timing: crawl.Timing{Start: p.start, Latency: a.at.Sub(p.start), Total: time.Since(p.start)},
	}, nil
}

// redirect is the response of a page that has gone to another host.
func (p *page) redirect() *crawl.Response {
	p.mu.Lock()
	header := http.Header{"Location": {p.state.moved}}
	if lines := p.state.answer.header["Set-Cookie"]; len(lines) > 0 {
		header["Set-Cookie"] = lines
	}
	p.mu.Unlock()
	p.addCookies(header)
	took := time.Since(p.start)
	return &crawl.Response{
		Request: p.req, URL: p.req.URL, Status: http.StatusFound, Header: header, Flags: []string{"rendered"},
		Timing: crawl.Timing{Start: p.start, Latency: took, Total: took},
	}
}

// kinds are the names of resources that can be blocked.
var kinds = map[string][]network.ResourceType{
	"image": {network.ResourceTypeImage}, "media": {network.ResourceTypeMedia}, "font": {network.ResourceTypeFont},
	"stylesheet": {network.ResourceTypeStylesheet}, "script": {network.ResourceTypeScript},
	"xhr": {network.ResourceTypeXHR, network.ResourceTypeFetch, network.ResourceTypeEventSource}, "frame": {network.ResourceTypeDocument},
	"ping":  {network.ResourceTypePing, network.ResourceTypeCSPViolationReport},
	"other": {network.ResourceTypeOther}, "none": nil,
}

// blockedKinds are those that a request wants blocked.
func blockedKinds(render *crawl.Render) ([]network.ResourceType, error) {
	names := render.Block
	if len(names) == 0 && !render.Screenshot {
		names = []string{"image", "media", "font"}
	}
	var blocked []network.ResourceType
	for _, name := range names {
		list, ok := kinds[name]
		if !ok {
			return nil, fmt.Errorf("render: nothing of kind %q can be blocked (there are image, media, font, stylesheet, script, xhr, frame, ping, other; none)", name)
		}
		blocked = append(blocked, list...)
	}
	slices.Sort(blocked)
	return slices.Compact(blocked), nil
}

// kindOf tells what an error is about.
func kindOf(err error) crawl.Kind {
	var load *chromedp.LoadError
	var script *scriptError
	var thrown *chromedp.ExceptionError
	var file *fileError
	var refused *refusedError
	var cut *cutError
	switch {
	case errors.As(err, &script), errors.As(err, &thrown), errors.As(err, &file), errors.As(err, &refused), errors.Is(err, errBlank):
		return crawl.KindRequest
	case errors.Is(err, errCrashed):
		return crawl.KindBrowser
	case errors.As(err, &cut):
		return crawl.KindTruncated
	case errors.Is(err, crawl.ErrBodyTooLarge):
		return crawl.KindTooLarge
	case !errors.As(err, &load):
		return downloader.KindOf(err)
	}
	switch code := strings.TrimPrefix(load.ErrorText, "net::ERR_"); {
	case strings.HasPrefix(code, "CERT_"), strings.HasPrefix(code, "SSL_"), strings.HasPrefix(code, "BAD_SSL"):
		return crawl.KindTLS
	case strings.HasPrefix(code, "INVALID_"), strings.HasPrefix(code, "UNSAFE_PORT"), strings.HasPrefix(code, "BLOCKED_"), strings.HasPrefix(code, "UNKNOWN_URL"):
		return crawl.KindRequest
	case strings.HasPrefix(code, "CONTENT_DECODING"):
		return crawl.KindEncoding
	case strings.HasSuffix(code, "TIMED_OUT"):
		return crawl.KindTimeout
	}
	return crawl.KindConnection
}

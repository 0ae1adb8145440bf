package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
)

// A session fetches pages for somebody who looks at them. It runs an engine with a spider of its own, whose Start waits for what is asked next, so that middlewares,
// cookies, robots.txt, the cache and the limits of hosts are those of a crawl. Its methods are safe for concurrent use.
type session struct {
	asks      chan *ask
	ended     chan struct{} // closed when the crawl is over
	err       error         // why it is; set before ended is closed
	engine    *engine.Engine
	kill      context.CancelFunc
	selectors *crawl.Selectors // of all its pages

	mu    sync.Mutex
	asked map[int]*ask // Guarded by mu: those that wait, by what stands in the Data of their requests.
	last  int          // Guarded by mu.
}

// ask is one page that somebody waits for.
type ask struct {
	id   int
	ctx  context.Context
	req  *crawl.Request // as it was asked for
	done chan struct{}  // closed when it is answered

	mu     sync.Mutex
	passed bool          // Guarded by mu: the hooks have let it pass.
	over   bool          // Guarded by mu: done is closed.
	resp   *page         // Guarded by mu until done is closed.
	err    error         // Guarded by mu until done is closed.
	sent   []transaction // Guarded by mu until done is closed.
}

// A page is a response that somebody looks at, and how it came.
type page struct {
	*crawl.Response
	// Asked is the request as somebody made it, before redirects, and without what middlewares add.
	Asked *crawl.Request
	// Sent are the requests that were put on the wire for it, the last one the page's own: redirects and attempts that failed stand before it. It is empty for a page from
	// a cache.
	Sent []transaction
}

// A transaction is one request as it was sent, and what came back.
type transaction struct {
	Method         string
	URL            *url.URL
	Request        http.Header
	Status         int // 0: nothing came
	Proto          string
	Response       http.Header
	Err            error
	Start          time.Time
	Latency, Total time.Duration
}

// sessionAsk is what the requests of a session carry instead of their own Data.
type sessionAsk struct {
	Ask int `json:"session_ask"`
}

// marker is the Data of its requests. What it stands for is put back before anybody sees the page.
func (a *ask) marker() json.RawMessage {
	b, _ := json.Marshal(sessionAsk{a.id}) // a number always marshals
	return b
}

// answer gives the ask its page, or the reason why there is none. The first answer counts.
func (a *ask) answer(resp *crawl.Response, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return
	}
	a.over, a.err = true, err
	if resp != nil {
		a.resp = &page{Response: resp, Asked: a.req, Sent: a.sent}
	}
	close(a.done)
}

// note keeps what was sent.
func (a *ask) note(t transaction) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.over {
		a.sent = append(a.sent, t)
	}
}

// untilStopped returns a context that ends when the process is told to: by SIGTERM, by a terminal that is closed, and by the signals in more. A pipe that nobody reads ends no
// process before the returned function is called: what was spooled is removed first. See [Run].
func untilStopped(ctx context.Context, more ...os.Signal) (context.Context, context.CancelFunc) {
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	more = append(more, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		more = append(more, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(ctx, more...)
	return ctx, func() {
		stop()
		signal.Stop(pipes)
	}
}

// openSession starts the crawl of a spider that asks for nothing by itself, and returns once it has begun. What the spider stores, feeds and resumes is left aside: looking at a
// page writes nothing.
func openSession(ctx context.Context, spider *crawl.Spider, settings crawl.Settings) (*session, error) {
	begun := make(chan struct{})
	s := &session{asks: make(chan *ask), ended: make(chan struct{}), selectors: new(crawl.Selectors), asked: make(map[int]*ask)}
	own := *spider
	own.StartURLs, own.Routes = nil, nil
	own.Start, own.Parse, own.Errback = s.start, s.parse, s.errback
	if spider.Verify != nil {
		own.Verify = func(*crawl.Spider) error { return spider.Verify(spider) } // as it is written: its rules name its own routes
	}
	afterConfigure(&own, func(set *crawl.Settings) {
		onlyLook(set)
		set.ItemPipelines = nil
		set.Assign = append(set.Assign, crawl.Assignment{Name: "http_error.allow_all", Value: "true", Source: "this command"})
		set.SpiderMiddlewares = append(set.SpiderMiddlewares, crawl.SpiderLayer{Order: math.MinInt, Name: "session", Middleware: s.hooks})
		set.Middlewares = append(set.Middlewares,
			crawl.Layer{Order: math.MinInt, Name: "session", Middleware: s.outermost},
			crawl.Layer{Order: math.MaxInt, Name: "session wire", Middleware: s.innermost})
		started := set.Trace.EngineStarted
		set.Trace.EngineStarted = func(ctx context.Context) {
			close(begun)
			if started != nil {
				started(ctx)
			}
		}
		dropped := set.Trace.RequestDropped
		set.Trace.RequestDropped = func(req *crawl.Request, why error) {
			if a := s.of(req); a != nil {
				a.answer(nil, why)
			}
			if dropped != nil {
				dropped(req, why)
			}
		}
	})
	e, err := engine.New(&own, settings)
	if err != nil {
		return nil, err
	}
	s.engine = e
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.kill = cancel
	go func() {
		defer close(s.ended)
		defer cancel()
		res, err := e.Run(running)
		if s.err = err; err == nil {
			s.err = fmt.Errorf("the crawl behind it has ended (%s)", res.Reason)
		}
	}()
	select {
	case <-begun:
		return s, nil
	case <-s.ended:
		return nil, s.err // a setting's, as nothing has been asked
	case <-ctx.Done():
		s.kill()
		<-s.ended
		return nil, &crawlError{errInterrupted}
	}
}

// onlyLook takes out of settings what a crawl would leave behind, and what would end it by itself. Assignments come after Configure, so these do too.
func onlyLook(set *crawl.Settings) {
	set.Extensions = nil
	for _, a := range []crawl.Assignment{
		{Name: "feeds", Value: "[]"}, {Name: "job.dir", Value: ""},
		{Name: "close_after.time", Value: "0"}, {Name: "close_after.items", Value: "0"}, {Name: "close_after.pages", Value: "0"},
		{Name: "close_after.errors", Value: "0"}, {Name: "close_after.no_item", Value: "0"}, {Name: "close_after.pages_no_item", Value: "0"},
		{Name: "breaker.off", Value: "true"}, // a server that is being restarted is asked again when somebody wants it
	} {
		a.Source = "this command"
		set.Assign = append(set.Assign, a)
	}
}

// start hands over what is asked, until the session is closed.
func (s *session) start(ctx context.Context, out *crawl.Out) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-s.asks:
			req := a.req.Clone()
			req.Route, req.Data, req.DontFilter = "", a.marker(), true // neither seen nor offsite counts here
			out.Request(req)
			a.mu.Lock()
			passed := a.passed
			a.mu.Unlock()
			if !passed { // and if it was dropped, this is the second answer
				a.answer(nil, cmp.Or(out.Err(), errors.New("a spider middleware refused the request")))
			}
		}
	}
}

// parse is the callback of all requests: it hands the page over, which outlives it.
func (s *session) parse(_ context.Context, resp *crawl.Response, _ *crawl.Out) error {
	if a := s.of(resp.Request); a != nil {
		a.answer(s.keep(a, resp), nil)
	}
	return nil
}

// keep is the response without its crawl. A large body's file stays where it is until the session is closed.
func (s *session) keep(a *ask, resp *crawl.Response) *crawl.Response {
	resp.Body.Take()
	if resp.Rendered != nil {
		resp.Rendered.Screenshot.Take()
	}
	req := resp.Request.Clone()
	req.Route, req.Data = a.req.Route, a.req.Data
	c := copyOf(resp)
	c.Request, c.Selectors = req, s.selectors
	return c
}

// copyOf is the response as if no selector had looked at it.
func copyOf(r *crawl.Response) *crawl.Response {
	return &crawl.Response{
		Request: r.Request, URL: r.URL, Status: r.Status, Header: r.Header, Body: r.Body, Charset: r.Charset, Proto: r.Proto, Flags: r.Flags,
		Rendered: r.Rendered, Timing: r.Timing, Selectors: r.Selectors,
	}
}

func (s *session) errback(_ context.Context, req *crawl.Request, err error, _ *crawl.Out) error {
	if a := s.of(req); a != nil {
		a.answer(nil, err)
	}
	return nil
}

// of finds who asked for a request, nil if nobody did.
func (s *session) of(req *crawl.Request) *ask {
	var m sessionAsk
	if req == nil || len(req.Data) == 0 || json.Unmarshal(req.Data, &m) != nil || m.Ask == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[m.Ask]
}

// hooks stand next to the engine: a request that comes here enters the queue.
func (s *session) hooks(*crawl.Env) (crawl.SpiderHooks, error) {
	return crawl.SpiderHooks{Request: func(_ context.Context, _ *crawl.Response, req *crawl.Request) (*crawl.Request, error) {
		if a := s.of(req); a != nil {
			a.mu.Lock()
			a.passed = true
			a.mu.Unlock()
		}
		return req, nil
	}}, nil
}

type askKey struct{}

// asked says which request of the chain is the page's: robots.txt is asked with the same context.
type asked struct {
	*ask
	url string
}

// outermost ends what nobody waits for any more, and tells the layers below whose the request is.
func (s *session) outermost(_ *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	return crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
		a := s.of(req)
		if a == nil {
			return next.Fetch(ctx, req)
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(a.ctx, cancel)()
		resp, err := next.Fetch(context.WithValue(ctx, askKey{}, asked{a, wireURL(req.URL)}), req)
		if err != nil && a.ctx.Err() != nil {
			return nil, &crawl.IgnoreRequestError{Reason: "nobody waits for it", Err: a.ctx.Err()}
		}
		return resp, err
	}), nil
}

// wireURL is an address without what layers take out of it.
func wireURL(u *url.URL) string { return u.Scheme + "://" + u.Host + u.RequestURI() }

// innermost notes what is sent and what comes back.
func (s *session) innermost(_ *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	return crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
		a, ok := ctx.Value(askKey{}).(asked)
		if !ok || wireURL(req.URL) != a.url {
			return next.Fetch(ctx, req)
		}
		t := transaction{Method: cmp.Or(req.Method, http.MethodGet), URL: req.URL, Start: time.Now()}
		resp, err := next.Fetch(ctx, req)
		t.Request, t.Err, t.Total = req.Header.Clone(), err, time.Since(t.Start)
		if resp != nil {
			t.Status, t.Proto, t.Response, t.Latency = resp.Status, resp.Proto, resp.Header.Clone(), resp.Timing.Latency
		}
		a.note(t)
		return resp, err
	}), nil
}

// errInterrupted is a fetch that was given up with Ctrl-C.
var errInterrupted = errors.New("interrupted")

// fetch asks for a page and waits for it. Statuses such as 404 are pages. When ctx ends the request is given up.
func (s *session) fetch(ctx context.Context, req *crawl.Request) (*page, error) {
	if err := req.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a := &ask{ctx: ctx, req: req, done: make(chan struct{})}
	s.mu.Lock()
	s.last++
	a.id = s.last
	s.asked[a.id] = a
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.asked, a.id)
		s.mu.Unlock()
	}()
	select {
	case s.asks <- a:
	case <-s.ended:
		return nil, s.err
	case <-ctx.Done():
		return nil, errInterrupted
	}
	select {
	case <-a.done:
	case <-s.ended:
		a.answer(nil, s.err)
	case <-ctx.Done():
		a.answer(nil, errInterrupted)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.err != nil && ctx.Err() != nil:
		return nil, errInterrupted // whatever was under way said to that
	case a.err != nil:
		return nil, explained(a.err, a.sent)
	}
	return a.resp, nil
}

// close ends the crawl, and with it the files of large pages.
func (s *session) close() {
	s.engine.Stop(reasonFinished)
	select {
	case <-s.ended:
	case <-time.After(time.Second):
		s.kill() // a download that nobody waits for any more
		<-s.ended
	}
}

// explained says what can be done about a request that the crawl's own rules refused.
func explained(err error, sent []transaction) error {
	var ignored *crawl.IgnoreRequestError
	if errors.As(err, &ignored) {
		var d *crawl.DownloadError
		switch {
		case errors.As(ignored.Err, &d) && ignored.Kind == crawl.KindRobots:
			if u, err := url.Parse(d.URL); err == nil && (d.Kind == crawl.KindDNS || d.Kind == crawl.KindRefused) {
				return fmt.Errorf("no answer from %s: %w", u.Host, hostError{d})
			}
		case ignored.Reason == "robots.txt":
			return errors.New("robots.txt forbids this page (-s robots.ignore=true asks all the same)")
		case ignored.Reason == "max redirections reached" && len(sent) > 0:
			return fmt.Errorf("max redirections reached, the last one to %s", crawl.Redacted(sent[len(sent)-1].URL))
		case ignored.Err == nil:
			return errors.New(ignored.Reason)
		}
		return fmt.Errorf("%s: %w", ignored.Reason, ignored.Err)
	}
	return err
}

// hostError is a failure to reach a host, whatever was asked of it.
type hostError struct{ *crawl.DownloadError }

func (e hostError) Error() string { return fmt.Sprintf("%s: %v", e.Kind, e.Err) }

func (e hostError) Unwrap() error { return e.DownloadError }

// pageFlags are those of every command that looks at pages.
type pageFlags struct {
	settingsFlags
	spider     string
	logLevel   string
	noRedirect bool
	render     bool
	waitFor    string
}

func (f *pageFlags) add(a *app, c *cobra.Command) {
	f.settingsFlags.add(c)
	c.Flags().StringVar(&f.spider, "spider", "", "ask with the settings of spider `NAME`")
	c.Flags().StringVar(&f.logLevel, "log-level", "", "log to standard error: `LEVEL` is debug, info, warn or error")
	_ = c.RegisterFlagCompletionFunc("spider", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return a.spiderNames(), cobra.ShellCompDirectiveNoFileComp
	}) // the flag is there
}

// addFetch adds the flags of those that make the request themselves.
func (f *pageFlags) addFetch(a *app, c *cobra.Command) {
	f.add(a, c)
	c.Flags().BoolVar(&f.noRedirect, "no-redirect", false, "take a redirect as the page")
	c.Flags().BoolVar(&f.render, "render", false, "ask with the browser, so that scripts run")
	c.Flags().StringVar(&f.waitFor, "wait-for", "", "render, and wait until CSS `SELECTOR` matches")
}

// open makes the spider whose settings hold, and starts a session.
func (f *pageFlags) open(ctx context.Context, a *app, command string) (*session, *crawl.Spider, error) {
	spider, settings, err := f.prepare(a, command)
	if err != nil {
		return nil, nil, err
	}
	s, err := openSession(ctx, spider, settings)
	return s, spider, err
}

// prepare puts spider and settings together. Without a spider it is one that has nothing but a name.
func (f *pageFlags) prepare(a *app, command string) (*crawl.Spider, crawl.Settings, error) {
	settings, err := a.settings(&f.settingsFlags, f.spider)
	if err != nil {
		return nil, settings, err
	}
	args, err := pairs("-a", f.args)
	if err != nil {
		return nil, settings, err
	}
	spider := &crawl.Spider{Name: command}
	switch {
	case f.spider != "":
		if spider, err = a.spider(f.spider, args); err != nil {
			return nil, settings, err
		}
	case len(args) > 0:
		return nil, settings, errors.New("-a is an argument of a spider: name it with --spider")
	}
	settings.Logger, err = f.logger(a.stderr)
	settings.Stdout = a.stderr
	return spider, settings, err
}

// logger says nothing unless it is asked to: what goes wrong with a page is said where it is shown.
func (f *pageFlags) logger(w io.Writer) (*zap.Logger, error) {
	if f.logLevel == "" {
		return zap.NewNop(), nil
	}
	log, err := crawl.NewLogger(crawl.LogSettings{Level: f.logLevel}, w)
	if err != nil {
		return nil, fmt.Errorf("--log-level %s: want debug, info, warn or error", f.logLevel)
	}
	return log, nil
}

// request is one for a URL as people type it.
func (f *pageFlags) request(raw string) (*crawl.Request, error) {
	req, err := typedRequest(raw)
	if err != nil {
		return nil, err
	}
	f.shape(req)
	return req, nil
}

// typedRequest is one for what somebody typed.
func typedRequest(raw string) (*crawl.Request, error) {
	if strings.TrimSpace(raw) == "" {
		return nil, errors.New("the URL is empty") // a variable of a script that is not set
	}
	scheme, _, _ := strings.Cut(strings.TrimSpace(raw), ":")
	switch strings.ToLower(scheme) {
	case "mailto", "tel", "sms", "javascript", "about", "blob":
		return nil, fmt.Errorf("%s: no page is behind such a link", raw)
	}
	req := crawl.Get(typedURL(raw))
	return req, req.Err()
}

// shape lets the flags hold for a request.
func (f *pageFlags) shape(req *crawl.Request) {
	if f.noRedirect || f.render || f.waitFor != "" {
		req.SetKnobs(func(k *crawl.Knobs) {
			k.DontRedirect, k.DontRefresh = k.DontRedirect || f.noRedirect, k.DontRefresh || f.noRedirect
			if f.render || f.waitFor != "" {
				k.Render = &crawl.Render{WaitFor: f.waitFor}
			}
		})
	}
}

// typedURL is what somebody means who leaves out the scheme: a file that is there, or a host.
func typedURL(raw string) string {
	raw = strings.TrimSpace(raw)
	if scheme, rest, ok := strings.Cut(raw, ":"); ok && scheme != "" && !strings.ContainsAny(scheme, "./") {
		if strings.HasPrefix(rest, "//") || scheme == "data" || scheme == "file" {
			return raw
		}
	}
	if strings.HasPrefix(raw, "//") {
		return "http:" + raw
	}
	if _, err := os.Stat(raw); err == nil || strings.HasPrefix(raw, "/") || strings.HasPrefix(raw, "./") || strings.HasPrefix(raw, "../") {
		if u, err := fileURL(raw); err == nil {
			return u
		}
	}
	return "http://" + raw
}

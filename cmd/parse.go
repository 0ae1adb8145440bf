package cmd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
)

func (a *app) parseCommand() *cobra.Command {
	f := &parseFlags{}
	c := &cobra.Command{
		Use:   "parse URL",
		Short: "Run one page through a spider, and print what it makes of it",
		Long: `parse fetches one page and gives it to one callback of a spider: Parse, or the
one that --route names. It prints the items and the requests that come out, as
they are behind the spider's middlewares, and what went wrong.

Without --spider it is the one whose AllowedDomains have the page's host, or
whose first URLs do. --depth 1 follows the requests that come out, --depth 2
theirs too. --pipelines sends the items through the item pipelines, which store
pictures and files; feeds are not written, and no job is touched.

Exit codes: 0 the callback made something of the page, or nothing; 1 a page was
not there, or a callback or pipeline failed; 2 the command line is wrong.`,
		Example: strings.Join([]string{
			"  " + a.program.Name + " parse https://books.toscrape.com/",
			"  " + a.program.Name + " parse --spider books --route book --no-links URL",
			"  " + a.program.Name + ` parse --spider shop --route product --data '{"page": 2}' URL`,
			"  " + a.program.Name + " parse --spider books --depth 1 -v URL",
		}, "\n"),
		Args:              oneURL,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.parse(c.Context(), args[0], f)
		},
	}
	f.addFetch(a, c)
	c.Flags().Lookup("spider").Usage = "the spider's `NAME`, if it is not to be found out"
	c.Flags().StringVarP(&f.route, "route", "r", "", "the callback's `NAME` among the spider's routes (default Parse)")
	c.Flags().StringVar(&f.data, "data", "", "what travels with the request, `JSON`")
	c.Flags().IntVarP(&f.depth, "depth", "d", 0, "follow requests this many `LEVELS`")
	c.Flags().BoolVar(&f.pipelines, "pipelines", false, "send items through the item pipelines")
	c.Flags().BoolVar(&f.noItems, "no-items", false, "print no items")
	c.Flags().BoolVar(&f.noLinks, "no-links", false, "print no requests")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "print page by page, level by level")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	_ = c.RegisterFlagCompletionFunc("route", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var routes []string
		if s, err := a.spider(f.spider, nil); err == nil {
			routes = slices.Sorted(maps.Keys(s.Routes))
		}
		return routes, cobra.ShellCompDirectiveNoFileComp
	}) // the flag is there
	return c
}

type parseFlags struct {
	pageFlags
	route, data                          string
	depth                                int
	pipelines, noItems, noLinks, verbose bool
	json                                 bool
}

func (a *app) parse(ctx context.Context, raw string, f *parseFlags) error {
	req, err := f.request(raw)
	if err != nil {
		return err
	}
	if f.depth < 0 {
		return fmt.Errorf("--depth %d: want 0 or more", f.depth)
	}
	if f.data != "" {
		if !json.Valid([]byte(f.data)) {
			return fmt.Errorf("--data %s: want JSON, as in --data '{\"page\": 2}'", f.data)
		}
		req.Data = json.RawMessage(f.data)
	}
	req.Route, req.DontFilter = f.route, true
	if f.spider == "" {
		args, err := pairs("-a", f.args)
		if err != nil {
			return err
		}
		name, why, err := a.guessSpider(req.URL, args)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "spider %s: %s\n", name, why)
		f.spider = name
	}
	if f.pipelines && f.logLevel == "" {
		f.logLevel = "warn" // what a pipeline has to say of a picture
	}
	spider, settings, err := f.prepare(a, "parse")
	if err != nil {
		return err
	}
	if _, err := spider.Callback(f.route); err != nil {
		return err
	}
	run := &parsing{depth: f.depth, pages: make(map[*crawl.Request]*parsedPage), Spider: spider.Name}
	e, err := engine.New(run.spider(spider, req, f.pipelines), settings)
	if err != nil {
		return err
	}
	ctx, stop := untilStopped(ctx, os.Interrupt)
	defer stop()
	res, err := e.Run(ctx)
	if res.Reason == "" {
		return err // it did not start
	}
	run.finish()
	if perr := run.print(a.stdout, painter(a.stdout), f); perr != nil {
		return &crawlError{fmt.Errorf("parse: %w", perr)}
	}
	switch {
	case ctx.Err() != nil:
		return &crawlError{errInterrupted}
	case err != nil:
		return &crawlError{err}
	}
	return run.failure()
}

// guessSpider finds the spider that a page is for.
func (a *app) guessSpider(u *url.URL, args map[string]string) (name, why string, err error) {
	var byDomain, byStart []string
	for _, name := range a.spiderNames() {
		s, err := a.spider(name, args)
		if err != nil {
			s, err = a.spider(name, nil) // one that does not take these arguments says so when it is the one
		}
		if err != nil {
			continue // one that needs others
		}
		if slices.ContainsFunc(s.AllowedDomains, func(d string) bool { return within(u, d) }) {
			byDomain = append(byDomain, name)
		}
		if len(s.AllowedDomains) == 0 && slices.ContainsFunc(s.StartURLs, func(raw string) bool {
			start := crawl.Get(raw)
			return start.Err() == nil && start.URL.Host != "" && strings.EqualFold(start.URL.Host, u.Host)
		}) {
			byStart = append(byStart, name)
		}
	}
	switch {
	case len(byDomain) == 1:
		return byDomain[0], "its AllowedDomains have " + u.Hostname(), nil
	case len(byDomain) == 0 && len(byStart) == 1:
		return byStart[0], "it starts at " + u.Host, nil
	case len(byDomain)+len(byStart) == 0:
		return "", "", fmt.Errorf("no spider is known to be for %s: name one with --spider (%s)", cmp.Or(u.Host, u.String()), strings.Join(a.spiderNames(), ", "))
	}
	return "", "", fmt.Errorf("several spiders are for %s: name one with --spider (%s)", u.Host, strings.Join(append(byDomain, byStart...), ", "))
}

// within reports whether a host belongs to a domain.
func within(u *url.URL, domain string) bool {
	host, domain := strings.ToLower(u.Hostname()), strings.ToLower(strings.Trim(domain, "."))
	return host != "" && (host == domain || strings.HasSuffix(host, "."+domain))
}

// parsing is a crawl of a page and what it leads to. The engine runs it as any other; what comes out is taken down next to the engine.
type parsing struct {
	depth int

	Spider  string           `json:"spider"`
	Pages   []*parsedPage    `json:"pages"`   // Guarded by mu, as all in it; in the order of arrival, then of depth.
	Dropped []*parsedRequest `json:"dropped"` // Guarded by mu: requests that a middleware refused.

	mu    sync.Mutex
	pages map[*crawl.Request]*parsedPage // Guarded by mu: by the request that its callback's context has as its origin.
}

// parsedPage is what a callback has made of one page.
type parsedPage struct {
	URL      string            `json:"url"`
	Status   int               `json:"status,omitempty"`
	Route    string            `json:"route"`
	Depth    int               `json:"depth"`
	Items    []json.RawMessage `json:"items"`
	Requests []*parsedRequest  `json:"requests"`
	Errors   []string          `json:"errors"`
	NoItem   []string          `json:"items_dropped"`

	kind crawl.BodyKind
}

// parsedRequest is a request that came out of a callback.
type parsedRequest struct {
	Method   string          `json:"method"`
	URL      string          `json:"url"`
	Route    string          `json:"route"`
	Priority int             `json:"priority"`
	Data     json.RawMessage `json:"data,omitempty"`
	Why      string          `json:"why,omitempty"` // it was dropped

	fingerprint crawl.Fingerprint
	dontFilter  bool
}

func describeRequest(req *crawl.Request) *parsedRequest {
	r := &parsedRequest{Method: methodOf(req), Route: req.Route, Priority: req.Priority, Data: req.Data, fingerprint: req.Fingerprint(), dontFilter: req.DontFilter}
	if req.URL != nil {
		r.URL = crawl.Redacted(req.URL)
	}
	return r
}

// spider is one that starts with the page alone, and whose callbacks are watched.
func (p *parsing) spider(crawled *crawl.Spider, first *crawl.Request, pipelines bool) *crawl.Spider {
	own := *crawled
	own.StartURLs = nil
	own.Start = func(_ context.Context, out *crawl.Out) error {
		out.Request(first)
		return nil
	}
	own.Parse = p.watch(crawled.Parse)
	own.Routes = make(map[string]crawl.Callback, len(crawled.Routes))
	for name, cb := range crawled.Routes {
		own.Routes[name] = p.watch(cb)
	}
	own.Errback = func(ctx context.Context, req *crawl.Request, err error, out *crawl.Out) error {
		p.failed(ctx, req, err)
		if crawled.Errback == nil {
			return nil
		}
		return crawled.Errback(ctx, req, err, out)
	}
	afterConfigure(&own, func(set *crawl.Settings) {
		onlyLook(set)
		if !pipelines {
			set.ItemPipelines = nil
		}
		set.SpiderMiddlewares = append(set.SpiderMiddlewares, crawl.SpiderLayer{Order: math.MinInt, Name: "parse", Middleware: p.hooks})
		p.trace(&set.Trace)
	})
	return &own
}

// watch opens a page's record when its callback is called.
func (p *parsing) watch(cb crawl.Callback) crawl.Callback {
	if cb == nil {
		return nil
	}
	return func(ctx context.Context, resp *crawl.Response, out *crawl.Out) error {
		p.open(ctx, resp.Request, resp)
		err := cb(ctx, resp, out)
		var again *crawl.RescheduleError
		if errors.As(err, &again) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if page := p.pages[crawl.Origin(ctx)]; len(page.Items)+len(page.Requests) == 0 {
				delete(p.pages, crawl.Origin(ctx))
				p.Pages = slices.DeleteFunc(p.Pages, func(other *parsedPage) bool { return other == page })
			}
		}
		return err
	}
}

// open returns the record of the page that ctx is about; it makes it if there is none. resp may be nil.
func (p *parsing) open(ctx context.Context, req *crawl.Request, resp *crawl.Response) *parsedPage {
	p.mu.Lock()
	defer p.mu.Unlock()
	origin := crawl.Origin(ctx)
	page := p.pages[origin]
	if page == nil {
		page = &parsedPage{
			URL: crawl.Redacted(req.URL), Route: req.Route, Depth: req.Depth,
			Items: []json.RawMessage{}, Requests: []*parsedRequest{}, Errors: []string{}, NoItem: []string{},
		}
		p.pages[origin] = page
		p.Pages = append(p.Pages, page)
	}
	if resp != nil {
		page.URL, page.Status, page.kind = crawl.Redacted(resp.URL), resp.Status, resp.Kind()
	}
	return page
}

// failed notes a page that did not come to its callback.
func (p *parsing) failed(ctx context.Context, req *crawl.Request, err error) {
	var status *crawl.StatusError
	var resp *crawl.Response
	text := explained(err, nil).Error()
	if errors.As(err, &status) {
		resp = status.Response
		text = statusText(resp.Status) + ": the callback is not called for this status"
	}
	page := p.open(ctx, req, resp)
	p.mu.Lock()
	defer p.mu.Unlock()
	page.Errors = append(page.Errors, text)
}

// about changes the record of the page that ctx is about.
func (p *parsing) about(ctx context.Context, change func(*parsedPage)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if page := p.pages[crawl.Origin(ctx)]; page != nil {
		change(page)
	}
}

// errNotFollowed is why a request ends here.
var errNotFollowed = &crawl.IgnoreRequestError{Reason: "deeper than --depth"}

// hooks stand next to the engine: they see requests as they would enter the queue.
func (p *parsing) hooks(*crawl.Env) (crawl.SpiderHooks, error) {
	return crawl.SpiderHooks{Request: func(ctx context.Context, _ *crawl.Response, req *crawl.Request) (*crawl.Request, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		page := p.pages[crawl.Origin(ctx)]
		if page == nil {
			req.Depth = 0
			return req, nil // the first one
		}
		page.Requests = append(page.Requests, describeRequest(req))
		req.Depth = page.Depth + 1 // whatever the depth middleware says: this is what ends here
		if req.Depth > p.depth {
			return nil, errNotFollowed
		}
		return req, nil
	}}, nil
}

// trace takes down items and errors, beside the program's own hooks.
func (p *parsing) trace(t *crawl.Trace) {
	own := *t
	t.RequestDropped = func(req *crawl.Request, why error) {
		var ignored *crawl.IgnoreRequestError
		if errors.As(why, &ignored) && ignored != errNotFollowed && ignored.Reason != "duplicate" {
			dropped := describeRequest(req)
			dropped.Why = ignored.Reason
			p.mu.Lock()
			p.Dropped = append(p.Dropped, dropped)
			p.mu.Unlock()
		}
		if own.RequestDropped != nil {
			own.RequestDropped(req, why)
		}
	}
	t.SpiderError = func(ctx context.Context, resp *crawl.Response, err error) {
		text := err.Error()
		var pan *crawl.PanicError
		if errors.As(err, &pan) {
			text += "\n" + strings.TrimSpace(string(pan.Stack))
		}
		p.about(ctx, func(page *parsedPage) { page.Errors = append(page.Errors, "callback: "+text) })
		if own.SpiderError != nil {
			own.SpiderError(ctx, resp, err)
		}
	}
	t.ItemScraped = func(ctx context.Context, item any) {
		text, err := itemJSON(item)
		p.about(ctx, func(page *parsedPage) {
			if err != nil {
				page.Errors = append(page.Errors, "item: "+err.Error())
				return
			}
			page.Items = append(page.Items, text)
		})
		if own.ItemScraped != nil {
			own.ItemScraped(ctx, item)
		}
	}
	t.ItemDropped = func(ctx context.Context, item any, why error) {
		p.about(ctx, func(page *parsedPage) { page.NoItem = append(page.NoItem, why.Error()) })
		if own.ItemDropped != nil {
			own.ItemDropped(ctx, item, why)
		}
	}
	t.ItemError = func(ctx context.Context, item any, err error) {
		p.about(ctx, func(page *parsedPage) { page.Errors = append(page.Errors, "item: "+err.Error()) })
		if own.ItemError != nil {
			own.ItemError(ctx, item, err)
		}
	}
}

// itemJSON is an item as a feed of JSON writes it.
func itemJSON(item any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(item)
	return bytes.TrimSpace(b.Bytes()), err
}

// finish puts the pages in order. The crawl is over.
func (p *parsing) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.SortStableFunc(p.Pages, func(a, b *parsedPage) int { return cmp.Compare(a.Depth, b.Depth) })
	if p.Pages == nil {
		p.Pages = []*parsedPage{}
	}
	if p.Dropped == nil {
		p.Dropped = []*parsedRequest{}
	}
}

// failure is an error if a page failed, or was not there.
func (p *parsing) failure() error {
	bad := 0
	for _, page := range p.Pages {
		if len(page.Errors) > 0 {
			bad++
		}
	}
	switch {
	case len(p.Pages) == 0 && len(p.Dropped) > 0:
		return &crawlError{fmt.Errorf("parse: a spider middleware dropped the request: %s", p.Dropped[0].Why)}
	case len(p.Pages) == 0:
		return &crawlError{errors.New("parse: the page did not come to a callback")}
	case bad > 0 && len(p.Pages) == 1:
		return &crawlError{fmt.Errorf("parse %s: %s", p.Pages[0].URL, p.Pages[0].why())}
	case bad > 0:
		return &crawlError{fmt.Errorf("parse: %d of %s failed", bad, count(int64(len(p.Pages)), "page"))}
	}
	return nil
}

// why is the first error of a page that failed, in a line.
func (page *parsedPage) why() string {
	text, _, _ := strings.Cut(page.Errors[0], "\n")
	if page.Status >= 300 && strings.HasPrefix(text, statusText(page.Status)+":") {
		return statusText(page.Status) // what that does to a callback stands above
	}
	switch what, _, _ := strings.Cut(text, ": "); what { // that stands above, with its stack
	case "callback":
		return "the callback failed"
	case "item":
		return "an item failed"
	}
	return text
}

// print writes what came out.
func (p *parsing) print(w io.Writer, paint paint, f *parseFlags) error {
	if f.json {
		for _, page := range p.Pages {
			if f.noItems {
				page.Items = []json.RawMessage{}
			}
			if f.noLinks {
				page.Requests = []*parsedRequest{}
			}
		}
		return writeJSON(w, p)
	}
	var b strings.Builder
	if f.verbose || len(p.Pages) == 1 {
		for _, page := range p.Pages {
			head := visible(page.URL) + " " + visible(cmp.Or(page.Route, "Parse"))
			if len(p.Pages) > 1 {
				head = fmt.Sprintf("depth %d  %s", page.Depth, head)
			}
			head = paint.bold(head)
			if page.Status != 0 {
				head += fmt.Sprintf("  %s  %s", paint.status(page.Status, statusText(page.Status)), page.kind)
			}
			fmt.Fprintln(&b, head)
			page.print(&b, paint, f)
		}
	} else {
		all := parsedPage{}
		for _, page := range p.Pages {
			all.Items = append(all.Items, page.Items...)
			all.NoItem = append(all.NoItem, page.NoItem...)
			if page.Depth == p.depth || f.noItems {
				all.Requests = append(all.Requests, page.Requests...)
			}
			for _, e := range page.Errors {
				all.Errors = append(all.Errors, page.URL+": "+e)
			}
		}
		fmt.Fprintf(&b, "%s, %s deep; -v shows them one by one\n", count(int64(len(p.Pages)), "page"), count(int64(p.depth), "level"))
		all.print(&b, paint, f)
	}
	if !f.noLinks && len(p.Dropped) > 0 {
		fmt.Fprintf(&b, "%s\n", paint.bold("Dropped: "+fmt.Sprint(len(p.Dropped))))
		writeRequests(&b, paint, p.Dropped)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (page *parsedPage) print(b *strings.Builder, paint paint, f *parseFlags) {
	if !f.noItems {
		fmt.Fprintf(b, "%s\n", paint.bold("Items: "+fmt.Sprint(len(page.Items))))
		for _, item := range page.Items {
			fmt.Fprintln(b, paint.json(item))
		}
		for _, why := range page.NoItem {
			fmt.Fprintf(b, "  %s\n", paint.yellow(visible(why)))
		}
	}
	if !f.noLinks {
		once := unique(page.Requests)
		again := ""
		if n := len(page.Requests) - len(once); n > 0 {
			again = fmt.Sprintf(" (%d more are for the same pages, and dropped as seen)", n)
		}
		fmt.Fprintf(b, "%s%s\n", paint.bold("Requests: "+fmt.Sprint(len(once))), again)
		writeRequests(b, paint, once)
	}
	for _, e := range page.Errors {
		fmt.Fprintln(b, paint.red("error: "+visible(e)))
	}
}

// unique leaves out requests that a crawl would drop as seen.
func unique(all []*parsedRequest) []*parsedRequest {
	seen := make(map[crawl.Fingerprint]bool, len(all))
	var once []*parsedRequest
	for _, r := range all {
		if r.dontFilter || !seen[r.fingerprint] {
			once = append(once, r)
		}
		seen[r.fingerprint] = true
	}
	return once
}

// writeRequests writes one a line.
func writeRequests(b *strings.Builder, paint paint, all []*parsedRequest) {
	for _, r := range all {
		fmt.Fprintf(b, "  %s %s", r.Method, visible(r.URL))
		if r.Route != "" {
			fmt.Fprintf(b, "  %s", paint.cyan(visible(r.Route)))
		}
		if r.Priority != 0 {
			fmt.Fprintf(b, "  %s", paint.dim(fmt.Sprintf("priority %d", r.Priority)))
		}
		if len(r.Data) > 0 {
			fmt.Fprintf(b, "  %s", paint.dim(visible(string(r.Data))))
		}
		if r.Why != "" {
			fmt.Fprintf(b, "  %s", paint.yellow(visible(r.Why)))
		}
		b.WriteByte('\n')
	}
}

package spiders

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// SitemapOptions say which sitemaps are read, and which of their addresses are asked for. All fields but URLs may be left out.
type SitemapOptions struct {
	// URLs are those of sitemaps, of indexes of them, of files of robots.txt that name them, or of a site ("https://example.com"), whose robots.txt is asked then.
	// Where that names none, /sitemap.xml is tried.
	URLs []string
	// Rules say where the addresses lead: the first whose pattern matches counts. An address that none matches is left out. Empty: all lead to Parse.
	Rules []SitemapRule
	// Follow are patterns, one of which the address of a sitemap in an index, or in robots.txt, must match. Empty: all are followed.
	Follow []string
	// Alternates asks for the same pages in other languages too.
	Alternates bool
	// Since leaves out what was last changed before, sitemaps in an index too. What says a day or a month is taken if that had not ended by then, and so is what does not
	// say when it changed. Zero: nothing is left out.
	Since time.Time
	// Filter is given each entry that is left, and reports whether to ask for it; it may change the entry. It runs while the sitemap is read, one entry after the other.
	// nil: all are asked for.
	Filter func(ctx context.Context, e *SitemapEntry) bool
	// WithEntry lets the entry travel with its request, as Data, for the callback to read: r.Data(&entry), a [SitemapEntry].
	WithEntry bool
	// MaxSize of one sitemap in bytes, inflated. The rest of a larger one is left out, with an error. 0 is 256 MiB, five times what the protocol allows; negative is no limit.
	MaxSize int64
	// MaxDepth is how many sitemaps may lead to one another. 0 is 5: the protocol knows an index and its sitemaps.
	MaxDepth int
}

// A SitemapRule says where the addresses lead that match a pattern.
type SitemapRule struct {
	// Match is a regular expression, which matches anywhere in an address unless it is anchored. "" matches all.
	Match string
	// Route names the callback among Spider.Routes; "" is Parse.
	Route string
}

// sitemapRoute is the route of sitemaps. It is stored with requests, so it must not change.
const sitemapRoute = "+sitemap"

// maxRobots is how much of a robots.txt is read, in bytes, inflated.
const maxRobots = 512 << 10

// Sitemap is a spider that asks for what a site's sitemaps name: Scrapy's SitemapSpider. It reads XML sitemaps and indexes of them, lists of addresses, and feeds of RSS and Atom,
// compressed or not, whatever they are called. Those that it is to read, and then base.StartURLs, are what the crawl starts with.
//
// A sitemap is read as it is, however malformed; where it cannot be read on, because it ends early or is too large, what came before is used, and the rest is the
// page's error. A sitemap that is none (a page of HTML, most often) is an error that says so. Sitemaps are read as streams, so their size costs no memory, and are asked after
// the pages that wait, so that one sitemap's pages are on their way before the next is read. They may stand on hosts outside of AllowedDomains, the pages they name may not.
//
// Stats: sitemap/read_count, sitemap/url_count (asked for), sitemap/filtered_count (left out by the options), sitemap/skipped_count (no address).
func Sitemap(base crawl.Spider, opts SitemapOptions) *crawl.Spider {
	m := &sitemaps{opts: opts}
	m.compile()
	s := base
	s.Routes = make(map[string]crawl.Callback)
	for name, cb := range base.Routes {
		s.Routes[name] = cb
	}
	s.Routes[sitemapRoute] = m.page
	s.Start = func(ctx context.Context, out *crawl.Out) error {
		for _, raw := range opts.URLs {
			if !out.Request(m.first(raw)) {
				return nil
			}
		}
		return start(ctx, &s, base.Start, out)
	}
	s.Verify = also(base.Verify, m.verify)
	return &s
}

// start goes on with what a spider starts with beside its kind's own.
func start(ctx context.Context, s *crawl.Spider, own func(context.Context, *crawl.Out) error, out *crawl.Out) error {
	if own != nil {
		return own(ctx, out)
	}
	for _, raw := range s.StartURLs {
		req := crawl.Get(raw)
		if err := req.Err(); err != nil { // as the engine has it
			env := crawl.EnvOf(ctx)
			env.Stats.Inc("start/bad_url_count")
			env.Log.Error("start URL skipped", zap.Error(err))
			continue
		}
		if !out.Request(req) {
			return nil
		}
	}
	return nil
}

// sitemaps is a Sitemap spider's state.
type sitemaps struct {
	opts   SitemapOptions
	rules  []*regexp.Regexp
	follow []*regexp.Regexp
	errs   []error
}

// sitemapData travels with the request for a sitemap.
type sitemapData struct {
	// Level is how many sitemaps led to it.
	Level int `json:"level,omitempty"`
	// Robots says that it is a robots.txt, wherever a redirect leads.
	Robots bool `json:"robots,omitempty"`
}

func (m *sitemaps) compile() {
	pattern := func(what, source string) *regexp.Regexp {
		re, err := regexp.Compile(source)
		if err != nil {
			m.errs = append(m.errs, fmt.Errorf("sitemap's %s: pattern %q: %w", what, source, err))
		}
		return re
	}
	for i, r := range m.opts.Rules {
		m.rules = append(m.rules, pattern(fmt.Sprintf("rule %d", i), r.Match))
	}
	for _, f := range m.opts.Follow {
		m.follow = append(m.follow, pattern("Follow", f))
	}
	if m.opts.MaxSize == 0 {
		m.opts.MaxSize = 256 << 20
	}
	if m.opts.MaxDepth <= 0 {
		m.opts.MaxDepth = 5
	}
}

func (m *sitemaps) verify(s *crawl.Spider) error {
	errs := slices.Clone(m.errs)
	if len(m.opts.URLs) == 0 {
		errs = append(errs, errors.New("Sitemap has no URLs: say where the sitemaps are, or the site's robots.txt"))
	}
	for _, raw := range m.opts.URLs {
		if err := crawl.Get(raw).Err(); err != nil {
			errs = append(errs, fmt.Errorf("sitemap %w", err))
		}
	}
	for i, r := range m.opts.Rules {
		if r.Route != "" && s.Routes[r.Route] == nil {
			errs = append(errs, fmt.Errorf("sitemap's rule %d: the spider has no route %q (routes: %s)", i, r.Route, ownRoutes(s)))
		}
	}
	if s.Parse == nil && (len(m.opts.Rules) == 0 || slices.ContainsFunc(m.opts.Rules, func(r SitemapRule) bool { return r.Route == "" })) {
		errs = append(errs, errors.New("the sitemaps' pages lead to Parse, and the spider has none"))
	}
	return errors.Join(errs...)
}

// first asks for one of SitemapOptions.URLs.
func (m *sitemaps) first(raw string) *crawl.Request {
	req := crawl.Get(raw)
	if req.URL == nil {
		return req
	}
	if req.URL.Path == "" || req.URL.Path == "/" && req.URL.RawQuery == "" {
		req.URL.Path = "/robots.txt"
	}
	return m.ask(req, sitemapData{})
}

// ask makes req one for a sitemap.
func (m *sitemaps) ask(req *crawl.Request, data sitemapData) *crawl.Request {
	req.Route, req.Priority = sitemapRoute, -1
	data.Robots = isRobots(req.URL)
	crawl.With(data)(req)
	req.SetKnobs(func(k *crawl.Knobs) {
		k.AllowOffsite = true
		if data.Robots {
			k.IgnoreRobots = true // it is always allowed (RFC 9309, section 2.2.2)
			k.HandleStatus = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone}
		}
	})
	return req
}

func isRobots(u *url.URL) bool {
	return u != nil && strings.HasSuffix(strings.ToLower(u.Path), "/robots.txt")
}

// page reads a sitemap, or the file that names some.
func (m *sitemaps) page(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
	var data sitemapData
	if err := r.Data(&data); err != nil {
		return err
	}
	if data.Robots {
		return m.robots(ctx, r, out)
	}
	stats := crawl.EnvOf(ctx).Stats
	stats.Inc("sitemap/read_count")
	body, err := r.Body.Open()
	if err != nil {
		return fmt.Errorf("sitemap %s: %w", r.URL, err)
	}
	defer body.Close()
	w := &sitemapWork{
		sitemaps: m, ctx: ctx, r: r, out: out, level: data.Level,
		asked: stats.Counter("sitemap/url_count"), filtered: stats.Counter("sitemap/filtered_count"), skipped: stats.Counter("sitemap/skipped_count"),
	}
	t, err := openText(ctx, body, r.Header.Get("Content-Type"), max(m.opts.MaxSize, 0))
	if err == nil {
		err = readSitemap(t.Reader, w.entry)
	}
	if err == nil {
		err = w.err
	}
	if err != nil {
		return fmt.Errorf("sitemap %s: %w (%d entries were read)", r.URL, err, w.entries)
	}
	return nil
}

// robots follows the sitemaps that a robots.txt names.
func (m *sitemaps) robots(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
	env := crawl.EnvOf(ctx)
	var named int
	if r.Status < 300 {
		body, err := r.Body.Open()
		if err != nil {
			return err
		}
		defer body.Close()
		t, err := openText(ctx, body, "", maxRobots)
		if err != nil {
			return err
		}
		for l, err := range lines(t.Reader) {
			if err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				break // it is cut off, perhaps in the middle of something
			}
			key, value, ok := strings.Cut(l.text, ":")
			if !ok || !strings.EqualFold(strings.TrimSpace(key), "sitemap") {
				continue
			}
			named++
			req, err := absolute(r.URL, strings.TrimSpace(value))
			if err != nil || !leads(r.URL, req.URL) {
				env.Stats.Inc("sitemap/skipped_count")
				env.Log.Warn("sitemap skipped: it has no address that can be asked", zap.Stringer("robots", r.URL), zap.Int("line", l.number), zap.String("sitemap", shorten(value, 200)))
				continue
			}
			if !matchesAny(m.follow, req.URL.String()) {
				continue
			}
			if !out.Request(m.ask(req, sitemapData{Level: 1})) {
				return nil
			}
		}
	}
	if named > 0 {
		return nil
	}
	env.Log.Info("robots.txt names no sitemap: /sitemap.xml is tried", zap.Stringer("robots", r.URL), zap.Int("status", r.Status))
	guess := *r.URL
	guess.Path, guess.RawPath, guess.RawQuery = "/sitemap.xml", "", ""
	out.Request(m.ask(&crawl.Request{URL: &guess}, sitemapData{Level: 1}))
	return nil
}

// matchesAny reports whether one of patterns matches; none at all let everything pass.
func matchesAny(patterns []*regexp.Regexp, s string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(re *regexp.Regexp) bool { return re.MatchString(s) })
}

// absolute is a request for what stands in a document that is not HTML.
func absolute(base *url.URL, ref string) (*crawl.Request, error) {
	if ref == "" {
		return nil, errors.New("no address")
	}
	req := crawl.Get(ref)
	if req.Err() == nil {
		return req, nil
	}
	u, err := base.Parse(ref)
	if err != nil {
		return nil, req.Err()
	}
	req = crawl.Get(u.String())
	return req, req.Err()
}

// sitemapWork is what is done with the entries of one sitemap.
type sitemapWork struct {
	*sitemaps
	ctx   context.Context
	r     *crawl.Response
	out   *crawl.Out
	level int

	asked, filtered, skipped *crawl.Counter
	entries                  int
	badLines                 int
	err                      error
}

// entry asks for what an entry names. It reports false when the crawl is stopping.
func (w *sitemapWork) entry(e SitemapEntry) bool {
	w.entries++
	e.Sitemap = w.r.URL.String()
	req, err := absolute(w.r.URL, e.Loc)
	if err == nil && !leads(w.r.URL, req.URL) {
		err = fmt.Errorf("scheme %q is not followed", req.URL.Scheme)
	}
	if err != nil {
		w.skipped.Add(1)
		if w.badLines++; w.badLines <= maxBadLines {
			crawl.EnvOf(w.ctx).Log.Warn("sitemap entry skipped", zap.Stringer("sitemap", w.r.URL), zap.Int("line", e.line), zap.String("loc", shorten(e.Loc, 200)), zap.Error(err))
		}
		return true
	}
	e.Loc = req.URL.String()
	if !e.LastMod.IsZero() && !e.until.After(w.opts.Since) || w.opts.Filter != nil && !w.opts.Filter(w.ctx, &e) {
		w.filtered.Add(1)
		return true
	}
	if e.Loc != req.URL.String() { // Filter has changed it
		if req = crawl.Get(e.Loc); req.Err() != nil {
			return w.out.Request(req)
		}
	}
	if e.Nested {
		return w.nested(req)
	}
	if !w.send(req, e) {
		return false
	}
	if w.opts.Alternates {
		for _, alt := range e.Alternates {
			req, err := absolute(w.r.URL, alt.URL)
			if err != nil || !leads(w.r.URL, req.URL) {
				w.skipped.Add(1)
				continue
			}
			if !w.send(req, e) {
				return false
			}
		}
	}
	return true
}

// maxBadLines is how many entries or lines of one list are logged that cannot be used. All are counted.
const maxBadLines = 20

// nested asks for a sitemap that another one names.
func (w *sitemapWork) nested(req *crawl.Request) bool {
	if !matchesAny(w.follow, req.URL.String()) {
		w.filtered.Add(1)
		return true
	}
	if w.level+1 >= w.opts.MaxDepth {
		w.filtered.Add(1)
		if w.err == nil {
			w.err = fmt.Errorf("%d sitemaps have led to one another: those that this one names are not read (MaxDepth)", w.level+1)
		}
		return true
	}
	return w.out.Request(w.ask(req, sitemapData{Level: w.level + 1}))
}

// send asks for a page, if there is a rule for it.
func (w *sitemapWork) send(req *crawl.Request, e SitemapEntry) bool {
	if len(w.rules) > 0 {
		address := req.URL.String()
		i := slices.IndexFunc(w.rules, func(re *regexp.Regexp) bool { return re.MatchString(address) })
		if i < 0 {
			w.filtered.Add(1)
			return true
		}
		req.Route = w.opts.Rules[i].Route
	}
	if w.opts.WithEntry {
		crawl.With(e)(req)
	}
	w.asked.Add(1)
	return w.out.Request(req)
}

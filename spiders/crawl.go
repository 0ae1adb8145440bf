package spiders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/spiders/links"
)

// A Rule says which links of a page are followed, and what becomes of their pages.
type Rule struct {
	// Links are those that the rule takes. nil: all of the page's, as the zero [links.Extractor] has them.
	Links *links.Extractor
	// Route names the callback for the pages they lead to, among Spider.Routes. "": the pages are there for their links only, and all rules are applied to them.
	Route string
	// Follow applies all rules to the pages of a Route too, when its callback has returned.
	Follow bool
	// Priority of the requests: higher leaves first.
	Priority int
	// ProcessLinks is given the links of a page that the rule takes and no rule before it took, and returns those to follow. nil: all.
	ProcessLinks func(ctx context.Context, r *crawl.Response, found []links.Link) []links.Link
	// ProcessRequest is given each request before it is asked, and returns it, changed or not, or another, or nil to leave the link out. Data that it sets takes the
	// place of [Found]. nil: they are asked as they are.
	ProcessRequest func(ctx context.Context, r *crawl.Response, link links.Link, req *crawl.Request) *crawl.Request
}

// Found says how a page was found by [Crawl]. It travels as the Data of requests to a Rule's Route.
type Found struct {
	// Rule is the index of the rule that took the link. It is stored with the requests of a job: when the rules are put into another order, those that wait mean another one.
	Rule int `json:"rule"`
	// Text is the link's text, up to 500 bytes.
	Text string `json:"text,omitempty"`
}

// FoundBy is what a request was found by. It is for callbacks (r.Request) and errbacks. A request that no rule made, or one with other Data, has Rule -1.
func FoundBy(req *crawl.Request) Found {
	f := Found{Rule: -1}
	if req == nil || len(req.Data) == 0 {
		return f
	}
	if err := json.Unmarshal(req.Data, &f); err != nil {
		return Found{Rule: -1}
	}
	return f
}

// andLinks, after a route's name, is the route that Crawl adds for its callback and then all rules; alone, that of pages that are there for their links. It is stored with
// requests, so it must not change.
const andLinks = "+links"

// maxLinkText is how much of a link's text travels with its request.
const maxLinkText = 500

// Crawl is a spider that follows links by rules: Scrapy's CrawlSpider. Start pages go to base.Parse, if there is one, and then through all rules, as do pages that a rule
// without a Route has found, and those of a rule with Follow. Each rule takes its links of the page; a link that two rules would take is the first one's.
//
// On a page that has both, the callback runs first and then the rules, also if it failed, so that one bad page does not cut off what is behind it: not if it
// asked for the page again, for the end of the crawl, or panicked. Pages that are not HTML have no links.
//
// The rules are checked before the crawl starts: a pattern or selector that does not compile, a Route that is not among the spider's.
func Crawl(base crawl.Spider, rules ...Rule) *crawl.Spider {
	c := &crawler{rules: slices.Clone(rules)}
	for i := range c.rules {
		if c.rules[i].Links == nil {
			c.rules[i].Links = new(links.Extractor)
		}
	}
	s, start := base, base.Parse
	s.Routes = maps.Clone(base.Routes)
	if s.Routes == nil {
		s.Routes = make(map[string]crawl.Callback)
	}
	s.Parse = func(ctx context.Context, r *crawl.Response, out *crawl.Out) error { return c.page(ctx, r, out, start) }
	s.Routes[andLinks] = func(ctx context.Context, r *crawl.Response, out *crawl.Out) error { return c.page(ctx, r, out, nil) }
	follows := make(map[string]bool)
	for _, rule := range c.rules {
		follows[rule.Route] = follows[rule.Route] || rule.Follow
	}
	for name := range follows {
		if name == "" {
			continue
		}
		s.Routes[name+andLinks] = func(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
			if !follows[name] { // It did when a job stored the request.
				return s.Routes[name](ctx, r, out)
			}
			return c.page(ctx, r, out, s.Routes[name])
		}
	}
	s.Verify = also(base.Verify, c.verify)
	return &s
}

// also asks both.
func also(first, then func(*crawl.Spider) error) func(*crawl.Spider) error {
	if first == nil {
		return then
	}
	return func(s *crawl.Spider) error { return errors.Join(first(s), then(s)) }
}

// crawler is a Crawl spider's rules.
type crawler struct{ rules []Rule }

func (c *crawler) verify(s *crawl.Spider) error {
	var errs []error
	if len(c.rules) == 0 {
		errs = append(errs, errors.New("Crawl has no rules: nothing would be followed"))
	}
	for i, rule := range c.rules {
		if rule.Route != "" && s.Routes[rule.Route] == nil {
			errs = append(errs, fmt.Errorf("rule %d: the spider has no route %q (routes: %s)", i, rule.Route, ownRoutes(s)))
		}
		if err := rule.Links.Compile(); err != nil {
			errs = append(errs, fmt.Errorf("rule %d: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

// ownRoutes lists a spider's routes but those that a kind has added, which have a plus.
func ownRoutes(s *crawl.Spider) string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(s.Routes)) {
		if !strings.Contains(name, "+") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// page gives a page to its callback, and then to the rules.
func (c *crawler) page(ctx context.Context, r *crawl.Response, out *crawl.Out, own crawl.Callback) error {
	var err error
	if own != nil {
		if err = own(ctx, r, out); steers(err) {
			return err
		}
	}
	if r.Kind() != crawl.BodyHTML {
		return err
	}
	return errors.Join(err, c.follow(ctx, r, out))
}

// steers reports whether an error says what should happen next, rather than what went wrong.
func steers(err error) bool {
	var end *crawl.CloseSpiderError
	var again *crawl.RescheduleError
	return errors.As(err, &end) || errors.As(err, &again)
}

// follow asks for the links of a page.
func (c *crawler) follow(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
	taken := make(map[string]struct{})
	for i := range c.rules {
		rule := &c.rules[i]
		found, err := rule.Links.Extract(r)
		if err != nil {
			return err // the page's, so the next rule has it too
		}
		found = slices.DeleteFunc(found, func(l links.Link) bool {
			_, ok := taken[l.URL]
			return ok
		})
		if rule.ProcessLinks != nil {
			found = rule.ProcessLinks(ctx, r, found)
		}
		for _, link := range found {
			taken[link.URL] = struct{}{}
			req, err := c.request(r, i, link)
			if err != nil {
				out.Follow(link.URL, "") // which counts it
				continue
			}
			if rule.ProcessRequest != nil {
				if req = rule.ProcessRequest(ctx, r, link, req); req == nil {
					continue
				}
			}
			if !out.Request(req) {
				return nil
			}
		}
	}
	return nil
}

// request asks for a link. What Out.Follow would not follow is an error: a page of the web that leads to a file of this machine.
func (c *crawler) request(r *crawl.Response, rule int, link links.Link) (*crawl.Request, error) {
	req := crawl.Get(link.URL)
	if err := req.Err(); err != nil {
		return nil, err
	}
	if !leads(r.URL, req.URL) {
		return nil, fmt.Errorf("scheme %q is not followed", req.URL.Scheme)
	}
	req.Priority = c.rules[rule].Priority
	if link.ReferrerPolicy != "" {
		req.Knobs = &crawl.Knobs{ReferrerPolicy: link.ReferrerPolicy}
	}
	switch route := c.rules[rule].Route; {
	case route == "":
		req.Route = andLinks
		return req, nil
	case c.rules[rule].Follow:
		req.Route = route + andLinks
	default:
		req.Route = route
	}
	crawl.With(Found{Rule: rule, Text: shorten(link.Text, maxLinkText)})(req)
	return req, nil
}

// leads reports whether one address may lead to another: from the web to the web.
func leads(from, to *url.URL) bool {
	switch to.Scheme {
	case "http", "https", "ftp", from.Scheme:
		return true
	}
	return false
}

// shorten cuts s to at most n bytes, between characters.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

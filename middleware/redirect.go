package middleware

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// Redirect follows 301, 302, 303, 307 and 308 with a Location: the request goes back to the queue with the new URL, its priority adjusted, the old URL at the end of its
// Redirects. So every hop passes all layers anew: offsite, robots.txt, the new host's limits, its cookies.
//
// The rules are those of the Fetch standard and of Scrapy's advisories. 301 and 302 turn POST into GET, 303 everything but HEAD; body and content headers go with it. Only
// http and https are followed: a redirect to file:, data: or another scheme is handed on as the response that it is, with a warning. Authorization, and a Host that
// the request has set, stay within scheme, host and port. A Cookie header of the request's own stays within its host, and does not leave https. A Referer is worked
// out anew for the target. A fragment is kept unless the target has one (RFC 9110, section 10.2.2).
//
// After Redirect.Times the request is ignored, with the reason "max redirections reached": that ends every loop. So is one that leads to a URL longer than
// URLLength.Limit. DontRedirect, HandleStatus and HandleAllStatus hand
// redirects on.
func Redirect(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	if env.Settings.Redirect.Times <= 0 {
		return nil, crawl.NotConfigured("redirect.times is negative")
	}
	return newRedirect(env, next), nil
}

func newRedirect(env *crawl.Env, next crawl.Fetcher) *redirect {
	return &redirect{
		RedirectSettings: env.Settings.Redirect, policy: env.Settings.Referer.Policy, next: next, log: env.Log,
		longest: env.Settings.URLLength.Limit, tooLong: env.Stats.Counter("urllength/request_ignored_count"),
	}
}

type redirect struct {
	crawl.RedirectSettings
	policy  string
	next    crawl.Fetcher
	log     *zap.Logger
	longest int // URL that is followed, in bytes; negative: of any length
	tooLong *crawl.Counter
}

func (r *redirect) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	resp, err := r.next.Fetch(ctx, req)
	if err != nil || !redirects(resp.Status) || req.Knob().DontRedirect || req.Knob().Handles(resp.Status) {
		return resp, err
	}
	ref := resp.Header.Get(location)
	if ref == "" {
		return resp, nil
	}
	target, err := resolve(req, resp, ref)
	if err != nil || !web(target) {
		r.log.Warn("redirect is not followed", zap.Stringer("request", req), zap.String("location", shorten(ref)), zap.Error(err))
		return resp, nil
	}
	return r.again(req, resp, target, "redirect "+strconv.Itoa(resp.Status), func(c *crawl.Request) {
		if post := req.Method == http.MethodPost; post && (resp.Status == http.StatusMovedPermanently || resp.Status == http.StatusFound) ||
			resp.Status == http.StatusSeeOther && req.Method != "" && req.Method != http.MethodGet && req.Method != http.MethodHead {
			asGet(c)
		}
		r.refer(c, resp)
	})
}

// again is how a request goes on at a target, changed by change, unless it has come too far.
func (r *redirect) again(req *crawl.Request, resp *crawl.Response, target *url.URL, why string, change func(*crawl.Request)) (*crawl.Response, error) {
	if err := resp.Close(); err != nil {
		r.log.Warn("close response", zap.Stringer("request", req), zap.Error(err))
	}
	if len(req.Redirects) >= r.Times {
		r.log.Debug("max redirections reached", zap.Stringer("request", req), zap.Int("times", r.Times))
		return nil, crawl.IgnoreRequest("max redirections reached")
	}
	if n := longer(target, r.longest); n > 0 {
		r.tooLong.Add(1)
		r.log.Debug("redirected to a url that is too long", zap.Stringer("request", req), zap.Int("length", n), zap.Int("limit", r.longest))
		return nil, errTooLong
	}
	c := r.follow(req, target)
	change(c)
	r.log.Debug("redirecting", zap.Stringer("request", req), zap.String("why", why), zap.Stringer("to", c))
	return nil, crawl.Reschedule(c, 0, why)
}

func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// resolve makes a Location absolute, put right as links are.
func resolve(req *crawl.Request, resp *crawl.Response, ref string) (*url.URL, error) {
	base := resp.URL
	if base == nil {
		base = req.URL
	}
	target, err := (&crawl.Response{URL: base}).Join(ref) // a response without a page: no <base> has a say
	if err != nil {
		return nil, err
	}
	if target.Fragment == "" {
		target.Fragment, target.RawFragment = req.URL.Fragment, req.URL.RawFragment
	}
	return target, nil
}

// follow is the request for a target.
func (r *redirect) follow(req *crawl.Request, target *url.URL) *crawl.Request {
	c := repeat(req)
	c.URL = target
	c.Priority += r.PriorityAdjust
	from := req.URL
	if user := from.User; user != nil {
		// The password leaves the URL here: Redirects are for everybody to read.
		from = withoutUser(from)
		if target.User == user { // taken over from a relative Location
			c.URL = withoutUser(target)
		}
		if k := req.Knob(); k.HTTPUser == "" && k.HTTPPassword == "" {
			c.SetKnobs(func(k *crawl.Knobs) {
				k.HTTPUser = user.Username()
				k.HTTPPassword, _ = user.Password()
				if len(req.Redirects) > 0 { // a redirect has led to this URL: its password is for its origin, not for the first one
					k.HTTPAuthDomain = authOrigin(from)
				}
			})
		}
	}
	c.Redirects = append(slices.Clip(req.Redirects), from.String())
	if !sameOrigin(req.URL, target) {
		delete(c.Header, authorization)
		delete(c.Header, host)
	}
	if !sameHost(req.URL, target) || downgrade(req.URL, target) {
		delete(c.Header, cookie)
	}
	return c
}

// asGet makes a request a GET without a body.
func asGet(c *crawl.Request) {
	c.Method, c.Body = "", nil
	for _, key := range [...]string{"Content-Type", contentLength, contentEncoding, "Content-Language", "Content-Location", "Transfer-Encoding"} {
		delete(c.Header, key)
	}
}

// refer works out what a Referer becomes for a new target, the page's address being what is left of it.
func (r *redirect) refer(c *crawl.Request, resp *crawl.Response) {
	old, ok := c.Header[referer]
	if !ok {
		return
	}
	delete(c.Header, referer)
	if len(old) == 0 {
		return
	}
	source, err := url.Parse(old[0])
	if err != nil {
		return
	}
	if value := refererFor(policyFor(c, resp, r.policy), source, c.URL); value != "" {
		c.Header[referer] = []string{value}
	}
}

// sameOrigin compares scheme, host and port (RFC 6454).
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && sameHost(a, b) && portOf(a) == portOf(b)
}

func sameHost(a, b *url.URL) bool { return strings.EqualFold(a.Hostname(), b.Hostname()) }

// downgrade reports whether what was encrypted would no longer be.
func downgrade(from, to *url.URL) bool { return from.Scheme == "https" && to.Scheme != "https" }

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return defaultPort(u.Scheme)
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}

// shorten keeps a hostile header from filling the log.
func shorten(s string) string {
	const enough = 200
	if len(s) > enough {
		return s[:enough] + "..."
	}
	return s
}

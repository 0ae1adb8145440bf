package middleware

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/middleware/internal/cookiejar"
)

// Cookies sends and keeps cookies by RFC 6265 with the public suffix list, in the jar that the request's CookieJar names. DontMergeCookies leaves the jar alone. A
// Cookie header that the spider has set is sent too, and wins over the jar's cookies of the same names.
//
// What the jar adds is on the wire only: when the response is back the request has the Cookie header that the spider gave it, or none. So a retry or redirect, or a
// request that a callback makes from Response.Request, never takes a jar's cookies to where they do not belong.
func Cookies(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	set := env.Settings.Cookies
	if set.Off {
		return nil, crawl.NotConfigured("cookies.off is set")
	}
	opts := cookiejar.Options{Tracked: env.Settings.Job.Dir != ""}
	c := &cookies{next: next, log: env.Log, debug: set.Debug, opts: opts, own: cookiejar.New(opts)}
	return c, nil
}

type cookies struct {
	next  crawl.Fetcher
	log   *zap.Logger
	debug bool
	opts  cookiejar.Options // Tracked in a job
	own   *cookiejar.Jar    // the crawl's own, without a name

	mu      sync.Mutex
	jars    map[string]*cookiejar.Jar // Guarded by mu: those with names.
	touched map[string]bool           // Guarded by mu: the names of jars that have changed since Changes, in a job.

	saved map[string]uint64 // Owned by the caller of Changes: the version of each jar up to which it has reported.
}

var _ crawl.Stateful = (*cookies)(nil)

func (c *cookies) jar(name string) *cookiejar.Jar {
	if name == "" {
		return c.own
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.jars[name]
	if j == nil {
		if c.jars == nil {
			c.jars = make(map[string]*cookiejar.Jar)
		}
		j = cookiejar.New(c.opts)
		c.jars[name] = j
	}
	return j
}

func (c *cookies) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	name := ""
	if k := req.Knobs; k != nil {
		if k.DontMergeCookies {
			return c.next.Fetch(ctx, req)
		}
		name = k.CookieJar
	}
	jar := c.jar(name)
	u := req.URL
	if req.Knob().Render != nil {
		if known := jar.Known(u); len(known) > 0 {
			ctx = crawl.WithCookies(ctx, known)
		}
	}
	resp, err := c.send(ctx, req, jar.Header(u))
	if err != nil {
		return nil, err
	}
	if resp.URL != nil {
		u = resp.URL
	}
	c.receive(name, jar, u, resp.Header)
	if c.debug {
		for _, line := range resp.Header["Set-Cookie"] {
			c.log.Info("cookie received", zap.Stringer("response", resp), zap.String("jar", name), zap.String("cookie", line))
		}
	}
	return resp, nil
}

// receive takes the cookies of a response, and notes for a job that the jar has changed.
func (c *cookies) receive(name string, jar *cookiejar.Jar, u *url.URL, header http.Header) {
	before := jar.Version()
	jar.SetHeader(u, header)
	if !c.opts.Tracked || jar.Version() == before {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.touched == nil {
		c.touched = make(map[string]bool)
	}
	c.touched[name] = true
}

// statePrefix stands before a jar's name, escaped, a slash, and a site: a job keeps the cookies of each under a key of its own.
const statePrefix = "cookies/"

// TakeChanges are the cookies of sites that have set some since the last call.
func (c *cookies) TakeChanges() map[string][]byte {
	c.mu.Lock()
	touched := c.touched
	c.touched = nil
	c.mu.Unlock()
	if len(touched) == 0 {
		return nil
	}
	if c.saved == nil {
		c.saved = make(map[string]uint64)
	}
	all := make(map[string][]byte)
	for name := range touched {
		sites, version := c.jar(name).Changes(c.saved[name])
		c.saved[name] = version
		for site, entries := range sites {
			var value []byte // nil: the site has none any more
			if len(entries) > 0 {
				var err error
				if value, err = json.Marshal(entries); err != nil {
					c.log.Warn("cookies are not kept in the job", zap.String("site", site), zap.Error(err))
					continue
				}
			}
			all[statePrefix+url.PathEscape(name)+"/"+site] = value
		}
	}
	return all
}

// Restore fills the jars. Cookies that a jar does not take any more, because the public suffix list has changed, are left out with a warning.
func (c *cookies) Restore(state map[string][]byte) error {
	for key, value := range state {
		rest, ok := strings.CutPrefix(key, statePrefix)
		if !ok {
			continue
		}
		escaped, _, _ := strings.Cut(rest, "/")
		name, err := url.PathUnescape(escaped)
		if err != nil {
			return fmt.Errorf("restore %s: %w", key, err)
		}
		var entries []cookiejar.Entry
		if err := json.Unmarshal(value, &entries); err != nil {
			return fmt.Errorf("restore %s: %w", key, err)
		}
		if err := c.jar(name).Load(entries); err != nil {
			c.log.Warn("cookies of the job are left out", zap.String("key", key), zap.Error(err))
		}
	}
	return nil
}

// send adds a jar's cookies to the request while it is on its way.
func (c *cookies) send(ctx context.Context, req *crawl.Request, jars string) (*crawl.Response, error) {
	spiders := req.Header[cookie]
	if len(spiders) > 0 {
		ctx = crawl.WithOwnCookie(ctx, spiders)
		if jars != "" {
			jars = without(jars, spiders)
		}
	}
	if jars == "" {
		c.sent(req, spiders)
		return c.next.Fetch(ctx, req)
	}
	value := strings.Join(append(spiders[:len(spiders):len(spiders)], jars), "; ")
	c.sent(req, []string{value})
	return sendWith(ctx, c.next, req, cookie, value)
}

func (c *cookies) sent(req *crawl.Request, lines []string) {
	if !c.debug {
		return
	}
	for _, line := range lines {
		c.log.Info("cookies sent", zap.Stringer("request", req), zap.String("jar", req.Knob().CookieJar), zap.String("cookies", line))
	}
}

// without is a jar's header without the cookies that the spider's lines name.
func without(jars string, spiders []string) string {
	named := make(map[string]bool)
	for _, line := range spiders {
		for pair := range strings.SplitSeq(line, ";") {
			name, _, _ := strings.Cut(pair, "=")
			named[strings.TrimSpace(name)] = true
		}
	}
	var kept []string
	for pair := range strings.SplitSeq(jars, "; ") {
		if name, _, _ := strings.Cut(pair, "="); !named[name] {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "; ")
}

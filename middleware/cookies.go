package middleware

import (
	"context"
	"errors"
	"maps"
	"slices"
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
	c := &cookies{next: next, log: env.Log, debug: set.Debug, own: cookiejar.New(cookiejar.Options{})}
	return c, nil
}

type cookies struct {
	next  crawl.Fetcher
	log   *zap.Logger
	debug bool
	own   *cookiejar.Jar // the crawl's own, without a name

	mu   sync.Mutex
	jars map[string]*cookiejar.Jar // Guarded by mu: those with names.
}

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
		j = cookiejar.New(cookiejar.Options{})
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
	resp, err := c.send(ctx, req, jar.Header(u))
	if err != nil {
		return nil, err
	}
	if resp.URL != nil {
		u = resp.URL
	}
	jar.SetHeader(u, resp.Header)
	if c.debug {
		for _, line := range resp.Header["Set-Cookie"] {
			c.log.Info("cookie received", zap.Stringer("response", resp), zap.String("jar", name), zap.String("cookie", line))
		}
	}
	return resp, nil
}

// send adds a jar's cookies to the request while it is on its way.
func (c *cookies) send(ctx context.Context, req *crawl.Request, jars string) (*crawl.Response, error) {
	spiders := req.Header[cookie]
	if jars != "" && len(spiders) > 0 {
		jars = without(jars, spiders)
	}
	if jars == "" {
		c.sent(req, spiders)
		return c.next.Fetch(ctx, req)
	}
	value := strings.Join(append(spiders[:len(spiders):len(spiders)], jars), "; ")
	// The map is exchanged and not written to when the request is back: a transport that has given up may still be reading it.
	before, sent := req.Header, maps.Clone(req.Header)
	if sent == nil {
		sent = make(map[string][]string, usualHeaders)
	}
	sent[cookie] = []string{value}
	req.Header = sent
	c.sent(req, sent[cookie])
	resp, err := c.next.Fetch(ctx, req)
	req.Header = before

	var again *crawl.RescheduleError
	if err != nil && errors.As(err, &again) && again.Request != nil && slices.Equal(again.Request.Header[cookie], sent[cookie]) {
		// A layer further in has copied the request.
		again.Request.Header = maps.Clone(again.Request.Header)
		if delete(again.Request.Header, cookie); len(spiders) > 0 {
			again.Request.Header[cookie] = spiders
		}
	}
	return resp, err
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

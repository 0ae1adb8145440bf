package middleware

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/tulle-go/tulle/crawl"
)

// Referer tells each site where a link was found, as far as the referrer policy lets it: the request's ReferrerPolicy, which Out.FollowAll, forms and link extractors take from the
// element (rel="noreferrer", referrerpolicy), else that of the page's <meta name="referrer">, else that of its Referrer-Policy header, else Referer.Policy. The policies are the
// W3C's eight (https://www.w3.org/TR/referrer-policy/). Only pages of http and https are ever named, and never with a user, a password or a fragment. A Referer that the spider
// has set stays.
func Referer(env *crawl.Env) (crawl.SpiderHooks, error) {
	if env.Settings.Referer.Off {
		return crawl.SpiderHooks{}, crawl.NotConfigured("referer.off is set")
	}
	policy := env.Settings.Referer.Policy
	return crawl.SpiderHooks{Request: func(_ context.Context, from *crawl.Response, req *crawl.Request) (*crawl.Request, error) {
		if wish := req.Knob().ReferrerPolicy; wish != "" && !policies[wish] {
			return nil, fmt.Errorf("%s: referrer policy %q is unknown", req, wish)
		}
		if from == nil || from.URL == nil || hasReferer(req.Header) {
			return req, nil
		}
		own := pagePolicy(req, from, policy)
		value := refererFor(own, from.URL, req.URL)
		if value == "" {
			return req, nil
		}
		if req.Header == nil {
			req.Header = make(http.Header, 1)
		}
		req.Header[referer] = []string{value}
		if own == sameOriginPolicy && policy != own && req.Knob().ReferrerPolicy == "" {
			req.SetKnobs(func(k *crawl.Knobs) { k.ReferrerPolicy = own }) // other origins are not to see it either, after a redirect
		}
		return req, nil
	}}, nil
}

// hasReferer finds one whatever case its name was written in.
func hasReferer(h http.Header) bool {
	for k := range h {
		if strings.EqualFold(k, referer) {
			return true
		}
	}
	return false
}

// The W3C's referrer policies.
const (
	noReferrer                  = "no-referrer"
	noReferrerWhenDowngrade     = "no-referrer-when-downgrade"
	sameOriginPolicy            = "same-origin"
	originPolicy                = "origin"
	strictOrigin                = "strict-origin"
	originWhenCrossOrigin       = "origin-when-cross-origin"
	strictOriginWhenCrossOrigin = "strict-origin-when-cross-origin"
	unsafeURL                   = "unsafe-url"
)

var policies = map[string]bool{
	noReferrer: true, noReferrerWhenDowngrade: true, sameOriginPolicy: true, originPolicy: true, strictOrigin: true,
	originWhenCrossOrigin: true, strictOriginWhenCrossOrigin: true, unsafeURL: true,
}

// pagePolicy chooses the policy for a request that a page leads to.
func pagePolicy(req *crawl.Request, from *crawl.Response, usual string) string {
	if req.Knobs == nil || req.Knobs.ReferrerPolicy == "" {
		if own := from.ReferrerPolicy(); own != "" {
			return own
		}
	}
	return policyFor(req, from, usual)
}

// policyFor chooses the policy for a request that a response leads to by its headers. Of a header's list the last word that is known counts (section 8.1): older clients
// are served first.
func policyFor(req *crawl.Request, from *crawl.Response, usual string) string {
	if req.Knobs != nil && req.Knobs.ReferrerPolicy != "" {
		return req.Knobs.ReferrerPolicy
	}
	list := from.Header[referrerPolicy]
	for i := len(list) - 1; i >= 0; i-- {
		for rest := list[i]; rest != ""; {
			var word string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, word = rest[:comma], rest[comma+1:]
			} else {
				rest, word = "", rest
			}
			if word = strings.ToLower(strings.TrimSpace(word)); policies[word] {
				return word
			}
		}
	}
	return usual
}

// refererFor is the Referer that a policy allows from one URL to another, "" if none (section 8.3). An unknown policy allows none.
func refererFor(policy string, from, to *url.URL) string {
	if !web(from) || !web(to) || from.Host == "" {
		return ""
	}
	switch policy {
	case unsafeURL:
		return stripped(from)
	case originPolicy:
		return originOf(from)
	case noReferrerWhenDowngrade:
		if !downgrade(from, to) {
			return stripped(from)
		}
	case strictOrigin:
		if !downgrade(from, to) {
			return originOf(from)
		}
	case sameOriginPolicy:
		if sameOrigin(from, to) {
			return stripped(from)
		}
	case originWhenCrossOrigin:
		if sameOrigin(from, to) {
			return stripped(from)
		}
		return originOf(from)
	case strictOriginWhenCrossOrigin:
		switch {
		case sameOrigin(from, to):
			return stripped(from)
		case !downgrade(from, to):
			return originOf(from)
		}
	}
	return ""
}

// stripped is a URL without what nobody else is to know.
func stripped(u *url.URL) string {
	if u.User == nil && u.Fragment == "" && u.RawFragment == "" && u.Path != "" {
		return u.String()
	}
	c := *u
	c.User, c.Fragment, c.RawFragment = nil, "", ""
	if c.Path == "" {
		c.Path = "/"
	}
	return c.String()
}

// originOf is a URL's origin as a Referer has it: with a slash, and without a port that goes without saying.
func originOf(u *url.URL) string {
	h := u.Host
	if port := u.Port(); port != "" && port == defaultPort(u.Scheme) {
		h = strings.TrimSuffix(h, ":"+port)
	}
	return u.Scheme + "://" + h + "/"
}

package middleware

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tulle-go/tulle/crawl"
)

// HTTPAuth sends a user and a password by Basic authentication (RFC 7617), in UTF-8. They are, the first that there is: the request's HTTPUser and HTTPPassword, those
// in its URL, those that the URL of a start request had for the same origin, those of Settings.HTTPAuth. An Authorization header that the spider has set is left alone.
//
// They go nowhere but to where they belong: the domain of the settings or of the request, or the origin whose URL had them. A redirect from https to http
// never takes them along. What is sent is on the wire only: when the response is back the request has no Authorization header, and Response.URL no user.
//
// Links of a page therefore have no password in them; the origin is sent the one that its start request had, and a job keeps it. A password in the URL of a link
// is for that link alone: a page cannot log the crawl in elsewhere.
func HTTPAuth(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	a := &httpAuth{next: next, tracked: env.Settings.Job.Dir != ""}
	if set := env.Settings.HTTPAuth; set.User != "" || set.Password != "" {
		if strings.Contains(set.User, ":") {
			return nil, errors.New("http_auth.user has a colon in it, which Basic authentication cannot send")
		}
		var err error
		if a.scope, err = parseScope(set.Domain); err != nil {
			return nil, fmt.Errorf("http_auth.domain: %w", err)
		}
		a.usual = basic(set.User, set.Password)
	}
	return a, nil
}

type httpAuth struct {
	next    crawl.Fetcher
	usual   string // of the settings, "" if there is none
	scope   scope  // of usual
	tracked bool   // in a job

	any     atomic.Bool // learned is not empty
	mu      sync.RWMutex
	learned map[string]string // Guarded by mu: headers by origin.
	changed map[string]bool   // Guarded by mu: origins since TakeChanges, in a job.
}

var _ crawl.Stateful = (*httpAuth)(nil)

// maxLearned bounds for how many origins a password is remembered.
const maxLearned = 10_000

func (a *httpAuth) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	if !web(req.URL) {
		return a.next.Fetch(ctx, req)
	}
	value := ""
	if _, own := req.Header[authorization]; !own {
		value = a.value(req)
	}
	if value == "" && req.URL.User == nil {
		return a.next.Fetch(ctx, req)
	}
	resp, err := sendWith(ctx, a.next, req, authorization, value)
	if err == nil && resp.URL != nil && resp.URL.User != nil {
		resp.URL = withoutUser(resp.URL)
	}
	return resp, err
}

// value is the header for a request, "" if it gets none.
func (a *httpAuth) value(req *crawl.Request) string {
	if k := req.Knob(); (k.HTTPUser != "" || k.HTTPPassword != "") && !downgraded(req) {
		var s scope
		if k.HTTPAuthDomain == "" {
			s = originScope(req)
		} else {
			s, _ = parseScope(k.HTTPAuthDomain) // one that cannot be read allows nothing
		}
		if s.has(req.URL) {
			return basic(k.HTTPUser, k.HTTPPassword)
		}
	}
	if user := req.URL.User; user != nil && (user.Username() != "" || user.String() != "") {
		password, _ := user.Password()
		value := basic(user.Username(), password)
		if req.IsStart && len(req.Redirects) == 0 { // where a redirect leads is the site's choice
			a.learn(authOrigin(req.URL), value)
		}
		return value
	}
	if a.usual != "" && a.scope.has(req.URL) && !downgraded(req) {
		return a.usual
	}
	if a.any.Load() {
		a.mu.RLock()
		defer a.mu.RUnlock()
		return a.learned[authOrigin(req.URL)]
	}
	return ""
}

// learn remembers what an origin wants. The first one counts.
func (a *httpAuth) learn(origin, value string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.learned[origin]; ok || len(a.learned) >= maxLearned {
		return
	}
	if a.learned == nil {
		a.learned, a.changed = make(map[string]string), make(map[string]bool)
	}
	a.learned[origin] = value
	if a.tracked {
		a.changed[origin] = true
	}
	a.any.Store(true)
}

const authPrefix = "httpauth/"

// TakeChanges are the headers of origins that were learned since the last call.
func (a *httpAuth) TakeChanges() map[string][]byte {
	if !a.any.Load() {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.changed) == 0 {
		return nil
	}
	all := make(map[string][]byte, len(a.changed))
	for origin := range a.changed {
		value, err := json.Marshal(a.learned[origin])
		if err == nil { // as it always is for a string
			all[authPrefix+origin] = value
		}
	}
	clear(a.changed)
	return all
}

// Restore learns what an earlier run has learned.
func (a *httpAuth) Restore(state map[string][]byte) error {
	for key, stored := range state {
		origin, ok := strings.CutPrefix(key, authPrefix)
		if !ok {
			continue
		}
		var value string
		if err := json.Unmarshal(stored, &value); err != nil {
			return fmt.Errorf("restore %s: %w", key, err)
		}
		a.learn(origin, value)
	}
	a.mu.Lock()
	clear(a.changed)
	a.mu.Unlock()
	return nil
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// authOrigin is the key of a URL's origin.
func authOrigin(u *url.URL) string {
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + portOf(u)
}

// downgraded reports whether a request came over https and would now leave in clear text.
func downgraded(req *crawl.Request) bool {
	return req.URL.Scheme == "http" && slices.ContainsFunc(req.Redirects, func(raw string) bool { return strings.HasPrefix(raw, "https:") })
}

// A scope is where credentials may go. The zero scope is nowhere.
type scope struct {
	scheme string // "": both
	host   string
	port   string // "": any
	within bool   // its subdomains too
}

// parseScope reads a domain, a host with a port, or an origin.
func parseScope(text string) (scope, error) {
	raw := text
	origin := strings.Contains(raw, "://")
	if !origin {
		raw = "http://" + strings.TrimPrefix(raw, ".")
	}
	req := crawl.Get(raw)
	if err := req.Err(); err != nil {
		return scope{}, fmt.Errorf("%q is neither a domain nor an origin", text)
	}
	u := req.URL
	if !web(u) || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return scope{}, fmt.Errorf("%q is neither a domain nor an origin", text)
	}
	s := scope{host: hostOf(req), port: u.Port()}
	if origin {
		s.scheme, s.port = u.Scheme, portOf(u)
		return s, nil
	}
	s.within = true // of an address too: no host is below one
	return s, nil
}

// originScope is the origin that a request was first made for; what it asks for now may be where a redirect has led it. From http to https of the usual ports is no
// other origin here: whoever has seen the password in clear text may see it encrypted.
func originScope(req *crawl.Request) scope {
	first := req.URL
	if len(req.Redirects) > 0 {
		was := crawl.Get(req.Redirects[0])
		if was.Err() != nil {
			return scope{}
		}
		first = was.URL
	}
	s := scope{scheme: first.Scheme, host: strings.ToLower(first.Hostname()), port: portOf(first)}
	if s.scheme == "http" && s.port == "80" && req.URL.Scheme == "https" {
		s.scheme, s.port = "https", "443"
	}
	return s
}

func (s scope) has(u *url.URL) bool {
	if s.host == "" || s.scheme != "" && s.scheme != u.Scheme || s.port != "" && s.port != portOf(u) {
		return false
	}
	h := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	return h == s.host || s.within && strings.HasSuffix(h, "."+s.host)
}

// withoutUser is a copy of a URL without user and password.
func withoutUser(u *url.URL) *url.URL {
	c := *u
	c.User = nil
	return &c
}

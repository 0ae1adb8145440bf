package middleware

import (
	"context"
	"strings"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tulle-go/tulle/crawl"
)

// Offsite refuses requests for hosts that are not in Spider.AllowedDomains, subdomains included: redirects, and media when Media.ObeyAllowedDomains is set. Links
// never come this far: [OffsiteLinks] keeps them out of the queue. Requests with AllowOffsite or DontFilter pass, and so do URLs without a host (data:, file:).
//
// Stats: offsite/filtered counts requests, offsite/domains the hosts they were for. A host that was both linked and redirected to counts twice there.
func Offsite(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	s, err := newSite(env)
	if err != nil {
		return nil, err
	}
	return crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
		if err := s.check(req, zap.DebugLevel); err != nil {
			return nil, err
		}
		return next.Fetch(ctx, req)
	}), nil
}

// OffsiteLinks drops what [Offsite] would refuse before it enters the queue. A first request outside the allowed domains, which is most likely a mistake, is
// warned of.
func OffsiteLinks(env *crawl.Env) (crawl.SpiderHooks, error) {
	s, err := newSite(env)
	if err != nil {
		return crawl.SpiderHooks{}, err
	}
	return crawl.SpiderHooks{Request: func(_ context.Context, from *crawl.Response, req *crawl.Request) (*crawl.Request, error) {
		level := zap.DebugLevel
		if from == nil {
			level = zap.WarnLevel
		}
		if err := s.check(req, level); err != nil {
			return nil, err
		}
		return req, nil
	}}, nil
}

// maxOffsite bounds how many hosts are remembered as refused. Beyond it offsite/domains stands still.
const maxOffsite = 100_000

// site is what a spider may ask.
type site struct {
	domains           map[string]struct{}
	log               *zap.Logger
	filtered, refused *crawl.Counter

	mu   sync.Mutex
	seen map[string]struct{} // Guarded by mu: hosts that were refused.
}

func newSite(env *crawl.Env) (*site, error) {
	if len(env.Spider.AllowedDomains) == 0 {
		return nil, crawl.NotConfigured("the spider has no AllowedDomains")
	}
	s := &site{
		domains: make(map[string]struct{}), seen: make(map[string]struct{}), log: env.Log,
		filtered: env.Stats.Counter("offsite/filtered"), refused: env.Stats.Counter("offsite/domains"),
	}
	for _, raw := range env.Spider.AllowedDomains {
		domain := domainOf(raw)
		if domain == "" {
			env.Log.Warn("allowed domain is none: it allows nothing", zap.String("domain", raw))
			continue
		}
		if !strings.EqualFold(domain, strings.TrimPrefix(raw, ".")) && strings.ContainsAny(raw, ":/@") {
			env.Log.Warn("allowed domain is a URL: its host is taken", zap.String("domain", raw), zap.String("host", domain))
		}
		s.domains[domain] = struct{}{}
	}
	return s, nil
}

// domainOf is the host that an entry of AllowedDomains means: ".example.com" and "https://example.com:8080/" mean example.com.
func domainOf(raw string) string {
	text := strings.Trim(strings.TrimSpace(raw), ".")
	if !strings.Contains(text, "://") {
		if strings.Count(text, ":") > 1 && !strings.HasPrefix(text, "[") {
			text = "[" + text + "]" // an address of IPv6
		}
		text = "http://" + text
	}
	req := crawl.Get(text)
	if req.Err() != nil {
		return ""
	}
	return hostOf(req)
}

// hostOf is a request's host as domains are compared: lower case, without a port and without the dot of a full name.
func hostOf(req *crawl.Request) string {
	return strings.TrimSuffix(strings.ToLower(req.URL.Hostname()), ".")
}

func (s *site) check(req *crawl.Request, level zapcore.Level) error {
	if req.DontFilter || req.Knobs != nil && req.Knobs.AllowOffsite {
		return nil
	}
	h := hostOf(req)
	if s.has(h) {
		return nil
	}
	s.filtered.Add(1)
	s.mu.Lock()
	_, known := s.seen[h]
	first := !known && len(s.seen) < maxOffsite
	if first {
		s.seen[strings.Clone(h)] = struct{}{}
		s.refused.Add(1)
	}
	s.mu.Unlock()
	if first {
		s.log.Log(level, "host is offsite", zap.String("host", h), zap.Stringer("request", req))
	}
	return crawl.IgnoreRequest("offsite")
}

// has looks for the host, and for the domains that it is in.
func (s *site) has(h string) bool {
	if h == "" {
		return true
	}
	for rest := h; ; {
		if _, ok := s.domains[rest]; ok {
			return true
		}
		dot := strings.IndexByte(rest, '.')
		if dot < 0 {
			return false
		}
		rest = rest[dot+1:]
	}
}

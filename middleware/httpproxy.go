package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/http/httpproxy"

	"github.com/tulle-go/tulle/crawl"
)

// HTTPProxy says through which proxy a request for http or https goes: the request's own Proxy, else one of Proxy.URLs, else that of the environment. It is worked out for
// each attempt and each redirect anew. The credentials in a proxy's URL are shown to the proxy alone, and a Proxy-Authorization header of a request is not sent:
// whoever sets one would show it to the site.
//
// Of several proxies each host keeps one, unless Proxy.ByTurn is set, and a repeat goes through another. A proxy that fails Proxy.Failures times in a row rests for
// Proxy.Rest; then one request tries it, and all others follow if that succeeds. When all rest, the one is taken that would be back first. A failure is one of the
// kind "proxy"; time-outs and broken connections, for which the site may be to blame, count only where they follow upon one of another site.
//
// Stats: proxy/request_count, proxy/failure_count and proxy/rest_count, of Proxy.URLs.
func HTTPProxy(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	set := env.Settings.Proxy
	if set.Off {
		return nil, crawl.NotConfigured("proxy.off is set")
	}
	p := &proxied{next: next}
	switch {
	case len(set.URLs) > 0:
		pool := &proxyPool{
			ProxySettings: set, log: env.Log, requests: env.Stats.Counter("proxy/request_count"), failures: env.Stats.Counter("proxy/failure_count"),
			rests: env.Stats.Counter("proxy/rest_count"),
		}
		for _, raw := range set.URLs {
			u, err := crawl.ParseProxy(raw)
			if err != nil {
				return nil, err
			}
			pool.list = append(pool.list, &poolProxy{url: u})
		}
		p.pool = pool
	case env.Settings.Download.Dial == nil: // what it dials is no network that the environment knows of
		var err error
		if p.environment, err = fromEnvironment(os.Getenv); err != nil {
			return nil, err
		}
		if p.environment != nil {
			env.Log.Info("the environment's proxies are used: proxy.off turns them off")
		}
	}
	return p, nil
}

// proxied is what HTTPProxy makes.
type proxied struct {
	next        crawl.Fetcher
	pool        *proxyPool                       // nil: there is none
	environment func(*url.URL) (*url.URL, error) // nil: it names none
}

func (p *proxied) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	if !web(req.URL) {
		return p.next.Fetch(ctx, req)
	}
	delete(req.Header, proxyAuth)
	switch own := req.Knob().Proxy; {
	case own == crawl.ProxyDirect:
		return p.next.Fetch(ctx, req)
	case own != "":
		u, err := crawl.ParseProxy(own)
		if err != nil {
			return nil, &crawl.DownloadError{Kind: crawl.KindRequest, URL: crawl.Redacted(req.URL), Err: err}
		}
		return p.next.Fetch(crawl.WithProxy(ctx, u), req)
	case p.pool != nil:
		return p.pool.fetch(ctx, p.next, req)
	case p.environment != nil:
		u, err := p.environment(req.URL)
		if err != nil {
			return nil, &crawl.DownloadError{Kind: crawl.KindRequest, URL: crawl.Redacted(req.URL), Err: err}
		}
		if u != nil {
			ctx = crawl.WithProxy(ctx, u)
		}
	}
	return p.next.Fetch(ctx, req)
}

// fromEnvironment reads the proxies of the environment; nil if there are none. In a CGI program HTTP_PROXY is what the client sends as its Proxy header (CVE-2016-5385), so
// there only the name in lower case counts.
func fromEnvironment(getenv func(string) string) (func(*url.URL) (*url.URL, error), error) {
	first := func(names ...string) (string, error) {
		for _, name := range names {
			if raw := getenv(name); raw != "" {
				u, err := crawl.ParseProxy(raw)
				if err != nil {
					return "", fmt.Errorf("environment variable %s: %w", name, err)
				}
				return u.String(), nil
			}
		}
		return "", nil
	}
	plain := []string{"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}
	if getenv("REQUEST_METHOD") != "" {
		plain = []string{"http_proxy", "all_proxy", "ALL_PROXY"}
	}
	var conf httpproxy.Config
	var errs [2]error
	conf.HTTPProxy, errs[0] = first(plain...)
	conf.HTTPSProxy, errs[1] = first("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if conf.HTTPProxy == "" && conf.HTTPSProxy == "" {
		return nil, nil
	}
	if conf.NoProxy = getenv("no_proxy"); conf.NoProxy == "" {
		conf.NoProxy = getenv("NO_PROXY")
	}
	return conf.ProxyFunc(), nil
}

// proxyPool are the proxies of the settings.
type proxyPool struct {
	crawl.ProxySettings
	log                       *zap.Logger
	requests, failures, rests *crawl.Counter

	mu   sync.Mutex
	list []*poolProxy // Guarded by mu: what is in them.
	turn int          // Guarded by mu: with ByTurn, who is next.
}

type poolProxy struct {
	url    *url.URL
	failed int       // in a row
	where  string    // the host of the last failure that may have been the host's
	until  time.Time // it rests till then; zero: it does not
	tried  bool      // one request, the trial, is finding out whether it is back
}

func (p *proxyPool) fetch(ctx context.Context, next crawl.Fetcher, req *crawl.Request) (*crawl.Response, error) {
	h := strings.ToLower(req.URL.Hostname())
	via, trial := p.take(h, req.Retries, time.Now())
	p.requests.Add(1)
	v, err := unknown, error(nil)
	defer func() { p.give(via, trial, h, v, err) }() // also of a layer that panics, which must not leave the trial open for ever
	resp, err := next.Fetch(crawl.WithProxy(ctx, via.url), req)
	v = judge(ctx, resp, err)
	return resp, err
}

// take chooses a proxy, and says whether the request is its trial.
func (p *proxyPool) take(host string, attempt int, now time.Time) (via *poolProxy, trial bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.list)
	start := p.turn
	if p.ByTurn {
		p.turn = (p.turn + 1) % n
	} else {
		start = spread(host, n) + attempt%n
	}
	var back *poolProxy
	for i := range n {
		via := p.list[(start+i)%n]
		switch {
		case via.until.IsZero():
			return via, false
		case !via.tried && !now.Before(via.until):
			via.tried = true
			return via, true
		case back == nil || via.until.Before(back.until):
			back = via
		}
	}
	return back, false
}

// verdict is what an attempt says of its proxy.
type verdict int

const (
	unknown verdict = iota
	works
	fails
	mayFail // or the host does
)

func judge(ctx context.Context, resp *crawl.Response, err error) verdict {
	if err == nil {
		if resp.Has("cached") {
			return unknown
		}
		return works
	}
	failed, ok := errors.AsType[*crawl.DownloadError](err)
	if !ok || ctx.Err() != nil {
		return unknown
	}
	switch failed.Kind {
	case crawl.KindProxy:
		return fails
	case crawl.KindTimeout, crawl.KindConnection, crawl.KindTruncated:
		return mayFail
	}
	return unknown
}

// give is told how an attempt went.
func (p *proxyPool) give(via *poolProxy, trial bool, host string, v verdict, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if trial {
		via.tried = false // whatever it has found out, another may try
	}
	switch {
	case v == works:
		if !via.until.IsZero() {
			p.log.Info("proxy is back", zap.String("proxy", crawl.Redacted(via.url)))
		}
		via.failed, via.where, via.until = 0, "", time.Time{}
		return
	case v == fails:
	case v == mayFail && host != via.where:
		via.where = host
	default:
		return
	}
	p.failures.Add(1)
	via.failed++
	now := time.Now()
	if p.Failures < 0 || via.failed < p.Failures || now.Before(via.until) || via.tried { // its trial is under way, and decides
		return
	}
	via.until = now.Add(p.Rest)
	p.rests.Add(1)
	p.log.Warn("proxy rests", zap.String("proxy", crawl.Redacted(via.url)), zap.Int("failures", via.failed), zap.Duration("rest", p.Rest), zap.Error(err))
}

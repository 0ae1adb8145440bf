package middleware

import (
	"context"
	"hash/fnv"
	"io"
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/tulle-go/tulle/crawl"
)

// UserAgent adds Settings.UserAgent, or the one of Settings.UserAgents that the site gets, where a request has none of its own.
func UserAgent(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	i := &introduction{next: next, agents: agentsOf(env.Settings)}
	for _, name := range i.agents {
		i.values = append(i.values, []string{name})
	}
	return i, nil
}

type introduction struct {
	next   crawl.Fetcher
	agents agents
	values [][]string // the agents as headers
}

func (i *introduction) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	if _, ok := req.Header[userAgent]; !ok {
		addHeader(req, userAgent, i.values[i.agents.index(req.URL)])
	}
	return i.next.Fetch(ctx, req)
}

// agents are the names that the crawl goes by: at least one.
type agents []string

func agentsOf(s *crawl.Settings) agents {
	var list agents
	for _, name := range s.UserAgents {
		if name != "" {
			list = append(list, name)
		}
	}
	if len(list) == 0 {
		return agents{s.UserAgent}
	}
	return list
}

func (a agents) of(u *url.URL) string { return a[a.index(u)] }

// index chooses one for a site, always the same: neither time nor the order of requests has a say, so a job that is resumed goes on as it was.
func (a agents) index(u *url.URL) int {
	if len(a) == 1 {
		return 0
	}
	site := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if domain, err := publicsuffix.EffectiveTLDPlusOne(site); err == nil {
		site = domain
	}
	return spread(site, len(a))
}

// spread maps a name to one of n numbers.
func spread(name string, n int) int {
	h := fnv.New32a()
	_, _ = io.WriteString(h, name) // it never fails
	return int(h.Sum32() % uint32(n))
}

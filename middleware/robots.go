package middleware

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/middleware/internal/robotstxt"
)

// Robots keeps to robots.txt (RFC 9309), unless Robots.Ignore or the request's IgnoreRobots is set. What is disallowed is ignored with the reason "robots.txt". A request
// that names a User-Agent of its own is held to the groups for that one, unless Robots.UserAgent says whom the crawl is to be taken for.
//
// The engine asks for a host's robots.txt before anything else, by OpenHost, which returns its Crawl-delay, capped by Robots.MaxDelay. Origins that the engine does not
// open (a redirect's target, a picture's host) are opened by the first request for them; the others wait for it.
//
// What an answer means: 2xx are the rules; 3xx that lead nowhere, or more than five of them, and 4xx mean that everything is allowed; 5xx, 429 (as at Google) and
// failures mean that nothing is, and so does a file that is not whole (Download.AllowTruncated, [crawl.StopDownload]), until it is tried again five minutes later: the
// requests are ignored with an error that wraps the cause, which is logged once. Rules are good for a day.
//
// Stats: robotstxt/request_count, response_count, response_status_count/STATUS and exception_count/KIND are of the files; robotstxt/forbidden counts the requests that
// were refused.
func Robots(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	set := env.Settings.Robots
	if set.Ignore {
		return nil, crawl.NotConfigured("robots.ignore is set")
	}
	names := agentsOf(env.Settings)
	if set.UserAgent != "" {
		names = agents{set.UserAgent}
	}
	return &robots{
		next: next, log: env.Log, stats: env.Stats, trace: &env.Settings.Trace, forbidden: env.Stats.Counter("robotstxt/forbidden"),
		agents: names, sameForAll: set.UserAgent != "", maxDelay: set.MaxDelay,
		known: make(map[robotsKey]robotsFile), flights: make(map[robotsKey]chan struct{}),
	}, nil
}

const (
	robotsPatience  = 10 * time.Second // in all, for the waits that retries of one robots.txt ask for
	robotsMaxTime   = time.Minute      // in all
	robotsRedirects = 5                // RFC 9309, section 2.3.1.2
	robotsAttempts  = 20               // whatever the layers ask for
	robotsMaxSize   = 8 << 20          // of what is downloaded; robotstxt.MaxSize of it is read
	robotsDay       = 24 * time.Hour   // RFC 9309, section 2.4
	robotsUnread    = 5 * time.Minute  // until a file that could not be read is tried again

	robotsBudget = 64 << 20 // bytes that all rules may take, about
	robotsEntry  = 300      // bytes that an origin without rules takes, about
)

type robots struct {
	next      crawl.Fetcher
	log       *zap.Logger
	stats     *crawl.Stats
	trace     *crawl.Trace
	forbidden *crawl.Counter

	agents     agents // whose groups count
	sameForAll bool   // whatever User-Agent a request has
	maxDelay   time.Duration

	mu      sync.RWMutex
	known   map[robotsKey]robotsFile    // Guarded by mu.
	cost    int                         // Guarded by mu: bytes that known takes, about.
	flights map[robotsKey]chan struct{} // Guarded by mu: files that are being asked for; closed when one is known, or given up.
}

// robotsKey is whose rules, for whom.
type robotsKey struct {
	scheme, host string // the host with its port, unless that goes without saying
	agent        string // "" is the crawl's own
}

func (k robotsKey) origin() string { return k.scheme + "://" + k.host }

// robotsFile is what is known of one origin.
type robotsFile struct {
	rules *robotstxt.Rules
	err   error // why there are no rules; then nothing is allowed
	until time.Time
	cost  int
}

var allowAll = &robotstxt.Rules{}

// OpenHost asks for an origin's robots.txt and returns the delay that it asks for, which is the least the site wants, so it is fixed. That the file cannot be read is no
// error here: the requests will be told.
func (r *robots) OpenHost(ctx context.Context, origin string, f crawl.Fetcher) (crawl.Limits, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return crawl.Limits{}, fmt.Errorf("origin %q: %w", origin, err)
	}
	if !web(u) {
		return crawl.Limits{}, nil
	}
	file, err := r.open(ctx, keyOf(u, ""), "", f)
	if err != nil {
		return crawl.Limits{}, err
	}
	var delay time.Duration
	if file.err == nil && r.maxDelay > 0 {
		delay, _ = file.rules.CrawlDelay()
	}
	return crawl.Limits{Delay: min(delay, max(r.maxDelay, 0)), FixedDelay: delay > 0}, nil
}

// Fetch refuses what the rules disallow.
func (r *robots) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	if !web(req.URL) || req.Knobs != nil && req.Knobs.IgnoreRobots {
		return r.next.Fetch(ctx, req)
	}
	own, agent := r.agentOf(req)
	file, err := r.open(ctx, keyOf(req.URL, agent), own, r.next)
	switch {
	case err != nil:
		return nil, err
	case file.err != nil: // nobody has forbidden it: it fails, and may be asked another day
		r.stats.Inc("robotstxt/unread")
		return nil, file.err
	case !file.rules.Allowed(req.URL):
		r.forbidden.Add(1)
		r.log.Debug("forbidden by robots.txt", zap.Stringer("request", req))
		return nil, crawl.IgnoreRequest("robots.txt")
	}
	return r.next.Fetch(ctx, req)
}

func keyOf(u *url.URL, agent string) robotsKey {
	h := u.Host
	if port := u.Port(); port != "" && port == defaultPort(u.Scheme) {
		h = strings.TrimSuffix(h, ":"+port)
	}
	return robotsKey{scheme: u.Scheme, host: strings.ToLower(h), agent: agent}
}

// agentOf is the User-Agent that a request has of its own, and the name in it. Both are "" if it introduces itself as the crawl does.
func (r *robots) agentOf(req *crawl.Request) (header, agent string) {
	own := req.Header[userAgent]
	if len(own) == 0 || own[0] == "" || r.sameForAll || own[0] == r.agents.of(req.URL) {
		return "", ""
	}
	header, agent = own[0], own[0]
	// The names of browsers stand alone, those of crawlers may follow "compatible;": see [robotstxt.Robots.Agent].
	if !strings.Contains(header, "compatible;") {
		if end := strings.IndexAny(header, " /"); end >= 0 {
			agent = header[:end]
		}
	}
	return header, agent
}

// open returns what is known of a robots.txt, and asks for it if that is nothing, or too old. Of several that need it one asks. An error means that ctx has ended.
func (r *robots) open(ctx context.Context, key robotsKey, header string, f crawl.Fetcher) (robotsFile, error) {
	for {
		r.mu.RLock()
		file, ok := r.known[key]
		r.mu.RUnlock()
		if ok && time.Now().Before(file.until) {
			return file, nil
		}

		r.mu.Lock()
		flight := r.flights[key]
		first := flight == nil
		if first {
			flight = make(chan struct{})
			r.flights[key] = flight
		}
		r.mu.Unlock()
		if first {
			return r.lead(ctx, key, header, f, flight)
		}
		select {
		case <-flight: // it is known now, or whoever asked has given up
		case <-ctx.Done():
			return robotsFile{}, ctx.Err()
		}
	}
}

// lead asks for a robots.txt for all who wait for the flight.
func (r *robots) lead(ctx context.Context, key robotsKey, header string, f crawl.Fetcher, flight chan struct{}) (robotsFile, error) {
	defer func() {
		r.mu.Lock()
		delete(r.flights, key)
		r.mu.Unlock()
		close(flight)
	}()
	// Between the look and the lead another flight may have landed.
	r.mu.RLock()
	old, had := r.known[key]
	r.mu.RUnlock()
	if had && time.Now().Before(old.until) {
		return old, nil
	}
	file := r.read(ctx, key, header, f)
	if err := ctx.Err(); err != nil && file.err != nil {
		return robotsFile{}, err
	}
	if file.err != nil && had && old.err == nil {
		old.until = file.until // rules that cannot be renewed stay good (RFC 9309, section 2.4)
		file = old
	}
	r.keep(key, file)
	return file, nil
}

// keep remembers a file, and forgets others if there is no room. Which ones does not matter: they are asked for again when they are needed.
func (r *robots) keep(key robotsKey, file robotsFile) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cost += file.cost - r.known[key].cost
	r.known[key] = file
	for k, other := range r.known {
		if r.cost <= robotsBudget {
			break
		}
		if k != key {
			r.cost -= other.cost
			delete(r.known, k)
		}
	}
}

// read asks for a robots.txt and says what the answer means. header is the User-Agent to ask as, "" the crawl's.
func (r *robots) read(ctx context.Context, key robotsKey, header string, f crawl.Fetcher) robotsFile {
	r.stats.Inc("robotstxt/request_count")
	file := robotsFile{rules: allowAll, until: time.Now().Add(robotsDay), cost: robotsEntry}
	unread := func(err error) robotsFile {
		file.until = time.Now().Add(robotsUnread)
		file.err = &crawl.IgnoreRequestError{Reason: "robots.txt of " + key.origin() + " could not be read", Err: err}
		if ctx.Err() == nil {
			r.log.Warn("robots.txt cannot be read: nothing of the site is asked", zap.String("origin", key.origin()), zap.Error(err))
		}
		return file
	}
	req := crawl.Get(key.origin()+"/robots.txt", func(req *crawl.Request) {
		req.DontFilter = true
		req.Knobs = &crawl.Knobs{IgnoreRobots: true, AllowOffsite: true, DontRefresh: true, MaxSize: robotsMaxSize}
		if header != "" {
			req.Header = http.Header{userAgent: {header}}
		}
	})
	limited, cancel := context.WithTimeout(ctx, robotsMaxTime)
	defer cancel()
	resp, err := r.ask(limited, req, f)
	if errors.Is(err, errTooManyRedirects) {
		return file
	}
	if err != nil {
		if ctx.Err() == nil {
			r.stats.Inc("robotstxt/exception_count/" + kindOf(err))
		}
		return unread(err)
	}
	defer func() {
		if err := resp.Close(); err != nil {
			r.log.Warn("close robots.txt", zap.String("origin", key.origin()), zap.Error(err))
		}
	}()
	r.stats.Inc("robotstxt/response_count")
	r.stats.Inc("robotstxt/response_status_count/" + strconv.Itoa(resp.Status))
	switch {
	case resp.Status >= 500 || resp.Status == http.StatusTooManyRequests || resp.Status < 200:
		return unread(errors.New(statusReason(resp.Status)))
	case resp.Status >= 300:
		r.tell(key, allowAll, nil)
		return file
	}
	body, err := head(resp, robotstxt.MaxSize+1)
	if err != nil {
		return unread(err)
	}
	if (resp.Has(truncatedFlag) || resp.Has(stoppedFlag)) && len(body) <= robotstxt.MaxSize {
		return unread(errCutOff) // what is missing may forbid
	}
	agent := key.agent
	if agent == "" {
		agent = r.agents.of(req.URL)
	}
	parsed := robotstxt.Parse(body)
	file.rules = parsed.Agent(agent)
	r.tell(key, file.rules, parsed.Sitemaps())
	if !markup(body) {
		file.cost += len(body)
	}
	return file
}

// tell tells Trace.RobotsParsed of a file.
func (r *robots) tell(key robotsKey, rules *robotstxt.Rules, sitemaps []string) {
	if f := r.trace.RobotsParsed; f != nil {
		delay, _ := rules.CrawlDelay()
		f(key.origin(), crawl.RobotsFile{Allowed: rules.Allowed, Delay: delay, Sitemaps: slices.Clone(sitemaps)})
	}
}

// stoppedFlag is what the downloader flags a body with that a hook has ended: see [crawl.StopDownload].
const stoppedFlag = "download_stopped"

var (
	errTooManyRedirects = errors.New("too many redirects")
	errCutOff           = errors.New("the file is not whole: its download broke off, or a hook stopped it")
)

// ask fetches, and does what the engine would do with a request that is to be asked again: it waits, within bounds, and asks.
func (r *robots) ask(ctx context.Context, req *crawl.Request, f crawl.Fetcher) (*crawl.Response, error) {
	patience := robotsPatience
	for range robotsAttempts {
		resp, err := through(ctx, f, req)
		var again *crawl.RescheduleError
		if !errors.As(err, &again) || again.Request == nil {
			return resp, err
		}
		if len(again.Request.Redirects) > robotsRedirects {
			return nil, errTooManyRedirects
		}
		if again.After > patience {
			if again.Err != nil {
				return nil, again.Err
			}
			return nil, errors.New(again.Reason)
		}
		patience -= again.After
		if err := sleep(ctx, again.After); err != nil {
			return nil, err
		}
		req = again.Request
	}
	return nil, fmt.Errorf("no answer after %d attempts", robotsAttempts)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// head reads the beginning of a body.
func head(resp *crawl.Response, most int64) ([]byte, error) {
	body, err := resp.Body.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // it was only read
	return io.ReadAll(io.LimitReader(body, most))
}

// markup reports whether a file is a page: then it has hardly any rules, whatever its size.
func markup(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(body, "\xef\xbb\xbf \t\r\n"), []byte("<"))
}

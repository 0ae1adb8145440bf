package middleware

import (
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
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/middleware/internal/robotstxt"
)

// Robots keeps to robots.txt (RFC 9309), unless Robots.Ignore or the request's IgnoreRobots is set. What is disallowed is ignored with the reason "robots.txt". A request
// that names a User-Agent of its own is held to the groups for that one, unless Robots.UserAgent says whom the crawl is to be taken for.
//
// The engine asks for a host's robots.txt before anything else of it, by OpenHostFor, which returns its Crawl-delay, capped by Robots.MaxDelay. It asks as the request that
// waits for it would: in its slot, by its proxy, from its address, under its User-Agent. What is asked after a while, or elsewhere, waits in the engine's queue. A request
// whose file is not known, or too old, has its host opened again.
//
// What an answer means: 2xx are the rules, of a file that is longer than 500 KiB those before; 3xx that lead nowhere, or more than five of them, whatever Redirect.Times
// says, and 4xx mean that everything is allowed; 5xx, 429 (as at Google) and failures mean that nothing is, and so does a file that is not whole
// (Download.AllowTruncated, [crawl.StopDownload]), until it is tried again five minutes later: the requests are ignored with an error that wraps the cause, which is
// logged once. Rules are good for a day.
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
		next: next, redirect: newRedirect(env, next), log: env.Log, stats: env.Stats, trace: &env.Settings.Trace, forbidden: env.Stats.Counter("robotstxt/forbidden"),
		agents: names, sameForAll: set.UserAgent != "", maxDelay: set.MaxDelay,
		known: make(map[robotsKey]robotsFile), flights: make(map[robotsKey]*robotsFlight),
	}, nil
}

const (
	robotsPatience  = 10 * time.Second // in all, for the waits that retries of one robots.txt ask for
	robotsMaxTime   = time.Minute      // in all, on the wire
	robotsRedirects = 5                // RFC 9309, section 2.3.1.2
	robotsAttempts  = 20               // whatever the layers ask for
	robotsDay       = 24 * time.Hour   // RFC 9309, section 2.4
	robotsUnread    = 5 * time.Minute  // until a file that could not be read is tried again

	robotsBudget = 64 << 20 // bytes that all rules may take, about
	robotsEntry  = 300      // bytes that an origin without rules takes, about
	robotsLook   = 32       // files, for one that can be forgotten
)

type robots struct {
	next      crawl.Fetcher
	redirect  *redirect
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
	flights map[robotsKey]*robotsFlight // Guarded by mu: files that are being asked for, between one call of OpenHostFor and the next. A file has one call at a time.
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
	heard *atomic.Bool // a request has been judged by it
}

// robotsFlight is a file that is being asked for.
type robotsFlight struct {
	req      *crawl.Request // what is to be asked next
	patience time.Duration  // left for the waits that retries ask for
	time     time.Duration  // left on the wire
	attempts int
}

var allowAll = &robotstxt.Rules{}

// OpenHostFor asks for an origin's robots.txt and returns the delay that it asks for, which is the least the site wants, so it is fixed. That the file cannot be read is no
// error here: the requests will be told.
func (r *robots) OpenHostFor(ctx context.Context, req *crawl.Request, f crawl.Fetcher) (crawl.Limits, error) {
	if !web(req.URL) {
		return crawl.Limits{}, nil
	}
	header, agent := r.agentOf(req)
	key := keyOf(req.URL, agent)
	file, fresh := r.lookUp(key)
	if !fresh {
		renewed, err := r.read(ctx, key, r.flight(key, header, req), f)
		if err != nil {
			return crawl.Limits{}, err
		}
		if renewed.err != nil && file.rules != nil && file.err == nil {
			file.until, file.heard = renewed.until, renewed.heard // rules that cannot be renewed stay good (RFC 9309, section 2.4)
		} else {
			file = renewed
		}
		r.keep(key, file)
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
	_, agent := r.agentOf(req)
	file, fresh := r.lookUp(keyOf(req.URL, agent))
	if !fresh && (file.heard == nil || file.heard.Load()) {
		return nil, &crawl.RescheduleError{Request: repeat(req), Reopen: true, Reason: "its robots.txt is not known"}
	}
	// Each file is good for one request at least, however long that had to wait for its turn: or it might be asked for, for ever.
	if !file.heard.Load() {
		file.heard.Store(true)
	}
	switch {
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

// lookUp returns what is known of a file, and whether that is still good.
func (r *robots) lookUp(key robotsKey) (file robotsFile, fresh bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	file, ok := r.known[key]
	return file, ok && time.Now().Before(file.until)
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

// flight is how far the question for a file has come. A new one asks as req does, with a header of its own if it has one.
func (r *robots) flight(key robotsKey, header string, req *crawl.Request) *robotsFlight {
	r.mu.Lock()
	defer r.mu.Unlock()
	if fl := r.flights[key]; fl != nil {
		return fl
	}
	fl := &robotsFlight{patience: robotsPatience, time: robotsMaxTime, req: crawl.Get(key.origin()+"/robots.txt", func(c *crawl.Request) {
		k := req.Knob()
		c.DontFilter = true
		c.Knobs = &crawl.Knobs{
			IgnoreRobots: true, AllowOffsite: true, DontRefresh: true, DontRedirect: true, StopAfter: robotstxt.MaxSize + 1,
			Slot: k.Slot, Proxy: k.Proxy, BindAddress: k.BindAddress,
		}
		if header != "" {
			c.Header = http.Header{userAgent: {header}}
		}
	})}
	r.flights[key] = fl
	r.stats.Inc("robotstxt/request_count")
	return fl
}

// keep remembers a file, and forgets others if there is no room: some that have been heard of, if it finds them soon. They are asked for again when they are needed.
func (r *robots) keep(key robotsKey, file robotsFile) {
	if file.heard == nil {
		file.heard = new(atomic.Bool)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old, had := r.known[key]
	if !had {
		key = robotsKey{strings.Clone(key.scheme), strings.Clone(key.host), strings.Clone(key.agent)} // they are pieces of the request
	}
	r.cost += file.cost - old.cost
	r.known[key] = file
	looked := 0
	for k, other := range r.known {
		if r.cost <= robotsBudget {
			break
		}
		if looked++; k != key && (other.heard.Load() || looked > robotsLook) {
			r.cost -= other.cost
			delete(r.known, k)
		}
	}
}

// read asks for a robots.txt once, and says what the answer means. An error is a [crawl.RescheduleError] that says what is to be asked next, or that ctx has ended.
func (r *robots) read(ctx context.Context, key robotsKey, fl *robotsFlight, f crawl.Fetcher) (robotsFile, error) {
	asked := fl.req
	resp, err := r.ask(ctx, fl, f)
	if _, again := errors.AsType[*crawl.RescheduleError](err); again {
		return robotsFile{}, err
	}
	r.mu.Lock()
	delete(r.flights, key)
	r.mu.Unlock()
	if err != nil && ctx.Err() != nil {
		return robotsFile{}, ctx.Err()
	}
	file := robotsFile{rules: allowAll, until: time.Now().Add(robotsDay), cost: robotsEntry}
	unread := func(err error) (robotsFile, error) {
		file.until = time.Now().Add(robotsUnread)
		file.err = &crawl.IgnoreRequestError{Reason: "robots.txt of " + key.origin() + " could not be read", Err: err, Kind: crawl.KindRobots}
		r.log.Warn("robots.txt cannot be read: nothing of the site is asked", zap.String("origin", key.origin()), zap.Error(err))
		return file, nil
	}
	if err != nil {
		r.stats.Inc("robotstxt/exception_count/" + kindOf(err))
		return unread(err)
	}
	defer r.closed(key, resp)
	r.stats.Inc("robotstxt/response_count")
	r.stats.Inc("robotstxt/response_status_count/" + strconv.Itoa(resp.Status))
	switch {
	case resp.Status >= 500 || resp.Status == http.StatusTooManyRequests || resp.Status < 200:
		return unread(errors.New(statusReason(resp.Status)))
	case resp.Status >= 300:
		r.tell(key, allowAll, nil)
		return file, nil
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
		agent = r.agents.of(asked.URL)
	}
	parsed := robotstxt.Parse(body)
	file.rules = parsed.Agent(agent)
	file.cost += file.rules.Size()
	r.tell(key, file.rules, parsed.Sitemaps())
	return file, nil
}

func (r *robots) closed(key robotsKey, resp *crawl.Response) {
	if err := resp.Close(); err != nil {
		r.log.Warn("close robots.txt", zap.String("origin", key.origin()), zap.Error(err))
	}
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

var errCutOff = errors.New("the file is not whole: its download broke off, or a hook stopped it")

// ask asks once. What is to be asked again is returned as the error that says so, if there is time and patience left.
func (r *robots) ask(ctx context.Context, fl *robotsFlight, f crawl.Fetcher) (*crawl.Response, error) {
	limited, cancel := context.WithTimeout(ctx, fl.time)
	defer cancel()
	begun := time.Now()
	resp, err := through(limited, f, fl.req)
	fl.time -= time.Since(begun)
	fl.attempts++
	if err == nil {
		target := r.target(fl.req, resp)
		if target == nil || len(fl.req.Redirects) >= robotsRedirects {
			return resp, nil
		}
		if err := resp.Close(); err != nil {
			r.log.Warn("close redirect", zap.Stringer("request", fl.req), zap.Error(err))
		}
		err = crawl.Reschedule(r.redirect.follow(fl.req, target), 0, "redirect "+strconv.Itoa(resp.Status))
	}
	again, ok := errors.AsType[*crawl.RescheduleError](err)
	switch {
	case !ok || again.Request == nil:
		return nil, err
	case fl.attempts >= robotsAttempts:
		return nil, fmt.Errorf("no answer after %d attempts", robotsAttempts)
	case again.After > fl.patience || fl.time <= 0:
		if again.Err != nil {
			return nil, again.Err
		}
		return nil, errors.New(again.Reason)
	}
	fl.patience -= again.After
	fl.req = again.Request
	return nil, again
}

// target is where a redirect leads, nil if it leads nowhere.
func (r *robots) target(req *crawl.Request, resp *crawl.Response) *url.URL {
	ref := resp.Header.Get(location)
	if !redirects(resp.Status) || ref == "" {
		return nil
	}
	target, err := resolve(req, resp, ref)
	if err != nil || !web(target) || longer(target, r.redirect.longest) > 0 {
		return nil
	}
	return target
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

package crawltest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
)

// Result is what a crawl made.
type Result struct {
	// Items are those that left the last stage, in that order.
	Items []any
	// Requests are those that entered the queue, in that order; Start's and those of callbacks, not those that were dropped as seen.
	Requests []*crawl.Request
	Stats    *crawl.Stats
	// Log has every entry, from debug upward.
	Log *observer.ObservedLogs
	// Asked are the URLs that arrived at the site during this crawl, in order, without robots.txt.
	Asked []string
	// Reason is why the crawl ended: "finished", or what stopped it.
	Reason string
	// Err is what engine.Run returned.
	Err error
}

// Run crawls a spider against a site, as engine.Run does. Whatever host a request names, the site answers. It fails the test if the crawl cannot start; a
// crawl that ends with an error has it in Result.Err. The crawl ends with the test's context.
//
// It changes the settings in three ways: connections go to the site, its https certificate is taken as it is, and the log is kept for Result.Log.
// The certificates of [Misery] are verified, as they would be: what its hosts without faults show is trusted, unless Download.CAFile is set.
func Run(t testing.TB, spider *crawl.Spider, settings crawl.Settings, site Site) *Result {
	t.Helper()
	return run(t, t.Context(), spider, settings, site, nil)
}

// Start is Run in the background, for tests that look at the crawl while it runs. wait returns the result.
func Start(t testing.TB, spider *crawl.Spider, settings crawl.Settings, site Site) (e *engine.Engine, wait func() *Result) {
	t.Helper()
	made := make(chan *engine.Engine, 1)
	done := make(chan *Result, 1)
	go func() {
		defer close(done)
		defer close(made)
		done <- run(t, t.Context(), spider, settings, site, made)
	}()
	if e = <-made; e == nil {
		t.FailNow()
	}
	return e, func() *Result { return <-done }
}

func run(t testing.TB, ctx context.Context, spider *crawl.Spider, settings crawl.Settings, site Site, made chan<- *engine.Engine) *Result {
	t.Helper()
	dial, stop, err := site.serve()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	core, logs := observer.New(zapcore.DebugLevel)
	settings.Logger = zap.New(core)
	settings.Download.Dial = dial
	if site.misery == nil {
		settings.Download.InsecureTLS = true
	} else if settings.Download.CAFile == "" {
		settings.Download.CAFile = site.misery.trusted(t)
	}

	res := &Result{Log: logs}
	var mu sync.Mutex
	trace := &settings.Trace
	scraped, scheduled := trace.ItemScraped, trace.RequestScheduled
	trace.ItemScraped = func(ctx context.Context, item any) {
		mu.Lock()
		res.Items = append(res.Items, item)
		mu.Unlock()
		if scraped != nil {
			scraped(ctx, item)
		}
	}
	trace.RequestScheduled = func(req *crawl.Request) {
		mu.Lock()
		res.Requests = append(res.Requests, req)
		mu.Unlock()
		if scheduled != nil {
			scheduled(req)
		}
	}
	before := len(site.AskedURLs())
	e, err := engine.New(spider, settings)
	if err != nil {
		t.Errorf("the crawl did not start: %v", err)
		return res
	}
	if made != nil {
		made <- e
	}
	out, err := e.Run(ctx)
	if err != nil && out.Reason == "" {
		t.Errorf("the crawl did not start: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	res.Stats, res.Reason, res.Err = out.Stats, out.Reason, err
	res.Asked = slices.Clone(site.AskedURLs()[before:])
	return res
}

// Called is what a callback made of a page.
type Called struct {
	Items    []any
	Requests []*crawl.Request
	// Links that no request could be made of.
	Skipped []string
	// Err is the callback's error, or the first thing that could not be taken, or the first malformed selector.
	Err error
}

// Call gives a saved page to a callback, as if it had been asked from url with status 200. A change of the request or response is made by with.
func Call(t testing.TB, cb crawl.Callback, url string, page []byte, with ...func(*crawl.Response)) *Called {
	t.Helper()
	req := crawl.Get(url)
	if err := req.Err(); err != nil {
		t.Fatal(err)
	}
	resp := &crawl.Response{
		Request: req, URL: req.URL, Status: http.StatusOK, Body: crawl.BytesBody(page),
		Header: http.Header{"Content-Type": {http.DetectContentType(page)}},
	}
	for _, f := range with {
		f(resp)
	}
	c := &Called{}
	out := crawl.NewOut(resp, &sink{called: c, state: make(map[string]json.RawMessage)})
	err := cb(crawl.WithOrigin(t.Context(), resp.Request), resp, out)
	out.Close()
	c.Err = errors.Join(err, out.Err(), resp.Err())
	if err := resp.Close(); err != nil {
		t.Error(err)
	}
	return c
}

// sink gathers what a callback produces. Routes are not known here, so any will do.
type sink struct {
	mu     sync.Mutex
	called *Called
	state  map[string]json.RawMessage
}

func (s *sink) Item(item any) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.called.Items = append(s.called.Items, item)
	return true
}

func (s *sink) Request(req *crawl.Request) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.called.Requests = append(s.called.Requests, req)
	return true, nil
}

func (s *sink) SkipLink(ref string, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.called.Skipped = append(s.called.Skipped, ref)
}

func (s *sink) Put(key string, value json.RawMessage) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state[key] = value
	return true
}

func (s *sink) Get(key string) (json.RawMessage, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.state[key]
	return v, ok
}

package pipeline

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is one crawl's surroundings for a test: an Env whose Fetcher is a downloader on top of an http.Handler, without a port.
type bench struct {
	*crawl.Env
	t    *testing.T
	log  *observer.ObservedLogs
	site *fakeSite
	page *crawl.Request
}

// newBench makes the surroundings. handle answers by path.
func newBench(t *testing.T, settings crawl.Settings, handle map[string]http.HandlerFunc) *bench {
	t.Helper()
	effective, err := settings.Effective(nil)
	require.NoError(t, err)
	core, logs := observer.New(zapcore.DebugLevel)
	spool := &crawl.Spool{Dir: t.TempDir(), Over: effective.Download.SpoolOver, Hash: "md5", NewHash: md5.New}
	t.Cleanup(func() { require.NoError(t, spool.Close()) })
	s := &fakeSite{handle: handle, spool: spool, asked: make(map[string]int)}
	return &bench{
		t: t, log: logs, site: s, page: crawl.Get("https://shop.example/page?user=1"),
		Env: &crawl.Env{
			Spider: &crawl.Spider{Name: "shop"}, Settings: effective, Stats: crawl.NewStats(), Log: zap.New(core),
			Fetcher: s, Pixels: make(testGate, 2), Spool: spool,
		},
	}
}

// ctx is that of an item of the bench's page.
func (b *bench) ctx() context.Context { return crawl.WithOrigin(b.t.Context(), b.page) }

// open opens stages as the engine would.
func (b *bench) open(pipelines ...crawl.Pipeline) *Chain {
	b.t.Helper()
	stages := make([]crawl.Stage, len(pipelines))
	for i, p := range pipelines {
		stages[i].Pipeline = p
	}
	c, err := Open(b.t.Context(), b.Env, stages)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { require.NoError(b.t, c.Close()) })
	return c
}

// process sends one item through.
func (b *bench) process(c *Chain, item any) (any, error) {
	b.t.Helper()
	return c.Process(b.ctx(), item)
}

// must sends one item through, which must not fail.
func (b *bench) must(c *Chain, item any) any {
	b.t.Helper()
	out, err := b.process(c, item)
	require.NoError(b.t, err)
	return out
}

// warnings are the messages logged at warn or above, with their fields.
func (b *bench) warnings() []observer.LoggedEntry {
	var list []observer.LoggedEntry
	for _, e := range b.log.All() {
		if e.Level >= zapcore.WarnLevel {
			list = append(list, e)
		}
	}
	return list
}

// testGate lets as many work on pixels at once as it has room for.
type testGate chan struct{}

func (g testGate) Do(ctx context.Context, _ int64, f func() error) error {
	select {
	case g <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-g }()
	return f()
}

// fakeSite is a downloader that asks a handler. It follows redirects unless the request's knobs forbid it, spools what is large, and fails what it is told to fail.
type fakeSite struct {
	handle map[string]http.HandlerFunc
	fail   map[string]error // instead of an answer, by URL
	spool  *crawl.Spool

	mu       sync.Mutex
	asked    map[string]int
	requests []*crawl.Request
}

var (
	_ crawl.Fetcher   = (*fakeSite)(nil)
	_ crawl.Submitter = (*fakeSite)(nil)
)

func (s *fakeSite) Submit(ctx context.Context, req *crawl.Request, done func(*crawl.Response, error)) {
	go func() { done(s.Fetch(ctx, req)) }()
}

func (s *fakeSite) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	s.mu.Lock()
	s.asked[req.URL.String()]++
	s.requests = append(s.requests, req.Clone())
	s.mu.Unlock()
	if err := s.fail[req.URL.String()]; err != nil {
		return nil, err
	}
	switch req.URL.Scheme {
	case "http", "https":
	default:
		return nil, &crawl.DownloadError{Kind: crawl.KindRequest, URL: req.URL.String(), Err: fmt.Errorf("unknown scheme %q", req.URL.Scheme)}
	}
	handler := s.handle[req.URL.Path]
	if handler == nil {
		handler = http.NotFound
	}
	rec := httptest.NewRecorder()
	hr := httptest.NewRequest(http.MethodGet, req.URL.String(), nil).WithContext(ctx)
	hr.Header = req.Header.Clone()
	handler(rec, hr)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("download: %w", err)
	}
	res := rec.Result()
	k := req.Knob()
	if to := res.Header.Get("Location"); to != "" && !k.DontRedirect && !k.Handles(res.StatusCode) {
		next := req.Clone()
		target, err := req.URL.Parse(to)
		if err != nil {
			return nil, err
		}
		next.Redirects = append(next.Redirects, req.URL.String())
		next.URL = target
		return s.Fetch(ctx, next)
	}
	size := int64(-1)
	if n, err := strconv.ParseInt(res.Header.Get("Content-Length"), 10, 64); err == nil {
		size = n
	}
	body, err := s.spool.Read(res.Body, size, k.MaxSize)
	if err != nil {
		kind := crawl.KindTruncated
		if errors.Is(err, crawl.ErrBodyTooLarge) {
			kind = crawl.KindTooLarge
		}
		return nil, &crawl.DownloadError{Kind: kind, URL: req.URL.String(), Err: err}
	}
	resp := &crawl.Response{Request: req, URL: req.URL, Status: res.StatusCode, Header: res.Header, Body: body}
	if res.Header.Get("X-Test-Cached") != "" {
		resp.Flags = []string{"cached"}
	}
	return resp, nil
}

// count is how often a URL was asked.
func (s *fakeSite) count(url string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[url]
}

// total is how many requests there were.
func (s *fakeSite) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// last is the request that came last.
func (s *fakeSite) last() *crawl.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[len(s.requests)-1]
}

// serve answers with these bytes.
func serve(contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	}
}

// text answers with a text.
func text(body string) http.HandlerFunc { return serve("text/plain", []byte(body)) }

// status answers with a status and a body that says so.
func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, http.StatusText(code), code) }
}

// hold answers when the test lets it go, or when the client gives up.
type hold struct {
	next    http.HandlerFunc
	arrived chan struct{} // one for each request
	release chan struct{} // closed to let all go
}

func newHold(next http.HandlerFunc) *hold {
	return &hold{next: next, arrived: make(chan struct{}, 100), release: make(chan struct{})}
}

func (h *hold) serve(w http.ResponseWriter, r *http.Request) {
	h.arrived <- struct{}{}
	select {
	case <-h.release:
		h.next(w, r)
	case <-r.Context().Done():
	}
}

const site = "https://cdn.example"

// Book is an item as users write them.
type Book struct {
	Title     string       `json:"title"`
	FileURLs  []string     `json:"file_urls,omitempty"`
	Files     []crawl.File `json:"files,omitempty"`
	ImageURLs []string     `json:"image_urls,omitempty"`
	Images    []crawl.File `json:"images,omitempty"`
}

// urls are paths of the site as URLs.
func urls(paths ...string) []string {
	list := make([]string, len(paths))
	for i, p := range paths {
		list[i] = site + p
	}
	return list
}

// keeping is a FilesPipeline that keeps to a store in memory.
func keeping() (*FilesPipeline, *store.Memory) {
	s := new(store.Memory)
	return &FilesPipeline{Store: s}, s
}

// drawing is an ImagesPipeline that keeps to a store in memory.
func drawing() (*ImagesPipeline, *store.Memory) {
	s := new(store.Memory)
	return &ImagesPipeline{Store: s}, s
}

// stored reads a file out of a store.
func stored(t *testing.T, s crawl.Store, name string) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), name)
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	var b bytes.Buffer
	_, err = b.ReadFrom(r)
	require.NoError(t, err)
	return b.Bytes()
}

// paths are where files went.
func paths(files []crawl.File) []string {
	list := make([]string, len(files))
	for i, f := range files {
		list[i] = f.Path
	}
	return list
}

// nameOf is the name that Scrapy gives a URL's file.
func nameOf(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	return hashOf(u)
}

// canvas draws a picture with some structure.
func canvas(w, h int, c color.Color) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			if (x/8+y/8)%2 == 0 {
				img.Set(x, y, c)
			} else {
				img.Set(x, y, color.White)
			}
		}
	}
	return img
}

func jpegOf(t testing.TB, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, canvas(w, h, color.RGBA{200, 30, 30, 255}), &jpeg.Options{Quality: 92}))
	return b.Bytes()
}

func pngOf(t *testing.T, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, img))
	return b.Bytes()
}

func sizeOf(t *testing.T, data []byte) (format string, size image.Point) {
	t.Helper()
	c, format, err := image.DecodeConfig(bytes.NewReader(data))
	require.NoError(t, err)
	return format, image.Pt(c.Width, c.Height)
}

// failureOf is a result's error.
func failureOf(t *testing.T, r Result) *MediaError {
	t.Helper()
	var e *MediaError
	require.ErrorAs(t, r.Err, &e)
	return e
}

// collect is an ItemCompleted hook that keeps the results.
func collect(into *[]Result) func(context.Context, []Result, any) (any, error) {
	var mu sync.Mutex
	return func(_ context.Context, results []Result, item any) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		*into = results
		return item, nil
	}
}

// fieldsOf are a log entry's fields.
func fieldsOf(e observer.LoggedEntry) map[string]any { return e.ContextMap() }

// lines are log messages, for a failing test to show.
func lines(entries []observer.LoggedEntry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s %s %v\n", e.Level, e.Message, e.ContextMap())
	}
	return b.String()
}

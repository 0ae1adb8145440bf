package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/tulle-go/tulle/crawl"
)

// Checked is what came of a [crawl.Check].
type Checked struct {
	// Items and Requests are what the callback produced, in that order.
	Items    []any
	Requests []*crawl.Request
	// Problems are what is not as it should be, a sentence each. None: the check holds.
	Problems []string
}

// mostChecked is how many items, or requests, a check takes from one page: a callback without an end has one.
const mostChecked = 100_000

// mostProblems is how many items with empty fields are told of.
const mostProblems = 5

// Check gives a page to the callback that a check is for, and holds what comes of it against the check. Nothing is crawled: items go through no pipeline, and requests are
// looked at only. What the callback saves, it can load. A callback that panics is a problem like others.
//
// resp is the caller's: [SavedPage] makes one, or it has come from a crawl. Its Request's Route and Data become those of the check.
func Check(ctx context.Context, spider *crawl.Spider, check crawl.Check, resp *crawl.Response) *Checked {
	c := &Checked{}
	req := *resp.Request
	req.Route, req.Data = check.Route, nil
	if check.Data != nil {
		crawl.With(check.Data)(&req)
	}
	if err := req.Err(); err != nil {
		c.Problems = append(c.Problems, err.Error())
		return c
	}
	resp.Request = &req
	callback, err := spider.Callback(check.Route)
	if err != nil {
		c.Problems = append(c.Problems, err.Error())
		return c
	}
	sink := &checkSink{spider: spider, checked: c, state: make(map[string]json.RawMessage)}
	out := crawl.NewOut(resp, sink)
	err = guard(func() error { return callback(crawl.WithOrigin(ctx, &req), resp, out) })
	out.Close()
	if err == nil {
		err = errors.Join(out.Err(), resp.Err())
	}
	if err != nil {
		c.Problems = append(c.Problems, err.Error())
	}
	c.count("items", len(c.Items), check.MinItems, check.MaxItems)
	c.count("requests", len(c.Requests), check.MinRequests, check.MaxRequests)
	c.fields(check.Fields)
	if check.Func != nil {
		if err := guard(func() error { return check.Func(c.Items, c.Requests) }); err != nil {
			c.Problems = append(c.Problems, err.Error())
		}
	}
	return c
}

// guard makes an error of a panic.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return f()
}

// SavedPage makes the response that a check's saved page stands for. Its content type is that of the page's name, or of its bytes.
func SavedPage(check crawl.Check, page []byte) (*crawl.Response, error) {
	if check.URL == "" {
		return nil, errors.New("the check has no URL to resolve links against")
	}
	req := crawl.Get(check.URL)
	if err := req.Err(); err != nil {
		return nil, err
	}
	status := check.Status
	if status == 0 {
		status = http.StatusOK
	}
	contentType := mime.TypeByExtension(path.Ext(check.Page))
	if contentType == "" || strings.HasPrefix(contentType, "text/html") { // the charset is the page's own affair
		contentType = http.DetectContentType(page)
		if contentType, _, _ = mime.ParseMediaType(contentType); contentType == "text/plain" && strings.HasPrefix(path.Ext(check.Page), ".htm") {
			contentType = "text/html"
		}
	}
	return &crawl.Response{
		Request: req, URL: req.URL, Status: status, Body: crawl.BytesBody(page), Header: http.Header{"Content-Type": {contentType}},
	}, nil
}

// count holds a number against its bounds.
func (c *Checked) count(what string, n, least, most int) {
	switch {
	case n < least:
		c.Problems = append(c.Problems, fmt.Sprintf("%s: want at least %d, got %d", what, least, n))
	case most < 0 && n > 0:
		c.Problems = append(c.Problems, fmt.Sprintf("%s: want none, got %d", what, n))
	case most > 0 && n > most:
		c.Problems = append(c.Problems, fmt.Sprintf("%s: want at most %d, got %d", what, most, n))
	}
}

// fields says which items lack a field.
func (c *Checked) fields(names []string) {
	if len(names) == 0 {
		return
	}
	told := 0
	for i, item := range c.Items {
		text, err := json.Marshal(item)
		var have map[string]json.RawMessage
		if err == nil {
			err = json.Unmarshal(text, &have)
		}
		if err != nil {
			c.Problems = append(c.Problems, fmt.Sprintf("item %d: %v", i+1, err))
			return
		}
		var empty, missing []string
		for _, name := range names {
			value, ok := have[name]
			switch {
			case !ok:
				missing = append(missing, name)
			case isEmpty(value):
				empty = append(empty, name)
			}
		}
		problem := func(names []string, is string) {
			if len(names) > 0 && told < mostProblems {
				told++
				c.Problems = append(c.Problems, fmt.Sprintf("item %d: %s %s, in %s", i+1, strings.Join(names, ", "), is, shortened(text)))
			}
		}
		problem(missing, "missing")
		problem(empty, "empty")
		if told >= mostProblems {
			c.Problems = append(c.Problems, "the items after that are not told of")
			return
		}
	}
}

// isEmpty is what [crawl.Check]'s Fields says.
func isEmpty(value json.RawMessage) bool {
	return slices.Contains([]string{`""`, "0", "null", "[]", "{}", `"0001-01-01T00:00:00Z"`}, string(bytes.TrimSpace(value)))
}

// shortened is a text that fits into a report.
func shortened(text []byte) string {
	const most = 300
	if r := []rune(string(text)); len(r) > most {
		return string(r[:most]) + "…"
	}
	return string(text)
}

// checkSink gathers what a callback produces.
type checkSink struct {
	spider *crawl.Spider

	mu      sync.Mutex
	checked *Checked                   // Guarded by mu.
	state   map[string]json.RawMessage // Guarded by mu.
}

func (s *checkSink) Item(item any) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.checked.Items) >= mostChecked {
		return false
	}
	s.checked.Items = append(s.checked.Items, item)
	return true
}

func (s *checkSink) Request(req *crawl.Request) (bool, error) {
	if _, err := s.spider.Callback(req.Route); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.checked.Requests) >= mostChecked {
		return false, nil
	}
	s.checked.Requests = append(s.checked.Requests, req)
	return true, nil
}

func (s *checkSink) SkipLink(string, error) {}

func (s *checkSink) Put(key string, value json.RawMessage) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state[key] = value
	return true
}

func (s *checkSink) Get(key string) (json.RawMessage, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.state[key]
	return v, ok
}

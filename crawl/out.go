package crawl

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"sync"
	"sync/atomic"

	"golang.org/x/net/html"
)

// Out takes what a callback, or Start, produces, and blocks when the crawl is full. Its methods return false when the caller should return soon: the crawl is
// stopping. Ignoring that is allowed. Out is safe for concurrent use until the callback returns; after that it takes nothing.
type Out struct {
	resp *Response
	sink Sink

	mu      sync.RWMutex // held for reading while a call is under way
	closed  atomic.Bool
	stopped atomic.Bool // a method has returned false

	errMu sync.Mutex
	err   error // Guarded by errMu: the first thing that could not be taken.
}

// A Sink is where an [Out] puts things: the engine, or a test harness. Its methods are called from many goroutines.
type Sink interface {
	// Item takes an item, a pointer to a struct or a map, and blocks while there is no room. It reports false if the crawl is stopping.
	Item(item any) bool
	// Request takes a request. An error means that it can't be taken, and becomes the callback's; false that the crawl is stopping.
	Request(req *Request) (bool, error)
	// SkipLink counts a link that no request could be made of.
	SkipLink(ref string, err error)
	// Put stores a value with the page. Get reads what was put last.
	Put(key string, value json.RawMessage) bool
	Get(key string) (json.RawMessage, bool)
}

// NewOut is for those who call callbacks: the engine and test harnesses. resp is nil for Start.
func NewOut(resp *Response, sink Sink) *Out { return &Out{resp: resp, sink: sink} }

// Item hands an item to the pipelines: a pointer to a struct, a struct, or a map[string]any. Anything else is the callback's error.
func (o *Out) Item(v any) bool {
	item, err := boxItem(v)
	if err != nil {
		return o.fail(err)
	}
	return o.use(func() bool { return o.sink.Item(item) })
}

func boxItem(v any) (any, error) {
	rv := reflect.ValueOf(v)
	switch {
	case !rv.IsValid():
		return nil, errors.New("item is nil")
	case rv.Kind() == reflect.Pointer && rv.Type().Elem().Kind() == reflect.Struct:
		if rv.IsNil() {
			return nil, fmt.Errorf("item is a nil %T", v)
		}
		return v, nil
	case rv.Kind() == reflect.Struct:
		p := reflect.New(rv.Type())
		p.Elem().Set(rv)
		return p.Interface(), nil
	}
	if m, ok := v.(map[string]any); ok {
		if m == nil {
			return nil, errors.New("item is a nil map")
		}
		return m, nil
	}
	return nil, fmt.Errorf("item is a %T: want a pointer to a struct, a struct or a map[string]any", v)
}

// Request asks for a page. Unless its DontFilter is set it is dropped if it was seen before. An unknown route, a URL that did not parse, or Data that did not
// marshal is the callback's error.
func (o *Out) Request(req *Request) bool {
	if req == nil {
		return o.fail(errors.New("request is nil"))
	}
	if err := req.Err(); err != nil {
		return o.fail(err)
	}
	return o.use(func() bool {
		ok, err := o.sink.Request(req)
		if err != nil {
			return o.fail(err)
		}
		return ok
	})
}

// Follow asks for a link of the page, made absolute against it. route names the callback, "" being Parse. A link that no request can be made of (javascript:,
// mailto:, a host that is none) is counted and skipped.
func (o *Out) Follow(ref, route string, with ...func(*Request)) bool {
	if o.resp == nil {
		return o.Request(withRoute(Get(ref), route, with))
	}
	return o.follow(o.resp.base(), nil, ref, route, with)
}

// follow asks for what an element leads to, which may be nil.
func (o *Out) follow(base *url.URL, n *html.Node, ref, route string, with []func(*Request)) bool {
	u, err := resolve(base, ref)
	if err == nil {
		switch u.Scheme {
		case "http", "https", "ftp", o.resp.URL.Scheme: // s3 is asked with the crawl's own credentials
		default:
			err = fmt.Errorf("scheme %q is not followed", u.Scheme)
		}
	}
	if err != nil {
		return o.use(func() bool { o.sink.SkipLink(ref, err); return true })
	}
	req := withRoute(&Request{URL: u}, route, with)
	if n != nil {
		req.obey(elementPolicy(n))
	}
	return o.Request(req)
}

func withRoute(req *Request, route string, with []func(*Request)) *Request {
	req.Route = route
	for _, f := range with {
		f(req)
	}
	return req
}

// FollowAll follows the links of all elements that a CSS selector matches: their href or src, or the attribute that ::attr(name) names. What an element says of the Referer
// ([Node.ReferrerPolicy]) becomes the request's ReferrerPolicy, unless with has set one.
func (o *Out) FollowAll(selector, route string, with ...func(*Request)) bool {
	if o.resp == nil {
		return o.fail(errors.New("FollowAll in Start: there is no page"))
	}
	base, on := o.resp.document().base, true
	o.resp.refs(selector, func(n *html.Node, ref string) bool {
		on = o.follow(base, n, ref, route, with)
		return on
	})
	return on
}

// Stopped reports whether a method has returned false: the crawl is stopping. It is for those who call somebody else's function again and again, and cannot see what
// it was told.
func (o *Out) Stopped() bool { return o.stopped.Load() }

// Err is the first thing that could not be taken. It becomes the callback's error even if that returns nil.
func (o *Out) Err() error {
	o.errMu.Lock()
	defer o.errMu.Unlock()
	return o.err
}

// Checkpoint remembers where Start is: a value that marshals to JSON, such as an offset or the last ID. It is stored with the requests that were produced before it,
// so that a Start that was interrupted goes on from there in the same job.
func (o *Out) Checkpoint(cursor any) bool { return o.put(StartCursor, cursor) }

// Resume reads the last Checkpoint of this job into a pointer. It reports false if there is none.
func (o *Out) Resume(into any) bool { return o.get(StartCursor, into) }

// Save keeps a value of the spider's under a key, as JSON, committed with the page. The last one counts.
func (o *Out) Save(key string, v any) bool { return o.put(stateKey+key, v) }

// Load reads what was saved under a key into a pointer. It reports false if there is nothing.
func (o *Out) Load(key string, into any) bool { return o.get(stateKey+key, into) }

// Keys of the state that is committed. Others belong to feeds and middlewares.
const (
	// StartCursor is where Start's last Checkpoint is kept.
	StartCursor = "start/cursor"
	// StartDone is there when Start has returned, and is not called again.
	StartDone = "start/done"
	stateKey  = "spider/"
)

func (o *Out) put(key string, v any) bool {
	b, err := json.Marshal(v)
	if err != nil {
		return o.fail(fmt.Errorf("save %s: %w", key, err))
	}
	return o.use(func() bool { return o.sink.Put(key, b) })
}

func (o *Out) get(key string, into any) bool {
	b, ok := o.sink.Get(key)
	if !ok {
		return false
	}
	if err := json.Unmarshal(b, into); err != nil {
		o.fail(fmt.Errorf("load %s: %w", key, err))
		return false
	}
	return true
}

// use calls f unless the Out is closed.
func (o *Out) use(f func() bool) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.closed.Load() || !f() {
		o.stopped.Store(true)
		return false
	}
	return true
}

// fail keeps the first error, and reports whether to go on: one bad link does not end a callback.
func (o *Out) fail(err error) bool {
	o.errMu.Lock()
	defer o.errMu.Unlock()
	if o.err == nil {
		o.err = err
	}
	return !o.closed.Load()
}

// Close is for those who call callbacks: after it the Out takes nothing. It waits for calls that are under way.
func (o *Out) Close() {
	o.closed.Store(true)
	o.mu.Lock()
	defer o.mu.Unlock()
}

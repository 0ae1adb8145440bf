package crawl

import (
	"context"
)

// A Fetcher answers requests. The downloader is one, each middleware around it is one, and the engine offers one to pipelines.
type Fetcher interface {
	// Fetch returns a response or an error, never both and never neither. A status such as 404 is a response. The caller closes the response.
	Fetch(ctx context.Context, req *Request) (*Response, error)
}

// A FetcherFunc is a function as a [Fetcher].
type FetcherFunc func(ctx context.Context, req *Request) (*Response, error)

// Fetch calls f.
func (f FetcherFunc) Fetch(ctx context.Context, req *Request) (*Response, error) { return f(ctx, req) }

// A Submitter is a [Fetcher] that can be asked without a goroutine that waits. The engine's Fetcher is one.
type Submitter interface {
	// Submit returns at once. done is called exactly once, on a goroutine of the engine, with what Fetch would have returned, and owns the response.
	// When ctx ends first, done gets its error. While done runs what has arrived is held in a budget: it must not wait for another Submit or Fetch.
	Submit(ctx context.Context, req *Request, done func(*Response, error))
}

// A Middleware wraps a [Fetcher]. It is called once per crawl, when the chain is built. [NotConfigured] leaves it out; another error ends the start.
// The Fetcher that it returns may be an io.Closer, which is closed when the crawl is over, and a [HostOpener] or [RequestOpener].
type Middleware func(env *Env, next Fetcher) (Fetcher, error)

// A HostOpener is called before anything of a host is asked, off the loop: a host is a scheme, a name and a port. All Fetchers of a chain may be one; the engine asks each
// and keeps to the strictest limits. A host is opened again for each slot that its requests are in, and when a Fetch returns a [RescheduleError] with Reopen set.
type HostOpener interface {
	// OpenHost returns the limits that the host asks for. origin is its scheme, host and port: "https://example.com". f asks through the whole chain.
	OpenHost(ctx context.Context, origin string, f Fetcher) (Limits, error)
}

// A RequestOpener is a HostOpener for those that ask the host for something, and keep to its limits in doing so.
type RequestOpener interface {
	// OpenHostFor returns the limits that a request's host asks for. req waits for it, and is for reading. f asks through the whole chain, in the place that the request has
	// taken: once in a call. What is to be asked after a while, or elsewhere, is returned as a [RescheduleError], as a Fetch would return it: the place is given back, and when
	// its Request could leave OpenHostFor is called again, for the same host and in a place at the slot of that Request. Calls for one host come one after the other.
	OpenHostFor(ctx context.Context, req *Request, f Fetcher) (Limits, error)
}

// A Layer is a place in the downloader's chain of middlewares. Lower orders are nearer to the engine.
//
// In Settings.Middlewares a Layer with a built-in's Name and no Middleware moves it, and with Off removes it.
type Layer struct {
	Order      int
	Name       string
	Off        bool
	Middleware Middleware
}

// A SpiderMiddleware stands between the engine and the spider. It is called once per crawl. [NotConfigured] leaves it out.
type SpiderMiddleware func(env *Env) (SpiderHooks, error)

// SpiderHooks are what a [SpiderMiddleware] does. Nil fields let everything pass. from is nil for what Start produces.
type SpiderHooks struct {
	// Response sees a response before its callback. An error keeps it from the callback and goes to Error, then to the errback.
	Response func(ctx context.Context, resp *Response) error
	// Request sees a request that a callback produced. It returns it, changed or not, or an error that drops it: [IgnoreRequest] quietly.
	Request func(ctx context.Context, from *Response, req *Request) (*Request, error)
	// Item sees an item that a callback produced, before the pipelines. [DropItem] drops it.
	Item func(ctx context.Context, from *Response, item any) (any, error)
	// Error sees the error of a callback. Returning nil handles it; what it hands to out counts.
	Error func(ctx context.Context, from *Response, err error, out *Out) error
}

// A SpiderLayer is a place in the chain of spider middlewares. Lower orders are nearer to the engine: they see responses first, and requests and items last.
// In Settings.SpiderMiddlewares a SpiderLayer with a built-in's Name and no Middleware moves it, and with Off removes it.
type SpiderLayer struct {
	Order      int
	Name       string
	Off        bool
	Middleware SpiderMiddleware
}

package crawl

import "context"

// Trace is a set of hooks for what happens in a crawl: Scrapy's signals. Nil fields are skipped. They are called on the goroutine where the thing happens, from many
// goroutines at once, so they should be quick; what they are given is for reading. A hook that panics is logged, and the crawl goes on.
type Trace struct {
	// SpiderOpened is called when all parts are open, before the first request.
	SpiderOpened func(ctx context.Context, spider *Spider)
	// SpiderIdle is called when there is nothing left to do. What it hands to out is done before the crawl ends; [CloseSpider] chooses the reason;
	// [ErrDontClose] keeps the crawl open, to be asked again after a second.
	SpiderIdle func(ctx context.Context, out *Out) error
	// SpiderClosed is called when the crawl is over, with its reason.
	SpiderClosed func(ctx context.Context, spider *Spider, reason string)
	// SpiderError is called for the error of a callback, its panic included.
	SpiderError func(ctx context.Context, resp *Response, err error)

	// RequestScheduled is called when a request has entered the queue.
	RequestScheduled func(req *Request)
	// RequestDropped is called for a request that does not enter it: why is an [IgnoreRequestError], whose Reason is "duplicate" for one that was seen.
	RequestDropped func(req *Request, why error)
	// RequestLeft is called when a request has left the queue for the downloader, media too.
	RequestLeft func(req *Request)
	// RequestFailed is called for a request that failed for good.
	RequestFailed func(req *Request, err error)
	// ResponseReceived is called for each response that comes out of the downloader's chain, media too. It must not close it.
	ResponseReceived func(resp *Response)

	// ItemScraped is called when an item has left the last stage.
	ItemScraped func(ctx context.Context, item any)
	// ItemDropped is called for an item that a stage dropped.
	ItemDropped func(ctx context.Context, item any, why error)
	// ItemError is called for an item that a stage failed on.
	ItemError func(ctx context.Context, item any, err error)

	// MediaStored and MediaFailed are called for each picture or file, once a flight.
	MediaStored func(req *Request, file File)
	MediaFailed func(req *Request, err error)
}

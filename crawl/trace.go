package crawl

import (
	"context"
	"net/url"
	"time"
)

// Trace is a set of hooks for what happens in a crawl: Scrapy's signals. Nil fields are skipped, and cost nothing. They are called on the goroutine where the thing happens,
// from many goroutines at once, so they should be quick; what they are given is for reading. A hook that panics is logged, and the crawl goes on.
//
// A crawl may have several: Settings.Trace, and those of Settings.Extensions. In what order they are called is not said.
type Trace struct {
	// EngineStarted is called when the crawl runs, after SpiderOpened, and EngineStopped when everything is closed, feeds and stores too, after SpiderClosed. A crawl
	// that could not start has neither.
	EngineStarted func(ctx context.Context)
	EngineStopped func(ctx context.Context)

	// SpiderOpened is called when all parts are open, before the first request.
	SpiderOpened func(ctx context.Context, spider *Spider)
	// SpiderIdle is called when there is nothing left to do. What it hands to out is done before the crawl ends; [CloseSpider] chooses the reason;
	// [ErrDontClose] keeps the crawl open, to be asked again after a second. Of several that are asked, one that wants the crawl open has its way.
	SpiderIdle func(ctx context.Context, out *Out) error
	// SpiderClosed is called when the crawl is over, with its reason.
	SpiderClosed func(ctx context.Context, spider *Spider, reason string)
	// SpiderError is called for the error of a callback, its panic included. resp is nil when there is none: for the error of Start, and for that of an Errback whose
	// request had no answer.
	SpiderError func(ctx context.Context, resp *Response, err error)

	// RequestScheduled is called when a request has entered the queue.
	RequestScheduled func(req *Request)
	// RequestDropped is called for a request that does not enter it: why is an [IgnoreRequestError], whose Reason is "duplicate" for one that was seen.
	RequestDropped func(req *Request, why error)
	// RequestLeft is called when a request has left the queue for the downloader, media too.
	RequestLeft func(req *Request)
	// RequestFailed is called for a request that failed for good.
	RequestFailed func(req *Request, err error)
	// SchedulerEmpty is called when the crawl could ask for more and the queue has become empty. Pages that are in work may fill it again.
	SchedulerEmpty func()

	// RequestReachedDownloader is called when a request has come through all middlewares, and is about to be sent: attempts, robots.txt and media too.
	// RequestLeftDownloader is called when it is done there, whatever came of it.
	RequestReachedDownloader func(req *Request)
	RequestLeftDownloader    func(req *Request)
	// HeadersReceived is called when the status and the headers of an answer to an http or https URL are in, and nothing of its body. [StopDownload] ends the download
	// there. An attempt that goes on with a body that had broken off is none of its own: its headers are of a part.
	//
	// This hook and BytesReceived see all that is downloaded: pages, redirects and errors, pictures and files, and robots.txt, so one that stops downloads should look at
	// resp.Request first. A robots.txt that is stopped counts as one that could not be read: nothing of its site is asked.
	HeadersReceived func(resp *Response) error
	// BytesReceived is called for each piece of such an answer's body as it comes, still compressed. [StopDownload] ends the download behind it. data is good until
	// the hook returns.
	BytesReceived func(req *Request, data []byte) error
	// ResponseDownloaded is called for each response as it comes from the downloader, before the middlewares see it: redirects, errors that are asked again and
	// robots.txt too, but not what a cache answers. It must not close it.
	ResponseDownloaded func(resp *Response)
	// ResponseReceived is called for each response that comes out of the downloader's chain, media too. It must not close it.
	ResponseReceived func(resp *Response)
	// RobotsParsed is called when the robots.txt of an origin, such as https://example.com, has been read. One that is not there allows everything.
	RobotsParsed func(origin string, robots RobotsFile)

	// ItemScraped is called when an item has left the last stage.
	ItemScraped func(ctx context.Context, item any)
	// ItemDropped is called for an item that a stage dropped.
	ItemDropped func(ctx context.Context, item any, why error)
	// ItemError is called for an item that a stage failed on.
	ItemError func(ctx context.Context, item any, err error)

	// FeedClosed is called when a feed, or a batch of one, is complete: in its place, or failed for good.
	FeedClosed func(feed FeedResult)

	// MediaStored and MediaFailed are called for each picture or file, once a flight.
	MediaStored func(req *Request, file File)
	MediaFailed func(req *Request, err error)

	// MemoryWarning is called once, when the process has come to hold more memory than Memory.Warn: resident is how much, in bytes.
	MemoryWarning func(resident int64)
}

// RobotsFile is what a robots.txt says to this crawl.
type RobotsFile struct {
	// Allowed reports whether it lets a URL of its origin be asked.
	Allowed func(u *url.URL) bool
	// Delay is what it asks for between two requests, before Robots.MaxDelay. 0: it does not say.
	Delay time.Duration
	// Sitemaps are the values of its Sitemap lines, as they were written.
	Sitemaps []string
}

// A FeedResult is what became of a feed, or of one batch of it.
type FeedResult struct {
	// Feed is the URI as the settings have it, and URI the place where the items are, without a password.
	Feed, URI string
	Format    string
	// Batch is its number from 1; 0 is a feed without batches.
	Batch int
	// Items and Bytes are how many it got: in a job by all its runs.
	Items, Bytes int64
	// Skipped says that there was no item, and nothing was left in its place, as the feed wants it.
	Skipped bool
	// Err is why items are not where they should be, nil if they are.
	Err error
}

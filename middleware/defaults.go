package middleware

import "github.com/tulle-go/tulle/crawl"

// Downloader returns the built-in downloader middlewares, in Scrapy's order: lower ones are nearer to the engine.
func Downloader() []crawl.Layer {
	return []crawl.Layer{
		{Order: 50, Name: "offsite", Middleware: Offsite},
		{Order: 100, Name: "robots", Middleware: Robots},
		{Order: 300, Name: "httpauth", Middleware: HTTPAuth},
		{Order: 400, Name: "headers", Middleware: Headers},
		{Order: 500, Name: "useragent", Middleware: UserAgent},
		{Order: 550, Name: "retry", Middleware: Retry},
		{Order: 580, Name: "metarefresh", Middleware: MetaRefresh},
		{Order: 590, Name: "compression", Middleware: Compression},
		{Order: 600, Name: "redirect", Middleware: Redirect},
		{Order: 700, Name: "cookies", Middleware: Cookies},
		{Order: 750, Name: "httpproxy", Middleware: HTTPProxy},
		{Order: 850, Name: "stats", Middleware: Stats},
		{Order: 900, Name: "httpcache", Middleware: HTTPCache},
		{Order: 940, Name: "retryafter", Middleware: RetryAfter},
		{Order: 950, Name: "breaker", Middleware: Breaker},
		{Order: 960, Name: "autothrottle", Middleware: AutoThrottle},
	}
}

// Spider returns the built-in spider middlewares, in Scrapy's order: lower ones are nearer to the engine. They see a response in this order, and what the spider
// makes of it in the opposite one.
func Spider() []crawl.SpiderLayer {
	return []crawl.SpiderLayer{
		{Order: 25, Name: "start", Middleware: Start},
		{Order: 50, Name: "httperror", Middleware: HTTPError},
		{Order: 700, Name: "referer", Middleware: Referer},
		{Order: 800, Name: "urllength", Middleware: URLLength},
		{Order: 900, Name: "depth", Middleware: Depth},
		{Order: 950, Name: "offsite", Middleware: OffsiteLinks},
	}
}

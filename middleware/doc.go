// Package middleware holds the layers between the engine and the downloader, and those between the engine and the spider: one concern, one file, one constructor.
//
// A downloader middleware wraps a [crawl.Fetcher]. [Build] puts the built-in ones and those of Settings.Middlewares around the downloader, as a [Chain]. Lower orders are
// nearer to the engine: a request goes from the lowest to the highest, its response comes back the other way.
//
//	order  name         settings                   the request's own                        stats
//	   50  offsite      Spider.AllowedDomains      AllowOffsite, DontFilter                 offsite/domains, offsite/filtered
//	  100  robots       Robots                     IgnoreRobots                             robotstxt/…
//	  400  headers      DefaultHeaders             Header                                   none
//	  500  useragent    UserAgent                  Header                                   none
//	  550  retry        Retry                      DontRetry, RetryTimes                    retry/…
//	  590  compression  Compression, Download      Header, MaxSize                          httpcompression/…
//	  600  redirect     Redirect, Referer.Policy   DontRedirect, Handle(All)Status          none
//	  700  cookies      Cookies                    CookieJar, DontMergeCookies, Header      none
//	  850  stats        none                       none                                     downloader/…
//
// A spider middleware is a set of hooks. [BuildSpider] puts them together as [Hooks]. A response goes from the lowest order to the highest; what the spider makes of it,
// requests, items and errors, goes the other way.
//
//	order  name         settings                   the request's own                        stats
//	   50  httperror    HTTPError                  HandleStatus, HandleAllStatus            httperror/…
//	  700  referer      Referer                    ReferrerPolicy, Header                   none
//	  800  urllength    URLLength                  none                                     urllength/request_ignored_count
//	  900  depth        Depth                      none                                     request_depth_…, depth/request_ignored_count
//	  950  offsite      Spider.AllowedDomains      AllowOffsite, DontFilter                 offsite/domains, offsite/filtered
//
// Orders, names and stats are Scrapy's, except that its offsite filter for links is not a spider middleware any more.
//
// # A layer of your own
//
// It is a [crawl.Middleware], put into Settings.Middlewares with an order: see the example of [Build]. It is called once per crawl; what it returns is called by many
// goroutines at once. It may set headers of the request in hand, whose map is never nil and the chain's own, and changes nothing else of it: what is to be asked
// again, or differently, it returns as [crawl.Reschedule] of a copy. Nothing sleeps in a chain. A layer that turns a response into an error closes the response.
package middleware

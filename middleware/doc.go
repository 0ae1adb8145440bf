// Package middleware holds the layers between the engine and the downloader, and those between the engine and the spider: one concern, one file, one constructor.
//
// A downloader middleware wraps a [crawl.Fetcher]. [Build] puts the built-in ones and those of Settings.Middlewares around the downloader, as a [Chain]. Lower orders are
// nearer to the engine: a request goes from the lowest to the highest, its response comes back the other way.
//
//	order  name          settings                                         the request's own                                    stats              Scrapy's
//	   50  offsite       Spider.AllowedDomains, Media.ObeyAllowedDomains  AllowOffsite, DontFilter                             offsite/…          OffsiteMiddleware
//	  100  robots        Robots, UserAgent, UserAgents                    IgnoreRobots, Header                                 robotstxt/…        RobotsTxtMiddleware
//	  300  httpauth      HTTPAuth                                         HTTPUser, HTTPPassword, HTTPAuthDomain, Header, URL  none               HttpAuthMiddleware
//	  400  headers       DefaultHeaders                                   Header                                               none               DefaultHeadersMiddleware
//	  500  useragent     UserAgent, UserAgents                            Header                                               none               UserAgentMiddleware
//	  550  retry         Retry                                            DontRetry, RetryTimes, PriorityAdjust, GiveUpLevel   retry/…            RetryMiddleware
//	  580  metarefresh   MetaRefresh, Redirect, Referer                   DontRefresh, DontRedirect                            none               MetaRefreshMiddleware
//	  590  compression   Compression, Download.MaxSize                    Header, MaxSize, StopAfter                           httpcompression/…  HttpCompressionMiddleware
//	  600  redirect      Redirect, Referer.Policy, URLLength              DontRedirect, HandleStatus, HandleAllStatus          urllength/…        RedirectMiddleware
//	  700  cookies       Cookies                                          CookieJar, DontMergeCookies, Header                  none               CookiesMiddleware
//	  750  httpproxy     Proxy                                            Proxy                                                proxy/…            HttpProxyMiddleware
//	  850  stats         none                                             none                                                 downloader/…       DownloaderStats
//	  900  httpcache     HTTPCache                                        DontCache                                            httpcache/…        HttpCacheMiddleware
//	  940  retryafter    Retry                                            none                                                 none               none
//	  950  breaker       Breaker                                          none                                                 breaker/…          none
//	  960  autothrottle  AutoThrottle, Slots                              DontAdjustDelay                                      none               AutoThrottle (an extension)
//
// A spider middleware is a set of hooks. [BuildSpider] puts them together as [Hooks]. A response goes from the lowest order to the highest; what the spider makes of it,
// requests, items and errors, goes the other way.
//
//	order  name       settings               the request's own              stats                     Scrapy's
//	   25  start      none                   IsStart                        none                      StartSpiderMiddleware
//	   50  httperror  HTTPError              HandleStatus, HandleAllStatus  httperror/…               HttpErrorMiddleware
//	  700  referer    Referer                ReferrerPolicy, Header         none                      RefererMiddleware
//	  800  urllength  URLLength              none                           urllength/…               UrlLengthMiddleware
//	  900  depth      Depth                  DepthReset                     request_depth_…, depth/…  DepthMiddleware
//	  950  offsite    Spider.AllowedDomains  AllowOffsite, DontFilter       offsite/…                 OffsiteMiddleware
//
// Orders, names and stats are Scrapy's, except that its offsite filter for links is not a spider middleware any more. Its DownloadTimeoutMiddleware is not needed: the
// downloader reads Download.Timeout and the request's Timeout itself. Nor is MetaCopyDetectionMiddleware: what Scrapy keeps beside the user's data in one dict is in two
// places here.
//
// # What Scrapy keeps in meta
//
// The user's own values are Request.Data. What Scrapy itself reads there are fields of [crawl.Knobs], unless it says otherwise here:
//
//	meta key                        here
//	allow_offsite                   AllowOffsite
//	autothrottle_dont_adjust_delay  DontAdjustDelay
//	bindaddress                     BindAddress, one text: an address, perhaps with a port
//	cookiejar                       CookieJar, a name
//	depth                           Request.Depth
//	depth_reset                     DepthReset
//	dont_cache                      DontCache
//	dont_merge_cookies              DontMergeCookies
//	dont_obey_robotstxt             IgnoreRobots
//	dont_redirect                   DontRedirect, and DontRefresh for pages that refresh themselves
//	dont_retry                      DontRetry
//	download_fail_on_dataloss       AllowTruncated, of the opposite sense
//	download_latency                Response.Timing
//	download_maxsize                MaxSize
//	download_slot                   Slot
//	download_timeout                Timeout
//	download_warnsize               WarnSize
//	ftp_user, ftp_password          none: the URL has them, or FTP.User and FTP.Password
//	ftp_passive                     none: data connections are always passive
//	ftp_local_filename              none: a large body is a file already, and FilesPipeline keeps files
//	give_up_log_level               GiveUpLevel
//	handle_httpstatus_all           HandleAllStatus
//	handle_httpstatus_list          HandleStatus
//	http_user, http_pass            HTTPUser, HTTPPassword
//	http_auth_domain                HTTPAuthDomain
//	is_start_request                Request.IsStart
//	max_retry_times                 RetryTimes; 0 is said by DontRetry
//	priority_adjust                 PriorityAdjust
//	proxy                           Proxy; None is "direct"
//	redirect_urls, redirect_times   Request.Redirects and their number
//	redirect_reasons                none: the log has them, at level debug
//	redirect_ttl                    none: Redirect.Times
//	referrer_policy                 ReferrerPolicy
//	verbatim_url                    Request.Key, which takes the place of the URL as the fingerprint
//
// # A layer of your own
//
// It is a [crawl.Middleware], put into Settings.Middlewares with an order: see the example of [Build]. It is called once per crawl; what it returns is called by many
// goroutines at once. It may set headers of the request in hand, whose map is never nil and the chain's own, and changes nothing else of it: what is to be asked
// again, or differently, it returns as [crawl.Reschedule] of a copy. Nothing sleeps in a chain. A layer that turns a response into an error closes the response.
package middleware

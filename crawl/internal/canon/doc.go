// Package canon turns links as they stand in pages into URLs that can be asked for, and says when two URLs are the same request.
//
// A link comes in through [Parse] or [Resolve], which are as lenient as a browser about tabs, backslashes, spaces and hosts in any
// script, and which percent-encode what is left by the rules of w3lib's safe_url_string. So the URL's String is what Scrapy's
// Request.url would be, and names that are made from it, such as those of stored pictures, agree with Scrapy's.
//
// [Canonical] is w3lib's canonicalize_url, and [Fingerprint] is the hash that Scrapy makes of it. They take any *url.URL, also
// one that net/url parsed.
//
// All of it runs for every link of every page. A URL without anything unusual is cut into pieces of the string that it came in,
// without a copy; a byte table tells in one pass which URLs those are. The results therefore keep that string alive.
package canon

// Package spiders has kinds of spiders: what many sites ask for in the same way, so that a spider of one's own is the part that differs.
//
// Each kind is a function that takes an ordinary [crawl.Spider], which says its name, domains, routes and settings, and what the kind needs beside it. It returns a
// *crawl.Spider to crawl, whose fields may still be set:
//
//	spider := spiders.Crawl(crawl.Spider{
//		Name:      "books",
//		StartURLs: []string{"https://books.toscrape.com/"},
//		Routes:    map[string]crawl.Callback{"book": parseBook},
//	},
//		spiders.Rule{Links: &links.Extractor{RestrictCSS: []string{"article.product_pod h3"}}, Route: "book"},
//		spiders.Rule{Links: &links.Extractor{RestrictCSS: []string{"li.next"}}},
//	)
//
// What is wrong with a kind's own options (a pattern that does not compile, a rule whose route does not exist) is found by [crawl.Spider.Verify] before the crawl
// starts, all of it at once.
//
// # Where things are
//
//	crawl.go     Crawl: follows links by rules
//	sitemap.go   Sitemap: asks for what a site's sitemaps name; sitemapread.go reads one, entry by entry
//	urls.go      URLs: starts with the lines of a file or of stdin; urlsread.go reads them
//	xmlfeed.go   XMLFeed: reads XML, element by element
//	csvfeed.go   CSVFeed: reads tables, row by row; csvread.go reads the rows, feed.go is what both feeds share
//	text.go      a stream of text, whatever its compression and charset
//	links/       link extractors, for Crawl and for callbacks
//	loader/      item loaders, for callbacks
//	bundled/     the spiders that come with the binary, as models
//
// # Memory
//
// Sitemaps and lists are read as streams, so that their length costs no memory. What they name waits in the crawl's queue, which a job keeps on disk.
package spiders

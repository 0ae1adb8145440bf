// Package links finds the links of a page. An [Extractor] says which: its zero value takes what Scrapy's LinkExtractor takes, the href of every <a> and <area> but those
// of files that are no pages.
//
//	next := &links.Extractor{RestrictCSS: []string{"li.next"}}
//	found, err := next.Extract(resp)
//
// Spiders that only follow need less: crawl.Out.FollowAll. Spiders made of rules (spiders.Crawl) take an Extractor each.
//
// # Files
//
//	extractor.go   Extractor, Link: what is taken
//	filter.go      which addresses are let through
//	walk.go        the walk over the tree
//	extensions.go  IgnoredExtensions
//	canonical.go   Canonical: the address that a page says is its own
package links

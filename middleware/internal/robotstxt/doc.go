// Package robotstxt reads robots.txt and says which paths of its site a crawler may fetch.
//
// The rules are RFC 9309's. Where the RFC is silent, they are those of Google's open-source parser, because that is the parser
// that webmasters test their files with: misspelled directives count, a colon may be missing, a rule that allows index.html allows its
// directory, a very long line is cut. Where the two differ, the RFC wins; the test of Google's cases lists every difference.
//
// Parse reads the file once. Robots.Agent selects what concerns one crawler, as a Rules value that is small, immutable, and made to be
// kept per host and asked for every page:
//
//	rules := robotstxt.Parse(body).Agent("mybot/1.0 (+https://example.com/bot)")
//	if !rules.Allowed(u) { … }
//
// What a missing or unreachable robots.txt means (RFC 9309, section 2.3.1) is for the caller to decide: Parse(nil) allows everything.
package robotstxt

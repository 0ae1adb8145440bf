package links

import (
	"errors"
	"strings"
	"sync"

	"github.com/tulle-go/tulle/crawl"
)

// An Extractor says which links of a page are taken. The zero value takes the href of every <a> and <area>, each address once, of the schemes http, https, ftp and file, but
// those that end in one of [IgnoredExtensions]. A link has to pass all that is set.
//
// Patterns are Go's regular expressions (https://golang.org/s/re2syntax), which match anywhere unless they are anchored: what Python has beside them, such as (?!…), is
// said by Deny. An Extractor is compiled at its first use; from then on it is not to be changed or copied. It is safe for concurrent use.
type Extractor struct {
	// Allow are patterns, one of which the absolute address must match. Empty: any address.
	Allow []string
	// Deny are patterns that the address must not match. They win over Allow.
	Deny []string
	// AllowDomains are the only ones that links may lead to, subdomains included; "example.com:8080" is that port alone. Empty: any.
	AllowDomains []string
	// DenyDomains are those that they may not lead to, subdomains included.
	DenyDomains []string
	// DenyExtensions are the ends of paths that are left out, without their first dot. nil is [IgnoredExtensions]; empty and not nil is none.
	DenyExtensions []string
	// RestrictCSS and RestrictXPath select the regions of the page in which links are looked for, those that stand in several once. Empty: the whole page.
	RestrictCSS   []string
	RestrictXPath []string
	// RestrictText are patterns, one of which the link's text must match, as Link.Text has it. Empty: any text.
	RestrictText []string
	// Tags and Attrs are the elements and attributes that hold links; "*" is every one. Empty: a and area, href. A srcset is taken apart.
	Tags  []string
	Attrs []string
	// DenyTags and DenyAttrs are those that do not, for use with "*".
	DenyTags  []string
	DenyAttrs []string
	// ProcessValue is given what stands in the attribute: the address, made absolute, or the value as it is if that is none (javascript:…). What it returns is taken in its
	// place, made absolute if it is not; false leaves the link out. It comes before all patterns. nil: values are taken as they are.
	ProcessValue func(value string) (string, bool)
	// NoStrip leaves the space around a value to ProcessValue. An address has none in any case.
	NoStrip bool
	// Canonicalize makes addresses canonical ([crawl.CanonicalURL]): queries sorted, no fragment. A server may answer such an address differently, so it is not for links
	// that are followed: those are compared in that form anyhow.
	Canonicalize bool
	// NotUnique keeps links to an address that was there before.
	NotUnique bool
	// ObeyNoFollow leaves out links that say rel="nofollow", and all of a page that says so in <meta name="robots"> or X-Robots-Tag. Else they are taken, and say so.
	ObeyNoFollow bool
	// CanonicalLink takes the page's own canonical address too (see [Canonical]), as its first link, where it is another one.
	CanonicalLink bool

	once sync.Once
	plan *plan // set by once
	err  error // set by once
}

// A Link is one that was found on a page.
type Link struct {
	// URL is absolute, with its fragment.
	URL string
	// Text is that of the element, trimmed, runs of white space made one space; of a text of more than 16 KiB, or of more than 2,000 nodes, it is the beginning.
	Text string
	// Fragment is what follows the # in URL, as it stands there.
	Fragment string
	// NoFollow says that the element has rel="nofollow".
	NoFollow bool
	// ReferrerPolicy is what the element says of the Referer of a request for it, rel="noreferrer" being "no-referrer"; "" if it says nothing. See [crawl.Node.ReferrerPolicy].
	ReferrerPolicy string
}

// Compile returns all that keeps the Extractor from working: malformed patterns and selectors. spiders.Crawl asks before the crawl starts; others may.
func (e *Extractor) Compile() error {
	e.once.Do(func() { e.plan, e.err = compile(e) })
	return e.err
}

// Extract returns the links of an HTML page, in document order. The error is that of Compile, or says why the page could not be read; what is left is what was found.
func (e *Extractor) Extract(r *crawl.Response) ([]Link, error) {
	if err := e.Compile(); err != nil {
		return nil, err
	}
	w := walk{Extractor: e, plan: e.plan, resp: r}
	if !e.NotUnique {
		w.seen = make(map[string]struct{})
	}
	err := w.page()
	return w.links, err
}

// Matches reports whether an address would pass Allow, Deny and the domains: whether another page's link to it could be taken. A malformed Extractor matches nothing.
func (e *Extractor) Matches(address string) bool {
	if e.Compile() != nil {
		return false
	}
	u := crawl.Get(address).URL
	return u != nil && e.plan.domains(u) && e.plan.patterns(address)
}

// checkSelectors finds malformed selectors by trying them out on an empty page.
func checkSelectors(e *Extractor) error {
	var errs []error
	try := func(use func(*crawl.Response)) {
		r := &crawl.Response{Body: crawl.BytesBody([]byte("<html>"))}
		use(r)
		if err := r.Err(); err != nil {
			errs = append(errs, err)
		}
	}
	for _, s := range e.RestrictCSS {
		try(func(r *crawl.Response) {
			if strings.TrimSpace(s) == "" {
				errs = append(errs, errors.New("css selector is empty"))
				return
			}
			r.CSS(s)
		})
	}
	for _, x := range e.RestrictXPath {
		try(func(r *crawl.Response) { r.XPath(x) })
	}
	return errors.Join(errs...)
}

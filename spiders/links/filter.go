package links

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// plan is what an Extractor is compiled to.
type plan struct {
	allow, deny, text []*regexp.Regexp
	allowDomains      map[string]struct{}
	denyDomains       map[string]struct{}
	extensions        map[string]struct{}
	longest           int // extension
	tags, attrs       names
	restricted        bool
}

// names are those of tags or attributes.
type names struct {
	all      bool
	has, not map[string]struct{}
}

func newNames(allowed, denied []string, usual ...string) names {
	if len(allowed) == 0 {
		allowed = usual
	}
	n := names{has: set(allowed, strings.ToLower), not: set(denied, strings.ToLower)}
	_, n.all = n.has["*"]
	return n
}

func (n *names) match(name string) bool {
	if _, ok := n.has[name]; !ok && !n.all {
		return false
	}
	_, denied := n.not[name]
	return !denied
}

func set(list []string, clean func(string) string) map[string]struct{} {
	m := make(map[string]struct{}, len(list))
	for _, s := range list {
		m[clean(strings.TrimSpace(s))] = struct{}{}
	}
	return m
}

func compile(e *Extractor) (*plan, error) {
	var errs []error
	patterns := func(field string, sources []string) []*regexp.Regexp {
		var all []*regexp.Regexp
		for _, s := range sources {
			re, err := regexp.Compile(s)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: pattern %q: %w%s", field, s, strip(err), lookaround(s)))
				continue
			}
			all = append(all, re)
		}
		return all
	}
	domain := func(s string) string { return strings.Trim(strings.ToLower(s), ".") }
	p := &plan{
		allow: patterns("Allow", e.Allow), deny: patterns("Deny", e.Deny), text: patterns("RestrictText", e.RestrictText),
		allowDomains: set(e.AllowDomains, domain), denyDomains: set(e.DenyDomains, domain),
		tags: newNames(e.Tags, e.DenyTags, "a", "area"), attrs: newNames(e.Attrs, e.DenyAttrs, "href"),
		restricted: len(e.RestrictCSS)+len(e.RestrictXPath) > 0,
	}
	for _, list := range [][]string{e.AllowDomains, e.DenyDomains} {
		for _, d := range list {
			if strings.Contains(d, "/") || strings.TrimSpace(d) == "" {
				errs = append(errs, fmt.Errorf("domain %q is none: want a name such as example.com", d))
			}
		}
	}
	extensions := e.DenyExtensions
	if extensions == nil {
		extensions = IgnoredExtensions()
	}
	p.extensions = set(extensions, func(s string) string { return strings.TrimPrefix(strings.ToLower(s), ".") })
	for ext := range p.extensions {
		p.longest = max(p.longest, len(ext))
	}
	errs = append(errs, checkSelectors(e))
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("link extractor: %w", err)
	}
	return p, nil
}

// strip takes the words that all errors of package regexp begin with.
func strip(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "error parsing regexp: "))
}

// lookaround helps those who bring a pattern from Python.
func lookaround(pattern string) string {
	for _, s := range []string{"(?!", "(?=", "(?<!", "(?<="} {
		if strings.Contains(pattern, s) {
			return " (Go has no look-around: say it with Deny)"
		}
	}
	return ""
}

// address reports whether an address may be taken.
func (p *plan) address(u *url.URL, text string) bool {
	switch u.Scheme {
	case "http", "https", "ftp", "file":
	default:
		return false
	}
	return p.domains(u) && !p.extension(u) && p.patterns(text)
}

func (p *plan) patterns(address string) bool {
	return (len(p.allow) == 0 || matches(p.allow, address)) && !matches(p.deny, address)
}

func (p *plan) domains(u *url.URL) bool {
	return (len(p.allowDomains) == 0 || within(p.allowDomains, u)) && (len(p.denyDomains) == 0 || !within(p.denyDomains, u))
}

func matches(patterns []*regexp.Regexp, s string) bool {
	for _, re := range patterns {
		if re.MatchString(s) {
			return true
		}
	}
	return false
}

// within reports whether a host is one of domains, or in it.
func within(domains map[string]struct{}, u *url.URL) bool {
	host, port := strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), u.Port()
	for rest := host; rest != ""; {
		if _, ok := domains[rest]; ok {
			return true
		}
		if port != "" {
			if _, ok := domains[rest+":"+port]; ok {
				return true
			}
		}
		_, rest, _ = strings.Cut(rest, ".")
	}
	return false
}

// extension reports whether the path ends in one that is left out.
func (p *plan) extension(u *url.URL) bool {
	path := u.Path
	for end := len(path); ; {
		end = strings.LastIndexByte(path[:end], '.')
		if end < 0 || len(path)-end-1 > p.longest {
			return false
		}
		if _, ok := p.extensions[strings.ToLower(path[end+1:])]; ok {
			return true
		}
	}
}

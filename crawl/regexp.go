package crawl

import (
	"fmt"
	"regexp"
)

// Re is what a regular expression finds in the body's text, markup and all: of each match the group that is called "extract", (?P<extract>…), else all its
// groups, else the whole. The syntax is Go's. A malformed one finds nothing and is reported by Err.
func (r *Response) Re(pattern string) []string {
	var all []string
	r.re(pattern, func(s string) bool { all = append(all, s); return true })
	return all
}

// ReFirst is the first that Re finds, "" if there is none.
func (r *Response) ReFirst(pattern string) (first string) {
	r.re(pattern, func(s string) bool { first = s; return false })
	return first
}

func (r *Response) re(pattern string, f func(string) bool) {
	re, err := r.Selectors.compileRegexp(pattern)
	if err != nil {
		r.fail(err)
		return
	}
	text, err := r.Decoded()
	if err != nil {
		r.fail(err)
		return
	}
	findRe(re, text, f)
}

// Re is what a regular expression finds in the node's text, as [Node.Text] has it and [Response.Re] takes it apart.
func (n Node) Re(pattern string) []string { return Nodes{n}.Re(pattern) }

// ReFirst is the first that Re finds, "" if there is none.
func (n Node) ReFirst(pattern string) string { return Nodes{n}.ReFirst(pattern) }

// Re is what a regular expression finds in the texts of the nodes, one after the other.
func (ns Nodes) Re(pattern string) []string {
	var all []string
	ns.re(pattern, func(s string) bool { all = append(all, s); return true })
	return all
}

// ReFirst is the first that Re finds, "" if there is none.
func (ns Nodes) ReFirst(pattern string) (first string) {
	ns.re(pattern, func(s string) bool { first = s; return false })
	return first
}

func (ns Nodes) re(pattern string, f func(string) bool) {
	for _, n := range ns {
		re, err := n.selectors().compileRegexp(pattern)
		if err != nil {
			n.fail(err)
			return
		}
		if !findRe(re, n.Text(), f) {
			return
		}
	}
}

// findRe calls f with what re finds, until it returns false.
func findRe(re *regexp.Regexp, text string, f func(string) bool) bool {
	first := re.FindStringSubmatchIndex(text)
	if first == nil {
		return true
	}
	if !groups(re, text, first, f) {
		return false
	}
	for _, m := range re.FindAllStringSubmatchIndex(text, -1)[1:] {
		if !groups(re, text, m, f) {
			return false
		}
	}
	return true
}

// groups calls f with what is wanted of a match, until it returns false.
func groups(re *regexp.Regexp, text string, m []int, f func(string) bool) bool {
	from, to := 0, 0
	switch extract := re.SubexpIndex("extract"); {
	case extract > 0:
		from, to = extract, extract
	case re.NumSubexp() > 0:
		from, to = 1, re.NumSubexp()
	}
	for i := from; i <= to; i++ {
		found := ""
		if m[2*i] >= 0 {
			found = text[m[2*i]:m[2*i+1]]
		}
		if !f(found) {
			return false
		}
	}
	return true
}

func (s *Selectors) compileRegexp(pattern string) (*regexp.Regexp, error) {
	var k *kept[string, *regexp.Regexp]
	if s != nil {
		k = &s.regexp
	}
	re, err := k.get(pattern, func() (*regexp.Regexp, error) { return regexp.Compile(pattern) })
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", pattern, err)
	}
	return re, nil
}

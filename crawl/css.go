package crawl

import (
	"fmt"
	"iter"
	"strings"
	"sync"

	"github.com/andybalholm/cascadia"
	"golang.org/x/net/html"
)

// cssSelector is a list of selectors, and what is to be taken of the elements that each of them matches.
type cssSelector struct {
	groups []*cssGroup
}

// cssGroup is one selector of a list.
type cssGroup struct {
	match cascadia.Selector // nil if it needs parts on any tree: it is relative to a scope, or names a namespace
	parts []cssPart
	take  take
	attr  string
	key   cssKey

	once sync.Once // for what parts need, which most selectors never do
}

type take int

const (
	takeText    take = iota // all text below the element
	takeOwnText             // ::text
	takeAttr                // ::attr(name)
)

// cssPart is one compound of a selector, "a.b:first-child", as it is matched where names count as they are written: in trees of XML.
type cssPart struct {
	comb byte   // how it stands to the part before, or to the scope: ' ', '>', '+' or '~'; 0 for a first part that may stand anywhere
	tag  string // with its prefix; "*" is any name, "*:x" any prefix
	rest string // ".b:first-child"
	test cascadia.Selector
}

// cssKey is what an element must have to match, so that few need to be looked at: the last one's id, class or name. The zero key is none.
type cssKey struct {
	kind byte // '#', '.' or 't'
	name string
}

func parseCSS(selector string) (*cssSelector, error) {
	c := &cssSelector{}
	groups, err := splitCSS(selector)
	if err != nil {
		return nil, fmt.Errorf("css selector %q: %w", selector, err)
	}
	for _, span := range groups {
		g, err := parseGroup(selector, span)
		if err != nil {
			return nil, fmt.Errorf("css selector %q: %w", selector, err)
		}
		c.groups = append(c.groups, g)
	}
	return c, nil
}

// at says where in a selector or expression something is wrong: the bytes before it.
func at(before int, format string, args ...any) error {
	return fmt.Errorf("at character %d: %w", before+1, fmt.Errorf(format, args...))
}

// cssScanner goes through a selector and knows what is inside brackets and quotes.
type cssScanner struct {
	s    string
	i    int
	open []byte // brackets
}

// next returns the position and byte of the next character that is outside of brackets, quotes and escapes; false at the end.
func (c *cssScanner) next() (pos int, char byte, ok bool, err error) {
	for c.i < len(c.s) {
		pos, char = c.i, c.s[c.i]
		c.i++
		switch char {
		case '\\':
			c.i = min(c.i+1, len(c.s))
			if len(c.open) == 0 {
				return pos, char, true, nil
			}
		case '"', '\'':
			end := c.i
			for end < len(c.s) && c.s[end] != char {
				if c.s[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(c.s) {
				return pos, char, false, at(pos, "the string is not closed")
			}
			c.i = end + 1
		case '/':
			if strings.HasPrefix(c.s[c.i:], "*") {
				end := strings.Index(c.s[c.i+1:], "*/")
				if end < 0 {
					return pos, char, false, at(pos, "the comment is not closed")
				}
				c.i += 1 + end + 2
			}
		case '[', '(':
			closing := byte(']')
			if char == '(' {
				closing = ')'
			}
			c.open = append(c.open, closing)
			if len(c.open) == 1 {
				return pos, char, true, nil
			}
		case ']', ')':
			if len(c.open) == 0 || c.open[len(c.open)-1] != char {
				return pos, char, false, at(pos, "%q closes nothing", char)
			}
			c.open = c.open[:len(c.open)-1]
		default:
			if len(c.open) == 0 {
				return pos, char, true, nil
			}
		}
	}
	if len(c.open) > 0 {
		return len(c.s), 0, false, at(len(c.s), "expected '%c', found the end", c.open[len(c.open)-1])
	}
	return len(c.s), 0, false, nil
}

// splitCSS finds the selectors of a list: where each begins and ends.
func splitCSS(selector string) ([][2]int, error) {
	var groups [][2]int
	start := 0
	for sc := (cssScanner{s: selector}); ; {
		pos, char, ok, err := sc.next()
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return append(groups, [2]int{start, len(selector)}), nil
		case char == ',':
			groups = append(groups, [2]int{start, pos})
			start = pos + 1
		}
	}
}

func parseGroup(selector string, span [2]int) (*cssGroup, error) {
	g := &cssGroup{}
	plain, pseudo, err := g.pseudo(selector[span[0]:span[1]], span[0])
	if err != nil {
		return nil, err
	}
	text := strings.TrimSpace(plain)
	if text == "" && pseudo == "" {
		return nil, at(span[0], "expected a selector, found nothing")
	}
	if pseudo != "" && (text == "" || plain != strings.TrimRight(plain, " \t\r\n\f") || strings.HasSuffix(text, ">")) {
		text = strings.TrimSpace(text + " *")
	}
	begins := span[0] + len(plain) - len(strings.TrimLeft(plain, " \t\r\n\f"))
	var named bool
	if g.parts, named, err = splitParts(text, begins); err != nil {
		return nil, err
	}
	if g.parts[0].comb != 0 || named {
		g.prepare() // which finds what is malformed
		for _, p := range g.parts {
			if p.test == nil {
				_, err := cascadia.Compile("*" + p.rest)
				return nil, at(begins+max(0, strings.Index(text, p.rest)), "%w", err)
			}
		}
		return g, nil
	}
	m, err := cascadia.Compile(text)
	if err != nil {
		return nil, whereCSS(text, begins, err)
	}
	g.match = m
	last := g.parts[len(g.parts)-1]
	g.key = keyOf(last)
	return g, nil
}

// whereCSS works out where cascadia stopped, which it does not say: it reads from left to right, so the shortest beginning that fails in the same way ends
// there.
func whereCSS(text string, begins int, err error) error {
	for i := range len(text) {
		if _, other := cascadia.Compile(text[:i+1]); other != nil && other.Error() == err.Error() {
			return at(begins+i, "%w", err)
		}
	}
	return at(begins+len(text), "%w", err)
}

// pseudo finds the ::text or ::attr(name) at the end of a selector. Both are ours; CSS has others, which nothing on a page matches.
func (g *cssGroup) pseudo(s string, begins int) (plain, pseudo string, err error) {
	for sc := (cssScanner{s: s}); ; {
		pos, char, ok, err := sc.next()
		if err != nil {
			return "", "", at(begins, "%w", err)
		}
		if !ok {
			return s, "", nil
		}
		if char != ':' || !strings.HasPrefix(s[pos:], "::") {
			continue
		}
		pseudo = strings.TrimSpace(s[pos:])
		name, isAttr := strings.CutPrefix(pseudo, "::attr(")
		switch {
		case pseudo == "::text":
			g.take = takeOwnText
		case isAttr && strings.HasSuffix(name, ")"):
			g.take, g.attr = takeAttr, strings.Trim(strings.TrimSpace(strings.TrimSuffix(name, ")")), `"'`)
			g.attr = strings.Replace(g.attr, "|", ":", 1)
			if g.attr == "" || strings.ContainsAny(g.attr, " \t\n()[]>\"'") {
				return "", "", at(begins+pos, "%s does not name an attribute", pseudo)
			}
		default:
			return "", "", at(begins+pos, "%s is neither ::text nor ::attr(name), or not at the end", pseudo)
		}
		return s[:pos], pseudo, nil
	}
}

// splitParts takes a selector apart at its combinators. named says that a part names a namespace.
func splitParts(s string, begins int) (parts []cssPart, named bool, err error) {
	var comb byte
	start := -1
	end := func(to int) {
		if start < 0 {
			return
		}
		if len(parts) > 0 || comb != 0 || s[start:to] != ":scope" {
			p := cssPart{comb: comb}
			var bar bool
			p.tag, p.rest, bar = splitTag(s[start:to])
			named = named || bar
			parts = append(parts, p)
		}
		comb, start = ' ', -1
	}
	for sc := (cssScanner{s: s}); ; {
		pos, char, ok, err := sc.next()
		if err != nil {
			return nil, false, at(begins, "%w", err)
		}
		if !ok {
			break
		}
		switch char {
		case ' ', '\t', '\r', '\n', '\f':
			end(pos)
		case '>', '+', '~':
			end(pos)
			if comb != 0 && comb != ' ' {
				return nil, false, at(begins+pos, "expected a selector, found %q", char)
			}
			comb = char
		default:
			if start < 0 {
				start = pos
			}
		}
	}
	end(len(s))
	if comb != ' ' && comb != 0 {
		return nil, false, at(begins+len(s), "expected a selector after %q, found the end", comb)
	}
	if len(parts) == 0 {
		return nil, false, at(begins, "expected a selector below the scope, found none")
	}
	return parts, named, nil
}

// splitTag splits a compound into the name of the element and the rest.
func splitTag(s string) (tag, rest string, bar bool) {
	var b strings.Builder
	i := 0
	for ; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
			continue
		case c == '|' && !bar:
			bar = true
			b.WriteByte(':')
			continue
		case c == '*' || isNameByte(c):
			b.WriteByte(c)
			continue
		}
		break
	}
	if tag = b.String(); tag == "" {
		tag = "*"
	}
	return strings.TrimPrefix(tag, ":"), s[i:], bar
}

func isNameByte(c byte) bool {
	return c >= 0x80 || c == '-' || c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// keyOf finds what an element must have to match a compound. What is not plain has no key.
func keyOf(p cssPart) cssKey {
	var key cssKey
	if p.tag != "*" {
		for i := range len(p.tag) {
			if !isNameByte(p.tag[i]) || p.tag[i] >= 0x80 {
				return key
			}
		}
		key = cssKey{'t', strings.ToLower(p.tag)}
	}
	for rest := p.rest; rest != "" && (rest[0] == '.' || rest[0] == '#'); {
		n := 1
		for n < len(rest) && isNameByte(rest[n]) {
			n++
		}
		if n == 1 || n < len(rest) && rest[n] == '\\' {
			break
		}
		if key.kind != '#' {
			key = cssKey{rest[0], rest[1:n]}
		}
		rest = rest[n:]
	}
	return key
}

// prepare compiles what the parts need.
func (g *cssGroup) prepare() {
	g.once.Do(func() {
		for i := range g.parts {
			if m, err := cascadia.Compile("*" + g.parts[i].rest); err == nil {
				g.parts[i].test = m
			}
		}
	})
}

// selects reports whether an element below scope is what the selector means. xml says that names count as they are written.
func (g *cssGroup) selects(scope, n *html.Node, xml bool) bool {
	if !xml && g.match != nil {
		return g.match(n)
	}
	g.prepare()
	return g.selectsPart(scope, n, len(g.parts)-1, xml)
}

func (g *cssGroup) selectsPart(scope, n *html.Node, i int, xml bool) bool {
	p := &g.parts[i]
	if n == nil || n.Type != html.ElementNode || !p.named(n, xml) || p.test == nil || p.rest != "" && !p.test(n) {
		return false
	}
	if i == 0 {
		switch p.comb {
		case '>':
			return n.Parent == scope
		case '+':
			return previousElement(n) == scope
		case '~':
			for s := previousElement(n); s != nil; s = previousElement(s) {
				if s == scope {
					return true
				}
			}
			return false
		}
		return true // what is below the scope is all that is asked
	}
	switch p.comb {
	case '>':
		return g.selectsPart(scope, n.Parent, i-1, xml)
	case '+':
		return g.selectsPart(scope, previousElement(n), i-1, xml)
	case '~':
		for s := previousElement(n); s != nil; s = previousElement(s) {
			if g.selectsPart(scope, s, i-1, xml) {
				return true
			}
		}
		return false
	}
	for up := n.Parent; up != nil; up = up.Parent {
		if g.selectsPart(scope, up, i-1, xml) {
			return true
		}
	}
	return false
}

func (p *cssPart) named(n *html.Node, xml bool) bool {
	name := n.Data
	if !xml {
		return p.tag == "*" || strings.EqualFold(p.tag, name) || strings.HasPrefix(p.tag, "*:") && strings.EqualFold(p.tag[2:], name) ||
			n.Namespace != "" && strings.EqualFold(p.tag, n.Namespace+":"+name)
	}
	if p.tag == "*" || p.tag == name {
		return true
	}
	prefix, local, ok := strings.Cut(p.tag, ":")
	if !ok {
		return false
	}
	has, named := splitName(name)
	return (prefix == "*" || prefix == has) && (local == "*" || local == named)
}

func previousElement(n *html.Node) *html.Node {
	for n = n.PrevSibling; n != nil && n.Type != html.ElementNode; {
		n = n.PrevSibling
	}
	return n
}

// below yields the elements below scope that one of the selectors matches, in document order, with the first one that matches; one that takes something else of
// the same element comes with it again. It looks no further than its caller does.
func (c *cssSelector) below(scope *html.Node) iter.Seq2[*html.Node, *cssGroup] {
	xml := isXMLTree(scope)
	return func(yield func(*html.Node, *cssGroup) bool) {
		if len(c.groups) == 1 {
			g := c.groups[0]
			top := scope
			if first := g.parts[0].comb; first == '+' || first == '~' {
				top = scope.Parent
			}
			if top == nil {
				return
			}
			for n := followingIn(top, top); n != nil; n = followingIn(n, top) {
				if n.Type == html.ElementNode && g.selects(scope, n, xml) && !yield(n, g) {
					return
				}
			}
			return
		}
		for n := followingIn(scope, scope); n != nil; n = followingIn(n, scope) {
			if n.Type != html.ElementNode {
				continue
			}
			for i, g := range c.groups {
				if g.selects(scope, n, xml) && !c.taken(scope, n, i, xml) && !yield(n, g) {
					return
				}
			}
		}
	}
}

// taken reports whether a selector before the i-th takes the same of an element.
func (c *cssSelector) taken(scope, n *html.Node, i int, xml bool) bool {
	for _, g := range c.groups[:i] {
		if g.take == c.groups[i].take && g.attr == c.groups[i].attr && g.selects(scope, n, xml) {
			return true
		}
	}
	return false
}

// isXMLTree reports whether a node stands in a tree of XML.
func isXMLTree(n *html.Node) bool {
	for n.Parent != nil {
		n = n.Parent
	}
	return n.Type == html.DocumentNode && n.Data == xmlRoot
}

// followingIn is the next node in document order below top, nil after the last.
func followingIn(n, top *html.Node) *html.Node {
	if n.FirstChild != nil {
		return n.FirstChild
	}
	for n != top && n.NextSibling == nil {
		if n = n.Parent; n == nil {
			return nil
		}
	}
	if n == top {
		return nil
	}
	return n.NextSibling
}

// value is what a selector takes of an element: its text, own text, or attribute; false if it has no such attribute.
func (g *cssGroup) value(n *html.Node) (string, bool) {
	switch g.take {
	case takeOwnText:
		return nodeText(n, false), true
	case takeAttr:
		return attribute(n, g.attr)
	}
	return nodeText(n, true), true
}

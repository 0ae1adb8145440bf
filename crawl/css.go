package crawl

import (
	"fmt"
	"iter"
	"strings"

	"golang.org/x/net/html"
)

// cssSelector is a list of selectors, and what is to be taken of the elements that each of them matches.
type cssSelector struct {
	groups  []*cssGroup
	beside  bool // one of them goes beside its scope
	nameLen int  // how long the name of all that it selects is, in bytes; 0: they have several, or none that is said
}

// cssGroup is one selector of a list.
type cssGroup struct {
	steps []cssStep
	take  take
	attr  string
	key   cssKey
}

type take int

const (
	takeText    take = iota // all text below the element
	takeOwnText             // ::text, the element's own text as one
	takeTexts               // " ::text", each text in it and in what stands in it by itself
	takeAttr                // ::attr(name)
)

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
		c.beside = c.beside || g.beside()
	}
	c.nameLen = c.oneName()
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
			c.i = escapeEnd(c.s, c.i)
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
			if c.open = c.open[:len(c.open)-1]; len(c.open) == 0 {
				return pos, char, true, nil
			}
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
	begins := span[0] + strings.Index(plain, text)
	switch {
	case text == "" && pseudo == "":
		return nil, at(span[0], "expected a selector, found nothing")
	case text == "", pseudo != "" && text == ":scope" && plain[len(plain)-1] != 'e':
		text = "*"
	case pseudo != "" && (isCSSSpace(plain[len(plain)-1]) || strings.IndexByte(">+~", plain[len(plain)-1]) >= 0):
		text += " *"
	}
	if g.steps, err = splitSteps(text, begins, 0); err != nil {
		return nil, err
	}
	if last := &g.steps[len(g.steps)-1]; pseudo != "" && last.tag == "*" && len(last.tests) == 0 && (last.comb == ' ' || last.comb == 0) {
		last.comb = orSelf
		if g.take == takeOwnText {
			g.take = takeTexts
		}
	}
	g.key = keyOf(g.steps)
	return g, nil
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

// splitSteps takes a selector apart at its combinators.
func splitSteps(s string, begins, depth int) (steps []cssStep, err error) {
	var comb byte
	start := -1
	end := func(to int) error {
		if start < 0 {
			return nil
		}
		if len(steps) > 0 || comb != 0 || s[start:to] != ":scope" {
			step, err := parseCompound(s[start:to], begins+start, depth)
			if err != nil {
				return err
			}
			step.comb = comb
			steps = append(steps, step)
		}
		comb, start = ' ', -1
		return nil
	}
	for sc := (cssScanner{s: s}); ; {
		pos, char, ok, err := sc.next()
		if err != nil {
			return nil, at(begins, "%w", err)
		}
		if !ok {
			break
		}
		switch char {
		case ' ', '\t', '\r', '\n', '\f':
			err = end(pos)
		case '>', '+', '~':
			if err = end(pos); err == nil && comb != 0 && comb != ' ' {
				err = at(begins+pos, "expected a selector, found %q", char)
			}
			comb = char
		default:
			if start < 0 {
				start = pos
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if err := end(len(s)); err != nil {
		return nil, err
	}
	if comb != ' ' && comb != 0 {
		return nil, at(begins+len(s), "expected a selector after %q, found the end", comb)
	}
	if len(steps) == 0 {
		return nil, at(begins, "expected a selector below the scope, found none")
	}
	return steps, nil
}

func isNameByte(c byte) bool {
	return c >= 0x80 || c == '-' || c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// keyOf finds what an element must have to match. What is relative to a scope has no key.
func keyOf(steps []cssStep) (key cssKey) {
	last := &steps[len(steps)-1]
	if steps[0].comb != 0 || last.comb == orSelf {
		return key
	}
	if last.tag != "*" && !last.prefixed {
		key = cssKey{'t', last.lower}
	}
	for i := range last.tests {
		if t := &last.tests[i]; (t.kind == '#' || t.kind == '.') && key.kind != '#' {
			key = cssKey{t.kind, t.name}
		}
	}
	return key
}

// onlyKey reports whether whatever has the key matches.
func (g *cssGroup) onlyKey() bool {
	last := &g.steps[len(g.steps)-1]
	return len(g.steps) == 1 && (g.key.kind == 't' && len(last.tests) == 0 || g.key.kind != 0 && g.key.kind != 't' && last.tag == "*" && len(last.tests) == 1)
}

// beside reports whether what the selector matches stands after the scope, not in it.
func (g *cssGroup) beside() bool { return g.steps[0].comb == '+' || g.steps[0].comb == '~' }

// orSelf reports whether the scope may be among what it matches, which is so for a ::text or ::attr(name) behind which nothing stands but the scope.
func (g *cssGroup) orSelf() bool { return g.steps[len(g.steps)-1].comb == orSelf }

// cssYield says what is wanted of a selector that takes texts.
type cssYield int

const (
	yieldValues   cssYield = iota // what takeTexts takes: each text that is more than white space; of all others the elements
	yieldNodes                    // each text, also for takeOwnText
	yieldElements                 // the elements, whatever is taken of them
)

// texts reports whether texts are wanted of a selector.
func (y cssYield) texts(g *cssGroup) bool {
	return y != yieldElements && (g.take == takeTexts || y == yieldNodes && g.take == takeOwnText)
}

// below yields what the selectors match below scope.
func (c *cssSelector) below(scope *html.Node) iter.Seq2[*html.Node, *cssGroup] {
	return c.walk(scope, yieldValues)
}

// walk yields the elements below scope that one of the selectors matches, or their texts, in document order, with the first selector that matches; what takes
// something else of the same element comes with it again. It looks no further than its caller does.
func (c *cssSelector) walk(scope *html.Node, y cssYield) iter.Seq2[*html.Node, *cssGroup] {
	return func(yield func(*html.Node, *cssGroup) bool) {
		m := newCSSMatcher(scope)
		c.each(&m, y, yield)
	}
}

func (c *cssSelector) each(m *cssMatcher, y cssYield, yield func(*html.Node, *cssGroup) bool) {
	top, beside := m.scope, false
	var past *html.Node // the first that does not stand in the scope
	if c.beside && top.Parent != nil {
		last := top
		for last.LastChild != nil {
			last = last.LastChild
		}
		top = top.Parent
		past = followingIn(last, top)
	}
	if g := c.groups[0]; c.nameLen > 0 && !y.texts(g) { // for speed: nearly all nodes are others
		for n := m.scope; n != nil; n = followingIn(n, top) {
			if len(n.Data) == c.nameLen && m.takes(n, g, y) && !yield(n, g) {
				return
			}
		}
		return
	}
	for n := m.scope; n != nil; n = followingIn(n, top) {
		beside = beside || past != nil && n == past
		if n.Type != html.ElementNode && n.Type != html.TextNode {
			continue
		}
		for i, g := range c.groups {
			if g.beside() == beside && m.takes(n, g, y) && !(i > 0 && c.taken(m, n, i, y)) && !yield(n, g) {
				return
			}
		}
	}
}

// takes reports whether a selector takes a node: an element, or a text that stands in one.
func (m *cssMatcher) takes(n *html.Node, g *cssGroup, y cssYield) bool {
	if n.Type == html.ElementNode {
		return !y.texts(g) && (n != m.scope || g.orSelf()) && m.match(n, g.steps)
	}
	in := n.Parent
	if !y.texts(g) || n == m.scope || in == m.scope && !g.orSelf() || y == yieldValues && strings.TrimSpace(n.Data) == "" {
		return false
	}
	if n.PrevSibling == nil {
		return m.match(in, g.steps)
	}
	asked := cssAsked{in, nil, g}
	ok, known := m.inside[asked]
	if !known {
		ok = m.match(in, g.steps)
		if m.inside == nil {
			m.inside = make(map[cssAsked]bool)
		}
		m.inside[asked] = ok
	}
	return ok
}

// taken reports whether a selector before the i-th takes the same of a node.
func (c *cssSelector) taken(m *cssMatcher, n *html.Node, i int, y cssYield) bool {
	g := c.groups[i]
	for _, before := range c.groups[:i] {
		same := before.take == g.take && before.attr == g.attr || y.texts(before) && y.texts(g)
		if same && before.beside() == g.beside() && m.takes(n, before, y) {
			return true
		}
	}
	return false
}

// oneName is the length of the only name that it takes.
func (c *cssSelector) oneName() int {
	g := c.groups[0]
	last := &g.steps[len(g.steps)-1]
	if len(c.groups) > 1 || c.beside || g.orSelf() || last.prefixed || last.tag == "*" {
		return 0
	}
	return len(last.tag)
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

// value is what a selector takes of an element: its text, own text, or attribute; false if it has no such attribute. Of a text it is the text.
func (g *cssGroup) value(n *html.Node) (string, bool) {
	if n.Type == html.TextNode {
		return foldSpace(n.Data), true
	}
	switch g.take {
	case takeOwnText, takeTexts:
		return nodeText(n, false), true
	case takeAttr:
		return attribute(n, g.attr)
	}
	return nodeText(n, true), true
}

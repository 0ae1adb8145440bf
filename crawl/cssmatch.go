package crawl

import (
	"strings"

	"golang.org/x/net/html"
)

// cssMatcher matches elements for as long as the tree does not change: from right to left, as browsers do. When the left side of a step fails for good, the steps
// that led there are given up too, instead of each trying every other element that it could have taken; and what took long to find out is remembered. So the
// time grows with the elements, not with a power of them for each step.
type cssMatcher struct {
	scope  *html.Node
	xml    bool // names count as they are written
	looked int  // elements that were looked at beside those that are walked over, which the tests hold down

	long    map[cssAsked]cssStatus // from an element upward
	beside  map[cssAsked]*cssBeside
	inside  map[cssAsked]bool // what :has has found, or which elements hold the text that is walked over
	places  map[*html.Node]cssPlace
	counted map[cssAsked]bool     // parents whose children :nth-child(of …) has counted
	chosen  map[cssAsked]cssPlace // where those of them stand that it counts
	langs   map[*html.Node]string // languages of elements that are far below those that say so
	texts   [2]*cssText           // of all below top, as it is and in lower case
	found   map[*cssTest][]int    // where in the text :contains has found what it looks for
	top     *html.Node            // the scope that is walked over, whatever scope is while :has looks
}

// cssText is the text of an element, and where in it that of each element below it is. An element's own text would be made for each that it stands in, else.
type cssText struct {
	text  string
	spans map[*html.Node][2]int
}

// cssPlain is how many elements are looked at for one answer before it is worth remembering. Most pages never get there.
const cssPlain = 64

// cssStatus says whether an element matches, and if not, what else may.
type cssStatus int

const (
	cssMatches       cssStatus = iota
	cssFails                   // This element does not.
	cssFailsSiblings           // Nor does any before it.
	cssFailsAll                // Nor does any that it stands in.
)

// cssAsked is a question that is remembered. What is relative to a scope has another answer for another scope.
type cssAsked struct {
	n, scope *html.Node
	by       any // *cssStep, *cssTest or *cssGroup
}

// cssPlace is where an element stands among its siblings, and among those of its name, from the first one, which is 1, and from the last.
type cssPlace struct{ child, ofType, lastChild, lastOfType int }

// cssBeside is what is known of the children of an element, from the first one on: which of them is the first that matches the left side of a "~".
type cssBeside struct {
	next  *html.Node // the first that was not looked at
	first int        // place of the first match, 0 if there is none yet
	all   bool       // cssFailsAll
}

func newCSSMatcher(scope *html.Node) cssMatcher {
	return cssMatcher{scope: scope, top: scope, xml: isXMLTree(scope)}
}

// match reports whether an element is what steps mean.
func (m *cssMatcher) match(n *html.Node, steps []cssStep) bool {
	return m.steps(n, steps) == cssMatches
}

func (m *cssMatcher) steps(n *html.Node, steps []cssStep) cssStatus {
	s := &steps[len(steps)-1]
	if n.Type != html.ElementNode || !m.compound(n, s) {
		return cssFails
	}
	before := steps[:len(steps)-1]
	if len(before) == 0 {
		return m.anchored(n, s)
	}
	switch s.comb {
	case '>':
		if n.Parent == nil {
			return cssFailsAll
		}
		return m.steps(n.Parent, before)
	case '+':
		p := previousElement(n)
		if p == nil {
			return cssFailsSiblings
		}
		return m.steps(p, before)
	case '~':
		return m.siblings(n, s, before)
	case orSelf:
		if status := m.steps(n, before); status == cssMatches || status == cssFailsAll {
			return status
		}
	}
	return m.ancestors(n, s, before)
}

// ancestors reports whether an element stands in one that the steps before s match.
func (m *cssMatcher) ancestors(n *html.Node, s *cssStep, before []cssStep) cssStatus {
	status, far := cssFailsAll, 0
	for up := n.Parent; up != nil; up = up.Parent {
		if len(m.long) > 0 {
			if known, ok := m.long[cssAsked{up, m.scope, s}]; ok {
				status = known
				break
			}
		}
		far++
		m.looked++
		if st := m.steps(up, before); st == cssMatches || st == cssFailsAll {
			status = st
			break
		}
	}
	if far > cssPlain {
		if m.long == nil {
			m.long = make(map[cssAsked]cssStatus)
		}
		for up := n.Parent; far > cssPlain; far -= cssPlain { // From here and there on the way the answer is the same.
			m.long[cssAsked{up, m.scope, s}] = status
			for range cssPlain {
				up = up.Parent
			}
		}
	}
	return status
}

// siblings reports whether one of the elements before n is what the steps before s match.
func (m *cssMatcher) siblings(n *html.Node, s *cssStep, before []cssStep) cssStatus {
	asked := cssAsked{n.Parent, m.scope, s}
	known := m.beside[asked]
	if known == nil {
		looked := m.looked
		for at := previousElement(n); ; at = previousElement(at) {
			if at == nil {
				return cssFailsSiblings
			}
			if m.looked-looked > cssPlain {
				break
			}
			m.looked++
			if status := m.steps(at, before); status != cssFails {
				return status
			}
		}
		if m.beside == nil {
			m.beside = make(map[cssAsked]*cssBeside)
		}
		known = &cssBeside{next: firstElement(n.Parent)}
		m.beside[asked] = known
	}
	for place := m.place(n).child; known.first == 0 && !known.all && known.next != nil && m.place(known.next).child < place; known.next = nextElement(known.next) {
		m.looked++
		switch m.steps(known.next, before) {
		case cssMatches:
			known.first = m.place(known.next).child
		case cssFailsAll:
			known.all = true
		}
	}
	switch {
	case known.all:
		return cssFailsAll
	case known.first > 0 && known.first < m.place(n).child:
		return cssMatches
	}
	return cssFailsSiblings
}

// place is where an element stands. All its siblings are numbered with it.
func (m *cssMatcher) place(n *html.Node) cssPlace {
	if at, ok := m.places[n]; ok {
		return at
	}
	if m.places == nil {
		m.places = make(map[*html.Node]cssPlace)
	}
	first, last := n, n
	for p := n; p != nil; p = previousElement(p) {
		first = p
	}
	var at cssPlace
	names := make(map[string]int)
	for p := first; p != nil; p = nextElement(p) {
		m.looked++
		at.child++
		names[p.Data]++
		m.places[p] = cssPlace{child: at.child, ofType: names[p.Data]}
		last = p
	}
	clear(names)
	for p := last; p != nil; p = previousElement(p) {
		at = m.places[p]
		names[p.Data]++
		at.lastChild, at.lastOfType = m.places[last].child-at.child+1, names[p.Data]
		m.places[p] = at
	}
	return m.places[n]
}

// nth reports whether an element is one of those that are counted.
func (m *cssMatcher) nth(n *html.Node, t *cssTest) bool {
	if t.list != nil {
		return m.nthOf(n, t)
	}
	if _, ok := m.places[n]; !ok {
		at := n
		for range cssPlain {
			if t.nth.last {
				at = nextElement(at)
			} else {
				at = previousElement(at)
			}
			if at == nil {
				return t.other(n)
			}
			m.looked++
		}
	}
	if n.Parent == nil {
		return false
	}
	return t.nth.has(m.place(n))
}

// has reports whether what stands at a place is one of those that are counted.
func (nth cssNth) has(at cssPlace) bool {
	i := at.child
	switch {
	case nth.last && nth.ofType:
		i = at.lastOfType
	case nth.last:
		i = at.lastChild
	case nth.ofType:
		i = at.ofType
	}
	if i -= nth.b; nth.a == 0 {
		return i == 0
	}
	return i%nth.a == 0 && i/nth.a >= 0
}

// anchored reports whether an element that the first step matches stands to the scope as it is to.
func (m *cssMatcher) anchored(n *html.Node, s *cssStep) cssStatus {
	ok := true
	switch s.comb {
	case ' ':
		for n = n.Parent; n != nil && n != m.scope; n = n.Parent {
			m.looked++
		}
		if n == nil {
			return cssFailsAll
		}
	case '>':
		ok = n.Parent == m.scope
	case '+':
		ok = previousElement(n) == m.scope
	case '~':
		ok = m.follows(n, m.scope)
	}
	if !ok {
		return cssFails
	}
	return cssMatches
}

// follows reports whether an element stands after another one that has the same parent.
func (m *cssMatcher) follows(n, other *html.Node) bool {
	if n.Parent != other.Parent {
		return false
	}
	at := n
	for range cssPlain {
		if at = previousElement(at); at == nil || at == other {
			return at != nil
		}
		m.looked++
	}
	return m.place(other).child < m.place(n).child
}

// compound reports whether an element has the name and all else that a step asks for.
func (m *cssMatcher) compound(n *html.Node, s *cssStep) bool {
	if !s.named(n, m.xml) {
		return false
	}
	for i := range s.tests {
		if !m.test(n, &s.tests[i]) {
			return false
		}
	}
	return true
}

func (s *cssStep) named(n *html.Node, xml bool) bool {
	if s.tag == "*" || !xml && s.lower == n.Data {
		return true
	}
	if xml {
		if !s.prefixed {
			return s.tag == n.Data
		}
		prefix, local := splitName(n.Data)
		return (s.prefix == "*" || s.prefix == prefix) && (s.local == "*" || s.local == local)
	}
	switch {
	case !s.prefixed: // <linearGradient>, in SVG
		return n.Namespace != "" && strings.EqualFold(s.tag, n.Data)
	case s.local != "*" && !strings.EqualFold(s.local, n.Data):
		return false
	}
	return s.prefix == "*" || strings.EqualFold(s.prefix, n.Namespace) || n.Namespace == "" && strings.EqualFold(s.prefix, "html")
}

func (m *cssMatcher) test(n *html.Node, t *cssTest) bool {
	switch t.kind {
	case '#':
		for i := range n.Attr {
			if a := &n.Attr[i]; a.Key == "id" && a.Val == t.name {
				return true
			}
		}
		return false
	case '.':
		for i := range n.Attr {
			if a := &n.Attr[i]; a.Key == "class" && hasWord(a.Val, t.name) {
				return true
			}
		}
		return false
	case '[':
		return t.hasAttribute(n, m.xml)
	case testHas:
		return m.has(n, t)
	case testNth:
		return m.nth(n, t)
	case testOnly:
		return m.only(n, t.nth.ofType)
	case testContains:
		return m.contains(n, t)
	case testMatches:
		return t.re.MatchString(m.textOf(n, false))
	case testLang:
		return m.speaks(n, t)
	case testIs, testNot:
		for _, steps := range t.list {
			if m.match(n, steps) {
				return t.kind == testIs
			}
		}
		return t.kind == testNot
	}
	return t.other(n)
}

// hasWord reports whether a list of words, parted by white space, has one.
func hasWord(list, word string) bool {
	for {
		end := strings.IndexAny(list, " \t\r\n\f")
		if end < 0 {
			return list == word && word != ""
		}
		if list[:end] == word && word != "" {
			return true
		}
		list = list[end+1:]
	}
}

func (t *cssTest) hasAttribute(n *html.Node, xml bool) bool {
	for i := range n.Attr {
		a := &n.Attr[i]
		if !t.names(n, a, xml) {
			continue
		}
		v := a.Val
		if t.fold {
			v = strings.ToLower(v)
		}
		var ok bool
		switch t.op {
		case 0:
			ok = true
		case '=', '!':
			ok = v == t.value
		case '~':
			ok = hasWord(v, t.value)
		case '|':
			rest, has := strings.CutPrefix(v, t.value)
			ok = has && (rest == "" || rest[0] == '-')
		case '^':
			ok = t.value != "" && strings.HasPrefix(v, t.value)
		case '$':
			ok = t.value != "" && strings.HasSuffix(v, t.value)
		case '*':
			ok = t.value != "" && strings.Contains(v, t.value)
		case '#':
			ok = t.re.MatchString(v)
		}
		if ok {
			return t.op != '!'
		}
	}
	return t.op == '!'
}

// names reports whether an attribute has the test's name: as it is written in XML, in any case in HTML.
func (t *cssTest) names(n *html.Node, a *html.Attribute, xml bool) bool {
	name := t.name
	if local, ok := strings.CutPrefix(name, "*:"); ok {
		_, has := splitName(a.Key)
		return has == local || !xml && strings.EqualFold(has, local)
	}
	if a.Key == name || !xml && a.Key == t.lower {
		return true
	}
	if xml || n.Namespace == "" {
		return false
	}
	return strings.EqualFold(a.Key, name) || a.Namespace != "" && strings.EqualFold(a.Namespace+":"+a.Key, name) // viewBox and xlink:href, in SVG
}

// has reports whether there is something that stands to an element as one of the test's selectors says.
func (m *cssMatcher) has(n *html.Node, t *cssTest) bool {
	if known, ok := m.inside[cssAsked{n, nil, t}]; ok {
		return known
	}
	scope, looked := m.scope, m.looked
	m.scope = n
	var found *html.Node
	for _, steps := range t.list {
		if found = m.related(n, steps); found != nil {
			break
		}
	}
	m.scope = scope
	if m.looked-looked > cssPlain {
		m.remember(n, t, found)
	}
	return found != nil
}

// related finds an element that steps mean whose scope is n.
func (m *cssMatcher) related(n *html.Node, steps []cssStep) *html.Node {
	comb, alone := steps[0].comb, len(steps) == 1
	at, top := n.FirstChild, n
	if comb == '+' || comb == '~' {
		at, top = n.NextSibling, n.Parent
	}
	for at != nil {
		if at.Type == html.ElementNode {
			m.looked++
			if m.match(at, steps) {
				return at
			}
			if alone && comb == '+' {
				return nil
			}
		}
		if alone && comb != ' ' {
			at = at.NextSibling
		} else {
			at = followingIn(at, top)
		}
	}
	return nil
}

// remember notes what took long to find, and what follows from it: what is nowhere below an element or after it, is nowhere below or after those that stand
// there; and what was found there, those on the way have too.
func (m *cssMatcher) remember(n *html.Node, t *cssTest, found *html.Node) {
	if m.inside == nil {
		m.inside = make(map[cssAsked]bool)
	}
	note := func(n *html.Node) { m.inside[cssAsked{n, nil, t}] = found != nil }
	note(n)
	if len(t.list) > 1 || len(t.list[0]) > 1 {
		return
	}
	switch t.list[0][0].comb {
	case ' ':
		if found != nil {
			for found = found.Parent; found != n; found = found.Parent {
				note(found)
			}
			return
		}
		for at := followingIn(n, n); at != nil; at = followingIn(at, n) {
			note(at)
		}
	case '~':
		for at := n.NextSibling; at != found; at = at.NextSibling {
			note(at)
		}
	}
}

func previousElement(n *html.Node) *html.Node {
	for n = n.PrevSibling; n != nil && n.Type != html.ElementNode; {
		n = n.PrevSibling
	}
	return n
}

func nextElement(n *html.Node) *html.Node {
	for n = n.NextSibling; n != nil && n.Type != html.ElementNode; {
		n = n.NextSibling
	}
	return n
}

func firstElement(parent *html.Node) *html.Node {
	n := parent.FirstChild
	for n != nil && n.Type != html.ElementNode {
		n = n.NextSibling
	}
	return n
}

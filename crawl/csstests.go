package crawl

import (
	"sort"
	"strings"

	"golang.org/x/net/html"
)

// nthOf is nth among those of the siblings that the test's selectors match.
func (m *cssMatcher) nthOf(n *html.Node, t *cssTest) bool {
	if n.Parent == nil {
		return false
	}
	if all := (cssAsked{n.Parent, nil, t}); !m.counted[all] {
		if m.counted == nil {
			m.counted, m.chosen = make(map[cssAsked]bool), make(map[cssAsked]cssPlace)
		}
		m.counted[all] = true
		var chosen []*html.Node
		for at := firstElement(n.Parent); at != nil; at = nextElement(at) {
			m.looked++
			if m.matchAny(at, t.list) {
				chosen = append(chosen, at)
			}
		}
		for i, at := range chosen {
			m.chosen[cssAsked{at, nil, t}] = cssPlace{child: i + 1, lastChild: len(chosen) - i}
		}
	}
	at, ok := m.chosen[cssAsked{n, nil, t}]
	return ok && t.nth.has(at)
}

func (m *cssMatcher) matchAny(n *html.Node, list [][]cssStep) bool {
	for _, steps := range list {
		if m.match(n, steps) {
			return true
		}
	}
	return false
}

// only reports whether an element is the only child, or the only one of its name.
func (m *cssMatcher) only(n *html.Node, ofType bool) bool {
	if n.Parent == nil {
		return false
	}
	before, after := n, n
	for range cssPlain {
		if before != nil {
			before = previousElement(before)
		}
		if after != nil {
			after = nextElement(after)
		}
		switch {
		case before == nil && after == nil:
			return true
		case before != nil && (!ofType || before.Data == n.Data), after != nil && (!ofType || after.Data == n.Data):
			return false
		}
		m.looked++
	}
	at := m.place(n)
	return at.ofType == 1 && at.lastOfType == 1
}

// textOf is all text in an element, in lower case if fold.
func (m *cssMatcher) textOf(n *html.Node, fold bool) string {
	t := m.text(fold)
	if span, ok := t.spans[n]; ok {
		return t.text[span[0]:span[1]]
	}
	return m.writtenText(n, fold) // it does not stand in what is walked over
}

// writtenText is textOf without what is known.
func (m *cssMatcher) writtenText(n *html.Node, fold bool) string {
	var b strings.Builder
	for at := followingIn(n, n); at != nil; at = followingIn(at, n) {
		if m.looked++; at.Type == html.TextNode {
			b.WriteString(at.Data)
		}
	}
	if fold {
		return strings.ToLower(b.String())
	}
	return b.String()
}

// text is that of the scope that is walked over.
func (m *cssMatcher) text(fold bool) *cssText {
	t := &m.texts[0]
	if fold {
		t = &m.texts[1]
	}
	if *t != nil {
		return *t
	}
	*t = &cssText{spans: make(map[*html.Node][2]int)}
	var b strings.Builder
	var open []*html.Node
	leave := func() {
		last := open[len(open)-1]
		(*t).spans[last] = [2]int{(*t).spans[last][0], b.Len()}
		open = open[:len(open)-1]
	}
	for n := m.top; n != nil; n = followingIn(n, m.top) {
		for len(open) > 0 && open[len(open)-1] != n.Parent {
			leave()
		}
		m.looked++
		switch {
		case n.Type == html.TextNode && fold:
			b.WriteString(strings.ToLower(n.Data))
		case n.Type == html.TextNode:
			b.WriteString(n.Data)
		case n.Type == html.ElementNode || n == m.top:
			(*t).spans[n] = [2]int{b.Len(), 0}
			open = append(open, n)
		}
	}
	for len(open) > 0 {
		leave()
	}
	(*t).text = b.String()
	return *t
}

// contains reports whether the test's text is in that of an element.
func (m *cssMatcher) contains(n *html.Node, t *cssTest) bool {
	text := m.text(true)
	span, ok := text.spans[n]
	if !ok {
		return strings.Contains(m.writtenText(n, true), t.value)
	}
	found, known := m.found[t]
	if !known {
		if m.found == nil {
			m.found = make(map[*cssTest][]int)
		}
		for from := 0; t.value != ""; from++ {
			i := strings.Index(text.text[from:], t.value)
			if i < 0 {
				break
			}
			from += i
			found = append(found, from)
		}
		m.found[t] = found
	}
	i := sort.SearchInts(found, span[0])
	return t.value == "" || i < len(found) && found[i]+len(t.value) <= span[1]
}

// speaks reports whether an element is in one of the test's languages, as it says itself, or the nearest that it stands in.
func (m *cssMatcher) speaks(n *html.Node, t *cssTest) bool {
	language := m.language(n)
	for _, want := range t.words {
		if language == want && want != "" || strings.HasPrefix(language, want+"-") && want != "" {
			return true
		}
	}
	return false
}

// language is an element's, in lower case; "" if none is said.
func (m *cssMatcher) language(n *html.Node) string {
	language, far := "", 0
	for at, said := n, false; at != nil && !said; at = at.Parent {
		if language, said = m.langs[at]; said {
			break
		}
		far++
		m.looked++
		for i := range at.Attr {
			if name := attributeName(at.Attr[i]); name == "xml:lang" || name == "lang" {
				language, said = strings.ToLower(at.Attr[i].Val), true
			}
		}
	}
	if far > cssPlain {
		if m.langs == nil {
			m.langs = make(map[*html.Node]string)
		}
		for at := n; far > cssPlain; far -= cssPlain { // From here and there on the way the answer is the same.
			m.langs[at] = language
			for range cssPlain {
				at = at.Parent
			}
		}
	}
	return language
}

package crawl

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/antchfx/htmlquery"
	"github.com/antchfx/xpath"
	"golang.org/x/net/html"
)

// A Node is what an XPath expression selected: an element, an attribute or a text.
type Node struct {
	// Node is the element or text; for an attribute, the element it stands on.
	*html.Node
	// Attribute is the name of the attribute that was selected, "" if it was none.
	Attribute string
}

// Text is the node's text, trimmed, runs of white space made one space; for an attribute its value.
func (n Node) Text() string {
	switch {
	case n.Attribute != "":
		return n.Attr(n.Attribute)
	case n.Type == html.TextNode:
		return foldSpace(n.Data)
	}
	return nodeText(n.Node, true)
}

// Attr is the trimmed value of an attribute of the node's element, "" if it has none of that name.
func (n Node) Attr(name string) string {
	v, _ := nodeAttr(n.Node, strings.ToLower(name))
	return v
}

// XPath selects nodes on the same tree as CSS, in document order, without duplicates. A malformed expression, or one that gives a number or a string, selects
// nothing and is reported by Err.
func (r *Response) XPath(expr string) (nodes []Node) {
	e, err := r.Selectors.compileXPath(expr)
	if err != nil {
		r.fail(err)
		return nil
	}
	root := r.document().doc.Nodes[0]
	defer func() {
		// The library panics on some expressions that it compiles.
		if p := recover(); p != nil {
			r.fail(fmt.Errorf("xpath %q: %v", expr, p))
			nodes = nil
		}
	}()
	iter := e.Select(htmlquery.CreateXPathNavigator(root))
	for iter.MoveNext() {
		nav := iter.Current().(*htmlquery.NodeNavigator)
		n := Node{Node: nav.Current()}
		if nav.NodeType() == xpath.AttributeNode {
			n.Attribute = nav.LocalName()
		}
		nodes = append(nodes, n)
	}
	return inDocumentOrder(root, nodes)
}

var errNoNodes = errors.New("the expression gives no nodes")

// inDocumentOrder sorts and removes duplicates: the library keeps neither for unions, parents and predicates.
func inDocumentOrder(root *html.Node, nodes []Node) []Node {
	if len(nodes) < 2 {
		return nodes
	}
	place := make(map[*html.Node]int, len(nodes))
	for _, n := range nodes {
		place[n.Node] = 0
	}
	i := 0
	for n := range root.Descendants() {
		i++
		if _, ok := place[n]; ok {
			place[n] = i
		}
	}
	at := func(n Node) int {
		return slices.IndexFunc(n.Node.Attr, func(a html.Attribute) bool { return a.Key == n.Attribute })
	}
	slices.SortStableFunc(nodes, func(a, b Node) int {
		return cmp.Or(cmp.Compare(place[a.Node], place[b.Node]), cmp.Compare(at(a), at(b)))
	})
	return slices.Compact(nodes)
}

// parseXPath compiles an expression that gives nodes. Whether it does is tried out on an empty page before the expression is shared: Evaluate changes it, Select
// works on a copy.
func parseXPath(expr string) (e *xpath.Expr, err error) {
	defer func() {
		if p := recover(); p != nil {
			e, err = nil, fmt.Errorf("%v", p)
		}
	}()
	if e, err = xpath.Compile(expr); err != nil {
		return nil, err
	}
	empty := htmlquery.CreateXPathNavigator(&html.Node{Type: html.DocumentNode})
	if _, ok := e.Evaluate(empty).(*xpath.NodeIterator); !ok {
		return nil, errNoNodes
	}
	return e, nil
}

func (s *Selectors) compileXPath(expr string) (*xpath.Expr, error) {
	if s != nil {
		s.mu.RLock()
		e := s.xpath[expr]
		s.mu.RUnlock()
		if e != nil {
			return e, nil
		}
	}
	e, err := parseXPath(expr)
	if err != nil {
		return nil, fmt.Errorf("xpath %q: %w", expr, err)
	}
	if s != nil {
		s.mu.Lock()
		if s.xpath == nil {
			s.xpath = make(map[string]*xpath.Expr)
		}
		if len(s.xpath) < maxSelectors {
			s.xpath[expr] = e
		}
		s.mu.Unlock()
	}
	return e, nil
}

package crawl

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/antchfx/xpath"
	"golang.org/x/net/html"
)

// Vars are the variables of an XPath expression: "id" is $id in it. Values are strings, numbers and booleans; they are never read as part of the expression. A
// name that begins with "xmlns:" makes a prefix known: Vars{"xmlns:g": "http://base.google.com/ns/1.0"} lets an expression write g:price, whatever the document
// writes. Without any of those, prefixes are the document's own.
type Vars map[string]any

// xmlnsPrefix begins the names in Vars, and of attributes, that make a prefix known.
const xmlnsPrefix = "xmlns:"

// xpathExpr is a compiled expression. Beside what the library compiles it may be one of the set functions of EXSLT, which take and give nodes.
type xpathExpr struct {
	text   string      // as the library is given it
	expr   *xpath.Expr // nil for a set function
	nodes  bool        // it gives nodes
	set    string      // the name of a set function
	of     []*xpathExpr
	source string // as it was written, for errors
}

var errNoNodes = errors.New("the expression gives no nodes but a text, a number or a truth value: use XPathText or Eval")

// XPath selects nodes on the same tree as CSS, in document order, without duplicates. Variables are $name; see [Vars]. Of EXSLT, which Scrapy has too,
// re:test(text, pattern, flags) and re:replace are there, with Go's regular expressions and patterns that are written out; the set functions as the whole of an
// expression; and has-class("a", "b"). A malformed expression, or one that gives a number or a text, selects nothing and is reported by Err; see
// [Response.XPathText].
func (r *Response) XPath(expr string, vars ...Vars) Nodes { return r.root().XPath(expr, vars...) }

// XPathText is what an expression gives as a text: that of the first node as [Node.Text] has it, a number, "true" or "false"; "" if there is nothing. So
// XPathText("normalize-space(//h1)"), XPathText("count(//li)") and XPathText("//a/@href") all work.
func (r *Response) XPathText(expr string, vars ...Vars) string {
	return r.root().XPathText(expr, vars...)
}

// Eval is what an expression gives: Nodes, a string, a float64 or a bool; nil if it is malformed, which Err reports.
func (r *Response) Eval(expr string, vars ...Vars) any { return r.root().Eval(expr, vars...) }

// XPath selects nodes as [Response.XPath] does. The expression begins at the node: "./a" and "a" are its children, ".//a" is all below it; "//a" is all of the
// page.
func (n Node) XPath(expr string, vars ...Vars) Nodes {
	x, err := n.selectors().compileXPath(expr, vars...)
	if err == nil && !x.nodes {
		err = fmt.Errorf("xpath %q: %w", expr, errNoNodes)
	}
	var nodes Nodes
	if err == nil && n.Node != nil {
		nodes, err = x.selectNodes(n)
	}
	if err != nil {
		n.fail(err)
		return nil
	}
	return nodes
}

// XPathText is [Response.XPathText], beginning at the node.
func (n Node) XPathText(expr string, vars ...Vars) string {
	switch v := n.Eval(expr, vars...).(type) {
	case Nodes:
		return v.Text()
	case string:
		return foldSpace(v)
	case float64:
		return formatNumber(v)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// formatNumber writes a number as XPath does.
func formatNumber(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// Eval is [Response.Eval], beginning at the node.
func (n Node) Eval(expr string, vars ...Vars) any {
	x, err := n.selectors().compileXPath(expr, vars...)
	var v any
	if err == nil && n.Node != nil {
		v, err = x.eval(n)
	}
	if err != nil {
		n.fail(err)
		return nil
	}
	return v
}

// selectNodes is for expressions that give nodes.
func (x *xpathExpr) selectNodes(n Node) (nodes Nodes, err error) {
	if x.set != "" {
		return x.selectSet(n)
	}
	defer func() {
		// The library panics on some expressions that it compiles.
		if p := recover(); p != nil {
			nodes, err = nil, fmt.Errorf("xpath %q: %v", x.source, p)
		}
	}()
	iter := x.expr.Select(navigatorAt(n))
	for iter.MoveNext() {
		nav := iter.Current().(*navigator)
		found := Node{Node: nav.curr, page: n.page}
		if nav.attr >= 0 {
			a := nav.curr.Attr[nav.attr]
			if found.Attribute = a.Key; a.Namespace != "" {
				found.Attribute = a.Namespace + ":" + a.Key
			}
		}
		nodes = append(nodes, found)
	}
	return inDocumentOrder(nodes), nil
}

func (x *xpathExpr) eval(n Node) (v any, err error) {
	if x.nodes {
		return x.selectNodes(n)
	}
	if x.set != "" {
		return x.hasSameNode(n)
	}
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("xpath %q: %v", x.source, p)
		}
	}()
	// Evaluate changes the expression, so each call has its own.
	e, err := xpath.Compile(x.text)
	if err != nil {
		return nil, fmt.Errorf("xpath %q: %w", x.source, err)
	}
	return e.Evaluate(navigatorAt(n)), nil
}

func (x *xpathExpr) sets(n Node) (sets [2]Nodes, err error) {
	for i, of := range x.of {
		if sets[i], err = of.selectNodes(n); err != nil {
			return sets, err
		}
	}
	return sets, nil
}

func (x *xpathExpr) hasSameNode(n Node) (bool, error) {
	sets, err := x.sets(n)
	in := sets[1].set()
	for _, node := range sets[0] {
		if in[node] {
			return true, err
		}
	}
	return false, err
}

func (ns Nodes) set() map[Node]bool {
	in := make(map[Node]bool, len(ns))
	for _, n := range ns {
		in[n] = true
	}
	return in
}

// selectSet does what the set functions of EXSLT do.
func (x *xpathExpr) selectSet(n Node) (Nodes, error) {
	sets, err := x.sets(n)
	if err != nil {
		return nil, err
	}
	a, b := sets[0], sets[1].set()
	var nodes Nodes
	seen := make(map[string]bool)
	for i, node := range a {
		switch x.set {
		case "difference":
			if !b[node] {
				nodes = append(nodes, node)
			}
		case "intersection":
			if b[node] {
				nodes = append(nodes, node)
			}
		case "distinct":
			if v := (&navigator{curr: node.Node, attr: attrAt(node)}).Value(); !seen[v] {
				seen[v] = true
				nodes = append(nodes, node)
			}
		case "leading", "trailing": // what stands before, or after, the first of b
			if len(b) == 0 {
				return a, nil
			}
			if node == sets[1][0] {
				if x.set == "leading" {
					return a[:i], nil
				}
				return a[i+1:], nil
			}
		}
	}
	return nodes, nil
}

// compileXPath compiles an expression with its variables in place.
func (s *Selectors) compileXPath(expr string, vars ...Vars) (*xpathExpr, error) {
	var k *kept[string, *xpathExpr]
	if s != nil {
		k = &s.xpath
	}
	key := expr
	if len(vars) > 0 {
		key = fmt.Sprintf("%s\x00%#v", expr, vars)
	}
	x, err := k.get(key, func() (*xpathExpr, error) { return parseXPath(expr, vars) })
	if err != nil {
		return nil, fmt.Errorf("xpath %q: %w", expr, err)
	}
	return x, nil
}

func parseXPath(expr string, vars []Vars) (*xpathExpr, error) {
	tokens, err := scanXPath(expr)
	if err != nil {
		return nil, err
	}
	w := &xpathRewriter{vars: vars}
	for _, v := range vars {
		for name := range v {
			w.prefixes = w.prefixes || strings.HasPrefix(name, xmlnsPrefix)
		}
	}
	return w.compile(expr, tokens)
}

// compileText compiles what the rewriter has made. Whether it gives nodes is tried out on an empty page before the expression is shared: Evaluate changes it,
// Select works on a copy.
func compileText(text string) (x *xpathExpr, err error) {
	defer func() {
		if p := recover(); p != nil {
			x, err = nil, fmt.Errorf("%v", p)
		}
	}()
	e, err := xpath.Compile(text)
	if err != nil {
		return nil, err
	}
	empty := &navigator{curr: &html.Node{Type: html.DocumentNode}, attr: -1}
	empty.root = empty.curr
	_, nodes := e.Evaluate(empty).(*xpath.NodeIterator)
	if nodes { // Evaluate has changed it
		if e, err = xpath.Compile(text); err != nil {
			return nil, err
		}
	}
	return &xpathExpr{text: text, expr: e, nodes: nodes}, nil
}

// A navigator moves through a tree for the library, of HTML or XML. Names are split at their prefix.
type navigator struct {
	root, curr *html.Node
	attr       int // the attribute that it stands on, -1 for none
}

func navigatorAt(n Node) *navigator {
	root := n.Node
	for root.Parent != nil {
		root = root.Parent
	}
	return &navigator{root: root, curr: n.Node, attr: attrAt(n)}
}

func (v *navigator) NodeType() xpath.NodeType {
	switch v.curr.Type {
	case html.CommentNode:
		return xpath.CommentNode
	case html.TextNode:
		return xpath.TextNode
	case html.ElementNode:
		if v.attr >= 0 {
			return xpath.AttributeNode
		}
		return xpath.ElementNode
	}
	return xpath.RootNode
}

func (v *navigator) name() string {
	if v.attr >= 0 {
		return v.curr.Attr[v.attr].Key
	}
	return v.curr.Data
}

func (v *navigator) LocalName() string {
	name := v.name()
	if i := strings.IndexByte(name, ':'); i > 0 && v.curr.Type == html.ElementNode {
		return name[i+1:]
	}
	return name
}

func (v *navigator) Prefix() string {
	if v.curr.Type != html.ElementNode {
		return ""
	}
	if v.attr >= 0 {
		if ns := v.curr.Attr[v.attr].Namespace; ns != "" {
			return ns
		}
	}
	name := v.name()
	if i := strings.IndexByte(name, ':'); i > 0 {
		return name[:i]
	}
	return ""
}

// NamespaceURL is asked for by namespace-uri().
func (v *navigator) NamespaceURL() string {
	if v.attr >= 0 {
		if p := v.Prefix(); p != "" {
			return namespaceOf(v.curr, p)
		}
		return ""
	}
	switch v.curr.Namespace {
	case "svg":
		return "http://www.w3.org/2000/svg"
	case "math":
		return "http://www.w3.org/1998/Math/MathML"
	}
	return v.curr.Namespace
}

func (v *navigator) Value() string {
	switch v.curr.Type {
	case html.CommentNode, html.TextNode:
		return v.curr.Data
	case html.ElementNode, html.DocumentNode:
		if v.attr >= 0 {
			return v.curr.Attr[v.attr].Val
		}
		return stringValue(v.curr)
	}
	return ""
}

// stringValue is all text below a node, as it is written.
func stringValue(n *html.Node) string {
	if c := n.FirstChild; c != nil && c.NextSibling == nil && c.Type == html.TextNode {
		return c.Data
	}
	var b strings.Builder
	for c := followingIn(n, n); c != nil; c = followingIn(c, n) {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}

func (v *navigator) String() string { return v.Value() }

func (v *navigator) Copy() xpath.NodeNavigator {
	n := *v
	return &n
}

func (v *navigator) MoveToRoot() { v.curr, v.attr = v.root, -1 }

func (v *navigator) MoveToParent() bool {
	if v.attr >= 0 {
		v.attr = -1
		return true
	}
	return v.to(v.curr.Parent)
}

func (v *navigator) to(n *html.Node) bool {
	if n == nil || v.attr >= 0 {
		return false
	}
	v.curr = n
	return true
}

func (v *navigator) MoveToNextAttribute() bool {
	for v.attr+1 < len(v.curr.Attr) {
		v.attr++
		if !v.declares() {
			return true
		}
	}
	return false
}

// declares reports whether the attribute makes a prefix known, which to XPath is no attribute.
func (v *navigator) declares() bool {
	a := v.curr.Attr[v.attr]
	return v.root.Data == xmlRoot && (a.Key == "xmlns" || strings.HasPrefix(a.Key, xmlnsPrefix))
}

func (v *navigator) MoveToChild() bool    { return v.to(v.curr.FirstChild) }
func (v *navigator) MoveToNext() bool     { return v.to(v.curr.NextSibling) }
func (v *navigator) MoveToPrevious() bool { return v.to(v.curr.PrevSibling) }

func (v *navigator) MoveToFirst() bool {
	if v.curr.PrevSibling == nil {
		return false
	}
	for v.to(v.curr.PrevSibling) {
		if v.curr.PrevSibling == nil {
			return true
		}
	}
	return false
}

func (v *navigator) MoveTo(other xpath.NodeNavigator) bool {
	n, ok := other.(*navigator)
	if !ok || n.root != v.root {
		return false
	}
	*v = *n
	return true
}

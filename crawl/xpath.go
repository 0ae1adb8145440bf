package crawl

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"golang.org/x/net/html"
)

// Vars are the variables of an XPath expression: "id" is $id in it. Values are strings, numbers and booleans; they are never read as part of the expression. A
// name that begins with "xmlns:" makes a prefix known: Vars{"xmlns:g": "http://base.google.com/ns/1.0"} lets an expression write g:price, whatever the document
// writes. Without any of those, prefixes are the document's own.
type Vars map[string]any

// xmlnsPrefix begins the names in Vars, and of attributes, that make a prefix known.
const xmlnsPrefix = "xmlns:"

// xpathExpr is a compiled expression. It does not change when it is evaluated, so many goroutines may share it.
//
// xpath_parse.go reads it, xpath_eval.go evaluates it (xpath_beside.go where steps go far from many nodes), xpath_functions.go has what it may call, and xpath_tree.go the tree as XPath sees it.
type xpathExpr struct {
	expr   xpathValue
	nodes  bool   // it gives nodes
	source string // as it was written, for errors
}

var errNoNodes = errors.New("the expression gives no nodes but a text, a number or a truth value: use XPathText or Eval")

// XPath selects nodes on the same tree as CSS, in document order, without duplicates. Variables are $name; see [Vars]. Of EXSLT, which Scrapy has too,
// re:test(text, pattern, flags) and re:replace are there, with Go's regular expressions and patterns that are written out; the set functions; and
// has-class("a", "b"). A malformed expression, or one that gives a number or a text, selects nothing and is reported by Err; see
// [Response.XPathText]. So does one that looks at more than 134 million nodes: it asks each of many for most of a large page.
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
	case f == 0:
		return "0" // also the one below zero
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

func (x *xpathExpr) selectNodes(n Node) (Nodes, error) {
	run, context := x.run(n)
	found := x.expr.nodes(context)
	if _, ok := x.expr.(*xpathCall); ok { // reverse() gives them in another order
		found = xpathOrder(slices.Clone(found))
	}
	if run.err != nil {
		return nil, fmt.Errorf("xpath %q: %w", x.source, run.err)
	}
	if len(found) == 0 {
		return nil, nil
	}
	nodes := make(Nodes, len(found))
	for i, f := range found {
		if nodes[i] = (Node{Node: f.Node, page: n.page}); f.attr >= 0 {
			nodes[i].Attribute = f.name()
		}
	}
	return nodes, nil
}

func (x *xpathExpr) run(n Node) (*xpathRun, *xpathContext) {
	run := &xpathRun{limits: xpathLimits{near: xpathNear, far: xpathFar, farOnPage: xpathFarOnPage, most: maxXPathWork}}
	at := xpathNode{n.Node, -1}
	if n.Attribute != "" {
		at.attr = slices.IndexFunc(n.Node.Attr, func(a html.Attribute) bool {
			return a.Key == n.Attribute || a.Namespace != "" && attributeName(a) == n.Attribute
		})
	}
	return run, &xpathContext{run: run, node: at, pos: 1, size: 1}
}

func (x *xpathExpr) eval(n Node) (v any, err error) {
	if x.nodes {
		return x.selectNodes(n)
	}
	run, context := x.run(n)
	switch x.expr.kind() {
	case xpathNumbers:
		v = x.expr.number(context)
	case xpathTruths:
		v = x.expr.truth(context)
	default:
		v = x.expr.text(context)
	}
	if run.err != nil {
		return nil, fmt.Errorf("xpath %q: %w", x.source, run.err)
	}
	return v, nil
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

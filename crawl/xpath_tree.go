package crawl

import (
	"cmp"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// An xpathNode is a node as XPath has them.
type xpathNode struct {
	*html.Node     // for an attribute, the element it stands on
	attr       int // the place of the attribute on its element, -1 for the node itself
}

// value is the string-value of a node: all text below it, or what an attribute or a comment says.
func (n xpathNode) value() string {
	switch {
	case n.attr >= 0:
		return n.Attr[n.attr].Val
	case n.Type == html.TextNode || n.Type == html.CommentNode:
		return n.Data
	}
	return stringValue(n.Node)
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

// name is the name of an element or an attribute as it is written, with its prefix.
func (n xpathNode) name() string {
	switch {
	case n.attr < 0 && n.Type != html.ElementNode:
		return ""
	case n.attr < 0:
		return n.Data
	}
	return attributeName(n.Attr[n.attr])
}

func attributeName(a html.Attribute) string {
	if a.Namespace != "" {
		return a.Namespace + ":" + a.Key
	}
	return a.Key
}

// space is the address of the namespace of an element or an attribute.
func (n xpathNode) space() string {
	if n.attr >= 0 {
		if prefix, local := splitName(n.name()); local != n.name() {
			return namespaceOf(n.Node, prefix)
		}
		return ""
	}
	if n.Type != html.ElementNode {
		return ""
	}
	switch n.Namespace {
	case "svg":
		return "http://www.w3.org/2000/svg"
	case "math":
		return "http://www.w3.org/1998/Math/MathML"
	}
	return n.Namespace
}

// What an xpathTest asks for.
const (
	testName   = iota // a name as it is written
	testAny           // any element, or any attribute
	testPrefix        // any name that begins with a prefix
	testSpace         // a name in a namespace, "*" for any
	testNode          // anything
	testText
	testComment
	testNothing // processing instructions, which trees do not keep
)

// An xpathTest is what a step asks of a node beside its place.
type xpathTest struct {
	kind byte
	name string
	uri  string
}

// matches is for what is found on all axes but that of the attributes, on which only node() matches an attribute.
func (t *xpathTest) matches(n xpathNode) bool {
	if t.kind == testNode {
		return n.Type != html.DoctypeNode
	}
	if n.attr >= 0 {
		return false
	}
	switch t.kind {
	case testText:
		return n.Type == html.TextNode
	case testComment:
		return n.Type == html.CommentNode
	}
	if n.Type != html.ElementNode {
		return false
	}
	switch t.kind {
	case testName:
		return n.Data == t.name
	case testAny:
		return true
	case testPrefix:
		return strings.HasPrefix(n.Data, t.name)
	case testSpace:
		_, local := splitName(n.Data)
		return (t.name == "*" || t.name == local) && n.space() == t.uri
	}
	return false
}

// matchesAttribute is for what is found on the axis of the attributes.
func (t *xpathTest) matchesAttribute(n xpathNode) bool {
	a := &n.Attr[n.attr]
	switch t.kind {
	case testName:
		if a.Namespace == "" {
			return a.Key == t.name
		}
		return len(t.name) == len(a.Namespace)+1+len(a.Key) && t.name == attributeName(*a)
	case testAny, testNode:
		return true
	case testPrefix:
		return strings.HasPrefix(attributeName(*a), t.name)
	case testSpace:
		_, local := splitName(a.Key)
		return (t.name == "*" || t.name == local) && n.space() == t.uri
	}
	return false
}

type xpathAxis byte

const (
	axisChild xpathAxis = iota
	axisAttribute
	axisSelf
	axisParent
	axisDescendant
	axisDescendantOrSelf
	axisFollowing
	axisFollowingSibling
	axisAncestor // from here on they go backward
	axisAncestorOrSelf
	axisPreceding
	axisPrecedingSibling
	axisDeepChild // all children below a node and its own, of which the places among their siblings count: what //x[1] is
)

var xpathAxes = map[string]xpathAxis{
	"child": axisChild, "attribute": axisAttribute, "self": axisSelf, "parent": axisParent, "descendant": axisDescendant, "descendant-or-self": axisDescendantOrSelf,
	"following": axisFollowing, "following-sibling": axisFollowingSibling, "ancestor": axisAncestor, "ancestor-or-self": axisAncestorOrSelf, "preceding": axisPreceding,
	"preceding-sibling": axisPrecedingSibling,
}

func (a xpathAxis) backward() bool { return axisAncestor <= a && a <= axisPrecedingSibling }

// beside reports whether it is one on which nodes stand that are neither below a node nor what it stands in.
func (a xpathAxis) beside() bool {
	return a == axisFollowing || a == axisFollowingSibling || a == axisPreceding || a == axisPrecedingSibling
}

func (a xpathAxis) ofSiblings() bool { return a == axisFollowingSibling || a == axisPrecedingSibling }

// each yields the nodes of an axis, in its order. It reports false if yield has.
func (a xpathAxis) each(n xpathNode, yield func(xpathNode) bool) bool {
	of := func(n *html.Node) bool { return yield(xpathNode{n, -1}) }
	in := n.attr < 0 // an attribute has nothing below or beside it
	switch a {
	case axisChild:
		for c := n.FirstChild; in && c != nil; c = c.NextSibling {
			if !of(c) {
				return false
			}
		}
	case axisSelf:
		return yield(n)
	case axisParent:
		if !in {
			return of(n.Node)
		}
		return n.Parent == nil || of(n.Parent)
	case axisDescendantOrSelf, axisDescendant:
		if a == axisDescendantOrSelf && !yield(n) {
			return false
		}
		if !in {
			return true
		}
		for c := followingIn(n.Node, n.Node); c != nil; c = followingIn(c, n.Node) {
			if !of(c) {
				return false
			}
		}
	case axisFollowing:
		for c := afterNode(n.Node); c != nil; c = followingIn(c, nil) {
			if !of(c) {
				return false
			}
		}
	case axisFollowingSibling:
		for c := n.NextSibling; in && c != nil; c = c.NextSibling {
			if !of(c) {
				return false
			}
		}
	case axisPrecedingSibling:
		for c := n.PrevSibling; in && c != nil; c = c.PrevSibling {
			if !of(c) {
				return false
			}
		}
	case axisAncestorOrSelf, axisAncestor:
		if a == axisAncestorOrSelf && !yield(n) {
			return false
		}
		c := n.Node
		if in {
			c = c.Parent
		}
		for ; c != nil; c = c.Parent {
			if !of(c) {
				return false
			}
		}
	case axisPreceding:
		above := n.Parent // the innermost element that n stands in and that has not been passed
		for c := n.Node; c != nil; {
			if c.PrevSibling == nil {
				if c = c.Parent; c == above {
					if c != nil {
						above = c.Parent
					}
					continue
				}
			} else {
				for c = c.PrevSibling; c.LastChild != nil; c = c.LastChild {
				}
			}
			if c != nil && !of(c) {
				return false
			}
		}
	}
	return true
}

// afterNode is the first node that begins after another ends.
func afterNode(n *html.Node) *html.Node {
	for n != nil && n.NextSibling == nil {
		n = n.Parent
	}
	if n == nil {
		return nil
	}
	return n.NextSibling
}

// eachFromEnd yields the nodes of an axis from its end, if that is done without going through it: it is for [last()].
func (a xpathAxis) eachFromEnd(n xpathNode, yield func(xpathNode) bool) (can bool) {
	if n.attr >= 0 {
		return a == axisChild || a == axisFollowingSibling || a == axisPrecedingSibling
	}
	switch a {
	case axisChild:
		for c := n.LastChild; c != nil && yield(xpathNode{c, -1}); c = c.PrevSibling {
		}
	case axisFollowingSibling:
		if n.Parent == nil {
			return false
		}
		for c := n.Parent.LastChild; c != n.Node && yield(xpathNode{c, -1}); c = c.PrevSibling {
		}
	case axisPrecedingSibling:
		if n.Parent == nil {
			return false
		}
		for c := n.Parent.FirstChild; c != n.Node && yield(xpathNode{c, -1}); c = c.NextSibling {
		}
	default:
		return false
	}
	return true
}

// rootOf is the node that all of a tree stand in.
func rootOf(n *html.Node) *html.Node {
	for n.Parent != nil {
		n = n.Parent
	}
	return n
}

// xpathOrder sorts nodes in document order and removes duplicates, in place. What is in order already, as it nearly always is, is found out by going through the
// page a little further than the nodes are many. Else only what the nodes stand in is looked at, and of the children of that, those between the nodes: so that a
// few nodes of a large page, asked for row by row, do not cost the page each time.
func xpathOrder(nodes []xpathNode) []xpathNode {
	nodes = slices.Compact(nodes)
	if len(nodes) < 2 {
		return nodes
	}
	if merged, ok := xpathMerge(nodes); ok {
		return merged
	}
	place := placesOf(nodes)
	slices.SortFunc(nodes, func(a, b xpathNode) int {
		return cmp.Or(cmp.Compare(place[a.Node].at, place[b.Node].at), cmp.Compare(a.attr, b.attr))
	})
	return slices.Compact(nodes)
}

// xpathMerge merges lists, each of which is in document order, by going through the page from where the first begins. It gives up on what is not in order, and
// on what stands far apart.
func xpathMerge(lists ...[]xpathNode) ([]xpathNode, bool) {
	var top *html.Node
	n := 0
	left := make([][]xpathNode, 0, len(lists))
	for _, list := range lists {
		if len(list) > 0 {
			left = append(left, list)
			n += len(list)
		}
	}
	switch len(left) {
	case 0:
		return nil, true
	case 1:
		top = left[0][0].Node
	default:
		top = rootOf(left[0][0].Node)
	}
	var merged []xpathNode
	only := left[0]
	if len(left) > 1 {
		merged = make([]xpathNode, 0, n)
	}
	for steps := 16*n + 64; top != nil && steps > 0; steps-- {
		begun := len(merged)
		for i := 0; i < len(left); i++ {
			list := left[i]
			k := 0
			for k < len(list) && list[k].Node == top && (k == 0 || list[k-1].attr < list[k].attr) {
				k++
			}
			if len(left) > 1 || merged != nil {
				merged = append(merged, list[:k]...)
			}
			if left[i] = list[k:]; len(left[i]) == 0 {
				left = slices.Delete(left, i, i+1)
				i--
			}
		}
		if here := merged[begun:]; len(here) > 1 {
			slices.SortFunc(here, func(a, b xpathNode) int { return cmp.Compare(a.attr, b.attr) })
			merged = merged[:begun+len(slices.Compact(here))]
		}
		if len(left) == 0 {
			if merged == nil {
				return only, true
			}
			return merged, true
		}
		top = followingIn(top, nil)
	}
	return nil, false
}

// An xpathPlace is the place of a node among those that are to be ordered and what they stand in.
type xpathPlace struct {
	at    int
	below []*html.Node // those that stand in it
}

func placesOf(nodes []xpathNode) map[*html.Node]*xpathPlace {
	places := make(map[*html.Node]*xpathPlace, 2*len(nodes))
	var root *html.Node
	for _, node := range nodes {
		n := node.Node
		if places[n] != nil {
			continue
		}
		places[n] = &xpathPlace{}
		for n.Parent != nil {
			above, known := places[n.Parent]
			if !known {
				above = &xpathPlace{}
				places[n.Parent] = above
			}
			above.below = append(above.below, n)
			if known {
				break
			}
			n = n.Parent
		}
		if n.Parent == nil {
			root = n
		}
	}
	next := 0
	for open := []*html.Node{root}; len(open) > 0; next++ {
		p := places[open[len(open)-1]]
		open = open[:len(open)-1]
		p.at = next
		for _, c := range slices.Backward(inSiblingOrder(p.below, places)) {
			open = append(open, c)
		}
	}
	return places
}

// inSiblingOrder orders children of one element, looking from the first of them in both directions.
func inSiblingOrder(children []*html.Node, places map[*html.Node]*xpathPlace) []*html.Node {
	if len(children) < 2 {
		return children
	}
	var before []*html.Node
	after := children[:1:1]
	for prev, next := children[0].PrevSibling, children[0].NextSibling; prev != nil || next != nil; {
		if len(before)+len(after) == len(children) {
			break
		}
		if prev != nil {
			if places[prev] != nil {
				before = append(before, prev)
			}
			prev = prev.PrevSibling
		}
		if next != nil {
			if places[next] != nil {
				after = append(after, next)
			}
			next = next.NextSibling
		}
	}
	slices.Reverse(before)
	return append(before, after...)
}

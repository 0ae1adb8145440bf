package crawl

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/html"
)

// An xpathKind is what a value is. XPath 1.0 knows that of each expression before it is evaluated.
type xpathKind byte

const (
	xpathNodes xpathKind = iota
	xpathTexts
	xpathNumbers
	xpathTruths
)

func (k xpathKind) String() string {
	return [...]string{"set of nodes", "text", "number", "truth value"}[k]
}

// An xpathValue is a part of an expression. Each has a kind and the method of it; the others are of use to nobody: ask by textOf, numberOf and truthOf, which
// convert. It does not change when it is evaluated.
type xpathValue interface {
	kind() xpathKind
	nodes(*xpathContext) []xpathNode // in document order, without duplicates; not the caller's to change
	text(*xpathContext) string
	number(*xpathContext) float64
	truth(*xpathContext) bool
}

// xpathBlank has the methods that a value does not need.
type xpathBlank struct{}

func (xpathBlank) nodes(*xpathContext) []xpathNode { return nil }
func (xpathBlank) text(*xpathContext) string       { return "" }
func (xpathBlank) number(*xpathContext) float64    { return 0 }
func (xpathBlank) truth(*xpathContext) bool        { return false }

// xpathIsNodes and those after it say what kind a value is.
type (
	xpathIsNodes  struct{ xpathBlank }
	xpathIsNumber struct{ xpathBlank }
	xpathIsTruth  struct{ xpathBlank }
)

func (xpathIsNodes) kind() xpathKind  { return xpathNodes }
func (xpathIsNumber) kind() xpathKind { return xpathNumbers }
func (xpathIsTruth) kind() xpathKind  { return xpathTruths }

// An xpathContext is where a value is asked for.
type xpathContext struct {
	run       *xpathRun
	node      xpathNode
	pos, size int  // of a predicate that asks for them
	inner     bool // it is that of a predicate, which is evaluated for many nodes
}

// An xpathRun is one evaluation of an expression.
type xpathRun struct {
	err    error
	top    *html.Node
	xml    bool
	found  map[*xpathPath][]xpathNode  // what absolute paths give, which is the same wherever they are asked
	values map[*xpathPath]*xpathValues // and their values
	res    map[string]*regexp.Regexp   // patterns that are no constants
	looked int                         // nodes that were looked at
	limits xpathLimits
	sides  map[xpathSideKey]*xpathSide // what steps find beside nodes
}

func (r *xpathRun) root(n xpathNode) *html.Node {
	if r.top == nil {
		r.top = rootOf(n.Node)
		r.xml = r.top.Type == html.DocumentNode && r.top.Data == xmlRoot
	}
	return r.top
}

// isXML reports whether the tree is one of XML.
func (r *xpathRun) isXML(n xpathNode) bool {
	r.root(n)
	return r.xml
}

// declares reports whether an attribute makes a prefix known, which to XPath is no attribute.
func (r *xpathRun) declares(n xpathNode) bool {
	key := n.Attr[n.attr].Key
	return strings.HasPrefix(key, "xmlns") && (key == "xmlns" || strings.HasPrefix(key, xmlnsPrefix)) && r.isXML(n)
}

type (
	xpathText   string
	xpathNumber float64
	xpathTruth  bool
)

func (xpathText) kind() xpathKind                   { return xpathTexts }
func (xpathText) nodes(*xpathContext) []xpathNode   { return nil }
func (t xpathText) text(*xpathContext) string       { return string(t) }
func (xpathText) number(*xpathContext) float64      { return 0 }
func (xpathText) truth(*xpathContext) bool          { return false }
func (xpathNumber) kind() xpathKind                 { return xpathNumbers }
func (xpathNumber) nodes(*xpathContext) []xpathNode { return nil }
func (xpathNumber) text(*xpathContext) string       { return "" }
func (f xpathNumber) number(*xpathContext) float64  { return float64(f) }
func (xpathNumber) truth(*xpathContext) bool        { return false }
func (xpathTruth) kind() xpathKind                  { return xpathTruths }
func (xpathTruth) nodes(*xpathContext) []xpathNode  { return nil }
func (xpathTruth) text(*xpathContext) string        { return "" }
func (xpathTruth) number(*xpathContext) float64     { return 0 }
func (b xpathTruth) truth(*xpathContext) bool       { return bool(b) }

// eachNode yields the nodes of a value, not always in document order, until yield returns false.
func eachNode(v xpathValue, c *xpathContext, yield func(xpathNode) bool) {
	if p, ok := v.(*xpathPath); ok && p.chain && !(p.absolute && c.inner) {
		p.walk(c, yield)
		return
	}
	for _, n := range v.nodes(c) {
		if !yield(n) {
			return
		}
	}
}

// firstNode is the first node of a value in document order.
func firstNode(v xpathValue, c *xpathContext) (first xpathNode, ok bool) {
	if p, isPath := v.(*xpathPath); isPath && p.ordered && !(p.absolute && c.inner) {
		p.walk(c, func(n xpathNode) bool {
			first, ok = n, true
			return false
		})
		return first, ok
	}
	if p, ok := pieceOf(v, c); ok {
		if p.first > p.last {
			return xpathNode{}, false
		}
		if p.backward {
			return p.node(p.last), true
		}
		return p.node(p.first), true
	}
	if nodes := v.nodes(c); len(nodes) > 0 {
		return nodes[0], true
	}
	return xpathNode{}, false
}

func textOf(v xpathValue, c *xpathContext) string {
	switch v.kind() {
	case xpathNodes:
		if p, ok := v.(*xpathPath); ok && p.attribute != "" {
			s, _ := p.attributeValue(c)
			return s
		}
		if n, ok := firstNode(v, c); ok {
			return n.value()
		}
		return ""
	case xpathNumbers:
		return formatNumber(v.number(c))
	case xpathTruths:
		return strconv.FormatBool(v.truth(c))
	}
	return v.text(c)
}

func numberOf(v xpathValue, c *xpathContext) float64 {
	switch v.kind() {
	case xpathNumbers:
		return v.number(c)
	case xpathTruths:
		if v.truth(c) {
			return 1
		}
		return 0
	}
	return parseNumber(textOf(v, c))
}

func truthOf(v xpathValue, c *xpathContext) (truth bool) {
	switch v.kind() {
	case xpathNodes:
		if p, ok := v.(*xpathPath); ok && p.attribute != "" {
			_, ok := p.attributeValue(c)
			return ok
		}
		eachNode(v, c, func(xpathNode) bool {
			truth = true
			return false
		})
		return truth
	case xpathNumbers:
		f := v.number(c)
		return f != 0 && !math.IsNaN(f)
	case xpathTruths:
		return v.truth(c)
	}
	return v.text(c) != ""
}

const xpathSpace = " \t\r\n"

// parseNumber reads a number as XPath writes one: without a plus and without an exponent.
func parseNumber(s string) float64 {
	s = strings.Trim(s, xpathSpace)
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || digits == "." || strings.Trim(digits, "0123456789.") != "" {
		return math.NaN()
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) {
		return math.NaN()
	}
	return f
}

type xpathLogic struct {
	xpathIsTruth

	or          bool
	left, right xpathValue
}

func (l *xpathLogic) truth(c *xpathContext) bool {
	if truthOf(l.left, c) == l.or {
		return l.or
	}
	return truthOf(l.right, c)
}

type xpathArithmetic struct {
	xpathIsNumber

	op          string
	left, right xpathValue
}

func (a *xpathArithmetic) number(c *xpathContext) float64 {
	left, right := numberOf(a.left, c), numberOf(a.right, c)
	switch a.op {
	case "+":
		return left + right
	case "-":
		return left - right
	case "*":
		return left * right
	case "div":
		return left / right
	}
	return math.Mod(left, right)
}

type xpathUnion struct {
	xpathIsNodes

	of []xpathValue
}

func (u *xpathUnion) nodes(c *xpathContext) []xpathNode {
	lists := make([][]xpathNode, len(u.of))
	for i, v := range u.of {
		lists[i] = v.nodes(c)
	}
	if merged, ok := xpathMerge(lists...); ok {
		return merged
	}
	return xpathOrder(slices.Concat(lists...))
}

// An xpathPred is a predicate.
type xpathPred struct {
	expr   xpathValue
	uses   xpathUses
	number bool // it is the position
	k      int  // which is this, 0 if that is found out only when it is evaluated
	last   bool // it is [last()]

	ranged  bool // it leaves those from one place to another, by comparing the position
	op      string
	bound   xpathValue // with this
	bounded bool       // none behind upTo is left, however many there are
	upTo    int
}

func (p *xpathPred) matches(c *xpathContext) bool {
	switch {
	case p.k > 0:
		return c.pos == p.k
	case p.number:
		return p.expr.number(c) == float64(c.pos)
	}
	return truthOf(p.expr, c)
}

type xpathStep struct {
	axis  xpathAxis
	test  xpathTest
	preds []*xpathPred

	positions bool // what the predicates choose depends on places
	sizes     bool // and on how many there are
	lead      int  // how many predicates come before the first that does
}

// An xpathPath is a location path, or a value with predicates or steps after it.
type xpathPath struct {
	xpathIsNodes

	absolute bool
	base     xpathValue // nil if it begins at the context
	preds    []*xpathPred
	steps    []*xpathStep

	chain     bool   // it can be walked without keeping what each step gives: it comes to no node twice
	ordered   bool   // and that is in document order
	attribute string // it is @name and nothing else
}

// plan finds out how a path is evaluated best.
func (p *xpathPath) plan() {
	written := p.steps
	p.steps = nil
	for i, s := range written {
		for _, pred := range s.preds {
			s.positions = s.positions || pred.uses.position || pred.uses.last
			s.sizes = s.sizes || pred.uses.last
		}
		s.findLead()
		if s.axis == axisSelf && s.test.kind == testNode && len(s.preds) == 0 && len(written) > 1 && (i > 0 || len(written) > i+1) {
			continue
		}
		if n := len(p.steps); n > 0 && p.steps[n-1].axis == axisDescendantOrSelf && p.steps[n-1].test.kind == testNode && len(p.steps[n-1].preds) == 0 {
			switch {
			case s.axis == axisChild && s.positions:
				s.axis = axisDeepChild
				p.steps = p.steps[:n-1]
			case s.axis == axisChild || s.axis == axisDescendant && !s.positions:
				s.axis = axisDescendant
				p.steps = p.steps[:n-1]
			}
		}
		p.steps = append(p.steps, s)
	}
	if p.base != nil {
		return
	}
	p.chain, p.ordered = true, true
	below := false // the nodes may stand in each other
	for i, s := range p.steps {
		switch s.axis {
		case axisChild:
			p.ordered = p.ordered && !below
		case axisSelf, axisAttribute:
		case axisDescendant, axisDescendantOrSelf, axisDeepChild, axisParent:
			p.chain = p.chain && i == 0
			below = true
		default:
			p.chain = p.chain && i == 0
			p.ordered = p.ordered && !s.axis.backward()
			below = true
		}
	}
	p.ordered = p.ordered && p.chain
	if s := p.steps; len(s) == 1 && !p.absolute && s[0].axis == axisAttribute && s[0].test.kind == testName && len(s[0].preds) == 0 && !strings.HasPrefix(s[0].test.name, "xmlns") {
		p.attribute = s[0].test.name
	}
}

func (p *xpathPath) attributeValue(c *xpathContext) (string, bool) {
	n := c.node
	if n.attr >= 0 {
		return "", false
	}
	for n.attr = range n.Attr {
		if p.steps[0].test.matchesAttribute(n) {
			return n.Attr[n.attr].Val, true
		}
	}
	return "", false
}

func (p *xpathPath) start(c *xpathContext) xpathNode {
	if p.absolute {
		return xpathNode{c.run.root(c.node), -1}
	}
	return c.node
}

// walk yields the nodes of a chain, until yield returns false.
func (p *xpathPath) walk(c *xpathContext, yield func(xpathNode) bool) {
	p.walkFrom(c.run, p.start(c), 0, yield)
}

func (p *xpathPath) walkFrom(r *xpathRun, n xpathNode, step int, yield func(xpathNode) bool) bool {
	switch {
	case step == len(p.steps):
		return yield(n)
	case step == len(p.steps)-1:
		return p.steps[step].from(r, n, yield)
	}
	return p.steps[step].from(r, n, func(n xpathNode) bool { return p.walkFrom(r, n, step+1, yield) })
}

func (p *xpathPath) nodes(c *xpathContext) []xpathNode {
	if !p.absolute {
		return p.find(c)
	}
	nodes, ok := c.run.found[p]
	if !ok {
		nodes = p.find(c)
		if c.run.found == nil {
			c.run.found = make(map[*xpathPath][]xpathNode)
		}
		c.run.found[p] = nodes
	}
	return nodes
}

func (p *xpathPath) find(c *xpathContext) []xpathNode {
	var nodes []xpathNode
	if p.ordered {
		p.walk(c, func(n xpathNode) bool {
			nodes = append(nodes, n)
			return true
		})
		return nodes
	}
	if p.base == nil {
		nodes = []xpathNode{p.start(c)}
	} else {
		nodes = p.base.nodes(c)
		if len(p.preds) > 0 {
			nodes = filterNodes(c.run, nodes, p.preds)
		}
	}
	for _, s := range p.steps {
		if len(nodes) == 0 {
			return nil
		}
		nodes = s.apply(c.run, nodes)
	}
	return nodes
}

// filterNodes leaves those of which the predicates are true, in a list of its own.
func filterNodes(r *xpathRun, nodes []xpathNode, preds []*xpathPred) []xpathNode {
	for _, p := range preds {
		if p.k > 0 {
			if p.k > len(nodes) {
				return nil
			}
			nodes = nodes[p.k-1 : p.k]
			continue
		}
		c := &xpathContext{run: r, size: len(nodes), inner: true}
		var left []xpathNode
		for i, n := range nodes {
			c.node, c.pos = n, i+1
			if p.matches(c) {
				left = append(left, n)
			}
		}
		nodes = left
	}
	return nodes
}

// from yields what a step gives at one node, in the order of its axis, until yield returns false; it then does too.
func (s *xpathStep) from(r *xpathRun, n xpathNode, yield func(xpathNode) bool) bool {
	switch {
	case s.axis == axisDeepChild:
		return s.deep(r, []xpathNode{n}, yield)
	case s.axis == axisAttribute && n.attr >= 0:
		return true
	}
	if p, ok := r.piece(s, n); ok {
		return p.choose(r, yield)
	}
	switch {
	case s.sizes:
		return s.fromAll(r, n, yield)
	case len(s.preds) == 0 && s.axis == axisAttribute:
		return s.attributes(r, n, yield)
	case len(s.preds) == 0:
		return s.each(r, n, func(n xpathNode) bool { return r.look() && (!s.test.matches(n) || yield(n)) })
	case !s.positions && s.axis != axisAttribute:
		c := &xpathContext{run: r, inner: true}
		return s.each(r, n, func(n xpathNode) bool { return r.look() && (!s.chooses(c, n, s.preds) || yield(n)) })
	}
	next, going := counting(r, s.preds, yield)
	if s.axis == axisAttribute {
		s.attributes(r, n, next)
	} else {
		s.each(r, n, func(n xpathNode) bool { return r.look() && (!s.test.matches(n) || next(n)) })
	}
	return *going
}

// counting yields those of which predicates are true that do not ask how many there are: next is given all, and reports false when it needs no more of them.
func counting(r *xpathRun, preds []*xpathPred, yield func(xpathNode) bool) (next func(xpathNode) bool, going *bool) {
	counts := make([]int, len(preds))
	c := &xpathContext{run: r, inner: true}
	going = new(bool)
	*going = true
	return func(n xpathNode) bool {
		over := false // nothing that comes can be what one of them wants
		c.node = n
		for i, p := range preds {
			counts[i]++
			c.pos = counts[i]
			over = over || p.bounded && c.pos >= p.upTo
			if !p.matches(c) {
				return !over
			}
		}
		*going = yield(n)
		return *going && !over
	}, going
}

// chooses reports whether a step takes a node by its test and predicates that do not count. It changes c.
func (s *xpathStep) chooses(c *xpathContext, n xpathNode, preds []*xpathPred) bool {
	if !s.test.matches(n) {
		return false
	}
	if c.node = n; len(preds) == 1 {
		return truthOf(preds[0].expr, c)
	}
	for _, p := range preds {
		if !truthOf(p.expr, c) {
			return false
		}
	}
	return true
}

// attributes yields the attributes of an element that the step's test asks for.
func (s *xpathStep) attributes(r *xpathRun, n xpathNode, yield func(xpathNode) bool) bool {
	for n.attr = range n.Attr {
		if s.test.matchesAttribute(n) && !r.declares(n) {
			if !yield(n) {
				return false
			}
			if s.test.kind == testName {
				return true
			}
		}
	}
	return true
}

// fromAll is from for a step whose predicates ask how many there are.
func (s *xpathStep) fromAll(r *xpathRun, n xpathNode, yield func(xpathNode) bool) bool {
	var all []xpathNode
	preds := s.preds
	passed := 0
	if preds[0].last && s.axis.eachFromEnd(n, func(n xpathNode) bool {
		if passed++; s.test.matches(n) {
			all = append(all, n)
		}
		return len(all) == 0 && r.look()
	}) {
		if preds = preds[1:]; s.axis.beside() {
			r.passed(s, n, passed)
		}
	} else {
		add := func(n xpathNode) bool {
			all = append(all, n)
			return true
		}
		if s.axis == axisAttribute {
			s.attributes(r, n, add)
		} else {
			s.each(r, n, func(n xpathNode) bool { return r.look() && (!s.test.matches(n) || add(n)) })
		}
	}
	for _, n := range filterNodes(r, all, preds) {
		if !yield(n) {
			return false
		}
	}
	return true
}

// apply is what a step gives at all of some nodes, which are in document order, in that order too.
func (s *xpathStep) apply(r *xpathRun, at []xpathNode) []xpathNode {
	var found []xpathNode
	add := func(n xpathNode) bool {
		if len(found) == 0 || found[len(found)-1] != n {
			found = append(found, n)
		}
		return true
	}
	attributes := slices.ContainsFunc(at, func(n xpathNode) bool { return n.attr >= 0 })
	switch {
	case len(at) == 1:
		s.from(r, at[0], add)
		if s.axis.backward() {
			slices.Reverse(found)
		}
		return found
	case s.axis == axisSelf || s.axis == axisAttribute:
		for _, n := range at {
			s.from(r, n, add)
		}
		return found
	case s.axis == axisChild:
		s.children(r, at, add)
		return found
	case s.axis == axisDeepChild:
		s.deep(r, at, add)
		return found
	case attributes || s.positions || s.axis == axisParent:
		most := 1 << 16
		var sides []*xpathSide
		for _, n := range at {
			if p, ok := r.piece(s, n); ok && len(p.rest) == 0 {
				if p.mark() {
					sides = append(sides, p.xpathSide)
				}
				continue
			}
			if s.from(r, n, add); len(found) > most { // many of them many times over
				found = xpathOrder(found)
				most = 2*len(found) + 1<<16
			}
		}
		for _, side := range sides {
			side.marked(add)
		}
		return xpathOrder(found)
	}
	// From here on it does not count from which of the nodes another is found.
	switch s.axis {
	case axisDescendant, axisDescendantOrSelf:
		s.below(r, at, add)
		return found
	case axisFollowing: // all that comes after the first to end
		first := at[0].Node
		for _, n := range at[1:] {
			if !standsIn(n.Node, first) {
				break
			}
			first = n.Node
		}
		s.from(r, xpathNode{first, -1}, add)
		return found
	case axisPreceding: // all that ends before the last to begin
		s.from(r, at[len(at)-1], add)
		slices.Reverse(found)
		return found
	}
	// Siblings and what the nodes stand in: what comes after one that has been passed has been passed too.
	passed := make(map[*html.Node]bool, len(at))
	c := &xpathContext{run: r, inner: true}
	for _, n := range at {
		s.axis.each(n, func(n xpathNode) bool {
			if passed[n.Node] {
				return false
			}
			passed[n.Node] = true
			return r.look() && (!s.chooses(c, n, s.preds) || add(n))
		})
	}
	return xpathOrder(found)
}

// standsIn reports whether a node stands in another.
func standsIn(n, in *html.Node) bool {
	for n = n.Parent; n != nil && n != in; n = n.Parent {
	}
	return n != nil
}

// below yields what a step gives below nodes that may stand in each other.
func (s *xpathStep) below(r *xpathRun, at []xpathNode, yield func(xpathNode) bool) {
	c := &xpathContext{run: r, inner: true}
	for len(at) > 0 {
		top := at[0].Node
		at = at[1:]
		n := top
		if s.axis == axisDescendant {
			n = followingIn(top, top)
		}
		for ; n != nil; n = followingIn(n, top) {
			if len(at) > 0 && at[0].Node == n {
				at = at[1:]
			}
			if found := (xpathNode{n, -1}); r.look() && s.chooses(c, found, s.preds) {
				yield(found)
			}
		}
	}
}

// An openNode is one of the nodes whose children are being yielded.
type openNode struct {
	*html.Node

	next   *html.Node  // the first child that has not been looked at
	last   *html.Node  // the one before
	chosen []xpathNode // of its children by predicates that count
}

// children yields the children of nodes that may stand in each other, in document order.
func (s *xpathStep) children(r *xpathRun, at []xpathNode, yield func(xpathNode) bool) {
	context := &xpathContext{run: r, inner: true}
	// upTo yields those children that do not come after one, nil for all.
	upTo := func(o *openNode, last *html.Node) {
		for c := o.next; c != nil && (last == nil || o.last != last); c = c.NextSibling {
			o.next, o.last = c.NextSibling, c
			switch {
			case !s.positions:
				if found := (xpathNode{c, -1}); r.look() && s.chooses(context, found, s.preds) {
					yield(found)
				}
			case len(o.chosen) > 0 && o.chosen[0].Node == c:
				yield(o.chosen[0])
				o.chosen = o.chosen[1:]
			}
		}
	}
	var open []openNode
	for _, n := range at {
		if n.attr >= 0 {
			continue
		}
		for len(open) > 0 {
			o := &open[len(open)-1]
			child := n.Node
			if child.Parent == o.Parent {
				child = nil
			}
			for child != nil && child.Parent != o.Node {
				child = child.Parent
			}
			if upTo(o, child); child != nil {
				break
			}
			open = open[:len(open)-1]
		}
		o := openNode{Node: n.Node, next: n.FirstChild}
		if s.positions {
			s.from(r, n, func(n xpathNode) bool {
				o.chosen = append(o.chosen, n)
				return true
			})
		}
		open = append(open, o)
	}
	for _, o := range slices.Backward(open) {
		upTo(&o, nil)
	}
}

// deep yields the children of nodes and of all below them, of which the places among their siblings count.
func (s *xpathStep) deep(r *xpathRun, at []xpathNode, yield func(xpathNode) bool) bool {
	children := &xpathStep{axis: axisChild, test: s.test, preds: s.preds, positions: s.positions, sizes: s.sizes}
	var chosen []xpathNode // the children, by predicates, of all that is open
	var open [][2]int      // where those of each begin in chosen, and which is the next
	keep := func(n xpathNode) bool {
		chosen = append(chosen, n)
		return true
	}
	enter := func(n *html.Node) {
		open = append(open, [2]int{len(chosen), len(chosen)})
		children.from(r, xpathNode{n, -1}, keep)
	}
	leave := func() {
		chosen = chosen[:open[len(open)-1][0]]
		open = open[:len(open)-1]
	}
	for len(at) > 0 {
		top := at[0]
		at = at[1:]
		if top.attr >= 0 || top.FirstChild == nil {
			continue
		}
		enter(top.Node)
		for n := top.FirstChild; ; {
			if len(at) > 0 && at[0] == (xpathNode{n, -1}) {
				at = at[1:]
			}
			if o := &open[len(open)-1]; o[1] < len(chosen) && chosen[o[1]].Node == n {
				o[1]++
				if !yield(xpathNode{n, -1}) {
					return false
				}
			}
			if n.FirstChild != nil {
				enter(n)
				n = n.FirstChild
				continue
			}
			for n != top.Node && n.NextSibling == nil {
				n = n.Parent
				leave()
			}
			if n == top.Node {
				break
			}
			n = n.NextSibling
		}
	}
	return true
}

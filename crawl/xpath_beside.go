package crawl

import (
	"errors"
	"math"
	"slices"

	"golang.org/x/net/html"
)

// What stands beside a node, on the axes of siblings and of what precedes and follows, is nearly always near, or asked for once. A step that goes far from many nodes
// would look at the same ones each time: 50,000 siblings are more than a thousand million pairs. So what steps go through is counted, and where it is much they find
// once all that they could find, in document order. What stands beside a node is then a piece of that list, and so are most choices by places.

const (
	// xpathNear is how far a step goes without that being counted.
	xpathNear = 16
	// xpathFar and xpathFarOnPage are how much steps go through, among the children of one element or on the page, before they find all at once.
	xpathFar       = 4 << 10
	xpathFarOnPage = 64 << 10
	// maxXPathWork is how many nodes an evaluation may look at: what is quadratic all the same ends after some seconds.
	maxXPathWork = 1 << 27
)

// xpathLimits are those of a run.
type xpathLimits struct{ near, far, farOnPage, most int }

var errXPathWork = errors.New("it looks at too many nodes, at all or most of this large page again for each of many others: select those first, then ask each for what is near it " +
	"(and where texts are compared to leave out those that come again, set:distinct() does it)")

// look counts a node that is looked at. It reports false, and the run has an error, when they are too many.
func (r *xpathRun) look() bool {
	if r.looked++; r.looked <= r.limits.most {
		return true
	}
	if r.err == nil {
		r.err = errXPathWork
	}
	return false
}

// valueOf is a node's value, which takes as long as to look at some more nodes.
func (r *xpathRun) valueOf(n xpathNode) string {
	r.looked += 8
	return n.value()
}

// An xpathSide is what a step finds, by its test and the predicates before the first that counts, among the children of an element or on the page.
type xpathSide struct {
	passed int                  // how many nodes were gone through
	nodes  []*html.Node         // in document order
	before map[*html.Node]int32 // how many of them come before a node. nil: nothing has been looked for
	marks  []int32              // where pieces begin (1) and end (-1) that are wanted
}

// xpathSideKey is whose side it is. in is nil for the page.
type xpathSideKey struct {
	step *xpathStep
	in   *html.Node
}

func (r *xpathRun) sideOf(s *xpathStep, n xpathNode) (key xpathSideKey, most int) {
	if s.axis.ofSiblings() {
		return xpathSideKey{s, n.Parent}, r.limits.far
	}
	return xpathSideKey{s, nil}, r.limits.farOnPage
}

// each yields the nodes of a step's axis.
func (s *xpathStep) each(r *xpathRun, n xpathNode, yield func(xpathNode) bool) bool {
	if !s.axis.beside() {
		return s.axis.each(n, yield)
	}
	passed := 0
	going := s.axis.each(n, func(n xpathNode) bool {
		passed++
		return yield(n)
	})
	r.passed(s, n, passed)
	return going
}

// passed notes how many nodes a step went through.
func (r *xpathRun) passed(s *xpathStep, n xpathNode, nodes int) {
	if nodes <= r.limits.near {
		return
	}
	if r.sides == nil {
		r.sides = make(map[xpathSideKey]*xpathSide)
	}
	key, _ := r.sideOf(s, n)
	side := r.sides[key]
	if side == nil {
		side = new(xpathSide)
		r.sides[key] = side
	}
	side.passed += nodes
}

// side is what a step finds beside a node, if that is known or worth to be found.
func (r *xpathRun) side(s *xpathStep, n xpathNode) (*xpathSide, bool) {
	if len(r.sides) == 0 || !s.axis.beside() || s.axis.ofSiblings() && (n.attr >= 0 || n.Parent == nil) {
		return nil, false
	}
	key, most := r.sideOf(s, n)
	side := r.sides[key]
	if side == nil || side.passed <= most {
		return nil, false
	}
	if side.before == nil {
		side.before = make(map[*html.Node]int32)
		c := &xpathContext{run: r, inner: true}
		at := r.root(n)
		if key.in != nil {
			at = key.in.FirstChild
		}
		for at != nil {
			side.before[at] = int32(len(side.nodes))
			if s.chooses(c, xpathNode{at, -1}, s.preds[:s.lead]) {
				side.nodes = append(side.nodes, at)
			}
			if key.in != nil {
				at = at.NextSibling
			} else {
				at = followingIn(at, nil)
			}
		}
	}
	return side, true
}

// An xpathPiece is a piece of what a step finds: what stands beside one node, and of that what the predicates leave that count nothing but places.
type xpathPiece struct {
	*xpathSide

	from, to int   // in nodes
	backward bool  // places are counted from the end
	out      []int // those in it that are not on the axis, last first: the node stands in them

	first, last int          // the places that are left, from 1
	rest        []*xpathPred // the predicates that are to be asked yet
}

// piece is what a step finds beside a node, if that is known or worth to be found.
func (r *xpathRun) piece(s *xpathStep, n xpathNode) (p xpathPiece, ok bool) {
	if p.xpathSide, ok = r.side(s, n); !ok {
		return p, false
	}
	here := int(p.before[n.Node])
	switch s.axis {
	case axisFollowingSibling:
		if p.from, p.to = here, len(p.nodes); here < p.to && p.nodes[here] == n.Node {
			p.from++
		}
	case axisFollowing:
		p.from, p.to = len(p.nodes), len(p.nodes)
		if after := afterNode(n.Node); after != nil {
			p.from = int(p.before[after])
		}
	default:
		p.to, p.backward = here, true
		for up := n.Parent; up != nil && s.axis == axisPreceding; up = up.Parent {
			if i := int(p.before[up]); i < len(p.nodes) && p.nodes[i] == up {
				p.out = append(p.out, i)
			}
		}
	}
	p.first, p.last = 1, p.to-p.from-len(p.out)
	for p.rest = s.preds[s.lead:]; len(p.rest) > 0 && p.rest[0].ranged; p.rest = p.rest[1:] {
		first, last := p.rest[0].places(p.last - p.first + 1)
		p.first, p.last = p.first+first-1, p.first+last-1
	}
	return p, true
}

// at is where in nodes a place is.
func (p *xpathPiece) at(place int) int {
	if !p.backward {
		return p.from + place - 1
	}
	i := p.to - place
	for _, out := range p.out {
		if out >= i {
			i--
		}
	}
	return i
}

func (p *xpathPiece) node(place int) xpathNode { return xpathNode{p.nodes[p.at(place)], -1} }

// each yields the nodes that are left, in the order of the axis.
func (p *xpathPiece) each(r *xpathRun, yield func(xpathNode) bool) bool {
	for place := p.first; place <= p.last; place++ {
		if !r.look() || !yield(p.node(place)) {
			return false
		}
	}
	return true
}

// choose yields those that the other predicates leave too.
func (p *xpathPiece) choose(r *xpathRun, yield func(xpathNode) bool) bool {
	switch {
	case len(p.rest) == 0:
		return p.each(r, yield)
	case !slices.ContainsFunc(p.rest, func(p *xpathPred) bool { return p.uses.last }):
		next, going := counting(r, p.rest, yield)
		p.each(r, next)
		return *going
	}
	var all []xpathNode
	p.each(r, func(n xpathNode) bool {
		all = append(all, n)
		return true
	})
	for _, n := range filterNodes(r, all, p.rest) {
		if !yield(n) {
			return false
		}
	}
	return true
}

// mark notes that the nodes that are left are wanted. first is true if it is the first piece of what the step finds.
func (p *xpathPiece) mark() (first bool) {
	if p.first > p.last {
		return false
	}
	if first = p.marks == nil; first {
		p.marks = make([]int32, len(p.nodes)+1)
	}
	from, to := p.at(p.first), p.at(p.last)
	if p.backward {
		from, to = to, from
	}
	p.marks[from]++
	p.marks[to+1]--
	for _, out := range p.out {
		if from <= out && out <= to {
			p.marks[out]--
			p.marks[out+1]++
		}
	}
	return first
}

// marked yields the nodes that are wanted, and forgets that they are.
func (s *xpathSide) marked(yield func(xpathNode) bool) {
	wanted := int32(0)
	for i, n := range s.nodes {
		if wanted += s.marks[i]; wanted > 0 {
			yield(xpathNode{n, -1})
		}
	}
	s.marks = nil
}

// pieceOf is a path's nodes, if it is but a step and they are known to be a piece.
func pieceOf(v xpathValue, c *xpathContext) (xpathPiece, bool) {
	p, ok := v.(*xpathPath)
	if !ok || p.absolute || p.base != nil || len(p.steps) != 1 {
		return xpathPiece{}, false
	}
	piece, ok := c.run.piece(p.steps[0], c.node)
	return piece, ok && len(piece.rest) == 0
}

// countOf is how many nodes a value has.
func countOf(v xpathValue, c *xpathContext) int {
	if p, ok := pieceOf(v, c); ok {
		return max(0, p.last-p.first+1)
	}
	return len(v.nodes(c))
}

// bySize reports whether a number depends on nothing but how many nodes there are.
func bySize(v xpathValue) bool {
	switch v := v.(type) {
	case xpathNumber:
		return true
	case *xpathArithmetic:
		return bySize(v.left) && bySize(v.right)
	case *xpathCall:
		return v.name == "last"
	}
	return false
}

// findRange finds out whether a predicate leaves those from one place to another: [3], [last() - 1], [position() < 4].
func (p *xpathPred) findRange() {
	x, ok := p.expr.(*xpathComparison)
	switch {
	case p.number:
		p.op, p.bound = "=", p.expr
	case ok && isPosition(x.left):
		p.op, p.bound = x.op, x.right
	case ok && isPosition(x.right):
		p.op, p.bound = turned(x.op), x.left
	}
	if p.ranged = p.bound != nil && p.op != "!=" && bySize(p.bound); !p.ranged || p.uses.last {
		return
	}
	if _, last := p.places(math.MaxInt32); last < math.MaxInt32 {
		p.bounded, p.upTo = true, last
	}
}

func isPosition(v xpathValue) bool {
	call, ok := v.(*xpathCall)
	return ok && call.name == "position"
}

// places are the first and the last place that a predicate leaves of so many.
func (p *xpathPred) places(size int) (first, last int) {
	least, most := 1.0, float64(size)
	switch bound := p.bound.number(&xpathContext{size: size}); p.op {
	case "=":
		least, most = math.Ceil(bound), math.Floor(bound)
	case "<":
		most = math.Ceil(bound) - 1
	case "<=":
		most = math.Floor(bound)
	case ">":
		least = math.Floor(bound) + 1
	default:
		least = math.Ceil(bound)
	}
	if least, most = max(least, 1), min(most, float64(size)); !(least <= most) { // NaN too
		return 1, 0
	}
	return int(least), int(most)
}

// findLead finds how many predicates come before the first that counts.
func (s *xpathStep) findLead() {
	if s.lead = slices.IndexFunc(s.preds, func(p *xpathPred) bool { return p.uses.position || p.uses.last }); s.lead < 0 {
		s.lead = len(s.preds)
	}
}

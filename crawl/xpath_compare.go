package crawl

import "math"

// An xpathComparison compares values. Of nodes it is true if it is of one of them, or of one pair.
type xpathComparison struct {
	xpathIsTruth

	op          string
	left, right xpathValue
}

func (x *xpathComparison) truth(c *xpathContext) (truth bool) {
	left, right := x.left.kind(), x.right.kind()
	switch {
	case left == xpathTruths || right == xpathTruths:
		if x.op == "=" || x.op == "!=" {
			return (truthOf(x.left, c) == truthOf(x.right, c)) == (x.op == "=")
		}
		return compareNumbers(x.op, truthNumber(x.left, c, right), truthNumber(x.right, c, left))
	case left == xpathNodes && right == xpathNodes:
		return x.ofPairs(c)
	case left == xpathNodes:
		return x.ofNodes(c, x.left, x.right, x.op)
	case right == xpathNodes:
		return x.ofNodes(c, x.right, x.left, turned(x.op))
	case x.op != "=" && x.op != "!=" || left == xpathNumbers || right == xpathNumbers:
		return compareNumbers(x.op, numberOf(x.left, c), numberOf(x.right, c))
	}
	return (textOf(x.left, c) == textOf(x.right, c)) == (x.op == "=")
}

// truthNumber is a number to compare with another value: beside a truth value, nodes count as one.
func truthNumber(v xpathValue, c *xpathContext, other xpathKind) float64 {
	if other == xpathTruths && v.kind() == xpathNodes {
		return truthNumber(xpathTruth(truthOf(v, c)), c, other)
	}
	return numberOf(v, c)
}

// turned is the operator for the sides the other way round.
func turned(op string) string {
	switch op {
	case "<", "<=":
		return ">" + op[1:]
	case ">", ">=":
		return "<" + op[1:]
	}
	return op
}

func compareNumbers(op string, a, b float64) bool {
	switch op {
	case "=":
		return a == b
	case "!=":
		return a != b
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	}
	return a >= b
}

// ofNodes compares nodes with a text or a number.
func (x *xpathComparison) ofNodes(c *xpathContext, nodes, with xpathValue, op string) (truth bool) {
	texts := with.kind() == xpathTexts && (op == "=" || op == "!=")
	text, number := "", 0.0
	if texts {
		text = textOf(with, c)
	} else {
		number = numberOf(with, c)
	}
	compare := func(v string) bool {
		if texts {
			return (v == text) == (op == "=")
		}
		return compareNumbers(op, parseNumber(v), number)
	}
	if p, ok := nodes.(*xpathPath); ok && p.attribute != "" {
		v, ok := p.attributeValue(c)
		return ok && compare(v)
	}
	eachNode(nodes, c, func(n xpathNode) bool {
		truth = compare(c.run.valueOf(n))
		return !truth
	})
	return truth
}

// xpathValues are the values of a set of nodes, in the form in which they are compared with another set.
type xpathValues struct {
	texts map[string]bool
	any   string  // one of them
	least float64 // of those that are numbers; NaN if none is
	most  float64
}

func valuesOf(v xpathValue, c *xpathContext) *xpathValues {
	p, ok := v.(*xpathPath)
	if kept := c.run.values[p]; ok && kept != nil {
		return kept
	}
	values := &xpathValues{texts: make(map[string]bool), least: math.NaN(), most: math.NaN()}
	for _, n := range v.nodes(c) {
		s := c.run.valueOf(n)
		if values.any = s; values.texts[s] {
			continue
		}
		values.texts[s] = true
		if f := parseNumber(s); !math.IsNaN(f) {
			if !(values.least <= f) {
				values.least = f
			}
			if !(values.most >= f) {
				values.most = f
			}
		}
	}
	if ok && p.absolute {
		if c.run.values == nil {
			c.run.values = make(map[*xpathPath]*xpathValues)
		}
		c.run.values[p] = values
	}
	return values
}

// ofPairs compares the nodes of both sides: it is true if it is of one pair.
func (x *xpathComparison) ofPairs(c *xpathContext) (truth bool) {
	left, right, op := x.left, x.right, x.op
	if p, ok := left.(*xpathPath); ok && p.absolute { // whose values are kept
		left, right, op = right, left, turned(op)
	}
	values := valuesOf(right, c)
	if len(values.texts) == 0 {
		return false
	}
	eachNode(left, c, func(n xpathNode) bool {
		s := c.run.valueOf(n)
		switch op {
		case "=":
			truth = values.texts[s]
		case "!=":
			truth = len(values.texts) > 1 || s != values.any
		case "<", "<=":
			truth = compareNumbers(op, parseNumber(s), values.most)
		default:
			truth = compareNumbers(op, parseNumber(s), values.least)
		}
		return !truth
	})
	return truth
}

package crawl

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxXPathDepth is how deep brackets may stand in each other, which are read and evaluated recursively.
	maxXPathDepth = 100
	// maxXPathTokens is how long an expression may be: a chain of operators is evaluated recursively too.
	maxXPathTokens = 100_000
)

// An xpathToken is a piece of an expression.
type xpathToken struct {
	kind byte // 'n' name, '"' literal, '1' number, '$' variable, 'o' operator or punctuation, 0 the end
	text string
	pos  int
}

func scanXPath(expr string) ([]xpathToken, error) {
	var tokens []xpathToken
	var open []xpathToken
	if strings.TrimSpace(expr) == "" {
		return nil, errors.New("the expression is empty")
	}
	for i := 0; i < len(expr); {
		c := expr[i]
		if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			i++
			continue
		}
		t := xpathToken{pos: i}
		n := 1
		switch {
		case c == '"' || c == '\'':
			end := strings.IndexByte(expr[i+1:], c)
			if end < 0 {
				return nil, at(i, "the string is not closed")
			}
			t.kind, t.text, n = '"', expr[i+1:i+1+end], end+2
		case '0' <= c && c <= '9' || c == '.' && i+1 < len(expr) && '0' <= expr[i+1] && expr[i+1] <= '9':
			for i+n < len(expr) && ('0' <= expr[i+n] && expr[i+n] <= '9' || expr[i+n] == '.') {
				n++
			}
			t.kind, t.text = '1', expr[i:i+n]
			if _, err := strconv.ParseFloat(t.text, 64); err != nil {
				return nil, at(i, "%q is not a number", t.text)
			}
		case c == '$':
			n = 1 + scanName(expr[i+1:])
			if n == 1 {
				return nil, at(i, "expected the name of a variable after $")
			}
			t.kind, t.text = '$', expr[i+1:i+n]
		case isNameByte(c) && c != '-':
			n = scanName(expr[i:])
			t.kind, t.text = 'n', expr[i:i+n]
		default:
			t.kind = 'o'
			for _, op := range [...]string{"::", "//", "..", "!=", "<=", ">="} {
				if strings.HasPrefix(expr[i:], op) {
					n = 2
				}
			}
			if t.text = expr[i : i+n]; n == 1 && !strings.Contains("/.()[]@,|+-=<>*", t.text) {
				char, _ := utf8.DecodeRuneInString(expr[i:])
				return nil, at(i, "%q has no meaning here", char)
			}
			switch t.text {
			case "(", "[":
				open = append(open, t)
			case ")", "]":
				if len(open) == 0 || (open[len(open)-1].text == "(") != (t.text == ")") {
					return nil, at(i, "%q closes nothing", t.text)
				}
				open = open[:len(open)-1]
			}
		}
		i += n
		if tokens = append(tokens, t); len(tokens) > maxXPathTokens {
			return nil, at(t.pos, "the expression has more than %d names, operators and values", maxXPathTokens)
		}
	}
	if len(open) > 0 {
		return nil, at(open[len(open)-1].pos, "%q is not closed", open[len(open)-1].text)
	}
	return append(tokens, xpathToken{pos: len(expr)}), nil
}

// scanName is the length of a name, with its prefix: "a", "g:price", "g:*".
func scanName(s string) int {
	n := 0
	for n < len(s) && (isNameByte(s[n]) || s[n] == '.') {
		n++
	}
	if n > 0 && n+1 < len(s) && s[n] == ':' && s[n+1] != ':' {
		if s[n+1] == '*' {
			return n + 2
		}
		if rest := scanName(s[n+1:]); rest > 0 {
			return n + 1 + rest
		}
	}
	return n
}

// An xpathParser reads an expression by recursive descent.
type xpathParser struct {
	tokens   []xpathToken // the last one is the end
	i        int
	vars     []Vars
	prefixes bool // vars make some known
	depth    int
	uses     *xpathUses // of the predicate that is being read
}

// xpathUses says which of its context's properties a predicate asks for, so that others need not be found out.
type xpathUses struct{ position, last bool }

// parseXPath compiles an expression with its variables in place.
func parseXPath(expr string, vars []Vars) (*xpathExpr, error) {
	tokens, err := scanXPath(expr)
	if err != nil {
		return nil, err
	}
	p := &xpathParser{tokens: tokens, vars: vars, uses: new(xpathUses)}
	for _, v := range vars {
		for name := range v {
			p.prefixes = p.prefixes || strings.HasPrefix(name, xmlnsPrefix)
		}
	}
	x, err := p.expression()
	if err == nil && p.next().kind != 0 {
		err = p.unexpected("the end or an operator")
	}
	if err != nil {
		return nil, err
	}
	return &xpathExpr{expr: x, nodes: x.kind() == xpathNodes, source: expr}, nil
}

func (p *xpathParser) next() xpathToken { return p.tokens[p.i] }

// is reports whether an operator or a bracket comes.
func (p *xpathParser) is(op string) bool {
	return p.tokens[p.i].kind == 'o' && p.tokens[p.i].text == op
}

// isAfter reports whether one comes after the next token.
func (p *xpathParser) isAfter(op string) bool {
	return p.tokens[p.i].kind != 0 && p.tokens[p.i+1].kind == 'o' && p.tokens[p.i+1].text == op
}

// take passes an operator or a bracket if it comes.
func (p *xpathParser) take(op string) bool {
	if p.is(op) {
		p.i++
		return true
	}
	return false
}

func (p *xpathParser) unexpected(want string) error {
	t := p.next()
	if t.kind == 0 {
		return at(t.pos, "the expression ends, where %s should come", want)
	}
	return at(t.pos, "%q stands where %s should come", t.text, want)
}

// xpathOperators are those of two sides, the ones that bind least first.
var xpathOperators = [...][]string{{"or"}, {"and"}, {"=", "!="}, {"<", "<=", ">", ">="}, {"+", "-"}, {"*", "div", "mod"}}

func (p *xpathParser) expression() (xpathValue, error) {
	if p.depth++; p.depth > maxXPathDepth {
		return nil, at(p.next().pos, "more than %d brackets stand in each other", maxXPathDepth)
	}
	defer func() { p.depth-- }()
	return p.binary(0)
}

func (p *xpathParser) binary(level int) (xpathValue, error) {
	if level == len(xpathOperators) {
		return p.negation()
	}
	left, err := p.binary(level + 1)
	for err == nil {
		t := p.next()
		if t.kind != 'o' && t.kind != 'n' || !slices.Contains(xpathOperators[level], t.text) {
			break
		}
		p.i++
		var right xpathValue
		if right, err = p.binary(level + 1); err != nil {
			break
		}
		switch level {
		case 0, 1:
			left = &xpathLogic{or: level == 0, left: left, right: right}
		case 2, 3:
			left = &xpathComparison{op: t.text, left: left, right: right}
		default:
			left = &xpathArithmetic{op: t.text, left: left, right: right}
		}
	}
	return left, err
}

func (p *xpathParser) negation() (xpathValue, error) {
	signs := 0
	for ; p.take("-"); signs++ {
	}
	x, err := p.union()
	if signs > 0 && err == nil {
		x = &xpathArithmetic{op: "*", left: xpathNumber(1 - 2*(signs%2)), right: x}
	}
	return x, err
}

func (p *xpathParser) union() (xpathValue, error) {
	pos := p.next().pos
	x, err := p.path()
	if err != nil || !p.is("|") {
		return x, err
	}
	u := &xpathUnion{}
	for {
		if x.kind() != xpathNodes {
			return nil, at(pos, "| joins nodes, and this is a %s", x.kind())
		}
		u.of = append(u.of, x)
		if !p.take("|") {
			return u, nil
		}
		pos = p.next().pos
		if x, err = p.path(); err != nil {
			return nil, err
		}
	}
}

// path reads a location path, or a value and what is selected from it.
func (p *xpathParser) path() (xpathValue, error) {
	path := &xpathPath{}
	var err error
	t := p.next()
	switch {
	case t.kind == '$' || t.kind == '"' || t.kind == '1' || p.is("(") || t.kind == 'n' && p.isAfter("(") && !isNodeTest(t.text):
		value, err := p.primary()
		if err != nil || !p.is("[") && !p.is("/") && !p.is("//") {
			return value, err
		}
		if value.kind() != xpathNodes {
			return nil, at(p.next().pos, "%s needs nodes before it, and there is a %s", p.next().text, value.kind())
		}
		path.base = value
		if path.preds, err = p.predicates(); err != nil {
			return nil, err
		}
		if !p.is("/") && !p.is("//") {
			return path, nil
		}
	case p.is("/"):
		path.absolute = true
		if after := p.tokens[p.i+1]; after.kind != 'n' && (after.kind != 'o' || !slices.Contains([]string{".", "..", "@", "*"}, after.text)) {
			p.i++
			return path, nil
		}
	case p.is("//"):
		path.absolute = true
	default:
		if err = p.step(path); err != nil {
			return nil, err
		}
	}
	for p.is("/") || p.is("//") {
		if p.next().text == "//" {
			path.steps = append(path.steps, &xpathStep{axis: axisDescendantOrSelf, test: xpathTest{kind: testNode}})
		}
		p.i++
		if err = p.step(path); err != nil {
			return nil, err
		}
	}
	path.plan()
	return path, nil
}

func isNodeTest(name string) bool {
	return name == "text" || name == "node" || name == "comment" || name == "processing-instruction"
}

func (p *xpathParser) step(path *xpathPath) error {
	s := &xpathStep{axis: axisChild}
	path.steps = append(path.steps, s)
	var err error
	switch t := p.next(); {
	case p.take("."):
		s.axis, s.test.kind = axisSelf, testNode
	case p.take(".."):
		s.axis, s.test.kind = axisParent, testNode
	default:
		if p.take("@") {
			s.axis = axisAttribute
		} else if t.kind == 'n' && p.isAfter("::") {
			axis, ok := xpathAxes[t.text]
			if !ok {
				return at(t.pos, "there is no axis %s (there are %s)", t.text, strings.Join(slices.Sorted(maps.Keys(xpathAxes)), ", "))
			}
			s.axis = axis
			p.i += 2
		}
		if s.test, err = p.test(); err != nil {
			return err
		}
	}
	s.preds, err = p.predicates()
	return err
}

func (p *xpathParser) test() (xpathTest, error) {
	t := p.next()
	switch {
	case p.take("*"):
		return xpathTest{kind: testAny}, nil
	case t.kind != 'n':
		return xpathTest{}, p.unexpected("a step")
	case p.isAfter("("):
		if !isNodeTest(t.text) {
			return xpathTest{}, at(t.pos, "the function %s() cannot be a step: write %s(path)", t.text, t.text)
		}
		p.i += 2
		if t.text == "processing-instruction" && p.next().kind == '"' {
			p.i++
		}
		if !p.take(")") {
			return xpathTest{}, p.unexpected(`")"`)
		}
		return xpathTest{kind: map[string]byte{"text": testText, "node": testNode, "comment": testComment, "processing-instruction": testNothing}[t.text]}, nil
	}
	p.i++
	return p.name(t)
}

// name reads the name of an element or attribute. Where Vars make prefixes known it is the address that counts, else what the document writes.
func (p *xpathParser) name(t xpathToken) (xpathTest, error) {
	prefix, local := splitName(t.text)
	switch {
	case strings.Contains(local, ":"):
		return xpathTest{}, at(t.pos, "%q is not a name: there is more than one colon", t.text)
	case prefix == "":
		return xpathTest{kind: testName, name: t.text}, nil
	case !p.prefixes || prefix == "xml":
		if local == "*" {
			return xpathTest{kind: testPrefix, name: prefix + ":"}, nil
		}
		return xpathTest{kind: testName, name: t.text}, nil
	}
	var known []string
	for _, vars := range p.vars {
		if uri, ok := vars[xmlnsPrefix+prefix].(string); ok {
			return xpathTest{kind: testSpace, name: local, uri: uri}, nil
		}
		for name := range vars {
			if p, ok := strings.CutPrefix(name, xmlnsPrefix); ok {
				known = append(known, p)
			}
		}
	}
	slices.Sort(known)
	return xpathTest{}, at(t.pos, "the prefix %s is not in Vars, which makes known: %s", prefix, strings.Join(known, ", "))
}

func (p *xpathParser) predicates() ([]*xpathPred, error) {
	var preds []*xpathPred
	for p.take("[") {
		outer := p.uses
		p.uses = new(xpathUses)
		x, err := p.expression()
		pred := &xpathPred{expr: x, uses: *p.uses}
		p.uses = outer
		if err != nil {
			return nil, err
		}
		if !p.take("]") {
			return nil, p.unexpected(`"]"`)
		}
		if x.kind() == xpathNumbers {
			pred.number, pred.uses.position = true, true
			k, constant := x.(xpathNumber)
			if pred.k = int(k); !constant || xpathNumber(pred.k) != k || pred.k < 1 {
				pred.k = 0
			}
		}
		call, ok := x.(*xpathCall)
		pred.last = ok && call.name == "last"
		pred.findRange()
		preds = append(preds, pred)
	}
	return preds, nil
}

func (p *xpathParser) primary() (xpathValue, error) {
	t := p.next()
	if t.kind == 'n' {
		return p.call()
	}
	p.i++
	switch t.kind {
	case '"':
		return xpathText(t.text), nil
	case '1':
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return nil, at(t.pos, "%q is not a number", t.text)
		}
		return xpathNumber(f), nil
	case '$':
		return p.variable(t)
	}
	x, err := p.expression()
	if err == nil && !p.take(")") {
		err = p.unexpected(`")"`)
	}
	return x, err
}

// variable is the value of a variable.
func (p *xpathParser) variable(t xpathToken) (xpathValue, error) {
	var known []string
	for _, vars := range p.vars {
		switch v := vars[t.text].(type) {
		case string:
			return xpathText(v), nil
		case bool:
			return xpathTruth(v), nil
		case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64:
			f, err := strconv.ParseFloat(fmt.Sprint(v), 64)
			if err != nil {
				return nil, at(t.pos, "the variable $%s is %v, which is no number", t.text, v)
			}
			return xpathNumber(f), nil
		default:
			if _, ok := vars[t.text]; ok {
				return nil, at(t.pos, "the variable $%s is a %T: want a string, a number or a bool", t.text, v)
			}
		}
		for name := range vars {
			if !strings.HasPrefix(name, xmlnsPrefix) {
				known = append(known, "$"+name)
			}
		}
	}
	if len(known) == 0 {
		return nil, at(t.pos, "the variable $%s is not given: pass it in Vars", t.text)
	}
	slices.Sort(known)
	return nil, at(t.pos, "the variable $%s is not given (there is %s)", t.text, strings.Join(known, ", "))
}

// call reads the call of a function.
func (p *xpathParser) call() (xpathValue, error) {
	t := p.next()
	f, ok := xpathFunctions[t.text]
	if !ok {
		return nil, unknownFunction(t)
	}
	p.i += 2
	c := &xpathCall{name: t.text, function: f}
	var places []int
	for !p.take(")") {
		if len(c.args) > 0 && !p.take(",") {
			return nil, p.unexpected(`"," or ")"`)
		}
		if p.is(",") || p.is(")") {
			return nil, at(t.pos, "argument %d of %s() is missing", len(c.args)+1, t.text)
		}
		places = append(places, p.next().pos)
		arg, err := p.expression()
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, arg)
	}
	switch n := len(c.args); {
	case n < f.least:
		return nil, at(t.pos, "%s() needs at least %d arguments, it has %d", t.text, f.least, n)
	case n > f.most:
		return nil, at(t.pos, "%s() takes at most %d arguments, it has %d", t.text, f.most, n)
	}
	for i := range min(f.nodes, len(c.args)) {
		if c.args[i].kind() != xpathNodes {
			return nil, at(places[i], "%s() needs an expression that gives nodes", t.text)
		}
	}
	p.uses.position = p.uses.position || t.text == "position"
	p.uses.last = p.uses.last || t.text == "last"
	return c, c.prepare(places)
}

func unknownFunction(t xpathToken) error {
	if t.text == "re:match" {
		return at(t.pos, "re:match() gives texts that stand nowhere on the page: select with the rest of the expression, then use Re")
	}
	near, best := "", 3
	for _, name := range slices.Sorted(maps.Keys(xpathFunctions)) {
		if d := distance(t.text, name); d < best {
			near, best = name, d
		}
	}
	if near != "" {
		return at(t.pos, "unknown function %s(): did you mean %s()?", t.text, near)
	}
	return at(t.pos, "unknown function %s()", t.text)
}

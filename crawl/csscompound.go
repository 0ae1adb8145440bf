package crawl

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/andybalholm/cascadia"
	"golang.org/x/net/html"
)

// cssStep is one compound of a selector, "a.b:first-child".
type cssStep struct {
	comb  byte   // how it stands to the step before, or to the scope: ' ', '>', '+', '~' or orSelf; 0 for a first step that may stand anywhere
	tag   string // "svg:a", as it is written in XML; "*" is any
	lower string // in lower case, as HTML has it

	prefixed      bool
	prefix, local string // if it is; "*" is any

	tests []cssTest
}

// orSelf is the combinator for an element itself and all that stand in it.
const orSelf = '/'

// cssTest is what else an element must have.
type cssTest struct {
	kind  byte // '#' id, '.' class, '[' attribute, testIs and those after it; 0 is any other
	name  string
	lower string // of an attribute's name, in lower case
	op    byte   // the first of "=", "!=", "~=", "|=", "^=", "$=", "*=", "#="; 0 if the attribute must only be there
	value string // in lower case if fold
	fold  bool
	re    *regexp.Regexp
	list  [][]cssStep           // of testIs, testNot and testHas; of testNth those that are counted, nil for all
	words []string              // of testLang, in lower case
	other func(*html.Node) bool // of testNth too
	nth   cssNth
}

// cssNth is which of its siblings an element is: the b-th, and from there each a-th.
type cssNth struct {
	a, b         int
	last, ofType bool // counted from the end; of those of its name
}

const (
	testIs       = 'i'
	testNot      = 'n'
	testHas      = 'h'
	testNth      = 'o'
	testOnly     = '1' // the only child, or the only one of its name
	testContains = 'c' // value, in lower case, is in its text
	testMatches  = 'm' // re matches its text
	testLang     = 'l'
)

// maxSelectorDepth is how deep selectors may stand in each other's brackets.
const maxSelectorDepth = 100

// compoundParser reads a compound.
type compoundParser struct {
	s      string
	i      int
	begins int // where s begins in the whole
	depth  int
}

func (p *compoundParser) fail(i int, format string, args ...any) error {
	return at(p.begins+i, format, args...)
}

// peek is the character that comes next, 0 at the end.
func (p *compoundParser) peek() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func parseCompound(s string, begins, depth int) (cssStep, error) {
	p := &compoundParser{s: s, begins: begins, depth: depth}
	step := cssStep{tag: "*"}
	err := p.tag(&step)
	for err == nil && p.i < len(p.s) {
		var t cssTest
		switch c := p.s[p.i]; c {
		case '#', '.':
			p.i++
			t.kind = c
			t.name, err = p.ident(c == '#')
		case '[':
			t, err = p.attribute()
		case ':':
			t, err = p.pseudo()
		default:
			if p.space() {
				continue
			}
			return step, p.fail(p.i, "expected a selector, found %q", c)
		}
		step.tests = append(step.tests, t)
	}
	return step, err
}

// tag reads the name of an element, if there is one.
func (p *compoundParser) tag(step *cssStep) error {
	name := func() (string, error) {
		if p.peek() == '*' {
			p.i++
			return "*", nil
		}
		return p.ident(false)
	}
	c := p.peek()
	if c != '|' && c != '*' && c != '\\' && !isNameByte(c) {
		return nil
	}
	var err error
	if c != '|' {
		if step.tag, err = name(); err != nil {
			return err
		}
	}
	if p.peek() == '|' {
		p.i++
		prefix := step.tag
		if step.local, err = name(); err != nil {
			return err
		}
		if step.tag = step.local; c != '|' { // |a is an a without a prefix
			step.tag, step.prefix, step.prefixed = prefix+":"+step.local, prefix, true
		}
	}
	step.lower = lowerASCII(step.tag)
	return nil
}

// ident reads an identifier. numeric says that it may begin with a digit.
func (p *compoundParser) ident(numeric bool) (string, error) {
	begin := p.i
	for p.peek() == '-' {
		p.i++
	}
	if c := p.peek(); !numeric && c != '\\' && (!isNameByte(c) || '0' <= c && c <= '9') {
		return "", p.missing("identifier")
	}
	p.i = begin
	var b strings.Builder
	for p.i < len(p.s) {
		c := p.s[p.i]
		if c == '\\' {
			if err := p.escape(&b); err != nil {
				return "", err
			}
			continue
		}
		if !isNameByte(c) {
			break
		}
		b.WriteByte(c)
		p.i++
	}
	if p.i == begin {
		return "", p.missing("identifier")
	}
	return b.String(), nil
}

func (p *compoundParser) missing(what string) error {
	if p.i >= len(p.s) {
		return p.fail(p.i, "expected %s, found the end", what)
	}
	return p.fail(p.i, "expected %s, found %c instead", what, p.s[p.i])
}

// escape reads what follows a backslash: a character, or up to six digits of its number.
func (p *compoundParser) escape(b *strings.Builder) error {
	end := escapeEnd(p.s, p.i+1)
	digits := strings.TrimRight(p.s[p.i+1:end], " \t\r\n\f")
	switch v, err := strconv.ParseUint(digits, 16, 32); {
	case digits == "":
		return p.fail(p.i, "nothing is escaped by the backslash")
	case err == nil:
		if v == 0 {
			v = 0xfffd
		}
		b.WriteRune(rune(v))
	default:
		b.WriteString(digits)
	}
	p.i = end
	return nil
}

// escapeEnd is where an escape ends whose backslash stands before i: behind one character, or behind six digits at most and one white space.
func escapeEnd(s string, i int) int {
	end := i
	for end < len(s) && end < i+6 && isHex(s[end]) {
		end++
	}
	switch {
	case end == i:
		return min(i+1, len(s))
	case strings.HasPrefix(s[end:], "\r\n"):
		return end + 2
	case end < len(s) && isCSSSpace(s[end]):
		return end + 1
	}
	return end
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func isCSSSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' }

// space passes over white space and comments.
func (p *compoundParser) space() (some bool) {
	for begin := p.i; ; {
		switch {
		case isCSSSpace(p.peek()):
			p.i++
		case strings.HasPrefix(p.s[p.i:], "/*"):
			n := strings.Index(p.s[p.i+2:], "*/")
			if n < 0 {
				return p.i > begin
			}
			p.i += 2 + n + 2
		default:
			return p.i > begin
		}
	}
}

// attribute reads "[name op value i]".
func (p *compoundParser) attribute() (t cssTest, err error) {
	t.kind = '['
	p.i++
	p.space()
	begin := p.i
	if p.peek() == '*' {
		p.i++
	} else if p.peek() != '|' {
		if t.name, err = p.ident(false); err != nil {
			return t, err
		}
	}
	if p.peek() == '|' && !strings.HasPrefix(p.s[p.i:], "|=") {
		prefix := t.name
		if p.s[begin] == '*' {
			prefix = "*"
		}
		p.i++
		if t.name, err = p.ident(false); err != nil {
			return t, err
		}
		if prefix != "" {
			t.name = prefix + ":" + t.name
		}
	}
	if t.name == "" {
		return t, p.missing("the name of an attribute")
	}
	t.lower = lowerASCII(t.name)
	p.space()
	if p.peek() == ']' {
		p.i++
		return t, nil
	}
	c := p.peek()
	switch {
	case c == '=':
	case c != 0 && strings.IndexByte("!~|^$*#", c) >= 0 && strings.HasPrefix(p.s[p.i+1:], "="):
		p.i++
	default:
		return t, p.missing("an operator such as = or ^=")
	}
	t.op = c
	p.i++
	p.space()
	if c == '#' {
		return t, p.regexp(&t)
	}
	if t.value, err = p.value(); err != nil {
		return t, err
	}
	p.space()
	switch p.peek() | 0x20 {
	case 'i':
		t.fold, t.value = true, strings.ToLower(t.value)
		p.i++
	case 's':
		p.i++
	}
	p.space()
	if p.peek() != ']' {
		return t, p.missing("']'")
	}
	p.i++
	return t, nil
}

// regexp reads a regular expression up to the bracket that closes nothing in it.
func (p *compoundParser) regexp(t *cssTest) (err error) {
	begin, open := p.i, 0
	for ; p.i < len(p.s); p.i++ {
		switch p.s[p.i] {
		case '(', '[':
			open++
		case ')', ']':
			open--
		}
		if open < 0 {
			break
		}
	}
	if p.peek() != ']' || p.i == begin {
		return p.missing("a regular expression")
	}
	if t.re, err = regexp.Compile(p.s[begin:p.i]); err != nil {
		return p.fail(begin, "%w", err)
	}
	p.i++
	return nil
}

// value reads a string or an identifier.
func (p *compoundParser) value() (string, error) {
	quote := p.peek()
	if quote != '"' && quote != '\'' {
		return p.ident(false)
	}
	var b strings.Builder
	begin := p.i
	for p.i++; p.i < len(p.s); {
		switch c := p.s[p.i]; c {
		case quote:
			p.i++
			return b.String(), nil
		case '\r', '\n', '\f':
			return "", p.fail(p.i, "the string is not closed in its line")
		case '\\':
			if rest := p.s[p.i+1:]; rest != "" && (rest[0] == '\r' || rest[0] == '\n' || rest[0] == '\f') { // it goes on in the next line
				p.i += 2
				if strings.HasPrefix(rest, "\r\n") {
					p.i++
				}
				continue
			}
			if err := p.escape(&b); err != nil {
				return "", err
			}
		default:
			b.WriteByte(c)
			p.i++
		}
	}
	return "", p.fail(begin, "the string is not closed")
}

// pseudo reads ":name" or ":name(…)".
func (p *compoundParser) pseudo() (t cssTest, err error) {
	begin := p.i
	p.i++
	name, err := p.ident(false)
	if err != nil {
		return t, err
	}
	args := -1
	if p.peek() == '(' {
		args = p.i + 1
		sc := cssScanner{s: p.s, i: p.i}
		for char := byte('('); char != ')'; {
			pos, c, ok, err := sc.next()
			if err != nil || !ok {
				return t, p.fail(begin, "the bracket is not closed")
			}
			p.i, char = pos+1, c
		}
	}
	switch name = lowerASCII(name); name {
	case "is", "where":
		t.kind = testIs
	case "not":
		t.kind = testNot
	case "has", "haschild":
		t.kind = testHas
	default:
		err = p.other(&t, name, begin, args)
		return t, err
	}
	if args < 0 {
		return t, p.fail(p.i, "expected '(' after :%s", name)
	}
	if p.depth >= maxSelectorDepth {
		return t, p.fail(begin, "more than %d selectors stand in each other", maxSelectorDepth)
	}
	t.list, err = parseList(p.s[args:p.i-1], p.begins+args, p.depth+1, t.kind == testHas)
	for i := range t.list {
		switch first := &t.list[i][0]; {
		case name == "haschild":
			first.comb = '>'
		case name == "has" && first.comb == 0:
			first.comb = ' '
		}
	}
	return t, err
}

// other reads the pseudo-classes that ask of an element alone. Some of them have cascadia look at all siblings or all text for each element: those are our own.
func (p *compoundParser) other(t *cssTest, name string, begin, args int) error {
	written, nth := p.s[begin:p.i], p.s[max(args, 0):p.i]
	inner := &compoundParser{}
	if args >= 0 {
		inner.s, inner.begins = p.s[args:p.i-1], p.begins+args
		inner.space()
	}
	switch {
	case args < 0:
	case name == "contains":
		t.kind = testContains
		value, err := inner.value()
		t.value = strings.ToLower(value)
		return inner.ends(err)
	case name == "lang":
		t.kind = testLang
		for {
			word, err := inner.value()
			t.words = append(t.words, strings.ToLower(word))
			if inner.space(); err != nil || inner.peek() != ',' {
				return inner.ends(err)
			}
			inner.i++
			inner.space()
		}
	case name == "nth-child" || name == "nth-last-child":
		of := nthOf.FindStringSubmatchIndex(inner.s)
		if of == nil {
			break
		}
		if p.depth >= maxSelectorDepth {
			return p.fail(begin, "more than %d selectors stand in each other", maxSelectorDepth)
		}
		var err error
		if t.list, err = parseList(inner.s[of[4]:], inner.begins+of[4], p.depth+1, false); err != nil {
			return err
		}
		nth = cssComment.ReplaceAllString(inner.s[of[2]:of[3]], "") + ")"
		written = ":" + name + "(" + nth
	}
	other, err := cascadia.Compile("*" + written)
	if err != nil {
		return p.fail(begin, "%w", err)
	}
	t.other = other
	switch t.nth = parseNth(name, nth); {
	case t.nth.ofType || t.nth.a != 0 || t.list != nil: // what cascadia may count all siblings for
		t.kind = testNth
	case name == "only-child" || name == "only-of-type":
		t.kind, t.nth.ofType = testOnly, name == "only-of-type"
	case name == "matches":
		t.kind = testMatches
		if t.re, err = regexp.Compile(inner.s[inner.i:]); err != nil {
			t.kind = 0 // cascadia ends it elsewhere
		}
	}
	return nil
}

// nthOf is what :nth-child and :nth-last-child have in their brackets when they count some elements alone.
var (
	cssComment = regexp.MustCompile(`(?s)/\*.*?\*/`)
	nthOf      = regexp.MustCompile(`(?is)^(.*?)\s+of\s+(.*)$`)
)

// ends is an error if something follows, or the one before.
func (p *compoundParser) ends(err error) error {
	if p.space(); err == nil && p.i < len(p.s) {
		err = p.missing("')'")
	}
	return err
}

// parseNth reads what cascadia has found to be well-formed. It is zero for what counts nothing, or has a comment in it.
func parseNth(name, args string) (nth cssNth) {
	nth.last, nth.ofType = strings.Contains(name, "last-"), strings.HasSuffix(name, "-of-type")
	switch name {
	case "first-child", "last-child", "first-of-type", "last-of-type":
		nth.b = 1
		return nth
	case "nth-child", "nth-last-child", "nth-of-type", "nth-last-of-type":
		if strings.Contains(args, "/*") {
			return cssNth{}
		}
	default:
		return cssNth{}
	}
	switch args = lowerASCII(strings.Trim(args, " \t\r\n\f)")); args {
	case "odd":
		args = "2n+1"
	case "even":
		args = "2n"
	}
	a, b, ok := strings.Cut(strings.Join(strings.Fields(args), ""), "n")
	if !ok {
		a, b = "0", a
	}
	if a == "" || a == "+" || a == "-" {
		a += "1"
	}
	nth.a, _ = strconv.Atoi(a)
	nth.b, _ = strconv.Atoi(b) // none is 0
	return nth
}

// parseList parses the selectors in the brackets of a pseudo-class. Those of :has are relative.
func parseList(s string, begins, depth int, relative bool) ([][]cssStep, error) {
	spans, err := splitCSS(s)
	if err != nil {
		return nil, at(begins, "%w", err)
	}
	var list [][]cssStep
	for _, span := range spans {
		one := strings.TrimSpace(s[span[0]:span[1]])
		from := begins + span[0] + strings.Index(s[span[0]:span[1]], one)
		if one == "" {
			return nil, at(from, "expected a selector, found nothing")
		}
		steps, err := splitSteps(one, from, depth)
		if err != nil {
			return nil, err
		}
		if !relative && steps[0].comb != 0 {
			return nil, at(from, "expected a selector that is not relative, found %q", one)
		}
		list = append(list, steps)
	}
	return list, nil
}

// lowerASCII lowers the ASCII letters of s and nothing else.
func lowerASCII(s string) string {
	lower := []byte(s)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c | 0x20
		}
	}
	return string(lower)
}

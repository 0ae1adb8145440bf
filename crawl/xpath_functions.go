package crawl

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// An xpathFunction is what an expression may call. One of the last four is there: that of what it gives.
type xpathFunction struct {
	least, most int // arguments
	nodes       int // of which so many, the first, are nodes

	set    func(c *xpathContext, args []xpathValue) []xpathNode
	text   func(c *xpathContext, args []xpathValue) string
	number func(c *xpathContext, args []xpathValue) float64
	truth  func(c *xpathContext, args []xpathValue) bool
}

// An xpathCall is the call of a function.
type xpathCall struct {
	name     string
	function xpathFunction
	args     []xpathValue
	pattern  *regexp.Regexp // that was written out
	all      bool           // all matches are replaced, not the first alone
	with     []replacement  // what for
}

func (f *xpathCall) kind() xpathKind {
	switch {
	case f.function.set != nil:
		return xpathNodes
	case f.function.text != nil || f.name == "re:replace":
		return xpathTexts
	case f.function.number != nil:
		return xpathNumbers
	}
	return xpathTruths
}

func (f *xpathCall) nodes(c *xpathContext) []xpathNode { return f.function.set(c, f.args) }
func (f *xpathCall) number(c *xpathContext) float64    { return f.function.number(c, f.args) }

func (f *xpathCall) text(c *xpathContext) string {
	if f.name == "re:replace" {
		return f.replace(textOf(f.args[0], c))
	}
	return f.function.text(c, f.args)
}

func (f *xpathCall) truth(c *xpathContext) bool {
	if f.pattern != nil {
		return f.pattern.MatchString(textOf(f.args[0], c))
	}
	return f.function.truth(c, f.args)
}

// xpathFunctions are those of XPath 1.0, some of XPath 2, and of EXSLT and parsel what Scrapy's users know.
var xpathFunctions = map[string]xpathFunction{
	"last":     {number: func(c *xpathContext, _ []xpathValue) float64 { return float64(c.size) }},
	"position": {number: func(c *xpathContext, _ []xpathValue) float64 { return float64(c.pos) }},
	"count":    {least: 1, most: 1, nodes: 1, number: func(c *xpathContext, args []xpathValue) float64 { return float64(countOf(args[0], c)) }},
	"sum": {least: 1, most: 1, nodes: 1, number: func(c *xpathContext, args []xpathValue) (sum float64) {
		for _, n := range args[0].nodes(c) {
			sum += parseNumber(c.run.valueOf(n))
		}
		return sum
	}},
	"number":  {most: 1, number: func(c *xpathContext, args []xpathValue) float64 { return numberOf(argOrSelf(args), c) }},
	"floor":   {least: 1, most: 1, number: func(c *xpathContext, args []xpathValue) float64 { return math.Floor(numberOf(args[0], c)) }},
	"ceiling": {least: 1, most: 1, number: func(c *xpathContext, args []xpathValue) float64 { return math.Ceil(numberOf(args[0], c)) }},
	"round":   {least: 1, most: 1, number: func(c *xpathContext, args []xpathValue) float64 { return roundXPath(numberOf(args[0], c)) }},
	"string-length": {most: 1, number: func(c *xpathContext, args []xpathValue) float64 {
		return float64(utf8.RuneCountInString(textOf(argOrSelf(args), c)))
	}},

	"boolean": {least: 1, most: 1, truth: func(c *xpathContext, args []xpathValue) bool { return truthOf(args[0], c) }},
	"not":     {least: 1, most: 1, truth: func(c *xpathContext, args []xpathValue) bool { return !truthOf(args[0], c) }},
	"true":    {truth: func(*xpathContext, []xpathValue) bool { return true }},
	"false":   {truth: func(*xpathContext, []xpathValue) bool { return false }},
	"contains": {least: 2, most: 2, truth: func(c *xpathContext, args []xpathValue) bool {
		return strings.Contains(textOf(args[0], c), textOf(args[1], c))
	}},
	"starts-with": {least: 2, most: 2, truth: func(c *xpathContext, args []xpathValue) bool {
		return strings.HasPrefix(textOf(args[0], c), textOf(args[1], c))
	}},
	"ends-with": {least: 2, most: 2, truth: func(c *xpathContext, args []xpathValue) bool {
		return strings.HasSuffix(textOf(args[0], c), textOf(args[1], c))
	}},
	"lang":      {least: 1, most: 1, truth: inLanguage},
	"has-class": {least: 1, most: 99, truth: hasClasses},
	"re:test":   {least: 2, most: 3},
	"matches": {least: 2, most: 2, truth: func(c *xpathContext, args []xpathValue) bool {
		re := c.run.pattern(textOf(args[1], c))
		return re != nil && re.MatchString(textOf(args[0], c))
	}},

	"string":        {most: 1, text: func(c *xpathContext, args []xpathValue) string { return textOf(argOrSelf(args), c) }},
	"name":          {most: 1, nodes: 1, text: ofName(xpathNode.name)},
	"namespace-uri": {most: 1, nodes: 1, text: ofName(xpathNode.space)},
	"local-name": {most: 1, nodes: 1, text: ofName(func(n xpathNode) string {
		_, local := splitName(n.name())
		return local
	})},
	"normalize-space": {most: 1, text: func(c *xpathContext, args []xpathValue) string {
		return strings.Join(strings.FieldsFunc(textOf(argOrSelf(args), c), isXPathSpace), " ")
	}},
	"concat": {least: 2, most: 1000, text: func(c *xpathContext, args []xpathValue) string {
		var b strings.Builder
		for _, arg := range args {
			b.WriteString(textOf(arg, c))
		}
		return b.String()
	}},
	"substring": {least: 2, most: 3, text: substring},
	"substring-before": {least: 2, most: 2, text: func(c *xpathContext, args []xpathValue) string {
		before, _, ok := strings.Cut(textOf(args[0], c), textOf(args[1], c))
		if !ok {
			return ""
		}
		return before
	}},
	"substring-after": {least: 2, most: 2, text: func(c *xpathContext, args []xpathValue) string {
		_, after, _ := strings.Cut(textOf(args[0], c), textOf(args[1], c))
		return after
	}},
	"translate":  {least: 3, most: 3, text: translate},
	"lower-case": {least: 1, most: 1, text: func(c *xpathContext, args []xpathValue) string { return strings.ToLower(textOf(args[0], c)) }},
	"string-join": {least: 2, most: 2, nodes: 1, text: func(c *xpathContext, args []xpathValue) string {
		var all []string
		for _, n := range args[0].nodes(c) {
			all = append(all, c.run.valueOf(n))
		}
		return strings.Join(all, textOf(args[1], c))
	}},
	"replace": {least: 3, most: 3, text: func(c *xpathContext, args []xpathValue) string {
		re := c.run.pattern(textOf(args[1], c))
		if re == nil {
			return ""
		}
		return re.ReplaceAllString(textOf(args[0], c), namedGroups.ReplaceAllString(textOf(args[2], c), "$${$1}"))
	}},
	"re:replace": {least: 4, most: 4},

	"id": {least: 1, most: 1, set: withIDs},
	"reverse": {least: 1, most: 1, nodes: 1, set: func(c *xpathContext, args []xpathValue) []xpathNode {
		nodes := slices.Clone(args[0].nodes(c))
		slices.Reverse(nodes)
		return nodes
	}},
	"set:distinct": {least: 1, most: 1, nodes: 1, set: func(c *xpathContext, args []xpathValue) []xpathNode {
		seen := make(map[string]bool)
		return chosenOf(args[0].nodes(c), func(n xpathNode) bool {
			v := c.run.valueOf(n)
			defer func() { seen[v] = true }()
			return !seen[v]
		})
	}},
	"set:difference": {least: 2, most: 2, nodes: 2, set: func(c *xpathContext, args []xpathValue) []xpathNode {
		in := setOf(args[1].nodes(c))
		return chosenOf(args[0].nodes(c), func(n xpathNode) bool { return !in[n] })
	}},
	"set:intersection": {least: 2, most: 2, nodes: 2, set: func(c *xpathContext, args []xpathValue) []xpathNode {
		in := setOf(args[1].nodes(c))
		return chosenOf(args[0].nodes(c), func(n xpathNode) bool { return in[n] })
	}},
	"set:leading":  {least: 2, most: 2, nodes: 2, set: func(c *xpathContext, args []xpathValue) []xpathNode { return besideFirst(c, args, true) }},
	"set:trailing": {least: 2, most: 2, nodes: 2, set: func(c *xpathContext, args []xpathValue) []xpathNode { return besideFirst(c, args, false) }},
	"set:has-same-node": {least: 2, most: 2, nodes: 2, truth: func(c *xpathContext, args []xpathValue) bool {
		in := setOf(args[1].nodes(c))
		return slices.ContainsFunc(args[0].nodes(c), func(n xpathNode) bool { return in[n] })
	}},
}

// xpathSelf is the context's node.
var xpathSelf = &xpathPath{steps: []*xpathStep{{axis: axisSelf, test: xpathTest{kind: testNode}}}, chain: true, ordered: true}

func argOrSelf(args []xpathValue) xpathValue {
	if len(args) == 0 {
		return xpathSelf
	}
	return args[0]
}

func ofName(of func(xpathNode) string) func(*xpathContext, []xpathValue) string {
	return func(c *xpathContext, args []xpathValue) string {
		if n, ok := firstNode(argOrSelf(args), c); ok {
			return of(n)
		}
		return ""
	}
}

func isXPathSpace(c rune) bool {
	return c < utf8.RuneSelf && strings.IndexByte(xpathSpace, byte(c)) >= 0
}

// roundXPath rounds to the nearest whole number, and up from the middle.
func roundXPath(f float64) float64 {
	if f == math.Trunc(f) || math.IsNaN(f) { // what is large has no room for the half
		return f
	}
	return math.Floor(f + 0.5)
}

func substring(c *xpathContext, args []xpathValue) string {
	from, end := roundXPath(numberOf(args[1], c)), math.Inf(1)
	if len(args) > 2 {
		end = from + roundXPath(numberOf(args[2], c))
	}
	s := textOf(args[0], c)
	begin, over, pos := -1, len(s), 0.0
	for i := range s {
		if pos++; pos >= from && pos < end {
			if begin < 0 {
				begin = i
			}
		} else if begin >= 0 {
			over = i
			break
		}
	}
	if begin < 0 {
		return ""
	}
	return s[begin:over]
}

func translate(c *xpathContext, args []xpathValue) string {
	from, to := []rune(textOf(args[1], c)), []rune(textOf(args[2], c))
	with := make(map[rune]rune, len(from))
	for i, char := range from {
		if _, ok := with[char]; ok {
			continue
		}
		if with[char] = -1; i < len(to) {
			with[char] = to[i]
		}
	}
	return strings.Map(func(char rune) rune {
		if r, ok := with[char]; ok {
			return r
		}
		return char
	}, textOf(args[0], c))
}

// inLanguage reports whether a node is in a language by the innermost xml:lang or, as pages have it, lang.
func inLanguage(c *xpathContext, args []xpathValue) bool {
	want := strings.ToLower(textOf(args[0], c))
	for n := c.node.Node; n != nil; n = n.Parent {
		for _, a := range n.Attr {
			if name := attributeName(a); name == "xml:lang" || name == "lang" {
				language := strings.ToLower(a.Val)
				return language == want || strings.HasPrefix(language, want+"-")
			}
		}
	}
	return false
}

func hasClasses(c *xpathContext, args []xpathValue) bool {
	n := c.node
	if n.attr >= 0 {
		return false
	}
	i := slices.IndexFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "class" && a.Namespace == "" })
	if i < 0 {
		return false
	}
	classes := " " + strings.Join(strings.FieldsFunc(n.Attr[i].Val, isXPathSpace), " ") + " "
	for _, arg := range args {
		if !strings.Contains(classes, " "+textOf(arg, c)+" ") {
			return false
		}
	}
	return true
}

// withIDs are the elements with the ids that a text names, or the texts of nodes do: of those with the same, the first.
func withIDs(c *xpathContext, args []xpathValue) []xpathNode {
	wanted := make(map[string]bool)
	want := func(s string) {
		for _, id := range strings.FieldsFunc(s, isXPathSpace) {
			wanted[id] = true
		}
	}
	if args[0].kind() == xpathNodes {
		for _, n := range args[0].nodes(c) {
			want(c.run.valueOf(n))
		}
	} else {
		want(textOf(args[0], c))
	}
	var found []xpathNode
	for n := c.run.root(c.node); n != nil && len(wanted) > 0; n = followingIn(n, nil) {
		for _, a := range n.Attr {
			if (a.Key == "id" || a.Key == "xml:id") && a.Namespace == "" && wanted[a.Val] {
				delete(wanted, a.Val)
				found = append(found, xpathNode{n, -1})
				break
			}
		}
	}
	return found
}

func setOf(nodes []xpathNode) map[xpathNode]bool {
	in := make(map[xpathNode]bool, len(nodes))
	for _, n := range nodes {
		in[n] = true
	}
	return in
}

func chosenOf(nodes []xpathNode, choose func(xpathNode) bool) []xpathNode {
	var chosen []xpathNode
	for _, n := range nodes {
		if choose(n) {
			chosen = append(chosen, n)
		}
	}
	return chosen
}

// besideFirst is what stands before, or after, the first of the second nodes among the first.
func besideFirst(c *xpathContext, args []xpathValue, before bool) []xpathNode {
	nodes, of := args[0].nodes(c), args[1].nodes(c)
	if len(of) == 0 {
		return nodes
	}
	switch i := slices.Index(nodes, of[0]); {
	case i < 0:
		return nil
	case before:
		return nodes[:i]
	default:
		return nodes[i+1:]
	}
}

// pattern compiles a regular expression that only the page tells. It is nil, and the run an error, if it is malformed.
func (r *xpathRun) pattern(s string) *regexp.Regexp {
	re, ok := r.res[s]
	if !ok {
		var err error
		if re, err = regexp.Compile(s); err != nil && r.err == nil {
			r.err = err
		}
		if r.res == nil {
			r.res = make(map[string]*regexp.Regexp)
		}
		r.res[s] = re
	}
	return re
}

// prepare checks and compiles what a call has written out. places are where its arguments begin.
func (f *xpathCall) prepare(places []int) (err error) {
	switch f.name {
	case "matches":
		if pattern, ok := f.args[1].(xpathText); ok {
			if f.pattern, err = regexp.Compile(string(pattern)); err != nil {
				return at(places[1], "%w", err)
			}
		}
	case "re:test", "re:replace":
		for i, arg := range f.args[1:] {
			if _, ok := arg.(xpathText); !ok {
				return at(places[i+1], "%s() takes a pattern, flags and a replacement that are written out as strings, or string variables", f.name)
			}
		}
		pattern, flags := string(f.args[1].(xpathText)), ""
		if len(f.args) > 2 {
			flags = string(f.args[2].(xpathText))
		}
		for _, flag := range flags {
			if !strings.ContainsRune("gims", flag) {
				return at(places[2], "%q is not a flag of %s(): there are g, i, m and s", flag, f.name)
			}
		}
		f.all = strings.Contains(flags, "g")
		if flags = strings.ReplaceAll(flags, "g", ""); flags != "" {
			pattern = "(?" + flags + ")" + pattern
		}
		if f.pattern, err = regexp.Compile(pattern); err != nil {
			return at(places[1], "%w", err)
		}
		if f.name == "re:replace" {
			return f.readReplacement(places[3])
		}
	}
	return nil
}

// A replacement is a text, or a group of what has matched.
type replacement struct {
	text  string
	group int // -1 for a text
}

// readReplacement reads what re:replace(text, pattern, flags, replacement) puts in: in EXSLT, as in Scrapy, groups are \1 or $1.
func (f *xpathCall) readReplacement(pos int) error {
	with := string(f.args[3].(xpathText))
	begin := 0
	for i := 0; i+1 < len(with); i++ {
		if digit := with[i+1]; (with[i] == '\\' || with[i] == '$') && '0' <= digit && digit <= '9' {
			group := int(digit - '0')
			if has := f.pattern.NumSubexp(); group > has {
				return at(pos, "the replacement names group %d, the pattern has %d", group, has)
			}
			f.with = append(f.with, replacement{with[begin:i], -1}, replacement{"", group})
			i++
			begin = i + 1
		}
	}
	f.with = append(f.with, replacement{with[begin:], -1})
	return nil
}

// replace replaces what the pattern matches: the first alone without the flag g.
func (f *xpathCall) replace(s string) string {
	most := 1
	if f.all {
		most = -1
	}
	var b strings.Builder
	begin := 0
	for _, m := range f.pattern.FindAllStringSubmatchIndex(s, most) {
		b.WriteString(s[begin:m[0]])
		for _, w := range f.with {
			if b.WriteString(w.text); w.group >= 0 && m[2*w.group] >= 0 {
				b.WriteString(s[m[2*w.group]:m[2*w.group+1]])
			}
		}
		begin = m[1]
	}
	b.WriteString(s[begin:])
	return b.String()
}

// namedGroups are the groups in a replacement of replace(), as XPath 2 writes them.
var namedGroups = regexp.MustCompile(`\$(\d)`)

package crawl

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An xpathToken is a piece of an expression. Expressions are taken apart because the library has neither variables nor EXSLT, and does not say where it stops.
type xpathToken struct {
	kind  byte // 'n' name, '"' literal, '1' number, '$' variable, 'o' operator or punctuation
	text  string
	pos   int
	space bool // white space comes before
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
		t := xpathToken{pos: i, space: i > 0 && strings.IndexByte(" \t\r\n", expr[i-1]) >= 0}
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
			if strings.HasPrefix(t.text, ".") {
				t.text = "0" + t.text
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
		tokens = append(tokens, t)
	}
	if len(open) > 0 {
		return nil, at(open[len(open)-1].pos, "%q is not closed", open[len(open)-1].text)
	}
	return tokens, nil
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

// xpathFunctions are those that the library has, or that are made of what it has, with the least and most arguments.
var xpathFunctions = map[string][2]int{
	"boolean": {1, 1}, "ceiling": {1, 1}, "concat": {2, 99}, "contains": {2, 2}, "count": {1, 1}, "ends-with": {2, 2}, "false": {0, 0}, "floor": {1, 1},
	"last": {0, 0}, "local-name": {0, 1}, "lower-case": {1, 1}, "matches": {2, 2}, "name": {0, 1}, "namespace-uri": {0, 1}, "normalize-space": {0, 1}, "not": {1, 1},
	"number": {0, 1}, "position": {0, 0}, "replace": {3, 3}, "reverse": {1, 1}, "round": {1, 1}, "starts-with": {2, 2}, "string": {0, 1}, "string-join": {2, 2},
	"string-length": {0, 1}, "substring": {2, 3}, "substring-after": {2, 2}, "substring-before": {2, 2}, "sum": {1, 1}, "translate": {3, 3}, "true": {0, 0},
	"has-class": {1, 99}, "re:test": {2, 3}, "re:replace": {4, 4},
	"set:difference": {2, 2}, "set:intersection": {2, 2}, "set:distinct": {1, 1}, "set:leading": {2, 2}, "set:trailing": {2, 2}, "set:has-same-node": {2, 2},
}

// xpathRewriter makes of an expression one that the library understands.
type xpathRewriter struct {
	vars     []Vars
	prefixes bool // vars make some known
}

// compile compiles an expression, or the argument of a set function.
func (w *xpathRewriter) compile(source string, tokens []xpathToken) (*xpathExpr, error) {
	if name, args, ok := wholeCall(tokens); ok && strings.HasPrefix(name, "set:") {
		if err := w.count(tokens[0], len(args)); err != nil {
			return nil, err
		}
		x := &xpathExpr{set: strings.TrimPrefix(name, "set:"), nodes: name != "set:has-same-node", source: source}
		for _, arg := range args {
			of, err := w.compile(source, arg)
			if err != nil {
				return nil, err
			}
			if !of.nodes {
				return nil, at(arg[0].pos, "%s needs an expression that gives nodes", name)
			}
			x.of = append(x.of, of)
		}
		return x, nil
	}
	text, err := w.rewrite(tokens)
	if err != nil {
		return nil, err
	}
	x, err := compileText(text)
	if err != nil {
		return nil, err
	}
	x.source = source
	return x, nil
}

// wholeCall takes an expression apart that is a call of one function.
func wholeCall(tokens []xpathToken) (name string, args [][]xpathToken, ok bool) {
	if len(tokens) < 3 || tokens[0].kind != 'n' || tokens[1].text != "(" || tokens[1].kind != 'o' {
		return "", nil, false
	}
	args, end := callArgs(tokens, 2)
	return tokens[0].text, args, end == len(tokens)
}

// callArgs are the arguments of a call whose first begins at a token, and where the call ends.
func callArgs(tokens []xpathToken, from int) (args [][]xpathToken, end int) {
	depth, start := 0, from
	for i := from; i < len(tokens); i++ {
		if tokens[i].kind != 'o' {
			continue
		}
		switch tokens[i].text {
		case "(", "[":
			depth++
		case ",":
			if depth == 0 {
				args = append(args, tokens[start:i])
				start = i + 1
			}
		case ")", "]":
			if depth--; depth < 0 {
				if i > from {
					args = append(args, tokens[start:i])
				}
				return args, i + 1
			}
		}
	}
	return args, len(tokens)
}

func (*xpathRewriter) count(function xpathToken, n int) error {
	bounds := xpathFunctions[function.text]
	switch {
	case n < bounds[0]:
		return at(function.pos, "%s() needs at least %d arguments, it has %d", function.text, bounds[0], n)
	case n > bounds[1]:
		return at(function.pos, "%s() takes at most %d arguments, it has %d", function.text, bounds[1], n)
	}
	return nil
}

// rewrite writes tokens as the library understands them.
func (w *xpathRewriter) rewrite(tokens []xpathToken) (string, error) {
	var b strings.Builder
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		if t.space && i > 0 {
			b.WriteByte(' ')
		}
		switch t.kind {
		case '"':
			b.WriteString(quoteXPath(t.text))
		case '$':
			v, err := w.variable(t)
			if err != nil {
				return "", err
			}
			b.WriteString(v)
		case 'n':
			next := ""
			if i+1 < len(tokens) && tokens[i+1].kind == 'o' {
				next = tokens[i+1].text
			}
			if next == "(" && !isNodeTest(t.text) && !isOperator(tokens, i) {
				args, end := callArgs(tokens, i+2)
				s, err := w.call(t, args)
				if err != nil {
					return "", err
				}
				b.WriteString(s)
				i = end - 1
				continue
			}
			if next == "::" || !strings.Contains(t.text, ":") {
				b.WriteString(t.text)
				continue
			}
			s, err := w.name(t)
			if err != nil {
				return "", err
			}
			b.WriteString(s)
		default:
			b.WriteString(t.text)
		}
	}
	return b.String(), nil
}

func isNodeTest(name string) bool {
	return name == "text" || name == "node" || name == "comment" || name == "processing-instruction"
}

// isOperator reports whether a name is and, or, div or mod, because something stands before it that one of them may come after.
func isOperator(tokens []xpathToken, i int) bool {
	switch tokens[i].text {
	case "and", "or", "div", "mod":
	default:
		return false
	}
	if i == 0 {
		return false
	}
	before := tokens[i-1]
	return before.kind != 'o' || before.text == ")" || before.text == "]" || before.text == "." || before.text == ".." || before.text == "*"
}

// quoteXPath writes a string. XPath has no escapes, so one with both quotes is put together.
func quoteXPath(s string) string {
	if !strings.Contains(s, `"`) {
		return `"` + s + `"`
	}
	if !strings.Contains(s, `'`) {
		return `'` + s + `'`
	}
	return `concat("` + strings.ReplaceAll(s, `"`, `", '"', "`) + `")`
}

// variable writes the value of a variable.
func (w *xpathRewriter) variable(t xpathToken) (string, error) {
	for _, vars := range w.vars {
		v, ok := vars[t.text]
		if !ok {
			continue
		}
		switch v := v.(type) {
		case string:
			return quoteXPath(v), nil
		case bool:
			return strconv.FormatBool(v) + "()", nil
		case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64:
			f, err := strconv.ParseFloat(fmt.Sprint(v), 64)
			switch s := strconv.FormatFloat(f, 'f', -1, 64); {
			case err != nil:
				return "", at(t.pos, "the variable $%s is %v, which is no number", t.text, v)
			case f != f || f > 1e300 || f < -1e300:
				return "number('" + s + "')", nil
			case f < 0:
				return "(0 - " + s[1:] + ")", nil
			default:
				return s, nil
			}
		}
		return "", at(t.pos, "the variable $%s is a %T: want a string, a number or a bool", t.text, v)
	}
	var known []string
	for _, vars := range w.vars {
		for name := range maps.Keys(vars) {
			if !strings.HasPrefix(name, xmlnsPrefix) {
				known = append(known, "$"+name)
			}
		}
	}
	if len(known) == 0 {
		return "", at(t.pos, "the variable $%s is not given: pass it in Vars", t.text)
	}
	slices.Sort(known)
	return "", at(t.pos, "the variable $%s is not given (there is %s)", t.text, strings.Join(known, ", "))
}

// name writes the name of an element or attribute with a prefix. Where Vars make prefixes known it is the address that counts, else what the document writes.
func (w *xpathRewriter) name(t xpathToken) (string, error) {
	prefix, local := splitName(t.text)
	if !w.prefixes || prefix == "xml" {
		if local == "*" {
			return "*[starts-with(name(), " + quoteXPath(prefix+":") + ")]", nil
		}
		return t.text, nil
	}
	var known []string
	for _, vars := range w.vars {
		if uri, ok := vars[xmlnsPrefix+prefix].(string); ok {
			if local == "*" {
				return "*[namespace-uri()=" + quoteXPath(uri) + "]", nil
			}
			return "*[local-name()=" + quoteXPath(local) + " and namespace-uri()=" + quoteXPath(uri) + "]", nil
		}
		for name := range vars {
			if p, ok := strings.CutPrefix(name, xmlnsPrefix); ok {
				known = append(known, p)
			}
		}
	}
	slices.Sort(known)
	return "", at(t.pos, "the prefix %s is not in Vars, which makes known: %s", prefix, strings.Join(known, ", "))
}

// call writes the call of a function.
func (w *xpathRewriter) call(t xpathToken, args [][]xpathToken) (string, error) {
	if _, ok := xpathFunctions[t.text]; !ok {
		return "", unknownFunction(t)
	}
	if err := w.count(t, len(args)); err != nil {
		return "", err
	}
	written := make([]string, len(args))
	for i, arg := range args {
		if len(arg) == 0 {
			return "", at(t.pos, "argument %d of %s() is missing", i+1, t.text)
		}
		var err error
		if written[i], err = w.rewrite(arg); err != nil {
			return "", err
		}
		written[i] = strings.TrimSpace(written[i])
	}
	switch t.text {
	case "string-length", "string", "number":
		if len(args) == 0 {
			written = []string{"."}
		}
	case "contains", "starts-with", "ends-with": // the library takes no nodes for the second
		if len(args[1]) != 1 || args[1][0].kind != '"' {
			written[1] = "string(" + written[1] + ")"
		}
	case "has-class":
		var tests []string
		for _, class := range written {
			tests = append(tests, `contains(concat(" ", normalize-space(@class), " "), concat(" ", `+class+`, " "))`)
		}
		return "(" + strings.Join(tests, " and ") + ")", nil
	case "re:test":
		pattern, err := w.pattern(t, args, 1, 2)
		if err != nil {
			return "", err
		}
		return "matches(" + written[0] + ", " + quoteXPath(pattern) + ")", nil
	case "re:replace":
		return w.replace(t, args, written[0])
	case "matches":
		if len(args[1]) == 1 && args[1][0].kind == '"' {
			if _, err := regexp.Compile(args[1][0].text); err != nil {
				return "", at(args[1][0].pos, "%w", err)
			}
		}
	}
	if strings.HasPrefix(t.text, "set:") {
		return "", at(t.pos, "%s() is understood as the whole of an expression, not within one: take the sets apart and compare them in Go", t.text)
	}
	return t.text + "(" + strings.Join(written, ", ") + ")", nil
}

func unknownFunction(t xpathToken) error {
	switch t.text {
	case "re:match":
		return at(t.pos, "re:match() gives texts that stand nowhere on the page: select with the rest of the expression, then use Re")
	case "id":
		return at(t.pos, `id() is not understood: write //*[@id="…"]`)
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

// pattern is the regular expression in an argument with the flags of another in front.
func (w *xpathRewriter) pattern(t xpathToken, args [][]xpathToken, at1, flagsAt int) (string, error) {
	pattern, err := w.literal(t, args[at1])
	if err != nil {
		return "", err
	}
	if len(args) > flagsAt {
		flags, err := w.literal(t, args[flagsAt])
		if err != nil {
			return "", err
		}
		for _, flag := range flags {
			if !strings.ContainsRune("gims", flag) {
				return "", at(args[flagsAt][0].pos, "%q is not a flag of %s(): there are g, i, m and s", flag, t.text)
			}
		}
		if flags = strings.ReplaceAll(flags, "g", ""); flags != "" {
			pattern = "(?" + flags + ")" + pattern
		}
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return "", at(args[at1][0].pos, "%w", err)
	}
	return pattern, nil
}

// literal is a string that is written out, or a variable's.
func (w *xpathRewriter) literal(t xpathToken, arg []xpathToken) (string, error) {
	if len(arg) == 1 {
		switch arg[0].kind {
		case '"':
			return arg[0].text, nil
		case '$':
			for _, vars := range w.vars {
				if s, ok := vars[arg[0].text].(string); ok {
					return s, nil
				}
			}
		}
	}
	return "", at(arg[0].pos, "%s() takes a pattern, flags and a replacement that are written out as strings, or string variables", t.text)
}

// replace writes re:replace(text, pattern, flags, replacement): in EXSLT, as in Scrapy, groups are \1 or $1, and without the flag g only the first match is
// replaced.
func (w *xpathRewriter) replace(t xpathToken, args [][]xpathToken, text string) (string, error) {
	pattern, err := w.pattern(t, args, 1, 2)
	if err != nil {
		return "", err
	}
	flags, err := w.literal(t, args[2])
	if err != nil {
		return "", err
	}
	with, err := w.literal(t, args[3])
	if err != nil {
		return "", err
	}
	groups := regexp.MustCompile(pattern).NumSubexp()
	first := 0
	if !strings.Contains(flags, "g") { // what comes before and after is put back
		pattern, first = `\A((?s:.*?))(?:`+pattern+`)((?s:.*))\z`, 1
	}
	var b strings.Builder
	if first > 0 {
		b.WriteString("${1}")
	}
	for i := 0; i < len(with); i++ {
		c := with[i]
		if (c == '\\' || c == '$') && i+1 < len(with) && '0' <= with[i+1] && with[i+1] <= '9' {
			i++
			group := int(with[i] - '0')
			if group > groups {
				return "", at(args[3][0].pos, "the replacement names group %d, the pattern has %d", group, groups)
			}
			if group == 0 && first > 0 {
				return "", at(args[3][0].pos, "group 0 needs the flag g")
			}
			fmt.Fprintf(&b, "${%d}", group+first)
			continue
		}
		if c == '$' {
			b.WriteByte('$')
		}
		b.WriteByte(c)
	}
	if first > 0 {
		fmt.Fprintf(&b, "${%d}", groups+2)
	}
	return "replace(" + text + ", " + quoteXPath(pattern) + ", " + quoteXPath(b.String()) + ")", nil
}

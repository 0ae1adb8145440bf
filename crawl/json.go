package crawl

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmespath-community/go-jmespath"
	"github.com/jmespath-community/go-jmespath/pkg/functions"
	"github.com/tidwall/gjson"
)

// maxJSONDepth is how deep JSON may nest, as in encoding/json. gjson has no limit, and where the stack ends, so does the process.
const maxJSONDepth = 10_000

// maxJSONLDDepth is how deep lists and graphs are looked into for JSON-LD objects: each level is read anew.
const maxJSONLDDepth = 32

var errDeepJSON = errors.New("nested deeper than 10,000")

// isDeepJSON reports whether a text that may be JSON nests deeper than maxJSONDepth. It comes before anything that calls itself for what is within.
func isDeepJSON(s string) bool {
	if strings.Count(s, "[")+strings.Count(s, "{") <= maxJSONDepth { // nearly always
		return false
	}
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '[', '{':
			if depth++; depth > maxJSONDepth {
				return true
			}
		case ']', '}':
			depth--
		case '"':
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
		}
	}
	return false
}

// unpackable is an error if a path reads texts in JSON as JSON of their own (@fromstr), and one of them nests too deep for what comes next (@valid, @pretty).
func unpackable(s, path string) error {
	if strings.Contains(path, "@fromstr") && hasDeepText(s) {
		return fmt.Errorf("json %q: a text on the page is JSON %w", path, errDeepJSON)
	}
	return nil
}

// hasDeepText reports whether a text within JSON is deep JSON itself, or has such a text within.
func hasDeepText(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != '"' {
			continue
		}
		begin := i
		for i++; i < len(s) && s[i] != '"'; i++ {
			if s[i] == '\\' {
				i++
			}
		}
		if i-begin > maxJSONDepth {
			if text := gjson.Parse(s[begin:min(i+1, len(s))]).Str; isDeepJSON(text) || hasDeepText(text) {
				return true
			}
		}
	}
	return false
}

// JSON looks a path up in a JSON page, in the syntax of gjson: "items.#.price". A page that is not JSON gives no result, and an error in Err.
func (r *Response) JSON(path string) gjson.Result {
	text, err := r.json()
	if err == nil {
		err = unpackable(text, path)
	}
	if err != nil {
		r.fail(err)
		return gjson.Result{}
	}
	return gjson.Get(text, path)
}

// json is the page if it is JSON.
func (r *Response) json() (string, error) {
	r.page.jsonOnce.Do(func() {
		s, err := r.Decoded()
		switch {
		case err != nil:
		case isDeepJSON(s):
			s, err = "", fmt.Errorf("page is JSON %w", errDeepJSON)
		case !gjson.Valid(s):
			s, err = "", fmt.Errorf("page is %snot JSON: it begins with %.40q", r.instead(), s)
		}
		r.page.json, r.page.jsonErr = s, err
	})
	return r.page.json, r.page.jsonErr
}

// JMESPath evaluates a JMESPath expression on a JSON page: "items[?price > `10`].name". What it gives is read as JSON's result is. A malformed expression, or a
// page that is not JSON, gives no result, and an error in Err. Numbers are floating-point numbers to it; the digits of a long ID are safe in [Response.JSON].
func (r *Response) JMESPath(expr string) gjson.Result {
	j, err := r.Selectors.compileJMESPath(expr)
	if err != nil {
		r.fail(err)
		return gjson.Result{}
	}
	value, err := r.jsonValue()
	var result gjson.Result
	if err == nil {
		result, err = searchJMESPath(j, expr, value)
	}
	if err != nil {
		r.fail(err)
	}
	return result
}

// jsonValue is the page as encoding/json reads it.
func (r *Response) jsonValue() (any, error) {
	text, err := r.json()
	if err != nil {
		return nil, err
	}
	r.page.valueOnce.Do(func() {
		if err := json.Unmarshal([]byte(text), &r.page.value); err != nil {
			r.page.valueErr = fmt.Errorf("page is not JSON: %w", err)
		}
	})
	return r.page.value, r.page.valueErr
}

func searchJMESPath(j jmespath.JMESPath, expr string, value any) (gjson.Result, error) {
	found, err := j.Search(value)
	if err != nil {
		return gjson.Result{}, fmt.Errorf("jmespath %q: %w", expr, err)
	}
	if found == nil {
		return gjson.Result{}, nil
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(found); err != nil {
		return gjson.Result{}, fmt.Errorf("jmespath %q: %w", expr, err)
	}
	return gjson.Parse(strings.TrimSpace(b.String())), nil
}

func (s *Selectors) compileJMESPath(expr string) (jmespath.JMESPath, error) {
	var k *kept[string, jmespath.JMESPath]
	if s != nil {
		k = &s.jmespath
	}
	j, err := k.get(expr, func() (jmespath.JMESPath, error) { return jmespath.Compile(expr, sortBy()) })
	var syntax jmespath.SyntaxError
	if errors.As(err, &syntax) {
		return nil, fmt.Errorf("jmespath %q: %w", expr, at(syntax.Offset, "%w", err))
	}
	if err != nil {
		return nil, fmt.Errorf("jmespath %q: %w", expr, err)
	}
	return j, nil
}

// sortBy is JMESPath's sort_by, which by itself sorts the list where it stands: in the page, for whoever reads it next, or at the same time.
func sortBy() jmespath.FunctionEntry {
	all := functions.GetDefaultFunctions()
	f := all[slices.IndexFunc(all, func(f jmespath.FunctionEntry) bool { return f.Name == "sort_by" })]
	inPlace := f.Handler
	f.Handler = func(args []any) (any, error) {
		list, _ := args[0].([]any)
		return inPlace([]any{slices.Clone(list), args[1]})
	}
	return f
}

// ScriptJSON is the JSON in the first element that a CSS selector matches and that has some: ScriptJSON("#__NEXT_DATA__"). What stands before it may be named,
// for a script that is a program: ScriptJSON("script", "window.__STATE__ ="); white space in it does not count. There is no result if there is none, and an
// error in Err if what stands there is not JSON.
func (r *Response) ScriptJSON(selector string, after ...string) gjson.Result {
	var bad error
	for n, g := range r.root().matches(selector) {
		text := stringValue(n)
		if g.take == takeAttr {
			text, _ = nodeAttr(n, g.attr)
		}
		if len(after) > 0 {
			rest, ok := cutAfter(text, after[0])
			if !ok {
				continue
			}
			text = rest
		}
		value, err := scriptJSON(text, len(after) > 0)
		if err == nil {
			return value
		}
		if bad == nil && (len(after) > 0 || strings.TrimSpace(text) != "") {
			bad = fmt.Errorf("script %q: %w", selector, err)
		}
	}
	if bad != nil {
		r.fail(bad)
	}
	return gjson.Result{}
}

// cutAfter is what follows the first occurrence of a text. White space counts in neither.
func cutAfter(s, after string) (string, bool) {
	after = strings.Join(strings.Fields(after), "")
	if after == "" {
		return s, true
	}
	for {
		i := strings.IndexByte(s, after[0])
		if i < 0 {
			return "", false
		}
		s = s[i+1:]
		rest, ok := s, true
		for k := 1; k < len(after) && ok; k++ {
			rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " \t\r\n"), after[k:k+1])
		}
		if ok {
			return rest, true
		}
	}
}

// scriptJSON reads one JSON value, in the comments that are put around it for old browsers. more says that something may come after it.
func scriptJSON(text string, more bool) (gjson.Result, error) {
	text = strings.TrimSpace(text)
	for _, wrap := range [...][2]string{{"<!--", "-->"}, {"//<![CDATA[", "//]]>"}, {"/*<![CDATA[*/", "/*]]>*/"}, {"<![CDATA[", "]]>"}} {
		if inner, ok := strings.CutPrefix(text, wrap[0]); ok {
			text = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(inner), wrap[1]))
		}
	}
	if !more {
		text = strings.TrimSpace(strings.TrimSuffix(text, ";"))
	}
	// Line ends within strings are not JSON, and frequent.
	if strings.ContainsFunc(text, func(c rune) bool { return c < ' ' }) && (isDeepJSON(text) || !gjson.Valid(text)) {
		text = strings.Map(func(c rune) rune {
			if c < ' ' {
				return ' '
			}
			return c
		}, text)
	}
	var raw json.RawMessage
	dec := json.NewDecoder(strings.NewReader(text))
	if err := dec.Decode(&raw); err != nil {
		if isDeepJSON(text) {
			return gjson.Result{}, errDeepJSON
		}
		return gjson.Result{}, fmt.Errorf("not JSON: %w: it begins with %.40q", err, text)
	}
	if rest := strings.TrimSpace(text[dec.InputOffset():]); rest != "" && !more {
		return gjson.Result{}, fmt.Errorf("not JSON: %.40q comes after it", rest)
	}
	return gjson.ParseBytes(raw), nil
}

// JSONLD are the page's JSON-LD objects, in which shops and news sites say what a page is about: those of all scripts of that type, of lists and of @graph, one
// by one. With types only those of one of them: JSONLD("Product", "Offer"). A script that is not JSON is left out, and so is what nests deeper than 32 lists and
// graphs; either is an error in Err.
func (r *Response) JSONLD(types ...string) []gjson.Result {
	var all []gjson.Result
	tooDeep := false
	var add func(v gjson.Result, depth int)
	add = func(v gjson.Result, depth int) {
		switch {
		case depth > maxJSONLDDepth && (v.IsArray() || v.IsObject() && v.Get(`\@graph`).IsArray()):
			tooDeep = true
		case v.IsArray():
			v.ForEach(func(_, e gjson.Result) bool { add(e, depth+1); return true })
		case !v.IsObject():
		case v.Get(`\@graph`).IsArray():
			add(v.Get(`\@graph`), depth+1)
			if v.Get(`\@type`).Exists() && ofType(v, types) {
				all = append(all, v)
			}
		case ofType(v, types):
			all = append(all, v)
		}
	}
	i := 0
	for n := range r.root().matches("script[type]") {
		kind, _ := nodeAttr(n, "type")
		kind, _, _ = strings.Cut(kind, ";")
		if !strings.EqualFold(strings.TrimSpace(kind), "application/ld+json") {
			continue
		}
		i++
		text := stringValue(n)
		if strings.TrimSpace(text) == "" {
			continue
		}
		v, err := scriptJSON(text, false)
		if err != nil {
			r.fail(fmt.Errorf("json-ld %d of the page: %w", i, err))
			continue
		}
		tooDeep = false
		add(v, 1)
		if tooDeep {
			r.fail(fmt.Errorf("json-ld %d of the page: lists nested deeper than %d", i, maxJSONLDDepth))
		}
	}
	return all
}

// ofType reports whether a JSON-LD object is of one of the types, whose names may be given by their address.
func ofType(v gjson.Result, types []string) bool {
	if len(types) == 0 {
		return true
	}
	is := func(t string) bool {
		if i := strings.LastIndexAny(t, "/#:"); i >= 0 && !slices.Contains(types, t) {
			t = t[i+1:]
		}
		return slices.Contains(types, t)
	}
	t := v.Get(`\@type`)
	if t.IsArray() {
		return slices.ContainsFunc(t.Array(), func(t gjson.Result) bool { return is(t.String()) })
	}
	return is(t.String())
}

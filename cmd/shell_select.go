package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/format"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/tidwall/gjson"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/tulle-go/tulle/crawl"
)

// A selection is what a command has found on the page.
type selection struct {
	what string // what was asked for, for the line above the matches
	all  []found
}

// found is one match: a node of the page, a value that was taken of one, or one that stands in the page's text.
type found struct {
	node   crawl.Node // its Node is nil for a match without a place in the tree
	text   string     // what it is, unless the node itself is
	isText bool
	json   bool // text is JSON
	line   int  // in the page's text, from 1; 0: not known
}

func foundNodes(what string, nodes crawl.Nodes) *selection {
	sel := &selection{what: what}
	for _, n := range nodes {
		sel.all = append(sel.all, found{node: n})
	}
	return sel
}

// value is the match in full: an element as it is written, an attribute or a text as it reads.
func (f found) value() string {
	switch {
	case f.isText:
		return f.text
	case f.node.Node == nil:
		return ""
	case f.node.Attribute != "" || f.node.Type == html.TextNode:
		return f.node.Text()
	}
	return f.node.HTML()
}

// glance is the match in a line: of an element with others in it, the start tag and the text.
func (f found) glance() string {
	n := f.node.Node
	if f.isText || n == nil || f.node.Attribute != "" || n.Type != html.ElementNode {
		return f.value()
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if c.Type == html.ElementNode {
			alone := html.Node{Type: n.Type, Data: n.Data, DataAtom: n.DataAtom, Attr: n.Attr}
			return strings.TrimSuffix(crawl.Node{Node: &alone}.HTML(), "</"+n.Data+">") + " " + f.node.Text()
		}
	}
	return f.value()
}

// read is the match as text.
func (f found) read() string {
	if f.isText {
		return f.text
	}
	return f.node.Text()
}

// link is the address that a match points to: what it says, or its href or src, or that of the link in it or around it.
func (f found) link(page *crawl.Response) (string, bool) {
	resolve := func(ref string) (string, bool) {
		u, err := page.Join(ref)
		if err != nil {
			return "", false
		}
		return u.String(), true
	}
	switch v := gjson.Parse(f.text); {
	case f.isText && f.json && v.Type == gjson.String:
		return resolve(v.String())
	case f.isText && f.json && f.node.Node == nil:
		return "", false
	case f.isText && f.node.Node == nil:
		return resolve(strings.TrimSpace(f.text))
	case f.node.Node == nil:
		return "", false
	case f.node.Attribute != "":
		return resolve(f.node.Text())
	}
	if urls := f.node.URLs(); f.node.Type == html.ElementNode && len(urls) > 0 {
		return urls[0], true
	}
	if text := f.node.Text(); page.Kind() == crawl.BodyXML && looksLikeRef(text) { // <loc>
		return resolve(text)
	}
	if urls := f.node.URLs("a[href]"); len(urls) > 0 {
		return urls[0], true
	}
	for n := f.node.Parent; n != nil; n = n.Parent {
		if n.Type == html.ElementNode && n.Data == "a" {
			if urls := page.Node(n).URLs(); len(urls) > 0 {
				return urls[0], true
			}
		}
	}
	return "", false
}

// each makes a selection out of every match of another.
func (sel *selection) each(what string, f func(found) []found) *selection {
	next := &selection{what: what}
	for _, m := range sel.all {
		next.all = append(next.all, f(m)...)
	}
	return next
}

// below runs a selector on the page, or below every match of a selection. Matches that lie within each other give what is in both once.
func (s *shell) below(from *selection, what string, onPage func(*crawl.Response) crawl.Nodes, onNode func(crawl.Node) crawl.Nodes) (*selection, error) {
	if from == nil {
		return foundNodes(what, onPage(s.page.Response)), nil
	}
	type key struct {
		node *html.Node
		attr string
	}
	seen := make(map[key]bool)
	return from.each(what, func(m found) []found {
		if m.node.Node == nil || m.isText {
			return nil
		}
		var all []found
		for _, n := range onNode(m.node) {
			if k := (key{n.Node, n.Attribute}); !seen[k] {
				seen[k] = true
				all = append(all, found{node: n})
			}
		}
		return all
	}), nil
}

func (s *shell) css(_ context.Context, from *selection, arg string) (*selection, error) {
	if err := wanted("css", arg, "a SELECTOR, such as css h2 a"); err != nil {
		return nil, err
	}
	arg = unquoted(arg)
	return s.below(from, "css "+arg, func(r *crawl.Response) crawl.Nodes { return r.Select(arg) }, func(n crawl.Node) crawl.Nodes { return n.Select(arg) })
}

func (s *shell) xpath(_ context.Context, from *selection, arg string) (*selection, error) {
	if err := wanted("xpath", arg, "an EXPRESSION, such as xpath //h2/a/@href"); err != nil {
		return nil, err
	}
	arg = unquoted(arg)
	var values []found // an expression may give a number, a text or a truth value too
	nodes := func(at crawl.Node, v any) crawl.Nodes {
		switch v := v.(type) {
		case crawl.Nodes:
			return v
		case nil:
		default:
			values = append(values, found{node: at, text: fmt.Sprint(v), isText: true})
		}
		return nil
	}
	sel, err := s.below(from, "xpath "+arg, func(r *crawl.Response) crawl.Nodes { return nodes(crawl.Node{}, r.Eval(arg)) },
		func(n crawl.Node) crawl.Nodes { return nodes(n, n.Eval(arg)) })
	if err == nil && len(values) > 0 {
		sel.all = values
	}
	return sel, err
}

// unquoted takes off the quotes that somebody has put around all of a selector, as one does for other shells: by itself none begins with one, and no expression is worth
// asking for that is a text.
func unquoted(arg string) string {
	if n := len(arg); n > 2 && (arg[0] == '"' || arg[0] == '\'') && strings.IndexByte(arg[1:], arg[0]) == n-2 {
		return arg[1 : n-1]
	}
	return arg
}

// wanted is an error if a command's argument is missing.
func wanted(command, arg, want string) error {
	if arg == "" {
		return fmt.Errorf("%s wants %s", command, want)
	}
	return nil
}

// jsonPath looks a path up in a page of JSON, or in JSON that was selected: a script, an attribute.
func (s *shell) jsonPath(_ context.Context, from *selection, arg string) (*selection, error) {
	arg = cmp.Or(arg, "@this")
	return s.inJSON(from, "json "+arg, func(r *crawl.Response) gjson.Result { return r.JSON(arg) })
}

// jmes evaluates a JMESPath expression, as jsonPath does a path.
func (s *shell) jmes(_ context.Context, from *selection, arg string) (*selection, error) {
	if err := wanted("jmes", arg, "an EXPRESSION, such as jmes items[].price"); err != nil {
		return nil, err
	}
	return s.inJSON(from, "jmes "+arg, func(r *crawl.Response) gjson.Result { return r.JMESPath(arg) })
}

func (s *shell) inJSON(from *selection, what string, get func(*crawl.Response) gjson.Result) (*selection, error) {
	if from == nil {
		return foundJSON(what, get(s.page.Response)), nil
	}
	var first error
	sel := from.each(what, func(m found) []found {
		text := m.read()
		if n := m.node.Node; n != nil && !m.isText && m.node.Attribute == "" && n.DataAtom == atom.Script && n.FirstChild != nil {
			text = n.FirstChild.Data
		}
		part := &crawl.Response{URL: s.page.URL, Body: crawl.BytesBody([]byte(text)), Selectors: s.page.Selectors}
		all := foundJSON("", get(part)).all
		first = cmp.Or(first, part.Err())
		return all
	})
	if len(sel.all) == 0 && first != nil {
		return nil, first
	}
	return sel, nil
}

// jsonLD are the objects of JSON-LD on the page: what it says to search engines.
func (s *shell) jsonLD(_ context.Context, _ *selection, arg string) (*selection, error) {
	sel := &selection{what: "jsonld " + arg}
	for _, v := range s.page.JSONLD(strings.Fields(arg)...) {
		sel.all = append(sel.all, found{text: v.Raw, isText: true, json: true})
	}
	return sel, nil
}

// foundJSON has a list's values one by one.
func foundJSON(what string, v gjson.Result) *selection {
	sel := &selection{what: what}
	add := func(v gjson.Result) { sel.all = append(sel.all, found{text: v.Raw, isText: true, json: true}) }
	switch {
	case !v.Exists():
	case v.IsArray():
		for _, one := range v.Array() {
			add(one)
		}
	default:
		add(v)
	}
	return sel
}

// re finds a pattern in the page's source, or in the text of every match, and takes it apart as [crawl.Response.Re] does: the group "extract", else all groups, else the
// whole.
func (s *shell) re(_ context.Context, from *selection, arg string) (*selection, error) {
	if err := wanted("re", arg, `a PATTERN, such as re \d+`); err != nil {
		return nil, err
	}
	pattern, err := regexp.Compile(arg)
	if err != nil {
		return nil, fmt.Errorf("re %s: %w", arg, err)
	}
	find := func(text string, node crawl.Node, lines bool) []found {
		var all []found
		line, counted := 1, 0
		for _, at := range pattern.FindAllStringSubmatchIndex(text, -1) {
			spans := at
			switch i := pattern.SubexpIndex("extract"); {
			case i > 0:
				spans = at[2*i : 2*i+2]
			case len(at) > 2:
				spans = at[2:]
			}
			if lines {
				line += strings.Count(text[counted:at[0]], "\n")
				counted = at[0]
			}
			for span := range slices.Chunk(spans, 2) {
				if span[0] < 0 {
					continue
				}
				m := found{node: node, text: text[span[0]:span[1]], isText: true}
				if lines {
					m.line = line
				}
				all = append(all, m)
			}
		}
		return all
	}
	what := "re " + arg
	if from == nil {
		text, err := s.page.Decoded()
		if err != nil {
			return nil, err
		}
		return &selection{what: what, all: find(text, crawl.Node{}, true)}, nil
	}
	return from.each(what, func(m found) []found { return find(m.read(), m.node, false) }), nil
}

// selected is what text, attr and html work on: what a | leads to them, else the last selection.
func (s *shell) selected(from *selection, command string) (*selection, error) {
	if from != nil {
		return from, nil
	}
	if s.last == nil {
		return nil, fmt.Errorf("%s works on a selection: css h2 | %s", command, command)
	}
	return s.last, nil
}

func (s *shell) text(_ context.Context, from *selection, arg string) (*selection, error) {
	switch {
	case arg != "" && from == nil:
		from = foundNodes("", s.page.Select(unquoted(arg)))
	case arg != "":
		return nil, errors.New("text behind a | takes no selector: it is the text of what was selected")
	case from == nil && s.last == nil:
		from = foundNodes("", s.page.Select("body"))
	}
	from, err := s.selected(from, "text")
	if err != nil {
		return nil, err
	}
	return from.each(strings.TrimSpace("text "+arg), func(m found) []found { return []found{{node: m.node, text: m.read(), isText: true}} }), nil
}

func (s *shell) attr(_ context.Context, from *selection, arg string) (*selection, error) {
	if err := wanted("attr", arg, "a NAME, such as css a | attr href"); err != nil {
		return nil, err
	}
	from, err := s.selected(from, "attr "+arg)
	if err != nil {
		return nil, err
	}
	return from.each("attr "+arg, func(m found) []found {
		if m.node.Node == nil || m.node.Type != html.ElementNode {
			return nil
		}
		for _, a := range m.node.Node.Attr {
			if strings.EqualFold(a.Key, arg) {
				n := m.node
				n.Attribute = a.Key
				return []found{{node: n}}
			}
		}
		return nil
	}), nil
}

// html shows matches as they are written, in full.
func (s *shell) html(_ context.Context, from *selection, arg string) (*selection, error) {
	if arg != "" {
		return nil, errors.New("html takes no argument: css " + arg + " | html")
	}
	from, err := s.selected(from, "html")
	if err != nil {
		return nil, err
	}
	for _, m := range from.all {
		fmt.Fprintln(s.out, s.safe(m.value()))
	}
	return nil, nil
}

// links are the addresses that the page's links lead to.
func (s *shell) links(_ context.Context, from *selection, arg string) (*selection, error) {
	selector := "a[href], area[href]"
	if s.page.Kind() == crawl.BodyXML {
		selector = "loc, link" // of sitemaps and of feeds
	}
	selector = cmp.Or(arg, selector)
	sel, err := s.below(from, "links", func(r *crawl.Response) crawl.Nodes { return r.Select(selector) },
		func(n crawl.Node) crawl.Nodes { return n.Select(selector) })
	if err != nil {
		return nil, err
	}
	return sel.each("links "+arg, func(m found) []found {
		if u, ok := m.link(s.page.Response); ok {
			return []found{{node: m.node, text: u, isText: true}}
		}
		return nil
	}), nil
}

// extract makes an object of fields, or one of each match.
func (s *shell) extract(_ context.Context, from *selection, arg string) (*selection, error) {
	fields, err := parseFields(arg)
	if err != nil {
		return nil, err
	}
	build := func(n crawl.Node) (found, error) {
		o := object{}
		for _, f := range fields {
			v, err := f.of(s.page.Response, n)
			if err != nil {
				return found{}, err
			}
			o = append(o, member{f.name, v})
		}
		b, err := o.MarshalJSON()
		return found{node: n, text: string(b), isText: true, json: true}, err
	}
	sel := &selection{what: "extract"}
	if from == nil {
		m, err := build(crawl.Node{})
		if err != nil {
			return nil, err
		}
		if err := s.page.Err(); err != nil {
			return nil, err
		}
		fmt.Fprintln(s.out, s.paint.json([]byte(m.text)))
		s.showStruct(nil, fields)
		return nil, nil
	}
	for _, m := range from.all {
		if m.node.Node == nil || m.isText {
			return nil, errors.New("extract works on elements: css article | extract title=h2")
		}
		one, err := build(m.node)
		if err != nil {
			return nil, err
		}
		sel.all = append(sel.all, one)
	}
	s.showStruct(from, fields)
	return sel, nil
}

// showStruct prints what to write into a spider, for somebody who reads it.
func (s *shell) showStruct(from *selection, fields []field) {
	if s.interactive {
		fmt.Fprintln(s.out, s.paint.dim(visible(structText(from, fields))))
	}
}

// structText is the struct that [crawl.Extract] fills as extract does. Its fields are texts: what else they can be is for whoever knows the site.
func structText(from *selection, fields []field) string {
	var b strings.Builder
	if from != nil {
		if selector, ok := strings.CutPrefix(from.what, "css "); ok {
			fmt.Fprintf(&b, "// rows, err := crawl.ExtractAll[Item](r, %q)\n", selector)
		} else {
			b.WriteString("// row, err := crawl.Extract[Item](node)\n")
		}
	}
	b.WriteString("type Item struct {\n")
	for _, f := range fields {
		kind := "string"
		if f.all {
			kind = "[]string"
		}
		tag := f.tag()
		if strings.Contains(tag, "`") {
			tag = strconv.Quote(tag)
		} else {
			tag = "`" + tag + "`"
		}
		fmt.Fprintf(&b, "%s %s %s\n", goName(f.name), kind, tag)
	}
	b.WriteString("}")
	if text, err := format.Source([]byte(b.String())); err == nil {
		return string(text)
	}
	return b.String()
}

// tag is the field's struct tag.
func (f field) tag() string {
	key, selector := "css", f.selector
	if path, ok := strings.CutPrefix(selector, "json:"); ok {
		key, selector = "gjson", path
	} else if expr, ok := strings.CutPrefix(selector, "jmes:"); ok {
		key, selector = "jmespath", expr
	} else if f.isXPath() {
		key = "xpath"
	}
	if f.attr != "" {
		selector += "@" + f.attr
	}
	tag := fmt.Sprintf("%s:%q", key, selector)
	if f.pattern != nil {
		tag += fmt.Sprintf(" re:%q", f.pattern.String())
	}
	return tag + fmt.Sprintf(" json:%q", f.name)
}

// goName is an exported name: image_urls is ImageURLs.
func goName(name string) string {
	var b strings.Builder
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '_' || r == '-' }) {
		switch strings.ToLower(part) {
		case "url", "id", "sku", "isbn", "html":
			b.WriteString(strings.ToUpper(part))
		case "urls", "ids":
			b.WriteString(strings.ToUpper(part[:len(part)-1]) + "s")
		default:
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}

// field is one of extract: name=SELECTOR, or name[]=SELECTOR for all matches.
type field struct {
	name     string
	all      bool
	selector string
	attr     string
	pattern  *regexp.Regexp
}

var fieldStart = regexp.MustCompile(`(?:^|\s)([A-Za-z_][\w-]*)(\[\])?=`)

// parseFields reads name=SELECTOR fields. A selector goes on to the next field; behind it may stand @attribute and re:PATTERN.
func parseFields(arg string) ([]field, error) {
	at := fieldStart.FindAllStringSubmatchIndex(arg, -1)
	if len(at) == 0 || strings.TrimSpace(arg[:at[0][0]]) != "" {
		return nil, errors.New("extract wants fields, such as extract title=h1 url=a@href tags[]=.tag price=.price re:[\\d.]+")
	}
	var fields []field
	for i, m := range at {
		end := len(arg)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		f := field{name: arg[m[2]:m[3]], all: m[4] >= 0, selector: strings.TrimSpace(arg[m[1]:end])}
		if sel, pattern, ok := strings.Cut(f.selector, " re:"); ok {
			re, err := regexp.Compile(strings.TrimSpace(pattern))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.name, err)
			}
			f.selector, f.pattern = strings.TrimSpace(sel), re
		}
		if n := len(f.selector); n > 1 && (f.selector[0] == '"' || f.selector[0] == '\'') && f.selector[n-1] == f.selector[0] {
			f.selector = f.selector[1 : n-1]
		}
		if at := strings.LastIndexByte(f.selector, '@'); at >= 0 && !f.isXPath() && !strings.ContainsAny(f.selector[at:], "]) \"'") {
			f.selector, f.attr = strings.TrimSpace(f.selector[:at]), f.selector[at+1:]
		}
		if f.selector == "" && f.attr == "" {
			return nil, fmt.Errorf("%s= has no selector", f.name)
		}
		fields = append(fields, f)
	}
	return fields, nil
}

func (f field) isXPath() bool {
	return strings.HasPrefix(f.selector, "/") || strings.HasPrefix(f.selector, "./") || strings.HasPrefix(f.selector, "(")
}

// of is the field's value on the page, or below a node.
func (f field) of(r *crawl.Response, n crawl.Node) (any, error) {
	var nodes crawl.Nodes
	path, isJSON := strings.CutPrefix(f.selector, "json:")
	expr, isJMES := strings.CutPrefix(f.selector, "jmes:")
	var texts []string
	switch {
	case isJSON || isJMES:
		var v gjson.Result
		if isJSON {
			v = r.JSON(path)
		} else {
			v = r.JMESPath(expr)
		}
		if f.pattern == nil && !f.all {
			return json.RawMessage(cmp.Or(v.Raw, "null")), nil
		}
		for _, one := range v.Array() {
			texts = append(texts, one.String())
		}
	case f.selector == "" && n.Node != nil:
		nodes = crawl.Nodes{n}
	case f.isXPath() && n.Node != nil:
		nodes = n.XPath(f.selector)
	case f.isXPath():
		nodes = r.XPath(f.selector)
	case n.Node != nil:
		nodes = n.Select(f.selector)
	default:
		nodes = r.Select(f.selector)
	}
	for _, m := range nodes {
		text := m.Text()
		if f.attr != "" {
			if text = m.Attr(f.attr); text != "" && slices.Contains(urlAttributes, strings.ToLower(f.attr)) {
				if u, err := r.Join(text); err == nil {
					text = u.String()
				}
			}
		}
		texts = append(texts, text)
	}
	if f.pattern != nil {
		var matched []string
		for _, text := range texts {
			for _, m := range f.pattern.FindAllStringSubmatch(text, -1) {
				matched = append(matched, m[max(f.pattern.SubexpIndex("extract"), min(1, len(m)-1))])
			}
		}
		texts = matched
	}
	switch {
	case f.all:
		return append([]string{}, texts...), nil
	case len(texts) == 0:
		return nil, nil
	}
	return texts[0], nil
}

// urlAttributes are those whose values are made absolute.
var urlAttributes = []string{"href", "src", "action", "poster"}

// object is JSON whose members keep their order.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members, HTML as it is.
func (o object) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		for j, v := range []any{m.name, m.value} {
			var one strings.Builder
			if err := writeJSON(&one, v); err != nil {
				return nil, err
			}
			if j == 1 {
				b.WriteByte(':')
			}
			b.WriteString(strings.TrimSpace(one.String()))
		}
	}
	b.WriteByte('}')
	return []byte(b.String()), nil
}

// How many matches are shown at a time.
const firstMatches = 10

// show prints the selection: without a terminal all of it, bare; on one its count and ten matches at a time.
func (s *shell) show(ctx context.Context, all bool) error {
	sel := s.last
	if !s.interactive {
		for _, m := range sel.all {
			if ctx.Err() != nil {
				return errInterrupted
			}
			text := m.value()
			if !m.isText || !m.json {
				text = strings.TrimSpace(text)
			}
			fmt.Fprintln(s.out, s.safe(strings.ReplaceAll(strings.ReplaceAll(text, "\r", ""), "\n", " ")))
		}
		return nil
	}
	if len(sel.all) == 0 {
		fmt.Fprintf(s.out, "%s\n%s", s.paint.yellow("no match"), s.whyNone())
		return nil
	}
	if s.shown == 0 {
		matches := "match"
		if len(sel.all) > 1 {
			matches = "matches"
		}
		fmt.Fprintf(s.out, "%s\n", s.paint.bold(fmt.Sprintf("%d %s", len(sel.all), matches)))
	}
	end := min(len(sel.all), s.shown+firstMatches)
	if all {
		end = len(sel.all)
	}
	for i := s.shown; i < end; i++ {
		if ctx.Err() != nil {
			return errInterrupted
		}
		s.showMatch(i, sel.all[i])
	}
	s.shown = end
	if rest := len(sel.all) - end; rest > 0 {
		fmt.Fprintln(s.out, s.paint.dim(fmt.Sprintf("%d more: more shows the next, all shows all", rest)))
	}
	return nil
}

// showMatch prints one match: its number, what it is, and where.
func (s *shell) showMatch(i int, m found) {
	head := fmt.Sprintf("%*d ", len(strconv.Itoa(len(s.last.all)))+1, i+1)
	if m.json && gjson.Parse(m.text).IsObject() && len(s.last.all) == 1 {
		fmt.Fprintln(s.out, s.paint.json([]byte(m.text)))
		return
	}
	where := ""
	switch {
	case m.line > 0:
		where = fmt.Sprintf("line %d", m.line)
	case m.node.Node != nil:
		where = pathOf(m.node, true)
	}
	room := max(s.width(), 40) - len(head) - 1
	side := 0
	if where != "" {
		side = min(len([]rune(where)), room*2/5)
	}
	text := oneLine(m.glance())
	if text == "" {
		text = `""`
	}
	text = cut(text, room-side-2)
	pad := strings.Repeat(" ", max(0, room-side-len([]rune(text))))
	fmt.Fprintln(s.out, strings.TrimRight(s.paint.cyan(head)+text+pad+s.paint.dim(cutLeft(where, side)), " "))
}

// whyNone is a guess, for what surprises people most often.
func (s *shell) whyNone() string {
	if s.page.Kind() == crawl.BodyJSON && strings.HasPrefix(s.last.what, "json ") {
		if v := s.page.JSON("@this"); v.IsObject() {
			return "at the top are: " + cut(oneLine(strings.Join(keysOf(v), ", ")), 60) + "\n"
		}
		return ""
	}
	if s.page.Kind() != crawl.BodyHTML || s.page.Has("rendered") {
		return ""
	}
	scripts := s.page.CSS("script").Length()
	if text := s.page.Text("body"); scripts > 0 && len(text) < 400 {
		return fmt.Sprintf("the page has %s and hardly any text: render asks for it with the browser\n", count(int64(scripts), "script"))
	}
	return ""
}

func keysOf(v gjson.Result) []string {
	var keys []string
	v.ForEach(func(k, _ gjson.Result) bool {
		keys = append(keys, k.String())
		return true
	})
	return keys
}

// pathOf says where a node stands: the nearest id, and the way from there. It is a selector, unless it is to be short, and what a terminal shows as it is.
func pathOf(n crawl.Node, short bool) string {
	var parts []string
	for e := n.Node; e != nil; e = e.Parent {
		if e.Type != html.ElementNode {
			continue
		}
		name := e.Data
		if short && len(parts) > 0 && (e.DataAtom == atom.Body || e.DataAtom == atom.Html) {
			break // as everything does
		}
		id, class := attrValue(e, "id"), attrValue(e, "class")
		if id != "" && plainIdent(id) {
			parts = append(parts, name+"#"+id)
			break
		}
		if first, _, _ := strings.Cut(strings.TrimSpace(class), " "); first != "" && plainIdent(first) {
			name += "." + first
		}
		switch k, of := placeAmong(e); {
		case of > 1 && short:
			name += ":" + strconv.Itoa(k)
		case of > 1:
			name += ":nth-of-type(" + strconv.Itoa(k) + ")"
		}
		parts = append(parts, name)
	}
	slices.Reverse(parts)
	path := strings.Join(parts, " > ")
	if n.Attribute != "" {
		path += "@" + n.Attribute
	}
	return visible(path) // an element's name can have any character but a few
}

// placeAmong is an element's place among its siblings of the same name.
func placeAmong(e *html.Node) (k, of int) {
	if e.Parent == nil {
		return 1, 1
	}
	for c := e.Parent.FirstChild; c != nil; c = c.NextSibling {
		if c.Type == html.ElementNode && c.Data == e.Data {
			of++
		}
		if c == e {
			k = of
		}
	}
	return k, of
}

func attrValue(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// plainIdent reports whether a name can stand in a selector as it is.
func plainIdent(s string) bool {
	for i, r := range s {
		switch {
		case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r > 0x80 && !unicode.IsControl(r):
		case r >= '0' && r <= '9' && i > 0:
		default:
			return false
		}
	}
	return s != ""
}

// followed is the request for a match's number, a selector's first link, or a reference.
func (s *shell) followed(from *selection, arg string) (*crawl.Request, error) {
	sel := from
	if sel == nil {
		sel = s.last
	}
	n, numErr := strconv.Atoi(arg)
	switch {
	case arg == "" && from != nil:
		n = 1
	case arg == "":
		return nil, errors.New("follow wants a match's number, a SELECTOR or a link: follow 3, follow li.next a")
	case numErr == nil && sel == nil:
		return nil, errors.New("follow " + arg + ": nothing is selected: links lists the page's links")
	case numErr == nil:
	default:
		if looksLikeRef(arg) {
			u, err := s.page.Join(arg)
			if err != nil {
				return nil, err
			}
			return &crawl.Request{URL: u}, nil
		}
		if s.page.Kind() == crawl.BodyJSON {
			sel = foundJSON("", s.page.JSON(arg))
		} else {
			sel = foundNodes("", s.page.Select(arg))
		}
		if len(sel.all) == 0 {
			return nil, cmp.Or(s.page.Err(), fmt.Errorf("no match for %s", arg))
		}
		n = 1
	}
	if n < 1 || n > len(sel.all) {
		return nil, noMatch(n, len(sel.all))
	}
	u, ok := sel.all[n-1].link(s.page.Response)
	if !ok {
		return nil, fmt.Errorf("match %d leads nowhere: %s", n, cut(oneLine(sel.all[n-1].value()), 60))
	}
	req := crawl.Get(u)
	return req, req.Err()
}

// looksLikeRef tells a link from a selector.
func looksLikeRef(s string) bool {
	if strings.ContainsAny(s, " >[") {
		return false
	}
	if strings.HasPrefix(s, "/") || strings.HasPrefix(s, "?") || strings.HasPrefix(s, "../") || strings.HasPrefix(s, "./") {
		return true
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "file" || u.Scheme == "ftp")
}

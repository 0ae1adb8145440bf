package crawl

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
	"golang.org/x/net/html"
)

// A Source is what [Extract] reads from: a *[Response] or a [Node].
type Source interface{ scope() scope }

// ErrMissing is what a required field that is not on the page gives; ask for it with errors.Is.
var ErrMissing = errors.New("nothing was found")

// An ExtractError says which field could not be filled, and why. Ask for the first with errors.As; [Extract] joins all of a page's.
type ExtractError struct {
	Type     string // the type whose field it is: "shop.Book"
	Field    string // the field, by its way through nested ones: "Offers[2].Price"
	Selector string // the tags that say where it is, as they are written
	URL      string // of the page
	Err      error  // ErrMissing, or what is wrong with what was found
}

func (e *ExtractError) Error() string {
	return fmt.Sprintf("extract %s.%s from %s: %v (%s)", e.Type, e.Field, e.URL, e.Err, e.Selector)
}

func (e *ExtractError) Unwrap() error { return e.Err }

// Extract fills a struct from a page, or from a row of one, by the tags of its fields:
//
//	type Book struct {
//		Title   string    `css:"h1" extract:"required"`
//		Price   float64   `css:"p.price_color"`                      // £51.77
//		Stock   int       `css:"p.availability" re:"(\\d+) available"`
//		Rating  string    `xpath:"//p[has-class('star-rating')]/@class" re:"(\\w+)$"`
//		Images  []string  `css:"#gallery img@src" json:"image_urls"`
//		Added   time.Time `css:"time@datetime" layout:"2006-01-02"`
//		Reviews []Review  `css:"div.review"`                         // whose tags count within each
//	}
//
//	book, err := crawl.Extract[Book](r)
//
// # Where a field is
//
// A field without one of the first four tags is left alone; a struct without them is looked into, in the same place, as is an
// embedded pointer to one. A json tag is not one of them: it is the field's name in the feed.
//
//	css:"sel"       the text of the first match, as Response.Text has it. "sel@attr", or "sel::attr(attr)", is an attribute, "sel::text" the element's own text.
//	                ":scope" is the row itself, and "@attr" an attribute of it.
//	xpath:"expr"    the same; numbers, texts and truth values too. In a row, begin with "./" or ".//".
//	gjson:"path"    what stands at a path, in the syntax of gjson, in the page's JSON, in the JSON object that the struct is filled from, or, beside css or xpath,
//	                in the JSON that is the text of what they select: css:"#__NEXT_DATA__" gjson:"props.id"
//	jmespath:"expr" the same by a JMESPath expression
//	re:"pattern"    of what was selected, what a regular expression finds: its group "extract", else its first group, else the whole. No match is nothing.
//	key, value      two CSS selectors that make each match an entry of a map: css:"table.specs tr" key:"th" value:"td"
//
// # What it becomes
//
//	default:"text"  stands in for what is not there
//	num:"1.234,56"  how numbers are written: the decimal sign, and the one between thousands. 1,234.56 is usual.
//	layout:"…"      of a time, as time.Parse has it; several are parted by "|". Usual are ISO 8601 and the times of HTTP and feeds.
//	zone:"…"        where a time is whose text does not say, "Europe/Berlin". UTC is usual.
//	extract:"…"     options, parted by commas: required; html, the markup within; raw, text as it is written; abs, an address made absolute, or each in a srcset;
//	                exists, for a bool, whether there is a match
//
// Fields are strings, numbers, bools, time.Time, time.Duration, url.URL, whatever has UnmarshalText, structs, pointers to all of these (nil if there is
// nothing), slices of them (an element for each match) and maps by string. What comes from JSON and is none of these is unmarshalled as encoding/json does it;
// a number in a string is as it is written there.
//
// Empty text counts as not there. What is not there leaves the field as it is, unless it is required or has a default. Addresses are made absolute: in a
// url.URL, in strings that come from the attributes href, src, action or poster, and with the option abs. In a list, one that cannot be put right is left out.
//
// A number may have a currency sign, a percent sign and spaces around it, and thousands parted by commas, spaces or apostrophes. Whatever else stands there is
// an error, so that "3 for 10" does not become 310: take out by re what is meant. Truth values are true, yes, on and 1, and false, no, off and 0.
//
// # What is wrong
//
// The value holds every field that could be filled, and of a list every element, the error all of those that could not, each an [*ExtractError]. A callback that
// wants whole items returns the error; one that takes what there is hands over the item and then returns the error, which is logged with the page and counted. What is malformed in a
// tag is in the error too; it is found before the crawl begins if the type is in [Spider.Items].
func Extract[T any](from Source) (T, error) {
	var v T
	err := extractInto(from.scope(), reflect.ValueOf(&v).Elem())
	return v, err
}

// ExtractAll fills one struct for each element that a CSS selector matches, with what its tags select in there; see [Extract]. The errors of all are joined.
func ExtractAll[T any](from Source, selector string) ([]T, error) {
	s := from.scope()
	c, err := s.node.selectors().compileCSS(selector)
	if err != nil {
		return nil, err
	}
	within := s.element()
	if within == nil {
		return nil, nil
	}
	var all []T
	var errs []error
	for n := range c.below(within) {
		var v T
		if err := extractInto(scope{node: Node{Node: n, page: s.node.page}}, reflect.ValueOf(&v).Elem()); err != nil {
			errs = append(errs, fmt.Errorf("%s, number %d: %w", selector, len(all)+1, err))
		}
		all = append(all, v)
	}
	return all, errors.Join(errs...)
}

// CheckItems returns what is wrong with the tags by which [Extract] would fill items of these types, all of it. Items of other kinds, maps for one, are passed
// over; nil is no example of anything.
func CheckItems(items []any) error {
	var errs []error
	for i, item := range items {
		if item == nil {
			errs = append(errs, fmt.Errorf("number %d is nil: want an example such as Book{}", i+1))
			continue
		}
		t := reflect.TypeOf(item)
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			continue
		}
		if _, err := (*Selectors)(nil).plan(planKey{t, false}); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// scope is what a struct is filled from: a node, a whole page if top, or a value of JSON.
type scope struct {
	node   Node
	top    bool
	json   gjson.Result
	isJSON bool
}

func (r *Response) scope() scope { return scope{node: Node{page: r}, top: true} }
func (n Node) scope() scope      { return scope{node: n} }

// element is the node that selectors look below. A page is parsed when the first one asks: one that is JSON never is.
func (s *scope) element() *html.Node {
	if s.top && s.node.Node == nil {
		s.node.Node = s.node.page.document().doc.Nodes[0]
	}
	if s.node.Attribute != "" {
		return nil
	}
	return s.node.Node
}

func extractInto(s scope, v reflect.Value) error { return extractUpTo(maxStructs, s, v) }

func extractUpTo(most int, s scope, v reflect.Value) error {
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		v.Set(reflect.New(t.Elem()))
		t, v = t.Elem(), v.Elem()
	}
	if t.Kind() != reflect.Struct || isScalar(t) {
		return fmt.Errorf("extract %s: want a struct, or a pointer to one", t)
	}
	p, err := s.node.selectors().plan(planKey{t, false})
	if err != nil {
		return err
	}
	if len(p.fields) == 0 {
		return fmt.Errorf("%s has no field with a css, xpath, gjson or jmespath tag", t)
	}
	x := &extraction{page: s.node.page, typ: t.String(), left: most}
	x.fill(p, s, v, "", nil)
	if s.top && s.node.page.page.domErr != nil {
		x.errs = append(x.errs, fmt.Errorf("extract %s from %s: %w", t, x.address(), s.node.page.page.domErr))
	}
	return errors.Join(x.errs...)
}

// extraction is one call of Extract.
type extraction struct {
	page   *Response
	typ    string
	errs   []error
	left   int  // how many structs it may fill yet
	noJSON bool // the page is not JSON, which was said
}

// maxStructs is how many structs one call fills. A type within itself whose selector finds what is further down too finds it again at every level.
const maxStructs = 1_000_000

// frame is a struct that is being filled, and where, so that a type within itself comes to an end.
type frame struct {
	plan *plan
	node *html.Node
	json int // the length of its JSON
	up   *frame
}

// below reports whether a struct may be filled from somewhere: a type within itself only from further down.
func (fr *frame) below(p *plan, e *extracted) bool {
	for ; fr != nil; fr = fr.up {
		if fr.plan != p {
			continue
		}
		if e.isJSON {
			return fr.json == 0 || len(e.json.Raw) < fr.json
		}
		n := e.node.Node
		for n = n.Parent; n != nil && n != fr.node; {
			n = n.Parent
		}
		return n == fr.node // nil is the page
	}
	return true
}

func (x *extraction) fail(f *fieldPlan, path string, err error) {
	if x.page != nil && err == x.page.page.jsonErr {
		if x.noJSON { // which is so for all fields, and said once
			return
		}
		x.noJSON = true
	}
	x.errs = append(x.errs, &ExtractError{Type: x.typ, Field: path + f.name, Selector: f.tags, URL: x.address(), Err: err})
}

func (x *extraction) address() string {
	if x.page == nil || x.page.URL == nil {
		return "a page without an address"
	}
	return x.page.URL.String()
}

// fill fills a struct.
func (x *extraction) fill(p *plan, s scope, v reflect.Value, path string, in *frame) {
	in = &frame{plan: p, node: s.node.Node, json: len(s.json.Raw), up: in}
	var found [][]*html.Node
	if p.together && !s.isJSON {
		if scope := s.element(); scope != nil && !isXMLTree(scope) {
			walked := p.walk(scope)
			defer p.give(walked)
			found = *walked
		}
	}
	for _, f := range p.fields {
		if err := x.field(f, &s, found, v.FieldByIndex(f.index), path, in); err != nil {
			x.fail(f, path, err)
		}
	}
}

// maxWrong is how many elements of a list, or entries of a map, have an error each. The others are counted.
const maxWrong = 100

// These end a list: a type within itself would go on and on.
var (
	errNotDown = errors.New("the selector of a type within itself does not go down: begin it with ./ or .//, or a name")
	errTooMany = errors.New("too many structs: the selector of a type within itself finds what is further down too, so begin it with > or ./")
)

// field fills a field. Errors of what is within it are reported by themselves.
func (x *extraction) field(f *fieldPlan, s *scope, found [][]*html.Node, v reflect.Value, path string, in *frame) error {
	if !f.located() { // a struct in the same place
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		x.fill(f.sub, *s, v, path+f.name+".", in)
		return nil
	}
	if f.exists {
		there := false
		var bad error
		err := f.each(s, found, func(e extracted) bool {
			bad = e.err
			there = bad == nil
			return false
		})
		v.SetBool(there)
		return errors.Join(err, bad)
	}
	var bad error
	many := f.list || f.entries != nil
	n, wrong := 0, 0
	err := f.each(s, found, func(e extracted) bool {
		bad = nil
		switch {
		case e.err != nil:
			bad = e.err
		case f.entries != nil:
			bad = x.entry(f, e, v)
		case e.absent() && (f.sub == nil || e.isJSON):
			return f.list // as if it were not there
		case f.list:
			bad = x.appendTo(f, e, v, path, in)
		case f.sub != nil:
			bad = x.set(f, e, v, path+f.name+".", in)
		default:
			bad = f.convert(e, v)
		}
		n++
		if bad != nil && many && bad != errNotDown && bad != errTooMany { // the others may be right
			if wrong++; wrong <= maxWrong {
				x.fail(f, path, fmt.Errorf("number %d: %w", n, bad))
			}
			bad = nil
		}
		return bad == nil && many
	})
	if wrong > maxWrong {
		x.fail(f, path, fmt.Errorf("%d more are wrong", wrong-maxWrong))
	}
	if err == nil {
		err = bad
	}
	if err != nil || n > 0 {
		return err
	}
	if f.hasDefault {
		e := extracted{text: f.def, isText: true, node: Node{page: x.page}}
		if f.list {
			return x.appendTo(f, e, v, path, in)
		}
		return x.set(f, e, v, path, in)
	}
	if f.required {
		return ErrMissing
	}
	return nil
}

// appendTo appends to a slice.
func (x *extraction) appendTo(f *fieldPlan, e extracted, v reflect.Value, path string, in *frame) error {
	if f.sub != nil {
		path = path + f.name + "[" + strconv.Itoa(v.Len()) + "]."
	}
	elem := reflect.New(v.Type().Elem()).Elem()
	err := x.set(f, e, elem, path, in)
	if errors.Is(err, errNoAddress) {
		return nil
	}
	if err == nil {
		v.Set(reflect.Append(v, elem))
	}
	return err
}

// entry puts a match into a map.
func (x *extraction) entry(f *fieldPlan, e extracted, v reflect.Value) error {
	if e.node.Node == nil {
		return errors.New("a map is made of elements")
	}
	read := func(c *cssSelector) string {
		for n, g := range c.below(e.node.Node) {
			if s, ok := g.value(n); ok {
				return s
			}
		}
		return ""
	}
	key := read(f.entries[0])
	if key == "" {
		return nil
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	value := extracted{text: read(f.entries[1]), isText: true, node: e.node}
	elem := reflect.New(v.Type().Elem()).Elem()
	if !value.absent() {
		if err := f.convert(value, elem); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
	}
	v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), elem)
	return nil
}

// set puts what was found into a field, or an element of one.
func (x *extraction) set(f *fieldPlan, e extracted, v reflect.Value, path string, in *frame) error {
	if f.sub == nil {
		return f.convert(e, v)
	}
	if !in.below(f.sub, &e) {
		return errNotDown
	}
	if x.left--; x.left < 0 {
		return errTooMany
	}
	for v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if e.isJSON {
		if !e.json.IsObject() && !e.json.IsArray() {
			return fmt.Errorf("%.40q is not an object", e.json.Raw)
		}
		x.fill(f.sub, scope{json: e.json, isJSON: true, node: Node{page: x.page}}, v, path, in)
		return nil
	}
	if e.isText {
		return errors.New("a struct is filled from elements or JSON objects, not from a text")
	}
	x.fill(f.sub, scope{node: e.node}, v, path, in)
	return nil
}

// extracted is something that was found for a field: a node, a text that was made of one, or a value of JSON.
type extracted struct {
	node   Node
	text   string
	isText bool
	json   gjson.Result
	isJSON bool
	err    error // there is something, and this is wrong with it
}

// absent reports whether there is nothing in it: an empty text, or null.
func (e *extracted) absent() bool {
	if e.isJSON {
		return !e.json.Exists() || e.json.Type == gjson.Null || e.json.Type == gjson.String && strings.TrimSpace(e.json.Str) == ""
	}
	return strings.TrimSpace(e.text) == ""
}

// located reports whether a tag says where the field is.
func (f *fieldPlan) located() bool { return f.css != nil || f.self || f.xpath != nil || f.inText() }

// each calls take with what there is for a field, until it returns false.
func (f *fieldPlan) each(s *scope, found [][]*html.Node, take func(extracted) bool) error {
	switch {
	case f.css != nil || f.self:
		if s.isJSON {
			return errors.New("css within JSON")
		}
		return f.eachMatch(s, found, take)
	case f.xpath != nil:
		return f.eachXPath(s, take)
	}
	value := s.json
	switch {
	case s.isJSON:
	case s.top:
		if f.jmes != nil { // which wants it as Go has it
			page, err := s.node.page.jsonValue()
			if err != nil {
				return err
			}
			found, err := searchJMESPath(f.jmes, f.jmesText, page)
			f.takeJSON(found, s.node, take)
			return err
		}
		text, err := s.node.page.json()
		if err != nil {
			return err
		}
		value = gjson.Parse(text)
	case s.node.Node != nil:
		text := s.node.Text()
		if s.node.Attribute == "" {
			text = stringValue(s.node.Node)
		}
		var err error
		if value, err = scriptJSON(text, false); err != nil {
			return err
		}
	}
	_, err := f.eachJSON(value, s.node, take)
	return err
}

func (f *fieldPlan) eachMatch(s *scope, found [][]*html.Node, take func(extracted) bool) error {
	node := Node{page: s.node.page}
	one := func(n *html.Node, g *cssGroup) bool {
		node.Node, node.Attribute = n, ""
		if f.sub != nil && !f.inText() || f.exists || f.entries != nil {
			if g.take == takeAttr {
				if _, ok := attribute(n, g.attr); !ok {
					return true
				}
			}
			return take(extracted{node: node})
		}
		text, ok := f.read(n, g)
		if !ok {
			return true
		}
		if g.take == takeAttr {
			node.Attribute = g.attr
		}
		return f.text(text, node, take)
	}
	scope := s.element()
	if scope == nil {
		return nil
	}
	if f.self {
		one(scope, f.own)
		return nil
	}
	if found != nil && f.key >= 0 {
		g := f.css.groups[0]
		m := cssMatcher{scope: scope}
		for _, n := range found[f.key] {
			if !f.plain && !m.match(n, g.steps) {
				continue
			}
			if !one(n, g) {
				return nil
			}
		}
		return nil
	}
	for n, g := range f.css.below(scope) {
		if !one(n, g) {
			return nil
		}
	}
	return nil
}

// read is the text of a match, by what the selector takes and the options say.
func (f *fieldPlan) read(n *html.Node, g *cssGroup) (string, bool) {
	switch {
	case g.take == takeAttr && f.raw:
		for _, a := range n.Attr {
			if a.Key == g.attr {
				return a.Val, true
			}
		}
		return "", false
	case g.take != takeText:
		return g.value(n)
	case f.html:
		return Node{Node: n}.InnerHTML(), true
	case f.raw || f.inText():
		return stringValue(n), true
	}
	return g.value(n)
}

// inText reports whether what is wanted stands as JSON in the text of what is selected.
func (f *fieldPlan) inText() bool { return f.path != "" || f.jmes != nil }

// text goes on with the text of a node: through JSON, then a regular expression.
func (f *fieldPlan) text(text string, node Node, take func(extracted) bool) (on bool) {
	if !f.inText() {
		if f.re == nil {
			return take(extracted{node: node, text: text, isText: true})
		}
		return f.eachRe(text, node, take)
	}
	value, err := scriptJSON(text, false)
	if err == nil {
		on, err = f.eachJSON(value, node, take)
	}
	if err != nil {
		return take(extracted{err: err})
	}
	return on
}

// eachRe takes what the regular expression finds: in a list all of it, else the first.
func (f *fieldPlan) eachRe(text string, node Node, take func(extracted) bool) bool {
	on, n := true, 0
	groups := max(1, f.re.NumSubexp())
	if f.re.SubexpIndex("extract") > 0 {
		groups = 1
	}
	findRe(f.re, text, func(s string) bool {
		if n++; (n-1)%groups != 0 { // another group of the same match
			return true
		}
		on = take(extracted{node: node, text: strings.TrimSpace(s), isText: true})
		return on && f.list
	})
	return on
}

func (f *fieldPlan) eachXPath(s *scope, take func(extracted) bool) error {
	if s.isJSON {
		return errors.New("xpath within JSON")
	}
	scope := s.element()
	if scope == nil {
		return nil
	}
	v, err := f.xpath.eval(Node{Node: scope, page: s.node.page})
	if err != nil {
		return err
	}
	text := ""
	switch v := v.(type) {
	case Nodes:
		for _, n := range v {
			if f.sub != nil && !f.inText() || f.exists || f.entries != nil {
				if !take(extracted{node: n}) {
					return nil
				}
				continue
			}
			g := &cssGroup{}
			if n.Attribute != "" {
				g.take, g.attr = takeAttr, n.Attribute
			}
			text, ok := n.Text(), true
			if n.Type != html.TextNode {
				text, ok = f.read(n.Node, g)
			} else if f.raw {
				text = n.Data
			}
			if !ok {
				continue
			}
			if !f.text(text, n, take) {
				return nil
			}
		}
		return nil
	case string:
		if text = v; !f.raw {
			text = foldSpace(v)
		}
	case float64:
		text = formatNumber(v)
	case bool:
		if f.exists && !v {
			return nil
		}
		text = fmt.Sprint(v)
	}
	f.text(text, Node{page: s.node.page}, take)
	return nil
}

// eachJSON takes what a path gives: in a list the elements of an array.
func (f *fieldPlan) eachJSON(value gjson.Result, node Node, take func(extracted) bool) (on bool, err error) {
	if f.path != "" {
		if err := unpackable(value.Raw, f.path); err != nil {
			return false, err
		}
		value = value.Get(f.path)
	} else if value, err = searchJMESPath(f.jmes, f.jmesText, value.Value()); err != nil {
		return false, err
	}
	return f.takeJSON(value, node, take), nil
}

func (f *fieldPlan) takeJSON(value gjson.Result, node Node, take func(extracted) bool) (on bool) {
	if !value.Exists() || f.exists && value.Type == gjson.Null {
		return true
	}
	on = true
	one := func(_, v gjson.Result) bool {
		if f.re != nil {
			on = f.eachRe(jsonText(v), node, take)
		} else {
			on = take(extracted{node: node, json: v, isJSON: true})
		}
		return on
	}
	if f.list && value.IsArray() {
		value.ForEach(one)
	} else {
		one(gjson.Result{}, value)
	}
	return on
}

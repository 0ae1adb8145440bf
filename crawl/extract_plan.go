package crawl

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jmespath-community/go-jmespath"
	"golang.org/x/net/html"
)

// planKey is what a plan is for: a type, filled from a page or from JSON.
type planKey struct {
	typ  reflect.Type
	json bool
}

// plan says how a struct is filled. It is made once for a type and not changed.
type plan struct {
	fields   []*fieldPlan
	together bool           // enough of its selectors are looked for in one walk
	keys     map[cssKey]int // what is looked for in it
	pool     sync.Pool      // of *[][]*html.Node: what the walk has found, by key
}

// fieldPlan says how a field is filled.
type fieldPlan struct {
	name  string
	index []int
	tags  string // as they are written, for errors

	css      *cssSelector
	key      int       // of its plan's keys, -1 for none
	plain    bool      // the key is all of the selector
	self     bool      // the selector is the scope itself,
	own      *cssGroup // of which this is taken
	xpath    *xpathExpr
	path     string // of gjson
	jmes     jmespath.JMESPath
	jmesText string
	re       *regexp.Regexp
	entries  []*cssSelector // key and value of a map
	sub      *plan
	list     bool

	required, html, raw, abs, exists bool
	hasDefault                       bool
	def                              string
	num                              numberFormat
	layouts                          []string
	zone                             *time.Location
}

// plan returns the plan for a type.
func (s *Selectors) plan(key planKey) (*plan, error) {
	var k *kept[planKey, *plan]
	if s != nil {
		k = &s.plans
	}
	return k.get(key, func() (*plan, error) {
		c := &planner{selectors: s, made: make(map[planKey]*plan), root: key.typ, here: []reflect.Type{key.typ}}
		p := c.plan(key, "")
		return p, errors.Join(c.errs...)
	})
}

// planner makes the plan of a type and of those in it, which may be the same.
type planner struct {
	selectors *Selectors
	made      map[planKey]*plan
	root      reflect.Type
	here      []reflect.Type // the struct that is being planned, and those that it is embedded in
	errs      []error
}

// sourceTags say where a field is found, in this order.
var sourceTags = [...]string{"css", "xpath", "gjson", "jmespath"}

func (c *planner) plan(key planKey, path string) *plan {
	if p := c.made[key]; p != nil {
		return p
	}
	p := &plan{keys: make(map[cssKey]int)}
	c.made[key] = p
	for i := range key.typ.NumField() {
		field := key.typ.Field(i)
		f := &fieldPlan{name: field.Name, index: field.Index, key: -1}
		name := path + field.Name
		err := c.field(f, field, key.json, name)
		if err != nil {
			c.errs = append(c.errs, fmt.Errorf("%s.%s: %w", c.root, name, err))
			continue
		}
		if f.index != nil {
			p.fields = append(p.fields, f)
		}
	}
	p.keyed()
	return p
}

// field plans a field; one that is left alone loses its index.
func (c *planner) field(f *fieldPlan, field reflect.StructField, fromJSON bool, path string) error {
	if err := malformedTag(string(field.Tag)); err != nil {
		return err
	}
	sources := 0
	for _, name := range sourceTags {
		v, ok := field.Tag.Lookup(name)
		if !ok {
			continue
		}
		sources++
		if v == "" {
			return fmt.Errorf("tag %s is empty", name)
		}
		if fromJSON && (name == "css" || name == "xpath") {
			return fmt.Errorf("tag %s:%q: the struct is filled from JSON, which has no elements", name, v)
		}
	}
	if err := misspeltTag(string(field.Tag), sources > 0); err != nil {
		return err
	}
	if sources == 0 {
		t := field.Type
		embedded := field.Anonymous && t.Kind() == reflect.Pointer
		if embedded {
			t = t.Elem()
		}
		if t.Kind() == reflect.Struct && !isScalar(t) && (field.IsExported() || field.Anonymous) && hasTags(t, nil) {
			switch {
			case embedded && !field.IsExported():
				return fmt.Errorf("a pointer to %s, which is not exported, cannot be filled: embed the struct itself", t)
			case slices.Contains(c.here, t):
				return fmt.Errorf("%s is embedded in itself", t)
			}
			c.here = append(c.here, t)
			f.sub = c.plan(planKey{t, fromJSON}, path+".")
			c.here = c.here[:len(c.here)-1]
			return nil
		}
		f.index = nil
		return nil
	}
	if !field.IsExported() {
		return errors.New("the field is not exported, so nothing can be put into it")
	}
	if err := f.parseTags(field.Tag); err != nil {
		return err
	}
	return c.target(f, field, fromJSON, path)
}

// malformedTag says what is wrong with a text that is meant to be a list of tags, one of ours among them: reflect passes over what it cannot read.
func malformedTag(tag string) error {
	ours := slices.ContainsFunc(sourceTags[:], func(name string) bool {
		return strings.HasPrefix(tag, name) && !isNameByte((tag + " ")[len(name)]) || strings.Contains(tag, " "+name+":")
	})
	if !ours {
		return nil
	}
	for rest := strings.TrimLeft(tag, " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
		i := strings.IndexAny(rest, ` :"`)
		if i <= 0 || !strings.HasPrefix(rest[i:], `:"`) || rest[0] == ',' { // tags are parted by spaces
			return fmt.Errorf("tag `%s` is not written as name:\"…\"", rest)
		}
		end := i + 2
		for end < len(rest) && rest[end] != '"' {
			if rest[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(rest) {
			return fmt.Errorf("tag `%s` is not closed", rest)
		}
		if _, err := strconv.Unquote(rest[i+1 : end+1]); err != nil {
			return fmt.Errorf("tag `%s` is not a string of Go: in a tag, a backslash is written twice", rest[:end+1])
		}
		rest = rest[end+1:]
	}
	return nil
}

// optionTags are those that count beside one that says where a field is.
var optionTags = [...]string{"re", "key", "value", "default", "num", "layout", "zone", "extract"}

// misspeltTag says which tag has a name that is nearly one of ours. located says that the field has a tag that says where it is: only beside that do the
// others mean something, and those of other packages may look like them.
func misspeltTag(tag string, located bool) error {
	ours := sourceTags[:]
	if located {
		ours = append(ours[:len(ours):len(ours)], optionTags[:]...)
	}
	for rest := strings.TrimLeft(tag, " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
		name, value, ok := strings.Cut(rest, ":")
		quoted, err := strconv.QuotedPrefix(value)
		if !ok || err != nil { // as reflect has it, the end
			return nil //nolint:nilerr // What stands there is no tag to anybody.
		}
		rest = value[len(quoted):]
		if slices.Contains(ours, name) || slices.Contains(foreignTags[:], name) {
			continue
		}
		for _, our := range ours {
			slips := len(our) / 3 // of short names hardly anything is left
			if len(our) < 4 {
				slips = 0
			}
			if d := distance(strings.ToLower(name), our); d <= slips {
				return fmt.Errorf("unknown tag %s: did you mean %s:%s?", name, our, quoted)
			}
		}
	}
	return nil
}

// foreignTags are tags of other packages that are written nearly as some of ours.
var foreignTags = [...]string{"json", "path", "extra"}

// hasTags reports whether a struct, or one in it, has a field to fill.
func hasTags(t reflect.Type, within []reflect.Type) bool {
	if slices.Contains(within, t) {
		return false
	}
	for i := range t.NumField() {
		field := t.Field(i)
		for _, name := range sourceTags {
			if _, ok := field.Tag.Lookup(name); ok {
				return true
			}
		}
		if malformedTag(string(field.Tag)) != nil || misspeltTag(string(field.Tag), false) != nil {
			return true
		}
		in := field.Type
		if field.Anonymous && in.Kind() == reflect.Pointer {
			in = in.Elem()
		}
		if in.Kind() == reflect.Struct && !isScalar(in) && hasTags(in, append(within, t)) {
			return true
		}
	}
	return false
}

func (f *fieldPlan) parseTags(tag reflect.StructTag) (err error) {
	var written []string
	for _, name := range [...]string{"css", "xpath", "gjson", "jmespath", "re"} {
		v, ok := tag.Lookup(name)
		if !ok {
			continue
		}
		written = append(written, fmt.Sprintf("%s %q", name, v))
		switch name {
		case "css":
			err = f.parseCSS(v)
		case "xpath":
			f.xpath, err = (*Selectors)(nil).compileXPath(v)
		case "gjson":
			f.path = v
		case "jmespath":
			f.jmesText = v
			f.jmes, err = (*Selectors)(nil).compileJMESPath(v)
		case "re":
			f.re, err = (*Selectors)(nil).compileRegexp(v)
		}
		if err != nil {
			return fmt.Errorf("tag %w", err)
		}
	}
	f.tags = strings.Join(written, ", ")
	for _, pair := range [...][2]string{{"css", "xpath"}, {"gjson", "jmespath"}} {
		if _, ok := tag.Lookup(pair[0]); ok {
			if _, ok := tag.Lookup(pair[1]); ok {
				return fmt.Errorf("tags %s and %s do not go together", pair[0], pair[1])
			}
		}
	}
	f.def, f.hasDefault = tag.Lookup("default")
	if v, ok := tag.Lookup("num"); ok {
		if f.num, err = parseNumberFormat(v); err != nil {
			return fmt.Errorf("tag num:%q: %w", v, err)
		}
	}
	if v, ok := tag.Lookup("layout"); ok {
		f.layouts = strings.Split(v, "|")
	}
	f.zone = time.UTC
	if v, ok := tag.Lookup("zone"); ok {
		if f.zone, err = time.LoadLocation(v); err != nil {
			return fmt.Errorf("tag zone:%q: %w", v, err)
		}
	}
	return f.parseOptions(tag.Get("extract"))
}

func (f *fieldPlan) parseOptions(options string) error {
	known := map[string]*bool{"required": &f.required, "html": &f.html, "raw": &f.raw, "abs": &f.abs, "exists": &f.exists}
	for o := range strings.SplitSeq(options, ",") {
		o = strings.TrimSpace(o)
		if o == "" {
			continue
		}
		b := known[o]
		if b == nil {
			return fmt.Errorf("tag extract:%q: unknown option %q (there are required, html, raw, abs, exists)", options, o)
		}
		*b = true
	}
	return nil
}

// parseCSS understands "sel@attr" beside what selectors have everywhere, and the scope itself.
func (f *fieldPlan) parseCSS(selector string) error {
	selector, err := attrSuffix(selector)
	if err != nil {
		return fmt.Errorf("css %q: %w", selector, err)
	}
	own := strings.TrimPrefix(strings.TrimSpace(selector), ":scope")
	if own == "" || strings.HasPrefix(own, "::") {
		g := &cssGroup{}
		plain, _, err := g.pseudo(own, 0)
		if err == nil && plain == "" {
			f.self, f.own = true, g
			return nil
		}
	}
	f.css, err = parseCSS(selector)
	return err
}

// isAddress reports whether an attribute holds the address of something.
func isAddress(attr string) bool {
	switch strings.ToLower(attr) {
	case "href", "src", "action", "poster", "xlink:href":
		return true
	}
	return false
}

// attrSuffix writes "sel@attr" as "sel::attr(attr)", in each selector of a list.
func attrSuffix(list string) (string, error) {
	if !strings.Contains(list, "@") {
		return list, nil
	}
	groups, err := splitCSS(list)
	if err != nil {
		return list, err
	}
	var b strings.Builder
	for i, span := range groups {
		s := list[span[0]:span[1]]
		if i > 0 {
			b.WriteByte(',')
		}
		at := -1
		for sc := (cssScanner{s: s}); ; {
			pos, char, ok, err := sc.next()
			if err != nil {
				return list, err
			}
			if !ok {
				break
			}
			if char == '@' {
				at = pos
			}
		}
		if at < 0 {
			b.WriteString(s)
			continue
		}
		b.WriteString(strings.TrimRight(s[:at], " ") + "::attr(" + strings.TrimSpace(s[at+1:]) + ")")
	}
	return b.String(), nil
}

// target looks at what a field is, and whether the tags fit.
func (c *planner) target(f *fieldPlan, field reflect.StructField, fromJSON bool, path string) error {
	t := field.Type
	bare := deref(t)
	inJSON := fromJSON || f.inText()
	key, value := field.Tag.Get("key"), field.Tag.Get("value")
	switch {
	case f.exists:
		if t.Kind() != reflect.Bool {
			return fmt.Errorf("option exists is for a bool, not for %s", t)
		}
		return nil
	case key != "" || value != "":
		if err := f.planMap(t, key, value, inJSON); err != nil {
			return err
		}
		return f.tryDefault(t)
	case isScalar(bare):
	case bare.Kind() == reflect.Slice && (!inJSON || isBasic(deref(bare.Elem())) || hasStructTags(deref(bare.Elem()))):
		if t.Kind() == reflect.Pointer {
			return fmt.Errorf("%s: a slice that is not there is nil, it needs no pointer", t)
		}
		f.list = true
		t = t.Elem()
		bare = deref(t)
	}
	if isScalar(bare) || isBasic(bare) {
		return f.tryDefault(t)
	}
	if bare.Kind() == reflect.Struct && (!inJSON || hasTags(bare, nil)) {
		if f.hasDefault || f.re != nil || f.html || f.raw || f.abs || !f.inText() && f.takesText() {
			return fmt.Errorf("%s is filled by the tags of its own fields: an attribute, re, default, html, raw and abs belong to those", bare)
		}
		if !hasTags(bare, nil) {
			return fmt.Errorf("%s has no field with a css, xpath, gjson or jmespath tag", bare)
		}
		here := c.here
		c.here = []reflect.Type{bare}
		f.sub = c.plan(planKey{bare, inJSON}, path+".")
		c.here = here
		return nil
	}
	if inJSON && f.re == nil {
		return nil // as encoding/json does it
	}
	return fmt.Errorf("a field of type %s cannot be filled", field.Type)
}

// takesText reports whether the selector takes a text or an attribute, not an element.
func (f *fieldPlan) takesText() bool {
	return f.self && f.own.take != takeText || f.css != nil && slices.ContainsFunc(f.css.groups, func(g *cssGroup) bool { return g.take != takeText })
}

func hasStructTags(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && hasTags(t, nil)
}

func (f *fieldPlan) planMap(t reflect.Type, key, value string, inJSON bool) error {
	switch {
	case t.Kind() != reflect.Map || t.Key().Kind() != reflect.String:
		return fmt.Errorf("tags key and value are for a map by string, not for %s", t)
	case key == "" || value == "":
		return errors.New("a map needs both tags: key and value")
	case inJSON || f.css == nil && f.xpath == nil:
		return errors.New("tags key and value are for elements, which a css or xpath tag selects")
	case !isScalar(deref(t.Elem())) && !isBasic(deref(t.Elem())):
		return fmt.Errorf("the values of %s cannot be filled", t)
	}
	for _, selector := range [...]string{key, value} {
		selector, err := attrSuffix(selector)
		if err != nil {
			return fmt.Errorf("tag %q: %w", selector, err)
		}
		css, err := parseCSS(selector)
		if err != nil {
			return fmt.Errorf("tag %w", err)
		}
		f.entries = append(f.entries, css)
	}
	return nil
}

// tryDefault finds a default that does not fit before a page does.
func (f *fieldPlan) tryDefault(t reflect.Type) error {
	if f.required && f.hasDefault {
		return errors.New("a field that has a default is never missing: leave out required")
	}
	if !f.hasDefault || f.entries != nil {
		return nil
	}
	e := extracted{text: f.def, isText: true, node: Node{page: &Response{URL: &url.URL{Scheme: "http", Host: "example.com"}}}}
	if err := f.convert(e, reflect.New(t).Elem()); err != nil {
		return fmt.Errorf("tag default:%q: %w", f.def, err)
	}
	return nil
}

// fewKeys is how many selectors make one walk with a look-up at each element cheaper than a walk for each.
const fewKeys = 5

// keyed finds out what a walk is to look for.
func (p *plan) keyed() {
	n := 0
	for _, f := range p.fields {
		if f.css == nil || len(f.css.groups) != 1 || f.css.groups[0].key.kind == 0 {
			continue
		}
		g := f.css.groups[0]
		at, ok := p.keys[g.key]
		if !ok {
			at = len(p.keys)
			p.keys[g.key] = at
		}
		f.key = at
		f.plain = g.onlyKey()
		n++
	}
	if p.together = n >= fewKeys; !p.together {
		for _, f := range p.fields {
			f.key = -1
		}
	}
}

// walk finds the elements below scope that have what the selectors' keys say, in one walk.
func (p *plan) walk(scope *html.Node) *[][]*html.Node {
	found, _ := p.pool.Get().(*[][]*html.Node)
	if found == nil {
		f := make([][]*html.Node, len(p.keys))
		found = &f
	}
	add := func(kind byte, name string, n *html.Node) {
		if at, ok := p.keys[cssKey{kind, name}]; ok {
			if l := len((*found)[at]); l == 0 || (*found)[at][l-1] != n { // class="a a"
				(*found)[at] = append((*found)[at], n)
			}
		}
	}
	for n := followingIn(scope, scope); n != nil; n = followingIn(n, scope) {
		if n.Type != html.ElementNode {
			continue
		}
		if add('t', n.Data, n); n.Namespace != "" { // <linearGradient>, in SVG
			add('t', lowerASCII(n.Data), n)
		}
		for i := range n.Attr {
			switch a := &n.Attr[i]; a.Key {
			case "id":
				add('#', a.Val, n)
			case "class":
				for rest := a.Val; rest != ""; {
					end := strings.IndexAny(rest, " \t\r\n\f")
					if end < 0 {
						add('.', rest, n)
						break
					}
					if end > 0 {
						add('.', rest[:end], n)
					}
					rest = rest[end+1:]
				}
			}
		}
	}
	return found
}

// give takes back what a walk has found.
func (p *plan) give(found *[][]*html.Node) {
	for i := range *found {
		clear((*found)[i])
		(*found)[i] = (*found)[i][:0]
	}
	p.pool.Put(found)
}

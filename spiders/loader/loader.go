package loader

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/tidwall/gjson"

	"github.com/tulle-go/tulle/crawl"
)

// A Loader collects values for an item's fields. Its methods return it, so that they can be written in a row; what goes wrong is kept for [Loader.Load]. It is for one
// goroutine.
type Loader struct {
	scope  []scope // where selectors look: the page, or the nodes of a nested loader
	shared *shared
}

// shared is what a loader and those nested in it have in common.
type shared struct {
	item    any
	typ     *structType // nil for a map
	fields  Fields
	context Context
	values  map[string][]any
	order   []string // the fields that have values, as they came
	errs    []error
}

// scope is a page or a node.
type scope interface {
	Select(selector string) crawl.Nodes
	XPath(expr string, vars ...crawl.Vars) crawl.Nodes
}

// Context is what a processor may want to know beside the values.
type Context struct {
	// Response is the page, nil if the loader has none.
	Response *crawl.Response
	// Item is what is loaded, as it was given to New.
	Item any
	// Field is the one that the values are for, "" in Get.
	Field string
	// Values are what [Loader.With] has set.
	Values map[string]any
}

// New makes a loader for an item: a pointer to a struct, or a map[string]any. What it holds already counts as collected; zero values are nothing. r is the page; nil is none,
// for loaders that are given values only. Of several fields, those that come later win name by name.
func New(item any, r *crawl.Response, fields ...Fields) *Loader {
	s := &shared{item: item, values: make(map[string][]any), context: Context{Response: r, Item: item, Values: make(map[string]any)}, fields: make(Fields)}
	for _, f := range fields {
		maps.Copy(s.fields, f)
	}
	l := &Loader{shared: s}
	if r != nil {
		l.scope = []scope{r}
	}
	var err error
	if s.typ, err = typeOf(item); err != nil {
		s.errs = append(s.errs, err)
		s.item = nil
		return l
	}
	if v := reflect.ValueOf(item); s.typ != nil && v.Kind() != reflect.Pointer || v.IsNil() {
		s.errs = append(s.errs, fmt.Errorf("loader: an item of type %T cannot be filled: it is a pointer to a struct, or a map[string]any", item))
		s.item = nil
		return l
	}
	s.takeHeld()
	return l
}

// takeHeld collects what the item holds.
func (s *shared) takeHeld() {
	if s.typ == nil {
		m := mapOf(s.item)
		for _, name := range slices.Sorted(maps.Keys(m)) {
			s.collect(name, list(m[name]))
		}
		return
	}
	v := reflect.ValueOf(s.item).Elem()
	for _, name := range s.typ.names {
		if f, err := v.FieldByIndexErr(s.typ.index[name]); err == nil && !f.IsZero() {
			s.collect(name, list(f.Interface()))
		}
	}
}

func mapOf(item any) map[string]any {
	if p, ok := item.(*map[string]any); ok {
		if *p == nil {
			*p = make(map[string]any)
		}
		return *p
	}
	m, _ := item.(map[string]any)
	return m
}

func (s *shared) collect(name string, values []any) {
	if len(values) == 0 {
		return
	}
	if !slices.Contains(s.order, name) {
		s.order = append(s.order, name)
	}
	s.values[name] = append(s.values[name], values...)
}

// With sets a value of the context, for processors.
func (l *Loader) With(key string, value any) *Loader {
	l.shared.context.Values[key] = value
	return l
}

// AddCSS collects the texts of what a CSS selector matches; ::text and ::attr(name) are understood. processors are applied before the field's In: those of this package, or
// functions as [Compose] takes them.
func (l *Loader) AddCSS(field, selector string, processors ...any) *Loader {
	return l.add(field, l.css(selector), processors)
}

// AddXPath collects the texts of what an XPath expression selects.
func (l *Loader) AddXPath(field, expr string, processors ...any) *Loader {
	return l.add(field, l.xpath(expr), processors)
}

// AddJSON collects what a path gives on a JSON page, in the syntax of gjson: "items.#.price". The elements of a list are values of their own; numbers are int64 if they are
// written as one, else float64.
func (l *Loader) AddJSON(field, path string, processors ...any) *Loader {
	return l.add(field, l.json(path), processors)
}

// AddJMES collects what a JMESPath expression gives on a JSON page: "items[?price > `10`].name".
func (l *Loader) AddJMES(field, expr string, processors ...any) *Loader {
	return l.add(field, l.jmes(expr), processors)
}

// AddValue collects a value, or those of a slice. nil is none.
func (l *Loader) AddValue(field string, value any, processors ...any) *Loader {
	return l.add(field, value, processors)
}

// AddValues collects several fields' values.
func (l *Loader) AddValues(values map[string]any) *Loader {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		l.AddValue(name, values[name])
	}
	return l
}

// ReplaceCSS is AddCSS in place of what was collected for the field.
func (l *Loader) ReplaceCSS(field, selector string, processors ...any) *Loader {
	return l.drop(field).AddCSS(field, selector, processors...)
}

// ReplaceXPath is AddXPath in place of what was collected for the field.
func (l *Loader) ReplaceXPath(field, expr string, processors ...any) *Loader {
	return l.drop(field).AddXPath(field, expr, processors...)
}

// ReplaceJSON is AddJSON in place of what was collected for the field.
func (l *Loader) ReplaceJSON(field, path string, processors ...any) *Loader {
	return l.drop(field).AddJSON(field, path, processors...)
}

// ReplaceJMES is AddJMES in place of what was collected for the field.
func (l *Loader) ReplaceJMES(field, expr string, processors ...any) *Loader {
	return l.drop(field).AddJMES(field, expr, processors...)
}

// ReplaceValue is AddValue in place of what was collected for the field.
func (l *Loader) ReplaceValue(field string, value any, processors ...any) *Loader {
	return l.drop(field).AddValue(field, value, processors...)
}

func (l *Loader) drop(field string) *Loader {
	delete(l.shared.values, l.shared.canonical(field))
	return l
}

// GetCSS is what processors make of the texts that a CSS selector matches. Without processors it is a []any of strings. What goes wrong is kept for Load, and gives nil.
func (l *Loader) GetCSS(selector string, processors ...any) any {
	return l.GetValue(l.css(selector), processors...)
}

// GetXPath is GetCSS for an XPath expression.
func (l *Loader) GetXPath(expr string, processors ...any) any {
	return l.GetValue(l.xpath(expr), processors...)
}

// GetJSON is GetCSS for a path of gjson.
func (l *Loader) GetJSON(path string, processors ...any) any {
	return l.GetValue(l.json(path), processors...)
}

// GetJMES is GetCSS for a JMESPath expression.
func (l *Loader) GetJMES(expr string, processors ...any) any {
	return l.GetValue(l.jmes(expr), processors...)
}

// GetValue is what processors make of a value.
func (l *Loader) GetValue(value any, processors ...any) any {
	v, err := l.shared.process("", value, processors)
	if err != nil {
		l.shared.fail("", value, err)
		return nil
	}
	return v
}

// NestedCSS is a loader for the same item whose selectors look below what a CSS selector matches.
func (l *Loader) NestedCSS(selector string) *Loader {
	return l.nested(func(s scope) crawl.Nodes { return s.Select(selector) })
}

// NestedXPath is NestedCSS for an XPath expression. Expressions within begin with "./" or ".//"; what begins with "//" looks at the whole page.
func (l *Loader) NestedXPath(expr string) *Loader {
	return l.nested(func(s scope) crawl.Nodes { return s.XPath(expr) })
}

func (l *Loader) nested(find func(scope) crawl.Nodes) *Loader {
	n := &Loader{shared: l.shared, scope: []scope{}}
	for _, s := range l.scope {
		for _, node := range find(s) {
			n.scope = append(n.scope, node)
		}
	}
	return n
}

// Collected are the values that a field has so far, after its In.
func (l *Loader) Collected(field string) []any {
	return slices.Clone(l.shared.values[l.shared.canonical(field)])
}

// Output is what the field's Out makes of what is collected. The item is not changed.
func (l *Loader) Output(field string) (any, error) {
	v, err := l.shared.output(field)
	if err != nil {
		return nil, l.shared.fieldError(field, l.Collected(field), err)
	}
	return v, nil
}

// Load fills the item: each field gets what its Out makes of its values, converted to the field's type. Fields without values stay as they are. The error is all that went
// wrong since New, joined: a field that no item has, a processor, a value that does not fit, a Required field without a value; each is a [*FieldError] that says
// where. What did not go wrong is loaded nonetheless. A malformed selector is the page's error (Response.Err), as everywhere.
func (l *Loader) Load() error {
	s := l.shared
	errs := slices.Clone(s.errs)
	if s.item == nil {
		return errors.Join(errs...)
	}
	got := make(map[string]bool) // or it has an error, which is enough
	for _, err := range s.errs {
		var e *FieldError
		if errors.As(err, &e) {
			got[e.Field] = true
		}
	}
	for _, name := range s.order {
		if len(s.values[name]) == 0 { // replaced by nothing
			continue
		}
		v, err := s.output(name)
		if err == nil && v != nil {
			got[name], err = s.set(name, v)
		}
		if err != nil {
			errs = append(errs, s.fieldError(name, s.values[name], err))
			got[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.fields)) {
		if s.fields[name].Required && !got[s.canonical(name)] && name != "" {
			errs = append(errs, s.fieldError(name, nil, errMissing))
		}
	}
	return errors.Join(errs...)
}

var errMissing = errors.New("nothing was found, and it is required")

// set reports whether there was something to set.
func (s *shared) set(name string, v any) (bool, error) {
	if s.typ == nil {
		if values, ok := v.([]any); ok && len(values) == 0 {
			return false, nil
		}
		mapOf(s.item)[name] = v
		return true, nil
	}
	index, err := s.typ.field(name)
	if err != nil {
		return false, err
	}
	f, err := fieldAt(reflect.ValueOf(s.item).Elem(), index)
	if err != nil {
		return false, err
	}
	return convert(f, v)
}

// fieldAt is reflect's FieldByIndex, and makes embedded structs that are not there.
func fieldAt(v reflect.Value, index []int) (reflect.Value, error) {
	for i, at := range index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !v.CanSet() {
					return v, errors.New("it is in an embedded struct that is nil and cannot be set")
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(at)
	}
	return v, nil
}

// canonical is the one name under which a field's values are kept.
func (s *shared) canonical(name string) string {
	if s.typ == nil {
		return name
	}
	index, ok := s.typ.index[name]
	if !ok {
		return name
	}
	for _, n := range s.typ.names {
		if slices.Equal(s.typ.index[n], index) {
			return n
		}
	}
	return name
}

// of is what is said about a field, by either of its names.
func (s *shared) of(name string) Field {
	if s.typ != nil {
		if _, ok := s.fields[name]; !ok {
			for other := range s.fields {
				if other != "" && s.canonical(other) == name {
					return s.fields[other]
				}
			}
		}
	}
	return s.fields.of(name)
}

func (s *shared) output(name string) (any, error) {
	name = s.canonical(name)
	values := slices.Clone(s.values[name])
	out := s.of(name).Out
	if out == nil {
		return any(values), nil
	}
	return out.Process(s.contextFor(name), values)
}

func (s *shared) contextFor(field string) *Context {
	c := s.context
	c.Field = field
	return &c
}

// add runs the processors and the field's In, and collects what they give.
func (l *Loader) add(field string, value any, processors []any) *Loader {
	s := l.shared
	if s.typ != nil {
		if _, err := s.typ.field(field); err != nil {
			s.fail(field, nil, err)
			return l
		}
	}
	field = s.canonical(field)
	v, err := s.process(field, value, processors)
	if in := s.of(field).In; err == nil && v != nil && in != nil {
		v, err = in.Process(s.contextFor(field), list(v))
	}
	if err != nil {
		s.fail(field, value, err)
		return l
	}
	s.collect(field, list(v))
	return l
}

func (s *shared) process(field string, value any, processors []any) (any, error) {
	if len(processors) == 0 {
		return value, nil
	}
	return Compose(processors...).Process(s.contextFor(field), value)
}

func (s *shared) fail(field string, value any, err error) {
	s.errs = append(s.errs, s.fieldError(field, value, err))
}

// A FieldError is what went wrong with one field.
type FieldError struct {
	// Item is the name of the item's type, Field that of the field; "" for what no field is for.
	Item, Field string
	// Value is what it went wrong with; nil if there is none.
	Value any
	// Page is the page's URL, "" if there is no page.
	Page string
	Err  error
}

func (e *FieldError) Error() string {
	s := "load " + e.Item
	if e.Field != "" {
		s += "." + e.Field
	}
	if e.Page != "" {
		s += " of " + e.Page
	}
	s += ": " + e.Err.Error()
	if e.Value != nil {
		s += fmt.Sprintf(" (of %.100q)", fmt.Sprint(e.Value))
	}
	return s
}

func (e *FieldError) Unwrap() error { return e.Err }

func (s *shared) fieldError(field string, value any, err error) error {
	e := &FieldError{Item: "item", Field: field, Err: err, Value: value}
	if values, ok := value.([]any); ok && len(values) == 0 {
		e.Value = nil
	}
	if s.typ != nil {
		e.Item = s.typ.typ.Name()
	}
	if r := s.context.Response; r != nil && r.URL != nil {
		e.Page = crawl.Redacted(r.URL)
	}
	return e
}

func (l *Loader) css(selector string) any {
	return l.texts(func(s scope) crawl.Nodes { return s.Select(selector) })
}

func (l *Loader) xpath(expr string) any {
	return l.texts(func(s scope) crawl.Nodes { return s.XPath(expr) })
}

func (l *Loader) texts(find func(scope) crawl.Nodes) any {
	if l.scope == nil {
		l.shared.errs = append(l.shared.errs, errors.New("loader: a selector, and no page to use it on"))
	}
	var all []any
	for _, s := range l.scope {
		for _, n := range find(s) {
			all = append(all, n.Text())
		}
	}
	return all
}

func (l *Loader) json(path string) any {
	if l.shared.context.Response == nil {
		l.shared.errs = append(l.shared.errs, errors.New("loader: a path, and no page to use it on"))
		return nil
	}
	return plain(l.shared.context.Response.JSON(path))
}

func (l *Loader) jmes(expr string) any {
	if l.shared.context.Response == nil {
		l.shared.errs = append(l.shared.errs, errors.New("loader: an expression, and no page to use it on"))
		return nil
	}
	return plain(l.shared.context.Response.JMESPath(expr))
}

// plain is JSON as Go has it.
func plain(v gjson.Result) any {
	switch {
	case v.IsArray():
		all := []any{}
		for _, e := range v.Array() {
			all = append(all, plain(e))
		}
		return all
	case v.IsObject():
		m := make(map[string]any)
		for k, e := range v.Map() {
			m[k] = plain(e)
		}
		return m
	case v.Type == gjson.Number:
		if n := v.Int(); fmt.Sprint(n) == v.Raw {
			return n
		}
	}
	return v.Value()
}

// list is the values of a slice, else the value, else nothing. Bytes are one value.
func list(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return slices.DeleteFunc(slices.Clone(v), func(e any) bool { return e == nil })
	case []string:
		all := make([]any, len(v))
		for i, e := range v {
			all[i] = e
		}
		return all
	}
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Slice || r.Type().Elem().Kind() == reflect.Uint8 {
		return []any{v}
	}
	all := make([]any, 0, r.Len())
	for i := range r.Len() {
		if e := r.Index(i).Interface(); e != nil {
			all = append(all, e)
		}
	}
	return all
}

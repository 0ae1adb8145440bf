package loader

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/jmespath-community/go-jmespath"
	"github.com/jmespath-community/go-jmespath/pkg/functions"
)

// A Processor makes values of values. As In and Out of a field it is given a []any. What it returns may be one value or a slice; nil is none. It is called for many pages at
// once, and does not change what it is given.
type Processor interface {
	Process(c *Context, v any) (any, error)
}

// ProcessorFunc makes a function a [Processor].
type ProcessorFunc func(c *Context, v any) (any, error)

// Process calls the function.
func (f ProcessorFunc) Process(c *Context, v any) (any, error) { return f(c, v) }

// checker is a processor that may be unable to work.
type checker interface{ check() error }

// Identity leaves values as they are.
func Identity() Processor {
	return ProcessorFunc(func(_ *Context, v any) (any, error) { return v, nil })
}

// TakeFirst is the first value that is neither nil nor an empty text. Zero and false are values.
func TakeFirst() Processor {
	return ProcessorFunc(func(_ *Context, v any) (any, error) {
		for _, e := range list(v) {
			if e != "" {
				return e, nil
			}
		}
		return nil, nil
	})
}

// Join puts values together as one text, with a separator between them: a space if there is none given. Without values it gives nothing.
func Join(separator ...string) Processor {
	sep := " "
	if len(separator) > 0 {
		sep = separator[0]
	}
	return ProcessorFunc(func(_ *Context, v any) (any, error) {
		values := list(v)
		if len(values) == 0 {
			return nil, nil
		}
		texts := make([]string, len(values))
		for i, e := range values {
			texts[i] = fmt.Sprint(e)
		}
		return strings.Join(texts, sep), nil
	})
}

// Compose gives what it is given to the first function, what that returns to the next, and so on. nil ends it. Functions are processors, or take one value (perhaps
// after a *[Context]) and return one (perhaps with an error, or a bool that is false for none):
//
//	strings.TrimSpace, strconv.Atoi, func(values []string) int { return len(values) }
//
// What a function takes decides what it gets: []any and []string all values, any other type the one value that there is.
func Compose(functions ...any) Processor { return compose(functions, false) }

// MapCompose gives each value to the first function, each of the values that came of it to the next, and so on. A function that returns a slice returns several values, one
// that returns nil none.
func MapCompose(functions ...any) Processor { return compose(functions, true) }

// SelectJMES evaluates a JMESPath expression on a value as JSON has them: what AddJSON gives, or json.Unmarshal into an any.
func SelectJMES(expr string) Processor {
	j, err := jmespath.Compile(expr, sortBy())
	if err != nil {
		err = fmt.Errorf("jmespath %q: %w", expr, err)
	}
	return checked{err: err, f: func(_ *Context, v any) (any, error) {
		got, err := j.Search(floats(v))
		if err != nil {
			return nil, fmt.Errorf("jmespath %q: %w", expr, err)
		}
		return got, nil
	}}
}

// sortBy is JMESPath's sort_by, which by itself sorts the list where it stands: for the rest of the expression, and for whoever else has the value.
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

// floats has all numbers as JSON's are.
func floats(v any) any {
	switch v := v.(type) {
	case []any:
		all := make([]any, len(v))
		for i, e := range v {
			all[i] = floats(e)
		}
		return all
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = floats(e)
		}
		return m
	case int:
		return float64(v)
	case int64:
		return float64(v)
	}
	return v
}

// checked is a processor whose argument may be wrong.
type checked struct {
	err error
	f   func(c *Context, v any) (any, error)
}

func (p checked) check() error { return p.err }

// Process calls the function.
func (p checked) Process(c *Context, v any) (any, error) {
	if p.err != nil {
		return nil, p.err
	}
	return p.f(c, v)
}

// composed is Compose or MapCompose.
type composed struct {
	name  string
	steps []step
	each  bool
	err   error
}

// step is one function: typed, or a processor.
type step struct {
	name string
	f    func(c *Context, v any) (any, error)
	all  bool // it takes all values
	p    Processor
}

func compose(functions []any, each bool) *composed {
	c := &composed{name: "Compose", each: each}
	if each {
		c.name = "MapCompose"
	}
	var errs []error
	for i, f := range functions {
		s, err := newStep(f)
		if err != nil {
			errs = append(errs, fmt.Errorf("function %d of %s: %w", i+1, c.name, err))
			continue
		}
		c.steps = append(c.steps, s)
	}
	c.err = errors.Join(errs...)
	return c
}

func (c *composed) check() error { return c.err }

// Process runs the functions.
func (c *composed) Process(ctx *Context, v any) (any, error) {
	if c.err != nil {
		return nil, c.err
	}
	if !c.each {
		for _, s := range c.steps {
			if v == nil {
				return nil, nil
			}
			var err error
			if v, err = s.run(ctx, v); err != nil {
				return nil, err
			}
		}
		return v, nil
	}
	values := list(v)
	for _, s := range c.steps {
		var next []any
		for _, e := range values {
			got, err := s.run(ctx, e)
			if err != nil {
				return nil, err
			}
			next = append(next, list(got)...)
		}
		values = next
	}
	return values, nil
}

func (s step) run(c *Context, v any) (any, error) {
	if s.p != nil {
		return s.p.Process(c, v)
	}
	if !s.all {
		if values, ok := v.([]any); ok {
			switch len(values) {
			case 0:
				return nil, nil
			case 1:
				v = values[0]
			default:
				return nil, fmt.Errorf("%s takes one value and was given %d: MapCompose gives it each", s.name, len(values))
			}
		}
	}
	if v == nil { // a null of JSON, which is nothing
		return nil, nil
	}
	got, err := s.f(c, v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return got, nil
}

var (
	contextType = reflect.TypeFor[*Context]()
	errorType   = reflect.TypeFor[error]()
)

func newStep(f any) (step, error) {
	if v := reflect.ValueOf(f); v.Kind() == reflect.Func && v.IsNil() {
		return step{}, fmt.Errorf("it is a nil %T", f)
	}
	switch f := f.(type) {
	case nil:
		return step{}, errors.New("it is nil")
	case Processor:
		if c, ok := f.(checker); ok {
			if err := c.check(); err != nil {
				return step{}, err
			}
		}
		return step{p: f}, nil
	case func(string) string:
		return typed(f, func(s string) (any, error) { return f(s), nil }), nil
	case func(string) (float64, error):
		return typed(f, func(s string) (any, error) { return f(s) }), nil
	case func(string) (int, error):
		return typed(f, func(s string) (any, error) { return f(s) }), nil
	}
	v := reflect.ValueOf(f)
	t := v.Type()
	if t.Kind() != reflect.Func {
		return step{}, fmt.Errorf("a %T is no function", f)
	}
	withContext := t.NumIn() == 2 && t.In(0) == contextType
	second := t.NumOut() == 2 && (t.Out(1) == errorType || t.Out(1).Kind() == reflect.Bool)
	if t.IsVariadic() || t.NumIn() != 1 && !withContext || t.NumOut() != 1 && !second {
		return step{}, fmt.Errorf("%s is a %s: it should take a value, perhaps after a *loader.Context, and return one, perhaps with an error or a bool", nameOf(f), t)
	}
	want := t.In(t.NumIn() - 1)
	s := step{name: nameOf(f), all: want == reflect.TypeFor[[]any]() || want == reflect.TypeFor[[]string]()}
	s.f = func(c *Context, value any) (any, error) {
		arg, err := argument(value, want)
		if err != nil {
			return nil, err
		}
		args := []reflect.Value{arg}
		if withContext {
			args = []reflect.Value{reflect.ValueOf(c), arg}
		}
		out := v.Call(args)
		if len(out) == 2 {
			if out[1].Kind() == reflect.Bool {
				if !out[1].Bool() {
					return nil, nil
				}
			} else if err, _ := out[1].Interface().(error); err != nil {
				return nil, err
			}
		}
		if isNil(out[0]) {
			return nil, nil
		}
		return out[0].Interface(), nil
	}
	return s, nil
}

func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return v.IsNil()
	}
	return false
}

// typed is a function of a text, called without reflection.
func typed(f any, call func(string) (any, error)) step {
	return step{name: nameOf(f), f: func(_ *Context, v any) (any, error) {
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("it takes a string and was given a %T", v)
		}
		return call(s)
	}}
}

// argument makes a value one that a function takes.
func argument(value any, want reflect.Type) (reflect.Value, error) {
	v := reflect.ValueOf(value)
	if v.Type().AssignableTo(want) && want != reflect.TypeFor[any]() {
		return v, nil
	}
	switch want {
	case reflect.TypeFor[any]():
		return v, nil
	case reflect.TypeFor[[]any]():
		return reflect.ValueOf(list(value)), nil
	case reflect.TypeFor[[]string]():
		var texts []string
		for _, e := range list(value) {
			s, ok := e.(string)
			if !ok {
				return v, fmt.Errorf("it takes strings and was given a %T", e)
			}
			texts = append(texts, s)
		}
		return reflect.ValueOf(texts), nil
	}
	return v, fmt.Errorf("it takes a %s and was given a %T", want, value)
}

// nameOf is a function's name in its source: strings.TrimSpace.
func nameOf(f any) string {
	fn := runtime.FuncForPC(reflect.ValueOf(f).Pointer())
	if fn == nil {
		return "function"
	}
	name := fn.Name()
	return name[strings.LastIndexByte(name, '/')+1:]
}

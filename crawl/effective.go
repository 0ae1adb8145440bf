package crawl

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"unicode"
)

// Effective puts the layers of settings together: s, what spider's Configure makes of it, s.Assign in order, and the defaults for what is still
// open. spider may be nil. s is not written to: Effective works on a copy of its maps and slices. Functions, pipelines, the logger and other Go values are shared with it.
//
// The error holds everything that is wrong, one line each. What an assignment did is told with its source: "-s images.quality=500: want 1 to 100".
func (s Settings) Effective(spider *Spider) (*Settings, error) {
	return s.layers(spider, func(string, string, *Settings) {})
}

// configure lets a spider say its settings. If it panics that is an error, with the stack.
func configure(spider *Spider, e *Settings) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("spider %s: Configure: %w", spider.Name, &PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	spider.Configure(e)
	return nil
}

// layers is Effective. It shows what stands after each layer, which is not to be changed, and which setting the layer was for if it was an assignment.
func (s Settings) layers(spider *Spider, after func(source, to string, s *Settings)) (*Settings, error) {
	e := clone(s)
	after("program", "", &e)
	if spider != nil && spider.Configure != nil {
		if err := configure(spider, &e); err != nil {
			return nil, err
		}
		e = clone(e) // of what Configure put in, its spider may keep
		after("spider "+spider.Name, "", &e)
	}
	var errs []error
	by := make(map[string]Assignment) // the last assignment to each setting
	for _, a := range e.Assign {
		to, err := e.set(a.Name, a.Value)
		if err != nil {
			errs = append(errs, a.wrap(err))
			continue
		}
		by[to] = a
		after(a.source(), to, &e)
	}
	e.setDefaults()
	for _, err := range e.invalid() {
		if a, ok := by[err.name]; ok {
			errs = append(errs, a.wrap(err))
			continue
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &e, nil
}

// source is where the assignment comes from.
func (a Assignment) source() string {
	if a.Source == "" {
		return "assignment"
	}
	return a.Source
}

// wrap says which assignment led to an error. It does not say the setting's name and value twice, nor a password.
func (a Assignment) wrap(err error) error {
	var e *settingError
	if errors.As(err, &e) && e.want != "" && strings.EqualFold(e.name, strings.TrimSpace(a.Name)) {
		err = &settingError{is: e.is, want: e.want}
	}
	if filePlace.MatchString(a.source()) { // a place in a file, where nobody writes name=value
		return fmt.Errorf("%s: %s: %s: %w", a.source(), a.Name, masked(a.Name, a.Value), err)
	}
	return fmt.Errorf("%s %s=%s: %w", a.source(), a.Name, masked(a.Name, a.Value), err)
}

// filePlace is how the source of what stands in a file ends: with its line.
var filePlace = regexp.MustCompile(`:\d+$`)

// A settingError says what is wrong with one setting.
type settingError struct {
	name string
	is   string // what it is: "is 0"; may be empty
	want string // what is wrong with that: "want at least 1"
}

func (e *settingError) Error() string {
	switch {
	case e.name == "" && (e.is == "" || strings.HasPrefix(e.is, "is ")):
		return e.want // name and value stand before it
	case e.name == "":
		return e.is + ": " + e.want
	case e.is == "":
		return e.name + ": " + e.want
	}
	return e.name + " " + e.is + ": " + e.want
}

// invalidSettings collect what Validate finds.
type invalidSettings []*settingError

func (e *invalidSettings) add(name, is, want string) {
	*e = append(*e, &settingError{name: name, is: is, want: want})
}

func (e *invalidSettings) atLeast(name string, v, least int64) {
	if v < least {
		e.add(name, fmt.Sprintf("is %d", v), fmt.Sprintf("want at least %d", least))
	}
}

// notNegative is for limits of which 0 is none.
func (e *invalidSettings) notNegative(name string, v int64) {
	if v < 0 {
		e.add(name, "is negative", "0 is no limit")
	}
}

// maxAtOnce is more of anything than a process can do at once.
const maxAtOnce = 1_000_000

// atOnce is for how much is done at once.
func (e *invalidSettings) atOnce(name string, v int) {
	e.atLeast(name, int64(v), 1)
	if v > maxAtOnce {
		e.add(name, fmt.Sprintf("is %d", v), fmt.Sprintf("want at most %d", maxAtOnce))
	}
}

func (e *invalidSettings) oneOf(name, v string, of ...string) {
	if !slices.Contains(of, v) {
		e.add(name, fmt.Sprintf("is %q", v), "want "+strings.Join(of[:len(of)-1], ", ")+" or "+of[len(of)-1])
	}
}

// plainName reports whether a thumbnail's name can be a folder's: letters, digits, - _ and . but no dots alone.
func plainName(s string) bool {
	if strings.Trim(s, ".") == "" {
		return false
	}
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.", r) {
			return false
		}
	}
	return true
}

// clone copies v with all maps and slices in it. What stands behind pointers, functions and interfaces is shared.
func clone[T any](v T) T {
	c := reflect.New(reflect.TypeFor[T]()).Elem()
	cloneInto(c, reflect.ValueOf(v))
	return c.Interface().(T)
}

func cloneInto(dst, src reflect.Value) {
	dst.Set(src)
	switch src.Kind() {
	case reflect.Struct:
		for i := range src.NumField() {
			if f := dst.Field(i); f.CanSet() { // others are inside values such as time.Time
				cloneInto(f, src.Field(i))
			}
		}
	case reflect.Slice:
		if src.IsNil() {
			return
		}
		dst.Set(reflect.MakeSlice(src.Type(), src.Len(), src.Len()))
		for i := range src.Len() {
			cloneInto(dst.Index(i), src.Index(i))
		}
	case reflect.Map:
		if src.IsNil() {
			return
		}
		dst.Set(reflect.MakeMapWithSize(src.Type(), src.Len()))
		for k, v := range src.Seq2() {
			e := reflect.New(src.Type().Elem()).Elem()
			cloneInto(e, v)
			dst.SetMapIndex(k, e)
		}
	}
}

package pipeline

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// fields reads an item's URLs and writes its results, by the names that the fields have in the feed. A struct's fields are found by their json tags, then by their
// Go names, where neither case nor underscores count: image_urls is ImageURLs too. Fields of embedded structs count. What was found is kept per type.
type fields struct {
	urls, result string
	log          *zap.Logger
	plans        sync.Map // of *plan by reflect.Type
}

// plan says where a struct type has its fields; nil where it has none.
type plan struct {
	urls, result []int
	badResult    error // why results can't be put where they belong
	report       sync.Once
}

// read returns an item's URLs.
func (f *fields) read(item any) ([]string, error) {
	if m := mapOf(item); m.IsValid() {
		v := m.MapIndex(keyOf(m, f.urls))
		if !v.IsValid() {
			return nil, nil
		}
		if v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		if !v.IsValid() {
			return nil, f.notURLs(item, "nil")
		}
		return f.list(item, v)
	}
	s := structOf(item)
	if !s.IsValid() {
		return nil, nil
	}
	p := f.plan(s.Type())
	if p.urls == nil {
		return nil, nil
	}
	v, err := s.FieldByIndexErr(p.urls)
	if err != nil {
		return nil, nil //nolint:nilerr // An embedded pointer is nil, so the field is not there.
	}
	if v.Kind() == reflect.Interface {
		if v = v.Elem(); !v.IsValid() {
			return nil, nil
		}
	}
	return f.list(item, v)
}

// check says, before anything is downloaded, whether an item with URLs has a result field that takes no results.
func (f *fields) check(item any) error {
	if s := structOf(item); s.IsValid() {
		if p := f.plan(s.Type()); p.urls != nil {
			return p.badResult
		}
	}
	return nil
}

func (f *fields) list(item any, v reflect.Value) ([]string, error) {
	switch v.Kind() {
	case reflect.String:
		if v.Len() == 0 {
			return nil, nil
		}
		return []string{v.String()}, nil
	case reflect.Slice, reflect.Array:
		elem := v.Type().Elem().Kind()
		if elem != reflect.String && elem != reflect.Interface {
			break
		}
		urls := make([]string, v.Len())
		for i := range urls {
			e := v.Index(i)
			if elem == reflect.Interface {
				e = e.Elem()
			}
			switch {
			case !e.IsValid():
				return nil, f.notURLs(item, fmt.Sprintf("nil at index %d", i))
			case e.Kind() != reflect.String:
				return nil, f.notURLs(item, fmt.Sprintf("%s at index %d", e.Type(), i))
			}
			urls[i] = e.String()
		}
		return urls, nil
	}
	return nil, f.notURLs(item, v.Type().String())
}

func (f *fields) notURLs(item any, what string) error {
	return fmt.Errorf("field %s of %T is %s: want []string, []any of strings, or string", f.urls, item, what)
}

// write puts results into an item. An item without a URLs field is left alone while there are no results, so that items of other kinds pass as they are; a map
// counts as having the field, unless it has something of its own where the results would go. hooked says that somebody else deals with the results too: then a
// field that does not take them is nobody's error.
func (f *fields) write(item any, files []crawl.File, hooked bool) error {
	if m := mapOf(item); m.IsValid() {
		key := keyOf(m, f.result)
		if len(files) == 0 && !m.MapIndex(keyOf(m, f.urls)).IsValid() && m.MapIndex(key).IsValid() {
			return nil
		}
		m.SetMapIndex(key, reflect.ValueOf(files))
		return nil
	}
	s := structOf(item)
	if !s.IsValid() {
		return nil
	}
	p := f.plan(s.Type())
	switch {
	case p.urls == nil && len(files) == 0:
		return nil
	case p.result == nil:
		if !hooked {
			p.report.Do(func() {
				f.log.Error("items have no field for the results of their media, which are lost",
					zap.String("type", s.Type().String()), zap.String("urls_field", f.urls), zap.String("missing_field", f.result))
			})
		}
		return nil
	case p.badResult != nil:
		if hooked {
			return nil
		}
		return p.badResult
	}
	v, err := settable(s, p.result)
	if err != nil {
		return fmt.Errorf("field %s of %T: %w", f.result, item, err)
	}
	v.Set(asField(files, v.Type()))
	return nil
}

var filesType = reflect.TypeFor[[]crawl.File]()

// takesFiles reports whether asField can make a t.
func takesFiles(t reflect.Type) bool {
	if filesType.AssignableTo(t) {
		return true
	}
	if t.Kind() != reflect.Slice {
		return false
	}
	elem, file := t.Elem(), filesType.Elem()
	return elem == reflect.PointerTo(file) || elem.Kind() == reflect.Struct && file.ConvertibleTo(elem) || file.AssignableTo(elem)
}

// asField turns results into what a result field holds: []crawl.File, []*crawl.File, []any, any, or a slice of a struct with the same fields.
func asField(files []crawl.File, t reflect.Type) reflect.Value {
	if filesType.AssignableTo(t) {
		return reflect.ValueOf(files)
	}
	list := reflect.MakeSlice(t, len(files), len(files))
	for i := range files {
		v := reflect.ValueOf(&files[i])
		if t.Elem() != v.Type() {
			v = v.Elem()
			if v.Type().ConvertibleTo(t.Elem()) {
				v = v.Convert(t.Elem())
			}
		}
		list.Index(i).Set(v)
	}
	return list
}

// settable walks to a field and makes the embedded structs on the way that are nil.
func settable(v reflect.Value, index []int) (reflect.Value, error) {
	for i, x := range index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !v.CanSet() {
					return reflect.Value{}, fmt.Errorf("embedded %s is nil, and not exported", v.Type())
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(x)
	}
	if !v.CanSet() {
		return reflect.Value{}, errors.New("cannot be set")
	}
	return v, nil
}

func (f *fields) plan(t reflect.Type) *plan {
	if p, ok := f.plans.Load(t); ok {
		return p.(*plan)
	}
	all := reflect.VisibleFields(t)
	p := &plan{urls: find(all, f.urls), result: find(all, f.result)}
	if p.result != nil {
		if field := t.FieldByIndex(p.result); !takesFiles(field.Type) {
			p.badResult = fmt.Errorf("field %s of *%s is %s: want []crawl.File", f.result, t, field.Type)
		}
	}
	kept, _ := f.plans.LoadOrStore(t, p)
	return kept.(*plan)
}

// find returns the index of the field with a name, the one that is embedded least deeply.
func find(all []reflect.StructField, name string) []int {
	tagged := func(s reflect.StructField) bool {
		tag, _, _ := strings.Cut(s.Tag.Get("json"), ",")
		return tag == name
	}
	named := func(s reflect.StructField) bool { return s.Name == name }
	folded := func(s reflect.StructField) bool {
		return strings.EqualFold(s.Name, strings.ReplaceAll(name, "_", ""))
	}
	for _, fits := range []func(reflect.StructField) bool{tagged, named, folded} {
		var best []int
		for _, s := range all {
			if s.IsExported() && !s.Anonymous && fits(s) && (best == nil || len(s.Index) < len(best)) {
				best = s.Index
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

// structOf is the struct that an item points to. It is not valid for other items.
func structOf(item any) reflect.Value {
	if v := reflect.ValueOf(item); v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().Kind() == reflect.Struct {
		return v.Elem()
	}
	return reflect.Value{}
}

// mapOf is an item that is a map from strings to anything. It is not valid for other items.
func mapOf(item any) reflect.Value {
	v := reflect.ValueOf(item)
	if v.Kind() == reflect.Map && !v.IsNil() && v.Type().Key().Kind() == reflect.String && filesType.AssignableTo(v.Type().Elem()) {
		return v
	}
	return reflect.Value{}
}

func keyOf(m reflect.Value, name string) reflect.Value {
	return reflect.ValueOf(name).Convert(m.Type().Key())
}

// Package jsonfield finds the fields of a struct type as encoding/json has them, for those who write items to columns: tables, Parquet, databases.
package jsonfield

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// A Field is one field of a struct, or of a struct that is embedded in it.
type Field struct {
	// Name is that in JSON.
	Name string
	Type reflect.Type
	// Index leads to it: see [reflect.Value.FieldByIndex].
	Index []int
	// OmitEmpty, OmitZero and Quoted say that the tag has the options omitempty, omitzero and string. Quoted is false where the option has no effect.
	OmitEmpty, OmitZero, Quoted bool
	// Through says that the way to the field leads through an embedded pointer: with nil in it the field is not there.
	Through bool

	tagged bool
}

// Of are the fields of a struct type in the order in which encoding/json writes them. Of fields of one name the outermost counts; among equals one with a tag; if there
// are more, none.
func Of(t reflect.Type) []Field {
	all := walk(nil, t, nil, false, nil)
	byName := make(map[string][]Field)
	for _, f := range all {
		byName[f.Name] = append(byName[f.Name], f)
	}
	return slices.DeleteFunc(all, func(f Field) bool { return !dominates(f, byName[f.Name]) })
}

// dominates reports whether f is the one of all fields of its name that counts.
func dominates(f Field, all []Field) bool {
	for _, other := range all {
		switch {
		case slices.Equal(f.Index, other.Index):
		case len(other.Index) < len(f.Index):
			return false
		case len(other.Index) == len(f.Index) && (other.tagged || !f.tagged):
			return false
		}
	}
	return true
}

// walk appends the fields of t, whose own index is at. around are the types that it is embedded in.
func walk(list []Field, t reflect.Type, at []int, through bool, around []reflect.Type) []Field {
	if slices.Contains(around, t) {
		return list
	}
	around = append(slices.Clone(around), t)
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if !validName(name) {
			name = ""
		}
		index := append(slices.Clone(at), i)
		ft, pointer := f.Type, false
		if f.Anonymous && ft.Kind() == reflect.Pointer && ft.Name() == "" {
			ft, pointer = ft.Elem(), true
		}
		switch {
		case f.Anonymous && !f.IsExported() && ft.Kind() != reflect.Struct:
			continue
		case f.Anonymous && name == "" && ft.Kind() == reflect.Struct:
			list = walk(list, ft, index, through || pointer, around)
			continue
		case !f.IsExported():
			continue
		}
		field := Field{Name: name, Type: f.Type, Index: index, Through: through, tagged: name != ""}
		if name == "" {
			field.Name = f.Name
		}
		for option := range strings.SplitSeq(options, ",") {
			switch option {
			case "omitempty":
				field.OmitEmpty = true
			case "omitzero":
				field.OmitZero = true
			case "string":
				field.Quoted = plain(f.Type)
			}
		}
		list = append(list, field)
	}
	return list
}

// plain reports whether the option string has an effect on a type.
func plain(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer && t.Name() == "" {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr, reflect.Float32, reflect.Float64:
		return true
	}
	return false
}

// validName reports whether encoding/json takes a name from a tag.
func validName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

// Value is the field of a struct. It is not valid if an embedded pointer on the way is nil.
func (f *Field) Value(v reflect.Value) reflect.Value {
	if !f.Through {
		return v.FieldByIndex(f.Index)
	}
	for i, n := range f.Index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return reflect.Value{}
			}
			v = v.Elem()
		}
		v = v.Field(n)
	}
	return v
}

// Omitted reports whether encoding/json leaves a value of the field out.
func (f *Field) Omitted(v reflect.Value) bool {
	switch {
	case f.OmitZero && isZero(v):
		return true
	case !f.OmitEmpty:
		return false
	}
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct, reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return false
	}
	return v.IsZero()
}

// isZero asks the type's own IsZero if it has one.
func isZero(v reflect.Value) bool {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return true
	}
	if z, ok := v.Interface().(interface{ IsZero() bool }); ok {
		return z.IsZero()
	}
	return v.IsZero()
}

// WritesJSON reports whether a type, or a pointer to it, has its own MarshalJSON.
func WritesJSON(t reflect.Type) bool { return implements(t, reflect.TypeFor[json.Marshaler]()) }

// WritesText reports whether a type, or a pointer to it, has its own MarshalText.
func WritesText(t reflect.Type) bool { return implements(t, reflect.TypeFor[encoding.TextMarshaler]()) }

func implements(t, iface reflect.Type) bool {
	return t.Implements(iface) || t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(iface)
}

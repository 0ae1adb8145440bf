package feed

import (
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// fieldNames are the names that an item's type has in a feed, in the order of the type: also those that this item leaves out. A map's are sorted. encoded is the item
// as JSON, for types that write themselves.
func fieldNames(item any, encoded []byte) []string {
	if m, ok := item.(map[string]any); ok {
		return slices.Sorted(maps.Keys(m))
	}
	t := reflect.TypeOf(item)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Struct && !writesItself(t) {
		return appendNames(nil, t, nil)
	}
	var names []string
	gjson.ParseBytes(encoded).ForEach(func(k, _ gjson.Result) bool {
		names = append(names, k.String())
		return true
	})
	return names
}

// writesItself reports whether a type, or a pointer to it, has a method that encoding/json asks in place of its fields.
func writesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Marshaler]()) || p.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

// appendNames follows encoding/json's rules for tags and embedded structs. around are the types that t is embedded in.
func appendNames(names []string, t reflect.Type, around []reflect.Type) []string {
	if slices.Contains(around, t) {
		return names
	}
	around = append(around, t)
	for f := range t.Fields() {
		full := f.Tag.Get("json")
		name, _, _ := strings.Cut(full, ",")
		ft := f.Type
		if f.Anonymous && ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		switch {
		case full == "-":
			continue
		case f.Anonymous && name == "" && ft.Kind() == reflect.Struct:
			names = appendNames(names, ft, around)
			continue
		case !f.IsExported():
			continue
		case name == "":
			name = f.Name
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

package feed

import (
	"maps"
	"reflect"
	"slices"

	"github.com/tidwall/gjson"

	"github.com/tulle-go/tulle/pipeline/internal/jsonfield"
)

// fieldNames are the names that an item's type has in a feed, in the order of the type: also those that this item leaves out. A map's are sorted. encoded is the item
// as JSON, for types that write themselves.
func fieldNames(item any, encoded []byte) []string {
	if m, ok := item.(map[string]any); ok {
		return slices.Sorted(maps.Keys(m))
	}
	t := reflect.TypeOf(item)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var names []string
	if t != nil && t.Kind() == reflect.Struct && !writesItself(t) {
		for _, f := range jsonfield.Of(t) {
			names = append(names, f.Name)
		}
		return names
	}
	gjson.ParseBytes(encoded).ForEach(func(k, _ gjson.Result) bool {
		names = append(names, k.String())
		return true
	})
	return names
}

// writesItself reports whether a type, or a pointer to it, has a method that encoding/json asks in place of its fields.
func writesItself(t reflect.Type) bool { return jsonfield.WritesJSON(t) || jsonfield.WritesText(t) }

package parquet

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/tulle-go/tulle/pipeline/internal/jsonfield"
)

// A kind is what a node's values are.
type kind string

const (
	kindNull   kind = "" // of a node of which nothing but nulls has been seen
	kindBool   kind = "bool"
	kindInt    kind = "int"
	kindUint   kind = "uint"
	kindFloat  kind = "float"
	kindString kind = "string"
	kindBytes  kind = "bytes"
	kindTime   kind = "time"
	kindJSON   kind = "json"
	kindList   kind = "list"
	kindMap    kind = "map"
	kindGroup  kind = "group"
)

// A node is a column, or what columns are parts of. It travels as JSON before a feed's records.
type node struct {
	// Name is that in the file, Key that in the item's JSON.
	Name     string  `json:"name,omitempty"`
	Key      string  `json:"key,omitempty"`
	Kind     kind    `json:"kind"`
	Bits     int     `json:"bits,omitempty"`
	Optional bool    `json:"optional,omitempty"`
	Elem     *node   `json:"elem,omitempty"`   // of lists and maps
	Fields   []*node `json:"fields,omitempty"` // of groups

	// Quoted says that texts have quotation marks in the item's JSON, by the tag's option string.
	Quoted bool `json:"quoted,omitempty"`

	path  string         // in the item, for warnings
	byKey map[string]int // Fields, by Key
	large bool           // there are integers that a float64 does not have

	// isRest says that it is for all fields of the item that have no column, as an object in JSON. It has no Key.
	isRest bool
}

var (
	timeType   = reflect.TypeFor[time.Time]()
	numberType = reflect.TypeFor[json.Number]()
)

// pointed is what a type points to at last. maybe says that there is a pointer.
func pointed(t reflect.Type) (elem reflect.Type, maybe bool) {
	for t.Kind() == reflect.Pointer {
		t, maybe = t.Elem(), true
	}
	return t, maybe
}

// nodeOf is the node of values of a type. around are the types of structs that it stands in.
func nodeOf(t reflect.Type, around []reflect.Type) *node {
	if t.Kind() == reflect.Interface {
		return &node{Kind: kindJSON, Optional: true}
	}
	t, maybe := pointed(t)
	n := &node{Optional: maybe}
	switch {
	case t == timeType:
		n.Kind = kindTime
		return n
	case jsonfield.WritesJSON(t):
		n.Kind, n.Optional = kindJSON, true // null is as good as any
		return n
	case jsonfield.WritesText(t):
		n.Kind, n.Optional = kindString, maybe || t.Kind() == reflect.Map || t.Kind() == reflect.Slice
		return n
	case t == numberType:
		n.Kind = kindString
		return n
	}
	switch t.Kind() {
	case reflect.Bool:
		n.Kind = kindBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n.Kind, n.Bits = kindInt, t.Bits()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		n.Kind, n.Bits = kindUint, t.Bits()
	case reflect.Float32, reflect.Float64:
		n.Kind, n.Bits = kindFloat, t.Bits()
	case reflect.String:
		n.Kind = kindString
	case reflect.Slice, reflect.Array:
		if e := t.Elem(); t.Kind() == reflect.Slice && e.Kind() == reflect.Uint8 && !jsonfield.WritesJSON(e) && !jsonfield.WritesText(e) {
			n.Kind, n.Optional = kindBytes, true
			break
		}
		n.Kind, n.Elem = kindList, nodeOf(t.Elem(), around)
		n.Optional = maybe || t.Kind() == reflect.Slice
	case reflect.Map:
		n.Kind, n.Elem, n.Optional = kindMap, nodeOf(t.Elem(), around), true
	case reflect.Struct:
		if !slices.Contains(around, t) {
			n.Kind, n.Fields = kindGroup, fieldsOf(t, around)
		}
		if len(n.Fields) == 0 {
			n.Kind = kindJSON // Parquet has no empty groups, and none that contain themselves
		}
	default:
		n.Kind = kindJSON
	}
	return n
}

// fieldsOf are the nodes of a struct's fields.
func fieldsOf(t reflect.Type, around []reflect.Type) []*node {
	around = append(slices.Clone(around), t)
	var list []*node
	for _, f := range jsonfield.Of(t) {
		n := nodeOf(f.Type, around)
		n.Name, n.Key = f.Name, f.Name
		n.Optional = n.Optional || f.OmitEmpty || f.OmitZero || f.Through
		if t, _ := pointed(f.Type); t != numberType && !jsonfield.WritesText(t) {
			n.Quoted = f.Quoted && n.Kind == kindString
		}
		list = append(list, n)
	}
	return list
}

// choose picks and renames the columns that a feed wants. A field that is asked for and that there is none of is an error.
func choose(columns []*node, fields []string, rename map[string]string) ([]*node, error) {
	if len(fields) > 0 {
		var chosen []*node
		for _, name := range fields {
			i := slices.IndexFunc(columns, func(n *node) bool { return n.Key == name })
			if i < 0 {
				return nil, fmt.Errorf("the items have no field %q", name)
			}
			chosen = append(chosen, columns[i])
		}
		columns = chosen
	}
	for _, n := range columns {
		if to, ok := rename[n.Key]; ok {
			n.Name = to
		}
	}
	if n := twice(columns); n != nil {
		return nil, fmt.Errorf("two columns are called %q: give one of them another name", n.Name)
	}
	return columns, nil
}

// twice is a column whose name another one has too: of two, one that was renamed. nil: there is none.
func twice(columns []*node) *node {
	seen := make(map[string]*node, len(columns))
	for _, n := range columns {
		other := seen[n.Name]
		switch {
		case other == nil:
			seen[n.Name] = n
		case n.Name == n.Key:
			return other
		default:
			return n
		}
	}
	return nil
}

// schema is the columns as the library wants them.
func schema(columns []*node) (*parquet.Schema, error) {
	if len(columns) == 0 {
		return nil, errors.New("there are no columns")
	}
	return parquet.NewSchema("item", groupOf(columns)), nil
}

func groupOf(fields []*node) parquet.Node {
	g := ordered{Group: make(parquet.Group, len(fields))}
	for _, n := range fields {
		g.Group[n.Name] = n.parquet()
		g.order = append(g.order, n.Name)
	}
	return g
}

func (n *node) parquet() parquet.Node {
	var p parquet.Node
	switch n.Kind {
	case kindBool:
		p = parquet.Leaf(parquet.BooleanType)
	case kindInt:
		p = parquet.Int(n.Bits)
	case kindUint:
		p = parquet.Uint(n.Bits)
	case kindFloat:
		p = parquet.Leaf(parquet.DoubleType)
		if n.Bits == 32 {
			p = parquet.Leaf(parquet.FloatType)
		}
	case kindBytes:
		p = parquet.Leaf(parquet.ByteArrayType)
	case kindTime:
		p = parquet.Timestamp(parquet.Microsecond)
	case kindJSON:
		p = parquet.JSON()
	case kindList:
		p = parquet.List(n.Elem.parquet())
	case kindMap:
		p = parquet.Map(parquet.String(), n.Elem.parquet())
	case kindGroup:
		p = groupOf(n.Fields)
	default:
		p = parquet.String()
	}
	if n.Optional {
		return parquet.Optional(p)
	}
	return p
}

// ordered is a group whose fields are in the order of the type. The library sorts those of its own.
type ordered struct {
	parquet.Group
	order []string
}

func (g ordered) Fields() []parquet.Field {
	sorted := g.Group.Fields()
	fields := make([]parquet.Field, len(g.order))
	for i, name := range g.order {
		at, _ := slices.BinarySearchFunc(sorted, name, func(f parquet.Field, name string) int { return strings.Compare(f.Name(), name) })
		fields[i] = sorted[at]
	}
	return fields
}

func (g ordered) String() string { return g.Group.String() }

package parquet

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Limits of what is found in maps.
const (
	mostColumns = 2_000 // every one costs memory while the file is built
	mostFields  = 200   // of an object in an item: with more its keys are data, and it is kept as JSON
)

// inference finds the columns of items without a type.
type inference struct {
	root    node
	widened map[string]string // warnings, by path
}

// add takes an item into account.
func (inf *inference) add(record []byte) error {
	v := gjson.ParseBytes(record)
	if !v.IsObject() {
		return fmt.Errorf("an item is no object in JSON, but %.60s", record)
	}
	inf.root.Kind = kindGroup
	inf.merge(&inf.root, v, "")
	if len(inf.root.Fields) > mostColumns {
		return fmt.Errorf("the items have more than %d different fields: choose some with the feed's fields", mostColumns)
	}
	return nil
}

// merge makes a node fit for a value.
func (inf *inference) merge(n *node, v gjson.Result, path string) {
	switch {
	case v.Type == gjson.Null, n.Kind == kindJSON:
		return
	}
	k := kindOf(v)
	if n.Kind != kindNull && n.Kind != k {
		k = inf.widen(n.Kind, k, v, path)
	}
	n.Kind = k
	switch k {
	case kindInt, kindFloat:
		n.Bits = 64
	case kindList:
		if n.Elem == nil {
			n.Elem = &node{Optional: true}
		}
		v.ForEach(func(_, e gjson.Result) bool {
			inf.merge(n.Elem, e, path+"[]")
			return n.Kind == kindList
		})
	case kindGroup:
		inf.mergeFields(n, v, path)
	default:
		n.Elem, n.Fields, n.byKey = nil, nil, nil
	}
}

func (inf *inference) mergeFields(n *node, v gjson.Result, path string) {
	if n.byKey == nil {
		n.byKey = make(map[string]int)
	}
	v.ForEach(func(k, e gjson.Result) bool {
		key := k.String()
		i, ok := n.byKey[key]
		if !ok {
			i = len(n.Fields)
			n.byKey[key] = i
			n.Fields = append(n.Fields, &node{Name: key, Key: key, Optional: true})
		}
		inf.merge(n.Fields[i], e, strings.TrimPrefix(path+"."+key, "."))
		return path != "" || len(n.Fields) <= mostColumns
	})
	if path != "" && len(n.Fields) > mostFields {
		inf.warn(path, fmt.Sprintf("objects with more than %d different fields: written as JSON", mostFields))
		n.Kind, n.Fields, n.byKey = kindJSON, nil, nil
	}
}

func kindOf(v gjson.Result) kind {
	switch {
	case v.IsObject():
		return kindGroup
	case v.IsArray():
		return kindList
	case v.Type == gjson.String:
		return kindString
	case v.Type != gjson.Number:
		return kindBool
	case strings.ContainsAny(v.Raw, ".eE"):
		return kindFloat
	}
	if _, err := strconv.ParseInt(v.Raw, 10, 64); err != nil {
		return kindString // too large for any number
	}
	return kindInt
}

// widen is a kind that holds values of two others.
func (inf *inference) widen(a, b kind, v gjson.Result, path string) kind {
	nested := func(k kind) bool { return k == kindList || k == kindGroup }
	switch {
	case a == kindInt && b == kindFloat || a == kindFloat && b == kindInt:
		// A float64 without a fraction looks like an integer in JSON, so this is no news, unless the integer is too large for one.
		if n := v.Int(); b == kindInt && (n > 1<<53 || n < -1<<53) {
			inf.warn(path, "integers beyond 2^53 and fractions: written as floating-point numbers, which are less exact")
		}
		return kindFloat
	case nested(a) || nested(b):
		inf.warn(path, fmt.Sprintf("%s and %s: written as JSON", words[a], words[b]))
		return kindJSON
	}
	inf.warn(path, fmt.Sprintf("%s and %s: written as text", words[a], words[b]))
	return kindString
}

var words = map[kind]string{
	kindBool: "true or false", kindInt: "integers", kindFloat: "numbers", kindString: "texts, or integers too large for a number", kindList: "lists", kindGroup: "objects",
}

func (inf *inference) warn(path, what string) {
	if inf.widened == nil {
		inf.widened = make(map[string]string)
	}
	const most = 100
	if _, told := inf.widened[path]; !told && len(inf.widened) < most {
		inf.widened[path] = what
	}
}

// settle makes what is still open something that can be written: columns that only had nulls are text, groups without fields JSON.
func settle(n *node) {
	switch n.Kind {
	case kindNull:
		n.Kind = kindString
	case kindList:
		settle(n.Elem)
	case kindGroup:
		for _, f := range n.Fields {
			settle(f)
		}
		if len(n.Fields) == 0 {
			n.Kind = kindJSON
		}
	}
}

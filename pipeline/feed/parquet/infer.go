package parquet

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Limits of what is found in maps.
const (
	mostColumns = 2_000 // those in objects too; every one costs memory while the file is built
	mostFields  = 200   // of an object in an item: with more its keys are data, and it is kept as JSON
	mostLevels  = 20    // of objects and lists in each other: what is deeper is kept as JSON
)

// inference finds the columns of items without a type.
type inference struct {
	root    node
	only    []string          // the fields that are wanted; none: all
	columns int               // how many there are
	rest    bool              // there were more fields than columns
	widened map[string]string // warnings, by path
}

// add takes an item into account.
func (inf *inference) add(record []byte) {
	inf.root.Kind = kindGroup
	if v := gjson.ParseBytes(record); v.IsObject() {
		inf.mergeFields(&inf.root, v, "", 0)
	}
}

// merge makes a node fit for a value.
func (inf *inference) merge(n *node, v gjson.Result, path string, level int) {
	switch {
	case v.Type == gjson.Null, n.Kind == kindJSON:
		return
	}
	k := kindOf(v)
	if (k == kindList || k == kindGroup) && level > mostLevels {
		inf.warn(path, fmt.Sprintf("more than %d levels of objects and lists: written as JSON", mostLevels))
		k = kindJSON
	}
	if k == kindInt {
		i := v.Int()
		n.large = n.large || i > 1<<53 || i < -1<<53
	}
	if n.Kind != kindNull && n.Kind != k && k != kindJSON {
		k = inf.widen(n.Kind, k, path)
	}
	n.Kind = k
	if k == kindFloat && n.large {
		inf.warn(path, "integers beyond 2^53 and fractions: written as floating-point numbers, which are less exact")
	}
	switch k {
	case kindInt, kindFloat:
		n.Bits = 64
	case kindList:
		if n.Elem == nil {
			n.Elem = &node{Optional: true}
		}
		v.ForEach(func(_, e gjson.Result) bool {
			inf.merge(n.Elem, e, path+"[]", level+1)
			return true
		})
	case kindGroup:
		inf.mergeFields(n, v, path, level)
	default:
		inf.flatten(n, k)
	}
}

// mergeFields makes a group fit for an object. Those of items, at level 0, stay groups; others may become JSON.
func (inf *inference) mergeFields(n *node, v gjson.Result, path string, level int) {
	if n.byKey == nil {
		n.byKey = make(map[string]int)
	}
	v.ForEach(func(k, e gjson.Result) bool {
		key := k.String()
		i, ok := n.byKey[key]
		switch {
		case ok:
		case level == 0 && len(inf.only) > 0:
			if !slices.Contains(inf.only, key) {
				return true
			}
		case level > 0 && len(n.Fields) == mostFields:
			inf.warn(path, fmt.Sprintf("objects with more than %d different fields: written as JSON", mostFields))
			inf.flatten(n, kindJSON)
			return false
		case inf.columns < mostColumns:
		case level > 0:
			inf.warn(path, fmt.Sprintf("objects, when there are %d columns already: written as JSON", mostColumns))
			inf.flatten(n, kindJSON)
			return false
		default:
			inf.rest = true
			return true
		}
		if !ok {
			inf.columns++
			i = len(n.Fields)
			n.byKey[key] = i
			n.Fields = append(n.Fields, &node{Name: key, Key: key, Optional: true})
		}
		inf.merge(n.Fields[i], e, strings.TrimPrefix(path+"."+key, "."), level+1)
		return true
	})
}

// flatten makes a node one without parts.
func (inf *inference) flatten(n *node, k kind) {
	inf.columns -= parts(n)
	n.Kind, n.Elem, n.Fields, n.byKey = k, nil, nil, nil
}

// parts are how many fields are in a node, and in those.
func parts(n *node) int {
	sum := len(n.Fields)
	if n.Elem != nil {
		sum += parts(n.Elem)
	}
	for _, f := range n.Fields {
		sum += parts(f)
	}
	return sum
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
		if _, err := strconv.ParseFloat(v.Raw, 64); err != nil {
			return kindString // such as 1e999
		}
		return kindFloat
	}
	if _, err := strconv.ParseInt(v.Raw, 10, 64); err != nil {
		return kindString // too large for any number
	}
	return kindInt
}

// widen is a kind that holds values of two others.
func (inf *inference) widen(a, b kind, path string) kind {
	nested := func(k kind) bool { return k == kindList || k == kindGroup }
	switch {
	case a == kindInt && b == kindFloat || a == kindFloat && b == kindInt:
		return kindFloat // one without a fraction looks like an integer in JSON, so this is no news
	case nested(a) || nested(b):
		inf.warn(path, fmt.Sprintf("%s and %s: written as JSON", words[a], words[b]))
		return kindJSON
	}
	inf.warn(path, fmt.Sprintf("%s and %s: written as text", words[a], words[b]))
	return kindString
}

var words = map[kind]string{
	kindBool: "true or false", kindInt: "integers", kindFloat: "numbers", kindString: "texts, or too large numbers", kindList: "lists", kindGroup: "objects",
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

package parquet

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/tidwall/gjson"
)

// shredder cuts items into the values of columns. The levels are those of the Dremel paper: rep says at which list a value begins a new element, def how many of the
// optional and repeated nodes above it are there.
type shredder struct {
	root    *node
	values  [][]parquet.Value  // by column, of one row
	text    []byte             // what the values of a batch point to
	stack   []gjson.Result     // the fields of the groups that are in work
	misfits map[string]*misfit // by path
}

// misfit is what did not fit in a column: the items are of a program whose field had another type.
type misfit struct {
	kind  kind
	count int
	first string // the beginning of the first
	err   error  // and why
}

// level is where in the file's tree a value stands.
type level struct {
	rep, def int
	lists    int // repeated nodes above it
}

func newShredder(root *node) *shredder {
	index(root, "")
	return &shredder{root: root, values: make([][]parquet.Value, leaves(root)), misfits: make(map[string]*misfit)}
}

// index makes the fields of groups known by their keys, and nodes by their paths.
func index(n *node, path string) {
	n.path = strings.TrimPrefix(path, ".")
	if n.Elem != nil {
		index(n.Elem, path+"[]")
	}
	n.byKey = make(map[string]int, len(n.Fields))
	for i, f := range n.Fields {
		if !f.isRest {
			n.byKey[f.Key] = i
		}
		index(f, path+"."+f.Key)
	}
}

// leaves is how many columns of values a node has.
func leaves(n *node) int {
	switch n.Kind {
	case kindList:
		return leaves(n.Elem)
	case kindMap:
		return 1 + leaves(n.Elem)
	case kindGroup:
		sum := 0
		for _, f := range n.Fields {
			sum += leaves(f)
		}
		return sum
	}
	return 1
}

// row appends an item's values.
func (s *shredder) row(dst parquet.Row, item gjson.Result) parquet.Row {
	for i := range s.values {
		s.values[i] = s.values[i][:0]
	}
	s.group(s.root, item, 0, level{})
	for _, v := range s.values {
		dst = append(dst, v...)
	}
	return dst
}

// value adds what a node has of v to the columns from col on. What does not fit is null or, where there must be a value, the zero one.
func (s *shredder) value(n *node, v gjson.Result, col int, at level) {
	null := v.Type == gjson.Null
	var p parquet.Value
	if !null || !n.Optional {
		var err error
		if p, err = s.fit(n, v); err != nil {
			s.miss(n, v, err)
			null, v = true, gjson.Result{}
			p, _ = s.fit(n, v)
		}
	}
	if n.Optional {
		if null {
			s.nothing(n, col, at)
			return
		}
		at.def++
	}
	switch n.Kind {
	case kindGroup:
		s.group(n, v, col, at)
	case kindList, kindMap:
		s.list(n, v, col, at)
	default:
		s.values[col] = append(s.values[col], p.Level(at.rep, at.def, col))
	}
}

// fit is the value of a leaf. An error says why v does not fit in a node.
func (s *shredder) fit(n *node, v gjson.Result) (parquet.Value, error) {
	switch n.Kind {
	case kindGroup, kindMap:
		if v.Type != gjson.Null && !v.IsObject() {
			return parquet.Value{}, errors.New("it is no object")
		}
		return parquet.Value{}, nil
	case kindList:
		if v.Type != gjson.Null && !v.IsArray() {
			return parquet.Value{}, errors.New("it is no list")
		}
		return parquet.Value{}, nil
	}
	return s.plain(n, v)
}

// miss remembers a value that does not fit.
func (s *shredder) miss(n *node, v gjson.Result, err error) {
	m := s.misfits[n.path]
	if m == nil {
		m = &misfit{kind: n.Kind, first: fmt.Sprintf("%.60s", v.Raw), err: err}
		s.misfits[n.path] = m
	}
	m.count++
}

// nothing is a node that is not there.
func (s *shredder) nothing(n *node, col int, at level) {
	for i := range leaves(n) {
		s.values[col+i] = append(s.values[col+i], parquet.NullValue().Level(at.rep, at.def, col+i))
	}
}

func (s *shredder) group(n *node, v gjson.Result, col int, at level) {
	base := len(s.stack)
	for range n.Fields {
		s.stack = append(s.stack, gjson.Result{})
	}
	var rest []byte
	last := len(n.Fields) - 1
	withRest := last >= 0 && n.Fields[last].isRest
	v.ForEach(func(k, e gjson.Result) bool {
		if i, ok := n.byKey[k.String()]; ok {
			s.stack[base+i] = e
		} else if withRest {
			rest = append(append(append(append(rest, ','), k.Raw...), ':'), e.Raw...)
		}
		return true
	})
	if len(rest) > 0 {
		rest[0] = '{'
		s.stack[base+last] = gjson.Result{Type: gjson.JSON, Raw: string(append(rest, '}'))}
	}
	for i, f := range n.Fields {
		s.value(f, s.stack[base+i], col, at)
		col += leaves(f)
	}
	s.stack = s.stack[:base]
}

func (s *shredder) list(n *node, v gjson.Result, col int, at level) {
	if v.Type == gjson.Null || len(strings.TrimSpace(v.Raw[1:len(v.Raw)-1])) == 0 {
		s.nothing(n, col, at)
		return
	}
	at.lists++
	at.def++
	v.ForEach(func(k, e gjson.Result) bool {
		next := col
		if n.Kind == kindMap {
			s.values[col] = append(s.values[col], s.bytes(k.String()).Level(at.rep, at.def, col))
			next++
		}
		s.value(n.Elem, e, next, at)
		at.rep = at.lists
		return true
	})
}

// bytes is a text's value. It is valid until the batch is written.
func (s *shredder) bytes(text string) parquet.Value {
	start := len(s.text)
	s.text = append(s.text, text...)
	return parquet.ByteArrayValue(s.text[start:len(s.text):len(s.text)])
}

// plain is the value of a leaf. Null is the zero value, for one that must have a value: the item is older than the field.
func (s *shredder) plain(n *node, v gjson.Result) (parquet.Value, error) {
	null := v.Type == gjson.Null
	text := v.Raw
	if v.Type == gjson.String {
		text = v.String() // numbers too, by the tag's option string
	}
	switch n.Kind {
	case kindBool:
		if !null && text != "true" && text != "false" {
			return parquet.Value{}, errors.New("it is neither true nor false")
		}
		return parquet.BooleanValue(text == "true"), nil
	case kindInt:
		if null {
			text = "0"
		}
		i, err := strconv.ParseInt(text, 10, n.Bits)
		if n.Bits < 64 {
			return parquet.Int32Value(int32(i)), err
		}
		return parquet.Int64Value(i), err
	case kindUint:
		if null {
			text = "0"
		}
		u, err := strconv.ParseUint(text, 10, n.Bits)
		if n.Bits < 64 {
			return parquet.Int32Value(int32(uint32(u))), err
		}
		return parquet.Int64Value(int64(u)), err
	case kindFloat:
		if null {
			text = "0"
		}
		f, err := strconv.ParseFloat(text, n.Bits)
		if n.Bits == 32 {
			return parquet.FloatValue(float32(f)), err
		}
		return parquet.DoubleValue(f), err
	case kindTime:
		if null {
			return parquet.Int64Value(time.Time{}.UnixMicro()), nil
		}
		t, err := time.Parse(time.RFC3339Nano, text)
		return parquet.Int64Value(t.UnixMicro()), err
	case kindBytes:
		b, err := base64.StdEncoding.DecodeString(text)
		return parquet.ByteArrayValue(b), err
	case kindJSON:
		if null {
			return s.bytes("null"), nil
		}
		return s.bytes(v.Raw), nil
	}
	if null {
		text = ""
	}
	if n.Quoted {
		if inner := gjson.Parse(text); inner.Type == gjson.String {
			text = inner.String()
		}
	}
	return s.bytes(text), nil
}

package parquet

import (
	"encoding/base64"
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
	columns []*node
	values  [][]parquet.Value // by column, of one row
	text    []byte            // what the values of a batch point to
	stack   []gjson.Result    // the fields of the groups that are in work
}

// level is where in the file's tree a value stands.
type level struct {
	rep, def int
	lists    int // repeated nodes above it
}

func newShredder(columns []*node) *shredder {
	s := &shredder{columns: columns}
	n := 0
	for _, c := range columns {
		index(c)
		n += leaves(c)
	}
	s.values = make([][]parquet.Value, n)
	return s
}

// index makes the fields of groups known by their keys.
func index(n *node) {
	if n.Elem != nil {
		index(n.Elem)
	}
	n.byKey = make(map[string]int, len(n.Fields))
	for i, f := range n.Fields {
		n.byKey[f.Key] = i
		index(f)
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
func (s *shredder) row(dst parquet.Row, root *node, item gjson.Result) (parquet.Row, error) {
	for i := range s.values {
		s.values[i] = s.values[i][:0]
	}
	if err := s.group(root, item, 0, level{}); err != nil {
		return dst, err
	}
	for _, v := range s.values {
		dst = append(dst, v...)
	}
	return dst, nil
}

// value adds what a node has of v to the columns from col on.
func (s *shredder) value(n *node, v gjson.Result, col int, at level) error {
	if n.Optional {
		if v.Type == gjson.Null {
			s.nothing(n, col, at)
			return nil
		}
		at.def++
	}
	switch n.Kind {
	case kindGroup:
		return s.group(n, v, col, at)
	case kindList, kindMap:
		return s.list(n, v, col, at)
	}
	p, err := s.plain(n, v)
	if err != nil {
		return fmt.Errorf("field %q: %w", n.Name, err)
	}
	s.values[col] = append(s.values[col], p.Level(at.rep, at.def, col))
	return nil
}

// nothing is a node that is not there.
func (s *shredder) nothing(n *node, col int, at level) {
	for i := range leaves(n) {
		s.values[col+i] = append(s.values[col+i], parquet.NullValue().Level(at.rep, at.def, col+i))
	}
}

func (s *shredder) group(n *node, v gjson.Result, col int, at level) error {
	base := len(s.stack)
	for range n.Fields {
		s.stack = append(s.stack, gjson.Result{})
	}
	defer func() { s.stack = s.stack[:base] }()
	v.ForEach(func(k, e gjson.Result) bool {
		if i, ok := n.byKey[k.String()]; ok {
			s.stack[base+i] = e
		}
		return true
	})
	for i, f := range n.Fields {
		if err := s.value(f, s.stack[base+i], col, at); err != nil {
			return err
		}
		col += leaves(f)
	}
	return nil
}

func (s *shredder) list(n *node, v gjson.Result, col int, at level) error {
	if v.Type == gjson.Null || v.Type == gjson.JSON && len(strings.TrimSpace(v.Raw[1:len(v.Raw)-1])) == 0 {
		s.nothing(n, col, at)
		return nil
	}
	if !v.IsArray() && n.Kind == kindList || !v.IsObject() && n.Kind == kindMap {
		return fmt.Errorf("field %q: %.60s is no %s", n.Name, v.Raw, n.Kind)
	}
	at.lists++
	at.def++
	var err error
	v.ForEach(func(k, e gjson.Result) bool {
		next := col
		if n.Kind == kindMap {
			s.values[col] = append(s.values[col], s.bytes(k.String()).Level(at.rep, at.def, col))
			next++
		}
		err = s.value(n.Elem, e, next, at)
		at.rep = at.lists
		return err == nil
	})
	return err
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
			return parquet.Int64Value(0), nil
		}
		t, err := time.Parse(time.RFC3339Nano, text)
		return parquet.Int64Value(t.UnixMicro()), err
	case kindBytes:
		b, err := base64.StdEncoding.DecodeString(text)
		return parquet.ByteArrayValue(b), err
	case kindJSON:
		return s.bytes(v.Raw), nil
	}
	if null {
		text = ""
	}
	return s.bytes(text), nil
}

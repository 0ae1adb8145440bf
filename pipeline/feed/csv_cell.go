package feed

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/tulle-go/tulle/pipeline/internal/jsonfield"
)

// What stands in a cell: the rules are in doc.go.

// A cell says what a field's cells are made of.
type cell uint8

const (
	cellFree   cell = iota // of a map: whatever comes
	cellText               // JSON text
	cellMaybe              // JSON text or null
	cellPlain              // JSON, no text: a number, true or false
	cellTexts              // a list of JSON texts
	cellPlains             // a list of numbers, or of true and false
	cellAny                // JSON of any kind
)

// cells are those of a type's fields, by their names in JSON.
type cells map[string]cell

func (c cells) of(name string) cell { return c[name] }

// cellsOf is nil for maps and for types that write themselves.
func cellsOf(t reflect.Type) cells {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct || writesItself(t) {
		return nil
	}
	c := make(cells)
	for _, f := range jsonfield.Of(t) {
		c[f.Name] = cellOf(f)
	}
	return c
}

func cellOf(f jsonfield.Field) cell {
	t, maybe := f.Type, f.Through || f.OmitEmpty || f.OmitZero
	for t.Kind() == reflect.Pointer && !jsonfield.WritesJSON(t) && !jsonfield.WritesText(t) {
		t, maybe = t.Elem(), true
	}
	switch k := scalar(t); {
	case f.Quoted && maybe, k == cellMaybe:
		return cellMaybe
	case f.Quoted:
		return cellText
	case k == cellText && maybe && f.Type.Kind() != reflect.String:
		return cellMaybe
	case k != cellAny:
		return k
	}
	if list := t.Kind() == reflect.Slice || t.Kind() == reflect.Array; list && !jsonfield.WritesJSON(t) && !jsonfield.WritesText(t) {
		switch scalar(t.Elem()) {
		case cellText:
			return cellTexts
		case cellPlain:
			return cellPlains
		}
	}
	return cellAny
}

// scalar is cellText, cellMaybe or cellPlain for a type with values of that kind alone, and else cellAny.
func scalar(t reflect.Type) cell {
	switch {
	case t == timeType:
		return cellText
	case jsonfield.WritesJSON(t):
		return cellAny
	case jsonfield.WritesText(t):
		if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface || t.Kind() == reflect.Map || t.Kind() == reflect.Slice {
			return cellMaybe
		}
		return cellText
	}
	switch t.Kind() {
	case reflect.String:
		if t == numberType {
			return cellPlain
		}
		return cellText
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr, reflect.Float32, reflect.Float64:
		return cellPlain
	case reflect.Slice:
		if e := t.Elem(); e.Kind() == reflect.Uint8 && !jsonfield.WritesJSON(e) && !jsonfield.WritesText(e) {
			return cellMaybe // base64
		}
	}
	return cellAny
}

// text is a value in a cell.
func (c cell) text(v gjson.Result) string {
	switch {
	case v.Type == gjson.Null:
		return ""
	case v.Type == gjson.String:
		s := v.String()
		if c == cellMaybe && (s == "" || s[0] == '"') || c == cellAny && (s == "" || validJSON(s)) {
			return string(jsonText(s))
		}
		return s
	case v.IsArray() && (c == cellFree || c == cellTexts || c == cellPlains):
		return joined(v, c)
	}
	return v.Raw
}

// joined is a list of plain values with commas between them, or as JSON if that would be read as something else.
func joined(v gjson.Result, c cell) string {
	list := v.Array()
	parts := make([]string, len(list))
	for i, e := range list {
		switch {
		case e.IsArray() || e.IsObject() || e.Type == gjson.Null && c != cellFree:
			return v.Raw
		case e.Type == gjson.String:
			parts[i] = e.String()
		case e.Type != gjson.Null:
			parts[i] = e.Raw
		}
		if strings.Contains(parts[i], ",") {
			return v.Raw
		}
	}
	all := strings.Join(parts, ",")
	if all == "" && len(parts) < 2 || strings.HasPrefix(all, "[") {
		return v.Raw
	}
	return all
}

// validJSON is gjson.Valid with a limit to the depth, for texts that were found on a page.
func validJSON(s string) bool {
	if inner := strings.TrimLeft(s, " \t\r\n"); strings.HasPrefix(inner, "[") || strings.HasPrefix(inner, "{") {
		return json.Valid([]byte(s))
	}
	return gjson.Valid(s)
}

// json is what text was made of, for a cell that is not empty.
func (c cell) json(s string) json.RawMessage {
	switch c {
	case cellPlain:
		return json.RawMessage(s)
	case cellMaybe:
		if s[0] == '"' {
			return json.RawMessage(s)
		}
	case cellAny:
		if validJSON(s) {
			return json.RawMessage(s)
		}
	case cellTexts, cellPlains:
		if s[0] == '[' {
			return json.RawMessage(s)
		}
		if c == cellPlains {
			return json.RawMessage("[" + s + "]")
		}
		var b bytes.Buffer
		for part := range strings.SplitSeq(s, ",") {
			b.WriteByte(',')
			b.Write(jsonText(part))
		}
		b.WriteByte(']')
		b.Bytes()[0] = '['
		return b.Bytes()
	}
	return jsonText(s)
}

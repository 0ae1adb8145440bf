package loader

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// convert puts a value that a processor gave into a field. It reports whether there was one: an empty list is none.
func convert(f reflect.Value, v any) (bool, error) {
	if v == nil {
		return false, nil
	}
	r := reflect.ValueOf(v)
	if r.Type().AssignableTo(f.Type()) && f.Kind() != reflect.Interface {
		f.Set(r)
		return true, nil
	}
	if one := reflect.ValueOf(single(v)); one.IsValid() && f.Kind() != reflect.Interface { // such as what the field held before
		if one.Kind() == reflect.Pointer && !one.IsNil() && one.Type().Elem().AssignableTo(f.Type()) {
			one = one.Elem()
		}
		if one.Type().AssignableTo(f.Type()) {
			f.Set(one)
			return true, nil
		}
	}
	if ok, err := convertText(f, v); ok || err != nil {
		return ok, err
	}
	switch f.Kind() {
	case reflect.Pointer:
		p := reflect.New(f.Type().Elem())
		if u, ok := p.Interface().(*url.URL); ok {
			return convertURL(f, u, v)
		}
		ok, err := convert(p.Elem(), v)
		if ok && err == nil {
			f.Set(p)
		}
		return ok, err
	case reflect.Interface:
		if !r.Type().AssignableTo(f.Type()) {
			return false, misfit(f, v)
		}
		if values, ok := v.([]any); ok && len(values) == 0 {
			return false, nil
		}
		f.Set(r)
		return true, nil
	case reflect.Slice:
		return convertSlice(f, v)
	}
	if values, ok := v.([]any); ok {
		switch len(values) {
		case 0:
			return false, nil
		case 1:
			return convert(f, values[0])
		}
		return false, fmt.Errorf("%d values for a field of type %s: an Out processor, such as TakeFirst or Join, says which", len(values), f.Type())
	}
	return convertScalar(f, v)
}

func misfit(f reflect.Value, v any) error {
	if s, ok := v.(string); ok {
		return fmt.Errorf("%.60q is no %s", s, f.Type())
	}
	return fmt.Errorf("a %T is no %s", v, f.Type())
}

// convertText is for types that read themselves, such as time.Time.
func convertText(f reflect.Value, v any) (bool, error) {
	s, ok := single(v).(string)
	if !ok || !f.CanAddr() {
		return false, nil
	}
	switch into := f.Addr().Interface().(type) {
	case *time.Duration:
		d, err := time.ParseDuration(strings.TrimSpace(s))
		if err != nil {
			return false, misfit(f, s)
		}
		*into = d
		return true, nil
	case *json.RawMessage:
		return false, nil
	case encoding.TextUnmarshaler:
		if err := into.UnmarshalText([]byte(strings.TrimSpace(s))); err != nil {
			return false, fmt.Errorf("%.60q: %w", s, err)
		}
		return true, nil
	case *url.URL:
		return convertURL(reflect.Value{}, into, s)
	}
	return false, nil
}

// single is the one value of a list of one, else v.
func single(v any) any {
	if values, ok := v.([]any); ok && len(values) == 1 {
		return values[0]
	}
	return v
}

// convertURL fills u, and sets f to it if that is valid.
func convertURL(f reflect.Value, u *url.URL, v any) (bool, error) {
	s, ok := single(v).(string)
	if !ok {
		if values, ok := v.([]any); ok && len(values) == 0 {
			return false, nil
		}
		return false, fmt.Errorf("a %T is no URL", v)
	}
	parsed, err := url.Parse(strings.TrimSpace(s))
	if err != nil {
		return false, fmt.Errorf("%.60q is no URL: %w", s, err)
	}
	*u = *parsed
	if f.IsValid() {
		f.Set(reflect.ValueOf(u))
	}
	return true, nil
}

func convertSlice(f reflect.Value, v any) (bool, error) {
	if f.Type() == reflect.TypeFor[json.RawMessage]() {
		return convertRaw(f, v)
	}
	if f.Type().Elem().Kind() == reflect.Uint8 {
		switch v := single(v).(type) {
		case string:
			f.SetBytes([]byte(v))
			return true, nil
		case []any:
			if len(v) == 0 {
				return false, nil
			}
		}
		return false, misfit(f, v)
	}
	values := list(v)
	if len(values) == 0 {
		return false, nil
	}
	all := reflect.MakeSlice(f.Type(), len(values), len(values))
	var errs []error
	for i, e := range values {
		if _, err := convert(all.Index(i), e); err != nil {
			errs = append(errs, fmt.Errorf("value %d: %w", i+1, err))
		}
	}
	if len(errs) > 0 {
		return false, errors.Join(errs...)
	}
	f.Set(all)
	return true, nil
}

// convertRaw writes values as JSON. A text that is JSON already stays as it is.
func convertRaw(f reflect.Value, v any) (bool, error) {
	v = single(v)
	if values, ok := v.([]any); ok && len(values) == 0 {
		return false, nil
	}
	if s, ok := v.(string); ok && json.Valid([]byte(s)) {
		f.SetBytes([]byte(s))
		return true, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return false, fmt.Errorf("a %T is no JSON: %w", v, err)
	}
	f.SetBytes(b)
	return true, nil
}

func convertScalar(f reflect.Value, v any) (bool, error) {
	r := reflect.ValueOf(v)
	text, isText := v.(string)
	text = strings.TrimSpace(text)
	switch k := f.Kind(); {
	case k == reflect.String:
		switch r.Kind() {
		case reflect.Struct, reflect.Map, reflect.Slice, reflect.Pointer, reflect.Func:
			s, ok := v.(fmt.Stringer)
			if !ok {
				return false, misfit(f, v)
			}
			f.SetString(s.String())
			return true, nil
		}
		if r.Kind() == reflect.String {
			f.SetString(r.String())
		} else {
			f.SetString(fmt.Sprint(v))
		}
		return true, nil
	case isText && (k == reflect.Bool || f.CanInt() || f.CanUint() || f.CanFloat()):
		return convertNumber(f, text)
	case f.CanFloat() && r.CanFloat(): // 0.1 is another number as a float32, and meant
		if f.OverflowFloat(r.Float()) {
			return false, fmt.Errorf("%v does not fit into %s", v, f.Type())
		}
		f.SetFloat(r.Float())
		return true, nil
	case r.CanConvert(f.Type()) && (f.CanInt() || f.CanUint() || f.CanFloat()) && (r.CanInt() || r.CanUint() || r.CanFloat()):
		c := r.Convert(f.Type())
		if back := c.Convert(r.Type()); !back.Equal(r) || c.CanUint() && r.CanInt() && r.Int() < 0 || c.CanInt() && r.CanUint() && c.Int() < 0 {
			return false, fmt.Errorf("%v does not fit into %s", v, f.Type())
		}
		f.Set(c)
		return true, nil
	case k == reflect.Map || k == reflect.Struct:
		b, err := json.Marshal(v)
		if err != nil || isText {
			return false, misfit(f, v)
		}
		if err := json.Unmarshal(b, f.Addr().Interface()); err != nil {
			return false, fmt.Errorf("%s: %w", f.Type(), err)
		}
		return true, nil
	case r.Kind() == f.Kind() && r.CanConvert(f.Type()):
		f.Set(r.Convert(f.Type()))
		return true, nil
	}
	return false, misfit(f, v)
}

func convertNumber(f reflect.Value, text string) (bool, error) {
	if text == "" {
		return false, nil
	}
	bits := int(f.Type().Size()) * 8
	var err error
	switch {
	case f.Kind() == reflect.Bool:
		var b bool
		if b, err = strconv.ParseBool(text); err == nil {
			f.SetBool(b)
		}
	case f.CanInt():
		var n int64
		if n, err = strconv.ParseInt(text, 10, bits); err == nil {
			f.SetInt(n)
		}
	case f.CanUint():
		var n uint64
		if n, err = strconv.ParseUint(text, 10, bits); err == nil {
			f.SetUint(n)
		}
	default:
		var n float64
		if n, err = strconv.ParseFloat(text, bits); err == nil {
			if math.IsNaN(n) || math.IsInf(n, 0) { // which are words of texts, and nothing that a feed of JSON can hold
				return false, misfit(f, text)
			}
			f.SetFloat(n)
		}
	}
	switch {
	case errors.Is(err, strconv.ErrRange):
		return false, fmt.Errorf("%.60q does not fit into %s", text, f.Type())
	case err != nil && f.Kind() != reflect.Bool:
		return false, fmt.Errorf("%.60q is no %s: ToFloat and ToInt read numbers with signs around them", text, f.Type())
	case err != nil:
		return false, misfit(f, text)
	}
	return true, nil
}

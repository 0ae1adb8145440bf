package sink

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/pipeline/internal/jsonfield"
)

// plan is how items of one type, or maps with the same keys, become rows.
type plan struct {
	fields []jsonfield.Field // of a struct
	keys   []string          // of a map
	names  []string          // the columns, in the order of fields or keys
	json   []bool            // the columns that get JSON whatever the value is
	key    []int             // places of the key's columns
	err    error             // why such items cannot be written
}

// prepare makes the table, if it shall, and the plans of types that are known.
func (s *stage) prepare(ctx context.Context, items []any) error {
	for _, name := range append(slices.Clone(s.conf.Key), slices.Collect(maps.Values(s.conf.Rename))...) {
		if err := s.dialect.checkName(name); err != nil {
			return err
		}
	}
	var err error
	if s.table, err = s.dialect.columns(ctx, s.db, s.conf.Table); err != nil {
		return err
	}
	var types []reflect.Type
	for _, item := range items {
		if t := typeOf(item); isPlanned(t) && !slices.Contains(types, t) {
			types = append(types, t)
		}
	}
	if len(s.table.names) == 0 && len(types) > 0 {
		var names []string
		var kinds []kind
		for _, t := range types {
			n, k, err := s.columnsOf(t)
			if err != nil {
				return err
			}
			names, kinds = merge(names, kinds, n, k)
		}
		if err := s.create(ctx, names, kinds); err != nil {
			return err
		}
	}
	if len(s.table.names) == 0 && !s.conf.Create {
		return fmt.Errorf("there is no table %s: make it, or set Create", s.name)
	}
	for _, t := range types {
		p := s.planOf(t)
		if p.err != nil {
			return fmt.Errorf("items of type %s: %w", t, p.err)
		}
		if err := s.try(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// try has the database read the statement that will write rows: whether there is an index on the key, and whether we may write, is known before the first item.
func (s *stage) try(ctx context.Context, p *plan) error {
	statement := "EXPLAIN " + s.dialect.insert(s.name, p.names, s.keyOf(p), 1)
	rows, err := s.db.QueryContext(ctx, statement, make([]any, len(p.names))...)
	if err == nil {
		err = errors.Join(rows.Err(), rows.Close())
	}
	switch {
	case err == nil:
		return nil
	case len(s.conf.Key) > 0:
		return fmt.Errorf("the table %s does not take rows by its key; is there an index, as CREATE UNIQUE INDEX ON %s (%s) makes it? %w", s.name, s.name, list(s.keyOf(p)), err)
	}
	return fmt.Errorf("the table %s does not take rows: %w", s.name, err)
}

// keyOf are the names of the key's columns.
func (s *stage) keyOf(p *plan) []string {
	key := make([]string, len(p.key))
	for i, j := range p.key {
		key[i] = p.names[j]
	}
	return key
}

// isPlanned reports whether a type says its columns. Maps do not, nor do types that write themselves.
func isPlanned(t reflect.Type) bool {
	return t != nil && t.Kind() == reflect.Struct && !jsonfield.WritesJSON(t) && !jsonfield.WritesText(t)
}

// merge adds columns that are not there yet.
func merge(names []string, kinds []kind, moreNames []string, moreKinds []kind) ([]string, []kind) {
	for i, n := range moreNames {
		if !slices.Contains(names, n) {
			names, kinds = append(names, n), append(kinds, moreKinds[i])
		}
	}
	return names, kinds
}

// create makes the table, and reads what has become of it.
func (s *stage) create(ctx context.Context, names []string, kinds []kind) error {
	for _, n := range names {
		if err := s.dialect.checkName(n); err != nil {
			return err
		}
	}
	for _, k := range s.conf.Key {
		if !slices.Contains(names, k) {
			return fmt.Errorf("the key %q is none of the columns %s", k, list(names))
		}
	}
	statement := s.dialect.create(s.name, names, kinds, s.conf.Key)
	if !s.conf.Create {
		return fmt.Errorf("there is no table %s: set Create, or make it so:\n%s", s.name, statement)
	}
	if _, err := s.db.ExecContext(ctx, statement); err != nil {
		// Two that create at once may meet, in PostgreSQL: the other one has made it then.
		if c, again := s.dialect.columns(ctx, s.db, s.conf.Table); again != nil || len(c.names) == 0 {
			return fmt.Errorf("create table %s: %w", s.name, err)
		}
	}
	var err error
	s.table, err = s.dialect.columns(ctx, s.db, s.conf.Table)
	return err
}

func (s *stage) renamed(field string) string {
	if to, ok := s.conf.Rename[field]; ok {
		return to
	}
	return field
}

// chosen are the fields of a struct that are written.
func (s *stage) chosen(t reflect.Type) ([]jsonfield.Field, error) {
	all := jsonfield.Of(t)
	if len(s.conf.Columns) == 0 {
		return all, nil
	}
	var fields []jsonfield.Field
	for _, name := range s.conf.Columns {
		i := slices.IndexFunc(all, func(f jsonfield.Field) bool { return f.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%s has no field %q, which Columns names", t, name)
		}
		fields = append(fields, all[i])
	}
	return fields, nil
}

// columnsOf are the columns that a type would have.
func (s *stage) columnsOf(t reflect.Type) ([]string, []kind, error) {
	fields, err := s.chosen(t)
	if err != nil {
		return nil, nil, err
	}
	names, kinds := make([]string, len(fields)), make([]kind, len(fields))
	for i, f := range fields {
		names[i], kinds[i] = s.renamed(f.Name), kindOf(f.Type)
	}
	return names, kinds, nil
}

// planOf is the plan of a struct type.
func (s *stage) planOf(t reflect.Type) *plan {
	p := s.plans[t]
	if p == nil {
		p = new(plan)
		if p.fields, p.err = s.chosen(t); p.err == nil {
			names, kinds := make([]string, len(p.fields)), make([]kind, len(p.fields))
			for i, f := range p.fields {
				names[i], kinds[i] = s.renamed(f.Name), kindOf(f.Type)
			}
			p.err = s.fit(p, names, kinds)
			for i, f := range p.fields {
				// A value of any type: in SQLite, whose columns do not say what they hold, it is JSON always, so that it can be read again.
				if f.Type.Kind() == reflect.Interface && (s.dialect.Dialect == SQLite || s.isJSON(p.names[i])) {
					p.json[i] = true
				}
			}
		}
		s.plans[t] = p
	}
	return p
}

// isJSON reports whether a column takes nothing but JSON.
func (s *stage) isJSON(column string) bool {
	t := s.table.types[column]
	return s.dialect.Dialect == PostgreSQL && (t == "json" || t == "jsonb")
}

// fit finds the table's columns for those of a plan.
func (s *stage) fit(p *plan, names []string, kinds []kind) error {
	p.names, p.json = make([]string, len(names)), make([]bool, len(names))
	var missing []string
	for i, n := range names {
		found, ok := s.table.find(n)
		if !ok {
			missing = append(missing, fmt.Sprintf("ADD COLUMN %s %s", quote(n), s.dialect.typeName(kinds[i])))
		} else if slices.Contains(p.names, found) {
			return fmt.Errorf("two fields go to the column %q: give one of them another name (Rename)", found)
		}
		p.names[i] = found
	}
	if len(missing) > 0 {
		return fmt.Errorf("the table %s lacks columns: ALTER TABLE %s %s; or choose those that it has (Columns)", s.name, s.name, strings.Join(missing, ", "))
	}
	if len(names) == 0 {
		return errNoFields
	}
	if len(names) > s.dialect.parameters {
		return fmt.Errorf("it has %d columns: a statement has %d values at most", len(names), s.dialect.parameters)
	}
	for _, k := range s.conf.Key {
		column, _ := s.table.find(k)
		i := slices.Index(p.names, column)
		if i < 0 {
			return fmt.Errorf("it has no value for the key %q", k)
		}
		p.key = append(p.key, i)
	}
	return nil
}

// fill finds a row's plan and values.
func (s *stage) fill(r *row) error {
	v := reflect.ValueOf(r.item)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	var err error
	switch {
	case !v.IsValid() || v.Kind() == reflect.Pointer:
		return errors.New("the item is nil")
	case isPlanned(v.Type()):
		err = s.fillStruct(r, v)
	default:
		err = s.fillMap(r, v)
	}
	if err != nil {
		return fmt.Errorf("item of type %T: %w", r.item, err)
	}
	for _, i := range r.plan.key {
		if r.args[i] == nil {
			return fmt.Errorf("the item has no value for the key %q: %w", r.plan.names[i], errNoKey)
		}
	}
	return nil
}

var errNoKey = errors.New("rows without a key cannot be told apart")

func (s *stage) fillStruct(r *row, v reflect.Value) error {
	if r.plan = s.planOf(v.Type()); r.plan.err != nil {
		return r.plan.err
	}
	r.args = make([]any, len(r.plan.fields))
	for i := range r.plan.fields {
		f := &r.plan.fields[i]
		arg, err := s.field(f, v, r.plan.json[i])
		if err != nil {
			return fmt.Errorf("field %q: %w", f.Name, err)
		}
		r.args[i] = arg
	}
	return nil
}

// field is the value of a struct's field as the driver is given it.
func (s *stage) field(f *jsonfield.Field, v reflect.Value, asJSON bool) (arg any, err error) {
	defer recovered(&err) // IsZero may be the item's own
	fv := f.Value(v)
	if !fv.IsValid() || f.Omitted(fv) {
		return nil, nil
	}
	return s.value(fv, asJSON)
}

// fillMap writes the keys that the table has columns for. Columns that the map has no key for are left to the database: their defaults, or what the row has.
func (s *stage) fillMap(r *row, v reflect.Value) error {
	m, err := asMap(v)
	if err != nil {
		return err
	}
	wanted := s.conf.Columns
	if len(wanted) == 0 {
		wanted = slices.Sorted(maps.Keys(m))
	}
	keys := make([]string, 0, len(wanted))
	var lost []string
	for _, k := range wanted {
		if _, ok := m[k]; !ok {
			continue
		}
		if _, ok := s.table.find(s.renamed(k)); !ok {
			if len(s.conf.Columns) > 0 {
				return fmt.Errorf("the table %s has no column %q", s.name, s.renamed(k))
			}
			lost = append(lost, k)
			continue
		}
		keys = append(keys, k)
	}
	if len(lost) > 0 {
		s.lose(lost)
	}
	signature := strings.Join(keys, "\x00")
	if r.plan = s.plans[signature]; r.plan == nil {
		p := &plan{keys: keys}
		names := make([]string, len(keys))
		for i, k := range keys {
			names[i] = s.renamed(k)
		}
		p.err = s.fit(p, names, make([]kind, len(keys)))
		for i, n := range p.names {
			p.json[i] = s.isJSON(n)
		}
		const most = 1000 // shapes that are remembered
		if len(s.plans) < most {
			s.plans[signature] = p
		}
		r.plan = p
	}
	if r.plan.err != nil {
		return r.plan.err
	}
	r.args = make([]any, len(keys))
	for i, k := range keys {
		if r.args[i], err = s.value(reflect.ValueOf(m[k]), r.plan.json[i]); err != nil {
			return fmt.Errorf("field %q: %w", k, err)
		}
	}
	return nil
}

// lose warns of keys that have no column, once each.
func (s *stage) lose(keys []string) {
	const most = 1000
	keys = slices.DeleteFunc(keys, func(k string) bool {
		_, told := s.lost[k]
		return told
	})
	if len(keys) == 0 || len(s.lost) >= most {
		return
	}
	if s.lost == nil {
		s.lost = make(map[string]struct{})
	}
	for _, k := range keys {
		s.lost[k] = struct{}{}
	}
	s.log.Warn("an item has fields that the table has no columns for: they are not written; add the columns, or name the fields that are wanted (Columns)",
		zap.Strings("fields", keys))
}

// asMap is an item without a struct type: a map, or what JSON makes of it.
func asMap(v reflect.Value) (m map[string]any, err error) {
	if m, ok := v.Interface().(map[string]any); ok {
		return m, nil
	}
	defer recovered(&err) // of MarshalJSON
	b, err := marshal(v)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil || m == nil {
		return nil, errors.New("it has no fields: a row is made of a struct or a map")
	}
	return m, nil
}

// createFor makes the table for items whose columns only they say: all that the first of them have.
func (s *stage) createFor(ctx context.Context, rows []*row) error {
	var names []string
	var kinds []kind
	seen := make(map[string]int)
	add := func(name string, k kind, null bool) {
		name = s.renamed(name)
		i, ok := seen[name]
		switch {
		case !ok:
			seen[name] = len(names)
			if null {
				k = -1
			}
			names, kinds = append(names, name), append(kinds, k)
		case null || kinds[i] == k:
		case kinds[i] < 0:
			kinds[i] = k
		case kinds[i] == kindBig && k == kindReal, kinds[i] == kindReal && k == kindBig:
			kinds[i] = kindReal
		default:
			kinds[i] = kindText
		}
	}
	for _, r := range rows {
		v := reflect.ValueOf(r.item)
		for v.Kind() == reflect.Pointer && !v.IsNil() {
			v = v.Elem()
		}
		if !v.IsValid() || v.Kind() == reflect.Pointer {
			continue
		}
		if isPlanned(v.Type()) {
			n, k, err := s.columnsOf(v.Type())
			if err != nil {
				continue // it fails on its own
			}
			for i := range n {
				if _, ok := seen[n[i]]; !ok {
					seen[n[i]] = len(names)
					names, kinds = append(names, n[i]), append(kinds, k[i])
				}
			}
			continue
		}
		m, err := asMap(v)
		if err != nil {
			continue // it fails on its own
		}
		wanted := s.conf.Columns
		if len(wanted) == 0 {
			wanted = slices.Sorted(maps.Keys(m))
		}
		for _, k := range wanted {
			if e := m[k]; e == nil {
				add(k, kindText, true)
			} else {
				add(k, kindOf(reflect.TypeOf(e)), false)
			}
		}
	}
	for i := range kinds {
		kinds[i] = max(kinds[i], kindText)
	}
	if len(names) == 0 {
		return errNoFields
	}
	return s.create(ctx, names, kinds)
}

var errNoFields = errors.New("it has no fields that could be columns")

var (
	timeType   = reflect.TypeFor[time.Time]()
	numberType = reflect.TypeFor[json.Number]()
	valuerType = reflect.TypeFor[driver.Valuer]()
)

// kindOf is what the values of a type are.
func kindOf(t reflect.Type) kind {
	for t.Kind() == reflect.Pointer && !t.Implements(valuerType) {
		t = t.Elem()
	}
	switch {
	case t == timeType:
		return kindTime
	case t.Implements(valuerType):
		// sql.NullString and its like: the value is the first field.
		if t.Kind() == reflect.Struct && t.NumField() == 2 && t.Field(1).Name == "Valid" {
			return kindOf(t.Field(0).Type)
		}
		return kindText
	case jsonfield.WritesJSON(t):
		return kindJSON
	case jsonfield.WritesText(t):
		return kindText
	case t == numberType:
		return kindNumber
	}
	switch t.Kind() {
	case reflect.Bool:
		return kindBool
	case reflect.Int8, reflect.Int16, reflect.Uint8:
		return kindSmall
	case reflect.Int32, reflect.Uint16:
		return kindInt
	case reflect.Int, reflect.Int64, reflect.Uint32:
		return kindBig
	case reflect.Uint, reflect.Uint64, reflect.Uintptr:
		return kindHuge
	case reflect.Float32:
		return kindFloat
	case reflect.Float64:
		return kindReal
	case reflect.String:
		return kindText
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return kindBytes
		}
	}
	return kindJSON
}

// value is a field's value as the driver is given it; nil is NULL.
func (s *stage) value(v reflect.Value, asJSON bool) (arg any, err error) {
	defer recovered(&err) // of Value, MarshalText and MarshalJSON
	read := plainValue
	if asJSON && v.IsValid() {
		read = nested
	}
	plain, err := read(v)
	if err != nil || plain == nil {
		return nil, err
	}
	return s.dialect.arg(plain)
}

// plainValue is nil, a bool, an int64, a uint64, a float32, a float64, a string, a []byte or a time.Time. What is none of these is a jsonText.
func plainValue(v reflect.Value) (any, error) {
	for {
		if !v.IsValid() {
			return nil, nil
		}
		if k := v.Kind(); (k == reflect.Pointer || k == reflect.Interface || k == reflect.Map || k == reflect.Slice) && v.IsNil() {
			return nil, nil
		}
		if v.Type().Implements(valuerType) {
			return fromValuer(v.Interface().(driver.Valuer))
		}
		if v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface {
			break
		}
		v = v.Elem()
	}
	t := v.Type()
	switch {
	case t == timeType:
		return v.Interface(), nil
	case jsonfield.WritesJSON(t):
		return nested(v)
	case jsonfield.WritesText(t):
		b, err := addressed(v).Interface().(encoding.TextMarshaler).MarshalText()
		return text(string(b)), err
	}
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return v.Uint(), nil
	case reflect.Float32:
		return float32(v.Float()), nil
	case reflect.Float64:
		return v.Float(), nil
	case reflect.String:
		return text(v.String()), nil
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return v.Bytes(), nil
		}
	}
	return nested(v)
}

// fromValuer asks a type that says itself what it is to a database.
func fromValuer(v driver.Valuer) (any, error) {
	value, err := v.Value()
	if s, ok := value.(string); ok {
		return text(s), err
	}
	return value, err
}

// text is a text as databases take it, and JSON: UTF-8.
func text(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

// nested is a value as JSON. null is NULL.
func nested(v reflect.Value) (any, error) {
	b, err := marshal(v)
	if err != nil || string(b) == "null" {
		return nil, err
	}
	return jsonText(text(string(b))), nil
}

// jsonText is a value as JSON.
type jsonText string

func marshal(v reflect.Value) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(addressed(v).Interface())
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// addressed is a pointer to a value whose methods may be those of a pointer; of a copy, if the value has no address.
func addressed(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		return v.Addr()
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p
}

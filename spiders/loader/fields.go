package loader

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Fields says what is made of the values for an item's fields, by their names: the json tag, or the name in Go. The name "" stands for all that are not in it.
// Fields are not changed by loaders, so one value serves all pages at once.
type Fields map[string]Field

// A Field says what is made of the values for one field.
type Field struct {
	// In is applied to the values of each Add, and gives those that are collected. nil is [Identity].
	In Processor
	// Out is applied to all that was collected, and gives what the item gets. nil is [Identity]: a list for a field that holds one, and for others the value, if there is
	// just one.
	Out Processor
	// Required makes it an error of Load if the field gets nothing.
	Required bool
}

// Check returns what is wrong with the fields of an item of item's type, all of it: names that it does not have, and processors that cannot work. It is for
// Spider.Verify, so that the crawl does not start. A map as item takes any name.
func (f Fields) Check(item any) error {
	t, err := typeOf(item)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if name != "" && t != nil {
			if _, err := t.field(name); err != nil {
				errs = append(errs, fmt.Errorf("loader: %w", err))
			}
		}
		for _, p := range []struct {
			what string
			p    Processor
		}{{"In", f[name].In}, {"Out", f[name].Out}} {
			if c, ok := p.p.(checker); ok {
				if err := c.check(); err != nil {
					errs = append(errs, fmt.Errorf("loader: field %q: %s: %w", name, p.what, err))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// of is what is said about a field, and about all others if nothing is.
func (f Fields) of(name string) Field {
	if field, ok := f[name]; ok {
		return field
	}
	return f[""]
}

// structType is what is known of a struct's fields.
type structType struct {
	typ   reflect.Type
	index map[string][]int
	names []string // as they are in the feed
}

// typeOf returns nil for a map.
func typeOf(item any) (*structType, error) {
	t := reflect.TypeOf(item)
	if t == nil {
		return nil, errors.New("loader: no item")
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[map[string]any]() {
		return nil, nil
	}
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("loader: an item of type %T: it is a pointer to a struct, or a map[string]any", item)
	}
	s := &structType{typ: t, index: make(map[string][]int)}
	goNames := make(map[string][]int)
	for _, f := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || f.Anonymous && tag == "" {
			continue
		}
		goNames[f.Name] = f.Index
		if tag == "-" {
			continue
		}
		if tag == "" {
			tag = f.Name
		}
		had, ok := s.index[tag]
		if !ok {
			s.names = append(s.names, tag)
		}
		if !ok || len(f.Index) < len(had) { // as encoding/json has it: the one that is not embedded, or less deep
			s.index[tag] = f.Index
		}
	}
	for name, index := range goNames {
		if _, ok := s.index[name]; !ok {
			s.index[name] = index
		}
	}
	return s, nil
}

func (s *structType) field(name string) ([]int, error) {
	if index, ok := s.index[name]; ok {
		return index, nil
	}
	return nil, fmt.Errorf("%s has no field %q: %s", s.typ.Name(), name, s.suggest(name))
}

// suggest is the name that a wrong one may be meant for, or all names.
func (s *structType) suggest(name string) string {
	squeeze := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s))
	}
	best, least := "", len(name)/3+2
	for _, have := range s.names {
		if d := distance(squeeze(name), squeeze(have)); d < least {
			best, least = have, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return "there are " + strings.Join(s.names, ", ")
}

// distance is how many letters must be put in, left out or changed to make a out of b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j+1]+1, row[j]+1, cost)
		}
	}
	return row[len(b)]
}

package crawl

import (
	"reflect"
	"slices"
	"time"
)

//go:generate go run ./internal/settingdocs settings.go settingdocs.go

// Explained is one setting as `tulle settings` shows it.
type Explained struct {
	// Name is the setting's, in snake case: what [Settings.Set] takes.
	Name string `json:"name"`
	// Kind is what its values are: "bool", "text", "number", "decimal", "duration", "bytes", a list ("numbers", "texts", "feeds") or a map ("map of texts",
	// "map of sizes", "map of limits"). [Settings.Set] says how each is written.
	Kind string `json:"kind"`
	// Value and Default are texts that Set takes. An empty one is an empty string, list or map.
	Value   string `json:"value"`
	Default string `json:"default"`
	// Source is the layer that Value comes from: "default", "program", "spider NAME", or an Assignment's Source.
	Source string `json:"source"`
	// Doc says in one line what the setting is for.
	Doc string `json:"doc"`
}

// Shown is Value for people to see: passwords and keys are ***.
func (e Explained) Shown() string {
	if e.Value == e.Default {
		return e.Value
	}
	return masked(e.Name, e.Value)
}

// Explain lists all settings that have a name, in the order of the struct, with their effective values and where these come from. An assignment is the source of
// what it sets, whatever value that had before; program and spider are those of what they change. spider may be nil. The error is that of [Settings.Effective].
func (s Settings) Explain(spider *Spider) ([]Explained, error) {
	var (
		d    Settings
		list []Explained
		all  = make([]setting, 0, len(settings()))
	)
	d.setDefaults()
	for _, f := range settings() {
		if !f.goOnly {
			text := f.format(f.in(&d))
			all = append(all, f)
			list = append(list, Explained{Name: f.name, Kind: f.kind(), Value: text, Default: text, Source: "default", Doc: f.doc})
		}
	}
	_, err := s.layers(spider, func(source, to string, layer *Settings) {
		l := *layer
		l.setDefaults()
		for i, f := range all {
			if v := f.format(f.in(&l)); v != list[i].Value || f.name == to {
				list[i].Value, list[i].Source = v, source
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// kind is Explained's.
func (f *setting) kind() string {
	switch f.typ {
	case reflect.TypeFor[bool]():
		return "bool"
	case reflect.TypeFor[int](), reflect.TypeFor[int64]():
		if slices.Contains(sizes, f.name) {
			return "bytes"
		}
		return "number"
	case reflect.TypeFor[float64]():
		return "decimal"
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[[]int]():
		return "numbers"
	case reflect.TypeFor[[]string]():
		return "texts"
	case reflect.TypeFor[[]Feed]():
		return "feeds"
	case reflect.TypeFor[map[string]string]():
		return "map of texts"
	case reflect.TypeFor[map[string]Size]():
		return "map of sizes"
	case reflect.TypeFor[map[string]Limits]():
		return "map of limits"
	}
	return "text"
}

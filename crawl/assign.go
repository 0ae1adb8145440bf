package crawl

import (
	"errors"
	"fmt"
	"slices"
)

// Effective puts the layers of settings together.
func (s Settings) Effective(spider *Spider) (*Settings, error) {
	e := s
	if spider != nil && spider.Configure != nil {
		spider.Configure(&e)
	}
	e.setDefaults()
	return &e, e.Validate()
}

type settingErrors struct{ list []error }

func (e *settingErrors) add(name, what string) {
	e.list = append(e.list, fmt.Errorf("%s %s", name, what))
}
func (e *settingErrors) atLeast(name string, v, least int) {
	if v < least {
		e.add(name, fmt.Sprintf("is %d: want at least %d", v, least))
	}
}
func (e *settingErrors) oneOf(name, v string, of ...string) {
	if !slices.Contains(of, v) {
		e.add(name, fmt.Sprintf("is %q: want one of %v", v, of))
	}
}
func (e *settingErrors) err() error { return errors.Join(e.list...) }

func plainName(s string) bool { return s != "" }

type Explained struct{ Name, Value, Default, Source, Doc string }

func (s Settings) Explain(spider *Spider) ([]Explained, error) { return nil, nil }

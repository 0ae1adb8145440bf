package crawl

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"
	"unicode"
)

// Set sets one setting by its name, in the words of an operator: `images.min_width`, "110". Case does not matter in names.
//
// A name is the path of the field in snake case. Scrapy's names are taken too, with their units and their sense: IMAGES_EXPIRES counts days,
// ROBOTSTXT_OBEY is the opposite of robots.ignore. One entry of a map is set by its key behind the name: default_headers.X-Shop, images.thumbs.small,
// slots.example.com.delay; the rest of the map stays.
//
//   - A bool is true, yes, on or 1, or false, no, off or 0.
//   - A duration is 90s, 1h30m, 2d, or a number of seconds.
//   - A size in bytes is 10MB, 1GiB, or a number of bytes.
//   - A list is 500,502 or a JSON array; a map is a=1,b=2 or a JSON object. Feeds are the URI of one, or a JSON array of feeds and URIs.
//
// A number that must not be 0, because 0 in the field stands for its default, is refused: it would not do what it says. Set does not know whether a value makes
// sense beside the others: that is [Settings.Validate]'s. Maps and slices of s are replaced, never written to, so that copies of s keep theirs.
func (s *Settings) Set(name, value string) error {
	_, err := s.set(name, value)
	return err
}

// set is Set. It returns the setting that name stands for, if there is one.
func (s *Settings) set(name, value string) (to string, err error) {
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if a, ok := scrapyNames[strings.ToUpper(name)]; ok {
		if value, err = a.native(s, value); err != nil {
			return a.to, &settingError{name: a.to, want: err.Error()}
		}
		name = a.to
	}
	f, key, err := findSetting(name)
	if err != nil {
		return "", err
	}
	if err := f.assign(s, key, value); err != nil {
		if key != "" {
			return f.name, &settingError{name: f.name + "." + key, want: err.Error()}
		}
		return f.name, &settingError{name: f.name, want: err.Error()}
	}
	return f.name, nil
}

// SettingName returns the name in snake case of the setting that a name stands for, which may be Scrapy's, and the entry of a map that it names: "X-Shop" for
// default_headers.X-Shop, "" for none. The error for a name that no setting has says what may be meant.
func SettingName(name string) (setting, entry string, err error) {
	name = strings.TrimSpace(name)
	if a, ok := scrapyNames[strings.ToUpper(name)]; ok {
		return a.to, "", nil
	}
	f, entry, err := findSetting(name)
	if err != nil {
		return "", "", err
	}
	return f.name, entry, nil
}

// A setting is a field of Settings that has a name of its own.
type setting struct {
	name  string
	index []int // for reflect's FieldByIndex
	typ   reflect.Type
	// goOnly is one that no text can stand for: a function, a pipeline, a logger.
	goOnly bool
	doc    string
}

// in is the field in s.
func (f *setting) in(s *Settings) reflect.Value {
	return reflect.ValueOf(s).Elem().FieldByIndex(f.index)
}

// inDefaults is the value that the field has when nobody sets it.
func (f *setting) inDefaults() reflect.Value {
	var d Settings
	d.setDefaults()
	return f.in(&d)
}

// assign sets the field, or the entry of it that key names.
func (f *setting) assign(s *Settings, key, value string) error {
	field := f.in(s)
	if key != "" {
		return f.assignEntry(field, key, value)
	}
	v, err := f.parse(value)
	if err != nil {
		return err
	}
	if isNumber(f.typ.Kind()) && v.IsZero() {
		if def := f.inDefaults(); !def.IsZero() {
			return fmt.Errorf("0 stands for the default, which is %s (%s)", f.format(def), f.doc)
		}
	}
	field.Set(v)
	return nil
}

func isNumber(k reflect.Kind) bool {
	return k == reflect.Int || k == reflect.Int64 || k == reflect.Float64
}

// assignEntry sets one entry of a map, in a copy of it. A map that is still to get its defaults gets them first: one header more does not cost the others.
func (f *setting) assignEntry(field reflect.Value, key, value string) error {
	from := field
	if from.IsNil() {
		from = f.inDefaults()
	}
	m := reflect.MakeMap(f.typ)
	for k, v := range from.Seq2() {
		m.SetMapIndex(k, v)
	}
	if err := f.parseEntry(m, key, value); err != nil {
		return err
	}
	field.Set(m)
	return nil
}

// settings are all that have a name, in the order of the struct.
var settings = sync.OnceValue(func() []setting { return appendSettings(nil, reflect.TypeFor[Settings](), "", nil) })

func appendSettings(list []setting, t reflect.Type, prefix string, index []int) []setting {
	for i := range t.NumField() {
		sf := t.Field(i)
		f := setting{
			name:  prefix + snake(sf.Name),
			index: append(index[:len(index):len(index)], i),
			typ:   sf.Type,
			doc:   settingDocs[t.Name()+"."+sf.Name],
		}
		switch sf.Type {
		case reflect.TypeFor[Trace](), reflect.TypeFor[Parts]():
			f.goOnly = true
		default:
			if sf.Type.Kind() == reflect.Struct {
				list = appendSettings(list, sf.Type, f.name+".", f.index)
				continue
			}
			f.goOnly = !hasText(sf.Type)
		}
		list = append(list, f)
	}
	return list
}

// findSetting finds a setting by its name in snake case, and the key behind it if it is a map's entry that is named.
func findSetting(name string) (f *setting, key string, err error) {
	lower := strings.ToLower(name)
	for _, f := range settings() {
		rest, ok := strings.CutPrefix(lower, f.name)
		if !ok || rest != "" && rest[0] != '.' {
			continue
		}
		if f.goOnly {
			return nil, "", &settingError{name: f.name, is: "cannot be set by name", want: "it is a Go value, which the program sets"}
		}
		if rest == "" {
			return &f, "", nil
		}
		if f.typ.Kind() == reflect.Map && rest != "." {
			return &f, name[len(f.name)+1:], nil
		}
	}
	return nil, "", unknownSetting(name)
}

// snake is a Go name in snake case. An acronym is one word, with the digits in it: URLsField is urls_field, H2C is h2c.
func snake(name string) string {
	r := []rune(name)
	upper := func(i int) bool { return i < len(r) && unicode.IsUpper(r[i]) }
	acronym := func(i int) bool { // reports whether one goes on behind i
		for i > 0 && unicode.IsDigit(r[i]) {
			i--
		}
		return upper(i)
	}
	var b strings.Builder
	for i, c := range r {
		if i > 0 && upper(i) {
			plural := i+1 < len(r) && r[i+1] == 's' && (i+2 == len(r) || upper(i+2))
			last := i+1 < len(r) && unicode.IsLower(r[i+1]) && !plural // the first letter of the word after an acronym
			if !acronym(i-1) || last {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// hasText reports whether values of a type can be written as text.
func hasText(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[bool](), reflect.TypeFor[string](), reflect.TypeFor[int](), reflect.TypeFor[int64](), reflect.TypeFor[float64](),
		reflect.TypeFor[time.Duration](), reflect.TypeFor[[]int](), reflect.TypeFor[map[string]string](), reflect.TypeFor[map[string]Size](),
		reflect.TypeFor[map[string]Limits](), reflect.TypeFor[[]Feed](), reflect.TypeFor[[]string]():
		return true
	}
	return false
}

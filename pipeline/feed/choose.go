package feed

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/tidwall/gjson"

	"github.com/tulle-go/tulle/crawl"
)

// settle fills in what a feed does not say itself, and checks what it says of fields and types.
func settle(conf crawl.Feed, env *crawl.Env) (crawl.Feed, error) {
	all := &env.Settings.FeedExport
	if len(conf.Fields) == 0 {
		conf.Fields = all.Fields
	}
	if conf.Indent == 0 {
		conf.Indent = all.Indent
	}
	if conf.BatchItems == 0 {
		conf.BatchItems = all.BatchItems
	}
	conf.Indent, conf.BatchItems = max(0, conf.Indent), max(0, conf.BatchItems)
	conf.SkipEmpty = conf.SkipEmpty || all.SkipEmpty
	if err := settleFields(&conf); err != nil {
		return conf, err
	}
	if err := settleItems(&conf, env.Spider); err != nil || len(conf.Rename) == 0 || len(conf.Fields) > 0 {
		return conf, err
	}
	for _, item := range conf.Items {
		b, err := json.Marshal(item)
		if err != nil {
			b = nil // the types that write themselves are not asked: each item is looked at
		}
		if err := collision(conf.Rename, fieldNames(item, b)); err != nil {
			return conf, fmt.Errorf("items of type %T: %w", item, err)
		}
	}
	return conf, nil
}

// collision is an error if a field gets the name of another one, which keeps it. names are those that an item has.
func collision(rename map[string]string, names []string) error {
	for _, name := range slices.Sorted(maps.Keys(rename)) {
		to := rename[name]
		if _, leaves := rename[to]; !leaves && slices.Contains(names, name) && slices.Contains(names, to) {
			return fmt.Errorf("the fields %q and %q would both be called %q", to, name, to)
		}
	}
	return nil
}

// collides is an error if two of an item's fields get one name. Where the fields are chosen, or the items are known, that was seen before the crawl; of other structs it is
// seen once for each type.
func (f *feed) collides(item any, encoded []byte) error {
	if len(f.conf.Rename) == 0 || len(f.conf.Fields) > 0 || encoded[0] != '{' {
		return nil
	}
	t := reflect.TypeOf(item)
	if known, ok := f.collisions.Load(t); ok {
		err, _ := known.(error)
		return err
	}
	if elem := pointedTo(t); elem.Kind() == reflect.Struct && !writesItself(elem) {
		err := collision(f.conf.Rename, fieldNames(item, nil))
		f.collisions.Store(t, err)
		return err
	}
	var names []string
	gjson.ParseBytes(encoded).ForEach(func(k, _ gjson.Result) bool {
		names = append(names, k.String())
		return true
	})
	return collision(f.conf.Rename, names)
}

// settleFields takes new names out of Fields ("price=Price") and puts them into Rename.
func settleFields(conf *crawl.Feed) error {
	fields, rename := make([]string, 0, len(conf.Fields)), maps.Clone(conf.Rename)
	for _, f := range conf.Fields {
		name, to, _ := strings.Cut(f, "=")
		if name == "" || to == "" {
			name = f
		} else {
			if rename == nil {
				rename = make(map[string]string)
			}
			rename[name] = to
		}
		if slices.Contains(fields, name) {
			return fmt.Errorf("the field %q is named twice", name)
		}
		fields = append(fields, name)
	}
	taken := make(map[string]string)
	for _, name := range fields {
		taken[name] = name
	}
	for name := range rename {
		delete(taken, name)
	}
	for _, name := range slices.Sorted(maps.Keys(rename)) {
		to := rename[name]
		switch {
		case to == "":
			return fmt.Errorf("the field %q is renamed to nothing", name)
		case len(fields) > 0 && !slices.Contains(fields, name):
			continue
		case taken[to] != "":
			return fmt.Errorf("the fields %q and %q would both be called %q", taken[to], name, to)
		}
		taken[to] = name
	}
	conf.Fields, conf.Rename = fields, rename
	return nil
}

// settleItems finds the examples of what a feed gets, and checks the names of its types if they can be.
func settleItems(conf *crawl.Feed, spider *crawl.Spider) error {
	var examples []any
	if spider != nil {
		examples = spider.Items
	}
	if len(conf.Items) > 0 {
		examples = conf.Items
	}
	if n := slices.Index(examples, nil); n >= 0 {
		return fmt.Errorf("items: number %d is nil: want an example such as Book{}", n+1)
	}
	if len(conf.Types) == 0 || len(examples) == 0 {
		conf.Items = examples
		return nil
	}
	var chosen []any
	var known []string
	for _, item := range examples {
		if slices.ContainsFunc(conf.Types, func(name string) bool { return isCalled(reflect.TypeOf(item), name) }) {
			chosen = append(chosen, item)
		}
		known = append(known, typeNames(reflect.TypeOf(item))[0])
	}
	for _, name := range conf.Types {
		if !slices.ContainsFunc(examples, func(item any) bool { return isCalled(reflect.TypeOf(item), name) }) {
			return fmt.Errorf("the type %q is none of the spider's items; there are %s", name, strings.Join(known, ", "))
		}
	}
	conf.Items = chosen
	return nil
}

// isCalled reports whether an item's type has the name that somebody gave: Book, shop.Book, example.org/shop.Book, or map.
func isCalled(t reflect.Type, name string) bool {
	return slices.Contains(typeNames(t), strings.TrimPrefix(name, "*"))
}

// typeNames are the names of a type, or of what a pointer points to.
func typeNames(t reflect.Type) []string {
	if t == nil {
		return []string{"nil"}
	}
	t = pointedTo(t)
	switch {
	case t.Name() != "":
		return []string{t.Name(), t.String(), t.PkgPath() + "." + t.Name()}
	case t.Kind() == reflect.Map:
		return []string{"map", t.String()}
	}
	return []string{t.String()}
}

// pointedTo is what a type points to at last.
func pointedTo(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// chooser says which items a feed gets.
type chooser struct {
	types  []string
	filter func(any) bool
	known  sync.Map // reflect.Type: bool
}

func (c *chooser) wants(item any) bool {
	if len(c.types) > 0 {
		t := reflect.TypeOf(item)
		yes, ok := c.known.Load(t)
		if !ok {
			yes = slices.ContainsFunc(c.types, func(name string) bool { return isCalled(t, name) })
			c.known.Store(t, yes)
		}
		if !yes.(bool) {
			return false
		}
	}
	return c.filter == nil || c.filter(item)
}

// otherFormat is what the beginning of a file says it is, if that is not what the feed writes; "" if nothing is known to be wrong.
func otherFormat(head []byte, format, pack string) string {
	var is string
	switch text := strings.TrimLeft(strings.TrimPrefix(string(head), bom), space); {
	case strings.HasPrefix(text, "\x1f\x8b"):
		is = gzipped
	case strings.HasPrefix(text, "\x28\xb5\x2f\xfd"):
		is = zstded
	case strings.HasPrefix(text, "PAR1"):
		is = "parquet"
	case strings.HasPrefix(text, "["):
		is = "json"
	case strings.HasPrefix(text, "{"):
		is = "jsonl"
	case strings.HasPrefix(text, "<"):
		is = "xml"
	default:
		is = "csv"
	}
	want := format
	if pack != "" {
		want = pack
	}
	if is == want || !slices.Contains([]string{gzipped, zstded, "jsonl", "csv"}, want) {
		return "" // others see themselves
	}
	return is
}

// errOther is for a file that holds something else than the feed would append.
func errOther(is, want string) error {
	if is == "csv" {
		is = "a table or another text"
	}
	return fmt.Errorf("the file begins as %s does, and this feed writes %s: overwrite it (-O), or append to another file", is, want)
}

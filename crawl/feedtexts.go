package crawl

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// The texts of feeds: a JSON list, or Scrapy's FEEDS.

// feedText is a feed in a text. What is a Go value (Filter, Items) has none.
type feedText struct {
	URI        string            `json:"uri"`
	Format     string            `json:"format,omitempty"`
	Overwrite  bool              `json:"overwrite,omitempty"`
	Fields     []string          `json:"fields,omitempty"`
	Rename     map[string]string `json:"rename,omitempty"`
	Types      []string          `json:"types,omitempty"`
	BatchItems int               `json:"batch_items,omitempty"`
	BatchTime  durationText      `json:"batch_time,omitempty"`
	Compress   string            `json:"compress,omitempty"`
	Level      int               `json:"level,omitempty"`
	Indent     int               `json:"indent,omitempty"`
	SkipEmpty  bool              `json:"skip_empty,omitempty"`
	Params     map[string]string `json:"params,omitempty"`
	CSV        csvText           `json:"csv,omitzero"`
	XML        xmlText           `json:"xml,omitzero"`
}

// csvText and xmlText are what a feed says of its format.
type (
	csvText struct {
		Delimiter     string `json:"delimiter,omitempty"`
		CRLF          bool   `json:"crlf,omitempty"`
		BOM           bool   `json:"bom,omitempty"`
		GuardFormulas bool   `json:"guard_formulas,omitempty"`
	}
	xmlText struct {
		Root string `json:"root,omitempty"`
		Item string `json:"item,omitempty"`
	}
)

// durationText is a time in a JSON text: "10m", or a number of seconds.
type durationText time.Duration

func (d *durationText) UnmarshalJSON(b []byte) error {
	v, err := parseDuration(plainJSON(b))
	*d = durationText(v)
	return err
}

func (d durationText) MarshalJSON() ([]byte, error) {
	return json.Marshal(formatDuration(time.Duration(d)))
}

func (t *feedText) feed() Feed {
	return Feed{
		URI: t.URI, Format: t.Format, Overwrite: t.Overwrite, Fields: t.Fields, Rename: t.Rename, Types: t.Types, BatchItems: t.BatchItems,
		BatchTime: time.Duration(t.BatchTime), Compress: t.Compress, Level: t.Level, Indent: t.Indent, SkipEmpty: t.SkipEmpty, Params: t.Params,
		CSV: CSVFeed(t.CSV), XML: XMLFeed(t.XML),
	}
}

func formatFeeds(feeds []Feed) string {
	var list []feedText
	for _, f := range feeds {
		list = append(list, feedText{
			URI: f.URI, Format: f.Format, Overwrite: f.Overwrite, Fields: f.Fields, Rename: f.Rename, Types: f.Types, BatchItems: f.BatchItems,
			BatchTime: durationText(f.BatchTime), Compress: f.Compress, Level: f.Level, Indent: f.Indent, SkipEmpty: f.SkipEmpty, Params: f.Params,
			CSV: csvText(f.CSV), XML: xmlText(f.XML),
		})
	}
	return formatJSON(list, len(list))
}

// parseFeeds reads the URI of one feed, a JSON list of feeds and URIs, or Scrapy's FEEDS: an object of options by URI.
func parseFeeds(text string) ([]Feed, error) {
	feeds := []Feed{}
	switch {
	case text == "":
		return feeds, nil
	case strings.HasPrefix(text, "{"):
		return parseScrapyFeeds(text)
	case !strings.HasPrefix(text, "["):
		return append(feeds, Feed{URI: text}), nil
	}
	var list []json.RawMessage
	if err := parseJSON(text, &list); err != nil {
		return nil, err
	}
	for _, entry := range list {
		var f feedText
		switch entry[0] { // of a value, which has no space before it
		case '"':
			f.URI = plainJSON(entry)
		case '{':
			if err := parseJSON(string(entry), &f); err != nil {
				return nil, cmp.Or(feedMistake(text), err)
			}
		default:
			return nil, fmt.Errorf(`%s is no feed: want a URI, or an object such as {"uri": "items.jsonl", "overwrite": true}`, entry)
		}
		feeds = append(feeds, f.feed())
	}
	return feeds, nil
}

// feedMistake says which entry of a list of feeds is wrong, nil if it is no list of feeds.
func feedMistake(text string) error {
	var list []map[string]json.RawMessage
	_ = json.Unmarshal([]byte(text), &list) // parseJSON has said what is wrong with one that is no list of feeds
	for _, f := range list {
		if err := fieldMistake("a feed", "", f, reflect.TypeFor[feedText]()); err != nil {
			return err
		}
	}
	return nil
}

// fieldMistake finds the entry that a struct has not, or not of that kind. what has them; before is its name, as entries are named in it.
func fieldMistake(what, before string, entries map[string]json.RawMessage, t reflect.Type) error {
	fields := make(map[string]reflect.Type)
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = f.Type
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		typ, raw := fields[strings.ToLower(name)], entries[name]
		if typ == nil {
			names := slices.Sorted(maps.Keys(fields))
			near := slices.MinFunc(names, func(a, b string) int { return distance(name, a) - distance(name, b) })
			if distance(name, near) <= 1+len(name)/5 {
				return fmt.Errorf("%s has no %q; did you mean %s?", what, name, near)
			}
			return fmt.Errorf("%s has no %q; there are %s", what, name, strings.Join(names, ", "))
		}
		name = before + name
		err := json.Unmarshal(raw, reflect.New(typ).Interface())
		var kind *json.UnmarshalTypeError
		var below map[string]json.RawMessage
		switch {
		case typ.Kind() == reflect.Struct && json.Unmarshal(raw, &below) == nil:
			if err := fieldMistake(name, name+".", below, typ); err != nil {
				return err
			}
		case errors.As(err, &kind):
			want := map[reflect.Kind]string{
				reflect.Bool: "true or false", reflect.Int: "a whole number", reflect.String: "a text", reflect.Slice: "a list of texts", reflect.Map: "names with texts",
				reflect.Struct: "a group of names",
			}[typ.Kind()]
			return fmt.Errorf("%s is %s: want %s", name, raw, want)
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// parseScrapyFeeds reads Scrapy's FEEDS (https://docs.scrapy.org/en/latest/topics/feed-exports.html#feeds).
func parseScrapyFeeds(text string) ([]Feed, error) {
	var object map[string]map[string]json.RawMessage
	if err := parseJSON(text, &object); err != nil {
		return nil, err
	}
	feeds := []Feed{}
	for _, uri := range slices.Sorted(maps.Keys(object)) {
		f := Feed{URI: uri}
		for _, option := range slices.Sorted(maps.Keys(object[uri])) {
			value := object[uri][option]
			if string(value) == "null" {
				continue // Python's None: the usual
			}
			if err := f.scrapyOption(option, value); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", uri, option, err)
			}
		}
		feeds = append(feeds, f)
	}
	return feeds, nil
}

// scrapyOption sets what an option of Scrapy's says.
func (f *Feed) scrapyOption(option string, value json.RawMessage) error {
	text := string(value)
	switch option {
	case "format":
		var name string
		err := parseJSON(text, &name)
		switch name {
		case "jsonlines", "jl":
			name = "jsonl"
		case "marshal", "pickle":
			return fmt.Errorf("%s is a format of Python's alone: want jsonl, json, csv, xml or parquet", name)
		}
		f.Format = name
		return err
	case "overwrite":
		return parseJSON(text, &f.Overwrite)
	case "store_empty":
		var store bool
		err := parseJSON(text, &store)
		f.SkipEmpty = !store
		return err
	case "batch_item_count":
		return parseJSON(text, &f.BatchItems)
	case "indent":
		return parseJSON(text, &f.Indent)
	case "gzip_compresslevel":
		return parseJSON(text, &f.Level)
	case "fields":
		return f.scrapyFields(text)
	case "item_classes":
		var classes []string
		if err := parseJSON(text, &classes); err != nil {
			return err
		}
		for _, c := range classes {
			f.Types = append(f.Types, c[strings.LastIndexByte(c, '.')+1:])
		}
		return nil
	case "encoding":
		var name string
		if err := parseJSON(text, &name); err != nil {
			return err
		}
		return utf8Only(name)
	case "postprocessing":
		return f.scrapyPlugins(text)
	case "item_filter":
		return errors.New("the program sets Feed.Filter, a Go function")
	case "uri_params":
		return errors.New(`name the values themselves: a list of feeds takes "params": {"key": "value"}; the spider's name and arguments are there without`)
	case "item_export_kwargs":
		return f.scrapyExporter(text)
	case "gzip_mtime", "gzip_filename":
		return errors.New("a gzip file has no time and no name: what is compressed twice is the same twice")
	}
	return errors.New("there is no such option; there are batch_item_count, encoding, fields, format, gzip_compresslevel, indent, item_classes, item_export_kwargs, overwrite, " +
		"postprocessing, store_empty")
}

// scrapyFields reads a list of fields, or an object of new names by field. Its order is that of the text.
func (f *Feed) scrapyFields(text string) error {
	if !strings.HasPrefix(text, "{") {
		return parseJSON(text, &f.Fields)
	}
	if err := parseJSON(text, &f.Rename); err != nil {
		return err
	}
	d := json.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case json.Delim:
			if t == '}' {
				return nil
			}
		case string:
			if !slices.Contains(f.Fields, t) {
				f.Fields = append(f.Fields, t)
			}
			if _, err := d.Token(); err != nil { // its value
				return err
			}
		}
	}
}

// scrapyExporter reads the arguments of an exporter: those that have a counterpart.
func (f *Feed) scrapyExporter(text string) error {
	var args map[string]json.RawMessage
	if err := parseJSON(text, &args); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(args)) {
		var err error
		switch value := string(args[name]); name {
		case "delimiter":
			err = parseJSON(value, &f.CSV.Delimiter)
		case "root_element":
			err = parseJSON(value, &f.XML.Root)
		case "item_element":
			err = parseJSON(value, &f.XML.Item)
		case "indent":
			err = parseJSON(value, &f.Indent)
		case "fields_to_export":
			err = f.scrapyFields(value)
		default:
			return fmt.Errorf("%s is an argument of Python's exporters: there are delimiter, fields_to_export, indent, item_element, root_element; a list of feeds has more", name)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// scrapyPlugins reads a list of classes that change a feed's bytes.
func (f *Feed) scrapyPlugins(text string) error {
	var plugins []string
	if err := parseJSON(text, &plugins); err != nil {
		return err
	}
	for _, p := range plugins {
		if p[strings.LastIndexByte(p, '.')+1:] != "GzipPlugin" || len(plugins) > 1 {
			return fmt.Errorf("%s is a class of Python's: a feed is compressed by gzip or zstd, one of them", p)
		}
		f.Compress = "gzip"
	}
	return nil
}

// invalid says what is wrong with a feed, "" if nothing is known to be. What Compress may be is the format's affair.
func (f *Feed) invalid() string {
	switch {
	case f.Level < 0 || f.Level > 22:
		return fmt.Sprintf("level is %d: want 1 to 9 for gzip, 1 to 22 for zstd", f.Level)
	case f.BatchTime < 0:
		return "batch_time is negative: 0 is no limit"
	}
	return ""
}

// utf8Only refuses encodings of feeds that are none of ours.
func utf8Only(name string) error {
	switch strings.ToLower(name) {
	case "", "utf-8", "utf8", "utf_8":
		return nil
	}
	return fmt.Errorf("%q: feeds are UTF-8", name)
}

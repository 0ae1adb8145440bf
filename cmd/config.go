package cmd

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tulle-go/tulle/crawl"
)

// The settings file: where it is, and what it assigns.

// configName is what the file is called where it is searched for.
const configName = "tulle.yaml"

// Bounds of a settings file. One that a person has written is far from them.
const (
	maxConfigSize   = 1 << 20
	maxConfigDepth  = 20
	maxConfigNodes  = 20_000 // aliases count each time that they are used
	maxConfigErrors = 20     // that are told at once
)

// A configFile is a settings file, read.
type configFile struct {
	// name is how messages call it: relative to the working directory, if that is not longer.
	name string
	// general are the settings of every spider, in the order of the file.
	general []crawl.Assignment
	// spiders are those of one spider alone.
	spiders map[string][]crawl.Assignment
	// places are where the names of spiders stand.
	places map[string]string
}

// assignments are those for a spider; "" is none.
func (c *configFile) assignments(spider string) []crawl.Assignment {
	if c == nil {
		return nil
	}
	return append(slices.Clone(c.general), c.spiders[spider]...)
}

// findConfig looks for the settings file in dir and its parents, up to home or the root. The nearest is it; "" if there is none.
//
// A file whose owner is neither this user, nor root, nor the owner of dir is passed over, with a warning: in a folder that all may write to, anybody could leave one, and
// settings name programs to run.
func findConfig(dir, home string, warn func(string)) string {
	for at := dir; ; {
		name := filepath.Join(at, configName)
		link, lerr := os.Lstat(name)
		if info, err := os.Stat(name); err == nil && lerr == nil && info.Mode().IsRegular() {
			if ownerTrusted(info, dir) && ownerTrusted(link, dir) {
				return name
			}
			warn(shortPath(dir, name) + " is another user's, and is not read: --config reads it")
		} else if err == nil && info.IsDir() {
			warn(shortPath(dir, name) + " is a folder, and no settings file: nothing is read from it")
		} else if err == nil {
			warn(shortPath(dir, name) + " is no regular file, and is not read: --config reads it")
		} else if lerr == nil {
			warn(shortPath(dir, name) + " is not read: " + bareError(err).Error()) // a link that leads nowhere
		} else if _, err := os.Stat(filepath.Join(at, "tulle.yml")); err == nil && at == dir {
			warn("tulle.yml is not read: the settings file is called " + configName)
		}
		up := filepath.Dir(at)
		if at == home || up == at {
			return ""
		}
		at = up
	}
}

// shortPath is a path as seen from dir, if that is shorter.
func shortPath(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil && len(rel) < len(path) {
		return rel
	}
	return path
}

// readConfig reads a settings file. shown is how messages call it. The error holds everything that is wrong, one line each, with the place.
func readConfig(path, shown string) (*configFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("settings file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfigSize+1))
	if err != nil {
		return nil, fmt.Errorf("settings file: %w", err)
	}
	if len(b) > maxConfigSize {
		return nil, fmt.Errorf("%s is larger than %s: that is no settings file", shown, bytesText(maxConfigSize))
	}
	return parseConfig(b, shown)
}

// yamlPlace is how an error of the YAML parser begins. Its line is not always the one that is wrong: see badLine.
var yamlPlace = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// yamlHints say what is likely behind an error of the YAML parser, by what its text holds.
var yamlHints = [][2]string{
	{"cannot start any token", "YAML is indented by spaces, never by tabs; a value that begins with a special character is quoted"},
	{"mapping values are not allowed", "the line is indented too far, or a value with a colon and a space in it wants quotes"},
	{"could not find expected ':'", "a name wants a colon behind it"},
	{"did not find expected key", "the line begins in a column in which none above it does"},
	{"did not find expected '-' indicator", "the line begins in a column in which none above it does"},
	{"expected <document start>", "the line begins in a column in which none above it does"},
	{"did not find expected ',' or", "what is opened here is not closed, or wants a comma"},
	{"did not find expected node content", "what is opened here is not closed"},
	{"unexpected end of stream", "what is opened here is not closed: a quote"},
	{"unknown anchor", "a value that begins with * wants quotes"},
}

// syntaxError says what is wrong with a file that is no YAML.
func syntaxError(b []byte, shown string, err error) error {
	place := yamlPlace.FindStringSubmatch(err.Error())
	text := strings.TrimPrefix(err.Error(), place[0])
	for _, hint := range yamlHints {
		if strings.Contains(text, hint[0]) {
			text += " (" + hint[1] + ")"
			break
		}
	}
	if line := cmp.Or(badLine(b), place[1]); line != "" {
		shown += ":" + line
	}
	return fmt.Errorf("%s: %s", shown, text)
}

// badLine is the line from which on a file is no YAML: what stands before it is. What is never closed is bad where it is opened. "" is one that would take long to find.
func badLine(b []byte) string {
	const most, tries = 64 << 10, 1000
	if len(b) > most {
		return ""
	}
	end := len(b)
	for range tries {
		end = bytes.LastIndexByte(b[:max(end-1, 0)], '\n') + 1
		if isYAML(b[:end]) {
			return strconv.Itoa(bytes.Count(b[:end], []byte("\n")) + 1)
		}
	}
	return ""
}

func isYAML(b []byte) bool {
	dec := yaml.NewDecoder(bytes.NewReader(b))
	for {
		if err := dec.Decode(new(yaml.Node)); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

func parseConfig(b []byte, shown string) (*configFile, error) {
	c := &configFile{name: shown, spiders: make(map[string][]crawl.Assignment), places: make(map[string]string)}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return c, nil // empty, or comments alone
	} else if err != nil {
		return nil, syntaxError(b, shown, err)
	}
	second := dec.Decode(&more)
	if second != nil && !errors.Is(second, io.EOF) {
		return nil, syntaxError(b, shown, second)
	}
	r := &configReader{file: c, known: make(map[string]string)}
	if second == nil {
		r.fail(&more, "a second document: a settings file has one")
	}
	all, err := crawl.Settings{}.Explain(nil)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		r.known[s.Name] = s.Kind
	}
	if len(doc.Content) == 1 && doc.Content[0].ShortTag() != "!!null" {
		r.top(doc.Content[0])
	}
	return c, errors.Join(r.errs...)
}

// configReader turns the nodes of a file into assignments.
type configReader struct {
	file  *configFile
	known map[string]string // the kind of each setting
	nodes int
	errs  []error

	section *section
}

// section is the file itself, or a spider's part of it.
type section struct {
	given   map[string]int    // the lines of what has been set, by name
	entries map[string]string // the first entry that was set by itself, by its map's name
	into    func(crawl.Assignment)
}

func newSection(into func(crawl.Assignment)) *section {
	return &section{given: make(map[string]int), entries: make(map[string]string), into: into}
}

// fail notes what is wrong at a node.
func (r *configReader) fail(n *yaml.Node, format string, args ...any) {
	if len(r.errs) < maxConfigErrors {
		r.errs = append(r.errs, fmt.Errorf("%s:%d:%d: %s", r.file.name, n.Line, n.Column, fmt.Sprintf(format, args...)))
	}
}

// enter counts a node, and follows an alias to what it stands for. It reports false if there is too much.
func (r *configReader) enter(n *yaml.Node, depth int) (*yaml.Node, bool) {
	if r.nodes++; r.nodes > maxConfigNodes || depth > maxConfigDepth {
		if r.nodes <= maxConfigNodes+1 {
			r.fail(n, "too much, or too deep, for a settings file")
			r.nodes = maxConfigNodes + 1 // that is said once
		}
		return nil, false
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Style&yaml.TaggedStyle != 0 && !strings.HasPrefix(n.Tag, "!!") {
		r.fail(n, "the tag %s is not understood", n.Tag)
		return nil, false
	}
	return n, true
}

// entries calls f with the keys and values of a mapping.
func (r *configReader) entries(n *yaml.Node, f func(key, value *yaml.Node)) {
	seen := make(map[string]int)
	for pair := range slices.Chunk(n.Content, 2) {
		key, value := pair[0], pair[1]
		switch {
		case key.Kind != yaml.ScalarNode:
			r.fail(key, "a name is wanted here")
			continue
		case key.ShortTag() == "!!merge":
			r.fail(key, "<< is not understood: write the settings out, or give each an alias")
			continue
		case seen[key.Value] > 0:
			r.fail(key, "%s is there twice: on line %d too", key.Value, seen[key.Value])
			continue
		}
		seen[key.Value] = key.Line
		f(key, value)
	}
}

// top reads the file.
func (r *configReader) top(n *yaml.Node) {
	n, ok := r.enter(n, 0)
	if !ok {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, "this is %s: want settings, as in download_delay: 2s", shape(n))
		return
	}
	general := newSection(func(a crawl.Assignment) { r.file.general = append(r.file.general, a) })
	r.section = general
	r.entries(n, func(key, value *yaml.Node) {
		if !strings.EqualFold(key.Value, "spiders") {
			r.setting("", key, value, 1)
			return
		}
		if value, ok = r.enter(value, 1); !ok || value.ShortTag() == "!!null" {
			return
		}
		if value.Kind != yaml.MappingNode {
			r.fail(value, "spiders is %s: want the settings of single spiders, below their names", shape(value))
			return
		}
		r.entries(value, func(key, value *yaml.Node) { r.spider(key, value) })
		r.section = general
	})
}

// spider reads the settings of one spider.
func (r *configReader) spider(name, n *yaml.Node) {
	r.file.places[name.Value] = fmt.Sprintf("%s:%d:%d", r.file.name, name.Line, name.Column)
	n, ok := r.enter(n, 2)
	if !ok || n.ShortTag() == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, "spiders.%s is %s: want settings, as in download_delay: 2s", name.Value, shape(n))
		return
	}
	r.section = newSection(func(a crawl.Assignment) { r.file.spiders[name.Value] = append(r.file.spiders[name.Value], a) })
	r.entries(n, func(key, value *yaml.Node) { r.setting("", key, value, 3) })
}

// setting reads one setting, or a group of them.
func (r *configReader) setting(prefix string, key, n *yaml.Node, depth int) {
	name := prefix + key.Value
	n, ok := r.enter(n, depth)
	if !ok {
		return
	}
	lower := strings.ToLower(name)
	kind := r.known[lower]
	if kind == "" && (n.Kind == yaml.MappingNode || n.ShortTag() == "!!null") && r.isGroup(lower) {
		if n.Kind == yaml.MappingNode {
			r.entries(n, func(key, value *yaml.Node) { r.setting(name+".", key, value, depth+1) })
		}
		return
	}
	to, entry, err := crawl.SettingName(name)
	if err != nil {
		r.fail(key, "%s", err)
		return
	}
	whole, given, entries := to, r.section.given, r.section.entries
	if entry != "" {
		to += "." + entry
		if r.known[whole] == "map of texts" {
			kind = "text"
		}
	}
	switch {
	case given[to] > 0:
		r.fail(key, "%s is set twice: on line %d too", to, given[to])
		return
	case given[whole] > 0:
		r.fail(key, "%s is set twice: all of %s is on line %d", to, whole, given[whole])
		return
	case entry == "" && entries[to] != "": // which would be lost
		r.fail(key, "%s is set twice: its %s is on line %d", to, entries[to], given[to+"."+entries[to]])
		return
	case entry != "":
		entries[whole] = cmp.Or(entries[whole], entry)
	}
	given[to] = key.Line
	if n.ShortTag() == "!!null" {
		r.fail(key, `%s has no value: write "" for an empty one`, name)
		return
	}
	text, ok := r.text(name, kind, n, depth)
	if !ok {
		return
	}
	var scratch crawl.Settings
	if err := scratch.Set(name, text); err != nil {
		r.blame(name, kind, n, err)
		return
	}
	r.section.into(crawl.Assignment{Name: name, Value: text, Source: fmt.Sprintf("%s:%d", r.file.name, key.Line)})
}

// isGroup reports whether a name has settings, or the limits of a slot, below it.
func (r *configReader) isGroup(name string) bool {
	for known, kind := range r.known {
		if strings.HasPrefix(known, name+".") || kind == "map of limits" && strings.HasPrefix(name, known+".") {
			return true
		}
	}
	return false
}

// blame says what is wrong with a value, at the entry of a list or map that it is about.
func (r *configReader) blame(name, kind string, n *yaml.Node, err error) {
	step := 1
	if n.Kind == yaml.MappingNode {
		step = 2
	}
	for part := range slices.Chunk(n.Content, step) {
		alone := *n
		alone.Content = part
		var scratch crawl.Settings
		if text, ok := r.text(name, kind, &alone, 0); ok {
			if e := scratch.Set(name, text); e != nil {
				r.fail(part[len(part)-1], "%s", e)
				return
			}
		}
	}
	r.fail(n, "%s", err)
}

// wants say what a setting of each kind looks like.
var wants = map[string]string{
	"bool": "true or false", "text": "a text", "number": "a whole number", "decimal": "a number", "bytes": "a size such as 10MB",
	"duration": "a duration such as 90s or 1h30m, or a number of seconds",
	"numbers":  "a list of numbers", "texts": "a list of texts", "feeds": "a list of feeds, each with a uri",
	"map of texts": "names with texts", "map of sizes": "names with sizes such as 50x50", "map of limits": "hosts with limits such as delay and concurrency",
}

// variable is how a shell names one.
var variable = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`)

// text is a value as Settings.Set takes it. kind is "" for names that are not ours: the value is then what its YAML says.
func (r *configReader) text(name, kind string, n *yaml.Node, depth int) (string, bool) {
	lists := kind == "numbers" || kind == "texts" || kind == "feeds" || kind == ""
	maps := strings.HasPrefix(kind, "map") || kind == "feeds" || kind == ""
	switch {
	case n.Kind == yaml.ScalarNode:
		if m := variable.FindString(n.Value); m != "" {
			r.fail(n, "%s: %s is not replaced by the environment's; set the setting there, as %s", name, m, environmentName(name))
			return "", false
		}
		return n.Value, true
	case n.Kind == yaml.SequenceNode && !lists, n.Kind == yaml.MappingNode && !maps:
		r.fail(n, "%s is %s: want %s", name, shape(n), wants[kind])
		return "", false
	}
	v, ok := r.value(name, kind, n, depth)
	if list, isList := v.([]any); isList && kind == "numbers" {
		var parts []string
		for _, n := range list {
			parts = append(parts, fmt.Sprint(n))
		}
		return "[" + strings.Join(parts, ",") + "]", ok
	}
	return string(jsonOf(v)), ok
}

// value is what JSON makes of a node. Scalars are texts, where a setting's entries are texts; elsewhere numbers and booleans are what they are.
func (r *configReader) value(name, kind string, n *yaml.Node, depth int) (any, bool) {
	n, ok := r.enter(n, depth)
	if !ok {
		return nil, false
	}
	good := true
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any)
		r.entries(n, func(key, value *yaml.Node) {
			v, ok := r.value(name, kind, value, depth+1)
			m[key.Value], good = v, good && ok
		})
		return m, good
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			v, ok := r.value(name, kind, item, depth+1)
			list, good = append(list, v), good && ok
		}
		return list, good
	}
	if m := variable.FindString(n.Value); m != "" {
		r.fail(n, "%s: %s is not replaced by the environment's; set the setting there, as %s", name, m, environmentName(name))
		return nil, false
	}
	switch tag := n.ShortTag(); {
	case kind == "numbers" || kind == "texts" || kind == "map of texts" || kind == "map of limits" || tag == "!!str":
		return n.Value, true
	case tag == "!!null":
		return nil, true
	case tag == "!!bool":
		return strings.EqualFold(n.Value, "true"), true
	case (tag == "!!int" || tag == "!!float") && json.Valid([]byte(n.Value)):
		return json.RawMessage(n.Value), true
	case tag == "!!int":
		if i, err := strconv.ParseInt(n.Value, 0, 64); err == nil {
			return i, true
		}
	}
	return n.Value, true
}

// jsonOf is a value in JSON.
func jsonOf(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // of texts, numbers, lists and maps
	return bytes.TrimSpace(b.Bytes())
}

// shape is what a node is, in words.
func shape(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a group of names"
	case yaml.SequenceNode:
		return "a list"
	}
	return strconv.Quote(n.Value)
}

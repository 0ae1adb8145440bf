package crawl

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/textproto"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// The texts of settings' values, read. What format (format.go) writes, parse reads.

// sizes are the settings that count bytes: 10MB is a value of theirs.
var sizes = []string{"download.max_size", "download.warn_size", "download.spool_over", "download.min_speed", "url_length.limit", "media.max_size", "memory.limit",
	"memory.warn", "http_cache.max_size", "job.memory", "job.min_free"}

// lowerCase are the settings whose values are words from a list.
var lowerCase = []string{"order", "referer.policy", "media.checksum", "log.level", "log.format", "retry.give_up_level", "http_cache.policy"}

// parse reads a value. Its errors are sentences without the setting's name.
func (f *setting) parse(text string) (reflect.Value, error) {
	v, err := f.parseAny(text)
	if err != nil {
		return reflect.Value{}, err
	}
	return reflect.ValueOf(v).Convert(f.typ), nil
}

func (f *setting) parseAny(text string) (any, error) {
	switch f.typ {
	case reflect.TypeFor[bool]():
		return parseBool(text)
	case reflect.TypeFor[string]():
		if slices.Contains(lowerCase, f.name) {
			text = strings.ToLower(text)
		}
		return text, nil
	case reflect.TypeFor[int](), reflect.TypeFor[int64]():
		if slices.Contains(sizes, f.name) {
			return parseSize(text)
		}
		return parseInt(text)
	case reflect.TypeFor[float64]():
		return parseFloat(text)
	case reflect.TypeFor[time.Duration]():
		return parseDuration(text)
	case reflect.TypeFor[[]int]():
		return parseInts(text)
	case reflect.TypeFor[[]string]():
		return parseStrings(text)
	case reflect.TypeFor[[]Feed]():
		return parseFeeds(text)
	}
	m := reflect.MakeMap(f.typ)
	pairs, err := f.pairs(text)
	if err != nil {
		return nil, err
	}
	for _, p := range pairs {
		if err := f.parseEntry(m, p.key, p.value); err != nil {
			return nil, fmt.Errorf("%s: %w", p.key, err)
		}
	}
	return m.Interface(), nil
}

type pair struct{ key, value string }

// pairs splits a map's text. The values of a JSON object are what parseEntry takes: a string's text, and of all else the JSON.
func (f *setting) pairs(text string) ([]pair, error) {
	if text == "" {
		return nil, nil
	}
	if strings.HasPrefix(text, "{") {
		object := make(map[string]json.RawMessage)
		if err := parseJSON(text, &object); err != nil {
			return nil, err
		}
		var list []pair
		for _, k := range slices.Sorted(maps.Keys(object)) {
			if f.typ == reflect.TypeFor[map[string]Limits]() {
				fields := make(map[string]json.RawMessage)
				if err := parseJSON(string(object[k]), &fields); err != nil {
					return nil, fmt.Errorf(`%s: %s is not an object such as {"concurrency": 2, "delay": "1s"}`, k, object[k])
				}
				for _, name := range slices.Sorted(maps.Keys(fields)) {
					list = append(list, pair{k + "." + name, plainJSON(fields[name])})
				}
				continue
			}
			if f.typ == reflect.TypeFor[map[string]string]() {
				switch object[k][0] { // of a value, which has no space before it
				case '[':
					return nil, fmt.Errorf("%s: %s is a list: want a text", k, object[k])
				case '{':
					return nil, fmt.Errorf("%s: %s is a group of names: want a text", k, object[k])
				}
			}
			list = append(list, pair{k, plainJSON(object[k])})
		}
		return list, nil
	}
	if f.typ == reflect.TypeFor[map[string]Limits]() {
		return nil, fmt.Errorf(`%q is not a JSON object such as {"example.com": {"concurrency": 2, "delay": "1s"}}; one limit is %s.example.com.delay=1s`, text, f.name)
	}
	var list []pair
	for part := range strings.SplitSeq(text, ",") {
		k, v, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("%q in %q is not %s", strings.TrimSpace(part), text, f.example())
		}
		list = append(list, pair{strings.TrimSpace(k), strings.TrimSpace(v)})
	}
	return list, nil
}

// example is an entry of a map, for error texts.
func (f *setting) example() string {
	switch f.name {
	case "images.thumbs":
		return "a thumbnail such as small=50x50"
	case "download.connect_to":
		return "a pair such as shop.localhost:80=127.0.0.1:8080"
	case "default_headers":
		return "a header such as X-Shop=open; a value with commas is set alone, as default_headers.Accept=text/html,*/*"
	}
	return "a pair such as name=value"
}

// plainJSON is the text of a JSON string; null is empty, and all else stays JSON.
func plainJSON(raw json.RawMessage) string {
	var s *string
	if json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	if s == nil {
		return ""
	}
	return *s
}

// parseEntry puts one entry into a map that is the setting's value.
func (f *setting) parseEntry(m reflect.Value, key, text string) error {
	text = strings.TrimSpace(text)
	switch m := m.Interface().(type) {
	case map[string]Size:
		size, err := parseBox(text)
		if err != nil {
			return err
		}
		m[key] = size
	case map[string]Limits:
		return parseLimit(m, key, text)
	case map[string]string:
		if f.name != "default_headers" {
			m[key] = text
			return nil
		}
		if !httpguts.ValidHeaderFieldName(key) {
			return fmt.Errorf("%q is not a header's name", key)
		}
		if !httpguts.ValidHeaderFieldValue(text) {
			return fmt.Errorf("%q is not a header's value", text)
		}
		// Names of headers are equal in any case; one that is there under another spelling gives way.
		maps.DeleteFunc(m, func(k, _ string) bool { return strings.EqualFold(k, key) })
		m[textproto.CanonicalMIMEHeaderKey(key)] = text
	}
	return nil
}

// parseLimit sets one limit of a slot: key is example.com.delay. A slot's name may have dots, the limit's has none.
func parseLimit(m map[string]Limits, key, text string) error {
	dot := strings.LastIndexByte(key, '.')
	if dot <= 0 {
		return errors.New("want concurrency, delay, fixed_delay, random_delay or dont_throttle behind the host, as in slots.example.com.delay=1s")
	}
	slot, limit := key[:dot], strings.ToLower(key[dot+1:])
	l := m[slot]
	var err error
	switch limit {
	case "concurrency":
		var n int64
		if n, err = parseInt(text); err == nil && n == 0 {
			err = errors.New("0 stands for concurrent_per_host; -1 is none")
		}
		l.Concurrency = int(n)
	case "delay":
		if l.Delay, err = parseDuration(text); err == nil && l.Delay == 0 {
			err = errors.New("0 stands for download_delay; -1 is none")
		}
	case "fixed_delay":
		l.FixedDelay, err = parseBool(text)
	case "random_delay":
		l.RandomDelay, err = parseBool(text)
	case "dont_throttle":
		l.DontThrottle, err = parseBool(text)
	default:
		return fmt.Errorf("%q is not a limit: want concurrency, delay, fixed_delay, random_delay or dont_throttle behind the host, as in slots.example.com.delay=1s", key[dot+1:])
	}
	m[slot] = l
	return err
}

func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "1", "yes", "on":
		return true, nil
	case "false", "0", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", text)
}

var (
	wholeNumber   = regexp.MustCompile(`^[+-]?[0-9]+(_[0-9]+)*$`)
	decimalNumber = regexp.MustCompile(`^[+-]?([0-9]+(_[0-9]+)*)?(\.[0-9]+)?$`)
	sizeNumber    = regexp.MustCompile(`(?i)^([+-]?[0-9][0-9_]*(?:\.[0-9]+)?) *([kmgt]?i?b)$`)
	boxNumber     = regexp.MustCompile(`^([0-9]+) *[xX×] *([0-9]+)$`)
	durationDays  = regexp.MustCompile(`^([+-]?)([0-9]+(?:\.[0-9]+)?)d(.*)$`)
)

func parseInt(text string) (int64, error) {
	if !wholeNumber.MatchString(text) {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
	if err != nil || int64(int(n)) != n {
		return 0, fmt.Errorf("%q is too large a number", text)
	}
	return n, nil
}

func parseFloat(text string) (float64, error) {
	if text == "" || !decimalNumber.MatchString(text) {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	n, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return n, nil
}

// Units of sizes, largest first: those that format writes.
var units = []struct {
	name string
	n    int64
}{
	{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"B", 1},
}

func parseSize(text string) (int64, error) {
	if wholeNumber.MatchString(text) {
		return parseInt(text)
	}
	bad := fmt.Errorf("%q is not a size: want 10MB, 1GiB or a number of bytes", text)
	m := sizeNumber.FindStringSubmatch(text)
	if m == nil {
		return 0, bad
	}
	n, err := strconv.ParseFloat(strings.ReplaceAll(m[1], "_", ""), 64)
	if err != nil {
		return 0, bad
	}
	for _, u := range units {
		if strings.EqualFold(u.name, m[2]) {
			if n *= float64(u.n); math.Abs(n) >= math.MaxInt64 {
				return 0, fmt.Errorf("%q is too large a size", text)
			}
			return int64(math.Round(n)), nil
		}
	}
	return 0, bad
}

func parseDuration(text string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a duration: want 90s, 1h30m, 2d or a number of seconds", text)
	tooLong := fmt.Errorf("%q is too long a duration", text)
	s := strings.ReplaceAll(text, " ", "")
	if n, err := parseFloat(s); err == nil {
		if n *= float64(time.Second); math.Abs(n) >= math.MaxInt64 {
			return 0, tooLong
		}
		return time.Duration(math.Round(n)), nil
	}
	m := durationDays.FindStringSubmatch(s)
	if m == nil {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, bad
		}
		return d, nil
	}
	days, err := strconv.ParseFloat(m[2], 64)
	if err != nil {
		return 0, bad
	}
	var rest time.Duration
	if m[3] != "" {
		if rest, err = time.ParseDuration(m[3]); err != nil || strings.ContainsAny(m[3], "+-") {
			return 0, bad
		}
	}
	n := days*float64(24*time.Hour) + float64(rest)
	if n >= math.MaxInt64 {
		return 0, tooLong
	}
	d := time.Duration(math.Round(days*float64(24*time.Hour))) + rest
	if m[1] == "-" {
		d = -d
	}
	return d, nil
}

func parseInts(text string) ([]int, error) {
	inner := text
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		inner = strings.TrimSpace(text[1 : len(text)-1]) // an array of numbers is a list with brackets
	}
	list := []int{} // not nil: none is what was asked for
	if inner == "" {
		return list, nil
	}
	for part := range strings.SplitSeq(inner, ",") {
		part = strings.TrimSpace(part)
		n, err := parseInt(part)
		if err != nil {
			if part == text {
				return nil, err
			}
			return nil, fmt.Errorf("%w, in %q", err, text)
		}
		list = append(list, int(n))
	}
	return list, nil
}

// parseStrings reads a, b or a JSON array, which an entry with a comma needs.
func parseStrings(text string) ([]string, error) {
	list := []string{} // not nil: none is what was asked for
	if strings.HasPrefix(text, "[") {
		err := parseJSON(text, &list)
		return list, err
	}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list, nil
}

// parseBox reads a thumbnail's size: 50x50, or in JSON [50, 50] or {"width": 50, "height": 50}.
func parseBox(text string) (Size, error) {
	bad := fmt.Errorf("%q is not a size in pixels such as 50x50", text)
	if m := boxNumber.FindStringSubmatch(text); m != nil {
		w, errW := parseInt(m[1])
		h, errH := parseInt(m[2])
		if errW != nil || errH != nil {
			return Size{}, bad
		}
		return Size{int(w), int(h)}, nil
	}
	var list []int
	if parseJSON(text, &list) == nil && len(list) == 2 {
		return Size{list[0], list[1]}, nil
	}
	var box struct{ Width, Height *int }
	if parseJSON(text, &box) == nil && box.Width != nil && box.Height != nil {
		return Size{*box.Width, *box.Height}, nil
	}
	return Size{}, bad
}

// parseJSON reads one JSON value that is all of text, and refuses fields that nobody knows.
func parseJSON(text string, into any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("there is something behind its end")
		}
	}
	if err != nil {
		hint := ""
		if strings.Contains(text, "'") && !strings.Contains(text, `"`) {
			hint = " (JSON has double quotes)"
		}
		return fmt.Errorf("%q is not the JSON that is wanted here: %s%s", text, strings.TrimPrefix(err.Error(), "json: "), hint)
	}
	return nil
}

package crawl

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
	"unicode"

	"github.com/tidwall/gjson"
)

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
	urlType      = reflect.TypeFor[url.URL]()
	resultType   = reflect.TypeFor[gjson.Result]()
	rawType      = reflect.TypeFor[json.RawMessage]()
	numberType   = reflect.TypeFor[json.Number]()
	unmarshaler  = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// isScalar reports whether a type is filled from one text although it is not a basic one.
func isScalar(t reflect.Type) bool {
	return t == timeType || t == urlType || t == resultType || t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 || reflect.PointerTo(t).Implements(unmarshaler)
}

// isBasic reports whether a type is filled from one text.
func isBasic(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	case reflect.Interface:
		return t.NumMethod() == 0
	}
	return false
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// errNoAddress is what a reference gives that cannot be made absolute.
var errNoAddress = errors.New("is no address")

// convert puts what was found into a field of its type. On an error the field is as it was.
func (f *fieldPlan) convert(e extracted, v reflect.Value) error {
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		p := reflect.New(t.Elem())
		if err := f.convert(e, p.Elem()); err != nil {
			return err
		}
		v.Set(p)
		return nil
	}
	text := e.text
	if e.isJSON {
		if t == rawType {
			v.SetBytes([]byte(e.json.Raw))
			return nil
		}
		if !isScalar(t) && !isBasic(t) || t.Kind() == reflect.Interface {
			return json.Unmarshal([]byte(e.json.Raw), v.Addr().Interface())
		}
		text = strings.TrimSpace(jsonText(e.json))
	}
	switch t {
	case timeType:
		when, err := f.time(text)
		if err == nil {
			v.Set(reflect.ValueOf(when))
		}
		return err
	case durationType:
		d, err := time.ParseDuration(text)
		if err == nil {
			v.SetInt(int64(d))
		}
		return err
	case urlType:
		u, err := e.node.page.joined(text)
		if err != nil {
			return fmt.Errorf("%q %w: %w", text, errNoAddress, err)
		}
		v.Set(reflect.ValueOf(*u))
		return nil
	case resultType:
		r := e.json
		if !e.isJSON {
			r = gjson.Result{Type: gjson.String, Str: text, Raw: strconv.Quote(text)}
		}
		v.Set(reflect.ValueOf(r))
		return nil
	}
	if t == numberType && e.json.Type != gjson.Number {
		number, err := f.num.parse(text)
		if err == nil {
			v.SetString(plainNumber(number))
		}
		return err
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			v.SetZero()
			return fmt.Errorf("%q: %w", text, err)
		}
		return nil
	}
	switch t.Kind() {
	case reflect.String:
		switch {
		case f.abs && f.re == nil && isSrcset(e.node.Attribute):
			text = srcset(text, e.node.absolute)
		case f.abs || f.re == nil && !f.raw && isAddress(e.node.Attribute):
			u, ok := e.node.absolute(text)
			if !ok {
				return fmt.Errorf("%q %w", text, errNoAddress)
			}
			text = u
		}
		v.SetString(text)
	case reflect.Interface:
		v.Set(reflect.ValueOf(text))
	case reflect.Slice:
		v.SetBytes([]byte(text))
	case reflect.Bool:
		b, err := truth(text)
		if err != nil {
			return err
		}
		v.SetBool(b)
	default:
		return f.number(e, text, v)
	}
	return nil
}

// jsonText is a value of JSON as text. A number is as it is written: as a float it would lose digits of an ID, and the end of 19.90.
func jsonText(v gjson.Result) string {
	if v.Type == gjson.Number {
		return v.Raw
	}
	return v.String()
}

// plainNumber writes a number without the zeros before it, which JSON does not take.
func plainNumber(number string) string {
	digits := strings.TrimPrefix(number, "-")
	plain := strings.TrimLeft(digits, "0")
	if plain == "" || plain[0] == '.' {
		plain = "0" + plain
	}
	return number[:len(number)-len(digits)] + plain
}

// isSrcset reports whether an attribute holds several addresses, as that of responsive pictures does. data-srcset is that of those that are loaded later.
func isSrcset(attr string) bool {
	attr = strings.TrimPrefix(strings.ToLower(attr), "data-")
	return attr == "srcset" || attr == "imagesrcset"
}

// srcset makes the addresses in a srcset absolute; one that cannot be put right is left out. Each may be followed by a descriptor, and a comma.
func srcset(text string, absolute func(string) (string, bool)) string {
	const space = " \t\n\f\r"
	var b strings.Builder
	for {
		text = strings.TrimLeft(text, ","+space)
		if text == "" {
			return b.String()
		}
		end := strings.IndexAny(text, space)
		if end < 0 {
			end = len(text)
		}
		ref := strings.TrimRight(text[:end], ",") // an address may have commas in it
		descriptor := ""
		if text = text[end:]; len(ref) == end {
			descriptor, text, _ = strings.Cut(text, ",")
		}
		u, ok := absolute(ref)
		if !ok {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(u)
		if descriptor = strings.TrimSpace(descriptor); descriptor != "" {
			b.WriteString(" " + descriptor)
		}
	}
}

// joined is Join for a page that may not be there.
func (r *Response) joined(ref string) (*url.URL, error) {
	if r == nil {
		return url.Parse(ref)
	}
	return r.Join(ref)
}

func truth(s string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, fmt.Errorf("%.80q is neither true nor false (for whether there is a match there is the option exists)", s)
}

// number puts a number into a field of any kind of numbers.
func (f *fieldPlan) number(e extracted, text string, v reflect.Value) error {
	number, err := text, error(nil)
	if !e.isJSON || e.json.Type != gjson.Number {
		number, err = f.num.parse(text)
	}
	if err != nil {
		return err
	}
	size := v.Type().Bits()
	switch {
	case v.CanFloat():
		var x float64
		if x, err = strconv.ParseFloat(number, size); err == nil {
			v.SetFloat(x)
		}
	case v.CanInt():
		var x int64
		if x, err = strconv.ParseInt(whole(number), 10, size); err == nil {
			v.SetInt(x)
		}
	default:
		var x uint64
		if x, err = strconv.ParseUint(whole(number), 10, size); err == nil {
			v.SetUint(x)
		}
	}
	switch {
	case errors.Is(err, strconv.ErrRange):
		return fmt.Errorf("%.80q does not fit into %s", text, v.Type())
	case err != nil && strings.HasPrefix(number, "-") && v.CanUint():
		return fmt.Errorf("%.80q is below zero, which %s is not", text, v.Type())
	case err != nil:
		return fmt.Errorf("%.80q is not a whole number", text)
	}
	return nil
}

// whole writes 12.00 and 1e3, which are whole, as 12 and 1000.
func whole(number string) string {
	if before, after, ok := strings.Cut(number, "."); ok && strings.Trim(after, "0") == "" {
		return before
	}
	if strings.ContainsAny(number, "eE") {
		if x, err := strconv.ParseFloat(number, 64); err == nil && x == math.Trunc(x) && math.Abs(x) < 1<<53 {
			return strconv.FormatFloat(x, 'f', -1, 64)
		}
	}
	return number
}

// numberFormat is how numbers are written. The zero value is 1,234.56.
type numberFormat struct {
	decimal, group rune // 0 are '.' and ','
}

// parseNumberFormat reads an example: its last sign is the decimal one, unless three digits follow and there is another one like it or none at all.
func parseNumberFormat(example string) (numberFormat, error) {
	var signs []rune
	after := 0
	for _, c := range strings.TrimSpace(example) {
		switch {
		case '0' <= c && c <= '9':
			after++
		case strings.ContainsRune(".,'’", c) || unicode.IsSpace(c):
			signs = append(signs, c)
			after = 0
		default:
			return numberFormat{}, fmt.Errorf("%q is not written with digits, a decimal sign and one between thousands, such as 1.234,56", example)
		}
	}
	bad := fmt.Errorf("%q does not tell the decimal sign, such as 1.234,56 does", example)
	if len(signs) == 0 {
		return numberFormat{}, bad
	}
	last := signs[len(signs)-1]
	n := numberFormat{decimal: last, group: signs[0]}
	if len(signs) == 1 {
		if n.group = 0; after == 3 {
			return numberFormat{}, bad
		}
		n.group = other(last)
	}
	if n.decimal != '.' && n.decimal != ',' || n.group == n.decimal {
		return numberFormat{}, bad
	}
	return n, nil
}

// other is the sign that stands between thousands where one is the decimal sign.
func other(decimal rune) rune {
	if decimal == ',' {
		return '.'
	}
	return ','
}

// parse reads a number and writes it as strconv does. Currency and percent signs around it are left aside. Groups of thousands must be whole, so that no
// decimal sign is taken for one of them.
func (n numberFormat) parse(text string) (string, error) {
	if n.decimal == 0 {
		n.decimal, n.group = '.', ','
	}
	s := strings.TrimFunc(text, func(c rune) bool { return unicode.Is(unicode.Sc, c) || c == '%' || unicode.IsSpace(c) })
	bad := func(why string) (string, error) {
		return "", fmt.Errorf("%.80q is not a number%s", text, why)
	}
	var b strings.Builder
	switch {
	case strings.HasPrefix(s, "-"), strings.HasPrefix(s, "−"):
		b.WriteByte('-')
		s = strings.TrimPrefix(strings.TrimPrefix(s, "-"), "−")
	case strings.HasPrefix(s, "+"):
		s = s[1:]
	}
	s = strings.TrimLeftFunc(s, func(c rune) bool { return unicode.Is(unicode.Sc, c) || unicode.IsSpace(c) })
	before, after, fraction := strings.Cut(s, string(n.decimal))
	digits, groups, first, between := 0, 0, 0, rune(0)
	for _, c := range before {
		switch {
		case '0' <= c && c <= '9':
			b.WriteRune(c)
			digits++
		case c == n.group || c == '\'' || c == '’' || unicode.IsSpace(c):
			if unicode.IsSpace(c) {
				c = ' '
			}
			if groups++; groups > 1 && c != between || digits == 0 || digits > 3 || groups > 1 && digits < 2 {
				return bad("")
			}
			if groups == 1 {
				first = digits
			}
			between, digits = c, 0
		default:
			return bad(`: take what is meant out of it by a re tag, such as re:"[\\d.,]+"`)
		}
	}
	switch {
	case groups > 0 && (digits != 3 || first > 3):
		return bad(fmt.Sprintf(": %q parts thousands (is it the decimal sign? Say so by num:\"1.234,56\")", between))
	case digits == 0 && groups == 0 && !fraction, fraction && after == "":
		return bad("")
	}
	if digits == 0 {
		b.WriteByte('0')
	}
	if fraction {
		b.WriteByte('.')
		for _, c := range after {
			if c < '0' || c > '9' {
				return bad(fmt.Sprintf(": %q follows the decimal sign", c))
			}
			b.WriteRune(c)
		}
	}
	return b.String(), nil
}

// usualTimes are the layouts of times that name none.
var usualTimes = [...]string{
	time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02", time.RFC1123, time.RFC1123Z,
	"Mon, 2 Jan 2006 15:04:05 -0700", "Mon, 2 Jan 2006 15:04:05 MST", "2 Jan 2006 15:04:05 -0700", time.RFC850, time.ANSIC,
}

func (f *fieldPlan) time(text string) (time.Time, error) {
	layouts := f.layouts
	if len(layouts) == 0 {
		layouts = usualTimes[:]
	}
	if len(f.layouts) == 0 {
		if rest, ok := strings.CutSuffix(text, " UT"); ok { // which is too short a name for time.Parse
			text = rest + " UTC"
		}
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, text, f.zone); err == nil {
			if strings.Contains(layout, "MST") && !strings.Contains(layout, "07") { // a name alone
				return inNamedZone(t, text, f.zone)
			}
			return t, nil
		}
	}
	if len(f.layouts) == 0 {
		return time.Time{}, fmt.Errorf("%.80q is not a time that is known without a layout tag", text)
	}
	return time.Time{}, fmt.Errorf("%.80q is not a time written as %q", text, f.layouts)
}

// zoneHours is how far east of UTC a zone is that has a name in mail, and so in feeds.
func zoneHours(name string) (hours int, ok bool) {
	switch name {
	case "UTC", "GMT":
		return 0, true
	case "EDT":
		return -4, true
	case "EST", "CDT":
		return -5, true
	case "CST", "MDT":
		return -6, true
	case "MST", "PDT":
		return -7, true
	case "PST":
		return -8, true
	}
	return 0, false
}

// inNamedZone puts a time right that names its zone: time.Parse takes a name that the zone tag's zone does not have for one of UTC's.
func inNamedZone(t time.Time, text string, zone *time.Location) (time.Time, error) {
	if t.Location() == zone || t.Location() == time.UTC {
		return t, nil
	}
	name, offset := t.Zone()
	hours, ok := zoneHours(name)
	switch {
	case strings.HasPrefix(name, "GMT"): // GMT+2, with which time.Parse does not reckon although it knows
		hours, ok = offset/3600, true
	case strings.HasPrefix(name, "+") || strings.HasPrefix(name, "-"): // +03, the name of zones that have none
		var err error
		hours, err = strconv.Atoi(name)
		ok = err == nil
	}
	if !ok {
		return time.Time{}, fmt.Errorf("%.80q: zone %s is not known: take it out by a re tag, and name the place by a zone tag, such as zone:\"Europe/Berlin\"", text, name)
	}
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.FixedZone(name, hours*3600)), nil
}

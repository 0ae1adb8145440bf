package cache

import (
	"slices"
	"strings"
	"time"
)

// Control are the directives of a message's Cache-Control fields (RFC 9111, section 5.2).
type Control []directive

type directive struct {
	name  string // lower case
	value string // unquoted
	has   bool   // a value
	bad   bool   // its form is wrong: a space beside the equals sign, a quoted value without an end
}

// ParseControl reads the lines of Cache-Control. Directives named in ignore are left out.
func ParseControl(lines, ignore []string) Control {
	var c Control
	for _, line := range lines {
		for line != "" {
			var part string
			part, line = cutList(line)
			d := parseDirective(part)
			if d.name != "" && !slices.ContainsFunc(ignore, func(s string) bool { return strings.EqualFold(s, d.name) }) {
				c = append(c, d)
			}
		}
	}
	return c
}

// cutList cuts a list at its first comma that is not within quotes.
func cutList(s string) (first, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func parseDirective(s string) directive {
	name, value, has := strings.Cut(strings.Trim(s, " \t"), "=")
	d := directive{name: strings.ToLower(strings.TrimRight(name, " \t")), value: value, has: has}
	d.bad = len(d.name) != len(name) || strings.TrimLeft(value, " \t") != value
	if !strings.HasPrefix(value, `"`) {
		return d
	}
	var b strings.Builder
	for i := 1; i < len(value); i++ {
		switch value[i] {
		case '"':
			d.value, d.bad = b.String(), d.bad || i != len(value)-1
			return d
		case '\\':
			if i++; i == len(value) {
				continue
			}
		}
		b.WriteByte(value[i])
	}
	d.bad = true
	return d
}

// Has reports whether a directive is there, with or without a value.
func (c Control) Has(name string) bool {
	return slices.ContainsFunc(c, func(d directive) bool { return d.name == name })
}

// Seconds is a directive's number of seconds. Of several the least counts (section 4.2.1: the most restrictive). One whose value is none is 0, and bare says that it had
// none at all.
func (c Control) Seconds(name string) (d time.Duration, bare, ok bool) {
	for i := range c {
		if c[i].name != name {
			continue
		}
		n, valid := deltaSeconds(c[i].value)
		if c[i].bad || !valid {
			n = 0
		}
		if !ok || n < d {
			d = n
		}
		bare, ok = bare || !c[i].has, true
	}
	return d, bare, ok
}

// mostSeconds stands for everything beyond it (section 1.2.2).
const mostSeconds = 1 << 31

// deltaSeconds reads a non-negative whole number of seconds.
func deltaSeconds(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	n := int64(0)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(n*10+int64(s[i]-'0'), mostSeconds)
	}
	return time.Duration(n) * time.Second, true
}

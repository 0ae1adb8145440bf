package loader

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// each applies f to each value that is a text, and leaves others as they are.
func each(err error, f func(c *Context, s string) (any, error)) Processor {
	return checked{err: err, f: func(c *Context, v any) (any, error) {
		var all []any
		for _, e := range list(v) {
			got := e
			if s, ok := e.(string); ok {
				var err error
				if got, err = f(c, s); err != nil {
					return nil, err
				}
			}
			all = append(all, list(got)...)
		}
		if _, many := v.([]any); !many && len(all) == 1 {
			return all[0], nil
		}
		return all, nil
	}}
}

// Strip trims each text, and makes each run of white space in it one space. Texts with nothing else are left out.
func Strip() Processor {
	return each(nil, func(_ *Context, s string) (any, error) {
		if s = strings.Join(strings.Fields(s), " "); s == "" {
			return nil, nil
		}
		return s, nil
	})
}

// Re is what a regular expression finds in each text: its group named "extract", else all its groups, else the whole match, of every match.
func Re(pattern string) Processor {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return checked{err: err}
	}
	named := re.SubexpIndex("extract")
	return each(nil, func(_ *Context, s string) (any, error) {
		var found []any
		for _, m := range re.FindAllStringSubmatchIndex(s, -1) {
			from, to := 0, 1
			switch {
			case named >= 0:
				from, to = named, named+1
			case re.NumSubexp() > 0:
				from, to = 1, re.NumSubexp()+1
			}
			for g := from; g < to; g++ {
				if m[2*g] >= 0 {
					found = append(found, s[m[2*g]:m[2*g+1]])
				}
			}
		}
		return found, nil
	})
}

// ToFloat reads the number in each text, whatever stands around it: "€ 1,234.50" is 1234.5. How numbers are written is shown by an example, of which there may be one:
// "1,234.56" is usual, "1.234,56", "1 234,56" and "1234,56" are others. White space and apostrophes between groups of three digits are always understood. A text without a number gives
// nothing; two numbers in one are an error, as is a group that has not three digits.
func ToFloat(written ...string) Processor {
	form, err := numberForm(written)
	return each(err, func(_ *Context, s string) (any, error) {
		text, err := form.find(s)
		if text == "" || err != nil {
			return nil, err
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("number in %.60q: %w", s, err)
		}
		return n, nil
	})
}

// ToInt is ToFloat for whole numbers: int64. A number with a fraction is an error.
func ToInt(written ...string) Processor {
	form, err := numberForm(written)
	return each(err, func(_ *Context, s string) (any, error) {
		text, err := form.find(s)
		if text == "" || err != nil {
			return nil, err
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s in %.60q is no whole number", text, s)
		}
		return n, nil
	})
}

// number is how numbers are written.
type number struct{ group, point string }

func numberForm(written []string) (number, error) {
	if len(written) == 0 {
		return number{",", "."}, nil
	}
	if len(written) > 1 {
		return number{}, errors.New("numbers are written in one way")
	}
	m := written1234.FindStringSubmatch(written[0])
	if m == nil || m[1] == m[2] && m[1] != "" {
		return number{}, fmt.Errorf("%q does not show how 1234.56 is written", written[0])
	}
	n := number{m[1], m[2]}
	if n.point == "" {
		if n.point = "."; n.group == "." {
			n.point = ","
		}
	}
	return n, nil
}

const anySpace = `'\x{2019}\s\x{a0}\x{202f}\x{2009}` // for a class of characters: what stands between groups of digits anywhere

var (
	written1234 = regexp.MustCompile(`^1([.,` + anySpace + `]?)234(?:([.,])56)?$`)
	digits      = regexp.MustCompile(`[0-9]+(?:[.,` + anySpace + `][0-9]+)*`)
	groups      = regexp.MustCompile(`^[0-9]{1,3}(?:,[0-9]{3})+$`)
	spaces      = regexp.MustCompile(`[` + anySpace + `]`)
	// before is what makes a number negative, or a fraction: a sign or a point that does not stand after a word or another number.
	before = regexp.MustCompile(`(?:^|[^\pL\pN.,])([-\x{2212}]?)(?:\p{Sc}[\s\x{a0}]?)?([.,]?)$`)
)

// find is the number in a text as Go writes it, "" if there is none.
func (n number) find(s string) (string, error) {
	found := digits.FindAllStringIndex(s, -1)
	if len(found) == 0 {
		return "", nil
	}
	if len(found) > 1 {
		return "", fmt.Errorf("%d numbers in %.60q: a Re before it says which", len(found), s)
	}
	text, sign := s[found[0][0]:found[0][1]], ""
	if m := before.FindStringSubmatch(s[:found[0][0]]); m != nil {
		if m[1] != "" {
			sign = "-"
		}
		if m[2] == n.point {
			text = "0" + n.point + text
		}
	}
	whole, fraction, hasFraction := strings.Cut(text, n.point)
	grouped := spaces.ReplaceAllString(whole, ",")
	if n.group != "" {
		grouped = strings.ReplaceAll(grouped, n.group, ",")
	}
	if strings.Trim(fraction, "0123456789") != "" || strings.Trim(grouped, "0123456789,") != "" || strings.Contains(grouped, ",") && !groups.MatchString(grouped) {
		return "", fmt.Errorf("number in %.60q: %s is not written as 1%s234%s56", s, text, n.group, n.point)
	}
	text = sign + strings.ReplaceAll(grouped, ",", "")
	if hasFraction {
		text += "." + fraction
	}
	return text, nil
}

// AbsoluteURL makes each reference absolute, against the page and its <base>. One that cannot be put right is an error.
func AbsoluteURL() Processor {
	return each(nil, func(c *Context, s string) (any, error) {
		if s = strings.TrimSpace(s); s == "" {
			return nil, nil
		}
		if c.Response == nil {
			u, err := url.Parse(s)
			if err == nil && !u.IsAbs() {
				err = errors.New("relative, and the loader has no page")
			}
			if err != nil {
				return nil, fmt.Errorf("url %.100q: %w", s, err)
			}
			return u.String(), nil
		}
		u, err := c.Response.Join(s)
		if err != nil {
			return nil, err
		}
		return u.String(), nil
	})
}

// ParseTime reads each text as a time, by the first of the layouts (as time.Parse has them) that fits. Without a layout it is RFC 3339, or a date 2006-01-02. A time
// without a zone is UTC.
func ParseTime(layouts ...string) Processor {
	if len(layouts) == 0 {
		layouts = []string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime, time.DateOnly}
	}
	return each(nil, func(_ *Context, s string) (any, error) {
		if s = strings.TrimSpace(s); s == "" {
			return nil, nil
		}
		for _, layout := range layouts {
			if t, err := time.Parse(layout, s); err == nil {
				return t, nil
			}
		}
		return nil, fmt.Errorf("time %.60q is not written as %s", s, strings.Join(layouts, " or "))
	})
}

// Unique leaves out values that came before.
func Unique() Processor {
	return ProcessorFunc(func(_ *Context, v any) (any, error) {
		var all []any
		seen := make(map[any]bool)
		for _, e := range list(v) {
			if reflect.TypeOf(e).Comparable() && reflect.ValueOf(e).Comparable() {
				if seen[e] {
					continue
				}
				seen[e] = true
			}
			all = append(all, e)
		}
		return all, nil
	})
}

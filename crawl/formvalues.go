package crawl

import (
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"golang.org/x/text/unicode/bidi"
)

// sanitized is what a browser makes of the value that an input has on the page (the HTML standard's value sanitization algorithms, section 4.10.5.1).
func sanitized(n *html.Node, t, value string) string {
	switch t {
	case "text", "search", "tel", "password":
		return noBreaks.Replace(value)
	case "url":
		return trimASCII(noBreaks.Replace(value))
	case "email":
		value = noBreaks.Replace(value)
		if _, multiple := nodeAttr(n, "multiple"); !multiple {
			return trimASCII(value)
		}
		addresses := strings.Split(value, ",")
		for i, a := range addresses {
			addresses[i] = trimASCII(a)
		}
		return strings.Join(addresses, ",")
	case "number":
		if _, ok := formNumber(value); !ok {
			return ""
		}
	case "range":
		return rangeValue(n, value)
	case "color":
		return colorValue(value)
	case "date", "month", "week", "time", "datetime-local":
		return dateValue(t, value)
	}
	return value
}

var noBreaks = strings.NewReplacer("\n", "", "\r", "")

func isASCIISpace(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\f' || r == '\r' }

func trimASCII(s string) string { return strings.TrimFunc(s, isASCIISpace) }

// formNumber reads a valid floating-point number of the standard.
func formNumber(s string) (float64, bool) {
	v, err := strconv.ParseFloat(s, 64)
	ok := err == nil && !math.IsInf(v, 0) && !math.IsNaN(v) && !strings.HasPrefix(s, "+") && !strings.ContainsAny(s, "xX_pP") && !strings.HasSuffix(s, ".")
	return v, ok
}

// rangeValue is within min and max, and as many steps as are whole from min, from the value of the page if there is no min, or from 0.
func rangeValue(n *html.Node, value string) string {
	least, most, base := 0.0, 100.0, 0.0
	v, ok := formNumber(value)
	if ok {
		base = v
	}
	if bound, ok := formNumber(attrOf(n, "min")); ok {
		least, base = bound, bound
	}
	if bound, ok := formNumber(attrOf(n, "max")); ok {
		most = bound
	}
	if !ok {
		v = least + max(most-least, 0)/2
	}
	v = max(min(v, most), least)
	step, ok := formNumber(attrOf(n, "step"))
	if !ok || step <= 0 {
		step = 1
	}
	if !strings.EqualFold(attrOf(n, "step"), "any") {
		steps := math.Floor((v-base)/step + 0.5)
		for base+steps*step > most && base+(steps-1)*step >= least {
			steps--
		}
		for base+steps*step < least && base+(steps+1)*step <= most {
			steps++
		}
		v = max(base+steps*step, least)
	}
	const digits = 1e10 // 0.1 thrice is 0.3
	if rounded := math.Round(v*digits) / digits; !math.IsInf(rounded, 0) {
		v = rounded
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// colorValue is #rrggbb. Colours by name, which new browsers take, are black, as in those before.
func colorValue(value string) string {
	if len(value) == 4 && value[0] == '#' {
		value = string([]byte{'#', value[1], value[1], value[2], value[2], value[3], value[3]})
	}
	if len(value) != 7 || value[0] != '#' || strings.Trim(value[1:], "0123456789abcdefABCDEF") != "" {
		return "#000000"
	}
	return strings.ToLower(value)
}

// dateValue is "" for what is no date or time of its kind. A date with a time is written in its shortest form.
func dateValue(t, value string) string {
	switch t {
	case "date":
		if !isDate(value) {
			return ""
		}
	case "month":
		if !isDate(value + "-01") {
			return ""
		}
	case "week":
		year, week, ok := strings.Cut(value, "-W")
		n, err := strconv.Atoi(week)
		if !ok || err != nil || len(week) != 2 || !isDate(year+"-01-01") || n < 1 || n > weeksOf(year) {
			return ""
		}
	case "time":
		if _, ok := clockTime(value); !ok {
			return ""
		}
	case "datetime-local":
		at := strings.IndexAny(value, "T ")
		if at < 0 || !isDate(value[:at]) {
			return ""
		}
		clock, ok := clockTime(value[at+1:])
		if !ok {
			return ""
		}
		return value[:at] + "T" + clock
	}
	return value
}

// isDate reads yyyy-mm-dd, with a year of four digits or more that is not 0.
func isDate(s string) bool {
	year := strings.IndexByte(s, '-')
	if year < 4 || strings.Trim(s[:year], "0") == "" || strings.Trim(s[:year], "0123456789") != "" {
		return false
	}
	_, err := time.Parse(time.DateOnly, yearOf(s[:year])+s[year:])
	return err == nil
}

// yearOf is a year of four digits with the same days and weeks: the calendar repeats itself after 400 years.
func yearOf(digits string) string {
	n := 0
	for _, d := range digits {
		n = (n*10 + int(d-'0')) % 400
	}
	return strconv.Itoa(2000 + n)
}

// weeksOf is how many weeks of ISO 8601 a year has.
func weeksOf(digits string) int {
	last, _ := time.Parse(time.DateOnly, yearOf(digits)+"-12-28") // which is always in the last one
	_, week := last.ISOWeek()
	return week
}

// clockTime reads hh:mm, hh:mm:ss or hh:mm:ss.s, with up to three decimals, and writes it as short as it can be.
func clockTime(s string) (shortest string, ok bool) {
	layout := "15:04"
	if len(s) > len(layout) {
		layout = "15:04:05"
	}
	whole, decimals, has := strings.Cut(s, ".")
	if has && (layout == "15:04" || decimals == "" || len(decimals) > 3 || strings.Trim(decimals, "0123456789") != "") || len(whole) != len(layout) {
		return "", false
	}
	if _, err := time.Parse(layout, whole); err != nil {
		return "", false
	}
	if decimals = strings.TrimRight(decimals, "0"); decimals != "" {
		return whole + "." + decimals, true
	}
	if layout == "15:04:05" {
		whole = strings.TrimSuffix(whole, ":00")
	}
	return whole, true
}

// directionOf is what dirname sends for a control of type t and that value: rtl if the nearest dir attribute says so, or where that is auto, the first letter that has a direction.
func directionOf(n *html.Node, t, value string) string {
	for p := n; p != nil; p = p.Parent {
		switch strings.ToLower(attrOf(p, "dir")) {
		case "ltr":
			return "ltr"
		case "rtl":
			return "rtl"
		case "auto":
			if p == n {
				return firstDirection(value)
			}
			return textDirection(p)
		}
		if p == n && t == "tel" {
			return "ltr"
		}
	}
	return "ltr"
}

// textDirection is that of an element's text, without what has a direction of its own.
func textDirection(n *html.Node) string {
	for c := n.FirstChild; c != nil; {
		skip := false
		switch c.Type {
		case html.TextNode:
			if d, ok := strongDirection(c.Data); ok {
				return d
			}
		case html.ElementNode:
			_, own := nodeAttr(c, "dir")
			skip = own || c.DataAtom == atom.Bdi || c.DataAtom == atom.Script || c.DataAtom == atom.Style || c.DataAtom == atom.Textarea
		}
		if skip {
			for c != n && c.NextSibling == nil {
				c = c.Parent
			}
			if c == n {
				break
			}
			c = c.NextSibling
			continue
		}
		c = followingIn(c, n)
	}
	return "ltr"
}

func firstDirection(s string) string {
	d, _ := strongDirection(s)
	return d
}

func strongDirection(s string) (direction string, ok bool) {
	for s != "" {
		class, size := bidi.LookupString(s)
		switch class.Class() {
		case bidi.L:
			return "ltr", true
		case bidi.R, bidi.AL:
			return "rtl", true
		}
		s = s[max(size, 1):]
	}
	return "ltr", false
}

package crawl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// format is the text of a value. It is the same for equal values.
func (f *setting) format(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case string:
		return x
	case int:
		return f.formatInt(int64(x))
	case int64:
		return f.formatInt(x)
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	case time.Duration:
		return formatDuration(x)
	case []int:
		var parts []string
		for _, n := range x {
			parts = append(parts, strconv.Itoa(n))
		}
		return strings.Join(parts, ",")
	case []string:
		for _, s := range x {
			if s == "" || s != strings.TrimSpace(s) || s[0] == '[' || strings.ContainsRune(s, ',') {
				return formatJSON(x, len(x))
			}
		}
		return strings.Join(x, ",")
	case map[string]string:
		return formatMap(x)
	case map[string]Size:
		boxes := make(map[string]string, len(x))
		for name, s := range x {
			boxes[name] = fmt.Sprintf("%dx%d", s.Width, s.Height)
		}
		return formatMap(boxes)
	case map[string]Limits:
		type limits struct {
			Concurrency  int    `json:"concurrency,omitempty"`
			Delay        string `json:"delay,omitempty"`
			FixedDelay   bool   `json:"fixed_delay,omitempty"`
			RandomDelay  bool   `json:"random_delay,omitempty"`
			DontThrottle bool   `json:"dont_throttle,omitempty"`
		}
		slots := make(map[string]limits, len(x))
		for name, l := range x {
			text := limits{Concurrency: l.Concurrency, FixedDelay: l.FixedDelay, RandomDelay: l.RandomDelay, DontThrottle: l.DontThrottle}
			if l.Delay != 0 {
				text.Delay = formatDuration(l.Delay)
			}
			slots[name] = text
		}
		return formatJSON(slots, len(slots))
	case []Feed:
		return formatFeeds(x)
	}
	return fmt.Sprint(v.Interface()) // a bool
}

func (f *setting) formatInt(n int64) string {
	if n > 0 && slices.Contains(sizes, f.name) {
		for _, u := range units[:len(units)-1] {
			if n%u.n == 0 {
				return strconv.FormatInt(n/u.n, 10) + u.name
			}
		}
	}
	return strconv.FormatInt(n, 10)
}

// formatDuration is shorter than time.Duration's own, and knows days: 90d, 1h30m.
func formatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d != 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// formatMap is a=1,b=2, or JSON where a comma or the like would be misread.
func formatMap(m map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		v := m[k]
		if strings.ContainsAny(k, `,={" `) || strings.ContainsAny(v, `," `) || k == "" {
			return formatJSON(m, len(m))
		}
		parts = append(parts, k+"="+v)
	}
	return strings.Join(parts, ",")
}

func formatJSON(v any, n int) string {
	if n == 0 {
		return ""
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}

package crawl

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// unknownSetting is the error for a name that no setting has. It says what may have been meant.
func unknownSetting(name string) error {
	upper, lower := strings.ToUpper(name), strings.ToLower(name)
	if name == "" {
		return errors.New("a setting without a name")
	}
	if hint, ok := scrapyOnly[upper]; ok {
		if hint != "" {
			hint = ": " + hint
		}
		return fmt.Errorf("%s has no counterpart here yet%s", "Scrapy's "+upper, hint)
	}
	if group := below(lower); len(group) > 0 {
		return fmt.Errorf("%s is a group of settings: %s", name, strings.Join(group, ", "))
	}
	if list := nearest(name); len(list) > 0 {
		return fmt.Errorf("unknown setting %s: did you mean %s?", name, orList(list))
	}
	if i := strings.IndexByte(lower, '.'); i > 0 {
		if group := below(lower[:i]); len(group) > 0 {
			return fmt.Errorf("unknown setting %s: there are %s", name, strings.Join(group, ", "))
		}
	}
	if list := related(name); len(list) > 0 {
		return fmt.Errorf("unknown setting %s: did you mean %s?", name, orList(list))
	}
	return fmt.Errorf("unknown setting %s; the settings command lists all of them", name)
}

// below are the names of a group's settings. A group within it is one name that ends in an ellipsis.
func below(group string) []string {
	var list []string
	for _, f := range settings() {
		rest, ok := strings.CutPrefix(f.name, group+".")
		if !ok || f.goOnly {
			continue
		}
		name := f.name
		if sub, _, deeper := strings.Cut(rest, "."); deeper {
			name = group + "." + sub + ".…"
		}
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// orList is "a, b or c".
func orList(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// most is how many settings are suggested at once.
const most = 4

// nearest are the settings that a wrong name may be meant for, by how it is written: dashes, missing underscores, a wrong letter; the group
// left out; the beginnings of the words.
func nearest(name string) []string {
	if list := closest(name); len(list) > 0 {
		return list
	}
	words, whole := wordsOf(name), squeeze(name)
	if len(words) == 0 {
		return nil
	}
	first, last := words[0], words[len(words)-1]
	for _, fits := range []func(spelled string, c []string) bool{
		func(_ string, c []string) bool {
			return len(c) >= len(words) && slices.Equal(c[len(c)-len(words):], words)
		},
		func(spelled string, _ []string) bool {
			return len(whole) > 4 && strings.HasSuffix(squeeze(spelled), whole)
		},
		func(_ string, c []string) bool { return near(last, c[len(c)-1]) && near(first, c[0]) },
		func(_ string, c []string) bool {
			return !slices.ContainsFunc(words, func(w string) bool {
				return !slices.ContainsFunc(c, func(x string) bool { return strings.HasPrefix(x, w) })
			})
		},
	} {
		if list := chosenNames(name, fits); len(list) > 0 {
			return list
		}
	}
	return nil
}

// closest are the settings whose names differ from name in the fewest letters, if these are few.
func closest(name string) []string {
	whole := squeeze(name)
	least := len(whole)/5 + 1
	if len(whole) < 4 {
		least = 0
	}
	distances := make(map[string]int)
	for _, c := range candidates(name) {
		d := distance(whole, squeeze(c.spelled))
		distances[c.spelled] = d
		least = min(least, d)
	}
	for _, only := range slices.Sorted(maps.Keys(scrapyOnly)) {
		if d := distance(whole, squeeze(only)); d < least || d == 0 {
			return []string{only + ", which has no counterpart here yet"}
		}
	}
	return chosenNames(name, func(spelled string, _ []string) bool { return distances[spelled] == least })
}

// related are the settings that have a word like one of name's.
func related(name string) []string {
	words := wordsOf(name)
	return chosenNames(name, func(_ string, c []string) bool {
		return slices.ContainsFunc(words, func(w string) bool {
			return slices.ContainsFunc(c, func(x string) bool { return near(w, x) })
		})
	})
}

// chosenNames are the first candidates that fit, each setting once.
func chosenNames(name string, fits func(spelled string, words []string) bool) []string {
	var list []string
	seen := make(map[string]bool)
	for _, c := range candidates(name) {
		if len(list) < most && !seen[c.to] && fits(c.spelled, wordsOf(c.spelled)) {
			seen[c.to] = true
			list = append(list, c.spelled)
		}
	}
	return list
}

// near reports whether two words are one, but for a letter or an ending.
func near(a, b string) bool {
	common := 0
	for common < min(len(a), len(b)) && a[common] == b[common] {
		common++
	}
	return common >= 4 && 2*common >= max(len(a), len(b)) || distance(a, b) <= min(len(a), len(b))/5
}

// A candidate is a name that may be meant, and the setting that it stands for.
type candidate struct{ spelled, to string }

// candidates are all names. Those of the kind that name is of come first: who writes capitals thinks in Scrapy's units.
func candidates(name string) []candidate {
	var ours, scrapys []candidate
	for _, f := range settings() {
		if !f.goOnly {
			ours = append(ours, candidate{f.name, f.name})
		}
	}
	for _, n := range slices.Sorted(maps.Keys(scrapyNames)) {
		scrapys = append(scrapys, candidate{n, scrapyNames[n].to})
	}
	switch {
	case name == strings.ToUpper(name):
		return append(scrapys, ours...)
	case len(wordsOf(name)) == 1: // a word of ours, which Scrapy's long names may end in
		return ours
	}
	return append(ours, scrapys...)
}

func wordsOf(name string) []string { return strings.FieldsFunc(strings.ToLower(name), isSeparator) }

func isSeparator(r rune) bool { return r == '.' || r == '_' || r == '-' || r == ' ' }

// squeeze leaves the separators out.
func squeeze(name string) string { return strings.Join(wordsOf(name), "") }

// distance is how many letters must be put in, left out, changed or swapped with their neighbour to make a out of b.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x)+len(y) > 200 {
		return 200 // nobody's slip
	}
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range y {
		rows[0][j+1] = j + 1
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(x)][len(y)]
}

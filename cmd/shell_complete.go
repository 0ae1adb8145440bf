package cmd

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/tidwall/gjson"

	"github.com/tulle-go/tulle/crawl"
)

// pageNames are the names on a page that selectors can use, sorted.
type pageNames struct {
	of                        *page
	tags, classes, ids, attrs []string
	hrefs                     []string
}

// names are those of the page, worked out when they are first wanted.
func (s *shell) names() *pageNames {
	if s.named != nil && s.named.of == s.page {
		return s.named
	}
	names := &pageNames{of: s.page}
	s.named = names
	if s.page == nil || s.page.Kind() != crawl.BodyHTML && s.page.Kind() != crawl.BodyXML {
		return names
	}
	tags, classes, ids, attrs, hrefs := make(map[string]bool), make(map[string]bool), make(map[string]bool), make(map[string]bool), make(map[string]bool)
	for _, n := range s.page.Select("*") {
		tags[n.Data] = true
		for _, a := range n.Node.Attr {
			attrs[a.Key] = true
			switch a.Key {
			case "class":
				for _, c := range strings.Fields(a.Val) {
					classes[c] = true
				}
			case "id":
				ids[a.Val] = true
			case "href":
				hrefs[a.Val] = true
			}
		}
	}
	for list, set := range map[*[]string]map[string]bool{&names.tags: tags, &names.classes: classes, &names.ids: ids, &names.attrs: attrs} {
		*list = slices.DeleteFunc(slices.Sorted(maps.Keys(set)), func(s string) bool { return !plainIdent(s) })
	}
	names.hrefs = slices.Sorted(maps.Keys(hrefs))
	return names
}

// complete says what the end of a line may become: a command, or what its argument can be on this page.
func (s *shell) complete(text string) (from int, candidates []string) {
	begin := 0
	for _, sep := range []string{" |", "; "} {
		if i := strings.LastIndex(text, sep); i >= 0 {
			begin = max(begin, i+len(sep))
		}
	}
	if begin == 0 && strings.HasPrefix(text, "|") {
		begin = 1
	}
	chained := begin > 0 && text[begin-1] == '|'
	begin += len(text[begin:]) - len(strings.TrimLeft(text[begin:], " "))
	word, arg, spaced := strings.Cut(text[begin:], " ")
	if !spaced {
		if strings.HasPrefix(word, ".") || strings.HasPrefix(word, "#") {
			return s.completeCSS(text)
		}
		var all []string
		for _, c := range shellCommands() {
			if c.help != "" && strings.HasPrefix(c.name, word) && (!chained || c.chain) {
				all = append(all, c.name+strings.Repeat(" ", min(1, len(c.args))))
			}
		}
		if len(all) > 0 || chained {
			return begin, all
		}
		return s.completeCSS(text)
	}
	c := shellCommandNamed(word)
	if c == nil {
		return s.completeCSS(text)
	}
	argAt := len(text) - len(arg)
	startingWith := func(words []string) (int, []string) {
		return argAt, withPrefix(words, arg)
	}
	switch c.name {
	case "help":
		var all []string
		for _, c := range shellCommands() {
			if c.help != "" {
				all = append(all, c.name)
			}
		}
		return startingWith(all)
	case "route":
		return startingWith(s.routeNames())
	case "attr":
		return startingWith(s.names().attrs)
	case "fetch":
		return startingWith(s.names().hrefs)
	case "json":
		return s.completeJSON(text, arg)
	case "xpath":
		i := strings.LastIndexAny(text, "/[@(:") + 1
		names := s.names().tags
		if i > 0 && text[i-1] == '@' {
			names = s.names().attrs
		}
		return i, withPrefix(names, text[i:])
	case "css", "follow", "text", "links", "tree", "extract":
		return s.completeCSS(text)
	}
	return len(text), nil
}

// completeCSS completes the last name of a selector: behind a point a class, behind # an id, behind [ or @ an attribute, else an element.
func (s *shell) completeCSS(text string) (from int, candidates []string) {
	i := len(text)
	for i > 0 && !strings.ContainsRune(" .#[@>+~,(=|", rune(text[i-1])) {
		i--
	}
	names, before := s.names(), byte(' ')
	if i > 0 {
		before = text[i-1]
	}
	switch before {
	case '.':
		return i, withPrefix(names.classes, text[i:])
	case '#':
		return i, withPrefix(names.ids, text[i:])
	case '[', '@':
		return i, withPrefix(names.attrs, text[i:])
	}
	return i, withPrefix(names.tags, text[i:])
}

// completeJSON completes the last key of a path.
func (s *shell) completeJSON(text, path string) (from int, candidates []string) {
	if s.page == nil || s.page.Kind() != crawl.BodyJSON {
		return len(text), nil
	}
	parent, last := "@this", path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		parent, last = path[:i], path[i+1:]
	}
	v := s.page.JSON(parent)
	if v.IsArray() && len(v.Array()) > 0 {
		v = v.Array()[0]
	}
	var keys []string
	v.ForEach(func(k, _ gjson.Result) bool {
		keys = append(keys, k.String())
		return true
	})
	return len(text) - len(last), withPrefix(keys, last)
}

// withPrefix are the words that begin as typed. One that a page has made up to steer the terminal, or to be another command once Enter is pressed, is not offered.
func withPrefix(words []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool {
		return !strings.HasPrefix(w, prefix) || strings.ContainsFunc(w, unicode.IsControl) || strings.Contains(w, "; ") || strings.Contains(w, " |")
	})
}

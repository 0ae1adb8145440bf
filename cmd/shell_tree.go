package cmd

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/tulle-go/tulle/crawl"
)

// tree prints an outline of the page, or of what is selected. Elements in a row that look alike are shown once: that is where the rows of a listing are.
func (s *shell) tree(ctx context.Context, from *selection, arg string) (*selection, error) {
	depth := 0
	if i := strings.LastIndexByte(arg, ' '); i >= 0 || arg != "" {
		if n, err := strconv.Atoi(arg[i+1:]); err == nil {
			if n < 1 {
				return nil, fmt.Errorf("tree %s: want 1 level or more", arg)
			}
			depth, arg = n, strings.TrimSpace(arg[:max(i, 0)])
		}
	}
	if from == nil && arg == "" && s.page.Kind() == crawl.BodyJSON {
		v := s.page.JSON("@this")
		if err := s.page.Err(); err != nil {
			return nil, err
		}
		s.writeTree(jsonTree("", v), depth)
		return nil, nil
	}
	switch {
	case from == nil && arg == "" && s.page.Kind() == crawl.BodyXML:
		arg = ":root"
	case from == nil && arg == "":
		arg = "body"
	}
	if arg != "" {
		sel, err := s.css(ctx, from, arg)
		if err != nil {
			return nil, err
		}
		from = sel
	}
	if err := s.page.Err(); err != nil {
		return nil, err
	}
	root := &branch{}
	for _, m := range from.all {
		if m.node.Node != nil && m.node.Type == html.ElementNode && !m.isText {
			root.add(elementTree(s.page.Response, m.node.Node))
		}
	}
	if len(root.below) == 0 {
		return nil, fmt.Errorf("no element to outline: %q has no match", arg)
	}
	for _, b := range root.below {
		s.writeTree(b, depth)
	}
	return nil, nil
}

// branch is one line of an outline, and what is below it.
type branch struct {
	label string // what it looks like: those in a row that have the same are one line
	text  string // what is in it
	times int
	below []*branch
}

// add puts a branch below. One that looks like the last one adds to it what that one lacks.
func (b *branch) add(c *branch) {
	if n := len(b.below); n > 0 && b.below[n-1].label == c.label {
		b.below[n-1].times += c.times
		b.below[n-1].merge(c)
		return
	}
	b.below = append(b.below, c)
}

// merge takes over the branches that another one has and this one does not: a row with a discount shows where that stands.
func (b *branch) merge(c *branch) {
	if b.text == "" {
		b.text = c.text
	}
next:
	for _, theirs := range c.below {
		for _, ours := range b.below {
			if ours.label == theirs.label {
				ours.merge(theirs)
				continue next
			}
		}
		b.below = append(b.below, theirs)
	}
}

// lines is how many lines an outline takes, to a depth.
func (b *branch) lines(depth int) int {
	n := 1
	if depth > 1 {
		for _, c := range b.below {
			n += c.lines(depth - 1)
		}
	}
	return n
}

// elementTree is the outline of an element, without scripts and drawings.
func elementTree(r *crawl.Response, n *html.Node) *branch {
	b := &branch{label: labelOf(n), times: 1}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		switch {
		case c.Type == html.TextNode && b.text == "":
			b.text = oneLine(c.Data)
		case c.Type == html.ElementNode && c.DataAtom != atom.Script && c.DataAtom != atom.Style && c.DataAtom != atom.Noscript && c.DataAtom != atom.Template:
			b.add(elementTree(r, c))
		}
	}
	if n.DataAtom == atom.Svg {
		b.below, b.text = nil, ""
	}
	for _, a := range [...]string{"href", "src", "content", "value"} {
		if v := attrValue(n, a); v != "" {
			b.text = strings.TrimSpace(b.text + "  @" + a + " " + oneLine(v))
			break
		}
	}
	return b
}

// labelOf is an element as a selector: its name, id and classes, and what else marks it out for machines.
func labelOf(n *html.Node) string {
	label := n.Data
	if id := attrValue(n, "id"); id != "" && plainIdent(id) {
		label += "#" + id
	}
	for _, class := range strings.Fields(attrValue(n, "class")) {
		if plainIdent(class) {
			label += "." + class
		}
	}
	for _, a := range [...]string{"itemprop", "rel", "name", "data-testid"} {
		if v := attrValue(n, a); v != "" && plainIdent(v) {
			label += "[" + a + "=" + v + "]"
		}
	}
	return label
}

// jsonTree is the outline of a value: its members and their types, a list's as one.
func jsonTree(name string, v gjson.Result) *branch {
	b := &branch{label: name, times: 1}
	label := func(kind string) { b.label = strings.TrimSpace(name + " " + kind) }
	switch {
	case v.IsArray():
		all := v.Array()
		label(fmt.Sprintf("list of %d", len(all)))
		for _, one := range all {
			c := jsonTree("#", one)
			if strings.HasPrefix(c.label, "# list") {
				c.label = "# list"
			}
			if len(b.below) > 0 {
				b.below[0].merge(c)
			} else {
				b.below = []*branch{c}
			}
		}
	case v.IsObject():
		label("object")
		v.ForEach(func(k, v gjson.Result) bool {
			b.below = append(b.below, jsonTree(k.String(), v))
			return true
		})
	default:
		b.text = oneLine(v.Raw)
	}
	return b
}

// treeLines is how long an outline may get, if nobody says how deep it goes.
const treeLines = 40

// writeTree prints an outline: as deep as fits, but two levels at least.
func (s *shell) writeTree(b *branch, depth int) {
	if depth == 0 {
		for depth = 2; depth < 100 && b.lines(depth+1) <= treeLines && b.lines(depth+1) > b.lines(depth); depth++ {
		}
	}
	s.writeBranch(b, 0, depth)
}

func (s *shell) writeBranch(b *branch, level, depth int) {
	indent := strings.Repeat("  ", level)
	times := ""
	if b.times > 1 {
		times = fmt.Sprintf(" × %d", b.times)
	}
	hidden := ""
	if depth <= 1 && len(b.below) > 0 {
		hidden = fmt.Sprintf(" (%d in it)", len(b.below))
	}
	label := cut(visible(b.label), max(20, s.width()-len(indent)-len(times)-len(hidden)-1))
	room := s.width() - len(indent) - len([]rune(label+times+hidden)) - 3
	text := ""
	if room > 8 {
		text = "  " + cut(b.text, room)
	}
	fmt.Fprintln(s.out, strings.TrimRight(indent+s.paint.cyan(label)+s.paint.bold(times)+s.paint.dim(hidden)+s.paint.dim(text), " "))
	if depth > 1 {
		for _, c := range b.below {
			s.writeBranch(c, level+1, depth-1)
		}
	}
}

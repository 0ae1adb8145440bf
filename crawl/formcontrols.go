package crawl

import (
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"golang.org/x/text/encoding"
)

// The HTML standard's rules for what a form sends (section 4.10.22, form submission), on a tree that no script has changed.

// owners shows visit the page's elements in its order, each with the form that it belongs to: that which its form attribute names, if it is a control, else the one
// around it; nil if none. It ends when visit returns false.
//
// A control may also stand in a table after a <form> that was opened between the table's rows: the tree has that form empty, and browsers remember that it was open. Nothing in
// the tree says where it was closed, so it has all that follows in its table, until the next form.
func (r *Response) owners(visit func(n, owner *html.Node) bool) {
	root := r.document().doc.Nodes[0]
	var ids map[string]*html.Node // the first element of an id counts, whatever it is
	named := func(id string) *html.Node {
		if ids == nil {
			ids = make(map[string]*html.Node)
			for c := root; c != nil; c = following(c) {
				if id := attrOf(c, "id"); id != "" && c.Type == html.ElementNode && ids[id] == nil {
					ids[id] = c
				}
			}
		}
		if n := ids[id]; n != nil && n.DataAtom == atom.Form {
			return n
		}
		return nil
	}
	var strays []*html.Node // of each table that is open, the last form that was opened between its rows, or within
	var walk func(n, around *html.Node) bool
	walk = func(n, around *html.Node) bool {
		if n.Type == html.ElementNode {
			owner := around
			for i := len(strays) - 1; i >= 0 && owner == nil; i-- {
				owner = strays[i]
			}
			if id, ok := nodeAttr(n, "form"); ok && isFormControl(n) {
				owner = named(id)
			}
			switch n.DataAtom {
			case atom.Form:
				owner, around = n, n
				if n.Parent != nil && len(strays) > 0 {
					switch n.Parent.DataAtom {
					case atom.Table, atom.Tbody, atom.Thead, atom.Tfoot, atom.Tr:
						strays[len(strays)-1] = n
					}
				}
			case atom.Table:
				strays = append(strays, nil)
				defer func() {
					last := strays[len(strays)-1]
					if strays = strays[:len(strays)-1]; last != nil && len(strays) > 0 {
						strays[len(strays)-1] = last
					}
				}()
			}
			if !visit(n, owner) {
				return false
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			if !walk(c, around) {
				return false
			}
		}
		return true
	}
	walk(root, nil)
}

// ownerOf is the form of the first of nodes that has one; for what is no control it may also be the first form within.
func (r *Response) ownerOf(nodes []*html.Node) *html.Node {
	wanted := make(map[*html.Node]*html.Node, len(nodes))
	elements := make([]*html.Node, 0, len(nodes))
	for _, n := range nodes {
		if n.Type != html.ElementNode {
			n = n.Parent
		}
		if n != nil && n.Type == html.ElementNode {
			wanted[n] = nil
			elements = append(elements, n)
		}
	}
	if len(elements) == 0 {
		return nil
	}
	r.owners(func(n, owner *html.Node) bool {
		if _, ok := wanted[n]; ok {
			wanted[n] = owner
		}
		return true
	})
	for _, n := range elements {
		if owner := wanted[n]; owner != nil || isFormControl(n) {
			if owner != nil {
				return owner
			}
			continue
		}
		for c := range n.Descendants() {
			if c.Type == html.ElementNode && c.DataAtom == atom.Form {
				return c
			}
		}
	}
	return nil
}

func isFormControl(n *html.Node) bool {
	switch n.DataAtom {
	case atom.Input, atom.Button, atom.Select, atom.Textarea:
		return true
	}
	return false
}

// formPage is what the forms of a page share, worked out when it is first wanted.
type formPage struct {
	controls func() map[*html.Node][]*html.Node
	charset  func() (encoding.Encoding, string)
}

func (r *Response) newFormPage() *formPage {
	type found struct {
		enc  encoding.Encoding
		name string
	}
	charset := sync.OnceValue(func() found {
		b, err := r.Bytes()
		if err != nil {
			return found{nil, "UTF-8"}
		}
		enc, err := r.encodingOf(b)
		if err != nil {
			return found{nil, "UTF-8"}
		}
		enc, name := formCharset(enc, charsetName(enc))
		return found{enc, name}
	})
	return &formPage{
		controls: sync.OnceValue(func() map[*html.Node][]*html.Node {
			of := make(map[*html.Node][]*html.Node)
			r.owners(func(n, owner *html.Node) bool {
				if owner != nil && isFormControl(n) && within(n, atom.Template) == nil && within(n, atom.Datalist) == nil {
					of[owner] = append(of[owner], n)
				}
				return true
			})
			return of
		}),
		charset: func() (encoding.Encoding, string) { c := charset(); return c.enc, c.name },
	}
}

// controls are the form's, in the order of the page, without those in templates and data lists.
func (f *Form) controls() []*html.Node { return f.shared().controls()[f.node] }

func (f *Form) shared() *formPage {
	if f.ofPage == nil {
		f.ofPage = f.page.newFormPage()
	}
	return f.ofPage
}

func within(n *html.Node, kind atom.Atom) *html.Node {
	for p := n.Parent; p != nil; p = p.Parent {
		if p.Type == html.ElementNode && p.DataAtom == kind {
			return p
		}
	}
	return nil
}

// typeOfControl is "text" for inputs of no or unknown type; "select" and "textarea" for these.
func typeOfControl(n *html.Node) string {
	t := strings.ToLower(attrOf(n, "type"))
	switch n.DataAtom {
	case atom.Select:
		return "select"
	case atom.Textarea:
		return "textarea"
	case atom.Button:
		if t == "reset" || t == "button" {
			return t
		}
		return "submit"
	}
	switch t {
	case "hidden", "search", "tel", "url", "email", "password", "date", "month", "week", "time", "datetime-local", "number", "range", "color", "checkbox", "radio", "file",
		"submit", "image", "reset", "button":
		return t
	}
	return "text"
}

// disabled reports whether a control is: by itself, or by a fieldset around it unless it stands in the fieldset's first legend.
func (f *Form) disabled(n *html.Node) bool {
	if _, ok := nodeAttr(n, "disabled"); ok {
		return true
	}
	for at, p := n, n.Parent; p != nil; at, p = p, p.Parent {
		if p.Type != html.ElementNode || p.DataAtom != atom.Fieldset {
			continue
		}
		if _, ok := nodeAttr(p, "disabled"); ok && f.legend(p) != at {
			return true
		}
	}
	return false
}

// legend is the first one of a fieldset, nil if it has none.
func (f *Form) legend(fieldset *html.Node) *html.Node {
	legend, known := f.legends[fieldset]
	if known {
		return legend
	}
	for legend = fieldset.FirstChild; legend != nil && (legend.Type != html.ElementNode || legend.DataAtom != atom.Legend); {
		legend = legend.NextSibling
	}
	if f.legends == nil {
		f.legends = make(map[*html.Node]*html.Node)
	}
	f.legends[fieldset] = legend
	return legend
}

// buttons are those that send the form.
func (f *Form) buttons() []*html.Node {
	var all []*html.Node
	for _, n := range f.controls() {
		if t := typeOfControl(n); t == "submit" || t == "image" {
			all = append(all, n)
		}
	}
	return all
}

// submitter is the button that the form is sent by, nil if by none.
func (f *Form) submitter() *html.Node {
	if f.button != nil || f.none {
		return f.button
	}
	for _, n := range f.buttons() {
		if !f.disabled(n) {
			return n
		}
	}
	return nil
}

// entries are what the form sends (the standard's "constructing the entry list"), with what was set in the places of what the page has, the rest after it.
func (f *Form) entries(button *html.Node, charset string) []FormField {
	var list []FormField
	last := make(map[string]*html.Node) // the radio button of a group that is on: the last one that says so
	for _, n := range f.controls() {
		if _, on := nodeAttr(n, "checked"); on && typeOfControl(n) == "radio" {
			last[attrAsIs(n, "name")] = n
		}
	}
	done := make(map[string]bool)
	for _, n := range f.controls() {
		name, t := attrAsIs(n, "name"), typeOfControl(n)
		if fields, ok := f.set[name]; ok && name != "" {
			if !done[name] {
				list = append(list, fields...)
				done[name] = true
			}
			continue
		}
		if f.disabled(n) && n != button {
			continue
		}
		switch t {
		case "submit", "reset", "button":
			if n != button {
				continue
			}
		case "image":
			if n == button {
				list = append(list, f.coordinates(name)...)
			}
			continue
		case "checkbox":
			if _, on := nodeAttr(n, "checked"); !on {
				continue
			}
		case "radio":
			if _, on := nodeAttr(n, "checked"); !on || name != "" && last[name] != n {
				continue
			}
		}
		if name != "" {
			list = append(list, entriesOf(n, name, t, charset)...)
		}
	}
	for _, name := range f.order {
		if !done[name] {
			list = append(list, f.set[name]...)
		}
	}
	return list
}

// coordinates are what a picture that is clicked sends: where; here, its corner.
func (f *Form) coordinates(name string) []FormField {
	if name != "" {
		name += "."
	}
	var list []FormField
	for _, at := range [...]string{"x", "y"} {
		if _, set := f.set[name+at]; !set {
			list = append(list, FormField{Name: name + at, Value: "0"})
		}
	}
	return list
}

func entriesOf(n *html.Node, name, t, charset string) []FormField {
	value, has := rawAttr(n, "value")
	switch t {
	case "select":
		var list []FormField
		for _, v := range selected(n) {
			list = append(list, FormField{Name: name, Value: v})
		}
		return list
	case "textarea":
		value = rawText(n)
	case "checkbox", "radio":
		if !has {
			value = "on"
		}
	case "file":
		return []FormField{{Name: name, File: &FormFile{Type: "application/octet-stream"}}}
	case "hidden":
		if strings.EqualFold(name, "_charset_") {
			value = charset
		}
	default:
		value = sanitized(n, t, value)
	}
	list := []FormField{{Name: name, Value: value}}
	if direction := attrAsIs(n, "dirname"); direction != "" {
		switch t {
		case "textarea", "text", "search", "tel", "url", "email", "hidden", "password", "submit":
			list = append(list, FormField{Name: direction, Value: directionOf(n, t, value)})
		}
	}
	return list
}

// selected are the values of the options that are chosen and not disabled. A list of one line has one: the last that says so, else the first that can be chosen.
func selected(n *html.Node) []string {
	_, multiple := nodeAttr(n, "multiple")
	size, _ := strconv.Atoi(attrOf(n, "size"))
	var on []*html.Node
	var first *html.Node
	for o := range n.Descendants() {
		if o.Type != html.ElementNode || o.DataAtom != atom.Option {
			continue
		}
		if _, ok := nodeAttr(o, "selected"); ok {
			on = append(on, o)
		}
		if first == nil && !optionDisabled(o, n) {
			first = o
		}
	}
	if !multiple {
		switch {
		case len(on) > 1:
			on = on[len(on)-1:]
		case len(on) == 0 && size <= 1 && first != nil:
			on = append(on, first)
		}
	}
	var values []string
	for _, o := range on {
		if optionDisabled(o, n) {
			continue
		}
		v, ok := rawAttr(o, "value")
		if !ok {
			v = strings.Join(strings.FieldsFunc(rawText(o), isASCIISpace), " ") // a non-breaking space stays
		}
		values = append(values, v)
	}
	return values
}

func optionDisabled(o, list *html.Node) bool {
	for p := o; p != nil && p != list; p = p.Parent {
		if _, ok := nodeAttr(p, "disabled"); ok && (p == o || p.DataAtom == atom.Optgroup) {
			return true
		}
	}
	return false
}

// rawAttr is an attribute's value with its white space, which belongs to what a form sends.
func rawAttr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func attrAsIs(n *html.Node, name string) string {
	v, _ := rawAttr(n, name)
	return v
}

func rawText(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}

package crawl

import (
	"bytes"
	"iter"
	"net/url"
	"strings"

	"github.com/PuerkitoBio/goquery"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// A Node is an element, an attribute or a text of a page, as [Response.Select] and [Response.XPath] give them. It has the same methods as a page: what they
// select is below the node, so rows are read one by one:
//
//	for _, row := range r.Select("table.offers tr") {
//		name, href, cells := row.Text("th"), row.Attr("a", "href"), row.XPath("./td[position() > 1]").Texts()
//	}
//
// What goes wrong in a selector is reported by the page's Err. A Node that was not selected but put together, Node{Node: n}, has neither a page nor an address:
// a malformed selector then selects nothing, and addresses stay as they are written.
type Node struct {
	// Node is the element or text; for an attribute, the element it stands on.
	*html.Node
	// Attribute is the name of the attribute that was selected, "" if it was none.
	Attribute string

	page *Response // whose selectors, address and Err count; nil for a Node that was put together
}

// Nodes are what a selector or an expression gives, in document order. Its methods are those of all of them, or of the first.
type Nodes []Node

// CSS selects elements. A malformed selector selects nothing and is reported by Err. A ::text or ::attr(name) at the end, which all other methods obey, is left
// aside here. In XML, names count as they are written, with their prefixes: "media|content", or "*|content" for any prefix.
func (r *Response) CSS(selector string) *goquery.Selection {
	d := r.document()
	c, err := r.Selectors.compileCSS(selector)
	if err != nil {
		r.fail(err)
		return d.doc.Slice(0, 0)
	}
	return selection(d.doc, d.doc.Nodes[0], c)
}

// selection is what c selects below a node, as goquery has it.
func selection(doc *goquery.Document, scope *html.Node, c *cssSelector) *goquery.Selection {
	var nodes []*html.Node
	for n := range c.walk(scope, yieldElements) {
		if len(nodes) == 0 || nodes[len(nodes)-1] != n { // which comes again for what else is taken of it
			nodes = append(nodes, n)
		}
	}
	none := doc.Slice(0, 0)
	none.Nodes = nodes
	return none
}

// Select selects nodes: elements, or with ::text the texts that stand in them and with ::attr(name) their attributes. They are read as the page is; see [Node].
// A selector that begins with > selects children, on the page as below a node; one that begins with + or ~ selects what follows beside the node.
//
// Behind a space, ::text and ::attr(name) are those of the element and of all that stands in it, as in Scrapy: of <p>a <b>b</b> c</p>, "p::text" selects a and c,
// "p ::text" (or "p *::text") a, b and c, "p > ::text" b. "::text" and "::attr(name)" alone are those of the node and of all that stands in it.
func (r *Response) Select(selector string) Nodes { return r.root().Select(selector) }

// Text is the trimmed text of the first match, runs of white space made one space; "" if there is none. With ::text it is the element's own text as one, "a c"
// of <p>a <b>b</b> c</p>; with ::text behind a space it is the first text that is more than white space; with ::attr(name) it is the attribute's value.
func (r *Response) Text(selector string) string { return r.root().Text(selector) }

// Texts is the text of each match, as Text has it. With ::text behind a space these are the texts in the order of the page, each by itself; those of white space
// alone, which Select has too, are left out.
func (r *Response) Texts(selector string) []string { return r.root().Texts(selector) }

// Attr is the trimmed value of an attribute of the first match that has it, "" if none has.
func (r *Response) Attr(selector, name string) string { return r.root().Attr(selector, name) }

// URLs are the addresses that the matches point to: href or src, or the attribute that ::attr names, made absolute; <base href> is honoured. Those that cannot
// be put right are left out.
func (r *Response) URLs(selector string) []string { return r.root().URLs(selector) }

// refs calls f with the matches and their href or src values, or the values that ::attr names, until it returns false.
func (r *Response) refs(selector string, f func(n *html.Node, ref string) bool) {
	r.root().refs(selector, f)
}

// root is the page as a node.
func (r *Response) root() Node { return Node{Node: r.document().doc.Nodes[0], page: r} }

// Node is an element that was found elsewhere, by a goquery.Selection for one, with the methods of those that Select gives.
func (r *Response) Node(n *html.Node) Node { return Node{Node: n, page: r} }

func (n Node) selectors() *Selectors {
	if n.page == nil {
		return nil
	}
	return n.page.Selectors
}

func (n Node) fail(err error) {
	if n.page != nil {
		n.page.fail(err)
	}
}

// inside is the node if there may be something below it: an attribute has nothing.
func (n Node) inside() (*html.Node, bool) { return n.Node, n.Node != nil && n.Attribute == "" }

// matches yields the elements that a selector selects below the node, and what is to be taken of them.
func (n Node) matches(selector string) iter.Seq2[*html.Node, *cssGroup] {
	return n.walk(selector, yieldElements)
}

// walk yields what a selector selects below the node.
func (n Node) walk(selector string, y cssYield) iter.Seq2[*html.Node, *cssGroup] {
	c, err := n.selectors().compileCSS(selector)
	if err != nil {
		n.fail(err)
		return func(func(*html.Node, *cssGroup) bool) {}
	}
	scope, ok := n.inside()
	if !ok {
		return func(func(*html.Node, *cssGroup) bool) {}
	}
	return c.walk(scope, y)
}

// CSS selects elements below the node, as [Response.CSS] does on the page.
func (n Node) CSS(selector string) *goquery.Selection {
	doc := goquery.NewDocumentFromNode(n.Node)
	c, err := n.selectors().compileCSS(selector)
	if err != nil {
		n.fail(err)
		return doc.Slice(0, 0)
	}
	scope, ok := n.inside()
	if !ok {
		return doc.Slice(0, 0)
	}
	return selection(doc, scope, c)
}

// Select selects nodes below the node, as [Response.Select] does on the page.
func (n Node) Select(selector string) Nodes {
	var nodes Nodes
	for m, g := range n.walk(selector, yieldNodes) {
		nodes = g.nodes(m, n.page, nodes)
	}
	return nodes
}

// nodes appends what a selector takes of an element, or a text.
func (g *cssGroup) nodes(m *html.Node, page *Response, nodes Nodes) Nodes {
	if g.take == takeAttr {
		if name, ok := attrName(m, g.attr); ok {
			nodes = append(nodes, Node{Node: m, Attribute: name, page: page})
		}
		return nodes
	}
	return append(nodes, Node{Node: m, page: page})
}

// Text is the node's text, trimmed, runs of white space made one space; for an attribute its value. With a selector it is the text of the first match below the
// node, as [Response.Text] has it.
func (n Node) Text(selector ...string) string {
	if len(selector) > 0 {
		for m, g := range n.walk(selector[0], yieldValues) {
			if v, ok := g.value(m); ok {
				return v
			}
		}
		return ""
	}
	switch {
	case n.Node == nil:
		return ""
	case n.Attribute != "":
		v, _ := nodeAttr(n.Node, n.Attribute)
		return v
	case n.Type == html.TextNode:
		return foldSpace(n.Data)
	}
	return nodeText(n.Node, true)
}

// Texts is the text of each match below the node, as [Response.Texts] has it.
func (n Node) Texts(selector string) []string {
	var all []string
	for m, g := range n.walk(selector, yieldValues) {
		if v, ok := g.value(m); ok {
			all = append(all, v)
		}
	}
	return all
}

// Attr is the trimmed value of an attribute: Attr("href") of the node's own element, Attr("a", "href") of the first match below it that has one. It is "" if
// there is none.
func (n Node) Attr(selectorOrName string, name ...string) string {
	if n.Node == nil {
		return ""
	}
	if len(name) == 0 {
		v, _ := attribute(n.Node, selectorOrName)
		return v
	}
	for m := range n.matches(selectorOrName) {
		if v, ok := attribute(m, name[0]); ok {
			return v
		}
	}
	return ""
}

// URLs are the addresses that the matches below the node point to, as [Response.URLs] has them; without a selector that of the node itself.
func (n Node) URLs(selector ...string) []string {
	var all []string
	add := func(ref string) bool {
		if u, ok := n.absolute(ref); ok {
			all = append(all, u)
		}
		return true
	}
	if len(selector) > 0 {
		n.refs(selector[0], func(_ *html.Node, ref string) bool { return add(ref) })
	} else if ref, ok := n.ref(); ok {
		add(ref)
	}
	return all
}

// ref is where the node points to: what it is of an attribute or a text, else its element's href or src.
func (n Node) ref() (string, bool) {
	if n.Node == nil {
		return "", false
	}
	if n.Attribute != "" || n.Type == html.TextNode {
		return n.Text(), true
	}
	return hrefOrSrc(n.Node)
}

func hrefOrSrc(n *html.Node) (string, bool) {
	v, ok := nodeAttr(n, "href")
	if !ok {
		v, ok = nodeAttr(n, "src")
	}
	return v, ok
}

// absolute makes a reference absolute. It reports false if it cannot be put right.
func (n Node) absolute(ref string) (string, bool) {
	if n.page == nil {
		return ref, true
	}
	u, err := n.page.Join(ref)
	if err != nil {
		return "", false
	}
	return u.String(), true
}

func (n Node) refs(selector string, f func(n *html.Node, ref string) bool) {
	for m, g := range n.matches(selector) {
		var v string
		var ok bool
		switch g.take {
		case takeAttr:
			v, ok = attribute(m, g.attr)
		case takeOwnText, takeTexts:
			v, ok = nodeText(m, false), isXMLTree(m) // <link>https://…</link>
		default:
			if v, ok = hrefOrSrc(m); !ok && isXMLTree(m) {
				v, ok = nodeText(m, true), true
			}
		}
		if ok && !f(m, v) {
			return
		}
	}
}

// HTML is the node as it is written: an element with its tags and all that is in it, a text or the value of an attribute with its special characters escaped.
// What stands in an element alone is InnerHTML.
func (n Node) HTML() string {
	var b bytes.Buffer
	switch {
	case n.Node == nil:
	case n.Attribute != "":
		return html.EscapeString(n.Text())
	default:
		render(&b, n.Node, isXMLTree(n.Node))
	}
	return b.String()
}

// InnerHTML is what stands in the node's element, as it is written; "" for a text or an attribute.
func (n Node) InnerHTML() string {
	scope, ok := n.inside()
	if !ok {
		return ""
	}
	var b bytes.Buffer
	xml := isXMLTree(scope)
	for c := scope.FirstChild; c != nil; c = c.NextSibling {
		render(&b, c, xml)
	}
	return strings.TrimSpace(b.String())
}

// render writes a node. XML is written by its own rules: to HTML a <link> with something in it is an error.
func render(b *bytes.Buffer, n *html.Node, xml bool) {
	if !xml {
		_ = html.Render(b, n) // A buffer takes everything; what no parser makes is written as far as it goes.
		return
	}
	switch n.Type {
	case html.TextNode:
		b.WriteString(html.EscapeString(n.Data))
		return
	case html.CommentNode:
		b.WriteString("<!--" + n.Data + "-->")
		return
	case html.ElementNode:
		b.WriteString("<" + n.Data)
		for _, a := range n.Attr {
			b.WriteString(" " + a.Key + `="` + html.EscapeString(a.Val) + `"`)
		}
		if n.FirstChild == nil {
			b.WriteString("/>")
			return
		}
		b.WriteByte('>')
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		render(b, c, xml)
	}
	if n.Type == html.ElementNode {
		b.WriteString("</" + n.Data + ">")
	}
}

// Text is the text of the first node, "" if there is none.
func (ns Nodes) Text() string {
	if len(ns) == 0 {
		return ""
	}
	return ns[0].Text()
}

// Texts is the text of each node.
func (ns Nodes) Texts() []string {
	var all []string
	for _, n := range ns {
		all = append(all, n.Text())
	}
	return all
}

// URLs are the addresses that the nodes point to, made absolute: the values of attributes, else href or src.
func (ns Nodes) URLs() []string {
	var all []string
	for _, n := range ns {
		all = append(all, n.URLs()...)
	}
	return all
}

// Join makes a reference found on the page absolute; <base href> is honoured.
func (r *Response) Join(ref string) (*url.URL, error) { return resolve(r.base(), ref) }

// attribute is nodeAttr for a name as a user writes it.
func attribute(n *html.Node, name string) (string, bool) {
	name, ok := attrName(n, name)
	if !ok {
		return "", false
	}
	return nodeAttr(n, name)
}

// attrName is the name under which an element has an attribute: as it is written, or in lower case, which is how HTML has them.
func attrName(n *html.Node, name string) (string, bool) {
	if _, ok := nodeAttr(n, name); ok {
		return name, true
	}
	if lower := strings.ToLower(name); lower != name {
		if _, ok := nodeAttr(n, lower); ok {
			return lower, true
		}
	}
	return "", false
}

// nodeText is a node's text, trimmed, white space folded; deep takes that of its descendants too, but not of scripts and styles in it.
func nodeText(n *html.Node, deep bool) string {
	if c := n.FirstChild; c != nil && c.NextSibling == nil && c.Type == html.TextNode {
		return foldSpace(c.Data)
	}
	var b strings.Builder
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			switch {
			case c.Type == html.TextNode:
				b.WriteString(c.Data)
			case c.Type == html.ElementNode && deep && c.DataAtom != atom.Script && c.DataAtom != atom.Style:
				if c.DataAtom == atom.Br {
					b.WriteByte(' ')
				}
				walk(c)
			}
		}
	}
	walk(n)
	return foldSpace(b.String())
}

// foldSpace trims s and makes each run of white space in it one space.
func foldSpace(s string) string {
	s = strings.TrimSpace(s)
	if !strings.ContainsAny(s, "\n\t\r\f\u00a0") && !strings.Contains(s, "  ") {
		return s
	}
	return strings.Join(strings.Fields(s), " ")
}

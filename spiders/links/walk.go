package links

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/tulle-go/tulle/crawl"
)

// walk is one over one page.
type walk struct {
	*Extractor
	plan  *plan
	resp  *crawl.Response
	seen  map[string]struct{} // nil: links are not compared
	links []Link
}

// page takes the links of the whole page, or of its regions, in one walk over the tree.
func (w *walk) page() error {
	if w.resp.URL == nil {
		return fmt.Errorf("links: the response has no URL")
	}
	top := w.resp.XPath("/*")
	if err := w.resp.Err(); err != nil && len(top) == 0 {
		return err
	}
	if len(top) == 0 {
		return nil
	}
	root := top[0].Node
	if w.ObeyNoFollow && noFollow(w.resp, root) {
		return nil
	}
	if w.CanonicalLink {
		if u := Canonical(w.resp); u != nil && withoutFragment(u) != withoutFragment(w.resp.URL) {
			w.take(u, &html.Node{Type: html.ElementNode, DataAtom: atom.Link, Data: "link"})
		}
	}
	var regions map[*html.Node]struct{}
	if w.plan.restricted {
		regions = make(map[*html.Node]struct{})
		for _, s := range w.RestrictCSS {
			for _, n := range w.resp.CSS(s).Nodes {
				regions[n] = struct{}{}
			}
		}
		for _, x := range w.RestrictXPath {
			for _, n := range w.resp.XPath(x) {
				regions[n.Node] = struct{}{}
			}
		}
		if len(regions) == 0 {
			return nil
		}
	}
	w.nodes(root, regions)
	return nil
}

// nodes looks at n and all that follows it in document order, within regions if there are any.
func (w *walk) nodes(n *html.Node, regions map[*html.Node]struct{}) {
	inside := regions == nil
	var region *html.Node // the outermost one that n stands in
	for n != nil {
		if !inside {
			if _, ok := regions[n]; ok {
				inside, region = true, n
			}
		}
		if inside && n.Type == html.ElementNode && len(n.Attr) > 0 && w.plan.tags.match(n.Data) {
			w.element(n)
		}
		if n.FirstChild != nil {
			n = n.FirstChild
			continue
		}
		for n != nil {
			if n == region {
				inside, region = false, nil
			}
			if n.NextSibling != nil {
				n = n.NextSibling
				break
			}
			n = n.Parent
		}
	}
}

// element takes the links of an element.
func (w *walk) element(n *html.Node) {
	for i := range n.Attr {
		a := &n.Attr[i]
		if !w.plan.attrs.match(a.Key) {
			continue
		}
		if a.Key == "srcset" || a.Key == "imagesrcset" {
			for _, ref := range candidates(a.Val) {
				w.value(n, ref)
			}
			continue
		}
		w.value(n, a.Val)
	}
}

// value takes what stands in an attribute.
func (w *walk) value(n *html.Node, value string) {
	ref := value
	if !w.NoStrip {
		ref = strings.Trim(ref, " \t\n\f\r")
	}
	if w.ProcessValue == nil {
		if i := strings.IndexByte(ref, ':'); i > 0 && unfollowed(ref[:i]) {
			return
		}
	}
	u, err := w.resp.Join(ref)
	if w.ProcessValue != nil {
		if err == nil && isAddress(u) {
			ref = u.String()
		}
		processed, ok := w.ProcessValue(ref)
		if !ok {
			return
		}
		if processed != ref || err != nil {
			u, err = w.resp.Join(processed)
		}
	}
	if err != nil {
		return // no browser goes there
	}
	w.take(u, n)
}

// unfollowed knows the schemes of links that lead nowhere, before they are taken apart.
func unfollowed(scheme string) bool {
	switch scheme {
	case "javascript", "mailto", "tel", "data":
		return true
	}
	return false
}

func isAddress(u *url.URL) bool {
	return u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "ftp" || u.Scheme == "file"
}

// take keeps a link if it passes.
func (w *walk) take(u *url.URL, n *html.Node) {
	address := u.String()
	if !w.plan.address(u, address) {
		return
	}
	if w.Canonicalize {
		address = crawl.CanonicalURL(u)
	}
	if w.seen != nil {
		if _, ok := w.seen[address]; ok {
			return
		}
	}
	link := Link{URL: address, Text: text(n), ReferrerPolicy: crawl.Node{Node: n}.ReferrerPolicy()}
	for i := range n.Attr {
		if n.Attr[i].Key == "rel" {
			link.NoFollow = saysNoFollow(n.Attr[i].Val)
		}
	}
	if w.ObeyNoFollow && link.NoFollow || len(w.plan.text) > 0 && !matches(w.plan.text, link.Text) {
		return
	}
	_, link.Fragment, _ = strings.Cut(address, "#")
	if w.seen != nil {
		w.seen[address] = struct{}{}
	}
	w.links = append(w.links, link)
}

const (
	// maxText is how much of a link's text is kept, in bytes before white space is folded, and maxTextNodes how many nodes are looked at for it. Elements stand in each other, and
	// each of them may be a link: without a bound the text of all would be read again for each.
	maxText      = 16 << 10
	maxTextNodes = 2000
)

// text is the text of an element, as crawl.Node.Text has it, or the beginning of it.
func text(n *html.Node) string {
	if c := n.FirstChild; c == nil {
		return ""
	} else if c.NextSibling == nil && c.Type == html.TextNode && len(c.Data) <= maxText {
		return crawl.Node{Node: c}.Text()
	}
	var b strings.Builder
	var skip bool
	for at, left := next(n, n, false), maxTextNodes; at != nil && left > 0 && b.Len() < maxText; at, left = next(at, n, skip), left-1 {
		skip = false
		switch {
		case at.Type == html.TextNode:
			b.WriteString(at.Data[:min(len(at.Data), maxText-b.Len())])
		case at.DataAtom == atom.Br:
			b.WriteByte(' ')
		default:
			skip = at.DataAtom == atom.Script || at.DataAtom == atom.Style
		}
	}
	return crawl.Node{Node: &html.Node{Type: html.TextNode, Data: strings.ToValidUTF8(b.String(), "")}}.Text()
}

// next is the node after n in top, in document order. skip leaves out what stands in n.
func next(n, top *html.Node, skip bool) *html.Node {
	if n.FirstChild != nil && !skip {
		return n.FirstChild
	}
	for ; n != top; n = n.Parent {
		if n.NextSibling != nil {
			return n.NextSibling
		}
	}
	return nil
}

// saysNoFollow looks for the word in a list of words.
func saysNoFollow(list string) bool {
	if len(list) < len("nofollow") {
		return false
	}
	for word := range strings.FieldsFuncSeq(list, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r' }) {
		if strings.EqualFold(word, "nofollow") {
			return true
		}
	}
	return false
}

// noFollow reports whether a page asks that none of its links be followed. "none" is noindex and nofollow.
func noFollow(r *crawl.Response, root *html.Node) bool {
	says := func(list string) bool {
		return saysNoFollow(list) || strings.EqualFold(strings.TrimSpace(list), "none")
	}
	for _, value := range r.Header.Values(http.CanonicalHeaderKey("X-Robots-Tag")) {
		if !strings.Contains(value, ":") && says(value) { // with a colon it is for one robot, or a date
			return true
		}
	}
	for n := range root.Descendants() {
		if n.DataAtom != atom.Meta {
			continue
		}
		var name, content string
		for _, a := range n.Attr {
			switch a.Key {
			case "name":
				name = a.Val
			case "content":
				content = a.Val
			}
		}
		if strings.EqualFold(strings.TrimSpace(name), "robots") && says(content) {
			return true
		}
	}
	return false
}

// candidates are the addresses in a srcset: each may be followed by a descriptor, and a comma. An address may have commas in it.
func candidates(srcset string) []string {
	var all []string
	for s := srcset; ; {
		s = strings.TrimLeft(s, ", \t\n\f\r")
		if s == "" {
			return all
		}
		end := strings.IndexAny(s, " \t\n\f\r")
		if end < 0 {
			end = len(s)
		}
		ref := strings.TrimRight(s[:end], ",")
		if ref != "" {
			all = append(all, ref)
		}
		if len(ref) < end {
			s = s[end:]
			continue
		}
		var paren int
		for end < len(s) && (s[end] != ',' || paren > 0) {
			switch s[end] {
			case '(':
				paren++
			case ')':
				paren--
			}
			end++
		}
		s = s[end:]
	}
}

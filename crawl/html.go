package crawl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strings"
	"sync"

	"github.com/PuerkitoBio/goquery"
	"github.com/andybalholm/cascadia"
	"github.com/antchfx/xpath"
	"github.com/tidwall/gjson"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/tulle-go/tulle/crawl/internal/canon"
)

// maxDocument is the largest page that is parsed into a tree: the tree takes ten times as much memory.
const maxDocument = 64 << 20

// dom is a parsed page. Empty, never nil, if there is none.
type dom struct {
	doc  *goquery.Document
	base *url.URL
}

// Selectors keeps compiled CSS and XPath selectors, up to a thousand of each. It is safe for concurrent use; nil compiles each time.
type Selectors struct {
	mu    sync.RWMutex
	css   map[string]*cssSelector // Guarded by mu.
	xpath map[string]*xpath.Expr  // Guarded by mu.
}

const maxSelectors = 1000

// cssSelector is a selector and what is to be taken of each element it matches.
type cssSelector struct {
	match cascadia.Selector
	take  take
	attr  string
}

type take int

const (
	takeText    take = iota // all text below the element
	takeOwnText             // ::text
	takeAttr                // ::attr(name)
)

func (s *Selectors) compileCSS(selector string) (*cssSelector, error) {
	if s != nil {
		s.mu.RLock()
		c := s.css[selector]
		s.mu.RUnlock()
		if c != nil {
			return c, nil
		}
	}
	c, err := parseCSS(selector)
	if err != nil {
		return nil, err
	}
	if s != nil {
		s.mu.Lock()
		if s.css == nil {
			s.css = make(map[string]*cssSelector)
		}
		if len(s.css) < maxSelectors {
			s.css[selector] = c
		}
		s.mu.Unlock()
	}
	return c, nil
}

func parseCSS(selector string) (*cssSelector, error) {
	c := &cssSelector{}
	plain := strings.TrimSpace(selector)
	if rest, ok := strings.CutSuffix(plain, "::text"); ok {
		plain, c.take = rest, takeOwnText
	} else if i := strings.LastIndex(plain, "::attr("); i >= 0 && strings.HasSuffix(plain, ")") {
		c.take, c.attr = takeAttr, strings.ToLower(strings.TrimSpace(plain[i+len("::attr("):len(plain)-1]))
		plain = plain[:i]
	}
	if plain == "" || strings.HasSuffix(plain, " ") {
		plain += "*"
	}
	m, err := cascadia.Compile(plain)
	if err != nil {
		return nil, fmt.Errorf("css selector %q: %w", selector, err)
	}
	c.match = m
	return c, nil
}

// document parses the page at the first call. A page that cannot be parsed has an empty document and an error in Err.
func (r *Response) document() dom {
	r.page.domOnce.Do(func() {
		d, err := r.parse()
		if err != nil {
			r.fail(err)
		}
		if d.doc == nil {
			d.doc = goquery.NewDocumentFromNode(&html.Node{Type: html.DocumentNode})
		}
		if d.base == nil {
			d.base = r.URL
		}
		r.page.dom = d
	})
	return r.page.dom
}

func (r *Response) parse() (dom, error) {
	if r.Body.Size() > maxDocument {
		return dom{}, fmt.Errorf("page of %d bytes is too large for selectors (at most %d); read it by Body.Open", r.Body.Size(), maxDocument)
	}
	b, err := r.Bytes()
	if err != nil {
		return dom{}, err
	}
	if called := binaryType(b); called != "" && called != "application/octet-stream" { // which may be a page with a stray NUL
		return dom{}, fmt.Errorf("page is %s, not HTML", called)
	}
	if r.Kind() == BodyJSON {
		if kind, _ := looksLike(b[:min(len(b), sniffed)]); kind == BodyJSON {
			return dom{}, errors.New("page is JSON, not HTML: read it by JSON")
		}
	}
	text, err := r.decode(b)
	if err != nil {
		return dom{}, err
	}
	root, err := html.Parse(text)
	if err != nil {
		// The parser gives up on more than 512 open elements, and with it the page. Without the tags beyond a depth it keeps nearly all.
		if _, serr := text.Seek(0, io.SeekStart); serr != nil {
			return dom{}, fmt.Errorf("parse page: %w", err)
		}
		if root, err = html.Parse(bytes.NewReader(flattenDeep(text))); err != nil {
			return dom{}, fmt.Errorf("parse page: %w", err)
		}
	}
	return dom{doc: goquery.NewDocumentFromNode(root), base: baseURL(root, r.URL)}, nil
}

// flattenDeep copies a page without the tags that stand deeper than the parser takes. Links stay at any depth: one link ends the one before it, so they do not nest.
func flattenDeep(r io.Reader) []byte {
	const deepest = 400
	type element struct {
		name string
		kept bool
	}
	var (
		out  bytes.Buffer
		open []element
		kept int
		of   = make(map[string]int) // how many are open, by name
	)
	pop := func() element {
		e := open[len(open)-1]
		open = open[:len(open)-1]
		of[e.name]--
		if e.kept {
			kept--
		}
		return e
	}
	z := html.NewTokenizer(r)
	for {
		switch z.Next() {
		case html.ErrorToken:
			return out.Bytes()
		case html.StartTagToken:
			raw := z.Raw()
			tag, _ := z.TagName()
			kind := atom.Lookup(tag)
			if kind == atom.A || isVoid(kind) {
				out.Write(raw)
				continue
			}
			e := element{string(tag), kept < deepest}
			if e.kept {
				kept++
				out.Write(raw)
			}
			open = append(open, e)
			of[e.name]++
		case html.EndTagToken:
			raw := z.Raw()
			tag, _ := z.TagName()
			name := string(tag)
			if of[name] == 0 { // a link's, or one that closes nothing
				out.Write(raw)
				continue
			}
			e := pop()
			for e.name != name {
				e = pop()
			}
			if e.kept {
				out.Write(raw)
			}
		default:
			out.Write(z.Raw())
		}
	}
}

func isVoid(a atom.Atom) bool {
	switch a {
	case atom.Area, atom.Base, atom.Br, atom.Col, atom.Embed, atom.Hr, atom.Img, atom.Input, atom.Link, atom.Meta, atom.Source, atom.Track, atom.Wbr:
		return true
	}
	return false
}

// baseURL is the page's address, or what its first <base href> makes of it.
func baseURL(root *html.Node, page *url.URL) *url.URL {
	var find func(n *html.Node) (string, bool)
	find = func(n *html.Node) (string, bool) {
		if n.Type == html.ElementNode {
			switch n.DataAtom {
			case atom.Base:
				for _, a := range n.Attr {
					if a.Key == "href" {
						return strings.TrimSpace(a.Val), true
					}
				}
			case atom.Body: // a base further down is none
				return "", false
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			if href, ok := find(c); ok {
				return href, true
			}
		}
		return "", false
	}
	if href, ok := find(root); ok && href != "" && page != nil {
		if u, err := canon.Resolve(page, href); err == nil && (u.Scheme == "http" || u.Scheme == "https" || u.Scheme == page.Scheme) {
			return u
		}
	}
	return page
}

// CSS selects elements. A malformed selector selects nothing and is reported by Err. A ::text or ::attr(name) at the end, which Text, Texts and Attr obey, is left
// aside here.
func (r *Response) CSS(selector string) *goquery.Selection {
	c, err := r.Selectors.compileCSS(selector)
	d := r.document()
	if err != nil {
		r.fail(err)
		return d.doc.Slice(0, 0)
	}
	return d.doc.FindMatcher(c.match)
}

// Text is the trimmed text of the first match, runs of white space made one space; "" if there is none. With ::text it is that of the element's own text alone,
// with ::attr(name) the attribute's value.
func (r *Response) Text(selector string) string {
	var first string
	r.each(selector, func(s string) bool { first = s; return false })
	return first
}

// Texts is the text of each match, as Text has it.
func (r *Response) Texts(selector string) []string {
	var all []string
	r.each(selector, func(s string) bool { all = append(all, s); return true })
	return all
}

func (r *Response) each(selector string, f func(string) bool) {
	c, err := r.Selectors.compileCSS(selector)
	if err != nil {
		r.fail(err)
		return
	}
	for n := range r.matches(c) {
		var s string
		switch c.take {
		case takeText:
			s = nodeText(n, true)
		case takeOwnText:
			s = nodeText(n, false)
		case takeAttr:
			v, ok := nodeAttr(n, c.attr)
			if !ok {
				continue
			}
			s = v
		}
		if !f(s) {
			return
		}
	}
}

// matches yields the elements that a selector matches, in document order. It looks no further than its caller does.
func (r *Response) matches(c *cssSelector) iter.Seq[*html.Node] {
	root := r.document().doc.Nodes[0]
	return func(yield func(*html.Node) bool) {
		for n := root; n != nil; n = following(n) {
			if n.Type == html.ElementNode && c.match(n) && !yield(n) {
				return
			}
		}
	}
}

// following is the next node in document order, nil after the last.
func following(n *html.Node) *html.Node {
	if n.FirstChild != nil {
		return n.FirstChild
	}
	for n != nil && n.NextSibling == nil {
		n = n.Parent
	}
	if n == nil {
		return nil
	}
	return n.NextSibling
}

// Attr is the trimmed value of an attribute of the first match that has it, "" if none has.
func (r *Response) Attr(selector, name string) string {
	c, err := r.Selectors.compileCSS(selector)
	if err != nil {
		r.fail(err)
		return ""
	}
	name = strings.ToLower(name)
	for n := range r.matches(c) {
		if v, ok := nodeAttr(n, name); ok {
			return v
		}
	}
	return ""
}

// URLs are the addresses that the matches point to: href or src, made absolute; <base href> is honoured. Those that cannot be put right are left out.
func (r *Response) URLs(selector string) []string {
	var all []string
	base := r.document().base
	r.refs(selector, func(ref string) bool {
		if u, err := resolve(base, ref); err == nil {
			all = append(all, u.String())
		}
		return true
	})
	return all
}

// refs calls f with the href or src values of the matches, or the values that ::attr names, until it returns false.
func (r *Response) refs(selector string, f func(ref string) bool) {
	c, err := r.Selectors.compileCSS(selector)
	if err != nil {
		r.fail(err)
		return
	}
	for n := range r.matches(c) {
		var v string
		var ok bool
		if c.take == takeAttr {
			v, ok = nodeAttr(n, c.attr)
		} else if v, ok = nodeAttr(n, "href"); !ok {
			v, ok = nodeAttr(n, "src")
		}
		if ok && !f(v) {
			return
		}
	}
}

// Join makes a reference found on the page absolute; <base href> is honoured.
func (r *Response) Join(ref string) (*url.URL, error) { return resolve(r.base(), ref) }

// base is what references are resolved against. A page that is not HTML is not parsed for it.
func (r *Response) base() *url.URL {
	if r.Kind() == BodyHTML {
		return r.document().base
	}
	return r.URL
}

func resolve(base *url.URL, ref string) (*url.URL, error) {
	if base == nil {
		return nil, errors.New("the response has no URL")
	}
	return canon.Resolve(base, ref)
}

func nodeAttr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return strings.TrimSpace(a.Val), true
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

// instead is what a page looks like that was taken for JSON, for an error.
func (r *Response) instead() string {
	kind, called := looksLike(r.Body.head(sniffed))
	switch kind {
	case BodyHTML, BodyXML:
		return string(kind) + ", "
	case BodyBinary:
		return called + ", "
	}
	return ""
}

// JSON looks a path up in a JSON page, in the syntax of gjson: "items.#.price". A page that is not JSON gives no result, and an error in Err.
func (r *Response) JSON(path string) gjson.Result {
	r.page.jsonOnce.Do(func() {
		s, err := r.Decoded()
		switch {
		case err != nil:
			r.fail(err)
		case !gjson.Valid(s):
			r.fail(fmt.Errorf("page is %snot JSON: it begins with %.40q", r.instead(), s))
		default:
			r.page.json = s
		}
	})
	if r.page.json == "" {
		return gjson.Result{}
	}
	return gjson.Get(r.page.json, path)
}

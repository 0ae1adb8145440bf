package crawl

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"github.com/PuerkitoBio/goquery"
	"github.com/jmespath-community/go-jmespath"
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

// Selectors keeps compiled selectors, expressions and the plans of [Extract], about a thousand of each kind. It is safe for concurrent use; nil compiles each time.
type Selectors struct {
	css      kept[string, *cssSelector]
	xpath    kept[string, *xpathExpr]
	regexp   kept[string, *regexp.Regexp]
	jmespath kept[string, jmespath.JMESPath]
	plans    kept[planKey, *plan]
}

// kept is a cache of compiled things. One that is full begins anew: what a program writes down fits, what it puts together page by page never would.
type kept[K comparable, V any] struct {
	mu sync.RWMutex
	m  map[K]V // Guarded by mu.
}

const maxSelectors = 1000

// get returns what is kept for a key, or makes it. Errors are not kept. k may be nil.
func (k *kept[K, V]) get(key K, build func() (V, error)) (V, error) {
	if k == nil {
		return build()
	}
	k.mu.RLock()
	v, ok := k.m[key]
	k.mu.RUnlock()
	if ok {
		return v, nil
	}
	v, err := build()
	if err != nil {
		return v, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.m == nil || len(k.m) >= maxSelectors {
		k.m = make(map[K]V)
	}
	k.m[key] = v
	return v, nil
}

func (s *Selectors) compileCSS(selector string) (*cssSelector, error) {
	var k *kept[string, *cssSelector]
	if s != nil {
		k = &s.css
	}
	return k.get(selector, func() (*cssSelector, error) { return parseCSS(selector) })
}

// document parses the page at the first call. A page that cannot be parsed has an empty document and an error in Err.
func (r *Response) document() dom {
	r.page.domOnce.Do(func() {
		d, err := r.parse()
		if r.page.domErr = err; err != nil {
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
		return dom{}, fmt.Errorf("page of %d bytes is too large for selectors (at most %d); read it by Body.Open, or by XMLNodes if it is XML", r.Body.Size(), maxDocument)
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
	if r.isXML() {
		root, err := parseXML(bytes.NewReader(text))
		return dom{doc: goquery.NewDocumentFromNode(root)}, err
	}
	root, n, err := parseHTML(text)
	if err != nil {
		return dom{}, err
	}
	var policy uint32
	if n.referrer {
		policy = pagePolicy(root)
	}
	r.page.referrer.Store(policy + 1)
	return dom{doc: goquery.NewDocumentFromNode(root), base: baseURL(root, r.URL, n.base)}, nil
}

// baseURL is the page's address, or what its first <base href> makes of it. Browsers take that wherever it stands; deep says that it may stand below the
// head: not every page is walked to its end for the few where it does.
func baseURL(root *html.Node, page *url.URL, deep bool) *url.URL {
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
			case atom.Body:
				if !deep {
					return "", false
				}
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

// following is the next node in document order, nil after the last.
func following(n *html.Node) *html.Node { return followingIn(n, nil) }

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

// nodeAttr is the trimmed value of an attribute. In HTML its name is that of the source in lower case, also where the parser has taken the prefix off (xlink:href).
func nodeAttr(n *html.Node, name string) (string, bool) {
	for i := range n.Attr {
		a := &n.Attr[i]
		if a.Key == name || a.Namespace != "" && len(name) == len(a.Namespace)+1+len(a.Key) && name[len(a.Namespace)] == ':' &&
			strings.HasPrefix(name, a.Namespace) && strings.HasSuffix(name, a.Key) {
			return strings.TrimSpace(a.Val), true
		}
	}
	return "", false
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

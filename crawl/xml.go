package crawl

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/text/encoding/unicode"
)

const (
	// maxXMLDepth is how deep elements may stand in each other: real documents need a few dozen, and a stack is walked recursively.
	maxXMLDepth = 1000
	// streamHead is how much of a document is looked at for its charset when it is read as a stream.
	streamHead = 64 << 10
)

// isXML reports whether selectors read the body as XML. What is called XML and is a page, they read as a page.
func (r *Response) isXML() bool {
	return r.Kind() == BodyXML && !saysHTML(r.Body.head(sniffed))
}

// saysHTML reports whether a body calls itself HTML.
func saysHTML(head []byte) bool {
	lower := bytes.ToLower(narrow(head))
	return bytes.Contains(lower, []byte("<html")) || bytes.Contains(lower, []byte("<!doctype html"))
}

// XMLNodes reads an XML document as a stream and yields the elements that path names, one after the other, each with all that is in it; only one is in memory
// at a time, so a document may have any size. path is a name for elements anywhere ("item"), several for where they stand ("channel/item"), or all of them from
// the root ("/rss/channel/item"). A prefix is matched as the document writes it ("g:item"), or by its address if [Vars] has one for it ("xmlns:g"); * stands
// for any name, *:item for any prefix. What is named within what is named is part of it, and not yielded again.
//
// A malformed document yields what comes before, and then the error, with its line: the document ends early, is no XML, or an element is larger than 64 MiB.
// What browsers and feed readers forgive is forgiven: attributes without quotes or values, a stray & or < or ]]>, two hyphens in a comment, end tags that are missing or close
// nothing, entities of HTML, control characters, which become spaces. Other entities are left as they are written, whatever the document declares, so none can grow.
func (r *Response) XMLNodes(path string, with ...Vars) iter.Seq2[Node, error] {
	return func(yield func(Node, error) bool) {
		steps, err := parseXMLPath(path, with)
		if err != nil {
			yield(Node{}, err)
			return
		}
		if err := r.refuseXML(); err != nil {
			yield(Node{}, err)
			return
		}
		text, err := r.openText()
		if err != nil {
			yield(Node{}, err)
			return
		}
		defer text.Close()
		b := newXMLBuilder(text)
		b.steps = steps
		for {
			n, err := b.next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(Node{}, err)
				return
			}
			if !yield(Node{Node: n, page: r}, nil) {
				return
			}
		}
	}
}

// refuseXML is why the body is certainly no XML, nil if it may be.
func (r *Response) refuseXML() error {
	head := r.Body.head(sniffed)
	kind, called := looksLike(head)
	switch {
	case kind == BodyBinary && called != "application/octet-stream": // which may be a document with a stray control character
		return fmt.Errorf("body is %s, not XML", called)
	case kind == BodyJSON:
		return errors.New("body is JSON, not XML: read it by JSON")
	case saysHTML(head) && !bytes.Contains(narrow(head), []byte("<?xml")):
		return errors.New("body is HTML, not XML")
	}
	return nil
}

// openText reads the body as UTF-8, as a stream. The charset is worked out of its beginning.
func (r *Response) openText() (io.ReadCloser, error) {
	head := r.Body.head(streamHead)
	if r.Body.Size() > int64(len(head)) { // the last character may be cut through
		for cut := 1; cut < utf8.UTFMax && cut <= len(head); cut++ {
			if c := head[len(head)-cut]; utf8.RuneStart(c) {
				if c >= utf8.RuneSelf && !utf8.FullRune(head[len(head)-cut:]) {
					head = head[:len(head)-cut]
				}
				break
			}
		}
	}
	enc, err := r.encodingOf(head)
	if err != nil {
		return nil, err
	}
	if enc == nil {
		enc = unicode.UTF8
	}
	f, err := r.Body.Open()
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{enc.NewDecoder().Reader(f), f}, nil
}

// An xmlStep is one name of a path.
type xmlStep struct {
	prefix, local string // "*" is any
	space         string // the namespace's address, which then counts instead of the prefix
}

type xmlSteps struct {
	names []xmlStep
	root  bool // the first name is the document's
}

func parseXMLPath(path string, with []Vars) (xmlSteps, error) {
	var s xmlSteps
	rest := strings.TrimSpace(path)
	switch {
	case strings.HasPrefix(rest, ".//"):
		rest = rest[3:]
	case strings.HasPrefix(rest, "//"):
		rest = rest[2:]
	case strings.HasPrefix(rest, "/"):
		rest, s.root = rest[1:], true
	}
	for name := range strings.SplitSeq(rest, "/") {
		if name == "" || strings.ContainsAny(name, "[]()@$|,'\" \t\n") || strings.Count(name, ":") > 1 {
			return s, fmt.Errorf("xml path %q: %q is not the name of an element (for more than names use Node.XPath on what is yielded)", path, name)
		}
		step := xmlStep{local: name}
		if prefix, local, ok := strings.Cut(name, ":"); ok {
			step.prefix, step.local = prefix, local
			for _, v := range with {
				if uri, ok := v[xmlnsPrefix+prefix].(string); ok {
					step.space = uri
				}
			}
		} else if name == "*" {
			step.prefix = "*"
		}
		s.names = append(s.names, step)
	}
	return s, nil
}

func (s xmlStep) matches(n *html.Node) bool {
	prefix, local := splitName(n.Data)
	if s.local != "*" && s.local != local {
		return false
	}
	if s.space != "" {
		return n.Namespace == s.space
	}
	return s.prefix == "*" || s.prefix == prefix
}

// match reports whether an element is named by the path: it and those it stands in.
func (s xmlSteps) match(n *html.Node) bool {
	for _, step := range slices.Backward(s.names) {
		if n == nil || n.Type != html.ElementNode || !step.matches(n) {
			return false
		}
		n = n.Parent
	}
	return !s.root || n != nil && n.Type == html.DocumentNode
}

// splitName splits a name as it is written in XML.
func splitName(name string) (prefix, local string) {
	if i := strings.IndexByte(name, ':'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return "", name
}

// xmlRoot is the Data of a document's node that tells a tree of XML from one of HTML. In it, names are as they are written, with their prefixes; the Namespace
// of an element is its address. Comments are kept, processing instructions are not.
const xmlRoot = "xml"

// xmlBuilder makes trees of a document: one, or one for each element that steps name.
type xmlBuilder struct {
	in      *xmlScanner
	root    *html.Node
	at      *html.Node // what is open: the innermost element, or the root
	depth   int
	names   map[string]int      // how many are open, by name
	spaces  map[string][]string // what prefixes stand for, the innermost last
	text    strings.Builder
	steps   xmlSteps
	record  *html.Node // the element that is being read, if steps name some
	begun   int64      // where it begins
	nothing bool       // no element has come
	most    int        // bytes that a text, a tag, or an element which steps name may have
}

func newXMLBuilder(text io.Reader) *xmlBuilder {
	root := &html.Node{Type: html.DocumentNode, Data: xmlRoot}
	return &xmlBuilder{
		in: &xmlScanner{in: bufio.NewReaderSize(text, 32<<10), line: 1}, root: root, at: root, names: make(map[string]int), spaces: make(map[string][]string), nothing: true,
		most: maxDocument,
	}
}

// parseXML makes a document's tree. With an error it is what came before.
func parseXML(text io.Reader) (*html.Node, error) {
	b := newXMLBuilder(text)
	_, err := b.next()
	if err == io.EOF {
		err = nil
	}
	return b.root, err
}

// next returns the next element that steps name, or io.EOF after the last.
func (b *xmlBuilder) next() (*html.Node, error) {
	if b.record != nil { // Nothing holds the one before, which still knows where it stood.
		b.forget(b.at)
		b.record = nil
	}
	for {
		b.in.most = b.most
		if err := b.in.next(); err != nil {
			return nil, b.end(err)
		}
		if b.record != nil && b.in.offset-b.begun > int64(b.most) {
			return nil, b.fail("<%s> is larger than %d bytes", b.record.Data, b.most)
		}
		switch b.in.kind {
		case tokenStart:
			if err := b.open(); err != nil {
				return nil, err
			}
			if !b.in.empty {
				continue
			}
			fallthrough
		case tokenEnd:
			if n := b.close(b.in.name); n != nil {
				return n, nil
			}
		case tokenText:
			if b.keeps() {
				b.text.Write(b.in.text)
			}
		case tokenComment:
			if b.keeps() {
				b.flush()
				b.at.AppendChild(&html.Node{Type: html.CommentNode, Data: string(b.in.text)})
			}
		}
	}
}

// keeps reports whether what is read now is part of a tree.
func (b *xmlBuilder) keeps() bool {
	return b.depth > 0 && (b.record != nil || len(b.steps.names) == 0)
}

// end says what the end of the document, or an error of the reader, means.
func (b *xmlBuilder) end(err error) error {
	b.flush()
	switch {
	case err != io.EOF:
		return b.fail("%w", err)
	case b.at != b.root:
		return b.fail("the document ends inside <%s>", b.at.Data)
	case b.nothing:
		return b.fail("the document has no element")
	}
	return io.EOF
}

func (b *xmlBuilder) fail(format string, args ...any) error {
	return fmt.Errorf("xml line %d: %w", b.in.line, fmt.Errorf(format, args...))
}

func (b *xmlBuilder) flush() {
	if b.text.Len() > 0 {
		b.at.AppendChild(&html.Node{Type: html.TextNode, Data: b.text.String()})
		b.text.Reset()
	}
}

func (b *xmlBuilder) open() error {
	b.flush()
	b.nothing = false
	if b.depth++; b.depth > maxXMLDepth {
		return b.fail("more than %d elements stand in each other", maxXMLDepth)
	}
	n := &html.Node{Type: html.ElementNode, Data: b.in.name, Attr: b.in.attrs}
	for _, a := range slices.Backward(n.Attr) { // of two declarations of one prefix the first counts
		if prefix, ok := declares(a.Key); ok {
			b.spaces[prefix] = append(b.spaces[prefix], a.Val)
		}
	}
	b.at.AppendChild(n)
	prefix, _ := splitName(n.Data)
	n.Namespace = b.namespace(prefix)
	b.names[n.Data]++
	b.at = n
	if b.record == nil && len(b.steps.names) > 0 && b.steps.match(n) {
		b.record, b.begun = n, b.in.offset
	}
	return nil
}

// close closes the innermost element of a name, and what stands open in it. It returns the element that steps name if that is over.
func (b *xmlBuilder) close(name string) *html.Node {
	if b.names[name] == 0 {
		return nil
	}
	b.flush()
	var whole *html.Node
	for over := false; !over; {
		n := b.at
		over = n.Data == name
		if b.names[n.Data]--; b.names[n.Data] == 0 {
			delete(b.names, n.Data)
		}
		for _, a := range n.Attr {
			if prefix, ok := declares(a.Key); ok {
				if b.spaces[prefix] = b.spaces[prefix][:len(b.spaces[prefix])-1]; len(b.spaces[prefix]) == 0 {
					delete(b.spaces, prefix)
				}
			}
		}
		b.depth--
		b.at = n.Parent
		switch {
		case n == b.record:
			whole = n
		case b.record == nil && len(b.steps.names) > 0:
			b.forget(b.at) // nobody asked for it
		}
	}
	return whole
}

// forget lets go of what stands in an element.
func (*xmlBuilder) forget(n *html.Node) { n.FirstChild, n.LastChild = nil, nil }

// namespace is the address that a prefix stands for at the element that is open, "" if it stands for none.
func (b *xmlBuilder) namespace(prefix string) string {
	if address := knownNamespace(prefix); address != "" {
		return address
	}
	if open := b.spaces[prefix]; len(open) > 0 {
		return open[len(open)-1]
	}
	return ""
}

// namespaceOf is the address that a prefix stands for at an element of a tree.
func namespaceOf(n *html.Node, prefix string) string {
	if address := knownNamespace(prefix); address != "" {
		return address
	}
	for ; n != nil; n = n.Parent {
		for _, a := range n.Attr {
			if declared, ok := declares(a.Key); ok && declared == prefix {
				return a.Val
			}
		}
	}
	return ""
}

// knownNamespace is that of a prefix which needs no declaration.
func knownNamespace(prefix string) string {
	switch prefix {
	case "xml":
		return "http://www.w3.org/XML/1998/namespace"
	case "xmlns":
		return "http://www.w3.org/2000/xmlns/"
	}
	return ""
}

// declares is the prefix that an attribute declares, "" being that of names without one.
func declares(key string) (prefix string, ok bool) {
	if key == "xmlns" {
		return "", true
	}
	return strings.CutPrefix(key, xmlnsPrefix)
}

package crawl

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// parseHTML parses a page as a browser without scripts does: what is within noscript are elements. A page from which the parser would make far more than is
// written there, or on which it would give up, loses some tags, not its links and not its text. n is what was counted of its tags.
func parseHTML(page []byte) (root *html.Node, n tagCount, err error) {
	noScripts := html.ParseOptionEnableScripting(false)
	n = countTags(page)
	page = tameTags(page, n)
	root, err = html.ParseWithOptions(bytes.NewReader(page), noScripts)
	for _, f := range [...]flattening{{deepest: 400}, {deepest: 200, plain: true}, {deepest: 100, plain: true}, {deepest: 100, plain: true, once: true}} {
		if err == nil {
			return root, n, nil
		}
		root, err = html.ParseWithOptions(bytes.NewReader(f.flatten(page)), noScripts)
	}
	if err != nil {
		return nil, n, fmt.Errorf("parse page: %w", err)
	}
	return root, n, nil
}

// maxCopies is how many copies of formatting elements a page may lead to, beyond some for each of its tags. They take about 100 MB.
const (
	maxCopies  = 500_000
	tagCopies  = 4
	mostCopied = 30 // of a page that leads to more, so many formatting elements stay open at once
)

// tameTags copies a page without some formatting tags if they multiply, and without many html and body tags; else it returns the page. A formatting element
// that is not closed is copied into each element after it, so that 380 of them with an id each make 34 kB of paragraphs a tree of a million and a half.
func tameTags(page []byte, n tagCount) []byte {
	budget := maxCopies + tagCopies*int64(n.all)
	most := math.MaxInt
	if int64(n.formatting)*int64(n.all) > budget { // hardly ever
		look := formattingScan{most: most, budget: budget}
		if look.run(page); look.copies > budget {
			most = int(max(tagCopies, min(mostCopied, budget/int64(n.all))))
		}
	}
	if most == math.MaxInt && n.roots <= maxRoots {
		return page
	}
	drop := formattingScan{most: most, out: new(bytes.Buffer)}
	drop.run(page)
	return drop.out.Bytes()
}

// tagCount is what countTags counts.
type tagCount struct {
	all        int  // at most
	formatting int  // formatting elements that may be open at once: three of each that has no attributes, and one link; with many attributes one counts as several
	roots      int  // html and body, whose attributes are put together each time
	base       bool // there may be a base element
	referrer   bool // there may be a meta element that has a referrer policy
}

// maxRoots is how many html and body tags a page keeps.
const maxRoots = 64

func countTags(page []byte) (count tagCount) {
	plain, link, rest := 0, 0, len(page) // rest is what came after the last tag that was measured: each byte is measured once
	weight := func(tag []byte) int {
		if len(tag) <= rest {
			rest = len(tag) - tagLen(tag)
		}
		return 1 + (len(tag)-rest)/16
	}
	for {
		i := bytes.IndexByte(page, '<')
		if i < 0 {
			count.formatting += min(plain, 3*12) + link
			return count
		}
		page = page[i+1:]
		count.all++
		if len(page) < 2 || !mayCount(page[0]|0x20, page[1]|0x20) {
			continue
		}
		var name [len("strike")]byte
		n := 0
		for n < len(name) && n < len(page) && 'a' <= page[n]|0x20 && page[n]|0x20 <= 'z' {
			name[n] = page[n] | 0x20
			n++
		}
		if n == 0 || n == len(page) || page[n] != '>' && page[n] != '/' && page[n] > ' ' {
			continue
		}
		switch kind := atom.Lookup(name[:n]); {
		case kind == atom.A:
			link = max(link, weight(page[n:]))
		case kind == atom.Html, kind == atom.Body:
			count.roots++
		case kind == atom.Base:
			count.base = true
		case kind == atom.Meta:
			count.referrer = count.referrer || mentionsReferrer(page)
		case !isFormatting(kind):
		case page[n] == '>':
			plain++
		default:
			count.formatting += weight(page[n:])
		}
	}
}

// mayCount tells by the two bytes after a <, in lower case, whether it may be a tag that countTags counts. It is there for speed: nearly all tags are others.
func mayCount(first, second byte) bool {
	letter := 'a' <= second && second <= 'z'
	switch first {
	case 'a', 'i', 'u':
		return !letter
	case 'b':
		return !letter || second == 'i' || second == 'o' || second == 'a' // big, body, base
	case 's':
		return !letter || second == 'm' || second == 't'
	case 'c', 'f':
		return second == 'o'
	case 'e':
		return second == 'm'
	case 'm':
		return second == 'e' // meta
	case 'h', 't':
		return second == 't'
	}
	return false
}

// tagLen is how far it is to the end of a tag.
func tagLen(tag []byte) int {
	for i := 0; i < len(tag); i++ {
		switch tag[i] {
		case '>':
			return i
		case '=':
			for i+1 < len(tag) && tag[i+1] <= ' ' {
				i++
			}
			if i+1 < len(tag) && (tag[i+1] == '"' || tag[i+1] == '\'') {
				end := bytes.IndexByte(tag[i+2:], tag[i+1])
				if end < 0 {
					return len(tag)
				}
				i += 2 + end
			}
		}
	}
	return len(tag)
}

// isFormatting reports whether an element is opened again where one around it ends, and may be so many times. Of a and nobr there is only one.
func isFormatting(a atom.Atom) bool {
	switch a {
	case atom.B, atom.Big, atom.Code, atom.Em, atom.Font, atom.I, atom.S, atom.Small, atom.Strike, atom.Strong, atom.Tt, atom.U:
		return true
	}
	return false
}

// formattingScan goes through the tags of a page with the parser's list of formatting elements that are not closed: rather too many than too few.
type formattingScan struct {
	most   int           // how many of them stay; those beyond are dropped
	out    *bytes.Buffer // the page without those, if not nil
	budget int64         // ends the scan, if out is nil
	copies int64         // how many elements the parser makes of them, those with many attributes counted as several

	open    []openFormatting
	weight  int // of all that are open
	link    int // of the heaviest link
	floor   int // an end tag closes none below: it stands in a table or the like, and they outside
	dropped map[atom.Atom]int
	roots   int
	foreign int  // how many svg and math elements are open
	blurred bool // what is in svg or math has parts that are read by other rules than a tokenizer has: no end tag is believed any more
	hidden  int  // tags in such parts
}

type openFormatting struct {
	kind   atom.Atom
	tag    string
	weight int
}

// mostOpen is more than the parser takes.
const mostOpen = 512

func (s *formattingScan) run(page []byte) {
	s.dropped = make(map[atom.Atom]int)
	z := html.NewTokenizer(bytes.NewReader(page))
	for s.out != nil || s.copies <= s.budget {
		token := z.Next()
		if token == html.ErrorToken {
			return
		}
		raw := z.Raw()
		switch token {
		case html.StartTagToken, html.SelfClosingTagToken:
			raw = s.start(z, raw)
		case html.EndTagToken:
			name, _ := z.TagName()
			kind := atom.Lookup(name)
			s.copied(1)
			switch {
			case isFormatting(kind):
				if !s.end(kind) {
					raw = nil
				}
			case (kind == atom.Svg || kind == atom.Math) && s.foreign > 0:
				s.foreign--
			}
		default:
			if s.foreign == 0 {
				break
			}
			if token == html.TextToken {
				if n := countTags(raw); n.formatting > 0 { // which the parser takes for tags
					s.hidden += n.formatting
					s.copied(n.all)
					raw = nil
				}
			}
			s.blurred = s.blurred || bytes.HasPrefix(raw, []byte("<![CDATA["))
		}
		if s.out != nil {
			s.out.Write(raw)
		}
	}
}

// copied says that after so many tags what is open may be copied.
func (s *formattingScan) copied(tags int) {
	s.copies += int64(tags) * int64(s.weight+s.hidden+s.link)
}

// start takes note of a start tag and returns what stays of it.
func (s *formattingScan) start(z *html.Tokenizer, raw []byte) []byte {
	name, more := z.TagName()
	kind := atom.Lookup(name)
	switch {
	case isFormatting(kind), kind == atom.A:
	case kind == atom.Html, kind == atom.Body:
		if s.roots++; s.roots > maxRoots {
			return nil
		}
		return raw
	case kind == atom.Noscript:
		z.NextIsNotRawText()
		fallthrough
	default:
		s.around(kind, string(name))
		if !isVoid(kind) {
			s.copied(1)
		}
		return raw
	}
	tag, attrs, href := string(raw), 0, ""
	for more {
		var key, value []byte
		if key, value, more = z.TagAttr(); string(key) == "href" && href == "" {
			href = string(value)
		}
		attrs++
	}
	weight := 1 + attrs/2
	if kind == atom.A {
		if weight > s.most {
			tag, weight = `<a href="`+html.EscapeString(href)+`">`, 1
		}
		s.link = max(s.link, weight)
		return []byte(tag)
	}
	if len(s.open) >= mostOpen || weight > s.most-s.weight {
		s.dropped[kind]++
		return nil
	}
	first, same := 0, 0
	for i := len(s.open) - 1; i >= 0; i-- {
		if s.open[i].tag == tag {
			first = i
			same++
		}
	}
	if same >= 3 { // of those that are alike the parser keeps three
		s.close(first)
	}
	s.open = append(s.open, openFormatting{kind, tag, weight})
	s.weight += weight
	return raw
}

// end reports whether the end tag of a formatting element stays.
func (s *formattingScan) end(kind atom.Atom) bool {
	if s.dropped[kind] > 0 {
		s.dropped[kind]--
		return false
	}
	for i := len(s.open) - 1; i >= s.floor && !s.blurred; i-- {
		if s.open[i].kind == kind {
			s.close(i)
			break
		}
	}
	return true
}

func (s *formattingScan) close(i int) {
	s.weight -= s.open[i].weight
	s.open = slices.Delete(s.open, i, i+1)
	if i < s.floor {
		s.floor--
	}
}

// around takes note of a start tag within which end tags do not close what is outside.
func (s *formattingScan) around(kind atom.Atom, name string) {
	switch kind {
	case atom.Applet, atom.Caption, atom.Marquee, atom.Object, atom.Select, atom.Table, atom.Td, atom.Template, atom.Th:
		s.floor = len(s.open)
	case atom.Svg, atom.Math:
		s.foreign++
	case atom.Foreignobject, atom.Desc, atom.Mi, atom.Mn, atom.Mo, atom.Ms, atom.Mtext:
		s.blurred = s.blurred || s.foreign > 0
	default:
		s.blurred = s.blurred || s.foreign > 0 && name == "annotation-xml"
	}
}

// flattening leaves those tags out of a page that stand deeper than the parser takes, which gives up on more than 512 open elements, and with them on the page.
type flattening struct {
	deepest int  // how many elements are kept within each other
	plain   bool // without formatting elements, which stay open in more than they stand in, and pictures and formulas, in which links nest
	once    bool // only so many elements at all: what closes is not believed
}

// flatten copies a page without such tags. Links stay at any depth: one link ends the one before it, so they do not nest.
func (f flattening) flatten(page []byte) []byte {
	type element struct {
		name string
		kind atom.Atom
		cost int // how many elements it and those that it implies are, 0 if it is left out
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
		if !f.once {
			kept -= e.cost
		}
		return e
	}
	z := html.NewTokenizer(bytes.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return out.Bytes()
		case html.StartTagToken:
			raw := z.Raw()
			tag, _ := z.TagName()
			kind := atom.Lookup(tag)
			if kind == atom.A || isVoid(kind) || isRawText(kind) {
				out.Write(raw)
				continue
			}
			if kind == atom.Noscript {
				z.NextIsNotRawText()
			}
			e := element{name: string(tag), kind: kind}
			if kept < f.deepest && !(f.plain && (isFormatting(kind) || kind == atom.Nobr || kind == atom.Svg || kind == atom.Math)) {
				var parent atom.Atom
				if len(open) > 0 {
					parent = open[len(open)-1].kind
				}
				e.cost = costIn(parent, kind)
				kept += e.cost
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
			if e.cost > 0 {
				out.Write(raw)
			}
		default:
			out.Write(z.Raw())
		}
	}
}

// costIn is how many elements the parser makes of a start tag: the rows and bodies of tables come by themselves.
func costIn(parent, kind atom.Atom) int {
	switch {
	case kind == atom.Tr && parent == atom.Table, (kind == atom.Td || kind == atom.Th) && (parent == atom.Tbody || parent == atom.Thead || parent == atom.Tfoot):
		return 2
	case (kind == atom.Td || kind == atom.Th) && parent == atom.Table:
		return 3
	}
	return 1
}

func isVoid(a atom.Atom) bool {
	switch a {
	case atom.Area, atom.Base, atom.Br, atom.Col, atom.Embed, atom.Hr, atom.Img, atom.Input, atom.Link, atom.Meta, atom.Param, atom.Source, atom.Track, atom.Wbr:
		return true
	}
	return false
}

// isRawText reports whether there are no elements within one: it stays, since its text would be read as tags without it.
func isRawText(a atom.Atom) bool {
	switch a {
	case atom.Iframe, atom.Noembed, atom.Noframes, atom.Plaintext, atom.Script, atom.Style, atom.Textarea, atom.Title, atom.Xmp:
		return true
	}
	return false
}

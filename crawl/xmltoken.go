package crawl

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// What an xmlScanner finds.
const (
	tokenText = iota
	tokenStart
	tokenEnd
	tokenComment
)

// xmlScanner takes XML apart, of which it demands nothing but that a tag, a comment and CDATA come to an end: encoding/xml refuses the documents of too many shops.
// Declarations and processing instructions are read over.
type xmlScanner struct {
	in     *bufio.Reader
	most   int   // bytes of what is found
	line   int   // of what is read next
	offset int64 // of what is read next, in bytes

	kind  int              // of what was found
	name  string           // of a tag, with its prefix
	attrs []html.Attribute // of a start tag, which may keep them
	empty bool             // the start tag is the end tag too
	text  []byte           // of a text or comment, until the next call

	raw    []byte
	markup bool              // the < of the next tag was read
	names  map[string]string // those of tags and attributes, by themselves, so that one that comes again costs nothing
}

var errTokenTooLarge = errors.New("a text or tag is too large")

// next finds the next text, tag or comment, or io.EOF.
func (s *xmlScanner) next() error {
	for {
		if !s.markup {
			if found, err := s.plain(); found || err != nil {
				return err
			}
		}
		s.markup, s.raw = false, s.raw[:0]
		line := s.line
		what, found, err := s.tag()
		if err == io.EOF {
			return fmt.Errorf("the document ends inside a %s that begins in line %d", what, line)
		}
		if found || err != nil {
			return err
		}
	}
}

// plain reads a text, and the < behind it. found is false if there is none before the next tag.
func (s *xmlScanner) plain() (found bool, err error) {
	s.raw = s.raw[:0]
	for !s.markup {
		err := s.take('<')
		if err == io.EOF && len(s.raw) > 0 {
			break
		}
		if err != nil {
			return false, err
		}
		s.markup = s.isMarkup()
	}
	if s.markup {
		s.raw = s.raw[:len(s.raw)-1]
	}
	s.kind, s.text = tokenText, unescapeXML(cleanXML(s.raw))
	return len(s.raw) > 0, nil
}

// isMarkup reports whether a < begins something: "3 < 4" is a text.
func (s *xmlScanner) isMarkup() bool {
	head, _ := s.in.Peek(1 + utf8.UTFMax)
	if len(head) == 0 {
		return false
	}
	switch rest := head[1:]; head[0] {
	case '!':
		return len(rest) > 0 && (strings.IndexByte("-[>", rest[0]) >= 0 || beginsName(rest))
	case '?':
		return beginsName(rest)
	case '/':
		return len(rest) > 0 && (rest[0] == '>' || isXMLSpace(rest[0]) || beginsName(rest))
	}
	return beginsName(head)
}

func beginsName(b []byte) bool {
	c, _ := utf8.DecodeRune(b)
	return c == '_' || c == ':' || c != utf8.RuneError && unicode.IsLetter(c)
}

func isXMLSpace(c byte) bool { return c <= ' ' } // what is no white space among them becomes some

// tag reads what a < begins. found is false for what nobody wants. what names it for an error.
func (s *xmlScanner) tag() (what string, found bool, err error) {
	head, _ := s.in.Peek(len("!DOCTYPE"))
	switch {
	case bytes.HasPrefix(head, []byte("!--")):
		s.kind, what, found = tokenComment, "comment", true
		s.text, err = s.through("!--", "-->")
	case bytes.HasPrefix(head, []byte("![CDATA[")):
		s.kind, what, found = tokenText, "CDATA section", true
		s.text, err = s.through("![CDATA[", "]]>")
	case bytes.EqualFold(head, []byte("!DOCTYPE")):
		what, err = "document type declaration", s.doctype()
	case head[0] == '!':
		what = "declaration"
		_, err = s.through("!", ">")
	case head[0] == '?' && bytes.HasPrefix(head, []byte("?xml")) && len(head) > 4 && isXMLSpace(head[4]):
		what = "declaration" // which is often closed as a tag is
		_, err = s.through("?xml", ">")
	case head[0] == '?':
		what = "processing instruction"
		_, err = s.through("?", "?>")
	case head[0] == '/':
		var name []byte
		s.kind, what = tokenEnd, "tag"
		name, err = s.through("/", ">")
		name = bytes.TrimLeftFunc(name, unicode.IsSpace)
		if end := bytes.IndexFunc(name, unicode.IsSpace); end >= 0 {
			name = name[:end]
		}
		s.name, found = s.intern(name), len(name) > 0
	default:
		s.kind, what, found = tokenStart, "tag", true
		if err = s.wholeTag(); err == nil {
			s.start()
		}
	}
	return what, found, err
}

// take reads through the next delim, onto raw.
func (s *xmlScanner) take(delim byte) error {
	for {
		piece, err := s.in.ReadSlice(delim)
		s.offset += int64(len(piece))
		s.line += bytes.Count(piece, []byte{'\n'})
		if len(s.raw)+len(piece) > s.most {
			return errTokenTooLarge
		}
		s.raw = append(s.raw, piece...)
		if err != bufio.ErrBufferFull {
			return err
		}
	}
}

// through reads begin, which is there, and all that comes before end, and end. It returns what stands between them.
func (s *xmlScanner) through(begin, end string) ([]byte, error) {
	for {
		if err := s.take(end[len(end)-1]); err != nil {
			return nil, err
		}
		if inner := s.raw[min(len(begin), len(s.raw)):]; bytes.HasSuffix(inner, []byte(end)) {
			return cleanXML(inner[:len(inner)-len(end)]), nil
		}
	}
}

// wholeTag reads a tag to its >, which is not one in quotes. They are quotes behind a = alone.
func (s *xmlScanner) wholeTag() error {
	var quote byte
	value := false // a = was the last but for white space
	for looked := 0; ; {
		if err := s.take('>'); err != nil {
			return err
		}
		for _, c := range s.raw[looked:] {
			switch {
			case quote != 0:
				if c == quote {
					quote = 0
				}
			case value && (c == '"' || c == '\''):
				quote, value = c, false
			case c == '=':
				value = true
			case !isXMLSpace(c):
				value = false
			}
		}
		if quote == 0 {
			return nil
		}
		looked = len(s.raw)
	}
}

// doctype reads over a document type declaration, with the declarations in it.
func (s *xmlScanner) doctype() error {
	var quote byte
	var skip string // the end of a comment or instruction
	subset, depth := false, 0
	for looked := 0; ; looked = len(s.raw) {
		if err := s.take('>'); err != nil {
			return err
		}
		for i := looked; i < len(s.raw); i++ {
			c, here := s.raw[i], s.raw[:i+1]
			switch {
			case skip != "":
				if bytes.HasSuffix(here, []byte(skip)) {
					skip = ""
					depth--
				}
			case c == '>' && !subset: // in quotes too: that one was not closed
				return nil
			case quote != 0:
				if c == quote {
					quote = 0
				}
			case (c == '"' || c == '\'') && (depth > 0 || !subset):
				quote = c
			case c == '[' && depth == 0:
				subset = true
			case c == ']' && depth == 0:
				subset = false
			case c == '<':
				depth++
			case c == '>' && depth > 0:
				depth--
			case c == '-' && bytes.HasSuffix(here, []byte("<!--")):
				skip = "-->"
			case c == '?' && bytes.HasSuffix(here, []byte("<?")):
				skip = "?>"
			}
		}
	}
}

// start takes a start tag apart.
func (s *xmlScanner) start() {
	rest := bytes.TrimRightFunc(cleanXML(s.raw[:len(s.raw)-1]), unicode.IsSpace)
	rest, s.empty = bytes.CutSuffix(rest, []byte("/"))
	word := func(ends string) []byte {
		end := bytes.IndexAny(rest, ends)
		if end < 0 {
			end = len(rest)
		}
		var w []byte
		w, rest = rest[:end], rest[end:]
		return w
	}
	s.name, s.attrs = s.intern(word(" \t\n/")), nil
	for {
		rest = bytes.TrimLeft(rest, " \t\n/=")
		if len(rest) == 0 {
			return
		}
		a := html.Attribute{Key: s.intern(word(" \t\n/="))}
		if value := bytes.TrimLeft(rest, " \t\n"); len(value) > 0 && value[0] == '=' {
			rest = bytes.TrimLeft(value[1:], " \t\n")
			var v []byte
			if len(rest) > 0 && (rest[0] == '"' || rest[0] == '\'') {
				quote := string(rest[:1])
				rest = rest[1:]
				v = word(quote)
				rest = bytes.TrimPrefix(rest, []byte(quote))
			} else {
				v = word(" \t\n")
			}
			a.Val = string(unescapeXML(v))
		}
		s.attrs = append(s.attrs, a)
	}
}

// maxXMLNames is how many different names are kept.
const maxXMLNames = 1000

func (s *xmlScanner) intern(name []byte) string {
	if known, ok := s.names[string(name)]; ok {
		return known
	}
	own := string(name)
	if len(s.names) < maxXMLNames && len(own) < 100 {
		if s.names == nil {
			s.names = make(map[string]string)
		}
		s.names[own] = own
	}
	return own
}

// cleanXML makes one line end of those that there are, and spaces of control characters, which XML has not and feeds have. It changes b.
func cleanXML(b []byte) []byte {
	i := bytes.IndexFunc(b, func(c rune) bool { return c < ' ' && c != '\t' && c != '\n' })
	if i < 0 {
		return b
	}
	to := i
	for ; i < len(b); i++ {
		c := b[i]
		switch {
		case c == '\r':
			if i+1 < len(b) && b[i+1] == '\n' {
				continue
			}
			c = '\n'
		case c < ' ' && c != '\t' && c != '\n':
			c = ' '
		}
		b[to] = c
		to++
	}
	return b[:to]
}

// maxXMLReference is how long a reference is at most: beyond, an ampersand is one.
const maxXMLReference = 32

// unescapeXML replaces the references to characters, and to the entities of XML and HTML; others are left as they are. No character is longer than its reference, so it is done
// in b.
func unescapeXML(b []byte) []byte {
	i := bytes.IndexByte(b, '&')
	if i < 0 {
		return b
	}
	out := b[:i]
	for b = b[i:]; ; {
		text, n := reference(b)
		if n == 0 {
			text, n = "&", 1
		}
		out, b = append(out, text...), b[n:]
		if i = bytes.IndexByte(b, '&'); i < 0 {
			return append(out, b...)
		}
		out, b = append(out, b[:i]...), b[i:]
	}
}

// reference is what the reference at the beginning of b stands for, and how long it is: 0 if it is none.
func reference(b []byte) (text string, n int) {
	end := bytes.IndexByte(b[:min(len(b), maxXMLReference)], ';')
	if end < 2 {
		return "", 0
	}
	n = end + 1
	name := string(b[1:end])
	switch name {
	case "amp":
		return "&", n
	case "lt":
		return "<", n
	case "gt":
		return ">", n
	case "quot":
		return `"`, n
	case "apos":
		return "'", n
	}
	digits, ok := strings.CutPrefix(name, "#")
	if !ok {
		if text = xml.HTMLEntity[name]; text == "" {
			n = 0
		}
		return text, n
	}
	c, ok := charReference(digits)
	if !ok {
		return "", 0
	}
	if c >= 0xd800 && c < 0xdc00 { // Some write two halves of a character.
		if next, ok := bytes.CutPrefix(b[n:], []byte("&#")); ok {
			if end := bytes.IndexByte(next[:min(len(next), maxXMLReference)], ';'); end > 0 {
				if low, ok := charReference(string(next[:end])); ok && low >= 0xdc00 && low < 0xe000 {
					return string((c-0xd800)<<10 + low - 0xdc00 + 0x10000), n + len("&#") + end + 1
				}
			}
		}
	}
	if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
		c = ' '
	}
	return string(c), n // which is U+FFFD where there is no such character
}

// charReference is the number of a character.
func charReference(digits string) (rune, bool) {
	base := 10
	if len(digits) > 1 && digits[0]|0x20 == 'x' {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, base, 31)
	return rune(n), err == nil
}

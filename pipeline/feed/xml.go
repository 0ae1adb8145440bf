package feed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/tulle-go/tulle/crawl"
)

// markup is XML in the shape of Scrapy's XmlItemExporter. What stands in it is in doc.go.
type markup struct {
	object
	conf       crawl.Feed
	root, item string
	keys       map[string]gjson.Result
	indent     int // spaces for each level, 0: an item a line
	names      map[string]string
}

var _ crawl.FeedAppender = (*markup)(nil)

func newMarkup(conf crawl.Feed) (*markup, error) {
	m := &markup{conf: conf, root: conf.XML.Root, item: conf.XML.Item, indent: max(conf.Indent, 0), names: make(map[string]string)}
	if m.root == "" {
		m.root = "items"
	}
	if m.item == "" {
		m.item = "item"
	}
	for _, name := range []string{m.root, m.item} {
		if escapedName(name) != name {
			return nil, fmt.Errorf("%q is no name of an XML element: want letters, digits, - _ and ., and a letter first", name)
		}
	}
	return m, nil
}

func (m *markup) Begin(any) ([]byte, error) {
	return []byte(`<?xml version="1.0" encoding="utf-8"?>` + "\n<" + m.root + ">"), nil
}

func (*markup) Between() []byte { return nil }
func (m *markup) End() []byte   { return []byte("\n</" + m.root + ">\n") }

func (m *markup) Record(dst []byte, item any) ([]byte, error) {
	b, err := m.marshal(item)
	if err != nil {
		return dst, err
	}
	return m.recordJSON(dst, item, b)
}

// recordJSON implements fromJSON.
func (m *markup) recordJSON(dst []byte, _ any, b []byte) ([]byte, error) {
	start := len(dst)
	dst = m.newLine(append(dst, '\n'), 1, false)
	dst = append(append(append(dst, '<'), m.item...), '>')
	some := false
	field := func(name string, v gjson.Result) {
		if v.Type == gjson.Null {
			return
		}
		if to, ok := m.conf.Rename[name]; ok {
			name = to
		}
		dst, some = m.element(dst, name, v, 2), true
	}
	if len(m.conf.Fields) == 0 {
		gjson.ParseBytes(b).ForEach(func(k, v gjson.Result) bool {
			field(k.String(), v)
			return true
		})
	} else {
		if m.keys == nil {
			m.keys = make(map[string]gjson.Result)
		}
		clear(m.keys)
		gjson.ParseBytes(b).ForEach(func(k, v gjson.Result) bool {
			m.keys[k.String()] = v
			return true
		})
		for _, name := range m.conf.Fields {
			field(name, m.keys[name])
		}
	}
	if some {
		dst = m.newLine(dst, 1, true)
	}
	dst = append(append(append(dst, "</"...), m.item...), '>')
	if !utf8.Valid(dst[start:]) {
		// A json.RawMessage may hold anything.
		dst = append(dst[:start], bytes.ToValidUTF8(dst[start:], []byte("\ufffd"))...)
	}
	return dst, nil
}

// newLine appends the indentation of a level, behind a line's end if there is none yet. Without an Indent it appends nothing.
func (m *markup) newLine(dst []byte, level int, end bool) []byte {
	if m.indent == 0 {
		return dst
	}
	if end {
		dst = append(dst, '\n')
	}
	for range level * m.indent {
		dst = append(dst, ' ')
	}
	return dst
}

// element appends a value and all that is in it.
func (m *markup) element(dst []byte, name string, v gjson.Result, level int) []byte {
	name = m.name(name)
	dst = m.newLine(dst, level, true)
	dst = append(append(append(dst, '<'), name...), '>')
	switch {
	case v.IsObject() || v.IsArray():
		list, some := v.IsArray(), false
		v.ForEach(func(k, part gjson.Result) bool {
			switch {
			case list:
				dst = m.element(dst, "value", part, level+1)
			case part.Type == gjson.Null:
				return true
			default:
				dst = m.element(dst, k.String(), part, level+1)
			}
			some = true
			return true
		})
		if some {
			dst = m.newLine(dst, level, true)
		}
	case v.Type == gjson.String:
		dst = appendXMLText(dst, v.String())
	case v.Type != gjson.Null:
		dst = append(dst, v.Raw...)
	}
	return append(append(append(dst, "</"...), name...), '>')
}

// name is an element's name. Those that come again and again are remembered.
func (m *markup) name(s string) string {
	n, ok := m.names[s]
	if !ok {
		n = escapedName(s)
		const most = 10_000 // a map may have ever new ones
		if len(m.names) < most {
			m.names[s] = n
		}
	}
	return n
}

// escapedName is s as the name of an element.
func escapedName(s string) string {
	if s == "" {
		return "_x_"
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '_' && strings.HasPrefix(s[i+1:], "x"), !nameStart(r) && (i == 0 || !nameInside(r)):
			if r > 0xffff {
				fmt.Fprintf(&b, "_x%06X_", r)
			} else {
				fmt.Fprintf(&b, "_x%04X_", r)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// nameStart and nameInside are letters, and what may stand behind them, of the alphabets that every edition of XML 1.0 has in names, without the colon. Readers of the
// fourth edition, such as encoding/xml, know no later letters.
func nameStart(r rune) bool {
	if r < 0x80 {
		return r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	return slices.ContainsFunc(letters[:], func(in [2]rune) bool { return in[0] <= r && r <= in[1] })
}

var letters = [...][2]rune{
	{0xc0, 0xd6}, {0xd8, 0xf6}, {0xf8, 0x131}, {0x134, 0x13e}, {0x141, 0x148}, {0x14a, 0x17e}, // Latin
	{0x388, 0x38a}, {0x38e, 0x3a1}, {0x3a3, 0x3ce}, // Greek
	{0x401, 0x40c}, {0x40e, 0x44f}, {0x451, 0x45c}, {0x45e, 0x481}, // Cyrillic
	{0x5d0, 0x5ea}, {0x621, 0x63a}, {0x641, 0x64a}, // Hebrew, Arabic
	{0x3041, 0x3094}, {0x30a1, 0x30fa}, {0x4e00, 0x9fa5}, {0xac00, 0xd7a3}, // Kana, Han, Hangul
}

func nameInside(r rune) bool {
	return nameStart(r) || r == '-' || r == '.' || '0' <= r && r <= '9'
}

// appendXMLText appends a text that an XML reader gives back as it is, apart from characters that XML cannot carry.
func appendXMLText(dst []byte, s string) []byte {
	for _, r := range s {
		switch {
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...) // ]]> must not stand in a text
		case r == '\r':
			dst = append(dst, "&#13;"...) // a bare one would be read as a line's end
		case r < 0x20 && r != '\t' && r != '\n', r == 0xfffe, r == 0xffff:
			dst = append(dst, "\ufffd"...)
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}

// Append goes on before the closing tag of the root.
func (m *markup) Append(r io.ReaderAt, size int64) (crawl.FeedEnd, error) {
	const look = 4 << 10
	head := make([]byte, min(look, size))
	if _, err := r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return crawl.FeedEnd{}, err
	}
	end, err := tail(r, size, look)
	if err != nil {
		return crawl.FeedEnd{}, err
	}
	if self := "<" + m.root + "/>"; size <= look && bytes.HasSuffix(bytes.TrimSpace(end), []byte(self)) {
		// Somebody has written an empty feed in the short form.
		return crawl.FeedEnd{Offset: size - int64(len(end)) + int64(bytes.LastIndex(end, []byte(self))), First: []byte("<" + m.root + ">")}, nil
	}
	closing := []byte("</" + m.root + ">")
	body, closed := bytes.CutSuffix(bytes.TrimSpace(end), closing)
	if !closed || !bytes.Contains(head, []byte("<"+m.root)) {
		return crawl.FeedEnd{}, fmt.Errorf("the file is no XML that begins with <%s> and ends with </%s>: overwrite it (-O), or append to another file", m.root, m.root)
	}
	offset := size - int64(len(end)) + int64(bytes.LastIndex(end, closing)) - int64(len(body)-len(bytes.TrimRight(body, space)))
	return crawl.FeedEnd{Offset: offset, Records: true}, nil
}

package spiders

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// A SitemapEntry is one address of a sitemap, or of an index of them, and what is said of it. Of alternates, images and videos the first 1,000 each are kept, which is what
// Google reads of a page.
type SitemapEntry struct {
	// Loc is the address. Filter is given it absolute.
	Loc string `json:"loc"`
	// LastMod is when it changed; zero if the sitemap does not say so, or not in a way that is understood.
	LastMod time.Time `json:"lastmod,omitzero"`
	// ChangeFreq is "daily" and so on, as it stands there.
	ChangeFreq string `json:"changefreq,omitempty"`
	// Priority is from 0 to 1 among the addresses of its site; 0 if nothing is said, which means 0.5.
	Priority float64 `json:"priority,omitempty"`
	// Alternates are the same page in other languages.
	Alternates []SitemapAlternate `json:"alternates,omitempty"`
	// Images are the addresses of the page's pictures, as they stand there.
	Images []string       `json:"images,omitempty"`
	Videos []SitemapVideo `json:"videos,omitempty"`
	News   *SitemapNews   `json:"news,omitempty"`
	// Sitemap is the address of the sitemap that it stands in.
	Sitemap string `json:"sitemap,omitempty"`
	// Nested says that it is a sitemap itself.
	Nested bool `json:"nested,omitempty"`

	line  int
	until time.Time // the end of what LastMod says: of that day, if it says no more
}

// A SitemapAlternate is a page in another language.
type SitemapAlternate struct {
	Lang string `json:"lang,omitempty"`
	URL  string `json:"url"`
}

// A SitemapVideo is one on a page: Google's extension of the protocol.
type SitemapVideo struct {
	Title     string `json:"title,omitempty"`
	Thumbnail string `json:"thumbnail,omitempty"`
	Content   string `json:"content,omitempty"`
	Player    string `json:"player,omitempty"`
}

// SitemapNews is what is said of an article: Google's extension of the protocol.
type SitemapNews struct {
	Publication string    `json:"publication,omitempty"`
	Language    string    `json:"language,omitempty"`
	Published   time.Time `json:"published,omitzero"`
	Title       string    `json:"title,omitempty"`
}

// maxToken is the largest piece of a sitemap: an address, a tag, a line. Addresses in sitemaps have at most 2,048 characters.
const maxToken = 1 << 20

// maxExtras is how many alternates, images or videos of one entry are kept.
const maxExtras = 1000

// readSitemap reads a sitemap entry by entry, until its end or until yield returns false. It is lenient: what is no markup is text, a missing end tag ends with its parent. An
// error comes after all entries that were read before it, and says the line.
func readSitemap(r *bufio.Reader, yield func(SitemapEntry) bool) error {
	for {
		c, err := r.ReadByte()
		switch {
		case err == io.EOF:
			return errors.New("it is empty")
		case err != nil:
			return err
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			continue
		}
		if err := r.UnreadByte(); err != nil {
			return err
		}
		if c == '<' {
			s := &sitemapReader{z: html.NewTokenizer(r), line: 1, yield: yield}
			return s.read()
		}
		return readSitemapLines(r, yield)
	}
}

// readSitemapLines reads a list of addresses, one a line.
func readSitemapLines(r *bufio.Reader, yield func(SitemapEntry) bool) error {
	good := false
	for l, err := range lines(r) {
		if err != nil {
			return err
		}
		if l.text == "" && !l.long {
			continue
		}
		if !good && !strings.Contains(shorten(l.text, 20), "://") {
			return fmt.Errorf("it is neither XML nor a list of addresses: it begins with %.40q", l.text)
		}
		good = true
		if !yield(SitemapEntry{Loc: l.text, line: l.number}) {
			return nil
		}
	}
	return nil
}

// sitemapReader reads an XML sitemap, or a feed of RSS or Atom, by the tokens of a tolerant reader: sitemaps in the wild have bare ampersands and worse.
type sitemapReader struct {
	z     *html.Tokenizer
	line  int
	yield func(SitemapEntry) bool

	root     string        // "" before it
	prefixed bool          // the root's name is
	entry    *SitemapEntry // nil outside of one
	id       string        // the entry's, if it is an address
	noLink   bool          // the guid that is being read says that it is none
	extras   int           // bytes of the entry's extras
	ext      string        // image, video or news, or the source of an article, within one; "" outside
	ignored  bool          // ext is one too many
	field    string        // the element whose text is wanted, "" if none
	text     []byte        // of field
}

// sitemapNames are the elements that count, by themselves, so that a name costs no memory.
var sitemapNames = func() map[string]string {
	names := make(map[string]string)
	for _, n := range strings.Fields(`urlset sitemapindex rss feed rdf url sitemap item entry image video news loc link guid id lastmod updated pubdate date published
		changefreq priority title name language publication_date source thumbnail_loc content_loc player_loc`) {
		names[n] = n
	}
	return names
}()

// isEntry reports whether an element is one of those that the root is there for.
func (s *sitemapReader) isEntry(name string) bool {
	switch s.root {
	case "feed":
		return name == "entry"
	case "rss", "rdf":
		return name == "item"
	}
	return name == "url" || name == "sitemap"
}

func (s *sitemapReader) read() error {
	s.z.SetMaxBuf(maxToken)
	s.z.AllowCDATA(true)
	for {
		tt := s.z.Next()
		if tt == html.ErrorToken {
			return s.end(s.z.Err())
		}
		at := s.line
		raw := s.z.Raw()
		s.line += bytes.Count(raw, []byte{'\n'})
		switch tt {
		case html.TextToken:
			if s.field != "" {
				s.addText(raw)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			s.z.NextIsNotRawText()
			name := tagName(raw[1:])
			local, prefixed := cutPrefix(name)
			if s.root == "" {
				s.prefixed = prefixed
				if err := s.open(local, name); err != nil {
					return err
				}
				continue
			}
			if !s.start(local, prefixed, tt == html.SelfClosingTagToken, at) {
				return nil
			}
		case html.EndTagToken:
			done, on := s.stop(cutPrefix(tagName(raw[2:])))
			if done || !on {
				return nil
			}
		case html.DoctypeToken:
			if bytes.EqualFold(bytes.TrimSpace(s.z.Text()), []byte("html")) {
				return errHTML
			}
		}
	}
}

var errHTML = errors.New("it is HTML, not a sitemap")

// tagName is the name at the beginning of a tag, in lower case. The tokenizer's own makes two copies of it.
func tagName(tag []byte) []byte {
	end, upper := 0, false
	for ; end < len(tag); end++ {
		switch c := tag[end]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '/' || c == '>':
			if upper {
				return bytes.ToLower(tag[:end])
			}
			return tag[:end]
		case c >= 'A' && c <= 'Z':
			upper = true
		}
	}
	return bytes.ToLower(tag)
}

// cutPrefix is an element's name without that of its namespace, "" if it does not count.
func cutPrefix(name []byte) (local string, prefixed bool) {
	i := bytes.IndexByte(name, ':')
	return sitemapNames[string(name[i+1:])], i >= 0
}

// open is told of the root element.
func (s *sitemapReader) open(local string, name []byte) error {
	switch local {
	case "urlset", "sitemapindex", "rss", "feed", "rdf":
		s.root = local
		return nil
	}
	switch string(name) {
	case "html", "head", "body":
		return errHTML
	}
	return fmt.Errorf("line %d: the root element <%s> is not that of a sitemap (urlset, sitemapindex) or of a feed (rss, feed)", s.line, shorten(string(name), 40))
}

// end is told why there is no more.
func (s *sitemapReader) end(err error) error {
	s.field = "" // whose text is not whole
	if s.entry != nil && (s.entry.Loc != "" || s.id != "") && !s.flush() {
		return nil
	}
	switch {
	case errors.Is(err, html.ErrBufferExceeded):
		return fmt.Errorf("line %d: a tag or text of more than %d bytes", s.line, maxToken)
	case err != io.EOF:
		return fmt.Errorf("line %d: %w", s.line, err)
	case s.root == "":
		return errors.New("it has no element")
	}
	return fmt.Errorf("line %d: it ends early, without </%s>", s.line, s.root)
}

// flush hands the entry over.
func (s *sitemapReader) flush() bool {
	s.leave()
	e := s.entry
	if e.Loc == "" {
		e.Loc = s.id
	}
	s.entry, s.id, s.extras = nil, "", 0
	return s.yield(*e)
}

// leave is told that what stands in an entry is over.
func (s *sitemapReader) leave() {
	s.set()
	s.ext, s.ignored = "", false
}

// begins reports whether an element is an entry. Within an extension others of that name are not.
func (s *sitemapReader) begins(local string, prefixed bool) bool {
	return s.isEntry(local) && (s.ext == "" || prefixed == s.prefixed || s.root == "rdf")
}

// start is told of an element. It reports false if nobody wants more.
func (s *sitemapReader) start(local string, prefixed, empty bool, line int) bool {
	switch {
	case local == "":
	case s.begins(local, prefixed):
		if s.entry != nil && !s.flush() { // its end was forgotten
			return false
		}
		s.entry = &SitemapEntry{Nested: local == "sitemap", line: line}
	case s.entry == nil:
	case local == "link" && s.ext == "" && s.link():
	case prefixed && (local == "image" || local == "video" || local == "news"), local == "source" && s.isFeed():
		if s.leave(); !empty {
			s.extend(local)
		}
	case !empty:
		if s.set(); local == "lastmod" || local == "changefreq" || local == "priority" { // which no extension has: its end was forgotten
			s.leave()
		}
		s.field = local
		s.noLink = local == "guid" && s.saysNoLink()
	}
	return true
}

// isFeed reports whether it is RSS or Atom.
func (s *sitemapReader) isFeed() bool { return s.root == "feed" || s.root == "rss" || s.root == "rdf" }

// extend is told that an extension begins.
func (s *sitemapReader) extend(local string) {
	s.ext = local
	switch e := s.entry; local {
	case "video":
		if s.ignored = len(e.Videos) == maxExtras; !s.ignored {
			e.Videos = append(e.Videos, SitemapVideo{})
		}
	case "news":
		e.News = new(SitemapNews)
	}
}

// saysNoLink reads the attributes of a guid.
func (s *sitemapReader) saysNoLink() bool {
	for _, more := s.z.TagName(); more; {
		var key, value []byte
		if key, value, more = s.z.TagAttr(); string(key) == "ispermalink" {
			return strings.EqualFold(strings.TrimSpace(string(value)), "false")
		}
	}
	return false
}

// stop is told of an element's end. done says that it was the root's; on is false if nobody wants more.
func (s *sitemapReader) stop(local string, prefixed bool) (done, on bool) {
	switch {
	case local == "":
	case local == s.field:
		s.set()
	case local == s.ext:
		s.leave()
	case s.entry != nil && s.begins(local, prefixed):
		return false, s.flush()
	case local == s.root:
		if s.entry != nil {
			s.flush()
		}
		return true, true
	}
	return false, true
}

// link reads the attributes of a <link>: of another language in a sitemap, of the page in Atom. It reports false if it has none, as RSS's has not.
func (s *sitemapReader) link() bool {
	_, more := s.z.TagName()
	if !more {
		return false
	}
	s.set()
	var rel, href, lang string
	for more {
		var key, value []byte
		key, value, more = s.z.TagAttr()
		switch string(key) {
		case "rel":
			rel = strings.TrimSpace(string(value))
		case "href":
			href = strings.TrimSpace(string(value))
		case "hreflang":
			lang = strings.TrimSpace(string(value))
		}
	}
	switch {
	case href == "":
	case s.isFeed():
		if s.entry.Loc == "" && (rel == "" || strings.EqualFold(rel, "alternate")) {
			s.entry.Loc = href
		}
	case (rel == "" || strings.EqualFold(rel, "alternate")) && len(s.entry.Alternates) < maxExtras && s.room(len(lang)+len(href)):
		s.entry.Alternates = append(s.entry.Alternates, SitemapAlternate{Lang: lang, URL: href})
	}
	return true
}

// room reports whether n more bytes of extras are kept: of one entry as many as of one text.
func (s *sitemapReader) room(n int) bool {
	s.extras += n
	return s.extras <= maxToken
}

// set keeps the text of the field, if there is one: its element ends.
func (s *sitemapReader) set() {
	name, value, e := s.field, string(bytes.TrimSpace(s.text)), s.entry
	s.field, s.text = "", s.text[:0]
	if name == "" || s.ignored || s.ext != "" && !s.room(len(value)) {
		return
	}
	switch s.ext {
	case "source":
		return
	case "image":
		if name == "loc" && value != "" && len(e.Images) < maxExtras {
			e.Images = append(e.Images, value)
		}
		return
	case "video":
		v := &e.Videos[len(e.Videos)-1]
		switch name {
		case "title":
			v.Title = value
		case "thumbnail_loc":
			v.Thumbnail = value
		case "content_loc":
			v.Content = value
		case "player_loc":
			v.Player = value
		}
		return
	case "news":
		switch name {
		case "name":
			e.News.Publication = value
		case "language":
			e.News.Language = value
		case "publication_date":
			e.News.Published, _ = sitemapTime(value)
		case "title":
			e.News.Title = value
		}
		return
	}
	switch name {
	case "loc", "link":
		if e.Loc == "" {
			e.Loc = value
		}
	case "guid", "id": // which are addresses often, and count where there is no link
		if s.id == "" && !s.noLink && strings.Contains(value, "://") {
			s.id = value
		}
	case "lastmod", "updated", "pubdate", "date":
		if t, until := sitemapTime(value); !t.IsZero() {
			e.LastMod, e.until = t, until
		}
	case "published":
		if e.LastMod.IsZero() {
			e.LastMod, e.until = sitemapTime(value)
		}
	case "changefreq":
		e.ChangeFreq = value
	case "priority":
		if p, err := strconv.ParseFloat(value, 64); err == nil && p >= 0 && p <= 1 {
			e.Priority = p
		}
	}
}

// addText adds what stands between tags to the field's text: CDATA as it is, references replaced.
func (s *sitemapReader) addText(raw []byte) {
	if len(s.text)+len(raw) > maxToken {
		return
	}
	if rest, ok := bytes.CutPrefix(raw, []byte("<![CDATA[")); ok {
		s.text = append(s.text, bytes.TrimSuffix(rest, []byte("]]>"))...)
		return
	}
	s.text = appendUnescaped(s.text, raw)
}

// appendUnescaped replaces the references that XML knows. Other ampersands are left: addresses have them bare.
func appendUnescaped(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '&')
		if i < 0 {
			return append(dst, raw...)
		}
		dst, raw = append(dst, raw[:i]...), raw[i:]
		end := bytes.IndexByte(raw[:min(len(raw), 12)], ';')
		c := rune(-1)
		if end > 0 {
			c = reference(string(raw[1:end]))
		}
		if c < 0 {
			dst, raw = append(dst, '&'), raw[1:]
			continue
		}
		dst, raw = utf8.AppendRune(dst, c), raw[end+1:]
	}
}

// reference is the character that a reference stands for, or -1.
func reference(name string) rune {
	switch name {
	case "amp":
		return '&'
	case "lt":
		return '<'
	case "gt":
		return '>'
	case "quot":
		return '"'
	case "apos":
		return '\''
	}
	digits, ok := strings.CutPrefix(name, "#")
	if !ok {
		return -1
	}
	base := 10
	if hex, ok := strings.CutPrefix(strings.ToLower(digits), "x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n == 0 || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
		return -1
	}
	return rune(n)
}

// sitemapTime understands W3C's dates, which sitemaps have, RSS's, and those that are nearly some. What has no zone is UTC. until is the end of the year, month, day, minute or
// second that is said.
func sitemapTime(s string) (t, until time.Time) {
	if day, rest, ok := strings.Cut(s, ","); ok && isWord(day) {
		s = strings.TrimSpace(rest)
	}
	if i := strings.LastIndexByte(s, ' '); i >= 0 && isWord(s[i+1:]) {
		offset, ok := zones[strings.ToUpper(s[i+1:])]
		if !ok {
			return t, until
		}
		s = strings.TrimSpace(s[:i]) + " " + offset
	}
	for _, l := range timeLayouts {
		if t, err := time.Parse(l.layout, s); err == nil {
			t = t.UTC()
			return t, l.end(t)
		}
	}
	return t, until
}

func isWord(s string) bool {
	for _, c := range []byte(s) {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			return false
		}
	}
	return s != ""
}

// zones are those that have names in RFC 822. Package time takes any name for UTC.
var zones = map[string]string{
	"UT": "+0000", "UTC": "+0000", "GMT": "+0000", "Z": "+0000",
	"EST": "-0500", "EDT": "-0400", "CST": "-0600", "CDT": "-0500", "MST": "-0700", "MDT": "-0600", "PST": "-0800", "PDT": "-0700",
}

// timeLayouts are how times are written, and where what they say ends.
var timeLayouts = func() (all []timeLayout) {
	second := func(t time.Time) time.Time { return t.Add(time.Second) }
	minute := func(t time.Time) time.Time { return t.Add(time.Minute) }
	for _, l := range []struct {
		end     func(time.Time) time.Time
		layouts []string
	}{
		{func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }, []string{time.DateOnly, "2 Jan 2006"}},
		{second, []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 -0700", time.DateTime}},
		{minute, []string{"2006-01-02T15:04Z07:00", "2006-01-02 15:04"}},
		{func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }, []string{"2006-01"}},
		{func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }, []string{"2006"}},
		{second, []string{"2 Jan 2006 15:04:05 -0700", "2 Jan 06 15:04:05 -0700", "2 Jan 2006 15:04:05"}},
		{minute, []string{"2 Jan 2006 15:04 -0700", "2 Jan 06 15:04 -0700"}},
	} {
		for _, layout := range l.layouts {
			all = append(all, timeLayout{layout, l.end})
		}
	}
	return all
}()

type timeLayout struct {
	layout string
	end    func(time.Time) time.Time
}

package pipeline

import (
	"encoding/binary"
	"errors"

	"github.com/tulle-go/tulle/crawl"
)

// memory keeps the results of finished flights, up to a number: those that were asked for least recently go first, near enough (the clock algorithm). It holds
// them in a compact form, which also makes each reader's result his own. Guarded by its owner's lock.
type memory struct {
	size    int
	index   map[crawl.Fingerprint]int32
	entries []remembered
	hand    int
}

type remembered struct {
	fp      crawl.Fingerprint
	used    bool // since the hand last came by
	outcome string
}

// get returns what was put, for decodeOutcome.
func (m *memory) get(fp crawl.Fingerprint) (string, bool) {
	i, ok := m.index[fp]
	if !ok {
		return "", false
	}
	m.entries[i].used = true
	return m.entries[i].outcome, true
}

func (m *memory) put(fp crawl.Fingerprint, outcome string) {
	if m.size <= 0 {
		return
	}
	if m.index == nil {
		m.index = make(map[crawl.Fingerprint]int32)
	}
	if i, ok := m.index[fp]; ok {
		m.entries[i].outcome = outcome
		return
	}
	entry := remembered{fp: fp, outcome: outcome}
	if len(m.entries) < m.size {
		m.index[fp] = int32(len(m.entries))
		m.entries = append(m.entries, entry)
		return
	}
	for m.entries[m.hand].used {
		m.entries[m.hand].used = false
		m.hand = (m.hand + 1) % len(m.entries)
	}
	delete(m.index, m.entries[m.hand].fp)
	m.entries[m.hand] = entry
	m.index[fp] = int32(m.hand)
	m.hand = (m.hand + 1) % len(m.entries)
}

// outcome is how a flight ended. It is shared by all who waited, and not changed.
type outcome struct {
	file crawl.File  // if err and abort are nil; its URL is the flight's
	err  *MediaError // the failure
	// abort is why there is no answer, and the items that wait can't go on: the crawl is ending, or a hook wants it to.
	abort error
}

// lasting reports whether the outcome is worth remembering.
func (o *outcome) lasting() bool {
	return o.abort == nil && (o.err == nil || !o.err.transient())
}

// result is the outcome as the result of one request of one item: with its own URL, and sharing nothing.
func (o *outcome) result(req *crawl.Request) Result {
	r := Result{Request: req}
	if o.err != nil {
		err := *o.err
		err.URL = address(req)
		r.Err = &err
		return r
	}
	r.File = o.file
	if req.URL != nil {
		r.File.URL = req.URL.String()
	}
	if o.file.Thumbs != nil {
		r.File.Thumbs = make(map[string]crawl.Thumb, len(o.file.Thumbs))
		for name, thumb := range o.file.Thumbs {
			r.File.Thumbs[name] = thumb
		}
	}
	return r
}

const (
	aFile byte = iota
	aFailure
)

// encode is the outcome's compact form: a byte for what it is, then strings with their length before them, and varints.
func (o *outcome) encode() string {
	var onStack [512]byte
	b := onStack[:0]
	str := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	num := func(n int64) { b = binary.AppendVarint(b, n) }
	if o.err != nil {
		b = append(b, aFailure)
		str(string(o.err.Kind))
		num(int64(o.err.Status))
		if o.err.Err != nil {
			str(o.err.Err.Error())
		}
		return string(b)
	}
	f := &o.file
	b = append(b, aFile)
	for _, s := range []string{f.Path, f.Checksum, f.Status, f.ContentType, f.FinalURL} {
		str(s)
	}
	for _, n := range []int64{int64(f.Width), int64(f.Height), f.Size} {
		num(n)
	}
	for name, thumb := range f.Thumbs {
		str(name)
		str(thumb.Path)
		num(int64(thumb.Width))
		num(int64(thumb.Height))
	}
	return string(b)
}

func decodeOutcome(s string) *outcome {
	b := []byte(s[1:])
	str := func() string {
		n, w := binary.Uvarint(b)
		v := string(b[w : w+int(n)])
		b = b[w+int(n):]
		return v
	}
	num := func() int64 {
		n, w := binary.Varint(b)
		b = b[w:]
		return n
	}
	if s[0] == aFailure {
		err := &MediaError{Kind: crawl.Kind(str()), Status: int(num())}
		if len(b) > 0 {
			err.Err = errors.New(str())
		}
		return &outcome{err: err}
	}
	var f crawl.File
	for _, p := range []*string{&f.Path, &f.Checksum, &f.Status, &f.ContentType, &f.FinalURL} {
		*p = str()
	}
	f.Width, f.Height, f.Size = int(num()), int(num()), num()
	for len(b) > 0 {
		if f.Thumbs == nil {
			f.Thumbs = make(map[string]crawl.Thumb)
		}
		name := str()
		f.Thumbs[name] = crawl.Thumb{Path: str(), Width: int(num()), Height: int(num())}
	}
	return &outcome{file: f}
}

package crawl

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// The form of a request on disk: a version byte, a varint that says which fields follow, then the fields in the order of the constants below. Strings are a
// varint length and bytes. A GET for a page costs its URL and four bytes.
const wireVersion = 1

const (
	wireMethod = 1 << iota
	wireHeader
	wireBody
	wireRoute
	wirePriority
	wireDontFilter
	wireDepth
	wireData
	wireKnobs
	wireRetries
	wireRedirects
	wireIsStart
	wireKey
	wireEnd // the first bit that means nothing yet
)

// trustedLen is the length that a list may claim before its elements are seen.
const trustedLen = 16

var errWire = errors.New("not a stored request, or cut short")

// AppendWire appends the request's form on disk. The error is [Request.Err], or says that Data is not JSON.
func (r *Request) AppendWire(b []byte) ([]byte, error) {
	if err := r.Err(); err != nil {
		return b, err
	}
	if len(r.Data) > 0 && !json.Valid(r.Data) {
		return b, fmt.Errorf("%s: Data is not JSON: %.40q", r, r.Data)
	}
	var has uint64
	set := func(bit uint64, on bool) {
		if on {
			has |= bit
		}
	}
	set(wireMethod, r.Method != "" && r.Method != http.MethodGet)
	set(wireHeader, len(r.Header) > 0)
	set(wireBody, len(r.Body) > 0)
	set(wireRoute, r.Route != "")
	set(wirePriority, r.Priority != 0)
	set(wireDontFilter, r.DontFilter)
	set(wireDepth, r.Depth != 0)
	set(wireData, len(r.Data) > 0)
	set(wireKnobs, r.Knobs != nil)
	set(wireRetries, r.Retries != 0)
	set(wireRedirects, len(r.Redirects) > 0)
	set(wireKey, r.Key != Fingerprint{})
	set(wireIsStart, r.IsStart)

	u := r.URL.String()
	if b == nil {
		b = make([]byte, 0, 8+len(u)+len(r.Route)+len(r.Data)+len(r.Body))
	}
	b = append(b, wireVersion)
	b = binary.AppendUvarint(b, has)
	b = appendString(b, u)
	if has&wireMethod != 0 {
		b = appendString(b, r.Method)
	}
	if has&wireHeader != 0 {
		b = binary.AppendUvarint(b, uint64(len(r.Header)))
		for _, k := range headerKeys(r.Header) {
			b = appendString(b, k)
			b = appendStrings(b, r.Header[k])
		}
	}
	if has&wireBody != 0 {
		b = appendString(b, r.Body)
	}
	if has&wireRoute != 0 {
		b = appendString(b, r.Route)
	}
	if has&wirePriority != 0 {
		b = binary.AppendVarint(b, int64(r.Priority))
	}
	if has&wireDepth != 0 {
		b = binary.AppendVarint(b, int64(r.Depth))
	}
	if has&wireData != 0 {
		b = appendString(b, r.Data)
	}
	if has&wireKnobs != 0 {
		k, err := json.Marshal(r.Knobs)
		if err != nil {
			return b, fmt.Errorf("%s: knobs: %w", r, err)
		}
		b = appendString(b, k)
	}
	if has&wireRetries != 0 {
		b = binary.AppendVarint(b, int64(r.Retries))
	}
	if has&wireRedirects != 0 {
		b = appendStrings(b, r.Redirects)
	}
	if has&wireKey != 0 {
		b = append(b, r.Key[:]...)
	}
	return b, nil
}

// ParseWire reads what [Request.AppendWire] wrote.
func ParseWire(s string) (*Request, error) {
	d := wireReader{s: s}
	if v := d.byte(); v != wireVersion {
		return nil, fmt.Errorf("%w (version %d, this program knows %d)", errWire, v, wireVersion)
	}
	has := d.uvarint()
	if has >= wireEnd {
		return nil, errWire
	}
	raw := d.string()
	r := &Request{DontFilter: has&wireDontFilter != 0, IsStart: has&wireIsStart != 0}
	if has&wireMethod != 0 {
		r.Method = d.string()
	}
	if has&wireHeader != 0 {
		n := d.count()
		r.Header = make(http.Header, min(n, trustedLen))
		for range n {
			if d.bad {
				return nil, errWire
			}
			k := d.string()
			r.Header[k] = d.strings()
		}
	}
	if has&wireBody != 0 {
		r.Body = []byte(d.string())
	}
	if has&wireRoute != 0 {
		r.Route = d.string()
	}
	if has&wirePriority != 0 {
		r.Priority = d.int()
	}
	if has&wireDepth != 0 {
		r.Depth = d.int()
	}
	if has&wireData != 0 {
		r.Data = json.RawMessage(d.string())
	}
	if has&wireKnobs != 0 {
		r.Knobs = new(Knobs)
		if err := json.Unmarshal([]byte(d.string()), r.Knobs); err != nil {
			d.bad = true
		}
	}
	if has&wireRetries != 0 {
		r.Retries = d.int()
	}
	if has&wireRedirects != 0 {
		r.Redirects = d.strings()
	}
	if has&wireKey != 0 {
		if len(d.s) < len(r.Key) {
			return nil, errWire
		}
		d.s = d.s[copy(r.Key[:], d.s):]
	}
	if d.bad || len(d.s) > 0 {
		return nil, errWire
	}
	if len(raw) < len(s)/2 {
		raw = strings.Clone(raw) // hosts are remembered, and what a host is a piece of stays in memory with it
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errWire, err)
	}
	r.URL = u
	return r, nil
}

func appendString[T ~string | ~[]byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

// wireReader reads fields; after the first that does not fit, all are zero, nothing is left, and bad is set.
type wireReader struct {
	s   string
	bad bool
}

func (d *wireReader) fail() { d.s, d.bad = "", true }

func (d *wireReader) byte() byte {
	if len(d.s) == 0 {
		d.fail()
		return 0
	}
	c := d.s[0]
	d.s = d.s[1:]
	return c
}

func (d *wireReader) uvarint() uint64 {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		c := d.byte()
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
	d.fail()
	return 0
}

func (d *wireReader) int() int {
	v := d.uvarint() // zigzag, as binary.AppendVarint writes it
	return int(int64(v>>1) ^ -int64(v&1))
}

// count reads the length of a list, each of whose elements takes at least a byte.
func (d *wireReader) count() int {
	n := d.uvarint()
	if n > uint64(len(d.s)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *wireReader) string() string {
	n := d.count()
	s := d.s[:n]
	d.s = d.s[n:]
	return s
}

func (d *wireReader) strings() []string {
	n := d.count()
	list := make([]string, 0, min(n, trustedLen))
	for range n {
		if d.bad {
			return nil
		}
		list = append(list, d.string())
	}
	return list
}

package cache

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
)

// A Head is what is kept of a response beside its body.
type Head struct {
	URL    string      `json:"url"`
	Status int         `json:"status"`
	Proto  string      `json:"proto,omitempty"`
	Header http.Header `json:"header"`
	// Octets are in an entry the headers of which a value is not UTF-8, which JSON would change; otherwise they are in Header.
	Octets  map[string][][]byte `json:"octets,omitempty"`
	Asked   time.Time           `json:"asked"` // see Stored
	Got     time.Time           `json:"got"`
	Latency int64               `json:"latency,omitempty"` // nanoseconds
	Total   int64               `json:"total,omitempty"`
	// Vary has a digest of each request header that the response depends on.
	Vary map[string]string `json:"vary,omitempty"`
	// Series is what the variants of a response have in common.
	Series string `json:"series,omitempty"`
	// File is the name of the body's file, if it is not in the entry, Size the body's length, and Sum its digest by Algorithm, if that is known.
	File      string `json:"file,omitempty"`
	Size      int64  `json:"size"`
	Algorithm string `json:"algorithm,omitempty"`
	Sum       string `json:"sum,omitempty"`
	// Gzip says that the body is stored compressed, in the entry or the file.
	Gzip bool `json:"gzip,omitempty"`
}

// Stored is what the rules want to know.
func (h *Head) Stored() *Stored {
	return &Stored{Status: h.Status, Header: h.Header, Asked: h.Asked, Got: h.Got}
}

// ErrOtherVersion says that an entry was written in another form than this program's.
var ErrOtherVersion = errors.New("the entry has another version")

// magic stands before every entry. Its last byte is the version of what follows: the length of the head in four bytes, the head in JSON, the body, a checksum of all.
const magic = "tulle-cache\x01"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode makes an entry. body is nil if the head names a file, and as it is stored.
func Encode(h *Head, body []byte) ([]byte, error) {
	head, err := json.Marshal(h.written())
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(magic)+4+len(head)+len(body)+4)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(head)))
	b = append(b, head...)
	b = append(b, body...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

// Decode reads an entry. The body is a part of it.
func Decode(entry []byte) (*Head, []byte, error) {
	const version = len(magic) - 1
	if len(entry) < len(magic)+8 {
		return nil, nil, fmt.Errorf("the entry has %d bytes", len(entry))
	}
	if string(entry[:version]) != magic[:version] {
		return nil, nil, errors.New("it is no entry")
	}
	if entry[version] != magic[version] {
		return nil, nil, ErrOtherVersion
	}
	all, sum := entry[:len(entry)-4], binary.LittleEndian.Uint32(entry[len(entry)-4:])
	if crc32.Checksum(all, castagnoli) != sum {
		return nil, nil, errors.New("the entry's checksum is wrong")
	}
	size, rest := binary.LittleEndian.Uint32(all[len(magic):]), all[len(magic)+4:]
	if uint64(size) > uint64(len(rest)) {
		return nil, nil, errors.New("the entry's head is longer than the entry")
	}
	var h Head
	if err := json.Unmarshal(rest[:size], &h); err != nil {
		return nil, nil, fmt.Errorf("the entry's head: %w", err)
	}
	for name, values := range h.Octets {
		for _, v := range values {
			h.Header[name] = append(h.Header[name], string(v))
		}
	}
	h.Octets = nil
	return &h, rest[size:], nil
}

// written is the head as it is stored.
func (h *Head) written() *Head {
	var w *Head
	for name, values := range h.Header {
		if !slices.ContainsFunc(values, func(v string) bool { return !utf8.ValidString(v) }) {
			continue
		}
		if w == nil {
			c := *h
			w = &c
			w.Header, w.Octets = maps.Clone(h.Header), make(map[string][][]byte)
		}
		delete(w.Header, name)
		for _, v := range values {
			w.Octets[name] = append(w.Octets[name], []byte(v))
		}
	}
	if w == nil {
		return h
	}
	return w
}

// A Zipper compresses bodies, by writers that it keeps. The zero value is ready.
type Zipper struct{ pool sync.Pool }

// Copy compresses r into w.
func (z *Zipper) Copy(w io.Writer, r io.Reader) error {
	zw, _ := z.pool.Get().(*gzip.Writer)
	if zw == nil {
		zw = gzip.NewWriter(w)
	} else {
		zw.Reset(w)
	}
	defer z.pool.Put(zw)
	if _, err := io.Copy(zw, r); err != nil {
		return err
	}
	return zw.Close()
}

// Bytes compresses b.
func (z *Zipper) Bytes(b []byte) ([]byte, error) {
	var buf bytes.Buffer
	err := z.Copy(&buf, bytes.NewReader(b))
	return buf.Bytes(), err
}

// Unzip decompresses a body of size bytes: not one more is made of what may be anything.
func Unzip(r io.Reader, size int64) ([]byte, error) {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(zr, size+1))
	if err == nil && int64(len(b)) != size {
		err = fmt.Errorf("the body has %d bytes or more, and should have %d", len(b), size)
	}
	return b, err
}

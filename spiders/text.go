package spiders

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// errTooLarge says that a stream is longer than it may be.
var errTooLarge = errors.New("too large")

// text is a stream of UTF-8, whatever it was before.
type text struct {
	*bufio.Reader
	// seekable says that n bytes of text are skipped bytes further on in the source: it was neither compressed nor in another charset.
	seekable bool
	skipped  int64
}

// maxGzips is how often a stream may be compressed: files that are sent with Content-Encoding too, by servers that do not say so.
const maxGzips = 3

// openText reads r, which may be compressed by gzip and of any charset, until ctx ends. most is how many bytes of it are read, inflated; 0 is no limit. The charset is that of
// a byte order mark, else the one that contentType names, else that of an XML declaration, else UTF-8, which is not checked.
func openText(ctx context.Context, r io.Reader, contentType string, most int64) (*text, error) {
	b, compressed, err := inflate(ctx, r, most)
	if err != nil {
		return nil, err
	}
	t := &text{seekable: !compressed}
	if most > 0 {
		b = bufio.NewReaderSize(&bounded{r: b, left: most, most: most}, 64<<10)
	}
	head, err := b.Peek(4)
	if len(head) > 0 && (head[0] == '<' || head[0] <= ' ') { // of XML more is looked at; a list that is piped is read as it comes
		head, err = b.Peek(1024)
	}
	if len(head) == 0 && err != nil && err != io.EOF {
		return nil, err
	}
	enc, mark := charsetOf(head, contentType)
	if _, err := b.Discard(mark); err != nil {
		return nil, err
	}
	t.skipped = int64(mark)
	t.Reader = b
	if enc != nil {
		t.seekable = false
		t.Reader = bufio.NewReaderSize(transform.NewReader(b, enc.NewDecoder()), 64<<10)
	}
	return t, nil
}

// inflate reads r, which may be compressed by gzip, until ctx ends. most is how much of what is compressed again is read, 0 is no limit: that may be very much, and no text.
func inflate(ctx context.Context, r io.Reader, most int64) (b *bufio.Reader, compressed bool, err error) {
	b = bufio.NewReaderSize(ended{ctx, r}, 64<<10)
	for range maxGzips {
		if head, _ := b.Peek(3); !bytes.Equal(head, []byte{0x1f, 0x8b, 8}) {
			break
		}
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, true, fmt.Errorf("inflate: %w", err)
		}
		var inner io.Reader = ended{ctx, gunzipped{z}}
		if most > 0 {
			inner = &bounded{r: inner, left: most + compression, most: most}
		}
		b = bufio.NewReaderSize(inner, 64<<10)
		compressed = true
	}
	return b, compressed, nil
}

// compression is what may make a stream larger.
const compression = 64 << 10

// ended reads until ctx ends.
type ended struct {
	ctx context.Context
	r   io.Reader
}

func (e ended) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	return e.r.Read(p)
}

var xmlEncoding = regexp.MustCompile(`^\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._:-]+)["']`)

// charsetOf returns nil for UTF-8. mark is the length of the byte order mark.
func charsetOf(head []byte, contentType string) (enc encoding.Encoding, mark int) {
	utf16 := func(e unicode.Endianness) encoding.Encoding { return unicode.UTF16(e, unicode.IgnoreBOM) }
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		return nil, 3
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		return utf16(unicode.LittleEndian), 2
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		return utf16(unicode.BigEndian), 2
	case bytes.HasPrefix(head, []byte("<\x00?\x00")), bytes.HasPrefix(head, []byte("h\x00t\x00")):
		return utf16(unicode.LittleEndian), 0
	case bytes.HasPrefix(head, []byte("\x00<\x00?")), bytes.HasPrefix(head, []byte("\x00h\x00t")):
		return utf16(unicode.BigEndian), 0
	}
	var declared string
	if m := xmlEncoding.FindSubmatch(head); m != nil {
		declared = string(m[1])
	}
	_, named, _ := strings.Cut(strings.ToLower(contentType), "charset=")
	named, _, _ = strings.Cut(strings.Trim(named, ` "'`), ";")
	for _, label := range []string{strings.Trim(named, ` "'`), declared} {
		if label == "" || strings.HasPrefix(strings.ToLower(label), "utf-16") { // which these bytes are not
			continue
		}
		if enc, name := charset.Lookup(label); name != "" && name != "replacement" {
			if name == "utf-8" {
				return nil, 0
			}
			return enc, 0
		}
	}
	return nil, 0
}

// gunzipped says what went wrong where. What follows a whole file and is no other is left aside, as gzip itself does.
type gunzipped struct{ z *gzip.Reader }

func (g gunzipped) Read(p []byte) (int, error) {
	n, err := g.z.Read(p)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case errors.Is(err, gzip.ErrHeader):
		return n, io.EOF
	}
	return n, fmt.Errorf("inflate: %w", err)
}

// bounded fails where a stream becomes too long.
type bounded struct {
	r          io.Reader
	left, most int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.err()
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n - 1, b.err()
	}
	return n, err
}

func (b *bounded) err() error {
	return fmt.Errorf("%w: more than %d bytes, inflated", errTooLarge, b.most)
}

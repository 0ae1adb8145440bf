package feed

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/tulle-go/tulle/crawl"
)

// framed keeps the records of a [crawl.FeedBuilder] in a file, each behind its length. It is a format that can be appended to, whatever the records are.
type framed struct{ crawl.FeedEncoder }

var _ crawl.FeedAppender = framed{}

// lengthSize is that of what stands before each record.
const lengthSize = 4

func (f framed) Begin(first any) ([]byte, error) {
	b, err := f.FeedEncoder.Begin(first)
	if err != nil || len(b) == 0 {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...), nil
}

func (f framed) Record(dst []byte, item any) ([]byte, error) {
	at := len(dst)
	dst, err := f.FeedEncoder.Record(append(dst, make([]byte, lengthSize)...), item)
	if err != nil {
		return dst, err
	}
	n := len(dst) - at - lengthSize
	if int64(n) > 1<<32-1 {
		return dst, fmt.Errorf("item of type %T: %d bytes are more than a record can have", item, n)
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(n))
	return dst, nil
}

func (framed) Between() []byte { return nil }
func (framed) End() []byte     { return nil }

func (framed) Append(_ io.ReaderAt, size int64) (crawl.FeedEnd, error) {
	return crawl.FeedEnd{Offset: size, Records: true}, nil
}

// records reads what framed has written, as often as it is ranged over.
func records(name string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		f, err := os.Open(name)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		in := bufio.NewReaderSize(f, 256<<10)
		var length [lengthSize]byte
		var record []byte
		for {
			if _, err := io.ReadFull(in, length[:]); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				yield(nil, fmt.Errorf("read %s: %w", name, err))
				return
			}
			n := int(binary.BigEndian.Uint32(length[:]))
			if cap(record) < n {
				record = make([]byte, n)
			}
			record = record[:n]
			if _, err := io.ReadFull(in, record); err != nil {
				if errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				yield(nil, fmt.Errorf("read %s: %w", name, err))
				return
			}
			if !yield(record, nil) {
				return
			}
		}
	}
}

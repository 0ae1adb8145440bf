package objects

import (
	"context"
	"errors"
	"io"
	"sync"

	"golang.org/x/sync/semaphore"
)

const (
	// smallSize is what a file may have to go through a small buffer. Most pictures do.
	smallSize = 256 << 10
	// PartSize is the size of the parts that larger files go up in, and of the buffers they go through: S3 takes no parts below 5 MiB, and Google's are multiples
	// of 256 KiB. Not larger: with the collector's room for garbage, GOGC 400, each byte of a buffer costs up to five.
	PartSize = 5 << 20
	// partsAtOnce is how many of those buffers there are.
	partsAtOnce = 4
)

// Buffers bounds the memory that the uploads of one store take: four buffers of PartSize, and a small one for each of the others.
type Buffers struct {
	parts        *semaphore.Weighted
	small, large sync.Pool // of *[]byte
}

// NewBuffers makes Buffers.
func NewBuffers() *Buffers { return &Buffers{parts: semaphore.NewWeighted(partsAtOnce)} }

// InPlace returns r as something that can be read where it is, so that no buffer is needed: what is left of a file, or of bytes in memory. It is nil if r is something else.
func InPlace(r io.Reader) *io.SectionReader {
	at, ok := r.(interface {
		io.ReaderAt
		io.Seeker
	})
	if !ok {
		return nil
	}
	begin, err := at.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil // A pipe is a file too.
	}
	end, err := at.Seek(0, io.SeekEnd)
	if err != nil {
		return nil
	}
	return io.NewSectionReader(at, begin, end-begin)
}

// Upload is a file on its way up, a part in memory at a time.
type Upload struct {
	// Part is the part that is to be sent. It is valid until Next.
	Part []byte
	// Last says that nothing follows.
	Last bool

	src    source
	ahead  [1]byte // what has been read beyond Part
	reused *[]byte
	free   func()
}

// Begin reads the first part. The caller closes the Upload. It ends with ctx.
func (b *Buffers) Begin(ctx context.Context, r io.Reader) (*Upload, error) {
	u := &Upload{src: source{ctx, r}}
	u.reused = take(&b.small, smallSize)
	u.free = func() { b.small.Put(u.reused) }
	n, err := u.read(*u.reused)
	u.Part = (*u.reused)[:n]
	if err == nil && !u.Last {
		err = u.grow(b)
	}
	if err != nil {
		u.Close()
		return nil, err
	}
	return u, nil
}

// grow goes on in a large buffer.
func (u *Upload) grow(b *Buffers) error {
	if err := b.parts.Acquire(u.src.ctx, 1); err != nil {
		return err
	}
	small, large := u.reused, take(&b.large, PartSize)
	n := copy(*large, u.Part)
	b.small.Put(small)
	u.reused = large
	u.free = func() {
		b.large.Put(large)
		b.parts.Release(1)
	}
	(*large)[n] = u.ahead[0]
	m, err := u.read((*large)[n+1:])
	u.Part = (*large)[:n+1+m]
	return err
}

// Next reads the next part. It is called only if Part was not the last.
func (u *Upload) Next() error {
	(*u.reused)[0] = u.ahead[0]
	n, err := u.read((*u.reused)[1:])
	u.Part = (*u.reused)[:1+n]
	return err
}

// read fills p if there is enough, and one byte ahead: it knows then whether anything follows.
func (u *Upload) read(p []byte) (int, error) {
	n, err := io.ReadFull(u.src, p)
	if err == nil {
		_, err = io.ReadFull(u.src, u.ahead[:])
	}
	if errors.Is(err, errEnd) {
		u.Last, err = true, nil
	}
	return n, err
}

// errEnd stands for the reader's io.EOF, so that an io.ErrUnexpectedEOF of the reader's own is an error.
var errEnd = errors.New("the end")

// source ends when its context does.
type source struct {
	ctx context.Context
	r   io.Reader
}

func (s source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	if err == io.EOF {
		err = errEnd
	}
	return n, err
}

// Close gives the memory back.
func (u *Upload) Close() {
	u.Part = nil
	u.free()
}

func take(pool *sync.Pool, size int) *[]byte {
	if b, _ := pool.Get().(*[]byte); b != nil {
		return b
	}
	b := make([]byte, size)
	return &b
}

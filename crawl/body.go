package crawl

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
)

// A Body is what a response carries: small and in memory, or large and in a spool file, so that memory stays constant whatever arrives. The zero Body is
// empty. It is opened as often as one likes, until its response is closed.
type Body struct {
	mem  []byte
	file *spoolFile
}

// spoolFile is shared by the copies of a Body.
type spoolFile struct {
	path string
	size int64
	sums map[string]string // hex digests by algorithm; not changed once the Body is made

	mu   sync.Mutex
	gone bool // Guarded by mu: taken over or removed.
}

// BytesBody is a Body in memory. It keeps b, which is not to be changed.
func BytesBody(b []byte) Body { return Body{mem: b} }

// Size is the number of bytes.
func (b Body) Size() int64 {
	if b.file != nil {
		return b.file.size
	}
	return int64(len(b.mem))
}

// Open reads the body from its beginning. The caller closes the reader.
func (b Body) Open() (io.ReadSeekCloser, error) {
	if b.file == nil {
		return memBody{bytes.NewReader(b.mem)}, nil
	}
	f, err := os.Open(b.file.path)
	if err != nil {
		return nil, fmt.Errorf("open body: %w", err)
	}
	return f, nil
}

// Bytes is the whole body in memory. For a spooled body this reads the file: mind its Size. The bytes are not to be changed.
func (b Body) Bytes() ([]byte, error) {
	if b.file == nil {
		return b.mem, nil
	}
	data, err := os.ReadFile(b.file.path)
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	return data, nil
}

// Sum is the hex digest of the body, if it was worked out by that algorithm while it arrived.
func (b Body) Sum(algorithm string) (string, bool) {
	if b.file == nil {
		return "", false
	}
	s, ok := b.file.sums[algorithm]
	return s, ok
}

// Path is the spool file's, or "" for a body in memory.
func (b Body) Path() string {
	if b.file == nil {
		return ""
	}
	return b.file.path
}

// Take leaves the spool file to the caller, who has renamed it or will remove it. It reports false for a body in memory, or one already taken or closed.
func (b Body) Take() bool {
	if b.file == nil {
		return false
	}
	b.file.mu.Lock()
	defer b.file.mu.Unlock()
	if b.file.gone {
		return false
	}
	b.file.gone = true
	return true
}

// Close removes the spool file unless it was taken. It may be called more than once.
func (b Body) Close() error {
	if !b.Take() {
		return nil
	}
	if err := os.Remove(b.file.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove body: %w", err)
	}
	return nil
}

type memBody struct{ *bytes.Reader }

func (memBody) Close() error { return nil }

// A Spool takes bodies from the wire: into memory up to a size, beyond it into files of a folder of its own, hashed as they arrive. The zero value spools over
// 1 MiB into the system's temporary folder. It is safe for concurrent use.
type Spool struct {
	// Over is the size in bytes beyond which a body goes to a file. 0 is 1 MiB.
	Over int64
	// Dir is where the spool makes its folder. "" is the system's temporary folder.
	Dir string
	// Hash and NewHash say how spooled bodies are hashed. NewHash nil: they are not.
	Hash    string
	NewHash func() hash.Hash

	mu  sync.Mutex
	own string // Guarded by mu: the folder, once it is made.

	buffers sync.Pool // of *[]byte, to copy through
}

// Read reads r to its end. size is what was announced, or -1. Beyond most bytes (none if most <= 0) it fails with [ErrBodyTooLarge]; a body
// that ends before size fails with io.ErrUnexpectedEOF. On any error nothing is left behind.
func (s *Spool) Read(r io.Reader, size, most int64) (Body, error) {
	if most > 0 && size > most {
		return Body{}, tooLarge(size, most)
	}
	over := s.Over
	if over <= 0 {
		over = 1 << 20
	}
	if size > over {
		return s.readFile(nil, r, size, most)
	}
	inMem := over
	if most > 0 {
		inMem = min(over, most) // what is too large is given up at once, even if the next byte takes its time
	}
	mem, ended, err := readMem(r, size, inMem)
	if err != nil {
		return Body{}, err
	}
	if most > 0 && int64(len(mem)) > most {
		return Body{}, tooLarge(int64(len(mem)), most)
	}
	if ended {
		if size >= 0 && int64(len(mem)) < size {
			return Body{}, io.ErrUnexpectedEOF
		}
		return Body{mem: mem}, nil
	}
	return s.readFile(mem, r, size, most)
}

func tooLarge(n, most int64) error {
	return fmt.Errorf("%w: %d bytes or more, %d are allowed", ErrBodyTooLarge, n, most)
}

// readMem reads up to over bytes, and one more read's worth, into memory. ended says that r has no more.
func readMem(r io.Reader, size, over int64) (mem []byte, ended bool, err error) {
	room := size
	if room < 0 {
		room = 512
	}
	// One byte more than announced lets the read that fills the buffer be followed by the one that sees the end.
	mem = make([]byte, 0, room+1)
	for {
		if len(mem) == cap(mem) {
			mem = append(mem, 0)[:len(mem)]
		}
		n, err := r.Read(mem[len(mem):cap(mem)])
		mem = mem[:len(mem)+n]
		if err == io.EOF {
			return mem, true, nil
		}
		if err != nil {
			return nil, false, err
		}
		if int64(len(mem)) > over {
			return mem, false, nil
		}
	}
}

func (s *Spool) readFile(head []byte, r io.Reader, size, most int64) (body Body, err error) {
	dir, err := s.folder()
	if err != nil {
		return Body{}, err
	}
	f, err := os.CreateTemp(dir, "body-*")
	if err != nil {
		return Body{}, fmt.Errorf("spool body: %w", err)
	}
	defer func() {
		if cerr := f.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("spool body: %w", cerr)
		}
		if err != nil {
			body = Body{}
			_ = os.Remove(f.Name())
		}
	}()
	var w io.Writer = f
	var h hash.Hash
	if s.NewHash != nil {
		h = s.NewHash()
		w = io.MultiWriter(f, h)
	}
	src := io.MultiReader(bytes.NewReader(head), r)
	if most > 0 {
		src = io.LimitReader(src, most+1)
	}
	buf, _ := s.buffers.Get().(*[]byte)
	if buf == nil {
		b := make([]byte, 64<<10)
		buf = &b
	}
	defer s.buffers.Put(buf)
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{src}, *buf)
	switch {
	case err != nil:
		return Body{}, err
	case most > 0 && n > most:
		return Body{}, tooLarge(n, most)
	case size >= 0 && n < size:
		return Body{}, io.ErrUnexpectedEOF
	}
	file := &spoolFile{path: f.Name(), size: n}
	if h != nil {
		file.sums = map[string]string{s.Hash: hex.EncodeToString(h.Sum(nil))}
	}
	return Body{file: file}, nil
}

// folder makes the spool's own folder at its first use.
func (s *Spool) folder() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own != "" {
		return s.own, nil
	}
	dir := s.Dir
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", fmt.Errorf("spool folder: %w", err)
		}
	}
	own, err := os.MkdirTemp(dir, "tulle-spool-*")
	if err != nil {
		return "", fmt.Errorf("spool folder: %w", err)
	}
	s.own = own
	return own, nil
}

// Close removes the spool's folder with all that is left in it.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own == "" {
		return nil
	}
	err := os.RemoveAll(s.own)
	s.own = ""
	if err != nil {
		return fmt.Errorf("remove spool folder: %w", err)
	}
	return nil
}

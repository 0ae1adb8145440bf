package crawl

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
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
	return removeSpooled(b.file.path)
}

// removeSpooled removes a file of the spool, which may have gone with the spool.
func removeSpooled(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
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

// A Part is the beginning of a body whose transfer broke off: a file of the spool, and what was worked out of its hash. It is for one [Spool.ReadOn], or a Close.
type Part struct {
	path string
	size int64
	hash hash.Hash // nil if the spool does not hash
}

// Size is the number of bytes that are there.
func (p *Part) Size() int64 { return p.size }

// Intact reports whether the file still holds what was put there: somebody may have cleaned up.
func (p *Part) Intact() bool {
	info, err := os.Stat(p.path)
	return err == nil && info.Mode().IsRegular() && info.Size() == p.size
}

// Close removes the file.
func (p *Part) Close() error { return removeSpooled(p.path) }

// Read reads r to its end. size is what was announced, or -1. Beyond most bytes (none if most <= 0) it fails with [ErrBodyTooLarge]; a body
// that ends before size fails with io.ErrUnexpectedEOF. On any error nothing is left behind.
func (s *Spool) Read(r io.Reader, size, most int64) (Body, error) {
	body, part, err := s.ReadOn(nil, r, size, most)
	if part != nil {
		_ = part.Close() // The error in hand says more, and Close of the spool removes what is left.
	}
	return body, err
}

// ReadOn is Read for a transfer that may be continued: r has what comes after part, which is used up in any case; nil is nothing. size and most are the whole
// body's. If r fails, or ends before size, and the body went to a file, what has come so far is returned with the error. An error of the disk leaves nothing.
func (s *Spool) ReadOn(part *Part, r io.Reader, size, most int64) (Body, *Part, error) {
	if most > 0 && size > most {
		if part != nil {
			_ = part.Close() // as in Read
		}
		return Body{}, nil, tooLarge(size, most)
	}
	if part != nil {
		return s.readFile(part, nil, r, size, most)
	}
	over := s.Over
	if over <= 0 {
		over = 1 << 20
	}
	if size > over {
		return s.readFile(nil, nil, r, size, most)
	}
	inMem := over
	if most > 0 {
		inMem = min(over, most) // what is too large is given up at once, even if the next byte takes its time
	}
	mem, ended, err := readMem(r, size, inMem)
	if err != nil {
		return Body{}, nil, err
	}
	if most > 0 && int64(len(mem)) > most {
		return Body{}, nil, tooLarge(int64(len(mem)), most)
	}
	if ended {
		if size >= 0 && int64(len(mem)) < size {
			return Body{}, nil, io.ErrUnexpectedEOF
		}
		return Body{mem: mem}, nil, nil
	}
	return s.readFile(nil, mem, r, size, most)
}

func tooLarge(n, most int64) error {
	return fmt.Errorf("%w: %d bytes or more, %d are allowed", ErrBodyTooLarge, n, most)
}

// maxAhead is how much memory a body gets because it is announced. It has to come for more.
const maxAhead = 1 << 20

// readMem reads up to over bytes, and one more read's worth, into memory. ended says that r has no more.
func readMem(r io.Reader, size, over int64) (mem []byte, ended bool, err error) {
	room := min(size, maxAhead)
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

// readFile reads head and r into the file of a part, or into a new one.
func (s *Spool) readFile(part *Part, head []byte, r io.Reader, size, most int64) (body Body, left *Part, err error) {
	w, err := s.openFile(part)
	if err != nil {
		return Body{}, nil, err
	}
	defer func() {
		if cerr := w.file.Close(); cerr != nil {
			left = nil
			if err == nil {
				err = fmt.Errorf("spool body: %w", cerr)
			}
		}
		if err != nil {
			body = Body{}
			if left == nil {
				_ = removeSpooled(w.file.Name())
			}
		}
	}()
	src := io.MultiReader(bytes.NewReader(head), r)
	if most > 0 && most < math.MaxInt64 {
		src = io.LimitReader(src, most+1-w.size)
	}
	buf, _ := s.buffers.Get().(*[]byte)
	if buf == nil {
		b := make([]byte, 64<<10)
		buf = &b
	}
	defer s.buffers.Put(buf)
	_, err = io.CopyBuffer(w, struct{ io.Reader }{src}, *buf)
	switch {
	case w.err != nil:
		return Body{}, nil, w.err
	case most > 0 && w.size > most:
		return Body{}, nil, tooLarge(w.size, most)
	case err == nil && size >= 0 && w.size < size:
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return Body{}, &Part{path: w.file.Name(), size: w.size, hash: w.hash}, err
	}
	file := &spoolFile{path: w.file.Name(), size: w.size}
	if w.hash != nil {
		file.sums = map[string]string{s.Hash: hex.EncodeToString(w.hash.Sum(nil))}
	}
	return Body{file: file}, nil, nil
}

// openFile makes a file, or opens that of a part at its end.
func (s *Spool) openFile(part *Part) (*spoolWriter, error) {
	if part != nil {
		f, err := os.OpenFile(part.path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			_ = part.Close()
			return nil, fmt.Errorf("spool body: %w", err)
		}
		return &spoolWriter{file: f, size: part.size, hash: part.hash}, nil
	}
	dir, err := s.folder()
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, "body-*")
	if err != nil {
		return nil, fmt.Errorf("spool body: %w", err)
	}
	w := &spoolWriter{file: f}
	if s.NewHash != nil {
		w.hash = s.NewHash()
	}
	return w, nil
}

// spoolWriter writes a body into a file and a hash. Its err tells the disk's failures from the reader's.
type spoolWriter struct {
	file *os.File
	hash hash.Hash
	size int64
	err  error
}

func (w *spoolWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.size += int64(n)
	if err != nil {
		w.err = err
		return n, err
	}
	if w.hash != nil {
		w.hash.Write(p)
	}
	return n, nil
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

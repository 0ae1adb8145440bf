package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// keptInMemory is how many bytes of lines one page keeps in memory. What is more goes to the job's spool.
const keptInMemory = 1 << 20

// pageLines are the records that feeds keep with a page of a job until the page is done.
type pageLines struct {
	spool string // the folder, made when it is needed

	mu   sync.Mutex
	list []*pageText // Guarded by mu: one for each journal.
	size int         // Guarded by mu: bytes in memory.
	err  error       // Guarded by mu: the spool cannot be written; what is there is not whole.
}

// pageText is what a page keeps for one journal: what is in the file, then what is in memory.
type pageText struct {
	to      crawl.Journal
	file    *os.File // nil: all is in memory
	spooled int64    // bytes in the file
	mem     []byte
}

// add keeps a copy of a record.
func (l *pageLines) add(to crawl.Journal, record []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	i := slices.IndexFunc(l.list, func(t *pageText) bool { return t.to == to })
	if i < 0 {
		i = len(l.list)
		l.list = append(l.list, &pageText{to: to})
	}
	l.list[i].mem = append(l.list[i].mem, record...)
	if l.size += len(record); l.size <= keptInMemory {
		return nil
	}
	for _, t := range l.list {
		if err := t.write(l.spool); err != nil {
			l.err = fmt.Errorf("keep a page's items in %s: %w", l.spool, err)
			if errors.Is(err, syscall.ENOSPC) {
				l.err = fmt.Errorf("%w: %w", crawl.ErrDiskFull, l.err)
			}
			return l.err
		}
	}
	l.size = 0
	return nil
}

// write moves what is in memory to the file.
func (t *pageText) write(dir string) (err error) {
	if len(t.mem) == 0 {
		return nil
	}
	if t.file == nil {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if t.file, err = os.CreateTemp(dir, "lines-*"); err != nil {
			return err
		}
	}
	n, err := t.file.Write(t.mem)
	t.spooled += int64(n)
	t.mem = t.mem[:0]
	return err
}

// take hands over what was kept so far.
func (l *pageLines) take() []crawl.Lines {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []crawl.Lines
	for _, t := range l.list {
		text := t.reader()
		all = append(all, crawl.Lines{Journal: t.to, Text: text, Size: text.size})
	}
	l.list, l.size = nil, 0
	return all
}

func (t *pageText) reader() *keptText {
	mem := bytes.NewReader(t.mem)
	if t.file == nil {
		return &keptText{Reader: mem, size: mem.Size()}
	}
	return &keptText{
		Reader: io.MultiReader(io.NewSectionReader(t.file, 0, t.spooled), mem),
		size:   t.spooled + mem.Size(), file: t.file,
	}
}

// keptText is the Text of a crawl.Lines. Closing it removes its file.
type keptText struct {
	io.Reader
	size int64
	file *os.File
}

func (t *keptText) Close() error {
	if t.file == nil {
		return nil
	}
	return errors.Join(t.file.Close(), os.Remove(t.file.Name()))
}

// keepLine is what crawl.KeepWithPage calls for the page's items. If the spool cannot be written the page keeps its lease, and the crawl ends.
func (p *page) keepLine(to crawl.Journal, record []byte) error {
	if p.abandoned.Load() {
		return crawl.ErrStopping
	}
	err := p.lines.add(to, record)
	if err == nil {
		return nil
	}
	p.keep.Store(true)
	p.e.do(func(l *loop) {
		if l.failure == nil {
			l.e.log.Error("items cannot be kept with their page", zap.Stringer("page", p), zap.Error(err))
		}
		l.fail(err)
	})
	return crawl.ErrStopping
}

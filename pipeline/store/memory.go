package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// Memory keeps files in memory: for tests, and for programs that use the files at once. The zero value is ready. It is safe for concurrent use.
type Memory struct {
	mu    sync.RWMutex
	files map[string]memoryFile // Guarded by mu. What the files hold is not changed.
}

type memoryFile struct {
	data []byte
	info crawl.Info
}

var (
	_ crawl.Store   = (*Memory)(nil)
	_ crawl.Toucher = (*Memory)(nil)
	_ Recorder      = (*Memory)(nil)
)

// Put implements [crawl.Store].
func (m *Memory) Put(ctx context.Context, name string, r io.Reader, meta crawl.Meta) error {
	if err := CheckName(name); err != nil {
		return err
	}
	data, err := io.ReadAll(&reader{ctx: ctx, r: r})
	if err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files == nil {
		m.files = make(map[string]memoryFile)
	}
	m.files[name] = memoryFile{data: data, info: crawl.Info{Size: int64(len(data)), ModTime: time.Now().UTC(), Meta: cloneMeta(meta)}}
	return nil
}

// Stat implements [crawl.Store].
func (m *Memory) Stat(ctx context.Context, name string) (crawl.Info, error) {
	f, err := m.file(ctx, "stat", name)
	if err != nil {
		return crawl.Info{}, err
	}
	f.info.Meta = cloneMeta(f.info.Meta)
	return f.info, nil
}

// Open implements [crawl.Store]. What it returns is an io.Seeker too.
func (m *Memory) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	f, err := m.file(ctx, "open", name)
	if err != nil {
		return nil, err
	}
	return memoryReader{bytes.NewReader(f.data)}, nil
}

// Touch implements [crawl.Toucher].
func (m *Memory) Touch(ctx context.Context, name string, meta crawl.Meta) error {
	return m.change(ctx, "touch", name, func(info *crawl.Info) {
		info.ModTime, info.Meta = time.Now().UTC(), cloneMeta(meta)
	})
}

// Record implements [Recorder].
func (m *Memory) Record(ctx context.Context, name string, known crawl.Info) error {
	return m.change(ctx, "record", name, func(info *crawl.Info) {
		if info.Size == known.Size && info.ModTime.Equal(known.ModTime) {
			info.Meta = cloneMeta(known.Meta)
		}
	})
}

// Names are the names of all files, in order, without the store's own notes.
func (m *Memory) Names() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var names []string
	for name := range m.files {
		if len(name) < len(Private) || name[:len(Private)] != Private {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (m *Memory) file(ctx context.Context, op, name string) (memoryFile, error) {
	if err := CheckName(name); err != nil {
		return memoryFile{}, err
	}
	if err := ctx.Err(); err != nil {
		return memoryFile{}, fmt.Errorf("%s %s: %w", op, name, err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	f, ok := m.files[name]
	if !ok {
		return memoryFile{}, fmt.Errorf("%s %s: %w", op, name, fs.ErrNotExist)
	}
	return f, nil
}

func (m *Memory) change(ctx context.Context, op, name string, f func(*crawl.Info)) error {
	if _, err := m.file(ctx, op, name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	file := m.files[name]
	f(&file.info)
	m.files[name] = file
	return nil
}

func cloneMeta(m crawl.Meta) crawl.Meta {
	m.Thumbs = maps.Clone(m.Thumbs)
	return m
}

type memoryReader struct{ *bytes.Reader }

func (memoryReader) Close() error { return nil }

// reader ends when its context does.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

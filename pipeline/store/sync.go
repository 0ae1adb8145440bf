package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
)

const (
	// syncsAtOnce is how many files or folders one Sync has the disk write at once: a disk takes many together in little more time than one.
	syncsAtOnce = 16
	// maxSafe bounds what a Dir remembers of what is safe.
	maxSafe = 10_000
)

// safety remembers which files have been synced and not been changed by this Dir since. It may forget: then a file is synced again. The zero value is ready.
type safety struct {
	mu    sync.Mutex
	files map[string]uint64 // Guarded by mu: by name, the Sync that is at work on it, or safe.
	last  uint64            // Guarded by mu.
}

// safe is the mark of a file that has been synced.
const safe = 0

// begin returns those of names that are not known to be safe, each once, and the number under which they are now worked on.
func (s *safety) begin(names []string) (todo []string, number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil || len(s.files) > maxSafe {
		s.files = make(map[string]uint64)
	}
	s.last++
	for _, name := range names {
		if at, known := s.files[name]; known && (at == safe || at == s.last) {
			continue
		}
		s.files[name] = s.last
		todo = append(todo, name)
	}
	return todo, s.last
}

// end marks as safe what was worked on under number and has not changed meanwhile.
func (s *safety) end(names []string, number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if at, known := s.files[name]; known && at == number {
			s.files[name] = safe
		}
	}
}

// changed is called when a file, or its record, is no longer what it was.
func (s *safety) changed(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, name)
}

// Sync implements [crawl.Syncer]: files, their records, and the folders up to that of the Dir and above, if they were made for it. What this Dir has synced and not
// changed since costs nothing.
func (d *Dir) Sync(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := CheckName(name); err != nil {
			return err
		}
	}
	todo, number := d.safety.begin(names)
	if len(todo) == 0 {
		return nil
	}
	if err := d.sync(ctx, todo); err != nil {
		return fmt.Errorf("sync store %s: %w", d.path, err)
	}
	d.safety.end(todo, number)
	return nil
}

func (d *Dir) sync(ctx context.Context, names []string) error {
	files := make([]string, 0, 2*len(names))
	for _, name := range names {
		files = append(files, name, metaDir+name)
	}
	var folders []string
	seen := make(map[string]bool)
	for _, name := range files {
		for dir := path.Dir(name); !seen[dir]; dir = path.Dir(dir) {
			seen[dir] = true
			folders = append(folders, dir)
		}
	}
	if err := together(ctx, files, d.syncFile); err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		return nil // It cannot sync folders.
	}
	if err := together(ctx, folders, d.syncFolder); err != nil {
		return err
	}
	return d.syncAbove()
}

// syncFile syncs a file, if it is there.
func (d *Dir) syncFile(name string) error {
	info, err := d.root.Stat(name)
	switch {
	case errors.Is(notExist(err), fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return nil
	}
	flag := os.O_RDONLY
	if runtime.GOOS == "windows" {
		flag = os.O_RDWR // or it refuses
	}
	f, err := d.root.OpenFile(name, flag, 0)
	return synced(f, err)
}

// syncFolder makes the names in a folder safe, if it is there.
func (d *Dir) syncFolder(name string) error {
	f, err := d.root.Open(name)
	return synced(f, err)
}

// syncAbove makes the name of the Dir's own folder safe, once. It may have been made by a process that was killed before it came to that.
func (d *Dir) syncAbove() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, dir := range d.above {
		f, err := os.Open(dir)
		if errors.Is(err, fs.ErrPermission) {
			continue // It was there before, and not for us to make safe.
		}
		if err := synced(f, err); err != nil {
			return err
		}
	}
	d.above = nil
	return nil
}

// folderNames are the folders in which the names of dir and of those above it stand that are not there yet.
func folderNames(dir string) (above []string) {
	for {
		parent := filepath.Dir(dir)
		if parent == dir {
			return above
		}
		above = append(above, parent)
		if _, err := os.Stat(parent); err == nil {
			return above
		}
		dir = parent
	}
}

// synced syncs and closes what was opened. What is gone is safe, and so is what the file system has no sync for.
func synced(f *os.File, err error) error {
	if err != nil {
		if errors.Is(notExist(err), fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err = f.Sync(); errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// together calls f for all of list, several at a time, and returns their errors. When ctx ends it begins no more.
func together(ctx context.Context, list []string, f func(string) error) error {
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		mu   sync.Mutex
		errs []error
	)
	for range min(len(list), syncsAtOnce) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(list) {
					return
				}
				if err := f(list[i]); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

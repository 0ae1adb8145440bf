package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// Files keeps entries as files of a folder: KEY's first two characters, a slash, KEY. A file is written under another name, and gets its own by a rename: at any moment it
// is a whole entry or none, whoever is killed, and several processes may share the folder.
type Files struct{ dir folder }

var _ crawl.CacheStorage = (*Files)(nil)

// OpenFiles opens a folder, which is made if need be.
func OpenFiles(dir string) (*Files, error) {
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	return &Files{f}, nil
}

// Load implements [crawl.CacheStorage].
func (f *Files) Load(key string) ([]byte, error) { return os.ReadFile(f.dir.file(key)) }

// Store implements [crawl.CacheStorage].
func (f *Files) Store(key string, entry []byte) error {
	return f.dir.place(key, func(tmp *os.File) error {
		_, err := tmp.Write(entry)
		return err
	})
}

// Remove implements [crawl.CacheStorage].
func (f *Files) Remove(key string) error { return f.dir.remove(key) }

// Close implements [crawl.CacheStorage].
func (f *Files) Close() error { return nil }

// Walk implements [crawl.CacheWalker]. A file takes whole blocks.
func (f *Files) Walk(ctx context.Context, each func(key string, size int64, stored time.Time)) error {
	return f.dir.walk(ctx, func(info fs.FileInfo) { each(info.Name(), OnDisk(info.Size()), info.ModTime()) })
}

// OnDisk is about what a file of size bytes takes: most file systems have blocks of 4 KiB.
func OnDisk(size int64) int64 { return (size + 4095) &^ 4095 }

// A folder keeps files below folders that are named by their first two characters. What is being written is in tmp.
type folder struct{ path string }

const (
	tmpFolder  = "tmp"
	abandoned  = time.Hour // nobody writes a file of the cache for so long
	folderMode = 0o700     // pages have what only their user should see
)

func openFolder(dir string) (folder, error) {
	f := folder{dir}
	if err := os.MkdirAll(filepath.Join(dir, tmpFolder), folderMode); err != nil {
		return f, err
	}
	return f, f.sweep()
}

// sweep removes what a crash has left half-written.
func (f folder) sweep() error {
	list, err := os.ReadDir(filepath.Join(f.path, tmpFolder))
	if err != nil {
		return err
	}
	for _, e := range list {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > abandoned {
			_ = os.Remove(filepath.Join(f.path, tmpFolder, e.Name())) // else another crawl has done it, or the next one will
		}
	}
	return nil
}

// walk calls each with all files of the folder, of which it reads some at a time.
func (f folder) walk(ctx context.Context, each func(fs.FileInfo)) error {
	folders, err := os.ReadDir(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, dir := range folders {
		if err == nil && dir.IsDir() && len(dir.Name()) == 2 {
			err = f.walkIn(ctx, dir.Name(), each)
		}
	}
	return err
}

func (f folder) walkIn(ctx context.Context, name string, each func(fs.FileInfo)) error {
	dir, err := os.Open(filepath.Join(f.path, name))
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		list, err := dir.ReadDir(1000)
		for _, e := range list {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			// Somebody may have removed it meanwhile.
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() && strings.HasPrefix(e.Name(), name) {
				each(info)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (f folder) file(name string) string { return filepath.Join(f.path, name[:2], name) }

// place writes a file and gives it its name.
func (f folder) place(name string, write func(*os.File) error) error {
	tmp, err := os.CreateTemp(filepath.Join(f.path, tmpFolder), name+".*")
	if err != nil {
		return err
	}
	err = errors.Join(write(tmp), tmp.Close())
	if err == nil {
		err = f.rename(tmp.Name(), name)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("store %s: %w", name, err)
	}
	return nil
}

// rename makes the file's folder if it is the first one there.
func (f folder) rename(from, name string) error {
	err := os.Rename(from, f.file(name))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.file(name)), folderMode); err != nil {
		return err
	}
	return os.Rename(from, f.file(name))
}

func (f folder) remove(name string) error {
	if err := os.Remove(f.file(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/tulle-go/tulle/crawl"
)

// Bodies keeps bodies that are too large for an entry, each in a file of its own with a name that is never used again: an entry that is replaced names another file, and
// who still reads the old one reads it to its end.
type Bodies struct {
	path string
	zip  *Zipper
	made func() (folder, error) // the folder is made with the first body
}

// OpenBodies keeps bodies in a folder, which is made with the first one.
func OpenBodies(dir string, zip *Zipper) *Bodies {
	return &Bodies{path: dir, zip: zip, made: sync.OnceValues(func() (folder, error) { return openFolder(dir) })}
}

// Put keeps a body for an entry, and returns the file's name. A body that is in a spool file is shared with it where the file system allows; compressed or in another
// file system it is copied.
func (b *Bodies) Put(key string, body crawl.Body, compress bool) (string, error) {
	dir, err := b.made()
	if err != nil {
		return "", err
	}
	name := key + "." + strings.ToLower(rand.Text())
	if path := body.Path(); path != "" && !compress && b.link(dir, path, name) {
		return name, nil
	}
	r, err := body.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	return name, dir.place(name, func(tmp *os.File) error {
		if compress {
			return b.zip.Copy(tmp, r)
		}
		_, err := io.Copy(tmp, r)
		return err
	})
}

// link reports whether it could.
func (b *Bodies) link(dir folder, path, name string) bool {
	if os.Link(path, dir.file(name)) == nil {
		return true
	}
	if os.MkdirAll(filepath.Dir(dir.file(name)), folderMode) != nil {
		return false
	}
	return os.Link(path, dir.file(name)) == nil
}

// Read takes a body into memory or the spool, as if it came from the wire. It is a copy: what a pipeline does with its file is nothing to the cache.
func (b *Bodies) Read(h *Head, spool *crawl.Spool) (body crawl.Body, err error) {
	if len(h.File) < 2 || filepath.Base(h.File) != h.File {
		return crawl.Body{}, fmt.Errorf("the body's file %q has no such name", h.File)
	}
	f, err := os.Open(folder{b.path}.file(h.File))
	if err != nil {
		return crawl.Body{}, err
	}
	defer f.Close()
	r := io.Reader(f)
	if h.Gzip {
		if r, err = gzip.NewReader(f); err != nil {
			return crawl.Body{}, err
		}
	}
	if body, err = spool.Read(r, h.Size, h.Size); err != nil {
		return crawl.Body{}, err
	}
	if sum, ok := body.Sum(h.Algorithm); ok && sum != h.Sum {
		return crawl.Body{}, errors.Join(errors.New("the body's checksum is wrong"), body.Close())
	}
	return body, nil
}

// Sweep removes the files that no entry names: two answers that came at once have each stored theirs, or somebody was killed between body and entry. file tells which one a
// key's entry names, "" being none, and false that it cannot be told. Files of the last hour are let be: their entry may be on its way. It returns early when ctx ends.
func (b *Bodies) Sweep(ctx context.Context, file func(key string) (name string, ok bool)) (removed int) {
	folders, err := os.ReadDir(b.path)
	if err != nil {
		return 0 // there is none
	}
	for _, dir := range folders {
		list, err := os.ReadDir(filepath.Join(b.path, dir.Name()))
		if err != nil || !dir.IsDir() || dir.Name() == tmpFolder {
			continue
		}
		for _, e := range list {
			if ctx.Err() != nil {
				return removed
			}
			key, _, ok := strings.Cut(e.Name(), ".")
			if info, err := e.Info(); !ok || err != nil || time.Since(info.ModTime()) < abandoned {
				continue
			}
			if named, ok := file(key); ok && named != e.Name() && b.Remove(e.Name()) == nil {
				removed++
			}
		}
	}
	return removed
}

// Walk calls each with every body's file: the key of the entry that it was stored for, its name, size in bytes, and when it was written.
func (b *Bodies) Walk(ctx context.Context, each func(key, name string, size int64, written time.Time)) error {
	return folder{b.path}.walk(ctx, func(info fs.FileInfo) {
		if key, _, ok := strings.Cut(info.Name(), "."); ok {
			each(key, info.Name(), OnDisk(info.Size()), info.ModTime())
		}
	})
}

// Size is how many bytes a body's file takes, 0 if there is none.
func (b *Bodies) Size(name string) int64 {
	if len(name) < 2 {
		return 0
	}
	info, err := os.Stat(folder{b.path}.file(name))
	if err != nil {
		return 0
	}
	return OnDisk(info.Size())
}

// Move gives a body's file to another key's entry, and returns its new name.
func (b *Bodies) Move(name, key string) (string, error) {
	to := key + "." + strings.ToLower(rand.Text())
	dir := folder{b.path}
	return to, dir.rename(dir.file(name), to)
}

// Remove removes a body's file.
func (b *Bodies) Remove(name string) error {
	if len(name) < 2 {
		return nil
	}
	return folder{b.path}.remove(name)
}

package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// replaceFile writes a file whole, or leaves the old one. It makes the folder.
func replaceFile(name string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	_, err := saveFile(name, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(b))
		return err
	})
	return err
}

// saveFile writes a file whole, or leaves the old one, and reports whether there was one. What is no regular file, such as /dev/stdout, is written into. Errors name the
// file, and not the one beside it.
func saveFile(name string, write func(io.Writer) error) (replaced bool, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", name, bareError(err))
		}
	}()
	place := name
	mode := fs.FileMode(0o666)
	if info, err := os.Stat(name); err == nil {
		if !info.Mode().IsRegular() {
			file, err := os.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0)
			if err != nil {
				return false, err
			}
			return false, errors.Join(write(file), file.Close())
		}
		if place, err = filepath.EvalSymlinks(name); err != nil { // a link stays one
			return false, err
		}
		replaced, mode = true, info.Mode().Perm()
	}
	beside := filepath.Join(filepath.Dir(place), fmt.Sprintf(".new-%x", rand.Uint64()))
	file, err := os.OpenFile(beside, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return replaced, err
	}
	err = write(file)
	if replaced {
		err = errors.Join(err, file.Chmod(mode)) // whatever the umask is
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(beside, place)
	}
	if err != nil {
		_ = os.Remove(beside)
	}
	return replaced, err
}

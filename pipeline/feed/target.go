package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/tulle-go/tulle/crawl"
)

// targets are the built-in places.
func targets() map[string]crawl.FeedTarget {
	return map[string]crawl.FeedTarget{"": openFile, "file": openFile, "-": openStdout}
}

// scheme is "-" for standard output, "" for a file's name.
func scheme(uri string) string {
	if uri == "-" || strings.HasPrefix(uri, "stdout:") {
		return "-"
	}
	s, _, ok := strings.Cut(uri, "://")
	if !ok {
		if isFileURI(uri) {
			return "file"
		}
		return ""
	}
	return strings.ToLower(s)
}

// isFileURI reports whether a URI is one as RFC 8089 has them too: file:/path.
func isFileURI(uri string) bool {
	return len(uri) > 5 && strings.EqualFold(uri[:5], "file:") && uri[5] == '/'
}

// likeScheme is what a file's name begins with if it looks as the name of a target does: letters and a colon, and then a slash, or the name is one of those that are known.
// A letter alone is a drive.
var likeScheme = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]+):(.*)`)

// checkName is an error if a file's name is rather meant to be another target.
func checkName(uri string, known func(scheme string) bool) error {
	m := likeScheme.FindStringSubmatch(uri)
	if m == nil || isFileURI(uri) {
		return nil
	}
	kind := strings.ToLower(m[1])
	if !strings.HasPrefix(m[2], "/") && !strings.HasPrefix(m[2], `\`) && !known(kind) && howToLink(kind) == "" {
		return nil
	}
	return fmt.Errorf("%s: looks like a target and not like a file's name: write %s://… for a target, or ./%s for a file of that name", m[1], kind, uri)
}

// file is a feed in a file.
type file struct {
	*os.File
	info  fs.FileInfo
	made  []string // by opening it: folders, outermost first, and the file
	named bool     // the names are safe too. Owned by whoever calls Sync, one at a time.
}

var _ crawl.FeedRewriter = (*file)(nil)

func openFile(_ context.Context, feed crawl.Feed, _ *crawl.Env) (crawl.FeedFile, error) {
	name, err := fileName(feed.URI)
	if err != nil {
		return nil, err
	}
	f := &file{made: missing(name)}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, errors.Join(err, f.remove())
	}
	if f.File, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, errors.Join(err, f.remove())
	}
	if f.info, err = f.Stat(); err != nil {
		return nil, errors.Join(err, f.Undo())
	}
	if !f.info.Mode().IsRegular() {
		// A pipe or a device is written from front to back.
		return plain{f.File}, nil
	}
	return f, nil
}

// fileName is the name of the file at a URI without a scheme, or with file.
func fileName(uri string) (string, error) {
	if scheme(uri) != "file" {
		return uri, nil
	}
	u, err := url.Parse(uri)
	if err != nil {
		return "", err
	}
	if u.Host != "" && !strings.EqualFold(u.Host, "localhost") {
		return "", fmt.Errorf("%s would be another machine: write file:///path, or the path alone, which may be relative", u.Host)
	}
	name := filepath.FromSlash(u.Path)
	if drive := strings.TrimPrefix(name, `\`); filepath.VolumeName(drive) != "" {
		return drive, nil // file:///C:/x.csv, on Windows
	}
	return name, nil
}

// missing are the file and the folders above it that are not there, outermost first.
func missing(name string) []string {
	var list []string
	for {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			slices.Reverse(list)
			return list
		}
		list = append(list, name)
		name = filepath.Dir(name)
	}
}

func (f *file) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Sync makes what was written survive a power cut; the first time also the file's name, and the folders that were made for it. The name is synced although the
// file was there before: the process that made it may have been killed before it came to that.
func (f *file) Sync() error {
	if err := f.File.Sync(); err != nil || f.named {
		return err
	}
	if err := syncFolder(filepath.Dir(f.Name())); err != nil {
		return err
	}
	for _, name := range f.made {
		if dir := filepath.Dir(name); dir != filepath.Dir(f.Name()) {
			if err := syncFolder(dir); err != nil {
				return err
			}
		}
	}
	f.named = true
	return nil
}

// syncFolder makes the names in a folder survive a power cut, where the system can. A folder that may not be read cannot be synced, and is no reason to stop.
func syncFolder(name string) error {
	if runtime.GOOS == "windows" {
		return nil // It has nothing of the kind.
	}
	d, err := os.Open(name)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	} else if err != nil {
		return err
	}
	if err = d.Sync(); errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// Undo closes the file, and removes what opening it has made.
func (f *file) Undo() error { return errors.Join(f.Close(), f.remove()) }

// remove takes away what was made, as far as it is empty: somebody else may have put something there.
func (f *file) remove() error {
	for _, name := range slices.Backward(f.made) {
		info, err := os.Lstat(name)
		if err != nil || !info.IsDir() && (!info.Mode().IsRegular() || info.Size() > 0) {
			continue
		}
		if err := os.Remove(name); err != nil && !info.IsDir() {
			return err
		}
	}
	return nil
}

// plain is what can only be written.
type plain struct{ f *os.File }

func (p plain) Write(b []byte) (int, error) { return p.f.Write(b) }
func (p plain) Sync() error                 { return nil }
func (p plain) Close() error                { return p.f.Close() }

// stdout is the program's standard output, which is not closed.
type stdout struct{ io.Writer }

func (stdout) Sync() error  { return nil }
func (stdout) Close() error { return nil }

func openStdout(_ context.Context, _ crawl.Feed, env *crawl.Env) (crawl.FeedFile, error) {
	if env.Settings.Stdout != nil {
		return stdout{env.Settings.Stdout}, nil
	}
	return stdout{os.Stdout}, nil
}

// howToLink says, behind an error, how a program gets a part of ours that it has not linked; "" for what is none.
func howToLink(kind string) string {
	what := map[string]string{
		"parquet": "feed/parquet, and put its Format into Parts.Formats",
		"s3":      "store/s3, and put its Open into Parts.Stores",
		"gs":      "store/gcs, and put its Open into Parts.Stores",
		"ftp":     "store/ftp, and put its Open into Parts.Stores",
		"ftps":    "store/ftp, and put its Open into Parts.Stores",
	}[kind]
	if what == "" {
		return ""
	}
	return fmt.Sprintf("; for %q import github.com/tulle-go/tulle/pipeline/%s", kind, what)
}

// names lists what there is, for an error.
func names[T any](builtIn, linked map[string]T) string {
	all := maps.Clone(builtIn)
	maps.Copy(all, linked)
	var list []string
	for _, n := range slices.Sorted(maps.Keys(all)) {
		if n != "" {
			list = append(list, fmt.Sprintf("%q", n))
		}
	}
	return strings.Join(list, ", ")
}

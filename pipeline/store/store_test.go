package store_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
	"github.com/tulle-go/tulle/pipeline/store/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashIn); dir != "" {
		crash(dir)
	}
	goleak.VerifyTestMain(m)
}

func openDir(t *testing.T, dir string) *store.Dir {
	t.Helper()
	d, err := store.OpenDir(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func put(t *testing.T, s crawl.Store, name, content string) {
	t.Helper()
	require.NoError(t, s.Put(t.Context(), name, strings.NewReader(content), crawl.Meta{Checksum: "1"}))
}

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("dir", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(t *testing.T) crawl.Store { return openDir(t, t.TempDir()) })
	})
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(*testing.T) crawl.Store { return new(store.Memory) })
	})
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	for _, name := range storetest.BadNames() {
		require.ErrorIs(t, store.CheckName(name), store.ErrName, "%q", name)
	}
	long := store.CheckName(strings.Repeat("x", 5000))
	require.Less(t, len(long.Error()), 400, "an error is for reading")
}

func TestMemoryNames(t *testing.T) {
	t.Parallel()
	var m store.Memory
	require.Empty(t, m.Names())
	put(t, &m, "full/b", "b")
	put(t, &m, "full/a", "a")
	put(t, &m, store.By+"0123", "{}")
	require.Equal(t, []string{"full/a", "full/b"}, m.Names())
}

// files lists what is in a folder, the store's own notes apart.
func files(t *testing.T, dir string) (visible, hidden []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		require.NoError(t, err)
		if e.IsDir() {
			return nil
		}
		rel, err := filepath.Rel(dir, p)
		require.NoError(t, err)
		if rel = filepath.ToSlash(rel); strings.HasPrefix(rel, store.Private) {
			hidden = append(hidden, rel)
		} else {
			visible = append(visible, rel)
		}
		return nil
	}))
	return visible, hidden
}

// F1
func TestDirMakesItsParents(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	d := openDir(t, dir)
	put(t, d, "full/x.jpg", "x")
	visible, hidden := files(t, dir)
	require.Equal(t, []string{"full/x.jpg"}, visible)
	require.Equal(t, []string{".tulle/meta/full/x.jpg"}, hidden)
}

// F2
func TestDirSurvivesItsFoldersBeingDeleted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	put(t, d, "full/x.jpg", "x")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "full")))
	put(t, d, "full/y.jpg", "y")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, ".tulle")))
	put(t, d, "full/z.jpg", "z")
	visible, _ := files(t, dir)
	require.Equal(t, []string{"full/y.jpg", "full/z.jpg"}, visible)
}

func TestDirFilesCanBeReadByOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	local := filepath.Join(t.TempDir(), "spooled")
	require.NoError(t, os.WriteFile(local, []byte("x"), 0o600))
	put(t, d, "put", "x")
	took, err := d.Adopt(t.Context(), "adopted", local, crawl.Meta{})
	require.NoError(t, err)
	require.True(t, took)
	for _, name := range []string{"put", "adopted"} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o644)&^umask(t), info.Mode().Perm(), name)
	}
}

// umask is what the system keeps from new files.
func umask(t *testing.T) fs.FileMode {
	t.Helper()
	probe := filepath.Join(t.TempDir(), "probe")
	f, err := os.OpenFile(probe, os.O_CREATE, 0o777)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	info, err := f.Stat()
	require.NoError(t, err)
	return 0o777 &^ info.Mode().Perm()
}

func TestDirAdoptLeavesTheFileWhenItCannot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	put(t, d, "full/x", "x")
	local := filepath.Join(t.TempDir(), "spooled")
	require.NoError(t, os.WriteFile(local, []byte("bytes"), 0o600))
	took, err := d.Adopt(t.Context(), "full", local, crawl.Meta{}) // a folder is there
	require.Error(t, err)
	require.False(t, took)
	b, err := os.ReadFile(local)
	require.NoError(t, err)
	require.Equal(t, "bytes", string(b))

	took, err = d.Adopt(t.Context(), "full/y", filepath.Join(dir, "no such file"), crawl.Meta{})
	require.NoError(t, err)
	require.False(t, took)
}

// A record counts only for the file that it was made for.
func TestDirRecordIsForOneVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	path := filepath.Join(dir, "full", "x")
	damage := map[string]func(t *testing.T){
		"other size": func(t *testing.T) { require.NoError(t, os.WriteFile(path, []byte("longer than it was"), 0o600)) },
		"other time": func(t *testing.T) { require.NoError(t, os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour))) },
		"cut record": func(t *testing.T) {
			require.NoError(t, os.Truncate(filepath.Join(dir, ".tulle", "meta", "full", "x"), 20))
		},
		"no record": func(t *testing.T) { require.NoError(t, os.Remove(filepath.Join(dir, ".tulle", "meta", "full", "x"))) },
	}
	for name, break_ := range damage {
		put(t, d, "full/x", "x")
		info, err := d.Stat(t.Context(), "full/x")
		require.NoError(t, err)
		require.Equal(t, "1", info.Meta.Checksum)
		break_(t)
		info, err = d.Stat(t.Context(), "full/x")
		require.NoError(t, err, name)
		require.Empty(t, info.Meta, name)
	}
}

// TestDirAfterAPowerCut has files of which not all bytes have reached the disk.
func TestDirAfterAPowerCut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := openDir(t, dir)
	path, meta := filepath.Join(dir, "full", "x"), filepath.Join(dir, ".tulle", "meta", "full", "x")
	later := time.Now().Add(time.Minute)
	truncate := func(t *testing.T, size int64, at time.Time) {
		require.NoError(t, os.Truncate(path, size))
		require.NoError(t, os.Chtimes(path, at, at))
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, written time.Time)
		fresh  bool
	}{
		{"cut short", func(t *testing.T, written time.Time) { truncate(t, 3, written) }, false},
		{"cut short at an earlier write", func(t *testing.T, written time.Time) { truncate(t, 3, written.Add(-time.Second)) }, false},
		{"empty", func(t *testing.T, written time.Time) { truncate(t, 0, written) }, false},
		{"record empty", func(t *testing.T, _ time.Time) { require.NoError(t, os.Truncate(meta, 0)) }, false},
		{"record cut short", func(t *testing.T, _ time.Time) { require.NoError(t, os.Truncate(meta, 20)) }, false},
		{"record gone", func(t *testing.T, _ time.Time) { require.NoError(t, os.Remove(meta)) }, true},
		{"replaced by somebody", func(t *testing.T, _ time.Time) { truncate(t, 3, later) }, true},
		{"replaced by something longer", func(t *testing.T, written time.Time) { truncate(t, 30, written) }, true},
	} {
		put(t, d, "full/x", "some bytes")
		info, err := d.Stat(t.Context(), "full/x")
		require.NoError(t, err)
		require.Equal(t, "1", info.Meta.Checksum)
		c.damage(t, info.ModTime)
		info, err = d.Stat(t.Context(), "full/x")
		require.NoError(t, err, c.name)
		require.Empty(t, info.Meta, c.name)
		require.Equal(t, c.fresh, !info.ModTime.IsZero(), c.name)
	}
}

// N4
func TestDirIsNotLeftThroughALink(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o600))
	if err := os.Symlink(outside, filepath.Join(dir, "full")); err != nil {
		t.Skip("no symbolic links here")
	}
	d := openDir(t, dir)
	require.Error(t, d.Put(t.Context(), "full/x", strings.NewReader("x"), crawl.Meta{}))
	local := filepath.Join(t.TempDir(), "spooled")
	require.NoError(t, os.WriteFile(local, []byte("bytes"), 0o600))
	_, err := d.Adopt(t.Context(), "full/y", local, crawl.Meta{})
	require.Error(t, err)
	_, err = d.Open(t.Context(), "full/secret")
	require.Error(t, err)
	_, err = d.Stat(t.Context(), "full/secret")
	require.Error(t, err)
	visible, _ := files(t, outside)
	require.Equal(t, []string{"secret"}, visible)
}

func TestDirSweepsOnlyWhatNobodyOwns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := openDir(t, dir)
	started, release := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- first.Put(context.Background(), "full/slow", &gatedReader{started: started, release: release}, crawl.Meta{})
	}()
	<-started
	second := openDir(t, dir) // must not take the unfinished file away from the first
	put(t, second, "full/x", "x")
	close(release)
	require.NoError(t, <-done)
	visible, _ := files(t, dir)
	require.Equal(t, []string{"full/slow", "full/x"}, visible)
}

// gatedReader yields a byte, waits, and yields another.
type gatedReader struct {
	started, release chan struct{}
	n                int
}

func (r *gatedReader) Read(p []byte) (int, error) {
	switch r.n++; r.n {
	case 1:
	case 2:
		close(r.started)
		<-r.release
	default:
		return 0, io.EOF
	}
	p[0] = 'x'
	return 1, nil
}

const crashIn = "STORE_TEST_CRASH_IN"

// crash dies in the middle of writing a file.
func crash(dir string) {
	d, err := store.OpenDir(dir)
	if err != nil {
		os.Exit(3)
	}
	_ = d.Put(context.Background(), "full/old", strings.NewReader("whole"), crawl.Meta{})
	_ = d.Put(context.Background(), "full/new", dyingReader{}, crawl.Meta{})
}

type dyingReader struct{}

func (dyingReader) Read([]byte) (int, error) {
	os.Exit(42)
	return 0, nil
}

// E8 F2
func TestDirAfterACrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashIn+"="+dir)
	err := cmd.Run()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 42, exit.ExitCode())
	visible, hidden := files(t, dir)
	require.Equal(t, []string{"full/old"}, visible)
	require.Len(t, hidden, 1, "the unfinished file")

	openDir(t, dir)
	visible, hidden = files(t, dir)
	require.Equal(t, []string{"full/old"}, visible)
	require.Empty(t, hidden)
}

// A folder that nothing can be written to is known before the crawl has begun.
func TestDirThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if os.Geteuid() == 0 { // who may write everywhere
		require.NoError(t, os.WriteFile(filepath.Join(dir, ".tulle"), nil, 0o600))
	} else {
		require.NoError(t, os.Chmod(dir, 0o500))
	}
	_, err := store.OpenDir(dir)
	require.ErrorContains(t, err, "the folder can't be written to: ")
}

func TestOpen(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	other := new(store.Memory)
	env := &crawl.Env{
		Spider: &crawl.Spider{Name: "shop"},
		Settings: &crawl.Settings{Parts: crawl.Parts{Stores: map[string]crawl.OpenStore{
			"s3": func(_ context.Context, uri string, _ *crawl.Env) (crawl.Store, error) {
				if uri == "s3://bucket/shop" {
					return other, nil
				}
				return nil, fmt.Errorf("no bucket")
			},
		}}},
	}
	for uri, dir := range map[string]string{
		base + "/plain":              "plain",
		"file://" + base + "/uri":    "uri",
		"FILE://" + base + "/UPPER":  "UPPER",
		"file://localhost" + base:    "",
		base + "/s3:bucket":          "s3:bucket",
		base + "/of-{spider}/images": "of-shop/images",
	} {
		s, err := store.Open(t.Context(), uri, env)
		require.NoError(t, err, uri)
		put(t, s, "x", "x")
		require.NoError(t, s.(*store.Dir).Close())
		require.FileExists(t, filepath.Join(base, filepath.FromSlash(dir), "x"))
	}
	s, err := store.Open(t.Context(), "s3://bucket/{spider}", env)
	require.NoError(t, err)
	require.Same(t, other, s)

	s, err = store.Open(t.Context(), "memory://", env)
	require.NoError(t, err)
	require.IsType(t, new(store.Memory), s)

	for uri, want := range map[string]string{
		"gs://bucket":                  `open store gs://bucket: unknown scheme "gs" (this program has: file, memory, s3)`,
		"ftp://user:secret@host/media": `open store ftp://user:***@host/media: unknown scheme "ftp" (this program has: file, memory, s3)`,
		"s3://other":                   "open store s3://other: no bucket",
		"s3://":                        "open store s3://: no bucket",
		"ftp://user:a/b#c@host/media":  `open store ftp://user:***@host/media: unknown scheme "ftp" (this program has: file, memory, s3)`,
		"file://":                      "open store file://: no folder is named",
		"file://localhost":             "open store file://localhost: no folder is named",
		"file://relative/x":            "open store file://relative/x: relative would be another machine: write file:///path, or the path alone, which may be relative",
		"file:relative":                "open store file:relative: file: is followed by //; a folder of that name is ./file:relative",
		"s3:bucket":                    "open store s3:bucket: s3: is followed by //; a folder of that name is ./s3:bucket",
		"ftp:user:secret@host":         "open store ftp:user:***@host: ftp: is followed by //; a folder of that name is ./ftp:user:***@host",
		"memory:x":                     "open store memory:x: memory: is followed by //; a folder of that name is ./memory:x",
		"://x":                         `open store ://x: "" is not a scheme`,
		"s_3://x":                      `open store s_3://x: "s_3" is not a scheme`,
	} {
		_, err := store.Open(t.Context(), uri, env)
		require.EqualError(t, err, want)
		require.NoFileExists(t, uri)
	}
}

package pipeline

import (
	"context"
	"errors"
	"image"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

// syncedStore writes down what it was asked to sync.
type syncedStore struct {
	store.Memory
	asked [][]string
	err   error
}

func (s *syncedStore) Sync(_ context.Context, names []string) error {
	s.asked = append(s.asked, names)
	return s.err
}

// last is what the last Sync was asked for.
func (s *syncedStore) last() []string { return s.asked[len(s.asked)-1] }

// resume gives the bench a job.
func (b *bench) resume() { b.State = map[string][]byte{} }

// TestWhoFlushes is for the engine, which pays for it.
func TestWhoFlushes(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, nil)
	mine := &MediaPipeline{OpenKind: func(ctx context.Context, env *crawl.Env) (Kind, error) {
		return (&FilesPipeline{Store: new(syncedStore)}).OpenKind(ctx, env)
	}}
	folder := crawl.FilesSettings{Store: t.TempDir()}
	for _, p := range []crawl.Pipeline{&FilesPipeline{Store: new(syncedStore)}, &ImagesPipeline{Store: new(syncedStore)}, &FilesPipeline{Settings: folder}, mine} {
		b.State = nil
		require.False(t, b.open(p).Flushes(), "without a job")
		b.resume()
		c := b.open(p)
		require.True(t, c.Flushes())
		require.NoError(t, c.Flush(t.Context()), "nothing has come yet")
	}
	for _, p := range []crawl.Pipeline{&FilesPipeline{Store: new(store.Memory)}, &ImagesPipeline{Store: new(store.Memory)}, &MediaPipeline{Kind: &plainKind{}}} {
		require.False(t, b.open(p).Flushes(), "there is nothing to sync")
	}
}

func TestWhatIsFlushed(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{Images: crawl.ImagesSettings{Thumbs: twoThumbs}}, map[string]http.HandlerFunc{
		"/x": serve("", jpegOf(t, 120, 90)), "/y": serve("", jpegOf(t, 30, 30)), "/bad": text("no picture"),
	})
	b.resume()
	s := new(syncedStore)
	names := func(path string) []string {
		u := crawl.Get(site + path).URL
		return []string{imageName(u), thumbName(u, "big"), thumbName(u, "small")}
	}
	atCompletion := 0
	p := &ImagesPipeline{Store: s, ItemCompleted: func(_ context.Context, _ []Result, item any) (any, error) {
		atCompletion++
		return item, nil
	}}
	for range 2 { // downloaded, then found in the store
		c := b.open(p)
		b.must(c, &Book{ImageURLs: urls("/x", "/y", "/bad", "/404")})
		require.NoError(t, c.Flush(t.Context()))
		want := slices.Concat(names("/x"), names("/y"))
		slices.Sort(want)
		require.Equal(t, want, s.last())
		n := len(s.asked)
		require.NoError(t, c.Flush(t.Context()))
		require.Len(t, s.asked, n, "nobody has named anything since")

		b.must(c, &Book{ImageURLs: urls("/x")}) // known from memory
		require.NoError(t, c.Flush(t.Context()))
		require.Equal(t, names("/x"), s.last())
	}
	require.Equal(t, 4, atCompletion)
}

// TestFlushThatFails is for the engine to end the crawl with. Nothing counts as safe then.
func TestFlushThatFails(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/a": text("a"), "/b": text("b")})
	b.resume()
	s := &syncedStore{err: errors.New("input/output error")}
	c := b.open(&FilesPipeline{Store: s})
	first, second := &Book{FileURLs: urls("/a")}, &Book{FileURLs: urls("/b")}
	b.must(c, first)
	require.EqualError(t, c.Flush(t.Context()), "flush item pipeline pipeline.FilesPipeline: make media safe: input/output error")
	require.Len(t, s.asked, 1, "it is not asked again: what was to be written may be gone")
	b.must(c, second)
	s.err = nil
	require.NoError(t, c.Flush(t.Context()))
	require.ElementsMatch(t, []string{first.Files[0].Path, second.Files[0].Path}, s.last())
}

// TestPathsThatNoStoreTakes come from hooks.
func TestPathsThatNoStoreTakes(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, nil)
	b.resume()
	s := new(syncedStore)
	c := b.open(&FilesPipeline{Store: s, MediaToDownload: func(context.Context, *crawl.Request, any) (*crawl.File, error) {
		return &crawl.File{Path: "/elsewhere"}, nil
	}})
	b.must(c, &Book{FileURLs: urls("/a")})
	require.NoError(t, c.Flush(t.Context()))
	require.Empty(t, s.asked)
}

// TestMediaAfterAPowerCut has files of which not all bytes have reached the disk: none is taken for fresh.
func TestMediaAfterAPowerCut(t *testing.T) {
	t.Parallel()
	raw := jpegOf(t, 120, 90)
	b := newBench(t, crawl.Settings{Images: crawl.ImagesSettings{Thumbs: twoThumbs}}, map[string]http.HandlerFunc{"/x": serve("", raw), "/f": text("a text")})
	dir := t.TempDir()
	process := func() (image, file crawl.File) {
		book := &Book{ImageURLs: urls("/x"), FileURLs: urls("/f")}
		b.must(b.open(&ImagesPipeline{Settings: crawl.ImagesSettings{Store: dir}}, &FilesPipeline{Settings: crawl.FilesSettings{Store: dir}}), book)
		return book.Images[0], book.Files[0]
	}
	cut := func(path string) {
		path = filepath.Join(dir, filepath.FromSlash(path))
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.NoError(t, os.Truncate(path, info.Size()-2))
		require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	}
	picture, file := process()
	p, f := process()
	require.Equal(t, "uptodate", p.Status)
	require.Equal(t, "uptodate", f.Status)

	cut(picture.Path)
	cut(file.Path)
	p, f = process()
	require.Equal(t, picture, p, "downloaded again")
	require.Equal(t, file, f)

	small := picture.Thumbs["small"]
	cut(small.Path)
	p, _ = process()
	require.Equal(t, "uptodate", p.Status)
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(small.Path)))
	require.NoError(t, err)
	require.Equal(t, []byte{0xff, 0xd9}, data[len(data)-2:], "it has its end again")
	_, size := sizeOf(t, data)
	require.Equal(t, image.Pt(small.Width, small.Height), size)
}

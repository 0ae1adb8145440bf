package pipeline_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

// countedStore counts how often it is asked and read.
type countedStore struct {
	*store.Memory
	stats, opens, puts atomic.Int64
}

func (s *countedStore) Stat(ctx context.Context, name string) (crawl.Info, error) {
	s.stats.Add(1)
	return s.Memory.Stat(ctx, name)
}

func (s *countedStore) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	s.opens.Add(1)
	return s.Memory.Open(ctx, name)
}

func (s *countedStore) Put(ctx context.Context, name string, r io.Reader, meta crawl.Meta) error {
	s.puts.Add(1)
	return s.Memory.Put(ctx, name, r, meta)
}

// minimalStore is all that a store has to be.
type minimalStore struct {
	mu    sync.Mutex
	files map[string][]byte
	infos map[string]crawl.Info
}

func (s *minimalStore) Put(_ context.Context, name string, r io.Reader, meta crawl.Meta) error {
	b, err := io.ReadAll(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name], s.infos[name] = b, crawl.Info{Size: int64(len(b)), ModTime: time.Now(), Meta: meta}
	return err
}

func (s *minimalStore) Stat(_ context.Context, name string) (crawl.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if info, ok := s.infos[name]; ok {
		return info, nil
	}
	return crawl.Info{}, fs.ErrNotExist
}

func (s *minimalStore) Open(_ context.Context, name string) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := s.files[name]; ok {
		return io.NopCloser(io.MultiReader(bytes.NewReader(b))), nil // a reader and nothing else
	}
	return nil, fs.ErrNotExist
}

func TestRowsOfStores(t *testing.T) {
	t.Parallel()

	t.Run("F1 a folder by its path or as file://, made with its parents", func(t *testing.T) {
		t.Parallel()
		for _, scheme := range []string{"", "file://"} {
			dir := filepath.Join(t.TempDir(), "a", "b", "shop")
			s := newShop(t, answers{"/x.txt": sayText("a text"), "/y": sayJPEG(t, 60, 50)})
			s.files = &pipeline.FilesPipeline{Settings: crawl.FilesSettings{Store: scheme + dir}}
			s.images = &pipeline.ImagesPipeline{Settings: crawl.ImagesSettings{Store: scheme + filepath.Dir(dir) + "/{spider}", Thumbs: sizes("s", 10)}}
			v := s.crawl(map[string]any{"file_urls": mediaURLs("/x.txt"), "image_urls": mediaURLs("/y")})
			require.Empty(t, v.Failures)
			got := visible(t, dir)
			name := sha1Of(media + "/y")
			require.Len(t, got, 3)
			require.Equal(t, "a text", got["full/"+sha1Of(media+"/x.txt")+".txt"])
			require.Equal(t, string(jpegOf(t, 60, 50)), got["full/"+name+".jpg"])
			require.Contains(t, got, "thumbs/s/"+name+".jpg")
		}
	})

	t.Run("F2 a file is there whole or not at all, and a folder that is removed is made again", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		first, second := strings.Repeat("one ", 1<<20), strings.Repeat("two ", 1<<20)
		server := &versioned{body: []byte(first)}
		s := newShop(t, answers{"/x": server.serve, "/y": sayText("later")})
		s.files = &pipeline.FilesPipeline{Settings: crawl.FilesSettings{Store: dir, Expires: -1}}
		v := s.crawl(withFiles("/x"))
		name := filepath.Join(dir, filepath.FromSlash(one(t, filesOf(v.Items[0])).Path))
		reader, err := os.Open(name)
		require.NoError(t, err)
		defer reader.Close()
		half := make([]byte, len(first)/2)
		_, err = io.ReadFull(reader, half)
		require.NoError(t, err)

		server.set([]byte(second), "", "")
		s.files.FileDownloaded = func(context.Context, *crawl.Response, any) error {
			b, err := os.ReadFile(name)
			require.NoError(t, err)
			require.True(t, string(b) == first, "the old file stays until the new one is whole")
			return nil
		}
		s.crawl(withFiles("/x"))
		rest, err := io.ReadAll(reader)
		require.NoError(t, err)
		require.True(t, string(half)+string(rest) == first, "who reads the old one reads all of it")
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		require.True(t, string(b) == second)

		s.files.FileDownloaded = func(context.Context, *crawl.Response, any) error { return os.RemoveAll(filepath.Dir(name)) }
		v = s.crawl(withFiles("/y"))
		require.Empty(t, v.Failures)
	})

	t.Run("F3 to be fresh costs one look, and no reading", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/x": sayText("a text"), "/y": sayJPEG(t, 60, 50)})
		files, images := &countedStore{Memory: new(store.Memory)}, &countedStore{Memory: new(store.Memory)}
		s.files.Store, s.images.Store = files, images
		item := func() map[string]any {
			return map[string]any{"file_urls": mediaURLs("/x"), "image_urls": mediaURLs("/y")}
		}
		s.crawl(item())
		for _, c := range []*countedStore{files, images} {
			c.stats.Store(0)
			c.opens.Store(0)
			c.puts.Store(0)
		}
		v := s.crawl(item())
		require.Empty(t, v.media())
		for _, c := range []*countedStore{files, images} {
			require.Equal(t, []int64{1, 0, 0}, []int64{c.stats.Load(), c.opens.Load(), c.puts.Load()})
		}
	})

	t.Run("F3 a file without a record is read, once", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir() // which Scrapy has filled
		picture := jpegOf(t, 60, 50)
		file := filepath.Join(dir, "full", sha1Of(media+"/x.txt")+".txt")
		require.NoError(t, os.Mkdir(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte("from Scrapy"), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "full", sha1Of(media+"/y")+".jpg"), picture, 0o644))
		s := newShop(t, answers{})
		s.files = &pipeline.FilesPipeline{Settings: crawl.FilesSettings{Store: dir}}
		s.images = &pipeline.ImagesPipeline{Settings: crawl.ImagesSettings{Store: dir}}
		for range 2 {
			v := s.crawl(map[string]any{"file_urls": mediaURLs("/x.txt"), "image_urls": mediaURLs("/y")})
			require.Empty(t, v.media())
			f, p := one(t, filesOf(v.Items[0])), one(t, imagesOf(v.Items[0]))
			require.Equal(t, []any{md5Of([]byte("from Scrapy")), int64(11), "text/plain"}, []any{f.Checksum, f.Size, f.ContentType})
			require.Equal(t, []any{md5Of(picture), 60, 50, "image/jpeg"}, []any{p.Checksum, p.Width, p.Height, p.ContentType})
			// From now on the records say it: files whose bytes change behind their backs, of the same time and length, keep the checksums that were read.
			for _, name := range []string{f.Path, p.Path} {
				name = filepath.Join(dir, filepath.FromSlash(name))
				info, err := os.Stat(name)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(name, bytes.Repeat([]byte{'x'}, int(info.Size())), 0o644))
				require.NoError(t, os.Chtimes(name, info.ModTime(), info.ModTime()))
			}
		}
	})

	t.Run("X1 any scheme is a line in the program's settings", func(t *testing.T) {
		t.Parallel()
		opened := make(map[string]*store.Memory)
		s := newShop(t, answers{"/x": sayText("a text")})
		s.settings.Parts.Stores = map[string]crawl.OpenStore{"attic": func(_ context.Context, uri string, _ *crawl.Env) (crawl.Store, error) {
			opened[uri] = new(store.Memory)
			return opened[uri], nil
		}}
		s.files = &pipeline.FilesPipeline{Settings: crawl.FilesSettings{Store: "attic://box/{spider}"}}
		v := s.crawl(withFiles("/x"))
		require.Equal(t, "a text", string(contentOf(t, opened["attic://box/shop"], one(t, filesOf(v.Items[0])).Path)))
	})

	t.Run("X2 a store for another service has three methods, and all of freshness works but renewal", func(t *testing.T) {
		t.Parallel()
		picture := &versioned{body: jpegOf(t, 60, 50), etag: `"1"`}
		s := newShop(t, answers{"/y": picture.serve})
		s.images.Store = &minimalStore{files: make(map[string][]byte), infos: make(map[string]crawl.Info)}
		for i, status := range []string{"downloaded", "uptodate", "uptodate", "downloaded"} {
			switch i {
			case 2:
				s.settings.Images.Thumbs = sizes("s", 10)
			case 3:
				s.settings.Images.Expires = time.Nanosecond // and it can't be renewed, so it is downloaded
			}
			v := s.crawl(withImages("/y"))
			f := one(t, imagesOf(v.Items[0]))
			require.Equal(t, status, f.Status)
			require.Len(t, f.Thumbs, len(s.settings.Images.Thumbs))
			require.Equal(t, md5Of(picture.body), f.Checksum)
		}
	})
}

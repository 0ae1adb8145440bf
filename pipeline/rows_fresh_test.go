package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

const day = 24 * time.Hour

// versioned is what a server has at one address, and how it says that it has not changed.
type versioned struct {
	mu   sync.Mutex
	body []byte
	etag string
	date string // Last-Modified
}

func (v *versioned) set(body []byte, etag, date string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.body, v.etag, v.date = body, etag, date
}

func (v *versioned) serve(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.etag != "" {
		w.Header().Set("ETag", v.etag)
	}
	if v.date != "" {
		w.Header().Set("Last-Modified", v.date)
	}
	match, since := r.Header.Get("If-None-Match"), r.Header.Get("If-Modified-Since")
	if match != "" && match == v.etag || match == "" && since != "" && since == v.date {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(v.body)
}

// plain is a JPEG of one colour.
func plain(t testing.TB, w, h int, c color.Color) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.Set(x, y, c)
		}
	}
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}))
	return b.Bytes()
}

var (
	red  = color.RGBA{255, 0, 0, 255}
	blue = color.RGBA{0, 0, 255, 255}
)

// brokenStat can't say what it has.
type brokenStat struct{ *store.Memory }

func (brokenStat) Stat(context.Context, string) (crawl.Info, error) {
	return crawl.Info{}, errors.New("no permission")
}

// timeless does not know when its files were made.
type timeless struct{ *store.Memory }

func (s timeless) Stat(ctx context.Context, name string) (crawl.Info, error) {
	info, err := s.Memory.Stat(ctx, name)
	info.ModTime = time.Time{}
	return info, err
}

func TestRowsOfFreshness(t *testing.T) {
	t.Parallel()

	t.Run("E1 what is fresh is not downloaded, and its result is as it was", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/x.pdf": sayText("a text"), "/y.jpg": sayJPEG(t, 60, 50)})
		s.settings.Images.Thumbs = map[string]crawl.Size{"s": {Width: 10, Height: 10}}
		item := func() map[string]any {
			return map[string]any{"file_urls": mediaURLs("/x.pdf"), "image_urls": mediaURLs("/y.jpg")}
		}
		first := s.crawl(item())
		second := s.crawl(item())
		require.Len(t, first.media(), 2)
		require.Empty(t, second.media())
		for _, of := range []func(any) []crawl.File{filesOf, imagesOf} {
			was, is := one(t, of(first.Items[0])), one(t, of(second.Items[0]))
			require.Equal(t, []string{"downloaded", "uptodate"}, []string{was.Status, is.Status})
			is.Status = was.Status
			require.Equal(t, was, is)
		}
	})

	t.Run("E2 a file is fresh until it is older than Expires", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newShop(t, answers{"/x": sayText("a text"), "/y": sayJPEG(t, 60, 50)})
			crawl := func() []string {
				v := s.crawl(map[string]any{"file_urls": mediaURLs("/x"), "image_urls": mediaURLs("/y")})
				return []string{one(t, filesOf(v.Items[0])).Status, one(t, imagesOf(v.Items[0])).Status}
			}
			crawl()
			time.Sleep(90*day - time.Hour)
			require.Equal(t, []string{"uptodate", "uptodate"}, crawl(), "and to be up to date makes nobody younger")
			time.Sleep(2 * time.Hour)
			require.Equal(t, []string{"downloaded", "downloaded"}, crawl())
			s.settings.Files.Expires, s.settings.Images.Expires = 2*day, 4*day
			time.Sleep(3 * day)
			require.Equal(t, []string{"downloaded", "uptodate"}, crawl())
		})
	})

	t.Run("E3 what is missing, empty or without a time is downloaded", func(t *testing.T) {
		t.Parallel()
		server := &versioned{body: []byte("a text"), etag: `"1"`}
		s := newShop(t, answers{"/x": server.serve})
		v := s.crawl(withFiles("/x"))
		path := one(t, filesOf(v.Items[0])).Path
		kept := s.files.Store.(*store.Memory)
		require.NoError(t, kept.Put(t.Context(), path, strings.NewReader(""), crawl.Meta{Checksum: "1"}))
		v = s.crawl(withFiles("/x"))
		require.Equal(t, "downloaded", one(t, filesOf(v.Items[0])).Status, "an empty one is what a power cut leaves")
		require.Equal(t, "a text", string(contentOf(t, kept, path)))
		s.files.Store = timeless{kept}
		v = s.crawl(withFiles("/x"))
		require.Equal(t, "downloaded", one(t, filesOf(v.Items[0])).Status)
	})

	t.Run("E4 a store that can't say counts as having nothing, and is warned of", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/x": sayText("a text")})
		s.files.Store = brokenStat{new(store.Memory)}
		for range 2 {
			v := s.crawl(withFiles("/x"))
			require.Equal(t, "downloaded", one(t, filesOf(v.Items[0])).Status)
			require.Len(t, v.warnings(), 1)
			require.Equal(t, "no permission", v.warnings()[0].ContextMap()["error"])
		}
	})

	t.Run("E5 negative Expires and IMAGES_EXPIRES=0 download always, without a condition", func(t *testing.T) {
		t.Parallel()
		for name, set := range map[string]func(*crawl.Settings){
			"negative": func(s *crawl.Settings) { s.Files.Expires, s.Images.Expires = -1, -1 },
			"zero": func(s *crawl.Settings) {
				s.Assign = []crawl.Assignment{{Name: "FILES_EXPIRES", Value: "0"}, {Name: "IMAGES_EXPIRES", Value: "0"}}
			},
		} {
			file, picture := &versioned{body: []byte("a text"), etag: `"1"`}, &versioned{body: jpegOf(t, 60, 50), etag: `"1"`}
			s := newShop(t, answers{"/x": file.serve, "/y": picture.serve})
			set(&s.settings)
			for range 2 {
				v := s.crawl(map[string]any{"file_urls": mediaURLs("/x"), "image_urls": mediaURLs("/y")})
				require.Len(t, v.media(), 2, name)
				require.Equal(t, "downloaded", one(t, filesOf(v.Items[0])).Status)
				require.Equal(t, "downloaded", one(t, imagesOf(v.Items[0])).Status)
			}
		}
	})

	t.Run("E6 thumbnails that are missing, new or of another size are made without a download", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		s := newShop(t, answers{"/x": sayJPEG(t, 120, 90)})
		s.images = &pipeline.ImagesPipeline{Settings: crawl.ImagesSettings{Store: dir}}
		crawl := func(thumbs map[string]crawl.Size) crawl.File {
			s.settings.Images.Thumbs = thumbs
			v := s.crawl(withImages("/x"))
			f := one(t, imagesOf(v.Items[0]))
			require.Equal(t, f.Status == "uptodate", len(v.media()) == 0)
			require.Len(t, f.Thumbs, len(thumbs))
			for _, thumb := range f.Thumbs {
				b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(thumb.Path)))
				require.NoError(t, err)
				c, err := jpeg.DecodeConfig(bytes.NewReader(b))
				require.NoError(t, err)
				require.Equal(t, []int{thumb.Width, thumb.Height}, []int{c.Width, c.Height})
			}
			return f
		}
		require.Equal(t, "downloaded", crawl(nil).Status)
		f := crawl(sizes("a", 40, "b", 20))
		require.Equal(t, "uptodate", f.Status)
		require.Equal(t, []int{40, 30, 20, 15}, []int{f.Thumbs["a"].Width, f.Thumbs["a"].Height, f.Thumbs["b"].Width, f.Thumbs["b"].Height})
		require.NoError(t, os.Remove(filepath.Join(dir, filepath.FromSlash(f.Thumbs["a"].Path))))
		require.Equal(t, "uptodate", crawl(sizes("a", 40, "b", 20)).Status)
		f = crawl(sizes("a", 60, "b", 20))
		require.Equal(t, []any{"uptodate", 60}, []any{f.Status, f.Thumbs["a"].Width})
		require.Equal(t, "uptodate", crawl(nil).Status)
		require.Equal(t, "uptodate", crawl(sizes("b", 20)).Status)
	})

	t.Run("E6 thumbnails of a picture that was replaced are no thumbnails", func(t *testing.T) {
		t.Parallel()
		picture := &versioned{body: plain(t, 120, 90, red)}
		s := newShop(t, answers{"/x": picture.serve})
		s.settings.Images.Thumbs = sizes("a", 40)
		s.crawl(withImages("/x"))
		picture.set(plain(t, 120, 90, blue), "", "")
		s.settings.Images.Thumbs, s.settings.Images.Expires = nil, -1
		s.crawl(withImages("/x")) // which leaves the red thumbnail where it is
		s.settings.Images.Thumbs, s.settings.Images.Expires = sizes("a", 40), 0
		v := s.crawl(withImages("/x"))
		f := one(t, imagesOf(v.Items[0]))
		require.Equal(t, "uptodate", f.Status)
		requireColour(t, decoded(t, s.images.Store, f.Thumbs["a"].Path), 20, 15, rgb{0, 0, 255}, 8, "thumbnail")
	})

	t.Run("E7 an expired file is asked for under a condition: 304 renews it, 200 replaces it", func(t *testing.T) {
		t.Parallel()
		const date, later = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2016 07:28:00 GMT"
		for name, server := range map[string]struct{ etag, date, newETag, newDate string }{
			"ETag":          {etag: `"1"`, newETag: `"2"`},
			"Last-Modified": {date: date, newDate: later},
			"both":          {etag: `W/"1"`, date: date, newETag: `W/"2"`, newDate: later},
		} {
			synctest.Test(t, func(t *testing.T) {
				file, picture := &versioned{body: []byte("one"), etag: server.etag, date: server.date}, &versioned{body: plain(t, 60, 50, red), etag: server.etag, date: server.date}
				s := newShop(t, answers{"/x": file.serve, "/y": picture.serve})
				s.settings.Robots.Ignore = true
				s.settings.Images.Thumbs = sizes("s", 10)
				crawl := func() (results []crawl.File, asked int) {
					v := s.crawl(map[string]any{"file_urls": mediaURLs("/x"), "image_urls": mediaURLs("/y")})
					require.Empty(t, v.Failures)
					return []crawl.File{one(t, filesOf(v.Items[0])), one(t, imagesOf(v.Items[0]))}, len(v.media())
				}
				first, _ := crawl()
				time.Sleep(100 * day)
				renewed, asked := crawl()
				require.Equal(t, 2, asked, name)
				for i, f := range renewed {
					require.Equal(t, "uptodate", f.Status, name)
					f.Status = "downloaded"
					require.Equal(t, first[i], f)
				}
				time.Sleep(80 * day) // it is fresh again since 80 days
				_, asked = crawl()
				require.Zero(t, asked, name)

				file.set([]byte("two"), server.newETag, server.newDate)
				picture.set(plain(t, 60, 50, blue), server.newETag, server.newDate)
				time.Sleep(20 * day)
				replaced, asked := crawl()
				require.Equal(t, 2, asked, name)
				for i, f := range replaced {
					require.Equal(t, "downloaded", f.Status)
					require.NotEqual(t, first[i].Checksum, f.Checksum)
				}
				require.Equal(t, "two", string(contentOf(t, s.files.Store, replaced[0].Path)))
				requireColour(t, decoded(t, s.images.Store, replaced[1].Thumbs["s"].Path), 5, 4, rgb{0, 0, 255}, 8, "thumbnail")
				_, asked = crawl()
				require.Zero(t, asked, name)
			})
		}
	})

	t.Run("E1 E7 pictures that were kept as they came are of no use where JPEGs are wanted", func(t *testing.T) {
		t.Parallel()
		for _, expires := range []time.Duration{time.Hour, time.Nanosecond} {
			kept, plain := &versioned{body: pictureFile(t, "rgba8.png"), etag: `"1"`}, &versioned{body: plain(t, 60, 50, red), etag: `"1"`}
			s := newShop(t, answers{"/kept.jpg": kept.serve, "/plain.jpg": plain.serve})
			s.settings.Images.Expires, s.settings.Images.PreserveFormat = expires, true
			got, _ := s.pictures("/kept.jpg", "/plain.jpg")
			require.Equal(t, "image/png", got[0].ContentType)
			s.settings.Images.PreserveFormat = false
			got, v := s.pictures("/kept.jpg", "/plain.jpg")
			require.Empty(t, v.Failures)
			require.Empty(t, v.warnings())
			require.Equal(t, []string{"downloaded", "uptodate"}, []string{got[0].Status, got[1].Status})
			for _, f := range got {
				require.Equal(t, "image/jpeg", f.ContentType)
				decoded(t, s.images.Store, f.Path)
			}
		}
	})

	t.Run("E7 without ETag and Last-Modified there is no condition", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newShop(t, answers{"/x": sayText("a text")})
			s.crawl(withFiles("/x"))
			time.Sleep(100 * day)
			v := s.crawl(withFiles("/x"))
			require.Equal(t, "downloaded", one(t, filesOf(v.Items[0])).Status)
			for _, a := range s.site.Asked() {
				require.Empty(t, a.Header.Get("If-None-Match")+a.Header.Get("If-Modified-Since"))
			}
		})
	})

	t.Run("E8 leftovers of a crash are cleared by the next run", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		left := filepath.Join(dir, ".tulle", "tmp", "LEFT")
		require.NoError(t, os.MkdirAll(left, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(left, "1"), []byte("half a fi"), 0o644))
		s := newShop(t, answers{"/x": sayText("a text")})
		s.files = &pipeline.FilesPipeline{Settings: crawl.FilesSettings{Store: dir}}
		v := s.crawl(withFiles("/x"))
		require.Equal(t, "downloaded", one(t, filesOf(v.Items[0])).Status)
		require.Empty(t, leftovers(t, dir))
	})

	t.Run("E8 a crash between any two steps of storing leaves nothing that counts as fresh", func(t *testing.T) {
		t.Parallel()
		picture, other := plain(t, 120, 90, red), plain(t, 120, 90, blue)
		text, otherText := bytes.Repeat([]byte("one "), 1000), bytes.Repeat([]byte("two "), 1100)
		byType := func(_ *crawl.Request, resp *crawl.Response, _ any) (string, error) {
			if resp == nil {
				return "", nil
			}
			return "by-type/" + resp.Header.Get("Content-Type") + "/x", nil
		}
		for name, plan := range map[string]*crash{
			"a new picture":           {image: true, now: picture},
			"a new file":              {now: text},
			"a new file from a spool": {now: text, spool: true},
			"a path of the response":  {now: text, spool: true, path: byType},
			"a picture is replaced":   {image: true, before: picture, now: other},
			"a file is replaced":      {before: text, now: otherText},
			"a longer file, by spool": {before: otherText, now: text, spool: true},
			"a picture is renewed":    {image: true, before: picture, now: picture},
			"a file is renewed":       {before: text, now: text},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				plan.run(t)
			})
		}
	})
}

// sizes are square boxes by their names.
func sizes(list ...any) map[string]crawl.Size {
	thumbs := make(map[string]crawl.Size)
	for i := 0; i < len(list); i += 2 {
		thumbs[list[i].(string)] = crawl.Size{Width: list[i+1].(int), Height: list[i+1].(int)}
	}
	return thumbs
}

// leftovers are what a store in a folder has not finished.
func leftovers(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, ".tulle", "tmp"))
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// crash is a crawl that ends in the middle of storing.
type crash struct {
	image       bool
	before, now []byte // what the store holds, if anything, and what the server has
	spool       bool   // bodies are files, which the store takes over
	path        func(*crawl.Request, *crawl.Response, any) (string, error)
}

// shop is a shop with a store in a folder, or with this one. What was there before has always expired, so that the server is asked.
func (c *crash) shop(t testing.TB, body []byte, dir string, own crawl.Store) *shop {
	server := &versioned{body: body, etag: `"` + md5Of(body) + `"`}
	s := newShop(t, answers{"/x": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "a/b")
		server.serve(w, r)
	}})
	s.settings.Robots.Ignore = true
	if c.spool {
		s.settings.Download.SpoolOver = 1
	}
	if c.before != nil {
		s.settings.Files.Expires, s.settings.Images.Expires = time.Nanosecond, time.Nanosecond
	}
	s.files = &pipeline.FilesPipeline{Store: own, Settings: crawl.FilesSettings{Store: dir}, FilePath: c.path}
	s.images = &pipeline.ImagesPipeline{Store: own, Settings: crawl.ImagesSettings{Store: dir, Thumbs: sizes("a", 60, "b", 30)}}
	return s
}

func (c *crash) crawl(s *shop) *visit {
	if c.image {
		return s.crawl(withImages("/x"))
	}
	return s.crawl(withFiles("/x"))
}

// run crawls without a crash to see what comes of it, and then with one after each change of the store, of each sort.
func (c *crash) run(t *testing.T) {
	start := t.TempDir()
	if c.before != nil {
		c.crawl(c.shop(t, c.before, start, nil))
	}
	whole := t.TempDir()
	copyFolder(t, start, whole)
	c.crawl(c.shop(t, c.now, whole, nil))
	want := visible(t, whole)
	require.NotEmpty(t, want)

	crashes := 0
	for _, how := range []string{"whole", "half written", "record without file", "cut short"} {
		for at := 1; ; at++ {
			work, image := t.TempDir(), t.TempDir()
			copyFolder(t, start, work)
			dir, err := store.OpenDir(work)
			require.NoError(t, err)
			mortal := &mortalDir{Dir: dir, t: t, folder: work, image: image, left: at, how: how}
			c.crawl(c.shop(t, c.now, "", mortal))
			require.NoError(t, dir.Close())
			if !mortal.dead {
				break // it has fewer changes
			}
			crashes++
			v := c.crawl(c.shop(t, c.now, image, nil))
			says := fmt.Sprintf("%s at change %d: %s", how, at, mortal.last)
			require.Empty(t, v.Failures, says)
			require.Equal(t, want, visible(t, image), says)
			files := filesOf(v.Items[0])
			if c.image {
				files = imagesOf(v.Items[0])
			}
			require.Equal(t, md5Of(c.now), one(t, files).Checksum, says)
			require.Empty(t, leftovers(t, image), says)
		}
	}
	require.Greater(t, crashes, 1)
}

// visible are the files of a folder but for the store's own, with what is in them.
func visible(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			if e.Name() == ".tulle" {
				return fs.SkipDir
			}
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = string(b)
		return err
	}))
	return files
}

// copyFolder copies a folder with its files' times.
func copyFolder(t testing.TB, from, to string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil || e.IsDir() {
			return errors.Join(err, os.MkdirAll(filepath.Join(to, name), 0o755))
		}
		return copyFile(path, filepath.Join(to, name))
	}))
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(to, b, 0o644), os.Chtimes(to, info.ModTime(), info.ModTime()))
}

// mortalDir is a folder whose process ends in the middle of a change, or after it. What the disk holds then is copied to image, and nothing happens to that any more.
type mortalDir struct {
	*store.Dir
	t             testing.TB
	folder, image string
	how           string

	mu   sync.Mutex
	left int // changes until the end
	dead bool
	last string
}

// errDead is an error that is not tried again.
var errDead = fmt.Errorf("%w: there is nobody", store.ErrName)

// change makes one change, which is the last one if it is time.
func (d *mortalDir) change(name string, f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errDead
	}
	file, old := filepath.Join(d.folder, filepath.FromSlash(name)), filepath.Join(d.t.TempDir(), "old")
	hadOld := copyFile(file, old) == nil
	if err := f(); err != nil || d.dead {
		return errors.Join(err, errDead)
	}
	if d.left--; d.left > 0 {
		return nil
	}
	d.end(name)
	image := filepath.Join(d.image, filepath.FromSlash(name))
	switch d.how {
	case "record without file":
		require.NoError(d.t, os.Remove(image))
		if hadOld {
			require.NoError(d.t, copyFile(old, image))
		}
	case "cut short": // by a power cut: the times are those of the last write
		info, err := os.Stat(image)
		require.NoError(d.t, err)
		require.NoError(d.t, os.Truncate(image, info.Size()/2))
		require.NoError(d.t, os.Chtimes(image, info.ModTime(), info.ModTime()))
	}
	return errDead
}

// end copies what the disk holds.
func (d *mortalDir) end(name string) {
	d.dead, d.last = true, name
	copyFolder(d.t, d.folder, d.image)
}

func (d *mortalDir) Put(ctx context.Context, name string, r io.Reader, meta crawl.Meta) error {
	return d.change(name, func() error {
		if d.left == 1 && d.how == "half written" {
			b, err := io.ReadAll(r)
			require.NoError(d.t, err)
			return d.Dir.Put(ctx, name, &dyingReader{rest: b[:len(b)/2], end: func() { d.end(name) }}, meta)
		}
		return d.Dir.Put(ctx, name, r, meta)
	})
}

func (d *mortalDir) Adopt(ctx context.Context, name, path string, meta crawl.Meta) (took bool, err error) {
	err = d.change(name, func() (err error) {
		took, err = d.Dir.Adopt(ctx, name, path, meta)
		return err
	})
	return took, err
}

func (d *mortalDir) Touch(ctx context.Context, name string, meta crawl.Meta) error {
	return d.change(name, func() error { return d.Dir.Touch(ctx, name, meta) })
}

func (d *mortalDir) Record(ctx context.Context, name string, info crawl.Info) error {
	return d.change(name, func() error { return d.Dir.Record(ctx, name, info) })
}

// dyingReader gives what it has, and ends the process.
type dyingReader struct {
	rest []byte
	end  func()
}

func (r *dyingReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		r.end()
		return 0, errDead
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

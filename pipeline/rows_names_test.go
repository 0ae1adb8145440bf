package pipeline_test

import (
	"crypto/sha1"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

// sha1Of is what a URL's file is called.
func sha1Of(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// anywhere is a shop whose site gives this answer to all requests but the page's.
func anywhere(t testing.TB, answer http.HandlerFunc) *shop {
	s := newShop(t, nil)
	s.site = crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "shop.example" {
			answers{}.ServeHTTP(w, r)
			return
		}
		answer(w, r)
	}))
	s.settings.Robots.Ignore = true
	return s
}

// requirePaths crawls the URLs and compares where their files went.
func requirePaths(t *testing.T, s *shop, field, prefix string, want map[string]string) {
	t.Helper()
	urls := make([]string, 0, len(want))
	for u := range want {
		urls = append(urls, u)
	}
	v := s.crawl(map[string]any{field + "_urls": urls})
	require.Empty(t, v.Failures)
	files := v.Items[0].(map[string]any)[field+"s"].([]crawl.File)
	require.Len(t, files, len(urls))
	for i, f := range files {
		require.Equal(t, prefix+want[urls[i]], f.Path, urls[i])
		require.Equal(t, urls[i], f.URL)
	}
}

func TestRowsOfNames(t *testing.T) {
	t.Parallel()

	t.Run("N5 files have Scrapy's names, with slashes", func(t *testing.T) {
		t.Parallel()
		requirePaths(t, anywhere(t, sayText("x")), "file", "full/", map[string]string{
			"https://dev.mydeco.com/mydeco.pdf":                                           "c9b564df929f4bc635bdd19fde4f3d4847c757c5.pdf",
			"http://www.maddiebrown.co.uk///catalogue-items//image_54642_12175_95307.txt": "4ce274dd83db0368bafd7e406f382ae088e39219.txt",
			"https://dev.mydeco.com/two/dirs/with%20spaces%2Bsigns.doc":                   "94ccc495a17b9ac5d40e3eabf3afcb8c2c9b9e1a.doc",
			"http://www.dfsonline.co.uk/get_prod_image?img=status_0907_mdm.jpg":           "c67f916ff9d542e822dedf38f9fcb146d1faba78.jpg",
			"http://www.dorma.co.uk/images/product_details/2532/":                         "97ee6f8a46cbbb418ea91502fd24176865cf39b2",
			"http://www.dorma.co.uk/images/product_details/2532":                          "244e0dd7d96a3b7b01f54eded250c9e272577aa1",
			"http://www.dfsonline.co.uk/get_prod_image?img=status_0907_mdm.jpg.bohaha":    "e75f2fa260521b56f6b6a867447b8002d00b5841",
			"http://foo.bar/baz.txt?fizz":                                                 "a2b4913a62f65445aeae2bac08cd8c3b41d7195e.txt",
			"http://foo.bar/get_img.foo?file=photo.jpg":                                   "7fc9461c9fd836515bea6983373097203a7d748e.jpg",
		})
	})

	t.Run("N5 pictures and thumbnails too", func(t *testing.T) {
		t.Parallel()
		s := anywhere(t, sayJPEG(t, 60, 50))
		s.settings.Images.Thumbs = map[string]crawl.Size{"50": {Width: 50, Height: 50}}
		want := map[string]string{
			"https://dev.mydeco.com/mydeco.gif":                                           "3fd165099d8e71b8a48b2683946e64dbfad8b52d.jpg",
			"http://www.maddiebrown.co.uk///catalogue-items//image_54642_12175_95307.jpg": "0ffcd85d563bca45e2f90becd0ca737bc58a00b2.jpg",
			"https://dev.mydeco.com/two/dirs/with%20spaces%2Bsigns.gif":                   "b250e3a74fff2e4703e310048a5b13eba79379d2.jpg",
			"http://www.dfsonline.co.uk/get_prod_image.php?img=status_0907_mdm.jpg":       "4507be485f38b0da8a0be9eb2e1dfab8a19223f2.jpg",
			"http://www.example.com/image.jpg":                                            "3afec3b4765f8f0a07b78f98c07b83f013567a0a.jpg",
		}
		requirePaths(t, s, "image", "full/", want)
		for _, name := range want {
			require.Contains(t, s.images.Store.(*store.Memory).Names(), "thumbs/50/"+name)
		}
	})

	t.Run("N5 one table of extensions everywhere", func(t *testing.T) {
		t.Parallel()
		want := make(map[string]string)
		for path, ext := range map[string]string{
			"a.PDF": ".pdf", "A.JPG": ".jpg", "a.jpeg": ".jpeg", "a.php": "", "a.php?f=b.png": ".png", "a.pdf?x=b.png": ".pdf", ".htaccess": "", "a.": "",
			"a%2Ejpg": "", "get?file=/a/b.txt": ".txt", "a.jpg;v=1": ".jpg", "a.tar.gz": ".gz", "a.webp": ".webp", "a.avif": ".avif", "a.docx": ".docx",
			"a.xlsx": ".xlsx", "a.rar": ".rar", "a.7z": ".7z", "a.gz": ".gz", "": "", "dir.d/": "", "photo.jpg/": ".jpg", "a.exe": ".exe", "a.desktop": "",
		} {
			want["http://x.com/"+path] = sha1Of("http://x.com/"+path) + ext
		}
		for raw, ext := range map[string]string{
			"data:,hello": ".txt", "data:text/html,<p>": ".html", "data:image/gif;base64,R0lGODlh": ".gif", "data:;charset=utf-8,x": ".txt", "data:x/unknown,a.jpg": "",
			"data:image/png;base64,iVBORw0KGgo=": ".png",
		} {
			want[raw] = sha1Of(crawl.Get(raw).URL.String()) + ext
		}
		s := anywhere(t, sayText("x"))
		for raw, name := range want { // one by one, as a result has its URL as it is asked
			s.files.Store = new(store.Memory)
			v := s.crawl(withFiles(raw))
			require.Equal(t, "full/"+name, one(t, filesOf(v.Items[0])).Path, raw)
		}
		v := s.crawl(withFiles("http://x.com/a.pdf#frag.png"))
		require.Equal(t, "full/"+sha1Of("http://x.com/a.pdf#frag.png")+".pdf", one(t, filesOf(v.Items[0])).Path)
	})

	t.Run("N1 a path made from the item", func(t *testing.T) {
		t.Parallel()
		s := anywhere(t, sayJPEG(t, 60, 50))
		s.settings.Images.Thumbs = map[string]crawl.Size{"s": {Width: 10, Height: 10}}
		s.files.FilePath = func(_ *crawl.Request, _ *crawl.Response, item any) (string, error) {
			return "books/" + item.(map[string]any)["isbn"].(string) + ".bin", nil
		}
		s.images.FilePath = func(_ *crawl.Request, _ *crawl.Response, item any) (string, error) {
			return "covers/" + item.(map[string]any)["isbn"].(string) + ".jpg", nil
		}
		s.images.ThumbPath = func(_ *crawl.Request, thumb string, _ *crawl.Response, item any) (string, error) {
			return "covers/" + thumb + "/" + item.(map[string]any)["isbn"].(string) + ".jpg", nil
		}
		for _, status := range []string{"downloaded", "uptodate"} {
			v := s.crawl(map[string]any{"isbn": "123", "file_urls": mediaURLs("/x"), "image_urls": mediaURLs("/y")})
			file, img := one(t, filesOf(v.Items[0])), one(t, imagesOf(v.Items[0]))
			require.Equal(t, []string{"books/123.bin", status}, []string{file.Path, file.Status})
			require.Equal(t, []string{"covers/123.jpg", "covers/s/123.jpg", status}, []string{img.Path, img.Thumbs["s"].Path, img.Status})
		}
		require.Equal(t, []string{"covers/123.jpg", "covers/s/123.jpg"}, s.images.Store.(*store.Memory).Names())
	})

	t.Run("N2 a path made from the response, and the second crawl finds it", func(t *testing.T) {
		t.Parallel()
		s := anywhere(t, sayText("x"))
		dir := t.TempDir()
		s.files = &pipeline.FilesPipeline{
			Settings: crawl.FilesSettings{Store: dir},
			FilePath: func(_ *crawl.Request, resp *crawl.Response, _ any) (string, error) {
				if resp == nil {
					return "", nil
				}
				return resp.Header.Get("Content-Type") + "/x.txt", nil
			},
		}
		v := s.crawl(withFiles("/x"))
		require.Equal(t, "text/plain/x.txt", one(t, filesOf(v.Items[0])).Path)
		require.FileExists(t, filepath.Join(dir, "text", "plain", "x.txt"))
		notes, err := os.ReadDir(filepath.Join(dir, ".tulle", "by"))
		require.NoError(t, err)
		require.Len(t, notes, 1)
		v = s.crawl(withFiles("/x"))
		require.Empty(t, v.media())
		f := one(t, filesOf(v.Items[0]))
		require.Equal(t, []string{"text/plain/x.txt", "uptodate"}, []string{f.Path, f.Status})
		// The note is worth nothing without the file.
		require.NoError(t, os.Remove(filepath.Join(dir, "text", "plain", "x.txt")))
		v = s.crawl(withFiles("/x"))
		require.Equal(t, "downloaded", one(t, filesOf(v.Items[0])).Status)
	})

	t.Run("N2 a path that does not depend on the response leaves no note", func(t *testing.T) {
		t.Parallel()
		s := anywhere(t, sayText("x"))
		dir := t.TempDir()
		s.files = &pipeline.FilesPipeline{
			Settings: crawl.FilesSettings{Store: dir},
			FilePath: func(*crawl.Request, *crawl.Response, any) (string, error) { return "x.txt", nil },
		}
		s.crawl(withFiles("/x"))
		require.FileExists(t, filepath.Join(dir, "x.txt"))
		require.NoDirExists(t, filepath.Join(dir, ".tulle", "by"))
	})

	t.Run("N3 two URLs under one path are warned of", func(t *testing.T) {
		t.Parallel()
		s := anywhere(t, sayText("x"))
		s.settings.Files.Expires = -1 // else the second one is up to date
		s.files.FilePath = func(*crawl.Request, *crawl.Response, any) (string, error) { return "same.txt", nil }
		v := s.crawl(withFiles("/a", "/b"))
		require.Len(t, filesOf(v.Items[0]), 2)
		warned := v.Log.FilterMessage("two URLs are stored under one path: the last one stays").All()
		require.Len(t, warned, 1)
		require.Equal(t, "same.txt", warned[0].ContextMap()["path"])
		v = s.crawl(withFiles("/a"), withFiles("/a"))
		require.Empty(t, v.warnings(), "it is one URL")
	})

	t.Run("N4 a path that would leave the store is refused", func(t *testing.T) {
		t.Parallel()
		above := t.TempDir()
		outside := filepath.Join(above, "outside")
		require.NoError(t, os.Mkdir(outside, 0o755))
		for _, path := range []string{"../outside/x", "/" + outside + "/x", "a/../../outside/x", `..\outside\x`, "", ".", ".tulle/meta/x", "con", "a\x00b"} {
			s := anywhere(t, sayText("x"))
			s.files = &pipeline.FilesPipeline{
				Settings: crawl.FilesSettings{Store: filepath.Join(above, "store")},
				FilePath: func(_ *crawl.Request, resp *crawl.Response, _ any) (string, error) {
					if resp == nil {
						return "", nil
					}
					return path, nil
				},
			}
			v := s.crawl(withFiles("/x"))
			require.Empty(t, filesOf(v.Items[0]), path)
			require.Equal(t, pipeline.KindOther, v.Failures[0].Kind)
			require.ErrorContains(t, v.Failures[0], "bad name")
		}
		entries, err := os.ReadDir(above)
		require.NoError(t, err)
		require.Len(t, entries, 2, "the store and the folder beside it")
		entries, err = os.ReadDir(outside)
		require.NoError(t, err)
		require.Empty(t, entries)
	})

	t.Run("N4 nor is a symbolic link a way out", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { // the store is asked four times
			outside, dir := t.TempDir(), t.TempDir()
			if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
				t.Skip(err)
			}
			secret := filepath.Join(outside, "secret")
			require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o600))
			for _, over := range []int64{0, 1} { // from memory, and by taking a spooled file over
				s := anywhere(t, sayText("a text"))
				s.settings.Download.SpoolOver = over
				s.files = &pipeline.FilesPipeline{
					Settings: crawl.FilesSettings{Store: dir},
					FilePath: func(*crawl.Request, *crawl.Response, any) (string, error) { return "link/secret", nil },
				}
				v := s.crawl(withFiles("/x"))
				require.Empty(t, filesOf(v.Items[0]), "neither written nor up to date")
				require.Equal(t, pipeline.KindStore, v.Failures[0].Kind)
			}
			b, err := os.ReadFile(secret)
			require.NoError(t, err)
			require.Equal(t, "secret", string(b))
		})
	})
}

package pipeline

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

// The names that Scrapy gives, so that a folder which it filled is found again.
func TestNamesOfFiles(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://dev.mydeco.com/mydeco.pdf":                                           "c9b564df929f4bc635bdd19fde4f3d4847c757c5.pdf",
		"http://www.maddiebrown.co.uk///catalogue-items//image_54642_12175_95307.txt": "4ce274dd83db0368bafd7e406f382ae088e39219.txt",
		"https://dev.mydeco.com/two/dirs/with%20spaces%2Bsigns.doc":                   "94ccc495a17b9ac5d40e3eabf3afcb8c2c9b9e1a.doc",
		"http://www.dfsonline.co.uk/get_prod_image?img=status_0907_mdm.jpg":           "c67f916ff9d542e822dedf38f9fcb146d1faba78.jpg",
		"http://www.dorma.co.uk/images/product_details/2532/":                         "97ee6f8a46cbbb418ea91502fd24176865cf39b2",
		"http://www.dorma.co.uk/images/product_details/2532":                          "244e0dd7d96a3b7b01f54eded250c9e272577aa1",
		"http://www.dfsonline.co.uk/get_prod_image?img=status_0907_mdm.jpg.bohaha":    "e75f2fa260521b56f6b6a867447b8002d00b5841",
		"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAR0AAACxCAMAAADOHZloAAACClBMVEX/" + strings.Repeat(" ", 36) +
			"//+F0tzCwMK76ZKQ21AMqr7oAAC96JvD5aWM2kvZ78J0N7fmAAC46Y4Ap7y": "178059cbeba2e34120a67f2dc1afc3ecc09b61cb.png",
		"http://foo.bar/baz.txt?fizz":               "a2b4913a62f65445aeae2bac08cd8c3b41d7195e.txt",
		"http://foo.bar/get_img.foo?file=photo.jpg": "7fc9461c9fd836515bea6983373097203a7d748e.jpg",
	} {
		req := crawl.Get(raw)
		require.NoError(t, req.Err())
		require.Equal(t, "full/"+want, fileName(req.URL), raw)
	}
}

func TestNamesOfImages(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://dev.mydeco.com/mydeco.gif":                                           "3fd165099d8e71b8a48b2683946e64dbfad8b52d",
		"http://www.maddiebrown.co.uk///catalogue-items//image_54642_12175_95307.jpg": "0ffcd85d563bca45e2f90becd0ca737bc58a00b2",
		"https://dev.mydeco.com/two/dirs/with%20spaces%2Bsigns.gif":                   "b250e3a74fff2e4703e310048a5b13eba79379d2",
		"http://www.dfsonline.co.uk/get_prod_image.php?img=status_0907_mdm.jpg":       "4507be485f38b0da8a0be9eb2e1dfab8a19223f2",
		"http://www.example.com/image.jpg":                                            "3afec3b4765f8f0a07b78f98c07b83f013567a0a",
	} {
		require.Equal(t, "full/"+want+".jpg", imageName(crawl.Get(raw).URL), raw)
	}
	for raw, want := range map[string]string{
		"file:///tmp/foo.jpg":       "38a86208c36e59d4404db9e37ce04be863ef0335",
		"file://foo.png":            "e55b765eba0ec7348e50a1df496040449071b96a",
		"file:///tmp/foo":           "0329ad83ebb8e93ea7c7906d46e9ed55f7349a50",
		"file:///tmp/some.name/foo": "850233df65a5b83361798f532f1fc549cd13cbe9",
	} {
		require.Equal(t, "thumbs/50/"+want+".jpg", thumbName(crawl.Get(raw).URL, "50"), raw)
	}
}

func TestExtensions(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"a.PDF": ".pdf", "A.JPG": ".jpg", "a.JPEG": ".jpg", "a.jpeg": ".jpeg", "a.php": "", "a.php?f=b.png": ".png", "a.pdf?x=b.png": ".pdf",
		"a.pdf#frag.png": ".pdf", ".htaccess": "", "a.": "", "a%2Ejpg": "", "get?file=/a/b.txt": ".txt", "a.jpg;v=1": ".jpg", "a.jpg;v=1.png": ".jpg",
		"a.tar.gz": ".gz", "a.webp": ".webp", "a.avif": ".avif", "a.docx": ".docx", "a.xlsx": ".xlsx", "a.rar": ".rar", "a.7z": ".7z", "a.gz": ".gz",
		"": "", "dir.d/": "", "photo.jpg/": ".jpg", "dir.png/file": "", "a.b;c/d": "", "?a.jpg": ".jpg", "get?u=http://x.com/": "", "a.jpg%20": "",
		"a.html": ".html", "a.HTM": ".html", "a.MOV": ".mov", "a.mp3": ".mp3", "a.exe": ".exe", "a.desktop": "",
	} {
		require.Equal(t, want, extensionOf(crawl.Get("http://x.com/"+path).URL), path)
	}
	for raw, want := range map[string]string{
		"http://x.com": "", "http://x.gz": "", "http://x.com?a.png": ".png", "ftp://x.pdf/": "", "file:///tmp/a.tiff": ".tiff",
		"data:,hello": ".txt", "data:text/html,<p>": ".html", "data:IMAGE/GIF;base64,x": ".gif", "data:;charset=utf-8,x": ".txt", "data:x/unknown,a.jpg": "",
		"data:image/svg+xml;utf8,<svg a='b.png'/>": ".svg", "data:no comma": "",
	} {
		require.Equal(t, want, extensionOf(crawl.Get(raw).URL), raw)
	}
}

func TestExtensionTable(t *testing.T) {
	t.Parallel()
	n := 0
	for line := range strings.Lines(extensionTable) {
		words := strings.Fields(line)
		require.Greater(t, len(words), 1, line)
		require.Contains(t, words[0], "/")
		require.Equal(t, strings.ToLower(line), line)
		for _, ext := range words[1:] {
			require.Equal(t, words[0], mediaTypes["."+ext], "%s stands in two lines", ext)
			require.NoError(t, store.CheckName("full/0."+ext))
			n++
		}
	}
	require.Len(t, mediaTypes, n)
}

// N1 N3 N5
func TestFilePathOfAnItem(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/a": text("a"), "/b": text("b")})
	p, s := keeping()
	p.FilePath = func(_ *crawl.Request, _ *crawl.Response, item any) (string, error) {
		return item.(*Book).Title + "/file.txt", nil
	}
	c := b.open(p)
	b.must(c, &Book{Title: "one", FileURLs: urls("/a")})
	require.Empty(t, b.warnings())
	require.Equal(t, []string{"one/file.txt"}, s.Names())
	_, err := s.Stat(t.Context(), store.By+crawl.Get(site+"/a").Fingerprint().String())
	require.Error(t, err, "the path does not depend on the response, so nothing is noted")

	p.Settings.Expires = -1
	c = b.open(p)
	b.must(c, &Book{Title: "two", FileURLs: urls("/a", "/b")})
	require.Len(t, b.warnings(), 1)
	require.Equal(t, "two URLs are stored under one path: the last one stays", b.warnings()[0].Message)
}

// N2
func TestFilePathOfAResponse(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": text("x")})
	p, s := keeping()
	fixed := "unknown"
	p.FilePath = func(_ *crawl.Request, resp *crawl.Response, _ any) (string, error) {
		if resp == nil {
			return fixed, nil
		}
		return "by-type/" + resp.Header.Get("Content-Type") + "/file", nil
	}
	b.must(b.open(p), &Book{FileURLs: urls("/x")})
	require.Equal(t, []string{"by-type/text/plain/file"}, s.Names())

	book := &Book{FileURLs: urls("/x")}
	b.must(b.open(p), book) // another crawl
	require.Equal(t, 1, b.site.total())
	require.Equal(t, "uptodate", book.Files[0].Status)
	require.Equal(t, "by-type/text/plain/file", book.Files[0].Path)

	fixed = "" // it says now that it needs the response: what was noted does not count any more
	b.must(b.open(p), &Book{FileURLs: urls("/x")})
	require.Equal(t, 2, b.site.total())
	b.must(b.open(p), &Book{FileURLs: urls("/x")})
	require.Equal(t, 2, b.site.total())

	// As in Scrapy, a hook that can't do without its response needs files that are never fresh.
	p.Settings.Expires = -1
	p.FilePath = func(_ *crawl.Request, resp *crawl.Response, _ any) (string, error) {
		return resp.Header.Get("Content-Type"), nil
	}
	book = &Book{FileURLs: urls("/x")}
	b.must(b.open(p), book)
	require.Equal(t, []string{"text/plain"}, paths(book.Files))
}

// N4
func TestFilePathThatWouldLeaveTheStore(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"../outside", "/etc/passwd", "a/../../b", `a\b`, "", ".tulle/meta/x"} {
		b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": text("x")})
		p, s := keeping()
		var results []Result
		p.ItemCompleted = collect(&results)
		p.FilePath = func(*crawl.Request, *crawl.Response, any) (string, error) { return path, nil }
		b.must(b.open(p), &Book{FileURLs: urls("/x")})
		require.ErrorIs(t, results[0].Err, store.ErrName)
		require.Equal(t, KindOther, failureOf(t, results[0]).Kind, "not the store's fault")
		require.Empty(t, s.Names())

		im, s := drawing()
		im.ItemCompleted = collect(&results)
		im.Settings.Thumbs = map[string]crawl.Size{"s": {Width: 5, Height: 5}}
		im.ThumbPath = func(*crawl.Request, string, *crawl.Response, any) (string, error) { return path, nil }
		b.site.handle["/x"] = serve("image/jpeg", jpegOf(t, 10, 10))
		b.must(b.open(im), &Book{ImageURLs: urls("/x")})
		require.ErrorIs(t, results[0].Err, store.ErrName)
		require.Empty(t, s.Names())
	}
}

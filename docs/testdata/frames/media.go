package page

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
)

type Book struct {
	ImageURLs []string     `json:"image_urls"`
	Images    []crawl.File `json:"images"`
}

// gallery has a page, and pictures; a jealous one shows them only to those who say that they come from that page.
func gallery(t *testing.T, jealous bool) crawltest.Site {
	t.Helper()
	var large, small bytes.Buffer
	require.NoError(t, png.Encode(&large, image.NewRGBA(image.Rect(0, 0, 200, 150))))
	require.NoError(t, png.Encode(&small, image.NewRGBA(image.Rect(0, 0, 20, 15))))
	return crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/":
			_, _ = w.Write([]byte("<p>"))
		case jealous && r.Header.Get("Referer") != "http://example.com/":
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/large.png":
			_, _ = w.Write(large.Bytes())
		case r.URL.Path == "/small.png":
			_, _ = w.Write(small.Bytes())
		default:
			http.NotFound(w, r)
		}
	}))
}

func showing(pictures ...string) *crawl.Spider {
	return &crawl.Spider{Name: "books", StartURLs: []string{"http://example.com/"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
		out.Item(&Book{ImageURLs: pictures})
		return nil
	}}
}

func TestPictures(t *testing.T) {
	spider, settings, err := pictures(t.Context(), showing("http://example.com/large.png", "http://example.com/small.png"), crawl.Settings{})
	require.NoError(t, err)
	res := crawltest.Run(t, spider, settings, gallery(t, false))
	require.Len(t, res.Items, 1)
	images := res.Items[0].(*Book).Images
	require.Len(t, images, 1, "the small one is too small")
	require.Equal(t, 200, images[0].Width)
	require.FileExists(t, filepath.Join("pictures", filepath.FromSlash(images[0].Path)))
	thumbs, err := os.ReadDir(filepath.Join("pictures", "thumbs", "small"))
	require.NoError(t, err)
	require.Len(t, thumbs, 1)
	require.EqualValues(t, 1, res.Stats.Int("media/failed_kind_count/too-small"))
}

func TestHooks(t *testing.T) {
	for picture, items := range map[string]int{"http://example.com/large.png": 1, "http://example.com/none.png": 0} {
		spider, settings, err := hooks(t.Context(), showing(picture), crawl.Settings{})
		require.NoError(t, err)
		settings.Images.Store = "pictures"
		res := crawltest.Run(t, spider, settings, gallery(t, true))
		require.Len(t, res.Items, items, "%v", res.Log.All())
		require.EqualValues(t, 1-items, res.Stats.Int("item_dropped_count"))
	}
}

// The stores that a program links: those that it does not are an error that says so, and these say that nobody answers.
func TestStores(t *testing.T) {
	spider, settings, err := stores(t.Context(), showing("http://example.com/large.png"), crawl.Settings{})
	require.NoError(t, err)
	_, withPipeline, err := pictures(t.Context(), spider, settings)
	require.NoError(t, err)
	for _, scheme := range []string{"s3", "gs", "ftp", "ftps"} {
		require.NotNil(t, settings.Parts.Stores[scheme], scheme)
	}
	withPipeline.Images.Store = "ftp://127.0.0.1:1/pictures"
	_, err = quiet(t.Context(), spider, withPipeline)
	require.ErrorContains(t, err, "connection refused")
	withPipeline.Parts.Stores = nil
	_, err = quiet(t.Context(), spider, withPipeline)
	require.ErrorContains(t, err, `unknown scheme "ftp"`)
}

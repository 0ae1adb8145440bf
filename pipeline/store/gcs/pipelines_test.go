package gcs_test

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store/gcs"
)

type product struct {
	ImageURLs []string     `json:"image_urls"`
	Images    []crawl.File `json:"images"`
	FileURLs  []string     `json:"file_urls"`
	Files     []crawl.File `json:"files"`
}

// S11: two pipelines, two servers.
func TestPipelinesHaveSettingsOfTheirOwn(t *testing.T) {
	t.Parallel()
	shared, own := start(t), start(t)
	var jpg bytes.Buffer
	require.NoError(t, jpeg.Encode(&jpg, image.NewRGBA(image.Rect(0, 0, 120, 80)), nil))
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/a.jpg" {
			w.Header().Set("Content-Type", "image/jpeg")
			_, _ = w.Write(jpg.Bytes())
		}
	}))
	settings := crawl.Settings{
		ItemPipelines: []crawl.Stage{{Order: 100, Pipeline: &pipeline.ImagesPipeline{}}, {Order: 200, Pipeline: &pipeline.FilesPipeline{}}},
		Robots:        crawl.RobotsSettings{Ignore: true},
		GCS:           shared,
		Images:        crawl.ImagesSettings{Store: "gs://pictures/{spider}", Thumbs: map[string]crawl.Size{"small": {Width: 50, Height: 50}}},
		Files:         crawl.FilesSettings{Store: "gs://pictures/files", GCS: crawl.GCSSettings{Endpoint: own.Endpoint}},
		Parts:         crawl.Parts{Stores: map[string]crawl.OpenStore{"gs": gcs.Open}},
	}
	for _, status := range []string{"downloaded", "uptodate"} {
		res := crawltest.Run(t, &crawl.Spider{
			Name: "shop", StartURLs: []string{"https://shop.example/"},
			Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
				out.Item(&product{ImageURLs: []string{"https://shop.example/a.jpg"}, FileURLs: []string{"https://shop.example/a.jpg"}})
				return nil
			},
		}, settings, site)
		require.Len(t, res.Items, 1)
		item := res.Items[0].(*product)
		require.Len(t, item.Images, 1)
		require.Len(t, item.Files, 1)
		require.Equal(t, []string{status, status}, []string{item.Images[0].Status, item.Files[0].Status})
		require.Equal(t, "image/jpeg", item.Files[0].ContentType)
		name := item.Files[0].Path
		require.Equal(t, jpg.Bytes(), content(t, openAt(t, shared, "gs://pictures/shop"), name))
		require.Equal(t, jpg.Bytes(), content(t, openAt(t, own, "gs://pictures/files"), name))
		_, err := openAt(t, shared, "gs://pictures/files").Stat(t.Context(), name)
		require.Error(t, err)
		require.NotEmpty(t, content(t, openAt(t, shared, "gs://pictures/shop"), item.Images[0].Thumbs["small"].Path))
	}
}

package s3_test

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/jpeg"
	"net/http"
	"sort"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store/s3"
)

type product struct {
	ImageURLs []string     `json:"image_urls"`
	Images    []crawl.File `json:"images"`
	FileURLs  []string     `json:"file_urls"`
	Files     []crawl.File `json:"files"`
}

func picture(t *testing.T) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 120, 80))
	for i := range img.Pix {
		img.Pix[i] = uint8(i)
	}
	img.Set(0, 0, color.White)
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, img, nil))
	return b.Bytes()
}

// names are the keys on a server.
func (s *server) names(t *testing.T) []string {
	t.Helper()
	var names []string
	for o := range s.client.Client.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		require.NoError(t, o.Err)
		names = append(names, o.Key)
	}
	sort.Strings(names)
	return names
}

// S11: pictures go to one server with its credentials, files to another one with its own, and files of a pipeline with settings of its own to a third.
func TestPipelinesHaveCredentialsOfTheirOwn(t *testing.T) {
	t.Parallel()
	shared, images, own := start(t, "shared", "shared-secret"), start(t, "images", "images-secret"), start(t, "own", "own-secret")
	jpg := picture(t)
	var unchanged atomic.Int64
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == `"v1"` {
			unchanged.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if r.URL.Path == "/a.jpg" {
			w.Header().Set("Content-Type", "image/jpeg")
			w.Header().Set("ETag", `"v1"`)
			_, _ = w.Write(jpg)
			return
		}
		_, _ = w.Write([]byte("<p>a page</p>"))
	}))
	spider := func() *crawl.Spider {
		return &crawl.Spider{
			Name: "shop", StartURLs: []string{"https://shop.example/"},
			Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
				out.Item(&product{ImageURLs: []string{"https://shop.example/a.jpg"}, FileURLs: []string{"https://shop.example/a.jpg"}})
				return nil
			},
		}
	}
	settings := crawl.Settings{
		ItemPipelines: []crawl.Stage{
			{Order: 100, Pipeline: &pipeline.ImagesPipeline{}},
			{Order: 200, Pipeline: &pipeline.FilesPipeline{}},
			{Order: 300, Pipeline: &pipeline.FilesPipeline{Settings: crawl.FilesSettings{Store: "s3://pictures/own", AWS: own.settings}}},
		},
		Robots: crawl.RobotsSettings{Ignore: true},
		AWS:    shared.settings,
		Images: crawl.ImagesSettings{Store: "s3://pictures/{spider}", AWS: images.settings, Thumbs: map[string]crawl.Size{"small": {Width: 50, Height: 50}}},
		Files:  crawl.FilesSettings{Store: "s3://pictures/files"},
		Parts:  crawl.Parts{Stores: map[string]crawl.OpenStore{"s3": s3.Open}},
	}
	settings.AWS.Region = "us-east-1"
	// E7: in the third crawl the files have expired, and the site says that they have not changed.
	for round, status := range []string{"downloaded", "uptodate", "uptodate"} {
		if round == 2 {
			settings.Files.Expires = time.Nanosecond
		}
		res := crawltest.Run(t, spider(), settings, site)
		require.Len(t, res.Items, 1)
		item := res.Items[0].(*product)
		require.Len(t, item.Images, 1)
		require.Equal(t, status, item.Images[0].Status)
		require.Equal(t, 120, item.Images[0].Width)
		require.Contains(t, item.Images[0].Thumbs, "small")
		require.Len(t, item.Files, 1)
		require.Equal(t, status, item.Files[0].Status)
		require.Equal(t, item.Images[0].Checksum, item.Files[0].Checksum)
		require.Equal(t, "image/jpeg", item.Files[0].ContentType)

		name := item.Files[0].Path
		require.Equal(t, []string{"files/" + name}, shared.names(t))
		require.Equal(t, []string{"own/" + name}, own.names(t))
		require.Equal(t, []string{"shop/" + name, "shop/thumbs/small/" + name[len("full/"):]}, images.names(t))
	}
	require.EqualValues(t, 2, unchanged.Load(), "each pipeline asked once")
}

package pipeline_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

func TestRowsOfSettings(t *testing.T) {
	t.Parallel()

	t.Run("S1 S3 S4 a pipeline's own settings win over the shared ones, field by field, and those over the defaults", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/p.jpg": sayJPEG(t, 40, 30), "/q.jpg": sayJPEG(t, 20, 10)})
		s.settings.Images = crawl.ImagesSettings{
			MinWidth: 30, ResultField: "photos", Thumbs: map[string]crawl.Size{"shared": {Width: 8, Height: 8}},
		}
		s.images.Settings = crawl.ImagesSettings{MinWidth: -1, MinHeight: 0, Thumbs: map[string]crawl.Size{"own": {Width: 4, Height: 4}}}
		item := withImages("/p.jpg", "/q.jpg")
		s.crawl(item)
		photos := item["photos"].([]crawl.File) // the field that is read is the default's, the one that is written the shared settings'
		require.Len(t, photos, 2, "negative is none")
		require.Contains(t, photos[0].Thumbs, "own")
		require.NotContains(t, photos[0].Thumbs, "shared")

		s.images = &pipeline.ImagesPipeline{Store: new(store.Memory)}
		item = withImages("/p.jpg", "/q.jpg")
		s.crawl(item)
		require.Contains(t, one(t, item["photos"].([]crawl.File)).Thumbs, "shared")
	})

	t.Run("S1 Media of a pipeline wins over Settings.Media", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/moved": sayMoved("/p.jpg"), "/p.jpg": sayJPEG(t, 40, 30)})
		s.settings.Media.AllowRedirects = true
		s.files.Media.Statuses = []int{404}
		s.images.Media.Checksum = "sha256"
		item := map[string]any{"file_urls": mediaURLs("/moved", "/gone"), "image_urls": mediaURLs("/moved")}
		s.crawl(item)
		require.Equal(t, media+"/gone", one(t, filesOf(item)).URL)
		require.Len(t, one(t, filesOf(item)).Checksum, 32)
		require.Len(t, one(t, imagesOf(item)).Checksum, 64)
	})

	t.Run("S2 S5 pipelines of one kind differ by what is written in them, which a crawl does not change", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/p.jpg": sayJPEG(t, 40, 30), "/logo.jpg": sayJPEG(t, 16, 16)})
		s.settings.Images.MinWidth = 30
		logos := &pipeline.ImagesPipeline{
			Store:    new(store.Memory),
			Settings: crawl.ImagesSettings{URLsField: "logo_url", ResultField: "logo", MinWidth: 10},
		}
		s.settings.ItemPipelines = []crawl.Stage{{Order: 1, Pipeline: s.images}, {Order: 2, Pipeline: logos}}
		item := withImages("/p.jpg", "/logo.jpg")
		item["logo_url"] = media + "/logo.jpg"
		s.crawl(item)
		require.Equal(t, 40, one(t, imagesOf(item)).Width)
		require.Equal(t, 16, one(t, item["logo"].([]crawl.File)).Width)
		require.Len(t, s.images.Store.(*store.Memory).Names(), 1)
		require.Len(t, logos.Store.(*store.Memory).Names(), 1)
		require.Zero(t, s.images.Settings)

		s.settings.Images.MinWidth = 50
		item = withImages("/p.jpg", "/big.jpg")
		s.images.Store = new(store.Memory)
		s.crawl(item)
		require.Empty(t, imagesOf(item), "the same value, in a crawl with other settings")
	})

	t.Run("S6 without a store a pipeline is left out, with a warning that names the setting", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, nil)
		s.files.Store, s.images.Store = nil, nil
		item := map[string]any{"file_urls": mediaURLs("/a"), "image_urls": mediaURLs("/a")}
		v := s.crawl(item)
		require.Len(t, v.Items, 1)
		require.NotContains(t, item, "files")
		require.Empty(t, v.media())
		require.Len(t, v.warnings(), 2)
		for i, setting := range []string{"files.store", "images.store"} {
			require.Contains(t, fmt.Sprint(v.warnings()[i].ContextMap()), setting+" is empty")
		}
	})

	t.Run("S8 a store is a folder's path or its file URL, and {spider} in it is the spider's name", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		for address, folder := range map[string]string{
			filepath.Join(dir, "plain"): "plain",
			(&url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(dir, "by-url"))}).String(): "by-url",
			filepath.Join(dir, "of", "{spider}", "files"):                                             filepath.Join("of", "shop", "files"),
		} {
			s := newShop(t, answers{"/a": sayText("a")})
			s.files.Store, s.settings.Files.Store = nil, address
			item := withFiles("/a")
			s.crawl(item)
			b, err := os.ReadFile(filepath.Join(dir, folder, filepath.FromSlash(one(t, filesOf(item)).Path)))
			require.NoError(t, err)
			require.Equal(t, "a", string(b))
		}
	})

	t.Run("S9 a store of an unknown scheme is an error at the start that lists those there are", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, nil)
		s.files.Store, s.settings.Files.Store = nil, "s4://bucket/files"
		spider, settings, _, _ := s.prepare(nil)
		settings.Parts.Stores = map[string]crawl.OpenStore{"s3": nil}
		settings.Logger = zap.NewNop()
		_, err := engine.Run(t.Context(), spider, settings)
		require.ErrorContains(t, err, "open store s4://bucket/files: unknown scheme \"s4\" (this program has: file, memory, s3)")
	})

	t.Run("S10 S11 credentials and ACL are those of the pipeline that opens the store", func(t *testing.T) {
		t.Parallel()
		var mu sync.Mutex
		opened := make(map[string]crawl.AWSSettings) // Guarded by mu.
		s := newShop(t, nil)
		s.files.Store, s.images.Store = nil, nil
		s.settings.Parts.Stores = map[string]crawl.OpenStore{"s3": func(_ context.Context, uri string, env *crawl.Env) (crawl.Store, error) {
			mu.Lock()
			defer mu.Unlock()
			opened[uri] = env.Settings.AWS
			return new(store.Memory), nil
		}}
		s.settings.AWS = crawl.AWSSettings{AccessKeyID: "shared", SecretAccessKey: "secret", SessionToken: "token", Region: "eu-west-1"}
		s.settings.Files.Store, s.settings.Files.AWS.ACL = "s3://files/", "private"
		s.settings.Images.Store, s.settings.Images.AWS.ACL = "s3://images/", "public-read"
		own := &pipeline.FilesPipeline{Settings: crawl.FilesSettings{
			Store: "s3://own/{spider}", AWS: crawl.AWSSettings{AccessKeyID: "own", SecretAccessKey: "own secret"},
		}}
		s.settings.ItemPipelines = []crawl.Stage{{Pipeline: s.files}, {Pipeline: s.images}, {Pipeline: own}}
		s.crawl()
		require.Equal(t, map[string]crawl.AWSSettings{
			"s3://files/":   {AccessKeyID: "shared", SecretAccessKey: "secret", SessionToken: "token", Region: "eu-west-1", ACL: "private"},
			"s3://images/":  {AccessKeyID: "shared", SecretAccessKey: "secret", SessionToken: "token", Region: "eu-west-1", ACL: "public-read"},
			"s3://own/shop": {AccessKeyID: "own", SecretAccessKey: "own secret", Region: "eu-west-1", ACL: "private"},
		}, opened)
	})

	t.Run("S12 the order of stages decides what an item has been through", func(t *testing.T) {
		t.Parallel()
		for _, first := range []int{300, 320} {
			s := newShop(t, answers{"/a": sayText("a"), "/p.jpg": sayJPEG(t, 40, 30)})
			var has noted[[2]bool]
			s.settings.ItemPipelines = []crawl.Stage{
				{Order: 310, Pipeline: stage(func(_ context.Context, item any) (any, error) {
					has.add([2]bool{len(filesOf(item)) > 0, len(imagesOf(item)) > 0})
					return item, nil
				})},
				{Order: first, Pipeline: s.files}, {Order: 620 - first, Pipeline: s.images},
			}
			item := map[string]any{"file_urls": mediaURLs("/a"), "image_urls": mediaURLs("/p.jpg")}
			s.crawl(item)
			require.Equal(t, [][2]bool{{first == 300, first != 300}}, has.all())
			require.Len(t, filesOf(item), 1)
			require.Len(t, imagesOf(item), 1)
		}
	})
}

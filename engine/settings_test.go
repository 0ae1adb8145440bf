package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
	"github.com/tulle-go/tulle/scheduler/jobdir"
)

// numbers are the settings that are numbers, by their place in Settings.
func numbers(t reflect.Type, index []int, name string) map[string][]int {
	all := make(map[string][]int)
	for i := range t.NumField() {
		f := t.Field(i)
		at, name := slices.Concat(index, []int{i}), strings.TrimPrefix(name+"."+f.Name, ".")
		switch f.Type.Kind() {
		case reflect.Int, reflect.Int64, reflect.Float64:
			all[name] = at
		case reflect.Struct:
			for name, at := range numbers(f.Type, at, name) {
				all[name] = at
			}
		}
	}
	return all
}

// No number that somebody may write into a setting makes the crawl panic or hang: it crawls, or it is refused.
func TestNumbersOfSettings(t *testing.T) {
	t.Parallel()
	var picture bytes.Buffer
	require.NoError(t, jpeg.Encode(&picture, image.NewGray(image.Rect(0, 0, 40, 30)), nil))
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "pictures.example" {
			_, _ = w.Write(picture.Bytes())
			return
		}
		_, _ = w.Write(make([]byte, 2000))
	})
	for name, at := range numbers(reflect.TypeFor[crawl.Settings](), nil, "") {
		for _, n := range []int64{-1, math.MinInt64, math.MaxInt64} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				spider := &crawl.Spider{Name: "numbers", StartURLs: []string{"http://pages.example/1"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
					out.Item(map[string]any{"image_urls": []string{"http://pictures.example/"}})
					return nil
				}}
				settings := crawl.Settings{
					ItemPipelines: []crawl.Stage{{Order: 1, Pipeline: &pipeline.ImagesPipeline{Store: new(store.Memory)}}},
					Images:        crawl.ImagesSettings{Thumbs: map[string]crawl.Size{"small": {Width: 10, Height: 10}}},
					Download:      crawl.DownloadSettings{SpoolDir: t.TempDir(), SpoolOver: 1000},
				}
				field := reflect.ValueOf(&settings).Elem().FieldByIndex(at)
				if field.Kind() == reflect.Float64 {
					field.SetFloat(float64(n))
				} else {
					field.SetInt(n)
				}
				if strings.HasPrefix(name, "Job.") {
					settings.Job.Dir, settings.Parts.Job = t.TempDir(), jobdir.Open
				} else {
					settings.AutoThrottle.On = true
				}
				if _, err := engine.New(spider, settings); err != nil {
					return
				}
				try := func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // delays may be as long as they like
					defer cancel()
					res := crawltest.Run(ending{t, ctx}, spider, settings, crawltest.Handler(site))
					require.NotEmpty(t, res.Reason)
				}
				if settings.Job.Dir != "" {
					try(t)
				} else {
					synctest.Test(t, try)
				}
			})
		}
	}
}

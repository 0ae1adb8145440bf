package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"path"
	"sort"
	"strings"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

// Product is an item with pictures and files.
type Product struct {
	Name      string       `json:"name"`
	Price     string       `json:"price"`
	ImageURLs []string     `json:"image_urls"`
	Images    []crawl.File `json:"images"`
	FileURLs  []string     `json:"file_urls"`
	Files     []crawl.File `json:"files"`
}

// process sends an item through stages in a crawl of a little site, as the engine does with the stages in Settings.ItemPipelines.
func process(item any, stages ...crawl.Pipeline) (any, error) {
	ctx := context.Background()
	settings, err := crawl.Settings{}.Effective(nil)
	if err != nil {
		return nil, err
	}
	env := &crawl.Env{
		Spider: &crawl.Spider{Name: "example"}, Settings: settings, Stats: crawl.NewStats(), Log: zap.NewNop(),
		Fetcher: crawl.FetcherFunc(fetch), Pixels: gate{}, Spool: new(crawl.Spool),
	}
	var list []crawl.Stage
	for i, p := range stages {
		list = append(list, crawl.Stage{Order: i, Pipeline: p})
	}
	chain, err := pipeline.Open(ctx, env, list)
	if err != nil {
		return nil, err
	}
	out, err := chain.Process(ctx, item)
	return out, errors.Join(err, chain.Close())
}

// fetch answers for the little site.
func fetch(_ context.Context, req *crawl.Request) (*crawl.Response, error) {
	rec := httptest.NewRecorder()
	switch name := path.Base(req.URL.Path); {
	case name == "gone.pdf":
		http.Error(rec, "it is gone", http.StatusGone)
	case name == "banner.jpg":
		_ = jpeg.Encode(rec, image.NewGray(image.Rect(0, 0, 728, 90)), nil)
	case strings.HasSuffix(name, ".jpg"):
		_ = jpeg.Encode(rec, image.NewGray(image.Rect(0, 0, 400, 300)), nil)
	case req.Header.Get("Referer") == "" && name == "members.pdf":
		http.Error(rec, "no deep links", http.StatusForbidden)
	case req.Header.Get("Authorization") == "" && name == "invoice.pdf":
		http.Error(rec, "who are you?", http.StatusUnauthorized)
	case name == "tool-1.2.tar.gz":
		rec.Header().Set("ETag", `"1.2"`)
		if req.Header.Get("If-None-Match") == `"1.2"` {
			rec.WriteHeader(http.StatusNotModified)
			break
		}
		_, _ = rec.WriteString("the tool")
	default:
		rec.Header().Set("Content-Disposition", `attachment; filename="manual.pdf"`)
		rec.Header().Set("Content-Type", "application/pdf")
		_, _ = rec.WriteString("%PDF-")
	}
	return &crawl.Response{
		Request: req, URL: req.URL, Status: rec.Code, Header: rec.Header(), Body: crawl.BytesBody(rec.Body.Bytes()),
	}, nil
}

type gate struct{}

func (gate) Do(_ context.Context, _ int64, f func() error) error { return f() }

func ExampleEach() {
	stage := pipeline.Each(func(_ context.Context, p *Product) (*Product, error) {
		if p.Price == "" {
			return nil, crawl.DropItem("no price")
		}
		p.Price = strings.TrimPrefix(p.Price, "£")
		return p, nil
	})
	item, _ := process(&Product{Price: "£51.77"}, stage)
	fmt.Println(item.(*Product).Price)
	_, err := process(&Product{}, stage)
	fmt.Println(err)
	// Output:
	// 51.77
	// pipeline.Each[*pipeline_test.Product]: item dropped: no price
}

func ExampleImagesPipeline() {
	item, err := process(
		&Product{Name: "lamp", ImageURLs: []string{"https://shop.example/lamp.jpg", "https://shop.example/gone.pdf"}},
		&pipeline.ImagesPipeline{
			Store: new(store.Memory), // usually Settings.Images.Store: "images"
			Settings: crawl.ImagesSettings{
				Thumbs: map[string]crawl.Size{"small": {Width: 50, Height: 50}}, MinWidth: 110, MinHeight: 110,
			},
		},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range item.(*Product).Images {
		fmt.Println(f.URL, f.Status)
		fmt.Println(f.Path, f.Width, f.Height)
		fmt.Println(f.Thumbs["small"])
	}
	// Output:
	// https://shop.example/lamp.jpg downloaded
	// full/0653712fed2d8d1f0c69d13a5a3bdcbbdf74fc96.jpg 400 300
	// {thumbs/small/0653712fed2d8d1f0c69d13a5a3bdcbbdf74fc96.jpg 50 38}
}

// An item without a single picture is dropped.
func ExampleImagesPipeline_itemCompleted() {
	_, err := process(&Product{ImageURLs: []string{"https://shop.example/gone.pdf"}}, &pipeline.ImagesPipeline{
		Store: new(store.Memory),
		ItemCompleted: func(_ context.Context, results []pipeline.Result, item any) (any, error) {
			for _, r := range results {
				fmt.Println(r.Err)
			}
			if len(pipeline.Succeeded(results)) == 0 {
				return nil, crawl.DropItem("item contains no images")
			}
			return item, nil
		},
	})
	fmt.Println(err)
	// Output:
	// media <https://shop.example/gone.pdf>: status: status 410 Gone
	// pipeline.ImagesPipeline: item dropped: item contains no images
}

// Banners are not worth their pixels, nor a warning.
func ExampleImagesPipeline_imageDownloaded() {
	item, _ := process(
		&Product{ImageURLs: []string{"https://shop.example/banner.jpg", "https://shop.example/lamp.jpg"}},
		&pipeline.ImagesPipeline{
			Store: new(store.Memory),
			ImageDownloaded: func(_ context.Context, _ *crawl.Response, size crawl.Size, _ any) error {
				if size.Width > 3*size.Height {
					return crawl.IgnoreRequest("a banner")
				}
				return nil
			},
		})
	for _, f := range item.(*Product).Images {
		fmt.Println(f.URL)
	}
	// Output: https://shop.example/lamp.jpg
}

// The picture is cropped to a square before it is stored.
func ExampleImagesPipeline_convertImage() {
	item, _ := process(&Product{ImageURLs: []string{"https://shop.example/lamp.jpg"}}, &pipeline.ImagesPipeline{
		Store: new(store.Memory),
		ConvertImage: func(_ context.Context, _ *crawl.Response, img image.Image, _ any) (image.Image, error) {
			side := min(img.Bounds().Dx(), img.Bounds().Dy())
			square := image.NewRGBA(image.Rect(0, 0, side, side))
			draw.Draw(square, square.Bounds(), img, img.Bounds().Min, draw.Src)
			square.Set(0, 0, color.White) // and signed
			return square, nil
		},
	})
	fmt.Println(item.(*Product).Images[0].Width, item.(*Product).Images[0].Height)
	// Output: 300 300
}

// Thumbnails stand beside their picture.
func ExampleImagesPipeline_thumbPath() {
	files := new(store.Memory)
	_, _ = process(&Product{Name: "lamp", ImageURLs: []string{"https://shop.example/lamp.jpg"}}, &pipeline.ImagesPipeline{
		Store:    files,
		Settings: crawl.ImagesSettings{Thumbs: map[string]crawl.Size{"small": {Width: 50, Height: 50}}},
		FilePath: func(_ *crawl.Request, _ *crawl.Response, item any) (string, error) {
			return item.(*Product).Name + "/picture.jpg", nil
		},
		ThumbPath: func(_ *crawl.Request, thumb string, _ *crawl.Response, item any) (string, error) {
			return item.(*Product).Name + "/" + thumb + ".jpg", nil
		},
	})
	fmt.Println(files.Names())
	// Output: [lamp/picture.jpg lamp/small.jpg]
}

// Requests with a header of their own.
func ExampleFilesPipeline_mediaRequests() {
	item, _ := process(&Product{Name: "members"}, &pipeline.FilesPipeline{
		Store: new(store.Memory),
		MediaRequests: func(_ context.Context, item any) ([]*crawl.Request, error) {
			req := crawl.Get("https://shop.example/" + item.(*Product).Name + ".pdf")
			req.Header = http.Header{"Referer": {"https://shop.example/"}}
			return []*crawl.Request{req}, nil
		},
	})
	fmt.Println(item.(*Product).Files[0].URL)
	// Output: https://shop.example/members.pdf
}

// What somebody else keeps is not downloaded.
func ExampleFilesPipeline_mediaToDownload() {
	archive := map[string]string{"https://shop.example/lamp.pdf": "2024/lamp.pdf"}
	item, _ := process(&Product{FileURLs: []string{"https://shop.example/lamp.pdf"}}, &pipeline.FilesPipeline{
		Store: new(store.Memory),
		MediaToDownload: func(_ context.Context, req *crawl.Request, _ any) (*crawl.File, error) {
			if there, ok := archive[req.URL.String()]; ok {
				return &crawl.File{Path: there, Status: "archived"}, nil
			}
			return nil, nil
		},
	})
	fmt.Println(item.(*Product).Files[0].Path, item.(*Product).Files[0].Status)
	// Output: 2024/lamp.pdf archived
}

// A page in place of a file is a failure, though its status is 200.
func ExampleFilesPipeline_mediaDownloaded() {
	_, _ = process(&Product{FileURLs: []string{"https://shop.example/terms.pdf"}}, &pipeline.FilesPipeline{
		Store: new(store.Memory),
		MediaDownloaded: func(_ context.Context, resp *crawl.Response, _ any) (*crawl.File, error) {
			fmt.Println(resp.Status, resp.Header.Get("Content-Type"))
			if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
				return nil, errors.New("a page where a file should be")
			}
			return nil, nil // go on as usual
		},
	})
	// Output: 200 application/pdf
}

// What is stored is not what came: every letter of it is small.
func ExampleFilesPipeline_fileDownloaded() {
	files := new(store.Memory)
	item, _ := process(&Product{FileURLs: []string{"https://shop.example/lamp.pdf"}}, &pipeline.FilesPipeline{
		Store: files,
		FileDownloaded: func(_ context.Context, resp *crawl.Response, _ any) error {
			b, err := resp.Bytes()
			resp.Body = crawl.BytesBody(bytes.ToLower(b))
			return err
		},
	})
	r, err := files.Open(context.Background(), item.(*Product).Files[0].Path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = r.Close() }()
	var b bytes.Buffer
	_, _ = b.ReadFrom(r)
	fmt.Println(b.String())
	// Output: %pdf-
}

// A placeholder for what is gone.
func ExampleFilesPipeline_mediaFailed() {
	item, _ := process(&Product{FileURLs: []string{"https://shop.example/gone.pdf"}}, &pipeline.FilesPipeline{
		Store: new(store.Memory),
		MediaFailed: func(_ context.Context, _ *crawl.Request, err error, _ any) (crawl.File, error) {
			var failed *pipeline.MediaError
			if errors.As(err, &failed) && failed.Status == http.StatusGone {
				return crawl.File{Path: "gone.png", Status: "placeholder"}, nil
			}
			return crawl.File{}, err
		},
	})
	fmt.Println(item.(*Product).Files[0].Path)
	// Output: gone.png
}

// A file is called what its server calls it. Where it went is noted in the store, so that it is found again.
func ExampleFilesPipeline_filePath() {
	item, _ := process(&Product{Name: "lamp", FileURLs: []string{"https://shop.example/download?id=7"}}, &pipeline.FilesPipeline{
		Store: new(store.Memory),
		FilePath: func(_ *crawl.Request, resp *crawl.Response, item any) (string, error) {
			if resp == nil {
				return "", nil // nobody knows before the download
			}
			_, name, _ := strings.Cut(resp.Header.Get("Content-Disposition"), "filename=")
			return item.(*Product).Name + "/" + strings.Trim(name, `"`), nil
		},
	})
	fmt.Println(item.(*Product).Files[0].Path)
	// Output: lamp/manual.pdf
}

// headlines is a kind of media: of each page that an item names, it wants the server's name for it, and stores nothing.
type headlines struct{}

func (headlines) Requests(_ context.Context, item any) ([]*crawl.Request, error) {
	var reqs []*crawl.Request
	for _, u := range item.(map[string]any)["pages"].([]string) {
		reqs = append(reqs, crawl.Get(u))
	}
	return reqs, nil
}

func (headlines) Fresh(context.Context, *crawl.Request, any) (*crawl.File, error) { return nil, nil }

func (headlines) Store(_ context.Context, resp *crawl.Response, _ any) (crawl.File, error) {
	return crawl.File{Path: resp.Header.Get("Content-Disposition")}, nil
}

func (headlines) Complete(_ context.Context, results []pipeline.Result, item any) (any, error) {
	var names []string
	for _, r := range pipeline.Succeeded(results) {
		names = append(names, r.File.Path)
	}
	sort.Strings(names)
	item.(map[string]any)["names"] = names
	return item, nil
}

func ExampleMediaPipeline() {
	item, _ := process(map[string]any{"pages": []string{"https://shop.example/a", "https://shop.example/a#again"}},
		&pipeline.MediaPipeline{Kind: headlines{}})
	fmt.Println(item.(map[string]any)["names"])
	// Output: [attachment; filename="manual.pdf" attachment; filename="manual.pdf"]
}

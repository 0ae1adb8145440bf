package pipeline_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

// Release is an item whose downloads have checksums that its page tells.
type Release struct {
	Name      string       `json:"name"`
	Downloads []Download   `json:"downloads"`
	Files     []crawl.File `json:"files"`
}

// Download is a file of a release.
type Download struct {
	URL    string `json:"url"`
	SHA256 string `json:"sha256"`
}

// ChecksumError says that a download is not what it should be.
type ChecksumError struct{ Want, Got string }

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("the checksum is %.8s…, not %.8s…", e.Got, e.Want)
}

// releases is a kind of media: downloads of which it is known beforehand what they must be.
type releases struct{ store crawl.Store }

// Requests asks for the item's downloads. The checksum travels with its request.
func (k releases) Requests(_ context.Context, item any) ([]*crawl.Request, error) {
	var reqs []*crawl.Request
	for _, d := range item.(*Release).Downloads {
		reqs = append(reqs, crawl.Get(d.URL, crawl.With(d.SHA256)))
	}
	return reqs, nil
}

// Fresh looks whether the right file is in the store. Then it never grows old.
func (k releases) Fresh(ctx context.Context, req *crawl.Request, _ any) (*crawl.File, error) {
	info, err := k.store.Stat(ctx, path.Base(req.URL.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var want string
	if err := (&crawl.Response{Request: req}).Data(&want); err != nil || info.Meta.Checksum != want {
		return nil, err
	}
	return &crawl.File{URL: req.URL.String(), Path: path.Base(req.URL.Path), Checksum: want, Size: info.Size, Status: "uptodate"}, nil
}

// Store keeps a download if it is the right one. The body is read twice, as a stream, and is in memory as a whole only if it is small.
func (k releases) Store(ctx context.Context, resp *crawl.Response, _ any) (crawl.File, error) {
	var want string
	if err := resp.Data(&want); err != nil {
		return crawl.File{}, err
	}
	body, err := resp.Body.Open()
	if err != nil {
		return crawl.File{}, err
	}
	defer func() { _ = body.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, body); err != nil {
		return crawl.File{}, err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return crawl.File{}, &ChecksumError{Want: want, Got: got}
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return crawl.File{}, err
	}
	name := path.Base(resp.Request.URL.Path)
	if err := k.store.Put(ctx, name, body, crawl.Meta{Checksum: want}); err != nil {
		return crawl.File{}, &pipeline.MediaError{Kind: pipeline.KindStore, Err: err}
	}
	return crawl.File{URL: resp.Request.URL.String(), Path: name, Checksum: want, Size: resp.Body.Size(), Status: "downloaded"}, nil
}

// Complete drops a release of which something is missing.
func (k releases) Complete(_ context.Context, results []pipeline.Result, item any) (any, error) {
	r := item.(*Release)
	for _, result := range results {
		var wrong *ChecksumError
		switch {
		case errors.As(result.Err, &wrong):
			return nil, crawl.DropItem("somebody has changed " + path.Base(result.Request.URL.Path))
		case result.Err != nil:
			return nil, crawl.DropItem("a download failed")
		}
		r.Files = append(r.Files, result.File)
	}
	return r, nil
}

// A kind of media of its own: downloads with a checksum that is known beforehand. What is something else is a failure, with a typed error.
func ExampleMediaPipeline_checksums() {
	stage := &pipeline.MediaPipeline{
		OpenKind: func(ctx context.Context, env *crawl.Env) (pipeline.Kind, error) {
			s, err := store.Open(ctx, cmp.Or(env.Settings.Files.Store, "memory://"), env)
			return releases{s}, err
		},
	}
	for _, sum := range []string{
		"6866d28d44ec66b4dc63a7183b503b39881d59d928c53edff3c5096853a659e4",
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	} {
		item, err := process(&Release{Downloads: []Download{{URL: "https://shop.example/tool-1.2.tar.gz", SHA256: sum}}}, stage)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(item.(*Release).Files[0].Path, item.(*Release).Files[0].Status)
	}
	// Output:
	// tool-1.2.tar.gz downloaded
	// pipeline.MediaPipeline: item dropped: somebody has changed tool-1.2.tar.gz
}

// onlyNewest wraps the Kind of a FilesPipeline: of an item's files the first alone is wanted. All else is the FilesPipeline's.
type onlyNewest struct{ pipeline.Kind }

func (k onlyNewest) Unwrap() pipeline.Kind { return k.Kind }

func (k onlyNewest) Requests(ctx context.Context, item any) ([]*crawl.Request, error) {
	reqs, err := k.Kind.Requests(ctx, item)
	return reqs[:min(len(reqs), 1)], err
}

// A Kind around that of a FilesPipeline, whose hooks go on to work.
func ExampleMediaPipeline_wrapped() {
	files := &pipeline.FilesPipeline{
		Store: new(store.Memory),
		MediaFailed: func(_ context.Context, _ *crawl.Request, err error, _ any) (crawl.File, error) {
			fmt.Println(err)
			return crawl.File{Path: "missing.pdf", Status: "placeholder"}, nil
		},
	}
	item, _ := process(
		&Product{FileURLs: []string{"https://shop.example/gone.pdf", "https://shop.example/lamp-1.pdf"}},
		&pipeline.MediaPipeline{OpenKind: func(ctx context.Context, env *crawl.Env) (pipeline.Kind, error) {
			k, err := files.OpenKind(ctx, env)
			return onlyNewest{k}, err
		}},
	)
	for _, f := range item.(*Product).Files {
		fmt.Println(f.Path)
	}
	// Output:
	// media <https://shop.example/gone.pdf>: status: status 410 Gone
	// missing.pdf
}

// Requests with a password, and with patience of their own. What is asked for is not the item's field.
func ExampleFilesPipeline_login() {
	item, _ := process(map[string]any{"order": "4711"}, &pipeline.FilesPipeline{
		Store: new(store.Memory),
		MediaRequests: func(_ context.Context, item any) ([]*crawl.Request, error) {
			req := crawl.Get("https://shop.example/orders/" + item.(map[string]any)["order"].(string) + "/invoice.pdf")
			req.Header = http.Header{"Authorization": {"Bearer 0123456789"}}
			req.SetKnobs(func(k *crawl.Knobs) { k.RetryTimes = 5 })
			return []*crawl.Request{req}, nil
		},
	})
	fmt.Println(item.(map[string]any)["files"].([]crawl.File)[0].URL)
	// Output: https://shop.example/orders/4711/invoice.pdf
}

// Pictures are called what their item is, in the order of its URLs.
func ExampleImagesPipeline_ownNames() {
	item, _ := process(
		&Product{Name: "lamp", ImageURLs: []string{"https://shop.example/front.jpg", "https://shop.example/back.jpg"}},
		&pipeline.ImagesPipeline{
			Store: new(store.Memory),
			FilePath: func(req *crawl.Request, _ *crawl.Response, item any) (string, error) {
				p := item.(*Product)
				return fmt.Sprintf("%s/%d.jpg", p.Name, slices.Index(p.ImageURLs, req.URL.String())+1), nil
			},
		})
	for _, f := range item.(*Product).Images {
		fmt.Println(f.Path)
	}
	// Output:
	// lamp/1.jpg
	// lamp/2.jpg
}

// The item says where its pictures can be seen, in a bucket that has a public address.
func ExampleImagesPipeline_publicURL() {
	const public = "https://media.shop.example/"
	item, _ := process(
		map[string]any{"image_urls": []string{"https://shop.example/lamp.jpg"}},
		&pipeline.ImagesPipeline{
			Store: new(store.Memory), // usually Settings.Images.Store: "s3://shop-media"
			ItemCompleted: func(_ context.Context, results []pipeline.Result, item any) (any, error) {
				var seen []string
				for _, r := range pipeline.Succeeded(results) {
					seen = append(seen, public+r.File.Path)
				}
				item.(map[string]any)["public_urls"] = seen
				return item, nil
			},
		})
	fmt.Println(item.(map[string]any)["public_urls"])
	// Output: [https://media.shop.example/full/0653712fed2d8d1f0c69d13a5a3bdcbbdf74fc96.jpg]
}

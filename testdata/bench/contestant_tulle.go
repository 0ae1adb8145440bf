package main

import (
	"context"
	"fmt"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/scheduler/jobdir"
)

// tulle runs as it comes, with only the concurrency raised to what the others have: duplicates dropped, limits per host,
// robots.txt, cookies, retries, redirects, a time limit for every request, statistics. Only its log is kept to errors. It has a job where
// contestant_tulle_job.go says so.

func tulleSettings(j job) crawl.Settings {
	return crawl.Settings{
		ConcurrentRequests: j.Concurrency,
		ConcurrentPerHost:  j.PerHost,
		Log:                crawl.LogSettings{Level: "error"},
		Job:                crawl.JobSettings{Dir: j.JobDir},
		Parts:              crawl.Parts{Job: jobdir.Open},
	}
}

func tulleRun(ctx context.Context, spider *crawl.Spider, settings crawl.Settings) error {
	result, err := engine.Run(ctx, spider, settings)
	if err != nil {
		return err
	}
	if result.Reason != "finished" {
		return fmt.Errorf("the crawl ended as %q", result.Reason)
	}
	return nil
}

// tulleStart asks for addresses one after the other.
func tulleStart(addresses func(yield func(string) bool)) func(context.Context, *crawl.Out) error {
	return func(_ context.Context, out *crawl.Out) error {
		for address := range addresses {
			if !out.Request(crawl.Get(address)) {
				break
			}
		}
		return nil
	}
}

// tulleCount is a callback that looks at the body's size only.
func tulleCount(m *meter) crawl.Callback {
	return func(_ context.Context, resp *crawl.Response, _ *crawl.Out) error {
		m.page(int(resp.Body.Size()))
		return nil
	}
}

func tulleFlat(ctx context.Context, j job, m *meter) error {
	return tulleRun(ctx, &crawl.Spider{
		Name: "flat",
		Start: tulleStart(func(yield func(string) bool) {
			for i := 0; i < j.N && yield(j.url(i)); i++ {
			}
		}),
		Parse: tulleCount(m),
	}, tulleSettings(j))
}

func tulleFollow(ctx context.Context, j job, m *meter) error {
	return tulleProducts(ctx, j, m, tulleSettings(j))
}

func tulleFeed(ctx context.Context, j job, m *meter) error {
	settings := tulleSettings(j)
	settings.Feeds = []crawl.Feed{{URI: feedName(j)}}
	return tulleProducts(ctx, j, m, settings)
}

func tulleProducts(ctx context.Context, j job, m *meter, settings crawl.Settings) error {
	settings.ItemPipelines = []crawl.Stage{{Order: 100, Pipeline: pipeline.Each(
		func(_ context.Context, p *product) (*product, error) {
			m.item(p.Title, p.Price)
			return p, nil
		})}}
	return tulleRun(ctx, &crawl.Spider{
		Name:      "follow",
		StartURLs: []string{j.url(0)},
		Parse: func(_ context.Context, resp *crawl.Response, out *crawl.Out) error {
			m.page(int(resp.Body.Size()))
			out.Item(&product{Title: resp.Text("h1"), Price: resp.Text("p.price")})
			out.FollowAll("a[href]", "")
			return nil
		},
	}, settings)
}

// A picturedProduct is what picturesCase's listing pages sell.
type picturedProduct struct {
	product
	ImageURLs []string     `json:"image_urls"`
	Images    []crawl.File `json:"images"`
}

// tullePictures counts a product when its picture has been stored. It leaves out robots.txt, as Scrapy does.
func tullePictures(ctx context.Context, j job, m *meter) error {
	settings := tulleSettings(j)
	settings.Robots.Ignore = true
	settings.Images.Store = pictureStore(j)
	settings.Images.Thumbs = make(map[string]crawl.Size)
	for _, thumb := range pictureThumbs {
		settings.Images.Thumbs[thumb.name] = crawl.Size{Width: thumb.side, Height: thumb.side}
	}
	settings.ItemPipelines = []crawl.Stage{
		{Order: 100, Pipeline: &pipeline.ImagesPipeline{}},
		{Order: 200, Pipeline: pipeline.Each(func(_ context.Context, p *picturedProduct) (*picturedProduct, error) {
			for _, file := range p.Images {
				m.page(int(file.Size))
				m.item(p.Title, p.Price)
			}
			return p, nil
		})},
	}
	return tulleRun(ctx, &crawl.Spider{
		Name:      "pictures",
		StartURLs: []string{j.url(0)},
		Parse: func(_ context.Context, resp *crawl.Response, out *crawl.Out) error {
			m.page(int(resp.Body.Size()))
			for _, thing := range resp.CSS("li.thing").EachIter() {
				address, err := resp.URL.Parse(thing.Find("img").AttrOr("src", ""))
				if err != nil {
					return err
				}
				out.Item(&picturedProduct{
					product:   product{Title: thing.Find("h2").Text(), Price: thing.Find("p.price").Text()},
					ImageURLs: []string{address.String()},
				})
			}
			out.FollowAll("a.next", "")
			return nil
		},
	}, settings)
}

func tulleSlow(ctx context.Context, j job, m *meter) error {
	settings := tulleSettings(j)
	settings.Download.ConnectTo = map[string]string{fastHost: j.Addr, slowHost: j.Addr}
	return tulleRun(ctx, &crawl.Spider{Name: "slow", Start: tulleStart(slowURLs(j)), Parse: tulleCount(m)}, settings)
}

// tullePending hands over all requests from Start, which may run ahead as far as it likes.
func tullePending(ctx context.Context, j job, m *meter) error {
	settings := tulleSettings(j)
	settings.Start.Ahead = -1
	return tulleRun(ctx, &crawl.Spider{
		Name: "pending",
		Start: func(_ context.Context, out *crawl.Out) error {
			for i := 0; i < j.N && out.Request(crawl.Get(j.url(i))); i++ {
			}
			m.filled()
			return nil
		},
		Parse: tulleCount(m),
	}, settings)
}

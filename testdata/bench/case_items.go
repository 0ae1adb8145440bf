package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/feed/parquet"
)

// itemsCase is what feeds cost when pages are no matter: one page has all the items.
func itemsCase() benchCase {
	return benchCase{
		name:        "items",
		title:       "%s items of one page, with a picture's address and a list, written to a file",
		size:        1_000_000,
		quick:       100_000,
		tiny:        500,
		concurrency: 1,
		site: func(int) *site {
			return &site{
				pages: 1,
				find:  func(_, path []byte) int { return pageOf(path, 1) },
				show:  func(_ int, r *reply) { r.body = append(r.room, "ok"...); r.room = r.body },
			}
		},
		entries: map[string]entry{
			"dry": tulleItems(""), "jsonl": tulleItems("jsonl"), "json": tulleItems("json"), "csv": tulleItems("csv"), "xml": tulleItems("xml"),
			"gzip": tulleItems("jsonl.gz"), "zstd": tulleItems("jsonl.zst"), "parquet": tulleItems("parquet"),
		},
		faults: func(o outcome) []string {
			faults := fetchedOnce(o)
			if o.Result.Items != int64(o.Job.N) || len(faults) == 0 && o.Result.FeedItems != 0 && o.Result.FeedItems != o.Result.Items {
				faults = append(faults, fmt.Sprintf("%d items", o.Result.Items))
			}
			return faults
		},
		columns: []column{
			{head: "items/s", value: itemRate, format: "%.0f"},
			{head: "of no feed", value: itemRate, format: "%.2f", against: "dry"},
			{head: "CPU µs/item", value: func(o outcome) float64 { return o.Result.CPU * 1e6 / float64(o.Result.Items) }, format: "%.1f"},
			memoryColumn(),
		},
	}
}

func itemRate(o outcome) float64 { return float64(o.Result.Items) / o.wall() }

// A listedProduct is what one page has very many of.
type listedProduct struct {
	Title     string   `json:"title"`
	Price     float64  `json:"price"`
	InStock   bool     `json:"in_stock"`
	Tags      []string `json:"tags"`
	ImageURLs []string `json:"image_urls"`
}

// tulleItems writes to a feed of a format; "" is none.
func tulleItems(format string) entry {
	return func(ctx context.Context, j job, m *meter) error {
		settings := tulleSettings(j)
		if format != "" {
			settings.Feeds = []crawl.Feed{{URI: filepath.Join(j.Folder, "all."+format)}}
			settings.Parts.Formats = map[string]crawl.FeedFormat{"parquet": parquet.Format}
		}
		settings.ItemPipelines = []crawl.Stage{{Order: 100, Pipeline: pipeline.Each(
			func(_ context.Context, p *listedProduct) (*listedProduct, error) {
				m.item(p.Title, "")
				return p, nil
			})}}
		return tulleRun(ctx, &crawl.Spider{
			Name:      "items",
			StartURLs: []string{j.url(0)},
			Parse: func(_ context.Context, resp *crawl.Response, out *crawl.Out) error {
				m.page(int(resp.Body.Size()))
				for i := range j.N {
					title := fmt.Sprintf("A lamp, number %d of very many", i)
					if !out.Item(&listedProduct{
						Title: title, Price: float64(i) / 100, InStock: i%3 > 0, Tags: []string{"lamps", "table", "brass"},
						ImageURLs: []string{"https://shop.example/pictures/" + title + ".jpg"},
					}) {
						return nil
					}
				}
				return nil
			},
		}, settings)
	}
}

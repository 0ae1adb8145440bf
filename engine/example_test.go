package engine_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/pipeline"
)

// A whole crawl: two pages, a pipeline stage, and what it says at the end.
func ExampleRun() {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			fmt.Fprint(w, `<html><h1>Lamp</h1><a href="/vase">Vase</a>`)
		case "/vase":
			fmt.Fprint(w, `<html><h1>Vase</h1>`)
		default:
			http.NotFound(w, r)
		}
	}))
	defer site.Close()

	type product struct {
		Title string `json:"title"`
	}
	spider := &crawl.Spider{
		Name:      "products",
		StartURLs: []string{site.URL + "/"},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			out.Item(&product{Title: r.Text("h1")})
			out.FollowAll("a", "")
			return nil
		},
	}
	settings := crawl.Settings{
		ItemPipelines: []crawl.Stage{{Order: 100, Pipeline: pipeline.Each(func(_ context.Context, p *product) (*product, error) {
			p.Title = strings.ToUpper(p.Title)
			fmt.Println(p.Title)
			return p, nil
		})}},
		Log: crawl.LogSettings{Level: "error"},
	}
	result, err := engine.Run(context.Background(), spider, settings)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Reason, result.Stats.Int("item_scraped_count"))
	// Unordered output:
	// LAMP
	// VASE
	// finished 2
}

// An Engine can be looked at and stopped while it runs.
func ExampleEngine_Stop() {
	spider := &crawl.Spider{Name: "endless"}
	spider.Parse = func(context.Context, *crawl.Response, *crawl.Out) error { return nil }
	var e *engine.Engine
	spider.Start = func(_ context.Context, out *crawl.Out) error {
		for i := 0; out.Request(crawl.Get(fmt.Sprintf("data:,%d", i))); i++ {
			if i == 100 {
				e.Stop("a hundred are enough")
			}
		}
		return nil
	}
	e, err := engine.New(spider, crawl.Settings{Log: crawl.LogSettings{Level: "error"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := e.Run(context.Background())
	fmt.Println(result.Reason, err)
	// Output: a hundred are enough <nil>
}

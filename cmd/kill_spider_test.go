package cmd_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tulle-go/tulle/cmd"
	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
	"github.com/tulle-go/tulle/scheduler/jobdir"
)

// killSiteAddr in the environment makes the test binary the program whose crawls are killed: it is the address of their site.
const killSiteAddr = "TULLE_TEST_KILL_SITE"

// killProgram is the program that is killed.
func killProgram(site string) cmd.Program {
	own := func(build func() *crawl.Spider) func(map[string]string) (*crawl.Spider, error) {
		return func(map[string]string) (*crawl.Spider, error) {
			s := build()
			s.Configure = func(set *crawl.Settings) { killSettings(set, site) }
			return s, nil
		}
	}
	return cmd.Program{
		Spiders: map[string]func(map[string]string) (*crawl.Spider, error){"killshop": own(killShop), "poison": own(poison)},
		Settings: crawl.Settings{Parts: crawl.Parts{
			Job: jobdir.Open, InspectJob: jobdir.Inspect,
			Formats: map[string]crawl.FeedFormat{"built": func(crawl.Feed) (crawl.FeedEncoder, error) { return builtLines{}, nil }},
			Stores:  map[string]crawl.OpenStore{sentDir: func(context.Context, string, *crawl.Env) (crawl.Store, error) { return store.OpenDir(sentDir) }},
		}},
	}
}

// killSettings lead the site's hosts to its address, and make a crawl of it short.
func killSettings(s *crawl.Settings, site string) {
	s.Download.ConnectTo = make(map[string]string)
	for _, host := range killHosts {
		s.Download.ConnectTo[host] = site
	}
	s.Retry.BackOff = 50 * time.Millisecond
	s.Redirect.Times = 5
	s.Job.MinFree = 8 << 20 // or filling the ballast is most of what a short crawl does
	s.Images.Store = "pictures"
	s.Images.Thumbs = map[string]crawl.Size{"small": {Width: 24, Height: 24}}
	s.ItemPipelines = append(s.ItemPipelines, crawl.Stage{Order: 300, Pipeline: &pipeline.ImagesPipeline{}})
}

// killItem is what all pages yield. Kind and Key name it: no two items of a crawl have the same.
type killItem struct {
	Kind      string       `json:"kind"`
	Key       string       `json:"key"`
	Title     string       `json:"title"`
	ImageURLs []string     `json:"image_urls"`
	Images    []crawl.File `json:"images"`
}

const (
	killSeeds      = 48
	killCursor     = 6  // seeds between two checkpoints
	killUnfiltered = 3  // unfiltered requests of one page
	killBatch      = 50 // items of a feed that is sent in batches
)

// killShop does one of everything that a job has to keep.
func killShop() *crawl.Spider {
	return &crawl.Spider{
		Name:  "killshop",
		Start: killStart,
		Parse: killParse,
		Routes: map[string]crawl.Callback{
			"product": killProduct,
			"again":   killAgain,
		},
	}
}

// killStart goes on at its cursor. What stands between the cursor and the kill it does again: filtered requests, unfiltered ones, and items.
func killStart(ctx context.Context, out *crawl.Out) error {
	next := 0
	if !out.Resume(&next) {
		out.Request(crawl.Get(killURL(0, "/")))
	}
	for i := next; i < killSeeds; i++ {
		out.Item(&killItem{Kind: "start", Key: fmt.Sprint(i)})
		out.Request(crawl.Get(killURL(i, fmt.Sprintf("/seed/%d", i))))
		if i%killCursor == 2 {
			out.Request(unfiltered(killURL(i, "/again/1"), fmt.Sprintf("start %d", i)))
		}
		if (i+1)%killCursor == 0 {
			out.Checkpoint(i + 1)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(25 * time.Millisecond):
		}
	}
	return nil
}

// unfiltered is a request that is asked although it was seen; key tells its item from the others.
func unfiltered(u, key string) *crawl.Request {
	return crawl.Get(u, crawl.With(key), func(r *crawl.Request) { r.DontFilter, r.Route = true, "again" })
}

func killParse(_ context.Context, r *crawl.Response, out *crawl.Out) error {
	kind, key := killName(r.URL)
	switch kind {
	case "", "list":
		for _, link := range r.URLs("a") {
			route := ""
			for _, product := range []string{"/product/", "/go/", "/only/"} {
				if strings.Contains(link, product) {
					route = "product"
				}
			}
			out.Follow(link, route)
		}
		return nil
	case "many":
		n, err := strconv.Atoi(key)
		for i := range n {
			// Together they are more than a page keeps in memory.
			out.Item(&killItem{Kind: kind, Key: fmt.Sprint(i), Title: strings.Repeat(r.Text("h1")+" ", 5)})
		}
		return err
	case "thrice":
		for i := range killUnfiltered {
			out.Request(unfiltered(killURL(1, "/again/0"), fmt.Sprintf("thrice %d", i)))
		}
		return nil
	case "login":
		return nil
	case "poison":
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		if err != nil {
			return err
		}
		select {}
	}
	out.Item(&killItem{Kind: kind, Key: key, Title: r.Text("h1")})
	out.FollowAll("a", "")
	return nil
}

// killProduct makes an item with pictures, and keeps something of the spider's own with the page.
func killProduct(_ context.Context, r *crawl.Response, out *crawl.Out) error {
	kind, key := killName(r.URL)
	out.Item(&killItem{Kind: kind, Key: key, Title: r.Text("h1"), ImageURLs: r.URLs("img")})
	out.FollowAll("a", "product")
	out.Save(kind+"/"+key, r.Text("h1"))
	return nil
}

func killAgain(_ context.Context, r *crawl.Response, out *crawl.Out) error {
	var key string
	if err := r.Data(&key); err != nil {
		return err
	}
	out.Item(&killItem{Kind: "again", Key: key})
	return nil
}

// killName splits a path of the site.
func killName(u *url.URL) (kind, key string) {
	kind, key, _ = strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	return kind, key
}

// poison asks innocent pages, and one whose callback ends the process.
func poison() *crawl.Spider {
	return &crawl.Spider{
		Name: "poison",
		Start: func(_ context.Context, out *crawl.Out) error {
			for i := range poisonInnocent {
				out.Request(crawl.Get(killURL(i%3, fmt.Sprintf("/innocent/%d", i))))
			}
			out.Request(crawl.Get(killURL(3, "/poison")))
			return nil
		},
		Parse: killParse,
	}
}

const poisonInnocent = 15

package bundled

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline"
)

// ShopProduct is what the spider "shop" makes of a product's page.
type ShopProduct struct {
	URL         string            `json:"url"`
	Title       string            `json:"title"`
	Price       string            `json:"price"`
	Stock       int               `json:"stock"`
	Breadcrumb  []string          `json:"breadcrumb"`
	Description string            `json:"description"`
	Specs       map[string]string `json:"specs"`
	ImageURLs   []string          `json:"image_urls"` // read by ImagesPipeline
	Images      []crawl.File      `json:"images"`     // written by ImagesPipeline
}

// Shop crawls the bundled shop, which it serves itself, on a free port of this machine. Its pages are at http://shop.localhost/ in every run, so two shops may be
// crawled at once and give the same result.
//
// Arguments: products is the shop's size, default 200. Unless told otherwise it writes shop.jsonl and shop-images, over what is there.
func Shop(args map[string]string) (*crawl.Spider, error) {
	if err := noArguments(args, "products"); err != nil {
		return nil, err
	}
	products := DefaultProducts
	if s, ok := args["products"]; ok {
		var err error
		if products, err = strconv.Atoi(s); err != nil || products < 1 || products > MaxProducts {
			return nil, fmt.Errorf("-a products=%s: want a whole number from 1 to %d", s, MaxProducts)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve the shop: %w", err)
	}
	s := &shop{
		listener: ln,
		server:   &http.Server{Handler: NewSite(SiteOptions{Products: products}), ReadHeaderTimeout: 10 * time.Second},
	}
	return &crawl.Spider{
		Name:           "shop",
		StartURLs:      []string{"http://" + SiteHost + "/"},
		AllowedDomains: []string{SiteHost},
		Parse:          s.listing,
		Routes:         map[string]crawl.Callback{"product": s.product},
		Configure:      s.configure,
		Closed:         func(context.Context, string) { s.close() },
	}, nil
}

// shop is the spider's state: the site that it serves.
type shop struct {
	listener net.Listener
	server   *http.Server
}

// listing follows a page of links: departments, categories, their further pages, and products. A redirect may have led to a product.
func (s *shop) listing(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
	if r.CSS("article.product").Length() > 0 {
		return s.product(ctx, r, out)
	}
	out.FollowAll("article.product-card h3 a", "product")
	out.FollowAll("a", "")
	return nil
}

// product makes an item of a product's page.
func (s *shop) product(_ context.Context, r *crawl.Response, out *crawl.Out) error {
	stock, err := strconv.Atoi(r.Attr("p.stock", "data-stock"))
	if err != nil {
		return fmt.Errorf("stock: %w", err)
	}
	specs := make(map[string]string)
	names, values := r.Texts("table.specs th"), r.Texts("table.specs td")
	if len(names) != len(values) {
		return errors.New("the specification's names and values do not match")
	}
	for i, name := range names {
		specs[name] = values[i]
	}
	out.Item(&ShopProduct{
		URL:         r.Attr("link[rel=canonical]", "href"),
		Title:       r.Text("h1"),
		Price:       r.Text("p.price"),
		Stock:       stock,
		Breadcrumb:  r.Texts("nav.breadcrumb a"),
		Description: r.Text("p.description"),
		Specs:       specs,
		ImageURLs:   r.URLs("#gallery img"),
	})
	out.FollowAll("article.product-card h3 a", "product")
	return nil
}

// configure leads the shop's name to this process, and gives the results their places.
func (s *shop) configure(set *crawl.Settings) {
	connect := map[string]string{SiteHost + ":80": s.listener.Addr().String()}
	for from, to := range set.Download.ConnectTo {
		connect[from] = to
	}
	set.Download.ConnectTo = connect
	if set.Feeds == nil {
		set.Feeds = []crawl.Feed{{URI: "shop.jsonl", Overwrite: true}}
	}
	if set.Images.Store == "" {
		set.Images.Store = "shop-images"
		set.Images.Expires = -time.Second // the shop's pictures are drawn anew, so they are stored anew
	}
	if set.Images.Thumbs == nil {
		set.Images.Thumbs = map[string]crawl.Size{"small": {Width: 120, Height: 120}}
	}
	set.Images.MinWidth, set.Images.MinHeight = 64, 64
	set.ItemPipelines = append(set.ItemPipelines, crawl.Stage{Order: 300, Pipeline: &pipeline.ImagesPipeline{}})

	opened := set.Trace.SpiderOpened
	set.Trace.SpiderOpened = func(ctx context.Context, spider *crawl.Spider) {
		go func() { _ = s.server.Serve(s.listener) }() // until close
		if opened != nil {
			opened(ctx, spider)
		}
	}
}

// close ends the site.
func (s *shop) close() {
	_ = s.server.Close()
	_ = s.listener.Close()
}

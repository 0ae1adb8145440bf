package bundled

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline"
)

// served makes a spider of the bundled shop that serves the shop itself, as long as it is crawled. A spider of a real site has nothing of this.
func served(args map[string]string, spider crawl.Spider) (*crawl.Spider, error) {
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
	s := &server{
		listener: ln,
		server:   &http.Server{Handler: NewSite(SiteOptions{Products: products}), ReadHeaderTimeout: 10 * time.Second},
	}
	spider.AllowedDomains = []string{SiteHost}
	spider.Configure = func(set *crawl.Settings) {
		s.serve(set)
		results(set, spider.Name)
	}
	spider.Closed = func(context.Context, string) { s.close() }
	return &spider, nil
}

// results gives a shop's items and pictures their places.
func results(set *crawl.Settings, name string) {
	if set.Feeds == nil {
		set.Feeds = []crawl.Feed{{URI: name + ".jsonl", Overwrite: true}}
	}
	if set.Images.Store == "" {
		set.Images.Store = name + "-images"
		set.Images.Expires = -time.Second // the shop's pictures are drawn anew, so they are stored anew
	}
	if set.Images.Thumbs == nil {
		set.Images.Thumbs = map[string]crawl.Size{"small": {Width: 120, Height: 120}}
	}
	set.Images.MinWidth, set.Images.MinHeight = 64, 64
	set.ItemPipelines = append(set.ItemPipelines, crawl.Stage{Order: 300, Pipeline: &pipeline.ImagesPipeline{}})
}

// server is the shop on a port of this machine.
type server struct {
	listener net.Listener
	server   *http.Server
}

// serve leads the shop's name to this process, where the shop is open from the crawl's beginning.
func (s *server) serve(set *crawl.Settings) {
	connect := map[string]string{SiteHost + ":80": s.listener.Addr().String()}
	for from, to := range set.Download.ConnectTo {
		connect[from] = to
	}
	set.Download.ConnectTo = connect
	opened := set.Trace.SpiderOpened
	set.Trace.SpiderOpened = func(ctx context.Context, spider *crawl.Spider) {
		go func() { _ = s.server.Serve(s.listener) }() // until close
		if opened != nil {
			opened(ctx, spider)
		}
	}
}

// close ends the site.
func (s *server) close() {
	_ = s.server.Close()
	_ = s.listener.Close()
}

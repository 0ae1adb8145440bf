package bundled

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline"
)

// served makes a spider of the bundled shop that serves the shop itself, as long as it is crawled. A spider of a real site has nothing of this.
func served(args map[string]string, spider crawl.Spider) (*crawl.Spider, error) {
	if err := crawl.CheckArgs(args, "products"); err != nil {
		return nil, err
	}
	products := DefaultProducts
	if s, ok := args["products"]; ok {
		var err error
		if products, err = strconv.Atoi(s); err != nil || products < 1 || products > MaxProducts {
			return nil, fmt.Errorf("-a products=%s: want a whole number from 1 to %d", s, MaxProducts)
		}
	}
	s := &server{products: products}
	spider.AllowedDomains = []string{SiteHost}
	verify := spider.Verify
	spider.Verify = func(spider *crawl.Spider) error {
		if verify != nil {
			if err := verify(spider); err != nil {
				return err
			}
		}
		_, err := s.open()
		return err
	}
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

// server is the shop on a port of this machine. It is opened by the first who needs the port: those who only list spiders open nothing.
type server struct {
	products int

	mu       sync.Mutex
	listener net.Listener // Guarded by mu; nil: it is not open.
	server   *http.Server // Guarded by mu; as listener.
}

// open takes a free port, unless that was done before, and says which. Nobody is served yet.
func (s *server) open() (addr string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", fmt.Errorf("serve the shop: %w", err)
		}
		s.listener = ln
		s.server = &http.Server{Handler: NewSite(SiteOptions{Products: s.products}), ReadHeaderTimeout: 10 * time.Second}
	}
	return s.listener.Addr().String(), nil
}

// serve leads the shop's name to this process, where the shop is open from the crawl's beginning.
func (s *server) serve(set *crawl.Settings) {
	addr, err := s.open()
	if err != nil {
		return // Verify says so before the crawl
	}
	connect := map[string]string{SiteHost + ":80": addr}
	for from, to := range set.Download.ConnectTo {
		connect[from] = to
	}
	set.Download.ConnectTo = connect
	opened := set.Trace.SpiderOpened
	set.Trace.SpiderOpened = func(ctx context.Context, spider *crawl.Spider) {
		s.mu.Lock()
		if srv, ln := s.server, s.listener; srv != nil {
			go func() { _ = srv.Serve(ln) }() // until close
		}
		s.mu.Unlock()
		if opened != nil {
			opened(ctx, spider)
		}
	}
}

// close ends the site. Another crawl opens it anew.
func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return
	}
	_ = s.server.Close()
	_ = s.listener.Close()
	s.server, s.listener = nil, nil
}

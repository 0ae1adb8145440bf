package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/andybalholm/cascadia"
	"github.com/disintegration/imaging"
	"golang.org/x/sync/errgroup"
)

// The bare contestant is a good loop around net/http and nothing else: an http.Client whose transport keeps a connection
// per worker, a pool of workers that take addresses from a channel, io.ReadAll, goquery with compiled selectors. It has no
// retries, no robots.txt, no statistics, and limits per host only where a case is about them. Where it follows links, a
// map behind a mutex knows what was seen, and its channel has room for the whole site, whose size a real crawl does not
// know. Nor has it a timeout, which a real crawl needs and which costs an http.Client a tenth of its speed on small pages.
// It is as fast as net/http and goquery go: that is what it is here for.

func bareClient(j job) *http.Client { return &http.Client{Transport: tunedTransport(j)} }

// tunedTransport keeps as many connections as there may be downloads, and connects to the server whatever the host.
func tunedTransport(j job) *http.Transport {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, j.Addr)
		},
		MaxIdleConnsPerHost: j.Concurrency,
		IdleConnTimeout:     90 * time.Second,
	}
}

func get(ctx context.Context, client *http.Client, address string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", address, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("get %s: %s", address, resp.Status)
	}
	return resp, body, nil
}

// bareEach fetches addresses with a pool of workers, parsing nothing.
func bareEach(ctx context.Context, j job, client *http.Client, addresses func(yield func(string) bool), m *meter) error {
	defer client.CloseIdleConnections()
	queue := make(chan string, 2*j.Concurrency)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(queue)
		for address := range addresses {
			select {
			case queue <- address:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range j.Concurrency {
		group.Go(func() error {
			for address := range queue {
				_, body, err := get(ctx, client, address)
				if err != nil {
					return err
				}
				m.page(len(body))
			}
			return nil
		})
	}
	return group.Wait()
}

func bareFlat(ctx context.Context, j job, m *meter) error {
	return bareEach(ctx, j, bareClient(j), func(yield func(string) bool) {
		for i := 0; i < j.N && yield(j.url(i)); i++ {
		}
	}, m)
}

// A bareFrontier is what a crawl that follows links has to remember.
type bareFrontier struct {
	mu    sync.Mutex
	seen  map[string]struct{} // guarded by mu
	left  atomic.Int64        // addresses that wait or are being fetched
	queue chan string
}

func newBareFrontier(room int) *bareFrontier {
	return &bareFrontier{seen: map[string]struct{}{}, queue: make(chan string, room)}
}

func (f *bareFrontier) add(address string) {
	f.mu.Lock()
	_, known := f.seen[address]
	if !known {
		f.seen[address] = struct{}{}
	}
	f.mu.Unlock()
	if !known {
		f.left.Add(1)
		f.queue <- address
	}
}

// done says that an address has been dealt with, and its links added.
func (f *bareFrontier) done() {
	if f.left.Add(-1) == 0 {
		close(f.queue)
	}
}

// The selectors of the pages of the case "follow".
var (
	followTitle = goquery.SingleMatcher(cascadia.MustCompile("h1"))
	followPrice = goquery.SingleMatcher(cascadia.MustCompile("p.price"))
	followLink  = cascadia.MustCompile("a[href]")
)

func bareFollow(ctx context.Context, j job, m *meter) error {
	client := bareClient(j)
	defer client.CloseIdleConnections()
	f := newBareFrontier(j.N)
	f.add(j.url(0))
	group, ctx := errgroup.WithContext(ctx)
	for range j.Concurrency {
		group.Go(func() error {
			for {
				select {
				case address, more := <-f.queue:
					if !more {
						return nil
					}
					if err := barePage(ctx, client, address, f, m); err != nil {
						return err
					}
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
	}
	return group.Wait()
}

func barePage(ctx context.Context, client *http.Client, address string, f *bareFrontier, m *meter) error {
	defer f.done()
	resp, body, err := get(ctx, client, address)
	if err != nil {
		return err
	}
	m.page(len(body))
	doc, err := goquery.NewDocumentFromReader(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("parse %s: %w", address, err)
	}
	m.item(strings.TrimSpace(doc.FindMatcher(followTitle).Text()), strings.TrimSpace(doc.FindMatcher(followPrice).Text()))
	for _, a := range doc.FindMatcher(followLink).EachIter() {
		link, err := resp.Request.URL.Parse(a.AttrOr("href", ""))
		if err != nil {
			continue // a bad link is the page's fault
		}
		link.Fragment = ""
		f.add(link.String())
	}
	return nil
}

// barePictures is what one writes first: a goroutine that reads the listing pages, and a pool whose workers each fetch a picture, keep it, decode it, and make thumbnails
// with imaging and the standard library's encoder.
func barePictures(ctx context.Context, j job, m *meter) error {
	client := bareClient(j)
	defer client.CloseIdleConnections()
	if err := makePictureFolders(j); err != nil {
		return err
	}
	type thing struct{ title, price, address string }
	things := make(chan thing, 2*j.Concurrency)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(things)
		for next := j.url(0); next != ""; {
			resp, body, err := get(ctx, client, next)
			if err != nil {
				return err
			}
			m.page(len(body))
			doc, err := goquery.NewDocumentFromReader(bytes.NewReader(body))
			if err != nil {
				return fmt.Errorf("parse %s: %w", next, err)
			}
			absolute := func(ref string) string {
				if u, err := resp.Request.URL.Parse(ref); err == nil && ref != "" {
					return u.String()
				}
				return ""
			}
			for _, s := range doc.Find("li.thing").EachIter() {
				select {
				case things <- thing{s.Find("h2").Text(), s.Find("p.price").Text(), absolute(s.Find("img").AttrOr("src", ""))}:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			next = absolute(doc.Find("a.next").AttrOr("href", ""))
		}
		return nil
	})
	for range j.Concurrency {
		group.Go(func() error {
			for t := range things {
				_, body, err := get(ctx, client, t.address)
				if err != nil {
					return err
				}
				m.page(len(body))
				if err := barePicture(j, t.address, body); err != nil {
					return fmt.Errorf("%s: %w", t.address, err)
				}
				m.item(t.title, t.price)
			}
			return nil
		})
	}
	return group.Wait()
}

func makePictureFolders(j job) error {
	err := os.MkdirAll(filepath.Dir(pictureFile(j, "")), 0o755)
	for _, thumb := range pictureThumbs {
		err = errors.Join(err, os.MkdirAll(filepath.Dir(thumbFile(j, thumb.name, "")), 0o755))
	}
	return err
}

func barePicture(j job, address string, body []byte) error {
	if err := os.WriteFile(pictureFile(j, address), body, 0o644); err != nil {
		return err
	}
	photo, err := jpeg.Decode(bytes.NewReader(body))
	if err != nil {
		return err
	}
	for _, thumb := range pictureThumbs {
		var b bytes.Buffer
		// A height of 0 keeps the aspect, as imaging.Fit does, but rounds where that cuts off.
		if err := jpeg.Encode(&b, imaging.Resize(photo, thumb.side, 0, imaging.Lanczos), nil); err != nil {
			return err
		}
		if err := os.WriteFile(thumbFile(j, thumb.name, address), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// bareSlow lets the transport keep to the limit per host: a worker whose host is busy waits.
func bareSlow(ctx context.Context, j job, m *meter) error {
	transport := tunedTransport(j)
	transport.MaxConnsPerHost = j.PerHost
	return bareEach(ctx, j, &http.Client{Transport: transport}, slowURLs(j), m)
}

func barePending(ctx context.Context, j job, m *meter) error {
	client := bareClient(j)
	f := newBareFrontier(j.N)
	group, ctx := errgroup.WithContext(ctx)
	for range j.Concurrency {
		group.Go(func() error {
			for address := range f.queue {
				if _, _, err := get(ctx, client, address); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for i := range j.N {
		f.add(j.url(i))
	}
	m.filled()
	err := group.Wait()
	runtime.KeepAlive(f) // what was seen counts too
	return err
}

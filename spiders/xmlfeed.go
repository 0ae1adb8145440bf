package spiders

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/tulle-go/tulle/crawl"
)

// XMLFeedOptions say what [XMLFeed] reads.
type XMLFeedOptions struct {
	// Path names the elements that Node is given: "item" anywhere, "channel/item", or "/rss/channel/item". "" is item.
	Path string
	// Namespaces are addresses by the prefixes that Path and the spider's XPath expressions write for them, see Vars. Those that a feed declares need none.
	Namespaces map[string]string
	// Node is called for one element after the other, with what is in it; only one is in memory. What it hands to out may wait for room in the crawl, and the reading with it.
	// An error is counted and told with the element's number; reading goes on. It is required.
	Node func(ctx context.Context, r *crawl.Response, node crawl.Node, out *crawl.Out) error
	// Route is where the feed is read, for spiders that ask for other pages too: requests with this route. "" is Parse.
	Route string
	// StopOnError ends the reading of a feed at the first error of Node.
	StopOnError bool
	// MaxSize in bytes of a compressed feed, inflated. The rest of a larger one is left out, with an error. 0 is 4 GiB; negative is no limit.
	MaxSize int64
}

// XMLFeed is a spider that reads feeds of XML, element by element: Scrapy's XMLFeedSpider. Feeds are read as streams, so their size costs no memory; one that is compressed by
// gzip, whatever it is called, is inflated in the spool.
//
// A feed that is malformed, or cut off, has been read up to there, and the place is the page's error. What is no XML is an error that says what it is.
//
// In a job a feed is one page: what was made of it is written when it has been read to its end, all at once. After an interruption it is asked for and read again
// from the beginning, and nothing is written twice. Requests that Node makes are stored as they come.
//
// Stats: xmlfeed/node_count, xmlfeed/error_count.
func XMLFeed(base crawl.Spider, opts XMLFeedOptions) *crawl.Spider {
	if opts.Path == "" {
		opts.Path = "item"
	}
	f := &xmlFeed{opts}
	return feedSpider("XMLFeed", base, opts.Route, f.page, f.verify)
}

type xmlFeed struct{ XMLFeedOptions }

func (f *xmlFeed) verify() error {
	var errs []error
	if f.Node == nil {
		errs = append(errs, errors.New("it has no Node to give elements to"))
	}
	for _, err := range (&crawl.Response{Body: crawl.BytesBody([]byte("<a/>"))}).XMLNodes(f.Path, f.vars()) { // where only the path can be wrong
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (f *xmlFeed) vars() crawl.Vars {
	vars := make(crawl.Vars)
	for _, prefix := range slices.Sorted(maps.Keys(f.Namespaces)) {
		vars["xmlns:"+prefix] = f.Namespaces[prefix]
	}
	return vars
}

// page reads one feed.
func (f *xmlFeed) page(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
	feed, done, err := f.inflated(ctx, r)
	if err != nil {
		return err
	}
	err = f.read(ctx, feed, out)
	if own := feed.Err(); own != nil && feed != r { // r's is the engine's to report
		err = errors.Join(err, own)
	}
	if cut := done(); cut != nil {
		err = errors.Join(err, cut)
	}
	return err
}

func (f *xmlFeed) read(ctx context.Context, feed *crawl.Response, out *crawl.Out) error {
	stats := crawl.EnvOf(ctx).Stats
	nodes, failed := stats.Counter("xmlfeed/node_count"), stats.Counter("xmlfeed/error_count")
	errs := feedErrors{what: "elements"}
	n := 0
	for node, err := range feed.XMLNodes(f.Path, f.vars()) {
		if err != nil {
			errs.add(fmt.Errorf("after %d <%s>: %w", n, f.Path, err), true)
			break
		}
		n++
		nodes.Add(1)
		if err := f.Node(ctx, feed, node, out); err != nil {
			failed.Add(1)
			if !errs.add(fmt.Errorf("<%s> number %d: %w", node.Data, n, err), f.StopOnError) {
				break
			}
		}
		if out.Stopped() {
			break
		}
	}
	return errs.err()
}

// inflated is the response, or if it is compressed, one with what can be inflated of it. done lets go of it, and says why that is not all.
func (f *xmlFeed) inflated(ctx context.Context, r *crawl.Response) (feed *crawl.Response, done func() error, err error) {
	_, compressed, err := headOf(ctx, r.Body)
	if err != nil || !compressed {
		return r, func() error { return nil }, err
	}
	body, err := r.Body.Open()
	if err != nil {
		return nil, nil, err
	}
	defer body.Close()
	text, _, err := inflate(ctx, body, feedSize(f.MaxSize))
	if err != nil {
		return nil, nil, err
	}
	in := &untilError{r: text}
	if most := feedSize(f.MaxSize); most > 0 {
		in.r = &bounded{r: text, left: most, most: most}
	}
	spool, own := crawl.EnvOf(ctx).Spool, new(crawl.Spool)
	if spool == nil {
		spool = own
	}
	whole, err := spool.Read(in, -1, 0)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("inflate feed: %w", err), own.Close())
	}
	feed = &crawl.Response{
		Request: r.Request, URL: r.URL, Status: r.Status, Header: r.Header, Body: whole, Charset: r.Charset, Proto: r.Proto, Flags: r.Flags, Timing: r.Timing, Selectors: r.Selectors,
	}
	return feed, func() error { return errors.Join(in.err, feed.Close(), own.Close()) }, nil
}

// untilError ends where r fails, and remembers why.
type untilError struct {
	r   io.Reader
	err error
}

func (u *untilError) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if err != nil && err != io.EOF {
		u.err, err = err, io.EOF
	}
	return n, err
}

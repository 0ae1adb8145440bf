package middleware

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/tulle-go/tulle/crawl"
)

// A Chain is the downloader of one crawl with all its layers around it.
type Chain struct {
	outer    crawl.Fetcher
	openers  []crawl.RequestOpener // outermost first
	stateful []crawl.Stateful      // outermost first
	closers  []io.Closer           // outermost first
}

var (
	_ crawl.Fetcher       = (*Chain)(nil)
	_ crawl.RequestOpener = (*Chain)(nil)
	_ io.Closer           = (*Chain)(nil)
)

// Build puts the built-in layers and those of Settings.Middlewares around bottom, which answers requests and stays the caller's to close. A Layer in
// Settings.Middlewares that has the Name of a built-in moves it to its Order, replaces it if it has a Middleware, and removes it if Off is set. Layers of equal Order
// stand as they are listed, the built-in ones first.
//
// An error names the layer; what had been built is closed.
func Build(env *crawl.Env, bottom crawl.Fetcher) (*Chain, error) {
	layers, err := merge(layerPlaces(Downloader()), layerPlaces(env.Settings.Middlewares))
	if err != nil {
		return nil, fmt.Errorf("middlewares: %w", err)
	}
	c := &Chain{outer: bottom}
	for _, l := range slices.Backward(layers) {
		if err := c.wrap(env, l); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

func layerPlaces(layers []crawl.Layer) []place[crawl.Middleware] {
	places := make([]place[crawl.Middleware], len(layers))
	for i, l := range layers {
		places[i] = place[crawl.Middleware]{l.Order, l.Name, l.Off, l.Middleware != nil, l.Middleware}
	}
	return places
}

// wrap builds one more layer, outside of those that are there.
func (c *Chain) wrap(env *crawl.Env, l place[crawl.Middleware]) error {
	f, err := l.build(env, c.outer)
	var off *crawl.NotConfiguredError
	switch {
	case errors.As(err, &off):
		return nil
	case err != nil:
		return fmt.Errorf("middleware %s: %w", l.title(), err)
	case f == nil:
		return fmt.Errorf("middleware %s: it returned no Fetcher", l.title())
	}
	if same(f, c.outer) {
		return nil // it has nothing to do
	}
	c.outer = f
	switch o := f.(type) {
	case crawl.RequestOpener:
		c.openers = slices.Insert(c.openers, 0, o)
	case crawl.HostOpener:
		c.openers = slices.Insert(c.openers, 0, crawl.RequestOpener(originOpener{o}))
	}
	if s, ok := f.(crawl.Stateful); ok {
		c.stateful = slices.Insert(c.stateful, 0, s)
	}
	if closer, ok := f.(io.Closer); ok {
		c.closers = slices.Insert(c.closers, 0, closer)
	}
	return nil
}

// same reports whether a layer returned what it was given, so that nothing is closed twice.
func same(a, b crawl.Fetcher) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}

// Fetch sends a request through all layers. The request is the chain's until Fetch returns: its Header is replaced by a copy that the layers add to, and that tells what
// was sent. A request that a layer reschedules does not take along what was added to the one in hand: a layer that wants a header on the next attempt
// sets it on the copy alone.
func (c *Chain) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	if err := req.Err(); err != nil {
		return nil, &crawl.DownloadError{Kind: crawl.KindRequest, URL: req.String(), Err: err}
	}
	return through(ctx, c.outer, req)
}

// through sends a request through f and what is within.
func through(ctx context.Context, f crawl.Fetcher, req *crawl.Request) (*crawl.Response, error) {
	own := req.Header
	ownHeader(req)
	sent := req.Header
	resp, err := f.Fetch(ctx, req)
	switch {
	case err == nil && resp != nil:
		return resp, nil
	case err == nil:
		return nil, fmt.Errorf("%s: a middleware returned neither a response nor an error", req)
	case resp != nil:
		err = errors.Join(err, resp.Close())
	}
	var next *crawl.RescheduleError
	if errors.As(err, &next) && next.Request != nil && !(next.Reopen && next.Request != req) { // such a copy shows how the request was seen
		takeBack(next.Request, own, sent)
	}
	return nil, err
}

// HasOpeners reports whether OpenHostFor has anything to ask.
func (c *Chain) HasOpeners() bool { return len(c.openers) > 0 }

// OpenHostFor asks each layer that is a [crawl.RequestOpener] or a [crawl.HostOpener], and returns the strictest of their limits. If some fail, the limits of the others
// count. One that is to be asked again is asked before those within.
func (c *Chain) OpenHostFor(ctx context.Context, req *crawl.Request, f crawl.Fetcher) (crawl.Limits, error) {
	var all crawl.Limits
	var errs []error
	for _, o := range c.openers {
		l, err := o.OpenHostFor(ctx, req, f)
		if _, again := errors.AsType[*crawl.RescheduleError](err); again {
			return crawl.Limits{}, err
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = all.Strictest(l)
	}
	return all, errors.Join(errs...)
}

// originOpener lets a HostOpener be asked as the others are.
type originOpener struct{ o crawl.HostOpener }

func (o originOpener) OpenHostFor(ctx context.Context, req *crawl.Request, f crawl.Fetcher) (crawl.Limits, error) {
	l, err := o.o.OpenHost(ctx, req.URL.Scheme+"://"+req.URL.Host, f)
	if _, again := errors.AsType[*crawl.RescheduleError](err); again {
		err = errors.New(err.Error()) // it is not asked again
	}
	return l, err
}

// Stateful are the layers that keep something in a job.
func (c *Chain) Stateful() []crawl.Stateful { return c.stateful }

// Close closes the layers that are to be closed, the outermost first.
func (c *Chain) Close() error {
	var errs []error
	for _, closer := range c.closers {
		errs = append(errs, closer.Close())
	}
	c.closers = nil
	return errors.Join(errs...)
}

// place is a crawl.Layer or a crawl.SpiderLayer.
type place[M any] struct {
	order int
	name  string
	off   bool
	set   bool // build is not nil
	build M
}

// title is what a layer is called in an error.
func (p place[M]) title() string {
	if p.name != "" {
		return p.name
	}
	return fmt.Sprintf("of order %d", p.order)
}

// merge puts the layers of the settings among the built-in ones, and returns those that are on in their order.
func merge[M any](builtIn, added []place[M]) ([]place[M], error) {
	all := slices.Clone(builtIn)
	for _, a := range added {
		at := slices.IndexFunc(builtIn, func(p place[M]) bool { return p.name == a.name })
		switch {
		case at >= 0 && a.off:
			all[at].off = true
		case at >= 0:
			all[at].order, all[at].off = a.order, false
			if a.set {
				all[at].build = a.build
			}
		case a.set:
			all = append(all, a)
		case a.name == "":
			return nil, errors.New("a layer has neither a name nor a middleware")
		default:
			names := make([]string, len(builtIn))
			for i, p := range builtIn {
				names[i] = p.name
			}
			return nil, fmt.Errorf("no built-in layer is called %q (there are %s)", a.name, strings.Join(names, ", "))
		}
	}
	all = slices.DeleteFunc(all, func(p place[M]) bool { return p.off })
	slices.SortStableFunc(all, func(a, b place[M]) int { return cmp.Compare(a.order, b.order) })
	return all, nil
}

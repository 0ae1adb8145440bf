package middleware

import (
	"context"
	"errors"
	"fmt"

	"github.com/tulle-go/tulle/crawl"
)

// Hooks are the spider middlewares of one crawl. The zero Hooks let everything pass. Panics of hooks are the caller's to catch.
type Hooks struct {
	response []named[func(context.Context, *crawl.Response) error]
	request  []named[func(context.Context, *crawl.Response, *crawl.Request) (*crawl.Request, error)] // nearest to the spider first, like the two below
	item     []named[func(context.Context, *crawl.Response, any) (any, error)]
	failed   []named[func(context.Context, *crawl.Response, error, *crawl.Out) error]
}

type named[F any] struct {
	name string
	call F
}

// BuildSpider puts together the built-in spider middlewares and those of Settings.SpiderMiddlewares, by the rules of [Build].
func BuildSpider(env *crawl.Env) (Hooks, error) {
	layers, err := merge(spiderPlaces(Spider()), spiderPlaces(env.Settings.SpiderMiddlewares))
	if err != nil {
		return Hooks{}, fmt.Errorf("spider middlewares: %w", err)
	}
	var h Hooks
	for _, l := range layers {
		hooks, err := l.build(env)
		var off *crawl.NotConfiguredError
		if errors.As(err, &off) {
			continue
		}
		if err != nil {
			return Hooks{}, fmt.Errorf("spider middleware %s: %w", l.title(), err)
		}
		h.add(l.title(), hooks)
	}
	return h, nil
}

func spiderPlaces(layers []crawl.SpiderLayer) []place[crawl.SpiderMiddleware] {
	places := make([]place[crawl.SpiderMiddleware], len(layers))
	for i, l := range layers {
		places[i] = place[crawl.SpiderMiddleware]{l.Order, l.Name, l.Off, l.Middleware != nil, l.Middleware}
	}
	return places
}

// add puts hooks nearer to the spider than those that are there.
func (h *Hooks) add(name string, s crawl.SpiderHooks) {
	if s.Response != nil {
		h.response = append(h.response, named[func(context.Context, *crawl.Response) error]{name, s.Response})
	}
	h.request = prepend(h.request, name, s.Request, s.Request != nil)
	h.item = prepend(h.item, name, s.Item, s.Item != nil)
	h.failed = prepend(h.failed, name, s.Error, s.Error != nil)
}

func prepend[F any](list []named[F], name string, call F, ok bool) []named[F] {
	if !ok {
		return list
	}
	return append([]named[F]{{name, call}}, list...)
}

// Response shows a response to the hooks on its way to the spider. The first error keeps it from the callback.
func (h *Hooks) Response(ctx context.Context, resp *crawl.Response) error {
	for i := range h.response {
		if err := h.response[i].call(ctx, resp); err != nil {
			return err
		}
	}
	return nil
}

// Request shows a request to the hooks on its way from the spider, and returns it as they leave it. from is nil for what Start produced. An error drops it.
func (h *Hooks) Request(ctx context.Context, from *crawl.Response, req *crawl.Request) (*crawl.Request, error) {
	for i := range h.request {
		before := req
		var err error
		if req, err = h.request[i].call(ctx, from, req); err != nil {
			return nil, err
		}
		if req == nil {
			return nil, fmt.Errorf("%s: spider middleware %s returned neither a request nor an error", before, h.request[i].name)
		}
	}
	return req, nil
}

// Item shows an item to the hooks on its way from the spider, and returns it as they leave it. An error keeps it from the pipelines.
func (h *Hooks) Item(ctx context.Context, from *crawl.Response, item any) (any, error) {
	for i := range h.item {
		var err error
		if item, err = h.item[i].call(ctx, from, item); err != nil {
			return nil, err
		}
		if item == nil {
			return nil, fmt.Errorf("spider middleware %s returned neither an item nor an error", h.item[i].name)
		}
	}
	return item, nil
}

// Error shows the error of a callback, or of a Response hook, to the hooks from the spider outwards, until one handles it and returns nil. Otherwise it returns what
// the last one made of it.
func (h *Hooks) Error(ctx context.Context, from *crawl.Response, err error, out *crawl.Out) error {
	for i := range h.failed {
		if err = h.failed[i].call(ctx, from, err, out); err == nil {
			return nil
		}
	}
	return err
}

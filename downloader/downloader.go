package downloader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/tulle-go/tulle/crawl"
	"go.uber.org/zap"
)

// A Downloader asks for what requests name and returns what came back. It is safe for concurrent use.
type Downloader struct {
	handlers map[string]crawl.Fetcher
	renderer crawl.Fetcher // nil: there is none
}

var (
	_ crawl.Fetcher = (*Downloader)(nil)
	_ io.Closer     = (*Downloader)(nil)
)

// New makes the downloader of one crawl. The error says what is wrong with Download.ConnectTo, or which of Parts.Handlers did not open; a handler that returns
// [crawl.NotConfigured] is left out.
func New(env *crawl.Env) (*Downloader, error) {
	d := &Downloader{handlers: make(map[string]crawl.Fetcher)}
	if err := d.open(env); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Downloader) open(env *crawl.Env) error {
	own := env.Settings.Parts.Handlers
	for _, scheme := range slices.Sorted(maps.Keys(own)) {
		if own[scheme] == nil {
			continue
		}
		h, err := own[scheme](env)
		if _, ok := errors.AsType[*crawl.NotConfiguredError](err); ok {
			env.Log.Warn("download handler is left out", zap.String("scheme", scheme), zap.Error(err))
			continue
		}
		if err != nil {
			return fmt.Errorf("open the download handler of %s: %w", scheme, err)
		}
		d.handlers[scheme] = h
	}
	if open := env.Settings.Parts.Renderer; open != nil {
		h, err := open(env)
		if err != nil {
			return fmt.Errorf("open the renderer: %w", err)
		}
		d.renderer = h
	}
	web, err := newHTTP(env)
	if err != nil {
		return err
	}
	local := &local{bodies: newBodies(env)}
	for scheme, h := range map[string]crawl.Fetcher{
		"http":  web,
		"https": web,
		"file":  crawl.FetcherFunc(local.file),
		"data":  crawl.FetcherFunc(local.data),
	} {
		if _, ok := own[scheme]; !ok {
			d.handlers[scheme] = h
		}
	}
	return nil
}

// Fetch asks the handler of the URL's scheme. It returns a response or an error, never both and never neither; a status such as 404 is a response. The caller
// closes the response.
//
// The error is a [*crawl.DownloadError], whose Kind says what went wrong; when ctx has ended it is ctx's, wrapped; when the body could not be stored on
// disk it is neither.
func (d *Downloader) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	if err := req.Err(); err != nil {
		return nil, failed(req, crawl.KindRequest, err)
	}
	if k := req.Knobs; k != nil && k.Render != nil {
		return d.render(ctx, req)
	}
	h, ok := d.handlers[req.URL.Scheme]
	if !ok {
		return nil, failed(req, crawl.KindRequest, fmt.Errorf("no handler for scheme %q (this program has %s)", req.URL.Scheme, d.schemes()))
	}
	return h.Fetch(ctx, req)
}

// render asks the renderer.
func (d *Downloader) render(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	switch scheme := req.URL.Scheme; {
	case d.renderer == nil:
		return nil, failed(req, crawl.KindRequest, errors.New("this program renders nothing: Settings.Parts.Renderer is nil (downloader/browser.Open)"))
	case req.Knob().BindAddress != "":
		return nil, failed(req, crawl.KindRequest, errors.New("a page is not rendered from a bind address of its own: download.bind_address is for all of them"))
	case scheme != "http" && scheme != "https":
		return nil, failed(req, crawl.KindRequest, fmt.Errorf("only http and https pages are rendered, not %s", scheme))
	}
	return d.renderer.Fetch(ctx, req)
}

func (d *Downloader) schemes() string {
	return strings.Join(slices.Sorted(maps.Keys(d.handlers)), ", ")
}

// Close closes the handlers. Connections are cut, those in use too: what is being asked for fails, and what is asked for later fails with [crawl.ErrStopping].
func (d *Downloader) Close() error {
	var errs []error
	if c, ok := d.renderer.(io.Closer); ok {
		if err := c.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close the renderer: %w", err))
		}
	}
	for scheme, h := range d.handlers {
		if c, ok := h.(io.Closer); ok {
			if err := c.Close(); err != nil {
				errs = append(errs, fmt.Errorf("close the download handler of %s: %w", scheme, err))
			}
		}
	}
	return errors.Join(errs...)
}

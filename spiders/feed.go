package spiders

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tulle-go/tulle/crawl"
)

// What XMLFeed and CSVFeed have in common.

// defaultFeedSize is the most that is read of a feed, inflated: what is larger is most often a bomb.
const defaultFeedSize = 4 << 30

func feedSize(most int64) int64 {
	switch {
	case most == 0:
		return defaultFeedSize
	case most < 0:
		return 0
	}
	return most
}

// feedSpider is base with a callback that reads feeds, at a route.
func feedSpider(kind string, base crawl.Spider, route string, read crawl.Callback, verify func() error) *crawl.Spider {
	s := base
	s.Routes = make(map[string]crawl.Callback, len(base.Routes)+1)
	for name, cb := range base.Routes {
		s.Routes[name] = cb
	}
	taken := base.Parse != nil
	if route == "" {
		s.Parse = read
	} else {
		_, taken = base.Routes[route]
		s.Routes[route] = read
	}
	s.Verify = also(base.Verify, func(*crawl.Spider) error {
		var errs []error
		if taken {
			name := "Parse"
			if route != "" {
				name = fmt.Sprintf("route %q", route)
			}
			errs = append(errs, fmt.Errorf("%s: %s is where the feed is read, and the spider has a callback of its own there: give the feed another Route", kind, name))
		}
		if err := verify(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", kind, err))
		}
		return errors.Join(errs...)
	})
	return &s
}

// maxReported is how many errors of one feed are told; all are counted.
const maxReported = 10

// feedErrors are those of a feed's nodes or rows.
type feedErrors struct {
	what  string
	all   int
	first []error
}

// add takes an error in, and reports whether to read on. The errors that steer the crawl are the engine's.
func (e *feedErrors) add(err error, stop bool) (goOn bool) {
	e.all++
	steers := errors.As(err, new(*crawl.CloseSpiderError)) || errors.As(err, new(*crawl.RescheduleError)) || errors.Is(err, context.Canceled)
	if len(e.first) < maxReported || steers {
		e.first = append(e.first, err)
	}
	return !stop && !steers
}

func (e *feedErrors) err() error {
	if e.all == 0 {
		return nil
	}
	errs := e.first
	if e.all > len(errs) {
		errs = append(errs, fmt.Errorf("and %d more %s", e.all-len(errs), e.what))
	}
	return errors.Join(errs...)
}

// headOf is the beginning of a body, inflated.
func headOf(ctx context.Context, body crawl.Body) ([]byte, bool, error) {
	f, err := body.Open()
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	b, compressed, err := inflate(ctx, f, 0)
	if err != nil {
		return nil, false, err
	}
	head := make([]byte, 64<<10)
	n, err := io.ReadFull(b, head)
	if n == 0 && err != io.EOF {
		return nil, false, err
	}
	return head[:n], compressed, nil
}

// charsetOfHead is the charset of a text that begins with head: what the response says, or what it looks like.
func charsetOfHead(r *crawl.Response, head []byte) string {
	if i := strings.LastIndexByte(string(head), '\n'); i > 0 {
		head = head[:i] // not through a character
	}
	return (&crawl.Response{Header: r.Header, Charset: r.Charset, Body: crawl.BytesBody(head)}).Encoding()
}

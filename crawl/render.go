package crawl

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// Render asks for a page in a browser, as it is after its scripts have run. The zero value takes the page at its load event. Parts.Renderer has the browser.
//
// The steps are done in the order of the fields, all within the request's timeout; a step that is not done by then fails the request, with the kind "timeout".
type Render struct {
	// Block are kinds of resources that the page asks for and does not get: image, media, font, stylesheet, script, xhr, frame, ping, other. Empty: image,
	// media and font, or nothing if there is a Screenshot. "none" is nothing.
	Block []string `json:"block,omitempty"`
	// WaitFor is a CSS selector. The page is taken when something matches it, rather than at its load event.
	WaitFor string `json:"wait_for,omitempty"`
	// WaitIdle waits until the page has had nothing under way in the network for half a second.
	WaitIdle bool `json:"wait_idle,omitempty"`
	// Scroll is how many times the page is scrolled to its end, for pages that load more then. Each time is followed by a wait until the page grows, but two seconds at most: a page that
	// does not grow any more is not scrolled further.
	Scroll int `json:"scroll,omitempty"`
	// Script is the body of an asynchronous JavaScript function: it may await, and what it returns is Response.Rendered.Result, as JSON. It runs in the page and sees what the
	// page's scripts see. What it throws fails the request, with the kind "request".
	Script string `json:"script,omitempty"`
	// Wait is a time to wait at last.
	Wait time.Duration `json:"wait,omitempty"`
	// Screenshot takes a picture of the window, of Browser.Width by Browser.Height pixels: Response.Rendered.Screenshot.
	Screenshot bool `json:"screenshot,omitempty"`
	// FullPage makes the picture as high as the page, up to 16,384 pixels.
	FullPage bool `json:"full_page,omitempty"`
}

func (r *Render) clone() *Render {
	if r == nil {
		return nil
	}
	c := *r
	c.Block = slices.Clone(c.Block)
	return &c
}

// Rendered is what a browser leaves beside the page.
type Rendered struct {
	// Result is what Render.Script returned. It is nil if there was no script, or it returned undefined.
	Result json.RawMessage
	// Screenshot is a PNG. It is empty if none was asked for. It is closed with its response.
	Screenshot Body
}

type cookiesKey struct{}

// WithCookies says what is known of the cookies in a request's Cookie header: their Domain, which is empty if they are for the host alone, Path, Expires, Secure and HttpOnly. The cookies
// middleware does so for pages that are rendered: the header tells no more than names and values.
func WithCookies(ctx context.Context, known []*http.Cookie) context.Context {
	return context.WithValue(ctx, cookiesKey{}, known)
}

// Cookies are those that [WithCookies] was given. They are for reading.
func Cookies(ctx context.Context) []*http.Cookie {
	known, _ := ctx.Value(cookiesKey{}).([]*http.Cookie)
	return known
}

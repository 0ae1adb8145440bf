package middleware

import (
	"bytes"
	"context"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/html"

	"github.com/tulle-go/tulle/crawl"
)

// MetaRefresh follows the first <meta http-equiv="refresh"> of an HTML page, if it is among the first 16 KiB, outside of MetaRefresh.IgnoreTags, and its delay is not
// longer than MetaRefresh.MaxDelay. The delay is not waited for. What [Redirect] says of redirects holds: the limit of Redirect.Times, the priority, what stays within
// an origin; the request becomes a GET, and its Referer is the page.
//
// A page that refreshes itself, as front pages of newspapers do, is handed on, unless it has set a cookie, and so is one that leads back to where the request came
// from: there would be no end to it. DontRefresh and DontRedirect hand pages on, and media is never taken from where a page in its place leads. Pages that a browser has
// rendered have been where they lead.
func MetaRefresh(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	set := env.Settings.MetaRefresh
	switch {
	case set.Off:
		return nil, crawl.NotConfigured("meta_refresh.off is set")
	case set.MaxDelay < 0:
		return nil, crawl.NotConfigured("meta_refresh.max_delay is negative")
	case env.Settings.Redirect.Times <= 0:
		return nil, crawl.NotConfigured("redirect.times is negative")
	}
	m := &metaRefresh{redirect: newRedirect(env, next), maxDelay: set.MaxDelay, referers: !env.Settings.Referer.Off}
	for _, tag := range set.IgnoreTags {
		m.ignore = append(m.ignore, strings.ToLower(tag))
	}
	return m, nil
}

type metaRefresh struct {
	*redirect
	maxDelay time.Duration
	ignore   []string // elements, in lower case
	referers bool     // are sent
}

// refreshHead is how much of a page is looked at.
const refreshHead = 16 << 10

func (m *metaRefresh) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	resp, err := m.next.Fetch(ctx, req)
	if err != nil || resp.Body.Size() == 0 || req.Method == http.MethodHead || !web(req.URL) {
		return resp, err
	}
	if k := req.Knobs; k != nil && (k.DontRefresh || k.DontRedirect || k.Render != nil) {
		return resp, nil
	}
	target := m.target(req, resp)
	if target == nil {
		return resp, nil
	}
	return m.again(req, resp, target, "meta refresh", func(c *crawl.Request) {
		asGet(c)
		delete(c.Header, referer)
		if !m.referers {
			return
		}
		if value := refererFor(pagePolicy(c, resp, m.policy), resp.URL, target); value != "" {
			addHeader(c, referer, []string{value})
		}
	})
}

// target is where a page leads, nil if it stays.
func (m *metaRefresh) target(req *crawl.Request, resp *crawl.Response) *url.URL {
	if !isHTML(resp) {
		return nil
	}
	start, err := beginning(resp, refreshHead)
	if err != nil || !mayRefresh(start) {
		return nil // whoever reads the page will meet the error
	}
	page := &crawl.Response{URL: resp.URL, Header: resp.Header, Body: crawl.BytesBody(start)}
	text, err := page.Decoded()
	if err != nil {
		return nil
	}
	delay, ref, ok := parseRefresh(firstRefresh(text, m.ignore))
	if !ok || ref == "" || delay > m.maxDelay {
		return nil
	}
	target, err := page.Join(ref)
	if err != nil || !web(target) {
		m.log.Debug("meta refresh is not followed", zap.Stringer("request", req), zap.String("url", shorten(ref)), zap.Error(err))
		return nil
	}
	to := crawl.CanonicalURL(target)
	was := func(u *url.URL) bool { return crawl.CanonicalURL(withoutUser(u)) == to }
	if was(req.URL) && len(resp.Header["Set-Cookie"]) == 0 || slices.ContainsFunc(req.Redirects, func(raw string) bool {
		r := crawl.Get(raw)
		return r.Err() == nil && was(r.URL)
	}) {
		m.log.Debug("meta refresh leads nowhere else", zap.Stringer("request", req), zap.Stringer("to", target))
		return nil
	}
	return target
}

func isHTML(resp *crawl.Response) bool {
	if kind := resp.Header["Content-Type"]; len(kind) > 0 && kind[0] != "" {
		k := kind[0]
		return len(k) >= len("text/html") && strings.EqualFold(k[:len("text/html")], "text/html") || strings.Contains(strings.ToLower(k), "html")
	}
	start, err := beginning(resp, 512)
	return err == nil && strings.HasPrefix(http.DetectContentType(start), "text/html")
}

// beginning is the first part of a body.
func beginning(resp *crawl.Response, most int64) ([]byte, error) {
	if resp.Body.Path() != "" {
		return head(resp, most)
	}
	b, err := resp.Body.Bytes()
	return b[:min(int64(len(b)), most)], err
}

// mayRefresh is quick to say no: nearly no page has one. Pages in UTF-16 are read to know.
func mayRefresh(b []byte) bool {
	const word = "http-equiv"
	if len(b) >= 2 && (b[0] == 0xfe && b[1] == 0xff || b[0] == 0xff && b[1] == 0xfe) {
		return true
	}
	for rest := b; ; {
		dash := bytes.IndexByte(rest, '-')
		if dash < 0 {
			return false
		}
		if dash >= 4 && len(rest) >= dash+6 && rest[dash+1]|0x20 == 'e' && rest[dash-1]|0x20 == 'p' && strings.EqualFold(string(rest[dash-4:dash+6]), word) {
			return true
		}
		rest = rest[dash+1:]
	}
}

// firstRefresh is the content of the first meta element that refreshes, outside of some elements.
func firstRefresh(page string, ignore []string) string {
	z := html.NewTokenizer(strings.NewReader(page))
	inside, depth := "", 0 // an element whose content does not count
	for {
		kind := z.Next()
		switch kind {
		case html.ErrorToken:
			return "" // the end: nothing can be wrong with a string
		case html.StartTagToken, html.SelfClosingTagToken, html.EndTagToken:
		default:
			continue
		}
		name, hasAttr := z.TagName()
		tag := string(name)
		switch {
		case inside != "":
			if tag == inside && kind == html.StartTagToken {
				depth++
			}
			if tag == inside && kind == html.EndTagToken {
				if depth--; depth == 0 {
					inside = ""
				}
			}
		case kind == html.StartTagToken && slices.Contains(ignore, tag):
			inside, depth = tag, 1
		case kind == html.StartTagToken && tag == "noscript":
			z.NextIsNotRawText()
		case tag == "meta" && kind != html.EndTagToken:
			content, refreshes := "", false
			for hasAttr {
				var key, value []byte
				key, value, hasAttr = z.TagAttr()
				switch string(key) {
				case "http-equiv":
					refreshes = strings.EqualFold(strings.TrimSpace(string(value)), "refresh")
				case "content":
					content = string(value)
				}
			}
			if refreshes && content != "" {
				return content
			}
		}
	}
}

// parseRefresh reads the content of a refresh by the HTML standard's "shared declarative refresh steps". ok is false if there is no delay to begin with.
func parseRefresh(content string) (delay time.Duration, ref string, ok bool) {
	const space = " \t\n\f\r"
	rest := strings.TrimLeft(content, space)
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	if digits == 0 && !strings.HasPrefix(rest, ".") {
		return 0, "", false
	}
	var seconds int64
	for _, d := range rest[:digits] {
		if seconds = seconds*10 + int64(d-'0'); seconds > math.MaxInt32 {
			seconds = math.MaxInt32
		}
	}
	delay = time.Duration(seconds) * time.Second
	rest = strings.TrimLeft(rest[digits:], "0123456789.")
	if rest != "" && !strings.ContainsAny(rest[:1], ";,"+space) {
		return 0, "", false
	}
	rest = strings.TrimLeft(rest, space)
	if rest != "" && (rest[0] == ';' || rest[0] == ',') {
		rest = strings.TrimLeft(rest[1:], space)
	}
	ref = rest
	if len(rest) >= 3 && strings.EqualFold(rest[:3], "url") {
		if after := strings.TrimLeft(rest[3:], space); strings.HasPrefix(after, "=") {
			ref = strings.TrimLeft(after[1:], space)
		}
	}
	if ref != "" && (ref[0] == '"' || ref[0] == '\'') {
		quote := ref[:1]
		ref, _, _ = strings.Cut(ref[1:], quote)
	}
	return delay, strings.TrimRight(ref, space), true
}

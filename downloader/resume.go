package downloader

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

const (
	// maxPartBytes is how much is kept of all broken transfers together, unless one alone is larger.
	maxPartBytes = 8 << 30
	// maxPartAge is how long a part waits for its request to be asked again: longer than any back-off or Retry-After of the default settings.
	maxPartAge = 15 * time.Minute
	// An attempt has made progress if it brought as much as this, and a hundredth of the whole. So the transfer of a body ends after a hundred attempts and some, however
	// a server spins it out.
	leastProgress, progressShare = 1 << 20, 100
	// clockSkew is how much older than the response a Last-Modified must be to tell versions apart for sure (RFC 9110, section 8.8.2.2; RFC 7232 had the number).
	clockSkew = time.Minute
)

// errOtherBody is the answer to a request for the rest of a body that is not the rest of that body.
var errOtherBody = errors.New("the answer does not continue the body that was broken off")

// A part is the beginning of a body whose transfer broke off, and what it takes to go on from there.
type part struct {
	file      *crawl.Part
	url       string      // the request's, see sentURL
	header    http.Header // of the response
	user      []string    // see parts.user; set when it is kept
	chosen    http.Header // the request's, as far as they choose among sites, and among the versions of a page
	whole     int64       // the body's size; -1 if that is not known
	validator string      // for If-Range
	gained    int64       // bytes that the last attempt added to those before

	since time.Time
	timer *time.Timer // ends it; not changed once it is kept
}

// newPart makes a part of what came of a response, or returns nil if the rest can't be asked for (RFC 9110, sections 13.1.5 and 14.3).
func newPart(req *crawl.Request, in *http.Response, file *crawl.Part) *part {
	p := &part{file: file, url: sentURL(req), header: in.Header, whole: in.ContentLength, validator: validator(in.Header)}
	switch {
	case !plain(req), in.StatusCode != http.StatusOK, p.validator == "":
		return nil
	case slices.ContainsFunc(in.Header["Accept-Ranges"], func(v string) bool { return strings.EqualFold(strings.TrimSpace(v), "none") }):
		return nil
	}
	p.chosen = http.Header{"Accept-Encoding": nil, "Host": nil, "Authorization": nil}
	for _, list := range in.Header["Vary"] {
		for name := range strings.SplitSeq(list, ",") {
			p.chosen[http.CanonicalHeaderKey(strings.TrimSpace(name))] = nil
		}
	}
	if _, all := p.chosen["*"]; all {
		return nil
	}
	for name := range p.chosen {
		p.chosen[name] = values(req.Header, name)
	}
	return p
}

// validator is what tells one version of a body from all others: a strong ETag or, if there is no ETag, a Last-Modified that is old enough. "" is none.
func validator(h http.Header) string {
	if tags := h["Etag"]; len(tags) > 0 {
		if tag := tags[0]; len(tags) == 1 && len(tag) > 2 && tag[0] == '"' && tag[len(tag)-1] == '"' {
			return tag
		}
		return ""
	}
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return ""
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil || date.Sub(modified) < clockSkew {
		return ""
	}
	return h.Get("Last-Modified")
}

// plain reports whether a request is a GET for all of a page: nobody above has asked for a range.
func plain(req *crawl.Request) bool {
	return (req.Method == "" || req.Method == http.MethodGet) && len(req.Body) == 0 && values(req.Header, "Range") == nil && values(req.Header, "If-Range") == nil
}

// sentURL is a request's URL as the server sees it. Many URLs have one fingerprint.
func sentURL(req *crawl.Request) string {
	u := *req.URL
	u.Fragment, u.RawFragment = "", ""
	return u.String()
}

// values are those of a header whatever the case of its name.
func values(h http.Header, name string) []string {
	var all []string
	for n, vs := range h {
		if strings.EqualFold(n, name) {
			all = append(all, vs...)
		}
	}
	return all
}

// fits reports whether a request asks for the same version of the same page, as the same user.
func (p *part) fits(req *crawl.Request, user []string) bool {
	if !plain(req) || sentURL(req) != p.url || !slices.Equal(user, p.user) {
		return false
	}
	for name, was := range p.chosen {
		if !slices.Equal(values(req.Header, name), was) {
			return false
		}
	}
	return true
}

// ask adds to a request's header what asks for the rest.
func (p *part) ask(h http.Header) {
	h["Range"] = []string{"bytes=" + strconv.FormatInt(p.file.Size(), 10) + "-"}
	h["If-Range"] = []string{p.validator}
}

// continuedBy reports whether a 206 is the rest of the body, all of it, and of the same version. What it leaves out speaks against it: a server that does not know
// If-Range sends the rest of whatever there is now.
func (p *part) continuedBy(in *http.Response) bool {
	ranges := in.Header["Content-Range"]
	if len(ranges) != 1 || strings.HasPrefix(strings.ToLower(in.Header.Get("Content-Type")), "multipart/byteranges") {
		return false
	}
	from, to, whole, ok := parseRange(ranges[0])
	switch {
	case !ok || from != p.file.Size() || to != whole-1 || p.whole >= 0 && whole != p.whole || in.ContentLength >= 0 && in.ContentLength != whole-from:
		return false
	case !slices.Equal(in.Header["Etag"], p.header["Etag"]) || !slices.Equal(in.Header["Content-Encoding"], p.header["Content-Encoding"]):
		return false
	}
	modified, was := in.Header.Get("Last-Modified"), p.header.Get("Last-Modified")
	if modified != was && (modified != "" && was != "" || p.validator == was) {
		return false
	}
	p.whole = whole
	return true
}

// parseRange reads "bytes 42-99/100". A size that is not told, or a range that makes no sense, is not ok.
func parseRange(s string) (from, to, whole int64, ok bool) {
	unit, s, _ := strings.Cut(strings.TrimSpace(s), " ")
	span, size, _ := strings.Cut(s, "/")
	first, last, _ := strings.Cut(span, "-")
	var numbers [3]int64
	for i, text := range [...]string{first, last, size} {
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 63)
		if err != nil {
			return 0, 0, 0, false
		}
		numbers[i] = int64(n)
	}
	from, to, whole = numbers[0], numbers[1], numbers[2]
	return from, to, whole, strings.EqualFold(unit, "bytes") && from <= to && to < whole
}

// merged are the headers of the whole body: those of the first answer, replaced by those that came with the rest (RFC 9110, section 15.3.7.3; RFC 9111, section 3.2).
func (p *part) merged(rest http.Header) http.Header {
	h := maps.Clone(p.header)
	for name, values := range rest {
		if name != "Content-Range" {
			h[name] = values
		}
	}
	h["Content-Length"] = []string{strconv.FormatInt(p.whole, 10)}
	return h
}

// progress reports whether the last attempt brought so much that it was worth it.
func (p *part) progress() bool {
	return p != nil && p.gained >= max(leastProgress, p.whole/progressShare)
}

// parts are those that wait for their requests to be asked again. They go when they are asked for, too old or too many, and at Close.
type parts struct {
	most      int   // at most so many
	mostBytes int64 // and so much, all together
	noJars    bool  // Cookies.Off
	log       *zap.Logger

	number atomic.Int64 // len(kept), for those who only want to know that there are none

	mu     sync.Mutex
	kept   map[crawl.Fingerprint]*part // Guarded by mu. nil once closed.
	onDisk int64                       // Guarded by mu: the bytes of those in kept.
}

func newParts(most int, noJars bool, log *zap.Logger) *parts {
	return &parts{most: most, mostBytes: maxPartBytes, noJars: noJars, log: log, kept: make(map[crawl.Fingerprint]*part)}
}

// user is who asks, beside Authorization: the jar, and the cookies that do not come from it. Those that do may have changed since the last attempt.
func (ps *parts) user(ctx context.Context, req *crawl.Request) []string {
	k := req.Knob()
	own := crawl.OwnCookie(ctx)
	if ps.noJars || k.DontMergeCookies {
		own = values(req.Header, "Cookie")
	}
	return append([]string{k.CookieJar}, own...)
}

// take returns the part with which a request can go on, and leaves it to the caller; nil if there is none.
func (ps *parts) take(ctx context.Context, req *crawl.Request) *part {
	if ps.number.Load() == 0 {
		return nil
	}
	key := req.Fingerprint()
	ps.mu.Lock()
	p := ps.kept[key]
	if p == nil || !p.fits(req, ps.user(ctx, req)) {
		ps.mu.Unlock()
		return nil
	}
	ps.forget(key, p)
	ps.mu.Unlock()
	if !p.file.Intact() {
		ps.remove(p)
		return nil
	}
	p.gained = 0
	return p
}

// keep keeps a part for the next attempt, in place of what there is. If there are too many, or they take too much of the disk, the oldest go.
func (ps *parts) keep(ctx context.Context, req *crawl.Request, p *part) {
	key := req.Fingerprint()
	p.user = ps.user(ctx, req)
	var gone []*part
	ps.mu.Lock()
	if ps.kept == nil {
		ps.mu.Unlock()
		ps.remove(p)
		return
	}
	if old := ps.kept[key]; old != nil {
		gone = append(gone, ps.forget(key, old))
	}
	p.since = time.Now()
	p.timer = time.AfterFunc(maxPartAge, func() { ps.expire(key, p) })
	for len(ps.kept) > 0 && (len(ps.kept) >= ps.most || ps.onDisk+p.file.Size() > ps.mostBytes) {
		gone = append(gone, ps.forgetOldest())
	}
	ps.kept[key] = p
	ps.onDisk += p.file.Size()
	ps.number.Add(1)
	ps.mu.Unlock()
	ps.remove(gone...)
}

// forget takes a part out of the books. mu is held.
func (ps *parts) forget(key crawl.Fingerprint, p *part) *part {
	p.timer.Stop()
	delete(ps.kept, key)
	ps.onDisk -= p.file.Size()
	ps.number.Add(-1)
	return p
}

func (ps *parts) forgetOldest() *part {
	var key crawl.Fingerprint
	var oldest *part
	for k, p := range ps.kept {
		if oldest == nil || p.since.Before(oldest.since) {
			key, oldest = k, p
		}
	}
	return ps.forget(key, oldest)
}

func (ps *parts) expire(key crawl.Fingerprint, p *part) {
	ps.mu.Lock()
	mine := ps.kept[key] == p
	if mine {
		ps.forget(key, p)
	}
	ps.mu.Unlock()
	if mine {
		ps.remove(p)
	}
}

// clear removes all that is kept.
func (ps *parts) clear() { ps.empty(false) }

// close removes all that is kept, and what comes to be kept later.
func (ps *parts) close() { ps.empty(true) }

func (ps *parts) empty(forGood bool) {
	ps.mu.Lock()
	var gone []*part
	for key, p := range ps.kept {
		gone = append(gone, ps.forget(key, p))
	}
	if forGood {
		ps.kept = nil
	}
	ps.mu.Unlock()
	ps.remove(gone...)
}

// remove removes the files of parts that nobody waits for any more; nil is allowed.
func (ps *parts) remove(gone ...*part) {
	for _, p := range gone {
		if p == nil {
			continue
		}
		if err := p.file.Close(); err != nil {
			ps.log.Warn("remove what is left of a broken transfer", zap.Error(err))
		}
	}
}

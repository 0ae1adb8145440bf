package middleware

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/middleware/internal/cache"
)

// HTTPCache keeps responses on disk as they came over the wire, and answers from there: with HTTPCache.On. Only what watches over the
// hosts stands nearer to the downloader, so whatever asks is answered, robots.txt and media too, and the layers outside see no difference but the flag "cached". A response that was validated has "revalidated" too, and
// one that is used because the server fails "stale". Status, headers, protocol and timing are those of the download.
//
// By the policy "dummy" everything is stored and used until HTTPCache.Expires, whatever its headers say, its cookies too: a crawl is repeated as it was. An error status
// that is asked again by the retry middleware is asked of the site.
//
// By "rfc9111" the cache is a browser's: private, with its rules for what is stored, how long it is fresh, and how it is validated. Cookies are set by answers of
// the site alone. A page whose site fails or answers 5xx is answered by what is stored, unless that says must-revalidate or no-cache. What changes something (POST, …)
// drops what is stored of its URL. A request without hope (only-if-cached, HTTPCache.Offline) is ignored.
//
// A response is found by the request's fingerprint, by its user, and by the headers that its Vary names (Cookie and User-Agent excepted by dummy, which change from one
// crawl to the next). The user is who is named by Authorization, by CookieJar, and by a Cookie header that is not merged with a jar: nobody gets what was another's.
// Past the cache go requests with DontCache, Render, a Range or conditions of their own, and HTTPCache.IgnoreSchemes. Neither a part (206), nor what was cut short, nor
// what has another length than its Content-Length is stored.
//
// An entry that cannot be read is removed with a warning, and counts as missing. What cannot be written is warned of once; the crawl goes on.
//
// By HTTPCache.MaxSize what was stored or validated first goes when there is too much: see httpcache_trim.go.
//
// Stats: httpcache/hit, miss, firsthand, store, uncacheable, revalidate, invalidate, errorrecovery, ignore, retrieve_error, store_error, evicted.
func HTTPCache(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	set := env.Settings.HTTPCache
	if !set.On {
		return nil, crawl.NotConfigured("http_cache.on is not set")
	}
	// A spider's name may be anything, and none leads out of the folder.
	dir := filepath.Join(set.Dir, strings.ReplaceAll(url.PathEscape(env.Spider.Name), ".", "%2E"))
	open := env.Settings.Parts.CacheStorages[set.Storage]
	if open == nil {
		if set.Storage != crawl.CacheFiles {
			return nil, fmt.Errorf("http_cache.storage %q is not linked (import github.com/tulle-go/tulle/middleware/cachedb for embedded, and put its Open into Parts.CacheStorages)",
				set.Storage)
		}
		open = func(dir string, _ *crawl.Env) (crawl.CacheStorage, error) { return cache.OpenFiles(dir) }
	}
	storage, err := open(dir, env)
	if err != nil {
		return nil, fmt.Errorf("open the cache in %s: %w", dir, err)
	}
	c := &httpCache{
		HTTPCacheSettings: set, next: next, log: env.Log, stats: env.Stats, spool: env.Spool,
		storage: storage, retry: env.Settings.Retry.Statuses, largest: env.Settings.Download.MaxSize, checksum: env.Settings.Media.Checksum, ownCookies: env.Settings.Cookies.Off,
		hits: env.Stats.Counter(cacheStat + "hit"),
	}
	c.bodies = cache.OpenBodies(filepath.Join(dir, "bodies"), &c.zip)
	if err := c.limit(set.Storage); err != nil {
		return nil, errors.Join(err, storage.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.endSweep = cancel
	c.sweeping.Go(func() {
		if n := c.bodies.Sweep(ctx, c.fileOf); n > 0 {
			c.log.Info("bodies that no entry of the HTTP cache names were removed", zap.Int("files", n))
		}
		if c.walker != nil {
			c.keepSmall(ctx)
		}
	})
	if set.Policy == crawl.CacheRFC9111 {
		c.rules = &cache.Rules{AlwaysStore: set.AlwaysStore, Ignore: set.IgnoreCacheControls}
	}
	return c, nil
}

const (
	cacheStat = "httpcache/"

	// What the layer leaves among a response's flags.
	cachedFlag      = "cached"
	revalidatedFlag = "revalidated"
	staleFlag       = "stale"

	// inEntry is the largest body in bytes that is kept in its entry.
	inEntry = 1 << 20
)

type httpCache struct {
	crawl.HTTPCacheSettings
	next  crawl.Fetcher
	log   *zap.Logger
	stats *crawl.Stats
	spool *crawl.Spool

	storage    crawl.CacheStorage
	bodies     *cache.Bodies
	zip        cache.Zipper
	rules      *cache.Rules // nil: dummy
	retry      []int        // Retry.Statuses
	largest    int64        // Download.MaxSize
	checksum   string       // what the spool works out
	ownCookies bool         // there is no jar: a Cookie header is the spider's
	hits       *crawl.Counter

	turns [256]sync.Mutex // by the key's first two digits: one entry with a body is written at a time, or evicted

	unwritten sync.Once // the first failure is a warning

	walker crawl.CacheWalker // the storage, if it is kept to MaxSize; nil: it is not
	look   chan struct{}     // the size is to be looked at
	wrote  atomic.Int64      // bytes since the last look

	sweeping sync.WaitGroup // ends soon after endSweep
	endSweep func()
}

var _ io.Closer = (*httpCache)(nil)

// Close closes the storage.
func (c *httpCache) Close() error {
	c.endSweep()
	c.sweeping.Wait()
	if err := c.storage.Close(); err != nil {
		return fmt.Errorf("close the HTTP cache: %w", err)
	}
	return nil
}

// fileOf is the body's file that a key's entry names, if there is an entry, and one that can be read.
func (c *httpCache) fileOf(key string) (name string, ok bool) {
	entry, err := c.storage.Load(key)
	if err != nil {
		return "", errors.Is(err, fs.ErrNotExist)
	}
	head, _, err := cache.Decode(entry)
	if err != nil {
		return "", false
	}
	return head.File, true
}

// found is an entry that answers a request, or has answered another variant of it.
type found struct {
	key  string
	head *cache.Head
	body []byte // as it is stored; nil if head names a file
}

func (c *httpCache) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	if !c.handles(req) {
		if c.Offline && onNetwork(req.URL) {
			return nil, c.ignore("past the HTTP cache there is no network: http_cache.offline is set")
		}
		resp, err := c.next.Fetch(ctx, req)
		if err == nil && c.rules != nil && !cache.Safe(req.Method) && resp.Status < 400 {
			c.invalidate(ctx, req)
		}
		return resp, err
	}
	now := time.Now()
	s := c.find(ctx, req)
	match := s.match
	if match != nil && c.spent(req, match, now) {
		match = nil
	}
	usable := match != nil && (c.Offline || c.rules == nil || c.rules.Usable(req.Header, match.head.Stored(), now))
	if match != nil && c.tooLarge(req, match.head) {
		if usable {
			return nil, &crawl.DownloadError{Kind: crawl.KindTooLarge, URL: crawl.Redacted(req.URL), Err: crawl.ErrBodyTooLarge}
		}
		match = nil // it may be smaller by now
	}
	if usable {
		if resp := c.serve(req, match, now); resp != nil {
			c.hits.Add(1)
			return resp, nil
		}
		match = nil
	}
	if match == nil {
		c.stats.Inc(cacheStat + "miss")
	}
	switch {
	case c.Offline:
		return nil, c.ignore("not in the HTTP cache")
	case c.rules != nil && cache.OnlyIfCached(req.Header):
		return nil, c.ignore("only-if-cached, and not in the HTTP cache")
	case match != nil:
		return c.validate(ctx, req, s)
	}
	resp, err := c.next.Fetch(ctx, req)
	if err != nil {
		return nil, err
	}
	c.stats.Inc(cacheStat + "firsthand")
	c.keep(req, resp, s)
	return resp, nil
}

func (c *httpCache) ignore(reason string) error {
	c.stats.Inc(cacheStat + "ignore")
	return crawl.IgnoreRequest(reason)
}

// handles reports whether the cache has anything to say about a request.
func (c *httpCache) handles(req *crawl.Request) bool {
	if k := req.Knobs; k != nil && (k.DontCache || k.Render != nil) {
		return false
	}
	if slices.Contains(c.IgnoreSchemes, req.URL.Scheme) || cache.Conditional(req.Header) {
		return false
	}
	return c.rules == nil || req.Method == "" || req.Method == http.MethodGet || req.Method == http.MethodHead
}

// tooLarge says that a request wants no body as large as the one that is stored.
func (c *httpCache) tooLarge(req *crawl.Request, h *cache.Head) bool {
	most := c.largest
	if own := req.Knob().MaxSize; own != 0 {
		most = own
	}
	return most > 0 && h.Size > most
}

// onNetwork says that it takes more than this machine to answer.
func onNetwork(u *url.URL) bool { return u.Scheme != "file" && u.Scheme != "data" }

// spent says that an entry answers nothing any more.
func (c *httpCache) spent(req *crawl.Request, f *found, now time.Time) bool {
	if c.Expires > 0 && now.Sub(f.head.Got) > c.Expires {
		return true
	}
	// A failure that was stored is no answer to who asks again because of it.
	return req.Retries > 0 && !c.Offline && slices.Contains(c.retry, f.head.Status)
}

// key is where a request's entries are.
func (c *httpCache) key(ctx context.Context, req *crawl.Request, fp crawl.Fingerprint) string {
	knobs := req.Knob()
	auth, name := req.Header[authorization], req.Header[host]
	own := crawl.OwnCookie(ctx)
	if c.ownCookies || knobs.DontMergeCookies {
		own = req.Header[cookie]
	}
	if len(auth)+len(name)+len(own) == 0 && knobs.CookieJar == "" {
		return fp.String()
	}
	return digest(fp.String(), knobs.CookieJar, strings.Join(auth, "\n"), strings.Join(name, "\n"), strings.Join(own, "\n"))
}

// digest is a key made of parts.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = io.WriteString(h, strconv.Itoa(len(p))+":"+p) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil)[:20])
}

// shelf is what is stored for a request and its like.
type shelf struct {
	key     string // of the primary
	primary *found // stands for all variants; nil: there is none
	match   *found // the variant that the request's headers select, which may be the primary; nil: there is none
}

func (c *httpCache) find(ctx context.Context, req *crawl.Request) (s shelf) {
	s.key = c.key(ctx, req, req.Fingerprint())
	if s.primary = c.load(req, s.key); s.primary == nil {
		return s
	}
	s.match = s.primary
	if !selects(req, s.primary.head) {
		if s.match = c.load(req, c.variant(req, s.primary)); s.match != nil && !selects(req, s.match.head) {
			s.match = nil
		}
	}
	return s
}

// load reads an entry. One that is damaged is removed.
func (c *httpCache) load(req *crawl.Request, key string) *found {
	entry, err := c.storage.Load(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		head, body, err := cache.Decode(entry)
		switch {
		case errors.Is(err, cache.ErrOtherVersion):
			return nil
		case err == nil && head.File != "":
			return &found{key, head, nil}
		case err == nil:
			return &found{key, head, body}
		}
		c.damaged(req, key, err)
		return nil
	}
	c.damaged(req, key, err)
	return nil
}

// damaged removes what cannot be read, so that it is told of once.
func (c *httpCache) damaged(req *crawl.Request, key string, err error) {
	c.stats.Inc(cacheStat + "retrieve_error")
	c.log.Warn("an entry of the HTTP cache cannot be read", zap.Stringer("request", req), zap.String("key", key), zap.NamedError("remove", c.storage.Remove(key)), zap.Error(err))
}

// selects reports whether a request has the headers that a stored response was selected by.
func selects(req *crawl.Request, h *cache.Head) bool {
	for name, value := range h.Vary {
		if varied(req, name) != value {
			return false
		}
	}
	return true
}

// varied is a digest of a request header: what is stored tells nobody a password.
func varied(req *crawl.Request, name string) string {
	values := req.Header[name]
	if len(values) == 0 {
		return ""
	}
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = strings.TrimSpace(v)
	}
	return digest(strings.Join(parts, ", "))
}

// vary are the digests of what a response varies by.
func (c *httpCache) vary(req *crawl.Request, header http.Header) map[string]string {
	names, _ := cache.VaryNames(header)
	var m map[string]string
	for _, name := range names {
		if c.rules == nil && (name == cookie || name == userAgent) {
			continue
		}
		if m == nil {
			m = make(map[string]string, len(names))
		}
		m[name] = varied(req, name)
	}
	return m
}

// variant is the key of another variant than the primary entry. It has the primary's series in it, so that none is found any more when that was dropped.
func (c *httpCache) variant(req *crawl.Request, primary *found) string {
	parts := []string{primary.key, primary.head.Series}
	for _, name := range slices.Sorted(maps.Keys(primary.head.Vary)) {
		parts = append(parts, name, varied(req, name))
	}
	return digest(parts...)
}

// serve makes a response of an entry, or nil if its body cannot be read.
func (c *httpCache) serve(req *crawl.Request, f *found, now time.Time) *crawl.Response {
	h := f.head
	body, err := c.body(f)
	if err != nil && c.replaced(f) {
		return nil
	}
	if err != nil {
		c.damaged(req, f.key, err)
		return nil
	}
	header := h.Header
	if c.rules != nil {
		header = maps.Clone(header)
		header["Age"] = []string{strconv.FormatInt(int64(h.Stored().Age(now)/time.Second), 10)}
	}
	return &crawl.Response{
		Request: req, URL: req.URL, Status: h.Status, Header: header, Body: body, Proto: h.Proto, Flags: []string{cachedFlag},
		Timing: crawl.Timing{Start: h.Asked, Latency: time.Duration(h.Latency), Total: time.Duration(h.Total)},
	}
}

// replaced says that an entry with a body of its own was stored anew or evicted since it was read, perhaps by another crawl, which has removed that body.
func (c *httpCache) replaced(f *found) bool {
	if f.head.File == "" {
		return false
	}
	now := c.headOf(f.key)
	return now == nil || now.File != f.head.File
}

func (c *httpCache) body(f *found) (crawl.Body, error) {
	h := f.head
	switch {
	case h.File != "":
		return c.bodies.Read(h, c.spool)
	case h.Gzip:
		b, err := cache.Unzip(bytes.NewReader(f.body), h.Size)
		return crawl.BytesBody(b), err
	}
	return crawl.BytesBody(f.body), nil
}

// validate asks the site whether what is stored still holds.
func (c *httpCache) validate(ctx context.Context, req *crawl.Request, s shelf) (*crawl.Response, error) {
	match := s.match
	ask := repeat(req)
	if ask.Header == nil {
		ask.Header = make(http.Header)
	}
	conditions := cache.Validators(ask.Header, match.head.Stored())
	asked := time.Now()
	resp, err := c.next.Fetch(ctx, ask)
	now := time.Now()
	switch {
	case err != nil:
		unconditional(err)
		if silent(err) && ctx.Err() == nil {
			if old := c.recover(req, match, now); old != nil {
				return old, nil
			}
		}
		return nil, err
	case resp.Status >= 500:
		if old := c.recover(req, match, now); old != nil {
			c.closed(req, resp.Close())
			return old, nil
		}
	case conditions && resp.Status == http.StatusNotModified:
		fresh := c.renew(req, resp, s, asked, now)
		c.closed(req, resp.Close())
		if fresh != nil {
			return fresh, nil
		}
		// It is about another version than ours, or ours is gone.
		return nil, c.askAnew(req, match)
	}
	resp.Request = req
	c.stats.Inc(cacheStat + "invalidate")
	if !c.keep(req, resp, s) && resp.Status < 500 {
		c.drop(match)
	}
	return resp, nil
}

// askAnew drops an entry that could not be validated, and sends the request back to the queue: the host's delay lies between two requests. Without the entry it has no
// conditions, so the answer is no 304. Where the entry cannot be removed the request goes past the cache.
func (c *httpCache) askAnew(req *crawl.Request, match *found) error {
	c.stats.Inc(cacheStat + "invalidate")
	again := repeat(req)
	if c.replaced(match) {
		return crawl.Reschedule(again, 0, "the HTTP cache has another version")
	}
	if err := c.storage.Remove(match.key); err != nil {
		c.removed(err)
		again.SetKnobs(func(k *crawl.Knobs) { k.DontCache = true })
	}
	c.removeBody(match.head.File)
	return crawl.Reschedule(again, 0, "the HTTP cache had another version")
}

// silent says that a site does not answer.
func silent(err error) bool {
	failed, _ := errors.AsType[*crawl.DownloadError](err)
	return passing(err) != nil || failed != nil && failed.Kind == crawl.KindDeadHost
}

// unconditional takes the conditions out of a request that a layer further in wants to be asked again: they are for this attempt.
func unconditional(err error) {
	var again *crawl.RescheduleError
	if errors.As(err, &again) && again.Request != nil {
		again.Request.Header = maps.Clone(again.Request.Header)
		delete(again.Request.Header, "If-None-Match")
		delete(again.Request.Header, "If-Modified-Since")
	}
}

// recover is the stored response in the place of a failure, or nil.
func (c *httpCache) recover(req *crawl.Request, match *found, now time.Time) *crawl.Response {
	if match.head.Status >= 500 || !c.rules.UsableOnError(match.head.Stored(), now) {
		return nil
	}
	resp := c.serve(req, match, now)
	if resp != nil {
		resp.Flags = append(resp.Flags, staleFlag)
		c.stats.Inc(cacheStat + "errorrecovery")
	}
	return resp
}

// renew is the stored response after a 304, or nil if that is about another one.
func (c *httpCache) renew(req *crawl.Request, answer *crawl.Response, s shelf, asked, now time.Time) *crawl.Response {
	match := s.match
	h := match.head
	if !cache.Selects(answer.Header, h.Stored()) {
		return nil
	}
	h.Header, h.Asked, h.Got = cache.Freshen(h.Header, answer.Header), asked, now
	if answer.Proto != "" {
		h.Proto = answer.Proto
	}
	resp := c.serve(req, match, now)
	if resp == nil {
		return nil
	}
	vary := c.vary(req, h.Header)
	switch {
	case !c.rules.Storable(req.Method, req.Header, h.Stored()): // it says no-store now
		c.drop(match)
	case sameKeys(vary, h.Vary):
		c.write(req, match.key, h, match.body)
	default: // its variants are told apart by other headers now
		h.Vary, h.Series = vary, rand.Text()
		c.promote(req, s, h)
	}
	if set := answer.Header["Set-Cookie"]; len(set) > 0 {
		resp.Header["Set-Cookie"] = set
	}
	resp.Timing = answer.Timing
	resp.Flags = append(resp.Flags, revalidatedFlag)
	c.stats.Inc(cacheStat + "revalidate")
	return resp
}

// promote puts the entry that has answered, with another head, in the place of the primary one. Nothing finds the other variants any more.
func (c *httpCache) promote(req *crawl.Request, s shelf, h *cache.Head) {
	if s.primary.key == s.match.key {
		c.write(req, s.primary.key, h, s.match.body)
		return
	}
	if h.File != "" {
		var err error
		if h.File, err = c.bodies.Move(h.File, s.primary.key); err != nil {
			c.failed(req, err)
			return
		}
	}
	if c.write(req, s.primary.key, h, s.match.body) {
		c.removeBody(s.primary.head.File)
		c.removed(c.storage.Remove(s.match.key))
	}
}

// keep stores a response, if it may be, and reports whether it has.
func (c *httpCache) keep(req *crawl.Request, resp *crawl.Response, s shelf) bool {
	now := time.Now()
	asked := resp.Timing.Start
	if asked.IsZero() {
		asked = now
	}
	h := &cache.Head{
		URL: crawl.Redacted(req.URL), Status: resp.Status, Proto: resp.Proto, Header: resp.Header, Asked: asked, Got: asked.Add(resp.Timing.Latency),
		Latency: int64(resp.Timing.Latency), Total: int64(resp.Timing.Total), Size: resp.Body.Size(),
	}
	if c.rules != nil {
		h.Header = cache.Storing(resp.Header)
	}
	if !c.storable(req, resp, h) {
		c.stats.Inc(cacheStat + "uncacheable")
		return false
	}
	primary := s.primary
	var key string
	h.Vary = c.vary(req, h.Header)
	switch {
	case primary == nil:
		key, h.Series = s.key, rand.Text()
	case len(h.Vary) == 0 || !sameKeys(h.Vary, primary.head.Vary):
		key, h.Series = primary.key, rand.Text()
	case selects(req, primary.head):
		key, h.Series = primary.key, primary.head.Series
	default:
		key, h.Series = c.variant(req, primary), primary.head.Series
	}
	body, err := c.shelve(key, h, resp)
	if err != nil {
		c.failed(req, err)
		return false
	}
	if !c.put(req, key, h, body) {
		c.removed(c.bodies.Remove(h.File))
		return false
	}
	c.stats.Inc(cacheStat + "store")
	for _, old := range [...]*found{primary, s.match} {
		if old != nil && old.key == key {
			c.removeBody(old.head.File)
		}
	}
	return true
}

// turn is whose turn it is to change an entry that names a body.
func (c *httpCache) turn(key string) *sync.Mutex {
	n, _ := strconv.ParseUint(key[:2], 16, 8) // keys are hex digits
	return &c.turns[n]
}

// put writes an entry. If it names a body, that of an entry that somebody else has stored meanwhile is removed: nobody names it then.
func (c *httpCache) put(req *crawl.Request, key string, h *cache.Head, body []byte) bool {
	if h.File == "" {
		return c.write(req, key, h, body)
	}
	turn := c.turn(key)
	turn.Lock()
	defer turn.Unlock()
	old := c.headOf(key)
	if !c.write(req, key, h, body) {
		return false
	}
	if old != nil {
		c.removeBody(old.File)
	}
	// Another process may have been as quick.
	if now := c.headOf(key); now != nil && now.File != h.File {
		c.removed(c.bodies.Remove(h.File))
	}
	return true
}

// drop removes an entry.
func (c *httpCache) drop(f *found) {
	c.removed(c.storage.Remove(f.key))
	c.removeBody(f.head.File)
}

// removeBody removes a body that no entry names any more. The storage must be sure of that first: whoever is killed afterwards leaves no entry without its body.
func (c *httpCache) removeBody(name string) {
	if name == "" {
		return
	}
	if s, ok := c.storage.(crawl.CacheSyncer); ok {
		if err := s.Sync(); err != nil {
			c.removed(err)
			return
		}
	}
	c.removed(c.bodies.Remove(name))
}

func sameKeys(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k := range a {
		if _, ok := b[k]; !ok {
			return false
		}
	}
	return true
}

func (c *httpCache) storable(req *crawl.Request, resp *crawl.Response, h *cache.Head) bool {
	if resp.Status == http.StatusPartialContent || resp.Status == http.StatusNotModified || resp.Has(truncatedFlag) || slices.Contains(c.IgnoreStatuses, resp.Status) {
		return false
	}
	if n := resp.Header[contentLength]; len(n) > 0 && req.Method != http.MethodHead {
		if size, err := strconv.ParseInt(n[0], 10, 64); err != nil || size != h.Size {
			return false
		}
	}
	return c.rules == nil || c.rules.Storable(req.Method, req.Header, h.Stored())
}

// shelve puts a response's body where it is kept: into a file, or into the bytes that it returns.
func (c *httpCache) shelve(key string, h *cache.Head, resp *crawl.Response) ([]byte, error) {
	h.Gzip = c.Gzip && len(resp.Header[contentEncoding]) == 0 && h.Size > 0
	if resp.Body.Path() != "" || h.Size > inEntry {
		if sum, ok := resp.Body.Sum(c.checksum); ok {
			h.Algorithm, h.Sum = c.checksum, sum
		}
		var err error
		h.File, err = c.bodies.Put(key, resp.Body, h.Gzip)
		return nil, err
	}
	b, err := resp.Body.Bytes()
	if err == nil && h.Gzip {
		b, err = c.zip.Bytes(b)
	}
	return b, err
}

// write reports whether it could.
func (c *httpCache) write(req *crawl.Request, key string, h *cache.Head, body []byte) bool {
	entry, err := cache.Encode(h, body)
	if err == nil {
		err = c.storage.Store(key, entry)
	}
	if err != nil {
		c.failed(req, err)
		return false
	}
	file := int64(0)
	if h.File != "" {
		file = h.Size
	}
	c.grown(int64(len(entry)), file)
	return true
}

// failed tells of what could not be stored.
func (c *httpCache) failed(req *crawl.Request, err error) {
	c.stats.Inc(cacheStat + "store_error")
	c.unwritten.Do(func() {
		c.log.Warn("the HTTP cache cannot be written: what it lacks is asked of the site each time", zap.Stringer("request", req), zap.Error(err))
	})
}

func (c *httpCache) removed(err error) {
	if err != nil {
		c.log.Debug("the HTTP cache keeps what it does not need", zap.Error(err))
	}
}

func (c *httpCache) closed(req *crawl.Request, err error) {
	if err != nil {
		c.log.Warn("close response", zap.Stringer("request", req), zap.Error(err))
	}
}

// invalidate drops what is stored of a URL that a request may have changed (RFC 9111, section 4.4).
func (c *httpCache) invalidate(ctx context.Context, req *crawl.Request) {
	for _, method := range [...]string{http.MethodGet, http.MethodHead} {
		read := *req
		read.Method, read.Body, read.Key = method, nil, crawl.Fingerprint{} // the Key is what the change is known by, not the page
		key := c.key(ctx, req, read.Fingerprint())
		if old := c.load(req, key); old != nil {
			c.drop(old)
			c.stats.Inc(cacheStat + "invalidate")
		}
	}
}

package pipeline

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

// hooks are the function fields that FilesPipeline and ImagesPipeline have in common. See FilesPipeline for what they do.
type hooks struct {
	mediaRequests   func(ctx context.Context, item any) ([]*crawl.Request, error)
	mediaToDownload func(ctx context.Context, req *crawl.Request, item any) (*crawl.File, error)
	mediaDownloaded func(ctx context.Context, resp *crawl.Response, item any) (*crawl.File, error)
	mediaFailed     func(ctx context.Context, req *crawl.Request, err error, item any) (crawl.File, error)
	filePath        func(req *crawl.Request, resp *crawl.Response, item any) (string, error)
	itemCompleted   func(ctx context.Context, results []Result, item any) (any, error)
}

// keeper is what the kinds of FilesPipeline and ImagesPipeline have in common: the item's fields, names, freshness, and the way into the store.
type keeper struct {
	hooks    hooks
	fields   *fields
	expires  time.Duration // negative: nothing is ever fresh
	checksum string
	name     func(*url.URL) string // "" where the response has to be seen first
	store    crawl.Store
	adopter  crawl.Adopter  // the store, if it is one; else nil
	toucher  crawl.Toucher  // likewise
	recorder store.Recorder // likewise
	closer   io.Closer      // the store, if it is ours to close
	spool    *crawl.Spool
	log      *zap.Logger

	// fits says whether what the store holds may be what is wanted, by its Meta. nil: it always may.
	fits func(*crawl.Meta) bool
	// finish adds to h.info.Meta what is missing for a result. An error says that what the store holds is of no use.
	finish func(ctx context.Context, req *crawl.Request, h *held, item any) error

	seed  maphash.Seed
	mu    sync.Mutex
	taken map[uint64]crawl.Fingerprint // Guarded by mu: who wrote a path, by its hash, where paths come from a hook.
}

// newKeeper opens what is common. own is the store that the pipeline's value carries, uri the one that its settings name, setting that setting's name.
func newKeeper(ctx context.Context, env *crawl.Env, own crawl.Store, uri, setting string) (*keeper, error) {
	k := &keeper{
		store:    own,
		checksum: env.Settings.Media.Checksum,
		spool:    env.Spool,
		log:      env.Log,
		seed:     maphash.MakeSeed(),
	}
	if own == nil {
		if uri == "" {
			return nil, crawl.NotConfigured(setting + " is empty: set it to a folder to keep what is downloaded")
		}
		opened, err := store.Open(ctx, uri, env)
		if err != nil {
			return nil, err
		}
		k.store = opened
		k.closer, _ = opened.(io.Closer)
	}
	k.adopter, _ = k.store.(crawl.Adopter)
	k.toucher, _ = k.store.(crawl.Toucher)
	k.recorder, _ = k.store.(store.Recorder)
	return k, nil
}

// Close implements io.Closer.
func (k *keeper) Close() error {
	if k.closer == nil {
		return nil
	}
	return k.closer.Close()
}

// Requests implements [Kind].
func (k *keeper) Requests(ctx context.Context, item any) ([]*crawl.Request, error) {
	if k.hooks.mediaRequests != nil {
		return k.hooks.mediaRequests(ctx, item)
	}
	urls, err := k.fields.read(item)
	if err == nil && k.hooks.itemCompleted == nil {
		err = k.fields.check(item)
	}
	if err != nil {
		return nil, err
	}
	reqs := make([]*crawl.Request, len(urls))
	for i, u := range urls {
		reqs[i] = found(ctx, u)
	}
	return reqs, nil
}

// found is the request for a URL out of an item, which is a page's word. What only this machine can read, or only with the crawl's keys, is not for any page
// to name: what comes of it is stored, and often shown to others.
func found(ctx context.Context, rawURL string) *crawl.Request {
	req := crawl.Get(rawURL)
	if req.URL == nil {
		return req
	}
	switch scheme := req.URL.Scheme; scheme {
	case "file", "s3":
		if page := crawl.Origin(ctx); page == nil || page.URL == nil || page.URL.Scheme != scheme {
			err := fmt.Errorf("only a %[1]s: page may name what is read from %[1]s: (MediaRequests may always)", scheme)
			return crawl.Unusable(crawl.Redacted(req.URL), &url.Error{Op: "read", URL: scheme, Err: err})
		}
	}
	return req
}

// Complete implements [Kind].
func (k *keeper) Complete(ctx context.Context, results []Result, item any) (any, error) {
	files := make([]crawl.File, 0, len(results))
	for _, r := range results {
		if r.Err == nil {
			files = append(files, r.File)
		}
	}
	if err := k.fields.write(item, files, k.hooks.itemCompleted != nil); err != nil {
		return nil, err
	}
	if k.hooks.itemCompleted != nil {
		return k.hooks.itemCompleted(ctx, results, item)
	}
	return item, nil
}

// Rescue implements [Rescuer].
func (k *keeper) Rescue(ctx context.Context, req *crawl.Request, err error, item any) (crawl.File, error) {
	if k.hooks.mediaFailed == nil {
		return crawl.File{}, err
	}
	return k.hooks.mediaFailed(ctx, req, err, item)
}

// Receive implements [Receiver].
func (k *keeper) Receive(ctx context.Context, resp *crawl.Response, item any) (*crawl.File, error) {
	if resp.Status == http.StatusNotModified {
		if file, err := k.renew(ctx, resp, item); file != nil || err != nil {
			return file, err
		}
	}
	if k.hooks.mediaDownloaded == nil {
		return nil, nil
	}
	return k.hooks.mediaDownloaded(ctx, resp, item)
}

// held is what the store has for a request.
type held struct {
	path string
	info crawl.Info
}

// Fresh implements [Kind].
func (k *keeper) Fresh(ctx context.Context, req *crawl.Request, item any) (*crawl.File, error) {
	if k.hooks.mediaToDownload != nil {
		if file, err := k.hooks.mediaToDownload(ctx, req, item); file != nil || err != nil {
			return file, err
		}
	}
	if k.expires < 0 {
		return nil, nil
	}
	h, err := k.lookUp(ctx, req, item)
	if h == nil || err != nil {
		return nil, err
	}
	if k.fits != nil && !k.fits(&h.info.Meta) {
		k.log.Debug("a stored file is of another kind, and is downloaded", zap.String("path", h.path), zap.String("content_type", h.info.Meta.ContentType))
		return nil, nil
	}
	if time.Since(h.info.ModTime) <= k.expires {
		return k.known(ctx, req, h, item), nil
	}
	k.makeConditional(req, &h.info.Meta)
	return nil, nil
}

// known is the result for what the store holds, nil if that is of no use.
func (k *keeper) known(ctx context.Context, req *crawl.Request, h *held, item any) *crawl.File {
	if err := k.finish(ctx, req, h, item); err != nil {
		if ctx.Err() == nil {
			k.log.Warn("a stored file is of no use, and is downloaded", zap.String("path", h.path), zap.Error(err))
		}
		return nil
	}
	file := fileOf(req, h.path, h.info.Size, &h.info.Meta, uptodate)
	return &file
}

// makeConditional lets the server say that an expired file has not changed (RFC 9110, section 13).
func (k *keeper) makeConditional(req *crawl.Request, meta *crawl.Meta) {
	if k.toucher == nil || meta.Checksum == "" {
		return
	}
	if req.Header == nil {
		req.Header = make(http.Header)
	}
	for name, value := range map[string]string{"If-None-Match": meta.ETag, "If-Modified-Since": meta.LastModified} {
		if value != "" && req.Header.Get(name) == "" {
			req.Header.Set(name, value)
		}
	}
}

// lookUp returns what the store has for a request, nil if there is nothing. A store that can't say counts as having nothing.
func (k *keeper) lookUp(ctx context.Context, req *crawl.Request, item any) (*held, error) {
	path, err := k.path(req, nil, item)
	if err != nil {
		return nil, err
	}
	if k.hooks.filePath != nil || path == "" {
		if noted := k.noted(ctx, req, path); noted != "" {
			path = noted
		}
	}
	if path == "" {
		return nil, nil
	}
	info, err := k.store.Stat(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		if ctx.Err() == nil {
			k.log.Warn("the store can't say whether it has a file, which is downloaded", zap.String("path", path), zap.Error(err))
		}
		return nil, nil
	case info.Size == 0 || info.ModTime.IsZero():
		return nil, nil // Nothing empty is ever stored: it is what a power cut left.
	}
	return &held{path: path, info: info}, nil
}

// renew makes an expired file fresh again: the server said that it has not changed. It returns nil and no error if there is no such file.
func (k *keeper) renew(ctx context.Context, resp *crawl.Response, item any) (*crawl.File, error) {
	if k.toucher == nil || k.expires < 0 {
		return nil, nil
	}
	h, err := k.lookUp(ctx, resp.Request, item)
	if h == nil || err != nil || h.info.Meta.Checksum == "" {
		return nil, err
	}
	meta := h.info.Meta
	setIf(&meta.ETag, resp.Header.Get("ETag"))
	setIf(&meta.LastModified, resp.Header.Get("Last-Modified"))
	err = k.retried(ctx, func() (err error) {
		if err = k.toucher.Touch(ctx, h.path, meta); err == nil {
			h.info, err = k.store.Stat(ctx, h.path)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if file := k.known(ctx, resp.Request, h, item); file != nil {
		return file, nil
	}
	// It counts as fresh now, and as of no use, so whoever asks next downloads it without a condition.
	return nil, &MediaError{Kind: KindOther, Err: errors.New("not modified, but what the store has is of no use"), passing: true}
}

func setIf(p *string, v string) {
	if v != "" {
		*p = v
	}
}

// path is where a request's file goes. resp is nil before it is downloaded; then "" says that the path depends on the response. Without a hook it may be "" with one too:
// the Kind knows.
func (k *keeper) path(req *crawl.Request, resp *crawl.Response, item any) (string, error) {
	if k.hooks.filePath == nil {
		return k.name(req.URL), nil
	}
	path, err := k.hooks.filePath(req, resp, item)
	if err != nil {
		return "", fmt.Errorf("file path: %w", err)
	}
	if path == "" && resp == nil {
		return "", nil
	}
	if err := store.CheckName(path); err != nil {
		return "", fmt.Errorf("file path: %w", err)
	}
	return path, nil
}

// note is what stands under store.By for a request whose path depends on its response.
type note struct {
	Path string `json:"path"`
	// Asked is the path without the response. When the hook has changed its mind about that, the note is void.
	Asked string `json:"asked,omitempty"`
}

func noteName(req *crawl.Request) string { return store.By + req.Fingerprint().String() }

// noted is the path that was noted for a request, "" if none was.
func (k *keeper) noted(ctx context.Context, req *crawl.Request, asked string) string {
	r, err := k.store.Open(ctx, noteName(req))
	if err != nil {
		return ""
	}
	defer r.Close()
	var n note
	if json.NewDecoder(io.LimitReader(r, 1<<16)).Decode(&n) != nil || n.Asked != asked || store.CheckName(n.Path) != nil {
		return ""
	}
	return n.Path
}

// noteDown notes where a file went if its path depends on the response, and warns when two URLs went to one path.
func (k *keeper) noteDown(ctx context.Context, req *crawl.Request, path string, item any) error {
	if k.hooks.filePath != nil {
		k.claim(req, path)
	} else if k.name(req.URL) != "" {
		return nil
	}
	if k.expires < 0 {
		return nil // Nobody will ask, and the hook may count on its response.
	}
	asked, err := k.path(req, nil, item)
	if err != nil {
		return err
	}
	if asked == path {
		return nil
	}
	b, err := json.Marshal(note{Path: path, Asked: asked})
	if err != nil {
		return err
	}
	return k.put(ctx, noteName(req), crawl.BytesBody(b), crawl.Meta{})
}

// maxClaims bounds what is remembered of the paths in use.
const maxClaims = 100_000

// claim warns when another URL has been stored under the same path in this run.
func (k *keeper) claim(req *crawl.Request, path string) {
	key, fp := maphash.String(k.seed, path), req.Fingerprint()
	k.mu.Lock()
	other, isTaken := k.taken[key]
	if len(k.taken) >= maxClaims || k.taken == nil {
		k.taken = make(map[uint64]crawl.Fingerprint)
	}
	k.taken[key] = fp
	k.mu.Unlock()
	if isTaken && other != fp {
		k.log.Warn("two URLs are stored under one path: the last one stays", zap.String("path", path), zap.String("url", address(req)))
	}
}

// storeRetries is how often the store is asked again after an error, and storeBackOff how long to wait before the first time; it doubles. A store that took storePatience
// and more to fail is not asked again: stores in the network have tried each request several times by then.
const (
	storeRetries  = 3
	storeBackOff  = 500 * time.Millisecond
	storePatience = 5 * time.Minute
)

// retried calls f again while it fails, for some time. Its last error is a [MediaError].
func (k *keeper) retried(ctx context.Context, f func() error) error {
	wait, begun := storeBackOff, time.Now()
	for attempt := 0; ; attempt++ {
		err := f()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, store.ErrName):
			return err
		case ctx.Err() != nil || attempt == storeRetries || time.Since(begun) >= storePatience:
			return &MediaError{Kind: KindStore, Err: err}
		}
		k.log.Debug("the store failed: it is asked again", zap.Duration("after", wait), zap.Error(err))
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		wait *= 2
	}
}

// put stores a body. A spooled one is handed over without being read, if the store can take it.
func (k *keeper) put(ctx context.Context, name string, body crawl.Body, meta crawl.Meta) error {
	return k.retried(ctx, func() error {
		if local := body.Path(); local != "" && k.adopter != nil {
			if took, err := k.adopter.Adopt(ctx, name, local, meta); took || err != nil {
				if took {
					body.Take()
				}
				return err
			}
		}
		r, err := body.Open()
		if err != nil {
			return err
		}
		defer r.Close()
		return k.store.Put(ctx, name, r, meta)
	})
}

// sum is the checksum of a body.
func (k *keeper) sum(body crawl.Body) (string, error) {
	if s, ok := body.Sum(k.checksum); ok {
		return s, nil
	}
	r, err := body.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	return k.sumOf(r)
}

func (k *keeper) sumOf(r io.Reader) (string, error) {
	h := newHash(k.checksum)
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// newHash makes a hash by its name in Media.Checksum.
func newHash(name string) hash.Hash {
	switch name {
	case "sha1":
		return sha1.New()
	case "sha256":
		return sha256.New()
	}
	return md5.New()
}

// openHeld opens what the store holds so that it can be read at any place: from the store itself, else from a spooled copy.
func (k *keeper) openHeld(ctx context.Context, h *held) (io.ReadSeekCloser, error) {
	r, err := k.store.Open(ctx, h.path)
	if err != nil {
		return nil, err
	}
	if at, ok := r.(io.ReadSeekCloser); ok {
		return at, nil
	}
	defer r.Close()
	body, err := k.spool.Read(r, h.info.Size, -1)
	if err != nil {
		return nil, err
	}
	at, err := body.Open()
	if err != nil {
		return nil, errors.Join(err, body.Close())
	}
	return &spooled{at, body}, nil
}

// spooled removes the copy when it has been read.
type spooled struct {
	io.ReadSeekCloser
	body crawl.Body
}

func (s *spooled) Close() error { return errors.Join(s.ReadSeekCloser.Close(), s.body.Close()) }

// remember writes what has become known of a file into its record, if the store can do that.
func (k *keeper) remember(ctx context.Context, h *held) {
	if k.recorder == nil {
		return
	}
	if err := k.recorder.Record(ctx, h.path, h.info); err != nil {
		k.log.Debug("a record can't be written", zap.String("path", h.path), zap.Error(err))
	}
}

// metaOf is what a response says of the file that is made of it.
func metaOf(resp *crawl.Response) crawl.Meta {
	meta := crawl.Meta{
		ContentType:  resp.Header.Get("Content-Type"),
		ETag:         resp.Header.Get("ETag"),
		LastModified: resp.Header.Get("Last-Modified"),
	}
	if len(resp.Request.Redirects) > 0 {
		if final := resp.URL.String(); final != resp.Request.URL.String() {
			meta.FinalURL = final
		}
	}
	return meta
}

// fileOf is a result as it stands in the store.
func fileOf(req *crawl.Request, path string, size int64, meta *crawl.Meta, status string) crawl.File {
	return crawl.File{
		URL: req.URL.String(), Path: path, Checksum: meta.Checksum, Status: status, Width: meta.Width, Height: meta.Height,
		Size: size, ContentType: meta.ContentType, FinalURL: meta.FinalURL, Thumbs: meta.Thumbs,
	}
}

// The statuses of a File.
const (
	downloaded = "downloaded"
	uptodate   = "uptodate"
	cached     = "cached"
)

// statusOf is "cached" for a response out of the HTTP cache, else "downloaded".
func statusOf(resp *crawl.Response) string {
	if resp.Has("cached") {
		return cached
	}
	return downloaded
}

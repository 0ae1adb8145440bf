package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
	store "github.com/tulle-go/tulle/pipeline/store/s3"
)

var _ crawl.OpenHandler = Open

const (
	// firstRegion is tried for a bucket whose region nobody has told.
	firstRegion = "us-east-1"
	// itsRegion is the header by which S3 tells a bucket's region, with the answer to a request that was for another one, too.
	itsRegion = "X-Amz-Bucket-Region"
	// unsigned says that the signature does not cover the body: there is none.
	unsigned = "UNSIGNED-PAYLOAD"
)

// Open makes the handler of s3 URLs: it is a [crawl.OpenHandler]. Credentials are looked for at the first request.
func Open(env *crawl.Env) (crawl.Fetcher, error) {
	endpoint, err := store.Endpoint(&env.Settings.AWS)
	if err != nil {
		return nil, err
	}
	web, own := *env, *env.Settings
	own.Download.InsecureTLS = own.Download.InsecureTLS || own.AWS.InsecureTLS
	web.Settings = &own
	next, err := downloader.NewHTTP(&web)
	if err != nil {
		return nil, err
	}
	return &handler{settings: own.AWS, endpoint: endpoint, next: next, limits: downloader.NewLimits(env), regions: make(map[string]string)}, nil
}

type handler struct {
	settings crawl.AWSSettings
	endpoint *url.URL
	next     crawl.Fetcher // http and https
	limits   *downloader.Limits

	mu      sync.Mutex
	search  *search           // Guarded by mu: nil until the first request.
	regions map[string]string // Guarded by mu: of buckets, as far as S3 has told.
}

// search is the look for credentials: once, for where there are none a machine without a role takes its time to say so. It belongs to the crawl, not to the request that
// began it.
type search struct {
	cancel func()
	done   chan struct{}

	// Not changed after done is closed.
	creds *credentials.Credentials
	none  error // why there are none
}

var (
	_ crawl.Fetcher = (*handler)(nil)
	_ io.Closer     = (*handler)(nil)
)

// Close cuts all connections, and ends the search for credentials.
func (h *handler) Close() error {
	h.mu.Lock()
	s := h.search
	h.mu.Unlock()
	if s != nil {
		s.cancel()
		<-s.done
	}
	return h.next.(io.Closer).Close()
}

// Fetch asks for an object.
func (h *handler) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	if err := check(req); err != nil {
		return nil, downloader.Failed(req, crawl.KindRequest, err)
	}
	resp, err := h.limits.Do(ctx, req, func(ctx context.Context) (*crawl.Response, error) { return h.ask(ctx, req) })
	if err != nil {
		return nil, err
	}
	resp.Request, resp.URL = req, req.URL
	return resp, nil
}

func check(req *crawl.Request) error {
	switch u := req.URL; {
	case req.Method != "" && req.Method != http.MethodGet && req.Method != http.MethodHead:
		return fmt.Errorf("method %s: an object can only be read", req.Method)
	case u.Host == "" || u.User != nil || u.Port() != "" || strings.Trim(u.Path, "/") == "":
		return errors.New("the URL is not s3://bucket/key")
	}
	return s3utils.CheckValidBucketName(req.URL.Host)
}

// ask sends the signed request. If the answer tells that the bucket is in another region, that is remembered, and the request goes back to the queue.
func (h *handler) ask(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	bucket := req.URL.Host
	region := h.region(bucket)
	signed, err := h.sign(ctx, req, region)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("download <%s>: %w", req.URL, ctx.Err())
		}
		return nil, downloader.Failed(req, crawl.KindRequest, err)
	}
	resp, err := h.next.Fetch(ctx, signed)
	if err != nil {
		if again, ok := errors.AsType[*crawl.RescheduleError](err); ok {
			again.Request = req // it is signed anew
		}
		return nil, err
	}
	told := resp.Header.Get(itsRegion)
	if told == "" || told == region || !elsewhere(resp.Status) || !h.learn(bucket, region, told) {
		return resp, nil
	}
	if err := resp.Close(); err != nil {
		return nil, err
	}
	return nil, crawl.Reschedule(req, 0, "the bucket is in region "+told)
}

// learn remembers the region that a bucket was said to be in, unless it was asked where an earlier answer had sent us: two that point at each other are asked once each.
func (h *handler) learn(bucket, asked, told string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	known := h.regions[bucket]
	if known == asked {
		return false
	}
	if known == "" {
		h.regions[bucket] = told
	}
	return true
}

// elsewhere reports whether S3 answers so if a request was for another region than the bucket's.
func elsewhere(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusBadRequest, http.StatusForbidden:
		return true
	}
	return false
}

// region is where a bucket is: where an answer has told, else what the settings say.
func (h *handler) region(bucket string) string {
	h.mu.Lock()
	told := h.regions[bucket]
	h.mu.Unlock()
	return cmp.Or(told, store.Region(&h.settings), firstRegion)
}

// credentials waits for the search, no longer than ctx.
func (h *handler) credentials(ctx context.Context) (*credentials.Credentials, error) {
	h.mu.Lock()
	if h.search == nil {
		h.search = h.find(context.WithoutCancel(ctx))
	}
	s := h.search
	h.mu.Unlock()
	select {
	case <-s.done:
		return s.creds, s.none
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// find begins the search. Its goroutine ends with it, soon after cancel at the latest: each question to the machine has a time limit of its own.
func (h *handler) find(ctx context.Context) *search {
	s := &search{done: make(chan struct{})}
	ctx, s.cancel = context.WithCancel(ctx)
	go func() {
		defer close(s.done)
		s.creds, s.none = store.Credentials(ctx, &h.settings)
	}()
	return s
}

// sign makes the http or https request for an object. Only what it adds is signed: what else is in the header may be changed on the way.
func (h *handler) sign(ctx context.Context, req *crawl.Request, region string) (*crawl.Request, error) {
	creds, err := h.credentials(ctx)
	if err != nil {
		return nil, err
	}
	v, err := creds.GetWithContext(&credentials.CredContext{Context: ctx})
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	out := http.Request{Method: method, URL: h.address(req.URL, region), Header: http.Header{"X-Amz-Content-Sha256": {unsigned}}}
	out.Host = out.URL.Host
	out = *signer.SignV4(out, v.AccessKeyID, v.SecretAccessKey, v.SessionToken, region)
	signed := *req
	signed.URL = out.URL
	signed.Header = maps.Clone(req.Header)
	if signed.Header == nil {
		signed.Header = make(http.Header)
	}
	maps.Copy(signed.Header, out.Header)
	delete(signed.Header, "Host")
	return &signed, nil
}

// address is where an object is: at Amazon's under a host name of the bucket's, elsewhere in a folder of its name.
func (h *handler) address(u *url.URL, region string) *url.URL {
	at := &url.URL{Scheme: h.endpoint.Scheme, Host: h.endpoint.Host, Path: u.Path, RawQuery: u.RawQuery}
	if at.Host == "s3.amazonaws.com" {
		at.Host = "s3." + region + ".amazonaws.com"
	}
	if s3utils.IsVirtualHostSupported(*at, u.Host) {
		at.Host = u.Host + "." + at.Host
	} else {
		at.Path = "/" + u.Host + at.Path
	}
	at.RawPath = s3utils.EncodePath(at.Path) // as it is signed
	return at
}

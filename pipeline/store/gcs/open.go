package gcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
	"github.com/tulle-go/tulle/pipeline/store/internal/objects"
)

var _ crawl.OpenStore = Open

const (
	googleAPI = "https://storage.googleapis.com"
	scope     = "https://www.googleapis.com/auth/devstorage.read_write"
	// noCredentials is the value of gcs.credentials_file for requests without any.
	noCredentials = "none"
	// checkTries and checkTimeout bound the look at the bucket when it is opened: who starts a crawl waits for it.
	checkTries   = 3
	checkTimeout = 30 * time.Second
	// workTimeout is how long the server may take over the last piece of an upload.
	workTimeout = 20 * time.Minute
)

// What a store may have to be allowed.
const (
	mayCreate = "storage.objects.create"
	mayGet    = "storage.objects.get"
	mayDelete = "storage.objects.delete"
	mayUpdate = "storage.objects.update"
)

// Open opens gs://bucket/prefix: it is a [crawl.OpenStore]. What it returns is a [*Store], or one that is no [crawl.Toucher] if the credentials may not change
// metadata. It looks at the bucket once: a bucket that is not there, credentials that are refused and a server that can't be reached are errors now.
func Open(ctx context.Context, uri string, env *crawl.Env) (crawl.Store, error) {
	place, err := objects.ParseAddress(uri, store.CheckName)
	if err != nil {
		return nil, err
	}
	set := &env.Settings.GCS
	endpoint, anonymous, err := findEndpoint(set)
	if err != nil {
		return nil, err
	}
	transport := newTransport()
	s := &Store{transport: transport, place: place, acl: set.ACL, buffers: objects.NewBuffers()}
	updates, err := s.connect(ctx, endpoint, anonymous, set, env.Log)
	switch {
	case err != nil:
		transport.CloseIdleConnections()
		return nil, err
	case !updates:
		return fixed{s, s}, nil
	}
	return s, nil
}

// fixed is a store whose metadata can't be changed.
type fixed struct {
	crawl.Store
	io.Closer
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     time.Minute,
		TLSHandshakeTimeout: 10 * time.Second,
	}
}

// connect finds credentials and looks at the bucket with them.
func (s *Store) connect(ctx context.Context, endpoint string, anonymous bool, set *crawl.GCSSettings, log *zap.Logger) (updates bool, err error) {
	usual, slow := &objects.Watch{Next: s.transport}, &objects.Watch{Next: s.transport, After: workTimeout}
	transports := [...]http.RoundTripper{usual, slow}
	if !anonymous {
		// Tokens are fetched for as long as the store is open, which is longer than ctx lives.
		life := context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, &http.Client{Transport: usual})
		creds, err := findCredentials(life, set.CredentialsFile)
		if err != nil {
			return false, err
		}
		for i, rt := range transports {
			transports[i] = &oauth2.Transport{Source: creds.TokenSource, Base: rt}
		}
	}
	// A 308 is an answer here, and nothing else is redirected.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.client = &client{
		http:     &http.Client{Transport: transports[0], CheckRedirect: stay},
		slow:     &http.Client{Transport: transports[1], CheckRedirect: stay},
		endpoint: endpoint, project: set.Project, tries: checkTries,
	}
	updates, err = s.check(ctx, log)
	s.client.tries = tries
	return updates, err
}

// findEndpoint says which server it is, and whether it is asked without credentials.
func findEndpoint(set *crawl.GCSSettings) (endpoint string, anonymous bool, err error) {
	anonymous = set.CredentialsFile == noCredentials
	raw, from := set.Endpoint, "gcs.endpoint"
	if raw == "" {
		raw, from = os.Getenv("STORAGE_EMULATOR_HOST"), "STORAGE_EMULATOR_HOST"
		if raw == "" {
			return googleAPI, anonymous, nil
		}
		anonymous = anonymous || set.CredentialsFile == ""
		if !strings.Contains(raw, "://") {
			raw = "http://" + raw
		}
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", false, fmt.Errorf("%s: %w", from, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "", false, fmt.Errorf("%s %s is not http://host:port or https://host:port", from, crawl.Redacted(u))
	}
	// Other libraries want the path of the API in it.
	return u.Scheme + "://" + u.Host, anonymous, nil
}

// findCredentials reads a key file; without one, it looks where Google's own tools look.
func findCredentials(ctx context.Context, file string) (*google.Credentials, error) {
	if file == "" {
		creds, err := google.FindDefaultCredentials(ctx, scope)
		if err != nil {
			return nil, fmt.Errorf("no credentials are found: set gcs.credentials_file or GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login: %w", err)
		}
		return creds, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("gcs.credentials_file: %w", err)
	}
	var key struct {
		Type google.CredentialsType `json:"type"`
	}
	if err := json.Unmarshal(b, &key); err != nil {
		return nil, fmt.Errorf("gcs.credentials_file %s: %w", file, err)
	}
	creds, err := google.CredentialsFromJSONWithType(ctx, b, key.Type, scope)
	if err != nil {
		return nil, fmt.Errorf("gcs.credentials_file %s: %w", file, err)
	}
	return creds, nil
}

// check asks what the credentials may do with the bucket, and warns of what they may not. That is not the last word: they may have been given part of it.
func (s *Store) check(ctx context.Context, log *zap.Logger) (updates bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	query := url.Values{"permissions": {mayCreate, mayGet, mayDelete, mayUpdate}}
	var granted struct {
		Permissions []string `json:"permissions"`
	}
	err = s.client.json(ctx, call{method: http.MethodGet, url: s.client.url(apiRoot, query, s.place.Bucket, "iam", "testPermissions")}, &granted)
	var answer *apiError
	switch {
	case err == nil:
	case errors.As(err, &answer) && !answer.isJSON && answer.Status < http.StatusInternalServerError:
		return true, s.checkEmulator(ctx)
	case answer != nil && answer.Status == http.StatusForbidden && answer.Reason == "forbidden":
		return true, nil // They may not even ask.
	default:
		return false, s.refused(err)
	}
	bucket := zap.String("bucket", s.place.Bucket)
	missing := func(permission string) bool { return !slices.Contains(granted.Permissions, permission) }
	if missing(mayCreate) {
		log.Error("the credentials may not create objects in the bucket: nothing can be stored", bucket, zap.String("permission", mayCreate))
	}
	if missing(mayGet) {
		log.Warn("the credentials may not read the bucket: files will be downloaded every time", bucket, zap.String("permission", mayGet))
	}
	if missing(mayDelete) {
		log.Warn("the credentials may not replace objects in the bucket: files that have expired can't be renewed", bucket, zap.String("permission", mayDelete))
	}
	return !missing(mayUpdate), nil
}

// checkEmulator asks a server that knows nothing of permissions for the bucket itself.
func (s *Store) checkEmulator(ctx context.Context) error {
	var bucket struct {
		Name string `json:"name"`
	}
	err := s.client.json(ctx, call{method: http.MethodGet, url: s.client.url(apiRoot, url.Values{"fields": {"name"}}, s.place.Bucket)}, &bucket)
	if err != nil {
		return s.refused(err)
	}
	return nil
}

// refused says what is wrong with server, credentials or bucket.
func (s *Store) refused(err error) error {
	var answer *apiError
	switch {
	case !errors.As(err, &answer):
		return fmt.Errorf("the server %s does not answer: %w", s.client.endpoint, err)
	case !answer.isJSON:
		return fmt.Errorf("the server %s does not answer as Google Cloud Storage does: %w", s.client.endpoint, err)
	case answer.Status == http.StatusNotFound:
		return fmt.Errorf("there is no bucket %s at %s", s.place.Bucket, s.client.endpoint)
	}
	return fmt.Errorf("the server %s refuses: %w", s.client.endpoint, err)
}

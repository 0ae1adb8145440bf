package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
	"github.com/tulle-go/tulle/pipeline/store/internal/objects"
)

var _ crawl.OpenStore = Open

const (
	amazon = "https://s3.amazonaws.com"
	// checkTries and checkTimeout bound the look at the bucket when it is opened: who starts a crawl waits for it.
	checkTries   = 3
	checkTimeout = 30 * time.Second
	// metadataDial and metadataTimeout bound the search for the role of a machine: most machines have nobody there to answer.
	metadataDial    = time.Second
	metadataTimeout = 5 * time.Second
)

// Open opens s3://bucket/prefix: it is a [crawl.OpenStore], and what it returns is a [*Store]. It looks at the bucket once: a bucket that is not there,
// credentials that are refused and a server that can't be reached are errors now.
func Open(ctx context.Context, uri string, env *crawl.Env) (crawl.Store, error) {
	place, err := objects.ParseAddress(uri, store.CheckName)
	if err != nil {
		return nil, err
	}
	set := &env.Settings.AWS
	endpoint, err := Endpoint(set)
	if err != nil {
		return nil, err
	}
	transport, err := minio.DefaultTransport(true)
	if err != nil {
		return nil, err
	}
	transport.TLSClientConfig.InsecureSkipVerify = set.InsecureTLS
	transport.ResponseHeaderTimeout = 0 // A minute is too little for what servers do by themselves. For everything else there is the Watch.
	s := &Store{patience: workTimeout, transport: transport, place: place, acl: set.ACL, buffers: objects.NewBuffers()}
	if err := s.connect(ctx, endpoint, set, env.Log); err != nil {
		transport.CloseIdleConnections()
		return nil, err
	}
	return s, nil
}

// connect finds credentials and looks at the bucket with them.
func (s *Store) connect(ctx context.Context, endpoint *url.URL, set *crawl.AWSSettings, log *zap.Logger) error {
	creds, err := Credentials(ctx, set)
	if err != nil {
		return err
	}
	s.watch = &objects.Watch{Next: s.transport}
	opts := minio.Options{
		Creds: creds, Secure: endpoint.Scheme == "https", Transport: s.watch,
		Region: Region(set),
	}
	look := opts
	tongue := &tongue{next: s.watch}
	look.MaxRetries, look.Transport = checkTries, tongue
	first, err := minio.NewCore(endpoint.Host, &look)
	if err != nil {
		return err
	}
	if err := s.check(ctx, first, tongue, endpoint, log); err != nil {
		return err
	}
	if opts.Region == "" {
		opts.Region, _ = first.GetBucketLocation(ctx, s.place.Bucket) // Known by now, so nobody is asked again.
	}
	core, err := minio.NewCore(endpoint.Host, &opts)
	if err != nil {
		return err
	}
	opts.Transport = s.transport
	slow, err := minio.NewCore(endpoint.Host, &opts)
	if err != nil {
		return err
	}
	s.core, s.slow = *core, *slow
	return nil
}

// check asks for an object that is never there. The answer says whether server, credentials and bucket are right, whatever the credentials may do besides.
func (s *Store) check(ctx context.Context, core *minio.Core, tongue *tongue, endpoint *url.URL, log *zap.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	r, _, _, err := core.GetObject(ctx, s.place.Bucket, s.place.Join(store.Private+"/probe"), minio.GetObjectOptions{})
	if err == nil {
		return r.Close()
	}
	resp := minio.ToErrorResponse(err)
	switch {
	case tongue.foreign.Load() != 0:
		// The SDK takes a web server's 404 for a missing object.
		return fmt.Errorf("the server %s does not answer as S3 does: status %d, and no XML", endpoint, tongue.foreign.Load())
	case resp.Code == minio.NoSuchBucket:
		return fmt.Errorf("there is no bucket %s at %s", s.place.Bucket, endpoint)
	case resp.Code == minio.NoSuchKey:
		return nil
	case resp.Code == minio.AccessDenied:
		s.blind = true
		log.Warn("the credentials may not list the bucket, or not read it: a file that the server denies counts as missing", zap.String("bucket", s.place.Bucket))
		return nil
	case resp.Code != "" && resp.StatusCode != 0:
		return fmt.Errorf("the server %s refuses: %w", endpoint, explained(err))
	}
	return fmt.Errorf("the server %s does not answer: %w", endpoint, err)
}

// tongue notes the status of the last answer if that was not in XML, as all of S3's are that say no.
type tongue struct {
	next    http.RoundTripper
	foreign atomic.Int64
}

func (t *tongue) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	status := 0
	if err == nil && !strings.Contains(resp.Header.Get("Content-Type"), "xml") {
		status = resp.StatusCode
	}
	t.foreign.Store(int64(status))
	return resp, err
}

// Endpoint is the server that the settings name, or the environment: its scheme and host. Without either it is Amazon's.
func Endpoint(set *crawl.AWSSettings) (*url.URL, error) {
	return parseEndpoint(firstOf(set.Endpoint, os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"), amazon))
}

// Region is the one that the settings name, or the environment; "" is none.
func Region(set *crawl.AWSSettings) string {
	return firstOf(set.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
}

// parseEndpoint reads the address of a server. Without a scheme it is https.
func parseEndpoint(raw string) (*url.URL, error) {
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("aws.endpoint: %w", err)
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.User != nil, strings.Trim(u.Path, "/") != "", u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("aws.endpoint %s is not http://host:port or https://host:port", crawl.Redacted(u))
	}
	u.Path = ""
	return u, nil
}

// Credentials are those of the settings, else those that the environment, a file or the machine gives. Temporary ones are renewed by whoever uses them.
func Credentials(ctx context.Context, set *crawl.AWSSettings) (*credentials.Credentials, error) {
	switch {
	case set.AccessKeyID != "" && set.SecretAccessKey != "":
		return credentials.NewStaticV4(set.AccessKeyID, set.SecretAccessKey, set.SessionToken), nil
	case set.AccessKeyID != "" || set.SecretAccessKey != "" || set.SessionToken != "":
		return nil, errors.New("aws.access_key_id and aws.secret_access_key go together")
	}
	client := &http.Client{Timeout: metadataTimeout, Transport: metadataTransport()}
	creds := credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{Client: client},
	})
	found, err := creds.GetWithContext(&credentials.CredContext{Client: client, Context: ctx})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("credentials: %w", err)
	case found.AccessKeyID == "":
		return nil, errors.New("no credentials are found: set aws.access_key_id and aws.secret_access_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write ~/.aws/credentials")
	}
	return creds, nil
}

// metadataTransport asks machines for their roles, which are never behind a proxy, and token services, which may be. It keeps no connections.
func metadataTransport() *http.Transport {
	return &http.Transport{
		DialContext:       (&net.Dialer{Timeout: metadataDial}).DialContext,
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
		Proxy: func(req *http.Request) (*url.URL, error) {
			if ip := net.ParseIP(req.URL.Hostname()); ip != nil && (ip.IsLinkLocalUnicast() || ip.IsLoopback()) {
				return nil, nil
			}
			return http.ProxyFromEnvironment(req)
		},
	}
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

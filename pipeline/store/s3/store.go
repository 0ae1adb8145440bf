package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
	"github.com/tulle-go/tulle/pipeline/store/internal/objects"
)

const (
	// metadataLimit is S3's, 2 KB, less what servers may count of the names besides.
	metadataLimit = 1900
	// maxParts is how many parts an upload may have.
	maxParts = 10_000
	// maxCopy is the largest object that one request can copy.
	maxCopy = 5 << 30
	// abortTimeout is how long it may take to take an upload back when nobody waits for it any more.
	abortTimeout = 10 * time.Second
)

// Store keeps files in a bucket. Open returns it.
type Store struct {
	core      minio.Core
	transport *http.Transport
	place     objects.Address
	acl       string
	buffers   *objects.Buffers
	// blind: the credentials may not list the bucket. S3 then says "denied" for what is missing.
	blind bool
}

var (
	_ crawl.Store    = (*Store)(nil)
	_ crawl.Toucher  = (*Store)(nil)
	_ store.Recorder = (*Store)(nil)
	_ io.Closer      = (*Store)(nil)
)

// Put implements [crawl.Store].
func (s *Store) Put(ctx context.Context, name string, r io.Reader, meta crawl.Meta) error {
	key, err := s.place.Key(name)
	if err != nil {
		return err
	}
	if err := s.put(ctx, key, r, &objects.Record{Meta: meta}); err != nil {
		return fmt.Errorf("put %s: %w", name, explained(err))
	}
	return nil
}

func (s *Store) put(ctx context.Context, key string, r io.Reader, rec *objects.Record) error {
	up, err := s.buffers.Begin(ctx, r)
	if err != nil {
		return err
	}
	defer up.Close()
	opts := minio.PutObjectOptions{ContentType: rec.ContentType(), UserMetadata: rec.Metadata(metadataLimit)}
	if s.acl != "" {
		opts.UserMetadata[aclHeader] = s.acl
	}
	if up.Last {
		_, err := s.core.PutObject(ctx, s.place.Bucket, key, bytes.NewReader(up.Part), int64(len(up.Part)), sum(up.Part), "", opts)
		return err
	}
	return s.putParts(ctx, key, up, opts)
}

// aclHeader has a canned ACL.
const aclHeader = "x-amz-acl"

// putParts uploads what is larger than a part. Whatever ends it early, the upload is taken back.
func (s *Store) putParts(ctx context.Context, key string, up *objects.Upload, opts minio.PutObjectOptions) error {
	id, err := s.core.NewMultipartUpload(ctx, s.place.Bucket, key, opts)
	if err != nil {
		return err
	}
	parts, err := s.sendParts(ctx, key, id, up)
	if err == nil {
		_, err = s.core.CompleteMultipartUpload(ctx, s.place.Bucket, key, id, parts, minio.PutObjectOptions{})
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
		defer cancel()
		_ = s.core.AbortMultipartUpload(ctx, s.place.Bucket, key, id)
	}
	return err
}

func (s *Store) sendParts(ctx context.Context, key, id string, up *objects.Upload) ([]minio.CompletePart, error) {
	var parts []minio.CompletePart
	for n := 1; ; n++ {
		if n > maxParts {
			return nil, fmt.Errorf("larger than %d parts of %d MiB", maxParts, objects.PartSize>>20)
		}
		part, err := s.core.PutObjectPart(ctx, s.place.Bucket, key, id, n, bytes.NewReader(up.Part), int64(len(up.Part)), minio.PutObjectPartOptions{Md5Base64: sum(up.Part)})
		if err != nil {
			return nil, err
		}
		parts = append(parts, minio.CompletePart{PartNumber: n, ETag: part.ETag})
		if up.Last {
			return parts, nil
		}
		if err := up.Next(); err != nil {
			return nil, err
		}
	}
}

// sum is what the server holds what arrived against (Content-MD5, RFC 1864).
func sum(b []byte) string {
	h := md5.Sum(b)
	return base64.StdEncoding.EncodeToString(h[:])
}

// Stat implements [crawl.Store]. It is one HEAD request.
func (s *Store) Stat(ctx context.Context, name string) (crawl.Info, error) {
	key, err := s.place.Key(name)
	if err != nil {
		return crawl.Info{}, err
	}
	object, err := s.head(ctx, key)
	if err != nil {
		return crawl.Info{}, fmt.Errorf("stat %s: %w", name, err)
	}
	return infoOf(&object), nil
}

func (s *Store) head(ctx context.Context, key string) (minio.ObjectInfo, error) {
	object, err := s.core.StatObject(ctx, s.place.Bucket, key, minio.StatObjectOptions{})
	return object, s.missing(err)
}

// infoOf is what an object's headers say of a file.
func infoOf(object *minio.ObjectInfo) crawl.Info {
	rec := objects.ReadRecord(object.UserMetadata, object.ContentType)
	info := crawl.Info{Size: object.Size, ModTime: rec.Stored, Meta: rec.Meta}
	if info.ModTime.IsZero() {
		info.ModTime = object.LastModified.UTC()
	}
	return info
}

// Open implements [crawl.Store].
func (s *Store) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	key, err := s.place.Key(name)
	if err != nil {
		return nil, err
	}
	r, _, _, err := s.core.GetObject(ctx, s.place.Bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, s.missing(err))
	}
	return r, nil
}

// Touch implements [crawl.Toucher]. The object is copied onto itself, which gives it a new time.
func (s *Store) Touch(ctx context.Context, name string, meta crawl.Meta) error {
	key, err := s.place.Key(name)
	if err != nil {
		return err
	}
	object, err := s.head(ctx, key)
	if err == nil {
		err = s.rewrite(ctx, key, &object, &objects.Record{Meta: meta})
	}
	if err != nil {
		return fmt.Errorf("touch %s: %w", name, err)
	}
	return nil
}

// Record implements [store.Recorder]. The object is copied onto itself; its time stands in its metadata from then on.
func (s *Store) Record(ctx context.Context, name string, known crawl.Info) error {
	key, err := s.place.Key(name)
	if err != nil {
		return err
	}
	object, err := s.head(ctx, key)
	if err != nil {
		return fmt.Errorf("record %s: %w", name, err)
	}
	if now := infoOf(&object); now.Size != known.Size || !now.ModTime.Equal(known.ModTime) {
		return nil
	}
	err = s.rewrite(ctx, key, &object, &objects.Record{Meta: known.Meta, Stored: known.ModTime})
	if err != nil && minio.ToErrorResponse(err).StatusCode != http.StatusPreconditionFailed {
		return fmt.Errorf("record %s: %w", name, err)
	}
	return nil
}

// rewrite gives an object another record, unless somebody has replaced it since. What others have said of it stays.
func (s *Store) rewrite(ctx context.Context, key string, object *minio.ObjectInfo, rec *objects.Record) error {
	metadata := rec.Metadata(metadataLimit)
	for name, value := range object.UserMetadata {
		if !objects.IsRecord(name) {
			metadata[name] = value
		}
	}
	if s.acl != "" {
		metadata[aclHeader] = s.acl
	}
	if class := object.Metadata.Get("X-Amz-Storage-Class"); class != "" {
		metadata["x-amz-storage-class"] = class
	}
	dst := minio.CopyDestOptions{
		Bucket: s.place.Bucket, Object: key, ReplaceMetadata: true, UserMetadata: metadata, ContentType: rec.ContentType(),
		CacheControl:       object.Metadata.Get("Cache-Control"),
		ContentDisposition: object.Metadata.Get("Content-Disposition"),
		ContentEncoding:    object.Metadata.Get("Content-Encoding"),
		ContentLanguage:    object.Metadata.Get("Content-Language"),
		Expires:            object.Expires,
	}
	src := minio.CopySrcOptions{Bucket: s.place.Bucket, Object: key, MatchETag: object.ETag}
	var err error
	if object.Size <= maxCopy {
		_, err = s.core.Client.CopyObject(ctx, dst, src)
	} else {
		_, err = s.core.ComposeObject(ctx, dst, src)
	}
	return explained(err)
}

// Close closes idle connections.
func (s *Store) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// missing is explained, with fs.ErrNotExist for what is not there.
func (s *Store) missing(err error) error {
	if err == nil {
		return nil
	}
	resp := minio.ToErrorResponse(err)
	switch {
	case resp.Code == minio.NoSuchBucket:
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusForbidden && s.blind:
		return fs.ErrNotExist
	}
	return explained(err)
}

// explained adds to what a server said its code and status: some say no more.
func explained(err error) error {
	var resp minio.ErrorResponse
	if !errors.As(err, &resp) || resp.Code == "" {
		return err
	}
	message := strings.TrimRight(resp.Message, ".")
	if message == "" {
		message = "no reason is given"
	}
	return &serverError{text: fmt.Sprintf("%s (%s, status %d)", message, resp.Code, resp.StatusCode), err: err}
}

// serverError is a server's error in a user's words.
type serverError struct {
	text string
	err  error
}

func (e *serverError) Error() string { return e.text }
func (e *serverError) Unwrap() error { return e.err }

package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
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
	// workTimeout is how long the server may work on what it does by itself: putting parts together, and copying as much as one request can copy.
	workTimeout = 20 * time.Minute
)

// Store keeps files in a bucket. Open returns it.
type Store struct {
	core      minio.Core
	watch     *objects.Watch // over core's requests
	slow      minio.Core     // waits for answers as long as its caller does
	patience  time.Duration  // how long that is: workTimeout
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
	opts := minio.PutObjectOptions{ContentType: rec.ContentType(), UserMetadata: rec.Metadata(metadataLimit)}
	if s.acl != "" {
		opts.UserMetadata[aclHeader] = s.acl
	}
	next, done, err := s.parts(ctx, r)
	if err != nil {
		return err
	}
	defer done()
	first, err := next()
	if err != nil {
		return err
	}
	if !first.last {
		return s.putParts(ctx, key, first, next, opts)
	}
	return patiently(ctx, func(ctx context.Context) error {
		_, err := s.core.PutObject(ctx, s.place.Bucket, key, first.data, first.size, first.sum, "", opts)
		return err
	})
}

// aclHeader has a canned ACL.
const aclHeader = "x-amz-acl"

// part is what goes up in one request.
type part struct {
	data io.ReadSeeker // valid until the next part is asked for
	size int64
	sum  string // what the server holds what arrives against (Content-MD5, RFC 1864)
	last bool
}

// parts cuts what r has left. A file of the spool is read in place, twice: first for its sum. What can only be read once goes through a buffer.
func (s *Store) parts(ctx context.Context, r io.Reader) (next func() (part, error), done func(), err error) {
	if whole := objects.InPlace(r); whole != nil {
		size, offset := partSize(whole.Size()), int64(0)
		return func() (part, error) {
			if err := ctx.Err(); err != nil {
				return part{}, err
			}
			p := part{data: io.NewSectionReader(whole, offset, size), size: min(size, whole.Size()-offset)}
			offset += p.size
			p.last = offset == whole.Size()
			sum := md5.New()
			if _, err := io.Copy(sum, p.data); err != nil {
				return part{}, err
			}
			_, err := p.data.Seek(0, io.SeekStart)
			p.sum = base64.StdEncoding.EncodeToString(sum.Sum(nil))
			return p, err
		}, func() {}, nil
	}
	up, err := s.buffers.Begin(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	begun := false
	return func() (part, error) {
		if begun {
			if err := up.Next(); err != nil {
				return part{}, err
			}
		}
		begun = true
		sum := md5.Sum(up.Part)
		return part{data: bytes.NewReader(up.Part), size: int64(len(up.Part)), sum: base64.StdEncoding.EncodeToString(sum[:]), last: up.Last}, nil
	}, up.Close, nil
}

// partSize is objects.PartSize, or what makes no more than maxParts of a file.
func partSize(whole int64) int64 {
	return max(objects.PartSize, (whole+maxParts-1)/maxParts)
}

// patiently runs what the SDK tries again and again: ten times, and each may stand still for minutes.
func patiently(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := objects.Patience(ctx)
	defer cancel()
	err := f(ctx)
	if err != nil && context.Cause(ctx) == objects.ErrStalled {
		return objects.ErrStalled
	}
	return err
}

// putParts uploads what is larger than a part. Whatever ends it early, the upload is taken back.
func (s *Store) putParts(ctx context.Context, key string, first part, next func() (part, error), opts minio.PutObjectOptions) error {
	var id string
	err := patiently(ctx, func(ctx context.Context) (err error) {
		id, err = s.core.NewMultipartUpload(ctx, s.place.Bucket, key, opts)
		return err
	})
	if err != nil {
		return err
	}
	parts, err := s.sendParts(ctx, key, id, first, next)
	if err == nil {
		err = s.complete(ctx, key, id, parts)
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
		defer cancel()
		_ = s.core.AbortMultipartUpload(ctx, s.place.Bucket, key, id)
	}
	return err
}

// complete has the server put the parts together. Some copy them, which takes minutes. If the answer was lost, the object says whether it was done.
func (s *Store) complete(ctx context.Context, key, id string, parts []minio.CompletePart) error {
	working, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	_, err := s.slow.CompleteMultipartUpload(working, s.place.Bucket, key, id, parts, minio.PutObjectOptions{})
	if err == nil || ctx.Err() != nil {
		return err
	}
	if tag := etagOf(parts); tag != "" {
		if object, missing := s.head(ctx, key); missing == nil && object.ETag == tag {
			return nil
		}
	}
	return err
}

// etagOf is the ETag that an object of these parts has at Amazon and at most others: the MD5 of the MD5s, and how many. At those that have other ETags it is "".
func etagOf(parts []minio.CompletePart) string {
	all := md5.New()
	for _, p := range parts {
		sum, err := hex.DecodeString(p.ETag)
		if err != nil || len(sum) != md5.Size {
			return ""
		}
		all.Write(sum)
	}
	return fmt.Sprintf("%x-%d", all.Sum(nil), len(parts))
}

func (s *Store) sendParts(ctx context.Context, key, id string, p part, next func() (part, error)) ([]minio.CompletePart, error) {
	var parts []minio.CompletePart
	for n := 1; ; n++ {
		if n > maxParts {
			return nil, fmt.Errorf("larger than %d parts of %d MiB", maxParts, objects.PartSize>>20)
		}
		err := patiently(ctx, func(ctx context.Context) error {
			sent, err := s.core.PutObjectPart(ctx, s.place.Bucket, key, id, n, p.data, p.size, minio.PutObjectPartOptions{Md5Base64: p.sum})
			parts = append(parts, minio.CompletePart{PartNumber: n, ETag: sent.ETag})
			return err
		})
		if err != nil || p.last {
			return parts, err
		}
		if p, err = next(); err != nil {
			return nil, err
		}
	}
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
	var object minio.ObjectInfo
	err := patiently(ctx, func(ctx context.Context) (err error) {
		object, err = s.core.StatObject(ctx, s.place.Bucket, key, minio.StatObjectOptions{})
		return err
	})
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
	ctx, cancel := objects.Patience(ctx)
	r, _, _, err := s.core.GetObject(ctx, s.place.Bucket, key, minio.GetObjectOptions{})
	if err != nil {
		if context.Cause(ctx) == objects.ErrStalled {
			err = objects.ErrStalled
		}
		cancel()
		return nil, fmt.Errorf("open %s: %w", name, s.missing(err))
	}
	return &opened{r, cancel}, nil
}

// opened ends its context when it is closed.
type opened struct {
	io.ReadCloser
	cancel func()
}

func (o *opened) Close() error {
	defer o.cancel()
	return o.ReadCloser.Close()
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
	ctx, cancel := context.WithTimeout(ctx, s.patience*time.Duration(1+object.Size/maxCopy))
	defer cancel()
	var err error
	if object.Size <= maxCopy {
		_, err = s.slow.Client.CopyObject(ctx, dst, src)
	} else {
		_, err = s.slow.ComposeObject(ctx, dst, src)
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

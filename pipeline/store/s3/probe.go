package s3

import (
	"context"
	"fmt"

	"github.com/minio/minio-go/v7"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

var _ crawl.Prober = (*Store)(nil)

// Probe implements [crawl.Prober]: an upload is begun and taken back. Nothing of it can be seen.
func (s *Store) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	opts := minio.PutObjectOptions{UserMetadata: make(map[string]string)}
	if s.acl != "" {
		opts.UserMetadata[aclHeader] = s.acl
	}
	key := s.place.Join(store.Private + "/probe")
	id, err := s.core.NewMultipartUpload(ctx, s.place.Bucket, key, opts)
	if err != nil {
		return fmt.Errorf("begin an upload: %w", explained(err))
	}
	_ = s.core.AbortMultipartUpload(ctx, s.place.Bucket, key, id) // what is never finished is never seen
	return nil
}

package gcs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

var _ crawl.Prober = (*Store)(nil)

// probeTimeout bounds a probe: who starts a crawl waits for it.
const probeTimeout = 30 * time.Second

// Probe implements [crawl.Prober]: an upload is begun and taken back. Nothing of it can be seen.
func (s *Store) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	resource, err := json.Marshal(object{Name: s.place.Join(store.Private + "/probe")})
	if err != nil {
		return err
	}
	resp, err := s.client.do(ctx, call{
		method: http.MethodPost, url: s.uploadURL("resumable"), body: [][]byte{resource}, header: http.Header{"Content-Type": {jsonType}},
	})
	if err != nil {
		return fmt.Errorf("begin an upload: %w", err)
	}
	_ = resp.Body.Close()
	if session := resp.Header.Get("Location"); session != "" {
		if resp, err := s.client.send(ctx, call{method: http.MethodDelete, url: session}); err == nil {
			_ = resp.Body.Close()
		}
	}
	return nil
}

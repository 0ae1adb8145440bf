package gcs

import (
	"time"

	"github.com/tulle-go/tulle/pipeline/store/internal/objects"
)

// Hurry makes a store without credentials give up sooner what stands still.
func Hurry(s *Store, after time.Duration) {
	s.client.http.Transport.(*objects.Watch).After = after
}

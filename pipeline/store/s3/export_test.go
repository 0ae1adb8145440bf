package s3

import "time"

// Hurry makes a store give up sooner what stands still, and what the server works on.
func Hurry(s *Store, stalled, work time.Duration) {
	s.watch.After, s.patience = stalled, work
}

package cmd

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// TestGivenUp: who gave a page up is told so, also when what was under way had a word for it first.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	s := &session{asks: make(chan *ask), ended: make(chan struct{}), asked: make(map[int]*ask)}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		a := <-s.asks
		a.mu.Lock()
		defer a.mu.Unlock()
		cancel() // fetch has nothing to say before this is unlocked
		a.over, a.err = true, &crawl.IgnoreRequestError{Reason: "nobody waits for it", Err: context.Canceled}
		close(a.done)
	}()
	_, err := s.fetch(ctx, crawl.Get("http://example.com/"))
	require.Equal(t, errInterrupted, err)
}

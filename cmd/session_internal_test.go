package cmd

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// refuses counts how often something is written to it.
type refuses int

func (r *refuses) Write([]byte) (int, error) {
	*r++
	return 0, io.ErrClosedPipe
}

// TestFormsEnd where nothing more can be written.
func TestFormsEnd(t *testing.T) {
	t.Parallel()
	resp := &crawl.Response{
		Request: crawl.Get("http://example.com/"), Header: http.Header{"Content-Type": {"text/html"}}, Selectors: new(crawl.Selectors),
		Body: crawl.BytesBody([]byte(strings.Repeat("<form><input name=a><input name=b></form>", 5))),
	}
	resp.URL = resp.Request.URL
	var out refuses
	s := &shell{page: &page{Response: resp}, out: &out}
	require.ErrorIs(t, s.forms(t.Context(), ""), io.ErrClosedPipe)
	require.EqualValues(t, 1, out)
}

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

package objects

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// StalledAfter is how long a transfer may stand still. What the system has taken from net/http, a few MB, must have left in that time too, and the answer must have come.
const StalledAfter = 2 * time.Minute

// ErrStalled is why a request was given up that got nowhere. It may do better when it is sent again.
var ErrStalled = errors.New("the transfer has stood still for too long")

// maxStalls is how many requests of one task may stand still: one may have had a connection that was dead.
const maxStalls = 2

// patience is what a task has left of it.
type patience struct {
	left atomic.Int32
	end  context.CancelCauseFunc
}

type patienceKey struct{}

// Patience is a context for the requests of one task that is tried again by a library: the second one that stands still ends it, with [ErrStalled] as its cause. Those that
// fail in other ways do not count.
func Patience(ctx context.Context) (context.Context, context.CancelFunc) {
	p := new(patience)
	p.left.Store(maxStalls)
	ctx, p.end = context.WithCancelCause(context.WithValue(ctx, patienceKey{}, p))
	return ctx, func() { p.end(nil) }
}

// stalled counts a request that stood still.
func stalled(ctx context.Context) {
	if p, ok := ctx.Value(patienceKey{}).(*patience); ok && p.left.Add(-1) == 0 {
		p.end(ErrStalled)
	}
}

// Watch gives up requests that get nowhere: for the time of After, none of the body was taken by the connection, and nothing of the answer came. net/http waits for
// ever for a server that has stopped reading. A Transport's ResponseHeaderTimeout is of no use: it is over when a server is slow to read, too.
type Watch struct {
	Next http.RoundTripper
	// After is how long a request may stand still. 0 is StalledAfter.
	After time.Duration
}

// RoundTrip implements http.RoundTripper.
func (w *Watch) RoundTrip(req *http.Request) (*http.Response, error) {
	t := &transfer{after: cmp.Or(w.After, StalledAfter)}
	t.ctx, t.end = context.WithCancelCause(req.Context())
	t.timer = time.AfterFunc(t.after, func() { t.end(ErrStalled) })
	out := req.WithContext(t.ctx)
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = &sent{req.Body, t}
		if again := req.GetBody; again != nil {
			out.GetBody = func() (io.ReadCloser, error) {
				body, err := again()
				if err != nil {
					return nil, err
				}
				return &sent{body, t}, nil
			}
		}
	}
	resp, err := w.Next.RoundTrip(out)
	t.answered.Store(true)
	t.timer.Stop()
	if err != nil {
		if err = t.cause(err); err == ErrStalled {
			stalled(req.Context())
		}
		t.end(nil)
		return nil, err
	}
	resp.Body = &received{resp.Body, t}
	return resp, nil
}

// transfer is one request that is watched.
type transfer struct {
	ctx      context.Context
	end      context.CancelCauseFunc
	after    time.Duration
	timer    *time.Timer // ends ctx
	answered atomic.Bool // from then on the answer's reader has the timer
}

// cause is err, or ErrStalled if that was behind it.
func (t *transfer) cause(err error) error {
	if errors.Is(context.Cause(t.ctx), ErrStalled) {
		return ErrStalled
	}
	return err
}

// sent is a body on its way out. Who reads it has sent what was read before.
type sent struct {
	io.ReadCloser
	t *transfer
}

func (s *sent) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if !s.t.answered.Load() {
		s.t.timer.Reset(s.t.after)
	}
	return n, err
}

// received is the body of an answer. The time between two reads is its reader's own.
type received struct {
	io.ReadCloser
	t *transfer
}

func (r *received) Read(p []byte) (int, error) {
	r.t.timer.Reset(r.t.after)
	n, err := r.ReadCloser.Read(p)
	r.t.timer.Stop()
	if err != nil && err != io.EOF {
		err = r.t.cause(err)
	}
	return n, err
}

func (r *received) Close() error {
	err := r.ReadCloser.Close()
	r.t.timer.Stop()
	r.t.end(nil)
	return err
}

package objects_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/pipeline/store/internal/objects"
)

// sluggish is a server that reads a request's body in pieces, with a wait before each, then waits, answers, and sends its answer likewise.
type sluggish struct {
	readWait, answerWait, sendWait time.Duration
	pieces                         int
}

func (s sluggish) serve(c net.Conn) {
	defer c.Close()
	req, err := http.ReadRequest(bufio.NewReaderSize(c, 1<<10))
	if err != nil {
		return
	}
	const piece = 16 << 10
	for err == nil {
		time.Sleep(s.readWait)
		_, err = io.CopyN(io.Discard, req.Body, piece)
	}
	if err != io.EOF {
		return
	}
	time.Sleep(s.answerWait)
	_, err = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", s.pieces*piece)
	for range s.pieces {
		if err != nil {
			return
		}
		time.Sleep(s.sendWait)
		_, err = c.Write(make([]byte, piece))
	}
}

func TestTransfersThatStandStillAreGivenUp(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		server  sluggish
		reader  time.Duration // what the reader of the answer does between two reads
		stalled bool
	}{
		"at once":                          {},
		"slow, all the time":               {server: sluggish{readWait: 15 * time.Second, answerWait: time.Minute, sendWait: 119 * time.Second, pieces: 9}},
		"it reads nothing":                 {server: sluggish{readWait: 10 * time.Hour}, stalled: true},
		"it does not answer":               {server: sluggish{answerWait: 10 * time.Hour}, stalled: true},
		"it does not send its answer":      {server: sluggish{sendWait: 10 * time.Hour, pieces: 2}, stalled: true},
		"the reader of the answer is slow": {server: sluggish{pieces: 9}, reader: time.Hour},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var servers sync.WaitGroup
				defer servers.Wait()
				transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
					near, far := net.Pipe()
					servers.Go(func() { test.server.serve(far) })
					return near, nil
				}}
				defer transport.CloseIdleConnections()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://h/", bytes.NewReader(make([]byte, 1<<20)))
				require.NoError(t, err)
				resp, err := (&objects.Watch{Next: transport}).RoundTrip(req)
				if err == nil {
					b := make([]byte, 20<<10)
					for err == nil {
						time.Sleep(test.reader)
						_, err = resp.Body.Read(b)
					}
					if err == io.EOF {
						err = nil
					}
					require.NoError(t, resp.Body.Close())
				}
				if test.stalled {
					require.ErrorIs(t, err, objects.ErrStalled)
				} else {
					require.NoError(t, err)
				}
			})
		})
	}
}

// Who gives up himself is told so, and not that something stalled.
func TestWatchedRequestsCanBeGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var servers sync.WaitGroup
		defer servers.Wait()
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			servers.Go(func() { sluggish{readWait: time.Hour}.serve(far) })
			return near, nil
		}}
		defer transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://h/", bytes.NewReader(make([]byte, 1<<20)))
		require.NoError(t, err)
		_, err = (&objects.Watch{Next: transport}).RoundTrip(req)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

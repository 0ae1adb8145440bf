package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serveSite serves a site until the test ends.
func serveSite(t *testing.T, s *site) (*server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &server{}
	srv.now.Store(open(s))
	done := make(chan error, 1)
	go func() { done <- srv.serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		require.NoError(t, <-done)
	})
	return srv, l.Addr().String()
}

// countingClient counts the connections that it makes.
func countingClient(t *testing.T) (*http.Client, *atomic.Int64) {
	t.Helper()
	var dials atomic.Int64
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}, &dials
}

func body(t *testing.T, client *http.Client, address string) (status int, contentType, content string) {
	t.Helper()
	resp, err := client.Get(address)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, int64(len(b)), resp.ContentLength)
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(b)
}

func TestServerKeepsConnectionsAndCounts(t *testing.T) {
	t.Parallel()
	shared := []byte("shared")
	srv, addr := serveSite(t, &site{
		pages: 70, // more than a word of bits
		find:  func(_, path []byte) int { return pageOf(path, 70) },
		show: func(page int, r *reply) {
			switch page {
			case 0:
				r.body, r.marked = shared, true
			case 1:
				r.body, r.times, r.contentType = shared, 3, "text/plain"
			default:
				r.room = append(r.room, "page made for the occasion"...)
				r.body = r.room
			}
		},
	})
	client, dials := countingClient(t)
	for _, tt := range []struct {
		path, contentType, want string
		status                  int
	}{
		{"/p/0", "text/html; charset=utf-8", "shared", 200},
		{"/p/1", "text/plain", "sharedsharedshared", 200},
		{"/p/69", "text/html; charset=utf-8", "page made for the occasion", 200},
		{"/p/0", "text/html; charset=utf-8", "shared", 200},
		{"/robots.txt", "text/plain", "not found", 404},
		{"/p/70", "text/plain", "not found", 404},
		{"/p/", "text/plain", "not found", 404},
		{"/p/-1", "text/plain", "not found", 404},
		{"/p/9999999999999999999", "text/plain", "not found", 404},
	} {
		status, contentType, got := body(t, client, "http://"+addr+tt.path)
		require.Equal(t, tt.status, status, tt.path)
		require.Equal(t, tt.contentType, contentType, tt.path)
		require.Equal(t, tt.want, got, tt.path)
	}
	require.Equal(t, int64(1), dials.Load(), "one connection for all")
	r := srv.now.Load().report()
	require.Equal(t, int64(9), r.Requests)
	require.Equal(t, 3, r.Pages)
	require.Equal(t, int64(1), r.Twice)
	require.Equal(t, 67, r.Missed)
	require.Positive(t, r.First)
	require.GreaterOrEqual(t, r.Marked, r.First)
}

func TestServerFindsByHost(t *testing.T) {
	t.Parallel()
	c, err := caseNamed("slow")
	require.NoError(t, err)
	s := c.site(20)
	require.Equal(t, 22, s.pages)
	require.Equal(t, 19, s.find([]byte("a.localhost"), []byte("/p/19")))
	require.Equal(t, -1, s.find([]byte("a.localhost"), []byte("/p/20")))
	require.Equal(t, 21, s.find([]byte("b.localhost:80"), []byte("/p/1")))
	require.Equal(t, -1, s.find([]byte("b.localhost"), []byte("/p/2")))
	var fast, slow reply
	s.show(19, &fast)
	s.show(20, &slow)
	require.True(t, fast.marked)
	require.Zero(t, fast.wait)
	require.False(t, slow.marked)
	require.Equal(t, slowAnswer, slow.wait)

	var urls []string
	for u := range slowURLs(job{N: 20, Addr: "127.0.0.1:1"}) {
		urls = append(urls, u)
	}
	require.Len(t, urls, 22)
	require.Equal(t, "http://b.localhost/p/0", urls[10])
	require.Equal(t, "http://a.localhost/p/10", urls[11])
}

func TestServerHoldsUntilTheNextSiteOpens(t *testing.T) {
	t.Parallel()
	holding := make(chan struct{})
	srv, addr := serveSite(t, &site{
		pages: 1,
		find:  func(_, path []byte) int { return pageOf(path, 1) },
		show:  func(_ int, r *reply) { r.held = true; close(holding) },
	})
	failed := make(chan error, 1)
	go func() {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			failed <- err
			return
		}
		defer conn.Close()
		if _, err = io.WriteString(conn, "GET /p/0 HTTP/1.1\r\nHost: x\r\n\r\n"); err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
		failed <- err
	}()
	<-holding
	require.Equal(t, 1, srv.now.Load().report().Pages)
	close(srv.now.Swap(open(&site{})).over)
	require.ErrorIs(t, <-failed, io.EOF, "hung up without an answer")
}

func TestServerClosesWhatItDoesNotServe(t *testing.T) {
	t.Parallel()
	_, addr := serveSite(t, &site{
		pages: 1,
		find:  func(_, path []byte) int { return pageOf(path, 1) },
		show:  func(_ int, r *reply) { r.body = []byte("ok") },
	})
	for name, tt := range map[string]struct{ send, want string }{
		"close":     {"GET /p/0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK"},
		"HTTP/1.0":  {"GET /p/0 HTTP/1.0\r\n\r\n", ""},
		"POST":      {"POST /p/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", ""},
		"nonsense":  {"\x16\x03\x01\n", ""},
		"long line": {"GET /" + strings.Repeat("p", 5000) + " HTTP/1.1\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", addr)
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
			_, err = io.WriteString(conn, tt.send)
			require.NoError(t, err)
			line, _ := bufio.NewReader(conn).ReadString('\n') // a reset is a close too
			require.Equal(t, tt.want, strings.TrimSpace(line))
			_, err = io.Copy(io.Discard, conn)
			var timeout net.Error
			if err != nil {
				require.ErrorAs(t, err, &timeout)
				require.False(t, timeout.Timeout(), "the connection is still open")
			}
		})
	}
}

func TestServerTakesOrders(t *testing.T) {
	t.Parallel()
	in, orders := io.Pipe()
	replies, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- serveMain(in, out) }()
	dec, enc := json.NewDecoder(replies), json.NewEncoder(orders)
	var g greeting
	require.NoError(t, dec.Decode(&g))

	var r report
	require.NoError(t, enc.Encode(order{Case: "flat", N: 10}))
	require.NoError(t, dec.Decode(&r))
	require.Equal(t, 10, r.Missed)
	client, _ := countingClient(t)
	status, _, got := body(t, client, "http://"+g.Addr+"/p/9")
	require.Equal(t, 200, status)
	require.Equal(t, "ok", got)
	require.NoError(t, enc.Encode(order{}))
	require.NoError(t, dec.Decode(&r))
	require.Equal(t, 9, r.Missed)
	require.NoError(t, enc.Encode(order{Case: "flat", N: 3}))
	require.NoError(t, dec.Decode(&r))
	require.Equal(t, 3, r.Missed, "a new site has no visits")
	require.Zero(t, r.Requests)

	require.NoError(t, orders.Close())
	require.NoError(t, <-done)
	require.ErrorContains(t, serveMain(strings.NewReader(`{"case": "none"}`), new(bytes.Buffer)), "unknown case")
}

//go:build unix

package downloader_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
	"go.uber.org/zap"
)

// cannedSite answers without looking, so that what is measured is nearly all the client.
func cannedSite(b *testing.B, size int) *url.URL {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	b.Cleanup(func() { l.Close() })
	answer := []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nDate: Mon, 05 Oct 2026 10:00:00 GMT\r\nServer: canned\r\nContent-Length: %d\r\n\r\n%s",
		size, strings.Repeat("x", size)))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					line, err := r.ReadSlice('\n')
					if err != nil {
						return
					}
					if len(line) == 2 {
						if _, err := c.Write(answer); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	u, err := url.Parse("http://" + l.Addr().String() + "/page?id=1")
	require.NoError(b, err)
	return u
}

var benchHeader = http.Header{
	"User-Agent":      {crawl.DefaultUserAgent},
	"Accept":          {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
	"Accept-Language": {"en"},
}

// inParallel runs f on 32 goroutines and reports the process's CPU time, which on a busy machine says more than the clock.
func inParallel(b *testing.B, f func() error) {
	b.SetParallelism(max(1, 32/runtime.GOMAXPROCS(0)))
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := f(); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var sizes = []int{2, 5 << 10, 13 << 10, 100 << 10}

func BenchmarkFetch(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			u := cannedSite(b, size)
			settings, err := crawl.Settings{ConcurrentRequests: 32, ConcurrentPerHost: 32}.Effective(nil)
			require.NoError(b, err)
			d, err := downloader.New(&crawl.Env{Settings: settings, Log: zap.NewNop(), Spool: &crawl.Spool{}})
			require.NoError(b, err)
			defer d.Close()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			inParallel(b, func() error {
				resp, err := d.Fetch(ctx, &crawl.Request{URL: u, Header: benchHeader})
				if err != nil {
					return err
				}
				return resp.Close()
			})
		})
	}
}

// BenchmarkBareClient is what a worker pool without a framework does.
func BenchmarkBareClient(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			u := cannedSite(b, size).String()
			client := &http.Client{Transport: &http.Transport{MaxIdleConns: 100, MaxIdleConnsPerHost: 100}}
			defer client.CloseIdleConnections()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			inParallel(b, func() error {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
				if err != nil {
					return err
				}
				req.Header = benchHeader
				resp, err := client.Do(req)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				_, err = io.ReadAll(resp.Body)
				return err
			})
		})
	}
}

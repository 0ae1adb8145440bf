package downloader_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
	"go.uber.org/zap"
)

type dial = func(ctx context.Context, network, addr string) (net.Conn, error)

// pipe connects once, to the other end of near.
func pipe(near net.Conn) dial {
	return func(context.Context, string, string) (net.Conn, error) { return near, nil }
}

// nowhere never connects.
func nowhere(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A slow site is all hosts of a network without ports. A request for /?wait=1s&drip=2s&n=3 gets its headers after a second and then three bytes, two seconds apart.
// It is over when its connections are.
func slowSite() (connect dial, over *sync.WaitGroup) {
	over = new(sync.WaitGroup)
	return func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		over.Go(func() {
			defer far.Close()
			r := bufio.NewReader(far)
			for {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				var n int
				q := req.URL.Query()
				wait, _ := time.ParseDuration(q.Get("wait"))
				drip, _ := time.ParseDuration(q.Get("drip"))
				_, _ = fmt.Sscan(q.Get("n"), &n)
				time.Sleep(wait)
				_, err = fmt.Fprintf(far, "HTTP/1.1 200 OK\r\nEtag: %q\r\nContent-Length: %d\r\n\r\n", req.URL.Path, n)
				for ; err == nil && n > 0; n-- {
					time.Sleep(drip)
					_, err = io.WriteString(far, "x")
				}
				if err != nil {
					return
				}
			}
		})
		return near, nil
	}, over
}

// inBubble runs f with a downloader whose time and network are its own.
func inBubble(t *testing.T, change func(*crawl.Settings), f func(t *testing.T, d *downloader.Downloader)) {
	synctest.Test(t, func(t *testing.T) {
		connect, over := slowSite()
		defer over.Wait()
		s := crawl.Settings{Download: crawl.DownloadSettings{Dial: connect, MinSpeed: -1}}
		if change != nil {
			change(&s)
		}
		settings, err := s.Effective(nil)
		require.NoError(t, err)
		d, err := downloader.New(&crawl.Env{Settings: settings, Log: zap.NewNop(), Spool: &crawl.Spool{}})
		require.NoError(t, err)
		defer d.Close()
		f(t, d)
	})
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		url     string
		setting time.Duration // Download.Timeout
		knob    time.Duration // Knobs.Timeout
		takes   time.Duration
		fails   bool
	}{
		"by default":             {url: "http://h/?wait=10h", takes: 180 * time.Second, fails: true},
		"just in time":           {url: "http://h/?wait=179s", takes: 179 * time.Second},
		"headers count":          {url: "http://h/?wait=100s&drip=60s&n=2", takes: 180 * time.Second, fails: true},
		"a drip":                 {url: "http://h/?drip=1s&n=100000", takes: 180 * time.Second, fails: true},
		"a drip that ends":       {url: "http://h/?drip=1s&n=179", takes: 179 * time.Second},
		"by setting":             {url: "http://h/?wait=10h", setting: time.Second, takes: time.Second, fails: true},
		"none":                   {url: "http://h/?wait=10h&drip=1h&n=5", setting: -1, takes: 15 * time.Hour},
		"of the request":         {url: "http://h/?wait=10h", knob: time.Second, takes: time.Second, fails: true},
		"of the request, longer": {url: "http://h/?drip=1m&n=10", setting: time.Second, knob: time.Hour, takes: 10 * time.Minute},
		"none for the request":   {url: "http://h/?drip=1h&n=5", setting: time.Second, knob: -1, takes: 5 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(s *crawl.Settings) { s.Download.Timeout = test.setting }, func(t *testing.T, d *downloader.Downloader) {
				// The second request is on the first one's lane, if that could be kept.
				for range 2 {
					start := time.Now()
					resp, err := d.Fetch(t.Context(), &crawl.Request{URL: mustParse(t, test.url), Knobs: &crawl.Knobs{Timeout: test.knob}})
					require.Equal(t, test.takes, time.Since(start))
					if test.fails {
						requireKind(t, crawl.KindTimeout, err)
						continue
					}
					require.NoError(t, err)
					require.Equal(t, test.takes, resp.Timing.Total)
				}
			})
		})
	}
}

func TestTiming(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, d *downloader.Downloader) {
		start := time.Now()
		resp, err := d.Fetch(t.Context(), crawl.Get("http://h/?wait=2s&drip=1s&n=3"))
		require.NoError(t, err)
		require.Equal(t, crawl.Timing{Start: start, Latency: 2 * time.Second, Total: 5 * time.Second}, resp.Timing)
	})
}

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *crawl.Settings) { s.Download.Timeout, s.Download.Dial = -1, nowhere }, func(t *testing.T, d *downloader.Downloader) {
		start := time.Now()
		_, err := d.Fetch(t.Context(), crawl.Get("http://h/"))
		requireKind(t, crawl.KindTimeout, err)
		require.Equal(t, 30*time.Second, time.Since(start))
	})
}

func TestHandshakeTimeout(t *testing.T) {
	t.Parallel()
	mute := func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, far) }()
		return near, nil
	}
	inBubble(t, func(s *crawl.Settings) { s.Download.Timeout, s.Download.Dial = -1, mute }, func(t *testing.T, d *downloader.Downloader) {
		start := time.Now()
		_, err := d.Fetch(t.Context(), crawl.Get("https://h/"))
		requireKind(t, crawl.KindTimeout, err)
		require.Equal(t, 30*time.Second, time.Since(start))
	})
}

func TestCallerGivesUp(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"headers": "http://h/?wait=10s", "body": "http://h/?drip=1s&n=60"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(t *testing.T, d *downloader.Downloader) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(5*time.Second, cancel)
				_, err := d.Fetch(ctx, crawl.Get(url))
				require.ErrorIs(t, err, context.Canceled)
				requireNoKind(t, err)
				_, err = d.Fetch(ctx, crawl.Get(url))
				require.ErrorIs(t, err, context.Canceled, "at once")

				ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				_, err = d.Fetch(ctx, crawl.Get(url))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				requireNoKind(t, err)

				_, err = d.Fetch(t.Context(), crawl.Get(url))
				require.NoError(t, err, "another caller's request goes on")
			})
		})
	}
}

func requireNoKind(t *testing.T, err error) {
	t.Helper()
	var de *crawl.DownloadError
	require.NotErrorAs(t, err, &de)
}

// What ends one request must never end another, whoever they belong to and however they follow each other.
func TestRequestsEndAlone(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, d *downloader.Downloader) {
		shared, end := context.WithCancel(t.Context())
		defer end()
		const slow, fast = "http://h/?wait=100ms", "http://h/?wait=3ms"
		var wg sync.WaitGroup
		for worker := range 24 {
			wg.Go(func() {
				for i := range 40 {
					var err error
					switch (worker + i) % 6 {
					case 0: // in time
						_, err = d.Fetch(shared, crawl.Get(fast))
						err = fits(err, nil)
					case 1: // a tight timeout, kept
						_, err = d.Fetch(shared, &crawl.Request{URL: mustParse(t, fast), Knobs: &crawl.Knobs{Timeout: 4 * time.Millisecond}})
						err = fits(err, nil)
					case 2: // a timeout, over
						_, err = d.Fetch(shared, &crawl.Request{URL: mustParse(t, slow), Knobs: &crawl.Knobs{Timeout: time.Duration(1+i) * time.Millisecond}})
						var de *crawl.DownloadError
						if !errors.As(err, &de) || de.Kind != crawl.KindTimeout {
							t.Errorf("want a timeout, got %v", err)
						}
						err = nil
					case 3: // a caller of its own, who gives up
						ctx, cancel := context.WithTimeout(shared, time.Duration(1+i)*time.Millisecond)
						_, err = d.Fetch(ctx, crawl.Get(slow))
						cancel()
						err = fits(err, context.DeadlineExceeded)
					case 4: // a caller of its own, who gives up when it is done
						ctx, cancel := context.WithCancel(shared)
						_, err = d.Fetch(ctx, crawl.Get(fast))
						cancel()
						err = fits(err, nil)
					case 5: // no timeout
						_, err = d.Fetch(shared, &crawl.Request{URL: mustParse(t, slow), Knobs: &crawl.Knobs{Timeout: -1}})
						err = fits(err, nil)
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	})
}

// A foreign context is followed by a goroutine of package context, which must end.
type foreign struct {
	context.Context
	done chan struct{}
}

func (f foreign) Done() <-chan struct{} { return f.done }

func TestContextsAreLetGo(t *testing.T) {
	t.Parallel()
	// The bubble fails if a goroutine is left.
	inBubble(t, nil, func(t *testing.T, d *downloader.Downloader) {
		for range 3 {
			ctx := foreign{context.Background(), make(chan struct{})}
			for range 2 {
				_, err := d.Fetch(ctx, crawl.Get("http://h/"))
				require.NoError(t, err)
			}
		}
	})
}

func fits(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("want %v, got %v", want, err)
}

func TestCloseEndsWhatIsInFlight(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"headers": "http://h/?wait=10h", "body": "http://h/?drip=1h&n=9"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(s *crawl.Settings) { s.Download.Timeout = -1 }, func(t *testing.T, d *downloader.Downloader) {
				failed := make(chan error)
				start := time.Now()
				go func() {
					_, err := d.Fetch(t.Context(), crawl.Get(url))
					failed <- err
				}()
				synctest.Wait()
				require.NoError(t, d.Close())
				require.Error(t, <-failed)
				require.Zero(t, time.Since(start))
				_, err := d.Fetch(t.Context(), crawl.Get(url))
				require.ErrorIs(t, err, crawl.ErrStopping)
			})
		})
	}
}

func TestCloseEndsAConnect(t *testing.T) {
	t.Parallel()
	inBubble(t, func(s *crawl.Settings) { s.Download.Dial = nowhere }, func(t *testing.T, d *downloader.Downloader) {
		failed := make(chan error)
		start := time.Now()
		go func() {
			_, err := d.Fetch(t.Context(), crawl.Get("http://h/"))
			failed <- err
		}()
		synctest.Wait()
		require.NoError(t, d.Close())
		requireKind(t, crawl.KindConnection, <-failed)
		require.Zero(t, time.Since(start))
	})
}

//go:build unix

package browser_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader/browser"
	"github.com/tulle-go/tulle/engine/crawltest"
)

// processes are those whose arguments have a text in them.
func processes(t *testing.T, text string) (pids []int, arguments []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(b, []byte(text)) {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(file, "/")[2])
		require.NoError(t, err)
		pids, arguments = append(pids, pid), append(arguments, string(b))
	}
	return pids, arguments
}

// TestItsProcess kills the browser in the middle of a page: the page fails, to be retried, and the next one has another browser. In the end nothing is left of either.
func TestItsProcess(t *testing.T) {
	t.Parallel()
	chromium(t)
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("no /proc to look for processes in")
	}
	s := serve(t)
	s.page("/late", late)
	d, logs := s.open(t, func(set *crawl.Settings) { set.Browser.Args = []string{"--mark-of=" + t.Name()} })
	fetch(t, d, get("http://shop.example/late", crawl.Render{}))
	pids, arguments := processes(t, "--mark-of="+t.Name())
	require.NotEmpty(t, pids)
	group, err := syscall.Getpgid(pids[0])
	require.NoError(t, err)
	require.NotEqual(t, syscall.Getpgrp(), group, "Ctrl-C is for all of a group, and what is in flight is to be finished")
	_, folder, ok := strings.Cut(arguments[0], "--user-data-dir=")
	require.True(t, ok)
	folder, _, _ = strings.Cut(folder, "\x00")
	require.DirExists(t, folder)
	failed := make(chan error, 1)
	go func() {
		_, err := d.Fetch(t.Context(), get("http://shop.example/late", crawl.Render{WaitFor: "b.never"}))
		failed <- err
	}()
	require.Eventually(t, func() bool { return len(s.requests()) > 1 }, 10*time.Second, 5*time.Millisecond)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	var lost *crawl.DownloadError
	require.ErrorAs(t, <-failed, &lost)
	require.Equal(t, crawl.KindBrowser, lost.Kind, "%v", lost)
	require.ErrorContains(t, lost, "the browser has ended")
	fetch(t, d, get("http://shop.example/late", crawl.Render{}))
	require.Equal(t, 1, logs.FilterMessageSnippet("has ended by itself").Len())
	require.NoError(t, d.Close())
	for _, text := range []string{"--mark-of=" + t.Name(), folder} {
		left, _ := processes(t, text)
		require.Empty(t, left)
	}
	require.NoDirExists(t, folder)
	_, err = d.Fetch(t.Context(), get("http://shop.example/late", crawl.Render{}))
	require.ErrorIs(t, err, crawl.ErrStopping)
}

// TestRendererKilled kills the process of one page: that is the browser's fault and not the host's.
func TestRendererKilled(t *testing.T) {
	t.Parallel()
	chromium(t)
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("no /proc to look for processes in")
	}
	s := serve(t)
	s.page("/late", late)
	d, _ := s.open(t, func(set *crawl.Settings) { set.Browser.Args = []string{"--mark-of=" + t.Name()} })
	fetch(t, d, get("http://shop.example/late", crawl.Render{}))
	pids, _ := processes(t, "--mark-of="+t.Name())
	require.NotEmpty(t, pids)
	group, err := syscall.Getpgid(pids[0])
	require.NoError(t, err)
	failed := make(chan error, 1)
	go func() {
		_, err := d.Fetch(t.Context(), get("http://shop.example/late", crawl.Render{WaitFor: "b.never"}))
		failed <- err
	}()
	require.Eventually(t, func() bool { return len(s.requests()) > 1 }, 10*time.Second, 5*time.Millisecond)
	pids, _ = processes(t, "--type=renderer")
	for _, pid := range pids {
		if of, err := syscall.Getpgid(pid); err == nil && of == group {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	var lost *crawl.DownloadError
	require.ErrorAs(t, <-failed, &lost)
	require.Equal(t, crawl.KindBrowser, lost.Kind, "%v", lost)
	require.ErrorContains(t, lost, "has crashed")
	fetch(t, d, get("http://shop.example/late", crawl.Render{}))
}

// TestFrozen stops the browser in its tracks: what runs out of time is its fault and not the host's, and the next page has another browser.
func TestFrozen(t *testing.T) {
	t.Parallel()
	chromium(t)
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("no /proc to look for processes in")
	}
	s := serve(t)
	s.page("/late", late)
	s.HandleFunc("/never", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	d, logs := s.open(t, func(set *crawl.Settings) { set.Browser.Args = []string{"--mark-of=" + t.Name()} })
	fetch(t, d, get("http://shop.example/late", crawl.Render{}))
	soon := func(path string) *crawl.Request {
		req := get("http://shop.example"+path, crawl.Render{})
		req.Knobs.Timeout = time.Second
		return req
	}
	fails(t, d, soon("/never"), crawl.KindTimeout, "wait for the document") // the host's fault: the browser answers
	pids, _ := processes(t, "--mark-of="+t.Name())
	require.NotEmpty(t, pids)
	for _, pid := range pids {
		require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	}
	fails(t, d, soon("/late"), crawl.KindBrowser, "the browser does not answer")
	fetch(t, d, get("http://shop.example/late", crawl.Render{}))
	require.Equal(t, 1, logs.FilterMessageSnippet("another one started").Len())
}

// TestFrozenInACrawl freezes the browser while it renders a page of a crawl. The page is asked for again, and its host is not left alone, though one failure of its own were enough.
func TestFrozenInACrawl(t *testing.T) {
	t.Parallel()
	chromium(t)
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("no /proc to look for processes in")
	}
	var asked atomic.Int32
	handler := http.NewServeMux()
	handler.HandleFunc("/robots.txt", http.NotFound)
	handler.HandleFunc("/p", func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			pids, _ := processes(t, "--mark-of="+t.Name())
			for _, pid := range pids {
				_ = syscall.Kill(pid, syscall.SIGSTOP)
			}
			<-r.Context().Done()
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<p>here")
	})
	set := crawl.Settings{Parts: crawl.Parts{Renderer: browser.Open}}
	set.Browser.Args = []string{"--mark-of=" + t.Name()}
	set.Breaker.Failures, set.Retry.Times = 1, 1
	var texts []string
	res := crawltest.Run(t, &crawl.Spider{
		Name: "s",
		Start: func(_ context.Context, out *crawl.Out) error {
			req := get("https://shop.example/p", crawl.Render{})
			req.Knobs.Timeout = 3 * time.Second
			out.Request(req)
			return nil
		},
		Parse: func(_ context.Context, r *crawl.Response, _ *crawl.Out) error {
			texts = append(texts, r.Text("p"))
			return nil
		},
	}, set, crawltest.Handler(handler))
	require.Equal(t, []string{"here"}, texts)
	require.EqualValues(t, 2, asked.Load())
	require.EqualValues(t, 1, res.Stats.Int("retry/reason_count/browser"))
	require.Zero(t, res.Stats.Int("breaker/open_count"))
}

// TestKilled kills the program that renders: its browser ends with it, and what it leaves behind is removed by the next one.
func TestKilled(t *testing.T) {
	t.Parallel()
	chromium(t)
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("no /proc to look for processes in")
	}
	s := serve(t)
	s.page("/late", late)
	self, err := os.Executable()
	require.NoError(t, err)
	folder := t.TempDir()
	var before []string
	for i := range 2 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childSite+"="+s.addr, "TMPDIR="+folder)
		require.NoError(t, cmd.Start())
		require.Eventually(t, func() bool { return len(s.requests()) > i }, 20*time.Second, 5*time.Millisecond)
		left, _ := processes(t, folder)
		require.NotEmpty(t, left)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		require.Eventually(t, func() bool {
			left, _ = processes(t, folder)
			return len(left) == 0
		}, 10*time.Second, 20*time.Millisecond)
		profiles, err := filepath.Glob(filepath.Join(folder, "chromedp-runner*"))
		require.NoError(t, err)
		require.Len(t, profiles, 1)
		require.NotEqual(t, before, profiles)
		before = profiles
	}
}

// TestProxyIsNobodyElses asks the browser's way out without a page's pass.
func TestProxyIsNobodyElses(t *testing.T) {
	t.Parallel()
	chromium(t)
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		t.Skip("no /proc to look for the proxy's address in")
	}
	s := serve(t)
	s.page("/late", late)
	d, _ := s.open(t, func(set *crawl.Settings) { set.Browser.Args = []string{"--mark-of=" + t.Name()} })
	fetch(t, d, get("http://shop.example/late", crawl.Render{}))
	_, arguments := processes(t, "--mark-of="+t.Name())
	_, proxy, _ := strings.Cut(arguments[0], "--proxy-server=")
	proxy, _, _ = strings.Cut(proxy, "\x00")
	through, err := url.Parse(proxy)
	require.NoError(t, err)
	for _, user := range []*url.Userinfo{nil, url.UserPassword("a", "b")} {
		through.User = user
		client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(through), DisableKeepAlives: true}}
		resp, err := client.Get("http://shop.example/late")
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusProxyAuthRequired, resp.StatusCode)
	}
	require.Len(t, s.requests(), 1)
}

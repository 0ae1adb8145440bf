package browser

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// TestHungAtStart has a program that neither starts nor ends: it is the browser's fault and not the host's, whichever time is over first, and the next request starts another one.
func TestHungAtStart(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no shell script is a program there")
	}
	program := filepath.Join(t.TempDir(), "chromium")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\nexec sleep 1000\n"), 0o700))
	var set crawl.Settings
	set.Browser.Path = program
	effective, err := set.Effective(nil)
	require.NoError(t, err)
	opened, err := Open(&crawl.Env{Settings: effective, Stats: crawl.NewStats(), Log: zap.NewNop(), Spool: new(crawl.Spool)})
	require.NoError(t, err)
	r := opened.(*renderer)
	for _, c := range []struct {
		starts, timeout time.Duration
		says            string
	}{
		{100 * time.Millisecond, time.Minute, "has not started within 100ms"},
		{time.Second, 100 * time.Millisecond, "start the browser: not done within 100ms"},
	} {
		r.startsWithin = c.starts
		req := crawl.Get("http://shop.example/")
		req.Knobs = &crawl.Knobs{Timeout: c.timeout, Render: new(crawl.Render)}
		_, err := r.Fetch(t.Context(), req)
		var failed *crawl.DownloadError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, crawl.KindBrowser, failed.Kind, "%v", err)
		require.ErrorContains(t, err, c.says)
	}
	require.NoError(t, r.Close())
}

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package browser

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSweep removes the folders that nobody holds any more, and no others.
func TestSweep(t *testing.T) {
	t.Parallel()
	parent, elsewhere := t.TempDir(), t.TempDir()
	folder := func(name string) string {
		at := filepath.Join(parent, name)
		require.NoError(t, os.MkdirAll(filepath.Join(at, "Default"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(at, "Default", "Cookies"), nil, 0o600))
		return at
	}
	left, held, others, ours := folder("chromedp-runner1"), folder("chromedp-runner2"), folder("chromedp-runner3"), folder("crawl")
	for _, at := range []string{left, held, ours} {
		f, err := hold(at)
		require.NoError(t, err)
		if at == held {
			defer f.Close()
		} else {
			require.NoError(t, f.Close())
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(elsewhere, "kept"), nil, 0o600))
	require.NoError(t, os.Symlink(elsewhere, filepath.Join(left, "link")))
	sweep(parent)
	require.NoDirExists(t, left)
	require.FileExists(t, filepath.Join(elsewhere, "kept"))
	for _, at := range []string{held, others, ours} {
		require.FileExists(t, filepath.Join(at, "Default", "Cookies"))
	}
}

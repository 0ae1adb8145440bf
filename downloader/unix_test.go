//go:build unix

package downloader_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
)

// To open a pipe that nobody writes into would hang.
func TestPipesAreNotRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	for _, p := range []string{path, "/dev/zero"} {
		_, err := fetch(t, newDownloader(t, nil), crawl.Get("file://"+p))
		requireKind(t, crawl.KindRequest, err)
	}
}

func TestSpoolFails(t *testing.T) {
	t.Parallel()
	env := newEnv(t, nil)
	env.Spool = &crawl.Spool{Over: 1, Dir: "/dev/null/spool"}
	d, err := downloader.New(env)
	require.NoError(t, err)
	defer d.Close()
	s := newSite(t, keeps(ok+"Content-Length: 5\r\n\r\nhello"))
	_, err = fetch(t, d, crawl.Get(s.url+"/"))
	require.ErrorContains(t, err, "spool folder")
	var de *crawl.DownloadError
	require.NotErrorAs(t, err, &de, "the site did nothing wrong")
}

package downloader_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
)

// That a certificate of the file is trusted is seen by the crawls of crawltest.Misery.
func TestCAFileThatIsNone(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, []byte("nothing"), 0o600))
	for file, want := range map[string]string{empty: "holds no certificate", empty + ".gone": "no such file"} {
		settings, err := (&crawl.Settings{Download: crawl.DownloadSettings{CAFile: file}}).Effective(nil)
		require.NoError(t, err)
		_, err = downloader.New(&crawl.Env{Settings: settings, Log: zap.NewNop(), Stats: crawl.NewStats(), Spool: &crawl.Spool{}})
		require.ErrorContains(t, err, "download.ca_file: ")
		require.ErrorContains(t, err, want)
	}
}

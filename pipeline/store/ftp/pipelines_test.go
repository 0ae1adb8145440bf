package ftp

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline"
)

type document struct {
	FileURLs []string     `json:"file_urls"`
	Files    []crawl.File `json:"files"`
}

// TestFilesPipeline crawls twice into a server with TLS, with credentials of the pipeline's own: rows T1 to T5. The second crawl asks for nothing, because all is fresh.
func TestFilesPipeline(t *testing.T) {
	t.Parallel()
	v := start(t, secure(trusted)...)
	content := strings.Repeat("a file ", 100_000)
	sum := md5.Sum([]byte(content))
	site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/files/") {
			_, _ = w.Write([]byte(content))
			return
		}
		_, _ = w.Write([]byte("<p>a page</p>"))
	}))
	spider := func() *crawl.Spider {
		return &crawl.Spider{
			Name: "shop", StartURLs: []string{"https://shop.example/"},
			Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
				for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
					out.Item(&document{FileURLs: []string{"https://shop.example/files/" + name + ".pdf"}})
				}
				return nil
			},
		}
	}
	run := crawl.Settings{
		ItemPipelines: []crawl.Stage{{Order: 100, Pipeline: &pipeline.FilesPipeline{}}},
		FTP:           crawl.FTPSettings{Password: "of another server"},
		Parts:         crawl.Parts{Stores: map[string]crawl.OpenStore{"ftp": Open, "ftps": Open}},
	}
	run.Files.Store = "ftp://" + v.addr + "/" + strings.ReplaceAll(v.folder(t), " ", "%20") + "?tls=explicit"
	run.Files.FTP.Password = password
	for _, status := range []string{"downloaded", "uptodate"} {
		res := crawltest.Run(t, spider(), run, site)
		require.NoError(t, res.Err)
		require.Len(t, res.Items, 6)
		for _, item := range res.Items {
			files := item.(*document).Files
			require.Len(t, files, 1)
			require.Equal(t, status, files[0].Status)
			require.Equal(t, hex.EncodeToString(sum[:]), files[0].Checksum)
			s := open(t, run.Files.Store, settings())
			require.Equal(t, content, read(t, s, files[0].Path))
		}
		if status == "uptodate" {
			require.Equal(t, []string{"https://shop.example/"}, res.Asked)
		}
	}
}

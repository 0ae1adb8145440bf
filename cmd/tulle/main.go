// Command tulle crawls web sites with the spiders that come with it. A program with spiders of its own has the same commands: see package cmd.
package main

import (
	"github.com/tulle-go/tulle/cmd"
	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader/browser"
	ftphandler "github.com/tulle-go/tulle/downloader/ftp"
	s3handler "github.com/tulle-go/tulle/downloader/s3"
	"github.com/tulle-go/tulle/middleware/cachedb"
	"github.com/tulle-go/tulle/pipeline/feed/parquet"
	"github.com/tulle-go/tulle/pipeline/store/ftp"
	"github.com/tulle-go/tulle/pipeline/store/gcs"
	"github.com/tulle-go/tulle/pipeline/store/s3"
	"github.com/tulle-go/tulle/scheduler/jobdir"
	"github.com/tulle-go/tulle/spiders/bundled"
)

func main() {
	cmd.Main(cmd.Program{
		Name:    "tulle",
		Spiders: bundled.Spiders(),
		Settings: crawl.Settings{Parts: crawl.Parts{
			Stores: map[string]crawl.OpenStore{
				"s3":   s3.Open,
				"gs":   gcs.Open,
				"ftp":  ftp.Open,
				"ftps": ftp.Open,
			},
			Handlers: map[string]crawl.OpenHandler{
				"s3":   s3handler.Open,
				"ftp":  ftphandler.Open,
				"ftps": ftphandler.Open,
			},
			CacheStorages: map[string]crawl.OpenCacheStorage{
				"embedded": cachedb.Open,
			},
			Formats: map[string]crawl.FeedFormat{
				"parquet": parquet.Format,
			},
			Renderer: browser.Open,
			Job:      jobdir.Open, InspectJob: jobdir.Inspect,
		}},
	})
}

package main

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline"
)

// bigMemory is how much a crawl may have resident, whatever the size of the files.
const bigMemory = 64 << 20

// bigCase is one file, larger than memory should be, from the wire to a folder, with its MD5. n is its size in MiB.
func bigCase() benchCase { return bigFiles("big", "a file of %s MiB, stored with its MD5", 1, false) }

// brokenCase is the same over a connection that breaks in the middle.
func brokenCase() benchCase {
	c := bigFiles("broken", "a file of %s MiB over a connection that breaks in the middle, stored with its MD5", 1, true)
	delete(c.entries, "bare")
	return c
}

// manyCase is sixteen such files at once.
func manyCase() benchCase {
	c := bigFiles("many", "16 files of %s MiB at once, stored with their MD5s", 16, false)
	c.size = 100
	return c
}

func bigFiles(name, title string, files int, breaks bool) benchCase {
	gigabytes := func(o outcome) float64 { return float64(files) * float64(o.Job.N) * bigBlock / 1e9 }
	requests := files
	if breaks {
		requests = 2
	}
	return benchCase{
		name: name, title: title,
		size: 5 << 10, quick: 64, tiny: 4,
		concurrency: 16,
		site:        func(n int) *site { return bigSite(files, n, breaks) },
		entries:     map[string]entry{"tulle": tulleBig(files), "bare": bareBig(files)},
		inspect:     func(o *outcome) error { return inspectBig(o, files) },
		faults: func(o outcome) []string {
			var faults []string
			if o.Report.Requests != int64(requests) {
				faults = append(faults, fmt.Sprintf("%d requests in place of %d", o.Report.Requests, requests))
			}
			if wrong := files - int(o.Result.Stored); wrong != 0 {
				faults = append(faults, fmt.Sprintf("%d of %d files are wrong", wrong, files))
			}
			if want := bigSums(files, o.Job.N); o.Result.Items != int64(files) || o.Result.ItemSum != want {
				faults = append(faults, "a checksum is wrong")
			}
			if o.Result.PeakRSS > bigMemory {
				faults = append(faults, "more than 64 MiB resident")
			}
			return faults
		},
		columns: []column{
			{head: "done in", value: outcome.wall, format: "%.1f s"},
			{head: "MB/s", value: func(o outcome) float64 { return gigabytes(o) * 1e3 / o.wall() }, format: "%.0f"},
			{head: "CPU s/GB", value: func(o outcome) float64 { return o.Result.CPU / gigabytes(o) }, format: "%.2f"},
			goroutinesColumn(),
			memoryColumn(),
		},
	}
}

// bigBlock is the unit of size. All blocks are alike but for their first bytes, which say where they belong.
const bigBlock = 1 << 20

var bigNoise = sync.OnceValue(func() []byte {
	b := make([]byte, bigBlock)
	x := uint64(1)
	for i := 0; i < len(b); i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		binary.LittleEndian.PutUint64(b[i:], x)
	}
	return b
})

// stampBlock makes of a copy of bigNoise a block of a file.
func stampBlock(b []byte, file, block int) {
	binary.LittleEndian.PutUint64(b, uint64(file)<<32|uint64(block))
}

func bigSite(files, blocks int, breaks bool) *site {
	size := int64(blocks) * bigBlock
	return &site{
		pages: files,
		find:  func(_, path []byte) int { return pageOf(path, files) },
		show: func(page int, r *reply) {
			r.contentType, r.size, r.etag = "application/octet-stream", size, `"`+strconv.Itoa(blocks)+`"`
			r.write = func(w io.Writer, from int64) error {
				end := size
				if breaks && from == 0 {
					end = size/2 + 12345
				}
				b := append([]byte(nil), bigNoise()...)
				for from < end {
					stampBlock(b, page, int(from/bigBlock))
					at := from % bigBlock
					n := min(bigBlock-at, end-from)
					if _, err := w.Write(b[at : at+n]); err != nil {
						return err
					}
					from += n
				}
				if end < size {
					return errors.New("the connection breaks")
				}
				return nil
			}
		},
	}
}

// bigSum is a file's MD5 in hex.
func bigSum(file, blocks int) string {
	h := md5.New()
	b := append([]byte(nil), bigNoise()...)
	for block := range blocks {
		stampBlock(b, file, block)
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))
}

var (
	bigSumsMu    sync.Mutex
	bigSumsKnown = map[[2]int]uint64{} // guarded by bigSumsMu
)

// bigSums is the sum over what contestants are to say of the files, as a meter adds it up.
func bigSums(files, blocks int) uint64 {
	bigSumsMu.Lock()
	defer bigSumsMu.Unlock()
	key := [2]int{files, blocks}
	sum, ok := bigSumsKnown[key]
	if !ok {
		for file := range files {
			sum += itemHash(strconv.Itoa(file), bigSum(file, blocks))
		}
		bigSumsKnown[key] = sum
	}
	return sum
}

// bigStore is where a contestant leaves the files.
func bigStore(j job) string { return filepath.Join(j.Folder, "files") }

// inspectBig counts the files that are what the server has.
func inspectBig(o *outcome, files int) error {
	left := map[string]bool{}
	for file := range files {
		left[bigSum(file, o.Job.N)] = true
	}
	return filepath.WalkDir(bigStore(o.Job), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		sum, err := fileSum(path)
		if left[sum] {
			delete(left, sum)
			o.Result.Stored++
		}
		return err
	})
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := md5.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// A bigItem names one of the files.
type bigItem struct {
	Number   int
	FileURLs []string     `json:"file_urls"`
	Files    []crawl.File `json:"files"`
}

// tulleBig is a FilesPipeline as it comes, but for the size that it takes: by default 1 GiB is too much. It leaves out robots.txt.
func tulleBig(files int) entry {
	return func(ctx context.Context, j job, m *meter) error {
		settings := tulleSettings(j)
		settings.Robots.Ignore = true
		settings.Files.Store = bigStore(j)
		settings.Download.MaxSize = -1
		settings.Download.SpoolDir = filepath.Join(j.Folder, "spool")
		settings.ItemPipelines = []crawl.Stage{
			{Order: 100, Pipeline: &pipeline.FilesPipeline{}},
			{Order: 200, Pipeline: pipeline.Each(func(_ context.Context, item *bigItem) (*bigItem, error) {
				for _, file := range item.Files {
					m.item(strconv.Itoa(item.Number), file.Checksum)
				}
				return item, nil
			})},
		}
		return tulleRun(ctx, &crawl.Spider{Name: "big", Start: func(_ context.Context, out *crawl.Out) error {
			for file := range files {
				if !out.Item(&bigItem{Number: file, FileURLs: []string{j.url(file)}}) {
					break
				}
			}
			return nil
		}}, settings)
	}
}

// bareBig is what the standard library does without anything around it.
func bareBig(files int) entry {
	return func(ctx context.Context, j job, m *meter) error {
		client := bareClient(j)
		defer client.CloseIdleConnections()
		if err := os.MkdirAll(bigStore(j), 0o755); err != nil {
			return err
		}
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(j.Concurrency)
		for file := range files {
			group.Go(func() error {
				h := md5.New()
				if err := bareCopy(ctx, client, j.url(file), filepath.Join(bigStore(j), strconv.Itoa(file)), h); err != nil {
					return err
				}
				m.item(strconv.Itoa(file), hex.EncodeToString(h.Sum(nil)))
				return nil
			})
		}
		return group.Wait()
	}
}

func bareCopy(ctx context.Context, client *http.Client, address, path string, h hash.Hash) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.MultiWriter(f, h), resp.Body)
	return errors.Join(err, f.Close())
}

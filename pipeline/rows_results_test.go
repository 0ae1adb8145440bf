package pipeline_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/middleware/cachedb"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

func hexSum(h hash.Hash, data []byte) string {
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

func TestRowsOfResults(t *testing.T) {
	t.Parallel()

	t.Run("V2 an answer without a body is a failure", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": say("text/plain", nil), "/b": sayStatus(http.StatusNoContent)})
		item := withFiles("/a", "/b")
		v := s.crawl(item)
		require.Empty(t, filesOf(item))
		require.Len(t, v.Failures, 2)
		for _, f := range v.Failures {
			require.Equal(t, pipeline.KindEmpty, f.Kind)
			require.ErrorContains(t, f, "with no body")
		}
	})

	t.Run("V3 V7 a result is downloaded, then up to date with the checksum that was recorded", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a"), "/p.jpg": sayJPEG(t, 40, 30)})
		first := map[string]any{"file_urls": mediaURLs("/a"), "image_urls": mediaURLs("/p.jpg")}
		again := map[string]any{"file_urls": mediaURLs("/a"), "image_urls": mediaURLs("/p.jpg")}
		require.Len(t, s.crawl(first).media(), 2)
		require.Empty(t, s.crawl(again).media())
		for _, results := range []func(any) []crawl.File{filesOf, imagesOf} {
			old, now := one(t, results(first)), one(t, results(again))
			require.Equal(t, "downloaded", old.Status)
			require.Equal(t, "uptodate", now.Status)
			now.Status = old.Status
			require.Equal(t, old, now)
		}
	})

	t.Run("V3 D11 what the HTTP cache answers is worked on and stored as any other, and its result is cached", func(t *testing.T) {
		t.Parallel()
		large := strings.Repeat("a large file ", 200_000)
		s := newShop(t, answers{"/a": sayText("a"), "/large": sayText(large), "/p.jpg": sayJPEG(t, 40, 30)})
		s.images.Settings.Thumbs = map[string]crawl.Size{"small": {Width: 8, Height: 8}}
		for _, storage := range []string{"files", "embedded"} {
			s.settings.HTTPCache = crawl.HTTPCacheSettings{On: true, Dir: t.TempDir(), Storage: storage}
			s.settings.Parts.CacheStorages = map[string]crawl.OpenCacheStorage{"embedded": cachedb.Open}
			var before []crawl.File
			for _, status := range []string{"downloaded", "cached"} {
				s.files.Store, s.images.Store = new(store.Memory), new(store.Memory)
				item := map[string]any{"file_urls": mediaURLs("/a", "/large"), "image_urls": mediaURLs("/p.jpg")}
				v := s.crawl(item)
				files := append(filesOf(item), imagesOf(item)...)
				require.Len(t, files, 3)
				for i := range files {
					require.Equal(t, status, files[i].Status)
					files[i].Status = ""
				}
				require.Equal(t, "a", string(contentOf(t, s.files.Store, files[0].Path)))
				require.Equal(t, large, string(contentOf(t, s.files.Store, files[1].Path)))
				require.NotEmpty(t, contentOf(t, s.images.Store, files[2].Thumbs["small"].Path))
				require.EqualValues(t, 3, v.Stats.Int("file_status_count/"+status))
				if before == nil {
					before = files
					continue
				}
				require.Equal(t, before, files)
				require.Empty(t, v.media())
			}
		}
	})

	t.Run("V4 a result in a feed has url, path, checksum and status, and what else is known", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a"), "/p.jpg": sayJPEG(t, 40, 30)})
		s.images.Settings.Thumbs = map[string]crawl.Size{"small": {Width: 8, Height: 8}}
		item := map[string]any{"file_urls": mediaURLs("/a"), "image_urls": mediaURLs("/p.jpg")}
		s.crawl(item)
		b, err := json.Marshal(map[string]any{"files": item["files"], "images": item["images"]})
		require.NoError(t, err)
		var read map[string][]map[string]any
		require.NoError(t, json.Unmarshal(b, &read))
		require.Equal(t, map[string]any{
			"url": media + "/a", "path": sha1Name(media + "/a"), "checksum": hexSum(md5.New(), []byte("a")), "status": "downloaded",
			"size": 1.0, "content_type": "text/plain",
		}, read["files"][0])
		picture := read["images"][0]
		for _, key := range []string{"url", "path", "checksum", "status", "size", "content_type", "width", "height", "thumbs"} {
			require.Contains(t, picture, key)
		}
		require.Len(t, picture, 9)
	})

	t.Run("V5 a file's checksum is MD5 of the stored bytes, or what Media.Checksum says", func(t *testing.T) {
		t.Parallel()
		for name, h := range map[string]hash.Hash{"": md5.New(), "md5": md5.New(), "sha1": sha1.New(), "sha256": sha256.New()} {
			s := newShop(t, answers{"/a": sayText("a")})
			s.settings.Media.Checksum = name
			s.files.FileDownloaded = func(_ context.Context, resp *crawl.Response, _ any) error {
				resp.Body = crawl.BytesBody([]byte("changed"))
				return nil
			}
			item := withFiles("/a")
			s.crawl(item)
			require.Equal(t, hexSum(h, []byte("changed")), one(t, filesOf(item)).Checksum)
		}
	})

	t.Run("V6 a picture's checksum is that of the stored JPEG", func(t *testing.T) {
		t.Parallel()
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 30, 20))))
		s := newShop(t, answers{"/p.png": say("image/png", b.Bytes())})
		item := withImages("/p.png")
		s.crawl(item)
		file := one(t, imagesOf(item))
		stored := contentOf(t, s.images.Store, file.Path)
		_, err := jpeg.Decode(bytes.NewReader(stored))
		require.NoError(t, err)
		require.Equal(t, hexSum(md5.New(), stored), file.Checksum)
		require.NotEqual(t, hexSum(md5.New(), b.Bytes()), file.Checksum)
	})

	t.Run("V8 a hook's MediaError keeps its kind", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a")})
		s.files.FileDownloaded = func(context.Context, *crawl.Response, any) error {
			return &pipeline.MediaError{Kind: "infected", Err: errors.New("found EICAR")}
		}
		v := s.crawl(withFiles("/a"))
		require.Len(t, v.Failures, 1)
		require.EqualError(t, v.Failures[0], "media <"+media+"/a>: infected: found EICAR")
		require.Equal(t, http.StatusOK, v.Failures[0].Status)
		require.EqualValues(t, 1, v.Stats.Int("media/failed_kind_count/infected"))
		require.Len(t, v.warnings(), 1)
	})

	t.Run("V9 another error of a hook, or its panic, is a failure of kind other, with its text and its stack", func(t *testing.T) {
		t.Parallel()
		broken := errors.New("out of order")
		s := newShop(t, answers{"/a": sayText("a"), "/b": sayText("b")})
		s.files.FileDownloaded = func(_ context.Context, resp *crawl.Response, _ any) error {
			if resp.URL.Path == "/a" {
				return broken
			}
			panic(broken)
		}
		v := s.crawl(withFiles("/a", "/b"))
		require.Len(t, v.Failures, 2)
		for _, f := range v.Failures {
			require.Equal(t, pipeline.KindOther, f.Kind)
			require.ErrorIs(t, f, broken)
		}
		for _, e := range v.warnings() {
			fields := e.ContextMap()
			require.Contains(t, fields["error"], "out of order")
			require.Equal(t, fields["url"] == media+"/b", fields["stack"] != nil)
		}
	})

	t.Run("V12 what failed is absent from the results, and the order of the rest is kept", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a"), "/c": sayText("c"), "/e": sayText("e")})
		item := withFiles("/a", "/b", "/c", "/d", "/e")
		v := s.crawl(item)
		require.Len(t, v.Items, 1)
		var urls []string
		for _, f := range filesOf(item) {
			urls = append(urls, f.URL)
		}
		require.Equal(t, mediaURLs("/a", "/c", "/e"), urls)
	})

	t.Run("V13 the failures of every kind of media are logged, those of a user's own too", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, nil)
		s.settings.ItemPipelines = []crawl.Stage{{Pipeline: &pipeline.MediaPipeline{Kind: links{}}}}
		v := s.crawl(withFiles("/gone"))
		require.Len(t, v.Items, 1)
		require.Equal(t, 1, v.Log.FilterMessage("media failed").Len())
	})

	t.Run("V14 stats count what has happened", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("four"), "/b": sayText("b"), "/bad.jpg": sayText("no picture"), "/p.jpg": sayJPEG(t, 20, 20)})
		s.oneByOne()
		s.crawl(withFiles("/b"))
		v := s.crawl(
			map[string]any{"file_urls": mediaURLs("/a", "/b", "/gone"), "image_urls": mediaURLs("/bad.jpg", "/p.jpg")},
			withFiles("/a", "/gone"), // known, and not counted again
		)
		for key, want := range map[string]int64{
			"file_count": 3, "file_status_count/downloaded": 2, "file_status_count/uptodate": 1, "file_status_count/failed": 2,
			"media/failed_kind_count/status": 1, "media/failed_kind_count/undecodable": 1, "media/bytes": int64(len("four") + len(jpegOf(t, 20, 20))), "media/parked": 0,
		} {
			require.Equal(t, want, v.Stats.Int(key), key)
		}
	})

	t.Run("V15 each success is logged at debug level, with URL, path and page", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a")})
		for _, status := range []string{"downloaded", "uptodate"} {
			v := s.crawl(withFiles("/a"))
			entries := v.Log.FilterMessage("media " + status).All()
			require.Len(t, entries, 1)
			require.Equal(t, zapcore.DebugLevel, entries[0].Level)
			require.Equal(t, map[string]any{"url": media + "/a", "path": sha1Name(media + "/a"), "page": pageURL}, entries[0].ContextMap())
		}
	})
}

// links is a kind of media whose results are not kept anywhere.
type links struct{}

func (links) Requests(_ context.Context, item any) ([]*crawl.Request, error) {
	return []*crawl.Request{crawl.Get(item.(map[string]any)["file_urls"].([]string)[0])}, nil
}
func (links) Fresh(context.Context, *crawl.Request, any) (*crawl.File, error) { return nil, nil }
func (links) Store(_ context.Context, resp *crawl.Response, _ any) (crawl.File, error) {
	return crawl.File{Size: resp.Body.Size()}, nil
}
func (links) Complete(_ context.Context, _ []pipeline.Result, item any) (any, error) {
	return item, nil
}

// TestRowsOfFailures has each kind of failure, as a crawl meets it.
func TestRowsOfFailures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind   crawl.Kind
		url    string // default: /a on the media host
		site   answers
		with   func(s *shop)
		status int
		says   string
	}{
		{kind: crawl.KindRefused, with: func(s *shop) { s.site.Refuse("cdn.example", nil) }, says: "robots.txt of http://cdn.example could not be read"},
		{kind: crawl.KindRefused, says: "connection refused", with: func(s *shop) {
			s.settings.Robots.Ignore = true
			s.site.Refuse("cdn.example", nil)
		}},
		{kind: crawl.KindDNS, says: "no such host", with: func(s *shop) {
			s.site.Refuse("cdn.example", &net.DNSError{Err: "no such host", Name: "cdn.example", IsNotFound: true})
		}},
		{kind: crawl.KindTLS, url: "https://cdn.example:80/a", says: "tls handshake"}, // where HTTP is spoken
		{kind: crawl.KindTimeout, site: answers{"/a": slowly(time.Hour, sayText("late"))}, says: "not done within 3m0s"},
		{kind: crawl.KindConnection, site: answers{"/a": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}},
		{kind: crawl.KindTruncated, site: answers{"/a": sayTooLittle}},
		{kind: crawl.KindTooLarge, site: answers{"/a": say("", make([]byte, 1001))}, with: func(s *shop) { s.settings.Media.MaxSize = 1000 }},
		{kind: crawl.KindEncoding, site: answers{"/a": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x00 and no more of it")
		}}},
		{kind: crawl.KindRequest, url: "gopher://cdn.example/a", says: "gopher"},
		{kind: pipeline.KindStatus, status: 404, says: "404 Not Found"},
		{kind: pipeline.KindStatus, site: answers{"/a": sayStatus(503)}, status: 503},
		{kind: pipeline.KindRedirect, site: answers{"/a": sayMoved("/b")}, status: 302, says: "redirected to /b (set media.allow_redirects)"},
		{kind: pipeline.KindEmpty, site: answers{"/a": say("image/jpeg", nil)}, status: 200},
		{kind: pipeline.KindTooSmall, site: answers{"/a": sayJPEG(t, 40, 30)}, status: 200, says: "40x30 < 0x31", with: func(s *shop) { s.images.Settings.MinHeight = 31 }},
		{kind: pipeline.KindTooManyPixels, site: answers{"/a": sayJPEG(t, 40, 30)}, status: 200, with: func(s *shop) { s.images.Settings.MaxPixels = 1199 }},
		{kind: pipeline.KindUndecodable, site: answers{"/a": say("image/jpeg", []byte("<!doctype html><h1>Login</h1>"))}, status: 200, says: "looks like HTML"},
		{kind: pipeline.KindFiltered, site: answers{"cdn.example/robots.txt": sayText("User-agent: *\nDisallow: /")}, says: "robots.txt"},
		{kind: pipeline.KindStore, site: answers{"/a": sayJPEG(t, 40, 30)}, status: 200, says: "disk on fire", with: func(s *shop) { s.images.Store = burning{s.images.Store} }},
		{kind: pipeline.KindOther, site: answers{"/a": sayJPEG(t, 40, 30)}, status: 200, says: "no thanks", with: func(s *shop) {
			s.images.ImageDownloaded = func(context.Context, *crawl.Response, crawl.Size, any) error { return errors.New("no thanks") }
		}},
	} {
		t.Run("V10 V11 "+string(c.kind)+" is one typed failure, logged once with its page and URL", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newShop(t, c.site)
				if c.with != nil {
					c.with(s)
				}
				if c.url == "" {
					c.url = media + "/a"
				}
				item := withImages(c.url)
				v := s.crawl(item)
				require.Len(t, v.Items, 1)
				require.Equal(t, []crawl.File{}, imagesOf(item))

				require.Len(t, v.Failures, 1)
				f := v.Failures[0]
				require.Equal(t, c.kind, f.Kind, "%v", f)
				require.Equal(t, c.url, f.URL)
				require.Equal(t, c.status, f.Status)
				require.ErrorContains(t, f, c.says)
				require.EqualValues(t, 1, v.Stats.Int("file_status_count/failed"))
				require.EqualValues(t, 1, v.Stats.Int("media/failed_kind_count/"+string(c.kind)))
				require.Zero(t, v.Stats.Int("file_count"))

				level, message := zapcore.WarnLevel, "media failed"
				if c.kind == pipeline.KindFiltered {
					level, message = zapcore.DebugLevel, "media filtered"
				}
				entries := v.Log.FilterMessage(message).All()
				require.Len(t, entries, 1)
				require.Equal(t, level, entries[0].Level)
				fields := entries[0].ContextMap()
				require.Equal(t, string(c.kind), fields["kind"])
				require.Equal(t, c.url, fields["url"])
				require.Equal(t, pageURL, fields["page"])
				require.Contains(t, fields["error"], c.says)
			})
		})
	}
}

func TestRowsOfABrokenStore(t *testing.T) {
	t.Parallel()

	t.Run("V10 ten files in a row that the store refuses close the crawl", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newShop(t, answers{"/a": sayText("a")})
			s.files.Store = burning{s.files.Store}
			s.oneByOne()
			items := make([]any, 20)
			for i := range items {
				items[i] = withFiles("/a")
			}
			v := s.crawl(items...)
			require.Equal(t, "store", v.Reason)
			require.Len(t, v.media(), 10, "a failure of the store is not remembered")
			require.Len(t, v.Items, 9)
		})
	})
	t.Run("V10 whoever waits for the store, or for his turn, then waits no longer", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newShop(t, answers{"/a": sayText("a"), "/slow": func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-time.After(time.Hour):
				case <-r.Context().Done():
				}
			}})
			s.files.Store = burning{s.files.Store}
			s.settings.ConcurrentRequests, s.settings.ConcurrentPerHost = 20, 20
			items := make([]any, 60)
			for i := range items {
				items[i] = withFiles("/slow?" + strconv.Itoa(i))
			}
			for i := range 12 {
				items[i] = withFiles("/a?" + strconv.Itoa(i))
			}
			start := time.Now()
			v := s.crawl(items...)
			require.Equal(t, "store", v.Reason)
			require.Less(t, time.Since(start), 10*time.Second)
			require.LessOrEqual(t, v.Log.FilterMessage("media failed").Len(), 12)
		})
	})
}

// burning is a store that takes nothing.
type burning struct{ crawl.Store }

func (burning) Put(context.Context, string, io.Reader, crawl.Meta) error {
	return errors.New("disk on fire")
}

// Items as users write them.
type (
	named struct {
		Title    string
		FileURLs []string
		Files    []crawl.File
	}
	tagged struct {
		Links []string     `json:"file_urls"`
		Got   []crawl.File `json:"files,omitempty"`
	}
	Media struct {
		FileURLs []string     `json:"file_urls"`
		Files    []crawl.File `json:"files"`
	}
	embedding struct {
		Media
		Title string
	}
	pointing struct {
		*Media
		Title string
	}
	noResult struct {
		FileURLs []string `json:"file_urls"`
	}
)

func TestRowsOfItemTypes(t *testing.T) {
	t.Parallel()

	t.Run("V16 a type without a result field is reported once, by its name", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a"), "/b": sayText("b")})
		v := s.crawl(&noResult{mediaURLs("/a")}, &noResult{mediaURLs("/b")})
		require.Len(t, v.Items, 2)
		require.Len(t, v.media(), 2)
		require.Len(t, v.warnings(), 1)
		require.Equal(t, zapcore.ErrorLevel, v.warnings()[0].Level)
		require.Equal(t, map[string]any{"type": "pipeline_test.noResult", "urls_field": "file_urls", "missing_field": "files"}, v.warnings()[0].ContextMap())
	})

	want := mediaURLs("/a")
	for name, c := range map[string]struct {
		item  any
		files func(item any) []crawl.File
	}{
		"a map":                               {map[string]any{"file_urls": want}, filesOf},
		"a struct with Go's names":            {&named{Title: "t", FileURLs: want}, func(i any) []crawl.File { return i.(*named).Files }},
		"a struct with json tags":             {&tagged{Links: want}, func(i any) []crawl.File { return i.(*tagged).Got }},
		"a struct by value":                   {named{Title: "t", FileURLs: want}, func(i any) []crawl.File { return i.(*named).Files }},
		"a struct with an embedded one":       {&embedding{Media{FileURLs: want}, "t"}, func(i any) []crawl.File { return i.(*embedding).Files }},
		"a struct with an embedded pointer":   {&pointing{&Media{FileURLs: want}, "t"}, func(i any) []crawl.File { return i.(*pointing).Files }},
		"a struct without a name, by a value": {struct{ Media }{Media{FileURLs: want}}, func(i any) []crawl.File { return i.(*struct{ Media }).Files }},
	} {
		t.Run("V17 "+name+" takes its results", func(t *testing.T) {
			t.Parallel()
			s := newShop(t, answers{"/a": sayText("a")})
			v := s.crawl(c.item)
			require.Len(t, v.Items, 1)
			require.Equal(t, want[0], one(t, c.files(v.Items[0])).URL)
			if reflect.TypeOf(c.item).Kind() != reflect.Struct {
				require.IsType(t, c.item, v.Items[0])
			}
		})
	}
}

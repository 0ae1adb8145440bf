package pipeline_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

// noted is a list that hooks write, from any goroutine.
type noted[T any] struct {
	mu   sync.Mutex
	list []T // Guarded by mu.
}

func (n *noted[T]) add(v T) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, v)
}

func (n *noted[T]) all() []T {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.list)
}

// stage is a pipeline that is a function.
type stage func(ctx context.Context, item any) (any, error)

func (s stage) Process(ctx context.Context, item any) (any, error) { return s(ctx, item) }

// completed is an ItemCompleted hook that notes the results.
func completed(into *noted[[]pipeline.Result]) func(context.Context, []pipeline.Result, any) (any, error) {
	return func(_ context.Context, results []pipeline.Result, item any) (any, error) {
		into.add(results)
		return item, nil
	}
}

// oneByOne lets items through one after the other, in the order in which they are yielded.
func (s *shop) oneByOne() { s.settings.ConcurrentItems = 1 }

// impatient asks for nothing a second time.
func (s *shop) impatient() { s.settings.Retry.Times = -1 }

func TestRowsOfItems(t *testing.T) {
	t.Parallel()

	t.Run("L1 an item that needs nothing passes, and ItemCompleted is told of no results", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, nil)
		var seen noted[[]pipeline.Result]
		s.files.ItemCompleted = completed(&seen)
		v := s.crawl(map[string]any{"title": "none"})
		require.Len(t, v.Items, 1)
		require.Equal(t, [][]pipeline.Result{{}}, seen.all())
		require.Empty(t, v.media())
	})

	t.Run("L2 MediaRequests returns none, one or several requests", func(t *testing.T) {
		t.Parallel()
		for n := range 3 {
			s := newShop(t, answers{"/a": sayText("a"), "/b": sayText("b")})
			s.files.MediaRequests = func(context.Context, any) ([]*crawl.Request, error) {
				return []*crawl.Request{crawl.Get(media + "/a"), crawl.Get(media + "/b")}[:n], nil
			}
			item := map[string]any{"file_urls": "not asked for"}
			require.Len(t, s.crawl(item).media(), n)
			require.Len(t, filesOf(item), n)
		}
	})

	t.Run("L3 an item's requests are under way together, and later stages see it when all are done", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newShop(t, answers{"/a": sayText("a"), "/b": sayText("b")})
			a, b := s.site.Hold("/a"), s.site.Hold("/b")
			var later atomic.Int32
			s.settings.ItemPipelines = []crawl.Stage{
				{Order: 2, Pipeline: stage(func(_ context.Context, item any) (any, error) {
					later.Store(int32(len(filesOf(item))))
					return item, nil
				})},
				{Order: 1, Pipeline: s.files},
			}
			_, wait := s.start(withFiles("/a", "/b", "/gone"))
			a.Wait()
			b.Wait()
			a.Release()
			synctest.Wait()
			require.Zero(t, later.Load(), "one is still on its way")
			b.Release()
			wait()
			require.EqualValues(t, 2, later.Load())
		})
	})

	t.Run("L4 results are those of the requests, in their order, files and failures", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a"), "/c": sayText("c")})
		first := s.site.Hold("/a")
		var seen noted[[]pipeline.Result]
		s.files.ItemCompleted = completed(&seen)
		s.files.MediaFailed = func(_ context.Context, _ *crawl.Request, err error, _ any) (crawl.File, error) {
			first.Release() // It comes in last.
			return crawl.File{}, err
		}
		item := withFiles("/a", "/b", "/c")
		s.crawl(item)
		results := seen.all()[0]
		require.Len(t, results, 3)
		for i, want := range mediaURLs("/a", "/b", "/c") {
			require.Equal(t, want, results[i].Request.URL.String())
		}
		require.NoError(t, results[0].Err)
		require.ErrorAs(t, results[1].Err, new(*pipeline.MediaError))
		require.Equal(t, filesOf(item), []crawl.File{results[0].File, results[2].File})
	})

	t.Run("L5 L6 hooks are called in their order", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a")})
		s.impatient()
		s.site.Refuse("down.example", nil)
		var calls noted[string]
		var results noted[[]pipeline.Result]
		s.files.MediaRequests = func(_ context.Context, item any) ([]*crawl.Request, error) {
			calls.add("MediaRequests")
			return []*crawl.Request{crawl.Get(item.(map[string]any)["want"].(string))}, nil
		}
		s.files.MediaToDownload = func(context.Context, *crawl.Request, any) (*crawl.File, error) {
			calls.add("MediaToDownload")
			return nil, nil
		}
		s.files.MediaDownloaded = func(context.Context, *crawl.Response, any) (*crawl.File, error) {
			calls.add("MediaDownloaded")
			return nil, nil
		}
		s.files.FileDownloaded = func(context.Context, *crawl.Response, any) error {
			calls.add("FileDownloaded")
			return nil
		}
		s.files.MediaFailed = func(_ context.Context, _ *crawl.Request, err error, _ any) (crawl.File, error) {
			calls.add("MediaFailed")
			return crawl.File{}, err
		}
		s.files.ItemCompleted = func(_ context.Context, list []pipeline.Result, item any) (any, error) {
			calls.add("ItemCompleted")
			results.add(list)
			return item, nil
		}
		s.oneByOne()
		s.crawl(map[string]any{"want": media + "/a"}, map[string]any{"want": "http://down.example/"})
		require.Equal(t, []string{
			"MediaRequests", "MediaToDownload", "MediaDownloaded", "FileDownloaded", "ItemCompleted",
			"MediaRequests", "MediaToDownload", "MediaFailed", "ItemCompleted",
		}, calls.all())
		require.ErrorIs(t, results.all()[1][0].Err, syscall.ECONNREFUSED, "the failure is what happened")
	})

	t.Run("L7 a request that fails leaves the item's others alone", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a"), "/c": sayText("c"), "/b": sayStatus(http.StatusGone)})
		item := withFiles("/a", "/b", "/c")
		v := s.crawl(item)
		require.Len(t, v.Items, 1)
		require.Len(t, filesOf(item), 2)
	})

	t.Run("L8 a result of MediaToDownload is the result, and nothing is asked", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a")})
		s.files.MediaToDownload = func(_ context.Context, req *crawl.Request, _ any) (*crawl.File, error) {
			return &crawl.File{Path: "mine" + req.URL.Path}, nil
		}
		s.files.MediaDownloaded = func(context.Context, *crawl.Response, any) (*crawl.File, error) {
			return nil, errors.New("not to be called")
		}
		item := withFiles("/a")
		require.Empty(t, s.crawl(item).media())
		require.Equal(t, []crawl.File{{URL: media + "/a", Path: "mine/a"}}, filesOf(item))
	})

	t.Run("L17 a request's route is not run", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a")})
		var ran atomic.Bool
		s.spider.Routes = map[string]crawl.Callback{"route": func(context.Context, *crawl.Response, *crawl.Out) error {
			ran.Store(true)
			return nil
		}}
		s.spider.Errback = func(context.Context, *crawl.Request, error, *crawl.Out) error {
			ran.Store(true)
			return nil
		}
		s.files.MediaRequests = func(context.Context, any) ([]*crawl.Request, error) {
			good, bad := crawl.Get(media+"/a"), crawl.Get(media+"/b")
			good.Route, bad.Route = "route", "route"
			return []*crawl.Request{good, bad}, nil
		}
		item := withFiles()
		s.crawl(item)
		require.Len(t, filesOf(item), 1)
		require.False(t, ran.Load())
	})

	t.Run("L26 a bad URL is one failed result", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a"), "/b": sayText("b")})
		item := withFiles("/a", "no-scheme.jpg", "http://[broken", "gopher://cdn.example/c", "", "/b")
		v := s.crawl(item)
		require.Len(t, filesOf(item), 2)
		require.Len(t, v.Failures, 4)
		for _, f := range v.Failures {
			require.Equal(t, crawl.KindRequest, f.Kind)
			require.Error(t, f.Err, "with its reason")
		}
	})

	t.Run("L27 a URLs field that holds no URLs is an item error that names field and type", func(t *testing.T) {
		t.Parallel()
		for _, bad := range []any{42, nil, map[string]any{"url": "/a"}, []int{1}, []any{media + "/a", 7}} {
			s := newShop(t, answers{"/a": sayText("a")})
			v := s.crawl(map[string]any{"file_urls": bad})
			require.Empty(t, v.Items)
			require.EqualValues(t, 1, v.Stats.Int("item_error_count"))
			require.Contains(t, v.warnings()[0].ContextMap()["error"], "field file_urls of map[string]interface {} is ")
			require.Empty(t, v.media())
		}
		for _, good := range []any{media + "/a", []any{media + "/a"}, []string{media + "/a"}} {
			s := newShop(t, answers{"/a": sayText("a")})
			item := map[string]any{"file_urls": good}
			s.crawl(item)
			require.Equal(t, media+"/a", one(t, filesOf(item)).URL)
		}
	})

	t.Run("L28 without URLs the result field is an empty list", func(t *testing.T) {
		t.Parallel()
		type book struct {
			FileURLs []string     `json:"file_urls"`
			Files    []crawl.File `json:"files"`
		}
		s := newShop(t, nil)
		missing, empty, typed := map[string]any{}, withFiles(), &book{}
		s.crawl(missing, empty, typed)
		for _, files := range [][]crawl.File{filesOf(missing), filesOf(empty), typed.Files} {
			require.NotNil(t, files)
			require.Empty(t, files)
		}
	})

	t.Run("L29 a FilePath that fails costs its file", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a"), "/b": sayText("b"), "/c": sayText("c")})
		s.files.FilePath = func(req *crawl.Request, _ *crawl.Response, _ any) (string, error) {
			switch req.URL.Path {
			case "/a":
				return "", errors.New("no name for it")
			case "/b":
				panic("out of names")
			}
			return "c.txt", nil
		}
		item := withFiles("/a", "/b", "/c")
		v := s.crawl(item)
		require.Equal(t, "c.txt", one(t, filesOf(item)).Path)
		require.Len(t, v.Failures, 2)
		for _, e := range v.warnings() {
			fields := e.ContextMap()
			require.Equal(t, "other", fields["kind"])
			if fields["url"] == media+"/b" {
				require.Contains(t, fields["stack"], "rows_life_test.go", "the log says where")
			} else {
				require.Contains(t, fields["error"], "no name for it")
			}
		}
	})

	t.Run("L30 L31 hooks and the store are waited for", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newShop(t, answers{"/a": sayText("a")})
			s.files.Store = slowStore{new(store.Memory), time.Hour}
			s.files.MediaDownloaded = func(context.Context, *crawl.Response, any) (*crawl.File, error) {
				time.Sleep(time.Hour)
				return nil, nil
			}
			item := withFiles("/a")
			began := time.Now()
			v := s.crawl(item)
			require.Equal(t, 2*time.Hour, time.Since(began))
			require.Len(t, v.Items, 1)
			require.Equal(t, "a", string(contentOf(t, s.files.Store, one(t, filesOf(item)).Path)))
		})
	})
}

// slowStore takes its time.
type slowStore struct {
	crawl.Store
	time time.Duration
}

func (s slowStore) Put(ctx context.Context, name string, r io.Reader, meta crawl.Meta) error {
	time.Sleep(s.time)
	return s.Store.Put(ctx, name, r, meta)
}

func TestRowsOfFlights(t *testing.T) {
	t.Parallel()

	t.Run("L9 L22 what is the same by its fingerprint is one download, and each result has its own URL", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a")})
		item := withFiles("/a?b=1&a=2", "/a?a=2&b=1", "/a?b=1&a=2#frag")
		v := s.crawl(item)
		require.Len(t, v.media(), 1)
		files := filesOf(item)
		require.Len(t, files, 3)
		for i, url := range item["file_urls"].([]string) {
			require.Equal(t, url, files[i].URL)
			require.Equal(t, files[0].Path, files[i].Path)
		}
		require.Len(t, s.files.Store.(*store.Memory).Names(), 1)
	})

	t.Run("L10 a URL that an item names twice is one download and two results", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a")})
		item := withFiles("/a", "/a")
		require.Len(t, s.crawl(item).media(), 1)
		require.Len(t, filesOf(item), 2)
		require.Equal(t, filesOf(item)[0], filesOf(item)[1])
	})

	t.Run("L11 a later item gets the same result, without a look into the store", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a")})
		s.oneByOne()
		var asked noted[string]
		s.files.MediaToDownload = func(_ context.Context, req *crawl.Request, _ any) (*crawl.File, error) {
			asked.add(req.URL.Path)
			return nil, nil
		}
		first, second := withFiles("/a"), withFiles("/a")
		require.Len(t, s.crawl(first, second).media(), 1)
		require.Equal(t, []string{"/a"}, asked.all())
		require.Equal(t, "downloaded", one(t, filesOf(second)).Status)
		require.Equal(t, filesOf(first), filesOf(second))
	})

	t.Run("L12 L19 items wait for the same flight, and each has a result of its own", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := newShop(t, answers{"/a": sayJPEG(t, 80, 60)})
			s.images.Settings.Thumbs = map[string]crawl.Size{"small": {Width: 8, Height: 8}}
			held := s.site.Hold("/a")
			items := []any{withImages("/a"), withImages("/a"), withImages("/a")}
			e, wait := s.start(items...)
			held.Wait()
			synctest.Wait()
			require.EqualValues(t, 3, e.Snapshot().Stats.Int("media/parked"))
			held.Release()
			v := wait()
			require.Len(t, v.media(), 1)
			require.Len(t, v.Items, 3)
			require.Zero(t, v.Stats.Int("media/parked"))
			first := one(t, imagesOf(items[0]))
			delete(first.Thumbs, "small")
			for _, item := range items[1:] {
				require.Contains(t, one(t, imagesOf(item)).Thumbs, "small")
			}
		})
	})

	t.Run("L13 a permanent failure is remembered, a passing one is forgotten", func(t *testing.T) {
		t.Parallel()
		var busy atomic.Int32
		s := newShop(t, answers{"/busy": func(w http.ResponseWriter, r *http.Request) {
			if busy.Add(1) == 1 {
				sayStatus(http.StatusServiceUnavailable)(w, r)
				return
			}
			sayText("at last")(w, r)
		}})
		s.oneByOne()
		s.impatient()
		first, second, third := withFiles("/busy", "/gone"), withFiles("/busy", "/gone"), withFiles("/busy", "/gone")
		v := s.crawl(first, second, third)
		require.ElementsMatch(t, mediaURLs("/busy", "/gone", "/busy"), v.media())
		require.Empty(t, filesOf(first))
		require.Len(t, filesOf(second), 1)
		require.Len(t, filesOf(third), 1)
	})

	t.Run("L14 L15 L16 L20 MediaFailed is told of a failure once, and may make a result of it", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, nil)
		s.oneByOne()
		var told noted[string]
		var results noted[[]pipeline.Result]
		s.files.MediaFailed = func(_ context.Context, req *crawl.Request, err error, _ any) (crawl.File, error) {
			told.add(req.URL.Path)
			switch req.URL.Path {
			case "/saved":
				return crawl.File{Path: "placeholder.png", Status: "substituted"}, nil
			case "/nothing":
				return crawl.File{}, nil
			}
			return crawl.File{}, err
		}
		s.files.ItemCompleted = completed(&results)
		paths := []string{"/saved", "/nothing", "/lost"}
		s.crawl(withFiles(paths...), withFiles(paths...))
		require.ElementsMatch(t, paths, told.all())
		for _, list := range results.all() {
			require.Equal(t, crawl.File{URL: media + "/saved", Path: "placeholder.png", Status: "substituted"}, list[0].File)
			require.NoError(t, list[1].Err)
			require.Equal(t, crawl.File{URL: media + "/nothing"}, list[1].File)
			var failed *pipeline.MediaError
			require.ErrorAs(t, list[2].Err, &failed, "live or remembered, a failure stays one")
			require.Equal(t, http.StatusNotFound, failed.Status)
		}
	})

	t.Run("L18 a remembered failure holds nothing but its text", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a")})
		s.oneByOne()
		s.files.MediaDownloaded = func(_ context.Context, resp *crawl.Response, _ any) (*crawl.File, error) {
			return nil, heavyError{resp}
		}
		var results noted[[]pipeline.Result]
		s.files.ItemCompleted = completed(&results)
		s.crawl(withFiles("/a"), withFiles("/a"))
		live, remembered := results.all()[0][0].Err, results.all()[1][0].Err
		require.ErrorAs(t, live, new(heavyError))
		require.False(t, errors.As(remembered, new(heavyError)))
		require.Equal(t, live.Error(), remembered.Error())
	})

	t.Run("L21 hooks are called with the item that came first", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a": sayText("a")})
		s.oneByOne()
		s.files.FilePath = func(_ *crawl.Request, _ *crawl.Response, item any) (string, error) {
			return item.(map[string]any)["name"].(string), nil
		}
		first, second := withFiles("/a"), withFiles("/a")
		first["name"], second["name"] = "first.txt", "second.txt"
		s.crawl(first, second)
		require.Equal(t, "first.txt", one(t, filesOf(first)).Path)
		require.Equal(t, "first.txt", one(t, filesOf(second)).Path)
	})

	t.Run("L23 two pipelines share no results", func(t *testing.T) {
		t.Parallel()
		s := newShop(t, answers{"/a.jpg": sayJPEG(t, 20, 20)})
		item := map[string]any{"file_urls": mediaURLs("/a.jpg"), "image_urls": mediaURLs("/a.jpg")}
		require.Len(t, s.crawl(item).media(), 2)
		require.Zero(t, one(t, filesOf(item)).Width)
		require.Equal(t, 20, one(t, imagesOf(item)).Width)
	})

	t.Run("L24 Media.CacheSize bounds what is remembered, and beyond it the store answers", func(t *testing.T) {
		t.Parallel()
		for size, status := range map[int]string{0: "downloaded", 1: "uptodate"} {
			s := newShop(t, answers{"/a": sayText("a"), "/b": sayText("b")})
			s.oneByOne()
			s.settings.Media.CacheSize = size
			again := withFiles("/a")
			v := s.crawl(withFiles("/a"), withFiles("/b"), again)
			require.Equal(t, status, one(t, filesOf(again)).Status, "cache of %d", size)
			require.Len(t, v.media(), 2)
		}
	})
}

// heavyError is an error that holds a whole response.
type heavyError struct{ resp *crawl.Response }

func (heavyError) Error() string { return "too heavy to keep" }

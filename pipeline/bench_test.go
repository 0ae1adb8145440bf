package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

// patientSite answers nobody until it is told to.
type patientSite struct {
	mu   sync.Mutex
	done []func(*crawl.Response, error)
}

func (s *patientSite) Fetch(context.Context, *crawl.Request) (*crawl.Response, error) {
	return nil, errors.New("not asked")
}

func (s *patientSite) Submit(_ context.Context, _ *crawl.Request, done func(*crawl.Response, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, done)
}

func (s *patientSite) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.done)
}

// Not parallel: it looks at the heap and the stacks. An item that waits for three pictures costs one goroutine, and what the pipeline keeps for it
// leaves room for the engine's share of ten thousand of them in 100 MB.
func TestParkedItemIsCheap(t *testing.T) {
	const n = 2000
	used := func() uint64 {
		for range 4 {
			runtime.GC() // each halves the stacks that are larger than they need be
		}
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc + s.StackInuse
	}
	b := newBench(t, crawl.Settings{}, nil)
	s := new(patientSite)
	b.Fetcher = s
	c := b.open(&ImagesPipeline{Store: new(store.Memory)})
	ctx := b.ctx()
	goroutines, before := runtime.NumGoroutine(), used()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var u []string
			for k := range 3 {
				u = append(u, fmt.Sprintf("https://cdn.example/pictures/of/products/%d/%d.jpg", i, k))
			}
			if _, err := c.Process(ctx, &Book{ImageURLs: u}); err != nil {
				t.Error(err)
			}
		})
	}
	for s.waiting() < 3*n || b.Stats.Int("media/parked") < n {
		runtime.Gosched()
	}
	each := (used() - before) / n
	t.Logf("%d bytes each", each)
	now := runtime.NumGoroutine()
	for _, done := range s.done {
		done(nil, crawl.IgnoreRequest("enough"))
	}
	wg.Wait()
	require.LessOrEqual(t, now, goroutines+n)
	require.LessOrEqual(t, each, uint64(parkedItemBytes))
}

// BenchmarkChain is what a chain adds to its stages.
func BenchmarkChain(b *testing.B) {
	settings, err := crawl.Settings{}.Effective(nil)
	require.NoError(b, err)
	pass := Each(func(_ context.Context, b *Book) (*Book, error) { return b, nil })
	c, err := Open(b.Context(), &crawl.Env{Settings: settings}, []crawl.Stage{{Pipeline: pass}, {Pipeline: pass}})
	require.NoError(b, err)
	book := &Book{}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Process(b.Context(), book); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkImagesPipelineFresh is an item whose picture is in the store already, each in a crawl's memory for the first time.
func BenchmarkImagesPipelineFresh(b *testing.B) { benchmarkPictures(b, true) }

// BenchmarkImagesPipeline is an item with a photograph of 1000x750 and two thumbnails, from the response to the folder.
func BenchmarkImagesPipeline(b *testing.B) { benchmarkPictures(b, false) }

func benchmarkPictures(b *testing.B, fresh bool) {
	raw := photographFile(b)
	settings, err := crawl.Settings{
		Media: crawl.MediaSettings{CacheSize: -1},
		Images: crawl.ImagesSettings{
			Store: b.TempDir(), Thumbs: map[string]crawl.Size{"small": {Width: 50, Height: 50}, "big": {Width: 270, Height: 270}},
		},
	}.Effective(nil)
	require.NoError(b, err)
	if !fresh {
		settings.Images.Expires = -1
	}
	env := &crawl.Env{
		Settings: settings, Stats: crawl.NewStats(), Log: zap.NewNop(), Pixels: make(testGate, 2), Spool: new(crawl.Spool),
		Fetcher: crawl.FetcherFunc(func(_ context.Context, req *crawl.Request) (*crawl.Response, error) {
			return &crawl.Response{Request: req, URL: req.URL, Status: http.StatusOK, Body: crawl.BytesBody(raw)}, nil
		}),
	}
	c, err := Open(b.Context(), env, []crawl.Stage{{Pipeline: &ImagesPipeline{}}})
	require.NoError(b, err)
	defer func() { require.NoError(b, c.Close()) }()
	process := func() {
		book := &Book{ImageURLs: []string{"https://cdn.example/x.jpg"}}
		if _, err := c.Process(b.Context(), book); err != nil || len(book.Images) != 1 {
			b.Fatal(len(book.Images), err)
		}
	}
	process()
	b.ReportAllocs()
	for b.Loop() {
		process()
	}
}

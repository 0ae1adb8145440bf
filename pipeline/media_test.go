package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

// L1
func TestItemWithoutMedia(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, nil)
	var results []Result
	called := false
	p, _ := keeping()
	p.ItemCompleted = func(_ context.Context, r []Result, item any) (any, error) {
		called, results = true, r
		return item, nil
	}
	book := &Book{}
	require.Same(t, book, b.must(b.open(p), book))
	require.True(t, called)
	require.NotNil(t, results)
	require.Empty(t, results)
	require.NotNil(t, book.Files, "no URLs: an empty list, not null")
	require.Empty(t, book.Files)
}

// L2 L3 L4 L7 V4 V5 V12 V14 V15
func TestResultsComeInTheOrderOfTheURLs(t *testing.T) {
	t.Parallel()
	slow := newHold(text("one"))
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{
		"/1.txt": slow.serve, "/2.txt": status(404), "/3.txt": text("three"), "/4.txt": text("four"),
	})
	p, s := keeping()
	var results []Result
	p.ItemCompleted = collect(&results)
	var n notes
	c := b.open(p, &probe{name: " and the later stage", notes: &n})
	book := &Book{FileURLs: urls("/1.txt", "/2.txt", "/3.txt", "/4.txt")}
	done := make(chan any)
	go func() {
		out, err := b.process(c, book)
		if err != nil {
			out = err
		}
		done <- out
	}()
	<-slow.arrived
	select {
	case <-done:
		t.Fatal("a later stage saw the item before its first file was there")
	default:
	}
	close(slow.release)
	require.Contains(t, <-done, "and the later stage")

	require.Len(t, results, 4)
	for i, r := range results {
		require.Equal(t, book.FileURLs[i], r.Request.URL.String())
	}
	require.Equal(t, &MediaError{Kind: KindStatus, URL: site + "/2.txt", Status: 404, Err: results[1].Err.(*MediaError).Err}, results[1].Err)
	require.Len(t, Succeeded(results), 3)
	want := crawl.File{
		URL: site + "/1.txt", Path: "full/" + nameOf(t, site+"/1.txt") + ".txt", Checksum: "f97c5d29941bfb1b2fdab0874906ab82",
		Status: "downloaded", Size: 3, ContentType: "text/plain",
	}
	require.Equal(t, want, book.Files[0])
	require.Len(t, book.Files, 3)
	require.Equal(t, site+"/3.txt", book.Files[1].URL)
	require.Equal(t, site+"/4.txt", book.Files[2].URL)
	require.Equal(t, "three", string(stored(t, s, book.Files[1].Path)))
	require.Equal(t, map[string]any{
		"file_count": int64(3), "file_status_count/downloaded": int64(3), "file_status_count/failed": int64(1),
		"media/failed_kind_count/status": int64(1), "media/bytes": int64(len("one" + "three" + "four")), "media/parked_max": int64(1),
	}, b.Stats.Snapshot())
	require.Equal(t, 3, b.log.FilterMessage("media downloaded").Len())
}

// L5 L6
func TestHooksAreCalledInTheirOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/good": text("good")})
	b.site.fail = map[string]error{site + "/refused": &crawl.DownloadError{Kind: crawl.KindRefused, Err: errors.New("connection refused")}}
	var n notes
	var failed error
	p, _ := keeping()
	p.MediaRequests = func(_ context.Context, item any) ([]*crawl.Request, error) {
		n.add("MediaRequests")
		return []*crawl.Request{crawl.Get(site + item.(*Book).Title)}, nil
	}
	p.MediaToDownload = func(context.Context, *crawl.Request, any) (*crawl.File, error) {
		n.add("MediaToDownload")
		return nil, nil
	}
	p.FilePath = func(req *crawl.Request, resp *crawl.Response, _ any) (string, error) {
		n.add(fmt.Sprintf("FilePath, response: %t", resp != nil))
		return strings.TrimPrefix(req.URL.Path, "/"), nil
	}
	p.MediaDownloaded = func(context.Context, *crawl.Response, any) (*crawl.File, error) {
		n.add("MediaDownloaded")
		return nil, nil
	}
	p.FileDownloaded = func(context.Context, *crawl.Response, any) error {
		n.add("FileDownloaded")
		return nil
	}
	p.MediaFailed = func(_ context.Context, _ *crawl.Request, err error, _ any) (crawl.File, error) {
		n.add("MediaFailed")
		failed = err
		return crawl.File{}, err
	}
	p.ItemCompleted = func(_ context.Context, results []Result, item any) (any, error) {
		n.add(fmt.Sprintf("ItemCompleted, failed: %t", results[0].Err != nil))
		return item, nil
	}
	c := b.open(p)
	b.must(c, &Book{Title: "/good"})
	require.Equal(t, []string{
		"MediaRequests", "MediaToDownload", "FilePath, response: false", "MediaDownloaded", "FileDownloaded",
		"FilePath, response: true", "FilePath, response: false", "ItemCompleted, failed: false",
	}, n.lines)
	n.lines = nil
	b.must(c, &Book{Title: "/refused"})
	require.Equal(t, []string{
		"MediaRequests", "MediaToDownload", "FilePath, response: false", "MediaFailed", "ItemCompleted, failed: true",
	}, n.lines)
	require.Equal(t, crawl.KindRefused, failed.(*MediaError).Kind)
}

// L8
func TestMediaToDownloadMaySayThatThereIsNothingToDo(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, nil)
	p, _ := keeping()
	p.MediaToDownload = func(context.Context, *crawl.Request, any) (*crawl.File, error) {
		return &crawl.File{Path: "from elsewhere", Checksum: "1", Status: "uptodate"}, nil
	}
	p.MediaDownloaded = func(context.Context, *crawl.Response, any) (*crawl.File, error) {
		panic("nothing is downloaded")
	}
	book := &Book{FileURLs: urls("/x")}
	b.must(b.open(p), book)
	require.Equal(t, []crawl.File{{URL: site + "/x", Path: "from elsewhere", Checksum: "1", Status: "uptodate"}}, book.Files)
	require.Zero(t, b.site.total())
	require.EqualValues(t, 1, b.Stats.Int("file_status_count/uptodate"))
}

// L9 L10 L22
func TestOneDownloadForWhatIsTheSame(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x.txt": text("x")})
	p, _ := keeping()
	book := &Book{FileURLs: urls("/x.txt?a=1&b=2", "/x.txt?b=2&a=1", "/x.txt?a=1&b=2#top", "/x.txt?a=1&b=2")}
	b.must(b.open(p), book)
	require.Equal(t, 1, b.site.total())
	require.Len(t, book.Files, 4)
	for i, f := range book.Files {
		require.Equal(t, book.FileURLs[i], f.URL, "each has its own URL")
		require.Equal(t, book.Files[0].Path, f.Path, "and the shared path")
	}
	require.EqualValues(t, 1, b.Stats.Int("file_count"))
}

// L11
func TestLaterItemsGetTheSameResult(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{Images: crawl.ImagesSettings{Thumbs: map[string]crawl.Size{"s": {Width: 8, Height: 8}}}},
		map[string]http.HandlerFunc{"/x.jpg": serve("image/jpeg", jpegOf(t, 32, 16))})
	p, _ := drawing()
	asked := 0
	p.MediaToDownload = func(context.Context, *crawl.Request, any) (*crawl.File, error) {
		asked++
		return nil, nil
	}
	c := b.open(p)
	first, second := &Book{ImageURLs: urls("/x.jpg")}, &Book{ImageURLs: urls("/x.jpg#other")}
	b.must(c, first)
	b.must(c, second)
	require.Equal(t, 1, asked)
	require.Equal(t, 1, b.site.total())
	require.Equal(t, site+"/x.jpg#other", second.Images[0].URL)
	second.Images[0].URL = first.Images[0].URL
	require.Equal(t, first.Images, second.Images)
	second.Images[0].Thumbs["s"] = crawl.Thumb{}
	require.NotEqual(t, first.Images, second.Images, "what an item has is its own")
}

// L12 L19
func TestItemsWaitForTheSameFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHold(text("x"))
		b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": h.serve})
		p, _ := keeping()
		c := b.open(p)
		m := c.stages[0].pipeline.(*media)
		fp := crawl.Get(site + "/x").Fingerprint()
		var wg sync.WaitGroup
		books := []*Book{{FileURLs: urls("/x")}, {FileURLs: urls("/x")}, {FileURLs: urls("/x", "/x")}}
		for _, book := range books {
			wg.Go(func() { b.must(c, book) })
		}
		<-h.arrived
		synctest.Wait()
		m.mu.Lock()
		require.Len(t, m.flights, 1)
		require.EqualValues(t, 4, m.flights[fp].here)
		_, known := m.memory.get(fp)
		m.mu.Unlock()
		require.False(t, known)
		require.EqualValues(t, 3, b.Stats.Int("media/parked"))
		close(h.release)
		wg.Wait()
		for _, book := range books {
			require.Len(t, book.Files, len(book.FileURLs))
			require.Equal(t, "downloaded", book.Files[0].Status)
		}
		require.Equal(t, 1, b.site.total())
		require.Zero(t, b.Stats.Int("media/parked"))
		require.Empty(t, m.flights)
		_, known = m.memory.get(fp)
		require.True(t, known)
	})
}

// L13 L24 D9
func TestWhichFailuresAreRemembered(t *testing.T) {
	t.Parallel()
	refused := func(kind crawl.Kind) error { return &crawl.DownloadError{Kind: kind, Err: errors.New("no luck")} }
	tests := map[string]struct {
		answer    http.HandlerFunc
		fail      error
		kind      crawl.Kind
		remembers bool
	}{
		"404":         {answer: status(404), kind: KindStatus, remembers: true},
		"410":         {answer: status(410), kind: KindStatus, remembers: true},
		"403":         {answer: status(403), kind: KindStatus, remembers: true},
		"408":         {answer: status(408), kind: KindStatus},
		"429":         {answer: status(429), kind: KindStatus},
		"500":         {answer: status(500), kind: KindStatus},
		"503":         {answer: status(503), kind: KindStatus},
		"empty":       {answer: text(""), kind: KindEmpty, remembers: true},
		"redirect":    {answer: http.RedirectHandler("/else", http.StatusFound).ServeHTTP, kind: KindRedirect, remembers: true},
		"undecodable": {answer: text("<html>no picture"), kind: KindUndecodable, remembers: true},
		"too small":   {answer: serve("image/jpeg", jpegOf(t, 5, 5)), kind: KindTooSmall, remembers: true},
		"too large":   {answer: text(strings.Repeat("x", 2000)), kind: crawl.KindTooLarge, remembers: true},
		"cut short": {answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("x"))
		}, kind: crawl.KindTruncated},
		"refused":    {fail: refused(crawl.KindRefused), kind: crawl.KindRefused},
		"timeout":    {fail: refused(crawl.KindTimeout), kind: crawl.KindTimeout},
		"dns":        {fail: refused(crawl.KindDNS), kind: crawl.KindDNS},
		"connection": {fail: refused(crawl.KindConnection), kind: crawl.KindConnection},
		"tls":        {fail: refused(crawl.KindTLS), kind: crawl.KindTLS, remembers: true},
		"encoding":   {fail: refused(crawl.KindEncoding), kind: crawl.KindEncoding, remembers: true},
		"robots":     {fail: crawl.IgnoreRequest("robots.txt"), kind: KindFiltered, remembers: true},
		"middleware": {fail: errors.New("of its own"), kind: KindOther},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, crawl.Settings{Media: crawl.MediaSettings{MaxSize: 1500}}, map[string]http.HandlerFunc{"/x": test.answer})
			if test.fail != nil {
				b.site.fail = map[string]error{site + "/x": fmt.Errorf("wrapped: %w", test.fail)}
			}
			p, _ := drawing()
			p.Settings.MinWidth = 10
			var results []Result
			p.ItemCompleted = collect(&results)
			c := b.open(p)
			for range 2 {
				book := &Book{ImageURLs: urls("/x")}
				b.must(c, book)
				require.Empty(t, book.Images)
				e := failureOf(t, results[0])
				require.Equal(t, test.kind, e.Kind)
				require.Equal(t, site+"/x", e.URL)
				require.Error(t, e.Err)
			}
			want := 2
			if test.remembers {
				want = 1
			}
			require.Equal(t, want, b.site.count(site+"/x"))
			require.EqualValues(t, want, b.Stats.Int("file_status_count/failed"))
			require.EqualValues(t, want, b.Stats.Int("media/failed_kind_count/"+string(test.kind)))
			if test.kind == KindFiltered { // D12
				require.Empty(t, b.warnings())
				require.Equal(t, want, b.log.FilterMessage("media filtered").Len())
				return
			}
			require.Len(t, b.warnings(), want, lines(b.warnings())) // V10 V11
			require.Equal(t, "media failed", b.warnings()[0].Message)
			require.Equal(t, site+"/x", fieldsOf(b.warnings()[0])["url"])
			require.Equal(t, "https://shop.example/page?user=1", fieldsOf(b.warnings()[0])["page"])
		})
	}
}

// V11
func TestMediaErrorSaysWhatHappened(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{
		"/404": status(404), "/empty": text(""), "/moved": http.RedirectHandler("https://other.example/x", http.StatusFound).ServeHTTP,
	})
	b.site.fail = map[string]error{
		site + "/timeout":                        &crawl.DownloadError{Kind: crawl.KindTimeout, URL: site + "/timeout", Err: errors.New("not done within 3m")},
		"https://user:secret@cdn.example/robots": crawl.IgnoreRequest("forbidden by robots.txt"),
	}
	p, _ := keeping()
	var results []Result
	p.ItemCompleted = collect(&results)
	long := "data:image/png;base64," + strings.Repeat("A", 10_000)
	b.must(b.open(p), &Book{FileURLs: append(urls("/404", "/empty", "/moved", "/timeout"),
		"https://user:secret@cdn.example/robots", "no-scheme.jpg", "gopher://x/y", long)})
	var got []string
	for _, r := range results {
		got = append(got, r.Err.Error())
	}
	require.Equal(t, []string{
		"media <https://cdn.example/404>: status: status 404 Not Found",
		"media <https://cdn.example/empty>: empty: status 200 with no body",
		"media <https://cdn.example/moved>: redirect: status 302: redirected to https://other.example/x (set media.allow_redirects)",
		"media <https://cdn.example/timeout>: timeout: not done within 3m",
		"media <https://user:***@cdn.example/robots>: filtered: request ignored: forbidden by robots.txt",
		"media <no-scheme.jpg>: request: no scheme",
		`media <gopher://x/y>: request: unknown scheme "gopher"`,
		"media <" + long[:maxAddress] + `…>: request: unknown scheme "data"`,
	}, got)
	require.Equal(t, 302, failureOf(t, results[2]).Status)
	var download *crawl.DownloadError
	require.ErrorAs(t, results[3].Err, &download)
}

// L18
func TestRememberedFailureHoldsNothingButText(t *testing.T) {
	t.Parallel()
	big := &crawl.DownloadError{Kind: crawl.KindTLS, Err: errors.New("bad certificate")}
	o := &outcome{err: failure(crawl.Get(site+"/x"), 0, big, true)}
	known := decodeOutcome(o.encode())
	require.Equal(t, &MediaError{Kind: crawl.KindTLS, Err: errors.New(big.Error())}, known.err)
	req := crawl.Get(site + "/y")
	require.Equal(t, site+"/y", failureOf(t, known.result(req)).URL)
}

func TestOutcomesSurviveTheirCompactForm(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*outcome{
		"nothing": {},
		"file": {file: crawl.File{
			Path: "full/x.jpg", Checksum: "1", Status: "uptodate", Width: 640, Height: 427, Size: 1 << 40, ContentType: "image/jpeg", FinalURL: "https://x/",
			Thumbs: map[string]crawl.Thumb{"s": {Path: "thumbs/s/x.jpg", Width: 50, Height: 33}, "": {}},
		}},
		"failure":         {err: &MediaError{Kind: KindStatus, Status: 404, Err: errors.New("status 404")}},
		"failure, silent": {err: &MediaError{Kind: KindOther}},
	} {
		require.Equal(t, o, decodeOutcome(o.encode()), name)
	}
}

// L24: the least recently asked for go first.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{Media: crawl.MediaSettings{CacheSize: 2}}, map[string]http.HandlerFunc{
		"/a": text("a"), "/b": text("b"), "/c": text("c"),
	})
	p, _ := keeping()
	p.Settings.Expires = -1
	c := b.open(p)
	for _, path := range []string{"/a", "/b", "/a", "/c", "/a"} {
		b.must(c, &Book{FileURLs: urls(path)})
	}
	require.Equal(t, 1, b.site.count(site+"/a"), "asked for all the time, so remembered")
	b.must(c, &Book{FileURLs: urls("/b")})
	require.Equal(t, 2, b.site.count(site+"/b"))

	none := newBench(t, crawl.Settings{Media: crawl.MediaSettings{CacheSize: -1}}, b.site.handle)
	c = none.open(p)
	for range 3 {
		none.must(c, &Book{FileURLs: urls("/a")})
	}
	require.Equal(t, 3, none.site.total())
}

// Not parallel: it looks at the heap.
func TestRememberedResultIsSmall(t *testing.T) {
	const n = 10_000
	heap := func() int64 {
		for range 3 {
			runtime.GC() // what pools hold goes with the second
		}
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before := heap()
	m := memory{size: n}
	for i := range 2 * n {
		fp := crawl.Fingerprint{byte(i), byte(i >> 8), byte(i >> 16)}
		name := fmt.Sprintf("%040d", i)
		o := &outcome{file: crawl.File{
			Path: "full/" + name + ".jpg", Checksum: name[:32], Status: "downloaded", Width: 1000, Height: 750, Size: 123_456, ContentType: "image/jpeg",
			Thumbs: map[string]crawl.Thumb{"small": {Path: "thumbs/small/" + name + ".jpg", Width: 50, Height: 38}},
		}}
		m.put(fp, o.encode())
	}
	each := (heap() - before) / n
	t.Logf("%d bytes each", each)
	require.LessOrEqual(t, each, int64(330))
	require.Greater(t, each, int64(100), "or it was not measured")
	require.Len(t, m.index, n)
	require.Len(t, m.entries, n)
}

// L20
func TestMediaFailedMayTurnAFailureIntoAResult(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/404": status(404), "/410": status(410)})
	p, _ := keeping()
	var called atomic.Int64
	p.MediaFailed = func(_ context.Context, req *crawl.Request, err error, _ any) (crawl.File, error) {
		called.Add(1)
		switch {
		case req.URL == nil:
			return crawl.File{URL: "?", Path: "placeholder"}, nil
		case req.URL.Path == "/404":
			return crawl.File{Path: "placeholder", Status: "placeholder"}, nil
		}
		return crawl.File{}, errors.New("no placeholder either")
	}
	var results []Result
	p.ItemCompleted = collect(&results)
	c := b.open(p)
	for range 2 {
		book := &Book{FileURLs: append(urls("/404", "/410"), "no-scheme")}
		b.must(c, book)
		require.Equal(t, []crawl.File{{URL: site + "/404", Path: "placeholder", Status: "placeholder"}, {URL: "?", Path: "placeholder"}}, book.Files)
		require.EqualError(t, results[1].Err, "media <https://cdn.example/410>: status: no placeholder either")
		require.Equal(t, 410, failureOf(t, results[1]).Status)
	}
	require.EqualValues(t, 4, called.Load(), "once a flight; the bad URL has none")
	require.Len(t, b.warnings(), 1)
	require.EqualValues(t, 1, b.Stats.Int("file_status_count/placeholder"))
}

// L23
func TestPipelinesDoNotShareTheirResults(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x.jpg": serve("image/jpeg", jpegOf(t, 10, 10))})
	f, _ := keeping()
	im, _ := drawing()
	book := &Book{FileURLs: urls("/x.jpg"), ImageURLs: urls("/x.jpg")}
	b.must(b.open(f, im), book)
	require.Equal(t, 2, b.site.total())
	require.Len(t, book.Files, 1)
	require.Len(t, book.Images, 1)
	require.EqualValues(t, 2, b.Stats.Int("file_count"))
}

// L26
func TestBadURLFailsAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": text("x")})
	p, _ := keeping()
	var results []Result
	p.ItemCompleted = collect(&results)
	book := &Book{FileURLs: []string{"", "x.jpg", "http://", "http://a b\x00/%zz", site + "/x", "teapot://x/y"}}
	b.must(b.open(p), book)
	require.Len(t, book.Files, 1)
	require.Equal(t, site+"/x", book.Files[0].URL)
	for i, r := range results {
		if i != 4 {
			require.Equal(t, crawl.KindRequest, failureOf(t, r).Kind, book.FileURLs[i])
		}
	}
	require.EqualValues(t, 5, b.Stats.Int("media/failed_kind_count/request"))
	require.Len(t, b.warnings(), 5)

	p.MediaRequests = func(context.Context, any) ([]*crawl.Request, error) {
		return []*crawl.Request{nil, crawl.Get(site+"/x", crawl.With(func() {}))}, nil
	}
	b.must(b.open(p), &Book{})
	require.EqualError(t, results[0].Err, "media <>: request: no request")
	require.Equal(t, crawl.KindRequest, failureOf(t, results[1]).Kind)
}

// L29 V8 V9
func TestHookThatFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	hooks := map[string]func(*FilesPipeline, func() error){
		"MediaToDownload": func(p *FilesPipeline, f func() error) {
			p.MediaToDownload = func(context.Context, *crawl.Request, any) (*crawl.File, error) { return nil, f() }
		},
		"FilePath": func(p *FilesPipeline, f func() error) {
			p.FilePath = func(*crawl.Request, *crawl.Response, any) (string, error) { return "x", f() }
		},
		"FilePath with the response": func(p *FilesPipeline, f func() error) {
			p.FilePath = func(_ *crawl.Request, resp *crawl.Response, _ any) (string, error) {
				if resp == nil {
					return "", nil
				}
				return "x", f()
			}
		},
		"MediaDownloaded": func(p *FilesPipeline, f func() error) {
			p.MediaDownloaded = func(context.Context, *crawl.Response, any) (*crawl.File, error) { return nil, f() }
		},
		"FileDownloaded": func(p *FilesPipeline, f func() error) {
			p.FileDownloaded = func(context.Context, *crawl.Response, any) error { return f() }
		},
		"MediaFailed": func(p *FilesPipeline, f func() error) {
			p.MediaDownloaded = func(context.Context, *crawl.Response, any) (*crawl.File, error) { return nil, errors.New("first") }
			p.MediaFailed = func(context.Context, *crawl.Request, error, any) (crawl.File, error) { return crawl.File{}, f() }
		},
	}
	for name, set := range hooks {
		for how, f := range map[string]func() error{
			"error": func() error { return broken },
			"panic": func() error { panic(broken) },
			"close": func() error { return crawl.CloseSpider("enough") },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": text("x")})
				p, _ := keeping()
				set(p, f)
				var results []Result
				p.ItemCompleted = collect(&results)
				book := &Book{FileURLs: urls("/x")}
				_, err := b.process(b.open(p), book)
				if how == "close" {
					var stop *crawl.CloseSpiderError
					require.ErrorAs(t, err, &stop)
					require.Equal(t, "enough", stop.Reason)
					return
				}
				require.NoError(t, err, "the item goes on")
				require.Empty(t, book.Files)
				require.ErrorIs(t, results[0].Err, broken)
				require.Equal(t, KindOther, failureOf(t, results[0]).Kind)
				var panicked *crawl.PanicError
				require.Equal(t, how == "panic", errors.As(results[0].Err, &panicked))
				require.Len(t, b.warnings(), 1)
				if how == "panic" {
					require.Contains(t, fieldsOf(b.warnings()[0])["stack"], "TestHookThatFails")
				}
			})
		}
	}
}

func TestHookErrorsOfTheItem(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, nil)
	p, _ := keeping()
	p.MediaRequests = func(context.Context, any) ([]*crawl.Request, error) { return nil, errors.New("no idea") }
	_, err := b.process(b.open(p), &Book{})
	require.EqualError(t, err, "pipeline.FilesPipeline: no idea")

	p, _ = keeping()
	p.ItemCompleted = func(context.Context, []Result, any) (any, error) {
		return nil, crawl.DropItem("item contains no files")
	}
	_, err = b.process(b.open(p), &Book{})
	var dropped *crawl.DropItemError
	require.ErrorAs(t, err, &dropped)

	p.ItemCompleted = func(context.Context, []Result, any) (any, error) { return nil, nil }
	_, err = b.process(b.open(p), &Book{})
	require.ErrorIs(t, err, errNoItem)
}

func TestHookMayFilterQuietly(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": text("x")})
	p, _ := keeping()
	p.MediaDownloaded = func(context.Context, *crawl.Response, any) (*crawl.File, error) {
		return nil, crawl.IgnoreRequest("not for us")
	}
	b.must(b.open(p), &Book{FileURLs: urls("/x")})
	require.Empty(t, b.warnings())
	require.EqualValues(t, 1, b.Stats.Int("media/failed_kind_count/filtered"))
}

func TestMediaDownloadedMayTakeAnyResponse(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": status(404)})
	p, _ := keeping()
	p.MediaDownloaded = func(_ context.Context, resp *crawl.Response, _ any) (*crawl.File, error) {
		return &crawl.File{Path: fmt.Sprint("a page of status ", resp.Status)}, nil
	}
	book := &Book{FileURLs: urls("/x")}
	b.must(b.open(p), book)
	require.Equal(t, "a page of status 404", book.Files[0].Path)
}

// D5 D6 D11 D12 D13 and the rest of what a media request carries.
func TestKnobsOfMediaRequests(t *testing.T) {
	t.Parallel()
	usual := crawl.Knobs{HandleAllStatus: true, DontRedirect: true, AllowOffsite: true, DontRefresh: true}
	tests := map[string]struct {
		settings crawl.MediaSettings
		url      string
		own      *crawl.Knobs
		want     crawl.Knobs
	}{
		"usual":            {want: usual},
		"redirects":        {settings: crawl.MediaSettings{AllowRedirects: true}, want: crawl.Knobs{AllowOffsite: true, DontRefresh: true}},
		"allowed domains":  {settings: crawl.MediaSettings{ObeyAllowedDomains: true}, want: crawl.Knobs{HandleAllStatus: true, DontRedirect: true, DontRefresh: true}},
		"data has no host": {settings: crawl.MediaSettings{ObeyAllowedDomains: true}, url: "data:,x", want: usual},
		"robots":           {settings: crawl.MediaSettings{IgnoreRobots: true}, want: crawl.Knobs{HandleAllStatus: true, DontRedirect: true, AllowOffsite: true, DontRefresh: true, IgnoreRobots: true}},
		"size":             {settings: crawl.MediaSettings{MaxSize: 9}, want: crawl.Knobs{HandleAllStatus: true, DontRedirect: true, AllowOffsite: true, DontRefresh: true, MaxSize: 9}},
		"the request's own": { // D10
			settings: crawl.MediaSettings{MaxSize: 9}, own: &crawl.Knobs{MaxSize: 5, Slot: "slow", DontRetry: true, CookieJar: "j"},
			want: crawl.Knobs{HandleAllStatus: true, DontRedirect: true, AllowOffsite: true, DontRefresh: true, MaxSize: 5, Slot: "slow", DontRetry: true, CookieJar: "j"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, crawl.Settings{Media: test.settings}, map[string]http.HandlerFunc{"/x": text("x")})
			if test.url == "" {
				test.url = site + "/x"
			}
			req := crawl.Get(test.url)
			req.Priority, req.Knobs = 7, test.own
			req.Header = http.Header{"Accept": {"image/webp"}}
			p, _ := keeping()
			p.MediaRequests = func(context.Context, any) ([]*crawl.Request, error) { return []*crawl.Request{req}, nil }
			b.must(b.open(p), &Book{})
			sent := b.site.last()
			require.Equal(t, test.want, *sent.Knob())
			require.False(t, sent.DontFilter, "it would pass as offsite")
			require.Equal(t, 7, sent.Priority)
			require.Equal(t, http.Header{"Accept": {"image/webp"}}, sent.Header)
			require.Same(t, test.own, req.Knobs, "the hook's request is not changed")
		})
	}
}

// D5 D6 D7
func TestRedirects(t *testing.T) {
	t.Parallel()
	site1 := map[string]http.HandlerFunc{"/old.txt": http.RedirectHandler("/new.bin", http.StatusFound).ServeHTTP, "/new.bin": text("x")}
	b := newBench(t, crawl.Settings{}, site1)
	p, _ := keeping()
	var results []Result
	p.ItemCompleted = collect(&results)
	b.must(b.open(p), &Book{FileURLs: urls("/old.txt")})
	require.Equal(t, KindRedirect, failureOf(t, results[0]).Kind)
	require.Equal(t, 1, b.site.total())

	b = newBench(t, crawl.Settings{Media: crawl.MediaSettings{AllowRedirects: true}}, site1)
	p, s := keeping()
	book := &Book{FileURLs: urls("/old.txt")}
	b.must(b.open(p), book)
	require.Equal(t, "full/"+nameOf(t, site+"/old.txt")+".txt", book.Files[0].Path)
	require.Equal(t, site+"/old.txt", book.Files[0].URL)
	require.Equal(t, site+"/new.bin", book.Files[0].FinalURL)
	info, err := s.Stat(t.Context(), book.Files[0].Path)
	require.NoError(t, err)
	require.Equal(t, site+"/new.bin", info.Meta.FinalURL)
}

// V1 V2
func TestStatuses(t *testing.T) {
	t.Parallel()
	with := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte("a body"))
		}
	}
	good := func(settings crawl.MediaSettings) (ok []int) {
		for _, code := range []int{200, 201, 203, 206, 299, 300, 302, 304, 400, 404, 500} {
			b := newBench(t, crawl.Settings{Media: settings}, map[string]http.HandlerFunc{"/x": with(code)})
			p, _ := keeping()
			book := &Book{FileURLs: urls("/x")}
			b.must(b.open(p), book)
			if len(book.Files) == 1 {
				ok = append(ok, code)
			}
		}
		return ok
	}
	require.Equal(t, []int{200, 201, 203, 206, 299}, good(crawl.MediaSettings{}))
	require.Equal(t, []int{200, 404}, good(crawl.MediaSettings{Statuses: []int{200, 404}}))
}

// V3
func TestCachedResponses(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Test-Cached", "1")
		_, _ = w.Write([]byte("x"))
	}})
	p, s := keeping()
	book := &Book{FileURLs: urls("/x")}
	b.must(b.open(p), book)
	require.Equal(t, "cached", book.Files[0].Status)
	require.Equal(t, "x", string(stored(t, s, book.Files[0].Path)))
	require.EqualValues(t, 1, b.Stats.Int("file_status_count/cached"))
}

func TestTraceHooks(t *testing.T) {
	t.Parallel()
	var n notes
	b := newBench(t, crawl.Settings{Trace: crawl.Trace{
		MediaStored: func(req *crawl.Request, f crawl.File) { n.add("stored " + req.URL.Path + " " + f.Status) },
		MediaFailed: func(req *crawl.Request, err error) {
			n.add("failed " + err.Error())
			panic("a hook of a user")
		},
	}}, map[string]http.HandlerFunc{"/x": text("x")})
	p, _ := keeping()
	c := b.open(p)
	for range 2 {
		b.must(c, &Book{FileURLs: urls("/x")})
		b.must(c, &Book{FileURLs: urls("/404")})
	}
	require.Equal(t, []string{"stored /x downloaded", "failed media <https://cdn.example/404>: status: status 404 Not Found"}, n.lines)
	require.Equal(t, 1, b.log.FilterMessage("trace hook failed").Len())
}

// L3: however many wait for media, stages have room.
func TestParkedItemsHoldNoPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHold(text("x"))
		b := newBench(t, crawl.Settings{ConcurrentStages: 1}, map[string]http.HandlerFunc{"/1": h.serve, "/2": h.serve, "/3": h.serve, "/quick": text("x")})
		p, _ := keeping()
		c := b.open(p)
		var wg sync.WaitGroup
		for _, path := range []string{"/1", "/2", "/3"} {
			wg.Go(func() { b.must(c, &Book{FileURLs: urls(path)}) })
		}
		for range 3 {
			<-h.arrived
		}
		synctest.Wait()
		require.EqualValues(t, 3, b.Stats.Int("media/parked"))
		book := &Book{FileURLs: urls("/quick")}
		b.must(c, book)
		require.Len(t, book.Files, 1)
		close(h.release)
		wg.Wait()
		require.Empty(t, c.places)
	})
}

// A parked item takes its place again before it goes on.
func TestParkedItemsQueueForTheirPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHold(text("x"))
		b := newBench(t, crawl.Settings{ConcurrentStages: 2}, map[string]http.HandlerFunc{"/x": h.serve})
		p, _ := keeping()
		g := &gatekeeper{entered: make(chan struct{}, 20), release: make(chan struct{})}
		c := b.open(p, g)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { b.must(c, &Book{FileURLs: urls("/x")}) })
		}
		<-h.arrived
		synctest.Wait()
		require.EqualValues(t, 10, b.Stats.Int("media/parked"))
		close(h.release)
		<-g.entered
		<-g.entered
		close(g.release)
		wg.Wait()
		require.EqualValues(t, 2, g.most.Load())
	})
}

// A flight belongs to all who wait for it.
func TestFlightOutlivesWhoStartedIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHold(text("x"))
		b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": h.serve})
		p, _ := keeping()
		c := b.open(p)
		first, leave := context.WithCancelCause(b.ctx())
		gone := make(chan error)
		go func() {
			_, err := c.Process(first, &Book{FileURLs: urls("/x")})
			gone <- err
		}()
		<-h.arrived
		stayed := make(chan error)
		book := &Book{FileURLs: urls("/x")}
		go func() {
			_, err := b.process(c, book)
			stayed <- err
		}()
		synctest.Wait()
		require.EqualValues(t, 2, b.Stats.Int("media/parked"))
		left := errors.New("left")
		leave(left)
		require.ErrorIs(t, <-gone, left)
		close(h.release)
		require.NoError(t, <-stayed)
		require.Len(t, book.Files, 1)
		require.Equal(t, 1, b.site.total())
	})
}

func TestFlightEndsWithItsLastWaiter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHold(text("x")) // never released: it ends because its client gives up
		b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": h.serve})
		p, s := keeping()
		c := b.open(p)
		ctx, cancel := context.WithCancel(b.ctx())
		gone := make(chan error)
		for range 3 {
			go func() {
				_, err := c.Process(ctx, &Book{FileURLs: urls("/x", "/x")})
				gone <- err
			}()
		}
		<-h.arrived
		synctest.Wait()
		require.EqualValues(t, 3, b.Stats.Int("media/parked"))
		cancel()
		for range 3 {
			require.ErrorIs(t, <-gone, context.Canceled)
		}
		m := c.stages[0].pipeline.(*media)
		m.running.Wait()
		require.Empty(t, m.flights)
		require.Empty(t, s.Names())
		require.Zero(t, b.Stats.Int("file_status_count/failed"), "that was nobody's failure")
		require.Empty(t, b.warnings())

		close(h.release)
		book := &Book{FileURLs: urls("/x")}
		b.must(c, book)
		require.Len(t, book.Files, 1, "and it is not remembered as one")
	})
}

// stuckStore is one whose Stat hangs until its caller gives up.
type stuckStore struct {
	crawl.Store
	asked chan struct{}
}

func (s *stuckStore) Stat(ctx context.Context, _ string) (crawl.Info, error) {
	close(s.asked)
	<-ctx.Done()
	return crawl.Info{}, ctx.Err()
}

func TestStuckStoreDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, nil)
	s := &stuckStore{Store: new(store.Memory), asked: make(chan struct{})}
	c := b.open(&FilesPipeline{Store: s})
	ctx, cancel := context.WithCancel(b.ctx())
	done := make(chan error)
	go func() {
		_, err := c.Process(ctx, &Book{FileURLs: urls("/x", "/y")})
		done <- err
	}()
	<-s.asked
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

// closingKind notes that it was closed.
type closingKind struct {
	Kind
	closed chan struct{}
}

func (k closingKind) Unwrap() Kind { return k.Kind }

func (k closingKind) Close() error {
	close(k.closed)
	return nil
}

func TestHookThatHangsDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": text("x")})
		hung, release, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
		p, _ := keeping()
		p.FileDownloaded = func(context.Context, *crawl.Response, any) error {
			close(hung)
			<-release
			return nil
		}
		c, err := Open(t.Context(), b.Env, []crawl.Stage{{Pipeline: &MediaPipeline{OpenKind: func(ctx context.Context, env *crawl.Env) (Kind, error) {
			k, err := p.OpenKind(ctx, env)
			return closingKind{k, closed}, err
		}}}})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(b.ctx())
		gone := make(chan error)
		go func() {
			_, err := c.Process(ctx, &Book{FileURLs: urls("/x")})
			gone <- err
		}()
		<-hung
		cancel()
		require.ErrorIs(t, <-gone, context.Canceled)
		require.NoError(t, c.Close())
		select {
		case <-closed:
			require.Fail(t, "it is in use")
		default:
		}
		close(release)
		<-closed
	})
}

// D17: what is asked while the crawl is ending is nobody's failure, and the item must not go on without its media.
func TestStoppingCrawl(t *testing.T) {
	t.Parallel()
	for _, why := range []error{crawl.ErrStopping, context.Canceled} {
		b := newBench(t, crawl.Settings{}, nil)
		b.site.fail = map[string]error{site + "/x": fmt.Errorf("submit: %w", why)}
		p, _ := keeping()
		_, err := b.process(b.open(p), &Book{FileURLs: urls("/x")})
		require.ErrorIs(t, err, why)
		require.Zero(t, b.Stats.Int("file_status_count/failed"))
		require.Empty(t, b.warnings())
	}
}

func TestTenThousandItemsShareOneDownload(t *testing.T) {
	t.Parallel()
	const n = 10_000
	h := newHold(serve("image/jpeg", jpegOf(t, 16, 16)))
	b := newBench(t, crawl.Settings{ConcurrentStages: 7}, map[string]http.HandlerFunc{"/logo.jpg": h.serve})
	p, s := drawing()
	c := b.open(p)
	books := make([]Book, n)
	var wg sync.WaitGroup
	for i := range books {
		books[i].ImageURLs = urls("/logo.jpg")
		wg.Go(func() {
			if _, err := c.Process(b.ctx(), &books[i]); err != nil {
				t.Error(err)
			}
		})
	}
	<-h.arrived
	close(h.release)
	wg.Wait()
	require.Equal(t, 1, b.site.total())
	require.Len(t, s.Names(), 1)
	for i := range books {
		require.Len(t, books[i].Images, 1)
	}
	require.EqualValues(t, 1, b.Stats.Int("file_count"))
}

func TestManyItemsAndFlightsAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{ConcurrentStages: 5, Media: crawl.MediaSettings{CacheSize: 10}}, map[string]http.HandlerFunc{})
	for i := range 40 {
		b.site.handle[fmt.Sprintf("/%d", i)] = text(fmt.Sprint("file ", i))
	}
	p, _ := keeping()
	c := b.open(p)
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(b.ctx())
			defer cancel()
			if i%10 == 0 {
				go cancel() // some leave at any moment
			}
			book := &Book{FileURLs: urls(fmt.Sprintf("/%d", i%40), fmt.Sprintf("/%d", i*7%40), fmt.Sprintf("/%d", i*11%40), "/404")}
			_, err := c.Process(ctx, book)
			if i%10 == 0 && err != nil {
				return
			}
			if err != nil || len(book.Files) != 3 {
				t.Errorf("%d files, %v", len(book.Files), err)
				return
			}
			for k, f := range book.Files {
				if f.URL != book.FileURLs[k] {
					t.Errorf("%s where %s should be", f.URL, book.FileURLs[k])
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, b.Stats.Int("media/parked"))
}

// failingStore refuses to keep files while it is told to.
type failingStore struct {
	store.Memory
	mu   sync.Mutex
	err  error
	puts int

	delay time.Duration // of each Put
}

func (s *failingStore) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *failingStore) Put(ctx context.Context, name string, r io.Reader, meta crawl.Meta) error {
	s.mu.Lock()
	s.puts++
	err := s.err
	s.mu.Unlock()
	time.Sleep(s.delay)
	if err != nil {
		return err
	}
	return s.Memory.Put(ctx, name, r, meta)
}

func TestStoreErrorsAreRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": text("x")})
		s := &failingStore{err: errors.New("try again")}
		c := b.open(&FilesPipeline{Store: s})
		book := &Book{FileURLs: urls("/x")}
		start := time.Now()
		time.AfterFunc(storeBackOff+storeBackOff/2, func() { s.set(nil) })
		b.must(c, book)
		require.Len(t, book.Files, 1)
		require.Equal(t, 3, s.puts)
		require.Equal(t, 3*storeBackOff, time.Since(start))
		require.Zero(t, b.Stats.Int("file_status_count/failed"))
	})
}

// A store in the network that stands still has tried for minutes by the time it fails. It is not asked four times.
func TestStoreThatTakesLongToFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": text("x")})
		s := &failingStore{delay: 4 * time.Minute}
		s.set(errors.New("it stands still"))
		book := &Book{FileURLs: urls("/x")}
		b.must(b.open(&FilesPipeline{Store: s}), book)
		require.Empty(t, book.Files)
		require.Equal(t, 2, s.puts)
	})
}

func TestStoreThatStaysBrokenClosesTheCrawl(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("no space left on device")
		b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{})
		for i := range 30 {
			b.site.handle[fmt.Sprintf("/%d", i)] = text("x")
		}
		s := &failingStore{}
		var results []Result
		c := b.open(&FilesPipeline{Store: s, ItemCompleted: collect(&results)})
		process := func(i int) error {
			_, err := b.process(c, &Book{FileURLs: urls(fmt.Sprintf("/%d", i))})
			return err
		}
		s.set(full)
		for i := range storeStrikes - 1 {
			require.NoError(t, process(i), "one picture less, and the item goes on")
			require.Equal(t, KindStore, failureOf(t, results[0]).Kind)
			require.ErrorIs(t, results[0].Err, full)
		}
		require.Equal(t, (storeStrikes-1)*(1+storeRetries), s.puts)
		s.set(nil)
		require.NoError(t, process(0), "a failure of the store is forgotten")
		require.NoError(t, results[0].Err)
		s.set(full)
		for i := range storeStrikes - 1 {
			require.NoError(t, process(1+i), "it took one, so the count starts again")
		}
		var stop *crawl.CloseSpiderError
		require.ErrorAs(t, process(20), &stop)
		require.Equal(t, "store", stop.Reason)
		require.ErrorAs(t, process(21), &stop, "nothing goes on without its media any more")
		require.Equal(t, 1, b.log.FilterMessageSnippet("the crawl is closed").Len())
	})
}

// plainKind is a Kind of a user's: it keeps nothing and counts.
type plainKind struct {
	*Book
	closed bool
}

func (k *plainKind) Requests(_ context.Context, item any) ([]*crawl.Request, error) {
	return []*crawl.Request{crawl.Get(item.(map[string]any)["feed"].(string))}, nil
}

func (k *plainKind) Fresh(_ context.Context, req *crawl.Request, _ any) (*crawl.File, error) {
	req.Header = http.Header{"X-Added": {"by Fresh"}}
	return nil, nil
}

func (k *plainKind) Store(_ context.Context, resp *crawl.Response, _ any) (crawl.File, error) {
	b, err := resp.Bytes()
	if string(b) == "panic" {
		panic("in Store")
	}
	return crawl.File{Checksum: strings.ToUpper(string(b)), Status: "parsed"}, err
}

func (k *plainKind) Complete(_ context.Context, results []Result, item any) (any, error) {
	item.(map[string]any)["results"] = results
	return item, nil
}

func (k *plainKind) Close() error {
	k.closed = true
	return nil
}

func TestKindOfAUser(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/a": text("a"), "/panic": text("panic"), "/503": status(503)})
	k := &plainKind{}
	c := b.open(&MediaPipeline{Kind: k})
	item := b.must(c, map[string]any{"feed": site + "/a"}).(map[string]any)
	require.Equal(t, crawl.File{URL: site + "/a", Checksum: "A", Status: "parsed"}, item["results"].([]Result)[0].File)
	require.Equal(t, "by Fresh", b.site.last().Header.Get("X-Added"))
	require.EqualValues(t, 1, b.Stats.Int("file_status_count/parsed"))

	item = b.must(c, map[string]any{"feed": site + "/503"}).(map[string]any)
	require.Equal(t, 503, failureOf(t, item["results"].([]Result)[0]).Status, "Store is given successes only")

	item = b.must(c, map[string]any{"feed": site + "/panic"}).(map[string]any)
	var panicked *crawl.PanicError
	require.ErrorAs(t, item["results"].([]Result)[0].Err, &panicked)
	require.NoError(t, c.Close())
	require.False(t, k.closed, "a Kind of the description is not ours")

	c = b.open(&MediaPipeline{OpenKind: func(context.Context, *crawl.Env) (Kind, error) { return k, nil }})
	require.NoError(t, c.Close())
	require.True(t, k.closed)
}

// louder wraps the kind of a FilesPipeline.
type louder struct{ Kind }

func (l louder) Store(ctx context.Context, resp *crawl.Response, item any) (crawl.File, error) {
	b, err := resp.Bytes()
	if err != nil {
		return crawl.File{}, err
	}
	resp.Body = crawl.BytesBody([]byte(strings.ToUpper(string(b))))
	return l.Kind.Store(ctx, resp, item)
}

func TestKindThatWrapsAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/a": text("a")})
	f, s := keeping()
	c := b.open(&MediaPipeline{OpenKind: func(ctx context.Context, env *crawl.Env) (Kind, error) {
		k, err := f.OpenKind(ctx, env)
		return louder{k}, err
	}})
	book := &Book{FileURLs: urls("/a")}
	b.must(c, book)
	require.Equal(t, "A", string(stored(t, s, book.Files[0].Path)))
}

// A Fetcher that is no Submitter will do.
func TestPlainFetcher(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, map[string]http.HandlerFunc{"/x": text("x")})
	b.Fetcher = crawl.FetcherFunc(b.site.Fetch)
	p, _ := keeping()
	book := &Book{FileURLs: urls("/x")}
	b.must(b.open(p), book)
	require.Len(t, book.Files, 1)

	b.Fetcher = crawl.FetcherFunc(func(context.Context, *crawl.Request) (*crawl.Response, error) { return nil, nil })
	book = &Book{FileURLs: urls("/y")}
	b.must(b.open(p), book)
	require.Empty(t, book.Files)
}

func TestDescriptionsMustBeOpened(t *testing.T) {
	t.Parallel()
	b := newBench(t, crawl.Settings{}, nil)
	for _, p := range []crawl.Pipeline{&FilesPipeline{}, &ImagesPipeline{}, &MediaPipeline{}} {
		_, err := p.Process(t.Context(), &Book{})
		require.ErrorIs(t, err, errNotOpen)
	}
	_, err := Open(t.Context(), b.Env, []crawl.Stage{{Pipeline: &MediaPipeline{}}})
	require.EqualError(t, err, "open item pipeline pipeline.MediaPipeline: the MediaPipeline has no Kind")
}

func TestSpoolFilesAreRemoved(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 10_000)
	b := newBench(t, crawl.Settings{Download: crawl.DownloadSettings{SpoolOver: 1000}}, map[string]http.HandlerFunc{
		"/good": text(big), "/bad": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, big, 404) },
	})
	var bodies []string
	var mu sync.Mutex
	p, _ := keeping() // a store in memory takes no files over
	p.MediaDownloaded = func(_ context.Context, resp *crawl.Response, _ any) (*crawl.File, error) {
		mu.Lock()
		defer mu.Unlock()
		bodies = append(bodies, resp.Body.Path())
		return nil, nil
	}
	p.FileDownloaded = func(_ context.Context, resp *crawl.Response, _ any) error {
		resp.Body = crawl.BytesBody([]byte("another"))
		return nil
	}
	c := b.open(p)
	book := &Book{FileURLs: urls("/good", "/bad")}
	b.must(c, book)
	require.NoError(t, c.Close())
	require.Equal(t, "b32d73e56ec99bc5ec8f83871cde708a", book.Files[0].Checksum)
	require.Len(t, slices.Compact(bodies), 2)
	for _, path := range bodies {
		require.NoFileExists(t, path)
	}
}

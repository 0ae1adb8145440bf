package pipeline_test

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

// The rows are what the media pipelines must do: each behaviour of Scrapy's, as tulle has it, under the name it has in the specification. Every row is a subtest
// whose name begins with it, in the files rows_*_test.go, and goes through a whole crawl over real HTTP. Those that are tested elsewhere stand in elsewhere.

// sections are the letters of the rows and how many there are of each.
var sections = []struct {
	letter string
	rows   int
}{
	{"L", 31}, // the life of an item and of its flights
	{"D", 19}, // downloads
	{"V", 17}, // results, failures, logs, stats, items
	{"S", 12}, // settings
	{"N", 5},  // names
	{"E", 8},  // freshness
	{"F", 3},  // the store in a folder
	{"A", 8},  // S3
	{"G", 3},  // Google Cloud Storage
	{"T", 5},  // FTP
	{"X", 2},  // other stores
	{"I", 20}, // pictures
}

// elsewhere says where a row is tested if it is not here, or not here alone: "folder: function", the folder relative to the module's root. What of a row can't be
// tested yet waits for something; a row that has no meaning in Go, or for tulle's stores, is moot.
var elsewhere = map[string]struct {
	tests []string
	waits string
	moot  string
}{
	"L25": {tests: []string{"cmd: TestKill", "engine: TestCutAfterEveryCommit"}},

	"D15": {tests: []string{"downloader/ftp: TestMedia", "downloader/s3: TestMedia"}},
	"D16": {waits: "closing by the count of pages, the signals of headers and bytes, and a test of media under AutoThrottle"},

	"S7": {moot: "the picture library is linked in"},

	"A1": {tests: []string{"pipeline/store/s3: TestAddress"}},
	"A2": {tests: []string{"pipeline/store/s3: TestOpenSaysWhatIsWrongWithTheAddress"}},
	"A3": {tests: []string{"pipeline/store/s3: TestWhatGoesOverTheWire", "pipeline/store/s3: TestACL"}},
	"A4": {moot: "a store is given a Meta with types, and no headers that could be wrong"},
	"A5": {tests: []string{"pipeline/store/s3: TestWhatGoesOverTheWire", "pipeline/store/s3: TestConformance", "pipeline/store/s3: TestExpiry"}},
	"A6": {moot: "a store's connections are as many as files are under way"},
	"A7": {tests: []string{"pipeline/store/s3: TestWhatGoesOverTheWire"}},
	"A8": {tests: []string{"pipeline/store/s3: TestEnvironment", "pipeline/store/s3: TestInsecureTLS", "pipeline/store/s3: TestLargeFilesTakeLittleMemory"}},

	"G1": {tests: []string{"pipeline/store/gcs: TestPermissions"}},
	"G2": {tests: []string{"pipeline/store/gcs: TestWhatGoesOverTheWire"}},
	"G3": {tests: []string{"pipeline/store/gcs: TestAddress", "pipeline/store/gcs: TestConformance", "pipeline/store/gcs: TestExpiry"}},

	"T1": {tests: []string{"pipeline/store/ftp: TestAddress", "pipeline/store/ftp: TestStartErrors"}},
	"T2": {tests: []string{"pipeline/store/ftp: TestConformance", "pipeline/store/ftp: TestConnections"}},
	"T3": {tests: []string{"pipeline/store/ftp: TestFilesPipeline", "pipeline/store/ftp: TestRecordForm"}},
	"T4": {tests: []string{"pipeline/store/ftp: TestTimes", "pipeline/store/ftp: TestExpiry"}},
	"T5": {tests: []string{"pipeline/store/ftp: TestFilesPipeline", "pipeline/store/ftp: TestConformance"}},
}

// A shop is a crawl of one page, whose items name media on another host. Its pipelines keep things in memory.
type shop struct {
	t testing.TB
	// site answers for every host.
	site crawltest.Site
	// spider asks for the page. Its Parse is set by crawl.
	spider *crawl.Spider
	// settings are the crawl's. Without ItemPipelines the stages are files and images.
	settings crawl.Settings
	files    *pipeline.FilesPipeline
	images   *pipeline.ImagesPipeline
}

const (
	pageURL = "http://shop.example/page"
	media   = "http://cdn.example"
)

// newShop makes a shop whose site answers so.
func newShop(t testing.TB, site answers) *shop {
	return &shop{
		t: t, site: crawltest.Handler(site), spider: &crawl.Spider{Name: "shop", StartURLs: []string{pageURL}},
		files: &pipeline.FilesPipeline{Store: new(store.Memory)}, images: &pipeline.ImagesPipeline{Store: new(store.Memory)},
	}
}

// A visit is what came of a crawl.
type visit struct {
	*crawltest.Result
	// Failures are those of media, each once.
	Failures []*pipeline.MediaError
}

// crawl runs the crawl. The page's callback yields the items, in this order.
func (s *shop) crawl(items ...any) *visit {
	s.t.Helper()
	spider, settings, v, mu := s.prepare(items)
	v.Result = crawltest.Run(s.t, spider, settings, s.site)
	mu.Lock()
	defer mu.Unlock()
	return v
}

// start is crawl in the background. wait returns what came of it.
func (s *shop) start(items ...any) (e *engine.Engine, wait func() *visit) {
	s.t.Helper()
	spider, settings, v, mu := s.prepare(items)
	e, result := crawltest.Start(s.t, spider, settings, s.site)
	return e, func() *visit {
		v.Result = result()
		mu.Lock()
		defer mu.Unlock()
		return v
	}
}

func (s *shop) prepare(items []any) (*crawl.Spider, crawl.Settings, *visit, *sync.Mutex) {
	spider, settings := *s.spider, s.settings
	if spider.Parse == nil {
		spider.Parse = func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
			for _, item := range items {
				out.Item(item)
			}
			return nil
		}
	}
	if settings.ItemPipelines == nil {
		settings.ItemPipelines = []crawl.Stage{{Order: 300, Pipeline: s.files}, {Order: 310, Pipeline: s.images}}
	}
	v, mu := &visit{}, &sync.Mutex{}
	settings.Trace.MediaFailed = func(_ *crawl.Request, err error) {
		mu.Lock()
		defer mu.Unlock()
		v.Failures = append(v.Failures, err.(*pipeline.MediaError))
	}
	return &spider, settings, v, mu
}

// warnings are the log's entries from warn upward.
func (v *visit) warnings() []observer.LoggedEntry {
	return v.Log.Filter(func(e observer.LoggedEntry) bool { return e.Level >= zapcore.WarnLevel }).All()
}

// media are the URLs that were asked, without the shop's page.
func (v *visit) media() []string {
	return slices.DeleteFunc(slices.Clone(v.Asked), func(u string) bool { return u == pageURL })
}

// one is the one file of a list.
func one(t testing.TB, files []crawl.File) crawl.File {
	t.Helper()
	require.Len(t, files, 1)
	return files[0]
}

// withFiles is an item that names files: URLs, or paths on the media host.
func withFiles(urls ...string) map[string]any { return map[string]any{"file_urls": mediaURLs(urls...)} }

// withImages is an item that names pictures.
func withImages(urls ...string) map[string]any {
	return map[string]any{"image_urls": mediaURLs(urls...)}
}

// mediaURLs are paths on the media host as URLs. What is no path stays as it is.
func mediaURLs(urls ...string) []string {
	list := make([]string, len(urls))
	for i, u := range urls {
		if strings.HasPrefix(u, "/") {
			u = media + u
		}
		list[i] = u
	}
	return list
}

// filesOf and imagesOf are the results in an item that is a map.
func filesOf(item any) []crawl.File {
	files, _ := item.(map[string]any)["files"].([]crawl.File)
	return files
}

func imagesOf(item any) []crawl.File {
	files, _ := item.(map[string]any)["images"].([]crawl.File)
	return files
}

// contentOf reads a file out of a store.
func contentOf(t testing.TB, s crawl.Store, name string) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), name)
	require.NoError(t, err)
	defer r.Close()
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return b
}

// answers are what a site says by host and path ("cdn.example/a"), or by path alone ("/a"). The shop's own host has a page at every path; what is not here is not there.
type answers map[string]http.HandlerFunc

func (a answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, key := range []string{r.Host + r.URL.Path, r.URL.Path} {
		if answer := a[key]; answer != nil {
			answer(w, r)
			return
		}
	}
	if r.Host == "shop.example" && r.URL.Path != "/robots.txt" {
		fmt.Fprint(w, "<h1>a page</h1>")
		return
	}
	http.NotFound(w, r)
}

// say answers with these bytes, under this Content-Type if it is not empty, and with their length.
func say(contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	}
}

// sayText answers with a text.
func sayText(text string) http.HandlerFunc { return say("text/plain", []byte(text)) }

// sayStatus answers with a status and a body that says so.
func sayStatus(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, http.StatusText(code), code) }
}

// sayMoved answers with a redirect.
func sayMoved(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

// sayJPEG answers with a picture of that size.
func sayJPEG(t testing.TB, width, height int) http.HandlerFunc {
	t.Helper()
	return say("image/jpeg", jpegOf(t, width, height))
}

// jpegOf is a picture with some structure, as an RGB JPEG.
func jpegOf(t testing.TB, width, height int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.SetRGBA(x, y, color.RGBA{uint8(40 + x*150/width), uint8(60 + y*150/height), 90, 255})
		}
	}
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, img, &jpeg.Options{Quality: 92}))
	return b.Bytes()
}

var (
	rowName  = regexp.MustCompile(`^[A-Z][0-9]+$`)
	testFunc = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
)

// TestEveryRowIsTested reads the tests' sources: each row has its test, and each test is that of a row.
func TestEveryRowIsTested(t *testing.T) {
	t.Parallel()
	open := make(map[string]bool)
	for _, s := range sections {
		for i := range s.rows {
			open[s.letter+strconv.Itoa(i+1)] = true
		}
	}
	for row, e := range elsewhere {
		require.Contains(t, open, row)
		for _, test := range e.tests {
			folder, name, _ := strings.Cut(test, ": ")
			require.True(t, slices.Contains(testsIn(t, filepath.Join("..", folder)), name), "%s is said to be tested by %s, which is not there", row, test)
		}
		switch {
		case e.waits != "":
			t.Log(row, "waits for", e.waits) // What there is of it is tested all the same.
		case e.moot != "" || len(e.tests) > 0:
			open[row] = false
		}
	}
	sources, err := filepath.Glob("rows_*_test.go")
	require.NoError(t, err)
	for _, source := range sources {
		for _, name := range subtestsIn(t, source) {
			var rows int
			for _, word := range strings.Fields(name) {
				if !rowName.MatchString(word) {
					break
				}
				rows++
				require.Contains(t, open, word, "%s: %q is no row", source, name)
				open[word] = false
			}
			require.Positive(t, rows, "%s: %q does not say which row it is about", source, name)
		}
	}
	var missing []string
	for row, isOpen := range open {
		if isOpen {
			missing = append(missing, row)
		}
	}
	slices.Sort(missing)
	require.Empty(t, missing, "rows without a test")
}

// testsIn are the test functions of a folder.
func testsIn(t *testing.T, folder string) []string {
	t.Helper()
	sources, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	require.NoError(t, err)
	var names []string
	for _, source := range sources {
		b, err := os.ReadFile(source)
		require.NoError(t, err)
		for _, m := range testFunc.FindAllSubmatch(b, -1) {
			names = append(names, string(m[1]))
		}
	}
	return names
}

// subtestsIn are the names of a source's subtests that stand in its test functions' own t.Run. Of a name that is put together it is the beginning.
func subtestsIn(t *testing.T, source string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "Run" || len(call.Args) != 2 {
			return true
		}
		arg := call.Args[0]
		for {
			sum, ok := arg.(*ast.BinaryExpr)
			if !ok {
				break
			}
			arg = sum.X
		}
		if lit, ok := arg.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			name, err := strconv.Unquote(lit.Value)
			require.NoError(t, err)
			names = append(names, name)
			return false // subtests of a row's own need no row
		}
		return true
	})
	return names
}

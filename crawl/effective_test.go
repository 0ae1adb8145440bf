package crawl_test

import (
	"bytes"
	"flag"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

var updateSettings = flag.Bool("update-settings", false, "rewrite testdata/settings.txt")

func full() crawl.Settings {
	return crawl.Settings{
		Slots:          map[string]crawl.Limits{"a": {Concurrency: 1, HoldUntil: time.Unix(5, 0)}},
		DefaultHeaders: map[string]string{"A": "b"},
		Retry:          crawl.RetrySettings{Statuses: []int{500}},
		Download:       crawl.DownloadSettings{ConnectTo: map[string]string{"a": "b"}},
		Images:         crawl.ImagesSettings{Thumbs: map[string]crawl.Size{"s": {Width: 1, Height: 1}}},
		Feeds:          []crawl.Feed{{URI: "a.csv", Fields: []string{"x", "y"}}},
		ItemPipelines:  []crawl.Stage{{Order: 1, Name: "one"}},
		Middlewares:    []crawl.Layer{{Name: "retry", Off: true}},
		Parts:          crawl.Parts{Stores: map[string]crawl.OpenStore{"s3": nil}},
		Assign:         []crawl.Assignment{{Name: "slots.a.delay", Value: "1s"}},
	}
}

func TestEffectiveCopies(t *testing.T) {
	t.Parallel()
	shared := map[string]crawl.Size{"own": {Width: 2, Height: 2}}
	s := full()
	s.Stdout, s.Logger = io.Discard, zap.NewNop()
	e, err := s.Effective(&crawl.Spider{Configure: func(s *crawl.Settings) {
		s.Images.Thumbs["c"] = crawl.Size{Width: 3, Height: 3}
		s.Feeds[0].Fields[0] = "configured"
		s.Images.Thumbs = shared
	}})
	require.NoError(t, err)
	require.Same(t, s.Logger, e.Logger)
	require.Equal(t, s.Stdout, e.Stdout)
	require.Equal(t, map[string]crawl.Limits{"a": {Concurrency: 1, Delay: time.Second, HoldUntil: time.Unix(5, 0)}}, e.Slots)

	e.Slots["a"] = crawl.Limits{}
	e.DefaultHeaders["A"] = "x"
	e.Retry.Statuses[0] = 1
	e.Download.ConnectTo["a"] = "x"
	e.Images.Thumbs["own"] = crawl.Size{}
	e.Feeds[0].Fields[1] = "x"
	e.Feeds[0].URI = "x"
	e.ItemPipelines[0].Order = 9
	e.Middlewares[0].Off = false
	e.Parts.Stores["gs"] = nil
	e.Assign[0].Value = "x"

	s.Stdout, s.Logger = nil, nil
	require.Empty(t, cmp.Diff(full(), s, cmpopts.IgnoreFields(crawl.Settings{}, "Trace"), cmp.Comparer(func(a, b crawl.OpenStore) bool { return (a == nil) == (b == nil) })))
	require.Equal(t, map[string]crawl.Size{"own": {Width: 2, Height: 2}}, shared)
}

func TestEffectiveLayers(t *testing.T) {
	t.Parallel()
	s := crawl.Settings{ConcurrentRequests: 1, ConcurrentPerHost: 1, ConcurrentItems: 1, Assign: []crawl.Assignment{
		{Name: "concurrent_items", Value: "3"}, {Name: "concurrent_items", Value: "4"},
	}}
	e, err := s.Effective(&crawl.Spider{Configure: func(s *crawl.Settings) {
		s.ConcurrentPerHost, s.ConcurrentItems = 2, 2
		s.Assign = append(s.Assign, crawl.Assignment{Name: "retry.times", Value: "7"})
	}})
	require.NoError(t, err)
	require.Equal(t, []int{1, 2, 4, 7, 100}, []int{e.ConcurrentRequests, e.ConcurrentPerHost, e.ConcurrentItems, e.Retry.Times, e.ConcurrentStages})
	require.Equal(t, 1, s.ConcurrentItems)

	e, err = crawl.Settings{}.Effective(nil)
	require.NoError(t, err)
	require.Equal(t, 16, e.ConcurrentRequests)
}

func TestEffectiveErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value, want string }{
		{"images.quality", "0", `-s images.quality=0: 0 stands for the default, which is 75 (Quality of written JPEGs, 1 to 100. Default 75.)`},
		{"images.quality", "500", `-s images.quality=500: want 1 to 100`},
		{"Images.Quality", "x", `-s Images.Quality=x: "x" is not a whole number`},
		{"IMAGES_MIN_WIDTH", "x", `-s IMAGES_MIN_WIDTH=x: images.min_width: "x" is not a whole number`},
		{"LOG_LEVEL", "LOUD", `-s LOG_LEVEL=LOUD: log.level is "loud": want debug, info, warn or error`},
		{"log.level", "loud", `-s log.level=loud: want debug, info, warn or error`},
		{"image.store", "x", `-s image.store=x: unknown setting image.store: did you mean images.store?`},
		{"images.thumbs.a/b", "5x5", `-s images.thumbs.a/b=5x5: images.thumbs name "a/b": want letters, digits, - _ and . only`},
		{"images.thumbs", "..=5x5", `-s images.thumbs=..=5x5: name "..": want letters, digits, - _ and . only`},
		{"images.thumbs", "s=0x5", `-s images.thumbs=s=0x5: s is 0x5: want at least 1x1`},
		{"images.pixel_budget", "-1", `-s images.pixel_budget=-1: want at least 1`},
		{"images.max_pixels", "-1", `-s images.max_pixels=-1: want at least 1`},
		{"concurrent_callbacks", "10000000", `-s concurrent_callbacks=10000000: want at most 1000000`},
		{"ftp.connections", "-1", `-s ftp.connections=-1: want at least 1`},
		{"feeds", `[{}]`, `-s feeds=[{}]: number 1: it has no URI`},
		{"stop_timeout", "-1s", `-s stop_timeout=-1s: a stop must end`},
		{"item_pipelines", "x", `-s item_pipelines=x: cannot be set by name: it is a Go value, which the program sets`},
		{"DNSCACHE_ENABLED", "1", `-s DNSCACHE_ENABLED=1: Scrapy's DNSCACHE_ENABLED has no counterpart here yet`},
	} {
		_, err := crawl.Settings{Assign: []crawl.Assignment{{Name: c.name, Value: c.value, Source: "-s"}}}.Effective(nil)
		require.EqualError(t, err, c.want)
	}
	_, err := crawl.Settings{ConcurrentItems: -1, Assign: []crawl.Assignment{{Name: "order", Value: "x", Source: "environment"}, {Name: "cookies.off", Value: "x"}}}.Effective(nil)
	require.EqualError(t, err, `assignment cookies.off=x: "x" is neither true nor false
concurrent_items is -1: want at least 1
environment order=x: want depth or breadth`)
}

func TestExplainSources(t *testing.T) {
	t.Parallel()
	s := crawl.Settings{
		ConcurrentRequests: 4, ConcurrentPerHost: 8, DownloadDelay: time.Second,
		Images: crawl.ImagesSettings{Thumbs: map[string]crawl.Size{"s": {Width: 5, Height: 6}, "b": {Width: 7, Height: 8}}},
		Assign: []crawl.Assignment{
			{Name: "DOWNLOAD_DELAY", Value: "3", Source: "environment"},
			{Name: "slots.a.b.delay", Value: "90", Source: "tulle.yaml"},
			{Name: "retry.times", Value: "2", Source: "-s"},
			{Name: "ROBOTSTXT_OBEY", Value: "False", Source: "-s"},
		},
	}
	list, err := s.Explain(&crawl.Spider{Name: "shop", Configure: func(s *crawl.Settings) {
		s.Retry.Times = 9
		s.DownloadDelay = 2 * time.Second
		s.Download.MaxSize = 5_000_000
		s.Feeds = []crawl.Feed{{URI: "shop.jsonl", Overwrite: true}}
	}})
	require.NoError(t, err)
	got := make(map[string][3]string)
	for _, e := range list {
		if e.Source != "default" {
			got[e.Name] = [3]string{e.Value, e.Default, e.Source}
		}
	}
	require.Equal(t, map[string][3]string{
		"concurrent_requests": {"4", "16", "program"},
		"download_delay":      {"3s", "0s", "environment"},
		"slots":               {`{"a.b":{"delay":"1m30s"}}`, "", "tulle.yaml"},
		"retry.times":         {"2", "2", "-s"}, // somebody has set it, though to what it is without
		"robots.ignore":       {"true", "false", "-s"},
		"images.thumbs":       {"b=7x8,s=5x6", "", "program"},
		"download.max_size":   {"5MB", "1GiB", "spider shop"},
		"feeds":               {`[{"uri":"shop.jsonl","overwrite":true}]`, "", "spider shop"},
	}, got)

	_, err = crawl.Settings{ConcurrentItems: -1}.Explain(nil)
	require.EqualError(t, err, "concurrent_items is -1: want at least 1")
}

// What Explain shows can be given to Set, and makes the same settings.
func TestExplainRoundTrip(t *testing.T) {
	t.Parallel()
	s := full()
	s.Slots = map[string]crawl.Limits{"a.b": {Concurrency: 2, Delay: 1500 * time.Millisecond, FixedDelay: true}, "c": {Delay: -1, RandomDelay: true, DontThrottle: true}}
	s.Download.BindAddress, s.HTTPCache.MaxSize = "192.0.2.7:4000", 3<<30
	s.Images.Expires, s.Images.Store, s.Download.Timeout = -1, "a, b=c", 90*time.Minute
	s.Files.Expires = 25*time.Hour + time.Millisecond
	s.Download.MaxSize, s.Download.WarnSize, s.Compression.MaxRatio = -1, 1537, 0.5
	s.DefaultHeaders = map[string]string{"A": "b, <c>", "D": ""}
	s.UserAgents, s.Browser.Args, s.Proxy.URLs = []string{"Mozilla/5.0 (KHTML, like Gecko)", "b"}, []string{" [x]"}, []string{"http://a", "http://b:1"}
	want, err := s.Effective(nil)
	require.NoError(t, err)
	list, err := s.Explain(nil)
	require.NoError(t, err)

	again := crawl.Settings{ItemPipelines: s.ItemPipelines, Middlewares: s.Middlewares, Parts: s.Parts, Assign: s.Assign}
	for _, e := range list {
		require.NoError(t, again.Set(e.Name, e.Value))
	}
	require.Empty(t, cmp.Diff(*want, again, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(crawl.Settings{}, "Trace", "Parts"),
		cmpopts.IgnoreFields(crawl.DownloadSettings{}, "Dial")))
}

// TestSettingsTable holds all names and defaults against testdata/settings.txt: a name is a promise.
func TestSettingsTable(t *testing.T) {
	t.Parallel()
	list, err := crawl.Settings{}.Explain(nil)
	require.NoError(t, err)
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, e := range list {
		require.Equal(t, e.Default, e.Value)
		require.Equal(t, "default", e.Source)
		require.NotEmpty(t, e.Doc, e.Name)
		require.NotContains(t, e.Doc, "\n")
		value := e.Value
		if e.Name == "concurrent_callbacks" {
			require.Equal(t, strconv.Itoa(max(16, 4*runtime.GOMAXPROCS(0))), value)
			value = "by processors"
		}
		_, err := w.Write([]byte(strings.TrimRight(e.Name+"\t"+value, "\t") + "\n"))
		require.NoError(t, err)
	}
	require.NoError(t, w.Flush())
	if *updateSettings {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile("testdata/settings.txt", b.Bytes(), 0o644))
	}
	golden, err := os.ReadFile("testdata/settings.txt")
	require.NoError(t, err)
	require.Equal(t, string(golden), b.String())
}

// A host in Slots is found however it is written; a slot that requests name stays as it is.
func TestEffectiveSlotsOfHosts(t *testing.T) {
	t.Parallel()
	program := map[string]crawl.Limits{"Shop.Example": {Concurrency: 1}, "B.example": {Concurrency: 2}, "b.example": {Concurrency: 3}, "Pictures": {Concurrency: 4}}
	e, err := crawl.Settings{Slots: program}.Effective(nil)
	require.NoError(t, err)
	require.Equal(t, 1, e.SlotLimits(crawl.Get("http://SHOP.example:8080/").Slot()).Concurrency)
	require.Equal(t, 3, e.SlotLimits("b.example").Concurrency)
	require.Equal(t, 4, e.SlotLimits("Pictures").Concurrency)
	require.Len(t, program, 4, "the program's map is its own")
}

// A Configure that panics is an error with the spider's name: commands that look at all spiders go on with the others.
func TestConfigureThatPanics(t *testing.T) {
	t.Parallel()
	_, err := crawl.Settings{}.Effective(&crawl.Spider{Name: "shop", Configure: func(*crawl.Settings) { panic("oh") }})
	require.EqualError(t, err, "spider shop: Configure: panic: oh")
	var p *crawl.PanicError
	require.ErrorAs(t, err, &p)
	require.Contains(t, string(p.Stack), "TestConfigureThatPanics")
}

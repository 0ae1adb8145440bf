package crawl_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestSetValues(t *testing.T) {
	t.Parallel()
	type S = crawl.Settings
	for _, c := range []struct {
		name, value string
		want        func(s *S)
	}{
		{"concurrent_requests", "32", func(s *S) { s.ConcurrentRequests = 32 }},
		{"Concurrent_Requests", " 1_000 ", func(s *S) { s.ConcurrentRequests = 1000 }},
		{"retry.priority_adjust", "-5", func(s *S) { s.Retry.PriorityAdjust = -5 }},
		{"depth.priority", "+1", func(s *S) { s.Depth.Priority = 1 }},
		{"images.max_pixels", "12", func(s *S) { s.Images.MaxPixels = 12 }},
		{"images.min_width", "0", func(s *S) { s.Images.MinWidth = 0 }},
		{"download.insecure_tls", "true", func(s *S) { s.Download.InsecureTLS = true }},
		{"download.disable_http2", "YES", func(s *S) { s.Download.DisableHTTP2 = true }},
		{"http_error.allow_all", "On", func(s *S) { s.HTTPError.AllowAll = true }},
		{"robots.ignore", "1", func(s *S) { s.Robots.Ignore = true }},
		{"fixed_delay", "no", func(*S) {}},
		{"cookies.debug", "OFF", func(*S) {}},
		{"cookies.off", "0", func(*S) {}},
		{"user_agent", "shop bot (a, b=c)", func(s *S) { s.UserAgent = "shop bot (a, b=c)" }},
		{"images.urls_field", "pictures", func(s *S) { s.Images.URLsField = "pictures" }},
		{"log.level", "DEBUG", func(s *S) { s.Log.Level = "debug" }},
		{"order", "Breadth", func(s *S) { s.Order = "breadth" }},
		{"compression.max_ratio", "1_000.5", func(s *S) { s.Compression.MaxRatio = 1000.5 }},
		{"download_delay", "90s", func(s *S) { s.DownloadDelay = 90 * time.Second }},
		{"download_delay", "0", func(*S) {}},
		{"download_delay", "0.25", func(s *S) { s.DownloadDelay = 250 * time.Millisecond }},
		{"download_delay", "1h30m", func(s *S) { s.DownloadDelay = 90 * time.Minute }},
		{"download_delay", "250ms", func(s *S) { s.DownloadDelay = 250 * time.Millisecond }},
		{"images.expires", "2d", func(s *S) { s.Images.Expires = 48 * time.Hour }},
		{"images.expires", "1.5d", func(s *S) { s.Images.Expires = 36 * time.Hour }},
		{"images.expires", "1d 12h", func(s *S) { s.Images.Expires = 36 * time.Hour }},
		{"images.expires", "-1d12h", func(s *S) { s.Images.Expires = -36 * time.Hour }},
		{"images.expires", "-1", func(s *S) { s.Images.Expires = -time.Second }},
		{"download.max_size", "1048576", func(s *S) { s.Download.MaxSize = 1 << 20 }},
		{"download.max_size", "10MB", func(s *S) { s.Download.MaxSize = 10_000_000 }},
		{"download.max_size", "1GiB", func(s *S) { s.Download.MaxSize = 1 << 30 }},
		{"download.max_size", "1.5 kib", func(s *S) { s.Download.MaxSize = 1536 }},
		{"download.max_size", "-1", func(s *S) { s.Download.MaxSize = -1 }},
		{"media.max_size", "20mb", func(s *S) { s.Media.MaxSize = 20_000_000 }},
		{"url_length.limit", "2kB", func(s *S) { s.URLLength.Limit = 2000 }},
		{"retry.statuses", "500, 502", func(s *S) { s.Retry.Statuses = []int{500, 502} }},
		{"retry.statuses", "[500,502]", func(s *S) { s.Retry.Statuses = []int{500, 502} }},
		{"retry.statuses", "", func(s *S) { s.Retry.Statuses = []int{} }},
		{"retry.statuses", "[ ]", func(s *S) { s.Retry.Statuses = []int{} }},
		{"default_headers", "x-shop=open, Accept=*/*", func(s *S) { s.DefaultHeaders = map[string]string{"X-Shop": "open", "Accept": "*/*"} }},
		{"default_headers", `{"Accept": "a,b", "accept-language": null}`, func(s *S) { s.DefaultHeaders = map[string]string{"Accept": "a,b", "Accept-Language": ""} }},
		{"default_headers", "", func(s *S) { s.DefaultHeaders = map[string]string{} }},
		{"images.thumbs", "small=50x50, big=270X300", func(s *S) {
			s.Images.Thumbs = map[string]crawl.Size{"small": {Width: 50, Height: 50}, "big": {Width: 270, Height: 300}}
		}},
		{"images.thumbs", `{"small": [50, 40]}`, func(s *S) { s.Images.Thumbs = map[string]crawl.Size{"small": {Width: 50, Height: 40}} }},
		{"images.thumbs", `{"small": "50x40"}`, func(s *S) { s.Images.Thumbs = map[string]crawl.Size{"small": {Width: 50, Height: 40}} }},
		{"images.thumbs", `{"small": {"width": 50, "height": 40}}`, func(s *S) { s.Images.Thumbs = map[string]crawl.Size{"small": {Width: 50, Height: 40}} }},
		{"images.thumbs.Small", "50x40", func(s *S) { s.Images.Thumbs = map[string]crawl.Size{"Small": {Width: 50, Height: 40}} }},
		{"download.connect_to", "shop.localhost:80=127.0.0.1:8080,b=c", func(s *S) {
			s.Download.ConnectTo = map[string]string{"shop.localhost:80": "127.0.0.1:8080", "b": "c"}
		}},
		{"download.connect_to.shop.localhost:80", "127.0.0.1:8080", func(s *S) { s.Download.ConnectTo = map[string]string{"shop.localhost:80": "127.0.0.1:8080"} }},
		{"slots.example.com.concurrency", "2", func(s *S) { s.Slots = map[string]crawl.Limits{"example.com": {Concurrency: 2}} }},
		{"SLOTS.example.com:8080.Delay", "1s", func(s *S) { s.Slots = map[string]crawl.Limits{"example.com:8080": {Delay: time.Second}} }},
		{"slots.pictures.random_delay", "true", func(s *S) { s.Slots = map[string]crawl.Limits{"pictures": {RandomDelay: true}} }},
		{"slots.pictures.dont_throttle", "yes", func(s *S) { s.Slots = map[string]crawl.Limits{"pictures": {DontThrottle: true}} }},
		{"slots.pictures.fixed_delay", "true", func(s *S) { s.Slots = map[string]crawl.Limits{"pictures": {FixedDelay: true}} }},
		{"slots", `{"example.com": {"concurrency": 2, "delay": "1s", "fixed_delay": true}, "b": {"delay": 0.5}}`, func(s *S) {
			s.Slots = map[string]crawl.Limits{"example.com": {Concurrency: 2, Delay: time.Second, FixedDelay: true}, "b": {Delay: 500 * time.Millisecond}}
		}},
		{"feeds", `[{"uri": "a.jsonl", "overwrite": true}, {"uri": "-", "format": "csv", "fields": ["a", "b"], "skip_empty": true}]`, func(s *S) {
			s.Feeds = []crawl.Feed{{URI: "a.jsonl", Overwrite: true}, {URI: "-", Format: "csv", Fields: []string{"a", "b"}, SkipEmpty: true}}
		}},
		{"feeds", `[{"uri": "b-%(batch_id)d.csv.gz", "format": "csv", "rename": {"a": "A"}, "types": ["Book"], "batch_items": 3, "batch_time": "10m", "compress": "gzip", "level": 9,
			"indent": 2, "params": {"day": "monday"}, "csv": {"delimiter": ";", "crlf": true, "bom": true, "guard_formulas": true}, "xml": {"root": "r", "item": "i"}}]`, func(s *S) {
			s.Feeds = []crawl.Feed{{
				URI: "b-%(batch_id)d.csv.gz", Format: "csv", Rename: map[string]string{"a": "A"}, Types: []string{"Book"}, BatchItems: 3, BatchTime: 10 * time.Minute,
				Compress: "gzip", Level: 9, Indent: 2, Params: map[string]string{"day": "monday"},
				CSV: crawl.CSVFeed{Delimiter: ";", CRLF: true, BOM: true, GuardFormulas: true}, XML: crawl.XMLFeed{Root: "r", Item: "i"},
			}}
		}},
		{"feeds", "", func(s *S) { s.Feeds = []crawl.Feed{} }},
		{"feeds", "items, all.jsonl", func(s *S) { s.Feeds = []crawl.Feed{{URI: "items, all.jsonl"}} }},
		{"feeds", `["a.csv", {"uri": "b.csv", "overwrite": true}]`, func(s *S) { s.Feeds = []crawl.Feed{{URI: "a.csv"}, {URI: "b.csv", Overwrite: true}} }},
	} {
		var got, want crawl.Settings
		c.want(&want)
		require.NoError(t, got.Set(c.name, c.value), "%s=%s", c.name, c.value)
		require.Equal(t, want, got, "%s=%s", c.name, c.value)
	}
}

func TestSetBadValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value, want string }{
		{"images.min_width", "abc", `images.min_width: "abc" is not a whole number`},
		{"images.min_width", "", `images.min_width: "" is not a whole number`},
		{"images.min_width", "1__0", `images.min_width: "1__0" is not a whole number`},
		{"images.min_width", "1.5", `images.min_width: "1.5" is not a whole number`},
		{"images.min_width", "99999999999999999999", `images.min_width: "99999999999999999999" is too large a number`},
		{"IMAGES_MIN_WIDTH", "abc", `images.min_width: "abc" is not a whole number`},
		{"robots.ignore", "maybe", `robots.ignore: "maybe" is neither true nor false`},
		{"ROBOTSTXT_OBEY", "maybe", `robots.ignore: "maybe" is neither true nor false`},
		{"RETRY_ENABLED", "maybe", `retry.times: "maybe" is neither true nor false`},
		{"IMAGES_EXPIRES", "90d", `images.expires: "90d" is not a number of days`},
		{"compression.max_ratio", "NaN", `compression.max_ratio: "NaN" is not a number`},
		{"compression.max_ratio", ".", `compression.max_ratio: "." is not a number`},
		{"download.max_size", "10M", `download.max_size: "10M" is not a size: want 10MB, 1GiB or a number of bytes`},
		{"download.max_size", "10000000TiB", `download.max_size: "10000000TiB" is too large a size`},
		{"images.max_pixels", "10MB", `images.max_pixels: "10MB" is not a whole number`},
		{"download_delay", "soon", `download_delay: "soon" is not a duration: want 90s, 1h30m, 2d or a number of seconds`},
		{"download_delay", "", `download_delay: "" is not a duration: want 90s, 1h30m, 2d or a number of seconds`},
		{"download_delay", "inf", `download_delay: "inf" is not a duration: want 90s, 1h30m, 2d or a number of seconds`},
		{"download_delay", "1d-2h", `download_delay: "1d-2h" is not a duration: want 90s, 1h30m, 2d or a number of seconds`},
		{"download_delay", "200000d", `download_delay: "200000d" is too long a duration`},
		{"download_delay", "99999999999", `download_delay: "99999999999" is too long a duration`},
		{"retry.statuses", "500,5o2", `retry.statuses: "5o2" is not a whole number, in "500,5o2"`},
		{"retry.statuses", "all", `retry.statuses: "all" is not a whole number`},
		{"retry.times", "0", `retry.times: 0 stands for the default, which is 2 (Times is how often a request is asked again. Default 2, negative never.)`},
		{"RETRY_PRIORITY_ADJUST", "0", `retry.priority_adjust: 0 stands for the default, which is -1 (PriorityAdjust is added to the priority of a request that is asked again. Default -1.)`},
		{"images.thumbs", "small", `images.thumbs: "small" in "small" is not a thumbnail such as small=50x50`},
		{"images.thumbs", "small=50", `images.thumbs: small: "50" is not a size in pixels such as 50x50`},
		{"images.thumbs.small", "[50]", `images.thumbs.small: "[50]" is not a size in pixels such as 50x50`},
		{"images.thumbs", "{'small': [50, 50]}", `images.thumbs: "{'small': [50, 50]}" is not the JSON that is wanted here: invalid character '\'' looking for beginning of object key string (JSON has double quotes)`},
		{"images.thumbs", `{"small": [50, 50]} x`, `images.thumbs: "{\"small\": [50, 50]} x" is not the JSON that is wanted here: there is something behind its end`},
		{"default_headers", "X-Shop", `default_headers: "X-Shop" in "X-Shop" is not a header such as X-Shop=open; a value with commas is set alone, as default_headers.Accept=text/html,*/*`},
		{"default_headers", "Accept=text/html,application/xml;q=0.9", `default_headers: application/xml;q: "application/xml;q" is not a header's name`},
		{"default_headers.X-Shop", "a\nb", `default_headers.X-Shop: "a\nb" is not a header's value`},
		{"download.connect_to", "127.0.0.1", `download.connect_to: "127.0.0.1" in "127.0.0.1" is not a pair such as shop.localhost:80=127.0.0.1:8080`},
		{"slots", "example.com=2", `slots: "example.com=2" is not a JSON object such as {"example.com": {"concurrency": 2, "delay": "1s"}}; one limit is slots.example.com.delay=1s`},
		{"slots", `{"example.com": 2}`, `slots: example.com: 2 is not an object such as {"concurrency": 2, "delay": "1s"}`},
		{"slots", `{"example.com": {"dealy": 2}}`, `slots: example.com.dealy: "dealy" is not a limit: want concurrency, delay, fixed_delay, random_delay or dont_throttle behind the host, as in slots.example.com.delay=1s`},
		{"slots.example.com", "2", `slots.example.com: "com" is not a limit: want concurrency, delay, fixed_delay, random_delay or dont_throttle behind the host, as in slots.example.com.delay=1s`},
		{"slots.delay", "2", `slots.delay: want concurrency, delay, fixed_delay, random_delay or dont_throttle behind the host, as in slots.example.com.delay=1s`},
		{"slots.example.com.delay", "0", `slots.example.com.delay: 0 stands for download_delay; -1 is none`},
		{"slots.example.com.concurrency", "0", `slots.example.com.concurrency: 0 stands for concurrent_per_host; -1 is none`},
		{"slots.example.com.fixed_delay", "x", `slots.example.com.fixed_delay: "x" is neither true nor false`},
		{"feeds", `["a", 3]`, `feeds: 3 is no feed: want a URI, or an object such as {"uri": "items.jsonl", "overwrite": true}`},
		{"default_headers", `{"A": "x", "B": ["x"]}`, `default_headers: B: ["x"] is a list: want a text`},
		{"job.identity", `{"shop": {"a": 1}}`, `job.identity: shop: {"a": 1} is a group of names: want a text`},
		{"feeds", `[{"url": "a"}]`, `feeds: a feed has no "url"; did you mean uri?`},
		{"feeds", `[{"uri": "a"}, {"colour": "a"}]`, `feeds: a feed has no "colour"; there are batch_items, batch_time, compress, csv, fields, format, indent, level, overwrite, params, ` +
			`rename, skip_empty, types, uri, xml`},
		{"feeds", `[{"uri": "a", "overwrite": "maybe"}]`, `feeds: overwrite is "maybe": want true or false`},
		{"feeds", `[{"uri": "a", "fields": "b"}]`, `feeds: fields is "b": want a list of texts`},
		{"feeds", `[{"uri": "a", "level": 1.5}]`, `feeds: level is 1.5: want a whole number`},
		{"feeds", `[{"uri": "a", "csv": {"delimitr": ";"}}]`, `feeds: csv has no "delimitr"; did you mean delimiter?`},
		{"feeds", `[{"uri": "a", "csv": {"bom": 1}}]`, `feeds: csv.bom is 1: want true or false`},
		{"feeds", `[{"uri": "a", "xml": 1}]`, `feeds: xml is 1: want a group of names`},
		{"FEEDS", `{"a": {"indents": 4}}`, `feeds: a: indents: there is no such option; there are batch_item_count, encoding, fields, format, gzip_compresslevel, indent, ` +
			`item_classes, item_export_kwargs, overwrite, postprocessing, store_empty`},
		{"FEEDS", `{"a": {"format": "pickle"}}`, `feeds: a: format: pickle is a format of Python's alone: want jsonl, json, csv, xml or parquet`},
		{"FEEDS", `{"a": {"encoding": "latin-1"}}`, `feeds: a: encoding: "latin-1": feeds are UTF-8`},
		{"FEEDS", `{"a": {"item_filter": "x.Y"}}`, `feeds: a: item_filter: the program sets Feed.Filter, a Go function`},
		{"FEEDS", `{"a": {"postprocessing": ["scrapy.extensions.postprocessing.LZMAPlugin"]}}`,
			`feeds: a: postprocessing: scrapy.extensions.postprocessing.LZMAPlugin is a class of Python's: a feed is compressed by gzip or zstd, one of them`},
		{"FEEDS", `{"a": {"item_export_kwargs": {"quoting": 1}}}`, `feeds: a: item_export_kwargs: quoting is an argument of Python's exporters: there are delimiter, ` +
			`fields_to_export, indent, item_element, root_element; a list of feeds has more`},
		{"FEEDS", `{"a": {"uri_params": "x.y"}}`, `feeds: a: uri_params: name the values themselves: a list of feeds takes "params": {"key": "value"}; the spider's name ` +
			`and arguments are there without`},
		{"feeds", `[{"uri": "a", "batch_time": "soon"}]`, `feeds: batch_time: "soon" is not a duration: want 90s, 1h30m, 2d or a number of seconds`},
		{"DOWNLOAD_SLOTS", "x", `slots: "x" is not the JSON that is wanted here: invalid character 'x' looking for beginning of value`},
		{"DOWNLOAD_SLOTS", `{"a": {"randomize_delay": 5}}`, `slots: a.randomize_delay: "5" is neither true nor false`},
	} {
		var s crawl.Settings
		require.EqualError(t, s.Set(c.name, c.value), c.want, "%s=%s", c.name, c.value)
		require.Equal(t, crawl.Settings{}, s, "%s=%s has left something behind", c.name, c.value)
	}
}

func TestSetUnknown(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"":                        "a setting without a name",
		"image.store":             "unknown setting image.store: did you mean images.store?",
		"images.stroe":            "unknown setting images.stroe: did you mean images.store?",
		"Images.MinWidth":         "unknown setting Images.MinWidth: did you mean images.min_width?",
		"images.min-width":        "unknown setting images.min-width: did you mean images.min_width?",
		"IMAGE_EXPIRES":           "unknown setting IMAGE_EXPIRES: did you mean IMAGES_EXPIRES?", // days, as who writes so expects
		"min_width":               "unknown setting min_width: did you mean images.min_width?",
		"timeout":                 "unknown setting timeout: did you mean stop_timeout, download.timeout or feed_export.upload_timeout?",
		"delay":                   "unknown setting delay: did you mean download_delay, fixed_delay, robots.max_delay or auto_throttle.start_delay?",
		"download.delay":          "unknown setting download.delay: did you mean download_delay?",
		"concurrency":             "unknown setting concurrency: did you mean concurrent_requests, concurrent_per_host, concurrent_callbacks or concurrent_items?",
		"user-agent":              "unknown setting user-agent: did you mean user_agent?",
		"obey_robots":             "unknown setting obey_robots: did you mean ROBOTSTXT_OBEY?",
		"cookies.enabled":         "unknown setting cookies.enabled: did you mean COOKIES_ENABLED?",
		"insecuretls":             "unknown setting insecuretls: did you mean aws.insecure_tls or ftp.insecure_tls?",
		"retries":                 "unknown setting retries: did you mean retry.times, retry.statuses, retry.priority_adjust or retry.back_off?",
		"header.X":                "unknown setting header.X: did you mean default_headers?",
		"cookies":                 "cookies is a group of settings: cookies.off, cookies.debug",
		"images.foo":              "unknown setting images.foo: there are images.store, images.urls_field, images.result_field, images.expires, images.min_width, images.min_height, images.thumbs, images.quality, images.preserve_format, images.max_pixels, images.pixel_budget, images.aws.…, images.gcs.…, images.ftp.…",
		"concurrent_requests.foo": "unknown setting concurrent_requests.foo: did you mean concurrent_requests?",
		"xyzzy":                   "unknown setting xyzzy; the settings command lists all of them",
		"...":                     "unknown setting ...; the settings command lists all of them",
		"MEMDEBUG_ENABLED":        "Scrapy's MEMDEBUG_ENABLED has no counterpart here yet",
		"telnetconsole_enabled":   "Scrapy's TELNETCONSOLE_ENABLED has no counterpart here yet",
		"DOWNLOADER_MIDDLEWARES":  "Scrapy's DOWNLOADER_MIDDLEWARES has no counterpart here yet: the program sets Settings.Middlewares",
		"HTTPCACHE_ENABLE":        "unknown setting HTTPCACHE_ENABLE: did you mean HTTPCACHE_ENABLED?",
		"TELNETCONSOLE_ENABLE":    "unknown setting TELNETCONSOLE_ENABLE: did you mean TELNETCONSOLE_ENABLED, which has no counterpart here yet?",
		"item_pipelines":          "item_pipelines cannot be set by name: it is a Go value, which the program sets",
		"ITEM_PIPELINES":          "item_pipelines cannot be set by name: it is a Go value, which the program sets",
		"download.dial":           "download.dial cannot be set by name: it is a Go value, which the program sets",
		"trace.item_scraped":      "trace cannot be set by name: it is a Go value, which the program sets",
		"parts.stores":            "parts cannot be set by name: it is a Go value, which the program sets",
		"logger":                  "logger cannot be set by name: it is a Go value, which the program sets",
	} {
		var s crawl.Settings
		require.EqualError(t, s.Set(name, "1"), want)
	}
	var s crawl.Settings
	require.ErrorContains(t, s.Set(strings.Repeat("x", 100_000), "1"), "unknown setting")
}

// Entries keep the rest of their map, the defaults included, and never write to a map that somebody else may hold.
func TestSetEntry(t *testing.T) {
	t.Parallel()
	var s crawl.Settings
	require.NoError(t, s.Set("default_headers.x-shop", "open, or not"))
	require.NoError(t, s.Set("DEFAULT_HEADERS.accept", ""))
	require.Equal(t, map[string]string{"Accept": "", "Accept-Language": "en", "X-Shop": "open, or not"}, s.DefaultHeaders)

	shared := map[string]crawl.Limits{"a.b": {Concurrency: 1}}
	s.Slots = shared
	require.NoError(t, s.Set("slots.a.b.delay", "2s"))
	require.Equal(t, map[string]crawl.Limits{"a.b": {Concurrency: 1, Delay: 2 * time.Second}}, s.Slots)
	require.Equal(t, map[string]crawl.Limits{"a.b": {Concurrency: 1}}, shared)

	s.DefaultHeaders = map[string]string{"accept": "a"}
	require.NoError(t, s.Set("default_headers.Accept", "b"))
	require.Equal(t, map[string]string{"Accept": "b"}, s.DefaultHeaders)
}

func FuzzSet(f *testing.F) {
	f.Add("images.min_width", "5")
	f.Add("slots.a.delay", "1d2h")
	f.Add("DOWNLOAD_SLOTS", `{"a":{"delay":0}}`)
	f.Add("feeds", `[{"uri":"a"}]`)
	f.Add("download.max_size", "1.5GB")
	f.Add("images.thumbs", `{"a":[1,2]}`)
	f.Fuzz(func(_ *testing.T, name, value string) {
		var s crawl.Settings
		_ = s.Set(name, value)
	})
}

func TestScrapyNames(t *testing.T) {
	t.Parallel()
	type S = crawl.Settings
	none := func(*S) {}
	for _, c := range []struct {
		name, value string
		want        func(s *S)
	}{
		{"CONCURRENT_REQUESTS", "32", func(s *S) { s.ConcurrentRequests = 32 }},
		{"CONCURRENT_REQUESTS", "0", func(s *S) { s.ConcurrentRequests = 1_000_000 }},
		{"CONCURRENT_REQUESTS_PER_DOMAIN", "4", func(s *S) { s.ConcurrentPerHost = 4 }},
		{"CONCURRENT_REQUESTS_PER_DOMAIN", "0", func(s *S) { s.ConcurrentPerHost = 1_000_000 }},
		{"CONCURRENT_ITEMS", "50", func(s *S) { s.ConcurrentItems = 50 }},
		{"DOWNLOAD_DELAY", "0.5", func(s *S) { s.DownloadDelay = 500 * time.Millisecond }},
		{"DOWNLOAD_DELAY", "0", none},
		{"RANDOMIZE_DOWNLOAD_DELAY", "False", func(s *S) { s.FixedDelay = true }},
		{"RANDOMIZE_DOWNLOAD_DELAY", "True", none},
		{"DOWNLOAD_SLOTS", `{"a.b": {"concurrency": 1, "delay": 2.5, "randomize_delay": false}, "c": {"delay": 0}}`, func(s *S) {
			s.Slots = map[string]crawl.Limits{"a.b": {Concurrency: 1, Delay: 2500 * time.Millisecond, FixedDelay: true}, "c": {Delay: -time.Second}}
		}},
		{"DOWNLOAD_SLOTS", `{"a": {"throttle": false, "randomize_delay": true}, "b": {"throttle": true, "delay": 1}, "c": {"throttle": null, "randomize_delay": null, "concurrency": 3}}`, func(s *S) {
			s.Slots = map[string]crawl.Limits{"a": {DontThrottle: true, RandomDelay: true}, "b": {Delay: time.Second}, "c": {Concurrency: 3}}
		}},
		{"DOWNLOAD_BIND_ADDRESS", "192.0.2.7", func(s *S) { s.Download.BindAddress = "192.0.2.7" }},
		{"DOWNLOAD_BIND_ADDRESS", "('192.0.2.7', 4000)", func(s *S) { s.Download.BindAddress = "192.0.2.7:4000" }},
		{"DOWNLOAD_BIND_ADDRESS", `["2001:db8::7", 0]`, func(s *S) { s.Download.BindAddress = "[2001:db8::7]:0" }},
		{"USER_AGENT", "x", func(s *S) { s.UserAgent = "x" }},
		{"DEFAULT_REQUEST_HEADERS", `{"Accept": "*/*"}`, func(s *S) { s.DefaultHeaders = map[string]string{"Accept": "*/*"} }},
		{"DOWNLOAD_TIMEOUT", "15", func(s *S) { s.Download.Timeout = 15 * time.Second }},
		{"DOWNLOAD_TIMEOUT", "0", func(s *S) { s.Download.Timeout = -time.Second }},
		{"DOWNLOAD_MAXSIZE", "1024", func(s *S) { s.Download.MaxSize = 1024 }},
		{"DOWNLOAD_MAXSIZE", "0", func(s *S) { s.Download.MaxSize = -1 }},
		{"DOWNLOAD_WARNSIZE", "1024", func(s *S) { s.Download.WarnSize = 1024 }},
		{"DOWNLOAD_WARNSIZE", "0", func(s *S) { s.Download.WarnSize = -1 }},
		{"DOWNLOAD_FAIL_ON_DATALOSS", "False", func(s *S) { s.Download.AllowTruncated = true }},
		{"DOWNLOAD_VERIFY_CERTIFICATES", "False", func(s *S) { s.Download.InsecureTLS = true }},
		{"ROBOTSTXT_OBEY", "False", func(s *S) { s.Robots.Ignore = true }},
		{"robotstxt_obey", "true", none},
		{"ROBOTSTXT_USER_AGENT", "x", func(s *S) { s.Robots.UserAgent = "x" }},
		{"RETRY_ENABLED", "False", func(s *S) { s.Retry.Times = -1 }},
		{"RETRY_ENABLED", "True", func(s *S) { s.Retry.Times = 2 }},
		{"RETRY_TIMES", "5", func(s *S) { s.Retry.Times = 5 }},
		{"RETRY_TIMES", "0", func(s *S) { s.Retry.Times = -1 }},
		{"RETRY_HTTP_CODES", "500,502", func(s *S) { s.Retry.Statuses = []int{500, 502} }},
		{"RETRY_PRIORITY_ADJUST", "-3", func(s *S) { s.Retry.PriorityAdjust = -3 }},
		{"REDIRECT_ENABLED", "False", func(s *S) { s.Redirect.Times = -1 }},
		{"REDIRECT_ENABLED", "True", func(s *S) { s.Redirect.Times = 20 }},
		{"REDIRECT_MAX_TIMES", "3", func(s *S) { s.Redirect.Times = 3 }},
		{"REDIRECT_MAX_TIMES", "0", func(s *S) { s.Redirect.Times = -1 }},
		{"REDIRECT_PRIORITY_ADJUST", "1", func(s *S) { s.Redirect.PriorityAdjust = 1 }},
		{"COOKIES_ENABLED", "False", func(s *S) { s.Cookies.Off = true }},
		{"COOKIES_DEBUG", "True", func(s *S) { s.Cookies.Debug = true }},
		{"COMPRESSION_ENABLED", "False", func(s *S) { s.Compression.Off = true }},
		{"HTTPERROR_ALLOWED_CODES", "[404]", func(s *S) { s.HTTPError.Allowed = []int{404} }},
		{"HTTPERROR_ALLOW_ALL", "True", func(s *S) { s.HTTPError.AllowAll = true }},
		{"REFERER_ENABLED", "False", func(s *S) { s.Referer.Off = true }},
		{"REFERRER_POLICY", "same-origin", func(s *S) { s.Referer.Policy = "same-origin" }},
		{"REFERRER_POLICY", "scrapy-default", func(s *S) { s.Referer.Policy = "no-referrer-when-downgrade" }},
		{"REFERRER_POLICY", "scrapy.spidermiddlewares.referer.DefaultReferrerPolicy", func(s *S) { s.Referer.Policy = "no-referrer-when-downgrade" }},
		{"REFERRER_POLICY", "scrapy.spidermiddlewares.referer.NoReferrerPolicy", func(s *S) { s.Referer.Policy = "no-referrer" }},
		{"REFERRER_POLICY", "x.SameOriginPolicy", func(s *S) { s.Referer.Policy = "same-origin" }},
		{"REFERRER_POLICY", "x.OriginPolicy", func(s *S) { s.Referer.Policy = "origin" }},
		{"REFERRER_POLICY", "x.StrictOriginPolicy", func(s *S) { s.Referer.Policy = "strict-origin" }},
		{"REFERRER_POLICY", "x.OriginWhenCrossOriginPolicy", func(s *S) { s.Referer.Policy = "origin-when-cross-origin" }},
		{"REFERRER_POLICY", "x.StrictOriginWhenCrossOriginPolicy", func(s *S) { s.Referer.Policy = "strict-origin-when-cross-origin" }},
		{"REFERRER_POLICY", "x.UnsafeUrlPolicy", func(s *S) { s.Referer.Policy = "unsafe-url" }},
		{"DEPTH_LIMIT", "3", func(s *S) { s.Depth.Limit = 3 }},
		{"DEPTH_PRIORITY", "1", func(s *S) { s.Depth.Priority = 1 }},
		{"DEPTH_STATS_VERBOSE", "True", func(s *S) { s.Depth.Verbose = true }},
		{"URLLENGTH_LIMIT", "100", func(s *S) { s.URLLength.Limit = 100 }},
		{"URLLENGTH_LIMIT", "0", func(s *S) { s.URLLength.Limit = -1 }},
		{"MEDIA_ALLOW_REDIRECTS", "True", func(s *S) { s.Media.AllowRedirects = true }},
		{"IMAGES_STORE", "/data", func(s *S) { s.Images.Store = "/data" }},
		{"IMAGES_URLS_FIELD", "u", func(s *S) { s.Images.URLsField = "u" }},
		{"IMAGES_RESULT_FIELD", "r", func(s *S) { s.Images.ResultField = "r" }},
		{"IMAGES_EXPIRES", "90", func(s *S) { s.Images.Expires = 90 * 24 * time.Hour }},
		{"IMAGES_EXPIRES", "0", func(s *S) { s.Images.Expires = -time.Second }},
		{"IMAGES_MIN_WIDTH", "110", func(s *S) { s.Images.MinWidth = 110 }},
		{"IMAGES_MIN_HEIGHT", "110", func(s *S) { s.Images.MinHeight = 110 }},
		{"IMAGES_THUMBS", `{"small": [50, 50]}`, func(s *S) { s.Images.Thumbs = map[string]crawl.Size{"small": {Width: 50, Height: 50}} }},
		{"IMAGES_PRESERVE_FORMAT", "True", func(s *S) { s.Images.PreserveFormat = true }},
		{"FILES_STORE", "/data", func(s *S) { s.Files.Store = "/data" }},
		{"FILES_URLS_FIELD", "u", func(s *S) { s.Files.URLsField = "u" }},
		{"FILES_RESULT_FIELD", "r", func(s *S) { s.Files.ResultField = "r" }},
		{"FILES_EXPIRES", "0.5", func(s *S) { s.Files.Expires = 12 * time.Hour }},
		{"FEEDS", `{"b.csv": {"format": "csv", "overwrite": true, "store_empty": false}, "a": {"format": "jsonlines", "fields": ["x"]}}`, func(s *S) {
			s.Feeds = []crawl.Feed{{URI: "a", Format: "jsonl", Fields: []string{"x"}}, {URI: "b.csv", Format: "csv", Overwrite: true, SkipEmpty: true}}
		}},
		{"FEEDS", `{"a-%(batch_id)d.csv": {"batch_item_count": 5, "encoding": "utf8", "fields": {"b": "B", "a": "A"}, "indent": 4, "item_classes": ["shop.items.Book"], "format": null,
			"gzip_compresslevel": 5, "postprocessing": ["scrapy.extensions.postprocessing.GzipPlugin"], "item_export_kwargs": {"delimiter": ";", "root_element": "r", "item_element": "i"}}}`, func(s *S) {
			s.Feeds = []crawl.Feed{{
				URI: "a-%(batch_id)d.csv", BatchItems: 5, Fields: []string{"b", "a"}, Rename: map[string]string{"a": "A", "b": "B"}, Indent: 4, Types: []string{"Book"},
				Level: 5, Compress: "gzip", CSV: crawl.CSVFeed{Delimiter: ";"}, XML: crawl.XMLFeed{Root: "r", Item: "i"},
			}}
		}},
		{"FEED_EXPORT_FIELDS", `{"b": "B", "a": "A"}`, func(s *S) { s.FeedExport.Fields = []string{"b=B", "a=A"} }},
		{"FEED_EXPORT_FIELDS", `["b", "a"]`, func(s *S) { s.FeedExport.Fields = []string{"b", "a"} }},
		{"FEED_EXPORT_INDENT", "4", func(s *S) { s.FeedExport.Indent = 4 }},
		{"FEED_EXPORT_BATCH_ITEM_COUNT", "100", func(s *S) { s.FeedExport.BatchItems = 100 }},
		{"FEED_STORE_EMPTY", "False", func(s *S) { s.FeedExport.SkipEmpty = true }},
		{"FEED_TEMPDIR", "/data/tmp", func(s *S) { s.FeedExport.TempDir = "/data/tmp" }},
		{"FEED_STORAGE_S3_ACL", "public-read", func(s *S) { s.AWS.ACL = "public-read" }},
		{"FEED_STORAGE_GCS_ACL", "publicRead", func(s *S) {
			s.GCS.ACL = "publicRead"
		}},
		{"LOG_LEVEL", "INFO", func(s *S) { s.Log.Level = "info" }},
		{"LOG_LEVEL", "WARNING", func(s *S) { s.Log.Level = "warn" }},
		{"LOG_LEVEL", "CRITICAL", func(s *S) { s.Log.Level = "error" }},
		{"LOGSTATS_INTERVAL", "5", func(s *S) { s.Log.StatsInterval = 5 * time.Second }},
		{"LOGSTATS_INTERVAL", "0", func(s *S) { s.Log.StatsInterval = -time.Second }},
		{"JOBDIR", "job", func(s *S) { s.Job.Dir = "job" }},
	} {
		var got, want crawl.Settings
		c.want(&want)
		require.NoError(t, got.Set(c.name, c.value), "%s=%s", c.name, c.value)
		require.Equal(t, want, got, "%s=%s", c.name, c.value)
	}

	// Turning retries on leaves a number that is there.
	s := crawl.Settings{Retry: crawl.RetrySettings{Times: 5}}
	require.NoError(t, s.Set("RETRY_ENABLED", "True"))
	require.Equal(t, 5, s.Retry.Times)
	s.Retry.Times = math.MinInt
	require.NoError(t, s.Set("RETRY_ENABLED", "True"))
	require.Equal(t, 2, s.Retry.Times)
}

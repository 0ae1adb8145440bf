package crawl_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// Scrapy's names for what stores need. FILES_STORE_S3_ACL and its like are a pipeline's own; the others are for all.
func TestScrapyNamesOfStores(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, value string
		want        func(*crawl.Settings)
	}{
		{"AWS_ACCESS_KEY_ID", "id", func(s *crawl.Settings) { s.AWS.AccessKeyID = "id" }},
		{"AWS_SECRET_ACCESS_KEY", "secret", func(s *crawl.Settings) { s.AWS.SecretAccessKey = "secret" }},
		{"AWS_SESSION_TOKEN", "token", func(s *crawl.Settings) { s.AWS.SessionToken = "token" }},
		{"AWS_REGION_NAME", "eu-west-1", func(s *crawl.Settings) { s.AWS.Region = "eu-west-1" }},
		{"AWS_ENDPOINT_URL", "http://localhost:9000", func(s *crawl.Settings) { s.AWS.Endpoint = "http://localhost:9000" }},
		{"AWS_VERIFY", "False", func(s *crawl.Settings) { s.AWS.InsecureTLS = true }},
		{"AWS_VERIFY", "True", func(*crawl.Settings) {}},
		{"FILES_STORE_S3_ACL", "public-read", func(s *crawl.Settings) { s.Files.AWS.ACL = "public-read" }},
		{"IMAGES_STORE_S3_ACL", "public-read", func(s *crawl.Settings) { s.Images.AWS.ACL = "public-read" }},
		{"FILES_STORE_GCS_ACL", "publicRead", func(s *crawl.Settings) { s.Files.GCS.ACL = "publicRead" }},
		{"IMAGES_STORE_GCS_ACL", "publicRead", func(s *crawl.Settings) { s.Images.GCS.ACL = "publicRead" }},
		{"FTP_USER", "u", func(s *crawl.Settings) { s.FTP.User = "u" }},
		{"FTP_PASSWORD", "p", func(s *crawl.Settings) { s.FTP.Password = "p" }},
	} {
		var got, want crawl.Settings
		c.want(&want)
		require.NoError(t, got.Set(c.name, c.value), "%s=%s", c.name, c.value)
		require.Equal(t, want, got, "%s=%s", c.name, c.value)
	}
	var s crawl.Settings
	require.ErrorContains(t, s.Set("AWS_USE_SSL", "False"), "aws.endpoint says http:// or https://")
	require.ErrorContains(t, s.Set("GCS_PROJECT_ID", "p"), "leave it out")
}

// Scrapy's names for the HTTP cache, class paths and all.
func TestScrapyNamesOfTheCache(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, value string
		want        crawl.HTTPCacheSettings
	}{
		{"HTTPCACHE_ENABLED", "True", crawl.HTTPCacheSettings{On: true}},
		{"HTTPCACHE_DIR", "/cache", crawl.HTTPCacheSettings{Dir: "/cache"}},
		{"HTTPCACHE_POLICY", "scrapy.extensions.httpcache.DummyPolicy", crawl.HTTPCacheSettings{Policy: "dummy"}},
		{"HTTPCACHE_POLICY", "scrapy.extensions.httpcache.RFC2616Policy", crawl.HTTPCacheSettings{Policy: "rfc9111"}},
		{"HTTPCACHE_POLICY", "rfc9111", crawl.HTTPCacheSettings{Policy: "rfc9111"}},
		{"HTTPCACHE_STORAGE", "scrapy.extensions.httpcache.FilesystemCacheStorage", crawl.HTTPCacheSettings{Storage: "files"}},
		{"HTTPCACHE_STORAGE", "scrapy.extensions.httpcache.DbmCacheStorage", crawl.HTTPCacheSettings{Storage: "embedded"}},
		{"HTTPCACHE_EXPIRATION_SECS", "3600", crawl.HTTPCacheSettings{Expires: time.Hour}},
		{"HTTPCACHE_EXPIRATION_SECS", "0", crawl.HTTPCacheSettings{}},
		{"HTTPCACHE_EXPIRATION_SECS", "-1", crawl.HTTPCacheSettings{}},
		{"HTTPCACHE_IGNORE_MISSING", "True", crawl.HTTPCacheSettings{Offline: true}},
		{"HTTPCACHE_ALWAYS_STORE", "True", crawl.HTTPCacheSettings{AlwaysStore: true}},
		{"HTTPCACHE_IGNORE_HTTP_CODES", "[404, 500]", crawl.HTTPCacheSettings{IgnoreStatuses: []int{404, 500}}},
		{"HTTPCACHE_IGNORE_SCHEMES", `["file", "s3"]`, crawl.HTTPCacheSettings{IgnoreSchemes: []string{"file", "s3"}}},
		{"HTTPCACHE_IGNORE_RESPONSE_CACHE_CONTROLS", "no-cache,no-store", crawl.HTTPCacheSettings{IgnoreCacheControls: []string{"no-cache", "no-store"}}},
		{"HTTPCACHE_GZIP", "True", crawl.HTTPCacheSettings{Gzip: true}},
	} {
		var got crawl.Settings
		require.NoError(t, got.Set(c.name, c.value), "%s=%s", c.name, c.value)
		require.Equal(t, c.want, got.HTTPCache, "%s=%s", c.name, c.value)
	}
	var s crawl.Settings
	require.ErrorContains(t, s.Set("HTTPCACHE_DBM_MODULE", "dbm"), "use http_cache.storage")
	s.HTTPCache.Expires = -1
	s.HTTPCache.Policy = "none"
	_, err := s.Effective(nil)
	require.ErrorContains(t, err, "http_cache.expires")
	require.ErrorContains(t, err, "http_cache.policy")
}

// Scrapy's names for what the layers between engine and downloader need.
func TestScrapyNamesOfLayers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, value string
		want        func(*crawl.Settings)
	}{
		{"HTTPAUTH_USER", "u", func(s *crawl.Settings) { s.HTTPAuth.User = "u" }},
		{"HTTPAUTH_PASS", "p", func(s *crawl.Settings) { s.HTTPAuth.Password = "p" }},
		{"HTTPAUTH_DOMAIN", "d", func(s *crawl.Settings) { s.HTTPAuth.Domain = "d" }},
		{"HTTPPROXY_ENABLED", "False", func(s *crawl.Settings) { s.Proxy.Off = true }},
		{"METAREFRESH_ENABLED", "False", func(s *crawl.Settings) { s.MetaRefresh.Off = true }},
		{"METAREFRESH_MAXDELAY", "10", func(s *crawl.Settings) { s.MetaRefresh.MaxDelay = 10 * time.Second }},
		{"METAREFRESH_MAXDELAY", "0", func(s *crawl.Settings) { s.MetaRefresh.MaxDelay = -time.Second }},
		{"METAREFRESH_IGNORE_TAGS", `["script", "noscript"]`, func(s *crawl.Settings) { s.MetaRefresh.IgnoreTags = []string{"script", "noscript"} }},
		{"METAREFRESH_IGNORE_TAGS", "script, noscript", func(s *crawl.Settings) { s.MetaRefresh.IgnoreTags = []string{"script", "noscript"} }},
		{"RETRY_GIVE_UP_LOG_LEVEL", "WARNING", func(s *crawl.Settings) { s.Retry.GiveUpLevel = "warn" }},
	} {
		var got, want crawl.Settings
		c.want(&want)
		require.NoError(t, got.Set(c.name, c.value), "%s=%s", c.name, c.value)
		require.Equal(t, want, got, "%s=%s", c.name, c.value)
	}
	var s crawl.Settings
	require.ErrorContains(t, s.Set("HTTPPROXY_AUTH_ENCODING", "latin-1"), "users and passwords are sent in UTF-8")
	require.ErrorContains(t, s.Set("user_agents", `["a`), "is not the JSON that is wanted here")
}

// Scrapy's names for what its extensions do.
func TestScrapyNamesOfExtensions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, value string
		want        func(*crawl.Settings)
	}{
		{"CLOSESPIDER_TIMEOUT", "90", func(s *crawl.Settings) { s.CloseAfter.Time = 90 * time.Second }},
		{"CLOSESPIDER_ITEMCOUNT", "100", func(s *crawl.Settings) { s.CloseAfter.Items = 100 }},
		{"CLOSESPIDER_PAGECOUNT", "10", func(s *crawl.Settings) { s.CloseAfter.Pages = 10 }},
		{"CLOSESPIDER_ERRORCOUNT", "1", func(s *crawl.Settings) { s.CloseAfter.Errors = 1 }},
		{"CLOSESPIDER_TIMEOUT_NO_ITEM", "5", func(s *crawl.Settings) { s.CloseAfter.NoItem = 5 * time.Second }},
		{"CLOSESPIDER_PAGECOUNT_NO_ITEM", "7", func(s *crawl.Settings) { s.CloseAfter.PagesNoItem = 7 }},
		{"CLOSESPIDER_PAGECOUNT", "0", func(*crawl.Settings) {}},
		{"MEMUSAGE_LIMIT_MB", "512", func(s *crawl.Settings) { s.Memory.Limit = 512 << 20 }},
		{"MEMUSAGE_WARNING_MB", "0.5", func(s *crawl.Settings) { s.Memory.Warn = 512 << 10 }},
		{"MEMUSAGE_CHECK_INTERVAL_SECONDS", "60.0", func(s *crawl.Settings) { s.Memory.Interval = time.Minute }},
		{"MEMUSAGE_ENABLED", "False", func(s *crawl.Settings) { s.Memory.Interval = -time.Second }},
		{"MEMUSAGE_ENABLED", "True", func(s *crawl.Settings) { s.Memory.Interval = 5 * time.Second }},
		{"STATS_DUMP", "False", func(s *crawl.Settings) { s.Log.HideStats = true }},
		{"LOGSTATS_INTERVAL", "0", func(s *crawl.Settings) { s.Log.StatsInterval = -time.Second }},
		{"PERIODIC_LOG_STATS", "True", func(s *crawl.Settings) { s.PeriodicLog.Stats = []string{"*"} }},
		{"PERIODIC_LOG_STATS", "False", func(s *crawl.Settings) { s.PeriodicLog.Stats = []string{} }},
		{"PERIODIC_LOG_DELTA", "None", func(s *crawl.Settings) { s.PeriodicLog.Delta = []string{} }},
		{"PERIODIC_LOG_DELTA", `{"include": ["downloader/", "item"], "exclude": ["bytes"]}`, func(s *crawl.Settings) {
			s.PeriodicLog.Delta = []string{"downloader/", "item", "!bytes"}
		}},
		{"PERIODIC_LOG_DELTA", `{"exclude": ["bytes"]}`, func(s *crawl.Settings) { s.PeriodicLog.Delta = []string{"*", "!bytes"} }},
		{"PERIODIC_LOG_TIMING_ENABLED", "True", func(s *crawl.Settings) { s.PeriodicLog.Timing = true }},
		{"DEPTH_STATS_VERBOSE", "True", func(s *crawl.Settings) { s.Depth.Verbose = true }},
	} {
		var got, want crawl.Settings
		c.want(&want)
		require.NoError(t, got.Set(c.name, c.value), "%s=%s", c.name, c.value)
		require.Equal(t, want, got, "%s=%s", c.name, c.value)
	}
	s := crawl.Settings{
		CloseAfter: crawl.CloseAfterSettings{Time: -1, Items: -1, Pages: -1, Errors: -1, NoItem: -1, PagesNoItem: -1}, Memory: crawl.MemorySettings{Limit: -1, Warn: -1},
	}
	_, err := s.Effective(nil)
	for _, name := range []string{"time", "items", "pages", "errors", "no_item", "pages_no_item"} {
		require.ErrorContains(t, err, "close_after."+name+" is negative: 0 is no limit")
	}
	require.ErrorContains(t, err, "memory.limit is negative")
	require.ErrorContains(t, err, "memory.warn is negative")
	require.ErrorContains(t, s.Set("MEMUSAGE_LIMIT_MB", "much"), "is not a number of megabytes")
}

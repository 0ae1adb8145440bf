package crawl

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"
)

// Scrapy's settings (https://docs.scrapy.org/en/latest/topics/settings.html): those that have a counterpart, with what makes its value of theirs, and those that
// have none.

// A scrapyName is a setting of Scrapy's that is one of ours.
type scrapyName struct {
	to string
	// convert makes the text of our value. nil: it is the same.
	convert func(s *Settings, value string) (string, error)
}

func (a scrapyName) native(s *Settings, value string) (string, error) {
	if a.convert == nil {
		return value, nil
	}
	return a.convert(s, value)
}

// noLimit stands for Scrapy's 0 where a number must be there.
const noLimit = 1_000_000

var scrapyNames = map[string]scrapyName{
	"CONCURRENT_REQUESTS":             {"concurrent_requests", zeroIs(noLimit)},
	"CONCURRENT_REQUESTS_PER_DOMAIN":  {"concurrent_per_host", zeroIs(noLimit)},
	"CONCURRENT_ITEMS":                {"concurrent_items", nil},
	"DOWNLOAD_DELAY":                  {"download_delay", nil},
	"RANDOMIZE_DOWNLOAD_DELAY":        {"fixed_delay", not},
	"DOWNLOAD_SLOTS":                  {"slots", scrapySlots},
	"USER_AGENT":                      {"user_agent", nil},
	"DEFAULT_REQUEST_HEADERS":         {"default_headers", nil},
	"DOWNLOAD_TIMEOUT":                {"download.timeout", zeroIs(-1)},
	"DOWNLOAD_MAXSIZE":                {"download.max_size", zeroIs(-1)},
	"DOWNLOAD_WARNSIZE":               {"download.warn_size", zeroIs(-1)},
	"DOWNLOAD_FAIL_ON_DATALOSS":       {"download.allow_truncated", not},
	"DOWNLOAD_VERIFY_CERTIFICATES":    {"download.insecure_tls", not},
	"DOWNLOAD_BIND_ADDRESS":           {"download.bind_address", hostAndPort},
	"DOWNLOAD_TLS_MIN_VERSION":        {"download.min_tls", tlsVersion},
	"DOWNLOAD_TLS_MAX_VERSION":        {"download.max_tls", tlsVersion},
	"AUTOTHROTTLE_ENABLED":            {"auto_throttle.on", nil},
	"AUTOTHROTTLE_START_DELAY":        {"auto_throttle.start_delay", nil},
	"AUTOTHROTTLE_MAX_DELAY":          {"auto_throttle.max_delay", nil},
	"AUTOTHROTTLE_TARGET_CONCURRENCY": {"auto_throttle.target", nil},
	"AUTOTHROTTLE_DEBUG":              {"auto_throttle.debug", nil},
	"ROBOTSTXT_OBEY":                  {"robots.ignore", not},
	"ROBOTSTXT_USER_AGENT":            {"robots.user_agent", nil},
	"RETRY_ENABLED":                   {"retry.times", enabled(func(s *Settings) *int { return &s.Retry.Times })},
	"RETRY_TIMES":                     {"retry.times", zeroIs(-1)},
	"RETRY_HTTP_CODES":                {"retry.statuses", nil},
	"RETRY_PRIORITY_ADJUST":           {"retry.priority_adjust", nil},
	"REDIRECT_ENABLED":                {"redirect.times", enabled(func(s *Settings) *int { return &s.Redirect.Times })},
	"REDIRECT_MAX_TIMES":              {"redirect.times", zeroIs(-1)},
	"REDIRECT_PRIORITY_ADJUST":        {"redirect.priority_adjust", nil},
	"METAREFRESH_ENABLED":             {"meta_refresh.off", not},
	"METAREFRESH_MAXDELAY":            {"meta_refresh.max_delay", zeroIs(-1)},
	"METAREFRESH_IGNORE_TAGS":         {"meta_refresh.ignore_tags", nil},
	"HTTPAUTH_USER":                   {"http_auth.user", nil},
	"HTTPAUTH_PASS":                   {"http_auth.password", nil},
	"HTTPAUTH_DOMAIN":                 {"http_auth.domain", nil},
	"HTTPPROXY_ENABLED":               {"proxy.off", not},
	"RETRY_GIVE_UP_LOG_LEVEL":         {"retry.give_up_level", logLevel},
	"COOKIES_ENABLED":                 {"cookies.off", not},
	"COOKIES_DEBUG":                   {"cookies.debug", nil},
	"COMPRESSION_ENABLED":             {"compression.off", not},
	"HTTPCACHE_ENABLED":               {"http_cache.on", nil},
	"HTTPCACHE_DIR":                   {"http_cache.dir", nil},
	"HTTPCACHE_POLICY":                {"http_cache.policy", lastPart(map[string]string{"DummyPolicy": CacheDummy, "RFC2616Policy": CacheRFC9111})},
	"HTTPCACHE_STORAGE":               {"http_cache.storage", lastPart(map[string]string{"FilesystemCacheStorage": CacheFiles, "DbmCacheStorage": "embedded"})},
	"HTTPCACHE_EXPIRATION_SECS":       {"http_cache.expires", atLeastZero},
	"HTTPCACHE_IGNORE_MISSING":        {"http_cache.offline", nil},
	"HTTPCACHE_ALWAYS_STORE":          {"http_cache.always_store", nil},
	"HTTPCACHE_IGNORE_HTTP_CODES":     {"http_cache.ignore_statuses", nil},
	"HTTPCACHE_IGNORE_SCHEMES":        {"http_cache.ignore_schemes", nil},
	"HTTPCACHE_GZIP":                  {"http_cache.gzip", nil},
	"HTTPERROR_ALLOW_ALL":             {"http_error.allow_all", nil},
	"HTTPERROR_ALLOWED_CODES":         {"http_error.allowed", nil},
	"REFERER_ENABLED":                 {"referer.off", not},
	"REFERRER_POLICY":                 {"referer.policy", referrerPolicy},
	"DEPTH_LIMIT":                     {"depth.limit", nil},
	"DEPTH_PRIORITY":                  {"depth.priority", nil},
	"DEPTH_STATS_VERBOSE":             {"depth.verbose", nil},
	"URLLENGTH_LIMIT":                 {"url_length.limit", zeroIs(-1)},
	"MEDIA_ALLOW_REDIRECTS":           {"media.allow_redirects", nil},
	"IMAGES_STORE":                    {"images.store", nil},
	"IMAGES_URLS_FIELD":               {"images.urls_field", nil},
	"IMAGES_RESULT_FIELD":             {"images.result_field", nil},
	"IMAGES_EXPIRES":                  {"images.expires", days},
	"IMAGES_MIN_WIDTH":                {"images.min_width", nil},
	"IMAGES_MIN_HEIGHT":               {"images.min_height", nil},
	"IMAGES_THUMBS":                   {"images.thumbs", nil},
	"IMAGES_PRESERVE_FORMAT":          {"images.preserve_format", nil},
	"FILES_STORE":                     {"files.store", nil},
	"FILES_URLS_FIELD":                {"files.urls_field", nil},
	"FILES_RESULT_FIELD":              {"files.result_field", nil},
	"FILES_EXPIRES":                   {"files.expires", days},
	"IMAGES_STORE_S3_ACL":             {"images.aws.acl", nil},
	"IMAGES_STORE_GCS_ACL":            {"images.gcs.acl", nil},
	"FILES_STORE_S3_ACL":              {"files.aws.acl", nil},
	"FILES_STORE_GCS_ACL":             {"files.gcs.acl", nil},
	"AWS_ACCESS_KEY_ID":               {"aws.access_key_id", nil},
	"AWS_SECRET_ACCESS_KEY":           {"aws.secret_access_key", nil},
	"AWS_SESSION_TOKEN":               {"aws.session_token", nil},
	"AWS_REGION_NAME":                 {"aws.region", nil},
	"AWS_ENDPOINT_URL":                {"aws.endpoint", nil},
	"AWS_VERIFY":                      {"aws.insecure_tls", not},
	"FTP_USER":                        {"ftp.user", nil},
	"FTP_PASSWORD":                    {"ftp.password", nil},
	"FEEDS":                           {"feeds", nil},
	"FEED_EXPORT_FIELDS":              {"feed_export.fields", scrapyFeedFields},
	"FEED_EXPORT_INDENT":              {"feed_export.indent", nil},
	"FEED_EXPORT_BATCH_ITEM_COUNT":    {"feed_export.batch_items", nil},
	"FEED_STORE_EMPTY":                {"feed_export.skip_empty", not},
	"FEED_TEMPDIR":                    {"feed_export.temp_dir", nil},
	"FEED_STORAGE_S3_ACL":             {"aws.acl", nil},
	"FEED_STORAGE_GCS_ACL":            {"gcs.acl", nil},
	"LOG_LEVEL":                       {"log.level", logLevel},
	"LOGSTATS_INTERVAL":               {"log.stats_interval", zeroIs(-1)},
	"STATS_DUMP":                      {"log.hide_stats", not},
	"CLOSESPIDER_TIMEOUT":             {"close_after.time", nil},
	"CLOSESPIDER_ITEMCOUNT":           {"close_after.items", nil},
	"CLOSESPIDER_PAGECOUNT":           {"close_after.pages", nil},
	"CLOSESPIDER_ERRORCOUNT":          {"close_after.errors", nil},
	"CLOSESPIDER_TIMEOUT_NO_ITEM":     {"close_after.no_item", nil},
	"CLOSESPIDER_PAGECOUNT_NO_ITEM":   {"close_after.pages_no_item", nil},
	"MEMUSAGE_ENABLED":                {"memory.interval", memoryInterval},
	"MEMUSAGE_LIMIT_MB":               {"memory.limit", megabytes},
	"MEMUSAGE_WARNING_MB":             {"memory.warn", megabytes},
	"MEMUSAGE_CHECK_INTERVAL_SECONDS": {"memory.interval", nil},
	"PERIODIC_LOG_STATS":              {"periodic_log.stats", statFilter},
	"PERIODIC_LOG_DELTA":              {"periodic_log.delta", statFilter},
	"PERIODIC_LOG_TIMING_ENABLED":     {"periodic_log.timing", nil},
	"JOBDIR":                          {"job.dir", nil},

	"HTTPCACHE_IGNORE_RESPONSE_CACHE_CONTROLS": {"http_cache.ignore_cache_controls", nil},
}

// not turns the sense of a bool.
func not(_ *Settings, value string) (string, error) {
	b, err := parseBool(value)
	return strconv.FormatBool(!b), err
}

// scrapyFeedFields is a list of fields, or an object of new names by field.
func scrapyFeedFields(_ *Settings, value string) (string, error) {
	var f Feed
	if !strings.HasPrefix(value, "{") {
		return value, nil
	}
	if err := f.scrapyFields(value); err != nil {
		return "", err
	}
	for i, name := range f.Fields {
		f.Fields[i] = name + "=" + f.Rename[name]
	}
	b, err := json.Marshal(f.Fields)
	return string(b), err
}

// zeroIs puts n in the place of 0, which means none in Scrapy and the default here.
func zeroIs(n int) func(*Settings, string) (string, error) {
	return func(_ *Settings, value string) (string, error) {
		if v, err := parseFloat(value); err == nil && v == 0 {
			return strconv.Itoa(n), nil
		}
		return value, nil
	}
}

// enabled turns a number of times off by a negative one. Turned on, a number that is there stays.
func enabled(times func(*Settings) *int) func(*Settings, string) (string, error) {
	return func(s *Settings, value string) (string, error) {
		on, err := parseBool(value)
		if err != nil || !on {
			return "-1", err
		}
		n := *times(s)
		if n <= 0 {
			var d Settings
			d.setDefaults()
			n = *times(&d)
		}
		return strconv.Itoa(n), nil
	}
}

// lastPart also takes Scrapy's classes, by the last part of their paths.
func lastPart(names map[string]string) func(*Settings, string) (string, error) {
	return func(_ *Settings, value string) (string, error) {
		if name, ok := names[value[strings.LastIndexByte(value, '.')+1:]]; ok {
			return name, nil
		}
		return value, nil
	}
}

// atLeastZero makes 0 of what is less, which means the same in Scrapy.
func atLeastZero(_ *Settings, value string) (string, error) {
	if n, err := parseFloat(value); err == nil && n < 0 {
		return "0", nil
	}
	return value, nil
}

// days reads a number of days. 0 is what a negative duration is here: what is stored is never fresh.
func days(_ *Settings, value string) (string, error) {
	n, err := parseFloat(value)
	if err != nil {
		return "", fmt.Errorf("%q is not a number of days", value)
	}
	if n == 0 {
		return "-1", nil
	}
	return formatFloat(n * (24 * time.Hour).Seconds()), nil
}

// megabytes reads a number of them, each of 1024 × 1024 bytes.
func megabytes(_ *Settings, value string) (string, error) {
	n, err := parseFloat(value)
	if err != nil {
		return "", fmt.Errorf("%q is not a number of megabytes", value)
	}
	return formatFloat(math.Round(n * (1 << 20))), nil
}

// memoryInterval reads whether memory is looked at. Turned on, an interval that is there stays.
func memoryInterval(s *Settings, value string) (string, error) {
	on, err := parseBool(value)
	if err != nil || !on {
		return "-1", err
	}
	every := s.Memory.Interval
	if every <= 0 {
		var d Settings
		d.setDefaults()
		every = d.Memory.Interval
	}
	return every.String(), nil
}

// statFilter reads True, False, or {"include": ["downloader/"], "exclude": ["bytes"]}.
func statFilter(_ *Settings, value string) (string, error) {
	var filter struct{ Include, Exclude []string }
	if !strings.HasPrefix(strings.TrimSpace(value), "{") {
		if value == "" || strings.EqualFold(value, "none") {
			return "", nil
		}
		on, err := parseBool(value)
		if err != nil || !on {
			return "", err
		}
		return "*", nil
	}
	if err := parseJSON(value, &filter); err != nil {
		return "", err
	}
	if len(filter.Include) == 0 {
		filter.Include = []string{"*"}
	}
	for _, text := range filter.Exclude {
		filter.Include = append(filter.Include, "!"+text)
	}
	return formatJSON(filter.Include, len(filter.Include)), nil
}

// hostAndPort also takes Python's pair of an address and a port, as in ("192.0.2.7", 0).
func hostAndPort(_ *Settings, value string) (string, error) {
	pair := strings.Trim(value, "()[] ")
	host, port, ok := strings.Cut(pair, ",")
	if !ok {
		return value, nil
	}
	return net.JoinHostPort(strings.Trim(host, `"' `), strings.TrimSpace(port)), nil
}

// tlsVersion also takes Scrapy's names, such as TLSv1.2.
func tlsVersion(_ *Settings, value string) (string, error) {
	return strings.TrimPrefix(value, "TLSv"), nil
}

// logLevel also takes the names of Python's logging. Here "error" is the highest.
func logLevel(_ *Settings, value string) (string, error) {
	switch strings.ToLower(value) {
	case "warning":
		return "warn", nil
	case "critical", "fatal":
		return "error", nil
	}
	return value, nil
}

// referrerPolicy also takes Scrapy's own policy and the classes, by the last part of their paths.
func referrerPolicy(_ *Settings, value string) (string, error) {
	switch value[strings.LastIndexByte(value, '.')+1:] {
	case "scrapy-default", "DefaultReferrerPolicy", "NoReferrerWhenDowngradePolicy":
		return "no-referrer-when-downgrade", nil
	case "NoReferrerPolicy":
		return "no-referrer", nil
	case "SameOriginPolicy":
		return "same-origin", nil
	case "OriginPolicy":
		return "origin", nil
	case "StrictOriginPolicy":
		return "strict-origin", nil
	case "OriginWhenCrossOriginPolicy":
		return "origin-when-cross-origin", nil
	case "StrictOriginWhenCrossOriginPolicy":
		return "strict-origin-when-cross-origin", nil
	case "UnsafeUrlPolicy":
		return "unsafe-url", nil
	}
	return value, nil
}

// scrapySlots reads {"example.com": {"concurrency": 2, "delay": 0.5, "randomize_delay": false, "throttle": false}}. A delay of 0 is none there.
func scrapySlots(_ *Settings, value string) (string, error) {
	if value == "" {
		return "", nil
	}
	var slots map[string]map[string]json.RawMessage
	if err := parseJSON(value, &slots); err != nil {
		return "", err
	}
	for name, slot := range slots {
		for key, raw := range slot {
			text := plainJSON(raw)
			switch n, err := parseFloat(text); {
			case err == nil && n == 0 && (key == "delay" || key == "concurrency"):
				slot[key] = json.RawMessage("-1")
			case key == "randomize_delay" || key == "throttle":
				delete(slot, key)
				if text == "" { // None is what the crawl has
					continue
				}
				on, err := parseBool(text)
				if err != nil {
					return "", fmt.Errorf("%s.%s: %w", name, key, err)
				}
				ours := map[string][2]string{"randomize_delay": {"fixed_delay", "random_delay"}, "throttle": {"dont_throttle", ""}}[key]
				if !on {
					slot[ours[0]] = json.RawMessage("true")
				} else if ours[1] != "" {
					slot[ours[1]] = json.RawMessage("true")
				}
			}
		}
	}
	return formatJSON(slots, len(slots)), nil
}

func formatFloat(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// scrapyOnly are Scrapy's settings without a counterpart, and what there is in their place, if anything.
var scrapyOnly = map[string]string{
	"ADDONS":                                "",
	"ASYNCIO_EVENT_LOOP":                    "",
	"AWS_MAX_POOL_CONNECTIONS":              "connections are opened as they are needed",
	"AWS_USE_SSL":                           "aws.endpoint says http:// or https://",
	"BOT_NAME":                              "",
	"COMMANDS_MODULE":                       "",
	"CONCURRENT_REQUESTS_PER_IP":            "use concurrent_per_host",
	"CRAWLSPIDER_FOLLOW_LINKS":              "",
	"DEFAULT_DROPITEM_LOG_LEVEL":            "",
	"DEFAULT_ITEM_CLASS":                    "",
	"DNSCACHE_ENABLED":                      "",
	"DNSCACHE_SIZE":                         "",
	"DNS_RESOLVER":                          "",
	"DNS_TIMEOUT":                           "",
	"DOWNLOADER":                            "",
	"DOWNLOADER_CLIENTCONTEXTFACTORY":       "",
	"DOWNLOADER_CLIENT_TLS_CIPHERS":         "",
	"DOWNLOADER_CLIENT_TLS_METHOD":          "",
	"DOWNLOADER_CLIENT_TLS_VERBOSE_LOGGING": "",
	"DOWNLOADER_MIDDLEWARES":                "the program sets Settings.Middlewares",
	"DOWNLOADER_MIDDLEWARES_BASE":           "the program sets Settings.Middlewares",
	"DOWNLOADER_STATS":                      "they are always counted",
	"DOWNLOAD_HANDLERS":                     "the program sets Settings.Parts.Handlers",
	"DOWNLOAD_HANDLERS_BASE":                "",
	"DUPEFILTER_CLASS":                      "",
	"DUPEFILTER_DEBUG":                      "",
	"EDITOR":                                "",
	"EXTENSIONS":                            "the program sets Settings.Extensions",
	"EXTENSIONS_BASE":                       "",
	"FEED_EXPORTERS":                        "the program sets Settings.Parts.Formats",
	"FEED_EXPORTERS_BASE":                   "the program sets Settings.Parts.Formats",
	"FEED_EXPORT_ENCODING":                  "leave it out: feeds are UTF-8",
	"FEED_FORMAT":                           "use feeds",
	"FEED_STORAGES":                         "the program sets Settings.Parts.Stores or Targets",
	"FEED_STORAGES_BASE":                    "the program sets Settings.Parts.Targets",
	"FEED_STORAGE_FTP_ACTIVE":               "connections are passive: most machines cannot be reached by an FTP server",
	"FEED_URI":                              "use feeds",
	"FEED_URI_PARAMS":                       "use params of feeds; the spider's name and arguments are there without",
	"FORCE_CRAWLER_PROCESS":                 "",
	"FTP_PASSIVE_MODE":                      "",
	"GCS_PROJECT_ID":                        "leave it out: a bucket is found without; gcs.project is who pays where the requester does",
	"HTTP2_MAX_FRAME_SIZE":                  "",
	"HTTPCACHE_DBM_MODULE":                  "use http_cache.storage",
	"HTTPPROXY_AUTH_ENCODING":               "users and passwords are sent in UTF-8",
	"HTTPX_HTTP2_ENABLED":                   "",
	"ITEM_PIPELINES_BASE":                   "",
	"ITEM_PROCESSOR":                        "",
	"LOG_DATEFORMAT":                        "",
	"LOG_ENABLED":                           "",
	"LOG_ENCODING":                          "",
	"LOG_FILE":                              "crawl has the flag --log-file",
	"LOG_FILE_APPEND":                       "",
	"LOG_FORMAT":                            "",
	"LOG_FORMATTER":                         "",
	"LOG_SHORT_NAMES":                       "",
	"LOG_STDOUT":                            "",
	"LOG_VERSIONS":                          "",
	"MAIL_FROM":                             "",
	"MAIL_HOST":                             "",
	"MAIL_PASS":                             "",
	"MAIL_PORT":                             "",
	"MAIL_SSL":                              "",
	"MAIL_TLS":                              "",
	"MAIL_USER":                             "",
	"MEMDEBUG_ENABLED":                      "",
	"MEMUSAGE_NOTIFY_MAIL":                  "",
	"META_COPY_WARN_SKIP_KEYS":              "",
	"NEWSPIDER_MODULE":                      "",
	"REACTOR_THREADPOOL_MAXSIZE":            "",
	"REFERRER_POLICIES":                     "use referer.policy",
	"REMOTE_CONTROL_ENABLED":                "",
	"REMOTE_CONTROL_JOBS_DIR":               "",
	"REMOTE_CONTROL_OUTPUT_MAX_BYTES":       "",
	"REMOTE_CONTROL_TIMEOUT_DEFAULT":        "",
	"REMOTE_CONTROL_TIMEOUT_MAX":            "",
	"REMOTE_CONTROL_TRACEBACK_MAX_BYTES":    "",
	"REQUEST_FINGERPRINTER_CLASS":           "",
	"RETRY_EXCEPTIONS":                      "",
	"ROBOTSTXT_PARSER":                      "",
	"SCHEDULER":                             "",
	"SCHEDULER_DEBUG":                       "",
	"SCHEDULER_DISK_QUEUE":                  "use order",
	"SCHEDULER_MEMORY_QUEUE":                "use order",
	"SCHEDULER_PRIORITY_QUEUE":              "",
	"SCHEDULER_START_DISK_QUEUE":            "",
	"SCHEDULER_START_MEMORY_QUEUE":          "",
	"SCRAPER_SLOT_MAX_ACTIVE_SIZE":          "",
	"SPIDER_CONTRACTS":                      "",
	"SPIDER_CONTRACTS_BASE":                 "",
	"SPIDER_LOADER_CLASS":                   "",
	"SPIDER_LOADER_WARN_ONLY":               "",
	"SPIDER_MIDDLEWARES":                    "the program sets Settings.SpiderMiddlewares",
	"SPIDER_MIDDLEWARES_BASE":               "the program sets Settings.SpiderMiddlewares",
	"SPIDER_MODULES":                        "",
	"STATSMAILER_RCPTS":                     "",
	"STATS_CLASS":                           "",
	"TELNETCONSOLE_ENABLED":                 "",
	"TELNETCONSOLE_HOST":                    "",
	"TELNETCONSOLE_PASSWORD":                "",
	"TELNETCONSOLE_PORT":                    "",
	"TELNETCONSOLE_USERNAME":                "",
	"TEMPLATES_DIR":                         "",
	"TWISTED_DNS_RESOLVER":                  "",
	"TWISTED_REACTOR":                       "",
	"TWISTED_REACTOR_ENABLED":               "",
	"WARN_ON_GENERATOR_RETURN_VALUE":        "",
}

package crawl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net"
	"runtime"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Settings say how a crawl behaves. The zero value is a polite crawl. Booleans are named so that false is the usual. Where 0 is not none, 0 is the default and
// a negative value is none.
//
// Layers, later ones win: the defaults, the program's settings, Spider.Configure, the settings file, the environment, the command line. The last three are
// Assign. [Settings.Effective] puts them together on a deep copy.
//
// By name, a field is its path in snake case: images.min_width, concurrent_requests. Scrapy's names are accepted too.
type Settings struct {
	// ConcurrentRequests is how many downloads run at once, media included. Default 16.
	ConcurrentRequests int
	// ConcurrentPerHost is how many downloads run at once at one host. Default 8.
	ConcurrentPerHost int
	// ConcurrentCallbacks is how many callbacks run at once. Default: 4 per processor, at least 16.
	ConcurrentCallbacks int
	// ConcurrentItems is how many items may be in the pipelines at once, those that wait for their pictures included; beyond it callbacks wait.
	// Default 10,000.
	ConcurrentItems int
	// ConcurrentStages is how many items may be inside a pipeline stage's Process at once, those that wait for media not counted. Default 100.
	ConcurrentStages int
	// DownloadDelay is the least time between the starts of two downloads from one host. 0 is none.
	DownloadDelay time.Duration
	// FixedDelay keeps DownloadDelay as it is; otherwise each delay is drawn between 0.5 and 1.5 times it.
	FixedDelay bool
	// Slots are limits for single hosts, or for slots that requests name: how many downloads at once, the delay, whether it is drawn, and whether AutoThrottle sets it.
	// Zero fields fall back to the settings above; a negative number is none. A host is named without a port: see Request.Slot.
	Slots map[string]Limits
	// Order is in which order requests of equal priority leave: "depth", newest first, or "breadth", oldest first. Default depth.
	Order string
	// UserAgent is how the crawl introduces itself. Default "tulle (+https://github.com/tulle-go/tulle)".
	UserAgent string
	// UserAgents are several in place of UserAgent. Each site, a registered domain with its subdomains, gets one of them and keeps it, so that it suits the cookies
	// that the site has set. Which one depends on the domain alone. Empty: UserAgent.
	UserAgents []string
	// DefaultHeaders are sent where a request has none of that name. Default: Accept for pages and Accept-Language en. A header with an empty value is not sent.
	DefaultHeaders map[string]string
	// StopTimeout is how long a stop waits for a Start or callback that ignores it, before leaving it behind. Default 30 s.
	StopTimeout time.Duration

	Start        StartSettings
	Download     DownloadSettings
	Robots       RobotsSettings
	AutoThrottle AutoThrottleSettings
	Retry        RetrySettings
	Breaker      BreakerSettings
	Redirect     RedirectSettings
	MetaRefresh  MetaRefreshSettings
	Cookies      CookiesSettings
	HTTPAuth     HTTPAuthSettings
	Proxy        ProxySettings
	Compression  CompressionSettings
	HTTPCache    HTTPCacheSettings
	HTTPError    HTTPErrorSettings
	Referer      RefererSettings
	Depth        DepthSettings
	URLLength    URLLengthSettings
	Media        MediaSettings
	Images       ImagesSettings
	Files        FilesSettings
	AWS          AWSSettings
	GCS          GCSSettings
	FTP          FTPSettings
	Browser      BrowserSettings
	CloseAfter   CloseAfterSettings
	Memory       MemorySettings
	PeriodicLog  PeriodicLogSettings
	// Feeds are where items go: each is a file, standard output, or a place in a store.
	Feeds      []Feed
	FeedExport FeedExportSettings
	Log        LogSettings
	Job        JobSettings

	// ItemPipelines are the stages that items go through.
	ItemPipelines []Stage
	// Middlewares are added to the built-in downloader middlewares, or move or remove them.
	Middlewares []Layer
	// SpiderMiddlewares are added to the built-in spider middlewares, or move or remove them.
	SpiderMiddlewares []SpiderLayer
	// Trace are hooks for what happens. A running crawl's own copy of the settings has those of all extensions too.
	Trace Trace
	// Extensions watch the crawl, and may end it.
	Extensions []Extension
	// Parts are the optional parts that the program links: stores, handlers, formats.
	Parts Parts
	// Stdout is where the feed "-" goes. nil is the program's standard output.
	Stdout io.Writer
	// Logger writes the log. nil: one is made from Log, to standard error.
	Logger *zap.Logger
	// Assign are settings by name, applied after Spider.Configure: the operator has the last word.
	Assign []Assignment
}

// An Assignment sets one setting by its name.
type Assignment struct {
	Name, Value string
	// Source is where it comes from, for error texts and `tulle settings`: "-s", "environment", a file's name.
	Source string
}

// StartSettings bound what Start may produce ahead of the crawl.
type StartSettings struct {
	// Ahead is how many requests may be queued before Start waits. Default 10,000. Negative: Start never waits for the queue.
	Ahead int
}

// DownloadSettings are about the wire.
type DownloadSettings struct {
	// Timeout is for a whole request, from the connection to the last byte. Default 180 s, negative none. A large body that is not there by then is continued by the
	// next attempt, if its server has ranges.
	Timeout time.Duration
	// MaxSize is the largest body in bytes, on the wire and decompressed. Default 1 GiB, negative none.
	MaxSize int64
	// WarnSize is the size in bytes beyond which a body is warned of. Default 32 MiB, negative none.
	WarnSize int64
	// SpoolOver is the size in bytes beyond which a body goes to a file in place of memory. Default 1 MiB.
	SpoolOver int64
	// SpoolDir is where those files go while they are in work. Default: the system's temporary folder.
	SpoolDir string
	// AllowTruncated accepts a body that ends early, with the flag "truncated", in place of an error.
	AllowTruncated bool
	// ConnectTo leads connections for a host to another address, as curl's --connect-to does: "shop.localhost:80" to "127.0.0.1:8080". The port may be
	// left out on the left ("example.com": any port) and on the right ("127.0.0.1": the same port). The URL, the Host header and TLS names stay.
	ConnectTo map[string]string
	// Dial makes the connections: a network in memory, a tunnel. ConnectTo has been applied to address. nil dials by TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// InsecureTLS accepts certificates that do not verify.
	InsecureTLS bool
	// CAFile names a PEM file with certificates of authorities that are trusted beside the system's. Empty: the system's alone.
	CAFile string
	// MinTLS and MaxTLS are the oldest and the newest version of TLS that is spoken, from "1.0" to "1.3". Defaults 1.2 and 1.3.
	MinTLS, MaxTLS string
	// DisableHTTP2 keeps to HTTP/1.1.
	DisableHTTP2 bool
	// H2C speaks HTTP/2 without TLS for http URLs, to servers that are known to: others do not understand it. Through a proxy it is HTTP/1.1 still.
	H2C bool
	// BindAddress is the address of this machine that connections come from, those to proxies too, such as 192.0.2.7. With a port, as in 192.0.2.7:4000, there
	// can be one at a time to each server. Empty: the system chooses. Dial, if it is set, is not told.
	BindAddress string
	// MinSpeed is the least speed of a body in bytes per second, on the average of 30 s, once it has begun to come. A slower transfer breaks off as after Timeout. The
	// time that our own disk takes does not count. Default 10, negative none.
	MinSpeed int64
	// PublicOnly refuses addresses that are not public: of this machine, of private networks, of a cloud's metadata and so on. The address itself is what counts, whatever
	// name or redirect leads there. A proxy's own address may be any; what is asked through it is checked as far as its name can be looked up here. With Dial that is an
	// address that is no name, and what the connection says of its other end.
	PublicOnly bool
	// AllowNets are exceptions: addresses, or networks such as 10.1.0.0/16.
	AllowNets []string
}

// RobotsSettings are about robots.txt (RFC 9309).
type RobotsSettings struct {
	// Ignore asks although robots.txt says no.
	Ignore bool
	// UserAgent is the product token that groups are looked up by. Default: the first word of UserAgent.
	UserAgent string
	// MaxDelay caps a Crawl-delay. Default 60 s, negative: Crawl-delay is not obeyed.
	MaxDelay time.Duration
}

// RetrySettings are about asking again after a failure. An attempt that brought the next part of a large body does not count: see [DownloadError].Progress.
type RetrySettings struct {
	// Times is how often a request is asked again. Default 2, negative never.
	Times int
	// Statuses are asked again. Default 500, 502, 503, 504, 522, 524, 408, 429.
	Statuses []int
	// PriorityAdjust is added to the priority of a request that is asked again. Default -1.
	PriorityAdjust int
	// BackOff is the wait before the first repeat; it doubles each time, and each is drawn between half of it and the whole. Default 1 s, negative none.
	BackOff time.Duration
	// MaxBackOff caps the wait. Default 60 s.
	MaxBackOff time.Duration
	// MaxRetryAfter caps what a server may ask for by Retry-After. Default 5 min, negative: Retry-After is not obeyed.
	MaxRetryAfter time.Duration
	// GiveUpLevel is at which level the log says that a request is not asked again: "debug", "info", "warn" or "error". Default debug: what comes of it, an error or
	// a status, is told anyway.
	GiveUpLevel string
}

// SlotLimits is what the settings say of a slot: its own entry of Slots, and what the crawl has where that says nothing. What robots.txt and AutoThrottle add is the
// engine's to know.
func (s *Settings) SlotLimits(slot string) Limits {
	l := Limits{Concurrency: s.ConcurrentPerHost, Delay: s.DownloadDelay, FixedDelay: s.FixedDelay}
	own, ok := s.Slots[slot]
	if !ok {
		return l
	}
	if own.Concurrency != 0 {
		l.Concurrency = own.Concurrency
	}
	if own.Delay != 0 {
		l.Delay = own.Delay
	}
	l.FixedDelay = own.FixedDelay || s.FixedDelay && !own.RandomDelay
	l.HoldUntil, l.DontThrottle = own.HoldUntil, own.DontThrottle
	return l
}

// TimesOf is how often one request may be asked again, by its own Knobs and these settings; 0 is never.
func (s *RetrySettings) TimesOf(req *Request) int {
	knobs := req.Knob()
	times := s.Times
	if knobs.RetryTimes != 0 {
		times = knobs.RetryTimes
	}
	if knobs.DontRetry {
		return 0
	}
	return max(times, 0)
}

// AutoThrottleSettings are about delays that follow how fast a site answers, as Scrapy's AutoThrottle sets them. DownloadDelay, the delays of Slots and Crawl-delay are the
// least; ConcurrentPerHost still holds.
type AutoThrottleSettings struct {
	// On turns it on.
	On bool
	// StartDelay is the delay until a host's first answer. Default 5 s.
	StartDelay time.Duration
	// MaxDelay is the longest delay. Default 60 s.
	MaxDelay time.Duration
	// Target is how many downloads should run at a host on average: the delay is headed for the latency divided by it. Default 1.
	Target float64
	// Debug logs, at level info, what each answer makes of the delay.
	Debug bool
}

// BreakerSettings are about hosts that do not answer at all: no name, no connection, no handshake, or nothing in time. A status such as 503 is an answer.
type BreakerSettings struct {
	// Off asks such hosts as it asks any other.
	Off bool
	// Failures is after how many failures in a row a host is left alone for a while. Default 10. A host that has failed now and then is given more: as many as it would
	// hardly ever have in a row.
	Failures int
	// Hold is how long it is left alone before one request is tried. Default 1 min. It doubles each time that one fails.
	Hold time.Duration
	// MaxHold caps that. Default 15 min.
	MaxHold time.Duration
	// Trials is how many of those may fail before the host is given up for this crawl: what waits for it fails at once. Default 5; a host that has never answered
	// is given one.
	Trials int
}

// RedirectSettings are about 301, 302, 303, 307 and 308.
type RedirectSettings struct {
	// Times is how many redirects of a request are followed. Default 20, negative none.
	Times int
	// PriorityAdjust is added to the priority of a redirected request. Default 2.
	PriorityAdjust int
}

// MetaRefreshSettings are about pages that lead elsewhere by <meta http-equiv="refresh">. Redirect.Times and Redirect.PriorityAdjust hold for them too.
type MetaRefreshSettings struct {
	// Off follows none.
	Off bool
	// MaxDelay is the longest delay that a page may ask for and is still followed; it is not waited for. Default 100 s, negative: none is followed.
	MaxDelay time.Duration
	// IgnoreTags are elements inside which a meta element does not count. Default noscript: that is for clients without scripts, and what it says may be there to
	// tell crawlers from browsers.
	IgnoreTags []string
}

// HTTPAuthSettings are about Basic authentication (RFC 7617).
type HTTPAuthSettings struct {
	// User and Password are sent to Domain. Both empty: nothing is.
	User, Password string
	// Domain must be set if they are: "example.com" is the host and its subdomains, "https://example.com" that origin alone, so never in clear text.
	Domain string
}

// ProxySettings are about proxies for http and https URLs.
type ProxySettings struct {
	// Off uses none: neither URLs, nor those of the environment, nor a request's own.
	Off bool
	// URLs are proxies that take turns: http://host:port, https://, socks5:// or socks5h://, which look names up at the proxy both, with user:password@ if it wants
	// them. Empty: those of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in lower case too), unless Download.Dial is set.
	URLs []string
	// ByTurn takes another one for each request. Otherwise each host keeps one, and with it its connections and what it thinks of the address.
	ByTurn bool
	// Failures is after how many failures in a row one of URLs rests. Default 3, negative never.
	Failures int
	// Rest is how long it does, before one request tries it again. Default 1 min.
	Rest time.Duration
}

// CookiesSettings are about cookies (RFC 6265).
type CookiesSettings struct {
	// Off neither sends nor keeps cookies.
	Off bool
	// Debug logs each cookie that is sent or received.
	Debug bool
}

// CompressionSettings are about Content-Encoding: gzip, deflate, br, zstd.
type CompressionSettings struct {
	// Off asks for no compression, and hands compressed bodies on as they are.
	Off bool
	// MaxRatio is the largest ratio of a body to its compressed size, once it is larger than 1 MiB. Default 1,000, negative none.
	MaxRatio float64
}

// HTTPCacheSettings are about the HTTP cache: responses that are kept on disk, and used again in place of the site's.
type HTTPCacheSettings struct {
	// On keeps responses and uses them again.
	On bool
	// Dir is the cache's folder, in which each spider has its own. Default "httpcache".
	Dir string
	// Policy is "dummy" or "rfc9111". Dummy keeps everything and uses it always, so that a crawl can be repeated without asking the site again; rfc9111 keeps what a browser
	// would keep, and validates it when a browser would. Default dummy, as in Scrapy.
	Policy string
	// Storage is "files", one for each response, which several crawls may share; or one of Parts.CacheStorages: "embedded" is a database, for one crawl at a time.
	// Default files.
	Storage string
	// Expires is how long after it was stored, or validated, a response may be used at all. 0 is for ever.
	Expires time.Duration
	// Offline asks nothing of any network: a request that has no response in the cache, however old, is ignored.
	Offline bool
	// AlwaysStore also stores what by the rules of rfc9111 has neither a lifetime nor a validator. What says no-store is not stored.
	AlwaysStore bool
	// IgnoreStatuses are not stored.
	IgnoreStatuses []int
	// IgnoreSchemes are of URLs that the cache leaves alone. Default file and data: theirs is on this machine already.
	IgnoreSchemes []string
	// IgnoreCacheControls are directives of responses that rfc9111 does not obey, such as no-store, no-cache, must-revalidate.
	IgnoreCacheControls []string
	// Gzip compresses what is stored, unless it came compressed.
	Gzip bool
	// MaxSize is about how many bytes a spider's cache may take on disk. Beyond it what was stored or validated first is removed, until nine tenths of it are left; so what
	// has expired goes first. It is looked at whenever a tenth of it was written, and at the start. 0 is no limit.
	MaxSize int64
}

// HTTPErrorSettings are about statuses outside 2xx.
type HTTPErrorSettings struct {
	// AllowAll hands every status to the callback.
	AllowAll bool
	// Allowed are handed to the callback.
	Allowed []int
}

// RefererSettings are about the Referer header.
type RefererSettings struct {
	// Off sends none.
	Off bool
	// Policy is one of the W3C's referrer policies. Default "no-referrer-when-downgrade".
	Policy string
}

// DepthSettings are about how many links away from Start a page is.
type DepthSettings struct {
	// Limit is the largest depth that is asked for. 0 is none.
	Limit int
	// Priority is subtracted from a request's priority, times its depth: positive is breadth first. 0 leaves priorities alone.
	Priority int
	// Verbose counts requests by depth.
	Verbose bool
}

// URLLengthSettings bound URLs.
type URLLengthSettings struct {
	// Limit is the longest URL in bytes, also of redirects and refreshes. Default 2083, negative none.
	Limit int
}

// MediaSettings are shared by FilesPipeline, ImagesPipeline and other kinds of media.
type MediaSettings struct {
	// CacheSize is how many finished results are remembered. Default 100,000. Beyond it the store's own freshness check answers.
	CacheSize int
	// AllowRedirects follows redirects; otherwise one is a failure.
	AllowRedirects bool
	// Statuses are a success. Default: every 2xx.
	Statuses []int
	// MaxSize is the largest file in bytes. 0 is Download.MaxSize.
	MaxSize int64
	// ObeyAllowedDomains keeps media to Spider.AllowedDomains.
	ObeyAllowedDomains bool
	// IgnoreRobots asks for media although robots.txt says no.
	IgnoreRobots bool
	// Checksum is "md5", "sha1" or "sha256". Default md5, as in Scrapy.
	Checksum string
}

// ImagesSettings are ImagesPipeline's. A pipeline value that carries its own wins over them.
type ImagesSettings struct {
	// Store is where pictures go: a folder or file:// (s3://, gs://, ftp:// in programs that link them). {spider} is the spider's name. Empty: the pipeline is
	// disabled, with a warning.
	Store string
	// URLsField and ResultField are the item's fields, by their names in the feed. Defaults "image_urls" and "images".
	URLsField, ResultField string
	// Expires is how long a stored picture is fresh. Default 90 days; negative: always download.
	Expires time.Duration
	// MinWidth and MinHeight are the least size in pixels; smaller pictures fail. 0 is any.
	MinWidth, MinHeight int
	// Thumbs are thumbnails by name: the box that each fits into. They are never larger than the picture.
	Thumbs map[string]Size
	// Quality of written JPEGs, 1 to 100. Default 75.
	Quality int
	// PreserveFormat keeps pictures as they come, byte for byte, with the extension of their URL, or of their format where the URL has no picture's. Otherwise they become
	// upright RGB JPEGs. Thumbnails are JPEGs in any case.
	PreserveFormat bool
	// MaxPixels is the largest picture, width × height, that is decoded. Default 178,956,970, Pillow's.
	MaxPixels int64
	// PixelBudget is how many pixels are in work at once. Default 50,000,000. A larger picture runs alone.
	PixelBudget int64
	// AWS, GCS and FTP are for this pipeline's store alone: fields that are set win over those of Settings. Credentials count as one.
	AWS AWSSettings
	GCS GCSSettings
	FTP FTPSettings
}

// FilesSettings are FilesPipeline's. A pipeline value that carries its own wins over them.
type FilesSettings struct {
	// Store is where files go: see ImagesSettings.Store.
	Store string
	// URLsField and ResultField are the item's fields, by their names in the feed. Defaults "file_urls" and "files".
	URLsField, ResultField string
	// Expires is how long a stored file is fresh. Default 90 days; negative: always download.
	Expires time.Duration
	// AWS, GCS and FTP are for this pipeline's store alone: fields that are set win over those of Settings. Credentials count as one.
	AWS AWSSettings
	GCS GCSSettings
	FTP FTPSettings
}

// AWSSettings are for stores on Amazon S3 and servers that speak its protocol.
type AWSSettings struct {
	// AccessKeyID and SecretAccessKey are the credentials, SessionToken goes with temporary ones. All empty: the environment (AWS_ACCESS_KEY_ID, …), then
	// ~/.aws/credentials, then the role of the machine or container.
	AccessKeyID, SecretAccessKey, SessionToken string
	// Region is the bucket's. Empty: AWS_REGION, then AWS_DEFAULT_REGION, else the server is asked.
	Region string
	// Endpoint is the URL of another server than Amazon's, such as http://localhost:9000. Empty: AWS_ENDPOINT_URL_S3, then AWS_ENDPOINT_URL, else Amazon's.
	Endpoint string
	// InsecureTLS accepts any certificate of the Endpoint.
	InsecureTLS bool
	// ACL is a canned one for what is stored, such as public-read. Empty: none is sent, which every bucket accepts.
	ACL string
}

// GCSSettings are for stores on Google Cloud Storage.
type GCSSettings struct {
	// CredentialsFile is a key file. Empty: GOOGLE_APPLICATION_CREDENTIALS, then gcloud's default credentials, then the machine's service
	// account. "none": requests carry no credentials, for an emulator.
	CredentialsFile string
	// Project pays for requests to buckets where the requester pays. Empty: nobody is named.
	Project string
	// Endpoint is the URL of another server than Google's. Empty: STORAGE_EMULATOR_HOST, which is asked without credentials, else https://storage.googleapis.com.
	Endpoint string
	// ACL is a predefined one for what is stored, such as publicRead. Empty: the bucket's default.
	ACL string
}

// FTPSettings are for stores on FTP servers, and for ftp and ftps URLs.
type FTPSettings struct {
	// User and Password are used when the URL has none. Defaults "anonymous" and "guest".
	User, Password string
	// Domain is the host that gets them when an ftp or ftps URL is crawled, its subdomains too: any page may name any host. Others get the defaults. Stores, whose
	// addresses are the program's own, need none.
	Domain string
	// InsecureTLS accepts any certificate of an ftps:// or explicit TLS server.
	InsecureTLS bool
	// Connections is how many a store has open at once. Default 4.
	Connections int
}

// BrowserSettings are about pages that are rendered: see Knobs.Render.
type BrowserSettings struct {
	// Path is the browser's program: Chromium, Chrome or Chromium's headless shell, by its file or its name in PATH. Empty: it is looked for.
	Path string
	// Args are more arguments for it, such as --lang=de.
	Args []string
	// Pages is how many pages are rendered at once, whatever their hosts. Default 4: one takes about 100 MB of memory and much of a processor.
	Pages int
	// Width and Height are the window's, in pixels. Defaults 1280 and 800.
	Width, Height int
}

// CloseAfterSettings end a crawl that has done enough, or that gets nowhere. What is in flight is finished. In a job they count this run: the same command line goes on,
// and may do as much again.
type CloseAfterSettings struct {
	// Time is how long the crawl may run (reason "closespider_timeout"). 0 is no limit.
	Time time.Duration
	// Items is how many items may be scraped ("closespider_itemcount"). There may be some more: those of pages that were in work. 0 is no limit.
	Items int
	// Pages is how many pages may come ("closespider_pagecount"). It is exact: no page is asked that would be one too many, and all that came are worked through to
	// their last item. Media, robots.txt, redirects and attempts that failed do not count. 0 is no limit.
	Pages int
	// Errors is how many callbacks may fail ("closespider_errorcount"). 0 is no limit.
	Errors int
	// NoItem is how long the crawl may go on without a scraped item ("closespider_timeout_no_item"). 0 is no limit.
	NoItem time.Duration
	// PagesNoItem is how many pages may come in a row without a scraped item ("closespider_pagecount_no_item"). 0 is no limit.
	PagesNoItem int
}

// MemorySettings are about the memory that the process holds: its resident set, as the system counts it; where the system does not tell, what Go's runtime holds.
type MemorySettings struct {
	// Limit is how much the process may hold, in bytes. Beyond it the crawl is closed, as "memusage_exceeded"; a job goes on by the same command line. 0 is no limit.
	Limit int64
	// Warn is how much it may hold, in bytes, before the log warns, once. 0 is no warning.
	Warn int64
	// Interval is how often it is looked at. Default 5 s, negative never.
	Interval time.Duration
}

// PeriodicLogSettings have the log tell stats every Log.StatsInterval, and at the end, for programs that read it: see Log.Format. A negative interval is the end alone.
type PeriodicLogSettings struct {
	// Stats are the stats that are told: those whose keys contain one of these texts, and none of those behind an exclamation mark. "*" is all, as are exclusions
	// alone. Empty: none.
	Stats []string
	// Delta are the stats that are told by how much they have changed since the last time. Only numbers are.
	Delta []string
	// Timing tells when the crawl began and for how long it has run.
	Timing bool
}

// A Feed is one place that items go to.
type Feed struct {
	// URI is a file's name, "-" for standard output, or a URL of a scheme that Parts.Stores or Parts.Targets have, such as s3://bucket/items.jsonl. It may be a template:
	// %(name)s is the spider's name, %(time)s when the crawl began, %(batch_time)s and %(batch_id)d when a batch began and its number from 1 (%(batch_id)05d has five
	// digits), and Params and the spider's arguments stand there by their names. %%( is a plain %(.
	URI string
	// Format is "jsonl", "json", "csv", "xml", or one of Parts.Formats. Empty: by the file name's extension, that of a compression aside; jsonl for standard output.
	Format string
	// Overwrite empties the file first. Otherwise items are appended; it is an error if what is there cannot be appended to: another format, other columns, Parquet. A job
	// that is resumed goes on in the file either way. What goes to a store always takes the place of what was there.
	Overwrite bool
	// Fields are those that are written, in this order; "price=Price" is price under another name. Empty: those of FeedExport, else all, in the order of the type; CSV's
	// columns are then those of the spider's Items, or of the first item.
	Fields []string
	// Rename gives fields other names in the feed. No field gets the name of another one that stays: that is an error before the crawl where Fields or Items say the names;
	// of a map, and of a type that writes itself, the item fails in this feed.
	Rename map[string]string
	// Types are the items that are written, by the names of their Go types: "Book" or "shop.Book", and "map" for maps. Empty: all. If the spider says its Items, each must
	// be one of those.
	Types []string
	// Filter chooses the items that are written. nil: all. It is called from many goroutines.
	Filter func(item any) bool
	// Items are examples of what is written, for formats whose columns come from types. Empty: those of the spider's Items that Types choose.
	Items []any
	// BatchItems is how many items go to one file, before the next begins; the URI then has %(batch_id)d or %(batch_time)s. 0: as FeedExport says, which is no limit.
	// Negative: no limit.
	BatchItems int
	// BatchTime is how long a batch takes items, from its first one. 0: no limit. A batch is put in its place as soon as it is full.
	BatchTime time.Duration
	// Compress is "gzip", "zstd" or "none". Empty: by the end of the name, .gz or .zst. A Parquet file is compressed inside: by "zstd", which is usual, "snappy", "gzip" or
	// "none".
	Compress string
	// Level is how hard to compress: 1 to 9 for gzip, 1 to 22 for zstd. 0 is the compression's usual.
	Level int
	// Indent is by how many spaces the parts of an item in JSON and XML are indented. 0: as FeedExport says, which is an item a line. Negative: an item a line.
	Indent int
	// SkipEmpty writes no file when there was no item.
	SkipEmpty bool
	// Params are more variables of the URI.
	Params map[string]string
	// CSV is about the format csv.
	CSV CSVFeed
	// XML is about the format xml.
	XML XMLFeed
}

// CSVFeed says how CSV is written, and read again.
type CSVFeed struct {
	// Delimiter stands between cells: one character, such as ";" or "\t". Empty: a comma.
	Delimiter string
	// CRLF ends lines with CR LF, as RFC 4180 says, instead of LF.
	CRLF bool
	// BOM begins a file with a byte order mark: Excel takes what has none for text in its own charset.
	BOM bool
	// GuardFormulas puts an apostrophe before texts that a spreadsheet would run as a formula: those that begin with = + - @, a tab or a carriage return, and are no
	// numbers; names of columns too. A text that begins with an apostrophe gets another one, so that the guard can be taken away again.
	GuardFormulas bool
}

// XMLFeed says how XML is written.
type XMLFeed struct {
	// Root and Item are the names of the outermost element, and of an item's. Empty: items and item.
	Root, Item string
}

// FeedExportSettings are about all feeds. What a [Feed] says itself comes first.
type FeedExportSettings struct {
	// Fields are those that are written, in this order; "price=Price" is price under another name. Empty: all.
	Fields []string
	// Indent is by how many spaces the parts of an item in JSON and XML are indented. 0 is an item a line.
	Indent int
	// BatchItems is how many items go to one file, before the next begins. 0 is no limit.
	BatchItems int
	// SkipEmpty writes no file when there was no item.
	SkipEmpty bool
	// TempDir is where feeds are kept until they are put in their place: those that go to a store, and those that are made at their end. Empty: the system's temporary
	// folder. A job keeps them in its own.
	TempDir string
	// UploadTimeout is how long the end of a crawl waits for feeds that are still on their way to a store. Default 10 min; negative: as long as it takes.
	UploadTimeout time.Duration
}

// LogSettings are about the log.
type LogSettings struct {
	// Level is "debug", "info", "warn" or "error". Default info.
	Level string
	// Format is "console" or "json". Default console.
	Format string
	// StatsInterval is how often the log says how the crawl goes. Default 60 s, negative never.
	StatsInterval time.Duration
	// HideStats leaves all stats out of the end of the log.
	HideStats bool
}

// JobSettings are about a crawl that can be stopped and resumed.
type JobSettings struct {
	// Dir is the job's folder. Empty: the crawl lives in memory.
	Dir string
	// Memory is about how many bytes of queue, fingerprints and store a job keeps in memory, whatever is queued. Default 128 MiB; the least is 16 MiB. Every host with
	// something queued costs about 400 bytes beside it, and the garbage collector its share.
	Memory int64
	// MinFree is how many bytes must be free on the disk of Dir: below it the crawl closes ("disk full") with everything committed. Default 256 MiB, negative none.
	MinFree int64
	// Attempts is at how many unclean ends of the process a page may have been in hand before it goes to the list of failures. Default 3, negative no limit: for
	// machines that are switched off often.
	Attempts int
	// Identity is what must be the same when the job is resumed, beside spider and order: the command line puts the spider's arguments here.
	Identity map[string]string
}

// Parts are the optional parts that a program links. nil entries mean the built-ins alone.
type Parts struct {
	// Stores open stores of media, and of feeds, by URI scheme. Built in: "", "file" and "memory".
	Stores map[string]OpenStore
	// Handlers answer requests by URL scheme. Built in: http, https, file, data.
	Handlers map[string]OpenHandler
	// CacheStorages keep the HTTP cache, by the name that HTTPCache.Storage has. Built in: files. middleware/cachedb.Open is for "embedded".
	CacheStorages map[string]OpenCacheStorage
	// Renderer answers requests with Knobs.Render: downloader/browser.Open. nil: this program renders nothing, and such a request fails.
	Renderer OpenHandler
	// Formats encode feeds by name. Built in: jsonl, json, csv, xml.
	Formats map[string]FeedFormat
	// Targets open feeds by URI scheme. Built in: "", "file" and "-". Schemes that have none are looked for in Stores.
	Targets map[string]FeedTarget
	// Job opens the scheduler of Job.Dir: scheduler/jobdir.Open. nil: this program has no jobs.
	Job func(ctx context.Context, dir string, opts SchedulerOptions) (Scheduler, error)
	// InspectJob opens a job's folder for those who look after it: scheduler/jobdir.Inspect.
	InspectJob func(ctx context.Context, dir string, mode InspectMode) (Job, error)
}

// OpenStore opens a media store. env.Settings holds the credentials that apply to the pipeline that opens it.
type OpenStore func(ctx context.Context, uri string, env *Env) (Store, error)

// OpenHandler makes what answers requests of a scheme.
type OpenHandler func(env *Env) (Fetcher, error)

// FeedFormat makes an encoder for one feed.
type FeedFormat func(feed Feed) (FeedEncoder, error)

// A FeedEncoder turns items into the bytes of a feed. It is used by one goroutine at a time. The bytes of a feed are Begin, each item's Record with Between between
// two of them, and End. A record does not depend on its place: in a job it is encoded long before that is known, and may never get one.
type FeedEncoder interface {
	// Begin is what stands before the first record. first is the item that fixes it (a table's columns), and is one of the first, though not always the one whose
	// record comes first; it is nil for a feed without items. A feed that is appended to, and has something in it, has no Begin.
	Begin(first any) ([]byte, error)
	// Record appends an item's bytes.
	Record(dst []byte, item any) ([]byte, error)
	// Between is what stands between two records, and End what stands after the last one. Both are always the same.
	Between() []byte
	End() []byte
}

// FeedTarget opens the place that a feed goes to, without changing what is there. If the crawl cannot start after all, the FeedFile is closed without a write.
type FeedTarget func(ctx context.Context, feed Feed, env *Env) (FeedFile, error)

// A FeedAppender is a [FeedEncoder] that can go on in a file that has something in it. In a job every feed in a file needs one.
type FeedAppender interface {
	// Append reads a feed of size bytes that has been closed by End, and says where it goes on. The columns of a table are those of the file from now on.
	Append(r io.ReaderAt, size int64) (FeedEnd, error)
}

// FeedEnd is where a feed goes on that has something in it.
type FeedEnd struct {
	// Offset is where the next record goes.
	Offset int64
	// Records says that records stand before it.
	Records bool
	// First is to be written before the next record: it ends a line that was cut short. nil in most feeds.
	First []byte
}

// A FeedBuilder is a [FeedEncoder] of a format that cannot be written item by item where it is to be: the end has to be known, as with Parquet. Its records are kept on the
// local disk, in a job with the job's files; the whole file is made of them when the batch is full or the crawl ends, and put in its place in one step.
type FeedBuilder interface {
	FeedEncoder
	// Build makes a whole file of the records and writes it to w, which is buffered. The first of records is what Begin returned, if that was not empty; the others are what
	// Record appended. Between and End are not asked. It is called on an encoder of its own, which has had no other call, in another process perhaps: all that it has to
	// know of earlier items stands in records. They may be ranged over more than once; each is valid until the next. An error among them is to be returned.
	Build(w io.Writer, records iter.Seq2[[]byte, error]) error
}

// A FeedPreparer is a [FeedEncoder] that has to know the crawl, for what it warns of and counts. Prepare is called once, before all other methods.
type FeedPreparer interface {
	Prepare(env *Env) error
}

// A FeedFile is an open feed.
type FeedFile interface {
	io.Writer
	// Sync makes what was written survive a power cut, where the place can. Only a crawl with a job calls it.
	Sync() error
	io.Closer
}

// A FeedRewriter is a [FeedFile] that can be read, cut, and written anywhere: a file. What is opened may have something in it.
type FeedRewriter interface {
	FeedFile
	io.ReaderAt
	io.WriterAt
	Size() (int64, error)
	Truncate(size int64) error
}

// Orders of requests of equal priority.
const (
	OrderDepth   = "depth"   // newest first
	OrderBreadth = "breadth" // oldest first
)

// Policies of the HTTP cache, and the storage of it that is built in.
const (
	CacheDummy   = "dummy"
	CacheRFC9111 = "rfc9111"
	CacheFiles   = "files"
)

// DefaultUserAgent is how a crawl introduces itself unless told otherwise.
const DefaultUserAgent = "tulle (+https://github.com/tulle-go/tulle)"

// or sets *p to def if it is zero.
func or[T comparable](p *T, def T) {
	var zero T
	if *p == zero {
		*p = def
	}
}

// setDefaults fills in what is zero. It is the only place where defaults are.
func (s *Settings) setDefaults() {
	for _, name := range slices.Sorted(maps.Keys(s.Slots)) { // hosts are compared in lower case, and other slots as they are
		if host := strings.ToLower(name); host != name {
			if _, ok := s.Slots[host]; !ok {
				s.Slots[host] = s.Slots[name]
			}
		}
	}
	or(&s.ConcurrentRequests, 16)
	or(&s.ConcurrentPerHost, 8)
	or(&s.ConcurrentCallbacks, max(16, 4*runtime.GOMAXPROCS(0)))
	or(&s.ConcurrentItems, 10_000)
	or(&s.ConcurrentStages, 100)
	or(&s.Order, OrderDepth)
	or(&s.UserAgent, DefaultUserAgent)
	if s.DefaultHeaders == nil {
		s.DefaultHeaders = map[string]string{
			"Accept":          "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
			"Accept-Language": "en",
		}
	}
	or(&s.StopTimeout, 30*time.Second)
	or(&s.FTP.User, "anonymous")
	or(&s.FTP.Password, "guest")
	or(&s.FTP.Connections, 4)
	or(&s.Browser.Pages, 4)
	or(&s.Browser.Width, 1280)
	or(&s.Browser.Height, 800)
	or(&s.Job.Memory, 128<<20)
	or(&s.Job.MinFree, 256<<20)
	or(&s.Job.Attempts, 3)
	or(&s.Start.Ahead, 10_000)
	or(&s.FeedExport.UploadTimeout, 10*time.Minute)
	or(&s.Download.Timeout, 180*time.Second)
	or(&s.Download.MaxSize, 1<<30)
	or(&s.Download.WarnSize, 32<<20)
	or(&s.Download.SpoolOver, 1<<20)
	or(&s.Download.MinTLS, "1.2")
	or(&s.Download.MaxTLS, "1.3")
	or(&s.Download.MinSpeed, 10)
	or(&s.Robots.MaxDelay, time.Minute)
	or(&s.Retry.Times, 2)
	if s.Retry.Statuses == nil {
		s.Retry.Statuses = []int{500, 502, 503, 504, 522, 524, 408, 429}
	}
	or(&s.Retry.PriorityAdjust, -1)
	or(&s.Retry.BackOff, time.Second)
	or(&s.Retry.MaxBackOff, time.Minute)
	or(&s.Retry.MaxRetryAfter, 5*time.Minute)
	or(&s.Retry.GiveUpLevel, "debug")
	or(&s.MetaRefresh.MaxDelay, 100*time.Second)
	if s.MetaRefresh.IgnoreTags == nil {
		s.MetaRefresh.IgnoreTags = []string{"noscript"}
	}
	or(&s.Proxy.Failures, 3)
	or(&s.Proxy.Rest, time.Minute)
	or(&s.AutoThrottle.StartDelay, 5*time.Second)
	or(&s.AutoThrottle.MaxDelay, time.Minute)
	or(&s.AutoThrottle.Target, 1)
	or(&s.Breaker.Failures, 10)
	or(&s.Breaker.Hold, time.Minute)
	or(&s.Breaker.MaxHold, 15*time.Minute)
	or(&s.Breaker.Trials, 5)
	or(&s.Redirect.Times, 20)
	or(&s.Redirect.PriorityAdjust, 2)
	or(&s.Compression.MaxRatio, 1000)
	or(&s.HTTPCache.Dir, "httpcache")
	or(&s.HTTPCache.Policy, CacheDummy)
	or(&s.HTTPCache.Storage, CacheFiles)
	if s.HTTPCache.IgnoreSchemes == nil {
		s.HTTPCache.IgnoreSchemes = []string{"file", "data"}
	}
	or(&s.Referer.Policy, "no-referrer-when-downgrade")
	or(&s.URLLength.Limit, 2083)
	or(&s.Media.CacheSize, 100_000)
	or(&s.Media.Checksum, "md5")
	or(&s.Images.URLsField, "image_urls")
	or(&s.Images.ResultField, "images")
	or(&s.Images.Expires, 90*24*time.Hour)
	or(&s.Images.Quality, 75)
	or(&s.Images.MaxPixels, 178_956_970)
	or(&s.Images.PixelBudget, 50_000_000)
	or(&s.Files.URLsField, "file_urls")
	or(&s.Files.ResultField, "files")
	or(&s.Files.Expires, 90*24*time.Hour)
	or(&s.Log.Level, "info")
	or(&s.Log.Format, "console")
	or(&s.Log.StatsInterval, time.Minute)
	or(&s.Memory.Interval, 5*time.Second)
}

// Validate returns what is wrong with settings, all of it.
func (s *Settings) Validate() error {
	var errs []error
	for _, err := range s.invalid() {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// invalid is what Validate finds, setting by setting.
func (s *Settings) invalid() []*settingError {
	var errs invalidSettings
	errs.atOnce("concurrent_requests", s.ConcurrentRequests)
	errs.atOnce("concurrent_per_host", s.ConcurrentPerHost)
	errs.atOnce("concurrent_callbacks", s.ConcurrentCallbacks)
	errs.atOnce("concurrent_items", s.ConcurrentItems)
	errs.atOnce("concurrent_stages", s.ConcurrentStages)
	errs.atOnce("browser.pages", s.Browser.Pages)
	errs.atOnce("ftp.connections", s.FTP.Connections)
	if n := s.Images.FTP.Connections; n != 0 {
		errs.atOnce("images.ftp.connections", n)
	}
	if n := s.Files.FTP.Connections; n != 0 {
		errs.atOnce("files.ftp.connections", n)
	}
	errs.atLeast("browser.width", int64(s.Browser.Width), 1)
	errs.atLeast("browser.height", int64(s.Browser.Height), 1)
	errs.atLeast("breaker.failures", int64(s.Breaker.Failures), 1)
	errs.atLeast("breaker.trials", int64(s.Breaker.Trials), 1)
	if s.AutoThrottle.StartDelay < 0 || s.AutoThrottle.MaxDelay < 0 {
		errs.add("auto_throttle.start_delay", "or max_delay is negative", "auto_throttle.on turns it on and off")
	}
	if !(s.AutoThrottle.Target > 0) {
		errs.add("auto_throttle.target", fmt.Sprintf("is %v", s.AutoThrottle.Target), "want more than 0")
	}
	if s.Breaker.Hold < 0 {
		errs.add("breaker.hold", "is negative", "breaker.off turns it off")
	}
	if s.Breaker.MaxHold < 0 {
		errs.add("breaker.max_hold", "is negative", "breaker.off turns it off")
	}
	errs.oneOf("download.min_tls", s.Download.MinTLS, "1.0", "1.1", "1.2", "1.3")
	errs.oneOf("download.max_tls", s.Download.MaxTLS, "1.0", "1.1", "1.2", "1.3")
	if s.Download.MinTLS > s.Download.MaxTLS {
		errs.add("download.min_tls", "is "+s.Download.MinTLS, "download.max_tls is "+s.Download.MaxTLS)
	}
	if bind := s.Download.BindAddress; bind != "" {
		if _, err := ParseBindAddress(bind); err != nil {
			errs.add("download.bind_address", fmt.Sprintf("%q", bind), err.Error())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Slots)) {
		if l := s.Slots[name]; l.FixedDelay && l.RandomDelay {
			errs.add("slots", name+" has fixed_delay and random_delay", "want one of them")
		}
	}
	errs.oneOf("order", s.Order, OrderDepth, OrderBreadth)
	errs.oneOf("retry.give_up_level", s.Retry.GiveUpLevel, "debug", "info", "warn", "error")
	if auth := s.HTTPAuth; auth.Domain == "" && (auth.User != "" || auth.Password != "") {
		errs.add("http_auth.domain", "is empty", "want the domain that the user and password are for: they are sent nowhere else")
	}
	for _, raw := range s.Proxy.URLs {
		if _, err := ParseProxy(raw); err != nil {
			errs.add("proxy.urls", err.Error(), "want http://, https://, socks5:// or socks5h://, and a host")
		}
	}
	if s.Proxy.Rest < 0 {
		errs.add("proxy.rest", "is negative", "a proxy that never failed needs no rest: set proxy.failures to -1")
	}
	errs.oneOf("http_cache.policy", s.HTTPCache.Policy, CacheDummy, CacheRFC9111)
	if s.HTTPCache.Expires < 0 {
		errs.add("http_cache.expires", "is negative", "0 is for ever")
	}
	errs.oneOf("media.checksum", s.Media.Checksum, "md5", "sha1", "sha256")
	errs.oneOf("log.format", s.Log.Format, "console", "json")
	errs.oneOf("log.level", s.Log.Level, "debug", "info", "warn", "error")
	errs.oneOf("referer.policy", s.Referer.Policy, "no-referrer", "no-referrer-when-downgrade", "same-origin", "origin",
		"strict-origin", "origin-when-cross-origin", "strict-origin-when-cross-origin", "unsafe-url")
	errs.atLeast("images.max_pixels", s.Images.MaxPixels, 1)
	errs.atLeast("images.pixel_budget", s.Images.PixelBudget, 1)
	if s.Images.Quality < 1 || s.Images.Quality > 100 {
		errs.add("images.quality", fmt.Sprintf("is %d", s.Images.Quality), "want 1 to 100")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Images.Thumbs)) {
		if size := s.Images.Thumbs[name]; size.Width < 1 || size.Height < 1 {
			errs.add("images.thumbs", fmt.Sprintf("%s is %dx%d", name, size.Width, size.Height), "want at least 1x1")
		}
		if !plainName(name) {
			errs.add("images.thumbs", fmt.Sprintf("name %q", name), "want letters, digits, - _ and . only")
		}
	}
	errs.notNegative("http_cache.max_size", s.HTTPCache.MaxSize)
	errs.notNegative("close_after.time", int64(s.CloseAfter.Time))
	errs.notNegative("close_after.items", int64(s.CloseAfter.Items))
	errs.notNegative("close_after.pages", int64(s.CloseAfter.Pages))
	errs.notNegative("close_after.errors", int64(s.CloseAfter.Errors))
	errs.notNegative("close_after.no_item", int64(s.CloseAfter.NoItem))
	errs.notNegative("close_after.pages_no_item", int64(s.CloseAfter.PagesNoItem))
	errs.notNegative("memory.limit", s.Memory.Limit)
	errs.notNegative("memory.warn", s.Memory.Warn)
	if s.StopTimeout < 0 {
		errs.add("stop_timeout", "is negative", "a stop must end")
	}
	for i, f := range s.Feeds {
		if f.URI == "" {
			errs.add("feeds", fmt.Sprintf("number %d", i+1), "it has no URI")
		}
		if why := f.invalid(); why != "" {
			errs.add("feeds", f.URI, why)
		}
	}
	return errs
}

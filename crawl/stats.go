package crawl

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Stats counts what happens, under Scrapy's paths: "downloader/response_status_count/200". It is safe for concurrent use, and can be read while it is counted. Counting costs
// a map look-up; a part that counts often keeps the [Counter]. The engine writes all of them to the log when a crawl ends (Log.HideStats).
//
// These are Scrapy's. Words in capitals stand for what is counted apart: a status, a [Kind] of failure, a level.
//
//	start_time, finish_time, elapsed_time_seconds, finish_reason
//	responses_per_minute, items_per_minute           over the whole crawl
//	log_count/LEVEL                                  DEBUG, INFO, WARNING, ERROR, CRITICAL
//	memusage/startup, memusage/max                   bytes that the process holds
//	memusage/limit_reached, memusage/warning_reached 1
//	scheduler/enqueued, scheduler/dequeued           and of these
//	scheduler/enqueued/memory, scheduler/dequeued/memory
//	scheduler/enqueued/disk, scheduler/dequeued/disk in a job
//	scheduler/unserializable                         requests that cannot be written down
//	dupefilter/filtered                              requests that were seen before
//	request_depth_max, request_depth_count/N         the latter with Depth.Verbose
//	depth/request_ignored_count
//	urllength/request_ignored_count
//	offsite/filtered, offsite/domains                requests, and hosts
//	downloader/request_count, downloader/request_bytes, downloader/request_method_count/METHOD
//	downloader/response_count, downloader/response_bytes, downloader/response_status_count/STATUS
//	downloader/exception_count, downloader/exception_type_count/KIND
//	httpcompression/response_count, httpcompression/response_bytes
//	httpcache/hit, httpcache/miss, httpcache/firsthand, httpcache/store, httpcache/uncacheable, httpcache/revalidate
//	httpcache/invalidate, httpcache/errorrecovery, httpcache/ignore, httpcache/retrieve_error
//	robotstxt/request_count, robotstxt/response_count, robotstxt/response_status_count/STATUS
//	robotstxt/forbidden                              requests that it keeps from being asked
//	robotstxt/unread                                 requests that fail because it could not be read
//	robotstxt/exception_count/KIND
//	retry/count, retry/reason_count/REASON, retry/max_reached
//	httperror/response_ignored_count, httperror/response_ignored_status_count/STATUS
//	response_received_count                          media too
//	spider_exceptions/count, spider_exceptions/KIND  errors of callbacks
//	item_scraped_count, item_dropped_count, item_dropped_reasons_count/REASON
//	file_count, file_status_count/STATUS             media: downloaded, uptodate, cached, failed
//	feedexport/success_count/KIND, feedexport/failed_count/KIND
//
// There is no memdebug/…, which is about Python's garbage collector. And these are tulle's own:
//
//	page_count                                       responses to pages, so without media
//	page_failed_count, page_failed_kind_count/KIND   pages that have no response for good: a Kind of DownloadError's, robots, ignored, …
//	item_error_count                                 items on which a stage failed
//	start/bad_url_count, link/skipped_count          start URLs, and links, that are none
//	media/parked, media/parked_max                   items that wait for media, now and at most
//	media/bytes, media/failed_kind_count/KIND
//	downloader/resumed_count                         bodies that were continued after they had broken off
//	breaker/open_count, breaker/trial_count, breaker/close_count, breaker/given_up, breaker/refused_count
//	proxy/request_count, proxy/failure_count, proxy/rest_count
//	httpcache/store_error
type Stats struct {
	counters sync.Map // of *Counter by key

	mu     sync.Mutex
	values map[string]any // Guarded by mu: everything that is not a counter.
}

// A Counter is one number of [Stats].
type Counter struct{ n atomic.Int64 }

// Add adds n, which may be negative.
func (c *Counter) Add(n int64) { c.n.Add(n) }

// Value is the number now.
func (c *Counter) Value() int64 { return c.n.Load() }

// NewStats makes empty stats.
func NewStats() *Stats { return &Stats{values: make(map[string]any)} }

// Counter returns the counter of a key, and makes it if it is new. A counter at zero is not shown.
func (s *Stats) Counter(key string) *Counter {
	if c, ok := s.counters.Load(key); ok {
		return c.(*Counter)
	}
	c, _ := s.counters.LoadOrStore(key, new(Counter))
	return c.(*Counter)
}

// Add adds n to the counter of a key.
func (s *Stats) Add(key string, n int64) { s.Counter(key).Add(n) }

// Inc adds one to the counter of a key.
func (s *Stats) Inc(key string) { s.Counter(key).Add(1) }

// Max raises the counter of a key to n, if it is lower.
func (s *Stats) Max(key string, n int64) {
	c := s.Counter(key)
	for {
		old := c.n.Load()
		if n <= old || c.n.CompareAndSwap(old, n) {
			return
		}
	}
}

// Int is the counter of a key, 0 if there is none.
func (s *Stats) Int(key string) int64 {
	if c, ok := s.counters.Load(key); ok {
		return c.(*Counter).Value()
	}
	return 0
}

// Set keeps a value that is not a counter: a time, a reason.
func (s *Stats) Set(key string, v any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[key] = v
}

// Get is the value of a key: an int64 for a counter, what was Set otherwise, nil if there is none.
func (s *Stats) Get(key string) any {
	if c, ok := s.counters.Load(key); ok {
		return c.(*Counter).Value()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[key]
}

// Snapshot is a copy of everything, as Get has it, without counters that are zero.
func (s *Stats) Snapshot() map[string]any {
	s.mu.Lock()
	all := maps.Clone(s.values)
	s.mu.Unlock()
	if all == nil {
		all = make(map[string]any)
	}
	for k, c := range s.counters.Range {
		if n := c.(*Counter).Value(); n != 0 {
			all[k.(string)] = n
		}
	}
	return all
}

// Field is all stats for a log entry, by their keys in order. A [NewLogger] for people writes a line for each.
func (s *Stats) Field() zap.Field { return zap.Object("stats", statList(s.Snapshot())) }

// statList is a snapshot in a log entry.
type statList map[string]any

// MarshalLogObject implements [zapcore.ObjectMarshaler].
func (l statList) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	for _, key := range slices.Sorted(maps.Keys(l)) {
		zap.Any(key, l[key]).AddTo(enc)
	}
	return nil
}

// lines are a line for each.
func (l statList) lines() string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(l)) {
		fmt.Fprintf(&b, "\n  %s: %v", key, l[key])
	}
	return b.String()
}

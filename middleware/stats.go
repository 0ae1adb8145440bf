package middleware

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/tulle-go/tulle/crawl"
)

// Stats counts what goes over the wire, attempt by attempt, beneath retries and redirects: downloader/request_count, request_method_count/METHOD, request_bytes,
// response_count, response_status_count/STATUS, response_bytes (as it arrived, compressed), exception_count and exception_type_count/KIND. The sizes are those of the
// messages in HTTP/1.1's form, as Scrapy estimates them. What a layer further in refuses or reschedules is no exception.
func Stats(env *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
	const prefix = "downloader/"
	s := env.Stats
	return &wire{
		next: next, stats: s,
		requests: s.Counter(prefix + "request_count"), requestBytes: s.Counter(prefix + "request_bytes"), gets: s.Counter(methodStat + http.MethodGet),
		responses: s.Counter(prefix + "response_count"), responseBytes: s.Counter(prefix + "response_bytes"),
		exceptions: s.Counter(prefix + "exception_count"),
	}, nil
}

const (
	methodStat    = "downloader/request_method_count/"
	statusStat    = "downloader/response_status_count/"
	exceptionStat = "downloader/exception_type_count/"
)

type wire struct {
	next  crawl.Fetcher
	stats *crawl.Stats

	requests, requestBytes, gets *crawl.Counter
	responses, responseBytes     *crawl.Counter
	exceptions                   *crawl.Counter

	statuses [600]atomic.Pointer[crawl.Counter] // looked up in stats at their first use
}

func (w *wire) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	w.requests.Add(1)
	w.requestBytes.Add(requestSize(req))
	if req.Method == "" || req.Method == http.MethodGet {
		w.gets.Add(1)
	} else {
		w.stats.Inc(methodStat + req.Method)
	}
	resp, err := w.next.Fetch(ctx, req)
	if err != nil {
		w.failed(err)
		return nil, err
	}
	w.responses.Add(1)
	w.status(resp.Status).Add(1)
	w.responseBytes.Add(responseSize(resp))
	return resp, nil
}

func (w *wire) failed(err error) {
	var again *crawl.RescheduleError
	var ignored *crawl.IgnoreRequestError
	if errors.As(err, &again) || errors.As(err, &ignored) || errors.Is(err, context.Canceled) {
		return
	}
	w.exceptions.Add(1)
	w.stats.Inc(exceptionStat + kindOf(err))
}

func (w *wire) status(status int) *crawl.Counter {
	if status < 0 || status >= len(w.statuses) {
		return w.stats.Counter(statusStat + strconv.Itoa(status))
	}
	slot := &w.statuses[status]
	c := slot.Load()
	if c == nil {
		c = w.stats.Counter(statusStat + strconv.Itoa(status))
		slot.Store(c)
	}
	return c
}

// requestSize is about what a request takes on the wire: its line, its headers with Host, an empty line, its body.
func requestSize(req *crawl.Request) int64 {
	method := len(req.Method)
	if method == 0 {
		method = len(http.MethodGet)
	}
	n := method + len(" / HTTP/1.1\r\n") + max(len(req.URL.EscapedPath())-1, 0)
	if req.URL.RawQuery != "" {
		n += 1 + len(req.URL.RawQuery)
	}
	n += len("Host: \r\n") + len(req.URL.Host) + len("\r\n")
	return int64(n+headerSize(req.Header)) + int64(len(req.Body))
}

// responseSize is what a response takes: its line, its headers, an empty line, its body.
func responseSize(resp *crawl.Response) int64 {
	n := len("HTTP/1.1 200 \r\n") + len(http.StatusText(resp.Status)) + len("\r\n")
	return int64(n+headerSize(resp.Header)) + resp.Body.Size()
}

func headerSize(h http.Header) int {
	n := 0
	for k, values := range h {
		for _, v := range values {
			n += len(k) + len(": \r\n") + len(v)
		}
	}
	return n
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gocolly/colly/v2"
	"golang.org/x/sync/errgroup"

	"github.com/tulle-go/tulle/crawl"
)

const (
	broadPages   = 3               // of each host
	broadAnswer  = time.Second     // how long a slow host takes for a page
	broadTimeout = 5 * time.Second // that every contestant has for a request
)

// kindOfHost is what a host of the broad crawl is like. Of twenty, one is slow and one is dead.
type kindOfHost int

const (
	goodHost kindOfHost = iota
	sluggishHost
	refusedHost // takes no connections
	unknownHost // has no address
	silentHost  // takes connections and never answers
)

func broadKind(host int) kindOfHost {
	switch host % 20 {
	case 7:
		return sluggishHost
	case 13:
		return refusedHost + kindOfHost(host/20%3)
	}
	return goodHost
}

// broadCase is a crawl of very many hosts, a few pages each, one in ten of them bad. What counts is when the good ones are done. Tulle crawls the good ones alone too: what
// the bad ones cost the others is the ratio of the two.
func broadCase() benchCase {
	return benchCase{
		name:        "broad",
		title:       "%s hosts, 3 pages each; 5 %% of them take a second a page, 5 %% are dead; the limit for a request is 5 s",
		size:        10_000,
		quick:       1_000,
		tiny:        40,
		concurrency: 1_500, // so that the bad hosts, each of which can take one place, cannot take all
		hosts:       1_500,
		site: func(n int) *site {
			return &site{
				pages: n * broadPages,
				find: func(host, path []byte) int {
					h, page := hostOf(host), pageOf(path, broadPages)
					switch {
					case h < 0 || h >= n:
						return -1
					case broadKind(h) == silentHost: // not even robots.txt
						return h*broadPages + max(page, 0)
					case page < 0:
						return -1
					}
					return h*broadPages + page
				},
				show: func(page int, r *reply) {
					r.room = append(r.room, "<html><p>a page of a host of the many"...)
					r.body = r.room
					switch broadKind(page / broadPages) {
					case goodHost:
						r.marked = true
					case sluggishHost:
						r.wait = broadAnswer
					default:
						r.held = true
					}
				},
			}
		},
		entries: map[string]entry{"tulle": tulleBroad(true), "alone": tulleBroad(false), "bare": bareBroad, "colly": collyBroad},
		faults: func(o outcome) []string {
			good, slow := broadCounts(o.Job.N)
			want := good + slow
			if o.Job.Contestant == "alone" {
				want = good
			}
			if o.Result.Pages != int64(want) {
				return []string{fmt.Sprintf("%d of %d pages arrived", o.Result.Pages, want)}
			}
			return nil
		},
		columns: []column{
			{head: "good ones done", value: func(o outcome) float64 { return seconds(o.Report.Marked - o.Report.First) }, format: "%.2f s"},
			{head: "good pages/s", value: broadRate, format: "%.0f"},
			{head: "of alone", value: broadRate, format: "%.2f", against: "alone"},
			{head: "all done", value: outcome.wall, format: "%.2f s"},
			{head: "CPU", value: func(o outcome) float64 { return o.Result.CPU }, format: "%.1f s"},
			{head: "files open", value: func(o outcome) float64 { return onlyGo(float64(o.Result.Files)) }, format: "%.0f"},
			goroutinesColumn(),
			memoryColumn(),
		},
	}
}

// broadCounts are the pages of good hosts and of slow ones.
func broadCounts(hosts int) (good, slow int) {
	for h := range hosts {
		switch broadKind(h) {
		case goodHost:
			good += broadPages
		case sluggishHost:
			slow += broadPages
		}
	}
	return good, slow
}

func broadRate(o outcome) float64 {
	good, _ := broadCounts(o.Job.N)
	return float64(good) / seconds(o.Report.Marked-o.Report.First)
}

func broadHost(h int) string { return "h" + strconv.Itoa(h) + ".test" }

// hostOf is the number in a host's name, -1 if it is none of ours.
func hostOf(host []byte) int {
	name, ok := bytes.CutSuffix(host, []byte(".test"))
	if !ok || len(name) < 2 || name[0] != 'h' {
		return -1
	}
	h, err := strconv.Atoi(string(name[1:]))
	if err != nil {
		return -1
	}
	return h
}

// broadURLs are the first pages of all hosts, then their second ones, and so on.
func broadURLs(j job, bad bool) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for page := range broadPages {
			for h := range j.N {
				if (bad || broadKind(h) == goodHost) && !yield(j.hostURL(broadHost(h), page)) {
					return
				}
			}
		}
	}
}

// broadDial connects every host to the server but those that cannot be reached.
func broadDial(j job) func(ctx context.Context, network, addr string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		switch broadKind(hostOf([]byte(host))) {
		case unknownHost:
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		case refusedHost:
			return dialer.DialContext(ctx, network, "127.0.0.1:1")
		}
		return dialer.DialContext(ctx, network, j.Addr)
	}
}

// watchFiles counts the process's open files twice a second until stop is called.
func watchFiles(m *meter) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				m.files.Store(max(m.files.Load(), openFiles()))
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

// openFiles is how many files and connections this process has open, 0 where that cannot be known.
func openFiles() int64 {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0
	}
	return int64(len(names)) - 1 // dir itself
}

func tulleBroad(bad bool) entry {
	return func(ctx context.Context, j job, m *meter) error {
		defer watchFiles(m)()
		settings := tulleSettings(j)
		settings.Download.Dial = broadDial(j)
		settings.Download.Timeout = broadTimeout
		return tulleRun(ctx, &crawl.Spider{
			Name: "broad", Start: tulleStart(broadURLs(j, bad)), Parse: tulleCount(m),
			Errback: func(context.Context, *crawl.Request, error, *crawl.Out) error { return nil },
		}, settings)
	}
}

// bareBroad has neither robots.txt nor retries, and forgets what fails.
func bareBroad(ctx context.Context, j job, m *meter) error {
	defer watchFiles(m)()
	transport := tunedTransport(j)
	transport.DialContext = broadDial(j)
	client := &http.Client{Transport: transport, Timeout: broadTimeout}
	defer client.CloseIdleConnections()
	queue := make(chan string, 2*j.Concurrency)
	var group errgroup.Group
	for range j.Concurrency {
		group.Go(func() error {
			for address := range queue {
				if _, body, err := get(ctx, client, address); err == nil {
					m.page(len(body))
				}
			}
			return nil
		})
	}
	for address := range broadURLs(j, true) {
		queue <- address
	}
	close(queue)
	return group.Wait()
}

func collyBroad(ctx context.Context, j job, m *meter) error {
	defer watchFiles(m)()
	c := colly.NewCollector(colly.Async(true), colly.StdlibContext(ctx))
	transport := tunedTransport(j)
	transport.DialContext = broadDial(j)
	c.WithTransport(transport)
	c.SetRequestTimeout(broadTimeout)
	c.DisableCookies()
	if err := c.Limits([]*colly.LimitRule{everywhere(j)}); err != nil {
		return err
	}
	var failed atomic.Int64
	c.OnError(func(*colly.Response, error) { failed.Add(1) })
	c.OnResponse(func(r *colly.Response) { m.page(len(r.Body)) })
	for address := range broadURLs(j, true) {
		if err := c.Visit(address); err != nil {
			return err
		}
	}
	c.Wait()
	return nil
}

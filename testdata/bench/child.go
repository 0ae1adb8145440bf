package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// The two things that a child process can be, as its first argument.
const (
	roleServer     = "child-server"
	roleContestant = "child-contestant"
)

func isChild(args []string) bool {
	return len(args) > 1 && (args[1] == roleServer || args[1] == roleContestant)
}

func childMain(role string, stdin io.Reader, stdout, stderr io.Writer) int {
	var err error
	if role == roleServer {
		err = serveMain(stdin, stdout)
	} else {
		err = contestMain(stdin, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// A job is what one contestant does in one run. It comes as JSON on the child's standard input.
type job struct {
	Case        string `json:"case"`
	Contestant  string `json:"contestant"`
	N           int    `json:"n"`           // the size of the case; what it counts is the case's affair
	Concurrency int    `json:"concurrency"` // downloads at once
	PerHost     int    `json:"per_host"`    // downloads at once from one host
	Addr        string `json:"addr"`        // where the server listens, whatever the host in a URL
	Folder      string `json:"folder"`      // empty, and gone after the run
	JobDir      string `json:"-"`           // of a crawl with a job, in Folder
	Profile     string `json:"profile,omitempty"`
}

// url is the address of a page of a case that has one host.
func (j job) url(page int) string { return "http://" + j.Addr + pagePath(page) }

// hostURL is the address of a page on a host that has no address of its own: the contestant is told to connect to Addr.
func (j job) hostURL(host string, page int) string { return "http://" + host + pagePath(page) }

// A result is what a contestant's process says about its run, as JSON on its standard output.
type result struct {
	Version    string  `json:"version,omitempty"` // of a contestant that is not a Go module
	Pages      int64   `json:"pages"`             // responses that reached the contestant's own code
	Bytes      int64   `json:"bytes"`             // of their bodies
	Items      int64   `json:"items"`
	ItemSum    uint64  `json:"item_sum"` // of the items' hashes: the same whatever their order
	FeedItems  int64   `json:"feed_items,omitempty"`
	FeedSum    uint64  `json:"feed_sum,omitempty"`
	Stored     int64   `json:"stored,omitempty"`  // files that are what the server has; the parent has looked
	Ended      int64   `json:"ended"`             // in nanoseconds since 1970
	CPU        float64 `json:"cpu"`               // seconds, user and system
	PeakRSS    int64   `json:"peak_rss"`          // bytes
	Goroutines int     `json:"goroutines"`        // the most that were seen
	Files      int64   `json:"files,omitempty"`   // the most that were open, where the case counts them
	Allocs     uint64  `json:"allocs"`            // objects
	Filled     float64 `json:"filled,omitempty"`  // seconds until everything was pending
	Pending    int64   `json:"pending,omitempty"` // bytes in use by the heap and the stacks then, above those at the start
}

// A meter takes a contestant's measurements. The contestant calls it from any goroutine.
type meter struct {
	pages, bytes, items atomic.Int64
	itemSum             atomic.Uint64
	files               atomic.Int64 // the most that were open
	full                chan struct{}
}

// page counts a response whose body has been read.
func (m *meter) page(size int) {
	m.pages.Add(1)
	m.bytes.Add(int64(size))
}

// item counts what was extracted from a page.
func (m *meter) item(title, price string) {
	m.items.Add(1)
	m.itemSum.Add(itemHash(title, price))
}

// filled says, once and in the case "pending" only, that all requests have been handed over.
func (m *meter) filled() { close(m.full) }

// itemHash is FNV-1a of both strings with a zero byte between them. It is spelled out because it is to cost next to
// nothing, and nothing on the heap.
func itemHash(title, price string) uint64 {
	h := uint32(2166136261)
	for _, s := range [...]string{title, "\x00", price} {
		for i := range len(s) {
			h = (h ^ uint32(s[i])) * 16777619
		}
	}
	return uint64(h)
}

// contestMain runs one contestant. When the run is about pending requests it returns with the contestant still at
// work; the process ends then.
func contestMain(stdin io.Reader, stdout io.Writer) error {
	var j job
	if err := json.NewDecoder(stdin).Decode(&j); err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	c, err := caseNamed(j.Case)
	if err != nil {
		return err
	}
	contest := c.entries[j.Contestant]
	if contest == nil {
		return fmt.Errorf("%s has no part in %s", j.Contestant, j.Case)
	}
	stopProfile, err := profile(j.Profile)
	if err != nil {
		return err
	}
	r, err := measure(func(m *meter) error { return contest(context.Background(), j, m) })
	if err := errors.Join(err, stopProfile()); err != nil {
		return fmt.Errorf("%s in %s: %w", j.Contestant, j.Case, err)
	}
	if j.Case == "feed" && j.Contestant != "dry" {
		if err := readFeed(feedName(j), &r); err != nil {
			return fmt.Errorf("%s in %s: %w", j.Contestant, j.Case, err)
		}
	}
	return json.NewEncoder(stdout).Encode(r)
}

// measure runs a contest to its end, or until its meter is full.
func measure(contest func(*meter) error) (result, error) {
	m := &meter{full: make(chan struct{})}
	var most atomic.Int64
	quit := make(chan struct{})
	defer close(quit)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			most.Store(max(most.Load(), int64(runtime.NumGoroutine())))
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	}()

	var r result
	runtime.GC()
	inUse, allocs, cpu, start := memoryInUse(), objectsAllocated(), processorTime(), time.Now()
	done := make(chan error, 1)
	go func() { done <- contest(m) }()
	select {
	case err := <-done:
		if err != nil {
			return r, err
		}
	case <-m.full:
		r.Filled = time.Since(start).Seconds()
		r.Pending = settledMemory() - inUse
	}
	r.Ended = time.Now().UnixNano()
	r.CPU = (processorTime() - cpu).Seconds()
	r.Allocs = objectsAllocated() - allocs
	r.Pages, r.Bytes, r.Items, r.ItemSum = m.pages.Load(), m.bytes.Load(), m.items.Load(), m.itemSum.Load()
	r.Files = m.files.Load()
	r.Goroutines = int(max(most.Load(), int64(runtime.NumGoroutine())))
	r.PeakRSS = peakRSS()
	return r, nil
}

// settledMemory collects garbage until that changes nothing any more: a contestant may go on for a moment after the
// last request has been handed over.
func settledMemory() int64 {
	before := int64(-1)
	for range 100 {
		runtime.GC()
		now := memoryInUse()
		if before >= 0 && max(now-before, before-now) <= now/200 {
			return now
		}
		before = now
		time.Sleep(100 * time.Millisecond)
	}
	return before
}

// memoryInUse is what the heap's spans in use and the goroutines' stacks occupy, in bytes.
func memoryInUse() int64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
	}
	metrics.Read(samples)
	var sum int64
	for _, s := range samples {
		sum += int64(s.Value.Uint64())
	}
	return sum
}

func objectsAllocated() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64()
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakRSS is the largest resident set that this process has had, in bytes. The kernel's own count per process is
// preferred to getrusage's, which starts with what the parent had when it forked.
func peakRSS() int64 {
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		lines := bufio.NewScanner(bytes.NewReader(status))
		for lines.Scan() {
			fields := bytes.Fields(lines.Bytes())
			if len(fields) == 3 && string(fields[0]) == "VmHWM:" {
				if kib, err := strconv.ParseInt(string(fields[1]), 10, 64); err == nil {
					return kib << 10
				}
			}
		}
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return int64(u.Maxrss)
	}
	return int64(u.Maxrss) << 10
}

// profile starts a processor profile and returns what writes it and the allocation profile to base.cpu.pprof and
// base.allocs.pprof. It does nothing for "".
func profile(base string) (stop func() error, err error) {
	if base == "" {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(filepath.Dir(base), 0o755); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	cpu, err := os.Create(base + ".cpu.pprof")
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, errors.Join(fmt.Errorf("profile: %w", err), cpu.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		err := cpu.Close()
		allocs, createErr := os.Create(base + ".allocs.pprof")
		if createErr != nil {
			return errors.Join(err, fmt.Errorf("profile: %w", createErr))
		}
		return errors.Join(err, pprof.Lookup("allocs").WriteTo(allocs, 0), allocs.Close())
	}, nil
}

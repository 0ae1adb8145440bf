package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
)

func (a *app) benchCommand() *cobra.Command {
	var (
		length time.Duration
		asJSON bool
		sets   []string
	)
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast this machine crawls",
		Long: `bench crawls a site that this process serves, once without a job and once with
one, each for a while, and says how many pages a second that was. Pages have
4 kB and 20 links; each is parsed, makes an item, and all links are followed.

Client and server share the processors, and there is no network: the figure is
what the program does, not what a site allows. Compare runs on one machine; the
same settings on another machine are another figure. The settings file and the
environment do not count.`,
		Example: strings.Join([]string{
			"  " + a.program.Name + " bench",
			"  " + a.program.Name + " bench --time 3s -s concurrent_per_host=64",
		}, "\n"),
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if length < 100*time.Millisecond || length > time.Hour {
				return fmt.Errorf("--time %s: want 100ms to 1h", length)
			}
			return a.bench(c.Context(), length, sets, asJSON)
		},
	}
	c.Flags().DurationVar(&length, "time", 10*time.Second, "how long each crawl takes")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().StringArrayVarP(&sets, "set", "s", nil, "a setting, `name=value`; may be repeated")
	_ = c.RegisterFlagCompletionFunc("set", completeSetting) // it is there
	return c
}

// A benchRun is what one crawl of bench did.
type benchRun struct {
	Job        bool    `json:"job"`
	Seconds    float64 `json:"seconds"`
	Pages      int64   `json:"pages"`
	PagesPerS  float64 `json:"pages_per_second"`
	Links      int64   `json:"links"`
	Bytes      int64   `json:"bytes"`
	CPUPerPage float64 `json:"processor_seconds_per_page"` // of client and server together; 0 if it is not known
	Memory     uint64  `json:"memory_bytes"`               // taken from the system at the end
}

// benchReport is what bench says in JSON.
type benchReport struct {
	Program    string     `json:"program"`
	Version    string     `json:"version"`
	Go         string     `json:"go"`
	System     string     `json:"system"`
	Processors int        `json:"processors"`
	Runs       []benchRun `json:"runs"`
}

// bench crawls without and with a job.
func (a *app) bench(ctx context.Context, length time.Duration, sets []string, asJSON bool) error {
	settings := crawl.Settings{Parts: crawl.Parts{Job: a.program.Settings.Parts.Job}, Logger: zap.NewNop()}
	settings.ConcurrentRequests, settings.ConcurrentPerHost, settings.Robots.Ignore = 32, 32, true
	for _, kv := range sets {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return fmt.Errorf("-s %q: want -s name=value", kv)
		}
		settings.Assign = append(settings.Assign, crawl.Assignment{Name: k, Value: v, Source: "-s"})
	}
	if _, err := settings.Effective(nil); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	srv := &http.Server{Handler: benchSite{}, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(ln) }() // until Close
	defer func() { _ = srv.Close(); <-served }()

	report := benchReport{
		Program: a.program.Name, Version: version(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, Processors: runtime.GOMAXPROCS(0),
	}
	if !asJSON {
		fmt.Fprintf(a.stdout, "%s %s, %s, %s, %s\n", report.Program, report.Version, report.Go, report.System, plural(report.Processors, "processor"))
	}
	for _, withJob := range []bool{false, true} {
		if withJob && a.program.Settings.Parts.Job == nil {
			if !asJSON {
				fmt.Fprintln(a.stdout, "with a job     this program links none")
			}
			continue
		}
		run, err := a.benchOnce(ctx, "http://"+ln.Addr().String()+"/0", length, settings, withJob)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return &crawlError{errInterrupted}
		}
		report.Runs = append(report.Runs, run)
		if !asJSON {
			a.printBench(run, report.Runs[0])
		}
	}
	if asJSON {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	}
	fmt.Fprintln(a.stdout, "\nClient and server shared the processors, and nothing waited for a network.")
	return nil
}

func (a *app) printBench(run, first benchRun) {
	head := "without a job"
	if run.Job {
		head = "with a job"
	}
	cpu := ""
	if run.CPUPerPage > 0 {
		cpu = fmt.Sprintf(", %.0f µs of processor time each", run.CPUPerPage*1e6)
	}
	fmt.Fprintf(a.stdout, "%-13s  %.0f pages/s: %d pages in %.1f s, %d links, %s%s; memory %s",
		head, run.PagesPerS, run.Pages, run.Seconds, run.Links, bytesText(run.Bytes), cpu, bytesText(int64(run.Memory)))
	if run.Job && first.PagesPerS > 0 {
		fmt.Fprintf(a.stdout, "; %.2f of the first", run.PagesPerS/first.PagesPerS)
	}
	fmt.Fprintln(a.stdout)
}

// benchOnce crawls for a while.
func (a *app) benchOnce(ctx context.Context, start string, length time.Duration, settings crawl.Settings, withJob bool) (benchRun, error) {
	run := benchRun{Job: withJob}
	if withJob {
		dir, err := os.MkdirTemp("", "bench-job-")
		if err != nil {
			return run, err
		}
		defer os.RemoveAll(dir)
		settings.Job.Dir = dir
	}
	var (
		e     *engine.Engine
		first sync.Once // opening a job takes a while, which is no page's
		began time.Time
		cpu   time.Duration
		timer *time.Timer
	)
	e, err := engine.New(benchSpider(start, func() {
		first.Do(func() {
			began, cpu = time.Now(), processorTime()
			timer = time.AfterFunc(length, func() { e.Stop(reasonShutdown) })
		})
	}), settings)
	if err != nil {
		return run, err
	}
	res, err := e.Run(ctx)
	if timer != nil {
		timer.Stop()
	}
	if ctx.Err() != nil {
		return run, nil
	}
	if err != nil {
		return run, &crawlError{err}
	}
	run.Seconds = time.Since(began).Seconds()
	run.Pages = res.Stats.Int("response_received_count")
	if run.Pages == 0 {
		return run, &crawlError{errors.New("bench: no page was crawled")}
	}
	run.PagesPerS = float64(run.Pages) / run.Seconds
	run.Links = run.Pages * benchLinks
	run.Bytes = res.Stats.Int("downloader/response_bytes")
	run.CPUPerPage = (processorTime() - cpu).Seconds() / float64(run.Pages)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	run.Memory = m.Sys - m.HeapReleased
	return run, nil
}

// benchSpider follows all links, and makes an item of each page, which it tells.
func benchSpider(start string, page func()) *crawl.Spider {
	type item struct {
		URL   string `json:"url"`
		Title string `json:"title"`
	}
	return &crawl.Spider{
		Name:      "bench",
		StartURLs: []string{start},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			page()
			out.Item(&item{URL: r.URL.String(), Title: r.Text("h1")})
			out.FollowAll("li a", "")
			return nil
		},
	}
}

// benchLinks is how many links a page of bench's site has.
const benchLinks = 20

// benchSite answers with a page for every number, whose links lead to numbers that are different for each.
type benchSite struct{}

var benchText = strings.Repeat("<p>Nothing is sold here, and nobody reads this: it is as long as a page has to be.</p>\n", 36)

func (benchSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseUint(strings.TrimPrefix(r.URL.Path, "/"), 10, 64)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	b := make([]byte, 0, 5<<10)
	b = append(b, "<!DOCTYPE html>\n<title>bench</title>\n<h1>Page "...)
	b = strconv.AppendUint(b, n, 10)
	b = append(b, "</h1>\n<ul>\n"...)
	for i := range uint64(benchLinks) {
		b = append(b, `<li><a href="/`...)
		b = strconv.AppendUint(b, (n*benchLinks+i+1)*0x9e3779b97f4a7c15>>24, 10) // spread out, so that few are met twice
		b = append(b, "\">a page</a></li>\n"...)
	}
	b = append(b, "</ul>\n"...)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b)
	_, _ = io.WriteString(w, benchText)
}

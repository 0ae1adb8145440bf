package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// childTimeout bounds a run: no contestant takes that long unless it hangs.
const childTimeout = 10 * time.Minute

// An outcome is one run of one contestant.
type outcome struct {
	Round   int      `json:"round"`
	Job     job      `json:"job"`
	Result  result   `json:"result"`
	Report  report   `json:"report"`
	Gallery *gallery `json:"gallery,omitempty"` // in the case "pictures" only
	Faults  []string `json:"faults,omitempty"`
}

// wall is the time from the first request until the contestant said that it had finished, in seconds.
func (o outcome) wall() float64 { return seconds(o.Result.Ended - o.Report.First) }

// rate is pages per second.
func (o outcome) rate() float64 { return float64(o.Report.Pages) / o.wall() }

// perPage divides what a run took among the pages that the server sent.
func (o outcome) perPage(whole float64) float64 {
	return whole / (float64(o.Report.Pages) + float64(o.Report.Twice))
}

// cpuPerPage is in microseconds.
func (o outcome) cpuPerPage() float64 { return o.perPage(o.Result.CPU * 1e6) }

func seconds(nanoseconds int64) float64 { return time.Duration(nanoseconds).Seconds() }

// A caseResult is every run of one case.
type caseResult struct {
	benchCase
	outcomes []outcome         // in the order in which they ran
	labels   map[string]string // of the contestants that took part
	notes    []string          // who did not, and why; who was given less
}

// bench runs the cases, and tells progress how far it is. Its error names the run that failed.
func bench(ctx context.Context, opts options, progress io.Writer) ([]caseResult, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	srv, err := startServer(ctx, exe)
	if err != nil {
		return nil, err
	}
	var results []caseResult
	for _, c := range opts.cases {
		r, err := benchOne(ctx, opts, exe, srv, c, progress)
		if err != nil {
			return nil, errors.Join(err, srv.stop())
		}
		results = append(results, r)
	}
	return results, srv.stop()
}

func benchOne(ctx context.Context, opts options, exe string, srv *serverProcess, c benchCase, progress io.Writer) (caseResult, error) {
	r := caseResult{benchCase: c, labels: map[string]string{}}
	var running []contestant
	for _, who := range opts.contestants {
		run, ok := c.entries[who.name]
		if !ok {
			r.notes = append(r.notes, who.label+" has no part in this case")
			continue
		}
		if run == nil {
			if why := scrapyMissing(ctx, opts.scrapyPython); why != "" {
				r.notes = append(r.notes, who.label+" does not take part: "+why)
				continue
			}
		}
		if n := c.n(opts, who.name); n < c.n(opts, "") {
			r.notes = append(r.notes, fmt.Sprintf("%s is given %s", who.label, grouped(n)))
		}
		running = append(running, who)
		r.labels[who.name] = who.versioned()
	}
	for round := range opts.runs {
		for _, who := range running {
			j := job{Case: c.name, Contestant: who.name, N: c.n(opts, who.name), Concurrency: c.concurrency, Addr: srv.addr}
			if opts.concurrency > 0 {
				j.Concurrency = opts.concurrency
			}
			j.PerHost = max(j.Concurrency/max(c.hosts, 1), 1)
			if opts.profileDir != "" && round == opts.runs-1 {
				j.Profile = filepath.Join(opts.profileDir, c.name+"-"+who.name)
			}
			o, err := runOnce(ctx, opts, exe, srv, c, j)
			if err != nil {
				return r, fmt.Errorf("%s, round %d, %s: %w", c.name, round+1, who.name, err)
			}
			o.Round = round + 1
			r.outcomes = append(r.outcomes, o)
			if o.Result.Version != "" {
				r.labels[who.name] = who.label + " " + o.Result.Version
			}
			fmt.Fprintf(progress, "%s, round %d of %d, %s: %.2f s\n", c.name, round+1, opts.runs, who.name, o.wall())
		}
	}
	return r, nil
}

// runOnce opens the case's site and lets a fresh process crawl it.
func runOnce(ctx context.Context, opts options, exe string, srv *serverProcess, c benchCase, j job) (o outcome, err error) {
	if j.Folder, err = os.MkdirTemp("", "tulle-bench-"); err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(j.Folder)) }()
	o.Job = j
	if _, err := srv.ask(order{Case: c.name, N: j.N}); err != nil {
		return o, err
	}
	input, err := json.Marshal(j)
	if err != nil {
		return o, err
	}
	ctx, cancel := context.WithTimeout(ctx, childTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, roleContestant)
	if c.entries[j.Contestant] == nil {
		cmd = exec.CommandContext(ctx, opts.scrapyPython, "-c", scrapyProgram)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	cmd.Env = append(os.Environ(), "GOGC="+opts.gogc, "GOMEMLIMIT="+opts.gomemlimit)
	if err := cmd.Run(); err != nil {
		return o, fmt.Errorf("%w: %s", err, lastLines(stderr.String(), 20))
	}
	if err := json.Unmarshal(stdout.Bytes(), &o.Result); err != nil {
		return o, fmt.Errorf("read its result: %w: %s", err, lastLines(stderr.String(), 20))
	}
	if o.Report, err = srv.ask(order{}); err != nil {
		return o, err
	}
	if o.Report.First == 0 {
		return o, errors.New("it asked for nothing")
	}
	if c.inspect != nil {
		if err := c.inspect(&o); err != nil {
			return o, fmt.Errorf("inspect: %w", err)
		}
	}
	o.Faults = c.faults(o)
	return o, nil
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// versioned is the contestant's label with the version that is linked.
func (c contestant) versioned() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || c.module == "" {
		return c.label
	}
	i := slices.IndexFunc(info.Deps, func(d *debug.Module) bool { return d.Path == c.module })
	if i < 0 {
		return c.label
	}
	return c.label + " " + info.Deps[i].Version
}

// A serverProcess is the server's process as the parent sees it.
type serverProcess struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	orders *json.Encoder
	out    *json.Decoder
	addr   string
}

func startServer(ctx context.Context, exe string) (*serverProcess, error) {
	s := &serverProcess{cmd: exec.CommandContext(ctx, exe, roleServer)}
	s.cmd.Stderr = os.Stderr
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	s.in, s.orders, s.out = in, json.NewEncoder(in), json.NewDecoder(out)
	var g greeting
	if err := s.out.Decode(&g); err != nil {
		return nil, errors.Join(fmt.Errorf("start server: %w", err), s.stop())
	}
	s.addr = g.Addr
	return s, nil
}

// ask gives an order and returns the report that answers it.
func (s *serverProcess) ask(o order) (report, error) {
	var r report
	if err := s.orders.Encode(o); err != nil {
		return r, fmt.Errorf("ask server: %w", err)
	}
	if err := s.out.Decode(&r); err != nil {
		return r, fmt.Errorf("ask server: %w", err)
	}
	return r, nil
}

// stop lets the server end, which it does when its input does.
func (s *serverProcess) stop() error {
	if err := errors.Join(s.in.Close(), s.cmd.Wait()); err != nil {
		return fmt.Errorf("stop server: %w", err)
	}
	return nil
}

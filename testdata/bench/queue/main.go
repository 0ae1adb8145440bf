package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if isChild(os.Args) {
		os.Exit(childMain(os.Stdin, os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are what the command line says.
type options struct {
	queued   int // the larger of two sizes
	hosts    int
	seen     int // the largest of three sizes
	pages    int // of the stage "lease"
	memory   int64
	dir      string
	only     []string // stages; nil is all
	quick    bool
	markdown bool
	profile  string
	command  string // what to type to get the same again
}

var allStages = []string{"push", "open", "lease", "seen"}

// run is the whole command: exit code 0 when every stage ran, whatever the figures are, 1 when one failed, 2 when the command line makes no sense.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opts, err := parseArgs(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "queue:", err)
		return 2
	}
	reports, err := bench(ctx, opts, stderr)
	if len(reports) > 0 { // after an error too: a run takes long
		_, printErr := io.WriteString(stdout, opts.print(reports))
		err = errors.Join(err, printErr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "queue:", err)
		return 1
	}
	return 0
}

func parseArgs(args []string, stderr io.Writer) (options, error) {
	var opts options
	var only string
	flags := flag.NewFlagSet("queue", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&opts.queued, "queued", 10_000_000, "the number of `requests` that wait; a tenth of it is measured too")
	flags.IntVar(&opts.hosts, "hosts", 100_000, "the number of `hosts` that they are for")
	flags.IntVar(&opts.seen, "seen", 50_000_000, "the number of `fingerprints` that are known; a fiftieth and a fifth of it are measured too")
	flags.IntVar(&opts.pages, "pages", 200_000, "the number of `pages` that are leased at each size")
	flags.Int64Var(&opts.memory, "memory", 128<<20, "job.memory in `bytes`")
	flags.StringVar(&opts.dir, "dir", "", "the `folder` in which to make jobs, which are removed afterwards (default a temporary one)")
	flags.StringVar(&only, "stages", "", "what to measure, separated by commas: "+strings.Join(allStages, ", ")+" (default all)")
	flags.BoolVar(&opts.quick, "quick", false, "100,000 requests, 1,000 hosts, 300,000 fingerprints, 5,000 pages unless the flags say otherwise: shows that it works")
	flags.BoolVar(&opts.markdown, "markdown", false, "print the tables as Markdown")
	flags.StringVar(&opts.profile, "profile", "", "write a processor and a heap profile of every stage to this `directory`")
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	if flags.NArg() > 0 {
		return opts, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	given := map[string]bool{}
	words := []string{"go run ./queue"}
	flags.Visit(func(f *flag.Flag) {
		switch given[f.Name] = true; f.Name {
		case "dir", "markdown", "profile":
		case "quick":
			words = append(words, "-quick")
		default:
			words = append(words, "-"+f.Name+" "+f.Value.String())
		}
	})
	opts.command = strings.Join(words, " ")
	if opts.quick {
		for name, small := range map[string]struct {
			n  *int
			to int
		}{"queued": {&opts.queued, 100_000}, "hosts": {&opts.hosts, 1_000}, "seen": {&opts.seen, 300_000}, "pages": {&opts.pages, 5_000}} {
			if !given[name] {
				*small.n = small.to
			}
		}
	}
	if opts.queued < 10*pageLinks || opts.hosts < 1 || opts.seen < 50*pageLinks || opts.pages < 1 || opts.memory < 1 {
		return opts, fmt.Errorf("-queued must be at least %d, -seen %d, the others 1", 10*pageLinks, 50*pageLinks)
	}
	if only != "" {
		opts.only = strings.Split(only, ",")
	}
	for _, s := range opts.only {
		if !slices.Contains(allStages, s) {
			return opts, fmt.Errorf("unknown stage %q: there are %s", s, strings.Join(allStages, ", "))
		}
	}
	return opts, nil
}

func (o *options) wants(stage string) bool { return o.only == nil || slices.Contains(o.only, stage) }

// whole makes a number of links fill pages.
func whole(n int) int { return max(n/pageLinks, 1) * pageLinks }

// sizes are the numbers of requests that are measured.
func (o *options) sizes() []int { return []int{whole(o.queued / 10), whole(o.queued)} }

// marks are the numbers of fingerprints that are measured.
func (o *options) marks() []int { return []int{whole(o.seen / 50), whole(o.seen / 5), whole(o.seen)} }

// bench runs the stages one after the other, and tells progress what they say.
func bench(ctx context.Context, opts options, progress io.Writer) (reports []report, err error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	dir, err := os.MkdirTemp(opts.dir, "tulle-queue-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if opts.profile != "" {
		if err := os.MkdirAll(opts.profile, 0o755); err != nil {
			return nil, err
		}
	}
	do := func(t task) error {
		t.Memory, t.Hosts = opts.memory, opts.hosts
		if opts.profile != "" {
			t.Profile = filepath.Join(opts.profile, fmt.Sprintf("%02d-%s", len(reports), t.Stage))
		}
		list, err := runStage(ctx, exe, t, progress)
		reports = append(reports, list...)
		return err
	}
	for _, size := range opts.sizes() {
		if !opts.wants("push") && !opts.wants("open") && !opts.wants("lease") {
			break
		}
		job := filepath.Join(dir, fmt.Sprint(size))
		every := opts.sizes()[0]
		stages := []task{{Stage: "push", Every: every}}
		queued, links := size, size
		add := func(t task, newQueued, newLinks int) {
			t.Queued, t.Links = queued, links
			stages = append(stages, t)
			queued, links = queued+newQueued, links+newLinks
		}
		stages[0].Queued = size
		if opts.wants("open") {
			add(task{Stage: "open"}, 0, 0)
		}
		if opts.wants("lease") {
			for _, last := range []bool{false, true} {
				add(task{Stage: "lease", Pages: opts.pages, Last: last}, opts.pages*(freshLinks-1), opts.pages*freshLinks)
			}
		}
		if opts.wants("open") {
			add(task{Stage: "kill", Pages: max(every/pageLinks/20, 1)}, 0, 0)
			add(task{Stage: "open", Killed: true}, 0, 0)
		}
		for _, t := range stages {
			t.Dir, t.Size = job, size
			if err := do(t); err != nil {
				return reports, err
			}
		}
		if err := os.RemoveAll(job); err != nil {
			return reports, err
		}
	}
	if opts.wants("seen") {
		marks := opts.marks()
		t := task{Stage: "seen", Dir: filepath.Join(dir, "seen"), Size: marks[2], Marks: marks, Pages: marks[0] / pageLinks / 5}
		if err := do(t); err != nil {
			return reports, err
		}
	}
	return reports, nil
}

// runStage runs one child.
func runStage(ctx context.Context, exe string, t task, progress io.Writer) ([]report, error) {
	input, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, exe, roleStage)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var list []report
	dec := json.NewDecoder(out)
	for {
		var r report
		if err = dec.Decode(&r); err != nil {
			break
		}
		list = append(list, r)
		fmt.Fprintf(progress, "%s: %s of %s, %s resident\n", r.Stage, grouped(r.At), grouped(r.Size), mib(r.Memory.RSS))
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return list, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return list, nil
}

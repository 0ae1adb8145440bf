package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
)

func main() {
	if isChild(os.Args) {
		os.Exit(childMain(os.Args[1], os.Stdin, os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are what the command line says.
type options struct {
	cases        []benchCase
	contestants  []contestant
	n            int // 0: each case's own size
	concurrency  int // 0: each case's own
	runs         int
	quick        bool
	gogc         string
	gomemlimit   string
	scrapyPython string
	profileDir   string
	command      string // what to type to get the same again
}

// run is the whole command: exit code 0 when every contestant crawled, whatever the figures are, 1 when one failed,
// 2 when the command line makes no sense.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opts, format, err := parseArgs(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	results, err := bench(ctx, opts, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	switch format {
	case "json":
		enc := json.NewEncoder(stdout)
		for _, r := range results {
			for _, o := range r.outcomes {
				err = errors.Join(err, enc.Encode(o))
			}
		}
	default:
		err = printResults(stdout, opts, results, format == "markdown")
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

func parseArgs(args []string, stderr io.Writer) (options, string, error) {
	var (
		opts               options
		names, who         string
		asJSON, asMarkdown bool
	)
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&names, "case", "", "the `cases` to run, separated by commas: "+strings.Join(caseNames(), ", ")+" (default all)")
	flags.StringVar(&who, "contestants", "", "`who` takes part, separated by commas: "+strings.Join(contestantNames(), ", ")+" (default all)")
	flags.IntVar(&opts.n, "n", 0, "the number of `pages` in each case; 0 is each case's own")
	flags.IntVar(&opts.concurrency, "c", 0, "the number of `downloads` at once; 0 is each case's own, 32 in most")
	flags.IntVar(&opts.runs, "runs", 0, "the number of `rounds`, of which the median is printed; 0 is 5, or 1 with -quick")
	flags.BoolVar(&opts.quick, "quick", false, "small sizes: shows that it works, not how fast it is")
	flags.StringVar(&opts.gogc, "gogc", "400", "GOGC of every contestant")
	flags.StringVar(&opts.gomemlimit, "gomemlimit", "off", "GOMEMLIMIT of every contestant")
	flags.StringVar(&opts.scrapyPython, "scrapy-python", "", "the Python `interpreter` that can import scrapy; without one Scrapy does not take part")
	flags.StringVar(&opts.profileDir, "profile", "", "write processor and allocation profiles of the last round to this `directory`; costs a few per cent")
	flags.BoolVar(&asJSON, "json", false, "print every single measurement, one JSON object a line, instead of tables")
	flags.BoolVar(&asMarkdown, "markdown", false, "print the tables as Markdown")
	if err := flags.Parse(args); err != nil {
		return opts, "", err
	}
	if flags.NArg() > 0 {
		return opts, "", fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if opts.n < 0 || opts.concurrency < 0 || opts.runs < 0 {
		return opts, "", errors.New("-n, -c and -runs must not be negative")
	}
	opts.command = command(flags)
	switch {
	case opts.runs > 0:
	case opts.quick:
		opts.runs = 1
	default:
		opts.runs = 5
	}
	var err error
	if opts.cases, err = pick(allCases(), names, "case", func(c benchCase) string { return c.name }); err != nil {
		return opts, "", err
	}
	if opts.contestants, err = pick(allContestants(), who, "contestant", func(c contestant) string { return c.name }); err != nil {
		return opts, "", err
	}
	switch {
	case asJSON:
		return opts, "json", nil
	case asMarkdown:
		return opts, "markdown", nil
	}
	return opts, "text", nil
}

// command is what to type for the same measurement: the flags that were given, without those that only name a place
// on this machine or the form of the output.
func command(flags *flag.FlagSet) string {
	words := []string{"go run ."}
	flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "json", "markdown", "profile":
		case "scrapy-python":
			words = append(words, "-scrapy-python python3")
		case "quick":
			words = append(words, "-quick")
		default:
			words = append(words, "-"+f.Name+" "+f.Value.String())
		}
	})
	return strings.Join(words, " ")
}

// pick returns those of all that the comma-separated names name, in the order of all; all of them for "".
func pick[T any](all []T, names, kind string, name func(T) string) ([]T, error) {
	if names == "" {
		return all, nil
	}
	wanted := map[string]bool{}
	for n := range strings.SplitSeq(names, ",") {
		wanted[strings.TrimSpace(n)] = true
	}
	var picked []T
	var known []string
	for _, one := range all {
		known = append(known, name(one))
		if wanted[name(one)] {
			picked = append(picked, one)
			delete(wanted, name(one))
		}
	}
	for n := range wanted {
		return nil, fmt.Errorf("unknown %s %q: there are %s", kind, n, strings.Join(known, ", "))
	}
	return picked, nil
}

// machine says in one line what the figures were measured on.
func machine(opts options) string {
	return fmt.Sprintf("%s, %s/%s, %d processors shared by client and server, GOGC=%s, GOMEMLIMIT=%s",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), opts.gogc, opts.gomemlimit)
}

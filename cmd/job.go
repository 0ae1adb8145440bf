package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tulle-go/tulle/crawl"
)

func (a *app) jobCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "job",
		Short: "Look after jobs: crawls that can be stopped and resumed",
		Long: fmt.Sprintf(`A job is a crawl that lives in a folder. It is started by

  %[1]s crawl SPIDER --job DIR

and may be stopped by Ctrl-C, be killed, or lose its power: the same command
line goes on where it was. The folder may be moved to another machine.

Exit codes: 0 done; 1 the folder could not be read or written; 2 the command
line is wrong, DIR is no job, or a crawl has it.`, a.program.Name),
		Example: strings.Join([]string{
			"  " + a.program.Name + " job stat shop-job",
			"  " + a.program.Name + " job list --failed shop-job",
		}, "\n"),
		Args: a.noCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },

		SuggestionsMinimumDistance: 2,
	}
	c.AddCommand(a.jobStatCommand(), a.jobListCommand(), a.jobRequeueCommand(), a.jobExportCommand(), a.jobCompactCommand(), a.jobUnlockCommand())
	for _, sub := range c.Commands() {
		sub.Args, sub.ValidArgsFunction = oneJob, folders
	}
	return c
}

func oneJob(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return fmt.Errorf("which job? (%s DIR)", c.CommandPath())
	case len(args) > 1:
		return fmt.Errorf("one job at a time: %s", strings.Join(args, " "))
	case args[0] == "":
		return fmt.Errorf("%s: the folder's name is empty", c.CommandPath()) // a variable of a script that is not set
	}
	return nil
}

// folders completes the name of a folder.
func folders(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// inspect opens a job for do. What fails before is a mistake of the command line.
func (a *app) inspect(ctx context.Context, dir string, mode crawl.InspectMode, do func(crawl.Job) error) (err error) {
	open := a.program.Settings.Parts.InspectJob
	if open == nil {
		return errors.New("this program has no jobs: set Settings.Parts.InspectJob, and Job, to those of package scheduler/jobdir")
	}
	job, err := open(ctx, dir, mode)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := job.Close(); cerr != nil {
			err = errors.Join(err, &crawlError{fmt.Errorf("close job %s: %w", dir, cerr)})
		}
	}()
	switch err := do(job); {
	case err == nil:
		return nil
	case job.Info().Running:
		return err // a crawl has it
	default:
		return &crawlError{err}
	}
}

func (a *app) jobStatCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "stat DIR",
		Short: "Say how a job stands, and what to do next",
		Long: `stat says how a job stands: how many pages are done and how many wait, what has
been written, whether it runs, and what to do next. It changes nothing, and may
be asked while the job runs: the figures are then a few seconds old.`,
		Example: "  " + a.program.Name + " job stat shop-job\n  " + a.program.Name + " job stat --json shop-job",
		RunE: func(c *cobra.Command, args []string) error {
			return a.inspect(c.Context(), args[0], crawl.InspectRead, func(job crawl.Job) error {
				if asJSON {
					enc := json.NewEncoder(a.stdout)
					enc.SetIndent("", "  ")
					return enc.Encode(jobFigures(job.Info()))
				}
				_, err := fmt.Fprint(a.stdout, a.jobText(job.Info()))
				return err
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) jobListCommand() *cobra.Command {
	var l jobList
	c := &cobra.Command{
		Use:   "list DIR",
		Short: "List the requests that wait, or those that failed",
		Long: `list prints the requests that wait, in no promised order, with route, priority
and depth; or those that failed for good, with the kind of failure and the
reason. It changes nothing. It cannot be asked while the job runs.`,
		Example: strings.Join([]string{
			"  " + a.program.Name + " job list shop-job",
			"  " + a.program.Name + " job list --route product --limit 0 shop-job",
			"  " + a.program.Name + " job list --failed --json shop-job",
		}, "\n"),
		PreRunE: func(c *cobra.Command, _ []string) error {
			if l.limit < 0 {
				return fmt.Errorf("--limit %d: want 0, which is all, or more", l.limit)
			}
			l.byRoute = c.Flags().Changed("route")
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return a.inspect(c.Context(), args[0], crawl.InspectRead, func(job crawl.Job) error { return a.listJob(c.Context(), job, &l) })
		},
	}
	c.Flags().BoolVar(&l.failed, "failed", false, "those that failed for good")
	c.Flags().StringVar(&l.route, "route", "", "those of one `ROUTE` alone; '' is Spider.Parse")
	c.Flags().IntVar(&l.limit, "limit", 50, "print at most `N`; 0 is all")
	c.Flags().BoolVar(&l.asJSON, "json", false, "print whole requests as JSON, one a line")
	return c
}

func (a *app) jobRequeueCommand() *cobra.Command {
	var (
		kinds           []string
		contains, match string
	)
	c := &cobra.Command{
		Use:   "requeue-failed DIR",
		Short: "Put failed requests back into the queue",
		Long: `requeue-failed puts requests that failed for good back into the queue: all, or
those that the flags choose; with several flags those that all of them choose.
The next run of the job asks for them once more, with all their retries.

Kinds are what '` + a.program.Name + ` job list --failed' shows: dns, refused, timeout,
connection, tls, proxy, truncated, too-large, encoding, browser, dead-host (the
host had been given up), robots (its robots.txt could not be read), and others.`,
		Example: strings.Join([]string{
			"  " + a.program.Name + " job requeue-failed shop-job",
			"  " + a.program.Name + " job requeue-failed --kind timeout --kind refused shop-job",
			"  " + a.program.Name + " job requeue-failed --url-contains /product/ shop-job",
		}, "\n"),
		RunE: func(c *cobra.Command, args []string) error {
			choose, err := chooser(kinds, contains, match)
			if err != nil {
				return err
			}
			return a.inspect(c.Context(), args[0], crawl.InspectWrite, func(job crawl.Job) error {
				failed := job.Info().Failed
				n, err := job.RequeueFailed(c.Context(), choose)
				if err != nil {
					return err
				}
				_, err = fmt.Fprint(a.stdout, a.requeued(job.Info(), int64(n), failed))
				return err
			})
		},
	}
	c.Flags().StringArrayVar(&kinds, "kind", nil, "those that failed in this `KIND` of way; may be repeated")
	c.Flags().StringVar(&contains, "url-contains", "", "those with `TEXT` in their URL")
	c.Flags().StringVar(&match, "match", "", "those whose URL matches the regular expression `RE`")
	return c
}

// chooser combines the flags of requeue-failed; nil is all.
func chooser(kinds []string, contains, match string) (func(crawl.JobRequest) bool, error) {
	re, err := regexp.Compile(match)
	if err != nil {
		return nil, fmt.Errorf("--match %s: %w", match, err)
	}
	if len(kinds) == 0 && contains == "" && match == "" {
		return nil, nil
	}
	return func(r crawl.JobRequest) bool {
		u := r.Request.URL.String()
		return (len(kinds) == 0 || slices.Contains(kinds, r.Kind)) && strings.Contains(u, contains) && re.MatchString(u)
	}, nil
}

// requeued says what requeue-failed has done.
func (a *app) requeued(i crawl.JobInfo, n, of int64) string {
	switch {
	case of == 0:
		return "Nothing has failed.\n"
	case n == 0:
		return fmt.Sprintf("None of %s was chosen; '%s' shows them.\n", count(of, "failed request"), a.jobLine("list", "--failed", i.Dir))
	}
	return fmt.Sprintf("%d of %s will be asked again. To go on:\n  %s\n", n, count(of, "failed request"), a.goOn(i))
}

func (a *app) jobExportCommand() *cobra.Command {
	var failed, asJSON bool
	c := &cobra.Command{
		Use:   "export-urls DIR",
		Short: "Print the URLs that wait, or those that failed",
		Long: `export-urls prints the URL of every request that waits, or that failed for good,
one a line. With --json it prints whole requests: what a request has of method,
headers, body (in base64), route, data and so on. It changes nothing. It cannot
be asked while the job runs.`,
		Example: strings.Join([]string{
			"  " + a.program.Name + " job export-urls shop-job > urls.txt",
			"  " + a.program.Name + " job export-urls --failed --json shop-job",
		}, "\n"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.inspect(c.Context(), args[0], crawl.InspectRead, func(job crawl.Job) error {
				return a.eachRequest(c.Context(), job, failed, func(w *bufio.Writer, r crawl.JobRequest) error {
					if asJSON {
						return writeRequest(w, r)
					}
					_, err := fmt.Fprintln(w, r.Request.URL)
					return err
				})
			})
		},
	}
	c.Flags().BoolVar(&failed, "failed", false, "those that failed for good")
	c.Flags().BoolVar(&asJSON, "json", false, "print whole requests as JSON, one a line")
	return c
}

func (a *app) jobCompactCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "compact DIR",
		Short: "Make a job's folder as small as it can be",
		Long: `compact rewrites what a job stores, without what is no longer needed. A crawl
does so by itself, though never all at once.`,
		Example: "  " + a.program.Name + " job compact shop-job",
		RunE: func(c *cobra.Command, args []string) error {
			return a.inspect(c.Context(), args[0], crawl.InspectWrite, func(job crawl.Job) error {
				before := job.Info().Disk
				if err := job.Compact(c.Context()); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.stdout, "%s before, %s now\n", bytesText(before), bytesText(job.Info().Disk))
				return err
			})
		},
	}
}

func (a *app) jobUnlockCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "unlock DIR",
		Short: "Free a job whose process ended on another machine",
		Long: `A job belongs to one process at a time. When that has ended, however it came,
the next crawl takes the job over by itself. Only if it was a process of another
machine, heard of less than a minute ago, nobody can tell from here that it has
ended: unlock says that you know. It never takes a job from a process of this
machine that is alive.`,
		Example: "  " + a.program.Name + " job unlock shop-job",
		RunE: func(c *cobra.Command, args []string) error {
			return a.inspect(c.Context(), args[0], crawl.InspectUnlock, func(job crawl.Job) error {
				text := "Nobody had the job: there was nothing to unlock.\n"
				if o := job.Info().Owner; o != nil {
					text = fmt.Sprintf("The job was held by %s. It is free now.\n", ownerText(o))
				}
				_, err := fmt.Fprint(a.stdout, text)
				return err
			})
		},
	}
}

// jobLine is a command line that looks after a job.
func (a *app) jobLine(args ...string) string {
	return quoted(append([]string{a.program.Name, "job"}, args...)...)
}

// goOn is the command line that goes on with a job, as far as the job knows it.
func (a *app) goOn(i crawl.JobInfo) string {
	words := []string{a.program.Name, "crawl", i.Spider}
	for _, k := range slices.Sorted(maps.Keys(i.Identity)) {
		if _, own := a.program.Settings.Job.Identity[k]; !own {
			words = append(words, "-a", k+"="+i.Identity[k])
		}
	}
	return quoted(append(words, "--job", i.Dir)...)
}

// plainWord needs no quotes in any shell.
var plainWord = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// quoted is a command line for a POSIX shell.
func quoted(words ...string) string {
	list := make([]string, len(words))
	for i, w := range words {
		if list[i] = w; !plainWord.MatchString(w) {
			list[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(list, " ")
}

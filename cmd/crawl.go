package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/term"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
)

func (a *app) crawlCommand() *cobra.Command {
	f := &crawlFlags{}
	c := &cobra.Command{
		Use:   "crawl SPIDER",
		Short: "Run a spider",
		Long: `crawl runs a spider until there is nothing left to ask.

Items go to the feeds that -o and -O name, or to those of the spider's own
settings. The format is that of the file's extension (.jsonl, .json, .csv), or
stands behind a colon; - is standard output.

Settings come from the program, the spider, the file tulle.yaml, the environment
and -s, and later ones win: '` + a.program.Name + ` settings --help' says more.

Ctrl-C stops the crawl: what is in flight is finished, so every feed is whole.
A second Ctrl-C stops at once.

With --job the crawl lives in a folder: stopped, killed or switched off, it goes
on where it was when the same command line is run again, and its feeds hold each
item once. '` + a.program.Name + ` job --help' says more.

Exit codes: 0 the crawl ended, or was stopped; 1 it could not go on; 2 the
command line, a setting or an output is wrong, and nothing was crawled.`,
		Example: strings.Join([]string{
			"  " + a.program.Name + " crawl shop",
			"  " + a.program.Name + " crawl shop -a products=1000 -O products.csv",
			"  " + a.program.Name + " crawl books -o books.jsonl -s download_delay=500ms",
			"  " + a.program.Name + " crawl quotes -O -:csv | head",
			"  " + a.program.Name + " crawl shop --job shop-job",
		}, "\n"),
		Args:              oneSpider,
		ValidArgsFunction: a.completeSpider,
		RunE: func(c *cobra.Command, args []string) error {
			if f.job == "" && c.Flags().Changed("job") {
				return errors.New("--job: the folder's name is empty") // a variable of a script that is not set
			}
			return a.crawl(c.Context(), args[0], f)
		},
	}
	f.add(c)
	c.Flags().StringVar(&f.job, "job", "", "keep the crawl in folder `DIR`, to be stopped and resumed")
	_ = c.MarkFlagDirname("job") // it is there
	c.Flags().StringArrayVarP(&f.appendTo, "output", "o", nil, "append items to `FILE[:FORMAT]`; may be repeated")
	c.Flags().StringArrayVarP(&f.overwrite, "overwrite-output", "O", nil, "write items to `FILE[:FORMAT]`, emptied first")
	c.Flags().StringVar(&f.logLevel, "log-level", "", "`LEVEL` is debug, info, warn or error (default info; on a terminal warn)")
	c.Flags().StringVar(&f.logFile, "log-file", "", "append the log to `FILE`, not to standard error")
	for flag, complete := range map[string]cobra.CompletionFunc{
		"output": a.completeFeed, "overwrite-output": a.completeFeed, "log-level": cobra.FixedCompletions(logLevels, cobra.ShellCompDirectiveNoFileComp),
	} {
		_ = c.RegisterFlagCompletionFunc(flag, complete) // they are there
	}
	return c
}

func oneSpider(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return fmt.Errorf("which spider? (%s SPIDER; '%s list' shows them)", c.CommandPath(), c.Root().Name())
	case len(args) > 1:
		return fmt.Errorf("one spider at a time: %s", strings.Join(args, " "))
	}
	return nil
}

type crawlFlags struct {
	settingsFlags
	appendTo, overwrite []string
	logLevel, logFile   string
	job                 string
}

// crawl runs a spider, shows how it goes, and what came of it.
func (a *app) crawl(ctx context.Context, name string, f *crawlFlags) (err error) {
	args, err := pairs("-a", f.args)
	if err != nil {
		return err
	}
	spider, err := a.spider(name, args)
	if err != nil {
		return err
	}
	if len(f.appendTo)+len(f.overwrite) > 0 {
		f.without = "feeds"
	}
	settings, err := a.settings(&f.settingsFlags, name)
	if err != nil {
		return err
	}
	if f.job != "" {
		settings.Assign = append(settings.Assign, crawl.Assignment{Name: "job.dir", Value: f.job, Source: "--job"})
	}
	identify(spider, args)
	if err := f.feeds(spider); err != nil {
		return err
	}
	terminal := isTerminal(a.stderr)
	screen := newScreen(a.stderr, terminal)
	screen.quiet = f.logFile != "" && !terminal
	settings.Stdout = a.stdout.Writer // a feed's, which tells of errors itself
	if terminal && isTerminal(a.stdout) {
		settings.Stdout = screen.above(a.stdout.Writer)
	}
	logs, err := f.log(&settings, spider, screen, terminal)
	if err != nil {
		return err
	}
	defer func() {
		if lost := logs.close(); lost != nil {
			err = errors.Join(err, &crawlError{fmt.Errorf("--log-file: %w", lost)})
		}
	}()
	if log.Writer() == io.Writer(os.Stderr) {
		// net/http has things to say for those who debug. A program that uses the standard logger itself has led it elsewhere.
		restore, err := zap.RedirectStdLogAt(settings.Logger, zap.DebugLevel)
		if err != nil {
			return err
		}
		defer restore()
	}

	e, err := engine.New(spider, settings)
	if err != nil {
		return err
	}
	hard, cancel := context.WithCancel(ctx)
	defer cancel()
	defer a.interrupts(e, cancel, screen)()
	defer reports(e, screen)()
	stopLive := screen.follow(e)
	began := time.Now()
	res, err := e.Run(hard)
	stopLive()
	if res.Reason == "" {
		return err // it did not start
	}
	logs.begun = true
	screen.print(a.ending(context.WithoutCancel(ctx), res, e.Settings(), spider.Name, time.Since(began)))
	switch res.Reason {
	case reasonDiskFull:
		err = errors.Join(err, errors.New("the disk is full: make room, and run the same command line again; what was done is kept"))
	case reasonStore:
		err = errors.Join(err, errors.New("the store refused file after file: the log says why"))
	}
	if err != nil {
		return &crawlError{err}
	}
	return nil
}

// identify has a job remember the spider's arguments: with others it would be another crawl.
func identify(spider *crawl.Spider, args map[string]string) {
	if len(args) == 0 {
		return
	}
	afterConfigure(spider, func(s *crawl.Settings) {
		all := maps.Clone(args)
		maps.Copy(all, s.Job.Identity) // the program's own names are its own
		s.Job.Identity = all
	})
}

// interrupts stops the crawl at the first signal, at once at the second, and leaves the third to the system, until the returned function is called. A pipe that nobody reads is no
// reason to die: its feed ends the crawl.
func (a *app) interrupts(e *engine.Engine, cancel func(), s *screen) func() {
	signals, pipes := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	signal.Notify(pipes, syscall.SIGPIPE)
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for n := 0; ; n++ {
			select {
			case <-quit:
				return
			case <-signals:
			}
			if n == 0 {
				s.print("Stopping: finishing what is in flight. Ctrl-C once more stops at once.\n")
				e.Stop("shutdown")
				continue
			}
			signal.Stop(signals)
			cancel()
		}
	}()
	return func() {
		signal.Stop(signals)
		signal.Stop(pipes)
		close(quit)
		<-gone
	}
}

// feeds puts -o and -O in the place of the spider's own feeds.
func (f *crawlFlags) feeds(spider *crawl.Spider) error {
	var feeds []crawl.Feed
	for _, o := range f.appendTo {
		feed, err := parseFeed("-o", o)
		if err != nil {
			return err
		}
		feeds = append(feeds, feed)
	}
	for _, o := range f.overwrite {
		feed, err := parseFeed("-O", o)
		if err != nil {
			return err
		}
		feed.Overwrite = true
		feeds = append(feeds, feed)
	}
	if len(feeds) == 0 {
		return nil
	}
	afterConfigure(spider, func(s *crawl.Settings) { s.Feeds = feeds })
	return nil
}

// afterConfigure changes settings after the spider has: the command line has the last word.
func afterConfigure(spider *crawl.Spider, change func(*crawl.Settings)) {
	own := spider.Configure
	spider.Configure = func(s *crawl.Settings) {
		if own != nil {
			own(s)
		}
		change(s)
	}
}

// parseFeed reads FILE or FILE:FORMAT. The format may say how it is compressed: -:jsonl.gz.
func parseFeed(flag, arg string) (crawl.Feed, error) {
	feed := crawl.Feed{URI: arg}
	if i := strings.LastIndexByte(arg, ':'); i >= 0 {
		format, compress := packedExt(arg[i+1:])
		if !strings.ContainsAny(format, `/\.`) {
			feed.URI, feed.Format, feed.Compress = arg[:i], format, compress
			if format == "" {
				return crawl.Feed{}, fmt.Errorf("%s %q: no format behind the colon", flag, arg)
			}
		}
	}
	if feed.URI == "" {
		return crawl.Feed{}, fmt.Errorf("%s %q: which file? - is standard output", flag, arg)
	}
	if name, _ := packedExt(feed.URI); feed.Format == "" && feed.URI != "-" && filepath.Ext(name) == "" {
		return crawl.Feed{}, fmt.Errorf("%s %q: the name has no extension to tell the format by: write %s %s:jsonl", flag, arg, flag, arg)
	}
	return feed, nil
}

// packedExt takes the end of a compressed file's name away, and says what it is.
func packedExt(name string) (rest, compress string) {
	if rest, ok := strings.CutSuffix(name, ".gz"); ok {
		return rest, "gzip"
	}
	if rest, ok := strings.CutSuffix(name, ".zst"); ok {
		return rest, "zstd"
	}
	return name, ""
}

// logFile is where the log goes, if not to standard error.
type logFile struct {
	file  *os.File // nil: standard error
	made  bool     // it was not there before
	begun bool     // the crawl has begun
}

// close closes the file. One that was made for a crawl that did not begin, and says nothing, is removed.
func (l *logFile) close() error {
	if l.file == nil {
		return nil
	}
	info, err := l.file.Stat()
	err = errors.Join(err, l.file.Close())
	if err == nil && l.made && !l.begun && info.Size() == 0 {
		err = os.Remove(l.file.Name())
	}
	return err
}

// log sets the logger: to a file, or to standard error, above the live line.
func (f *crawlFlags) log(s *crawl.Settings, spider *crawl.Spider, screen *screen, terminal bool) (*logFile, error) {
	switch {
	case f.logLevel != "":
		if !slices.Contains(logLevels, f.logLevel) {
			return nil, fmt.Errorf("--log-level %s: want debug, info, warn or error", f.logLevel)
		}
		s.Assign = append(s.Assign, crawl.Assignment{Name: "log.level", Value: f.logLevel, Source: "--log-level"})
	case terminal && f.logFile == "":
		afterConfigure(spider, func(s *crawl.Settings) {
			if s.Log.Level == "" {
				s.Log.Level = "warn" // the live line says the rest
			}
		})
	}
	e, err := s.Effective(spider)
	if err != nil {
		return nil, err
	}
	logs := &logFile{}
	if s.Logger != nil && f.logFile == "" {
		return logs, nil // the program has its own
	}
	var w io.Writer = screen
	if f.logFile != "" {
		_, err := os.Lstat(f.logFile)
		logs.made = errors.Is(err, fs.ErrNotExist)
		if logs.file, err = os.OpenFile(f.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
			return nil, fmt.Errorf("--log-file: %w", err)
		}
		w = logs.file
	}
	if s.Logger, err = crawl.NewLogger(e.Log, w); err != nil {
		return nil, errors.Join(err, logs.close())
	}
	return logs, nil
}

var logLevels = []string{"debug", "info", "warn", "error"}

// isTerminal reports whether w is a terminal that can be drawn on.
func isTerminal(w io.Writer) bool { return onTerminal(w) && os.Getenv("TERM") != "dumb" }

// onTerminal reports whether somebody sees what is written to w, on a terminal of any kind.
func onTerminal(w io.Writer) bool {
	f, ok := fileOf(w)
	return ok && term.IsTerminal(int(f.Fd()))
}

// fileOf is the file that w writes to.
func fileOf(w io.Writer) (*os.File, bool) {
	if o, ok := w.(*output); ok {
		w = o.Writer
	}
	f, ok := w.(*os.File)
	return f, ok
}

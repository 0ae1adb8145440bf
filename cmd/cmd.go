package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tulle-go/tulle/crawl"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // the crawl, or what is done to a job, could not go on
	exitUsage = 2 // the command line, a setting, or an output is wrong: nothing has been crawled
)

// Program is a binary: its spiders, and its layer of settings.
type Program struct {
	// Name is the binary's, for help texts. "" is "tulle".
	Name string
	// Spiders make spiders from their arguments (-a key=value). A constructor is called once for each crawl.
	Spiders map[string]func(args map[string]string) (*crawl.Spider, error)
	// Settings are the program's own, with the Parts that it links.
	Settings crawl.Settings
}

// Main runs the command line and exits the process. It gives the garbage collector more room than is usual, unless GOGC or GOMEMLIMIT say otherwise: a crawl
// lives from short-lived memory.
func Main(p Program) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		if limit := availableMemory() / 10 * 7; limit > 0 {
			debug.SetMemoryLimit(limit)
		}
	}
	os.Exit(Run(context.Background(), p, os.Args[1:], os.Stdout, os.Stderr))
}

// availableMemory is what the machine, or the container, has in bytes; 0 if it is not known.
func availableMemory() int64 {
	least := int64(math.MaxInt64)
	if b, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		var n int64
		if _, err := fmt.Sscan(string(b), &n); err == nil {
			least = n
		}
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			var kb int64
			if _, err := fmt.Sscanf(line, "MemTotal: %d kB", &kb); err == nil {
				least = min(least, kb<<10)
			}
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least
}

// Run is Main without the process: it returns the exit code, 0 for success, 1 when a crawl, or work on a job, could not go on, 2 when the command line, a setting or an output
// is wrong. The first interrupt stops a crawl, the second stops it at once; ctx ending does as the second.
func Run(ctx context.Context, p Program, args []string, stdout, stderr io.Writer) int {
	if p.Name == "" {
		p.Name = "tulle"
	}
	a := &app{program: p, stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(append([]string{}, args...)) // nil would be the process's own
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "%s: %s\n", p.Name, strings.TrimSuffix(line, "\n"))
	}
	var failed *crawlError
	if errors.As(err, &failed) {
		return exitError
	}
	return exitUsage
}

// crawlError is a crawl that had begun and could not go on, or work on a job.
type crawlError struct{ err error }

func (e *crawlError) Error() string { return e.err.Error() }
func (e *crawlError) Unwrap() error { return e.err }

// app is one call of the program.
type app struct {
	program        Program
	stdout, stderr io.Writer
}

func (a *app) root() *cobra.Command {
	name := a.program.Name
	root := &cobra.Command{
		Use:   name,
		Short: "Crawl web sites with spiders written in Go",
		Long: fmt.Sprintf(`%[1]s runs spiders: programs that say where a crawl starts and what to make of
each page. It fetches politely, sends what they find through pipelines,
downloads the pictures and files that items name, and writes the items to feeds.
`, name),
		Example:           a.tryIt(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              a.noCommand,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},

		SuggestionsMinimumDistance: 2,
	}
	root.SetUsageTemplate(usage)
	root.SetHelpCommand(&cobra.Command{Hidden: true})
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w (see '%s --help')", err, c.CommandPath())
	})
	root.AddCommand(a.crawlCommand(), a.jobCommand(), a.listCommand(), a.settingsCommand(), a.siteCommand(), a.versionCommand())
	return root
}

// tryIt are the first commands that a newcomer may type.
func (a *app) tryIt() string {
	lines := []string{"  " + a.program.Name + " list"}
	if names := a.spiderNames(); len(names) > 0 {
		first := names[0]
		if a.program.Spiders["shop"] != nil {
			first = "shop" // it needs no network
		}
		lines = append(lines, "  "+a.program.Name+" crawl "+first)
	}
	return strings.Join(lines, "\n")
}

// noCommand refuses arguments that are no command, and says which one may be meant.
func (a *app) noCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := fmt.Sprintf("'%s --help' lists them", c.CommandPath())
	if a.program.Spiders[args[0]] != nil && !c.HasParent() {
		hint = fmt.Sprintf("to run the spider: %s crawl %s", c.Name(), args[0])
	} else if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	if c.HasParent() {
		return fmt.Errorf("%s has no command %q; %s", c.CommandPath(), args[0], hint)
	}
	return fmt.Errorf("there is no command %q; %s", args[0], hint)
}

// noArguments refuses arguments.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments: %s", c.CommandPath(), strings.Join(args, " "))
	}
	return nil
}

// usage is how a command's help ends: in 80 columns, without what says nothing.
const usage = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if not .HasAvailableSubCommands}}

Flags:
{{.LocalFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}{{else}}

'{{.CommandPath}} COMMAND --help' says more about a command.{{end}}
`

// spiderNames are the program's, sorted.
func (a *app) spiderNames() []string { return slices.Sorted(maps.Keys(a.program.Spiders)) }

// spider makes a spider by name.
func (a *app) spider(name string, args map[string]string) (*crawl.Spider, error) {
	build, ok := a.program.Spiders[name]
	if !ok {
		known := "this program has none"
		if names := a.spiderNames(); len(names) > 0 {
			known = "there are: " + strings.Join(names, ", ")
		}
		return nil, fmt.Errorf("no spider is called %q; %s", name, known)
	}
	s, err := build(args)
	if err != nil {
		return nil, fmt.Errorf("spider %s: %w", name, err)
	}
	if s == nil {
		return nil, fmt.Errorf("spider %s: its constructor returned none", name)
	}
	c := *s // the flags of this crawl are no other's
	if c.Name == "" {
		c.Name = name
	}
	return &c, nil
}

// pairs reads key=value arguments of a flag.
func pairs(flag string, list []string) (map[string]string, error) {
	m := make(map[string]string, len(list))
	for _, kv := range list {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("%s %q: want %s name=value", flag, kv, flag)
		}
		if _, twice := m[k]; twice {
			return nil, fmt.Errorf("%s %s is given twice", flag, k)
		}
		m[k] = v
	}
	return m, nil
}

// settingsFlags are those of every command that puts settings together.
type settingsFlags struct {
	args, sets []string
}

func (f *settingsFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVarP(&f.args, "arg", "a", nil, "an argument of the spider, `name=value`; may be repeated")
	c.Flags().StringArrayVarP(&f.sets, "set", "s", nil, "a setting, `name=value`; may be repeated")
}

// settings are the program's with what the command line assigns.
func (f *settingsFlags) settings(p Program) (crawl.Settings, error) {
	s := p.Settings
	s.Assign = slices.Clone(s.Assign)
	for _, kv := range f.sets {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return s, fmt.Errorf("-s %q: want -s name=value", kv)
		}
		s.Assign = append(s.Assign, crawl.Assignment{Name: k, Value: v, Source: "-s"})
	}
	return s, nil
}

package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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
	out := &output{Writer: stdout}
	a := &app{program: p, args: args, stdout: out, stderr: stderr}
	root := a.root()
	if len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd) {
		plainUsage(root)
	}
	root.SetArgs(append([]string{}, args...)) // nil would be the process's own
	root.SetOut(out)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if out.err != nil && (err == nil || errors.Is(err, out.err)) {
		err = &crawlError{fmt.Errorf("standard output: %w", bareError(out.err))}
	}
	if errors.Is(out.err, syscall.EPIPE) {
		_, _ = io.WriteString(stdout, "\n") // a process whose standard output nobody reads ends by this, in silence, as others in a pipe do
	}
	if err == nil {
		return exitOK
	}
	for line := range strings.Lines(visible(err.Error())) {
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
	program Program
	args    []string // of the command line
	stdout  *output
	stderr  io.Writer
	warned  []string
}

// output is standard output. It remembers what could not be written, so that no command has to: the exit code says it.
type output struct {
	io.Writer
	err error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	o.err = cmp.Or(o.err, err)
	return n, err
}

// bareError is an error of a file without the file's name, where the message has another one for it.
func bareError(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
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
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},

		SuggestionsMinimumDistance: 2,
	}
	root.Version = a.versionLine()
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetUsageTemplate(usage)
	root.SetHelpCommand(a.helpCommand())
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w (see '%s --help')", flagError(c, err), c.CommandPath())
	})
	root.AddCommand(a.benchCommand(), a.checkCommand(), a.completionCommand(), a.crawlCommand(), a.fetchCommand(), a.genspiderCommand(), a.jobCommand(), a.listCommand(),
		a.parseCommand(), a.settingsCommand(), a.shellCommand(), a.siteCommand(), a.startprojectCommand(), a.versionCommand(), a.viewCommand())
	return root
}

// plainUsage takes out of the flags' descriptions what tells pflag how their values are called: shells show it.
func plainUsage(c *cobra.Command) {
	c.Flags().VisitAll(func(f *pflag.Flag) { f.Usage = strings.ReplaceAll(f.Usage, "`", "") })
	for _, sub := range c.Commands() {
		plainUsage(sub)
	}
}

// helpCommand is for those who look for it. --help is what the help texts speak of.
func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "help [COMMAND]",
		Short:  "Print the help of a command",
		Hidden: true,
		ValidArgsFunction: func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if on, rest, err := c.Root().Find(args); err == nil && len(rest) == 0 {
				for _, sub := range on.Commands() {
					if sub.IsAvailableCommand() && strings.HasPrefix(sub.Name(), typed) {
						names = append(names, sub.Name())
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			about := c.Root()
			for _, name := range args {
				i := slices.IndexFunc(about.Commands(), func(sub *cobra.Command) bool { return sub.Name() == name })
				if i < 0 {
					return a.noCommand(about, []string{name})
				}
				about = about.Commands()[i]
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

// flagError says which flag has a value that it cannot take, and what it wants; or which one may be meant.
func flagError(c *cobra.Command, err error) error {
	var missing *pflag.NotExistError
	if errors.As(err, &missing) {
		name, near := missing.GetSpecifiedName(), ""
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if d := distance(name, f.Name); d <= (len(f.Name)+1)/3 && (near == "" || d < distance(name, near)) {
				near = f.Name
			}
		})
		if near != "" {
			return fmt.Errorf("%w: did you mean --%s?", err, near)
		}
	}
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	flag := invalid.GetFlag()
	name := "--" + flag.Name
	if flag.Shorthand != "" {
		name = "-" + flag.Shorthand
	}
	want := map[string]string{
		"int": "a whole number", "int64": "a whole number", "uint": "a whole number", "float64": "a number", "duration": "a duration such as 90s or 1h30m", "bool": "true or false",
	}[flag.Value.Type()]
	if want == "" {
		return fmt.Errorf("%s %s: %w", name, invalid.GetValue(), invalid.Unwrap())
	}
	return fmt.Errorf("%s %s: want %s", name, invalid.GetValue(), want)
}

// tryIt are the first commands that a newcomer may type.
func (a *app) tryIt() string {
	var steps [][2]string
	names := a.spiderNames()
	if a.program.Spiders["shop"] != nil { // the bundled spiders, of which it needs no network
		steps = append(steps, [2]string{"crawl shop", "crawls the bundled shop; no network needed"},
			[2]string{"startproject mycrawler", "starts a project of your own"})
	} else {
		steps = append(steps, [2]string{"list", "lists the spiders"})
		if len(names) > 0 {
			steps = append(steps, [2]string{"crawl " + names[0], "runs one"})
		}
		steps = append(steps, [2]string{"genspider news example.com", "writes another"})
	}
	steps = append(steps, [2]string{"shell https://example.com/", "looks at a page, to find selectors"})
	var lines []string
	for _, s := range steps {
		lines = append(lines, strings.TrimRight(fmt.Sprintf("  %-*s  %s", len(a.program.Name)+27, a.program.Name+" "+s[0], s[1]), " "))
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
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}{{end}}{{if .HasExample}}

{{if .HasParent}}Examples{{else}}First steps{{end}}:
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
		return nil, errors.New(a.noSpider(name))
	}
	s, err := construct(build, args)
	if err != nil {
		return nil, fmt.Errorf("spider %s: %w", name, err)
	}
	if s == nil {
		return nil, fmt.Errorf("spider %s: its constructor returned neither a spider nor an error", name)
	}
	c := *s // the flags of this crawl are no other's
	if c.Name == "" {
		c.Name = name
	}
	return &c, nil
}

// construct calls a constructor. A panic in it is an error that says where.
func construct(build func(map[string]string) (*crawl.Spider, error), args map[string]string) (s *crawl.Spider, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("its constructor: %w%s", &crawl.PanicError{Value: p, Stack: debug.Stack()}, panicPlace())
		}
	}()
	return build(args)
}

// panicPlace is where the constructor, which panics, was in its own package: " (spiders/books.go:12)".
func panicPlace() string {
	callers := make([]uintptr, 100)
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers)])
	var own []runtime.Frame // from the panic up to the constructor
	for panicked := false; ; {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "/cmd.construct") || !more {
			break
		}
		if panicked && !strings.HasPrefix(f.Function, "runtime.") {
			own = append(own, f)
		}
		panicked = panicked || f.Function == "runtime.gopanic"
	}
	if len(own) == 0 {
		return "" // deeper than anybody looks
	}
	home := packageOf(own[len(own)-1].Function)
	at := own[slices.IndexFunc(own, func(f runtime.Frame) bool { return packageOf(f.Function) == home })]
	dir, _ := os.Getwd() // without one the path is whole
	return fmt.Sprintf(" (%s:%d)", shortPath(dir, at.File), at.Line)
}

// packageOf is the path of a function's package.
func packageOf(function string) string {
	slash := strings.LastIndexByte(function, '/') + 1
	name, _, _ := strings.Cut(function[slash:], ".")
	return function[:slash] + name
}

// noSpider says that there is no such spider, and which there are.
func (a *app) noSpider(name string) string {
	known := "this program has none"
	if names := a.spiderNames(); len(names) > 0 {
		known = "there are: " + strings.Join(names, ", ")
	}
	if p := foreign(); p != nil {
		known += fmt.Sprintf("; the spiders of the project %s are in its own program: %s", p.name, p.line(a.args...))
	}
	return fmt.Sprintf("no spider is called %q; %s", name, known)
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
	config     string
	noConfig   bool
	// without is a setting that the command line has said otherwise: what file and environment assign to it does not count.
	without string
}

func (f *settingsFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVarP(&f.args, "arg", "a", nil, "an argument of the spider, `name=value`; may be repeated")
	c.Flags().StringArrayVarP(&f.sets, "set", "s", nil, "a setting, `name=value`; may be repeated")
	c.Flags().StringVar(&f.config, "config", "", "read settings from `FILE`, not from "+configName)
	c.Flags().BoolVar(&f.noConfig, "no-config", false, "read no settings file")
	_ = c.MarkFlagFilename("config", "yaml", "yml") // it is there
	_ = c.RegisterFlagCompletionFunc("set", completeSetting)
}

// settings are the program's with what the settings file, the environment and the command line assign for a spider, which "" is none.
func (a *app) settings(f *settingsFlags, spider string) (crawl.Settings, error) {
	s := a.program.Settings
	file, err := a.config(f, spider)
	if err != nil {
		return s, err
	}
	environ, err := fromEnvironment(os.Environ(), a.warn)
	if err != nil {
		return s, err
	}
	operator := slices.DeleteFunc(append(file.assignments(spider), environ...), func(as crawl.Assignment) bool {
		to, _, _ := crawl.SettingName(as.Name) // it has one: it has been set
		return f.without != "" && to == f.without
	})
	s.Assign = slices.Concat(s.Assign, operator)
	for _, kv := range f.sets {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return s, fmt.Errorf("-s %q: want -s name=value", kv)
		}
		s.Assign = append(s.Assign, crawl.Assignment{Name: k, Value: v, Source: "-s"})
	}
	return s, nil
}

// config reads the settings file, if there is one. spider is the one that settings are for; "" is none.
func (a *app) config(f *settingsFlags, spider string) (*configFile, error) {
	if f.noConfig {
		if f.config != "" {
			return nil, errors.New("--config and --no-config: one or the other")
		}
		return nil, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("settings file: %w; --no-config does without", err)
	}
	path := f.config
	if path == "" {
		path = os.Getenv(configVariable)
	}
	shown := path
	if path == "" {
		home, _ := os.UserHomeDir() // without one the search goes up to the root
		if path = findConfig(dir, home, a.warn); path == "" {
			return nil, nil
		}
		shown = shortPath(dir, path)
	}
	file, err := readConfig(path, shown)
	if err != nil {
		return nil, err
	}
	a.warnOfSpiders(file, spider)
	return file, nil
}

// warn says what is likely a mistake, once, and stops nothing.
func (a *app) warn(text string) {
	if slices.Contains(a.warned, text) {
		return
	}
	a.warned = append(a.warned, text)
	fmt.Fprintf(a.stderr, "%s: warning: %s\n", a.program.Name, visible(text))
}

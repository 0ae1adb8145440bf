package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tulle-go/tulle/crawl"
)

func (a *app) shellCommand() *cobra.Command {
	f := &shellFlags{}
	c := &cobra.Command{
		Use:   "shell [URL]",
		Short: "Look at pages, and try selectors on them",
		Long: `shell fetches pages as a crawl does and tries selectors on them: to find out
what to write into a spider. Type help for the commands; a selector or a URL
alone is understood too. Tab completes commands, and what is on the page. Ctrl-C
gives a fetch up, Ctrl-D or quit leaves.

Without a terminal, or with -c, it runs commands without asking: it prints bare
results, one a line, and what it fetched to standard error. It ends with exit
code 1 at the first command that fails.

Lines are remembered from one time to the next, for your eyes only; those that
begin with a space are not.`,
		Example: strings.Join([]string{
			"  " + a.program.Name + " shell https://example.com/",
			"  " + a.program.Name + " shell --spider books https://books.toscrape.com/",
			"  " + a.program.Name + " shell https://example.com/ -c 'css h2 a | attr href'",
			"  " + a.program.Name + " shell page.html < commands.txt",
		}, "\n"),
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("one URL at a time: %s", strings.Join(args, " "))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			f.scripted = c.Flags().Changed("commands")
			return a.shell(c.Context(), strings.Join(args, ""), f)
		},
	}
	f.addFetch(a, c)
	c.Flags().StringArrayVarP(&f.commands, "commands", "c", nil, "run `COMMANDS`, on lines or separated by semicolons; may be repeated")
	c.Flags().BoolVar(&f.keepGoing, "keep-going", false, "go on behind a command that fails; the exit code stays 1")
	return c
}

type shellFlags struct {
	pageFlags
	commands  []string
	scripted  bool // -c was given
	keepGoing bool
}

// A shell is a conversation about pages. One goroutine has it.
type shell struct {
	name        string
	flags       *pageFlags
	session     *session
	spider      *crawl.Spider // whose routes can be tried
	out, notes  io.Writer     // results, and what is said beside them
	paint       paint
	interactive bool // somebody types
	terminal    bool // results go to a terminal
	width       func() int

	page   *page   // nil: none was fetched yet
	behind []*page // those before it, the last one at the end
	last   *selection
	shown  int        // how many matches of it
	named  *pageNames // of a page, for completion
}

// safe is text for where results go: a terminal is not steered by it.
func (s *shell) safe(text string) string {
	if s.terminal {
		return visible(text)
	}
	return text
}

// errQuit ends the shell.
var errQuit = errors.New("quit")

// shell runs commands from a terminal, from -c or from standard input.
func (a *app) shell(ctx context.Context, raw string, f *shellFlags) error {
	typed := !f.scripted && term.IsTerminal(int(os.Stdin.Fd()))
	terminal := typed && isTerminal(a.stdout)
	var signals []os.Signal
	if !typed {
		signals = append(signals, os.Interrupt) // somebody who types gives up a command by it
	}
	ctx, stop := untilStopped(ctx, signals...)
	defer stop()
	session, spider, err := f.open(ctx, a, "shell")
	if err != nil {
		return err
	}
	defer session.close()
	s := &shell{
		name: a.program.Name, flags: &f.pageFlags, session: session, spider: spider, out: a.stdout, notes: a.stderr,
		interactive: typed && onTerminal(a.stdout), terminal: onTerminal(a.stdout), width: func() int { return newScreen(a.stdout, terminal).width() },
	}
	switch {
	case terminal:
		s.paint, s.notes = painter(a.stdout), a.stdout
		return s.converse(ctx, raw, newEditor(os.Stdin, s.out, s.name+"> ", s.paint, s.complete))
	case typed:
		return s.converse(ctx, raw, &plainLines{lines: readLines(ctx, os.Stdin), prompts: s.notes, prompt: s.name + "> "})
	}
	var failed error
	run := func(place, line string) bool {
		err := s.do(ctx, line)
		if err == nil {
			return true
		}
		if errors.Is(err, errQuit) {
			return false
		}
		if place != "" {
			err = fmt.Errorf("%s: %w", place, err)
		}
		if f.keepGoing && ctx.Err() == nil && a.stdout.err == nil && !errors.Is(err, errInterrupted) {
			fmt.Fprintf(a.stderr, "%s: %s\n", s.name, visible(err.Error()))
			failed = &crawlError{errors.New("not all commands worked")}
			return true
		}
		failed = &crawlError{err}
		return false
	}
	if raw != "" && !run("", "fetch "+quotedWord(raw)) {
		return failed
	}
	if f.scripted {
		for _, commands := range f.commands {
			for _, line := range splitCommands(commands) {
				if !run("", line) {
					return failed
				}
			}
		}
		return failed
	}
	lines := readLines(ctx, os.Stdin)
	for n := 1; ; n++ {
		text, err := lines.next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return failed
		case err != nil:
			return &crawlError{err}
		}
		for _, line := range splitCommands(text) {
			if !run(fmt.Sprintf("line %d", n), line) {
				return failed
			}
		}
	}
}

// A lineReader asks for lines. At the end, and when ctx is over, it returns io.EOF.
type lineReader interface {
	line(ctx context.Context, width int) (string, error)
	close()
}

// converse asks for commands on a terminal.
func (s *shell) converse(ctx context.Context, raw string, ed lineReader) error {
	defer ed.close()
	fmt.Fprintf(s.notes, "%s\n", s.paint.dim("help lists the commands, quit leaves"))
	if raw != "" {
		s.say(s.try(ctx, "fetch "+quotedWord(raw)))
	}
	for {
		line, err := ed.line(ctx, s.width())
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			fmt.Fprintln(s.notes)
			return nil
		}
		if err != nil {
			return &crawlError{err}
		}
		for _, command := range splitCommands(line) {
			err := s.try(ctx, command)
			if errors.Is(err, errQuit) {
				return nil
			}
			if s.say(err); err != nil {
				break
			}
		}
		if out, ok := s.out.(*output); ok && out.err != nil {
			return nil // nobody reads the results any more; Run says so
		}
	}
}

// try runs a command that Ctrl-C gives up.
func (s *shell) try(ctx context.Context, line string) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	return s.do(ctx, line)
}

// say tells what went wrong.
func (s *shell) say(err error) {
	if err != nil {
		fmt.Fprintln(s.notes, s.paint.red(visible(err.Error())))
	}
}

// do runs one command.
func (s *shell) do(ctx context.Context, line string) (err error) {
	defer func() {
		if p := recover(); p != nil { // of a library, on a page that it did not expect; or of a route
			err = fmt.Errorf("%s: panic: %v", cut(strings.TrimSpace(line), 40), p)
		}
	}()
	line = strings.TrimSpace(line)
	if line == "" || line == "#" || strings.HasPrefix(line, "# ") {
		return nil
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	if did := fromPython(line); did != "" {
		return fmt.Errorf("this is not Python: %s", did)
	}
	all := s.out
	prints := &results{ctx: ctx, w: all}
	s.out = prints
	defer func() {
		s.out = all
		err = cmp.Or(err, prints.err)
	}()
	var from *selection
	if rest, ok := strings.CutPrefix(line, "|"); ok {
		if from = s.last; from == nil {
			return errors.New("| goes on with the last selection, and there is none")
		}
		line = strings.TrimSpace(rest)
	}
	stages := splitStages(line)
	for i, stage := range stages {
		name, arg := s.understand(stage, from != nil || i > 0)
		c := shellCommandNamed(name)
		if c == nil {
			return s.unknown(stage)
		}
		if c.page && s.page == nil {
			return fmt.Errorf("%s needs a page: fetch URL gets one", name)
		}
		if i > 0 && !c.chain {
			return fmt.Errorf("%s does not go behind a |", name)
		}
		next, err := c.run(s, ctx, from, arg)
		if err = s.checked(err); err != nil {
			if name == "css" {
				err = cmp.Or(notSplit(name, stage), err)
			}
			return pointed(err)
		}
		if next == nil {
			if i < len(stages)-1 {
				return fmt.Errorf("%s selects nothing that | could go on with", name)
			}
			return nil
		}
		if len(next.all) == 0 {
			if err := notSplit(name, stage); err != nil {
				return err
			}
		}
		from = next
	}
	s.last, s.shown = from, 0
	return s.show(ctx, false)
}

// results is where a command prints. It takes nothing more once the command has been given up, or something could not be written.
type results struct {
	ctx context.Context
	w   io.Writer
	err error
}

func (r *results) Write(b []byte) (int, error) {
	const most = 32 << 10 // at a time: a page of many megabytes can be given up on the way
	n := 0
	for r.err == nil && n < len(b) {
		if r.ctx.Err() != nil {
			r.err = errInterrupted
			break
		}
		var m int
		m, r.err = r.w.Write(b[n:min(len(b), n+most)])
		n += m
	}
	return n, r.err
}

// notSplit says that a selector that is wrong, or has no match, holds a | and a word that is no command.
func notSplit(command, stage string) error {
	var word string
	parts := splitBefore(stage, " |", func(rest string) bool {
		first, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
		if word == "" && commandWord.MatchString(first) {
			word = first
		}
		return word != "" && word == first
	})
	if len(parts) < 2 {
		return nil
	}
	near := nearCommand(word, true)
	switch {
	case near != "":
		return fmt.Errorf("there is no command %q to go behind |; did you mean %s?", word, near)
	case command != "css":
		return nil // XPath and patterns have bars of their own
	case shellCommandNamed(word) != nil:
		return fmt.Errorf("%s does not go behind a |", word)
	}
	return fmt.Errorf("there is no command %q to go behind |; help lists the commands", word)
}

// commandWord is what a command could be called.
var commandWord = regexp.MustCompile(`^[a-z]+$`)

// checked adds what the page had to say. The page then forgets it, or every later command would fail with it.
func (s *shell) checked(err error) error {
	if s.page == nil {
		return err
	}
	if own := s.page.Err(); own != nil {
		s.page = &page{Response: copyOf(s.page.Response), Asked: s.page.Asked, Sent: s.page.Sent}
		s.last = nil
		if err == nil {
			err = own
		}
	}
	return err
}

// place is where a selector's error says that something is wrong, leftOver how much of it was not understood.
var (
	place    = regexp.MustCompile(`: at character (\d+): `)
	leftOver = regexp.MustCompile(`: parsing "(?:[^"\\]|\\.)*": (\d+) bytes left over$`)
)

// pointed shows the place in a selector that an error is about.
func pointed(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	begin := strings.IndexByte(text, '"')
	if begin < 0 {
		return err
	}
	written, perr := strconv.QuotedPrefix(text[begin:])
	selector, uerr := strconv.Unquote(written)
	if perr != nil || uerr != nil {
		return err
	}
	what, rest := strings.TrimSpace(text[:begin]), text[begin+len(written):]
	before := -1
	if at := place.FindStringSubmatchIndex(rest); at != nil && at[0] == 0 {
		if n, err := strconv.Atoi(rest[at[2]:at[3]]); err == nil {
			before, rest = n-1, ": "+rest[at[1]:]
		}
	} else if left := leftOver.FindStringSubmatch(rest); left != nil {
		if n, err := strconv.Atoi(left[1]); err == nil {
			before, rest = len(selector)-n, ": cannot go on here"
		}
	}
	if before < 0 || before > len(selector) {
		return err
	}
	return fmt.Errorf("%s%s\n  %s\n  %s^", what, visible(rest), visible(selector), strings.Repeat(" ", utf8.RuneCountInString(selector[:before])))
}

// splitCommands splits lines, and at semicolons before a space.
func splitCommands(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(strings.TrimSpace(line), "# ") {
			continue
		}
		all = append(all, splitBefore(line, ";", func(rest string) bool { return rest == "" || rest[0] == ' ' })...)
	}
	return all
}

// splitStages splits at bars that a command for selections follows: a bar in a selector or a pattern has none behind it.
func splitStages(line string) []string {
	return splitBefore(line, " |", func(rest string) bool {
		word, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
		c := shellCommandNamed(word)
		return c != nil && c.chain
	})
}

// splitBefore splits at sep where ok says so of what follows, outside of quotes that are closed.
func splitBefore(text, sep string, ok func(rest string) bool) []string {
	var parts []string
	begin := 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"' || text[i] == '\'':
			if end := strings.IndexByte(text[i+1:], text[i]); end >= 0 {
				i += end + 1
			}
		case strings.HasPrefix(text[i:], sep) && ok(text[i+len(sep):]):
			parts = append(parts, strings.TrimSpace(text[begin:i]))
			begin = i + len(sep)
		}
	}
	return append(parts, strings.TrimSpace(text[begin:]))
}

// splitWords splits arguments at spaces outside of quotes, which go.
func splitWords(text string) ([]string, error) {
	var words []string
	var b strings.Builder
	var quote rune
	inWord := false
	for _, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			b.WriteRune(r)
		case r == '"' || r == '\'':
			quote, inWord = r, true
		case r == ' ' || r == '\t':
			if inWord {
				words = append(words, b.String())
				b.Reset()
			}
			inWord = false
		default:
			inWord = true
			b.WriteRune(r)
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote %c is not closed", quote)
	}
	if inWord {
		words = append(words, b.String())
	}
	return words, nil
}

// quotedWord is one word for splitWords.
func quotedWord(s string) string {
	if strings.Contains(s, `"`) {
		return "'" + s + "'"
	}
	return `"` + s + `"`
}

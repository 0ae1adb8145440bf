package cmd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// An editor reads lines from a terminal: with a history that lasts, and completion by Tab. The terminal is raw only while a line is typed.
type editor struct {
	in      *os.File
	term    *term.Terminal
	history *history
	width   int // of the terminal, when the line began
}

// candidates are what may stand at the end of a text instead of its last bytes, from on.
type completer func(text string) (from int, candidates []string)

func newEditor(in *os.File, out io.Writer, prompt string, paint paint, complete completer) *editor {
	ed := &editor{in: in, history: openHistory(historyFile(filepath.Base(strings.TrimSuffix(prompt, "> "))))}
	ed.term = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{keys{in}, out}, paint.bold(prompt))
	ed.term.History = ed.history
	ed.term.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		from, all := complete(line[:pos])
		text, shown := completion(line[from:pos], all)
		if shown != nil {
			_, _ = ed.term.Write([]byte(columns(shown, ed.width) + "\n"))
		}
		return line[:from] + text + line[pos:], from + len(text), true
	}
	return ed
}

// line reads one. It returns io.EOF for Ctrl-D on an empty line, and when ctx ends: what waits for keys then ends with the process.
func (ed *editor) line(ctx context.Context, width int) (string, error) {
	old, err := term.MakeRaw(int(ed.in.Fd()))
	if err != nil {
		return "", err
	}
	defer func() { _ = term.Restore(int(ed.in.Fd()), old) }()
	ed.width = width
	_ = ed.term.SetSize(width, 24) // it has no failure that could be mended
	type read struct {
		text string
		err  error
	}
	done := make(chan read, 1)
	go func() {
		text, err := ed.term.ReadLine()
		done <- read{text, err}
	}()
	select {
	case r := <-done:
		if errors.Is(r.err, term.ErrPasteIndicator) { // the line was pasted
			r.err = nil
		}
		return r.text, r.err
	case <-ctx.Done():
		return "", io.EOF
	}
}

func (ed *editor) close() { ed.history.close() }

// lines are those of a file that somebody may be typing into: waiting for one can be given up.
type lines struct {
	texts chan string
	err   error // set before texts is closed
}

// readLines begins to read, until ctx is over. What waits for the file then ends with the process.
func readLines(ctx context.Context, r io.Reader) *lines {
	l := &lines{texts: make(chan string)}
	go func() {
		defer close(l.texts)
		scan := bufio.NewScanner(r)
		scan.Buffer(nil, 1<<20)
		for scan.Scan() {
			select {
			case l.texts <- scan.Text():
			case <-ctx.Done():
				return
			}
		}
		l.err = scan.Err()
	}()
	return l
}

// next waits for a line. It returns io.EOF behind the last one.
func (l *lines) next(ctx context.Context) (string, error) {
	select {
	case text, ok := <-l.texts:
		switch {
		case ok:
			return text, nil
		case l.err != nil:
			return "", fmt.Errorf("standard input: %w", l.err)
		}
		return "", io.EOF
	case <-ctx.Done():
		return "", errInterrupted
	}
}

// plainLines reads lines from a terminal that cannot be drawn on, or whose output goes elsewhere.
type plainLines struct {
	*lines
	prompts io.Writer
	prompt  string
}

// line reads one. Ctrl-C is the end here: the terminal's own editing has no key that would reach the program.
func (p *plainLines) line(ctx context.Context, _ int) (string, error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	_, _ = io.WriteString(p.prompts, p.prompt)
	text, err := p.next(ctx)
	if errors.Is(err, errInterrupted) {
		err = io.EOF
	}
	return text, err
}

func (p *plainLines) close() {}

// keys makes Ctrl-C clear the line: for the terminal's editor it is the end.
type keys struct{ r io.Reader }

func (k keys) Read(p []byte) (int, error) {
	const ctrlC, clearLine = "\x03", "\x05\x15" // to the end, and all before it away
	buf := make([]byte, max(1, len(p)/len(clearLine)))
	n, err := k.r.Read(buf)
	return copy(p, bytes.ReplaceAll(buf[:n], []byte(ctrlC), []byte(clearLine))), err
}

// completion is what a word becomes, and what there is to choose from if it does not get any longer.
func completion(word string, all []string) (text string, shown []string) {
	if len(all) == 0 {
		return word, nil
	}
	common := all[0]
	for _, c := range all[1:] {
		for !strings.HasPrefix(c, common) {
			common = common[:len(common)-1]
		}
	}
	common = strings.ToValidUTF8(common, "")
	if len(all) > 1 && len(common) <= len(word) {
		return word, all
	}
	return common, nil
}

// columns lists words side by side.
func columns(words []string, width int) string {
	const most = 60
	more := ""
	if len(words) > most {
		words, more = words[:most], "\n…"
	}
	widest := 0
	for _, w := range words {
		widest = max(widest, len([]rune(w))+2)
	}
	per := max(1, width/widest)
	var b strings.Builder
	for i, w := range words {
		switch {
		case i > 0 && i%per == 0:
			b.WriteByte('\n')
		case i > 0:
			b.WriteString(strings.Repeat(" ", widest-len([]rune(words[i-1]))))
		}
		b.WriteString(visible(w))
	}
	return b.String() + more
}

// history is the lines of earlier times and of this one, the last ones at the end. It is kept in a file that only its user can read; without one it lasts as long as the
// process.
type history struct {
	lines []string
	file  *os.File // nil: none
}

const maxHistory = 1000

// historyFile is where the lines of a program's shell are kept: in the state folder of the XDG specification where there is one, else in the system's folder for caches.
// "" is nowhere.
func historyFile(program string) string {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, program, "shell-history")
	}
	if runtime.GOOS != "windows" && runtime.GOOS != "darwin" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		return filepath.Join(home, ".local", "state", program, "shell-history")
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, program, "shell-history")
}

// openHistory reads a file. One that cannot be read or made is done without: it is a comfort.
func openHistory(name string) *history {
	h := &history{}
	if name == "" {
		return h
	}
	if b, err := os.ReadFile(name); err == nil {
		lines := bufio.NewScanner(bytes.NewReader(b))
		lines.Buffer(nil, len(b)+1)
		for lines.Scan() {
			h.lines = append(h.lines, lines.Text())
		}
		if len(h.lines) > 2*maxHistory {
			h.lines = h.lines[len(h.lines)-maxHistory:]
			_ = h.rewrite(name) // it is tried again the next time
		}
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err == nil {
		h.file, _ = os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	}
	return h
}

// rewrite replaces the file by what is kept of it.
func (h *history) rewrite(name string) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".shell-history-*") // for its user alone, as CreateTemp makes all
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(h.lines, "\n") + "\n")
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// Add keeps a line, unless it repeats the one before or begins with a space.
func (h *history) Add(line string) {
	if strings.TrimSpace(line) == "" || line[0] == ' ' || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return
	}
	h.lines = append(h.lines, line)
	if h.file != nil {
		_, _ = h.file.WriteString(line + "\n")
	}
}

// Len is the number of lines.
func (h *history) Len() int { return len(h.lines) }

// At is a line; 0 is the last one.
func (h *history) At(i int) string { return h.lines[len(h.lines)-1-i] }

func (h *history) close() {
	if h.file != nil {
		_ = h.file.Close()
	}
}

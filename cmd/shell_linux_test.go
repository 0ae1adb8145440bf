package cmd_test

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/cmd"
)

// typist sits at a terminal.
type typist struct {
	t     *testing.T
	other *os.File

	mu    sync.Mutex
	shown bytes.Buffer // Guarded by mu: since the last look.
	more  chan struct{}
}

func newTypist(t *testing.T, other *os.File) *typist {
	p := &typist{t: t, other: other, more: make(chan struct{}, 1)}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := other.Read(buf)
			if err != nil { // the screen is closed
				return
			}
			p.mu.Lock()
			p.shown.Write(buf[:n])
			p.mu.Unlock()
			select {
			case p.more <- struct{}{}:
			default:
			}
		}
	}()
	return p
}

// types keys, and returns what is shown up to what is waited for.
func (p *typist) types(keys, until string) string {
	p.t.Helper()
	_, err := p.other.WriteString(keys)
	require.NoError(p.t, err)
	limit := time.After(time.Minute)
	for {
		p.mu.Lock()
		text := p.shown.String()
		if i := strings.Index(text, until); i >= 0 {
			p.shown.Next(i + len(until))
			p.mu.Unlock()
			return text[:i+len(until)]
		}
		p.mu.Unlock()
		select {
		case <-p.more:
		case <-limit:
			p.t.Fatalf("typed %q, waited for %q, saw %q", keys, until, text)
		}
	}
}

// converse runs a shell on a terminal until talk is over.
func (l *looked) converse(t *testing.T, talk func(*typist), args ...string) {
	t.Helper()
	screen, other := terminal(t, 80)
	defer other.Close()
	own := os.Stdin
	os.Stdin = screen
	defer func() { os.Stdin = own }()
	p := newTypist(t, other)
	done := make(chan int, 1)
	var stderr bytes.Buffer
	go func() { done <- cmd.Run(t.Context(), l.program, append([]string{"shell"}, args...), screen, &stderr) }()
	talk(p)
	require.Zero(t, <-done)
	require.Empty(t, stderr.String())
	require.NoError(t, screen.Close())
}

const ready = "tulle> "

// TestShellOnTerminal completes, counts, gives a fetch up with Ctrl-C and goes on, and remembers its lines for the next time.
func TestShellOnTerminal(t *testing.T) {
	l := newLooked(t)
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	l.converse(t, func(p *typist) {
		p.types("", ready)
		p.types("fetch "+l.url+"/slow\r", "slow")
		<-l.asked
		require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGINT)) // this terminal is not the one that controls the tests
		p.types("", "interrupted\r\n"+ready)
		<-l.left

		shown := p.types("half a line\x03fetch "+l.url+"/\r", "\n"+ready)
		require.Contains(t, shown, "200 OK  HTML utf-8  ")
		require.NotContains(t, shown, "neither")

		shown = p.types("cs\tli.sa\t\r", "\n"+ready)
		require.Contains(t, shown, "1 match\r\n 1 <li class=\"book sale\"> One €1.50", "%q", shown)
		require.Contains(t, shown, "ul#books > li.book:1\r\n")
		shown = p.types("css #books b\t", "body")
		require.NotContains(t, shown, "\a")
		p.types(".pr\t | re \\d+\r", "4 matches\r\n")
		p.types("", "\n"+ready)
		shown = p.types("he\t", ready+"he")
		require.Contains(t, shown, "headers  help \r\n")
		p.types("\x03\r", ready)

		shown = p.types("css li | extract name=a price=.price re:[\\d.]+\r", "\n"+ready)
		require.Contains(t, shown, "// rows, err := crawl.ExtractAll[Item](r, \"li\")\r\n")
		require.Contains(t, shown, "Price string `css:\".price\" re:\"[\\\\d.]+\" json:\"price\"`\r\n")

		p.types(" text h1\r", "A shelf")
		p.types("", "\n"+ready)
		shown = p.types("fetch "+l.url+"/steer\rh1\r", "red</h1>")
		require.NotContains(t, shown, "\x1b[31mred")
		require.Contains(t, shown, "\ufffd[31mred")
		p.types("", "\n"+ready)
		shown = p.types("css "+"*"+"\r1\r", "</html>\r\n")
		require.Contains(t, shown, "4 matches")
		p.types("", "\n"+ready)
		shown = p.types("css h1..x\r", "\n"+ready)
		require.Contains(t, shown, "\r\n  h1..x\r\n     ^\r\n")
		p.types("\x04", "\r\n")
	})
	file := filepath.Join(state, "tulle", "shell-history")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.Contains(t, read(t, file), "css li.sale\n")
	require.NotContains(t, read(t, file), "text h1", "it begins with a space")

	l.converse(t, func(p *typist) {
		p.types("", "200 OK")
		p.types("", ready)
		p.types("\x1b[A", "css h1..x") // the last line of the other time
		p.types("\x03quit\r", "\r\n")
	}, l.url+"/")
}

// TestShellMore shows ten matches at a time.
func TestShellMore(t *testing.T) {
	l := newLooked(t)
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	l.converse(t, func(p *typist) {
		p.types("", ready)
		shown := p.types("css *\r", "\n"+ready)
		require.Contains(t, shown, "15 matches\r\n")
		require.Contains(t, shown, "\r\n 10 ")
		require.NotContains(t, shown, "\r\n 11 ")
		require.Contains(t, shown, "5 more: more shows the next, all shows all\r\n")
		shown = p.types("more\r", "\n"+ready)
		require.Contains(t, shown, "\r\n 11 ")
		require.Contains(t, shown, "\r\n 15 ")
		require.Contains(t, p.types("more\r", "\n"+ready), "that was all")
		shown = p.types("15\r", "\n"+ready)
		require.Contains(t, shown, "<a class=\"out\" href=\"https://elsewhere.example/\">out</a>\r\n")
		require.Contains(t, shown, "html > body > p > a.out:nth-of-type(2)\r\n")
		shown = p.types("css video\r", "\n"+ready)
		require.Contains(t, shown, "no match\r\n")
		shown = p.types("fetch /scripted\rcss h1\r", "with the browser\r\n")
		require.Contains(t, shown, "the page has 2 scripts and hardly any text")
		p.types("", ready)
		help := p.types("help\r", "says more.\r\n")
		for line := range strings.SplitSeq(help, "\r\n") {
			require.LessOrEqual(t, len(line), 80, line)
		}
		p.types("", ready)
		p.types("quit\r", "quit")
	}, l.url+"/")
}

// TestShellOffersNothingMadeUp: what Tab puts into the line, or shows, neither steers the terminal nor becomes another command.
func TestShellOffersNothingMadeUp(t *testing.T) {
	l := newLooked(t)
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	l.converse(t, func(p *typist) {
		p.types("", ready)
		for _, typed := range []string{"fetch /\t", "css #\t", "css x\t"} {
			shown := p.types(typed+" end", " end")
			require.NotContains(t, shown, "[31m", typed)
			require.NotContains(t, shown, "\u009b", typed)
			require.NotContains(t, shown, "quit", typed)
			p.types("\x03\r", ready)
		}
		shown := p.types(".c\r1\r", "\n"+ready) + p.types("", "\n"+ready)
		require.Contains(t, shown, "x\ufffd[31m")
		require.NotContains(t, shown, "\x1b[31m")
		p.types("fetch /made-up.json\r", "\n"+ready)
		shown = p.types("json no\r", "\n"+ready)
		require.Contains(t, shown, "at the top are: \ufffd[31mred\r\n")
		p.types("quit\r", "quit")
	}, l.url+"/made-up")
}

// TestShellPaste runs the lines that are pasted.
func TestShellPaste(t *testing.T) {
	l := newLooked(t)
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	l.converse(t, func(p *typist) {
		p.types("", "200 OK")
		p.types("", ready)
		p.types("\x1b[200~css h1\rtext h1\r\x1b[201~", "1 match\r\n")
		p.types("", "1 match\r\n")
		p.types("quit\r", "quit")
	}, l.url+"/")
}

// TestShellOnDumbTerminal asks too, and goes on behind a mistake.
func TestShellOnDumbTerminal(t *testing.T) {
	l := newLooked(t)
	t.Setenv("TERM", "dumb")
	screen, other := terminal(t, 80)
	defer other.Close()
	own := os.Stdin
	os.Stdin = screen
	defer func() { os.Stdin = own }()
	p := newTypist(t, other)
	done := make(chan int, 1)
	go func() { done <- cmd.Run(t.Context(), l.program, []string{"shell", l.url + "/"}, screen, screen) }()
	p.types("", ready)
	p.types("folow\n", "did you mean follow?\r\n"+ready)
	shown := p.types("css li a\n", ready)
	require.Contains(t, shown, "2 matches\r\n")
	require.NotContains(t, shown, "\x1b")
	p.types("fetch /steer\n", ready)
	require.Contains(t, p.types("h1\n", ready), "\ufffd[31mred")
	p.types("fetch /slow\n", "slow")
	<-l.asked
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGINT))
	p.types("", "interrupted\r\n"+ready)
	p.types("quit\n", "quit")
	require.Zero(t, <-done)
	require.NoError(t, screen.Close())
}

// TestShellScriptInterrupted cleans up behind Ctrl-C, and when its terminal goes away.
func TestShellScriptInterrupted(t *testing.T) {
	t.Parallel()
	l := newLooked(t)
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGHUP} {
		if signal.Ignored(sig) { // by nohup, as it is meant
			continue
		}
		for _, args := range [][]string{{"-c", "fetch /slow"}, nil} {
			dir := t.TempDir()
			c := exec.CommandContext(t.Context(), os.Args[0], append([]string{"shell", "--no-config", l.url + "/big"}, args...)...)
			c.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+dir)
			_, err := c.StdinPipe() // open until Wait
			require.NoError(t, err)
			stderr, err := c.StderrPipe()
			require.NoError(t, err)
			require.NoError(t, c.Start())
			said := bufio.NewReader(stderr)
			line, err := said.ReadString('\n') // it has the page
			require.NoError(t, err)
			require.Contains(t, line, "200 OK")
			require.NotEmpty(t, entries(t, dir))
			if args != nil {
				<-l.asked
			}
			require.NoError(t, c.Process.Signal(sig))
			rest, err := io.ReadAll(said)
			require.NoError(t, err)
			require.Error(t, c.Wait())
			require.Equal(t, 1, c.ProcessState.ExitCode())
			require.Equal(t, "tulle: interrupted\n", string(rest))
			require.Empty(t, entries(t, dir))
		}
	}
}

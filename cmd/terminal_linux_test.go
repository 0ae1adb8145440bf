package cmd_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/cmd"
	"github.com/tulle-go/tulle/crawl"
)

// terminal opens a pseudo-terminal of some columns. What is written to it can be read from the other end.
func terminal(t *testing.T, columns uint16) (screen, other *os.File) {
	t.Helper()
	fd, err := syscall.Open("/dev/ptmx", syscall.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	other = os.NewFile(uintptr(fd), "/dev/ptmx")
	var unlocked, number uint32
	size := [4]uint16{24, columns}
	ioctl := func(request uintptr, arg unsafe.Pointer) {
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
		require.Zero(t, errno)
	}
	ioctl(syscall.TIOCSPTLCK, unsafe.Pointer(&unlocked))
	ioctl(syscall.TIOCGPTN, unsafe.Pointer(&number))
	ioctl(syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	return screen, other
}

// TestTerminal shows a live line that never wraps, items and warnings above it, and the table when it is gone.
func TestTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	screen, other := terminal(t, 40)
	defer other.Close()
	shown := make(chan string)
	go func() {
		var all bytes.Buffer
		_, _ = io.Copy(&all, other) // until the screen is closed: then reading fails
		shown <- all.String()
	}()
	slow := func(map[string]string) (*crawl.Spider, error) {
		return &crawl.Spider{StartURLs: []string{"data:,1"}, Parse: func(ctx context.Context, _ *crawl.Response, out *crawl.Out) error {
			time.Sleep(300 * time.Millisecond) // the line is drawn every 200 ms
			out.Item(map[string]any{"n": 1})
			time.Sleep(300 * time.Millisecond)
			return nil
		}}, nil
	}
	p := cmd.Program{Spiders: map[string]func(map[string]string) (*crawl.Spider, error){"slow": slow}}
	file := filepath.Join(t.TempDir(), "f.csv")
	code := cmd.Run(t.Context(), p, []string{"crawl", "slow", "-O", file, "-O", "-", "-s", "images.store="}, screen, screen)
	require.NoError(t, screen.Close())
	text := <-shown
	require.Zero(t, code, text)

	const erase = "\r\x1b[K"
	running, table, ok := strings.Cut(text, "Finished in ")
	require.True(t, ok, "%q", text)
	require.NotContains(t, table, "\x1b")
	require.NotContains(t, running, "INFO", "the line says it")
	require.Contains(t, running, erase+"{\"n\":1}\r\n", "%q", running)
	require.Contains(t, running, "1 page · 0 items · ", "%q", running)
	for line := range strings.SplitSeq(running, erase) {
		require.LessOrEqual(t, utf8.RuneCountInString(line[strings.LastIndexByte(line, '\n')+1:]), 39, "%q", line)
	}
	require.True(t, strings.HasSuffix(running, erase+"\r\n"), "%q", running)
}

// onScreen runs a command line on a terminal, and returns what is seen.
func (l *looked) onScreen(t *testing.T, args ...string) (code int, seen string) {
	t.Helper()
	screen, other := terminal(t, 80)
	defer other.Close()
	shown := make(chan string)
	go func() {
		var all bytes.Buffer
		_, _ = io.Copy(&all, other) // until the screen is closed: then reading fails
		shown <- all.String()
	}()
	var stderr bytes.Buffer
	code = cmd.Run(t.Context(), l.program, append(args, "--no-config"), screen, &stderr)
	require.NoError(t, screen.Close())
	return code, <-shown + stderr.String()
}

// TestColours are the program's own, and whole.
func TestColours(t *testing.T) {
	l := newLooked(t)
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	code, seen := l.onScreen(t, "parse", "--spider", "shelf", "-r", "book", l.url+"/book/1")
	require.Zero(t, code, seen)
	require.True(t, strings.HasPrefix(seen, "\x1b[1m"+l.url+"/book/1 book\x1b[0m  \x1b[32m200 OK\x1b[0m  HTML\r\n"), "%q", seen)
	require.Contains(t, seen, "\x1b[34m\"title\"\x1b[0m: \x1b[32m\"One\"\x1b[0m")
	require.NotContains(t, seen, "\ufffd")
}

// TestFetchOnTerminal shows text, and no bytes that would steer the terminal.
func TestFetchOnTerminal(t *testing.T) {
	l := newLooked(t)
	t.Setenv("TERM", "dumb") // it is one that is seen all the same
	code, seen := l.onScreen(t, "fetch", l.url+"/steer")
	require.Zero(t, code)
	require.Equal(t, "<h1>\ufffd[31mred</h1>", seen)
	code, seen = l.onScreen(t, "fetch", l.url+"/latin")
	require.Zero(t, code)
	require.Contains(t, seen, "<h1>café</h1>")
	code, seen = l.onScreen(t, "fetch", l.url+"/run.bat")
	require.Equal(t, 1, code)
	require.Equal(t, "tulle: fetch: the page is binary, 4 B: -o FILE keeps it, -o - prints it all the same\n", seen)
	code, seen = l.onScreen(t, "fetch", "-o", "-", l.url+"/run.bat")
	require.Zero(t, code)
	require.Contains(t, seen, "MZ\x00\x00")
}

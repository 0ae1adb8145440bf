// Package testserver starts the servers that stores are tested against. They are programs of their own, built from the module in .ci: nothing of them is linked here.
package testserver

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Start runs the program that the environment variable names and returns the address that it listens on, once it does. args are its arguments, given host and port.
// It ends with the test. Without the variable the test is skipped; pkg says how to build the program.
func Start(t *testing.T, variable, pkg string, args func(host, port string) []string) string {
	t.Helper()
	program := os.Getenv(variable)
	if program == "" {
		t.Skipf("no server: go build -modfile=.ci/go.mod -o FILE %s, and set %s=FILE", pkg, variable)
	}
	addr := freeAddress(t)
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	var said output
	cmd := exec.Command(program, args(host, port)...)
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	var how error // Set when ended is closed.
	go func() {
		defer close(ended)
		how = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", program, said.last(4096))
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			require.NoError(t, conn.Close())
			return addr
		}
		select {
		case <-ended:
			require.FailNow(t, "the server ended", "%v\n%s", how, said.last(4096))
		case <-ctx.Done():
			require.FailNow(t, "the server does not listen", "%s\n%s", addr, said.last(4096))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freeAddress is one at which nobody listens right now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return "127.0.0.1:" + strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// output keeps what a program says.
type output struct {
	mu   sync.Mutex
	text []byte // Guarded by mu.
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	return len(p), nil
}

func (o *output) last(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text[max(0, len(o.text)-n):])
}

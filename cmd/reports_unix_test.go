//go:build unix

package cmd_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReports asks a crawl what it does, which goes on.
func TestReports(t *testing.T) {
	t.Parallel()
	c := start(t, nil, "crawl", "endless", "-O", "f.jsonl")
	c.until("f.jsonl", 20_000)
	for i, sig := range []os.Signal{syscall.SIGUSR1, syscall.SIGUSR2} {
		require.NoError(t, c.Process.Signal(sig))
		c.until("f.jsonl", int64(20_000+(i+1)*200_000)) // it goes on, and has had the time to answer
	}
	require.NoError(t, c.Process.Signal(os.Interrupt))
	require.Zero(t, c.exit(), c.stderr.String())
	require.Regexp(t, `(?s)endless: running for .*\nqueue .*\ndownloads .*endless: running for .*goroutine \d+ \[`, c.stderr.String())
}

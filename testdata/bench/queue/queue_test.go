package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// The children that the tests start are the test binary itself.
func TestMain(m *testing.M) {
	if isChild(os.Args) {
		os.Exit(childMain(os.Stdin, os.Stdout, os.Stderr))
	}
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// Every stage runs, small. The children count what waits and what was seen, and fail if that is not what it must be.
func TestEveryStage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	args := []string{"-queued", "2000", "-hosts", "200", "-seen", "10000", "-pages", "100", "-dir", dir, "-profile", dir + "/profiles", "-markdown"}
	require.Equal(t, 0, run(t.Context(), args, &stdout, &stderr), stderr.String())
	for _, want := range []string{
		"| 200 | 200 |", "| 2,000 | 2,000 |", "| 2,000 | a kill |", "| 2,000 | last |", "\n| 10,000 |",
		"resident memory does not grow with the queue: not judged", "Printed by `go run ./queue -hosts 200 -pages 100 -queued 2000 -seen 10000 -markdown`",
	} {
		require.Contains(t, stdout.String(), want)
	}
	require.FileExists(t, dir+"/profiles/00-push.cpu.pprof")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1, "the jobs are gone")
}

func TestSomeStages(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	args := []string{"-seen", "1000", "-stages", "seen", "-dir", t.TempDir()}
	require.Equal(t, 0, run(t.Context(), args, &stdout, &stderr), stderr.String())
	require.True(t, strings.HasPrefix(stdout.String(), "seen: 20 links a change\n"), stdout.String())
	require.NotContains(t, stdout.String(), "with the queue")
}

func TestBadCommandLine(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"too few queued": {[]string{"-queued", "100"}, "-queued must be at least 200"},
		"no hosts":       {[]string{"-hosts", "0"}, "the others 1"},
		"unknown stage":  {[]string{"-stages", "push,pull"}, `unknown stage "pull": there are push, open, lease, seen`},
		"argument":       {[]string{"push"}, `unexpected argument "push"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			require.Equal(t, 2, run(t.Context(), tt.args, &stdout, &stderr))
			require.Contains(t, stderr.String(), tt.want)
			require.Empty(t, stdout.String())
		})
	}
}

func TestQuickGivesWayToFlags(t *testing.T) {
	t.Parallel()
	opts, err := parseArgs([]string{"-quick", "-hosts", "7"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, 100_000, opts.queued)
	require.Equal(t, 7, opts.hosts)
	require.Equal(t, "go run ./queue -hosts 7 -quick", opts.command)
}

func TestAStageThatFails(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, stageMain(strings.NewReader(`{"stage": "pull"}`), io.Discard), `unknown stage "pull"`)
	file := t.TempDir() + "/file"
	require.NoError(t, os.WriteFile(file, []byte("no job"), 0o600))
	require.ErrorContains(t, stageMain(strings.NewReader(`{"stage": "open", "dir": "`+file+`"}`), io.Discard), "stage open: ")
}

func TestLinks(t *testing.T) {
	t.Parallel()
	const n, hosts = 20_000, 200
	known := make(map[string]bool)
	byHost := make([]int, hosts)
	for i := range n {
		address := string(appendURL(nil, i, hosts))
		require.InDelta(t, 91, len(address), 9, address)
		known[address] = true
		byHost[hostOf(i, hosts)]++
	}
	require.Len(t, known, n, "no two are the same")
	big := byHost[0] + byHost[1]
	require.InDelta(t, n/2, big, n/50, "one host in a hundred has half of all")
	require.Equal(t, 0, hostOf(5, 1))
}

func TestPagesComeInOrder(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	list := pages(ctx, 10, -1, inOrder(100))
	for i := range 10 {
		p := <-list
		require.NoError(t, p.err)
		require.Len(t, p.push, pageLinks)
		for place := range p.push {
			want, err := pushOf(100+i*pageLinks+place, 10)
			require.NoError(t, err)
			want.Priority = -1
			require.Equal(t, want, p.push[place])
		}
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	opts := options{queued: 10_000_000, seen: 50_000_000}
	of := func(stage string, size, at int, peak int64, took float64) report {
		return report{Stage: stage, Size: size, At: at, Took: took, Memory: memory{Peak: peak << 20}}
	}
	reports := []report{
		of("push", 1_000_000, 1_000_000, 200, 0), of("push", 10_000_000, 10_000_000, 210, 0),
		of("open", 10_000_000, 10_000_000, 150, 2.5),
		of("seen", 50_000_000, 10_000_000, 100, 0), of("seen", 50_000_000, 50_000_000, 200, 0),
	}
	require.Equal(t, []string{
		"resident memory does not grow with the queue: holds (peaks, push: 200 MiB with 1,000,000, 210 MiB with 10,000,000)",
		"resident memory does not grow with the fingerprints: FAILS (peaks: 100 MiB with 10,000,000, 200 MiB with 50,000,000)",
		"opening a job with 10,000,000 queued takes seconds: holds (2.5 s)",
	}, opts.verdicts(reports))
	reports[1].Memory.Peak = 300 << 20
	reports[2].Took = 60
	require.Contains(t, opts.verdicts(reports)[0], "FAILS")
	require.Contains(t, opts.verdicts(reports)[2], "FAILS (60.0 s)")
	require.Empty(t, opts.verdicts(nil))
}

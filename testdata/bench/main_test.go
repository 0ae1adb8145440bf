package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// The children that the tests start are the test binary itself, so that with -race contestants and server are checked too.
func TestMain(m *testing.M) {
	if isChild(os.Args) {
		os.Exit(childMain(os.Args[1], os.Stdin, os.Stdout, os.Stderr))
	}
	// The race detector lets a process sleep for a second when it ends, and there are many here.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func TestBadCommandLine(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"unknown case":       {[]string{"-case", "flat,fast"}, `unknown case "fast": there are ` + strings.Join(caseNames(), ", ")},
		"unknown contestant": {[]string{"-contestants", "wget"}, `unknown contestant "wget": there are `},
		"argument":           {[]string{"flat"}, `unexpected argument "flat"`},
		"negative rounds":    {[]string{"-runs", "-1"}, "must not be negative"},
		"negative size":      {[]string{"-n", "-1"}, "must not be negative"},
		"unknown flag":       {[]string{"-fast"}, "not defined: -fast"},
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

func TestCommandLeavesOutPlacesAndForm(t *testing.T) {
	t.Parallel()
	opts, format, err := parseArgs([]string{"-case", "slow", "-runs", "3", "-quick", "-markdown", "-profile", "/p", "-scrapy-python", "/venv/bin/python"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "markdown", format)
	require.Equal(t, "go run . -case slow -quick -runs 3 -scrapy-python python3", opts.command)
	require.Equal(t, 3, opts.runs)
	opts, _, err = parseArgs([]string{"-quick"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "go run . -quick", opts.command)
	require.Equal(t, 1, opts.runs, "quick is one round unless more are asked for")
}

// Every case runs with every contestant, small, and nobody may do it wrong, but that Colly may fetch a page twice: between its
// question whether an address was visited and its note that it was, another goroutine may ask. And Scrapy, since it turns pictures upright by their EXIF, encodes again
// those that are upright.
func TestEveryCaseWithEveryContestant(t *testing.T) {
	t.Parallel()
	for _, c := range allCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			opts := options{
				cases: []benchCase{c}, contestants: allContestants(), n: c.tiny, runs: 1, gogc: "400", gomemlimit: "off",
				scrapyPython: os.Getenv("TULLE_TEST_SCRAPY"),
			}
			results, err := bench(t.Context(), opts, io.Discard)
			require.NoError(t, err)
			require.Len(t, results, 1)
			ran := map[string]bool{}
			for _, o := range results[0].outcomes {
				ran[o.Job.Contestant] = true
				switch o.Job.Contestant {
				case "colly":
					o.Faults = withoutFault(o.Faults, "fetched twice")
				case "scrapy":
					o.Faults = withoutFault(o.Faults, "are not what was sent")
				}
				require.Empty(t, o.Faults, o.Job.Contestant)
				require.Equal(t, c.tiny, o.Job.N)
				require.Positive(t, o.Report.Requests, o.Job.Contestant)
				require.Positive(t, o.wall(), o.Job.Contestant)
				require.Positive(t, o.Result.CPU, o.Job.Contestant)
				require.Positive(t, o.Result.PeakRSS, o.Job.Contestant)
				if c.entries[o.Job.Contestant] != nil {
					require.Positive(t, o.Result.Goroutines, o.Job.Contestant)
					require.Positive(t, o.Result.Allocs, o.Job.Contestant)
				}
				switch c.name {
				case "slow":
					require.Positive(t, o.Report.Marked, o.Job.Contestant)
				case "pending":
					require.Positive(t, o.Result.Pending, o.Job.Contestant)
				}
			}
			for _, who := range allContestants() {
				noted := slices.ContainsFunc(results[0].notes, func(note string) bool {
					return strings.HasPrefix(note, who.label+" has no part") || strings.HasPrefix(note, who.label+" does not take part")
				})
				require.NotEqual(t, ran[who.name], noted, "%s: who is not measured has a note", who.name)
			}
		})
	}
}

func withoutFault(faults []string, suffix string) []string {
	var rest []string
	for _, f := range faults {
		if !strings.HasSuffix(f, suffix) {
			rest = append(rest, f)
		}
	}
	return rest
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	args := []string{"-case", "flat", "-n", "100", "-runs", "2", "-c", "4", "-contestants", "bare,scrapy"}

	t.Run("text", func(t *testing.T) {
		t.Parallel()
		var stdout, stderr bytes.Buffer
		require.Equal(t, 0, run(t.Context(), args, &stdout, &stderr), stderr.String())
		require.Contains(t, stdout.String(), "flat: 100 distinct URLs")
		require.Contains(t, stdout.String(), "(Scrapy does not take part: -scrapy-python names no interpreter)")
		require.Contains(t, stdout.String(), "go run . -c 4 -case flat -contestants bare,scrapy -n 100 -runs 2\n")
		require.Contains(t, stderr.String(), "flat, round 2 of 2, bare: ")
	})
	t.Run("markdown", func(t *testing.T) {
		t.Parallel()
		var stdout, stderr bytes.Buffer
		require.Equal(t, 0, run(t.Context(), append(args, "-markdown"), &stdout, &stderr), stderr.String())
		require.Contains(t, stdout.String(), "| contestant | pages/s |")
		require.Contains(t, stdout.String(), "-runs 2 -markdown` in `testdata/bench`: medians of 2 rounds")
	})
	t.Run("json", func(t *testing.T) {
		t.Parallel()
		profiles := t.TempDir()
		var stdout, stderr bytes.Buffer
		require.Equal(t, 0, run(t.Context(), append(args, "-json", "-profile", profiles), &stdout, &stderr), stderr.String())
		dec := json.NewDecoder(&stdout)
		for round := 1; round <= 2; round++ {
			var o outcome
			require.NoError(t, dec.Decode(&o))
			require.Equal(t, round, o.Round)
			require.Equal(t, "bare", o.Job.Contestant)
			require.Equal(t, 4, o.Job.Concurrency)
			require.Equal(t, int64(100), o.Result.Pages)
			require.Equal(t, 100, o.Report.Pages)
		}
		require.ErrorIs(t, dec.Decode(new(outcome)), io.EOF)
		require.FileExists(t, profiles+"/flat-bare.cpu.pprof")
		require.FileExists(t, profiles+"/flat-bare.allocs.pprof")
	})
}

func TestAContestantThatFails(t *testing.T) {
	t.Parallel()
	var stdout bytes.Buffer
	err := contestMain(strings.NewReader(`{"case": "flat", "contestant": "scrapy"}`), &stdout)
	require.ErrorContains(t, err, "scrapy has no part in flat")
	err = contestMain(strings.NewReader(`{"case": "none", "contestant": "bare"}`), &stdout)
	require.ErrorContains(t, err, `unknown case "none"`)
	err = contestMain(strings.NewReader(`{"case": "flat", "contestant": "bare", "n": 1, "concurrency": 1, "addr": "127.0.0.1:1"}`), &stdout)
	require.ErrorContains(t, err, "bare in flat: ")
	require.Empty(t, stdout.String())

	cause := errors.New("no luck")
	_, err = measure(func(*meter) error { return cause })
	require.ErrorIs(t, err, cause)
}

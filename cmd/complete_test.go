package cmd_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// offers are what Tab offers, without descriptions and the last line.
func offers(t *testing.T, args ...string) []string {
	t.Helper()
	code, stdout, _ := runAny(t, append([]string{"__complete"}, args...)...)
	require.Zero(t, code)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	var list []string
	for _, line := range lines[:len(lines)-1] {
		name, _, _ := strings.Cut(line, "\t")
		list = append(list, name)
	}
	return list
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	require.Subset(t, offers(t, ""), []string{"bench", "check", "completion", "crawl", "genspider", "job", "list", "settings", "startproject", "version"})
	require.Equal(t, []string{"stuck"}, offers(t, "crawl", "st"))
	require.Empty(t, offers(t, "crawl", "shop", ""))
	require.Contains(t, offers(t, "check", "shop", ""), "tiny")
	require.Equal(t, []string{"images.thumbs="}, offers(t, "crawl", "-s", "images.thumb"))
	require.Equal(t, []string{"images.thumbs="}, offers(t, "settings", "--set", "images.thumb"))
	require.Equal(t, []string{"robots.ignore=true", "robots.ignore=false"}, offers(t, "crawl", "shop", "-s", "robots.ignore="))
	require.Equal(t, []string{"images.thumbs"}, offers(t, "settings", "shop", "images.thumb"))
	require.Equal(t, []string{"x:csv", "x:json", "x:jsonl", "x:xml"}, offers(t, "crawl", "shop", "-O", "x:"))
	require.Equal(t, []string{"debug", "info", "warn", "error"}, offers(t, "crawl", "--log-level", ""))
	require.Equal(t, []string{"bash", "zsh", "fish", "powershell"}, offers(t, "completion", ""))
	require.Contains(t, offers(t, "genspider", "-t", ""), "sitemap")
	require.Equal(t, []string{"--json"}, offers(t, "list", "--j"))
	require.Contains(t, offers(t, "help", "cr"), "crawl")
	_, stdout, _ := runAny(t, "__complete", "fetch", "--")
	require.Contains(t, stdout, "--output\twrite the body to FILE\n", "without the quotes that are pflag's")
}

// TestCompletionScripts are what the shells understand, where they are installed.
func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		code, stdout, stderr := runAny(t, "completion", shell)
		require.Zero(t, code, stderr)
		require.Contains(t, stdout, "__complete")
		program, err := exec.LookPath(shell)
		if err != nil || shell == "powershell" {
			continue
		}
		c := exec.CommandContext(t.Context(), program, "-n")
		c.Stdin = strings.NewReader(stdout)
		out, err := c.CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

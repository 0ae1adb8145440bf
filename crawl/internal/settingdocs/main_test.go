package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCurrent fails when a comment in settings.go has changed and the table has not: run go generate in crawl.
func TestCurrent(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("../../settings.go")
	require.NoError(t, err)
	want, err := table(src)
	require.NoError(t, err)
	got, err := os.ReadFile("../../settingdocs.go")
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "settingdocs.go is out of date: run go generate ./crawl")
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	require.Equal(t, "Times is how often. See Policies.", oneLine("Times is how often.\nSee [Policies].\n"))
}

func TestBadSource(t *testing.T) {
	t.Parallel()
	_, err := table([]byte("package"))
	require.Error(t, err)
	require.ErrorContains(t, run("missing.go", t.TempDir()+"/out.go"), "missing.go")
}

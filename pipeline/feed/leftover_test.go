package feed

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// TestLeftovers are removed a day after their crawl was killed. What lives, is of another machine, is young, or is kept for the user stays.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	env, b, temp, _ := remoteEnv(t)
	ended := exec.Command(os.Args[0], "-test.run=^$")
	require.NoError(t, ended.Run())
	pid := ended.ProcessState.Pid()
	old := time.Now().Add(-leftAfter - time.Minute)
	for name, c := range map[string]struct {
		owner string
		then  time.Time
	}{
		spoolPrefix + "dead": {ownerText(pid), old}, spoolPrefix + "young": {ownerText(pid), time.Now()},
		spoolPrefix + "elsewhere": {fmt.Sprintf("%d another-machine", pid), old}, spoolPrefix + "kept": {"", old}, spoolPrefix + "odd": {"x", old},
		spoolPrefix + "group": {ownerText(-pid), old}, spoolPrefix + "long": {ownerText(pid) + strings.Repeat(" ", 2000), old}, "dead": {ownerText(pid), old},
	} {
		folder := filepath.Join(temp, name)
		require.NoError(t, os.Mkdir(folder, 0o700))
		for file, text := range map[string]string{ownerFile: c.owner, "f.jsonl": lampJSON} {
			if text != "" {
				require.NoError(t, os.WriteFile(filepath.Join(folder, file), []byte(text), 0o600))
				require.NoError(t, os.Chtimes(filepath.Join(folder, file), c.then, c.then))
			}
		}
	}
	lives, owner, err := ownSpool(temp)
	require.NoError(t, err)
	defer owner.Close()
	require.NoError(t, os.Chtimes(filepath.Join(lives, ownerFile), old, old))
	before := files(t, temp)
	require.NoError(t, start(t, env, crawl.Feed{URI: filepath.Join(t.TempDir(), "f.jsonl")}).Close())
	require.Equal(t, before, files(t, temp), "a crawl that has nothing there does not look")
	s := start(t, env, crawl.Feed{URI: "s3://bucket/f.jsonl"})
	owned, err := filepath.Glob(filepath.Join(temp, spoolPrefix+"*", "f.jsonl"))
	require.NoError(t, err)
	require.Len(t, owned, 7, "with its own")
	write(t, s, lamp)
	require.NoError(t, s.Close())
	left := slices.DeleteFunc(before, func(name string) bool { return strings.HasPrefix(name, spoolPrefix+"dead") })
	require.Equal(t, left, files(t, temp))
	require.Equal(t, lampJSON+"\n", b.text(t, "f.jsonl"))
}

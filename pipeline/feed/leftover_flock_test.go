//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package feed

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// TestHeldByNoNumber is the folder of a process that lives, and that has the number of one that has ended: they are in two containers. It goes when nobody holds it.
func TestHeldByNoNumber(t *testing.T) {
	t.Parallel()
	folder, owner, err := ownSpool(t.TempDir())
	require.NoError(t, err)
	name := filepath.Join(folder, ownerFile)
	const nobody = 1 << 30
	require.NoError(t, os.WriteFile(name, []byte(ownerText(nobody)), 0o600))
	later := time.Now().Add(leftAfter + time.Hour)
	removed, err := removeLeft(folder, later)
	require.NoError(t, err)
	require.False(t, removed)
	require.FileExists(t, name)

	require.NoError(t, owner.Close())
	require.NoError(t, os.WriteFile(name, []byte(ownerText(os.Getpid())), 0o600), "a number that is in use now says nothing either")
	removed, err = removeLeft(folder, later)
	require.NoError(t, err)
	require.True(t, removed)
	require.NoDirExists(t, folder)
}

// TestLeftPipe holds nobody up.
func TestLeftPipe(t *testing.T) {
	t.Parallel()
	env, _, temp, _ := remoteEnv(t)
	folder := filepath.Join(temp, spoolPrefix+"pipe")
	require.NoError(t, os.Mkdir(folder, 0o700))
	pipe := filepath.Join(folder, ownerFile)
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	// Opened for reading and writing it would give nothing, and never end: it has both ends then.
	s := start(t, env, crawl.Feed{URI: "s3://bucket/f.jsonl"})
	require.NoError(t, s.Close())
	require.DirExists(t, folder)
}

// TestLeftOfOthers is what another user has left: root may remove it, and does not.
func TestLeftOfOthers(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	for _, given := range []string{".", ownerFile} {
		folder, owner, err := ownSpool(t.TempDir())
		require.NoError(t, err)
		require.NoError(t, owner.Close())
		require.NoError(t, os.Lchown(filepath.Join(folder, given), 12345, 12345))
		removed, err := removeLeft(folder, time.Now().Add(leftAfter+time.Hour))
		require.NoError(t, err)
		require.False(t, removed, given)
		require.DirExists(t, folder)
	}
}

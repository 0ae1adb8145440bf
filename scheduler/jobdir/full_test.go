package jobdir

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// smallDisk is a disk of 32 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("a disk of 32 MiB can only be mounted by root on Linux")
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("no disk of 32 MiB can be mounted here: %s", out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
	})
	return dir
}

// noise is what no compression makes smaller.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = crand.Read(b)
	return b
}

func TestFullDiskIsSeenInTime(t *testing.T) {
	disk := smallDisk(t)
	dir := filepath.Join(disk, "job")
	opts := crawl.SchedulerOptions{Job: crawl.JobOptions{MinFree: 8 << 20, Memory: 16 << 20}}
	s, err := Open(t.Context(), dir, opts)
	require.NoError(t, err)
	n := 0
	for full := false; !full; n++ {
		var tx crawl.Tx
		req := page(n)
		req.Body = noise(16 << 10)
		p, err := crawl.NewPush(1, req)
		require.NoError(t, err)
		tx.Push = []crawl.Push{p}
		full = commit(t, s, tx).Full
		time.Sleep(100 * time.Microsecond)
	}
	require.Greater(t, n, 100)
	for range 50 { // what is in flight is kept too
		push(t, s, page(n))
		n++
	}
	require.NoError(t, s.Close(t.Context()))

	other := filepath.Join(disk, "other")
	require.NoError(t, os.WriteFile(other, noise(12<<20), 0o600))
	_, err = Open(t.Context(), dir, opts)
	require.ErrorIs(t, err, crawl.ErrDiskFull)
	require.ErrorContains(t, err, "make room, or set it lower")
	require.NoError(t, os.Remove(other))
	s, err = Open(t.Context(), dir, opts)
	require.NoError(t, err)
	require.Equal(t, n, s.Counts().Queued)
	require.NoError(t, s.Close(t.Context()))
}

// TestFullDisk runs into the wall: nothing is reserved. The crawl is another process, for a store that is given up is not closed.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t)
	dir := filepath.Join(disk, "job")
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), fillEnv+"="+dir)
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	var durable int
	_, err = fmt.Sscanf(string(out), "durable %d", &durable)
	require.NoError(t, err, "%s", out)

	out, err = exec.CommandContext(t.Context(), "mount", "-o", "remount,size=256m", disk).CombinedOutput()
	require.NoError(t, err, "%s", out)
	s, err := Open(t.Context(), dir, crawl.SchedulerOptions{Job: crawl.JobOptions{MinFree: -1}})
	require.NoError(t, err)
	t.Logf("%d were durable, %d are there", durable, s.Counts().Queued)
	require.GreaterOrEqual(t, s.Counts().Queued, durable)
	require.Greater(t, durable, 0)
	require.NoError(t, s.Close(t.Context()))
}

const fillEnv = "JOBDIR_TEST_FILL"

// fill queues until the disk is full, and prints how many were durable before.
func fill(dir string) error {
	ctx := context.Background()
	s, err := Open(ctx, dir, crawl.SchedulerOptions{Job: crawl.JobOptions{MinFree: -1, Memory: 16 << 20}})
	if err != nil {
		return err
	}
	durable := 0
	for n := 0; err == nil; n++ {
		req := page(n)
		req.Body = noise(16 << 10)
		p, perr := crawl.NewPush(1, req)
		if perr != nil {
			return perr
		}
		done := make(chan error, 1)
		s.Commit(&crawl.Tx{Push: []crawl.Push{p}}, func(_ crawl.Committed, err error) { done <- err })
		if err = <-done; err == nil && n%100 == 0 {
			sync := make(chan error, 1)
			s.(*Scheduler).com.send(op{sync: sync})
			if <-sync == nil {
				durable = n + 1
			}
		}
	}
	fmt.Println("durable", durable)
	if !errors.Is(err, crawl.ErrDiskFull) {
		return fmt.Errorf("no full disk: %w", err)
	}
	if err := s.Close(ctx); !errors.Is(err, crawl.ErrDiskFull) {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

func TestReadOnlyDisk(t *testing.T) {
	disk := smallDisk(t)
	dir := filepath.Join(disk, "job")
	s, err := Open(t.Context(), dir, crawl.SchedulerOptions{})
	require.NoError(t, err)
	push(t, s, page(1), page(2))
	require.NoError(t, s.Close(t.Context()))
	remount := func(how string) {
		out, err := exec.CommandContext(t.Context(), "mount", "-o", "remount,"+how, disk).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	remount("ro")
	_, err = Open(t.Context(), dir, crawl.SchedulerOptions{})
	require.ErrorIs(t, err, syscall.EROFS)
	j, err := Inspect(t.Context(), dir, crawl.InspectRead)
	require.NoError(t, err, "looking at it is possible")
	require.EqualValues(t, 2, j.Info().Queued)
	require.NoError(t, j.Close())
	remount("rw")
	s, err = Open(t.Context(), dir, crawl.SchedulerOptions{})
	require.NoError(t, err)
	require.Equal(t, 2, s.Counts().Queued)
	require.NoError(t, s.Close(t.Context()))
}

// TestDiskFails lets every write fail from some moment on, with each of the errors of a disk that goes away. Nothing hangs, the error is told, and what was
// durable is there afterwards.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	if os.Getenv(leakEnv) == "" {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDiskFails$", "-test.v")
		child.Env = append(os.Environ(), leakEnv+"=1")
		out, err := child.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	for _, cause := range []error{syscall.ENOSPC, syscall.EROFS, syscall.EIO} {
		for after := range 40 {
			mem := vfs.NewCrashableMem()
			var left atomic.Int64
			left.Store(1 << 40)
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(o errorfs.Op) error {
				if o.Kind.ReadOrWrite() == errorfs.OpIsWrite && left.Add(-1) < 0 {
					return cause
				}
				return nil
			}))
			s, err := open(t.Context(), fs, "job", crawl.SchedulerOptions{Job: crawl.JobOptions{Memory: 1}})
			require.NoError(t, err)
			push(t, s, page(1), page(2))
			settle(t, s)
			left.Store(int64(after))
			var failed error
			for i := 3; failed == nil && i < 1000; i++ {
				p, err := crawl.NewPush(1, page(i))
				require.NoError(t, err)
				done := make(chan error, 1)
				s.Commit(&crawl.Tx{Push: []crawl.Push{p}}, func(_ crawl.Committed, err error) { done <- err })
				if failed = <-done; failed == nil {
					sync := make(chan error, 1)
					s.com.send(op{sync: sync})
					<-sync
				}
			}
			require.ErrorIs(t, failed, cause, "after %d", after)
			if errors.Is(cause, syscall.ENOSPC) {
				require.ErrorIs(t, failed, crawl.ErrDiskFull)
			}
			require.Error(t, s.Close(context.Background()))
			left.Store(1 << 40)
			s, err = open(t.Context(), mem.CrashClone(vfs.CrashCloneCfg{}), "job", crawl.SchedulerOptions{Job: crawl.JobOptions{Memory: 1}})
			require.NoError(t, err)
			require.GreaterOrEqual(t, s.Counts().Queued, 2)
			require.NoError(t, s.Close(t.Context()))
		}
	}
}

// TestJournalFails ends the group whose lines cannot be kept: its acknowledgements are not kept either.
func TestJournalFails(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustReopen(t, fs, crawl.SchedulerOptions{})
	push(t, s, page(1), page(2))
	settle(t, s)
	l, _ := s.Lease(time.Now(), 1)
	closed := new(closeCounter)
	commit(t, s, crawl.Tx{Ack: []uint64{l[0].ID}, Lines: []crawl.Lines{{Journal: badJournal{}, Text: closed}}})
	sync := make(chan error, 1)
	s.com.send(op{sync: sync})
	require.ErrorIs(t, <-sync, errBadJournal)
	require.Equal(t, 1, closed.n)
	require.ErrorIs(t, s.Close(t.Context()), errBadJournal)
	s = mustReopen(t, fs, crawl.SchedulerOptions{})
	require.Equal(t, 2, s.Counts().Queued)
	require.NoError(t, s.Close(t.Context()))
}

type closeCounter struct{ n int }

func (c *closeCounter) Read([]byte) (int, error) { return 0, io.EOF }
func (c *closeCounter) Close() error             { c.n++; return nil }

var errBadJournal = errors.New("the feed is full")

type badJournal struct{}

func (badJournal) Append([]io.Reader) (string, []byte, error) { return "", nil, errBadJournal }

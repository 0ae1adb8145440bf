package jobdir

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/scheduler"
	"github.com/tulle-go/tulle/scheduler/internal/frontier"
)

// TestErrorsAreNoKills ends a job three times with an error of a feed: no page is blamed for that.
func TestErrorsAreNoKills(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	opts := crawl.SchedulerOptions{Default: crawl.Limits{Concurrency: 10}, Job: crawl.JobOptions{Attempts: 3}}
	for i := range 3 {
		s := mustReopen(t, fs, opts)
		if i == 0 {
			push(t, s, page(1), page(2), page(3))
			settle(t, s)
		}
		l, _ := patient{s}.Lease(time.Now(), 1)
		require.Len(t, l, 1)
		var rest []crawl.Lease
		rest, _ = patient{s}.Lease(time.Now(), 10)
		_ = rest
		commit(t, s, crawl.Tx{Ack: []uint64{l[0].ID}, Lines: []crawl.Lines{{Journal: badJournal{}, Text: new(closeCounter)}}})
		require.ErrorIs(t, s.Close(t.Context()), errBadJournal) // the process ends by itself, and says why
	}
	s := mustReopen(t, fs, opts)
	patient{s}.Lease(time.Now(), 10)
	settle(t, s)
	n := s.Counts().Failed
	kills := s.com.meta.Kills
	require.NoError(t, s.Close(t.Context()))
	require.Zero(t, n, "pages in the failed list as 'killed' although no process was (meta.Kills=%d)", kills)
}

// TestRequeueCancelled is called again after it was cancelled, and counts right.
func TestRequeueCancelled(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "job")
	stored(t, dir)
	j, err := Inspect(t.Context(), dir, crawl.InspectWrite)
	require.NoError(t, err)
	before := j.Info()
	ctx, cancel := context.WithCancel(t.Context())
	_, err = j.RequeueFailed(ctx, func(crawl.JobRequest) bool { cancel(); return true })
	require.ErrorIs(t, err, context.Canceled)
	n, err := j.RequeueFailed(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	after := j.Info()
	require.NoError(t, j.Close())
	t.Logf("queued %d -> %d, failed %d -> %d", before.Queued, after.Queued, before.Failed, after.Failed)
	require.Equal(t, before.Queued+2, after.Queued)
}

// TestFirstOpeningEndsEarly opens a job whose first opening ended before there was a job.json.
func TestFirstOpeningEndsEarly(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "job")
	fs := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(o errorfs.Op) error {
		if o.Kind == errorfs.OpCreate && filepath.Base(o.Path) == "job.json.new" {
			return syscall.EIO // or killed here
		}
		return nil
	}))
	opts := crawl.SchedulerOptions{Job: crawl.JobOptions{MinFree: 1 << 20}}
	_, err := open(t.Context(), fs, dir, opts)
	require.ErrorIs(t, err, syscall.EIO)
	s, err := Open(t.Context(), dir, opts)
	require.NoError(t, err)
	require.NoError(t, s.Close(t.Context()))
}

type slowJournal struct{ enter, leave chan struct{} }

func (j *slowJournal) Append([]io.Reader) (string, []byte, error) {
	close(j.enter)
	<-j.leave
	return crawl.FeedPrefix + "x", []byte(`{"bytes":1}`), nil
}

// TestLockIsKeptWhileWriting closes a job whose committer does not come to an end: nobody else gets the folder.
func TestLockIsKeptWhileWriting(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "job")
	a, err := Open(t.Context(), dir, crawl.SchedulerOptions{})
	require.NoError(t, err)
	push(t, a, page(1), page(2))
	settle(t, a.(*Scheduler))
	l, _ := a.Lease(time.Now(), 1)
	j := &slowJournal{make(chan struct{}), make(chan struct{})}
	commit(t, a, crawl.Tx{Ack: []uint64{l[0].ID}, Lines: []crawl.Lines{{Journal: j, Text: new(closeCounter)}}})
	<-j.enter
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, a.Close(ctx)) // or after 30 s without
	b, err := Open(t.Context(), dir, crawl.SchedulerOptions{})
	if err == nil {
		close(j.leave)
		<-a.(*Scheduler).com.gone // the first one commits now, into files of the second
		t.Logf("the first one's end: %v", a.(*Scheduler).com.err)
		q := b.Counts().Queued
		berr := b.Close(t.Context())
		c, cerr := Open(t.Context(), dir, crawl.SchedulerOptions{})
		if cerr == nil {
			t.Logf("after both: queued %d (the second saw %d), close %v", c.Counts().Queued, q, berr)
			c.Close(t.Context())
		}
		t.Fatalf("two committers had the store at once; reopening: %v; second's close: %v", cerr, berr)
	}
	close(j.leave)
	<-a.(*Scheduler).com.gone
}

// TestLookingAtAnotherMachines looks at a job that another machine runs: its store is left alone.
func TestLookingAtAnotherMachines(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "job")
	stored(t, dir)
	f := folder{fs: vfs.Default, dir: dir}
	require.NoError(t, f.write("owner.json", crawl.JobOwner{PID: 42, Host: "elsewhere", Boot: "other", Since: time.Now()}, false))
	require.NoError(t, os.Chtimes(filepath.Join(dir, "status.json"), time.Now(), time.Now()))
	j, err := Inspect(t.Context(), dir, crawl.InspectRead)
	require.NoError(t, err)
	defer j.Close()
	require.True(t, j.Info().Running, "it gave a sign of life just now; and its live store was opened: %v", j.(*job).db != nil)
}

type noLock struct {
	vfs.FS
	err error
}

func (n noLock) Lock(string) (io.Closer, error) { return nil, n.err }

// TestLockFails looks at a job where the lock file cannot be made, which does not mean that somebody has it.
func TestLockFails(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "job")
	stored(t, dir)
	for _, cause := range []error{syscall.EROFS, syscall.EACCES, syscall.ENOLCK} {
		fs := noLock{vfs.Default, &os.PathError{Op: "open", Path: "lock", Err: cause}}
		_, err := open(t.Context(), fs, dir, crawl.SchedulerOptions{Job: crawl.JobOptions{Spider: "shop", Identity: map[string]string{"category": "books"}}})
		t.Logf("open: %v", err)
		j, err := inspect(t.Context(), fs, dir, crawl.InspectRead)
		require.NoError(t, err)
		var lerr error
		for _, e := range j.Requests(t.Context(), false) {
			lerr = e
		}
		t.Logf("%v: running=%v list: %v", cause, j.Info().Running, lerr)
		if j.Info().Running {
			t.Errorf("%v: said to run", cause)
		}
		j.Close()
	}
}

// TestMemoryOfManyHosts queues for many hosts, one after the other: those that came first give memory back.
func TestMemoryOfManyHosts(t *testing.T) {
	t.Parallel()
	const memory = 1 << 20
	f := frontier.New(crawl.SchedulerOptions{}, &frontier.Spill{Memory: memory, Due: func(frontier.Delayed) {}})
	enc := string(make([]byte, 100))
	id := uint64(0)
	for _, hosts := range []int{100, 1000, 3000} {
		for h := len0(f); h < hosts; h++ {
			for range 4000 {
				id++
				f.Add(fmt.Sprint("h", h), frontier.Entry{Enc: enc, ID: id, Rank: -int64(id)})
			}
		}
		t.Logf("%d hosts: %d KiB held, of %d", hosts, f.Bytes()>>10, memory>>10)
	}
	require.Less(t, f.Bytes(), 2*memory)
}

func len0(f *frontier.Frontier) int { return f.Counts().Slots }

// TestFarFuture hands a request back for the year 2318: the others are not held up.
func TestFarFuture(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]crawl.Scheduler{"memory": scheduler.New(crawl.SchedulerOptions{}), "job": mustReopen(t, vfs.NewMem(), crawl.SchedulerOptions{})} {
		push(t, s, page(1), page(2))
		l, _ := s.Lease(time.Now(), 2)
		far, err := crawl.NewNack(l[0].ID, l[0].Request, l[0].Request, time.Now().Add(math.MaxInt64))
		require.NoError(t, err)
		soon, err := crawl.NewNack(l[1].ID, l[1].Request, l[1].Request, time.Now().Add(time.Second))
		require.NoError(t, err)
		for _, x := range l {
			s.Release(x.Request.Slot(), time.Now())
		}
		commit(t, s, crawl.Tx{Nack: []crawl.Nack{far, soon}})
		got, wake := s.Lease(time.Now().Add(time.Hour), 5)
		for i := 0; i < 50 && len(got) == 0; i++ {
			time.Sleep(5 * time.Millisecond)
			got, wake = s.Lease(time.Now().Add(time.Hour), 5)
		}
		if len(got) != 1 {
			t.Errorf("%s: an hour later %d leave, wake %v", name, len(got), wake)
		}
		s.Close(t.Context())
	}
}

// TestSameFolderOtherName opens a folder by two names in one process.
func TestSameFolderOtherName(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "job")
	a, err := Open(t.Context(), dir, crawl.SchedulerOptions{})
	require.NoError(t, err)
	defer a.Close(t.Context())
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	b, err := Open(t.Context(), link, crawl.SchedulerOptions{})
	if err == nil {
		b.Close(t.Context())
	}
	require.Error(t, err, "two schedulers have one folder")
}

// TestKillIsCountedOnce fails to open a job that was killed: the kill counts once.
func TestKillIsCountedOnce(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	opts := crawl.SchedulerOptions{Job: crawl.JobOptions{Attempts: 3}}
	s := mustReopen(t, mem, opts)
	push(t, s, page(1))
	settle(t, s)
	s.Lease(time.Now(), 1)
	fs := killed(t, mem, s) // once
	for range 2 {
		bad := errorfs.Wrap(fs, errorfs.InjectorFunc(func(o errorfs.Op) error {
			if o.Kind == errorfs.OpCreate && filepath.Base(o.Path) == "owner.json.new" {
				return syscall.EIO // or the process is killed here
			}
			return nil
		}))
		_, err := open(t.Context(), bad, "job", opts)
		require.ErrorIs(t, err, syscall.EIO)
	}
	s = mustReopen(t, fs, opts)
	l, _ := patient{s}.Lease(time.Now(), 1)
	kills := s.com.meta.Kills
	require.NoError(t, s.Close(t.Context()))
	require.Equal(t, 1, kills)
	require.Len(t, l, 1)
}

// TestInnocentBesidePoison has three pages of thirty that end the process: no other is failed with them.
func TestInnocentBesidePoison(t *testing.T) {
	t.Parallel()
	opts := crawl.SchedulerOptions{Default: crawl.Limits{Concurrency: 4}, Job: crawl.JobOptions{Attempts: 3}}
	fs := vfs.NewCrashableMem()
	s := mustReopen(t, fs, opts)
	// One page in ten ends the process as soon as it is in hand with others: three of thirty.
	for i := range 30 {
		push(t, s, page(i))
	}
	poison := func(u string) bool {
		return u == "http://a.example/28" || u == "http://a.example/26" || u == "http://a.example/24"
	}
	for round := 0; s.Counts().Queued > 0 && round < 40; round++ {
		died := false
		for !died {
			ls, _ := patient{s}.Lease(time.Now(), 4)
			if len(ls) == 0 {
				break
			}
			for _, l := range ls {
				died = died || poison(l.Request.URL.String())
			}
			if died {
				break
			}
			var tx crawl.Tx
			for _, l := range ls {
				s.Release(l.Request.Slot(), time.Now())
				tx.Ack = append(tx.Ack, l.ID)
			}
			commit(t, s, tx)
			settle(t, s)
		}
		if died {
			fs = killed(t, fs, s)
			s = mustReopen(t, fs, opts)
		}
	}
	require.NoError(t, s.Close(t.Context()))
	j, err := inspect(t.Context(), fs, "job", crawl.InspectRead)
	require.NoError(t, err)
	defer j.Close()
	innocent := 0
	for r, err := range j.Requests(t.Context(), true) {
		require.NoError(t, err)
		t.Logf("failed: %s", r.Request.URL)
		if !poison(r.Request.URL.String()) {
			innocent++
		}
	}
	require.Zero(t, innocent, "innocent pages failed as killed")
}

// TestSlotsAreThoseWithWork counts no idle slots.
func TestSlotsAreThoseWithWork(t *testing.T) {
	t.Parallel()
	s := mustReopen(t, vfs.NewMem(), crawl.SchedulerOptions{})
	for i := range 50 {
		push(t, s, crawl.Get(fmt.Sprintf("http://h%d.example/", i)))
	}
	l, _ := s.Lease(time.Now(), 50)
	var tx crawl.Tx
	for _, x := range l {
		s.Release(x.Request.Slot(), time.Now())
		tx.Ack = append(tx.Ack, x.ID)
	}
	commit(t, s, tx)
	n := s.Counts().Slots
	require.NoError(t, s.Close(t.Context()))
	require.Zero(t, n, "with something waiting or a place taken")
}

// TestCommitAfterClose answers with an error.
func TestCommitAfterClose(t *testing.T) {
	t.Parallel()
	s := mustReopen(t, vfs.NewMem(), crawl.SchedulerOptions{})
	require.NoError(t, s.Close(t.Context()))
	done := make(chan error, 1)
	p, _ := crawl.NewPush(1, page(1))
	s.Commit(&crawl.Tx{Push: []crawl.Push{p}}, func(_ crawl.Committed, err error) { done <- err })
	select {
	case <-done:
	case <-time.After(time.Second):
		t.Error("done is never called")
	}
}

// TestEmptyStatus reads a status.json that a power cut has emptied.
func TestEmptyStatus(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "job")
	s, err := Open(t.Context(), dir, crawl.SchedulerOptions{})
	require.NoError(t, err)
	defer s.Close(t.Context())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "status.json"), nil, 0o600))
	_, err = Inspect(t.Context(), dir, crawl.InspectRead)
	require.NoError(t, err)
}

type lockHook struct {
	vfs.FS
	once *sync.Once
	do   func()
}

func (l lockHook) Lock(n string) (io.Closer, error) { l.once.Do(l.do); return l.FS.Lock(n) }

// TestTwoBegin lets two crawls begin in the same new folder: the second finds the job of the first.
func TestTwoBegin(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	first := func() {
		s, err := open(t.Context(), mem, "job", crawl.SchedulerOptions{Job: crawl.JobOptions{Spider: "shop"}})
		require.NoError(t, err)
		push(t, s, page(1))
		require.NoError(t, s.Close(t.Context()))
	}
	s, err := open(t.Context(), lockHook{mem, new(sync.Once), first}, "job", crawl.SchedulerOptions{Job: crawl.JobOptions{Spider: "news"}})
	if err == nil {
		t.Errorf("spider news has the job of spider shop: queued %d", s.Counts().Queued)
		s.Close(t.Context())
	}
}

// TestStoreGone does not begin anew in a job whose store was removed.
func TestStoreGone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "job")
	stored(t, dir)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "db")))
	s, err := Open(t.Context(), dir, crawl.SchedulerOptions{Job: crawl.JobOptions{Spider: "shop", Identity: map[string]string{"category": "books"}}})
	if err == nil {
		t.Errorf("begins anew without a word: %+v", s.Counts())
		s.Close(t.Context())
	}
}

// TestKillsOfPagesThatAreDone forgets unclean ends of pages that are done.
func TestKillsOfPagesThatAreDone(t *testing.T) {
	t.Parallel()
	opts := crawl.SchedulerOptions{Job: crawl.JobOptions{Attempts: 3}, Default: crawl.Limits{Concurrency: 100}}
	fs := vfs.NewCrashableMem()
	s := mustReopen(t, fs, opts)
	for round := range 3 {
		for i := range 50 {
			push(t, s, page(1000*round+i))
		}
		l, _ := patient{s}.Lease(time.Now(), 50)
		var tx crawl.Tx
		for _, x := range l {
			tx.Ack = append(tx.Ack, x.ID)
		}
		commit(t, s, tx) // durable; the loop has not come to take the answer when the process is killed
		fs = killed(t, fs, s)
		s = mustReopen(t, fs, opts)
	}
	n, q := len(s.com.kills), s.Counts().Queued
	require.NoError(t, s.Close(t.Context()))
	require.LessOrEqual(t, n, q, "kept counts of kills")
}

// TestTakenChangesAreNotOverwritten takes nothing while parts of the queue wait to be read, then sends while what was taken next is in work.
func TestTakenChangesAreNotOverwritten(t *testing.T) {
	t.Parallel()
	c := &committer{signal: make(chan struct{}, 1), spare: make([]op, 0, 4), reads: []op{{}}}
	first, _ := c.take()
	require.Empty(t, first)
	one, two := new(frontier.Want), new(frontier.Want)
	c.send(op{want: one})
	taken, _ := c.take()
	c.send(op{want: two})
	require.Len(t, taken, 1)
	require.Same(t, one, taken[0].want)
}

// TestRefusedOpeningLeavesNoBallast opens a job that is refused.
func TestRefusedOpeningLeavesNoBallast(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "job")
	stored(t, dir)
	opts := crawl.SchedulerOptions{Job: crawl.JobOptions{MinFree: 1 << 27, Spider: "shop", Identity: map[string]string{"category": "books"}, Routes: []string{}}}
	_, err := Open(t.Context(), dir, opts)
	require.ErrorContains(t, err, "no longer has")
	_, err = os.Stat(filepath.Join(dir, "ballast"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestRequeuedWithoutItsKills kills the process when a failure was durable and the loop did not know: queued again, the page begins anew.
func TestRequeuedWithoutItsKills(t *testing.T) {
	t.Parallel()
	opts := crawl.SchedulerOptions{Job: crawl.JobOptions{Attempts: 1}, Default: crawl.Limits{Concurrency: 9}}
	fs := vfs.NewCrashableMem()
	s := mustReopen(t, fs, opts)
	push(t, s, page(1))
	l, _ := patient{s}.Lease(time.Now(), 1)
	commit(t, s, crawl.Tx{Fail: []crawl.Failure{{Lease: l[0].ID, Kind: "timeout"}}})
	fs = killed(t, fs, s) // the loop has not drained: the file of leases still has it
	s = mustReopen(t, fs, opts)
	require.NoError(t, s.Close(t.Context()))
	j, err := inspect(t.Context(), fs, "job", crawl.InspectWrite)
	require.NoError(t, err)
	n, err := j.RequeueFailed(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoError(t, j.Close())
	s = mustReopen(t, fs, opts)
	defer s.Close(t.Context())
	got, _ := patient{s}.Lease(time.Now(), 1)
	require.Len(t, got, 1, "requeued pages are asked again; counts %+v", s.Counts())
}

package jobdir

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// commit commits and waits.
func commit(t *testing.T, s crawl.Scheduler, tx crawl.Tx) crawl.Committed {
	t.Helper()
	type answer struct {
		c   crawl.Committed
		err error
	}
	ch := make(chan answer, 1)
	s.Commit(&tx, func(c crawl.Committed, err error) { ch <- answer{c, err} })
	a := <-ch
	require.NoError(t, a.err)
	return a.c
}

func push(t *testing.T, s crawl.Scheduler, reqs ...*crawl.Request) {
	t.Helper()
	var tx crawl.Tx
	for _, r := range reqs {
		p, err := crawl.NewPush(1, r)
		require.NoError(t, err)
		tx.Push = append(tx.Push, p)
	}
	commit(t, s, tx)
}

func page(i int) *crawl.Request { return crawl.Get(fmt.Sprintf("http://a.example/%d", i)) }

func TestOneProcessAtATime(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "job")
	s, err := Open(t.Context(), dir, crawl.SchedulerOptions{})
	require.NoError(t, err)
	_, err = Open(t.Context(), dir, crawl.SchedulerOptions{})
	require.ErrorContains(t, err, fmt.Sprintf("the job is in use by process %d on ", os.Getpid()))
	_, err = Inspect(t.Context(), dir, crawl.InspectWrite)
	require.ErrorContains(t, err, "stop that crawl first")
	require.NoError(t, s.Close(t.Context()))
	s, err = Open(t.Context(), dir, crawl.SchedulerOptions{})
	require.NoError(t, err)
	require.NoError(t, s.Close(t.Context()))
}

func TestWhatMustAgree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opts := crawl.SchedulerOptions{Job: crawl.JobOptions{Spider: "shop", Identity: map[string]string{"category": "books", "pages": "3"}, Routes: []string{"detail"}}}
	s, err := Open(t.Context(), dir, opts)
	require.NoError(t, err)
	req := page(1)
	req.Route = "detail"
	push(t, s, req)
	require.NoError(t, s.Close(t.Context()))

	for name, c := range map[string]struct {
		change func(*crawl.SchedulerOptions)
		want   string
	}{
		"spider":   {func(o *crawl.SchedulerOptions) { o.Job.Spider = "books" }, `the job is of spider "shop", not of "books": go on as it was started, or start a new job in another folder`},
		"order":    {func(o *crawl.SchedulerOptions) { o.Order = crawl.OrderBreadth }, `the job was started with order "depth", and now it is "breadth"`},
		"argument": {func(o *crawl.SchedulerOptions) { o.Job.Identity = map[string]string{"category": "toys", "x": "1"} }, `category was "books" and is "toys" now, pages was "3" and is not given now, x was not given and is "1" now`},
		"route":    {func(o *crawl.SchedulerOptions) { o.Job.Routes = []string{"other"} }, `requests of the job wait for routes that the spider no longer has: "detail" (1)`},
	} {
		o := opts
		c.change(&o)
		_, err := Open(t.Context(), dir, o)
		require.ErrorContains(t, err, c.want, name)
	}
	s, err = Open(t.Context(), dir, opts)
	require.NoError(t, err)
	l, _ := s.Lease(time.Now(), 1)
	require.Len(t, l, 1)
	commit(t, s, crawl.Tx{Ack: []uint64{l[0].ID}})
	require.NoError(t, s.Close(t.Context()))
	opts.Job.Routes = []string{}
	s, err = Open(t.Context(), dir, opts)
	require.NoError(t, err, "nothing waits for the route any more")
	require.NoError(t, s.Close(t.Context()))
}

func TestFoldersThatAreNoJob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "thesis.txt"), []byte("x"), 0o600))
	_, err := Open(t.Context(), dir, crawl.SchedulerOptions{})
	require.ErrorContains(t, err, `the folder is not empty, and no job: it has "thesis.txt"`)
	_, err = Inspect(t.Context(), dir, crawl.InspectRead)
	require.ErrorContains(t, err, "no job")
	_, err = Inspect(t.Context(), filepath.Join(dir, "missing"), crawl.InspectRead)
	require.ErrorContains(t, err, "is no job")
	_, err = Open(t.Context(), filepath.Join(dir, "thesis.txt"), crawl.SchedulerOptions{})
	require.Error(t, err)
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, names, 1, "nothing was left behind")

	newer := t.TempDir()
	b, err := json.Marshal(description{Format: format + 1})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(newer, "job.json"), b, 0o600))
	_, err = Open(t.Context(), newer, crawl.SchedulerOptions{})
	require.ErrorContains(t, err, "the job has format 2, and this program knows format 1")
}

// killed is what a killed process leaves: all that it has written, and owner.json.
func killed(t *testing.T, fs *vfs.MemFS, s crawl.Scheduler) *vfs.MemFS {
	t.Helper()
	settle(t, s.(*Scheduler))
	left := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	require.NoError(t, s.Close(context.Background()))
	return left
}

func mustReopen(t *testing.T, fs vfs.FS, opts crawl.SchedulerOptions) *Scheduler {
	t.Helper()
	s, err := open(t.Context(), fs, "job", opts)
	require.NoError(t, err)
	return s
}

// TestPoison kills the process three times with the same page in hand among fifteen others that take long. It alone goes to the failures.
func TestPoison(t *testing.T) {
	t.Parallel()
	opts := crawl.SchedulerOptions{Default: crawl.Limits{Concurrency: 100}, Job: crawl.JobOptions{Attempts: 3}}
	fs := vfs.NewCrashableMem()
	s := mustReopen(t, fs, opts)
	for i := range 16 {
		push(t, s, page(i))
	}
	const poisonous = "http://a.example/7"
	kills := 0
	for round := 0; s.Counts().Queued > 0; round++ {
		require.Less(t, round, 10)
		var leases []crawl.Lease
		died := false
		for !died {
			more, _ := patient{s}.Lease(time.Now(), 100)
			if len(more) == 0 && len(leases) == 0 {
				break
			}
			leases = append(leases, more...)
			for _, l := range more {
				if l.Request.URL.String() == poisonous {
					require.Equal(t, kills+1, l.Attempt)
					died = true
				}
			}
			if !died { // the others are done only in a run without the poison
				for _, l := range leases {
					commit(t, s, crawl.Tx{Ack: []uint64{l.ID}})
				}
				leases = nil
			}
			settle(t, s)
		}
		if died {
			kills++
			fs = killed(t, fs, s)
			s = mustReopen(t, fs, opts)
		}
	}
	require.Equal(t, 3, kills)
	require.Equal(t, 1, s.Counts().Failed)
	require.Equal(t, 16, s.Counts().Seen)
	require.EqualValues(t, 15, s.com.meta.Done)
	require.NoError(t, s.Close(t.Context()))
	j, err := inspect(t.Context(), fs, "job", crawl.InspectRead)
	require.NoError(t, err)
	defer j.Close()
	for r, err := range j.Requests(t.Context(), true) {
		require.NoError(t, err)
		require.Equal(t, poisonous, r.Request.URL.String())
		require.Equal(t, "killed", r.Kind)
		require.Equal(t, "the process ended 3 times while the page was in hand", r.Reason)
		require.Equal(t, 3, r.Attempts)
	}
}

// TestOrderlyEndsAreNotCounted stops a job ten times with the same page in hand.
func TestOrderlyEndsAreNotCounted(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	opts := crawl.SchedulerOptions{Job: crawl.JobOptions{Attempts: 3}}
	for i := range 10 {
		s := mustReopen(t, fs, opts)
		if i == 0 {
			push(t, s, page(1))
		}
		l, _ := s.Lease(time.Now(), 1)
		require.Len(t, l, 1)
		require.Equal(t, 1, l[0].Attempt)
		require.NoError(t, s.Close(t.Context()))
	}
}

// TestAnotherMachine finds a job that another machine had.
func TestAnotherMachine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(t.Context(), dir, crawl.SchedulerOptions{})
	require.NoError(t, err)
	push(t, s, page(1))
	require.NoError(t, s.Close(t.Context()))
	other := crawl.JobOwner{PID: 42, Host: "elsewhere", Boot: "other", Since: time.Now()}
	f := folder{fs: vfs.Default, dir: dir}
	require.NoError(t, f.write("owner.json", other, false))

	_, err = Open(t.Context(), dir, crawl.SchedulerOptions{})
	require.ErrorContains(t, err, "the job was in use by process 42 on elsewhere less than a minute ago")
	require.ErrorContains(t, err, "tulle job unlock "+dir)
	j, err := Inspect(t.Context(), dir, crawl.InspectUnlock)
	require.NoError(t, err)
	require.Equal(t, 42, j.Info().Owner.PID)
	require.NoError(t, j.Close())
	s, err = Open(t.Context(), dir, crawl.SchedulerOptions{})
	require.NoError(t, err)
	require.Equal(t, 1, s.Counts().Queued)
	require.NoError(t, s.Close(t.Context()))

	require.NoError(t, f.write("owner.json", other, false))
	old := time.Now().Add(-2 * signOfLife)
	for _, name := range []string{"owner.json", "status.json"} {
		require.NoError(t, os.Chtimes(filepath.Join(dir, name), old, old))
	}
	s, err = Open(t.Context(), dir, crawl.SchedulerOptions{})
	require.NoError(t, err, "it has given no sign of life for a while: moved, or its plug pulled")
	require.NoError(t, s.Close(t.Context()))
}

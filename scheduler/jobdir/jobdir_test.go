package jobdir

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/scheduler/internal/frontier"
	"github.com/tulle-go/tulle/scheduler/schedulertest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(fillEnv); dir != "" {
		if err := fill(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv(leakEnv) != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// leakEnv is set in the process that leaves goroutines behind: a store whose disk has failed is not closed.
const leakEnv = "JOBDIR_TEST_LEAK"

// TestContract opens and closes the job in the orderly way.
func TestContract(t *testing.T) {
	t.Parallel()
	schedulertest.Run(t, func(schedulertest.TB) schedulertest.Opener {
		fs := vfs.NewMem()
		var last *Scheduler
		return func(tb schedulertest.TB, opts crawl.SchedulerOptions) crawl.Scheduler {
			if last != nil {
				if err := last.Close(context.Background()); err != nil {
					tb.Fatalf("close: %v", err)
				}
			}
			last = mustOpen(tb, fs, opts, 0)
			return patient{last}
		}
	})
}

// TestContractSpilled holds next to nothing in memory: every request but the best of each slot is read back from the store.
func TestContractSpilled(t *testing.T) {
	t.Parallel()
	schedulertest.Run(t, func(schedulertest.TB) schedulertest.Opener {
		fs := vfs.NewMem()
		var last *Scheduler
		return func(tb schedulertest.TB, opts crawl.SchedulerOptions) crawl.Scheduler {
			if last != nil {
				if err := last.Close(context.Background()); err != nil {
					tb.Fatalf("close: %v", err)
				}
			}
			last = mustOpen(tb, fs, opts, 1)
			return patient{last}
		}
	})
}

// TestContractKilled ends every job as a power cut does: what was not synced is gone.
func TestContractKilled(t *testing.T) {
	t.Parallel()
	schedulertest.Run(t, func(schedulertest.TB) schedulertest.Opener {
		fs := vfs.NewCrashableMem()
		var last *Scheduler
		return func(tb schedulertest.TB, opts crawl.SchedulerOptions) crawl.Scheduler {
			opts.Job.Attempts = -1
			if last != nil {
				settle(tb, last)
				crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(1, 2))})
				if err := last.Close(context.Background()); err != nil {
					tb.Fatalf("close: %v", err)
				}
				fs = crashed
			}
			last = mustOpen(tb, fs, opts, 200)
			return patient{last}
		}
	})
}

// patient is a Scheduler that waits for what is being read, so that the order is that of one in memory.
type patient struct{ *Scheduler }

func (p patient) Lease(now time.Time, most int) (leases []crawl.Lease, wake time.Time) {
	for {
		p.settle(now)
		var one []crawl.Lease
		one, wake = p.Scheduler.Lease(now, min(1, most-len(leases)))
		if len(one) == 0 {
			return leases, wake
		}
		leases = append(leases, one...)
	}
}

func (p patient) settle(now time.Time) {
	p.drain()
	p.frontier.Advance(now)
	p.ask()
	for p.frontier.Starving() || p.queued > len(p.suspects.aside) {
		<-p.inbox.ready
		p.drain()
		p.frontier.Advance(now)
		p.ask()
	}
}

func mustOpen(tb schedulertest.TB, fs vfs.FS, opts crawl.SchedulerOptions, heads int) *Scheduler {
	tb.Helper()
	opts.Job.Memory = 1 << 20
	s, err := open(context.Background(), fs, "job", opts)
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	if heads > 0 {
		spill := &frontier.Spill{Memory: heads, Due: s.due}
		// The heads were read by the frontier that opening made.
		s.frontier = frontier.New(opts, spill)
		if err := s.com.rehead(s.frontier); err != nil {
			tb.Fatalf("heads: %v", err)
		}
	}
	return s
}

// rehead reads the heads again, on the committer's behalf: nothing was committed yet.
func (c *committer) rehead(f *frontier.Frontier) error { return c.heads(f) }

// settle waits until what was committed is durable.
func settle(tb schedulertest.TB, s *Scheduler) {
	tb.Helper()
	done := make(chan error, 1)
	s.com.send(op{sync: done})
	if err := <-done; err != nil {
		tb.Fatalf("sync: %v", err)
	}
}

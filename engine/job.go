package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/feed"
)

// job is what a crawl that can be resumed keeps beside its queue.
type job struct {
	dir       string
	spool     string           // the folder of lines that are too many for memory
	stateful  []crawl.Stateful // middlewares that keep something
	earlier   map[string]any   // the stats of earlier runs
	finished  bool             // nothing was left to do when it was opened
	startDone bool             // Owned by the loop: Start is not to run, or to run again.
	put       time.Time        // Owned by the loop: when stats were last put.
	told      bool             // Owned by the loop: that the disk is nearly full.
	left      []crawl.Lines    // Owned by the loop: of pages that keep their leases, to be closed.
}

// openJob opens the scheduler of a job.
func (e *Engine) openJob(ctx context.Context, opts crawl.SchedulerOptions) error {
	s := e.settings
	if s.Parts.Job == nil {
		return fmt.Errorf("job.dir is %q, but this program has no job store: set Settings.Parts.Job", s.Job.Dir)
	}
	opts.Wake = e.loop.box.nudge
	opts.Failed = func(err error) { e.do(func(l *loop) { l.unwritten(err) }) }
	opts.Job = crawl.JobOptions{
		Memory: s.Job.Memory, MinFree: s.Job.MinFree, Attempts: s.Job.Attempts, Spider: e.spider.Name, Identity: s.Job.Identity,
		Routes: slices.Sorted(maps.Keys(e.spider.Routes)), Log: e.log,
	}
	if opts.Job.Routes == nil {
		opts.Job.Routes = []string{} // a spider without routes has lost those that it had
	}
	sched, err := s.Parts.Job(ctx, s.Job.Dir, opts)
	if err != nil {
		return fmt.Errorf("open job %s: %w", s.Job.Dir, err)
	}
	e.loop.sched = sched
	state := sched.State()
	if state == nil {
		state = map[string][]byte{}
	}
	e.env.State = state

	j := &job{dir: s.Job.Dir, spool: filepath.Join(s.Job.Dir, "spool"), stateful: e.fetch.Stateful()}
	if err := j.restore(state); err != nil {
		return fmt.Errorf("open job %s: %w", s.Job.Dir, err)
	}
	_, j.startDone = state[crawl.StartDone]
	counts := sched.Counts()
	j.finished = j.startDone && counts.Queued == 0 && (s.Trace.SpiderIdle == nil || string(state[crawl.JobReason]) == reasonFinished)
	e.job = j
	switch {
	case j.finished:
		e.log.Info("this job is finished: nothing is left to do", zap.String("dir", j.dir), zap.Int("failed", counts.Failed),
			zap.String("hint", "requeue-failed asks for what has failed once more; a new folder starts a new job"))
	case len(state) == 0 && counts.Queued+counts.Seen == 0:
		e.log.Info("job started", zap.String("dir", j.dir))
	default:
		e.log.Info("job resumed", zap.String("dir", j.dir), zap.Int("queued", counts.Queued), zap.Int("seen", counts.Seen), zap.Int("failed", counts.Failed))
	}
	if _, ended := state[crawl.JobReason]; ended && !j.finished {
		e.loop.put(crawl.JobReason, nil) // while it runs it has none
	}
	return nil
}

// restore takes back what the job has stored, and removes what a killed process has left in the spool.
func (j *job) restore(state map[string][]byte) error {
	if err := os.RemoveAll(j.spool); err != nil {
		return fmt.Errorf("empty the spool: %w", err)
	}
	if b := state[crawl.JobStats]; b != nil {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&j.earlier); err != nil {
			return fmt.Errorf("read the stats: %w", err)
		}
	}
	for _, s := range j.stateful {
		if err := s.Restore(state); err != nil {
			return err
		}
	}
	return nil
}

// statsInterval is how often a job keeps its stats, at most, and only with changes that there are.
const statsInterval = time.Second

// addTo adds to a change what the job keeps beside the queue: what middlewares remember, with the pages that taught them, and now and then the stats.
func (j *job) addTo(l *loop) {
	if len(l.tx.Ack)+len(l.tx.Fail)+len(l.tx.Nack) > 0 {
		for _, s := range j.stateful {
			for k, v := range s.TakeChanges() {
				l.put(k, v)
			}
		}
	}
	if l.now.Sub(j.put) >= statsInterval {
		j.putStats(l)
	}
}

func (j *job) putStats(l *loop) {
	j.put = l.now
	b, err := json.Marshal(sumStats(j.earlier, l.e.stats.Snapshot()))
	if err != nil {
		l.e.log.Warn("stats are not kept in the job", zap.Error(err))
		return
	}
	l.put(crawl.JobStats, b)
}

// sumStats is what several runs have counted together: numbers add up, but for the largest of something and rates; of all else the last run's counts.
func sumStats(earlier, now map[string]any) map[string]any {
	sum := maps.Clone(earlier)
	if sum == nil {
		sum = make(map[string]any, len(now))
	}
	for k, v := range now {
		before, _ := sum[k].(json.Number)
		switch v := v.(type) {
		case int64:
			switch n, err := before.Int64(); {
			case err != nil:
				sum[k] = v
			case strings.HasSuffix(k, "_max"):
				sum[k] = max(n, v)
			default:
				sum[k] = n + v
			}
		case float64:
			n, err := before.Float64()
			if err != nil || strings.HasSuffix(k, "_per_minute") {
				n = 0
			}
			sum[k] = n + v
		default:
			sum[k] = v
		}
	}
	return sum
}

// closeScheduler commits what the loop has left, and closes the queue: all that was committed is durable then.
func (e *Engine) closeScheduler(ctx context.Context) error {
	l := e.loop
	if e.job == nil {
		if err := e.call(func() error { return l.sched.Close(ctx) }); err != nil {
			return fmt.Errorf("close the queue: %w", err)
		}
		return nil
	}
	last := e.lastCommit()
	err := e.call(func() error { return l.sched.Close(ctx) })
	for _, lines := range e.job.left {
		if cerr := lines.Text.Close(); cerr != nil {
			e.log.Warn("spool not emptied", zap.Error(cerr))
		}
	}
	if err == nil {
		select {
		case err = <-last:
		default:
		}
	}
	if err == nil || l.failure != nil && (errors.Is(l.failure, err) || l.failure.Error() == err.Error()) {
		return nil // or told
	}
	reason := reasonOf(err)
	if l.failure == nil && l.reason == reasonFinished {
		l.reason = reason
	}
	if reason == feed.ReasonReaderGone {
		return nil
	}
	return fmt.Errorf("close the job: %w", err)
}

// lastCommit commits how the crawl has ended, with all that waits for a commit. The answer may come before the queue is closed.
func (e *Engine) lastCommit() <-chan error {
	l, answer := e.loop, make(chan error, 1)
	if l.reason == "" {
		answer <- nil // the crawl did not begin
		return answer
	}
	if e.running.Load() {
		l.now = time.Now()
		for _, s := range e.job.stateful {
			for k, v := range s.TakeChanges() {
				l.put(k, v)
			}
		}
		e.job.putStats(l)
	}
	l.put(crawl.JobReason, []byte(l.reason))
	tx := l.tx
	l.tx = crawl.Tx{}
	l.sched.Commit(&tx, func(_ crawl.Committed, err error) { answer <- err })
	return answer
}

// reasonOf is why a crawl ends whose queue cannot be written. The error of a feed's journal says it itself.
func reasonOf(err error) string {
	var stop *crawl.CloseSpiderError
	switch {
	case errors.Is(err, crawl.ErrDiskFull):
		return reasonDiskFull
	case errors.As(err, &stop):
		return stop.Reason
	}
	return reasonError
}

package crawl

import (
	"context"
	"errors"
	"iter"
	"time"

	"go.uber.org/zap"
)

// JobOptions are what a scheduler that keeps a job needs to know beside its queue's order.
type JobOptions struct {
	// Memory, MinFree and Attempts are those of [JobSettings], with defaults filled in. Here 0 is 128 MiB for Memory, and no limit for the others.
	Memory, MinFree int64
	Attempts        int
	// Spider is the spider's name, and Identity what else must be the same when the job is resumed.
	Spider   string
	Identity map[string]string
	// Routes are the names of the spider's callbacks. A stored request with another one is an error of opening. "" need not be named.
	Routes []string
	// Log is told what opening has found. nil: nothing is logged.
	Log *zap.Logger
}

// ErrDiskFull is an error of [Scheduler.Commit] and Close: there is no room for what is to be kept. What was durable before is safe; the last changes are undone.
var ErrDiskFull = errors.New("disk full")

// Stateful is a middleware that keeps something in a job: cookies. Keys begin with the middleware's name and a slash. Maps and values pass over to the one who gets them.
type Stateful interface {
	// Restore is called once, before the first request, with all that the job has stored.
	Restore(state map[string][]byte) error
	// TakeChanges returns what is new since the last call, nil if nothing; a nil value deletes. The engine's loop calls it for every commit, so it must be quick when
	// there is nothing. What it returns may come from pages that are not acknowledged yet.
	TakeChanges() map[string][]byte
}

type pageKeeperKey struct{}

// KeepWithPage keeps a record for a journal until the page that ctx's item comes from is done. It reports false when there is no job: the record is to be written at
// once. The record may be reused by the caller. The error is [ErrStopping] when nobody waits for the page any more. It is for feeds, inside Process.
func KeepWithPage(ctx context.Context, to Journal, record []byte) (kept bool, err error) {
	keep, _ := ctx.Value(pageKeeperKey{}).(func(Journal, []byte) error)
	if keep == nil {
		return false, nil
	}
	return true, keep(to, record)
}

// WithPageKeeper is for those who call pipelines in a job: keep takes what [KeepWithPage] is given, from many goroutines.
func WithPageKeeper(ctx context.Context, keep func(to Journal, record []byte) error) context.Context {
	return context.WithValue(ctx, pageKeeperKey{}, keep)
}

// InspectMode is what a [Job] is opened for.
type InspectMode int

// Modes of inspection.
const (
	// InspectRead changes nothing. A job that runs is reported as its process last described it.
	InspectRead InspectMode = iota
	// InspectWrite takes the job as a crawl does. It is an error while one runs.
	InspectWrite
	// InspectUnlock takes the job although a process on another machine may have it.
	InspectUnlock
)

// A Job is a job's folder in the hands of somebody who looks after it. It is not safe for concurrent use, and no iterator may be in use when it is closed.
type Job interface {
	Info() JobInfo
	// Requests lists what waits (a page that was in hand waits too), or what has failed, in no promised order. It is an error while the job runs.
	Requests(ctx context.Context, failed bool) iter.Seq2[JobRequest, error]
	// RequeueFailed puts those of the failed requests for which choose returns true back into the queue, or all if it is nil, and says how many.
	RequeueFailed(ctx context.Context, choose func(JobRequest) bool) (int, error)
	// Compact makes the folder as small as it can be.
	Compact(ctx context.Context) error
	Close() error
}

// A JobRequest is a request that a job keeps.
type JobRequest struct {
	ID      uint64
	Request *Request
	// Attempts is at how many unclean ends of the process the page was in hand.
	Attempts int
	// NotBefore is when it may leave, zero if at once.
	NotBefore time.Time
	// Kind, Reason and FailedAt are set in the list of failures.
	Kind, Reason string
	FailedAt     time.Time
}

// JobInfo describes a job.
type JobInfo struct {
	Dir    string `json:"dir"`
	Format int    `json:"format"` // version of the folder's form
	Spider string `json:"spider"`
	// Identity is what resuming must agree with.
	Identity map[string]string `json:"identity,omitempty"`
	Created  time.Time         `json:"created"`
	// Runs is how many times the job was opened by a crawl, and Kills how many of those ended without closing it: killed, crashed, or the machine stopped.
	Runs  int `json:"runs"`
	Kills int `json:"kills"`
	// Owner is the process that has the job, nil if none has. If it has been killed nobody may have noticed yet: see Running.
	Owner *JobOwner `json:"owner,omitempty"`
	// Running says that the owner lives, as far as this machine can see. The figures are then those of Updated.
	Running bool      `json:"running"`
	Updated time.Time `json:"updated"`
	// Finished says that nothing is left to do.
	Finished bool `json:"finished"`
	// Reason is why the last run ended, empty if it was killed or runs.
	Reason string `json:"reason,omitempty"`

	Queued     int64 `json:"queued"`     // requests that wait, those in hand included
	Delayed    int64 `json:"delayed"`    // of those, retries whose time has not come
	Done       int64 `json:"done"`       // pages acknowledged
	Failed     int64 `json:"failed"`     // requests in the list of failures
	Duplicates int64 `json:"duplicates"` // requests dropped as seen before
	Seen       int64 `json:"seen"`       // fingerprints
	Hosts      int   `json:"hosts"`      // with something queued
	StartDone  bool  `json:"start_done"`
	// Routes are the numbers of requests that wait, by route.
	Routes map[string]int64 `json:"routes"`
	Feeds  []JobFeed        `json:"feeds,omitempty"`
	// Stats are the stats of all runs together, as of the last commit.
	Stats map[string]any `json:"stats,omitempty"`
	// Disk is the folder's size in bytes.
	Disk int64 `json:"disk"`
}

// JobFeed is how far a feed of a job has come. Bytes is where the next item goes.
type JobFeed struct {
	URI   string `json:"uri"`
	Bytes int64  `json:"bytes"`
	Items int64  `json:"items"`
}

// JobOwner names the process that has a job.
type JobOwner struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Command string    `json:"command,omitempty"`
	Since   time.Time `json:"since"`
	// Boot identifies the machine's running system, where it says: process numbers of another one mean nothing here.
	Boot string `json:"boot,omitempty"`
}

// Keys of the state under which a job keeps what describes it.
const (
	// JobStats is a JSON object: the stats of all runs.
	JobStats = "job/stats"
	// JobReason is why the last run ended.
	JobReason = "job/reason"
	// FeedPrefix stands before a feed's URI. The value is a JSON object with bytes and items.
	FeedPrefix = "feed/"
)

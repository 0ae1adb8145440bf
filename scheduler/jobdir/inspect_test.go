package jobdir

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// stored makes a job with two requests that wait, one that is delayed, one that is done and two that failed.
func stored(t *testing.T, dir string) {
	t.Helper()
	opts := crawl.SchedulerOptions{
		Default: crawl.Limits{Concurrency: 10},
		Job:     crawl.JobOptions{Spider: "shop", Identity: map[string]string{"category": "books"}, Routes: []string{"detail"}},
	}
	s, err := Open(t.Context(), dir, opts)
	require.NoError(t, err)
	for i := range 6 {
		req := page(i)
		if i < 3 {
			req.Route = "detail"
		}
		push(t, s, req)
	}
	push(t, s, page(0)) // a duplicate
	byURL := map[string]crawl.Lease{}
	leases, _ := s.Lease(time.Now(), 4) // 5, 4, 3, 2
	for _, l := range leases {
		byURL[l.Request.URL.Path] = l
	}
	later := byURL["/2"].Request.Clone()
	later.Retries = 1
	nack, err := crawl.NewNack(byURL["/2"].ID, byURL["/2"].Request, later, time.Now().Add(time.Hour))
	require.NoError(t, err)
	commit(t, s, crawl.Tx{
		Ack:  []uint64{byURL["/5"].ID},
		Fail: []crawl.Failure{{Lease: byURL["/4"].ID, Kind: "timeout", Reason: "no answer"}, {Lease: byURL["/3"].ID, Kind: "status", Reason: "500"}},
		Nack: []crawl.Nack{nack},
		Put: map[string][]byte{
			crawl.StartDone: []byte("true"), crawl.JobReason: []byte("shutdown"), crawl.JobStats: []byte(`{"item_scraped_count":7}`),
			crawl.FeedPrefix + "b.csv": []byte(`{"bytes":10,"items":2}`), crawl.FeedPrefix + "a.jsonl": []byte(`{"bytes":20,"items":3}`),
		},
	})
	require.NoError(t, s.Close(t.Context()))
}

func TestInspect(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "job")
	stored(t, dir)
	j, err := Inspect(t.Context(), dir, crawl.InspectRead)
	require.NoError(t, err)
	defer j.Close()
	i := j.Info()
	require.WithinDuration(t, time.Now(), i.Created, time.Minute)
	require.Positive(t, i.Disk)
	i.Created, i.Updated, i.Disk = time.Time{}, time.Time{}, 0
	require.Equal(t, crawl.JobInfo{
		Dir: dir, Format: 1, Spider: "shop", Identity: map[string]string{"category": "books"}, Runs: 1, Reason: "shutdown",
		Queued: 3, Delayed: 1, Done: 1, Failed: 2, Duplicates: 1, Seen: 6, Hosts: 1, StartDone: true, Routes: map[string]int64{"detail": 3},
		Feeds: []crawl.JobFeed{{URI: "a.jsonl", Bytes: 20, Items: 3}, {URI: "b.csv", Bytes: 10, Items: 2}},
		Stats: map[string]any{"item_scraped_count": 7.0},
	}, i)

	waiting := map[string]crawl.JobRequest{}
	for r, err := range j.Requests(t.Context(), false) {
		require.NoError(t, err)
		waiting[r.Request.URL.Path] = r
	}
	require.Len(t, waiting, 3)
	require.Equal(t, 1, waiting["/2"].Request.Retries)
	require.WithinDuration(t, time.Now().Add(time.Hour), waiting["/2"].NotBefore, time.Minute)
	require.Equal(t, "detail", waiting["/1"].Request.Route)
	require.Equal(t, map[string]string{"/3": "status 500", "/4": "timeout no answer"}, failures(t, j))
	_, err = j.RequeueFailed(t.Context(), nil)
	require.ErrorContains(t, err, "opened for reading")
	for range j.Requests(t.Context(), false) {
		break // one is enough
	}
}

func failures(t *testing.T, j crawl.Job) map[string]string {
	t.Helper()
	list := map[string]string{}
	for r, err := range j.Requests(t.Context(), true) {
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), r.FailedAt, time.Minute)
		list[r.Request.URL.Path] = r.Kind + " " + r.Reason
	}
	return list
}

func TestRequeueFailed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "job")
	stored(t, dir)
	j, err := Inspect(t.Context(), dir, crawl.InspectWrite)
	require.NoError(t, err)
	n, err := j.RequeueFailed(t.Context(), func(r crawl.JobRequest) bool { return r.Kind == "timeout" })
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.EqualValues(t, 4, j.Info().Queued)
	require.EqualValues(t, 1, j.Info().Failed)
	require.Equal(t, map[string]string{"/3": "status 500"}, failures(t, j))
	require.NoError(t, j.Compact(t.Context()))
	require.NoError(t, j.Close())

	s, err := Open(t.Context(), dir, crawl.SchedulerOptions{Default: crawl.Limits{Concurrency: 9}, Job: crawl.JobOptions{Spider: "shop", Identity: map[string]string{"category": "books"}}})
	require.NoError(t, err)
	leases, _ := patient{s.(*Scheduler)}.Lease(time.Now(), 9)
	require.Equal(t, []string{"http://a.example/4", "http://a.example/1", "http://a.example/0"}, urls(leases))
	var tx crawl.Tx
	for _, l := range leases {
		tx.Ack = append(tx.Ack, l.ID)
	}
	commit(t, s, tx)
	require.Equal(t, 1, s.Counts().Queued)
	require.NoError(t, s.Close(t.Context()))
}

// TestLookingAtARunningJob reads what the process that has it says.
func TestLookingAtARunningJob(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "job")
	s, err := Open(t.Context(), dir, crawl.SchedulerOptions{Job: crawl.JobOptions{Spider: "shop"}})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	push(t, s, page(1), page(2))
	s.(*Scheduler).com.send(op{}) // anything, after a second
	require.Eventually(t, func() bool {
		push(t, s)
		j, err := Inspect(t.Context(), dir, crawl.InspectRead)
		require.NoError(t, err)
		i := j.Info()
		require.True(t, i.Running)
		require.NotZero(t, i.Owner.PID)
		for _, err := range j.Requests(t.Context(), false) {
			require.ErrorContains(t, err, "stop that crawl first")
		}
		require.NoError(t, j.Close())
		return i.Queued == 2 && i.Spider == "shop"
	}, 10*time.Second, 100*time.Millisecond)
}

// TestStatusIsJSON: what a script may read while the job runs.
func TestStatusIsJSON(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "job")
	stored(t, dir)
	b, err := os.ReadFile(filepath.Join(dir, "status.json"))
	require.NoError(t, err)
	var i crawl.JobInfo
	require.NoError(t, json.Unmarshal(b, &i))
	require.EqualValues(t, 3, i.Queued)
}

package jobdir

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// journal is a feed on the same file system as the job.
type journal struct {
	fs   vfs.FS
	file vfs.File
	at   int64
}

const feedName = "feed.jsonl"

// openJournal goes on where the job says. A file that is shorter has lost what was acknowledged.
func openJournal(fs vfs.FS, state map[string][]byte) (*journal, error) {
	j := &journal{fs: fs}
	if b, ok := state[crawl.FeedPrefix+feedName]; ok {
		var at struct{ Bytes int64 }
		if err := json.Unmarshal(b, &at); err != nil {
			return nil, err
		}
		j.at = at.Bytes
	}
	info, err := fs.Stat(feedName)
	switch {
	case err == nil && info.Size() < j.at:
		return nil, fmt.Errorf("the feed has %d bytes, and %d were acknowledged", info.Size(), j.at)
	case err != nil && j.at > 0:
		return nil, err
	case err != nil:
		if j.file, err = fs.Create(feedName, vfs.WriteCategoryUnspecified); err != nil {
			return nil, err
		}
		root, err := fs.OpenDir("")
		if err != nil {
			return nil, err
		}
		return j, firstError(root.Sync(), root.Close())
	}
	j.file, err = fs.OpenReadWrite(feedName, vfs.WriteCategoryUnspecified)
	return j, err
}

func (j *journal) Append(lines []io.Reader) (string, []byte, error) {
	for _, l := range lines {
		b, err := io.ReadAll(l)
		if err != nil {
			return "", nil, err
		}
		if _, err := j.file.WriteAt(b, j.at); err != nil {
			return "", nil, err
		}
		j.at += int64(len(b))
	}
	if err := j.file.Sync(); err != nil {
		return "", nil, err
	}
	return crawl.FeedPrefix + feedName, fmt.Appendf(nil, `{"bytes":%d}`, j.at), nil
}

// lines are those that count.
func (j *journal) lines() ([]string, error) {
	b := make([]byte, j.at)
	if _, err := j.file.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, err
	}
	return strings.Fields(string(b)), nil
}

// The site of these tests: a tree of pages, each with two items. Page n links to 2n and 2n+1, to its parent, and, unfiltered, once more to page 1.
const pages = 31

func itemsOf(n int) string { return fmt.Sprintf("%d/a\n%d/b\n", n, n) }

// crawlOn runs a crawl on a job until it is over, or anything fails: as an engine does it, with four pages in hand. Page 5 fails, page 6 is handed back once.
func crawlOn(fs vfs.FS, asked map[string]int) (feed []string, err error) {
	ctx := context.Background()
	s, err := open(ctx, fs, "job", crawl.SchedulerOptions{Job: crawl.JobOptions{Memory: 1, Attempts: -1}})
	if err != nil {
		return nil, err
	}
	j, err := openJournal(fs, s.State())
	if err != nil {
		_ = s.Close(ctx)
		return nil, err
	}
	var mu sync.Mutex
	var failed error
	commit := func(tx crawl.Tx) bool {
		done := make(chan error, 1)
		s.Commit(&tx, func(_ crawl.Committed, err error) { done <- err })
		err := <-done
		mu.Lock()
		defer mu.Unlock()
		if err != nil && failed == nil {
			failed = err
		}
		return failed == nil
	}
	if _, ok := s.State()[crawl.StartDone]; !ok {
		start := crawl.Tx{Put: map[string][]byte{crawl.StartDone: []byte("true")}}
		p, err := crawl.NewPush(0, crawl.Get("http://b.example/1"))
		if err != nil {
			return nil, err
		}
		start.Push = []crawl.Push{p}
		commit(start)
	}
	for failed == nil {
		leases, wake := s.Lease(time.Now(), 4)
		if len(leases) == 0 {
			c := s.Counts()
			if c.Queued+c.Leased == 0 {
				break
			}
			if !wake.IsZero() {
				time.Sleep(time.Until(wake))
			}
			continue
		}
		for _, l := range leases {
			s.Release(l.Request.Slot(), time.Now())
			if !commit(step(l, j, asked)) {
				break
			}
		}
	}
	err = s.Close(ctx)
	if failed != nil {
		return nil, failed
	}
	if err != nil {
		return nil, err
	}
	lines, err := j.lines()
	return lines, firstError(err, j.file.Close())
}

// step is what a page does.
func step(l crawl.Lease, j *journal, asked map[string]int) (tx crawl.Tx) {
	var n int
	_, err := fmt.Sscanf(l.Request.URL.Path, "/%d", &n)
	if err != nil {
		panic(err)
	}
	asked[l.Request.URL.Path+l.Request.URL.RawQuery]++
	for i, to := range []int{2 * n, 2*n + 1, n / 2, 1} {
		if to < 1 || to > pages {
			continue
		}
		req := crawl.Get(fmt.Sprintf("http://%c.example/%d", 'a'+to%3, to))
		if i == 3 {
			if l.Request.DontFilter {
				continue
			}
			req.DontFilter = true
			req.URL.RawQuery = fmt.Sprint("from", n)
		}
		p, err := crawl.NewPush(l.ID, req)
		if err != nil {
			panic(err)
		}
		tx.Push = append(tx.Push, p)
	}
	switch {
	case l.Request.DontFilter:
		tx.Lines = []crawl.Lines{{Journal: j, Text: io.NopCloser(strings.NewReader(l.Request.URL.RawQuery + "\n"))}}
		tx.Ack = []uint64{l.ID}
	case n == 5:
		tx.Fail = []crawl.Failure{{Lease: l.ID, Kind: "status", Reason: "500"}}
	case n == 6 && l.Request.Retries == 0:
		req := l.Request.Clone()
		req.Retries = 1
		k, err := crawl.NewNack(l.ID, l.Request, req, time.Now().Add(time.Millisecond))
		if err != nil {
			panic(err)
		}
		tx.Push, tx.Nack = nil, []crawl.Nack{k}
	default:
		tx.Lines = []crawl.Lines{{Journal: j, Text: io.NopCloser(strings.NewReader(itemsOf(n)))}}
		tx.Ack = []uint64{l.ID}
	}
	return tx
}

// wantFeed is what every crawl of the site must write, in any order.
func wantFeed() (want []string) {
	for n := 1; n <= pages; n++ {
		want = append(want, fmt.Sprint("from", n))
		if n != 5 {
			want = append(want, strings.Fields(itemsOf(n))...)
		}
	}
	slices.Sort(want)
	return want
}

func TestUninterrupted(t *testing.T) {
	t.Parallel()
	asked := map[string]int{}
	got, err := crawlOn(vfs.NewMem(), asked)
	require.NoError(t, err)
	slices.Sort(got)
	require.Equal(t, wantFeed(), got)
	require.Len(t, asked, 2*pages)
}

// cuts crawls on fs, and returns what a power cut would have left of it before every stride-th operation on a file.
func cuts(t *testing.T, fs *vfs.MemFS, kept, stride int, rng *rand.Rand) (clones []*vfs.MemFS) {
	t.Helper()
	var mu sync.Mutex
	n := rng.IntN(stride)
	watched := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if n++; n%stride == 0 {
			clones = append(clones, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: rng}))
		}
		return nil
	}))
	got, err := crawlOn(watched, map[string]int{})
	require.NoError(t, err)
	slices.Sort(got)
	require.Equal(t, wantFeed(), got)
	return clones
}

// TestPowerCut takes the power away before every seventh operation on a file, or, with TULLE_CUTS=all, before each, with all, some or none of what was not synced kept, and goes on with what is left:
// every item is in the feed once. Some of the second crawls are cut as well.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	stride := 7
	switch {
	case os.Getenv("TULLE_CUTS") == "all":
		stride = 1
	case testing.Short():
		stride = 29
	}
	for _, kept := range []int{0, 50, 100} {
		t.Run(fmt.Sprintf("%d%%", kept), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(uint64(kept), 7))
			first := cuts(t, vfs.NewCrashableMem(), kept, stride, rng)
			again := 0
			for i, fs := range first {
				if i%10 == 0 {
					for _, fs := range cuts(t, fs, kept, 10*stride, rng) {
						finish(t, fs)
						again++
					}
					continue
				}
				finish(t, fs)
			}
			t.Logf("%d cuts, %d of crawls that had been cut before", len(first), again)
			require.Greater(t, len(first)+again, 20)
		})
	}
}

// finish goes on after a cut.
func finish(t *testing.T, fs vfs.FS) {
	t.Helper()
	got, err := crawlOn(fs, map[string]int{})
	require.NoError(t, err)
	slices.Sort(got)
	require.Equal(t, wantFeed(), got)
}

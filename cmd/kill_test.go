package cmd_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestKill runs a crawl as a process of its own, ends that without a warning at random moments, and starts it again, until it has ended by itself. What it leaves must be
// what a crawl leaves that nobody has disturbed: the same pages asked, the same pictures, each item once. TULLE_KILLS is how many kills there are, over as many jobs
// as that takes; TULLE_KILL_SEED repeats the moments of a run, as far as moments can be repeated.
func TestKill(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	k := newKiller(t)
	k.reference()
	k.times()
	for number := 1; k.kills < k.most; number++ {
		k.job(number)
	}
	t.Logf("%d kills in %d jobs: %d at opening, %d in the middle, %d at closing; seed %d", k.kills, k.jobs, k.at[0], k.at[1], k.at[2], k.seed)
}

// killer kills crawls.
type killer struct {
	*testing.T
	site  *killSite
	seed  uint64
	rng   *rand.Rand
	most  int // kills
	kills int
	jobs  int
	at    [3]int // kills by moment

	want *outcome
	// How long a crawl that nobody disturbs takes: from the start of its process to its first request, from there to its last one, from there to its end.
	opening, crawling, closing time.Duration
}

func newKiller(t *testing.T) *killer {
	const short, fewItems, manyItems = 6, 3_000, 10_000
	k := &killer{T: t, seed: rand.Uint64(), most: short}
	if s := os.Getenv("TULLE_KILL_SEED"); s != "" {
		var err error
		k.seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err, "TULLE_KILL_SEED")
	}
	if s := os.Getenv("TULLE_KILLS"); s != "" {
		var err error
		k.most, err = strconv.Atoi(s)
		require.NoError(t, err, "TULLE_KILLS")
	}
	k.rng = rand.New(rand.NewPCG(k.seed, 0))
	many := manyItems
	if k.most <= short {
		many = fewItems
	}
	k.site = newKillSite(t, many)
	return k
}

// jobArgs give a crawl a job.
var jobArgs = []string{"--job", "job"}

// reference crawls without a job and without being disturbed, and checks that nothing of that depends on luck.
func (k *killer) reference() {
	d := newDisturbed(k.T, k.site)
	d.start("killshop").ends()
	var err error
	k.want, err = outcomeOf(d.dir, k.site.pages())
	require.NoError(k, err)
	number := k.site.many + killProducts + killProducts/4 + killSeeds + killSeeds/killCursor + killSeeds + killUnfiltered + 8 + 1
	for _, name := range killFeeds {
		require.Len(k, k.want.feeds[name], number, name)
		d.check(sameItems(name, k.want.feeds[name], k.want.feeds[killFeeds[0]]), "undisturbed")
	}
	require.Greater(k, len(k.want.pages), 300)
}

// times measures how long the parts of a job take that nobody disturbs.
func (k *killer) times() {
	d := newDisturbed(k.T, k.site, jobArgs...)
	c := d.start("killshop")
	c.ends()
	first, last := c.asked()
	k.opening, k.crawling, k.closing = first.Sub(c.began), last.Sub(first), time.Since(last)
	k.Logf("undisturbed: %d pages and pictures, %d items; opening %v, crawling %v, closing %v",
		len(k.want.pages), len(k.want.feeds[killFeeds[0]]), k.opening, k.crawling, k.closing)
	d.finished("killshop", k.want, killFailures())
}

// job kills one job until it has ended all the same, or there have been enough kills.
func (k *killer) job(number int) {
	k.jobs++
	d := newDisturbed(k.T, k.site, append(jobArgs, "-s", "job.attempts=-1")...) // the kills are not the pages' fault
	d.again = func() string {
		return fmt.Sprintf("job %d, kill %d; to repeat: TULLE_KILL_SEED=%d TULLE_KILLS=%d go test ./cmd -run 'TestKill$'", number, k.kills, k.seed, k.most)
	}
	ended := false
	for !ended && k.kills < k.most {
		c := d.start("killshop")
		moment := k.await(c)
		if ended = c.kill(); !ended {
			k.kills++
			k.at[moment]++
			d.check(afterKill(d.dir), "after a kill")
		}
	}
	if !ended {
		d.start("killshop").ends()
	}
	d.finished("killshop", k.want, killFailures())
	d.check(stateOf(k.Context(), d.dir), "the state")
	require.NoError(k, os.RemoveAll(d.root)) // only the one that fails is of interest
}

// await lets a child run until the moment of its death, and says which that was: 0 when it opens, 1 in the middle, 2 when it closes.
func (k *killer) await(c *process) (moment int) {
	upTo := func(d time.Duration) time.Duration { return time.Duration(k.rng.Int64N(int64(d) + 1)) }
	switch n := k.rng.IntN(8); {
	case n < 2:
		c.wait(upTo(k.opening * 3 / 2))
		return 0
	case n < 6:
		pause := upTo(k.crawling)
		c.until(func() bool { first, _ := c.asked(); return !first.IsZero() })
		c.wait(pause)
		return 1
	default:
		pause := upTo(k.closing * 3 / 2)
		c.until(func() bool { return k.site.count() >= len(k.want.pages) })
		c.wait(pause)
		return 2
	}
}

// TestPoison is a page whose callback ends the process, again and again: in the end it is left alone, and nothing else is.
func TestPoison(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	d := newDisturbed(t, newKillSite(t, 0), jobArgs...)
	want := &outcome{feeds: make(map[string]items), pages: map[string]int{killHosts[3] + "/poison": 1}}
	innocent := make(items)
	for i := range poisonInnocent {
		innocent[fmt.Sprintf("innocent %d", i)] = nil
		want.pages[killHosts[i%3]+fmt.Sprintf("/innocent/%d", i)] = 1
	}
	for _, name := range killFeeds {
		want.feeds[name] = innocent
	}
	for _, host := range killHosts {
		want.pages[host+"/robots.txt"] = 1
	}
	deaths := 0
	for !d.start("poison").dies() {
		deaths++
		d.check(afterKill(d.dir), "after a death")
		require.Less(t, deaths, 5, "it dies each time")
	}
	require.Equal(t, 3, deaths)
	d.finished("poison", want, map[string]string{killURL(3, "/poison"): "killed"})
}

// TestCtrlCAndMovedFolder stops a job gently, goes on, stops it again, moves its folder with all that it has left, and goes on there.
func TestCtrlCAndMovedFolder(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	k := newKiller(t)
	k.reference()
	d := newDisturbed(t, k.site, jobArgs...)
	for stop := 1; stop <= 2; stop++ {
		c := d.start("killshop")
		c.until(func() bool {
			first, _ := c.asked() // a signal that comes before the crawl waits for one is any process's end
			return !first.IsZero() && k.site.count() >= len(k.want.pages)*stop/4
		})
		require.NoError(t, c.Process.Signal(os.Interrupt))
		c.ends()
		require.Contains(t, c.log(), "\nStopped after ")
		require.Equal(t, stop > 1, strings.Contains(c.log(), "job resumed"))
		require.Less(t, k.site.count(), len(k.want.pages), "it was to be stopped before its end")
		d.check(leftovers(d.dir), "after a stop")
		d.check(afterKill(d.dir), "after a stop")
	}
	to := filepath.Join(d.root, "somewhere", "else")
	require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
	require.NoError(t, os.Rename(d.dir, to))
	d.dir = to
	c := d.start("killshop")
	c.ends()
	require.Contains(t, c.log(), "job resumed")
	d.finished("killshop", k.want, killFailures())
}

// disturbed is the folder of a crawl: its feeds, its pictures, its job.
type disturbed struct {
	*testing.T
	site  *killSite
	root  string // holds dir, and the logs: nobody may take them for something of the crawl's
	dir   string
	args  []string
	runs  int
	again func() string // what to say of a failure
}

// newDisturbed makes a folder that is kept if the test fails. The site forgets what it was asked.
func newDisturbed(t *testing.T, site *killSite, args ...string) *disturbed {
	t.Helper()
	site.begin()
	root, err := os.MkdirTemp("", "tulle-kill-")
	require.NoError(t, err)
	d := &disturbed{T: t, site: site, root: root, dir: filepath.Join(root, "crawl"), args: args, again: t.Name}
	require.NoError(t, os.Mkdir(d.dir, 0o755))
	t.Cleanup(func() {
		if !t.Failed() {
			_ = os.RemoveAll(root)
		}
	})
	return d
}

// check ends the test if there is an error, and says where to look.
func (d *disturbed) check(err error, what string) {
	d.Helper()
	if err != nil {
		d.Fatalf("%s: %v\n%s\nkept in %s", what, err, d.again(), d.root)
	}
}

// finished checks a job that has ended by itself, and that to start it once more does nothing.
func (d *disturbed) finished(spider string, want *outcome, failed map[string]string) {
	d.Helper()
	const what = "the finished job"
	got, err := outcomeOf(d.dir, d.site.pages())
	d.check(err, what)
	if want.pictures == nil {
		got.pictures = nil
	}
	d.check(got.equal(want), what)
	d.check(leftovers(d.dir), what)
	list, err := failuresOf(d.Context(), d.dir)
	d.check(err, what)
	if !maps.Equal(list, failed) {
		d.check(fmt.Errorf("failures are %v, not %v", list, failed), what)
	}

	const again = "the finished job, started again"
	asked, before := d.site.requests(), d.feeds()
	c := d.start(spider)
	c.ends()
	if !strings.Contains(c.log(), "this job is finished") {
		d.check(fmt.Errorf("it does not say that it is finished:\n%s", c.said()), again)
	}
	if n := d.site.requests() - asked; n != 0 {
		d.check(fmt.Errorf("it has asked %d pages", n), again)
	}
	for i, text := range d.feeds() {
		if text != before[i] {
			d.check(fmt.Errorf("%s had %d bytes and has %d", killFeeds[i], len(before[i]), len(text)), again)
		}
	}
	d.check(leftovers(d.dir), again)
}

// feeds are the texts of the feeds.
func (d *disturbed) feeds() (texts []string) {
	d.Helper()
	for _, name := range killFeeds {
		text, err := feedText(filepath.Join(d.dir, name))
		require.NoError(d, err)
		texts = append(texts, string(text))
	}
	return texts
}

// process is one run of a crawl.
type process struct {
	*exec.Cmd
	d     *disturbed
	began time.Time
	done  chan struct{} // closed when it has ended
	logs  string
}

// start starts a run.
func (d *disturbed) start(spider string) *process {
	d.Helper()
	d.runs++
	p := &process{d: d, done: make(chan struct{}), logs: filepath.Join(d.root, fmt.Sprintf("run-%03d.log", d.runs))}
	file, err := os.Create(p.logs)
	require.NoError(d, err)
	defer file.Close()
	var feeds []map[string]any
	for _, name := range killFeeds {
		if name == sentDir {
			feeds = append(feeds, map[string]any{"uri": sentDir + "://here/%(batch_id)05d.jsonl", "batch_items": killBatch})
			continue
		}
		if name == cutDir {
			feeds = append(feeds, map[string]any{"uri": cutDir + "/%(batch_id)05d.jsonl", "batch_items": killBatch})
			continue
		}
		feeds = append(feeds, map[string]any{"uri": name})
	}
	text, err := json.Marshal(feeds)
	require.NoError(d, err)
	args := append([]string{"crawl", spider, "-s", "feeds=" + string(text)}, d.args...)
	// The test's context kills too, and that would look like a death of the crawl's own.
	p.Cmd = exec.CommandContext(context.WithoutCancel(d.Context()), os.Args[0], args...)
	p.Dir, p.Stderr = d.dir, file
	// The race detector waits a second before the process ends, unless told otherwise.
	p.Env = append(os.Environ(), killSiteAddr+"="+d.site.addr(), "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	p.began = time.Now()
	d.site.mark()
	require.NoError(d, p.Start())
	go func() {
		defer close(p.done)
		_ = p.Wait() // the state says it
	}()
	d.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.done
	})
	return p
}

// log is what the run has said.
func (p *process) log() string { return read(p.d.T, p.logs) }

// asked is when the first and the last page of this run were asked, zero if none was.
func (p *process) asked() (first, last time.Time) { return p.d.site.times() }

// wait waits, or until the process has ended.
func (p *process) wait(d time.Duration) {
	select {
	case <-p.done:
	case <-time.After(d):
	}
}

// until waits for something that the site sees, or until the process has ended.
func (p *process) until(so func() bool) {
	for !so() {
		select {
		case <-p.done:
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// kill kills the process, and reports whether it had ended by itself before.
func (p *process) kill() (ended bool) {
	p.d.Helper()
	_ = p.Process.Kill()
	return p.over(true)
}

// dies waits for a process that may end itself, and reports whether it has ended as it should.
func (p *process) dies() (ended bool) {
	p.d.Helper()
	p.patience()
	return p.over(true)
}

// ends waits for the end of a crawl that nobody disturbs.
func (p *process) ends() {
	p.d.Helper()
	p.patience()
	p.over(false)
}

// patience waits for the end of a process, and kills one that does not end.
func (p *process) patience() {
	p.d.Helper()
	select {
	case <-p.done:
	case <-time.After(2 * time.Minute):
		_ = p.Process.Kill()
		<-p.done
		p.d.check(fmt.Errorf("it does not end:\n%s", p.said()), "a run of the crawl")
	}
}

// over says how a process has ended: by itself, or killed if it may be. Any other end fails the test.
func (p *process) over(mayBeKilled bool) (ended bool) {
	p.d.Helper()
	<-p.done
	code := p.ProcessState.ExitCode()
	// A process that was killed has no exit code, or 1 on Windows.
	killed := code == -1 || runtime.GOOS == "windows" && code == 1
	if code != 0 && !(killed && mayBeKilled) {
		p.d.check(fmt.Errorf("%v:\n%s", p.ProcessState, p.said()), "a run of the crawl")
	}
	return code == 0
}

// said is the end of the log.
func (p *process) said() string {
	text := p.log()
	return text[max(0, len(text)-4000):]
}

package cmd

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tulle-go/tulle/crawl"
)

// States of a job.
const (
	jobRunning  = "running"
	jobFinished = "finished"
	jobKilled   = "killed"
	jobStopped  = "stopped"
)

// stateOf is a job's state, in a word.
func stateOf(i crawl.JobInfo) string {
	switch {
	case i.Running:
		return jobRunning
	case i.Finished:
		return jobFinished
	case i.Owner != nil:
		return jobKilled
	}
	return jobStopped
}

// jobText is what stat prints. Rows that have nothing to say are left out.
func (a *app) jobText(i crawl.JobInfo) string {
	var b strings.Builder
	row := func(name, text string) { fmt.Fprintf(&b, "  %-10s%s\n", name, text) }
	fmt.Fprintf(&b, "Job %s: spider %s%s\n", i.Dir, i.Spider, list(" (", ")", pairsText(i.Identity)))

	row("state", stateText(i))
	waiting := ""
	if i.Delayed > 0 {
		waiting = fmt.Sprintf(" (%d to be asked again later)", i.Delayed)
	}
	row("pages", fmt.Sprintf("%d done, %d waiting%s, %d failed", i.Done, i.Queued, waiting, i.Failed))
	if i.Duplicates > 0 {
		row("skipped", fmt.Sprintf("%d seen before", i.Duplicates))
	}
	if i.Queued > 0 {
		row("waiting", fmt.Sprintf("at %s%s", count(int64(i.Hosts), "host"), list("; ", "", routesText(i.Routes))))
	}
	heads := heads{}
	for _, f := range i.Feeds {
		row(heads.next("feed"), fmt.Sprintf("%s: %s, %s", f.URI, count(f.Items, "item"), bytesText(f.Bytes)))
	}
	runs := fmt.Sprint(i.Runs)
	if n := killsOf(i); n > 0 {
		runs += fmt.Sprintf(", %d of them killed", n)
	}
	row("runs", runs+"; the first began "+i.Created.Local().Format(time.DateTime))
	row("disk", bytesText(i.Disk))
	for _, line := range a.nextSteps(i) {
		row(heads.next("next"), line)
	}
	return b.String()
}

// killsOf counts the last run too: the job itself notices only when it is opened again.
func killsOf(i crawl.JobInfo) int {
	if i.Owner != nil && !i.Running {
		return i.Kills + 1
	}
	return i.Kills
}

func stateText(i crawl.JobInfo) string {
	switch state := stateOf(i); {
	case state == jobRunning && i.Owner == nil:
		return state
	case state == jobRunning:
		return fmt.Sprintf("%s: %s", state, ownerText(i.Owner))
	case state == jobKilled:
		return fmt.Sprintf("%s: %s; nothing is lost", state, ownerText(i.Owner))
	case state == jobStopped && !slices.Contains([]string{"", reasonShutdown, reasonFinished}, i.Reason): // finished, before failed requests were queued again
		return fmt.Sprintf("%s (%s)", state, printable(i.Reason))
	default:
		return state
	}
}

func ownerText(o *crawl.JobOwner) string {
	if o.PID == 0 {
		return "an unknown process"
	}
	return fmt.Sprintf("process %d on %s since %s", o.PID, o.Host, o.Since.Local().Format(time.DateTime))
}

// nextSteps say what to do with a job, in lines.
func (a *app) nextSteps(i crawl.JobInfo) []string {
	state := stateOf(i)
	switch {
	case state == jobRunning:
		return []string{"Ctrl-C there stops it; the same command line goes on"}
	case state == jobFinished && i.Failed > 0:
		return a.afterFailures(i)
	case state == jobFinished:
		return []string{"nothing is left to do: the folder may be removed"}
	case a.program.Spiders[i.Spider] == nil:
		return []string{"go on by the same command line, of the program that has this spider"}
	}
	lines := []string{"go on by the same command line, with its -o, -O and -s if any:", a.goOn(i)}
	if i.Reason == reasonDiskFull {
		lines = slices.Insert(lines, 0, "make room on the disk, or set job.min_free lower, then")
	}
	return lines
}

func (a *app) afterFailures(i crawl.JobInfo) []string {
	return []string{
		a.jobLine("list", "--failed", i.Dir) + " shows what failed,",
		a.jobLine("requeue-failed", i.Dir) + " asks for it again",
	}
}

func pairsText(m map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+"="+m[k])
	}
	return printable(strings.Join(parts, ", "))
}

// routesText names the routes that most requests wait for.
func routesText(routes map[string]int64) string {
	const most = 4
	names := slices.SortedFunc(maps.Keys(routes), func(x, y string) int {
		return cmp.Or(cmp.Compare(routes[y], routes[x]), cmp.Compare(x, y))
	})
	var parts []string
	for _, name := range names[:min(len(names), most)] {
		parts = append(parts, fmt.Sprintf("%d for %s", routes[name], routeText(name)))
	}
	if n := len(names) - most; n > 0 {
		parts = append(parts, count(int64(n), "more route"))
	}
	return strings.Join(parts, ", ")
}

// routeText is a route as people read it.
func routeText(route string) string {
	if route == "" {
		return "Parse"
	}
	return printable(route)
}

// jobJSON is what stat prints for scripts.
type jobJSON struct {
	Dir        string            `json:"dir"`
	Format     int               `json:"format"`
	Spider     string            `json:"spider"`
	Identity   map[string]string `json:"identity,omitempty"`
	State      string            `json:"state"` // running, stopped, killed or finished
	Reason     string            `json:"reason,omitempty"`
	Owner      *crawl.JobOwner   `json:"owner,omitempty"`
	Created    time.Time         `json:"created"`
	Updated    time.Time         `json:"updated,omitzero"`
	Runs       int               `json:"runs"`
	Kills      int               `json:"kills"`
	Done       int64             `json:"done"`
	Waiting    int64             `json:"waiting"`
	Delayed    int64             `json:"delayed"`
	Failed     int64             `json:"failed"`
	Duplicates int64             `json:"duplicates"`
	Seen       int64             `json:"seen"`
	Hosts      int               `json:"hosts"`
	Routes     map[string]int64  `json:"routes"`
	StartDone  bool              `json:"start_done"`
	Feeds      []jobFeedJSON     `json:"feeds"`
	Stats      map[string]any    `json:"stats,omitempty"`
	Disk       int64             `json:"disk"`
}

type jobFeedJSON struct {
	URI   string `json:"uri"`
	Items int64  `json:"items"`
	Bytes int64  `json:"bytes"`
}

func jobFigures(i crawl.JobInfo) jobJSON {
	feeds := make([]jobFeedJSON, 0, len(i.Feeds))
	for _, f := range i.Feeds {
		feeds = append(feeds, jobFeedJSON{URI: f.URI, Items: f.Items, Bytes: f.Bytes})
	}
	return jobJSON{
		Dir: i.Dir, Format: i.Format, Spider: i.Spider, Identity: i.Identity, State: stateOf(i), Reason: i.Reason, Owner: i.Owner,
		Created: i.Created, Updated: i.Updated, Runs: i.Runs, Kills: killsOf(i),
		Done: i.Done, Waiting: i.Queued, Delayed: i.Delayed, Failed: i.Failed, Duplicates: i.Duplicates, Seen: i.Seen,
		Hosts: i.Hosts, Routes: i.Routes, StartDone: i.StartDone, Feeds: feeds, Stats: i.Stats, Disk: i.Disk,
	}
}

package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"time"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/scheduler/jobdir"
)

// What the scheduler is driven with.
const (
	freshLinks = 5  // of a page in the stage "lease"
	inHand     = 64 // pages
	perHost    = 8
	underWay   = 8     // changes, as many as the engine allows
	bulk       = 2_000 // requests in a change of the stage "seen"
	recent     = 1_000 // links that are pushed again and again
	lowerThan  = -1    // the priority of links that are to leave last
)

// A task is what one child does. It comes as JSON on its standard input.
type task struct {
	Stage   string `json:"stage"`
	Dir     string `json:"dir"`
	Memory  int64  `json:"memory"`
	Hosts   int    `json:"hosts"`
	Size    int    `json:"size"`   // of the job that the stage is about
	Queued  int    `json:"queued"` // requests that wait, in the stage "push" at its end
	Links   int    `json:"links"`  // links with a lower number are known
	Every   int    `json:"every"`  // requests between two reports
	Pages   int    `json:"pages"`  // to lease, or to push
	Last    bool   `json:"last"`   // new links leave last
	Killed  bool   `json:"killed"` // the process before was killed
	Marks   []int  `json:"marks"`  // numbers of fingerprints to report at
	Profile string `json:"profile,omitempty"`
}

// A report is what a child says, one JSON object a line. Times are in seconds, rates a second, sizes in bytes.
type report struct {
	Stage  string  `json:"stage"`
	Size   int     `json:"size"`   // of the job that the stage is about
	At     int     `json:"at"`     // how many requests wait, or fingerprints are known
	Last   bool    `json:"last"`   // new links leave last
	Killed bool    `json:"killed"` // the process before was killed
	Rate   float64 `json:"rate"`   // of requests, pages or fingerprints
	CPU    float64 `json:"cpu"`    // seconds of processor time for each, those of making them and of the store's own work included
	Making float64 `json:"making"` // rate at which the requests alone are made
	Bulk   float64 `json:"bulk"`   // rate of fingerprints that are pushed, leased and acknowledged in large changes
	Known  float64 `json:"known"`  // rate of links that are known, drawn from all
	Recent float64 `json:"recent"` // rate of links that are known, drawn from a few
	Took   float64 `json:"took"`   // opening
	Change times   `json:"change"` // from Commit until done
	Lease  times   `json:"lease"`  // in Lease
	Idle   float64 `json:"idle"`   // share of the time in which nothing could leave
	Disk   int64   `json:"disk"`
	Memory memory  `json:"memory"`
}

// times are percentiles of durations, in seconds.
type times struct {
	Half float64 `json:"half"`
	Most float64 `json:"most"` // 99 in 100
	Max  float64 `json:"max"`
}

func timesOf(all []time.Duration) times {
	if len(all) == 0 {
		return times{}
	}
	slices.Sort(all)
	at := func(part float64) float64 { return all[int(part*float64(len(all)-1))].Seconds() }
	return times{Half: at(0.5), Most: at(0.99), Max: at(1)}
}

// roleStage is a child's first argument.
const roleStage = "child-stage"

func isChild(args []string) bool { return len(args) > 1 && args[1] == roleStage }

func childMain(stdin io.Reader, stdout, stderr io.Writer) int {
	if err := stageMain(stdin, stdout); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

func stageMain(stdin io.Reader, stdout io.Writer) (err error) {
	var t task
	if err := json.NewDecoder(stdin).Decode(&t); err != nil {
		return fmt.Errorf("read task: %w", err)
	}
	stages := map[string]func(*driver) error{"push": pushStage, "open": openStage, "kill": killStage, "lease": leaseStage, "seen": seenStage}
	run := stages[t.Stage]
	if run == nil {
		return fmt.Errorf("unknown stage %q", t.Stage)
	}
	if t.Profile != "" {
		f, err := os.Create(t.Profile + ".cpu.pprof")
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d := &driver{task: t, ctx: ctx, reports: json.NewEncoder(stdout), done: make(chan finished, underWay), woken: make(chan struct{}, 1)}
	if err := run(d); err != nil {
		return fmt.Errorf("stage %s: %w", t.Stage, err)
	}
	return nil
}

// A driver does what the engine's loop does with a scheduler.
type driver struct {
	task
	ctx     context.Context
	reports *json.Encoder
	sched   crawl.Scheduler
	shared  crawl.Push // of the stage "seen"
	took    float64

	done    chan finished
	woken   chan struct{}
	commits int
	seen    int // dropped as seen
	changes []time.Duration
	leases  []time.Duration
	idle    time.Duration
}

// finished is a change that was answered.
type finished struct {
	seen int
	took time.Duration
	err  error
}

func (d *driver) open() error {
	start := time.Now()
	sched, err := jobdir.Open(d.ctx, d.Dir, crawl.SchedulerOptions{
		Default: crawl.Limits{Concurrency: perHost},
		Wake: func() {
			select {
			case d.woken <- struct{}{}:
			default:
			}
		},
		Job: crawl.JobOptions{Memory: d.Memory, Attempts: 3, Spider: "queue"},
	})
	if err != nil {
		return err
	}
	d.sched, d.took = sched, time.Since(start).Seconds()
	return nil
}

func (d *driver) close() error { return errors.Join(d.settle(), d.sched.Close(d.ctx)) }

func (d *driver) report(r report) error {
	r.Stage, r.Size, r.Last, r.Killed = d.Stage, d.Size, d.Last, d.Killed
	r.Disk, r.Memory = diskOf(d.Dir), memoryNow()
	if err := d.reports.Encode(r); err != nil || d.Profile == "" {
		return err
	}
	f, err := os.Create(d.Profile + ".heap.pprof")
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
}

// commit hands a change over when few enough are under way.
func (d *driver) commit(tx *crawl.Tx) error {
	for d.commits >= underWay {
		if err := d.answer(); err != nil {
			return err
		}
	}
	d.commits++
	start := time.Now()
	d.sched.Commit(tx, func(c crawl.Committed, err error) {
		d.done <- finished{seen: len(c.Seen), took: time.Since(start), err: err}
	})
	return nil
}

// answer waits for a change.
func (d *driver) answer() error {
	f := <-d.done
	d.commits--
	d.seen += f.seen
	d.changes = append(d.changes, f.took)
	return f.err
}

// settle waits for all changes.
func (d *driver) settle() error {
	for d.commits > 0 {
		if err := d.answer(); err != nil {
			return err
		}
	}
	return nil
}

// push pushes pages, and says how many links a second that were.
func (d *driver) push(list <-chan page, n int) (rate float64, err error) {
	start := time.Now()
	for range n {
		p := <-list
		if p.err != nil {
			return 0, p.err
		}
		if err := d.commit(&crawl.Tx{Push: p.push}); err != nil {
			return 0, err
		}
	}
	if err := d.settle(); err != nil {
		return 0, err
	}
	return float64(n*pageLinks) / time.Since(start).Seconds(), nil
}

// making is how many links a second are made when nobody takes their time but their maker.
func (d *driver) making(list <-chan page, n int) (float64, error) {
	start := time.Now()
	for range n {
		if p := <-list; p.err != nil {
			return 0, p.err
		}
	}
	return float64(n*pageLinks) / time.Since(start).Seconds(), nil
}

// pushStage fills an empty job.
func pushStage(d *driver) error {
	ctx, cancel := context.WithCancel(d.ctx)
	making, err := d.making(pages(ctx, d.Hosts, 0, inOrder(0)), max(d.Every/pageLinks/4, 1))
	cancel()
	if err != nil {
		return err
	}
	if err := d.open(); err != nil {
		return err
	}
	list := pages(d.ctx, d.Hosts, 0, inOrder(0))
	for at := 0; at < d.Queued; {
		n, before := min(d.Every, d.Queued-at)/pageLinks, processorTime()
		rate, err := d.push(list, n)
		if err != nil {
			return err
		}
		at += n * pageLinks
		if c := d.sched.Counts(); c.Queued != at {
			return fmt.Errorf("%d requests wait, not %d", c.Queued, at)
		}
		cpu := (processorTime() - before).Seconds() / float64(n*pageLinks)
		if err := d.report(report{At: at, Rate: rate, CPU: cpu, Making: making}); err != nil {
			return err
		}
	}
	return d.close()
}

// inOrder numbers the links of pages one after the other.
func inOrder(from int) func(page, place int) int {
	return func(page, place int) int { return from + page*pageLinks + place }
}

// openStage opens a job and lets the first pages leave.
func openStage(d *driver) error {
	start := time.Now()
	if err := d.open(); err != nil {
		return err
	}
	leases, _ := d.sched.Lease(time.Now(), inHand)
	first := time.Since(start).Seconds() - d.took
	if len(leases) == 0 {
		return errors.New("nothing can leave")
	}
	r := report{At: d.sched.Counts().Queued + len(leases), Took: d.took, Lease: times{Max: first}}
	if r.At < d.Queued {
		return fmt.Errorf("%d requests wait, not %d", r.At, d.Queued)
	}
	if err := d.report(r); err != nil {
		return err
	}
	return d.close()
}

// killStage adds to a job and leaves it as a killed process does, with pages in hand.
func killStage(d *driver) error {
	if err := d.open(); err != nil {
		return err
	}
	d.sched.Lease(time.Now(), inHand)
	rate, err := d.push(pages(d.ctx, d.Hosts, 0, inOrder(d.Links)), d.Pages)
	if err != nil {
		return err
	}
	return d.report(report{At: d.Queued + d.Pages*pageLinks, Rate: rate}) // and the process ends
}

// leaseStage crawls without a network.
func leaseStage(d *driver) error {
	if err := d.open(); err != nil {
		return err
	}
	priority := 0
	if d.Last {
		priority = lowerThan
	}
	list := pages(d.ctx, d.Hosts, priority, func(page, place int) int {
		if place < freshLinks {
			return d.Links + page*freshLinks + place
		}
		return int(mix(uint64(page*pageLinks+place)) % uint64(d.Links))
	})
	var hand []crawl.Lease // in the order in which they left
	d.changes, d.leases = make([]time.Duration, 0, d.Pages), make([]time.Duration, 0, d.Pages)
	start, before := time.Now(), processorTime()
	for ended := 0; ended < d.Pages; {
		if len(hand) < inHand {
			before := time.Now()
			leases, _ := d.sched.Lease(before, inHand-len(hand))
			d.leases = append(d.leases, time.Since(before))
			for i := range leases {
				if leases[i].Err != nil {
					return leases[i].Err
				}
			}
			hand = append(hand, leases...)
		}
		if len(hand) == 0 {
			if err := d.wait(); err != nil {
				return err
			}
			continue
		}
		p := <-list
		if p.err != nil {
			return p.err
		}
		lease := hand[0]
		hand = hand[1:]
		d.sched.Release(lease.Request.Slot(), time.Now())
		for i := range p.push {
			p.push[i].Parent = lease.ID
		}
		if err := d.commit(&crawl.Tx{Push: p.push, Ack: []uint64{lease.ID}}); err != nil {
			return err
		}
		ended++
	}
	if err := d.settle(); err != nil {
		return err
	}
	took, cpu := time.Since(start), processorTime()-before
	if want := d.Pages * (pageLinks - freshLinks); d.seen != want {
		return fmt.Errorf("%d links were seen, not %d", d.seen, want)
	}
	r := report{
		At: d.sched.Counts().Queued + len(hand), Rate: float64(d.Pages) / took.Seconds(), CPU: cpu.Seconds() / float64(d.Pages),
		Change: timesOf(d.changes), Lease: timesOf(d.leases), Idle: d.idle.Seconds() / took.Seconds(),
	}
	if want := d.Queued + d.Pages*(freshLinks-1); r.At != want {
		return fmt.Errorf("%d requests wait, not %d", r.At, want)
	}
	if err := d.report(r); err != nil {
		return err
	}
	return d.close()
}

// wait waits until more may leave.
func (d *driver) wait() error {
	start := time.Now()
	defer func() { d.idle += time.Since(start) }()
	if d.commits == 0 {
		select {
		case <-d.woken:
			return nil
		case <-time.After(time.Minute):
			return errors.New("nothing leaves")
		}
	}
	select {
	case <-d.woken:
		return nil
	case f := <-d.done:
		d.commits--
		d.seen += f.seen
		d.changes = append(d.changes, f.took)
		return f.err
	}
}

// seenStage makes fingerprints known, and asks for them.
func seenStage(d *driver) error {
	if err := d.open(); err != nil {
		return err
	}
	for i := range seenSlots {
		d.sched.Limit(seenSlot(i), crawl.Limits{Concurrency: -1})
	}
	p, err := crawl.NewPush(0, crawl.Get("https://seen.example/"))
	if err != nil {
		return err
	}
	d.shared = p
	known := 0
	for _, mark := range d.Marks {
		var r report
		start, from := time.Now(), known
		for known < mark-d.Pages*pageLinks {
			n := min(bulk, mark-d.Pages*pageLinks-known)
			if err := d.learn(known, n); err != nil {
				return err
			}
			known += n
		}
		if err := d.finish(); err != nil {
			return err
		}
		r.Bulk = float64(known-from) / time.Since(start).Seconds()
		before := d.seen
		if r.Rate, err = d.ask(func(page, place int) int { return known + page*pageLinks + place }); err != nil {
			return err
		}
		if known = mark; d.seen != before {
			return fmt.Errorf("%d new links were seen", d.seen-before)
		}
		if r.Known, err = d.ask(among(mark, known)); err != nil {
			return err
		}
		if r.Recent, err = d.ask(among(min(recent, mark), known+1)); err != nil {
			return err
		}
		if asked := 2 * d.Pages * pageLinks; d.seen-before != asked {
			return fmt.Errorf("%d of %d known links were seen", d.seen-before, asked)
		}
		if err := d.finish(); err != nil {
			return err
		}
		if c := d.sched.Counts(); c.Seen != mark || c.Queued != 0 {
			return fmt.Errorf("%d fingerprints are known, not %d, and %d requests wait", c.Seen, mark, c.Queued)
		}
		r.At = mark
		if err := d.report(r); err != nil {
			return err
		}
	}
	return d.close()
}

// seenSlots is how many queues the stage "seen" has: so few that what waits in them is in memory.
const seenSlots = 64

func seenSlot(i int) string { return "seen-" + strconv.Itoa(i) + ".example" }

// numbered is the push with the n-th fingerprint. The request is the same for all.
func (d *driver) numbered(n int) crawl.Push {
	p := d.shared
	p.Slot = seenSlot(n % seenSlots)
	binary.BigEndian.PutUint64(p.Fingerprint[0:], mix(uint64(n)))
	binary.BigEndian.PutUint64(p.Fingerprint[8:], mix(mix(uint64(n))^1))
	return p
}

// learn pushes n new fingerprints, and acknowledges what has become of earlier ones. It does not let them pile up.
func (d *driver) learn(from, n int) error {
	if d.sched.Counts().Queued > 2*underWay*bulk {
		if err := d.finish(); err != nil {
			return err
		}
	}
	tx := &crawl.Tx{Push: make([]crawl.Push, n)}
	for i := range tx.Push {
		tx.Push[i] = d.numbered(from + i)
	}
	d.lease(tx)
	return d.commit(tx)
}

// lease lets what waits leave and acknowledges it.
func (d *driver) lease(tx *crawl.Tx) {
	leases, _ := d.sched.Lease(time.Now(), 2*bulk)
	for _, l := range leases { // their slots have places without end, so none is given back
		tx.Ack = append(tx.Ack, l.ID)
	}
}

// finish acknowledges all that waits.
func (d *driver) finish() error {
	for {
		if err := d.settle(); err != nil {
			return err
		}
		if d.sched.Counts().Queued == 0 {
			return nil
		}
		tx := new(crawl.Tx)
		if d.lease(tx); len(tx.Ack) == 0 {
			if err := d.wait(); err != nil {
				return err
			}
			continue
		}
		if err := d.commit(tx); err != nil {
			return err
		}
	}
}

// ask pushes pages of links with these numbers, and says how many links a second that were.
func (d *driver) ask(link func(page, place int) int) (rate float64, err error) {
	start := time.Now()
	for i := range d.Pages {
		tx := &crawl.Tx{Push: make([]crawl.Push, pageLinks)}
		for place := range tx.Push {
			tx.Push[place] = d.numbered(link(i, place))
		}
		if err := d.commit(tx); err != nil {
			return 0, err
		}
	}
	err = d.settle()
	return float64(d.Pages*pageLinks) / time.Since(start).Seconds(), err
}

// among draws from the first n numbers.
func among(n, seed int) func(page, place int) int {
	return func(page, place int) int { return int(mix(uint64(seed)+mix(uint64(page*pageLinks+place))) % uint64(n)) }
}

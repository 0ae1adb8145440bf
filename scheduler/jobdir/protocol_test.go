package jobdir_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// This is the commit protocol of a job as a model that is small enough to look at every state of it: three pages, four items, one picture, one feed, and crashes at every
// point, that of the process (what it has written stays, and may yet be lost) and that of the machine (of what was not synced any part may be gone). The model says why the
// steps stand in the order in which they do: each other order that it knows loses something, and the model finds it.

const (
	protocolPages   = "ABC"
	protocolPage    = 'B'  // the page with the picture
	protocolNames   = "b;" // the line that names it
	protocolEnd     = "]"  // what a feed ends with, and the next record overwrites
	protocolCrashes = 2
)

// protocolLines are what a page yields: lines of one letter and an end.
func protocolLines(page byte) string {
	if page == protocolPage {
		return "b;d;"
	}
	return string(page-'A'+'a') + ";"
}

// mutation is a mistake in the protocol.
type mutation string

const (
	faithful          mutation = ""
	commitUnsynced    mutation = "the batch is committed before the feed is synced"
	feedBeforeMedia   mutation = "the feed is synced before the media that its lines name"
	mediaNeverSynced  mutation = "media is not synced"
	foundNotSynced    mutation = "media that an earlier process has stored is not synced"
	noCut             mutation = "a feed is not cut back when it is opened"
	acksFirst         mutation = "acknowledgements are committed before the feed's position"
	positionFirst     mutation = "the feed's position is committed before the acknowledgements"
	linesAfterCommit  mutation = "lines are written after the batch"
	linesBeforeTheEnd mutation = "lines are written when the items leave the last stage"
)

// phase is where the process is.
type phase byte

const (
	opening phase = iota // it has read the state, and not looked at the feed yet
	cut                  // the feed was cut back
	running              // changes are applied to the group
	writing              // the group's lines are written
	synced               // they are durable
	half                 // of two batches, where a mutation makes two, the first is committed
	written              // a mutation's: committed, and lines are to come
)

// world is a state of the model. Every field is comparable, so that states that were met before are known.
type world struct {
	disk, cache     string // the feed: what would be left if the power went, at the least, and what the processes see
	mediaDisk       bool   // the picture, likewise
	mediaCache      bool
	acked, text     string // committed: the pages that are done, and the feed up to its position
	phase           phase
	stored, flushed bool   // this process has the picture's result, and has synced it
	early           string // pages whose lines a mutation has written already
	group           string // pages that were applied since the last batch, in their order
	bytes           int    // of the group's lines, written so far
	crashes         int
}

// step is one thing that happens, and what comes of it.
type step struct {
	what string
	to   world
}

// lines are what a group appends.
func (w *world) lines() string {
	var b strings.Builder
	for i := range len(w.group) {
		b.WriteString(protocolLines(w.group[i]))
	}
	return b.String()
}

// write puts bytes into the feed at an offset, over what is there.
func write(feed, text string, at int) string {
	return feed[:at] + text + feed[min(len(feed), at+len(text)):]
}

// steps are all that can happen next but crashes. The error is a broken promise.
func (w world) steps(m mutation) (next []step, err error) {
	do := func(what string, change func(to *world)) {
		to := w
		change(&to)
		next = append(next, step{what, to})
	}
	at := len(w.text)
	if m == noCut && w.phase > cut {
		// The position is where the file ended when it was opened.
		at = strings.LastIndex(w.cache, protocolEnd)
	}
	switch w.phase {
	case opening:
		if m != noCut && !strings.HasPrefix(w.cache, w.text) {
			return nil, fmt.Errorf("the feed is refused: it holds %q, and %q was committed", w.cache, w.text)
		}
		if m == noCut {
			do("open", func(to *world) {
				if !strings.HasSuffix(to.cache, protocolEnd) {
					to.cache += protocolEnd
				}
				to.text = strings.TrimSuffix(to.cache, protocolEnd)
				to.phase = running
			})
			return next, nil
		}
		do("cut the feed back", func(to *world) { to.cache, to.phase = to.text, cut })
	case cut:
		do("write the feed's end", func(to *world) { to.cache, to.phase = to.text+protocolEnd, running })
	case running:
		w.work(m, do)
		if w.group == "" {
			break
		}
		switch m {
		case linesAfterCommit:
			do("commit", func(to *world) {
				to.acked += to.group
				to.text += to.lines()
				to.phase = written
			})
		default:
			do("close the group", func(to *world) { to.phase, to.bytes = writing, 0 })
		}
	case writing:
		text := w.lines() + protocolEnd
		if m == linesBeforeTheEnd {
			text = "" // they are there
		}
		switch {
		case w.bytes < len(text):
			do("write a byte of the lines", func(to *world) {
				to.cache = write(to.cache, text[w.bytes:w.bytes+1], at+w.bytes)
				to.bytes++
			})
		case m == commitUnsynced:
			do("commit", func(to *world) { to.commit() })
		default:
			do("sync the feed", func(to *world) { to.disk, to.phase = to.cache, synced })
		}
	case synced:
		if m == feedBeforeMedia && strings.IndexByte(w.group, protocolPage) >= 0 && !w.flushed {
			do("sync the picture", func(to *world) { to.mediaDisk, to.flushed = to.mediaCache, true })
			break
		}
		switch m {
		case acksFirst:
			do("commit the acknowledgements", func(to *world) { to.acked, to.phase = to.acked+to.group, half })
		case positionFirst:
			do("commit the position", func(to *world) { to.text, to.phase = to.text+to.lines(), half })
		default:
			do("commit", func(to *world) { to.commit() })
		}
	case half:
		do("commit the rest", func(to *world) {
			if m == acksFirst {
				to.text += to.lines()
			} else {
				to.acked += to.group
			}
			to.group, to.bytes, to.phase = "", 0, running
		})
	case written:
		do("write the lines", func(to *world) {
			to.cache = to.text + protocolEnd
			to.disk = to.cache
			to.group, to.phase = "", running
		})
	}
	return next, nil
}

// work is what the engine does: pages that are not done are asked, their pictures stored and synced, and their changes applied with their lines.
func (w *world) work(m mutation, do func(string, func(*world))) {
	done := w.acked + w.group
	for i := range len(protocolPages) {
		page := protocolPages[i]
		if strings.IndexByte(done, page) >= 0 || page == 'C' && strings.IndexByte(done, 'A') < 0 {
			continue // A and C are alike: one order of the two is enough
		}
		apply := func() {
			if m == linesBeforeTheEnd && strings.IndexByte(w.early, page) < 0 {
				do("write the lines of "+string(page), func(to *world) {
					to.early += string(page)
					to.cache = strings.TrimSuffix(to.cache, protocolEnd) + protocolLines(page) + protocolEnd
				})
				return
			}
			do("apply the change of "+string(page), func(to *world) { to.group += string(page) })
		}
		switch {
		case page != protocolPage:
			apply()
		case !w.stored:
			do("store the picture, or find it", func(to *world) {
				// What this process has not written itself a mutation takes for safe.
				to.flushed = m == foundNotSynced && to.mediaCache
				to.stored, to.mediaCache = true, true
			})
		case !w.flushed && m != feedBeforeMedia && m != mediaNeverSynced:
			do("sync the picture", func(to *world) { to.mediaDisk, to.flushed = true, true })
		default:
			apply()
		}
	}
}

// commit is the batch: the group's acknowledgements, and the feed's position.
func (w *world) commit() {
	w.acked += w.group
	w.text += w.lines()
	w.group, w.bytes, w.phase = "", 0, running
}

// crash ends the process.
func (w world) crash() world {
	return world{
		disk: w.disk, cache: w.cache, mediaDisk: w.mediaDisk, mediaCache: w.mediaCache, acked: w.acked, text: w.text, crashes: w.crashes + 1,
	}
}

// crashed are the states that a crash can leave.
func (w world) crashed() (next []step) {
	if w.crashes == protocolCrashes {
		return nil
	}
	next = append(next, step{"the process is killed", w.crash()})
	media := []bool{w.mediaCache}
	if w.mediaCache != w.mediaDisk {
		media = append(media, w.mediaDisk)
	}
	for _, feed := range leftOf(w.disk, w.cache) {
		for _, picture := range media {
			to := w.crash()
			to.disk, to.cache, to.mediaDisk, to.mediaCache = feed, feed, picture, picture
			next = append(next, step{fmt.Sprintf("the power goes: the feed is %q, the picture there: %t", feed, picture), to})
		}
	}
	return next
}

// leftOf are the contents that a file may have after a power cut. What both agree on is safe; behind it there may be any part of what was written, and then nothing, what was
// there before, or a hole.
func leftOf(disk, cache string) (all []string) {
	same := 0
	for same < len(disk) && same < len(cache) && disk[same] == cache[same] {
		same++
	}
	known := make(map[string]bool)
	add := func(s string) {
		if !known[s] {
			known[s] = true
			all = append(all, s)
		}
	}
	add(disk)
	add(cache)
	if disk == cache {
		return all
	}
	for i := same; i <= len(cache); i++ {
		add(cache[:i])
		add(cache[:i] + disk[min(i, len(disk)):])
		add(cache[:i] + strings.Repeat("\x00", len(cache)-i))
	}
	return all
}

// promise is an error if a state breaks what is promised: at every opening, and at the end.
func (w *world) promise() error {
	if strings.Contains(w.cache, protocolNames) && !w.mediaCache {
		return fmt.Errorf("the feed %q names a picture that a crash has taken", w.cache)
	}
	over := w.over()
	if w.phase != opening && !over {
		return nil
	}
	want := ""
	for i := range len(w.acked) {
		want += protocolLines(w.acked[i])
	}
	text := w.text
	if over {
		text = strings.TrimSuffix(w.cache, protocolEnd)
	}
	for _, line := range []string{"a;", "b;", "c;", "d;"} {
		if got, is := strings.Count(text, line), strings.Count(want, line); got != is {
			return fmt.Errorf("the line %s stands in the feed %d times and not %d times: %q, with the pages %q done", line, got, is, text, w.acked)
		}
	}
	if len(text) != len(want) {
		return fmt.Errorf("the feed holds %q, more than the lines of the pages %q", text, w.acked)
	}
	if over && w.cache != text+protocolEnd {
		return fmt.Errorf("the feed is left as %q", w.cache)
	}
	return nil
}

// over says that all is done.
func (w *world) over() bool { return w.phase == running && len(w.acked) == len(protocolPages) }

// explore visits every state that can be reached, breadth first, and returns their number. The error is the shortest way to a broken promise.
func explore(m mutation) (states, crashes int, err error) {
	type visit struct {
		from int
		what string
		w    world
	}
	queue := []visit{{from: -1}}
	known := map[world]struct{}{{}: {}}
	way := func(i int, err error) error {
		var steps []string
		for ; queue[i].from >= 0; i = queue[i].from {
			steps = append([]string{queue[i].what}, steps...)
		}
		return fmt.Errorf("%w, after:\n\t%s", err, strings.Join(steps, "\n\t"))
	}
	for i := 0; i < len(queue); i++ {
		w := queue[i].w
		if err := w.promise(); err != nil {
			return len(queue), crashes, way(i, err)
		}
		next, err := w.steps(m)
		if err != nil {
			return len(queue), crashes, way(i, err)
		}
		if len(next) == 0 && !w.over() {
			return len(queue), crashes, way(i, fmt.Errorf("the job does not go on"))
		}
		dead := w.crashed()
		crashes += len(dead)
		for _, s := range append(next, dead...) {
			if _, ok := known[s.to]; !ok {
				known[s.to] = struct{}{}
				queue = append(queue, visit{i, s.what, s.to})
			}
		}
	}
	return len(queue), crashes, nil
}

// TestProtocol looks at every state of the model.
func TestProtocol(t *testing.T) {
	t.Parallel()
	states, crashes, err := explore(faithful)
	require.NoError(t, err)
	require.Greater(t, states, 10_000)
	t.Logf("%d states, %d crashes", states, crashes)
}

// TestProtocolIsNeeded makes each mistake that the protocol avoids. The model finds what is wrong with it.
func TestProtocolIsNeeded(t *testing.T) {
	t.Parallel()
	for m, want := range map[mutation]string{
		commitUnsynced:    "the feed is refused",
		feedBeforeMedia:   "names a picture that a crash has taken",
		mediaNeverSynced:  "names a picture that a crash has taken",
		foundNotSynced:    "names a picture that a crash has taken",
		noCut:             "more than the lines of the pages",
		acksFirst:         "stands in the feed 0 times and not 1 times",
		positionFirst:     "stands in the feed 1 times and not 0 times",
		linesAfterCommit:  "the feed is refused",
		linesBeforeTheEnd: "the feed is refused",
	} {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			_, _, err := explore(m)
			require.ErrorContains(t, err, want)
			t.Log(err)
		})
	}
}

package cmd

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/tulle-go/tulle/engine"
)

// screen is standard error with, on a terminal, one live line at its foot. The log is written above it.
type screen struct {
	w        io.Writer
	terminal bool
	quiet    bool // nothing but errors is written

	mu   sync.Mutex
	line string // Guarded by mu: what stands on the live line.
}

func newScreen(w io.Writer, terminal bool) *screen { return &screen{w: w, terminal: terminal} }

// Write writes whole lines above the live one.
func (s *screen) Write(b []byte) (int, error) { return s.write(s.w, b) }

func (s *screen) write(w io.Writer, b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	n, err := w.Write(b)
	s.draw()
	return n, err
}

// above writes whole lines to w, which is the same terminal, above the live line.
func (s *screen) above(w io.Writer) io.Writer { return above{s, w} }

type above struct {
	s *screen
	w io.Writer
}

func (a above) Write(b []byte) (int, error) { return a.s.write(a.w, b) }

func (s *screen) print(text string) {
	if !s.quiet {
		_, _ = io.WriteString(s, text)
	}
}

// clear removes the live line. Called with mu held.
func (s *screen) clear() {
	if s.line != "" {
		_, _ = io.WriteString(s.w, "\r\x1b[K")
	}
}

// draw writes the live line. Called with mu held.
func (s *screen) draw() {
	if s.line != "" {
		_, _ = io.WriteString(s.w, s.line)
	}
}

func (s *screen) setLine(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	s.line = line
	s.draw()
}

// follow shows how a crawl goes until the returned function is called. Without a terminal it shows nothing: the log says it.
func (s *screen) follow(e *engine.Engine) (stop func()) {
	if !s.terminal {
		return func() {}
	}
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		var r rate
		for {
			select {
			case <-quit:
				s.setLine("")
				return
			case <-tick.C:
				if snap := e.Snapshot(); snap.State != "opening" && snap.State != "closed" {
					s.setLine(fit(liveLine(snap, r.next(snap)), s.width()))
				}
			}
		}
	}()
	return func() {
		close(quit)
		<-gone
	}
}

func (s *screen) width() int {
	if f, ok := fileOf(s.w); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 80
}

// fit cuts a line so that it does not wrap.
func fit(line string, width int) string {
	if r := []rune(line); len(r) >= width {
		return string(r[:width-1])
	}
	return line
}

// rate is responses a second over the last few seconds.
type rate struct {
	times  []time.Duration
	counts []int64
}

func (r *rate) next(s engine.Snapshot) float64 {
	r.times = append(r.times, s.Elapsed)
	r.counts = append(r.counts, s.Stats.Int("response_received_count"))
	if len(r.times) > 15 {
		r.times, r.counts = r.times[1:], r.counts[1:]
	}
	last := len(r.times) - 1
	span := (r.times[last] - r.times[0]).Seconds()
	if span <= 0 {
		if s := r.times[last].Seconds(); s > 0 {
			return float64(r.counts[last]) / s
		}
		return 0
	}
	return float64(r.counts[last]-r.counts[0]) / span
}

// liveLine is pages, items, media, rate, queue, errors, elapsed.
func liveLine(s engine.Snapshot, perSecond float64) string {
	media := s.Stats.Int("file_count")
	parts := []string{
		count(s.Stats.Int("page_count"), "page"),
		count(s.Stats.Int("item_scraped_count"), "item"),
	}
	if media > 0 || s.Media > 0 {
		parts = append(parts, fmt.Sprintf("%d media", media))
	}
	parts = append(parts,
		fmt.Sprintf("%.0f responses/s", perSecond),
		fmt.Sprintf("%d queued", s.Queue.Queued),
		count(s.Stats.Int("log_count/ERROR"), "error"),
		clock(s.Elapsed),
	)
	if s.State != "running" {
		parts = append([]string{s.State}, parts...)
	}
	return strings.Join(parts, " · ")
}

// count is a number of things.
func count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// clock is a duration as people read it: 0:07, 1:02:03.
func clock(d time.Duration) string {
	s := int(d.Seconds())
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

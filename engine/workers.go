package engine

import "sync/atomic"

// workers are goroutines that are kept when their work is done: a page's goroutine grows its stack by some kilobytes in net/http, which costs as much as a tenth of a
// small page. There are as many as there is work; work never waits for one.
type workers struct {
	tasks chan task
	idle  atomic.Int64 // workers that wait for a task, less the tasks that are on their way to them; far below zero after stop
	most  int64        // how many idle ones are kept
}

// task is a page, a media request or an item.
type task interface{ run() }

func newWorkers(most int) *workers {
	return &workers{tasks: make(chan task, most), most: int64(most)}
}

// do runs t soon, on a goroutine of its own.
func (w *workers) do(t task) {
	for n := w.idle.Load(); n > 0; n = w.idle.Load() {
		if w.idle.CompareAndSwap(n, n-1) {
			w.tasks <- t
			return
		}
	}
	go w.work(t)
}

// work ends when there are idle workers enough, or after stop.
func (w *workers) work(t task) {
	for t != nil {
		t.run()
		n := w.idle.Add(1)
		if n < 0 || n > w.most && w.idle.CompareAndSwap(n, n-1) {
			return
		}
		t = <-w.tasks
	}
}

// stop ends the workers that are idle, and each other when its task is done.
func (w *workers) stop() {
	for range w.idle.Swap(stopped) {
		w.tasks <- nil
	}
}

// stopped is a number of idle workers that no work can be handed to.
const stopped = -1 << 40

//go:build unix

package cmd

import (
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"github.com/tulle-go/tulle/engine"
)

// reports writes, above the live line, what the crawl is doing when SIGUSR1 comes, and with it the stacks of all goroutines when it is SIGUSR2, until the returned function
// is called. The crawl goes on. SIGQUIT is Go's own: all stacks, and the end of the process.
func reports(e *engine.Engine, s *screen) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			select {
			case <-quit:
				return
			case sig := <-signals:
				_, _ = s.Write([]byte(e.Report()))
				if sig == syscall.SIGUSR2 {
					_ = pprof.Lookup("goroutine").WriteTo(s, 2)
				}
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(quit)
		<-gone
	}
}

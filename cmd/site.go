package cmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tulle-go/tulle/spiders/bundled"
)

func (a *app) siteCommand() *cobra.Command {
	var (
		addr     string
		products int
	)
	c := &cobra.Command{
		Use:   "site",
		Short: "Serve the bundled shop, to look at or to crawl",
		Long: `site serves the shop that the spider 'shop' crawls, so that it can be opened in
a browser, or be crawled by a spider that is being written. It runs until
Ctrl-C.`,
		Example: "  " + a.program.Name + " site --addr 127.0.0.1:8000 --products 500",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.serve(c.Context(), addr, products)
		},
	}
	c.Flags().StringVar(&addr, "addr", "127.0.0.1:8000", "`address` to listen on; port 0 takes a free one")
	c.Flags().IntVar(&products, "products", bundled.DefaultProducts, "how many products the shop has")
	return c
}

// serve answers until the context ends, or an interrupt comes.
func (a *app) serve(ctx context.Context, addr string, products int) error {
	if products < 1 || products > bundled.MaxProducts {
		return fmt.Errorf("--products %d: want 1 to %d", products, bundled.MaxProducts)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("--addr %s: %w", addr, err)
	}
	srv := &http.Server{Handler: bundled.NewSite(bundled.SiteOptions{Products: products}), ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintf(a.stdout, "The shop is open at http://%s/ (Ctrl-C closes it)\n", ln.Addr())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }() // until Close
	select {
	case err = <-served:
	case <-ctx.Done():
		if isTerminal(a.stdout) {
			fmt.Fprintln(a.stdout) // behind ^C
		}
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = srv.Shutdown(end) // what still runs then is cut
		err = <-served
	}
	_ = srv.Close()
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("site: %w", err)
	}
	return nil
}

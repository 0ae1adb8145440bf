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

// notOpened says why the site cannot be served at an address, and what can be done.
func (a *app) notOpened(addr string, err error) error {
	host, port, serr := net.SplitHostPort(addr)
	switch {
	case serr != nil:
		return fmt.Errorf("--addr %s: want host:port, as in 127.0.0.1:8000 or :8000", addr)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("--addr %s: port %s is taken by another program, perhaps another '%s site'; --addr %s takes one that is free",
			addr, port, a.program.Name, net.JoinHostPort(host, "0"))
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("--addr %s: port %s is kept for the system; --addr %s takes one that is free", addr, port, net.JoinHostPort(host, "0"))
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("--addr %s: %s is no address of this machine", addr, host)
	}
	return fmt.Errorf("--addr %s: %w", addr, err)
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
		return a.notOpened(addr, err)
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

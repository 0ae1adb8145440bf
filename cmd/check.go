package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
)

type checkFlags struct {
	settingsFlags
	list, live, update, verbose, asJSON bool
	timeout                             time.Duration
}

func (a *app) checkCommand() *cobra.Command {
	f := &checkFlags{}
	c := &cobra.Command{
		Use:   "check [SPIDER...]",
		Short: "Hold spiders against the checks that they declare",
		Long: `check gives pages to the callbacks of spiders, and holds what comes of them
against what Spider.Checks want: how many items and requests, which fields.
Without names it checks every spider.

A check with a saved page needs no network. One without is asked from the live
site, by the spider's settings: robots.txt, delays and cookies are those of a
crawl. --live asks the site for all of them: has it changed? --update then saves
what came in place of the old pages. Nothing is crawled: items go through no
pipeline and into no feed.

Saved pages are looked for in the working directory, in the project's folder and
in its folder spiders. In 'go test', crawltest.Checks does the same.

Exit codes: 0 all checks hold; 1 one does not; 2 the command line or a setting
is wrong.`,
		Example: strings.Join([]string{
			"  " + a.program.Name + " check",
			"  " + a.program.Name + " check books --live",
			"  " + a.program.Name + " check books --update",
			"  " + a.program.Name + " check -l",
		}, "\n"),
		ValidArgsFunction: func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
			return a.offeredSpiders(typed), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error { return a.check(c.Context(), args, f) },
	}
	f.add(c)
	c.Flags().BoolVarP(&f.list, "list", "l", false, "list the checks, and run none")
	c.Flags().BoolVar(&f.live, "live", false, "ask the site, also where there is a saved page")
	c.Flags().BoolVar(&f.update, "update", false, "ask the site, and save its pages")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "print the items and requests too")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	c.Flags().DurationVar(&f.timeout, "timeout", time.Minute, "the longest `time` for one check")
	return c
}

// A declaredCheck is what is known of a check that was not run.
type declaredCheck struct {
	Spider string `json:"spider"`
	Route  string `json:"route"`
	Name   string `json:"name,omitempty"`
	URL    string `json:"url"`
	Page   string `json:"page,omitempty"`
	Live   bool   `json:"live"`
}

// A checkReport is what came of one check.
type checkReport struct {
	declaredCheck
	OK       bool          `json:"ok"`
	Problems []string      `json:"problems,omitempty"`
	Items    int           `json:"items"`
	Requests int           `json:"requests"`
	Seconds  float64       `json:"seconds"`
	Saved    string        `json:"saved,omitempty"` // where --update wrote the page
	took     time.Duration // Seconds, exactly
	checked  *engine.Checked
}

// check runs the checks of some spiders, or of all.
func (a *app) check(ctx context.Context, names []string, f *checkFlags) error {
	if f.timeout <= 0 {
		return fmt.Errorf("--timeout %s: want more than 0", f.timeout)
	}
	given, err := pairs("-a", f.args)
	if err != nil {
		return err
	}
	all := len(names) == 0
	if all {
		names = a.spiderNames()
		if len(given) > 0 {
			return errors.New("-a is an argument of a spider: name the spider too")
		}
	}
	ctx, stop := untilStopped(ctx, os.Interrupt)
	defer stop()
	reports := []checkReport{}
	checks, failed := 0, 0
	for _, name := range names {
		spider, err := a.spider(name, given)
		if err != nil {
			if !all {
				return err
			}
			spider = nil // told below, beside the others
		}
		report := func(r checkReport) {
			if checks++; !r.OK && !f.list {
				failed++
			}
			reports = append(reports, r)
			if !f.asJSON && !f.list {
				a.printCheck(r, f)
			}
		}
		if spider == nil {
			if !f.list {
				report(checkReport{declaredCheck: declaredCheck{Spider: name}, Problems: []string{strings.TrimPrefix(err.Error(), "spider "+name+": ")}})
			}
			continue
		}
		if err := a.checkSpider(ctx, name, spider, f, report); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return &crawlError{errInterrupted}
		}
	}
	switch {
	case f.asJSON && f.list:
		declared := []declaredCheck{}
		for _, r := range reports {
			declared = append(declared, r.declaredCheck)
		}
		if err := writeJSON(a.stdout, declared); err != nil {
			return err
		}
	case f.asJSON:
		if err := writeJSON(a.stdout, reports); err != nil {
			return err
		}
	default:
		if f.list {
			a.listChecks(reports)
		}
		a.printChecks(checks, failed, f.list)
	}
	if failed > 0 {
		return &crawlError{fmt.Errorf("%s", plural(failed, "check")+" failed")}
	}
	return nil
}

// checkSpider runs one spider's checks.
func (a *app) checkSpider(ctx context.Context, name string, spider *crawl.Spider, f *checkFlags, report func(checkReport)) error {
	if len(spider.Checks) == 0 {
		return nil
	}
	if err := spider.Validate(); err != nil && !f.list {
		report(checkReport{declaredCheck: declaredCheck{Spider: name}, Problems: strings.Split(err.Error(), "\n")})
	}
	settings, err := a.settings(&f.settingsFlags, name)
	if err != nil {
		return err
	}
	if _, err := settings.Effective(spider); err != nil {
		return err
	}
	settings.Logger = zap.NewNop() // what is wrong is told as a problem
	settings.Stdout = a.stderr
	var site *session // opened when the first page is asked
	defer func() {
		if site != nil {
			site.close()
		}
	}()
	for _, check := range spider.Checks {
		r := checkReport{declaredCheck: declaredCheck{
			Spider: name, Route: check.Route, Name: check.Name, URL: check.URL, Page: check.Page, Live: check.Page == "" || f.live || f.update,
		}}
		if f.list {
			report(r)
			continue
		}
		began := time.Now()
		err := func() (err error) {
			if r.Live && site == nil {
				if site, err = openSession(ctx, spider, settings); err != nil {
					return err
				}
			}
			ctx, cancel := context.WithTimeout(ctx, f.timeout)
			defer cancel()
			resp, err := checkedPage(ctx, site, check, &r, f.update)
			if err != nil {
				if errors.Is(ctx.Err(), context.DeadlineExceeded) {
					err = fmt.Errorf("no page after %s (--timeout)", f.timeout)
				}
				return err
			}
			defer resp.Close()
			return r.run(ctx, spider, check, resp, f.timeout)
		}()
		if err != nil {
			r.Problems = append(r.Problems, err.Error())
		}
		r.took = time.Since(began)
		r.Seconds, r.OK = r.took.Seconds(), len(r.Problems) == 0
		report(r)
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// run gives the page to the callback. One that does not come back in time is left behind.
func (r *checkReport) run(ctx context.Context, spider *crawl.Spider, check crawl.Check, resp *crawl.Response, timeout time.Duration) error {
	done := make(chan *engine.Checked, 1)
	go func() { done <- engine.Check(ctx, spider, check, resp) }() // ends with the callback
	select {
	case c := <-done:
		r.checked, r.Items, r.Requests = c, len(c.Items), len(c.Requests)
		r.Problems = append(r.Problems, c.Problems...)
		return nil
	case <-ctx.Done():
		select {
		case c := <-done: // it obeys its context
			r.checked, r.Items, r.Requests = c, len(c.Items), len(c.Requests)
		case <-time.After(time.Second):
		}
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return errInterrupted
		}
		return fmt.Errorf("the callback was not done after %s (--timeout)", timeout)
	}
}

// checkedPage reads the saved page, or asks for the live one.
func checkedPage(ctx context.Context, site *session, check crawl.Check, r *checkReport, update bool) (*crawl.Response, error) {
	if !r.Live {
		b, err := os.ReadFile(savedPage(check.Page))
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w (--update asks the site and saves it)", err)
		}
		if err != nil {
			return nil, err
		}
		return engine.SavedPage(check, b)
	}
	if check.URL == "" {
		return nil, errors.New("the check has no URL to ask")
	}
	req := crawl.Get(check.URL)
	if check.Data != nil {
		crawl.With(check.Data)(req)
	}
	req.DontFilter = true
	p, err := site.fetch(ctx, req)
	if err != nil {
		return nil, err
	}
	if want := cmp.Or(check.Status, http.StatusOK); p.Status != want && (check.Status != 0 || p.Status >= 300) {
		_ = p.Close()
		return nil, fmt.Errorf("the site answered %d %s, want %d", p.Status, http.StatusText(p.Status), want)
	}
	if update && check.Page != "" {
		b, err := p.Bytes()
		to := savedPage(check.Page)
		if err == nil {
			err = replaceFile(to, b)
		}
		if err != nil {
			_ = p.Close()
			return nil, err
		}
		r.Saved = to
	}
	return p.Response, nil
}

// savedPage is where a check's page is, or will be: in the working directory, in the project's folder, or in its folder spiders.
func savedPage(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	places := []string{name}
	fallback := name
	if dir, err := os.Getwd(); err == nil {
		if root := projectRoot(dir); root != "" {
			fallback = shortPath(dir, filepath.Join(root, "spiders", name))
			places = append(places, shortPath(dir, filepath.Join(root, name)), fallback)
		}
	}
	for _, place := range places {
		if info, err := os.Stat(place); err == nil && info.Mode().IsRegular() {
			return place
		}
	}
	return fallback
}

// printCheck prints one line, and what is wrong below it.
func (a *app) printCheck(r checkReport, f *checkFlags) {
	var b strings.Builder
	r.print(&b, f)
	fmt.Fprint(a.stdout, visible(b.String()))
}

func (r *checkReport) print(w io.Writer, f *checkFlags) {
	route := cmp.Or(r.Route, "Parse")
	what := cmp.Or(r.Name, r.Page, r.URL)
	if r.Name == "" && r.Live && r.Page != "" {
		what = r.URL
	}
	verdict := "ok  "
	if !r.OK {
		verdict = "FAIL"
	}
	if r.URL == "" && r.Page == "" && r.checked == nil {
		fmt.Fprintf(w, "%s  %s\n", verdict, r.Spider)
	} else {
		fmt.Fprintf(w, "%s  %s %s  %s  (%s, %s; %s)\n", verdict, r.Spider, route, what, plural(r.Items, "item"), plural(r.Requests, "request"), waitText(r.took))
	}
	if r.Saved != "" {
		fmt.Fprintf(w, "      saved %s\n", r.Saved)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(w, "      %s\n", strings.ReplaceAll(strings.TrimRight(p, "\n"), "\n", "\n      "))
	}
	if r.checked == nil || r.OK && !f.verbose {
		return
	}
	most := 3 // of a check that failed
	if f.verbose {
		most = len(r.checked.Items) + len(r.checked.Requests)
	}
	for i, item := range r.checked.Items {
		if i == most {
			fmt.Fprintf(w, "      … and %s\n", plural(len(r.checked.Items)-most, "more item"))
			break
		}
		fmt.Fprintf(w, "      item %d: %s\n", i+1, jsonOf(item))
	}
	for i, req := range r.checked.Requests {
		if i == most {
			fmt.Fprintf(w, "      … and %s\n", plural(len(r.checked.Requests)-most, "more request"))
			break
		}
		fmt.Fprintf(w, "      request %d: %s to %s\n", i+1, req, cmp.Or(req.Route, "Parse"))
	}
}

// listChecks prints which checks there are, and where their pages are.
func (a *app) listChecks(checks []checkReport) {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, r := range checks {
		fmt.Fprintf(w, "%s %s\t%s\t%s\n", r.Spider, cmp.Or(r.Route, "Parse"), visible(r.URL), cmp.Or(r.Page, "live"))
	}
	_ = w.Flush() // to a pipe that nobody reads
}

// printChecks is the last line.
func (a *app) printChecks(checks, failed int, listed bool) {
	switch {
	case checks == 0:
		fmt.Fprintln(a.stderr, "There are no checks: a spider declares them as Spider.Checks.")
	case listed:
	case failed == 0:
		fmt.Fprintf(a.stdout, "%s, all hold\n", plural(checks, "check"))
	default:
		fmt.Fprintf(a.stdout, "%s, %d failed\n", plural(checks, "check"), failed)
	}
}

// waitText is a time that is never 0.
func waitText(d time.Duration) string {
	if d < time.Millisecond {
		return "<1ms"
	}
	return timeText(d)
}

// plural is a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

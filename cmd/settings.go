package cmd

import (
	"bufio"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tulle-go/tulle/crawl"
)

func (a *app) settingsCommand() *cobra.Command {
	var (
		f       settingsFlags
		asJSON  bool
		changed bool
	)
	c := &cobra.Command{
		Use:   "settings [SPIDER] [NAME...]",
		Short: "Show settings, their values and where each comes from",
		Long: `settings prints every setting with its value and where that comes from: the
default, this program, the spider, or the command line. With a spider its own
settings count too. Names print those settings alone, or all below them.

A setting is changed by -s name=value on the command line of crawl. Scrapy's
names are understood too: -s DOWNLOAD_DELAY=0.5`,
		Example: strings.Join([]string{
			"  " + a.program.Name + " settings",
			"  " + a.program.Name + " settings shop images",
			"  " + a.program.Name + " settings -s CONCURRENT_REQUESTS=32 concurrent_requests",
		}, "\n"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return a.spiderNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := a.explain(&f, &args)
			if err != nil {
				return err
			}
			all, err = chosen(all, args, changed)
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(a.stdout)
				enc.SetIndent("", "  ")
				return enc.Encode(all)
			}
			return a.printSettings(all)
		},
	}
	f.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&changed, "changed", false, "print only what is not the default")
	return c
}

// explain takes the spider's name off the arguments, if the first is one.
func (a *app) explain(f *settingsFlags, args *[]string) ([]crawl.Explained, error) {
	settings, err := f.settings(a.program)
	if err != nil {
		return nil, err
	}
	given, err := pairs("-a", f.args)
	if err != nil {
		return nil, err
	}
	var spider *crawl.Spider
	if len(*args) > 0 && a.program.Spiders[(*args)[0]] != nil {
		if spider, err = a.spider((*args)[0], given); err != nil {
			return nil, err
		}
		*args = (*args)[1:]
	}
	return settings.Explain(spider)
}

// chosen keeps the settings that are named, or stand below a name.
func chosen(all []crawl.Explained, names []string, changed bool) ([]crawl.Explained, error) {
	found := make([]bool, len(names))
	kept := []crawl.Explained{}
	for _, s := range all {
		ok := len(names) == 0
		for i, n := range names {
			n = strings.ToLower(n)
			if s.Name == n || strings.HasPrefix(s.Name, n+".") {
				ok, found[i] = true, true
			}
		}
		if ok && (!changed || s.Source != "default") {
			kept = append(kept, s)
		}
	}
	for i, ok := range found {
		if !ok {
			return nil, fmt.Errorf("%q is neither a spider nor a setting", names[i])
		}
	}
	return kept, nil
}

// userInfo is user:password@ in a URL.
var userInfo = regexp.MustCompile(`(://[^/@:,]*):[^/@,]*@`)

// masked hides passwords and keys: a table is pasted into reports. --json has them, for programs.
func masked(name, value, def string) string {
	for _, secret := range []string{"password", "secret_access_key", "session_token"} {
		if strings.HasSuffix(name, secret) && value != def {
			return "***"
		}
	}
	return userInfo.ReplaceAllString(value, "$1:***@")
}

// printSettings prints a table. A value that is longer than wide pushes its source aside, and no other's.
func (a *app) printSettings(all []crawl.Explained) error {
	const wide = 24
	names, values := 0, 0
	text := func(s crawl.Explained) string {
		if s.Value == "" {
			return `""`
		}
		return masked(s.Name, s.Value, s.Default)
	}
	for _, s := range all {
		names = max(names, len(s.Name))
		if n := utf8.RuneCountInString(text(s)); n <= wide {
			values = max(values, n)
		}
	}
	w := bufio.NewWriter(a.stdout)
	for _, s := range all {
		fmt.Fprintf(w, "%-*s  %-*s  %s\n", names, s.Name, values, text(s), s.Source)
	}
	return w.Flush()
}
